//! From pictures to their best classes: a bounded stream in the order of the inputs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Error};
use backend_api::{InferBackend, InferRequest, Tensor};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use image_classification::{ScoreKind, Scores, top_k};
use tokio::task::spawn_blocking;

use crate::inputs::Input;
use crate::messages::Hinted;
use crate::pictures::{Buffers, PictureFile, Preparation};
use crate::results::Classified;

/// What is done to every picture.
pub struct Pipeline {
    pub input: Preparation,
    pub backend: Arc<dyn InferBackend>,
    pub scores: ScoreKind,
    /// How many of the best classes are wanted.
    pub top: usize,
    /// The least score that is wanted.
    pub threshold: Option<f32>,
    /// How many pictures are decoded at a time.
    pub jobs: usize,
    /// Memory of what is done, for what follows.
    pub spare: Spare,
}

/// Tensors whose inference is done, and the memory of pictures whose tensors are made: as many as were ever
/// under way at a time, at most.
#[derive(Clone, Default)]
pub struct Spare {
    tensors: Arc<Mutex<Vec<Tensor>>>,
    buffers: Arc<Mutex<Vec<Buffers>>>,
}

impl Spare {
    fn tensor(&self) -> Option<Tensor> {
        lock(&self.tensors).pop()
    }

    fn buffers(&self) -> Buffers {
        lock(&self.buffers).pop().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// `take`s the result of every input in order. A bounded number is under way at a time, so that memory does
    /// not grow with their number.
    ///
    /// # Errors
    ///
    /// Those of `take`, at which it stops. An input that fails takes no other with it.
    pub fn run(
        &self,
        inputs: impl IntoIterator<Item = Input>,
        mut take: impl FnMut(PathBuf, Result<Classified, Error>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(self.jobs)
            .build()
            .context("cannot start the decoding threads")?;
        runtime.block_on(async {
            // Enough pictures under way to keep every slot and every decoding thread busy.
            let window = self.backend.info().slots + (2 * self.jobs).div_ceil(self.input.batch);
            let mut batches = stream::iter(Batches(inputs.into_iter(), self.input.batch))
                .map(|inputs| self.classify(inputs))
                .buffered(window);
            while let Some(batch) = batches.next().await {
                for (path, result) in batch {
                    take(path, result)?;
                }
            }
            Ok(())
        })
    }

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
        let (input, spare, file) = (self.input, self.spare.clone(), path.clone());
        let prepared = blocking(move || {
            let start = Instant::now();
            let mut picture = PictureFile::read(&file, spare.buffers())?;
            let tensor = input.one(spare.tensor(), picture.picture(&input)?)?;
            lock(&spare.buffers).push(picture.into_buffers());
            Ok((tensor, milliseconds(start)))
        })
        .await;
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
        tensors.extend(vec![tensors[0].clone(); self.input.batch - count]);
        let outputs = async {
            let tensor = match <[Tensor; 1]>::try_from(tensors) {
                Ok([tensor]) => tensor,
                Err(tensors) => {
                    let batch = Tensor::concat(&tensors)?;
                    // Not the copies: there would be more and more.
                    lock(&self.spare.tensors).extend(tensors.into_iter().take(count));
                    batch
                }
            };
            let tensor = Arc::new(tensor);
            let request = InferRequest::new(0, Arc::clone(&tensor));
            let output = self.backend.submit(request).await?.await?.tensor;
            if self.input.batch == 1 {
                // The backend has let go of it: rule 1 of the contract.
                lock(&self.spare.tensors).extend(Arc::into_inner(tensor));
                Ok(vec![output])
            } else {
                output.split()
            }
        };
        match outputs.await {
            Ok(outputs) if outputs.len() == self.input.batch => {
                outputs.into_iter().take(count).map(Ok).collect()
            }
            Ok(outputs) => shared(backend_api::Error::new(
                backend_api::ErrorKind::ModelUnsupported,
                "split a batch",
                format!(
                    "the model gave {} outputs for a batch of {}",
                    outputs.len(),
                    self.input.batch
                ),
            )),
            Err(error) => shared(error),
        }
    }

    fn rank(&self, output: &Tensor, prepare_ms: f64, infer_ms: f64) -> Result<Classified, Error> {
        let scores = Scores::from_output(output, self.scores)?;
        let mut top = top_k(scores.values(), self.top);
        if let Some(threshold) = self.threshold {
            top.retain(|ranked| ranked.score >= threshold);
        }
        Ok(Classified {
            top,
            prepare_ms,
            infer_ms,
        })
    }
}

/// The inputs, some at a time.
struct Batches<I>(I, usize);

impl<I: Iterator<Item = Input>> Iterator for Batches<I> {
    type Item = Vec<Input>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch: Vec<Input> = self.0.by_ref().take(self.1).collect();
        (!batch.is_empty()).then_some(batch)
    }
}

type Answers = Vec<(PathBuf, Result<Classified, Error>)>;

fn milliseconds(since: Instant) -> f64 {
    // Microseconds are as much as a clock means.
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// On a decoding thread, where a panic is an error.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done: Result<_, _> = spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Hinted::new("preparing the picture panicked", "report this as a defect").into())
    })
}
