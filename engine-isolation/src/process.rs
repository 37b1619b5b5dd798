//! The child process: its start and its end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Component;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use backend_api::{BackendInfo, Error, ErrorKind, TensorSpec};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::channel::{Channel, Fault};
use crate::config::{Isolation, MORE_FILES, MORE_PROCESSES, STARTABLE, Work};
use crate::protocol::{
    self, Confinement, MOST_OF_PROGRESS, MOST_SLOTS, Progress, Shape, Start, Until,
};

/// The bytes of stderr that are kept for a message, the last ones.
const TAIL: usize = 2048;
/// The longest wait for the end of a child whose connection is closed: a crash closes it a moment before.
const END: Duration = Duration::from_secs(5);
/// The most notes in a description, and the most bytes of its texts.
const MOST_NOTES: usize = 100;
const MOST_WORDS: usize = 64 << 10;

/// A running child, or one that has ended.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Life>,
    control: UnixStream,
    stderr: Arc<Tail>,
    /// The number of requests that were sent and not answered.
    pub in_flight: AtomicUsize,
    work: Work,
    limits: Limits,
}

/// The limits of a child that its errors name, since the user may have set them too low.
#[derive(Debug, Clone, Copy)]
struct Limits {
    memory: Option<u64>,
    cpu_time: Option<Duration>,
    timeout: Duration,
}

impl Limits {
    /// Returns the hint of a death. `is_late`: an answer took too long.
    fn hint(&self, suspects: &str, is_late: bool) -> Option<String> {
        let Self {
            memory,
            cpu_time,
            timeout,
        } = self;
        let reached = if is_late {
            vec![format!("the {timeout:?} of `Isolation::timeout`")]
        } else {
            let memory = memory.map(|bytes| format!("the {bytes} bytes of `Isolation::memory`"));
            let cpu_time = cpu_time.map(|time| format!("the {time:?} of `Isolation::cpu_time`"));
            memory.into_iter().chain(cpu_time).collect()
        };
        let reached = reached.join(" or ");
        (!reached.is_empty()).then(|| format!("{suspects}, or it needs more than {reached}"))
    }

    /// Adds the limit of memory to the hint of the engine's own error: few libraries say that memory was refused to them.
    fn explain(&self, error: Error) -> Error {
        let Some(bytes) = self.memory else {
            return error;
        };
        match error.kind() {
            ErrorKind::EngineUnavailable
            | ErrorKind::ModelInvalid
            | ErrorKind::InferenceFailed
            | ErrorKind::Panicked
            | ErrorKind::ResourceExhausted => {}
            _ => return error,
        }
        let limit = format!("it may need more than the {bytes} bytes of `Isolation::memory`");
        let hint = match error.hint() {
            Some(hint) => format!("{hint}; {limit}"),
            None => limit,
        };
        error.with_hint(hint)
    }
}

#[derive(Debug)]
struct Life {
    child: Child,
    /// Set when the child has been waited for.
    death: Option<Death>,
}

/// The end of a child, for the errors of all requests that it had.
#[derive(Debug, Clone)]
pub struct Death {
    work: Work,
    message: String,
    stderr: String,
    limits: Limits,
    /// True if the child was killed because an answer took too long.
    pub is_late: bool,
}

/// An engine that a child has opened.
pub struct Opened {
    pub process: Process,
    pub info: BackendInfo,
    pub channels: Vec<Channel>,
}

/// A start that failed.
pub struct NotOpened {
    pub error: Error,
    /// True if opening the engine took too long.
    pub is_late: bool,
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_late: false,
        }
    }
}

