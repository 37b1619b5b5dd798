//! The preprocessing of a model, with its notes on stderr.

use std::path::Path;
use std::sync::Arc;

use backend_api::InferBackend;
use image_classification::{
    FittedPreprocessing, OutputReading, PreprocessOverrides, ResolvedPreprocessing,
};

use crate::args::Decode;
use crate::fields;
use crate::images::Preparation;
use crate::inputs::Input;
use crate::messages::Messages;
use crate::pipeline::first_outputs;

/// Resolves the preprocessing of `model` from the flags, the model and the files beside it.
pub fn find(
    model: &Path,
    overrides: &PreprocessOverrides,
    messages: &Messages,
) -> anyhow::Result<ResolvedPreprocessing> {
    let resolved = ResolvedPreprocessing::find(model, overrides)?;
    messages.notes(&resolved.notes);
    Ok(resolved)
}

/// Fits `resolved` to the model that `backend` has opened. The first of the `inputs` decide what nothing else tells.
pub fn fit(
    resolved: ResolvedPreprocessing,
    backend: &Arc<dyn InferBackend>,
    batch: Option<usize>,
    inputs: &[Input],
    messages: &Messages,
) -> anyhow::Result<FittedPreprocessing> {
    let mut fitted = resolved.fit(backend.info())?;
    if fitted.reading.is_none() && !inputs.is_empty() {
        let outputs = first_outputs(backend, preparation(&fitted, batch), inputs)?;
        fitted.read_outputs(&outputs);
    }
    messages.notes(&fitted.notes);
    Ok(fitted)
}

/// Returns the reading of the outputs, which are raw values where nothing tells more.
pub fn reading(fitted: &FittedPreprocessing) -> OutputReading {
    fitted.reading.clone().unwrap_or_else(OutputReading::raw)
}

/// Returns everything that decides which tensor an image becomes. `batch` is for a model that leaves it open.
pub fn preparation(fitted: &FittedPreprocessing, batch: Option<usize>) -> Preparation {
    Preparation {
        preprocess: fitted.resolved.preprocess,
        layout: fitted.layout,
        batch: fitted.layout.batch().or(batch).unwrap_or(1),
        decode: fitted.resolved.decode.into(),
    }
}

/// Returns every value with its origin, a line each.
pub fn lines(fitted: &FittedPreprocessing) -> Vec<String> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |key: &str, value: &str, by: &str| {
        rows.push([key, value, by].map(str::to_owned));
    };
    for setting in fitted.settings() {
        row(
            setting.key,
            &setting.value,
            &fields::origin(&setting.origin),
        );
        for (value, origin) in &setting.others {
            row("", &format!("not {value}"), &fields::origin(origin));
        }
    }
    let decode = Decode::from(fitted.resolved.decode);
    let by = match decode {
        Decode::Exact => "",
        Decode::Fast => "--decode",
    };
    row("decode", decode.as_str(), by);
    match &fitted.labels {
        Some(labels) => {
            let count = labels.value.len().to_string();
            row("labels", &count, &fields::origin(&labels.origin));
        }
        None => row("labels", "none", ""),
    }
    match &fitted.reading {
        Some(reading) => {
            let rule = reading.interpretation.scoring.to_string();
            row("scores", &rule, &fields::origin(&reading.origin));
        }
        None => row("scores", "decided by the first images", ""),
    }
    if !fitted.resolved.unused.is_empty() {
        row("not used", &fitted.resolved.unused.join(", "), "");
    }
    // A long value without an origin needs no column.
    let values = rows.iter().filter(|[_, _, by]| !by.is_empty());
    let widest = values.map(|[_, value, _]| value.chars().count()).max();
    let width = widest.map_or(0, |widest| widest + 1).max(24);
    rows.iter()
        .map(|[key, value, by]| {
            let line = format!("{key:<14} {value:<width$} {by}");
            line.trim_end().to_owned()
        })
        .collect()
}
