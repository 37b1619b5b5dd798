//! What RTen 0.27 computes otherwise than ONNX says, or cannot: refused before it runs, because a reference that
//! is wrong in silence is worse than none. `tests/operators.rs` compares every operator with ONNX's own reference.

use std::collections::HashSet;

use backend_api::{Error, ErrorKind};
use model_file::onnx::{self, DataType, Model, text};

use crate::fill::has_ints;
use crate::graph::{Inferred, MOST_NESTED, MOST_OPERATORS, Site, TooLarge, sites};
use crate::nearest::{self, Coordinates, Length, Rounding};

/// RTen looks at no more attributes of a node.
const MOST_ATTRIBUTES: usize = 32;

/// Refuses what must not reach RTen's loader.
pub(crate) fn refuse_to_load(model: &Model) -> Result<(), Error> {
    let hint = "try it with `--backend onnx`";
    let sites = sites(model).map_err(|large| match large {
        TooLarge::Operators(count) => refused(
            format!("the model has {count} operators, more than {MOST_OPERATORS}"),
            hint,
        ),
        TooLarge::Nested => refused(
            format!("the bodies of If and Loop lie in each other more than {MOST_NESTED} deep"),
            hint,
        ),
    })?;
    for site in &sites {
        if site.node.attribute.len() > MOST_ATTRIBUTES {
            let count = site.node.attribute.len();
            return Err(refused(
                format!(
                    "{} has {count} attributes, and RTen reads {MOST_ATTRIBUTES}",
                    described(site)
                ),
                hint,
            ));
        }
    }
    Ok(())
}

/// Refuses what RTen computes otherwise than ONNX says. `inferred` are the shapes that RTen worked out.
pub(crate) fn refuse(model: &Model, inferred: &Inferred<'_>) -> Result<(), Error> {
    let Ok(sites) = sites(model) else {
        return refuse_to_load(model);
    };
    let hint = "try it with `--backend onnx`, or export the model otherwise";
    for site in sites.iter().filter(|site| site.opset > 0) {
        if let Some(fault) = fault(site, inferred) {
            return Err(refused(format!("{}: {fault}", described(site)), hint));
        }
    }
    if let Some(site) = sites.iter().find(|site| is_function(model, site)) {
        let message = format!(
            "{} is a function of the model, which RTen does not have",
            described(site)
        );
        return Err(refused(
            message,
            "try it with `--backend onnx`, or inline the functions",
        ));
    }
    if let Some(site) = sites
        .iter()
        .find(|site| site.opset == 0 && site.node.operator() == "Constant")
    {
        let message = format!(
            "{} is not ONNX's, but RTen takes it for that",
            described(site)
        );
        return Err(refused(message, hint));
    }
    if let Some(site) = wide_numbers(&sites) {
        let message = format!(
            "{} takes whole numbers beyond 32 bits, and RTen computes in 32 bits",
            described(site)
        );
        return Err(refused(message, hint));
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
    if string(site, "auto_pad").is_some_and(|kind| kind == "SAME_LOWER") {
        return Some("RTen takes the padding SAME_LOWER for SAME_UPPER");
    }
    match operator.as_ref() {
        "Conv" | "ConvInteger" | "ConvTranspose" if !has_ints(node, "kernel_shape") => Some(
            "RTen needs the attribute kernel_shape, which the model leaves out, and the weights' sizes are unknown",
        ),
        "ConvInteger" => conv_integer(site),
        "MatMulInteger" => mat_mul_integer(site).or_else(|| mat_mul(site, inferred)),
        "MatMul" => mat_mul(site, inferred),
        "Resize" if string(site, "mode").is_some_and(|mode| mode == "cubic") => {
            Some("RTen resizes linearly instead")
        }
        "Resize" | "Upsample" => resize(site, inferred),
        "Cast" => converts_to(node.attribute("to").and_then(|to| to.i).map(|to| {
            i32::try_from(to)
                .ok()
                .and_then(|to| DataType::try_from(to).ok())
        })?),
        "CastLike" => match element_type(site, 1) {
            None => Some("its type is unknown, and RTen computes in other types than bool and f64"),
            like => converts_to(like),
        },
        "ArgMax" | "ArgMin" => Some("of equal values RTen takes another one than the first"),
        "Sign"
            if !matches!(
                element_type(site, 0),
                Some(DataType::Int32 | DataType::Int64)
            ) =>
        {
            Some("RTen takes the sign of 0 for 1 or -1")
        }
        "Softplus" => Some("RTen gives infinity for values above 88"),
        "Softmax" | "LogSoftmax" if site.opset < 13 => softmax(site, inferred),
        "Pad" if string(site, "mode").is_some_and(|mode| mode == "reflect") => pad(site, inferred),
        "Add" | "Sub" | "Mul" | "Div" => wider_constant(site, inferred),
        "Reshape" => repeated(site, inferred),
        operator
            if operator.starts_with("Reduce") && int(site, "noop_with_empty_axes") == Some(1) =>
        {
            let axes = node
                .input
                .get(1)
                .and_then(|axes| site.scope.constant(axes)?.dims());
            (axes.is_none_or(|dims| dims.contains(&0)))
                .then_some("RTen does not do what noop_with_empty_axes asks for")
        }
        _ => None,
    }
}

fn converts_to(element_type: Option<DataType>) -> Option<&'static str> {
    match element_type {
        Some(DataType::Bool) => Some("RTen keeps numbers where booleans are asked for"),
        Some(DataType::Double) => Some("RTen computes in f32 where f64 is asked for"),
        _ => None,
    }
}

