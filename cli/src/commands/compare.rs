//! `classify compare`: the same images through several runs, and whether they agree.

use std::path::{Path, PathBuf};

use anyhow::Error;
use backend_api::Tensor;
use image_classification::{Digests, Image};

use crate::args::CompareArgs;
use crate::bisect;
use crate::facts::Machine;
use crate::lanes::{Lanes, Limits, Source};
use crate::messages::{self, Hinted, Messages, counted, printable};
use crate::options::RunsOptions;
use crate::recording::{Recorder, Recording};
use crate::reports;
use crate::reports::compare::{Compared, Comparison, Failure};
use crate::session::{self, Answered, OpenRun, Outputs, Session};
use evaluation::Chain;
use evaluation::agreement::{Answer, Basis, Difference, Pair, Variation, Verdict};
use evaluation::{Duplicates, ImageDigests};

/// Compares, prints the text report and writes the others.
pub fn run(args: CompareArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let limits = Limits::new(&args);
    let CompareArgs {
        runs,
        top,
        record,
        against,
        bisect,
        bisect_image,
        bisect_looks,
        ..
    } = args;
    let options = RunsOptions::try_from(runs)?;
    if bisect {
        can_bisect(&options, against.as_deref(), bisect_image.as_deref())?;
    }
    let lanes_asked = options.runs.len();
    if lanes_asked < 2 && record.is_none() && against.is_none() {
        return Err(Hinted::new(
            "there is one run, but a comparison needs two",
            "name another run, such as `classify compare openvino onnx`, or --against a recording",
        )
        .into());
    }
    // Before the work: where reports cannot go, nothing need be computed.
    let (reports, record) = options.open_outputs(
        record.as_deref(),
        &[
            ("a recording", against.as_deref()),
            ("the image to bisect on", bisect_image.as_deref()),
        ],
    )?;
    let mut recording = against.as_deref().map(Recording::open).transpose()?;
    options.say_what_is_not_said(messages);

    let machine = Machine::this();
    let opened = Session::open(&options, messages)?;
    let lanes = Lanes::new(
        recording.as_ref(),
        &opened,
        &machine,
        options.reference.as_deref(),
        options.scores,
        &limits,
    )?;
    opened.report_failures(messages);
    for (name, error) in lanes.failures() {
        messages.run_failed(&printable(name), error);
    }
    let live: Vec<&OpenRun> = lanes.live(&opened);
    let recorder = record
        .filter(|_| !live.is_empty())
        .map(|out| Recorder::start(out, lanes.live_facts()))
        .transpose()?;
    // Whoever reads the reports learns why.
    let nothing = if live.is_empty() {
        Some("no run is left to compare")
    } else if lanes.ready().count() < 2 && recorder.is_none() {
        Some("fewer than two runs are left to compare")
    } else {
        None
    };
    let mut inputs = options.inputs.list;
    if nothing.is_some() {
        inputs.clear();
    }

    let mut fold = Fold {
        pairs: lanes.pairs(),
        variations: lanes.all.iter().map(|_| Variation::default()).collect(),
        duplicates: Duplicates::default(),
        failures: Vec::new(),
        images: Vec::new(),
        tensors: Chain::default(),
        compared: 0,
        top,
        recorder,
        record_error: None,
    };
    let digests = Digests {
        file: true,
        tensor: true,
        pixels: fold.recorder.is_some() || recording.is_some(),
    };
    session::answer(
        &live,
        inputs,
        options.jobs,
        digests,
        messages,
        |answered, messages| fold.take(&lanes, recording.as_mut(), answered, messages),
    )?;
    // What goes wrong with it keeps no report from being written.
    let recorded = match fold.record_error.take() {
        Some(error) => Err(error),
        None => fold.recorder.take().map_or(Ok(()), Recorder::finish),
    };
    if fold.duplicates.contents() == 1 {
        fold.vary(&lanes, &opened);
    }
    let mut failures = fold.failures;
    if let Some(unused) = recording
        .as_ref()
        .map(Recording::unused)
        .filter(|unused| *unused > 0 && nothing.is_none())
    {
        let error = Hinted::new(
            format!("{} of the recording not given", counted(unused, "image")),
            "give all images that were recorded, or record again",
        );
        let error = error.into();
        messages.run_failed("recording", &error);
        failures.push(Failure::whole("recording", messages::chain(&error)));
    }

    let mut comparison = Comparison {
        labels: lanes.labels(&opened, messages),
        majority: lanes.majority(&fold.pairs, &fold.variations),
        tolerance: lanes.tolerance,
        tolerance_by: lanes.tolerance_by,
        duplicates: fold.duplicates,
        reference: lanes.reference,
        pairs: fold
            .pairs
            .into_iter()
            .map(|(reference, run, pair)| {
                Compared::new(
                    reference,
                    run,
                    pair,
                    Variation::of_pair(&fold.variations, reference, run),
                )
            })
            .collect::<Result<_, _>>()?,
        lanes: lanes.all,
        images: fold.images,
        compared: fold.compared,
        failures,
        tensors: fold.tensors.finish(),
        top,
        machine,
        bisect: None,
    };
    if bisect && nothing.is_none() {
        let asked = bisect::Options {
            image: bisect_image.as_deref(),
            tolerance: limits.node,
            looks: bisect_looks,
        };
        match bisect::run(&comparison, &opened, &options.runs, &asked, messages) {
            Ok(found) => comparison.bisect = Some(found),
            Err(error) => {
                // What is known is known without it.
                messages.run_failed("bisect", &error);
            }
        }
    }
    reports::write(reports, &comparison, &comparison.text())?;
    recorded?;
    if let Some(nothing) = nothing {
        return Err(Hinted::new(nothing, "fix the errors above").into());
    }
    Ok(comparison.verdict())
}

