//! timm's `config.json`.
//!
//! Its transform for evaluation resizes to ⌊`size / crop_pct`⌋ and cuts out the centre, where `size` is the size of the
//! model's input. Facts from timm 1.0, `timm/data/config.py`, `timm/data/transforms_factory.py` and
//! `timm/models/_hub.py`. `problem_type` is of transformers' `TimmWrapper`.

use serde_json::{Map, Value};

use super::hugging_face::multi_label;
use super::json::{Keys, side};
use super::{Beside, SourceError, SourceSettings, unsupported};
use crate::{ColorOrder, CropMode, ImageSize, Interpolation, Labels, Resize, WithOrigin};

/// Returns whether a `config.json` is timm's: the preprocessing is in `pretrained_cfg`, in old files at the top.
pub(super) fn is_timm(object: &Map<String, Value>) -> bool {
    object.get("pretrained_cfg").is_some_and(Value::is_object)
        || object.contains_key("architecture") && object.contains_key("input_size")
}

pub(super) fn settings(
    file: &str,
    object: &Map<String, Value>,
    beside: Beside<'_>,
) -> Result<SourceSettings, SourceError> {
    let (config, prefix) = match object.get("pretrained_cfg") {
        Some(Value::Object(config)) => (config, "pretrained_cfg."),
        _ => (object, ""),
    };
    let keys = Keys {
        file,
        object: config,
    };
    let by = |names: &str| format!("{file}: {prefix}{names}");
    let (color, size) =
        input_size(keys, "input_size")?.ok_or_else(|| keys.error("input_size", INPUT_SIZE))?;
    let interpolation = match keys.text("interpolation")?.unwrap_or("bicubic") {
        "nearest" => Interpolation::Nearest,
        "box" => Interpolation::Box,
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        "lanczos" => Interpolation::Lanczos,
        _ => {
            let expected = "nearest, box, bilinear, bicubic or lanczos";
            return Err(keys.error("interpolation", expected));
        }
    };
    // Pixels are in 0-1 there.
    let times_255 = |key, otherwise: [f64; 3]| -> Result<_, SourceError> {
        let values = keys.three(key)?.unwrap_or(otherwise);
        let values = values.map(|value| (value * 255.0) as f32);
        Ok(WithOrigin::new(values, by(key)))
    };
    let scale = times_255("std", [0.229, 0.224, 0.225])?;
    if scale.value.contains(&0.0) {
        return Err(keys.error("std", "three numbers that are not 0"));
    }
    let mean = times_255("mean", [0.485, 0.456, 0.406])?;
    let resize = resize(keys, mean.value)?;
    // timm's scripts use it at the size for tests.
    let at_test_size = match input_size(keys, "test_input_size")? {
        Some((_, test_size)) if test_size != size => {
            let fraction = fraction(keys, "test_crop_pct")?;
            let by = by("test_input_size, test_crop_pct");
            fraction.map(|fraction| (test_size, WithOrigin::new(of(fraction, resize), by)))
        }
        _ => None,
    };
    Ok(SourceSettings {
        color: Some(match color {
            ColorOrder::Grey => WithOrigin::new(color, by("input_size")),
            _ => WithOrigin::new(color, format!("{file}: timm")),
        }),
        mean: Some(mean),
        scale: Some(scale),
        resize: Some(WithOrigin::new(resize, by("crop_pct, crop_mode"))),
        resize_at: at_test_size,
        interpolation: Some(WithOrigin::new(interpolation, by("interpolation"))),
        size: Some(WithOrigin::new(size, by("input_size"))),
        labels: if beside.reads_labels {
            labels(Keys { file, object }, prefix)?
        } else {
            None
        },
        multi_label: multi_label(Keys { file, object })?,
        ..SourceSettings::default()
    })
}

const INPUT_SIZE: &str = "3 channels or 1, height and width";

/// Returns a size in the order of `timm`: channels, height, width. Its scripts open images in mode `L` for one channel.
fn input_size(keys: Keys<'_>, key: &str) -> Result<Option<(ColorOrder, ImageSize)>, SourceError> {
    let Some(value) = keys.get(key) else {
        return Ok(None);
    };
    match value.as_array().map(Vec::as_slice) {
        Some([channels, height, width]) => {
            let color = match channels.as_u64() {
                Some(3) => Some(ColorOrder::Rgb),
                Some(1) => Some(ColorOrder::Grey),
                _ => None,
            };
            let size = side(height).zip(side(width));
            let size = size.map(|(height, width)| ImageSize { width, height });
            color.zip(size)
        }
        _ => None,
    }
    .map(Some)
    .ok_or_else(|| keys.error(key, INPUT_SIZE))
}

