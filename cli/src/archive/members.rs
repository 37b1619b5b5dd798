//! The headers of a tar archive. GNU's long names and PAX headers are read as Python's `tarfile` reads them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use tar::{EntryType, Header};

/// The size of a header, and the unit of sizes.
const BLOCK: u64 = 512;
/// The most bytes that are read for the headers of a member: names may be of any length.
const MOST_BYTES_OF_MEMBER: u64 = 4 << 20;
/// The keys of a global PAX header that would change every member behind it.
const NOT_GLOBAL: [&[u8]; 2] = [b"path", b"size"];
/// The start of the keys that describe a sparse file.
const SPARSE: &[u8] = b"GNU.sparse.";

/// The members of an archive, in their order.
#[derive(Debug)]
pub struct Members {
    file: File,
    length: u64,
    /// The place of the next header.
    next: u64,
    /// True once the block at the end of the archive was read.
    pub has_end: bool,
}

/// A member of an archive.
#[derive(Debug)]
pub struct Found {
    pub kind: EntryType,
    pub name: Vec<u8>,
    /// True for a sparse file in PAX form.
    pub is_sparse: bool,
    /// The place of its content.
    pub offset: u64,
    pub size: u64,
}

/// The values of headers that describe the next member. The first of several headers counts.
#[derive(Debug, Default)]
struct Described {
    /// The kinds of these headers.
    kinds: Vec<EntryType>,
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Members {
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            file,
            next: 0,
            has_end: false,
        })
    }

    /// Returns the next member; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        let mut described = Described::default();
        let mut rest = MOST_BYTES_OF_MEMBER;
        loop {
            let Some(header) = self.header()? else {
                return if described.kinds.is_empty() {
                    Ok(None)
                } else {
                    Err(damaged("a header describes a member that is missing"))
                };
            };
            let (kind, size) = (header.entry_type(), size_of(&header)?);
            // The headers of the oldest archives have other meanings for these letters.
            let is_known = header.as_gnu().is_some() || header.as_ustar().is_some();
            let is_description = matches!(
                kind,
                EntryType::GNULongName
                    | EntryType::GNULongLink
                    | EntryType::XHeader
                    | EntryType::XGlobalHeader
            );
            if !is_known || !is_description {
                return self.found(&header, described).map(Some);
            }
            let needed = size.checked_add(BLOCK);
            rest = needed
                .and_then(|needed| rest.checked_sub(needed))
                .ok_or_else(|| {
                    damaged(&format!(
                        "the headers of a member have more than {MOST_BYTES_OF_MEMBER} bytes"
                    ))
                })?;
            let content = self.read(self.next, size)?;
            self.skip(size)?;
            described.add(kind, content)?;
        }
    }

    fn found(&mut self, header: &Header, described: Described) -> io::Result<Found> {
        let kind = kind_of(header);
        if kind == EntryType::GNUSparse
            && let Some(gnu) = header.as_gnu()
        {
            // Blocks with the map of the file stand before its content.
            let mut has_more = gnu.is_extended();
            while has_more {
                let block = self.read(self.next, BLOCK)?;
                has_more = block[BLOCK as usize - 8] == 1;
                self.skip(BLOCK)?;
            }
        }
        let offset = self.next;
        let size = match described.size {
            Some(size) => size,
            None => size_of(header)?,
        };
        let is_bare = matches!(
            kind,
            EntryType::Directory
                | EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Fifo
        );
        if is_bare && size > 0 {
            return Err(damaged(
                "a directory, link, device or pipe has content: some readers of tar skip it, others read members in it",
            ));
        }
        self.skip(size)?;
        Ok(Found {
            kind,
            name: described
                .name
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            is_sparse: described.is_sparse,
            offset,
            size,
        })
    }

    /// Returns the next header; `None` at the end.
    fn header(&mut self) -> io::Result<Option<Header>> {
        if self.next > self.length {
            return Err(damaged("the archive is cut short inside of a member"));
        }
        if self.next == self.length {
            return Ok(None);
        }
        let block = self.read(self.next, BLOCK)?;
        self.next += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            self.has_end = true;
            return Ok(None);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        // The field of the checksum counts as blanks.
        let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
        if header.cksum()? != expected {
            return Err(damaged("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    /// Reads `count` bytes at `offset`.
    pub fn read(&mut self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(offset))?;
        (&self.file).take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == count {
            Ok(bytes)
        } else {
            Err(damaged("the archive is cut short inside of a member"))
        }
    }

    /// Skips content of `size` bytes, and the rest of its last block.
    fn skip(&mut self, size: u64) -> io::Result<()> {
        let next = size.checked_next_multiple_of(BLOCK);
        let next = next.and_then(|size| self.next.checked_add(size));
        self.next = next.ok_or_else(|| damaged("the archive is cut short inside of a member"))?;
        Ok(())
    }

    /// Returns whether the content of a member is there.
    pub fn has(&self, found: &Found) -> bool {
        let end = found.offset.checked_add(found.size);
        end.is_some_and(|end| end <= self.length)
    }

    /// Returns whether zeros alone follow the end, and at most `most` of them. Other readers stop at the end of an archive
    /// too, and lose what is behind it.
    pub fn has_zeros_alone(&mut self, most: u64) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.next))?;
        let mut rest = (&self.file).take(most + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = rest.read(&mut buffer)?;
            if count == 0 {
                return Ok(rest.limit() > 0);
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}

impl Described {
    fn add(&mut self, kind: EntryType, mut content: Vec<u8>) -> io::Result<()> {
        if kind == EntryType::XGlobalHeader {
            return check_global(&content);
        }
        if self.kinds.contains(&kind) {
            return Err(damaged("two headers of one kind describe the same member"));
        }
        self.kinds.push(kind);
        match kind {
            EntryType::GNULongName => {
                let end = content.iter().position(|byte| *byte == 0);
                content.truncate(end.unwrap_or(content.len()));
                self.name.get_or_insert(content);
                Ok(())
            }
            EntryType::XHeader => self.add_pax(&content),
            _ => Ok(()),
        }
    }

    fn add_pax(&mut self, content: &[u8]) -> io::Result<()> {
        let (mut name, mut sparse_name) = (None, None);
        for (key, value) in records(content)? {
            self.is_sparse |= key.starts_with(SPARSE);
            match key {
                b"path" => name = Some(value),
                b"GNU.sparse.name" => sparse_name = Some(value),
                b"size" => {
                    let size = std::str::from_utf8(value).ok();
                    let size = size.and_then(|size| size.parse().ok());
                    let wrong = || damaged("a PAX header has no number as its size");
                    self.size = Some(size.ok_or_else(wrong)?);
                }
                _ => (),
            }
        }
        if let Some(sparse) = sparse_name {
            // The other names of a sparse file are made up.
            self.name = Some(sparse.to_vec());
        } else if let Some(name) = name {
            self.name.get_or_insert(name.to_vec());
        }
        Ok(())
    }
}

/// Returns the kind of a member. The oldest directories are files whose names end in a slash.
fn kind_of(header: &Header) -> EntryType {
    if header.as_old().linkflag == [0] && header.path_bytes().ends_with(b"/") {
        EntryType::Directory
    } else {
        header.entry_type()
    }
}

/// Returns the size of a member. A blank field is 0, such as that of GNU's volume labels.
fn size_of(header: &Header) -> io::Result<u64> {
    let field = &header.as_old().size;
    if field.iter().all(|byte| matches!(byte, b' ' | 0)) {
        return Ok(0);
    }
    header.entry_size()
}

/// Checks that a global header leaves the members as they are: Python gives all of them its values.
fn check_global(content: &[u8]) -> io::Result<()> {
    let changes = |(key, _): &(&[u8], &[u8])| NOT_GLOBAL.contains(key) || key.starts_with(SPARSE);
    match records(content)?.into_iter().find(changes) {
        None => Ok(()),
        Some((key, _)) => Err(damaged(&format!(
            "a global PAX header has `{}`, which would be that of every member",
            String::from_utf8_lossy(key)
        ))),
    }
}

/// Returns the keys and values of a PAX header: `LENGTH KEY=VALUE` with a line break at the end, which the length counts.
/// A value may have line breaks too.
fn records(mut rest: &[u8]) -> io::Result<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    // Some programs fill the header with NUL.
    while rest.first().is_some_and(|byte| *byte != 0) {
        let record = split_record(rest);
        let (key, value, others) = record.ok_or_else(|| damaged("a PAX header is damaged"))?;
        records.push((key, value));
        rest = others;
    }
    Ok(records)
}

fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = rest.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
    let (record, others) = rest.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], others))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_pax_may_have_line_breaks() {
        let header = b"11 a=b\nc=d\n18 comment=x\ny\nz=\n7 e=\n\0\0\0";
        let found = records(header);
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", b"b\nc=d"), (b"comment", b"x\ny\nz="), (b"e", b"")];
        assert!(found.is_err(), "the last length is wrong: {found:?}");
        let header = b"11 a=b\nc=d\n18 comment=x\ny\nz=\n5 e=\n\0\0\0";
        assert_eq!(records(header).unwrap(), expected);
        for wrong in [
            &b"x"[..],
            b"5 a=\n5 b",
            b"0 a=\n",
            b"2 a=\n",
            b"5 a=b\n",
            b"5 ab\n",
            b"99999999999999999999 a=b\n",
            b"-5 a=\n",
        ] {
            assert!(records(wrong).is_err(), "{wrong:?}");
        }
    }
}
