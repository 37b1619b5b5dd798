//! Owned tensors.

use std::borrow::Cow;
use std::fmt;

use half::{bf16, f16};

use crate::{ElementType, Error, ErrorKind};

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// Evaluates `$body` with `$values` bound to the typed vector of `$data`.
macro_rules! each_type {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::F32($values) => $body,
            Data::F64($values) => $body,
            Data::F16($values) => $body,
            Data::Bf16($values) => $body,
            Data::U8($values) => $body,
            Data::U16($values) => $body,
            Data::U32($values) => $body,
            Data::U64($values) => $body,
            Data::I8($values) => $body,
            Data::I16($values) => $body,
            Data::I32($values) => $body,
            Data::I64($values) => $body,
        }
    };
}

mod sealed {
    use super::{Data, Tensor};

    pub trait Typed: Sized {
        fn wrap(values: Vec<Self>) -> Data;
        fn unwrap(data: Data) -> Option<Vec<Self>>;
        fn slice(tensor: &Tensor) -> Option<&[Self]>;
        fn slice_mut(tensor: &mut Tensor) -> Option<&mut [Self]>;
    }
}

/// A Rust type that can be an element of a [`Tensor`]. Sealed: one type for each [`ElementType`].
pub trait Element: sealed::Typed + bytemuck::Pod {
    /// The [`ElementType`] of this Rust type.
    const TYPE: ElementType;
}

macro_rules! element {
    ($($rust:ty => $variant:ident),+) => {$(
        impl Element for $rust {
            const TYPE: ElementType = ElementType::$variant;
        }
        impl sealed::Typed for $rust {
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
            fn unwrap(data: Data) -> Option<Vec<Self>> {
                if let Data::$variant(values) = data { Some(values) } else { None }
            }
            fn slice(tensor: &Tensor) -> Option<&[Self]> {
                if let Data::$variant(values) = &tensor.data { Some(values) } else { None }
            }
            fn slice_mut(tensor: &mut Tensor) -> Option<&mut [Self]> {
                if let Data::$variant(values) = &mut tensor.data { Some(values) } else { None }
            }
        }
    )+};
}
element!(
    f32 => F32, f64 => F64, f16 => F16, bf16 => Bf16, u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8,
    i16 => I16, i32 => I32, i64 => I64
);