/// Returns a fraction; 0 is as good as absent, as in Python.
fn fraction(keys: Keys<'_>, key: &str) -> Result<Option<f64>, SourceError> {
    match keys.number(key)?.filter(|fraction| *fraction != 0.0) {
        Some(fraction) if !CropMode::FRACTIONS.contains(&fraction) => {
            Err(keys.error(key, "a number from 0.1 to 4"))
        }
        fraction => Ok(fraction),
    }
}

fn resize(keys: Keys<'_>, mean: [f32; 3]) -> Result<Resize, SourceError> {
    let mode = match keys.text("crop_mode")?.unwrap_or("center") {
        "center" | "" => CropMode::Center,
        "squash" => CropMode::Squash,
        "border" => CropMode::Border {
            fill: mean.map(|mean| mean.round_ties_even() as u8),
        },
        _ => return Err(keys.error("crop_mode", "center, squash or border")),
    };
    Ok(Resize::Timm {
        fraction: fraction(keys, "crop_pct")?.unwrap_or(0.875),
        mode,
    })
}

/// Returns the same resize with another fraction.
fn of(fraction: f64, resize: Resize) -> Resize {
    match resize {
        Resize::Timm { mode, .. } => Resize::Timm { fraction, mode },
        other => other,
    }
}

/// Returns the names of classes. Those at the top replace those in `pretrained_cfg`, whose place `prefix` states. An old
/// file without it may call them `labels`. They are keys into `label_descriptions` where that is there.
fn labels(keys: Keys<'_>, prefix: &str) -> Result<Option<WithOrigin<Labels>>, SourceError> {
    let inner = keys.get("pretrained_cfg").and_then(Value::as_object);
    let inner = inner.map(|object| Keys { object, ..keys });
    let stated = |key: &str| {
        let top = keys.get(key).map(|value| (key.to_owned(), value));
        top.or_else(|| Some((format!("{prefix}{key}"), inner?.get(key)?)))
    };
    let old = keys.get("labels").filter(|_| inner.is_none());
    let old = old.map(|names| ("labels".to_owned(), names));
    let is_empty = |names: &Value| names.as_array().is_some_and(Vec::is_empty);
    let names = old.or_else(|| stated("label_names"));
    let Some((key, names)) = names.filter(|(_, names)| !is_empty(names)) else {
        return Ok(None);
    };
    let names = Labels::from_json(names).map_err(|error| {
        let expected = format!("a list of names, or names by class id ({error})");
        unsupported(keys.file, &key, "…", expected)
    })?;
    let descriptions = stated("label_descriptions").and_then(|(_, names)| names.as_object());
    let label = |name: &String| {
        descriptions
            .and_then(|descriptions| descriptions.get(name)?.as_str())
            .unwrap_or(name)
            .to_owned()
    };
    let labels = Labels::from_names(names.names().iter().map(label).collect());
    Ok(Some(WithOrigin::new(
        labels,
        format!("{}: {key}", keys.file),
    )))
}

#[cfg(test)]
mod tests {
    use super::super::json::object;
    use super::*;

    fn read(text: &str) -> Result<SourceSettings, SourceError> {
        let object = object("config.json", text.as_bytes())?;
        assert!(is_timm(&object));
        settings("config.json", &object, Beside::ALONE)
    }

