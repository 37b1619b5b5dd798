//! The runs of a comparison: which can be compared, on what basis, and by which tolerance.

use anyhow::Error;
use backend_api::Tensor;
use image_classification::{Interpretation, Labels, ScoreKind, Scoring};

use crate::args::CompareArgs;
use crate::facts::{Machine, RunFacts};
use crate::messages::{self, Hinted, Messages, printable};
use crate::recording::Recording;
use crate::reports::compare::Lane;
use crate::session::{OpenRun, Session};
use evaluation::Share;
use evaluation::accuracy::LabelDifference;
use evaluation::agreement::{Basis, Majority, Pair, Tolerance, ToleranceName, Variation, Verdict};

/// The user's limits of differences.
pub struct Limits {
    name: Option<ToleranceName>,
    max_delta: Option<f64>,
    min_top1: Option<Share>,
    min_overlap: Option<Share>,
    /// The limit for nodes.
    pub node: Option<f64>,
}

impl Limits {
    pub fn new(args: &CompareArgs) -> Self {
        Self {
            name: args.tolerance.map(Into::into),
            max_delta: args.max_delta.map(Share::value),
            min_top1: args.min_top1,
            min_overlap: args.min_overlap,
            node: args.bisect_tolerance.map(Share::value),
        }
    }

    /// The tolerance of all pairs: one comparison has one. Without a name it is the one of the coarsest precision, in
    /// which a run computes or in which different model files hold their weights.
    fn tolerance(&self, facts: &[&RunFacts]) -> (Tolerance, String) {
        let (name, why) = match self.name {
            Some(name) => (name, "--tolerance".to_owned()),
            None => default_tolerance(facts),
        };
        let mut tolerance = Tolerance::named(name);
        if let Some(max_delta) = self.max_delta {
            tolerance.max_delta = max_delta;
        }
        tolerance.min_top1 = self.min_top1.or(tolerance.min_top1);
        tolerance.min_overlap = self.min_overlap.or(tolerance.min_overlap);
        (tolerance, why)
    }
}

/// The tolerance for the precisions of `facts`, and why.
fn default_tolerance(facts: &[&RunFacts]) -> (ToleranceName, String) {
    let computed = facts.iter().map(|facts| {
        let name = ToleranceName::of_precision(&facts.precision);
        (
            name,
            format!("{} computes in {}", facts.name, facts.precision),
        )
    });
    // The same file holds the same weights for every run.
    let same_model = facts
        .windows(2)
        .all(|pair| pair[0].model_sha256 == pair[1].model_sha256);
    let stored = facts.iter().filter(|_| !same_model).filter_map(|facts| {
        let precision = facts.stored_precision.as_deref()?;
        let name = ToleranceName::of_precision(precision);
        Some((name, format!("{} holds {precision} weights", facts.model)))
    });
    // The first of the coarsest.
    let coarsest = computed
        .chain(stored)
        .reduce(|most, next| if next.0 > most.0 { next } else { most });
    match coarsest {
        Some((name, why)) if name > ToleranceName::F32 => (name, why),
        _ => (ToleranceName::F32, "all runs compute in f32".to_owned()),
    }
}

/// The runs in the order of the report: those of the recording, then those that were asked for.
pub struct Lanes {
    pub all: Vec<Lane>,
    /// The source of each lane's answers.
    pub sources: Vec<Source>,
    /// The rule that makes scores of each lane's outputs.
    pub interpretations: Vec<Interpretation>,
    pub reference: usize,
    pub tolerance: Tolerance,
    /// The run, file or flag that decided the tolerance.
    pub tolerance_by: String,
    errors: Vec<(usize, Error)>,
}

#[derive(Clone, Copy)]
pub enum Source {
    /// The run of the recording.
    Recorded(usize),
    /// The entry of [`Session`].
    Live(usize),
    Failed,
}

