//! The memory that images take, against the memory that was announced: with exactly that much, decoding and
//! preprocessing succeed.
//!
//! An allocator with a limit decides. What a decoder cannot catch would end this process, so that the name of the
//! file is printed before.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::alloc::System;
use std::fs::{self, File};
use std::io::BufReader;

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
