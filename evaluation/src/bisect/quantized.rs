//! The values of a quantized model that correspond to values of a float model.

use std::collections::{HashMap, HashSet};

use model_file::onnx::{Model, Node};
use prost::bytes::Bytes;

use super::correspondence::Correspondence;
use super::side::Side;

/// Operators that a quantizer adds between others.
const QUANTIZERS: [&str; 3] = [
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
];

/// The values of one model that stand for others.
#[derive(Debug, Default)]
pub struct Quantized {
    /// For each value that only a `QuantizeLinear` reads the value behind its `DequantizeLinear`, and for each integer value
    /// the real one.
    rounded: HashMap<Bytes, Bytes>,
    /// For each value that only an activation without a counterpart reads the activation's output.
    activated: HashMap<Bytes, Bytes>,
    /// For each value of a node with parts the value that the last of them makes.
    whole: HashMap<Bytes, Bytes>,
}

impl Quantized {
    /// Finds the values of both models.
    pub fn of_sides(sides: &[Side<'_>; 2], correspondence: &Correspondence) -> [Self; 2] {
        let counterparts = &correspondence.counterparts;
        let back: HashSet<usize> = counterparts.iter().flatten().copied().collect();
        let of = |side: usize, is_matched: &dyn Fn(usize) -> bool| {
            let mut found = Self::of(&sides[side].model, is_matched);
            found.rounded.extend(sides[side].real_values());
            let nodes = sides[side].model.nodes();
            let value = |node: usize| nodes[node].output.first().cloned();
            let last_parts = correspondence.last_parts(side).into_iter();
            let whole = last_parts.filter_map(|(node, last)| Some((value(node)?, value(last)?)));
            found.whole = whole.collect();
            found
        };
        [
            of(0, &|node| counterparts[node].is_some()),
            of(1, &|node| back.contains(&node)),
        ]
    }

    fn of(model: &Model, is_matched: &dyn Fn(usize) -> bool) -> Self {
        let mut readers: HashMap<&Bytes, Vec<(usize, &Node)>> = HashMap::new();
        for (index, node) in model.nodes().iter().enumerate() {
            for value in node.reads() {
                readers.entry(value).or_default().push((index, node));
            }
        }
        // The value is the first input; scales, zero points and limits are the others.
        let output = |value: &Bytes, node: &Node| {
            let is_value = node.input.first() == Some(value);
            is_value.then(|| node.output.first().cloned()).flatten()
        };
        let mut found = Self::default();
        for (value, nodes) in &readers {
            let [(index, node)] = nodes[..] else {
                continue;
            };
            match &*node.operator() {
                "QuantizeLinear" => {
                    // Each reader may have its own `DequantizeLinear`, all with the same values.
                    let behind = output(value, node).and_then(|steps| {
                        let (_, next) = readers.get(&steps)?.first().copied()?;
                        let is_pair = next.operator() == "DequantizeLinear";
                        output(&steps, next).filter(|_| is_pair)
                    });
                    found
                        .rounded
                        .extend(behind.map(|behind| ((*value).clone(), behind)));
                }
                // Quantizers fold them into the range of the steps.
                "Relu" | "Clip" if !is_matched(index) => {
                    let after = output(value, node);
                    found
                        .activated
                        .extend(after.map(|after| ((*value).clone(), after)));
                }
                _ => {}
            }
        }
        found
    }

    /// Returns the nodes of both models that need no look of their own: activations whose values are compared as those of
    /// the nodes before them, parts of other nodes, and quantizers that the other model lacks.
    pub fn passed_over(
        sides: &[Side<'_>; 2],
        correspondence: &Correspondence,
        quantized: &[Self; 2],
    ) -> [HashSet<usize>; 2] {
        let counterparts = &correspondence.counterparts;
        let matched = [
            (0..counterparts.len())
                .filter(|node| counterparts[*node].is_some())
                .collect(),
            counterparts
                .iter()
                .flatten()
                .copied()
                .collect::<HashSet<usize>>(),
        ];
        let mut passed = [0, 1].map(|side: usize| {
            let nodes = sides[side].model.nodes().iter().enumerate();
            let only_here = nodes.filter(|(index, _)| !matched[side].contains(index));
            let quantizers = only_here.filter(|(index, node)| {
                let is_part = correspondence.parts[side].contains_key(index);
                let operator = node.operator();
                is_part || QUANTIZERS.contains(&&*operator)
            });
            quantizers
                .map(|(index, _)| index)
                .collect::<HashSet<usize>>()
        });
        let makers = sides.each_ref().map(|side| side.model.makers());
        for (index, counterpart) in counterparts.iter().enumerate() {
            let nodes = [Some(index), *counterpart];
            let outputs = [0, 1].map(|side: usize| {
                let node = &sides[side].model.nodes()[nodes[side]?];
                node.output.first()
            });
            let [Some(one), Some(other)] = outputs else {
                continue;
            };
            let compared = Self::values(quantized, [one, other]);
            for side in [0, 1] {
                let after = quantized[side].activated.values();
                if after.into_iter().any(|after| after == compared[side]) {
                    let maker = makers[side].get(compared[side]);
                    passed[side].extend(maker.map(|(node, _)| *node));
                }
            }
        }
        passed
    }

    /// Returns the values to compare for an output of a node and of its counterpart. A value that is quantized at once has
    /// the error of its steps and its range, and its activation where the quantizer replaces that.
    pub fn values<'v>(sides: &'v [Self; 2], values: [&'v Bytes; 2]) -> [&'v Bytes; 2] {
        let whole = [0, 1].map(|side: usize| {
            let value = values[side];
            sides[side].whole.get(value).unwrap_or(value)
        });
        let is_rounded = [0, 1].map(|side: usize| sides[side].rounded.contains_key(whole[side]));
        [0, 1].map(|side: usize| {
            let own = &sides[side];
            let mut value = whole[side];
            if is_rounded[1 - side] {
                value = own.activated.get(value).unwrap_or(value);
            }
            own.rounded.get(value).unwrap_or(value)
        })
    }
}
