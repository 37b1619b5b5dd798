//! The arguments of `evaluate`.

use std::path::PathBuf;

use evaluation::{LeastTruth, MetricLimit, Share};

use super::RunsArgs;
use super::values::{DropRuleArg, TruthFolders, parse_positive, parse_score};

#[derive(Debug, clap::Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    pub runs: RunsArgs,

    /// Ground truth: one `name class` per line, CSV with a header, `path<TAB>label`, JSON lines, or
    /// `LOC_val_solution.csv` of `ImageNet`; classes by id, by name or by synset. For a multi-label model, an image
    /// with several classes has several lines, or `|` or `;` between the classes [default: metadata.csv or
    /// metadata.jsonl in the directory of the images, or the images' directories]
    #[arg(long, value_name = "FILE", help_heading = "Evaluation")]
    pub truth: Option<PathBuf>,

    /// Columns of the image and of the class in the ground truth [default: by their names]
    #[arg(
        long,
        value_name = "IMAGE,CLASS",
        value_delimiter = ',',
        help_heading = "Evaluation"
    )]
    pub truth_columns: Vec<String>,

    /// Take classes from the images' directories: by their names, ids or synsets, or numbered in alphabetical order, as
    /// torchvision's `ImageFolder` does [default of HOW: names]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "names",
        conflicts_with_all = ["truth", "truth_columns"],
        help_heading = "Evaluation"
    )]
    pub truth_folders: Option<TruthFolders>,

    /// Take the classes of an image from the members next to it in its .tar archive, as in a `WebDataset`: NAME.cls, or
    /// NAME.json with `cls`, `label` or the like, or NAME.txt
    #[arg(long, conflicts_with_all = ["truth", "truth_folders", "truth_columns"], help_heading = "Evaluation")]
    pub truth_webdataset: bool,

    /// Offset to add to the ids of the ground truth: 1 for a model whose class 0 is the background
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_hyphen_values = true,
        help_heading = "Evaluation"
    )]
    pub label_offset: i64,

    /// Record outputs, labels and environment in FILE for --against
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Evaluation",
        conflicts_with = "shard"
    )]
    pub record: Option<PathBuf>,

    /// Also evaluate the runs that were recorded in FILE; the first of them is the reference
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Evaluation",
        conflicts_with = "shard"
    )]
    pub against: Option<PathBuf>,

    /// Allow a recorded run of another model file, such as a float model for its quantized version
    #[arg(long, requires = "against", help_heading = "Evaluation")]
    pub other_model: bool,

    /// Report top-K accuracy for these values of K
    #[arg(long, value_name = "K,…", default_value = "1,5", value_delimiter = ',', value_parser = parse_positive, help_heading = "Evaluation")]
    pub top: Vec<usize>,

    /// Minimum score of the classes that a multi-label model gives for an image [default: 0.5]
    #[arg(long, value_name = "SCORE", value_parser = parse_score, allow_hyphen_values = true, help_heading = "Evaluation")]
    pub threshold: Option<f64>,

    /// Minimum top-1 accuracy of every run: 0.75 or 75%. For multi-label models, see --metric-min
    #[arg(long, value_name = "SHARE", help_heading = "Evaluation")]
    pub min_top1: Option<Share>,

    /// Maximum drop of accuracy below the reference: 0.01 or 1%. Accuracy is top-1, or the exact match of multi-label
    /// models
    #[arg(long, value_name = "SHARE", help_heading = "Evaluation")]
    pub max_drop: Option<Share>,

    /// Evidence that makes --max-drop fail [default: shown]
    #[arg(
        long,
        value_name = "RULE",
        requires = "max_drop",
        help_heading = "Evaluation"
    )]
    pub drop_rule: Option<DropRuleArg>,

    /// Minimum of a metric of every run: f1-macro=0.8, mcc=0.7, f1:tabby=0.9; docs/evaluate.md lists them. Repeatable
    #[arg(
        long,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true,
        help_heading = "Evaluation"
    )]
    pub metric_min: Vec<MetricLimit>,

    /// Maximum of a metric of every run, such as ece=0.05. Repeatable
    #[arg(
        long,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true,
        help_heading = "Evaluation"
    )]
    pub metric_max: Vec<MetricLimit>,

    /// Minimum share or number of images that have ground truth: 95% or 200 [default: 100% if there is another gate]
    #[arg(long, value_name = "SHARE|N", help_heading = "Evaluation")]
    pub min_truth: Option<LeastTruth>,
}
