//! The limits and the rights of the child.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The variable that tells a process that it is the child of an [`Isolated`](crate::Isolated).
pub const CHILD: &str = "ENGINE_ISOLATION_CHILD";

/// The work of a child, which the errors about it name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Work {
    /// The child runs the model of an engine. The default.
    #[default]
    Engine,
    /// The child decodes images.
    Decoder,
}

impl Work {
    /// Returns the child's name in errors.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "the process of the engine",
            Self::Decoder => "the process of the decoder",
        }
    }

    /// Returns what a child does before its first request.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) const fn beginning(self) -> &'static str {
        match self {
            Self::Engine => "opening the model",
            Self::Decoder => "starting",
        }
    }

    /// Returns the parts that may be faulty when the child dies.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) const fn suspects(self) -> &'static str {
        match self {
            Self::Engine => "the model or the engine is faulty",
            Self::Decoder => "the image or the decoder is faulty",
        }
    }

    /// Returns the next step after the child died too often.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Engine => {
                "use another model or engine, or leave out the input that ends the process: with `requests = 1` no other input fails with it"
            }
            Self::Decoder => {
                "leave out the image that ends the process: with `FeedOptions::jobs = 1` no other image fails with it"
            }
        }
    }
}

/// The hint of a process or thread that the system refuses.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) const MORE_PROCESSES: &str =
    "allow more processes and threads (`ulimit -u`, or the limit of the container)";
/// The hint of a program that cannot be started.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) const STARTABLE: &str = "check that the program is executable and that /proc is mounted: a program starts itself again from /proc/self/exe";
/// The hint of a descriptor that the system refuses.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) const MORE_FILES: &str = "allow more open files (`ulimit -n`)";

/// The child process: its program, its limits, and the files that it may read.
#[derive(Clone)]
#[non_exhaustive]
pub struct Isolation {
    /// Makes the command of the child. Default: [`this_program`] with the same environment.
    pub command: Arc<dyn Fn() -> io::Result<Command> + Send + Sync>,
    /// The work of the child. Default: an engine.
    pub work: Work,
    /// Files and directories that the child may read, in addition to the libraries and the descriptions of the
    /// hardware that the system has: the model's files, and the directories of the engine's libraries. The child may
    /// describe its model as one of these files, or as one below these directories, and no other. If one of the files
    /// changes, a dead child is not replaced. Paths that do not exist are ignored. Default: none.
    pub readable: Vec<PathBuf>,
    /// Bytes of address space. Default: no limit.
    pub memory: Option<u64>,
    /// CPU time of the child over its whole life, in whole seconds. Default: no limit.
    pub cpu_time: Option<Duration>,
    /// The longest time for one request. Then the child is killed. A request that is sent while all of the engine's run
    /// has this time for each that must end first, too: with one infer request of the engine, the third in flight has
    /// three times as much. Default: one minute.
    pub timeout: Duration,
    /// The longest time for opening the engine. Opening it again, in another child, may also take no longer than ten times
    /// the first opening, or a minute if that is more. Default: five minutes.
    pub open_timeout: Duration,
    /// Bytes of the input of a request, and of all its outputs together. They take up to twice as many addresses in both
    /// processes, which count as [`memory`](Self::memory). Default: 256 MiB.
    pub tensor_bytes: u64,
    /// The number of requests that are sent to the child while all of the engine's run, so that the engine need not wait
    /// for the next tensor. They are part of [`BackendInfo::slots`](backend_api::BackendInfo::slots). Default: 1.
    pub spare_requests: usize,
    /// The number of times that a dead child is replaced within [`restart_window`](Self::restart_window), and without a
    /// result in between, however long that takes. Starts that fail count too. When it is exceeded, or when a start takes
    /// too long, every later request fails, and [`failure`](backend_api::InferBackend::failure) gives the reason.
    /// Default: 5.
    pub restarts: usize,
    /// Default: one minute.
    pub restart_window: Duration,
    /// True to note each restriction that the kernel lacks in the description of the backend. Default: true.
    pub notes_gaps: bool,
}

/// Returns the command that starts this program again, without arguments.
///
/// On Linux it is the program that runs, even if its file was replaced since, as by an update.
///
/// # Errors
///
/// If the system cannot tell which program runs.
pub fn this_program() -> io::Result<Command> {
    let program = std::env::current_exe()?;
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(program);
        Ok(command)
    }
    #[cfg(not(target_os = "linux"))]
    Ok(Command::new(program))
}

impl Isolation {
    /// Returns the defaults, with this program as the child.
    pub fn new() -> Self {
        Self {
            command: Arc::new(this_program),
            work: Work::default(),
            readable: Vec::new(),
            memory: None,
            cpu_time: None,
            timeout: Duration::from_mins(1),
            open_timeout: Duration::from_mins(5),
            tensor_bytes: 256 << 20,
            spare_requests: 1,
            restarts: 5,
            restart_window: Duration::from_mins(1),
            notes_gaps: true,
        }
    }

    /// Returns the command of the child, with the variable that makes it one.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn to_command(&self) -> io::Result<Command> {
        let mut command = (self.command)()?;
        // A backtrace would push the message before it out of the error.
        command.env(CHILD, "1").env("RUST_BACKTRACE", "0");
        Ok(command)
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolation")
            .field("work", &self.work)
            .field("readable", &self.readable)
            .field("memory", &self.memory)
            .field("cpu_time", &self.cpu_time)
            .field("timeout", &self.timeout)
            .field("open_timeout", &self.open_timeout)
            .field("tensor_bytes", &self.tensor_bytes)
            .field("spare_requests", &self.spare_requests)
            .field("restarts", &self.restarts)
            .field("restart_window", &self.restart_window)
            .field("notes_gaps", &self.notes_gaps)
            .finish_non_exhaustive()
    }
}
