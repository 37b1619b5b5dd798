//! Damaged files of every kind that the project reads. `cargo verify` tries some of each kind, `cargo verify-hard` many.
//!
//! Every input is named by a corpus, a seed and a number, so that a finding can be repeated anywhere. A worker process
//! feeds the reader; its parent survives it. An input fails if the process dies, panics, hangs or takes too much memory,
//! or if a good file after it has another answer than before.

// Prints figures, which are what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(target_os = "linux")]
mod corpora;
#[cfg(target_os = "linux")]
mod hard;
#[cfg(target_os = "linux")]
mod mutate;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod random;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
#[path = "../../fuzz/program/readers.rs"]
mod readers;
#[cfg(target_os = "linux")]
mod repair;
#[cfg(target_os = "linux")]
mod seeds;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod trials;
#[cfg(target_os = "linux")]
mod worker;

// By these names the readers know each other.
#[cfg(target_os = "linux")]
use readers::{args, errors, input, terminal};

/// Memory and deaths are read from Linux.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--worker", name, seed, from, to, seeds] => (|| {
            worker::run(
                name,
                seed.parse()?,
                from.parse()?,
                to.parse()?,
                seeds.as_ref(),
            )?;
            Ok(ExitCode::SUCCESS)
        })(),
        ["--hard", ref rest @ ..] => hard::run(rest),
        _ => Ok(trials::run()),
    };
    result.unwrap_or_else(|error: anyhow::Error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
