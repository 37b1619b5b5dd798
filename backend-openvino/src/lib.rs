#![doc = include_str!("../README.md")]

mod backend;
mod cache;
mod config;
mod deviations;
mod device_string;
mod discovery;
mod engine;
mod error;
mod plugins;
mod probe;
mod property;

pub use backend::OpenvinoBackend;
pub use cache::is_cache_entry_name;
pub use config::OpenvinoConfig;
pub use device_string::{Candidate, Device, VirtualDevice};
pub use discovery::{DeviceInfo, DeviceList, UnusableDevice, devices};
pub use plugins::{Alias, plugin_libraries};
pub use probe::find_library;
pub use property::Property;
