use super::*;
use crate::sources::graph::{OTHER_IDS, UNSORTED_IDS};

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

fn number(number: u8, value: i64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    prost::encoding::encode_varint(value.cast_unsigned(), &mut bytes);
    bytes
}

/// A node of the main graph. Attributes have the content of an `AttrValue`.
fn node(operator: &str, inputs: &[&str], name: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut content = [field(1, name.as_bytes()), field(2, operator.as_bytes())].concat();
    content.extend(inputs.iter().flat_map(|input| field(3, input.as_bytes())));
    for (key, value) in attributes {
        content.extend(field(
            5,
            &[field(1, key.as_bytes()), field(2, value)].concat(),
        ));
    }
    field(1, &content)
}

fn shape(dims: &[i64]) -> Vec<u8> {
    dims.iter()
        .flat_map(|dim| field(2, &number(1, *dim)))
        .collect()
}

/// A constant of int64.
fn integers(name: &str, values: &[i64], is_scalar: bool) -> Vec<u8> {
    let dims = [values.len() as i64];
    let dims = if is_scalar { &[][..] } else { &dims };
    let content: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor = [number(1, 9), field(2, &shape(dims)), field(4, &content)].concat();
    node("Const", &[], name, &[("value", field(8, &tensor))])
}

/// A graph of `nodes` on the image `x` [2, 8, 8, 3], weights `w` [3, 5], and the numbers `minus_one`, `zero`, `one`, `five`.
fn ends_of(nodes: &[Vec<u8>]) -> Vec<End> {
    let variable = |operator: &str, name: &str, dims: &[i64]| {
        node(operator, &[], name, &[("shape", field(7, &shape(dims)))])
    };
    let bytes = [
        variable("Placeholder", "x", &[2, 8, 8, 3]),
        variable("VariableV2", "w", &[3, 5]),
        integers("minus_one", &[-1], true),
        integers("zero", &[0], true),
        integers("one", &[1], true),
        integers("five", &[5], true),
        integers("middle", &[1, 2], false),
        node("Mean", &["x", "middle"], "mean", &[]),
        node("MatMul", &["mean", "w"], "logits", &[]),
        nodes.concat(),
        // Nothing else is an output.
        node(
            "NoOp",
            &[
                "^minus_one",
                "^zero",
                "^one",
                "^five",
                "^logits",
                "^w",
                "^middle",
            ],
            "all",
            &[],
        ),
    ]
    .concat();
    find(&Graph::of_frozen(&bytes).unwrap())
}

fn end_of(nodes: &[Vec<u8>]) -> End {
    let mut ends = ends_of(nodes);
    assert_eq!(ends.len(), 1);
    ends.remove(0)
}

fn kind_of(nodes: &[Vec<u8>]) -> Option<OutputKind> {
    end_of(nodes).settings.output.map(|stated| stated.value)
}

fn plain(operator: &str, inputs: &[&str], name: &str) -> Vec<u8> {
    node(operator, inputs, name, &[])
}

#[test]
fn the_last_operator_decides() {
    let cast = |kind: i64| node("Cast", &["s"], "y", &[("DstT", number(6, kind))]);
    let softmax = plain("Softmax", &["logits"], "s");
    let sigmoid = plain("Sigmoid", &["logits"], "s");
    let probabilities = Some(OutputKind::Probabilities);
    for (nodes, expected) in [
        (
            vec![plain("Identity", &["logits"], "y")],
            Some(OutputKind::Logits),
        ),
        (
            vec![plain("BiasAdd", &["logits", "w"], "y")],
            Some(OutputKind::Logits),
        ),
        (vec![softmax.clone()], probabilities),
        (
            vec![softmax.clone(), plain("Identity", &["s", "^x"], "y")],
            probabilities,
        ),
        (vec![softmax.clone(), cast(19)], probabilities),
        (vec![softmax.clone(), cast(3)], None),
        // Percentages.
        (
            vec![softmax.clone(), plain("Mul", &["s", "w"], "y")],
            Some(OutputKind::Numbers),
        ),
        (
            vec![softmax.clone(), plain("Minimum", &["one", "s"], "y")],
            probabilities,
        ),
        (
            vec![softmax.clone(), plain("Log", &["s"], "y")],
            Some(OutputKind::LogProbabilities),
        ),
        (
            vec![plain("LogSoftmax", &["logits"], "y")],
            Some(OutputKind::LogProbabilities),
        ),
        (
            vec![sigmoid.clone()],
            Some(OutputKind::IndependentProbabilities),
        ),
        (
            vec![sigmoid.clone(), plain("ConcatV2", &["s", "s", "one"], "y")],
            Some(OutputKind::IndependentProbabilities),
        ),
        (
            vec![sigmoid, plain("ConcatV2", &["s", "logits", "one"], "y")],
            None,
        ),
        (vec![plain("Div", &["one", "logits"], "y")], None),
        (
            vec![plain("RealDiv", &["logits", "five"], "y")],
            Some(OutputKind::Logits),
        ),
        (vec![plain("MatMul", &["logits", "mean"], "y")], None),
        (vec![plain("Unheard", &["logits"], "y")], None),
    ] {
        assert_eq!(
            kind_of(&nodes),
            expected,
            "{:?}",
            String::from_utf8_lossy(&nodes.concat())
        );
    }
}

