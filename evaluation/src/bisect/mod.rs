//! The node where two runs part: looks into ONNX models, at values between their nodes.
//!
//! A look runs a copy of each model that shows the outputs of some nodes. Showing all of them at once would take the
//! memory of all and prevent fusion in the engine; so a look is bounded, and the node that is found is looked at
//! once more, alone.

mod correspondence;
mod difference;
mod inspection;
mod integers;
mod noise;
mod quantized;
mod result;
mod search;
mod side;
mod twins;
mod wiring;

use std::collections::BTreeMap;
use std::path::Path;

use crate::agreement::{Tolerance, ToleranceName};
use crate::text::printable;
use correspondence::correspondence;
use difference::Apart;
use inspection::Inspection;
pub use noise::NodeNoise;
use quantized::Quantized;
pub use result::{Bisection, LookedAt, Unknown};
use search::{Look, Search};
use side::Side;
pub use side::{BisectedRun, OpenModel};
use twins::Twins;

/// Larger graphs would take gigabytes to search.
const MOST_NODES: usize = 20_000;
/// By how much of its largest value a node's output may differ where one engine computes two files in f32: a few
/// roundings, as it may fuse other nodes of the one than of the other.
const ONE_ENGINE: f64 = 1e-6;

/// The options of a bisection.
#[derive(Debug)]
pub struct BisectOptions<'a> {
    /// The largest relative difference of a node's output. Default: the limit of the comparison's tolerance.
    pub tolerance: Option<f64>,
    /// The tolerance of the comparison.
    pub comparison: ToleranceName,
    /// True if the runs differ in their model files alone: engine, version, device, precision and options are the same.
    pub one_engine: bool,
    /// True if the runs agree.
    pub agree: bool,
    /// True if the outputs hold different kinds of values, such as logits and probabilities: they differ, whatever the
    /// nodes do.
    pub other_outputs: bool,
    /// The kind of the models.
    pub models: ModelKind,
    /// The most looks.
    pub looks: usize,
    /// An empty directory for edited models.
    pub directory: &'a Path,
}

/// The kind of two models that are bisected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ModelKind {
    /// Neither is quantized.
    #[default]
    Float,
    /// One is quantized: all nodes are looked at, and listed by the error that they add.
    Quantized,
}

/// Two models cannot be bisected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BisectError {
    /// A run has no output for the image.
    #[error(transparent)]
    Infer(#[from] backend_api::Error),
    /// A graph is too large to search.
    #[error("the model of {} has {nodes} nodes, more than {MOST_NODES}", printable(.run))]
    TooManyNodes {
        /// The name of the run.
        run: String,
        /// The number of nodes.
        nodes: usize,
    },
    /// The nodes of a graph are not in topological order.
    #[error("in the model of {}, a node comes before a node whose output it reads", printable(.run))]
    NotSorted {
        /// The name of the run.
        run: String,
    },
    /// No node makes the output of a model.
    #[error("no node computes the model's output")]
    NoNodes,
}

impl BisectError {
    /// Returns the next step for the user, if one is known.
    pub fn hint(&self) -> Option<&str> {
        Some(match self {
            Self::Infer(error) => return error.hint(),
            Self::TooManyNodes { .. } => "bisect a smaller model",
            Self::NotSorted { .. } => {
                "sort the nodes in the order that ONNX requires; `onnx.checker` names the misplaced node"
            }
            Self::NoNodes => "give a model with nodes",
        })
    }
}

