//! Provenance of answers: the run that gave them, and its machine.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use backend_api::{BackendInfo, Error, ErrorKind};
use image_classification::{
    FittedPreprocessing, Interpretation, Labels, OutputKind, Preparation, SettingOrigin,
};
use model_file::{Format, QuantizedNodes, StoredPrecision};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::text::counted;

/// The engine, device, precision, model and preprocessing of a run, for reports and recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct RunInfo {
    /// The name of the run, as the caller writes it.
    pub name: String,
    /// The backend: `openvino`, `onnx`, …
    pub backend: String,
    /// The name of the engine.
    pub engine: String,
    /// The version of the engine.
    pub engine_version: String,
    /// The requested device.
    pub requested_device: String,
    /// The device that executes.
    pub device: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// The requested precision.
    #[serde(default)]
    pub requested_precision: String,
    /// The means that keep the engine in a process of its own. `None` for an engine in the process of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// The model: its path, or another name.
    pub model: String,
    /// SHA-256 of the model's files: itself, its weights, its external data. `None` if it is not known.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<String>"))]
    pub model_sha256: Option<Digest>,
    /// The preprocessing, as names and values of settings.
    #[serde(rename = "input")]
    pub preprocessing: Vec<(String, String)>,
    /// The number of classes, if it is fixed.
    pub classes: Option<usize>,
    /// The score rule: the conversion of outputs into scores. Recordings of version 0.1.0 lack it.
    #[serde(default)]
    pub interpretation: Option<Interpretation>,
    /// The source of the scoring decision.
    #[serde(default)]
    pub scores_by: String,
    /// The kind of values in the output, if the model states it.
    #[serde(default)]
    pub output: Option<OutputKind>,
    /// True if metadata state that several classes may be right.
    #[serde(default)]
    pub multi_label: bool,
    /// The number of output values for each image.
    #[serde(default)]
    pub values: Option<usize>,
    /// The name of the output that holds the scores, for a model with several outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// The coarsest precision in which the model's files hold much of the weights.
    #[serde(default)]
    pub stored_precision: Option<String>,
    /// The number of nodes with weights of an ONNX model that take quantized values, and of all nodes with weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantized_nodes: Option<[usize; 2]>,
    /// The machine that executes the run.
    pub machine: Machine,
    /// True if the answers come from a recording.
    #[serde(default)]
    pub recorded: bool,
    /// The place of outputs that another program computed: a file and its digest. `None` for runs of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl RunInfo {
    /// Returns the run of a backend on this machine. The model's digest, the preprocessing and everything about scores
    /// and classes are not known yet: set the fields.
    pub fn new(name: impl Into<String>, info: &BackendInfo) -> Self {
        Self {
            name: name.into(),
            backend: info.backend.clone(),
            engine: info.engine.clone(),
            engine_version: info.engine_version.clone(),
            requested_device: info.requested_device.clone(),
            device: info.executed_devices(),
            precision: info.precision.clone(),
            requested_precision: info.requested_precision.to_string(),
            isolation: info.isolation.clone(),
            model: String::new(),
            model_sha256: None,
            preprocessing: Vec::new(),
            classes: None,
            interpretation: None,
            scores_by: String::new(),
            output: None,
            multi_label: false,
            values: None,
            output_name: (info.outputs.len() > 1).then(|| info.output.name.clone()),
            stored_precision: None,
            quantized_nodes: None,
            machine: Machine::current(),
            recorded: false,
            source: None,
        }
    }

    /// Sets the preprocessing, the classes and the score rule of `fitted`, and the settings of `preparation`.
    #[must_use]
    pub fn with_preprocessing(
        self,
        fitted: &FittedPreprocessing,
        preparation: &Preparation,
    ) -> Self {
        let settings = preparation.settings().into_iter();
        let reading = fitted.reading.as_ref();
        let origin = reading.map_or(&SettingOrigin::Undecided, |reading| &reading.origin);
        Self {
            preprocessing: settings
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            classes: fitted.classes,
            interpretation: reading.map(|reading| reading.interpretation),
            scores_by: origin.to_string(),
            output: reading.and_then(|reading| reading.kind),
            multi_label: reading.is_some_and(|reading| reading.multi_label.is_some()),
            values: fitted.values,
            ..self
        }
    }

    /// Sets the model to the file `model`, with the digest of all of its files and the precision of its weights.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn with_model(self, model: &Path) -> Result<Self, Error> {
        Ok(self.with_files(model, &ModelFiles::read(model)?))
    }

    /// Sets the model to the file `model`, of which `files` is known.
    #[must_use]
    pub(crate) fn with_files(self, model: &Path, files: &ModelFiles) -> Self {
        Self {
            model: model.to_string_lossy().into_owned(),
            model_sha256: Some(files.sha256),
            stored_precision: files
                .stored_precision
                .map(|precision| precision.to_string()),
            quantized_nodes: files.quantized_nodes.map(|it| [it.quantized, it.nodes]),
            ..self
        }
    }

    /// Describes engine, device, precision and isolation on one line.
    pub fn description(&self) -> String {
        if let Some(source) = &self.source {
            let engine = match &*self.engine {
                "unknown" => String::new(),
                engine => format!("{engine}, "),
            };
            return format!(
                "{engine}{} computed elsewhere, {}: {source}",
                self.output
                    .map_or_else(|| "outputs".to_owned(), |kind| kind.to_string()),
                self.precision
            );
        }
        let isolation = self.isolation.as_ref();
        let isolation = isolation.map_or_else(String::new, |means| format!(", isolated ({means})"));
        let recorded = if self.recorded { ", recorded" } else { "" };
        format!(
            "{} {} on {} (requested: {}), precision {} (requested: {}){isolation}{recorded}",
            self.engine,
            self.engine_version,
            self.device,
            self.requested_device,
            self.precision,
            self.requested_precision
        )
    }

    /// Returns the nodes that take quantized values, if they make the model a quantized one.
    pub fn quantization(&self) -> Option<QuantizedNodes> {
        let [quantized, nodes] = self.quantized_nodes?;
        Some(QuantizedNodes { nodes, quantized }).filter(QuantizedNodes::is_quantized)
    }

    /// Returns whether both runs are known to have the same model files, and the same output of them.
    pub fn has_model_of(&self, other: &Self) -> bool {
        self.model_sha256.is_some()
            && self.model_sha256 == other.model_sha256
            && self.output_name == other.output_name
    }

    /// Names the model, its output if it has several, and its digest on one line.
    pub fn model_description(&self) -> String {
        if self.source.is_some() {
            return "model not stated".to_owned();
        }
        let mut text = self.model.clone();
        if let Some(output) = &self.output_name {
            let _ = write!(text, ", output {output}");
        }
        if let Some(digest) = self.model_sha256 {
            let _ = write!(text, ", SHA-256 {digest}");
        }
        text
    }
}

