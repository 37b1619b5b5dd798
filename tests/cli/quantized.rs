//! Quantized models: their tolerance, and the nodes that add the most error. With RTen, on models that Python writes.

use std::fs;
use std::path::Path;

use classify_tests::{Needs, Run, ensure, expect_code, python, run};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

type Test = fn() -> Result<(), Failed>;

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let tests: [(&'static str, Test); 4] = [
        (
            "quantized::the_tolerance_is_int8_and_the_report_says_why",
            tolerance,
        ),
        (
            "quantized::one_quantizer_changes_no_tolerance",
            one_quantizer,
        ),
        ("quantized::the_clipped_node_adds_the_most_error", clipped),
        ("quantized::a_good_model_has_no_first_node", good),
    ];
    let trials = tests.into_iter().map(|(name, test)| needs.test(name, test));
    trials.collect()
}

/// Writes the models and an image.
fn models() -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    python("quantized_pair.py", [folder.path()])?;
    let pixels = (0..48_u32 * 48).flat_map(|at| {
        let (x, y) = (at % 48, at / 48);
        [x * 5, y * 4 + x, x * y % 251].map(|value| value as u8)
    });
    let bytes: Vec<u8> = b"P6 48 48 255\n".iter().copied().chain(pixels).collect();
    fs::write(folder.path().join("a.ppm"), bytes)?;
    Ok(folder)
}

fn compare(at: &Path, runs: [&str; 2], flags: &[&str], code: i32) -> Result<(Run, Value), Failed> {
    let mut command = classify();
    command.current_dir(at).args(["compare", "-q"]).args(runs);
    command.args([
        "-i", "a.ppm", "--mean", "127.5", "--scale", "64", "--scores", "softmax",
    ]);
    let result = run(command.args(flags).args(["--report", "report.json"]));
    expect_code(&result, code)?;
    let report = fs::read(at.join("report.json"))?;
    Ok((result, serde_json::from_slice(&report)?))
}

fn tolerance() -> Result<(), Failed> {
    let models = models()?;
    let words = "good.onnx is quantized: 2 of 4 nodes with weights (Conv, MatMul, Gemm, …) take quantized values";
    // The same file, too.
    for reference in ["rten=float.onnx", "rten:CPU=good.onnx"] {
        let (result, json) = compare(models.path(), [reference, "rten=good.onnx"], &[], 0)?;
        ensure(result.stdout.contains(words), &result)?;
        ensure(json["tolerance"]["name"] == "int8", &json["tolerance"])?;
    }
    Ok(())
}

fn one_quantizer() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=one.onnx"];
    let (result, json) = compare(models.path(), runs, &[], 1)?;
    ensure(!result.stdout.contains("is quantized"), &result)?;
    ensure(json["tolerance"]["name"] == "f32", &json["tolerance"])
}

fn clipped() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=bad.onnx"];
    let (result, json) = compare(models.path(), runs, &["--bisect", "--max-delta", "0.1"], 1)?;
    let noise = json["bisect"]["noise"].as_array().ok_or("noise")?;
    ensure(noise[0]["name"] == "conv2", noise)?;
    let added = |place: usize| noise[place]["added"].as_f64().unwrap_or(1.0);
    // Far beyond every other node.
    ensure(
        added(0) > 0.1 && noise.len() > 1 && added(1) < added(0) / 100.0,
        noise,
    )?;
    let mut list = result
        .stdout
        .lines()
        .skip_while(|line| !line.contains("nodes by the quantization error"));
    let first = list.nth(1).unwrap_or_default().to_owned();
    ensure(
        first.contains("conv2 (Conv)") && first.contains("SQNR"),
        first,
    )
}

fn good() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=good.onnx"];
    let (result, json) = compare(models.path(), runs, &["--bisect"], 0)?;
    ensure(json["bisect"]["first"].is_null(), &json["bisect"]["first"])?;
    let noise = json["bisect"]["noise"].as_array().ok_or("noise")?;
    ensure(
        !noise.is_empty() && noise.iter().all(|node| node["sqnr"].as_f64() > Some(25.0)),
        noise,
    )?;
    ensure(!result.stdout.contains("first differing node"), &result)
}
