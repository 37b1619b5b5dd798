//! Engines that fail at their Nth call, for every N: a fake OpenVINO, and ONNX Runtime behind functions that fail. They
//! are loaded as the real ones are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_fake_openvino::{CALLS, FAULT};
use classify_tests::{Needs, Run, ensure, expect_code, library_dirs, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::has_full_counts;

/// An engine with faults.
struct Target {
    backend: &'static str,
    /// The variable that names the directory of its library.
    variable: &'static str,
    output_faults: &'static [&'static str],
    /// The first function that is called after the model is open.
    first: &'static str,
    /// The function that starts an inference.
    start: &'static str,
    /// The functions that are called for each inference, from then on.
    runs: fn(&str) -> bool,
}

const OPENVINO: Target = Target {
    backend: "openvino",
    variable: "CLASSIFY_OPENVINO_LIB",
    output_faults: &classify_fake_openvino::OUTPUT_FAULTS,
    first: "ov_infer_request_get_input_tensor",
    start: "ov_infer_request_start_async",
    runs: |name| name.starts_with("ov_infer_request_") && name != "ov_infer_request_free",
};

const ONNX: Target = Target {
    backend: "onnx",
    variable: "CLASSIFY_ONNXRUNTIME_LIB",
    output_faults: &classify_fake_onnxruntime::OUTPUT_FAULTS,
    first: "CreateRunOptions",
    start: "Run",
    runs: |name| matches!(name, "Run" | "GetTensorMutableData" | "ReleaseValue"),
};

type Test = fn(&'static Target) -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 9] = [
        ("an_error_of_any_call_is_never_a_wrong_result", errors),
        (
            "errors_from_any_call_on_are_never_a_wrong_result",
            all_errors,
        ),
        ("an_error_of_any_call_is_never_an_agreement", no_agreement),
        (
            "an_error_of_any_call_is_survived_by_isolation",
            isolated_errors,
        ),
        ("a_wrong_output_is_an_error_of_its_image", outputs),
        ("a_crash_at_any_call_is_contained_by_isolation", crashes),
        ("a_hang_is_ended_by_isolation", hangs),
        ("a_hang_while_opening_is_ended_by_isolation", opening_hangs),
        ("a_crash_at_any_call_costs_compare_one_run", compare_crashes),
    ];
    let onnx = Needs::engine(&backend_onnx::find_library(None, &library_dirs()));
    let targets = [(&OPENVINO, Needs::nothing()), (&ONNX, onnx)];
    let all = targets.iter().flat_map(|(target, needs)| {
        let target: &'static Target = target;
        tests.iter().map(move |(name, test)| {
            let (name, test) = (format!("fake_engine::{}::{name}", target.backend), *test);
            needs.test(name, move || test(target))
        })
    });
    all.collect()
}

/// The name of the copy of ONNX Runtime.
const REAL: &str = "real.so";

/// A fake engine where the loader finds it, two images, and an output.
struct Fake {
    target: &'static Target,
    directory: tempfile::TempDir,
    images: [PathBuf; 2],
}

/// Puts the fake OpenVINO into a directory, under the name of the real library.
pub fn fake_library(directory: &Path) -> Result<(), Failed> {
    copy_library("classify_fake_openvino", directory, "openvino_c")
}

/// Copies a library of this workspace into a directory, under another name.
fn copy_library(built: &str, directory: &Path, name: &str) -> Result<(), Failed> {
    // Cargo puts it next to this test.
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let built = std::env::current_exe()?.with_file_name(format!("{prefix}{built}{suffix}"));
    fs::copy(&built, directory.join(format!("{prefix}{name}{suffix}")))?;
    Ok(())
}

/// A run of the program, and the file that it wrote.
#[derive(Debug)]
struct Outcome {
    run: Run,
    file: Option<String>,
}

