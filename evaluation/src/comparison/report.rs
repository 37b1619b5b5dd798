//! The result of a comparison.

use std::fmt;
use std::path::PathBuf;

use image_classification::Labels;

use super::runs::differences;
use crate::agreement::{Gate, Majority, Pair, RowsError, Tolerance, Variation, Verdict};
use crate::bisect::Bisection;
use crate::digest::Digest;
use crate::duplicates::Duplicates;
use crate::failure::Failure;
use crate::provenance::{Machine, RunEntry};
use crate::statistics::Distribution;
use crate::text::{counted, failed_runs, grouped, printable};

/// Two runs, compared over all images.
#[derive(Debug)]
pub struct ComparedPair {
    /// The place of the reference among the runs.
    pub reference: usize,
    /// The place of the other run.
    pub run: usize,
    /// The differences of all images.
    pub pair: Pair,
    /// The limits, and whether they hold.
    pub gates: Vec<Gate>,
    /// The verdict of all gates.
    pub verdict: Verdict,
    /// The distributions of the differences: the key in JSON, the name, the values.
    pub distributions: Vec<(&'static str, &'static str, Distribution)>,
}

impl ComparedPair {
    /// Returns the pair when all images were added.
    pub(super) fn new(
        reference: usize,
        run: usize,
        pair: Pair,
        variation: &Variation,
    ) -> Result<Self, RowsError> {
        Ok(Self {
            gates: pair.gates(variation),
            verdict: pair.verdict(variation),
            distributions: pair.distributions()?,
            reference,
            run,
            pair,
        })
    }
}

/// The result of a comparison: `Display` writes the verdict on one line, `Serialize` the report whose schema
/// `docs/compare.md` documents.
#[derive(Debug)]
pub struct ComparisonReport {
    /// The runs.
    pub runs: Vec<RunEntry>,
    /// The place of the reference.
    pub reference: usize,
    /// The pairs of runs, those with the reference first.
    pub pairs: Vec<ComparedPair>,
    /// The largest group of three or more runs that agree with each other.
    pub majority: Option<Majority>,
    /// The paths or names of the images.
    pub images: Vec<PathBuf>,
    /// The number of images that at least two runs answered.
    pub compared: usize,
    /// The tolerance of all pairs.
    pub tolerance: Tolerance,
    /// The source of the tolerance: an option, a run or a file.
    pub tolerance_by: String,
    /// The images with the content of an earlier one.
    pub duplicates: Duplicates,
    /// The answers that are missing.
    pub failures: Vec<Failure>,
    /// The digest of the digests of all tensors, in order.
    pub tensors: Digest,
    /// The number of best classes that were compared.
    pub top: usize,
    /// The names of the classes.
    pub labels: Option<Labels>,
    /// The machine that compared.
    pub machine: Machine,
    /// The search for the first node that differs, if there was one.
    pub bisect: Option<Bisection>,
}

impl ComparisonReport {
    /// Returns the pairs with the reference.
    pub fn against_reference(&self) -> impl Iterator<Item = &ComparedPair> {
        self.pairs
            .iter()
            .filter(|pair| pair.reference == self.reference)
    }

