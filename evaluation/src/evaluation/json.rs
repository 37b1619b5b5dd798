//! The JSON report of an evaluation: `docs/compare.md` names its keys.

use image_classification::Labels;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::changes::{ChangedAnswer, ChangedClass};
use super::report::{EvaluationReport, RunResults};
use crate::accuracy::{Bin, Counts, Decisions, MultiLabel, OfClass, SingleLabel, all_metrics};
use crate::statistics::mcnemar;

impl Serialize for EvaluationReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        report(self).serialize(serializer)
    }
}

/// Returns the whole report.
fn report(evaluation: &EvaluationReport) -> Value {
    let path = |image: usize| evaluation.images[image].to_string_lossy();
    let missing = evaluation.missing.iter();
    let surplus = evaluation.surplus.iter();
    let failures = evaluation
        .failures
        .iter()
        .map(|failure| failure.json(&evaluation.images, |run| &evaluation.runs[run].name));
    json!({
        "schema_version": 1,
        "kind": "evaluate",
        "verdict": evaluation.verdict(),
        "summary": evaluation.summary(),
        "machine": evaluation.machine,
        "ground_truth": evaluation.ground_truth,
        "pictures": evaluation.images.len(),
        "counted": evaluation.counted,
        "with_truth": evaluation.with_truth(),
        "without_truth": missing.map(|image| path(*image)).collect::<Vec<_>>(),
        "without_picture": surplus.map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "duplicates": evaluation.duplicates.json(&evaluation.images),
        "gates": evaluation.truth_gate().into_iter().collect::<Vec<_>>(),
        "runs": (0..evaluation.runs.len()).map(|run| of_run(evaluation, run)).collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn of_run(evaluation: &EvaluationReport, index: usize) -> Value {
    let run = &evaluation.runs[index];
    let is_reference = index == evaluation.reference;
    let mut value = json!({ "name": run.name, "reference": is_reference });
    let results = match &run.results {
        Ok(results) => results,
        Err(error) => {
            value["error"] = json!(error);
            return value;
        }
    };
    let accuracy = &results.accuracy;
    value["facts"] = json!(results.info);
    value["labels"] = json!({
        "count": results.labels.as_ref().map(Labels::len),
        "difference": results.label_difference,
    });
    value["pictures"] = json!(accuracy.images);
    value["metrics"] = all_metrics(accuracy, evaluation.top(accuracy));
    let top = evaluation.top(accuracy);
    let top = top.map(|k| (k.to_string(), json!(accuracy.top(k))));
    value["top"] = Value::Object(top.collect());
    match &accuracy.counts {
        Counts::SingleLabel(counts) => add_single_label(evaluation, results, counts, &mut value),
        Counts::MultiLabel(counts) => add_multi_label(evaluation, results, counts, &mut value),
    }
    if !is_reference && evaluation.reference_results().is_some() {
        value["against_reference"] = against_reference(evaluation, index, results);
    }
    value["gates"] = json!(evaluation.gates(index));
    value
}

fn against_reference(evaluation: &EvaluationReport, run: usize, results: &RunResults) -> Value {
    let changes = &results.changes;
    let [reference, own] = changes.right_alone();
    let is_single = matches!(results.accuracy.counts, Counts::SingleLabel(_));
    let answers = |all: &[ChangedAnswer]| -> Value {
        let answer = |changed: &ChangedAnswer| {
            let mut value = json!({
                "path": evaluation.images[changed.image].to_string_lossy(),
                "answer": changed.answer,
                "reference_answer": changed.reference_answer,
                "score": changed.score,
                "reference_score": changed.reference_score,
            });
            if is_single {
                value["class_id"] = json!(changed.truth.first());
            } else {
                value["class_ids"] = json!(changed.truth);
            }
            value
        };
        all.iter().map(answer).collect()
    };
    let class = |class: &ChangedClass| {
        json!({
            "class_id": class.class_id,
            "label": label(results, class.class_id),
            "lost": class.lost,
            "gained": class.gained,
        })
    };
    json!({
        "right_alone": own,
        "reference_right_alone": reference,
        "mcnemar_p": mcnemar(reference, own),
        "pictures": changes.images,
        "drop": evaluation.drop(run).map(|drop| json!({
            "share": drop.share,
            "low": drop.low,
            "high": drop.high,
        })),
        "new_errors": answers(changes.new_errors()),
        "corrected": answers(changes.corrected()),
        "classes": changes.classes().iter().map(class).collect::<Vec<_>>(),
    })
}

fn label(results: &RunResults, class_id: usize) -> Option<&str> {
    results.labels.as_ref()?.get(class_id)
}

fn add_single_label(
    evaluation: &EvaluationReport,
    results: &RunResults,
    counts: &SingleLabel,
    value: &mut Value,
) {
    value["mean_per_class"] = json!(counts.mean_per_class());
    value["intervals"] = json!({ "mean_per_class": counts.mean_per_class_interval() });
    let decisions = counts.decisions();
    let class = |(class_id, of): (&usize, &OfClass)| {
        let quality = decisions
            .get(class_id)
            .copied()
            .unwrap_or_default()
            .quality();
        json!({
            "class_id": class_id,
            "label": label(results, *class_id),
            "pictures": of.images,
            "top1": of.top1,
            "precision": quality.precision,
            "recall": quality.recall,
            "f1": quality.f1,
        })
    };
    value["classes"] = counts.classes.iter().map(class).collect();
    let confusion = |(truth, answer, count): (usize, usize, usize)| json!({ "class_id": truth, "taken_for": answer, "count": count });
    let confusions = counts.confusions(usize::MAX).into_iter();
    value["confusions"] = confusions.map(confusion).collect();
    if let Some(calibration) = &counts.calibration {
        value["expected_calibration_error"] = json!(calibration.error());
        value["calibrated_expected_calibration_error"] = json!(calibration.calibrated());
        let bin = |bin: &Bin| {
            json!({
                "pictures": bin.images,
                "right": bin.right,
                "confidence": bin.mean_confidence(),
            })
        };
        value["calibration"] = calibration.bins.iter().map(bin).collect();
    }
    let wrong = results.wrong.iter().map(|wrong| {
        json!({
            "path": evaluation.images[wrong.image].to_string_lossy(),
            "class_id": wrong.truth.first(),
            "answer": wrong.answer.first(),
        })
    });
    value["wrong"] = wrong.collect();
}

fn add_multi_label(
    evaluation: &EvaluationReport,
    results: &RunResults,
    counts: &MultiLabel,
    value: &mut Value,
) {
    value["multi_label"] = json!({
        "threshold": counts.threshold,
        "exact_match": counts.exact_match(),
        "micro": counts.total().quality(),
        "macro": counts.mean(),
    });
    let class = |(class_id, of): (&usize, &Decisions)| {
        let quality = of.quality();
        json!({
            "class_id": class_id,
            "label": label(results, *class_id),
            "pictures": of.images(),
            "true_positives": of.true_positives,
            "false_positives": of.false_positives,
            "false_negatives": of.false_negatives,
            "precision": quality.precision,
            "recall": quality.recall,
            "f1": quality.f1,
        })
    };
    value["classes"] = counts.classes.iter().map(class).collect();
    let wrong = results.wrong.iter().map(|wrong| {
        json!({
            "path": evaluation.images[wrong.image].to_string_lossy(),
            "class_ids": wrong.truth,
            "answers": wrong.answer,
        })
    });
    value["wrong"] = wrong.collect();
}
