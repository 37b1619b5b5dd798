//! Servers that fail.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use backend_api::{BlockingInfer as _, Error, ErrorKind, InferBackend as _, InferRequest};
use backend_remote::RemoteConfig;
use classify_test_server::protocol::ModelInferResponse;
use classify_test_server::{Act, Code, TestServer};
use classify_tests::models::error;
use classify_tests::{doubled, doubling_input, ensure};
use libtest_mimic::{Failed, Trial};

use super::{config, doubling, ensure_doubles, open};

pub fn trials() -> Vec<Trial> {
    let all: [(&str, fn() -> Result<(), Failed>); 19] = [
        ("requests_go_to_all_servers", balance),
        ("killed_server_loses_no_image", killed),
        ("server_that_comes_back_loses_no_image", restarted),
        ("server_that_is_away_is_noted_and_used_when_it_comes", away),
        (
            "servers_with_different_models_are_refused",
            different_models,
        ),
        ("other_failures_are_not_tried_again", other_failures),
        ("stalled_server_meets_the_timeout", stalled),
        ("deadline_of_a_request_ends_its_call", deadline),
        ("limit_of_the_server_is_named", limit_of_the_server),
        ("reply_beyond_max_message_is_refused", large_reply),
        ("damaged_replies_are_refused", damaged),
        ("other_outputs_than_described_are_refused", other_outputs),
        ("reply_of_another_version_is_refused", other_version),
        ("reply_to_another_request_is_refused", other_request),
        (
            "server_whose_model_is_not_ready_is_noted_and_others_do_its_work",
            not_ready,
        ),
        ("connection_lost_within_a_reply_loses_no_image", cut_reply),
        (
            "server_that_ends_between_two_questions_is_noted",
            ended_between_questions,
        ),
        ("unknown_model_is_not_found", unknown_model),
        ("server_of_another_protocol_is_an_error", other_protocol),
    ];
    let all = all.into_iter();
    all.map(|(name, test)| Trial::test(name, test)).collect()
}

fn on_both(servers: &[TestServer; 2]) -> RemoteConfig {
    let mut config = config(&servers[0]);
    config.endpoints.push(servers[1].url());
    config
}

/// Infers `count` images with all slots busy, and calls `midway` before the image in the middle.
fn infer_many(config: &RemoteConfig, count: u64, midway: impl FnOnce()) -> Result<(), Failed> {
    let backend = open(config)?;
    let mut midway = Some(midway);
    let mut pending = Vec::new();
    for number in 0..count {
        if number == count / 2
            && let Some(midway) = midway.take()
        {
            midway();
        }
        pending.push(backend.submit_blocking(InferRequest::new(number, doubling_input(number)))?);
    }
    for (number, pending) in (0..).zip(pending) {
        let output = pending.wait()?;
        ensure(output.tensor == doubled(number), (number, output))?;
    }
    Ok(())
}

fn balance() -> Result<(), Failed> {
    let servers = [(); 2].map(|()| TestServer::start(doubling()));
    infer_many(&on_both(&servers), 100, || ())?;
    let done = servers.each_ref().map(TestServer::inferences);
    ensure(
        done[0] + done[1] == 100 && done.iter().all(|done| *done > 20),
        done,
    )
}

/// The server ends while it has requests that it has not answered.
fn killed() -> Result<(), Failed> {
    let slow = doubling().behavior(|_| {
        thread::sleep(Duration::from_millis(1));
        Act::Run
    });
    // From request 20 on the first one holds what it gets.
    let holding = doubling().behavior(|number| if number < 20 { Act::Run } else { Act::Stall });
    let [first, second] = [holding, slow].map(TestServer::start);
    let config = {
        let mut config = config(&first);
        config.endpoints.push(second.url());
        config
    };
    let first = Arc::new(Mutex::new(first));
    let watched = Arc::clone(&first);
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    // All requests may be held when the server is killed: that is the point.
    let killer = thread::spawn(move || {
        while !over.load(Ordering::SeqCst) {
            let mut first = watched.lock().unwrap();
            if first.inferences() > 20 {
                first.kill();
                return true;
            }
            drop(first);
            thread::sleep(Duration::from_millis(1));
        }
        false
    });
    let result = infer_many(&config, 400, || ());
    is_over.store(true, Ordering::SeqCst);
    let was_killed = killer.join().unwrap();
    result?;
    ensure(was_killed, "the server was not killed in mid-run")?;
    ensure(second.inferences() >= 379, second.inferences())
}

