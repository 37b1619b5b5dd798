//! Ctrl-C: the first one lets in-flight images finish, the second one exits immediately.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use classify_tests::{Needs, ensure, small_model};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("ctrl_c_finishes_what_is_under_way", finishes),
        ("ctrl_c_leaves_whole_results_and_older_ones", whole_file),
        ("a_second_ctrl_c_stops_at_once", second),
        ("ctrl_c_is_told_when_the_reader_is_gone_too", no_reader),
        ("ctrl_c_leaves_no_verdict_and_no_rest", no_verdict),
    ];
    let rounds = engines.scenario(
        "ctrl_c_in_a_bench",
        bench_with_rounds,
        [
            ("ends_with_code_130", bench_code),
            ("leaves_no_images", bench_leaves_nothing),
            ("counts_the_rounds", bench_rounds),
            ("prints_the_table_so_far", bench_table),
        ],
    );
    let long_round = engines.scenario(
        "ctrl_c_in_a_long_round_of_a_bench",
        bench_with_a_long_round,
        [
            ("ends_with_code_130", bench_code),
            ("leaves_no_images", bench_leaves_nothing),
            ("counts_no_round", bench_no_round),
        ],
    );
    let mut trials: Vec<Trial> = on_engines
        .map(|(name, test)| engines.test(name, test))
        .into();
    trials.extend(rounds);
    trials.extend(long_round);
    trials
}

/// More images than anyone can classify before the signal comes.
const MANY: usize = 50_000;

/// A list of two images in turns.
fn long_list(directory: &Path) -> std::io::Result<std::path::PathBuf> {
    let line = |index: usize| {
        let name = if index.is_multiple_of(2) { "a" } else { "b" };
        format!("{}\n", directory.join(name).with_extension("ppm").display())
    };
    let list = directory.join("list.txt");
    std::fs::write(&list, (0..MANY).map(line).collect::<String>())?;
    Ok(list)
}

fn start(command: &mut Command, directory: &Path) -> Result<Child, Failed> {
    command
        .arg("-m")
        .arg(small_model("plain.onnx"))
        .arg("--input-list")
        .arg(long_list(directory)?)
        .args(["--color", "rgb"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command.spawn()?)
}

fn send(child: &Child, signal: Signal) -> Result<(), Failed> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// Waits for its end and returns its stderr.
fn end(mut child: Child) -> Result<(ExitStatus, String), Failed> {
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut stderr)?;
    Ok((child.wait()?, stderr))
}

/// The one file in `directory` whose name begins with a point, once it is there and has `bytes`.
fn wait_for_unfinished(directory: &Path, bytes: u64) -> Result<(), Failed> {
    for _ in 0..3000 {
        let unfinished = unfinished(directory)?;
        if unfinished
            .first()
            .is_some_and(|path| path.metadata().is_ok_and(|file| file.len() >= bytes))
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("no unfinished file appeared".into())
}

fn unfinished(directory: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let hidden = entries
        .iter()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    Ok(hidden.map(std::fs::DirEntry::path).collect())
}

fn finishes() -> Result<(), Failed> {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (directory, a, b) = small_images()?;
        let mut command = classify();
        command.args(["--backend", "onnx", "--format", "json"]);
        let mut child = start(&mut command, directory.path())?;
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // It is at work, and soon waits for somebody to read more.
        let first = lines.next().ok_or("no result")??;
        send(&child, signal)?;
        let mut results = vec![first];
        for line in lines {
            results.push(line?);
        }
        let (status, stderr) = end(child)?;
        ensure(status.code() == Some(code), (&stderr, status))?;
        let said = format!(
            "error: interrupted after {} of {MANY} images\n",
            results.len()
        );
        let is_said = stderr.replace(',', "").contains(&said);
        ensure(is_said && results.len() < MANY, &stderr)?;
        ensure(
            stderr.contains("press Ctrl-C again to stop immediately")
                && stderr.contains("\nhint: "),
            stderr,
        )?;
        for (index, line) in results.iter().enumerate() {
            let result: serde_json::Value = serde_json::from_str(line)?;
            let expected = if index.is_multiple_of(2) { &a } else { &b };
            let whole =
                result["path"] == expected.to_string_lossy().as_ref() && result["top"].is_array();
            ensure(whole, (index, result))?;
        }
    }
    Ok(())
}

fn whole_file() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let results = directory.path().join("results.jsonl");
    std::fs::write(&results, "of yesterday\n")?;
    let older = directory.path().join("results.jsonl.partial");
    std::fs::write(&older, "an older part\n")?;
    let mut command = classify();
    command.args(["--backend", "onnx", "--format", "json", "-o"]);
    command.arg(&results);
    let child = start(&mut command, directory.path())?;
    wait_for_unfinished(directory.path(), 1)?;
    send(&child, Signal::INT)?;
    let (status, stderr) = end(child)?;
    ensure(status.code() == Some(130), (&stderr, status))?;
    ensure(
        std::fs::read_to_string(&results)? == "of yesterday\n",
        &stderr,
    )?;
    ensure(
        std::fs::read_to_string(&older)? == "an older part\n",
        &stderr,
    )?;
    let text = std::fs::read_to_string(directory.path().join("results.jsonl.partial-2"))?;
    let said = format!(
        "interrupted after {} of {MANY} images",
        text.lines().count()
    );
    let is_said = stderr.replace(',', "").contains(&said);
    ensure(text.ends_with("}\n") && is_said, &stderr)?;
    ensure(stderr.contains("results.jsonl.partial-2"), stderr)?;
    ensure(unfinished(directory.path())?.is_empty(), directory)
}

