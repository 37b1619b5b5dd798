//! The sources of a model's preprocessing.
//!
//! [`find`] reads the statements of the model and of the files next to it, in the order of their rank.
//! [`ResolvedPreprocessing`](crate::ResolvedPreprocessing) takes each value from the first source that has it and keeps
//! the different values of the others:
//!
//! 1. the caller's [`PreprocessOverrides`](crate::PreprocessOverrides), and then the recipe or the preprocessing file
//!    in them ([`Recipe`](crate::Recipe), [`read_file`]);
//! 2. the model: Intel Model API's `model_info`, in an OpenVINO IR and in ONNX, Ultralytics' and TensorFlow Lite's
//!    metadata, and the steps in an IR's graph;
//! 3. files next to the model: Hugging Face's `processor_config.json`, `preprocessor_config.json` and `config.json`,
//!    timm's `config.json`, `OpenCLIP`'s `open_clip_config.json`, Ultralytics' `metadata.yaml`, Open Model Zoo's
//!    `model.yml`;
//! 4. the operators at the end of the model's graph, for the kind of the output;
//! 5. the convention of TensorFlow Lite for the order of its channels, and the convention of OpenVINO's samples.

mod embedded;
mod graph;
mod hugging_face;
mod inside;
mod ir;
mod json;
mod model_api;
mod onnx;
mod open_clip;
mod open_model_zoo;
mod preprocess_file;
mod tflite;
mod timm;
mod ultralytics;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use backend_api::ModelSource;
use model_file::read_source;
use prost::bytes::Bytes;

use self::embedded::Embedded;
pub(crate) use self::graph::End;
use crate::file::is_there;
use crate::{
    ColorOrder, ImageLayout, ImageSize, InputQuantization, Interpolation, Labels, LabelsError,
    OutputKind, Quantization, Resize, WithOrigin,
};

/// The largest `.json` or `.yml`; a file with 20,000 labels has 2 MB.
const MOST_CONFIG_BYTES: u64 = 16 << 20;

/// The values that one source states. Every value may be absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceSettings {
    /// The order of the channels.
    pub color: Option<WithOrigin<ColorOrder>>,
    /// The mean that is subtracted from pixels of 0–255, in the order of the channels.
    pub mean: Option<WithOrigin<[f32; 3]>>,
    /// The divisor of the difference, in the order of the channels.
    pub scale: Option<WithOrigin<[f32; 3]>>,
    /// The way in which the image gets the size of the input.
    pub resize: Option<WithOrigin<Resize>>,
    /// The resize for one other size of the input, which comes with [`resize`](Self::resize).
    pub resize_at: Option<(ImageSize, WithOrigin<Resize>)>,
    /// The filter of the resize.
    pub interpolation: Option<WithOrigin<Interpolation>>,
    /// The size of the input, for models that leave it open.
    pub size: Option<WithOrigin<ImageSize>>,
    /// The place of the channels, for inputs whose shape does not show it.
    pub layout: Option<WithOrigin<ImageLayout>>,
    /// The names of the classes.
    pub labels: Option<WithOrigin<Labels>>,
    /// Several classes may be right at a time: the scores are not a distribution.
    pub multi_label: Option<WithOrigin<bool>>,
    /// The kind of values that the output holds.
    pub output: Option<WithOrigin<OutputKind>>,
    /// The quantization of an integer output.
    pub quantization: Option<WithOrigin<Quantization>>,
    /// The quantization of an integer input.
    pub input_quantization: Option<WithOrigin<InputQuantization>>,
    /// Keys that were read and have no effect here.
    pub unused: Vec<String>,
    /// Parts of the source that cannot be read and are left out, each as a sentence.
    pub unreadable: Vec<String>,
    /// The sentence about labels that cannot be read and are left out.
    pub unreadable_labels: Option<String>,
}

