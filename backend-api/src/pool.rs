//! All of the concurrency: a fixed set of threads, each of which owns one engine.
//!
//! A request takes a permit, of which there are as many as threads, and then a place in one
//! queue. The thread that takes it out runs it, delivers the result, and releases the permit. So
//! the queue never holds more than one request for each slot, and the only thing that a submitter
//! ever waits for is the permit.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::request::abandoned;
use crate::{
    BackendInfo, Completer, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest,
    PendingInfer, Tensor,
};

/// Runs requests on a set of [`Engine`]s, one named thread for each.
///
/// This is the whole implementation of the contract of [`InferBackend`]; a backend wraps a pool
/// and adds how its engines are made. Dropping the pool ends requests that no engine has begun
/// with [`ErrorKind::Abandoned`], waits for those that run (at most one for each slot), and joins
/// the threads. A pool that is dropped by one of its own threads, because the last owner was a
/// waker there, does not join that thread.
pub struct SlotPool {
    info: BackendInfo,
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
                "start the slots",
                "the number of infer requests is 0, but at least 1 is needed",
            ));
        }
        info.slots = engines.len();
        // Built before the threads, so that an early return joins those that already run.
        let mut pool = Self {
            permits: Arc::new(Semaphore::new(info.slots)),
            shared: Arc::new(Shared::default()),
            threads: Vec::with_capacity(info.slots),
            info,
        };
        for (slot, engine) in engines.into_iter().enumerate() {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("{}-{slot}", pool.info.backend))
                .spawn(move || shared.run(engine))
                .map_err(|source| {
                    Error::new(
                        ErrorKind::ResourceExhausted,
                        "start the slots",
                        format!(
                            "the system refused thread {} of {}",
                            slot + 1,
                            pool.info.slots
                        ),
                    )
                    .with_hint("ask for fewer infer requests")
                    .with_source(source)
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

#[async_trait]
impl InferBackend for SlotPool {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn submit(&self, request: InferRequest) -> Result<PendingInfer, Error> {
        self.info.input.check(&request.input)?;
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|closed| abandoned().with_source(closed))?;
        // No await from here on: the request is accepted as a whole or not at all.
        let (result, pending) = PendingInfer::channel(request.id);
        self.shared.accept(request.input, result, permit);
        Ok(pending)
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
                // all been completed by then, so there is nobody to tell.
                let _ = thread.join();
            }
        }
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

/// How often a thread without work lets others run before it sleeps. To be woken takes tens of microseconds, and the
/// next request often comes sooner: `cargo bench-parts slot_pool`.
const YIELDS: u32 = 100;

struct Job {
    number: u64,
    input: Arc<Tensor>,
    result: Completer,
    permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    closed: bool,
    /// How many requests have been accepted, which is the number of the next one.
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
}

impl Shared {
    /// No code of others runs under this lock, so a poisoned one is still consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, input: Arc<Tensor>, result: Completer, permit: OwnedSemaphorePermit) {
        let mut state = self.lock();
        let number = state.accepted;
        state.accepted += 1;
        state.in_flight.push(number);
        state.queue.push_back(Job {
            number,
            input,
            result,
            permit,
        });
        drop(state);
        self.work.notify_one();
    }

    fn close(&self) -> VecDeque<Job> {
        let mut state = self.lock();
        state.closed = true;
        let rest = std::mem::take(&mut state.queue);
        drop(state);
        self.work.notify_all();
        rest
    }

    /// The next request, or `None` once the pool is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let mut yields = 0;
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            if yields < YIELDS {
                yields += 1;
                drop(state);
                thread::yield_now();
                state = self.lock();
                continue;
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run<E: Engine>(&self, mut engine: E) {
        while let Some(job) = self.next() {
            let started = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| engine.infer(&job.input)))
                .unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
                .map(|mut output| {
                    output.elapsed = started.elapsed();
                    output
                });
            self.complete(job, result);
        }
    }

    /// Lets go of the input, delivers the result, then lets `wait_all` see it, then frees the slot:
    /// whoever sees a later step can rely on the earlier ones.
    fn complete(&self, job: Job, result: Result<InferOutput, Error>) {
        let Job {
            number,
            input,
            result: completer,
            permit,
        } = job;
        drop(input);
        // Sending runs the waker of whoever awaits the result. A panic there is not ours.
        let _ = catch_unwind(AssertUnwindSafe(|| completer.complete(result)));
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

fn panicked(payload: &(dyn Any + Send)) -> Error {
    Error::new(
        ErrorKind::Panicked,
        "run an inference",
        format!("the engine panicked: {}", panic_message(payload)),
    )
}

/// What a panic said, from what [`catch_unwind`](std::panic::catch_unwind) or a thread's `join` gives; `no
/// message` if it was no text.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