fn restarted() -> Result<(), Failed> {
    let mut server = TestServer::start(doubling());
    let mut config = config(&server);
    // As long as no server answers anything, the retries do not count.
    config.retries = 1;
    let backend = open(&config)?;
    ensure_doubles(&backend)?;
    let address = server.address();
    server.kill();
    let pending = backend.submit_blocking(InferRequest::new(0, doubling_input(7)))?;
    // The request meets a port without a server first.
    thread::sleep(Duration::from_millis(600));
    let _server = TestServer::start_at(doubling(), address);
    ensure(
        pending.wait()?.tensor == doubled(7),
        "the request after the restart",
    )
}

fn away() -> Result<(), Failed> {
    let mut servers = [(); 2].map(|()| TestServer::start(doubling()));
    let config = on_both(&servers);
    let address = servers[1].address();
    servers[1].kill();
    let backend = open(&config)?;
    let notes = &backend.info().notes;
    let is_noted = notes.iter().any(|note| note.contains(&address.to_string()));
    ensure(is_noted, notes)?;
    ensure_doubles(&backend)?;
    servers[0].kill();
    servers[1] = TestServer::start_at(doubling(), address);
    ensure_doubles(&backend)?;
    ensure(servers[1].inferences() == 1, "the second server answers")?;
    servers[1].kill();
    let error = error(open(&config), ErrorKind::EngineUnavailable)?;
    ensure(error.to_string().contains("cannot be reached"), error)
}

fn different_models() -> Result<(), Failed> {
    let mut other = doubling();
    if let Some((_, outputs)) = &mut other.described {
        outputs[0].2 = vec![-1, 5];
    }
    let servers = [doubling(), other].map(TestServer::start);
    let error = error(open(&on_both(&servers)), ErrorKind::ModelUnsupported)?;
    ensure(error.to_string().contains("differently"), error)
}

pub fn fail(code: Code) -> Act {
    Act::Fail(code, "planned".to_owned())
}

/// Returns the error of an inference.
pub fn infer_error(config: &RemoteConfig, kind: ErrorKind) -> Result<Error, Failed> {
    let failed = open(config)?.infer_blocking(doubling_input(1));
    error(failed, kind)
}

fn other_failures() -> Result<(), Failed> {
    for (code, kind) in [
        (Code::Internal, ErrorKind::InferenceFailed),
        (Code::InvalidArgument, ErrorKind::InferenceFailed),
        (Code::NotFound, ErrorKind::ModelNotFound),
        (Code::Aborted, ErrorKind::InferenceFailed),
        (Code::DeadlineExceeded, ErrorKind::DeadlineExceeded),
    ] {
        let server = TestServer::start(doubling().behavior(move |_| fail(code)));
        let error = infer_error(&config(&server), kind)?;
        ensure(error.to_string().contains("planned"), &error)?;
        ensure(server.inferences() == 1, (code, server.inferences()))?;
    }
    Ok(())
}

fn stalled() -> Result<(), Failed> {
    let server = TestServer::start(doubling().behavior(|_| Act::Stall));
    let mut config = config(&server);
    config.timeout = Duration::from_millis(300);
    let error = infer_error(&config, ErrorKind::DeadlineExceeded)?;
    ensure(
        error.hint().unwrap_or_default().contains("`timeout`"),
        error,
    )
}

/// The slot of a request that ended at its deadline is free at once.
fn deadline() -> Result<(), Failed> {
    let stalls = |number| if number == 0 { Act::Stall } else { Act::Run };
    let server = TestServer::start(doubling().behavior(stalls));
    let mut config = config(&server);
    config.requests = Some(1);
    let backend = open(&config)?;
    let request = InferRequest::new(0, doubling_input(1)).with_timeout(Duration::from_millis(300));
    error(
        backend.submit_blocking(request)?.wait(),
        ErrorKind::DeadlineExceeded,
    )?;
    ensure_doubles(&backend)
}

