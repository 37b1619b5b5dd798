//! The resamplers against Pillow and OpenCV themselves, on the set-up's photos and on generated
//! images: every byte. `RESAMPLE_CASES=all` takes 12-megapixel images too (2 GB of disk).

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;

use backend_api::{Dim, ElementType, TensorSpec};
use classify_tests::{Needs, ensure, photos, python, set_up};
use exact_resample::{Filter, RgbView, SourceBox, opencv, pillow};
use image_classification::{ColorOrder, DecodeLimits, Image, InputLayout, Preprocess};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        Needs::set_up().test(
            "every_byte_is_pillows_and_opencvs",
            equals_pillow_and_opencv,
        ),
        Needs::set_up().test("every_byte_of_grey_is_pillows_and_opencvs", grey),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// The results of one resampler over all of its cases.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    bytes: usize,
    equal: usize,
    largest: u8,
    failed: Vec<String>,
}

fn filter(name: &str) -> Filter {
    match name {
        "nearest" => Filter::Nearest,
        "box" => Filter::Box,
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        "lanczos" => Filter::Lanczos,
        other => panic!("unknown filter {other}"),
    }
}

fn number(case: &Value, key: &str) -> u32 {
    case[key]
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .expect("a size")
}

fn equals_pillow_and_opencv() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut arguments = Vec::new();
    if std::env::var_os("RESAMPLE_CASES").is_none_or(|cases| cases != "all") {
        arguments.push("--quick".into());
    }
    arguments.extend([
        directory.path().as_os_str().to_owned(),
        set_up("photos").into_os_string(),
    ]);
    println!("{}", python("resample_cases.py", arguments)?);

    let mut tallies = BTreeMap::<String, Tally>::new();
    for line in fs::read_to_string(directory.path().join("manifest.jsonl"))?.lines() {
        let case: Value = serde_json::from_str(line)?;
        let bytes =
            |key: &str| fs::read(directory.path().join(case[key].as_str().expect("a file")));
        let (source, expected) = (bytes("source")?, bytes("expected")?);
        let view = RgbView::new(number(&case, "width"), number(&case, "height"), &source)
            .ok_or("the source is not as large as the manifest says")?;
        let (width, height) = (number(&case, "to_width"), number(&case, "to_height"));
        let (name, actual) = if let Some(name) = case["op"]["pillow"].as_str() {
            let source_box = case["op"]["box"].as_array().map(|edges| {
                let edge = |i: usize| edges[i].as_f64().expect("an edge");
                SourceBox {
                    left: edge(0),
                    top: edge(1),
                    right: edge(2),
                    bottom: edge(3),
                }
            });
            (
                name,
                pillow::resize(view, source_box, width, height, filter(name))?,
            )
        } else {
            ("opencv linear", opencv::resize_linear(view, width, height)?)
        };
        ensure(actual.len() == expected.len(), line)?;
        let tally = tallies.entry(name.to_owned()).or_default();
        tally.cases += 1;
        tally.bytes += expected.len();
        tally.equal += actual.iter().zip(&expected).filter(|(a, b)| a == b).count();
        let largest = actual
            .iter()
            .zip(&expected)
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap_or(0);
        tally.largest = tally.largest.max(largest);
        if largest > 0 && tally.failed.len() < 5 {
            tally.failed.push(line.to_owned());
        }
    }
    for (
        name,
        Tally {
            cases,
            bytes,
            equal,
            largest,
            ..
        },
    ) in &tallies
    {
        println!("{name}: {cases} cases, {equal} of {bytes} bytes equal, largest {largest}");
    }
    ensure(tallies.len() == 6, &tallies)?;
    ensure(
        tallies.values().all(|tally| tally.equal == tally.bytes),
        &tallies,
    )
}

/// The tensors of a model of one channel.
fn grey() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let photos = photos()?;
    let mut arguments = vec![directory.path().as_os_str().to_owned()];
    arguments.extend(photos.iter().map(|photo| photo.clone().into_os_string()));
    python("grey_tensors.py", arguments)?;
    let manifest = fs::read_to_string(directory.path().join("manifest.jsonl"))?;
    let text = |case: &Value, key: &str| case[key].as_str().map(str::to_owned).ok_or("a text");
    for line in manifest.lines() {
        let case: Value = serde_json::from_str(line)?;
        let preprocess = Preprocess {
            color: ColorOrder::Grey,
            resize: text(&case, "resize")?.parse()?,
            interpolation: text(&case, "interpolation")?.parse()?,
            ..Preprocess::OPENVINO_SAMPLE
        };
        let side = |index: usize| {
            case["size"][index]
                .as_u64()
                .map(|side| Dim::Fixed(side as usize))
        };
        let (width, height) = side(0).zip(side(1)).ok_or("a size")?;
        let image = fs::read(text(&case, "image")?)?;
        let image = Image::decode(&image, &DecodeLimits::default())?;
        let expected = fs::read(directory.path().join(text(&case, "expected")?))?;
        let one = Dim::Fixed(1);
        for dims in [vec![one, one, height, width], vec![one, height, width, one]] {
            let spec = TensorSpec::new("x", ElementType::U8, dims);
            let layout = InputLayout::from_spec(&spec, None, None)?;
            let tensor = preprocess.tensor(&image, &layout)?;
            ensure(tensor.as_slice::<u8>() == Some(&expected), line)?;
        }
    }
    ensure(
        manifest.lines().count() == photos.len() * 19,
        "19 cases for each photo",
    )
}
