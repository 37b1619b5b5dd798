//! What a user can choose.

use std::path::PathBuf;

use backend_api::{PerformanceHint, Precision};

/// How to open an [`RtenBackend`](crate::RtenBackend).
///
/// ```
/// use backend_rten::RtenConfig;
///
/// let mut config = RtenConfig::new("model.onnx");
/// config.requests = Some(2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtenConfig {
    /// The model, an ONNX file.
    pub model: PathBuf,
    /// Where to execute. There is `CPU`, in any case. Default: `CPU`.
    pub device: String,
    /// The arithmetic to use. RTen computes in f32, whatever the model says; it cannot be asked for
    /// bf16 or f16. Default: f32.
    pub precision: Precision,
    /// The whole shape of the input, batch included, for a model that leaves sizes open. Default: as
    /// the model says, a dynamic batch being 1.
    pub shape: Option<Vec<usize>>,
    /// How many images a request holds: the size of the outermost dimension. Default: the model's,
    /// and 1 where it leaves it open.
    pub batch: Option<usize>,
    /// What to tune for: several requests that share the cores among them, or one with all cores.
    /// Default: throughput.
    pub hint: PerformanceHint,
    /// How many CPU threads the requests divide among them; each has at least one, and at
    /// most as many as there are cores. Default: as many as there are cores.
    pub threads: Option<usize>,
    /// How many requests run at a time (slots). They share the weights. Default: by the hint.
    pub requests: Option<usize>,
}

impl RtenConfig {
    /// The defaults for `model`.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            device: "CPU".to_owned(),
            precision: Precision::default(),
            shape: None,
            batch: None,
            hint: PerformanceHint::default(),
            threads: None,
            requests: None,
        }
    }
}
