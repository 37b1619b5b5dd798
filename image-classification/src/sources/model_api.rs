//! Intel Model API's keys.
//!
//! Encodings (`models/types.py` there): a boolean is true iff it is `YES` or `True`; lists are
//! separated by white space, so labels have `_` where the name has a blank. A key that is absent
//! has the default of `models/parameters.py`.
//!
//! Two keys are extensions of this project, because Model API has no keys for them: `crop_fraction`, the part of the
//! short side that `resize_type = crop` takes, and `resampler` (`opencv` or `pillow`), whose pixels
//! `interpolation_mode` means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backend_api::ErrorKind;
use model_file::file_beside;

use super::{MOST_CONFIG_BYTES, SourceError, SourceSettings, read_limited, unsupported};
use crate::{Centre, ColorOrder, ImageLayout, Interpolation, Labels, Resize, WithOrigin};

/// The name of the source in error messages.
const MODEL_INFO: &str = "the model's model_info";

/// Keys that this module reads.
const READ: [&str; 18] = [
    "crop_fraction",
    "embedded_processing",
    "hierarchical",
    "input_dtype",
    "interpolation_mode",
    "intensity_mode",
    "labels",
    "layout",
    "mean_values",
    "model_type",
    "multilabel",
    "pad_value",
    "path_to_labels",
    "resampler",
    "resize_type",
    "reverse_input_channels",
    "scale_values",
    "task_type",
];

/// Any of these shows that the model describes its preprocessing.
const PREPROCESSING: [&str; 8] = [
    "mean_values",
    "scale_values",
    "reverse_input_channels",
    "resize_type",
    "interpolation_mode",
    "pad_value",
    "crop_fraction",
    "resampler",
];

#[derive(Clone, Copy)]
struct Entries<'a>(&'a BTreeMap<String, String>);

impl<'a> Entries<'a> {
    /// Returns the value of `key`. An empty text and Python's `None` are as good as absent.
    fn get(self, key: &str) -> Option<&'a str> {
        self.0
            .get(key)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty() && *value != "None")
    }

    fn is_true(self, key: &str) -> bool {
        matches!(self.get(key), Some("YES" | "True"))
    }

    fn error(self, key: &str, expected: &str) -> SourceError {
        unsupported(MODEL_INFO, key, self.get(key).unwrap_or_default(), expected)
    }

    /// Returns `value`, stated by `key` or by its default.
    fn stated<T>(self, key: &str, value: T) -> WithOrigin<T> {
        let by = if self.get(key).is_some() {
            format!("model_info: {key}")
        } else {
            format!("model_info: default of {key}")
        };
        WithOrigin::new(value, by)
    }

    /// Does [`stated`](Self::stated), by the key `also` as well if it is there.
    fn stated_with<T>(self, key: &str, also: &str, value: T) -> WithOrigin<T> {
        let mut stated = self.stated(key, value);
        if self.get(also).is_some() {
            stated.origin = format!("{}, {also}", stated.origin).into();
        }
        stated
    }

    /// Reads one number for each channel, or one for all of them.
    fn three(self, key: &str, default: f32) -> Result<WithOrigin<[f32; 3]>, SourceError> {
        let Some(text) = self.get(key) else {
            return Ok(self.stated(key, [default; 3]));
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
            Some(&[all]) => Ok(self.stated(key, [all; 3])),
            Some(&[a, b, c]) => Ok(self.stated(key, [a, b, c])),
            _ => Err(self.error(key, "three numbers separated by blanks")),
        }
    }
}

