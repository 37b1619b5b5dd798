//! The runs of a comparison: the comparable ones, their basis, and the tolerance.

use std::io::{Read, Seek};
use std::path::Path;

use backend_api::Tensor;
use image_classification::{Interpretation, Labels};

use super::error::ComparisonError;
use crate::accuracy::LabelDifference;
use crate::agreement::{Basis, ToleranceName};
use crate::digest::ImageDigests;
use crate::failure::Problem;
use crate::provenance::{RunEntry, RunInfo};
use crate::recording::{Recording, RecordingError};
use crate::run::MOST_RUNS;
use crate::text::chain;

/// The runs of a comparison, in the order of the report. Those that cannot be compared with the reference are rejected.
#[derive(Debug)]
pub struct ComparedRuns {
    entries: Vec<RunEntry>,
    reference: usize,
    /// The score rule of each run.
    interpretations: Vec<Interpretation>,
    rejected: Vec<(usize, ComparisonError)>,
}

impl ComparedRuns {
    /// Chooses the reference, the first run unless it is named, and compares the others' preprocessing, outputs and
    /// classes with its. The models of runs have to be recorded if there are recorded runs.
    ///
    /// # Errors
    ///
    /// [`ComparisonError::UnknownReference`], and [`ComparisonError::TooManyRuns`] for more than [`MOST_RUNS`].
    pub fn new(
        mut entries: Vec<RunEntry>,
        reference: Option<&str>,
    ) -> Result<Self, ComparisonError> {
        if entries.len() > MOST_RUNS {
            return Err(ComparisonError::TooManyRuns {
                runs: entries.len(),
                limit: MOST_RUNS,
            });
        }
        let requested = match reference {
            None => 0,
            Some(name) => entries
                .iter()
                .position(|entry| entry.name == name)
                .ok_or_else(|| ComparisonError::UnknownReference {
                    reference: name.to_owned(),
                    runs: entries.iter().map(|entry| entry.name.clone()).collect(),
                })?,
        };
        // If the reference cannot run, the others are still compared; the verdict names the failure.
        let is_ready = |index: &usize| entries.get(*index).is_some_and(|entry| entry.info.is_ok());
        let reference = Some(requested)
            .filter(is_ready)
            .or_else(|| (0..entries.len()).find(is_ready))
            .unwrap_or(requested);
        let rejected = reject(&mut entries, reference);
        let known = |entry: &RunEntry| entry.info.as_ref().ok()?.interpretation;
        // A run without a finite output has no reading; it differs from every other run.
        let any = entries.get(reference).and_then(known);
        let any = any.or_else(|| entries.iter().find_map(known));
        let any = any.unwrap_or(Interpretation::RAW);
        Ok(Self {
            interpretations: entries
                .iter()
                .map(|entry| known(entry).unwrap_or(any))
                .collect(),
            entries,
            reference,
            rejected,
        })
    }

    /// Returns all runs.
    pub fn entries(&self) -> &[RunEntry] {
        &self.entries
    }

    /// Returns the place of the reference.
    pub const fn reference(&self) -> usize {
        self.reference
    }

    /// Returns the runs that cannot be compared with the reference, by their places.
    pub fn rejected(&self) -> &[(usize, ComparisonError)] {
        &self.rejected
    }

