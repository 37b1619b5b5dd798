//! `cargo verify-hard`: 100,000 damaged files of every kind, with a table of figures.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cargo::cargo;
use crate::setup;

/// The choices of the command line.
#[derive(Debug, clap::Args)]
pub struct Choices {
    /// Try this corpus alone, such as png, onnx or gates; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Try so many inputs of each corpus [default: 100000, end to end 300, of models on engines 3000]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Make the inputs from this seed [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Build it with the profile of the tests: built faster, runs more slowly
    #[arg(long)]
    debug: bool,
    /// Write the good files from which inputs are made into this directory, and end: seeds for `fuzz/`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["only", "count", "seed"])]
    seeds_to: Option<std::path::PathBuf>,
}

/// Sets up, builds the program and its test, and tries the inputs.
pub fn run(choices: &Choices) -> Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        println!(
            "verify-hard: skipped, because it reads memory and deaths of processes from Linux"
        );
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(None, &[])?;
    let mut command = cargo();
    command.args(["test", "--package", "classify-cli", "--test", "mutants"]);
    if !choices.debug {
        command.arg("--release");
    }
    command.args(["--", "--hard"]);
    for name in &choices.only {
        command.args(["--only", name]);
    }
    for (flag, value) in [("--count", choices.count), ("--seed", choices.seed)] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    if let Some(directory) = &choices.seeds_to {
        let directory = std::path::absolute(directory).context("cannot name the directory")?;
        command.arg("--seeds-to").arg(directory);
    }
    let status = command.status().context("cannot start cargo")?;
    Ok(ExitCode::from(u8::from(!status.success())))
}