    #[test]
    fn the_transform_for_evaluation() {
        let settings = read(
            r#"{"architecture": "resnet50", "num_classes": 2, "label_names": ["n1", "n2"],
                "label_descriptions": {"n1": "tench", "n2": "goldfish"},
                "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95,
                    "crop_mode": "center", "mean": [0.5, 0.25, 0], "std": [1, 0.5, 0.5], "tag": "a1_in1k"}}"#,
        )
        .unwrap();
        assert_eq!(settings.resize.unwrap().value.to_string(), "center:0.95");
        assert_eq!(settings.mean.unwrap().value, [127.5, 63.75, 0.0]);
        let scale = settings.scale.unwrap();
        assert_eq!(
            (scale.value, scale.origin.to_string().as_str()),
            ([255.0, 127.5, 127.5], "config.json: pretrained_cfg.std")
        );
        assert_eq!(settings.labels.unwrap().value.get(1), Some("goldfish"));
    }

    #[test]
    fn old_files_and_defaults() {
        let settings =
            read(r#"{"architecture": "x", "input_size": [3, 299, 299], "crop_mode": "squash"}"#)
                .unwrap();
        assert_eq!(settings.resize.unwrap().value.to_string(), "squash:0.875");
        assert_eq!(
            settings.interpolation.unwrap().value,
            Interpolation::Bicubic
        );
        assert_eq!(settings.mean.unwrap().value[0], 123.675);
    }

    #[test]
    fn labels_are_where_timm_looks_for_them() {
        let labels = |text: &str| {
            let labels = read(text).unwrap().labels?;
            Some((labels.value.names().join(","), labels.origin.to_string()))
        };
        for (text, names, origin) in [
            (
                r#"{"architecture": "x", "input_size": [3, 8, 8], "labels": ["a", "b"]}"#,
                "a,b",
                "labels",
            ),
            (
                r#"{"architecture": "x", "input_size": [3, 8, 8], "label_names": ["a", "b"], "label_descriptions": {"b": "c"}}"#,
                "a,c",
                "label_names",
            ),
            (
                r#"{"pretrained_cfg": {"input_size": [3, 8, 8], "label_names": {"1": "b", "0": "a"}}, "label_descriptions": {"b": "c"}}"#,
                "a,c",
                "pretrained_cfg.label_names",
            ),
            (
                r#"{"pretrained_cfg": {"input_size": [3, 8, 8], "label_names": ["a"], "label_descriptions": {"b": "c"}}, "label_names": ["b"]}"#,
                "c",
                "label_names",
            ),
        ] {
            let expected = (names.to_owned(), format!("config.json: {origin}"));
            assert_eq!(labels(text), Some(expected), "{text}");
        }
        // timm takes neither.
        for more in [r#""labels": ["a"]"#, r#""label_names": []"#] {
            let text = format!(r#"{{"pretrained_cfg": {{"input_size": [3, 8, 8], {more}}}}}"#);
            assert_eq!(labels(&text), None, "{text}");
        }
    }

    #[test]
    fn one_channel_is_grey() {
        let settings =
            read(r#"{"pretrained_cfg": {"input_size": [1, 28, 28], "mean": [0.5], "std": 0.25}}"#)
                .unwrap();
        assert_eq!(settings.color.unwrap().value, ColorOrder::Grey);
        assert_eq!(settings.mean.unwrap().value, [127.5; 3]);
        assert_eq!(settings.scale.unwrap().value, [63.75; 3]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (more, key) in [
            (r#""crop_mode": "fill""#, "crop_mode"),
            (r#""interpolation": "random""#, "interpolation"),
            (r#""crop_pct": 5"#, "crop_pct"),
            (r#""crop_pct": -1"#, "crop_pct"),
            (r#""test_input_size": [288, 288]"#, "test_input_size"),
            (r#""std": [0, 1, 1]"#, "std"),
            (r#""input_size": [4, 28, 28]"#, "input_size"),
        ] {
            let text = format!(r#"{{"pretrained_cfg": {{"input_size": [3, 224, 224], {more}}}}}"#);
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn the_size_for_tests_has_its_own_fraction() {
        let settings = read(
            r#"{"architecture": "x", "problem_type": "multi_label_classification",
                "pretrained_cfg": {"input_size": [3, 224, 200], "crop_pct": 0.875, "crop_mode": "border",
                    "mean": [0.5, 0.485, 0.1], "test_input_size": [3, 288, 256], "test_crop_pct": 0.95}}"#,
        )
        .unwrap();
        assert_eq!(
            settings.resize.unwrap().value.to_string(),
            "border:0.875:128,124,26"
        );
        let (size, at_test_size) = settings.resize_at.unwrap();
        assert_eq!(size.to_string(), "256 x 288");
        assert_eq!(at_test_size.value.to_string(), "border:0.95:128,124,26");
        assert!(settings.multi_label.unwrap().value);
        let regression =
            r#"{"architecture": "x", "input_size": [3, 8, 8], "problem_type": "regression"}"#;
        let error = read(regression).unwrap_err().to_string();
        assert!(error.contains("problem_type"), "{error}");
    }
}
