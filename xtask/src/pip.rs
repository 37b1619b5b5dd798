//! Downloads and installs through pip, which knows the user's index, proxy and certificates. It never fetches anything
//! that the requirement files do not pin by version and hash.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::failure::{Failure, NETWORK, on};
use crate::files::{Staging, create_directory};
use crate::python::{self, failed, scripts};
use crate::requirements::Requirement;

/// The way to fetch a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Installed: the file for this Python and platform.
    Tool,
    /// Read as an archive: one file, the same for every platform.
    Data,
    /// A source package, read as an archive.
    Source,
}

impl Kind {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Tool => &["--only-binary=:all:"],
            Self::Data => &[
                "--only-binary=:all:",
                "--platform=manylinux_2_28_x86_64",
                "--python-version=3.11",
                "--implementation=cp",
                "--abi=cp311",
            ],
            // Without isolation pip takes the build backend from the path, where `inert_backend` is: see there.
            Self::Source => &["--no-build-isolation", "--use-pep517"],
        }
    }
}

/// pip, working on the set-up's Python environment.
#[derive(Debug)]
pub struct Pip<'a> {
    pub environment: &'a Path,
    /// The lock of the set-up directory.
    pub lock: &'a File,
    /// An interpreter whose pip does the work, for an environment that has none of its own.
    pub outside: Option<PathBuf>,
    /// Package files that are used instead of the network.
    pub from: Option<&'a Path>,
}

impl Pip<'_> {
    fn command(&self, task: &str) -> Result<Command> {
        let own = python::environment_python(self.environment);
        let mut command =
            python::command_under(self.lock, self.outside.as_deref().unwrap_or(&own))?;
        // Safe path: a file pip.py in the current directory must not be taken for pip.
        command.env("PYTHONSAFEPATH", "1").args(["-m", "pip"]);
        // Downloading depends on the interpreter's kind alone, so pip need not start a second time inside the
        // environment for it.
        if self.outside.is_some() && task == "install" {
            command.arg("--python").arg(own);
        }
        // These come from pip's configuration file, too, and would break an installation into an environment.
        command
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("PIP_DRY_RUN", "0");
        command.args([
            task,
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--require-hashes",
        ]);
        Ok(command)
    }

    /// Downloads one package into the directory and returns its file. pip checks the hash, of a file from `--from` too,
    /// and stops if it is not a pinned one.
    pub fn download(
        &self,
        requirement: &Requirement,
        kind: Kind,
        downloads: &Path,
    ) -> Result<PathBuf> {
        create_directory(downloads)?;
        let staging = Staging::new(downloads, &requirement.name)?;
        let list = staging.path().join("requirement.txt");
        fs::write(&list, &requirement.text).map_err(on("write", &list))?;
        let target = staging.path().join("files");
        create_directory(&target)?;

        let mut command = self.command("download")?;
        command
            .args(kind.options())
            .arg("--dest")
            .arg(&target)
            .arg("--requirement")
            .arg(&list);
        if kind == Kind::Source {
            command
                .env("PYTHONPATH", scripts().join("inert_backend"))
                .env("PYTHONDONTWRITEBYTECODE", "1");
        }
        match self.from {
            Some(from) => {
                let from = std::path::absolute(from).map_err(on("find", from))?;
                command.arg("--no-index").arg("--find-links").arg(from);
            }
            None => {
                command.env("PIP_NO_INDEX", "0");
            }
        }
        let what = format!("downloading {} {}", requirement.name, requirement.version);
        run_with_progress(&mut command, &what).map_err(|error| self.explain(error, requirement))?;

        let mut files = fs::read_dir(&target).map_err(on("list", &target))?;
        let file = files
            .next()
            .with_context(|| format!("{what}: pip left no file"))?
            .map_err(on("list", &target))?
            .path();
        let place = downloads.join(file.file_name().context("a file has a name")?);
        fs::rename(&file, &place).map_err(on("write", &place))?;
        Ok(place)
    }

    /// Installs the pinned tools from the downloaded files alone.
    pub fn install(&self, requirements: &Path, downloads: &Path) -> Result<()> {
        let command = self.command("install")?;
        Self::install_with(command, requirements, downloads)
    }

    /// Installs pinned packages from the downloaded files into a directory of their own, which Python does not look
    /// into.
    pub fn install_into(
        &self,
        directory: &Path,
        requirements: &Path,
        downloads: &Path,
    ) -> Result<()> {
        let mut command = self.command("install")?;
        command.arg("--target").arg(directory);
        Self::install_with(command, requirements, downloads)
    }

    fn install_with(mut command: Command, requirements: &Path, downloads: &Path) -> Result<()> {
        // Byte code is written when a module is first imported: compiling all of it takes longer than the installation.
        command.args([
            "--quiet",
            "--no-index",
            "--no-compile",
            "--only-binary=:all:",
            "--find-links",
        ]);
        command
            .arg(downloads)
            .arg("--requirement")
            .arg(requirements);
        python::run(&mut command, "installing the downloaded packages").map(drop)
    }

    /// pip says "No matching distribution" for a directory that lacks a file, for a missing network, and for a platform
    /// without files.
    fn explain(&self, error: (anyhow::Error, String), requirement: &Requirement) -> anyhow::Error {
        let (error, said) = error;
        if !said.contains("No matching distribution found") {
            return error;
        }
        let Requirement { name, version, .. } = requirement;
        match self.from {
            Some(from) => Failure::new(
                format!("{} holds no file of {name} {version} for this Python and platform", from.display()),
                format!(
                    "add it (the downloads directory of a finished set-up on the same system and Python version has all files), or run \
                     `cargo setup` without --from to fetch {name}"
                ),
            )
            .into(),
            None if crate::failure::hint_from_output(&said).is_some() => error,
            None => Failure::new(
                format!("the package index offers no file of {name} {version} for this Python and platform"),
                format!("the engines have files for 64-bit Linux, macOS and Windows; if yours is one of them, {NETWORK}"),
            )
            .into(),
        }
    }
}

