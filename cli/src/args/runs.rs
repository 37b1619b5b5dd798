//! The flags of several runs over the same images.

use super::engine::{PrecisionFlag, TuningArgs};
use super::input::InputArgs;
use super::preprocess::PreprocessArgs;
use super::report_path::ReportPath;
use super::run_spec::RunSpec;
use super::shard::ShardArgs;
use super::values::{ResultFormat, Scores};

// As a text: rustdoc would take the brackets for links.
pub const RUN_HELP: &str = "A run: BACKEND[:DEVICE][@PRECISION][#OUTPUT][=MODEL], such as openvino, onnx:CPU@f32, \
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

/// Kind of the scores.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Results")]
pub struct ScoresFlag {
    /// Kind of the scores
    #[arg(long, value_enum, default_value_t = Scores::Auto)]
    pub scores: Scores,
}
