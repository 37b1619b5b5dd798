use model_file::onnx::{Attribute, Dimension, TensorShape, TensorType, Type};

use super::*;

fn node(operator: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        op_type: Some(operator.to_owned().into()),
        input: inputs
            .iter()
            .map(|name| (*name).to_owned().into())
            .collect(),
        output: vec![output.to_owned().into()],
        ..Node::default()
    }
}

fn kind_of(nodes: Vec<Node>, dims: &[i64]) -> Option<OutputKind> {
    let end = end_of(nodes, dims);
    end.settings.output.map(|stated| stated.value)
}

fn end_of(nodes: Vec<Node>, dims: &[i64]) -> End {
    let dim = |&size| Dimension {
        dim_value: Some(size),
        ..Dimension::default()
    };
    let shape = TensorShape {
        dim: dims.iter().map(dim).collect(),
    };
    let tensor_type = TensorType {
        elem_type: Some(DataType::Float as i32),
        shape: Some(shape),
    };
    let output = ValueInfo {
        name: Some("y".into()),
        r#type: Some(Type {
            tensor_type: Some(tensor_type),
            ..Type::default()
        }),
        ..ValueInfo::default()
    };
    let weights = Tensor {
        name: Some("w".into()),
        ..Tensor::default()
    };
    let graph = Graph {
        node: nodes,
        output: vec![output],
        initializer: vec![weights],
        ..Graph::default()
    };
    let model = Model {
        graph: Some(graph),
        ..Model::default()
    };
    find(&model).remove(0)
}

#[test]
fn sorted_scores_have_no_classes() {
    let top_k = |output: usize, axis: i64, then: &str, dims: &[i64]| {
        let mut top_k = node("TopK", &["x", "k"], "values");
        top_k.output = vec!["values".into(), "indices".into()];
        top_k.attribute.push(Attribute {
            name: Some("axis".into()),
            i: Some(axis),
            ..Attribute::default()
        });
        let value = ["values", "indices"][output];
        end_of(vec![top_k, node(then, &[value], "y")], dims)
    };
    for then in ["Identity", "Softmax", "Reshape", "Cast", "Log"] {
        // The input of the logarithm is unknown.
        let expected = Some("TopK".to_owned()).filter(|_| then != "Log");
        assert_eq!(top_k(0, -1, then, &[1, 5]).sorted_by, expected, "{then}");
    }
    let indices = top_k(1, -1, "Identity", &[1, 5]);
    assert_eq!(indices.sorted_by, None);
    let kind = indices.settings.output.map(|stated| stated.value);
    assert_eq!(kind, Some(OutputKind::ClassIds));
    assert_eq!(
        top_k(0, 1, "Identity", &[1, 1]).sorted_by.as_deref(),
        Some("TopK")
    );
    // The best positions of each class.
    assert_eq!(top_k(0, 2, "Identity", &[1, 5, 1]).sorted_by, None);
    assert_eq!(top_k(0, 2, "ReduceMean", &[1, 5]).sorted_by, None);
}

fn reason_of(operator: &str, attributes: &[(&str, i64)], dims: &[i64]) -> Option<&'static str> {
    let mut last = node(operator, &["x", "k"], "y");
    if operator == "TopK" {
        last.output = vec!["values".into(), "y".into()];
    }
    last.attribute
        .extend(attributes.iter().map(|(name, value)| Attribute {
            name: Some((*name).to_owned().into()),
            i: Some(*value),
            ..Attribute::default()
        }));
    end_of(vec![last], dims)
        .no_classes
        .map(|(_, reason)| reason)
}

#[test]
fn ids_of_the_worst_classes_are_rejected() {
    let top_k = |attributes: &[(&str, i64)], dims: &[i64]| reason_of("TopK", attributes, dims);
    assert_eq!(top_k(&[("largest", 0)], &[1, 5]), Some(WORST_IDS));
    assert_eq!(top_k(&[("largest", 1), ("sorted", 1)], &[1, 5]), None);
    assert_eq!(
        top_k(&[("sorted", 0)], &[1, 5]),
        Some(crate::sources::graph::UNSORTED_IDS)
    );
    assert_eq!(top_k(&[("sorted", 0)], &[1, 1]), None);
    assert_eq!(reason_of("ArgMin", &[], &[1, 1]), Some(WORST_IDS));
}

