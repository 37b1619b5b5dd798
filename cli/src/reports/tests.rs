//! Reports of many images and of multi-label models.

use std::path::PathBuf;

use backend_api::Tensor;
use evaluation::accuracy::{Criterion, GroundTruth};
use evaluation::agreement::{Tolerance, ToleranceName, Verdict};
use evaluation::{
    AnsweredImage, ComparedRuns, ComparisonAccumulator, ComparisonReport, Digest,
    EvaluationAccumulator, EvaluationOptions, EvaluationReport, GateLimits, ImageDigests, RunEntry,
    RunInfo, Share,
};
use image_classification::Labels;

use super::text::Text;
use super::{Exporter as _, exporter};
use crate::args::ReportFormat;

/// Returns a run of a model with these scores and labels.
pub fn entry(name: &str, scoring: &str, labels: Vec<String>) -> RunEntry {
    let classes = labels.len();
    let info = serde_json::json!({
        "name": name, "backend": "rten", "engine": "RTen", "engine_version": "1", "requested_device": "CPU",
        "device": "CPU", "precision": "f32", "requested_precision": "f32", "model": "model.onnx",
        "model_sha256": null, "input": [], "classes": classes,
        "interpretation": { "scoring": scoring, "quantization": null, "inferred": false },
        "scores_by": "the model", "output": "logits", "multi_label": scoring == "sigmoid", "values": classes,
        "stored_precision": "f32", "recorded": false,
        "machine": { "classify_version": "0", "os": "linux", "arch": "x86_64", "cpu": null, "cpu_flags": [], "cores": 2 },
    });
    let info: RunInfo = serde_json::from_value(info).unwrap();
    RunEntry {
        name: name.to_owned(),
        info: Ok(info),
        labels: Some(Labels::from_names(labels)),
    }
}

/// Returns what a format has for an export.
pub fn written(export: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<()>) -> String {
    let mut bytes = Vec::new();
    export(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn report(format: ReportFormat, evaluation: &EvaluationReport) -> String {
    written(|out| exporter(format).evaluation(evaluation, out))
}

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("name {class}")).collect()
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::new([1, values.len()], values.to_vec()).unwrap()
}

/// Evaluates runs with these scores. `outputs` are those of an image.
fn evaluated(
    scorings: &[&str],
    truth: &[usize],
    images: usize,
    limits: GateLimits,
    outputs: impl Fn(usize) -> Vec<Tensor>,
) -> EvaluationReport {
    let path = |image: usize| PathBuf::from(format!("{image}.jpg"));
    let truth: Vec<String> = truth.iter().map(usize::to_string).collect();
    let truth = GroundTruth::members((0..images).map(|image| (path(image), truth.clone())));
    let names = ["float", "int8"].iter().zip(scorings);
    let runs = names.map(|(name, scoring)| entry(name, scoring, labels(3)));
    let options = EvaluationOptions {
        limits,
        ..EvaluationOptions::default()
    };
    let mut evaluation = EvaluationAccumulator::new(runs.collect(), truth, options, &[]).unwrap();
    for image in 0..images {
        let digest = Digest::of(&image.to_le_bytes());
        let outputs = outputs(image).into_iter().map(Ok).collect();
        evaluation.add(path(image), digest, outputs);
    }
    evaluation.finish()
}

/// Compares two runs. `outputs` are those of an image.
fn compared(images: usize, outputs: impl Fn(usize) -> [Tensor; 2]) -> ComparisonReport {
    let runs = ["float", "int8"].map(|name| entry(name, "softmax", labels(3)));
    let runs = ComparedRuns::new(runs.into(), None).unwrap();
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut comparison = ComparisonAccumulator::new(runs, tolerance, "a test", 3);
    for image in 0..images {
        let path = PathBuf::from(format!("{image}.jpg"));
        add(&mut comparison, image, path, outputs(image));
    }
    comparison.finish().unwrap()
}

/// Adds an image to a comparison. Its digests are those of its number.
pub fn add(
    comparison: &mut ComparisonAccumulator,
    image: usize,
    path: PathBuf,
    outputs: [Tensor; 2],
) {
    let digest = Digest::of(&image.to_le_bytes());
    let digests = ImageDigests {
        file: digest,
        tensor: digest,
        pixels: None,
    };
    let answered = AnsweredImage {
        digests,
        outputs: outputs.map(Ok).into(),
    };
    comparison.add(path, answered).unwrap();
}

fn at_most(percent: u64) -> GateLimits {
    GateLimits {
        max_drop: Some(Share::percent(percent)),
        ..GateLimits::default()
    }
}