/// What a bisection needs is known before the work.
fn can_bisect(
    options: &RunsOptions,
    against: Option<&Path>,
    image: Option<&Path>,
) -> anyhow::Result<()> {
    // Opening the model says why it cannot be read.
    let is_onnx = |model: &Path| {
        model_file::format(model).map_or(true, |format| format == model_file::Format::Onnx)
    };
    if let Some((name, engine)) = options
        .runs
        .iter()
        .find(|(_, engine)| !is_onnx(&engine.model))
    {
        return Err(Hinted::new(
            format!(
                "--bisect looks into ONNX models, but that of {name} is {}",
                engine.model.display()
            ),
            "give all runs the ONNX model; OpenVINO reads it too",
        )
        .into());
    }
    if against.is_some() {
        return Err(Hinted::new(
            "--bisect needs both runs, but a recording has no values between nodes",
            "name both runs instead of --against",
        )
        .into());
    }
    match image {
        Some(image) if !image.is_file() => {
            let error = format!("there is no image {}", image.display());
            Err(Hinted::new(error, "name an image for --bisect-image").into())
        }
        _ => Ok(()),
    }
}

/// What is known so far.
struct Fold {
    pairs: Vec<(usize, usize, Pair)>,
    failures: Vec<Failure>,
    images: Vec<PathBuf>,
    /// Of the digests of all tensors.
    tensors: Chain,
    compared: usize,
    top: usize,
    /// The variation of each lane's answers over the images.
    variations: Vec<Variation>,
    duplicates: Duplicates,
    recorder: Option<Recorder>,
    /// The error that ended the recording.
    record_error: Option<Error>,
}

impl Fold {
    /// A run has no answer for an image that can be compared.
    fn run_failed(&mut self, lanes: &Lanes, run: usize, error: &Error, messages: &mut Messages) {
        let image = self.images.len() - 1;
        let path = self.images[image].to_string_lossy();
        let named = format!("{}: {}", printable(&path), printable(&lanes.all[run].name));
        messages.input_failed(&named, error);
        self.failures.push(Failure::run(image, run, error));
    }

    fn take(
        &mut self,
        lanes: &Lanes,
        recording: Option<&mut Recording>,
        answered: Answered,
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let Answered { path, result } = answered;
        let image = self.images.len();
        self.images.push(path.clone());
        let named = printable(&path.to_string_lossy());
        let (digests, outputs, recorded) = match result.and_then(|outputs| {
            let digests = digests(&outputs);
            let recorded = recording
                .map(|recorded_runs| recorded(recorded_runs, lanes.same_settings(), &digests))
                .transpose()?;
            Ok((digests, outputs, recorded))
        }) {
            Ok(all) => all,
            Err(error) => {
                messages.input_failed(&named, &error);
                self.failures.push(Failure::image(image, &error));
                return Ok(());
            }
        };
        if let Some(recorder) = &mut self.recorder {
            let live: Vec<Option<&Tensor>> = outputs
                .tensors
                .iter()
                .map(|output| output.as_ref().ok())
                .collect();
            // A disk that is full loses the recording, and nothing else.
            if let Err(error) = recorder.add(&path, &digests, &live) {
                self.record_error = Some(error);
                self.recorder = None;
            }
        }
        self.tensors.add(digests.tensor);
        self.duplicates.add(image, digests.file);
        let mut tensors: Vec<Option<Tensor>> = Vec::new();
        let mut live = outputs.tensors.into_iter();
        let mut recorded = recorded.unwrap_or_default();
        for (index, source) in lanes.sources.iter().enumerate() {
            let tensor = match source {
                Source::Failed => None,
                Source::Recorded(run) => {
                    let tensor = recorded.get_mut(*run).and_then(Option::take);
                    if tensor.is_none() {
                        let error = Hinted::new(
                            "this run had failed when it was recorded",
                            "record again without failures",
                        )
                        .into();
                        self.run_failed(lanes, index, &error, messages);
                    }
                    tensor
                }
                Source::Live(_) => match live.next() {
                    Some(Ok(tensor)) => Some(tensor),
                    Some(Err(error)) => {
                        self.run_failed(lanes, index, &error, messages);
                        None
                    }
                    None => None,
                },
            };
            tensors.push(tensor);
        }
        self.compare(lanes, &tensors, messages)
    }

