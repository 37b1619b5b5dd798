//! The memory that images take, against the memory that was announced: with exactly that much, decoding and
//! preprocessing succeed.
//!
//! An allocator with a limit decides. What a decoder cannot catch would end this process, so that the name of the
//! file is printed before.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::alloc::System;
use std::error::Error as _;
use std::fs::{self, File};
use std::io::{BufReader, Cursor, Write as _};

use backend_api::{Dim, ElementType, TensorSpec};
use cap::Cap;
use classify_tests::{Needs, checkout, ensure, python};
use image_classification::{
    DecodeError, DecodeLimits, Image, ImageHeader, InputLayout, Interpolation, LayoutError,
    Preprocess,
};
use libtest_mimic::{Arguments, Failed, Trial};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    let mut arguments = Arguments::from_args();
    // The limit is that of the process.
    arguments.test_threads = Some(1);
    let trials = vec![
        Needs::set_up().test("no_file_takes_more_than_announced", decoding),
        Trial::test("no_metadata_take_more_than_announced", metadata),
        Trial::test("no_huffman_tables_take_more_than_announced", huffman_tables),
        Trial::test("no_tensor_takes_more_than_announced", preprocessing),
        Trial::test("memory_that_is_not_there_is_an_error", without_memory),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs `work` with no more than `bytes` beyond what is allocated now.
fn within<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    let limit = ALLOCATOR.allocated() + bytes as usize;
    ALLOCATOR.set_limit(limit).expect("more than is allocated");
    let result = work();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    result
}

/// Bytes that reading a header takes at most: it is read before memory is reserved.
const HEADER: u64 = 32 << 20;
/// Bytes of metadata in a file, or of one that becomes so large.
const MUCH: usize = 64 << 20;

fn decoding() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    println!("{}", python("memory_cases.py", [directory.path()])?);
    let limits = DecodeLimits::default();
    let (mut count, mut generous, mut rejected) = (0, 0, 0);
    let mut paths: Vec<_> = fs::read_dir(directory.path())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    for entry in fs::read_dir(checkout().join("tests/data/jxl"))? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(&path)?;
        if name == "README.md" {
            continue;
        }
        if let Err(error) = Image::decode(&bytes, &limits) {
            // Decoders do not read every variant.
            println!("{name}: {error:?}");
            rejected += 1;
            continue;
        }
        // A header itself takes little, whatever the file holds.
        let header = within(4 << 20, || {
            ImageHeader::read(BufReader::new(File::open(&path)?), &limits)
                .map_err(|error| Failed::from(format!("{name}: {error:?}")))
        })?;
        for reduction in [1, 2, 4, 8] {
            if reduction > 1 && !header.is_reducible() {
                continue;
            }
            let announced = header.decode_bytes(reduction);
            println!("{name} at 1/{reduction}: {announced} bytes");
            if name.starts_with("jpeg-progressive") && reduction == 1 {
                // Samples, coefficients of 16 bits and pixels of up to four channels, and what does not grow.
                let pixels = header.pixel_bytes(1) / 3;
                let most = 24 * pixels + 4 * bytes.len() as u64 + (3 << 20);
                ensure(announced <= most, (&name, announced, most))?;
            }
            let image = within(announced, || {
                Image::decode_reduced(&bytes, &limits, Vec::new(), |_, _| reduction)
            });
            let image = image.map_err(|error| format!("{name}: {error:?}"))?;
            ensure(
                image.rgb().len() as u64 == header.pixel_bytes(reduction),
                (&name, reduction),
            )?;
            if reduction == 1 {
                let size = (header.width(), header.height());
                ensure((image.width(), image.height()) == size, &name)?;
            }
            count += 1;
            generous += u32::from(announced > 20 * header.pixel_bytes(1) + (64 << 20));
        }
    }
    println!("{count} decoded, {generous} announced far too much, {rejected} rejected");
    ensure(
        count > 450 && generous == 0 && rejected < 10,
        (count, generous, rejected),
    )
}

