//! `cargo bench-peers`: classify against what people use today, in turns on this machine.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::failure::Failure;
use crate::{demo, python, setup};

/// Sets up, builds the program, measures, and writes the table next to the program. `arguments` go to the script.
pub fn run(arguments: &[OsString]) -> Result<ExitCode> {
    setup::run(None, &[])?;
    let classify = demo::build(&[])?;
    let home = setup::home()?;
    let table = classify.with_file_name("bench-peers.md");
    let script = setup::workspace().join("benches/peers/run.py");
    let status = python::command(&python::environment_python(&home.join("python")))
        .arg(&script)
        .args([classify.as_os_str(), home.as_os_str(), table.as_os_str()])
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", script.display()))?;
    if !status.success() {
        bail!(Failure::new(
            format!("measuring failed ({status})"),
            "its messages are above"
        ));
    }
    println!("\nwritten to {}", table.display());
    Ok(ExitCode::SUCCESS)
}
