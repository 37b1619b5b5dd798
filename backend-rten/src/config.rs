//! The configuration of a backend.

use backend_api::{ModelSource, OpenOptions};

/// The configuration of an [`RtenBackend`](crate::RtenBackend).
///
/// - [`device`](OpenOptions::device): `CPU`, in any case.
/// - [`precision`](OpenOptions::precision): RTen computes in f32 for every model. It supports neither bf16 nor f16.
/// - [`requests`](OpenOptions::requests): share the weights. By default one for each core, or one in all for the
///   lowest latency.
/// - [`threads`](OpenOptions::threads): divided among the requests; each has at least one, and at most as
///   many as there are cores.
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
    /// The model, an ONNX file or the content of one, and the choices that every engine offers.
    pub options: OpenOptions,
}

impl RtenConfig {
    /// The defaults for `model`.
    pub fn new(model: impl Into<ModelSource>) -> Self {
        OpenOptions::new(model).into()
    }
}

impl From<OpenOptions> for RtenConfig {
    fn from(options: OpenOptions) -> Self {
        Self { options }
    }
}
