//! Answers that shards store: every record, to the end.
#![no_main]

use evaluation::answers::AnswerReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = AnswerReader::start(bytes) else {
        return;
    };
    while let Ok(Some(_)) = reader.next_image() {}
    let _ = reader.artificial();
    let _ = reader.description();
});
