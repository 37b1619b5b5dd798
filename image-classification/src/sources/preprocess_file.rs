//! A preprocessing file in this project's own notation.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

use super::{Beside, SourceError, SourceSettings, unsupported};
use crate::{ImageSize, Labels, WithOrigin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preprocessing {
    /// An editor's hint.
    #[serde(rename = "$schema")]
    _schema: Option<String>,
    color: Option<String>,
    mean: Option<Numbers>,
    scale: Option<Numbers>,
    resize: Option<String>,
    interpolation: Option<String>,
    /// Height, width.
    size: Option<[u32; 2]>,
    layout: Option<String>,
    labels: Option<Value>,
}

/// One number for each channel, or one for all of them.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Numbers {
    Each([f32; 3]),
    One([f32; 1]),
    All(f32),
}

impl From<Numbers> for [f32; 3] {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Each(values) => values,
            Numbers::One([all]) | Numbers::All(all) => [all; 3],
        }
    }
}

/// The JSON of an inspection by the command line, which has the preprocessing under a separate key.
#[derive(Deserialize)]
struct Inspected {
    preprocess: Preprocessing,
}

pub(super) fn read(
    file: &str,
    bytes: &[u8],
    beside: Beside<'_>,
) -> Result<SourceSettings, SourceError> {
    let settings: Preprocessing = serde_json::from_slice(bytes)
        .map(|inspected: Inspected| inspected.preprocess)
        .or_else(|_| serde_json::from_slice(bytes))
        .map_err(|source| SourceError::Malformed {
            file: file.to_owned(),
            expected: "a preprocessing file: a JSON object with color, mean, scale, resize, \
                       interpolation, size, layout or labels; or a preprocessor_config.json, \
                       timm's config.json or Open Model Zoo's model.yml",
            source: source.into(),
        })?;
    let by = |key: &str| format!("{file}: {key}");
    let (mean, scale) = (
        settings.mean.map(<[f32; 3]>::from),
        settings.scale.map(<[f32; 3]>::from),
    );
    if scale.is_some_and(|scale| scale.contains(&0.0)) {
        return Err(unsupported(file, "scale", "0", "numbers that are not 0"));
    }
    let labels = settings
        .labels
        .filter(|_| beside.reads_labels)
        .map(|labels| Labels::from_json(&labels))
        .transpose()
        .map_err(|_| {
            unsupported(
                file,
                "labels",
                "…",
                "a list of names, or a map from class ids to names",
            )
        })?;
    Ok(SourceSettings {
        color: parsed(file, "color", settings.color)?,
        mean: mean.map(|mean| WithOrigin::new(mean, by("mean"))),
        scale: scale.map(|scale| WithOrigin::new(scale, by("scale"))),
        resize: parsed(file, "resize", settings.resize)?,
        interpolation: parsed(file, "interpolation", settings.interpolation)?,
        size: settings
            .size
            .map(|[height, width]| WithOrigin::new(ImageSize { width, height }, by("size"))),
        layout: parsed(file, "layout", settings.layout)?,
        labels: labels.map(|labels| WithOrigin::new(labels, by("labels"))),
        ..SourceSettings::default()
    })
}

fn parsed<T: FromStr<Err = &'static str>>(
    file: &str,
    key: &str,
    text: Option<String>,
) -> Result<Option<WithOrigin<T>>, SourceError> {
    text.map(|text| {
        let value = text
            .parse()
            .map_err(|expected| unsupported(file, key, &text, expected))?;
        Ok(WithOrigin::new(value, format!("{file}: {key}")))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColorOrder;

    #[test]
    fn every_key_may_be_absent_and_none_may_be_unknown() {
        let settings = read(
            "p.json",
            br#"{"color": "rgb", "mean": [1, 2, 3], "resize": "short:256:floor", "size": [224, 192], "labels": ["a", "b"]}"#,
            Beside::ALONE,
        )
        .unwrap();
        assert_eq!(
            settings.resize.unwrap().value.to_string(),
            "short:256:floor"
        );
        assert_eq!(settings.size.unwrap().value.to_string(), "192 x 224");
        assert_eq!(settings.labels.unwrap().value.len(), 2);
        assert_eq!(settings.scale, None);
        let grey = br#"{"color": "gray", "mean": 127.5, "scale": [64]}"#;
        let settings = read("p.json", grey, Beside::ALONE).unwrap();
        assert_eq!(settings.color.unwrap().value, ColorOrder::Grey);
        assert_eq!(settings.mean.unwrap().value, [127.5; 3]);
        assert_eq!(settings.scale.unwrap().value, [64.0; 3]);
        let inspected = read(
            "p.json",
            br#"{"schema_version": 1, "preprocess": {"color": "bgr"}}"#,
            Beside::ALONE,
        );
        assert!(inspected.unwrap().color.is_some());
        for (text, expected) in [
            (r#"{"colour": "rgb"}"#, "preprocessing file"),
            (r#"{"color": "yuv"}"#, "expected rgb, bgr or grey"),
            (r#"{"resize": "squash"}"#, "short:256"),
            (r#"{"scale": [1, 0, 1]}"#, "not 0"),
        ] {
            let error = read("p.json", text.as_bytes(), Beside::ALONE)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
    #[test]
    fn labels_of_the_caller_replace_unreadable_ones() {
        let text = br#"{"color": "rgb", "labels": {"0": "a", "2": "b"}}"#;
        let error = read("p.json", text, Beside::ALONE).unwrap_err().to_string();
        assert!(error.contains("labels"), "{error}");
        let beside = Beside {
            reads_labels: false,
            ..Beside::ALONE
        };
        let settings = read("p.json", text, beside).unwrap();
        assert!(settings.color.is_some() && settings.labels.is_none());
    }
}
