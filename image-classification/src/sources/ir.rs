//! `rt_info` of an OpenVINO IR, and the older `meta_data`.

use std::collections::BTreeMap;

use backend_api::ModelSource;
use model_file::ir::{Graph, Layer};
use roxmltree::{Document, Node};

use super::embedded::{Embedded, numbers};
use super::{Identity, SourceError, SourceSettings, unsupported};
use crate::{Quantization, WithOrigin};

/// The version of the IR.
pub(super) fn version(document: &Document<'_>) -> Option<u32> {
    let version = document.root_element().attribute("version");
    version.and_then(|text| text.parse().ok())
}

/// The name of the model. The producer is the converter, which says nothing of the model.
pub(super) fn identity(document: &Document<'_>) -> Identity {
    let name = document.root_element().attribute("name");
    Identity {
        names: name.map(str::to_owned).into_iter().collect(),
        producer: String::new(),
    }
}

/// The entries of Intel Model API.
pub(super) fn model_info(document: &Document<'_>) -> BTreeMap<String, String> {
    let rt_info = child(document.root_element(), "rt_info");
    entries(rt_info.and_then(|node| child(node, "model_info")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Reads the quantization of the model's input: its integers, minus a zero point that is an integer as well, times a
/// scale. So OpenVINO writes the `DequantizeLinear` of an ONNX file.
///
/// # Errors
///
/// [`SourceError::Value`] for a scale of each channel.
pub(super) fn input_quantization(
    graph: &Graph<'_>,
    model: &ModelSource,
) -> Result<Option<SourceSettings>, SourceError> {
    let Some((zero_point, scale)) = dequantization(graph, model) else {
        return Ok(None);
    };
    let (&[zero_point], &[scale]) = (&zero_point[..], &scale[..]) else {
        return Err(unsupported(
            "the model",
            "scale of the quantized input",
            format!("{} numbers", scale.len().max(zero_point.len())),
            "one number, and one zero point",
        ));
    };
    let quantization = Quantization {
        scale,
        zero_point: zero_point as i32,
    };
    let by = "the model's first layers: scale and zero point";
    Ok((scale.is_finite() && scale > 0.0).then(|| SourceSettings {
        input_quantization: Some(WithOrigin::new(quantization, by)),
        ..SourceSettings::default()
    }))
}

/// The zero points and the scales of the only input.
fn dequantization(graph: &Graph<'_>, model: &ModelSource) -> Option<(Vec<f32>, Vec<f32>)> {
    let mut inputs = graph
        .layers()
        .filter(|layer| layer.operator() == "Parameter");
    let (input, None) = (inputs.next()?, inputs.next()) else {
        return None;
    };
    let is_integer =
        |layer: Layer<'_>| matches!(layer.attribute("element_type"), Some("u8" | "i8"));
    let converted = next(graph, input, "Convert").filter(|_| is_integer(input))?;
    let subtraction = next(graph, converted, "Subtract")?;
    let conversion = graph.input(subtraction, 1)?.0;
    let zero_point = graph.input(conversion, 0)?.0;
    // A mean, which is no integer, has no conversion.
    if conversion.operator() != "Convert" || !is_integer(zero_point) {
        return None;
    }
    let product = next(graph, subtraction, "Multiply")?;
    let scale = graph.input(product, 1)?.0;
    Some((zero_point.values(model)?, scale.values(model)?))
}

/// Returns the only layer that takes an output of `layer`, if it is an `operator`.
fn next<'a>(graph: &Graph<'a>, layer: Layer<'a>, operator: &str) -> Option<Layer<'a>> {
    match graph.users(layer)[..] {
        [only] if only.operator() == operator => Some(only),
        _ => None,
    }
}

/// The preprocessing arguments of the model converter.
///
/// # Errors
///
/// [`SourceError::Value`] for numbers that cannot be read.
pub(super) fn converted(document: &Document<'_>) -> Result<Option<Embedded>, SourceError> {
    let root = document.root_element();
    // Where releases up to 2022.3 wrote the arguments, and where later ones do.
    let arguments = [
        ("meta_data", "cli_parameters"),
        ("rt_info", "conversion_parameters"),
    ];
    for (outer, inner) in arguments {
        let entries: BTreeMap<_, _> =
            entries(child(root, outer).and_then(|node| child(node, inner)))
                .filter(|(_, value)| is_set(value))
                .collect();
        let three = |key: &str| {
            entries
                .get(key)
                .map(|text| numbers(&format!("the model's {inner}"), key, text))
                .transpose()
        };
        let mean = three("mean_values")?;
        let scale = match three("scale_values")? {
            Some(scale) => Some(scale),
            None => three("scale")?,
        };
        let reverse = entries.contains_key("reverse_input_channels");
        if mean.is_some() || scale.is_some() || reverse {
            return Ok(Some(Embedded {
                by: inner.to_owned(),
                mean,
                scale,
                reverse: Some(reverse),
                stated: true,
            }));
        }
    }
    Ok(None)
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The elements in `node` with their `value`.
fn entries<'a, 'i: 'a>(node: Option<Node<'a, 'i>>) -> impl Iterator<Item = (&'a str, &'a str)> {
    node.into_iter()
        .flat_map(|node| node.children().filter(Node::is_element))
        .filter_map(|entry| Some((entry.tag_name().name(), entry.attribute("value")?)))
}

/// Python's text for an omitted argument.
fn is_set(value: &str) -> bool {
    !matches!(value.trim(), "" | "()" | "[]" | "{}" | "None" | "False")
}

#[cfg(test)]
mod tests {
    use model_file::ir::parse;

    use super::*;

    #[test]
    fn entries_are_attributes_of_model_info() {
        let xml = r#"<net name="n" version="11"><layers/><rt_info>
            <conversion_parameters><mean_values value="()"/></conversion_parameters>
            <model_info><mean_values value="1 2 3"/><labels value="a &lt;b&gt;"/><odd/></model_info>
            </rt_info></net>"#;
        let document = parse(xml).unwrap();
        assert_eq!(version(&document), Some(11));
        let info = model_info(&document);
        assert_eq!(info.len(), 2);
        assert_eq!(
            (info["mean_values"].as_str(), info["labels"].as_str()),
            ("1 2 3", "a <b>")
        );
        assert_eq!(converted(&document).unwrap(), None);
        let empty = parse("<net/>").unwrap();
        assert!(model_info(&empty).is_empty());
        assert_eq!(converted(&empty).unwrap(), None);
    }

    #[test]
    fn a_converter_says_what_it_put_into_the_graph() {
        let read = |xml| converted(&parse(xml).unwrap());
        let new = r#"<net><rt_info><conversion_parameters><mean_values value="data[1,2,3]"/>
            <scale value="2"/><reverse_input_channels value="False"/></conversion_parameters></rt_info></net>"#;
        let new = read(new).unwrap().unwrap();
        assert_eq!(
            (new.mean, new.scale),
            (Some([1.0, 2.0, 3.0]), Some([2.0; 3]))
        );
        assert_eq!(new.reverse, Some(false));
        let old = r#"<net><meta_data><cli_parameters><reverse_input_channels value="True"/></cli_parameters></meta_data></net>"#;
        assert_eq!(read(old).unwrap().unwrap().reverse, Some(true));
        let odd = r#"<net><rt_info><conversion_parameters><scale value="x"/></conversion_parameters></rt_info></net>"#;
        assert!(read(odd).is_err());
    }

    #[test]
    fn entities_are_not_expanded_and_damage_is_an_error() {
        let bomb = r#"<!DOCTYPE net [<!ENTITY a "aaaa">]><net><rt_info/></net>"#;
        assert!(parse(bomb).is_err());
        assert!(parse("<net><rt_info>").is_err());
    }
}
