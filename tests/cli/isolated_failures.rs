//! Isolated engines that are not started again end the work: no image is counted that no engine saw.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;
use crate::isolation::{self, errors, levels};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("an_engine_beyond_its_restarts_ends_the_run", rows),
        ("the_next_run_begins_behind_the_crashes", next_run),
        ("an_engine_beyond_its_restarts_ends_a_stream", stream),
        ("an_engine_beyond_its_restarts_leaves_no_part", parts),
        ("an_engine_beyond_its_restarts_leaves_no_verdict", verdicts),
        ("an_engine_beyond_its_restarts_names_its_limits", limits),
    ];
    let tests = tests.map(|(name, test)| engines.test(format!("isolation::{name}"), test));
    tests.into()
}

/// The crashes of an engine that is restarted 5 times.
const CRASHES: usize = 6;

/// An image that is answered, the images that end the engine too often, and two that no engine sees.
fn images(directory: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut all = vec![10];
    all.extend([0; CRASHES]);
    all.extend([20, 30]);
    levels(directory, &all)
}

/// One thread prepares the images, so that they reach the engine in their order.
const IN_ORDER: [&str; 2] = ["--jobs", "1"];

fn one_by_one(backend: &str, model: &str, images: &[PathBuf]) -> Command {
    let mut command = isolation::one_by_one(backend, model, images);
    command.args(IN_ORDER);
    command
}

fn several(command: &str, runs: &[&str], model: &str, images: &[PathBuf]) -> Command {
    let mut command = isolation::several(command, runs, model, images);
    command.args(IN_ORDER);
    command
}

fn list(directory: &Path, images: &[PathBuf]) -> Result<PathBuf, Failed> {
    let list = directory.join("list.txt");
    let lines = images.iter().map(|path| format!("{}\n", path.display()));
    fs::write(&list, lines.collect::<String>())?;
    Ok(list)
}

/// Checks the exit code, the error of each image that ended the engine, and the error of the run. Returns its hint.
fn failed(result: &Run) -> Result<&str, Failed> {
    expect_code(result, 2)?;
    let errors = errors(result);
    ensure(errors.len() == CRASHES, result)?;
    for (place, error) in errors.iter().enumerate() {
        let words = "the process of the engine was ended by SIGFPE";
        let name = format!("{:03}-0.ppm: ", place + 1);
        ensure(error.contains(&name) && error.contains(words), result)?;
    }
    ends(result)
}

/// Checks the error of the run. Returns its hint.
fn ends(result: &Run) -> Result<&str, Failed> {
    let beginning = "error: the engine failed for good: the process of the engine is not started again: \
                     it was restarted 5 times within 60s (engine: ONNX Runtime ";
    let end = "divides.onnx): the process of the engine was ended by SIGFPE";
    let mut lines = result.stderr.lines();
    let error = lines.find(|line| line.starts_with(beginning));
    ensure(error.is_some_and(|error| error.ends_with(end)), result)?;
    let hint = lines.find_map(|line| line.strip_prefix("hint: "));
    hint.ok_or_else(|| format!("no hint: {result:?}").into())
}

fn rows() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = images(directory.path())?;
    let path = directory.path().join("rows.csv");
    let mut command = one_by_one("onnx", "divides.onnx", &images);
    let result = run(command.arg("--isolate").arg("-o").arg(&path));
    let hint = failed(&result)?;
    let next = "use another model or engine, or leave out the input that ends the process: with `--requests 1` no other input fails with it; \
                the results are in ";
    ensure(hint.starts_with(next), hint)?;
    let rest = "rows.csv.partial; pass the remaining 2 images to continue";
    ensure(hint.ends_with(rest), hint)?;
    ensure(!path.exists(), "a whole file")?;
    let rows = fs::read_to_string(directory.path().join("rows.csv.partial"))?;
    // Below the header.
    ensure(rows.lines().count() == 1 + 1 + CRASHES, &rows)?;
    ensure(rows.matches("SIGFPE").count() == CRASHES, rows)
}

/// The images that were not tried are answered.
fn next_run() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = images(directory.path())?;
    let mut command = one_by_one("onnx", "divides.onnx", &images[1 + CRASHES..]);
    let result = run(command.arg("--isolate"));
    expect_code(&result, 0)?;
    ensure(result.stdout.lines().count() == 1 + 2, result)
}

fn stream() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let list = list(directory.path(), &images(directory.path())?)?;
    let mut command = classify();
    command
        .args(["--backend", "onnx", "--requests", "1", "--color", "rgb"])
        .args(["--scores", "raw", "--stream", "--isolate"])
        .args(IN_ORDER)
        .arg("-m")
        .arg(small_model("divides.onnx"));
    let result = run(command.stdin(fs::File::open(list)?));
    expect_code(&result, 2)?;
    let hint = ends(&result)?;
    let words = "; send the lines that have no answer to another process";
    ensure(hint.ends_with(words), hint)?;
    let lines = result.stdout.lines().map(serde_json::from_str);
    let answers: Vec<Value> = lines.collect::<Result<_, _>>()?;
    ensure(answers.len() == 1 + CRASHES, &answers)?;
    let codes = answers
        .iter()
        .map(|answer| answer["error"]["code"].as_str());
    let crashed = codes.filter(|code| *code == Some("engine-crashed")).count();
    ensure(crashed == CRASHES, &answers)?;
    ensure(answers[0]["error"].is_null(), answers)
}

/// Checks that a shard of `command` fails and leaves no part.
fn leaves_no_part(command: &mut Command, directory: &Path) -> Result<(), Failed> {
    let parts = directory.join("parts");
    let result = run(command.args(["--shard", "0/1", "--out-dir"]).arg(&parts));
    let hint = failed(&result)?;
    let words = "; run the shard again: a part appears when it is complete";
    ensure(hint.ends_with(words), hint)?;
    let left: Vec<_> = fs::read_dir(&parts)?.collect::<Result<_, _>>()?;
    let is_job = left.iter().all(|entry| entry.file_name() == "job.json");
    ensure(is_job, left)
}

fn parts() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = images(directory.path())?;
    let mut command = one_by_one("onnx", "divides.onnx", &images);
    leaves_no_part(command.arg("--isolate"), directory.path())?;
    for command in ["compare", "evaluate"] {
        let directory = tempfile::tempdir()?;
        let images = self::images(directory.path())?;
        let mut command = several(command, &["openvino", "onnx"], "divides.onnx", &images);
        leaves_no_part(&mut command, directory.path())?;
    }
    Ok(())
}

fn verdicts() -> Result<(), Failed> {
    for command in ["compare", "evaluate"] {
        let directory = tempfile::tempdir()?;
        let images = images(directory.path())?;
        let report = directory.path().join("report.json");
        let mut command = several(command, &["openvino", "onnx"], "divides.onnx", &images);
        let result = run(command.arg("--report").arg(&report));
        let hint = failed(&result)?;
        let words = "; no verdict is given for a part of the images";
        ensure(hint.ends_with(words), hint)?;
        ensure(result.stdout.is_empty() && !report.exists(), result)?;
    }
    Ok(())
}

fn limits() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = images(directory.path())?;
    let mut command = one_by_one("onnx", "divides.onnx", &images);
    command.args(["--isolate", "--isolate-memory", "4G"]);
    let result = run(command.args(["--isolate-cpu", "100"]));
    let hint = failed(&result)?;
    let words =
        ", or raise --isolate-memory or --isolate-cpu; pass the remaining 2 images to continue";
    ensure(hint.ends_with(words), hint)
}
