//! The result of a bisection, for people and for JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::messages::{counted, printable};

/// The most nodes of one kind that the text names.
const MOST_NAMED: usize = 6;

/// The result of the search.
#[derive(Debug, Serialize)]
pub struct Bisection {
    #[serde(rename = "picture")]
    pub image: String,
    pub reference: String,
    pub run: String,
    /// By how much of its largest value a node's output may differ.
    pub tolerance: f64,
    /// The number of nodes of the reference's model.
    pub nodes: usize,
    /// The number of those with a counterpart in the run's model.
    pub matched: usize,
    /// The number of looks.
    pub looks: usize,
    /// The most looks that were allowed.
    pub most_looks: usize,
    /// The first node that differs; `None` if the outputs do not differ, or if it is not known.
    pub first: Option<usize>,
    /// True if all nodes before `first` that lead to the output were looked at, and `first` alone.
    pub certain: bool,
    /// The nodes that were looked at, in topological order.
    pub looked_at: Vec<LookedAt>,
    /// The nodes before `first` (all, if it is `None`) that lead to the output and were not looked at.
    pub unknown: Vec<Unknown>,
    /// The nodes of the run's model without a counterpart that lead to its output, and to `first` if that is known.
    pub only_in_run: Vec<Unknown>,
    /// By how much exposing values changed the model's own output at most: of the reference and the run.
    pub output_changed: [f64; 2],
    /// max |x − y| / max |x| of the outputs without looking.
    pub output_error: f64,
    /// True if the outputs differ within the tolerance, or if the runs agree and no node is known to differ.
    pub nothing_to_find: bool,
}

/// A node that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct LookedAt {
    /// Its place in the reference's file, from 0.
    pub index: usize,
    /// The place of its counterpart in the run's file.
    pub run_index: Option<usize>,
    pub name: String,
    pub operator: String,
    /// The output that differs most, of those that something reads.
    pub value: String,
    pub shape: Vec<usize>,
    /// Least and largest value of the reference and of the run.
    pub ranges: [[f64; 2]; 2],
    /// max |x − y|.
    pub max_error: f64,
    /// max |x − y| / max |x|.
    pub relative_error: f64,
    pub differs: bool,
    /// The reason why the node could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A node of which nothing is known.
#[derive(Debug, Clone, Serialize)]
pub struct Unknown {
    pub index: usize,
    pub name: String,
    pub operator: String,
    pub reason: String,
}

impl LookedAt {
    fn line(&self) -> String {
        let mark = match &self.problem {
            Some(_) => "unknown",
            None if self.differs => "differs",
            None => "same",
        };
        let named = format!(
            "  {mark:<8} #{:<5} {} ({}) ",
            self.index,
            printable(&self.name),
            printable(&self.operator)
        );
        match &self.problem {
            Some(problem) => format!("{named}{}\n", printable(problem)),
            None => format!(
                "{named}{:?}: relative error {:.3e}, max {:.3e}, range [{:.4}, {:.4}] and [{:.4}, {:.4}]\n",
                self.shape,
                self.relative_error,
                self.max_error,
                self.ranges[0][0],
                self.ranges[0][1],
                self.ranges[1][0],
                self.ranges[1][1]
            ),
        }
    }
}

