//! The threads that decode images.

mod begun;

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

/// At most a fixed number of threads, each started when there is work for it. When this is dropped, they finish their
/// current work and end.
pub struct DecodingThreads {
    queue: Arc<Queue>,
    most: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// The reason why work has no result.
#[derive(Debug)]
pub enum JobError {
    Panicked,
    NoThread(io::Error),
}

/// The place of work in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all images: an engine waits for it.
    First,
    Last,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// The number of threads that wait for work.
    idle: usize,
    closed: bool,
}

impl DecodingThreads {
    pub fn new(most: usize) -> Self {
        Self {
            queue: Arc::default(),
            most: most.max(1),
        }
    }

    /// Returns the result of `work`. Work is not begun if its result is not awaited any more.
    pub async fn run<R: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, JobError> {
        self.begin(place, move || ready(work())).await
    }

    /// Returns the result of the future that `work` returns. The thread of the work also begins the future: it polls it
    /// once. From then on, this future polls it.
    ///
    /// Work is not begun if its result is not awaited any more. A panic of `work` is an error; one of the future is a
    /// panic of this future.
    pub async fn begin<F>(
        &self,
        place: Place,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<F::Output, JobError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (begun, job) = begun::begun(work);
        self.push(place, Box::new(job))
            .map_err(JobError::NoThread)?;
        begun.await.ok_or(JobError::Panicked)
    }

    fn push(&self, place: Place, job: Job) -> io::Result<()> {
        let mut state = self.queue.lock();
        if state.jobs.len() >= state.idle && state.threads < self.most {
            let queue = Arc::clone(&self.queue);
            let thread = thread::Builder::new()
                .name(format!("decoding-{}", state.threads))
                .spawn(move || queue.work());
            match thread {
                Ok(_) => state.threads += 1,
                // The threads that run already do the work.
                Err(_) if state.threads > 0 => (),
                Err(error) => return Err(error),
            }
        }
        match place {
            Place::First => state.jobs.push_front(job),
            Place::Last => state.jobs.push_back(job),
        }
        let has_idle = state.idle > 0;
        drop(state);
        // A notification is a system call even if no thread waits.
        if has_idle {
            self.queue.work.notify_one();
        }
        Ok(())
    }
}

impl Drop for DecodingThreads {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.work.notify_all();
    }
}

impl fmt::Debug for DecodingThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodingThreads")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Locks the state. No other code runs under this lock, and the state is consistent at every point.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// Returns the next work, or `None` when there will be none.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_executor::block_on;
    use futures_util::FutureExt as _;
    use futures_util::future::{join, join_all};

    use super::*;

    #[test]
    fn as_many_run_at_a_time_as_there_are_threads() {
        let threads = DecodingThreads::new(3);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Each waits for two others, so that fewer threads would not end.
        let barrier = Arc::new(Barrier::new(3));
        let work = (0..30).map(|_| {
            let (now, most, barrier) = (now.clone(), most.clone(), barrier.clone());
            threads.run(Place::Last, move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        let results = block_on(join_all(work));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_thread_is_started_when_there_is_work_for_it() {
        fn is_on_its_way(threads: &DecodingThreads) -> bool {
            let state = threads.queue.lock();
            state.idle < state.threads
        }
        let threads = DecodingThreads::new(8);
        assert_eq!(threads.queue.lock().threads, 0);
        for _ in 0..20 {
            block_on(threads.run(Place::Last, || ())).unwrap();
            // It may still be on its way back to the queue.
            while is_on_its_way(&threads) {
                thread::yield_now();
            }
        }
        assert_eq!(threads.queue.lock().threads, 1);
    }

    #[test]
    fn a_panic_is_an_error_and_the_thread_goes_on() {
        let threads = DecodingThreads::new(1);
        let failed = block_on(threads.run(Place::Last, || panic!("planned")));
        assert!(matches!(failed, Err(JobError::Panicked)));
        assert_eq!(block_on(threads.run(Place::Last, || 7)).unwrap(), 7);
    }

    #[test]
    fn work_that_nobody_awaits_is_not_begun() {
        let threads = DecodingThreads::new(1);
        let (go, wait) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = begun.clone();
        block_on(async {
            let mut first = Box::pin(threads.run(Place::Last, move || wait.recv()));
            let mut second = Box::pin(threads.run(Place::Last, move || {
                counted.fetch_add(1, Ordering::SeqCst);
            }));
            assert!((&mut first).now_or_never().is_none());
            assert!((&mut second).now_or_never().is_none());
            drop(second);
            go.send(()).unwrap();
            first.await.unwrap().unwrap();
            // The last in the queue comes after the dropped one.
            threads.run(Place::Last, || ()).await.unwrap();
        });
        assert_eq!(begun.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn work_in_the_first_place_runs_before_the_rest() {
        let threads = DecodingThreads::new(1);
        let (go, wait) = mpsc::channel::<()>();
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |name| {
            let order = order.clone();
            move || order.lock().unwrap().push(name)
        };
        block_on(async {
            let mut busy = Box::pin(threads.run(Place::Last, move || wait.recv()));
            assert!((&mut busy).now_or_never().is_none());
            let mut late = Box::pin(threads.run(Place::Last, note("late")));
            assert!((&mut late).now_or_never().is_none());
            let mut first = Box::pin(threads.run(Place::First, note("first")));
            assert!((&mut first).now_or_never().is_none());
            go.send(()).unwrap();
            let (late, first) = join(late, first).await;
            late.and(first).unwrap();
        });
        assert_eq!(*order.lock().unwrap(), ["first", "late"]);
    }

    #[test]
    fn threads_end_when_the_work_is_dropped() {
        let threads = DecodingThreads::new(2);
        block_on(threads.run(Place::Last, || ())).unwrap();
        let queue = Arc::downgrade(&threads.queue);
        drop(threads);
        let start = std::time::Instant::now();
        while queue.strong_count() > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "still there");
            thread::yield_now();
        }
    }
}