impl Process {
    /// Starts a child and opens the engine in it within `timeout`, which is not longer than
    /// [`Isolation::open_timeout`].
    pub fn open(
        isolation: &Isolation,
        config: &serde_json::Value,
        timeout: Duration,
    ) -> Result<Opened, NotOpened> {
        check_file_size(isolation.tensor_bytes)?;
        let process = Self::start(isolation, timeout)
            .map_err(|source| not_started(isolation.work, source))?;
        let start = Start {
            readable: isolation.readable.iter().map(Into::into).collect(),
            loads_libraries: isolation.work == Work::Engine,
            memory: isolation.memory,
            cpu_time: isolation.cpu_time.map(|time| time.as_secs().max(1)),
            tensor_bytes: isolation.tensor_bytes,
            config: config.clone(),
        };
        let opened = process.hand_over(&start, timeout);
        let opened = opened.and_then(|(confinement, mut info)| {
            info.slots += isolation.spare_requests;
            // One deadline for all: a child may read them slowly.
            let start = Instant::now();
            let channels = (0..info.slots).map(|_| {
                let left = timeout.saturating_sub(start.elapsed());
                if left.is_zero() {
                    return Err(Trouble::Fault(Fault::Late(timeout)));
                }
                let set = process.control.set_write_timeout(Some(left));
                let opened = set.and_then(|()| {
                    Channel::open(&process.control, isolation.tensor_bytes, isolation.timeout)
                });
                opened.map_err(|error| match error.kind() {
                    io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::WouldBlock => Trouble::Fault(Fault::new(&error, timeout)),
                    _ => Trouble::Refused(refused(isolation.work, error)),
                })
            });
            Ok((
                described(info, confinement, isolation.notes_gaps),
                channels.collect::<Result<_, _>>()?,
            ))
        });
        match opened {
            Ok((info, channels)) => Ok(Opened {
                process,
                info,
                channels,
            }),
            Err(Trouble::Refused(error)) => Err(error.into()),
            Err(Trouble::Fault(fault)) => {
                let suspects = isolation.work.suspects();
                let hint = match &fault {
                    // More time for all starts would not be more for this one.
                    Fault::Late(_) if timeout < isolation.open_timeout => {
                        isolation.work.remedy().to_owned()
                    }
                    Fault::Late(_) => format!(
                        "{suspects}; if it only needs more time, raise `Isolation::open_timeout`"
                    ),
                    Fault::Closed | Fault::Invalid(_) => {
                        let hint = process.limits.hint(suspects, false);
                        hint.unwrap_or_else(|| suspects.to_owned())
                    }
                };
                let error = process.end(&fault).with_hint(hint);
                Err(NotOpened {
                    error: error.with_context("while", isolation.work.beginning()),
                    is_late: matches!(fault, Fault::Late(_)),
                })
            }
        }
    }

    fn start(isolation: &Isolation, timeout: Duration) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_write_timeout(Some(timeout))?;
        let mut command = isolation.to_command()?;
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for the parent, which finishes the images in flight.
            .process_group(0);
        let mut child = command.spawn()?;
        let stderr = Arc::new(Tail::default());
        if let Some(pipe) = child.stderr.take() {
            let tail = Arc::clone(&stderr);
            let reader = thread::Builder::new()
                .name("isolated-stderr".to_owned())
                .spawn(move || tail.read(pipe));
            if let Err(error) = reader {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        }
        Ok(Self {
            child: Mutex::new(Life { child, death: None }),
            control,
            stderr,
            in_flight: AtomicUsize::new(0),
            work: isolation.work,
            limits: Limits {
                memory: isolation.memory,
                cpu_time: isolation.cpu_time,
                timeout: isolation.timeout,
            },
        })
    }

    /// Sends the configuration. Returns the description that the child sends when it has opened the engine.
    fn hand_over(
        &self,
        start: &Start,
        timeout: Duration,
    ) -> Result<(Confinement, BackendInfo), Trouble> {
        let fault = |error: io::Error| Trouble::Fault(Fault::new(&error, timeout));
        let mut until = Until::new(&self.control, timeout);
        protocol::send(&self.control, start).map_err(fault)?;
        let mut next = || match protocol::receive(&mut until, MOST_OF_PROGRESS).map_err(fault)? {
            Progress::Failed(error) => Err(Trouble::Refused(self.limits.explain(error))),
            other => Ok(other),
        };
        let out_of_order = || {
            let message = "a message out of order".to_owned();
            Err(Trouble::Fault(Fault::Invalid(message)))
        };
        let Progress::Confined(confinement) = next()? else {
            return out_of_order();
        };
        let Progress::Opened(info) = next()? else {
            return out_of_order();
        };
        check(&info, &start.readable).map_err(|message| Trouble::Fault(Fault::Invalid(message)))?;
        Ok((confinement, *info))
    }

