//! Pages of 50,000 images, and the order of gates.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use backend_api::Tensor;
use evaluation::accuracy::GroundTruth;
use evaluation::agreement::{Gate, Tolerance, ToleranceName, Verdict};
use evaluation::{
    ComparedRuns, ComparisonAccumulator, Digest, EvaluationAccumulator, EvaluationOptions, RunEntry,
};

use super::super::gates::{GateRow, gate_rows};
use super::super::tests::{self, add, written};
use super::frame::{Frame, chip};
use super::{Exporter, Html};

const IMAGES: usize = 50_000;
const CLASSES: usize = 20;
/// The limit that `docs/compare.md` states.
const MOST_BYTES: usize = 5_000_000;

/// Returns a run with labels of 60 characters.
fn entry(name: &str) -> RunEntry {
    let labels = (0..CLASSES).map(|class| format!("{class} {}", "class".repeat(11)));
    tests::entry(name, "softmax", labels.collect())
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
    let page = written(|out| Html.evaluation(&report, out));
    println!("{} bytes", page.len());
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("New errors: 50,000 images"));
    let thumbnails = page.matches("<img src=\"data:image/jpeg;base64,").count();
    assert!((24..=48).contains(&thumbnails), "{thumbnails}");
    let sentence = format!("This page has {thumbnails} thumbnails for 50,000 images");
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
        let outputs = [0, 1].map(|run| logits(image + run * (1 + image % 7), image));
        add(&mut comparison, image, path.clone(), outputs);
    }
    let report = comparison.finish().unwrap();
    let page = written(|out| Html.comparison(&report, out));
    println!("{} bytes", page.len());
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("50,000 of 50,000 images have another best class"));
    assert!(page.contains("all are in the JSON and CSV reports"));
}

/// Returns logits with a best class, which the last class has with little more than the others.
fn less_sure(best: usize, image: usize) -> Tensor {
    let mut values = logits(best, image).into_vec::<f32>().unwrap();
    if image % CLASSES == CLASSES - 1 {
        for value in &mut values {
            *value *= 0.01;
        }
    }
    Tensor::new([1, CLASSES], values).unwrap()
}

/// Checks that a class of the table, whose differences are the smallest, has images of a kind.
fn leads_to_images(page: &str, start: &str, end: &str) {
    let class = format!("{0} {0} class", CLASSES - 1);
    let link = page
        .find(" data-images=")
        .map(|place| &page[place..])
        .unwrap();
    assert!(link.contains(&class), "the class is in the table");
    let items = page.split(start).skip(1);
    let mut items = items.map(|item| item.split(end).next().unwrap());
    assert!(items.any(|item| item.contains(&class)), "{start}");
}

#[test]
fn a_class_of_the_table_has_images_of_many() {
    let few = 5_000;
    let directory = tempfile::tempdir().unwrap();
    let path = noise(directory.path());
    let runs = || Vec::from(["reference", "one"].map(entry));
    let place = |image: usize| path.join(image.to_string());
    let class = |image: usize| (image % CLASSES).to_string();
    let truth = GroundTruth::members((0..few).map(|image| (place(image), vec![class(image)])));
    let options = EvaluationOptions::default();
    let mut evaluation = EvaluationAccumulator::new(runs(), truth, options, &[]).unwrap();
    let runs = ComparedRuns::new(runs(), None).unwrap();
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut comparison = ComparisonAccumulator::new(runs, tolerance, "a test", 10);
    for image in 0..few {
        let digest = Digest::of(&image.to_le_bytes());
        let outputs = || [0, 1].map(|run| less_sure(image + run, image));
        evaluation.add(place(image), digest, outputs().map(Ok).into());
        add(&mut comparison, image, path.clone(), outputs());
    }
    let evaluation = evaluation.finish();
    let evaluated = written(|out| Html.evaluation(&evaluation, out));
    leads_to_images(&evaluated, "<article class=\"card\"", "</article>");
    leads_to_images(&evaluated, "<tr data-item>", "</tr>");
    let comparison = comparison.finish().unwrap();
    let compared = written(|out| Html.comparison(&comparison, out));
    leads_to_images(&compared, "<tr data-item>", "</tr>");
}

fn frame(passed: &[(bool, bool)]) -> Frame {
    let gate = |(place, &(passed, has_remark)): (usize, &(bool, bool))| {
        let remark = has_remark.then(|| "a remark".to_owned());
        let gate = Gate {
            remark,
            ..Gate::new("gate", passed, format!("found {place}"))
        };
        (place.to_string(), gate)
    };
    let gates = gate_rows(passed.iter().enumerate().map(gate));
    let line = "FAILED: 2 of 2 images counted".to_owned();
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
fn the_reason_is_the_line_without_the_verdict() {
    assert_eq!(frame(&[]).reason(), "2 of 2 images counted");
    let other = "COULD NOT EVALUATE on 1 of 6 images; 5 have no ground truth: 1 of 2 runs failed";
    let frame = Frame::new(
        "evaluate",
        Verdict::CouldNotCompare,
        other.to_owned(),
        Vec::new(),
    );
    assert_eq!(
        (frame.word(), frame.reason()),
        (
            "COULD NOT EVALUATE",
            "on 1 of 6 images; 5 have no ground truth: 1 of 2 runs failed"
        )
    );
}

#[test]
fn a_pass_that_nothing_proves_looks_different() {
    let heading = |remark: Option<&str>| {
        let gate = Gate {
            remark: remark.map(str::to_owned),
            ..Gate::new("max-drop", true, "a drop of 0 points".to_owned())
        };
        let rows = gate_rows([(String::new(), gate.clone())]);
        let line = "PASSED: all gates hold".to_owned();
        let frame = Frame::new("evaluate", Verdict::Agree, line, rows);
        (frame.verdict, frame.word().to_owned(), chip(&[gate]).1)
    };
    let word = || "PASSED".to_owned();
    assert_eq!(heading(None), ("agree", word(), "passed"));
    assert_eq!(
        heading(Some("too few images")),
        ("unproven", word(), "open")
    );
}
