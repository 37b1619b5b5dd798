//! Good files of every kind, from which mutants are made: those in `seeds/`, those of other tests, and those that programs
//! write when they are needed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use classify_tests::{checkout, models, python, small_model};

use crate::program::GOOD_IMAGE;

/// The largest seed, in bytes. Damage to a larger file would rarely hit its structure.
const MOST_BYTES: usize = 16 << 10;
/// The most seeds of a format of images.
const MOST_IMAGES: usize = 48;

/// Seeds by their corpora.
pub type Seeds = BTreeMap<String, Vec<Vec<u8>>>;

/// Returns the seeds of all corpora.
///
/// # Errors
///
/// If a program that makes some of them fails. Without the set-up there are no images except JPEG XL.
pub fn all(has_set_up: bool) -> anyhow::Result<Seeds> {
    let mut seeds = Seeds::new();
    if has_set_up {
        images(&mut seeds)?;
    }
    let data = checkout().join("tests/data");
    let files = checkout().join("tests/cli/snapshots/files");
    let mut add = |corpus: &str, found: Vec<Vec<u8>>| {
        let all = seeds.entry(corpus.to_owned()).or_default();
        all.extend(found.into_iter().filter(|seed| seed.len() <= MOST_BYTES));
    };
    add("jxl", files_of(&data.join("jxl"), "jxl", "")?);
    let mut onnx = files_of(&data, "onnx", "")?;
    onnx.extend(files_of(&data.join("cases"), "onnx", "")?);
    onnx.push(models::scaling_model("weights.bin"));
    add("onnx", onnx);
    add("ir", files_of(&data, "xml", "")?);
    add("tflite", files_of(&data, "tflite", "")?);
    let frozen = files_of(&data, "pb", "")?;
    let mut tensorflow = frozen.clone();
    for name in ["softmax", "top-k", "values"] {
        let graph = format!("tensorflow-saved-{name}/saved_model.pb");
        tensorflow.push(fs::read(data.join(graph))?);
    }
    add("tensorflow", tensorflow);
    let mut others = frozen;
    others.extend(files_of(&data, "pdmodel", "")?);
    others.extend(
        ["git-lfs.onnx", "page.onnx"].map(|name| fs::read(files.join(name)).expect("a file")),
    );
    add("other-models", others);
    let texts = |prefix: &str| files_of(&files, "", prefix);
    let own = |corpus: &str| files_of(&checkout().join("tests/mutants/seeds").join(corpus), "", "");
    add("labels", [texts("labels")?, own("labels")?].concat());
    add("truth", [texts("truth")?, own("truth")?].concat());
    add(
        "configuration",
        [texts("preprocess")?, own("configuration")?].concat(),
    );
    add("lines", own("lines")?);
    for corpus in ["archives", "gates", "npy", "npz", "plugins"] {
        let files = [texts(corpus)?, own(corpus)?].concat();
        add(&format!("{corpus}-end-to-end"), files.clone());
        add(corpus, files);
    }
    let made = tempfile::tempdir()?;
    let recorded = recorded(made.path())?;
    add("recordings", [texts("recording")?, vec![recorded]].concat());
    add("answers", vec![stored(made.path())?]);
    for name in ["onnx-on-openvino", "onnx-on-onnxruntime", "onnx-on-rten"] {
        let models = [
            "plain.onnx",
            "half.onnx",
            "three-classes.onnx",
            "probabilities.onnx",
            "cases/single_logit.onnx",
        ];
        let models = models.map(|name| fs::read(small_model(name)).expect("a model"));
        add(name, models.into());
    }
    add("ir-on-openvino", vec![fs::read(small_model("plain.xml"))?]);
    add(
        "tflite-on-openvino",
        vec![fs::read(small_model("lite.tflite"))?],
    );
    add("planted", vec![b"good".to_vec(), b"lost".to_vec()]);
    Ok(seeds)
}

/// The files of a directory whose names have this ending, if one is given, and this beginning, in the order of their names.
fn files_of(directory: &Path, ending: &str, beginning: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_right = ending.is_empty() || path.extension() == Some(OsStr::new(ending));
        path.is_file() && is_right && name.starts_with(beginning)
    });
    paths.sort();
    Ok(paths.into_iter().map(fs::read).collect::<Result<_, _>>()?)
}

/// The images of the reference tests, by their formats: they have every depth, compression and orientation.
fn images(seeds: &mut Seeds) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let made = python("image_cases.py", [directory.path()]);
    made.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut paths = BTreeMap::<String, Vec<(usize, PathBuf)>>::new();
    for entry in fs::read_dir(directory.path())? {
        let path = entry?.path();
        // `12-png-large-profile`; the pixels end in `.rgb`.
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut parts = name.split('-');
        let number = parts.next().and_then(|number| number.parse().ok());
        if let (Some(number), Some(format), None) = (number, parts.next(), path.extension()) {
            paths
                .entry(format.to_owned())
                .or_default()
                .push((number, path));
        }
    }
    for (format, mut paths) in paths {
        paths.sort();
        let step = paths.len().div_ceil(MOST_IMAGES);
        for (_, path) in paths.iter().step_by(step) {
            let bytes = fs::read(path)?;
            if bytes.len() <= MOST_BYTES {
                seeds.entry(format.clone()).or_default().push(bytes);
            }
        }
    }
    Ok(())
}

/// Runs the program on the good image.
fn run(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    fs::write(directory.join("good.ppm"), GOOD_IMAGE)?;
    let output = Command::new(env!("CARGO_BIN_EXE_classify"))
        .current_dir(directory)
        .args(arguments)
        .args(["-q", "--color", "rgb", "-i", "good.ppm", "-m"])
        .arg(small_model("plain.onnx"))
        .output()?;
    let code = output.status.code();
    ensure!(
        code == Some(0),
        "{arguments:?}: {code:?} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A recording of a run.
fn recorded(directory: &Path) -> anyhow::Result<Vec<u8>> {
    run(
        directory,
        &["compare", "rten", "--record", "recorded.jsonl"],
    )?;
    Ok(fs::read(directory.join("recorded.jsonl"))?)
}

/// The answers that a shard of an evaluation stores.
fn stored(directory: &Path) -> anyhow::Result<Vec<u8>> {
    fs::write(directory.join("truth.csv"), "good.ppm 3\n")?;
    let arguments = [
        "evaluate",
        "rten",
        "--shard",
        "0/1",
        "--out-dir",
        "parts",
        "--truth",
        "truth.csv",
    ];
    run(directory, &arguments)?;
    let mut parts = fs::read_dir(directory.join("parts"))?;
    let is_part = |bytes: &Vec<u8>| bytes.starts_with(b"classify answers");
    let found = parts.find_map(|entry| fs::read(entry.ok()?.path()).ok().filter(is_part));
    found.context("no part has answers")
}
