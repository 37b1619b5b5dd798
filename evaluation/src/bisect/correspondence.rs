//! Correspondence between the nodes of two models.
//!
//! Two files of one network may differ in names, and each may have nodes that the other lacks. Evidence is used in the
//! order of its strength: equal weights, equal wiring, equal names, then the neighbours. A node without evidence has no
//! counterpart.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use model_file::onnx::{Attribute, Model, Node, Tensor};
use prost::Message as _;
use prost::bytes::Bytes;

use super::integers;

/// The source of a value that is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Source {
    /// The model's input.
    Input,
    /// An output of a node.
    Node(usize, usize),
}

/// A model as far as it matters here.
struct Wiring<'a> {
    nodes: &'a [Node],
    /// For each node the sources of its inputs, in order, without constants. Nodes that only convert are looked
    /// through.
    sources: Vec<Vec<Source>>,
    /// For each node the nodes that compute its inputs, by position, including constants.
    makers: Vec<Vec<Option<usize>>>,
    /// For each node the nodes that read from it, converting ones looked through.
    readers: Vec<Vec<usize>>,
    /// For each node a hash of its operator, attributes and weights, and whether there are weights that identify nodes.
    signatures: Vec<(u64, bool)>,
    /// The node that makes the output, converting ones looked through.
    end: Option<usize>,
}

/// Operators that change no value, or only its type.
fn converts(node: &Node) -> bool {
    node.is_onnx()
        && matches!(
            node.operator().as_ref(),
            "Identity" | "Dropout" | "Cast" | "CastLike" | "QuantizeLinear" | "DequantizeLinear"
        )
}

/// Commutative operators.
fn commutes(node: &Node) -> bool {
    matches!(
        integers::operator(node).as_ref(),
        "Add" | "Mul" | "Sum" | "Max" | "Min"
    )
}

impl<'a> Wiring<'a> {
    fn new(model: &'a Model) -> Self {
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
        let mut sources: Vec<Vec<Source>> = Vec::new();
        let mut readers = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            let mut own: Vec<Source> = node
                .reads()
                .into_iter()
                .filter_map(|value| from.get(value).copied().flatten())
                .collect();
            if converts(node) {
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
            let constant = node.operator() == "Constant" || converts(node) && own.is_empty();
            for (place, output) in node.output.iter().enumerate() {
                let source = match own.first() {
                    _ if constant => None,
                    Some(source) if converts(node) && place == 0 => Some(*source),
                    _ => Some(Source::Node(index, place)),
                };
                from.insert(output, source);
            }
            sources.push(own);
        }
        let maker = |value: &Bytes| makers_of.get(value).map(|(node, _)| *node);
        let end = model.output().and_then(|output| from.get(output).copied());
        Self {
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
        }
    }

    /// The operator and its domain. One on integers is the one that it stands for.
    fn operator(&self, node: usize) -> (&[u8], &[u8]) {
        let node = &self.nodes[node];
        if let Some(float) = integers::float_operator(node) {
            return (float.as_bytes(), &[]);
        }
        // ONNX's own domain has two names.
        let domain = node.domain.as_deref().filter(|_| !node.is_onnx());
        (
            node.op_type.as_deref().unwrap_or_default(),
            domain.unwrap_or_default(),
        )
    }

    fn same_name(&self, node: usize, other: &Self, its: usize) -> bool {
        let (one, other) = (&self.nodes[node].output, &other.nodes[its].output);
        one.iter()
            .zip(other)
            .any(|(one, other)| !one.is_empty() && one == other)
    }
}

/// The constant tensors of the main graph: initializers.
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

/// For each node of `one` its counterpart in `other`.
pub fn correspondence(one: &Model, other: &Model) -> Vec<Option<usize>> {
    if one.nodes() == other.nodes() {
        return (0..one.nodes().len()).map(Some).collect();
    }
    let (one, other) = (Wiring::new(one), Wiring::new(other));
    let mut matching = Matching {
        to: vec![None; one.nodes.len()],
        back: vec![None; other.nodes.len()],
        one: &one,
        other: &other,
    };
    matching.by_weights();
    loop {
        let before = matching.count();
        matching.by_wiring();
        matching.by_name();
        matching.by_readers();
        matching.by_neighbours();
        if matching.count() == before {
            return matching.to;
        }
    }
}

struct Matching<'a> {
    one: &'a Wiring<'a>,
    other: &'a Wiring<'a>,
    to: Vec<Option<usize>>,
    /// The same the other way round.
    back: Vec<Option<usize>>,
}

