//! Preprocessing that a converter put into an IR.
//!
//! The files next to an IR describe the original model. Steps in the IR's graph must not be done again.

use backend_api::ModelSource;
use model_file::ir::{Graph, Layer};

use super::{SourceError, SourceSettings, unsupported};
use crate::{ColorOrder, WithOrigin};

/// The preprocessing in a model's own graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Embedded {
    /// The evidence: `conversion_parameters`.
    pub by: String,
    /// The mean that is subtracted, in the order of the original's channels.
    pub mean: Option<[f32; 3]>,
    /// The divisor; `None` if it is not visible.
    pub scale: Option<[f32; 3]>,
    /// True if the order of the channels is reversed; `None` if it is not visible.
    pub reverse: Option<bool>,
    /// True if the converter's metadata states all of this; false if it is derived from the graph.
    pub stated: bool,
}

impl Embedded {
    /// Returns the preprocessing that images still need, if a file states `original` for the original model.
    ///
    /// # Errors
    ///
    /// [`SourceError::Value`] if the file and the converter state different means or scales.
    pub fn remaining(
        &self,
        file: &str,
        original: &SourceSettings,
    ) -> Result<SourceSettings, SourceError> {
        let mean = original.mean.as_ref().map(|stated| stated.value);
        let scale = original.scale.as_ref().map(|stated| stated.value);
        let mut reverse = self.reverse.unwrap_or(false);
        let mut normalizes = self.mean.is_some() || self.scale.is_some();
        if let Some((mean, scale)) = mean.zip(scale)
            && normalizes
        {
            let here = (
                self.mean.unwrap_or([0.0; 3]),
                self.scale.unwrap_or([1.0; 3]),
            );
            if self.stated {
                if !near(here.0, mean) || !near(here.1, scale) {
                    return Err(unsupported(
                        file,
                        "mean and scale",
                        format!(
                            "{} and {}",
                            crate::setting::three(&mean),
                            crate::setting::three(&scale)
                        ),
                        format!(
                            "the {} and {} that the model's {} put into its graph, or none",
                            crate::setting::three(&here.0),
                            crate::setting::three(&here.1),
                            self.by
                        ),
                    ));
                }
            } else {
                // A graph may begin with any subtraction; the same numbers are no coincidence. The scale is often
                // fused into the next layer, and so is the order of the channels, which the order of the mean shows.
                // Without a subtraction, the scale must be equal.
                let (here, stated, nothing) = if self.mean.is_none() || mean == [0.0; 3] {
                    let nothing_else = near(here.0, mean);
                    (here.1, scale, if nothing_else { [1.0; 3] } else { scale })
                } else {
                    (here.0, mean, [0.0; 3])
                };
                let reversed = [here[2], here[1], here[0]];
                reverse = !near(here, stated) && near(reversed, stated);
                normalizes = stated != nothing && (near(here, stated) || reverse);
            }
        } else if !self.stated {
            normalizes = false;
        }
        let itself = format!("{}: the model's graph does that itself", self.by);
        let reverses = format!("{}: the model's graph reverses the channels", self.by);
        let is_reversed = reverse && (self.stated || normalizes);
        let color = original.color.as_ref().filter(|_| is_reversed);
        let other = |color| match color {
            ColorOrder::Rgb => ColorOrder::Bgr,
            ColorOrder::Bgr => ColorOrder::Rgb,
            ColorOrder::Grey => ColorOrder::Grey,
        };
        // The remaining steps use the channel order of the model's input.
        let rest = |values: Option<[f32; 3]>, done: [f32; 3]| {
            if normalizes {
                Some(WithOrigin::new(done, itself.clone()))
            } else {
                let [a, b, c] = values.filter(|_| color.is_some())?;
                Some(WithOrigin::new([c, b, a], reverses.clone()))
            }
        };
        Ok(SourceSettings {
            mean: rest(mean, [0.0; 3]),
            scale: rest(scale, [1.0; 3]),
            color: color.map(|color| WithOrigin::new(other(color.value), reverses.clone())),
            ..SourceSettings::default()
        })
    }

