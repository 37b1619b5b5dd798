//! Recordings of an evaluation: the one that it is compared against, and the one that it writes.

use std::fmt;
use std::io::{Read, Seek, Write};
use std::path::Path;

use backend_api::Tensor;
use image_classification::Labels;

use super::error::EvaluationError;
use crate::digest::{Digest, ImageDigests};
use crate::failure::Problem;
use crate::provenance::{RunEntry, RunInfo};
use crate::recording::{Recorder, Recording, RecordingError};

/// The recordings of an evaluation. The default has none.
#[derive(Default)]
pub struct Recordings<'r> {
    pub(super) against: Option<&'r mut dyn RecordedAnswers>,
    pub(super) out: Option<&'r mut dyn AnswerRecorder>,
}

impl fmt::Debug for Recordings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recordings")
            .field("against", &self.against.is_some())
            .field("out", &self.out.is_some())
            .finish()
    }
}

impl<'r> Recordings<'r> {
    /// Judges the answers in `recording`, too. Its first run is the reference, unless the options name another.
    #[must_use]
    pub fn against<R: Read + Seek + Send>(mut self, recording: &'r mut Recording<R>) -> Self {
        self.against = Some(recording);
        self
    }

    /// Records the answers of the judged runs.
    #[must_use]
    pub fn record<W: Write + Send>(mut self, out: &'r mut RecordingWriter<W>) -> Self {
        self.out = Some(out);
        self
    }
}

/// Answers of an earlier evaluation or comparison.
pub(super) trait RecordedAnswers: Send {
    fn entries(&self) -> Vec<RunEntry>;
    /// Returns the outputs of the recorded runs for an image.
    fn outputs(&mut self, file: &Digest) -> Result<Vec<Option<Tensor>>, RecordingError>;
    /// Returns the problem of an evaluation to which not all recorded images were given.
    fn unused_problem(&self) -> Option<Problem>;
}

impl<R: Read + Seek + Send> RecordedAnswers for Recording<R> {
    fn entries(&self) -> Vec<RunEntry> {
        Self::entries(self)
    }

    fn outputs(&mut self, file: &Digest) -> Result<Vec<Option<Tensor>>, RecordingError> {
        self.outputs_of_file(file)
    }

    fn unused_problem(&self) -> Option<Problem> {
        Self::unused_problem(self)
    }
}

/// Writes the answers of an evaluation as they come. The caller keeps it, and [finishes](Self::finish) it afterwards.
pub struct RecordingWriter<W: Write>(State<W>);

enum State<W: Write> {
    Waiting(W),
    Started(Recorder<W>),
    Failed(RecordingError),
    /// While the state changes.
    Changing,
}

impl<W: Write> fmt::Debug for RecordingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Waiting(_) => "RecordingWriter(waiting)",
            State::Started(_) => "RecordingWriter(started)",
            State::Failed(_) | State::Changing => "RecordingWriter(failed)",
        })
    }
}

impl<W: Write> RecordingWriter<W> {
    /// Returns a recording on `out`, which should be buffered.
    pub const fn new(out: W) -> Self {
        Self(State::Waiting(out))
    }

    /// Completes the recording and returns `out`.
    ///
    /// # Errors
    ///
    /// The error that ended the recording, and [`RecordingError::NoRuns`] if nothing was recorded.
    pub fn finish(self) -> Result<W, RecordingError> {
        match self.0 {
            State::Started(recorder) => recorder.finish(),
            State::Failed(error) => Err(error),
            State::Waiting(_) | State::Changing => Err(RecordingError::NoRuns),
        }
    }
}

/// Records answers.
pub(super) trait AnswerRecorder: Send {
    fn start(&mut self, runs: Vec<(RunInfo, Option<Labels>)>);
    fn add(&mut self, path: &Path, digests: &ImageDigests, outputs: &[Result<Tensor, Problem>]);
}

impl<W: Write + Send> AnswerRecorder for RecordingWriter<W> {
    fn start(&mut self, runs: Vec<(RunInfo, Option<Labels>)>) {
        self.0 = match std::mem::replace(&mut self.0, State::Changing) {
            State::Waiting(out) if !runs.is_empty() => {
                match Recorder::start_with_labels(out, runs) {
                    Ok(recorder) => State::Started(recorder),
                    Err(error) => State::Failed(error),
                }
            }
            other => other,
        };
    }

    fn add(&mut self, path: &Path, digests: &ImageDigests, outputs: &[Result<Tensor, Problem>]) {
        let State::Started(recorder) = &mut self.0 else {
            return;
        };
        let outputs: Vec<Option<&Tensor>> = outputs.iter().map(|it| it.as_ref().ok()).collect();
        // A disk that is full loses the recording, and nothing else.
        if let Err(error) = recorder.add(path, digests, &outputs) {
            self.0 = State::Failed(error);
        }
    }
}

/// Gives recorded runs without labels those of a run with the same model: recordings of comparisons have none.
pub(super) fn add_labels(recorded: &mut [RunEntry], opened: &[RunEntry]) {
    for entry in recorded.iter_mut().filter(|entry| entry.labels.is_none()) {
        let Ok(info) = &entry.info else {
            continue;
        };
        let has_model = |other: &&RunEntry| {
            let other = other.info.as_ref();
            other.is_ok_and(|other| other.has_model_of(info))
        };
        let same = opened.iter().find(has_model);
        entry.labels = same.and_then(|same| same.labels.clone());
    }
}

/// Checks that a run's model is that of a recorded run, if there are recorded runs.
///
/// # Errors
///
/// [`EvaluationError::OtherModel`].
pub(super) fn check_model(entries: &[RunEntry], own: &RunInfo) -> Result<(), EvaluationError> {
    let infos = entries.iter().filter_map(|entry| entry.info.as_ref().ok());
    let mut recorded = infos.filter(|info| info.recorded).peekable();
    let Some(first) = recorded.peek().copied() else {
        return Ok(());
    };
    if own.recorded || recorded.any(|info| info.has_model_of(own)) {
        return Ok(());
    }
    Err(EvaluationError::OtherModel {
        model: own.model.clone(),
        recorded: first.model.clone(),
    })
}
