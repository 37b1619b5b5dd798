//! The end of the program, without work that nobody sees: to take an engine down piece by piece takes a tenth of the
//! time for one picture, and the system frees the same memory in a moment.

use std::io::{self, Write as _};

/// Ends the program. What was not dropped until now is not dropped.
#[cfg(unix)]
pub fn exit(code: u8) -> ! {
    // Results were flushed by who wrote them, who said what went wrong.
    let _ = io::stdout().flush();
    // Not `process::exit`: it would end the engines' libraries while their threads wait for requests.
    signal_hook::low_level::exit(code.into())
}

#[cfg(not(unix))]
pub fn exit(code: u8) -> ! {
    let _ = io::stdout().flush();
    std::process::exit(code.into())
}

/// Leaves what the program does not need any more to its end, where [`exit`] is the end of it.
pub fn leave<T>(unneeded: T) {
    if cfg!(unix) {
        std::mem::forget(unneeded);
    }
}
