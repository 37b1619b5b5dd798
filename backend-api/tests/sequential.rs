//! The pool against a model of it, operation by operation: random sequences of submitting, finishing, cancelling,
//! deadlines, panics and `wait_all`, which `proptest` shrinks to the shortest one that fails.
//!
//! The model has no threads. What it says of a moment has to be true of the pool soon after, and to stay true. Schedules
//! of threads are the matter of loom and shuttle (`src/schedules/`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use backend_api::{
    BackendInfo, Dim, ElementType, Engine, Error, ErrorKind, InferBackend, InferOutput,
    InferRequest, PendingInfer, SlotPool, Tensor, TensorSpec,
};
use faulty::{BrokenPool, Bug};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

/// The primitives of the broken pool.
mod sync {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;
}
#[path = "../src/schedules/faulty.rs"]
mod faulty;

/// The time after which something that has to happen is missing; with a planted bug, where that is expected, less.
const SOON: Duration = Duration::from_secs(20);
const SOON_WITH_BUG: Duration = Duration::from_secs(2);

/// The result that an engine gives to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answer,
    Failure,
    Panic,
}

#[derive(Debug, Clone)]
enum Operation {
    /// Submits the next request. It waits if all slots are busy.
    Submit,
    /// Submits one whose deadline has passed.
    SubmitLate,
    /// Submits one to a free slot, and waits until its deadline passes while it runs.
    Expire,
    /// Gives up a submission that waits.
    GiveUp(u64),
    /// Lets the engine finish a request that runs.
    Finish(u64, Outcome),
    /// Drops the handle of a request that runs.
    Drop(u64),
    /// Polls the handle of a request that runs with a waker that panics.
    PanickingWaker(u64),
    /// Calls `wait_all`.
    WaitAll,
}

/// The state that a handle has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Pending,
    Dropped,
    Late,
    Done(Outcome),
}

/// The model: which requests run, and which submissions wait for a slot, first come first served.
#[derive(Debug, Clone)]
struct Model {
    slots: usize,
    /// The pool under test has deadlines.
    has_deadlines: bool,
    next: u64,
    running: BTreeSet<u64>,
    waiting: Vec<u64>,
    handles: BTreeMap<u64, Handle>,
    /// For each call of `wait_all`, the requests whose end it waits for.
    waits: Vec<BTreeSet<u64>>,
}

impl Model {
    fn accept(&mut self, request: u64) {
        self.running.insert(request);
        self.handles.insert(request, Handle::Pending);
    }
}

/// A pool that is tested.
trait Kind: 'static {
    /// `None` for [`SlotPool`].
    fn bug() -> Option<Bug>;
}

struct Real;

impl Kind for Real {
    fn bug() -> Option<Bug> {
        None
    }
}

/// The copy with the bug of this place in [`Bug::ALL`].
struct Copied<const BUG: usize>;

impl<const BUG: usize> Kind for Copied<BUG> {
    fn bug() -> Option<Bug> {
        Some(Bug::ALL[BUG])
    }
}

struct Machine<K>(std::marker::PhantomData<K>);