/// Reads and decodes files of few pixels that have much more of everything else.
fn metadata() -> Result<(), Failed> {
    let limits = DecodeLimits::default();
    for (name, bytes) in [
        ("JPEG XL, compressed metadata", jpeg_xl()?),
        ("TIFF, sample formats", tiff(339, 1)),
        ("TIFF, byte counts", tiff(279, 64)),
        ("TIFF, XMP", tiff(700, 9)),
        ("PNG, EXIF and XMP, compressed", compressed_texts()?),
        ("PNG, a wide row", png((1 << 20, 1), &[])?),
        ("PNG, EXIF and XMP", exif_and_xmp()?),
        ("WebP, EXIF and XMP", webp_metadata()),
        ("GIF, XMP, a profile and a comment", gif()),
        ("icon, EXIF and XMP", icon(&exif_and_xmp()?)),
    ] {
        println!("{name}: {} bytes", bytes.len());
        // Rows of pixels and JPEG XL take more.
        let states_orientation = name.starts_with("PNG, EXIF") || name.starts_with("icon");
        let most = if states_orientation {
            HEADER / 4
        } else {
            HEADER
        };
        let header = within(most, || ImageHeader::read(Cursor::new(&bytes), &limits));
        let header = header.map_err(|error| format!("{name}: {error:?}"))?;
        // What was not read for lack of memory would not turn the image.
        let is_turned = header.width() < header.height();
        ensure(is_turned == states_orientation, (name, is_turned))?;
        let announced = header.decode_bytes(1);
        println!("{name}: {announced} bytes announced");
        let image = within(announced, || Image::decode(&bytes, &limits));
        image.map_err(|error| format!("{name}: {error:?}"))?;
    }
    for (name, bytes) in [
        ("TIFF, colours", tiff(320, 9)),
        (
            "PAM, a comment",
            pam(&format!("TUPLTYPE RGB\n#{}", "a".repeat(MUCH))),
        ),
        (
            "PAM, types",
            pam(&format!("TUPLTYPE {}\n", "a".repeat(100)).repeat(MUCH / 100)),
        ),
        (
            "PAM, a type",
            pam(&format!("TUPLTYPE {}", "a".repeat(10_000))),
        ),
        ("PAM, a word", pam(&"a".repeat(10_000))),
    ] {
        let header = within(HEADER, || ImageHeader::read(Cursor::new(&bytes), &limits));
        let error = header.err().ok_or(name)?;
        let text = format!("{error}: {:?}", error.source().map(ToString::to_string));
        println!("{name}: {text}");
        ensure(text.len() < 1000, (name, text.len()))?;
    }
    Ok(())
}

fn jpeg_xl() -> Result<Vec<u8>, Failed> {
    // Zeros, 64 MiB of them, that Brotli made small.
    const ZEROS: [u8; 54] = [
        0xcf, 0xff, 0xff, 0x7f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x9f, 0xff,
        0xff, 0xff, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x01, 0x80, 0xee, 0xfd, 0x3f, 0xff, 0xff, 0xff,
        0xe1, 0x9f, 0x00, 0x88, 0xc3, 0x22, 0x00, 0xdd, 0xfb, 0x7f, 0xfe, 0xff, 0xff, 0xc3, 0x3f,
        0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0xff, 0x03,
    ];
    let codestream = fs::read(checkout().join("tests/data/jxl/lossless.jxl"))?;
    let part = |kind: [u8; 4], content: &[&[u8]]| {
        let content = content.concat();
        let length = (content.len() as u32 + 8).to_be_bytes();
        [&length, &kind[..], &content].concat()
    };
    Ok([
        part(*b"JXL ", &[b"\x0d\x0a\x87\x0a"]),
        part(*b"ftyp", &[b"jxl \0\0\0\0jxl "]),
        part(*b"brob", &[b"Exif", &ZEROS]),
        part(*b"jxlc", &[&codestream]),
        part(*b"brob", &[b"xml ", &ZEROS]),
    ]
    .concat())
}

/// Returns a file whose tag `list` has [`MUCH`] bytes, which are all `value`.
fn tiff(list: u16, value: u8) -> Vec<u8> {
    let photometric = if list == 320 { 3 } else { 1 };
    let mut tags: Vec<(u16, u16, u32, u32)> = vec![(list, 1, MUCH as u32, 0)];
    for (tag, number) in [
        (256, 8),
        (257, 8),
        (258, 8),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, 8),
        (279, 64),
    ] {
        if tag != list {
            tags.push((tag, 4, 1, number));
        }
    }
    // The list is behind the tags.
    tags[0].3 = 10 + 12 * tags.len() as u32 + 4;
    tags.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, count, number) in tags {
        file.extend(
            [tag, kind]
                .iter()
                .flat_map(|number: &u16| number.to_le_bytes()),
        );
        file.extend(
            [count, number]
                .iter()
                .flat_map(|number| number.to_le_bytes()),
        );
    }
    file.extend([0; 4]);
    file.resize(file.len() + MUCH, value);
    file
}

/// Returns an orientation with much behind it.
fn xmp() -> Vec<u8> {
    let mut text = b"<x tiff:Orientation=\"6\"/>".to_vec();
    text.resize(MUCH, b' ');
    text
}

