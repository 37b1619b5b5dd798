//! The text on stdout: the verdict, then the numbers that decided it, then a table. With `--verbose` details follow.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::{Basis, Difference, Gate, Verdict};
use evaluation::text::{counted, grouped, number, printable};
use evaluation::{ComparedPair, ComparisonReport, EvaluationReport, percent};

use super::Exporter;
use super::gates::{GateRow, gate_rows};
use super::named::{Comparison, Evaluation};
use super::table::{metric_rows, rate, rows, table};
use super::wording::{
    ComparisonText as _, EvaluationText as _, LISTED, MORE_CLASSES, more, verdict,
};
use super::{bisection, changes};
use crate::errors::Listed;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Most characters of the reason why a run failed.
const LONGEST_REASON: usize = 120;

/// Text for people.
pub struct Text {
    verbose: bool,
    coloured: bool,
}

impl Text {
    /// Returns a text for stdout, in colours on a terminal unless `NO_COLOR` is set.
    pub fn new(verbose: bool) -> Self {
        Self {
            verbose,
            coloured: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        }
    }

    /// Colours the capitals at the beginning of `line` by the verdict.
    fn verdict(&self, line: &str, verdict: Verdict) -> String {
        let is_of_word = |letter: char| letter.is_ascii_uppercase() || letter == ' ';
        let word = line.split(|letter| !is_of_word(letter)).next();
        let word = word.unwrap_or_default().trim_end();
        let style = match verdict {
            Verdict::Agree | Verdict::Recorded => GOOD,
            Verdict::Disagree | Verdict::CouldNotCompare => BAD,
        };
        format!("{}{}\n", self.painted(style, word), &line[word.len()..])
    }

    fn painted(&self, style: Style, word: &str) -> String {
        if self.coloured {
            format!("{style}{word}{style:#}")
        } else {
            word.to_owned()
        }
    }

    /// Describes a gate below the verdict's line, which may have its finding: only the remark is left then.
    fn gate_below(&self, summary: &str, row: &GateRow) -> String {
        let is_listed = self.verbose && row.gate.passed;
        if is_listed || !summary.contains(&row.gate.found) {
            return self.gate(row);
        }
        let remark = row.remark.as_ref();
        remark.map_or_else(String::new, |remark| self.line_of_gate(row, remark))
    }

    /// Describes a gate.
    fn gate(&self, row: &GateRow) -> String {
        let mut text = self.line_of_gate(row, &row.gate.found);
        if let Some(remark) = &row.remark {
            let _ = writeln!(text, "         {remark}");
        }
        text
    }

    fn line_of_gate(&self, row: &GateRow, found: &str) -> String {
        let style = if row.gate.passed { GOOD } else { BAD };
        let word = self.painted(style, verdict(&row.gate));
        let run = match &*row.run {
            "" => String::new(),
            run => format!("{run}: "),
        };
        format!("  {run}{word} {}: {found}\n", row.gate.name)
    }
}

impl Exporter for Text {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let comparison = &Comparison::comparison(comparison);
        Ok(out.write_all(comparison_text(self, comparison).as_bytes())?)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let evaluation = &Evaluation::evaluation(evaluation);
        Ok(out.write_all(evaluation_text(self, evaluation).as_bytes())?)
    }
}

/// Returns whether a reader has to see a gate: it failed, or says that it proves little.
fn is_notable(gate: &Gate) -> bool {
    !gate.passed || gate.remark.is_some()
}

