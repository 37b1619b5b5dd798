//! Functions of an ONNX model: engines put their nodes into the graph, again and again for each call.

use std::collections::HashMap;

use prost::bytes::Bytes;

use crate::onnx::{Function, Model, Node};

/// A model of a million nodes does not load in a minute.
const MOST_NODES: u64 = 1 << 20;
/// Real models have two levels.
const DEEPEST: usize = 32;

/// A function by its domain, name and overload.
type Key<'a> = [&'a [u8]; 3];

/// The nodes of a graph or a function and of the bodies in it.
#[derive(Default)]
struct Nodes {
    /// All of them, calls included.
    own: u64,
    /// The functions that are called, once for each call.
    calls: Vec<usize>,
}

/// Checks that functions are not recursive and do not expand to too many nodes. The error is the text of the message.
pub(crate) fn check(model: &Model) -> Result<(), String> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let places: HashMap<Key<'_>, usize> = model.functions.iter().map(key).zip(0..).collect();
    let functions = model.functions.iter();
    let functions: Vec<Nodes> = functions
        .map(|function| Nodes::of(&function.node, &places))
        .collect();
    let mut main = Nodes::default();
    if let Some(graph) = &model.graph {
        main.add(&graph.node, &places);
    }
    // After as many rounds as functions are deep, the numbers are final.
    let mut sizes = vec![0; functions.len()];
    for _ in 0..DEEPEST {
        let next: Vec<u64> = functions
            .iter()
            .map(|nodes| nodes.expanded(&sizes))
            .collect();
        if next == sizes {
            let nodes = main.expanded(&sizes);
            if nodes > MOST_NODES {
                return Err(format!(
                    "the functions of the model become {nodes} nodes, more than {MOST_NODES}"
                ));
            }
            return Ok(());
        }
        sizes = next;
    }
    Err(format!(
        "the functions of the model call themselves, or each other more than {DEEPEST} deep"
    ))
}

fn key(function: &Function) -> Key<'_> {
    [&function.domain, &function.name, &function.overload].map(|field| text(field.as_ref()))
}

fn text(field: Option<&Bytes>) -> &[u8] {
    field.map(|field| &**field).unwrap_or_default()
}

impl Nodes {
    fn of(nodes: &[Node], places: &HashMap<Key<'_>, usize>) -> Self {
        let mut found = Self::default();
        found.add(nodes, places);
        found
    }

    // The decoder limits how deep graphs lie in graphs.
    fn add(&mut self, nodes: &[Node], places: &HashMap<Key<'_>, usize>) {
        for node in nodes {
            let called = [&node.domain, &node.op_type, &node.overload];
            let called = called.map(|field| text(field.as_ref()));
            // A call counts too: without it, functions that hold calls alone would never grow.
            self.own += 1;
            self.calls.extend(places.get(&called));
            for body in node.bodies() {
                self.add(&body.node, places);
            }
        }
    }

    /// Returns the number of nodes with those of the called functions.
    fn expanded(&self, sizes: &[u64]) -> u64 {
        let called = self.calls.iter().map(|place| sizes[*place]);
        called.fold(self.own, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Graph;

    fn node(domain: &str, operator: String) -> Node {
        Node {
            domain: Some(domain.to_owned().into()),
            op_type: Some(operator.into()),
            ..Node::default()
        }
    }

    /// Returns a function for each list: the functions that it calls, by their places.
    fn model(calls: &[&[usize]]) -> Model {
        let call = |place: &usize| node("d", place.to_string());
        let functions = calls.iter().enumerate().map(|(place, calls)| Function {
            domain: Some("d".into()),
            name: Some(place.to_string().into()),
            node: calls
                .iter()
                .map(call)
                .chain([node("", "Relu".to_owned())])
                .collect(),
            ..Function::default()
        });
        Model {
            functions: functions.collect(),
            graph: Some(Graph {
                node: vec![call(&(calls.len() - 1))],
                ..Graph::default()
            }),
            ..Model::default()
        }
    }

    #[test]
    fn functions_end_and_stay_small() {
        check(&Model::default()).unwrap();
        check(&model(&[&[], &[0, 0], &[1, 0]])).unwrap();
        for cycle in [&[&[0][..]][..], &[&[1], &[0]], &[&[2], &[0], &[1]]] {
            let error = check(&model(cycle)).unwrap_err();
            assert!(error.contains("call themselves"), "{error}");
        }
        // Each calls the one before it twice.
        let places: Vec<[usize; 2]> = (0..30)
            .map(|place: usize| [place.saturating_sub(1); 2])
            .collect();
        let mut doubling: Vec<&[usize]> = places.iter().map(|pair| &pair[..]).collect();
        doubling[0] = &[];
        check(&model(&doubling[..15])).unwrap();
        let error = check(&model(&doubling)).unwrap_err();
        assert!(error.contains("become 2147483646 nodes"), "{error}");
        // A call is a node: functions that hold nothing else end no sooner, and become as many.
        let bare = |calls: &[&[usize]]| {
            let mut model = model(calls);
            for function in &mut model.functions {
                function.node.pop();
            }
            check(&model)
        };
        for cycle in [&[&[0][..]][..], &[&[1], &[0]]] {
            let error = bare(cycle).unwrap_err();
            assert!(error.contains("call themselves"), "{error}");
        }
        bare(&doubling[..15]).unwrap();
        let error = bare(&doubling).unwrap_err();
        assert!(error.contains("more than 1048576"), "{error}");
        // More than a number can hold.
        let wide = vec![0; 10_000];
        let mut wide: Vec<Vec<usize>> = (1..8).map(|place| vec![place - 1; wide.len()]).collect();
        wide.insert(0, Vec::new());
        let wide: Vec<&[usize]> = wide.iter().map(|calls| &calls[..]).collect();
        let error = check(&model(&wide)).unwrap_err();
        assert!(error.contains("more than 1048576"), "{error}");
    }
}
