//! Outputs that another program computed, as the reference: the arrays that `docs/references.md` names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context as _;
use evaluation::text::printable;
use evaluation::{Digest, ExternalOutputs, ExternalRun, Recording};
use image_classification::OutputKind;
use serde::Deserialize;
use tempfile::SpooledTempFile;

use crate::arrays::ArrayFiles;
use crate::errors::Hinted;
use crate::terminal::Messages;

/// The names of the images.
pub const IMAGES: &str = "images";
/// The SHA-256 of the tensor of each image.
pub const HASHES: &str = "hashes";
/// The preprocessing of the tensors, as JSON.
pub const PREPROCESSING: &str = "preprocessing";
const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";
/// The name of the program that computed the outputs.
const ENGINE: &str = "engine";
const KNOWN: [&str; 6] = [IMAGES, HASHES, PREPROCESSING, LOGITS, PROBABILITIES, ENGINE];

const MOST_IMAGES: u64 = 10_000_000;
const MOST_CLASSES: u64 = 1_000_000;
/// The most bytes of outputs, which wait in a temporary file.
const MOST_BYTES: u64 = 16 << 30;
/// Outputs are kept in memory up to this size.
const MOST_IN_MEMORY: usize = 8 << 20;
/// The sum of probabilities of a distribution may differ from 1 by this much.
const SUM_TOLERANCE: f64 = 0.05;
/// Rounding may lead out of 0 to 1 by this much.
const RANGE_TOLERANCE: f32 = 1e-5;

/// A file of recorded runs, or outputs in a temporary file.
#[derive(Debug)]
pub enum RecordedFile {
    Lines(File),
    Outputs(SpooledTempFile),
}

impl Read for RecordedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Lines(file) => file.read(bytes),
            Self::Outputs(file) => file.read(bytes),
        }
    }
}

impl Seek for RecordedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Lines(file) => file.seek(to),
            Self::Outputs(file) => file.seek(to),
        }
    }
}

/// The JSON of the array `preprocessing`.
#[derive(Deserialize)]
struct Preprocessing {
    settings: BTreeMap<String, String>,
}

