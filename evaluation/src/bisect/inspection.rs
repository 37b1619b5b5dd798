//! Looks at values of two models, and their results.

mod ranking;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use backend_api::Tensor;
use model_file::expose::{Encoding, Exposure, Shown, What};
use model_file::onnx::{self, Node};
use prost::bytes::Bytes;

use super::correspondence::Correspondence;
use super::difference::Apart;
use super::quantized::Quantized;
use super::result::{Bisection, LookedAt, Unknown};
use super::search::{Look, Search};
use super::side::Side;
use crate::text::counted;

/// The most nodes in one look.
const MOST_AT_ONCE: usize = 32;
/// The same where the sizes of values are not known.
const FEW_AT_ONCE: usize = 8;
/// The most numbers in one look, which are 64 MiB.
const MOST_NUMBERS: usize = 16 << 20;
/// By how much of its largest value a node of `f64` may differ if its inputs are equal bit for bit.
const ONE_ENGINE_DOUBLE: f64 = 1e-14;

/// Names of a node's value in the two models, with their encodings.
pub type Named = [(Bytes, Encoding); 2];

/// The looks at two models.
pub struct Inspection<'a> {
    sides: &'a [Side<'a>; 2],
    /// For each node of the reference's model its counterpart in the run's.
    pub counterparts: Vec<Option<usize>>,
    /// For each node the values that it makes, or the reason why they cannot be looked at.
    pub values: Vec<Result<Vec<Named>, String>>,
    /// For each node the total count of numbers in those values, if it is known.
    sizes: Option<Vec<usize>>,
    /// The outputs without a look.
    own: [&'a [f32]; 2],
    limit: f64,
    /// The nodes that compute in `f64`, if they have a separate limit.
    doubles: Vec<usize>,
    /// For each node the nodes that it reads from.
    pub parents: Vec<Vec<usize>>,
    directory: &'a Path,
    looks: usize,
    /// True if the outputs differ without a look.
    outputs_differ: bool,
    /// True if a look at several nodes made that difference vanish.
    hides: bool,
    /// True if the nodes are ranked by the error that they add.
    pub ranks: bool,
    /// The nodes that were looked at, and whether they were looked at alone.
    pub looked_at: BTreeMap<usize, (LookedAt, bool)>,
    output_changed: [f64; 2],
    /// The nodes of both models that need no look of their own.
    passed_over: [HashSet<usize>; 2],
}

impl<'a> Inspection<'a> {
    pub fn new(
        sides: &'a [Side<'a>; 2],
        correspondence: Correspondence,
        own: [&'a [f32]; 2],
        limit: f64,
        quantized: &[Quantized; 2],
        directory: &'a Path,
    ) -> Self {
        let used = sides[0].model.used();
        let nodes = sides[0].model.nodes().iter();
        let nodes = nodes.zip(&correspondence.counterparts);
        let values = nodes
            .map(|(node, counterpart)| values(sides, node, *counterpart, &used, quantized))
            .collect();
        let passed_over = Quantized::passed_over(sides, &correspondence, quantized);
        Self {
            sides,
            counterparts: correspondence.counterparts,
            values,
            sizes: None,
            own,
            limit,
            doubles: Vec::new(),
            parents: sides[0].model.parents(),
            directory,
            looks: 0,
            outputs_differ: Apart::of_rows(own[0], own[1]).is_beyond(limit),
            hides: false,
            ranks: false,
            looked_at: BTreeMap::new(),
            output_changed: [0.0; 2],
            passed_over,
        }
    }

    /// Looks until the first node that differs is known, or all looks are used up.
    pub fn search(
        &mut self,
        search: &mut Search,
        most_looks: usize,
        progress: &mut dyn FnMut(usize),
    ) {
        self.measure(most_looks);
        loop {
            progress(self.looked_at.len());
            let mut nodes = self.next(search);
            if nodes.is_empty() && self.refine(search) {
                continue;
            }
            if nodes.is_empty() {
                // A node that was found among others is looked at alone: engines fuse values that are not outputs.
                let first = search.first();
                let alone = first.and_then(|first| Some(self.looked_at.get(&first)?.1));
                nodes.extend(first.filter(|_| alone == Some(false)));
            }
            if nodes.is_empty() || self.looks >= most_looks {
                return;
            }
            self.look(&nodes, search, most_looks);
        }
    }

    /// Looks at all nodes that were not looked at, or until all looks are used up.
    pub fn look_at_all(
        &mut self,
        search: &mut Search,
        most_looks: usize,
        progress: &mut dyn FnMut(usize),
    ) {
        loop {
            let open = (0..self.values.len()).filter(|node| self.values[*node].is_ok());
            let open: Vec<usize> = open
                .filter(|node| !self.looked_at.contains_key(node))
                .collect();
            if open.is_empty() || self.looks >= most_looks {
                return;
            }
            progress(self.looked_at.len());
            self.look(&open[..self.at_once(&open)], search, most_looks);
        }
    }

