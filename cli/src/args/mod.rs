//! The command line as it is written.

pub mod any_path;
mod check;
mod evaluate;
mod isolation;
mod remote;
mod report_path;
mod run_spec;
mod shard;
mod tensors;
mod usage;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use evaluation::Share;
use image_classification::{ColorOrder, ImageLayout, Interpolation, Recipe, ResizeOverride};
use serde::{Deserialize, Serialize};

use values::{parse_count, parse_number, parse_positive, parse_recipe, parse_seconds, parse_size};

pub use check::CheckArgs;
pub use evaluate::EvaluateArgs;
pub use isolation::IsolationArgs;
pub use remote::{NamedModel, RemoteArgs, RemoteModel, with_schemes};
pub use report_path::{ReportFormat, ReportPath};
pub use run_spec::RunSpec;
pub use shard::{
    Given, MERGE_EXAMPLES, MERGE_EXIT_CODES, MergeArgs, Shard, ShardArgs, distinct_text,
};
pub use tensors::TensorsArgs;
pub use values::{
    Backend, Decode, Format, Hint, MemorySize, PrecisionArg, ResultFormat, Scores, TextOrJson,
    ToleranceArg, Top, Triple, TruthFolders,
};

/// Examples at the end of `--help` and of the manual page.
pub const EXAMPLES: &str = "\
  classify cat.jpg                                    the set-up's default model on the CPU
  classify cat.jpg car.bmp -m model.xml -d GPU        OpenVINO on a GPU
  classify photos/ -m model.onnx --backend onnx       a directory, on ONNX Runtime, the reference
  classify 'photos/*.{jpg,png}' -m model.onnx         a pattern, for shells that do not expand it
  classify -m model.onnx -i photos/ --format json -o results.jsonl
  classify -m model.onnx -i photos/ --format npz --save-outputs features -o features.npz
  find photos -name '*.jpg' -print0 | classify -m model.onnx -i -
  echo '{\"id\": 7, \"path\": \"cat.jpg\"}' | classify -m model.onnx --stream
  classify -m model.onnx --input-list all.txt --shard 0/64 --out-dir parts --format json
  classify merge parts -o results.jsonl               one file of the parts of all 64 shards
  classify --backend remote --url grpc://host:8001 -m net:3 -i photos/ --preprocess net.onnx
  classify devices                                    engines and devices, and why some are unavailable
  classify inspect model.onnx                         the preprocessing and the source of each value
  classify -m mobilenet.onnx -i cat.jpg --recipe torchvision:mobilenet_v2@IMAGENET1K_V1";

/// Meaning of the exit codes.
pub const EXIT_CODES: &str = "0 success, 1 an input failed, 2 usage or environment (no model, engine or device), \
    129, 130 and 143 interrupted";

pub const INSPECT_EXAMPLES: &str = "\
  classify inspect model.xml
  classify inspect model.onnx --backend onnx --format json
  classify inspect --recipes 'torchvision:resnet*'    the preprocessing of published weights
  classify inspect model.onnx --format json | jq .preprocess > preprocess.json
  classify -m other.onnx -i cat.jpg --preprocess preprocess.json";

pub const TENSORS_EXAMPLES: &str = "\
  classify tensors -m model.onnx -i photos/ -o inputs.npz
  classify tensors -m model.onnx -i photos/ -o inputs/        a directory of .npy files, to map into memory
  classify compare openvino onnx --against outputs.npz -m model.onnx -i photos/";

pub const DEVICES_EXAMPLES: &str = "\
  classify devices
  classify devices --backend openvino --format json | jq '.engines[0].devices[].name'
  classify devices --plugins plugins.xml              with the aliases of a plugins file";

pub const COMPARE_EXAMPLES: &str = "\
  classify compare openvino onnx -m model.onnx -i photos/
  classify compare openvino:CPU@f32 openvino:CPU@bf16 -m model.xml -i photos/
  classify compare onnx openvino:HETERO:GPU,CPU -m model.onnx -i photos/ --report report.html
  classify compare onnx=original.onnx onnx=quantized.onnx -i photos/ --tolerance int8
  classify compare openvino:GPU --record lab.jsonl -m model.onnx -i photos/
  classify compare openvino:CPU --against lab.jsonl -m model.onnx -i photos/
  classify compare onnx openvino --against outputs.npz -m model.onnx -i photos/
  classify compare onnx remote=grpc://host:8001/resnet50 -m resnet50.onnx -i photos/
  classify compare onnx openvino@bf16 -m model.onnx -i photos/ --bisect";

