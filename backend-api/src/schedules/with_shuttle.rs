//! 10,000 random schedules of four threads that submit to two slots, cancel, panic, wait and set deadlines.

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use shuttle::future::block_on;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;

    pub(crate) const YIELDS: u32 = 1;

    /// Lets the other threads make some steps.
    pub(crate) fn step() {
        use shuttle::rand::Rng as _;
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..20) {
            thread::yield_now();
        }
    }
}
#[path = "faulty.rs"]
mod faulty;
// Its number of yields is 0 here.
#[allow(clippy::absurd_extreme_comparisons)]
#[path = "../pool.rs"]
mod pool;
#[path = "scenarios.rs"]
mod scenarios;
#[path = "timer.rs"]
mod timer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use crate::{ErrorKind, InferBackend, InferRequest};
use faulty::Bug;
use scenarios::{FAILS, PANICS, assert_answer, pool, run, run_with_wait_all, submit, tensor};
use sync::block_on;

const SCHEDULES: usize = 10_000;
const SLOTS: usize = 2;
const THREADS: u64 = 4;

/// Drops the handle of request `n` at some moment.
fn cancel(pool: &Arc<dyn InferBackend>, n: u64) {
    let mut pending = submit(pool, n, &Arc::new(tensor(n)));
    if thread_rng().gen_bool(0.5) {
        thread::yield_now();
        if let Some(result) = (&mut pending).now_or_never() {
            assert_answer(n, result);
        }
    }
}

/// Runs request `n` with a deadline, which the timer here lets pass at any moment.
fn late(pool: &Arc<dyn InferBackend>, n: u64) {
    let request = InferRequest::new(n, tensor(n)).with_timeout(Duration::from_hours(1));
    let result = block_on(async { pool.submit(request).await?.await });
    match result {
        Err(error) if error.kind() == ErrorKind::DeadlineExceeded => {}
        result => assert_answer(n, result),
    }
}

/// Threads that do something at random with one pool, which has to be usable afterwards and to end when it is dropped.
fn everything(bug: Option<Bug>) -> impl Fn() + Send + Sync + 'static {
    move || {
        let pool = pool(SLOTS, bug);
        let threads = (0..THREADS).map(|n| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let does: fn(&Arc<dyn InferBackend>, u64) = match thread_rng().gen_range(0..7) {
                    0 => |pool, _| run(pool, PANICS),
                    1 => |pool, _| run(pool, FAILS),
                    2 => cancel,
                    3 => late,
                    4 => run_with_wait_all,
                    _ => run,
                };
                does(&pool, n);
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().expect("no thread panics");
        }
        block_on(pool.wait_all());
        let all: Vec<_> = (0..SLOTS as u64)
            .map(|n| submit(&pool, n, &Arc::new(tensor(n))))
            .collect();
        for (n, pending) in (0..).zip(all) {
            assert_answer(n, block_on(pending));
        }
    }
}

#[test]
fn the_pool_keeps_the_rules_under_random_schedules() {
    shuttle::check_random(everything(None), SCHEDULES);
}

#[test]
fn the_copy_passes_unless_a_bug_is_planted() {
    let bug = super::planted_bug(&Bug::ALL);
    shuttle::check_random(everything(Some(bug)), SCHEDULES / 4);
}

#[test]
fn planted_bugs_are_found() {
    super::assert_found("with_shuttle");
}
