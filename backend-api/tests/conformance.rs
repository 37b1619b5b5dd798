//! The mock backend keeps the contract, and the suite notices a backend that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend_api::conformance::{self, MakePool, RULES, Rule, Subject};
use backend_api::{
    BackendInfo, Engine, Error, ErrorKind, InferBackend, InferOutput, MockBackend, SlotPool,
    Stopper, Tensor, panic_message,
};
use faulty::{BrokenPool, Bug};

/// The primitives of the broken pool.
mod sync {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;
}
#[path = "../src/schedules/faulty.rs"]
#[expect(dead_code, reason = "the schedules use the other bugs")]
mod faulty;

fn input(n: u64) -> Tensor {
    Tensor::new([1, 4], vec![n as f32; 4]).unwrap()
}

fn expected(n: u64) -> Tensor {
    Tensor::new([1, 3], vec![n as f32 * 2.0; 3]).unwrap()
}

fn double(input: &Tensor) -> Tensor {
    Tensor::new([1, 3], vec![input.as_slice::<f32>().unwrap()[0] * 2.0; 3]).unwrap()
}

struct Doubler;

impl Engine for Doubler {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        Ok(InferOutput::new(double(input)))
    }
}

fn mock() -> MockBackend {
    MockBackend::builder()
        .slots(3)
        .respond(|_, input| Ok(double(input)))
        .build()
        .unwrap()
}

fn subject() -> Subject {
    Subject {
        open: Box::new(|| Box::new(mock())),
        parts: Box::new(|| {
            let info: BackendInfo = mock().info().clone();
            (
                info,
                (0..3)
                    .map(|_| Box::new(Doubler) as Box<dyn Engine>)
                    .collect(),
            )
        }),
        pool: conformance::slot_pool,
        input: Box::new(input),
        expected: Box::new(expected),
    }
}

fn rule(name: &str) -> Rule {
    RULES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a known rule")
        .1
}

macro_rules! rules {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            conformance::check(subject(), rule(stringify!($name)));
        })+

        #[test]
        fn every_rule_is_tested_here() {
            let known: Vec<_> = RULES.iter().map(|(name, _)| *name).collect();
            assert_eq!(known, [$(stringify!($name)),+]);
        }
    };
}
rules!(
    rule1_inputs_are_owned,
    rule1_input_is_released_before_completion,
    rule2_cancelled_submit_means_nothing_happened,
    rule3_many_submits_before_the_first_wait,
    rule4_error_and_panic_reach_only_their_request,
    rule4_panic_frees_its_slot,
    rule4_teardown_completes_every_request,
    rule4_ten_thousand_requests_none_lost_none_mixed_up,
    rule5_dropped_handle_discards_only_its_own_result,
    rule5_cancelled_wait_all_loses_nothing,
    rule5_panic_of_a_waker_leaves_the_slots,
    rule6_wait_all_does_not_stop_at_a_failure,
    rule6_later_requests_do_not_prolong_wait_all,
    rule6_wait_all_waits_for_the_oldest,
    rule6_wait_all_is_not_starved_by_submitters,
    rule7_drop_waits_for_running_requests_and_joins,
    rule7_drop_by_a_waker_of_its_own_thread,
    rule7_drop_by_a_waker_of_the_timer,
    rule7_drop_runs_no_queued_request,
    rule8_wrong_input_never_reaches_the_engine,
    rule8_wrong_output_never_reaches_the_caller,
    rule9_no_runtime_is_needed,
    rule10_distant_deadlines_change_nothing,
    rule10_late_request_is_not_accepted,
    rule10_deadline_ends_a_submit_that_waits,
    rule10_deadline_takes_a_request_out_of_the_queue,
    rule10_deadline_completes_a_request_that_runs,
    rule10_deadline_stops_an_engine_that_can_be_stopped,
    rule11_dropped_handle_takes_its_request_out_of_the_queue,
    rule11_dropped_handle_lets_an_engine_run_on,
    rule11_dropped_handle_stops_an_engine_that_can_be_stopped,
    rule11_stop_ends_one_inference_only,
);

fn assert_breaks(name: &str, planted: Subject) {
    let rule = rule(name);
    let caught = std::thread::spawn(move || conformance::check(planted, rule)).join();
    assert!(caught.is_err(), "{name} did not notice");
}

fn assert_breaks_rule_3(planted: Subject) {
    assert_breaks("rule3_many_submits_before_the_first_wait", planted);
}

/// Fails unless rule `name` finds `pool`, the pool with a planted bug, wrong by a failure that contains `report`.
fn assert_finds(name: &str, pool: MakePool, report: &str) {
    let rule = rule(name);
    let broken = Subject { pool, ..subject() };
    // A bug that hangs shows only by this.
    let limit = Duration::from_secs(if report == "the rule hung" { 4 } else { 100 });
    let caught = std::thread::spawn(move || conformance::check_within(limit, broken, rule)).join();
    let panic = caught.expect_err("the rule did not notice the bug");
    let message = panic_message(panic.as_ref());
    assert!(
        message.contains(report),
        "found by something else: {message}"
    );
}

macro_rules! broken {
    ($bug:ident) => {
        |info, engines| Box::new(BrokenPool::new(info, engines, Bug::$bug))
    };
}