fn png_chunk(kind: [u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let mut check = flate2::Crc::new();
    check.update(&kind);
    check.update(&content);
    let length = (content.len() as u32).to_be_bytes();
    [&length, &kind[..], &content, &check.sum().to_be_bytes()].concat()
}

fn zlib(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(text)?;
    writer.finish()
}

/// Returns a file of these chunks, with four channels of 16 bits.
fn png((width, height): (u32, u32), metadata: &[Vec<u8>]) -> Result<Vec<u8>, Failed> {
    const DEPTH_AND_CHANNELS: &[u8] = &[16, 6, 0, 0, 0];
    let rows = vec![0; (height * (1 + 8 * width)) as usize];
    Ok([
        b"\x89PNG\r\n\x1a\n".to_vec(),
        png_chunk(
            *b"IHDR",
            &[
                &width.to_be_bytes(),
                &height.to_be_bytes(),
                DEPTH_AND_CHANNELS,
            ],
        ),
        metadata.concat(),
        png_chunk(*b"IDAT", &[&zlib(&rows)?]),
        png_chunk(*b"IEND", &[]),
    ]
    .concat())
}

/// EXIF that states no orientation, so that XMP counts: an empty directory, if zeros follow.
const EXIF: &[u8; 8] = b"II*\0\x08\0\0\0";

fn compressed_texts() -> Result<Vec<u8>, Failed> {
    let digits = EXIF.map(|byte| format!("{byte:02x}")).concat();
    let zeros = "0".repeat(MUCH);
    let digits = zlib(format!("\nexif\n{MUCH}\n{digits}{zeros}").as_bytes())?;
    let profile = png_chunk(*b"zTXt", &[b"Raw profile type exif\0\0", &digits]);
    let text = zlib(&xmp())?;
    let latin = png_chunk(*b"zTXt", &[b"XML:com.adobe.xmp\0\0", &text]);
    let international = png_chunk(*b"iTXt", &[b"XML:com.adobe.xmp\0\x01\0\0\0", &text]);
    png((8, 4), &[profile.clone(), international, latin, profile])
}

fn exif_and_xmp() -> Result<Vec<u8>, Failed> {
    // The decoder of pixels keeps EXIF.
    let exif = png_chunk(*b"eXIf", &[EXIF, &vec![0; (2 << 20) - EXIF.len()]]);
    let international = png_chunk(*b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", &xmp()]);
    let latin = png_chunk(*b"tEXt", &[b"XML:com.adobe.xmp\0", &xmp()]);
    png((8, 4), &[exif, international, latin])
}

fn icon(png: &[u8]) -> Vec<u8> {
    let length = (png.len() as u32).to_le_bytes();
    [
        &[0, 0, 1, 0, 1, 0, 8, 8, 0, 0, 1, 0, 24, 0],
        &length[..],
        &[22, 0, 0, 0],
        png,
    ]
    .concat()
}

fn webp_metadata() -> Vec<u8> {
    const EXIF_AND_XMP: u8 = 0b1100;
    let much = vec![b'a'; MUCH];
    webp(&[
        webp_head(EXIF_AND_XMP),
        lossy_chunk(),
        webp_chunk(*b"EXIF", &much),
        webp_chunk(*b"XMP ", &much),
    ])
}

fn gif() -> Vec<u8> {
    let blocks = [&[0xff][..], &[b'a'; 255]].concat().repeat(MUCH / 256);
    let extension = |head: &[u8]| [head, &blocks, &[0]].concat();
    [
        b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xff\xff\xff".to_vec(),
        extension(b"\x21\xff\x0bXMP DataXMP"),
        extension(b"\x21\xff\x0bICCRGBG1012"),
        extension(b"\x21\xfe"),
        // An image of 8 x 8 pixels, and the end.
        b"\x2c\0\0\0\0\x08\0\x08\0\0\x08\x0f\0\x01\x08\x1c\x48\xb0\xa0\xc1\x83\x08\x13\x2a\x4c\x18\x10\0\x3b".to_vec(),
    ]
    .concat()
}

/// Returns a PAM of 8 x 8 pixels with these lines.
fn pam(lines: &str) -> Vec<u8> {
    let head = format!("P7\nWIDTH 8\nHEIGHT 8\nDEPTH 3\nMAXVAL 255\n{lines}\nENDHDR\n");
    [head.into_bytes(), vec![7; 8 * 8 * 3]].concat()
}

/// A stream of bits, the first one lowest: a lossless WebP.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) -> &mut Self {
        for place in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> place & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (self.count % 8);
            }
            self.count += 1;
        }
        self
    }

    /// Puts a code of one symbol, which takes no bits.
    fn put_single(&mut self, symbol: u32) -> &mut Self {
        self.put(0b101, 3).put(symbol, 8)
    }

    /// Puts a code whose first `symbols` symbols have codes of `length` bits.
    fn put_equal(&mut self, length: u32, symbols: u32) -> &mut Self {
        // The lengths 17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7 and so on have codes, in this order.
        let place = length + 3;
        self.put(0, 1).put(place + 1 - 4, 4);
        for other in 0..=place {
            self.put(u32::from(other == place), 3);
        }
        self.put(1, 1).put(5, 3).put(symbols - 2, 12)
    }
}

