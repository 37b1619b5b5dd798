//! ZIP archives that are appended to a model, as TensorFlow Lite has its labels.
//!
//! Every offset is checked. Entries are stored or deflated; no archive here needs ZIP64.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

/// The largest entry that is read.
const MOST_BYTES: u64 = 16 << 20;

/// Returns the content of the entry called `name` in the archive at the end of `bytes`. `None` if there is no such
/// entry, or if the archive is damaged.
pub fn entry(bytes: &[u8], name: &str) -> Option<Vec<u8>> {
    find(bytes, |entry| entry == name.as_bytes()).map(|(_, content)| content)
}

/// Returns the name and the content of the first entry in the archive at the end of `bytes`. `None` if the archive is
/// empty or damaged.
pub fn first(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    find(bytes, |_| true)
}

fn find(bytes: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Option<(String, Vec<u8>)> {
    // The end of the central directory has a comment of at most 64 KiB after it.
    let from = bytes.len().saturating_sub(22 + 0xffff);
    let end = from
        + bytes
            .get(from..)?
            .windows(4)
            .rposition(|it| it == b"PK\x05\x06")?;
    let (count, size, offset) = (
        u16_at(bytes, end + 10)?,
        at(bytes, end + 12)?,
        at(bytes, end + 16)?,
    );
    // Offsets count from the beginning of the model or of the archive.
    let mut directory = end.checked_sub(size)?;
    let base = directory.checked_sub(offset)?;
    for _ in 0..count {
        let header = bytes.get(directory..)?;
        if header.get(..4)? != b"PK\x01\x02" {
            return None;
        }
        let lengths = [28, 30, 32].map(|field| u16_at(header, field));
        let [name_length, extra, comment] = lengths;
        let (name_length, extra, comment) = (name_length?, extra?, comment?);
        let name = header.get(46..46 + name_length)?;
        if is_wanted(name) {
            let (method, size) = (u16_at(header, 10)?, at(header, 20)?);
            let local = bytes.get(base.checked_add(at(header, 42)?)?..)?;
            if local.get(..4)? != b"PK\x03\x04" {
                return None;
            }
            let begin = 30 + u16_at(local, 26)? + u16_at(local, 28)?;
            let content = local.get(begin..begin.checked_add(size)?)?;
            let name = String::from_utf8_lossy(name).into_owned();
            return unpacked(content, method).map(|content| (name, content));
        }
        directory += 46 + name_length + extra + comment;
    }
    None
}

fn unpacked(content: &[u8], method: usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    match method {
        0 => unpacked.extend_from_slice(content),
        8 => {
            let read = DeflateDecoder::new(content)
                .take(MOST_BYTES + 1)
                .read_to_end(&mut unpacked);
            read.ok()?;
        }
        _ => return None,
    }
    (unpacked.len() as u64 <= MOST_BYTES).then_some(unpacked)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(pair.try_into().ok()?)))
}

fn at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
}
