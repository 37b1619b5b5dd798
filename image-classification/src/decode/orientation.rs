//! The orientation of an image from EXIF and XMP, as Pillow's `exif_transpose` finds it.

use std::io::Cursor;

use image::metadata::Orientation;

use super::DecodeError;
use super::ifd::Directory;
use super::limits::MOST_METADATA;

const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// The blocks of a file that may state an orientation.
#[derive(Debug, Default, Clone)]
pub(super) struct Metadata {
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl Metadata {
    /// Returns the orientation: of EXIF if it states any, else of XMP. If the EXIF block does not begin as one, there is
    /// none, as Pillow reads a JPEG; of the other formats it rejects the file.
    pub(super) fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref().map(without_prefix).unwrap_or_default();
        let stated = match of_exif(exif) {
            Ok(Some(number)) => Some(number),
            Err(_) if !exif.is_empty() => None,
            _ => self.xmp.as_deref().and_then(of_xmp),
        };
        stated.map_or(Orientation::NoTransforms, from_number)
    }

    /// Checks that no orientation can stand in the part of an EXIF block that was not read, behind [`MOST_METADATA`].
    ///
    /// # Errors
    ///
    /// If the block was cut before the end of its directory, which states no orientation until there.
    pub(super) fn check_reach(&self, format: &'static str) -> Result<(), DecodeError> {
        let block = self.exif.as_deref().unwrap_or_default();
        let is_cut = block.len() as u64 >= MOST_METADATA;
        let block = without_prefix(block);
        if !is_cut || end_of_directory(block).is_none_or(|end| end <= block.len()) {
            return Ok(());
        }
        match of_exif(block) {
            Ok(Some(_)) => Ok(()),
            _ => Err(DecodeError::Unsupported {
                format,
                source: format!("EXIF whose directory ends behind {MOST_METADATA} bytes").into(),
            }),
        }
    }
}

/// Returns the end of the first directory of an EXIF block, or of its place if that lies behind the block. `None` if the
/// block is none.
fn end_of_directory(block: &[u8]) -> Option<usize> {
    const ENTRY: usize = 12;
    let is_big_endian = match block.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let number = |place: usize, bytes: usize| {
        let bytes = block.get(place..place.checked_add(bytes)?)?.iter();
        let add = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if is_big_endian {
            bytes.fold(0, add)
        } else {
            bytes.rev().fold(0, add)
        })
    };
    let start = number(4, 4)?;
    let count = number(start, 2).unwrap_or(0);
    Some(start.saturating_add(2 + ENTRY * count))
}

