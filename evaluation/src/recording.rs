//! Recorded runs: `--record` and `--against`. JSON Lines: a header, a line for each image, and a last
//! line without which the recording is not complete.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backend_api::Tensor;
use image_classification::FittedPreprocessing;
use serde::{Deserialize, Serialize};

use crate::facts::RunFacts;
use crate::messages::Hinted;
use crate::output::Output;
use evaluation::{Digest, ImageDigests};

const KIND: &str = "classify-recording";
/// The longest line: a million classes, sixteen runs.
const MOST_LINE_BYTES: u64 = 512 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    schema_version: u32,
    kind: String,
    runs: Vec<RunFacts>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    path: String,
    sha256: Digest,
    tensor_sha256: Digest,
    /// SHA-256 of the resized pixels, the same for models that take them in different forms. Version 0.1.0 did not
    /// write it.
    #[serde(default)]
    pixels_sha256: Option<Digest>,
    /// For each run the output as it is, or `null` where it failed. What is not finite is `null`.
    outputs: Vec<Option<Vec<Option<f32>>>>,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    #[serde(rename = "pictures")]
    images: usize,
}

/// Writes one.
pub struct Recorder {
    out: Output,
    images: usize,
}

impl Recorder {
    /// Begins on `out`.
    pub fn start(out: Output, runs: Vec<RunFacts>) -> anyhow::Result<Self> {
        let mut recorder = Self { out, images: 0 };
        recorder.line(&Header {
            schema_version: 1,
            kind: KIND.to_owned(),
            runs,
        })?;
        Ok(recorder)
    }

    fn line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        Ok(self.out.write_all(&text)?)
    }

    /// Adds an image, with one output or `None` for each run.
    pub fn add(
        &mut self,
        path: &Path,
        digests: &ImageDigests,
        outputs: &[Option<&Tensor>],
    ) -> anyhow::Result<()> {
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

    /// Completes it.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let images = self.images;
        self.line(&Footer { images })?;
        self.out.finish()
    }
}

/// The output in a recording.
fn tensor(values: Option<Vec<Option<f32>>>) -> Option<Tensor> {
    let values: Vec<f32> = values?
        .into_iter()
        .map(|value| value.unwrap_or(f32::NAN))
        .collect();
    Tensor::new([1, values.len()], values).ok()
}

/// Reads one. Only where its images are is kept in memory.
pub struct Recording {
    path: PathBuf,
    file: BufReader<File>,
    pub runs: Vec<RunFacts>,
    /// For each run its first outputs.
    pub first_outputs: Vec<Vec<Tensor>>,
    places: HashMap<Digest, Place>,
}

struct Place {
    start: u64,
    bytes: u64,
    used: bool,
}

/// What was recorded of an image.
pub struct Recorded {
    pub tensor: Digest,
    pub pixels: Option<Digest>,
    /// One for each run.
    pub outputs: Vec<Option<Tensor>>,
}

impl Recording {
    /// Opens a recording and finds its images.
    ///
    /// # Errors
    ///
    /// For what is none, or not complete, or of a later version.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::read(path).with_context(|| format!("cannot compare against {}", path.display()))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let none = || {
            Hinted::new(
                "not a classify recording",
                "make one with `classify compare … --record FILE`",
            )
        };
        let file = model_file::open_regular(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => none().into(),
            _ => anyhow::Error::new(error),
        })?;
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        let mut next = |line: &mut Vec<u8>| -> anyhow::Result<u64> {
            line.clear();
            let count = file
                .by_ref()
                .take(MOST_LINE_BYTES)
                .read_until(b'\n', line)?;
            if count as u64 == MOST_LINE_BYTES {
                return Err(none().into());
            }
            Ok(count as u64)
        };
        let mut start = next(&mut line)?;
        let header: Header = serde_json::from_slice(&line).map_err(|_| none())?;
        if header.kind != KIND || header.runs.is_empty() {
            return Err(none().into());
        }
        if header.schema_version != 1 {
            return Err(Hinted::new(
                format!(
                    "its schema version is {}, but this program reads 1",
                    header.schema_version
                ),
                "read it with the version of classify that wrote it, or record again",
            )
            .into());
        }
        let mut places = HashMap::new();
        let mut first_outputs: Vec<Vec<Tensor>> = header.runs.iter().map(|_| Vec::new()).collect();
        let mut images = 0;
        let complete = loop {
            let bytes = next(&mut line)?;
            let Ok(image) = serde_json::from_slice::<Image>(&line) else {
                let footer = serde_json::from_slice::<Footer>(&line);
                let footer = footer.is_ok_and(|footer| footer.images == images);
                break footer && next(&mut line)? == 0;
            };
            if image.outputs.len() != header.runs.len() {
                break false;
            }
            images += 1;
            for (first, output) in first_outputs.iter_mut().zip(image.outputs) {
                if first.len() < FittedPreprocessing::FIRST_IMAGES {
                    first.extend(tensor(output));
                }
            }
            places.insert(
                image.sha256,
                Place {
                    start,
                    bytes,
                    used: false,
                },
            );
            start += bytes;
        };
        if !complete {
            return Err(Hinted::new(
                format!("the recording is damaged or not complete after {images} images"),
                "record again",
            )
            .into());
        }
        let mut runs = header.runs;
        for run in &mut runs {
            run.recorded = true;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            runs,
            first_outputs,
            places,
        })
    }

    /// What was recorded of the image with these bytes.
    pub fn get(&mut self, sha256: Digest) -> anyhow::Result<Recorded> {
        let place = self.places.get_mut(&sha256).ok_or_else(|| {
            Hinted::new(
                "this image is not in the recording: its bytes are those of no recorded image",
                "give the images that were recorded, or record again",
            )
        })?;
        place.used = true;
        let mut line = vec![0; place.bytes as usize];
        let what = || format!("cannot read {}", self.path.display());
        self.file
            .seek(SeekFrom::Start(place.start))
            .with_context(what)?;
        self.file.read_exact(&mut line).with_context(what)?;
        let image: Image = serde_json::from_slice(&line).with_context(what)?;
        Ok(Recorded {
            tensor: image.tensor_sha256,
            pixels: image.pixels_sha256,
            outputs: image.outputs.into_iter().map(tensor).collect(),
        })
    }

    /// How many recorded images nobody asked for.
    pub fn unused(&self) -> usize {
        self.places.values().filter(|place| !place.used).count()
    }
}
