//! OpenVINO 2026.4's deviations from ONNX in a model. `tests/operators.rs` compares every operator with ONNX's own
//! reference; `docs/operators.md` lists all deviations, also those that only unusual values show.

use std::collections::{BTreeMap, HashMap};

use model_file::onnx::{self, Attribute, DataType, Graph, Model, Node, Tensor, ValueInfo, text};

use crate::concat;

/// Names no more nodes than these.
const NAMED: usize = 3;

/// Returns a note for each kind of operator that OpenVINO computes otherwise.
pub(crate) fn notes(model: &Model) -> Vec<String> {
    let mut found = BTreeMap::new();
    if let Some(graph) = &model.graph {
        add_deviations(graph, model.opset(), &constants_of(graph), &mut found);
    }
    for function in &model.functions {
        let graph = Graph {
            node: function.node.clone(),
            value_info: function.value_info.clone(),
            ..Graph::default()
        };
        add_deviations(
            &graph,
            onnx::opset_of(&function.opset_import),
            &constants_of(&graph),
            &mut found,
        );
    }
    found.into_iter().map(note).collect()
}

/// Operators, and why they deviate; the nodes' names.
type Found = BTreeMap<(String, &'static str), Vec<String>>;

fn note(((operator, reason), names): ((String, &'static str), Vec<String>)) -> String {
    let mut named: Vec<&str> = names
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| &name[..])
        .collect();
    named.truncate(NAMED);
    let more = names.len() - named.len();
    let which = match (named.len(), more) {
        (0, 1) => String::new(),
        (0, more) => format!(" ({more} of them)"),
        (_, 0) => format!(" ({})", named.join(", ")),
        (_, more) => format!(" ({} and {more} more)", named.join(", ")),
    };
    format!("OpenVINO's {operator}{which} differs from ONNX: {reason}")
}

/// The constants of a graph and of all bodies in it: initializers, and the values of `Constant`. Bodies see those
/// outside, and no two have the same name.
type Constants<'a> = HashMap<&'a [u8], &'a Tensor>;

fn constants_of(graph: &Graph) -> Constants<'_> {
    let mut constants = Constants::new();
    // The decoder limits the nesting of graphs.
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        for tensor in &graph.initializer {
            constants.insert(tensor.name.as_deref().unwrap_or_default(), tensor);
        }
        for node in &graph.node {
            if node.is_onnx()
                && node.operator() == "Constant"
                && let Some(output) = node.output.first()
                && let Some(tensor) = node.attribute("value").and_then(|value| value.t.as_ref())
            {
                constants.insert(output, tensor);
            }
            open.extend(node.bodies());
        }
    }
    constants
}

fn add_deviations(graph: &Graph, opset: i64, constants: &Constants<'_>, found: &mut Found) {
    let mut add = |node: &Node, reason| {
        let name = node.name.as_ref().map(text).unwrap_or_default();
        let key = (node.operator().escape_debug().to_string(), reason);
        let names = found.entry(key).or_default();
        names.push(name.escape_debug().to_string());
    };
    let type_of = |name: &[u8]| Some(constants.get(name)?.element_type());
    for node in concat::quantized_wrongly(graph, &type_of) {
        add(node, concat::REASON);
    }
    for node in &graph.node {
        if node.is_onnx()
            && let Some(reason) = deviation(node, graph, constants, opset)
        {
            add(node, reason);
        }
    }
    for node in &graph.node {
        for body in node.bodies() {
            add_deviations(body, opset, constants, found);
        }
    }
}

