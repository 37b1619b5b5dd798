//! Image formats, recognised by content.

use std::ffi::OsStr;

/// First bytes of a file that are enough to recognise every format.
pub const HEAD_BYTES: u64 = 132;

/// A format that this crate decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Bmp,
    Gif,
    Ico,
    Jpeg,
    JpegXl,
    Png,
    Pnm,
    Qoi,
    Tga,
    Tiff,
    WebP,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Ico => "ICO",
            Self::Jpeg => "JPEG",
            Self::JpegXl => "JPEG XL",
            Self::Png => "PNG",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
            Self::Tga => "TGA",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }
}

/// The result of looking at the first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    Decoded(Format),
    /// An image in a format that is not decoded, by its name.
    Named(&'static str),
}

/// Formats with a fixed signature: offset, signature, format.
const SIGNATURES: [(usize, &[u8], Recognised); 60] = {
    use Recognised::{Decoded, Named};
    const RAW: Recognised = Named("camera raw");
    [
        (0, b"\xff\xd8\xff", Decoded(Format::Jpeg)),
        (0, b"\x89PNG\r\n\x1a\n", Decoded(Format::Png)),
        (0, b"GIF87a", Decoded(Format::Gif)),
        (0, b"GIF89a", Decoded(Format::Gif)),
        (0, b"qoif", Decoded(Format::Qoi)),
        (0, b"\xff\x0a", Decoded(Format::JpegXl)),
        (0, b"\0\0\0\x0cJXL \r\n\x87\n", Decoded(Format::JpegXl)),
        // Camera raw formats that resemble TIFF come before it.
        (8, b"CR\x02", RAW),
        (6, b"HEAPCCDR", RAW),
        (0, b"IIRO", RAW),
        (0, b"IIRS", RAW),
        (0, b"MMOR", RAW),
        (0, b"IIU\0", RAW),
        (0, b"FUJIFILMCCD-RAW", RAW),
        (0, b"FOVb", RAW),
        (0, b"\0MRM", RAW),
        (0, b"II*\0", Decoded(Format::Tiff)),
        (0, b"MM\0*", Decoded(Format::Tiff)),
        (0, b"II+\0", Decoded(Format::Tiff)),
        (0, b"MM\0+", Decoded(Format::Tiff)),
        (0, b"\0\0\0\x0cjP  \r\n\x87\n", Named("JPEG 2000")),
        (0, b"\xff\x4f\xff\x51", Named("JPEG 2000")),
        (0, b"II\xbc\x01", Named("JPEG XR")),
        (0, b"8BPS", Named("Photoshop (PSD)")),
        (0, b"DDS ", Named("DDS")),
        (0, b"\xb1\x68\xde\x3a", Named("DCX")),
        (0, b"\x76\x2f\x31\x01", Named("OpenEXR")),
        (0, b"#?RADIANCE", Named("Radiance HDR")),
        (0, b"#?RGBE", Named("Radiance HDR")),
        (0, b"farbfeld", Named("farbfeld")),
        (0, b"icns", Named("ICNS")),
        (0, b"gimp xcf", Named("GIMP (XCF)")),
        (0, b"\x59\xa6\x6a\x95", Named("Sun raster")),
        (0, b"\xabKTX 11\xbb\r\n\x1a\n", Named("KTX")),
        (0, b"\xabKTX 20\xbb\r\n\x1a\n", Named("KTX")),
        (0, b"BLP1", Named("BLP")),
        (0, b"BLP2", Named("BLP")),
        (0, b"FLIF", Named("FLIF")),
        (0, b"BPG\xfb", Named("BPG")),
        (0, b"\x8aMNG\r\n\x1a\n", Named("MNG")),
        (0, b"\x8bJNG\r\n\x1a\n", Named("JNG")),
        (0, b"/* XPM */", Named("XPM")),
        (0, b"AT&TFORM", Named("DjVu")),
        (0, b"SIMPLE  =", Named("FITS")),
        (0, b"\xd7\xcd\xc6\x9a", Named("Windows metafile")),
        (0, b"P7 332", Named("XV thumbnail")),
        (0, b"Image type: ", Named("IM")),
        (0, b"DanM", Named("MSP")),
        (0, b"LinS", Named("MSP")),
        (0, b"\xc5\xd0\xd3\xc6", Named("EPS")),
        (0, b"%!PS-Adobe-2.0 EPSF", Named("EPS")),
        (0, b"%!PS-Adobe-3.0 EPSF", Named("EPS")),
        (0, b"\0\0\0\0\0\0\0\x04", Named("McIDAS")),
        (0, b"SDPX", Named("DPX")),
        (0, b"XPDS", Named("DPX")),
        (0, b"\x80\x2a\x5f\xd7", Named("Cineon")),
        (0, b"\x80\xe8\0\0", Named("PIXAR")),
        (0, b"FTEX", Named("FTEX")),
        (20, b"GIMP", Named("GIMP brush")),
        (128, b"DICM", Named("DICOM")),
    ]
};

