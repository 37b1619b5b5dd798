//! `cargo verify-fleet`: the command line program against real inference servers.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::{demo, python, setup};

/// These build what the tests of `cargo verify` have built, so that nothing is compiled a second time after them.
const BUILD: [&str; 6] = [
    "test",
    "--workspace",
    "--all-features",
    "--no-run",
    "--test",
    "cli",
];

/// Sets up the server, builds the program, and tests it in a network of its own where the system allows one.
pub fn run() -> Result<ExitCode> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("verify-fleet: skipped, because the server has files for Linux on x86-64 alone");
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(None, &[setup::FLEET])?;
    let classify = demo::build_by(&BUILD)?;
    let home = setup::home()?;
    let tests = setup::workspace().join("tests/fleet");
    let python = python::environment_python(&home.join("python"));
    let namespace = tests.join("namespace.sh");
    let mut command = match isolation(&namespace) {
        Ok(()) => {
            let mut command = python::command(&namespace);
            command.arg(&python);
            command
        }
        Err(reason) => {
            println!(
                "without a network of its own, on ports of this machine's loopback interface: {reason}"
            );
            python::command(&python)
        }
    };
    let status = command
        .arg("-B")
        .arg(tests.join("triton/test_triton.py"))
        .args([&classify, &home])
        .status()
        .with_context(|| format!("cannot start {}", python.display()))?;
    println!(
        "verify-fleet: {}",
        if status.success() { "passed" } else { "FAILED" }
    );
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Tries whether this user may have a network of its own. Returns the reason if not.
fn isolation(namespace: &Path) -> Result<(), String> {
    let output = Command::new(namespace)
        .arg("true")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} ({})", said.trim(), output.status))
}
