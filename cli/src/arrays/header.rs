//! The header of an `.npy` file: `numpy.lib.format`.

use std::fmt::Write as _;
use std::io::{self, Read};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read. Those of `NumPy` for plain types have at most a few hundred bytes.
const MOST_BYTES: usize = 4096;

/// The type and the shape of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `NumPy`'s name of the type, such as `<f4`.
    pub descr: String,
    /// True if the first index changes fastest.
    pub is_fortran: bool,
    pub shape: Vec<u64>,
}

impl Header {
    /// Returns the header of version 1.0, for arrays in C's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut dict = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': (",
            self.descr
        );
        for size in &self.shape {
            let _ = write!(dict, "{size}, ");
        }
        dict.push_str(")}");
        // Magic, version, length, and a line end; the elements begin at a multiple of 64 bytes.
        let begin = 10;
        let length = (begin + dict.len() + 1).next_multiple_of(64) - begin;
        let mut header = [MAGIC, &[1, 0]].concat();
        header.extend((length as u16).to_le_bytes());
        header.extend(format!("{dict:<width$}\n", width = length - 1).bytes());
        header
    }

    /// Reads a header of any version. `None` for bytes that are none.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut start = [0; 8];
        if !fill(from, &mut start)? || !start.starts_with(MAGIC) {
            return Ok(None);
        }
        let mut length = [0; 4];
        let count = match start[6] {
            1 => 2,
            2 | 3 => 4,
            _ => return Ok(None),
        };
        if !fill(from, &mut length[..count])? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST_BYTES {
            return Ok(None);
        }
        let mut text = vec![0; length];
        if !fill(from, &mut text)? {
            return Ok(None);
        }
        Ok(std::str::from_utf8(&text).ok().and_then(parse))
    }
}

/// Fills `bytes`. Returns false if there are fewer.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}

/// Parses the literal of a dictionary with the keys that `NumPy` writes. The type of a structured array, a list, is kept
/// as it is written.
fn parse(text: &str) -> Option<Header> {
    let mut rest = Text(text.trim().strip_prefix('{')?.strip_suffix('}')?.trim());
    let (mut descr, mut is_fortran, mut shape) = (None, None, None);
    while !rest.0.is_empty() {
        let key = rest.quoted()?;
        rest.skip(":")?;
        match key {
            "descr" if rest.0.starts_with('[') => {
                // Nothing reads structured arrays; the keys behind the list are not needed.
                return Some(Header {
                    descr: rest.0.to_owned(),
                    is_fortran: false,
                    shape: Vec::new(),
                });
            }
            "descr" => descr = Some(rest.quoted()?.to_owned()),
            "fortran_order" => {
                is_fortran = Some(rest.skip("True").is_some());
                if is_fortran == Some(false) {
                    rest.skip("False")?;
                }
            }
            "shape" => shape = Some(rest.numbers()?),
            _ => return None,
        }
        if rest.skip(",").is_none() && !rest.0.is_empty() {
            return None;
        }
    }
    Some(Header {
        descr: descr?,
        is_fortran: is_fortran?,
        shape: shape?,
    })
}

/// The rest of a literal.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn skip(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?.trim_start();
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.0.chars().next().filter(|it| "'\"".contains(*it))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest.trim_start();
        (!text.contains('\\')).then_some(text)
    }

    fn numbers(&mut self) -> Option<Vec<u64>> {
        self.skip("(")?;
        let (text, rest) = self.0.split_once(')')?;
        self.0 = rest.trim_start();
        let text = text.trim();
        let numbers = text.strip_suffix(',').unwrap_or(text);
        if numbers.trim().is_empty() {
            return Some(Vec::new());
        }
        // Python 2 wrote `3L`.
        let number = |text: &str| text.trim().trim_end_matches('L').parse().ok();
        numbers.split(',').map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(descr: &str, shape: &[u64]) -> Header {
        Header {
            descr: descr.to_owned(),
            is_fortran: false,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn headers_are_those_of_numpy() {
        let header = header("<f4", &[3, 12]).to_bytes();
        // `numpy.lib.format.write_array` writes the same, except for the blank at the end of the shape.
        let text = "\u{1}\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 12, )}";
        let (magic, rest) = header.split_at(6);
        assert_eq!(magic, b"\x93NUMPY");
        assert!(rest.starts_with(text.as_bytes()), "{rest:?}");
        assert_eq!((header.len(), header.last()), (128, Some(&b'\n')));
        assert!(
            rest[text.len()..rest.len() - 1]
                .iter()
                .all(|byte| *byte == b' ')
        );
    }

    #[test]
    fn written_headers_are_read() {
        for shape in [&[][..], &[7], &[3, 12], &[u64::MAX, 0, 1, 2]] {
            let written = header("<U12", shape);
            let read = Header::read(&mut &written.to_bytes()[..]).unwrap();
            assert_eq!(read, Some(written));
        }
    }

    #[test]
    fn headers_of_numpy_are_parsed() {
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }";
        let expected = Header {
            is_fortran: true,
            ..header("<f4", &[2])
        };
        assert_eq!(parse(text), Some(expected));
        let text = "{\"shape\": (), 'fortran_order':False , 'descr': '|O'}  \n";
        assert_eq!(parse(text), Some(header("|O", &[])));
        let text = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }";
        assert!(parse(text).unwrap().descr.starts_with("[('a'"));
    }

    #[test]
    fn other_bytes_are_no_header() {
        let good = header("<f4", &[3]).to_bytes();
        for end in 0..good.len() - 1 {
            let read = Header::read(&mut &good[..end]).unwrap();
            assert_eq!(read, None, "{end}");
        }
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 'y'}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let mut long = [MAGIC, &[2, 0]].concat();
        long.extend(u32::MAX.to_le_bytes());
        assert_eq!(Header::read(&mut &long[..]).unwrap(), None);
    }
}
