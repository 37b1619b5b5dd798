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
//! 3. files next to the model or in a `SavedModel`: Hugging Face's `processor_config.json`,
//!    `preprocessor_config.json` and `config.json`, timm's `config.json`, `OpenCLIP`'s `open_clip_config.json`,
//!    Ultralytics' `metadata.yaml`, Open Model Zoo's `model.yml`;
//! 4. the operators at the end of the model's graph, for the kind of the output;
//! 5. the convention of TensorFlow Lite for the order of its channels, and the convention of OpenVINO's samples.

mod beside;
mod content;
mod embedded;
mod error;
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
mod python;
mod settings;
mod tflite;
mod timm;
mod ultralytics;

use std::path::{Path, PathBuf};

use backend_api::ModelSource;
use model_file::SAVED_MODEL;

use self::beside::{Beside, ModelConfig};
use self::content::{MOST_CONFIG_BYTES, read_content, read_limited};
use self::embedded::Embedded;
use self::error::unsupported;
use crate::file::is_there;
use crate::{Labels, WithOrigin};

pub use self::error::SourceError;
pub(crate) use self::graph::End;
pub(crate) use self::settings::Identity;
pub use self::settings::SourceSettings;

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
    for directory in model.path().map(directories).unwrap_or_default() {
        let model_config = model_config(&directory.join("config.json"));
        let beside_it = model_config.beside(reads_labels);
        for (name, read) in BESIDE {
            let path = directory.join(name);
            if is_there(&path) {
                let bytes = read_limited(&path, MOST_CONFIG_BYTES)?;
                beside.extend(read(name, &bytes, beside_it)?.map(|settings| (name, settings)));
            }
        }
    }
    // A metadata.yaml states all that such a model_info does, and more.
    let is_more = |(name, settings): &(&str, SourceSettings)| {
        *name == "metadata.yaml" && settings.scale.is_some()
    };
    if is_yolo && !beside.iter().any(is_more) {
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
    if found.iter().all(|settings| settings.color.is_none()) {
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
    let directories = directories(model).into_iter();
    let beside = directories.flat_map(|directory| BESIDE.map(|(name, _)| directory.join(name)));
    let inside = inside::Inside::read(&model.into()).unwrap_or_default();
    let labels = model_api::labels_file(&inside.model_info, model)
        .ok()
        .flatten();
    beside.filter(|path| path.is_file()).chain(labels).collect()
}

/// Returns the files that [`read_file`] reads: the file, and the `config.json` next to it, which need not exist.
pub fn files_of_preprocessing(path: &Path) -> Vec<PathBuf> {
    std::iter::once(path.to_owned())
        .chain(config_next_to(path))
        .collect()
}

fn config_next_to(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.join("config.json"))
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
    let model_config = config_next_to(path).map(|config| model_config(&config));
    let model_config = model_config.unwrap_or_default();
    let beside = model_config.beside(reads_labels);
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

/// A reader of one kind of file: its name for messages, its bytes, and its surroundings. `None` if the file is about
/// something else.
type Reader = fn(&str, &[u8], Beside<'_>) -> Result<Option<SourceSettings>, SourceError>;

const BESIDE: [(&str, Reader); 6] = [
    ("processor_config.json", hugging_face::processor_config),
    (
        "preprocessor_config.json",
        hugging_face::preprocessor_beside,
    ),
    ("config.json", config_beside),
    ("open_clip_config.json", open_clip::read),
    ("metadata.yaml", ultralytics::yaml_beside),
    ("model.yml", open_model_zoo::read),
];

/// Returns the type and version in a `config.json` of a Hugging Face model.
fn model_config(path: &Path) -> ModelConfig {
    let bytes = read_limited(path, MOST_CONFIG_BYTES);
    bytes.map_or_else(
        |_| ModelConfig::default(),
        |bytes| ModelConfig::read(&bytes),
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
/// repositories of Hugging Face: `onnx/model.onnx` below `config.json`. A `SavedModel`, which is a directory, comes first:
/// Ultralytics writes its file into it.
fn directories(model: &Path) -> Vec<PathBuf> {
    let Ok(absolute) = std::path::absolute(model) else {
        return Vec::new();
    };
    let Some(directory) = absolute.parent() else {
        return Vec::new();
    };
    let mut directories = vec![directory.to_path_buf()];
    if absolute.join(SAVED_MODEL).is_file() {
        directories.insert(0, absolute.clone());
    }
    if directory.ends_with("onnx") || directory.ends_with("openvino") {
        directories.extend(directory.parent().map(Path::to_path_buf));
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_next_to_the_model_and_above_an_export_directory() {
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

    #[test]
    fn a_preprocessor_config_is_read_or_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        let model = root.path().join("model.onnx");
        std::fs::write(&model, b"").unwrap();
        let found = |text: &str| {
            write("preprocessor_config.json", text);
            find(&model).map(|mut found| found.remove(0))
        };
        for other in ["{}", r#"{"columns": ["a"]}"#, r#"{"color": "rgb"}"#] {
            let note = &found(other).unwrap().unreadable[0];
            assert!(note.starts_with("preprocessor_config.json"), "{note}");
        }
        let error = found(r#"{"size": 24, "crop_size": 24}"#).unwrap_err();
        assert!(error.to_string().contains("image_mean"), "{error}");
        write(
            "config.json",
            r#"{"model_type": "vit", "transformers_version": "4.57.1"}"#,
        );
        let settings = found("{}").unwrap();
        assert_eq!(settings.size.unwrap().value.to_string(), "224 x 224");
        assert_eq!(settings.scale.unwrap().value, [127.5; 3]);
        let text = r#"{"size": {"height": 24, "width": 32}, "image_std": [0.25, 0.25, 0.25]}"#;
        let settings = found(text).unwrap();
        assert_eq!(settings.size.unwrap().value.to_string(), "32 x 24");
        assert_eq!(settings.scale.unwrap().value, [63.75; 3]);
        assert_eq!(settings.resize.unwrap().note, None);
        let named = read_file(&root.path().join("preprocessor_config.json")).unwrap();
        assert_eq!(named.scale.unwrap().value, [63.75; 3]);
    }

    #[test]
    fn files_in_a_saved_model_are_found() {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("saved");
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join(SAVED_MODEL), b"").unwrap();
        let yaml = "task: classify\nimgsz: [8, 8]\nnames: {0: a, 1: b}\n";
        std::fs::write(model.join("metadata.yaml"), yaml).unwrap();
        let labels = find(&model).unwrap().remove(0).labels.unwrap();
        assert_eq!(labels.value.names(), ["a", "b"]);
        assert_eq!(files(&model), [model.join("metadata.yaml")]);
        std::fs::write(model.join("metadata.yaml"), "task: [classify").unwrap();
        let note = find(&model).unwrap().remove(0).unreadable.remove(0);
        assert!(
            note.starts_with("metadata.yaml next to the model is not YAML"),
            "{note}"
        );
    }
}
