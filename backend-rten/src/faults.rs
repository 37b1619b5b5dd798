//! Operators that RTen 0.27 lacks or computes differently than ONNX. They are rejected at loading, because a reference
//! that is silently wrong is worse than none. `tests/operators.rs` compares every operator with ONNX's own reference.

use std::collections::HashSet;

use backend_api::{Error, ErrorKind};
use model_file::onnx::{self, DataType, Model};

use crate::fill::has_ints;
use crate::graph::{Constant, Inferred, MOST_NESTED, MOST_OPERATORS, Site, TooLarge, sites};
use crate::nearest::{self, Coordinates, Length, Rounding};

/// RTen looks at no more attributes of a node.
const MOST_ATTRIBUTES: usize = 32;

/// Rejects models that must not reach RTen's loader.
pub(crate) fn check_loadable(model: &Model) -> Result<(), Error> {
    let hint = "try it with `backend-onnx`";
    let sites = sites(model).map_err(|large| match large {
        TooLarge::Operators(count) => unsupported(
            format!("the model has {count} operators, more than {MOST_OPERATORS}"),
            hint,
        ),
        TooLarge::Nested => unsupported(
            format!("the bodies of If and Loop are nested more than {MOST_NESTED} deep"),
            hint,
        ),
    })?;
    for site in &sites {
        if site.node.attribute.len() > MOST_ATTRIBUTES {
            let count = site.node.attribute.len();
            return Err(unsupported(
                format!(
                    "{} has {count} attributes, but RTen reads at most {MOST_ATTRIBUTES}",
                    site.described()
                ),
                hint,
            ));
        }
    }
    Ok(())
}

/// Rejects models that RTen computes differently than ONNX specifies. `inferred` are the shapes that RTen inferred.
pub(crate) fn check_supported(model: &Model, inferred: &Inferred<'_>) -> Result<(), Error> {
    let Ok(sites) = sites(model) else {
        return check_loadable(model);
    };
    let hint = "try it with `backend-onnx`, or export the model with other operators";
    for site in sites.iter().filter(|site| site.opset > 0) {
        if let Some(fault) = fault(site, inferred) {
            return Err(unsupported(format!("{}: {fault}", site.described()), hint));
        }
    }
    if let Some(site) = sites.iter().find(|site| is_function(model, site)) {
        let message = format!(
            "{} is a function defined in the model; RTen does not support functions",
            site.described()
        );
        return Err(unsupported(
            message,
            "try it with `backend-onnx`, or inline the functions",
        ));
    }
    if let Some(site) = sites
        .iter()
        .find(|site| site.opset == 0 && site.node.operator() == "Constant")
    {
        let message = format!(
            "{} is a custom operator, but RTen runs it as ONNX's operator of the same name",
            site.described()
        );
        return Err(unsupported(message, hint));
    }
    if let Some(site) = wide_numbers(&sites) {
        let message = format!(
            "{} has integers beyond 32 bits, but RTen computes in 32 bits",
            site.described()
        );
        return Err(unsupported(message, hint));
    }
    Ok(())
}

fn is_function(model: &Model, site: &Site<'_>) -> bool {
    let domain = |domain: &Option<_>| match domain.as_deref().unwrap_or_default() {
        domain if onnx::is_onnx_domain(domain) => Vec::new(),
        domain => domain.to_vec(),
    };
    model.functions.iter().any(|function| {
        function.name == site.node.op_type && domain(&function.domain) == domain(&site.node.domain)
    })
}

