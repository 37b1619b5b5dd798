//! `classify`: the best classes of each picture.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Error};
use backend_api::{InferBackend, InferRequest, Tensor};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use image_classification::{InputLayout, Preprocess, ScoreKind, Scores, top_k};
use tokio::task::spawn_blocking;

use crate::engines;
use crate::inputs::Input;
use crate::messages::{Hinted, Messages, printable};
use crate::options::{ClassifyOptions, OutputOptions};
use crate::output::Output;
use crate::pictures;
use crate::recipe::Recipe;
use crate::results::{Classified, Results, Run};

/// Classifies the inputs and prints the results in their order.
pub fn run(options: ClassifyOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let ClassifyOptions {
        engine,
        inputs,
        recipe,
        output,
        scores,
        jobs,
        quiet,
        verbose,
    } = options;
    // Before the work: where results cannot go, none need be computed.
    let weights = engine.model.with_extension("bin");
    let read = inputs.list.iter().map(|input| input.path.as_path());
    let read = read.chain([engine.model.as_path(), weights.as_path()]);
    let destination = Output::open(output.path.as_deref(), read)?;
    let mut results = Results::new(destination, &output, quiet);
    if engine.default_model {
        messages.note(&format!(
            "no model is given; using the set-up's {}",
            printable(&engine.model.to_string_lossy())
        ));
    }
    if let Some(skipped) = inputs.skipped() {
        messages.note(&skipped);
    }
    results.step(engines::first_step(engine.backend))?;
    results.step(&format!("Reading the model: {}", engine.model.display()))?;
    let recipe = Recipe::find(&engine.model, &recipe, messages)?;
    results.step("Loading the model to the plugin")?;
    let backend = engines::open(&engine)?;
    results.step(&engines::description(backend.info()))?;
    let fitted = recipe.fit(backend.info(), scores, messages)?;
    if verbose {
        for line in recipe.lines(&fitted) {
            messages.note(&line);
        }
        if let Some(library) = &backend.info().library {
            let found = format!("engine: {} ({})", library.path.display(), library.origin);
            messages.note(&printable(&found));
        }
    }
    for note in &backend.info().notes {
        messages.note(&printable(note));
    }

    results.step("Starting inference in asynchronous mode")?;
    let run = Run {
        info: backend.info(),
        model: &engine.model,
        labels: fitted.labels.as_ref().map(|labels| &labels.value),
        // The sample calls logits a probability. They are not.
        scores: if scores == ScoreKind::Raw {
            "score"
        } else {
            "probability"
        },
    };
    let batch = fitted.layout.batch().or(engine.batch).unwrap_or(1);
    let work = Work {
        preprocess: recipe.resolved.preprocess,
        layout: fitted.layout,
        backend: Arc::clone(&backend),
        scores,
        output: output.clone(),
        batch,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(jobs)
        .build()
        .context("cannot start the decoding threads")?;
    let count = inputs.list.len();
    messages.start_progress(count);
    runtime.block_on(async {
        // Enough pictures under way to keep every slot and every decoding thread busy.
        let window = backend.info().slots + (2 * jobs).div_ceil(batch);
        let mut batches = stream::iter(Batches(inputs.list.into_iter(), batch))
            .map(|inputs| work.classify(inputs))
            .buffered(window);
        while let Some(batch) = batches.next().await {
            for (path, result) in batch {
                if let Err(error) = &result {
                    messages.input_failed(&printable(&path.to_string_lossy()), error);
                }
                messages.advance(|| results.result(&run, &path, result.as_ref()))?;
            }
        }
        anyhow::Ok(())
    })?;
    messages.end_progress();
    results.finish()?;
    messages.summary(count);
    Ok(())
}

/// The inputs, some at a time.
struct Batches(std::vec::IntoIter<Input>, usize);

impl Iterator for Batches {
    type Item = Vec<Input>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch: Vec<Input> = self.0.by_ref().take(self.1).collect();
        (!batch.is_empty()).then_some(batch)
    }
}

