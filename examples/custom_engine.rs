//! Classifies an image with an engine of its own: it ranks three colours by their share of an image.
//!
//! ```sh
//! cargo run -p classify-examples --bin custom_engine -- assets/photos/coffee.png
//! ```
//!
//! An engine is one blocking call. A `SlotPool` makes a backend of it, with queues, deadlines and cancellation, and
//! everything that takes a backend takes this one. `tests/main.rs` runs the conformance suite of `backend-api` on it.

use std::env;
use std::error::Error as StdError;

use backend_api::{
    BackendInfo, Dim, ElementType, Engine, Error, InferOutput, SlotPool, Tensor, TensorSpec,
};
use image_classification::{
    Classifier, ColorOrder, Labels, PreprocessOverrides, ScoreKind, SettingOrigin, WithOrigin,
};

/// Values in one channel of an input.
pub const CHANNEL: usize = 32 * 32;

/// Gives the mean of each channel.
pub struct ColorEngine;

impl Engine for ColorEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let channels = input.to_f32();
        let means = channels
            .chunks(CHANNEL)
            .map(|channel| channel.iter().sum::<f32>() / CHANNEL as f32);
        Tensor::new([1, 3], means.collect()).map(InferOutput::new)
    }
}

#[derive(Debug)]
pub struct ColorBackend {
    pool: SlotPool,
}

backend_api::pooled!(ColorBackend);

impl ColorBackend {
    /// Opens a backend with `slots` engines, which run at the same time.
    pub fn open(slots: usize) -> Result<Self, Error> {
        let (info, engines) = Self::parts(slots);
        let pool = SlotPool::new(info, engines)?;
        Ok(Self { pool })
    }

    /// Returns the parts of the pool, from which the conformance tests make pools of their own.
    pub fn parts(slots: usize) -> (BackendInfo, Vec<ColorEngine>) {
        let spec = |name: &str, shape: &[usize]| {
            let shape = shape.iter().copied().map(Dim::Fixed);
            TensorSpec::new(name, ElementType::F32, shape.collect())
        };
        let input = spec("image", &[1, 3, 32, 32]);
        let info = BackendInfo::new("color", input, spec("means", &[1, 3]));
        (info, (0..slots).map(|_| ColorEngine).collect())
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let image = env::args().nth(1).ok_or("usage: custom_engine IMAGE")?;
    let names = ["red", "green", "blue"].map(str::to_owned);
    let labels = Labels::from_names(names.into());
    // There is no model with files next to it: the program decides everything that this engine needs.
    let overrides = PreprocessOverrides {
        color: Some(ColorOrder::Rgb),
        labels: Some(WithOrigin::new(labels, SettingOrigin::Override("labels"))),
        scale: Some([255.0; 3]),
        scores: ScoreKind::Raw,
        ..PreprocessOverrides::default()
    };
    let classifier = Classifier::builder(ColorBackend::open(2)?)
        .overrides(overrides)
        .build()?;
    for class in classifier.classify_blocking(std::fs::read(image)?)?.top(3) {
        println!("{:.4} {}", class.score, class.label);
    }
    Ok(())
}
