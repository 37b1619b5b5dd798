//! `cargo prose`: counts doc comments whose first sentence has no head.
//!
//! "What is read." or "Whether it fits." names nothing; "Files that a run reads." does. Few are unavoidable, so the
//! check has a limit and is not a lint.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup;

/// The first words of a clause without a head.
const HEADLESS: [&str; 15] = [
    "as",
    "what",
    "whatever",
    "how",
    "whether",
    "that",
    "those",
    "of",
    "which",
    "whichever",
    "who",
    "whoever",
    "whose",
    "why",
    "where",
];
/// The largest share of headless comments, in percent.
const LIMIT: f64 = 5.0;

/// A doc comment: its file, its first line and the text of that line.
struct DocComment {
    file: PathBuf,
    line: usize,
    text: String,
}

/// Prints every headless comment and the counts of each crate. Returns whether the share is below the limit.
pub fn is_within_limit() -> Result<bool> {
    let files = rust_files()?;
    let mut of_crates: Vec<(String, usize, usize)> = Vec::new();
    for file in &files {
        let path = setup::workspace().join(file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let comments = doc_comments(file, &text);
        let headless: Vec<_> = comments
            .iter()
            .filter(|comment| is_headless(&comment.text))
            .collect();
        for comment in &headless {
            println!(
                "{}:{}: {}",
                comment.file.display(),
                comment.line,
                comment.text
            );
        }
        let name = file
            .iter()
            .next()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        match of_crates.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, all, without)) => {
                *all += comments.len();
                *without += headless.len();
            }
            None => of_crates.push((name, comments.len(), headless.len())),
        }
    }
    let all: usize = of_crates.iter().map(|(_, all, _)| all).sum();
    let headless: usize = of_crates.iter().map(|(.., headless)| headless).sum();
    ensure!(
        all > 0,
        "there is no doc comment in {} Rust files",
        files.len()
    );
    for (name, all, headless) in &of_crates {
        println!("{name:<24} {headless:>4} of {all:>5}");
    }
    let share = 100.0 * headless as f64 / all as f64;
    println!("headless doc comments: {headless} of {all}, {share:.1} % (the limit is {LIMIT} %)");
    Ok(share < LIMIT)
}

/// Returns the Rust files that git knows, relative to the workspace.
fn rust_files() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--", "*.rs"])
        .current_dir(setup::workspace())
        .output()
        .context("cannot run git, which lists the files")?;
    ensure!(
        output.status.success(),
        "`git ls-files` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(list.split_terminator('\0').map(PathBuf::from).collect())
}

/// Returns the doc comments of a file. A comment is a run of lines that begin with the same marker.
fn doc_comments(file: &Path, source: &str) -> Vec<DocComment> {
    let mut comments = Vec::new();
    let mut before = None;
    for (index, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!"]
            .into_iter()
            .find(|marker| line.starts_with(marker) && !line.starts_with("////"));
        if let Some(marker) = marker
            && before != Some(marker)
        {
            let text = line[marker.len()..].trim().to_owned();
            comments.push(DocComment {
                file: file.to_owned(),
                line: index + 1,
                text,
            });
        }
        before = marker;
    }
    comments
}

fn is_headless(text: &str) -> bool {
    let first = text
        .split(|letter: char| !letter.is_alphabetic())
        .next()
        .unwrap_or_default();
    HEADLESS.contains(&first.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_counted_once_and_by_its_first_line() {
        let source = "//! What it is.\n//! That is more.\n\n/// Whether it fits.\nfn a() {}\n    /// Returns the rest.\n    /// How it does.\n//// no doc\n// Of this\n";
        let comments = doc_comments(Path::new("a.rs"), source);
        let texts: Vec<_> = comments
            .iter()
            .map(|comment| (comment.line, comment.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (1, "What it is."),
                (4, "Whether it fits."),
                (6, "Returns the rest.")
            ]
        );
        let headless = comments
            .iter()
            .filter(|comment| is_headless(&comment.text))
            .count();
        assert_eq!(headless, 2);
    }

    #[test]
    fn only_whole_words_make_a_clause_headless() {
        for text in [
            "What's left.",
            "`What` is a name.",
            "Official names.",
            "Whole images.",
            "OfClass",
            "",
        ] {
            assert_eq!(is_headless(text), text.starts_with("What'"), "{text}");
        }
    }
}