fn deviation(
    node: &Node,
    graph: &Graph,
    constants: &Constants<'_>,
    opset: i64,
) -> Option<&'static str> {
    let int = |name: &str| node.attribute(name).and_then(|attribute| attribute.i);
    let is_on = |name: &str| int(name).is_some_and(|value| value != 0);
    let says = |name: &str, value: &str| {
        let text = node
            .attribute(name)
            .and_then(|attribute| attribute.s.as_deref());
        text == Some(value.as_bytes())
    };
    let has = |name: &str| node.attribute(name).is_some();
    match node.operator().as_ref() {
        "AveragePool" if is_on("ceil_mode") && is_on("count_include_pad") => Some(
            "with ceil_mode and count_include_pad, it also counts the part of a window beyond the padding",
        ),
        "MaxPool" if is_on("ceil_mode") && is_padded(node) => {
            Some("with ceil_mode, it may add an output whose window contains only padding")
        }
        "LpPool" if is_on("ceil_mode") => {
            Some("with ceil_mode, it also scales the part of a window beyond the input")
        }
        "LRN" if int("size").is_some_and(|size| size % 2 == 0) => {
            Some("with an even size, it includes one more channel")
        }
        "Softmax" if opset < 13 && over_several(node, graph) => {
            Some("before opset 13, it normalizes over one dimension, but ONNX over several")
        }
        "OneHot" => Some("it ignores negative indices"),
        "ReduceL1" | "ReduceLogSum" | "ReduceLogSumExp"
            if (13..18).contains(&opset) && has("axes") =>
        {
            Some(
                "from opset 13 to 17, it ignores the attribute axes and reduces over all dimensions",
            )
        }
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" if is_on("noop_with_empty_axes") => {
            Some("with noop_with_empty_axes, it skips the operation on each value")
        }
        "QuantizeLinear" if has_odd_zero_point(node, constants) => Some(
            "it rounds after adding the zero point, which is odd here: values halfway between two steps differ",
        ),
        "Resize" if is_on("antialias") => Some("it ignores antialias"),
        "Resize" if is_on("exclude_outside") => Some("it ignores exclude_outside"),
        "Resize"
            if has("keep_aspect_ratio_policy") && !says("keep_aspect_ratio_policy", "stretch") =>
        {
            Some("it ignores keep_aspect_ratio_policy")
        }
        _ => None,
    }
}

fn is_padded(node: &Node) -> bool {
    let padded = |pads: &Attribute| pads.ints.iter().any(|pad| *pad > 0);
    node.attribute("pads").is_some_and(padded)
}

fn has_odd_zero_point(node: &Node, constants: &Constants<'_>) -> bool {
    let zero_point = node.input.get(2).and_then(|name| constants.get(&name[..]));
    zero_point.is_some_and(|tensor| {
        matches!(tensor.element_type(), DataType::Uint8 | DataType::Int8)
            && tensor
                .integers()
                .is_some_and(|values| values.iter().any(|value| value % 2 != 0))
    })
}

