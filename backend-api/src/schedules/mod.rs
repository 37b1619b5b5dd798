//! The pool under the schedules of loom (all of them, up to a bound) and shuttle (many random ones).
//!
//! Both replace the primitives of [`crate::sync`] and run all threads on one. Semaphores and channels of tokio keep
//! their own primitives, so each of their operations is one step here; tokio checks them with loom itself.
//!
//! Each checker also runs on `BrokenPool`, a copy of the pool's bookkeeping with a planted `Bug`, and has to find it. The copy
//! without a bug passes, so the checkers find the bug and not the copy. A bug is planted in a process of its own, because
//! a checker that finds a deadlock may abort.

#![cfg(test)]

mod with_loom;
mod with_shuttle;

use std::fmt::Debug;
use std::process::Command;

/// The variable that names the planted bug.
const VARIABLE: &str = "BACKEND_API_PLANTED_BUG";

/// The bugs that schedules show, with a part of what the checkers report. The conformance suite finds the others.
const BUGS: [(&str, &str); 6] = [
    ("NotifyBeforePush", "deadlock"),
    ("SleepWithoutLooking", "deadlock"),
    ("PermitLeaksOnPanic", "deadlock"),
    ("WatermarkCounts", "it ended before wait_all"),
    ("WatermarkGoesBack", "deadlock"),
    ("InputReleasedLate", "the input is still held"),
];

/// Returns the bug that the environment names, or the first.
fn planted_bug<B: Copy + Debug>(bugs: &[B]) -> B {
    let Ok(name) = std::env::var(VARIABLE) else {
        return bugs[0];
    };
    let mut bugs = bugs.iter().copied();
    bugs.find(|bug| format!("{bug:?}") == name)
        .expect("a known bug")
}

/// Fails unless `checker` finds each of [`BUGS`] in the copy of the pool.
fn assert_found(checker: &str) {
    for (bug, report) in BUGS {
        let test = format!("schedules::{checker}::the_copy_passes_unless_a_bug_is_planted");
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &test, "--nocapture"])
            .env(VARIABLE, bug)
            .env("RUST_BACKTRACE", "0")
            .output()
            .expect("it starts");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{checker} did not find {bug}");
        assert!(
            messages.contains(report),
            "{checker} found {bug} by something else: {messages}"
        );
    }
}