impl<K: Kind> ReferenceStateMachine for Machine<K> {
    type State = Model;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Model> {
        let model = |slots| Model {
            slots,
            has_deadlines: K::bug().is_none(),
            next: 0,
            running: BTreeSet::new(),
            waiting: Vec::new(),
            handles: BTreeMap::new(),
            waits: Vec::new(),
        };
        (1_usize..=3).prop_map(model).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Operation> {
        let mut all = vec![
            (4, Just(Operation::Submit).boxed()),
            (1, Just(Operation::WaitAll).boxed()),
        ];
        if model.has_deadlines {
            all.push((1, Just(Operation::SubmitLate).boxed()));
            if model.running.len() < model.slots {
                all.push((1, Just(Operation::Expire).boxed()));
            }
        }
        if !model.waiting.is_empty() {
            let waiting = select(model.waiting.clone());
            all.push((1, waiting.prop_map(Operation::GiveUp).boxed()));
        }
        if !model.running.is_empty() {
            let running = || select(model.running.iter().copied().collect::<Vec<_>>());
            let outcome = select(vec![
                Outcome::Answer,
                Outcome::Answer,
                Outcome::Failure,
                Outcome::Panic,
            ]);
            let finish = (running(), outcome)
                .prop_map(|(request, outcome)| Operation::Finish(request, outcome));
            all.push((4, finish.boxed()));
            all.push((1, running().prop_map(Operation::Drop).boxed()));
            all.push((1, running().prop_map(Operation::PanickingWaker).boxed()));
        }
        proptest::strategy::Union::new_weighted(all).boxed()
    }

    fn preconditions(model: &Model, operation: &Operation) -> bool {
        let is_pending = |request: &u64| {
            model
                .handles
                .get(request)
                .is_some_and(|it| *it == Handle::Pending)
        };
        match operation {
            Operation::Submit | Operation::SubmitLate | Operation::WaitAll => true,
            Operation::Expire => model.running.len() < model.slots,
            Operation::GiveUp(request) => model.waiting.contains(request),
            Operation::Finish(request, _) => model.running.contains(request),
            Operation::Drop(request) | Operation::PanickingWaker(request) => {
                model.running.contains(request) && is_pending(request)
            }
        }
    }

    fn apply(mut model: Model, operation: &Operation) -> Model {
        let request = model.next;
        match operation {
            Operation::Submit => {
                model.next += 1;
                if model.running.len() < model.slots {
                    model.accept(request);
                } else {
                    model.waiting.push(request);
                }
            }
            Operation::SubmitLate => model.next += 1,
            Operation::Expire => {
                model.next += 1;
                model.running.insert(request);
                model.handles.insert(request, Handle::Late);
            }
            Operation::GiveUp(request) => model.waiting.retain(|other| other != request),
            Operation::Finish(request, outcome) => {
                model.running.remove(request);
                if let Some(handle @ Handle::Pending) = model.handles.get_mut(request) {
                    *handle = Handle::Done(*outcome);
                }
                for ends in &mut model.waits {
                    ends.remove(request);
                }
                if !model.waiting.is_empty() {
                    let first = model.waiting.remove(0);
                    model.accept(first);
                }
            }
            Operation::Drop(request) => {
                model.handles.insert(*request, Handle::Dropped);
            }
            Operation::PanickingWaker(_) => {}
            Operation::WaitAll => model.waits.push(model.running.clone()),
        }
        model
    }
}

/// Holds every call of an engine until the test finishes it.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DeskState {
    /// The requests that engines have begun, in this order.
    begun: Vec<u64>,
    outcomes: BTreeMap<u64, Outcome>,
    /// Nothing is held any more.
    is_open: bool,
}

/// Opens the desk when it is dropped, so that a pool can be dropped after a failed check.
struct OpensAtEnd(Arc<Desk>);

impl Drop for OpensAtEnd {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().is_open = true;
        self.0.changed.notify_all();
    }
}

struct Held(Arc<Desk>);

impl Engine for Held {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let request = input.as_slice::<f32>().expect("f32")[0] as u64;
        let mut state = self.0.state.lock().unwrap();
        state.begun.push(request);
        self.0.changed.notify_all();
        let outcome = loop {
            match state.outcomes.remove(&request) {
                Some(outcome) => break outcome,
                None if state.is_open => break Outcome::Answer,
                None => state = self.0.changed.wait(state).unwrap(),
            }
        };
        drop(state);
        match outcome {
            Outcome::Answer => Ok(InferOutput::new(tensor(2 * request))),
            Outcome::Failure => Err(Error::new(ErrorKind::InferenceFailed, "planned failure")),
            Outcome::Panic => std::panic::resume_unwind(Box::new("planned panic")),
        }
    }
}

fn tensor(n: u64) -> Tensor {
    Tensor::new([1], vec![n as f32]).expect("one value")
}

type Submission = Pin<Box<dyn Future<Output = Result<PendingInfer, Error>> + Send>>;

/// The pool, and what the test holds of it.
struct Pool {
    // Before the pool, whose threads wait there.
    _opens: OpensAtEnd,
    backend: Arc<dyn InferBackend>,
    desk: Arc<Desk>,
    /// The time after which something is missing.
    soon: Duration,
    /// The inputs of all requests that were submitted.
    inputs: BTreeMap<u64, Arc<Tensor>>,
    submissions: BTreeMap<u64, Submission>,
    handles: BTreeMap<u64, PendingInfer>,
    /// The results of handles that completed.
    results: BTreeMap<u64, Result<InferOutput, Error>>,
    waits: Vec<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// The requests that engines have to have begun.
    begun: usize,
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("planned panic of a waker"));
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Waits at most `limit` until `get` has a value.
fn soon<T>(limit: Duration, what: impl Debug, mut get: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(Instant::now() < end, "did not happen: {what:?}");
        std::thread::yield_now();
    }
}