/// Names of image files. Formats without a signature are recognised by their name only.
const ENDINGS: [&str; 67] = [
    "3fr", "apng", "arw", "avif", "bmp", "cr2", "cr3", "crw", "cur", "dcr", "dcx", "dds", "dib",
    "dng", "erf", "exr", "flc", "fli", "gif", "heic", "heif", "hif", "icb", "icns", "ico", "iiq",
    "j2c", "j2k", "jfif", "jp2", "jpc", "jpe", "jpeg", "jpf", "jpg", "jpx", "jxl", "kdc", "mef",
    "mpo", "mrw", "nef", "nrw", "orf", "pam", "pbm", "pcx", "pef", "pfm", "pgm", "png", "pnm",
    "ppm", "psd", "qoi", "raf", "rw2", "sgi", "srw", "tga", "tif", "tiff", "vda", "vst", "webp",
    "xbm", "xpm",
];

/// Recognises the format of a file that begins with `head`.
pub(super) fn recognise(head: &[u8]) -> Option<Recognised> {
    let found = SIGNATURES.iter().find(|(offset, signature, _)| {
        head.get(*offset..)
            .is_some_and(|rest| rest.starts_with(signature))
    });
    if let Some((_, _, found)) = found {
        return Some(*found);
    }
    let number = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied();
    match head {
        [b'R', b'I', b'F', b'F', ..] if head.get(8..12) == Some(b"WEBP") => {
            Some(Recognised::Decoded(Format::WebP))
        }
        // The file's size and reserved bytes are not checked by anyone; the header's size is.
        [b'B', b'M', ..] => {
            let size = u32::from_le_bytes(number(14)?);
            (12..=124)
                .contains(&size)
                .then_some(Recognised::Decoded(Format::Bmp))
        }
        [b'P', b'1'..=b'7', blank, next, ..] => {
            let is_header = blank.is_ascii_whitespace()
                && (next.is_ascii_whitespace() || next.is_ascii_digit() || b"#W".contains(next));
            is_header.then_some(Recognised::Decoded(Format::Pnm))
        }
        [0, 0, kind @ (1 | 2), 0, low, high, ..] if [*low, *high] != [0, 0] => {
            // The reserved byte of the first entry.
            let is_icon = head.get(9).is_none_or(|byte| *byte == 0);
            is_icon.then_some(match kind {
                1 => Recognised::Decoded(Format::Ico),
                _ => Recognised::Named("cursor (CUR)"),
            })
        }
        [b'P', b'F' | b'f', blank, next, ..]
            if blank.is_ascii_whitespace() && next.is_ascii_digit() =>
        {
            Some(Recognised::Named("PFM"))
        }
        [1, 0, 0, 0, ..] if head.get(40..44) == Some(b" EMF") => {
            Some(Recognised::Named("Windows metafile"))
        }
        [_, _, _, _, 0x11 | 0x12, 0xaf, ..] if matches!(head.get(14..16), Some([0 | 3, 0])) => {
            Some(Recognised::Named("FLI"))
        }
        // The size of the header; planes are 1.
        [12, 0, 0, 0, ..] if head.get(8..10) == Some(&[1, 0]) => dib(head.get(10..12)?),
        [40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] if head.get(12..14) == Some(&[1, 0]) => {
            dib(head.get(14..16)?)
        }
        [b'#', b'd', b'e', b'f', b'i', b'n', b'e', ..] => {
            is_xbm(head).then_some(Recognised::Named("XBM"))
        }
        [0x0a, 0 | 2..=5, 0 | 1, 1 | 2 | 4 | 8, ..] => Some(Recognised::Named("PCX")),
        [0x01, 0xda, 0 | 1, 1 | 2, ..] => Some(Recognised::Named("SGI")),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => iso_media(head).map(Recognised::Named),
        _ => None,
    }
}

