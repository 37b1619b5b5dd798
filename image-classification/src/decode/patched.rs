//! A source with one other byte, for decoders that reject a value which does not matter.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

pub(super) struct Patched<R> {
    source: R,
    place: u64,
    at: u64,
    byte: u8,
}

impl<R> Patched<R> {
    /// Returns `source`, which stands at its start, with `byte` at the place `at`.
    pub(super) fn new(source: R, at: u64, byte: u8) -> Self {
        Self {
            source,
            place: 0,
            at,
            byte,
        }
    }
}

impl<R: BufRead> Read for Patched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Patched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.source.fill_buf()?;
        if self.at == self.place && !buffer.is_empty() {
            return Ok(std::slice::from_ref(&self.byte));
        }
        let before = self.at.checked_sub(self.place);
        let most = before.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        Ok(&buffer[..buffer.len().min(most)])
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.place += count as u64;
    }
}

impl<R: Seek> Seek for Patched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.place = self.source.seek(to)?;
        Ok(self.place)
    }

    // Without it, a buffered source would read its buffer again after each small step.
    fn seek_relative(&mut self, by: i64) -> io::Result<()> {
        self.source.seek_relative(by)?;
        self.place = self.place.wrapping_add_signed(by);
        Ok(())
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.place)
    }
}
