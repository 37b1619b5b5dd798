//! `cargo demo`: real photos on both engines, and whether they agree.

use std::env;
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

/// Sets up, builds the command, runs it on each engine and compares the results byte for byte.
pub fn run() -> Result<ExitCode> {
    setup::run(None, false)?;
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

/// The part that has to be the same on every engine: everything from the first picture on.
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
    if first == second {
        println!(
            "\nverdict: identical, byte for byte, on {} and {}",
            ENGINES[0], ENGINES[1]
        );
        return ExitCode::SUCCESS;
    }
    println!("\nverdict: different");
    for difference in differences(first, second) {
        println!("{difference}");
    }
    ExitCode::FAILURE
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
