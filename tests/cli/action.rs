//! The action for GitHub: its steps, in the environment that a job gives them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::small_images;

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 9] = [
        ("action::a_passed_comparison_is_in_the_summary", passed),
        ("action::a_failed_gate_fails_the_step", failed_gate),
        ("action::a_failure_without_a_report_is_annotated", no_report),
        ("action::both_tables_of_a_check_are_reported", both_tables),
        (
            "action::a_table_that_ends_early_is_annotated",
            second_table_ends,
        ),
        ("action::runs_may_have_models_of_their_own", own_models),
        ("action::an_unknown_command_is_rejected", unknown_command),
        ("action::an_input_is_no_command", input_is_data),
        ("action::each_run_has_an_artifact_of_its_own", artifacts),
    ];
    tests.map(|(name, test)| engines.test(name, test)).into()
}

/// A job on GitHub, with its files in a directory.
struct Job {
    directory: tempfile::TempDir,
    _images: tempfile::TempDir,
    image: PathBuf,
}

impl Job {
    fn new() -> Result<Self, Failed> {
        let (images, image, _) = small_images()?;
        Ok(Self {
            directory: tempfile::tempdir()?,
            _images: images,
            image,
        })
    }

    /// Runs the step that runs `classify`, with these inputs in place of those of a comparison that passes.
    fn step(&self, inputs: &[(&str, &str)]) -> Result<Run, Failed> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/action/run.sh");
        let programs = Path::new(env!("CARGO_BIN_EXE_classify")).parent();
        let mut path = vec![programs.ok_or("a directory")?.to_path_buf()];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").ok_or("a PATH")?,
        ));
        let mut command = Command::new("bash");
        command.arg(script).current_dir(self.directory.path());
        command.env("PATH", std::env::join_paths(path)?);
        for (name, value) in [
            ("COMMAND", "compare"),
            ("RUNS", "onnx openvino"),
            ("CONFIG", ""),
            ("ARGUMENTS", "--quiet"),
            ("REPORT", "reports"),
            ("GITHUB_JOB", "accuracy"),
            ("GITHUB_ACTION", "__owner/classify_2"),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_ARCH", "X64"),
        ] {
            command.env(name, value);
        }
        command.env("MODEL", small_model("plain.onnx"));
        command.env("INPUT", &self.image);
        for file in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
            command.env(file, self.directory.path().join(file));
        }
        command.envs(inputs.iter().copied());
        Ok(run(&mut command))
    }

    fn read(&self, name: &str) -> Result<String, Failed> {
        Ok(fs::read_to_string(self.directory.path().join(name))?)
    }

    /// Returns the last value of an output of the step.
    fn output(&self, name: &str) -> Result<String, Failed> {
        let text = self.read("GITHUB_OUTPUT")?;
        let mut values = text.lines().rev().filter_map(|line| line.split_once('='));
        let value = values.find(|(own, _)| *own == name).ok_or("an output")?;
        Ok(value.1.to_owned())
    }
}

fn passed() -> Result<(), Failed> {
    let job = Job::new()?;
    let result = job.step(&[])?;
    expect_code(&result, 0)?;
    let notice = "::notice title=classify compare::AGREE: ";
    ensure(
        result.stdout.lines().any(|line| line.starts_with(notice)),
        &result,
    )?;
    ensure(
        job.read("GITHUB_STEP_SUMMARY")?.contains("**AGREE: "),
        &result,
    )?;
    for file in ["report.json", "report.html", "junit.xml", "summary.md"] {
        ensure(!job.read(&format!("reports/{file}"))?.is_empty(), file)?;
    }
    ensure(job.output("report")? == "reports", &result)?;
    ensure(job.output("exit-code")? == "0", &result)
}

fn failed_gate() -> Result<(), Failed> {
    let job = Job::new()?;
    let truth = job.directory.path().join("truth.csv");
    fs::write(
        &truth,
        format!("path,class_id\n{},0\n", job.image.display()),
    )?;
    let arguments = format!("--quiet --truth {} --min-top1 100%", truth.display());
    let evaluate = [
        ("COMMAND", "evaluate"),
        ("RUNS", "onnx"),
        ("ARGUMENTS", &*arguments),
    ];
    let result = job.step(&evaluate)?;
    expect_code(&result, 1)?;
    ensure(
        result
            .stdout
            .contains("\n::error title=classify evaluate::FAILED"),
        &result,
    )?;
    ensure(job.output("exit-code")? == "1", &result)?;
    ensure(job.read("GITHUB_STEP_SUMMARY")?.contains("FAILED"), &result)
}