#[test]
fn a_softmax_is_read_where_its_dimensions_are_known() {
    let reshape = |sizes: &[i64]| {
        [
            integers("sizes", sizes, false),
            plain("Reshape", &["logits", "sizes"], "r"),
            plain("Softmax", &["r"], "y"),
        ]
    };
    let probabilities = Some(OutputKind::Probabilities);
    assert_eq!(kind_of(&reshape(&[-1, 5])), probabilities);
    assert_eq!(kind_of(&reshape(&[2, 1, 1, 5])), probabilities);
    assert_eq!(kind_of(&reshape(&[-1, 5, 2])), None, "pairs");
    let of_ones = end_of(&reshape(&[-1, 5, 1]));
    assert_eq!(
        of_ones.no_classes,
        Some(("Softmax".to_owned(), OTHER_SOFTMAX))
    );
    // Sizes of which one is computed.
    let packed = |last: &str| {
        kind_of(&[
            plain("Unheard", &["x"], "batch"),
            plain("Pack", &["batch", last], "sizes"),
            plain("Reshape", &["logits", "sizes"], "r"),
            plain("Softmax", &["r"], "y"),
        ])
    };
    assert_eq!(packed("five"), probabilities);
    assert_eq!(packed("batch"), probabilities, "the rank is known");
    let unknown = [plain("Unheard", &["x"], "u"), plain("Softmax", &["u"], "y")];
    assert_eq!(kind_of(&unknown), None);
    let stated = field(1, &field(7, &shape(&[-1, 5])));
    let stated = node("Unheard", &["x"], "u", &[("_output_shapes", stated)]);
    assert_eq!(
        kind_of(&[stated, plain("Softmax", &["u"], "y")]),
        probabilities
    );
}

#[test]
fn a_scalar_does_not_make_an_open_size_one() {
    for inputs in [["product", "five"], ["five", "product"]] {
        let end = end_of(&[
            plain("Unheard", &[], "u"),
            plain("MatMul", &["mean", "u"], "product"),
            plain("Mul", &inputs, "scaled"),
            plain("Softmax", &["scaled"], "y"),
        ]);
        assert_eq!(end.no_classes, None, "{inputs:?}");
        let kind = end.settings.output.map(|stated| stated.value);
        assert_eq!(kind, Some(OutputKind::Probabilities), "{inputs:?}");
    }
    let both_ways = |one: &[Option<usize>], other: &[Option<usize>]| {
        let dims = broadcast(one, other);
        assert_eq!(broadcast(other, one), dims);
        dims
    };
    let of_five = Some(vec![None, Some(5)]);
    assert_eq!(both_ways(&[None, None], &[Some(1), Some(5)]), of_five);
    assert_eq!(both_ways(&[None, Some(5)], &[]), of_five);
    assert_eq!(both_ways(&[None], &[None]), Some(vec![None]));
    assert_eq!(both_ways(&[Some(2)], &[Some(3)]), None);
}

#[test]
fn the_values_that_pass_on_keep_their_shape() {
    let ensured = [
        plain("EnsureShape", &["logits"], "e"),
        plain("Softmax", &["e"], "y"),
    ];
    assert_eq!(kind_of(&ensured), Some(OutputKind::Probabilities));
}

