//! The work that faults are tried on: commands that write files, and the check of these files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

/// The content of a file that was there before.
const OLD: &str = "of yesterday\n";

/// A command that writes files.
#[derive(Clone, Copy)]
pub struct Work {
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    /// The flags that name a file, with the file.
    pub files: &'static [(&'static str, &'static str)],
}

pub const CLASSIFY: Work = Work {
    name: "classify -o",
    arguments: &["--backend", "rten", "--format", "csv"],
    files: &[("-o", "results.csv")],
};

pub const RECORD: Work = Work {
    name: "compare --record",
    arguments: &["compare", "rten"],
    files: &[("--record", "recording.jsonl")],
};

pub const REPORTS: Work = Work {
    name: "compare --report",
    arguments: &["compare", "rten", "rten"],
    files: &[
        ("--report", "report.json"),
        ("--report", "report.html"),
        ("--report", "report.md"),
        ("--report", "report.xml"),
    ],
};

pub const EVALUATE: Work = Work {
    name: "evaluate --report",
    arguments: &["evaluate", "rten", "--truth", "truth.txt"],
    files: &[
        ("--report", "report.json"),
        ("--report", "report.html"),
        ("--report", "rows.csv"),
    ],
};

/// The works that write by an engine which is always there.
pub const WORKS: [Work; 4] = [CLASSIFY, RECORD, REPORTS, EVALUATE];

/// The images of a work, and a directory for each try.
pub struct Place {
    root: tempfile::TempDir,
    list: PathBuf,
}

impl Place {
    /// A place with a list of so many images.
    pub fn new(images: usize) -> Result<Self, Failed> {
        let root = tempfile::tempdir()?;
        let mut lines = String::new();
        for (name, level) in [("a.ppm", 10_u8), ("b.ppm", 200)] {
            let bytes = [b"P6 8 8 255\n".to_vec(), vec![level; 192]].concat();
            fs::write(root.path().join(name), bytes)?;
            lines += &root.path().join(name).to_string_lossy();
            lines.push('\n');
        }
        let list = root.path().join("list.txt");
        fs::write(&list, lines.repeat(images / 2))?;
        fs::write(root.path().join("truth.txt"), "a.ppm 10\nb.ppm 3\n")?;
        Ok(Self { root, list })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A new directory for the files of a try, with older files of their names if `has_old`.
    pub fn directory(&self, work: Work, has_old: bool) -> Result<PathBuf, Failed> {
        let directory = self.at("out");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir(&directory)?;
        for (_, file) in work.files.iter().filter(|_| has_old) {
            fs::write(directory.join(file), OLD)?;
        }
        Ok(directory)
    }

    /// The command of `work`, started by the words of `wrapper` if there are any.
    pub fn command(&self, work: Work, directory: &Path, wrapper: &[String]) -> Command {
        let program = env!("CARGO_BIN_EXE_classify");
        let mut command = match wrapper {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        for variable in ["CLASSIFY_OPENVINO_LIB", "CLASSIFY_ONNXRUNTIME_LIB"] {
            command.env_remove(variable);
        }
        command.current_dir(self.root.path()).args(work.arguments);
        for (flag, file) in work.files {
            command.arg(flag).arg(directory.join(file));
        }
        command.args(["--color", "rgb", "--quiet", "-m"]);
        command
            .arg(small_model("plain.onnx"))
            .arg("--input-list")
            .arg(&self.list)
            .stdin(Stdio::null());
        command
    }

    /// Returns the files of `work` without a fault.
    pub fn good(&self, work: Work) -> Result<Files, Failed> {
        let directory = self.directory(work, false)?;
        expect_code(&run(&mut self.command(work, &directory, &[])), 0)?;
        let files = files(&directory)?;
        ensure(files.len() == work.files.len(), &files)?;
        Ok(files)
    }
}

/// The content of each file of a directory.
pub type Files = BTreeMap<String, String>;

pub fn files(directory: &Path) -> Result<Files, Failed> {
    let mut files = Files::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path())?).into_owned();
            files.insert(entry.file_name().to_string_lossy().into_owned(), text);
        }
    }
    Ok(files)
}

/// Returns whether a file has the name of an unfinished one.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(".classify-")
}

