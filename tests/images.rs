//! Images of every format, depth, mode, compression and orientation against Pillow: every byte, or the refusal.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use classify_tests::{Needs, checkout, ensure, python};
use image_classification::{DecodeLimits, Image, ImageHeader, ImageNote};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        Needs::set_up().test("every_byte_is_pillows", equals_pillow),
        Trial::test("jpeg_xl_is_libjxls_within_one_level", equals_libjxl),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

#[derive(Debug, Default)]
struct Tally {
    equal: usize,
    refused: usize,
    noted: usize,
}

fn equals_pillow() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("image_cases.py", [directory.path()])?;
    let limits = DecodeLimits::default();
    let mut tallies = BTreeMap::<String, Tally>::new();
    let mut wrong = Vec::new();
    for line in fs::read_to_string(directory.path().join("manifest.jsonl"))?.lines() {
        let case: Value = serde_json::from_str(line)?;
        let text = |key: &str| case[key].as_str();
        let bytes = fs::read(directory.path().join(text("file").ok_or("a file")?))?;
        let kind = text("kind").ok_or("a kind")?;
        let format = kind.split(' ').next().unwrap_or_default();
        let tally = tallies.entry(format.to_owned()).or_default();
        let image = match Image::decode(&bytes, &limits) {
            Ok(image) => image,
            Err(error) if text("refused") == Some(error.code()) => {
                tally.refused += 1;
                continue;
            }
            Err(error) => {
                wrong.push(format!("{line}: {error:?}"));
                continue;
            }
        };
        let header = ImageHeader::read(Cursor::new(&bytes), &limits)
            .map_err(|error| format!("{line}: {error:?}"))?;
        let expected = text("expected").map(|file| fs::read(directory.path().join(file)));
        let expected = expected.transpose()?.unwrap_or_default();
        let size = |width: u32, height: u32| {
            (case["width"] == width && case["height"] == height).then_some(())
        };
        let is_right = size(image.width(), image.height()).is_some()
            && size(header.width(), header.height()).is_some()
            && image.note().map(ImageNote::code) == text("note")
            && image.rgb() == expected;
        if is_right {
            tally.equal += 1;
            tally.noted += usize::from(image.note().is_some());
        } else {
            wrong.push(format!("{line}: {image:?}, {:?}", image.note()));
        }
    }
    println!("format: equal to Pillow, refused by name, noted");
    for (format, tally) in &tallies {
        println!(
            "{format}: {}, {}, {}",
            tally.equal, tally.refused, tally.noted
        );
    }
    ensure(wrong.is_empty(), &wrong)?;
    let all: usize = tallies.values().map(|tally| tally.equal).sum();
    ensure(all >= 3000 && tallies.len() >= 11, tallies)
}

/// Without loss every byte is equal. libjxl dithers the others.
fn equals_libjxl() -> Result<(), Failed> {
    let limits = DecodeLimits::default();
    let mut count = 0;
    for entry in fs::read_dir(checkout().join("tests/data/jxl"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "jxl") {
            continue;
        }
        let image = Image::decode(&fs::read(&path)?, &limits)?;
        let expected = Image::decode(&fs::read(path.with_extension("png"))?, &limits)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let limit = u8::from(!name.ends_with("lossless"));
        let pairs = image.rgb().iter().zip(expected.rgb());
        let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        ensure(
            image.height() == expected.height() && largest.is_some_and(|found| found <= limit),
            (&name, largest),
        )?;
        count += 1;
    }
    ensure(count == 5, count)
}