    /// Returns the pair with the worst image.
    pub fn worst_pair(&self) -> Option<&ComparedPair> {
        let worst = |pair: &ComparedPair| {
            let worst = pair.pair.worst.first()?;
            let delta = worst.row.values().map_or(f64::INFINITY, |values| {
                values.max_delta.or(values.relative_error).unwrap_or(0.0)
            });
            Some((pair.verdict == Verdict::Disagree, delta))
        };
        self.against_reference()
            .filter_map(|pair| Some((worst(pair)?, pair)))
            .max_by(|(a, _), (b, _)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map(|(_, pair)| pair)
    }

    /// Returns the name of a run, safe to print.
    pub fn name(&self, run: usize) -> String {
        let entry = self.runs.get(run);
        entry.map_or_else(String::new, |entry| printable(&entry.name))
    }

    /// Returns the path of an image, safe to print.
    pub fn path(&self, image: usize) -> String {
        printable(&self.images[image].to_string_lossy())
    }

    /// Returns whether all runs agree with the reference.
    pub fn agrees(&self) -> bool {
        self.verdict() == Verdict::Agree
    }

    /// Returns the verdict of the whole. A result that is missing is worse than a difference, because it hides one.
    pub fn verdict(&self) -> Verdict {
        let incomplete = !self.failures.is_empty() || self.runs.iter().any(|run| run.info.is_err());
        let worst = self.against_reference().map(|pair| pair.verdict).max();
        let only_recorded =
            self.pairs.is_empty() && self.runs.len() == 1 && !self.images.is_empty();
        if incomplete {
            Verdict::CouldNotCompare
        } else if only_recorded {
            Verdict::Recorded
        } else {
            worst.unwrap_or(Verdict::CouldNotCompare)
        }
    }

    /// Returns the verdict and its reason on one line.
    pub fn summary(&self) -> String {
        let runs = |wanted: Verdict| -> Vec<String> {
            self.against_reference()
                .filter(|pair| pair.verdict == wanted)
                .map(|pair| self.name(pair.run))
                .collect()
        };
        let disagree = runs(Verdict::Disagree);
        let reference = self.name(self.reference);
        let differ = if disagree.is_empty() {
            String::new()
        } else {
            let verb = if disagree.len() == 1 {
                "differs"
            } else {
                "differ"
            };
            format!("{} {verb} from {reference}", disagree.join(", "))
        };
        match self.verdict() {
            Verdict::Recorded => {
                format!(
                    "RECORDED: {}, nothing was compared",
                    counted(self.images.len(), "image")
                )
            }
            Verdict::Agree => {
                let gates = self.against_reference().flat_map(|pair| &pair.gates);
                let remarks = gates.filter(|gate| gate.remark.is_some());
                let mut cautions: Vec<&str> = remarks
                    .map(|gate| match gate.name {
                        Gate::MAX_DELTA => "probabilities of exactly 0 and 1 hide differences",
                        _ => "too few images to establish the share of equal best classes",
                    })
                    .collect();
                cautions.sort_unstable();
                cautions.dedup();
                let cautions = match &cautions[..] {
                    [] => String::new(),
                    several => format!(" ({})", several.join("; ")),
                };
                format!(
                    "AGREE: {} with {reference} on {}{cautions}",
                    runs(Verdict::Agree).join(", "),
                    counted(self.compared, "image"),
                )
            }
            Verdict::Disagree => {
                let gates: Vec<&str> = self
                    .against_reference()
                    .flat_map(|pair| &pair.gates)
                    .filter(|gate| !gate.passed)
                    .map(|gate| gate.name)
                    .collect();
                let mut unique: Vec<&str> = Vec::new();
                for gate in gates {
                    if !unique.contains(&gate) {
                        unique.push(gate);
                    }
                }
                format!("DISAGREE: {differ} ({})", unique.join(", "))
            }
            Verdict::CouldNotCompare => {
                let errors = self.runs.iter().filter_map(|run| {
                    let error = run.info.as_ref().err()?;
                    Some((&*run.name, &**error))
                });
                let mut parts = Vec::new();
                if let Some(first) = errors.clone().next() {
                    let count = errors.count();
                    parts.push(failed_runs(count, self.runs.len(), Some(first)));
                }
                if let Some(first) = self.failures.first() {
                    let named = first
                        .image
                        .map_or_else(String::new, |image| format!("{}: ", self.path(image)));
                    parts.push(format!(
                        "{} of {} compared, {}, the first: {named}{}",
                        grouped(self.compared),
                        counted(self.images.len(), "image"),
                        counted(self.failures.len(), "failure"),
                        first.problem.message
                    ));
                }
                if !differ.is_empty() {
                    parts.push(differ);
                }
                let uninformative = runs(Verdict::CouldNotCompare);
                if !uninformative.is_empty() && self.compared > 0 {
                    parts.push(format!(
                        "{} matches {reference}, but the answers do not depend on the image or all classes tie \
                         ({}); agreement proves nothing",
                        uninformative.join(", "),
                        Gate::INFORMATIVE
                    ));
                }
                if parts.is_empty() {
                    parts.push("nothing was compared".to_owned());
                }
                format!("COULD NOT COMPARE: {}", parts.join("; "))
            }
        }
    }

    /// Describes the majority of three or more runs on one line.
    pub fn majority_line(&self) -> Option<String> {
        let others = |others: &[usize]| {
            let names: Vec<_> = others.iter().map(|run| self.name(*run)).collect();
            names.join(", ")
        };
        Some(match self.majority.as_ref()? {
            Majority::All => "all runs agree with each other".to_owned(),
            Majority::Most { others: off } => {
                format!(
                    "{} is off: the other runs agree with each other",
                    others(off)
                )
            }
            Majority::None => "no more than half of the runs agree with each other".to_owned(),
        })
    }

    /// Describes the runs that take the pixels in another form than the reference, on a line each; none if all take one
    /// tensor.
    pub fn tensor_notes(&self) -> Vec<String> {
        let Some(Ok(reference)) = self.runs.get(self.reference).map(|run| &run.info) else {
            return Vec::new();
        };
        let notes = self.runs.iter().filter_map(|run| {
            let differences = differences(reference, run.info.as_ref().ok()?);
            let differences: Vec<String> = differences
                .into_iter()
                .filter(|(key, ..)| *key != "batch")
                .map(|(key, value, other)| format!("{key} {other} (reference: {value})"))
                .collect();
            (!differences.is_empty()).then(|| {
                printable(&format!(
                    "{} receives the same pixels in another form: {}",
                    run.name,
                    differences.join(", ")
                ))
            })
        });
        notes.collect()
    }

    /// Describes the preprocessing on one line.
    pub fn preprocessing(&self) -> String {
        let reference = self.runs.get(self.reference);
        let info = reference.and_then(|run| run.info.as_ref().ok());
        let values: Vec<_> = info
            .map_or(&[][..], |info| &info.preprocessing)
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        values.join(", ")
    }
}

impl fmt::Display for ComparisonReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}