/// Meaning of the exit codes of `compare`.
pub const COMPARE_EXIT_CODES: &str = "0 the runs agree, 1 they do not, 2 something could not be compared, 129, 130 and 143 interrupted";

pub const EVALUATE_EXAMPLES: &str = "\
  classify evaluate openvino -m model.onnx -i photos/ --truth ground-truth.tsv
  classify evaluate onnx openvino@bf16 -m model.onnx -i photos/ --truth val.txt --max-drop 1%
  classify evaluate openvino -m model.onnx -i dataset/ -r --truth-folders --min-top1 75%
  classify evaluate openvino -m model.onnx -i photos/ --truth labels.csv --report report.md
  classify evaluate onnx -m tags.onnx -i photos/ --truth tags.csv --scores sigmoid --threshold 0.4
  classify evaluate onnx=old.onnx onnx=new.onnx -i photos/ --truth val.txt --min-truth 100%";

pub const CHECK_EXAMPLES: &str = "\
  classify check
  classify check --config ci/gate.toml
  classify check --config ci/gate.toml --max-drop 2% -i other-photos";

/// Meaning of the exit codes of `check`.
pub const CHECK_EXIT_CODES: &str = "0 all gates passed, 1 a gate failed, 2 something could not be compared or evaluated, 129, 130 and 143 interrupted";

pub const BENCH_EXAMPLES: &str = "\
  classify bench openvino onnx rten -m model.onnx -i photos/
  classify bench openvino@f32 openvino@auto --duration 30 --format json
  classify bench openvino onnx --hint latency
  classify bench openvino --requests 1,2,4";

/// Meaning of the exit codes of `evaluate`.
pub const EVALUATE_EXIT_CODES: &str = "0 all gates passed, 1 a gate failed, 2 something could not be evaluated, 129, 130 and 143 interrupted";

/// Classify images on any inference engine and device.
#[derive(Debug, Parser)]
#[command(
    name = "classify",
    version,
    after_help = format!("Examples:\n  {EXAMPLES}\n\nExit codes: {EXIT_CODES}."),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub classify: ClassifyArgs,
}

