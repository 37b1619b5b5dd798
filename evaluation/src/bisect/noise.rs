//! The nodes of a quantized model by the error that they add.

use std::collections::BTreeMap;

use serde::Serialize;

use super::result::LookedAt;

/// The most nodes of the list.
const MOST_LISTED: usize = 10;

/// A node and the error that it adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct NodeNoise {
    /// Its place in the reference's file, from 0.
    pub index: usize,
    /// The place of its counterpart in the run's file.
    pub run_index: Option<usize>,
    /// The name of the node or of its first output.
    pub name: String,
    /// The node's operator.
    pub operator: String,
    /// The signal-to-quantization-noise ratio of its output in decibels: 10 log10(Σ x² / Σ (x − y)²).
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub sqnr: f64,
    /// The largest noise of its inputs, as Σ (x − y)² / Σ x².
    pub inherited: f64,
    /// The noise that the node adds: that of its output against the float node's on the same inputs. If no such node can be
    /// run, the noise of its output beyond `inherited`, or 0.
    pub added: f64,
    /// True if `added` is the noise beyond `inherited`, which may be many times larger than what the node adds.
    pub estimated: bool,
}

/// Returns the nodes that add the most noise, the worst first. See [`of_nodes`].
pub(super) fn worst(
    seen: &[LookedAt],
    parents: &[Vec<usize>],
    added: &BTreeMap<usize, f64>,
) -> Vec<NodeNoise> {
    let mut all = of_nodes(seen.iter(), parents, added);
    all.retain(|node| node.added > 0.0);
    all.sort_by(|a, b| b.added.total_cmp(&a.added).then(a.index.cmp(&b.index)));
    all.truncate(MOST_LISTED);
    all
}

/// Returns the noise of nodes that have one. `parents` has for each node the nodes that it reads from. `added` has the noise
/// that nodes add, where a twin measured it.
pub(super) fn of_nodes<'a>(
    seen: impl Iterator<Item = &'a LookedAt> + Clone,
    parents: &[Vec<usize>],
    added: &BTreeMap<usize, f64>,
) -> Vec<NodeNoise> {
    let noise =
        |seen: &LookedAt| Some((seen.index, seen.noise.filter(|_| seen.problem.is_none())?));
    let noises: BTreeMap<usize, f64> = seen.clone().filter_map(noise).collect();
    // Through nodes that were not looked at. Parents come before their children.
    let mut passed: Vec<f64> = Vec::with_capacity(parents.len());
    let mut inherited: Vec<f64> = Vec::with_capacity(parents.len());
    for (node, from) in parents.iter().enumerate() {
        let of_inputs = from
            .iter()
            .map(|parent| passed[*parent])
            .fold(0.0, f64::max);
        inherited.push(of_inputs);
        passed.push(noises.get(&node).copied().unwrap_or(of_inputs));
    }
    let of_node = |seen: &LookedAt| {
        let noise = *noises.get(&seen.index)?;
        let inherited = inherited[seen.index];
        let beyond = (noise - inherited).max(0.0);
        Some(NodeNoise {
            index: seen.index,
            run_index: seen.run_index,
            name: seen.name.clone(),
            operator: seen.operator.clone(),
            sqnr: -10.0 * noise.log10(),
            inherited,
            added: added.get(&seen.index).copied().unwrap_or(beyond),
            estimated: !added.contains_key(&seen.index),
        })
    };
    seen.filter_map(of_node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(index: usize, noise: Option<f64>) -> LookedAt {
        LookedAt {
            index,
            run_index: Some(index),
            name: format!("n{index}"),
            operator: "Conv".to_owned(),
            value: String::new(),
            shape: Vec::new(),
            ranges: [[0.0; 2]; 2],
            max_error: 0.0,
            relative_error: 0.0,
            noise,
            differs: false,
            problem: None,
        }
    }

    #[test]
    fn nodes_are_sorted_by_the_noise_that_they_add() {
        // 0 → 1 → 2 → 3, and 4 reads 0 and 3; 2 cannot be looked at.
        let parents = [vec![], vec![0], vec![1], vec![2], vec![0, 3]].map(|it| it.clone());
        let noises = [Some(0.001), Some(0.011), None, Some(0.111), Some(0.05)];
        let seen: Vec<LookedAt> = noises
            .into_iter()
            .enumerate()
            .map(|(i, n)| seen(i, n))
            .collect();
        // 1 has no twin: it adds its noise beyond that of 0.
        let known = BTreeMap::from([(0, 0.001), (3, 0.02), (4, 0.04)]);
        let of_nodes = |worst: &[NodeNoise]| -> Vec<usize> {
            let nodes = worst.iter().map(|node| node.index);
            nodes.collect()
        };
        let mixed = worst(&seen, &parents, &known);
        assert_eq!(of_nodes(&mixed), [4, 3, 1, 0]);
        assert!((mixed[2].added - 0.01).abs() < 1e-12);
        let worst = worst(&seen, &parents, &BTreeMap::new());
        assert_eq!(of_nodes(&worst), [3, 1, 0]);
        assert!((worst[0].added - 0.1).abs() < 1e-12 && (worst[0].inherited - 0.011).abs() < 1e-12);
        assert!((worst[2].sqnr - 30.0).abs() < 1e-12);
    }

    #[test]
    fn ten_are_listed() {
        let parents = vec![vec![]; 20];
        let seen: Vec<LookedAt> = (0..20)
            .map(|node| seen(node, Some(node as f64 / 100.0)))
            .collect();
        let worst = worst(&seen, &parents, &BTreeMap::new());
        assert_eq!((worst.len(), worst[0].index, worst[9].index), (10, 19, 10));
    }
}
