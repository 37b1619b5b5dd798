//! All nodes of a model, and the types and shapes of their inputs, as far as the file states them.

use std::collections::HashMap;
use std::rc::Rc;

use model_file::onnx::{
    self, Attribute, DataType, Function, Graph, Node, Tensor, TensorType, ValueInfo,
};
use prost::Message as _;
use rten::Dimension;

/// RTen plans a graph by recursion, on threads with small stacks: 8,000 operators in a row overflowed it.
pub(crate) const MOST_OPERATORS: usize = 4_000;
/// RTen loads and runs the bodies of `If` and `Loop` by recursion too. Real models nest three.
pub(crate) const MOST_NESTED: usize = 8;
/// The longest chain of nodes that is followed for a shape or a type.
const LONGEST_CHAIN: usize = 64;

/// A node, and where it is.
pub(crate) struct Site<'a> {
    pub(crate) node: &'a Node,
    /// The version of ONNX's operators that the node is written for, or 0 for an operator of another domain.
    pub(crate) opset: i64,
    pub(crate) scope: Rc<Scope<'a>>,
}

impl<'a> Site<'a> {
    /// Returns the value of a text attribute.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        let value = self.node.attribute(name)?.s.as_ref()?;
        Some(onnx::text(value).into_owned())
    }

    /// Returns the value of an integer attribute.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.node.attribute(name)?.i
    }

    /// Returns the constant at `input`.
    pub(crate) fn constant(&self, input: usize) -> Option<Constant<'a>> {
        self.scope.constant(self.node.input.get(input)?)
    }

    /// Returns the values of the constant at `input`, if they are whole numbers.
    pub(crate) fn constant_ints(&self, input: usize) -> Option<Vec<i64>> {
        self.constant(input)?.ints()
    }

    /// Returns the element type of `input`.
    pub(crate) fn element_type(&self, input: usize) -> Option<DataType> {
        self.scope.element_type(self.node.input.get(input)?)
    }

    /// Returns the sizes of `input`, as far as they are known.
    pub(crate) fn dims(&self, input: usize, inferred: &Inferred<'_>) -> Option<Vec<Option<usize>>> {
        self.scope.dims(self.node.input.get(input)?, inferred)
    }

    /// Describes the node for messages.
    pub(crate) fn described(&self) -> String {
        let operator = self.node.operator();
        match self.node.name.as_ref().filter(|name| !name.is_empty()) {
            None => format!("the operator {}", operator.escape_debug()),
            Some(name) => format!(
                "the operator {} ({})",
                operator.escape_debug(),
                onnx::text(name).escape_debug()
            ),
        }
    }
}

/// The values that a node can read, from its graph and from the outer graphs.
pub(crate) struct Scope<'a> {
    values: HashMap<&'a [u8], Value<'a>>,
    outer: Option<Rc<Scope<'a>>>,
}

#[derive(Default)]
struct Value<'a> {
    constant: Option<Constant<'a>>,
    declared: Option<&'a TensorType>,
    producer: Option<&'a Node>,
}

/// A value that the file contains.
#[derive(Clone, Copy)]
pub(crate) enum Constant<'a> {
    Tensor(&'a Tensor),
    /// The attribute of a `Constant` that has no tensor.
    Attribute(&'a Attribute),
}

/// The sizes of the dimensions that RTen worked out, by the name of the value in the main graph.
pub(crate) type Inferred<'a> = dyn Fn(&[u8]) -> Option<Vec<Dimension>> + 'a;

/// A model that is too large or too deep for RTen's recursion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    Operators(usize),
    Nested,
}

/// Returns all nodes: those of the main graph first, each before those of its bodies, then those of functions.
pub(crate) fn sites(model: &onnx::Model) -> Result<Vec<Site<'_>>, TooLarge> {
    let mut sites = Vec::new();
    if let Some(graph) = &model.graph {
        collect_graph(graph, model.opset(), None, 0, &mut sites)?;
    }
    for function in &model.functions {
        let opset = onnx::opset_of(&function.opset_import);
        let scope = Rc::new(Scope::of_function(function));
        collect(&function.node, opset, &scope, 0, &mut sites)?;
    }
    if sites.len() > MOST_OPERATORS {
        return Err(TooLarge::Operators(sites.len()));
    }
    Ok(sites)
}

fn collect_graph<'a>(
    graph: &'a Graph,
    opset: i64,
    outer: Option<&Rc<Scope<'a>>>,
    depth: usize,
    sites: &mut Vec<Site<'a>>,
) -> Result<(), TooLarge> {
    if depth > MOST_NESTED {
        return Err(TooLarge::Nested);
    }
    let scope = Rc::new(Scope::of_graph(graph, outer.cloned()));
    collect(&graph.node, opset, &scope, depth, sites)
}