fn limit_of_the_server() -> Result<(), Failed> {
    let mut options = doubling();
    options.limit = 10;
    let server = TestServer::start(options);
    let error = infer_error(&config(&server), ErrorKind::ResourceExhausted)?;
    ensure(error.to_string().contains("16 bytes"), &error)?;
    let hint = error.hint().unwrap_or_default();
    ensure(hint.contains("`max_message`, which is 4000000 bytes"), hint)
}

fn changed(change: impl Fn(&mut ModelInferResponse) + Clone + Send + Sync + 'static) -> TestServer {
    TestServer::start(doubling().behavior(move |_| Act::Change(Box::new(change.clone()))))
}

fn large_reply() -> Result<(), Failed> {
    let server = changed(|reply| reply.id = "x".repeat(200_000));
    let mut config = config(&server);
    config.max_message = 1000;
    let error = infer_error(&config, ErrorKind::ResourceExhausted)?;
    ensure(
        error.hint().unwrap_or_default().contains("`max_message`"),
        error,
    )
}

fn damaged() -> Result<(), Failed> {
    type Change = fn(&mut ModelInferResponse);
    let changes: [(Change, &str); 8] = [
        (
            |reply| {
                reply.outputs.push(reply.outputs[0].clone());
                let raw = reply.raw_output_contents[0].clone();
                reply.raw_output_contents.push(raw);
            },
            "the output \"output\" twice",
        ),
        (|reply| *reply = ModelInferResponse::default(), "no output"),
        (|reply| reply.raw_output_contents.clear(), "no elements"),
        (|reply| reply.raw_output_contents[0].truncate(3), "3 bytes"),
        (
            |reply| reply.raw_output_contents.push(Vec::new().into()),
            "it has 1 output, but 2 raw contents",
        ),
        (
            |reply| reply.outputs[0].shape = vec![-1, 4],
            "impossible shape",
        ),
        (
            |reply| reply.outputs[0].datatype = "\x1b[2J".into(),
            "unknown datatype",
        ),
        (
            |reply| reply.outputs[0].name = "other".into(),
            "no output \"output\", but other",
        ),
    ];
    for (change, word) in changes {
        let server = changed(change);
        let error = infer_error(&config(&server), ErrorKind::InferenceFailed)?;
        let text = error.to_string();
        ensure(text.contains(word) && !text.contains('\x1b'), (word, text))?;
    }
    // Some servers do not name the only output.
    let server = changed(|reply| reply.outputs[0].name.clear());
    ensure_doubles(&open(&config(&server))?)
}

fn other_outputs() -> Result<(), Failed> {
    type Change = fn(&mut ModelInferResponse);
    let changes: [(Change, &str); 2] = [
        (|reply| reply.outputs[0].shape = vec![4, 1], "f32[4, 1]"),
        (
            |reply| reply.outputs[0].datatype = "INT32".into(),
            "i32[1, 4]",
        ),
    ];
    for (change, given) in changes {
        let server = changed(change);
        let error = infer_error(&config(&server), ErrorKind::OutputMismatch)?;
        let words =
            format!("gave the output \"output\" as {given}, but the model declares f32[1, 4]");
        ensure(error.to_string().contains(&words), &error)?;
        let hint = error.hint().unwrap_or_default();
        ensure(hint.contains("correct its description on the server"), hint)?;
    }
    Ok(())
}

fn other_version() -> Result<(), Failed> {
    let changes = |number| match number {
        0 => Act::Run,
        _ => Act::Change(Box::new(|reply| reply.model_version = "2".into())),
    };
    let server = TestServer::start(doubling().behavior(changes));
    let backend = open(&config(&server))?;
    ensure_doubles(&backend)?;
    let second = backend.infer_blocking(doubling_input(1));
    let refused = error(second, ErrorKind::InferenceFailed)?;
    ensure(
        refused.hint().unwrap_or_default().contains("`version`"),
        refused,
    )
}

/// A server may give a reply an id of its own, but not the id of another request.
fn other_request() -> Result<(), Failed> {
    let own = changed(|reply| reply.id = "a server's own".into());
    ensure_doubles(&open(&config(&own))?)?;
    let server = TestServer::start(doubling().behavior(|number| match number {
        0 => Act::Run,
        _ => Act::Change(Box::new(|reply| {
            let place = reply.id.rfind('-').unwrap_or_default();
            reply.id.replace_range(place.., "-0");
        })),
    }));
    let backend = open(&config(&server))?;
    ensure_doubles(&backend)?;
    let second = backend.infer_blocking(doubling_input(1));
    let refused = error(second, ErrorKind::InferenceFailed)?;
    ensure(
        refused.to_string().contains("it answers the request"),
        refused,
    )
}

