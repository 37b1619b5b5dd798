#![doc = include_str!("../README.md")]

mod search;

pub use search::{
    LOADER_VARIABLE, LibrarySearch, inspect, is_library_name, set_up_folder,
    without_current_directory,
};
