//! The metadata of an ONNX file.

use std::collections::BTreeMap;

use model_file::onnx::{Graph, Model, Node, Tensor, text};
use prost::bytes::Bytes;

use super::{Identity, SourceError, SourceSettings, unsupported};
use crate::{Halves, InputQuantization, Quantization, WithOrigin};

/// Returns the names of the graph and of the producer.
pub(super) fn identity(model: &Model) -> Identity {
    let name = model.graph.as_ref().and_then(|graph| graph.name.as_ref());
    let producer = model.producer_name.as_ref().map(text).unwrap_or_default();
    Identity {
        names: name.iter().map(|name| text(name).into_owned()).collect(),
        producer: producer.to_ascii_lowercase(),
    }
}

/// Returns the entries of Intel Model API, which begin with `model_info `.
pub(super) fn model_info(model: &Model) -> BTreeMap<String, String> {
    model
        .metadata_props
        .iter()
        .filter_map(|entry| {
            let key = text(entry.key.as_ref()?).into_owned();
            let value = entry.value.as_ref().map(text).unwrap_or_default();
            Some((
                key.strip_prefix("model_info ")?.to_owned(),
                value.into_owned(),
            ))
        })
        .collect()
}

/// Reads the quantization of the model's input, if every operator that reads the input is a `DequantizeLinear`, or one that
/// computes with its integers and states their scale at the same place.
///
/// # Errors
///
/// [`SourceError::Value`] for a scale of each channel, and for operators that differ.
pub(super) fn input_quantization(model: &Model) -> Result<Option<SourceSettings>, SourceError> {
    let Some(graph) = &model.graph else {
        return Ok(None);
    };
    let is_weight = |name: &[u8]| constant(graph, name).is_some();
    let mut inputs = graph.input.iter().filter_map(|input| input.name.as_ref());
    let Some(mut input) = inputs.find(|name| !is_weight(name)) else {
        return Ok(None);
    };
    let mut readers = readers_of(graph, input);
    // Converters of models whose channels come last transpose first. A hostile graph has a circle.
    for _ in 0..MOST_STEPS {
        match readers[..] {
            [only] if keeps_values(only) && only.input.first() == Some(input) => {
                let Some(output) = only.output.first() else {
                    return Ok(None);
                };
                input = output;
                readers = readers_of(graph, input);
            }
            _ => break,
        }
    }
    let mut stated: Option<(Quantization, String)> = None;
    for node in readers {
        let operator = node.operator();
        let states_scale = ["DequantizeLinear", "QLinearConv", "QLinearMatMul"];
        if !states_scale.contains(&&*operator) || node.input.first() != Some(input) {
            return Ok(None);
        }
        let found = scale_and_zero_point(graph, &node.input);
        let differs = |(stated, _): &(Quantization, String)| Some(*stated) != found;
        let Some(quantization) = found.filter(|_| !stated.as_ref().is_some_and(differs)) else {
            return Err(unsupported(
                "the model",
                format!("scale of the {operator} at its input"),
                match found {
                    Some(other) => format!("{other}, and another one"),
                    None => "other than one number in the file".to_owned(),
                },
                "one constant number above 0, and one zero point",
            ));
        };
        stated = Some((quantization, operator.into_owned()));
    }
    Ok(stated.map(|(quantization, operator)| {
        let by = format!("the model's first operator, {operator}: scale and zero point");
        let quantization = InputQuantization {
            quantization,
            halves: Halves::ToEven,
        };
        SourceSettings {
            input_quantization: Some(WithOrigin::new(quantization, by)),
            ..SourceSettings::default()
        }
    }))
}

/// Nodes that keep the values of the input, in another shape, before one that reads them.
const MOST_STEPS: usize = 8;

fn readers_of<'a>(graph: &'a Graph, value: &Bytes) -> Vec<&'a Node> {
    let nodes = graph.node.iter();
    nodes.filter(|node| node.reads().contains(&value)).collect()
}

fn keeps_values(node: &Node) -> bool {
    let operators = ["Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze"];
    node.is_onnx() && operators.contains(&&*node.operator())
}

/// Returns the tensor that an initializer or a `Constant` states.
fn constant<'a>(graph: &'a Graph, name: &[u8]) -> Option<&'a Tensor> {
    let mut tensors = graph.initializer.iter();
    let tensor = tensors.find(|tensor| tensor.name.as_deref() == Some(name));
    tensor.or_else(|| {
        let mut nodes = graph.node.iter();
        let node = nodes.find(|node| node.output.iter().any(|output| &output[..] == name))?;
        let is_constant = node.is_onnx() && node.operator() == "Constant";
        node.attribute("value").filter(|_| is_constant)?.t.as_ref()
    })
}

