//! `classify`: what is in these images, on whatever engine and device there is.

mod archive;
mod args;
mod arrays;
mod commands;
mod destination;
mod directory;
mod engines;
mod errors;
mod fields;
mod file_state;
mod files_read;
mod gate_file;
mod identity;
mod image_decoder;
mod image_memory;
mod input;
mod inputs;
mod install;
mod interrupt;
mod isolated;
mod lines;
mod list_stream;
mod loader_path;
mod options;
mod pattern;
mod process;
mod remote;
mod reports;
mod resolve;
mod runtimes;
mod same_answers;
mod session;
mod shards;
mod stream_line;
mod terminal;
mod writers;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::catch_unwind;

use crate::args::{Args, Command};
use crate::commands::merge::Merged;
use crate::errors::is_broken_pipe;
use crate::interrupt::Interrupted;
use crate::options::ClassifyOptions;
use crate::terminal::Messages;
use evaluation::agreement::Verdict;

fn main() {
    hold_panics();
    let code = catch_unwind(program).unwrap_or_else(|_| {
        let panic = PANIC.with_borrow_mut(Option::take);
        terminal::defect(&panic.unwrap_or_default());
        PANICKED
    });
    process::exit(code)
}

/// Returns the exit code.
fn program() -> u8 {
    loader_path::clean();
    // An environment may hold only a link to this program.
    runtime_library::set_started_as(&std::env::args_os().next().unwrap_or_default());
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
    if isolated::run_child() {
        return 0;
    }
    interrupt::watch(terminal::note_interrupted);
    let args = Args::parse_or_exit();
    let mut messages = Messages::new(args.is_quiet());
    loader_path::note(cleaned.as_deref(), &messages);
    let is_classify = matches!(args.command, None | Some(Command::Demo));
    let code = match run(args, &mut messages) {
        Ok(code) => code,
        // Whoever reads classes may have seen enough; a verdict is not lost with its reader. The same Ctrl-C may
        // have ended both.
        Err(error) if is_classify && is_broken_pipe(&error) => {
            interrupt::signal().map_or(0, |signal| 128 + signal)
        }
        Err(error) => {
            messages.end_repeated();
            messages.fatal(&error);
            let interrupted = error.downcast_ref::<Interrupted>();
            interrupted.map_or(2, |interrupted| interrupted.exit_code)
        }
    };
    // Whatever ended the work, its progress is not left on the terminal.
    messages.end_progress();
    code
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
            let mut options = ClassifyOptions::try_from(args.classify)?;
            if let Some(shard) = options.shard.take() {
                // An image that failed is a row: a batch system that ran the shard again would change nothing.
                return commands::shard::classify(options, &shard, messages).map(|()| 0);
            }
            if options.stream {
                // Whoever sends the lines finds their errors in the answers.
                return commands::stream::run(&options, messages).map(|()| 0);
            }
            commands::classify::run(options, messages)?;
            Ok(u8::from(messages.errors() > 0))
        }
        Some(Command::Compare(args)) if args.runs.shard.shard.is_some() => {
            commands::shard::compare(*args, messages).map(|()| 0)
        }
        Some(Command::Evaluate(args)) if args.runs.shard.shard.is_some() => {
            commands::shard::evaluate(*args, messages).map(|()| 0)
        }
        Some(Command::Compare(args)) => {
            commands::compare::run((*args).try_into()?, messages).map(verdict)
        }
        Some(Command::Evaluate(args)) => {
            commands::evaluate::run((*args).try_into()?, messages).map(verdict)
        }
        Some(Command::Check(args)) => commands::check::run(&args, messages).map(verdict),
        Some(Command::Bench(args)) => {
            commands::bench::run(*args, messages)?;
            Ok(u8::from(messages.errors() > 0))
        }
        Some(Command::Merge(args)) => match commands::merge::run(&args, messages)? {
            Merged::Rows => Ok(u8::from(messages.errors() > 0)),
            Merged::Verdict(found) => Ok(verdict(found)),
        },
        Some(Command::Inspect(args)) => {
            if let Some(pattern) = &args.recipes {
                commands::recipes::run(pattern, args.format)?;
                return Ok(0);
            }
            commands::inspect::run(&(*args).try_into()?, messages).map(|()| 0)
        }
        Some(Command::Tensors(args)) => {
            commands::tensors::run((*args).try_into()?, messages)?;
            Ok(u8::from(messages.errors() > 0))
        }
        Some(Command::Demo) => commands::demo::run(messages).map(verdict),
        Some(Command::Devices(args)) => commands::devices::run(&args).map(|()| 0),
        Some(Command::Completions { shell }) => commands::manual::completions(shell).map(|()| 0),
        Some(Command::Man) => commands::manual::page().map(|()| 0),
    }
}

/// The exit code of a defect of the program, as Rust's own.
const PANICKED: u8 = 101;

thread_local! {
    /// The text of the last panic of this thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the texts of panics instead of printing them. Panics of decoders and engines are caught and become one error
/// line, also where an engine opens a model on the main thread. `main` prints a panic that nobody catches.
fn hold_panics() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::capture();
        let text = match backtrace.status() {
            BacktraceStatus::Captured => format!("{info}\n{backtrace}"),
            _ => info.to_string(),
        };
        // A thread that ends has no place for it any more.
        let _ = PANIC.try_with(|panic| panic.replace(Some(text)));
    }));
}