/// The description of a model by its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelFiles {
    pub sha256: Digest,
    stored_precision: Option<StoredPrecision>,
    /// `None` for a model that takes no quantized values.
    quantized_nodes: Option<QuantizedNodes>,
}

impl ModelFiles {
    /// Reads the files of `model`, each once.
    pub fn read(model: &Path) -> Result<Self, Error> {
        let unreadable = |source: io::Error| {
            Error::new(ErrorKind::ModelNotFound, "the model cannot be read")
                .with_context("model", model.display())
                .with_source(source)
        };
        if model_file::format(model)? == Format::Onnx {
            let onnx = model_file::check_onnx(model, "", None)?;
            let beside = onnx.external_data.into_iter().map(|(_, file)| file);
            let beside: Vec<PathBuf> = beside.collect();
            return Ok(Self {
                sha256: Digest::of_parts(&[&onnx.bytes], &beside).map_err(unreadable)?,
                stored_precision: StoredPrecision::of_onnx(&onnx.model),
                quantized_nodes: Some(QuantizedNodes::of_onnx(&onnx.model))
                    .filter(|nodes| nodes.quantized > 0),
            });
        }
        let files = model_file::check(model)?;
        Ok(Self {
            sha256: Digest::of_files(&files).map_err(unreadable)?,
            stored_precision: model_file::stored_precision(model).map_err(unreadable)?,
            quantized_nodes: None,
        })
    }
}

/// A run of a comparison or an evaluation.
#[derive(Debug, Clone)]
pub struct RunEntry {
    /// The name of the run, as the caller writes it.
    pub name: String,
    /// The run, or the reason why it has no answers.
    pub info: Result<RunInfo, String>,
    /// The names of its classes.
    pub labels: Option<Labels>,
}

/// A machine, as far as answers depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Machine {
    /// The version of this crate.
    pub classify_version: String,
    /// The operating system.
    pub os: String,
    /// The architecture of the CPU.
    pub arch: String,
    /// The name of the CPU, if the system reports it.
    pub cpu: Option<String>,
    /// The extensions of the CPU on which engines' arithmetic depends.
    pub cpu_flags: Vec<String>,
    /// The number of cores that this process may use.
    pub cores: usize,
}

impl Machine {
    /// Returns this machine.
    pub fn current() -> Self {
        Self {
            classify_version: env!("CARGO_PKG_VERSION").to_owned(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: cpu(),
            cpu_flags: cpu_flags(),
            cores: available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }

    /// Returns a machine of which nothing is known.
    pub(crate) fn unknown() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            classify_version: unknown(),
            os: unknown(),
            arch: unknown(),
            cpu: None,
            cpu_flags: Vec::new(),
            cores: 0,
        }
    }

    /// Describes the machine on one line.
    pub fn description(&self) -> String {
        if *self == Self::unknown() {
            return "unknown machine".to_owned();
        }
        let cpu = self.cpu.as_deref().unwrap_or("unknown CPU");
        format!(
            "{cpu}, {}, {} {} ({}), classify {}",
            counted(self.cores, "core"),
            self.os,
            self.arch,
            self.cpu_flags.join(" "),
            self.classify_version
        )
    }
}

/// Returns the CPU's name, where the system has it in a file.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn cpu_flags() -> Vec<String> {
    [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512_fp16", is_x86_feature_detected!("avx512fp16")),
        ("avx_vnni", is_x86_feature_detected!("avxvnni")),
    ]
    .into_iter()
    .filter(|&(_name, has)| has)
    .map(|(name, _has)| name.to_owned())
    .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_flags() -> Vec<String> {
    Vec::new()
}
