//! The preprocessing of a model, with its notes on stderr.

use std::path::{Path, PathBuf};

use image_classification::{
    Decode, FittedPreprocessing, PreprocessOverrides, ResolvedPreprocessing,
};

use crate::errors::Hinted;
use crate::fields;
use crate::file_state::ModelState;
use crate::terminal::Messages;

/// The preprocessing of models, from the flags, the models and the files next to them. Each model is read once.
pub struct Resolver<'a> {
    overrides: &'a PreprocessOverrides,
    known: Vec<(PathBuf, ModelState, ResolvedPreprocessing)>,
}

impl<'a> Resolver<'a> {
    /// Returns a resolver with the flags.
    pub fn new(overrides: &'a PreprocessOverrides) -> Self {
        Self {
            overrides,
            known: Vec::new(),
        }
    }

    /// Returns the preprocessing of the local model `model` and the state of its files before they were read. Prints
    /// the notes. Only a remote engine may have no local model; the flags must state the preprocessing then.
    pub fn find(
        &mut self,
        model: Option<&Path>,
        messages: &Messages,
    ) -> anyhow::Result<(ResolvedPreprocessing, ModelState)> {
        let Some(model) = model else {
            let overrides = self.overrides;
            if overrides.preprocess.is_none() && !overrides.is_complete() {
                return Err(Hinted::new(
                    "a server does not know how its model's images are preprocessed",
                    "pass `--preprocess PATH` with a local copy of the model, its directory, or a preprocessing file; or \
                     pass --recipe",
                )
                .into());
            }
            let resolved = ResolvedPreprocessing::from_overrides(overrides)?;
            messages.notes(&resolved.notes);
            return Ok((resolved, ModelState::default()));
        };
        let known = self.known.iter().find(|(other, ..)| other == model);
        let (state, resolved) = if let Some((_, state, resolved)) = known {
            (state.clone(), resolved.clone())
        } else {
            let state = ModelState::of(model);
            let resolved = ResolvedPreprocessing::find(model, self.overrides)?;
            let known = (model.to_owned(), state.clone(), resolved.clone());
            self.known.push(known);
            (state, resolved)
        };
        messages.notes(&resolved.notes);
        Ok((resolved, state))
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
    let decode = fitted.resolved.decode;
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
    // A value without an origin does not widen the column.
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