    /// Adds each engine's answer for a made-up image to what is known of how answers vary: those for one image alone
    /// cannot show whether they depend on it.
    fn vary(&mut self, lanes: &Lanes, opened: &Session) {
        let image = made_up_image();
        for (index, source) in lanes.sources.iter().enumerate() {
            let Source::Live(entry) = source else {
                continue;
            };
            let Ok(run) = &opened.entries[*entry].1 else {
                continue;
            };
            // A model that fails on noise is judged by the images that there are.
            if let Ok(output) = session::infer_image(run, image.clone())
                && let Ok(answer) = Answer::new(&output, &lanes.interpretations[index], self.top)
            {
                self.variations[index].add(&answer);
            }
        }
    }

    /// Every pair of answers that there is.
    fn compare(
        &mut self,
        lanes: &Lanes,
        tensors: &[Option<Tensor>],
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let mut answers: Vec<Option<Answer>> = tensors.iter().map(|_| None).collect();
        for (index, tensor) in tensors.iter().enumerate() {
            let Some(tensor) = tensor else {
                continue;
            };
            match Answer::new(tensor, &lanes.interpretations[index], self.top) {
                Ok(answer) => {
                    self.variations[index].add(&answer);
                    answers[index] = Some(answer);
                }
                Err(error) => self.run_failed(lanes, index, &error.into(), messages),
            }
        }
        let image = self.images.len() - 1;
        let mut compared = false;
        for place in 0..self.pairs.len() {
            let (reference, run, pair) = &mut self.pairs[place];
            let (Some(one), Some(other)) = (&answers[*reference], &answers[*run]) else {
                continue;
            };
            if pair.basis != Basis::ClassIds && one.classes != other.classes {
                let run = *run;
                let error = Hinted::new(
                    format!(
                        "it gives {} classes, but {} gives {}",
                        other.classes,
                        printable(&lanes.all[*reference].name),
                        one.classes
                    ),
                    "compare models with the same classes",
                );
                self.run_failed(lanes, run, &error.into(), messages);
                continue;
            }
            let difference = Difference::new(one, other, pair.tolerance.ties());
            pair.add(image, [one, other], difference)?;
            compared = true;
        }
        self.compared += usize::from(compared);
        Ok(())
    }
}

/// The side of the made-up image.
const MADE_UP: u32 = 96;

/// An image that is no other: coloured noise, always the same.
fn made_up_image() -> Image {
    let mut random = fastrand::Rng::with_seed(1927);
    let pixels = (0..MADE_UP * MADE_UP * 3).map(|_| random.u8(..)).collect();
    Image::from_rgb(MADE_UP, MADE_UP, pixels).expect("three bytes for each pixel")
}

/// The digests of an image, all of which compare asks for.
fn digests(outputs: &Outputs) -> ImageDigests {
    let wanted = "compare asks for it";
    ImageDigests {
        file: outputs.digests.file.expect(wanted),
        tensor: outputs.digests.tensor.expect(wanted),
        pixels: outputs.digests.pixels,
    }
}

/// What the recording has for an image, refused where the tensor is another one.
fn recorded(
    recording: &mut Recording,
    same_settings: bool,
    digests: &ImageDigests,
) -> anyhow::Result<Vec<Option<Tensor>>> {
    let recorded = recording.get(digests.file)?;
    // The pixels are the same for models that take them in different forms; old recordings have the tensor's hash alone.
    let (what, found, before) = match (digests.pixels, recorded.pixels) {
        (Some(found), Some(before)) if !same_settings => ("pixels", found, before),
        _ => ("tensor", digests.tensor, recorded.tensor),
    };
    if found != before {
        return Err(Hinted::new(
            format!(
                "the image's {what} differs from the recording: SHA-256 {found}, recorded {before}"
            ),
            "record again with this version of classify",
        )
        .into());
    }
    Ok(recorded.outputs)
}
