//! An evaluation that is fed image by image.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use backend_api::Tensor;
use image_classification::{Interpretation, Labels, Ranked, Scoring};

use super::chance::Chance;
use super::changes::{ChangedAnswer, Changes, GivenClasses};
use super::error::EvaluationError;
use super::limits::GateLimits;
use super::listed::{Largest, ListedAnswer};
use super::recorded::check_model;
use super::report::{EvaluatedRun, EvaluationReport, RunResults, WrongAnswer};
use super::rows::{AnswerRow, Change, JudgedRow, RowResult};
use super::shift::ShiftCounts;
use crate::accuracy::{
    Accuracy, ClassLookup, Criterion, GroundTruth, GroundTruthError, Judged, LabelDifference,
};
use crate::digest::Digest;
use crate::duplicates::Duplicates;
use crate::failure::{Failure, Problem};
use crate::provenance::{Machine, RunEntry, RunInfo};
use crate::text::chain;

/// The options of an evaluation.
#[derive(Debug, Clone)]
pub struct EvaluationOptions {
    /// The name of the run that others are compared with. By default the first that can be evaluated.
    pub reference: Option<String>,
    /// The number added to the class ids of the ground truth: 1 for a model whose class 0 is the background.
    pub label_offset: i64,
    /// The least score of the classes that a multi-label model gives for an image. By default 0.5.
    pub threshold: f64,
    /// The values of K of top-K accuracy. By default 1 and 5.
    pub top: Vec<usize>,
    /// True if recorded runs may have other model files than the runs. By default such a run is rejected.
    pub other_model: bool,
    /// The limits. Default: none.
    pub limits: GateLimits,
}

impl EvaluationOptions {
    /// The default of [`threshold`](Self::threshold).
    pub const THRESHOLD: f64 = 0.5;
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self {
            reference: None,
            label_offset: 0,
            threshold: Self::THRESHOLD,
            top: vec![1, 5],
            other_model: false,
            limits: GateLimits::default(),
        }
    }
}

/// Judges the answers of runs by ground truth, image by image.
#[derive(Debug)]
pub struct EvaluationAccumulator {
    entries: Vec<RunEntry>,
    rejected: Vec<(usize, EvaluationError)>,
    options: EvaluationOptions,
    truth: GroundTruth,
    /// One for each run that can be evaluated.
    judges: Vec<Judge>,
    reference: usize,
    images: Vec<PathBuf>,
    /// The number of images that all judges counted.
    counted: usize,
    missing: Vec<usize>,
    duplicates: Duplicates,
    failures: Vec<Failure>,
    /// The rows of the last image.
    rows: Vec<AnswerRow>,
}