fn collect<'a>(
    nodes: &'a [Node],
    opset: i64,
    scope: &Rc<Scope<'a>>,
    depth: usize,
    sites: &mut Vec<Site<'a>>,
) -> Result<(), TooLarge> {
    for node in nodes {
        sites.push(Site {
            node,
            opset: if node.is_onnx() { opset } else { 0 },
            scope: Rc::clone(scope),
        });
        for body in node.bodies() {
            collect_graph(body, opset, Some(scope), depth + 1, sites)?;
        }
    }
    Ok(())
}

/// Weights larger than this are left out of an [`outline`].
const LARGEST_KEPT: usize = 4_096;

/// Removes large weights that are not integers, and releases the file's memory.
pub(crate) fn outline(mut model: onnx::Model) -> onnx::Model {
    fn leave_out(graph: &mut Graph) {
        let constants = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
        let tensors = constants.filter_map(|attribute| attribute.t.as_mut());
        for tensor in graph.initializer.iter_mut().chain(tensors) {
            let floats = [DataType::Float, DataType::Float16, DataType::Double];
            if !floats
                .iter()
                .any(|float| tensor.data_type == Some(*float as i32))
            {
                continue;
            }
            tensor.raw_data.take_if(|data| data.len() > LARGEST_KEPT);
            for data in [
                &mut tensor.float_data,
                &mut tensor.double_data,
                &mut tensor.int32_data,
            ] {
                data.retain(|data| data.len() <= LARGEST_KEPT);
            }
        }
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute
                .g
                .iter_mut()
                .chain(&mut attribute.graphs)
                .for_each(leave_out);
        }
    }
    if let Some(graph) = &mut model.graph {
        leave_out(graph);
    }
    let copy = onnx::Model::decode(model.encode_to_vec().as_slice());
    copy.unwrap_or(model)
}

/// Removes the nodes of the main graph that none of `outputs` needs: they do not run. Keeps all if the file has another
/// name for one of them.
pub(crate) fn keep_needed(graph: &mut Graph, outputs: &[String]) {
    fn read_by<'a>(node: &'a Node, names: &mut Vec<&'a [u8]>) {
        names.extend(node.input.iter().map(AsRef::as_ref));
        for body in node.bodies() {
            let given = body
                .output
                .iter()
                .filter_map(|output| output.name.as_deref());
            names.extend(given);
            body.node.iter().for_each(|node| read_by(node, names));
        }
    }
    let mut makers: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (place, node) in graph.node.iter().enumerate() {
        for output in &node.output {
            makers.entry(output).or_default().push(place);
        }
    }
    let mut wanted: Vec<&[u8]> = outputs.iter().map(String::as_bytes).collect();
    if wanted.iter().any(|name| !makers.contains_key(name)) {
        return;
    }
    let mut is_needed = vec![false; graph.node.len()];
    while let Some(name) = wanted.pop() {
        for place in makers.remove(name).unwrap_or_default() {
            if !is_needed[place] {
                is_needed[place] = true;
                read_by(&graph.node[place], &mut wanted);
            }
        }
    }
    let mut is_needed = is_needed.into_iter();
    graph.node.retain(|_| is_needed.next() == Some(true));
}

/// Calls `edit` for each node of the main graph and its bodies, with its place in [`sites`].
pub(crate) fn for_each_node(graph: &mut Graph, edit: &mut impl FnMut(usize, &mut Node)) {
    fn walk(graph: &mut Graph, next: &mut usize, edit: &mut impl FnMut(usize, &mut Node)) {
        for node in &mut graph.node {
            edit(*next, node);
            *next += 1;
            for attribute in &mut node.attribute {
                for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    walk(body, next, edit);
                }
            }
        }
    }
    walk(graph, &mut 0, edit);
}

