//! Intel Model API's keys.
//!
//! Encodings (`models/types.py` there): a boolean is true iff it is `YES` or `True`; lists are
//! separated by white space, so that labels have `_` where the name has a blank.
//!
//! Two keys are ours, because Model API has no words for them: `crop_fraction`, the part of the
//! short side that `resize_type = crop` takes, and `resampler` (`opencv` or `pillow`), whose pixels
//! `interpolation_mode` means.

use std::collections::BTreeMap;

use super::MetadataError;
use crate::{ColorOrder, Interpolation, Labels, Preprocess, Resize};

/// What a model's `model_info` says. Every part may be absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelInfo {
    /// The preprocessing, if any key about it is there. Keys that are absent have Model API's
    /// defaults, which are those of OpenVINO's samples.
    pub preprocess: Option<Preprocess>,
    /// The names of the classes.
    pub labels: Option<Labels>,
}

const PREPROCESSING_KEYS: [&str; 8] = [
    "mean_values",
    "scale_values",
    "reverse_input_channels",
    "resize_type",
    "interpolation_mode",
    "pad_value",
    "crop_fraction",
    "resampler",
];

impl ModelInfo {
    /// Interprets the entries that [`read`](super::read) found.
    ///
    /// # Errors
    ///
    /// [`MetadataError::Value`], naming the key, for a value that is not understood or that asks
    /// for what this crate does not do.
    pub fn from_entries(entries: &BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let get = |key: &str| entries.get(key).map(|value| value.trim());
        let described = PREPROCESSING_KEYS.iter().any(|key| get(key).is_some());
        let labels = get("labels")
            .filter(|labels| !labels.is_empty())
            .map(|labels| {
                Labels::from_names(labels.split_whitespace().map(str::to_owned).collect())
            });
        Ok(Self {
            preprocess: described.then(|| preprocess(&get)).transpose()?,
            labels,
        })
    }
}

fn preprocess<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Preprocess, MetadataError> {
    let color = match get("reverse_input_channels") {
        Some("YES" | "True") => ColorOrder::Rgb,
        _ => ColorOrder::Bgr,
    };
    let pad = match get("pad_value") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| value("pad_value", text, "a number from 0 to 255"))?,
    };
    let fraction = match get("crop_fraction") {
        None => 1.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|fraction| *fraction > 0.0 && *fraction <= 1.0)
            .ok_or_else(|| value("crop_fraction", text, "a number above 0 and at most 1"))?,
    };
    let resize = match get("resize_type") {
        None | Some("standard") => Resize::Stretch,
        Some("crop") => Resize::Crop { fraction },
        Some("fit_to_window_letterbox") => Resize::Letterbox { pad },
        Some(other) => {
            return Err(value(
                "resize_type",
                other,
                "standard, crop or fit_to_window_letterbox",
            ));
        }
    };
    let pillow = match get("resampler") {
        None | Some("opencv") => false,
        Some("pillow") => true,
        Some(other) => return Err(value("resampler", other, "opencv or pillow")),
    };
    let interpolation = match (get("interpolation_mode"), pillow) {
        (None | Some("LINEAR"), false) => Interpolation::OpencvLinear,
        (None | Some("LINEAR"), true) => Interpolation::Bilinear,
        (Some("CUBIC"), true) => Interpolation::Bicubic,
        (Some("NEAREST"), true) => Interpolation::Nearest,
        (Some(other), _) => {
            return Err(value(
                "interpolation_mode",
                other,
                "LINEAR, or with resampler = pillow also CUBIC or NEAREST",
            ));
        }
    };
    Ok(Preprocess {
        color,
        mean: three("mean_values", get("mean_values"), 0.0)?,
        scale: three("scale_values", get("scale_values"), 1.0)?,
        resize,
        interpolation,
    })
}

/// One number for each channel, or one for all of them. An empty list is the default.
fn three(key: &'static str, text: Option<&str>, default: f32) -> Result<[f32; 3], MetadataError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok([default; 3]);
    };
    let numbers: Option<Vec<f32>> = text
        .split_whitespace()
        .map(|number| {
            number
                .parse()
                .ok()
                .filter(|number: &f32| number.is_finite())
        })
        .collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[a, b, c]) => Ok([a, b, c]),
        _ => Err(value(key, text, "three numbers separated by blanks")),
    }
}

fn value(key: &'static str, value: &str, expected: &'static str) -> MetadataError {
    // A hostile value can be megabytes long.
    MetadataError::Value {
        key,
        value: value.chars().take(200).collect(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(entries: &[(&str, &str)]) -> Result<ModelInfo, MetadataError> {
        let entries = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        ModelInfo::from_entries(&entries)
    }

    #[test]
    fn a_full_recipe() {
        let info = info(&[
            ("mean_values", "127 127 127"),
            ("scale_values", "128"),
            ("reverse_input_channels", "YES"),
            ("resize_type", "crop"),
            ("crop_fraction", "0.875"),
            ("interpolation_mode", "CUBIC"),
            ("resampler", "pillow"),
            ("labels", "a b_c"),
        ])
        .unwrap();
        assert_eq!(
            info.preprocess,
            Some(Preprocess {
                color: ColorOrder::Rgb,
                mean: [127.0; 3],
                scale: [128.0; 3],
                resize: Resize::Crop { fraction: 0.875 },
                interpolation: Interpolation::Bicubic,
            })
        );
        assert_eq!(info.labels.unwrap().get(1), Some("b_c"));
    }

    #[test]
    fn absent_keys_have_the_samples_values() {
        assert_eq!(
            info(&[("model_type", "Classification")]).unwrap(),
            ModelInfo::default()
        );
        let some = info(&[("resize_type", "standard")]).unwrap();
        assert_eq!(some.preprocess, Some(Preprocess::OPENVINO_SAMPLE));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (key, text) in [
            ("resize_type", "fit_to_window"),
            ("interpolation_mode", "CUBIC"),
            ("mean_values", "1 2"),
            ("scale_values", "1 2 nan"),
            ("pad_value", "256"),
            ("crop_fraction", "0"),
            ("resampler", "tf"),
        ] {
            let error = info(&[(key, text)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(text), "{error}");
        }
    }
}
