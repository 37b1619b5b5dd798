//! Files of ground truth in all of their forms, with and without named columns.
#![no_main]

use std::path::{Path, PathBuf};

use evaluation::accuracy::{ClassLookup, GroundTruth};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let columns = ["image".to_owned(), "label".to_owned()];
    let images: Vec<PathBuf> = ["a.jpg", "b/c.jpg", "/d/ä.png"].map(PathBuf::from).into();
    for columns in [None, Some(&columns)] {
        let Ok(mut truth) = GroundTruth::read_columns(bytes, columns) else {
            continue;
        };
        let _ = truth.summary(&images);
        let _ = truth.check_images(&images);
        let _ = truth.check_single(&ClassLookup::new(None, 0));
        let lookup = ClassLookup::new(None, 0);
        for image in &images {
            if let Ok(Some(written)) = truth.take(image) {
                let _ = lookup.classes(&written, Some(1000));
            }
        }
        let _ = truth.written(Path::new("a.jpg"));
        let _ = truth.surplus();
    }
});
