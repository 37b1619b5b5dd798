//! Fields of a Protocol Buffer, without a copy of their content.
//!
//! A generated message takes hundreds of bytes for two bytes of a file, and a graph has many messages of which few are
//! read. Here a message is the slice of its bytes, and only the fields that are asked for are looked at.

use prost::encoding::{WireType, decode_key, decode_varint};

/// A message that is looked at often has no more fields than these.
pub const MOST_FIELDS: usize = 1 << 10;

/// A field does not have the type of the schema, or leads out of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A number of fixed width.
    Fixed,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a>(pub &'a [u8]);

impl<'a> Message<'a> {
    /// Visits the fields with their numbers, in the order of the file.
    pub fn fields(self) -> impl Iterator<Item = Result<(u32, Field<'a>), Damaged>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let field = next(&mut rest);
            if field.is_err() {
                rest = &[];
            }
            Some(field)
        })
    }

    /// Returns the message if it has few fields, so that it can be looked at often.
    pub fn few(self) -> Result<Self, Damaged> {
        let is_few = self.fields().nth(MOST_FIELDS).is_none();
        is_few.then_some(self).ok_or(Damaged)
    }

    /// Visits the fields with this number, each a message, a text or bytes.
    pub fn all(self, number: u32) -> impl Iterator<Item = Result<&'a [u8], Damaged>> {
        self.fields().filter_map(move |field| match field {
            Ok((found, Field::Bytes(bytes))) if found == number => Some(Ok(bytes)),
            Ok((found, _)) if found == number => Some(Err(Damaged)),
            Ok(_) => None,
            Err(Damaged) => Some(Err(Damaged)),
        })
    }

    /// Returns the text or the bytes of a field. The last one counts.
    pub fn bytes(self, number: u32) -> Result<Option<&'a [u8]>, Damaged> {
        self.all(number).try_fold(None, |_, bytes| Ok(Some(bytes?)))
    }

    /// Returns the message in a field. Parts of one message in several fields are not joined.
    pub fn message(self, number: u32) -> Result<Option<Self>, Damaged> {
        let mut found = self.all(number);
        match (found.next().transpose()?, found.next()) {
            (message, None) => Ok(message.map(Message)),
            (_, Some(_)) => Err(Damaged),
        }
    }

    /// Returns the number in a field. The last one counts.
    pub fn number(self, number: u32) -> Result<Option<u64>, Damaged> {
        self.fields().try_fold(None, |last, field| match field? {
            (found, Field::Number(value)) if found == number => Ok(Some(value)),
            (found, _) if found == number => Err(Damaged),
            _ => Ok(last),
        })
    }

    /// Returns the numbers in a field, packed or not, at most `limit` of them.
    pub fn numbers(self, number: u32, limit: usize) -> Result<Vec<i64>, Damaged> {
        let mut numbers = Vec::new();
        for field in self.fields() {
            match field? {
                (found, Field::Number(value)) if found == number => {
                    numbers.push(value.cast_signed());
                }
                (found, Field::Bytes(mut packed)) if found == number => {
                    while !packed.is_empty() && numbers.len() <= limit {
                        numbers.push(varint(&mut packed)?.cast_signed());
                    }
                }
                (found, Field::Fixed) if found == number => return Err(Damaged),
                _ => {}
            }
            if numbers.len() > limit {
                return Err(Damaged);
            }
        }
        Ok(numbers)
    }

    /// Visits the entries of a map in a field, each its key and its value.
    pub fn entries(
        self,
        number: u32,
    ) -> impl Iterator<Item = Result<(&'a [u8], Message<'a>), Damaged>> {
        self.all(number).map(|entry| Self(entry?).entry())
    }

    /// Returns the key and the value of an entry of a map.
    pub fn entry(self) -> Result<(&'a [u8], Self), Damaged> {
        let value = self.message(2)?.unwrap_or(Self(&[]));
        Ok((self.bytes(1)?.unwrap_or_default(), value))
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, Damaged> {
    decode_varint(rest).map_err(|_| Damaged)
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(length).map_err(|_| Damaged)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = after;
    Ok(taken)
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<(u32, Field<'a>), Damaged> {
    let (number, kind) = decode_key(rest).map_err(|_| Damaged)?;
    let field = match kind {
        WireType::Varint => Field::Number(varint(rest)?),
        WireType::ThirtyTwoBit => take(rest, 4).map(|_| Field::Fixed)?,
        WireType::SixtyFourBit => take(rest, 8).map(|_| Field::Fixed)?,
        WireType::LengthDelimited => {
            let length = varint(rest)?;
            Field::Bytes(take(rest, length)?)
        }
        // No message of TensorFlow has groups.
        WireType::StartGroup | WireType::EndGroup => return Err(Damaged),
    };
    Ok((number, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_numbers() {
        // Field 1 is 300, field 2 the text "ab", field 3 four bytes, field 4 packed 1 and 2, then 3 alone.
        let bytes = b"\x08\xac\x02\x12\x02ab\x1d\0\0\0\0\x22\x02\x01\x02\x20\x03";
        let message = Message(bytes);
        assert_eq!(message.number(1), Ok(Some(300)));
        assert_eq!(message.bytes(2), Ok(Some(&b"ab"[..])));
        assert_eq!(message.numbers(4, 3), Ok(vec![1, 2, 3]));
        assert_eq!(message.numbers(4, 2), Err(Damaged));
        assert_eq!(message.number(5), Ok(None));
        assert_eq!(message.number(2), Err(Damaged), "a text");
        assert_eq!(message.bytes(1), Err(Damaged), "a number");
        assert_eq!(message.number(3), Err(Damaged), "of fixed width");
        for length in [2, 6, 9, 13] {
            let cut = Message(&bytes[..length]);
            assert!(cut.fields().any(|field| field.is_err()), "{length}");
        }
        assert_eq!(Message(b"\x0b").number(9), Err(Damaged), "a group");
    }

    #[test]
    fn few_fields_are_counted() {
        let fields = [8, 0].repeat(MOST_FIELDS);
        assert_eq!(Message(&fields).few(), Ok(Message(&fields)));
        let more = [&fields[..], &[8, 0]].concat();
        assert_eq!(Message(&more).few(), Err(Damaged));
    }

    #[test]
    fn a_message_in_parts_is_not_read() {
        assert_eq!(Message(b"\x0a\0").message(1), Ok(Some(Message(b""))));
        assert_eq!(Message(b"\x0a\0\x0a\0").message(1), Err(Damaged));
        assert_eq!(Message(b"\x0a\0\x0a\x01x").bytes(1), Ok(Some(&b"x"[..])));
    }
}
