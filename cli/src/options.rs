//! The command line, checked and completed.

use std::path::PathBuf;
use std::thread::available_parallelism;

use backend_api::library::set_up_folder;
use backend_api::{PerformanceHint, Precision};
use image_classification::{ColorOrder, Interpolation, Preprocess, Resize, ScoreKind};

use crate::args::{
    Args, Backend, Color, Hint, InterpolationArg, PrecisionArg, PreprocessArgs, ResizeArg, Scores,
};
use crate::messages::Hinted;

/// What to do.
#[derive(Debug)]
pub struct Options {
    /// The engine and how to open it.
    pub engine: EngineOptions,
    /// Whether the model is the set-up's because none was given.
    pub default_model: bool,
    /// The pictures, in the order in which results are printed.
    pub inputs: Vec<PathBuf>,
    /// How many classes to print.
    pub top: usize,
    /// Digits after the point.
    pub digits: usize,
    /// What the scores are.
    pub scores: ScoreKind,
    /// The file with the labels, if one was given.
    pub labels: Option<PathBuf>,
    /// The preprocessing flags.
    pub recipe: RecipeFlags,
    /// How many pictures are decoded at a time.
    pub jobs: usize,
    /// Whether to print results only.
    pub quiet: bool,
}

/// How to open an engine, whichever it is. What belongs to an engine that is not built in is still
/// accepted, so that the error names the engine and not the flag.
#[cfg_attr(not(all(feature = "openvino", feature = "onnx")), allow(dead_code))]
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub backend: Backend,
    pub model: PathBuf,
    pub device: String,
    pub precision: Precision,
    pub hint: PerformanceHint,
    pub requests: Option<usize>,
    pub streams: Option<usize>,
    pub threads: Option<usize>,
    pub openvino_lib: Option<PathBuf>,
    pub onnxruntime_lib: Option<PathBuf>,
    pub plugins: Option<PathBuf>,
}

impl TryFrom<Args> for Options {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let default_model = args.model.is_none();
        let model = args.model.map_or_else(set_up_model, Ok)?;
        Ok(Self {
            engine: EngineOptions {
                backend: args.backend,
                model,
                device: args.device,
                precision: match args.engine.precision {
                    PrecisionArg::Auto => Precision::Auto,
                    PrecisionArg::F32 => Precision::F32,
                    PrecisionArg::Bf16 => Precision::Bf16,
                    PrecisionArg::F16 => Precision::F16,
                },
                hint: match args.engine.hint {
                    Hint::Throughput => PerformanceHint::Throughput,
                    Hint::Latency => PerformanceHint::Latency,
                },
                requests: args.engine.requests,
                streams: args.engine.streams,
                threads: args.engine.threads,
                openvino_lib: args.engine.openvino_lib,
                onnxruntime_lib: args.engine.onnxruntime_lib,
                plugins: args.engine.plugins,
            },
            default_model,
            inputs: args.input,
            top: args.output.top,
            digits: args.output.digits.into(),
            scores: match args.output.scores {
                Scores::Auto => ScoreKind::Auto,
                Scores::Probability => ScoreKind::Probability,
                Scores::Softmax => ScoreKind::Softmax,
                Scores::Raw => ScoreKind::Raw,
            },
            labels: args.output.labels,
            recipe: RecipeFlags::try_from(args.preprocess)?,
            jobs: args
                .engine
                .jobs
                .unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get)),
            quiet: args.quiet,
        })
    }
}

fn set_up_model() -> anyhow::Result<PathBuf> {
    let model = set_up_folder().map(|folder| folder.join("models/efficientnet-lite0.onnx"));
    match model {
        Some(model) if model.is_file() => Ok(model),
        _ => Err(Hinted::new(
            "no model is given, and there is no set-up with a default model",
            "pass `-m MODEL`; or run `cargo setup` in a checkout and set CLASSIFY_HOME to its folder \
             assets",
        )
        .into()),
    }
}

/// What the flags say of preprocessing. Flags come before a model's metadata, value by value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RecipeFlags {
    color: Option<ColorOrder>,
    mean: Option<[f32; 3]>,
    scale: Option<[f32; 3]>,
    resize: Option<ResizeArg>,
    interpolation: Option<Interpolation>,
    /// What `--crop` says, to be compared with the model's input.
    pub crop: Option<u32>,
    crop_fraction: Option<f64>,
}

impl RecipeFlags {
    /// Whether nothing is left for other sources to say.
    pub fn is_complete(&self) -> bool {
        self.color.is_some()
            && self.mean.is_some()
            && self.scale.is_some()
            && self.resize.is_some()
            && self.interpolation.is_some()
    }

    /// Whether no flag was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `base` with what the flags say.
    pub fn apply(&self, base: Preprocess) -> Result<Preprocess, Hinted> {
        // The flag names the kind; what belongs to the kind may still come from the model.
        let resize = match (self.resize, base.resize) {
            (None, resize)
            | (Some(ResizeArg::Crop), resize @ Resize::Crop { .. })
            | (Some(ResizeArg::Letterbox), resize @ Resize::Letterbox { .. }) => resize,
            (Some(ResizeArg::Stretch), _) => Resize::Stretch,
            (Some(ResizeArg::Crop), _) => Resize::Crop { fraction: 1.0 },
            (Some(ResizeArg::Letterbox), _) => Resize::Letterbox { pad: 0 },
            (Some(ResizeArg::Short(short)), _) => Resize::ShortSide { short },
        };
        let resize = match (resize, self.crop_fraction) {
            (Resize::Crop { .. }, Some(fraction)) => Resize::Crop { fraction },
            (_, Some(_)) => {
                return Err(Hinted::new(
                    "--crop-fraction is given, but the picture is not cropped that way",
                    "add `--resize crop`",
                ));
            }
            (resize, None) => resize,
        };
        Ok(Preprocess {
            color: self.color.unwrap_or(base.color),
            mean: self.mean.unwrap_or(base.mean),
            scale: self.scale.unwrap_or(base.scale),
            resize,
            interpolation: self.interpolation.unwrap_or(base.interpolation),
        })
    }
}

impl TryFrom<PreprocessArgs> for RecipeFlags {
    type Error = anyhow::Error;

    fn try_from(args: PreprocessArgs) -> anyhow::Result<Self> {
        if args.crop.is_some() && !matches!(args.resize, Some(ResizeArg::Short(_))) {
            return Err(Hinted::new(
                "--crop is given without --resize short:N",
                "pass for instance `--resize short:256 --crop 224`",
            )
            .into());
        }
        Ok(Self {
            color: args.color.map(|color| match color {
                Color::Rgb => ColorOrder::Rgb,
                Color::Bgr => ColorOrder::Bgr,
            }),
            mean: args.mean.map(|triple| triple.0),
            scale: args.scale.map(|triple| triple.0),
            resize: args.resize,
            interpolation: args.interpolation.map(|interpolation| match interpolation {
                InterpolationArg::Nearest => Interpolation::Nearest,
                InterpolationArg::Bilinear => Interpolation::Bilinear,
                InterpolationArg::Bicubic => Interpolation::Bicubic,
                InterpolationArg::Lanczos => Interpolation::Lanczos,
                InterpolationArg::OpencvLinear => Interpolation::OpencvLinear,
            }),
            crop: args.crop,
            crop_fraction: args.crop_fraction,
        })
    }
}
