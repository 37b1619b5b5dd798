//! The provenance of an open run.

use evaluation::{RunEntry, RunInfo};

use crate::errors;
use crate::fields;
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
                Err(error) => Err(errors::chain(error)),
            },
            labels: run.as_ref().ok().and_then(|run| run.labels.clone()),
        })
    };
    session.entries.iter().map(entry).collect()
}

fn run_info(run: &OpenRun) -> anyhow::Result<RunInfo> {
    let settings = run.input.settings().into_iter();
    let reading = &run.reading;
    let info = RunInfo {
        preprocessing: settings
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        classes: run.classes,
        interpretation: reading.is_decided().then_some(reading.interpretation),
        scores_by: fields::origin(&reading.origin),
        output: reading.kind,
        multi_label: reading.multi_label.is_some(),
        values: run.values,
        ..RunInfo::new(&run.name, run.info())
    };
    Ok(info.with_model(&run.model)?)
}
