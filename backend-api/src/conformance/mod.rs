//! The rules of the contract, as tests that every backend runs. **Not a stable part of the API.**
//!
//! A backend's tests describe it by a [`Subject`] and run [`RULES`] on it with [`check`]. Rules
//! about failures run on the backend's own engines behind a switch that can hold them, let them
//! fail, or let them panic; all rules run through `Box<dyn InferBackend>`, `Arc<dyn InferBackend>`
//! and the backend's own type.
//!
//! Nothing here sleeps to make a race likely: engines are held at a gate until the rule has brought
//! about the situation that it is about. Deadlines are short at first, and longer where the machine was too slow to
//! bring that situation about in time.

mod acceptance;
mod cancellation;
mod completion;
mod deadlines;
mod faults;
mod queued;
mod switch;
mod teardown;

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_executor::block_on;

use crate::{
    BackendInfo, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest, PendingInfer,
    SlotPool, Tensor,
};
use switch::{Switch, Switched};

/// A rule of the contract. It panics if `subject` breaks it, and names the difference.
pub type Rule = fn(&Subject);

/// A rule that takes longer has hung.
const DEADLINE: Duration = Duration::from_mins(2);

/// Every rule with its name. The names begin with the number that the rule has in the
/// [crate documentation](crate).
pub const RULES: &[(&str, Rule)] = &[
    ("rule1_inputs_are_owned", acceptance::inputs_are_owned),
    (
        "rule1_input_is_released_before_completion",
        faults::input_is_released,
    ),
    (
        "rule2_cancelled_submit_means_nothing_happened",
        acceptance::cancelled_submit,
    ),
    (
        "rule3_many_submits_before_the_first_wait",
        acceptance::many_submits_before_the_first_wait,
    ),
    (
        "rule4_error_and_panic_reach_only_their_request",
        completion::error_and_panic,
    ),
    ("rule4_panic_frees_its_slot", faults::panic_frees_its_slot),
    (
        "rule4_teardown_completes_every_request",
        teardown::teardown_completes,
    ),
    (
        "rule4_ten_thousand_requests_none_lost_none_mixed_up",
        completion::ten_thousand_requests,
    ),
    (
        "rule5_dropped_handle_discards_only_its_own_result",
        completion::dropped_handle,
    ),
    (
        "rule5_cancelled_wait_all_loses_nothing",
        completion::cancelled_wait_all,
    ),
    (
        "rule5_panic_of_a_waker_leaves_the_slots",
        faults::panicking_wakers,
    ),
    (
        "rule6_wait_all_does_not_stop_at_a_failure",
        completion::wait_all_does_not_stop,
    ),
    (
        "rule6_later_requests_do_not_prolong_wait_all",
        completion::later_requests,
    ),
    (
        "rule6_wait_all_waits_for_the_oldest",
        faults::oldest_request,
    ),
    (
        "rule6_wait_all_is_not_starved_by_submitters",
        completion::wait_all_is_not_starved,
    ),
    (
        "rule7_drop_waits_for_running_requests_and_joins",
        teardown::drop_joins,
    ),
    (
        "rule7_drop_by_a_waker_of_its_own_thread",
        teardown::drop_by_own_thread,
    ),
    (
        "rule7_drop_by_a_waker_of_the_timer",
        teardown::drop_by_timer,
    ),
    ("rule7_drop_runs_no_queued_request", faults::queue_at_drop),
    (
        "rule8_wrong_input_never_reaches_the_engine",
        acceptance::wrong_input,
    ),
    (
        "rule8_wrong_output_never_reaches_the_caller",
        acceptance::wrong_output,
    ),
    ("rule9_no_runtime_is_needed", acceptance::no_runtime),
    (
        "rule10_distant_deadlines_change_nothing",
        deadlines::distant_deadline,
    ),
    (
        "rule10_late_request_is_not_accepted",
        deadlines::late_request,
    ),
    (
        "rule10_deadline_ends_a_submit_that_waits",
        deadlines::waiting_submit,
    ),
    (
        "rule10_deadline_takes_a_request_out_of_the_queue",
        deadlines::queued_request,
    ),
    (
        "rule10_deadline_completes_a_request_that_runs",
        deadlines::running_request,
    ),
    (
        "rule10_deadline_stops_an_engine_that_can_be_stopped",
        deadlines::stopped_engine,
    ),
    (
        "rule11_dropped_handle_takes_its_request_out_of_the_queue",
        cancellation::queued_request,
    ),
    (
        "rule11_dropped_handle_lets_an_engine_run_on",
        cancellation::running_request,
    ),
    (
        "rule11_dropped_handle_stops_an_engine_that_can_be_stopped",
        cancellation::stopped_engine,
    ),
    (
        "rule11_stop_ends_one_inference_only",
        cancellation::one_inference_only,
    ),
];

