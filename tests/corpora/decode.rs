//! Decodes the files whose paths come on stdin, one a line, and writes for each a line of JSON to stdout, followed by
//! the pixels: what `compare.py` compares with Pillow.

#![allow(clippy::print_stdout)]

use std::io::{BufRead as _, Cursor, Write as _};

use image_classification::{DecodeLimits, Image, ImageHeader, ImageNote};

fn main() -> std::io::Result<()> {
    std::panic::set_hook(Box::new(|_| {}));
    let limits = DecodeLimits::default();
    let mut out = std::io::stdout().lock();
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let bytes = std::fs::read(&path)?;
        let header = ImageHeader::read(Cursor::new(&bytes), &limits);
        let announced = header.as_ref().map_or(0, |header| header.decode_bytes(1));
        let (line, pixels) = match Image::decode(&bytes, &limits) {
            Ok(image) => {
                let note = image.note().map(ImageNote::code);
                let line = serde_json::json!({
                    "width": image.width(), "height": image.height(), "note": note, "announced": announced,
                });
                (line, image.into_rgb())
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                let line = serde_json::json!({"code": error.code(), "error": error.to_string(), "source": source});
                (line, Vec::new())
            }
        };
        writeln!(out, "{line}")?;
        out.write_all(&pixels)?;
        out.flush()?;
    }
    Ok(())
}
