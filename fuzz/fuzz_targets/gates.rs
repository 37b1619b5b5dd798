//! Files of `classify check`, with all flags of `compare` and `evaluate`.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../cli/src/args/mod.rs"]
mod args;
#[path = "../program/errors.rs"]
mod errors;
#[path = "../../cli/src/gate_file.rs"]
mod gate_file;

/// The hints of the command line go to nobody.
mod terminal {
    pub fn hint(_: &str) {}
}

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("gate.toml");
        std::fs::write(&path, bytes).expect("a file");
        if let Ok(gates) = gate_file::Gates::read(&path) {
            let _ = gates.commands();
        }
    });
});
