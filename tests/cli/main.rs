//! The program from outside: what it prints for real photos on real engines, and what it says when
//! something is wrong. Compiled by the package of the binary, whose path cargo only tells there.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

#[cfg(unix)]
mod action;
mod answers;
mod archive_truth;
mod archives;
mod bench;
mod bisect;
mod cases;
mod check;
mod classifier;
mod compare;
mod datasets;
mod deploy;
mod devices;
mod errors;
mod evaluate;
mod evaluate_models;
mod evaluate_numbers;
mod evaluate_recordings;
mod exported;
mod faults;
mod files;
#[cfg(target_os = "linux")]
mod files_opened;
mod filters;
mod fixtures;
mod html;
mod images;
mod inputs;
#[cfg(unix)]
mod installs;
mod interrupts;
#[cfg(target_os = "linux")]
mod isolated_failures;
#[cfg(target_os = "linux")]
mod isolation;
mod leftovers;
#[cfg(unix)]
mod links;
mod loader;
mod metrics;
mod model_inputs;
mod oldest;
mod outputs;
mod quantized;
mod readmes;
mod recompute;
mod remote;
mod remote_outages;
mod reports;
mod rows;
mod schemas;
mod shapes;
mod shard_faults;
mod shard_remote;
mod shard_reports;
mod shards;
mod snapshots;
mod sources;
mod stream;
mod tensors;
mod texts;

use std::path::PathBuf;
use std::process::Command;

use classify_tests::{Needs, library_dirs};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engines = Needs::engine(&backend_openvino::find_library(None, &library_dirs())).and(
        &Needs::engine(&backend_onnx::find_library(None, &library_dirs())),
    );
    let set_up = engines.and(&Needs::set_up());
    let mut trials: Vec<Trial> = Vec::new();
    #[cfg(unix)]
    trials.extend(action::trials(&engines));
    trials.extend(answers::trials(&set_up));
    trials.extend(archives::trials(&engines));
    trials.extend(archive_truth::trials(&engines));
    trials.extend(bench::trials(&engines, &set_up));
    trials.extend(cases::trials(&set_up));
    trials.extend(classifier::trials(&set_up));
    trials.extend(bisect::trials(&engines, &set_up));
    trials.extend(model_inputs::trials(&engines, &set_up));
    trials.extend(exported::trials(&engines, &set_up));
    trials.extend(compare::trials(&engines, &set_up));
    trials.extend(check::trials());
    trials.extend(datasets::trials());
    trials.extend(quantized::trials(&engines));
    trials.extend(evaluate_recordings::trials());
    trials.extend(metrics::trials());
    trials.extend(rows::trials());
    trials.extend(deploy::trials(&engines));
    trials.extend(devices::trials(&engines, &set_up));
    trials.extend(evaluate::trials(&engines, &set_up));
    trials.extend(evaluate_models::trials(&engines, &set_up));
    trials.extend(evaluate_numbers::trials(&set_up));
    trials.extend(faults::trials(&set_up));
    trials.extend(errors::trials(&engines, &set_up));
    trials.extend(files::trials(&engines));
    #[cfg(target_os = "linux")]
    trials.extend(files_opened::trials());
    trials.extend(images::trials(&engines));
    trials.extend(inputs::trials(&engines));
    #[cfg(unix)]
    trials.extend(installs::trials(&engines, &set_up));
    #[cfg(unix)]
    trials.extend(interrupts::trials(&engines));
    #[cfg(target_os = "linux")]
    trials.extend(isolation::trials(&engines, &set_up));
    #[cfg(target_os = "linux")]
    trials.extend(isolated_failures::trials(&engines));
    #[cfg(unix)]
    trials.extend(leftovers::trials());
    #[cfg(unix)]
    trials.extend(links::trials());
    trials.extend(loader::trials(&engines));
    trials.extend(oldest::trials(&set_up));
    trials.extend(outputs::trials(&engines, &set_up));
    trials.extend(readmes::trials(&set_up));
    trials.extend(recompute::trials(&set_up));
    trials.extend(remote::trials(&set_up));
    trials.extend(reports::trials(&set_up));
    trials.extend(html::trials(&engines, &set_up));
    trials.extend(schemas::trials());
    trials.extend(shapes::trials(&engines, &set_up));
    trials.extend(shard_faults::trials(&engines));
    trials.extend(remote_outages::trials());
    trials.extend(shard_remote::trials());
    trials.extend(shard_reports::trials(&engines));
    trials.extend(shards::trials(&engines, &set_up));
    trials.extend(snapshots::trials(&engines, &set_up));
    trials.extend(sources::trials(&engines, &set_up));
    trials.extend(stream::trials());
    trials.extend(tensors::trials(&engines, &set_up));
    trials.extend(texts::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// The program, without the variables that change where engines are found and how text is colored.
fn classify() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
    for variable in [
        "CLASSIFY_OPENVINO_LIB",
        "CLASSIFY_OPENVINO_PLUGINS",
        "CLASSIFY_ONNXRUNTIME_LIB",
        "CLICOLOR_FORCE",
        "ORT_DYLIB_PATH",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Gives a command the environment that another one was given.
fn copy_environment(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// Two images that every engine test can use, without a set-up.
fn small_images() -> Result<(tempfile::TempDir, PathBuf, PathBuf), Failed> {
    let directory = tempfile::tempdir()?;
    let paths = ["a.ppm", "b.ppm"].map(|name| directory.path().join(name));
    for (path, level) in paths.iter().zip([10_u8, 200]) {
        let mut bytes = b"P6 8 8 255\n".to_vec();
        bytes.extend([level; 192]);
        std::fs::write(path, bytes)?;
    }
    let [a, b] = paths;
    Ok((directory, a, b))
}

/// KiB that `command` takes at most, on a list of twice as many small images as `pairs`.
fn peak_memory(mut command: Command, pairs: usize) -> Result<f64, Failed> {
    let (directory, a, b) = small_images()?;
    let list = directory.path().join("list.txt");
    let lines = format!("{}\n{}\n", a.display(), b.display());
    std::fs::write(&list, lines.repeat(pairs))?;
    command.arg("--input-list").arg(list);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Ok(classify_tests::python("peak.py", words)?.trim().parse()?)
}
