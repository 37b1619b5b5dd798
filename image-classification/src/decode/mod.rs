//! Images from bytes that anyone may have sent.

mod bmp;
mod codecs;
mod error;
mod format;
mod gif;
mod header;
mod ico;
mod ifd;
mod image;
mod jpeg;
#[cfg(feature = "jpeg-xl")]
mod jxl;
mod limits;
mod note;
mod orientation;
mod patched;
mod png;
mod pnm;
mod rgb;
mod tga;
mod tiff;
mod vp8l;
mod webp;

use std::ffi::OsStr;
use std::io::{BufRead, Cursor, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::image::ImageFormat;

pub use error::DecodeError;
pub(crate) use error::bytes_of;
pub(crate) use format::HEAD_BYTES;
use format::{Format, Recognised};
pub use header::ImageHeader;
pub use image::Image;
pub use limits::DecodeLimits;
pub(crate) use limits::MOST_SIDE;
use limits::within;
pub use note::ImageNote;

impl Image {
    /// Returns whether a file that begins with `head` is an image, in a format that is decoded or not. The first
    /// 132 bytes are enough. Formats without a signature, such as TGA, are not recognised.
    pub fn recognises(head: &[u8]) -> bool {
        format::recognise(head).is_some()
    }

    /// Returns whether files with this ending, without its dot, are images, in a format that is decoded or not.
    pub fn has_ending(ending: &OsStr) -> bool {
        format::is_image_ending(ending)
    }

    /// Decodes the bytes of a file.
    ///
    /// JPEGs give libjpeg-turbo's pixels, which are Pillow's and OpenCV's, to the byte; those with
    /// four channels (CMYK, YCCK) become RGB as Pillow's `convert("RGB")` makes it. A JPEG that is
    /// cut short or whose data are damaged is an error, where libjpeg fills in grey.
    ///
    /// The format is recognised by content, never by name. Animated formats give their first frame. The pixels of all
    /// formats equal Pillow's `exif_transpose(image).convert("RGB")`: upright by EXIF or XMP, grey in three equal
    /// channels, palettes looked up, an alpha channel dropped without blending. Of 16 bits the upper 8 remain, as in
    /// OpenCV. [`note`](Self::note) has a remark on an image that is probably not as it was meant.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]. A panic inside a decoder is one of them.
    pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        Self::decode_reduced(bytes, limits, Vec::new(), |_, _| 1)
    }

    /// Does [`decode`](Self::decode), but a JPEG is decoded smaller, which is much faster: by what `reduction` gives
    /// for its upright width and height, 1, 2, 4 or 8, for instance
    /// [`Preprocess::reduction`](crate::Preprocess::reduction). Its sizes are divided by that and rounded up.
    /// The pixels are libjpeg-turbo's for that scale (Pillow's `draft`); they differ from the whole
    /// image resized.
    ///
    /// Pixels take the memory of `spare`, such as [`into_rgb`](Self::into_rgb) of an image that is no
    /// longer needed: of the time for JPEGs of 12 megapixels the system took a third, mostly to hand out fresh
    /// memory.
    ///
    /// # Errors
    ///
    /// The errors are those of [`decode`](Self::decode). The limits apply to the whole image.
    pub fn decode_reduced(
        bytes: &[u8],
        limits: &DecodeLimits,
        spare: Vec<u8>,
        reduction: impl FnOnce(u32, u32) -> u32,
    ) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        within(
            "a file size in bytes",
            bytes.len() as u64,
            limits.file_bytes,
        )?;
        let format = format_of(bytes)?;
        let (source, length) = (Cursor::new(bytes), bytes.len() as u64);
        guarded(format, || match format {
            Format::Jpeg => jpeg::decode(bytes, limits, spare, reduction),
            Format::Png => png::decode(source, length, limits, spare),
            Format::Gif => gif::decode(source, length, limits, spare),
            Format::Tiff => tiff::decode(bytes, limits, spare),
            Format::WebP => webp::decode(source, length, limits, spare),
            Format::Bmp => bmp::decode(bytes, limits, spare),
            Format::Ico => ico::decode(source, length, limits, spare),
            Format::Pnm => pnm::decode(bytes, limits, spare),
            Format::Qoi => codecs::decode(source, ImageFormat::Qoi, limits, spare),
            Format::Tga => tga::decode(bytes, limits, spare),
            #[cfg(feature = "jpeg-xl")]
            Format::JpegXl => jxl::decode(source, length, limits, spare),
            #[cfg(not(feature = "jpeg-xl"))]
            Format::JpegXl => Err(not_decoded(format.name())),
        })
    }
}

impl ImageHeader {
    /// Reads the header of an image. Less than 32 MiB are allocated whatever it claims, except for the prefix codes of a
    /// JPEG XL (see [`decode_bytes`](Self::decode_bytes)).
    ///
    /// # Errors
    ///
    /// The [`DecodeError`] of [`Image::decode`] for the same file, if the header shows it.
    pub fn read<R: BufRead + Seek>(source: R, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        read_header(source, limits)
    }
}

