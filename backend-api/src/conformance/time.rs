//! The time that rules take.

use std::time::Duration;

/// A rule that takes longer has hung.
pub(super) const DEADLINE: Duration = Duration::from_mins(2);

/// Calls `attempt` with longer and longer timeouts until the machine is fast enough for the attempt.
pub(super) fn patiently(attempt: impl Fn(Duration) -> bool) {
    let timeouts = [50, 500, 5_000, 50_000];
    let mut timeouts = timeouts.into_iter().map(Duration::from_millis);
    assert!(timeouts.any(attempt), "the machine is too slow");
}