    /// Returns whether nodes have to be looked at one by one. Ranked nodes have not: those that matter are measured again,
    /// alone.
    fn one_at_a_time(&self) -> bool {
        self.hides && !self.ranks
    }

    /// Returns how many of `nodes` fit into a look.
    fn at_once(&self, nodes: &[usize]) -> usize {
        if self.one_at_a_time() {
            return 1;
        }
        let mut numbers = 0;
        let fits = |node: &&usize| {
            let sizes = self.sizes.as_ref();
            numbers += sizes.map_or(MOST_NUMBERS / FEW_AT_ONCE, |sizes| sizes[**node]);
            numbers <= MOST_NUMBERS
        };
        let nodes = nodes.iter().take(MOST_AT_ONCE).take_while(fits);
        nodes.count().max(1)
    }

    pub fn find_doubles(&mut self) {
        let is_double = |values: &Vec<Named>| {
            let mut names = values.iter().flat_map(|named| self.sides.iter().zip(named));
            names.all(|(side, (name, _))| side.is_double(name))
        };
        let doubles =
            (0..self.values.len()).filter(|node| self.values[*node].as_ref().is_ok_and(is_double));
        self.doubles = doubles.collect();
    }

    /// Holds nodes of `f64` with equal inputs to the limit of `f64`. Whether that changed anything.
    fn refine(&mut self, search: &mut Search) -> bool {
        let before = search.first();
        let error = |node: &usize| {
            self.looked_at
                .get(node)
                .map(|(seen, _)| seen.relative_error)
        };
        let differs = |node: &usize| {
            error(node).is_some_and(|error| error > ONE_ENGINE_DOUBLE)
                && self.parents[*node]
                    .iter()
                    .all(|parent| error(parent) == Some(0.0))
        };
        let found = self.doubles.iter().copied().find(differs);
        let Some(found) = found.filter(|found| before.is_none_or(|first| *found < first)) else {
            return false;
        };
        search.record(found, Look::Differs);
        if let Some((seen, _)) = self.looked_at.get_mut(&found) {
            seen.differs = true;
        }
        true
    }

    /// Returns the nodes of the next look: as many as its bounds allow.
    fn next(&self, search: &Search) -> Vec<usize> {
        let mut most = match self.sizes {
            _ if self.one_at_a_time() => 1,
            Some(_) => MOST_AT_ONCE,
            None => FEW_AT_ONCE,
        };
        loop {
            let nodes = search.next(most);
            let numbers: usize = match &self.sizes {
                Some(sizes) => nodes.iter().map(|node| sizes[*node]).sum(),
                None => 0,
            };
            if numbers <= MOST_NUMBERS || most == 1 {
                return nodes;
            }
            most /= 2;
        }
    }

    /// Learns how large all values are, so that looks can be bounded. One engine may fail where the other does not.
    fn measure(&mut self, most_looks: usize) {
        for side in 0..self.sides.len() {
            if self.looks >= most_looks {
                return;
            }
            let values = self.values.iter().flatten().flatten();
            let exposure = Exposure {
                values: values.map(|named| named[side].clone()).collect(),
                what: What::Shapes,
            };
            self.looks += 1;
            let row = self.sides[side].show(&exposure, self.directory).ok();
            let row = row.and_then(integers);
            let Some(shown) = row.as_ref().and_then(|row| exposure.integers(row)) else {
                continue;
            };
            let mut numbers = shown
                .iter()
                .zip(&exposure.values)
                .map(|(shown, (_, encoding))| {
                    let count = shown.shape.iter().product::<usize>();
                    count.saturating_mul(encoding.parts())
                });
            let sizes = self.values.iter().map(|values| {
                let count = values.as_ref().map_or(0, Vec::len);
                numbers.by_ref().take(count).sum()
            });
            self.sizes = Some(sizes.collect());
            return;
        }
    }

    /// Looks at `nodes`; in parts, if that fails.
    fn look(&mut self, nodes: &[usize], search: &mut Search, most_looks: usize) {
        self.looks += 1;
        let alone = nodes.len() == 1;
        match self.try_to_look(nodes) {
            Ok((seen, output_differs)) => {
                // Outputs that are close without a look have no difference to hide.
                let hides = !alone && self.outputs_differ && !output_differs;
                self.hides |= hides;
                for (node, seen) in nodes.iter().zip(seen) {
                    let look = match (&seen.problem, seen.differs) {
                        (Some(_), _) => Look::Unknown,
                        (None, true) => Look::Differs,
                        // If looking at several nodes hides the difference, the look is inconclusive.
                        (None, false) if hides && !self.ranks => continue,
                        (None, false) => Look::Same,
                    };
                    search.record(*node, look);
                    self.looked_at.insert(*node, (seen, alone));
                }
            }
            Err(error) if alone => {
                let mut seen = self.unseen(nodes[0]);
                seen.problem = Some(error);
                self.looked_at.insert(nodes[0], (seen, true));
                search.record(nodes[0], Look::Unknown);
            }
            Err(_) => {
                for half in nodes.chunks(nodes.len().div_ceil(2)) {
                    if self.looks < most_looks {
                        self.look(half, search, most_looks);
                    }
                }
            }
        }
    }

