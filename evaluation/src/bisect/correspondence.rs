//! Correspondence between the nodes of two models.
//!
//! Two files of one network may differ in names, and each may have nodes that the other lacks. Evidence is used in the
//! order of its strength: equal weights, equal wiring, equal names, then the neighbours. A node without evidence has no
//! counterpart.

use std::collections::{BTreeMap, HashMap, HashSet};

use model_file::onnx::Model;
use prost::bytes::Bytes;

use super::integers;
use super::wiring::{Source, Wiring, commutes, wired};

/// The counterparts of nodes.
pub struct Correspondence {
    /// For each node of the first model its counterpart in the second.
    pub counterparts: Vec<Option<usize>>,
    /// Maps each part to its whole, in both models. Parts are the `Cast` and `Mul` behind integer sums, a separate bias, and
    /// the nodes that compute their constants.
    pub parts: [BTreeMap<usize, usize>; 2],
}

impl Correspondence {
    /// Returns the whole of a part; the node itself if it is not a part.
    pub fn whole(&self, side: usize, node: usize) -> usize {
        self.parts[side].get(&node).copied().unwrap_or(node)
    }

    /// Maps each whole to its last part, which makes its value.
    pub fn last_parts(&self, side: usize) -> HashMap<usize, usize> {
        // The nodes are in topological order.
        let parts = self.parts[side].iter();
        parts.map(|(part, whole)| (*whole, *part)).collect()
    }
}

/// Returns for each node of `one` its counterpart in `other`.
pub fn correspondence(one: &Model, other: &Model) -> Correspondence {
    let is_same = one.nodes() == other.nodes();
    let (one, other) = (Wiring::new(one), Wiring::new(other));
    let parts = [one.parts.clone(), other.parts.clone()];
    if is_same {
        return Correspondence {
            counterparts: (0..one.nodes.len()).map(Some).collect(),
            parts,
        };
    }
    let mut matching = Matching {
        to: vec![None; one.nodes.len()],
        back: vec![None; other.nodes.len()],
        ends: HashMap::new(),
        parts,
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
            return matching.conclude();
        }
    }
}

struct Matching<'a> {
    one: &'a Wiring<'a>,
    other: &'a Wiring<'a>,
    to: Vec<Option<usize>>,
    /// The same the other way round.
    back: Vec<Option<usize>>,
    /// Maps a node to the node of the other model that makes the same value, if that is not its counterpart. One of the two
    /// adds a separate bias.
    ends: HashMap<usize, usize>,
    /// Maps each part to its whole, in both models.
    parts: [BTreeMap<usize, usize>; 2],
}

