//! The primitives that the pool blocks on.
//!
//! The module `schedules` compiles the pool a second and third time with those of loom and shuttle in their place.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::thread;

/// The number of times that a thread without work lets others run before it sleeps. To be woken takes tens of microseconds, and the
/// next request often comes sooner: `cargo bench-parts slot_pool`.
pub(crate) const YIELDS: u32 = 100;
