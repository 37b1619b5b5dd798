//! The service over plain TCP: limits, errors and the end.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use classify_tests::{Needs, ensure, library_dirs, photos, set_up};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::commands::program;

/// The limits that the example has.
const MOST_BYTES: usize = 16 << 20;
pub const MOST_REQUESTS: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A machine on which this takes longer has hung.
const PATIENCE: Duration = Duration::from_mins(1);

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("service::parallel_requests_get_their_own_answers", parallel),
        ("service::a_broken_image_is_an_error_of_its_own", broken),
        ("service::an_oversized_body_is_rejected", oversized),
        ("service::requests_beyond_the_limit_wait", limited),
        ("service::a_request_ends_at_its_deadline", late),
        (
            "service::sigterm_lets_accepted_requests_be_answered",
            stopped,
        ),
    ];
    tests.map(|(name, test)| set_up.test(name, test)).into()
}

/// A running service, which is killed when a test fails.
pub struct Service {
    pub child: Child,
    pub address: SocketAddr,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    pub fn start() -> Result<Self, Failed> {
        let mut command = Command::new(program("service"));
        command.arg(set_up("models/efficientnet-lite0.xml"));
        command.arg("127.0.0.1:0");
        command.env("VIRTUAL_ENV", &library_dirs()[0]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.parse().ok());
        let Some(address) = address else {
            child.kill()?;
            return Err(format!("the service printed {line:?}").into());
        };
        Ok(Self { child, address })
    }

    /// Sends the head of a request with a body of `length` bytes, and announces to wait for the service's consent.
    pub fn announce(&self, length: usize) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /classify HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends a whole request and returns the answer.
    fn post(&self, body: &[u8]) -> Result<Answer, Failed> {
        let mut connection = self.announce(body.len())?;
        connection.expect_consent()?;
        connection.send(body)?;
        connection.answer()
    }
}

/// A request that has begun.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Waits until the service is about to receive the body.
    pub fn expect_consent(&mut self) -> Result<(), Failed> {
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            self.0.read_line(line)?;
        }
        ensure(lines == ["HTTP/1.1 100 Continue\r\n", "\r\n"], lines)
    }

    pub fn send(&mut self, body: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(body)
    }

    pub fn answer(mut self) -> Result<Answer, Failed> {
        let mut text = String::new();
        self.0.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(text.as_str())?;
        let status = head.split(' ').nth(1).ok_or("a status")?.parse()?;
        Ok(Answer {
            status,
            body: body.to_owned(),
        })
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    body: String,
}

impl Answer {
    /// The best class of a request that went well.
    pub fn best(&self) -> Result<u64, Failed> {
        ensure(self.status == 200, self)?;
        let body: Value = serde_json::from_str(&self.body)?;
        let classes = body["classes"].as_array().ok_or("classes")?;
        ensure(classes.len() == 5, self)?;
        Ok(classes[0]["id"].as_u64().ok_or("a class id")?)
    }

    pub fn expect_error(&self, status: u16, code: &str) -> Result<(), Failed> {
        let body: Value = serde_json::from_str(&self.body)?;
        ensure(self.status == status && body["error"]["code"] == code, self)
    }
}

/// Photos of which the model knows the class, with their class ids.
pub fn labelled() -> Result<Vec<(Vec<u8>, u64)>, Failed> {
    let files = [
        ("n02123394_283_Persian_cat.jpg", 283),
        ("n02123597_284_Siamese_cat.jpg", 284),
        ("imagenet_04_949.jpg", 949),
        ("imagenet_08_915.jpg", 915),
        ("coffee.png", 967),
    ];
    let photos = photos()?;
    let mut labelled = Vec::new();
    for (name, class) in files {
        let path = photos.iter().find(|path| path.ends_with(name));
        labelled.push((fs::read(path.ok_or(name)?)?, class));
    }
    Ok(labelled)
}

