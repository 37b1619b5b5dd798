//! The restrictions of the child. Where the kernel lacks Landlock, its trials are ignored.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use backend_api::{BlockingInfer as _, Error, InferBackend as _, Tensor};
use classify_tests::{doubling_input, ensure};
use engine_isolation::{Isolated, Isolation};
use libtest_mimic::{Failed, Trial};
use rustix::fs::{FlockOperation, MemfdFlags, flock, inotify, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    PidfdFlags, Resource, Signal, getppid, getpriority_process, getrlimit, kill_process,
    pidfd_open, prlimit, setpriority_process,
};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use crate::engine::{Config, isolation};

/// The variable with the directory of the files of a trial.
const DIRECTORY: &str = "ENGINE_ISOLATION_TEST_DIRECTORY";

/// The attempts, each with true if it must succeed.
pub const ATTEMPTS: [(&str, bool, fn(&Path) -> bool); 29] = [
    ("read the model", true, |directory| {
        fs::read(directory.join("model/file")).is_ok()
    }),
    ("read a library", true, |_| fs::read_dir("/usr/lib").is_ok()),
    ("read its own status", true, |_| {
        fs::read("/proc/self/status").is_ok()
    }),
    ("read its own limits", true, |_| {
        getrlimit(Resource::Core).maximum == Some(0)
            || std::env::var_os("ENGINE_ISOLATION_CHILD").is_none()
    }),
    ("start a thread", true, |_| {
        thread::spawn(|| ()).join().is_ok()
    }),
    ("choose its own cores", true, |_| {
        sched_getaffinity(None).is_ok_and(|cores| sched_setaffinity(None, &cores).is_ok())
    }),
    ("read another file", false, |directory| {
        fs::read(directory.join("secret")).is_ok()
    }),
    ("list another directory", false, |directory| {
        fs::read_dir(directory).is_ok()
    }),
    ("read another process", false, |_| {
        let parent = getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
        fs::read(format!("/proc/{parent}/environ")).is_ok()
    }),
    ("write the model", false, |directory| {
        fs::write(directory.join("model/file"), "").is_ok()
    }),
    ("write another file", false, |directory| {
        fs::write(directory.join("new"), "").is_ok()
    }),
    ("change the rights of a file", false, |directory| {
        let path = directory.join("secret");
        let rights = fs::metadata(&path)
            .expect("metadata are open to all")
            .permissions();
        fs::set_permissions(path, rights).is_ok()
    }),
    ("start a program", false, |_| {
        Command::new("/bin/true").status().is_ok()
    }),
    ("use TCP", false, |_| {
        TcpListener::bind(("127.0.0.1", 0)).is_ok()
    }),
    ("use UDP", false, |_| {
        UdpSocket::bind(("127.0.0.1", 0)).is_ok()
    }),
    ("connect to a service", false, |directory| {
        UnixStream::connect(directory.join("service")).is_ok()
    }),
    ("connect over TCP", false, |directory| {
        let port = fs::read_to_string(directory.join("model/port")).expect("a port");
        TcpStream::connect(("127.0.0.1", port.parse().expect("a number"))).is_ok()
    }),
    ("make sockets", false, |_| UnixStream::pair().is_ok()),
    ("watch files", false, |_| {
        inotify::init(inotify::CreateFlags::CLOEXEC).is_ok()
    }),
    ("lock a file", false, |directory| {
        let file = fs::File::open(directory.join("model/file"));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_ok())
    }),
    ("choose the cores of another process", false, |_| {
        sched_getaffinity(None).is_ok_and(|cores| sched_setaffinity(getppid(), &cores).is_ok())
    }),
    ("choose the priority of another process", false, |_| {
        let parent = getppid();
        getpriority_process(parent).is_ok_and(|now| setpriority_process(parent, now).is_ok())
    }),
    ("use a file that the program has open", false, |directory| {
        let mut open = fs::read_dir("/proc/self/fd").expect("its own descriptors");
        open.any(|entry| {
            let file = entry.and_then(|entry| fs::read_link(entry.path()));
            file.is_ok_and(|file| file == directory.join("open"))
        })
    }),
    ("take memory outside of the limit", false, |_| {
        memfd_create("attempt", MemfdFlags::CLOEXEC).is_ok()
    }),
    ("signal another process", false, |_| {
        getppid().is_some_and(|parent| kill_process(parent, Signal::URG).is_ok())
    }),
    ("change another process", false, |_| {
        let limits = getrlimit(Resource::Core);
        getppid().is_some_and(|parent| prlimit(Some(parent), Resource::Core, limits).is_ok())
    }),
    ("set its own limits", false, |_| {
        prlimit(None, Resource::Core, getrlimit(Resource::Core)).is_ok()
    }),
    ("hold another process", false, |_| {
        getppid().is_some_and(|parent| pidfd_open(parent, PidfdFlags::empty()).is_ok())
    }),
    ("remove a file", false, |directory| {
        fs::remove_file(directory.join("secret")).is_ok()
    }),
];