#[test]
fn ids_of_another_dimension_are_rejected() {
    let other = Some(crate::sources::graph::OTHER_IDS);
    let arg_max = |axis: i64, keep: i64, dims: &[i64]| {
        reason_of("ArgMax", &[("axis", axis), ("keepdims", keep)], dims)
    };
    assert_eq!(arg_max(1, 1, &[1, 1]), None);
    assert_eq!(arg_max(-1, 0, &[1]), None);
    assert_eq!(arg_max(1, 0, &[4]), None, "a batch");
    assert_eq!(arg_max(0, 1, &[1]), None, "the only dimension");
    assert_eq!(arg_max(0, 1, &[1, 5]), other);
    assert_eq!(arg_max(0, 0, &[5]), other);
    assert_eq!(arg_max(1, 1, &[1, 1, 5]), other);
    assert_eq!(reason_of("TopK", &[("axis", 0)], &[1, 5]), other);
}

#[test]
fn a_softmax_over_ones_or_the_batch_is_rejected() {
    // The model states no opset: 1, in which a softmax is over all dimensions from its axis on.
    let softmax = |axis: i64, dims: &[i64]| reason_of("Softmax", &[("axis", axis)], dims);
    assert_eq!(softmax(1, &[1, 5]), None);
    assert_eq!(softmax(0, &[1, 5]), None);
    assert_eq!(softmax(2, &[1, 5, 1]), Some(OTHER_SOFTMAX));
    assert_eq!(softmax(1, &[5, 1]), Some(OTHER_SOFTMAX));
}

#[test]
fn weights_may_be_computed_from_constants_but_not_from_the_image() {
    let of = |weights: Node| kind_of(vec![weights, node("MatMul", &["x", "m"], "y")], &[1, 5]);
    assert_eq!(of(node("Identity", &["w"], "m")), Some(OutputKind::Logits));
    assert_eq!(of(node("Identity", &["x"], "m")), None);
    assert_eq!(of(node("RandomNormal", &[], "m")), None);
}

#[test]
fn a_softmax_of_an_old_opset_is_over_all_dimensions_from_its_axis_on() {
    let of = |axis: Option<i64>, dims: &[i64]| {
        let mut softmax = node("Softmax", &["x"], "y");
        softmax.attribute.extend(axis.map(|axis| Attribute {
            name: Some("axis".into()),
            i: Some(axis),
            ..Attribute::default()
        }));
        // The model states no opset: 1.
        kind_of(vec![softmax], dims)
    };
    assert_eq!(of(None, &[1, 5, 1, 1]), Some(OutputKind::Probabilities));
    assert_eq!(of(Some(1), &[1, 1, 1, 5]), Some(OutputKind::Probabilities));
    assert_eq!(of(Some(3), &[1, 5, 1, 1]), None);
    assert_eq!(of(Some(0), &[2, 5]), None);
}

#[test]
fn bounded_and_joined_sigmoids_are_independent() {
    let independent = Some(OutputKind::IndependentProbabilities);
    let sigmoid = |name: &str| node("Sigmoid", &["x"], name);
    let clip = |input: &str, output: &str| node("Clip", &[input, "w", "w"], output);
    assert_eq!(
        kind_of(vec![sigmoid("s"), clip("s", "y")], &[1, 6]),
        independent
    );
    let most = node("Max", &["w", "s"], "y");
    assert_eq!(kind_of(vec![sigmoid("s"), most], &[1, 6]), independent);
    let logits = node("MatMul", &["x", "w"], "s");
    assert_eq!(kind_of(vec![logits.clone(), clip("s", "y")], &[1, 6]), None);
    let join = |input: &[&str], output: &str| node("Concat", input, output);
    let joined = vec![
        sigmoid("a"),
        sigmoid("s"),
        clip("s", "b"),
        join(&["a", "b"], "y"),
    ];
    assert_eq!(kind_of(joined, &[1, 6]), independent);
    let mixed = vec![sigmoid("a"), logits, join(&["a", "s"], "y")];
    assert_eq!(kind_of(mixed, &[1, 6]), None);
    assert_eq!(kind_of(vec![join(&[], "y")], &[1, 6]), None);
    let mut fan: Vec<Node> = (0..60)
        .map(|n| {
            let before = format!("c{}", n + 1);
            join(&[&before, &before], &format!("c{n}"))
        })
        .collect();
    fan.push(node("Identity", &["c0"], "y"));
    assert_eq!(kind_of(fan, &[1, 6]), None);
}