impl Pool {
    fn new(slots: usize, bug: Option<Bug>) -> Self {
        let spec = |name| TensorSpec::new(name, ElementType::F32, vec![Dim::Fixed(1)]);
        let info = BackendInfo::new("pool", spec("input"), spec("output"));
        let desk = Arc::new(Desk::default());
        let engines = (0..slots).map(|_| Box::new(Held(Arc::clone(&desk))) as Box<dyn Engine>);
        let engines: Vec<_> = engines.collect();
        let backend: Arc<dyn InferBackend> = match bug {
            None => Arc::new(SlotPool::new(info, engines).expect("it starts")),
            Some(bug) => Arc::new(BrokenPool::new(info, engines, bug)),
        };
        Self {
            _opens: OpensAtEnd(Arc::clone(&desk)),
            backend,
            desk,
            soon: match bug {
                None | Some(Bug::None) => SOON,
                Some(_) => SOON_WITH_BUG,
            },
            inputs: BTreeMap::new(),
            submissions: BTreeMap::new(),
            handles: BTreeMap::new(),
            results: BTreeMap::new(),
            waits: Vec::new(),
            begun: 0,
        }
    }

    fn submission(&mut self, request: u64, deadline: Option<Instant>) -> Submission {
        let input = Arc::new(tensor(request));
        self.inputs.insert(request, Arc::clone(&input));
        let backend = Arc::clone(&self.backend);
        Box::pin(async move {
            let mut infer = InferRequest::new(request, input);
            if let Some(deadline) = deadline {
                infer = infer.with_deadline(deadline);
            }
            backend.submit(infer).await
        })
    }

    /// Waits until `submission` is accepted and an engine has begun the request.
    fn accepted(&mut self, request: u64, mut submission: Submission) {
        let handle = soon(self.soon, ("accepted", request), || {
            match poll(&mut submission, Waker::noop()) {
                Poll::Ready(handle) => Some(handle.expect("it is accepted")),
                Poll::Pending => None,
            }
        });
        self.handles.insert(request, handle);
        self.begun += 1;
        let begun = soon(self.soon, ("begun", request), || {
            let begun = self.desk.state.lock().unwrap().begun.clone();
            (begun.len() >= self.begun).then_some(begun)
        });
        assert_eq!(begun.last(), Some(&request), "another request was begun");
    }

    /// Waits for the end of a request, and checks its handle against `expected`.
    fn completed(&mut self, request: u64, expected: Handle) {
        if let Some(mut handle) = self.handles.remove(&request) {
            let result = soon(self.soon, ("complete", request), || {
                match poll(&mut handle, Waker::noop()) {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                }
            });
            self.results.insert(request, result);
        }
        if let Some(result) = self.results.get(&request) {
            let is = match result {
                Ok(output) => {
                    assert_eq!(output.tensor, tensor(2 * request));
                    Handle::Done(Outcome::Answer)
                }
                Err(error) => match error.kind() {
                    ErrorKind::InferenceFailed => Handle::Done(Outcome::Failure),
                    ErrorKind::Panicked => Handle::Done(Outcome::Panic),
                    ErrorKind::DeadlineExceeded => Handle::Late,
                    other => panic!("request {request}: {other:?}"),
                },
            };
            assert_eq!(is, expected, "request {request}");
        }
    }
}

struct Test<K>(std::marker::PhantomData<K>);

impl<K: Kind> StateMachineTest for Test<K> {
    type SystemUnderTest = Pool;
    type Reference = Machine<K>;

    fn init_test(model: &Model) -> Pool {
        Pool::new(model.slots, K::bug())
    }

    /// `model` is the state after the operation.
    fn apply(mut pool: Pool, model: &Model, operation: Operation) -> Pool {
        let request = model.next.saturating_sub(1);
        match operation {
            Operation::Submit => {
                let mut submission = pool.submission(request, None);
                if model.running.contains(&request) {
                    pool.accepted(request, submission);
                } else {
                    let polled = poll(&mut submission, Waker::noop());
                    assert!(polled.is_pending(), "all slots are busy");
                    pool.submissions.insert(request, submission);
                }
            }
            Operation::SubmitLate => {
                let mut submission = pool.submission(request, Some(Instant::now()));
                let Poll::Ready(Err(error)) = poll(&mut submission, Waker::noop()) else {
                    panic!("request {request} was accepted after its deadline");
                };
                assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
            }
            Operation::Expire => {
                let deadline = Instant::now() + Duration::from_millis(20);
                let submission = pool.submission(request, Some(deadline));
                pool.accepted(request, submission);
                pool.completed(request, Handle::Late);
            }
            Operation::GiveUp(request) => drop(pool.submissions.remove(&request)),
            Operation::Finish(request, outcome) => {
                let mut state = pool.desk.state.lock().unwrap();
                state.outcomes.insert(request, outcome);
                drop(state);
                pool.desk.changed.notify_all();
                pool.completed(request, model.handles[&request]);
                let input = &pool.inputs[&request];
                soon(pool.soon, ("released", request), || {
                    (Arc::strong_count(input) == 1).then_some(())
                });
                let is_accepted = |request: &&u64| model.running.contains(request);
                let next = pool.submissions.keys().find(is_accepted).copied();
                if let Some(next) = next {
                    let submission = pool.submissions.remove(&next).expect("it waits");
                    pool.accepted(next, submission);
                }
            }
            Operation::Drop(request) => drop(pool.handles.remove(&request)),
            Operation::PanickingWaker(request) => {
                let handle = pool.handles.get_mut(&request).expect("it is pending");
                let waker = Waker::from(Arc::new(Panics));
                assert!(poll(handle, &waker).is_pending());
            }
            Operation::WaitAll => {
                let backend = Arc::clone(&pool.backend);
                let mut wait_all: Pin<Box<dyn Future<Output = ()> + Send>> =
                    Box::pin(async move { backend.wait_all().await });
                // What it waits for is decided by the first poll.
                let polled = poll(&mut wait_all, Waker::noop());
                let is_over = polled.is_ready();
                pool.waits.push((!is_over).then_some(wait_all));
            }
        }
        pool
    }

