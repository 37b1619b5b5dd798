//! The flags of the engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::any_path;
use super::isolation::IsolationArgs;
use super::remote::RemoteArgs;
use super::values::{
    Backend, Hint, MemorySize, PrecisionArg, parse_positive, parse_seconds, parse_size,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Device: CPU, GPU, GPU.1, NPU, AUTO, HETERO:GPU,CPU, …; for ONNX Runtime an execution provider:
    /// CPU, CUDA, OPENVINO, …; see `classify devices`
    #[arg(short, long, value_name = "DEVICE", default_value = "CPU")]
    pub device: String,

    /// Inference engine
    #[arg(long, value_enum, default_value_t = Backend::Openvino)]
    pub backend: Backend,

    /// Remote: servers that have the model, grpc://host:port[,host:port…], or grpcs:// for TLS. They decide the device and
    /// the precision: --device and --precision are errors
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub url: Vec<String>,

    #[command(flatten)]
    pub precision: PrecisionFlag,

    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Precision of the arithmetic.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct PrecisionFlag {
    /// Precision of the arithmetic. Engines agree to 4 digits in f32; with auto, the device chooses
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
}

/// Settings of every engine.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct TuningArgs {
    /// Performance goal: many images per second, or the lowest time per request
    #[arg(long, value_enum, default_value_t = Hint::Throughput)]
    pub hint: Hint,

    /// The input's whole shape, such as 1,3,224,224, to set open sizes, and on OpenVINO to change fixed ones
    #[arg(long, value_name = "N,N,N,N", value_delimiter = ',', value_parser = parse_size)]
    pub shape: Option<Vec<usize>>,

    /// Images in one infer request [default: the model's, or 1]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub batch: Option<usize>,

    /// Name of the output that holds the scores, for a model with several [default: by its shape and name; see
    /// `classify inspect`]
    #[arg(long, value_name = "NAME")]
    pub output_name: Option<String>,

    /// Infer requests that run at a time. Commands that take runs also take several numbers, such as 1,2,4, and make
    /// each run with each number [default: what the engine finds best]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = parse_positive)]
    pub requests: Vec<usize>,

    /// OpenVINO: number of parallel streams [default: by the hint]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub streams: Option<usize>,

    /// CPU threads for inference [default: all cores]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub threads: Option<usize>,

    /// Threads that decode images [default: all cores]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub jobs: Option<usize>,

    /// Memory that images may take at a time, over all decoding threads, such as 512M or 2G; an image that
    /// needs more is an error [default: a quarter of the memory of the machine, the container or `ulimit -v`]
    #[arg(long, value_name = "SIZE")]
    pub image_memory: Option<MemorySize>,

    /// OpenVINO: set a property, for all devices or for one: `NUM_STREAMS=2`, `GPU:PERF_COUNT=YES`
    #[arg(long, value_name = "[DEVICE:]KEY=VALUE")]
    pub config: Vec<String>,

    /// OpenVINO: keep compiled models in this directory, for a faster start [default: none are kept]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Maximum time. With --isolate: of an infer request, or of decoding an image. With a remote engine: of an infer
    /// request with its retries [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<f64>,

    #[command(flatten)]
    pub isolation: IsolationArgs,

    #[command(flatten)]
    pub runtime: RuntimeArgs,

    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Locations of the engines.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct RuntimeArgs {
    /// OpenVINO's C library or its directory [env: `CLASSIFY_OPENVINO_LIB`]
    #[arg(long, value_name = "FILE")]
    #[serde(with = "any_path")]
    pub openvino_lib: Option<PathBuf>,

    /// ONNX Runtime's library or its directory [env: `CLASSIFY_ONNXRUNTIME_LIB`]
    #[arg(long, value_name = "FILE")]
    #[serde(with = "any_path")]
    pub onnxruntime_lib: Option<PathBuf>,

    /// OpenVINO plugins file, which adds devices [env: `CLASSIFY_OPENVINO_PLUGINS`]
    #[arg(long, value_name = "FILE")]
    #[serde(with = "any_path")]
    pub plugins: Option<PathBuf>,
}