/// Interprets the entries of `model`; `path_to_labels` is relative to its directory. No files are next to a model in
/// memory. Labels are not read if `reads_labels` is false.
pub(super) fn settings(
    entries: &BTreeMap<String, String>,
    model: Option<&Path>,
    reads_labels: bool,
) -> Result<SourceSettings, SourceError> {
    let entries = Entries(entries);
    check_supported(entries)?;
    let mut settings = if PREPROCESSING.iter().any(|key| entries.get(key).is_some()) {
        pixels(entries)?
    } else {
        SourceSettings::default()
    };
    settings.layout = layout(entries)?;
    if reads_labels {
        settings.labels = labels(entries, model)?;
    }
    settings.multi_label = entries
        .is_true("multilabel")
        .then(|| entries.stated("multilabel", true));
    let is_left_out = |key: &str| key == "path_to_labels" && model.is_none();
    settings.unused = entries
        .0
        .keys()
        .filter(|key| !READ.contains(&key.as_str()) || is_left_out(key))
        .map(|key| format!("model_info: {key}"))
        .collect();
    Ok(settings)
}

/// Rejects unsupported keys that would change the answer.
fn check_supported(entries: Entries<'_>) -> Result<(), SourceError> {
    if let Some(kind) = entries.get("model_type")
        && !kind.eq_ignore_ascii_case("classification")
    {
        return Err(entries.error("model_type", "Classification"));
    }
    if let Some(task) = entries.get("task_type")
        && !task.to_ascii_lowercase().contains("classification")
    {
        return Err(entries.error("task_type", "classification"));
    }
    if entries.is_true("embedded_processing") {
        let expected = "False: a model that resizes by itself takes images of any size";
        return Err(entries.error("embedded_processing", expected));
    }
    if entries.is_true("hierarchical") {
        return Err(entries.error("hierarchical", "False: one list of classes"));
    }
    if !matches!(entries.get("input_dtype"), None | Some("u8" | "f32")) {
        return Err(entries.error("input_dtype", "u8 or f32"));
    }
    if !matches!(entries.get("intensity_mode"), None | Some("none" | "NONE")) {
        return Err(entries.error("intensity_mode", "none"));
    }
    Ok(())
}

fn pixels(entries: Entries<'_>) -> Result<SourceSettings, SourceError> {
    // Model API starts from BGR images.
    let color = if entries.is_true("reverse_input_channels") {
        ColorOrder::Rgb
    } else {
        ColorOrder::Bgr
    };
    let scale = entries.three("scale_values", 1.0)?;
    if scale.value.contains(&0.0) {
        return Err(entries.error("scale_values", "numbers that are not 0"));
    }
    let resize = resize(entries)?;
    Ok(SourceSettings {
        color: Some(entries.stated("reverse_input_channels", color)),
        mean: Some(entries.three("mean_values", 0.0)?),
        scale: Some(scale),
        // For other inputs, Model API 0.4.7 crops to the ratio of the height to the width.
        resize_is_for_squares: matches!(
            resize.value,
            Resize::Crop {
                centre: Centre::Floor,
                ..
            }
        ),
        resize: Some(resize),
        interpolation: Some(interpolation(entries)?),
        ..SourceSettings::default()
    })
}

fn resize(entries: Entries<'_>) -> Result<WithOrigin<Resize>, SourceError> {
    let pad = match entries.get("pad_value") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| entries.error("pad_value", "a number from 0 to 255"))?,
    };
    let fraction = match entries.get("crop_fraction") {
        None => 1.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|fraction| *fraction > 0.0 && *fraction <= 1.0)
            .ok_or_else(|| entries.error("crop_fraction", "a number above 0 and at most 1"))?,
    };
    let resize = match entries.get("resize_type") {
        None | Some("standard") => Resize::Stretch,
        Some("crop") => Resize::Crop {
            fraction,
            // Model API rounds down; `crop_fraction` states EfficientNet's crop.
            centre: match entries.get("crop_fraction") {
                None => Centre::Floor,
                Some(_) => Centre::Ceil,
            },
        },
        Some("fit_to_window") => Resize::Letterbox {
            pad,
            centred: false,
        },
        Some("fit_to_window_letterbox") => Resize::Letterbox { pad, centred: true },
        Some(_) => {
            let expected = "standard, crop, fit_to_window or fit_to_window_letterbox";
            return Err(entries.error("resize_type", expected));
        }
    };
    Ok(match resize {
        Resize::Crop { .. } => entries.stated_with("resize_type", "crop_fraction", resize),
        Resize::Letterbox { .. } => entries.stated_with("resize_type", "pad_value", resize),
        _ => entries.stated("resize_type", resize),
    })
}