fn parallel() -> Result<(), Failed> {
    let service = Service::start()?;
    let photos = labelled()?;
    // More requests than the service handles at a time.
    let requests: Vec<_> = photos.iter().cycle().take(MOST_REQUESTS + 8).collect();
    let answers: Vec<Result<u64, Failed>> = thread::scope(|scope| {
        let requests = requests.iter();
        let threads: Vec<_> = requests
            .map(|(photo, _)| scope.spawn(|| service.post(photo)?.best()))
            .collect();
        let threads = threads.into_iter();
        threads
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for ((_, class), answer) in requests.into_iter().zip(answers) {
        let answer = answer?;
        ensure(answer == *class, (class, answer))?;
    }
    Ok(())
}

fn broken() -> Result<(), Failed> {
    let service = Service::start()?;
    let (photo, class) = labelled()?.swap_remove(0);
    let noise = service.post(b"this is text")?;
    noise.expect_error(422, "unknown-format")?;
    service
        .post(&photo[..200])?
        .expect_error(422, "damaged-picture")?;
    ensure(service.post(&photo)?.best()? == class, class)
}

fn oversized() -> Result<(), Failed> {
    let service = Service::start()?;
    let (mut photo, class) = labelled()?.swap_remove(0);
    // Bytes after the end of a JPEG mean nothing.
    photo.resize(MOST_BYTES, 0);
    ensure(service.post(&photo)?.best()? == class, class)?;
    photo.push(0);
    let answer = service.post(&photo)?;
    ensure(answer.status == 413, answer)
}

fn limited() -> Result<(), Failed> {
    let service = Service::start()?;
    let (photo, class) = labelled()?.swap_remove(0);
    let mut handled = Vec::new();
    for _ in 0..MOST_REQUESTS {
        let mut connection = service.announce(photo.len())?;
        connection.expect_consent()?;
        handled.push(connection);
    }
    let mut waiting = service.announce(photo.len())?;
    let stream = waiting.0.get_ref().try_clone()?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let consent = waiting.expect_consent();
    ensure(consent.is_err(), "the body was received beyond the limit")?;
    stream.set_read_timeout(Some(PATIENCE))?;

    let mut first = handled.swap_remove(0);
    first.send(&photo)?;
    ensure(first.answer()?.best()? == class, class)?;
    waiting.expect_consent()?;
    waiting.send(&photo)?;
    ensure(waiting.answer()?.best()? == class, class)
}

fn late() -> Result<(), Failed> {
    let service = Service::start()?;
    let start = Instant::now();
    let mut connection = service.announce(1000)?;
    connection.expect_consent()?;
    connection.send(&[0; 500])?;
    let answer = connection.answer()?;
    answer.expect_error(503, "deadline-exceeded")?;
    let took = start.elapsed();
    ensure(took >= TIMEOUT && took < 2 * TIMEOUT, took)
}

fn stopped() -> Result<(), Failed> {
    let mut service = Service::start()?;
    let photos = labelled()?;
    let mut in_flight = Vec::new();
    for (photo, class) in &photos {
        let mut connection = service.announce(photo.len())?;
        connection.expect_consent()?;
        connection.send(&photo[..1000])?;
        in_flight.push((connection, &photo[1000..], *class));
    }
    kill_process(Pid::from_child(&service.child), Signal::TERM)?;
    // It takes no new connections, but goes on with the requests that it has accepted. Connections without a request wait
    // for nothing; a request would wait for a permit, which the accepted ones have.
    let start = Instant::now();
    while TcpStream::connect(service.address).is_ok() {
        ensure(start.elapsed() < TIMEOUT / 2, "it accepts new requests")?;
        thread::sleep(Duration::from_millis(10));
    }
    ensure(service.child.try_wait()?.is_none(), "it has ended")?;
    for (mut connection, rest, class) in in_flight {
        connection.send(rest)?;
        let best = connection.answer()?.best()?;
        ensure(best == class, (best, class))?;
    }
    let status = service.child.wait()?;
    ensure(status.success(), status)?;
    ensure(TcpStream::connect(service.address).is_err(), "it listens")
}
