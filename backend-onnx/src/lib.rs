#![doc = include_str!("../README.md")]

mod backend;
mod config;
mod engine;
mod error;
mod probe;

pub use backend::OnnxBackend;
pub use config::OnnxConfig;
pub use probe::find_library;
