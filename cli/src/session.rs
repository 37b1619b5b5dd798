//! Runs: the same images through several engines, devices, precisions or models at a time.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Error};
use backend_api::{BackendInfo, InferBackend, InferRequest, Tensor};
use clap::ValueEnum as _;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use image_classification::{Labels, OutputReading, PreprocessOverrides};

use crate::args::{Backend, PrecisionArg};
use crate::engines;
use crate::images::{Buffers, ImageFile, Preparation};
use crate::inputs::Input;
use crate::interrupt;
use crate::messages::{Hinted, Messages, printable};
use crate::options::EngineOptions;
use crate::pipeline::{blocking, infer};
use crate::resolve;
use evaluation::Digest;

/// The most runs at a time. All of their models are in memory.
const MOST_RUNS: usize = 16;

/// A run as it is written: `BACKEND[:DEVICE][@PRECISION][=MODEL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// As it was written.
    pub text: String,
    pub backend: Backend,
    pub device: Option<String>,
    pub precision: Option<PrecisionArg>,
    pub model: Option<PathBuf>,
}

impl FromStr for RunSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write BACKEND[:DEVICE][@PRECISION][=MODEL], such as openvino:CPU@f32";
        // Neither `=` nor `@` is in a device's name; a model's path may have anything.
        let (engine, model) = match text.split_once('=') {
            Some((engine, model)) => (engine, Some(model)),
            None => (text, None),
        };
        let (engine, precision) = match engine.rsplit_once('@') {
            Some((engine, precision)) => (engine, Some(precision)),
            None => (engine, None),
        };
        let (backend, device) = match engine.split_once(':') {
            Some((backend, device)) => (backend, Some(device)),
            None => (engine, None),
        };
        if model == Some("") || device == Some("") {
            return Err(format!("something is missing after `:` or `=`; {FORM}"));
        }
        let names = |values: Vec<clap::builder::PossibleValue>| {
            let names: Vec<_> = values
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect();
            names.join(", ")
        };
        let backend = Backend::from_str(backend, true).map_err(|_| {
            let known = Backend::value_variants();
            let known = names(
                known
                    .iter()
                    .filter_map(Backend::to_possible_value)
                    .collect(),
            );
            format!("there is no backend `{backend}` (there are {known}); {FORM}")
        })?;
        let precision = precision
            .map(|precision| PrecisionArg::from_str(precision, true).map_err(|_| precision))
            .transpose()
            .map_err(|precision| {
                let known = PrecisionArg::value_variants();
                let known = names(
                    known
                        .iter()
                        .filter_map(PrecisionArg::to_possible_value)
                        .collect(),
                );
                format!("there is no precision `{precision}` (there are {known}); {FORM}")
            })?;
        Ok(Self {
            text: text.to_owned(),
            backend,
            device: device.map(str::to_owned),
            precision,
            model: model.map(PathBuf::from),
        })
    }
}

/// A run that is open.
pub struct Run {
    /// As it was written; the second of the same text has ` (2)` behind it.
    pub name: String,
    pub model: PathBuf,
    pub backend: Arc<dyn InferBackend>,
    /// The preprocessing of its tensors.
    pub input: Preparation,
    /// The names of its classes.
    pub labels: Option<Labels>,
    /// The rule that makes scores of its outputs.
    pub reading: OutputReading,
    /// The number of classes, if it is fixed.
    pub classes: Option<usize>,
    /// The number of values that it gives for an image, if that is fixed.
    pub values: Option<usize>,
}

impl Run {
    /// The engine's description of itself.
    pub fn info(&self) -> &BackendInfo {
        self.backend.info()
    }
}

/// The runs that were asked for, each open or with the reason why not.
pub struct Runs {
    pub entries: Vec<(String, Result<Run, Error>)>,
}

