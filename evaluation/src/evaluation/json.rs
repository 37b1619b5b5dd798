//! The JSON report of an evaluation: `docs/compare.md` names its keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use image_classification::Labels;
use serde::{Serialize, Serializer};

use super::changes::{ChangedAnswer, ChangedClass};
use super::drop::AccuracyDrop;
use super::remarks::Remark;
use super::report::{EvaluationReport, RunResults, WrongAnswer};
use crate::accuracy::{
    Bin, Calibrated, Calibration, Counts, Criterion, Decisions, LabelDifference, MultiLabel,
    OfClass, Quality, SingleLabel, TruthSummary, all_metrics,
};
use crate::agreement::{Gate, Verdict};
use crate::duplicates::DuplicateJson;
use crate::failure::FailureJson;
use crate::provenance::{Machine, RunInfo};
use crate::statistics::{Rate, mcnemar};

/// The report of an evaluation.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct EvaluationJson<'a> {
    /// 1.
    schema_version: u32,
    /// `evaluate`.
    kind: &'static str,
    /// The verdict on all runs.
    verdict: Verdict,
    /// The verdict and its reason on one line, for people.
    summary: String,
    /// The machine that evaluated.
    machine: &'a Machine,
    /// The ground truth.
    ground_truth: &'a TruthSummary,
    /// The number of images.
    #[serde(rename = "pictures")]
    images: usize,
    /// The number of images that count: all runs answered, and there is ground truth.
    counted: usize,
    /// The number of images with ground truth.
    with_truth: usize,
    /// The images without ground truth.
    without_truth: Vec<Cow<'a, str>>,
    /// The entries of the ground truth without an image.
    #[serde(rename = "without_picture")]
    without_image: Vec<Cow<'a, str>>,
    /// The images with the content of an earlier one.
    duplicates: Vec<DuplicateJson<'a>>,
    /// The gates that are not about one run.
    gates: Vec<Gate>,
    /// Remarks on runs, such as ids of the ground truth that are off by one.
    remarks: Vec<Remark>,
    /// The runs.
    runs: Vec<RunJson<'a>>,
    /// The answers that are missing.
    failures: Vec<FailureJson<'a>>,
}

/// A run. One that failed has `name`, `reference` and `error` only.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct RunJson<'a> {
    /// The name of the run.
    name: &'a str,
    /// True for the reference.
    reference: bool,
    /// The reason why the run was not evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    results: Option<ResultsJson<'a>>,
}

/// The results of a run.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ResultsJson<'a> {
    /// The engine, the model and the preprocessing.
    facts: &'a RunInfo,
    /// The labels of the run.
    labels: LabelsJson,
    /// The number of images that count.
    #[serde(rename = "pictures")]
    images: usize,
    /// The metrics of `docs/evaluate.md` by their names.
    metrics: BTreeMap<String, f64>,
    /// Top-K accuracy by K.
    top: BTreeMap<String, Rate>,
    /// The mean of the accuracy of each class, from 0 to 1. Multi-label models have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_per_class: Option<f64>,
    /// The intervals of the means. Multi-label models have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    intervals: Option<IntervalsJson>,
    /// The numbers of a multi-label model.
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_label: Option<MultiLabelJson>,
    /// The classes that images show; of a multi-label model also those that it gives.
    classes: Vec<ClassJson<'a>>,
    /// The wrong answers, by right class and answer. Multi-label models have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    confusions: Option<Vec<ConfusionJson>>,
    #[serde(flatten)]
    calibration: Option<CalibrationJson>,
    /// The images with a wrong answer.
    wrong: Vec<WrongJson<'a>>,
    /// The comparison with the reference. The reference has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    against_reference: Option<AgainstReferenceJson<'a>>,
    /// The gates of the run.
    gates: Vec<Gate>,
}

/// The labels of a run.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct LabelsJson {
    /// The number of labels, if there are some.
    count: Option<usize>,
    /// The difference from the labels of the reference.
    difference: Option<LabelDifference>,
}

/// 95 % intervals, `[low, high]`.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct IntervalsJson {
    /// The interval of the mean per class.
    mean_per_class: Option<[f64; 2]>,
}

/// The numbers of a multi-label model.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct MultiLabelJson {
    /// The least score of a class that is an answer.
    threshold: f64,
    /// The images that get exactly their classes.
    exact_match: Rate,
    /// All decisions together.
    micro: Quality,
    /// The mean over classes.
    #[serde(rename = "macro")]
    mean: Quality,
}