impl Bisection {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "bisect     {} and {} on {}: {} of {} nodes looked at in {}, tolerance {} of a node's largest value\n",
            printable(&self.reference),
            printable(&self.run),
            printable(&self.image),
            self.looked_at.len(),
            self.nodes,
            counted(self.looks, "look"),
            self.tolerance
        );
        let named: Vec<&LookedAt> = self.named();
        for node in &named {
            text.push_str(&node.line());
        }
        let others: Vec<&LookedAt> = self
            .looked_at
            .iter()
            .filter(|node| !named.iter().any(|one| one.index == node.index))
            .collect();
        if !others.is_empty() {
            let differ = others.iter().filter(|node| node.differs).count();
            let unknown = others.iter().filter(|node| node.problem.is_some()).count();
            let _ = writeln!(
                text,
                "  and {} more: {} the same, {differ} differ, {unknown} unknown",
                others.len(),
                others.len() - differ - unknown
            );
        }
        self.conclude(&mut text);
        text
    }

    /// The nodes that the text shows: those around the first one that differs.
    fn named(&self) -> Vec<&LookedAt> {
        let first = self.first.or_else(|| {
            let differing = self.looked_at.iter().find(|node| node.differs);
            differing.map(|node| node.index)
        });
        let end = first.unwrap_or(usize::MAX);
        let (before, from): (Vec<&LookedAt>, Vec<&LookedAt>) =
            self.looked_at.iter().partition(|node| node.index < end);
        let skipped = before.len().saturating_sub(MOST_NAMED);
        let after = if first.is_some() { 3 } else { 0 };
        before
            .into_iter()
            .skip(skipped)
            .chain(from.into_iter().take(after))
            .collect()
    }

    fn conclude(&self, text: &mut String) {
        let differs = self.looked_at.iter().find(|node| node.differs);
        let _ = match (self.first.and_then(|first| self.node(first)), differs) {
            (Some(node), _) => writeln!(
                text,
                "  they part at node #{} {} ({}): {}",
                node.index,
                printable(&node.name),
                printable(&node.operator),
                if self.certain {
                    "all nodes before it that lead to the output are the same"
                } else {
                    "the nodes before it that were looked at are the same"
                }
            ),
            _ if self.nothing_to_find => {
                let why = if self.output_error <= self.tolerance {
                    format!(
                        "the outputs differ by {:.3e} of the largest value, which is within the tolerance",
                        self.output_error
                    )
                } else {
                    "the runs agree".to_owned()
                };
                let written = writeln!(text, "  {why}: there is nothing to find");
                if self.looked_at.is_empty() {
                    return;
                }
                written
            }
            (None, Some(node)) => writeln!(
                text,
                "  the first differing node is unknown: node #{} {} ({}) differs, but no node that leads to it could be looked at",
                node.index,
                printable(&node.name),
                printable(&node.operator)
            ),
            (None, None) if self.looked_at.iter().all(|node| node.problem.is_some()) => {
                writeln!(
                    text,
                    "  the first differing node is unknown: no node could be looked at"
                )
            }
            (None, None) => writeln!(
                text,
                "  the first differing node is unknown: no node that could be looked at differs, but the outputs do"
            ),
        };
        if !self.unknown.is_empty() {
            let _ = writeln!(
                text,
                "  {} not looked at, so that the difference may begin earlier: {}",
                counted(self.unknown.len(), "node"),
                list(&self.unknown, true)
            );
        }
        if !self.only_in_run.is_empty() {
            let _ = writeln!(
                text,
                "  {} of the model of {} without a counterpart: {}",
                counted(self.only_in_run.len(), "node"),
                printable(&self.run),
                list(&self.only_in_run, false)
            );
        }
        let [one, other] = self.output_changed;
        let _ = writeln!(
            text,
            "  exposing values changed the outputs by at most {one:.3e} and {other:.3e}"
        );
    }

    fn node(&self, index: usize) -> Option<&LookedAt> {
        self.looked_at.iter().find(|node| node.index == index)
    }
}

fn list(nodes: &[Unknown], with_reason: bool) -> String {
    let named = nodes.iter().take(MOST_NAMED).map(|node| {
        let reason = if with_reason {
            format!(", {}", printable(&node.reason))
        } else {
            String::new()
        };
        format!(
            "#{} {} ({}{reason})",
            node.index,
            printable(&node.name),
            printable(&node.operator)
        )
    });
    let mut named: Vec<String> = named.collect();
    if nodes.len() > named.len() {
        named.push(format!("and {} more", nodes.len() - named.len()));
    }
    named.join("; ")
}
