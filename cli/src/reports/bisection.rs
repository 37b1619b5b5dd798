//! The words of a bisection.

use std::cmp::Reverse;
use std::fmt::Write as _;

use evaluation::bisect::{Bisection, LookedAt, Unknown};

use evaluation::text::{counted, grouped, number, printable};

/// The most nodes of one kind that the text names.
const MOST_NAMED: usize = 6;
/// By how much a node's error has to exceed that of all before it.
const LARGE_JUMP: f64 = 10.0;

/// Returns the result as a text for people.
pub fn text(bisection: &Bisection) -> String {
    let mut text = format!(
        "bisect     {} and {} on {}: {}\n",
        printable(&bisection.reference),
        printable(&bisection.run),
        printable(&bisection.image),
        extent(bisection)
    );
    if bisection.noise.is_some() {
        conclude(bisection, &mut text);
        noise(bisection, &mut text);
        return text;
    }
    for node in &named(bisection) {
        text.push_str(&line(node));
    }
    if let Some(others) = others(bisection) {
        let _ = writeln!(text, "  {others}");
    }
    conclude(bisection, &mut text);
    text
}

/// Tells how many nodes were inspected, and the tolerance.
pub fn extent(bisection: &Bisection) -> String {
    let of = if bisection.noise.is_some() {
        format!("{} nodes with a counterpart", grouped(bisection.matched))
    } else {
        format!("{} nodes", grouped(bisection.nodes))
    };
    format!(
        "inspected {} of {of} in {}, tolerance {} of a node's {} value",
        grouped(bisection.looked_at.len()),
        counted(bisection.looks, "look"),
        number(bisection.tolerance),
        if bisection.noise.is_some() {
            "root mean square"
        } else {
            "largest"
        }
    )
}

/// Counts the nodes that are not [named]; `None` without such.
pub fn others(bisection: &Bisection) -> Option<String> {
    let named = named(bisection);
    let others: Vec<&LookedAt> = bisection
        .looked_at
        .iter()
        .filter(|node| !named.iter().any(|one| one.index == node.index))
        .collect();
    let differ = others.iter().filter(|node| node.differs).count();
    let unknown = others.iter().filter(|node| node.problem.is_some()).count();
    (!others.is_empty()).then(|| {
        format!(
            "and {} more: {} the same, {differ} differ, {unknown} unknown",
            others.len(),
            others.len() - differ - unknown
        )
    })
}

/// Returns what was found, one finding after the other.
pub fn findings(bisection: &Bisection) -> Vec<String> {
    let mut text = String::new();
    conclude(bisection, &mut text);
    text.lines()
        .map(|line| line.trim_start().to_owned())
        .collect()
}

/// Appends the nodes to `text`, the one that adds the largest error first.
fn noise(bisection: &Bisection, text: &mut String) {
    let Some(nodes) = bisection.noise.as_deref().filter(|nodes| !nodes.is_empty()) else {
        return;
    };
    let _ = writeln!(
        text,
        "  nodes by the quantization error that they add, the worst first: leave those at the top unquantized"
    );
    for node in nodes {
        let _ = writeln!(
            text,
            "    adds {:>8} % (SQNR {:>6.2} dB), with the errors before it {:>6.2} dB  #{} {} ({}){}",
            number(100.0 * node.added),
            sqnr(node.added),
            node.sqnr,
            node.index,
            printable(&node.name),
            printable(&node.operator),
            if node.estimated { ", estimated" } else { "" }
        );
    }
}

/// Returns the signal-to-quantization-noise ratio in decibels of a share of noise.
pub fn sqnr(noise: f64) -> f64 {
    -10.0 * noise.log10()
}

/// Returns the nodes that the text shows: those around the first one that differs.
pub fn named(bisection: &Bisection) -> Vec<&LookedAt> {
    let first = bisection.first.or_else(|| {
        let differing = bisection.looked_at.iter().find(|node| node.differs);
        differing.map(|node| node.index)
    });
    let end = first.unwrap_or(usize::MAX);
    let (before, from): (Vec<&LookedAt>, Vec<&LookedAt>) = bisection
        .looked_at
        .iter()
        .partition(|node| node.index < end);
    let skipped = before.len().saturating_sub(MOST_NAMED);
    let after = if first.is_some() { 3 } else { 0 };
    before
        .into_iter()
        .skip(skipped)
        .chain(from.into_iter().take(after))
        .collect()
}

