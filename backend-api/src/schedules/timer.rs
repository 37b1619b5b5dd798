//! A timer whose alarms go off at any moment, whatever their time: each is a thread of the schedule.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::sync::thread::{self, JoinHandle};
use super::sync::{Mutex, PoisonError};
use crate::Error;

pub(crate) type Key = u64;

type Alarm = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Timer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    alarms: BTreeMap<Key, Alarm>,
    next: Key,
    threads: Vec<JoinHandle<()>>,
}

fn remove(state: &Mutex<State>, key: Key) -> Option<Alarm> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.alarms.remove(&key)
}

impl Timer {
    #[expect(clippy::unnecessary_wraps, reason = "the signature of the real timer")]
    #[expect(
        clippy::unused_self,
        reason = "the interface of the timer that it replaces"
    )]
    pub(crate) fn start(&self, _name: &str) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn set(&self, _time: Instant, alarm: Alarm) -> Key {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = state.next;
        state.next += 1;
        state.alarms.insert(key, alarm);
        let this = Arc::clone(&self.0);
        let goes_off = move || {
            let alarm = remove(&this, key);
            if let Some(alarm) = alarm {
                alarm();
            }
        };
        state.threads.push(thread::spawn(goes_off));
        key
    }

    pub(crate) fn cancel(&self, key: Key) {
        drop(remove(&self.0, key));
    }

    pub(crate) fn sleep_until(&self, time: Instant) -> Sleep<'_> {
        Sleep {
            timer: self,
            time,
            alarm: None,
            rang: Arc::default(),
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarms = std::mem::take(&mut state.alarms);
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        drop(alarms);
        for thread in threads {
            if thread.thread().id() != thread::current().id() {
                thread.join().expect("an alarm does not panic");
            }
        }
    }
}

pub(crate) struct Sleep<'a> {
    timer: &'a Timer,
    time: Instant,
    alarm: Option<Key>,
    rang: Arc<Mutex<bool>>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if *self.rang.lock().unwrap_or_else(PoisonError::into_inner) {
            return Poll::Ready(());
        }
        if self.alarm.is_none() {
            let (rang, waker) = (Arc::clone(&self.rang), context.waker().clone());
            let alarm = move || {
                *rang.lock().unwrap_or_else(PoisonError::into_inner) = true;
                waker.wake();
            };
            self.alarm = Some(self.timer.set(self.time, Box::new(alarm)));
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.alarm {
            self.timer.cancel(key);
        }
    }
}