    /// Returns whether the child runs.
    pub fn is_running(&self) -> bool {
        let mut life = self.lock();
        if life.death.is_some() {
            return false;
        }
        match life.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                let message = ended(status);
                life.death = Some(self.describe_death(&message, false));
                false
            }
            Err(_) => false,
        }
    }

    /// Ends the child for `fault`, if nothing has ended it before. Returns the error for a request that it had.
    pub fn end(&self, fault: &Fault) -> Error {
        let mut life = self.lock();
        if let Some(death) = &life.death {
            return death.to_error();
        }
        let by_itself = match fault {
            Fault::Closed => wait(&mut life.child, END),
            Fault::Late(_) | Fault::Invalid(_) => None,
        };
        let message = match (by_itself, fault) {
            (Some(status), _) => ended(status),
            (None, Fault::Closed) => "closed its connection and was killed".to_owned(),
            (None, Fault::Late(timeout)) => {
                format!("did not answer within {timeout:?} and was killed")
            }
            (None, Fault::Invalid(reason)) => format!("sent {reason} and was killed"),
        };
        kill(&mut life.child);
        let death = self.describe_death(&message, matches!(fault, Fault::Late(_)));
        let error = death.to_error();
        life.death = Some(death);
        error
    }

    /// Returns the engine's own error with the limit that may be its cause.
    pub fn explain(&self, error: Error) -> Error {
        self.limits.explain(error)
    }

    /// Returns the end of a child that has been waited for.
    pub fn death(&self) -> Option<Death> {
        self.lock().death.clone()
    }

    fn describe_death(&self, message: &str, is_late: bool) -> Death {
        Death {
            work: self.work,
            message: format!("{} {message}", self.work.name()),
            stderr: self.stderr.text(),
            limits: self.limits,
            is_late,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Life> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let life = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        kill(&mut life.child);
    }
}

/// The reason why an engine is not open.
enum Trouble {
    /// The engine's error.
    Refused(Error),
    Fault(Fault),
}

impl Death {
    /// Returns the error of a request that the child had.
    pub fn to_error(&self) -> Error {
        let mut error = Error::new(ErrorKind::EngineCrashed, &self.message);
        if !self.stderr.is_empty() {
            error = error.with_context("stderr", &self.stderr);
        }
        let suspects = self.work.suspects();
        let hint = self.limits.hint(suspects, self.is_late);
        error.with_hint(hint.unwrap_or_else(|| {
            format!("{suspects}; of the requests in flight, one ended it and all failed")
        }))
    }
}

/// Returns the error of a child for which the system has no process, thread, memory or descriptor left.
fn refused(work: Work, source: io::Error) -> Error {
    let is_full = matches!(
        Errno::from_io_error(&source),
        Some(Errno::MFILE | Errno::NFILE | Errno::TOOMANYREFS)
    );
    let hint = if is_full { MORE_FILES } else { MORE_PROCESSES };
    let message = format!("cannot start {}", work.name());
    Error::new(ErrorKind::ResourceExhausted, message)
        .with_source(source)
        .with_hint(hint)
}

/// Returns the error of a child that cannot be started.
fn not_started(work: Work, source: io::Error) -> Error {
    let is_full = matches!(
        Errno::from_io_error(&source),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    );
    if is_full || source.kind() == io::ErrorKind::WouldBlock {
        return refused(work, source);
    }
    let message = format!("cannot start {}", work.name());
    Error::new(ErrorKind::InvalidConfig, message)
        .with_source(source)
        .with_hint(STARTABLE)
}

/// Checks that memory files of `bytes` may be made: the kernel ends a process that exceeds its limit.
fn check_file_size(bytes: u64) -> Result<(), Error> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < bytes => {
            let message = format!(
                "files may have {limit} bytes here, but the memory that is shared with an isolated process has {bytes}"
            );
            Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_hint("raise the limit on files, `ulimit -f`"))
        }
        _ => Ok(()),
    }
}

/// Kills the child and waits for it, so that no zombie is left.
fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits for the end of a child.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < timeout => thread::sleep(Duration::from_millis(1)),
            _ => return None,
        }
    }
}