    /// Returns the places of the runs that are compared.
    pub fn ready(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.entries.len()).filter(|index| self.entries[*index].info.is_ok())
    }

    /// Returns the tolerance for the precisions of the runs, and the run or file that decides it.
    ///
    /// It is the tolerance of the coarsest precision in which a run computes or different model files hold their
    /// weights.
    pub fn default_tolerance(&self) -> (ToleranceName, String) {
        let infos = self
            .entries
            .iter()
            .filter_map(|entry| entry.info.as_ref().ok());
        let infos: Vec<&RunInfo> = infos.collect();
        default_tolerance(&infos)
    }

    /// Returns whether the first recorded run and the first other one make the same tensor of an image.
    pub fn same_tensors(&self) -> bool {
        let first = |recorded: bool| {
            let mut infos = self
                .entries
                .iter()
                .filter_map(|entry| entry.info.as_ref().ok());
            infos.find(|info| info.recorded == recorded)
        };
        first(true)
            .zip(first(false))
            .is_some_and(|(recorded, other)| differences(recorded, other).is_empty())
    }

    /// Returns the recorded outputs of the image at `path`, for the compared runs of `recording`, in their order. The
    /// recorded runs are the first of these runs.
    ///
    /// # Errors
    ///
    /// The errors of [`Recording::outputs`].
    pub fn recorded_outputs<R: Read + Seek>(
        &self,
        recording: &mut Recording<R>,
        path: &Path,
        digests: &ImageDigests,
    ) -> Result<Vec<Result<Tensor, Problem>>, RecordingError> {
        let mut outputs = recording.outputs(path, digests, !self.same_tensors())?;
        let output = |place: usize| {
            let output = outputs[place].take();
            output.ok_or_else(|| RecordingError::FailedRun.problem())
        };
        let recorded = recording.runs().len();
        let places = self.ready().take_while(|place| *place < recorded);
        Ok(places.map(output).collect())
    }

    /// Returns the runs that are compared and have labels, by their places.
    fn labelled(&self) -> impl Iterator<Item = (usize, &Labels)> {
        self.ready()
            .filter_map(|index| Some((index, self.entries[index].labels.as_ref()?)))
    }

    /// Returns the labels of the first run that has some.
    pub fn labels(&self) -> Option<&Labels> {
        Some(self.labelled().next()?.1)
    }

    /// Returns the runs whose labels differ from the first run that has labels, each with the place of that run:
    /// the same place in two outputs means different things.
    pub fn label_differences(&self) -> Vec<(usize, LabelDifference, usize)> {
        let mut labelled = self.labelled();
        let Some((first, labels)) = labelled.next() else {
            return Vec::new();
        };
        labelled
            .filter_map(|(run, own)| {
                let difference = LabelDifference::between((Some(labels), None), (Some(own), None))?;
                Some((run, difference, first))
            })
            .collect()
    }

    /// Returns the score rule of the run at `index`.
    pub fn interpretation(&self, index: usize) -> &Interpretation {
        &self.interpretations[index]
    }

    pub(super) fn into_entries(self) -> Vec<RunEntry> {
        self.entries
    }
}

/// Rejects the runs that cannot be compared with the reference.
fn reject(entries: &mut [RunEntry], reference: usize) -> Vec<(usize, ComparisonError)> {
    let mut rejected = Vec::new();
    let Some(RunEntry {
        name,
        info: Ok(info),
        ..
    }) = entries.get(reference).cloned()
    else {
        return rejected;
    };
    // Outputs of another program may lack the preprocessing. The first run is held to the digests of its tensors, the
    // others to the preprocessing of the first.
    let (prepared_like, prepared) = Some((name.clone(), info.clone()))
        .filter(|_| info.source.is_none() || !info.preprocessing.is_empty())
        .or_else(|| first_preprocessing(entries))
        .unwrap_or_else(|| (name.clone(), info.clone()));
    let infos = entries.iter().filter_map(|entry| entry.info.as_ref().ok());
    // Another program has another file of the model.
    let recorded = infos.filter(|info| info.recorded && info.source.is_none());
    let recorded: Vec<RunInfo> = recorded.cloned().collect();
    for (index, entry) in entries.iter_mut().enumerate() {
        let Ok(own) = &entry.info else {
            continue;
        };
        if let Some(error) = other_preprocessing(&prepared_like, &prepared, own)
            .or_else(|| other_outputs(&name, &info, own))
            .or_else(|| not_recorded(&recorded, own))
        {
            entry.info = Err(chain(&error));
            rejected.push((index, error));
        }
    }
    rejected
}

/// Returns the tolerance for the precisions of `infos`, and why.
fn default_tolerance(infos: &[&RunInfo]) -> (ToleranceName, String) {
    let computed = infos.iter().map(|info| {
        let name = ToleranceName::of_precision(&info.precision);
        (
            name,
            format!("{} computes in {}", info.name, info.precision),
        )
    });
    // Engines round values to other steps, even with the same file.
    let quantized = infos.iter().filter_map(|info| {
        let nodes = info.quantization()?;
        let why = format!("{} is quantized: {nodes}", info.model);
        Some((ToleranceName::Int8, why))
    });
    // The same file holds the same weights for every run.
    let same_model = infos.windows(2).all(|pair| pair[0].has_model_of(pair[1]));
    let stored = infos.iter().filter(|_| !same_model).filter_map(|info| {
        let precision = info.stored_precision.as_deref()?;
        let name = ToleranceName::of_precision(precision);
        Some((name, format!("{} holds {precision} weights", info.model)))
    });
    // The first of the coarsest.
    let coarsest = quantized
        .chain(computed)
        .chain(stored)
        .reduce(|most, next| if next.0 > most.0 { next } else { most });
    match coarsest {
        Some((name, why)) if name > ToleranceName::F32 => (name, why),
        _ => (
            ToleranceName::F32,
            match infos.iter().find(|info| info.precision == "unknown") {
                // The strictest: a server does not tell.
                Some(info) => format!("the precision of {} is not known", info.name),
                None => "all runs compute in f32".to_owned(),
            },
        ),
    }
}

