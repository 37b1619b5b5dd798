//! The shape of a model's input.

use std::collections::TryReserveError;
use std::fmt;
use std::str::FromStr;

use backend_api::{Dim, ElementType, TensorSpec};

use crate::InputQuantization;

/// The place of the channels among the dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageLayout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

impl fmt::Display for ImageLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nchw => "NCHW",
            Self::Nhwc => "NHWC",
        })
    }
}

impl FromStr for ImageLayout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "NCHW" => Ok(Self::Nchw),
            "NHWC" => Ok(Self::Nhwc),
            _ => Err("expected NCHW or NHWC"),
        }
    }
}

/// Width and height of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// The largest side of a model's input, in pixels.
const MOST_PIXELS: usize = 16_384;

/// The largest input, in bytes.
const MOST_BYTES: u64 = 1 << 36;

/// A model's input as images: NCHW or NHWC, three channels of color or one of grey, of any element type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputLayout {
    order: ImageLayout,
    channels: usize,
    size: ImageSize,
    element_type: ElementType,
    quantization: Option<InputQuantization>,
    batch: Option<usize>,
}

/// The reason why a model's input takes no images, or none that are prepared this way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The input is not four-dimensional with three channels or one.
    #[error(
        "the model's input is {0}, but an image needs [N, 3, height, width] or [N, height, width, 3], or 1 channel of \
         grey"
    )]
    NotImages(String),
    /// A height or width that no image is resized to.
    #[error(
        "the model's input is {0}, but its height and width must be 1 to {MOST_PIXELS}, and its batch at least 1"
    )]
    Size(String),
    /// One request would be larger than any machine's memory.
    #[error("the model's input is {input}, more than {limit} bytes")]
    TooLarge {
        /// The input as the model declares it.
        input: String,
        /// The largest input, in bytes.
        limit: u64,
    },
    /// The height or width is left open by the model.
    #[error("the model's input is {0}: its height and width are not fixed")]
    Dynamic(String),
    /// The channels are left open by the model, so that nothing shows which dimension they are.
    #[error("the model's input is {0}: nothing shows which dimension has the channels")]
    OpenChannels(String),
    /// The elements are of a type that pixels are not.
    #[error("the model's input is {0}, which cannot hold pixels")]
    ElementType(String),
    /// Values that the integers of the input cannot hold.
    #[error(
        "(pixel - mean) / scale goes from {lowest} to {highest}, but the model's input takes {element_type}"
    )]
    OutOfRange {
        /// The type of the input's elements.
        element_type: ElementType,
        /// The smallest value, before it is rounded.
        lowest: f32,
        /// The largest value, before it is rounded.
        highest: f32,
    },
    /// Rounding to the integers of the input makes one value of many.
    #[error(
        "(pixel - mean) / scale goes from {lowest} to {highest}; as {element_type}, which the model's input takes, only \
         {values} of 256 values remain"
    )]
    Collapsed {
        /// The type of the input's elements.
        element_type: ElementType,
        /// The smallest value, before it is rounded.
        lowest: f32,
        /// The largest value, before it is rounded.
        highest: f32,
        /// The number of different values that remain.
        values: usize,
    },
    /// Several means, scales or grounds for an input of one channel.
    #[error("{name} is {values}, but the model's input has one channel")]
    OneChannel {
        /// The setting: `mean`, `scale` or `resize`.
        name: &'static str,
        /// Its values.
        values: String,
    },
    /// A value that cannot be computed with.
    #[error("mean {mean:?} and scale {scale:?} must be finite, and no scale may be 0")]
    BadScale {
        /// The mean that was given.
        mean: [f32; 3],
        /// The scale that was given.
        scale: [f32; 3],
    },
    /// The short side is smaller than the crop.
    #[error("a side of {side} pixels is smaller than the model's input of {input}")]
    ShortSide {
        /// The side that was given.
        side: u32,
        /// The input's size.
        input: ImageSize,
    },
    /// The image is so long that resizing its short side makes it huge.
    #[error(
        "an image of {width} x {height} with a short side of {short} would be {long} pixels long"
    )]
    TooLong {
        /// The image's width.
        width: u32,
        /// The image's height.
        height: u32,
        /// The requested short side.
        short: u32,
        /// The long side that would follow.
        long: u64,
    },
    /// The system has no memory for resizing the image.
    #[error("the system has no memory to resize the image")]
    Memory(#[source] TryReserveError),
    /// A crop fraction outside of its range.
    #[error("the crop fraction is {0}, but it must be more than 0 and at most 1")]
    CropFraction(f64),
    /// A fraction of timm's crop modes outside of its range.
    #[error("the fraction of timm's crop is {0}, but it must be from 0.1 to 4")]
    TimmFraction(f64),
}