impl Lanes {
    pub fn new(
        recording: Option<&Recording>,
        opened: &Session,
        machine: &Machine,
        reference: Option<&str>,
        scores: ScoreKind,
        limits: &Limits,
    ) -> anyhow::Result<Self> {
        let recorded = recording.map_or(&[][..], |recording| &recording.runs);
        let mut lanes = Vec::new();
        let mut sources = Vec::new();
        let mut errors = Vec::new();
        for (index, facts) in recorded.iter().enumerate() {
            let name = format!("{} (recorded)", facts.name);
            let mut facts = facts.clone();
            let first = recording.map_or(&[][..], |recording| &recording.first_outputs[index]);
            facts.interpretation = match (scores, facts.interpretation) {
                (ScoreKind::Auto, Some(said)) => Some(said),
                // Recordings of version 0.1.0 do not have it.
                (ScoreKind::Auto, None) => {
                    let scoring = Scoring::from_outputs(first, None, false);
                    scoring.map(|scoring| Interpretation {
                        inferred: true,
                        ..Interpretation::plain(scoring)
                    })
                }
                (asked, said) => {
                    let values = facts.values.or_else(|| first.first().map(Tensor::len));
                    let scoring = Scoring::decide(asked, facts.output, facts.multi_label, values);
                    scoring.map(|scoring| Interpretation {
                        quantization: said.and_then(|said| said.quantization),
                        ..Interpretation::plain(scoring)
                    })
                }
            };
            lanes.push(Lane {
                name,
                facts: Some(facts),
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
            let name = lanes[reference].name.clone();
            for (index, lane) in lanes.iter_mut().enumerate() {
                let problem = match &lane.facts {
                    Some(own) => {
                        incomparable(&name, &facts, own).or_else(|| not_recorded(recorded, own))
                    }
                    None => None,
                };
                let Some(problem) = problem else {
                    continue;
                };
                let error = Error::from(problem);
                lane.error = Some(messages::chain(&error));
                lane.facts = None;
                sources[index] = Source::Failed;
                errors.push((index, error));
            }
        }
        let ready: Vec<&RunFacts> = lanes
            .iter()
            .filter_map(|lane| lane.facts.as_ref())
            .collect();
        let (tolerance, tolerance_by) = limits.tolerance(&ready);
        let said = |lane: &Lane| lane.facts.as_ref()?.interpretation;
        // A run of which no output is finite has nothing to read; it differs from every other.
        let any = said(&lanes[reference]).or_else(|| lanes.iter().find_map(said));
        let any = any.unwrap_or(Interpretation::RAW);
        Ok(Self {
            interpretations: lanes.iter().map(|lane| said(lane).unwrap_or(any)).collect(),
            all: lanes,
            sources,
            reference,
            tolerance,
            tolerance_by,
            errors,
        })
    }

    pub fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.errors
            .iter()
            .map(|(index, error)| (self.all[*index].name.as_str(), error))
    }

    /// The places of the lanes that answer.
    pub fn ready(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.all.len()).filter(|index| !matches!(self.sources[*index], Source::Failed))
    }

