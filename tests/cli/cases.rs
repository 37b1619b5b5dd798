//! Models that were once answered wrongly: `tests/data/cases`. The right values are from Pillow, ONNX Runtime and a
//! softmax in float64.

use std::path::PathBuf;
use std::process::Command;

use classify_tests::{Needs, Run, checkout, ensure, expect_code, photos, run, set_up};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

/// The preprocessing of all of these models.
pub const PREPROCESSING: [&str; 10] = [
    "--color",
    "rgb",
    "--mean",
    "127.5,127.5,127.5",
    "--scale",
    "127.5,127.5,127.5",
    "--resize",
    "stretch",
    "--interpolation",
    "bilinear",
];

type Test = fn() -> Result<(), Failed>;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, Test); 13] = [
        ("class_ids_have_no_probability", class_ids),
        ("scores_of_class_ids_are_refused", scores_of_class_ids),
        ("a_single_logit_answers_yes_or_no", single_logit),
        ("raw_scores_of_a_single_logit_are_scores", single_raw),
        ("independent_sigmoids_are_printed_as_they_are", multi_label),
        (
            "convolutions_without_kernel_shape_run_on_every_engine",
            without_kernel_shape,
        ),
        ("logits_agree_with_their_softmax", logits_and_softmax),
        (
            "logits_that_differ_disagree_where_the_softmax_saturates",
            saturated,
        ),
        ("a_constant_model_compares_nothing", || constant(&photos()?)),
        ("a_constant_model_compares_nothing_on_one_image", || {
            constant(&[chelsea()])
        }),
        (
            "a_constant_model_compares_nothing_with_its_recording",
            recorded_constant,
        ),
        ("an_image_given_twice_is_reported", duplicates),
        (
            "outputs_of_different_kinds_are_not_compared",
            different_kinds,
        ),
    ];
    tests
        .map(|(name, test)| with_set_up.test(format!("cases::{name}"), test))
        .into()
}

pub fn case(name: &str) -> PathBuf {
    checkout().join(format!("tests/data/cases/{name}.onnx"))
}

fn chelsea() -> PathBuf {
    set_up("photos/chelsea.png")
}

fn classified(name: &str, backend: &str, flags: &[&str]) -> Result<Value, Failed> {
    let mut command = classify();
    command
        .args(["--backend", backend, "--format", "json", "-m"])
        .arg(case(name))
        .arg("-i")
        .arg(chelsea())
        .args(PREPROCESSING)
        .args(flags);
    let run = run(&mut command);
    expect_code(&run, 0)?;
    Ok(serde_json::from_str(&run.stdout)?)
}

/// The classes and scores are those of `expected`, to 4 digits.
fn expect_top(answer: &Value, expected: &[(u64, f64)]) -> Result<(), Failed> {
    let top = answer["top"].as_array().ok_or("no classes")?;
    for ((class_id, score), found) in expected.iter().zip(top) {
        let same = found["class_id"] == *class_id
            && found["score"]
                .as_f64()
                .is_some_and(|found| (found - score).abs() < 6e-5);
        ensure(same, answer)?;
    }
    ensure(top.len() >= expected.len(), answer)
}

fn class_ids() -> Result<(), Failed> {
    for backend in ["onnx", "openvino"] {
        let answer = classified("argmax", backend, &[])?;
        let top = &answer["top"];
        ensure(
            top[0]["class_id"] == 6 && top[0]["score"].is_null() && top[1].is_null(),
            &answer,
        )?;
        ensure(
            answer["scores"].is_null() && answer["scoring"] == "class-ids",
            &answer,
        )?;
    }
    Ok(())
}

fn scores_of_class_ids() -> Result<(), Failed> {
    for scores in ["softmax", "sigmoid", "probability"] {
        let mut command = classify();
        command.args(["--backend", "onnx", "--scores", scores, "-m"]);
        command.arg(case("argmax")).arg("-i").arg(chelsea());
        let result = run(command.args(PREPROCESSING));
        expect_code(&result, 2)?;
        let words = format!(
            "`--scores {scores}` needs a score for each class, but the model gives class ids"
        );
        ensure(
            result.stderr.contains(&words) && !result.stdout.contains("results"),
            &result,
        )?;
    }
    let answer = classified("argmax", "onnx", &["--scores", "raw"])?;
    expect_top(&answer, &[(0, 6.0)])
}