/// The reason why a source cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The model itself cannot be read.
    #[error("the model cannot be read")]
    Model {
        /// The reason.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Io {
        /// The file.
        file: String,
        /// The reason.
        source: io::Error,
    },
    /// The file is larger than such a file can be.
    #[error("{file} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content of the file contradicts its name.
    #[error("{file} is not {expected}")]
    Malformed {
        /// The file.
        file: String,
        /// The expected content: `well-formed XML`.
        expected: &'static str,
        /// The parser's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file does not hold labels.
    #[error("cannot use the labels in {file}")]
    Labels {
        /// The file.
        file: String,
        /// The reason.
        source: LabelsError,
    },
    /// An OpenVINO IR of a version that no supported OpenVINO reads.
    #[error(
        "the model is an OpenVINO IR of version {version}, but OpenVINO reads versions 10 and 11"
    )]
    OldIr {
        /// Its version.
        version: u32,
    },
    /// The output is the best scores in their order, without their classes.
    #[error(
        "the model's output contains the sorted values of its operator {operator}: a position is a rank and does not \
         identify a class"
    )]
    Sorted {
        /// The operator: `TopK`.
        operator: String,
    },
    /// The output does not identify classes.
    #[error("the model's output does not identify classes: its operator {operator} {reason}")]
    NoClasses {
        /// The operator: `TopK`, `ArgMax`, `Softmax`.
        operator: String,
        /// The reason.
        reason: &'static str,
    },
    /// The output is as long as one of integers, and nothing states what they are.
    #[error(
        "the model's outputs {values} and {ids} have the same shape: they seem to be the best values and their class ids, \
         as TopK gives them; a position would be a rank and not identify a class"
    )]
    Ranked {
        /// The output that was chosen.
        values: String,
        /// The output of integers.
        ids: String,
    },
    /// The output joins heads whose values cannot be ranked together.
    #[error(
        "the model's output is no single classifier: its operator {operator} joins {parts}, which cannot be ranked \
         together"
    )]
    Heads {
        /// The operator: `Concat`.
        operator: String,
        /// The kinds of the heads.
        parts: String,
    },
    /// The output that was assumed to hold the scores is not what class ids in another output come from.
    #[error(
        "the model's output {output:?} is not what the class ids in its output {ids:?} come from: it holds features, or \
         scores of another head; the outputs are {outputs}"
    )]
    Unrelated {
        /// The output that was assumed to hold the scores.
        output: String,
        /// The output of the class ids.
        ids: String,
        /// All outputs.
        outputs: String,
    },
    /// A required key is absent.
    #[error("{file} has no {key}; expected {expected}")]
    Missing {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The values that are understood.
        expected: String,
    },
    /// A key has a value that is not understood or not supported.
    #[error("{file} says {key} = `{value}`, which is not supported; expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The values that are understood.
        expected: String,
    },
}

impl SourceError {
    /// Returns the next step for the user. It names fields of [`PreprocessOverrides`](crate::PreprocessOverrides) in
    /// backticks.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Model { .. } | Self::Io { .. } => "check the path",
            Self::Labels { source, .. } => source.hint(),
            Self::OldIr { .. } => "convert the original model again with OpenVINO's `ovc`",
            Self::Sorted { .. } => {
                "cut the operator off, so that the model gives the scores of all classes, or give the output that holds \
                 its indices as `output`"
            }
            Self::NoClasses { .. } => {
                "cut the operator off, so that the model gives the scores of all classes, or export it for the \
                 dimension of the classes"
            }
            Self::Ranked { .. } => {
                "give the output of the class ids as `output`; or give `labels` or `scores` if each position is a class"
            }
            Self::Heads { .. } => {
                "cut the model after one of the heads, or give an output that holds a single one as `output`; \
                 `scores = raw` gives the values as they are"
            }
            Self::Unrelated { .. } => {
                "give the output that holds the scores or the class ids as `output`"
            }
            Self::TooLarge { .. } => "export or download the file again",
            Self::Malformed { .. } => "check the file, or export or download it again",
            Self::Missing { .. } | Self::Value { .. } => {
                "give `color`, `mean`, `scale`, `resize` and `interpolation`, which together replace all other sources"
            }
        }
    }

    /// Returns whether the model itself cannot be opened. The engine's error has more details.
    pub const fn is_io(&self) -> bool {
        matches!(self, Self::Model { .. })
    }

    /// Returns whether the source is well-formed, but lacks a required value or states an unsupported one.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Value { .. })
    }
}

fn unsupported(
    file: &str,
    key: impl Into<String>,
    value: impl Display,
    expected: impl Into<String>,
) -> SourceError {
    // A hostile value can be megabytes long.
    SourceError::Value {
        file: file.to_owned(),
        key: key.into(),
        value: value.to_string().chars().take(200).collect(),
        expected: expected.into(),
    }
}

/// Reads the statements of a model and of the files next to it, in the order of their rank. No files are next to a
/// model in memory.
///
/// # Errors
///
/// [`SourceError`] for a file whose content contradicts its name, or that requires an unsupported feature: ignoring
/// it would silently give wrong answers.
pub fn find(model: impl Into<ModelSource>) -> Result<Vec<SourceSettings>, SourceError> {
    find_with(&model.into(), true).map(|found| found.sources)
}

