//! The configuration of a backend.

use std::path::PathBuf;

use backend_api::{ModelSource, OpenOptions};

use crate::property::Property;

/// The configuration of an [`OpenvinoBackend`](crate::OpenvinoBackend).
///
/// - [`model`](OpenOptions::model): an IR (`.xml`, with its `.bin` next to it), ONNX, or another format that OpenVINO
///   reads. From memory: ONNX, or the XML of an IR with its weights.
/// - [`device`](OpenOptions::device): `CPU`, `GPU.1`, `HETERO:GPU,CPU`, `AUTO`, … in any case; see
///   [`Device`](crate::Device). A name that is not known is passed on.
/// - [`precision`](OpenOptions::precision): OpenVINO's own choice ([`Auto`](backend_api::Precision::Auto)) is bf16 on
///   recent CPUs.
/// - [`shape`](OpenOptions::shape): also for a model whose sizes OpenVINO can change.
/// - [`threads`](OpenOptions::threads): `INFERENCE_NUM_THREADS`.
/// - [`requests`](OpenOptions::requests): by default the compiled model's `OPTIMAL_NUMBER_OF_INFER_REQUESTS`.
///
/// ```
/// use backend_openvino::OpenvinoConfig;
///
/// let mut config = OpenvinoConfig::new("model.xml");
/// config.options.device = "HETERO:GPU,CPU".to_owned();
/// config.options.requests = Some(4);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenvinoConfig {
    /// The model, and the choices that every engine offers.
    pub options: OpenOptions,
    /// `NUM_STREAMS`: the number of inferences that the device runs side by side. Default: by the hint.
    pub streams: Option<usize>,
    /// The C library of the runtime (`libopenvino_c`), or the directory that holds it. Default: the first that
    /// [`find_library`](crate::find_library) finds.
    pub library: Option<PathBuf>,
    /// Absolute paths of further directories to look for the library in. Each holds it, or is a Python
    /// environment with OpenVINO.
    pub library_dirs: Vec<PathBuf>,
    /// A plugins file with devices beyond the runtime's own. Default: none.
    pub plugins: Option<PathBuf>,
    /// Properties by their names in OpenVINO's documentation. They are set last and override all options
    /// else here.
    pub properties: Vec<Property>,
    /// A directory in which compiled models are kept for the next start; it is created if it does not exist.
    /// Its content is executed: no other user may write there. Default: compiled models are not kept.
    pub cache: Option<PathBuf>,
}

impl OpenvinoConfig {
    /// Returns the defaults for `model`.
    pub fn new(model: impl Into<ModelSource>) -> Self {
        OpenOptions::new(model).into()
    }
}

impl From<OpenOptions> for OpenvinoConfig {
    fn from(options: OpenOptions) -> Self {
        Self {
            options,
            streams: None,
            library: None,
            library_dirs: Vec::new(),
            plugins: None,
            properties: Vec::new(),
            cache: None,
        }
    }
}
