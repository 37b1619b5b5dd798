//! Gates on metrics, with RTen.

use std::fs;

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 4] = [
        ("limits_decide_the_verdict", limits),
        ("unknown_names_list_the_known_ones", unknown),
        ("a_metric_that_the_model_lacks_rejects_the_run", lacking),
        (
            "a_metric_without_a_value_leaves_the_verdict_open",
            without_value,
        ),
    ];
    let trial = |(name, test): (&str, Test)| Trial::test(format!("metrics::{name}"), test);
    tests.into_iter().map(trial).collect()
}

/// Evaluates a model on two images, which it takes for class 10. Returns the output and the JSON report.
fn evaluate(truth: &str, flags: &[&str], code: i32) -> Result<(Run, Value), Failed> {
    let (directory, ..) = small_images()?;
    fs::write(directory.path().join("truth"), truth)?;
    let mut command = classify();
    command.current_dir(directory.path());
    command.args([
        "evaluate", "-q", "rten", "-i", "a.ppm", "b.ppm", "--truth", "truth",
    ]);
    command.arg("-m").arg(small_model("plain.onnx")).args(flags);
    let result = run(command.args(["--report", "report.json"]));
    expect_code(&result, code)?;
    let report = fs::read(directory.path().join("report.json")).unwrap_or_default();
    Ok((result, serde_json::from_slice(&report).unwrap_or_default()))
}

const ONE_RIGHT: &str = "a.ppm 10\nb.ppm 3\n";

fn limits() -> Result<(), Failed> {
    // Class 10 has precision 1/2 and recall 1, class 3 neither: F1 is 2/3 and 0.
    for (flag, code) in [
        ("--metric-min=f1-macro=0.333333", 0),
        ("--metric-min=f1-macro=0.333334", 1),
        ("--metric-min=precision:10=50%", 0),
        ("--metric-min=recall:3=1%", 1),
        ("--metric-min=mcc=0", 0),
        ("--metric-min=mcc=0.001", 1),
        ("--metric-max=mcc=-0.001", 1),
        ("--metric-max=top1=0.5", 0),
        ("--metric-max=top1=0.4999", 1),
    ] {
        let (result, json) = evaluate(ONE_RIGHT, &[flag], code)?;
        let word = if code == 0 { "PASSED" } else { "FAILED" };
        ensure(result.stdout.contains(word), &result)?;
        let gate = &json["runs"][0]["gates"][0];
        ensure(gate["passed"] == (code == 0), gate)?;
    }
    let (result, json) = evaluate(ONE_RIGHT, &["--metric-min=f1-macro=0.5"], 1)?;
    // Once, on the first line.
    let words = "FAILED: rten: f1-macro 0.333, at least 0.5; 2 of 2 images counted\n\n";
    ensure(result.stdout.starts_with(words), &result)?;
    let metrics = &json["runs"][0]["metrics"];
    ensure(metrics["f1-weighted"].as_f64() == Some(1.0 / 3.0), metrics)?;
    let class = &json["runs"][0]["classes"][1];
    ensure(class["precision"] == 0.5 && class["recall"] == 1.0, class)
}

fn unknown() -> Result<(), Failed> {
    let (result, _) = evaluate(ONE_RIGHT, &["--metric-min", "f1-makro=0.5"], 2)?;
    ensure(
        result.stderr.contains("known are top1, top5")
            && result.stderr.contains("did you mean `f1-macro`?"),
        &result,
    )?;
    let (result, _) = evaluate(ONE_RIGHT, &["--metric-min", "mcc=2"], 2)?;
    ensure(result.stderr.contains("a value from -1 to 1"), &result)
}

fn lacking() -> Result<(), Failed> {
    for (name, words) in [
        ("map", "is for multi-label models"),
        ("roc-auc", "is for models of two classes"),
        (
            "f1:12",
            "names a class that the model lacks: its classes are 0 to 11",
        ),
        ("f1:cat", "names a class that the model lacks"),
    ] {
        let (result, _) = evaluate(ONE_RIGHT, &["--metric-min", &format!("{name}=0.5")], 2)?;
        ensure(result.stderr.contains(words), &result)?;
    }
    let flags = ["--scores", "sigmoid", "--metric-min", "mcc=0.5"];
    let (result, _) = evaluate(ONE_RIGHT, &flags, 2)?;
    ensure(
        result.stderr.contains("whose classes exclude each other"),
        &result,
    )?;
    let flags = ["--scores", "sigmoid", "--metric-min", "map=0.01"];
    evaluate(ONE_RIGHT, &flags, 0).map(|_| ())
}

fn without_value() -> Result<(), Failed> {
    let (result, json) = evaluate(ONE_RIGHT, &["--metric-min", "f1:7=0.5"], 2)?;
    let words = "COULD NOT EVALUATE: rten: f1:7 has no value: no image shows the class, and no answer gives it";
    ensure(result.stdout.contains(words), &result)?;
    ensure(json["verdict"] == "could-not-compare", &json["verdict"])
}
