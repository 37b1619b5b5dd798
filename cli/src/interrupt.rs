//! Ctrl-C, and what else asks a program to end: the first time the work that is under way is finished, the second
//! time everything stops.
//!
//! Where there are no Unix signals, the first one stops everything.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Whether there is work that can be finished. Loading a model cannot be cut short, so that before it the
/// first signal stops everything.
static WORKING: AtomicBool = AtomicBool::new(false);
/// The signal that came; 0 for none.
static CAME: AtomicU8 = AtomicU8::new(0);

/// The work was not finished, because the user did not want to wait for it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {done} of {of} pictures are done")]
pub struct Interrupted {
    done: usize,
    of: usize,
    /// As a shell gives it: 128 + the signal's number, 130 for Ctrl-C.
    pub exit_code: u8,
    pub hint: String,
}

impl Interrupted {
    /// With the next step for the user.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        Self { hint, ..self }
    }
}

/// The inputs up to the moment when the user wants to stop. What was taken until then is to be finished.
pub fn until<I: Iterator>(inputs: I) -> impl Iterator<Item = I::Item> {
    WORKING.store(true, Ordering::SeqCst);
    inputs.take_while(|_| CAME.load(Ordering::SeqCst) == 0)
}

/// # Errors
///
/// [`Interrupted`] if inputs were left out for it.
pub fn check(done: usize, of: usize) -> Result<(), Interrupted> {
    WORKING.store(false, Ordering::SeqCst);
    let signal = CAME.load(Ordering::SeqCst);
    if signal == 0 || done == of {
        return Ok(());
    }
    Err(Interrupted {
        done,
        of,
        exit_code: 128 + signal,
        hint: String::new(),
    })
}

/// From now on. Without a thread for it a signal stops everything, as ever.
#[cfg(unix)]
pub fn watch() {
    // The thread takes the signals over itself: where there is none, they keep their default.
    let _ = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(handle);
}

#[cfg(not(unix))]
pub fn watch() {}

#[cfg(unix)]
fn handle() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        return;
    };
    for signal in signals.forever() {
        let first = CAME.swap(signal as u8, Ordering::SeqCst) == 0;
        if first && WORKING.load(Ordering::SeqCst) {
            // On its own: where nobody reads stderr, the next signal must still be heard.
            let _ = std::thread::Builder::new().spawn(crate::messages::interrupted);
            continue;
        }
        crate::output::remove_unfinished();
        // Not `exit`: it would end the engines' libraries while their threads run.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}
