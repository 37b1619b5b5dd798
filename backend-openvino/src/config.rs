//! What a user can choose.

use std::path::PathBuf;

use backend_api::{PerformanceHint, Precision};

use crate::property::Property;

/// How to open an [`OpenvinoBackend`](crate::OpenvinoBackend).
///
/// ```
/// use backend_openvino::OpenvinoConfig;
///
/// let mut config = OpenvinoConfig::new("model.xml");
/// config.device = "HETERO:GPU,CPU".to_owned();
/// config.requests = Some(4);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenvinoConfig {
    /// The model: an IR (`.xml`, with its `.bin` beside it) or an ONNX file.
    pub model: PathBuf,
    /// The device string: `CPU`, `GPU.1`, `HETERO:GPU,CPU`, `AUTO`, … in any case; see
    /// [`Device`](crate::Device). A name that is not known is passed on. Default: `CPU`.
    pub device: String,
    /// The arithmetic to use. Default: f32, in which engines can be compared. OpenVINO's own choice
    /// ([`Precision::Auto`]) is bf16 on recent CPUs.
    pub precision: Precision,
    /// The whole shape of the input, batch included, for a model that leaves sizes open or
    /// whose sizes OpenVINO can change. Default: as
    /// the model says, a dynamic batch being 1.
    pub shape: Option<Vec<usize>>,
    /// How many images a request holds: the size of the outermost dimension. Default: the model's, and
    /// 1 where it leaves it open.
    pub batch: Option<usize>,
    /// What to tune for. Default: throughput.
    pub hint: PerformanceHint,
    /// `NUM_STREAMS`: how many inferences the device runs side by side. Default: by the hint.
    pub streams: Option<usize>,
    /// `INFERENCE_NUM_THREADS`: how many CPU threads inference may use. Default: all.
    pub threads: Option<usize>,
    /// How many infer requests (slots). Default: the compiled model's
    /// `OPTIMAL_NUMBER_OF_INFER_REQUESTS`.
    pub requests: Option<usize>,
    /// The C library of the runtime (`libopenvino_c`), or the directory that holds it. Default: the first that
    /// [`find_library`](crate::find_library) finds.
    pub library: Option<PathBuf>,
    /// Absolute paths of further directories to look for the library in. Each holds it, or is a Python
    /// environment with OpenVINO.
    pub library_dirs: Vec<PathBuf>,
    /// A plugins file with devices beyond the runtime's own. Default: none.
    pub plugins: Option<PathBuf>,
    /// Properties by their names in OpenVINO's documentation. They are set last, so that they come
    /// before everything else here.
    pub properties: Vec<Property>,
    /// A folder in which compiled models are kept for the next start; it is made if there is none.
    /// What is in it gets executed: no one else may write there. Default: nothing is kept.
    pub cache: Option<PathBuf>,
}

impl OpenvinoConfig {
    /// The defaults for `model`.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            device: "CPU".to_owned(),
            precision: Precision::default(),
            shape: None,
            batch: None,
            hint: PerformanceHint::default(),
            streams: None,
            threads: None,
            requests: None,
            library: None,
            library_dirs: Vec::new(),
            plugins: None,
            properties: Vec::new(),
            cache: None,
        }
    }
}
