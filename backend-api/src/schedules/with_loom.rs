//! All schedules of two threads that submit: to one slot with at most two preemptions, to two slots with one.

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::future::block_on;
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread;

    pub(crate) const YIELDS: u32 = 0;

    loom::lazy_static! {
        static ref ORDER: Mutex<()> = Mutex::default();
    }

    /// A step that loom puts before and after those of other threads. It does not see the semaphores and channels of
    /// tokio, and would not change the order of their operations for their sake.
    pub(crate) fn step() {
        drop(ORDER.lock());
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
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::InferBackend;
use faulty::Bug;
use scenarios::{PANICS, pool, run, run_with_wait_all};
use sync::thread;

/// Runs `scenario` under every schedule and returns their number.
fn explore(slots: usize, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let mut model = loom::model::Builder::new();
    // With two slots there are four threads, and 100 times as many schedules with a second preemption.
    model.preemption_bound = Some(if slots == 1 { 2 } else { 1 });
    let schedules = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&schedules);
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    schedules.load(Ordering::Relaxed)
}

/// Runs `first` in a thread of its own and `second` here, on one pool.
fn both(
    pool: Arc<dyn InferBackend>,
    first: impl FnOnce(&Arc<dyn InferBackend>) + Send + 'static,
    second: impl FnOnce(&Arc<dyn InferBackend>),
) {
    let other = {
        let pool = Arc::clone(&pool);
        thread::spawn(move || first(&pool))
    };
    second(&pool);
    other.join().expect("the other thread does not panic");
    drop(pool);
}

fn two_requests(slots: usize, bug: Option<Bug>) -> impl Fn() + Send + Sync + 'static {
    move || both(pool(slots, bug), |pool| run(pool, 1), |pool| run(pool, 2))
}

/// One of two threads waits for all requests: the one that usually submits first, or the other.
fn wait_all(slots: usize, first: bool, bug: Option<Bug>) -> impl Fn() + Send + Sync + 'static {
    move || {
        let pool = pool(slots, bug);
        if first {
            both(pool, |pool| run(pool, 1), |pool| run_with_wait_all(pool, 2));
        } else {
            both(pool, |pool| run_with_wait_all(pool, 1), |pool| run(pool, 2));
        }
    }
}

fn panic_of_an_engine(slots: usize, bug: Option<Bug>) -> impl Fn() + Send + Sync + 'static {
    move || {
        both(
            pool(slots, bug),
            |pool| run(pool, PANICS),
            |pool| run(pool, 2),
        );
    }
}

/// Drops the handle of a request that is in the queue, runs, or has ended.
fn cancellation(slots: usize) -> impl Fn() + Send + Sync + 'static {
    move || {
        both(
            pool(slots, None),
            |pool| {
                let input = Arc::new(scenarios::tensor(1));
                drop(scenarios::submit(pool, 1, &input));
            },
            |pool| run(pool, 2),
        );
    }
}

#[test]
fn the_pool_keeps_the_rules_under_every_schedule() {
    for slots in [1, 2] {
        let counts = [
            explore(slots, two_requests(slots, None)),
            explore(slots, wait_all(slots, true, None)),
            explore(slots, wait_all(slots, false, None)),
            explore(slots, panic_of_an_engine(slots, None)),
            explore(slots, cancellation(slots)),
        ];
        assert!(counts.iter().all(|&count| count > 10), "{counts:?}");
    }
}

#[test]
fn the_copy_passes_unless_a_bug_is_planted() {
    let bug = super::planted_bug(&Bug::ALL);
    for slots in [2, 1] {
        explore(slots, two_requests(slots, Some(bug)));
        explore(slots, wait_all(slots, true, Some(bug)));
        explore(slots, wait_all(slots, false, Some(bug)));
        explore(slots, panic_of_an_engine(slots, Some(bug)));
    }
}

#[test]
fn planted_bugs_are_found() {
    super::assert_found("with_loom");
}