impl<'a> Scope<'a> {
    fn of_graph(graph: &'a Graph, outer: Option<Rc<Self>>) -> Self {
        let mut scope = Self {
            values: HashMap::new(),
            outer,
        };
        let declared = graph.input.iter().chain(&graph.output);
        for info in declared.chain(&graph.value_info) {
            scope.declare(info);
        }
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or_default();
            scope.values.entry(name).or_default().constant = Some(Constant::Tensor(tensor));
        }
        scope.produce(&graph.node);
        scope
    }

    fn of_function(function: &'a Function) -> Self {
        let mut scope = Self {
            values: HashMap::new(),
            outer: None,
        };
        for info in &function.value_info {
            scope.declare(info);
        }
        scope.produce(&function.node);
        scope
    }

    fn declare(&mut self, info: &'a ValueInfo) {
        let name = info.name.as_deref().unwrap_or_default();
        let tensor = info
            .r#type
            .as_ref()
            .and_then(|r#type| r#type.tensor_type.as_ref());
        self.values.entry(name).or_default().declared = tensor;
    }

    fn produce(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            for output in &node.output {
                self.values.entry(output).or_default().producer = Some(node);
            }
            // RTen goes by the name alone, whatever the domain.
            if node.operator() == "Constant"
                && let ([output], [attribute]) = (&node.output[..], &node.attribute[..])
            {
                let constant = match &attribute.t {
                    Some(tensor) => Constant::Tensor(tensor),
                    None => Constant::Attribute(attribute),
                };
                self.values.entry(output).or_default().constant = Some(constant);
            }
        }
    }

    fn find(&self, name: &[u8]) -> Option<(&Self, &Value<'a>)> {
        match (self.values.get(name), &self.outer) {
            (Some(value), _) => Some((self, value)),
            (None, Some(outer)) => outer.find(name),
            (None, None) => None,
        }
    }

    /// Returns the constant called `name`.
    pub(crate) fn constant(&self, name: &[u8]) -> Option<Constant<'a>> {
        self.find(name)?.1.constant
    }

    /// Returns the node that makes the value called `name`.
    pub(crate) fn producer(&self, name: &[u8]) -> Option<&'a Node> {
        self.find(name)?.1.producer
    }

    /// Returns the sizes of the value called `name`, as far as they are known.
    pub(crate) fn dims(&self, name: &[u8], inferred: &Inferred<'_>) -> Option<Vec<Option<usize>>> {
        let mut name = name;
        for _ in 0..LONGEST_CHAIN {
            let (scope, value) = self.find(name)?;
            if let Some(constant) = value.constant {
                return constant
                    .dims()
                    .map(|dims| dims.into_iter().map(Some).collect());
            }
            if scope.outer.is_none()
                && let Some(dims) = inferred(name)
            {
                let fixed = |dim| match dim {
                    Dimension::Fixed(size) => Some(size),
                    Dimension::Symbolic(_) => None,
                };
                return Some(dims.into_iter().map(fixed).collect());
            }
            if let Some(shape) = value.declared.and_then(|declared| declared.shape.as_ref()) {
                let size = |dim: &onnx::Dimension| usize::try_from(dim.dim_value?).ok();
                return Some(shape.dim.iter().map(size).collect());
            }
            let producer = value.producer?;
            if !keeps_shape(&producer.operator()) {
                return None;
            }
            name = producer.input.first()?;
        }
        None
    }

    /// Returns the element type of the value called `name`.
    pub(crate) fn element_type(&self, name: &[u8]) -> Option<DataType> {
        let mut name = name;
        for _ in 0..LONGEST_CHAIN {
            let (_, value) = self.find(name)?;
            if let Some(constant) = value.constant {
                return constant.element_type();
            }
            if let Some(declared) = value.declared
                && let Some(element_type) = declared.elem_type
            {
                return DataType::try_from(element_type).ok();
            }
            let producer = value.producer?;
            match producer.operator().as_ref() {
                "Cast" => {
                    let to = producer.attribute("to")?.i?;
                    return DataType::try_from(i32::try_from(to).ok()?).ok();
                }
                "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "And"
                | "Or" | "Xor" | "IsNaN" | "IsInf" => return Some(DataType::Bool),
                "DynamicQuantizeLinear" if producer.output.first().is_some_and(|it| it == name) => {
                    return Some(DataType::Uint8);
                }
                "CastLike" => name = producer.input.get(1)?,
                operator if keeps_shape(operator) && !operator.ends_with("Linear") => {
                    name = producer.input.first()?;
                }
                _ => return None,
            }
        }
        None
    }
}

/// Returns whether the operator's first output has the shape of its first input.
fn keeps_shape(operator: &str) -> bool {
    matches!(
        operator,
        "Abs"
            | "BatchNormalization"
            | "Cast"
            | "CastLike"
            | "Clip"
            | "DequantizeLinear"
            | "Dropout"
            | "Elu"
            | "Erf"
            | "Exp"
            | "HardSigmoid"
            | "HardSwish"
            | "Identity"
            | "LeakyRelu"
            | "Neg"
            | "PRelu"
            | "QuantizeLinear"
            | "Relu"
            | "Sigmoid"
            | "Sqrt"
            | "Tanh"
    )
}

