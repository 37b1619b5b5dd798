//! Tables in the text: aligned columns, and the rows of an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use evaluation::accuracy::{Counts, Criterion, all_metrics};
use evaluation::statistics::Rate;
use evaluation::text::{grouped, number};
use evaluation::{EvaluationReport, RunResults, percent};

use super::named::Evaluation;

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
pub fn rows(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let runs: Vec<_> = evaluation.evaluated().collect();
    let has_top = |k: &usize| runs.iter().any(|(.., found)| found.accuracy.ranks(*k));
    let tops: Vec<usize> = evaluation.top.iter().copied().filter(has_top).collect();
    let is_multi = |found: &RunResults| matches!(found.accuracy.counts, Counts::MultiLabel(_));
    let (multi, single) = (
        runs.iter().any(|(.., found)| is_multi(found)),
        runs.iter().any(|(.., found)| !is_multi(found)),
    );
    let criteria = [Criterion::Top1, Criterion::ExactMatch].into_iter();
    let criteria = criteria.filter(|criterion| {
        let mut drops = runs.iter().filter_map(|(run, ..)| evaluation.drop(*run));
        drops.any(|drop| drop.criterion == *criterion)
    });
    let criteria: Vec<Criterion> = criteria.collect();
    let columns = |tops: Vec<String>, multi_label: [String; 3], single_label: String| {
        let mut columns = Vec::new();
        // The first value is the one that judges a run.
        if multi {
            columns.extend(multi_label);
        }
        columns.extend(tops);
        if single {
            columns.push(single_label);
        }
        columns
    };
    let mut heading = vec!["run".to_owned()];
    heading.extend(columns(
        tops.iter().map(|k| format!("top-{k}")).collect(),
        ["exact match", "mAP", "F1, macro"].map(str::to_owned),
        "mean per class".to_owned(),
    ));
    let drops = criteria.iter();
    heading.extend(drops.map(|criterion| format!("drop of {}", criterion.name())));
    let mut rows = vec![heading];
    for (run, _, found) in &runs {
        let accuracy = &found.accuracy;
        let none = || "-".to_owned();
        let share =
            |share: Option<f64>| share.map_or_else(none, |share| format!("{} %", percent(share)));
        let of_ranks = |k: &usize| {
            let has_ranks = accuracy.ranks(*k);
            has_ranks.then(|| rate(&accuracy.top(*k)))
        };
        let tops = tops.iter().map(|k| of_ranks(k).unwrap_or_else(none));
        let (mean, of_multi) = match &accuracy.counts {
            Counts::SingleLabel(counts) => {
                let mean = (accuracy.images > 0).then(|| counts.mean_per_class());
                (mean, [none(), none(), none()])
            }
            Counts::MultiLabel(counts) => {
                let of_multi = [
                    rate(&counts.exact_match()),
                    share(accuracy.ranking.mean_average_precision()),
                    share((accuracy.images > 0).then(|| counts.mean().f1)),
                ];
                (None, of_multi)
            }
        };
        let mut row = vec![evaluation.title(*run)];
        row.extend(columns(tops.collect(), of_multi, share(mean)));
        let drop = evaluation.drop(*run);
        row.extend(criteria.iter().map(|criterion| {
            let drop = drop.filter(|drop| drop.criterion == *criterion);
            match drop {
                Some(drop) if drop.images == 0 => none(),
                Some(drop) => drop.to_string(),
                None => String::new(),
            }
        }));
        rows.push(row);
    }
    rows
}

/// The metrics that the results have with their intervals.
const SHOWN: [&str; 3] = ["ece", "exact-match", "mean-per-class"];
/// The metrics that the results of a multi-label model have as well.
const SHOWN_OF_LABELS: [&str; 7] = [
    "f1-macro",
    "f1-micro",
    "map",
    "precision-macro",
    "precision-micro",
    "recall-macro",
    "recall-micro",
];

/// Returns the other metrics that gates use, each with its value for every run that was evaluated.
pub fn metric_rows(evaluation: &EvaluationReport) -> Vec<(String, Vec<String>)> {
    let runs = evaluation.evaluated();
    // The ranks are shown with their intervals already.
    let runs = runs.map(|(.., found)| {
        let mut metrics = all_metrics(&found.accuracy, std::iter::empty());
        let is_multi_label = matches!(found.accuracy.counts, Counts::MultiLabel(_));
        metrics.retain(|name, _| {
            let is_shown = is_multi_label && SHOWN_OF_LABELS.contains(&&**name);
            !is_shown && !SHOWN.contains(&&**name)
        });
        metrics
    });
    let runs: Vec<_> = runs.collect();
    let names = runs.iter().flat_map(BTreeMap::keys);
    let names: BTreeSet<&String> = names.collect();
    let row = |name: &String| {
        let values = runs.iter().map(|metrics| metrics.get(name));
        let values = values.map(|value| value.map_or_else(String::new, |value| number(*value)));
        (name.clone(), values.collect())
    };
    names.into_iter().map(row).collect()
}
