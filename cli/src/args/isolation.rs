//! The arguments of isolated engines.

use super::values::{MemorySize, parse_seconds};

/// Processes for the engine and the decoder.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct IsolationArgs {
    /// Run the engine in a confined process, which can read only the model and the libraries, and decode images in
    /// another. If one crashes or hangs, only the images in flight fail (Linux, CPU)
    #[arg(long)]
    pub isolate: bool,

    /// Maximum address space of each process of --isolate, such as 4G [default: no limit]
    #[arg(long, value_name = "SIZE", requires = "isolate")]
    pub isolate_memory: Option<MemorySize>,

    /// Maximum CPU time of the engine's process of --isolate, over its whole life [default: no limit]
    #[arg(long, value_name = "SECONDS", requires = "isolate", value_parser = parse_seconds)]
    pub isolate_cpu: Option<f64>,

    /// Time for opening a model in the process of --isolate [default: 300]
    #[arg(long, value_name = "SECONDS", requires = "isolate", value_parser = parse_seconds)]
    pub isolate_open: Option<f64>,
}
