//! The description of a model's input or output.

use std::fmt;

use crate::{ElementType, Error, ErrorKind, Tensor};

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
    /// Only the engine knows whether it can run the input that way.
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
                    "a request of the model's input {self} needs {bytes} bytes of memory, but it may take {most}"
                ),
            )
            .with_hint("use a smaller input or `batch`, or a larger `most_input_bytes`")),
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
                text.contains(&format!("f32[{batch}, 3, ?] needs ")),
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
}
