//! Pages of 50,000 images, and the order of gates.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use backend_api::Tensor;
use evaluation::accuracy::GroundTruth;
use evaluation::agreement::{Gate, Tolerance, ToleranceName, Verdict};
use evaluation::{
    AnsweredImage, ComparedRuns, ComparisonAccumulator, Digest, EvaluationAccumulator,
    EvaluationOptions, ImageDigests, RunEntry, RunInfo,
};
use image_classification::Labels;

use super::frame::{Frame, GateRow};
use super::{Exporter, Html};

const IMAGES: usize = 50_000;
const CLASSES: usize = 20;
/// The limit that `docs/compare.md` states.
const MOST_BYTES: usize = 5_000_000;

/// Returns a run with labels of 60 characters.
fn entry(name: &str) -> RunEntry {
    let info = serde_json::json!({
        "name": name, "backend": "rten", "engine": "RTen", "engine_version": "1", "requested_device": "CPU",
        "device": "CPU", "precision": "f32", "requested_precision": "f32", "model": "model.onnx",
        "model_sha256": null, "input": [], "classes": CLASSES,
        "interpretation": { "scoring": "softmax", "quantization": null, "inferred": false },
        "scores_by": "the model", "output": "logits", "multi_label": false, "values": CLASSES,
        "stored_precision": "f32", "recorded": false,
        "machine": { "classify_version": "0", "os": "linux", "arch": "x86_64", "cpu": null, "cpu_flags": [], "cores": 2 },
    });
    let info: RunInfo = serde_json::from_value(info).unwrap();
    let labels = (0..CLASSES).map(|class| format!("{class} {}", "class".repeat(11)));
    RunEntry {
        name: name.to_owned(),
        info: Ok(info),
        labels: Some(Labels::from_names(labels.collect())),
    }
}

/// Writes an image that no compression makes small, and returns its path.
fn noise(directory: &Path) -> PathBuf {
    let path = directory.join(format!("{}.ppm", "noise".repeat(30)));
    let mut random = fastrand::Rng::with_seed(1);
    let pixels = std::iter::repeat_with(|| random.u8(..)).take(3 * 200 * 200);
    let bytes = b"P6 200 200 255\n".iter().copied().chain(pixels);
    std::fs::write(&path, bytes.collect::<Vec<u8>>()).unwrap();
    path
}

/// Returns logits whose best class is `best`.
fn logits(best: usize, image: usize) -> Tensor {
    let mut values = vec![0.0; CLASSES];
    values[best % CLASSES] = 3.0 + (image % 97) as f32 / 50.0;
    Tensor::new([1, CLASSES], values).unwrap()
}

fn page(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_evaluation_of_50000_new_errors_stays_below_5_mb() {
    let directory = tempfile::tempdir().unwrap();
    let path = noise(directory.path());
    let runs = ["reference", "one", "two", "three"].map(entry);
    let name = path.file_name().unwrap().to_string_lossy();
    let members = |image: usize| {
        (
            path.join(image.to_string()),
            vec![(image % CLASSES).to_string()],
        )
    };
    let truth = GroundTruth::members((0..IMAGES).map(members));
    assert!(name.len() > 100);
    let mut evaluation =
        EvaluationAccumulator::new(runs.into(), truth, EvaluationOptions::default(), &[]).unwrap();
    for image in 0..IMAGES {
        let digest = Digest::of(&image.to_le_bytes());
        let outputs = [0, 1, 2, 3].map(|run| Ok(logits(image + run * (1 + image % 7), image)));
        evaluation.add(path.join(image.to_string()), digest, outputs.into());
    }
    let mut report = evaluation.finish();
    // All places show the same file, as no test needs 50,000 of them.
    report.images.fill(path);
    let page = page(|out| Html.evaluation(&report, out).unwrap());
    println!("{} bytes", page.len());
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("New errors: 50000 images"));
    let thumbnails = page.matches("<img src=\"data:image/jpeg;base64,").count();
    assert!((24..=48).contains(&thumbnails), "{thumbnails}");
    let sentence = format!("This page has {thumbnails} thumbnails for 50000 images");
    assert!(page.contains(&sentence));
}

#[test]
fn a_comparison_of_50000_images_that_differ_stays_below_5_mb() {
    let directory = tempfile::tempdir().unwrap();
    let path = noise(directory.path());
    let runs = ["reference", "one"].map(entry);
    let runs = ComparedRuns::new(runs.into(), None).unwrap();
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut comparison = ComparisonAccumulator::new(runs, tolerance, "a test", 10);
    for image in 0..IMAGES {
        let digest = Digest::of(&image.to_le_bytes());
        let digests = ImageDigests {
            file: digest,
            tensor: digest,
            pixels: None,
        };
        let outputs = [0, 1].map(|run| Ok(logits(image + run * (1 + image % 7), image)));
        let image = AnsweredImage {
            digests,
            outputs: outputs.into(),
        };
        comparison.add(path.clone(), image).unwrap();
    }
    let report = comparison.finish().unwrap();
    let page = page(|out| Html.comparison(&report, out).unwrap());
    println!("{} bytes", page.len());
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("50000 of 50000 images have another best class"));
    assert!(page.contains("all are in the JSON and CSV reports"));
}

fn frame(passed: &[(bool, bool)]) -> Frame {
    let gate = |(place, &(passed, has_remark)): (usize, &(bool, bool))| GateRow {
        run: place.to_string(),
        gate: Gate {
            remark: has_remark.then(|| "a remark".to_owned()),
            ..Gate::new("gate", passed, "found".to_owned())
        },
    };
    let gates = passed.iter().enumerate().map(gate).collect();
    let line = "FAILED: 1: found; 2 of 2 images counted".to_owned();
    Frame::new("evaluate", Verdict::Disagree, line, gates)
}

#[test]
fn failed_gates_are_first_and_many_passed_ones_are_folded() {
    let (passed, remark, failed) = ((true, false), (true, true), (false, false));
    let order = |gates: &[GateRow]| gates.iter().map(|row| row.run.clone()).collect::<String>();
    let few = frame(&[passed, remark, failed]);
    assert_eq!(
        (&*order(few.notable_gates()), few.folded_gates().len()),
        ("210", 0)
    );
    let many = frame(&[passed, failed, passed, remark, passed]);
    assert_eq!(order(many.notable_gates()), "1");
    assert_eq!((&*order(many.folded_gates()), many.remarks()), ("3024", 1));
    // A remark is the worst where nothing failed.
    let none = frame(&[passed, passed, remark, passed, passed]);
    assert_eq!(order(none.notable_gates()), "2");
}

#[test]
fn the_reason_does_not_repeat_failed_gates() {
    let frame = frame(&[(true, false), (false, false)]);
    assert_eq!(frame.reason(), "1 of 2 gates failed; 2 of 2 images counted");
    let other = "COULD NOT EVALUATE on 1 of 6 images; 5 have no ground truth: 1 of 2 runs failed";
    let frame = Frame::new(
        "evaluate",
        Verdict::CouldNotCompare,
        other.to_owned(),
        Vec::new(),
    );
    assert_eq!(
        (frame.word(), &*frame.reason()),
        (
            "COULD NOT EVALUATE",
            "on 1 of 6 images; 5 have no ground truth: 1 of 2 runs failed"
        )
    );
}
