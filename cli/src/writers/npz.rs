//! Arrays for `NumPy`: `docs/output.md`.
//!
//! An `.npz` is a zip archive of `.npy` files, which are a header and the elements. The number of images is known at the
//! end, so that the elements wait in temporary files.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;

use anyhow::Context as _;
use backend_api::{Dim, ElementType, Tensor, TensorSpec};
use evaluation::text::printable;
use image_classification::Scoring;
use tempfile::SpooledTempFile;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Classified, ResultContext};
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
/// Files of at least this size need the larger form of an archive. The headers of files have room below it.
const LARGE_FILE: u64 = u32::MAX as u64 - 0xffff;

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
        let mut archive = Archive(ZipWriter::new_stream(self.out));
        for rows in self.outputs {
            rows.write(count, &mut archive)?;
        }
        archive.texts(IMAGE_PATHS, &self.paths)?;
        let classes: Vec<u8> = self
            .best
            .iter()
            .flat_map(|(class, _)| class.to_ne_bytes())
            .collect();
        archive.file(
            BEST_CLASS,
            &descr("i8"),
            &[count],
            classes.len() as u64,
            |out| out.write_all(&classes),
        )?;
        let scores: Vec<u8> = self
            .best
            .iter()
            .flat_map(|(_, score)| score.to_ne_bytes())
            .collect();
        archive.file(
            BEST_SCORE,
            &descr("f4"),
            &[count],
            scores.len() as u64,
            |out| out.write_all(&scores),
        )?;
        archive.texts(FAILED_PATHS, &self.failed)?;
        let out = archive.0.finish().context("cannot write the results")?;
        let mut out = out.into_inner();
        out.flush()?;
        Ok(out)
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
        let Some(kind) = kind(*element_type) else {
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
        // NumPy has no bf16.
        let widened: Vec<u8>;
        let bytes = if tensor.element_type() == ElementType::Bf16 {
            let values = tensor.to_f32();
            widened = values
                .iter()
                .flat_map(|value| value.to_ne_bytes())
                .collect();
            &widened
        } else {
            tensor.as_bytes()
        };
        self.elements.write_all(bytes).with_context(what)
    }

    fn write(mut self, count: usize, archive: &mut Archive) -> anyhow::Result<()> {
        let shape = [&[count][..], &self.shape].concat();
        let bytes = self.elements.stream_position()?;
        self.elements.seek(SeekFrom::Start(0))?;
        let descr = descr(self.kind);
        archive.file(&self.name, &descr, &shape, bytes, |out| {
            io::copy(&mut self.elements, out).map(drop)
        })
    }
}

/// Returns `NumPy`'s name of an element type, without the order of bytes. bf16 is widened.
fn kind(element_type: ElementType) -> Option<&'static str> {
    Some(match element_type {
        ElementType::F64 => "f8",
        ElementType::F16 => "f2",
        ElementType::F32 | ElementType::Bf16 => "f4",
        ElementType::U8 => "u1",
        ElementType::U16 => "u2",
        ElementType::U32 => "u4",
        ElementType::U64 => "u8",
        ElementType::I8 => "i1",
        ElementType::I16 => "i2",
        ElementType::I32 => "i4",
        ElementType::I64 => "i8",
        _ => return None,
    })
}

/// Returns the shape for one image, without a batch of 1.
fn of_image(shape: &[usize]) -> &[usize] {
    match shape {
        [1, rest @ ..] => rest,
        all => all,
    }
}

/// Returns `NumPy`'s name of a type in the order of bytes of this machine.
fn descr(kind: &str) -> String {
    let order = if cfg!(target_endian = "little") {
        '<'
    } else {
        '>'
    };
    format!("{order}{kind}")
}

struct Archive(ZipWriter<zip::write::StreamWriter<Output>>);

impl Archive {
    /// Adds an array whose elements are `bytes` bytes, which `write` writes.
    fn file(
        &mut self,
        name: &str,
        descr: &str,
        shape: &[usize],
        bytes: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let what = || format!("cannot write the array {}", printable(name));
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .large_file(bytes >= LARGE_FILE);
        let started = self.0.start_file(format!("{name}.npy"), options);
        started.map_err(io::Error::from).with_context(what)?;
        self.0.write_all(&header(descr, shape)).with_context(what)?;
        write(&mut self.0).with_context(what)
    }

    /// Adds an array of texts, which all have the room of the longest.
    fn texts(&mut self, name: &str, texts: &[String]) -> anyhow::Result<()> {
        let longest = texts.iter().map(|text| text.chars().count()).max();
        // NumPy has no text of length 0.
        let width = longest.unwrap_or(0).max(1);
        let bytes = texts.len() as u64 * width as u64 * 4;
        let descr = descr(&format!("U{width}"));
        self.file(name, &descr, &[texts.len()], bytes, |out| {
            // One text at a time: a single long path would make all of them long.
            let mut out = BufWriter::new(out);
            for text in texts {
                let letters = text.chars().map(u32::from).chain(std::iter::repeat(0));
                for letter in letters.take(width) {
                    out.write_all(&letter.to_ne_bytes())?;
                }
            }
            out.flush()
        })
    }
}

/// Returns the header of an `.npy` file, version 1.0: `numpy.lib.format`.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for size in shape {
        let _ = write!(dict, "{size}, ");
    }
    dict.push_str(")}");
    // Magic, version, length, and a line end; the elements begin at a multiple of 64 bytes.
    let begin = 10;
    let length = (begin + dict.len() + 1).next_multiple_of(64) - begin;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{dict:<width$}\n", width = length - 1).bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        let header = header("<f4", &[3, 12]);
        // `numpy.lib.format.write_array` writes the same, except for the blank at the end of the shape.
        let text = "\u{1}\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 12, )}";
        let (magic, rest) = header.split_at(6);
        assert_eq!(magic, b"\x93NUMPY");
        assert!(rest.starts_with(text.as_bytes()), "{rest:?}");
        assert_eq!((header.len(), header.last()), (128, Some(&b'\n')));
        assert!(
            rest[text.len()..rest.len() - 1]
                .iter()
                .all(|byte| *byte == b' ')
        );
    }

    #[test]
    fn every_integer_has_a_type_of_its_size() {
        for (element_type, expected) in [
            (ElementType::U16, "u2"),
            (ElementType::U32, "u4"),
            (ElementType::U64, "u8"),
            (ElementType::I16, "i2"),
        ] {
            assert_eq!(kind(element_type), Some(expected));
        }
    }

    #[test]
    fn a_batch_of_one_is_the_row_of_an_image() {
        assert_eq!(of_image(&[1, 12]), [12]);
        assert_eq!(of_image(&[12]), [12]);
        assert_eq!(of_image(&[196, 64]), [196, 64]);
        assert!(of_image(&[]).is_empty() && of_image(&[1]).is_empty());
    }
}