/// A dense, row-major tensor that owns its elements.
///
/// The product of the shape always equals the number of elements; the constructors check it
/// without overflow. A shape of rank 0 is a scalar with one element.
///
/// ```
/// use backend_api::Tensor;
///
/// let tensor = Tensor::new([1, 2, 2], vec![0.0_f32, 0.25, 0.5, 1.0])?;
/// assert_eq!(tensor.as_slice::<f32>(), Some(&[0.0, 0.25, 0.5, 1.0][..]));
/// assert_eq!(tensor.as_slice::<u8>(), None);
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// Returns a tensor of `shape` with the elements of `values`, in row-major order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`] if the product of `shape` overflows or differs from the number
    /// of values.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, values: Vec<T>) -> Result<Self, Error> {
        let shape = shape.into();
        check_length(&shape, T::TYPE, values.len())?;
        Ok(Self {
            shape,
            data: T::wrap(values),
        })
    }

    /// Returns a tensor of `shape` from native-endian bytes, as engines hand them out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`] if the number of bytes does not match `shape` and
    /// `element_type`.
    pub fn from_bytes(
        element_type: ElementType,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        let shape = shape.into();
        if !bytes.len().is_multiple_of(element_type.size()) {
            return Err(mismatch(format!(
                "{} bytes are not a whole number of {element_type} elements",
                bytes.len()
            )));
        }
        check_length(&shape, element_type, bytes.len() / element_type.size())?;
        let data = match element_type {
            ElementType::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::F64 => Data::F64(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::F16 => Data::F16(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::Bf16 => Data::Bf16(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::U8 => Data::U8(bytes.to_vec()),
            ElementType::U16 => Data::U16(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::U32 => Data::U32(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::U64 => Data::U64(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::I8 => Data::I8(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::I16 => Data::I16(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::I32 => Data::I32(bytemuck::pod_collect_to_vec(bytes)),
            ElementType::I64 => Data::I64(bytemuck::pod_collect_to_vec(bytes)),
        };
        Ok(Self { shape, data })
    }

    /// Returns a tensor of `shape` whose elements are 0.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`] if the size overflows.
    pub fn zeros(element_type: ElementType, shape: impl Into<Vec<usize>>) -> Result<Self, Error> {
        let shape = shape.into();
        let len = checked_length(&shape, element_type)?;
        let data = match element_type {
            ElementType::F32 => Data::F32(vec![0.0; len]),
            ElementType::F64 => Data::F64(vec![0.0; len]),
            ElementType::F16 => Data::F16(vec![f16::ZERO; len]),
            ElementType::Bf16 => Data::Bf16(vec![bf16::ZERO; len]),
            ElementType::U8 => Data::U8(vec![0; len]),
            ElementType::U16 => Data::U16(vec![0; len]),
            ElementType::U32 => Data::U32(vec![0; len]),
            ElementType::U64 => Data::U64(vec![0; len]),
            ElementType::I8 => Data::I8(vec![0; len]),
            ElementType::I16 => Data::I16(vec![0; len]),
            ElementType::I32 => Data::I32(vec![0; len]),
            ElementType::I64 => Data::I64(vec![0; len]),
        };
        Ok(Self { shape, data })
    }

    /// Returns the size of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the type of the elements.
    pub fn element_type(&self) -> ElementType {
        fn of<T: Element>(_: &[T]) -> ElementType {
            T::TYPE
        }
        each_type!(&self.data, values => of(values))
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        each_type!(&self.data, values => values.len())
    }

    /// Returns whether there are no elements: a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements, if they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self)
    }

    /// Returns the elements for writing, if they are of type `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        T::slice_mut(self)
    }

    /// Returns the elements, if they are of type `T`: their memory can be used again for the next tensor.
    pub fn into_vec<T: Element>(self) -> Option<Vec<T>> {
        T::unwrap(self.data)
    }

    /// Returns the elements as native-endian bytes.
    pub fn as_bytes(&self) -> &[u8] {
        each_type!(&self.data, values => bytemuck::cast_slice(values))
    }

    /// Returns the elements as native-endian bytes, for writing.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        each_type!(&mut self.data, values => bytemuck::cast_slice_mut(values))
    }

    /// Joins tensors along their first dimension: images to a batch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`] if there is none, or if they differ in element type or in any
    /// other dimension.
    pub fn concat(parts: &[&Self]) -> Result<Self, Error> {
        Self::concat_in(None, parts)
    }

    /// Does [`concat`](Self::concat) in the memory of `spare`, if that has the same element type.
    ///
    /// # Errors
    ///
    /// The errors of [`concat`](Self::concat).
    pub fn concat_in(spare: Option<Self>, parts: &[&Self]) -> Result<Self, Error> {
        fn join<T: Element>(spare: Option<Tensor>, _: &[T], parts: &[&Tensor]) -> Data {
            let mut values: Vec<T> = spare.and_then(Tensor::into_vec).unwrap_or_default();
            values.clear();
            values.reserve_exact(parts.iter().map(|part| part.len()).sum());
            for part in parts {
                values.extend_from_slice(part.as_slice().expect("all have one element type"));
            }
            T::wrap(values)
        }
        let Some(first) = parts.first() else {
            return Err(mismatch("there is no tensor to join".to_owned()));
        };
        let rest = |tensor: &Self| tensor.shape.get(1..).map(<[usize]>::to_vec);
        let alike = |tensor: &&&Self| {
            tensor.element_type() == first.element_type()
                && rest(tensor).is_some()
                && rest(tensor) == rest(first)
        };
        if let Some(other) = parts.iter().find(|tensor| !alike(tensor)) {
            return Err(mismatch(format!("{other:?} cannot be joined to {first:?}")));
        }
        let mut shape = first.shape.clone();
        shape[0] = parts.iter().map(|tensor| tensor.shape[0]).sum();
        let data = each_type!(&first.data, values => join(spare, values, parts));
        Ok(Self { shape, data })
    }

    /// Splits a tensor along its first dimension: a batch to images, each with a first dimension
    /// of 1.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`] for a tensor without dimensions or elements.
    pub fn split(&self) -> Result<Vec<Self>, Error> {
        if self.shape.is_empty() || self.is_empty() {
            return Err(mismatch(format!("{self:?} cannot be split")));
        }
        let mut shape = self.shape.clone();
        shape[0] = 1;
        let bytes = self.as_bytes();
        bytes
            .chunks_exact(bytes.len() / self.shape[0])
            .map(|part| Self::from_bytes(self.element_type(), shape.clone(), part))
            .collect()
    }

    /// Returns the elements as `f32`; borrowed when they are. Values of 32 and 64 bits are rounded to nearest.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match &self.data {
            Data::F32(values) => Cow::Borrowed(values),
            Data::F64(values) => values.iter().map(|&value| value as f32).collect(),
            Data::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Data::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Data::U8(values) => values.iter().map(|&value| f32::from(value)).collect(),
            Data::U16(values) => values.iter().map(|&value| f32::from(value)).collect(),
            Data::U32(values) => values.iter().map(|&value| value as f32).collect(),
            Data::U64(values) => values.iter().map(|&value| value as f32).collect(),
            Data::I8(values) => values.iter().map(|&value| f32::from(value)).collect(),
            Data::I16(values) => values.iter().map(|&value| f32::from(value)).collect(),
            Data::I32(values) => values.iter().map(|&value| value as f32).collect(),
            Data::I64(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}{:?})", self.element_type(), self.shape)
    }
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::InputMismatch, message)
}

/// Returns the number of elements of a tensor.
fn checked_length(shape: &[usize], element_type: ElementType) -> Result<usize, Error> {
    shape
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
        // The byte size must be addressable too, or an engine's own arithmetic would wrap.
        .filter(|product| product.checked_mul(element_type.size()).is_some())
        .ok_or_else(|| mismatch(format!("the size of {element_type}{shape:?} overflows")))
}

fn check_length(shape: &[usize], element_type: ElementType, len: usize) -> Result<(), Error> {
    let expected = checked_length(shape, element_type)?;
    if expected == len {
        Ok(())
    } else {
        Err(mismatch(format!(
            "{element_type}{shape:?} holds {expected} elements, but {len} were given"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked_without_overflow() {
        assert!(Tensor::new([2, 3], vec![0_u8; 6]).is_ok());
        assert!(
            Tensor::new(Vec::new(), vec![1_i64]).is_ok(),
            "a scalar has one element"
        );
        for shape in [
            vec![2, 4],
            vec![usize::MAX, 2],
            vec![usize::MAX, usize::MAX],
        ] {
            let error = Tensor::new(shape, vec![0_u8; 6]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InputMismatch);
        }
        // The number of elements fits, the number of bytes does not.
        let error = Tensor::from_bytes(ElementType::F32, [usize::MAX / 2], &[]).unwrap_err();
        assert!(error.to_string().contains("overflows"), "{error}");
    }

    #[test]
    fn bytes_round_trip_for_every_type() {
        fn round_trip<T: Element + PartialEq + fmt::Debug>(values: &[T]) {
            let tensor = Tensor::new([values.len()], values.to_vec()).unwrap();
            // An odd offset: engines' buffers need not be aligned for us.
            let mut shifted = vec![0_u8];
            shifted.extend_from_slice(tensor.as_bytes());
            let back = Tensor::from_bytes(T::TYPE, [values.len()], &shifted[1..]).unwrap();
            assert_eq!(back, tensor);
            assert_eq!(back.as_slice::<T>().unwrap(), values);
            assert_eq!(tensor.as_bytes().len(), values.len() * T::TYPE.size());
            let mut written = Tensor::zeros(T::TYPE, [values.len()]).unwrap();
            assert!(written.as_bytes().iter().all(|byte| *byte == 0));
            written.as_bytes_mut().copy_from_slice(tensor.as_bytes());
            assert_eq!(written, tensor);
        }
        round_trip(&[1.5_f32, -2.0]);
        round_trip(&[1.5_f64, -2.0]);
        round_trip(&[f16::from_f32(1.5), f16::from_f32(-2.0)]);
        round_trip(&[bf16::from_f32(1.5), bf16::from_f32(-2.0)]);
        round_trip(&[1_u8, 255]);
        round_trip(&[1_u16, u16::MAX]);
        round_trip(&[1_u32, u32::MAX]);
        round_trip(&[1_u64, u64::MAX]);
        round_trip(&[-1_i16, i16::MAX]);
        round_trip(&[-1_i8, 127]);
        round_trip(&[-1_i32, i32::MAX]);
        round_trip(&[-1_i64, i64::MAX]);
        assert!(Tensor::from_bytes(ElementType::F32, [1], &[0; 5]).is_err());
    }

    #[test]
    fn halves_become_f32() {
        let tensor = Tensor::new([2], vec![f16::from_f32(0.5), f16::from_f32(-3.0)]).unwrap();
        assert_eq!(*tensor.to_f32(), [0.5, -3.0]);
    }

    #[test]
    fn a_batch_is_joined_and_split() {
        let part = |n: u8| Tensor::new([1, 2], vec![n, n + 1]).unwrap();
        let parts = [part(1), part(5), part(9)];
        let parts: Vec<&Tensor> = parts.iter().collect();
        let batch = Tensor::concat(&parts).unwrap();
        assert_eq!(batch.shape(), [3, 2]);
        assert_eq!(batch.as_slice::<u8>().unwrap(), [1, 2, 5, 6, 9, 10]);
        assert_eq!(batch.split().unwrap(), [part(1), part(5), part(9)]);
        let larger = Tensor::new([4, 2], vec![0_u8; 8]).unwrap();
        let memory = larger.as_bytes().as_ptr();
        let again = Tensor::concat_in(Some(larger), &parts).unwrap();
        assert_eq!(again, batch);
        assert_eq!(again.as_bytes().as_ptr(), memory);
        assert!(Tensor::concat(&[]).is_err());
        let other = Tensor::new([1, 3], vec![0_u8; 3]).unwrap();
        assert!(Tensor::concat(&[&part(1), &other]).is_err());
        let other = Tensor::new([1, 2], vec![0_i8; 2]).unwrap();
        assert!(Tensor::concat(&[&part(1), &other]).is_err());
        assert!(
            Tensor::new(Vec::new(), vec![1_u8])
                .unwrap()
                .split()
                .is_err()
        );
    }
}
