//! The command line, checked and completed.

use std::path::PathBuf;
use std::thread::available_parallelism;

use backend_api::library::set_up_folder;
use backend_api::{PerformanceHint, Precision};
use image_classification::sources::{Stated, Statement};
use image_classification::{ImageSize, Preprocess, Resize, ScoreKind};

use crate::args::{
    Backend, ClassifyArgs, EngineArgs, Format, Hint, InspectArgs, InspectFormat, PrecisionArg,
    PreprocessArgs, RuntimeArgs, Scores,
};
use crate::inputs::Inputs;
use crate::messages::Hinted;

/// What `classify` does.
#[derive(Debug)]
pub struct ClassifyOptions {
    /// The engine and how to open it.
    pub engine: EngineOptions,
    /// The pictures, in the order in which results are printed.
    pub inputs: Inputs,
    /// How pictures are prepared, as far as the user says it.
    pub recipe: RecipeOptions,
    /// How results are printed.
    pub output: OutputOptions,
    /// What the scores are.
    pub scores: ScoreKind,
    /// How many pictures are decoded at a time.
    pub jobs: usize,
    /// Whether to print results only.
    pub quiet: bool,
    /// Whether to say where values come from.
    pub verbose: bool,
}

/// What `classify inspect` does.
#[derive(Debug)]
pub struct InspectOptions {
    pub engine: EngineOptions,
    pub recipe: RecipeOptions,
    pub format: InspectFormat,
}

/// How results are printed.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    pub format: Format,
    /// The file, or stdout.
    pub path: Option<PathBuf>,
    /// How many classes to print.
    pub top: usize,
    /// The least score to print.
    pub threshold: Option<f32>,
    /// Digits after the point.
    pub digits: usize,
}

/// How to open an engine, whichever it is. What belongs to an engine that is not built in is still
/// accepted, so that the error names the engine and not the flag.
#[cfg_attr(not(all(feature = "openvino", feature = "onnx")), allow(dead_code))]
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub backend: Backend,
    pub model: PathBuf,
    /// Whether the model is the set-up's because none was given.
    pub default_model: bool,
    pub device: String,
    pub precision: Precision,
    pub hint: PerformanceHint,
    pub shape: Option<Vec<usize>>,
    pub batch: Option<usize>,
    pub requests: Option<usize>,
    pub streams: Option<usize>,
    pub threads: Option<usize>,
    /// Properties of OpenVINO, as they were written.
    pub config: Vec<String>,
    pub cache_dir: Option<PathBuf>,
    pub runtime: RuntimeArgs,
}

impl EngineOptions {
    fn new(model: Option<PathBuf>, args: EngineArgs) -> anyhow::Result<Self> {
        let default_model = model.is_none();
        Ok(Self {
            backend: args.backend,
            model: model.map_or_else(set_up_model, Ok)?,
            default_model,
            device: args.device,
            precision: match args.precision {
                PrecisionArg::Auto => Precision::Auto,
                PrecisionArg::F32 => Precision::F32,
                PrecisionArg::Bf16 => Precision::Bf16,
                PrecisionArg::F16 => Precision::F16,
            },
            hint: match args.hint {
                Hint::Throughput => PerformanceHint::Throughput,
                Hint::Latency => PerformanceHint::Latency,
            },
            shape: args.shape,
            batch: args.batch,
            requests: args.requests,
            streams: args.streams,
            threads: args.threads,
            config: args.config,
            cache_dir: args.cache_dir,
            runtime: args.runtime,
        })
    }
}

impl TryFrom<ClassifyArgs> for ClassifyOptions {
    type Error = anyhow::Error;

    fn try_from(args: ClassifyArgs) -> anyhow::Result<Self> {
        if args.output.threshold.is_some_and(f32::is_nan) {
            return Err(Hinted::new("--threshold is not a number", "pass for instance 0.5").into());
        }
        let jobs = args
            .engine
            .jobs
            .unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get));
        Ok(Self {
            jobs,
            recipe: RecipeOptions::try_from(args.preprocess)?,
            engine: EngineOptions::new(args.model, args.engine)?,
            inputs: Inputs::find(&args.input, &args.input_list, args.recursive)?,
            output: OutputOptions {
                format: args.output.format,
                path: args.output.output,
                top: args.output.top.0,
                threshold: args.output.threshold,
                digits: args.output.digits.into(),
            },
            scores: match args.output.scores {
                Scores::Auto => ScoreKind::Auto,
                Scores::Probability => ScoreKind::Probability,
                Scores::Softmax => ScoreKind::Softmax,
                Scores::Raw => ScoreKind::Raw,
            },
            quiet: args.quiet,
            verbose: args.verbose,
        })
    }
}

