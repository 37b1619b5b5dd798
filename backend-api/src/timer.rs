//! Alarms at given times, on one thread that the first of them starts.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::{Error, ErrorKind};

/// The time of an alarm, and a number that distinguishes alarms of the same time.
pub(crate) type Key = (Instant, u64);

type Alarm = Box<dyn FnOnce() + Send>;

/// Runs alarms when their time has come.
#[derive(Default)]
pub(crate) struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alarms: BTreeMap<Key, Alarm>,
    /// The number of the next alarm.
    next: u64,
    /// The time at which the thread looks at the alarms again. It may be earlier than the first alarm, because
    /// cancelling one does not wake the thread.
    sleeps_until: Option<Instant>,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

impl Timer {
    /// Locks the state. No alarm runs or is dropped under this lock, so the state is consistent even if the lock is
    /// poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread unless it runs. Alarms that are set without it never go off.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceExhausted`] if the system refuses the thread.
    pub(crate) fn start(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let mut state = self.lock();
        if state.thread.is_none() {
            let timer = Arc::clone(self);
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || timer.run())
                .map_err(|source| {
                    Error::new(
                        ErrorKind::ResourceExhausted,
                        "the operating system could not start the thread that watches the deadlines of requests",
                    )
                    .with_hint("raise the thread limit, or send requests without deadlines")
                    .with_source(source)
                })?;
            state.thread = Some(thread);
        }
        Ok(())
    }

    /// Runs `alarm` at `time`, on the timer's thread.
    pub(crate) fn set(&self, time: Instant, alarm: Alarm) -> Key {
        let mut state = self.lock();
        let key = (time, state.next);
        state.next += 1;
        state.alarms.insert(key, alarm);
        let too_late = state.sleeps_until.is_none_or(|until| time < until);
        drop(state);
        if too_late {
            self.changed.notify_one();
        }
        key
    }

    /// Removes an alarm. One that has gone off is not there any more.
    pub(crate) fn cancel(&self, key: Key) {
        let alarm = self.lock().alarms.remove(&key);
        drop(alarm);
    }

    /// Resolves at `time`.
    pub(crate) fn sleep_until(&self, time: Instant) -> Sleep<'_> {
        Sleep {
            timer: self,
            time,
            alarm: None,
        }
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            let first = state.alarms.first_key_value().map(|(key, _)| *key);
            match first {
                Some(key) if key.0 <= now => {
                    let alarm = state.alarms.remove(&key);
                    drop(state);
                    // An alarm may run the waker of a caller's task. A panic in it is the caller's.
                    let _ = catch_unwind(AssertUnwindSafe(|| alarm.map(|alarm| alarm())));
                    state = self.lock();
                }
                Some((time, _)) => {
                    state.sleeps_until = Some(time);
                    state = self
                        .changed
                        .wait_timeout(state, time - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                None => {
                    state.sleeps_until = None;
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Drops all alarms and joins the thread, unless it is the caller.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let (alarms, thread) = (std::mem::take(&mut state.alarms), state.thread.take());
        drop(state);
        drop(alarms);
        self.changed.notify_one();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            // It cannot have panicked: it catches the panics of alarms.
            let _ = thread.join();
        }
    }
}

/// A future that is ready at a given time. Dropping it removes its alarm.
pub(crate) struct Sleep<'a> {
    timer: &'a Timer,
    time: Instant,
    alarm: Option<(Key, Waker)>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.time {
            return Poll::Ready(());
        }
        let waker = context.waker();
        let is_set = matches!(&self.alarm, Some((_, known)) if known.will_wake(waker));
        if !is_set {
            let (timer, time) = (self.timer, self.time);
            let alarm = waker.clone();
            let key = timer.set(time, Box::new(move || alarm.wake()));
            if let Some((old, _)) = self.alarm.replace((key, waker.clone())) {
                timer.cancel(old);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some((key, _)) = self.alarm.take() {
            self.timer.cancel(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn started() -> Arc<Timer> {
        let timer = Arc::new(Timer::default());
        timer.start("timer").unwrap();
        timer
    }

    #[test]
    fn alarms_go_off_in_the_order_of_their_times_and_not_early() {
        let timer = started();
        let (sender, went_off) = mpsc::channel();
        let now = Instant::now();
        // Set in another order: the later ones first, so that the thread has to be woken.
        for milliseconds in [30, 20, 10] {
            let sender = sender.clone();
            let time = now + Duration::from_millis(milliseconds);
            let alarm = move || sender.send((milliseconds, Instant::now() >= time)).unwrap();
            timer.set(time, Box::new(alarm));
        }
        drop(sender);
        let order: Vec<_> = went_off.iter().collect();
        assert_eq!(order, [(10, true), (20, true), (30, true)]);
        timer.close();
    }

    #[test]
    fn a_cancelled_alarm_does_not_go_off_and_a_panic_stops_no_other() {
        let timer = started();
        let (sender, went_off) = mpsc::channel();
        let at = |milliseconds| Instant::now() + Duration::from_millis(milliseconds);
        let cancelled = sender.clone();
        let key = timer.set(
            at(20),
            Box::new(move || cancelled.send("cancelled").unwrap()),
        );
        timer.set(
            at(30),
            Box::new(|| std::panic::resume_unwind(Box::new("planned"))),
        );
        timer.set(at(40), Box::new(move || sender.send("last").unwrap()));
        timer.cancel(key);
        assert_eq!(went_off.iter().collect::<Vec<_>>(), ["last"]);
        timer.close();
    }

    #[test]
    fn closing_drops_alarms_that_are_years_away() {
        let timer = started();
        let held = Arc::new(());
        let alarm = Arc::clone(&held);
        let years = Instant::now() + Duration::from_hours(100_000);
        timer.set(years, Box::new(move || drop(alarm)));
        timer.close();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
