//! `classify bench`: that it measures every run and says what it measured. No time is asserted.

use std::ffi::OsString;
use std::fs;

use classify_tests::{Needs, ensure, expect_code, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

pub fn trials(engines: &Needs, set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("bench::every_run_is_in_the_table", table),
        ("bench::inference_can_be_alone", inference_only),
        ("bench::json_is_for_machines", json),
        ("bench::what_is_bad_is_left_out", left_out),
        ("bench::each_number_of_requests_is_a_run", requests),
        ("bench::of_many_images_some_are_measured", many),
    ];
    let mut trials: Vec<Trial> = tests.map(|(name, test)| engines.test(name, test)).into();
    if cfg!(unix) {
        trials.push(set_up.test("bench::the_peers_are_measured_too", peers));
    }
    trials
}

fn bench(arguments: &[&str]) -> std::process::Command {
    let mut command = classify();
    command.args(["bench", "--count", "20", "--rounds", "2"]);
    command.args(arguments).arg("-m");
    command.arg(small_model("plain.onnx"));
    command
}

fn table() -> Result<(), Failed> {
    // Made-up images.
    let result = run(&mut bench(&[
        "openvino", "onnx", "rten", "--hint", "latency",
    ]));
    expect_code(&result, 0)?;
    ensure(result.stdout.contains("\n12 images;"), &result)?;
    let columns = result
        .stdout
        .lines()
        .find(|line| line.starts_with("infer requests"))
        .map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>());
    ensure(columns == Some(vec!["1", "1", "1"]), &result)?;
    ensure(result.stderr.contains("no images given"), &result)
}

fn json() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let mut command = bench(&["onnx", "rten", "--format", "json", "--quiet"]);
    let result = run(command.arg("-i").args([&a, &b]));
    expect_code(&result, 0)?;
    let report: Value = serde_json::from_str(&result.stdout)?;
    ensure(
        report["schema_version"] == 1
            && report["pictures"] == 2
            && report["count"] == 20
            && report["rounds"] == report["rounds_planned"],
        &report,
    )?;
    let runs = report["runs"].as_array().ok_or("runs")?;
    ensure(
        runs.len() == 2 && runs[0]["inference"]["ratio"] == 1.0,
        &report,
    )?;
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    for run in runs {
        for value in [
            &run["inference"]["pictures_per_second"],
            &run["inference"]["ratio"],
            &run["latency_ms"]["p50"],
            &run["whole_path"]["pictures_per_second"],
        ] {
            ensure(positive(value), run)?;
        }
        let latency = &run["latency_ms"];
        ensure(latency["p50"].as_f64() <= latency["max"].as_f64(), latency)?;
        if cfg!(unix) {
            ensure(
                positive(&run["decode_cpu_ms"]) && positive(&run["efficiency"]),
                run,
            )?;
        }
    }
    Ok(())
}

fn inference_only() -> Result<(), Failed> {
    let text = run(&mut bench(&["onnx", "--inference-only"]));
    expect_code(&text, 0)?;
    ensure(
        text.stdout.contains("inference alone") && !text.stdout.contains("whole path"),
        text,
    )?;
    let json = run(&mut bench(&[
        "onnx",
        "--inference-only",
        "--format",
        "json",
    ]));
    let report: Value = serde_json::from_str(&json.stdout)?;
    let report = &report["runs"][0];
    ensure(
        report["whole_path"].is_null() && report["inference"]["spread"].is_f64(),
        report,
    )
}

fn left_out() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let cut = directory.path().join("cut.png");
    fs::write(&cut, b"\x89PNG\r\n\x1a\n")?;
    let result = run(bench(&["onnx", "openvino:NOSUCH"])
        .arg("-i")
        .args([&a, &cut]));
    expect_code(&result, 1)?;
    ensure(
        result.stderr.contains("openvino:NOSUCH: ") && result.stderr.contains("cut.png: "),
        &result,
    )?;
    ensure(result.stdout.contains("\n1 of 2 images;"), &result)
}

fn requests() -> Result<(), Failed> {
    let result = run(&mut bench(&["onnx", "rten", "--requests", "1,2"]));
    expect_code(&result, 0)?;
    let row = |begin: &str| {
        let line = result.stdout.lines().find(|line| line.starts_with(begin));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    ensure(
        result.stdout.contains("onnx x1") && result.stdout.contains("rten x2"),
        &result,
    )?;
    ensure(
        row("infer requests") == Some(vec!["infer", "requests", "1", "2", "1", "2"]),
        &result,
    )
}

fn many() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let mut command = bench(&["onnx", "--format", "json", "--quiet"]);
    command.arg("-i");
    for _ in 0..50 {
        command.args([&a, &b]);
    }
    let report: Value = serde_json::from_str(&run(&mut command).stdout)?;
    ensure(
        report["pictures"] == 64 && report["pictures_given"] == 100,
        report,
    )
}

/// Parts of `cargo bench-peers`, quickly: the Python programs run, that with ONNX Runtime gives the same answers, and the
/// table is written.
fn peers() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let table = directory.path().join("table.md");
    let parts = ["end-to-end", "limit", "start"];
    let mut arguments: Vec<OsString> = vec![
        env!("CARGO_BIN_EXE_classify").into(),
        set_up("").into(),
        table.clone().into(),
    ];
    arguments.extend(["--quick", "--model", "squeezenet1.1"].map(OsString::from));
    arguments.extend(parts.iter().flat_map(|part| ["--only".into(), part.into()]));
    python("../../benches/peers/run.py", arguments)?;
    let table = fs::read_to_string(table)?;
    let ratios: Vec<f64> = table
        .lines()
        .filter_map(|line| line.split("**").nth(1)?.trim_end_matches('×').parse().ok())
        .collect();
    // Against the sample and against Pillow, of the limit, and the start, without a cache and with it.
    ensure(
        ratios.len() == 3 + 2 + 2 && ratios.iter().all(|ratio| *ratio > 0.0),
        table,
    )
}
