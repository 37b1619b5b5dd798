//! `rt_info` of an OpenVINO IR, and the older `meta_data`.

use std::collections::BTreeMap;

use backend_api::ModelSource;
use model_file::ir::{Graph, Layer};
use roxmltree::{Document, Node};

use super::embedded::{Embedded, numbers};
use super::graph::ir::{Place, fake_quantization};
use super::{Identity, SourceError, SourceSettings, unsupported};
use crate::{Halves, InputQuantization, Quantization, WithOrigin};

/// Returns the version of the IR.
pub(super) fn version(document: &Document<'_>) -> Option<u32> {
    let version = document.root_element().attribute("version");
    version.and_then(|text| text.parse().ok())
}

/// Returns the name of the model. The producer is the converter, which says nothing of the model.
pub(super) fn identity(document: &Document<'_>) -> Identity {
    let name = document.root_element().attribute("name");
    Identity {
        names: name.map(str::to_owned).into_iter().collect(),
        producer: String::new(),
    }
}

/// Returns the entries of Intel Model API.
pub(super) fn model_info(document: &Document<'_>) -> BTreeMap<String, String> {
    let rt_info = child(document.root_element(), "rt_info");
    entries(rt_info.and_then(|node| child(node, "model_info")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Returns whether OpenVINO converted the model from a TensorFlow Lite file.
pub(super) fn is_of_tensorflow_lite(document: &Document<'_>) -> bool {
    document.root_element().attribute("name") == Some("TensorFlow_Lite_Frontend_IR")
}

/// Reads the quantization of the model's input. OpenVINO writes the `DequantizeLinear` of an ONNX file as the integers,
/// minus a zero point that is an integer as well, times a scale, and the quantization of a TensorFlow Lite file as a
/// `FakeQuantize` that maps all integers of the type to real numbers.
///
/// # Errors
///
/// [`SourceError::Value`] for a scale of each channel.
pub(super) fn input_quantization(
    graph: &Graph<'_>,
    model: &ModelSource,
    halves: Halves,
) -> Result<Option<SourceSettings>, SourceError> {
    let found = dequantization(graph, model).or_else(|| mapped(graph, model));
    let Some((zero_point, scale)) = found else {
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
    let quantization = InputQuantization {
        quantization: Quantization {
            scale,
            zero_point: zero_point as i32,
        },
        halves,
    };
    let by = "the model's first layers: scale and zero point";
    Ok((scale.is_finite() && scale > 0.0).then(|| SourceSettings {
        input_quantization: Some(WithOrigin::new(quantization, by)),
        ..SourceSettings::default()
    }))
}

/// Returns the zero points and the scales of the only input.
fn dequantization(graph: &Graph<'_>, model: &ModelSource) -> Option<(Vec<f32>, Vec<f32>)> {
    let is_integer =
        |layer: Layer<'_>| matches!(layer.attribute("element_type"), Some("u8" | "i8"));
    let (input, _) = integer_input(graph)?;
    let converted = next(graph, input, "Convert")?;
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

/// [`dequantization`] by a `FakeQuantize` from the range of the integers to a range of real numbers.
fn mapped(graph: &Graph<'_>, model: &ModelSource) -> Option<(Vec<f32>, Vec<f32>)> {
    let (input, least) = integer_input(graph)?;
    let mut layer = next(graph, input, "Convert")?;
    if let Some(transposed) = next(graph, layer, "Transpose") {
        layer = transposed;
    }
    let quantizer = next(graph, layer, "FakeQuantize")?;
    let found = fake_quantization(graph, quantizer, model, least, Place::Input)?;
    Some((vec![found.zero_point as f32], vec![found.scale]))
}

/// Returns the only input, if it takes integers of 8 bits, and the least of these.
fn integer_input<'a>(graph: &Graph<'a>) -> Option<(Layer<'a>, f32)> {
    let mut inputs = graph
        .layers()
        .filter(|layer| layer.operator() == "Parameter");
    let (input, None) = (inputs.next()?, inputs.next()) else {
        return None;
    };
    let least = match input.attribute("element_type")? {
        "u8" => 0.0,
        "i8" => -128.0,
        _ => return None,
    };
    Some((input, least))
}

/// Returns the only layer that takes an output of `layer`, if it is an `operator`.
fn next<'a>(graph: &Graph<'a>, layer: Layer<'a>, operator: &str) -> Option<Layer<'a>> {
    match graph.users(layer)[..] {
        [only] if only.operator() == operator => Some(only),
        _ => None,
    }
}

/// Returns the preprocessing arguments of the model converter.
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

/// Returns the elements in `node` with their `value`.
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

    /// OpenVINO 2026.4.1 writes a `FakeQuantize` for the input of `lite-u8.tflite`, whose scale is 0.018658448 and whose zero
    /// point is 114.
    #[test]
    fn the_input_of_a_tensorflow_lite_file_is_mapped_from_all_integers() {
        let weights: Vec<u8> = [0.0_f32, 255.0, -2.127_063, 2.630_841_3, 127.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let read = |high: u32, levels: u32| {
            let constant = |id: u32, offset: u32| {
                format!(
                    r#"<layer id="{id}" type="Const"><data element_type="f32" offset="{offset}" size="4"/>
                    <output><port id="0"/></output></layer>"#
                )
            };
            let edge = |from: u32, to: u32, port: u32| {
                format!(
                    r#"<edge from-layer="{from}" from-port="9" to-layer="{to}" to-port="{port}"/>"#
                )
            };
            let constants: Vec<String> = [(3, 0), (4, high), (5, 8), (6, 12)]
                .map(|(id, offset)| {
                    constant(id, offset).replace("\"0\"/></output>", "\"9\"/></output>")
                })
                .to_vec();
            let port = r#"<output><port id="9"/></output>"#;
            let xml = format!(
                r#"<net name="TensorFlow_Lite_Frontend_IR" version="11"><layers>
                <layer id="0" type="Parameter"><data element_type="u8"/>{port}</layer>
                <layer id="1" type="Convert"><input><port id="0"/></input>{port}</layer>
                <layer id="2" type="Transpose"><input><port id="0"/></input>{port}</layer>
                {}<layer id="7" type="FakeQuantize"><data levels="{levels}"/><input><port id="0"/><port id="1"/>
                <port id="2"/><port id="3"/><port id="4"/></input>{port}</layer>
                </layers><edges>{}{}{}{}{}{}{}</edges></net>"#,
                constants.concat(),
                edge(0, 1, 0),
                edge(1, 2, 0),
                edge(2, 7, 0),
                edge(3, 7, 1),
                edge(4, 7, 2),
                edge(5, 7, 3),
                edge(6, 7, 4),
            );
            let document = parse(&xml).unwrap();
            assert!(is_of_tensorflow_lite(&document));
            let model = ModelSource::Bytes {
                model: xml.clone().into_bytes().into(),
                weights: Some(weights.clone().into()),
            };
            let graph = Graph::of(&document);
            let found = input_quantization(&graph, &model, Halves::AwayFromZero).unwrap();
            found.map(|settings| settings.input_quantization.unwrap().value.to_string())
        };
        assert_eq!(
            read(4, 256).as_deref(),
            Some("scale 0.018658448, zero point 114, halves away from zero")
        );
        assert_eq!(read(4, 16), None, "it rounds again");
        assert_eq!(read(16, 256), None, "it clips");
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