impl Args {
    /// Returns whether notes and progress are suppressed.
    pub fn is_quiet(&self) -> bool {
        match &self.command {
            Some(Command::Compare(args)) => args.runs.quiet,
            Some(Command::Evaluate(args)) => args.runs.quiet,
            Some(Command::Check(args)) => args.quiet,
            Some(Command::Bench(args)) => args.quiet,
            Some(Command::Tensors(args)) => args.quiet,
            Some(Command::Merge(args)) => args.quiet,
            _ => self.classify.quiet,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the preprocessing of a model and the source of each value
    #[command(after_help = format!("Examples:\n  {INSPECT_EXAMPLES}"))]
    Inspect(Box<InspectArgs>),
    /// Write the input tensors of engines, for another program: PyTorch, Keras, …
    #[command(after_help = format!("Examples:\n  {TENSORS_EXAMPLES}\n\nExit codes: {EXIT_CODES}."))]
    Tensors(Box<TensorsArgs>),
    /// Compare engines, devices, precisions or model files, and give a verdict
    #[command(after_help = format!("Examples:\n  {COMPARE_EXAMPLES}\n\nExit codes: {COMPARE_EXIT_CODES}."))]
    Compare(Box<CompareArgs>),
    /// Measure top-1, top-5 and other accuracy against ground truth, with gates
    #[command(after_help = format!("Examples:\n  {EVALUATE_EXAMPLES}\n\nExit codes: {EVALUATE_EXIT_CODES}."))]
    Evaluate(Box<EvaluateArgs>),
    /// Join the parts of all shards: one file of results, or one report with its verdict
    #[command(after_help = format!("Examples:\n  {MERGE_EXAMPLES}\n\nExit codes: {MERGE_EXIT_CODES}."))]
    Merge(MergeArgs),
    /// Run the comparison and the evaluation that a file asks for, with their gates
    #[command(after_help = format!("Examples:\n  {CHECK_EXAMPLES}\n\nExit codes: {CHECK_EXIT_CODES}."))]
    Check(CheckArgs),
    /// Measure the speed of engines, devices or precisions: inference alone and the whole path
    #[command(after_help = format!("Examples:\n  {BENCH_EXAMPLES}"))]
    Bench(Box<BenchArgs>),
    /// Classify three photos with a small model on every installed engine, and compare the results
    Demo,
    /// List engines and devices, and why some are unavailable
    #[command(after_help = format!("Examples:\n  {DEVICES_EXAMPLES}"))]
    Devices(DevicesArgs),
    /// Print a completion script for a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, clap::Args)]
pub struct ClassifyArgs {
    /// Images, directories, archives, patterns or -, as with --input. For a file named like a command, write ./compare
    #[arg(value_name = "IMAGE", conflicts_with = "stream")]
    pub images: Vec<PathBuf>,

    #[command(flatten)]
    pub input: InputArgs,

    /// Keep the model loaded and answer each line on stdin with a line of JSON, at once and in order. A line is a path,
    /// or a JSON object: {"id": 7, "path": "cat.jpg"}, {"image": BASE64} with the bytes of a file, or {"pixels":
    /// BASE64, "width": 640, "height": 480} with RGB bytes
    #[arg(long, conflicts_with_all = ["input", "input_list", "recursive", "output", "shard"])]
    pub stream: bool,

    /// Print no steps, notes or progress, only results and errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Print the source of each preprocessing value and of the engine
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,

    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub shard: ShardArgs,
    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// The model and the images.
#[derive(Debug, Clone, clap::Args)]
pub struct InputArgs {
    /// Model: OpenVINO IR (.xml with its .bin) or ONNX; OpenVINO also reads TensorFlow (Lite) and Paddle; for a remote
    /// engine, the model's name on the server, NAME or NAME:VERSION [default: the set-up's EfficientNet-Lite0]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Images (JPEG, PNG, BMP, WebP, GIF, TIFF, PNM, QOI, ICO, TGA, JPEG XL), directories or .tar archives of
    /// them, patterns such as 'photos/*.{jpg,png}', or - for a list on stdin
    #[arg(short, long, value_name = "PATH", required_unless_present = "input_list", num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// File with one image or directory per line, or separated by NUL
    #[arg(long, value_name = "FILE")]
    pub input_list: Vec<PathBuf>,

    /// Recurse into subdirectories
    #[arg(short, long)]
    pub recursive: bool,
}

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// Model [default: the set-up's EfficientNet-Lite0]
    #[arg(value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// Same as MODEL
    #[arg(short, long = "model", value_name = "FILE", conflicts_with = "model")]
    pub model_flag: Option<PathBuf>,

    /// List all recipes for --recipe, or those whose name contains PATTERN or, with `*` and `?`, matches it
    #[arg(long, value_name = "PATTERN", num_args = 0..=1, default_missing_value = "*", conflicts_with_all = ["model", "model_flag"])]
    pub recipes: Option<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    pub format: TextOrJson,

    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

// As a text: rustdoc would take the brackets for links.
const RUN_HELP: &str = "A run: BACKEND[:DEVICE][@PRECISION][#OUTPUT][=MODEL], such as openvino, onnx:CPU@f32, \
    openvino:HETERO:GPU,CPU@auto, onnx=quantized.onnx, onnx#logits=heads.onnx or \
    remote=grpc://host:port[,host:port…]/MODEL[:VERSION]";

/// Several runs over the same images.
#[derive(Debug, clap::Args)]
pub struct RunsArgs {
    #[arg(
        value_name = "RUN",
        required = true,
        help = RUN_HELP
    )]
    pub runs: Vec<RunSpec>,

    #[command(flatten)]
    pub input: InputArgs,

    /// Reference run, spelled as in RUN [default: the first]
    #[arg(long, value_name = "RUN")]
    pub reference: Option<String>,

    /// Format of stdout
    #[arg(long, value_enum, default_value_t = ResultFormat::Text)]
    pub format: ResultFormat,

    /// Write a report; the extension selects the format: .json, .csv, .parquet (in programs that are built with it), .md,
    /// .xml (JUnit), .html or .annotations (GitHub). Repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    pub report: Vec<ReportPath>,

    /// Print no notes or progress, only results and errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Print all rates, distributions and gates, the worst images and classes, and the models
    #[arg(short, long)]
    pub verbose: bool,

    #[command(flatten)]
    pub shard: ShardArgs,
    #[command(flatten)]
    pub scores: ScoresFlag,
    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub precision: PrecisionFlag,
    #[command(flatten)]
    pub tuning: TuningArgs,

    /// Run all engines in this process. By default, if there are several engines, each run gets a confined process, so
    /// that a crash fails only the images of that run (Linux, CPU)
    #[arg(long, conflicts_with = "isolate", help_heading = "Engine")]
    pub no_isolate: bool,
}

#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[arg(
        value_name = "RUN",
        required = true,
        help = RUN_HELP
    )]
    pub runs: Vec<RunSpec>,

    /// Model [default: the set-up's EfficientNet-Lite0]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Images, directories or patterns [default: 12 generated PNG images of 500 x 375]
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// Recurse into subdirectories
    #[arg(short, long)]
    pub recursive: bool,

    /// Print no notes, only results and errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Seconds for each measurement of a run (inference alone; whole path)
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, allow_negative_numbers = true, help_heading = "Measurement")]
    pub duration: f64,

    /// Images for each measurement, instead of --duration
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, conflicts_with = "duration", help_heading = "Measurement")]
    pub count: Option<usize>,

    /// Measure inference only
    #[arg(long, help_heading = "Measurement")]
    pub inference_only: bool,

    /// Warm-up inferences
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        help_heading = "Measurement"
    )]
    pub warm_up: usize,

    /// Number of rounds; the runs take turns within a round
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = parse_positive, help_heading = "Measurement")]
    pub rounds: usize,

    /// Output format
    #[arg(long, value_enum, default_value_t = TextOrJson::Text, help_heading = "Measurement")]
    pub format: TextOrJson,

    #[command(flatten)]
    pub scores: ScoresFlag,
    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub precision: PrecisionFlag,
    #[command(flatten)]
    pub tuning: TuningArgs,
}

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub runs: RunsArgs,

    /// Number of best classes to compare
    #[arg(long, value_name = "K", default_value = "10", value_parser = parse_positive, help_heading = "Comparison")]
    pub top: usize,

    /// Tolerance [default: that of the coarsest precision among the runs]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Comparison")]
    pub tolerance: Option<ToleranceArg>,

    /// Maximum difference of a probability, on any image
    #[arg(long, value_name = "D", help_heading = "Comparison")]
    pub max_delta: Option<Share>,

    /// Minimum share of images with the same best class: 0.98 or 98%
    #[arg(long, value_name = "SHARE", help_heading = "Comparison")]
    pub min_top1: Option<Share>,

    /// Minimum mean overlap of the best classes as sets: 0.9 or 90%
    #[arg(long, value_name = "SHARE", help_heading = "Comparison")]
    pub min_overlap: Option<Share>,

    /// Record input hashes, outputs and environment in FILE for --against
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Comparison",
        conflicts_with = "shard"
    )]
    pub record: Option<PathBuf>,

    /// Compare with FILE: recorded runs, of which the first is the reference; or, as the reference, outputs of another
    /// program in an npz archive or a directory of npy files
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Comparison",
        conflicts_with = "shard"
    )]
    pub against: Option<PathBuf>,

    /// Find the first node of an ONNX model whose output differs, on the worst image
    #[arg(long, help_heading = "Comparison", conflicts_with = "shard")]
    pub bisect: bool,

    /// Bisect on this image instead
    #[arg(
        long,
        alias = "bisect-picture",
        value_name = "FILE",
        requires = "bisect",
        help_heading = "Comparison"
    )]
    pub bisect_image: Option<PathBuf>,

    /// Maximum difference of a node's output, relative to its largest value [default: by the tolerance;
    /// 0.000001 for two files on one engine in f32]
    #[arg(
        long,
        value_name = "SHARE",
        requires = "bisect",
        help_heading = "Comparison"
    )]
    pub bisect_tolerance: Option<Share>,

    /// Maximum number of bisection steps; each runs both models with up to 32 nodes exposed
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = parse_positive,
        requires = "bisect",
        help_heading = "Comparison"
    )]
    pub bisect_looks: usize,
}