impl Matching<'_> {
    fn count(&self) -> usize {
        self.to.iter().flatten().count()
    }

    fn join(&mut self, node: usize, its: usize) {
        self.to[node] = Some(its);
        self.back[its] = Some(node);
    }

    fn are_free(&self, node: usize, its: usize) -> bool {
        self.to[node].is_none() && self.back[its].is_none()
    }

    /// Joins two nodes if both are free, compute the same, and do not conflict.
    fn join_if_alike(&mut self, node: usize, its: usize) {
        if self.are_free(node, its)
            && self.one.operator(node) == self.other.operator(its)
            && self.is_consistent(node, its)
        {
            self.join(node, its);
        }
    }

    fn source(&self, source: Source) -> Option<Source> {
        match source {
            Source::Input => Some(Source::Input),
            Source::Node(maker, place) => Some(Source::Node(self.to[maker]?, place)),
        }
    }

    /// The sources of `node`, as the other model has them; `None` while one of them has no counterpart, or if it reads
    /// nothing.
    fn sources(&self, node: usize) -> Option<Vec<Source>> {
        let sources = self.one.sources[node]
            .iter()
            .map(|source| self.source(*source));
        let mut sources: Vec<Source> = sources.collect::<Option<_>>()?;
        if commutes(&self.one.nodes[node]) {
            sources.sort_unstable();
        }
        Some(sources).filter(|sources| !sources.is_empty())
    }

    /// Returns whether the known sources of two nodes are the same, ignoring nodes without a counterpart.
    fn is_consistent(&self, node: usize, its: usize) -> bool {
        let (ones, others) = (&self.one.sources[node], &self.other.sources[its]);
        let known: Vec<Source> = ones
            .iter()
            .filter_map(|source| self.source(*source))
            .collect();
        let (its_known, its_open): (Vec<Source>, Vec<Source>) =
            others.iter().partition(|source| match source {
                Source::Input => true,
                Source::Node(maker, _) => self.back[*maker].is_some(),
            });
        let missing = known
            .iter()
            .filter(|source| !its_known.contains(source))
            .count();
        let more = its_known
            .iter()
            .filter(|source| !known.contains(source))
            .count();
        missing <= its_open.len() && more <= ones.len() - known.len()
    }

    /// Nodes with the same operator and weights, of which each model has only one.
    fn by_weights(&mut self) {
        let unique = |wiring: &Wiring<'_>| {
            let mut found: HashMap<u64, Option<usize>> = HashMap::new();
            for (index, (signature, is_distinctive)) in wiring.signatures.iter().enumerate() {
                if *is_distinctive {
                    let entry = found.entry(*signature);
                    entry.and_modify(|one| *one = None).or_insert(Some(index));
                }
            }
            found
        };
        let (ones, others) = (unique(self.one), unique(self.other));
        for (signature, node) in ones {
            if let (Some(node), Some(Some(its))) = (node, others.get(&signature)) {
                self.join(node, *its);
            }
        }
    }

    /// Nodes with the same operator that read the same.
    fn by_wiring(&mut self) {
        let (one, other) = (self.one, self.other);
        let others = wired(other);
        let ones = wired(one);
        let mut shared = HashSet::new();
        for node in 0..one.nodes.len() {
            if self.to[node].is_some() {
                continue;
            }
            let Some(sources) = self.sources(node) else {
                continue;
            };
            let Some(found) = others.get(&(one.operator(node), sources.as_slice())) else {
                continue;
            };
            let alike = ones.get(&(one.operator(node), one.sources[node].as_slice()));
            let alike = alike.map_or(&[][..], Vec::as_slice);
            if shared.insert(alike.first()) {
                self.share_out(alike, found);
            }
        }
    }

    /// Joins nodes that do and read the same: those with the same name, then those with the same weights, then the
    /// first with the first if both models have as many.
    fn share_out(&mut self, ones: &[usize], others: &[usize]) {
        let (one, other) = (self.one, self.other);
        let same_name = |node: usize, its: usize| one.same_name(node, other, its);
        let same_weights =
            |node: usize, its: usize| one.signatures[node].0 == other.signatures[its].0;
        let alike: [&dyn Fn(usize, usize) -> bool; 2] = [&same_name, &same_weights];
        for alike in alike {
            for node in ones {
                let free = others
                    .iter()
                    .find(|its| self.are_free(*node, **its) && alike(*node, **its));
                if let Some(its) = free {
                    self.join(*node, *its);
                }
            }
        }
        let ones = ones.iter().filter(|node| self.to[**node].is_none());
        let ones: Vec<usize> = ones.copied().collect();
        let others = others.iter().filter(|its| self.back[**its].is_none());
        let others: Vec<usize> = others.copied().collect();
        if ones.len() == others.len() {
            for (node, its) in ones.into_iter().zip(others) {
                self.join(node, its);
            }
        }
    }

    /// Nodes with the same operator that make a value of the same name, or that have the same name.
    fn by_name(&mut self) {
        let (mut values, mut names) = (HashMap::new(), HashMap::new());
        for (its, node) in self.other.nodes.iter().enumerate() {
            values.extend(node.output.iter().flat_map(spellings).map(|it| (it, its)));
            names.extend(node.name.iter().flat_map(spellings).map(|it| (it, its)));
        }
        for (index, node) in self.one.nodes.iter().enumerate() {
            let outputs = node.output.iter().filter(|output| !output.is_empty());
            let mut outputs = outputs.flat_map(spellings);
            let made = outputs.find_map(|output| values.get(&output));
            let name = node.name.iter().filter(|name| !name.is_empty());
            let named = name.flat_map(spellings).find_map(|name| names.get(&name));
            for its in made.into_iter().chain(named) {
                self.join_if_alike(index, *its);
            }
        }
    }

    /// Nodes with the same operator whose counterparts are read at the same place.
    fn by_readers(&mut self) {
        if let (Some(end), Some(its)) = (self.one.end, self.other.end) {
            self.join_if_alike(end, its);
        }
        for node in (0..self.one.nodes.len()).rev() {
            let Some(its) = self.to[node] else { continue };
            if self.one.operator(node) != self.other.operator(its) {
                continue;
            }
            let (one, other) = (self.one, self.other);
            for pair in one.makers[node].iter().zip(&other.makers[its]) {
                if let (Some(maker), Some(its)) = pair {
                    self.join_if_alike(*maker, *its);
                    // One of the models may have a node more in between.
                    let before = other.sources[*its].as_slice();
                    if let ([Source::Node(before, _)], None) = (before, self.back[*its]) {
                        self.join_if_alike(*maker, *before);
                    }
                    let before = one.sources[*maker].as_slice();
                    if let ([Source::Node(before, _)], None) = (before, self.to[*maker]) {
                        self.join_if_alike(*before, *its);
                    }
                }
            }
        }
    }

    /// One operator in the place of another: all that it reads and something that reads it are counterparts.
    fn by_neighbours(&mut self) {
        let (one, other) = (self.one, self.other);
        let mut others: HashMap<&[Source], Vec<usize>> = HashMap::new();
        for (its, sources) in other.sources.iter().enumerate() {
            others.entry(sources).or_default().push(its);
        }
        for node in 0..one.nodes.len() {
            let Some(sources) = self.sources(node).filter(|_| self.to[node].is_none()) else {
                continue;
            };
            let between = |its: &usize| {
                let is_read = one.readers[node].iter().any(|reader| {
                    self.to[*reader].is_some_and(|reader| other.readers[*its].contains(&reader))
                });
                self.back[*its].is_none()
                    && (is_read || one.end == Some(node) && other.end == Some(*its))
            };
            let reading = others
                .get(sources.as_slice())
                .map_or(&[][..], Vec::as_slice);
            let mut found = reading.iter().copied().filter(between);
            if let (Some(its), None) = (found.next(), found.next()) {
                self.join(node, its);
            }
        }
    }
}