/// Reads the header of a file.
fn read_header<R: BufRead + Seek>(
    mut source: R,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let length = source
        .seek(SeekFrom::End(0))
        .map_err(DecodeError::Unreadable)?;
    if length == 0 {
        return Err(DecodeError::Empty);
    }
    source.rewind().map_err(DecodeError::Unreadable)?;
    // Buffered readers return the signature at once; a shorter one identifies no format.
    let head = source.fill_buf().map_err(DecodeError::Unreadable)?;
    let format = format_of(head)?;
    guarded(format, || match format {
        Format::Jpeg => jpeg::header(source, limits),
        Format::Png => png::header(source, length, limits),
        Format::Gif => gif::header(source, length, limits),
        Format::Tiff => tiff::header(source, limits),
        Format::WebP => webp::header(source, length, limits),
        Format::Ico => ico::header(source, length, limits),
        Format::Bmp => bmp::header(source, length, limits),
        Format::Pnm => pnm::header(source, length, limits),
        Format::Qoi => codecs::header(source, ImageFormat::Qoi, limits),
        Format::Tga => tga::header(source, limits),
        #[cfg(feature = "jpeg-xl")]
        Format::JpegXl => jxl::header(source, length, limits),
        #[cfg(not(feature = "jpeg-xl"))]
        Format::JpegXl => Err(not_decoded(format.name())),
    })
}

/// Returns the format of a file that begins with `head`.
fn format_of(head: &[u8]) -> Result<Format, DecodeError> {
    match format::format_of(head) {
        Some(Recognised::Decoded(format)) => Ok(format),
        Some(Recognised::Named(format)) => Err(DecodeError::UnsupportedFormat { format }),
        None => Err(DecodeError::of_compressed(head).unwrap_or(DecodeError::UnknownFormat)),
    }
}

#[cfg(not(feature = "jpeg-xl"))]
fn not_decoded(format: &'static str) -> DecodeError {
    DecodeError::UnsupportedFormat { format }
}

/// Runs a decoder. Real files make decoders panic in release builds too; one file must not end the rest.
fn guarded<T>(
    format: Format,
    decoder: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let format = format.name();
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or(Err(DecodeError::Panicked { format }))
}

#[cfg(test)]
mod tests {
    use ::image::{self, DynamicImage, Luma, LumaA, Rgb, Rgba};

    use super::*;

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn encode_jpeg(image: &image::RgbImage) -> Vec<u8> {
        use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
        let (width, height) = (image.width() as usize, image.height() as usize);
        compress(
            image.as_raw(),
            width,
            height,
            PixelFormat::Rgb,
            75,
            Subsampling::S420,
        )
        .unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
        Image::decode(bytes, &DecodeLimits::default())
    }

