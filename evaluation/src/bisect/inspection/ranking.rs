//! The nodes of a quantized model by the error that they add.

use std::collections::BTreeMap;

use model_file::expose::{Encoding, Exposure, Shown, What};

use super::Inspection;
use crate::bisect::difference::Apart;
use crate::bisect::noise;
use crate::bisect::result::Unknown;
use crate::bisect::search::{Look, Search};
use crate::bisect::twins::Twins;

impl Inspection<'_> {
    /// Looks at all nodes and their twins, or until all looks are used up. Returns Σ (x − y)² / Σ x² of each node's output y
    /// and its twin's x. Nodes whose twin the engine rejects have none.
    pub fn rank(
        &mut self,
        search: &mut Search,
        twins: Option<&Twins>,
        most_looks: usize,
        progress: &mut dyn FnMut(usize),
    ) -> BTreeMap<usize, f64> {
        self.measure(most_looks);
        let mut added = BTreeMap::new();
        let nodes = (0..self.values.len()).filter(|node| self.values[*node].is_ok());
        let nodes: Vec<usize> = nodes.collect();
        let mut rest = &nodes[..];
        while !rest.is_empty() {
            progress(self.looked_at.len());
            let (part, later) = rest.split_at(self.at_once(rest));
            rest = later;
            let is_new = |node: &usize| !self.looked_at.contains_key(node);
            let new: Vec<usize> = part.iter().copied().filter(is_new).collect();
            if !new.is_empty() && self.looks < most_looks {
                self.look(&new, search, most_looks);
            }
            if let Some(twins) = twins {
                let has_twin = |node: &usize| {
                    twins.values.contains_key(node) && self.looked_at.contains_key(node)
                };
                let pairs: Vec<usize> = part.iter().copied().filter(has_twin).collect();
                self.measure_twins(twins, &pairs, search, most_looks, &mut added);
            }
        }
        added
    }

    /// Adds the noise that `nodes` add to `added`. Nodes for which no look is left count as not looked at: their noise with
    /// the errors before them is many times larger than what they add.
    pub(super) fn measure_twins(
        &mut self,
        twins: &Twins,
        nodes: &[usize],
        search: &mut Search,
        most_looks: usize,
        added: &mut BTreeMap<usize, f64>,
    ) {
        if nodes.is_empty() {
            return;
        }
        if self.looks >= most_looks {
            for node in nodes {
                self.looked_at.remove(node);
                search.forget(*node);
            }
            return;
        }
        self.looks += 1;
        match self.look_at_twins(twins, nodes) {
            Some(found) => added.extend(found),
            None if nodes.len() > 1 => {
                for half in nodes.chunks(nodes.len().div_ceil(2)) {
                    self.measure_twins(twins, half, search, most_looks, added);
                }
            }
            None => {}
        }
    }

    /// Looks at nodes and their twins at once. `None` if the engine rejects the copy.
    fn look_at_twins(&self, twins: &Twins, nodes: &[usize]) -> Option<Vec<(usize, f64)>> {
        let side = &self.sides[twins.side];
        let values = nodes.iter().flat_map(|node| &twins.values[node]);
        let exposure = Exposure {
            values: values
                .map(|value| (value.clone(), Encoding::Single))
                .collect(),
            what: What::Numbers,
        };
        let row = side.show(&exposure, self.directory).ok()?;
        let row = row.to_f32();
        let (_, shown) = exposure.numbers(&row)?;
        let noise = |(node, pair): (&usize, &[Shown<'_>])| {
            let apart = Apart::of_values(&pair[0], &pair[1])?;
            Some((*node, apart.noise?))
        };
        let pairs = nodes.iter().zip(shown.chunks_exact(2));
        Some(pairs.filter_map(noise).collect())
    }

    /// Holds the nodes to the noise that each adds. In a quantized model single values are far away and errors add up,
    /// whatever its nodes do. The first node that differs is measured again, alone, and its twin with it; all are judged
    /// by the result. If looks at several nodes hid the difference of the outputs, so are the nodes before it.
    pub fn hold_to_noise(
        &mut self,
        search: &mut Search,
        twins: Option<&Twins>,
        added: &mut BTreeMap<usize, f64>,
        most_looks: usize,
    ) {
        loop {
            self.judge(search, added);
            let Some(node) = self.next_alone(search) else {
                return;
            };
            let twins = twins.filter(|twins| twins.values.contains_key(&node));
            if self.looks + 1 + usize::from(twins.is_some()) > most_looks {
                return;
            }
            self.look(&[node], search, most_looks);
            if let Some(twins) = twins {
                self.looks += 1;
                added.extend(self.look_at_twins(twins, &[node]).into_iter().flatten());
            }
        }
    }

    /// Returns the node to measure alone next.
    pub(super) fn next_alone(&self, search: &Search) -> Option<usize> {
        let first = search.first();
        let is_among_others =
            |node: &usize| matches!(self.looked_at.get(node), Some((_, alone)) if !alone);
        if !(self.hides && self.ranks) {
            return first.filter(is_among_others);
        }
        let end = first.unwrap_or(self.values.len());
        let mut before = self.looked_at.range(..=end).map(|(node, _)| *node);
        before.find(is_among_others)
    }

    /// Judges the nodes that have noise by what they add.
    fn judge(&mut self, search: &mut Search, added: &BTreeMap<usize, f64>) {
        let seen = self.looked_at.values().map(|(seen, _)| seen);
        for node in noise::of_nodes(seen, &self.parents, added) {
            let differs = node.added.sqrt() > self.limit;
            if let Some((seen, _)) = self.looked_at.get_mut(&node.index) {
                seen.differs = differs;
            }
            let look = if differs { Look::Differs } else { Look::Same };
            search.record(node.index, look);
        }
    }

    /// Returns the nodes that cannot be ranked, of those that lead to the output.
    pub(super) fn unranked(&self, search: &Search, most_looks: usize) -> Vec<Unknown> {
        let reason = |node: usize| match self.looked_at.get(&node) {
            // Where nothing differs, no error is added.
            Some((seen, _)) if seen.problem.is_none() => (seen.noise.is_none()
                && seen.max_error != 0.0)
                .then(|| "its values have no signal-to-noise ratio".to_owned()),
            _ => self.obstacle(node, most_looks),
        };
        let is_constant = |node: usize| self.sides[0].model.nodes()[node].operator() == "Constant";
        (0..self.values.len())
            .filter(|node| search.matters(*node))
            .filter(|node| !self.passed_over[0].contains(node) && !is_constant(*node))
            .filter_map(|node| Some(self.named(0, node, reason(node)?)))
            .collect()
    }
}