fn not_ready() -> Result<(), Failed> {
    let mut loading = doubling();
    loading.is_ready = false;
    let servers = [loading, doubling()].map(TestServer::start);
    let backend = open(&on_both(&servers))?;
    let notes = &backend.info().notes;
    let is_noted = notes.iter().any(|note| note.contains("is not ready"));
    ensure(is_noted, notes)?;
    ensure_doubles(&backend)?;
    let alone = error(open(&config(&servers[0])), ErrorKind::EngineUnavailable)?;
    ensure(alone.to_string().contains("is not ready"), alone)?;
    // This one describes its model already.
    let mut loading = doubling();
    loading.says_ready = Some(false);
    let servers = [loading, doubling()].map(TestServer::start);
    let backend = open(&on_both(&servers))?;
    let noted = format!("the model double on {} is not ready", servers[0].url());
    let notes = &backend.info().notes;
    ensure(
        notes.iter().any(|note| note.starts_with(&noted)),
        (notes, &noted),
    )?;
    ensure_doubles(&backend)?;
    let alone = error(open(&config(&servers[0])), ErrorKind::EngineUnavailable)?;
    ensure(alone.to_string().starts_with(&noted), alone)?;
    let mut silent = doubling();
    silent.says_ready = None;
    let silent = TestServer::start(silent);
    let backend = open(&config(&silent))?;
    ensure(backend.info().notes.is_empty(), backend.info())?;
    ensure_doubles(&backend)
}

/// A proxy before `server`, which cuts each connection after the bytes of the server that `bytes` gives for its number.
/// If `bytes` gives none, the proxy ends before that connection.
fn proxy(server: &TestServer, bytes: impl Fn(usize) -> Option<u64> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let address = server.address();
    // It ends with the test's process.
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(address)) else {
                return;
            };
            let (mut questions, mut to) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut questions, &mut to));
            let most = bytes(number).unwrap_or(0);
            thread::spawn(move || {
                let _ = std::io::copy(&mut (&server).take(most), &mut (&client));
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
            if bytes(number + 1).is_none() {
                return;
            }
        }
    });
    url
}

/// The connection ends after more and more bytes, so that it ends inside of every frame of a reply.
fn cut_reply() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let url = proxy(&server, |number| {
        Some(if number < 40 {
            600 + 7 * number as u64
        } else {
            u64::MAX
        })
    });
    let mut config = config(&server);
    config.endpoints = vec![url];
    config.retries = 60;
    config.outage = Some(Duration::from_mins(1));
    infer_many(&config, 30, || ())
}

/// The server answers the question about itself, and is gone before the one about its model.
fn ended_between_questions() -> Result<(), Failed> {
    let servers = [(); 2].map(|()| TestServer::start(doubling()));
    let mut is_lost = false;
    for bytes in (0..400).step_by(25) {
        let mut config = on_both(&servers);
        config.endpoints[0] = proxy(&servers[0], move |number| (number == 0).then_some(bytes));
        let backend = open(&config)?;
        ensure_doubles(&backend)?;
        let notes = &backend.info().notes;
        is_lost |= notes.iter().any(|note| note.contains("cannot be reached"));
    }
    ensure(is_lost, "no server was lost")
}

fn unknown_model() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let config = RemoteConfig::new(server.url(), "triple");
    let error = error(open(&config), ErrorKind::ModelNotFound)?;
    ensure(error.to_string().contains("no model triple"), error)
}

/// A server of HTTP/1.1 answers, but not in HTTP/2; another one closes the connection.
fn other_protocol() -> Result<(), Failed> {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // Few questions are asked of it; it ends with the test's process otherwise.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(answer);
            }
        });
        let mut config = RemoteConfig::new(format!("grpc://{address}"), "double");
        config.timeout = Duration::from_secs(20);
        let error = error(open(&config), ErrorKind::EngineUnavailable)?;
        let hint = error.hint().unwrap_or_default();
        ensure(hint.contains("port is that of gRPC"), &error)?;
    }
    Ok(())
}
