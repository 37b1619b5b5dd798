//! Metrics on recorded outputs, against the values of scikit-learn and torchmetrics: `tests/reference/metrics.py` and
//! `metrics_torch.py` write them.

use backend_api::Tensor;
use classify_tests::small_model;
use evaluation::accuracy::{Accuracy, Metric};
use image_classification::{Interpretation, Scoring};
use serde_json::Value;

/// Returns the counts of the outputs of a case.
fn accuracy(case: &Value) -> Accuracy {
    let scoring = match case["scores"].as_str().unwrap() {
        "softmax" => Scoring::Softmax,
        _ => Scoring::Sigmoid,
    };
    let mut accuracy = Accuracy::new(scoring, 0.5);
    let [truth, outputs] = ["truth", "outputs"].map(|key| case[key].as_array().unwrap());
    for (truth, output) in truth.iter().zip(outputs) {
        let truth: Vec<usize> = serde_json::from_value(truth.clone()).unwrap();
        let output: Vec<f32> = serde_json::from_value(output.clone()).unwrap();
        let output = Tensor::new([1, output.len()], output).unwrap();
        let scores = Interpretation::plain(scoring).scores(&output).unwrap();
        accuracy.add(&truth, &scores, 5);
    }
    accuracy
}

fn cases(file: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(small_model(file)).unwrap()).unwrap()
}

/// Compares the metrics of all cases; `expected` has the values of each by their names.
fn compare(cases: &[Value], expected: &[Value], most: f64) {
    assert_eq!((cases.len(), expected.len()), (6, 6));
    let mut compared = 0;
    for (number, (case, expected)) in cases.iter().zip(expected).enumerate() {
        let accuracy = accuracy(case);
        for (name, expected) in expected.as_object().unwrap() {
            let metric: Metric = name.parse().unwrap();
            let found = metric.value(&accuracy, None).unwrap();
            let expected = expected.as_f64().unwrap();
            assert!(
                (found - expected).abs() < most,
                "case {number}, {name}: {found}, not {expected}"
            );
            compared += 1;
        }
    }
    assert!(compared > 150, "{compared} values");
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let cases = cases("metrics.json");
    let expected: Vec<Value> = cases.iter().map(|case| case["metrics"].clone()).collect();
    compare(&cases, &expected, 1e-12);
}

#[test]
fn metrics_are_those_of_torchmetrics() {
    // It counts in single precision.
    compare(&cases("metrics.json"), &cases("metrics-torch.json"), 1e-6);
}

#[test]
fn metrics_without_cases_have_no_value() {
    let value = |scoring, truth: &[usize], output: &[f32], name: &str| {
        let mut accuracy = Accuracy::new(scoring, 0.5);
        let output = Tensor::new([1, output.len()], output.to_vec()).unwrap();
        let scores = Interpretation::plain(scoring).scores(&output).unwrap();
        accuracy.add(truth, &scores, 5);
        let value = name.parse::<Metric>().unwrap().value(&accuracy, None);
        value.map_err(|error| error.to_string())
    };
    let both = "the images do not show both classes";
    assert_eq!(
        value(Scoring::Softmax, &[1], &[0.0, 1.0], "roc-auc").unwrap_err(),
        both
    );
    assert_eq!(value(Scoring::Softmax, &[1], &[0.0, 1.0], "f1:1"), Ok(1.0));
    assert!(value(Scoring::Softmax, &[1], &[0.0, 1.0], "f1:0").is_err());
    assert!(value(Scoring::Softmax, &[1], &[0.0, 1.0], "map").is_err());
    assert!(value(Scoring::Sigmoid, &[], &[0.0, 1.0], "map").is_err());
    assert!(value(Scoring::Sigmoid, &[0], &[0.0, 1.0], "ap:1").is_err());
    assert!(value(Scoring::Sigmoid, &[0], &[0.0, 1.0], "mcc").is_err());
    let empty = Accuracy::new(Scoring::Softmax, 0.5);
    assert!(
        "top1"
            .parse::<Metric>()
            .unwrap()
            .value(&empty, None)
            .is_err()
    );
}
