//! Hugging Face's `preprocessor_config.json`, `processor_config.json` and `config.json`.
//!
//! The keys are attributes of `transformers`' image processors. Their meaning depends on the processor: an integer
//! `size` is a square for `ViT` and the short side for CLIP. Pixels are those of
//! Pillow or of torchvision ([`library`]). Facts from `transformers` 4.57 and 5.24, `models/*/image_processing_*.py`
//! and `image_transforms.py`.

mod kind;
mod library;

use serde_json::{Map, Value};

use self::kind::{Kind, Side};
use self::library::Library;
use super::json::{self, Keys, labels_by_id, side};
use super::{Beside, SourceError, SourceSettings, timm};
use crate::{Centre, ColorOrder, ImageSize, Interpolation, Resize, WithOrigin};

/// Keys that this module reads, or that pixels do not depend on.
const KNOWN: [&str; 43] = [
    "_name_or_path",
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
    "do_reduce_labels",
    "do_rescale",
    "do_resize",
    "do_resize_and_center_crop",
    "feature_extractor_type",
    "image_mean",
    "image_processor_class",
    "image_processor_type",
    "image_std",
    "include_top",
    "input_data_format",
    "model_input_names",
    "model_type",
    "num_channels",
    "patch_size",
    "processor_class",
    "reduce_labels",
    "resample",
    "rescale_factor",
    "rescale_offset",
    "return_tensors",
    "size",
    "size_divisor",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_fast",
    "use_square_size",
    "video_processor_type",
];

/// The name of the file of an image processor. Keys for steps and types show that a file of another name is one.
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";

/// Reads a `preprocessor_config.json`; `None` if the object has none of its keys.
pub(super) fn preprocessor(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let object = json::object(file, bytes)?;
    let characteristic = [
        "image_processor_type",
        "feature_extractor_type",
        "do_resize",
        "do_normalize",
        "do_rescale",
    ];
    let mut is_theirs = characteristic.iter().any(|key| object.contains_key(*key));
    if file == PREPROCESSOR_CONFIG {
        // All keys have defaults, by the type of the model.
        is_theirs |= object.keys().any(|key| KNOWN.contains(&key.as_str()));
        is_theirs |= object.is_empty() && beside.names_processor();
    }
    if is_theirs {
        processor(file, &object, beside).map(Some)
    } else {
        Ok(None)
    }
}

/// Reads a `preprocessor_config.json` next to a model. One that is about something else is named.
pub(super) fn preprocessor_beside(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let settings = preprocessor(file, bytes, beside)?;
    Ok(settings.or_else(|| {
        Some(SourceSettings {
            unreadable: vec![format!(
                "{file} next to the model has no key of Hugging Face's image processors; it is not read"
            )],
            ..SourceSettings::default()
        })
    }))
}

/// Reads a `processor_config.json`; `None` if it has no image processor.
pub(super) fn processor_config(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    match json::object(file, bytes)?.get("image_processor") {
        Some(Value::Object(object)) => processor(file, object, beside).map(Some),
        _ => Ok(None),
    }
}

fn processor(
    file: &str,
    object: &Map<String, Value>,
    beside: Beside<'_>,
) -> Result<SourceSettings, SourceError> {
    if timm::is_timm(object) {
        return timm::settings(file, object, beside);
    }
    let keys = Keys { file, object };
    let (kind, is_known) = Kind::of(keys, beside)?;
    let library = &Library::of(keys, kind, beside);
    let keys = Processor {
        keys,
        kind: if library.is_torchvision || library.is_of_version_5 {
            kind.with_torchvision(library.is_of_version_5)
        } else {
            kind
        },
        is_known,
        library,
    };
    let unused = keys.reject_unknown()?;
    let (resize, size) = resize(keys)?;
    // Other processors have no such attribute.
    let flip = kind.name == "MobileViT" && keys.flag("do_flip_channel_order", true)?;
    let color = if flip {
        ColorOrder::Bgr
    } else {
        ColorOrder::Rgb
    };
    let by_flip = if flip { ": do_flip_channel_order" } else { "" };
    let (mean, scale) = normalization(keys, flip)?;
    let interpolation = interpolation(keys)?;
    let guess = (!is_known).then(|| {
        format!(
            "neither {file} nor a config.json next to it names the image processor: the rules of ViT's are used; \
             image_processor_type in {file} decides"
        )
    });
    Ok(SourceSettings {
        color: Some(WithOrigin::new(color, format!("{file}{by_flip}"))),
        mean: Some(mean),
        scale: Some(scale),
        resize: Some(resize.with_note(guess)),
        interpolation: Some(interpolation),
        size: Some(size),
        unused,
        ..SourceSettings::default()
    })
}