/// Searches for the first node at which the second run differs from the first, the reference, on the image called
/// `image`. `progress` gets the number of nodes that were looked at. Blocks while the models are run.
///
/// # Errors
///
/// If a run has no output for the image, and for graphs that cannot be searched.
pub fn bisect(
    image: &str,
    runs: [BisectedRun<'_>; 2],
    options: &BisectOptions<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<Bisection, BisectError> {
    let mut sides = runs.map(Side::new);
    let is_quantized = options.models == ModelKind::Quantized;
    let is_one_engine = options.tolerance.is_none()
        && options.comparison == ToleranceName::F32
        && options.one_engine;
    let limit = options.tolerance.unwrap_or(if is_one_engine {
        ONE_ENGINE
    } else {
        Tolerance::of_node(options.comparison)
    });
    let outputs = [sides[0].own_output()?, sides[1].own_output()?];
    let own = [outputs[0].to_f32(), outputs[1].to_f32()];
    let own = [own[0].as_ref(), own[1].as_ref()];
    let output = Apart::of_rows(own[0], own[1]);
    let mut found = Bisection {
        image: image.to_owned(),
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
        noise: None,
        unranked: Vec::new(),
        output_error: output.relative_error,
        nothing_to_find: !output.is_beyond(limit),
    };
    if options.agree && options.tolerance.is_none() && options.other_outputs {
        found.nothing_to_find = true;
    }
    if found.nothing_to_find && !is_quantized {
        return Ok(found);
    }
    sides.iter().try_for_each(check_graph)?;
    let correspondence = correspondence(&sides[0].model, &sides[1].model);
    let last = |side: usize| {
        let last = sides[side].last().ok_or(BisectError::NoNodes)?;
        Ok::<_, BisectError>(correspondence.whole(side, last))
    };
    let (last, its_last) = (last(0)?, last(1)?);
    found.matched = correspondence.counterparts.iter().flatten().count();
    let quantized = Quantized::of_sides(&sides, &correspondence);
    let twins = if is_quantized {
        Twins::add(&mut sides, &correspondence, &quantized)
    } else {
        None
    };
    let has_float = sides.iter().any(|side| !twins::is_quantized(side));
    let mut inspection = Inspection::new(
        &sides,
        correspondence,
        own,
        limit,
        &quantized,
        options.directory,
    );
    if is_one_engine {
        inspection.find_doubles();
    }
    // The distance of two quantized models is the error of neither.
    let has_noise = is_quantized && has_float;
    inspection.ranks = has_noise;
    let mut search = Search::new(inspection.parents.clone(), last);
    for node in 0..found.nodes {
        if inspection.values[node].is_err() {
            search.record(node, Look::Unknown);
        }
    }
    if inspection.counterparts[last] == Some(its_last) {
        // It is known without a look.
        let shape = outputs[0].shape().to_vec();
        let seen = inspection.seen(last, sides[0].model.output(), shape, &output);
        inspection.looked_at.insert(last, (seen, true));
        search.record(
            last,
            if output.is_beyond(limit) {
                Look::Differs
            } else {
                Look::Same
            },
        );
    }
    let mut added = BTreeMap::new();
    if has_noise {
        let twins = twins.as_ref();
        added = inspection.rank(&mut search, twins, options.looks, progress);
        inspection.hold_to_noise(&mut search, twins, &mut added, options.looks);
    } else {
        inspection.search(&mut search, options.looks, progress);
        if is_quantized {
            inspection.look_at_all(&mut search, options.looks, progress);
        }
    }
    let parents = inspection.parents.clone();
    inspection.conclude(&search, its_last, &mut found);
    if is_quantized {
        found.noise = has_noise.then(|| noise::worst(&found.looked_at, &parents, &added));
        if options.agree {
            // Every node of a quantized model differs by its steps.
            found.first = None;
            found.unknown.clear();
            found.nothing_to_find = true;
            return Ok(found);
        }
    }
    let differs = found.looked_at.iter().any(|node| node.differs);
    // The errors of many nodes of a quantized model add up where the limit of one is not reached.
    let is_close = !has_noise && !output.is_beyond(limit);
    found.nothing_to_find = (options.agree || is_close) && found.first.is_none() && !differs;
    Ok(found)
}

/// Checks that a graph can be searched.
fn check_graph(side: &Side<'_>) -> Result<(), BisectError> {
    let run = || side.name.to_owned();
    let nodes = side.model.nodes().len();
    if nodes > MOST_NODES {
        return Err(BisectError::TooManyNodes { run: run(), nodes });
    }
    let parents = side.model.parents();
    let late = |(node, from): (usize, &Vec<usize>)| from.iter().any(|parent| *parent >= node);
    if parents.iter().enumerate().any(late) {
        return Err(BisectError::NotSorted { run: run() });
    }
    Ok(())
}
