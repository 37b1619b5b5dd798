//! The configuration of a backend.

use std::path::PathBuf;

use backend_api::{ModelSource, OpenOptions};

/// The configuration of an [`OnnxBackend`](crate::OnnxBackend).
///
/// - [`device`](OpenOptions::device): the short name of an execution provider in any case, `CPU`, `CUDA`, `OPENVINO`,
///   …; see [`providers`](crate::providers). It runs the whole model or the model does not open.
/// - [`precision`](OpenOptions::precision): ONNX Runtime's CPU provider computes in the types of the model, which is
///   f32 for an f32 model. It does not convert to bf16 or f16.
/// - [`requests`](OpenOptions::requests): sessions, each with its own copy of the weights. By default one for each
///   core, at most 8, or one in all for the lowest latency.
/// - [`threads`](OpenOptions::threads): divided among the sessions, at least one for each.
///
/// ```
/// use backend_onnx::OnnxConfig;
///
/// let mut config = OnnxConfig::new("model.onnx");
/// config.options.requests = Some(2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxConfig {
    /// The model, an ONNX file or the content of one, and the choices that every engine offers.
    pub options: OpenOptions,
    /// Idle threads spin instead of sleeping. Spinning is 5–9 % faster, but takes the CPU
    /// from the rest of the process. Default: off.
    pub spinning: bool,
    /// The runtime's library (`libonnxruntime`), or the directory that holds it. Default: the first that
    /// [`find_library`](crate::find_library) finds.
    pub library: Option<PathBuf>,
    /// Absolute paths of further directories to look for the library in. Each holds it, or is a Python
    /// environment with ONNX Runtime.
    pub library_dirs: Vec<PathBuf>,
}

impl OnnxConfig {
    /// Returns the defaults for `model`.
    pub fn new(model: impl Into<ModelSource>) -> Self {
        OpenOptions::new(model).into()
    }
}

impl From<OpenOptions> for OnnxConfig {
    fn from(options: OpenOptions) -> Self {
        Self {
            options,
            spinning: false,
            library: None,
            library_dirs: Vec::new(),
        }
    }
}
