//! The quotes of CSV: a file whose quotes are unbalanced is divided into other rows than its author sees.

use std::io::{self, Read};

use super::error::GroundTruthError;

/// Rows of CSV. Reading fails if the quotes of a cell do not end, or if text follows them: most often a quote of an
/// earlier cell is open, and the rows in between are its text. The `csv` crate takes both without a word.
pub(super) struct Quotes<R> {
    rows: R,
    delimiter: u8,
    place: Place,
    /// The line in which the current row begins.
    row: usize,
    line: usize,
}

/// The place of the next byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    StartOfCell,
    /// In a cell without quotes.
    Plain,
    Quoted,
    /// Behind a quote, which ends the cell or is the first of two.
    BehindQuote,
}

impl<R> Quotes<R> {
    /// `line` is that of the first row.
    pub(super) const fn new(rows: R, delimiter: u8, line: usize) -> Self {
        Self {
            rows,
            delimiter,
            place: Place::StartOfCell,
            row: line,
            line,
        }
    }

    fn read_byte(&mut self, byte: u8) -> Result<(), GroundTruthError> {
        if byte == b'\n' {
            self.line += 1;
        }
        self.place = match (self.place, byte) {
            (Place::StartOfCell | Place::BehindQuote, b'"') | (Place::Quoted, 0..b'"' | b'#'..) => {
                Place::Quoted
            }
            (Place::Quoted, b'"') => Place::BehindQuote,
            (_, b'\n') => {
                self.row = self.line;
                Place::StartOfCell
            }
            (_, b'\r') => Place::StartOfCell,
            (_, byte) if byte == self.delimiter => Place::StartOfCell,
            (Place::BehindQuote, _) => {
                return Err(GroundTruthError::BehindQuotes { line: self.row });
            }
            (Place::StartOfCell | Place::Plain, _) => Place::Plain,
        };
        Ok(())
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.rows.read(out)?;
        let read = if count == 0 && !out.is_empty() && self.place == Place::Quoted {
            Err(GroundTruthError::OpenCell { line: self.row })
        } else {
            out[..count]
                .iter()
                .try_for_each(|byte| self.read_byte(*byte))
        };
        read.map_err(io::Error::other)?;
        Ok(count)
    }
}
