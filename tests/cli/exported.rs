//! Models as exporters write them, with answers that numpy computes, and warnings on such models.

use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_photos: [(&str, Test); 5] = [
        ("an_ultralytics_export_needs_no_flags", ultralytics),
        ("a_dequantized_input_gives_numpys_answers", dequantized),
        ("values_that_a_quantized_input_clips_are_a_warning", clipped),
        ("openvinos_fault_with_an_int8_concat_is_a_note", concat),
        ("saturation_in_the_model_qualifies_agreement", saturated),
    ];
    let on_engines: [(&str, Test); 7] = [
        ("the_values_of_a_top_k_are_no_classes", top_k),
        ("values_in_descending_order_are_a_warning", descending),
        (
            "tensorflow_values_of_a_top_k_are_no_classes",
            tensorflow_values,
        ),
        ("tensorflow_ids_are_classes", tensorflow_ids),
        (
            "a_tensorflow_softmax_is_not_applied_twice",
            tensorflow_softmax,
        ),
        ("the_ids_of_a_top_k_are_classes", top_k_ids),
        ("ids_that_nothing_states_are_a_warning", unstated_ids),
    ];
    on_photos
        .map(|(name, test)| with_set_up.test(format!("exported::{name}"), test))
        .into_iter()
        .chain(on_engines.map(|(name, test)| engines.test(format!("exported::{name}"), test)))
        .collect()
}

fn photos() -> [PathBuf; 4] {
    [
        "photos/chelsea.png",
        "photos/coffee.png",
        "photos/rocket.jpg",
        "photos/imagenet_00_243.jpg",
    ]
    .map(set_up)
}

fn models() -> Result<tempfile::TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    let photos = photos();
    let images = photos.iter().map(PathBuf::as_path);
    python(
        "exported_models.py",
        [directory.path()].into_iter().chain(images),
    )?;
    Ok(directory)
}

fn answers(backend: &str, model: &Path, flags: &[&str]) -> Run {
    let mut command = classify();
    command.args(["--backend", backend, "--format", "json", "-m"]);
    run(command.arg(model).arg("-i").args(photos()).args(flags))
}

/// Compares the ten best classes of each image with the probabilities in `expected.json`.
fn expect_numpys(directory: &Path, key: &str, answers: &Run) -> Result<(), Failed> {
    expect_code(answers, 0)?;
    let expected = std::fs::read(directory.join("expected.json"))?;
    let expected: Value = serde_json::from_slice(&expected)?;
    let expected: Vec<Vec<f64>> = serde_json::from_value(expected[key].clone())?;
    ensure(
        answers.stdout.lines().count() == expected.len(),
        &answers.stdout,
    )?;
    for (line, probabilities) in answers.stdout.lines().zip(expected) {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        let answer: Value = serde_json::from_str(line)?;
        let top = answer["top"].as_array().ok_or("no classes")?;
        ensure(top.len() == 10, line)?;
        for (found, class_id) in top.iter().zip(order) {
            let score = found["score"].as_f64().ok_or("no score")?;
            let own = found["class_id"].as_u64().ok_or("no class")? as usize;
            let own = probabilities.get(own).ok_or("no such class")?;
            ensure((score - own).abs() < 2e-6, (key, line))?;
            // Classes that are closer than that may swap places.
            ensure((own - probabilities[class_id]).abs() < 2e-6, (key, line))?;
        }
    }
    Ok(())
}

fn ultralytics() -> Result<(), Failed> {
    let directory = models()?;
    for backend in ["openvino", "onnx", "rten"] {
        let found = answers(backend, &directory.path().join("yolo.onnx"), &[]);
        expect_numpys(directory.path(), "yolo", &found)?;
        ensure(found.stderr.is_empty(), &found.stderr)?;
        for line in found.stdout.lines() {
            let answer: Value = serde_json::from_str(line)?;
            let best = &answer["top"][0];
            let name = format!("name {}", best["class_id"]);
            ensure(best["label"] == name.as_str(), best)?;
        }
    }
    Ok(())
}

