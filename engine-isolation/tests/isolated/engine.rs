//! The engine in the child: doubles its input, or does what a test asks of it.

use std::time::Duration;

use backend_api::conformance::Subject;
use backend_api::{
    BackendInfo, Dim, ElementType, Error, ErrorKind, InferBackend, MockBackend, Tensor, TensorSpec,
};
use classify_tests::{doubled, doubling_input, doubling_subject};
use engine_isolation::{Isolated, Isolation};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// The configuration of the child.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub enum Config {
    /// Doubles its input.
    #[default]
    Good,
    /// Does the [`Misdeed`] that the first number of the input names.
    Bad,
    FailsToOpen,
    /// Acts as [`Bad`](Self::Bad), but fails to open if the variable [`FAILS`] is set, and hangs if [`HANGS`] is.
    MayFailToOpen,
    PanicsWhileOpening,
    AbortsWhileOpening,
    HangsWhileOpening,
    /// Sends text instead of messages.
    Chats,
    /// Answers each request with the result of the attempts in [`crate::confinement`].
    Tries,
}

/// The variable of a child that fails to open.
pub const FAILS: &str = "ENGINE_ISOLATION_TEST_FAILS";
/// The variable of a child that does not end opening.
pub const HANGS: &str = "ENGINE_ISOLATION_TEST_HANGS";

/// A fault of the engine instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Misdeed {
    Segfault = 1001,
    Abort,
    Exit,
    Hang,
    Allocate,
    Compute,
    Error,
    Panic,
    /// Takes [`PAUSE`], and answers.
    Pause,
}

/// The time of [`Misdeed::Pause`].
pub const PAUSE: Duration = Duration::from_secs(2);

impl Misdeed {
    const ALL: [Self; 9] = [
        Self::Segfault,
        Self::Abort,
        Self::Exit,
        Self::Hang,
        Self::Allocate,
        Self::Compute,
        Self::Error,
        Self::Panic,
        Self::Pause,
    ];

    /// The input that asks for it.
    pub fn input(self) -> Tensor {
        Tensor::new([1, 4], vec![self as u16 as f32; 4]).expect("four values")
    }

    fn of(input: &Tensor) -> Option<Self> {
        let asked = input.to_f32()[0];
        Self::ALL
            .into_iter()
            .find(|misdeed| *misdeed as u16 as f32 == asked)
    }

    fn commit(self) -> Result<(), Error> {
        match self {
            // Rust takes the first one for a stack overflow that is none, and goes on.
            Self::Segfault => loop {
                let _ = kill_process(getpid(), Signal::SEGV);
            },
            Self::Abort => {
                eprintln!("first line\n\x1b[31mterminate called\x1b[0m");
                std::process::abort()
            }
            Self::Exit => std::process::exit(3),
            Self::Hang => std::thread::sleep(Duration::from_hours(1)),
            Self::Allocate => {
                let bytes = vec![1_u8; 3 << 30];
                std::hint::black_box(bytes);
            }
            Self::Compute => loop {
                std::hint::spin_loop();
            },
            Self::Error => return Err(Error::new(ErrorKind::InferenceFailed, "planned failure")),
            Self::Panic => panic!("planned panic"),
            Self::Pause => std::thread::sleep(PAUSE),
        }
        Ok(())
    }
}

pub const SLOTS: usize = 3;

fn info(outputs: usize) -> BackendInfo {
    let spec = |name: &str, count: usize| {
        let dims = vec![Dim::Fixed(1), Dim::Fixed(count)];
        TensorSpec::new(name, ElementType::F32, dims)
    };
    BackendInfo::new("mock", spec("input", 4), spec("output", outputs))
}

pub fn double(input: &Tensor) -> Result<Tensor, Error> {
    let values = input.to_f32().iter().map(|value| value * 2.0).collect();
    Tensor::new(input.shape(), values)
}

/// The input for which the engine answers the number of its process.
pub fn pid_input() -> Tensor {
    Tensor::new([1, 4], vec![-1.0_f32; 4]).expect("four values")
}

fn answer(input: &Tensor) -> Result<Tensor, Error> {
    if *input == pid_input() {
        let pid = getpid().as_raw_nonzero().get() as f32;
        return Tensor::new(input.shape(), vec![pid; 4]);
    }
    match Misdeed::of(input) {
        Some(misdeed) => misdeed.commit().and_then(|()| double(input)),
        None => double(input),
    }
}

fn planned() -> Error {
    Error::new(ErrorKind::ModelInvalid, "planned failure")
        .with_context("model", "a.onnx")
        .with_hint("planned hint")
}

/// Opens the engine in the child.
pub fn open(config: Config) -> Result<Box<dyn InferBackend>, Error> {
    let outputs = match config {
        Config::Tries => crate::confinement::ATTEMPTS.len(),
        _ => 4,
    };
    let mock = MockBackend::builder().info(info(outputs)).slots(SLOTS);
    let mock = match config {
        Config::Good => mock.respond(|_, input| double(input)),
        Config::Bad => mock.respond(|_, input| answer(input)),
        Config::FailsToOpen => return Err(planned()),
        Config::MayFailToOpen if std::env::var_os(FAILS).is_some() => return Err(planned()),
        Config::MayFailToOpen if std::env::var_os(HANGS).is_some() => {
            std::thread::sleep(Duration::from_hours(1));
            mock
        }
        Config::MayFailToOpen => mock.respond(|_, input| answer(input)),
        Config::PanicsWhileOpening => panic!("planned panic"),
        Config::AbortsWhileOpening => std::process::abort(),
        Config::HangsWhileOpening => {
            std::thread::sleep(Duration::from_hours(1));
            mock
        }
        Config::Chats => {
            use std::io::Write as _;
            use std::os::fd::AsFd as _;
            let socket = std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .expect("stdin");
            let mut socket = std::os::unix::net::UnixStream::from(socket);
            socket
                .write_all(b"hello, hello")
                .expect("the parent listens");
            mock
        }
        Config::Tries => mock.respond(|_, _| crate::confinement::attempts()),
    };
    Ok(Box::new(mock.build()?))
}

/// The limits that the tests begin with.
pub fn isolation() -> Isolation {
    let mut isolation = Isolation::new();
    isolation.timeout = Duration::from_secs(100);
    isolation
}

pub fn subject() -> Subject {
    doubling_subject(
        || Isolated::open(&Config::Good, &isolation()),
        || Isolated::parts(&Config::Good, &isolation()),
    )
}

/// Checks that request `n` is answered correctly.
pub fn assert_doubled(backend: &Isolated, n: u64) {
    use backend_api::BlockingInfer as _;
    let output = backend
        .infer_blocking(doubling_input(n))
        .expect("an answer");
    assert_eq!(output.tensor, doubled(n));
}
