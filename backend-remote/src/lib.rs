#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("raw tensors are little-endian, and this crate hands them on as they are");

mod backend;
mod client;
mod config;
mod connection;
mod engine;
mod error;
mod io_thread;
mod outage;
mod probe;
mod protocol;
mod tensors;
mod token;
mod url;

pub use backend::RemoteBackend;
pub use config::RemoteConfig;
pub use token::TokenSource;
