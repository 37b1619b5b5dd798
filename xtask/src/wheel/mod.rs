//! `cargo wheel`: the Python package.

mod licences;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::failure::{Failure, on};
use crate::files::{create_directory, remove_directory, write_whole};
use crate::{python, setup};

pub use trial::run as try_it;

/// The build of the program in the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// For this machine, with the profile of the tests.
    Debug,
    /// For this machine.
    Release,
    /// For every Linux with glibc 2.28 or newer: zig links the program.
    Published,
}

impl Build {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &["--profile", "dev", "--compatibility", "linux"],
            Self::Release => &["--release", "--compatibility", "linux"],
            Self::Published => &["--release", "--compatibility", "manylinux_2_28", "--zig"],
        }
    }
}

/// Sets up, builds the package into `out`, and prints its path.
pub fn run(build: Build, out: Option<&Path>) -> Result<()> {
    setup::run(None, &[setup::CHECKS])?;
    let target = setup::workspace().join("target/wheel");
    let wheel = make(build, out.unwrap_or(&target))?;
    println!("{}", wheel.display());
    Ok(())
}

/// Builds the package into the directory `out`, once the set-up is there. Returns its path.
pub fn make(build: Build, out: &Path) -> Result<PathBuf> {
    add_files()?;
    create_directory(out)?;
    // The package of an earlier build has another name only if its version differs.
    for old in wheels(out)? {
        fs::remove_file(&old).map_err(on("remove", &old))?;
    }
    let mut command = maturin()?;
    command.args(["build", "--locked", "--out"]).arg(out);
    let status = command
        .args(build.flags())
        .current_dir(setup::workspace())
        .stdin(Stdio::null())
        .status()
        .context("cannot start maturin")?;
    if !status.success() {
        bail!(Failure::new(
            format!("building the Python package failed ({status})"),
            "the messages of maturin are above"
        ));
    }
    let mut built = wheels(out)?;
    let wheel = built.pop().filter(|_| built.is_empty());
    wheel.with_context(|| format!("maturin left no single package in {}", out.display()))
}

/// Returns the packages in a directory.
fn wheels(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(on("list", directory))?;
    let files = entries.map(|entry| Ok(entry.map_err(on("list", directory))?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|it| it == "whl"));
    Ok(files)
}

/// Returns the command for the set-up's maturin. It finds zig in the Python environment that is active.
fn maturin() -> Result<Command> {
    let program = setup::check_program("maturin")?;
    Ok(Command::new(program))
}

/// Makes the files of the package that are not in the repository: the model and the photos of the demo, and the
/// licences.
fn add_files() -> Result<()> {
    let (workspace, home) = (setup::workspace(), setup::home()?);
    let demo = workspace.join("python/classify_cli/demo");
    remove_directory(&demo)?;
    let mut command = python::command(&python::environment_python(&home.join("python")));
    command
        .arg("-B")
        .arg(python::scripts().join("demo_files.py"))
        .arg("--home")
        .arg(&home)
        .arg("--out")
        .arg(&demo);
    python::run(&mut command, "making the files of the demo")?;
    let licences = workspace.join("python/licences");
    remove_directory(&licences)?;
    let notice = fs::read(demo.join("NOTICE.md")).map_err(on("read", &demo))?;
    write_whole(&licences.join("DEMO.md"), &notice)?;
    write_whole(
        &licences.join("THIRD-PARTY.md"),
        licences::text(&workspace)?.as_bytes(),
    )
}
