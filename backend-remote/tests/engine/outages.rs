//! Servers that are gone for good, overloaded, or whose replies are not messages.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use backend_api::{BlockingInfer as _, ErrorKind, InferBackend as _, InferRequest};
use classify_test_server::{Act, Code, Options, TestServer};
use classify_tests::models::error;
use classify_tests::{doubling_input, ensure};
use libtest_mimic::{Failed, Trial};

use super::faults::{fail, infer_error};
use super::{config, doubling, ensure_doubles, open};

pub fn trials() -> Vec<Trial> {
    let all: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("servers_that_are_gone_end_the_backend", gone),
        ("unavailable_is_tried_again_until_the_limit", unavailable),
        ("stalled_servers_end_the_backend", stalled),
        (
            "overload_is_tried_again_a_bounded_number_of_times",
            overload,
        ),
        (
            "a_denied_request_among_others_fails_alone",
            denied_among_others,
        ),
        ("permission_denied_to_all_ends_the_backend", denied_to_all),
        (
            "a_server_that_denies_access_costs_no_request_if_another_serves",
            denied_by_one,
        ),
        ("undecodable_descriptions_are_errors", undecodable),
    ];
    let all = all.into_iter();
    all.map(|(name, test)| Trial::test(name, test)).collect()
}

/// All requests fail with the same error, those that wait and those that come later.
fn gone() -> Result<(), Failed> {
    let mut server = TestServer::start(doubling());
    let mut config = config(&server);
    config.outage = Some(Duration::from_millis(300));
    config.requests = Some(3);
    let backend = open(&config)?;
    ensure_doubles(&backend)?;
    ensure(backend.failure().is_none(), "it works")?;
    server.kill();
    let start = Instant::now();
    let pending: Vec<_> = (0..30)
        .map(|number| backend.submit_blocking(InferRequest::new(number, doubling_input(number))))
        .collect::<Result<_, _>>()?;
    let expected = format!("no server has served a request for 0.3 s: {}", server.url());
    for pending in pending {
        let error = error(pending.wait(), ErrorKind::EngineUnavailable)?;
        let text = error.to_string();
        let is_whole = text.starts_with(&expected) && text.contains("last error: grpc://");
        ensure(is_whole, &error)?;
        let hint = error.hint().unwrap_or_default();
        ensure(hint.starts_with("check that the server runs"), &error)?;
    }
    // The retries of each request alone took 4 s.
    ensure(start.elapsed() < Duration::from_secs(3), start.elapsed())?;
    let failure = backend.failure().ok_or("no failure")?;
    ensure(failure.to_string().starts_with(&expected), failure)
}

fn unavailable() -> Result<(), Failed> {
    let fails = |number| {
        if number < 3 {
            fail(Code::Unavailable)
        } else {
            Act::Run
        }
    };
    let server = TestServer::start(doubling().behavior(fails));
    ensure_doubles(&open(&config(&server))?)?;
    ensure(server.inferences() == 4, server.inferences())?;
    let server = TestServer::start(doubling().behavior(|_| fail(Code::Unavailable)));
    let mut config = config(&server);
    config.outage = Some(Duration::from_millis(300));
    let error = infer_error(&config, ErrorKind::EngineUnavailable)?;
    ensure(error.to_string().contains("planned"), &error)?;
    ensure(server.inferences() > 2, server.inferences())
}

/// One request without an answer is not enough, two in a row are.
fn stalled() -> Result<(), Failed> {
    let server = TestServer::start(
        doubling().behavior(|number| if number == 1 { Act::Run } else { Act::Stall }),
    );
    let mut config = config(&server);
    config.timeout = Duration::from_millis(400);
    config.requests = Some(1);
    let backend = open(&config)?;
    let infer = |kind| error(backend.infer_blocking(doubling_input(1)), kind);
    infer(ErrorKind::DeadlineExceeded)?;
    ensure_doubles(&backend)?;
    infer(ErrorKind::DeadlineExceeded)?;
    ensure(backend.failure().is_none(), "one request")?;
    infer(ErrorKind::DeadlineExceeded)?;
    ensure(backend.failure().is_some(), "two requests")?;
    let error = infer(ErrorKind::EngineUnavailable)?;
    ensure(error.to_string().contains("for 0.2 s"), error)
}