fn both_tables() -> Result<(), Failed> {
    let job = Job::new()?;
    let file = |name: &str, text: String| fs::write(job.directory.path().join(name), text);
    file(
        "truth.csv",
        format!("path,class_id\n{},0\n", job.image.display()),
    )?;
    file(
        "gate.toml",
        format!(
            "runs = ['onnx', 'openvino']\nmodel = '{}'\ninput = ['{}']\n[compare]\n[evaluate]\ntruth = 'truth.csv'\nmin-top1 = '100%'\n",
            small_model("plain.onnx").display(),
            job.image.display()
        ),
    )?;
    let result = job.step(&[("COMMAND", "check"), ("CONFIG", "gate.toml")])?;
    expect_code(&result, 1)?;
    let summary = job.read("GITHUB_STEP_SUMMARY")?;
    for (words, command) in [("AGREE", "compare"), ("FAILED", "evaluate")] {
        let annotation = format!("title=classify {command}::{words}");
        ensure(
            summary.contains(words) && result.stdout.contains(&annotation),
            (&summary, &result),
        )?;
        for name in ["report.json", "report.html", "junit.xml"] {
            let report = job.read(&format!("reports/{command}-{name}"))?;
            ensure(!report.is_empty(), name)?;
        }
    }
    Ok(())
}

/// The first table passes, and the ground truth of the second is damaged.
fn second_table_ends() -> Result<(), Failed> {
    let job = Job::new()?;
    let file = |name: &str, text: String| fs::write(job.directory.path().join(name), text);
    file("truth.csv", "path\n".to_owned())?;
    file(
        "gate.toml",
        format!(
            "runs = ['onnx', 'openvino']\nmodel = '{}'\ninput = ['{}']\n[compare]\n[evaluate]\ntruth = 'truth.csv'\nmin-top1 = '1%'\n",
            small_model("plain.onnx").display(),
            job.image.display()
        ),
    )?;
    let result = job.step(&[("COMMAND", "check"), ("CONFIG", "gate.toml")])?;
    expect_code(&result, 2)?;
    ensure(
        result.stdout.contains("title=classify compare::AGREE")
            && result
                .stdout
                .contains("::error title=classify check::exit code 2"),
        &result,
    )
}

fn own_models() -> Result<(), Failed> {
    let job = Job::new()?;
    let model = small_model("plain.onnx");
    let runs = format!("onnx={0} openvino={0}", model.display());
    let result = job.step(&[("RUNS", &*runs), ("MODEL", "")])?;
    expect_code(&result, 0)?;
    ensure(result.stdout.contains("AGREE"), &result)
}

fn no_report() -> Result<(), Failed> {
    let job = Job::new()?;
    expect_code(&job.step(&[])?, 0)?;
    // The reports of the run before are there, and must not be taken for this one's.
    let result = job.step(&[("MODEL", "missing.onnx")])?;
    expect_code(&result, 2)?;
    ensure(result.stdout.contains("::error title="), &result)?;
    ensure(!result.stdout.contains("AGREE"), &result)?;
    ensure(job.output("exit-code")? == "2", &result)
}

fn unknown_command() -> Result<(), Failed> {
    let result = Job::new()?.step(&[("COMMAND", "bench")])?;
    expect_code(&result, 2)?;
    ensure(
        result
            .stdout
            .contains("expected compare, evaluate or check"),
        &result,
    )
}

fn input_is_data() -> Result<(), Failed> {
    let job = Job::new()?;
    for name in ["RUNS", "MODEL", "INPUT", "ARGUMENTS"] {
        let result = job.step(&[(name, "$(touch made); `touch made`")])?;
        expect_code(&result, 2)?;
        ensure(!job.directory.path().join("made").exists(), name)?;
    }
    Ok(())
}

fn artifacts() -> Result<(), Failed> {
    let job = Job::new()?;
    job.step(&[])?;
    let first = job.output("artifact")?;
    ensure(
        first.starts_with("classify-accuracy-__owner-classify_2-"),
        &first,
    )?;
    job.step(&[("RUNNER_OS", "macOS")])?;
    let second = job.output("artifact")?;
    ensure(first != second, format!("{first} {second}"))
}