const QUANTIZED: [&str; 10] = [
    "--color",
    "rgb",
    "--mean",
    "110",
    "--scale",
    "60",
    "--resize",
    "stretch",
    "--interpolation",
    "bilinear",
];

fn dequantized() -> Result<(), Failed> {
    let directory = models()?;
    let mut flags = QUANTIZED;
    (flags[3], flags[5]) = ("128", "64");
    for (backend, model) in [
        ("openvino", "dequantized.onnx"),
        ("onnx", "dequantized.onnx"),
        ("rten", "dequantized.onnx"),
        ("openvino", "dequantized.xml"),
    ] {
        let found = answers(backend, &directory.path().join(model), &flags);
        expect_numpys(directory.path(), "dequantized", &found)?;
    }
    Ok(())
}

fn clipped() -> Result<(), Failed> {
    let directory = models()?;
    let warnings = |scale: &str| {
        let mut flags = QUANTIZED;
        flags[5] = scale;
        flags[3] = "0";
        let model = directory.path().join("dequantized.onnx");
        let found = answers("onnx", &model, &flags);
        expect_code(&found, 0)?;
        Ok::<_, Failed>(found.stderr)
    };
    // The input holds -3.66 to 4.31.
    let text = warnings("40")?;
    ensure(
        text.contains("warning: the model's input is u8 with a quantization")
            && text.contains("81 of 256 values are clipped, by up to 66 steps"),
        &text,
    )?;
    let text = warnings("100")?;
    ensure(!text.contains("clipped"), text)
}

fn concat() -> Result<(), Failed> {
    let directory = models()?;
    let fault = "OpenVINO's QuantizeLinear (quantize_joined) differs from ONNX: signed 8-bit values of a Concat";
    for (backend, is_named) in [("openvino", true), ("onnx", false)] {
        let found = answers(backend, &directory.path().join("concat.onnx"), &QUANTIZED);
        expect_code(&found, 0)?;
        ensure(found.stderr.contains(fault) == is_named, &found.stderr)?;
    }
    Ok(())
}

fn saturated() -> Result<(), Failed> {
    let directory = models()?;
    let compared = |run_of: &str| {
        let runs = ["a", run_of].map(|name| {
            let model = directory.path().join(format!("saturated-{name}.onnx"));
            format!("onnx={}", model.display())
        });
        let mut command = classify();
        command.arg("compare").arg(&runs[0]);
        let other = runs[1].replacen("onnx=", "onnx:CPU=", 1);
        run(command.arg(other).arg("-i").args(photos()).args(QUANTIZED))
    };
    let found = compared("b");
    expect_code(&found, 0)?;
    for words in [
        "(probabilities of exactly 0 and 1 hide differences)",
        "for 4 of 4 images a run has only probabilities of exactly 0 and 1",
    ] {
        ensure(found.stdout.contains(words), &found.stdout)?;
    }
    Ok(())
}

/// Only OpenVINO reads these formats. The program does not read the graphs of Paddle.
fn top(file: &str, flags: &[&str]) -> Result<Run, Failed> {
    let (_directory, image, other) = small_images()?;
    let mut command: Command = classify();
    command.args(["--backend", "openvino", "-m"]);
    command
        .arg(small_model(file))
        .arg("-i")
        .args([image, other]);
    Ok(run(command.args(flags)))
}

fn top_k() -> Result<(), Failed> {
    let found = top("paddle-top-k.pdmodel", &[])?;
    expect_code(&found, 2)?;
    for words in [
        r#""best" f32[1, 5] and "ids" i64[1, 5] have the same shape"#,
        "a position would be a rank",
        "hint: give the output of the class ids as --output-name",
    ] {
        ensure(found.stderr.contains(words), &found.stderr)?;
    }
    Ok(())
}

fn descending() -> Result<(), Failed> {
    // Two images of five values in order are no chance.
    let found = top("paddle-values.pdmodel", &["--quiet"])?;
    expect_code(&found, 0)?;
    let words = "warning: the output for the first 2 images is in descending order";
    ensure(found.stderr.contains(words), &found.stderr)
}