impl Fake {
    fn new(target: &'static Target) -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let images = ["a.ppm", "b.ppm"].map(|name| directory.path().join(name));
        for (path, level) in images.iter().zip([10_u8, 200]) {
            fs::write(path, [b"P6 8 8 255\n".to_vec(), vec![level; 192]].concat())?;
        }
        if target.backend == "openvino" {
            fake_library(directory.path())?;
        } else {
            copy_library("classify_fake_onnxruntime", directory.path(), "onnxruntime")?;
            // A copy, because an isolated engine may read this directory.
            let real = backend_onnx::find_library(None, &library_dirs())?.path;
            fs::copy(real, directory.path().join(REAL))?;
        }
        Ok(Self {
            target,
            directory,
            images,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program with this library, and a fault if there is one.
    fn command(&self, fault: Option<String>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        command.env(self.target.variable, self.directory.path());
        command.env(classify_fake_onnxruntime::LIBRARY, self.at(REAL));
        command.envs(fault.map(|fault| (FAULT, fault)));
        command
    }

    fn finish(command: &mut Command, model: &str, images: &[PathBuf]) -> Run {
        command.args(["--color", "rgb", "-m"]);
        command.arg(small_model(model)).arg("-i").args(images);
        run(command)
    }

    /// Classifies the images with `command` into a file. One infer request, so that the calls have an order.
    fn classify_into(&self, output: &Path, mut command: Command) -> Run {
        command
            .args(["--backend", self.target.backend, "--requests", "1"])
            .args(["--format", "json", "-o"])
            .arg(output);
        Self::finish(&mut command, "plain.onnx", &self.images)
    }

    /// Classifies the images with a fault, if there is one.
    fn classify(&self, fault: Option<String>, flags: &[&str]) -> Result<Outcome, Failed> {
        let output = self.at("results.jsonl");
        let _ = fs::remove_file(&output);
        let mut command = self.command(fault);
        command.args(flags);
        let run = self.classify_into(&output, command);
        let left = fs::read_dir(self.directory.path())?.flatten().any(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(".classify-")
        });
        ensure(!left, ("a temporary file is left", &run))?;
        Ok(Outcome {
            run,
            file: results(&output)?,
        })
    }

    /// Returns the run without a fault, and the names of the calls in it.
    fn without_fault(&self) -> Result<(Outcome, Vec<String>), Failed> {
        let calls = self.at("calls.txt");
        let output = self.at("results.jsonl");
        let mut command = self.command(None);
        command.env(CALLS, &calls);
        let run = self.classify_into(&output, command);
        expect_code(&run, 0)?;
        let file = results(&output)?;
        let calls = fs::read_to_string(calls)?;
        let calls: Vec<_> = calls.lines().map(str::to_owned).collect();
        // Opening, and two inferences.
        ensure(calls.len() > 50, &calls)?;
        Ok((Outcome { run, file }, calls))
    }
}

/// The lines of the results without the times, if there is a file. The last line must have an end.
fn results(file: &Path) -> Result<Option<String>, Failed> {
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(file)?;
    ensure(text.ends_with('\n'), &text)?;
    let mut lines = String::new();
    for line in text.lines() {
        let mut json: serde_json::Value = serde_json::from_str(line)?;
        if let Some(fields) = json.as_object_mut() {
            fields.remove("timing_ms");
            // An engine that does not tell where it runs is no wrong result, if the result says so.
            for (key, value) in [("device", "CPU"), ("precision", "f32")] {
                if fields.get(key).is_some_and(|found| found == "unknown") {
                    fields[key] = value.into();
                }
            }
        }
        lines += &json.to_string();
        lines.push('\n');
    }
    Ok(Some(lines))
}

/// Stops unless the results are complete and right, or an error says why not, and none of them is torn or wrong.
fn check(good: &Outcome, outcome: &Outcome, images: &[PathBuf]) -> Result<(), Failed> {
    let run = &outcome.run;
    ensure(!run.stderr.contains("panicked at"), run)?;
    if run.code == Some(0) {
        return ensure(outcome.file == good.file, outcome);
    }
    ensure(matches!(run.code, Some(1 | 2)), run)?;
    ensure(
        run.stderr.contains("error: ") && run.stderr.contains("hint: "),
        run,
    )?;
    let Some(file) = &outcome.file else {
        return ensure(run.code == Some(2), run);
    };
    // One line for each image: the right one, or an error.
    let good = good.file.as_deref().unwrap_or_default();
    ensure(file.lines().count() == images.len(), outcome)?;
    for (line, right) in file.lines().zip(good.lines()) {
        let json: serde_json::Value = serde_json::from_str(line)?;
        let is_error = json["error"].is_object() && json["top"].is_null();
        ensure(line == right || is_error, (line, right))?;
    }
    ensure(file != good, outcome)
}

/// The numbers of the calls that are tried: each, or every `step`th in the quick counts.
fn numbers(count: usize, step: usize) -> impl Iterator<Item = usize> {
    let step = if has_full_counts() { 1 } else { step };
    (1..=count).step_by(step)
}

/// Tries a fault at each call, and returns how many runs failed.
fn try_calls(
    target: &'static Target,
    kind: &str,
    flags: &[&str],
    step: usize,
    check: impl Fn(&Outcome, &Outcome, &[PathBuf]) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let fake = Fake::new(target)?;
    let (good, calls) = fake.without_fault()?;
    let (mut tried, mut failed) = (0, 0);
    for number in numbers(calls.len(), step) {
        let outcome = fake.classify(Some(format!("{kind}@{number}")), flags)?;
        check(&good, &outcome, &fake.images).map_err(|failed| {
            let message = failed.message().unwrap_or_default();
            format!("{kind} at call {number}, {}: {message}", calls[number - 1])
        })?;
        tried += 1;
        failed += usize::from(outcome.run.code != Some(0));
    }
    println!(
        "{} {kind} {flags:?}: {tried} of {} calls tried, {failed} runs failed",
        target.backend,
        calls.len()
    );
    ensure(failed > 0, "no fault had an effect")
}

fn errors(target: &'static Target) -> Result<(), Failed> {
    try_calls(target, "error", &[], 1, check)
}

fn all_errors(target: &'static Target) -> Result<(), Failed> {
    try_calls(target, "errors", &[], 2, check)
}

fn isolated_errors(target: &'static Target) -> Result<(), Failed> {
    try_calls(target, "error", &["--isolate"], 3, check)
}

fn crashes(target: &'static Target) -> Result<(), Failed> {
    for kind in ["abort", "segfault", "exit"] {
        try_calls(target, kind, &["--isolate"], 5, check)?;
    }
    Ok(())
}

fn hangs(target: &'static Target) -> Result<(), Failed> {
    // Opening a model may take minutes: only an inference has a short deadline.
    let fake = Fake::new(target)?;
    let (good, calls) = fake.without_fault()?;
    let start = calls.iter().position(|name| name == target.start);
    let first = start.ok_or("no inference")?;
    let inference = (first..calls.len()).filter(|place| (target.runs)(&calls[*place]));
    let most = if has_full_counts() { usize::MAX } else { 2 };
    let mut tried = 0;
    for place in inference.take(most) {
        let fault = format!("hang@{}", place + 1);
        let outcome = fake.classify(Some(fault), &["--isolate", "--timeout", "1"])?;
        check(&good, &outcome, &fake.images)?;
        let run = &outcome.run;
        ensure(run.stderr.contains("did not answer within 1s"), run)?;
        tried += 1;
    }
    println!("hang: {tried} calls tried");
    ensure(tried > 0, calls)
}

/// Whatever is slow here, the limit is exceeded.
fn opening_hangs(target: &'static Target) -> Result<(), Failed> {
    let fake = Fake::new(target)?;
    let (good, calls) = fake.without_fault()?;
    let opening = calls.iter().position(|name| name == target.first);
    let opening = opening.ok_or("no inference")?;
    ensure(opening > 30, &calls)?;
    let flags = ["--isolate", "--isolate-open", "1"];
    let is_ended = |run: &Run| {
        let words = [
            "did not answer within 1s",
            "opening the model",
            "raise --isolate-open",
        ];
        ensure(words.iter().all(|word| run.stderr.contains(word)), run)
    };
    let mut tried = 0;
    for number in numbers(opening, 20) {
        let outcome = fake.classify(Some(format!("hang@{number}")), &flags)?;
        check(&good, &outcome, &fake.images)?;
        ensure(outcome.run.code == Some(2), &outcome)?;
        is_ended(&outcome.run)?;
        tried += 1;
    }
    let (compared, report) = compare(&fake, Some("hang@1".to_owned()), &flags)?;
    expect_code(&compared, 2)?;
    is_ended(&compared)?;
    let report = report.ok_or("no report")?;
    ensure(report["verdict"] == "could-not-compare", report)?;
    println!("hang while opening: {tried} of {opening} calls tried");
    Ok(())
}

fn outputs(target: &'static Target) -> Result<(), Failed> {
    let fake = Fake::new(target)?;
    let (good, _) = fake.without_fault()?;
    for flags in [&[][..], &["--isolate"]] {
        for kind in target.output_faults {
            let outcome = fake.classify(Some(format!("{kind}@1")), flags)?;
            ensure(outcome.run.code == Some(1), (kind, &outcome))?;
            check(&good, &outcome, &fake.images).map_err(|failed| format!("{kind}: {failed:?}"))?;
        }
    }
    println!(
        "outputs: {} kinds tried, with and without --isolate",
        target.output_faults.len()
    );
    Ok(())
}

/// Compares RTen with the fake engine. Returns the report, if there is one.
fn compare(
    fake: &Fake,
    fault: Option<String>,
    flags: &[&str],
) -> Result<(Run, Option<serde_json::Value>), Failed> {
    let report = fake.at("report.json");
    let _ = fs::remove_file(&report);
    let has_fault = fault.is_some();
    let mut command = fake.command(fault);
    if !has_fault {
        command.env(CALLS, fake.at("compared.txt"));
    }
    command
        .args(["compare", "rten", fake.target.backend, "--requests", "1"])
        .args(flags)
        .arg("--report")
        .arg(&report);
    let run = Fake::finish(&mut command, "plain.onnx", &fake.images);
    let report = report.exists().then(|| fs::read_to_string(&report));
    let report = report.transpose()?;
    let report = report.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok((run, report))
}

/// Returns the report without a fault, and the number of the fake engine's calls for it.
fn good_report(fake: &Fake) -> Result<(serde_json::Value, usize), Failed> {
    // Isolated, the engine could not write the list.
    let (good, report) = compare(fake, None, &["--no-isolate"])?;
    expect_code(&good, 0)?;
    let calls = fs::read_to_string(fake.at("compared.txt"))?.lines().count();
    ensure(calls > 50, calls)?;
    Ok((report.ok_or("no report")?, calls))
}

/// Every image has the answer of RTen, whatever ends the other engine.
fn compare_crashes(target: &'static Target) -> Result<(), Failed> {
    let fake = Fake::new(target)?;
    let (good, _) = good_report(&fake)?;
    // The process of an engine is killed, which makes none of the calls that end it.
    let calls = fake.without_fault()?.1;
    // After it, the engine may end as it likes: all images are answered.
    let last = calls.iter().rposition(|name| (target.runs)(name));
    let last = 1 + last.ok_or("no inference")?;
    let mut tried = 0;
    for kind in ["abort", "segfault", "exit"] {
        for number in numbers(last, 10) {
            let fault = format!("{kind}@{number}");
            let (result, report) = compare(&fake, Some(fault.clone()), &[])?;
            let report = report.ok_or_else(|| format!("{fault}: no report: {result:#?}"))?;
            tried += 1;
            expect_code(&result, 2)?;
            let words = "the process of the engine ";
            ensure(result.stderr.contains(words), (&fault, &result))?;
            // The other run is complete.
            let [error, expected] = [&report, &good].map(|report| &report["runs"][0]["error"]);
            ensure(error == expected, (&fault, &report))?;
            let failures = report["failures"].as_array().into_iter().flatten();
            let is_other = |failure: &&serde_json::Value| failure["run"] == "rten";
            ensure(failures.filter(is_other).count() == 0, (&fault, &report))?;
        }
    }
    println!("compare: {tried} crashes tried");
    ensure(tried > 20, tried)
}

fn no_agreement(target: &'static Target) -> Result<(), Failed> {
    let fake = Fake::new(target)?;
    let (agreement, calls) = good_report(&fake)?;
    let kinds = target.output_faults.iter();
    let kinds = kinds.map(|kind| format!("{kind}@1"));
    let faults = numbers(calls, 3).map(|number| format!("error@{number}"));
    let (mut tried, mut failed) = (0, 0);
    for fault in faults.chain(kinds) {
        let (result, report) = compare(&fake, Some(fault.clone()), &["--no-isolate"])?;
        ensure(!result.stderr.contains("panicked at"), (&fault, &result))?;
        tried += 1;
        if result.code == Some(0) {
            let report = report.ok_or("no report")?;
            let same = |key: &str| report[key] == agreement[key];
            ensure(same("verdict") && same("images"), (&fault, &result, report))?;
            ensure(!fault.contains("@1") || fault.starts_with("error"), fault)?;
            continue;
        }
        // Infinities and NaN are a verdict: they differ.
        let is_verdict = result.code == Some(1) && result.stdout.contains("FAILED finite");
        let is_error = result.code == Some(2) && result.stderr.contains("hint: ");
        ensure(is_verdict || is_error, (&fault, &result))?;
        failed += 1;
    }
    println!("compare: {tried} faults tried, {failed} runs failed");
    ensure(failed > target.output_faults.len(), failed)
}
