//! `cargo faults` and `cargo soak`: the tests of `tests/faults` and the load of the service, with their full counts.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::setup;

/// The tests that try a few faults, and all of them where this is `full`.
const COUNTS: (&str, &str) = ("CLASSIFY_TEST_COUNTS", "full");
/// The minutes of a soak for these tests.
const MINUTES: &str = "CLASSIFY_SOAK_MINUTES";

/// Tries every fault. `filter` is a part of the names of the tests that are run.
pub fn run(filter: Option<&str>) -> Result<ExitCode> {
    setup::run(None, &[])?;
    let faults = test(
        &["-p", "classify-cli", "--test", "faults"],
        filter,
        &[COUNTS],
    )?;
    let service = ["-p", "classify-examples", "--test", "examples"];
    let service = test(&service, Some(filter.unwrap_or("under_load")), &[COUNTS])?;
    Ok(verdict("faults", faults && service))
}

/// Watches processes for so many minutes.
pub fn soak(minutes: f64, is_debug: bool) -> Result<ExitCode> {
    if !(minutes.is_finite() && minutes > 0.0) {
        bail!(Failure::new(
            format!("the time is {minutes} minutes"),
            "use a number above 0, such as 60"
        ));
    }
    setup::run(None, &[])?;
    let mut arguments = vec!["-p", "classify-cli", "--test", "faults"];
    arguments.extend((!is_debug).then_some("--release"));
    let minutes = minutes.to_string();
    let passed = test(&arguments, Some("soak::"), &[(MINUTES, &minutes)])?;
    Ok(verdict("soak", passed))
}

/// Runs tests one after the other, and returns whether they passed.
fn test(arguments: &[&str], filter: Option<&str>, variables: &[(&str, &str)]) -> Result<bool> {
    let status = cargo()
        .arg("test")
        .args(arguments)
        .arg("--")
        .arg("--test-threads=1")
        .args(filter)
        .envs(variables.iter().copied())
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

fn verdict(name: &str, passed: bool) -> ExitCode {
    println!("{name}: {}", if passed { "passed" } else { "FAILED" });
    ExitCode::from(u8::from(!passed))
}
