//! Values that flow between the nodes of a graph.

use std::collections::{HashMap, HashSet};

use prost::bytes::Bytes;

use crate::onnx::{Graph, Model, Node, ValueInfo};

impl Node {
    /// Returns the values that the node reads: its inputs by position (an omitted one has an empty name), then the
    /// values that the bodies of `If`, `Loop` and `Scan` capture from the graphs around them.
    pub fn reads(&self) -> Vec<&Bytes> {
        let mut values: Vec<&Bytes> = self.input.iter().collect();
        for body in self.bodies() {
            for value in body.captured() {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        values
    }
}

impl Graph {
    /// Returns the values of outer graphs that this body uses, in order of their first use.
    pub fn captured(&self) -> Vec<&Bytes> {
        let defined: HashSet<&Bytes> = self
            .input
            .iter()
            .filter_map(|input| input.name.as_ref())
            .chain(self.initializer.iter().filter_map(|one| one.name.as_ref()))
            .chain(
                self.sparse_initializer
                    .iter()
                    .filter_map(|one| one.values.as_ref()?.name.as_ref()),
            )
            .chain(self.node.iter().flat_map(|node| &node.output))
            .collect();
        let mut captured: Vec<&Bytes> = Vec::new();
        let mut known = HashSet::new();
        let used = self.node.iter().flat_map(Node::reads);
        let outputs = self.output.iter().filter_map(|output| output.name.as_ref());
        for value in used.chain(outputs) {
            if !value.is_empty() && !defined.contains(value) && known.insert(value) {
                captured.push(value);
            }
        }
        captured
    }
}

impl Model {
    /// Returns the node of the main graph and its output that make each value.
    pub fn makers(&self) -> HashMap<&Bytes, (usize, usize)> {
        let mut makers = HashMap::new();
        for (index, node) in self.nodes().iter().enumerate() {
            for (place, output) in node.output.iter().enumerate() {
                if !output.is_empty() {
                    makers.entry(output).or_insert((index, place));
                }
            }
        }
        makers
    }

    /// Returns the nodes that each node of the main graph reads from, in ascending order.
    pub fn parents(&self) -> Vec<Vec<usize>> {
        let makers = self.makers();
        self.nodes()
            .iter()
            .map(|node| {
                let mut from: Vec<usize> = node
                    .reads()
                    .into_iter()
                    .filter_map(|value| makers.get(value).map(|(maker, _)| *maker))
                    .collect();
                from.sort_unstable();
                from.dedup();
                from
            })
            .collect()
    }

    /// Leaves out all outputs but the one called `name`, or the one at `place` if none has that name. The nodes stay.
    /// Does nothing if there is no such output.
    pub fn keep_output(&mut self, name: &str, place: Option<usize>) {
        let Some(graph) = &mut self.graph else {
            return;
        };
        let is_named = |output: &ValueInfo| output.name.as_deref() == Some(name.as_bytes());
        let place = graph.output.iter().position(is_named).or(place);
        if let Some(output) = place.and_then(|place| graph.output.get(place)).cloned() {
            graph.output = vec![output];
        }
    }

    /// Returns the name of the model's first output.
    pub fn output(&self) -> Option<&Bytes> {
        self.graph.as_ref()?.output.first()?.name.as_ref()
    }

    /// Returns the values of the main graph that something reads: a node, or the model's first output.
    pub fn used(&self) -> HashSet<&Bytes> {
        let read = self.nodes().iter().flat_map(Node::reads);
        read.chain(self.output()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Attribute, Tensor};

    fn node(inputs: &[&'static str], outputs: &[&'static str], bodies: Vec<Graph>) -> Node {
        Node {
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: outputs.iter().map(|name| (*name).into()).collect(),
            attribute: vec![Attribute {
                graphs: bodies,
                ..Attribute::default()
            }],
            ..Node::default()
        }
    }

    fn graph(inputs: &[&'static str], nodes: Vec<Node>, output: &'static str) -> Graph {
        let named = |name: &&'static str| ValueInfo {
            name: Some((*name).into()),
            ..ValueInfo::default()
        };
        Graph {
            node: nodes,
            input: inputs.iter().map(named).collect(),
            output: vec![named(&output)],
            ..Graph::default()
        }
    }

    #[test]
    fn bodies_read_what_they_capture() {
        let mut inner = graph(&["i"], vec![node(&["i", "a", "w"], &["p"], vec![])], "p");
        inner.initializer = vec![Tensor {
            name: Some("w".into()),
            ..Tensor::default()
        }];
        // The inner body's `q` is the outer body's own.
        inner.node.push(node(&["q", "b"], &["r"], vec![]));
        let outer = graph(
            &[],
            vec![
                node(&["a"], &["q"], vec![]),
                node(&["q"], &["s"], vec![inner]),
            ],
            "c",
        );
        let model = Model {
            graph: Some(graph(
                &["x"],
                vec![
                    node(&["x"], &["a"], vec![]),
                    node(&["x"], &["unused", "b"], vec![]),
                    node(&["x"], &["c"], vec![]),
                    node(&["x", ""], &["y"], vec![outer]),
                ],
                "y",
            )),
            ..Model::default()
        };
        assert_eq!(model.nodes()[3].reads(), ["x", "", "a", "b", "c"]);
        assert_eq!(model.parents(), [vec![], vec![], vec![], vec![0, 1, 2]]);
        let unused: Bytes = "unused".into();
        assert!(!model.used().contains(&unused));
    }

    #[test]
    fn one_output_is_kept_by_name_or_by_place() {
        let mut graph = graph(&["x"], vec![], "a");
        graph.output.push(ValueInfo {
            name: Some("b".into()),
            ..ValueInfo::default()
        });
        let kept = |name, place| {
            let mut model = Model {
                graph: Some(graph.clone()),
                ..Model::default()
            };
            model.keep_output(name, place);
            let outputs = model.graph.unwrap().output.into_iter();
            outputs.filter_map(|output| output.name).collect::<Vec<_>>()
        };
        assert_eq!(kept("b", Some(0)), ["b"]);
        assert_eq!(kept("c", Some(1)), ["b"]);
        assert_eq!(kept("c", Some(2)), ["a", "b"]);
        assert_eq!(kept("c", None), ["a", "b"]);
    }
}
