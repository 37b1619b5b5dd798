//! What a backend says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Precision, TensorSpec};

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
    /// The model file. `None` for a model that was opened from memory.
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
