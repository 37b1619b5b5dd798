//! The examples for batch systems run with the flags that the program has.

use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::shards::{IMAGES, Images};
use crate::{classify, shards};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: &[(&str, fn() -> Result<(), Failed>)] = &[
        ("deploy::the_job_of_kubernetes_runs", kubernetes),
        #[cfg(unix)]
        ("deploy::the_array_of_slurm_runs", slurm),
    ];
    let tests = tests.iter();
    tests
        .map(|(name, test)| engines.test(*name, *test))
        .collect()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

/// Merges what two shards have left.
fn merged(images: &Images) -> Result<(), Failed> {
    let merged = images.merge();
    expect_code(&merged, 1)?;
    let rows = shards::rows(&merged.stdout)?;
    ensure(rows.len() == IMAGES, rows)
}

/// Runs the arguments of the manifest, with files of this machine and a model that states little.
fn kubernetes() -> Result<(), Failed> {
    let manifest = fs::read_to_string(example("kubernetes/job.yaml"))?;
    let lines = manifest.lines().map(str::trim);
    let arguments = lines.skip_while(|line| *line != "args:").skip(1);
    let arguments: Vec<&str> = arguments
        .map_while(|line| line.strip_prefix("- "))
        .collect();
    ensure(
        arguments.contains(&"$(JOB_COMPLETION_INDEX)/64"),
        &arguments,
    )?;
    let images = Images::new()?;
    for index in 0..2 {
        let mut command = classify();
        for argument in &arguments {
            match *argument {
                "/data/resnet50.onnx" => command.arg(small_model("plain.onnx")),
                "/data/all.txt" => command.arg(&images.list),
                "/data/parts" => command.arg(images.at("parts")),
                "$(JOB_COMPLETION_INDEX)/64" => command.arg(format!("{index}/2")),
                other => command.arg(other),
            };
        }
        expect_code(
            &run(command.args(["--backend", "rten", "--scores", "softmax"])),
            0,
        )?;
    }
    merged(&images)
}

/// Runs the script as the tasks of an array.
#[cfg(unix)]
fn slurm() -> Result<(), Failed> {
    let images = Images::new()?;
    let task = |index: usize| {
        let mut command = std::process::Command::new("bash");
        command.arg(example("slurm.sbatch")).arg("2");
        command.arg(small_model("plain.onnx")).arg(&images.list);
        command.arg(images.at("parts"));
        command.args(["--backend", "rten", "--scores", "softmax"]);
        command.env("CLASSIFY", env!("CARGO_BIN_EXE_classify"));
        run(command.env("SLURM_ARRAY_TASK_ID", index.to_string()))
    };
    for index in 0..2 {
        expect_code(&task(index), 0)?;
    }
    merged(&images)
}
