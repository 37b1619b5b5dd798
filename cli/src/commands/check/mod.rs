//! `classify check`: the comparison and the evaluation that a file asks for.

mod replaced;

use std::path::Path;

use evaluation::agreement::Verdict;

use crate::args::{CheckArgs, Command};
use crate::commands::compare::{self, CompareOptions};
use crate::commands::evaluate::{self, EvaluateOptions};
use crate::errors::Hinted;
use crate::files_read::{FilesRead, Named};
use crate::gate_file::Gates;
use crate::terminal::Messages;

/// A table of the file.
enum Gate {
    Compare(CompareOptions),
    Evaluate(EvaluateOptions),
}

/// Runs the commands of the file, each with its text and reports. Returns the worst verdict.
pub fn run(args: &CheckArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let mut gates = Gates::read(&args.config)?;
    gates.replace(&args.flags)?;
    // Before the work: an error in the second table is not found after the first has run for an hour.
    let mut tables = Vec::new();
    for parsed in gates.commands()? {
        tables.push(match parsed.command {
            Some(Command::Compare(args)) => Gate::Compare((*args).try_into()?),
            Some(Command::Evaluate(args)) => Gate::Evaluate((*args).try_into()?),
            _ => continue,
        });
    }
    check_gates(&tables)?;
    check_files(&args.config, &tables)?;
    for table in &tables {
        check_replaced(&gates, table)?;
    }
    let mut worst = Verdict::Agree;
    for table in tables {
        let verdict = match table {
            Gate::Compare(options) => compare::run(options, messages)?,
            Gate::Evaluate(options) => evaluate::run(options, messages)?,
        };
        worst = worst.max(verdict);
    }
    Ok(worst)
}

/// Checks that tables have gates; `compare` always has its tolerance. The gate may have been removed or commented out by
/// mistake, and then every model would pass.
fn check_gates(tables: &[Gate]) -> anyhow::Result<()> {
    let has_gate = |table: &Gate| match table {
        Gate::Compare(_) => true,
        Gate::Evaluate(options) => {
            let limits = &options.evaluation.limits;
            limits.judges_answers() || limits.min_truth.is_some()
        }
    };
    if tables.iter().all(has_gate) {
        return Ok(());
    }
    Err(Hinted::new(
        "[evaluate] has no gate, so it would pass with any model",
        "add `min-top1`, `max-drop`, `metric-min`, `metric-max` or `min-truth` to it; `classify evaluate` runs without a gate",
    )
    .into())
}

/// Checks that outputs which the file names, and not the command line, replace only earlier outputs of their kind. The file
/// need not be the user's own.
fn check_replaced(gates: &Gates, table: &Gate) -> anyhow::Result<()> {
    let (runs, record) = match table {
        Gate::Compare(options) => (&options.runs, &options.record),
        Gate::Evaluate(options) => (&options.runs, &options.record),
    };
    let reports = runs.reports.iter().filter(|_| gates.is_of_file("report"));
    for report in reports {
        replaced::check(&report.path, replaced::Kind::Report(report.format))?;
    }
    let record = record.as_deref().filter(|_| gates.is_of_file("record"));
    record.map_or(Ok(()), |path| {
        replaced::check(path, replaced::Kind::Recording)
    })
}

/// Checks that no table replaces the file itself, and what another table reads or writes.
fn check_files(config: &Path, tables: &[Gate]) -> anyhow::Result<()> {
    let mut read = FilesRead::default().with("the configuration file", Some(config));
    let mut outputs: Vec<Named<'_>> = Vec::new();
    for table in tables {
        let (own, written) = match table {
            Gate::Compare(options) => (compare::files_read(options), compare::outputs(options)),
            Gate::Evaluate(options) => (evaluate::files_read(options), evaluate::outputs(options)),
        };
        let path_of = |output: &Named<'_>| output.1.to_owned();
        let shared = written.iter().find(|own| {
            let mut others = outputs.iter();
            others.any(|other| path_of(other) == path_of(own))
        });
        if let Some((flag, path)) = shared {
            return Err(Hinted::new(
                format!("both tables write {}", path.display()),
                format!(
                    "give each its own, or use the command in the name: `{flag} {{command}}.json`"
                ),
            )
            .into());
        }
        read = read.and(own);
        outputs.extend(written);
    }
    read.check(&outputs)
}