fn interpolation(entries: Entries<'_>) -> Result<WithOrigin<Interpolation>, SourceError> {
    let pillow = match entries.get("resampler") {
        None | Some("opencv") => false,
        Some("pillow") => true,
        Some(_) => return Err(entries.error("resampler", "opencv or pillow")),
    };
    let interpolation = match (entries.get("interpolation_mode"), pillow) {
        (None | Some("LINEAR"), false) => Interpolation::OpencvLinear,
        (None | Some("LINEAR"), true) => Interpolation::Bilinear,
        (Some("CUBIC"), true) => Interpolation::Bicubic,
        (Some("NEAREST"), true) => Interpolation::Nearest,
        _ => {
            let expected = "LINEAR, or with resampler = pillow also CUBIC or NEAREST";
            return Err(entries.error("interpolation_mode", expected));
        }
    };
    Ok(entries.stated_with("interpolation_mode", "resampler", interpolation))
}

/// Reads `NCHW`, or for a named input `input:NCHW`.
fn layout(entries: Entries<'_>) -> Result<Option<WithOrigin<ImageLayout>>, SourceError> {
    let Some(text) = entries.get("layout") else {
        return Ok(None);
    };
    let name = text.rsplit(':').next().unwrap_or(text);
    let layout = name
        .parse()
        .map_err(|expected| entries.error("layout", expected))?;
    Ok(Some(entries.stated("layout", layout)))
}

fn labels(
    entries: Entries<'_>,
    model: Option<&Path>,
) -> Result<Option<WithOrigin<Labels>>, SourceError> {
    if let Some(labels) = entries.get("labels") {
        // Spaces separate the labels; those inside of a label are written as underscores.
        let labels = labels.split_whitespace();
        let labels = labels.map(|label| label.replace('_', " ")).collect();
        return Ok(Some(entries.stated("labels", Labels::from_names(labels))));
    }
    let Some(model) = model else {
        return Ok(None);
    };
    let Some(file) = labels_file(entries.0, model)? else {
        return Ok(None);
    };
    let bytes = read_limited(&file, MOST_CONFIG_BYTES)?;
    let labels = Labels::parse(&bytes).map_err(|source| SourceError::Malformed {
        file: entries.get("path_to_labels").unwrap_or_default().to_owned(),
        expected: "a list of labels",
        source: source.into(),
    })?;
    Ok(Some(entries.stated("path_to_labels", labels)))
}