#[test]
fn hostile_graphs_end() {
    // A circle, and constants that fan out.
    assert_eq!(
        kind_of(
            vec![node("Identity", &["z"], "y"), node("Identity", &["y"], "z")],
            &[1, 5]
        ),
        None
    );
    assert_eq!(
        kind_of(
            vec![node("Log", &["z"], "y"), node("Log", &["y"], "z")],
            &[1, 5]
        ),
        None
    );
    let mut nodes: Vec<Node> = (0..200)
        .map(|n| {
            let before = format!("n{}", n + 1);
            node("Add", &[&before, &before, &before], &format!("n{n}"))
        })
        .collect();
    nodes.push(node("MatMul", &["x", "n0"], "y"));
    assert_eq!(kind_of(nodes, &[1, 5]), None);
}

#[test]
fn a_one_hot_of_the_best_class_is_no_distribution() {
    let best = node("ArgMax", &["x"], "best");
    let one_hot = node("OneHot", &["best", "w", "w"], "y");
    assert_eq!(
        kind_of(vec![best, one_hot], &[1, 5]),
        Some(OutputKind::OneHot)
    );
}

fn along(mut node: Node, axis: i64) -> Node {
    node.attribute.push(Attribute {
        name: Some("axis".into()),
        i: Some(axis),
        ..Attribute::default()
    });
    node
}

#[test]
fn joined_heads_are_no_single_classifier() {
    let logits = |name: &str| node("MatMul", &["x", "w"], name);
    let softmax = |from: &str, to: &str| along(node("Softmax", &[from], to), 1);
    let join = |inputs: &[&str], axis: i64| along(node("Concat", inputs, "y"), axis);
    let heads = |nodes: Vec<Node>| end_of(nodes, &[1, 10]).heads;
    let of_softmax = |axis: i64| {
        let (a, b) = (softmax("l", "a"), softmax("l", "b"));
        heads(vec![logits("l"), a, b, join(&["a", "b"], axis)])
    };
    let two = of_softmax(1).unwrap();
    assert_eq!(two.to_string(), "2 values (probabilities, probabilities)");
    assert!(two.check(false).is_err());
    assert_eq!(of_softmax(0), None, "batches");
    let plain = heads(vec![logits("a"), logits("b"), join(&["a", "b"], 1)]).unwrap();
    assert!(plain.check(false).is_ok() && plain.warning().is_some());
    let scaled = [
        logits("a"),
        logits("b"),
        along(node("Concat", &["a", "b"], "c"), 1),
    ];
    let scaled = [&scaled[..], &[node("Mul", &["c", "w"], "y")]].concat();
    assert_eq!(heads(scaled), Some(plain));
    assert_eq!(heads(vec![logits("a"), join(&["a", "w"], 1)]), None);
    // One softmax of all makes one head of them.
    let whole = [
        logits("a"),
        logits("b"),
        along(node("Concat", &["a", "b"], "c"), 1),
    ];
    let whole = [&whole[..], &[softmax("c", "y")]].concat();
    assert_eq!(heads(whole), None);
    // 1 - p next to p.
    let pair = vec![
        node("Sigmoid", &["x"], "p"),
        node("Sub", &["w", "p"], "q"),
        join(&["q", "p"], 1),
    ];
    let pair = heads(pair).unwrap();
    assert!(pair.check(false).is_ok() && pair.warning().is_none());
}

#[test]
fn any_number_of_joined_sigmoids_is_independent() {
    for count in [1, 2, 300] {
        let names: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut nodes: Vec<Node> = inputs
            .iter()
            .map(|name| node("Sigmoid", &["x"], name))
            .collect();
        nodes.push(along(node("Concat", &inputs, "y"), 1));
        let end = end_of(nodes, &[1, count]);
        let kind = end.settings.output.map(|stated| stated.value);
        let independent = Some(OutputKind::IndependentProbabilities);
        assert_eq!((kind, end.heads), (independent, None), "{count}");
    }
    // A join of one value passes it on, with its dimensions.
    let softmax = vec![
        along(node("Softmax", &["x"], "s"), 1),
        along(node("Concat", &["s"], "y"), 1),
    ];
    assert_eq!(kind_of(softmax, &[1, 5]), Some(OutputKind::Probabilities));
}

