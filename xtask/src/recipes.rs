//! `cargo recipes`: the recipes of published weights, compared with the libraries themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{python, setup};

/// The libraries in the order of the report.
const LIBRARIES: [&str; 3] = ["torchvision", "timm", "keras"];

/// Compares the tensors with those of the libraries. Uses the libraries of the Python `chosen`, or installs them into a
/// separate environment.
pub fn run(chosen: Option<&Path>) -> Result<ExitCode> {
    let workspace = setup::workspace();
    let python = match chosen {
        Some(python) => python.to_path_buf(),
        None => install(&workspace.join("target/recipes"))?,
    };
    let script = workspace.join("tests/recipes/compare.py");
    let status = python::command(&python)
        .current_dir(&workspace)
        .arg(&script)
        .args(LIBRARIES)
        .status()
        .with_context(|| format!("cannot start {}", python.display()))?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Installs the pinned libraries into an environment. Returns its Python.
fn install(environment: &Path) -> Result<PathBuf> {
    let chosen = std::env::var("CLASSIFY_PYTHON").ok();
    let found = python::find(chosen.as_deref())?;
    println!(
        "installing torch and the libraries, several gigabytes, into {}",
        environment.display()
    );
    let mut create = python::command(&found.program);
    create.args(["-m", "venv"]).arg(environment);
    python::run(&mut create, "creating the environment")?;
    let python = python::environment_python(environment);
    let mut install = python::command(&python);
    let arguments = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--requirement",
    ];
    install
        .args(arguments)
        .arg(python::scripts().join("requirements/recipes.txt"));
    python::run(&mut install, "installing the libraries")?;
    Ok(python)
}