    /// Returns the preprocessing that shows at the beginning of a graph: the input has a mean for each channel
    /// subtracted, or is divided, or one after the other in either order, as OpenVINO's `PrePostProcessor` does it.
    pub fn in_graph(graph: &Graph<'_>, model: &ModelSource) -> Option<Self> {
        let mut inputs = graph
            .layers()
            .filter(|layer| layer.operator() == "Parameter");
        let (mut layer, None) = (inputs.next()?, inputs.next()) else {
            return None;
        };
        let mut next = || -> Option<Layer<'_>> {
            let [only] = graph.users(layer)[..] else {
                return None;
            };
            layer = only;
            Some(only)
        };
        let mut step = next()?;
        while matches!(step.operator(), "Convert" | "Transpose" | "Reshape") {
            step = next()?;
        }
        let constant = |layer: Layer<'_>| -> Option<[f32; 3]> {
            let values = graph.input(layer, 1)?.0.values(model)?;
            match values[..] {
                [all] => Some([all; 3]),
                [a, b, c] => Some([a, b, c]),
                _ => None,
            }
        };
        let subtracted = |step: Layer<'_>| match step.operator() {
            "Subtract" => constant(step),
            "Add" => constant(step).map(|values| values.map(|value| -value)),
            _ => None,
        };
        let divided = |step: Layer<'_>| match step.operator() {
            "Divide" => constant(step),
            "Multiply" => constant(step).map(|factors| factors.map(|factor| 1.0 / factor)),
            _ => None,
        };
        let (mean, scale) = if let Some(mean) = subtracted(step) {
            (Some(mean), next().and_then(divided))
        } else {
            let scale = divided(step)?;
            // A later subtraction has other units.
            let mean = next().and_then(subtracted);
            let mean = mean.map(|mean| std::array::from_fn(|index| mean[index] * scale[index]));
            (mean, Some(scale))
        };
        Some(Self {
            by: "the model's first layers".to_owned(),
            mean,
            scale,
            reverse: None,
            stated: false,
        })
    }
}

/// Returns whether converters' roundings explain the difference.
fn near(a: [f32; 3], b: [f32; 3]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1.0))
}

