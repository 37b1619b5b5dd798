//! The orientation of an image from EXIF and XMP, as Pillow's `exif_transpose` finds it.

use std::io::Cursor;

use image::metadata::Orientation;

use super::ifd::Directory;

const EXIF_PREFIX: &[u8] = b"Exif\0\0";
/// The tag of EXIF and TIFF.
pub(super) const TAG: u16 = 274;

/// The blocks of a file that may state an orientation.
#[derive(Debug, Default, Clone)]
pub(super) struct Metadata {
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl Metadata {
    /// Returns the orientation: of EXIF if it states any, else of XMP. A damaged block states none.
    pub(super) fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref().and_then(of_exif);
        let stated = exif.or_else(|| self.xmp.as_deref().and_then(of_xmp));
        stated.map_or(Orientation::NoTransforms, from_number)
    }
}

/// Returns the orientation of a number from 1 to 8; `None` for others.
pub(super) fn from_number(number: u64) -> Orientation {
    u8::try_from(number)
        .ok()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

/// Some writers put the prefix of JPEG's segment into other formats' chunks.
fn of_exif(mut block: &[u8]) -> Option<u64> {
    while let Some(rest) = block.strip_prefix(EXIF_PREFIX) {
        block = rest;
    }
    let mut source = Cursor::new(block);
    let directory = Directory::read(&mut source).ok()?;
    directory.number(&mut source, TAG).ok()?
}

/// The digit behind the first `tiff:Orientation="` or `tiff:Orientation>`.
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
