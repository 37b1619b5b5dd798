//! Checks of the inputs and outputs of an ONNX graph.

use std::collections::HashSet;

use backend_api::{Error, ErrorKind, ModelSource};

use crate::onnx;

/// Rejects models with several inputs, and with outputs that are not tensors. An engine would load such a model first, and
/// its message would not name these inputs and outputs.
pub fn check(model: &ModelSource, graph: &onnx::Graph) -> Result<(), Error> {
    let unsupported = |message: String| {
        Error::new(ErrorKind::ModelUnsupported, message).with_context("model", model)
    };
    // Before IR version 4, initializers are inputs as well.
    let initializers: HashSet<_> = graph
        .initializer
        .iter()
        .map(|tensor| &tensor.name)
        .collect();
    let inputs = graph
        .input
        .iter()
        .filter(|input| !initializers.contains(&input.name));
    let inputs: Vec<&onnx::ValueInfo> = inputs.collect();
    let zip_map = graph.node.iter().find(|node| node.operator() == "ZipMap");
    let made_by = zip_map.map_or("", |_| ", which ZipMap makes");
    if let Some(output) = graph.output.iter().find(|output| !is_tensor(output)) {
        return Err(unsupported(format!(
            "the model's output {} is a sequence or a map{made_by}, not a tensor",
            name_of(output)
        ))
        .with_hint(
            "export the model again without ZipMap (skl2onnx: options={'zipmap': False}), or cut the nodes off that make \
             it",
        ));
    }
    for port in inputs.iter().copied().chain(&graph.output) {
        check_dims(port).map_err(|message| {
            Error::new(ErrorKind::ModelInvalid, message).with_context("model", model)
        })?;
    }
    // A model that declares no input is left to the engine.
    if inputs.len() <= 1 {
        return Ok(());
    }
    let names: Vec<String> = inputs.iter().take(10).map(|port| name_of(port)).collect();
    Err(unsupported(format!(
        "the model has {} inputs ({}), but 1 is needed",
        inputs.len(),
        names.join(", ")
    ))
    .with_hint("cut the model down to one input"))
}

/// Rejects sizes that no tensor has: engines read them as open sizes, or panic.
fn check_dims(port: &onnx::ValueInfo) -> Result<(), String> {
    let r#type = port.r#type.as_ref();
    let shape = r#type.and_then(|of| of.tensor_type.as_ref()?.shape.as_ref());
    let mut elements = 1_u64;
    for dim in shape.into_iter().flat_map(|shape| &shape.dim) {
        // Some exporters write -1 for an open size.
        let Some(size) = dim.dim_value.filter(|size| *size != -1) else {
            continue;
        };
        let size = u64::try_from(size)
            .map_err(|_| format!("a dimension of {} has the size {size}", name_of(port)))?;
        // Elements have at most 16 bytes.
        let counted = elements.checked_mul(size.max(1));
        elements = counted
            .filter(|count| *count < 1 << 59)
            .ok_or_else(|| format!("{} has more elements than can be counted", name_of(port)))?;
    }
    Ok(())
}

fn is_tensor(port: &onnx::ValueInfo) -> bool {
    port.r#type.as_ref().is_none_or(|of| {
        of.sequence_type.is_none() && of.map_type.is_none() && of.optional_type.is_none()
    })
}

fn name_of(port: &onnx::ValueInfo) -> String {
    let name = port.name.as_ref().map(onnx::text).unwrap_or_default();
    name.escape_debug().take(100).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn sizes_that_no_tensor_has_are_refused() {
        let check = |dims: &[i64]| {
            let dim = dims.iter().map(|size| onnx::Dimension {
                dim_value: Some(*size),
                ..onnx::Dimension::default()
            });
            let tensor = onnx::TensorType {
                shape: Some(onnx::TensorShape { dim: dim.collect() }),
                ..onnx::TensorType::default()
            };
            check_dims(&onnx::ValueInfo {
                name: Some("x".into()),
                r#type: Some(onnx::Type {
                    tensor_type: Some(tensor),
                    ..onnx::Type::default()
                }),
                ..onnx::ValueInfo::default()
            })
        };
        for dims in [
            &[][..],
            &[1, 3, 224, 224],
            &[-1, 3, -1, -1],
            &[0, 3, 8, 8],
            &[1_000_000, 3, 224, 224],
        ] {
            check(dims).unwrap();
        }
        let error = check(&[1, 3, -5, 224]).unwrap_err();
        assert_eq!(error, "a dimension of x has the size -5");
        check(&[i64::MIN, 3, 224, 224]).unwrap_err();
        for dims in [
            [1 << 62, 3, 4, 4],
            [1, 3, 1 << 40, 1 << 40],
            [0, i64::MAX, i64::MAX, 1],
        ] {
            let error = check(&dims).unwrap_err();
            assert_eq!(error, "x has more elements than can be counted");
        }
    }

    #[test]
    fn several_inputs_are_named_and_so_is_zip_map() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m");
        let port = |name: &'static str, is_sequence: bool| onnx::ValueInfo {
            name: Some(name.into()),
            r#type: Some(onnx::Type {
                sequence_type: is_sequence.then(Box::default),
                ..onnx::Type::default()
            }),
            ..onnx::ValueInfo::default()
        };
        let error = |inputs: Vec<onnx::ValueInfo>, outputs, operator: &'static str| {
            let node = onnx::Node {
                op_type: Some(operator.into()),
                domain: Some("ai.onnx.ml".into()),
                ..onnx::Node::default()
            };
            let graph = onnx::Graph {
                node: vec![node],
                input: inputs,
                output: outputs,
                ..onnx::Graph::default()
            };
            let model = onnx::Model {
                graph: Some(graph),
                ..onnx::Model::default()
            };
            std::fs::write(&path, model.encode_to_vec()).unwrap();
            crate::check(&path)
        };
        let zipped = error(
            vec![port("x", false)],
            vec![port("label", false), port("probabilities", true)],
            "ZipMap",
        )
        .unwrap_err();
        assert_eq!(zipped.kind(), ErrorKind::ModelUnsupported);
        let text = zipped.to_string();
        assert!(
            text.contains("probabilities") && text.contains("ZipMap"),
            "{text}"
        );
        assert!(zipped.hint().unwrap().contains("zipmap"));
        let outputs = || vec![port("label", false), port("scores", false)];
        let two = vec![port("x", false), port("mask", false)];
        let two = error(two, outputs(), "LinearClassifier").unwrap_err();
        assert!(two.to_string().contains("2 inputs (x, mask)"), "{two}");
        error(vec![port("x", false)], outputs(), "LinearClassifier").unwrap();
    }
}
