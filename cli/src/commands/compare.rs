//! `classify compare`: the same pictures through several runs, and whether they agree.

use std::path::{Path, PathBuf};

use anyhow::Error;
use backend_api::{Tensor, model_file};
use image_classification::ScoreKind;

use crate::agreement::{Answer, Difference, Majority, Pair, Tolerance, ToleranceName, Verdict};
use crate::args::CompareArgs;
use crate::bisect;
use crate::digest::Chain;
use crate::facts::{Machine, RunFacts};
use crate::messages::{self, Hinted, Messages, counted, printable};
use crate::options::RunsOptions;
use crate::recording::{Recorder, Recording};
use crate::reports;
use crate::reports::compare::{Compared, Comparison, Failure, Lane};
use crate::runs::{self, Answered, Outputs, Run, Runs};

/// Compares, prints the text report and writes the others.
pub fn run(args: CompareArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let limits = Limits::new(&args);
    let CompareArgs {
        runs,
        top,
        record,
        against,
        bisect,
        bisect_picture,
        ..
    } = args;
    let options = RunsOptions::try_from(runs)?;
    if bisect {
        can_bisect(&options, against.as_deref(), bisect_picture.as_deref())?;
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
            ("the picture to bisect on", bisect_picture.as_deref()),
        ],
    )?;
    let mut recording = against.as_deref().map(Recording::open).transpose()?;
    options.say_what_is_not_said(messages);

    let machine = Machine::this();
    let opened = Runs::open(&options.runs, &options.recipe, options.scores, messages)?;
    let recorded = recording
        .as_ref()
        .map_or(&[][..], |recording| &recording.runs);
    let lanes = Lanes::new(recorded, &opened, &machine, options.reference.as_deref())?;
    for (name, run) in &opened.entries {
        if let Err(error) = run {
            messages.run_failed(&printable(name), error);
        }
    }
    for (name, error) in lanes.failures() {
        messages.run_failed(&printable(name), error);
    }
    let live: Vec<&Run> = lanes.live(&opened);
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
        pairs: lanes.pairs(&limits),
        failures: Vec::new(),
        pictures: Vec::new(),
        tensors: Chain::default(),
        compared: 0,
        top,
        scores: options.scores,
        recorder,
    };
    runs::answer(
        &live,
        inputs,
        options.jobs,
        messages,
        |answered, messages| fold.take(&lanes, recording.as_mut(), answered, messages),
    )?;
    // What goes wrong with it keeps no report from being written.
    let recorded = fold.recorder.take().map_or(Ok(()), Recorder::finish);
    let mut failures = fold.failures;
    if let Some(unused) = recording
        .as_ref()
        .map(Recording::unused)
        .filter(|unused| *unused > 0 && nothing.is_none())
    {
        let error = Hinted::new(
            format!("{} of the recording not given", counted(unused, "picture")),
            "give all pictures that were recorded, or record again",
        );
        let error = error.into();
        messages.run_failed("recording", &error);
        failures.push(Failure::whole("recording", messages::chain(&error)));
    }

    let mut comparison = Comparison {
        labels: lanes.labels(&opened),
        majority: lanes.majority(&fold.pairs),
        reference: lanes.reference,
        pairs: fold
            .pairs
            .into_iter()
            .map(|(reference, run, pair)| Compared::new(reference, run, pair))
            .collect::<Result<_, _>>()?,
        lanes: lanes.all,
        pictures: fold.pictures,
        compared: fold.compared,
        failures,
        tensors: fold.tensors.finish(),
        top,
        machine,
        bisect: None,
    };
    if bisect && nothing.is_none() {
        let share = limits.node_share(&comparison);
        let picture = bisect_picture.as_deref();
        match bisect::run(
            &comparison,
            &opened,
            &options.runs,
            picture,
            share,
            messages,
        ) {
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
        return Err(Hinted::new(nothing, "mend what is said above about the others").into());
    }
    Ok(comparison.verdict())
}

/// What a bisection needs is known before the work.
fn can_bisect(
    options: &RunsOptions,
    against: Option<&Path>,
    picture: Option<&Path>,
) -> anyhow::Result<()> {
    let is_onnx = |model: &Path| model_file::has_ending(model, "onnx");
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
    match picture {
        Some(picture) if !picture.is_file() => {
            let error = format!("there is no picture {}", picture.display());
            Err(Hinted::new(error, "name a picture for --bisect-picture").into())
        }
        _ => Ok(()),
    }
}

