//! The arguments of `tensors`.

use std::path::PathBuf;

use super::{EngineArgs, InputArgs, PreprocessArgs};

#[derive(Debug, clap::Args)]
pub struct TensorsArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Archive (.npz) or directory (with / at its end, or one that exists) for the arrays tensors, images, hashes and
    /// preprocessing
    #[arg(short, long, value_name = "FILE|DIR/")]
    pub output: PathBuf,

    /// Print no notes or progress, only errors
    #[arg(short, long)]
    pub quiet: bool,

    #[command(flatten)]
    pub preprocess: PreprocessArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}