impl LayoutError {
    /// Returns a stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Memory(_) => "out-of-memory",
            _ => "does-not-fit",
        }
    }

    /// Returns the next step for the user. It names fields of [`PreprocessOverrides`](crate::PreprocessOverrides) and
    /// of the engine's options in backticks.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotImages(_) | Self::Size(_) | Self::ElementType(_) => {
                "give an image classification model that takes RGB, BGR or grey images"
            }
            Self::Dynamic(_) => "give the size, for instance `shape = 1,3,224,224`",
            Self::TooLarge { .. } => "export the model with a smaller batch",
            Self::OpenChannels(_) => {
                "give the whole shape, for instance `shape = 1,3,224,224`, or `shape = 1,224,224,3` where the channels \
                 come last"
            }
            Self::OutOfRange {
                element_type: ElementType::I8,
                ..
            } => "give `mean = 128` and `scale = 1` if the model takes pixels minus 128",
            Self::OutOfRange { .. } | Self::Collapsed { .. } => {
                "leave out `mean` and `scale`, or give 0 and 1, if the model normalizes by itself"
            }
            Self::OneChannel { .. } => "give one number, such as `mean = 127.5`",
            Self::BadScale { .. } => "give three finite numbers, such as `scale = 58.4,57.1,57.4`",
            Self::ShortSide { .. } => "give a side of at least the input's size",
            Self::TooLong { .. } => "crop the image, or use another `resize`",
            Self::Memory(_) => {
                "decode fewer images at a time, with a `MemoryBudget` of fewer bytes"
            }
            Self::CropFraction(_) => "give a fraction such as `crop_fraction = 0.875`",
            Self::TimmFraction(_) => "give a fraction such as `resize = center:0.875`",
        }
    }
}