/// Returns the name of the compression of a file that begins with `head`.
pub(super) fn compression(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        // The first block, or the end of an empty file.
        [
            b'B',
            b'Z',
            b'h',
            b'1'..=b'9',
            0x31,
            0x41,
            0x59,
            0x26,
            0x53,
            0x59,
            ..,
        ]
        | [
            b'B',
            b'Z',
            b'h',
            b'1'..=b'9',
            0x17,
            0x72,
            0x45,
            0x38,
            0x50,
            0x90,
            ..,
        ] => Some("bzip2"),
        _ => None,
    }
}

/// Returns a bitmap without the header of a file, with these bits per pixel.
fn dib(bits: &[u8]) -> Option<Recognised> {
    matches!(bits, [1 | 4 | 8 | 16 | 24 | 32, 0])
        .then_some(Recognised::Named("DIB (BMP without a file header)"))
}

/// Returns whether text that begins with `#define` defines a width, as the first line of an XBM does.
fn is_xbm(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .skip(1);
    let is_width = words.next().is_some_and(|name| name.ends_with(b"_width"));
    let is_number = words
        .next()
        .is_some_and(|value| value.iter().all(u8::is_ascii_digit));
    is_width && is_number && words.next().is_none()
}

/// Returns the format of a file of ISO base media: its brand, or the first one of those that it is compatible with.
fn iso_media(head: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*head.first_chunk()?) as usize;
    let brands = &head[8..length.clamp(8, head.len())];
    let (brands, _) = brands.as_chunks::<4>();
    brands
        .iter()
        .enumerate()
        // The version of the first brand.
        .filter(|(place, _)| *place != 1)
        .find_map(|(_, brand)| match brand {
            b"avif" | b"avis" => Some("AVIF"),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
                Some("HEIC")
            }
            b"crx " => Some("camera raw"),
            b"jxl " => Some("JPEG XL"),
            _ => None,
        })
        .or_else(|| {
            let first = brands.first();
            first
                .is_some_and(|brand| matches!(brand, b"mif1" | b"msf1" | b"mif2" | b"miaf"))
                .then_some("HEIF")
        })
}

/// Returns the format of a whole file or its beginning; TGA, which has no signature, is a guess from its header.
pub(super) fn format_of(head: &[u8]) -> Option<Recognised> {
    recognise(head).or_else(|| is_tga(head).then_some(Recognised::Decoded(Format::Tga)))
}

/// Returns whether the fields of a header of TGA have one of the few values that they may have.
fn is_tga(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<18>() else {
        return false;
    };
    let [_, map, kind, _, _, _, _, map_bits, ..] = *header;
    let [w0, w1, h0, h1, bits, _] = header[12..] else {
        return false;
    };
    let map_fits = match (map, kind) {
        (1, 1 | 9) => matches!(map_bits, 15 | 16 | 24 | 32) && bits == 8,
        (0 | 1, 2 | 10) => matches!(bits, 15 | 16 | 24 | 32),
        (0, 3) if bits == 1 => true,
        (0 | 1, 3 | 11) => matches!(bits, 8 | 16),
        _ => false,
    };
    map_fits && [w0, w1] != [0, 0] && [h0, h1] != [0, 0]
}

