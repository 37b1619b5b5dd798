//! The rules of the contract, as tests that every backend runs. **Not a stable part of the API.**
//!
//! A backend's tests describe it by a [`Subject`] and run [`RULES`] on it with [`check`]. Rules
//! about failures run on the backend's own engines behind a switch that can hold them, let them
//! fail, or let them panic; all rules run through `Box<dyn InferBackend>`, `Arc<dyn InferBackend>`
//! and the backend's own type.
//!
//! Nothing here sleeps to make a race likely: engines are held at a gate until the rule has brought
//! about the situation that it is about.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::{
    BackendInfo, ElementType, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest,
    PendingInfer, SlotPool, Tensor,
};

/// A rule of the contract: panics with what it saw if `subject` breaks it.
pub type Rule = fn(&Subject);

/// A rule that takes longer has hung.
const DEADLINE: Duration = Duration::from_mins(2);

/// Every rule with its name. The names begin with the number that the rule has in the
/// [crate documentation](crate).
pub const RULES: &[(&str, Rule)] = &[
    ("rule1_inputs_are_owned", inputs_are_owned),
    (
        "rule2_cancelled_submit_means_nothing_happened",
        cancelled_submit,
    ),
    (
        "rule3_many_submits_before_the_first_wait",
        many_submits_before_the_first_wait,
    ),
    (
        "rule4_error_and_panic_reach_only_their_request",
        error_and_panic,
    ),
    ("rule4_teardown_completes_every_request", teardown_completes),
    (
        "rule4_ten_thousand_requests_none_lost_none_mixed_up",
        ten_thousand_requests,
    ),
    (
        "rule5_dropped_handle_discards_only_its_own_result",
        dropped_handle,
    ),
    ("rule5_cancelled_wait_all_loses_nothing", cancelled_wait_all),
    (
        "rule6_wait_all_does_not_stop_at_a_failure",
        wait_all_does_not_stop,
    ),
    (
        "rule6_later_requests_do_not_prolong_wait_all",
        later_requests,
    ),
    (
        "rule6_wait_all_is_not_starved_by_submitters",
        wait_all_is_not_starved,
    ),
    (
        "rule7_drop_waits_for_running_requests_and_joins",
        drop_joins,
    ),
    (
        "rule7_drop_by_a_waker_of_its_own_thread",
        drop_by_own_thread,
    ),
    ("rule8_wrong_input_never_reaches_the_engine", wrong_input),
    ("rule9_no_runtime_is_needed", no_runtime),
];

/// What a backend gives to its [`SlotPool`]: the description and the engines.
pub type Parts = (BackendInfo, Vec<Box<dyn Engine>>);

/// A backend under test.
pub struct Subject {
    /// Opens the backend as its users do.
    pub open: Box<dyn Fn() -> Box<dyn InferBackend> + Send + Sync>,
    /// What [`open`](Self::open) gives to its pool.
    pub parts: Box<dyn Fn() -> Parts + Send + Sync>,
    /// A valid input for request `n`; different for different `n`.
    pub input: Box<dyn Fn(u64) -> Tensor + Send + Sync>,
    /// The exact output for request `n`.
    pub expected: Box<dyn Fn(u64) -> Tensor + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Runs one rule and gives up when it hangs.
///
/// # Panics
///
/// If the rule fails or does not end within two minutes.
pub fn check(subject: Subject, rule: Rule) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        rule(&subject);
        let _ = done.send(());
    });
    match ended.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("the rule hung: not done after {DEADLINE:?}")
        }
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(payload) = runner.join() {
                std::panic::resume_unwind(payload);
            }
        }
    }
}

type Wrap = fn(Box<dyn InferBackend>) -> Box<dyn InferBackend>;

/// The ways in which programs hold a backend. Each must behave as the backend itself.
const WRAPPERS: [Wrap; 3] = [
    |backend| backend,
    |backend| Box::new(backend),
    |backend| Box::new(Arc::<dyn InferBackend>::from(backend)),
];

impl Subject {
    fn request(&self, n: u64) -> InferRequest {
        InferRequest::new(n, (self.input)(n))
    }

    fn submit(&self, backend: &dyn InferBackend, n: u64) -> PendingInfer {
        block_on(backend.submit(self.request(n))).expect("a valid request is accepted")
    }

