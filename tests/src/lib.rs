//! Helpers that the tests of this workspace share: paths, running the program, and tests whose engine is absent.

mod library;
pub mod models;
pub mod outputs;
mod scenario;
pub mod spans;

pub use library::{Loader, library_trials};
pub use scenario::Fact;

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use backend_api::conformance::{self, RULES, Subject};
use backend_api::{BackendInfo, Engine, Error, FoundLibrary, InferBackend, Tensor};
use libtest_mimic::{Failed, Trial};

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_path_buf()
}

/// A small model in `tests/data`.
pub fn small_model(file: &str) -> PathBuf {
    checkout().join("tests/data").join(file)
}

/// The directory that `cargo setup` fills: `CLASSIFY_HOME`, or `assets` of the checkout. `None` if there is none.
pub fn set_up_dir() -> Option<PathBuf> {
    let named = std::env::var_os("CLASSIFY_HOME").map(PathBuf::from);
    named
        .filter(|home| home.is_absolute())
        .or_else(|| Some(checkout().join("assets")))
        .filter(|directory| directory.is_dir())
}

/// The directories in which the set-up keeps the engines' libraries, for a backend's `library_dirs`.
pub fn library_dirs() -> Vec<PathBuf> {
    let python = set_up_dir().map(|directory| directory.join("python"));
    python.into_iter().collect()
}

/// A file that the set-up made, such as `models/squeezenet1.1.onnx`.
///
/// # Panics
///
/// If there is no set-up; tests that need one say so by [`Needs::set_up`].
pub fn set_up(file: &str) -> PathBuf {
    set_up_dir()
        .expect("the set-up was checked before")
        .join(file)
}

/// The images of the set-up, sorted by name.
///
/// # Errors
///
/// If the directory cannot be read or holds fewer than the set-up puts there.
pub fn photos() -> Result<Vec<PathBuf>, Failed> {
    let mut photos: Vec<PathBuf> = std::fs::read_dir(set_up("photos"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    photos.retain(|path| {
        path.extension()
            .is_some_and(|ending| ending == "jpg" || ending == "png")
    });
    photos.sort();
    if photos.len() < 28 {
        return Err(format!("only {} photos; run `cargo setup`", photos.len()).into());
    }
    Ok(photos)
}

/// The needs of a group of tests, or the reason why they are not met.
#[derive(Debug, Clone)]
pub struct Needs(Result<(), String>);

impl Needs {
    /// Needs an engine's library.
    pub fn engine(found: &Result<FoundLibrary, Error>) -> Self {
        Self(found.as_ref().map(|_| ()).map_err(ToString::to_string))
    }

    /// Needs nothing that may be absent.
    pub fn nothing() -> Self {
        Self(Ok(()))
    }

    /// Needs what `cargo setup` brings: models, photos, and Python.
    pub fn set_up() -> Self {
        let ready = set_up_dir().is_some_and(|directory| directory.join("photos").is_dir());
        Self(if ready {
            Ok(())
        } else {
            Err("there is no set-up; run `cargo setup`".to_owned())
        })
    }

    /// Needs what `cargo setup --oldest` brings: the oldest supported engines.
    pub fn oldest() -> Self {
        let ready = set_up_dir().is_some_and(|directory| directory.join("oldest").is_dir());
        Self(if ready {
            Ok(())
        } else {
            Err("the oldest supported engines are not there; run `cargo setup --oldest`".to_owned())
        })
    }

    /// Needs both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.clone().and_then(|()| other.0.clone()))
    }

    /// Returns whether they are met.
    ///
    /// # Panics
    ///
    /// On a continuous-integration machine (`CI=true`) if they are not: nothing passes there by not running.
    pub fn are_met(&self) -> bool {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(self.0.is_ok() || !is_ci, "{self:?}");
        self.0.is_ok()
    }

    /// A test that is ignored, with the reason, when something that it needs is absent; on a
    /// continuous-integration machine (`CI=true`) it fails instead.
    pub fn test(
        &self,
        name: impl Into<String>,
        run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Trial {
        match &self.0 {
            Ok(()) => Trial::test(name, run),
            Err(reason) if std::env::var_os("CI").is_some_and(|value| value == "true") => {
                let reason = reason.clone();
                Trial::test(name, move || Err(reason.into()))
            }
            Err(reason) => {
                let first = reason.lines().next().unwrap_or_default();
                Trial::test(name, || Ok(()))
                    .with_kind(format!("needs: {first}"))
                    .with_ignored_flag(true)
            }
        }
    }
}

/// Checks that the Rust examples in the README of `package` are `codes`, line by line. A code may have more lines, in which
/// a test finds an engine with this crate.
///
/// # Errors
///
/// If an example differs.
pub fn examples_of_readme_are(package: &str, codes: &[&str]) -> Result<(), Failed> {
    let readme = std::fs::read_to_string(checkout().join(package).join("README.md"))?;
    let blocks = readme.split("```rust\n").skip(1);
    let examples = blocks.filter_map(|text| text.split("```").next());
    let lines = |code: &str| -> Vec<String> {
        let lines = code.lines().filter(|line| !line.contains("classify_tests"));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let examples: Vec<_> = examples.map(lines).collect();
    let codes: Vec<_> = codes.iter().map(|code| lines(code)).collect();
    ensure(examples == codes, (examples, codes))
}

/// The conformance suite as tests called `<prefix>::<rule>`.
pub fn conformance(
    needs: &Needs,
    prefix: &str,
    subject: impl Fn() -> Subject + Clone + Send + 'static,
) -> Vec<Trial> {
    RULES
        .iter()
        .map(|&(name, rule)| {
            let subject = subject.clone();
            needs.test(format!("{prefix}::{name}"), move || {
                conformance::check(subject(), rule);
                Ok(())
            })
        })
        .collect()
}

/// Input `n` of `double.onnx`, for the conformance suite.
///
/// # Panics
///
/// Never.
pub fn doubling_input(n: u64) -> Tensor {
    let n = u16::try_from(n).map_or(f32::MAX, f32::from);
    Tensor::new([1, 4], vec![n, -n, n + 0.5, 1.0]).expect("four values")
}

/// The exact output of `double.onnx` for it.
///
/// # Panics
///
/// Never.
pub fn doubled(n: u64) -> Tensor {
    let doubled = doubling_input(n)
        .to_f32()
        .iter()
        .map(|value| value * 2.0)
        .collect();
    Tensor::new([1, 4], doubled).expect("four values")
}

/// A backend on `double.onnx` (or an IR of it) for the conformance suite, as its crate opens it and takes it apart.
///
/// # Panics
///
/// Where it cannot be opened.
pub fn doubling_subject<B: InferBackend, E: Engine>(
    open: impl Fn() -> Result<B, Error> + Send + Sync + 'static,
    parts: impl Fn() -> Result<(BackendInfo, Vec<E>), Error> + Send + Sync + 'static,
) -> Subject {
    Subject {
        open: Box::new(move || Box::new(open().expect("the small model opens"))),
        parts: Box::new(move || {
            let (info, engines) = parts().expect("the small model opens");
            let engines = engines
                .into_iter()
                .map(|engine| Box::new(engine) as Box<dyn Engine>);
            (info, engines.collect())
        }),
        pool: conformance::slot_pool,
        input: Box::new(doubling_input),
        expected: Box::new(doubled),
    }
}

/// Fails unless `condition` holds, with `what` was seen.
///
/// # Errors
///
/// If it does not hold.
pub fn ensure(condition: bool, what: impl Debug) -> Result<(), Failed> {
    if condition {
        Ok(())
    } else {
        Err(format!("{what:#?}").into())
    }
}

/// Runs the set-up's Python with a script of `tests/reference`.
///
/// # Errors
///
/// If it cannot be started or fails; with its stderr.
pub fn python<I>(script: &str, args: I) -> Result<String, Failed>
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    let program = set_up(if cfg!(windows) {
        "python/Scripts/python.exe"
    } else {
        "python/bin/python"
    });
    let script = checkout().join("tests/reference").join(script);
    // Isolated: no user site, no PYTHONPATH.
    let output = Command::new(program)
        .arg("-I")
        .arg(&script)
        .args(args)
        .output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!(
            "{}:\n{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        )
        .into())
    }
}

/// The result of running the program, with everything that a failing test should show.
#[derive(Debug)]
pub struct Run {
    /// The command line.
    pub command: String,
    /// The exit code, `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Returns the children of a process, in the order of their start. Linux only.
///
/// # Errors
///
/// If the process has ended.
pub fn children_of(parent: u32) -> Result<Vec<u32>, Failed> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{parent}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for child in text.split_whitespace() {
            children.push(child.parse()?);
        }
    }
    Ok(children)
}

