//! The command line as it is written.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  classify -i cat.jpg                                 the set-up's default model on the CPU
  classify -m model.xml -i cat.jpg car.bmp -d GPU     OpenVINO on a GPU
  classify -m model.onnx -i cat.jpg --backend onnx    ONNX Runtime, the reference
  classify -m mobilenet.onnx -i cat.jpg --color rgb --mean 123.675,116.28,103.53 \\
      --scale 58.395,57.12,57.375 --resize short:256 --interpolation bilinear

Exit codes: 0 all well, 1 some inputs failed, 2 usage or environment (no model, engine or device).";

/// Classify pictures on any inference engine and device.
#[derive(Debug, Parser)]
#[command(name = "classify", version, after_help = EXAMPLES)]
pub struct Args {
    /// Model: OpenVINO IR (.xml with its .bin) or ONNX [default: the set-up's EfficientNet-Lite0]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Pictures: JPEG, PNG, BMP, WebP, GIF, TIFF, PNM, QOI
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// Device: CPU, GPU, GPU.1, NPU, AUTO, HETERO:GPU,CPU, MYRIAD, HDDL, …
    #[arg(short, long, value_name = "DEVICE", default_value = "CPU")]
    pub device: String,

    /// Inference engine
    #[arg(long, value_enum, default_value_t = Backend::Openvino)]
    pub backend: Backend,

    /// Print no steps and notes, only results and errors
    #[arg(short, long)]
    pub quiet: bool,

    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    Openvino,
    Onnx,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Results")]
pub struct OutputArgs {
    /// How many of the best classes to print
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = parse_positive)]
    pub top: usize,

    /// Digits after the point; engines agree on 4, the OpenVINO sample prints 7
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=17))]
    pub digits: u8,

    /// What the scores are; auto applies softmax unless the output is a distribution already
    #[arg(long, value_enum, default_value_t = Scores::Auto)]
    pub scores: Scores,

    /// Names of the classes, one a line [default: MODEL.labels beside the model, or its metadata]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scores {
    Auto,
    Probability,
    Softmax,
    Raw,
}

#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Preprocessing (default: the model's metadata, or the OpenVINO sample's convention)"
)]
pub struct PreprocessArgs {
    /// Order of the channels that the model takes
    #[arg(long, value_enum)]
    pub color: Option<Color>,

    /// Subtracted from each channel, pixels being 0-255, in the order of --color
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub mean: Option<Triple>,

    /// Divides each channel after the mean, in the order of --color
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub scale: Option<Triple>,

    /// stretch, crop (the central square of --crop-fraction), letterbox, or short:N (the short
    /// side to N, then the centre)
    #[arg(long, value_name = "HOW")]
    pub resize: Option<ResizeArg>,

    /// Size of the centre that short:N cuts out; must be the model's input size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub crop: Option<u32>,

    /// Part of the short side that --resize crop takes
    #[arg(long, value_name = "F")]
    pub crop_fraction: Option<f64>,

    /// How pixels are computed; the first four are Pillow's
    #[arg(long, value_enum)]
    pub interpolation: Option<InterpolationArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Rgb,
    Bgr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InterpolationArg {
    Nearest,
    Bilinear,
    Bicubic,
    Lanczos,
    OpencvLinear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeArg {
    Stretch,
    Crop,
    Letterbox,
    Short(u32),
}

impl FromStr for ResizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stretch" => Ok(Self::Stretch),
            "crop" => Ok(Self::Crop),
            "letterbox" => Ok(Self::Letterbox),
            _ => text
                .strip_prefix("short:")
                .and_then(|size| size.parse().ok())
                .filter(|&size| (1..=16_384).contains(&size))
                .map(Self::Short)
                .ok_or_else(|| {
                    "expected stretch, crop, letterbox, or short:N such as short:256".to_owned()
                }),
        }
    }
}

/// Three numbers, or one for all three channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triple(pub [f32; 3]);

impl FromStr for Triple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<f32>> = text
            .split(',')
            .map(|number| number.trim().parse().ok())
            .collect();
        match numbers.as_deref() {
            Some(&[all]) => Ok(Self([all; 3])),
            Some(&[a, b, c]) => Ok(Self([a, b, c])),
            _ => Err("expected three numbers such as 123.675,116.28,103.53".to_owned()),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Arithmetic; engines are compared in f32, auto is what the device prefers
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,

    /// What to tune the engine for
    #[arg(long, value_enum, default_value_t = Hint::Throughput)]
    pub hint: Hint,

    /// Infer requests that run at a time [default: what the engine finds best]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub requests: Option<usize>,

    /// OpenVINO: streams that run side by side [default: by the hint]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub streams: Option<usize>,

    /// CPU threads for inference [default: all cores]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub threads: Option<usize>,

    /// Threads that decode pictures [default: all cores]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub jobs: Option<usize>,

    /// OpenVINO's C library or its folder [env: `CLASSIFY_OPENVINO_LIB`]
    #[arg(long, value_name = "FILE")]
    pub openvino_lib: Option<PathBuf>,

    /// ONNX Runtime's library or its folder [env: `CLASSIFY_ONNXRUNTIME_LIB`]
    #[arg(long, value_name = "FILE")]
    pub onnxruntime_lib: Option<PathBuf>,

    /// OpenVINO plugins file: which devices exist
    #[arg(long, value_name = "FILE")]
    pub plugins: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    Auto,
    F32,
    Bf16,
    F16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hint {
    Throughput,
    Latency,
}

fn parse_positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&number| (1..=1024).contains(&number))
        .ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
}
