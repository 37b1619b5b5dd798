//! The metadata of Ultralytics' exports.
//!
//! The same keys are in `metadata_props` of ONNX, in a `metadata.yaml` next to an OpenVINO IR or in a `SavedModel`, and
//! inside a TensorFlow Lite file: as JSON, or from older versions as a dictionary of Python. Facts from ultralytics
//! 8.3.40 and 8.4.190, `ultralytics/engine/exporter.py`, `ultralytics/nn/backends/base.py` and `classify_transforms` in
//! `ultralytics/data/augment.py`: the short side of a square `imgsz`, else both sides, Pillow's bilinear filter, then
//! the centre; RGB, 0 to 1. Versions 8.0.233 to 8.4 do the same for a square. Before, from the first version that wrote
//! a `task` to 8.0.232, the largest square in the centre was resized as OpenCV does. All of them ignore the transforms
//! of the checkpoint when they run an export.

use std::collections::BTreeMap;

use model_file::onnx::{Model, text};
use serde_json::Value;

use super::{Beside, SourceError, SourceSettings, python, unsupported};
use crate::{Centre, ColorOrder, CropMode, ImageSize, Interpolation, Labels, Resize, WithOrigin};

/// The first version whose transforms are torchvision's.
const TORCHVISION: [u32; 3] = [8, 0, 233];

/// Reads `metadata_props` of an ONNX model; `None` if Ultralytics did not export it.
pub(super) fn of_onnx(model: &Model) -> Result<Option<SourceSettings>, SourceError> {
    let props: BTreeMap<String, String> = model
        .metadata_props
        .iter()
        .filter_map(|entry| {
            let key = text(entry.key.as_ref()?).into_owned();
            Some((key, text(entry.value.as_ref()?).into_owned()))
        })
        .collect();
    // All values are texts; those of these keys are in Python's notation.
    let value = |(key, text): (String, String)| {
        let is_literal = matches!(key.as_str(), "imgsz" | "names" | "channels");
        let literal = is_literal.then(|| python::literal(&text)).flatten();
        (key, literal.unwrap_or(Value::String(text)))
    };
    let props = Value::Object(props.into_iter().map(value).collect());
    of_value("the model's metadata_props", &props)
}

/// Reads a `metadata.yaml`; `None` if it is not of Ultralytics.
pub(super) fn of_yaml(
    file: &str,
    bytes: &[u8],
    _: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    yaml(bytes).map_or(Ok(None), |value| of_value(file, &value))
}

/// Reads a `metadata.yaml` next to a model. Many programs write such a file; one that is not YAML is named.
pub(super) fn yaml_beside(
    file: &str,
    bytes: &[u8],
    _: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    match yaml(bytes) {
        Ok(value) => of_value(file, &value),
        Err(error) => Ok(Some(SourceSettings {
            unreadable: vec![format!(
                "{file} next to the model is not YAML ({error}); it is not read"
            )],
            ..SourceSettings::default()
        })),
    }
}