fn single_logit() -> Result<(), Failed> {
    for backend in ["onnx", "openvino", "rten"] {
        let answer = classified("single_logit", backend, &[])?;
        expect_top(&answer, &[(0, 0.5004), (1, 0.4996)])?;
        ensure(answer["scoring"] == "positive-logit", &answer)?;
    }
    Ok(())
}

fn single_raw() -> Result<(), Failed> {
    let answer = classified("single_logit", "onnx", &["--scores", "raw"])?;
    expect_top(&answer, &[(0, -0.0016)])?;
    ensure(answer["scores"] == "score", &answer)
}

fn multi_label() -> Result<(), Failed> {
    for backend in ["onnx", "openvino", "rten"] {
        let answer = classified("multilabel_sigmoid", backend, &[])?;
        expect_top(&answer, &[(1, 0.5009), (0, 0.4996), (2, 0.4981)])?;
        ensure(answer["scoring"] == "independent", &answer)?;
    }
    Ok(())
}

fn without_kernel_shape() -> Result<(), Failed> {
    for backend in ["onnx", "openvino", "rten"] {
        let answer = classified("conv_without_kernel_shape", backend, &[])?;
        expect_top(&answer, &[(6, 0.3466), (7, 0.1863), (1, 0.0828)])?;
    }
    Ok(())
}

fn compare(one: &str, other: &str, images: &[PathBuf]) -> Command {
    let mut command = classify();
    command.args(["compare", "--quiet"]);
    command.args([one, other].map(|name| format!("onnx={}", case(name).display())));
    command.args(PREPROCESSING).arg("-i").args(images);
    command
}

fn verdict(command: &mut Command, code: i32) -> Result<(Run, Value), Failed> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json");
    let run = run(command.arg("--report").arg(&report));
    expect_code(&run, code)?;
    Ok((run, serde_json::from_slice(&std::fs::read(report)?)?))
}

fn logits_and_softmax() -> Result<(), Failed> {
    let (_, json) = verdict(&mut compare("t_base", "t_softmax", &photos()?), 0)?;
    let pair = &json["pairs"][0];
    ensure(pair["basis"] == "probabilities", pair)
}

/// On images on which every probability is 0 or 1, only the logits differ.
fn saturated() -> Result<(), Failed> {
    let images = ["photos/chelsea.png", "photos/rocket.jpg"].map(set_up);
    let (_, json) = verdict(&mut compare("saturated_a", "saturated_b", &images), 1)?;
    let gates = json["pairs"][0]["gates"].as_array().ok_or("no gates")?;
    let passed = |name: &str| {
        let gate = gates.iter().find(|gate| gate["name"] == name);
        gate.map(|gate| gate["passed"] == true)
    };
    ensure(
        passed("max-delta") == Some(true) && passed("logits") == Some(false),
        gates,
    )
}

fn constant(images: &[PathBuf]) -> Result<(), Failed> {
    let (run, json) = verdict(&mut compare("constant", "constant", images), 2)?;
    ensure(json["verdict"] == "could-not-compare", &json["verdict"])?;
    ensure(run.stdout.contains("do not depend on the image"), &run)
}

/// The recording has no answer for the made-up image.
fn recorded_constant() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("constant.jsonl");
    let model = format!("onnx={}", case("constant").display());
    let with = |flag: &str| {
        let mut command = classify();
        command
            .args(["compare", "--quiet", &model])
            .args(PREPROCESSING);
        command.arg("-i").arg(chelsea()).arg(flag).arg(&recording);
        run(&mut command)
    };
    expect_code(&with("--record"), 0)?;
    expect_code(&with("--against"), 2)
}

fn duplicates() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("copy.png");
    std::fs::copy(chelsea(), &copy)?;
    let images = [chelsea(), set_up("photos/coffee.png"), copy.clone()];
    let (run, json) = verdict(&mut compare("t_base", "t_softmax", &images), 0)?;
    ensure(
        json["duplicates"][0]["path"] == copy.to_string_lossy().as_ref(),
        &json["duplicates"],
    )?;
    ensure(run.stdout.contains("1 of 3 images"), &run)
}

fn different_kinds() -> Result<(), Failed> {
    let mut command = compare("multilabel_sigmoid", "t_base", &[chelsea()]);
    let (run, _) = verdict(&mut command, 2)?;
    ensure(run.stderr.contains("a distribution over the classes"), &run)
}
