//! Damage to files: at random, and where a reader's code branches: lengths, numbers, nesting, repetition.

use crate::random::Random;
use crate::repair;

/// The structure that damage respects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bytes without known checksums.
    Bytes,
    /// Text: numbers, quoted values, lines and brackets.
    Text,
    /// Chunks with a CRC each, which is corrected after most damage.
    Png,
    /// Blocks with a checksum each, which is corrected after most damage.
    Tar,
    /// Members with a CRC each, which is corrected after most damage.
    Zip,
}

/// The largest mutant.
const MOST_BYTES: usize = 1 << 20;
/// The most changes of one mutant.
const MOST_CHANGES: usize = 4;

/// Returns a damaged copy of one of `seeds`.
pub fn mutant(random: &mut Random, seeds: &[Vec<u8>], form: Form) -> Vec<u8> {
    let mut bytes = random.one_of(seeds).clone();
    // One change passes the first checks more often, several reach odd corners.
    let changes = if random.once_in(2) {
        1
    } else {
        1 + random.below(MOST_CHANGES)
    };
    for _ in 0..changes {
        match form {
            Form::Text if !random.once_in(4) => text(random, &mut bytes, seeds),
            _ => binary(random, &mut bytes, seeds),
        }
    }
    bytes.truncate(MOST_BYTES);
    if !random.once_in(8) {
        match form {
            Form::Png => repair::png(&mut bytes),
            Form::Tar => repair::tar(&mut bytes),
            Form::Zip => repair::zip(&mut bytes),
            Form::Bytes | Form::Text => {}
        }
    }
    bytes
}

/// Numbers at which code branches.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    u64::MAX >> 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

fn binary(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let place = random.below(bytes.len() + 1);
    match random.below(12) {
        0 => {
            for _ in 0..=random.below(8) {
                let place = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = random.byte();
            }
        }
        2 => {
            let number = *random.one_of(&NUMBERS);
            write_number(random, &mut bytes[place..], number);
        }
        3 => length_field(random, bytes),
        4 => bytes.truncate(place),
        5 => {
            let end = place + random.below((bytes.len() - place).min(256) + 1);
            bytes.drain(place..end);
        }
        6 => {
            let end = place + random.below((bytes.len() - place).min(512) + 1);
            let times = 1 + random.below(64);
            let block = bytes[place..end].repeat(times);
            bytes.splice(place..place, block);
        }
        7 => {
            let count = random.below(64);
            let fill = *random.one_of(&[0, 0xff, b'A']);
            let noise: Vec<u8> = if random.once_in(2) {
                (0..count).map(|_| random.byte()).collect()
            } else {
                vec![fill; count]
            };
            bytes.splice(place..place, noise);
        }
        8 => {
            // The head of one file and the tail of another.
            let other = random.one_of(seeds);
            let from = random.below(other.len() + 1);
            bytes.truncate(place);
            bytes.extend(&other[from..]);
        }
        9 => {
            let other = random.one_of(seeds);
            let from = random.below(other.len() + 1);
            let count = random.below((other.len() - from).min(bytes.len() - place).min(512) + 1);
            bytes[place..place + count].copy_from_slice(&other[from..from + count]);
        }
        10 => varint(random, bytes, place),
        _ => {
            let from = random.below(bytes.len() + 1);
            let count = random.below((bytes.len() - from.max(place)).min(64) + 1);
            bytes.copy_within(from..from + count, place);
        }
    }
}

/// Writes the low bytes of a number in either order.
fn write_number(random: &mut Random, bytes: &mut [u8], number: u64) {
    let width = (*random.one_of(&[1, 2, 4, 8])).min(bytes.len());
    let little = number.to_le_bytes();
    bytes[..width].copy_from_slice(&little[..width]);
    if random.once_in(2) {
        bytes[..width].reverse();
    }
}

/// Changes a number that may be a length or an offset in the file.
fn length_field(random: &mut Random, bytes: &mut [u8]) {
    for _ in 0..64 {
        let place = random.below(bytes.len());
        let is_big = random.once_in(2);
        let width = *random.one_of(&[2, 4]);
        let Some(field) = bytes.get(place..place + width) else {
            continue;
        };
        let mut value = 0_u64;
        for byte in 0..width {
            let byte = if is_big { byte } else { width - 1 - byte };
            value = value << 8 | u64::from(field[byte]);
        }
        if value < 2 || value > bytes.len() as u64 {
            continue;
        }
        let changed = match random.below(6) {
            0 => value + 1,
            1 => value - 1,
            2 => value * 2,
            3 => 0,
            4 => bytes.len() as u64 - place as u64,
            _ => *random.one_of(&NUMBERS),
        };
        let field = &mut bytes[place..place + width];
        field.copy_from_slice(&changed.to_le_bytes()[..width]);
        if is_big {
            field.reverse();
        }
        return;
    }
}

