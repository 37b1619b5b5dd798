//! Temporary files of outputs: signals and killed runs leave none for long.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use classify_tests::{Needs, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let mut trials = Needs::nothing().scenario(
        "leftovers::of_a_killed_run",
        AfterKill::new,
        [
            ("are_removed_by_the_next_run", AfterKill::next_run),
            ("are_left_by_another_output", AfterKill::another_output),
            (
                "are_not_confused_with_those_of_a_running_run",
                AfterKill::running_run,
            ),
            (
                "are_not_confused_with_files_of_the_user",
                AfterKill::files_of_the_user,
            ),
            (
                "are_not_followed_if_they_are_links",
                AfterKill::target_of_a_link,
            ),
        ],
    );
    trials.push(Trial::test("leftovers::a_hangup_leaves_none", hangup));
    if cfg!(target_os = "linux") {
        let name = "leftovers::an_ignored_signal_ends_nothing";
        trials.push(Trial::test(name, ignored_signals));
    }
    trials
}

/// A run that soon has an unfinished file, and does not end by itself.
fn endless(directory: &Path, output: &str, ignored: &str) -> Result<Child, Failed> {
    let list = directory.join("list.txt");
    if !list.exists() {
        let line = format!("{}\n", directory.join("a.ppm").display());
        fs::write(&list, line.repeat(1_000_000))?;
    }
    // A shell is what has signals ignored.
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{ignored} exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_classify"));
    command.args([
        "--backend",
        "rten",
        "--color",
        "rgb",
        "--format",
        "json",
        "-o",
    ]);
    command
        .arg(directory.join(output))
        .arg("-m")
        .arg(small_model("plain.onnx"));
    command
        .arg("--input-list")
        .arg(list)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = command.process_group(0).spawn()?;
    Ok(child)
}

fn unfinished(directory: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.iter().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(".classify-")
    });
    Ok(paths.map(fs::DirEntry::path).collect())
}

fn wait_for(directory: &Path, count: usize) -> Result<Vec<PathBuf>, Failed> {
    for _ in 0..3000 {
        let found = unfinished(directory)?;
        let written = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 0);
        if found.iter().filter(|path| written(path)).count() >= count {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("no unfinished file appeared".into())
}

fn send(child: &Child, signal: Signal) -> Result<(), Failed> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// The files that runs leave and remove, after a run was killed.
struct AfterKill {
    /// True if a run with another output left the file of the killed one.
    kept_by_another_output: bool,
    /// True if the next run with the same output left it.
    kept_by_the_same_output: bool,
    /// True if a run with the same output left the file of one that was still running.
    kept_of_a_running_run: bool,
    /// All unfinished files in the end.
    rest: Vec<PathBuf>,
    /// The user's files that only look unfinished.
    of_the_user: Vec<PathBuf>,
    /// The content of the file to which one of these is a link.
    target: Vec<u8>,
}

/// Classifies an image into `output`.
fn finished(directory: &Path, output: &str) -> Result<(), Failed> {
    let mut command = classify();
    command.args(["--backend", "rten", "--color", "rgb", "-o"]);
    command
        .arg(directory.join(output))
        .arg("-m")
        .arg(small_model("plain.onnx"));
    expect_code(&run(command.arg("-i").arg(directory.join("a.ppm"))), 0)
}

impl AfterKill {
    fn new() -> Result<Self, Failed> {
        let (directory, _, _) = small_images()?;
        let directory = directory.path();
        let mut killed = endless(directory, "results.json", "")?;
        wait_for(directory, 1)?;
        send(&killed, Signal::KILL)?;
        killed.wait()?;
        let left = unfinished(directory)?;
        let [left] = &left[..] else {
            return Err(format!("{left:?}").into());
        };
        let name = left.file_name().ok_or("a name")?.to_string_lossy();
        let numbered =
            |number: u32| directory.join(name.replace("-1.tmp", &format!("-{number}.tmp")));
        let precious = directory.join("precious");
        fs::write(&precious, "mine")?;
        let of_the_user = vec![
            directory.join(".classify-abc.tmp"),
            directory.join(".classify-0123456789abcdef-1.tmp"),
            numbered(3),
        ];
        for file in &of_the_user[..2] {
            fs::write(file, "mine")?;
        }
        symlink(&precious, &of_the_user[2])?;

        finished(directory, "other.json")?;
        let kept_by_another_output = left.exists();
        let mut running = endless(directory, "results.json", "")?;
        let of_running = numbered(2);
        for _ in 0..3000 {
            if of_running.metadata().is_ok_and(|file| file.len() > 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let kept_by_the_same_output = left.exists();
        finished(directory, "results.json")?;
        let kept_of_a_running_run = of_running.exists() && running.try_wait()?.is_none();
        send(&running, Signal::KILL)?;
        running.wait()?;
        finished(directory, "results.json")?;
        Ok(Self {
            kept_by_another_output,
            kept_by_the_same_output,
            kept_of_a_running_run,
            rest: unfinished(directory)?,
            of_the_user,
            target: fs::read(&precious)?,
        })
    }

    fn next_run(&self) -> Result<(), Failed> {
        ensure(!self.kept_by_the_same_output, "the stale file is there")
    }

    fn another_output(&self) -> Result<(), Failed> {
        ensure(
            self.kept_by_another_output,
            "another output's file was removed",
        )
    }

    fn running_run(&self) -> Result<(), Failed> {
        ensure(
            self.kept_of_a_running_run,
            "the other run's file is gone, or the run",
        )
    }

    fn files_of_the_user(&self) -> Result<(), Failed> {
        let sorted = |paths: &[PathBuf]| paths.iter().cloned().collect::<BTreeSet<_>>();
        ensure(sorted(&self.rest) == sorted(&self.of_the_user), &self.rest)
    }

    fn target_of_a_link(&self) -> Result<(), Failed> {
        ensure(self.target == b"mine", &self.target)
    }
}

fn hangup() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let mut child = endless(directory.path(), "results.json", "")?;
    wait_for(directory.path(), 1)?;
    send(&child, Signal::HUP)?;
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .ok_or("a pipe")?
        .read_to_string(&mut stderr)?;
    let status = child.wait()?;
    ensure(status.code() == Some(129), (status, &stderr))?;
    ensure(stderr.contains("results.json.partial"), stderr)?;
    ensure(
        unfinished(directory.path())?.is_empty(),
        "something is left",
    )
}

/// Signals are ignored under nohup, and in programs that a shell starts in the background.
fn ignored_signals() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let mut child = endless(directory.path(), "other.json", "trap '' HUP INT;")?;
    wait_for(directory.path(), 1)?;
    for signal in [Signal::HUP, Signal::INT, Signal::HUP, Signal::INT] {
        send(&child, signal)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure(child.try_wait()?.is_none(), "an ignored signal ended it")?;
    for _ in 0..2 {
        send(&child, Signal::TERM)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = child.wait()?;
    ensure(
        status.code() == Some(143) || status.signal() == Some(Signal::TERM.as_raw()),
        status,
    )?;
    ensure(
        unfinished(directory.path())?.is_empty(),
        "something is left",
    )
}
