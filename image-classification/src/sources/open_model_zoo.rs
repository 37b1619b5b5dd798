//! Open Model Zoo's `model.yml`.
//!
//! It states how the zoo's converter turns the original model into an IR: the mean, the scale and the order of the
//! channels
//! go into the graph, as [`embedded`](super::embedded) finds them there. Only the original takes the values of the
//! file.
//! Means are in the order of the original's channels.

use serde::Deserialize;

use super::embedded::numbers;
use super::{Beside, SourceError, SourceSettings, unsupported};
use crate::{ColorOrder, ImageLayout, ImageSize, Interpolation, Resize, WithOrigin};

#[derive(Deserialize)]
struct Description {
    task_type: Option<String>,
    #[serde(default)]
    input_info: Vec<Input>,
    #[serde(default)]
    model_optimizer_args: Vec<String>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    shape: Vec<i64>,
    layout: Option<String>,
}

/// Reads a `model.yml`, the preprocessing of the original model.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    _: Beside<'_>,
) -> Result<Option<SourceSettings>, SourceError> {
    let malformed = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Malformed {
        file: file.to_owned(),
        expected: "YAML as Open Model Zoo writes it",
        source,
    };
    let text = std::str::from_utf8(bytes).map_err(|source| malformed(source.into()))?;
    let model: Description =
        serde_saphyr::from_str(text).map_err(|source| malformed(source.into()))?;
    let task = match model.task_type {
        // Somebody else's model.yml.
        None if model.model_optimizer_args.is_empty() && model.input_info.is_empty() => {
            return Ok(None);
        }
        task => task.unwrap_or_else(|| "classification".to_owned()),
    };
    if task != "classification" {
        return Err(unsupported(file, "task_type", task, "classification"));
    }
    let (mut color, mut mean, mut scale) = (ColorOrder::Bgr, [0.0; 3], [1.0; 3]);
    for argument in &model.model_optimizer_args {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        match name {
            "--reverse_input_channels" => color = ColorOrder::Rgb,
            "--mean_values" => mean = numbers(file, name, value)?,
            "--scale_values" | "--scale" | "-s" => scale = numbers(file, name, value)?,
            _ => {}
        }
    }
    if scale.contains(&0.0) {
        return Err(unsupported(
            file,
            "--scale_values",
            "0",
            "numbers that are not 0",
        ));
    }
    let by = format!("{file}: model_optimizer_args");
    let layout = match model
        .input_info
        .first()
        .and_then(|input| input.layout.as_deref())
    {
        None => None,
        Some(text) => Some(
            text.parse::<ImageLayout>()
                .map_err(|expected| unsupported(file, "layout", text, expected))?,
        ),
    };
    let size = layout.and_then(|layout| {
        let shape = &model.input_info.first()?.shape;
        let [_, a, b, c] = shape[..] else {
            return None;
        };
        let (height, width) = match layout {
            ImageLayout::Nchw => (b, c),
            ImageLayout::Nhwc => (a, b),
        };
        let side = |side| u32::try_from(side).ok().filter(|&side| side > 0);
        Some(ImageSize {
            width: side(width)?,
            height: side(height)?,
        })
    });
    Ok(Some(SourceSettings {
        color: Some(WithOrigin::new(color, by.clone())),
        mean: Some(WithOrigin::new(mean, by.clone())),
        scale: Some(WithOrigin::new(scale, by)),
        resize: Some(WithOrigin::new(
            Resize::Stretch,
            format!("{file}: as Open Model Zoo's demos"),
        )),
        interpolation: Some(WithOrigin::new(
            Interpolation::OpencvLinear,
            format!("{file}: as Open Model Zoo's demos"),
        )),
        size: size.map(|size| WithOrigin::new(size, format!("{file}: input_info"))),
        // The converter may have changed it; the model decides.
        ..SourceSettings::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESNET: &str = "\
description: >-
  A residual network.
task_type: classification
files:
  - name: resnet.pth
    size: 1
    source: $dl_dir
input_info:
  - name: data
    shape: [1, 3, 224, 192]
    layout: NCHW
model_optimizer_args:
  - --input_shape=[1,3,224,192]
  - --mean_values=data[123.675,116.28,103.53]
  - --scale_values=data[58.395,57.12,57.375]
  - --reverse_input_channels
  - --output=prob
framework: pytorch
";

    #[test]
    fn the_original_takes_what_the_converter_puts_into_the_graph() {
        let settings = read("model.yml", RESNET.as_bytes(), Beside::ALONE)
            .unwrap()
            .unwrap();
        assert_eq!(settings.color.unwrap().value, ColorOrder::Rgb);
        assert_eq!(settings.mean.unwrap().value, [123.675, 116.28, 103.53]);
        assert_eq!(settings.scale.unwrap().value, [58.395, 57.12, 57.375]);
        assert_eq!(settings.size.unwrap().value.to_string(), "192 x 224");
    }

    #[test]
    fn other_tasks_and_other_files() {
        let other = RESNET.replace("classification", "detection");
        let error = read("model.yml", other.as_bytes(), Beside::ALONE).unwrap_err();
        assert!(error.to_string().contains("detection"), "{error}");
        assert_eq!(
            read("model.yml", b"port: 80\n", Beside::ALONE).unwrap(),
            None
        );
        let error = read(
            "model.yml",
            RESNET.replace("58.395", "x").as_bytes(),
            Beside::ALONE,
        )
        .unwrap_err();
        assert!(error.to_string().contains("--scale_values"), "{error}");
        assert!(read("model.yml", b"a: [", Beside::ALONE).is_err());
        // Aliases that would expand to gigabytes.
        let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
        bomb.extend((1..12).map(|level| {
            let previous = format!("*a{}, ", level - 1).repeat(10);
            format!("a{level}: &a{level} [{previous}]")
        }));
        let bomb = bomb.join("\n");
        assert!(!matches!(
            read("model.yml", bomb.as_bytes(), Beside::ALONE),
            Ok(Some(_))
        ));
    }
}
