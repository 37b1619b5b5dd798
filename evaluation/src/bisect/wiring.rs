//! A model as far as the correspondence of its nodes needs it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use model_file::onnx::{Attribute, Model, Node, Tensor};
use prost::Message as _;
use prost::bytes::Bytes;

use super::integers;

/// The source of a value that is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The model's input.
    Input,
    /// An output of a node.
    Node(usize, usize),
}

/// A model as far as it matters here.
pub struct Wiring<'a> {
    pub nodes: &'a [Node],
    /// For each node the sources of its inputs, in order, without constants. Nodes that only convert are looked
    /// through.
    pub sources: Vec<Vec<Source>>,
    /// For each node the nodes that compute its inputs, by position, including constants.
    pub makers: Vec<Vec<Option<usize>>>,
    /// For each node the nodes that read from it, converting ones looked through.
    pub readers: Vec<Vec<usize>>,
    /// For each node a hash of its operator, attributes and weights, and whether there are weights that identify nodes.
    pub signatures: Vec<(u64, bool)>,
    /// The node that makes the output, converting ones looked through.
    pub end: Option<usize>,
    /// For each node on integers the node that makes real numbers of its output.
    rescaled: HashMap<usize, usize>,
    /// For each node the node that it is a part of, as far as one model alone tells.
    pub parts: BTreeMap<usize, usize>,
    /// For each product without a bias the only node that reads it, if this adds a constant.
    biases: HashMap<usize, usize>,
}

/// Operators that change no value, or only its type.
pub fn converts(node: &Node) -> bool {
    node.is_onnx()
        && matches!(
            node.operator().as_ref(),
            "Identity"
                | "Dropout"
                | "Cast"
                | "CastLike"
                | "QuantizeLinear"
                | "DequantizeLinear"
                | "DynamicQuantizeLinear"
        )
}

/// Returns whether the operator is commutative.
pub fn commutes(node: &Node) -> bool {
    matches!(
        integers::operator(node).as_ref(),
        "Add" | "Mul" | "Sum" | "Max" | "Min"
    )
}

impl<'a> Wiring<'a> {
    pub fn new(model: &'a Model) -> Self {
        let nodes = model.nodes();
        let constants = constants(model);
        // Where each value comes from; `None` for constants.
        let mut from: HashMap<&Bytes, Option<Source>> = HashMap::new();
        for input in model.graph.iter().flat_map(|graph| &graph.input) {
            if let Some(name) = input
                .name
                .as_ref()
                .filter(|name| !constants.contains_key(name))
            {
                from.insert(name, Some(Source::Input));
            }
        }
        let makers_of = model.makers();
        let rescaling = integers::rescaling(model);
        let parts: BTreeMap<usize, usize> = rescaling
            .iter()
            .flat_map(|(whole, parts)| parts.map(|part| (part, *whole)))
            .collect();
        let mut sources: Vec<Vec<Source>> = Vec::new();
        let mut readers = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            let mut own: Vec<Source> = node
                .reads()
                .into_iter()
                .filter_map(|value| from.get(value).copied().flatten())
                .collect();
            let whole = parts.get(&index);
            let is_passed = whole.is_some() || converts(node);
            if let Some(whole) = whole {
                own = vec![Source::Node(*whole, 0)];
            } else if is_passed {
                // The value itself; scales and zero points do not count.
                own.truncate(1);
            }
            for source in &own {
                if let Source::Node(maker, _) = source {
                    readers[*maker].push(index);
                }
            }
            if commutes(node) {
                own.sort_unstable();
            }
            let reads_constants = own.is_empty() && !node.reads().is_empty();
            let constant = node.operator() == "Constant" || reads_constants;
            let is_dynamic = node.operator() == "DynamicQuantizeLinear";
            for (place, output) in node.output.iter().enumerate() {
                let source = match own.first() {
                    _ if constant => None,
                    Some(source) if is_passed && place == 0 => Some(*source),
                    // Its scale and zero point.
                    Some(_) if is_dynamic => None,
                    _ => Some(Source::Node(index, place)),
                };
                from.insert(output, source);
            }
            sources.push(own);
        }
        let maker = |value: &Bytes| makers_of.get(value).map(|(node, _)| *node);
        let end = model.output().and_then(|output| from.get(output).copied());
        let mut wiring = Self {
            nodes,
            makers: nodes
                .iter()
                .map(|node| node.reads().into_iter().map(maker).collect())
                .collect(),
            signatures: nodes
                .iter()
                .map(|node| signature(node, &constants))
                .collect(),
            end: match end.flatten() {
                Some(Source::Node(node, _)) => Some(node),
                _ => None,
            },
            sources,
            readers,
            rescaled: rescaling
                .into_iter()
                .map(|(node, [_, last])| (node, last))
                .collect(),
            parts,
            biases: HashMap::new(),
        };
        let biases = (0..nodes.len()).filter_map(|node| Some((node, wiring.bias_of(node)?)));
        wiring.biases = biases.collect();
        wiring
    }

    /// Returns the only node that reads a product without a bias, if this adds a constant.
    fn bias_of(&self, node: usize) -> Option<usize> {
        if integers::has_bias(&self.nodes[node]) != Some(false) || self.end == Some(node) {
            return None;
        }
        let readers = self.readers[node].iter();
        let mut readers = readers
            .filter(|reader| !self.parts.contains_key(reader) && !converts(&self.nodes[**reader]));
        let (Some(&reader), None) = (readers.next(), readers.next()) else {
            return None;
        };
        let is_sum = integers::operator(&self.nodes[reader]) == "Add";
        (is_sum && self.sources[reader] == [Source::Node(node, 0)]).then_some(reader)
    }

    /// Returns the node that adds the bias of `node` where `its`, its counterpart in the other model, does so itself.
    pub fn bias(&self, node: usize, other: &Self, its: usize) -> Option<usize> {
        let is_inside = integers::has_bias(&other.nodes[its]) == Some(true);
        self.biases.get(&node).copied().filter(|_| is_inside)
    }

    /// Returns the values that a node makes, and the real numbers that another node makes of its integers.
    pub fn outputs(&self, node: usize) -> impl Iterator<Item = &'a Bytes> {
        let rescaled = self.rescaled.get(&node).map(|last| &self.nodes[*last]);
        let nodes = [Some(&self.nodes[node]), rescaled].into_iter().flatten();
        nodes.flat_map(|node| &node.output)
    }

    /// Returns the nodes that compute the constants which `node` reads.
    pub fn makers_of_constants(&self, node: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for maker in self.makers[node].iter().flatten() {
                if self.sources[*maker].is_empty() && !found.contains(maker) {
                    found.push(*maker);
                    open.push(*maker);
                }
            }
        }
        found
    }

    /// Returns the operator, without its bias, and its domain. One on integers is the one that it stands for.
    pub fn operator(&self, node: usize) -> (Cow<'a, str>, &[u8]) {
        let node = &self.nodes[node];
        if integers::float_operator(node).is_some() {
            return (integers::product(node), &[]);
        }
        // ONNX's own domain has two names.
        let domain = node.domain.as_deref().filter(|_| !node.is_onnx());
        (integers::product(node), domain.unwrap_or_default())
    }

    pub fn same_name(&self, node: usize, other: &Self, its: usize) -> bool {
        let (one, other) = (&self.nodes[node].output, &other.nodes[its].output);
        one.iter()
            .zip(other)
            .any(|(one, other)| !one.is_empty() && one == other)
    }
}