/// The keys of an image processor.
#[derive(Clone, Copy)]
struct Processor<'a> {
    keys: Keys<'a>,
    kind: Kind,
    /// True if the file or the model names the processor: then its defaults count.
    is_known: bool,
    library: &'a Library,
}

impl Processor<'_> {
    fn is_null(self, key: &str) -> bool {
        self.keys.object.get(key).is_some_and(Value::is_null)
    }

    /// Returns a switch; `null` is off.
    fn flag(self, key: &str, default: bool) -> Result<bool, SourceError> {
        let default = default && !self.is_null(key);
        Ok(self.keys.bool(key)?.unwrap_or(default))
    }

    /// Rejects `null` for a key that the step `switch` needs, as the library does. Version 4 with Pillow takes its
    /// default for most.
    fn need(self, key: &str, switch: &str) -> Result<(), SourceError> {
        let has_default =
            self.library.is_pillow_of_version_4() && !matches!(key, "resample" | "rescale_factor");
        if self.is_null(key) && !has_default {
            let expected = format!("a value, because {switch} is on");
            return Err(self.keys.error(key, &expected));
        }
        Ok(())
    }

    /// Rejects unknown keys that may change pixels. Returns the other unknown keys.
    fn reject_unknown(self) -> Result<Vec<String>, SourceError> {
        let mut unused = Vec::new();
        for (key, value) in self.keys.object {
            let flips = key == "do_flip_channel_order" && self.kind.name != "MobileViT";
            if KNOWN.contains(&key.as_str()) && !flips {
                continue;
            }
            if key.starts_with("do_") && *value == Value::Bool(true) && !flips {
                return Err(self.keys.error(key, "false, or a step that is known"));
            }
            unused.push(format!("{}: {key}", self.keys.file));
        }
        Ok(unused)
    }
}

/// The value of `size` or `crop_size`.
enum Size {
    Exact(ImageSize),
    Short(u32),
}

fn size_of(keys: Keys<'_>, key: &str, integer_is_short: bool) -> Result<Size, SourceError> {
    let exact = |height, width| Size::Exact(ImageSize { width, height });
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
    let sides: Map<String, Value> = sides
        .iter()
        .filter(|(_, side)| !side.is_null())
        .map(|(name, side)| (name.clone(), side.clone()))
        .collect();
    let get = |name: &str| sides.get(name).and_then(side);
    match sides.len() {
        2 => get("height")
            .zip(get("width"))
            .map(|(height, width)| Size::Exact(ImageSize { width, height })),
        1 => get("shortest_edge").map(Size::Short),
        _ => None,
    }
}

