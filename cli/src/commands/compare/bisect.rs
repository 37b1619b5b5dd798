//! The search for the node where two runs part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backend_api::InferBackend;
use evaluation::agreement::Verdict;
use evaluation::bisect::{BisectOptions, BisectedRun, Bisection, ModelKind, bisect};
use evaluation::{ComparedPair, ComparisonReport};
use image_classification::{ImageBuffers, ImageFile, Preparation};

use crate::args::Backend;
use crate::errors::Hinted;
use crate::image_decoder;
use crate::image_memory;
use crate::interrupt;
use crate::isolated;
use crate::options::EngineOptions;
use crate::session::{OpenRun, Session};
use crate::terminal::Messages;

/// The options of a bisection.
pub struct Options {
    /// The image to bisect on. By default the worst one.
    pub image: Option<PathBuf>,
    /// The largest difference of a node's output, as a share of its largest value.
    pub tolerance: Option<f64>,
    /// The largest number of looks.
    pub looks: usize,
}

/// A run with its options.
struct Side<'a> {
    name: &'a str,
    run: &'a OpenRun,
    engine: &'a EngineOptions,
}

impl<'a> Side<'a> {
    /// Returns the run at a place of the report.
    fn of(
        place: usize,
        opened: &'a Session,
        engines: &'a [(String, EngineOptions)],
    ) -> anyhow::Result<Self> {
        // Recordings and other formats were refused before the work, so the runs of the report are those that were
        // opened.
        let (name, run) = &opened.entries[place];
        Ok(Self {
            name,
            run: run.as_ref().ok().context("the run is not open")?,
            engine: &engines[place].1,
        })
    }

    /// Opens an edited model as the run's.
    fn open(&self, model: &Path) -> anyhow::Result<Arc<dyn InferBackend>> {
        let mut engine = self.engine.clone();
        model.clone_into(&mut engine.model);
        engine.requests = Some(1);
        engine.cache_dir = None;
        // An edited copy has one output.
        engine.output = None;
        if self.run.info().isolation.is_none() {
            engine.isolation = None;
        }
        // The run has printed such a note.
        isolated::open(&engine, |_| {})
    }
}

/// Searches for the first node that differs, on the requested image or on the worst one.
pub fn run(
    comparison: &ComparisonReport,
    opened: &Session,
    engines: &[(String, EngineOptions)],
    options: &Options,
    messages: &mut Messages,
) -> anyhow::Result<Bisection> {
    let pair = comparison.worst_pair().ok_or_else(|| {
        Hinted::new(
            "nothing was compared, so there is nothing to bisect",
            "fix the errors above",
        )
    })?;
    let image = match &options.image {
        Some(image) => image,
        None => worst_image(comparison, pair)?,
    };
    let side = |place| Side::of(place, opened, engines);
    let sides = [side(pair.reference)?, side(pair.run)?];
    let kinds: Vec<Preparation> = sides.iter().map(|side| side.run.input).collect();
    let mut file = ImageFile::read(
        image,
        &kinds,
        image_memory::of_process(),
        &image_decoder::of_process(),
        ImageBuffers::default(),
    )?;
    let openers = sides
        .each_ref()
        .map(|side| |model: &Path| Ok(side.open(model)?));
    let mut bisected = |place: usize| -> anyhow::Result<BisectedRun<'_>> {
        let Side { name, run, engine } = sides[place];
        Ok(BisectedRun {
            name,
            backend: &*run.backend,
            model: model_file::check_onnx(&engine.model, "--bisect", None)?,
            tensor: run.input.tensor(file.image(&run.input)?)?,
            // RTen computes in f32 instead.
            has_doubles: engine.backend != Backend::Rten,
            open: &openers[place],
        })
    };
    let runs = [bisected(0)?, bisected(1)?];
    let directory = tempfile::tempdir().context("cannot make a directory for the edited models")?;
    let _temporary = interrupt::remove_when_stopped(directory.path());
    let scoring = |run: usize| {
        let info = comparison.runs[run].info.as_ref().ok();
        let interpretation = info.and_then(|info| info.interpretation);
        interpretation.map(|interpretation| interpretation.scoring)
    };
    let is_quantized = |run: usize| {
        let info = comparison.runs[run].info.as_ref();
        info.is_ok_and(|info| info.quantization().is_some())
    };
    let options = BisectOptions {
        tolerance: options.tolerance,
        comparison: pair.pair.tolerance.name,
        one_engine: compute_alike(&sides[0], &sides[1]),
        agree: pair.verdict == Verdict::Agree,
        other_outputs: scoring(pair.reference) != scoring(pair.run),
        models: if [pair.reference, pair.run].into_iter().any(is_quantized) {
            ModelKind::Quantized
        } else {
            ModelKind::Float
        },
        looks: options.looks,
        directory: directory.path(),
    };
    let image = image.to_string_lossy();
    let mut progress = |nodes| messages.step(&format!("bisecting: {nodes} nodes inspected"));
    let found = bisect(&image, runs, &options, &mut progress);
    messages.end_progress();
    Ok(found?)
}

fn worst_image<'a>(
    comparison: &'a ComparisonReport,
    pair: &ComparedPair,
) -> anyhow::Result<&'a Path> {
    let worst = pair.pair.worst.first().context("no image was compared")?;
    Ok(&comparison.images[worst.row.image])
}

/// Returns whether the two runs differ in their model files only.
fn compute_alike(one: &Side<'_>, other: &Side<'_>) -> bool {
    let (info, its) = (one.run.info(), other.run.info());
    let (engine, its_engine) = (one.engine, other.engine);
    info.engine == its.engine
        && info.engine_version == its.engine_version
        && info.devices == its.devices
        && info.precision == its.precision
        && info.requested_precision == its.requested_precision
        && engine.hint == its_engine.hint
        && engine.streams == its_engine.streams
        && engine.threads == its_engine.threads
        && engine.config == its_engine.config
}
