//! Variables that the system's loader and its C library read when a program starts, so that the program has to be started
//! again where they are not fit.
//!
//! An empty or relative entry of `LD_LIBRARY_PATH` has the loader look for every library that an engine opens in the
//! current directory first, and run its code.
//!
//! glibc reserves up to 128 MiB of addresses for each of the first threads that allocate. Where addresses are limited
//! (`ulimit -v`), a dozen threads take all of them, and nobody uses them.

use std::ffi::OsStr;

use crate::terminal::Messages;

/// Says that the variable was cleaned, and keeps the program from starting itself twice.
pub const GUARD: &str = "CLASSIFY_LOADER_PATH_CLEANED";

/// The number of parts into which glibc divides memory.
#[cfg(unix)]
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");
/// A smaller address space is not enough for 64 threads.
#[cfg(unix)]
const SMALL_ADDRESS_SPACE: u64 = 16 << 30;

/// Starts the program again, in this process, if the loader would look in the current directory or glibc would waste
/// addresses. Where that fails, `runtime_library` loads no engine.
pub fn clean() {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        use std::process::Command;

        use runtime_library::{LOADER_VARIABLE, without_current_directory};

        let cleaned = std::env::var_os(LOADER_VARIABLE)
            .and_then(|value| without_current_directory(&value))
            .filter(|_| std::env::var_os(GUARD).is_none());
        let wastes = wastes_addresses();
        if cleaned.is_none() && !wastes {
            return;
        }
        let Ok(program) = std::env::current_exe() else {
            return;
        };
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments);
        if wastes {
            command.env(ARENAS.0, ARENAS.1);
        }
        if let Some(cleaned) = cleaned {
            command.env(GUARD, "1");
            if cleaned.is_empty() {
                command.env_remove(LOADER_VARIABLE);
            } else {
                command.env(LOADER_VARIABLE, cleaned);
            }
        }
        // Only a failure returns.
        let _ = command.exec();
    }
}

/// Returns whether addresses are scarce and nobody has limited what glibc reserves.
#[cfg(unix)]
fn wastes_addresses() -> bool {
    use rustix::process::{Resource, getrlimit};
    cfg!(target_env = "gnu")
        && std::env::var_os(ARENAS.0).is_none()
        && getrlimit(Resource::As)
            .current
            .is_some_and(|bytes| bytes < SMALL_ADDRESS_SPACE)
}

/// Says that entries are left out, if `guard` has the value of [`GUARD`].
pub fn note(guard: Option<&OsStr>, messages: &Messages) {
    if guard.is_some() {
        let variable = runtime_library::LOADER_VARIABLE;
        messages.note(&format!(
            "entries of {variable} that are empty, relative, or below /proc or /dev/fd are ignored: nothing is loaded from the current directory"
        ));
    }
}
