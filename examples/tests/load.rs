//! The service under load: more clients than it serves at a time, slow clients, broken clients, and SIGTERM among them.
//! 200 requests here, 10,000 with `cargo faults`.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use classify_tests::{Needs, ensure};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::service::{MOST_REQUESTS, Service, labelled};

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    vec![set_up.test("service::no_accepted_request_is_lost_under_load", load)]
}

/// The ends of requests.
#[derive(Debug, Default)]
struct Ends {
    /// With the right class.
    answered: AtomicUsize,
    /// With the error of the deadline, which load may bring about.
    late: AtomicUsize,
    /// With the error of a body that is not an image.
    rejected: AtomicUsize,
    /// Broken off by the client.
    broken: AtomicUsize,
    /// Not accepted, because the service was asked to stop.
    refused: AtomicUsize,
}

/// Adds one to a count.
fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

fn load() -> Result<(), Failed> {
    let is_full = std::env::var_os("CLASSIFY_TEST_COUNTS").is_some_and(|counts| counts == "full");
    let requests = if is_full { 10_000 } else { 200 };
    let mut service = Service::start()?;
    let photos = labelled()?;
    let (next, ends) = (AtomicUsize::new(0), Ends::default());
    // True before the signal is sent: a request that begins later may be refused.
    let is_stopping = AtomicBool::new(false);
    let process = Pid::from_child(&service.child);
    let client = || -> Result<(), Failed> {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= requests {
                return Ok(());
            }
            // The last tenth comes after the signal.
            if number == requests - requests / 10 {
                is_stopping.store(true, Ordering::SeqCst);
                kill_process(process, Signal::TERM)?;
            }
            let (photo, class) = &photos[number % photos.len()];
            request(&service, number, photo, *class, &ends, &is_stopping)
                .map_err(|failed| format!("request {number}: {failed:?}"))?;
        }
    };
    // Twice as many as the service serves at a time.
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2 * MOST_REQUESTS)
            .map(|_| scope.spawn(client))
            .collect();
        let mut clients = clients.into_iter();
        clients.try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    let status = service.child.wait()?;
    ensure(status.success(), (status, &ends))?;
    println!("service: {requests} requests: {ends:?}");
    let ended = [
        &ends.answered,
        &ends.late,
        &ends.rejected,
        &ends.broken,
        &ends.refused,
    ];
    let all: usize = ended.iter().map(|ended| ended.load(Ordering::SeqCst)).sum();
    let are_tried = ended[..1].iter().chain(&ended[2..]);
    let are_tried = are_tried
        .clone()
        .all(|ended| ended.load(Ordering::SeqCst) > 0);
    ensure(all == requests && are_tried, ends)
}

/// Sends a request. Every eighth client is broken, every fifth slow.
fn request(
    service: &Service,
    number: usize,
    photo: &[u8],
    class: u64,
    ends: &Ends,
    is_stopping: &AtomicBool,
) -> Result<(), Failed> {
    if number % 16 == 7 {
        // Bytes that are no HTTP, as of TLS, and a head without an end.
        let bytes: &[u8] = if number % 32 == 7 {
            b"\x16\x03\x01\x02\x00\x01"
        } else {
            b"POST /cla"
        };
        if let Ok(mut stream) = TcpStream::connect(service.address) {
            let _ = stream.write_all(bytes);
        }
        count(&ends.broken);
        return Ok(());
    }
    let text = b"this is text";
    let is_text = number % 16 == 3;
    let body = if is_text { text } else { photo };
    let accepted = service.announce(body.len()).map_err(Failed::from);
    let accepted = accepted.and_then(|mut connection| {
        connection.expect_consent()?;
        Ok(connection)
    });
    let mut connection = match accepted {
        Ok(connection) => connection,
        Err(_) if is_stopping.load(Ordering::SeqCst) => {
            count(&ends.refused);
            return Ok(());
        }
        Err(failed) => return Err(failed),
    };
    if number % 16 == 15 {
        // In the middle of the body.
        let _ = connection.send(&body[..body.len() / 2]);
        count(&ends.broken);
        return Ok(());
    }
    let pieces = if number.is_multiple_of(5) { 4 } else { 1 };
    for piece in body.chunks(body.len().div_ceil(pieces)) {
        connection.send(piece)?;
        if pieces > 1 {
            thread::sleep(Duration::from_millis(20));
        }
    }
    // From here on it is accepted: an answer must come, also after the signal.
    let answer = connection.answer()?;
    if answer.status == 503 {
        answer.expect_error(503, "deadline-exceeded")?;
        count(&ends.late);
    } else if is_text {
        answer.expect_error(422, "unknown-format")?;
        count(&ends.rejected);
    } else {
        let best = answer.best()?;
        ensure(best == class, (best, class))?;
        count(&ends.answered);
    }
    Ok(())
}