/// Logits of two models with the same best class. The second one misses class 1 on every other image.
fn second_label_lost(image: usize) -> Vec<Tensor> {
    let second = if image.is_multiple_of(2) { -1.0 } else { 1.0 };
    vec![tensor(&[3.0, 2.0, -3.0]), tensor(&[3.0, second, -3.0])]
}

#[test]
fn multi_label_models_are_judged_by_the_exact_match() {
    let sigmoid = ["sigmoid"; 2];
    let evaluation = evaluated(&sigmoid, &[0, 1], 40, at_most(1), second_label_lost);
    let tops = evaluation
        .evaluated()
        .map(|(.., found)| found.accuracy.top(1).count);
    assert_eq!(tops.collect::<Vec<_>>(), [40, 40]);
    assert_eq!(evaluation.verdict(), Verdict::Disagree);
    let found = "exact match 20/40, 50.0 % against 40/40, 100.0 %, a drop of 50.0 points";
    assert!(evaluation.summary().contains(found), "{evaluation}");
    let drop = evaluation.drop(1).unwrap();
    assert_eq!(
        (drop.criterion, drop.right_alone),
        (Criterion::ExactMatch, [20, 0])
    );
    let json = serde_json::to_value(&evaluation).unwrap();
    let against = &json["runs"][1]["against_reference"];
    assert_eq!(against["judged_by"], "exact-match");
    let error = &against["new_errors"][0];
    assert_eq!(error["answers"], serde_json::json!([0]));
    assert_eq!(error["reference_answers"], serde_json::json!([0, 1]));
    // The sigmoids of -1 and of 2, minus the threshold.
    for (key, value) in [("margin", -0.231_058_6), ("reference_margin", 0.380_797_1)] {
        assert!(
            (error[key].as_f64().unwrap() - value).abs() < 1e-6,
            "{error}"
        );
    }
    let html = report(ReportFormat::Html, &evaluation);
    assert!(html.contains("<dt>drop of exact match</dt>") && !html.contains("drop of top-1"));
    assert!(html.contains("20 × without 1 name 1"));
    let became = "0 name 0 and 1 name 1</strong> → <strong class=\"became\">without 1 name 1<";
    assert!(html.contains(became));
    // Each metric is there once.
    assert_eq!(html.matches("recall, macro").count(), 1);
    assert!(!html.contains("recall-macro") && html.contains("recall-weighted"));
    let line = "0 name 0 and 1 name 1 (margin 0.3808 → -0.2311), answered without 1 name 1";
    for format in [ReportFormat::Junit, ReportFormat::Annotations] {
        let text = report(format, &evaluation);
        assert!(
            text.contains(line) || text.contains(&line.replace('>', "&gt;")),
            "{text}"
        );
    }
    let markdown = report(ReportFormat::Markdown, &evaluation);
    assert!(
        markdown
            .contains("new errors: 20 images by exact match | right class | margin | answered |")
    );
}

#[test]
fn a_verdict_on_multi_label_models_names_its_metrics() {
    let limits = GateLimits {
        min_top1: Some(Share::percent(90)),
        ..at_most(70)
    };
    let sigmoid = ["sigmoid"; 2];
    let evaluation = evaluated(&sigmoid, &[0, 1], 40, limits.clone(), second_label_lost);
    assert_eq!(evaluation.verdict(), Verdict::Agree);
    let summary = evaluation.summary();
    let words = "min-top1 by top-1, max-drop by exact match";
    assert!(summary.contains(words), "{summary}");
    // A single-label model has no threshold: the best class decides, and the verdict says so.
    let mixed = ["softmax", "sigmoid"];
    let evaluation = evaluated(&mixed, &[0], 40, limits.clone(), second_label_lost);
    let summary = evaluation.summary();
    assert!(summary.contains("max-drop by top-1"), "{summary}");
    assert_eq!(evaluation.drop(1).unwrap().right_alone, [0, 0]);
    let single = ["softmax"; 2];
    let evaluation = evaluated(&single, &[0], 40, limits, second_label_lost);
    assert!(!evaluation.summary().contains(" by "), "{evaluation}");
}

#[test]
fn a_pass_names_the_value_that_is_closest_to_its_limit() {
    let right = |_| vec![tensor(&[3.0, 1.0, 0.0]), tensor(&[3.0, 1.0, 0.0])];
    let passed = |limits| evaluated(&["softmax"; 2], &[0], 40, limits, right).summary();
    let drop = "int8: top-1 40/40, 100.0 % against 40/40, 100.0 %, a drop of 0.0 points";
    let one = passed(at_most(70));
    assert!(one.starts_with(&format!("PASSED: {drop}")), "{one}");
    let limits = GateLimits {
        min_top1: Some(Share::percent(20)),
        ..at_most(70)
    };
    let several = passed(limits);
    let words = format!("PASSED: all 3 gates hold; the closest is {drop}");
    assert!(several.starts_with(&words), "{several}");
}

