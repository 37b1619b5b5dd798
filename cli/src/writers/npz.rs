//! Arrays for `NumPy`: `docs/output.md`.
//!
//! The number of images is known at the end, so that the elements wait in temporary files.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context as _;
use backend_api::{Dim, ElementType, Tensor, TensorSpec};
use evaluation::text::printable;
use image_classification::Scoring;
use tempfile::SpooledTempFile;

use super::{Classified, ResultContext};
use crate::arrays::{self, ArrayWriter, of_image};
use crate::destination::Output;
use crate::errors::Hinted;

/// The paths of the images that have a row in every array.
const IMAGE_PATHS: &str = "image_paths";
/// The best class of each of them; -1 for none.
const BEST_CLASS: &str = "best_class";
/// The score of the best class; NaN for none.
const BEST_SCORE: &str = "best_score";
/// The paths of the images that failed.
const FAILED_PATHS: &str = "failed_paths";
const OWN: [&str; 4] = [IMAGE_PATHS, BEST_CLASS, BEST_SCORE, FAILED_PATHS];

/// An array is kept in memory up to this size.
const MOST_IN_MEMORY: usize = 8 << 20;

/// Writes one archive for all images.
#[derive(Debug)]
pub struct Npz {
    out: Output,
    outputs: Vec<Rows>,
    paths: Vec<String>,
    best: Vec<(i64, f32)>,
    failed: Vec<String>,
}

/// The values of an output, image by image.
#[derive(Debug)]
struct Rows {
    name: String,
    element_type: ElementType,
    /// `NumPy`'s name of it.
    kind: &'static str,
    /// The shape for one image. 0 for a size that the model leaves open, until there is an image.
    shape: Vec<usize>,
    elements: SpooledTempFile,
}

impl Npz {
    pub(super) fn new(out: Output) -> Self {
        Self {
            out,
            outputs: Vec::new(),
            paths: Vec::new(),
            best: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Prepares an array for each of the outputs that images will have. Fails for outputs that npz cannot hold.
    pub(super) fn expect<'a>(
        &mut self,
        outputs: impl Iterator<Item = &'a TensorSpec>,
    ) -> anyhow::Result<()> {
        for spec in outputs {
            let rows = Rows::of(spec)?;
            if self.outputs.iter().all(|other| other.name != rows.name) {
                self.outputs.push(rows);
            }
        }
        Ok(())
    }

    pub(super) fn result(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        let path = path.to_string_lossy().into_owned();
        let Ok(classified) = result else {
            self.failed.push(path);
            return Ok(());
        };
        for output in &classified.outputs {
            let rows = self
                .outputs
                .iter_mut()
                .find(|rows| rows.name == output.name);
            let rows = rows.expect("the model's outputs were announced");
            rows.add(&output.tensor, &path, self.paths.first())?;
        }
        self.paths.push(path);
        let has_scores = context.reading.interpretation.scoring != Scoring::ClassIds;
        self.best.push(match classified.top.first() {
            Some(best) if has_scores => (best.class_id as i64, best.score),
            Some(best) => (best.class_id as i64, f32::NAN),
            None => (-1, f32::NAN),
        });
        Ok(())
    }

    pub(super) fn into_output(self) -> anyhow::Result<Output> {
        let count = self.paths.len();
        let mut archive = ArrayWriter::npz(self.out);
        for rows in self.outputs {
            rows.write(count, &mut archive)?;
        }
        archive.texts(IMAGE_PATHS, &self.paths)?;
        let classes = self.best.iter();
        let classes: Vec<u8> = classes.flat_map(|(class, _)| class.to_ne_bytes()).collect();
        archive.array(BEST_CLASS, "i8", &[count], classes.len() as u64, |out| {
            out.write_all(&classes)
        })?;
        let scores = self.best.iter();
        let scores: Vec<u8> = scores.flat_map(|(_, score)| score.to_ne_bytes()).collect();
        archive.array(BEST_SCORE, "f4", &[count], scores.len() as u64, |out| {
            out.write_all(&scores)
        })?;
        archive.texts(FAILED_PATHS, &self.failed)?;
        let output = archive.into_outputs()?.pop();
        output.context("an archive has one destination")
    }
}

impl Rows {
    /// Rows of the type of `spec`. The first image decides the shape.
    fn of(spec: &TensorSpec) -> anyhow::Result<Self> {
        let TensorSpec {
            name, element_type, ..
        } = spec;
        if OWN.contains(&&**name) {
            return Err(Hinted::new(
                format!("the model's output {name} has the name of an array that npz has anyway"),
                "leave it out of --save-outputs, or use `--format json`",
            )
            .into());
        }
        let Some(kind) = arrays::kind(*element_type) else {
            return Err(Hinted::new(
                format!(
                    "npz cannot hold the elements of {}, {element_type}",
                    printable(name)
                ),
                "leave it out of --save-outputs, or use `--format json`",
            )
            .into());
        };
        let sizes = spec.dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Dynamic => 0,
        });
        let is_row = spec.dims.len() > 1 || matches!(spec.dims[..], [Dim::Dynamic | Dim::Fixed(1)]);
        Ok(Self {
            name: name.clone(),
            element_type: *element_type,
            kind,
            shape: sizes.skip(usize::from(is_row)).collect(),
            elements: SpooledTempFile::new(MOST_IN_MEMORY),
        })
    }

    /// Adds the value for the image at `path`. `first` is the path of the first image.
    fn add(&mut self, tensor: &Tensor, path: &str, first: Option<&String>) -> anyhow::Result<()> {
        let shape = of_image(tensor.shape());
        if first.is_none() {
            self.shape = shape.to_vec();
        }
        if shape != self.shape || tensor.element_type() != self.element_type {
            let first = first.map_or("", |first| first);
            return Err(Hinted::new(
                format!(
                    "the model's output {} has the shape {shape:?} for {}, but {:?} for {}; npz has one array for all \
                     images",
                    printable(&self.name),
                    printable(path),
                    self.shape,
                    printable(first)
                ),
                "use `--format json`, or give all images one size",
            )
            .into());
        }
        let what = || format!("cannot keep the output {}", printable(&self.name));
        self.elements
            .write_all(&arrays::bytes(tensor))
            .with_context(what)
    }

    fn write(mut self, count: usize, archive: &mut ArrayWriter) -> anyhow::Result<()> {
        let shape = [&[count][..], &self.shape].concat();
        let bytes = self.elements.stream_position()?;
        self.elements.seek(SeekFrom::Start(0))?;
        archive.array(&self.name, self.kind, &shape, bytes, |out| {
            io::copy(&mut self.elements, out).map(drop)
        })
    }
}
