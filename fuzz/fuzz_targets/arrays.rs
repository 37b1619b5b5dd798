//! Arrays of NumPy: an npz archive, or an npy file in a directory. The first byte says which.
#![no_main]
#![allow(dead_code)]

#[path = "../program/errors.rs"]
mod errors;
#[path = "../../cli/src/arrays/header.rs"]
mod header;
#[path = "../../cli/src/arrays/reader.rs"]
mod reader;

use std::cell::RefCell;
use std::fs::File;

use libfuzzer_sys::fuzz_target;
use reader::ArrayFiles;

const MOST: u64 = 1 << 20;

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
        let file = || File::open(&path).expect("it was written");
        let open = || match is_archive {
            true => ArrayFiles::npz(&path, file()),
            false => Ok(ArrayFiles::directory(directory.path())),
        };
        let Ok(names) = open().and_then(|files| files.names()) else {
            return;
        };
        for name in names
            .iter()
            .filter_map(|name| name.strip_suffix(".npy"))
            .take(4)
        {
            let mut files = open().expect("it opened before");
            let _ = files.array(name).and_then(|array| array.texts(MOST));
            let _ = files.array(name).and_then(|array| {
                array.rows(MOST, |_, row| {
                    assert!(row.len() as u64 <= MOST);
                    Ok(())
                })
            });
        }
        std::fs::remove_file(&path).expect("it was there");
    });
});
