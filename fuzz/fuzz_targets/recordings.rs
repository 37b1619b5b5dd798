//! Recordings: all of their images, their descriptions of runs, and their outputs.
#![no_main]

use std::io::Cursor;

use evaluation::{Digest, Recording};
use image_classification::ScoreKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(recording) = Recording::read(Cursor::new(bytes)) else {
        return;
    };
    assert!(!recording.runs().is_empty());
    let _ = recording.entries();
    let mut recording = recording.with_scores(ScoreKind::Softmax);
    let _ = recording.entries();
    // Lines have the digests of their images as text.
    let text = String::from_utf8_lossy(bytes);
    let digests = text
        .split('"')
        .filter_map(|part| part.parse::<Digest>().ok());
    for digest in digests.take(32) {
        if let Ok(outputs) = recording.outputs_of_file(&digest) {
            assert_eq!(outputs.len(), recording.runs().len());
        }
    }
    let _ = recording.unused();
});
