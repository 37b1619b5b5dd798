use backend_api::Tensor;
use image_classification::{Interpretation, Scoring};

use super::*;
use crate::agreement::ToleranceName;

fn difference(top1_match: bool, max_delta: f64) -> Difference {
    Difference::Finite(Values {
        top1_match,
        top1_match_but_ties: top1_match,
        ordered_match: top1_match,
        ordered_match_but_ties: top1_match,
        informative: true,
        shared: if top1_match { 2 } else { 1 },
        of: 2,
        rank: if top1_match { 1 } else { 2 },
        max_delta: Some(max_delta),
        max_logit_delta: None,
        mean_logit_delta: None,
        relative_error: Some(max_delta),
        cosine: Some(1.0),
        cosine_distance: Some(0.0),
        kl_divergence: None,
    })
}

fn answer(values: [f32; 3]) -> Answer {
    let output = Tensor::new([1, 3], values.to_vec()).unwrap();
    let interpretation = Interpretation::plain(Scoring::Probability);
    Answer::new(&output, &interpretation, 3).unwrap()
}

fn new(tolerance: Tolerance) -> Pair {
    Pair::new(tolerance, Basis::Probabilities)
}

/// Informative answers.
fn varied() -> Variation {
    let mut variation = Variation::default();
    variation.add(&answer([0.5, 0.3, 0.2]));
    variation.add(&answer([0.1, 0.7, 0.2]));
    variation
}

/// Images with the same best class, and others.
fn pair(same: usize, other: usize, max_delta: f64, tolerance: Tolerance) -> Pair {
    let mut pair = new(tolerance);
    let answer = answer([0.5, 0.3, 0.2]);
    for image in 0..same + other {
        let difference = difference(image < same, max_delta);
        pair.add(image, [&answer, &answer], difference).unwrap();
    }
    pair
}

fn failed(pair: &Pair) -> Vec<&'static str> {
    let gates = pair.gates(&varied());
    gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(|gate| gate.name)
        .collect()
}

#[test]
fn f32_takes_neither_another_order_nor_a_difference() {
    let f32 = Tolerance::named(ToleranceName::F32);
    assert_eq!(failed(&pair(5, 0, 1e-3, f32)), ["max-delta"]);
    assert_eq!(failed(&pair(4, 1, 1e-3, f32)), ["max-delta", "order"]);
    assert_eq!(pair(1, 0, 1e-4, f32).verdict(&varied()), Verdict::Agree);
    let nothing = new(f32);
    assert_eq!(nothing.verdict(&varied()), Verdict::CouldNotCompare);
    assert!(nothing.gates(&varied()).is_empty());
}

#[test]
fn a_share_decides_for_any_number_of_images() {
    let bf16 = Tolerance::named(ToleranceName::Bf16);
    for (same, other, passes) in [
        (27, 1, false),
        (95, 4, false),
        (97, 3, false),
        (49, 1, true),
        (98, 2, true),
        (1, 0, true),
    ] {
        let failed = failed(&pair(same, other, 1e-3, bf16));
        assert_eq!(failed.is_empty(), passes, "{same} and {other}: {failed:?}");
    }
    let remark = |same, other| {
        let gates = pair(same, other, 1e-3, bf16).gates(&varied());
        let top1 = gates.into_iter().find(|gate| gate.name == "top1").unwrap();
        top1.remark
    };
    assert_eq!(
        remark(28, 0).unwrap(),
        "too few images to establish 98 %: the 95 % interval begins at 87.9 %; 189 images without a miss are needed"
    );
    assert!(remark(188, 0).is_some() && remark(189, 0).is_none());
    // A failed gate needs no remark.
    assert_eq!(remark(27, 1), None);
}