/// The statements of a model and of the files next to it, and its identity.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The sources, in the order of their rank.
    pub sources: Vec<SourceSettings>,
    /// The ends of the graph of a model with several outputs: an engine chooses one of them. The end at the only output is
    /// a source, if no engine finds other outputs in the file; it is here as well if it joins heads.
    pub ends: Vec<End>,
    pub identity: Identity,
    /// The preprocessing in the graph of the model.
    embedded: Option<Embedded>,
}

/// The names of a model and of the program that wrote it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Identity {
    /// The name of the file without its ending, and the name of the graph.
    pub names: Vec<String>,
    /// The program that wrote the model, in lower case; empty if it is unknown.
    pub producer: String,
}

/// Does [`find`], but ignores the labels of all sources if `reads_labels` is false: unreadable ones are then no error.
pub(crate) fn find_with(model: &ModelSource, reads_labels: bool) -> Result<Found, SourceError> {
    let mut inside = inside::Inside::read(model)?;
    let mut identity = inside.identity;
    let stem = model.path().and_then(Path::file_stem);
    identity
        .names
        .extend(stem.map(|stem| stem.to_string_lossy().into_owned()));
    let is_only = matches!(&inside.graph[..], [end] if !end.is_by_name);
    let only = is_only.then(|| inside.graph.remove(0));
    if let Some(end) = &only {
        end.check()?;
    }
    let mut found = Vec::new();
    found.extend(inside.metadata);
    let info_type = inside.model_info.get("model_type").map(String::as_str);
    // YOLOv8 up to Ultralytics 8.3.
    let is_yolo = matches!(info_type, Some("YOLO" | "YOLOv8"));
    if !inside.model_info.is_empty() && !is_yolo {
        found.push(model_api::settings(
            &inside.model_info,
            model.path(),
            reads_labels,
        )?);
    }
    let mut beside = Vec::new();
    for directory in model.path().map(folders).unwrap_or_default() {
        let model_config = model_config_in(&directory);
        let beside_it = Beside::of(&model_config, reads_labels);
        for (name, read) in BESIDE {
            let path = directory.join(name);
            if is_there(&path) {
                let bytes = read_limited(&path, MOST_CONFIG_BYTES)?;
                beside.extend(read(name, &bytes, beside_it)?.map(|settings| (name, settings)));
            }
        }
    }
    // A metadata.yaml states all that such a model_info does, and more.
    if is_yolo && !beside.iter().any(|(name, _)| *name == "metadata.yaml") {
        found.push(ultralytics::of_model_info(&inside.model_info)?);
    }
    if let Some(embedded) = &inside.embedded {
        if beside.is_empty() {
            found.push(embedded.remaining("", &SourceSettings::default())?);
        }
        for (name, original) in &beside {
            found.push(embedded.remaining(name, original)?);
        }
        found.retain(|settings| *settings != SourceSettings::default());
    }
    found.extend(beside.into_iter().map(|(_, settings)| settings));
    let graph = only.as_ref().map(|end| end.settings.clone());
    found.extend(graph.filter(|graph| *graph != SourceSettings::default()));
    if found.iter().all(|said| said.color.is_none()) {
        found.extend(inside.convention);
    }
    Ok(Found {
        sources: found,
        // Whether joined heads are an error depends on the scores that the caller asks for.
        ends: match only.filter(|end| end.heads.is_some()) {
            Some(joined) => vec![joined],
            None => inside.graph,
        },
        identity,
        embedded: inside.embedded,
    })
}

impl Found {
    /// Returns the preprocessing that images still need if the model's graph does a part of the preprocessing
    /// `original` of `file`. `None` if it does no part of it.
    pub fn remaining(
        &self,
        file: &str,
        original: &SourceSettings,
    ) -> Result<Option<SourceSettings>, SourceError> {
        let embedded = self.embedded.as_ref();
        let remaining = embedded.map(|embedded| embedded.remaining(file, original));
        let remaining = remaining.transpose()?;
        Ok(remaining.filter(|settings| *settings != SourceSettings::default()))
    }
}

/// Returns the files next to `model` that [`find`] reads.
pub fn files(model: &Path) -> Vec<PathBuf> {
    let folders = folders(model).into_iter();
    let beside = folders.flat_map(|directory| BESIDE.map(|(name, _)| directory.join(name)));
    let inside = inside::Inside::read(&model.into()).unwrap_or_default();
    let labels = model_api::labels_file(&inside.model_info, model)
        .ok()
        .flatten();
    beside.filter(|path| path.is_file()).chain(labels).collect()
}

