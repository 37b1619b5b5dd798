//! `classify merge`: joins the parts of all shards.

mod answers;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;

use std::path::{Path, PathBuf};

use evaluation::agreement::Verdict;
use evaluation::text::{counted, printable};

use crate::args::MergeArgs;
use crate::destination;
use crate::errors::Hinted;
use crate::files_read::{FilesRead, Named};
use crate::reports;
use crate::shards::{self, JobDirectory, Manifest, PartState, Recorded};
use crate::terminal::Messages;

/// The most shards that a message names.
const MOST_NAMED: usize = 10;

/// The result of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// Rows, of which some may be errors.
    Rows,
    /// The verdict of `compare` or `evaluate` over all images.
    Verdict(Verdict),
}

/// Checks that all parts are there, and joins them.
pub fn run(args: &MergeArgs, messages: &mut Messages) -> anyhow::Result<Merged> {
    let (directory, recorded) = JobDirectory::open(&args.directory)?;
    let manifests = complete(&directory)?;
    check_runs(&directory, &manifests)?;
    if directory.job.command == "classify" {
        if !args.report.is_empty() {
            let error = "the parts are of `classify`, which has no report";
            let hint = "pass `-o FILE` for the rows of all parts";
            return Err(Hinted::new(error, hint).into());
        }
        let output = args
            .output
            .as_deref()
            .filter(|path| *path != Path::new("-"));
        let outputs: Vec<_> = output.map(|path| ("--output", path)).into_iter().collect();
        check_outputs(&directory, &recorded, &outputs)?;
        rows::merge(&directory, &manifests, output, messages)?;
        return Ok(Merged::Rows);
    }
    if args.output.is_some() {
        let error = format!(
            "the parts are of `{}`, which has a report and no rows",
            directory.job.command
        );
        return Err(Hinted::new(error, "pass `--report FILE`, or nothing for the text").into());
    }
    let outputs: Vec<_> = reports::files(&args.report).collect();
    check_outputs(&directory, &recorded, &outputs)?;
    answers::merge(&directory, &manifests, &recorded, &args.report, messages).map(Merged::Verdict)
}

/// Returns the manifests of all parts.
///
/// # Errors
///
/// If parts are missing, or there are those of another job.
fn complete(directory: &JobDirectory) -> anyhow::Result<Vec<Manifest>> {
    let foreign = directory.foreign()?;
    if let Some(first) = foreign.first() {
        let error = format!(
            "{} has {} of another job, the first is {}",
            directory.path.display(),
            counted(foreign.len(), "file"),
            printable(first)
        );
        return Err(Hinted::new(
            error,
            "remove them, or merge each job from its own directory",
        )
        .into());
    }
    let shards = directory.job.shards;
    let mut manifests = Vec::new();
    let mut missing = Vec::new();
    for index in 0..shards {
        match directory.state(index)? {
            PartState::Complete(manifest) => manifests.push(manifest),
            PartState::Incomplete { damage } => missing.push((index, damage)),
        }
    }
    let Some((first, damage)) = missing.first() else {
        return Ok(manifests);
    };
    let named: Vec<String> = missing
        .iter()
        .take(MOST_NAMED)
        .map(|(index, _)| index.to_string())
        .collect();
    let reason = damage.as_ref().map_or_else(String::new, |damage| {
        format!(", whose manifest cannot be read ({})", printable(damage))
    });
    let more = match missing.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let error = format!(
        "{} of {} {} missing or incomplete: {}{more}; the first is {}{reason}",
        missing.len(),
        counted(shards as usize, "part"),
        if missing.len() == 1 { "is" } else { "are" },
        named.join(", "),
        directory.job.part_name(*first)
    );
    let hint = format!("run the command of the shards again with `--shard {first}/{shards}`");
    Err(Hinted::new(error, hint).into())
}

/// Checks that the same engines made all parts.
fn check_runs(directory: &JobDirectory, manifests: &[Manifest]) -> anyhow::Result<()> {
    let Some(first) = manifests.first() else {
        return Ok(());
    };
    let Some(other) = manifests.iter().find(|other| other.runs != first.runs) else {
        return Ok(());
    };
    let error = format!(
        "other engines made {}: {}, and {} for {}",
        directory.job.part_name(other.shard),
        shards::description(&other.runs),
        shards::description(&first.runs),
        directory.job.part_name(first.shard)
    );
    Err(Hinted::new(
        error,
        "remove the parts of one of them, and run their shards again",
    )
    .into())
}

/// Checks that no output replaces another one, a file that the merge reads, or takes a name of the shards.
fn check_outputs(
    directory: &JobDirectory,
    recorded: &Recorded,
    outputs: &[Named<'_>],
) -> anyhow::Result<()> {
    let parts = (0..directory.job.shards).flat_map(|shard| directory.files(shard));
    let files = parts.chain([directory.path.join(shards::JOB)]);
    let add =
        |read: FilesRead<'static>, file: PathBuf| read.with("a file of the shards", Some(file));
    let read = files.fold(FilesRead::default(), add);
    let read = read.with("the ground truth", recorded.truth_file());
    read.check(outputs)?;
    for (flag, path) in outputs {
        let target = destination::target(flag, path)?;
        let is_inside = directory.path.canonicalize().ok().as_deref() == target.parent();
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        if is_inside && name.starts_with("part-") {
            let error = format!("{} has a name of the shards", path.display());
            return Err(Hinted::new(error, "name another file").into());
        }
    }
    Ok(())
}
