//! The codestream in the boxes of a JPEG XL file.

use std::io::{self, BufRead, ErrorKind, Read};

/// The beginning of a codestream, in boxes or without.
pub(super) const SIGNATURE: [u8; 2] = [0xff, 0x0a];
/// Bytes of the box that tells a file with boxes.
const FIRST_BOX: u64 = 12;
/// The flag of the last of several boxes with a codestream.
const LAST: u32 = 1 << 31;

/// Reads the codestream alone. Other boxes have metadata, on which no pixel depends; the decoder would keep them, and
/// decompress some to any size.
pub(super) struct Codestream<R> {
    source: R,
    /// Bytes of the codestream that are left in the box; `None` up to the end of the file.
    left: Option<u64>,
    /// The number of boxes with a part of the codestream so far.
    parts: u32,
    /// True if no box with another part follows.
    is_last: bool,
}

impl<R: BufRead> Codestream<R> {
    pub(super) fn new(mut source: R) -> io::Result<Self> {
        // The format was recognised by the same bytes.
        let is_bare = source.fill_buf()?.starts_with(&SIGNATURE);
        if !is_bare {
            skip(&mut source, FIRST_BOX)?;
        }
        Ok(Self {
            source,
            left: if is_bare { None } else { Some(0) },
            parts: 0,
            is_last: is_bare,
        })
    }

    /// Goes to the content of the next box with a part of the codestream. Returns false at the end of the file.
    fn next_part(&mut self) -> io::Result<bool> {
        loop {
            let Some([s0, s1, s2, s3, kind @ ..]) = self.array::<8>()? else {
                return Ok(false);
            };
            let length = match u32::from_be_bytes([s0, s1, s2, s3]) {
                0 => None,
                1 => {
                    let Some(length) = self.array()? else {
                        return Ok(false);
                    };
                    Some(less(u64::from_be_bytes(length), 16)?)
                }
                length => Some(less(length.into(), 8)?),
            };
            match &kind {
                b"jxlc" if self.parts == 0 => {
                    self.is_last = true;
                    self.left = length;
                    return Ok(true);
                }
                b"jxlc" => return Err(invalid("it has two codestreams")),
                b"jxlp" => {
                    let Some(number) = self.array()? else {
                        return Ok(false);
                    };
                    let number = u32::from_be_bytes(number);
                    if number & !LAST != self.parts {
                        return Err(invalid("the parts of its codestream are not in order"));
                    }
                    self.parts += 1;
                    self.is_last = number & LAST != 0;
                    self.left = length.map(|length| less(length, 4)).transpose()?;
                    return Ok(true);
                }
                _ => match length {
                    Some(length) => skip(&mut self.source, length)?,
                    None => return Ok(false),
                },
            }
        }
    }

    /// Returns the next bytes; `None` if the file ends before.
    fn array<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.source.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<R: BufRead> Read for Codestream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left == Some(0) {
            if self.is_last || !self.next_part()? {
                return Ok(0);
            }
        }
        let Some(left) = &mut self.left else {
            return self.source.read(out);
        };
        let count = (&mut self.source).take(*left).read(out)?;
        *left -= count as u64;
        Ok(count)
    }
}

fn skip(source: &mut impl Read, count: u64) -> io::Result<()> {
    io::copy(&mut source.take(count), &mut io::sink()).map(drop)
}

/// Returns the bytes of a box behind its first `head` bytes.
fn less(length: u64, head: u64) -> io::Result<u64> {
    let rest = length.checked_sub(head);
    rest.ok_or_else(|| invalid("a box is smaller than its own head"))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: &[u8; 12] = b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a";

    fn with_length(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32 + 8).to_be_bytes();
        [&length, &kind, content].concat()
    }

    fn read(file: &[u8]) -> Result<Vec<u8>, String> {
        let mut found = Vec::new();
        let mut codestream = Codestream::new(file).map_err(|error| error.to_string())?;
        let count = codestream.read_to_end(&mut found);
        count.map(|_| found).map_err(|error| error.to_string())
    }

    #[test]
    fn the_codestream_is_joined_from_its_boxes() {
        let bare = b"\xff\x0acodestream";
        assert_eq!(read(bare).unwrap(), bare);
        let ftyp = with_length(*b"ftyp", b"jxl \0\0\0\0jxl ");
        let brob = with_length(*b"brob", b"Exifcompressed");
        let part = |number: u32, content: &[u8]| {
            with_length(*b"jxlp", &[&number.to_be_bytes(), content].concat())
        };
        let wide = [&b"\0\0\0\x01jxlc\0\0\0\0\0\0\0\x1c"[..], bare].concat();
        let to_the_end = [&b"\0\0\0\0jxlc"[..], bare].concat();
        let part_to_the_end = [&b"\0\0\0\0jxlp\x80\0\0\x01"[..], &bare[5..]].concat();
        let parts = [
            part(0, &bare[..5]),
            brob.clone(),
            part(1 | LAST, &bare[5..]),
        ]
        .concat();
        let empty = [part(0, b""), part(1, bare), part(2 | LAST, b"")].concat();
        for boxes in [
            with_length(*b"jxlc", bare),
            wide,
            to_the_end,
            parts,
            [part(0, &bare[..5]), part_to_the_end].concat(),
            empty,
        ] {
            let file = [BOXES, &ftyp[..], &brob, &boxes].concat();
            assert_eq!(read(&file).unwrap(), bare, "{boxes:?}");
            for length in BOXES.len()..file.len() {
                let cut = read(&file[..length]).unwrap();
                assert!(bare.starts_with(&cut), "{length}");
            }
        }
        let file = [BOXES, &with_length(*b"jxlc", bare)[..], &brob].concat();
        assert_eq!(read(&file).unwrap(), bare);
        assert_eq!(read(&[BOXES, &ftyp[..]].concat()).unwrap(), b"");
    }

    #[test]
    fn boxes_that_make_no_sense_are_refused() {
        let first = with_length(*b"jxlp", b"\0\0\0\0a");
        for (boxes, words) in [
            (b"\0\0\0\x07jxlc".to_vec(), "smaller than its own head"),
            (b"\0\0\0\x01jxlc\0\0\0\0\0\0\0\x0f".to_vec(), "smaller than"),
            (b"\0\0\0\x0bjxlp\0\0\0\0".to_vec(), "smaller than"),
            ([first.clone(), first.clone()].concat(), "not in order"),
            ([&first[..], b"\0\0\0\x09jxlca"].concat(), "two codestreams"),
        ] {
            let error = read(&[BOXES, &boxes[..]].concat()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
