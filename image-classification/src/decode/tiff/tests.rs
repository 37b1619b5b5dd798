//! Files whose strips and tiles cost more than their pixels.

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use super::*;

/// Tags of a file with their values, and its strips or tiles.
struct File {
    tags: Vec<(u16, Vec<u32>)>,
    data: Vec<u8>,
}

/// The place of the strips or tiles in a file.
const PLACE: u32 = 8;

impl File {
    /// Returns a grey image whose strips of a row are all in the same `data`.
    fn of_strips(width: u32, height: u32, compression: u32, data: &[u8]) -> Self {
        let size = data.len() as u32;
        let file = Self {
            tags: vec![
                (tag::WIDTH, vec![width]),
                (tag::HEIGHT, vec![height]),
                (tag::BITS, vec![8]),
                (tag::COMPRESSION, vec![compression]),
                (tag::PHOTOMETRIC, vec![1]),
            ],
            data: data.to_vec(),
        };
        file.with(tag::ROWS_PER_STRIP, vec![1])
            .with(tag::STRIP_OFFSETS, vec![PLACE; height as usize])
            .with(tag::STRIP_COUNTS, vec![size; height as usize])
    }

    fn of_tiles(size: (u32, u32), tile: (u32, u32), count: usize, data: &[u8]) -> Self {
        let length = data.len() as u32;
        Self::of_strips(size.0, size.1, 1, data)
            .with(tag::STRIP_OFFSETS, vec![])
            .with(tag::STRIP_COUNTS, vec![])
            .with(tag::TILE_WIDTH, vec![tile.0])
            .with(tag::TILE_HEIGHT, vec![tile.1])
            .with(tag::TILE_OFFSETS, vec![PLACE; count])
            .with(tag::TILE_COUNTS, vec![length; count])
    }

