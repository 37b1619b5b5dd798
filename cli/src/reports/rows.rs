//! CSV with a row for each image and run: `docs/compare.md`.

use std::io::Write;

use evaluation::agreement::Difference;
use evaluation::{AnswerRow, ComparisonReport, EvaluationReport, RowResult, RunEntry};

use super::Exporter;
use crate::destination::Output;
use crate::writers::{inert, unwrapped};

const ANSWERS: [&str; 11] = [
    "schema_version",
    "path",
    "run",
    "truth",
    "truth_label",
    "answer",
    "answer_label",
    "right",
    "rank",
    "score",
    "truth_score",
];
const DIFFERENCES: [&str; 13] = [
    "schema_version",
    "path",
    "reference",
    "run",
    "within",
    "reference_answer",
    "answer",
    "same_top1",
    "overlap",
    "reference_score",
    "score",
    "max_delta",
    "relative_error",
];
/// Both end with this column.
const ERROR: &str = "error";
/// The text between several classes.
const SEPARATOR: &str = "|";

/// Rows of an evaluation, which are written image by image.
pub struct AnswerRows {
    writer: csv::Writer<Output>,
}

impl AnswerRows {
    /// Writes the header.
    pub fn start(out: Output) -> anyhow::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        let header = ANSWERS.iter().chain([&ERROR]);
        writer.write_record(header).map_err(unwrapped)?;
        Ok(Self { writer })
    }

    /// Writes the rows of an image.
    pub fn write(&mut self, rows: &[AnswerRow], runs: &[RunEntry]) -> anyhow::Result<()> {
        for row in rows {
            let run = &runs[row.run];
            let labels = |ids: &[usize]| {
                let label = |id: &usize| run.labels.as_ref()?.get(*id);
                let labels: Vec<&str> = ids.iter().filter_map(label).collect();
                labels.join(SEPARATOR)
            };
            let mut cells = vec![
                "1".to_owned(),
                row.image.to_string_lossy().into_owned(),
                run.name.clone(),
            ];
            let error = match &row.result {
                RowResult::Judged(judged) => {
                    cells.extend([
                        ids(&judged.truth),
                        labels(&judged.truth),
                        ids(&judged.answer),
                        labels(&judged.answer),
                        judged.right.to_string(),
                        text(judged.rank),
                        text(judged.score),
                        text(judged.truth_score),
                    ]);
                    ""
                }
                RowResult::NoTruth => "no ground truth",
                RowResult::Failed(problem) => problem,
            };
            cells.resize(ANSWERS.len(), String::new());
            cells.push(error.to_owned());
            let cells = cells.iter().map(|cell| inert(cell));
            self.writer.write_record(cells).map_err(unwrapped)?;
        }
        Ok(())
    }

    /// Gives the file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let out = self.writer.into_inner();
        out.map_err(csv::IntoInnerError::into_error)?.finish()
    }
}

/// Rows of a comparison.
pub struct Rows;

impl Exporter for Rows {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        let header = DIFFERENCES.iter().chain([&ERROR]);
        writer.write_record(header).map_err(unwrapped)?;
        let mut write = |cells: Vec<String>| {
            let cells = cells.iter().map(|cell| inert(cell));
            writer.write_record(cells).map_err(unwrapped)
        };
        for compared in &comparison.pairs {
            let names = [compared.reference, compared.run];
            let [reference, run] = names.map(|run| comparison.runs[run].name.clone());
            let pair = &compared.pair;
            for row in pair.rows.iter() {
                let row = row?;
                let path = comparison.images[row.image].to_string_lossy().into_owned();
                let mut cells = vec!["1".to_owned(), path, reference.clone(), run.clone()];
                cells.push(row.within(&pair.tolerance, pair.basis).to_string());
                let best = |class: usize| row.best.map(|best| best[class]);
                cells.extend([0, 1].map(|class| text(best(class).map(|best| best.class_id))));
                let values = row.values();
                cells.extend([
                    text(values.map(|values| values.top1_match)),
                    text(values.map(evaluation::agreement::Values::overlap)),
                ]);
                cells.extend([0, 1].map(|class| text(best(class).map(|best| best.score))));
                cells.extend([
                    text(values.and_then(|values| values.max_delta)),
                    text(values.and_then(|values| values.relative_error)),
                ]);
                cells.push(match row.difference {
                    Difference::Finite(_) => String::new(),
                    Difference::NotFinite { reference, run } => format!(
                        "values that are not finite: {reference} of the reference, {run} of the run"
                    ),
                });
                write(cells)?;
            }
        }
        for failure in &comparison.failures {
            let Some(image) = failure.image else {
                continue;
            };
            let path = comparison.images[image].to_string_lossy().into_owned();
            let run = failure.run.map(|run| comparison.runs[run].name.clone());
            let mut cells = vec!["1".to_owned(), path, String::new(), text(run)];
            cells.resize(DIFFERENCES.len(), String::new());
            cells.push(failure.problem.message.clone());
            write(cells)?;
        }
        Ok(writer.flush()?)
    }

    fn evaluation(&self, _: &EvaluationReport, _: &mut dyn Write) -> anyhow::Result<()> {
        anyhow::bail!("the rows of an evaluation are written image by image")
    }
}

fn ids(ids: &[usize]) -> String {
    let ids: Vec<String> = ids.iter().map(usize::to_string).collect();
    ids.join(SEPARATOR)
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
