//! What a user can choose.

use std::path::PathBuf;

use backend_api::{PerformanceHint, Precision};

/// How to open an [`OnnxBackend`](crate::OnnxBackend).
///
/// ```
/// use backend_onnx::OnnxConfig;
///
/// let mut config = OnnxConfig::new("model.onnx");
/// config.requests = Some(2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxConfig {
    /// The model, an ONNX file.
    pub model: PathBuf,
    /// Where to execute: the short name of an execution provider in any case, `CPU`, `CUDA`,
    /// `OPENVINO`, …; see [`providers`](crate::providers). It runs the whole model or the model does
    /// not open. Default: `CPU`.
    pub device: String,
    /// The arithmetic to use. ONNX Runtime's CPU provider computes what the model says, which is
    /// f32 for an f32 model; it cannot be asked for bf16 or f16. Default: f32.
    pub precision: Precision,
    /// The whole shape of the input, batch included, for a model that leaves sizes open. Default: as
    /// the model says, a dynamic batch being 1.
    pub shape: Option<Vec<usize>>,
    /// How many images a request holds: the size of the outermost dimension. Default: the model's,
    /// and 1 where it leaves it open.
    pub batch: Option<usize>,
    /// What to tune for: several sessions that share the cores among them, or one with all cores.
    /// Default: throughput.
    pub hint: PerformanceHint,
    /// How many CPU threads the sessions divide among them; each has at least one. Default: as many
    /// as there are cores.
    pub threads: Option<usize>,
    /// How many sessions (slots). Each holds its own copy of the weights. Default: by the hint, at
    /// most 8.
    pub requests: Option<usize>,
    /// Whether idle threads spin instead of sleeping. Spinning is 5–9 % faster, but takes the CPU
    /// from everything else in the process. Default: off.
    pub spinning: bool,
    /// The runtime's library (`libonnxruntime`), or the directory that holds it. Default: the first that
    /// [`find_library`](crate::find_library) finds.
    pub library: Option<PathBuf>,
    /// Absolute paths of further directories to look for the library in. Each holds it, or is a Python
    /// environment with ONNX Runtime.
    pub library_dirs: Vec<PathBuf>,
}

impl OnnxConfig {
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
            spinning: false,
            library: None,
            library_dirs: Vec::new(),
        }
    }
}
