//! PNM. In text, comments may also be between the samples, where the decoder of the `image` crate takes none.

use std::borrow::Cow;
use std::io::{BufRead, Cursor, Seek};

use image::ImageFormat;

use super::header::ImageHeader;
use super::{DecodeError, DecodeLimits, Image, codecs};

/// Reads what [`decode`] reads first. `length` is that of the file.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    let is_text = is_text(source.fill_buf().map_err(DecodeError::Unreadable)?);
    let mut header = codecs::header(source, ImageFormat::Pnm, limits)?;
    if is_text {
        // Text with comments is copied.
        header.working += length;
    }
    Ok(header)
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let source = Cursor::new(without_comments(bytes));
    codecs::decode(source, ImageFormat::Pnm, limits, spare)
}

/// Returns the file without comments, if it is text. As in Pillow the line's end is a part of the comment.
fn without_comments(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !is_text(bytes) || !bytes.contains(&b'#') {
        return Cow::Borrowed(bytes);
    }
    let mut is_comment = false;
    let mut text = Vec::with_capacity(bytes.len());
    text.extend(bytes.iter().filter(|byte| {
        let was_comment = is_comment;
        is_comment = if was_comment {
            !b"\r\n".contains(byte)
        } else {
            **byte == b'#'
        };
        !was_comment && !is_comment
    }));
    Cow::Owned(text)
}

fn is_text(start: &[u8]) -> bool {
    matches!(start, [b'P', b'1'..=b'3', ..])
}
