//! `cargo bench-parts`: what the parts between an image's file and its best classes cost, each alone. The
//! times are there to find out which part became slower; between machines they mean nothing.

use std::sync::{Arc, mpsc};
use std::thread;

use backend_api::{Dim, ElementType, InferBackend, InferRequest, MockBackend, Tensor, TensorSpec};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use futures_executor::block_on;
use image_classification::{
    DecodeLimits, Image, InputLayout, Interpolation, Interpretation, Preprocess,
};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

/// A common photo, and 12 megapixels.
const SIZES: [(u32, u32); 2] = [(500, 375), (4000, 3000)];

fn main() {
    divan::main();
}

/// Returns smooth shapes with the noise of a camera, as JPEG at quality 85.
fn jpeg((width, height): (u32, u32)) -> Vec<u8> {
    let mut state = 1_u32;
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|index| {
            let (x, y) = (index % width, index / width);
            [
                (x / 3 + y / 5) % 200,
                (x / 7 + y) % 200,
                (x + y / 2) / 4 % 200,
            ]
            .map(|level| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (level + (state >> 28)) as u8
            })
        })
        .collect();
    let (width, height) = (width as usize, height as usize);
    compress(
        &pixels,
        width,
        height,
        PixelFormat::Rgb,
        85,
        Subsampling::S420,
    )
    .expect("the pixels are of that size")
}

fn image(size: (u32, u32)) -> Image {
    Image::decode(&jpeg(size), &DecodeLimits::default()).expect("it was just encoded")
}

fn layout(element_type: ElementType) -> InputLayout {
    let dims = [1, 3, 224, 224].map(Dim::Fixed).to_vec();
    InputLayout::from_spec(&TensorSpec::new("input", element_type, dims), None, None)
        .expect("a common input")
}

#[divan::bench(args = SIZES)]
fn decode_exact(bencher: Bencher, size: (u32, u32)) {
    decode(bencher, size, |_, _| 1);
}

/// Measures decoding at the size that a resize to 224 × 224 needs.
#[divan::bench(args = SIZES)]
fn decode_fast(bencher: Bencher, size: (u32, u32)) {
    let layout = layout(ElementType::F32);
    decode(bencher, size, |width, height| {
        Preprocess::OPENVINO_SAMPLE.reduction(width, height, &layout)
    });
}

fn decode(bencher: Bencher, size: (u32, u32), reduction: impl Fn(u32, u32) -> u32) {
    let bytes = jpeg(size);
    let mut spare = Vec::new();
    bencher.bench_local(|| {
        let (bytes, memory) = (black_box(&bytes), std::mem::take(&mut spare));
        let image = Image::decode_reduced(bytes, &DecodeLimits::default(), memory, &reduction);
        spare = image.expect("it was just encoded").into_rgb();
    });
}

#[divan::bench(args = SIZES, consts = [false, true])]
fn resize_and_fill<const OPENCV: bool>(bencher: Bencher, size: (u32, u32)) {
    let interpolation = if OPENCV {
        Interpolation::OpencvLinear
    } else {
        Interpolation::Bilinear
    };
    tensor(bencher, size, ElementType::F32, interpolation);
}

/// Measures the tensor of an image that already has the input's size, so that nothing is resized.
#[divan::bench(args = [ElementType::F32, ElementType::F16, ElementType::U8])]
fn fill(bencher: Bencher, element_type: ElementType) {
    tensor(bencher, (224, 224), element_type, Interpolation::Nearest);
}

fn tensor(
    bencher: Bencher,
    size: (u32, u32),
    element_type: ElementType,
    interpolation: Interpolation,
) {
    let (image, layout) = (image(size), layout(element_type));
    let recipe = Preprocess {
        interpolation,
        ..Preprocess::OPENVINO_SAMPLE
    };
    let mut spare = None;
    bencher.bench_local(|| {
        let tensor = recipe.tensor_in(spare.take(), black_box(&image), &layout);
        spare = Some(tensor.expect("a common input"));
    });
}

#[divan::bench]
fn softmax_and_top_10_of_1000(bencher: Bencher) {
    let logits: Vec<f32> = (0..1000)
        .map(|n| ((n * 7919) % 1000) as f32 / 100.0)
        .collect();
    let output = Tensor::new([1, 1000], logits).expect("1000 values");
    bencher.bench_local(|| {
        let scores = Interpretation::SOFTMAX.scores(black_box(&output));
        scores.map(|scores| scores.top(10))
    });
}

/// Measures the system's time to hand a value to a sleeping thread and to wake up for its answer. A single request
/// through the slots cannot take less.
#[divan::bench]
fn two_threads_round_trip(bencher: Bencher) {
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            while asked.recv().is_ok() {
                answer.send(()).expect("somebody waits");
            }
        });
        bencher.bench_local(|| {
            ask.send(()).expect("the other thread listens");
            answered.recv().expect("the other thread answers");
        });
        drop(ask);
    });
}

/// Requests through the slots of an engine that takes no time: one, eight, and so many that starting does not
/// count. An item is a request.
#[divan::bench(args = [1, 8, 1000])]
fn slot_pool(bencher: Bencher, in_flight: usize) {
    let backend = MockBackend::builder()
        .slots(2)
        .build()
        .expect("two threads");
    let tensor = Arc::new(Tensor::new([1, 4], vec![0.0_f32; 4]).expect("four values"));
    let request = || InferRequest::new(0, Arc::clone(&tensor));
    bencher.counter(ItemsCount::new(in_flight)).bench_local(|| {
        block_on(async {
            let mut pending = Vec::with_capacity(in_flight);
            for _ in 0..in_flight {
                pending.push(backend.submit(request()).await.expect("it fits"));
            }
            for pending in pending {
                black_box(pending.await.expect("the mock answers"));
            }
        });
    });
}