impl Constant<'_> {
    /// Returns its sizes.
    pub(crate) fn dims(self) -> Option<Vec<usize>> {
        match self {
            Self::Tensor(tensor) => {
                let sizes = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
                sizes.collect()
            }
            Self::Attribute(attribute) => match attribute.name.as_deref()? {
                b"value_int" | b"value_float" => Some(Vec::new()),
                b"value_ints" => Some(vec![attribute.ints.len()]),
                b"value_floats" => Some(vec![attribute.floats.len()]),
                _ => None,
            },
        }
    }

    fn element_type(self) -> Option<DataType> {
        match self {
            Self::Tensor(tensor) => DataType::try_from(tensor.data_type?).ok(),
            Self::Attribute(attribute) => match attribute.name.as_deref()? {
                b"value_int" | b"value_ints" => Some(DataType::Int64),
                b"value_float" | b"value_floats" => Some(DataType::Float),
                _ => None,
            },
        }
    }

    /// Returns its values, if they are whole numbers in the file.
    pub(crate) fn ints(self) -> Option<Vec<i64>> {
        match self {
            Self::Attribute(attribute) => match attribute.name.as_deref()? {
                b"value_int" => Some(vec![attribute.i?]),
                b"value_ints" => Some(attribute.ints.clone()),
                _ => None,
            },
            Self::Tensor(tensor) => tensor.integers(),
        }
    }

    /// Returns its values, if they are f32 numbers in the file.
    pub(crate) fn floats(self) -> Option<Vec<f32>> {
        let tensor = match self {
            Self::Attribute(attribute) => match attribute.name.as_deref()? {
                b"value_float" => return attribute.f.map(|value| vec![value]),
                b"value_floats" => return Some(attribute.floats.clone()),
                _ => return None,
            },
            Self::Tensor(tensor) => tensor,
        };
        if self.element_type()? == DataType::Float {
            tensor.floats()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;

    use super::*;

    fn node(input: &'static str, output: &'static str, attribute: Vec<Attribute>) -> Node {
        Node {
            input: vec![input.into()],
            output: vec![output.into()],
            attribute,
            ..Node::default()
        }
    }

    #[test]
    fn nodes_that_an_output_needs_are_kept() {
        let body = Graph {
            node: vec![node("captured", "inner", vec![])],
            output: vec![ValueInfo {
                name: Some("given".into()),
                ..ValueInfo::default()
            }],
            ..Graph::default()
        };
        let branch = Attribute {
            g: Some(body),
            ..Attribute::default()
        };
        let graph = Graph {
            node: vec![
                node("x", "captured", vec![]),
                node("x", "given", vec![]),
                node("x", "condition", vec![]),
                node("condition", "y", vec![branch]),
                node("y", "ids", vec![]),
            ],
            ..Graph::default()
        };
        let kept = |outputs: &[&str]| {
            let mut graph = graph.clone();
            let outputs: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
            keep_needed(&mut graph, &outputs);
            graph.node.len()
        };
        assert_eq!(kept(&["y"]), 4);
        assert_eq!(kept(&["ids"]), 5);
        assert_eq!(kept(&["given", "captured"]), 2);
        assert_eq!(kept(&["y", "another name"]), 5);
    }

    #[test]
    fn an_outline_has_no_large_weights_but_all_whole_numbers() {
        let tensor = |data_type: DataType, bytes: usize| Tensor {
            dims: vec![bytes as i64 / 4],
            data_type: Some(data_type as i32),
            raw_data: Some(vec![1; bytes].into()),
            ..Tensor::default()
        };
        let graph = Graph {
            initializer: vec![
                tensor(DataType::Float, 8_000),
                tensor(DataType::Float, 16),
                tensor(DataType::Int8, 8_000),
            ],
            ..Graph::default()
        };
        let model = onnx::Model {
            graph: Some(graph),
            ..onnx::Model::default()
        };
        let kept = outline(model).graph.unwrap().initializer;
        let bytes = kept
            .iter()
            .map(|tensor| tensor.raw_data.as_ref().map_or(0, Bytes::len));
        assert_eq!(bytes.collect::<Vec<_>>(), [0, 16, 8_000]);
        assert_eq!(Constant::Tensor(&kept[0]).dims(), Some(vec![2_000]));
        assert_eq!(Constant::Tensor(&kept[0]).floats(), None);
        assert_eq!(
            Constant::Tensor(&kept[1])
                .floats()
                .map(|values| values.len()),
            Some(4)
        );
    }
}
