//! TensorFlow Lite Metadata, and the labels in the archive that is appended to the model.

use model_file::tflite::{Graph, Metadata};
use model_file::zip;

use super::graph::tflite::quantization;
use super::{SourceError, SourceSettings, python, ultralytics, unsupported};
use crate::{ColorOrder, Halves, InputQuantization, Labels, WithOrigin};

/// The name of the source in messages.
const FILE: &str = "the model's TFLite metadata";

/// Reads the quantization of the model's input, and the metadata of the model in `bytes`, Ultralytics' metadata first.
pub(super) fn settings(bytes: &[u8], graph: &Graph) -> Result<Vec<SourceSettings>, SourceError> {
    let mut found = metadata(bytes, graph)?;
    let input = graph.inputs.first().and_then(|&input| graph.tensor(input));
    found.extend(input.and_then(quantization).map(|quantization| {
        let quantization = InputQuantization {
            quantization,
            halves: Halves::AwayFromZero,
        };
        let by = "the model's input tensor: scale and zero point";
        SourceSettings {
            input_quantization: Some(WithOrigin::new(quantization, by)),
            ..SourceSettings::default()
        }
    }));
    Ok(found)
}

fn metadata(bytes: &[u8], graph: &Graph) -> Result<Vec<SourceSettings>, SourceError> {
    let mut found = Vec::new();
    let (theirs, settings) = of_ultralytics(bytes)?.unzip();
    found.extend(settings);
    if let Some(mut metadata) = Metadata::read(bytes) {
        // Ultralytics calls its file one of labels.
        metadata.labels.retain(|name| theirs.as_ref() != Some(name));
        found.push(of_metadata(bytes, &metadata, graph)?);
    }
    Ok(found)
}

/// Reads the metadata of Ultralytics from the archive. Returns the name of its file, too.
///
/// Older versions write Python's text of a dictionary into the only file. Ultralytics reads it from the first one.
fn of_ultralytics(bytes: &[u8]) -> Result<Option<(String, SourceSettings)>, SourceError> {
    let json = zip::entry(bytes, "metadata.json").map(|json| ("metadata.json".to_owned(), json));
    let is_json = json.is_some();
    let Some((name, content)) = json.or_else(|| zip::first(bytes)) else {
        return Ok(None);
    };
    let (value, expected) = if is_json {
        (serde_json::from_slice(&content).ok(), "JSON")
    } else {
        let text = std::str::from_utf8(&content).ok();
        (text.and_then(python::literal), "a dictionary of Python")
    };
    let settings = match value {
        Some(value) => ultralytics::of_value(&format!("the model's {name}"), &value)?,
        None if is_json || name == "temp_meta.txt" => Some(SourceSettings {
            unreadable: vec![format!(
                "the model's {name} is not {expected}; it is not read"
            )],
            ..SourceSettings::default()
        }),
        None => None,
    };
    Ok(settings.map(|settings| (name, settings)))
}

/// Returns the order of channels of every TensorFlow Lite model that does not state another one.
pub(super) fn convention() -> SourceSettings {
    SourceSettings {
        color: Some(WithOrigin::new(
            ColorOrder::Rgb,
            "convention of TensorFlow Lite",
        )),
        ..SourceSettings::default()
    }
}