/// Returns the resize, and the size of its result.
fn resize(
    processor: Processor<'_>,
) -> Result<(WithOrigin<Resize>, WithOrigin<ImageSize>), SourceError> {
    let Processor {
        keys,
        kind,
        is_known,
        ..
    } = processor;
    let file = keys.file;
    if !processor.flag("do_resize", true)? {
        return Err(keys.error("do_resize", "true: every image has to get the model's size"));
    }
    processor.need("size", "do_resize")?;
    processor.need("resample", "do_resize")?;
    let square = |side| ImageSize {
        width: side,
        height: side,
    };
    let size = match (keys.get("size"), kind.size) {
        (None, Side::Short(short)) if is_known => Size::Short(short),
        (None, Side::Square(side)) if is_known => Size::Exact(square(side)),
        (_, default) => {
            // Siglip's default is a square, but its integers are short sides.
            let is_short = matches!(default, Side::Short(_)) || kind.name == "Siglip";
            // `null` is off. Version 4 with Pillow has no such attribute.
            let has_attribute = !processor.library.is_pillow_of_version_4();
            let is_off = has_attribute && processor.is_null("default_to_square");
            let stated = keys.bool("default_to_square")?.or(is_off.then_some(false));
            let stated = stated.filter(|_| !is_known || has_attribute);
            let is_square = stated.unwrap_or(!is_short);
            size_of(keys, "size", !is_square)?
        }
    };
    // Version 4 with torchvision has no such attribute.
    let uses_square = kind.name == "CLIP"
        && !processor.library.is_torchvision_of_version_4()
        && keys.bool("use_square_size")?.unwrap_or(false);
    let size = match (size, kind.size) {
        // Version 5 takes its own default, whatever `size` says.
        (_, Side::Short(default)) if uses_square && processor.library.is_of_version_5 => {
            Size::Exact(square(default))
        }
        (Size::Short(side), _) if uses_square => Size::Exact(square(side)),
        (size, _) => size,
    };
    let stated = |resize, by: &str, size: ImageSize| {
        (
            WithOrigin::new(resize, format!("{file}: {by}")),
            WithOrigin::new(size, format!("{file}: {by}")),
        )
    };
    let pads = if processor.library.is_torchvision {
        Centre::PadFloor
    } else {
        Centre::PadCeil
    };
    // The image is at least `side` pixels wide and high when `crop` is cut out.
    let centre = |side: u32, crop: ImageSize| {
        if side < crop.width.max(crop.height) {
            pads
        } else {
            Centre::Floor
        }
    };
    if kind.name == "ConvNext" {
        let Size::Short(side) = size else {
            return Err(keys.error("size", "shortest_edge"));
        };
        // Version 4 with Pillow has no such step.
        let crops_again = processor.library.is_torchvision || processor.library.is_of_version_5;
        if crops_again && processor.flag("do_center_crop", false)? {
            return Err(keys.error(
                "do_center_crop",
                "false: the centre is cut out by crop_pct, and another cut would move it",
            ));
        }
        if side < 384 {
            processor.need("crop_pct", "do_resize")?;
        }
        let fraction = keys.number("crop_pct")?.unwrap_or(224.0 / 256.0);
        let resize = if side < 384 {
            let short = enlarged(keys, side, fraction)?;
            let centre = if processor.library.is_torchvision_of_version_4() {
                Centre::HalfEven
            } else {
                Centre::Floor
            };
            Resize::ShortSide { short, centre }
        } else {
            Resize::Stretch
        };
        return Ok(stated(resize, "size, crop_pct", square(side)));
    }
    let ignores_crop = is_known && kind.ignores_crop(processor.library.is_pillow_of_version_4());
    let crop = if ignores_crop || !processor.flag("do_center_crop", kind.crops)? {
        None
    } else if is_known && keys.get("crop_size").is_none() {
        processor.need("crop_size", "do_center_crop")?;
        if !kind.has_crop_size() {
            let expected = "height and width, because do_center_crop is on";
            return Err(keys.error("crop_size", expected));
        }
        Some(square(kind.crop_size))
    } else {
        let Size::Exact(crop) = size_of(keys, "crop_size", false)? else {
            return Err(keys.error("crop_size", "height and width"));
        };
        Some(crop)
    };
    let fraction = match keys.number("crop_pct")? {
        _ if kind.name != "PoolFormer" => None,
        None if processor.is_null("crop_pct") => None,
        fraction => Some(fraction.unwrap_or(0.9)),
    };
    if kind.name == "Perceiver" {
        let Size::Exact(size) = size else {
            return Err(keys.error("size", "height and width"));
        };
        // The centre is cut out first, with the whole part of its sides.
        return match crop {
            None => Ok(stated(Resize::Stretch, "size", size)),
            Some(crop) => {
                let width = f64::from(size.width) / f64::from(crop.width);
                let height = f64::from(size.height) / f64::from(crop.height);
                if width > 1.0 || height > 1.0 {
                    return Err(keys.error("crop_size", "at least size"));
                }
                let centre = Centre::Floor;
                let resize = if width == height && size == square(size.width) {
                    let fraction = width;
                    Resize::Crop { fraction, centre }
                } else {
                    Resize::CropOfShortSide {
                        width,
                        height,
                        centre,
                    }
                };
                Ok(stated(resize, "size, crop_size", size))
            }
        };
    }
    match (size, crop) {
        (Size::Exact(size), None) => match fraction {
            None => Ok(stated(Resize::Stretch, "size", size)),
            Some(_) if size == square(size.width) => Err(keys.error(
                "do_center_crop",
                "true, where crop_pct keeps the shape of the image: every image has to get the model's size",
            )),
            Some(fraction) => {
                let size = ImageSize {
                    width: enlarged(keys, size.width, fraction)?,
                    height: enlarged(keys, size.height, fraction)?,
                };
                Ok(stated(Resize::Stretch, "size, crop_pct", size))
            }
        },
        (Size::Exact(size), Some(crop)) => {
            let resize = if let Some(fraction) = fraction.filter(|_| size.width == size.height) {
                let short = enlarged(keys, size.width, fraction)?;
                let centre = centre(short, crop);
                Resize::ShortSide { short, centre }
            } else if size == crop && fraction.is_none() {
                Resize::Stretch
            } else {
                let enlarged = |side| fraction.map_or(Ok(side), |f| enlarged(keys, side, f));
                let size = ImageSize {
                    width: enlarged(size.width)?,
                    height: enlarged(size.height)?,
                };
                let is_smaller = size.width < crop.width || size.height < crop.height;
                let centre = if is_smaller { pads } else { Centre::Floor };
                Resize::StretchThenCrop { size, centre }
            };
            let by = if fraction.is_some() {
                "size, crop_pct, crop_size"
            } else {
                "size, crop_size"
            };
            Ok(stated(resize, by, crop))
        }
        (Size::Short(short), Some(crop)) => {
            let short = match (kind.name, fraction) {
                // `int((256 / 224) * shortest_edge)`
                ("Levit", _) => ((256.0 / 224.0) * f64::from(short)) as u32,
                (_, Some(fraction)) => enlarged(keys, short, fraction)?,
                _ => short,
            };
            let centre = centre(short, crop);
            let resize = Resize::ShortSide { short, centre };
            Ok(stated(resize, "size, crop_size", crop))
        }
        (Size::Short(_), None) => Err(keys.error(
            "do_center_crop",
            "true, where size is the shortest_edge: every image has to get the model's size",
        )),
    }
}