fn comparison_text(form: &Text, comparison: &Comparison) -> String {
    let summary = comparison.shortened(comparison.summary());
    let mut text = form.verdict(&summary, comparison.verdict());
    text += &deciding_gates(form, comparison);
    text += &pairs_table(comparison);
    text.push('\n');
    runs_text(form, comparison, &mut text);
    for note in comparison.tensor_notes() {
        let _ = writeln!(text, "           {note}");
    }
    let _ = writeln!(
        text,
        "tolerance  {} ({})",
        comparison.tolerance,
        printable(&comparison.tolerance_by)
    );
    if let Some(duplicates) = comparison.duplicates.line(&comparison.images) {
        let _ = writeln!(text, "duplicates {duplicates}");
    }
    if let Some(majority) = comparison.majority_line() {
        let majority = comparison.shortened(majority);
        let _ = writeln!(text, "majority   {majority}");
    }
    if let Some(bisect) = &comparison.bisect {
        let bisection = comparison.shortened(bisection::text(bisect));
        let _ = write!(text, "\n{bisection}");
    }
    if form.verbose {
        for pair in comparison.against_reference() {
            pair_text(form, comparison, pair, &mut text);
        }
        other_pairs_text(comparison, &mut text);
    }
    text
}

/// Returns the gates that failed or prove little; where there is none, the number that was nearest to its limit.
fn deciding_gates(form: &Text, comparison: &Comparison) -> String {
    let several = comparison.against_reference().count() > 1;
    let named = |pair: &ComparedPair, gate: &Gate| {
        let name = several.then(|| comparison.name(pair.run));
        (name.unwrap_or_default(), gate.clone())
    };
    let notable = comparison.against_reference().flat_map(|pair| {
        let gates = pair.gates.iter().filter(|gate| is_notable(gate));
        gates.map(move |gate| named(pair, gate))
    });
    let mut rows = gate_rows(notable);
    if rows.is_empty()
        && let Some(pair) = comparison.worst_pair()
    {
        // Whichever of them the answers have.
        let of_name = |name: &&str| pair.gates.iter().find(|gate| gate.name == *name);
        let first = ["max-delta", "logits", "class", "top1"];
        let first = first.iter().find_map(of_name);
        let gate = first.or_else(|| pair.gates.first());
        rows = gate_rows(gate.map(|gate| named(pair, gate)));
    }
    rows.iter().map(|row| form.gate(row)).collect()
}

