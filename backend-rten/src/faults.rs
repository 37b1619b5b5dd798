//! What RTen 0.27 computes otherwise than ONNX says, or cannot: refused before it runs, because a reference that
//! is wrong in silence is worse than none. Each was found by comparing single operators with ONNX Runtime.

use backend_api::{Error, ErrorKind};
use model_file::onnx::Operator;
use rten::{Dimension, Model};

/// RTen plans a graph by recursion, on threads with small stacks: 8,000 operators in a row overflowed it.
const MOST_OPERATORS: usize = 4_000;
/// `onnx.TensorProto.DOUBLE` and `BOOL`.
const DOUBLE: i64 = 11;
const BOOL: i64 = 9;

/// What can be told from the file.
pub(crate) fn refuse(operators: &[Operator]) -> Result<(), Error> {
    if operators.len() > MOST_OPERATORS {
        return Err(refused(
            format!(
                "the model has {} operators, more than {MOST_OPERATORS}",
                operators.len()
            ),
            "try it with `--backend onnx`",
        ));
    }
    for operator in operators.iter().filter(|operator| operator.opset > 0) {
        if let Some(fault) = fault(operator) {
            return Err(refused(
                format!("{}: {fault}", described(operator)),
                "try it with `--backend onnx`, or export the model otherwise",
            ));
        }
    }
    Ok(())
}

fn fault(operator: &Operator) -> Option<&'static str> {
    let text = |name: &str| operator.texts.get(name).map(String::as_str);
    let ints = |name: &str| operator.ints.get(name);
    match operator.op_type.as_str() {
        "Conv" | "ConvInteger" | "ConvTranspose" if ints("kernel_shape").is_none() => {
            Some("RTen needs the attribute kernel_shape, which the model leaves out")
        }
        _ if text("auto_pad") == Some("SAME_LOWER") => {
            Some("RTen takes the padding SAME_LOWER for SAME_UPPER")
        }
        "ConvInteger" if ints("pads").is_some_and(|pads| pads.iter().any(|pad| *pad != 0)) => {
            Some("RTen pads with another number than the zero point")
        }
        "Resize" if text("mode") == Some("cubic") => Some("RTen resizes linearly instead"),
        "Cast" if ints("to").is_some_and(|to| to[..] == [BOOL]) => {
            Some("RTen keeps numbers where booleans are asked for")
        }
        "Cast" if ints("to").is_some_and(|to| to[..] == [DOUBLE]) => {
            Some("RTen computes in f32 where f64 is asked for")
        }
        _ => None,
    }
}

/// Until opset 12 these normalize over all dimensions from `axis` on, which is 1 unless it is said; RTen always
/// over one, by default the last. It is the same where all others are 1.
pub(crate) fn refuse_with_shapes(operators: &[Operator], model: &Model) -> Result<(), Error> {
    for operator in operators {
        let is_softmax = matches!(operator.op_type.as_str(), "Softmax" | "LogSoftmax");
        if !is_softmax || !(1..13).contains(&operator.opset) {
            continue;
        }
        let said = operator.ints.get("axis").and_then(|axis| axis.first());
        let shape = operator
            .inputs
            .first()
            .and_then(|input| model.node_info(model.find_node(input)?)?.shape());
        let same = shape.as_deref().is_some_and(|shape| {
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
            let (Some(onnx), Some(rten)) = (
                place(said.copied().unwrap_or(1)),
                place(said.copied().unwrap_or(-1)),
            ) else {
                return false;
            };
            let is_one = |dim: &Dimension| *dim == Dimension::Fixed(1);
            let mut others = (onnx..shape.len()).filter(|dim| *dim != rten);
            rten >= onnx && others.all(|dim| is_one(&shape[dim]))
        });
        if !same {
            return Err(refused(
                format!(
                    "{} of opset {} normalizes over several dimensions, which RTen does not",
                    described(operator),
                    operator.opset
                ),
                "try it with `--backend onnx`, or convert the model to opset 13 or newer",
            ));
        }
    }
    Ok(())
}

fn described(operator: &Operator) -> String {
    if operator.name.is_empty() {
        format!("the operator {}", operator.op_type)
    } else {
        format!(
            "the operator {} ({})",
            operator.op_type,
            operator.name.escape_debug()
        )
    }
}

fn refused(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::ModelUnsupported, "load the model", message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_named_with_its_operator() {
        // `Operator` can only be made by reading a model, so this asks what the table says of a real one.
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/plain.onnx");
        let read = model_file::check_onnx(model.as_ref(), "RTen").unwrap();
        let operators = read.model.operators();
        refuse(&operators).unwrap();
        let mut conv = operators
            .into_iter()
            .find(|operator| operator.op_type == "Conv")
            .unwrap();
        let said = |operator: &Operator| {
            let refused = refuse(std::slice::from_ref(operator)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ModelUnsupported);
            refused.to_string()
        };
        conv.texts.insert("auto_pad".into(), "SAME_LOWER".into());
        assert!(said(&conv).contains("SAME_LOWER"));
        conv.ints.remove("kernel_shape");
        assert!(said(&conv).contains("kernel_shape"));
        // Operators of other domains are not known.
        conv.opset = 0;
        refuse(std::slice::from_ref(&conv)).unwrap();
        conv.opset = 13;
        conv.op_type = "Resize".into();
        conv.texts = [("mode".to_owned(), "cubic".to_owned())].into();
        assert!(said(&conv).contains("linearly"));
        conv.op_type = "Cast".into();
        conv.ints.insert("to".into(), vec![DOUBLE]);
        assert!(said(&conv).contains("f64"));
        conv.ints.insert("to".into(), vec![1]);
        refuse(std::slice::from_ref(&conv)).unwrap();
        let many = vec![conv; MOST_OPERATORS + 1];
        assert!(
            refuse(&many)
                .unwrap_err()
                .to_string()
                .contains("4001 operators")
        );
    }
}