fn fault(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let node = site.node;
    let operator = node.operator();
    if site
        .string("auto_pad")
        .is_some_and(|kind| kind == "SAME_LOWER")
    {
        return Some("RTen pads SAME_LOWER like SAME_UPPER");
    }
    match operator.as_ref() {
        "Conv" | "ConvInteger" | "ConvTranspose" if !has_ints(node, "kernel_shape") => Some(
            "RTen needs the attribute kernel_shape, which the model omits, and the sizes of the weights are unknown",
        ),
        "ConvInteger" => conv_integer(site),
        "MatMulInteger" => mat_mul_integer(site).or_else(|| mat_mul(site, inferred)),
        "MatMul" => mat_mul(site, inferred),
        "Resize" if site.string("mode").is_some_and(|mode| mode == "cubic") => {
            Some("RTen resizes with linear interpolation instead of cubic")
        }
        "Resize" | "Upsample" => resize(site, inferred),
        "Cast" => converts_to(node.attribute("to").and_then(|to| to.i).map(|to| {
            i32::try_from(to)
                .ok()
                .and_then(|to| DataType::try_from(to).ok())
        })?),
        "CastLike" => match site.element_type(1) {
            None => Some("its type is unknown, and RTen supports neither bool nor f64"),
            like => converts_to(like),
        },
        "ArgMax" | "ArgMin" => Some("RTen does not return the first index on ties"),
        "Sign"
            if !matches!(
                site.element_type(0),
                Some(DataType::Int32 | DataType::Int64)
            ) =>
        {
            Some("RTen returns 1 or -1 for 0 instead of 0")
        }
        "Softplus" => Some("RTen returns infinity for inputs above 88"),
        "Softmax" | "LogSoftmax" if site.opset < 13 => softmax(site, inferred),
        "Pad" if site.string("mode").is_some_and(|mode| mode == "reflect") => pad(site, inferred),
        "Add" | "Sub" | "Mul" | "Div" => wider_constant(site, inferred),
        "Reshape" => repeated(site, inferred),
        operator
            if operator.starts_with("Reduce") && site.int("noop_with_empty_axes") == Some(1) =>
        {
            let axes = node
                .input
                .get(1)
                .and_then(|axes| site.scope.constant(axes)?.dims());
            (axes.is_none_or(|dims| dims.contains(&0)))
                .then_some("RTen ignores noop_with_empty_axes")
        }
        _ => None,
    }
}

fn converts_to(element_type: Option<DataType>) -> Option<&'static str> {
    match element_type {
        Some(DataType::Bool) => Some("RTen keeps numbers instead of converting them to booleans"),
        Some(DataType::Double) => Some("RTen computes in f32 instead of f64"),
        _ => None,
    }
}

/// Products of 8-bit numbers are exact while pairs of them fit into 16 bits: on processors without VNNI, RTen
/// adds them with saturation. Its left operand is unsigned.
const SATURATES: Option<&str> = Some(
    "RTen's sums of 8-bit products saturate at 16 bits on processors without VNNI, which these weights may cause",
);