    /// Returns the file with a tag in the place of the one that it had. Without values it has none.
    fn with(mut self, tag: u16, values: Vec<u32>) -> Self {
        self.tags.retain(|(other, _)| *other != tag);
        if !values.is_empty() {
            self.tags.push((tag, values));
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut data = self.data.clone();
        data.resize(data.len().next_multiple_of(4), 0);
        let mut entries = Vec::new();
        for (tag, values) in &self.tags {
            let value = if let [value] = **values {
                value
            } else {
                let place = PLACE + data.len() as u32;
                data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                place
            };
            // Numbers of 4 bytes.
            entries.extend([tag.to_le_bytes(), [4, 0]].concat());
            entries.extend((values.len() as u32).to_le_bytes());
            entries.extend(value.to_le_bytes());
        }
        let directory = PLACE + data.len() as u32;
        let count = (self.tags.len() as u16).to_le_bytes();
        let head = [&b"II*\0"[..], &directory.to_le_bytes()].concat();
        [&head, &data, &count[..], &entries, &[0; 4]].concat()
    }

    fn decode(&self) -> Result<Image, DecodeError> {
        decode(&self.bytes(), &DecodeLimits::default(), Vec::new())
    }
}

fn fax(data: &[u8]) -> File {
    File::of_strips(8, 2000, 3, data).with(tag::BITS, vec![1])
}

#[test]
fn strips_that_share_much_data_are_rejected() {
    const EMPTY_BLOCK: &[u8] = b"\0\0\0\xff\xff";
    // A row of 8 bytes behind blocks, codes or bits that give nothing.
    let deflate = [b"\x78\x01", &EMPTY_BLOCK.repeat(20_000)[..]].concat();
    let deflate = [&deflate[..], b"\x01\x08\0\xf7\xff12345678"].concat();
    let pack_bits = [&b"\x80".repeat(100_000)[..], b"\x0712345678"].concat();
    // Eight codes of 9 bits, each of which clears the table, are 9 bytes; then come eight of a level.
    let clear = b"\x80\x40\x20\x10\x08\x04\x02\x01\x00";
    let lzw = [
        &clear.repeat(11_000)[..],
        b"\x19\x8c\xc6\x63\x31\x98\xcc\x66\x33",
    ]
    .concat();
    // The mark of a row's end, and 8 white pixels.
    let zeros = [&b"\0".repeat(100_000)[..], b"\x01\x98"].concat();
    for file in [
        File::of_strips(8, 2000, 8, &deflate),
        File::of_strips(8, 2000, 32773, &pack_bits),
        File::of_strips(8, 2000, 5, &lzw),
        fax(&zeros),
        fax(&zeros
            .iter()
            .map(|byte| byte.reverse_bits())
            .collect::<Vec<_>>())
        .with(tag::FILL_ORDER, vec![2]),
    ] {
        let is_fax = file.tags.contains(&(tag::BITS, vec![1]));
        let row = if is_fax { 1 } else { 8 };
        let most = 8 * (file.bytes().len() + row * 2000);
        let text = format!("{:?}", file.decode().unwrap_err());
        assert!(text.contains("strips or tiles that overlap"), "{text}");
        assert!(text.contains(&format!("the limit is {most}")), "{text}");
    }
}

#[test]
fn runs_of_no_pixels_have_a_limit() {
    // White and black runs of no pixels, then 8 white ones.
    let file = |pairs: usize| {
        let bits = ["001101010000110111".repeat(pairs).as_str(), "10011"].concat();
        let bits: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
        let byte =
            |bits: &[u8]| (0..8).fold(0, |byte, place| byte << 1 | bits.get(place).unwrap_or(&0));
        let data: Vec<u8> = bits.chunks(8).map(byte).collect();
        File::of_strips(8, 1, 3, &data).with(tag::BITS, vec![1])
    };
    for pairs in [0, 1, 9] {
        file(pairs).decode().unwrap();
    }
    for pairs in [10, 1000] {
        let error = format!("{:?}", file(pairs).decode().unwrap_err());
        assert!(error.contains("unknown CCITT code"), "{error}");
    }
}

#[test]
fn tables_of_jpeg_count_for_each_strip() {
    // A comment, and no table.
    let tables = [&b"\xff\xd8\xff\xfe\x1f\xfa"[..], &[0; 0x1ff8], b"\xff\xd9"].concat();
    let tables = tables
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes));
    let with_tables = |file: File| file.with(tag::JPEG_TABLES, tables.clone().collect());
    let pixels = [77; 8 * 8];
    let strip = compress(&pixels, 8, 8, PixelFormat::Grayscale, 90, Subsampling::S444).unwrap();
    let file = |count: u32| {
        let file = File::of_strips(8, 8 * count, 7, &strip);
        let length = strip.len() as u32;
        file.with(tag::ROWS_PER_STRIP, vec![8])
            .with(tag::STRIP_OFFSETS, vec![PLACE; count as usize])
            .with(tag::STRIP_COUNTS, vec![length; count as usize])
    };
    let image = file(1000).decode().unwrap();
    assert_eq!((image.height(), image.rgb()[0]), (8000, 77));
    let error = with_tables(file(1000)).decode().unwrap_err();
    assert!(format!("{error:?}").contains("that overlap"), "{error:?}");
    assert!(with_tables(file(2)).decode().is_ok());
}

#[test]
fn equal_tiles_and_wrong_counts_are_read() {
    let tile: Vec<u8> = (0..=255).collect();
    let tiles = || File::of_tiles((1600, 16), (16, 16), 100, &tile);
    let image = tiles().decode().unwrap();
    assert_eq!(image.rgb()[3 * 17], 1);
    // Of pixels without compression only the rows are read, whatever the counts say.
    for counts in [vec![], vec![u32::MAX; 100], vec![20_000; 100]] {
        let other = tiles().with(tag::TILE_COUNTS, counts).decode().unwrap();
        assert_eq!(other, image);
    }
}

#[test]
fn reversed_bits_are_reversed_once() {
    // A copy of the data for each of the strips would be 400 GB.
    let file =
        File::of_strips(1, 100_000, 1, &b"\x0f".repeat(1 << 22)).with(tag::FILL_ORDER, vec![2]);
    let image = file.decode().unwrap();
    assert!(image.rgb().iter().all(|level| *level == 0xf0));
}

#[test]
fn tiles_have_no_more_pixels_than_a_few_times_the_image() {
    let file = File::of_tiles((1, 100_000), (65536, 1024), 98, b"");
    let error = file.decode().unwrap_err();
    let text = "the image has a pixel count of all tiles of 6553600000, but the limit is 67508864";
    assert_eq!(error.to_string(), text);
    let file = File::of_tiles((1025, 1024), (1, 1), 1025 << 10, b"\x09");
    let error = file.decode().unwrap_err();
    let text = "the image has a number of strips or tiles of 1049600, but the limit is 1048576";
    assert_eq!(error.to_string(), text);
}