/// Returns whether `ending`, without the dot, is one of image files.
pub(super) fn is_image_ending(ending: &OsStr) -> bool {
    ENDINGS
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

/// Returns the next step for an image in a format that is not decoded.
pub(super) const fn remedy(name: &'static str) -> &'static str {
    match name.as_bytes() {
        b"HEIC" | b"HEIF" => {
            "convert the image to JPEG, for example with `heif-convert IN.heic OUT.jpg` of libheif; iPhones write JPEG with \
             Settings > Camera > Formats > Most Compatible"
        }
        b"AVIF" => {
            "convert the image to PNG, for example with `avifdec IN.avif OUT.png` of libavif"
        }
        b"JPEG 2000" => {
            "convert the image to PNG, for example with `opj_decompress -i IN.jp2 -o OUT.png` of OpenJPEG"
        }
        b"camera raw" => {
            "develop the image to TIFF, PNG or JPEG, for example with darktable or `dcraw_emu -T` of LibRaw"
        }
        b"JPEG XL" => {
            "build with the feature `jpeg-xl`, or convert the image with `djxl IN.jxl OUT.png` of libjxl"
        }
        _ => "convert the image to PNG or JPEG",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brands_of_iso_media_tell_the_format() {
        let name = |bytes: &[u8]| match recognise(bytes) {
            Some(Recognised::Named(name)) => name,
            _ => "",
        };
        assert_eq!(name(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), "HEIC");
        assert_eq!(name(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"), "AVIF");
        assert_eq!(name(b"\0\0\0\x14ftypmif1\0\0\0\0mif1"), "HEIF");
        assert_eq!(name(b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom"), "camera raw");
        // A video is not an image, whatever brands follow.
        assert_eq!(name(b"\0\0\0\x14ftypisom\0\0\x02\0mp41heic"), "");
        assert_eq!(name(b"\xff\xff\xff\xffftypqt  "), "");
    }

    #[test]
    fn formats_without_a_fixed_signature_are_named() {
        let mut emf = [0; 88];
        emf[0] = 1;
        emf[40..44].copy_from_slice(b" EMF");
        let files: [(&str, &[u8]); 9] = [
            ("XBM", b"#define a_width 16\n#define a_height 7\n"),
            ("XBM", b"#define  a_b_width\t16\r\n"),
            (
                "FLI",
                b"\x1a\x22\0\0\x12\xaf\x02\0\x40\x01\xc8\0\x08\0\x03\0",
            ),
            ("PFM", b"PF\n4 4\n"),
            ("PFM", b"Pf 4 4\n"),
            ("XV thumbnail", b"P7 332\n#XVVERSION"),
            ("Windows metafile", &emf),
            (
                "DIB (BMP without a file header)",
                b"\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0",
            ),
            (
                "DIB (BMP without a file header)",
                b"\x0c\0\0\0\x02\0\x02\0\x01\0\x18\0",
            ),
        ];
        for (name, head) in files {
            assert_eq!(recognise(head), Some(Recognised::Named(name)), "{head:?}");
        }
    }

    #[test]
    fn text_is_no_image() {
        for text in [
            "BMW is a car maker, not a bitmap",
            "P5 is a page, not a pixmap",
            "Pf, said the cat",
            "PF\n\nA list",
            "#define A_width 16 + 1\n",
            "#define LENGTH 16\n",
            "Image types: many",
            "II. Act",
            "\n\nA list that begins with lines",
            "8 BPS",
            "{\"a\": 1}",
        ] {
            assert_eq!(format_of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(format_of(b""), None);
    }

    #[test]
    fn endings_are_sorted_and_without_case() {
        assert!(ENDINGS.is_sorted());
        assert!(is_image_ending(OsStr::new("JPG")));
        assert!(is_image_ending(OsStr::new("nef")));
        assert!(!is_image_ending(OsStr::new("txt")));
    }
}
