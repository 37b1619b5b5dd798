//! `cargo verify`: every check and every test, with one verdict.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Result;

use crate::{failure, prose, setup, wheel};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const fn step(name: &'static str, arguments: &'static [&'static str]) -> Step {
    Step {
        name,
        arguments,
        environment: &[],
    }
}

/// Clippy for the command line with these of its features.
macro_rules! clippy_with {
    ($name:literal, $features:literal) => {
        step(
            concat!("clippy: ", $name),
            &[
                "clippy",
                "-p",
                "classify-cli",
                "--no-default-features",
                "--features",
                $features,
                "--",
                "-D",
                "warnings",
            ],
        )
    };
}

/// The command line is checked with no engine, with each alone, and (in the workspace) with all: a feature must not lean on another.
const CHECKS: [Step; 10] = [
    step("format", &["fmt", "--all", "--check"]),
    step(
        "clippy: workspace",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    step(
        "check: libraries without features",
        &[
            "check",
            "--no-default-features",
            "-p",
            "backend-api",
            "-p",
            "backend-remote",
            "-p",
            "image-classification",
        ],
    ),
    clippy_with!("no engine", ""),
    clippy_with!("openvino alone", "openvino"),
    clippy_with!("onnx alone", "onnx"),
    clippy_with!("rten alone", "rten"),
    clippy_with!("remote alone", "remote"),
    Step {
        name: "check: fuzz targets",
        arguments: &[
            "check",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target-dir",
            "target",
        ],
        // Nothing is linked, so libFuzzer need not be compiled, for which a C++ compiler would be needed.
        environment: &[("CUSTOM_LIBFUZZER_PATH", "/unused/libunused.a")],
    },
    Step {
        name: "documentation",
        arguments: &["doc", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// The set-up has just run: a test that finds no engine has found a defect, and must not be skipped.
const TESTS: Step = Step {
    name: "tests",
    arguments: &["test", "--workspace", "--all-features", "--no-fail-fast"],
    environment: &[("CI", "true")],
};

const DENY: Step = step(
    "dependencies",
    &["deny", "check", "bans", "licenses", "sources"],
);

/// The packages are not built: the tests have built the same sources. The public CI builds each from what it contains.
/// Dirty sources are those that are verified.
const PACKAGES: Step = step(
    "packages",
    &[
        "publish",
        "--dry-run",
        "--workspace",
        "--no-verify",
        "--allow-dirty",
    ],
);

/// Runs everything, even after a failure, so that one run tells all.
pub fn run() -> Result<ExitCode> {
    let set_up = start_set_up()?;
    let mut results = Vec::new();
    for step in &CHECKS {
        results.push(timed(step.name, || execute(step)));
    }
    results.push(timed(DENY.name, deny));
    results.push(timed(PACKAGES.name, || execute(&PACKAGES)));
    results.push(timed("doc comments", doc_comments));
    let set_up = timed("set-up", || finish(set_up));
    let is_ready = set_up.1 == Outcome::Passed;
    results.push(set_up);
    results.push(timed("spelling", || {
        if is_ready {
            spelling()
        } else {
            Outcome::Skipped("there is no set-up")
        }
    }));
    results.push(timed(TESTS.name, || {
        if is_ready {
            execute(&TESTS)
        } else {
            Outcome::Skipped("there is no set-up")
        }
    }));
    results.push(timed("python package", || {
        if is_ready {
            python_package()
        } else {
            Outcome::Skipped("there is no set-up")
        }
    }));
    println!("\n{}", table(&results));
    let failed = results
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
        .count();
    println!(
        "{}",
        if failed == 0 {
            let skipped = results
                .iter()
                .filter(|(_, outcome, _)| matches!(outcome, Outcome::Skipped(_)));
            format!("verify: no step failed, {} skipped", skipped.count())
        } else {
            format!("verify: {failed} of {} steps failed", results.len())
        }
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts the set-up at the same time as the checks, which need nothing of it: most of the time it waits for the
/// network.
fn start_set_up() -> Result<JoinHandle<io::Result<Output>>> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["setup", "--oldest", "--checks"])
        .stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    println!("the set-up runs at the same time as the checks; its output comes before the tests");
    Ok(thread::spawn(|| child.wait_with_output()))
}

fn finish(set_up: JoinHandle<io::Result<Output>>) -> Outcome {
    match set_up.join() {
        Ok(Ok(output)) => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            if output.status.success() {
                Outcome::Passed
            } else {
                Outcome::Failed(output.status.to_string())
            }
        }
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Failed("its thread panicked".to_owned()),
    }
}

fn timed(name: &'static str, run: impl FnOnce() -> Outcome) -> (&'static str, Outcome, f64) {
    println!("\n=== {name}");
    let start = Instant::now();
    let outcome = run();
    (name, outcome, start.elapsed().as_secs_f64())
}

fn cargo() -> Command {
    let mut command = crate::cargo::cargo();
    if env::var_os("CI").is_some() {
        // Nothing is compiled a second time there.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

fn execute(step: &Step) -> Outcome {
    println!("$ cargo {}", step.arguments.join(" "));
    match cargo()
        .args(step.arguments)
        .envs(step.environment.iter().copied())
        .status()
    {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// cargo-deny is a separate program that takes longer to build than everything else here; whoever has it runs it, and the public CI does.
fn deny() -> Outcome {
    let installed = || {
        cargo()
            .args(["deny", "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !installed() {
        return Outcome::Skipped(
            "not installed: cargo install --locked cargo-deny --version 0.20.2",
        );
    }
    execute(&DENY)
}

fn doc_comments() -> Outcome {
    match prose::is_within_limit() {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed("too many have no head".to_owned()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn spelling() -> Outcome {
    let typos = match setup::check_program("typos") {
        Ok(typos) => typos,
        Err(error) => return Outcome::Failed(format!("{error:#}")),
    };
    let status = Command::new(&typos)
        .current_dir(setup::workspace())
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(format!("{}: {error}", typos.display())),
    }
}

/// Builds the Python package as users get it, and tries it in empty environments.
fn python_package() -> Outcome {
    match wheel::try_it(wheel::Build::Release) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            eprintln!("error: {error:#}\nhint: {}", failure::hint(&error));
            let first = error.to_string();
            Outcome::Failed(first.lines().next().unwrap_or_default().to_owned())
        }
    }
}

fn table(results: &[(&str, Outcome, f64)]) -> String {
    let mut text = format!("{:<24} {:<8} {:>8}\n", "step", "result", "seconds");
    for (name, outcome, seconds) in results {
        let (result, remark) = match outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed(why) => ("FAILED", format!("  {why}")),
            Outcome::Skipped(why) => ("skipped", format!("  {why}")),
        };
        let _ = writeln!(text, "{name:<24} {result:<8} {seconds:>8.1}{remark}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OSS-Fuzz builds nothing if one has none.
    #[test]
    #[cfg(unix)]
    fn every_fuzz_target_has_seeds() {
        let fuzz = setup::workspace().join("fuzz");
        let mut targets = 0;
        for target in std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap() {
            let target = target.unwrap().path();
            let corpus = tempfile::tempdir().unwrap();
            let status = Command::new(fuzz.join("seed.sh"))
                .arg(target.file_stem().unwrap())
                .arg(corpus.path())
                .status();
            assert!(status.unwrap().success(), "{}", target.display());
            targets += 1;
        }
        assert!(targets > 0);
    }

    #[test]
    fn the_table_names_every_step_and_why_one_did_not_pass() {
        let results = [
            ("format", Outcome::Passed, 1.0),
            (
                "tests",
                Outcome::Failed("exit status: 101".to_owned()),
                12.34,
            ),
        ];
        let table = table(&results);
        assert!(
            table.contains("format                   passed        1.0\n"),
            "{table}"
        );
        assert!(
            table.contains("tests                    FAILED       12.3  exit status: 101\n"),
            "{table}"
        );
    }
}