/// The settings that a model's input decides: the order and type of the same pixels.
const INPUT_SETTINGS: [&str; 3] = ["layout", "type", "batch"];
/// The settings that are inside a model that takes raw pixels, and outside one that takes normalized values.
const VALUE_SETTINGS: [&str; 3] = ["color", "mean", "scale"];

/// Returns the name and the preprocessing of the first run of which it is known.
fn first_preprocessing(entries: &[RunEntry]) -> Option<(String, RunInfo)> {
    let known = entries.iter().filter_map(|entry| {
        let info = entry.info.as_ref().ok()?;
        let is_known = !info.preprocessing.is_empty();
        is_known.then(|| (entry.name.clone(), info.clone()))
    });
    known.into_iter().next()
}

/// Returns the error if the preprocessing of a run differs from the reference's, which is called `name`.
fn other_preprocessing(name: &str, reference: &RunInfo, own: &RunInfo) -> Option<ComparisonError> {
    if own.source.is_some() && own.preprocessing.is_empty() {
        return None;
    }
    // A model that takes integers normalizes inside its graph: the pixels are the same.
    let one_takes_pixels = takes_pixels(reference) != takes_pixels(own);
    let differences: Vec<String> = differences(reference, own)
        .into_iter()
        .filter(|(key, ..)| {
            let is_decided_by_model =
                INPUT_SETTINGS.contains(key) || (one_takes_pixels && VALUE_SETTINGS.contains(key));
            !is_decided_by_model
        })
        .map(|(key, value, other)| format!("{key} {other} (reference: {value})"))
        .collect();
    (!differences.is_empty()).then(|| ComparisonError::OtherPreprocessing {
        reference: name.to_owned(),
        differences,
    })
}

/// Returns the error if the outputs of two runs cannot be compared. `name` is the reference's.
fn other_outputs(name: &str, reference: &RunInfo, own: &RunInfo) -> Option<ComparisonError> {
    if let (Some(one), Some(other)) = (reference.interpretation, own.interpretation)
        && let Err(why) = Basis::of(one.scoring, other.scoring)
    {
        return Some(ComparisonError::OtherOutputs {
            reason: why.replace("the reference", name),
        });
    }
    if let (Some(own), Some(classes)) = (own.classes, reference.classes)
        && own != classes
    {
        return Some(ComparisonError::OtherClasses {
            classes: own,
            reference: name.to_owned(),
            reference_classes: classes,
        });
    }
    None
}

/// Returns the error if a run's model was not recorded.
fn not_recorded(recorded: &[RunInfo], own: &RunInfo) -> Option<ComparisonError> {
    let known = recorded.iter().any(|run| run.has_model_of(own));
    let first = recorded.first().filter(|_| !known && !own.recorded)?;
    Some(ComparisonError::NotRecorded {
        model: own.model.clone(),
        digest: own.model_sha256,
        recorded: first.model.clone(),
        recorded_digest: first.model_sha256,
    })
}

fn takes_pixels(info: &RunInfo) -> bool {
    let mut settings = info.preprocessing.iter();
    settings.any(|(key, value)| key == "type" && (value == "u8" || value == "i8"))
}

/// Returns the settings in which the tensors of two runs differ: the key, the reference's value, the other one.
pub fn differences<'a>(
    reference: &'a RunInfo,
    own: &'a RunInfo,
) -> Vec<(&'a str, &'a str, &'a str)> {
    let settings = reference.preprocessing.iter();
    settings
        .filter_map(|(key, value)| {
            let found = own.preprocessing.iter().find(|(own, _)| own == key);
            let other = found.map_or("unknown", |(_, other)| other.as_str());
            (other != value).then_some((key.as_str(), value.as_str(), other))
        })
        .collect()
}