/// Replaces a byte by a number of Protocol Buffers with many bytes.
fn varint(random: &mut Random, bytes: &mut Vec<u8>, place: usize) {
    let mut number = *random.one_of(&NUMBERS);
    let mut coded = Vec::new();
    while number >= 0x80 {
        coded.push(number as u8 | 0x80);
        number >>= 7;
    }
    coded.push(number as u8);
    let end = (place + 1).min(bytes.len());
    bytes.splice(place..end, coded);
}

/// Values in the place of a number.
const WORDS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "255",
    "-0.0",
    "1e999",
    "1e-999",
    "NaN",
    "Infinity",
    "null",
    "true",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "[]",
];

/// Values in the place of a text.
const TEXTS: [&str; 14] = [
    "",
    "\\u0000",
    "\\ud800",
    "..",
    "../../x",
    "/",
    "\\u001b]0;x\\u0007",
    "é",
    "\\\\",
    "a\nb",
    "=1+1",
    "&amp;",
    "<![CDATA[x]]>",
    "%s%n",
];

fn text(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    match random.below(9) {
        0 | 1 => {
            let is_number = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
            let word = random.one_of(&WORDS).as_bytes();
            replace_run(random, bytes, u8::is_ascii_digit, is_number, word);
        }
        2 | 3 => {
            let quoted = quoted(random, bytes);
            if let Some((from, to)) = quoted {
                let other = random.one_of(seeds);
                let new = match random.below(4) {
                    0 => crate::mutate::quoted(random, other)
                        .map(|(from, to)| other[from..to].to_vec())
                        .unwrap_or_default(),
                    1 => vec![random.byte(); 1 + random.below(20_000)],
                    _ => random.one_of(&TEXTS).as_bytes().to_vec(),
                };
                bytes.splice(from..to, new);
            }
        }
        4 => {
            // A line or a part up to a comma, again or away.
            let separator = *random.one_of(b"\n,>");
            let places = bytes.iter().enumerate();
            let places = places.filter(|(_, byte)| **byte == separator);
            let places: Vec<usize> = places.map(|(place, _)| place).collect();
            if places.len() >= 2 {
                let which = random.below(places.len() - 1);
                let (from, to) = (places[which], places[which + 1]);
                if random.once_in(2) {
                    bytes.drain(from..to);
                } else {
                    let times = 1 + random.below(200);
                    let again = bytes[from..to].repeat(times);
                    bytes.splice(to..to, again);
                }
            }
        }
        5 => {
            let (open, close) = *random.one_of(&[
                ("[", "]"),
                ("{\"a\":", "}"),
                ("<a>", "</a>"),
                ("(", ")"),
                ("- ", ""),
            ]);
            let depth = 1 + random.below(4000);
            let place = random.below(bytes.len() + 1);
            let nested = [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat();
            bytes.splice(place..place, nested.into_bytes());
        }
        6 => {
            let place = random.below(bytes.len() + 1);
            let sign = *random.one_of(b"[]{}()<>\"':,;=#&*!|%@`\\/\t\r\n\0");
            bytes.insert(place, sign);
        }
        7 => {
            if let Some((from, to)) = quoted(random, bytes) {
                // Keys and values change places.
                let taken = bytes[from..to].to_vec();
                if let Some((start, end)) = quoted(random, bytes) {
                    bytes.splice(start..end, taken);
                }
            }
        }
        _ => {
            let heads: [&[u8]; 5] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"#", b" "];
            let head = random.one_of(&heads);
            bytes.splice(0..0, head.iter().copied());
        }
    }
}

/// Replaces one of the runs that begin with a byte of `first` and go on with bytes of `more`.
fn replace_run(
    random: &mut Random,
    bytes: &mut Vec<u8>,
    first: impl Fn(&u8) -> bool,
    more: impl Fn(&u8) -> bool,
    new: &[u8],
) {
    let start = random.below(bytes.len());
    let Some(from) = bytes[start..].iter().position(&first) else {
        return;
    };
    let from = start + from;
    let count = bytes[from..].iter().take_while(|byte| more(byte)).count();
    bytes.splice(from..from + count, new.iter().copied());
}

/// The place of a quoted text, without its quotes.
fn quoted(random: &mut Random, bytes: &[u8]) -> Option<(usize, usize)> {
    let start = random.below(bytes.len());
    let is_quote = |byte: &u8| *byte == b'"' || *byte == b'\'';
    let from = start + bytes.get(start..)?.iter().position(is_quote)? + 1;
    let count = bytes[from..].iter().position(is_quote)?;
    Some((from, from + count))
}
