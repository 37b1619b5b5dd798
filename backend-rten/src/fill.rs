//! Attributes that ONNX lets a model leave out and RTen needs: they are added to the model before RTen reads it.

use std::collections::HashMap;

use model_file::onnx::{Attribute, AttributeType, Model, Node};

use crate::graph::{self, Site};

/// Adds `kernel_shape` to convolutions whose weights have known sizes, and `strides` to pools. Returns whether
/// anything was added.
pub(crate) fn fill_in(model: &mut Model) -> bool {
    let Ok(sites) = graph::sites(model) else {
        return false;
    };
    let missing: HashMap<usize, Attribute> = sites
        .iter()
        .enumerate()
        .filter_map(|(place, site)| Some((place, missing(site)?)))
        .collect();
    drop(sites);
    let Some(graph) = model.graph.as_mut().filter(|_| !missing.is_empty()) else {
        return false;
    };
    graph::for_each_node(graph, &mut |place, node| {
        if let Some(attribute) = missing.get(&place) {
            node.attribute.retain(|other| other.name != attribute.name);
            node.attribute.push(attribute.clone());
        }
    });
    true
}

fn missing(site: &Site<'_>) -> Option<Attribute> {
    if site.opset == 0 {
        return None;
    }
    match site.node.operator().as_ref() {
        "Conv" | "ConvInteger" | "ConvTranspose" if !has_ints(site.node, "kernel_shape") => {
            // RTen's own shapes are not known yet.
            let dims = site.scope.dims(site.node.input.get(1)?, &|_| None)?;
            let kernel = dims.get(2..).filter(|kernel| !kernel.is_empty())?;
            let sizes = kernel.iter().map(|size| i64::try_from((*size)?).ok());
            Some(ints("kernel_shape", sizes.collect::<Option<_>>()?))
        }
        "AveragePool" | "MaxPool" if !has_ints(site.node, "strides") => {
            let kernel = site.node.attribute("kernel_shape")?;
            Some(ints("strides", vec![1; kernel.ints.len()]))
        }
        _ => None,
    }
}

/// Returns whether the attribute is there, with a value.
pub(crate) fn has_ints(node: &Node, name: &str) -> bool {
    node.attribute(name)
        .is_some_and(|attribute| !attribute.ints.is_empty())
}

fn ints(name: &'static str, values: Vec<i64>) -> Attribute {
    Attribute {
        name: Some(name.into()),
        r#type: Some(AttributeType::Ints as i32),
        ints: values,
        ..Attribute::default()
    }
}

#[cfg(test)]
mod tests {
    use model_file::onnx::{Graph, OperatorSetId, Tensor};

    use super::*;

    fn conv(weights: &'static str) -> Node {
        Node {
            op_type: Some("Conv".into()),
            input: vec!["x".into(), weights.into()],
            ..Node::default()
        }
    }

    #[test]
    fn sizes_come_from_weights_also_of_the_graph_around() {
        let body = Graph {
            node: vec![conv("w")],
            ..Graph::default()
        };
        let branch = Attribute {
            name: Some("then_branch".into()),
            g: Some(body),
            ..Attribute::default()
        };
        let outer = Node {
            op_type: Some("If".into()),
            attribute: vec![branch],
            ..Node::default()
        };
        let weights = Tensor {
            name: Some("w".into()),
            dims: vec![4, 3, 5, 7],
            ..Tensor::default()
        };
        let graph = Graph {
            node: vec![conv("unknown"), outer, conv("w")],
            initializer: vec![weights],
            ..Graph::default()
        };
        let mut model = Model {
            graph: Some(graph),
            opset_import: vec![OperatorSetId::default()],
            ..Model::default()
        };
        assert!(fill_in(&mut model));
        let nodes = model.nodes();
        assert!(!has_ints(&nodes[0], "kernel_shape"));
        let inner = &nodes[1].bodies().next().unwrap().node[0];
        for node in [inner, &nodes[2]] {
            assert_eq!(node.attribute("kernel_shape").unwrap().ints, [5, 7]);
        }
        assert!(!fill_in(&mut model), "there is nothing left to add");
    }
}
