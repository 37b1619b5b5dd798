//! Tar archives: the names, places and ground truth of their images.
#![no_main]

#[path = "../program/readers.rs"]
mod readers;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use readers::{args, errors, input, terminal};

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("a.tar");
        std::fs::write(&path, bytes).expect("a file");
        let _ = readers::read_archive(&path);
    });
});
