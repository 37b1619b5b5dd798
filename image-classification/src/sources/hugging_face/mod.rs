//! Hugging Face's `preprocessor_config.json` and `config.json`.
//!
//! The keys are attributes of `transformers`' image processors, and what they mean depends on the
//! processor: an integer `size` is a square for `ViT` and the short side for CLIP. Pixels are those of
//! the processors that use Pillow. Facts from `transformers` 4.57, `models/*/image_processing_*.py`
//! and `image_transforms.py`.

use serde_json::{Map, Value};

use super::json::{self, Keys, labels_by_id, side};
use super::{SourceError, SourceSettings};
use crate::{Centre, ColorOrder, ImageSize, Interpolation, Resize, WithOrigin};

/// Keys that pixels do not depend on, or that this module reads.
const KNOWN: [&str; 32] = [
    "_processor_class",
    "_valid_processor_keys",
    "auto_map",
    "crop_pct",
    "crop_size",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_center_crop",
    "do_convert_rgb",
    "do_flip_channel_order",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "feature_extractor_type",
    "image_mean",
    "image_processor_type",
    "image_std",
    "include_top",
    "input_data_format",
    "model_input_names",
    "processor_class",
    "resample",
    "rescale_factor",
    "rescale_offset",
    "return_tensors",
    "size",
    "torch_dtype",
    "transformers_version",
    "use_fast",
    "use_square_size",
];

/// Processors of classifiers: name, whether an integer `size` is the short side, whether the centre
/// is cut out, and the filter, where the file does not say.
const PROCESSORS: [(&str, bool, bool, u64); 13] = [
    ("Beit", false, true, 3),
    ("Bit", true, true, 3),
    ("CLIP", true, true, 3),
    ("ConvNext", true, false, 2),
    ("DeiT", false, true, 3),
    ("EfficientNet", false, false, 0),
    ("Levit", true, true, 3),
    ("MobileNetV1", true, true, 2),
    ("MobileNetV2", true, true, 2),
    ("MobileViT", true, true, 2),
    ("PoolFormer", true, true, 3),
    ("Siglip", false, false, 3),
    ("ViT", false, false, 2),
];

/// Reads a `preprocessor_config.json`; `None` if the object has none of its keys.
pub(super) fn preprocessor(
    file: &str,
    bytes: &[u8],
) -> Result<Option<SourceSettings>, SourceError> {
    let object = json::object(file, bytes)?;
    let characteristic = [
        "image_processor_type",
        "feature_extractor_type",
        "do_resize",
        "do_normalize",
        "do_rescale",
    ];
    if !characteristic.iter().any(|key| object.contains_key(*key)) {
        return Ok(None);
    }
    let keys = Keys {
        file,
        object: &object,
    };
    keys.refuse_others(&KNOWN)?;
    let kind = kind(keys)?;
    let (resize, size) = resize(keys, kind)?;
    let flip = keys
        .bool("do_flip_channel_order")?
        .unwrap_or(kind.0 == "MobileViT");
    let color = if flip {
        ColorOrder::Bgr
    } else {
        ColorOrder::Rgb
    };
    let by_flip = if flip { ": do_flip_channel_order" } else { "" };
    let (mean, scale) = normalization(keys, kind, flip)?;
    Ok(Some(SourceSettings {
        color: Some(WithOrigin::new(color, format!("{file}{by_flip}"))),
        mean: Some(mean),
        scale: Some(scale),
        resize: Some(resize),
        interpolation: Some(interpolation(keys, kind)?),
        size: Some(size),
        ..SourceSettings::default()
    }))
}

