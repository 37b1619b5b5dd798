//! Files that are given as ground truth and are no text.

use image_classification::{DecodeError, Image};

use super::error::GroundTruthError;
use crate::text::is_utf_16;

/// The place of the magic in the header of a tar archive.
const TAR_MAGIC: usize = 257;

/// Checks by its first bytes that a file is text.
pub(super) fn check_text(head: &[u8]) -> Result<(), GroundTruthError> {
    let error = |what, hint| Err(GroundTruthError::NotText { what, hint });
    if let Some(compressed @ DecodeError::Compressed { by }) = DecodeError::of_compressed(head) {
        return error(by, compressed.hint());
    }
    let is_tar = head
        .get(TAR_MAGIC..)
        .is_some_and(|it| it.starts_with(b"ustar"));
    if is_tar {
        let hint = "extract the file with the classes; for classes next to the images of an archive, give the archive as \
                    an input, and no `truth` file";
        return error("a tar archive", hint);
    }
    if is_utf_16(head) {
        return error("UTF-16", "save it as UTF-8");
    }
    if head.starts_with(b"PK\x03\x04") {
        return error("a zip archive or a spreadsheet", "save the table as CSV");
    }
    if head.starts_with(b"PAR1") {
        return error("Parquet", "write its columns as CSV");
    }
    if Image::recognises(head) {
        return error("an image", "give the file that names the classes of images");
    }
    if head.contains(&0) {
        return error("not text, it has NUL bytes", "write it as text in UTF-8");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_text_are_named() {
        let mut tar = vec![0; 512];
        tar[..5].copy_from_slice(b"a.csv");
        tar[TAR_MAGIC..][..8].copy_from_slice(b"ustar  \0");
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (head, words) in [
            (b"\x1f\x8b\x08\0abc".to_vec(), "it is gzip"),
            (b"\x28\xb5\x2f\xfdabc".to_vec(), "it is zstd"),
            (tar, "it is a tar archive"),
            (utf_16("\u{feff}ä.jpg 1\n"), "it is UTF-16"),
            (utf_16("a.jpg 1\r\nb.jpg 2\r\n"), "it is UTF-16"),
            (
                b"PK\x03\x04".to_vec(),
                "it is a zip archive or a spreadsheet",
            ),
            (b"PAR1".to_vec(), "it is Parquet"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), "it is an image"),
            (b"a.jpg 1\0\n".to_vec(), "it is not text, it has NUL bytes"),
        ] {
            assert_eq!(check_text(&head).unwrap_err().to_string(), words);
        }
        check_text("\u{feff}ä.jpg\t1\n".as_bytes()).unwrap();
    }
}
