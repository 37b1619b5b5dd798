//! CSV and Parquet with a row for each image and run: `docs/compare.md`.

use std::io::Write;
#[cfg(feature = "parquet")]
use std::io::{self, Seek as _};

use evaluation::agreement::{Difference, Values};
use evaluation::{AnswerRow, ComparisonReport, EvaluationReport, RowResult, RunEntry};

use super::Exporter;
use super::cell::{Cell, Column, Kind};
#[cfg(feature = "parquet")]
use super::parquet;
use crate::args::ReportFormat;
use crate::destination::Output;
use crate::writers::{inert, unwrapped};

const ANSWERS: [Column; 13] = [
    ("schema_version", Kind::Integer),
    ("path", Kind::Text),
    ("run", Kind::Text),
    ("truth", Kind::Text),
    ("truth_label", Kind::Text),
    ("answer", Kind::Text),
    ("answer_label", Kind::Text),
    ("right", Kind::Flag),
    ("rank", Kind::Integer),
    ("score", Kind::Number),
    ("truth_score", Kind::Number),
    ("change", Kind::Text),
    ERROR,
];
const DIFFERENCES: [Column; 14] = [
    ("schema_version", Kind::Integer),
    ("path", Kind::Text),
    ("reference", Kind::Text),
    ("run", Kind::Text),
    ("within", Kind::Flag),
    ("reference_answer", Kind::Integer),
    ("answer", Kind::Integer),
    ("same_top1", Kind::Flag),
    ("overlap", Kind::Number),
    ("reference_score", Kind::Number),
    ("score", Kind::Number),
    ("max_delta", Kind::Number),
    ("relative_error", Kind::Number),
    ERROR,
];
/// Both end with this column.
const ERROR: Column = ("error", Kind::Text);
/// The text between several classes.
const SEPARATOR: &str = "|";

/// Returns the names of the columns of each kind of rows.
pub fn column_names() -> [Vec<&'static str>; 2] {
    let names = |columns: &[Column]| columns.iter().map(|(name, _)| *name).collect();
    [names(&ANSWERS), names(&DIFFERENCES)]
}

/// Rows as CSV.
struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Writes the header.
    fn start(columns: &[Column], out: W) -> anyhow::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        let names = columns.iter().map(|(name, _)| *name);
        writer.write_record(names).map_err(unwrapped)?;
        Ok(Self(writer))
    }

    fn write(&mut self, cells: &[Cell]) -> anyhow::Result<()> {
        let cells: Vec<String> = cells.iter().map(Cell::to_string).collect();
        let cells = cells.iter().map(|cell| inert(cell));
        self.0.write_record(cells).map_err(unwrapped)
    }
}

/// Rows of an evaluation, which are written image by image.
pub struct AnswerRows(AnswerFile);

enum AnswerFile {
    Csv(Box<Csv<Output>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Table<Output>>),
}

impl AnswerRows {
    /// Starts a file of rows.
    pub fn start(format: ReportFormat, out: Output) -> anyhow::Result<Self> {
        Ok(Self(match format {
            #[cfg(feature = "parquet")]
            ReportFormat::Parquet => {
                AnswerFile::Parquet(Box::new(parquet::Table::start(&ANSWERS, out)?))
            }
            _ => AnswerFile::Csv(Box::new(Csv::start(&ANSWERS, out)?)),
        }))
    }

    /// Writes the rows of an image.
    pub fn write(&mut self, rows: &[AnswerRow], runs: &[RunEntry]) -> anyhow::Result<()> {
        for row in rows {
            let run = &runs[row.run];
            let labels = |ids: &[usize]| {
                let label = |id: &usize| run.labels.as_ref()?.get(*id);
                let labels: Vec<&str> = ids.iter().filter_map(label).collect();
                Cell::Text(labels.join(SEPARATOR))
            };
            let mut cells = vec![
                Cell::Integer(1),
                Cell::text(row.image.to_string_lossy()),
                Cell::text(&run.name),
            ];
            let error = match &row.result {
                RowResult::Judged(judged) => {
                    cells.extend([
                        ids(&judged.truth),
                        labels(&judged.truth),
                        ids(&judged.answer),
                        labels(&judged.answer),
                        Cell::Flag(judged.right),
                        Cell::of(judged.rank, Cell::Integer),
                        Cell::of(judged.score, Cell::Number),
                        Cell::of(judged.truth_score, Cell::Number),
                        Cell::of(judged.change, |change| Cell::text(change.name())),
                    ]);
                    Cell::Empty
                }
                RowResult::NoTruth => Cell::text("no ground truth"),
                RowResult::Failed(problem) => Cell::text(problem),
            };
            cells.resize(ANSWERS.len() - 1, Cell::Empty);
            cells.push(error);
            match &mut self.0 {
                AnswerFile::Csv(file) => file.write(&cells)?,
                #[cfg(feature = "parquet")]
                AnswerFile::Parquet(file) => file.write(cells)?,
            }
        }
        Ok(())
    }