    fn check_invariants(pool: &Pool, model: &Model) {
        let begun = pool.desk.state.lock().unwrap().begun.clone();
        assert_eq!(begun.len(), pool.begun, "a request that waits was begun");
        for request in pool.handles.keys() {
            assert_eq!(model.handles[request], Handle::Pending);
        }
    }

    fn teardown(mut pool: Pool, model: Model) {
        pool.submissions.clear();
        for (wait_all, ends) in pool.waits.iter_mut().zip(&model.waits) {
            match wait_all {
                Some(future) if !ends.is_empty() => {
                    let polled = poll(future, Waker::noop());
                    assert!(polled.is_pending(), "wait_all ended before {ends:?}");
                }
                Some(future) => soon(pool.soon, "wait_all", || {
                    poll(future, Waker::noop()).is_ready().then_some(())
                }),
                None => assert!(ends.is_empty(), "wait_all ended before {ends:?}"),
            }
        }
        pool.waits.clear();
        let Pool {
            _opens: opens,
            backend,
            inputs,
            mut handles,
            ..
        } = pool;
        drop(opens);
        // The threads are joined, so everything that ran has ended.
        drop(backend);
        for (request, handle) in &mut handles {
            let Poll::Ready(result) = poll(handle, Waker::noop()) else {
                panic!("request {request} has no end");
            };
            assert_eq!(result.expect("an answer").tensor, tensor(2 * request));
        }
        for (request, input) in inputs {
            assert_eq!(
                Arc::strong_count(&input),
                1,
                "the input of {request} is held"
            );
        }
    }
}

/// Runs random sequences on a pool. Returns one that fails, with its reason.
fn failure<K: Kind>() -> Option<String> {
    let config = Config {
        cases: 200,
        failure_persistence: None,
        // A bug that is planted needs no shortest example.
        max_shrink_iters: if K::bug().is_none() { 50 } else { 2 },
        ..Config::default()
    };
    let strategy = Machine::<K>::sequential_strategy(1..40);
    let random = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config.clone(), random);
    let result = runner.run(&strategy, |(model, operations, seen)| {
        Test::<K>::test_sequential(config.clone(), model, operations, seen);
        Ok(())
    });
    result.err().map(|error| error.to_string())
}

#[test]
fn the_pool_does_what_the_model_does() {
    assert_eq!(failure::<Real>(), None);
}

#[test]
fn the_copy_without_a_bug_does_what_the_model_does() {
    assert_eq!(Bug::ALL[0], Bug::None);
    assert_eq!(failure::<Copied<0>>(), None);
}

/// The place of the bugs that are planted here in [`Bug::ALL`].
const LEAK: usize = Bug::PermitLeaksOnPanic as usize;
const COUNT: usize = Bug::WatermarkCounts as usize;
const WAKER: usize = Bug::WakerPanicKillsSlot as usize;

/// Bugs that need a certain schedule of threads are found by loom and shuttle.
#[test]
fn planted_bugs_are_found() {
    for (place, failure, report) in [
        (LEAK, failure::<Copied<LEAK>>(), "did not happen"),
        (COUNT, failure::<Copied<COUNT>>(), "wait_all"),
        (WAKER, failure::<Copied<WAKER>>(), "did not happen"),
    ] {
        let bug = Bug::ALL[place];
        assert_eq!(bug as usize, place);
        let failure = failure.unwrap_or_else(|| panic!("{bug:?} was not found"));
        assert!(failure.contains(report), "{bug:?}: {failure}");
    }
}