/// Runs pip: at a terminal with its own progress bar, else silently. The error comes with what pip said.
fn run_with_progress(command: &mut Command, what: &str) -> Result<(), (anyhow::Error, String)> {
    let run = |command: &mut Command| -> io::Result<(std::process::ExitStatus, String, bool)> {
        if io::stderr().is_terminal() {
            // Data belongs on stdout, progress on stderr: pip's stdout becomes our stderr. Its stderr is passed on and
            // kept.
            let mut child = command
                .stdout(io::stderr())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut said = String::new();
            if let Some(pipe) = child.stderr.take() {
                for line in BufReader::new(pipe).lines() {
                    let line = line?;
                    eprintln!("{line}");
                    said.push_str(&line);
                    said.push('\n');
                }
            }
            Ok((child.wait()?, said, false))
        } else {
            let output = command.arg("--progress-bar=off").output()?;
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            Ok((output.status, said, true))
        }
    };
    match run(command) {
        Ok((status, _, _)) if status.success() => Ok(()),
        Ok((status, said, show)) => Err((failed(what, &status.to_string(), &said, show), said)),
        Err(error) => Err((
            anyhow::Error::new(error).context(format!("{what}: cannot start pip")),
            String::new(),
        )),
    }
}

/// Rejects a file that was given instead of a `--from` directory at once, not after a minute of set-up.
pub fn check_from(from: &Path) -> Result<()> {
    if !from.is_dir() {
        bail!(Failure::new(
            format!("--from {}: not a directory", from.display()),
            "name a directory that holds the package files, such as the downloads directory of a finished set-up"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_from_directory_has_to_exist() {
        let error = check_from(Path::new("no/such/directory")).unwrap_err();
        assert!(format!("{error}").contains("no/such/directory"));
    }
}
