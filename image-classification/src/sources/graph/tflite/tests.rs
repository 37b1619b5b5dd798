use super::*;
use crate::sources::graph::JOINED_IDS;

/// A graph of `operators` (code, inputs, output) on tensors with these dimensions. Tensor 0 is the image, 1 the pooled
/// image, 2 are weights, 3 logits of 5 classes. `outputs` are those of the graph.
fn ends_of(operators: &[(i32, &[i32], i32)], more: &[&[i32]], outputs: &[i32]) -> Vec<End> {
    let first: [&[i32]; 4] = [&[1, 8, 8, 3], &[1, 3], &[5, 3], &[1, 5]];
    let tensor = |(number, shape): (usize, &&[i32])| Tensor {
        name: format!("t{number}"),
        shape: shape.to_vec(),
        element_type: TensorType::F32,
        quantization: None,
        is_constant: number == 2,
        bytes: 0,
    };
    let made = [
        (Operator::MEAN, &[0][..], 1),
        (Operator::FULLY_CONNECTED, &[1, 2], 3),
    ];
    let operator = |&(code, inputs, output): &(i32, &[i32], i32)| Operator {
        code,
        inputs: inputs.to_vec(),
        outputs: vec![output],
        activation: 0,
    };
    find(&Graph {
        tensors: first.iter().chain(more).enumerate().map(tensor).collect(),
        inputs: vec![0],
        outputs: outputs.to_vec(),
        operators: made.iter().chain(operators).map(operator).collect(),
    })
}

fn end_of(operators: &[(i32, &[i32], i32)], more: &[&[i32]]) -> End {
    let last = 3 + i32::try_from(more.len()).unwrap();
    ends_of(operators, more, &[last]).remove(0)
}

fn kind_of(end: &End) -> Option<OutputKind> {
    end.settings.output.as_ref().map(|stated| stated.value)
}

#[test]
fn a_one_hot_of_the_best_class_is_no_distribution() {
    let nodes = [
        (Operator::ARG_MAX, &[3][..], 4),
        (Operator::ONE_HOT, &[4, 2], 5),
    ];
    let end = end_of(&nodes, &[&[1], &[1, 5]]);
    assert_eq!(kind_of(&end), Some(OutputKind::OneHot));
}

#[test]
fn joined_heads_are_no_single_classifier() {
    let join = |code: i32, shape: &[i32]| {
        let nodes = [(code, &[3][..], 4), (Operator::CONCATENATION, &[4, 3], 5)];
        end_of(&nodes, &[&[1, 5], shape])
    };
    let softmax = join(Operator::SOFTMAX, &[1, 10]);
    assert_eq!(
        softmax.heads.unwrap().to_string(),
        "2 values (probabilities, logits)"
    );
    let relu = join(Operator::RELU, &[1, 10]);
    assert!(relu.heads.unwrap().check(false).is_ok());
    assert_eq!(join(Operator::RELU, &[2, 5]).heads, None, "batches");
    let sigmoids = [
        (Operator::LOGISTIC, &[3][..], 4),
        (Operator::CONCATENATION, &[4, 4], 5),
    ];
    let sigmoids = end_of(&sigmoids, &[&[1, 5], &[1, 10]]);
    let independent = Some(OutputKind::IndependentProbabilities);
    assert_eq!((kind_of(&sigmoids), sigmoids.heads), (independent, None));
    // As Keras writes `tf.stack` and a reshape.
    let packed = [
        (Operator::SOFTMAX, &[3][..], 4),
        (Operator::PACK, &[4, 4], 5),
        (Operator::RESHAPE, &[5, 2], 6),
    ];
    let packed = end_of(&packed, &[&[1, 5], &[1, 2, 5], &[1, 10]]);
    assert!(packed.heads.unwrap().check(false).is_err());
    let with_constant = end_of(&[(Operator::CONCATENATION, &[2, 3], 4)], &[&[1, 6]]);
    assert_eq!(with_constant.heads, None);
    let ids = [
        (Operator::ARG_MAX, &[3][..], 4),
        (Operator::CONCATENATION, &[4, 4], 5),
    ];
    let reason = end_of(&ids, &[&[1], &[2]]).no_classes.unwrap();
    assert_eq!(reason, ("CONCATENATION".to_owned(), JOINED_IDS));
}

#[test]
fn any_number_of_joined_sigmoids_is_independent() {
    let independent = Some(OutputKind::IndependentProbabilities);
    for code in [Operator::CONCATENATION, Operator::PACK] {
        for count in [1, 2, 300] {
            let joined = vec![4; count as usize];
            let nodes = [(Operator::LOGISTIC, &[3][..], 4), (code, &joined, 5)];
            let end = end_of(&nodes, &[&[1, 5], &[1, 5 * count]]);
            assert_eq!((kind_of(&end), end.heads), (independent, None), "{count}");
        }
    }
}

#[test]
fn the_mean_of_an_ensemble_is_one_classifier() {
    for code in [Operator::SOFTMAX, Operator::RELU] {
        let nodes = [
            (code, &[3][..], 4),
            (Operator::PACK, &[4, 4], 5),
            (Operator::MEAN, &[5, 2], 6),
        ];
        let end = end_of(&nodes, &[&[1, 5], &[1, 2, 5], &[1, 5]]);
        assert_eq!(end.heads, None, "{code}");
    }
}

#[test]
fn features_are_not_the_scores_of_class_ids() {
    let ids = (Operator::ARG_MAX, &[3][..], 4);
    let found = ends_of(&[ids], &[&[1]], &[1, 3, 4]);
    let ids = found.last().unwrap();
    assert_eq!((&ids.related[..], &ids.unrelated[..]), (&[1][..], &[0][..]));
}
