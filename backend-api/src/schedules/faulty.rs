//! A copy of the pool's bookkeeping with planted faults, to show that the checkers find them.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use backend_api::{
    BackendInfo, Completer, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest,
    PendingInfer, Tensor, async_trait,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::sync::thread::{self, JoinHandle};
use super::sync::{Condvar, Mutex, MutexGuard};

/// A fault of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The pool is correct.
    None,
    /// A thread is woken before its request is in the queue.
    NotifyBeforePush,
    /// A thread looks at the queue, releases the lock, and sleeps without looking again.
    SleepWithoutLooking,
    /// A request whose engine panicked keeps its slot.
    PermitLeaksOnPanic,
    /// `wait_all` counts what has ended instead of looking for the lowest number in flight.
    WatermarkCounts,
    /// The mark of `wait_all` goes back when two threads report in the other order.
    WatermarkGoesBack,
    /// Queued requests run when the pool is dropped.
    QueueRunsAtDrop,
    /// The input is released after the result is delivered.
    InputReleasedLate,
    /// A panic of a caller's waker ends the thread of the slot.
    WakerPanicKillsSlot,
    /// An output that is not the declared one is delivered.
    OutputUnchecked,
}

impl Bug {
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::NotifyBeforePush,
        Self::SleepWithoutLooking,
        Self::PermitLeaksOnPanic,
        Self::WatermarkCounts,
        Self::WatermarkGoesBack,
        Self::QueueRunsAtDrop,
        Self::InputReleasedLate,
        Self::WakerPanicKillsSlot,
        Self::OutputUnchecked,
    ];
}

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
    accepted: u64,
    ended: u64,
    in_flight: Vec<u64>,
}

struct Shared {
    bug: Bug,
    state: Mutex<State>,
    work: Condvar,
    ended_below: watch::Sender<u64>,
}

/// A pool with a planted [`Bug`]. It has no deadlines, no cancellation and no stoppers.
pub(crate) struct BrokenPool {
    info: BackendInfo,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl BrokenPool {
    pub(crate) fn new(mut info: BackendInfo, engines: Vec<Box<dyn Engine>>, bug: Bug) -> Self {
        info.slots = engines.len();
        let shared = Arc::new(Shared {
            bug,
            state: Mutex::default(),
            work: Condvar::default(),
            ended_below: watch::Sender::default(),
        });
        let threads = engines.into_iter().map(|engine| {
            let (shared, info) = (Arc::clone(&shared), info.clone());
            thread::spawn(move || shared.run(engine, &info))
        });
        Self {
            threads: threads.collect(),
            permits: Arc::new(Semaphore::new(info.slots)),
            info,
            shared,
        }
    }
}

impl fmt::Debug for BrokenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenPool").finish_non_exhaustive()
    }
}

#[async_trait]
impl InferBackend for BrokenPool {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn submit(&self, request: InferRequest) -> Result<PendingInfer, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Ok(self.shared.accept(request, permit.expect("it is open")))
    }

    async fn wait_all(&self) {
        let (watermark, mut ended_below) = {
            let state = self.shared.lock();
            (state.accepted, self.shared.ended_below.subscribe())
        };
        let _ = ended_below.wait_for(|&ended| ended >= watermark).await;
    }
}

impl Drop for BrokenPool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let rest = if self.shared.bug == Bug::QueueRunsAtDrop {
            VecDeque::new()
        } else {
            std::mem::take(&mut state.queue)
        };
        drop(state);
        self.shared.work.notify_all();
        for job in rest {
            let error = Error::new(ErrorKind::Abandoned, "the pool was dropped");
            self.shared.complete(job, Err(error));
        }
        for thread in self.threads.drain(..) {
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, request: InferRequest, permit: OwnedSemaphorePermit) -> PendingInfer {
        let (result, pending) = PendingInfer::channel(request.id);
        let early = self.bug == Bug::NotifyBeforePush;
        if early {
            self.work.notify_one();
        }
        let mut state = self.lock();
        let number = state.accepted;
        state.accepted += 1;
        state.in_flight.push(number);
        state.queue.push_back(Job {
            number,
            input: request.input,
            result,
            permit,
        });
        drop(state);
        if !early {
            self.work.notify_one();
        }
        pending
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            if self.bug == Bug::SleepWithoutLooking {
                drop(state);
                state = self.lock();
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, mut engine: Box<dyn Engine>, info: &BackendInfo) {
        while let Some(job) = self.next() {
            let result = catch_unwind(AssertUnwindSafe(|| engine.infer(&job.input)));
            let result = result.unwrap_or_else(|_| {
                let message = "the engine panicked: planned panic";
                Err(Error::new(ErrorKind::Panicked, message))
            });
            let result = result.and_then(|output| match info.output.check(&output.tensor) {
                Ok(()) if output.extra.len() == info.extra_outputs.len() => Ok(output),
                _ if self.bug == Bug::OutputUnchecked => Ok(output),
                _ => Err(Error::new(ErrorKind::OutputMismatch, "another output")),
            });
            self.complete(job, result);
        }
    }

    fn complete(&self, job: Job, result: Result<InferOutput, Error>) {
        let Job {
            number,
            input,
            result: completer,
            permit,
        } = job;
        let mut held = Some(input);
        if self.bug != Bug::InputReleasedLate {
            held = None;
        }
        let panicked = matches!(&result, Err(error) if error.kind() == ErrorKind::Panicked);
        let delivered = catch_unwind(AssertUnwindSafe(|| completer.complete(result)));
        if let (Bug::WakerPanicKillsSlot, Err(panic)) = (self.bug, delivered) {
            std::panic::resume_unwind(panic);
        }
        let mark = {
            let mut state = self.lock();
            state.in_flight.retain(|&other| other != number);
            state.ended += 1;
            if self.bug == Bug::WatermarkCounts {
                state.ended
            } else {
                let lowest = state.in_flight.iter().copied().min();
                lowest.unwrap_or(state.accepted)
            }
        };
        drop(held);
        if self.bug == Bug::WatermarkGoesBack {
            // A step of the schedule, as there is one wherever a thread is interrupted.
            drop(self.lock());
            self.ended_below.send_replace(mark);
        } else {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                self.ended_below.send_if_modified(|old| {
                    let moved = mark > *old;
                    *old = (*old).max(mark);
                    moved
                })
            }));
        }
        if panicked && self.bug == Bug::PermitLeaksOnPanic {
            permit.forget();
            return;
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(permit)));
    }
}
