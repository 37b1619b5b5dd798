//! The cache of compiled models: system calls that fail, and two processes of which one is killed.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use classify_tests::{Needs, ensure, expect_code, library_dirs, run};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::counts;
use crate::syscalls::{strace, try_all};
use crate::work::{Place, Random, Work, check};

const WORK: Work = Work {
    name: "classify --cache-dir",
    arguments: &[
        "--backend",
        "openvino",
        "--requests",
        "1",
        "--format",
        "csv",
    ],
    files: &[("-o", "results.csv")],
};

pub fn trials() -> Vec<Trial> {
    let openvino = Needs::engine(&backend_openvino::find_library(None, &library_dirs()));
    let killed = openvino.test("cache::a_killed_process_harms_no_other", killed);
    let faults = openvino.test(
        "cache::a_failed_system_call_never_gives_a_wrong_result",
        faults,
    );
    vec![
        killed,
        faults.with_ignored_flag(!openvino.are_met() || strace().is_err()),
    ]
}

/// After any fault, a run with the same cache has the right result.
fn faults() -> Result<(), Failed> {
    let place = Place::new(2)?;
    let good = place.good(WORK)?;
    let cache = place.at("cache");
    try_all(WORK.name, None, |wrapper, has_old| {
        // Every other time the entry is there.
        if !has_old && cache.exists() {
            std::fs::remove_dir_all(&cache)?;
        }
        let attempt = |words: &[String]| {
            let directory = place.directory(WORK, has_old)?;
            let mut command = place.command(WORK, &directory, words);
            let result = run(command.arg("--cache-dir").arg(&cache));
            check(&good, &directory, has_old, &result)?;
            Ok::<_, Failed>(result)
        };
        let faulty = attempt(wrapper)?;
        expect_code(&attempt(&[])?, 0)?;
        Ok(faulty.code != Some(0))
    })
}

fn killed() -> Result<(), Failed> {
    let place = Place::new(2)?;
    let start = Instant::now();
    let good = place.good(WORK)?;
    let mut takes = start.elapsed();
    let cache = place.at("cache");
    let mut random = Random(1);
    let mut killed = 0;
    let count = counts(4, 100);
    for _ in 0..count {
        if cache.exists() {
            std::fs::remove_dir_all(&cache)?;
        }
        let directory = place.directory(WORK, false)?;
        let victim_directory = place.at("victim");
        std::fs::create_dir_all(&victim_directory)?;
        let mut victim = place.command(WORK, &victim_directory, &[]);
        victim.arg("--cache-dir").arg(&cache);
        victim.stdout(Stdio::null()).stderr(Stdio::null());
        let mut victim = victim.spawn()?;
        let start = Instant::now();
        let mut other = place.command(WORK, &directory, &[]);
        other.arg("--cache-dir").arg(&cache);
        let other = std::thread::spawn(move || run(&mut other));
        let end = takes.mul_f64(random.next());
        while victim.try_wait()?.is_none() && start.elapsed() < end {
            sleep(Duration::from_millis(1));
        }
        if victim.try_wait()?.is_some() {
            // The run before was slower: a later process is killed while it runs.
            takes = takes.min(start.elapsed());
        }
        let _ = kill_process(Pid::from_child(&victim), Signal::KILL);
        killed += usize::from(!victim.wait()?.success());
        let other = other.join().map_err(|_| "a panic")?;
        // The other one, and the next with what both have left.
        expect_code(&other, 0)?;
        check(&good, &directory, false, &other)?;
        let mut next = place.command(WORK, &directory, &[]);
        let next = run(next.arg("--cache-dir").arg(&cache));
        expect_code(&next, 0)?;
        check(&good, &directory, false, &next)?;
    }
    println!("cache: {count} pairs of processes, {killed} of them with a killed one");
    ensure(killed > 0, "none was killed")
}