    pub fn live<'a>(&self, opened: &'a Session) -> Vec<&'a OpenRun> {
        let live = self.sources.iter().filter_map(|source| match source {
            Source::Live(entry) => opened.entries[*entry].1.as_ref().ok(),
            _ => None,
        });
        live.collect()
    }

    pub fn live_facts(&self) -> Vec<RunFacts> {
        let live = self.all.iter().zip(&self.sources);
        live.filter(|(_, source)| matches!(source, Source::Live(_)))
            .filter_map(|(lane, _)| lane.facts.clone())
            .collect()
    }

    /// Returns whether the first recorded run and the first live one make the same tensor of an image.
    pub fn same_settings(&self) -> bool {
        let first = |is_wanted: fn(&Source) -> bool| {
            let mut lanes = self.all.iter().zip(&self.sources);
            let (lane, _) = lanes.find(|(_, source)| is_wanted(source))?;
            lane.facts.as_ref()
        };
        let recorded = first(|source| matches!(source, Source::Recorded(_)));
        let live = first(|source| matches!(source, Source::Live(_)));
        recorded
            .zip(live)
            .is_some_and(|(recorded, live)| differences(recorded, live).is_empty())
    }

    /// The labels of the first run that has some. Different labels of another run are reported: the same place in two
    /// outputs would mean different things.
    pub fn labels(&self, opened: &Session, messages: &Messages) -> Option<Labels> {
        let live = self.live(opened);
        let mut labelled = live
            .iter()
            .filter_map(|run| Some((&run.name, run.labels.as_ref()?)));
        let (first, labels) = labelled.next()?;
        for (name, other) in labelled {
            if let Some(difference) =
                LabelDifference::between((Some(labels), None), (Some(other), None))
            {
                messages.warning(&printable(&format!(
                    "{name} has {}: classes are compared by their place in the output",
                    difference.text(first)
                )));
            }
        }
        Some(labels.clone())
    }

    /// Each with each, the reference first in its own.
    pub fn pairs(&self) -> Vec<(usize, usize, Pair)> {
        let pair = |one: usize, other: usize| {
            let [a, b] = [one, other].map(|lane| self.interpretations[lane].scoring);
            // Those without a basis were refused with the reference already.
            let basis = Basis::of(a, b).unwrap_or(Basis::Outputs);
            (one, other, Pair::new(self.tolerance, basis))
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

    /// The largest group of runs that agree with each other, of three or more runs.
    pub fn majority(
        &self,
        pairs: &[(usize, usize, Pair)],
        variations: &[Variation],
    ) -> Option<Majority> {
        let ready: Vec<usize> = self.ready().collect();
        (ready.len() > 2).then(|| {
            let found = Majority::find(ready.len(), |a, b| {
                let (a, b) = (ready[a], ready[b]);
                pairs.iter().any(|(one, other, pair)| {
                    let same = (*one, *other) == (a, b) || (*one, *other) == (b, a);
                    same && pair.verdict(Variation::of_pair(variations, *one, *other))
                        == Verdict::Agree
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

/// The settings that a model's own input decides: in which order and type it takes the same pixels.
const OF_THE_TENSOR: [&str; 3] = ["layout", "type", "batch"];
/// The settings that are part of a model that takes pixels as they are, and outside of one that takes fractions.
const OF_THE_VALUES: [&str; 3] = ["color", "mean", "scale"];

/// Returns the error if the answers of two runs cannot be compared. `name` is the reference's.
fn incomparable(name: &str, reference: &RunFacts, own: &RunFacts) -> Option<Hinted> {
    // A model that takes integers does itself what others have done before: the pixels are the same.
    let one_takes_pixels = takes_pixels(reference) != takes_pixels(own);
    let differences: Vec<String> = differences(reference, own)
        .into_iter()
        .filter(|(key, ..)| {
            let own_business =
                OF_THE_TENSOR.contains(key) || (one_takes_pixels && OF_THE_VALUES.contains(key));
            !own_business
        })
        .map(|(key, value, other)| format!("{key} {other} (reference: {value})"))
        .collect();
    if !differences.is_empty() {
        return Some(Hinted::new(
            format!(
                "its preprocessing differs from that of {name}: {}",
                differences.join(", ")
            ),
            "one of the two may be wrong; `classify inspect` shows who says so, flags such as --mean \
             decide for all runs, and `classify evaluate` takes models with tensors of their own",
        ));
    }
    if let (Some(one), Some(other)) = (reference.interpretation, own.interpretation)
        && let Err(why) = Basis::of(one.scoring, other.scoring)
    {
        let why = why.replace("the reference", name);
        return Some(Hinted::new(
            why,
            "pass --scores to say what all outputs hold",
        ));
    }
    if let (Some(own), Some(classes)) = (own.classes, reference.classes)
        && own != classes
    {
        return Some(Hinted::new(
            format!("it has {own} classes, but {name} has {classes}"),
            "compare models with the same classes",
        ));
    }
    None
}

/// Returns the error if a run's model was not recorded.
fn not_recorded(recorded: &[RunFacts], own: &RunFacts) -> Option<Hinted> {
    let known = recorded
        .iter()
        .any(|run| run.model_sha256 == own.model_sha256);
    let first = recorded.first().filter(|_| !known && !own.recorded)?;
    Some(Hinted::new(
        format!(
            "its model {} was not recorded; the first recorded model is {}: SHA-256 {} and {}",
            own.model, first.model, own.model_sha256, first.model_sha256
        ),
        "give the model that was recorded, or record again",
    ))
}

fn takes_pixels(facts: &RunFacts) -> bool {
    let mut settings = facts.input.iter();
    settings.any(|(key, value)| key == "type" && (value == "u8" || value == "i8"))
}

/// The settings in which the tensors of two runs differ: the key, the reference's value, the other one.
pub fn differences<'a>(
    reference: &'a RunFacts,
    own: &'a RunFacts,
) -> Vec<(&'a str, &'a str, &'a str)> {
    let settings = reference.input.iter();
    settings
        .filter_map(|(key, value)| {
            let found = own.input.iter().find(|(own, _)| own == key);
            let other = found.map_or("unknown", |(_, other)| other.as_str());
            (other != value).then_some((key.as_str(), value.as_str(), other))
        })
        .collect()
}
