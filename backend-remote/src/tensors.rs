//! Tensors as messages.

use backend_api::{ElementType, Tensor};
use tonic::codegen::Bytes;

use crate::protocol::{InferOutputTensor, InferTensorContents};

/// The most dimensions of a tensor.
pub(crate) const MOST_DIMENSIONS: usize = 16;

/// The names of element types in the protocol.
const DATATYPES: [(ElementType, &str); 12] = [
    (ElementType::F32, "FP32"),
    (ElementType::F64, "FP64"),
    (ElementType::F16, "FP16"),
    (ElementType::Bf16, "BF16"),
    (ElementType::U8, "UINT8"),
    (ElementType::U16, "UINT16"),
    (ElementType::U32, "UINT32"),
    (ElementType::U64, "UINT64"),
    (ElementType::I8, "INT8"),
    (ElementType::I16, "INT16"),
    (ElementType::I32, "INT32"),
    (ElementType::I64, "INT64"),
];

/// Returns the name of an element type in the protocol.
pub(crate) fn datatype(element_type: ElementType) -> &'static str {
    let known = DATATYPES.iter().find(|(known, _)| *known == element_type);
    known.map_or("", |(_, name)| name)
}

/// Returns the element type with this name in the protocol.
pub(crate) fn element_type(datatype: &str) -> Option<ElementType> {
    let mut known = DATATYPES.iter();
    let found = known.find(|(_, name)| name.eq_ignore_ascii_case(datatype));
    found.map(|(element_type, _)| *element_type)
}

/// Reads an output of a reply, which is raw or typed. The error is a sentence without its subject, the output.
pub(crate) fn read(output: &InferOutputTensor, raw: Option<&Bytes>) -> Result<Tensor, String> {
    let element_type = element_type(&output.datatype).ok_or_else(|| {
        let shown: String = output.datatype.chars().take(40).collect();
        format!("has the unknown datatype {shown:?}")
    })?;
    if output.shape.len() > MOST_DIMENSIONS {
        return Err(format!(
            "has {} dimensions, but at most {MOST_DIMENSIONS} are accepted",
            output.shape.len()
        ));
    }
    let sizes = output.shape.iter().map(|&size| usize::try_from(size));
    let shape: Vec<usize> = sizes
        .collect::<Result<_, _>>()
        .map_err(|_| format!("has the impossible shape {:?}", output.shape))?;
    let tensor = match (raw, &output.contents) {
        (Some(raw), _) => Tensor::from_bytes(element_type, shape, raw),
        (None, Some(contents)) => typed(element_type, shape, contents)?,
        (None, None) => return Err("has no elements".to_owned()),
    };
    tensor.map_err(|error| format!("is damaged: {error}"))
}

fn typed(
    element_type: ElementType,
    shape: Vec<usize>,
    contents: &InferTensorContents,
) -> Result<Result<Tensor, backend_api::Error>, String> {
    fn narrow<T: Copy + ToString, N: TryFrom<T>>(values: &[T]) -> Result<Vec<N>, String> {
        let narrowed = values.iter().map(|&value| {
            N::try_from(value)
                .map_err(|_| format!("has a value outside of its datatype: {}", value.to_string()))
        });
        narrowed.collect()
    }
    let (ints, uints) = (&contents.int_contents, &contents.uint_contents);
    Ok(match element_type {
        ElementType::F32 => Tensor::new(shape, contents.fp32_contents.clone()),
        ElementType::F64 => Tensor::new(shape, contents.fp64_contents.clone()),
        ElementType::I8 => Tensor::new(shape, narrow::<_, i8>(ints)?),
        ElementType::I16 => Tensor::new(shape, narrow::<_, i16>(ints)?),
        ElementType::I32 => Tensor::new(shape, ints.clone()),
        ElementType::I64 => Tensor::new(shape, contents.int64_contents.clone()),
        ElementType::U8 => Tensor::new(shape, narrow::<_, u8>(uints)?),
        ElementType::U16 => Tensor::new(shape, narrow::<_, u16>(uints)?),
        ElementType::U32 => Tensor::new(shape, uints.clone()),
        ElementType::U64 => Tensor::new(shape, contents.uint64_contents.clone()),
        other => return Err(format!("is {other}, which only raw contents can hold")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(datatype: &str, shape: &[i64]) -> InferOutputTensor {
        InferOutputTensor {
            name: "x".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            contents: None,
        }
    }

    #[test]
    fn raw_and_typed_outputs_are_the_same_tensor() {
        let expected = Tensor::new([1, 2], vec![1_i8, -2]).unwrap();
        let raw = Bytes::from_static(&[1, 254]);
        assert_eq!(
            read(&output("INT8", &[1, 2]), Some(&raw)).unwrap(),
            expected
        );
        let mut typed = output("int8", &[1, 2]);
        typed.contents = Some(InferTensorContents {
            int_contents: vec![1, -2],
            ..InferTensorContents::default()
        });
        assert_eq!(read(&typed, None).unwrap(), expected);
    }

    #[test]
    fn impossible_outputs_are_refused() {
        let raw = Bytes::from_static(&[0; 8]);
        let refused = |datatype: &str, shape: &[i64], word: &str| {
            let error = read(&output(datatype, shape), Some(&raw)).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        refused("FP32", &[3], "holds 3 elements");
        refused("FP32", &[-1], "impossible shape");
        refused("FP32", &[i64::MAX, i64::MAX], "overflows");
        refused("FP32", &[1; 17], "17 dimensions");
        refused("BYTES", &[8], r#"unknown datatype "BYTES""#);
        let mut large = output("UINT8", &[1]);
        large.contents = Some(InferTensorContents {
            uint_contents: vec![256],
            ..InferTensorContents::default()
        });
        assert!(read(&large, None).unwrap_err().contains("256"));
        large.datatype = "FP16".to_owned();
        assert!(read(&large, None).unwrap_err().contains("raw"));
        assert!(
            read(&output("FP32", &[2]), None)
                .unwrap_err()
                .contains("no elements")
        );
    }
}
