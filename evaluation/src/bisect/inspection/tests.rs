//! A look at a node alone may change what a look at several showed.

use std::sync::Arc;

use backend_api::{BackendInfo, Dim, ElementType, InferBackend, MockBackend, TensorSpec};
use model_file::check_onnx;
use model_file::onnx::{Graph, Model, ValueInfo};
use prost::Message as _;

use super::*;
use crate::bisect::correspondence::correspondence;
use crate::bisect::side::{Addition, BisectedRun, OpenModel};
use crate::bisect::twins::Twins;

const TWIN: &str = "twin";

/// The nodes `a`, `b` and the output `y`.
fn model() -> Model {
    let value = |name: &'static str| ValueInfo {
        name: Some(name.into()),
        ..ValueInfo::default()
    };
    let node = |operator: &'static str, input: &'static str, output: &'static str| Node {
        input: vec![input.into()],
        output: vec![output.into()],
        op_type: Some(operator.into()),
        ..Node::default()
    };
    Model {
        graph: Some(Graph {
            node: vec![
                node("Abs", "x", "a"),
                node("Neg", "a", "b"),
                node("Exp", "b", "y"),
            ],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Graph::default()
        }),
        ..Model::default()
    }
}

fn engine(row: Vec<f32>) -> Arc<dyn InferBackend> {
    let spec = |name, dims: &[Dim]| TensorSpec::new(name, ElementType::F32, dims.to_vec());
    let input = spec("x", &[Dim::Fixed(1)]);
    let row_of_any_length = spec("y", &[Dim::Fixed(1), Dim::Dynamic]);
    let backend = MockBackend::builder()
        .info(BackendInfo::new("mock", input, row_of_any_length))
        .respond(move |_, _| Tensor::new([1, row.len()], row.clone()));
    Arc::new(backend.build().unwrap())
}

/// Opens a copy whose values are those of `value`, which gets their names and the number of values in the look.
fn open(path: &Path, value: impl Fn(&str, usize) -> f32) -> Arc<dyn InferBackend> {
    let copy = Model::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let casts = copy.nodes().iter().filter(|node| node.operator() == "Cast");
    let names = casts.map(|node| onnx::text(&node.input[0]).into_owned());
    let names: Vec<String> = names.filter(|it| !it.starts_with("classify")).collect();
    // The model's own output is first. A value has one element; its size has four digits, its rank is 1.
    let shown = names[1..].iter().flat_map(|name| {
        let value = value(name, names.len() - 1);
        [value, 1.0, 0.0, 0.0, 0.0, 1.0]
    });
    engine([2.0].into_iter().chain(shown).collect())
}

