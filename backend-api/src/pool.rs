//! All concurrency: a fixed set of threads, each of which owns one engine.
//!
//! A request takes a permit, of which there are as many as threads, and then a place in one
//! queue. The thread that takes it out runs it, delivers the result, and releases the permit. So
//! the queue never holds more than one request for each slot, and the only thing that a submitter
//! ever waits for is the permit.
//!
//! A request ends early at its deadline, by a timer with its own thread, or when its handle is dropped. One
//! that is in the queue is taken out of it. Of one that runs, only the handle completes: the slot stays taken until the
//! engine returns, and the engine is stopped if it can be.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

// Relative paths: the tests compile this file with other primitives next to it.
use super::sync::thread::{self, JoinHandle};
use super::sync::{Condvar, Mutex, MutexGuard, YIELDS};
use super::timer::{self, Timer};
use crate::request::{Cancel, abandoned};
use crate::trace;
use crate::{
    BackendInfo, Completer, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest,
    PendingInfer, Stopper, Tensor,
};

/// The longest time for which a thread without work lets others run before it sleeps. A thread that gets the CPU back
/// later than this takes it from threads that have work, and each switch costs them their caches.
const YIELD_TIME: Duration = Duration::from_micros(50);

/// Runs requests on a set of [`Engine`]s, one named thread for each.
///
/// This is the whole implementation of the contract of [`InferBackend`]; a backend wraps a pool
/// and adds how its engines are made. Dropping the pool ends requests that no engine has begun
/// with [`ErrorKind::Abandoned`], waits for those that run (at most one for each slot), and joins
/// the threads. A pool that is dropped by one of its own threads, because the last owner was a
/// waker there, does not join that thread.
pub struct SlotPool {
    info: Arc<BackendInfo>,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl SlotPool {
    /// Starts one thread for each of `engines` and records their number in
    /// [`BackendInfo::slots`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if there is no engine,
    /// [`ErrorKind::ResourceExhausted`] if the system refuses a thread.
    pub fn new<E: Engine>(mut info: BackendInfo, engines: Vec<E>) -> Result<Self, Error> {
        if engines.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the number of infer requests is 0, but at least 1 is needed",
            ));
        }
        info.slots = engines.len();
        // Built before the threads, so that an early return joins those that already run.
        let mut pool = Self {
            permits: Arc::new(Semaphore::new(info.slots)),
            shared: Arc::new(Shared::default()),
            threads: Vec::with_capacity(info.slots),
            info: Arc::new(info),
        };
        for (slot, engine) in engines.into_iter().enumerate() {
            let (shared, info) = (Arc::clone(&pool.shared), Arc::clone(&pool.info));
            let thread = thread::Builder::new()
                .name(format!("{}-{slot}", info.backend))
                .spawn(move || shared.run(slot, engine, &info))
                .map_err(|source| {
                    Error::new(
                        ErrorKind::ResourceExhausted,
                        format!(
                            "the operating system could not start thread {} of {}",
                            slot + 1,
                            pool.info.slots
                        ),
                    )
                    .with_hint("use fewer infer requests")
                    .with_source(source)
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Waits for a free slot, but not beyond `deadline`.
    async fn permit(&self, deadline: Option<Instant>) -> Result<OwnedSemaphorePermit, Error> {
        let acquire = Arc::clone(&self.permits).acquire_owned();
        let closed = |closed| abandoned().with_source(closed);
        let Some(deadline) = deadline else {
            return acquire.await.map_err(closed);
        };
        let timer = &self.shared.timer;
        timer.start(&format!("{}-timer", self.info.backend))?;
        let late = || Poll::Ready(Err(deadline_exceeded("before a slot was free")));
        let (mut acquire, mut sleep) = (pin!(acquire), pin!(timer.sleep_until(deadline)));
        poll_fn(|context| {
            if Instant::now() >= deadline {
                return late();
            }
            if let Poll::Ready(permit) = acquire.as_mut().poll(context) {
                return Poll::Ready(permit.map_err(closed));
            }
            match sleep.as_mut().poll(context) {
                Poll::Ready(()) => late(),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

#[async_trait]
impl InferBackend for SlotPool {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn submit(&self, request: InferRequest) -> Result<PendingInfer, Error> {
        let (backend, id) = (&self.info.backend, request.id);
        let caller = trace::caller();
        let submit = async move {
            self.info.input.check(&request.input)?;
            let permit = self.permit(request.deadline).await?;
            // No await from here on: the request is accepted as a whole or not at all.
            let span = trace::infer(caller, backend, id);
            Ok(self.shared.accept(request, permit, span))
        };
        trace::submit(backend, id, submit).await
    }

    async fn wait_all(&self) {
        let (watermark, mut ended_below) = {
            let state = self.shared.lock();
            (state.accepted, self.shared.ended_below.subscribe())
        };
        // Fails only when the sender is gone, and `self` owns it.
        let _ = ended_below.wait_for(|&ended| ended >= watermark).await;
    }
}

impl Drop for SlotPool {
    fn drop(&mut self) {
        for job in self.shared.close() {
            self.shared.complete(job, Err(abandoned()));
        }
        for thread in self.threads.drain(..) {
            if thread.thread().id() != thread::current().id() {
                // An error means that an engine panicked when it was dropped. Its requests have
                // all been completed by then, so no caller is left to inform.
                let _ = thread.join();
            }
        }
        // Last, so that the deadlines of the requests that ran until now were kept.
        self.shared.timer.close();
    }
}

impl fmt::Debug for SlotPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotPool")
            .field("info", &self.info)
            .field("free_slots", &self.permits.available_permits())
            .finish_non_exhaustive()
    }
}

/// An accepted request.
struct Job {
    number: u64,
    input: Arc<Tensor>,
    /// Completes the handle. While the job runs it is in [`Running`] instead.
    result: Option<Completer>,
    permit: OwnedSemaphorePermit,
    /// The alarm at the request's deadline.
    alarm: Option<timer::Key>,
    /// Taken when the job runs.
    span: Option<trace::Inference>,
}

/// The parts of a running request with which other threads end it early.
struct Running {
    number: u64,
    /// Taken at the deadline.
    result: Option<Completer>,
    /// Taken when it is called.
    stop: Option<Stopper>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// No more than one for each slot.
    running: Vec<Running>,
    /// The number of threads that wait for work.
    idle: usize,
    closed: bool,
    /// The count of accepted requests, which is the number of the next one.
    accepted: u64,
    /// The numbers of the accepted requests that have not ended: no more than two for each slot.
    in_flight: Vec<u64>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Every request with a smaller number has ended.
    ended_below: watch::Sender<u64>,
    timer: Arc<Timer>,
}

impl Shared {
    /// Locks the state. No foreign code runs under this lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(
        self: &Arc<Self>,
        request: InferRequest,
        permit: OwnedSemaphorePermit,
        span: trace::Inference,
    ) -> PendingInfer {
        let (result, pending) = PendingInfer::channel(request.id);
        let mut state = self.lock();
        let number = state.accepted;
        state.accepted += 1;
        state.in_flight.push(number);
        let alarm = request.deadline.map(|deadline| {
            let this = Arc::clone(self);
            let end = move || this.end_early(number, || deadline_exceeded("before it ended"));
            self.timer.set(deadline, Box::new(end))
        });
        state.queue.push_back(Job {
            number,
            input: request.input,
            result: Some(result),
            permit,
            alarm,
            span: Some(span),
        });
        let has_idle = state.idle > 0;
        drop(state);
        // To notify is a system call, also if no thread waits.
        if has_idle {
            self.work.notify_one();
        }
        pending.cancels(Arc::clone(self) as Arc<dyn Cancel>, number)
    }

    fn close(&self) -> VecDeque<Job> {
        let mut state = self.lock();
        state.closed = true;
        let rest = std::mem::take(&mut state.queue);
        drop(state);
        self.work.notify_all();
        rest
    }

    /// Returns the next request, or `None` once the pool is closed. From then on `stop` stops it.
    fn next(&self, stop: Option<Stopper>) -> Option<Job> {
        let mut state = self.lock();
        let mut yields = 0;
        let mut first_yield = None;
        loop {
            if let Some(mut job) = state.queue.pop_front() {
                let (number, result) = (job.number, job.result.take());
                state.running.push(Running {
                    number,
                    result,
                    stop,
                });
                return Some(job);
            }
            if state.closed {
                return None;
            }
            let is_short = |first: &Instant| first.elapsed() < YIELD_TIME;
            if yields < YIELDS && first_yield.as_ref().is_none_or(is_short) {
                yields += 1;
                drop(state);
                first_yield.get_or_insert_with(Instant::now);
                thread::yield_now();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn run<E: Engine>(&self, slot: usize, mut engine: E, info: &BackendInfo) {
        loop {
            let stop = catch_unwind(AssertUnwindSafe(|| engine.stopper())).unwrap_or_default();
            let Some(mut job) = self.next(stop) else {
                return;
            };
            let result = infer(&mut engine, &mut job, slot, info);
            job.result = self.end_run(job.number);
            self.complete(job, result);
        }
    }

    /// Returns the completion of the request that ran, unless it is complete. The request cannot be stopped any more.
    fn end_run(&self, number: u64) -> Option<Completer> {
        let running = {
            let mut state = self.lock();
            let mut all = state.running.iter();
            let position = all.position(|running| running.number == number)?;
            state.running.swap_remove(position)
        };
        // The stopper is code of the engine. A panic there must not leave the request without an end.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(running.stop)));
        running.result
    }

    /// Ends request `number` if it has not ended: takes it out of the queue or, if it runs, completes its handle and
    /// stops the engine.
    fn end_early(&self, number: u64, why: impl FnOnce() -> Error) {
        let mut state = self.lock();
        let mut queue = state.queue.iter();
        if let Some(position) = queue.position(|job| job.number == number) {
            let job = state.queue.remove(position);
            drop(state);
            if let Some(job) = job {
                self.complete(job, Err(why()));
            }
            return;
        }
        let mut running = state.running.iter_mut();
        let Some(running) = running.find(|running| running.number == number) else {
            return;
        };
        let (result, stop) = (running.result.take(), running.stop.take());
        drop(state);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            result.map(|completer| completer.complete(Err(why())))
        }));
        // The request may have ended by now, and the next may run: a stopper never stops another.
        let _ = catch_unwind(AssertUnwindSafe(|| stop.map(|stop| stop())));
    }

    /// Lets go of the input, delivers the result, then lets `wait_all` see it, then frees the slot:
    /// a caller that sees a later step can rely on the earlier ones.
    fn complete(&self, job: Job, result: Result<InferOutput, Error>) {
        let Job {
            number,
            input,
            result: completer,
            permit,
            alarm,
            span: _,
        } = job;
        drop(input);
        if let Some(alarm) = alarm {
            self.timer.cancel(alarm);
        }
        // Sending runs the waker of the caller. A panic in it is the caller's.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            completer.map(|completer| completer.complete(result))
        }));
        let ended_below = {
            let mut state = self.lock();
            state.in_flight.retain(|&other| other != number);
            state
                .in_flight
                .iter()
                .copied()
                .min()
                .unwrap_or(state.accepted)
        };
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // Two threads may get here in either order; the mark never goes back.
            self.ended_below.send_if_modified(|mark| {
                let moved = ended_below > *mark;
                *mark = (*mark).max(ended_below);
                moved
            })
        }));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(permit)));
    }
}

impl Cancel for Shared {
    fn cancel(&self, number: u64) {
        self.end_early(number, abandoned);
    }
}

/// Runs `job` in the thread of `slot`. Outputs that `info` does not declare are an error.
fn infer<E: Engine>(
    engine: &mut E,
    job: &mut Job,
    slot: usize,
    info: &BackendInfo,
) -> Result<InferOutput, Error> {
    let _span = job.span.take().map(|span| trace::enter(span, slot));
    let started = Instant::now();
    let mut output = catch_unwind(AssertUnwindSafe(|| engine.infer(&job.input)))
        .unwrap_or_else(|payload| Err(panicked(payload.as_ref())))?;
    output.elapsed = started.elapsed();
    info.check_output(&output, job.input.shape().first().copied())?;
    Ok(output)
}

fn deadline_exceeded(when: &str) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        format!("the deadline of the request passed {when}"),
    )
}

fn panicked(payload: &(dyn Any + Send)) -> Error {
    Error::new(
        ErrorKind::Panicked,
        format!("the engine panicked: {}", panic_message(payload)),
    )
}

/// Returns the message of a panic from the payload that [`catch_unwind`](std::panic::catch_unwind) or a thread's
/// `join` gives; `no message` if it is not text.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