/// Returns a row for each run that was compared with the reference.
fn pairs_table(comparison: &Comparison) -> String {
    let mut rows = vec![
        [
            "run",
            "same best class",
            "same order except ties",
            "max |Δp|",
            "relative error",
            "worst image",
        ]
        .map(str::to_owned),
    ];
    for compared in comparison.against_reference() {
        let largest = |key: &str| {
            let of = compared.distributions.iter().find(|(own, ..)| *own == key);
            of.map_or_else(|| "-".to_owned(), |(.., values)| number(values.max))
        };
        let pair = &compared.pair;
        let max_delta = largest("max_delta");
        let worst = pair.worst.first().map(|worst| {
            let path = comparison.path(worst.row.image);
            let own = match &worst.row.difference {
                Difference::Finite(values) => values.max_delta.map(number),
                Difference::NotFinite { .. } => None,
            };
            // An image with another best class is worse than one with a larger difference.
            match own.filter(|own| *own != max_delta) {
                Some(own) => format!("{path} (|Δp| {own})"),
                None => path,
            }
        });
        rows.push([
            comparison.name(compared.run),
            rate(&pair.top1_match()),
            rate(&pair.ordered_match_but_ties()),
            max_delta,
            largest("relative_error"),
            worst.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("\n{}", table(&rows))
}

/// Adds the runs, with their full names.
fn runs_text(form: &Text, comparison: &Comparison, text: &mut String) {
    for (index, run) in comparison.runs.iter().enumerate() {
        let kind = if index == comparison.reference {
            "reference"
        } else {
            "run"
        };
        let name = printable(&run.name);
        let what = match &run.info {
            Ok(info) => printable(&info.description()),
            Err(reason) => failed(reason),
        };
        let _ = writeln!(text, "{kind:<10} {name}: {what}");
        if let (Ok(info), true) = (&run.info, form.verbose) {
            let _ = writeln!(text, "           {}", printable(&info.model_description()));
        }
    }
    if form.verbose {
        let _ = writeln!(text, "input      {}", comparison.preprocessing());
        let _ = writeln!(
            text,
            "tensors    {}; SHA-256 of all {}",
            counted(comparison.images.len(), "image"),
            comparison.tensors
        );
    }
}

/// Describes a run that was not used by the beginning of its error. All of it is on stderr, with its hint.
fn failed(reason: &str) -> String {
    let first = match Listed::split(reason) {
        Some(list) => list.message,
        None => reason.lines().next().unwrap_or_default(),
    };
    let short: String = first.chars().take(LONGEST_REASON).collect();
    let more = if short.len() < first.len() { "…" } else { "" };
    format!("FAILED: {}{more}", printable(&short))
}

fn other_pairs_text(comparison: &Comparison, text: &mut String) {
    let others = comparison.pairs.iter();
    for pair in others.filter(|pair| pair.reference != comparison.reference) {
        let verdict = if pair.verdict == Verdict::Agree {
            "agree"
        } else {
            "do not agree"
        };
        let _ = writeln!(
            text,
            "\n{} and {} {verdict}",
            comparison.name(pair.reference),
            comparison.name(pair.run)
        );
    }
}

fn pair_text(form: &Text, comparison: &Comparison, compared: &ComparedPair, text: &mut String) {
    let ComparedPair {
        reference,
        run,
        pair,
        gates,
        distributions,
        ..
    } = compared;
    let _ = writeln!(
        text,
        "\n{} against {}, the {} best classes; {}",
        comparison.name(*run),
        comparison.name(*reference),
        comparison.top,
        match pair.basis {
            Basis::Logits => "probabilities and logits",
            Basis::Probabilities => "probabilities",
            Basis::Outputs => "unchanged outputs",
            Basis::ClassIds => "class ids alone",
        }
    );
    for (name, value) in pair.rates() {
        let _ = writeln!(text, "  {name:<26}{value}");
    }
    let _ = writeln!(
        text,
        "  {:<26}{:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "mean", "p50", "p90", "p99", "max"
    );
    for (_, name, d) in distributions {
        let _ = writeln!(
            text,
            "  {name:<26}{:>10} {:>10} {:>10} {:>10} {:>10}",
            number(d.mean),
            number(d.p50),
            number(d.p90),
            number(d.p99),
            number(d.max)
        );
    }
    let _ = writeln!(text, "  worst images");
    for worst in &pair.worst {
        let _ = writeln!(
            text,
            "    {}: {}",
            comparison.path(worst.row.image),
            comparison.row(&worst.row)
        );
    }
    let gates = gates.iter().map(|gate| (String::new(), gate.clone()));
    for row in gate_rows(gates) {
        text.push_str(&form.gate(&row));
    }
}

fn evaluation_text(form: &Text, evaluation: &Evaluation) -> String {
    let summary = evaluation.shortened(evaluation.summary());
    let mut text = form.verdict(&summary, evaluation.verdict());
    let several = evaluation.evaluated().count() > 1;
    let shown = |(_, gate): &(Option<usize>, Gate)| form.verbose || is_notable(gate);
    let gates = evaluation.all_gates().filter(shown).map(|(run, gate)| {
        let run = run.filter(|_| several);
        (
            run.map_or_else(String::new, |run| evaluation.name(run)),
            gate,
        )
    });
    for row in gate_rows(gates) {
        text += &form.gate_below(&summary, &row);
    }
    if let Some(hint) = evaluation.hint() {
        let _ = writeln!(text, "  hint: {hint}");
    }
    for (index, ..) in evaluation.evaluated() {
        text += &changes::text(evaluation, index, form.verbose);
    }
    text += &if !evaluation.has_counts() {
        String::new()
    } else if form.verbose || evaluation.evaluated().count() == 1 {
        side_by_side(evaluation, form.verbose)
    } else {
        runs_table(evaluation)
    };
    text.push('\n');
    for (index, run) in evaluation.runs.iter().enumerate() {
        let what = match &run.results {
            Ok(found) => printable(&found.info.description()),
            Err(reason) => failed(reason),
        };
        // The full name.
        let _ = writeln!(text, "{}: {what}", evaluation.report.title(index));
        if let (Ok(found), true) = (&run.results, form.verbose) {
            let model = printable(&found.info.model_description());
            let _ = writeln!(text, "  {model}");
        }
        if let Some(labels) = evaluation.labels_line(index).filter(|_| form.verbose) {
            let _ = writeln!(text, "  labels: {labels}");
        }
    }
    if let Some(duplicates) = evaluation.duplicates.line(&evaluation.images) {
        let _ = writeln!(text, "duplicates: {duplicates}");
    }
    if form.verbose {
        for (index, _, found) in evaluation.evaluated() {
            match &found.accuracy.counts {
                Counts::SingleLabel(counts) => {
                    single_label_text(evaluation, index, counts, &mut text);
                }
                Counts::MultiLabel(counts) => {
                    multi_label_text(evaluation, index, counts, &mut text);
                }
            }
        }
    }
    text
}

/// Returns a row for each run; nothing if no run was evaluated.
fn runs_table(evaluation: &Evaluation) -> String {
    match &*rows(evaluation) {
        [_heading] => String::new(),
        rows => format!("\n{}", table(rows)),
    }
}

/// Returns the results of all runs side by side, with `all_metrics` also those that only gates use; nothing if no run
/// was evaluated.
fn side_by_side(evaluation: &Evaluation, all_metrics: bool) -> String {
    let runs = evaluation.evaluated();
    let titles: Vec<String> = runs.map(|(index, ..)| evaluation.title(index)).collect();
    if titles.is_empty() {
        return String::new();
    }
    let mut rows = evaluation.side_by_side();
    if all_metrics {
        rows.extend(metric_rows(evaluation));
    }
    let cells = rows.iter().flat_map(|(_, values)| values).chain(&titles);
    let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0) + 2;
    let mut text = "\n".to_owned();
    let heading = (String::new(), titles);
    for (name, values) in std::iter::once(&heading).chain(&rows) {
        let cells = values.iter().map(|value| format!("{value:<width$}"));
        let cells: String = cells.collect();
        let _ = writeln!(text, "{}", format!("  {name:<24}{cells}").trim_end());
    }
    text
}

fn single_label_text(evaluation: &Evaluation, run: usize, counts: &SingleLabel, text: &mut String) {
    let title = evaluation.title(run);
    let _ = writeln!(text, "\n{title}, classes by accuracy");
    for (class_id, of) in counts.least_right(LISTED) {
        let class = evaluation.class(run, class_id);
        let [right, images] = [of.top1, of.images].map(grouped);
        let _ = writeln!(text, "  {right:>5} of {images:>5} {class}");
    }
    rest_text(counts.classes.len(), text);
    for (truth, answer, count) in counts.confusions(LISTED) {
        let (truth, answer) = (evaluation.class(run, truth), evaluation.class(run, answer));
        let count = grouped(count);
        let _ = writeln!(text, "  {count:>5} x {truth} was classified as {answer}");
    }
}

fn multi_label_text(evaluation: &Evaluation, run: usize, counts: &MultiLabel, text: &mut String) {
    let title = evaluation.title(run);
    let _ = writeln!(text, "\n{title}, classes by F1");
    for (class_id, of) in counts.least_right(LISTED) {
        let _ = writeln!(
            text,
            "  {:>5} %, {} true positives, {} false positives, {} false negatives: {}",
            percent(of.quality().f1),
            grouped(of.true_positives),
            grouped(of.false_positives),
            grouped(of.false_negatives),
            evaluation.class(run, class_id)
        );
    }
    rest_text(counts.classes.len(), text);
}

fn rest_text(classes: usize, text: &mut String) {
    if classes > LISTED {
        let _ = writeln!(text, "  {}", more(classes - LISTED, MORE_CLASSES));
    }
}
