//! Crashes, hangs and limits.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backend_api::{BlockingInfer as _, Error, ErrorKind, InferBackend as _, InferRequest};
use classify_tests::{doubled, doubling_input, ensure};
use engine_isolation::{Isolated, Isolation};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::engine::{self, Config, Misdeed, PAUSE, SLOTS, assert_doubled, isolation};

pub fn trials() -> Vec<Trial> {
    let tests: [(&'static str, fn() -> Result<(), Failed>); 26] = [
        ("a_signal_is_named_and_the_next_request_is_answered", signal),
        ("stderr_is_quoted_without_control_characters", stderr),
        ("an_exit_code_is_named", exit_code),
        ("a_request_that_hangs_ends_at_the_timeout", hang),
        (
            "a_request_that_waits_for_others_has_time_for_all",
            waiting_request,
        ),
        ("memory_beyond_the_limit_is_an_error", memory),
        ("cpu_time_beyond_the_limit_is_an_error", cpu_time),
        ("errors_and_panics_of_the_engine_cost_no_child", own_errors),
        (
            "a_crash_costs_the_requests_in_flight_and_no_others",
            in_flight,
        ),
        ("a_child_killed_between_requests_costs_none", between),
        ("too_many_restarts_end_the_backend", restarts),
        ("restarts_without_a_result_end_the_backend", fruitless),
        ("a_result_between_restarts_keeps_the_backend", fruitful),
        ("no_restart_may_be_allowed", no_restart),
        ("a_changed_model_is_not_opened_again", changed_model),
        ("the_end_names_the_limits_that_may_be_too_low", limits),
        ("a_start_that_fails_costs_no_request", failed_start),
        (
            "an_engine_that_cannot_be_opened_again_ends_the_backend",
            not_opened_again,
        ),
        ("a_restart_that_hangs_is_the_last_one", late_restart),
        ("the_engines_error_while_opening_is_kept", open_error),
        ("a_panic_while_opening_is_an_error", open_panic),
        ("an_abort_while_opening_is_an_error", open_abort),
        ("opening_ends_at_its_timeout", open_hang),
        (
            "a_process_that_cannot_be_started_says_what_to_allow",
            no_process,
        ),
        ("a_large_input_is_rejected", large_input),
        ("a_killed_parent_leaves_no_child", orphan),
    ];
    tests.map(|(name, test)| Trial::test(name, test)).into()
}

fn no_process() -> Result<(), Failed> {
    for (kind, expected, words) in [
        (
            io::ErrorKind::WouldBlock,
            ErrorKind::ResourceExhausted,
            "`ulimit -u`",
        ),
        (
            io::ErrorKind::NotFound,
            ErrorKind::InvalidConfig,
            "/proc is mounted",
        ),
        (
            io::ErrorKind::Other,
            ErrorKind::InvalidConfig,
            "/proc is mounted",
        ),
    ] {
        let start = move || Err(kind.into());
        let error = bad(|isolation| isolation.command = Arc::new(start)).unwrap_err();
        ensure(error.kind() == expected, &error)?;
        ensure(error.hint().is_some_and(|it| it.contains(words)), error)?;
    }
    Ok(())
}

fn bad(change: impl FnOnce(&mut Isolation)) -> Result<Isolated, Error> {
    let mut isolation = isolation();
    change(&mut isolation);
    Isolated::open(&Config::Bad, &isolation)
}

/// Has the engine do it. Returns the error, whose kind is checked.
fn crash(backend: &Isolated, misdeed: Misdeed) -> Result<Error, Failed> {
    let error = backend.infer_blocking(misdeed.input()).unwrap_err();
    ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
    Ok(error)
}

fn signal() -> Result<(), Failed> {
    let backend = bad(|_| ())?;
    let error = crash(&backend, Misdeed::Segfault)?;
    ensure(error.to_string().contains("was ended by SIGSEGV"), &error)?;
    assert_doubled(&backend, 1);
    Ok(())
}

fn stderr() -> Result<(), Failed> {
    let backend = bad(|_| ())?;
    let text = crash(&backend, Misdeed::Abort)?.to_string();
    let words = "was ended by SIGABRT (stderr: first line; ?[31mterminate called?[0m)";
    ensure(text.contains(words), text)
}

fn exit_code() -> Result<(), Failed> {
    let backend = bad(|_| ())?;
    let error = crash(&backend, Misdeed::Exit)?;
    ensure(error.to_string().contains("ended with exit code 3"), error)
}

fn hang() -> Result<(), Failed> {
    let backend = bad(|isolation| isolation.timeout = Duration::from_millis(200))?;
    let error = crash(&backend, Misdeed::Hang)?;
    let words = "did not answer within 200ms and was killed";
    ensure(error.to_string().contains(words), &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(
        hint.ends_with("or it needs more than the 200ms of `Isolation::timeout`"),
        hint,
    )
}

fn waiting_request() -> Result<(), Failed> {
    // The last request waits for two others one after the other, and ends later than twice this after it was sent.
    let spare = SLOTS + 1;
    let backend = bad(|isolation| {
        isolation.timeout = PAUSE * 5 / 4;
        isolation.spare_requests = spare;
    })?;
    ensure(backend.info().slots == SLOTS + spare, backend.info().slots)?;
    let submit = |n| {
        // They reach the child in this order.
        std::thread::sleep(Duration::from_millis(30));
        backend.submit_blocking(InferRequest::new(n, Misdeed::Pause.input()))
    };
    let all = 0..(SLOTS + spare) as u64;
    let pending: Vec<_> = all.map(submit).collect::<Result<_, _>>()?;
    for pending in pending {
        pending.wait()?;
    }
    Ok(())
}

fn memory() -> Result<(), Failed> {
    let backend = bad(|isolation| isolation.memory = Some(2 << 30))?;
    let error = crash(&backend, Misdeed::Allocate)?;
    let words = "was ended by SIGABRT (stderr: memory allocation of 3221225472 bytes failed";
    ensure(error.to_string().contains(words), &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(
        hint.contains("2147483648 bytes of `Isolation::memory`"),
        hint,
    )?;
    assert_doubled(&backend, 2);
    // The same request is no trouble without the limit: it is not something else that fails.
    bad(|_| ())?.infer_blocking(Misdeed::Allocate.input())?;
    Ok(())
}

fn cpu_time() -> Result<(), Failed> {
    let backend = bad(|isolation| isolation.cpu_time = Some(Duration::from_secs(1)))?;
    let error = crash(&backend, Misdeed::Compute)?;
    ensure(error.to_string().contains("SIGXCPU"), &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(
        hint.ends_with("or it needs more than the 1s of `Isolation::cpu_time`"),
        hint,
    )
}

fn own_errors() -> Result<(), Failed> {
    let backend = bad(|isolation| isolation.restarts = 0)?;
    for (misdeed, kind) in [
        (Misdeed::Error, ErrorKind::InferenceFailed),
        (Misdeed::Panic, ErrorKind::Panicked),
    ] {
        let error = backend.infer_blocking(misdeed.input()).unwrap_err();
        ensure(error.kind() == kind, &error)?;
        let hint = error.hint().unwrap_or_default();
        ensure(!hint.contains("Isolation"), hint)?;
        assert_doubled(&backend, 3);
    }
    let backend = bad(|isolation| isolation.memory = Some(2 << 30))?;
    let error = backend.infer_blocking(Misdeed::Error.input()).unwrap_err();
    let hint = error.hint().unwrap_or_default();
    let words = "; it may need more than the 2147483648 bytes of `Isolation::memory`";
    ensure(hint.ends_with(words), hint)
}

fn in_flight() -> Result<(), Failed> {
    let backend = bad(|_| ())?;
    let submit = |n, input| backend.submit_blocking(InferRequest::new(n, input));
    for round in 0..2_u64 {
        let hangs: Vec<_> = (1..SLOTS as u64)
            .map(|n| submit(n, Misdeed::Hang.input()))
            .collect::<Result<_, _>>()?;
        let crash = submit(0, Misdeed::Segfault.input())?;
        for pending in hangs.into_iter().chain([crash]) {
            let error = pending.wait().unwrap_err();
            ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
            ensure(error.to_string().contains("SIGSEGV"), error)?;
        }
        let good: Vec<_> = (0..20)
            .map(|n| submit(n, doubling_input(n + round)).map(|pending| (n, pending)))
            .collect::<Result<_, _>>()?;
        for (n, pending) in good {
            ensure(pending.wait()?.tensor == doubled(n + round), n)?;
        }
    }
    Ok(())
}

fn children() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let children = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let numbers = children.iter().flat_map(|line| line.split_whitespace());
    numbers
        .map(|number| number.parse().expect("a number"))
        .collect()
}

/// The engine tells the pid of its process, since other trials have children at the same time.
fn pid_of_child(backend: &Isolated) -> Result<Pid, Failed> {
    let output = backend.infer_blocking(engine::pid_input())?;
    let number = output.tensor.to_f32()[0] as i32;
    ensure(children().contains(&number), number)?;
    Pid::from_raw(number).ok_or_else(|| "no pid".into())
}

fn between() -> Result<(), Failed> {
    let backend = bad(|_| ())?;
    for n in 0..3 {
        let pid = pid_of_child(&backend)?;
        kill_process(pid, Signal::KILL)?;
        // The parent can see the end then.
        while is_alive(pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_doubled(&backend, n);
    }
    Ok(())
}

/// Checks that all requests fail, and returns the error, which is that of the backend.
fn ended(backend: &Isolated) -> Result<Error, Failed> {
    for n in 0..10 {
        let error = backend.infer_blocking(doubling_input(n)).unwrap_err();
        ensure(error.kind() == ErrorKind::EngineUnavailable, &error)?;
        let failure = backend.failure().ok_or("no failure")?;
        ensure(format!("{error:?}") == format!("{failure:?}"), error)?;
    }
    backend.failure().ok_or_else(|| "no failure".into())
}

/// Returns the error with its cause.
fn whole(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

fn restarts() -> Result<(), Failed> {
    let backend = bad(|isolation| {
        isolation.restarts = 2;
        isolation.restart_window = Duration::from_hours(1);
    })?;
    for _ in 0..3 {
        crash(&backend, Misdeed::Exit)?;
        // Another request would start the next child.
        ensure(backend.failure().is_none(), "it is only dead")?;
    }
    let error = ended(&backend)?;
    let text = "the process of the engine is not started again: it was restarted 2 times within 3600s: \
                the process of the engine ended with exit code 3";
    ensure(whole(&error) == text, &error)?;
    let hint = "use another model or engine, or leave out the input that ends the process: with `requests = 1` no other input fails with it";
    ensure(error.hint() == Some(hint), error)
}

/// A backend with two restarts, which do not end it by their time.
fn without_window() -> Result<Isolated, Error> {
    bad(|isolation| {
        isolation.restarts = 2;
        isolation.restart_window = Duration::ZERO;
        isolation.timeout = Duration::from_secs(5);
    })
}

fn fruitless() -> Result<(), Failed> {
    let backend = without_window()?;
    assert_doubled(&backend, 1);
    crash(&backend, Misdeed::Exit)?;
    // An error of the engine is no result.
    let error = backend.infer_blocking(Misdeed::Error.input()).unwrap_err();
    ensure(error.kind() == ErrorKind::InferenceFailed, error)?;
    crash(&backend, Misdeed::Hang)?;
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    let text = "the process of the engine is not started again: \
                it was restarted 2 times without a result in between: \
                the process of the engine ended with exit code 3";
    ensure(whole(&error) == text, error)
}

fn fruitful() -> Result<(), Failed> {
    let backend = without_window()?;
    for n in 0..3 {
        crash(&backend, Misdeed::Exit)?;
        crash(&backend, Misdeed::Exit)?;
        assert_doubled(&backend, n);
    }
    ensure(backend.failure().is_none(), "it works")
}

fn changed_model() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let model = directory.path().join("model.onnx");
    std::fs::write(&model, "one")?;
    let backend = bad(|isolation| isolation.readable = vec![model.clone()])?;
    crash(&backend, Misdeed::Exit)?;
    assert_doubled(&backend, 1);
    // A file of the same size in its place.
    let new = directory.path().join("new");
    std::fs::write(&new, "two")?;
    std::fs::rename(new, &model)?;
    assert_doubled(&backend, 2);
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    let text = format!(
        "the process of the engine is not started again: {} has changed since it was first opened: \
         the process of the engine ended with exit code 3",
        model.display()
    );
    ensure(whole(&error) == text, &error)?;
    let hint = "put the model back, or run all inputs again with the new one";
    ensure(error.hint() == Some(hint), error)
}

fn no_restart() -> Result<(), Failed> {
    let backend = bad(|isolation| isolation.restarts = 0)?;
    assert_doubled(&backend, 1);
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    ensure(
        whole(&error).contains("restarted 0 times within 60s"),
        error,
    )
}

fn limits() -> Result<(), Failed> {
    let backend = bad(|isolation| {
        isolation.restarts = 0;
        isolation.memory = Some(2 << 30);
        isolation.timeout = Duration::from_millis(200);
    })?;
    crash(&backend, Misdeed::Hang)?;
    let error = ended(&backend)?;
    let hint = error.hint().unwrap_or_default();
    let words = ", or raise `Isolation::memory` or `Isolation::timeout`";
    ensure(hint.ends_with(words), hint)?;
    let backend = bad(|isolation| {
        isolation.restarts = 0;
        isolation.cpu_time = Some(Duration::from_secs(100));
    })?;
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    let hint = error.hint().unwrap_or_default();
    ensure(hint.ends_with(", or raise `Isolation::cpu_time`"), hint)
}

/// A backend whose starts after the first one fail, `failures` times.
fn may_fail_to_open(restarts: usize, failures: usize) -> Result<Isolated, Error> {
    let mut isolation = isolation();
    isolation.restarts = restarts;
    let plain = Arc::clone(&isolation.command);
    let starts = AtomicUsize::new(0);
    isolation.command = Arc::new(move || {
        let mut command = plain()?;
        if (1..=failures).contains(&starts.fetch_add(1, Ordering::SeqCst)) {
            command.env(engine::FAILS, "1");
        }
        Ok(command)
    });
    Isolated::open(&Config::MayFailToOpen, &isolation)
}

fn failed_start() -> Result<(), Failed> {
    let backend = may_fail_to_open(3, 2)?;
    crash(&backend, Misdeed::Exit)?;
    assert_doubled(&backend, 1);
    ensure(backend.failure().is_none(), "it works")?;
    // The starts that failed are counted.
    crash(&backend, Misdeed::Exit)?;
    ended(&backend).map(drop)
}

fn not_opened_again() -> Result<(), Failed> {
    let backend = may_fail_to_open(3, usize::MAX)?;
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    let text = "the process of the engine is not started again: it was restarted 3 times within 60s \
                (before: the process of the engine ended with exit code 3): planned failure (model: a.onnx)";
    ensure(whole(&error) == text, &error)?;
    ensure(error.hint() == Some("planned hint"), error)
}

fn late_restart() -> Result<(), Failed> {
    let mut isolation = isolation();
    isolation.open_timeout = Duration::from_secs(5);
    let plain = Arc::clone(&isolation.command);
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    isolation.command = Arc::new(move || {
        let mut command = plain()?;
        if counted.fetch_add(1, Ordering::SeqCst) > 0 {
            command.env(engine::HANGS, "1");
        }
        Ok(command)
    });
    let backend = Isolated::open(&Config::MayFailToOpen, &isolation)?;
    crash(&backend, Misdeed::Exit)?;
    let error = ended(&backend)?;
    let text = "the process of the engine is not started again: the last restart took longer than 5s \
                (before: the process of the engine ended with exit code 3): \
                the process of the engine did not answer within 5s and was killed (while: opening the model)";
    ensure(whole(&error) == text, &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(hint.ends_with("raise `Isolation::open_timeout`"), hint)?;
    ensure(starts.load(Ordering::SeqCst) == 2, starts)
}

fn opened(config: Config, change: impl FnOnce(&mut Isolation)) -> Result<Error, Failed> {
    let mut isolation = isolation();
    change(&mut isolation);
    match Isolated::open(&config, &isolation) {
        Ok(_) => Err("it opened".into()),
        Err(error) => Ok(error),
    }
}

fn open_error() -> Result<(), Failed> {
    let error = opened(Config::FailsToOpen, |_| ())?;
    ensure(error.kind() == ErrorKind::ModelInvalid, &error)?;
    ensure(
        error.to_string() == "planned failure (model: a.onnx)",
        &error,
    )?;
    ensure(error.hint() == Some("planned hint"), error)
}

fn open_panic() -> Result<(), Failed> {
    let error = opened(Config::PanicsWhileOpening, |_| ())?;
    ensure(error.kind() == ErrorKind::Panicked, &error)?;
    ensure(error.to_string().contains("planned panic"), error)
}

fn open_abort() -> Result<(), Failed> {
    let error = opened(Config::AbortsWhileOpening, |_| ())?;
    ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
    let words = "was ended by SIGABRT (while: opening the model)";
    ensure(error.to_string().contains(words), error)
}

fn open_hang() -> Result<(), Failed> {
    let error = opened(Config::HangsWhileOpening, |isolation| {
        isolation.open_timeout = Duration::from_millis(500);
    })?;
    ensure(error.kind() == ErrorKind::EngineCrashed, &error)?;
    ensure(error.to_string().contains("did not answer within"), error)
}

fn large_input() -> Result<(), Failed> {
    let backend = bad(|isolation| {
        isolation.tensor_bytes = 8;
        isolation.restarts = 0;
    })?;
    for _ in 0..2 {
        let error = backend.infer_blocking(doubling_input(0)).unwrap_err();
        ensure(error.kind() == ErrorKind::InputMismatch, &error)?;
        let words = "the input has 16 bytes, but an isolated engine takes 8";
        ensure(error.to_string().contains(words), error)?;
    }
    Ok(())
}

/// The variable with which this program is a parent that waits to be killed.
pub const PARENT: &str = "ENGINE_ISOLATION_TEST_PARENT";

/// Opens a backend whose engine hangs, prints the pid of the child, and waits.
pub fn wait_to_be_killed() {
    let backend = bad(|_| ()).expect("a backend");
    let pid = pid_of_child(&backend).expect("a child");
    println!("{}", pid.as_raw_nonzero());
    let pending = backend.submit_blocking(InferRequest::new(0, Misdeed::Hang.input()));
    let _ = pending.expect("accepted").wait();
}

fn orphan() -> Result<(), Failed> {
    let mut parent = Command::new(std::env::current_exe()?)
        .env(PARENT, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let mut output = BufReader::new(parent.stdout.take().ok_or("no stdout")?);
    output.read_line(&mut line)?;
    let child = Pid::from_raw(line.trim().parse()?).ok_or("no pid")?;
    ensure(test_kill_process(child).is_ok(), "there is no child")?;
    parent.kill()?;
    parent.wait()?;
    output.read_to_string(&mut line)?;
    // Ends when the child does; a hung test is a failed one.
    while is_alive(child) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Returns whether a process runs. Where nobody waits for it, a dead one keeps its number, and its first thread may end
/// before the others.
fn is_alive(pid: Pid) -> bool {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    let threads = std::fs::read_dir(format!("{directory}/task")).map_or(0, Iterator::count);
    let stat = std::fs::read_to_string(format!("{directory}/stat"));
    threads > 1 || stat.is_ok_and(|stat| !stat.contains(") Z "))
}
