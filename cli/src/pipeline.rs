//! From images to their best classes: a bounded stream in the order of the inputs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Error};
use backend_api::{ErrorKind, InferBackend, InferRequest, Tensor};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use image_classification::{FittedPreprocessing, Interpretation, Scoring};
use tokio::task::spawn_blocking;

use crate::images::{Buffers, ImageFile, Preparation};
use crate::inputs::Input;
use crate::messages::Hinted;
use crate::results::Classified;

/// What is done to every image.
pub struct Pipeline {
    pub input: Preparation,
    pub backend: Arc<dyn InferBackend>,
    pub interpretation: Interpretation,
    /// How many of the best classes are wanted.
    pub top: usize,
    /// The least score that is wanted.
    pub threshold: Option<f32>,
    /// How many images are decoded at a time.
    pub jobs: usize,
    /// Memory of what is done, for what follows.
    pub spare: Spare,
}

/// Tensors whose inference is done, and the memory of images whose tensors are made: as many as were ever
/// under way at a time, at most.
#[derive(Clone, Default)]
pub struct Spare {
    /// Of single images.
    tensors: Arc<Mutex<Vec<Tensor>>>,
    batches: Arc<Mutex<Vec<Tensor>>>,
    buffers: Arc<Mutex<Vec<Buffers>>>,
}

impl Spare {
    fn tensor(&self) -> Option<Tensor> {
        lock(&self.tensors).pop()
    }

    fn batch(&self) -> Option<Tensor> {
        lock(&self.batches).pop()
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
            // Enough images under way to keep every slot and every decoding thread busy.
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
            let mut image = ImageFile::read(&file, spare.buffers(), &[input])?;
            let tensor = input.one(spare.tensor(), image.image(&input)?)?;
            lock(&spare.buffers).push(image.into_buffers());
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
        let outputs = async {
            let single = self.input.batch == 1;
            let (tensor, done) = if single {
                (tensors.swap_remove(0), &self.spare.tensors)
            } else {
                (self.join(tensors).await?, &self.spare.batches)
            };
            let tensor = Arc::new(tensor);
            let request = InferRequest::new(0, Arc::clone(&tensor));
            let output = self.backend.submit(request).await?.await?.tensor;
            // The backend has let go of it: rule 1 of the contract.
            lock(done).extend(Arc::into_inner(tensor));
            if single {
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
                ErrorKind::ModelUnsupported,
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

    /// The tensor of a request. The last batch, or one with bad images, is filled up with its first image.
    async fn join(&self, tensors: Vec<Tensor>) -> Result<Tensor, backend_api::Error> {
        let (size, spare) = (self.input.batch, self.spare.clone());
        // Megabytes are copied: beside what hands the requests out.
        let joined = spawn_blocking(move || {
            let parts = tensors.iter().chain(std::iter::repeat(&tensors[0]));
            let parts: Vec<&Tensor> = parts.take(size).collect();
            let batch = Tensor::concat_in(spare.batch(), &parts)?;
            lock(&spare.tensors).extend(tensors);
            Ok(batch)
        });
        joined.await.unwrap_or_else(|panic| {
            let message = "joining the images to a batch panicked";
            let error = backend_api::Error::new(ErrorKind::Panicked, "make a batch", message);
            Err(error
                .with_hint("report this as a defect")
                .with_source(panic))
        })
    }

    fn rank(&self, output: &Tensor, prepare_ms: f64, infer_ms: f64) -> Result<Classified, Error> {
        let scores = self.interpretation.scores(output)?;
        let mut top = scores.top(self.top);
        if let Some(threshold) = self.threshold
            && scores.scoring() != Scoring::ClassIds
        {
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

/// The outputs of the first images that can be read and inferred, at most [`FittedPreprocessing::FIRST_IMAGES`].
pub fn first_outputs(
    backend: &Arc<dyn InferBackend>,
    input: Preparation,
    inputs: &[Input],
) -> anyhow::Result<Vec<Tensor>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .context("cannot start the runtime")?;
    let output = |image: &Input| -> anyhow::Result<Tensor> {
        let mut file = ImageFile::read(&image.path, Buffers::default(), &[input])?;
        let tensor = input.tensor(file.image(&input)?)?;
        let request = InferRequest::new(0, tensor);
        runtime.block_on(infer(&**backend, input.batch, request))
    };
    // Images that fail get their own error later.
    let readable = inputs.iter().filter(|input| input.problem.is_none());
    Ok(readable
        .filter_map(|input| output(input).ok())
        .take(FittedPreprocessing::FIRST_IMAGES)
        .collect())
}

/// The output for the first image of a request of `batch` images.
pub async fn infer(
    backend: &dyn InferBackend,
    batch: usize,
    request: InferRequest,
) -> anyhow::Result<Tensor> {
    let output = backend.submit(request).await?.await?.tensor;
    if batch == 1 {
        return Ok(output);
    }
    let first = output.split()?.into_iter().next();
    first.ok_or_else(|| {
        Hinted::new("the model gave no output", "give a classification model").into()
    })
}

/// On a decoding thread, where a panic is an error.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done: Result<_, _> = spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Hinted::new("preparing the image panicked", "report this as a defect").into())
    })
}

#[cfg(test)]
mod tests {
    use backend_api::{BackendInfo, Dim, ElementType, MockBackend, TensorSpec};
    use image_classification::{InputLayout, Preprocess};

    use super::*;
    use crate::args::Decode;

    #[test]
    fn tensors_and_buffers_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ppm");
        std::fs::write(&path, [&b"P6 2 2 255\n"[..], &[7; 12]].concat()).unwrap();
        for batch in [1, 3] {
            let spec = |dims: &[usize]| {
                let dims = dims.iter().copied().map(Dim::Fixed).collect();
                TensorSpec::new("x", ElementType::F32, dims)
            };
            let (input, output) = (spec(&[batch, 3, 2, 2]), spec(&[batch, 2]));
            let layout = InputLayout::from_spec(&spec(&[1, 3, 2, 2]), None, None).unwrap();
            let backend = MockBackend::builder()
                .slots(2)
                .info(BackendInfo::new("mock", input, output))
                .respond(move |_, _| Tensor::new([batch, 2], vec![0.5_f32; batch * 2]))
                .build()
                .unwrap();
            let pipeline = Pipeline {
                input: Preparation {
                    preprocess: Preprocess::OPENVINO_SAMPLE,
                    layout,
                    batch,
                    decode: Decode::Exact,
                },
                backend: Arc::new(backend),
                interpretation: Interpretation::RAW,
                top: 2,
                threshold: None,
                jobs: 2,
                spare: Spare::default(),
            };
            let inputs = (0..50).map(|_| Input {
                path: path.clone(),
                problem: None,
            });
            let mut done = 0;
            let count = |_, result: Result<_, _>| result.map(|_| done += 1);
            pipeline.run(inputs, count).unwrap();
            assert_eq!(done, 50);
            let Spare {
                tensors,
                batches,
                buffers,
            } = &pipeline.spare;
            // Of 50 images: no more than are under way at a time.
            let under_way = 1..=(2 + 4) * batch;
            assert!(under_way.contains(&lock(tensors).len()));
            assert!(under_way.contains(&lock(buffers).len()));
            assert_eq!(lock(batches).is_empty(), batch == 1);
            assert!(lock(batches).len() <= 6);
        }
    }
}