    fn assert_good(&self, n: u64, result: Result<InferOutput, Error>) {
        let output = result.unwrap_or_else(|error| panic!("request {n} failed: {error:?}"));
        assert!(
            output.tensor == (self.expected)(n),
            "request {n} got another request's result"
        );
    }

    fn opened(&self) -> impl Iterator<Item = Box<dyn InferBackend>> {
        WRAPPERS.iter().map(|wrap| wrap((self.open)()))
    }

    /// The backend's own engines, each behind a switch.
    fn switched(&self) -> impl Iterator<Item = (Box<dyn InferBackend>, Arc<Switch>)> {
        WRAPPERS.iter().map(|wrap| {
            let (info, engines) = (self.parts)();
            let switch = Arc::new(Switch::default());
            switch.lock().engines = engines.len();
            let engines = engines
                .into_iter()
                .map(|engine| Switched {
                    engine,
                    switch: Arc::clone(&switch),
                })
                .collect();
            let pool = SlotPool::new(info, engines).expect("the pool starts");
            (wrap(Box::new(pool)), switch)
        })
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
}

/// Holds, fails and counts the calls of the engines behind it.
#[derive(Default)]
struct Switch {
    state: Mutex<SwitchState>,
    changed: Condvar,
}

#[derive(Default)]
struct SwitchState {
    /// Calls with a smaller number run, the others wait. `None`: all run.
    allowed: Option<u64>,
    faults: HashMap<u64, Fault>,
    started: u64,
    finished: u64,
    engines: usize,
}

impl Switch {
    fn lock(&self) -> MutexGuard<'_, SwitchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self) {
        self.lock().allowed = Some(0);
    }

    /// Lets the first `calls` run, and holds the others.
    fn release_first(&self, calls: u64) {
        self.lock().allowed = Some(calls);
        self.changed.notify_all();
    }

    fn release(&self) {
        self.lock().allowed = None;
        self.changed.notify_all();
    }

    fn wait_until(&self, condition: impl Fn(&SwitchState) -> bool) {
        let state = self.lock();
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |state| !condition(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the engines did not get there");
    }
}

struct Switched {
    engine: Box<dyn Engine>,
    switch: Arc<Switch>,
}

impl Engine for Switched {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let fault = {
            let mut state = self.switch.lock();
            let call = state.started;
            state.started += 1;
            self.switch.changed.notify_all();
            while state.allowed.is_some_and(|allowed| call >= allowed) {
                state = self
                    .switch
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.faults.get(&call).copied()
        };
        let result = match fault {
            None => self.engine.infer(input),
            Some(Fault::Error) => Err(Error::new(
                ErrorKind::InferenceFailed,
                "run an inference",
                "planned failure",
            )),
            // A panic without a message and a backtrace among the results of the tests.
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new("planned panic")),
        };
        self.switch.lock().finished += 1;
        self.switch.changed.notify_all();
        result
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.switch.lock().engines -= 1;
        self.switch.changed.notify_all();
    }
}

fn inputs_are_owned(subject: &Subject) {
    fn lives_alone<T: Send + Unpin + 'static>(_: &T) {}

    for backend in subject.opened() {
        let input = Arc::new((subject.input)(7));
        let request = InferRequest::new(7, Arc::clone(&input));
        let pending = block_on(backend.submit(request)).expect("accepted");
        lives_alone(&pending);
        assert_eq!(pending.id(), 7);
        drop(backend);
        subject.assert_good_or_abandoned(7, block_on(pending));
        assert_eq!(
            Arc::strong_count(&input),
            1,
            "the input is still held after completion"
        );
    }
}

impl Subject {
    /// After a teardown a request may have run or not; anything else is wrong.
    fn assert_good_or_abandoned(&self, n: u64, result: Result<InferOutput, Error>) {
        match result {
            Err(error) if error.kind() == ErrorKind::Abandoned => {}
            other => self.assert_good(n, other),
        }
    }
}

