//! Choices that every engine offers.

use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread::available_parallelism;

use crate::{Error, ErrorKind, ExtraOutputs};

/// A model: a file, or the content of one.
///
/// ```
/// use backend_api::ModelSource;
///
/// let file = ModelSource::from("model.onnx");
/// assert_eq!(file.to_string(), "model.onnx");
/// let memory = ModelSource::from_bytes(vec![0_u8; 1024]);
/// assert_eq!(memory.to_string(), "1024 bytes in memory");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The path of the model. Files that belong to it lie next to it.
    Path(PathBuf),
    /// The content of the model. No other file is read.
    Bytes {
        /// The ONNX model, or the XML of an OpenVINO IR.
        model: Arc<[u8]>,
        /// The weights of an OpenVINO IR: the content of its `.bin`. An ONNX model has its weights inside.
        weights: Option<Arc<[u8]>>,
    },
}

impl ModelSource {
    /// Returns a model in memory that needs no separate weights.
    pub fn from_bytes(model: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes {
            model: model.into(),
            weights: None,
        }
    }

    /// Returns the path, if the model is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Bytes { .. } => None,
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Bytes { model, .. } => write!(f, "{} bytes in memory", model.len()),
        }
    }
}

/// Writes the sizes of the contents instead of their bytes.
impl fmt::Debug for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes { model, weights } => f
                .debug_struct("Bytes")
                .field("model", &format_args!("{} bytes", model.len()))
                .field("weights", &weights.as_ref().map(|weights| weights.len()))
                .finish(),
        }
    }
}

impl<T: AsRef<Path> + ?Sized> From<&T> for ModelSource {
    fn from(path: &T) -> Self {
        Self::Path(path.as_ref().to_path_buf())
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<String> for ModelSource {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<&Self> for ModelSource {
    fn from(source: &Self) -> Self {
        source.clone()
    }
}

/// The part of a backend's configuration that every engine has.
///
/// ```
/// use backend_api::{OpenOptions, Precision};
///
/// let mut options = OpenOptions::new("model.onnx");
/// options.precision = "f32".parse()?;
/// options.requests = Some(2);
/// assert_eq!(options.device, "CPU");
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The model.
    pub model: ModelSource,
    /// The device, as the engine names it, in any case. Default: `CPU`.
    pub device: String,
    /// The arithmetic. Default: f32, in which engines can be compared.
    pub precision: Precision,
    /// The whole shape of the input, batch included, for a model that leaves sizes open. Default: the
    /// model's shape, with 1 for a dynamic batch.
    pub shape: Option<Vec<usize>>,
    /// The number of images in a request, which is the size of the outermost dimension. Default: the
    /// model's, and 1 where the model leaves it open.
    pub batch: Option<usize>,
    /// The name of the output that holds the scores. Default: the only output, or the one that
    /// [`choose_outputs`](crate::choose_outputs) finds.
    pub output: Option<String>,
    /// The outputs that requests give in addition to the scores. Default: none.
    pub extra_outputs: ExtraOutputs,
    /// The goal of the tuning. Default: throughput.
    pub hint: PerformanceHint,
    /// The number of CPU threads for inference. Default: the number of cores.
    pub threads: Option<usize>,
    /// The number of requests that run at a time (slots). Default: by the hint.
    pub requests: Option<usize>,
    /// The most bytes of a request's input. OpenVINO rejects a model whose input is larger before it compiles it, which
    /// would take several times as much. The other engines do not compile for a size, and ignore it. Default: no limit.
    pub most_input_bytes: Option<u64>,
}

impl OpenOptions {
    /// Returns the defaults for `model`.
    pub fn new(model: impl Into<ModelSource>) -> Self {
        Self {
            model: model.into(),
            device: "CPU".to_owned(),
            precision: Precision::default(),
            shape: None,
            batch: None,
            output: None,
            extra_outputs: ExtraOutputs::None,
            hint: PerformanceHint::default(),
            threads: None,
            requests: None,
            most_input_bytes: None,
        }
    }
}

/// The requested arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Precision {
    /// The engine's preference for the device: on recent Intel CPUs OpenVINO takes `bf16`.
    Auto,
    /// 32-bit floating point, in which engines can be compared. The default.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floating point.
    F16,
}

impl Precision {
    /// Returns the short name: `auto`, `f32`, `bf16`, `f16`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// Reads the short name, in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Auto, Self::F32, Self::Bf16, Self::F16];
        named("precision", text, all.map(|it| (it, it.as_str())))
    }
}