impl InputLayout {
    /// Reads the layout from a model's declared input: `order` if it is known, else NCHW if the second dimension is 3,
    /// else NHWC if the last one is, else the same with 1, the channel of grey images. A height or width that the model
    /// leaves open is taken from `size`. Channels that it leaves open are 3.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] for an input that takes neither color nor grey images of a known size.
    pub fn from_spec(
        spec: &TensorSpec,
        order: Option<ImageLayout>,
        size: Option<ImageSize>,
    ) -> Result<Self, LayoutError> {
        let text = || spec.to_string();
        let [batch, a, b, c] = spec.dims[..] else {
            return Err(LayoutError::NotImages(text()));
        };
        let channels = |dim| match dim {
            Dim::Fixed(1) => Some(1),
            Dim::Fixed(3) | Dim::Dynamic => Some(3),
            Dim::Fixed(_) => None,
        };
        let fixed = |channels| {
            let dim = Dim::Fixed(channels);
            let first = (a == dim).then_some((ImageLayout::Nchw, channels));
            first.or((c == dim).then_some((ImageLayout::Nhwc, channels)))
        };
        let found = match order {
            Some(ImageLayout::Nchw) => channels(a).map(|channels| (ImageLayout::Nchw, channels)),
            Some(ImageLayout::Nhwc) => channels(c).map(|channels| (ImageLayout::Nhwc, channels)),
            None => fixed(3).or_else(|| fixed(1)),
        };
        let Some((order, channels)) = found else {
            return Err(if order.is_none() && [a, c].contains(&Dim::Dynamic) {
                LayoutError::OpenChannels(text())
            } else {
                LayoutError::NotImages(text())
            });
        };
        let (height, width) = match order {
            ImageLayout::Nchw => (b, c),
            ImageLayout::Nhwc => (a, b),
        };
        let side = |dim, known: Option<u32>| match (dim, known) {
            (Dim::Fixed(side), _) => u32::try_from(side)
                .ok()
                .filter(|_| (1..=MOST_PIXELS).contains(&side))
                .ok_or_else(|| LayoutError::Size(text())),
            (Dim::Dynamic, Some(side)) => Ok(side),
            (Dim::Dynamic, None) => Err(LayoutError::Dynamic(text())),
        };
        let size = ImageSize {
            width: side(width, size.map(|size| size.width))?,
            height: side(height, size.map(|size| size.height))?,
        };
        let batch = match batch {
            Dim::Fixed(0) => return Err(LayoutError::Size(text())),
            Dim::Fixed(batch) => Some(batch),
            Dim::Dynamic => None,
        };
        if !spec.element_type.is_float() && integers(spec.element_type).is_none() {
            return Err(LayoutError::ElementType(text()));
        }
        let layout = Self {
            order,
            channels,
            size,
            element_type: spec.element_type,
            quantization: None,
            batch,
        };
        if layout.request_bytes(batch.unwrap_or(1)) > MOST_BYTES {
            return Err(LayoutError::TooLarge {
                input: text(),
                limit: MOST_BYTES,
            });
        }
        Ok(layout)
    }

    /// Returns the layout of an input whose integers stand for real values: those that the preprocessing gives are
    /// quantized. Inputs of fractions have no quantization.
    #[must_use]
    pub fn quantized(mut self, quantization: Option<InputQuantization>) -> Self {
        self.quantization = quantization.filter(|_| !self.element_type.is_float());
        self
    }

    /// Returns the input's width in pixels.
    pub fn width(&self) -> u32 {
        self.size.width
    }

    /// Returns the input's height in pixels.
    pub fn height(&self) -> u32 {
        self.size.height
    }

    /// Returns the input's width and height.
    pub fn size(&self) -> ImageSize {
        self.size
    }

    /// Returns the place of the channels.
    pub fn order(&self) -> ImageLayout {
        self.order
    }

    /// Returns the number of channels: 3, or 1 for grey.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the quantization of integers that stand for real values.
    pub fn quantization(&self) -> Option<InputQuantization> {
        self.quantization
    }

    /// Returns the type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Returns the number of images that the model takes at a time; `None` for any number.
    pub fn batch(&self) -> Option<usize> {
        self.batch
    }

    /// Returns the bytes of a request of `batch` images.
    pub fn request_bytes(&self, batch: usize) -> u64 {
        let elements = self.shape().map(|size| size as u64);
        let image = elements.iter().product::<u64>() * self.element_type.size() as u64;
        image.saturating_mul(batch as u64)
    }

    /// Returns the shape of one image's tensor.
    pub(crate) fn shape(&self) -> [usize; 4] {
        let (height, width) = (self.height() as usize, self.width() as usize);
        match self.order {
            ImageLayout::Nchw => [1, self.channels, height, width],
            ImageLayout::Nhwc => [1, height, width, self.channels],
        }
    }
}

