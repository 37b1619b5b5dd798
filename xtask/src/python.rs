//! Finds a Python that can run the tools, and starts it without the variables that change what it imports or writes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::failure::{Failure, hint_from_output};

/// The minor versions of Python 3 for which every pinned package has files.
const VERSIONS: std::ops::RangeInclusive<u32> = 11..=14;
/// The first pip that can install into another environment (`pip --python`).
const PIP_WITH_PYTHON: (u32, u32) = (22, 3);

/// Returns the directory of the scripts, in the developer's own checkout: xtask never runs from anywhere else.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// Returns the interpreter of a virtual environment.
pub fn environment_python(environment: &Path) -> PathBuf {
    if cfg!(windows) {
        environment.join("Scripts").join("python.exe")
    } else {
        environment.join("bin").join("python")
    }
}

/// A Python that can run the tools.
#[derive(Debug, PartialEq, Eq)]
pub struct Interpreter {
    pub program: PathBuf,
    pub version: String,
    /// Python's minor version and the platform, on which downloaded files depend.
    pub tag: String,
    /// True if the environment needs a pip of its own. If the interpreter has a recent one, that one does the work:
    /// putting pip into an environment takes twenty times as long as making the environment.
    pub needs_pip: bool,
}

/// Variables that change what a Python imports or where it writes: the tools must see the environment that set-up made,
/// nothing else.
const PYTHON_VARIABLES: [&str; 11] = [
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONPLATLIBDIR",
    "PYTHONOPTIMIZE",
    "PYTHONSAFEPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
];

/// Settings of pip that say how to reach an index. All others (`PIP_FIND_LINKS`, `PIP_TARGET`, `PIP_NO_BINARY`,
/// `PIP_REQUIRE_VIRTUALENV` …) would change what is fetched or where it goes.
const PIP_VARIABLES: [&str; 13] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_PROXY",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
    "PIP_CONFIG_FILE",
    "PIP_KEYRING_PROVIDER",
];

/// Returns the variables that a child must not inherit.
fn unwanted(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    names
        .filter(|name| {
            let name = name.to_string_lossy().to_uppercase();
            PYTHON_VARIABLES.contains(&name.as_str())
                || (name.starts_with("PIP_") && !PIP_VARIABLES.contains(&name.as_str()))
        })
        .collect()
}

/// Returns a command that starts Python with a clean environment. Proxies, certificates and the index stay as the user
/// set them.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in unwanted(env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    command
        .env("PYTHONNOUSERSITE", "1")
        .env("PYTHONUTF8", "1")
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null());
    search_no_current_directory(&mut command, &env::var_os("PATH").unwrap_or_default());
    command
}

/// Removes the entries that mean the current directory from the search path.
fn search_no_current_directory(command: &mut Command, path: &OsStr) {
    let entries = env::split_paths(path).filter(|entry| entry.is_absolute());
    match env::join_paths(entries) {
        Ok(entries) if !entries.is_empty() => command.env("PATH", entries),
        // An empty path would mean the current directory. Without the variable, the system uses its default path.
        _ => command.env_remove("PATH"),
    };
}

/// Returns [`command`] for work in the set-up directory. The child holds the lock, too: if set-up is killed, a child
/// that goes on writing keeps the next set-up waiting until it is done.
pub fn command_under(lock: &File, program: &Path) -> Result<Command> {
    let mut command = command(program);
    // A lock belongs to the open file, so a child that has the file open holds the lock. The child gets the file as its
    // standard input, which no tool reads, because this needs no unsafe code. On Windows, the lock ends with the
    // process that took it, and other processes cannot read the file.
    if cfg!(unix) {
        command.stdin(
            lock.try_clone()
                .context("cannot pass on the lock of the set-up directory")?,
        );
    }
    Ok(command)
}