/// The goal that an engine is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum PerformanceHint {
    /// The most images a second, with several requests at a time.
    #[default]
    Throughput,
    /// Each single request as fast as possible, with all cores.
    Latency,
}

impl PerformanceHint {
    /// Returns the short name: `throughput`, `latency`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
        }
    }

    /// Divides `threads` (all cores by default) among `requests`, for an `engine` that does not do so itself.
    ///
    /// By default, `Throughput` has one request for each thread, at most `most`, and `Latency` has one request. Returns
    /// the number of requests and the number of threads for each, which is at least one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] for 0 threads or requests.
    pub fn divide(
        self,
        threads: Option<usize>,
        requests: Option<usize>,
        most: usize,
        engine: &str,
    ) -> Result<(usize, usize), Error> {
        for (name, value) in [("threads", threads), ("requests", requests)] {
            if value == Some(0) {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("{name} is 0, but it must be at least 1"),
                )
                .with_context("engine", engine));
            }
        }
        let threads = threads.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get));
        let requests = requests.unwrap_or(match self {
            Self::Throughput => threads.min(most),
            Self::Latency => 1,
        });
        Ok((requests, (threads / requests).max(1)))
    }
}

impl fmt::Display for PerformanceHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PerformanceHint {
    type Err = Error;

    /// Reads the short name, in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Throughput, Self::Latency];
        named("performance hint", text, all.map(|it| (it, it.as_str())))
    }
}

/// Returns the value called `text`.
fn named<T, const N: usize>(
    what: &str,
    text: &str,
    all: [(T, &'static str); N],
) -> Result<T, Error> {
    let names = all.each_ref().map(|(_, name)| *name).join(", ");
    let found = all
        .into_iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(text.trim()));
    found.map(|(value, _)| value).ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, format!("the {what} is {text:?}"))
            .with_hint(format!("use one of {names}"))
    })
}

#[cfg(test)]
mod tests {
    use super::PerformanceHint::{Latency, Throughput};
    use super::*;

    #[test]
    fn cores_are_divided_among_the_requests() {
        let divide = |hint: PerformanceHint, threads, requests| {
            hint.divide(Some(threads), requests, 8, "RTen").unwrap()
        };
        assert_eq!(divide(Throughput, 6, None), (6, 1));
        assert_eq!(divide(Throughput, 6, Some(2)), (2, 3));
        assert_eq!(divide(Throughput, 6, Some(9)), (9, 1));
        assert_eq!(divide(Latency, 6, None), (1, 6));
        assert_eq!(divide(Throughput, 64, None), (8, 8));
        let error = Throughput.divide(None, Some(0), 8, "RTen").unwrap_err();
        assert!(error.to_string().contains("requests is 0"), "{error}");
    }

    #[test]
    fn names_are_read_in_any_case() {
        for precision in [
            Precision::Auto,
            Precision::F32,
            Precision::Bf16,
            Precision::F16,
        ] {
            let upper = precision.as_str().to_uppercase();
            assert_eq!(upper.parse::<Precision>().unwrap(), precision);
        }
        for hint in [Throughput, Latency] {
            assert_eq!(hint.to_string().parse::<PerformanceHint>().unwrap(), hint);
        }
        let error = "fp64".parse::<Precision>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), r#"the precision is "fp64""#);
        assert_eq!(error.hint(), Some("use one of auto, f32, bf16, f16"));
    }

    #[test]
    fn debug_output_has_no_model_bytes() {
        let options = OpenOptions::new(ModelSource::Bytes {
            model: vec![77_u8; 3].into(),
            weights: Some(vec![77_u8; 5].into()),
        });
        let text = format!("{options:?}");
        assert!(
            text.contains("3 bytes") && text.contains("Some(5)"),
            "{text}"
        );
        assert!(!text.contains("77"), "{text}");
    }
}