/// Reads a preprocessing file that the user names: any of the files that may be next to a model, or
/// a JSON object with the keys `color`, `mean`, `scale`, `resize`, `interpolation`, `size` (height,
/// width), `layout` and `labels`, each in the notation of its `FromStr`. Every key may be absent.
///
/// # Errors
///
/// [`SourceError`] if it is none of these or states an unsupported value.
pub fn read_file(path: &Path) -> Result<SourceSettings, SourceError> {
    read_file_with(path, true)
}

/// Does [`read_file`] without the labels of the file: the caller has others. Unreadable ones are then no error.
///
/// # Errors
///
/// The errors are those of [`read_file`], without those of labels.
pub fn read_file_without_labels(path: &Path) -> Result<SourceSettings, SourceError> {
    read_file_with(path, false)
}

fn read_file_with(path: &Path, reads_labels: bool) -> Result<SourceSettings, SourceError> {
    let bytes = read_limited(path, MOST_CONFIG_BYTES)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_string_lossy();
    let yaml = path
        .extension()
        .is_some_and(|ending| ending == "yml" || ending == "yaml");
    let model_config = path.parent().map(model_config_in).unwrap_or_default();
    let beside = Beside::of(&model_config, reads_labels);
    if yaml {
        if let Some(settings) = ultralytics::of_yaml(&name, &bytes, beside)? {
            return Ok(settings);
        }
        return open_model_zoo::read(&name, &bytes, beside)?.ok_or_else(|| {
            unsupported(
                &name,
                "the file",
                "other YAML",
                "Open Model Zoo's model.yml or Ultralytics' metadata.yaml",
            )
        });
    }
    let readers: [Reader; 4] = [
        hugging_face::processor_config,
        hugging_face::preprocessor,
        open_clip::read,
        config,
    ];
    for read in readers {
        if let Some(settings) = read(&name, &bytes, beside)? {
            return Ok(settings);
        }
    }
    preprocess_file::read(&name, &bytes, beside)
}

/// Reads a file of labels: see [`Labels::parse`].
///
/// # Errors
///
/// [`SourceError`] for a file that cannot be read or is not a list of labels.
pub fn read_labels(path: &Path) -> Result<WithOrigin<Labels>, SourceError> {
    let file = path.display().to_string();
    let bytes = read_limited(path, Labels::MOST_BYTES)?;
    match Labels::parse(&bytes) {
        Ok(labels) => Ok(WithOrigin::new(labels, file)),
        Err(source) => Err(SourceError::Labels { file, source }),
    }
}

/// The surroundings of a file.
#[derive(Debug, Clone, Copy)]
struct Beside<'a> {
    /// The `model_type` of the `config.json` next to the file.
    model_type: Option<&'a str>,
    /// The `transformers_version` of the `config.json` next to the file.
    transformers_version: Option<&'a str>,
    /// False if the caller has labels: the file's labels do not count.
    reads_labels: bool,
}

impl<'a> Beside<'a> {
    #[cfg(test)]
    const ALONE: Self = Self {
        model_type: None,
        transformers_version: None,
        reads_labels: true,
    };

    fn of(config: &'a hugging_face::ModelConfig, reads_labels: bool) -> Self {
        Self {
            model_type: config.model_type.as_deref(),
            transformers_version: config.transformers_version.as_deref(),
            reads_labels,
        }
    }
}