    /// Returns the nodes as they were seen, and whether the models' outputs still differed.
    fn try_to_look(&mut self, nodes: &[usize]) -> Result<(Vec<LookedAt>, bool), String> {
        let values: Vec<&[Named]> = nodes
            .iter()
            .map(|node| self.values[*node].as_deref().unwrap_or_default())
            .collect();
        // Integers have a separate row, if there are any.
        let exposure = |side: usize, what: What| {
            let named = values.iter().flat_map(|values| values.iter());
            let shown = named.filter(|named| is_integer(named) == (what == What::Integers));
            Exposure {
                values: shown.map(|named| named[side].clone()).collect(),
                what,
            }
        };
        let exposures = [exposure(0, What::Numbers), exposure(1, What::Numbers)];
        let whole = [exposure(0, What::Integers), exposure(1, What::Integers)];
        let mut rows = Vec::new();
        let mut whole_rows = Vec::new();
        for (side, (numbers, whole)) in self.sides.iter().zip(exposures.iter().zip(&whole)) {
            let row = side.show(numbers, self.directory)?;
            rows.push(row.to_f32().into_owned());
            let row = if whole.values.is_empty() {
                None
            } else {
                integers(side.show(whole, self.directory)?)
            };
            whole_rows.push(row.unwrap_or_default());
        }
        let strange = || "the edited model returned an output that was not requested".to_owned();
        let read = |side: usize| {
            let row = exposures[side].numbers(&rows[side]);
            row.filter(|(own, _)| own.len() == self.own[side].len())
                .ok_or_else(strange)
        };
        let [(own, ones), (its_own, others)] = [read(0)?, read(1)?];
        let read = |side: usize| whole[side].integers(&whole_rows[side]).ok_or_else(strange);
        let [whole_ones, whole_others] = [read(0)?, read(1)?];
        let mut numbers = ones.iter().zip(&others);
        let mut integers = whole_ones.iter().zip(&whole_others);
        let mut seen = Vec::new();
        for (node, values) in nodes.iter().zip(&values) {
            let shown = values.iter().map_while(|named| {
                if is_integer(named) {
                    integers.next()
                } else {
                    numbers.next()
                }
            });
            let shown: Vec<_> = shown.collect();
            seen.push(self.compare(*node, values, &shown));
        }
        let changed = [
            Apart::of_rows(own, self.own[0]).max_error,
            Apart::of_rows(its_own, self.own[1]).max_error,
        ];
        let output_differs = Apart::of_rows(own, its_own).is_beyond(self.limit);
        for (most, changed) in self.output_changed.iter_mut().zip(changed) {
            *most = most.max(changed);
        }
        Ok((seen, output_differs))
    }

    /// Returns a node by the output that differs most.
    fn compare(
        &self,
        node: usize,
        values: &[Named],
        shown: &[(&Shown<'_>, &Shown<'_>)],
    ) -> LookedAt {
        let mut worst: Option<LookedAt> = None;
        let mut problem = None;
        for (named, (one, other)) in values.iter().zip(shown) {
            let Some(apart) = Apart::of_values(one, other) else {
                problem = Some("it has numbers beyond the range of f32".to_owned());
                continue;
            };
            let seen = self.seen(node, Some(&named[0].0), one.shape.clone(), &apart);
            // NaN is the largest.
            let rank = |seen: &LookedAt| (seen.differs, seen.relative_error.abs());
            let is_worse = worst.as_ref().is_none_or(|worst| {
                let ((one, error), (other, most)) = (rank(&seen), rank(worst));
                one.cmp(&other).then(error.total_cmp(&most)).is_gt()
            });
            if is_worse {
                worst = Some(seen);
            }
        }
        let mut seen = worst.unwrap_or_else(|| self.unseen(node));
        if !seen.differs {
            seen.problem = problem;
        }
        seen
    }

    pub fn seen(
        &self,
        node: usize,
        value: Option<&Bytes>,
        shape: Vec<usize>,
        apart: &Apart,
    ) -> LookedAt {
        LookedAt {
            value: value
                .map(|value| onnx::text(value).into_owned())
                .unwrap_or_default(),
            shape,
            ranges: apart.ranges,
            max_error: apart.max_error,
            relative_error: apart.relative_error,
            noise: apart.noise,
            differs: apart.is_beyond(self.limit),
            ..self.unseen(node)
        }
    }