#[test]
fn the_mean_of_an_ensemble_is_one_classifier() {
    // `torch.stack([a, b], dim=1).mean(1)`
    for head in ["Softmax", "MatMul"] {
        let nodes = vec![
            along(node(head, &["x", "w"], "a"), 1),
            along(node(head, &["x", "w"], "b"), 1),
            node("Unsqueeze", &["a", "w"], "c"),
            node("Unsqueeze", &["b", "w"], "d"),
            along(node("Concat", &["c", "d"], "e"), 1),
            node("ReduceMean", &["e", "w"], "y"),
        ];
        assert_eq!(end_of(nodes, &[1, 12]).heads, None, "{head}");
    }
}

#[test]
fn joined_ids_and_ranks_are_no_classes() {
    let ids = |name: &str| along(node("ArgMax", &["x"], name), 1);
    let end = end_of(
        vec![
            ids("a"),
            ids("b"),
            along(node("Concat", &["a", "b"], "y"), 1),
        ],
        &[1, 2],
    );
    let expected = ("Concat".to_owned(), crate::sources::graph::JOINED_IDS);
    assert_eq!(end.no_classes, Some(expected));
    let best = |name: &str| node("TopK", &["x", "w"], name);
    let end = end_of(
        vec![
            best("a"),
            best("b"),
            along(node("Concat", &["a", "b"], "y"), 1),
        ],
        &[1, 10],
    );
    assert_eq!(end.sorted_by.as_deref(), Some("TopK"));
}

/// The ends at `outputs` of a model that pools `x` to `features` and computes `logits` of them.
fn ends_of(more: Vec<Node>, outputs: &[&str]) -> Vec<End> {
    let mut nodes = vec![
        node("Unheard", &["x"], "trunk"),
        node("GlobalAveragePool", &["trunk"], "features"),
        node("MatMul", &["features", "w"], "logits"),
    ];
    nodes.extend(more);
    let weights = Tensor {
        name: Some("w".into()),
        ..Tensor::default()
    };
    let output = |name: &&str| ValueInfo {
        name: Some((*name).to_owned().into()),
        ..ValueInfo::default()
    };
    let graph = Graph {
        node: nodes,
        output: outputs.iter().map(output).collect(),
        initializer: vec![weights],
        ..Graph::default()
    };
    find(&Model {
        graph: Some(graph),
        ..Model::default()
    })
}

#[test]
fn features_are_not_the_scores_of_class_ids() {
    let ids = || along(node("ArgMax", &["logits"], "ids"), 1);
    let flat = || node("Flatten", &["features"], "a");
    let projected = || node("MatMul", &["features", "w"], "a");
    let other = || node("Unheard", &["x"], "a");
    let softmax = || along(node("Softmax", &["logits"], "a"), 1);
    for (name, made, expected) in [
        ("the features themselves", flat(), (&[][..], &[0][..])),
        ("another head", projected(), (&[], &[0])),
        ("of unknown origin", other(), (&[], &[])),
        ("the scores", softmax(), (&[0], &[])),
    ] {
        let ends = ends_of(vec![ids(), made], &["a", "ids"]);
        assert_eq!(
            (&ends[1].related[..], &ends[1].unrelated[..]),
            expected,
            "{name}"
        );
        let spec = |name: &str| {
            backend_api::TensorSpec::new(name, backend_api::ElementType::F32, Vec::new())
        };
        let mut info = backend_api::BackendInfo::new("mock", spec("x"), spec("a"));
        assert!(
            End::check_assumed(&ends, &info).is_ok(),
            "{name}: chosen by the caller"
        );
        info.output_is_assumed = true;
        let is_rejected = !expected.1.is_empty();
        assert_eq!(
            End::check_assumed(&ends, &info).is_err(),
            is_rejected,
            "{name}"
        );
    }
}