fn of_metadata(
    bytes: &[u8],
    metadata: &Metadata,
    graph: &Graph,
) -> Result<SourceSettings, SourceError> {
    let mut settings = SourceSettings {
        color: convention().color,
        ..SourceSettings::default()
    };
    let three = |key: &str, values: &[f32]| match *values {
        [all] if all.is_finite() => Ok([all; 3]),
        [a, b, c] if values.iter().all(|value| value.is_finite()) => Ok([a, b, c]),
        _ => Err(unsupported(
            FILE,
            key,
            format!("{values:?}"),
            "one number, or three",
        )),
    };
    let input = graph.inputs.first().and_then(|&input| graph.tensor(input));
    let is_quantized = input.is_some_and(|input| quantization(input).is_some());
    // Writers of metadata state these for a quantized input that takes pixels as they are.
    let is_identity =
        metadata.mean.iter().all(|mean| *mean == 0.0) && metadata.std.iter().all(|std| *std == 1.0);
    let is_stated = !metadata.mean.is_empty() || !metadata.std.is_empty();
    if is_stated && !(is_quantized && is_identity) {
        let (mean, std) = (three("mean", &metadata.mean)?, three("std", &metadata.std)?);
        if std.contains(&0.0) {
            return Err(unsupported(FILE, "std", "0", "numbers that are not 0"));
        }
        settings.mean = Some(WithOrigin::new(mean, format!("{FILE}: mean")));
        settings.scale = Some(WithOrigin::new(std, format!("{FILE}: std")));
    }
    let mut unreadable = None;
    for name in &metadata.labels {
        let content = zip::entry(bytes, name).ok_or("it is not in the model's archive".to_owned());
        match content.and_then(|content| Labels::parse(&content).map_err(|error| error.to_string()))
        {
            Ok(labels) => {
                settings.labels = Some(WithOrigin::new(labels, format!("{FILE}: labels")));
                return Ok(settings);
            }
            Err(reason) => {
                unreadable.get_or_insert(format!(
                    "the file of labels {name:?} in {FILE} cannot be read: {reason}; using no labels from there"
                ));
            }
        }
    }
    settings.unreadable_labels = unreadable;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use model_file::tflite::TensorType;

    use super::*;

    /// `lite.tflite` with what `tflite_support` 0.4.4's `MetadataWriter.create_for_inference` adds.
    const LITE: &[u8] = include_bytes!("../../../tests/data/lite-metadata.tflite");

    #[test]
    fn normalization_and_labels_are_read() {
        let mut graph = Graph::read(LITE).unwrap();
        let [settings] = &metadata(LITE, &graph).unwrap()[..] else {
            panic!("one source");
        };
        assert_eq!(settings.color.as_ref().unwrap().value, ColorOrder::Rgb);
        assert_eq!(settings.mean.as_ref().unwrap().value, [127.5, 100.0, 90.0]);
        assert_eq!(settings.scale.as_ref().unwrap().value, [128.0, 64.0, 32.0]);
        let labels = settings.labels.as_ref().unwrap();
        assert_eq!(labels.value.get(11), Some("class 11"));
        // The real values of a quantized input are the normalized ones.
        let input = usize::try_from(graph.inputs[0]).unwrap();
        let tensor = &mut graph.tensors[input];
        tensor.element_type = TensorType::U8;
        tensor.quantization = Some((1.0 / 64.0, 127));
        let [stated, bytes] = &super::settings(LITE, &graph).unwrap()[..] else {
            panic!("two sources");
        };
        assert_eq!(
            (&stated.mean, &stated.scale),
            (&settings.mean, &settings.scale)
        );
        let quantization = bytes.input_quantization.as_ref().unwrap();
        assert_eq!(
            quantization.value.to_string(),
            "scale 0.015625, zero point 127, halves away from zero"
        );
    }

    #[test]
    fn a_model_without_metadata_takes_red_first() {
        let lite = include_bytes!("../../../tests/data/lite.tflite");
        let graph = Graph::read(lite).unwrap();
        assert_eq!(metadata(lite, &graph).unwrap(), []);
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.tflite");
        std::fs::write(&model, lite).unwrap();
        let found = super::super::find(&model).unwrap();
        let color = found
            .iter()
            .find_map(|settings| settings.color.as_ref())
            .unwrap();
        assert_eq!(color.value, ColorOrder::Rgb);
        assert_eq!(color.origin.to_string(), "convention of TensorFlow Lite");
    }

    /// Returns the model with an archive of one stored file behind it.
    fn with_file(model: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
        let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let (size, length) = (number(content.len()), number(name.len()));
        let sizes = [&[0; 4], &size[..], &size, &length].concat();
        let local = [
            b"PK\x03\x04",
            &[0; 10][..],
            &sizes,
            name.as_bytes(),
            content,
        ]
        .concat();
        let central = [
            b"PK\x01\x02",
            &[0; 12][..],
            &sizes,
            &[0; 14],
            name.as_bytes(),
        ]
        .concat();
        let (size, offset) = (number(central.len()), number(local.len()));
        let end = [
            b"PK\x05\x06",
            &[0, 0, 0, 0, 1, 0, 1, 0][..],
            &size,
            &offset,
            &[0; 2],
        ]
        .concat();
        [model, &local, &central, &end].concat()
    }

    #[test]
    fn older_exports_of_ultralytics_have_a_dictionary_of_python() {
        let lite = include_bytes!("../../../tests/data/lite.tflite");
        let text = r#"{'version': '8.3.40', 'task': 'classify', 'imgsz': [8, 8], 'names': {0: "it's 0", 1: 'b'}}"#;
        for (model, name) in [
            (&lite[..], "temp_meta.txt"),
            (lite, "meta.txt"),
            (LITE, "names.txt"),
        ] {
            let theirs = with_file(model, name, text.as_bytes());
            let graph = Graph::read(&theirs).unwrap();
            let found = metadata(&theirs, &graph).unwrap();
            let settings = &found[0];
            assert_eq!(settings.scale.as_ref().unwrap().value, [255.0; 3]);
            let resize = settings.resize.as_ref().unwrap();
            assert_eq!(resize.value.to_string(), "center:1");
            let labels = settings.labels.as_ref().unwrap();
            assert_eq!(labels.value.names(), ["it's 0", "b"]);
            assert!(
                found
                    .iter()
                    .all(|source| source.unreadable_labels.is_none())
            );
        }
        for (name, content) in [
            ("temp_meta.txt", "{'task': "),
            ("metadata.json", "{'task': 1}"),
        ] {
            let damaged = with_file(lite, name, content.as_bytes());
            let graph = Graph::read(&damaged).unwrap();
            let note = &metadata(&damaged, &graph).unwrap()[0].unreadable[0];
            assert!(note.contains(name), "{note}");
        }
        let other = with_file(lite, "readme.txt", b"{'task': ");
        assert_eq!(metadata(&other, &Graph::read(&other).unwrap()).unwrap(), []);
    }

    #[test]
    fn labels_that_cannot_be_read_are_named() {
        let utf_16: Vec<u8> = "cat\ndog"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (name, content, reason) in [
            ("names.txt", &utf_16[..], "NUL"),
            ("names.txt", b"1 cat\n2 dog", "class ids"),
            ("other.txt", b"cat\ndog", "archive"),
        ] {
            let model = with_file(LITE, name, content);
            let graph = Graph::read(&model).unwrap();
            let settings = metadata(&model, &graph).unwrap().remove(0);
            assert_eq!(settings.labels, None);
            assert!(settings.mean.is_some());
            let note = settings.unreadable_labels.unwrap();
            assert!(
                note.contains("\"names.txt\"") && note.contains(reason),
                "{note}"
            );
        }
    }

    #[test]
    fn an_export_of_ultralytics_states_its_recipe() {
        let theirs = include_bytes!("../../../tests/data/lite-ultralytics.tflite");
        let graph = Graph::read(theirs).unwrap();
        let [settings] = &metadata(theirs, &graph).unwrap()[..] else {
            panic!("one source");
        };
        assert_eq!(settings.scale.as_ref().unwrap().value, [255.0; 3]);
        assert_eq!(
            settings.resize.as_ref().unwrap().value.to_string(),
            "center:1"
        );
        let labels = settings.labels.as_ref().unwrap();
        assert_eq!(labels.value.get(10), Some("name 10"));
    }
}