/// Returns a name, and the one that it has in a float model.
fn spellings(name: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    [Some(name.clone()), integers::float_name(name)]
        .into_iter()
        .flatten()
}

/// The nodes by operator and inputs.
fn wired<'a>(wiring: &'a Wiring<'_>) -> HashMap<((&'a [u8], &'a [u8]), &'a [Source]), Vec<usize>> {
    let mut found: HashMap<_, Vec<usize>> = HashMap::new();
    for node in 0..wiring.nodes.len() {
        let key = (wiring.operator(node), wiring.sources[node].as_slice());
        found.entry(key).or_default().push(node);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_file::onnx::{Graph, ValueInfo};

    fn node(operator: &'static str, inputs: &[&str], output: &str) -> Node {
        Node {
            input: inputs
                .iter()
                .map(|name| Bytes::from((*name).to_owned()))
                .collect(),
            output: vec![Bytes::from(output.to_owned())],
            op_type: Some(operator.into()),
            ..Node::default()
        }
    }

    fn model(nodes: Vec<Node>, weights: &[(&str, u8)]) -> Model {
        let value = |name: Bytes| ValueInfo {
            name: Some(name),
            ..ValueInfo::default()
        };
        let output = nodes.last().unwrap().output[0].clone();
        let weight = |(name, fill): &(&str, u8)| Tensor {
            name: Some(Bytes::from((*name).to_owned())),
            dims: vec![16],
            raw_data: Some(vec![*fill; 64].into()),
            ..Tensor::default()
        };
        Model {
            graph: Some(Graph {
                node: nodes,
                input: vec![value("x".into())],
                output: vec![value(output)],
                initializer: weights.iter().map(weight).collect(),
                ..Graph::default()
            }),
            ..Model::default()
        }
    }

    #[test]
    fn renamed_nodes_are_found_by_their_wiring() {
        let one = model(
            vec![
                node("Relu", &["x"], "a"),
                node("Add", &["a", "x"], "b"),
                node("Sigmoid", &["a"], "c"),
                node("Mul", &["b", "c"], "y"),
            ],
            &[],
        );
        // Another order, other names, inputs of an `Add` changed over.
        let other = model(
            vec![
                node("Relu", &["x"], "1"),
                node("Sigmoid", &["1"], "2"),
                node("Add", &["x", "1"], "3"),
                node("Mul", &["3", "2"], "4"),
            ],
            &[],
        );
        let found = correspondence(&one, &other);
        assert_eq!(found, [Some(0), Some(2), Some(1), Some(3)]);
    }

    #[test]
    fn names_that_moved_on_do_not_mislead() {
        let one = model(
            vec![
                node("Add", &["x", "v"], "1"),
                node("Add", &["1", "w"], "2"),
                node("Relu", &["2"], "3"),
            ],
            &[("v", 1), ("w", 2)],
        );
        // A node more at the start, and values numbered again.
        let other = model(
            vec![
                node("Tanh", &["x"], "1"),
                node("Add", &["1", "v"], "2"),
                node("Add", &["2", "w"], "3"),
                node("Relu", &["3"], "4"),
            ],
            &[("v", 1), ("w", 2)],
        );
        assert_eq!(correspondence(&one, &other), [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_node_more_in_between_hides_no_other() {
        let one = model(
            vec![
                node("Conv", &["x", "v"], "a"),
                node("Add", &["a", "x"], "b"),
                node("Conv", &["b", "w"], "c"),
            ],
            &[("v", 1), ("w", 2)],
        );
        let other = model(
            vec![
                node("Conv", &["x", "v"], "A"),
                node("Mul", &["A", "k"], "M"),
                node("Add", &["M", "x"], "B"),
                node("Mul", &["B", "k"], "N"),
                node("Conv", &["N", "w"], "C"),
            ],
            &[("v", 1), ("w", 2), ("k", 3)],
        );
        assert_eq!(correspondence(&one, &other), [Some(0), Some(2), Some(4)]);
        assert_eq!(
            correspondence(&other, &one),
            [Some(0), None, Some(1), None, Some(2)]
        );
    }

    #[test]
    fn one_operator_for_another_and_conversions_are_seen_through() {
        let one = model(
            vec![
                node("Conv", &["x", "v"], "a"),
                node("Relu", &["a"], "b"),
                node("Conv", &["b", "w"], "c"),
            ],
            &[("v", 1), ("w", 2)],
        );
        let other = model(
            vec![
                node("QuantizeLinear", &["x", "s"], "q"),
                node("DequantizeLinear", &["q", "s"], "d"),
                node("Conv", &["d", "v"], "A"),
                node("LeakyRelu", &["A"], "B"),
                node("Conv", &["B", "w"], "C"),
                node("Softmax", &["C"], "y"),
            ],
            &[("v", 1), ("w", 3), ("s", 9)],
        );
        assert_eq!(correspondence(&one, &other), [Some(2), None, None]);
        // Equal weights identify the second convolution and the nodes before it.
        let other = model(
            vec![
                node("Conv", &["x", "v"], "A"),
                node("LeakyRelu", &["A"], "B"),
                node("Conv", &["B", "w"], "C"),
            ],
            &[("v", 1), ("w", 2)],
        );
        assert_eq!(correspondence(&one, &other), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn what_has_no_counterpart_has_none() {
        let one = model(
            vec![node("Relu", &["x"], "a"), node("Erf", &["a"], "b")],
            &[],
        );
        let other = model(
            vec![
                node("Tanh", &["x"], "1"),
                node("Exp", &["1"], "2"),
                node("Sin", &["2"], "3"),
            ],
            &[],
        );
        assert_eq!(correspondence(&one, &other), [None, None]);
    }
}