/// A class. `top1` is of models with one right class, the counts of decisions of multi-label ones.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ClassJson<'a> {
    /// The id of the class.
    class_id: usize,
    /// The label of the class, if it is known.
    label: Option<&'a str>,
    /// The number of images of the class.
    #[serde(rename = "pictures")]
    images: usize,
    /// The number of them whose best class is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    top1: Option<usize>,
    #[serde(flatten)]
    decisions: Option<DecisionsJson>,
    #[serde(flatten)]
    quality: Quality,
}

/// The decisions of a multi-label model about a class.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct DecisionsJson {
    /// The class is given, and it is right.
    true_positives: usize,
    /// The class is given, but it is not right.
    false_positives: usize,
    /// The class is right, but it is not given.
    false_negatives: usize,
}

/// A class that was taken for another.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ConfusionJson {
    /// The right class.
    class_id: usize,
    /// The answer.
    taken_for: usize,
    /// The number of images.
    count: usize,
}

/// The calibration of a model whose scores are a distribution.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct CalibrationJson {
    /// The mean distance of confidence and accuracy.
    expected_calibration_error: f64,
    /// The error that a calibrated model with the same confidences would show.
    calibrated_expected_calibration_error: Option<Calibrated>,
    /// 15 bins of equal width, by the best score.
    calibration: Vec<BinJson>,
}

/// Answers of similar confidence.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct BinJson {
    /// The number of answers.
    #[serde(rename = "pictures")]
    images: usize,
    /// The number of right answers.
    right: usize,
    /// The mean of the best scores, from 0 to 1. `None` without answers.
    confidence: Option<f64>,
}

/// A wrong answer: `class_id` and `answer` for one right class, `class_ids` and `answers` for multi-label models.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
enum WrongJson<'a> {
    Single {
        /// The path of the image.
        path: Cow<'a, str>,
        /// The right class.
        class_id: Option<usize>,
        /// The best class. `None` for an answer without classes.
        answer: Option<usize>,
    },
    Multi {
        /// The path of the image.
        path: Cow<'a, str>,
        /// The right classes.
        class_ids: &'a [usize],
        /// The given classes.
        answers: &'a [usize],
    },
}

/// The comparison of a run with the reference.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct AgainstReferenceJson<'a> {
    /// The rule by which an answer is right: `exact-match` for two multi-label models, otherwise `top1`.
    judged_by: Criterion,
    /// The number of images that only the run gets right.
    right_alone: usize,
    /// The number of images that only the reference gets right.
    reference_right_alone: usize,
    /// The p of McNemar's exact test.
    mcnemar_p: f64,
    /// The number of compared images.
    #[serde(rename = "pictures")]
    images: usize,
    /// The drop of the share of right answers. `null` if no image was compared.
    drop: Option<DropJson>,
    /// The images that only the reference gets right, the largest loss of probability or margin first.
    new_errors: Vec<ChangedJson<'a>>,
    /// The images that only the run gets right, the largest gain of probability or margin first.
    corrected: Vec<ChangedJson<'a>>,
    /// The classes with such images, by what they lost.
    classes: Vec<ChangedClassJson<'a>>,
}

/// The drop of the share of right answers, with its 95 % interval.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct DropJson {
    /// The drop; it is negative for a gain.
    share: f64,
    /// The lower end.
    low: f64,
    /// The upper end.
    high: f64,
}

/// An image on which only one of two runs is right.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ChangedJson<'a> {
    /// The path of the image.
    path: Cow<'a, str>,
    /// The right class, for models with one right class.
    #[serde(skip_serializing_if = "Option::is_none")]
    class_id: Option<usize>,
    /// The right classes, for multi-label models.
    #[serde(skip_serializing_if = "Option::is_none")]
    class_ids: Option<&'a [usize]>,
    /// The best class of the run.
    answer: Option<usize>,
    /// The best class of the reference.
    reference_answer: Option<usize>,
    /// The classes that the run gives, if the exact match decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [usize]>,
    /// The classes that the reference gives, if the exact match decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_answers: Option<&'a [usize]>,
    /// The probability of the right class in the run; of several right classes, the largest.
    score: Option<f64>,
    /// The probability of the right class in the reference; of several right classes, the largest.
    reference_score: Option<f64>,
    /// The smallest distance of a score of the run from the threshold, negative if a class is on the wrong side; if the
    /// exact match decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    /// The margin of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_margin: Option<f64>,
}

