//! JPEG decoding against Pillow and OpenCV themselves, on the set-up's photos and on generated files of
//! every kind: every byte.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use classify_tests::{Needs, ensure, python, set_up};
use image_classification::{DecodeLimits, Image};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![Needs::set_up().test("every_byte_is_libjpeg_turbos", equals_libjpeg_turbo)];
    libtest_mimic::run(&arguments, trials).exit();
}

fn equals_libjpeg_turbo() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let arguments: [OsString; 2] = [directory.path().into(), set_up("photos").into()];
    python("decode_cases.py", arguments)?;

    // Files, bytes, bytes that differ, by kind.
    let mut tallies = BTreeMap::<String, (usize, usize, usize)>::new();
    let mut opencv_differs = Vec::new();
    // What an image leaves behind is the memory of the next one.
    let mut spare = Vec::new();
    for line in fs::read_to_string(directory.path().join("manifest.jsonl"))?.lines() {
        let case: Value = serde_json::from_str(line)?;
        let bytes =
            |key: &str| fs::read(directory.path().join(case[key].as_str().expect("a file")));
        let reduction = case["reduction"].as_u64().expect("a reduction") as u32;
        let image = Image::decode_reduced(
            &bytes("file")?,
            &DecodeLimits::default(),
            std::mem::take(&mut spare),
            |_, _| reduction,
        )
        .map_err(|error| format!("{line}: {error:?}"))?;
        let expected = bytes("expected")?;
        let size = (u64::from(image.width()), u64::from(image.height()));
        ensure(
            Some(size) == case["width"].as_u64().zip(case["height"].as_u64()),
            (size, line),
        )?;
        let differ = image.rgb().iter().zip(&expected).filter(|(a, b)| a != b);
        let kind = case["kind"].as_str().expect("a kind");
        let kind = match reduction {
            1 => kind.to_owned(),
            reduction => format!("{kind} at 1/{reduction}"),
        };
        let differ = differ.count();
        spare = image.into_rgb();
        let tally = tallies.entry(kind).or_default();
        *tally = (tally.0 + 1, tally.1 + expected.len(), tally.2 + differ);
        if case["opencv_equal"] == false {
            opencv_differs.push(line.to_owned());
        }
    }
    let mut files = 0;
    for (kind, (count, bytes, differ)) in &tallies {
        println!("{kind}: {count} files, {bytes} bytes, {differ} differ");
        files += count;
    }
    println!("{files} files");
    ensure(files >= 600, files)?;
    for ending in [" at 1/2", " at 1/4", " at 1/8"] {
        let reduced = tallies.iter().filter(|(kind, _)| kind.ends_with(ending));
        let count: usize = reduced.map(|(_, tally)| tally.0).sum();
        ensure(count >= 50, (ending, count))?;
    }
    ensure(tallies.values().all(|tally| tally.2 == 0), &tallies)?;
    ensure(opencv_differs.is_empty(), opencv_differs)
}
