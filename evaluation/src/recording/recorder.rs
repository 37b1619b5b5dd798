//! The writer of recordings.

use std::io::{self, Write};
use std::path::Path;

use backend_api::Tensor;
use image_classification::Labels;
use serde::Serialize;

use super::error::RecordingError;
use super::line::{Footer, Header, Image, KIND};
use crate::digest::ImageDigests;
use crate::provenance::RunInfo;

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    out: W,
    images: usize,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording of `runs` on `out`, which should be buffered.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Write`].
    pub fn start(out: W, runs: Vec<RunInfo>) -> Result<Self, RecordingError> {
        Self::begin(out, runs, &[])
    }

    /// Begins a recording of `runs` with the labels of each, by which an evaluation judges them later.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Write`].
    pub fn start_with_labels(
        out: W,
        runs: Vec<(RunInfo, Option<Labels>)>,
    ) -> Result<Self, RecordingError> {
        let (runs, labels): (_, Vec<_>) = runs.into_iter().unzip();
        Self::begin(out, runs, &labels)
    }

    fn begin(
        out: W,
        runs: Vec<RunInfo>,
        labels: &[Option<Labels>],
    ) -> Result<Self, RecordingError> {
        let mut recorder = Self { out, images: 0 };
        let lists = |of: fn(&Labels) -> &[String]| {
            let list = |labels: &Option<Labels>| Some(of(labels.as_ref()?).to_vec());
            labels.iter().map(list).collect::<Vec<_>>()
        };
        let mut synsets = lists(Labels::synsets);
        if synsets.iter().flatten().all(Vec::is_empty) {
            synsets.clear();
        }
        recorder.line(&Header {
            schema_version: 1,
            kind: KIND.to_owned(),
            runs,
            labels: lists(Labels::names),
            synsets,
        })?;
        Ok(recorder)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), RecordingError> {
        let text = serde_json::to_vec(value).map_err(io::Error::from);
        let written = text.and_then(|mut text| {
            text.push(b'\n');
            self.out.write_all(&text)
        });
        written.map_err(RecordingError::Write)
    }

    /// Adds an image, with one output or `None` for each run.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Write`].
    pub fn add(
        &mut self,
        path: &Path,
        digests: &ImageDigests,
        outputs: &[Option<&Tensor>],
    ) -> Result<(), RecordingError> {
        self.images += 1;
        let finite = |tensor: &Tensor| {
            let values = tensor.to_f32();
            values
                .iter()
                .map(|value| value.is_finite().then_some(*value))
                .collect()
        };
        self.line(&Image {
            path: path.to_string_lossy().into_owned(),
            sha256: digests.file,
            tensor_sha256: digests.tensor,
            pixels_sha256: digests.pixels,
            outputs: outputs.iter().map(|output| output.map(finite)).collect(),
        })
    }

    /// Completes the recording and returns `out`.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Write`].
    pub fn finish(mut self) -> Result<W, RecordingError> {
        let images = self.images;
        self.line(&Footer { images })?;
        Ok(self.out)
    }
}