/// Returns, in the child, the number of each attempt that did not end as it must, or -1.
pub fn attempts() -> Result<Tensor, Error> {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap_or_default());
    let wrong = ATTEMPTS
        .iter()
        .map(|(_, must, attempt)| attempt(&directory) != *must);
    let places = wrong
        .zip(0_u8..)
        .map(|(wrong, place)| if wrong { f32::from(place) } else { -1.0 });
    let values: Vec<f32> = places.collect();
    Tensor::new([1, values.len()], values)
}

pub fn trials() -> Vec<Trial> {
    let has_all = Isolated::open(&Config::Good, &isolation())
        .is_ok_and(|backend| means(&backend) == "process, Landlock, seccomp");
    let confined: [(&str, fn() -> Result<(), Failed>); 2] = [
        ("the_child_can_do_what_it_may_and_nothing_else", confined),
        (
            "a_process_that_is_not_confined_can_do_all_of_it",
            unconfined,
        ),
    ];
    let mut trials: Vec<Trial> = confined
        .map(|(name, test)| Trial::test(name, test).with_ignored_flag(!has_all))
        .into();
    trials.push(Trial::test("the_description_names_the_restrictions", named));
    trials
}

fn means(backend: &Isolated) -> String {
    backend.info().isolation.clone().unwrap_or_default()
}

/// Files and services for the attempts.
struct Place {
    directory: tempfile::TempDir,
    _service: UnixListener,
    _server: TcpListener,
    _open: fs::File,
}

impl Place {
    fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("model"))?;
        let server = TcpListener::bind(("127.0.0.1", 0))?;
        fs::write(at("model/port"), server.local_addr()?.port().to_string())?;
        fs::write(at("model/file"), "model")?;
        fs::write(at("secret"), "secret")?;
        // Programs that are started have it too.
        let open = fs::File::create(at("open"))?;
        fcntl_setfd(&open, FdFlags::empty())?;
        Ok(Self {
            _open: open,
            _service: UnixListener::bind(at("service"))?,
            _server: server,
            directory,
        })
    }
}

fn confined() -> Result<(), Failed> {
    let place = Place::new()?;
    let path = place.directory.path().to_owned();
    let mut isolation: Isolation = isolation();
    isolation.readable = vec![path.join("model"), path.join("missing")];
    isolation.command = std::sync::Arc::new(move || {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(DIRECTORY, &path);
        Ok(command)
    });
    let backend = Isolated::open(&Config::Tries, &isolation)?;
    let output = backend.infer_blocking(doubling_input(0))?.tensor;
    ensure(output.len() == ATTEMPTS.len(), &output)?;
    let wrong = output.to_f32();
    let wrong = wrong.iter().filter(|place| **place >= 0.0);
    let wrong: Vec<_> = wrong.map(|place| ATTEMPTS[*place as usize].0).collect();
    ensure(wrong.is_empty(), wrong)?;
    ensure(
        fs::read(place.directory.path().join("model/file"))? == b"model",
        "written",
    )
}

/// The attempts fail because of the confinement, not because they cannot succeed.
fn unconfined() -> Result<(), Failed> {
    let place = Place::new()?;
    let failed = ATTEMPTS
        .iter()
        .filter(|(_, _, attempt)| !attempt(place.directory.path()));
    let failed: Vec<_> = failed.map(|(name, ..)| *name).collect();
    ensure(failed.is_empty(), failed)
}

fn named() -> Result<(), Failed> {
    let backend = Isolated::open(&Config::Good, &isolation())?;
    let means = means(&backend);
    ensure(means.starts_with("process"), &means)?;
    let lacks =
        !means.contains("Landlock") || means.contains("in part") || !means.contains("seccomp");
    // A missing restriction is remarked on.
    let is_noted = backend
        .info()
        .notes
        .iter()
        .any(|note| note.starts_with("isolation: "));
    ensure(lacks == is_noted, (means, &backend.info().notes))?;
    Ok(())
}
