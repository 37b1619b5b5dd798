//! ONNX graphs, as far as it takes to look at what flows between their nodes. Field numbers are ONNX's.

use std::collections::HashMap;

use prost::Message;

/// An ONNX model. What is not understood here is carried along as bytes.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, optional, tag = "1")]
    ir_version: Option<i64>,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    opset_import: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    functions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(bytes = "vec", optional, tag = "2")]
    name: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    initializer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    input: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    value_info: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    quantization_annotation: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    sparse_initializer: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    name: Option<String>,
    #[prost(string, optional, tag = "4")]
    op_type: Option<String>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    attribute: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "7")]
    domain: Option<String>,
    #[prost(string, optional, tag = "8")]
    overload: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, optional, tag = "1")]
    elem_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int32, optional, tag = "20")]
    r#type: Option<i32>,
}

/// `onnx.TensorProto.FLOAT`.
const FLOAT: i32 = 1;
/// `onnx.AttributeProto.INT`.
const INT: i32 = 2;
/// Names that no model has.
const PREFIX: &str = "classify.bisect.";

impl Node {
    /// What people call it: its name, or that of its output.
    pub fn title(&self) -> String {
        let name = self.name.clone().filter(|name| !name.is_empty());
        name.or_else(|| self.output.first().cloned())
            .unwrap_or_default()
    }

    /// Its operator.
    pub fn operator(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    /// The name of its first output.
    pub fn value(&self) -> Option<&str> {
        self.output
            .first()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    fn new(operator: &str, input: &[&str], output: &str, attribute: Option<(&str, i64)>) -> Self {
        let attribute = attribute.map(|(name, value)| {
            let attribute = Attribute {
                name: Some(name.to_owned()),
                i: Some(value),
                r#type: Some(INT),
            };
            attribute.encode_to_vec()
        });
        Self {
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(output.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: attribute.into_iter().collect(),
            domain: None,
            overload: None,
        }
    }
}

impl Model {
    /// The nodes in topological order, as the file has them.
    pub fn nodes(&self) -> &[Node] {
        self.graph.as_ref().map_or(&[], |graph| &graph.node)
    }

    /// For each node the nodes that its inputs come from.
    pub fn parents(&self) -> Vec<Vec<usize>> {
        let mut makers: HashMap<&str, usize> = HashMap::new();
        let mut parents = Vec::new();
        for (index, node) in self.nodes().iter().enumerate() {
            let mut from: Vec<usize> = node
                .input
                .iter()
                .filter_map(|name| makers.get(name.as_str()).copied())
                .collect();
            from.sort_unstable();
            from.dedup();
            parents.push(from);
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                makers.insert(output, index);
            }
        }
        parents
    }

    /// The node that makes the model's output.
    pub fn last(&self) -> Option<usize> {
        let output = self.graph.as_ref()?.output.first()?.name.as_deref()?;
        self.nodes()
            .iter()
            .position(|node| node.output.iter().any(|name| name == output))
    }

    /// The same model, whose only output is one row of numbers: its own output, then the value called
    /// `value`, then the sizes of that value's dimensions and how many there are. One output is what
    /// engines are asked for; and so the model's own output shows whether looking changed anything.
    pub fn exposing(&self, value: &str) -> Option<Self> {
        let mut model = self.clone();
        let graph = model.graph.as_mut()?;
        let output = graph.output.first()?.name.clone()?;
        let mut parts: Vec<String> = Vec::new();
        let mut row = |nodes: &mut Vec<Node>, what: &str, from: &str| {
            let numbers = format!("{PREFIX}{what}.numbers");
            let flat = format!("{PREFIX}{what}.row");
            nodes.push(Node::new(
                "Cast",
                &[from],
                &numbers,
                Some(("to", FLOAT.into())),
            ));
            nodes.push(Node::new("Flatten", &[&numbers], &flat, Some(("axis", 0))));
            parts.push(flat);
        };
        let (shape, rank) = (format!("{PREFIX}shape"), format!("{PREFIX}rank"));
        row(&mut graph.node, "output", &output);
        row(&mut graph.node, "value", value);
        graph.node.push(Node::new("Shape", &[value], &shape, None));
        row(&mut graph.node, "sizes", &shape);
        graph.node.push(Node::new("Shape", &[&shape], &rank, None));
        row(&mut graph.node, "rank", &rank);
        let all = format!("{PREFIX}all");
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        graph
            .node
            .push(Node::new("Concat", &parts, &all, Some(("axis", 1))));
        graph.output = vec![ValueInfo {
            name: Some(all),
            r#type: Some(Type {
                tensor: Some(TensorType {
                    elem_type: Some(FLOAT),
                }),
            }),
        }];
        Some(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], output: &str) -> Node {
        Node::new("Relu", inputs, output, None)
    }

    fn model(nodes: Vec<Node>, output: &str) -> Model {
        let value = ValueInfo {
            name: Some(output.to_owned()),
            r#type: None,
        };
        let graph = Graph {
            node: nodes,
            output: vec![value],
            ..Graph::default()
        };
        Model {
            graph: Some(graph),
            ..Model::default()
        }
    }

    #[test]
    fn parents_are_found_by_the_names_of_values() {
        let model = model(
            vec![
                node(&["x"], "a"),
                node(&["a", "w"], "b"),
                node(&["a", "b", "a"], "y"),
            ],
            "y",
        );
        assert_eq!(model.parents(), [vec![], vec![0], vec![0, 1]]);
        assert_eq!(model.last(), Some(2));
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let mut model = model(vec![node(&["x"], "y")], "y");
        model.ir_version = Some(8);
        model.opset_import = vec![vec![16, 13]];
        let graph = model.graph.as_mut().unwrap();
        graph.initializer = vec![vec![8, 1]];
        graph.node[0].attribute = vec![vec![10, 1, b'k']];
        let exposed = model.exposing("y").unwrap();
        let read = Model::decode(exposed.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read, exposed);
        assert_eq!(read.nodes()[0], model.nodes()[0]);
        let graph = read.graph.unwrap();
        assert_eq!(
            (graph.output.len(), graph.initializer),
            (1, vec![vec![8, 1]])
        );
    }
}
