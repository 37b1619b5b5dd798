//! Tar archives: the names, places and ground truth of their images.
#![no_main]
#![allow(dead_code)]

#[path = "../../cli/src/archive.rs"]
mod archive;
#[path = "../program/errors.rs"]
mod errors;
#[path = "../../cli/src/input.rs"]
mod input;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("a.tar");
        std::fs::write(&path, bytes).expect("a file");
        let Ok(listed) = archive::list(&path) else {
            return;
        };
        for image in listed.images {
            assert!(image.path.starts_with(&path), "{}", image.path.display());
            if let Some(member) = image.member {
                assert!(member.offset + member.bytes <= bytes.len() as u64);
            }
        }
    });
});
