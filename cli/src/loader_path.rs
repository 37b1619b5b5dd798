//! The loader's search path without the current directory.
//!
//! An empty or relative entry of `LD_LIBRARY_PATH` has the system's loader look for every library that an engine
//! opens in the current directory first, and run its code. The loader reads the variable when a program starts, so
//! that the program has to be started again without such entries.

use std::ffi::OsStr;

use crate::terminal::Messages;

/// Says that the variable was cleaned, and keeps the program from starting itself twice.
pub const GUARD: &str = "CLASSIFY_LOADER_PATH_CLEANED";

/// Starts the program again, in this process, if the loader would look in the current directory. Where that fails,
/// `backend_api` refuses to load an engine.
pub fn clean() {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        use std::process::Command;

        use runtime_library::{LOADER_VARIABLE, without_current_directory};

        let Some(cleaned) =
            std::env::var_os(LOADER_VARIABLE).and_then(|value| without_current_directory(&value))
        else {
            return;
        };
        let (None, Ok(program)) = (std::env::var_os(GUARD), std::env::current_exe()) else {
            return;
        };
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env(GUARD, "1");
        if cleaned.is_empty() {
            command.env_remove(LOADER_VARIABLE);
        } else {
            command.env(LOADER_VARIABLE, cleaned);
        }
        // Only a failure returns.
        let _ = command.exec();
    }
}

/// Says that entries are left out, if `guard` has the value of [`GUARD`].
pub fn note(guard: Option<&OsStr>, messages: &Messages) {
    if guard.is_some() {
        let variable = runtime_library::LOADER_VARIABLE;
        messages.note(&format!(
            "empty and relative entries of {variable} are ignored: nothing is loaded from the current directory"
        ));
    }
}
