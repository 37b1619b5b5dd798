//! The provenance of an open run.

use std::path::Path;

use anyhow::Context as _;
use evaluation::{Digest, RunEntry, RunInfo};

use crate::fields;
use crate::messages;
use crate::session::{OpenRun, Session};

/// Returns the runs as a comparison or an evaluation takes them.
///
/// # Errors
///
/// If the files of an open run's model cannot be read.
pub fn entries(session: &Session) -> anyhow::Result<Vec<RunEntry>> {
    let entry = |(name, run): &(String, Result<OpenRun, anyhow::Error>)| {
        Ok(RunEntry {
            name: name.clone(),
            info: match run {
                Ok(run) => Ok(run_info(run)?),
                Err(error) => Err(messages::chain(error)),
            },
            labels: run.as_ref().ok().and_then(|run| run.labels.clone()),
        })
    };
    session.entries.iter().map(entry).collect()
}

fn run_info(run: &OpenRun) -> anyhow::Result<RunInfo> {
    let info = run.info();
    let settings = run.input.settings().into_iter();
    let reading = &run.reading;
    Ok(RunInfo {
        model: run.model.to_string_lossy().into_owned(),
        model_sha256: Some(model_digest(&run.model)?),
        preprocessing: settings
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        classes: run.classes,
        interpretation: reading.is_decided().then_some(reading.interpretation),
        scores_by: fields::origin(&reading.origin),
        output: reading.kind,
        multi_label: reading.multi_label.is_some(),
        values: run.values,
        stored_precision: model_file::stored_precision(&run.model)?
            .map(|precision| precision.to_string()),
        ..RunInfo::new(&run.name, info)
    })
}

fn model_digest(model: &Path) -> anyhow::Result<Digest> {
    let files = model_file::check(model)?;
    Digest::of_files(&files).with_context(|| format!("cannot read {}", model.display()))
}
