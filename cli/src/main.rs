//! `classify`: what is in these pictures, on whatever engine and device there is.

#[allow(
    clippy::doc_markdown,
    reason = "what is written there is help for users"
)]
mod args;
mod commands;
mod engines;
mod inputs;
mod messages;
mod options;
mod output;
mod pictures;
mod recipe;
mod report;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::messages::{Messages, is_broken_pipe};

fn main() -> ExitCode {
    // ONNX Runtime's official builds send telemetry unless this is set before they are loaded.
    // SAFETY: nothing has started a thread yet, so nobody reads the environment at the same time.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
    report_panics_once();
    let args = Args::try_parse().unwrap_or_else(|error| messages::usage(&error));
    let mut messages = Messages::new(args.classify.quiet);
    match run(args, &mut messages) {
        Ok(()) if messages.errors() == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            messages.fatal(&error);
            ExitCode::from(2)
        }
    }
}

fn run(args: Args, messages: &mut Messages) -> anyhow::Result<()> {
    match args.command {
        None => commands::classify::run(args.classify.try_into()?, messages),
        Some(Command::Inspect(args)) => commands::inspect::run(&(*args).try_into()?, messages),
        Some(Command::Devices(args)) => commands::devices::run(&args),
        Some(Command::Completions { shell }) => commands::manual::completions(shell),
        Some(Command::Man) => commands::manual::page(),
    }
}

/// Panics of decoders and engines are caught and become one error line; only those of this thread
/// are the program's own.
fn report_panics_once() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some("main") {
            default(info);
        }
    }));
}
