//! A comparison that is fed image by image.

use std::path::PathBuf;

use backend_api::Tensor;

use super::error::ComparisonError;
use super::report::{ComparedPair, ComparisonReport};
use super::runs::ComparedRuns;
use crate::agreement::{
    Answer, Basis, Difference, Majority, Pair, RowsError, Tolerance, Variation, Verdict,
};
use crate::digest::{Chain, ImageDigests};
use crate::duplicates::Duplicates;
use crate::failure::{Failure, Problem};
use crate::provenance::Machine;

/// The outputs of all runs for one image.
#[derive(Debug)]
pub struct AnsweredImage {
    /// The digests of the image.
    pub digests: ImageDigests,
    /// The output of each [ready](ComparedRuns::ready) run, in their order, or the reason for the failure.
    pub outputs: Vec<Result<Tensor, Problem>>,
}

/// Compares the answers of runs, image by image. Memory grows with the paths of the images only.
#[derive(Debug)]
pub struct ComparisonAccumulator {
    runs: ComparedRuns,
    tolerance: Tolerance,
    tolerance_by: String,
    top: usize,
    /// The pairs of ready runs, those with the reference first.
    pairs: Vec<(usize, usize, Pair)>,
    /// The variation of each run's answers over the images.
    variations: Vec<Variation>,
    duplicates: Duplicates,
    failures: Vec<Failure>,
    images: Vec<PathBuf>,
    tensors: Chain,
    compared: usize,
}

impl ComparisonAccumulator {
    /// Returns a comparison of the `top` best classes of `runs` by `tolerance`, which `tolerance_by` decided.
    pub fn new(
        runs: ComparedRuns,
        tolerance: Tolerance,
        tolerance_by: impl Into<String>,
        top: usize,
    ) -> Self {
        Self {
            pairs: pairs(&runs, tolerance),
            variations: vec![Variation::default(); runs.entries().len()],
            runs,
            tolerance,
            tolerance_by: tolerance_by.into(),
            top,
            duplicates: Duplicates::default(),
            failures: Vec::new(),
            images: Vec::new(),
            tensors: Chain::default(),
            compared: 0,
        }
    }

    /// Returns the runs.
    pub const fn runs(&self) -> &ComparedRuns {
        &self.runs
    }

    /// Adds an image that no run could be given. Returns its failure.
    pub fn add_failed(&mut self, path: PathBuf, problem: Problem) -> &[Failure] {
        self.failures
            .push(Failure::image(self.images.len(), problem));
        self.images.push(path);
        &self.failures[self.failures.len() - 1..]
    }

    /// Adds a failure that is not about one image.
    pub fn add_failure(&mut self, problem: Problem) {
        self.failures.push(Failure::whole(problem));
    }

    /// Adds an image and compares its answers. Returns the failures of runs for this image, if there are any.
    ///
    /// # Errors
    ///
    /// If the differences cannot be kept.
    pub fn add(&mut self, path: PathBuf, image: AnsweredImage) -> Result<&[Failure], RowsError> {
        let place = self.images.len();
        let failures = self.failures.len();
        self.images.push(path);
        self.tensors.add(image.digests.tensor);
        self.duplicates.add(place, image.digests.file);
        let mut answers: Vec<Option<Answer>> = self.variations.iter().map(|_| None).collect();
        for (run, output) in self.runs.ready().zip(image.outputs) {
            let tensor = match output {
                Ok(tensor) => tensor,
                Err(problem) => {
                    self.failures.push(Failure::run(place, run, problem));
                    continue;
                }
            };
            match Answer::new(&tensor, self.runs.interpretation(run), self.top) {
                Ok(answer) => {
                    self.variations[run].add(&answer);
                    answers[run] = Some(answer);
                }
                Err(error) => {
                    let problem = ComparisonError::from(error).problem();
                    self.failures.push(Failure::run(place, run, problem));
                }
            }
        }
        self.compare(place, &answers)?;
        Ok(&self.failures[failures..])
    }