fn yaml(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    // The lines after the first one quote the file.
    serde_saphyr::from_str(text).map_err(|error| {
        error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

/// Reads the metadata as JSON; `None` if it is not of Ultralytics.
pub(super) fn of_value(file: &str, value: &Value) -> Result<Option<SourceSettings>, SourceError> {
    let (Some(task), Some(imgsz), Some(names)) = (
        value.get("task").and_then(Value::as_str),
        value.get("imgsz"),
        value.get("names"),
    ) else {
        return Ok(None);
    };
    let channels = value.get("channels").map(Value::to_string);
    check_channels(file, channels.as_deref())?;
    let side = |side: &Value| side.as_u64().and_then(|side| u32::try_from(side).ok());
    let sides: Option<Vec<u32>> = match imgsz {
        Value::Array(sides) => sides.iter().map(side).collect(),
        both => side(both).map(|side| vec![side]),
    };
    let names = by_id(names);
    let by = Stated {
        file,
        task,
        version: value.get("version").and_then(Value::as_str),
    };
    by.settings(size(sides.as_deref()), names).map(Some)
}

/// Reads `model_info` of an IR with `model_type` YOLO. It does not state the size, and names have no blanks.
pub(super) fn of_model_info(
    entries: &BTreeMap<String, String>,
) -> Result<SourceSettings, SourceError> {
    // Only exports of other tasks have a `resize_type`.
    if let Some(resize) = entries.get("resize_type") {
        let expected = "none, as for `task` classify, or a metadata.yaml next to the model";
        return Err(unsupported(
            "the model's model_info",
            "resize_type",
            resize,
            expected,
        ));
    }
    let names = entries.get("labels").map(|names| names.split_whitespace());
    let names = names.map(|names| names.map(str::to_owned).collect());
    Ok(SourceSettings {
        size: None,
        labels: labels("model_info", "labels", names),
        ..recipe("model_info: model_type YOLO", torchvision(None))
    })
}

/// Ultralytics' own prediction fails for other numbers of channels, so there is no reference result.
fn check_channels(file: &str, channels: Option<&str>) -> Result<(), SourceError> {
    match channels {
        None | Some("3") => Ok(()),
        Some(other) => Err(unsupported(file, "channels", other, "3")),
    }
}

fn size(sides: Option<&[u32]>) -> Option<ImageSize> {
    let (height, width) = match *sides? {
        [side] => (side, side),
        [height, width] => (height, width),
        _ => return None,
    };
    let range = 1..=16_384;
    (range.contains(&width) && range.contains(&height)).then_some(ImageSize { width, height })
}

/// Entries of the metadata that state the preprocessing.
struct Stated<'a> {
    file: &'a str,
    task: &'a str,
    version: Option<&'a str>,
}

impl Stated<'_> {
    fn settings(
        &self,
        size: Option<ImageSize>,
        names: Option<Vec<String>>,
    ) -> Result<SourceSettings, SourceError> {
        let file = self.file;
        if self.task != "classify" {
            return Err(unsupported(file, "task", self.task, "classify"));
        }
        let mut by = format!("{file}: task classify");
        // They knew squares alone.
        let is_square = size.is_none_or(|size| size.width == size.height);
        let old = self.version.filter(|version| is_square && is_old(version));
        let resize = match old {
            Some(version) => {
                by = format!("{by}, version {version}");
                (OLD_RESIZE, Interpolation::OpencvLinear)
            }
            None => torchvision(size),
        };
        let note = old.map(|version| {
            format!(
                "Ultralytics {version} exported the model, so that images are prepared as that version did it: `resize` \
                 {OLD_RESIZE}, `interpolation` {}; since 8.0.233 it is `resize` center:1, `interpolation` bilinear",
                Interpolation::OpencvLinear
            )
        });
        let recipe = recipe(&by, resize);
        let unreadable_labels = names.is_none().then(|| {
            format!("the names in {file} are not names by class id; using no labels from there")
        });
        Ok(SourceSettings {
            size: size.map(|size| WithOrigin::new(size, format!("{file}: imgsz"))),
            unreadable_labels,
            labels: labels(file, "names", names),
            resize: recipe.resize.map(|resize| resize.with_note(note)),
            ..recipe
        })
    }
}

/// The resize before [`TORCHVISION`].
const OLD_RESIZE: Resize = Resize::Crop {
    fraction: 1.0,
    centre: Centre::Floor,
};

/// Returns whether a version is older than [`TORCHVISION`]. What follows the numbers, such as `.dev0`, is ignored.
fn is_old(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version
        .splitn(4, '.')
        .take(3)
        .map(|number| number.parse().ok())
        .collect();
    numbers.is_some_and(|numbers| numbers.len() == 3 && numbers[..] < TORCHVISION[..])
}

fn labels(file: &str, key: &str, names: Option<Vec<String>>) -> Option<WithOrigin<Labels>> {
    let labels = Labels::from_names(names.filter(|names| !names.is_empty())?);
    Some(WithOrigin::new(labels, format!("{file}: {key}")))
}

/// Returns the resize and its filter since [`TORCHVISION`].
fn torchvision(size: Option<ImageSize>) -> (Resize, Interpolation) {
    let resize = match size {
        Some(size) if size.width != size.height => Resize::Stretch,
        _ => Resize::Timm {
            fraction: 1.0,
            mode: CropMode::Center,
        },
    };
    (resize, Interpolation::Bilinear)
}

fn recipe(by: &str, (resize, interpolation): (Resize, Interpolation)) -> SourceSettings {
    SourceSettings {
        color: Some(WithOrigin::new(ColorOrder::Rgb, by)),
        mean: Some(WithOrigin::new([0.0; 3], by)),
        scale: Some(WithOrigin::new([255.0; 3], by)),
        resize: Some(WithOrigin::new(resize, by)),
        interpolation: Some(WithOrigin::new(interpolation, by)),
        ..SourceSettings::default()
    }
}

/// Returns names from a list, or from a dictionary of every id from 0 on.
fn by_id(names: &Value) -> Option<Vec<String>> {
    let name = |name: &Value| match name {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    };
    match names {
        Value::Array(names) => Some(names.iter().map(name).collect()),
        Value::Object(names) => {
            let names = names
                .iter()
                .map(|(id, value)| Some((id.parse().ok()?, name(value))));
            let names: BTreeMap<usize, String> = names.collect::<Option<_>>()?;
            let is_complete = names.keys().copied().eq(0..names.len());
            is_complete.then(|| names.into_values().collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model_file::onnx::StringStringEntry;

    use super::*;

    fn onnx(props: &[(&'static str, &'static str)]) -> Model {
        let entry = |(key, value): &(&'static str, &'static str)| StringStringEntry {
            key: Some((*key).into()),
            value: Some((*value).into()),
        };
        Model {
            metadata_props: props.iter().map(entry).collect(),
            ..Model::default()
        }
    }

    #[test]
    fn other_channels_than_three_are_refused() {
        let export = |channels| {
            let names = "{0: 'a', 1: 'b'}";
            let entries = [("task", "classify"), ("imgsz", "[8, 8]"), ("names", names)];
            of_onnx(&onnx(&[&entries[..], &[("channels", channels)]].concat()))
        };
        assert!(export("3").unwrap().is_some());
        let error = export("1").unwrap_err().to_string();
        assert!(error.contains("channels = `1`"), "{error}");
    }

    #[test]
    fn an_onnx_export_states_everything() {
        let settings = of_onnx(&onnx(&[
            ("author", "Ultralytics"),
            ("task", "classify"),
            ("imgsz", "[224, 224]"),
            (
                "names",
                r#"{0: 'tench', 1: "miner's cat", 2: 'a \'b\' "c"\xe9'}"#,
            ),
        ]));
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.resize.unwrap().value.to_string(), "center:1");
        assert_eq!(settings.scale.unwrap().value, [255.0; 3]);
        assert_eq!(settings.color.unwrap().value, ColorOrder::Rgb);
        assert_eq!(
            settings.interpolation.unwrap().value,
            Interpolation::Bilinear
        );
        let labels = settings.labels.unwrap().value;
        assert_eq!(labels.get(1), Some("miner's cat"));
        assert_eq!(labels.get(2), Some(r#"a 'b' "c"é"#));
        let detector = [
            ("task", "detect"),
            ("imgsz", "[640, 640]"),
            ("names", "{0: 'person'}"),
        ];
        let error = of_onnx(&onnx(&detector)).unwrap_err();
        assert!(
            error.is_unsupported() && error.to_string().contains("detect"),
            "{error}"
        );
        assert_eq!(of_onnx(&onnx(&[("task", "classify")])).unwrap(), None);
    }

    #[test]
    fn old_versions_resize_as_opencv_does() {
        let of = |version, imgsz| {
            let settings = of_onnx(&onnx(&[
                ("task", "classify"),
                ("version", version),
                ("imgsz", imgsz),
                ("names", "{0: 'tench'}"),
            ]));
            let settings = settings.unwrap().unwrap();
            let resize = settings.resize.unwrap();
            let interpolation = settings.interpolation.unwrap();
            let is_noted = resize.note.is_some_and(|note| note.contains(version));
            let resize = resize.value.to_string();
            assert_eq!(
                is_noted,
                interpolation.value == Interpolation::OpencvLinear,
                "{version}"
            );
            (resize, interpolation.value)
        };
        for version in ["8.0.100", "8.0.232", "8.0.9"] {
            let expected = ("crop:1:floor".to_owned(), Interpolation::OpencvLinear);
            assert_eq!(of(version, "[224, 224]"), expected, "{version}");
        }
        for version in ["8.0.233", "8.1.0", "8.4.190.dev0", "10.0.0", "main"] {
            let expected = ("center:1".to_owned(), Interpolation::Bilinear);
            assert_eq!(of(version, "[224, 224]"), expected, "{version}");
        }
        let expected = ("stretch".to_owned(), Interpolation::Bilinear);
        assert_eq!(of("8.0.100", "[160, 224]"), expected);
    }

    #[test]
    fn metadata_yaml_states_the_same() {
        let yaml = "description: Ultralytics YOLO11n-cls model\nauthor: Ultralytics\nversion: 8.4.1\nstride: 1\n\
            task: classify\nbatch: 1\nimgsz:\n- 64\n- 32\nnames:\n  0: great white shark\n  1: '1'\nargs:\n  half: false\n";
        let settings = of_yaml("metadata.yaml", yaml.as_bytes(), Beside::ALONE)
            .unwrap()
            .unwrap();
        // Not a square: both sides.
        assert_eq!(settings.resize.unwrap().value, Resize::Stretch);
        assert_eq!(settings.size.unwrap().value.to_string(), "32 x 64");
        let labels = settings.labels.unwrap();
        assert_eq!(labels.value.get(0), Some("great white shark"));
        assert_eq!(labels.value.get(1), Some("1"));
        assert_eq!(labels.origin.to_string(), "metadata.yaml: names");
        for other in ["a: [", "name: x\n", "- 1\n"] {
            assert_eq!(
                of_yaml("metadata.yaml", other.as_bytes(), Beside::ALONE).unwrap(),
                None
            );
        }
    }

    #[test]
    fn model_info_of_an_ir_tells_the_rest() {
        let mut entries: BTreeMap<String, String> = [
            ("model_type", "YOLO"),
            ("reverse_input_channels", "True"),
            ("scale_values", "255.0"),
            ("labels", "great_white_shark tench"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let settings = of_model_info(&entries).unwrap();
        assert_eq!(settings.labels.unwrap().value.get(1), Some("tench"));
        assert_eq!(
            settings.interpolation.unwrap().value,
            Interpolation::Bilinear
        );
        entries.insert(
            "resize_type".to_owned(),
            "fit_to_window_letterbox".to_owned(),
        );
        assert!(of_model_info(&entries).unwrap_err().is_unsupported());
    }

    #[test]
    fn damaged_names_are_no_labels() {
        let python_names = |text| by_id(&python::literal(text)?);
        for text in [
            "",
            "{",
            "{0: 'a'",
            "{0: 'a' 1: 'b'}",
            "{1: 'a'}",
            "{0: 'a}",
            r"{0: '\x'}",
        ] {
            assert_eq!(python_names(text), None, "{text}");
        }
        assert_eq!(python_names("['a', 'b']").unwrap(), ["a", "b"]);
        let quoted = r#"{"0": "a", "1": "b: c"}"#;
        assert_eq!(python_names(quoted).unwrap(), ["a", "b: c"]);
    }
}