#[test]
fn markdown_has_each_failed_gate_once() {
    let limits = GateLimits {
        min_top1: Some(Share::percent(90)),
        ..at_most(1)
    };
    let evaluation = evaluated(&["softmax"; 2], &[0], 40, limits, |image| {
        let wrong = if image.is_multiple_of(2) { 9.0 } else { 0.0 };
        vec![tensor(&[3.0, 1.0, 0.0]), tensor(&[3.0, wrong, 0.0])]
    });
    let markdown = report(ReportFormat::Markdown, &evaluation);
    assert!(
        markdown.starts_with(
            "### classify evaluate\n\n**FAILED: 2 of 3 gates failed; 40 of 40 images counted**\n"
        ),
        "{markdown}"
    );
    for found in ["top-1 20/40, 50.0 % \\(95", "a drop of 50.0 points"] {
        assert_eq!(markdown.matches(found).count(), 1, "{markdown}");
    }
    let places = ["min-top1 | int8", "max-drop | int8", "min-top1 | float"];
    let places = places.map(|gate| markdown.find(gate));
    assert!(places.is_sorted() && places[0].is_some(), "{markdown}");
}

#[test]
fn a_junit_report_of_50000_images_is_small() {
    let images = 50_000;
    let limits = at_most(1);
    let evaluation = evaluated(&["softmax"; 2], &[0], images, limits, |image| {
        let wrong = 4.0 + (image % 97) as f32;
        vec![tensor(&[3.0, 1.0, 0.0]), tensor(&[3.0, wrong, 0.0])]
    });
    let text = report(ReportFormat::Junit, &evaluation);
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert_eq!(text.matches("<testcase name=\"new error ").count(), 200);
    assert!(
        text.contains("49,800 more new errors have no case"),
        "{text}"
    );
    let document = roxmltree::Document::parse(&text).unwrap();
    let is_rest =
        |node: &roxmltree::Node<'_, '_>| node.attribute("name") == Some("further new errors");
    let rest = document.descendants().find(is_rest).unwrap();
    assert!(rest.children().any(|child| child.has_tag_name("failure")));
    counts_are_right(&document);

    let comparison = compared(images, |image| {
        // The last images differ most.
        let other = if image.is_multiple_of(2) {
            image as f32 / 1e5
        } else {
            0.0
        };
        [0.0, other].map(|value| tensor(&[1.0, 0.5, value]))
    });
    let beyond = comparison.pairs[0].pair.beyond();
    assert!(beyond > 20_000, "{beyond}");
    let text = written(|out| exporter(ReportFormat::Junit).comparison(&comparison, out));
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert!(
        text.contains("<testcase name=\"49998.jpg\""),
        "the worst image"
    );
    assert!(text.contains("49,800 more images have no case"));
    let document = roxmltree::Document::parse(&text).unwrap();
    let is_image = |node: &roxmltree::Node<'_, '_>| {
        let name = node.attribute("name").unwrap_or_default();
        node.has_tag_name("testcase") && name.contains(".jpg")
    };
    let cases = document.descendants().filter(is_image);
    assert_eq!(cases.count(), 200);
    counts_are_right(&document);
}

#[test]
fn the_worst_image_has_its_own_difference() {
    // The first image has another best class, the second one a larger difference.
    let outputs = [
        [[0.0, 0.1, -5.0], [0.1, 0.0, -5.0]],
        [[5.0, 0.0, -5.0], [1.0, 0.5, -5.0]],
    ];
    let comparison = compared(2, |image| outputs[image].map(|scores| tensor(&scores)));
    let text = written(|out| Text::new(false).comparison(&comparison, out));
    let row = text
        .lines()
        .find(|line| line.starts_with("  int8"))
        .unwrap();
    assert!(row.contains(" 0.372 "), "{row}");
    assert!(row.ends_with("0.jpg (|Δp| 0.0498)"), "{row}");
}

/// Checks the numbers of cases and failures that each suite states.
fn counts_are_right(document: &roxmltree::Document<'_>) {
    let suites = document.descendants();
    for suite in suites.filter(|node| node.has_tag_name("testsuite")) {
        let cases: Vec<_> = suite
            .children()
            .filter(roxmltree::Node::is_element)
            .collect();
        let is_failed = |case: &&roxmltree::Node<'_, '_>| {
            case.children().any(|child| child.has_tag_name("failure"))
        };
        let failed = cases.iter().filter(is_failed).count();
        for (key, count) in [("tests", cases.len()), ("failures", failed)] {
            assert_eq!(suite.attribute(key), Some(&*count.to_string()), "{key}");
        }
    }
}
