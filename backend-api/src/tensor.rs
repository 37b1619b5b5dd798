//! Owned tensors, and the shapes and element types that a model declares.

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

/// One dimension of a [`TensorSpec`]. Serialized as its size, or as `null` if it is dynamic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
pub enum Dim {
    /// Exactly this size.
    Fixed(usize),
    /// Any size; the model decides at run time.
    Dynamic,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Dynamic => f.write_str("?"),
        }
    }
}

/// The declaration of a model's input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TensorSpec {
    /// The name inside the model.
    pub name: String,
    /// The type of the elements.
    pub element_type: ElementType,
    /// The dimensions, outermost first.
    pub dims: Vec<Dim>,
}

impl TensorSpec {
    /// Returns a spec with the given name, element type and dimensions.
    pub fn new(name: impl Into<String>, element_type: ElementType, dims: Vec<Dim>) -> Self {
        Self {
            name: name.into(),
            element_type,
            dims,
        }
    }

    /// Makes a dynamic outermost dimension `batch`; one that the model fixes stays.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        if let [first @ Dim::Dynamic, _, ..] = self.dims.as_mut_slice() {
            *first = Dim::Fixed(batch);
        }
        self
    }

    /// Returns whether a tensor of `shape` fits: equal where this spec fixes a dimension.
    pub fn accepts(&self, shape: &[usize]) -> bool {
        dims_accept(&self.dims, shape)
    }

    /// Returns the input that a user asks for: all of its dimensions are `shape`, if that is given,
    /// and the outermost one is `batch`, if that is given; otherwise a dynamic batch is 1.
    ///
    /// Whether an engine can run it that way, the engine knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] for a shape of another rank, for a size of 0, and for a batch
    /// that is not the shape's.
    pub fn reshaped(self, shape: Option<&[usize]>, batch: Option<usize>) -> Result<Self, Error> {
        let invalid = |message: String, hint: &str| {
            Error::new(ErrorKind::InvalidConfig, message).with_hint(hint)
        };
        let mut wanted = match shape {
            None => self,
            Some(shape) if shape.len() == self.dims.len() && !shape.contains(&0) => Self {
                dims: shape.iter().copied().map(Dim::Fixed).collect(),
                ..self
            },
            Some(shape) => {
                return Err(invalid(
                    format!(
                        "the shape is {shape:?}, but the model's input is {self}: {} sizes of at \
                         least 1 are needed",
                        self.dims.len()
                    ),
                    "give the whole shape with its batch, such as `shape = 1,3,224,224`",
                ));
            }
        };
        if let (Some(batch), [first, _, ..]) = (batch, wanted.dims.as_mut_slice()) {
            let contradicts = shape.is_some() && *first != Dim::Fixed(batch);
            if batch == 0 || contradicts {
                let of_shape = *first;
                return Err(invalid(
                    format!("the batch is {batch}, but the shape begins with {of_shape}"),
                    "leave one of the two out",
                ));
            }
            *first = Dim::Fixed(batch);
        }
        Ok(wanted.with_batch(1))
    }

    /// Does [`reshaped`](Self::reshaped) for an `engine` that can choose the sizes that a model leaves open, and
    /// no others.
    ///
    /// # Errors
    ///
    /// The errors of `reshaped`, and [`ErrorKind::ModelUnsupported`] for a size that the model fixes.
    pub fn filled(
        self,
        shape: Option<&[usize]>,
        batch: Option<usize>,
        engine: &str,
    ) -> Result<Self, Error> {
        let wanted = self.clone().reshaped(shape, batch)?;
        let possible = self
            .dims
            .iter()
            .zip(&wanted.dims)
            .all(|(declared, wanted)| *declared == Dim::Dynamic || declared == wanted);
        if possible {
            return Ok(wanted);
        }
        Err(Error::new(
            ErrorKind::ModelUnsupported,
            format!("the model's input is {self}; {engine} cannot make it {wanted}"),
        )
        .with_hint(
            "export the model with dynamic sizes; or leave the shape and the batch out; or use \
             `backend-openvino`, which can reshape many models",
        ))
    }

    /// Returns this input of a model, if a request of it takes at most `most` bytes. Sizes that are still dynamic count
    /// as 1.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceExhausted`] with both numbers.
    pub fn within(self, most: Option<u64>) -> Result<Self, Error> {
        let sizes = self.dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => *size as u64,
            Dim::Dynamic => 1,
        });
        // An exact product of zero and huge sizes does not matter: no engine runs it.
        let bytes = sizes.fold(self.element_type.size() as u64, u64::saturating_mul);
        match most {
            Some(most) if bytes > most => Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "a request of the model's input {self} takes {bytes} bytes of memory, but it may take {most}"
                ),
            )
            .with_hint("use a model with a smaller input or batch, or a larger `most_input_bytes`")),
            _ => Ok(self),
        }
    }

    /// Returns the sizes, if none of them is dynamic.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.dims
            .iter()
            .map(|dim| {
                if let Dim::Fixed(size) = dim {
                    Some(*size)
                } else {
                    None
                }
            })
            .collect()
    }

    /// Checks that `tensor` may be given for this input.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InputMismatch`], naming both sides, if the element type, the rank or a fixed
    /// dimension differs.
    pub fn check(&self, tensor: &Tensor) -> Result<(), Error> {
        if tensor.element_type() == self.element_type && self.accepts(tensor.shape()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InputMismatch,
            format!(
                "the model's input takes {self}, but the tensor is {}{:?}",
                tensor.element_type(),
                tensor.shape()
            ),
        )
        .with_context("input", &self.name)
        .with_hint("build the tensor from `BackendInfo::input`"))
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.element_type)?;
        for (position, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{dim}", if position == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// Returns whether `shape` is equal to `dims` where these are fixed.
pub(crate) fn dims_accept(dims: &[Dim], shape: &[usize]) -> bool {
    let accepts = |(dim, size): (&Dim, &usize)| *dim == Dim::Dynamic || *dim == Dim::Fixed(*size);
    dims.len() == shape.len() && dims.iter().zip(shape).all(accepts)
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
    fn an_input_beyond_the_memory_is_refused() {
        let spec = |batch| {
            let dims = vec![Dim::Fixed(batch), Dim::Fixed(3), Dim::Dynamic];
            TensorSpec::new("x", ElementType::F32, dims)
        };
        for most in [None, Some(24), Some(u64::MAX)] {
            assert_eq!(spec(2).within(most).unwrap(), spec(2));
        }
        for batch in [3, usize::MAX] {
            let error = spec(batch).within(Some(24)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
            let text = error.to_string();
            assert!(
                text.contains(&format!("f32[{batch}, 3, ?] takes ")),
                "{text}"
            );
            assert!(text.contains("but it may take 24"), "{text}");
        }
    }

    #[test]
    fn a_spec_says_what_differs() {
        let spec = TensorSpec::new(
            "x",
            ElementType::F32,
            vec![Dim::Dynamic, Dim::Fixed(3), Dim::Dynamic],
        );
        assert!(
            spec.check(&Tensor::new([7, 3, 1], vec![0.0_f32; 21]).unwrap())
                .is_ok()
        );
        for wrong in [
            Tensor::new([7, 3, 1], vec![0_u8; 21]).unwrap(),
            Tensor::new([1, 2, 1], vec![0.0_f32; 2]).unwrap(),
            Tensor::new([3], vec![0.0_f32; 3]).unwrap(),
        ] {
            let error = spec.check(&wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InputMismatch);
            assert!(error.to_string().contains("f32[?, 3, ?]"), "{error}");
        }
        let two = spec.with_batch(2);
        assert_eq!(two.dims, [Dim::Fixed(2), Dim::Fixed(3), Dim::Dynamic]);
        assert_eq!(two.fixed_shape(), None);
    }

    #[test]
    fn a_spec_is_reshaped_as_the_user_says() {
        let spec = || {
            let dims = vec![Dim::Dynamic, Dim::Fixed(3), Dim::Dynamic];
            TensorSpec::new("x", ElementType::F32, dims)
        };
        let reshaped = |shape, batch| spec().reshaped(shape, batch).map(|spec| spec.to_string());
        assert_eq!(reshaped(None, None).unwrap(), "f32[1, 3, ?]");
        assert_eq!(reshaped(None, Some(4)).unwrap(), "f32[4, 3, ?]");
        assert_eq!(reshaped(Some(&[2, 5, 7]), None).unwrap(), "f32[2, 5, 7]");
        assert_eq!(reshaped(Some(&[2, 5, 7]), Some(2)).unwrap(), "f32[2, 5, 7]");
        for (shape, batch) in [
            (Some(&[2, 5][..]), None),
            (Some(&[2, 0, 1]), None),
            (Some(&[2, 5, 7]), Some(3)),
            (None, Some(0)),
        ] {
            let error = reshaped(shape, batch).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        }
    }

    #[test]
    fn only_open_sizes_are_filled() {
        let dims = vec![Dim::Dynamic, Dim::Fixed(3), Dim::Dynamic];
        let spec = TensorSpec::new("x", ElementType::F32, dims);
        let filled = |shape, batch| spec.clone().filled(shape, batch, "RTen");
        let wanted = filled(Some(&[2, 3, 7]), None).unwrap();
        assert_eq!(wanted.to_string(), "f32[2, 3, 7]");
        let error = filled(Some(&[2, 4, 7]), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
        assert!(
            error
                .to_string()
                .contains("RTen cannot make it f32[2, 4, 7]"),
            "{error}"
        );
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