fn overload() -> Result<(), Failed> {
    let busy = |until| {
        TestServer::start(doubling().behavior(move |number| {
            if number < until {
                fail(Code::ResourceExhausted)
            } else {
                Act::Run
            }
        }))
    };
    let server = busy(2);
    ensure_doubles(&open(&config(&server))?)?;
    ensure(server.inferences() == 3, server.inferences())?;
    let server = busy(u64::MAX);
    let mut config = config(&server);
    config.retries = 2;
    let backend = open(&config)?;
    let failed = backend.infer_blocking(doubling_input(1));
    let error = error(failed, ErrorKind::ResourceExhausted)?;
    let text = error.to_string();
    ensure(
        text.contains("is overloaded: planned") && text.contains("retries: 2"),
        &error,
    )?;
    ensure(
        error.hint().is_some_and(|hint| hint.contains("`requests`")),
        &error,
    )?;
    ensure(server.inferences() == 3, server.inferences())?;
    ensure(backend.failure().is_none(), "no long time")?;
    // Refusals alone are as good as no server.
    config.retries = 60;
    config.outage = Some(Duration::from_millis(300));
    let backend = open(&config)?;
    let failed = backend.infer_blocking(doubling_input(1));
    let error = self::error(failed, ErrorKind::EngineUnavailable)?;
    ensure(error.to_string().contains("is overloaded: planned"), &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(hint.contains("fewer `requests`"), &error)
}

/// Returns what a server does that denies access for the inferences that `is_denied` holds for.
fn denies(is_denied: impl Fn(u64) -> bool + Send + Sync + 'static) -> Options {
    doubling().behavior(move |number| {
        if is_denied(number) {
            fail(Code::PermissionDenied)
        } else {
            Act::Run
        }
    })
}

fn denied_among_others() -> Result<(), Failed> {
    let server = TestServer::start(denies(|number| number % 2 == 1));
    let mut config = config(&server);
    config.requests = Some(1);
    config.outage = Some(Duration::ZERO);
    let backend = open(&config)?;
    for _ in 0..5 {
        ensure_doubles(&backend)?;
        let denied = backend.infer_blocking(doubling_input(1));
        let denied = error(denied, ErrorKind::EngineUnavailable)?;
        ensure(denied.to_string().contains("planned"), &denied)?;
        ensure(backend.failure().is_none(), denied)?;
    }
    ensure(server.inferences() == 10, server.inferences())
}

/// Only the first request after those that were served fails alone.
fn denied_to_all() -> Result<(), Failed> {
    let server = TestServer::start(denies(|number| number > 0));
    let mut config = config(&server);
    config.requests = Some(1);
    config.outage = Some(Duration::from_millis(300));
    let backend = open(&config)?;
    ensure_doubles(&backend)?;
    let denied = || {
        let denied = backend.infer_blocking(doubling_input(1));
        error(denied, ErrorKind::EngineUnavailable)
    };
    denied()?;
    ensure(backend.failure().is_none(), "one request")?;
    let error = denied()?;
    let words = "no server has served a request for 0.3 s";
    ensure(error.to_string().starts_with(words), &error)?;
    ensure(backend.failure().is_some(), error)
}

fn denied_by_one() -> Result<(), Failed> {
    let servers = [denies(|number| number > 0), doubling()].map(TestServer::start);
    let mut config = config(&servers[0]);
    config.endpoints.push(servers[1].url());
    let backend = open(&config)?;
    for _ in 0..20 {
        ensure_doubles(&backend)?;
    }
    ensure(servers[0].inferences() > 1, "it denied nothing")
}

/// A proxy that damages a text in the replies of `server`: no string of the protocol has these bytes.
fn damaging(server: &TestServer, text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let address = server.address();
    // It ends with the test's process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect(address)) else {
                return;
            };
            let (mut questions, mut to) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut questions, &mut to));
            thread::spawn(move || {
                let mut bytes = [0; 10_000];
                while let Ok(count @ 1..) = server.read(&mut bytes) {
                    let mut reply = bytes[..count].to_vec();
                    let mut windows = reply.windows(text.len());
                    if let Some(place) = windows.position(|part| part == text.as_bytes()) {
                        reply[place..place + text.len()].fill(0xff);
                    }
                    if client.write_all(&reply).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Treats a description that cannot be read as an error, not as one that the server leaves out.
fn undecodable() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    for text in ["1.2.3", "input"] {
        let mut config = config(&server);
        config.endpoints = vec![damaging(&server, text)];
        let error = error(open(&config), ErrorKind::EngineUnavailable)?;
        ensure(
            error.to_string().contains("cannot be decoded"),
            (text, &error),
        )?;
        let hint = error.hint().unwrap_or_default();
        ensure(hint.contains("Open Inference Protocol"), &error)?;
    }
    Ok(())
}
