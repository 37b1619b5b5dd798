//! Lines of `classify --stream`: paths and JSON objects with images.
#![no_main]
#![allow(dead_code)]

#[path = "../program/errors.rs"]
mod errors;
#[path = "../../cli/src/input.rs"]
mod input;
#[path = "../../cli/src/lines.rs"]
mod lines;
#[path = "../../cli/src/stream_line.rs"]
mod stream_line;

/// The names that the modules above know these by.
mod inputs {
    pub use crate::input::path_from_bytes;
}

use image_classification::{ImageSource, MemoryBudget};
use libfuzzer_sys::fuzz_target;
use lines::{Ends, Line, read_line};

fuzz_target!(|bytes: &[u8]| {
    let budget = MemoryBudget::new(1 << 30);
    for ends in [Ends::Lines, Ends::Nul] {
        let mut source = bytes;
        let mut line = Vec::new();
        let mut number = 0;
        while let Ok(Some(is_whole)) = read_line(&mut source, ends, &mut line) {
            number += 1;
            let memory = budget.reserve(line.len() as u64).expect("there is room");
            let bytes = is_whole.then_some(&*line);
            let (named, source) = stream_line::parse(Line {
                number,
                bytes,
                memory,
            });
            assert_eq!(named.number, number);
            // A line without a path has its image in it, or is an error.
            assert!(named.path.is_some() || !matches!(source, ImageSource::Path(_)));
        }
    }
});
