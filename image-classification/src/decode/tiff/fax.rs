//! CCITT compression: one bit a pixel, in runs (ITU-T T.4 and T.6).

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::iter;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};

use super::super::DecodeError;
use super::chunks::Slice;
use super::unsupported;

type Bytes<'a> = Box<dyn Iterator<Item = Result<u8, Infallible>> + 'a>;

/// Rows of a strip or tile. A set bit is black before the photometric interpretation.
pub(super) struct Fax<'a> {
    reader: ByteReader<Bytes<'a>>,
    kind: Kind,
    width: u32,
    /// Columns where the colour changes, beginning with white.
    reference: Vec<u32>,
    current: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Rows in one dimension begin at bytes, without marks (compression 2).
    Aligned,
    /// Group 3: marks between rows; with or without rows that refer to the one above.
    Group3 {
        two_dimensional: bool,
    },
    Group4,
}

impl<'a> Fax<'a> {
    pub(super) fn new(
        mut data: Slice<'a>,
        compression: u64,
        options: u64,
        width: u32,
    ) -> Result<Self, DecodeError> {
        const UNCOMPRESSED: u64 = 2;
        // The tables look at more bits than the last code has.
        const PADDING: [u8; 4] = [0; 4];
        let kind = match compression {
            2 => Kind::Aligned,
            3 if options & UNCOMPRESSED == 0 => Kind::Group3 {
                two_dimensional: options & 1 == 1,
            },
            4 => Kind::Group4,
            _ => return Err(unsupported("uncompressed mode of CCITT compression")),
        };
        let bytes: Bytes = Box::new(iter::from_fn(move || data.next()).chain(PADDING).map(Ok));
        let Ok(reader) = ByteReader::new(bytes);
        Ok(Self {
            reader,
            kind,
            width,
            reference: Vec::new(),
            current: Vec::new(),
        })
    }

    /// Reads the next row into bits, the first pixel in the highest bit.
    pub(super) fn row(&mut self, row: &mut [u8]) -> io::Result<()> {
        self.current.clear();
        let read = match self.kind {
            Kind::Aligned => {
                let padding = self.reader.bits_to_byte_boundary();
                let Ok(()) = self.reader.consume(padding);
                self.one_dimension()
            }
            Kind::Group3 { two_dimensional } => {
                let refers = self.skip_mark(two_dimensional);
                if refers {
                    self.two_dimensions()
                } else {
                    self.one_dimension()
                }
            }
            Kind::Group4 => self.two_dimensions(),
        };
        if read.is_none() {
            let is_end = self.reader.peek(1).is_none();
            return Err(if is_end {
                ErrorKind::UnexpectedEof.into()
            } else {
                io::Error::new(ErrorKind::InvalidData, "there is an unknown CCITT code")
            });
        }
        row.fill(0);
        for pair in self.current.chunks(2) {
            let end = pair.get(1).map_or(self.width, |end| *end);
            fill_bits(row, pair[0], end.min(self.width));
        }
        std::mem::swap(&mut self.reference, &mut self.current);
        Ok(())
    }

    /// Skips fill bits and the mark of the end of a row, if it is there. Returns whether the next row refers to the
    /// one above.
    fn skip_mark(&mut self, two_dimensional: bool) -> bool {
        const ZEROS: u8 = 11;
        if self.reader.peek(ZEROS) != Some(0) {
            return false;
        }
        while self.reader.peek(1) == Some(0) {
            let Ok(()) = self.reader.consume(1);
        }
        let Ok(()) = self.reader.consume(1);
        if !two_dimensional {
            return false;
        }
        let tag = self.reader.peek(1);
        let Ok(()) = self.reader.consume(1);
        tag == Some(0)
    }

    fn one_dimension(&mut self) -> Option<()> {
        let (mut column, mut is_black) = (0, false);
        while column < self.width {
            column += self.run(is_black)?;
            if column > self.width {
                return None;
            }
            self.push(column)?;
            is_black = !is_black;
        }
        Some(())
    }

    fn two_dimensions(&mut self) -> Option<()> {
        // Before the first column at first.
        let (mut column, mut is_black, mut is_first) = (0, false, true);
        let mut change = 0;
        while column < self.width {
            // The first change on the reference row to the right of here and to the other colour.
            while let Some(place) = self.reference.get(change)
                && (*place < column || (!is_first && *place == column))
            {
                change += 1;
            }
            let first = change + usize::from((change % 2 == 1) != is_black);
            let at = |place: usize| self.reference.get(place).map_or(self.width, |place| *place);
            match mode::decode(&mut self.reader)? {
                Mode::Pass => {
                    column = at(first + 1);
                    is_first = false;
                    continue;
                }
                Mode::Horizontal => {
                    for is_black in [is_black, !is_black] {
                        column += self.run(is_black)?;
                        if column > self.width {
                            return None;
                        }
                        self.push(column)?;
                    }
                }
                Mode::Vertical(delta) => {
                    let place = at(first).checked_add_signed(delta.into())?;
                    if place > self.width || place < column {
                        return None;
                    }
                    column = place;
                    self.push(column)?;
                    is_black = !is_black;
                }
                Mode::Extension | Mode::EOF => return None,
            }
            is_first = false;
        }
        Some(())
    }

    /// Adds a change of the colour. Runs of no pixels are few in a real row, but a row has any number of bytes.
    fn push(&mut self, column: u32) -> Option<()> {
        let most = 2 * self.width as usize + 4;
        (self.current.len() < most).then(|| self.current.push(column))
    }

    /// Returns the length of a run: codes for multiples of 64 and a last one below.
    fn run(&mut self, is_black: bool) -> Option<u32> {
        let mut length = 0;
        loop {
            let part = if is_black {
                black::decode(&mut self.reader)
            } else {
                white::decode(&mut self.reader)
            };
            let part = part?;
            length += u32::from(part);
            if part < 64 {
                return Some(length);
            }
            if length > self.width {
                return None;
            }
        }
    }
}

/// Sets the bits from `start` to before `end`.
fn fill_bits(row: &mut [u8], start: u32, end: u32) {
    for column in start..end {
        row[(column / 8) as usize] |= 0x80 >> (column % 8);
    }
}
