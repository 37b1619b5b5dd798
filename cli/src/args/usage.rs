//! Errors of the command line.

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, FromArgMatches as _};

use super::{Args, Command, Given};
use crate::terminal;

impl Args {
    /// Parses the command line. Ends the program if there is nothing to run.
    pub fn parse_or_exit() -> Self {
        // Only `classify` has the stream, and all commands share the flags for images.
        let command =
            Self::command().mut_arg("input", |input| input.required_unless_present("stream"));
        let parsed = Self::parse(command, std::env::args_os());
        parsed.unwrap_or_else(|error| exit_with_usage(&error))
    }

    /// Parses the arguments of another process, which were accepted there.
    ///
    /// # Errors
    ///
    /// If this version does not accept them.
    pub fn parse_recorded(arguments: &[String]) -> Result<Self, clap::Error> {
        let program = std::iter::once("classify");
        let all = program.chain(arguments.iter().map(String::as_str));
        Self::parse(Self::command(), all.map(std::ffi::OsString::from))
    }

    fn parse(
        command: clap::Command,
        arguments: impl Iterator<Item = std::ffi::OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = command;
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut args = Self::from_arg_matches(&matches)?;
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

/// Prints the error of the command line, or the requested help, and ends the program. Whoever forgets a flag of the
/// sample gets a hint.
fn exit_with_usage(error: &clap::Error) -> ! {
    let _ = error.print();
    let of_command = std::env::args_os().nth(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        Args::command().find_subcommand(&*first).is_some()
    });
    let about_input = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.iter().any(|name| name.contains("--input")),
        Some(ContextValue::String(name)) => !name.starts_with('-'),
        _ => false,
    };
    // An image after a flag is taken for a subcommand that conflicts with the flag.
    let about_image = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Args::command().find_subcommand(name).is_none(),
        _ => false,
    };
    if (about_image || about_input) && !of_command {
        let text = "name images with -i and the model with -m: `classify -m model.onnx -i cat.jpg`";
        terminal::hint(text);
    }
    std::process::exit(error.exit_code())
}