fn conclude(bisection: &Bisection, text: &mut String) {
    let differs = bisection.looked_at.iter().find(|node| node.differs);
    let _ = match (
        bisection.first.and_then(|first| node(bisection, first)),
        differs,
    ) {
        (Some(node), _) => writeln!(
            text,
            "  first differing node: #{} {} ({}): {}",
            node.index,
            printable(&node.name),
            printable(&node.operator),
            match (bisection.certain, bisection.noise.is_some()) {
                (true, false) => "all nodes before it that lead to the output are the same",
                (false, false) => "the inspected nodes before it are the same",
                (true, true) => {
                    "each node before it that leads to the output adds less error than the tolerance"
                }
                (false, true) => "each inspected node before it adds less error than the tolerance",
            }
        ),
        _ if bisection.nothing_to_find => {
            let why = if bisection.output_error <= bisection.tolerance {
                format!(
                    "the outputs differ by {} of the largest value, which is within the tolerance",
                    number(bisection.output_error)
                )
            } else {
                "the runs agree".to_owned()
            };
            let written = writeln!(text, "  {why}: there is nothing to find");
            if bisection.looked_at.is_empty() && bisection.noise.is_none() {
                return;
            }
            written
        }
        (None, Some(node)) => writeln!(
            text,
            "  the first differing node is unknown: node #{} {} ({}) differs, but no node that leads to it could be inspected",
            node.index,
            printable(&node.name),
            printable(&node.operator)
        ),
        (None, None)
            if bisection
                .looked_at
                .iter()
                .all(|node| node.problem.is_some()) =>
        {
            writeln!(
                text,
                "  the first differing node is unknown: no node could be inspected"
            )
        }
        (None, None) if bisection.noise.is_some() => writeln!(
            text,
            "  no inspected node adds more error than the tolerance: the errors of several nodes add up"
        ),
        (None, None) => writeln!(
            text,
            "  the first differing node is unknown: no inspected node differs, but the outputs do"
        ),
    };
    if let Some(jump) = jump(bisection) {
        let _ = writeln!(text, "  {jump}");
    }
    if !bisection.unknown.is_empty() {
        let _ = write!(
            text,
            "  {} not inspected, so the difference may begin earlier",
            counted(bisection.unknown.len(), "node"),
        );
        // The nodes that are not ranked include them.
        let _ = match bisection.noise {
            Some(_) => writeln!(text),
            None => writeln!(text, ": {}", list(&bisection.unknown, true)),
        };
    }
    unranked(bisection, text);
    if !bisection.only_in_run.is_empty() {
        let _ = writeln!(
            text,
            "  {} of the model of {} without a counterpart: {}",
            counted(bisection.only_in_run.len(), "node"),
            printable(&bisection.run),
            list(&bisection.only_in_run, false)
        );
    }
    let [one, other] = bisection.output_changed.map(number);
    let _ = writeln!(
        text,
        "  exposing values changed the outputs by at most {one} and {other}"
    );
}

/// Appends the nodes that the list by errors lacks, by the reason.
fn unranked(bisection: &Bisection, text: &mut String) {
    let mut by_reason: Vec<(&str, Vec<&Unknown>)> = Vec::new();
    for node in &bisection.unranked {
        match by_reason.iter_mut().find(|(it, _)| *it == node.reason) {
            Some((_, nodes)) => nodes.push(node),
            None => by_reason.push((&node.reason, vec![node])),
        }
    }
    by_reason.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
    let others = by_reason.split_off(by_reason.len().min(MOST_NAMED));
    for (reason, nodes) in by_reason {
        let _ = writeln!(
            text,
            "  {} not in the list ({}): {}",
            counted(nodes.len(), "node"),
            printable(reason),
            list(nodes, false)
        );
    }
    let others: usize = others.iter().map(|(_, nodes)| nodes.len()).sum();
    if others > 0 {
        let _ = writeln!(
            text,
            "  {} not in the list, for other reasons",
            counted(others, "more node")
        );
    }
}

/// Names the node with the largest jump behind the first one that differs: a small difference may begin much earlier.
fn jump(bisection: &Bisection) -> Option<String> {
    let first = bisection
        .first
        .filter(|_| bisection.noise.is_none())
        .and_then(|first| node(bisection, first))?;
    let is_later = |node: &&LookedAt| node.index > first.index && node.problem.is_none();
    let mut most = first.relative_error;
    let mut largest: Option<(&LookedAt, f64)> = None;
    for node in bisection.looked_at.iter().filter(is_later) {
        let error = node.relative_error;
        let is_largest =
            largest.is_none_or(|(it, before)| error / most > it.relative_error / before);
        if is_largest {
            largest = Some((node, most));
        }
        most = most.max(error);
    }
    let (node, before) = largest?;
    let between = (node.relative_error * before).sqrt();
    let is_jump = node.relative_error >= LARGE_JUMP * before && between > 0.0 && between < 1.0;
    is_jump.then(|| {
        format!(
            "a larger jump comes later: {} at #{} {} ({}), at most {} at the inspected nodes before it; --bisect-tolerance {} finds it",
            number(node.relative_error),
            node.index,
            printable(&node.name),
            printable(&node.operator),
            number(before),
            number(between)
        )
    })
}

/// Returns the verdict on a node.
pub const fn mark(node: &LookedAt) -> &'static str {
    match &node.problem {
        Some(_) => "unknown",
        None if node.differs => "differs",
        None => "same",
    }
}

