//! Packages that the set-up brings on request.

use std::env::consts::EXE_SUFFIX;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::home;
use super::packages::{read_requirements, requirement_file};
use super::stamps::Setup;
use super::steps::step;
use crate::failure::on;
use crate::files::{list_files, remove_directory};
use crate::pip::{Kind, Pip};
use crate::stamp::Stamp;

/// Packages for tests and checks alone, unpacked into a directory of their own in the set-up.
#[derive(Debug, Clone, Copy)]
pub struct Extra {
    /// The name of the requirement file and of the directory.
    name: &'static str,
    title: &'static str,
}

/// The oldest supported engines.
pub const OLDEST: Extra = Extra {
    name: "oldest",
    title: "[oldest] bringing the oldest supported engines",
};

/// The spelling checker, and the tools of the Python package.
pub const CHECKS: Extra = Extra {
    name: "checks",
    title: "[checks] bringing the tools of the checks",
};

/// An inference server, for Linux on x86-64 alone.
pub const FLEET: Extra = Extra {
    name: "fleet",
    title: "[fleet] bringing an inference server",
};

/// Returns the directory of the tools, once [`CHECKS`] is there.
pub fn checks() -> Result<PathBuf> {
    Ok(home()?.join(CHECKS.name))
}

/// Returns a program of the tools, such as `typos`.
pub fn check_program(name: &str) -> Result<PathBuf> {
    let directory = if cfg!(windows) { "Scripts" } else { "bin" };
    Ok(checks()?
        .join(directory)
        .join(format!("{name}{EXE_SUFFIX}")))
}

impl Setup<'_> {
    fn extra(&self, extra: Extra, tag: &str) -> Result<Stamp> {
        let path = requirement_file(&format!("{}.txt", extra.name));
        let list = fs::read(&path).map_err(on("read", &path))?;
        Ok(self.stamp(extra.name, &[&list, tag.as_bytes()]))
    }

    pub fn has(&self, extra: Extra) -> Result<bool> {
        match self.environment_info() {
            Some(info) => Ok(self.extra(extra, &info.tag)?.is_current()),
            None => Ok(false),
        }
    }

    pub fn bring(&self, extra: Extra, lock: &File) -> Result<()> {
        let info = self
            .environment_info()
            .context("the Python environment has lost its interpreter.txt")?;
        let stamp = self.extra(extra, &info.tag)?;
        step(extra.title, stamp.is_current(), || {
            stamp.clear()?;
            let pip = Pip {
                environment: &self.environment(),
                lock,
                outside: info.outside,
                from: self.from,
            };
            let list = format!("{}.txt", extra.name);
            for requirement in read_requirements(&list)? {
                pip.download(&requirement, Kind::Tool, &self.downloads())?;
            }
            let directory = self.home.join(extra.name);
            remove_directory(&directory)?;
            pip.install_into(&directory, &requirement_file(&list), &self.downloads())?;
            let mut files = list_files(&directory, &|_| true)?;
            files.retain(|file| file.is_file());
            stamp.write(&files)
        })
    }
}
