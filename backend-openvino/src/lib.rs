#![doc = include_str!("../README.md")]

mod backend;
mod config;
mod engine;
mod error;
mod probe;

pub use backend::OpenvinoBackend;
pub use config::OpenvinoConfig;
pub use probe::find_library;
