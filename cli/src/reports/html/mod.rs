//! The HTML report: one self-contained page, which works without its script.

mod bisect;
mod cards;
mod charts;
mod compare;
mod evaluate;
mod frame;
mod heat_map;
mod limits;
mod new_errors;
#[cfg(test)]
mod tests;
mod thumbnails;

use std::io::Write;

use anyhow::Context as _;
use askama::Template;
use evaluation::{ComparisonReport, EvaluationReport};

use super::Exporter;

/// One page without further files.
pub struct Html;

impl Exporter for Html {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write(&compare::page(comparison)?, out)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write(&evaluate::page(evaluation), out)
    }
}

fn write(page: &impl Template, out: &mut dyn Write) -> anyhow::Result<()> {
    let page = page.render().context("cannot write the page")?;
    Ok(out.write_all(page.as_bytes())?)
}
