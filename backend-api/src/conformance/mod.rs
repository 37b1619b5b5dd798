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
mod subject;
mod switch;
mod teardown;
mod time;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use subject::WRAPPERS;
pub use subject::{MakePool, Parts, Subject, slot_pool};
use time::{DEADLINE, patiently};

/// A rule of the contract. It panics if `subject` breaks it, and names the difference.
pub type Rule = fn(&Subject);

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