/// A reader of one kind of file: its name for messages, its bytes, and its surroundings. `None` if the file is about
/// something else.
type Reader = fn(&str, &[u8], Beside<'_>) -> Result<Option<SourceSettings>, SourceError>;

const BESIDE: [(&str, Reader); 6] = [
    ("processor_config.json", hugging_face::processor_config),
    ("preprocessor_config.json", hugging_face::preprocessor),
    ("config.json", config_beside),
    ("open_clip_config.json", open_clip::read),
    ("metadata.yaml", ultralytics::of_yaml),
    ("model.yml", open_model_zoo::read),
];

/// Returns the type and version in the `config.json` of a Hugging Face model in `directory`.
fn model_config_in(directory: &Path) -> hugging_face::ModelConfig {
    let bytes = read_limited(&directory.join("config.json"), MOST_CONFIG_BYTES);
    bytes.map_or_else(
        |_| hugging_face::ModelConfig::default(),
        |bytes| hugging_face::ModelConfig::read(&bytes),
    )
}

/// Reads `config.json`, which is timm's or Hugging Face's.
fn config(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let object = json::object(file, bytes)?;
    if timm::is_timm(&object) {
        return timm::settings(file, &object, beside).map(Some);
    }
    hugging_face::config(file, &object, beside)
}

/// Many programs have a `config.json`: one that is not JSON is ignored, with a note if it was meant to be.
fn config_beside(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    match config(file, bytes, beside) {
        Err(SourceError::Malformed {
            expected, source, ..
        }) if json::is_meant_to_be(bytes) => Ok(Some(SourceSettings {
            unreadable: vec![format!(
                "{file} next to the model is not {expected} ({source}); it is not read"
            )],
            ..SourceSettings::default()
        })),
        Err(SourceError::Malformed { .. }) => Ok(None),
        other => other,
    }
}

/// Returns the model's directory, and the parent if exports have their own directory, as they do in
/// repositories of Hugging Face: `onnx/model.onnx` below `config.json`.
fn folders(model: &Path) -> Vec<PathBuf> {
    let Ok(absolute) = std::path::absolute(model) else {
        return Vec::new();
    };
    let Some(directory) = absolute.parent() else {
        return Vec::new();
    };
    let mut folders = vec![directory.to_path_buf()];
    if directory.ends_with("onnx") || directory.ends_with("openvino") {
        folders.extend(directory.parent().map(Path::to_path_buf));
    }
    folders
}

/// Reads a regular file of at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> Result<Bytes, SourceError> {
    read_content(&path.into(), limit)
}

/// Reads the content of a model, or of another file, of at most `limit` bytes.
fn read_content(source: &ModelSource, limit: u64) -> Result<Bytes, SourceError> {
    read_source(source, limit).map_err(|error| {
        let file = source.to_string();
        match error.kind() {
            io::ErrorKind::FileTooLarge => {
                let metadata = source.path().and_then(|path| path.metadata().ok());
                let size = metadata.map_or(0, |metadata| metadata.len());
                SourceError::TooLarge { file, size, limit }
            }
            _ => SourceError::Io {
                file,
                source: error,
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_beside_the_model_and_above_an_export_folder() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("onnx");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(
            root.path().join("config.json"),
            r#"{"id2label": {"0": "cat", "1": "dog"}}"#,
        )
        .unwrap();
        let model = directory.join("model.onnx");
        std::fs::write(&model, b"").unwrap();
        let found = find(&model).unwrap();
        let labels = found[0].labels.as_ref().unwrap();
        assert_eq!(labels.value.get(1), Some("dog"));
        assert_eq!(labels.origin.to_string(), "config.json: id2label");
        // Somebody else's file.
        std::fs::write(root.path().join("config.json"), "color = red").unwrap();
        assert_eq!(find(&model).unwrap(), []);
        let utf_16: Vec<u8> = "\u{feff}{}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for unreadable in [br#"{"id2label": {"0": "#.as_slice(), &utf_16] {
            std::fs::write(root.path().join("config.json"), unreadable).unwrap();
            let notes = find(&model).unwrap().remove(0).unreadable;
            assert!(notes[0].starts_with("config.json next to the model is not a JSON object"));
        }
        let marked = "\u{feff}{\"id2label\": {\"0\": \"cat\"}}";
        std::fs::write(root.path().join("config.json"), marked).unwrap();
        assert!(find(&model).unwrap()[0].labels.is_some());
        let damaged = r#"{"id2label": {"0": "cat", "2": "dog"}, "problem_type": "multi_label_classification"}"#;
        std::fs::write(root.path().join("config.json"), damaged).unwrap();
        assert!(find(&model).unwrap_err().to_string().contains("id2label"));
        let found = find_with(&model.as_path().into(), false).unwrap().sources;
        assert!(found[0].labels.is_none() && found[0].multi_label.is_some());
        let of_timm = r#"{"pretrained_cfg": {"input_size": [3, 8, 8]}, "label_names": [1, 2]}"#;
        std::fs::write(root.path().join("config.json"), of_timm).unwrap();
        let error = find(&model).unwrap_err().to_string();
        assert!(error.contains("label_names"), "{error}");
        let found = find_with(&model.as_path().into(), false).unwrap().sources;
        assert!(found[0].labels.is_none() && found[0].mean.is_some());
        let file = root.path().join("config.json");
        assert!(
            read_file(&file)
                .unwrap_err()
                .to_string()
                .contains("label_names")
        );
        assert!(read_file_without_labels(&file).unwrap().mean.is_some());
        std::fs::write(directory.join("preprocessor_config.json"), "{").unwrap();
        assert!(matches!(find(&model), Err(SourceError::Malformed { .. })));
    }
}
