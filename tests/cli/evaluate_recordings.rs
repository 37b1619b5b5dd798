//! Recordings of `evaluate`, with RTen.

use std::fs;
use std::path::Path;

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 6] = [
        ("a_recorded_run_is_the_reference", reference),
        ("another_model_needs_its_flag", other_model),
        ("images_have_to_be_those_recorded", images),
        ("recorded_runs_have_their_own_labels", labels),
        ("recorded_runs_count_for_the_limit", limit),
        ("contradicting_answers_are_rejected", contradiction),
    ];
    let trial =
        |(name, test): (&str, Test)| Trial::test(format!("evaluate_recordings::{name}"), test);
    tests.into_iter().map(trial).collect()
}

/// Evaluates a model on images in `directory`. Returns the output and the JSON report.
fn evaluate(
    directory: &Path,
    model: &str,
    images: &[&str],
    flags: &[&str],
    code: i32,
) -> Result<(Run, Value), Failed> {
    let mut command = classify();
    command.current_dir(directory);
    command
        .args(["evaluate", "-q", "rten", "--truth", "truth", "-i"])
        .args(images);
    command.arg("-m").arg(small_model(model)).args(flags);
    let result = run(command.args(["--report", "report.json"]));
    expect_code(&result, code)?;
    let report = fs::read(directory.join("report.json")).unwrap_or_default();
    Ok((result, serde_json::from_slice(&report).unwrap_or_default()))
}

const BOTH: [&str; 2] = ["a.ppm", "b.ppm"];

fn reference() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 10\n")?;
    evaluate(at, "plain.onnx", &BOTH, &["--record", "old.jsonl"], 0)?;
    let flags = ["--against", "old.jsonl", "--max-drop", "0"];
    let (result, json) = evaluate(at, "plain.onnx", &BOTH, &flags, 0)?;
    ensure(result.stdout.contains("PASSED"), &result)?;
    let runs = json["runs"].as_array().ok_or("runs")?;
    ensure(
        runs.len() == 2
            && runs[0]["name"] == "rten (recorded)"
            && runs[0]["reference"] == true
            && runs[0]["facts"]["recorded"] == true,
        runs,
    )?;
    ensure(runs.iter().all(|run| run["top"]["1"]["count"] == 2), runs)?;
    // What was recorded is judged by today's ground truth.
    fs::write(at.join("truth"), "a.ppm 1\nb.ppm 10\n")?;
    let (_, json) = evaluate(at, "plain.onnx", &BOTH, &flags, 0)?;
    ensure(json["runs"][0]["top"]["1"]["count"] == 1, &json["runs"][0])
}

fn other_model() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 10\n")?;
    evaluate(at, "plain.onnx", &BOTH, &["--record", "old.jsonl"], 0)?;
    let against = ["--against", "old.jsonl"];
    let (result, _) = evaluate(at, "reversed.onnx", &BOTH, &against, 2)?;
    ensure(
        result.stderr.contains("is another file than the recorded")
            && result.stderr.contains("--other-model"),
        &result,
    )?;
    let first = result.stdout.lines().next().unwrap_or_default();
    ensure(first.contains("is another file than"), &result)?;
    // Nothing was counted, which is no accuracy.
    ensure(!result.stdout.contains("0/0"), &result)?;
    // No run took the images, but they were given.
    ensure(
        !result.stderr.contains("not given") && !result.stdout.contains("without an image"),
        &result,
    )?;
    let flags = [
        &against[..],
        &[
            "--other-model",
            "--max-drop",
            "0",
            "--drop-rule",
            "observed",
        ],
    ]
    .concat();
    let (result, json) = evaluate(at, "reversed.onnx", &BOTH, &flags, 1)?;
    let last = result.stdout.lines().next().unwrap_or_default();
    ensure(
        last.starts_with("FAILED") && last.contains("is another file than the recorded"),
        last,
    )?;
    let errors = &json["runs"][1]["against_reference"]["new_errors"];
    ensure(
        errors.as_array().is_some_and(|errors| errors.len() == 2),
        errors,
    )?;
    let (result, _) = evaluate(at, "plain.onnx", &BOTH, &["--other-model"], 2)?;
    ensure(result.stderr.contains("--against"), &result)
}

