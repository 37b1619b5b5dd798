use std::fmt::Write as _;

use super::*;
use crate::sources::graph::JOINED_IDS;

/// A layer: name, operator, attributes, inputs, and the dimensions of its outputs, of which there are two. An input is
/// the first output of a layer, or with `:1` the second.
type Parts<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [usize]);

/// The ends of the outputs called `outputs` of a graph of `layers` on pooled features `x` [1, 3], weights `w`, and
/// `logits` [1, 5].
fn ends_of(layers: &[Parts<'_>], outputs: &[&str]) -> Vec<End> {
    let first: [Parts<'_>; 4] = [
        ("image", "Parameter", "", &[], &[1, 3, 8, 8]),
        ("x", "ReduceMean", "", &["image"], &[1, 3]),
        ("w", "Const", "", &[], &[3, 5]),
        ("logits", "MatMul", "", &["x", "w"], &[1, 5]),
    ];
    let results = outputs.iter().map(|output| {
        let result: Parts<'_> = ("", "Result", "", std::slice::from_ref(output), &[]);
        result
    });
    let (mut xml, mut edges) = (String::new(), String::new());
    let mut known: Vec<(&str, &[usize])> = Vec::new();
    let port = |id: usize, dims: &[usize]| {
        let dims = dims.iter().map(|dim| format!("<dim>{dim}</dim>"));
        let dims = dims.collect::<Vec<_>>().concat();
        format!(r#"<port id="{id}">{dims}</port>"#)
    };
    for (name, operator, data, inputs, dims) in first
        .into_iter()
        .chain(layers.iter().copied())
        .chain(results)
    {
        let number = known.len();
        let mut ports = String::new();
        for (place, input) in inputs.iter().enumerate() {
            let (input, second) = match input.strip_suffix(":1") {
                Some(input) => (input, 1),
                None => (*input, 0),
            };
            let from = known.iter().position(|(name, _)| *name == input).unwrap();
            ports += &port(place, known[from].1);
            let _ = write!(
                edges,
                r#"<edge from-layer="{from}" from-port="{second}" to-layer="{number}" to-port="{place}"/>"#
            );
        }
        let _ = write!(
            xml,
            r#"<layer id="{number}" name="{name}" type="{operator}"><data {data}/><input>{ports}</input><output>{}{}</output></layer>"#,
            port(0, dims),
            port(1, dims)
        );
        known.push((name, dims));
    }
    let xml = format!(r#"<net version="11"><layers>{xml}</layers><edges>{edges}</edges></net>"#);
    let document = model_file::ir::parse(&xml).unwrap();
    find(&Graph::of(&document), &ModelSource::from("m.xml"))
}

fn end_of(layers: &[Parts<'_>]) -> End {
    ends_of(layers, &["y"]).remove(0)
}

fn kind_of(end: &End) -> Option<OutputKind> {
    end.settings.output.as_ref().map(|stated| stated.value)
}

const IDS: Parts<'_> = ("ids", "TopK", r#"axis="1""#, &["logits"], &[1, 1]);

#[test]
fn a_one_hot_of_the_best_class_is_no_distribution() {
    let one_hot = ("y", "OneHot", r#"axis="1""#, &["ids:1"][..], &[1, 5][..]);
    assert_eq!(kind_of(&end_of(&[IDS, one_hot])), Some(OutputKind::OneHot));
}

#[test]
fn joined_heads_are_no_single_classifier() {
    let join = |operator: &'static str, axis: &str| {
        let axis = format!(r#"axis="{axis}""#);
        end_of(&[
            ("a", operator, r#"axis="1""#, &["logits"], &[1, 5]),
            ("y", "Concat", &axis, &["a", "a"], &[1, 10]),
        ])
    };
    let softmax = join("SoftMax", "1");
    assert!(softmax.heads.unwrap().check(false).is_err());
    assert_eq!(join("SoftMax", "0").heads, None, "batches");
    let relu = join("ReLU", "-1").heads.unwrap();
    assert_eq!(relu.to_string(), "2 values (logits, logits)");
    let sigmoid = join("Sigmoid", "1");
    let independent = Some(OutputKind::IndependentProbabilities);
    assert_eq!((kind_of(&sigmoid), sigmoid.heads), (independent, None));
    let whole = end_of(&[
        (
            "a",
            "Concat",
            r#"axis="1""#,
            &["logits", "logits"],
            &[1, 10],
        ),
        ("y", "SoftMax", r#"axis="1""#, &["a"], &[1, 10]),
    ]);
    assert_eq!(whole.heads, None);
    let with_constant = end_of(&[("y", "Concat", r#"axis="1""#, &["w", "logits"], &[1, 8])]);
    assert_eq!(with_constant.heads, None);
}

#[test]
fn any_number_of_joined_sigmoids_is_independent() {
    let independent = Some(OutputKind::IndependentProbabilities);
    for count in [1, 2, 300] {
        let end = end_of(&[
            ("s", "Sigmoid", "", &["logits"], &[1, 5]),
            (
                "y",
                "Concat",
                r#"axis="1""#,
                &vec!["s"; count],
                &[1, 5 * count],
            ),
        ]);
        assert_eq!((kind_of(&end), end.heads), (independent, None), "{count}");
    }
}

#[test]
fn the_mean_of_an_ensemble_is_one_classifier() {
    for head in ["SoftMax", "ReLU"] {
        let end = end_of(&[
            ("a", head, r#"axis="1""#, &["logits"], &[1, 5]),
            ("b", "Unsqueeze", "", &["a", "w"], &[1, 1, 5]),
            ("c", "Concat", r#"axis="1""#, &["b", "b"], &[1, 2, 5]),
            ("y", "ReduceMean", "", &["c", "w"], &[1, 5]),
        ]);
        assert_eq!(end.heads, None, "{head}");
    }
}

#[test]
fn features_are_not_the_scores_of_class_ids() {
    let found = ends_of(&[IDS], &["x", "logits", "ids:1"]);
    let ids = found.last().unwrap();
    assert_eq!((&ids.related[..], &ids.unrelated[..]), (&[1][..], &[0][..]));
}

#[test]
fn joined_class_ids_are_no_classes() {
    let joined = (
        "y",
        "Concat",
        r#"axis="1""#,
        &["ids:1", "ids:1"][..],
        &[1, 2][..],
    );
    let reason = end_of(&[IDS, joined]).no_classes.unwrap();
    assert_eq!(reason, ("Concat".to_owned(), JOINED_IDS));
}