/// A child that cannot go on before somebody reads its results, after its first Ctrl-C.
fn stuck(directory: &Path) -> Result<(Child, std::process::ChildStdout), Failed> {
    let mut command = classify();
    command.args(["--backend", "onnx", "--format", "json"]);
    let mut child = start(&mut command, directory)?;
    let stdout = child.stdout.take().expect("a pipe");
    // Nobody reads: soon the pipe is full, and what is under way cannot be finished.
    let mut before = 0;
    let mut unchanged = 0;
    while before == 0 || unchanged < 20 {
        std::thread::sleep(Duration::from_millis(50));
        let now = rustix::io::ioctl_fionread(&stdout)?;
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
        ensure(child.try_wait()?.is_none(), "it ended")?;
    }
    send(&child, Signal::INT)?;
    said(&mut child, "press Ctrl-C again to stop immediately")?;
    Ok((child, stdout))
}

/// Waits until `child` has said it. What it says later is not read any more.
fn said(child: &mut Child, words: &str) -> Result<(), Failed> {
    let stderr = child.stderr.as_mut().expect("a pipe");
    let mut stderr = BufReader::new(stderr);
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        ensure(stderr.read_line(&mut line)? > 0, words)?;
    }
    Ok(())
}

fn second() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let (mut child, _stdout) = stuck(directory.path())?;
    send(&child, Signal::INT)?;
    let status = child.wait()?;
    ensure(status.signal() == Some(Signal::INT.as_raw()), status)
}

/// In a pipeline the terminal interrupts all programs.
fn no_reader() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let (child, stdout) = stuck(directory.path())?;
    drop(stdout);
    let (status, stderr) = end(child)?;
    ensure(status.code() == Some(130), (status, stderr))
}

/// A `bench` that got a Ctrl-C while it measured.
struct InterruptedBench {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    /// The number of files that it left where it had its made-up images.
    left: usize,
}

fn interrupted_bench(arguments: [&str; 4], begins: &str) -> Result<InterruptedBench, Failed> {
    let directory = tempfile::tempdir()?;
    let mut command = classify();
    command
        .args(["bench", "onnx"])
        .args(arguments)
        .arg("-m")
        .arg(small_model("plain.onnx"))
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    said(&mut child, begins)?;
    std::thread::sleep(Duration::from_millis(500));
    send(&child, Signal::INT)?;
    let mut stdout = String::new();
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_to_string(&mut stdout)?;
    let (status, stderr) = end(child)?;
    Ok(InterruptedBench {
        status,
        stdout,
        stderr,
        left: std::fs::read_dir(directory.path())?.count(),
    })
}

fn bench_with_rounds() -> Result<InterruptedBench, Failed> {
    interrupted_bench(
        ["--duration", "100", "--rounds", "1000"],
        "measuring for about 200 s",
    )
}

/// A round of minutes is not waited for.
fn bench_with_a_long_round() -> Result<InterruptedBench, Failed> {
    interrupted_bench(
        ["--duration", "600", "--rounds", "1"],
        "measuring for about 1200 s",
    )
}

fn bench_code(bench: &InterruptedBench) -> Result<(), Failed> {
    ensure(
        bench.status.code() == Some(130),
        (bench.status, &bench.stderr),
    )
}

fn bench_leaves_nothing(bench: &InterruptedBench) -> Result<(), Failed> {
    ensure(bench.left == 0, bench.left)
}

fn bench_rounds(bench: &InterruptedBench) -> Result<(), Failed> {
    ensure(
        bench.stderr.contains("error: interrupted after ")
            && bench.stderr.contains(" of 1,000 rounds\n"),
        &bench.stderr,
    )
}

fn bench_table(bench: &InterruptedBench) -> Result<(), Failed> {
    ensure(
        bench.stdout.contains("interrupted: ") && bench.stdout.contains("whole path"),
        &bench.stdout,
    )
}

fn bench_no_round(bench: &InterruptedBench) -> Result<(), Failed> {
    let said = "interrupted after 0 of 1 round\n";
    ensure(bench.stderr.contains(said), &bench.stderr)
}

fn no_verdict() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let record = directory.path().join("record.jsonl");
    let mut command = classify();
    command.args(["compare", "onnx", "onnx", "--record"]);
    command.arg(&record);
    let child = start(&mut command, directory.path())?;
    wait_for_unfinished(directory.path(), 100_000)?;
    send(&child, Signal::INT)?;
    let (status, stderr) = end(child)?;
    ensure(status.code() == Some(130), (&stderr, status))?;
    ensure(stderr.contains("interrupted after"), &stderr)?;
    ensure(!record.exists(), "a part was recorded as the whole")?;
    ensure(unfinished(directory.path())?.is_empty(), directory)
}
