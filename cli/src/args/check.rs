//! The arguments of `check`.

use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// File with the gates, in TOML: docs/check.md describes it. `{command}` in a `report` or `record` stands for
    /// `compare` or `evaluate`: each writes its own file
    #[arg(long, value_name = "FILE", default_value = "classify.toml")]
    pub config: PathBuf,

    /// Print no notes or progress, only results and errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Runs and flags of compare and evaluate, which replace those of the file
    #[arg(
        value_name = "FLAGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub flags: Vec<OsString>,
}