/// What may differ, as far as the user says it.
struct Limits {
    name: Option<ToleranceName>,
    max_delta: Option<f64>,
    min_top1: Option<f64>,
    min_overlap: Option<f64>,
    node: Option<f64>,
}

impl Limits {
    fn new(args: &CompareArgs) -> Self {
        let share = |share: Option<crate::args::Share>| share.map(|share| share.0);
        Self {
            name: args.tolerance,
            max_delta: share(args.max_delta),
            min_top1: share(args.min_top1),
            min_overlap: share(args.min_overlap),
            node: share(args.bisect_tolerance),
        }
    }

    fn name(&self, one: &Lane, other: &Lane) -> ToleranceName {
        let of = |lane: &Lane| {
            let facts = lane.facts.as_ref();
            facts.map_or(ToleranceName::F32, |facts| {
                ToleranceName::of_precision(&facts.precision)
            })
        };
        self.name.unwrap_or_else(|| of(one).max(of(other)))
    }

    /// The tolerance for two runs: that of the coarser precision, unless one is named.
    fn tolerance(&self, one: &Lane, other: &Lane) -> Tolerance {
        let mut tolerance = Tolerance::named(self.name(one, other));
        if let Some(max_delta) = self.max_delta {
            tolerance.max_delta = max_delta;
        }
        if let Some(min_top1) = self.min_top1 {
            tolerance.min_top1 = Some(min_top1);
            tolerance.strict_top1 = true;
        }
        tolerance.min_overlap = self.min_overlap.or(tolerance.min_overlap);
        tolerance
    }

    /// The share for nodes: that of the worst pair.
    fn node_share(&self, comparison: &Comparison) -> f64 {
        let name = comparison
            .worst_pair()
            .map_or(ToleranceName::F32, |pair| pair.pair.tolerance.name);
        self.node.unwrap_or(Tolerance::of_node(name))
    }
}

/// The runs in the order of the report: those of the recording, then those that were asked for.
struct Lanes {
    all: Vec<Lane>,
    /// Where the answers of a lane come from.
    sources: Vec<Source>,
    reference: usize,
    errors: Vec<(usize, Error)>,
}

#[derive(Clone, Copy)]
enum Source {
    /// The run of the recording.
    Recorded(usize),
    /// The entry of [`Runs`].
    Live(usize),
    Failed,
}

impl Lanes {
    fn new(
        recorded: &[RunFacts],
        opened: &Runs,
        machine: &Machine,
        reference: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut lanes = Vec::new();
        let mut sources = Vec::new();
        let mut errors = Vec::new();
        for (index, facts) in recorded.iter().enumerate() {
            let name = format!("{} (recorded)", facts.name);
            lanes.push(Lane {
                name,
                facts: Some(facts.clone()),
                error: None,
            });
            sources.push(Source::Recorded(index));
        }
        for (entry, (name, run)) in opened.entries.iter().enumerate() {
            let (facts, error, source) = match run {
                Ok(run) => (Some(RunFacts::of(run, machine)?), None, Source::Live(entry)),
                Err(error) => (None, Some(messages::chain(error)), Source::Failed),
            };
            lanes.push(Lane {
                name: name.clone(),
                facts,
                error,
            });
            sources.push(source);
        }
        let wanted = match reference {
            None => 0,
            Some(wanted) => lanes
                .iter()
                .position(|lane| lane.name == wanted)
                .ok_or_else(|| {
                    let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
                    Hinted::new(
                        format!(
                            "the reference `{wanted}` is none of the runs: {}",
                            names.join(", ")
                        ),
                        "write it as the run is written",
                    )
                })?,
        };
        // Where the reference cannot run, the others are still compared; the verdict says so.
        let ready = |index: &usize| lanes[*index].facts.is_some();
        let reference = Some(wanted)
            .filter(ready)
            .or_else(|| (0..lanes.len()).find(ready))
            .unwrap_or(wanted);
        if let Some(facts) = lanes[reference].facts.clone() {
            for (index, lane) in lanes.iter_mut().enumerate() {
                let Some(problem) = lane.facts.as_ref().and_then(|own| {
                    incomparable(&facts, own).or_else(|| not_recorded(recorded, own))
                }) else {
                    continue;
                };
                let error = Error::from(problem);
                lane.error = Some(messages::chain(&error));
                lane.facts = None;
                sources[index] = Source::Failed;
                errors.push((index, error));
            }
        }
        Ok(Self {
            all: lanes,
            sources,
            reference,
            errors,
        })
    }

    fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.errors
            .iter()
            .map(|(index, error)| (self.all[*index].name.as_str(), error))
    }

    /// The places of the lanes that answer.
    fn ready(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.all.len()).filter(|index| !matches!(self.sources[*index], Source::Failed))
    }

    fn live<'a>(&self, opened: &'a Runs) -> Vec<&'a Run> {
        let live = self.sources.iter().filter_map(|source| match source {
            Source::Live(entry) => opened.entries[*entry].1.as_ref().ok(),
            _ => None,
        });
        live.collect()
    }

    fn live_facts(&self) -> Vec<RunFacts> {
        let live = self.all.iter().zip(&self.sources);
        live.filter(|(_, source)| matches!(source, Source::Live(_)))
            .filter_map(|(lane, _)| lane.facts.clone())
            .collect()
    }

    fn labels(&self, opened: &Runs) -> Option<image_classification::Labels> {
        self.live(opened).iter().find_map(|run| run.labels.clone())
    }

    /// Each with each, the reference first in its own.
    fn pairs(&self, limits: &Limits) -> Vec<(usize, usize, Pair)> {
        let pair = |one: usize, other: usize| {
            let tolerance = limits.tolerance(&self.all[one], &self.all[other]);
            (one, other, Pair::new(tolerance))
        };
        let others = self.ready().filter(|index| *index != self.reference);
        let mut pairs: Vec<_> = others
            .clone()
            .map(|run| pair(self.reference, run))
            .collect();
        for one in others.clone() {
            let rest = others.clone().filter(|other| *other > one);
            pairs.extend(rest.map(|other| pair(one, other)));
        }
        pairs
    }

    fn majority(&self, pairs: &[(usize, usize, Pair)]) -> Option<Majority> {
        let ready: Vec<usize> = self.ready().collect();
        (ready.len() > 2).then(|| {
            let found = Majority::find(ready.len(), |a, b| {
                let (a, b) = (ready[a], ready[b]);
                pairs.iter().any(|(one, other, pair)| {
                    let same = (*one, *other) == (a, b) || (*one, *other) == (b, a);
                    same && pair.verdict() == Verdict::Agree
                })
            });
            match found {
                Majority::Most { others } => Majority::Most {
                    others: others.into_iter().map(|index| ready[index]).collect(),
                },
                other => other,
            }
        })
    }
}

/// Why the answers of two runs cannot be compared at all.
fn incomparable(reference: &RunFacts, own: &RunFacts) -> Option<Hinted> {
    let differences: Vec<String> = reference
        .input
        .iter()
        .filter_map(|(key, value)| {
            let found = own.input.iter().find(|(own, _)| own == key);
            let other = found.map_or("unknown", |(_, other)| other.as_str());
            (other != value).then(|| format!("{key} is {other} and not {value}"))
        })
        .collect();
    if !differences.is_empty() {
        return Some(Hinted::new(
            format!(
                "it takes another tensor than {}: {}",
                reference.name,
                differences.join(", ")
            ),
            "one of the two may be wrong; `classify inspect` shows who says so, flags such as --mean \
             decide for all runs, and `classify evaluate` takes models with tensors of their own",
        ));
    }
    if let (Some(own), Some(classes)) = (own.classes, reference.classes)
        && own != classes
    {
        return Some(Hinted::new(
            format!("it has {own} classes, but {} has {classes}", reference.name),
            "compare models with the same classes",
        ));
    }
    None
}

/// Why a run cannot be compared with what was recorded: it has none of the recorded models.
fn not_recorded(recorded: &[RunFacts], own: &RunFacts) -> Option<Hinted> {
    let known = recorded
        .iter()
        .any(|run| run.model_sha256 == own.model_sha256);
    let first = recorded.first().filter(|_| !known && !own.recorded)?;
    Some(Hinted::new(
        format!(
            "its model {} is another one than the recorded {}: SHA-256 {} and {}",
            own.model, first.model, own.model_sha256, first.model_sha256
        ),
        "give the model that was recorded, or record again",
    ))
}

