//! PNM. In text, comments may also be between the samples, where the decoder of the `image` crate takes none.

use std::borrow::Cow;
use std::io::{BufRead, Cursor, Read as _, Seek};

use image::ImageFormat;

use super::format::Format;
use super::header::ImageHeader;
use super::{DecodeError, DecodeLimits, Image, codecs};

/// Reads what [`decode`] reads first. `length` is that of the file.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    check_pam(&mut source)?;
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
    let mut source = Cursor::new(without_comments(bytes));
    check_pam(&mut source)?;
    codecs::decode(source, ImageFormat::Pnm, limits, spare)
}

/// Checks that the header of a PAM ends soon, before the decoder keeps its lines: comments and types of any length. The other
/// forms of PNM have numbers alone.
fn check_pam<R: BufRead + Seek>(source: &mut R) -> Result<(), DecodeError> {
    const MOST_BYTES: u64 = 64 << 10;
    let mut start = Vec::new();
    let read = source.by_ref().take(MOST_BYTES).read_to_end(&mut start);
    read.and_then(|_| source.rewind())
        .map_err(DecodeError::Unreadable)?;
    let is_end = |line: &[u8]| {
        let rest = line.strip_prefix(b"ENDHDR");
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    };
    let is_whole = (start.len() as u64) < MOST_BYTES;
    if !start.starts_with(b"P7") || is_whole || start.split(|byte| *byte == b'\n').any(is_end) {
        return Ok(());
    }
    Err(DecodeError::Damaged {
        format: Format::Pnm.name(),
        source: format!("its header does not end within {MOST_BYTES} bytes").into(),
    })
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
