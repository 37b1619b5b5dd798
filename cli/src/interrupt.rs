//! Ctrl-C and other signals that ask the program to end: after the first one in-flight work is finished, the second one
//! stops everything.
//!
//! Where there are no Unix signals, the first one stops everything.

use std::io;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use evaluation::text::counted;
use futures_util::future::poll_fn;
use futures_util::stream::{Stream, StreamExt as _};
use futures_util::task::AtomicWaker;

/// True while there is work that can be finished. Loading a model cannot be cut short: before the work the first signal
/// stops everything.
static WORKING: AtomicBool = AtomicBool::new(false);
/// The signal that came; 0 for none.
static CAME: AtomicU8 = AtomicU8::new(0);
/// The work that waits for an input, to be told of the signal.
static WAITING: AtomicWaker = AtomicWaker::new();
/// True once the note on the first signal was written.
static NOTE_IS_OUT: AtomicBool = AtomicBool::new(false);
/// The longest wait for that note.
const NOTE_TIME: Duration = Duration::from_secs(1);
/// Files and directories that do not outlive the program.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The work was not finished, because the user did not want to wait for it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted after {}", share(*.done, *.of, .what))]
pub struct Interrupted {
    done: usize,
    /// The number of all, if it is known.
    of: Option<usize>,
    /// A singular noun.
    what: &'static str,
    /// The number that a shell gives: 128 + the signal's number, 130 for Ctrl-C.
    pub exit_code: u8,
    pub hint: String,
}

/// Counts the finished work: `3 of 10 images`, or `3 lines`.
fn share(done: usize, of: Option<usize>, what: &str) -> String {
    match of {
        Some(of) => format!("{done} of {}", counted(of, what)),
        None => counted(done, what),
    }
}

impl Interrupted {
    /// Adds the next step for the user.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        Self { hint, ..self }
    }
}

/// Returns the inputs up to the moment when the user wants to stop. What was taken until then is to be finished.
pub fn take_until_interrupted<I: Iterator>(inputs: I) -> impl Iterator<Item = I::Item> {
    WORKING.store(true, Ordering::SeqCst);
    inputs.take_while(|_| CAME.load(Ordering::SeqCst) == 0)
}

/// Returns the inputs of a stream up to the moment when the user wants to stop, also while it waits for the next one.
pub fn until_interrupted<S: Stream>(inputs: S) -> impl Stream<Item = S::Item> {
    WORKING.store(true, Ordering::SeqCst);
    inputs.take_until(poll_fn(|context| {
        WAITING.register(context.waker());
        match signal() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }))
}

/// Ends the work: the results have their final names, and the next signal stops the program at once.
///
/// # Errors
///
/// [`Interrupted`] if some of `what` was left out for a signal.
pub fn check(done: usize, of: usize, what: &'static str) -> Result<(), Interrupted> {
    end(done, Some(of), what, signal_before_end(done, of))
}

/// Does [`check`] for a stream, whose length is unknown. `is_complete` tells whether all of it is done.
///
/// # Errors
///
/// [`Interrupted`] if a signal came before all of it was done.
pub fn check_stream(done: usize, is_complete: bool, what: &'static str) -> Result<(), Interrupted> {
    end(done, None, what, signal().filter(|_| !is_complete))
}

fn end(
    done: usize,
    of: Option<usize>,
    what: &'static str,
    signal: Option<u8>,
) -> Result<(), Interrupted> {
    WORKING.store(false, Ordering::SeqCst);
    match signal {
        None => Ok(()),
        Some(signal) => {
            wait_for_note();
            Err(Interrupted {
                done,
                of,
                what,
                exit_code: 128 + signal,
                hint: String::new(),
            })
        }
    }
}

/// Lets the note on the first signal come before the error that follows from it. Where nobody reads stderr, that is not
/// waited for long.
fn wait_for_note() {
    let start = Instant::now();
    while !NOTE_IS_OUT.load(Ordering::SeqCst) && start.elapsed() < NOTE_TIME {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns the signal that kept the work from being finished: `done` of so many are done.
pub fn signal_before_end(done: usize, of: usize) -> Option<u8> {
    signal().filter(|_| done < of)
}

/// Returns the signal that came, if one did.
pub fn signal() -> Option<u8> {
    Some(CAME.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// A file or a directory that is removed when a signal stops everything, which drops nothing.
///
/// Once this is dropped the path may be another process's, and no signal removes it.
#[derive(Debug)]
#[must_use]
pub struct Temporary(PathBuf);

/// Has a file or a directory that exists removed when a signal stops everything.
pub fn remove_when_stopped(path: &Path) -> Temporary {
    let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    paths.push(path.to_owned());
    Temporary(path.to_owned())
}

/// Creates a file and has it removed when a signal stops everything, which waits for that: no signal comes between the
/// two. `create` returns the path and the file, or `None` where there is none to remove.
pub fn create_temporary<T>(
    create: impl FnOnce() -> io::Result<Option<(PathBuf, T)>>,
) -> io::Result<Option<(T, Temporary)>> {
    let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((path, file)) = create()? else {
        return Ok(None);
    };
    paths.push(path.clone());
    Ok(Some((file, Temporary(path))))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        paths.retain(|path| *path != self.0);
    }
}

/// Watches for signals from now on, and calls `note` at the first one. Without a thread for it a signal stops
/// everything, as ever.
///
/// A write beyond the limit on the size of files (`ulimit -f`) fails from now on, which is an error that names the file. By
/// default its signal would end the program without a word.
#[cfg(unix)]
pub fn watch(note: fn()) {
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let (watches, is_watched) = std::sync::mpsc::channel::<()>();
    // The thread takes the signals over itself: where there is none, they keep their default.
    let _ = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || handle(note, watches));
    // Until it has them, or has ended: a signal before that would leave the files that are created from now on.
    let _ = is_watched.recv();
}

#[cfg(not(unix))]
pub fn watch(_: fn()) {}

/// Returns the signals that are not ignored by whoever started the program, as `nohup` and shells do for programs in
/// the background.
#[cfg(unix)]
fn watched() -> Vec<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // Other systems do not tell what is ignored: there a hangup stops everything, or nothing.
    let all = if cfg!(target_os = "linux") {
        &[SIGINT, SIGTERM, SIGHUP][..]
    } else {
        &[SIGINT, SIGTERM]
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
    all.iter()
        .copied()
        .filter(|signal| !is_ignored(*signal))
        .collect()
}

/// Returns a bit for each signal that is ignored, in the words of Linux's `/proc/self/status`.
#[cfg(unix)]
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(unix)]
fn handle(note: fn(), watches: std::sync::mpsc::Sender<()>) {
    use signal_hook::iterator::Signals;

    let Ok(mut signals) = Signals::new(watched()) else {
        return;
    };
    drop(watches);
    for signal in signals.forever() {
        // Before the work hears of the signal, and may end.
        let is_working = WORKING.load(Ordering::SeqCst);
        let first = CAME.swap(signal as u8, Ordering::SeqCst) == 0;
        if first && is_working {
            WAITING.wake();
            // On its own: where nobody reads stderr, the next signal must still be heard.
            let note = move || {
                note();
                NOTE_IS_OUT.store(true, Ordering::SeqCst);
            };
            let _ = std::thread::Builder::new().spawn(note);
            continue;
        }
        // Held until the end, so that no file is created after this.
        let paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        for path in &*paths {
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_dir_all(path);
        }
        // Not `exit`: it would end the engines' libraries while their threads run.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        drop(paths);
    }
}
