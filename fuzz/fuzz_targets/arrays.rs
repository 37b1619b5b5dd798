//! Arrays of NumPy: an npz archive, or an npy file in a directory. The first byte says which.
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
    let Some((which, content)) = bytes.split_first() else {
        return;
    };
    DIRECTORY.with_borrow(|directory| {
        let is_archive = which % 2 == 0;
        let name = if is_archive { "a.npz" } else { "array.npy" };
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("a file");
        let _ = readers::read_arrays(if is_archive { &path } else { directory.path() });
        std::fs::remove_file(&path).expect("it was there");
    });
});
