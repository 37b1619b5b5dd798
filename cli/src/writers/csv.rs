//! CSV (RFC 4180 but for line ends), schema version 1: `docs/output.md`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use csv::StringRecord;

use super::{Classified, ResultContext};
use crate::destination::Output;
use crate::errors;
use evaluation::text::printable;

const HEADER: [&str; 11] = [
    "schema_version",
    "path",
    "backend",
    "device",
    "precision",
    "model",
    "rank",
    "class_id",
    "label",
    "score",
    "error",
];

/// The characters that begin a formula. Spreadsheets of East Asia take the full-width forms too.
const FORMULA: [char; 10] = [
    '=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// Writes one row for each class of each image, and one for an image that failed.
#[derive(Debug)]
pub struct Csv {
    writer: csv::Writer<Output>,
    digits: usize,
    has_header: bool,
}

impl Csv {
    pub(super) fn new(out: Output, digits: usize) -> Self {
        Self {
            writer: csv::Writer::from_writer(out),
            digits,
            has_header: false,
        }
    }

    pub(super) fn result(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        self.header()?;
        let (path, model) = (path.to_string_lossy(), context.model.to_string_lossy());
        let info = context.info;
        let run = [
            &*path,
            &info.backend,
            context.device,
            &info.precision,
            &*model,
        ];
        // The cells that all rows of an image share, then those of a row.
        let mut record = StringRecord::from(vec!["1"]);
        record.extend(run.map(inert));
        let shared = record.len();
        let mut row = |rest: [&str; 5]| {
            record.truncate(shared);
            record.extend(rest);
            self.writer.write_record(&record).map_err(unwrapped)
        };
        match result {
            Ok(classified) => {
                for (index, ranked) in classified.top.iter().enumerate() {
                    let label = context.label(ranked.class_id).map(inert);
                    let score = context
                        .scores()
                        .map_or_else(String::new, |_| format!("{:.*}", self.digits, ranked.score));
                    let (rank, class_id) = ((index + 1).to_string(), ranked.class_id.to_string());
                    row([&rank, &class_id, &label.unwrap_or_default(), &score, ""])?;
                }
            }
            Err(error) => row(["", "", "", "", &inert(&errors::chain(error))])?,
        }
        Ok(())
    }

    /// Gives the results to the reader of stdout.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }

    /// Writes the header: before the first result, and also if there is none.
    fn header(&mut self) -> anyhow::Result<()> {
        if !self.has_header {
            self.has_header = true;
            self.writer.write_record(HEADER).map_err(unwrapped)?;
        }
        Ok(())
    }

    pub(super) fn into_output(mut self) -> anyhow::Result<Output> {
        self.header()?;
        self.writer.flush()?;
        let mut out = self
            .writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)
            .context("cannot write the results")?;
        out.flush()?;
        Ok(out)
    }
}

/// A closed pipe has to be recognised as what it is.
pub fn unwrapped(error: csv::Error) -> anyhow::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => anyhow::anyhow!("{other:?}"),
    }
}

/// Returns a cell that spreadsheets do not take for a formula, and terminals for no command. A number that is negative
/// stays one.
pub fn inert(cell: &str) -> String {
    let formula = cell.starts_with(FORMULA) && cell.parse::<f64>().is_err();
    if formula {
        format!("'{}", printable(cell))
    } else {
        printable(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreadsheets_see_no_formula() {
        assert_eq!(inert("=1+1"), "'=1+1");
        assert_eq!(inert("@cmd"), "'@cmd");
        assert_eq!(inert("-0.25"), "-0.25");
        assert_eq!(inert("a=b"), "a=b");
        for full_width in ['＝', '＋', '－', '＠'] {
            let cell = format!("{full_width}1+1");
            assert_eq!(inert(&cell), format!("'{cell}"));
        }
    }

    #[test]
    fn terminals_see_no_command() {
        assert_eq!(inert("a\x1b[2J\u{9b}é"), "a\\u{1b}[2J\\u{9b}é");
        assert_eq!(inert("=\x07"), "'=\\u{7}");
        assert_eq!(inert("\ta"), "'\\ta");
    }
}
