//! The text that OpenVINO's Image Classification Async sample prints.

use std::io::{self, Write};
use std::path::Path;

use image_classification::Ranked;

use super::{Classified, ResultContext};
use crate::destination::Output;
use evaluation::text::Printable;

/// Writes the sample's lines.
#[derive(Debug)]
pub struct Text {
    out: Output,
    digits: usize,
    quiet: bool,
}

impl Text {
    pub(super) fn new(out: Output, digits: usize, quiet: bool) -> Self {
        Self { out, digits, quiet }
    }

    pub(super) fn step(&mut self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        writeln!(self.out, "[ INFO ] {}", Printable(text))?;
        self.out.flush()
    }

    pub(super) fn result(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        classified: &Classified,
    ) -> io::Result<()> {
        let top = &classified.top;
        let path = path.to_string_lossy();
        let labelled = if context.labels.is_some() {
            " label"
        } else {
            ""
        };
        writeln!(self.out, "[ INFO ] Image path: {}", Printable(&path))?;
        writeln!(self.out, "[ INFO ] Top {} results: ", top.len())?;
        let scores = context.scores();
        match scores {
            Some(scores) => writeln!(self.out, "[ INFO ] class_id {scores}{labelled}")?,
            None => writeln!(self.out, "[ INFO ] class_id{labelled}")?,
        }
        writeln!(self.out, "[ INFO ] --------------------")?;
        for Ranked { class_id, score } in top {
            let label = context.label(*class_id).map(Printable);
            match (scores, label) {
                (Some(_), Some(label)) => write!(
                    self.out,
                    "[ INFO ] {class_id:<9}{score:.*}  {label}",
                    self.digits
                )?,
                (Some(_), None) => {
                    write!(self.out, "[ INFO ] {class_id:<9}{score:.*}", self.digits)?;
                }
                (None, Some(label)) => write!(self.out, "[ INFO ] {class_id:<9}{label}")?,
                (None, None) => write!(self.out, "[ INFO ] {class_id}")?,
            }
            writeln!(self.out)?;
        }
        writeln!(self.out, "[ INFO ] ")
    }

    /// Gives the results to the reader of stdout.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(super) fn into_output(self) -> Output {
        self.out
    }
}
