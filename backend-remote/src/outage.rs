//! The time in which no server serves a request.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backend_api::Error;
use tokio::sync::Notify;

/// The time since the servers stopped serving requests, and the end of the backend if it becomes too long.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) limit: Duration,
    /// The first failure since the last answer of any server.
    since: Mutex<Option<Instant>>,
    /// The failure that ended the backend.
    last: OnceLock<Failure>,
    ended: Notify,
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
            since: Mutex::default(),
            last: OnceLock::new(),
            ended: Notify::new(),
        }
    }

    /// Locks the state. No foreign code runs under this lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a server answered.
    pub(crate) fn answered(&self) {
        *self.lock() = None;
    }

    /// Notes that no server served a request, because of `failure`. Ends the backend if that has lasted for the limit.
    /// Returns the beginning of the outage.
    pub(crate) fn failed(&self, failure: &Error) -> Instant {
        let since = *self.lock().get_or_insert_with(Instant::now);
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