/// Inspects the model as it is and as a run whose copies have the values of `value`. The outputs of copies are equal; `own`
/// are those without a look.
fn inspect<T>(
    own: [f32; 2],
    value: fn(&str, usize) -> f32,
    test: impl FnOnce(&mut Inspection<'_>, &mut Search) -> T,
) -> T {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("model.onnx");
    std::fs::write(&file, model().encode_to_vec()).unwrap();
    let backend = engine(vec![2.0]);
    let open_reference: &OpenModel<'_> = &|path| Ok(open(path, |_, _| 1.0));
    let open_run: &OpenModel<'_> = &move |path| Ok(open(path, value));
    let mut sides = [open_reference, open_run].map(|open| {
        Side::new(BisectedRun {
            name: "",
            backend: &*backend,
            model: check_onnx(file.as_path(), "mock", None).unwrap(),
            tensor: Tensor::new([1], vec![0.0_f32]).unwrap(),
            has_doubles: false,
            open,
        })
    });
    sides[1].add(TWIN.into(), Addition::default());
    let correspondence = correspondence(&sides[0].model, &sides[1].model);
    let quantized = Quantized::of_sides(&sides, &correspondence);
    let mut inspection = Inspection::new(
        &sides,
        correspondence,
        [&own[..1], &own[1..]],
        0.1,
        &quantized,
        directory.path(),
    );
    let mut search = Search::new(inspection.parents.clone(), 2);
    search.record(2, Look::Differs);
    test(&mut inspection, &mut search)
}

/// Looks at `a` and `b` at once and holds them to their noise. Returns the first node that differs, whether it was looked at
/// alone, and the number of looks since.
fn held(twins: Option<&Twins>, value: fn(&str, usize) -> f32) -> (usize, bool, usize) {
    inspect([2.0, 2.0], value, |inspection, search| {
        let (seen, _) = inspection.try_to_look(&[0, 1]).unwrap();
        for (node, seen) in seen.into_iter().enumerate() {
            inspection.looked_at.insert(node, (seen, false));
        }
        let mut added = BTreeMap::new();
        if let Some(twins) = twins {
            inspection.measure_twins(twins, &[0, 1], search, 9, &mut added);
        }
        inspection.hold_to_noise(search, twins, &mut added, 9);
        let first = search.first().unwrap();
        (first, inspection.looked_at[&first].1, inspection.looks)
    })
}

/// The nodes that were looked at, each with whether alone.
fn looked_at(inspection: &Inspection<'_>) -> Vec<(usize, bool)> {
    let nodes = inspection.looked_at.iter();
    nodes.map(|(node, (_, alone))| (*node, *alone)).collect()
}

#[test]
fn outputs_that_are_close_without_a_look_hide_nothing() {
    // No value is beyond the limit.
    let (seen, looks) = inspect(
        [2.0, 2.1],
        |_, _| 1.05,
        |inspection, search| {
            inspection.look(&[0, 1], search, 9);
            assert!(search.not_seen().is_empty());
            (looked_at(inspection), inspection.looks)
        },
    );
    assert_eq!((seen, looks), (vec![(0, false), (1, false)], 1));
}

#[test]
fn nodes_are_looked_at_one_by_one_where_a_look_hides_the_difference() {
    let (seen, looks) = inspect(
        [2.0, 3.0],
        |_, _| 1.05,
        |inspection, search| {
            inspection.look(&[0, 1], search, 9);
            assert_eq!(search.not_seen(), [0, 1]);
            inspection.values[2] = Err("not looked at".to_owned());
            inspection.look_at_all(search, 9, &mut |_| {});
            (looked_at(inspection), inspection.looks)
        },
    );
    assert_eq!((seen, looks), (vec![(0, true), (1, true)], 3));
}

#[test]
fn ranked_nodes_are_kept_and_measured_alone_where_a_look_hides_the_difference() {
    let ranked = |most_looks: usize| {
        // Among others none differs, alone `b` does.
        let value = |name: &str, values: usize| match (name, values) {
            ("b", 1) => 1.5,
            _ => 1.05,
        };
        inspect([2.0, 3.0], value, move |inspection, search| {
            inspection.ranks = true;
            search.record(2, Look::Same);
            inspection.look(&[0, 1], search, most_looks);
            inspection.hold_to_noise(search, None, &mut BTreeMap::new(), most_looks);
            (looked_at(inspection), search.first())
        })
    };
    assert_eq!(ranked(9), (vec![(0, true), (1, true)], Some(1)));
    // No look is left.
    assert_eq!(ranked(1), (vec![(0, false), (1, false)], None));
}

#[test]
fn nodes_without_a_look_at_their_twins_are_not_ranked() {
    let unranked = |most_looks: usize| {
        inspect(
            [2.0, 2.1],
            |_, _| 1.05,
            move |inspection, search| {
                inspection.ranks = true;
                let mut added = BTreeMap::new();
                inspection.look(&[0, 1], search, 2);
                inspection.measure_twins(&twins(), &[0, 1], search, most_looks, &mut added);
                let unranked = inspection.unranked(search, most_looks).into_iter();
                let reasons: Vec<_> = unranked.map(|node| (node.index, node.reason)).collect();
                (added.len(), reasons, search.not_seen())
            },
        )
    };
    let reason = |looks: &str| format!("the limit of {looks} was reached");
    let last = |looks: &str| (2, reason(looks));
    assert_eq!(unranked(2), (2, vec![last("2 looks")], vec![]));
    let none = [0, 1, 2].map(|node| (node, reason("1 look"))).to_vec();
    assert_eq!(unranked(1), (0, none, vec![0, 1]));
}

/// Twins of `a` and `b`.
fn twins() -> Twins {
    let pair = |value: &'static str| [Bytes::from(TWIN), value.into()];
    Twins {
        side: 1,
        values: BTreeMap::from([(0, pair("a")), (1, pair("b"))]),
    }
}

#[test]
fn the_look_alone_decides() {
    // Both differ among others. Alone, `a` is the same.
    let first = held(None, |name, values| match (name, values) {
        ("a", 1) => 1.0,
        ("a", _) => 1.5,
        _ => 3.0,
    });
    assert_eq!(first, (1, true, 2));
    let first = held(None, |_, _| 1.5);
    assert_eq!(first, (0, true, 1));
}

#[test]
fn the_twin_alone_decides() {
    // Alone are one value, and one with that of its twin.
    let first = held(Some(&twins()), |name, values| match (name, values) {
        (TWIN, _) | ("a", 2) => 1.0,
        _ => 1.5,
    });
    assert_eq!(first, (1, true, 5));
}