fn scale_and_zero_point(graph: &Graph, inputs: &[Bytes]) -> Option<Quantization> {
    let scale = constant(graph, inputs.get(1)?)?.floats()?;
    let zero_point = match inputs.get(2).filter(|name| !name.is_empty()) {
        Some(name) => constant(graph, name)?.integers()?,
        None => vec![0],
    };
    match (&scale[..], &zero_point[..]) {
        (&[scale], &[zero_point]) if scale.is_finite() && scale > 0.0 => Some(Quantization {
            scale,
            zero_point: i32::try_from(zero_point).ok()?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model_file::onnx::{DataType, StringStringEntry, ValueInfo};

    use super::*;

    fn dequantizing(scales: &[f32], readers: &[(&str, &str)]) -> Model {
        let raw = |values: &[f32]| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            bytes.collect::<Vec<u8>>().into()
        };
        let floats = |name: &str, values: &[f32]| Tensor {
            name: Some(name.to_owned().into()),
            data_type: Some(DataType::Float as i32),
            raw_data: Some(raw(values)),
            ..Tensor::default()
        };
        let node = |(operator, scale): &(&str, &str)| Node {
            op_type: Some((*operator).to_owned().into()),
            input: ["x", scale].map(|name| name.to_owned().into()).to_vec(),
            ..Node::default()
        };
        let graph = Graph {
            node: readers.iter().map(node).collect(),
            input: vec![ValueInfo {
                name: Some("x".into()),
                ..ValueInfo::default()
            }],
            initializer: vec![floats("s", scales), floats("t", &[0.5])],
            ..Graph::default()
        };
        Model {
            graph: Some(graph),
            ..Model::default()
        }
    }

    #[test]
    fn a_dequantized_input_states_its_scale() {
        let of = |scales: &[f32], readers: &[(&str, &str)]| {
            input_quantization(&dequantizing(scales, readers)).map(|settings| {
                let stated = settings.and_then(|settings| settings.input_quantization);
                stated.map(|stated| stated.value.to_string())
            })
        };
        let one = ("DequantizeLinear", "s");
        let stated = Some("scale 0.25, zero point 0, halves to even".to_owned());
        assert_eq!(of(&[0.25], &[one]).unwrap(), stated);
        assert_eq!(of(&[0.25], &[one, one]).unwrap(), stated);
        assert_eq!(of(&[0.25], &[("QLinearConv", "s")]).unwrap(), stated);
        assert_eq!(of(&[0.25], &[one, ("Cast", "s")]).unwrap(), None);
        assert_eq!(of(&[0.25], &[("Cast", "s")]).unwrap(), None);
        assert_eq!(of(&[0.25], &[]).unwrap(), None);
        let of_each_channel = of(&[0.25, 0.5, 1.0], &[one]).unwrap_err();
        assert!(of_each_channel.to_string().contains("DequantizeLinear"));
        assert!(of(&[0.25], &[one, ("DequantizeLinear", "t")]).is_err());
        assert!(of(&[0.25], &[("DequantizeLinear", "computed")]).is_err());
    }

    #[test]
    fn the_input_may_be_transposed_before_it_is_dequantized() {
        let mut model = dequantizing(&[0.25], &[("DequantizeLinear", "s")]);
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes[0].input[0] = "t".into();
        let transpose = |input: &'static str| Node {
            op_type: Some("Transpose".into()),
            input: vec![input.into()],
            output: vec!["t".into()],
            ..Node::default()
        };
        nodes.push(transpose("x"));
        let stated = input_quantization(&model).unwrap().unwrap();
        let quantization = stated.input_quantization.unwrap().value.quantization;
        assert_eq!(quantization.scale, 0.25);
        // A circle, which no valid model has.
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes[0] = transpose("t");
        assert_eq!(input_quantization(&model).unwrap(), None);
    }

    #[test]
    fn keys_have_a_prefix() {
        let entry = |key: &'static [u8], value: &'static [u8]| StringStringEntry {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        let model = Model {
            metadata_props: vec![
                entry(b"model_info labels", b"v"),
                // Engines load models whose other entries are not UTF-8, and so does this crate.
                entry(b"author", &[0xe9]),
                entry(b"model_info", b"v"),
            ],
            ..Model::default()
        };
        let info = model_info(&model).into_iter().collect::<Vec<_>>();
        assert_eq!(info, [("labels".to_owned(), "v".to_owned())]);
    }
}