impl Runs {
    /// Opens all of them, one after the other. One that cannot be opened does not keep the others from
    /// working.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn open(
        asked: &[(String, EngineOptions)],
        preprocess: &PreprocessOverrides,
        inputs: &[Input],
        messages: &Messages,
    ) -> anyhow::Result<Self> {
        if asked.len() > MOST_RUNS {
            let error = format!(
                "there are {} runs, but at most {MOST_RUNS} can be compared",
                asked.len()
            );
            return Err(Hinted::new(error, "compare fewer at a time").into());
        }
        let mut names: Vec<String> = Vec::new();
        let entries = asked
            .iter()
            .map(|(text, engine)| {
                let earlier = asked[..names.len()]
                    .iter()
                    .filter(|(other, _)| other == text)
                    .count();
                let name = if earlier == 0 {
                    text.clone()
                } else {
                    format!("{text} ({})", earlier + 1)
                };
                names.push(name.clone());
                let run = open(name.clone(), engine, preprocess, inputs, messages);
                (name, run)
            })
            .collect();
        Ok(Self { entries })
    }

    /// Prints the error of each run that could not be opened.
    pub fn report_failures(&self, messages: &mut Messages) {
        for (name, run) in &self.entries {
            if let Err(error) = run {
                messages.run_failed(&printable(name), error);
            }
        }
    }

    /// Those that are open, with their places among all.
    pub fn ready(&self) -> impl Iterator<Item = (usize, &Run)> {
        let runs = self.entries.iter().enumerate();
        runs.filter_map(|(index, (_, run))| Some((index, run.as_ref().ok()?)))
    }
}

fn open(
    name: String,
    engine: &EngineOptions,
    preprocess: &PreprocessOverrides,
    inputs: &[Input],
    messages: &Messages,
) -> anyhow::Result<Run> {
    let resolved = resolve::find(&engine.model, preprocess, messages)?;
    let backend = engines::open(engine)?;
    let info = backend.info();
    let fitted = resolve::fit(resolved, &backend, engine.batch, inputs, messages)?;
    for note in &info.notes {
        messages.note(&printable(&format!("{name}: {note}")));
    }
    Ok(Run {
        name,
        model: engine.model.clone(),
        input: resolve::preparation(&fitted, engine.batch),
        values: fitted.values,
        reading: resolve::reading(&fitted),
        classes: fitted.classes,
        labels: fitted.labels.map(|labels| labels.value),
        backend,
    })
}

/// The outputs of all runs for one image.
pub struct Answered {
    pub path: PathBuf,
    /// The image's own error, or what each run that is ready answered, in their order.
    pub result: Result<Outputs, Error>,
}

pub struct Outputs {
    /// SHA-256 of the image's file.
    pub file: Digest,
    /// SHA-256 of the first run's tensor.
    pub tensor: Digest,
    /// SHA-256 of the resized pixels, before values and layout: the same for models that take them in different forms.
    /// `None` unless it is requested.
    pub pixels: Option<Digest>,
    /// The output of each run, in their order.
    pub tensors: Vec<Result<Tensor, Error>>,
}

/// Gives every image to every run and `take`s the answers, in the order of the inputs. Few images are
/// under way at a time, so that memory does not grow with their number.
///
/// # Errors
///
/// Those of `take`, at which it stops; [`Interrupted`](interrupt::Interrupted), since a verdict on a part of the
/// images would be taken for one on all of them.
pub fn answer(
    runs: &[&Run],
    inputs: Vec<Input>,
    jobs: usize,
    with_pixels: bool,
    messages: &mut Messages,
    mut take: impl FnMut(Answered, &mut Messages) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(jobs)
        .build()
        .context("cannot start the decoding threads")?;
    let (mut done, of) = (0, inputs.len());
    messages.start_progress(of);
    let result = runtime.block_on(async {
        let slots = runs.iter().map(|run| run.info().slots).max().unwrap_or(1);
        let mut answers = stream::iter(interrupt::until(inputs.into_iter()))
            .map(|input| answer_one(runs, input, with_pixels))
            .buffered(slots + 2 * jobs);
        while let Some(answered) = answers.next().await {
            take(answered, messages)?;
            messages.advance(|| ());
            done += 1;
        }
        anyhow::Ok(())
    });
    messages.end_progress();
    result?;
    interrupt::check(done, of, "images").map_err(|interrupted| {
        let hint = "a part of the images has no verdict; run it again";
        interrupted.with_hint(hint).into()
    })
}