fn cancelled_submit(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started == slots);

        let mut blocked = Box::pin(backend.submit(subject.request(99)));
        assert!(
            (&mut blocked).now_or_never().is_none(),
            "submit must wait while all slots run"
        );
        drop(blocked);

        switch.release();
        block_on(backend.wait_all());
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good(n, block_on(pending));
        }
        assert_eq!(switch.lock().started, slots, "the cancelled request ran");
        // All slots are there again.
        let again: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        for (n, pending) in (0..).zip(again) {
            subject.assert_good(n, block_on(pending));
        }
    }
}

fn many_submits_before_the_first_wait(subject: &Subject) {
    for backend in subject.opened() {
        let count = 4 * backend.info().slots as u64 + 1;
        let pending: Vec<_> = (0..count).map(|n| subject.submit(&backend, n)).collect();
        block_on(backend.wait_all());
        for (n, pending) in (0..).zip(pending) {
            let ready = pending
                .now_or_never()
                .expect("after wait_all every result is there");
            subject.assert_good(n, ready);
        }
    }
}

fn error_and_panic(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch
            .lock()
            .faults
            .extend([(1, Fault::Error), (3, Fault::Panic)]);
        // One at a time, so that call numbers are request numbers.
        for n in 0..8 {
            let result = block_on(subject.submit(&backend, n));
            match n {
                1 => assert_eq!(result.unwrap_err().kind(), ErrorKind::InferenceFailed),
                3 => {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Panicked);
                    assert!(error.to_string().contains("planned panic"), "{error}");
                }
                _ => subject.assert_good(n, result),
            }
        }
    }
}

fn teardown_completes(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started >= 1);
        let dropper = thread::spawn(move || drop(backend));
        switch.release();
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good_or_abandoned(n, block_on(pending));
        }
        dropper.join().expect("the backend drops without a panic");
    }
}

fn ten_thousand_requests(subject: &Subject) {
    const REQUESTS: u64 = 10_000;
    let backend = (subject.open)();
    block_on(async {
        let mut pending = Vec::new();
        for n in 0..REQUESTS {
            pending.push(backend.submit(subject.request(n)).await.expect("accepted"));
        }
        backend.wait_all().await;
        for (n, result) in (0..).zip(join_all(pending).await) {
            subject.assert_good(n, result);
        }
    });
}

fn dropped_handle(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        for n in 0..3 * slots {
            let pending = subject.submit(&backend, n);
            if n % 3 == 0 {
                drop(pending);
            } else {
                subject.assert_good(n, block_on(pending));
            }
        }
        block_on(backend.wait_all());
        assert_eq!(
            switch.lock().finished,
            3 * slots,
            "every accepted request runs"
        );
    }
}

fn cancelled_wait_all(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch.hold();
        let pending = subject.submit(&backend, 5);
        switch.wait_until(|state| state.started == 1);
        let mut waiting = Box::pin(backend.wait_all());
        assert!(
            (&mut waiting).now_or_never().is_none(),
            "a request is still running"
        );
        drop(waiting);
        switch.release();
        block_on(backend.wait_all());
        subject.assert_good(5, pending.now_or_never().expect("the result is there"));
    }
}

fn wait_all_does_not_stop(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        let count = 3 * slots + 2;
        switch
            .lock()
            .faults
            .extend([(0, Fault::Panic), (1, Fault::Error)]);
        let pending: Vec<_> = (0..count).map(|n| subject.submit(&backend, n)).collect();
        block_on(backend.wait_all());
        let failed = pending
            .into_iter()
            .map(|pending| pending.now_or_never().expect("ended before wait_all did"))
            .filter(Result::is_err)
            .count();
        assert_eq!(failed, 2);
    }
}

fn later_requests(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        if backend.info().slots < 2 {
            continue;
        }
        switch.hold();
        let first = subject.submit(&backend, 1);
        switch.wait_until(|state| state.started == 1);
        let mut waiting = Box::pin(backend.wait_all());
        assert!(
            (&mut waiting).now_or_never().is_none(),
            "a request is still running"
        );
        let later = subject.submit(&backend, 2);
        switch.wait_until(|state| state.started == 2);
        switch.release_first(1);
        // Whoever waits for an idle backend here waits until the deadline.
        block_on(waiting);
        subject.assert_good(1, first.now_or_never().expect("ended before wait_all did"));
        switch.release();
        subject.assert_good(2, block_on(later));
    }
}

