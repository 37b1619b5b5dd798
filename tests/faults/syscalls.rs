//! System calls that fail: `strace` gives the error at call number N of each thread.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use classify_tests::{ensure, run, works};
use libtest_mimic::{Failed, Trial};

use crate::fake_engine::fake_library;
use crate::has_full_counts;
use crate::work::{CLASSIFY, Place, WORKS, Work, check, where_there_is};

/// Calls, their errors, and how many are tried in the quick counts.
type Fault = (&'static str, &'static [&'static str], usize);

/// The calls, each with its errors, and how many are tried in the quick counts.
const FAULTS: [Fault; 6] = [
    ("write", &["ENOSPC", "EIO"], usize::MAX),
    ("rename,renameat,renameat2", &["EACCES"], usize::MAX),
    ("linkat", &["EIO"], usize::MAX),
    ("fsync", &["EIO"], usize::MAX),
    ("mmap", &["ENOMEM"], 8),
    ("clone,clone3", &["EAGAIN"], 3),
];

/// Reports lack the details of the machine whose files cannot be opened, and small copies of images; other results do not.
const OPENING: Fault = ("openat", &["EMFILE"], 8);

pub fn strace() -> Result<(), String> {
    works(
        &["strace", "-o", "/dev/null", "true"],
        "strace that may trace",
    )
}

pub fn trials() -> Vec<Trial> {
    let strace = strace();
    let works = WORKS.map(|work| {
        let name = format!(
            "syscalls::{}_is_never_torn",
            work.name.replace([' ', '-'], "_")
        );
        where_there_is(&strace, name, move || faults(work))
    });
    let name = "syscalls::an_engine_without_another_process_runs_nowhere".to_owned();
    let process = where_there_is(&strace, name, no_process);
    works.into_iter().chain([process]).collect()
}

/// The words that start a program under `strace`.
fn wrapper(log: &Path, calls: &str, fault: Option<(&str, usize)>) -> Vec<String> {
    let mut words = ["strace", "-f", "-o"].map(str::to_owned).to_vec();
    words.push(log.display().to_string());
    words.extend(["-e".to_owned(), format!("trace={calls}")]);
    if let Some((error, number)) = fault {
        words.extend([
            "-e".to_owned(),
            format!("inject={calls}:error={error}:when={number}"),
        ]);
    }
    words.push("--".to_owned());
    words
}

/// The most calls of one thread.
fn most_calls(log: &Path) -> Result<usize, Failed> {
    let mut of_threads: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(log)?.lines() {
        let (thread, rest) = line.split_once(' ').ok_or("a line")?;
        let is_call = rest
            .trim_start()
            .starts_with(|first: char| first.is_ascii_lowercase());
        *of_threads.entry(thread.to_owned()).or_default() += usize::from(is_call);
    }
    Ok(of_threads.into_values().max().unwrap_or_default())
}

/// The numbers from 1 to `most`, or as many of them as `quick`.
fn numbers(most: usize, quick: usize) -> Vec<usize> {
    let step = if has_full_counts() {
        1
    } else {
        most.div_ceil(quick.min(most).max(1))
    };
    (1..=most).step_by(step.max(1)).collect()
}

fn faults(work: Work) -> Result<(), Failed> {
    let place = Place::new(4)?;
    let good = place.good(work)?;
    let opening = (work.name == CLASSIFY.name).then_some(OPENING);
    try_all(work.name, opening, |wrapper, has_old| {
        let directory = place.directory(work, has_old)?;
        let result = run(&mut place.command(work, &directory, wrapper));
        check(&good, &directory, has_old, &result)?;
        Ok(result.code != Some(0))
    })
}

/// Calls `attempt` with the words that start a program with a fault, for each fault and `more`, and prints the counts.
/// `attempt` returns whether the program failed.
pub fn try_all(
    name: &str,
    more: Option<Fault>,
    mut attempt: impl FnMut(&[String], bool) -> Result<bool, Failed>,
) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let log = scratch.path().join("calls.txt");
    let (mut tried, mut failed) = (0, 0);
    let mut wrong = Vec::new();
    for (calls, errors, quick) in FAULTS.into_iter().chain(more) {
        let has_failed = attempt(&wrapper(&log, calls, None), false)?;
        ensure(!has_failed, "it fails without a fault")?;
        let most = most_calls(&log)?;
        for error in errors {
            for number in numbers(most, quick) {
                let words = wrapper(&log, calls, Some((error, number)));
                match attempt(&words, number.is_multiple_of(2)) {
                    Ok(is_failed) => failed += usize::from(is_failed),
                    Err(failed) => {
                        let message = failed.message().unwrap_or_default();
                        wrong.push(format!(
                            "{calls} {number} of {most} with {error}: {message}"
                        ));
                    }
                }
                tried += 1;
            }
        }
    }
    let first = wrong.iter().take(5).cloned().collect::<Vec<_>>();
    ensure(wrong.is_empty(), (wrong.len(), first.join("\n")))?;
    println!("{name}: {tried} system calls failed, {failed} runs with them");
    ensure(failed > 0, "no fault had an effect")
}

/// Engines end the program where they cannot start a thread, so none is tried in the program after its process cannot be
/// started.
fn no_process() -> Result<(), Failed> {
    let compare = Work {
        name: "compare",
        arguments: &["compare", "rten", "openvino"],
        files: &[],
    };
    let place = Place::new(2)?;
    let library = place.at("library");
    fs::create_dir(&library)?;
    fake_library(&library)?;
    let log = place.at("calls.txt");
    let mut named = 0;
    // The threads and processes that the first thread starts.
    for number in 1..=4 {
        let words = wrapper(&log, "clone3", Some(("EAGAIN", number)));
        let mut command = place.command(compare, &library, &words);
        let result = run(command.env("CLASSIFY_OPENVINO_LIB", &library));
        if result
            .stderr
            .contains("cannot start the process of the engine")
        {
            ensure(result.code == Some(2), &result)?;
            ensure(result.stderr.contains("`ulimit -u`"), &result)?;
            named += 1;
        }
    }
    ensure(named > 0, "no process was refused")
}
