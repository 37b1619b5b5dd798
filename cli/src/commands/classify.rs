//! `classify`: the best classes of each picture.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backend_api::{InferBackend, InferRequest};
use futures_util::stream::{self, StreamExt as _};
use image_classification::metadata::{self, MetadataError, ModelInfo};
use image_classification::{InputLayout, Labels, Preprocess, Ranked, ScoreKind, Scores, top_k};
use tokio::task::spawn_blocking;

use crate::engines;
use crate::messages::{Hinted, Messages, printable};
use crate::options::Options;
use crate::pictures;
use crate::text::TextReport;

/// Classifies the inputs and prints the results in their order.
pub fn run(options: &Options, messages: &mut Messages) -> anyhow::Result<()> {
    let model = &options.engine.model;
    if options.default_model {
        messages.note(&format!(
            "no model is given; using the set-up's {}",
            printable(&model.to_string_lossy())
        ));
    }
    let mut report = TextReport::new(io::stdout().lock(), options.digits, options.quiet);
    report.step(engines::first_step(options.engine.backend))?;
    report.step(&format!("Reading the model: {}", model.display()))?;
    let model_info = model_info(options)?;
    let labels = labels(options, model_info.labels)?;
    report.step("Loading the model to the plugin")?;
    let backend = engines::open(&options.engine)?;
    report.backend(backend.info())?;

    let layout = InputLayout::from_spec(&backend.info().input)?;
    let assumed = model_info.preprocess.is_none() && options.recipe.is_empty();
    if assumed {
        messages.note(
            "the model does not say how pictures are prepared; assuming the OpenVINO sample's \
             convention (BGR, 0-255, stretched); pass --color, --mean, --scale and --resize if the \
             model was trained otherwise",
        );
    }
    let recipe = options
        .recipe
        .apply(model_info.preprocess.unwrap_or(Preprocess::OPENVINO_SAMPLE))?;
    check_crop(options.recipe.crop, &layout)?;
    recipe.check(&layout)?;
    check_labels(labels.as_ref(), backend.as_ref(), messages);

    report.step("Starting inference in asynchronous mode")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(options.jobs)
        .build()
        .context("cannot start the decoding threads")?;
    runtime.block_on(async {
        // Enough pictures under way to keep every slot and every decoding thread busy.
        let window = backend.info().slots + 2 * options.jobs;
        let mut results = stream::iter(options.inputs.iter().cloned().zip(0..))
            .map(|(path, id)| classify(path, id, recipe, layout, Arc::clone(&backend), options))
            .buffered(window);
        for path in &options.inputs {
            let Some(result) = results.next().await else {
                break;
            };
            let path = printable(&path.to_string_lossy());
            match result {
                Ok(best) => report.result(&path, &best.top, labels.as_ref(), best.what)?,
                Err(error) => messages.input_failed(&path, &error),
            }
        }
        messages.summary(options.inputs.len());
        Ok(())
    })
}

/// The best classes of one picture, and what their scores are.
struct Best {
    top: Vec<Ranked>,
    what: &'static str,
}

async fn classify(
    path: PathBuf,
    id: u64,
    recipe: Preprocess,
    layout: InputLayout,
    backend: Arc<dyn InferBackend>,
    options: &Options,
) -> Result<Best, anyhow::Error> {
    let tensor = spawn_blocking(move || pictures::tensor(&path, &recipe, &layout))
        .await
        .map_err(|_| Hinted::new("preparing the picture panicked", "report this as a defect"))??;
    let output = backend.submit(InferRequest::new(id, tensor)).await?.await?;
    let scores = Scores::from_output(&output.tensor, options.scores)?;
    // The sample calls logits a probability. They are not.
    let what = if options.scores == ScoreKind::Raw {
        "score"
    } else {
        "probability"
    };
    Ok(Best {
        top: top_k(scores.values(), options.top),
        what,
    })
}

/// What the model's metadata says; nothing where flags say it all.
fn model_info(options: &Options) -> anyhow::Result<ModelInfo> {
    let model = &options.engine.model;
    let entries = match metadata::read(model) {
        Ok(entries) => entries,
        // The engine says better what is wrong with a file that cannot be read.
        Err(MetadataError::Io(_)) => return Ok(ModelInfo::default()),
        // A file that is not what its name says never reaches an engine: OpenVINO would try all of
        // its formats on it and write each one's complaint to stderr.
        Err(error) => return Err(error).with_context(|| model.display().to_string()),
    };
    match ModelInfo::from_entries(&entries) {
        Ok(info) => Ok(info),
        Err(_) if options.recipe.is_complete() => Ok(ModelInfo::default()),
        Err(error) => Err(error.into()),
    }
}

/// The labels: a flag, then the file beside the model, then the metadata.
fn labels(options: &Options, from_model: Option<Labels>) -> anyhow::Result<Option<Labels>> {
    let beside = options.engine.model.with_extension("labels");
    let path = match &options.labels {
        Some(path) => path.as_path(),
        None if beside.is_file() => &beside,
        None => return Ok(from_model),
    };
    read_labels(path).map(Some)
}

fn read_labels(path: &Path) -> anyhow::Result<Labels> {
    let what = || format!("cannot use the labels in {}", path.display());
    let bytes = pictures::read(path, Labels::MOST_BYTES).with_context(what)?;
    Labels::parse(&bytes).with_context(what)
}

/// Labels that belong to another model would be wrong without anybody noticing.
fn check_labels(labels: Option<&Labels>, backend: &dyn InferBackend, messages: &Messages) {
    let classes = backend
        .info()
        .output
        .fixed_shape()
        .map(|shape| shape.iter().product::<usize>());
    if let (Some(labels), Some(classes)) = (labels, classes)
        && labels.len() != classes
    {
        messages.note(&format!(
            "there are {} labels, but the model has {classes} classes; the labels may belong to \
             another model",
            labels.len()
        ));
    }
}

/// `--crop` says what the model's input size says already; a difference is a mistake.
fn check_crop(crop: Option<u32>, layout: &InputLayout) -> anyhow::Result<()> {
    match crop {
        Some(crop) if (crop, crop) != (layout.width(), layout.height()) => Err(Hinted::new(
            format!(
                "--crop is {crop}, but the model's input is {} x {}",
                layout.width(),
                layout.height()
            ),
            "leave --crop out, or give the model's input size",
        )
        .into()),
        _ => Ok(()),
    }
}
