//! `classify evaluate`: the same images through one or more runs, against ground truth.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use backend_api::Tensor;
use image_classification::{Digests, Interpretation, Scoring, read_file};

use crate::args::EvaluateArgs;
use crate::facts::{Machine, RunFacts};
use crate::inputs::Input;
use crate::messages::{self, Hinted, Messages, printable};
use crate::options::RunsOptions;
use crate::reports;
use crate::reports::compare::Failure;
use crate::reports::evaluate::{Evaluated, Evaluation, Found, Limits, Wrong};
use crate::session::{self, Answered, OpenRun, Session};
use evaluation::Duplicates;
use evaluation::accuracy::{Accuracy, ClassLookup, GroundTruth, Judged, LabelDifference, quoted};
use evaluation::agreement::Verdict;

/// The least score of the classes that a multi-label model gives, unless `--threshold` says otherwise.
const THRESHOLD: f64 = 0.5;

/// Evaluates, prints the text report and writes the others.
pub fn run(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let EvaluateArgs {
        runs,
        truth,
        truth_folders: _,
        label_offset,
        mut top,
        threshold,
        min_top1,
        max_drop,
        min_truth,
    } = args;
    top.sort_unstable();
    top.dedup();
    let limits = Limits {
        min_top1,
        max_drop,
        min_truth,
    };
    let options = RunsOptions::try_from(runs)?;
    if limits.max_drop.is_some() && options.runs.len() < 2 {
        return Err(Hinted::new(
            "--max-drop compares with the reference run, but there is one run",
            "name the reference first, such as `classify evaluate onnx openvino@bf16`",
        )
        .into());
    }
    let (reports, _) = options.open_outputs(None, &[("the ground truth", truth.as_deref())])?;
    options.say_what_is_not_said(messages);
    let mut truth = match &truth {
        Some(path) => read_truth(path)?,
        None => GroundTruth::folders(),
    };
    check_names(&truth, &options.inputs.list)?;
    let machine = Machine::this();
    let mut opened = Session::open(&options, messages)?;
    let mut inputs = options.inputs.list;
    for (_, run) in &mut opened.entries {
        if let Ok(open) = run
            && let Err(error) = check_run(open, &truth, label_offset, &inputs)
        {
            *run = Err(error);
        }
    }
    opened.report_failures(messages);
    let reference = reference(&opened, options.reference.as_deref())?;
    let ready: Vec<(usize, &OpenRun)> = opened.ready().collect();
    let live: Vec<&OpenRun> = ready.iter().map(|(_, run)| *run).collect();
    let is_multi_label = |run: &&OpenRun| run.reading.interpretation.scoring.is_multi_label();
    if threshold.is_some() && !live.is_empty() && !live.iter().any(is_multi_label) {
        messages.note("--threshold has no effect: in every run one class is right at a time");
    }
    let threshold = threshold.unwrap_or(THRESHOLD);

    let mut fold = Fold {
        judges: ready
            .iter()
            .map(|(place, run)| Judge::new(*place, run, label_offset, threshold))
            .collect(),
        reference: ready.iter().position(|(index, _)| *index == reference),
        images: Vec::new(),
        counted: 0,
        missing: Vec::new(),
        duplicates: Duplicates::default(),
        failures: Vec::new(),
        most: top.last().copied().unwrap_or(1),
    };
    // Whoever reads the reports learns that nothing was evaluated, and why.
    if live.is_empty() {
        inputs.clear();
    }
    let digests = Digests {
        file: true,
        ..Digests::default()
    };
    session::answer(
        &live,
        inputs,
        options.jobs,
        digests,
        messages,
        |answered, messages| {
            fold.take(&mut truth, answered, messages);
            Ok(())
        },
    )?;
    if !fold.missing.is_empty() {
        messages.warning(&format!(
            "the ground truth does not mention {} of {} images, the first is {}; they do not count",
            fold.missing.len(),
            fold.images.len(),
            printable(&fold.images[fold.missing[0]].to_string_lossy())
        ));
    }
    let surplus: Vec<PathBuf> = match &*live {
        [] => Vec::new(),
        _ => truth.surplus().into_iter().map(Path::to_owned).collect(),
    };
    if let Some(first) = surplus.first() {
        messages.warning(&format!(
            "{} entries of the ground truth have no image, the first is {}",
            surplus.len(),
            printable(&first.to_string_lossy())
        ));
    }

    let differences = label_differences(&opened, reference, messages);
    let mut judges = fold.judges.into_iter();
    let runs = opened
        .entries
        .iter()
        .zip(differences)
        .map(|((name, run), label_difference)| {
            let found = match run {
                Ok(run) => {
                    let judge = judges.next().expect("one for each run");
                    Ok(Found {
                        facts: RunFacts::of(run, &machine)?,
                        accuracy: judge.accuracy,
                        only: judge.only,
                        wrong: judge.wrong,
                        labels: run.labels.clone(),
                        label_difference,
                    })
                }
                Err(error) => Err(messages::chain(error)),
            };
            anyhow::Ok(Evaluated {
                name: name.clone(),
                found,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let evaluation = Evaluation {
        runs,
        reference,
        images: fold.images,
        counted: fold.counted,
        missing: fold.missing,
        surplus,
        duplicates: fold.duplicates,
        failures: fold.failures,
        top,
        limits,
        machine,
    };
    reports::write(reports, &evaluation, &evaluation.text())?;
    if live.is_empty() {
        return Err(Hinted::new("no run is left to evaluate", "fix the errors above").into());
    }
    Ok(evaluation.verdict())
}

/// Reads a file of ground truth.
fn read_truth(path: &Path) -> anyhow::Result<GroundTruth> {
    let read = || {
        let bytes = read_file(path, GroundTruth::MOST_BYTES)?;
        Ok(GroundTruth::read(&*bytes)?)
    };
    read().map_err(|error: anyhow::Error| {
        error.context(format!("cannot use the ground truth {}", path.display()))
    })
}

/// Checks that the ground truth mentions an image.
fn check_names(truth: &GroundTruth, inputs: &[Input]) -> anyhow::Result<()> {
    let is_mentioned = |input: &Input| truth.written(&input.path).is_some();
    if inputs.iter().any(is_mentioned) {
        return Ok(());
    }
    Err(Hinted::new(
        format!(
            "the ground truth mentions none of the images ({})",
            inputs.len()
        ),
        "use image file names or path suffixes as names",
    )
    .into())
}

/// Checks that the ground truth can be used for a run.
fn check_run(
    run: &OpenRun,
    truth: &GroundTruth,
    offset: i64,
    inputs: &[Input],
) -> anyhow::Result<()> {
    let scoring = run.reading.interpretation.scoring;
    if run.classes == Some(1) {
        check_ranks(scoring, 1)?;
    }
    let lookup = ClassLookup::new(run.labels.as_ref(), offset);
    let unlabelled = inputs.iter().filter(|_| run.labels.is_none());
    for input in unlabelled {
        let written = truth.written(&input.path).unwrap_or_default();
        if let Some(name) = lookup.needs_labels(&written) {
            return Err(Hinted::new(
                format!(
                    "the ground truth names classes, such as `{}`, but this model has no labels",
                    printable(name)
                ),
                "write the classes as ids, the places in the model's output; or pass --labels FILE, or put \
                 MODEL.labels beside the model",
            )
            .into());
        }
    }
    if !scoring.is_multi_label() {
        truth.check_single(&lookup)?;
    }
    let classes = match scoring {
        Scoring::ClassIds => run.labels.as_ref().map(image_classification::Labels::len),
        _ => run.classes,
    };
    check_classes(&lookup, classes, truth, inputs)
}

/// Checks that the model has the classes of one image at least: a wrong directory is one error, not one for each image.
fn check_classes(
    lookup: &ClassLookup,
    classes: Option<usize>,
    truth: &GroundTruth,
    inputs: &[Input],
) -> anyhow::Result<()> {
    let mut first = None;
    let mut count = 0;
    for input in inputs {
        let Some(written) = truth.written(&input.path) else {
            continue;
        };
        match lookup.classes(&written, classes) {
            Ok(_) => return Ok(()),
            Err(error) => first = first.or(Some(error)),
        }
        count += 1;
    }
    match first {
        Some(error) if count > 1 => Err(anyhow::Error::new(error).context(format!(
            "the model has none of the classes that the ground truth gives {count} images"
        ))),
        // The error of a single image names the image.
        _ => Ok(()),
    }
}

/// A single value that is no probability and no logit ranks nothing.
fn check_ranks(scoring: Scoring, classes: usize) -> anyhow::Result<()> {
    if scoring != Scoring::Raw || classes != 1 {
        return Ok(());
    }
    Err(Hinted::new(
        "the model gives a single raw value, which ranks no classes",
        "pass `--scores sigmoid` if it is the logit of class 1, or `--scores probability` if it is its probability",
    )
    .into())
}

/// The place of the reference: the run that was asked for, or the first that is open.
fn reference(opened: &Session, asked: Option<&str>) -> anyhow::Result<usize> {
    let Some(asked) = asked else {
        return Ok(opened.ready().next().map_or(0, |(index, _)| index));
    };
    let place = opened.entries.iter().position(|(name, _)| name == asked);
    place.ok_or_else(|| {
        Hinted::new(
            format!("the reference `{asked}` is none of the runs"),
            "write it as the run is written",
        )
        .into()
    })
}

/// Compares the labels of every run with those of the reference, or of the first run that is open. Warns of
/// differences.
fn label_differences(
    opened: &Session,
    reference: usize,
    messages: &Messages,
) -> Vec<Option<LabelDifference>> {
    let find = |(index, _): &(usize, &OpenRun)| *index == reference;
    let found = opened.ready().find(find).or_else(|| opened.ready().next());
    let of = |run: &OpenRun| (run.labels.clone(), run.classes);
    let (first, of_first) =
        found.map_or((reference, (None, None)), |(index, run)| (index, of(run)));
    let name = printable(&opened.entries[first].0);
    let difference = |(run_name, run): &(String, Result<OpenRun, anyhow::Error>)| {
        let (labels, classes) = run.as_ref().ok().map(of)?;
        let difference = LabelDifference::between(
            (of_first.0.as_ref(), of_first.1),
            (labels.as_ref(), classes),
        )?;
        messages.warning(&format!(
            "{}: {}; each run is judged by its own classes",
            printable(run_name),
            difference.text(&name)
        ));
        Some(difference)
    };
    opened.entries.iter().map(difference).collect()
}

/// Judges the answers of one run by its own labels.
struct Judge {
    /// The run as it is written.
    name: String,
    /// The place of the run among all.
    place: usize,
    interpretation: Interpretation,
    lookup: ClassLookup,
    /// The number of labels, which bounds class ids.
    labels: Option<usize>,
    accuracy: Accuracy,
    /// The number of images on which the reference alone was right, and this run alone.
    only: [usize; 2],
    wrong: Vec<Wrong>,
}

impl Judge {
    fn new(place: usize, run: &OpenRun, offset: i64, threshold: f64) -> Self {
        let interpretation = run.reading.interpretation;
        Self {
            name: printable(&run.name),
            place,
            interpretation,
            lookup: ClassLookup::new(run.labels.as_ref(), offset),
            labels: run.labels.as_ref().map(image_classification::Labels::len),
            accuracy: Accuracy::new(interpretation.scoring, threshold),
            only: [0; 2],
            wrong: Vec::new(),
        }
    }

    /// Returns whether the best class is right.
    fn judge(
        &mut self,
        image: usize,
        written: &[impl AsRef<str>],
        output: &Tensor,
        most: usize,
    ) -> anyhow::Result<bool> {
        let scores = self.interpretation.scores(output)?;
        let scoring = scores.scoring();
        check_ranks(scoring, scores.values().len())?;
        let classes = match scoring {
            Scoring::ClassIds => self.labels,
            _ => Some(scores.values().len()),
        };
        let truth = self.lookup.classes(written, classes)?;
        if truth.len() != 1 && !scoring.is_multi_label() {
            return Err(Hinted::new(
                format!(
                    "the ground truth says {}, but one class of this model is right at a time",
                    quoted(written)
                ),
                "write one class for this image, or leave it out",
            )
            .into());
        }
        let Judged { rank, wrong } = self.accuracy.add(&truth, &scores, most);
        if let Some(answer) = wrong {
            self.wrong.push(Wrong {
                image,
                truth,
                answer,
            });
        }
        Ok(rank == Some(1))
    }
}

/// The state of an evaluation.
struct Fold {
    /// One for each run that is open.
    judges: Vec<Judge>,
    /// The place of the reference among those that are open.
    reference: Option<usize>,
    images: Vec<PathBuf>,
    /// The number of images that all judges counted.
    counted: usize,
    missing: Vec<usize>,
    duplicates: Duplicates,
    failures: Vec<Failure>,
    most: usize,
}

impl Fold {
    fn take(&mut self, truth: &mut GroundTruth, answered: Answered, messages: &mut Messages) {
        let Answered { path, result } = answered;
        let image = self.images.len();
        self.images.push(path.clone());
        let named = printable(&path.to_string_lossy());
        // An image that fails has its entry, too.
        let written = truth.take(&path).map(owned);
        if matches!(written, Ok(None)) {
            self.missing.push(image);
        }
        let taken = result.and_then(|outputs| {
            let file = outputs.digests.file.expect("evaluate asks for it");
            let first = self.duplicates.add(image, file);
            let written = written?;
            self.check_duplicate(truth, written.as_deref(), first)?;
            Ok((outputs.tensors, written))
        });
        let (outputs, written) = match taken {
            Ok((_, None)) => return,
            Ok((outputs, Some(written))) => (outputs, written),
            Err(error) => {
                messages.input_failed(&named, &error);
                self.failures.push(Failure::image(image, &error));
                return;
            }
        };
        let several = self.judges.len() > 1;
        let mut right = Vec::new();
        for (judge, output) in self.judges.iter_mut().zip(outputs) {
            let judged = output.and_then(|output| judge.judge(image, &written, &output, self.most));
            match judged {
                Ok(is_right) => right.push(Some(is_right)),
                Err(error) => {
                    right.push(None);
                    let named = if several {
                        format!("{named}: {}", judge.name)
                    } else {
                        named.clone()
                    };
                    messages.input_failed(&named, &error);
                    self.failures.push(Failure::run(image, judge.place, &error));
                }
            }
        }
        self.counted += usize::from(right.iter().all(Option::is_some));
        let Some(Some(reference)) = self.reference.map(|reference| right[reference]) else {
            return;
        };
        for (judge, right) in self.judges.iter_mut().zip(right) {
            match (reference, right) {
                (true, Some(false)) => judge.only[0] += 1,
                (false, Some(true)) => judge.only[1] += 1,
                _ => {}
            }
        }
    }

    /// Checks the classes of an image, as they are written, against those of the first image with its content.
    fn check_duplicate(
        &self,
        truth: &GroundTruth,
        written: Option<&[String]>,
        first: Option<usize>,
    ) -> anyhow::Result<()> {
        let first = first.map(|first| &self.images[first]);
        let earlier = owned(first.and_then(|first| truth.written(first)));
        let (Some(written), Some(first), Some(earlier)) = (written, first, earlier) else {
            return Ok(());
        };
        let differs = |judge: &Judge| {
            let [one, other] =
                [written, &*earlier].map(|written| judge.lookup.classes(written, None));
            matches!((one, other), (Ok(one), Ok(other)) if one != other)
        };
        if !self.judges.iter().any(differs) {
            return Ok(());
        }
        Err(Hinted::new(
            format!(
                "the image has the content of {}, but the ground truth says {} here and {} there",
                printable(&first.to_string_lossy()),
                quoted(written),
                quoted(&earlier)
            ),
            "correct the ground truth, or leave one of the two images out",
        )
        .into())
    }
}

fn owned(written: Option<Vec<Cow<'_, str>>>) -> Option<Vec<String>> {
    Some(written?.into_iter().map(Cow::into_owned).collect())
}
