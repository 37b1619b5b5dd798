//! The orientation of an image from EXIF and XMP, as Pillow's `exif_transpose` finds it.

use std::io::Cursor;

use image::metadata::Orientation;

use super::ifd::Directory;

const EXIF_PREFIX: &[u8] = b"Exif\0\0";

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
    directory.orientation(&mut source).ok()?
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