/// Returns the smallest and the largest value of an integer type, as far as pixels can reach them.
pub(crate) fn integers(element_type: ElementType) -> Option<(f32, f32)> {
    Some(match element_type {
        ElementType::U8 => (f32::from(u8::MIN), f32::from(u8::MAX)),
        ElementType::I8 => (f32::from(i8::MIN), f32::from(i8::MAX)),
        ElementType::U16 => (f32::from(u16::MIN), f32::from(u16::MAX)),
        ElementType::I16 => (f32::from(i16::MIN), f32::from(i16::MAX)),
        // Every f32 up to 2^24 is exact.
        ElementType::U32 | ElementType::U64 => (0.0, 16_777_216.0),
        ElementType::I32 | ElementType::I64 => (-16_777_216.0, 16_777_216.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dims: &[Dim], element_type: ElementType) -> TensorSpec {
        TensorSpec::new("x", element_type, dims.to_vec())
    }

    #[test]
    fn inputs_that_take_no_image_are_named() {
        let f = Dim::Fixed;
        for (dims, ty, expected) in [
            (
                &[f(1), f(3)][..],
                ElementType::F32,
                "needs [N, 3, height, width]",
            ),
            (
                &[f(1), f(4), f(8), f(8)],
                ElementType::F32,
                "needs [N, 3, height, width]",
            ),
            (&[Dim::Dynamic; 4], ElementType::F32, "the channels"),
            (
                &[f(1), f(3), Dim::Dynamic, f(8)],
                ElementType::F32,
                "not fixed",
            ),
            (
                &[f(1), f(3), f(0), f(8)],
                ElementType::F32,
                "must be 1 to 16384",
            ),
            (
                &[f(0), f(3), f(8), f(8)],
                ElementType::F32,
                "its batch at least 1",
            ),
            (
                &[f(1), f(3), f(16_385), f(8)],
                ElementType::F32,
                "must be 1 to 16384",
            ),
            (
                &[f(1_000_000), f(3), f(224), f(224)],
                ElementType::F32,
                "more than 68719476736 bytes",
            ),
            (
                &[f(usize::MAX), f(3), f(224), f(224)],
                ElementType::U8,
                "more than 68719476736 bytes",
            ),
        ] {
            let error = InputLayout::from_spec(&spec(dims, ty), None, None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn what_the_model_leaves_open_is_said_elsewhere() {
        let f = Dim::Fixed;
        let size = ImageSize {
            width: 9,
            height: 7,
        };
        let open = spec(
            &[Dim::Dynamic, f(3), Dim::Dynamic, Dim::Dynamic],
            ElementType::F32,
        );
        let layout = InputLayout::from_spec(&open, None, Some(size)).unwrap();
        assert_eq!((layout.shape(), layout.batch()), ([1, 3, 7, 9], None));
        // Fixed dimensions stay.
        let fixed = spec(&[f(2), f(8), Dim::Dynamic, f(3)], ElementType::U8);
        let layout = InputLayout::from_spec(&fixed, None, Some(size)).unwrap();
        assert_eq!((layout.shape(), layout.batch()), ([1, 8, 9, 3], Some(2)));
        // 3 on both sides: only the caller can decide.
        let both = spec(&[f(1), f(3), f(8), f(3)], ElementType::F32);
        for order in [ImageLayout::Nchw, ImageLayout::Nhwc] {
            let layout = InputLayout::from_spec(&both, Some(order), None).unwrap();
            assert_eq!(layout.order(), order);
        }
        let wrong = InputLayout::from_spec(&fixed, Some(ImageLayout::Nchw), None);
        assert!(matches!(wrong, Err(LayoutError::NotImages(_))));
        let grey = |dims: [usize; 4]| {
            let spec = spec(&dims.map(Dim::Fixed), ElementType::I32);
            let layout = InputLayout::from_spec(&spec, None, None).unwrap();
            (layout.order(), layout.channels(), layout.shape())
        };
        let first = (ImageLayout::Nchw, 1, [1, 1, 7, 9]);
        assert_eq!(grey([1, 1, 7, 9]), first);
        let last = (ImageLayout::Nhwc, 1, [1, 7, 9, 1]);
        assert_eq!(grey([1, 7, 9, 1]), last);
        // An image of one row.
        let row = (ImageLayout::Nhwc, 3, [1, 1, 9, 3]);
        assert_eq!(grey([1, 1, 9, 3]), row);
    }
}
