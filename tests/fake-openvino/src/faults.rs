//! The fault that the environment asks for, and the calls until then.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::{CALLS, FAULT};

static CALL: AtomicUsize = AtomicUsize::new(0);
static INFERENCE: AtomicUsize = AtomicUsize::new(0);

/// The kind and the number of the fault, if there is one.
fn fault() -> Option<(&'static str, usize)> {
    static ASKED: OnceLock<Option<(String, usize)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let text = env::var(FAULT).ok()?;
        let (kind, number) = text.split_once('@')?;
        Some((kind.to_owned(), number.parse().ok()?))
    });
    asked
        .as_ref()
        .map(|(kind, number)| (kind.as_str(), *number))
}

/// Counts a call of the function `name`. Returns whether it is to fail, if it returns at all.
pub(crate) fn fails(name: &str) -> bool {
    let call = CALL.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = env::var_os(CALLS)
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{name}");
    }
    match fault() {
        Some(("errors", number)) => call >= number,
        Some((kind, number)) if call == number => end(kind),
        _ => false,
    }
}

/// Has a fault of a call. Returns whether it is an error.
fn end(kind: &str) -> bool {
    match kind {
        "error" => return true,
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        // SAFETY: Rust accesses nothing here: the instruction is to end the process.
        "segfault" => unsafe { std::ptr::null_mut::<u8>().write_volatile(0) },
        "hang" => loop {
            std::thread::sleep(Duration::from_hours(1));
        },
        _ => (),
    }
    false
}

/// Leaks, if that is the fault.
fn leak(kind: &str) {
    match kind {
        // Memory that nobody has written to is not resident.
        // An optimised build would leave out memory that nobody sees.
        "leak-memory" => std::mem::forget(std::hint::black_box(vec![1_u8; 64 << 10])),
        "leak-descriptor" => std::mem::forget(std::fs::File::open("/dev/null")),
        "leak-thread" => drop(std::thread::spawn(|| {
            std::thread::sleep(Duration::from_hours(1));
        })),
        _ => (),
    }
}

/// Counts an inference. Returns the fault of its output, if it has one.
pub(crate) fn of_output() -> Option<&'static str> {
    let inference = INFERENCE.fetch_add(1, Ordering::SeqCst) + 1;
    let fault = fault();
    if let Some((kind, number)) = fault
        && inference >= number
    {
        leak(kind);
    }
    fault
        .filter(|(_, number)| *number == inference)
        .map(|(kind, _)| kind)
        .filter(|kind| crate::OUTPUT_FAULTS.contains(kind))
}