#[test]
fn a_mean_overlap_at_its_limit_passes() {
    let other = |values: [f32; 4]| {
        let output = Tensor::new([1, 4], values.to_vec()).unwrap();
        Answer::new(&output, &Interpretation::RAW, 3).unwrap()
    };
    let reference = other([0.5, 0.3, 0.2, 0.1]);
    let tie = Tolerance::named(ToleranceName::F32).ties();
    let with = |least: &str, images: usize| {
        let mut pair = new(Tolerance {
            min_overlap: Some(least.parse().unwrap()),
            ..Tolerance::named(ToleranceName::F32)
        });
        for image in 0..images {
            // Every tenth lacks one.
            let run = if image % 10 == 0 {
                other([0.5, 0.3, 0.2, 0.25])
            } else {
                reference.clone()
            };
            let difference = Difference::new(&reference, &run, tie);
            pair.add(image, [&reference, &run], difference).unwrap();
        }
        failed(&pair)
    };
    // 29 of 30 classes are common.
    let overlap_failed = |least, images| with(least, images).contains(&"overlap");
    assert!(!overlap_failed("0.966", 10));
    assert!(overlap_failed("0.967", 10));
    assert!(overlap_failed("0.966666666666666667", 1000));
    assert!(!overlap_failed("0.966666666666666666", 1000));
}

#[test]
fn what_is_beyond_a_limit_is_worse_than_another_best_class_within_it() {
    let answer = answer([0.5, 0.3, 0.2]);
    let mut pair = new(Tolerance::named(ToleranceName::Bf16));
    for (image, (same, max_delta)) in [(false, 0.01), (true, 0.35), (true, 0.02)]
        .into_iter()
        .enumerate()
    {
        let difference = difference(same, max_delta);
        pair.add(image, [&answer, &answer], difference).unwrap();
    }
    let worst: Vec<usize> = pair.worst.iter().map(|worst| worst.row.image).collect();
    assert_eq!(worst, [1, 0, 2]);
}

#[test]
fn what_is_not_finite_is_worst_and_never_agrees() {
    let reference = answer([0.5, 0.3, 0.2]);
    let others = [
        [0.5, 0.3, 0.2],
        [0.45, 0.35, 0.2],
        [f32::NAN, 0.0, 0.0],
        [0.4, 0.41, 0.19],
        [0.45, 0.35, 0.2],
    ];
    let tolerance = Tolerance::named(ToleranceName::Int8);
    let mut pair = new(tolerance);
    for (image, values) in others.into_iter().enumerate() {
        let run = answer(values);
        let difference = Difference::new(&reference, &run, tolerance.ties());
        pair.add(image, [&reference, &run], difference).unwrap();
    }
    let worst: Vec<usize> = pair.worst.iter().map(|worst| worst.row.image).collect();
    assert_eq!(worst, [2, 3, 1, 4, 0]);
    assert!(failed(&pair).contains(&"finite"));
    assert!((pair.overlap() - 4.0 / 5.0).abs() < 1e-12);
    let distributions = pair.distributions().unwrap();
    let (key, _, largest) = distributions[0];
    assert_eq!(key, "max_delta");
    assert!((largest.max - 0.11).abs() < 1e-6 && (largest.p50 - 0.05).abs() < 1e-6);
}

#[test]
fn no_limit_holds_for_images_that_are_all_not_finite() {
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut pair = new(tolerance);
    let (reference, run) = (answer([0.5, 0.3, 0.2]), answer([f32::NAN, 0.0, 0.0]));
    let difference = Difference::new(&reference, &run, tolerance.ties());
    pair.add(0, [&reference, &run], difference).unwrap();
    let gates = pair.gates(&Variation::default());
    let judged: Vec<_> = gates.iter().map(|gate| (gate.name, gate.passed)).collect();
    assert_eq!(judged, [("finite", false)]);
    assert_eq!(pair.verdict(&Variation::default()), Verdict::Disagree);
}

#[test]
fn scores_that_round_to_other_digits_are_other_text() {
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut pair = new(tolerance);
    let reference = answer([0.5, 0.300_049, 0.2]);
    for (image, values) in [
        // 0.3000 and 0.3000.
        [0.5, 0.300_001, 0.2],
        // 0.3000 and 0.3001.
        [0.5, 0.300_051, 0.2],
        // Other classes.
        [0.3, 0.5, 0.2],
        [f32::NAN, 0.0, 0.0],
    ]
    .into_iter()
    .enumerate()
    {
        let run = answer(values);
        let difference = Difference::new(&reference, &run, tolerance.ties());
        pair.add(image, [&reference, &run], difference).unwrap();
    }
    assert_eq!(pair.identical_text(), Rate::new(1, 4));
    assert_eq!((pair.ordered_match().count, pair.other_digits()), (2, 1));
}