/// Finds an interpreter: the one that `CLASSIFY_PYTHON` names, else the first that fits of the usual names.
pub fn find(chosen: Option<&str>) -> Result<Interpreter> {
    let usual = [
        "python3",
        "python",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
    ];
    let candidates = chosen.map_or(usual.to_vec(), |chosen| vec![chosen]);
    let mut reasons = Vec::new();
    for candidate in candidates {
        match check(candidate) {
            Ok(Ok(interpreter)) => return Ok(interpreter),
            Ok(Err(reason)) => reasons.push(format!("{candidate}: {reason}")),
            Err(error) => reasons.push(format!("{candidate}: {error:#}")),
        }
    }
    let what = if chosen.is_some() {
        "the Python that CLASSIFY_PYTHON names cannot be used"
    } else {
        "no usable Python was found"
    };
    bail!(Failure::new(
        format!(
            "{what}; expected Python 3.{} to 3.{} with venv and pip\n  {}",
            VERSIONS.start(),
            VERSIONS.end(),
            reasons.join("\n  ")
        ),
        "install Python with pip and venv (Debian, Ubuntu: `apt-get install python3 python3-venv python3-pip`; Fedora: `dnf install \
         python3 python3-pip`; macOS: `brew install python`; Windows: `winget install Python.Python.3.13`), or let CLASSIFY_PYTHON name an \
         interpreter, then run the same command again"
    ))
}

/// Asks one interpreter what it can do. The inner error states why it cannot run the tools.
fn check(candidate: &str) -> Result<Result<Interpreter, String>> {
    let script = scripts().join("check_python.py");
    let output = match command(Path::new(candidate)).arg(script).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err("not found".to_owned()));
        }
        Err(error) => return Err(error).context("cannot be started"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // Windows has a `python3` that only opens its shop; pyenv has shims that only complain.
        let said = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(format!(
            "{}: {}",
            output.status,
            said.lines().next().unwrap_or("no message")
        )));
    }
    Ok(judge(candidate, &text))
}

/// Reads the answer of `check_python.py`.
fn judge(candidate: &str, answer: &str) -> Result<Interpreter, String> {
    let get = |key: &str| {
        answer
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .trim()
    };
    let version = get("version");
    let minor = version
        .strip_prefix("3.")
        .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    let Some(minor) = minor.filter(|minor| VERSIONS.contains(minor)) else {
        return Err(format!(
            "version {version}, expected 3.{} to 3.{}",
            VERSIONS.start(),
            VERSIONS.end()
        ));
    };
    if get("implementation") != "CPython" {
        return Err(format!(
            "{}, expected CPython: the engines come as files for CPython",
            get("implementation")
        ));
    }
    if get("threading") != "gil" {
        return Err("a free-threaded build, for which the engines have no files".to_owned());
    }
    if get("venv") != "yes" {
        return Err("its module venv is missing (Debian, Ubuntu: package python3-venv)".to_owned());
    }
    let pip = get("pip");
    let needs_pip = !pip_is_recent(pip);
    if needs_pip && get("ensurepip") != "yes" {
        let found = if pip.is_empty() {
            "no pip".to_owned()
        } else {
            format!("pip {pip}, expected 22.3 or newer")
        };
        return Err(format!(
            "neither ensurepip nor a usable pip ({found}; Debian, Ubuntu: packages python3-venv, python3-pip)"
        ));
    }
    Ok(Interpreter {
        program: PathBuf::from(candidate),
        version: version.to_owned(),
        tag: format!("cp3{minor}-{}", get("platform")),
        needs_pip,
    })
}

fn pip_is_recent(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), minor) => (major, minor.unwrap_or(0)) >= PIP_WITH_PYTHON,
        _ => false,
    }
}

/// Runs a command to its end. If it fails, its whole output is shown and the error has a hint.
pub fn run(command: &mut Command, what: &str) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err(failed(what, &output.status.to_string(), &said, true))
}

