//! The command line as it is written.

pub mod any_path;
mod check;
mod engine;
mod evaluate;
pub mod examples;
mod input;
mod isolation;
mod preprocess;
mod remote;
mod report_path;
mod run_spec;
mod runs;
mod shard;
mod tensors;
mod usage;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use evaluation::Share;

use examples::{
    BENCH_EXAMPLES, CHECK_EXAMPLES, CHECK_EXIT_CODES, COMPARE_EXAMPLES, COMPARE_EXIT_CODES,
    DEVICES_EXAMPLES, EVALUATE_EXAMPLES, EVALUATE_EXIT_CODES, EXAMPLES, EXIT_CODES,
    INSPECT_EXAMPLES, MERGE_EXAMPLES, MERGE_EXIT_CODES, TENSORS_EXAMPLES,
};
use runs::RUN_HELP;
use values::{parse_count, parse_number, parse_positive, parse_seconds};

pub use check::CheckArgs;
pub use engine::{EngineArgs, PrecisionFlag, RuntimeArgs, TuningArgs};
pub use evaluate::EvaluateArgs;
pub use input::InputArgs;
pub use isolation::IsolationArgs;
pub use preprocess::PreprocessArgs;
pub use remote::{NamedModel, RemoteArgs, RemoteModel, with_schemes};
pub use report_path::{ReportFormat, ReportPath};
pub use run_spec::RunSpec;
pub use runs::{RunsArgs, ScoresFlag};
pub use shard::{Given, MOST_SHARDS, MergeArgs, Shard, ShardArgs, distinct_text};
pub use tensors::TensorsArgs;
#[cfg(test)]
pub use values::MemorySize;
pub use values::{
    Backend, Format, PrecisionArg, ResultFormat, TextOrJson, ToleranceArg, Top, TruthFolders,
};

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
