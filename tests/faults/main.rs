//! Faults on purpose: an engine that fails at any call, system calls that fail, signals at any moment, a disk that is
//! full, and processes that are killed. Each test tries a few; `cargo faults` tries them all. `cargo soak` is here as
//! well, because the fake engine leaks on demand.
//!
//! Always holds: a file is complete, old or absent and never torn; exit code 0 means that everything is complete and
//! right; no panic ends the program.

// What was tried is part of what a test run shows.
#![allow(clippy::print_stdout)]
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
mod cache;
#[cfg(target_os = "linux")]
mod fake_engine;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod soak;
#[cfg(target_os = "linux")]
mod space;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod work;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    #[cfg(target_os = "linux")]
    {
        trials.extend(work::trials());
        trials.extend(fake_engine::trials());
        trials.extend(syscalls::trials());
        trials.extend(signals::trials());
        trials.extend(space::trials());
        trials.extend(cache::trials());
        trials.extend(soak::trials());
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Returns whether all faults are tried, as `cargo faults` does, or a few.
fn has_full_counts() -> bool {
    std::env::var_os("CLASSIFY_TEST_COUNTS").is_some_and(|counts| counts == "full")
}

/// Returns `quick`, or `full` where all faults are tried.
fn counts(quick: usize, full: usize) -> usize {
    if has_full_counts() { full } else { quick }
}
