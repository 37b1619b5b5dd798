//! The configuration of a backend.

use backend_api::{ModelSource, OpenOptions};

/// The configuration of an [`RtenBackend`](crate::RtenBackend).
///
/// - [`device`](OpenOptions::device): `CPU`, in any case.
/// - [`precision`](OpenOptions::precision): RTen computes in f32 for every model. It supports neither bf16 nor f16.
/// - [`requests`](OpenOptions::requests): all requests share the weights. By default there is one for each core, or a
///   single one for the lowest latency.
/// - [`threads`](OpenOptions::threads): divided among the requests. Each request has at least one thread, and at most
///   as many as there are cores.
///
/// ```
/// use backend_rten::RtenConfig;
///
/// let mut config = RtenConfig::new("model.onnx");
/// config.options.requests = Some(2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtenConfig {
    /// The model (an ONNX file or its content), and the options that every engine has.
    pub options: OpenOptions,
}

impl RtenConfig {
    /// Returns the defaults for `model`.
    pub fn new(model: impl Into<ModelSource>) -> Self {
        OpenOptions::new(model).into()
    }
}

impl From<OpenOptions> for RtenConfig {
    fn from(options: OpenOptions) -> Self {
        Self { options }
    }
}
