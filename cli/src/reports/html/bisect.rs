//! The section of a bisection: its nodes as a table.

use evaluation::bisect::{Bisection, LookedAt};
use evaluation::text::{number, printable};

use super::super::bisection;
use super::frame::{WorstLine, minus};

/// The nodes of a bisection.
pub struct BisectSection {
    pub heading: &'static str,
    /// The image and the extent of the search.
    pub about: String,
    /// The findings, one sentence each.
    pub findings: Vec<String>,
    /// The nodes by the error that they add, the worst first.
    pub noise: Vec<NoiseRow>,
    /// The nodes around the first one that differs, if no model is quantized.
    pub nodes: Vec<NodeRow>,
    /// The number of other nodes.
    pub others: Option<String>,
}

/// A node with the error that it adds.
pub struct NoiseRow {
    pub added: String,
    /// The width of the bar in percent of the worst node's.
    pub width: f64,
    pub name: String,
    pub operator: String,
    pub sqnr: String,
    /// The SQNR with the errors before the node.
    pub total: String,
}

/// A node with its difference.
pub struct NodeRow {
    pub error: String,
    pub mark: &'static str,
    pub name: String,
    pub operator: String,
    pub largest: String,
    /// The reason why nothing is known, or the ranges of both models.
    pub note: String,
}

impl BisectSection {
    /// Describes a bisection. `names` are the short names of the reference and the run.
    pub fn new(bisection: &Bisection, names: [&str; 2]) -> Self {
        let noise = bisection.noise.as_deref().unwrap_or_default();
        let most = noise.first().map_or(1.0, |node| node.added);
        let rows = noise.iter().map(|node| NoiseRow {
            added: if node.estimated {
                format!("{} (estimated)", percent(node.added))
            } else {
                percent(node.added)
            },
            width: (node.added / most * 1000.0).round() / 10.0,
            name: format!("#{} {}", node.index, printable(&node.name)),
            operator: printable(&node.operator),
            sqnr: decibels(bisection::sqnr(node.added)),
            total: decibels(node.sqnr),
        });
        let nodes = match bisection.noise {
            Some(_) => Vec::new(),
            None => bisection::named(bisection),
        };
        let [reference, run] = names;
        Self {
            heading: if bisection.noise.is_some() {
                "Nodes that add the error"
            } else {
                "First difference"
            },
            about: format!(
                "{reference} and {run} on {}: {}.",
                printable(&bisection.image),
                bisection::extent(bisection)
            ),
            findings: bisection::findings(bisection),
            noise: rows.collect(),
            nodes: nodes.into_iter().map(node_row).collect(),
            others: match bisection.noise {
                Some(_) => None,
                None => bisection::others(bisection),
            },
        }
    }
}

fn node_row(node: &LookedAt) -> NodeRow {
    let range = |[least, most]: [f64; 2]| format!("[{}, {}]", number(least), number(most));
    let (error, largest, note) = match &node.problem {
        Some(problem) => ("?".to_owned(), String::new(), printable(problem)),
        None => (
            number(node.relative_error),
            number(node.max_error),
            minus(&format!(
                "{} and {}",
                range(node.ranges[0]),
                range(node.ranges[1])
            )),
        ),
    };
    NodeRow {
        error,
        mark: bisection::mark(node),
        name: format!("#{} {}", node.index, printable(&node.name)),
        operator: printable(&node.operator),
        largest,
        note,
    }
}

/// Names the node that adds the most error, or the first one that differs.
pub fn worst_node(bisection: &Bisection) -> Option<WorstLine> {
    let (what, text) = if let Some(noise) = bisection.noise.as_deref() {
        let node = noise.first()?;
        let text = format!(
            "#{} {} ({}) adds an error of {} (SQNR {})",
            node.index,
            printable(&node.name),
            printable(&node.operator),
            percent(node.added),
            decibels(bisection::sqnr(node.added))
        );
        ("Worst node", text)
    } else {
        let node = bisection::node(bisection, bisection.first?)?;
        let text = format!(
            "#{} {} ({}), relative error {}",
            node.index,
            printable(&node.name),
            printable(&node.operator),
            number(node.relative_error)
        );
        ("First differing node", text)
    };
    Some(WorstLine {
        what,
        anchor: "bisect".to_owned(),
        text,
    })
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

fn decibels(ratio: f64) -> String {
    minus(&format!("{ratio:.2} dB"))
}

#[cfg(test)]
mod tests {
    use evaluation::bisect::NodeNoise;

    use super::*;

    fn bisection(added: &[f64]) -> Bisection {
        let node = |(index, added): (usize, &f64)| NodeNoise {
            index,
            run_index: None,
            name: format!("node\u{1b}{index}"),
            operator: "Conv".to_owned(),
            sqnr: -1.5,
            inherited: 0.0,
            added: *added,
            estimated: index == 2,
        };
        Bisection {
            image: "cat.jpg".to_owned(),
            reference: "onnx=/a/float.onnx".to_owned(),
            run: "onnx=/a/int8.onnx".to_owned(),
            tolerance: 0.2,
            nodes: 94,
            matched: 94,
            looks: 9,
            most_looks: 40,
            first: None,
            certain: false,
            looked_at: Vec::new(),
            unknown: Vec::new(),
            only_in_run: Vec::new(),
            output_changed: [0.0; 2],
            output_error: 0.5,
            unranked: Vec::new(),
            noise: Some(added.iter().enumerate().map(node).collect()),
            nothing_to_find: false,
        }
    }

    #[test]
    fn the_worst_node_has_the_longest_bar_and_is_named() {
        let found = bisection(&[0.1, 0.025, 0.01]);
        let section = BisectSection::new(&found, ["float", "int8"]);
        assert!(
            section
                .about
                .starts_with("float and int8 on cat.jpg: inspected 0 of 94")
        );
        let row = |row: &NoiseRow| [&row.added, &row.sqnr, &row.total].map(String::clone);
        let rows: Vec<_> = section.noise.iter().map(row).collect();
        assert_eq!(
            rows,
            [
                ["10 %", "10.00 dB", "−1.50 dB"],
                ["2.5 %", "16.02 dB", "−1.50 dB"],
                ["1 % (estimated)", "20.00 dB", "−1.50 dB"]
            ]
        );
        let widths: Vec<f64> = section.noise.iter().map(|row| row.width).collect();
        assert_eq!(widths, [100.0, 25.0, 10.0]);
        let worst = worst_node(&found).unwrap();
        assert_eq!(
            (worst.what, &*worst.text),
            (
                "Worst node",
                "#0 node\\u{1b}0 (Conv) adds an error of 10 % (SQNR 10.00 dB)"
            )
        );
    }

    #[test]
    fn without_nodes_none_is_worst() {
        assert!(worst_node(&bisection(&[])).is_none());
    }
}