/// Runs `command` to its end.
///
/// # Panics
///
/// If it cannot be started.
pub fn run(command: &mut Command) -> Run {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    Run {
        command: format!("{command:?}"),
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Stops with everything that was printed unless the program ended with `code`.
///
/// # Errors
///
/// If it did not.
pub fn expect_code(run: &Run, code: i32) -> Result<(), Failed> {
    if run.code == Some(code) {
        return Ok(());
    }
    Err(format!(
        "{}\nended with {:?} instead of {code}\n--- stdout\n{}\n--- stderr\n{}",
        run.command, run.code, run.stdout, run.stderr
    )
    .into())
}

/// One class of a block of the text output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The class.
    pub class_id: usize,
    /// Its probability.
    pub probability: f64,
}

/// The blocks of the text output: each image's path, and its classes from best to worst.
///
/// # Panics
///
/// If the text is not what the program prints.
pub fn blocks(stdout: &str) -> Vec<(String, Vec<Line>)> {
    let mut blocks: Vec<(String, Vec<Line>)> = Vec::new();
    for line in stdout
        .lines()
        .filter_map(|line| line.strip_prefix("[ INFO ] "))
    {
        if let Some(path) = line.strip_prefix("Image path: ") {
            blocks.push((path.to_owned(), Vec::new()));
        } else if let Some((_, lines)) = blocks.last_mut()
            && line.starts_with(|first: char| first.is_ascii_digit())
        {
            let mut words = line.split_whitespace();
            let mut word = || words.next().expect("a class id and a probability");
            lines.push(Line {
                class_id: word().parse().expect("a class id"),
                probability: word().parse().expect("a probability"),
            });
        }
    }
    blocks
}

/// Runs a command, to find out whether the tests that need it can run here.
///
/// # Errors
///
/// `reason`, for which a test is ignored, if the command cannot be started or fails.
pub fn works(command: &[&str], reason: &str) -> Result<(), String> {
    let status = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(reason.to_owned()),
    }
}