#[test]
fn answers_that_do_not_depend_on_the_image_compare_nothing() {
    let f32 = Tolerance::named(ToleranceName::F32);
    let mut constant = Variation::default();
    for _ in 0..5 {
        constant.add(&answer([0.5, 0.3, 0.2]));
    }
    let same = pair(5, 0, 0.0, f32);
    assert_eq!(same.verdict(&constant), Verdict::CouldNotCompare);
    // A difference in spite of that counts.
    assert_eq!(pair(5, 0, 1e-3, f32).verdict(&constant), Verdict::Disagree);
}

#[test]
fn logits_that_differ_where_the_softmax_saturates_disagree() {
    let logits = |values: [f32; 3]| {
        let output = Tensor::new([1, 3], values.to_vec()).unwrap();
        let interpretation = Interpretation::plain(Scoring::Softmax);
        Answer::new(&output, &interpretation, 3).unwrap()
    };
    let tolerance = Tolerance::named(ToleranceName::F32);
    let mut pair = Pair::new(tolerance, Basis::Logits);
    let (one, other) = (logits([900.0, 100.0, 50.0]), logits([1170.0, 130.0, 65.0]));
    let difference = Difference::new(&one, &other, tolerance.ties());
    pair.add(0, [&one, &other], difference).unwrap();
    assert_eq!(failed(&pair), ["logits"]);
}

#[test]
fn probabilities_that_saturate_in_the_model_are_a_remark() {
    let tolerance = Tolerance::named(ToleranceName::F16);
    let remark = |others: &[[f32; 3]]| {
        let mut pair = new(tolerance);
        let reference = answer([0.999_99, 1e-5, 1e-7]);
        for (image, values) in others.iter().enumerate() {
            let run = answer(*values);
            let difference = Difference::new(&reference, &run, tolerance.ties());
            pair.add(image, [&reference, &run], difference).unwrap();
        }
        let mut gates = pair.gates(&varied()).into_iter();
        gates.find(|gate| gate.name == Gate::MAX_DELTA)?.remark
    };
    let other = [0.999_99, 1e-5, 1e-7];
    let text = remark(&[[1.0, 0.0, 0.0], other]).unwrap();
    assert!(
        text.starts_with("for 1 of 2 images a run has only"),
        "{text}"
    );
    assert!(remark(&[other]).is_none());
    assert!(remark(&[[0.0, 1.0, 0.0]]).is_none(), "the gate failed");
}

#[test]
fn a_number_added_to_all_logits_hides_no_error() {
    let tolerance = Tolerance::named(ToleranceName::F32);
    for scorings in [
        [Scoring::Softmax, Scoring::Softmax],
        [Scoring::LogProbability, Scoring::LogProbability],
        [Scoring::Softmax, Scoring::LogProbability],
    ] {
        let answer = |values: [f32; 3], scoring| {
            let output = Tensor::new([1, 3], values.to_vec()).unwrap();
            Answer::new(&output, &Interpretation::plain(scoring), 3).unwrap()
        };
        let basis = Basis::of(scorings[0], scorings[1]).unwrap();
        let mut same = Pair::new(tolerance, basis);
        let one = answer([900.0, 100.0, 50.0], scorings[0]);
        let shifted = answer([1900.0, 1100.0, 1050.0], scorings[1]);
        let difference = Difference::new(&one, &shifted, tolerance.ties());
        same.add(0, [&one, &shifted], difference).unwrap();
        assert!(failed(&same).is_empty(), "{scorings:?}");
        let mut other = Pair::new(tolerance, basis);
        let one = answer([1_000_900.0, 1_000_100.0, 1_000_050.0], scorings[0]);
        let off = answer([1_000_900.0, 1_000_130.0, 1_000_050.0], scorings[1]);
        let difference = Difference::new(&one, &off, tolerance.ties());
        other.add(0, [&one, &off], difference).unwrap();
        assert_eq!(failed(&other), ["logits"], "{scorings:?}");
    }
}
