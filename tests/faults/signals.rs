//! Signals at any moment.

use std::thread::sleep;
use std::time::Instant;

use classify_tests::{Run, ensure, expect_code, run};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::counts;
use crate::work::{Place, Random, WORKS, check, files, is_temporary};

/// Enough images that a signal mostly comes before the end.
const IMAGES: usize = 400;

pub fn trials() -> Vec<Trial> {
    let signals = [
        ("kill", Signal::KILL, None),
        ("interrupt", Signal::INT, Some(130)),
        ("terminate", Signal::TERM, Some(143)),
        ("hangup", Signal::HUP, Some(129)),
    ];
    signals
        .map(|(name, signal, code)| {
            let test = Trial::test(
                format!("signals::{name}_at_any_moment_leaves_no_torn_file"),
                move || moments(name, signal, code),
            );
            test.with_ignored_flag(is_ignored(signal))
        })
        .into()
}

/// Returns whether the program would inherit that a signal is ignored, as under `nohup`.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

fn moments(name: &str, signal: Signal, code: Option<i32>) -> Result<(), Failed> {
    let place = Place::new(IMAGES)?;
    let mut random = Random(signal.as_raw() as u64);
    let (mut before, mut complete) = (0, 0);
    for work in WORKS {
        let start = Instant::now();
        let good = place.good(work)?;
        let takes = start.elapsed();
        for number in 0..counts(4, 200 / WORKS.len()) {
            let has_old = number % 2 == 1;
            let directory = place.directory(work, has_old)?;
            let mut command = place.command(work, &directory, &[]);
            command.stdout(std::process::Stdio::piped());
            let child = command.stderr(std::process::Stdio::piped()).spawn()?;
            sleep(takes.mul_f64(random.next()));
            let process = Pid::from_child(&child);
            // It may have ended; it is not yet waited for, so the number is its own.
            let _ = kill_process(process, signal);
            let output = child.wait_with_output()?;
            let result = Run {
                command: format!("{command:?}"),
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            };
            let is_expected =
                [None, Some(0)].contains(&result.code) || (code.is_some() && result.code == code);
            ensure(is_expected, &result)?;
            check(&good, &directory, has_old, &result)?;
            if result.code == Some(0) {
                complete += 1;
                continue;
            }
            before += 1;
            if signal == Signal::KILL {
                // The next run of the same output removes what the killed one left.
                expect_code(&run(&mut place.command(work, &directory, &[])), 0)?;
            }
            let left = files(&directory)?;
            let left: Vec<_> = left.keys().filter(|name| is_temporary(name)).collect();
            ensure(left.is_empty(), (left, result))?;
        }
    }
    println!("{name}: {before} runs were ended, {complete} were complete before");
    ensure(before > 0, "every run was complete before its signal")
}
