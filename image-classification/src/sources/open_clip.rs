//! `OpenCLIP`'s `open_clip_config.json`.
//!
//! Its transform for inference computes as timm's does. Source: `open_clip/transform.py` of `open_clip` 3.3.

use serde_json::Value;

use super::json::{self, Keys, side};
use super::{Beside, SourceError, SourceSettings};
use crate::{ColorOrder, CropMode, ImageSize, Interpolation, Resize, WithOrigin};

/// Reads an `open_clip_config.json`; `None` if it does not describe preprocessing.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    _: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let object = json::object(file, bytes)?;
    let Some(Value::Object(config)) = object.get("preprocess_cfg") else {
        return Ok(None);
    };
    let keys = Keys {
        file,
        object: config,
    };
    let by = |name: &str| format!("{file}: preprocess_cfg.{name}");
    let vision = object.get("model_cfg").and_then(|it| it.get("vision_cfg"));
    let stated = keys
        .get("size")
        .or_else(|| vision.and_then(|vision| vision.get("image_size")));
    let size = match stated {
        None => Some((224, 224)),
        Some(Value::Array(sides)) => match &sides[..] {
            [height, width] => side(height).zip(side(width)),
            _ => None,
        },
        Some(both) => side(both).map(|side| (side, side)),
    };
    let Some((height, width)) = size else {
        return Err(keys.error("size", "one side, or height and width"));
    };
    // OpenCLIP itself stops at others.
    if keys.text("mode")?.is_some_and(|mode| mode != "RGB") {
        return Err(keys.error("mode", "RGB"));
    }
    let mode = match keys.text("resize_mode")?.unwrap_or("shortest") {
        "shortest" => CropMode::Center,
        "squash" => CropMode::Squash,
        "longest" => {
            let fill = match keys.get("fill_color") {
                None => Some(0),
                Some(fill) => fill.as_u64().and_then(|fill| u8::try_from(fill).ok()),
            };
            let fill = fill.ok_or_else(|| keys.error("fill_color", "a number from 0 to 255"))?;
            CropMode::Border { fill: [fill; 3] }
        }
        _ => return Err(keys.error("resize_mode", "shortest, longest or squash")),
    };
    let interpolation = match keys.text("interpolation")?.unwrap_or("bicubic") {
        "bicubic" => Interpolation::Bicubic,
        "bilinear" => Interpolation::Bilinear,
        _ => return Err(keys.error("interpolation", "bicubic or bilinear")),
    };
    // `ResizeKeepRatio(image_size)` has its own default there.
    let ignores_filter = matches!(mode, CropMode::Center) && width != height;
    let filter = if ignores_filter && interpolation != Interpolation::Bicubic {
        let note = format!(
            "OpenCLIP ignores the {:?} in {file} where sides differ; `interpolation` is {} as there",
            interpolation.to_string(),
            Interpolation::Bicubic
        );
        WithOrigin::new(
            Interpolation::Bicubic,
            format!("{file}: OpenCLIP, sides that differ"),
        )
        .with_note(Some(note))
    } else {
        WithOrigin::new(interpolation, by("interpolation"))
    };
    // OpenCLIP's pixels are from 0 to 1.
    let times_255 = |key: &str, otherwise: [f64; 3]| -> Result<_, SourceError> {
        let values = keys.three(key)?.unwrap_or(otherwise);
        let values = values.map(|value| (value * 255.0) as f32);
        Ok(WithOrigin::new(values, by(key)))
    };
    let scale = times_255("std", [0.268_629_54, 0.261_302_58, 0.275_777_11])?;
    if scale.value.contains(&0.0) {
        return Err(keys.error("std", "three numbers that are not 0"));
    }
    let resize = Resize::Timm {
        fraction: 1.0,
        mode,
    };
    Ok(Some(SourceSettings {
        color: Some(WithOrigin::new(
            ColorOrder::Rgb,
            format!("{file}: OpenCLIP"),
        )),
        mean: Some(times_255(
            "mean",
            [0.481_454_66, 0.457_827_5, 0.408_210_73],
        )?),
        scale: Some(scale),
        resize: Some(WithOrigin::new(resize, by("resize_mode"))),
        interpolation: Some(filter),
        size: Some(WithOrigin::new(ImageSize { width, height }, by("size"))),
        ..SourceSettings::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_for_inference() {
        let of = |text: &str| read("open_clip_config.json", text.as_bytes(), Beside::ALONE);
        let settings = of(
            r#"{"model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 256}}, "preprocess_cfg":
                {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "longest", "fill_color": 7}}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!(settings.resize.unwrap().value.to_string(), "border:1:7,7,7");
        assert_eq!(settings.mean.unwrap().value, [127.5; 3]);
        assert_eq!(settings.size.unwrap().value.to_string(), "256 x 256");
        assert_eq!(
            settings.interpolation.unwrap().value,
            Interpolation::Bicubic
        );
        let defaults = of(r#"{"preprocess_cfg": {}}"#).unwrap().unwrap();
        assert_eq!(defaults.resize.unwrap().value.to_string(), "center:1");
        assert_eq!(defaults.mean.unwrap().value[0], 122.770_935);
        assert_eq!(of(r#"{"model_cfg": {}}"#).unwrap(), None);
        // As `open_clip.transform.image_transform_v2` of 3.3.0 builds it.
        for (size, mode, expected) in [
            ("[24, 20]", "shortest", Interpolation::Bicubic),
            ("[24, 24]", "shortest", Interpolation::Bilinear),
            ("24", "shortest", Interpolation::Bilinear),
            ("[24, 20]", "squash", Interpolation::Bilinear),
            ("[24, 20]", "longest", Interpolation::Bilinear),
        ] {
            let cfg = format!(
                r#"{{"size": {size}, "resize_mode": "{mode}", "interpolation": "bilinear"}}"#
            );
            let settings = of(&format!(r#"{{"preprocess_cfg": {cfg}}}"#)).unwrap();
            let filter = settings.unwrap().interpolation.unwrap();
            assert_eq!(filter.value, expected, "{cfg}");
            let is_noted = filter.note.is_some();
            assert_eq!(is_noted, expected == Interpolation::Bicubic, "{cfg}");
        }
        let error = of(r#"{"preprocess_cfg": {"mode": "L"}}"#).unwrap_err();
        assert!(error.to_string().contains("mode"), "{error}");
        let error = of(r#"{"preprocess_cfg": {"resize_mode": "fill"}}"#).unwrap_err();
        assert!(error.to_string().contains("resize_mode"), "{error}");
    }
}
