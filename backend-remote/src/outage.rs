//! The time in which no server serves a request.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backend_api::Error;
use tokio::sync::Notify;

/// The time since the servers stopped serving requests, and the end of the backend if it becomes too long.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) limit: Duration,
    state: Mutex<State>,
    /// The failure that ended the backend.
    last: OnceLock<Failure>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The first failure since the last answer of any server, later by the time without requests.
    since: Option<Instant>,
    requests: usize,
    /// The end of the last request.
    idle: Option<Instant>,
}

/// A request that waits for an answer.
pub(crate) struct Waiting<'a>(&'a Outage);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.idle = Some(Instant::now());
    }
}

/// The text and the hint of an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) hint: String,
}

impl Outage {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            last: OnceLock::new(),
            ended: Notify::new(),
        }
    }

    /// Locks the state. No foreign code runs under this lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request waits until the result is dropped. The time without requests is not an outage.
    pub(crate) fn begin(&self) -> Waiting<'_> {
        let mut state = self.lock();
        if let (0, Some(since), Some(idle)) = (state.requests, state.since, state.idle) {
            state.since = Some(since + idle.elapsed());
        }
        state.requests += 1;
        Waiting(self)
    }

    /// Notes that a server answered.
    pub(crate) fn answered(&self) {
        self.lock().since = None;
    }

    /// Notes that no server served a request, because of `failure`. Ends the backend if that has lasted for the limit.
    /// Returns the beginning of the outage.
    pub(crate) fn failed(&self, failure: &Error) -> Instant {
        let since = *self.lock().since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.limit {
            let last = Failure {
                text: failure.to_string(),
                hint: failure.hint().unwrap_or_default().to_owned(),
            };
            // Others may have set it at the same time.
            if self.last.set(last).is_ok() {
                self.ended.notify_waiters();
            }
        }
        since
    }

    /// Returns the failure that ended the backend, if one did.
    pub(crate) fn last(&self) -> Option<&Failure> {
        self.last.get()
    }

    /// Waits until the backend has ended.
    pub(crate) async fn ended(&self) {
        // Created first, so that an end between the two lines is not missed.
        let ended = self.ended.notified();
        if self.last().is_none() {
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use backend_api::ErrorKind;

    use super::*;

    #[test]
    fn time_without_requests_is_no_outage() {
        let outage = Outage::new(Duration::from_millis(500));
        let error = Error::new(ErrorKind::EngineUnavailable, "away");
        let first = outage.begin();
        outage.failed(&error);
        drop(first);
        sleep(Duration::from_millis(700));
        let _second = outage.begin();
        outage.failed(&error);
        assert!(outage.last().is_none());
        sleep(Duration::from_millis(600));
        outage.failed(&error);
        assert_eq!(outage.last().unwrap().text, "away");
    }
}