fn wait_all_is_not_starved(subject: &Subject) {
    for backend in subject.opened() {
        let (stop, busy) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    drop(subject.submit(&backend, 0));
                    busy.fetch_add(1, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) {
                        drop(subject.submit(&backend, 1));
                    }
                });
            }
            // All of them are at it before the first wait.
            while busy.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
            for n in 0..20 {
                let pending = subject.submit(&backend, n);
                block_on(backend.wait_all());
                subject.assert_good(
                    n,
                    pending.now_or_never().expect("ended before wait_all did"),
                );
            }
            stop.store(true, Ordering::Relaxed);
        });
        block_on(backend.wait_all());
    }
}

fn drop_joins(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots;
        switch.hold();
        let pending: Vec<_> = (0..slots as u64)
            .map(|n| subject.submit(&backend, n))
            .collect();
        switch.wait_until(|state| state.started == slots as u64);
        let dropper = thread::spawn(move || drop(backend));
        assert_eq!(
            switch.lock().engines,
            slots,
            "an engine was freed while it ran"
        );
        switch.release();
        dropper.join().expect("the backend drops without a panic");
        assert_eq!(
            switch.lock().engines,
            0,
            "a thread still owns an engine after the drop"
        );
        assert_eq!(
            switch.lock().finished,
            slots as u64,
            "drop runs at most one request a slot"
        );
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good(n, pending.now_or_never().expect("completed by the drop"));
        }
    }
}

fn drop_by_own_thread(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch.hold();
        let pending = subject.submit(&backend, 0);
        switch.wait_until(|state| state.started == 1);
        // The waker that a slot thread calls owns the backend, and is the last to do so.
        let (done, dropped) = mpsc::channel();
        let waker =
            futures_util::task::waker(Arc::new(DropOnWake(Mutex::new(Some((backend, done))))));
        let mut pending = Box::pin(pending);
        let poll = pending
            .as_mut()
            .poll_unpin(&mut std::task::Context::from_waker(&waker));
        assert!(poll.is_pending());
        switch.release();
        dropped
            .recv_timeout(DEADLINE)
            .expect("the drop must not wait for its own thread");
        subject.assert_good(0, block_on(pending));
        switch.wait_until(|state| state.engines == 0);
    }
}

struct DropOnWake(Mutex<Option<Owner>>);

/// Owns a backend, and tells when it has been dropped.
type Owner = (Box<dyn InferBackend>, mpsc::Sender<()>);

impl futures_util::task::ArcWake for DropOnWake {
    fn wake_by_ref(this: &Arc<Self>) {
        if let Some((backend, done)) = this.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            drop(backend);
            let _ = done.send(());
        }
    }
}

fn wrong_input(subject: &Subject) {
    for backend in subject.opened() {
        let wrong = Tensor::new([7], vec![0_i32; 7]).expect("seven zeros");
        let error = block_on(backend.submit(InferRequest::new(0, wrong))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InputMismatch);
    }
    for (backend, switch) in subject.switched() {
        let good = (subject.input)(0);
        let mut longer = good.shape().to_vec();
        longer.push(2);
        let zeros = |shape: &[usize], element_type: ElementType| {
            let bytes = vec![0; shape.iter().product::<usize>() * element_type.size()];
            Tensor::from_bytes(element_type, shape, &bytes).expect("a consistent tensor")
        };
        let other_type = if good.element_type() == ElementType::U8 {
            ElementType::F32
        } else {
            ElementType::U8
        };
        for wrong in [
            zeros(&longer, good.element_type()),
            zeros(good.shape(), other_type),
            zeros(&[], good.element_type()),
        ] {
            let error = block_on(backend.submit(InferRequest::new(0, wrong))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InputMismatch);
        }
        assert_eq!(switch.lock().started, 0, "the engine saw a wrong input");
        subject.assert_good(0, block_on(subject.submit(&backend, 0)));
    }
}

fn no_runtime(subject: &Subject) {
    for backend in subject.opened() {
        // `block_on` here knows nothing of tokio, and this thread has no runtime.
        subject.assert_good(3, block_on(subject.submit(&backend, 3)));
        block_on(backend.wait_all());
        thread::spawn(move || drop(backend))
            .join()
            .expect("drops on any thread");
    }
}