/// Products of 8-bit numbers are exact while pairs of them fit into 16 bits: on processors without VNNI, RTen
/// adds them with saturation. Its left operand is unsigned.
const SATURATES: Option<&str> = Some(
    "RTen's sums of 8-bit products saturate at 16 bits on processors without VNNI, and these weights may reach that",
);

fn conv_integer(site: &Site<'_>) -> Option<&'static str> {
    let pads = site.node.attribute("pads");
    let padded = pads.is_some_and(|pads| pads.ints.iter().any(|pad| *pad != 0));
    if padded || string(site, "auto_pad").is_some_and(|kind| kind.starts_with("SAME")) {
        return Some("RTen pads with another number than the zero point");
    }
    // The filters are on the left, moved up by their least value if they are signed.
    let Some(weights) = constant_ints(site, 1) else {
        return SATURATES;
    };
    let least = weights.iter().copied().min().unwrap_or(0).min(0);
    let largest = weights.iter().copied().max().unwrap_or(0).max(0);
    if largest - least > 127 {
        return SATURATES;
    }
    zero_point_is_lost(site, 1, 3)
}

fn mat_mul_integer(site: &Site<'_>) -> Option<&'static str> {
    let Some(weights) = constant_ints(site, 1) else {
        return SATURATES;
    };
    let shift = if element_type(site, 1) == Some(DataType::Uint8) {
        128
    } else {
        0
    };
    if weights.iter().any(|weight| (weight - shift).abs() > 64) {
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
    let zero =
        || constant_ints(site, zero_point).is_some_and(|zeros| zeros.iter().all(|zero| *zero == 0));
    let unsigned = || {
        element_type(site, zero_point).or_else(|| element_type(site, operand))
            == Some(DataType::Uint8)
    };
    (!absent && !unsigned() && !zero())
        .then_some("RTen computes otherwise with a zero point of signed numbers")
}

fn mat_mul(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    match dims(site, 1, inferred) {
        Some(second) if second.len() != 1 => None,
        _ if dims(site, 0, inferred).is_some_and(|first| first.len() < 3) => None,
        Some(_) => Some("RTen gives matrices times a vector another shape"),
        None => Some(
            "RTen gives matrices times a vector another shape, and it is unknown whether this is one",
        ),
    }
}

/// Until opset 12 these normalize over all dimensions from `axis` on, which is 1 unless it is said; RTen always
/// over one, by default the last. It is the same where all others are 1.
fn softmax(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let said = int(site, "axis");
    let same = dims(site, 0, inferred).is_some_and(|shape| {
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
        let (Some(onnx), Some(rten)) = (place(said.unwrap_or(1)), place(said.unwrap_or(-1))) else {
            return false;
        };
        let mut others = (onnx..shape.len()).filter(|dim| *dim != rten);
        rten >= onnx && others.all(|dim| shape[dim] == Some(1))
    });
    (!same).then_some("before opset 13 it normalizes over several dimensions, which RTen does not; convert the model to opset 13 or newer")
}

fn resize(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let node = site.node;
    let is_upsample = node.operator() == "Upsample";
    if string(site, "mode").is_some_and(|mode| mode != "nearest") {
        return None;
    }
    let coordinates = match string(site, "coordinate_transformation_mode").as_deref() {
        _ if is_upsample => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("align_corners") => Coordinates::AlignCorners,
        // RTen's loader knows no others.
        Some(_) => return None,
    };
    let rounding = match string(site, "nearest_mode").as_deref() {
        _ if is_upsample => Rounding::Floor,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        _ => Rounding::PreferFloor,
    };
    let at = if is_upsample { 1 } else { 2 };
    let scales = match node.attribute("scales") {
        Some(scales) => Some(scales.floats.clone()),
        None => constant(site, at).and_then(crate::graph::Constant::floats),
    };
    let from = dims(site, 0, inferred);
    let named = |input: usize| node.input.get(input).is_some_and(|name| !name.is_empty());
    let to: Option<Vec<Length>> = match scales {
        Some(scales) if !scales.is_empty() => Some(scales.into_iter().map(Length::Scale).collect()),
        // The output's sizes count if there are no scales.
        None if named(at) => None,
        _ => {
            let sizes = constant_ints(site, 3).map(|sizes| {
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
    (!right).then_some("with these scales RTen may take another neighbour than ONNX says")
}

/// RTen's optimizer merges a factor, or drops a 0 or 1, whatever the number of its dimensions.
fn wider_constant(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let is_wider = |constant: usize, other: usize| {
        let sizes = self::constant(site, constant).and_then(crate::graph::Constant::dims);
        sizes.is_some_and(|sizes| {
            let other = dims(site, other, inferred).map(|dims| dims.len());
            sizes.iter().all(|size| *size == 1) && sizes.len() > other.unwrap_or(1)
        })
    };
    (is_wider(0, 1) || is_wider(1, 0))
        .then_some("RTen may lose the dimensions that a constant of one value adds")
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
            .and_then(crate::graph::Constant::ints),
    };
    let is_after = axes.is_some_and(|axes| match axes[..] {
        [new] if new < 0 => new + before.len() as i64 + 1 == axis as i64 + 1,
        [new] => new == axis as i64 + 1,
        _ => false,
    });
    (!is_after).then_some("RTen repeats each value where the whole is repeated")
}

/// RTen repeats the pattern where more is mirrored than there is.
fn pad(site: &Site<'_>, inferred: &Inferred<'_>) -> Option<&'static str> {
    let unclear =
        Some("RTen mirrors otherwise if there is more padding than values, or it is unknown");
    let pads = match site.node.attribute("pads") {
        Some(pads) => pads.ints.clone(),
        None => match constant_ints(site, 1) {
            Some(pads) => pads,
            None => return unclear,
        },
    };
    let Some(dims) = dims(site, 0, inferred) else {
        return unclear;
    };
    let axes: Vec<i64> = match site.node.input.get(3).filter(|name| !name.is_empty()) {
        None => (0..dims.len() as i64).collect(),
        Some(_) => match constant_ints(site, 3) {
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
        if !site.node.input.iter().any(|name| takes(name)) {
            continue;
        }
        match site.node.operator().as_ref() {
            "Slice" | "Clip" => {}
            "Concat" | "Unsqueeze" | "Squeeze" | "Reshape" | "Identity" | "Gather" => {
                wide.extend(site.node.output.iter().map(|name| &name[..]));
            }
            _ => return Some(site),
        }
    }
    None
}

fn string(site: &Site<'_>, name: &str) -> Option<String> {
    let value = site.node.attribute(name)?.s.as_ref()?;
    Some(text(value).into_owned())
}

fn int(site: &Site<'_>, name: &str) -> Option<i64> {
    site.node.attribute(name)?.i
}

fn constant<'a>(site: &Site<'a>, input: usize) -> Option<crate::graph::Constant<'a>> {
    site.scope.constant(site.node.input.get(input)?)
}

fn constant_ints(site: &Site<'_>, input: usize) -> Option<Vec<i64>> {
    constant(site, input)?.ints()
}

fn element_type(site: &Site<'_>, input: usize) -> Option<DataType> {
    site.scope.element_type(site.node.input.get(input)?)
}

fn dims(site: &Site<'_>, input: usize, inferred: &Inferred<'_>) -> Option<Vec<Option<usize>>> {
    site.scope.dims(site.node.input.get(input)?, inferred)
}

fn described(site: &Site<'_>) -> String {
    let operator = site.node.operator();
    match site.node.name.as_ref().filter(|name| !name.is_empty()) {
        None => format!("the operator {}", operator.escape_debug()),
        Some(name) => format!(
            "the operator {} ({})",
            operator.escape_debug(),
            text(name).escape_debug()
        ),
    }
}

fn refused(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::ModelUnsupported, "load the model", message).with_hint(hint)
}