/// Reads the outputs in `arrays`, which are those of `path`.
pub fn read(
    path: &Path,
    mut arrays: ArrayFiles,
    messages: &Messages,
) -> anyhow::Result<Recording<RecordedFile>> {
    let names = array_names(&arrays)?;
    let has = |name: &str| names.iter().any(|other| other == name);
    let (outputs, mut kind) = match (has(LOGITS), has(PROBABILITIES)) {
        (true, false) => (LOGITS, OutputKind::Logits),
        (false, true) => (PROBABILITIES, OutputKind::Probabilities),
        (is_both, _) => {
            let found = if is_both { "both" } else { "neither" };
            let error = format!("it has {found} of the arrays {LOGITS} and {PROBABILITIES}");
            return Err(Hinted::new(error, "write one of them").into());
        }
    };
    if !has(IMAGES) {
        let hint = "copy it from the tensors: `images=inputs[\"images\"]`";
        return Err(Hinted::new(format!("the array {IMAGES} is missing"), hint).into());
    }
    let images = arrays.array(IMAGES)?.texts(MOST_IMAGES)?;
    if images.is_empty() {
        let hint = "write the outputs of at least one image";
        return Err(Hinted::new("it holds no image", hint).into());
    }
    let hashes = if has(HASHES) {
        Some(digests(arrays.array(HASHES)?.texts(MOST_IMAGES)?)?)
    } else {
        None
    };
    let preprocessing = if has(PREPROCESSING) {
        preprocessing(&single(&mut arrays, PREPROCESSING)?)?
    } else {
        Vec::new()
    };
    let engine = if has(ENGINE) {
        Some(single(&mut arrays, ENGINE)?)
    } else {
        None
    };
    let array = arrays.array(outputs)?;
    let classes = match *array.shape() {
        [rows, classes] => {
            check_shape(outputs, rows, classes, images.len())?;
            classes as usize
        }
        _ => 0,
    };
    let mut values = SpooledTempFile::new(MOST_IN_MEMORY);
    let precision = array.rows(MOST_BYTES, |place, row| {
        check_row(outputs, &images[place as usize], row)?;
        let sum: f64 = row.iter().copied().map(f64::from).sum();
        if kind == OutputKind::Probabilities && classes > 1 && (sum - 1.0).abs() > SUM_TOLERANCE {
            kind = OutputKind::IndependentProbabilities;
        }
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        let written = values.write_all(&bytes);
        written.context("cannot keep the outputs in a temporary file")
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_string_lossy().into_owned();
    if hashes.is_none() {
        messages.warning(&format!(
            "{} has no array {HASHES}: whether its outputs are those of the same tensors is not checked",
            printable(&name)
        ));
    }
    let files: Vec<String> = names.iter().map(|name| format!("{name}.npy")).collect();
    let digest = Digest::of_files(&arrays.files(&files))?;
    let run = ExternalRun {
        name,
        source: format!("{}, SHA-256 {digest}", path.display()),
        engine,
        precision: precision.to_owned(),
        kind,
        classes,
        preprocessing,
    };
    let values = RecordedFile::Outputs(values);
    let outputs = ExternalOutputs::new(run, images, hashes, values)?;
    Ok(Recording::of_external(outputs))
}

/// Returns the names of the arrays, all of which are known.
fn array_names(arrays: &ArrayFiles) -> anyhow::Result<Vec<String>> {
    let names = arrays.names()?.into_iter();
    let known = names.map(|file| match file.strip_suffix(".npy") {
        Some(name) if KNOWN.contains(&name) => Ok(name.to_owned()),
        _ => {
            let hint = match &*file {
                "tensors.npy" => "leave the tensors out: their hashes are enough".to_owned(),
                "arr_0.npy" => {
                    "name the arrays: `numpy.savez(\"outputs.npz\", logits=…, images=…, hashes=…)`"
                        .to_owned()
                }
                _ => format!("the arrays of outputs are {}", KNOWN.join(", ")),
            };
            let name = printable(file.strip_suffix(".npy").unwrap_or(&file));
            Err(Hinted::new(format!("it has an unknown array {name}"), hint).into())
        }
    });
    known.collect()
}

/// Returns the only text of an array.
fn single(arrays: &mut ArrayFiles, name: &str) -> anyhow::Result<String> {
    let mut texts = arrays.array(name)?.texts(1)?;
    texts.pop().ok_or_else(|| {
        let error = format!("the array {name} is empty");
        Hinted::new(error, "write one text, or leave it out").into()
    })
}

fn digests(hashes: Vec<String>) -> anyhow::Result<Vec<Digest>> {
    let digest = |hash: String| {
        hash.parse().map_err(|_| {
            let error = format!(
                "the array {HASHES} holds {:?}, which is no SHA-256",
                printable(&hash)
            );
            let hint = "copy it from the tensors: `hashes=inputs[\"hashes\"]`";
            Hinted::new(error, hint).into()
        })
    };
    hashes.into_iter().map(digest).collect()
}

fn preprocessing(json: &str) -> anyhow::Result<Vec<(String, String)>> {
    let parsed: Preprocessing = serde_json::from_str(json).map_err(|error| {
        let error = format!("the array {PREPROCESSING} is not that of tensors: {error}");
        let hint = "copy it from the tensors, or leave it out";
        Hinted::new(error, hint)
    })?;
    Ok(parsed.settings.into_iter().collect())
}

fn check_shape(name: &str, rows: u64, classes: u64, images: usize) -> anyhow::Result<()> {
    if rows != images as u64 {
        let error = format!(
            "the array {name} has the shape [{rows}, {classes}], but {IMAGES} has {images} names"
        );
        return Err(Hinted::new(error, "write one row of outputs for each image").into());
    }
    if classes == 0 || classes > MOST_CLASSES {
        let error = format!("the array {name} has {classes} classes, not 1 to {MOST_CLASSES}");
        return Err(Hinted::new(error, "write the outputs of a classifier").into());
    }
    Ok(())
}

fn check_row(name: &str, image: &str, row: &[f32]) -> anyhow::Result<()> {
    let at = |problem: &str, (class, value): (usize, &f32), hint: &str| {
        let image = printable(image);
        let error = format!("the array {name} has {value} for class {class} of {image}{problem}");
        Err(Hinted::new(error, hint).into())
    };
    let mut values = row.iter().enumerate();
    if let Some(found) = values.find(|(_, value)| !value.is_finite()) {
        let hint = "check the model and its precision on this image";
        return at(", which is not finite", found, hint);
    }
    let range = -RANGE_TOLERANCE..=1.0 + RANGE_TOLERANCE;
    let mut values = row.iter().enumerate();
    if name == PROBABILITIES
        && let Some(found) = values.find(|(_, value)| !range.contains(value))
    {
        let hint = "call the array logits, if no softmax was applied";
        return at(", which is not a probability", found, hint);
    }
    Ok(())
}
