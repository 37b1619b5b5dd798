//! timm's `config.json`.
//!
//! Its transform for evaluation resizes to ⌊`size / crop_pct`⌋ and cuts out the centre, with
//! torchvision's rounding. Facts from timm 1.0, `timm/data/config.py`, `timm/data/transforms_factory.py`
//! and `timm/models/_hub.py`.

use serde_json::{Map, Value};

use super::json::{Keys, side};
use super::{SourceError, SourceSettings, unsupported};
use crate::{Centre, ColorOrder, ImageSize, Interpolation, Labels, Resize, WithOrigin};

/// Returns whether a `config.json` is timm's: the preprocessing is in `pretrained_cfg`, in old files at the top.
pub(super) fn is_timm(object: &Map<String, Value>) -> bool {
    object.get("pretrained_cfg").is_some_and(Value::is_object)
        || object.contains_key("architecture") && object.contains_key("input_size")
}

pub(super) fn settings(
    file: &str,
    object: &Map<String, Value>,
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
    let size = input_size(keys)?;
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
    Ok(SourceSettings {
        color: Some(WithOrigin::new(ColorOrder::Rgb, format!("{file}: timm"))),
        mean: Some(times_255("mean", [0.485, 0.456, 0.406])?),
        scale: Some(scale),
        resize: Some(WithOrigin::new(
            resize(keys, size)?,
            by("input_size, crop_pct, crop_mode"),
        )),
        interpolation: Some(WithOrigin::new(interpolation, by("interpolation"))),
        size: Some(WithOrigin::new(size, by("input_size"))),
        labels: labels(Keys { file, object })?,
        ..SourceSettings::default()
    })
}

fn input_size(keys: Keys<'_>) -> Result<ImageSize, SourceError> {
    let sides = keys.get("input_size").and_then(Value::as_array);
    match sides.map(Vec::as_slice) {
        Some([channels, height, width]) if channels.as_u64() == Some(3) => side(height)
            .zip(side(width))
            .map(|(height, width)| ImageSize { width, height }),
        _ => None,
    }
    .ok_or_else(|| keys.error("input_size", "3 channels, height and width"))
}

fn resize(keys: Keys<'_>, size: ImageSize) -> Result<Resize, SourceError> {
    let fraction = keys.number("crop_pct")?.unwrap_or(0.875);
    if !(fraction > 0.0 && fraction <= 1.0) {
        return Err(keys.error("crop_pct", "more than 0 and at most 1"));
    }
    if size.width != size.height {
        return Err(keys.error("input_size", "a square"));
    }
    let side = (f64::from(size.width) / fraction).floor() as u32;
    let centre = Centre::HalfEven;
    match keys.text("crop_mode")?.unwrap_or("center") {
        "center" => Ok(Resize::ShortSide {
            short: side,
            centre,
        }),
        "squash" => Ok(Resize::StretchThenCrop { side, centre }),
        _ => Err(keys.error("crop_mode", "center or squash")),
    }
}

/// `label_names` are keys into `label_descriptions` where that is there.
fn labels(keys: Keys<'_>) -> Result<Option<WithOrigin<Labels>>, SourceError> {
    let Some(names) = keys.get("label_names") else {
        return Ok(None);
    };
    let names: Vec<&str> = names
        .as_array()
        .and_then(|names| names.iter().map(Value::as_str).collect())
        .ok_or_else(|| unsupported(keys.file, "label_names", "…", "a list of names"))?;
    let descriptions = keys.get("label_descriptions").and_then(Value::as_object);
    let label = |name: &&str| {
        descriptions
            .and_then(|descriptions| descriptions.get(*name)?.as_str())
            .unwrap_or(name)
            .to_owned()
    };
    let labels = Labels::from_names(names.iter().map(label).collect());
    Ok(Some(WithOrigin::new(
        labels,
        format!("{}: label_names", keys.file),
    )))
}

#[cfg(test)]
mod tests {
    use super::super::json::object;
    use super::*;

    fn read(text: &str) -> Result<SourceSettings, SourceError> {
        let object = object("config.json", text.as_bytes())?;
        assert!(is_timm(&object));
        settings("config.json", &object)
    }

    #[test]
    fn the_transform_for_evaluation() {
        let said = read(
            r#"{"architecture": "resnet50", "num_classes": 2, "label_names": ["n1", "n2"],
                "label_descriptions": {"n1": "tench", "n2": "goldfish"},
                "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95,
                    "crop_mode": "center", "mean": [0.5, 0.25, 0], "std": [1, 0.5, 0.5], "tag": "a1_in1k"}}"#,
        )
        .unwrap();
        assert_eq!(said.resize.unwrap().value.to_string(), "short:235");
        assert_eq!(said.mean.unwrap().value, [127.5, 63.75, 0.0]);
        let scale = said.scale.unwrap();
        assert_eq!(
            (scale.value, scale.origin.to_string().as_str()),
            ([255.0, 127.5, 127.5], "config.json: pretrained_cfg.std")
        );
        assert_eq!(said.labels.unwrap().value.get(1), Some("goldfish"));
    }

    #[test]
    fn old_files_and_defaults() {
        let said =
            read(r#"{"architecture": "x", "input_size": [3, 299, 299], "crop_mode": "squash"}"#)
                .unwrap();
        assert_eq!(said.resize.unwrap().value.to_string(), "stretch:341");
        assert_eq!(said.interpolation.unwrap().value, Interpolation::Bicubic);
        assert_eq!(said.mean.unwrap().value[0], 123.675);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (more, key) in [
            (r#""crop_mode": "border""#, "crop_mode"),
            (r#""interpolation": "random""#, "interpolation"),
            (r#""crop_pct": 1.1"#, "crop_pct"),
            (r#""std": [0, 1, 1]"#, "std"),
            (r#""input_size": [1, 28, 28]"#, "input_size"),
            (r#""input_size": [3, 28, 30]"#, "input_size"),
        ] {
            let text = format!(r#"{{"pretrained_cfg": {{"input_size": [3, 224, 224], {more}}}}}"#);
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
