//! Directories of TIFF, which EXIF blocks consist of too.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// Entries of a directory: more than any real file has.
const MOST_ENTRIES: u64 = 4096;

/// The tag of the orientation.
const ORIENTATION: u16 = 274;

/// An image file directory: tags and where their values are.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) big_endian: bool,
    entries: Vec<Entry>,
    /// Bytes of the file.
    length: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// Values, or the offset of values that do not fit.
    inline: [u8; 8],
    /// Bytes that fit.
    fits: u64,
}

impl Directory {
    /// Reads the first directory of a file, classic or `BigTIFF`.
    pub(super) fn read<R: Read + Seek>(source: &mut R) -> io::Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        let (big_endian, is_big) = start(source)?;
        let mut numbers = Numbers { source, big_endian };
        let offset = if is_big {
            if (numbers.short()?, numbers.short()?) != (8, 0) {
                return Err(invalid("offsets of BigTIFF have 8 bytes"));
            }
            numbers.long8()?
        } else {
            numbers.long()?.into()
        };
        source.seek(SeekFrom::Start(offset))?;
        let mut numbers = Numbers { source, big_endian };
        let count = if is_big {
            numbers.long8()?
        } else {
            numbers.short()?.into()
        };
        if count > MOST_ENTRIES {
            return Err(invalid("the directory has too many entries"));
        }
        let entries = (0..count).map(|_| numbers.entry(is_big));
        let entries = entries.collect::<io::Result<_>>()?;
        Ok(Self {
            big_endian,
            entries,
            length,
        })
    }

    /// Reads the directory of an EXIF block, which Pillow takes for a classic one whatever its mark says. A directory that
    /// is cut short has the entries before the cut.
    pub(super) fn read_exif<R: Read + Seek>(source: &mut R) -> io::Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        let (big_endian, is_big) = start(source)?;
        if is_big && !big_endian {
            return Err(invalid("an EXIF block is no BigTIFF"));
        }
        let mut numbers = Numbers { source, big_endian };
        let offset = numbers.long()?;
        numbers.source.seek(SeekFrom::Start(offset.into()))?;
        let count = u64::from(numbers.short().unwrap_or(0));
        let entries = (0..count.min(MOST_ENTRIES)).map_while(|_| numbers.entry(false).ok());
        Ok(Self {
            big_endian,
            entries: entries.collect(),
            length,
        })
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// Returns the number of values of `tag`, 0 if it is absent.
    pub(super) fn count(&self, tag: u16) -> u64 {
        self.entry(tag).map_or(0, |entry| entry.count)
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        // Of several entries Pillow takes the first one that has values of a type that it knows.
        self.entries
            .iter()
            .find(|entry| entry.tag == tag && entry.count > 0 && size_of(entry.kind).is_some())
    }

    /// Returns the bytes of at most `most` values.
    pub(super) fn bytes<R: Read + Seek>(
        &self,
        source: &mut R,
        tag: u16,
        most: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        self.entry(tag)
            .map(|entry| self.value(source, entry, most))
            .transpose()
    }

    /// Returns at most `most` of the whole numbers of an entry: each takes 8 bytes, and maybe one in the file.
    pub(super) fn numbers<R: Read + Seek>(
        &self,
        source: &mut R,
        tag: u16,
        most: u64,
    ) -> io::Result<Option<Vec<u64>>> {
        self.entry(tag)
            .map(|entry| self.whole_numbers(source, entry, most))
            .transpose()
    }

    /// Returns the first of the whole numbers.
    pub(super) fn number<R: Read + Seek>(
        &self,
        source: &mut R,
        tag: u16,
    ) -> io::Result<Option<u64>> {
        let Some(entry) = self.entry(tag) else {
            return Ok(None);
        };
        Ok(self.whole_numbers(source, entry, 1)?.first().copied())
    }

    fn whole_numbers<R: Read + Seek>(
        &self,
        source: &mut R,
        entry: &Entry,
        most: u64,
    ) -> io::Result<Vec<u64>> {
        let bytes = self.value(source, entry, most)?;
        let size = size_of(entry.kind).ok_or_else(|| invalid("a value has an unknown type"))?;
        if matches!(entry.kind, 2 | 5 | 10..=12) {
            return Err(invalid("a value is not a whole number"));
        }
        Ok(bytes
            .chunks_exact(size as usize)
            .map(|bytes| self.whole_number(bytes))
            .collect())
    }

    /// Returns the number of at most 8 bytes.
    fn whole_number(&self, bytes: &[u8]) -> u64 {
        let mut wide = [0; 8];
        if self.big_endian {
            wide[8 - bytes.len()..].copy_from_slice(bytes);
            u64::from_be_bytes(wide)
        } else {
            wide[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(wide)
        }
    }

    /// Returns the orientation, as Pillow reads it: the first of numbers of any type, also a ratio or a float that is whole. Bytes
    /// and texts are no numbers there; they are 0, since they state something.
    pub(super) fn orientation<R: Read + Seek>(&self, source: &mut R) -> io::Result<Option<u64>> {
        let Some(entry) = self.readable(ORIENTATION) else {
            return Ok(None);
        };
        let bytes = self.value(source, entry, 1)?;
        let number = |bytes: &[u8]| self.whole_number(bytes);
        let value = match (entry.kind, &bytes[..]) {
            (1 | 2 | 7, _) => 0.0,
            (5, [a, b, c, d, divisor @ ..]) => {
                number(&[*a, *b, *c, *d]) as f64 / number(divisor) as f64
            }
            (10, [a, b, c, d, divisor @ ..]) => {
                let signed = |bytes: &[u8]| f64::from(number(bytes) as u32 as i32);
                signed(&[*a, *b, *c, *d]) / signed(divisor)
            }
            (11, bytes) => f32::from_bits(number(bytes) as u32).into(),
            (12, bytes) => f64::from_bits(number(bytes)),
            (_, bytes) => return Ok(Some(number(bytes))),
        };
        // No other number is an orientation.
        let is_whole = (1..=8_u8).find(|whole| f64::from(*whole) == value);
        Ok(Some(is_whole.map_or(0, u64::from)))
    }

    /// Returns the entry of `tag` that Pillow finds: it reads the values of all entries in order, ends with those that are
    /// outside of the file, and skips those of tags that it has, and those that take more bytes, together with those before,
    /// than the file has.
    fn readable(&self, tag: u16) -> Option<&Entry> {
        let mut total = 0_u64;
        let mut found = BTreeSet::new();
        for entry in &self.entries {
            if found.contains(&entry.tag) {
                continue;
            }
            let Some(size) = size_of(entry.kind).and_then(|size| size.checked_mul(entry.count))
            else {
                continue;
            };
            if size > entry.fits {
                total = total.saturating_add(size);
                if total > self.length {
                    continue;
                }
                if self.offset(entry).saturating_add(size) > self.length {
                    return None;
                }
            }
            if size > 0 {
                if entry.tag == tag {
                    return Some(entry);
                }
                found.insert(entry.tag);
            }
        }
        None
    }

    /// Returns the place of values that do not fit into their entry.
    fn offset(&self, entry: &Entry) -> u64 {
        if self.big_endian && entry.fits == 8 {
            u64::from_be_bytes(entry.inline)
        } else if self.big_endian {
            u64::from_be_bytes(entry.inline) >> 32
        } else {
            u64::from_le_bytes(entry.inline)
        }
    }

    /// Returns the bytes of at most `most` values of `entry`.
    fn value<R: Read + Seek>(
        &self,
        source: &mut R,
        entry: &Entry,
        most: u64,
    ) -> io::Result<Vec<u8>> {
        let size = size_of(entry.kind).ok_or_else(|| invalid("a value has an unknown type"))?;
        let all = entry.count.checked_mul(size);
        let all = all.ok_or_else(|| invalid("a tag has too many values"))?;
        let wanted = entry.count.min(most) * size;
        if all <= entry.fits {
            return Ok(entry.inline[..wanted as usize].to_vec());
        }
        let offset = self.offset(entry);
        if offset
            .checked_add(wanted)
            .is_none_or(|end| end > self.length)
        {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        source.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; wanted as usize];
        source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Returns the bytes of a value of a type; `None` for types that Pillow does not know.
fn size_of(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}

/// Reads the byte order mark. Returns whether the file is big-endian, and whether it is a `BigTIFF`.
fn start<R: Read + Seek>(source: &mut R) -> io::Result<(bool, bool)> {
    source.rewind()?;
    let mut start = [0; 4];
    source.read_exact(&mut start)?;
    match &start {
        // The second form of each is wrong, and read by Pillow.
        b"II*\0" | b"II\0*" => Ok((false, false)),
        b"MM\0*" | b"MM*\0" => Ok((true, false)),
        b"II+\0" => Ok((false, true)),
        b"MM\0+" => Ok((true, true)),
        _ => Err(invalid("there is no byte order mark")),
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

struct Numbers<'a, R> {
    source: &'a mut R,
    big_endian: bool,
}

impl<R: Read> Numbers<'_, R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        if self.big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn short(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn long(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn long8(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn entry(&mut self, is_big: bool) -> io::Result<Entry> {
        let (tag, kind) = (self.short()?, self.short()?);
        let mut inline = [0; 8];
        let (count, fits) = if is_big {
            (self.long8()?, 8)
        } else {
            (self.long()?.into(), 4)
        };
        self.source.read_exact(&mut inline[..fits])?;
        Ok(Entry {
            tag,
            kind,
            count,
            inline,
            fits: fits as u64,
        })
    }
}