async fn answer_one(runs: &[&Run], input: Input, with_pixels: bool) -> Answered {
    let Input { path, problem } = input;
    let result = match problem {
        Some(problem) => Err(problem),
        None => outputs(runs, path.clone(), with_pixels).await,
    };
    Answered { path, result }
}

async fn outputs(runs: &[&Run], path: PathBuf, with_pixels: bool) -> Result<Outputs, Error> {
    // One tensor for all runs that take the same.
    let mut kinds: Vec<Preparation> = Vec::new();
    let kind_of: Vec<usize> = runs
        .iter()
        .map(|run| {
            kinds
                .iter()
                .position(|kind| *kind == run.input)
                .unwrap_or_else(|| {
                    kinds.push(run.input);
                    kinds.len() - 1
                })
        })
        .collect();
    let (file, pixels, tensors) = blocking(move || {
        let mut file = ImageFile::read(&path, Buffers::default(), &kinds)?;
        let mut tensors = Vec::new();
        for kind in &kinds {
            let tensor = kind.tensor(file.image(kind)?)?;
            tensors.push((Digest::of(tensor.as_bytes()), Arc::new(tensor)));
        }
        let pixels = if with_pixels {
            let kind = &kinds[0];
            let pixels = kind.pixels(file.image(kind)?)?;
            Some(Digest::of(pixels.as_bytes()))
        } else {
            None
        };
        anyhow::Ok((Digest::of(&file.bytes), pixels, tensors))
    })
    .await?;
    let answers = runs.iter().zip(&kind_of).map(|(run, &kind)| {
        let request = InferRequest::new(0, Arc::clone(&tensors[kind].1));
        infer(&*run.backend, run.input.batch, request)
    });
    let outputs = join_all(answers).await;
    let digest = tensors[0].0;
    // An engine that wrote into its input would have given the next one another image.
    blocking(move || {
        for (before, tensor) in tensors {
            anyhow::ensure!(
                Digest::of(tensor.as_bytes()) == before,
                "the tensor was changed while the engines read it; this is a defect"
            );
        }
        Ok(())
    })
    .await?;
    Ok(Outputs {
        file,
        tensor: digest,
        pixels,
        tensors: outputs,
    })
}

/// The output of one run for a tensor, outside of [`answer`].
pub fn infer_one(run: &Run, tensor: Tensor) -> Result<Tensor, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(infer(
        &*run.backend,
        run.input.batch,
        InferRequest::new(0, tensor),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read() {
        let read = |text: &str| text.parse::<RunSpec>().unwrap();
        let run = read("openvino:HETERO:GPU,CPU@bf16=models/a=b@c.xml");
        assert_eq!(run.backend, Backend::Openvino);
        assert_eq!(run.device.as_deref(), Some("HETERO:GPU,CPU"));
        assert_eq!(run.precision, Some(PrecisionArg::Bf16));
        assert_eq!(run.model, Some(PathBuf::from("models/a=b@c.xml")));
        let run = read("onnx");
        assert_eq!((run.device, run.precision, run.model), (None, None, None));
        assert_eq!(read("onnx=m.onnx").model, Some(PathBuf::from("m.onnx")));
        assert_eq!(read("OpenVINO@F32").precision, Some(PrecisionArg::F32));
    }

    #[test]
    fn what_is_no_run_says_what_is_one() {
        for (text, word) in [
            ("", "openvino, onnx"),
            ("tensorrt", "openvino, onnx"),
            ("photos/cat.jpg", "openvino, onnx"),
            ("onnx@f64", "auto, f32, bf16, f16"),
            ("onnx:", "missing"),
            ("onnx=", "missing"),
        ] {
            let error = text.parse::<RunSpec>().unwrap_err();
            assert!(
                error.contains(word) && error.contains("BACKEND[:DEVICE]"),
                "{error}"
            );
        }
    }
}
