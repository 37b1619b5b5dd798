//! Arrays of `NumPy`: `.npy` files, alone in a directory or together in an `.npz` archive.

mod header;
mod reader;
mod writer;

use backend_api::ElementType;

pub use reader::ArrayFiles;
pub use writer::ArrayWriter;

/// Returns `NumPy`'s name of an element type, without the order of bytes. bf16, which `NumPy` lacks, becomes f32.
pub fn kind(element_type: ElementType) -> Option<&'static str> {
    Some(match element_type {
        ElementType::F64 => "f8",
        ElementType::F16 => "f2",
        ElementType::F32 | ElementType::Bf16 => "f4",
        ElementType::U8 => "u1",
        ElementType::U16 => "u2",
        ElementType::U32 => "u4",
        ElementType::U64 => "u8",
        ElementType::I8 => "i1",
        ElementType::I16 => "i2",
        ElementType::I32 => "i4",
        ElementType::I64 => "i8",
        _ => return None,
    })
}

/// Returns the bytes of a tensor as arrays hold them: those of [`kind`].
pub fn bytes(tensor: &backend_api::Tensor) -> std::borrow::Cow<'_, [u8]> {
    if tensor.element_type() == ElementType::Bf16 {
        let values = tensor.to_f32();
        let widened = values.iter().flat_map(|value| value.to_ne_bytes());
        return widened.collect::<Vec<u8>>().into();
    }
    tensor.as_bytes().into()
}

/// Returns the shape for one image, without a batch of 1.
pub fn of_image(shape: &[usize]) -> &[usize] {
    match shape {
        [1, rest @ ..] => rest,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_has_a_type_of_its_size() {
        for (element_type, expected) in [
            (ElementType::U16, "u2"),
            (ElementType::U32, "u4"),
            (ElementType::U64, "u8"),
            (ElementType::I16, "i2"),
        ] {
            assert_eq!(kind(element_type), Some(expected));
        }
    }

    #[test]
    fn a_batch_of_one_is_the_row_of_an_image() {
        assert_eq!(of_image(&[1, 12]), [12]);
        assert_eq!(of_image(&[12]), [12]);
        assert_eq!(of_image(&[196, 64]), [196, 64]);
        assert!(of_image(&[]).is_empty() && of_image(&[1]).is_empty());
    }
}