/// Returns the file that `path_to_labels` names.
pub(super) fn labels_file(
    entries: &BTreeMap<String, String>,
    model: &Path,
) -> Result<Option<PathBuf>, SourceError> {
    let entries = Entries(entries);
    let Some(path) = entries.get("path_to_labels") else {
        return Ok(None);
    };
    file_beside(model, path).map(Some).map_err(|error| {
        // Without its labels the rest would be right, but the gap would be silent.
        entries.error(
            "path_to_labels",
            match error.kind() {
                ErrorKind::ModelInvalid => "a file in the model's directory",
                _ => "a readable file in the model's directory",
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(entries: &[(&str, &str)]) -> Result<SourceSettings, SourceError> {
        let entries = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        settings(&entries, Some(Path::new("m.onnx")), true)
    }

    #[test]
    fn a_full_recipe() {
        let settings = settings_of(&[
            ("mean_values", "127 127 127"),
            ("scale_values", "128"),
            ("reverse_input_channels", "YES"),
            ("resize_type", "crop"),
            ("crop_fraction", "0.875"),
            ("interpolation_mode", "CUBIC"),
            ("resampler", "pillow"),
            ("layout", "input:NCHW"),
            ("labels", "a b_c"),
            ("topk", "5"),
        ])
        .unwrap();
        let mean = settings.mean.unwrap();
        assert_eq!(
            (mean.value, mean.origin.to_string().as_str()),
            ([127.0; 3], "model_info: mean_values")
        );
        assert_eq!(settings.color.unwrap().value, ColorOrder::Rgb);
        assert_eq!(settings.scale.unwrap().value, [128.0; 3]);
        assert_eq!(settings.resize.unwrap().value.to_string(), "crop:0.875");
        assert_eq!(
            settings.interpolation.unwrap().value,
            Interpolation::Bicubic
        );
        assert_eq!(settings.layout.unwrap().value, ImageLayout::Nchw);
        assert_eq!(settings.labels.unwrap().value.get(1), Some("b c"));
        assert_eq!(settings.unused, ["model_info: topk"]);
    }

    #[test]
    fn absent_keys_have_model_apis_defaults() {
        let nothing = settings_of(&[("model_type", "Classification")]).unwrap();
        assert!(nothing.color.is_none() && nothing.resize.is_none());
        let some = settings_of(&[("resize_type", "fit_to_window"), ("pad_value", "114")]).unwrap();
        assert_eq!(some.resize.unwrap().value.to_string(), "fit:114");
        let crop = settings_of(&[("resize_type", "crop")]).unwrap();
        assert_eq!(crop.resize.unwrap().value.to_string(), "crop:1:floor");
        let color = some.color.unwrap();
        assert_eq!(
            (color.value, color.origin.to_string().as_str()),
            (
                ColorOrder::Bgr,
                "model_info: default of reverse_input_channels"
            )
        );
        assert_eq!(
            some.interpolation.unwrap().value,
            Interpolation::OpencvLinear
        );
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (key, text) in [
            ("resize_type", "squash"),
            ("interpolation_mode", "CUBIC"),
            ("mean_values", "1 2"),
            ("scale_values", "1 2 nan"),
            ("scale_values", "1 0 1"),
            ("pad_value", "256"),
            ("crop_fraction", "0"),
            ("resampler", "tf"),
            ("layout", "CHW"),
            ("model_type", "SSD"),
            ("embedded_processing", "YES"),
            ("hierarchical", "True"),
            ("input_dtype", "u16"),
            ("intensity_mode", "window"),
            ("path_to_labels", "../secret"),
            ("path_to_labels", "/etc/passwd"),
        ] {
            let error = settings_of(&[(key, text)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(text), "{error}");
        }
        assert!(
            settings_of(&[("multilabel", "True")])
                .unwrap()
                .multi_label
                .unwrap()
                .value
        );
    }

    #[test]
    fn underscores_in_labels_stand_for_spaces() {
        let entries = [("labels".to_owned(), "tabby,_tabby_cat dog".to_owned())].into();
        let labels = settings(&entries, None, true).unwrap().labels.unwrap();
        assert_eq!(labels.value.get(0), Some("tabby, tabby cat"));
        assert_eq!(labels.value.get(1), Some("dog"));
    }

    #[test]
    fn labels_may_lie_in_a_file_beside_the_model() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("names.txt"),
            "0 tench, Tinca\n1 goldfish\n",
        )
        .unwrap();
        let model = directory.path().join("m.xml");
        let settings_of = |path: &str| {
            let entries = [("path_to_labels".to_owned(), path.to_owned())].into();
            settings(&entries, Some(&model), true)
        };
        let labels = settings_of("names.txt").unwrap().labels.unwrap();
        assert_eq!(labels.value.get(0), Some("tench, Tinca"));
        let error = settings_of("none.txt").unwrap_err();
        assert!(
            error.is_unsupported() && error.to_string().contains("none.txt"),
            "{error}"
        );
        #[cfg(unix)]
        {
            let other = tempfile::tempdir().unwrap();
            let secret = other.path().join("secret");
            std::fs::write(&secret, "a\nb\n").unwrap();
            std::os::unix::fs::symlink(&secret, directory.path().join("link.txt")).unwrap();
            let error = settings_of("link.txt").unwrap_err().to_string();
            assert!(
                error.contains("link.txt") && error.contains("directory"),
                "{error}"
            );
        }
    }
}