/// Returns the constant tensors of the main graph: initializers.
fn constants(model: &Model) -> HashMap<&Bytes, &Tensor> {
    let tensors = model.graph.iter().flat_map(|graph| &graph.initializer);
    tensors
        .filter_map(|tensor| Some((tensor.name.as_ref()?, tensor)))
        .collect()
}

/// The least number of weights that are equal in one node alone, and not by chance.
const DISTINCTIVE_WEIGHTS: i64 = 8;

/// Returns a hash of operator, attributes and weights, and true if there are weights that identify nodes.
fn signature(node: &Node, constants: &HashMap<&Bytes, &Tensor>) -> (u64, bool) {
    let mut hasher = DefaultHasher::new();
    let mut is_distinctive = false;
    node.op_type.hash(&mut hasher);
    node.output.len().hash(&mut hasher);
    let mut attributes: Vec<Vec<u8>> = node
        .attribute
        .iter()
        .map(Attribute::encode_to_vec)
        .collect();
    attributes.sort();
    attributes.hash(&mut hasher);
    for input in &node.input {
        if let Some(tensor) = constants.get(input) {
            let tensor = Tensor {
                name: None,
                doc_string: None,
                ..(*tensor).clone()
            };
            let elements = tensor
                .dims
                .iter()
                .fold(1_i64, |product, size| product.saturating_mul(*size));
            // Tensors in other files are not compared.
            is_distinctive |= tensor.external_data.is_empty() && elements >= DISTINCTIVE_WEIGHTS;
            tensor.encode_to_vec().hash(&mut hasher);
        }
    }
    (hasher.finish(), is_distinctive)
}

/// The nodes of one operator that read the same sources.
type Alike<'a> = HashMap<((Cow<'a, str>, &'a [u8]), &'a [Source]), Vec<usize>>;

/// Returns the nodes by operator and inputs.
pub fn wired<'a>(wiring: &'a Wiring<'_>) -> Alike<'a> {
    let mut found: HashMap<_, Vec<usize>> = HashMap::new();
    for node in 0..wiring.nodes.len() {
        let key = (wiring.operator(node), wiring.sources[node].as_slice());
        found.entry(key).or_default().push(node);
    }
    found
}
