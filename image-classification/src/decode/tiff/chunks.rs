//! Strips and tiles, decompressed row by row.

use std::cell::Cell;
use std::io::{self, BufRead, Cursor, ErrorKind, Read};

use flate2::bufread::ZlibDecoder;
use weezl::{BitOrder, LzwStatus};

use super::super::{DecodeError, DecodeLimits, jpeg};
use super::fax::Fax;
use super::pixels::Samples;
use super::{Layout, unsupported};

const NONE: u64 = 1;
const LZW: u64 = 5;
pub(super) const JPEG: u64 = 7;
const DEFLATE: [u64; 2] = [8, 32946];
const PACK_BITS: u64 = 32773;

/// Refuses compressions that are not read, by name.
pub(super) fn check_compression(compression: u64) -> Result<(), DecodeError> {
    let name = match compression {
        NONE | 2..=LZW | JPEG | PACK_BITS | 8 | 32946 => return Ok(()),
        6 => "old-style JPEG compression",
        32771 => "16-bit padded CCITT compression",
        32809 => "ThunderScan compression",
        34676 | 34677 => "SGI LogLuv compression",
        34712 | 33003 | 33005 => "JPEG 2000 compression",
        34887 => "LERC compression",
        34925 => "LZMA compression",
        50000 => "Zstandard compression",
        50001 => "WebP compression",
        50002 => "JPEG XL compression",
        other => return Err(unsupported(format!("compression {other}"))),
    };
    Err(unsupported(name))
}

/// Rejects combinations that a compression does not allow, and unsupported predictors, by name.
pub(super) fn check(
    compression: u64,
    predictor: u64,
    is_planar: bool,
    samples: &Samples,
) -> Result<(), DecodeError> {
    match compression {
        2..=4 if samples.bits != 1 || samples.count != 1 => {
            return Err(unsupported(
                "CCITT compression of more than one bit a pixel",
            ));
        }
        JPEG if samples.bits != 8 || (is_planar && samples.count > 1) => {
            let name = "JPEG compression of separate planes or of other than 8 bits";
            return Err(unsupported(name));
        }
        _ => (),
    }
    let has_predictor = compression == LZW || DEFLATE.contains(&compression);
    match predictor {
        1 => Ok(()),
        _ if !has_predictor => Ok(()),
        2 if matches!(samples.bits, 8 | 16 | 32) => Ok(()),
        2 => Err(unsupported(format!(
            "predictor 2 with {} bits",
            samples.bits
        ))),
        3 if samples.is_float() => Ok(()),
        3 => Err(unsupported("predictor 3 without floats")),
        other => Err(unsupported(format!("predictor {other}"))),
    }
}

/// The rows of a strip or tile.
pub(super) struct Rows<'a> {
    source: Source<'a>,
    predictor: u64,
    /// Samples side by side.
    stride: usize,
    /// Bytes of a sample.
    size: usize,
    big_endian: bool,
}

enum Source<'a> {
    Bytes(Box<dyn Read + 'a>),
    Fax(Fax<'a>),
}

impl<'a> Rows<'a> {
    /// `height` rows will be read of the chunk that consists of `data`. `read` counts the bytes that are read of it.
    pub(super) fn new(
        layout: &Layout,
        data: &'a [u8],
        read: &'a Cell<u64>,
        tables: Option<&[u8]>,
        height: usize,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let slice = Slice { rest: data, read };
        let source = match layout.compression {
            NONE => Source::Bytes(Box::new(slice)),
            LZW => Source::Bytes(Box::new(Lzw::new(slice)?)),
            PACK_BITS => Source::Bytes(Box::new(PackBits {
                data: slice,
                state: Run::Literal(0),
            })),
            JPEG => {
                let tables_length = tables.map_or(0, <[u8]>::len);
                read.set(read.get() + (tables_length + data.len()) as u64);
                let most = layout.jpeg_bytes(data.len() as u64);
                let size = (layout.chunk.0 as usize, height);
                let samples = &layout.samples;
                let pixels = jpeg::decode_chunk(
                    data,
                    tables,
                    size,
                    samples.count as usize,
                    samples.is_ycbcr(),
                    most,
                    limits,
                )?;
                Source::Bytes(Box::new(Cursor::new(pixels)))
            }
            kind @ 2..=4 => Source::Fax(Fax::new(slice, kind, layout.t4_options, layout.chunk.0)?),
            _ => Source::Bytes(Box::new(ZlibDecoder::new(slice))),
        };
        let planes = layout.planes();
        Ok(Self {
            source,
            predictor: layout.predictor,
            stride: (layout.samples.count / planes) as usize,
            size: (layout.samples.bits / 8) as usize,
            big_endian: layout.big_endian,
        })
    }

    /// Reads the next row.
    pub(super) fn read(&mut self, row: &mut [u8]) -> io::Result<()> {
        match &mut self.source {
            Source::Bytes(source) => source.read_exact(row)?,
            Source::Fax(fax) => fax.row(row)?,
        }
        match self.predictor {
            2 => self.add_left(row),
            3 => self.join_floats(row),
            _ => (),
        }
        Ok(())
    }

    /// Undoes a predictor: each sample is the difference to the sample of the pixel to its left.
    fn add_left(&self, row: &mut [u8]) {
        let (size, distance) = (self.size, self.size * self.stride);
        for place in (distance..row.len()).step_by(size) {
            // Bytes from the lowest one on carry.
            let mut carry = 0;
            for byte in 0..size {
                let byte = if self.big_endian {
                    size - 1 - byte
                } else {
                    byte
                };
                let sum =
                    u16::from(row[place + byte]) + u16::from(row[place - distance + byte]) + carry;
                row[place + byte] = sum as u8;
                carry = sum >> 8;
            }
        }
    }

    /// Undoes the predictor of floats: their bytes are sorted by significance, and each is the difference to the byte
    /// before it.
    fn join_floats(&self, row: &mut [u8]) {
        for place in self.stride..row.len() {
            row[place] = row[place].wrapping_add(row[place - self.stride]);
        }
        let sorted = row.to_vec();
        let count = row.len() / self.size;
        for (index, float) in row.chunks_exact_mut(self.size).enumerate() {
            for (significance, byte) in float.iter_mut().enumerate() {
                let significance = if self.big_endian {
                    significance
                } else {
                    self.size - 1 - significance
                };
                *byte = sorted[significance * count + index];
            }
        }
    }
}

/// Bytes that are read from their beginning to their end, and counted.
pub(super) struct Slice<'a> {
    rest: &'a [u8],
    read: &'a Cell<u64>,
}