#[test]
fn dimensions_too_far_from_one_output_are_known_at_another() {
    let relu = (1..60).map(|n| {
        let before = format!("r{}", n - 1);
        plain("Relu", &[&before], &format!("r{n}"))
    });
    let mut nodes = vec![plain("Relu", &["logits"], "r0")];
    nodes.extend(relu);
    nodes.push(plain("Softmax", &["r59"], "far"));
    nodes.push(plain("Softmax", &["r40"], "near"));
    let kinds: Vec<_> = ends_of(&nodes)
        .into_iter()
        .map(|end| end.settings.output.map(|stated| stated.value))
        .collect();
    assert_eq!(kinds, [None, Some(OutputKind::Probabilities)]);
}

#[test]
fn sorted_values_are_no_classes_and_their_ids_are() {
    let top_k = |sorted: i64| {
        node(
            "TopKV2",
            &["logits", "five"],
            "best",
            &[("sorted", number(5, sorted))],
        )
    };
    let values = end_of(&[top_k(1)]);
    assert_eq!(values.sorted_by.as_deref(), Some("TopKV2"));
    let softmax = [top_k(1), plain("Softmax", &["best"], "y")];
    assert_eq!(end_of(&softmax).sorted_by.as_deref(), Some("TopKV2"));
    let ids = |sorted: i64| end_of(&[top_k(sorted), plain("Identity", &["best:1"], "y")]);
    let kind = ids(1).settings.output.map(|stated| stated.value);
    assert_eq!((kind, ids(1).sorted_by), (Some(OutputKind::ClassIds), None));
    assert_eq!(ids(0).no_classes, Some(("TopKV2".to_owned(), UNSORTED_IDS)));
    // The best positions of every channel.
    let positions = [
        plain("TopKV2", &["x", "five"], "best"),
        plain("Identity", &["best:1"], "y"),
    ];
    assert_eq!(
        end_of(&positions).no_classes,
        Some(("TopKV2".to_owned(), OTHER_IDS))
    );
}

#[test]
fn the_axis_of_an_arg_max_is_that_of_the_classes() {
    let arg_max = |axis: &str| end_of(&[plain("ArgMax", &["logits", axis], "y")]);
    let ids = |end: &End| end.settings.output.as_ref().map(|stated| stated.value);
    for axis in ["minus_one", "one"] {
        assert_eq!(ids(&arg_max(axis)), Some(OutputKind::ClassIds), "{axis}");
    }
    let of_batch = arg_max("zero");
    assert_eq!(of_batch.no_classes, Some(("ArgMax".to_owned(), OTHER_IDS)));
    let computed = end_of(&[
        plain("Unheard", &["x"], "u"),
        plain("ArgMax", &["logits", "u"], "y"),
    ]);
    assert_eq!((ids(&computed), computed.no_classes), (None, None));
    let unknown = |axis: &str| {
        end_of(&[
            plain("Unheard", &["x"], "u"),
            plain("ArgMax", &["u", axis], "y"),
        ])
    };
    assert_eq!(ids(&unknown("one")), Some(OutputKind::ClassIds));
    assert_eq!(ids(&unknown("zero")), None);
    let worst = end_of(&[plain("ArgMin", &["logits", "one"], "y")]);
    assert_eq!(worst.no_classes, Some(("ArgMin".to_owned(), WORST_IDS)));
}

#[test]
fn a_slice_that_takes_everything_only_adds_dimensions() {
    let slice = |shrink: i64, end: i64| {
        let masks = [("begin_mask", 1), ("end_mask", end), ("new_axis_mask", 2)];
        let mut masks: Vec<_> = masks.map(|(name, mask)| (name, number(3, mask))).into();
        masks.push(("shrink_axis_mask", number(3, shrink)));
        kind_of(&[
            plain("Softmax", &["logits"], "s"),
            integers("strides", &[1, 1], false),
            node(
                "StridedSlice",
                &["s", "strides", "strides", "strides"],
                "y",
                &masks,
            ),
        ])
    };
    assert_eq!(slice(0, 1), Some(OutputKind::Probabilities));
    assert_eq!(slice(1, 1), None);
    assert_eq!(slice(0, 0), None);
}

#[test]
fn an_output_has_the_names_of_all_that_pass_it_on() {
    let [probabilities, logits] = &ends_of(&[
        plain("Softmax", &["logits"], "s"),
        plain("Identity", &["s"], "y"),
        plain("Relu", &["logits"], "z"),
    ])[..] else {
        panic!("two outputs");
    };
    assert_eq!(probabilities.names, ["y:0", "y:0", "y", "s:0", "s"]);
    assert_eq!(logits.names, ["z:0", "z:0", "z"]);
}

