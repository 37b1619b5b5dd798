//! `classify check`: the comparison and the evaluation that a file asks for.

use evaluation::agreement::Verdict;

use crate::args::{CheckArgs, Command};
use crate::commands::{compare, evaluate};
use crate::gate_file::Gates;
use crate::terminal::Messages;

/// Runs the commands of the file, each with its text and reports. Returns the worst verdict.
pub fn run(args: &CheckArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let mut gates = Gates::read(&args.config)?;
    gates.replace(&args.flags)?;
    let mut worst = Verdict::Agree;
    // Before the work: an error in the second table is not found after the first has run for an hour.
    for parsed in gates.commands()? {
        let verdict = match parsed.command {
            Some(Command::Compare(args)) => compare::run(*args, messages)?,
            Some(Command::Evaluate(args)) => evaluate::run(*args, messages)?,
            _ => continue,
        };
        worst = worst.max(verdict);
    }
    Ok(worst)
}
