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
    /// Returns Σ (x − y)² / Σ x² of each node's output y and its twin's x. Nodes whose twin the engine rejects have
    /// none.
    pub fn added_noise(
        &mut self,
        twins: &Twins,
        most_looks: usize,
        progress: &mut dyn FnMut(usize),
    ) -> BTreeMap<usize, f64> {
        let mut added = BTreeMap::new();
        let nodes: Vec<usize> = twins.values.keys().copied().collect();
        let mut rest = &nodes[..];
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.at_once(rest));
            parts.push(part);
            rest = later;
        }
        parts.reverse();
        while self.looks < most_looks
            && let Some(part) = parts.pop()
        {
            progress(self.looked_at.len());
            self.looks += 1;
            match self.look_at_twins(twins, part) {
                Some(found) => added.extend(found),
                None if part.len() > 1 => {
                    let (now, later) = part.split_at(part.len() / 2);
                    parts.extend([later, now]);
                }
                None => {}
            }
        }
        self.unmeasured = parts.concat();
        added
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
            let next = self.next_alone(search);
            let Some(node) = next.filter(|_| self.looks < most_looks) else {
                return;
            };
            self.look(&[node], search, most_looks);
            let twins = twins.filter(|twins| twins.values.contains_key(&node));
            if let Some(twins) = twins.filter(|_| self.looks < most_looks) {
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