/// The description and the engines that a backend passes to its [`SlotPool`].
pub type Parts = (BackendInfo, Vec<Box<dyn Engine>>);

/// Makes a pool of `engines` with the description `info`.
pub type MakePool = fn(info: BackendInfo, engines: Vec<Box<dyn Engine>>) -> Box<dyn InferBackend>;

/// Makes a [`SlotPool`].
///
/// # Panics
///
/// If the pool does not start.
pub fn slot_pool(info: BackendInfo, engines: Vec<Box<dyn Engine>>) -> Box<dyn InferBackend> {
    Box::new(SlotPool::new(info, engines).expect("the pool starts"))
}

/// A backend under test.
pub struct Subject {
    /// Opens the backend as its users do.
    pub open: Box<dyn Fn() -> Box<dyn InferBackend> + Send + Sync>,
    /// Makes the parts that [`open`](Self::open) passes to its pool.
    pub parts: Box<dyn Fn() -> Parts + Send + Sync>,
    /// Makes the pool that runs the engines of [`parts`](Self::parts): [`slot_pool`], or the backend's own.
    pub pool: MakePool,
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
    check_within(DEADLINE, subject, rule);
}

/// Runs one rule and gives up when it takes longer than `limit`.
///
/// # Panics
///
/// If the rule fails or does not end in time.
pub fn check_within(limit: Duration, subject: Subject, rule: Rule) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        rule(&subject);
        let _ = done.send(());
    });
    match ended.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("the rule hung: not done after {limit:?}")
        }
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(payload) = runner.join() {
                std::panic::resume_unwind(payload);
            }
        }
    }
}

/// Calls `attempt` with longer and longer timeouts until the machine is fast enough for the attempt.
fn patiently(attempt: impl Fn(Duration) -> bool) {
    let timeouts = [50, 500, 5_000, 50_000];
    let mut timeouts = timeouts.into_iter().map(Duration::from_millis);
    assert!(timeouts.any(attempt), "the machine is too slow");
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

    /// Checks a request after a teardown: it may have run or not; any other end is wrong.
    fn assert_good_or_abandoned(&self, n: u64, result: Result<InferOutput, Error>) {
        match result {
            Err(error) if error.kind() == ErrorKind::Abandoned => {}
            other => self.assert_good(n, other),
        }
    }

    /// Checks that every slot becomes free and runs requests; if one does not, this hangs.
    fn assert_usable(&self, backend: &dyn InferBackend) {
        let slots = backend.info().slots as u64;
        let pending: Vec<_> = (0..slots).map(|n| self.submit(backend, n)).collect();
        for (n, pending) in (0..).zip(pending) {
            self.assert_good(n, block_on(pending));
        }
    }

    /// Returns the backend's own engines, each behind a switch.
    fn switched(&self) -> impl Iterator<Item = (Box<dyn InferBackend>, Arc<Switch>)> {
        WRAPPERS.iter().map(|wrap| self.switched_in(*wrap))
    }

    fn switched_in(&self, wrap: Wrap) -> (Box<dyn InferBackend>, Arc<Switch>) {
        let (info, engines) = (self.parts)();
        let switch = Arc::new(Switch::default());
        switch.lock().engines = engines.len();
        let engines = engines
            .into_iter()
            .map(|engine| Switched::new(engine, Arc::clone(&switch)))
            .map(|engine| Box::new(engine) as Box<dyn Engine>);
        let pool = (self.pool)(info, engines.collect());
        (wrap(pool), switch)
    }
}
