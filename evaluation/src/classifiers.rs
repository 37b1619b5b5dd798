//! Classifiers as the runs of a comparison or an evaluation.

use std::path::{Path, PathBuf};

use backend_api::{Error, Tensor};
use futures_util::stream::{Stream, StreamExt as _};
use image_classification::{
    Answer, Classifier, Digests, Feed, FeedOptions, FirstOutputs, FittedPreprocessing, Image,
    ImageOutputs, ImageSource,
};

use crate::digest::{Digest, ImageDigests};
use crate::failure::Problem;
use crate::provenance::{RunEntry, RunInfo};

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

/// The answers of all classifiers for an image.
pub(crate) type NamedAnswer = Answer<PathBuf>;

/// Classifiers that get the same images.
#[derive(Debug)]
pub(crate) struct ClassifierRuns {
    classifiers: Vec<Classifier>,
    names: Vec<String>,
}

impl ClassifierRuns {
    pub fn new(classifiers: impl IntoIterator<Item = Classifier>) -> Self {
        let classifiers: Vec<Classifier> = classifiers.into_iter().collect();
        Self {
            names: names(&classifiers),
            classifiers,
        }
    }

    /// Returns the feed of all classifiers.
    pub fn feed(&self, mut options: FeedOptions, digests: Digests<bool>) -> Feed {
        options.digests = digests;
        let runs = self.classifiers.iter().map(Classifier::to_feed);
        Feed::new(runs.collect(), options)
    }

    /// Describes the classifiers. The first outputs among the `answers` decide the scores of those that do not state
    /// them; the answers used for that are returned, too.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read.
    pub async fn describe(
        &self,
        answers: &mut (impl Stream<Item = NamedAnswer> + Unpin),
    ) -> Result<(Vec<RunEntry>, Vec<NamedAnswer>), Error> {
        let mut taken = Vec::new();
        let fitted = self.classifiers.iter().map(Classifier::preprocessing);
        let mut fitted: Vec<FittedPreprocessing> = fitted.cloned().collect();
        let undecided = fitted.iter_mut().enumerate();
        let undecided = undecided.filter(|(_, fitted)| fitted.reading.is_none());
        let mut undecided: Vec<_> = undecided
            .map(|(run, fitted)| (run, fitted, FirstOutputs::default()))
            .collect();
        while undecided.iter().any(|(.., first)| first.missing() > 0)
            && let Some(answer) = answers.next().await
        {
            for (run, _, first) in &mut undecided {
                first.add(&answer.result, *run);
            }
            taken.push(answer);
        }
        for (_, fitted, first) in undecided {
            fitted.read_outputs(first.outputs());
        }
        let runs = self.names.iter().zip(&self.classifiers).zip(&fitted);
        let entries = runs.map(|((name, classifier), fitted)| {
            let info = RunInfo::new(name, classifier.backend().info()).with_preprocessing(fitted);
            Ok(RunEntry {
                name: name.clone(),
                info: Ok(match &classifier.backend().info().model {
                    Some(model) => info.with_model(model)?,
                    None => info,
                }),
                labels: fitted.labels.as_ref().map(|labels| labels.value.clone()),
            })
        });
        Ok((entries.collect::<Result<_, Error>>()?, taken))
    }
}

/// The name of each classifier, `BACKEND:DEVICE@PRECISION`; the second of the same name has ` (2)` behind it.
fn names(classifiers: &[Classifier]) -> Vec<String> {
    let texts = classifiers.iter().map(|classifier| {
        let info = classifier.backend().info();
        let parts = [(":", &info.requested_device), ("@", &info.precision)];
        let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
        let parts: Vec<String> = parts.map(|(mark, part)| format!("{mark}{part}")).collect();
        format!("{}{}", info.backend, parts.concat())
    });
    let texts: Vec<String> = texts.collect();
    let name = |(place, text): (usize, &String)| {
        let earlier = texts[..place].iter().filter(|other| *other == text).count();
        match earlier {
            0 => text.clone(),
            earlier => format!("{text} ({})", earlier + 1),
        }
    };
    texts.iter().enumerate().map(name).collect()
}

/// The digests of an image. An image that was given decoded has no file: its tensor identifies it.
pub(crate) fn image_digests(outputs: &ImageOutputs) -> ImageDigests {
    let Digests {
        file,
        tensor,
        pixels,
    } = outputs.digests.map(|digest| digest.map(Digest::from));
    let tensor = tensor.unwrap_or_else(|| Digest::of(&[]));
    ImageDigests {
        file: file.unwrap_or(tensor),
        tensor,
        pixels,
    }
}

/// The outputs of the classifiers for an image, or their problems.
pub(crate) fn run_outputs(outputs: ImageOutputs) -> Vec<Result<Tensor, Problem>> {
    let outputs = outputs.runs.into_iter().map(|output| match output {
        Ok(output) => Ok(output.tensor),
        Err(error) => Err(Problem::from(&*error)),
    });
    outputs.collect()
}

/// The side of the artificial image.
const ARTIFICIAL_SIDE: u32 = 96;

/// Returns an artificial image: coloured noise, always the same. The answers for it and for one image show
/// whether answers depend on the image.
pub fn artificial_image() -> Image {
    let mut random = fastrand::Rng::with_seed(1927);
    let pixels = (0..ARTIFICIAL_SIDE * ARTIFICIAL_SIDE * 3).map(|_| random.u8(..));
    Image::from_rgb(ARTIFICIAL_SIDE, ARTIFICIAL_SIDE, pixels.collect())
        .expect("three bytes for each pixel")
}