#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// List only this engine
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,

    /// Output format
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    pub format: TextOrJson,

    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Results")]
pub struct OutputArgs {
    /// Number of best classes to print, or all
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: Top,

    /// Print only classes with at least this score
    #[arg(long, value_name = "SCORE", value_parser = parse_number::<f32>, allow_hyphen_values = true)]
    pub threshold: Option<f32>,

    /// Digits after the decimal point in text and CSV. Engines agree to 4 digits; OpenVINO's sample prints 7
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=17))]
    pub digits: u8,

    #[command(flatten)]
    pub scores: ScoresFlag,

    /// Output format [default: text; with --stream: json]
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Save these outputs of the model too (features, maps), in JSON or npz: all, or names. In a name, `\,` is a comma;
    /// `\all` is an output called all [default: none; in npz the output that holds the scores]
    #[arg(long, value_name = "all|NAME,…")]
    pub save_outputs: Vec<String>,

    /// Write results to FILE instead of stdout; the file appears when it is complete
    #[arg(short, long, value_name = "FILE", conflicts_with = "shard")]
    pub output: Option<PathBuf>,
}

/// Kind of the scores.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Results")]
pub struct ScoresFlag {
    /// Kind of the scores
    #[arg(long, value_enum, default_value_t = Scores::Auto)]
    pub scores: Scores,
}

