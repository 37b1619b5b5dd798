//! The Huffman tables of a lossless WebP, counted before the decoder makes them.
//!
//! The entropy image selects one of up to 65,536 groups of five prefix codes for each block of pixels. A file of a few
//! megabytes can therefore make the decoder allocate more than a gigabyte, and only a reader of the stream knows how much.
//! This one reads as far as the tables, as the decoder does, and keeps no pixels. It rejects every stream that it cannot
//! read, so that no file is decoded uncounted.

use std::io::BufRead;

use super::DecodeError;

/// Alphabets of green with lengths, red, blue, alpha, and distances.
const ALPHABETS: [usize; 5] = [LITERALS + LENGTHS, LITERALS, LITERALS, LITERALS, 40];
const LITERALS: usize = 256;
const LENGTHS: usize = 24;
/// The longest code.
const LONGEST: usize = 15;

/// Bytes of a group without its tables: five of 56 bytes, in a vector that doubles and holds its old memory meanwhile.
const GROUP_BYTES: u64 = 3 * 5 * 56;
/// Bits of the part of a code that is looked up at once, in a table of 4 bytes for each of their values.
const TABLE_BITS: usize = 10;
/// Bytes for each longer code: two nodes of a tree.
const LONG_CODE_BYTES: u64 = 32;
/// Bytes that an allocator rounds up, for a table and a tree.
const ROUNDING: u64 = 32;