    fn unseen(&self, index: usize) -> LookedAt {
        let node = &self.sides[0].model.nodes()[index];
        LookedAt {
            index,
            run_index: self.counterparts[index],
            name: title(node),
            operator: node.operator().into_owned(),
            value: String::new(),
            shape: Vec::new(),
            ranges: [[0.0; 2]; 2],
            max_error: 0.0,
            relative_error: 0.0,
            noise: None,
            differs: false,
            problem: None,
        }
    }

    pub fn conclude(self, search: &Search, its_last: usize, found: &mut Bisection) {
        found.first = search.first().filter(|_| search.has_ground());
        let unknown = |node: usize| {
            let reason = self.obstacle(node, found.most_looks);
            self.named(0, node, reason.unwrap_or_default())
        };
        let mut nodes = search.unknown();
        nodes.extend(search.not_seen());
        nodes.sort_unstable();
        nodes.retain(|node| !self.passed_over[0].contains(node));
        found.unknown = nodes.into_iter().map(unknown).collect();
        if self.ranks {
            found.unranked = self.unranked(search, found.most_looks);
        }
        let is_measured = self.next_alone(search).is_none();
        found.certain = found.first.is_some() && is_measured && found.unknown.is_empty();
        // The nodes that only the run has, on the path to the counterpart of the found node or to the output.
        let parents = self.sides[1].model.parents();
        let to = found
            .first
            .and_then(|first| self.counterparts[first])
            .unwrap_or(its_last);
        let its = Search::new(parents, to);
        let matched = self.counterparts.iter().flatten();
        let matched: BTreeSet<usize> = matched.chain(&self.passed_over[1]).copied().collect();
        found.only_in_run = its
            .not_seen()
            .into_iter()
            .filter(|node| !matched.contains(node))
            .map(|node| self.named(1, node, "no counterpart".to_owned()))
            .collect();
        found.looks = self.looks;
        found.output_changed = self.output_changed;
        found.looked_at = self.looked_at.into_values().map(|(seen, _)| seen).collect();
    }

    /// Returns the reason why nothing is known about a node.
    fn obstacle(&self, node: usize, most_looks: usize) -> Option<String> {
        match (&self.values[node], self.looked_at.get(&node)) {
            (Err(reason), _) => Some(reason.clone()),
            (Ok(_), Some((seen, _))) => seen.problem.clone(),
            (Ok(_), None) => Some(format!(
                "the limit of {} was reached",
                counted(most_looks, "look")
            )),
        }
    }

    fn named(&self, side: usize, index: usize, reason: String) -> Unknown {
        let node = &self.sides[side].model.nodes()[index];
        Unknown {
            index,
            name: title(node),
            operator: node.operator().into_owned(),
            reason,
        }
    }
}

/// Returns whether a value is shown as integers. Both sides have to agree on it.
fn is_integer(named: &Named) -> bool {
    named[0].1.is_integer()
}

fn integers(row: Tensor) -> Option<Vec<i64>> {
    // RTen has no integers of 64 bits.
    let narrow = row.as_slice::<i32>();
    let narrow = narrow.map(|row| row.iter().copied().map(i64::from).collect());
    narrow.or_else(|| row.into_vec::<i64>())
}

/// The outputs of a node that something reads, by their names in both models.
fn values(
    sides: &[Side<'_>; 2],
    node: &Node,
    counterpart: Option<usize>,
    used: &HashSet<&Bytes>,
    quantized: &[Quantized; 2],
) -> Result<Vec<Named>, String> {
    let Some(counterpart) = counterpart else {
        return Err("it has no counterpart in the other model".to_owned());
    };
    let others = &sides[1].model.nodes()[counterpart].output;
    let mut values = Vec::new();
    for (place, output) in node.output.iter().enumerate() {
        if output.is_empty() || !used.contains(output) {
            continue;
        }
        let other = others.get(place).filter(|other| !other.is_empty());
        let other = other.ok_or("its counterpart in the other model has fewer outputs")?;
        let [output, other] = Quantized::values(quantized, [output, other]);
        let encodings = [sides[0].encoding(output)?, sides[1].encoding(other)?];
        if encodings[0].is_integer() != encodings[1].is_integer() {
            return Err("its counterpart in the other model has another type".to_owned());
        }
        values.push([
            (output.clone(), encodings[0]),
            (other.clone(), encodings[1]),
        ]);
    }
    Ok(values)
}

/// Returns the name of a node, or of its first output.
fn title(node: &Node) -> String {
    let name = node.name.as_ref().filter(|name| !name.is_empty());
    name.or_else(|| node.output.iter().find(|output| !output.is_empty()))
        .map(|name| onnx::text(name).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
