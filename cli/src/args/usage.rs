//! Errors of the command line.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use super::examples::START;
use super::{Args, Command, Given};
use crate::terminal;

/// The exit code of a command line that asks for nothing, as clap's.
const USAGE: i32 = 2;

impl Args {
    /// Parses the command line. Ends the program if there is nothing to run.
    pub fn parse_or_exit() -> Self {
        if std::env::args_os().len() < 2 {
            terminal::usage(START);
            std::process::exit(USAGE);
        }
        let parsed = Self::parse(std::env::args_os());
        parsed.unwrap_or_else(|error| exit_with_usage(&error))
    }

    /// Parses the arguments of another process, which were accepted there.
    ///
    /// # Errors
    ///
    /// If this version does not accept them.
    pub fn parse_recorded(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let program = std::iter::once("classify".into());
        Self::parse(program.chain(arguments.iter().cloned()))
    }

    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        // Only `classify` has the stream and images without a flag, and all commands share the flags for images.
        let mut command = Self::command().mut_arg("input", |input| {
            input.required_unless_present_any(["images", "stream"])
        });
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut args = Self::from_arg_matches(&matches)?;
        let images = std::mem::take(&mut args.classify.images);
        check_command(images.first().map(|image| &**image), &mut command)?;
        args.classify.input.input.splice(0..0, images);
        let of_command = matches.subcommand();
        let (matches, command) = match of_command {
            Some((name, matches)) => (matches, command.find_subcommand(name)),
            None => (&matches, Some(&command)),
        };
        let shard = match &mut args.command {
            None => Some(&mut args.classify.shard),
            Some(Command::Compare(args)) => Some(&mut args.runs.shard),
            Some(Command::Evaluate(args)) => Some(&mut args.runs.shard),
            Some(_) => None,
        };
        if let (Some(shard), Some(command)) = (shard, command)
            && shard.shard.is_some()
        {
            shard.given = Given::new(matches, command.get_arguments());
        }
        Ok(args)
    }
}

/// Rejects a command that is misspelled or stands after flags: it looks like an image.
fn check_command(first: Option<&Path>, command: &mut clap::Command) -> Result<(), clap::Error> {
    let Some(name) = first.and_then(Path::to_str) else {
        return Ok(());
    };
    if command.find_subcommand(name).is_some() {
        let message = format!(
            "the command `{name}` stands before all flags; an image with that name is `./{name}`"
        );
        return Err(command.error(ErrorKind::ArgumentConflict, message));
    }
    // Images have an ending, directories exist.
    let is_word = name.len() > 1
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '-');
    if !is_word || fs::symlink_metadata(name).is_ok() {
        return Ok(());
    }
    let commands = command.get_subcommands().map(clap::Command::get_name);
    let commands = commands.collect::<Vec<_>>().join(", ");
    let message =
        format!("`{name}` is neither a command nor an image; the commands are {commands}");
    Err(command.error(ErrorKind::InvalidSubcommand, message))
}

/// Prints the error of the command line, or the requested help, and ends the program.
fn exit_with_usage(error: &clap::Error) -> ! {
    let _ = error.print();
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let first = first.to_string_lossy();
    let of_command = Args::command().find_subcommand(&*first).is_some();
    let is_missing = |argument: &str| {
        error.kind() == ErrorKind::MissingRequiredArgument
            && match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(names)) => {
                    names.iter().any(|name| name.contains(argument))
                }
                _ => false,
            }
    };
    if is_missing("--input") && !of_command {
        terminal::hint("name images, and the model with -m: `classify cat.jpg -m model.onnx`");
    } else if is_missing("<RUN>") {
        terminal::hint(&format!(
            "name the runs before the flags: `classify {first} openvino onnx -i photos/`; -i takes all words behind it"
        ));
    }
    std::process::exit(error.exit_code())
}