fn images() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 10\n")?;
    evaluate(at, "plain.onnx", &BOTH, &["--record", "both.jsonl"], 0)?;
    evaluate(at, "plain.onnx", &["a.ppm"], &["--record", "one.jsonl"], 0)?;
    let against = |file| ["--against", file];
    let (result, _) = evaluate(at, "plain.onnx", &["a.ppm"], &against("both.jsonl"), 2)?;
    ensure(
        result
            .stderr
            .contains("the inputs lack 1 image of the recording"),
        &result,
    )?;
    let (result, _) = evaluate(at, "plain.onnx", &BOTH, &against("one.jsonl"), 2)?;
    ensure(result.stderr.contains("not in the recording"), &result)?;
    let (result, _) = evaluate(at, "plain.onnx", &BOTH, &against("truth"), 2)?;
    ensure(result.stderr.contains("not a classify recording"), &result)?;
    let flags = ["--against", "both.jsonl", "--record", "both.jsonl"];
    evaluate(at, "plain.onnx", &BOTH, &flags, 2).map(|_| ())
}

fn labels() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm\tclass 10\nb.ppm\tclass 10\n")?;
    let names = |order: Vec<usize>| {
        let names = order.iter().map(|class| format!("class {class}\n"));
        names.collect::<String>()
    };
    fs::write(at.join("labels"), names((0..12).collect()))?;
    fs::write(at.join("reversed"), names((0..12).rev().collect()))?;
    let flags = ["--labels", "labels", "--record", "old.jsonl"];
    evaluate(at, "plain.onnx", &BOTH, &flags, 0)?;
    let flags = ["--labels", "reversed", "--against", "old.jsonl"];
    let (_, json) = evaluate(at, "plain.onnx", &BOTH, &flags, 0)?;
    let counts = [0, 1].map(|run| json["runs"][run]["top"]["1"]["count"].as_u64());
    ensure(counts == [Some(2), Some(0)], counts)
}

/// Records a run and returns the lines of the recording.
fn recorded(at: &Path) -> Result<Vec<Value>, Failed> {
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 10\n")?;
    evaluate(at, "plain.onnx", &BOTH, &["--record", "old.jsonl"], 0)?;
    let text = fs::read_to_string(at.join("old.jsonl"))?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

fn write(at: &Path, lines: &[Value]) -> Result<(), Failed> {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    Ok(fs::write(at.join("old.jsonl"), lines.collect::<String>())?)
}

fn limit() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    let lines = recorded(at)?;
    for (runs, words) in [
        (
            16,
            "there are 17 runs with the 16 recorded ones, but a command takes at most 16",
        ),
        (32, "the recording has 32 runs, more than 16"),
    ] {
        let mut lines = lines.clone();
        let repeated = |one: &Value| Value::from(vec![one[0].clone(); runs]);
        lines[0]["runs"] = repeated(&lines[0]["runs"]);
        for line in &mut lines[1..3] {
            line["outputs"] = repeated(&line["outputs"]);
        }
        write(at, &lines)?;
        for command in ["compare", "evaluate"] {
            let mut classify = classify();
            classify.current_dir(at);
            classify.args([
                command,
                "rten",
                "--against",
                "old.jsonl",
                "-i",
                "a.ppm",
                "-m",
            ]);
            classify.arg(small_model("plain.onnx"));
            if command == "evaluate" {
                classify.args(["--truth", "truth"]);
            }
            let result = run(&mut classify);
            expect_code(&result, 2)?;
            ensure(result.stderr.contains(words), &result)?;
        }
    }
    Ok(())
}

fn contradiction() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    let lines = recorded(at)?;
    let with = |other: Value| {
        let count = serde_json::json!({"pictures": 3});
        write(
            at,
            &[
                lines[0].clone(),
                lines[1].clone(),
                lines[2].clone(),
                other,
                count,
            ],
        )
    };
    let flags = ["--against", "old.jsonl"];
    with(lines[1].clone())?;
    evaluate(at, "plain.onnx", &BOTH, &flags, 0)?;
    let mut other = lines[1].clone();
    other["path"] = "again".into();
    other["outputs"][0][0] = 0.5.into();
    with(other)?;
    let (result, _) = evaluate(at, "plain.onnx", &BOTH, &flags, 2)?;
    let words = "the recording has different answers for again and for a.ppm";
    ensure(result.stderr.contains(words), &result)
}