/// Returns whether ONNX normalizes over several dimensions: until opset 12, all from `axis` on, by default 1.
/// A shape that the file does not state may have several.
fn over_several(node: &Node, graph: &Graph) -> bool {
    let axis = node.attribute("axis").and_then(|axis| axis.i).unwrap_or(1);
    if axis == -1 {
        return false;
    }
    let mut names = node.input.iter().chain(&node.output);
    let declared = || {
        graph
            .value_info
            .iter()
            .chain(&graph.input)
            .chain(&graph.output)
    };
    let shape = |info: &ValueInfo| Some(info.r#type.clone()?.tensor_type?.shape?.dim);
    let Some(dims) =
        names.find_map(|name| shape(declared().find(|info| info.name.as_ref() == Some(name))?))
    else {
        return true;
    };
    let axis = if axis < 0 {
        axis + dims.len() as i64
    } else {
        axis
    };
    let after = usize::try_from(axis).ok().and_then(|axis| dims.get(axis..));
    let Some(after) = after else { return false };
    // OpenVINO normalizes over `axis` alone.
    after.iter().skip(1).any(|dim| dim.dim_value != Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(
        operator: &'static str,
        name: &'static str,
        attributes: &[(&'static str, i64)],
    ) -> Node {
        let attribute = |(name, value): &(&'static str, i64)| Attribute {
            name: Some((*name).into()),
            i: Some(*value),
            ..Attribute::default()
        };
        Node {
            op_type: Some(operator.into()),
            name: Some(name.into()),
            input: vec!["x".into()],
            attribute: attributes.iter().map(attribute).collect(),
            ..Node::default()
        }
    }

    fn model(opset: i64, nodes: Vec<Node>) -> Model {
        let import = onnx::OperatorSetId {
            version: Some(opset),
            ..onnx::OperatorSetId::default()
        };
        let graph = Graph {
            node: nodes,
            ..Graph::default()
        };
        Model {
            graph: Some(graph),
            opset_import: vec![import],
            ..Model::default()
        }
    }

    #[test]
    fn a_note_names_the_nodes() {
        let both = [("ceil_mode", 1), ("count_include_pad", 1)];
        let pools = ["a", "b", "c", "d"].map(|name| node("AveragePool", name, &both));
        let notes = notes(&model(19, pools.to_vec()));
        assert_eq!(notes.len(), 1, "{notes:?}");
        let begin = "OpenVINO's AveragePool (a, b, c and 1 more) differs from ONNX: ";
        assert!(notes[0].starts_with(begin), "{notes:?}");
        assert!(super::notes(&model(19, vec![node("AveragePool", "a", &both[..1])])).is_empty());
    }

    #[test]
    fn bodies_are_looked_into_with_the_opset_of_the_model() {
        let body = model(12, vec![node("Softmax", "s", &[("axis", 1)])])
            .graph
            .unwrap();
        let mut branch = node("If", "i", &[]);
        branch.attribute.push(Attribute {
            name: Some("then_branch".into()),
            g: Some(body),
            ..Attribute::default()
        });
        assert_eq!(notes(&model(12, vec![branch.clone()])).len(), 1);
        assert!(notes(&model(13, vec![branch])).is_empty());
    }

    #[test]
    fn zero_points_are_found_wherever_they_are() {
        let zero_point = |value: u8, is_raw: bool| {
            let mut tensor = Tensor {
                name: Some("z".into()),
                data_type: Some(DataType::Uint8 as i32),
                ..Tensor::default()
            };
            if is_raw {
                tensor.raw_data = Some(vec![value].into());
            } else {
                tensor.int32_data = vec![vec![value].into()];
            }
            tensor
        };
        let notes_with = |tensor: Tensor, is_node: bool, is_inside: bool| {
            let mut quantize = node("QuantizeLinear", "q", &[]);
            quantize.input = ["x", "s", "z"].map(Into::into).to_vec();
            let mut constant = node("Constant", "c", &[]);
            constant.output = vec!["z".into()];
            constant.attribute.push(Attribute {
                name: Some("value".into()),
                t: Some(tensor.clone()),
                ..Attribute::default()
            });
            if is_inside {
                let mut branch = node("If", "i", &[]);
                branch.attribute.push(Attribute {
                    name: Some("then_branch".into()),
                    g: model(13, vec![quantize]).graph,
                    ..Attribute::default()
                });
                quantize = branch;
            }
            let mut model = model(13, vec![quantize]);
            let graph = model.graph.as_mut().unwrap();
            if is_node {
                graph.node.insert(0, constant);
            } else {
                graph.initializer.push(tensor);
            }
            notes(&model).len()
        };
        for is_raw in [true, false] {
            for is_node in [true, false] {
                for is_inside in [true, false] {
                    assert_eq!(notes_with(zero_point(3, is_raw), is_node, is_inside), 1);
                    assert_eq!(notes_with(zero_point(4, is_raw), is_node, is_inside), 0);
                }
            }
        }
    }

    #[test]
    fn a_softmax_over_one_dimension_is_right() {
        let mut classes = model(9, vec![node("Softmax", "s", &[])]);
        assert_eq!(notes(&classes).len(), 1, "an unknown shape");
        let dim = |size| onnx::Dimension {
            dim_value: Some(size),
            ..onnx::Dimension::default()
        };
        let mut with_shape = |sizes: &[i64]| {
            let shape = onnx::TensorShape {
                dim: sizes.iter().copied().map(dim).collect(),
            };
            let tensor_type = onnx::TensorType {
                shape: Some(shape),
                ..onnx::TensorType::default()
            };
            let r#type = onnx::Type {
                tensor_type: Some(tensor_type),
                ..onnx::Type::default()
            };
            let info = ValueInfo {
                name: Some("x".into()),
                r#type: Some(r#type),
                ..ValueInfo::default()
            };
            classes.graph.as_mut().unwrap().input = vec![info];
            notes(&classes).len()
        };
        assert_eq!(with_shape(&[1, 10]), 0);
        assert_eq!(with_shape(&[1, 10, 1, 1]), 0);
        assert_eq!(with_shape(&[1, 10, 3, 3]), 1);
    }
}
