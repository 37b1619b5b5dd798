//! Images of every format: never a crash, never more than the limits allow.
#![no_main]

use std::io::Cursor;

use image_classification::{DecodeLimits, Image, ImageHeader};
use libfuzzer_sys::fuzz_target;

const LIMITS: DecodeLimits = DecodeLimits {
    file_bytes: 1 << 20,
    pixels: 1 << 20,
    decoded_bytes: 64 << 20,
};

fuzz_target!(init: {
    // A panic of a decoder is caught and becomes an error; the fuzzer's own hook would abort first.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    // The last byte is none of an image's.
    let reduction = 1 << (bytes.last().copied().unwrap_or(0) % 4);
    let header = ImageHeader::read(Cursor::new(bytes), &LIMITS);
    if let Ok(image) = Image::decode_reduced(bytes, &LIMITS, Vec::new(), |_, _| reduction) {
        // Memory is reserved for what the header announces.
        let header = header.expect("an image has a header");
        let by = if header.is_reducible() { reduction } else { 1 };
        assert_eq!(header.pixel_bytes(by), image.rgb().len() as u64);
        let pixels = u64::from(image.width()) * u64::from(image.height());
        assert!(pixels <= LIMITS.pixels);
        assert_eq!(image.rgb().len() as u64, pixels * 3);
        // Reads every byte: a sanitizer sees one that was never written.
        std::hint::black_box(image.rgb().iter().fold(0_u8, |sum, byte| sum ^ byte));
    }
});
