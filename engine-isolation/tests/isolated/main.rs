//! The isolated backend on mock engines. This program is also its own child.
#![cfg(target_os = "linux")]
// The output of child processes, which the tests read.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod confinement;
mod crashes;
mod engine;
mod liar;

use classify_tests::{Needs, conformance};
use libtest_mimic::{Arguments, Trial};

fn main() {
    // Before the engine of the child, whose place it takes.
    if liar::run_if_asked() || engine_isolation::run_child(engine::open) {
        return;
    }
    if std::env::var_os(crashes::PARENT).is_some() {
        return crashes::wait_to_be_killed();
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = conformance(&Needs::nothing(), "mock", engine::subject);
    trials.extend(crashes::trials());
    trials.extend(liar::trials());
    trials.extend(confinement::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