/// Reads `data[123.675,116.28,103.53]`, `[127.5]`, `255` or Python's text for such lists.
pub(super) fn numbers(file: &str, name: &str, text: &str) -> Result<[f32; 3], SourceError> {
    let list = match text.rsplit_once('[') {
        Some((_, rest)) => rest.split(']').next().unwrap_or_default(),
        None => text,
    };
    let numbers: Option<Vec<f32>> = list
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|number: &f32| number.is_finite())
        })
        .collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[a, b, c]) => Ok([a, b, c]),
        _ => Err(unsupported(file, name, text, "three numbers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
    const SCALE: [f32; 3] = [58.395, 57.12, 57.375];

    fn original() -> SourceSettings {
        SourceSettings {
            color: Some(WithOrigin::new(ColorOrder::Rgb, "file")),
            mean: Some(WithOrigin::new(MEAN, "file")),
            scale: Some(WithOrigin::new(SCALE, "file")),
            ..SourceSettings::default()
        }
    }

    fn embedded(mean: Option<[f32; 3]>, scale: Option<[f32; 3]>, stated: bool) -> Embedded {
        Embedded {
            by: "conversion_parameters".to_owned(),
            mean,
            scale,
            reverse: None,
            stated,
        }
    }

    #[test]
    fn what_the_model_does_is_not_done_again() {
        let mut converted = embedded(Some(MEAN), Some(SCALE), true);
        let rest = converted.remaining("file", &original()).unwrap();
        assert_eq!(rest.mean.unwrap().value, [0.0; 3]);
        assert_eq!(rest.scale.unwrap().value, [1.0; 3]);
        assert_eq!(rest.color, None);
        converted.reverse = Some(true);
        let rest = converted.remaining("file", &original()).unwrap();
        assert_eq!(rest.color.unwrap().value, ColorOrder::Bgr);
        // A rounded mean.
        converted.mean = Some([123.68, 116.28, 103.53]);
        converted.remaining("file", &original()).unwrap();
        // The order of the channels alone.
        converted.mean = None;
        converted.scale = None;
        let rest = converted.remaining("file", &original()).unwrap();
        assert_eq!(rest.mean.unwrap().value, [103.53, 116.28, 123.675]);
        assert_eq!(rest.scale.unwrap().value, [57.375, 57.12, 58.395]);
        assert_eq!(rest.color.unwrap().value, ColorOrder::Bgr);
    }

    #[test]
    fn other_numbers_than_the_converters_are_rejected() {
        for converted in [
            embedded(Some([127.5; 3]), Some(SCALE), true),
            embedded(Some(MEAN), None, true),
            embedded(None, Some([255.0; 3]), true),
        ] {
            let error = converted.remaining("file", &original()).unwrap_err();
            assert!(error.is_unsupported());
            assert!(error.to_string().contains("123.675"), "{error}");
        }
    }

    #[test]
    fn the_order_of_the_mean_in_a_graph_tells_that_of_the_channels() {
        let rest = |mean| {
            embedded(Some(mean), None, false)
                .remaining("file", &original())
                .unwrap()
        };
        let same = rest(MEAN);
        assert_eq!(same.mean.unwrap().value, [0.0; 3]);
        assert_eq!(same.color, None);
        let reversed = rest([103.53, 116.28, 123.675]);
        assert_eq!(reversed.scale.unwrap().value, [1.0; 3]);
        assert_eq!(reversed.color.unwrap().value, ColorOrder::Bgr);
        // Any other subtraction is a part of the original.
        assert_eq!(rest([1.0, 2.0, 3.0]), SourceSettings::default());
    }

    #[test]
    fn a_scale_alone_is_not_applied_twice() {
        let rest = |scale: [f32; 3], of_file: [f32; 3], mean_of_file: [f32; 3]| {
            let mut original = original();
            original.mean = Some(WithOrigin::new(mean_of_file, "file"));
            original.scale = Some(WithOrigin::new(of_file, "file"));
            let rest = embedded(None, Some(scale), false).remaining("file", &original);
            rest.unwrap().scale.map(|scale| scale.value)
        };
        let (zero, bytes) = ([0.0; 3], [255.0; 3]);
        assert_eq!(rest(bytes, bytes, zero), Some([1.0; 3]));
        // Any other division is a part of the original, and so is one by what the file divides by after a mean.
        assert_eq!(rest([2.0; 3], bytes, zero), None);
        assert_eq!(rest(bytes, bytes, MEAN), None);
        assert_eq!(rest([1.0; 3], [1.0; 3], zero), None);
        let reversed = [57.375, 57.12, 58.395];
        assert_eq!(rest(reversed, SCALE, zero), Some([1.0; 3]));
    }

    #[test]
    fn the_first_layers_of_a_graph() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("m.xml");
        let find = |operators: &[(&str, f32)]| {
            let mut layers = vec![
                r#"<layer id="0" type="Parameter"><output><port id="0"/></output></layer>"#
                    .to_owned(),
            ];
            let (mut edges, mut weights) = (Vec::new(), Vec::new());
            for (index, (operator, value)) in operators.iter().enumerate() {
                let (id, constant) = (index + 1, index + 100);
                layers.push(format!(
                    r#"<layer id="{constant}" type="Const"><data element_type="f32" offset="{}" size="4"/><output><port id="0"/></output></layer>
                    <layer id="{id}" type="{operator}"><input><port id="0"/><port id="1"/></input><output><port id="2"/></output></layer>"#,
                    weights.len()
                ));
                let port = if index == 0 { 0 } else { 2 };
                edges.push(format!(
                    r#"<edge from-layer="{index}" from-port="{port}" to-layer="{id}" to-port="0"/>
                    <edge from-layer="{constant}" from-port="0" to-layer="{id}" to-port="1"/>"#
                ));
                weights.extend(value.to_le_bytes());
            }
            std::fs::write(model.with_extension("bin"), &weights).unwrap();
            let (layers, edges) = (layers.concat(), edges.concat());
            let xml = format!("<net><layers>{layers}</layers><edges>{edges}</edges></net>");
            let document = model_file::ir::parse(&xml).unwrap();
            let found = Embedded::in_graph(&Graph::of(&document), &ModelSource::from(&model));
            let in_memory = ModelSource::Bytes {
                model: xml.as_bytes().into(),
                weights: Some(weights.into()),
            };
            let same = Embedded::in_graph(&Graph::of(&document), &in_memory);
            assert_eq!(found, same);
            found.map(|found| {
                (
                    found.mean.map(|mean| mean[0]),
                    found.scale.map(|scale| scale[0]),
                )
            })
        };
        for (operators, expected) in [
            (
                &[("Subtract", 127.5), ("Divide", 2.0)][..],
                Some((Some(127.5), Some(2.0))),
            ),
            (
                &[("Add", -127.5), ("Multiply", 0.5)],
                Some((Some(127.5), Some(2.0))),
            ),
            (
                &[("Subtract", 127.5), ("MatMul", 0.0)],
                Some((Some(127.5), None)),
            ),
            (&[("Divide", 256.0)], Some((None, Some(256.0)))),
            (
                &[("Multiply", 0.5), ("MatMul", 0.0)],
                Some((None, Some(2.0))),
            ),
            // Of the scaled pixels.
            (
                &[("Divide", 256.0), ("Subtract", 0.5)],
                Some((Some(128.0), Some(256.0))),
            ),
            (&[("MatMul", 1.0)], None),
        ] {
            assert_eq!(find(operators), expected, "{operators:?}");
        }
    }

    #[test]
    fn numbers_as_converters_write_them() {
        for text in [
            "data[1,2.5,3]",
            "[1, 2.5, 3]",
            "[[1, 2.5, 3]]",
            "{'data': [1, 2.5, 3]}",
            "1,2.5,3",
        ] {
            assert_eq!(numbers("f", "k", text).unwrap(), [1.0, 2.5, 3.0], "{text}");
        }
        assert_eq!(numbers("f", "k", "255").unwrap(), [255.0; 3]);
        assert!(numbers("f", "k", "[1,2]").is_err());
    }
}