impl TryFrom<InspectArgs> for InspectOptions {
    type Error = anyhow::Error;

    fn try_from(args: InspectArgs) -> anyhow::Result<Self> {
        Ok(Self {
            recipe: RecipeOptions::try_from(args.preprocess)?,
            engine: EngineOptions::new(args.model.or(args.model_flag), args.engine)?,
            format: args.format,
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

/// What the user says of preprocessing and labels: flags, and the files that they name.
#[derive(Debug)]
pub struct RecipeOptions {
    /// The preprocessing file.
    pub preprocess: Option<PathBuf>,
    /// The file with the labels.
    pub labels: Option<PathBuf>,
    flags: Statement,
    crop_fraction: Option<f64>,
}

impl RecipeOptions {
    /// Whether nothing about pixels is left for other sources to say.
    pub fn is_complete(&self) -> bool {
        self.flags.color.is_some()
            && self.flags.mean.is_some()
            && self.flags.scale.is_some()
            && self.flags.resize.is_some()
            && self.flags.interpolation.is_some()
    }

    /// The flags as a source. `base` is what the other sources say: `--resize` names the kind, and
    /// what belongs to the kind may still come from them.
    pub fn statement(&self, base: &Preprocess) -> Result<Statement, Hinted> {
        let mut statement = self.flags.clone();
        let resize = statement.resize.as_ref().map_or(base.resize, |given| {
            match (given.value, base.resize) {
                (Resize::Crop { fraction: 1.0 }, found @ Resize::Crop { .. })
                | (
                    Resize::Letterbox {
                        pad: 0,
                        centred: true,
                    },
                    found @ Resize::Letterbox { centred: true, .. },
                ) => found,
                (given, _) => given,
            }
        });
        if statement.resize.is_some() {
            statement.resize = Some(Stated::new(resize, "--resize"));
        }
        if let Some(fraction) = self.crop_fraction {
            if let Some(given) = &self.flags.resize
                && matches!(given.value, Resize::Crop { fraction: f } if f < 1.0 && (f - fraction).abs() > f64::EPSILON)
            {
                return Err(Hinted::new(
                    format!("--resize is {} and --crop-fraction {fraction}", given.value),
                    "leave one of the two out",
                ));
            }
            if !matches!(resize, Resize::Crop { .. }) {
                return Err(Hinted::new(
                    "--crop-fraction is given, but the picture is not cropped that way",
                    "add `--resize crop`",
                ));
            }
            statement.resize = Some(Stated::new(Resize::Crop { fraction }, "--crop-fraction"));
        }
        Ok(statement)
    }
}

impl TryFrom<PreprocessArgs> for RecipeOptions {
    type Error = anyhow::Error;

    fn try_from(args: PreprocessArgs) -> anyhow::Result<Self> {
        let crops = matches!(
            args.resize,
            Some(Resize::ShortSide { .. } | Resize::StretchThenCrop { .. })
        );
        if args.crop.is_some() && !crops {
            return Err(Hinted::new(
                "--crop is given without --resize short:N",
                "pass for instance `--resize short:256 --crop 224`",
            )
            .into());
        }
        Ok(Self {
            preprocess: args.preprocess,
            labels: args.labels,
            crop_fraction: args.crop_fraction,
            flags: Statement {
                color: args.color.map(|color| Stated::new(color, "--color")),
                mean: args.mean.map(|mean| Stated::new(mean.0, "--mean")),
                scale: args.scale.map(|scale| Stated::new(scale.0, "--scale")),
                resize: args.resize.map(|resize| Stated::new(resize, "--resize")),
                interpolation: args
                    .interpolation
                    .map(|filter| Stated::new(filter, "--interpolation")),
                size: args.crop.map(|side| {
                    let size = ImageSize {
                        width: side,
                        height: side,
                    };
                    Stated::new(size, "--crop")
                }),
                layout: args.layout.map(|layout| Stated::new(layout, "--layout")),
                ..Statement::default()
            },
        })
    }
}