/// Returns `int(side / crop_pct)`.
fn enlarged(keys: Keys<'_>, side: u32, fraction: f64) -> Result<u32, SourceError> {
    if fraction > 0.0 && fraction <= 1.0 {
        Ok((f64::from(side) / fraction) as u32)
    } else {
        Err(keys.error("crop_pct", "more than 0 and at most 1"))
    }
}

/// Returns the filter, whose number is Pillow's, with a note if the files do not state the library that resizes.
fn interpolation(processor: Processor<'_>) -> Result<WithOrigin<Interpolation>, SourceError> {
    let Processor {
        keys,
        kind,
        library,
        ..
    } = processor;
    let number = match keys.get("resample") {
        None => Some(kind.filter),
        Some(value) => value.as_u64(),
    };
    let (pillow, torchvision) = match number {
        Some(0) => (
            Interpolation::Nearest,
            Some(Interpolation::TorchvisionNearestExact),
        ),
        Some(1) => (
            Interpolation::Lanczos,
            Some(Interpolation::TorchvisionLanczos),
        ),
        Some(2) => (
            Interpolation::Bilinear,
            Some(Interpolation::TorchvisionBilinear),
        ),
        Some(3) => (
            Interpolation::Bicubic,
            Some(Interpolation::TorchvisionBicubic),
        ),
        Some(4) => (Interpolation::Box, None),
        _ => {
            return Err(keys.error(
                "resample",
                "0 (nearest), 1 (Lanczos), 2 (bilinear), 3 (bicubic) or 4 (box)",
            ));
        }
    };
    // DINOv3's divides by 255 before it resizes.
    let is_float = kind.name == "DINOv3ViT" && processor.flag("do_rescale", true)?;
    let filter = match torchvision {
        _ if !library.is_torchvision => pillow,
        Some(Interpolation::TorchvisionBilinear) if is_float => {
            Interpolation::TorchvisionBilinearF32
        }
        Some(Interpolation::TorchvisionBicubic) if is_float => Interpolation::TorchvisionBicubicF32,
        Some(Interpolation::TorchvisionLanczos) if is_float => {
            return Err(keys.error(
                "resample",
                "0 (nearest), 2 (bilinear) or 3 (bicubic), where numbers are rescaled before the resize",
            ));
        }
        Some(filter) => filter,
        None => {
            return Err(keys.error(
                "resample",
                "0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic), which torchvision has",
            ));
        }
    };
    let owner = if library.is_torchvision {
        "torchvision's"
    } else {
        "Pillow's"
    };
    let reason = library.reason.as_deref().unwrap_or_default();
    let origin = format!("{}: resample, {owner}{reason}", keys.file);
    let doubt = torchvision.filter(|_| library.reason.is_none());
    let doubt = doubt.map(|torchvision| {
        format!(
            "{} does not state which version of transformers wrote it: Pillow's {pillow} is used, as in version 4; \
             version 5 uses torchvision: `interpolation = {torchvision}`",
            keys.file
        )
    });
    Ok(WithOrigin::new(filter, origin).with_note(doubt))
}

