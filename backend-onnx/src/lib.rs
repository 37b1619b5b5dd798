#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod config;
mod engine;
mod error;
mod probe;
mod provider;

pub use backend::OnnxBackend;
pub use config::OnnxConfig;
pub use probe::find_library;
pub use provider::{Provider, ProviderList, providers};