/// What is known so far.
struct Fold {
    pairs: Vec<(usize, usize, Pair)>,
    failures: Vec<Failure>,
    pictures: Vec<PathBuf>,
    /// Of the digests of all tensors.
    tensors: Chain,
    compared: usize,
    top: usize,
    scores: ScoreKind,
    recorder: Option<Recorder>,
}

impl Fold {
    /// A run has no answer for a picture that can be compared.
    fn run_failed(&mut self, lanes: &Lanes, run: usize, error: &Error, messages: &mut Messages) {
        let picture = self.pictures.len() - 1;
        let path = self.pictures[picture].to_string_lossy();
        let named = format!("{}: {}", printable(&path), printable(&lanes.all[run].name));
        messages.input_failed(&named, error);
        self.failures.push(Failure::run(picture, run, error));
    }

    fn take(
        &mut self,
        lanes: &Lanes,
        recording: Option<&mut Recording>,
        answered: Answered,
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let Answered { path, result } = answered;
        let picture = self.pictures.len();
        self.pictures.push(path.clone());
        let named = printable(&path.to_string_lossy());
        let (outputs, recorded) = match result.and_then(|outputs| {
            if !outputs.identical {
                let error = "the runs were given different tensors";
                return Err(Hinted::new(error, "report this as a defect").into());
            }
            let recorded = recording
                .map(|recording| recorded(recording, &outputs))
                .transpose()?;
            Ok((outputs, recorded))
        }) {
            Ok(both) => both,
            Err(error) => {
                messages.input_failed(&named, &error);
                self.failures.push(Failure::picture(picture, &error));
                return Ok(());
            }
        };
        if let Some(recorder) = &mut self.recorder {
            let live: Vec<Option<&Tensor>> = outputs
                .tensors
                .iter()
                .map(|output| output.as_ref().ok())
                .collect();
            recorder.add(&path, outputs.file, outputs.tensor, &live)?;
        }
        self.tensors.add(outputs.tensor);
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

    /// Every pair of answers that there is.
    fn compare(
        &mut self,
        lanes: &Lanes,
        tensors: &[Option<Tensor>],
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        // How outputs are read is decided once, by the first that there is.
        let mut kind = self.scores;
        let order = std::iter::once(lanes.reference)
            .chain((0..tensors.len()).filter(|index| *index != lanes.reference));
        let mut answers: Vec<Option<Answer>> = tensors.iter().map(|_| None).collect();
        for index in order {
            let Some(tensor) = &tensors[index] else {
                continue;
            };
            match Answer::new(tensor, kind, self.top) {
                Ok(answer) => {
                    kind = answer.kind(kind);
                    answers[index] = Some(answer);
                }
                Err(error) => self.run_failed(lanes, index, &error.into(), messages),
            }
        }
        let picture = self.pictures.len() - 1;
        let mut compared = false;
        for place in 0..self.pairs.len() {
            let (reference, run, pair) = &mut self.pairs[place];
            let (Some(one), Some(other)) = (&answers[*reference], &answers[*run]) else {
                continue;
            };
            if one.raw.len() != other.raw.len() {
                let run = *run;
                let error = Hinted::new(
                    format!(
                        "it gives {} classes, but {} gives {}",
                        other.raw.len(),
                        printable(&lanes.all[*reference].name),
                        one.raw.len()
                    ),
                    "compare models with the same classes",
                );
                self.run_failed(lanes, run, &error.into(), messages);
                continue;
            }
            let difference = Difference::new(one, other, self.scores, pair.tolerance.tie);
            pair.add(picture, [one, other], difference)?;
            compared = true;
        }
        self.compared += usize::from(compared);
        Ok(())
    }
}

/// What the recording has for a picture, refused where the tensor is another one.
fn recorded(recording: &mut Recording, outputs: &Outputs) -> anyhow::Result<Vec<Option<Tensor>>> {
    let recorded = recording.get(outputs.file)?;
    if recorded.tensor != outputs.tensor {
        return Err(Hinted::new(
            format!(
                "the picture becomes another tensor than when it was recorded: SHA-256 {} and not {}",
                outputs.tensor, recorded.tensor
            ),
            "record again with this version of classify",
        )
        .into());
    }
    Ok(recorded.outputs)
}