#[test]
fn several_outputs_are_joined_by_name_alone() {
    let ends = ends_of(&[
        plain("Softmax", &["logits"], "a"),
        plain("Sigmoid", &["logits"], "b"),
    ]);
    let spec = |name: &str| {
        let dims = [2, 5].map(backend_api::Dim::Fixed).to_vec();
        backend_api::TensorSpec::new(name, backend_api::ElementType::F32, dims)
    };
    let kind_at = |ends: &[End], name: &str, other: &str| {
        let mut info = backend_api::BackendInfo::new("mock", spec("x"), spec(name));
        info.outputs = [name, other]
            .map(|it| backend_api::DeclaredOutput::Usable(spec(it)))
            .into();
        info.outputs.truncate(ends.len());
        let end = End::of(ends, &info)?;
        end.settings.output.as_ref().map(|stated| stated.value)
    };
    let independent = Some(OutputKind::IndependentProbabilities);
    assert_eq!(kind_at(&ends, "b:0", "a:0"), independent);
    assert_eq!(kind_at(&ends, "renamed", "a:0"), None);
    assert_eq!(
        kind_at(&ends[1..], "renamed", ""),
        independent,
        "the only one"
    );
}

#[test]
fn a_one_hot_of_the_best_class_is_no_distribution() {
    let nodes = [
        plain("ArgMax", &["logits", "one"], "best"),
        plain("OneHot", &["best", "five", "one", "zero"], "y"),
    ];
    assert_eq!(kind_of(&nodes), Some(OutputKind::OneHot));
}

#[test]
fn joined_heads_are_no_single_classifier() {
    let join = |operator: &str, axis: &str| {
        end_of(&[
            plain(operator, &["logits"], "a"),
            plain("ConcatV2", &["a", "logits", axis], "y"),
        ])
    };
    let softmax = join("Softmax", "one").heads.unwrap();
    assert_eq!(softmax.to_string(), "2 values (probabilities, logits)");
    assert!(softmax.check(false).is_err());
    assert_eq!(join("Softmax", "zero").heads, None, "batches");
    let relu = join("Relu", "minus_one").heads.unwrap();
    assert!(relu.check(false).is_ok() && relu.warning().is_some());
    let packed = end_of(&[
        plain("Softmax", &["logits"], "a"),
        node("Pack", &["a", "a"], "p", &[("axis", number(3, 1))]),
        integers("sizes", &[-1, 10], false),
        plain("Reshape", &["p", "sizes"], "y"),
    ]);
    assert!(packed.heads.unwrap().check(false).is_err());
    let ids = end_of(&[
        plain("ArgMax", &["logits", "one"], "a"),
        node("Pack", &["a", "a"], "y", &[("axis", number(3, 1))]),
    ]);
    let expected = ("Pack".to_owned(), crate::sources::graph::JOINED_IDS);
    assert_eq!(ids.no_classes, Some(expected));
}

#[test]
fn any_number_of_joined_sigmoids_is_independent() {
    let independent = Some(OutputKind::IndependentProbabilities);
    // Many features before the heads.
    let deep = (0..2000).map(|n| {
        let before = ["mean".to_owned(), format!("d{}", n - 1)][usize::from(n > 0)].clone();
        plain("Unheard", &[&before], &format!("d{n}"))
    });
    let deep: Vec<u8> = deep.collect::<Vec<_>>().concat();
    for count in [1, 2, 300] {
        let mut nodes = vec![deep.clone()];
        let mut names = Vec::new();
        for n in 0..count {
            let [logits, biased, sigmoid] = ["l", "b", "s"].map(|name| format!("{name}{n}"));
            nodes.push(plain("MatMul", &["d1999", "w"], &logits));
            nodes.push(plain("BiasAdd", &[&logits, "w"], &biased));
            nodes.push(plain("Sigmoid", &[&biased], &sigmoid));
            names.push(sigmoid);
        }
        let mut inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let packed = node("Pack", &inputs, "y", &[("axis", number(3, 1))]);
        let packed = end_of(&[&nodes[..], &[packed]].concat());
        inputs.push("one");
        nodes.push(plain("ConcatV2", &inputs, "y"));
        for end in [end_of(&nodes), packed] {
            let kind = end.settings.output.map(|stated| stated.value);
            assert_eq!((kind, end.heads), (independent, None), "{count}");
        }
    }
}

