//! `cargo bench-resample`: the resamplers against `fast_image_resize`, the same filter, one thread.
//!
//! Machines are noisy, so both run in turns. Printed are the fastest run of each, which is the least disturbed
//! one, and their ratio; and the median and the quartiles of the ratios of neighbouring runs, which show how
//! noisy the machine was.

// Printing is what a bench is for.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use exact_resample::{Filter, RgbView, opencv, pillow};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// Name, ours (`None` is OpenCV's bilinear), theirs.
const ALGORITHMS: [(&str, Option<Filter>, ResizeAlg); 6] = [
    ("nearest", Some(Filter::Nearest), ResizeAlg::Nearest),
    (
        "box",
        Some(Filter::Box),
        ResizeAlg::Convolution(FilterType::Box),
    ),
    (
        "bilinear",
        Some(Filter::Bilinear),
        ResizeAlg::Convolution(FilterType::Bilinear),
    ),
    (
        "bicubic",
        Some(Filter::Bicubic),
        ResizeAlg::Convolution(FilterType::CatmullRom),
    ),
    (
        "lanczos",
        Some(Filter::Lanczos),
        ResizeAlg::Convolution(FilterType::Lanczos3),
    ),
    (
        "opencv-linear",
        None,
        ResizeAlg::Interpolation(FilterType::Bilinear),
    ),
];
const SIDE: u32 = 224;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let test = std::env::args().any(|argument| argument == "--test");
    println!(
        "| image | filter | ours, ms | fast_image_resize, ms | ratio | of neighbours | quartiles |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (width, height, rounds) in [(500, 375, 301), (1920, 1080, 101), (4000, 3000, 61)] {
        let rounds = if test { 1 } else { rounds };
        let data = image(width, height);
        for (name, filter, algorithm) in ALGORITHMS {
            let view = RgbView::new(width, height, &data).expect("the data are of that size");
            // One type of pixels: compiling all of them takes minutes.
            let source = TypedImageRef::<U8x3>::from_buffer(width, height, &data)
                .expect("the data are of that size");
            let mut resizer = Resizer::new();
            let options = ResizeOptions::new().resize_alg(algorithm);
            let mut run_ours = || {
                let resized = match filter {
                    Some(filter) => pillow::resize(view, None, SIDE, SIDE, filter),
                    None => opencv::resize_linear(view, SIDE, SIDE),
                };
                resized.expect("there is memory for a small image")
            };
            let mut run_theirs = || {
                let mut pixels = vec![0; (SIDE * SIDE * 3) as usize];
                let mut target = TypedImage::<U8x3>::from_buffer(SIDE, SIDE, &mut pixels)
                    .expect("the pixels are of that size");
                resizer
                    .resize_typed(&source, &mut target, &options)
                    .expect("this filter is for these pixels");
                drop(target);
                pixels
            };
            let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..rounds + 3 {
                // Whoever runs second finds warmer caches.
                let (own, other) = if round % 2 == 0 {
                    let own = milliseconds(&mut run_ours);
                    (own, milliseconds(&mut run_theirs))
                } else {
                    let other = milliseconds(&mut run_theirs);
                    (milliseconds(&mut run_ours), other)
                };
                if round >= 3 {
                    ours.push(own);
                    theirs.push(other);
                    ratios.push(own / other);
                }
            }
            let [ours, theirs] = [ours, theirs].map(|mut times| quantile(&mut times, 0.0));
            let [low, median, high] = [0.25, 0.5, 0.75].map(|part| quantile(&mut ratios, part));
            println!(
                "| {width}x{height} | {name} | {ours:.3} | {theirs:.3} | {:.2} | {median:.2} | {low:.2}-{high:.2} |",
                ours / theirs
            );
        }
    }
}

/// Returns a gradient with noise.
fn image(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1_u32;
    (0..width * height * 3)
        .map(|index| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (index / 3 % width * 200 / width) as u8 + (state >> 28) as u8
        })
        .collect()
}

fn milliseconds<T>(run: &mut impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    black_box(run());
    start.elapsed().as_secs_f64() * 1e3
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}