fn unstated_ids() -> Result<(), Failed> {
    let found = top("paddle-ids.pdmodel", &["--quiet"])?;
    expect_code(&found, 0)?;
    let words = "if it holds the ids of the best classes, a position is a rank";
    ensure(found.stderr.contains(words), &found.stderr)
}

fn tensorflow_values() -> Result<(), Failed> {
    // OpenVINO drops the ids of the first one.
    for file in [
        "tensorflow-top-k.pb",
        "tensorflow-saved-values",
        "tensorflow-saved-top-k",
    ] {
        let found = top(file, &[])?;
        expect_code(&found, 2)?;
        let words = "the model's output contains the sorted values of its operator TopKV2";
        ensure(found.stderr.contains(words), &found.stderr)?;
    }
    Ok(())
}

fn tensorflow_ids() -> Result<(), Failed> {
    let whole = classes(&top("tensorflow.pb", &["--top", "5", "--format", "json"])?)?;
    let best = whole.iter().map(|ids| ids[..1].to_vec()).collect();
    let ids = &["--output-name", "ids"][..];
    for (file, flags, operator, expected) in [
        ("tensorflow-ids.pb", &[][..], "TopKV2", &whole),
        ("tensorflow-saved-top-k", ids, "TopKV2", &whole),
        ("tensorflow-arg-max.pb", &[], "ArgMax", &best),
    ] {
        let found = top(file, &[flags, &["--format", "json"]].concat())?;
        expect_code(&found, 0)?;
        let words =
            format!("gives class ids without scores (the model's last operator, {operator})");
        ensure(found.stderr.contains(&words), &found.stderr)?;
        ensure(classes(&found)? == *expected, found)?;
    }
    Ok(())
}

fn tensorflow_softmax() -> Result<(), Failed> {
    let scores = |file: &str| -> Result<Vec<f64>, Failed> {
        let found = top(file, &["--top", "12", "--format", "json"])?;
        expect_code(&found, 0)?;
        // The graph decides, not the outputs.
        ensure(!found.stderr.contains("inferred"), &found.stderr)?;
        of_top(&found, "score")?
            .concat()
            .iter()
            .map(|score| score.as_f64().ok_or_else(|| "no score".into()))
            .collect()
    };
    let of_logits = scores("tensorflow.pb")?;
    ensure(of_logits.len() == 24, &of_logits)?;
    for file in ["tensorflow-softmax.pb", "tensorflow-saved-softmax"] {
        let own = scores(file)?;
        let mut pairs = own.iter().zip(&of_logits);
        let is_same = pairs.all(|(one, other)| (one - other).abs() < 1e-6);
        ensure(is_same && own.len() == of_logits.len(), (file, own))?;
    }
    Ok(())
}

/// The values of `key` of the best classes of each image.
fn of_top(run: &Run, key: &str) -> Result<Vec<Vec<Value>>, Failed> {
    let line = |line: &str| -> Result<Vec<Value>, Failed> {
        let answer: Value = serde_json::from_str(line)?;
        let top = answer["top"].as_array().ok_or("no classes")?;
        Ok(top.iter().map(|class| class[key].clone()).collect())
    };
    run.stdout.lines().map(line).collect()
}

fn classes(run: &Run) -> Result<Vec<Vec<Value>>, Failed> {
    of_top(run, "class_id")
}

fn top_k_ids() -> Result<(), Failed> {
    let found = top(
        "paddle-top-k.pdmodel",
        &["--output-name", "ids", "--format", "json"],
    )?;
    expect_code(&found, 0)?;
    let words =
        r#"the model gives class ids without scores (integers next to the output "best" f32[1, 5]"#;
    ensure(found.stderr.contains(words), &found.stderr)?;
    let whole = top("paddle.pdmodel", &["--top", "5", "--format", "json"])?;
    expect_code(&whole, 0)?;
    ensure(classes(&found)? == classes(&whole)?, (found, whole))
}