impl EvaluationAccumulator {
    /// Returns an evaluation of `runs` by `truth`. Runs that cannot be judged by the ground truth of `images` are
    /// rejected before anything is inferred; images that are not known yet need not be there.
    ///
    /// # Errors
    ///
    /// [`EvaluationError::UnknownReference`].
    pub fn new(
        runs: Vec<RunEntry>,
        truth: GroundTruth,
        mut options: EvaluationOptions,
        images: &[PathBuf],
    ) -> Result<Self, EvaluationError> {
        options.top.sort_unstable();
        options.top.dedup();
        let mut entries = runs;
        let mut rejected = Vec::new();
        let all = entries.clone();
        for (index, entry) in entries.iter_mut().enumerate() {
            let Ok(info) = &entry.info else {
                continue;
            };
            let labels = entry.labels.as_ref();
            let checked = check_recorded(&all, info, &options)
                .and_then(|()| check_run(info, labels, &truth, &options, images));
            if let Err(error) = checked {
                entry.info = Err(chain(&error));
                rejected.push((index, error));
            }
        }
        let reference = reference(&entries, &options)?.unwrap_or(0);
        let is_multi_label = |info: &RunInfo| interpretation(info).scoring.is_multi_label();
        let of_reference = entries.get(reference).and_then(|it| it.info.as_ref().ok());
        let chance_classes = of_reference.and_then(|info| {
            let labels = entries[reference].labels.as_ref();
            output_classes(info, labels)
        });
        let of_reference = of_reference.is_some_and(is_multi_label);
        let judges = entries.iter().enumerate().filter_map(|(place, entry)| {
            let info = entry.info.as_ref().ok()?;
            let criterion = Criterion::of([of_reference, is_multi_label(info)]);
            let labels = entry.labels.as_ref();
            let chance = Chance::new(criterion, chance_classes);
            let lookup = ClassLookup::new(labels, options.label_offset);
            let lookup = truth.found_by(lookup, images, output_classes(info, labels));
            let count = labels.map(Labels::len);
            Some(Judge::new(place, info, (lookup, count), chance, &options))
        });
        Ok(Self {
            judges: judges.collect(),
            entries,
            rejected,
            options,
            truth,
            reference,
            images: Vec::new(),
            counted: 0,
            missing: Vec::new(),
            duplicates: Duplicates::default(),
            failures: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Adds a failure that is not about one image.
    pub fn add_failure(&mut self, problem: Problem) {
        self.failures.push(Failure::whole(problem));
    }

    /// Returns the rows of the image that was added last, one for each [ready](Self::ready) run.
    pub fn rows(&self) -> &[AnswerRow] {
        &self.rows
    }

    /// Sets the rows of the image that was added last.
    fn set_rows(&mut self, result: impl Fn(usize) -> RowResult) {
        let image = self.images.last().cloned().unwrap_or_default();
        let row = |run| AnswerRow {
            image: image.clone(),
            run,
            result: result(run),
        };
        self.rows = self.judges.iter().map(|judge| row(judge.place)).collect();
    }

    /// Returns the runs that cannot be judged, by their places.
    pub fn rejected(&self) -> &[(usize, EvaluationError)] {
        &self.rejected
    }

    /// Returns the places of the runs that are evaluated.
    pub fn ready(&self) -> impl Iterator<Item = usize> + Clone {
        self.judges.iter().map(|judge| judge.place)
    }

    /// Returns all runs.
    pub fn entries(&self) -> &[RunEntry] {
        &self.entries
    }

    /// Adds an image that no run could be given. Returns its failure.
    pub fn add_failed(&mut self, path: PathBuf, problem: Problem) -> &[Failure] {
        let image = self.images.len();
        // An image that fails has its entry, too.
        if matches!(self.truth.take(&path), Ok(None)) {
            self.missing.push(image);
        }
        self.images.push(path);
        self.set_rows(|_| RowResult::Failed(problem.message.clone()));
        self.failures.push(Failure::image(image, problem));
        &self.failures[self.failures.len() - 1..]
    }

    /// Adds an image: the digest of its file, and the output of each [ready](Self::ready) run in their order, or the
    /// reason for the failure. Returns the failures for this image, if there are any. An image without ground truth has
    /// none.
    pub fn add(
        &mut self,
        path: PathBuf,
        file: Digest,
        outputs: Vec<Result<Tensor, Problem>>,
    ) -> &[Failure] {
        let image = self.images.len();
        let failures = self.failures.len();
        let written = self.truth.take(&path).map(owned);
        self.images.push(path);
        if matches!(written, Ok(None)) {
            self.missing.push(image);
        }
        let first = self.duplicates.add(image, file);
        let checked = written.map_err(EvaluationError::from).and_then(|written| {
            self.check_duplicate(written.as_deref(), first)?;
            Ok(written)
        });
        match checked {
            Ok(None) => self.set_rows(|_| RowResult::NoTruth),
            Ok(Some(written)) => self.judge(image, &written, outputs),
            Err(error) => {
                let problem = error.problem();
                self.set_rows(|_| RowResult::Failed(problem.message.clone()));
                self.failures.push(Failure::image(image, problem));
            }
        }
        &self.failures[failures..]
    }

    fn judge(&mut self, image: usize, written: &[String], outputs: Vec<Result<Tensor, Problem>>) {
        let metrics = self.options.limits.metrics.iter();
        let ranks = metrics.map(|limit| limit.metric.ranks());
        let ranks = ranks.chain(self.options.top.iter().copied());
        let most = ranks.max().unwrap_or(1);
        let mut answers = Vec::new();
        self.rows.clear();
        for (judge, output) in self.judges.iter_mut().zip(outputs) {
            let judged = output.and_then(|output| {
                let judged = judge.judge(image, written, &output, most);
                judged.map_err(|error| error.problem())
            });
            match judged {
                Ok(answer) => {
                    self.rows.push(AnswerRow {
                        image: self.images[image].clone(),
                        run: judge.place,
                        result: RowResult::Judged(answer.row()),
                    });
                    answers.push(Some(answer));
                }
                Err(problem) => {
                    answers.push(None);
                    self.rows.push(AnswerRow {
                        image: self.images[image].clone(),
                        run: judge.place,
                        result: RowResult::Failed(problem.message.clone()),
                    });
                    let failure = Failure::run(image, judge.place, problem);
                    self.failures.push(failure);
                }
            }
        }
        self.counted += usize::from(answers.iter().all(Option::is_some));
        let reference = self.judges.iter().zip(&answers);
        let reference = reference
            .filter(|(judge, _)| judge.place == self.reference)
            .find_map(|(_, answer)| answer.clone());
        let Some(reference) = reference else {
            return;
        };
        let answers = answers.into_iter().zip(&mut self.rows);
        for (judge, (answer, row)) in self.judges.iter_mut().zip(answers) {
            let Some(answer) = answer else {
                continue;
            };
            let criterion = judge.changes.criterion;
            let right = [&reference, &answer].map(|answer| answer.is_right(criterion));
            let of_reference = match criterion {
                Criterion::Top1 => reference.judged.best.as_slice(),
                Criterion::ExactMatch => &reference.given,
            };
            judge.chance.add(right[0], &reference.truth, of_reference);
            let Answer {
                truth,
                given,
                judged,
                top,
            } = answer;
            if let RowResult::Judged(row) = &mut row.result {
                row.change = Change::of(right);
            }
            let changed = ChangedAnswer {
                image,
                truth,
                answer: judged.best,
                reference_answer: reference.judged.best,
                score: judged.score,
                reference_score: reference.judged.score,
                given: (criterion == Criterion::ExactMatch).then(|| GivenClasses {
                    run: given,
                    reference: reference.given.clone(),
                    margin: judged.margin,
                    reference_margin: reference.judged.margin,
                }),
            };
            let lists = || [reference.top.clone(), top];
            judge.changes.add(right, changed, lists);
        }
    }

    /// Checks the written classes of an image against the classes of the first image with its content.
    fn check_duplicate(
        &self,
        written: Option<&[String]>,
        first: Option<usize>,
    ) -> Result<(), EvaluationError> {
        let first = first.map(|first| &self.images[first]);
        let earlier = owned(first.and_then(|first| self.truth.written(first)));
        let (Some(written), Some(first), Some(earlier)) = (written, first, earlier) else {
            return Ok(());
        };
        let differs = |judge: &Judge| {
            let [one, other] = [written, &*earlier].map(|written| judge.lookup.find(written, None));
            matches!((one, other), (Ok(one), Ok(other)) if one != other)
        };
        if !self.judges.iter().any(differs) {
            return Ok(());
        }
        Err(EvaluationError::Contradiction {
            earlier: first.clone(),
            classes: written.to_vec(),
            earlier_classes: earlier,
        })
    }

    /// Returns the result.
    pub fn finish(self) -> EvaluationReport {
        let differences = label_differences(&self.entries, self.reference);
        // If no run is left, the images were not given to any.
        let surplus: Vec<PathBuf> = if self.judges.is_empty() || self.images.is_empty() {
            Vec::new()
        } else {
            let surplus = self.truth.surplus().into_iter();
            surplus.map(Path::to_owned).collect()
        };
        let ground_truth = self.truth.summary(&self.images);
        let mut judges = self.judges.into_iter();
        let run = |(entry, label_difference): (RunEntry, _)| EvaluatedRun {
            name: entry.name,
            results: entry.info.map(|info| {
                let mut judge = judges.next().expect("one for each run");
                judge.changes.sort();
                RunResults {
                    info,
                    accuracy: judge.accuracy,
                    changes: judge.changes,
                    chance: judge.chance,
                    wrong: judge.wrong,
                    surest_wrong: judge.surest_wrong.into_items(),
                    id_shift: judge.shifts.shift(self.options.label_offset),
                    labels: entry.labels,
                    label_difference,
                }
            }),
        };
        let runs = self.entries.into_iter().zip(differences);
        EvaluationReport {
            runs: runs.map(run).collect(),
            reference: self.reference,
            ground_truth,
            images: self.images,
            counted: self.counted,
            missing: self.missing,
            surplus,
            duplicates: self.duplicates,
            failures: self.failures,
            top: self.options.top,
            limits: self.options.limits,
            machine: Machine::current(),
        }
    }
}

/// Returns the place of the reference, if there is a run for it.
fn reference(
    entries: &[RunEntry],
    options: &EvaluationOptions,
) -> Result<Option<usize>, EvaluationError> {
    let Some(name) = &options.reference else {
        // Also if it failed: another one would let gates pass that compare with it.
        return Ok((!entries.is_empty()).then_some(0));
    };
    let place = entries.iter().position(|entry| entry.name == *name);
    let unknown = || EvaluationError::UnknownReference {
        reference: name.clone(),
    };
    place.ok_or_else(unknown).map(Some)
}

/// Returns the places of the runs that may be judged, before outputs decide the scores of those that do not tell them.
///
/// # Errors
///
/// [`EvaluationError::UnknownReference`].
pub(super) fn judged_places(
    entries: &[RunEntry],
    truth: &GroundTruth,
    options: &EvaluationOptions,
    images: &[PathBuf],
) -> Result<Vec<usize>, EvaluationError> {
    reference(entries, options)?;
    let may_be_judged = |(place, entry): (usize, &RunEntry)| {
        let info = entry.info.as_ref().ok()?;
        let labels = entry.labels.as_ref();
        check_recorded(entries, info, options).ok()?;
        let check = || check_run(info, labels, truth, options, images);
        (info.interpretation.is_none() || check().is_ok()).then_some(place)
    };
    Ok(entries
        .iter()
        .enumerate()
        .filter_map(may_be_judged)
        .collect())
}

/// Checks that a run may be compared with recorded ones.
fn check_recorded(
    entries: &[RunEntry],
    info: &RunInfo,
    options: &EvaluationOptions,
) -> Result<(), EvaluationError> {
    if options.other_model {
        return Ok(());
    }
    check_model(entries, info)
}

/// Checks that the ground truth can be used for a run.
fn check_run(
    info: &RunInfo,
    labels: Option<&Labels>,
    truth: &GroundTruth,
    options: &EvaluationOptions,
    images: &[PathBuf],
) -> Result<(), EvaluationError> {
    let scoring = interpretation(info).scoring;
    if info.classes == Some(1) {
        check_ranks(scoring, 1)?;
    }
    let classes = output_classes(info, labels);
    let lookup = ClassLookup::new(labels, options.label_offset);
    let lookup = truth.found_by(lookup, images, classes);
    if let Some(directory) = truth.only_directory(images)
        && let Err(error) = lookup.find(&[&directory], info.classes)
        && !matches!(error, GroundTruthError::NumberOrLabel { .. })
    {
        return Err(GroundTruthError::OneDirectory {
            directory,
            images: images.len(),
        }
        .into());
    }
    for image in images.iter().filter(|_| labels.is_none()) {
        let written = truth.written(image).unwrap_or_default();
        if let Some(class) = lookup.needs_labels(&written) {
            return Err(EvaluationError::NoLabels {
                class: class.to_owned(),
            });
        }
    }
    if !scoring.is_multi_label() {
        truth.check_single(&lookup)?;
    }
    for limit in &options.limits.metrics {
        limit.metric.check(scoring, classes, labels)?;
    }
    check_classes(&lookup, classes, truth, images)
}

/// Checks that the model has the classes of the images: a wrong directory is one error, not one for each image.
fn check_classes(
    lookup: &ClassLookup,
    classes: Option<usize>,
    truth: &GroundTruth,
    images: &[PathBuf],
) -> Result<(), EvaluationError> {
    truth.check_directories(lookup, classes)?;
    let mut of = 0;
    // Images with numbers that could be ids or labels, and images with classes that the model lacks.
    let mut failed = [(0, None), (0, None)];
    // The same classes are looked up once.
    let mut known: HashMap<Vec<String>, Option<usize>> = HashMap::new();
    for image in images {
        let Some(written) = owned(truth.written(image)) else {
            continue;
        };
        of += 1;
        let kind = known.get(&written).copied().unwrap_or_else(|| {
            let error = lookup.find(&written, classes).err();
            let kind = error.map(|error| {
                let kind = usize::from(!matches!(error, GroundTruthError::NumberOrLabel { .. }));
                let first = || (image.clone(), lookup.with_nearest(error));
                failed[kind].1.get_or_insert_with(first);
                kind
            });
            known.insert(written, kind);
            kind
        });
        if let Some(kind) = kind {
            failed[kind].0 += 1;
        }
    }
    match failed {
        // The error of a single image names the image.
        _ if of == 1 => Ok(()),
        [(images, Some((first, source))), _] => Err(EvaluationError::NumbersOrLabels {
            images,
            of,
            first,
            source,
        }),
        [_, (images, Some((_, source)))] if images == of => {
            Err(EvaluationError::NoClasses { images, source })
        }
        [_, (images, Some((first, source)))] => Err(EvaluationError::UnknownClasses {
            images,
            of,
            first,
            source,
        }),
        _ => Ok(()),
    }
}

/// Returns the number of classes that a run's answers have, if it is known.
fn output_classes(info: &RunInfo, labels: Option<&Labels>) -> Option<usize> {
    match interpretation(info).scoring {
        Scoring::ClassIds => labels.map(Labels::len),
        _ => info.classes,
    }
}

/// Returns the score rule. If it is unknown, outputs are taken as they are.
fn interpretation(info: &RunInfo) -> Interpretation {
    info.interpretation.unwrap_or(Interpretation::RAW)
}

/// Checks that scores rank classes. A single value does so only as a probability or a logit.
fn check_ranks(scoring: Scoring, classes: usize) -> Result<(), EvaluationError> {
    if scoring == Scoring::Raw && classes == 1 {
        return Err(EvaluationError::SingleValue);
    }
    Ok(())
}

/// Compares the labels of every run with the reference, or with the first run if that failed.
fn label_differences(entries: &[RunEntry], reference: usize) -> Vec<Option<LabelDifference>> {
    let classes = |entry: &RunEntry| Some(entry.info.as_ref().ok()?.classes);
    let first = entries.get(reference).filter(|entry| entry.info.is_ok());
    let first = first.or_else(|| entries.iter().find(|entry| entry.info.is_ok()));
    let difference = |entry: &RunEntry| {
        let first = first?;
        LabelDifference::between(
            (first.labels.as_ref(), classes(first)?),
            (entry.labels.as_ref(), classes(entry)?),
        )
    };
    entries.iter().map(difference).collect()
}

/// A judged answer, with the right classes by the ids of its run.
#[derive(Clone)]
struct Answer {
    truth: Vec<usize>,
    /// The best class, or the classes that a multi-label model gives.
    given: Vec<usize>,
    judged: Judged,
    /// The [`TOP`] best classes.
    top: Vec<Ranked>,
}

/// The number of best classes that reports show.
const TOP: usize = 5;

impl Answer {
    fn is_right(&self, criterion: Criterion) -> bool {
        match criterion {
            Criterion::Top1 => self.judged.is_right(),
            Criterion::ExactMatch => self.given == self.truth,
        }
    }

    fn row(&self) -> JudgedRow {
        JudgedRow {
            right: self.given == self.truth,
            truth: self.truth.clone(),
            answer: self.given.clone(),
            rank: self.judged.rank,
            score: self.judged.best_score,
            truth_score: self.judged.score,
            change: None,
        }
    }
}

/// Judges the answers of one run by its own labels.
#[derive(Debug)]
struct Judge {
    /// The place of the run among all.
    place: usize,
    interpretation: Interpretation,
    lookup: ClassLookup,
    /// The number of labels, which bounds class ids.
    labels: Option<usize>,
    accuracy: Accuracy,
    changes: Changes,
    /// The reference's answers on the images that both answered.
    chance: Chance,
    wrong: Vec<WrongAnswer>,
    surest_wrong: Largest<ListedAnswer>,
    shifts: ShiftCounts,
}

impl Judge {
    fn new(
        place: usize,
        info: &RunInfo,
        (lookup, labels): (ClassLookup, Option<usize>),
        chance: Chance,
        options: &EvaluationOptions,
    ) -> Self {
        let interpretation = interpretation(info);
        Self {
            place,
            interpretation,
            lookup,
            labels,
            accuracy: Accuracy::new(interpretation.scoring, options.threshold),
            changes: Changes::new(chance.criterion()),
            chance,
            wrong: Vec::new(),
            surest_wrong: Largest::new(RunResults::LISTED),
            shifts: ShiftCounts::default(),
        }
    }

    fn judge(
        &mut self,
        image: usize,
        written: &[String],
        output: &Tensor,
        most: usize,
    ) -> Result<Answer, EvaluationError> {
        let scores = self.interpretation.scores(output)?;
        let scoring = scores.scoring();
        check_ranks(scoring, scores.values().len())?;
        let classes = match scoring {
            Scoring::ClassIds => self.labels,
            _ => Some(scores.values().len()),
        };
        let truth = self.lookup.classes(written, classes)?;
        if truth.len() != 1 && !scoring.is_multi_label() {
            return Err(EvaluationError::NotOneClass {
                classes: written.to_vec(),
            });
        }
        let mut judged = self.accuracy.add(&truth, &scores, most);
        if let ([written], [truth]) = (written, &*truth)
            && self.lookup.is_id(written, classes)
            && !scoring.is_multi_label()
        {
            self.shifts.add(*truth, judged.best);
        }
        let top = scores.top(TOP);
        let given = judged.wrong.clone().unwrap_or_else(|| truth.clone());
        if let Some(answer) = judged.wrong.take() {
            let score = judged.best_score.unwrap_or(f64::NEG_INFINITY);
            self.surest_wrong.add(score, || ListedAnswer {
                image,
                truth: truth.clone(),
                top: top.clone(),
            });
            self.wrong.push(WrongAnswer {
                image,
                truth: truth.clone(),
                answer,
            });
        }
        Ok(Answer {
            truth,
            given,
            judged,
            top,
        })
    }
}

fn owned(written: Option<Vec<Cow<'_, str>>>) -> Option<Vec<String>> {
    Some(written?.into_iter().map(Cow::into_owned).collect())
}
