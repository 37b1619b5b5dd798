//! What a backend says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::{Error, ErrorKind, TensorSpec};

/// The arithmetic that an engine is asked to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Whatever the engine prefers on the device: on recent Intel CPUs OpenVINO takes `bf16`.
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
    /// The short name: `auto`, `f32`, `bf16`, `f16`.
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

/// What an engine should be tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PerformanceHint {
    /// As many images a second as the device can do, with several requests at a time.
    #[default]
    Throughput,
    /// Each single request as fast as possible, with all cores.
    Latency,
}

impl PerformanceHint {
    /// How an `engine` without a say of its own divides `threads` (all cores by default) among `requests`
    /// (by the hint: as many as there are threads, at most `most`; or one). Gives the number of requests
    /// and of threads for each, which is at least one.
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
                    "configure the engine",
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

/// The runtime library of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLibrary {
    /// The file.
    pub path: PathBuf,
    /// The step of the search that found it: `the system's library directories`.
    pub origin: String,
}

/// What a backend runs, and where. Reports quote it, so that no fallback is silent.
///
/// Engines create it with [`BackendInfo::new`] and fill in the fields.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackendInfo {
    /// The backend's short name, as users select it: `openvino`, `onnx`, `rten`.
    pub backend: String,
    /// The engine's name for people: `OpenVINO`, `ONNX Runtime`, `RTen`.
    pub engine: String,
    /// The engine's version, as it reports it.
    pub engine_version: String,
    /// The runtime library that was loaded and how it was found, if there is one.
    pub library: Option<FoundLibrary>,
    /// The model file.
    pub model: Option<PathBuf>,
    /// The device that was asked for, as it was written.
    pub requested_device: String,
    /// The devices that really execute, as the engine names them.
    pub devices: Vec<String>,
    /// Device names that a plugins file gave to another plugin, each with that plugin's name. What
    /// runs under such a name is never the hardware of that name.
    pub aliases: BTreeMap<String, String>,
    /// What else people should know of how the model runs, a sentence each.
    pub notes: Vec<String>,
    /// The precision that was asked for.
    pub requested_precision: Precision,
    /// The precision that really executes, as the engine names it.
    pub precision: String,
    /// What a request's input must be.
    pub input: TensorSpec,
    /// What a result will be.
    pub output: TensorSpec,
    /// How many requests run at a time. [`SlotPool::new`](crate::SlotPool::new) sets it.
    pub slots: usize,
}

impl BackendInfo {
    /// The description of a backend that takes `input` and gives `output`; the rest is empty.
    pub fn new(backend: impl Into<String>, input: TensorSpec, output: TensorSpec) -> Self {
        Self {
            backend: backend.into(),
            engine: String::new(),
            engine_version: String::new(),
            library: None,
            model: None,
            requested_device: String::new(),
            devices: Vec::new(),
            aliases: BTreeMap::new(),
            notes: Vec::new(),
            requested_precision: Precision::default(),
            precision: String::new(),
            input,
            output,
            slots: 0,
        }
    }
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
}