    fn colours() -> DynamicImage {
        image::RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8 * 90, y as u8 * 200, 7])).into()
    }

    #[test]
    fn every_lossless_format_gives_the_same_pixels() {
        let image = colours();
        for format in [
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
            ImageFormat::Pnm,
            ImageFormat::Qoi,
            ImageFormat::WebP,
        ] {
            let decoded = decode(&encode(&image, format)).unwrap();
            assert_eq!(decoded.rgb(), image.to_rgb8().as_raw(), "{format:?}");
        }
        let gif = image::RgbaImage::from_pixel(4, 4, Rgba([255, 0, 0, 255])).into();
        assert_eq!(
            &decode(&encode(&gif, ImageFormat::Gif)).unwrap().rgb()[..3],
            [255, 0, 0]
        );
    }

    #[test]
    fn grey_alpha_and_16_bits_become_rgb() {
        let cases: [(DynamicImage, [u8; 3]); 6] = [
            (
                image::GrayImage::from_pixel(2, 2, Luma([9])).into(),
                [9, 9, 9],
            ),
            (
                image::GrayAlphaImage::from_pixel(2, 2, LumaA([9, 0])).into(),
                [9, 9, 9],
            ),
            (
                image::RgbaImage::from_pixel(2, 2, Rgba([1, 2, 3, 0])).into(),
                [1, 2, 3],
            ),
            (
                image::ImageBuffer::from_pixel(2, 2, Luma([0x12ff_u16])).into(),
                [0x12, 0x12, 0x12],
            ),
            (
                image::ImageBuffer::from_pixel(2, 2, Rgb([0x12ff_u16, 0, 0xffff])).into(),
                [0x12, 0, 0xff],
            ),
            (
                image::ImageBuffer::from_pixel(2, 2, Rgba([0x12ff_u16, 0, 0xffff, 5])).into(),
                [0x12, 0, 0xff],
            ),
        ];
        for (image, expected) in cases {
            let colour = image.color();
            let decoded = decode(&encode(&image, ImageFormat::Png)).unwrap();
            assert_eq!(&decoded.rgb()[..3], expected, "{colour:?}");
        }
    }

    #[test]
    fn compressed_files_are_told_by_their_content() {
        for (head, by, tool) in [
            (&b"\x1f\x8b\x08\0"[..], "gzip", "`gunzip`"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd", "`unzstd`"),
            (b"\xfd7zXZ\0\0", "xz", "`unxz`"),
            (b"BZh91AY&SY", "bzip2", "`bunzip2`"),
        ] {
            let error = decode(head).unwrap_err();
            assert!(
                error.to_string().contains(&format!("with {by}, ")),
                "{error}"
            );
            assert!(error.hint().contains(tool), "{}", error.hint());
        }
        for other in [&b"BZh is text"[..], b"\x1f\x8b", b"7zXZ"] {
            assert!(matches!(decode(other), Err(DecodeError::UnknownFormat)));
        }
    }

    #[test]
    fn content_decides_not_the_name_and_damage_is_an_error() {
        assert!(matches!(decode(b""), Err(DecodeError::Empty)));
        assert!(matches!(
            decode(b"hello, this is text"),
            Err(DecodeError::UnknownFormat)
        ));
        let png = encode(&colours(), ImageFormat::Png);
        let whole = decode(&png).unwrap();
        let is_error = |length| match decode(&png[..length]) {
            Ok(image) => {
                assert_eq!(image, whole, "{length} bytes of {}", png.len());
                false
            }
            Err(error) => {
                assert!(!error.to_string().is_empty() && !error.hint().is_empty());
                true
            }
        };
        let errors = (1..png.len()).filter(|length| is_error(*length)).count();
        // Behind the data of the pixels are two checksums and the last chunk.
        assert!(
            (png.len() - 25..png.len() - 15).contains(&errors),
            "{errors}"
        );
    }

    #[test]
    fn memory_that_is_used_again_changes_nothing() {
        let pixels = image::RgbImage::from_fn(40, 40, |x, y| Rgb([x as u8, y as u8, 9]));
        let jpeg = encode_jpeg(&pixels);
        let limits = DecodeLimits::default();
        for reduction in [1, 8] {
            let fresh = Image::decode_reduced(&jpeg, &limits, Vec::new(), |_, _| reduction);
            let fresh = fresh.unwrap();
            for spare in [vec![7; 3], vec![7; 40 * 40 * 3], vec![7; 9999]] {
                let again = Image::decode_reduced(&jpeg, &limits, spare, |_, _| reduction);
                assert_eq!(again.unwrap(), fresh);
            }
        }
    }

    #[test]
    fn a_jpeg_that_is_cut_short_is_an_error_at_every_length() {
        let pixels =
            image::RgbImage::from_fn(40, 40, |x, y| Rgb([(x * y) as u8, y as u8, x as u8]));
        let jpeg = encode_jpeg(&pixels);
        assert!(decode(&jpeg).is_ok());
        for reduction in [1, 2, 4, 8] {
            for length in 1..jpeg.len() {
                let cut = &jpeg[..length];
                let cut =
                    Image::decode_reduced(cut, &DecodeLimits::default(), Vec::new(), |_, _| {
                        reduction
                    });
                assert!(
                    cut.is_err(),
                    "{length} bytes of {} at 1/{reduction}",
                    jpeg.len()
                );
            }
        }
        // Bytes after the end do not belong to the image.
        assert!(decode(&[&jpeg[..], b"trailer"].concat()).is_ok());
    }

    #[test]
    fn a_small_file_cannot_claim_a_large_image() {
        // A PNG header that claims 100,000 x 100,000 pixels.
        let mut bomb = encode(&colours(), ImageFormat::Png);
        bomb[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&100_000_u32.to_be_bytes());
        // The check sum of the header is verified first, so it must be right.
        let crc = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = decode(&bomb).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { .. }), "{error:?}");

        let limits = DecodeLimits {
            pixels: 5,
            ..DecodeLimits::default()
        };
        let png = encode(&colours(), ImageFormat::Png);
        let error = Image::decode(&png, &limits).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the image has a pixel count of 6, but the limit is 5"
        );
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (0_u32.wrapping_sub(crc & 1)))
            })
        })
    }

    #[test]
    fn exif_orientation_is_applied() {
        // A JPEG with an EXIF block that says: turn by 90 degrees to see it upright.
        let jpeg = encode_jpeg(&image::RgbImage::from_pixel(16, 8, Rgb([200, 10, 10])));
        let mut exif =
            b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let mut turned = vec![0xff, 0xd8, 0xff, 0xe1, length[0], length[1]];
        turned.append(&mut exif);
        turned.extend_from_slice(&jpeg[2..]);
        let image = decode(&turned).unwrap();
        assert_eq!((image.width(), image.height()), (8, 16));
    }
}