/// A class with images whose answer changed.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ChangedClassJson<'a> {
    /// The id of the class.
    class_id: usize,
    /// The label of the class, if it is known.
    label: Option<&'a str>,
    /// The number of images that only the reference gets right.
    lost: usize,
    /// The number of images that only the run gets right.
    gained: usize,
}

impl Serialize for EvaluationReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        report(self).serialize(serializer)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for EvaluationReport {
    fn schema_name() -> Cow<'static, str> {
        "EvaluateReport".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        EvaluationJson::json_schema(generator)
    }
}

/// Returns the whole report.
fn report(evaluation: &EvaluationReport) -> EvaluationJson<'_> {
    let path = |image: usize| evaluation.images[image].to_string_lossy();
    let missing = evaluation.missing.iter();
    let surplus = evaluation.surplus.iter();
    let failures = evaluation
        .failures
        .iter()
        .map(|failure| failure.json(&evaluation.images, |run| &evaluation.runs[run].name));
    let runs = 0..evaluation.runs.len();
    EvaluationJson {
        schema_version: 1,
        kind: "evaluate",
        verdict: evaluation.verdict(),
        summary: evaluation.summary(),
        machine: &evaluation.machine,
        ground_truth: &evaluation.ground_truth,
        images: evaluation.images.len(),
        counted: evaluation.counted,
        with_truth: evaluation.with_truth(),
        without_truth: missing.map(|image| path(*image)).collect(),
        without_image: surplus.map(|path| path.to_string_lossy()).collect(),
        duplicates: evaluation.duplicates.json(&evaluation.images),
        gates: evaluation.truth_gate().into_iter().collect(),
        remarks: evaluation.remarks(),
        runs: runs.map(|run| of_run(evaluation, run)).collect(),
        failures: failures.collect(),
    }
}

fn of_run(evaluation: &EvaluationReport, index: usize) -> RunJson<'_> {
    let run = &evaluation.runs[index];
    let results = run.results.as_ref();
    RunJson {
        name: &run.name,
        reference: index == evaluation.reference,
        error: results.err().map(String::as_str),
        results: results
            .ok()
            .map(|results| of_results(evaluation, index, results)),
    }
}

fn of_results<'a>(
    evaluation: &'a EvaluationReport,
    run: usize,
    results: &'a RunResults,
) -> ResultsJson<'a> {
    let accuracy = &results.accuracy;
    let top = evaluation.top(accuracy);
    let is_compared = run != evaluation.reference && evaluation.reference_results().is_some();
    let mut json = ResultsJson {
        facts: &results.info,
        labels: LabelsJson {
            count: results.labels.as_ref().map(Labels::len),
            difference: results.label_difference,
        },
        images: accuracy.images,
        metrics: all_metrics(accuracy, evaluation.top(accuracy)),
        top: top.map(|k| (k.to_string(), accuracy.top(k))).collect(),
        mean_per_class: None,
        intervals: None,
        multi_label: None,
        classes: Vec::new(),
        confusions: None,
        calibration: None,
        wrong: Vec::new(),
        against_reference: is_compared.then(|| against_reference(evaluation, run, results)),
        gates: evaluation.gates(run),
    };
    match &accuracy.counts {
        Counts::SingleLabel(counts) => add_single_label(evaluation, results, counts, &mut json),
        Counts::MultiLabel(counts) => add_multi_label(evaluation, results, counts, &mut json),
    }
    json
}

