//! `cargo demo`: three photos on both engines, and whether they agree.

use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, bail};

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::setup;

/// Downloads of the demo.
const MEGABYTES: u32 = 142;
/// The engines that the set-up brings. The demo leaves out RTen and the client of servers, which take a
/// fifth of the compiler's time.
const ENGINES: &str = "openvino,onnx";

/// Builds the program while the set-up runs, and starts its demo.
pub fn run() -> Result<ExitCode> {
    if setup::is_ready_for_demo()? {
        eprintln!(
            "the set-up is complete; the first build takes a few minutes on two cores, later ones seconds"
        );
    } else {
        eprintln!(
            "downloading {MEGABYTES} MB of engines, a model and photos, and building classify meanwhile: a few minutes on two cores"
        );
    }
    let set_up = SetUp::start()?;
    let built = build(&["--no-default-features", "--features", ENGINES]);
    // What it printed would have been lost among the messages of the compiler.
    set_up.finish()?;
    let output = Command::new(built?)
        .arg("demo")
        .env("CLASSIFY_HOME", setup::home()?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start classify")?;
    io::stdout().write_all(&output.stdout)?;
    if !output.status.success() {
        bail!(Failure::new(
            format!("the demo failed ({})", output.status),
            "its messages are above"
        ));
    }
    if !compares_all(&String::from_utf8_lossy(&output.stdout)) {
        bail!(Failure::new(
            "the demo did not compare both engines",
            "remove the set-up directory, and run the same command again"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns whether the demo compared every engine that the set-up brings: the set-up has just run.
fn compares_all(demo: &str) -> bool {
    let verdict = demo.lines().find(|line| line.starts_with("AGREE: "));
    verdict.is_some_and(|verdict| ENGINES.split(',').all(|engine| verdict.contains(engine)))
}

/// The set-up in a process of its own.
struct SetUp {
    messages: Receiver<String>,
    end: JoinHandle<Result<bool>>,
}

impl SetUp {
    fn start() -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["setup", "--demo"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the set-up")?;
        let (sender, messages) = mpsc::channel();
        let end = thread::spawn(move || {
            let stderr = child.stderr.take().context("the set-up has no stderr")?;
            for line in BufReader::new(stderr).lines() {
                // Without a reader the set-up still ends.
                let _ = sender.send(line?);
            }
            Ok(child.wait()?.success())
        });
        Ok(Self { messages, end })
    }

    /// Prints the messages, those to come as well, and waits for the end.
    fn finish(self) -> Result<()> {
        for line in self.messages {
            eprintln!("{line}");
        }
        let is_ready = self.end.join();
        if !is_ready.map_err(|_| anyhow::anyhow!("the thread of the set-up panicked"))?? {
            bail!(Failure::new("the set-up failed", "its messages are above"));
        }
        Ok(())
    }
}

/// Builds the command line program for use and returns its path. `flags` select its features.
pub fn build(flags: &[&str]) -> Result<PathBuf> {
    let mut arguments = vec![
        "build",
        "--release",
        "--package",
        "classify-cli",
        "--bin",
        "classify",
    ];
    arguments.extend(flags);
    build_by(&arguments)
}

/// Runs cargo with arguments that build the command line program, and returns its path, wherever cargo's target
/// directory is.
pub fn build_by(arguments: &[&str]) -> Result<PathBuf> {
    eprintln!("building classify ...");
    let output = cargo()
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
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

/// Returns the path of `classify` in cargo's messages, one JSON object a line.
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
    fn a_demo_that_compares_less_than_both_engines_fails() {
        let agree = "model x\n\nAGREE: onnx:CPU@f32 with openvino:CPU@f32 on 3 images\n";
        assert!(compares_all(agree));
        for other in [
            "DISAGREE: onnx:CPU@f32 with openvino:CPU@f32",
            "AGREE: rten:CPU@f32 with openvino:CPU@f32 on 3 images",
            "one engine only: there is none to compare it with",
            "",
        ] {
            assert!(!compares_all(other), "{other}");
        }
    }
}