#[derive(Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Preprocessing (default: from the model and the files next to it; see `classify inspect`)"
)]
pub struct PreprocessArgs {
    /// Preprocessing file: `preprocessor_config.json`, timm's config.json, Open Model Zoo's
    /// model.yml, or the JSON of `classify inspect`; for remote engines also a local model, or a
    /// directory with one
    #[arg(long, value_name = "FILE")]
    pub preprocess: Option<PathBuf>,

    /// Recipe of published weights: `torchvision:resnet50`, `torchvision:resnet50@IMAGENET1K_V1`,
    /// `timm:resnet50.a1_in1k`, `keras:mobilenet_v2`; `classify inspect --recipes` lists them
    #[arg(long, value_name = "NAME", value_parser = parse_recipe, conflicts_with = "preprocess")]
    pub recipe: Option<Recipe>,

    /// Channels that the model takes, in their order: rgb, bgr or grey (Pillow's `L`; the default for models of one
    /// channel)
    #[arg(long, value_name = "ORDER")]
    pub color: Option<ColorOrder>,

    /// Mean of each channel (pixels 0-255), in the order of --color, or one number for all
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub mean: Option<Triple>,

    /// Divisor of each channel after the mean, in the order of --color, or one number for all
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub scale: Option<Triple>,

    /// Resize method: stretch; crop or crop:0.875 (the central square, or that part of it); letterbox or letterbox:114
    /// (grey borders); fit (at the top left); short:256 (the short side to 256, then cut out the centre; in
    /// short:256:floor, half a pixel rounds down); stretch:256 (both sides to 256, then cut out the centre)
    #[arg(long, value_name = "HOW")]
    pub resize: Option<ResizeOverride>,

    /// Size of the centre that short:N cuts out; must be the model's input size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub crop: Option<u32>,

    /// Fraction of the short side that --resize crop keeps
    #[arg(long, value_name = "F", value_parser = parse_number::<f64>, allow_negative_numbers = true)]
    pub crop_fraction: Option<f64>,

    /// Resampling filter: nearest, box, bilinear, bicubic or lanczos as in Pillow; opencv-linear as in OpenCV;
    /// torchvision-nearest, -nearest-exact, -bilinear, -bicubic, -lanczos, -bilinear-f32 or -bicubic-f32 as in
    /// torchvision with tensors
    #[arg(long, value_name = "FILTER")]
    pub interpolation: Option<Interpolation>,

    /// JPEG decoding
    #[arg(long, value_enum, default_value_t = Decode::Exact)]
    pub decode: Decode,

    /// Layout, NCHW or NHWC, if the input's shape does not determine it
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<ImageLayout>,

    /// Names of the classes: one per line, `id name`, a synset file, or JSON [default: MODEL.labels
    /// next to the model, or the model's metadata or config.json]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

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