    /// Gives the file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let out = match self.0 {
            AnswerFile::Csv(file) => {
                let out = file.0.into_inner();
                out.map_err(csv::IntoInnerError::into_error)?
            }
            #[cfg(feature = "parquet")]
            AnswerFile::Parquet(file) => file.into_output()?,
        };
        out.finish()
    }
}

/// Rows of a comparison as CSV.
pub struct Rows;

impl Exporter for Rows {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut file = Csv::start(&DIFFERENCES, out)?;
        each_difference(comparison, &mut |cells| file.write(&cells))?;
        Ok(file.0.flush()?)
    }

    fn evaluation(&self, _: &EvaluationReport, _: &mut dyn Write) -> anyhow::Result<()> {
        anyhow::bail!("the rows of an evaluation are written image by image")
    }
}

/// Rows of a comparison as Parquet.
#[cfg(feature = "parquet")]
pub struct ParquetRows;

#[cfg(feature = "parquet")]
impl Exporter for ParquetRows {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        // The writer needs a file of its own.
        let mut table = parquet::Table::start(&DIFFERENCES, tempfile::tempfile()?)?;
        each_difference(comparison, &mut |cells| table.write(cells))?;
        let mut written = table.into_output()?;
        written.rewind()?;
        io::copy(&mut written, out)?;
        Ok(())
    }

    fn evaluation(&self, _: &EvaluationReport, _: &mut dyn Write) -> anyhow::Result<()> {
        anyhow::bail!("the rows of an evaluation are written image by image")
    }
}

/// Gives the row of each image and pair of runs to `write`, then those of failures.
fn each_difference(
    comparison: &ComparisonReport,
    write: &mut dyn FnMut(Vec<Cell>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = |image: usize| Cell::text(comparison.images[image].to_string_lossy());
    let name = |run: usize| Cell::text(&comparison.runs[run].name);
    for compared in &comparison.pairs {
        let pair = &compared.pair;
        for row in pair.rows.iter() {
            let row = row?;
            let mut cells = vec![Cell::Integer(1), path(row.image)];
            cells.extend([compared.reference, compared.run].map(name));
            cells.push(Cell::Flag(row.within(&pair.tolerance, pair.basis)));
            let best = |class: usize| row.best.map(|best| best[class]);
            let classes = [0, 1].map(|class| best(class).map(|best| best.class_id));
            cells.extend(classes.map(|class| Cell::of(class, Cell::Integer)));
            let values = row.values();
            cells.extend([
                Cell::of(values.map(|values| values.top1_match), Cell::Flag),
                Cell::of(values.map(Values::overlap), Cell::Number),
            ]);
            let scores = [0, 1].map(|class| best(class).map(|best| best.score));
            cells.extend(scores.map(|score| Cell::of(score, Cell::Single)));
            cells.extend([
                Cell::of(values.and_then(|values| values.max_delta), Cell::Number),
                Cell::of(
                    values.and_then(|values| values.relative_error),
                    Cell::Number,
                ),
            ]);
            cells.push(match row.difference {
                Difference::Finite(_) => Cell::Empty,
                Difference::NotFinite { reference, run } => Cell::Text(format!(
                    "values that are not finite: {reference} of the reference, {run} of the run"
                )),
            });
            write(cells)?;
        }
    }
    for failure in &comparison.failures {
        let Some(image) = failure.image else {
            continue;
        };
        let run = Cell::of(failure.run, name);
        let mut cells = vec![Cell::Integer(1), path(image), Cell::Empty, run];
        cells.resize(DIFFERENCES.len() - 1, Cell::Empty);
        cells.push(Cell::text(&failure.problem.message));
        write(cells)?;
    }
    Ok(())
}

fn ids(ids: &[usize]) -> Cell {
    let ids: Vec<String> = ids.iter().map(usize::to_string).collect();
    Cell::Text(ids.join(SEPARATOR))
}
