//! The process: its end, and its CPU time.

use std::io::{self, Write as _};
use std::time::Duration;

/// Ends the program without dropping anything.
///
/// To take an engine down piece by piece takes a tenth of the time for one image, and the system frees the same memory
/// in a moment.
pub fn exit(code: u8) -> ! {
    // Results were flushed by their writers, which reported errors.
    let _ = io::stdout().flush();
    // Not `process::exit`: it would end the engines' libraries while their threads wait for requests.
    #[cfg(unix)]
    signal_hook::low_level::exit(code.into());
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// Leaks a value that the program no longer needs, if [`exit`] can end the program all the same.
pub fn leak<T>(unneeded: T) {
    if cfg!(unix) {
        std::mem::forget(unneeded);
    }
}

/// Returns the time that processors have worked for this process, where the system counts it.
pub fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    return time_of(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    None
}

/// Returns the time that processors have worked for this thread, where the system counts it.
pub fn thread_cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    return time_of(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn time_of(clock: rustix::time::ClockId) -> Option<Duration> {
    rustix::time::clock_gettime(clock).try_into().ok()
}
