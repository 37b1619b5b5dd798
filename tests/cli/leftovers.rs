//! Temporary files of outputs: signals and killed runs leave none for long.
#![cfg(unix)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use classify_tests::{ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("a_killed_run_leaves_nothing_for_long", stale),
        Trial::test("a_hangup_leaves_no_files", hangup),
    ]
}

/// A run that soon has an unfinished file, and does not end by itself.
fn endless(folder: &Path, output: &str, ignored: &str) -> Result<Child, Failed> {
    let list = folder.join("list.txt");
    if !list.exists() {
        let line = format!("{}\n", folder.join("a.ppm").display());
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
        .arg(folder.join(output))
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

fn unfinished(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.iter().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(".classify-")
    });
    Ok(paths.map(fs::DirEntry::path).collect())
}

fn wait_for(folder: &Path, count: usize) -> Result<Vec<PathBuf>, Failed> {
    for _ in 0..3000 {
        let found = unfinished(folder)?;
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

fn stale() -> Result<(), Failed> {
    let (folder, a, _) = small_images()?;
    let mut killed = endless(folder.path(), "results.json", "")?;
    wait_for(folder.path(), 1)?;
    send(&killed, Signal::KILL)?;
    killed.wait()?;
    let left = unfinished(folder.path())?;
    ensure(left.len() == 1, &left)?;
    // Files that only look like it are nobody's but the user's.
    let name = left[0]
        .file_name()
        .ok_or("a name")?
        .to_string_lossy()
        .into_owned();
    let others = [".classify-abc.tmp", ".classify-0123456789abcdef-1.tmp"];
    let others = others.map(|name| folder.path().join(name));
    for other in &others {
        fs::write(other, "mine")?;
    }
    let precious = folder.path().join("precious");
    fs::write(&precious, "mine")?;
    let looks_stale = folder.path().join(name.replace("-1.tmp", "-3.tmp"));
    symlink(&precious, &looks_stale)?;

    // Another output leaves it alone; the same one removes it, but not the file of a run that goes on.
    let output = |name: &str| {
        let mut command = classify();
        command.args(["--backend", "rten", "--color", "rgb", "-o"]);
        command
            .arg(folder.path().join(name))
            .arg("-m")
            .arg(small_model("plain.onnx"));
        run(command.arg("-i").arg(&a))
    };
    expect_code(&output("other.json"), 0)?;
    ensure(left[0].exists(), "another output's file was removed")?;
    let mut running = endless(folder.path(), "results.json", "")?;
    let of_running = folder.path().join(name.replace("-1.tmp", "-2.tmp"));
    for _ in 0..3000 {
        if of_running.metadata().is_ok_and(|file| file.len() > 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure(!left[0].exists(), "the stale file is there")?;
    expect_code(&output("results.json"), 0)?;
    ensure(
        of_running.exists() && running.try_wait()?.is_none(),
        "the other run's file is gone",
    )?;
    send(&running, Signal::KILL)?;
    running.wait()?;
    expect_code(&output("results.json"), 0)?;
    let mut rest = unfinished(folder.path())?;
    rest.sort();
    let mut expected = [&others[..], &[looks_stale]].concat();
    expected.sort();
    ensure(rest == expected, rest)?;
    ensure(fs::read(&precious)? == b"mine", "the link's target")
}

fn hangup() -> Result<(), Failed> {
    let (folder, _, _) = small_images()?;
    let mut child = endless(folder.path(), "results.json", "")?;
    wait_for(folder.path(), 1)?;
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
    ensure(unfinished(folder.path())?.is_empty(), "something is left")?;

    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    // As under nohup, and as shells start programs in the background.
    let mut child = endless(folder.path(), "other.json", "trap '' HUP INT;")?;
    wait_for(folder.path(), 1)?;
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
    ensure(unfinished(folder.path())?.is_empty(), "something is left")
}
