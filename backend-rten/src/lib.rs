#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod config;
mod engine;
mod error;
mod faults;
mod fill;
mod graph;
mod nearest;
mod probe;

pub use backend::RtenBackend;
pub use config::RtenConfig;
pub use probe::VERSION;