impl Slice<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.rest.first().copied()?;
        self.consume(1);
        Some(byte)
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.rest;
        let count = rest.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Slice<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest = &self.rest[count..];
        self.read.set(self.read.get() + count as u64);
    }
}

struct Lzw<'a> {
    data: Slice<'a>,
    decoder: weezl::decode::Decoder,
}

impl<'a> Lzw<'a> {
    fn new(data: Slice<'a>) -> Result<Self, DecodeError> {
        // Codes of old files begin at the other end of their bytes: the first code clears the table.
        if let [0, second, ..] = *data.rest
            && second & 1 == 1
        {
            return Err(unsupported("old-style LZW compression"));
        }
        let configuration = weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8);
        Ok(Self {
            data,
            decoder: configuration.with_yield_on_full_buffer(true).build(),
        })
    }
}

impl Read for Lzw<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = self.decoder.decode_bytes(self.data.rest, out);
            self.data.consume(result.consumed_in);
            match result.status {
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
                Ok(LzwStatus::Ok) if result.consumed_out == 0 && !out.is_empty() => (),
                // A file without the code for the end is valid if all pixels are there.
                Ok(_) => return Ok(result.consumed_out),
            }
        }
    }
}

struct PackBits<'a> {
    data: Slice<'a>,
    state: Run,
}

enum Run {
    Literal(usize),
    Repeat(usize, u8),
}

impl Read for PackBits<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                Run::Literal(0) | Run::Repeat(0, _) => {
                    let Some(head) = self.data.next() else {
                        return Ok(0);
                    };
                    self.state = match head.cast_signed() {
                        // No operation.
                        -128 => continue,
                        count @ 0.. => Run::Literal(count as usize + 1),
                        count => {
                            let Some(byte) = self.data.next() else {
                                return Ok(0);
                            };
                            Run::Repeat(usize::from(count.unsigned_abs()) + 1, byte)
                        }
                    };
                }
                Run::Literal(left) => {
                    let most = (*left).min(out.len());
                    let count = self.data.read(&mut out[..most])?;
                    *left -= count;
                    return Ok(count);
                }
                Run::Repeat(left, byte) => {
                    let count = (*left).min(out.len());
                    out[..count].fill(*byte);
                    *left -= count;
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 0.1 of weezl lost bytes where a code gave more of them than there was room for.
    #[test]
    fn a_code_of_lzw_may_give_several_rows() {
        // Clear, 0, the code for 00 twice, end.
        let compressed = b"\x80\x00\x20\x50\x28\x08";
        let read = Cell::new(0);
        for width in [1, 2, 3, 5] {
            let mut reader = Lzw::new(Slice {
                rest: compressed,
                read: &read,
            })
            .unwrap();
            let (mut rows, mut row) = (Vec::new(), vec![9; width]);
            for _ in 0..5 / width {
                reader.read_exact(&mut row).unwrap();
                rows.extend_from_slice(&row);
            }
            assert!(rows.iter().all(|byte| *byte == 0), "{width}: {rows:?}");
        }
    }

    #[test]
    fn pack_bits_has_literals_runs_and_nothing() {
        // The example of Apple's technical note 1023.
        let packed = b"\xfe\xaa\x02\x80\x00\x2a\xfd\xaa\x03\x80\x00\x2a\x22\x80\xf7\xaa";
        let read = Cell::new(0);
        let mut reader = PackBits {
            data: Slice {
                rest: packed,
                read: &read,
            },
            state: Run::Literal(0),
        };
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        let mut expected = vec![
            0xaa, 0xaa, 0xaa, 0x80, 0, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0, 0x2a, 0x22,
        ];
        expected.extend([0xaa; 10]);
        assert_eq!(bytes, expected);
        assert_eq!(read.get(), packed.len() as u64);
    }
}
