#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod environment;
mod inspection;
mod loaded;
mod loader_path;
mod name;
mod search;

pub use environment::{package_parents, program_environments, program_paths, set_started_as};
pub use inspection::inspect;
pub use loaded::LoadedLibrary;
pub use loader_path::{LOADER_VARIABLE, without_current_directory};
pub use name::{is_library_name, version_in_name};
pub use search::{CONFIGURED_DIRECTORIES, EXPLICIT_PATH, LibrarySearch, NOTHING_IN};