/// Stops if a file is torn, if exit code 0 does not mean that all files are complete, or if there was a panic.
///
/// A process that a signal ended may leave temporary files, which the next run removes.
pub fn check(good: &Files, directory: &Path, has_old: bool, result: &Run) -> Result<(), Failed> {
    let found = files(directory)?;
    let is_killed = result.code.is_none_or(|code| code > 128);
    ensure(result.code != Some(101), result)?;
    // Before `main`, and before a thread's first function, the standard library panics and aborts without memory.
    let is_before_main = result.code.is_none() && result.stderr.contains("/library/std/src/sys/");
    ensure(
        !result.stderr.contains("panicked at") || is_before_main,
        result,
    )?;
    for (name, right) in good {
        match found.get(name) {
            None => ensure(result.code != Some(0) && !has_old, (name, result))?,
            Some(text) if text == right => (),
            Some(text) if text == OLD && has_old => {
                ensure(result.code != Some(0), (name, result))?;
            }
            Some(text) => {
                // A page lacks the small copy of an image that can no longer be read.
                let is_page = name == "report.html";
                ensure(is_page || result.code != Some(0), (name, text, result))?;
                // Where no run could start, there is no row.
                let is_empty = result.stdout.starts_with("COULD NOT") && text.lines().count() == 1;
                if is_empty && name == "rows.csv" {
                    continue;
                }
                is_whole(name, text, right).map_err(|reason| format!("{reason}\n{result:#?}"))?;
            }
        }
    }
    for (name, text) in found.iter().filter(|(name, _)| !good.contains_key(*name)) {
        let target = name
            .split(".partial")
            .next()
            .and_then(|name| good.get(name));
        match target {
            // The first lines, each of them whole.
            Some(right) => ensure(
                is_killed && text.ends_with('\n') && right.starts_with(text),
                (name, text, result),
            )?,
            None => ensure(is_temporary(name) && is_killed, (name, result))?,
        }
    }
    Ok(())
}

/// Returns the reason why a file that differs from the right one is torn, if it is. It may hold errors of images.
fn is_whole(name: &str, text: &str, right: &str) -> Result<(), String> {
    let torn = |why: &str| Err(format!("{name} is torn: {why}\n{text}"));
    if right.starts_with(text) {
        return torn("it is the beginning of the right one");
    }
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    let is_whole = match name.rsplit('.').next() {
        Some("json") => json(text),
        Some("jsonl") => text.lines().all(json),
        Some("html") => text.trim_end().ends_with("</html>"),
        Some("xml") => text.trim_end().ends_with("</testsuites>"),
        _ => text.ends_with('\n'),
    };
    if is_whole {
        Ok(())
    } else {
        torn("its end is missing")
    }
}

/// The check must find what it looks for.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("work::a_torn_or_missing_file_is_found", found)]
}

fn found() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let good = Files::from([("r.json".to_owned(), "{\"a\":[1,2]}\n".to_owned())]);
    let file = directory.path().join("r.json");
    let ended = |code, stderr: &str| Run {
        command: String::new(),
        code,
        stdout: String::new(),
        stderr: stderr.to_owned(),
    };
    let checked = |code, has_old| check(&good, directory.path(), has_old, &ended(code, ""));
    // Absent.
    ensure(
        checked(Some(2), false).is_ok(),
        "an absent file of a failed run",
    )?;
    ensure(checked(Some(0), false).is_err(), "an absent file")?;
    ensure(checked(Some(2), true).is_err(), "a lost file")?;
    for (text, code, has_old, is_right) in [
        ("{\"a\":[1,2]}\n", Some(0), false, true),
        ("{\"a\":[1,", Some(2), false, false),
        ("", None, false, false),
        ("{\"a\":[1,3]}\n", Some(2), false, true),
        ("{\"a\":[1,3]}\n", Some(0), false, false),
        (OLD, Some(2), true, true),
        (OLD, Some(0), true, false),
        (OLD, Some(2), false, false),
    ] {
        fs::write(&file, text)?;
        let result = checked(code, has_old);
        ensure(result.is_ok() == is_right, (text, code, has_old, result))?;
    }
    fs::write(&file, &good["r.json"])?;
    for (code, stderr) in [
        (Some(101), ""),
        (Some(1), "thread 'main' panicked at a.rs:1"),
    ] {
        let result = check(&good, directory.path(), false, &ended(code, stderr));
        ensure(result.is_err(), (code, stderr))?;
    }
    fs::write(directory.path().join(".classify-0-1.tmp"), "")?;
    ensure(checked(Some(0), false).is_err(), "a temporary file")?;
    ensure(checked(None, false).is_ok(), "that of a killed run")
}

/// A test that is ignored where the system lacks something, with the reason.
pub fn where_there_is(
    tool: &Result<(), String>,
    name: String,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    match tool {
        Ok(()) => Trial::test(name, test),
        Err(reason) => Trial::test(name, || Ok(()))
            .with_kind(format!("needs: {reason}"))
            .with_ignored_flag(true),
    }
}

/// Numbers that look random and are the same in each run (a linear congruential generator of Knuth's).
pub struct Random(pub u64);

impl Random {
    /// Returns a number from 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1 << 24)
    }
}