/// Returns the error for a Python tool that failed.
pub fn failed(what: &str, status: &str, said: &str, show: bool) -> anyhow::Error {
    if show {
        eprintln!("\n{}", said.trim_end());
    }
    let hint = hint_from_output(said)
        .unwrap_or("its output is above; run the same command again once the cause is gone");
    Failure::new(format!("{what} failed ({status})"), hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version=3.12.3\nimplementation=CPython\nplatform=linux-x86_64-64bit\nthreading=gil\nvenv=yes\nensurepip=yes\npip=24.0\n";

    #[test]
    fn a_fit_interpreter_is_described() {
        let interpreter = judge("python3", GOOD).unwrap();
        assert_eq!(interpreter.tag, "cp312-linux-x86_64-64bit");
        assert_eq!(interpreter.version, "3.12.3");
        assert!(!interpreter.needs_pip);
    }

    #[test]
    fn either_a_recent_pip_or_ensurepip_is_enough() {
        let without = GOOD.replace("ensurepip=yes", "ensurepip=no");
        assert!(!judge("python3", &without).unwrap().needs_pip);
        assert!(
            judge("python3", &GOOD.replace("24.0", "22.2.1"))
                .unwrap()
                .needs_pip
        );
        assert!(
            judge("python3", &GOOD.replace("pip=24.0", "pip="))
                .unwrap()
                .needs_pip
        );
        assert!(
            judge("python3", &without.replace("24.0", "22.2.1"))
                .unwrap_err()
                .contains("22.3")
        );
        assert!(
            judge("python3", &without.replace("pip=24.0", "pip="))
                .unwrap_err()
                .contains("no pip")
        );
    }

    #[test]
    fn unfit_interpreters_are_told_why() {
        for (from, to, reason) in [
            ("3.12.3", "2.7.18", "version 2.7.18"),
            ("3.12.3", "3.10.14", "expected 3.11 to 3.14"),
            ("3.12.3", "3.15.0", "version 3.15.0"),
            ("CPython", "PyPy", "PyPy"),
            ("=gil", "=free", "free-threaded"),
            ("venv=yes", "venv=no", "python3-venv"),
        ] {
            let error = judge("python3", &GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(judge("python3", "").is_err());
    }

    #[test]
    fn children_keep_the_way_to_the_index_and_lose_what_redirects_files() {
        let names = [
            "PYTHONPATH",
            "PIP_FIND_LINKS",
            "PIP_INDEX_URL",
            "HTTPS_PROXY",
            "PATH",
            "pip_target",
            "SSL_CERT_FILE",
            "PIP_CERT",
        ];
        let removed = unwanted(names.iter().map(OsString::from));
        assert_eq!(removed, ["PYTHONPATH", "PIP_FIND_LINKS", "pip_target"]);
    }

    #[cfg(unix)]
    #[test]
    fn programs_are_not_looked_for_in_the_current_directory() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("python3-of-the-current-directory");
        std::fs::write(&program, "#!/bin/sh\necho caught\n").unwrap();
        std::fs::set_permissions(
            &program,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        for path in ["", ":", ".:/nowhere", "/nowhere:"] {
            let mut command = Command::new("python3-of-the-current-directory");
            search_no_current_directory(command.current_dir(directory.path()), OsStr::new(path));
            let ran = command.output();
            assert!(ran.is_err(), "{path}: {ran:?}");
        }
        let path = format!(":{}", directory.path().display());
        let mut command = Command::new("python3-of-the-current-directory");
        search_no_current_directory(&mut command, OsStr::new(&path));
        assert_eq!(command.output().unwrap().stdout, b"caught\n");
    }

    #[test]
    fn a_python_that_does_not_exist_is_named_with_a_remedy() {
        let error = find(Some("no-such-python")).unwrap_err();
        assert!(
            format!("{error:#}").contains("no-such-python: not found"),
            "{error:#}"
        );
        assert!(crate::failure::hint(&error).contains("apt-get install python3"));
    }

    /// The tests of the Python scripts, in the set-up's environment or in any Python that has numpy.
    #[test]
    fn scripts_pass_their_own_tests() {
        let home = env::var_os("CLASSIFY_HOME").map(PathBuf::from);
        let own = home.map(|home| environment_python(&home.join("python")));
        let candidates = own
            .into_iter()
            .chain(["python3", "python"].map(PathBuf::from));
        let has_numpy = |program: &PathBuf| {
            let ran = command(program).args(["-c", "import numpy"]).output();
            ran.is_ok_and(|output| output.status.success())
        };
        let Some(program) = candidates.into_iter().find(has_numpy) else {
            let required = env::var("CI").is_ok_and(|value| value == "true");
            assert!(
                !required,
                "no Python with numpy for the scripts' tests: run `cargo setup`"
            );
            eprintln!("skipped: no Python with numpy; run `cargo setup`");
            return;
        };
        let output = command(&program)
            .args(["-B", "-m", "unittest", "discover", "--pattern", "test_*.py"])
            .current_dir(scripts())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
