#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod cache;
mod concat;
mod config;
mod configure;
mod core;
mod deviations;
mod device_string;
mod diagnosis;
mod discovery;
mod engine;
mod error;
mod executed;
mod plugins;
mod probe;
mod property;

pub use backend::OpenvinoBackend;
pub use cache::is_cache_entry_name;
pub use config::OpenvinoConfig;
pub use device_string::{Candidate, Device, VirtualDevice};
pub use diagnosis::UnusableDevice;
pub use discovery::{DeviceInfo, DeviceList, devices};
pub use plugins::{Alias, plugin_libraries};
pub use probe::find_library;
pub use property::Property;