    /// Compares every pair of answers.
    fn compare(&mut self, image: usize, answers: &[Option<Answer>]) -> Result<(), RowsError> {
        let mut compared = false;
        for (reference, run, pair) in &mut self.pairs {
            let (Some(one), Some(other)) = (&answers[*reference], &answers[*run]) else {
                continue;
            };
            if pair.basis != Basis::ClassIds && one.classes != other.classes {
                let error = ComparisonError::OtherClassesGiven {
                    classes: other.classes,
                    reference: self.runs.entries()[*reference].name.clone(),
                    reference_classes: one.classes,
                };
                self.failures
                    .push(Failure::run(image, *run, error.problem()));
                continue;
            }
            let difference = Difference::new(one, other, pair.tolerance.ties());
            pair.add(image, [one, other], difference)?;
            compared = true;
        }
        self.compared += usize::from(compared);
        Ok(())
    }

    /// Returns whether all images have the same content: whether answers depend on the image is then known only after
    /// [`add_variation`](Self::add_variation).
    pub fn has_one_content(&self) -> bool {
        self.duplicates.contents() == 1
    }

    /// Adds the output of a run for an image that is not compared to what is known of how its answers vary.
    pub fn add_variation(&mut self, run: usize, output: &Tensor) {
        // A model that fails on an artificial image is judged by the images that there are.
        if let Ok(answer) = Answer::new(output, self.runs.interpretation(run), self.top) {
            self.variations[run].add(&answer);
        }
    }

    /// Returns the result.
    ///
    /// # Errors
    ///
    /// If the differences cannot be read back.
    pub fn finish(self) -> Result<ComparisonReport, RowsError> {
        let majority = self.majority();
        let pairs = self.pairs.into_iter().map(|(reference, run, pair)| {
            let variation = Variation::of_pair(&self.variations, reference, run);
            ComparedPair::new(reference, run, pair, variation)
        });
        Ok(ComparisonReport {
            pairs: pairs.collect::<Result<_, _>>()?,
            majority,
            reference: self.runs.reference(),
            labels: self.runs.labels().cloned(),
            runs: self.runs.into_entries(),
            images: self.images,
            compared: self.compared,
            tolerance: self.tolerance,
            tolerance_by: self.tolerance_by,
            duplicates: self.duplicates,
            failures: self.failures,
            tensors: self.tensors.finish(),
            top: self.top,
            machine: Machine::current(),
            bisect: None,
        })
    }

    /// Returns the largest group of runs that agree with each other, of three or more runs.
    fn majority(&self) -> Option<Majority> {
        let ready: Vec<usize> = self.runs.ready().collect();
        (ready.len() > 2).then(|| {
            let found = Majority::find(ready.len(), |a, b| {
                let (a, b) = (ready[a], ready[b]);
                self.pairs.iter().any(|(one, other, pair)| {
                    let same = (*one, *other) == (a, b) || (*one, *other) == (b, a);
                    let variation = Variation::of_pair(&self.variations, *one, *other);
                    same && pair.verdict(variation) == Verdict::Agree
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

/// Pairs each ready run with each other one. The reference is first in its pairs.
fn pairs(runs: &ComparedRuns, tolerance: Tolerance) -> Vec<(usize, usize, Pair)> {
    let pair = |one: usize, other: usize| {
        let [a, b] = [one, other].map(|run| runs.interpretation(run).scoring);
        // Runs without a basis were rejected with the reference already.
        let basis = Basis::of(a, b).unwrap_or(Basis::Outputs);
        (one, other, Pair::new(tolerance, basis))
    };
    let others = runs.ready().filter(|index| *index != runs.reference());
    let mut pairs: Vec<_> = others
        .clone()
        .map(|run| pair(runs.reference(), run))
        .collect();
    for one in others.clone() {
        let rest = others.clone().filter(|other| *other > one);
        pairs.extend(rest.map(|other| pair(one, other)));
    }
    pairs
}