#[test]
fn the_suite_notices_an_input_that_is_released_late() {
    let rule = "rule1_input_is_released_before_completion";
    let report = "the input is still held";
    assert_finds(rule, broken!(InputReleasedLate), report);
}

#[test]
fn the_suite_notices_a_panic_that_keeps_its_slot() {
    let rule = "rule4_panic_frees_its_slot";
    assert_finds(rule, broken!(PermitLeaksOnPanic), "the rule hung");
}

#[test]
fn the_suite_notices_a_waker_that_kills_a_slot() {
    let rule = "rule5_panic_of_a_waker_leaves_the_slots";
    assert_finds(rule, broken!(WakerPanicKillsSlot), "the rule hung");
}

#[test]
fn the_suite_notices_a_wait_all_that_counts() {
    let rule = "rule6_wait_all_waits_for_the_oldest";
    let report = "wait_all ended before the oldest";
    assert_finds(rule, broken!(WatermarkCounts), report);
}

#[test]
fn the_suite_notices_a_queue_that_runs_at_drop() {
    let rule = "rule7_drop_runs_no_queued_request";
    assert_finds(rule, broken!(QueueRunsAtDrop), "the rule hung");
}

#[test]
fn the_suite_notices_an_output_that_is_not_checked() {
    let rule = "rule8_wrong_output_never_reaches_the_caller";
    let report = "a wrong output reached the caller: Rank";
    assert_finds(rule, broken!(OutputUnchecked), report);
}

/// The rules find the bugs and not the copy of the pool.
#[test]
fn the_broken_pool_without_a_bug_passes() {
    for name in [
        "rule1_input_is_released_before_completion",
        "rule4_panic_frees_its_slot",
        "rule5_panic_of_a_waker_leaves_the_slots",
        "rule6_wait_all_waits_for_the_oldest",
        "rule7_drop_runs_no_queued_request",
        "rule8_wrong_output_never_reaches_the_caller",
    ] {
        let pool: MakePool = broken!(None);
        conformance::check(Subject { pool, ..subject() }, rule(name));
    }
}

/// An engine that mixes up results must not pass.
#[test]
fn the_suite_notices_a_wrong_result() {
    let planted = Subject {
        open: Box::new(|| {
            let backend = MockBackend::builder().slots(2).respond(|call, input| {
                Ok(if call == 5 {
                    expected(0)
                } else {
                    double(input)
                })
            });
            Box::new(backend.build().unwrap())
        }),
        ..subject()
    };
    assert_breaks_rule_3(planted);
}

/// A backend whose `wait_all` returns at once must not pass.
#[test]
fn the_suite_notices_a_wait_all_that_does_not_wait() {
    #[derive(Debug)]
    struct Hasty(SlotPool);

    #[backend_api::async_trait]
    impl InferBackend for Hasty {
        fn info(&self) -> &BackendInfo {
            self.0.info()
        }
        async fn submit(
            &self,
            request: backend_api::InferRequest,
        ) -> Result<backend_api::PendingInfer, Error> {
            self.0.submit(request).await
        }
        async fn wait_all(&self) {}
    }

    struct Slow;
    impl Engine for Slow {
        fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
            std::thread::sleep(Duration::from_millis(50));
            Ok(InferOutput::new(double(input)))
        }
    }

    let planted = Subject {
        open: Box::new(|| {
            Box::new(Hasty(
                SlotPool::new(mock().info().clone(), vec![Slow, Slow]).unwrap(),
            ))
        }),
        ..subject()
    };
    assert_breaks_rule_3(planted);
}

/// An engine that can be stopped, and keeps one flag for each inference.
struct Stoppable {
    stopped: Arc<AtomicBool>,
    /// A planted fault: the flag stays the same.
    keeps_flag: bool,
}

impl Engine for Stoppable {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        if self.stopped.swap(false, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::InferenceFailed, "stopped"));
        }
        Ok(InferOutput::new(double(input)))
    }

    fn stopper(&mut self) -> Option<Stopper> {
        if !self.keeps_flag {
            self.stopped = Arc::default();
        }
        let stopped = Arc::clone(&self.stopped);
        Some(Box::new(move || stopped.store(true, Ordering::SeqCst)))
    }
}

fn stoppable(keeps_flag: bool) -> Subject {
    Subject {
        parts: Box::new(move || {
            let engine = || Stoppable {
                stopped: Arc::default(),
                keeps_flag,
            };
            let engines = (0..3).map(|_| Box::new(engine()) as Box<dyn Engine>);
            (mock().info().clone(), engines.collect())
        }),
        ..subject()
    }
}

#[test]
fn an_engine_that_can_be_stopped_keeps_every_rule() {
    for (_, rule) in RULES {
        conformance::check(stoppable(false), *rule);
    }
}

/// An engine must not pass if a late stop hits its next inference.
#[test]
fn the_suite_notices_a_stop_of_the_next_inference() {
    assert_breaks("rule11_stop_ends_one_inference_only", stoppable(true));
}

#[tokio::test]
async fn works_on_tokio_too() {
    let backend = mock();
    let pending = backend
        .submit(backend_api::InferRequest::new(4, input(4)))
        .await
        .unwrap();
    backend.wait_all().await;
    assert!(pending.await.unwrap().tensor == expected(4));
}

#[test]
fn a_pool_without_engines_is_rejected() {
    let info = mock().info().clone();
    let error = SlotPool::new(info, Vec::<Doubler>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