/// What is done to every batch.
struct Work {
    preprocess: Preprocess,
    layout: InputLayout,
    backend: Arc<dyn InferBackend>,
    scores: ScoreKind,
    output: OutputOptions,
    batch: usize,
}

type Answers = Vec<(PathBuf, Result<Classified, Error>)>;

impl Work {
    /// The result of every input, in order. One that fails takes no other with it.
    async fn classify(&self, inputs: Vec<Input>) -> Answers {
        let prepared = join_all(inputs.into_iter().map(|input| self.prepare(input))).await;
        let mut tensors = Vec::new();
        let results: Vec<_> = prepared
            .into_iter()
            .map(|(path, prepared)| {
                let result = prepared.map(|(tensor, prepare_ms)| {
                    tensors.push(tensor);
                    prepare_ms
                });
                (path, result)
            })
            .collect();
        let start = Instant::now();
        let mut outputs = if tensors.is_empty() {
            Vec::new().into_iter()
        } else {
            self.infer(tensors).await.into_iter()
        };
        let infer_ms = milliseconds(start);
        results
            .into_iter()
            .map(|(path, prepared)| {
                let result = prepared.and_then(|prepare_ms| {
                    let output = outputs.next().expect("an output for every tensor")?;
                    self.rank(&output, prepare_ms, infer_ms)
                });
                (path, result)
            })
            .collect()
    }

    async fn prepare(&self, input: Input) -> (PathBuf, Result<(Tensor, f64), Error>) {
        let Input { path, problem } = input;
        if let Some(problem) = problem {
            return (path, Err(problem));
        }
        let (preprocess, layout, file) = (self.preprocess, self.layout, path.clone());
        let prepared = spawn_blocking(move || {
            let start = Instant::now();
            pictures::tensor(&file, &preprocess, &layout)
                .map(|tensor| (tensor, milliseconds(start)))
        })
        .await
        .unwrap_or_else(|_| {
            Err(Hinted::new("preparing the picture panicked", "report this as a defect").into())
        });
        (path, prepared)
    }

    /// One output for each tensor.
    async fn infer(&self, mut tensors: Vec<Tensor>) -> Vec<Result<Tensor, Error>> {
        let count = tensors.len();
        let shared = |error: backend_api::Error| {
            let error = Arc::new(error);
            (0..count).map(|_| Err(Arc::clone(&error).into())).collect()
        };
        // The last batch, or one with bad pictures, is filled up with copies.
        tensors.extend(vec![tensors[0].clone(); self.batch - count]);
        let outputs = async {
            let tensor = match <[Tensor; 1]>::try_from(tensors) {
                Ok([tensor]) => tensor,
                Err(tensors) => Tensor::concat(&tensors)?,
            };
            let request = InferRequest::new(0, tensor);
            let output = self.backend.submit(request).await?.await?.tensor;
            if self.batch == 1 {
                Ok(vec![output])
            } else {
                output.split()
            }
        };
        match outputs.await {
            Ok(outputs) if outputs.len() == self.batch => {
                outputs.into_iter().take(count).map(Ok).collect()
            }
            Ok(outputs) => shared(backend_api::Error::new(
                backend_api::ErrorKind::ModelUnsupported,
                "split a batch",
                format!(
                    "the model gave {} outputs for a batch of {}",
                    outputs.len(),
                    self.batch
                ),
            )),
            Err(error) => shared(error),
        }
    }

    fn rank(&self, output: &Tensor, prepare_ms: f64, infer_ms: f64) -> Result<Classified, Error> {
        let scores = Scores::from_output(output, self.scores)?;
        let mut top = top_k(scores.values(), self.output.top);
        if let Some(threshold) = self.output.threshold {
            top.retain(|ranked| ranked.score >= threshold);
        }
        Ok(Classified {
            top,
            prepare_ms,
            infer_ms,
        })
    }
}

fn milliseconds(since: Instant) -> f64 {
    // Microseconds are as much as a clock means.
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