/// Describes the end of a process.
fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was ended by {name}"),
            None => format!("was ended by signal {signal}"),
        },
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Checks the parts of a description with which others compute, or on which they act: they read the model's files.
fn check(info: &BackendInfo, readable: &[OsString]) -> Result<(), String> {
    if let Some(model) = &info.model {
        // The user may have written `..` in a path, but no path of the child leads out of a directory.
        let is_below = |path| {
            let rest = model.strip_prefix(path);
            rest.is_ok_and(|rest| !rest.components().any(|part| part == Component::ParentDir))
        };
        if !readable.iter().any(is_below) {
            let name = model.display();
            return Err(format!(
                "a description of a model that it may not read, {name}"
            ));
        }
    }
    let words = words(info);
    if words > MOST_WORDS || info.notes.len() > MOST_NOTES {
        let notes = info.notes.len();
        return Err(format!("a description of {words} bytes with {notes} notes"));
    }
    if !(1..=MOST_SLOTS).contains(&info.slots) {
        return Err(format!("a description with {} infer requests", info.slots));
    }
    let specs = [&info.input, &info.output].into_iter();
    for spec in specs.chain(&info.extra_outputs) {
        if fixed_bytes(spec).is_none_or(|bytes| bytes > i64::MAX as u64) {
            return Err("a description of a tensor whose size overflows".to_owned());
        }
    }
    Ok(())
}

/// Returns the bytes of the texts of a description that are printed.
fn words(info: &BackendInfo) -> usize {
    let mut texts = info.clone();
    texts.outputs.clear();
    texts.extra_outputs.clear();
    serde_json::to_vec(&texts).map_or(usize::MAX, |texts| texts.len())
}

/// Returns the bytes of a tensor in which dynamic sizes are 1.
fn fixed_bytes(spec: &TensorSpec) -> Option<u64> {
    let size = |dim: &backend_api::Dim| match dim {
        backend_api::Dim::Fixed(size) => *size,
        backend_api::Dim::Dynamic => 1,
    };
    let shape = Shape {
        element_type: spec.element_type,
        sizes: spec.dims.iter().map(size).collect(),
    };
    shape.bytes()
}

/// Adds the isolation to a description.
fn described(mut info: BackendInfo, confinement: Confinement, notes_gaps: bool) -> BackendInfo {
    let mut means = vec!["process"];
    let mut missing = Vec::new();
    match confinement.landlock {
        Some(true) => means.push("Landlock"),
        Some(false) => {
            means.push("Landlock in part");
            missing.push("the kernel has a part of Landlock only");
        }
        None => missing.push("the kernel has no Landlock, so that the engine can read files"),
    }
    if confinement.seccomp {
        means.push("seccomp");
    } else {
        missing.push("seccomp is not available, so that the engine can use the network");
    }
    info.isolation = Some(means.join(", "));
    let notes = missing
        .into_iter()
        .map(|reason| format!("isolation: {reason}"));
    if notes_gaps {
        info.notes.extend(notes);
    }
    info
}

/// The end of a child's stderr.
#[derive(Debug, Default)]
struct Tail {
    state: Mutex<TailState>,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct TailState {
    bytes: VecDeque<u8>,
    is_closed: bool,
}

impl Tail {
    fn lock(&self) -> MutexGuard<'_, TailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until the child has ended.
    fn read(&self, mut pipe: ChildStderr) {
        let mut buffer = [0; TAIL];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut state = self.lock();
            state.bytes.extend(&buffer[..count]);
            let excess = state.bytes.len().saturating_sub(TAIL);
            state.bytes.drain(..excess);
        }
        self.lock().is_closed = true;
        self.closed.notify_all();
    }

    /// Returns the last lines of a child that has ended, in one line without control characters.
    fn text(&self) -> String {
        let state = self
            .closed
            .wait_timeout_while(self.lock(), END, |state| !state.is_closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let bytes: Vec<u8> = state.bytes.iter().copied().collect();
        drop(state);
        let text = String::from_utf8_lossy(&bytes);
        // Rust's advice, which does not reach the child.
        let is_advice = |line: &&str| line.starts_with("note: run with `RUST_BACKTRACE=1`");
        let lines = text.lines().map(str::trim);
        let lines: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !is_advice(line))
            .collect();
        let last = lines[lines.len().saturating_sub(4)..].join("; ");
        last.replace(char::is_control, "?")
    }
}