pub fn node(bisection: &Bisection, index: usize) -> Option<&LookedAt> {
    bisection.looked_at.iter().find(|node| node.index == index)
}

fn line(node: &LookedAt) -> String {
    let mark = mark(node);
    let named = format!(
        "  {mark:<8} #{:<5} {} ({}) ",
        node.index,
        printable(&node.name),
        printable(&node.operator)
    );
    match &node.problem {
        Some(problem) => format!("{named}{}\n", printable(problem)),
        None => format!(
            "{named}{:?}: relative error {}, max {}, range [{}, {}] and [{}, {}]\n",
            node.shape,
            number(node.relative_error),
            number(node.max_error),
            number(node.ranges[0][0]),
            number(node.ranges[0][1]),
            number(node.ranges[1][0]),
            number(node.ranges[1][1])
        ),
    }
}

fn list<'a>(
    nodes: impl IntoIterator<Item = &'a Unknown, IntoIter: ExactSizeIterator>,
    with_reason: bool,
) -> String {
    let nodes = nodes.into_iter();
    let count = nodes.len();
    let named = nodes.take(MOST_NAMED).map(|node| {
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
    if count > named.len() {
        named.push(format!("and {} more", count - named.len()));
    }
    named.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(index: usize, reason: &str) -> Unknown {
        Unknown {
            index,
            name: format!("n{index}"),
            operator: "Conv".to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn seen(index: usize, relative_error: f64) -> LookedAt {
        LookedAt {
            index,
            run_index: Some(index),
            name: format!("n{index}"),
            operator: "Conv".to_owned(),
            value: String::new(),
            shape: Vec::new(),
            ranges: [[0.0; 2]; 2],
            max_error: relative_error,
            relative_error,
            noise: None,
            differs: relative_error > 1e-4,
            problem: None,
        }
    }

    /// A bisection of two models whose nodes have the errors given.
    fn bisection(errors: &[f64], first: usize) -> Bisection {
        let nodes = errors.iter().enumerate();
        Bisection {
            image: "cat.jpg".to_owned(),
            reference: "onnx".to_owned(),
            run: "openvino".to_owned(),
            tolerance: 1e-4,
            nodes: errors.len(),
            matched: errors.len(),
            looks: 3,
            most_looks: 100,
            first: Some(first),
            certain: true,
            looked_at: nodes.map(|(index, error)| seen(index, *error)).collect(),
            unknown: Vec::new(),
            only_in_run: Vec::new(),
            output_changed: [0.0; 2],
            output_error: 0.5,
            noise: None,
            unranked: Vec::new(),
            nothing_to_find: false,
        }
    }

    #[test]
    fn a_jump_behind_the_first_node_is_named_if_it_is_much_larger() {
        let found = bisection(&[0.0, 0.0002, 0.0005, 0.2, 0.3], 1);
        assert_eq!(
            jump(&found).unwrap(),
            "a larger jump comes later: 0.2 at #3 n3 (Conv), at most 0.0005 at the inspected nodes before it; \
             --bisect-tolerance 0.01 finds it"
        );
        // The difference grows, or vanishes and returns.
        for errors in [
            &[0.0002, 0.001, 0.005, 0.03][..],
            &[0.0, 0.02, 0.00001, 0.03],
            &[f64::INFINITY, f64::INFINITY, f64::NAN],
        ] {
            let first = errors.iter().position(|error| *error > 1e-4).unwrap();
            assert_eq!(jump(&bisection(errors, first)), None, "{errors:?}");
        }
        let quantized = Bisection {
            noise: Some(Vec::new()),
            ..found
        };
        assert_eq!(jump(&quantized), None);
    }

    #[test]
    fn what_the_list_of_errors_lacks_is_counted_by_its_reason() {
        let mut found = bisection(&[0.0, 0.3], 1);
        found.noise = Some(Vec::new());
        assert!(!text(&found).contains("not in the list"));
        let limit = "the limit of 9 looks was reached";
        found.unranked = (0..8).map(|index| unknown(index, limit)).collect();
        found
            .unranked
            .insert(2, unknown(9, "it has no counterpart"));
        found.unknown = vec![unknown(0, limit)];
        let expected = [
            "1 node not inspected, so the difference may begin earlier",
            "8 nodes not in the list (the limit of 9 looks was reached): #0 n0 (Conv); #1 n1 (Conv); #2 n2 (Conv); \
             #3 n3 (Conv); #4 n4 (Conv); #5 n5 (Conv); and 2 more",
            "1 node not in the list (it has no counterpart): #9 n9 (Conv)",
        ];
        assert_eq!(findings(&found)[1..4], expected);
        // Each engine's error may be another.
        found.unranked = (0..8)
            .map(|index| unknown(index, &format!("error {index}")))
            .collect();
        let findings = findings(&found);
        assert_eq!(
            findings[7],
            "1 node not in the list (error 5): #5 n5 (Conv)"
        );
        assert_eq!(
            findings[8],
            "2 more nodes not in the list, for other reasons"
        );
    }
}
