#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod child;
mod config;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod protocol;
#[cfg(target_os = "linux")]
mod sandbox;

use backend_api::{Error, InferBackend};
use serde::de::DeserializeOwned;

pub use backend::Isolated;
pub use config::{Isolation, Work, this_program};

/// Runs the engine, if this process is the child of an [`Isolated`]; otherwise returns `false` at once.
///
/// A program calls this at the start of `main`, before it starts a thread and before it reads stdin. `open` gets the
/// configuration that was given to [`Isolated::open`]; it runs when the process is confined. When this returns `true`,
/// the engine could not be opened. The parent has the error, so `main` should return.
pub fn run_child<C: DeserializeOwned>(
    open: impl FnOnce(C) -> Result<Box<dyn InferBackend>, Error>,
) -> bool {
    if std::env::var_os(config::CHILD).is_none() {
        return false;
    }
    #[cfg(target_os = "linux")]
    child::run(open);
    // No other system starts such a child.
    #[cfg(not(target_os = "linux"))]
    drop(open);
    true
}
