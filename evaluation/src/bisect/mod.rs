//! The node where two runs part: looks into ONNX models, at values between their nodes.
//!
//! A look runs a copy of each model that shows the outputs of some nodes. Showing all of them at once would take the
//! memory of all and leave an engine nothing to fuse; so a look is bounded, and the node that is found is looked at
//! once more, alone.

mod correspondence;
mod difference;
mod inspection;
mod report;
mod search;
mod side;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use image_classification::{ImageBuffers, ImageFile, Preparation};

use crate::image_memory;
use crate::interrupt;
use crate::messages::{self, Hinted, Messages};
use crate::options::EngineOptions;
use crate::reports::compare::Comparison;
use crate::session::Session;
use correspondence::correspondence;
use difference::Apart;
use evaluation::agreement::{Tolerance, ToleranceName, Verdict};
use inspection::Inspection;
pub use report::Bisection;
use search::{Look, Search};
use side::Side;

/// Larger graphs would take gigabytes to search.
const MOST_NODES: usize = 20_000;
/// By how much of its largest value a node's output may differ where one engine computes two files in f32: a few
/// roundings, as it may fuse other nodes of the one than of the other.
const ONE_ENGINE: f64 = 1e-6;
/// The user's options of a bisection.
pub struct Options<'a> {
    /// The image to bisect on; otherwise the worst one.
    pub image: Option<&'a Path>,
    /// By how much of its largest value a node's output may differ.
    pub tolerance: Option<f64>,
    /// The most looks.
    pub looks: usize,
}

/// Searches on the image that was asked for, or on the worst one.
pub fn run(
    comparison: &Comparison,
    opened: &Session,
    asked: &[(String, EngineOptions)],
    options: &Options<'_>,
    messages: &mut Messages,
) -> anyhow::Result<Bisection> {
    let pair = comparison.worst_pair().ok_or_else(|| {
        Hinted::new(
            "nothing was compared, so there is nothing to bisect",
            "fix the errors above",
        )
    })?;
    let image: PathBuf = if let Some(image) = options.image {
        image.to_owned()
    } else {
        let worst = pair.pair.worst.first().context("no image was compared")?;
        comparison.images[worst.row.image].clone()
    };
    let kinds: Vec<Preparation> = [pair.reference, pair.run]
        .iter()
        .filter_map(|lane| Some(opened.entries[*lane].1.as_ref().ok()?.input))
        .collect();
    let mut file = ImageFile::read(
        &*image,
        &kinds,
        image_memory::of_process(),
        ImageBuffers::default(),
    )?;
    // Recordings and other formats were refused before the work, so lanes and entries are the same.
    let mut side = |lane: usize| -> anyhow::Result<Side<'_>> {
        let (name, run) = &opened.entries[lane];
        let run = run.as_ref().ok().context("the run is not open")?;
        let tensor = run.input.tensor(file.image(&run.input)?)?;
        Side::new(name, run, &asked[lane].1, tensor)
    };
    let sides = [side(pair.reference)?, side(pair.run)?];
    let name = pair.pair.tolerance.name;
    let is_one_engine = options.tolerance.is_none()
        && name == ToleranceName::F32
        && sides[0].computes_like(&sides[1]);
    let limit = options.tolerance.unwrap_or(if is_one_engine {
        ONE_ENGINE
    } else {
        Tolerance::of_node(name)
    });
    let outputs = [sides[0].own_output()?, sides[1].own_output()?];
    let own = [outputs[0].to_f32(), outputs[1].to_f32()];
    let own = [own[0].as_ref(), own[1].as_ref()];
    let output = Apart::of_rows(own[0], own[1]);
    let mut found = Bisection {
        image: image.to_string_lossy().into_owned(),
        reference: sides[0].name.to_owned(),
        run: sides[1].name.to_owned(),
        tolerance: limit,
        nodes: sides[0].model.nodes().len(),
        matched: 0,
        looks: 0,
        most_looks: options.looks,
        first: None,
        certain: false,
        looked_at: Vec::new(),
        unknown: Vec::new(),
        only_in_run: Vec::new(),
        output_changed: [0.0; 2],
        output_error: output.relative_error,
        nothing_to_find: !output.is_beyond(limit),
    };
    let agrees = pair.verdict == Verdict::Agree;
    // Logits of one model and probabilities of the other differ, whatever their nodes do.
    let scoring = |side: &Side<'_>| side.run.reading.interpretation.scoring;
    if agrees && options.tolerance.is_none() && scoring(&sides[0]) != scoring(&sides[1]) {
        found.nothing_to_find = true;
    }
    if found.nothing_to_find {
        return Ok(found);
    }
    for side in &sides {
        let nodes = side.model.nodes().len();
        if nodes > MOST_NODES {
            let error = format!(
                "the model of {} has {nodes} nodes, more than {MOST_NODES}",
                messages::printable(side.name)
            );
            return Err(Hinted::new(error, "bisect a smaller model").into());
        }
        let parents = side.model.parents();
        let late = |(node, from): (usize, &Vec<usize>)| from.iter().any(|parent| *parent >= node);
        if parents.iter().enumerate().any(late) {
            let error = format!(
                "in the model of {} a node stands before one that it reads from",
                messages::printable(side.name)
            );
            let hint = "sort the nodes, as ONNX wants them: `onnx.checker` says which one it is";
            return Err(Hinted::new(error, hint).into());
        }
    }
    let no_node = || {
        let error = "no node makes the model's output";
        Hinted::new(error, "give a model with nodes")
    };
    let last = sides[0].last().ok_or_else(no_node)?;
    let its_last = sides[1].last().ok_or_else(no_node)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the edited models")?;
    let _temporary = interrupt::remove_when_stopped(folder.path());
    let counterparts = correspondence(&sides[0].model, &sides[1].model);
    found.matched = counterparts.iter().flatten().count();
    let mut inspection = Inspection::new(&sides, counterparts, own, limit, &folder);
    if is_one_engine {
        inspection.find_doubles();
    }
    let mut search = Search::new(inspection.parents.clone(), last);
    for node in 0..found.nodes {
        if inspection.values[node].is_err() {
            search.saw(node, Look::Unknown);
        }
    }
    if inspection.counterparts[last] == Some(its_last) {
        // It differs without a look.
        let shape = outputs[0].shape().to_vec();
        let seen = inspection.seen(last, sides[0].model.output(), shape, &output);
        inspection.looked_at.insert(last, (seen, true));
        search.saw(last, Look::Differs);
    }
    inspection.search(&mut search, options.looks, messages);
    messages.end_progress();
    inspection.conclude(&search, its_last, &mut found);
    let differs = found.looked_at.iter().any(|node| node.differs);
    found.nothing_to_find = agrees && found.first.is_none() && !differs;
    Ok(found)
}
