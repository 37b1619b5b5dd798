//! The arguments of isolated engines.

use super::values::{MemorySize, parse_seconds};

/// Processes for the engine and the decoder.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct IsolationArgs {
    /// Run the engine in a confined process, which can read the model and nothing else, and decode images in another; a
    /// crash or a hang there is an error of the images in flight (Linux)
    #[arg(long)]
    pub isolate: bool,

    /// Address space of each process of --isolate, such as 4G [default: no limit]
    #[arg(long, value_name = "SIZE", requires = "isolate")]
    pub isolate_memory: Option<MemorySize>,

    /// CPU time of the engine's process of --isolate, over its whole life [default: no limit]
    #[arg(long, value_name = "SECONDS", requires = "isolate", value_parser = parse_seconds)]
    pub isolate_cpu: Option<f64>,
}