/// Returns the orientation of a number from 1 to 8; `None` for others.
pub(super) fn from_number(number: u64) -> Orientation {
    u8::try_from(number)
        .ok()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

/// Some writers put the prefix of JPEG's segment into other formats' chunks. Pillow removes two, not more.
fn without_prefix(block: &[u8]) -> &[u8] {
    let rest = |block| <[u8]>::strip_prefix(block, EXIF_PREFIX).unwrap_or(block);
    rest(rest(block))
}

fn of_exif(block: &[u8]) -> std::io::Result<Option<u64>> {
    let mut source = Cursor::new(block);
    Directory::read_exif(&mut source)?.orientation(&mut source)
}

/// Returns the digit behind the first `tiff:Orientation="` or `tiff:Orientation>`.
pub(super) fn of_xmp(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = text;
    loop {
        let place = rest.windows(NAME.len()).position(|name| name == NAME)?;
        rest = &rest[place + NAME.len()..];
        let value = rest
            .strip_prefix(b"=\"")
            .or_else(|| rest.strip_prefix(b">"));
        if let Some([digit @ b'0'..=b'9', ..]) = value {
            return Some((digit - b'0').into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(kind: u16, value: [u8; 4], prefixes: usize) -> Vec<u8> {
        let mut block = EXIF_PREFIX.repeat(prefixes);
        block.extend(b"II*\0\x08\0\0\0\x01\0\x12\x01");
        block.extend(kind.to_le_bytes());
        block.extend([1, 0, 0, 0]);
        block.extend(value);
        block.extend([0; 4]);
        block
    }

    fn found(exif: Option<Vec<u8>>, xmp: Option<&str>) -> Orientation {
        let xmp = xmp.map(|text| text.as_bytes().to_vec());
        Metadata { exif, xmp }.orientation()
    }

    #[test]
    fn a_directory_behind_what_is_read_is_an_error() {
        let most = MOST_METADATA as usize;
        let block = |start: u32, length: usize| {
            let mut block = exif(3, [6, 0, 0, 0], 0);
            let directory = block.split_off(8);
            block[4..].copy_from_slice(&start.to_le_bytes());
            block.resize(start as usize, 0);
            block.extend(directory);
            block.resize(block.len().max(length), 0);
            block.truncate(most);
            Metadata {
                exif: Some(block),
                xmp: None,
            }
        };
        let turned = Orientation::from_exif(6).unwrap();
        for (start, is_read) in [
            (8, true),
            (most - 14, true),
            (most - 13, false),
            (most, false),
        ] {
            let metadata = block(start as u32, most);
            let error = metadata.check_reach("PNG").err();
            assert_eq!(error.is_none(), is_read, "{start} {error:?}");
            assert_eq!(metadata.orientation() == turned, is_read, "{start}");
        }
        // Damage is no reason to reject the pixels.
        let mut short = block(1000, 100);
        short.exif.as_mut().unwrap().truncate(900);
        assert!(short.check_reach("PNG").is_ok());
    }

    /// Pillow 13.0.0 takes ratios and floats for numbers, bytes and texts not.
    #[test]
    fn numbers_of_any_type_are_orientations() {
        let at_the_end = |kind: u16, value: &[u8]| {
            let mut block = exif(kind, [26, 0, 0, 0], 1);
            block.extend(value);
            found(Some(block), None)
        };
        let ratio = |above: i32, below: i32| [above.to_le_bytes(), below.to_le_bytes()].concat();
        for (kind, value) in [
            (5, ratio(6, 1)),
            (5, ratio(12, 2)),
            (10, ratio(-6, -1)),
            (12, 6.0_f64.to_le_bytes().to_vec()),
        ] {
            assert_eq!(at_the_end(kind, &value), Orientation::Rotate90, "{kind}");
        }
        for (kind, value) in [
            (5, ratio(13, 2)),
            (5, ratio(6, 0)),
            (10, ratio(-6, 1)),
            (12, f64::NAN.to_le_bytes().to_vec()),
        ] {
            assert_eq!(at_the_end(kind, &value), Orientation::NoTransforms);
        }
        let float = exif(11, 6.0_f32.to_le_bytes(), 0);
        assert_eq!(found(Some(float), None), Orientation::Rotate90);
        for kind in [1, 2, 7] {
            let block = exif(kind, [6, 0, 0, 0], 0);
            let xmp = Some("<x tiff:Orientation=\"8\"/>");
            assert_eq!(found(Some(block), xmp), Orientation::NoTransforms, "{kind}");
        }
    }

    #[test]
    fn types_and_prefixes_of_exif_do_not_matter() {
        for kind in [3, 4] {
            for prefixes in [0, 1, 2] {
                let block = exif(kind, [6, 0, 0, 0], prefixes);
                assert_eq!(found(Some(block), None), Orientation::Rotate90);
            }
        }
        assert_eq!(found(None, None), Orientation::NoTransforms);
        assert_eq!(
            found(Some(b"II*\0".to_vec()), None),
            Orientation::NoTransforms
        );
    }

    /// Pillow 13.0.0 takes the same entry.
    #[test]
    fn the_first_entry_with_a_known_type_and_values_counts() {
        let entry =
            |kind: u8, count: u8, value: u8| [0x12, 0x01, kind, 0, count, 0, 0, 0, value, 0, 0, 0];
        let of = |entries: &[[u8; 12]], stated: u8| {
            let mut block = b"II*\0\x08\0\0\0".to_vec();
            block.extend([stated, 0]);
            block.extend(entries.concat());
            found(Some(block), Some("<x tiff:Orientation=\"8\"/>"))
        };
        let (six, three) = (entry(3, 1, 6), entry(3, 1, 3));
        assert_eq!(of(&[six, three], 2), Orientation::Rotate90);
        assert_eq!(of(&[entry(0, 1, 6), three], 2), Orientation::Rotate180);
        assert_eq!(of(&[entry(3, 0, 6), three], 2), Orientation::Rotate180);
        // The directory is cut short.
        assert_eq!(of(&[six], 9), Orientation::Rotate90);
        for kind in [0, 14, 15, 17, 18, 129] {
            assert_eq!(
                of(&[entry(kind, 1, 6)], 1),
                Orientation::Rotate270,
                "{kind}"
            );
        }
        // A value outside of the block ends the search.
        let outside = [0x0f, 0x01, 2, 0, 9, 0, 0, 0, 250, 0, 0, 0];
        assert_eq!(of(&[outside, six], 2), Orientation::Rotate270);
        assert_eq!(of(&[six, outside], 2), Orientation::Rotate90);
    }

    #[test]
    fn what_does_not_begin_as_a_block_states_no_orientation() {
        let xmp = Some("<x tiff:Orientation=\"8\"/>");
        for block in [&b"II"[..], b"xxxx*\0\x08\0\0\0", b"II+\0\x08\0\0\0"] {
            assert_eq!(found(Some(block.to_vec()), xmp), Orientation::NoTransforms);
        }
        let prefixes = exif(3, [6, 0, 0, 0], 3);
        assert_eq!(found(Some(prefixes), xmp), Orientation::NoTransforms);
        assert_eq!(
            found(Some(EXIF_PREFIX.to_vec()), xmp),
            Orientation::Rotate270
        );
    }

    #[test]
    fn xmp_counts_where_exif_states_nothing() {
        let xmp = Some("<x tiff:Orientation=\"8\"/>");
        assert_eq!(found(None, xmp), Orientation::Rotate270);
        let element = Some("<tiff:Orientation/><tiff:Orientation>3</tiff:Orientation>");
        assert_eq!(found(None, element), Orientation::Rotate180);
        // An invalid number is a statement, too.
        for value in [1, 9] {
            let block = exif(3, [value, 0, 0, 0], 0);
            assert_eq!(found(Some(block), xmp), Orientation::NoTransforms);
        }
    }
}