#[test]
fn the_mean_of_an_ensemble_is_one_classifier() {
    for head in ["Softmax", "Identity"] {
        let stacked = node("Pack", &["a", "a"], "p", &[("axis", number(3, 1))]);
        let end = end_of(&[
            plain(head, &["logits"], "a"),
            stacked,
            plain("Mean", &["p", "one"], "y"),
        ]);
        assert_eq!(end.heads, None, "{head}");
    }
}

#[test]
fn features_are_not_the_scores_of_class_ids() {
    let ends = ends_of(&[
        plain("Identity", &["mean"], "features"),
        plain("Softmax", &["logits"], "scores"),
        plain("ArgMax", &["logits", "one"], "ids"),
    ]);
    let [_, _, ids] = &ends[..] else {
        panic!("{ends:?}")
    };
    assert_eq!((&ids.related[..], &ids.unrelated[..]), (&[1][..], &[0][..]));
}

#[test]
fn hostile_graphs_end() {
    // Without a memory of dimensions these would be computed 2^48 times.
    let doubled = [
        plain("Add", &["sum", "sum"], "sum"),
        plain("Softmax", &["sum"], "y"),
    ];
    assert_eq!(kind_of(&doubled), None);
    let circle = [
        plain("Identity", &["z"], "y"),
        plain("Identity", &["y"], "z"),
    ];
    assert!(ends_of(&circle).is_empty());
    let fan = (0..200).map(|n| {
        let before = format!("n{}", n + 1);
        plain("Add", &[&before, &before], &format!("n{n}"))
    });
    let last = plain("MatMul", &["mean", "n0"], "y");
    let nodes: Vec<Vec<u8>> = fan.chain([last]).collect();
    assert_eq!(kind_of(&nodes), None);
    let softmax_of_fan = [&nodes[..200], &[plain("Softmax", &["n0"], "y")]].concat();
    assert_eq!(kind_of(&softmax_of_fan), None);
    // Many inputs, at each of many steps for each of many outputs.
    let weights = vec!["w"; 1 << 19];
    let mut nodes = vec![plain("Unheard", &weights, "wide")];
    for output in 0..60 {
        let name = |n: usize| format!("o{output}n{n}");
        nodes.push(plain("Add", &["logits", "wide"], &name(0)));
        nodes.extend((1..60).map(|n| plain("Add", &[&name(n - 1), "wide"], &name(n))));
    }
    let ends = ends_of(&nodes);
    assert!(ends.len() == 60 && ends[59].settings.output.is_none());
    // Many arguments of a function, each taken.
    let names: Vec<String> = (0..1 << 17).map(|n| format!("a{n}")).collect();
    let arguments = names
        .iter()
        .map(|name| field(2, &field(1, name.as_bytes())));
    let signature = [
        field(1, b"f"),
        arguments.collect::<Vec<_>>().concat(),
        field(3, &field(1, b"y")),
    ];
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    // Field 1 of a graph is field 3 of a function.
    let mut inner = plain("Unheard", &inputs, "u");
    inner[0] = 3 << 3 | 2;
    let returned = [field(1, b"y"), field(2, b"u:y:0")].concat();
    let function = [field(1, &signature.concat()), inner, field(4, &returned)];
    let library = field(2, &field(1, &function.concat()));
    let call = [
        plain("f", &vec!["w"; 1 << 17], "called"),
        plain("Add", &["logits", "called"], "y"),
        library,
    ];
    assert_eq!(kind_of(&call), Some(OutputKind::Logits));
    // The shapes of many outputs, each taken.
    let shapes = field(1, &field(7, &shape(&[2, 5])).repeat(1 << 16));
    let mut nodes = vec![node("Unheard", &["x"], "u", &[("_output_shapes", shapes)])];
    nodes.push(plain("Softmax", &["u:0"], "n0"));
    for n in 1..1 << 12 {
        let input = format!("u:{}", (1 << 16) - n);
        nodes.push(plain("Softmax", &[&input], &format!("n{n}")));
    }
    let joined: Vec<String> = (0..1 << 12).map(|n| format!("n{n}")).collect();
    let mut joined: Vec<&str> = joined.iter().map(String::as_str).collect();
    joined.push("one");
    nodes.push(plain("ConcatV2", &joined, "y"));
    assert_eq!(kind_of(&nodes), None);
}
