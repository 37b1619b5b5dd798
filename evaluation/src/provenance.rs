//! What has to be known of a run and of a machine to make sense of its answers elsewhere.

use std::path::Path;
use std::thread::available_parallelism;

use anyhow::Context as _;
use image_classification::{Interpretation, OutputKind};
use serde::{Deserialize, Serialize};

use crate::fields;
use crate::messages::counted;
use crate::session::OpenRun;
use evaluation::Digest;

/// A run, for reports and recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The name as it was written.
    pub name: String,
    pub backend: String,
    pub engine: String,
    pub engine_version: String,
    pub requested_device: String,
    /// The device that executes.
    pub device: String,
    pub precision: String,
    /// The requested precision.
    #[serde(default)]
    pub requested_precision: String,
    pub model: String,
    /// SHA-256 of the model's files: itself, its weights, its external data.
    pub model_sha256: Digest,
    /// The preprocessing, in the notation of the command line.
    pub input: Vec<(String, String)>,
    pub classes: Option<usize>,
    /// The rule that makes scores of outputs. Recordings of version 0.1.0 lack it.
    #[serde(default)]
    pub interpretation: Option<Interpretation>,
    /// Source of the scoring decision.
    #[serde(default)]
    pub scores_by: String,
    /// The kind of values in the output, if the model tells.
    #[serde(default)]
    pub output: Option<OutputKind>,
    /// True if metadata state that several classes may be right.
    #[serde(default)]
    pub multi_label: bool,
    /// The number of values that the model gives for an image.
    #[serde(default)]
    pub values: Option<usize>,
    /// The coarsest precision in which the model's files hold much of the weights.
    #[serde(default)]
    pub stored_precision: Option<String>,
    /// The machine that executes the run.
    pub machine: Machine,
    /// True if the answers come from a recording.
    #[serde(default)]
    pub recorded: bool,
}

impl RunFacts {
    /// Returns the facts of an open run.
    pub fn of(run: &OpenRun, machine: &Machine) -> anyhow::Result<Self> {
        let info = run.info();
        Ok(Self {
            name: run.name.clone(),
            backend: info.backend.clone(),
            engine: info.engine.clone(),
            engine_version: info.engine_version.clone(),
            requested_device: info.requested_device.clone(),
            device: info.executed_devices(),
            precision: info.precision.clone(),
            requested_precision: info.requested_precision.to_string(),
            model: run.model.to_string_lossy().into_owned(),
            model_sha256: model_digest(&run.model)?,
            input: run
                .input
                .settings()
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            classes: run.classes,
            interpretation: run
                .reading
                .is_decided()
                .then_some(run.reading.interpretation),
            scores_by: fields::origin(&run.reading.origin),
            output: run.reading.kind,
            multi_label: run.reading.multi_label.is_some(),
            values: run.values,
            stored_precision: model_file::stored_precision(&run.model)?
                .map(|precision| precision.to_string()),
            machine: machine.clone(),
            recorded: false,
        })
    }

    /// One line for people.
    pub fn description(&self) -> String {
        let recorded = if self.recorded { ", recorded" } else { "" };
        format!(
            "{} {} on {} (requested: {}), precision {} (requested: {}){recorded}",
            self.engine,
            self.engine_version,
            self.device,
            self.requested_device,
            self.precision,
            self.requested_precision
        )
    }
}

fn model_digest(model: &Path) -> anyhow::Result<Digest> {
    let files = model_file::check(model)?;
    Digest::of_files(&files).with_context(|| format!("cannot read {}", model.display()))
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub classify_version: String,
    pub os: String,
    pub arch: String,
    pub cpu: Option<String>,
    /// Those on which engines' arithmetic depends.
    pub cpu_flags: Vec<String>,
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        Self {
            classify_version: env!("CARGO_PKG_VERSION").to_owned(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: cpu(),
            cpu_flags: cpu_flags(),
            cores: available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }

    /// One line for people.
    pub fn description(&self) -> String {
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

/// Its name, where the system says it in a file.
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