/// Returns the mean and the scale of the steps after the resize, which are linear in each channel:
/// `factor * pixel + offset`.
fn normalization(
    processor: Processor<'_>,
    flip: bool,
) -> Result<(WithOrigin<[f32; 3]>, WithOrigin<[f32; 3]>), SourceError> {
    let Processor {
        keys,
        kind,
        is_known,
        ..
    } = processor;
    let (mut factor, mut offset) = ([1.0; 3], [0.0; 3]);
    let mut used = Vec::new();
    if processor.flag("do_rescale", true)? {
        processor.need("rescale_factor", "do_rescale")?;
        let rescale = keys.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
        if rescale == 0.0 {
            return Err(keys.error("rescale_factor", "a number that is not 0"));
        }
        factor = [rescale; 3];
        if kind.name == "EfficientNet" && processor.flag("rescale_offset", false)? {
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
    let default = kind.normalization;
    let std = || {
        keys.three("image_std")?
            .or(is_known.then(|| default.std()))
            .filter(|std| !std.contains(&0.0))
            .ok_or_else(|| keys.error("image_std", "three numbers that are not 0"))
    };
    // MobileViT never normalizes; its file is ignored.
    if kind.name != "MobileViT" && processor.flag("do_normalize", true)? {
        processor.need("image_mean", "do_normalize")?;
        processor.need("image_std", "do_normalize")?;
        let mean = keys
            .three("image_mean")?
            .or(is_known.then(|| default.mean()))
            .ok_or_else(|| keys.error("image_mean", "three numbers"))?;
        normalize(mean, std()?);
        used.extend(["image_mean", "image_std"]);
    }
    if kind.name == "EfficientNet" && processor.flag("include_top", true)? {
        normalize([0.0; 3], std()?);
        used.push("include_top");
    }
    if flip {
        factor.reverse();
        offset.reverse();
    }
    let is_fused = used == ["rescale_factor", "image_mean", "image_std"];
    let by = if used.is_empty() {
        keys.file.to_owned()
    } else {
        format!("{}: {}", keys.file, used.join(", "))
    };
    let mut mean = [0, 1, 2].map(|channel| (-offset[channel] / factor[channel]) as f32 + 0.0);
    let mut scale = factor.map(|factor| (1.0 / factor) as f32);
    if processor.library.is_torchvision && is_fused {
        // torch multiplies in f32.
        let levels = (1.0 / keys.number("rescale_factor")?.unwrap_or(1.0 / 255.0)) as f32;
        let stated = keys.three("image_mean")?.unwrap_or(default.mean());
        mean = stated.map(|mean| mean as f32 * levels);
        scale = std()?.map(|std| std as f32 * levels);
    }
    Ok((
        WithOrigin::new(mean, by.clone()),
        WithOrigin::new(scale, by),
    ))
}

/// Reads the labels of a `config.json`; `None` if it has none of a classifier's keys.
pub(super) fn config(
    file: &str,
    object: &Map<String, Value>,
    beside: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let keys = Keys { file, object };
    let labels = if beside.reads_labels {
        labels_by_id(keys, "id2label")?
    } else {
        None
    };
    let multi_label = multi_label(keys)?;
    Ok(
        (labels.is_some() || multi_label.is_some()).then(|| SourceSettings {
            labels,
            multi_label,
            ..SourceSettings::default()
        }),
    )
}

/// Reads `problem_type`, which states whether several classes may be right.
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
mod expected;
#[cfg(test)]
mod expected_torchvision;
#[cfg(test)]
mod tests;
