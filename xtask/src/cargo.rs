//! Cargo, as the tasks start it.

use std::env;
use std::process::{Command, Stdio};

use crate::setup;

/// The beginnings of the variables that cargo sets about the package that it runs.
const ABOUT_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Returns cargo in the workspace, without the variables about `xtask`. The build script of ring watches some of them: with
/// them, ring and all that needs it would be compiled again whenever a task follows a plain cargo, or a plain cargo a task.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(setup::workspace()).stdin(Stdio::null());
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if ABOUT_PACKAGE.iter().any(|start| name.starts_with(start)) {
            command.env_remove(&variable);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_does_not_see_the_variables_of_xtask() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(env::var_os(name).is_some(), "{name}");
            let command = cargo();
            let removed = command.get_envs().any(|it| it == (name.as_ref(), None));
            assert!(removed, "{name}");
        }
    }
}
