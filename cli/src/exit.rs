//! The end of the program, without work that nobody sees: to take an engine down piece by piece takes a tenth of the
//! time for one image, and the system frees the same memory in a moment.

use std::io::{self, Write as _};

/// Ends the program. What was not dropped until now is not dropped.
pub fn exit(code: u8) -> ! {
    // Results were flushed by who wrote them, who said what went wrong.
    let _ = io::stdout().flush();
    // Not `process::exit`: it would end the engines' libraries while their threads wait for requests.
    #[cfg(unix)]
    signal_hook::low_level::exit(code.into());
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// Does not drop what the program needs no more, where [`exit`] can end it all the same.
pub fn leave<T>(unneeded: T) {
    if cfg!(unix) {
        std::mem::forget(unneeded);
    }
}
