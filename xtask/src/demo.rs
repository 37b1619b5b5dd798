//! `cargo demo`: real photos on both engines, and whether they agree.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::failure::Failure;
use crate::setup;

const PHOTOS: [&str; 5] = [
    "n02123045_281_tabby_cat.jpg",
    "n02123597_284_Siamese_cat.jpg",
    "coffee.png",
    "camera.png",
    "chelsea.png",
];
const ENGINES: [&str; 2] = ["openvino", "onnx"];

/// Sets up, builds the command, runs it on each engine and compares the printed blocks.
pub fn run() -> Result<ExitCode> {
    setup::run(None, &[])?;
    let classify = build()?;
    let photos = setup::home()?.join("photos");
    let mut outputs = Vec::new();
    for engine in ENGINES {
        println!("\n$ classify --backend {engine} -i {}", PHOTOS.join(" "));
        let output = Command::new(&classify)
            .args(["--backend", engine, "-i"])
            .args(PHOTOS.map(|photo| photos.join(photo)))
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", classify.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        if !output.status.success() {
            bail!(Failure::new(
                format!("classify on {engine} failed ({})", output.status),
                "its messages are above"
            ));
        }
        outputs.push(results(&text).to_owned());
    }
    Ok(verdict(&outputs[0], &outputs[1]))
}

/// Builds the command line program and returns its path, wherever cargo's target folder is.
pub fn build() -> Result<PathBuf> {
    eprintln!("building classify ...");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--package",
            "classify-cli",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(setup::workspace())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!(Failure::new(
            format!("building classify failed ({})", output.status),
            "the compiler's messages are above"
        ));
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .context("cargo built no program named classify")
}

/// The path of `classify` in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            let is_it =
                message["reason"] == "compiler-artifact" && message["target"]["name"] == "classify";
            message["executable"]
                .as_str()
                .filter(|_| is_it)
                .map(PathBuf::from)
        })
}

/// The part that has to be the same on every engine: everything from the first image on.
fn results(output: &str) -> &str {
    let mut start = 0;
    for line in output.split_inclusive('\n') {
        if line.contains("Image path:") {
            return &output[start..];
        }
        start += line.len();
    }
    ""
}

fn verdict(first: &str, second: &str) -> ExitCode {
    if first.is_empty() || second.is_empty() {
        println!("\nverdict: no results to compare");
        return ExitCode::FAILURE;
    }
    let Some(counts) = Counts::of(first, second) else {
        println!("\nverdict: different");
        for difference in differences(first, second) {
            println!("{difference}");
        }
        return ExitCode::FAILURE;
    };
    println!("\nverdict: {counts}");
    ExitCode::SUCCESS
}

/// The number of blocks with the same classes, order and labels.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    blocks: usize,
    /// Blocks of which the last printed digit of a score differs.
    other_digit: usize,
}

impl Counts {
    /// Counts the blocks, `None` if a block differs in more than the last digit.
    fn of(first: &str, second: &str) -> Option<Self> {
        let blocks = |text: &str| -> Vec<String> {
            let blocks = text.split("Image path:").skip(1);
            blocks.map(str::to_owned).collect()
        };
        let (first, second) = (blocks(first), blocks(second));
        let same = first.len() == second.len()
            && first.iter().zip(&second).all(|(a, b)| {
                a.lines().count() == b.lines().count()
                    && a.lines().zip(b.lines()).all(|(a, b)| is_close(a, b))
            });
        same.then(|| Self {
            blocks: first.len(),
            other_digit: first.iter().zip(&second).filter(|(a, b)| a != b).count(),
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blocks,
            other_digit,
        } = self;
        let [one, other] = ENGINES;
        if *other_digit == 0 {
            return write!(
                f,
                "{blocks} blocks identical, byte for byte, on {one} and {other}"
            );
        }
        write!(
            f,
            "the same classes, order and labels in {blocks} blocks on {one} and {other}; {other_digit} of them differ in \
             the last printed digit"
        )
    }
}

/// Returns whether two lines are the same except for one unit in the last digit of a score.
fn is_close(a: &str, b: &str) -> bool {
    a == b
        || match (class(a), class(b)) {
            (Some((id, score, label)), Some((other_id, other_score, other_label))) => {
                id == other_id && label == other_label && (score - other_score).abs() < 1.5e-4
            }
            _ => false,
        }
}

/// The class id, the score and the label in a line.
fn class(line: &str) -> Option<(&str, f64, &str)> {
    let line = line.strip_prefix("[ INFO ] ")?;
    let (id, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let (score, label) = rest.split_once("  ").unwrap_or((rest, ""));
    Some((id, score.parse().ok()?, label))
}

/// Both sides print the same layout, so lines are compared by their place.
fn differences(first: &str, second: &str) -> Vec<String> {
    let (first, second): (Vec<&str>, Vec<&str>) =
        (first.lines().collect(), second.lines().collect());
    let line = |lines: &[&str], index: usize| {
        lines
            .get(index)
            .map_or_else(|| "(no line)".to_owned(), |line| (*line).to_owned())
    };
    (0..first.len().max(second.len()))
        .filter(|&index| first.get(index) != second.get(index))
        .map(|index| {
            format!(
                "line {}:\n- {}: {}\n+ {}: {}",
                index + 1,
                ENGINES[0],
                line(&first, index),
                ENGINES[1],
                line(&second, index)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargo_s_messages() {
        let messages = "not json\n{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/x/other\"}\n\
                        {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"classify\"},\"executable\":\"/x/classify\"}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/x/classify")));
        assert_eq!(executable("{}"), None);
    }

    #[test]
    fn blocks_may_differ_in_the_last_digit_alone() {
        let block = |score: &str, label: &str| {
            format!("[ INFO ] Image path: a\n[ INFO ] 284      {score}  {label}\n[ INFO ] \n")
        };
        let cat = block("0.9842", "a cat");
        let counts = |other: &str| Counts::of(&cat.repeat(2), &format!("{cat}{other}"));
        let of = |other_digit| {
            Some(Counts {
                blocks: 2,
                other_digit,
            })
        };
        assert_eq!(counts(&cat), of(0));
        assert_eq!(counts(&block("0.9841", "a cat")), of(1));
        assert_eq!(counts(&block("0.9840", "a cat")), None);
        assert_eq!(counts(&block("0.9842", "a dog")), None);
        assert_eq!(counts(&cat.replace("284", "285")), None);
        assert_eq!(counts(""), None);
    }

    #[test]
    fn only_results_are_compared() {
        assert_eq!(
            results("[ INFO ] engine 1\n[ INFO ] Image path: a\nx\n"),
            "[ INFO ] Image path: a\nx\n"
        );
        assert_eq!(results("nothing\n"), "");
        assert_eq!(differences("a\nb\n", "a\nb\n"), Vec::<String>::new());
        assert_eq!(differences("a\nb\n", "a\nc\nd\n").len(), 2);
    }
}
