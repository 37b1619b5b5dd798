//! The text that OpenVINO's Image Classification Async sample prints.

use std::io::{self, Write};

use backend_api::BackendInfo;
use image_classification::{Labels, Ranked};

use crate::messages::printable;

/// Writes the sample's lines.
#[derive(Debug)]
pub struct TextReport<W> {
    out: W,
    /// Digits after the point.
    pub digits: usize,
    /// Whether to leave out the steps.
    pub quiet: bool,
}

impl<W: Write> TextReport<W> {
    /// A report on `out`.
    pub fn new(out: W, digits: usize, quiet: bool) -> Self {
        Self { out, digits, quiet }
    }

    /// One step of the program.
    pub fn step(&mut self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        writeln!(self.out, "[ INFO ] {}", printable(text))?;
        self.out.flush()
    }

    /// What really runs.
    pub fn backend(&mut self, info: &BackendInfo) -> io::Result<()> {
        self.step(&format!(
            "{} {} on {} (requested: {}), precision {} (requested: {}), {} infer requests",
            info.engine,
            info.engine_version,
            info.devices.join("+"),
            info.requested_device,
            info.precision,
            info.requested_precision,
            info.slots,
        ))
    }

    /// The best classes of one picture. `what` names the scores: `probability`.
    pub fn result(
        &mut self,
        path: &str,
        top: &[Ranked],
        labels: Option<&Labels>,
        what: &str,
    ) -> io::Result<()> {
        let labelled = if labels.is_some() { " label" } else { "" };
        writeln!(self.out, "[ INFO ] Image path: {path}")?;
        writeln!(self.out, "[ INFO ] Top {} results: ", top.len())?;
        writeln!(self.out, "[ INFO ] class_id {what}{labelled}")?;
        writeln!(self.out, "[ INFO ] --------------------")?;
        for Ranked { class_id, score } in top {
            write!(self.out, "[ INFO ] {class_id:<9}{score:.*}", self.digits)?;
            if let Some(label) = labels.and_then(|labels| labels.get(*class_id)) {
                write!(self.out, "  {}", printable(label))?;
            }
            writeln!(self.out)?;
        }
        writeln!(self.out, "[ INFO ] ")?;
        self.out.flush()
    }
}
