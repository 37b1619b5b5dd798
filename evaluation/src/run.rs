//! The runs of a comparison or an evaluation, and their images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_api::{Error, InferBackend};
use image_classification::{
    Classifier, FeedRun, FittedPreprocessing, Image, ImageSource, Preparation,
};

use crate::provenance::{ModelFiles, RunEntry, RunInfo};

/// The largest number of runs of a command, recorded ones included. The models of the others are in memory together.
pub const MOST_RUNS: usize = 16;

/// An image with the name that results have for it, which is a path where there is one.
#[derive(Debug)]
pub struct NamedImage {
    /// The name.
    pub name: PathBuf,
    /// The image.
    pub source: ImageSource,
}

impl From<PathBuf> for NamedImage {
    fn from(path: PathBuf) -> Self {
        Self {
            name: path.clone(),
            source: path.into(),
        }
    }
}

impl From<&Path> for NamedImage {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl<N: Into<PathBuf>, S: Into<ImageSource>> From<(N, S)> for NamedImage {
    fn from((name, source): (N, S)) -> Self {
        Self {
            name: name.into(),
            source: source.into(),
        }
    }
}

/// A run: a model that an engine has opened, with the preprocessing that was fitted to it, or the reason why it is not
/// open.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) name: String,
    pub(crate) opened: Result<OpenedRun, String>,
}

/// A run that is open.
#[derive(Debug, Clone)]
pub(crate) struct OpenedRun {
    backend: Arc<dyn InferBackend>,
    pub fitted: FittedPreprocessing,
    preparation: Preparation,
    scores_by: Option<String>,
}

impl Run {
    /// Returns the run of `backend` with its preprocessing. `batch` is for a model that leaves it open.
    pub fn new(
        name: impl Into<String>,
        backend: Arc<dyn InferBackend>,
        fitted: FittedPreprocessing,
        batch: Option<usize>,
    ) -> Self {
        Self {
            name: name.into(),
            opened: Ok(OpenedRun {
                preparation: fitted.preparation(batch),
                backend,
                fitted,
                scores_by: None,
            }),
        }
    }

    /// Returns a run that could not be opened: the report contains it, and the verdict cannot be a success.
    pub fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            opened: Err(reason.into()),
        }
    }

    /// Sets the words for the source of the scoring decision, [`RunInfo::scores_by`]. By default they are those of
    /// [`OutputReading::origin`](image_classification::OutputReading::origin).
    #[must_use]
    pub fn scores_by(mut self, words: impl Into<String>) -> Self {
        if let Ok(opened) = &mut self.opened {
            opened.scores_by = Some(words.into());
        }
        self
    }

    /// Describes the run. `models` has the models that are described already, so that each file is read once.
    ///
    /// # Errors
    ///
    /// If the files of its model cannot be read.
    pub(crate) fn entry(
        &self,
        models: &mut HashMap<PathBuf, ModelFiles>,
    ) -> Result<RunEntry, Error> {
        let opened = match &self.opened {
            Ok(opened) => opened,
            Err(reason) => {
                return Ok(RunEntry {
                    name: self.name.clone(),
                    info: Err(reason.clone()),
                    labels: None,
                });
            }
        };
        let info = opened.backend.info();
        let mut described = RunInfo::new(&self.name, info);
        if let Some(name) = &info.model_name {
            described.model.clone_from(name);
        }
        if let Some(model) = &info.model {
            let files = match models.get(model) {
                Some(files) => *files,
                None => ModelFiles::read(model)?,
            };
            models.insert(model.clone(), files);
            described = described.with_files(model, &files);
        }
        let labels = opened.fitted.labels.as_ref();
        Ok(RunEntry {
            name: self.name.clone(),
            info: Ok(opened.describe(described, &opened.fitted)),
            labels: labels.map(|labels| labels.value.clone()),
        })
    }
}

impl From<Classifier> for Run {
    /// Converts a classifier to a run called `BACKEND:DEVICE@PRECISION`.
    fn from(classifier: Classifier) -> Self {
        let FeedRun { backend, .. } = classifier.to_feed();
        let info = backend.info();
        let parts = [(":", &info.requested_device), ("@", &info.precision)];
        let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
        let parts: Vec<String> = parts.map(|(mark, part)| format!("{mark}{part}")).collect();
        let name = format!("{}{}", info.backend, parts.concat());
        Self::new(name, backend, classifier.preprocessing().clone(), None)
    }
}

impl OpenedRun {
    /// Adds the preprocessing to `info`, with what the first outputs decided in `fitted`.
    pub fn describe(&self, info: RunInfo, fitted: &FittedPreprocessing) -> RunInfo {
        let mut info = info.with_preprocessing(fitted, &self.preparation);
        if let Some(words) = &self.scores_by {
            info.scores_by.clone_from(words);
        }
        info
    }

    /// Returns what a feed needs of the run.
    pub fn to_feed(&self) -> FeedRun {
        FeedRun {
            backend: Arc::clone(&self.backend),
            preparation: self.preparation,
        }
    }
}

/// Returns a name for each run: its text; repeated texts get a number: `onnx`, `onnx (2)`.
pub fn run_names(texts: &[impl AsRef<str>]) -> Vec<String> {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let name = |(place, text): (usize, &&str)| {
        let earlier = texts[..place].iter().filter(|other| *other == text).count();
        match earlier {
            0 => (*text).to_owned(),
            earlier => format!("{text} ({})", earlier + 1),
        }
    };
    texts.iter().enumerate().map(name).collect()
}

/// The side of the artificial image.
const ARTIFICIAL_SIDE: u32 = 96;

/// Returns an image that is not a photograph: coloured noise, always the same. The answers for it and for one image show
/// whether answers depend on the image.
pub fn artificial_image() -> Image {
    let mut random = fastrand::Rng::with_seed(1927);
    let pixels = (0..ARTIFICIAL_SIDE * ARTIFICIAL_SIDE * 3).map(|_| random.u8(..));
    Image::from_rgb(ARTIFICIAL_SIDE, ARTIFICIAL_SIDE, pixels.collect())
        .expect("three bytes for each pixel")
}