fn against_reference<'a>(
    evaluation: &'a EvaluationReport,
    run: usize,
    results: &'a RunResults,
) -> AgainstReferenceJson<'a> {
    let changes = &results.changes;
    let [reference, own] = changes.right_alone();
    let is_single = matches!(results.accuracy.counts, Counts::SingleLabel(_));
    let answers = |all: &'a [ChangedAnswer]| -> Vec<ChangedJson<'a>> {
        let answer = |changed: &'a ChangedAnswer| {
            let given = changed.given.as_ref();
            ChangedJson {
                path: evaluation.images[changed.image].to_string_lossy(),
                class_id: changed.truth.first().copied().filter(|_| is_single),
                class_ids: (!is_single).then_some(&*changed.truth),
                answer: changed.answer,
                reference_answer: changed.reference_answer,
                answers: given.map(|given| &*given.run),
                reference_answers: given.map(|given| &*given.reference),
                score: changed.score,
                reference_score: changed.reference_score,
                margin: given.and_then(|given| given.margin),
                reference_margin: given.and_then(|given| given.reference_margin),
            }
        };
        all.iter().map(answer).collect()
    };
    let class = |class: ChangedClass| ChangedClassJson {
        class_id: class.class_id,
        label: label(results, class.class_id),
        lost: class.lost,
        gained: class.gained,
    };
    let drop = |AccuracyDrop {
                    share, low, high, ..
                }| DropJson { share, low, high };
    AgainstReferenceJson {
        judged_by: changes.criterion,
        right_alone: own,
        reference_right_alone: reference,
        mcnemar_p: mcnemar(reference, own),
        images: changes.images,
        drop: evaluation
            .drop(run)
            .filter(|_| changes.images > 0)
            .map(drop),
        new_errors: answers(changes.new_errors()),
        corrected: answers(changes.corrected()),
        classes: changes.classes().into_iter().map(class).collect(),
    }
}

fn label(results: &RunResults, class_id: usize) -> Option<&str> {
    results.labels.as_ref()?.get(class_id)
}

fn add_single_label<'a>(
    evaluation: &'a EvaluationReport,
    results: &'a RunResults,
    counts: &SingleLabel,
    json: &mut ResultsJson<'a>,
) {
    json.mean_per_class = Some(counts.mean_per_class());
    json.intervals = Some(IntervalsJson {
        mean_per_class: counts.mean_per_class_interval(),
    });
    let decisions = counts.decisions();
    let class = |(class_id, of): (&usize, &OfClass)| ClassJson {
        class_id: *class_id,
        label: label(results, *class_id),
        images: of.images,
        top1: Some(of.top1),
        decisions: None,
        quality: decisions
            .get(class_id)
            .copied()
            .unwrap_or_default()
            .quality(),
    };
    json.classes = counts.classes.iter().map(class).collect();
    let confusion = |(class_id, taken_for, count)| ConfusionJson {
        class_id,
        taken_for,
        count,
    };
    let confusions = counts.confusions(usize::MAX).into_iter();
    json.confusions = Some(confusions.map(confusion).collect());
    json.calibration = counts.calibration.as_deref().map(calibration);
    let wrong = |wrong: &'a WrongAnswer| WrongJson::Single {
        path: evaluation.images[wrong.image].to_string_lossy(),
        class_id: wrong.truth.first().copied(),
        answer: wrong.answer.first().copied(),
    };
    json.wrong = results.wrong.iter().map(wrong).collect();
}

fn calibration(calibration: &Calibration) -> CalibrationJson {
    let bin = |bin: &Bin| BinJson {
        images: bin.images,
        right: bin.right,
        confidence: bin.mean_confidence(),
    };
    CalibrationJson {
        expected_calibration_error: calibration.error(),
        calibrated_expected_calibration_error: calibration.calibrated(),
        calibration: calibration.bins.iter().map(bin).collect(),
    }
}

fn add_multi_label<'a>(
    evaluation: &'a EvaluationReport,
    results: &'a RunResults,
    counts: &MultiLabel,
    json: &mut ResultsJson<'a>,
) {
    json.multi_label = Some(MultiLabelJson {
        threshold: counts.threshold,
        exact_match: counts.exact_match(),
        micro: counts.total().quality(),
        mean: counts.mean(),
    });
    let class = |(class_id, of): (&usize, &Decisions)| ClassJson {
        class_id: *class_id,
        label: label(results, *class_id),
        images: of.images(),
        top1: None,
        decisions: Some(DecisionsJson {
            true_positives: of.true_positives,
            false_positives: of.false_positives,
            false_negatives: of.false_negatives,
        }),
        quality: of.quality(),
    };
    json.classes = counts.classes.iter().map(class).collect();
    let wrong = |wrong: &'a WrongAnswer| WrongJson::Multi {
        path: evaluation.images[wrong.image].to_string_lossy(),
        class_ids: &wrong.truth,
        answers: &wrong.answer,
    };
    json.wrong = results.wrong.iter().map(wrong).collect();
}