/// Returns an upper bound of the bytes of all Huffman tables of a stream, whose pixels have `size`. A stream in an alpha
/// chunk has no head.
pub(super) fn table_bytes(
    source: impl BufRead,
    size: (u32, u32),
    has_head: bool,
) -> Result<u64, DecodeError> {
    let mut stream = Stream {
        source,
        buffer: 0,
        count: 0,
    };
    if has_head {
        let signature = stream.bits(8)?;
        let stated = (stream.bits(14)? + 1, stream.bits(14)? + 1);
        let _alpha = stream.bits(1)?;
        let version = stream.bits(3)?;
        if (signature, stated, version) != (0x2f, size, 0) {
            return Err(damaged());
        }
    }
    let (mut width, height) = size;
    let mut transforms = [false; 4];
    while stream.bits(1)? == 1 {
        let kind = stream.bits(2)?;
        if std::mem::replace(&mut transforms[kind as usize], true) {
            return Err(damaged());
        }
        match kind {
            // Predictors, or factors of colours, of blocks.
            0 | 1 => {
                stream.block_image(width, height)?;
            }
            2 => (),
            _ => {
                let colours = stream.bits(8)? + 1;
                stream.image(colours, 1)?;
                let shared_bits = match colours {
                    0..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                width = width.div_ceil(1 << shared_bits);
            }
        }
    }
    let cached = stream.cached_colours()?;
    let groups = match stream.bits(1)? {
        0 => 1,
        _ => stream.block_image(width, height)? + 1,
    };
    let mut bytes = 0;
    for _ in 0..groups {
        let group = stream.group(cached)?;
        bytes += GROUP_BYTES + group.iter().map(Code::bytes).sum::<u64>();
    }
    Ok(bytes)
}

fn damaged() -> DecodeError {
    DecodeError::Damaged {
        format: "WebP",
        source: "the lossless stream is corrupt".into(),
    }
}

struct Stream<R> {
    source: R,
    /// The next bits, the first one lowest.
    buffer: u64,
    count: u32,
}

impl<R: BufRead> Stream<R> {
    /// Reads a number of at most 18 bits.
    fn bits(&mut self, count: u32) -> Result<u32, DecodeError> {
        while self.count < count {
            let next = self.source.fill_buf().map_err(DecodeError::Unreadable)?;
            let byte = *next.first().ok_or_else(damaged)?;
            self.source.consume(1);
            self.buffer |= u64::from(byte) << self.count;
            self.count += 8;
        }
        let value = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.count -= count;
        Ok(value as u32)
    }

    fn symbol(&mut self, code: &Code) -> Result<usize, DecodeError> {
        if let [only] = code.symbols[..] {
            return Ok(only.into());
        }
        // Codes of a length are consecutive numbers, and those of the next one begin behind them.
        let (mut value, mut first, mut place) = (0, 0, 0);
        for count in &code.counts[1..] {
            value |= self.bits(1)? as usize;
            let count = usize::from(*count);
            if value < first + count {
                return Ok(code.symbols[place + value - first].into());
            }
            place += count;
            first = (first + count) << 1;
            value <<= 1;
        }
        Err(damaged())
    }

    /// Returns the size of the cache of colours.
    fn cached_colours(&mut self) -> Result<usize, DecodeError> {
        if self.bits(1)? == 0 {
            return Ok(0);
        }
        match self.bits(4)? {
            bits @ 1..=11 => Ok(1 << bits),
            _ => Err(damaged()),
        }
    }

    /// Reads an image with one pixel for each block of an image of this size, as [`image`](Self::image) does.
    fn block_image(&mut self, width: u32, height: u32) -> Result<u32, DecodeError> {
        let side = 1 << (self.bits(3)? + 2);
        self.image(width.div_ceil(side), height.div_ceil(side))
    }

    /// Reads an image that has one group of tables. Returns the largest number that red and green of a pixel make. Only
    /// literal pixels are looked at, because all others are copies of them.
    fn image(&mut self, width: u32, height: u32) -> Result<u32, DecodeError> {
        let cached = self.cached_colours()?;
        let [green, red, blue, alpha, distances] = &self.group(cached)?;
        let colours = [green, red, blue, alpha];
        let is_plain = colours.iter().all(|code| code.symbols.len() == 1);
        let mut left = u64::from(width) * u64::from(height);
        let mut largest = 0;
        while left > 0 {
            let first = self.symbol(green)?;
            left -= if first < LITERALS {
                let number = self.symbol(red)? << 8 | first;
                largest = largest.max(number as u32);
                self.symbol(blue)?;
                self.symbol(alpha)?;
                // No bits follow.
                if is_plain { left } else { 1 }
            } else if first < LITERALS + LENGTHS {
                let length = self.distance(first - LITERALS)?;
                let distance = self.symbol(distances)?;
                self.distance(distance)?;
                u64::from(length).min(left)
            } else {
                1
            };
        }
        Ok(largest)
    }

    /// Reads the bits that a prefix announces. Returns a length or a distance.
    fn distance(&mut self, prefix: usize) -> Result<u32, DecodeError> {
        let prefix = prefix as u32;
        if prefix < 4 {
            return Ok(prefix + 1);
        }
        let extra = (prefix - 2) >> 1;
        Ok(((2 + (prefix & 1)) << extra) + self.bits(extra)? + 1)
    }

    /// Reads a group of tables, for a cache of so many colours.
    fn group(&mut self, cached: usize) -> Result<[Code; 5], DecodeError> {
        let mut group = <[Code; 5]>::default();
        for (place, (code, alphabet)) in group.iter_mut().zip(ALPHABETS).enumerate() {
            *code = self.code(if place == 0 {
                alphabet + cached
            } else {
                alphabet
            })?;
        }
        Ok(group)
    }

    fn code(&mut self, alphabet: usize) -> Result<Code, DecodeError> {
        if self.bits(1)? == 0 {
            let lengths = self.lengths(alphabet)?;
            return Code::new(&lengths);
        }
        let count = self.bits(1)? + 1;
        let wide = self.bits(1)?;
        let mut symbols = vec![self.bits(1 + 7 * wide)? as u16];
        if count == 2 {
            symbols.push(self.bits(8)? as u16);
        }
        if symbols
            .iter()
            .any(|symbol| usize::from(*symbol) >= alphabet)
        {
            return Err(damaged());
        }
        let mut code = Code {
            symbols,
            ..Code::default()
        };
        code.counts[1] = count as u16;
        Ok(code)
    }

    /// Reads the lengths of the codes of an alphabet.
    fn lengths(&mut self, alphabet: usize) -> Result<Vec<u8>, DecodeError> {
        const ORDER: [usize; 19] = [
            17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        ];
        let mut of_lengths = [0; ORDER.len()];
        let count = 4 + self.bits(4)? as usize;
        for place in ORDER.get(..count).ok_or_else(damaged)? {
            of_lengths[*place] = self.bits(3)? as u8;
        }
        let code = Code::new(&of_lengths)?;
        let mut most = alphabet;
        if self.bits(1)? == 1 {
            let bits = 2 + 2 * self.bits(3)?;
            most = 2 + self.bits(bits)? as usize;
            if most > alphabet {
                return Err(damaged());
            }
        }
        let mut lengths = Vec::with_capacity(alphabet);
        let mut previous = 8;
        while lengths.len() < alphabet && most > 0 {
            most -= 1;
            let (length, times) = match self.symbol(&code)? {
                16 => (previous, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                previous = length;
            }
            lengths.resize(lengths.len() + times as usize, length);
        }
        if lengths.len() > alphabet {
            return Err(damaged());
        }
        Ok(lengths)
    }
}

/// A Huffman code.
#[derive(Default)]
struct Code {
    /// The number of codes of each length.
    counts: [u16; LONGEST + 1],
    /// The symbols in the order of their codes. One alone has no bits.
    symbols: Vec<u16>,
}

impl Code {
    /// Returns the code of symbols with these lengths; symbols of length 0 have no code.
    fn new(lengths: &[u8]) -> Result<Self, DecodeError> {
        let mut code = Self::default();
        let used = lengths.iter().zip(0..).filter(|(length, _)| **length > 0);
        let mut symbols: Vec<(u8, u16)> = used.map(|(length, symbol)| (*length, symbol)).collect();
        symbols.sort_unstable();
        for (length, symbol) in symbols {
            code.counts[usize::from(length)] += 1;
            code.symbols.push(symbol);
        }
        let shares = code.counts.iter().zip(0..);
        let total: u32 = shares
            .map(|(count, length)| u32::from(*count) << (LONGEST - length))
            .sum();
        match code.symbols.len() {
            0 => Err(damaged()),
            1 => Ok(code),
            _ if total == 1 << LONGEST => Ok(code),
            _ => Err(damaged()),
        }
    }

    /// Returns the bytes that the decoder allocates for this code.
    fn bytes(&self) -> u64 {
        if self.symbols.len() == 1 {
            return 0;
        }
        let longest = self.counts.iter().rposition(|count| *count > 0);
        let table = 4 << longest.unwrap_or(0).min(TABLE_BITS);
        let long: u64 = self.counts[TABLE_BITS + 1..]
            .iter()
            .map(|count| u64::from(*count))
            .sum();
        // A code of two symbols without lengths has a tree of three nodes that it does not use.
        table + LONG_CODE_BYTES * long.max(2) + ROUNDING
    }
}