impl Matching<'_> {
    fn count(&self) -> usize {
        self.to.iter().flatten().count()
    }

    fn join(&mut self, node: usize, its: usize) {
        self.to[node] = Some(its);
        self.back[its] = Some(node);
        if let Some(bias) = self.one.bias(node, self.other, its)
            && self.to[bias].is_none()
        {
            self.parts[0].insert(bias, node);
            self.ends.insert(bias, its);
        } else if let Some(bias) = self.other.bias(its, self.one, node)
            && self.back[bias].is_none()
        {
            self.parts[1].insert(bias, its);
            self.ends.insert(node, bias);
        }
    }

    fn are_free(&self, node: usize, its: usize) -> bool {
        self.is_free(node) && self.is_other_free(its)
    }

    fn is_free(&self, node: usize) -> bool {
        self.to[node].is_none() && !self.parts[0].contains_key(&node)
    }

    fn is_other_free(&self, its: usize) -> bool {
        self.back[its].is_none() && !self.parts[1].contains_key(&its)
    }

    /// Adds to the parts what computes their constants.
    fn conclude(mut self) -> Correspondence {
        for (side, wiring) in [self.one, self.other].into_iter().enumerate() {
            for (part, whole) in self.parts[side].clone() {
                for maker in wiring.makers_of_constants(part) {
                    let joined = [&self.to, &self.back][side][maker];
                    if joined.is_none() {
                        self.parts[side].entry(maker).or_insert(whole);
                    }
                }
            }
        }
        Correspondence {
            counterparts: self.to,
            parts: self.parts,
        }
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
            Source::Node(maker, place) => {
                let end = self.ends.get(&maker).copied();
                Some(Source::Node(end.or(self.to[maker])?, place))
            }
        }
    }

    /// Returns the sources of `node`, as the other model has them; `None` while one of them has no counterpart, or if
    /// it reads nothing.
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
                Source::Node(maker, _) => !self.is_other_free(*maker),
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
        let pairs = ones.iter().filter_map(|(signature, node)| {
            let its = others.get(signature).copied();
            Some(((*node)?, its.flatten()?))
        });
        // In the order of the nodes: a product comes before its bias, which then is a part of it.
        for (node, its) in pairs.collect::<BTreeMap<_, _>>() {
            if self.are_free(node, its) {
                self.join(node, its);
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
            if !self.is_free(node) {
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
        let ones = ones.iter().filter(|node| self.is_free(**node));
        let ones: Vec<usize> = ones.copied().collect();
        let others = others.iter().filter(|its| self.is_other_free(**its));
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
            let outputs = self.other.outputs(its).flat_map(spellings);
            values.extend(outputs.map(|it| (it, its)));
            names.extend(node.name.iter().flat_map(spellings).map(|it| (it, its)));
        }
        for (index, node) in self.one.nodes.iter().enumerate() {
            let outputs = self.one.outputs(index);
            let outputs = outputs.filter(|output| !output.is_empty());
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
            let Some(sources) = self.sources(node).filter(|_| self.is_free(node)) else {
                continue;
            };
            let between = |its: &usize| {
                let is_read = one.readers[node].iter().any(|reader| {
                    self.to[*reader].is_some_and(|reader| other.readers[*its].contains(&reader))
                });
                self.is_other_free(*its)
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

#[cfg(test)]
mod tests {
    use super::*;
    use model_file::onnx::{Graph, Node, Tensor, ValueInfo};

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
        let found = correspondence(&one, &other).counterparts;
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
        assert_eq!(
            correspondence(&one, &other).counterparts,
            [Some(1), Some(2), Some(3)]
        );
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
        assert_eq!(
            correspondence(&one, &other).counterparts,
            [Some(0), Some(2), Some(4)]
        );
        assert_eq!(
            correspondence(&other, &one).counterparts,
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
        assert_eq!(
            correspondence(&one, &other).counterparts,
            [Some(2), None, None]
        );
        // Equal weights identify the second convolution and the nodes before it.
        let other = model(
            vec![
                node("Conv", &["x", "v"], "A"),
                node("LeakyRelu", &["A"], "B"),
                node("Conv", &["B", "w"], "C"),
            ],
            &[("v", 1), ("w", 2)],
        );
        assert_eq!(
            correspondence(&one, &other).counterparts,
            [Some(0), Some(1), Some(2)]
        );
    }

    #[test]
    fn a_bias_may_be_a_node_of_its_own() {
        let one = model(
            vec![
                node("Conv", &["x", "v", "b"], "a"),
                // Not the bias.
                node("Add", &["a", "three"], "d"),
                node("Relu", &["d"], "e"),
                node("Gemm", &["e", "w", "c"], "f"),
            ],
            &[("v", 1), ("b", 2), ("three", 3), ("w", 4), ("c", 5)],
        );
        let other = model(
            vec![
                node("DynamicQuantizeLinear", &["x"], "q"),
                node("ConvInteger", &["q", "V"], "1"),
                node("Cast", &["1"], "2"),
                node("Mul", &["2", "s"], "3"),
                node("Reshape", &["B", "shape"], "4"),
                node("Add", &["4", "3"], "5"),
                node("Add", &["5", "three"], "6"),
                node("Relu", &["6"], "7"),
                node("MatMulInteger", &["7", "W"], "8"),
                node("Cast", &["8"], "9"),
                node("Mul", &["9", "s"], "10"),
                node("Add", &["10", "C"], "11"),
            ],
            &[
                ("V", 6),
                ("s", 7),
                ("B", 8),
                ("shape", 9),
                ("three", 10),
                ("W", 11),
                ("C", 12),
            ],
        );
        let found = correspondence(&one, &other);
        assert_eq!(found.counterparts, [Some(1), Some(6), Some(7), Some(8)]);
        let parts = BTreeMap::from([(2, 1), (3, 1), (4, 1), (5, 1), (9, 8), (10, 8), (11, 8)]);
        assert_eq!(found.parts, [BTreeMap::new(), parts.clone()]);
        let found = correspondence(&other, &one);
        let wholes = [(1, 0), (6, 1), (7, 2), (8, 3)];
        let matched = found.counterparts.iter().enumerate();
        let matched = matched.filter_map(|(node, its)| Some((node, (*its)?)));
        assert_eq!(matched.collect::<Vec<_>>(), wholes);
        assert_eq!(found.parts, [parts, BTreeMap::new()]);
    }

    #[test]
    fn a_part_has_no_counterpart() {
        let weights = [("v", 1), ("b", 2), ("c", 3)];
        let one = model(
            vec![
                node("Conv", &["x", "v"], "a"),
                node("Add", &["a", "b"], "d"),
            ],
            &weights,
        );
        // The same weights, and a computed bias inside the `Conv`.
        let other = model(
            vec![
                node("Neg", &["c"], "1"),
                node("Conv", &["x", "v", "1"], "2"),
                node("Add", &["2", "b"], "3"),
            ],
            &weights,
        );
        let bias = BTreeMap::from([(1, 0)]);
        // Hash maps have another order each time.
        for _ in 0..8 {
            let found = correspondence(&one, &other);
            assert_eq!(found.counterparts, [Some(1), None]);
            assert_eq!(found.parts, [bias.clone(), BTreeMap::new()]);
        }
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
        assert_eq!(correspondence(&one, &other).counterparts, [None, None]);
    }
}
