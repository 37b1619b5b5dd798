//! The program from outside: what it prints for real photos on real engines, and what it says when
//! something is wrong. Compiled by the package of the binary, whose path cargo only tells there.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

mod answers;
mod errors;

use std::process::Command;

use classify_tests::Needs;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engines = Needs::engine(&backend_openvino::find_library(None))
        .and(&Needs::engine(&backend_onnx::find_library(None)));
    let set_up = engines.and(&Needs::set_up());
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(answers::trials(&set_up));
    trials.extend(errors::trials(&engines, &set_up));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The program, in a fresh environment but for what finds the engines.
fn classify() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
    for variable in [
        "CLASSIFY_OPENVINO_LIB",
        "CLASSIFY_ONNXRUNTIME_LIB",
        "ORT_DYLIB_PATH",
    ] {
        command.env_remove(variable);
    }
    command
}