fn conv_integer(site: &Site<'_>) -> Option<&'static str> {
    let pads = site.node.attribute("pads");
    let padded = pads.is_some_and(|pads| pads.ints.iter().any(|pad| *pad != 0));
    if padded
        || site
            .string("auto_pad")
            .is_some_and(|kind| kind.starts_with("SAME"))
    {
        return Some("RTen does not pad with the zero point");
    }
    // The filters are on the left, moved up by their least value if they are signed.
    let Some(weights) = site.constant_ints(1) else {
        return SATURATES;
    };
    let least = weights.iter().copied().min().unwrap_or(0).min(0);
    let largest = weights.iter().copied().max().unwrap_or(0).max(0);
    if largest.saturating_sub(least) > 127 {
        return SATURATES;
    }
    zero_point_is_lost(site, 1, 3)
}

fn mat_mul_integer(site: &Site<'_>) -> Option<&'static str> {
    let Some(weights) = site.constant_ints(1) else {
        return SATURATES;
    };
    let shift = if site.element_type(1) == Some(DataType::Uint8) {
        128
    } else {
        0
    };
    if weights
        .iter()
        .any(|weight| weight.saturating_sub(shift).saturating_abs() > 64)
    {
        return SATURATES;
    }
    zero_point_is_lost(site, 0, 2).or_else(|| zero_point_is_lost(site, 1, 3))
}

/// RTen loses the zero point of signed numbers.
fn zero_point_is_lost(site: &Site<'_>, operand: usize, zero_point: usize) -> Option<&'static str> {
    let absent = site
        .node
        .input
        .get(zero_point)
        .is_none_or(prost::bytes::Bytes::is_empty);
    let zero = || {
        site.constant_ints(zero_point)
            .is_some_and(|zeros| zeros.iter().all(|zero| *zero == 0))
    };
    let unsigned = || {
        site.element_type(zero_point)
            .or_else(|| site.element_type(operand))
            == Some(DataType::Uint8)
    };
    (!absent && !unsigned() && !zero()).then_some("RTen handles a signed zero point differently")
}

fn mat_mul(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    match site.dims(1, inferred) {
        Some(second) if second.len() != 1 => None,
        _ if site.dims(0, inferred).is_some_and(|first| first.len() < 3) => None,
        Some(_) => Some("RTen returns the product of a matrix and a vector in a different shape"),
        None => Some(
            "RTen returns the product of a matrix and a vector in a different shape, and the shapes here are unknown",
        ),
    }
}

/// Until opset 12 these normalize over all dimensions from `axis` on, which is 1 unless it is stated; RTen always
/// over one, by default the last. It is the same where all others are 1.
fn softmax(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let axis = site.int("axis");
    let same = site.dims(0, inferred).is_some_and(|shape| {
        let place = |axis: i64| {
            let axis = if axis < 0 {
                axis + shape.len() as i64
            } else {
                axis
            };
            usize::try_from(axis)
                .ok()
                .filter(|axis| *axis < shape.len())
        };
        let (Some(onnx), Some(rten)) = (place(axis.unwrap_or(1)), place(axis.unwrap_or(-1))) else {
            return false;
        };
        let mut others = (onnx..shape.len()).filter(|dim| *dim != rten);
        rten >= onnx && others.all(|dim| shape[dim] == Some(1))
    });
    (!same).then_some("before opset 13, it normalizes over several dimensions, which RTen does not support; convert the model to opset 13 or newer")
}

fn resize(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let node = site.node;
    let is_upsample = node.operator() == "Upsample";
    if site.string("mode").is_some_and(|mode| mode != "nearest") {
        return None;
    }
    let coordinates = match site.string("coordinate_transformation_mode").as_deref() {
        _ if is_upsample => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("align_corners") => Coordinates::AlignCorners,
        // RTen's loader knows no others.
        Some(_) => return None,
    };
    let rounding = match site.string("nearest_mode").as_deref() {
        _ if is_upsample => Rounding::Floor,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        _ => Rounding::PreferFloor,
    };
    let at = if is_upsample { 1 } else { 2 };
    let scales = match node.attribute("scales") {
        Some(scales) => Some(scales.floats.clone()),
        None => site.constant(at).and_then(Constant::floats),
    };
    let from = site.dims(0, inferred);
    let named = |input: usize| node.input.get(input).is_some_and(|name| !name.is_empty());
    let to: Option<Vec<Length>> = match scales {
        Some(scales) if !scales.is_empty() => Some(scales.into_iter().map(Length::Scale).collect()),
        // The output's sizes count if there are no scales.
        None if named(at) => None,
        _ => {
            let sizes = site.constant_ints(3).map(|sizes| {
                sizes
                    .iter()
                    .map(|size| usize::try_from(*size).ok())
                    .collect()
            });
            let sizes: Option<Vec<Option<usize>>> =
                sizes.or_else(|| site.scope.dims(node.output.first()?, inferred));
            sizes.and_then(|sizes| {
                sizes
                    .into_iter()
                    .map(|size| size.map(Length::Size))
                    .collect()
            })
        }
    };
    let axes = to.and_then(|to| nearest::axes(from.as_deref(), &to));
    let right = axes.is_some_and(|axes| {
        axes.into_iter()
            .all(|axis| axis.is_right(coordinates, rounding) == Some(true))
    });
    (!right)
        .then_some("with these scales, RTen may select a different neighbour than ONNX specifies")
}

/// RTen's optimizer merges a factor, or drops a 0 or 1, whatever the number of its dimensions.
fn wider_constant(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let is_wider = |constant: usize, other: usize| {
        let sizes = site.constant(constant).and_then(Constant::dims);
        sizes.is_some_and(|sizes| {
            let other = site.dims(other, inferred).map(|dims| dims.len());
            sizes.iter().all(|size| *size == 1) && sizes.len() > other.unwrap_or(1)
        })
    };
    (is_wider(0, 1) || is_wider(1, 0))
        .then_some("RTen may drop the dimensions that a one-element constant adds")
}

/// RTen's optimizer takes `Unsqueeze`, `Expand` and `Reshape` that enlarge one dimension for a repetition of each of
/// its values, which it is only where the new dimension came right after it.
fn repeated(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let made_by = |name: &[u8], operator: &str| {
        let producer = site.scope.producer(name)?;
        (producer.operator() == operator).then_some(producer)
    };
    let expand = made_by(site.node.input.first()?, "Expand")?;
    let unsqueeze = made_by(expand.input.first()?, "Unsqueeze")?;
    let before = site.scope.dims(unsqueeze.input.first()?, inferred)?;
    let after = site.scope.dims(site.node.output.first()?, inferred)?;
    if before.len() != after.len() {
        return None;
    }
    let mut enlarged = (0..before.len()).filter(|axis| before[*axis] != after[*axis]);
    let (Some(axis), None) = (enlarged.next(), enlarged.next()) else {
        return None;
    };
    let axes = match unsqueeze.attribute("axes") {
        Some(axes) => Some(axes.ints.clone()),
        None => site
            .scope
            .constant(unsqueeze.input.get(1)?)
            .and_then(Constant::ints),
    };
    let is_after = axes.is_some_and(|axes| match axes[..] {
        [new] if new < 0 => new + before.len() as i64 + 1 == axis as i64 + 1,
        [new] => new == axis as i64 + 1,
        _ => false,
    });
    (!is_after).then_some("RTen repeats each value instead of the whole tensor")
}

/// RTen repeats the pattern where more is mirrored than there is.
fn pad(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let unclear = Some(
        "RTen's reflect padding differs from ONNX if the padding exceeds the input, or if sizes are unknown",
    );
    let pads = match site.node.attribute("pads") {
        Some(pads) => pads.ints.clone(),
        None => match site.constant_ints(1) {
            Some(pads) => pads,
            None => return unclear,
        },
    };
    let Some(dims) = site.dims(0, inferred) else {
        return unclear;
    };
    let axes: Vec<i64> = match site.node.input.get(3).filter(|name| !name.is_empty()) {
        None => (0..dims.len() as i64).collect(),
        Some(_) => match site.constant_ints(3) {
            Some(axes) => axes,
            None => return unclear,
        },
    };
    let fits = pads.len() == 2 * axes.len()
        && pads.iter().zip(axes.iter().cycle()).all(|(pad, axis)| {
            let axis = if *axis < 0 {
                axis + dims.len() as i64
            } else {
                *axis
            };
            let size = usize::try_from(axis).ok().and_then(|axis| *dims.get(axis)?);
            *pad <= 0 || size.is_some_and(|size| *pad < size as i64)
        });
    if fits { None } else { unclear }
}

/// Finds a node that takes whole numbers beyond 32 bits from a constant. `Slice` may: they mean its ends.
fn wide_numbers<'s, 'a>(sites: &'s [Site<'a>]) -> Option<&'s Site<'a>> {
    let is_wide = |value: &i64| i32::try_from(*value).is_err();
    let mut wide: HashSet<&[u8]> = HashSet::new();
    for site in sites {
        let takes = |name: &[u8]| {
            let wide_constant = |name: &[u8]| {
                let constant = site.scope.constant(name)?;
                Some(constant.ints()?.iter().any(is_wide))
            };
            wide.contains(name) || wide_constant(name) == Some(true)
        };
        let filled = site
            .node
            .attribute("value")
            .and_then(|value| value.t.as_ref());
        let filled = filled.and_then(|tensor| Constant::Tensor(tensor).ints());
        if site.node.operator() == "ConstantOfShape"
            && filled.is_some_and(|values| values.iter().any(is_wide))
        {
            return Some(site);
        }
        if !site.node.input.iter().any(|name| takes(name)) {
            continue;
        }
        match site.node.operator().as_ref() {
            "Slice" | "Clip" => {}
            "Cast" if site.int("to") == Some(DataType::Int64 as i64) => {
                wide.extend(site.node.output.iter().map(|name| &name[..]));
            }
            "Concat" | "Unsqueeze" | "Squeeze" | "Reshape" | "Identity" | "Gather" => {
                wide.extend(site.node.output.iter().map(|name| &name[..]));
            }
            _ => return Some(site),
        }
    }
    None
}

fn unsupported(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::ModelUnsupported, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use onnx::{Attribute, Function, Graph, Node, OperatorSetId, Tensor};

    use super::*;

    fn attribute(name: &'static str) -> Attribute {
        Attribute {
            name: Some(name.into()),
            ..Attribute::default()
        }
    }

    fn text_attribute(name: &'static str, value: &'static str) -> Attribute {
        Attribute {
            s: Some(value.into()),
            ..attribute(name)
        }
    }

    fn node(operator: &'static str, attributes: Vec<Attribute>) -> Node {
        Node {
            op_type: Some(operator.into()),
            name: Some("it".into()),
            input: vec!["x".into(), "c".into()],
            output: vec!["y".into()],
            attribute: attributes,
            ..Node::default()
        }
    }

    fn imports(version: i64) -> Vec<OperatorSetId> {
        vec![OperatorSetId {
            version: Some(version),
            ..OperatorSetId::default()
        }]
    }

    fn model(opset: i64, nodes: Vec<Node>) -> Model {
        Model {
            graph: Some(Graph {
                node: nodes,
                ..Graph::default()
            }),
            opset_import: imports(opset),
            ..Model::default()
        }
    }

    fn reasons_of(model: &Model) -> String {
        let refused = check_supported(model, &|_| None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ModelUnsupported);
        refused.to_string()
    }

    fn inside(operator: &'static str, body: &Model, times: usize) -> Node {
        let mut graph = body.graph.clone().unwrap();
        for _ in 1..times {
            let branch = Attribute {
                g: Some(graph),
                ..attribute("then_branch")
            };
            graph = model(17, vec![node(operator, vec![branch])]).graph.unwrap();
        }
        let branch = Attribute {
            g: Some(graph),
            ..attribute("then_branch")
        };
        node(operator, vec![branch])
    }

    #[test]
    fn faults_are_found_in_bodies() {
        let cubic = node("Resize", vec![text_attribute("mode", "cubic")]);
        let body = model(17, vec![node("Relu", vec![]), cubic]);
        assert!(reasons_of(&body).contains("Resize (it): RTen resizes with linear"));
        for operator in ["If", "Loop", "Scan"] {
            let outer = model(17, vec![node("Relu", vec![]), inside(operator, &body, 3)]);
            assert!(reasons_of(&outer).contains("Resize (it): RTen resizes with linear"));
        }
        // The same name in another domain is another operator.
        let mut foreign = body;
        foreign.graph.as_mut().unwrap().node[1].domain = Some("own".into());
        check_supported(&foreign, &|_| None).unwrap();
    }

    #[test]
    fn functions_have_their_own_opset_and_cannot_be_called() {
        let softmax = node("Softmax", vec![]);
        let mut caller = model(
            17,
            vec![Node {
                domain: Some("own".into()),
                ..node("Classes", vec![])
            }],
        );
        caller.functions = vec![Function {
            name: Some("Classes".into()),
            domain: Some("own".into()),
            node: vec![softmax],
            opset_import: imports(12),
            ..Function::default()
        }];
        assert!(reasons_of(&caller).contains("Softmax (it): before opset 13"));
        caller.functions[0].opset_import = imports(13);
        assert!(reasons_of(&caller).contains("Classes (it) is a function"));
    }

    #[test]
    fn the_number_and_the_depth_of_operators_are_limited() {
        let relu = node("Relu", vec![]);
        let full = model(17, vec![relu.clone(); MOST_OPERATORS]);
        check_loadable(&full).unwrap();
        let one_more = model(17, vec![inside("If", &full, 1)]);
        let error = check_loadable(&one_more).unwrap_err().to_string();
        assert!(error.contains("4001 operators"), "{error}");
        let mut in_function = model(17, vec![]);
        in_function.functions = vec![Function {
            node: vec![relu.clone(); MOST_OPERATORS + 1],
            ..Function::default()
        }];
        check_loadable(&in_function).unwrap_err();
        let deep = |times| {
            model(
                17,
                vec![inside("If", &model(17, vec![relu.clone()]), times)],
            )
        };
        check_loadable(&deep(MOST_NESTED)).unwrap();
        let error = check_loadable(&deep(MOST_NESTED + 1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("more than 8 deep"), "{error}");
        let attributes = (0..33).map(|_| attribute("a")).collect();
        check_loadable(&model(17, vec![node("Relu", attributes)])).unwrap_err();
    }

    fn with_constant(mut model: Model, data_type: DataType, dims: &[i64], raw: Vec<u8>) -> Model {
        model.graph.as_mut().unwrap().initializer = vec![Tensor {
            name: Some("c".into()),
            dims: dims.to_vec(),
            data_type: Some(data_type as i32),
            raw_data: Some(raw.into()),
            ..Tensor::default()
        }];
        model
    }

    #[test]
    fn types_come_from_constants_and_casts() {
        let like = || model(19, vec![node("CastLike", vec![])]);
        assert!(reasons_of(&like()).contains("its type is unknown"));
        let of = |data_type| with_constant(like(), data_type, &[1], vec![0; 8]);
        assert!(reasons_of(&of(DataType::Bool)).contains("booleans"));
        assert!(reasons_of(&of(DataType::Double)).contains("f64"));
        check_supported(&of(DataType::Float), &|_| None).unwrap();
        let to = |data_type: DataType| Attribute {
            i: Some(data_type as i64),
            ..attribute("to")
        };
        let cast = Node {
            output: vec!["c".into()],
            ..node("Cast", vec![to(DataType::Float16)])
        };
        check_supported(&model(19, vec![cast, node("CastLike", vec![])]), &|_| None).unwrap();
        assert!(
            reasons_of(&model(19, vec![node("Cast", vec![to(DataType::Bool)])]))
                .contains("booleans")
        );
    }

    #[test]
    fn whole_numbers_beyond_32_bits_are_for_slices() {
        let of = |operator, value: i64| {
            let model = model(17, vec![node(operator, vec![])]);
            with_constant(model, DataType::Int64, &[1], value.to_le_bytes().to_vec())
        };
        check_supported(&of("Slice", i64::MAX), &|_| None).unwrap();
        assert!(reasons_of(&of("Mul", 3_000_000_000)).contains("beyond 32 bits"));
        assert!(reasons_of(&of("Where", i64::MAX)).contains("beyond 32 bits"));
        check_supported(&of("Gather", 7), &|_| None).unwrap();
    }

    #[test]
    fn products_of_bytes_must_not_saturate() {
        let kernel = Attribute {
            ints: vec![1, 1],
            ..attribute("kernel_shape")
        };
        let of = |operator, data_type, values: Vec<u8>| {
            let model = model(17, vec![node(operator, vec![kernel.clone()])]);
            with_constant(model, data_type, &[1, values.len() as i64, 1, 1], values)
        };
        check_supported(&of("ConvInteger", DataType::Uint8, vec![0, 127]), &|_| None).unwrap();
        assert!(reasons_of(&of("ConvInteger", DataType::Uint8, vec![128])).contains("saturate"));
        assert!(reasons_of(&of("ConvInteger", DataType::Int8, vec![0x80, 1])).contains("saturate"));
        check_supported(
            &of("MatMulInteger", DataType::Int8, vec![64, 0xc0]),
            &|_| None,
        )
        .unwrap();
        assert!(reasons_of(&of("MatMulInteger", DataType::Int8, vec![65])).contains("saturate"));
        assert!(reasons_of(&of("MatMulInteger", DataType::Uint8, vec![63])).contains("saturate"));
    }

    #[test]
    fn shapes_decide_where_they_are_known() {
        let shape = |sizes: &'static [usize]| {
            move |_: &[u8]| {
                Some(
                    sizes
                        .iter()
                        .map(|size| rten::Dimension::Fixed(*size))
                        .collect(),
                )
            }
        };
        let with_input = |mut model: Model| {
            model.graph.as_mut().unwrap().input = vec![onnx::ValueInfo {
                name: Some("x".into()),
                ..onnx::ValueInfo::default()
            }];
            model
        };
        let body = model(12, vec![node("Softmax", vec![])]);
        let softmax = with_input(body.clone());
        check_supported(&softmax, &shape(&[1, 10])).unwrap();
        check_supported(&softmax, &shape(&[1, 3, 4, 5])).unwrap_err();
        check_supported(&softmax, &|_| None).unwrap_err();
        // A body reads values of the outer graph; the shapes of its own values are unknown.
        let captures = with_input(model(12, vec![inside("If", &body, 1)]));
        check_supported(&captures, &shape(&[1, 10])).unwrap();
        let own = with_input(model(12, vec![inside("If", &softmax, 1)]));
        check_supported(&own, &shape(&[1, 10])).unwrap_err();
        let product = with_input(model(17, vec![node("MatMul", vec![])]));
        let square = with_constant(product.clone(), DataType::Float, &[4, 4], vec![0; 64]);
        check_supported(&square, &shape(&[1, 3, 4, 4])).unwrap();
        check_supported(&product, &|_| None).unwrap_err();
        let vector = with_constant(product, DataType::Float, &[4], vec![0; 16]);
        assert!(reasons_of(&vector).contains("a different shape"));
    }
}
