//! `classify`: what is in these images, on whatever engine and device there is.

mod args;
mod commands;
mod destination;
mod directory;
mod engines;
mod errors;
mod fields;
mod files_read;
mod image_memory;
mod inputs;
mod interrupt;
mod loader_path;
mod options;
mod pattern;
mod process;
mod provenance;
mod reports;
mod resolve;
mod runtimes;
mod session;
mod terminal;
mod writers;

use crate::args::{Args, Command};
use crate::errors::is_broken_pipe;
use crate::interrupt::Interrupted;
use crate::terminal::Messages;
use evaluation::agreement::Verdict;

fn main() {
    loader_path::clean();
    let cleaned = std::env::var_os(loader_path::GUARD);
    // ONNX Runtime's official builds send telemetry unless this is set before they are loaded; RTen would
    // print to stdout, among the results.
    // SAFETY: nothing has started a thread yet, so nobody reads the environment at the same time.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
        for unwanted in [
            "RTEN_TIMING",
            "RTEN_OPTIMIZER_DEBUG",
            "RTEN_INFER_SHAPES_DEBUG",
            // Programs that this one may start have a loader of their own.
            loader_path::GUARD,
        ] {
            std::env::remove_var(unwanted);
        }
    }
    report_panics_once();
    interrupt::watch(terminal::note_interrupted);
    let args = Args::parse_or_exit();
    let mut messages = Messages::new(args.is_quiet());
    loader_path::note(cleaned.as_deref(), &messages);
    let is_classify = args.command.is_none();
    let code = match run(args, &mut messages) {
        Ok(code) => code,
        // Whoever reads classes may have seen enough; a verdict is not lost with its reader. The same Ctrl-C may
        // have ended both.
        Err(error) if is_classify && is_broken_pipe(&error) => {
            interrupt::signal().map_or(0, |signal| 128 + signal)
        }
        Err(error) => {
            messages.fatal(&error);
            let interrupted = error.downcast_ref::<Interrupted>();
            interrupted.map_or(2, |interrupted| interrupted.exit_code)
        }
    };
    // Whatever ended the work, its progress is not left on the terminal.
    messages.end_progress();
    process::exit(code)
}

/// Runs the requested command. Returns the exit code.
fn run(args: Args, messages: &mut Messages) -> anyhow::Result<u8> {
    let verdict = |verdict| match verdict {
        Verdict::Agree | Verdict::Recorded => 0,
        Verdict::Disagree => 1,
        Verdict::CouldNotCompare => 2,
    };
    match args.command {
        None => {
            commands::classify::run(args.classify.try_into()?, messages)?;
            Ok(u8::from(messages.errors() > 0))
        }
        Some(Command::Compare(args)) => commands::compare::run(*args, messages).map(verdict),
        Some(Command::Evaluate(args)) => commands::evaluate::run(*args, messages).map(verdict),
        Some(Command::Bench(args)) => {
            commands::bench::run(*args, messages)?;
            Ok(u8::from(messages.errors() > 0))
        }
        Some(Command::Inspect(args)) => {
            commands::inspect::run(&(*args).try_into()?, messages).map(|()| 0)
        }
        Some(Command::Devices(args)) => commands::devices::run(&args).map(|()| 0),
        Some(Command::Completions { shell }) => commands::manual::completions(shell).map(|()| 0),
        Some(Command::Man) => commands::manual::page().map(|()| 0),
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
