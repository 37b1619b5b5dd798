//! Tables in the text: aligned columns, and the rows of an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use evaluation::accuracy::{Counts, all_metrics};
use evaluation::statistics::Rate;
use evaluation::text::{grouped, number};
use evaluation::{EvaluationReport, RunResults, percent};

use super::wording::EvaluationText as _;

/// Aligns the columns of rows, which all have the same number of them.
pub fn table(rows: &[impl AsRef<[String]>]) -> String {
    let mut text = String::new();
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    let widths = (0..columns).map(|column| {
        let cells = rows.iter().map(|row| row.as_ref()[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let widths: Vec<usize> = widths.collect();
    for row in rows {
        let cells = row
            .as_ref()
            .iter()
            .zip(&widths)
            .map(|(cell, width)| (cell, *width));
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

/// Formats a share: `27/28, 96.4 %`.
pub fn rate(rate: &Rate) -> String {
    if rate.of == 0 {
        return "-".to_owned();
    }
    format!(
        "{}/{}, {} %",
        grouped(rate.count),
        grouped(rate.of),
        percent(rate.share)
    )
}

/// Returns a heading and a row for each run that was evaluated.
pub fn rows(evaluation: &EvaluationReport) -> Vec<Vec<String>> {
    let runs: Vec<_> = evaluation.evaluated().collect();
    let has_top = |k: &usize| runs.iter().any(|(.., found)| found.accuracy.ranks(*k));
    let tops: Vec<usize> = evaluation.top.iter().copied().filter(has_top).collect();
    let is_multi = |found: &RunResults| matches!(found.accuracy.counts, Counts::MultiLabel(_));
    let (multi, single) = (
        runs.iter().any(|(.., found)| is_multi(found)),
        runs.iter().any(|(.., found)| !is_multi(found)),
    );
    let has_drop = runs.iter().any(|(run, ..)| evaluation.drop(*run).is_some());
    let mut heading = vec!["run".to_owned()];
    heading.extend(tops.iter().map(|k| format!("top-{k}")));
    let others = [
        (single, "mean per class"),
        (multi, "exact match"),
        (multi, "F1, macro"),
        (has_drop, "drop of top-1"),
    ];
    heading.extend(
        others
            .iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| (*name).to_owned()),
    );
    let mut rows = vec![heading];
    for (run, _, found) in &runs {
        let accuracy = &found.accuracy;
        let mut row = vec![evaluation.title(*run)];
        row.extend(tops.iter().map(|k| {
            if accuracy.ranks(*k) {
                rate(&accuracy.top(*k))
            } else {
                "-".to_owned()
            }
        }));
        let (mean, exact, f1) = match &accuracy.counts {
            Counts::SingleLabel(counts) => (Some(counts.mean_per_class()), None, None),
            Counts::MultiLabel(counts) => {
                (None, Some(counts.exact_match()), Some(counts.mean().f1))
            }
        };
        let share = |share: Option<f64>| {
            share.map_or_else(|| "-".to_owned(), |share| format!("{} %", percent(share)))
        };
        let drop = evaluation.drop(*run);
        let others = [
            (single, share(mean)),
            (
                multi,
                exact.map_or_else(|| "-".to_owned(), |exact| rate(&exact)),
            ),
            (multi, share(f1)),
            (
                has_drop,
                drop.map_or_else(String::new, |drop| drop.to_string()),
            ),
        ];
        row.extend(
            others
                .into_iter()
                .filter(|(has, _)| *has)
                .map(|(_, cell)| cell),
        );
        rows.push(row);
    }
    rows
}

/// The metrics that the results have with their intervals.
const SHOWN: [&str; 3] = ["ece", "exact-match", "mean-per-class"];

/// Returns the other metrics that gates use, each with its value for every run that was evaluated.
pub fn metric_rows(evaluation: &EvaluationReport) -> Vec<(String, Vec<String>)> {
    let runs = evaluation.evaluated();
    // The ranks are shown with their intervals already.
    let runs = runs.map(|(.., found)| all_metrics(&found.accuracy, std::iter::empty()));
    let runs: Vec<_> = runs.collect();
    let names = runs.iter().flat_map(BTreeMap::keys);
    let names = names.filter(|name| !SHOWN.contains(&&***name));
    let names: BTreeSet<&String> = names.collect();
    let row = |name: &String| {
        let values = runs.iter().map(|metrics| metrics.get(name));
        let values = values.map(|value| value.map_or_else(String::new, |value| number(*value)));
        (name.clone(), values.collect())
    };
    names.into_iter().map(row).collect()
}
