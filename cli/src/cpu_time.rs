//! How long processors have worked, as far as the system says it.

use std::time::Duration;

/// For all threads of this process.
pub fn process() -> Option<Duration> {
    #[cfg(unix)]
    return of(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    None
}

/// For this thread.
pub fn thread() -> Option<Duration> {
    #[cfg(unix)]
    return of(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn of(clock: rustix::time::ClockId) -> Option<Duration> {
    rustix::time::clock_gettime(clock).try_into().ok()
}