type Kind = (&'static str, bool, bool, u64);

/// The processor that wrote the file. An old file does not name it; then `ViT`'s rules hold.
fn kind(keys: Keys<'_>) -> Result<Kind, SourceError> {
    for key in ["image_processor_type", "feature_extractor_type"] {
        let Some(name) = keys.text(key)? else {
            continue;
        };
        let short = name.strip_suffix("Fast").unwrap_or(name);
        let short = short
            .strip_suffix("ImageProcessor")
            .or_else(|| short.strip_suffix("FeatureExtractor"))
            .unwrap_or(short);
        return PROCESSORS
            .into_iter()
            .find(|(known, ..)| *known == short)
            .ok_or_else(|| {
                let names: Vec<&str> = PROCESSORS.iter().map(|(name, ..)| *name).collect();
                keys.error(key, &format!("the processor of {}", names.join(", ")))
            });
    }
    Ok(("ViT", false, false, 2))
}

/// The value of `size` or `crop_size`.
enum Size {
    Exact { height: u32, width: u32 },
    Short(u32),
}

fn size_of(keys: Keys<'_>, key: &str, integer_is_short: bool) -> Result<Size, SourceError> {
    let exact = |height, width| Size::Exact { height, width };
    let read = match keys.get(key) {
        Some(Value::Number(_)) => keys.get(key).and_then(side).map(|n| {
            if integer_is_short {
                Size::Short(n)
            } else {
                exact(n, n)
            }
        }),
        Some(Value::Array(sides)) => match &sides[..] {
            [height, width] => side(height).zip(side(width)).map(|(h, w)| exact(h, w)),
            _ => None,
        },
        Some(Value::Object(sides)) => named_size(sides),
        _ => None,
    };
    read.ok_or_else(|| keys.error(key, "height and width, or shortest_edge, in pixels"))
}

fn named_size(sides: &Map<String, Value>) -> Option<Size> {
    let get = |name: &str| sides.get(name).and_then(side);
    match sides.len() {
        2 => get("height")
            .zip(get("width"))
            .map(|(height, width)| Size::Exact { height, width }),
        1 => get("shortest_edge").map(Size::Short),
        _ => None,
    }
}

/// Returns the resize, and the size of its result.
fn resize(
    keys: Keys<'_>,
    (name, integer_is_short, crops, _): Kind,
) -> Result<(WithOrigin<Resize>, WithOrigin<ImageSize>), SourceError> {
    let file = keys.file;
    if keys.bool("do_resize")? == Some(false) {
        return Err(keys.error("do_resize", "true: every image has to get the model's size"));
    }
    let size = size_of(keys, "size", integer_is_short)?;
    let square = |side| ImageSize {
        width: side,
        height: side,
    };
    let stated = |resize, by: &str, size: ImageSize| {
        (
            WithOrigin::new(resize, format!("{file}: {by}")),
            WithOrigin::new(size, format!("{file}: {by}")),
        )
    };
    if name == "ConvNext" {
        let Size::Short(side) = size else {
            return Err(keys.error("size", "shortest_edge"));
        };
        let fraction = keys.number("crop_pct")?.unwrap_or(224.0 / 256.0);
        let resize = if side < 384 {
            Resize::ShortSide {
                short: enlarged(keys, side, fraction)?,
                centre: Centre::Floor,
            }
        } else {
            Resize::Stretch
        };
        return Ok(stated(resize, "size, crop_pct", square(side)));
    }
    let crop = if keys.bool("do_center_crop")?.unwrap_or(crops) {
        let Size::Exact { height, width } = size_of(keys, "crop_size", false)? else {
            return Err(keys.error("crop_size", "height and width"));
        };
        Some(ImageSize { width, height })
    } else {
        None
    };
    let centre = Centre::Floor;
    match (size, crop) {
        (Size::Exact { height, width }, None) => {
            Ok(stated(Resize::Stretch, "size", ImageSize { width, height }))
        }
        (Size::Exact { height, width }, Some(crop)) => {
            if height != width {
                return Err(keys.error("size", "a square, where the centre is cut out afterwards"));
            }
            let side = match keys.number("crop_pct")?.filter(|_| name == "PoolFormer") {
                Some(fraction) => enlarged(keys, height, fraction)?,
                None => height,
            };
            let resize = Resize::StretchThenCrop { side, centre };
            Ok(stated(resize, "size, crop_size", crop))
        }
        (Size::Short(short), Some(crop)) => {
            let short = match name {
                // `int((256 / 224) * shortest_edge)`
                "Levit" => ((256.0 / 224.0) * f64::from(short)) as u32,
                "PoolFormer" => {
                    let fraction = keys.number("crop_pct")?.unwrap_or(0.9);
                    enlarged(keys, short, fraction)?
                }
                _ => short,
            };
            let resize = Resize::ShortSide { short, centre };
            Ok(stated(resize, "size, crop_size", crop))
        }
        (Size::Short(_), None) => Err(keys.error(
            "do_center_crop",
            "true, where size is the shortest_edge: every image has to get the model's size",
        )),
    }
}

/// `int(side / crop_pct)`
fn enlarged(keys: Keys<'_>, side: u32, fraction: f64) -> Result<u32, SourceError> {
    if fraction > 0.0 && fraction <= 1.0 {
        Ok((f64::from(side) / fraction) as u32)
    } else {
        Err(keys.error("crop_pct", "more than 0 and at most 1"))
    }
}

/// The names are Pillow's numbers.
fn interpolation(
    keys: Keys<'_>,
    (.., otherwise): Kind,
) -> Result<WithOrigin<Interpolation>, SourceError> {
    let number = match keys.get("resample") {
        None => Some(otherwise),
        Some(value) => value.as_u64(),
    };
    let filter = match number {
        Some(0) => Interpolation::Nearest,
        Some(1) => Interpolation::Lanczos,
        Some(2) => Interpolation::Bilinear,
        Some(3) => Interpolation::Bicubic,
        Some(4) => Interpolation::Box,
        _ => {
            return Err(keys.error(
                "resample",
                "0 (nearest), 1 (Lanczos), 2 (bilinear), 3 (bicubic) or 4 (box)",
            ));
        }
    };
    Ok(WithOrigin::new(filter, format!("{}: resample", keys.file)))
}

/// Everything after the resize is a line through each channel: `factor * pixel + offset`.
fn normalization(
    keys: Keys<'_>,
    (name, ..): Kind,
    flip: bool,
) -> Result<(WithOrigin<[f32; 3]>, WithOrigin<[f32; 3]>), SourceError> {
    let (mut factor, mut offset) = ([1.0; 3], [0.0; 3]);
    let mut used = Vec::new();
    if keys.bool("do_rescale")?.unwrap_or(true) {
        let rescale = keys.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
        if rescale == 0.0 {
            return Err(keys.error("rescale_factor", "a number that is not 0"));
        }
        factor = [rescale; 3];
        if name == "EfficientNet" && keys.bool("rescale_offset")?.unwrap_or(false) {
            offset = [-1.0; 3];
            used.push("rescale_offset");
        }
        used.push("rescale_factor");
    }
    let mut normalize = |mean: [f64; 3], std: [f64; 3]| {
        for channel in 0..3 {
            factor[channel] /= std[channel];
            offset[channel] = (offset[channel] - mean[channel]) / std[channel];
        }
    };
    let std = || {
        keys.three("image_std")?
            .filter(|std| !std.contains(&0.0))
            .ok_or_else(|| keys.error("image_std", "three numbers that are not 0"))
    };
    if keys.bool("do_normalize")?.unwrap_or(name != "MobileViT") {
        let mean = keys
            .three("image_mean")?
            .ok_or_else(|| keys.error("image_mean", "three numbers"))?;
        normalize(mean, std()?);
        used.extend(["image_mean", "image_std"]);
    }
    if name == "EfficientNet" && keys.bool("include_top")?.unwrap_or(false) {
        normalize([0.0; 3], std()?);
        used.push("include_top");
    }
    if flip {
        factor.reverse();
        offset.reverse();
    }
    let by = if used.is_empty() {
        keys.file.to_owned()
    } else {
        format!("{}: {}", keys.file, used.join(", "))
    };
    let mean = [0, 1, 2].map(|channel| (-offset[channel] / factor[channel]) as f32 + 0.0);
    let scale = factor.map(|factor| (1.0 / factor) as f32);
    Ok((
        WithOrigin::new(mean, by.clone()),
        WithOrigin::new(scale, by),
    ))
}

/// Reads the labels of a `config.json`; `None` if it has none of a classifier's keys.
pub(super) fn config(
    file: &str,
    object: &Map<String, Value>,
) -> Result<Option<SourceSettings>, SourceError> {
    let keys = Keys { file, object };
    let labels = labels_by_id(keys, "id2label")?;
    let multi_label = multi_label(keys)?;
    Ok(
        (labels.is_some() || multi_label.is_some()).then(|| SourceSettings {
            labels,
            multi_label,
            ..SourceSettings::default()
        }),
    )
}

/// Reads `problem_type`, which says if several classes may be right.
pub(super) fn multi_label(keys: Keys<'_>) -> Result<Option<WithOrigin<bool>>, SourceError> {
    match keys.get("problem_type").and_then(Value::as_str) {
        Some("regression") => {
            let expected = "single_label_classification or multi_label_classification";
            Err(keys.error("problem_type", expected))
        }
        Some("multi_label_classification") => Ok(Some(WithOrigin::new(
            true,
            format!("{}: problem_type", keys.file),
        ))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SourceSettings, SourceError> {
        preprocessor("preprocessor_config.json", text.as_bytes()).map(Option::unwrap)
    }

    #[test]
    fn vit_stretches() {
        let said = read(
            r#"{"do_normalize": true, "do_resize": true, "feature_extractor_type": "ViTFeatureExtractor",
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224}"#,
        )
        .unwrap();
        assert_eq!(said.resize.unwrap().value, Resize::Stretch);
        assert_eq!(said.interpolation.unwrap().value, Interpolation::Bilinear);
        assert_eq!(said.mean.unwrap().value, [127.5; 3]);
        assert_eq!(said.scale.unwrap().value, [127.5; 3]);
        assert_eq!(said.size.unwrap().value.to_string(), "224 x 224");
        assert_eq!(said.color.unwrap().value, ColorOrder::Rgb);
    }

    #[test]
    fn the_same_size_means_something_else_to_each_processor() {
        let resize = |name: &str, more: &str| {
            read(&format!(
                r#"{{"image_processor_type": "{name}", "do_normalize": false, {more}}}"#
            ))
            .map(|said| said.resize.unwrap().value.to_string())
        };
        for (name, more, expected) in [
            (
                "CLIPImageProcessor",
                r#""size": 224, "crop_size": 224"#,
                "short:224:floor",
            ),
            (
                "MobileNetV2ImageProcessorFast",
                r#""size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}"#,
                "short:256:floor",
            ),
            (
                "ConvNextFeatureExtractor",
                r#""size": 224, "crop_pct": 0.875"#,
                "short:256:floor",
            ),
            (
                "ConvNextImageProcessor",
                r#""size": {"shortest_edge": 384}"#,
                "stretch",
            ),
            (
                "DeiTImageProcessor",
                r#""size": 256, "crop_size": 224"#,
                "stretch:256:floor",
            ),
            (
                "LevitImageProcessor",
                r#""size": 224, "crop_size": 224"#,
                "short:256:floor",
            ),
            (
                "PoolFormerImageProcessor",
                r#""size": 224, "crop_pct": 0.9, "crop_size": 224"#,
                "short:248:floor",
            ),
        ] {
            assert_eq!(resize(name, more).unwrap(), expected, "{name}");
        }
        let error = resize(
            "CLIPImageProcessor",
            r#""size": 224, "do_center_crop": false"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("do_center_crop"), "{error}");
    }

    #[test]
    fn lines_through_the_channels_are_composed() {
        let said = read(
            r#"{"image_processor_type": "EfficientNetImageProcessor", "size": 300, "rescale_offset": true,
                "rescale_factor": 0.5, "image_mean": [1, 2, 3], "image_std": [2, 4, 8], "include_top": true}"#,
        )
        .unwrap();
        // ((0.5 x - 1) - m) / s / s = (x - 2 (1 + m)) / (2 s²)
        assert_eq!(said.mean.unwrap().value, [4.0, 6.0, 8.0]);
        assert_eq!(said.scale.unwrap().value, [8.0, 32.0, 128.0]);
        assert_eq!(said.interpolation.unwrap().value, Interpolation::Nearest);
        let plain = read(r#"{"do_rescale": false, "do_normalize": false, "size": 8}"#).unwrap();
        assert_eq!(plain.mean.unwrap().value, [0.0; 3]);
        assert_eq!(plain.scale.unwrap().value, [1.0; 3]);
    }

    #[test]
    fn mobilevit_takes_blue_first() {
        let said = read(
            r#"{"image_processor_type": "MobileViTImageProcessor", "size": 288, "crop_size": 256,
                "do_flip_channel_order": true, "resample": 3}"#,
        )
        .unwrap();
        assert_eq!(said.color.unwrap().value, ColorOrder::Bgr);
        assert_eq!(said.scale.unwrap().value, [255.0; 3]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (text, key) in [
            (
                r#"{"do_resize": true, "size": 224, "do_pad": true}"#,
                "do_pad",
            ),
            (r#"{"do_resize": false, "size": 224}"#, "do_resize"),
            (
                r#"{"do_resize": true, "size": 224, "resample": 5, "do_normalize": false}"#,
                "resample",
            ),
            (
                r#"{"do_resize": true, "size": {"longest_edge": 224}}"#,
                "size",
            ),
            (r#"{"do_resize": true, "size": 224}"#, "image_mean"),
            (
                r#"{"do_resize": true, "size": 224, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}"#,
                "image_std",
            ),
            (
                r#"{"image_processor_type": "DetrImageProcessor", "size": 224}"#,
                "DetrImageProcessor",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        assert!(
            read(r#"{"do_resize": true, "size": 224, "do_pad": false, "do_normalize": false}"#)
                .is_ok()
        );
    }

    #[test]
    fn labels_and_multi_label_are_read() {
        let object = json::object(
            "config.json",
            br#"{"id2label": {"1": "b", "0": "a"}, "problem_type": "multi_label_classification"}"#,
        )
        .unwrap();
        let said = config("config.json", &object).unwrap().unwrap();
        assert_eq!(said.labels.unwrap().value.get(0), Some("a"));
        assert_eq!(
            said.multi_label.unwrap().origin.to_string(),
            "config.json: problem_type"
        );
        let other = json::object("config.json", br#"{"port": 80}"#).unwrap();
        assert_eq!(config("config.json", &other).unwrap(), None);
    }
}