/// Returns a stream of 4 x 4 pixels with `groups` groups of tables, whose tables `put` makes.
fn webp_stream(groups: u32, put: impl Fn(&mut Bits)) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x2f, 8).put(3, 14).put(3, 14).put(0, 4);
    // No transform, a cache of 2048 colours, and one pixel for the groups, whose red and green are the last one's number.
    bits.put(0, 1)
        .put(1, 1)
        .put(11, 4)
        .put(1, 1)
        .put(0, 3)
        .put(0, 1);
    bits.put_single((groups - 1) & 255)
        .put_single((groups - 1) >> 8);
    bits.put_single(0).put_single(0).put_single(0);
    for _ in 0..groups {
        put(&mut bits);
    }
    // The pixels.
    bits.bytes.extend([0; 128]);
    bits.bytes
}

fn webp_chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_le_bytes();
    let padding = &[0][..content.len() % 2];
    [&kind, &length, content, padding].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    webp_chunk(*b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

/// Returns the chunk of a header of 4 x 4 pixels.
fn webp_head(flags: u8) -> Vec<u8> {
    webp_chunk(*b"VP8X", &[flags, 0, 0, 0, 3, 0, 0, 3, 0, 0])
}

/// Returns a chunk of 4 x 4 lossy pixels.
fn lossy_chunk() -> Vec<u8> {
    let content = [
        0xd0, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x04, 0x00, 0x04, 0x00, 0x02, 0x00, 0x34, 0x25, 0xa0,
        0x02, 0x74, 0xba, 0x01, 0xf8, 0x00, 0x03, 0xb0, 0x00, 0xfe, 0xf0, 0xc4, 0x0b, 0xff, 0x20,
        0xb9, 0x61, 0x75, 0xc8, 0xd7, 0xff, 0x20, 0x3f, 0xe4, 0x07, 0xfc, 0x80, 0xff, 0xf8, 0xf2,
        0x00, 0x00, 0x00,
    ];
    webp_chunk(*b"VP8 ", &content)
}

/// Decodes files that ask for many times their size of Huffman tables, in every place where the decoder reads some.
fn huffman_tables() -> Result<(), Failed> {
    const ANIMATION: u8 = 0b10;
    const ALPHA: u8 = 0b1_0000;
    // Lengths of 11 bits need a tree behind the table, those of 8 bits a table.
    let trees = webp_stream(1000, |bits| {
        bits.put_equal(11, 2048);
        for _ in 0..4 {
            bits.put_single(0);
        }
    });
    let tables = webp_stream(8000, |bits| {
        for _ in 0..4 {
            bits.put_equal(8, 256);
        }
        bits.put_single(0);
    });
    let groups = webp_stream(65_536, |bits| {
        for _ in 0..5 {
            bits.put_single(0);
        }
    });
    let limits = DecodeLimits::default();
    for (name, stream, least) in [
        ("trees", trees, 68 << 20),
        ("tables", tables, 32 << 20),
        ("groups", groups, 18 << 20),
    ] {
        let lossless = webp_chunk(*b"VP8L", &stream);
        // A byte says that it is compressed; the head of the stream is omitted.
        let alpha = webp_chunk(*b"ALPH", &[&[1], &stream[5..]].concat());
        let frame = |chunks: &[u8]| {
            let place = [0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0, 0, 0, 0, 0, 0];
            webp_chunk(*b"ANMF", &[&place, chunks].concat())
        };
        let animation = || vec![webp_head(ANIMATION | ALPHA), webp_chunk(*b"ANIM", &[0; 6])];
        let with_alpha = [alpha, lossy_chunk()].concat();
        for (form, chunks) in [
            ("with a header", vec![webp_head(0), lossless.clone()]),
            ("as alpha", vec![webp_head(ALPHA), with_alpha.clone()]),
            ("in a frame", [animation(), vec![frame(&lossless)]].concat()),
            (
                "as alpha of a frame",
                [animation(), vec![frame(&with_alpha)]].concat(),
            ),
            (
                "in a frame that is not announced",
                vec![webp_head(0), lossy_chunk(), frame(&lossless)],
            ),
            ("alone", vec![lossless.clone()]),
        ] {
            let bytes = webp(&chunks);
            let header = within(1 << 20, || ImageHeader::read(Cursor::new(&bytes), &limits))
                .map_err(|error| format!("{name} {form}: {error:?}"))?;
            let announced = header.decode_bytes(1);
            println!(
                "{name} {form}: {} bytes, {announced} announced",
                bytes.len()
            );
            ensure(announced >= least, (name, form, announced))?;
            let image = within(announced, || Image::decode(&bytes, &limits));
            let image = image.map_err(|error| format!("{name} {form}: {error:?}"))?;
            ensure((image.width(), image.height()) == (4, 4), (name, form))?;
            let short = &bytes[..bytes.len() / 2];
            let error = ImageHeader::read(Cursor::new(short), &limits).err();
            ensure(error.is_some(), (name, form))?;
        }
    }
    Ok(())
}

fn layout(width: usize, height: usize) -> InputLayout {
    let dims = [1, 3, height, width].map(Dim::Fixed).to_vec();
    let spec = TensorSpec::new("x", ElementType::F32, dims);
    InputLayout::from_spec(&spec, None, None).expect("an image input")
}

/// Returns whether a filter gets every size. It does if its windows are the widest of its resampler, or if it has none;
/// other filters of the resampler take less by the same arithmetic, and get the sizes of [`FEW`].
fn is_widest(interpolation: Interpolation) -> bool {
    use Interpolation as I;
    match interpolation {
        I::Nearest
        | I::Lanczos
        | I::OpencvLinear
        | I::TorchvisionNearest
        | I::TorchvisionLanczos
        | I::TorchvisionBicubicF32 => true,
        I::Box
        | I::Bilinear
        | I::Bicubic
        | I::TorchvisionNearestExact
        | I::TorchvisionBilinear
        | I::TorchvisionBicubic
        | I::TorchvisionBilinearF32 => false,
    }
}

/// A photo, and an image so high that its weights count.
const FEW: [(u32, u32); 2] = [(640, 480), (40, 50_000)];

fn preprocessing() -> Result<(), Failed> {
    let sizes = [
        (1, 1),
        (640, 480),
        (1200, 1),
        (3, 4000),
        (40, 50_000),
        (600_000, 1),
        (300_000, 3),
        (1, 600_000),
        (2000, 2000),
    ];
    let resizes = [
        "stretch",
        "crop:0.875",
        "short:256",
        "stretch:256",
        "letterbox:114",
        "fit",
    ];
    let mut count = 0;
    for (width, height) in sizes {
        let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
        let image = Image::from_rgb(width, height, pixels).ok_or("an image")?;
        for (interpolation, name) in Interpolation::ALL {
            if !is_widest(interpolation) && !FEW.contains(&(width, height)) {
                continue;
            }
            for resize in resizes {
                for layout in [layout(224, 224), layout(16, 16), layout(11, 256)] {
                    let recipe = Preprocess {
                        interpolation,
                        resize: resize.parse()?,
                        ..Preprocess::OPENVINO_SAMPLE
                    };
                    let announced = recipe.memory_bytes((width, height), &layout);
                    println!("{width} x {height}, {name}, {resize}, {layout:?}: {announced} bytes");
                    match within(announced, || recipe.tensor(&image, &layout)) {
                        Ok(_) => count += 1,
                        Err(LayoutError::TooLong { .. }) => (),
                        Err(error) => return Err(format!("{error:?}").into()),
                    }
                    // Weights for every source and target pixel would take hundreds of megabytes.
                    let pixels = image.rgb().len() as u64;
                    ensure(announced < 4 * pixels + (64 << 20), announced)?;
                }
            }
        }
    }
    println!("{count} tensors");
    ensure(count > 900, count)
}

fn without_memory() -> Result<(), Failed> {
    let mut pnm = b"P6 3000 2000 255\n".to_vec();
    pnm.resize(pnm.len() + 3000 * 2000 * 3, 7);
    let limits = DecodeLimits::default();
    let result = within(4 << 20, || Image::decode(&pnm, &limits));
    ensure(
        matches!(result, Err(DecodeError::Allocation { bytes: 18_000_000 })),
        &result,
    )?;
    let image = Image::decode(&pnm, &limits)?;
    let layout = layout(2000, 2000);
    let result = within(4 << 20, || {
        Preprocess::OPENVINO_SAMPLE.tensor(&image, &layout)
    });
    ensure(matches!(result, Err(LayoutError::Memory(_))), &result)
}
