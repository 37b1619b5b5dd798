//! From a picture to the tensor that a model takes.

use backend_api::{Dim, Element, ElementType, Tensor, TensorSpec};
use half::f16;

use crate::Picture;
use crate::resample::{Filter, RgbView, opencv, pillow};

/// A resized picture may have this many pixels before its centre is cut out: 192 MiB.
const MOST_RESIZED_PIXELS: u64 = 64 << 20;

/// The order of the channels in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorOrder {
    /// Red first, as PyTorch and TensorFlow models take it.
    Rgb,
    /// Blue first, as OpenCV reads pictures and Caffe models take them.
    Bgr,
}

/// How the picture gets the size of the model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resize {
    /// Width and height each to the size of the input; the shape of things is distorted.
    Stretch,
    /// The central part with the input's aspect ratio, `fraction` of the largest such part, is
    /// resized once. For a square input that is a square of ⌊fraction × short side⌋ pixels.
    Crop {
        /// More than 0, at most 1.
        fraction: f64,
    },
    /// The short side to `short` pixels, then the centre is cut out: torchvision's `Resize` and
    /// `CenterCrop`.
    ShortSide {
        /// At least the larger side of the input.
        short: u32,
    },
    /// As large as fits, centred, on a ground of `pad`.
    Letterbox {
        /// The value of every channel of the ground.
        pad: u8,
    },
}

/// How pixels are computed when the size changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// Pillow's `NEAREST`.
    Nearest,
    /// Pillow's `BILINEAR`: antialiased when the picture shrinks.
    Bilinear,
    /// Pillow's `BICUBIC`: antialiased when the picture shrinks.
    Bicubic,
    /// Pillow's `LANCZOS`: antialiased when the picture shrinks.
    Lanczos,
    /// OpenCV's `INTER_LINEAR`: two samples in each direction, whatever the scale.
    OpencvLinear,
}

/// Everything between a decoded picture and a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// The order of the channels.
    pub color: ColorOrder,
    /// Subtracted from each pixel, 0–255 units, in the order of [`color`](Self::color).
    pub mean: [f32; 3],
    /// Divides what is left, in the order of [`color`](Self::color). None of them 0.
    pub scale: [f32; 3],
    /// How the size changes.
    pub resize: Resize,
    /// How pixels are computed.
    pub interpolation: Interpolation,
}

impl Preprocess {
    /// What OpenVINO's Image Classification Async sample does: BGR, stretched with OpenCV's
    /// bilinear, 0–255, no mean.
    pub const OPENVINO_SAMPLE: Self = Self {
        color: ColorOrder::Bgr,
        mean: [0.0; 3],
        scale: [1.0; 3],
        resize: Resize::Stretch,
        interpolation: Interpolation::OpencvLinear,
    };

    /// The tensor for `picture`: one picture in `layout`'s shape and element type, each element
    /// `(pixel - mean) / scale`, computed in f32.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] if the values of this recipe cannot be brought into `layout`.
    pub fn tensor(&self, picture: &Picture, layout: &InputLayout) -> Result<Tensor, LayoutError> {
        self.check(layout)?;
        self.check_picture(picture)?;
        let pixels = self.resized(picture, layout);
        Ok(match layout.element_type {
            ElementType::U8 => self.fill(&pixels, layout, |value| value as u8),
            ElementType::F16 => self.fill(&pixels, layout, f16::from_f32),
            _ => self.fill(&pixels, layout, |value| value),
        })
    }

    /// Checks that every picture can be brought into `layout`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: 8-bit inputs take no mean and scale, and a short side must not be smaller
    /// than the input.
    pub fn check(&self, layout: &InputLayout) -> Result<(), LayoutError> {
        let identity = self.mean == [0.0; 3] && self.scale == [1.0; 3];
        if layout.element_type == ElementType::U8 && !identity {
            return Err(LayoutError::MeanOnU8);
        }
        if self
            .scale
            .iter()
            .chain(&self.mean)
            .any(|value| !value.is_finite())
            || self.scale.contains(&0.0)
        {
            return Err(LayoutError::BadScale {
                mean: self.mean,
                scale: self.scale,
            });
        }
        match self.resize {
            Resize::ShortSide { short } if short < layout.width.max(layout.height) => {
                Err(LayoutError::ShortSide {
                    short,
                    width: layout.width,
                    height: layout.height,
                })
            }
            Resize::Crop { fraction } if !(fraction > 0.0 && fraction <= 1.0) => {
                Err(LayoutError::CropFraction(fraction))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a picture so long that its resized form would take gigabytes before it is cut.
    fn check_picture(&self, picture: &Picture) -> Result<(), LayoutError> {
        let Resize::ShortSide { short } = self.resize else {
            return Ok(());
        };
        let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
        let long = u64::from(short) * width.max(height) / width.min(height);
        if long * u64::from(short) > MOST_RESIZED_PIXELS {
            return Err(LayoutError::TooLong {
                width: picture.width(),
                height: picture.height(),
                short,
                long,
            });
        }
        Ok(())
    }

    /// The picture in the size of the input, RGB.
    fn resized(&self, picture: &Picture, layout: &InputLayout) -> Vec<u8> {
        let (width, height) = (layout.width, layout.height);
        match self.resize {
            Resize::Stretch => self.resample(picture, width, height),
            Resize::Crop { fraction } => {
                let part = central_part(picture, width, height, fraction);
                self.resample(&part, width, height)
            }
            Resize::ShortSide { short } => {
                let (w, h) = (u64::from(picture.width()), u64::from(picture.height()));
                let long = |long: u64, side: u64| (u64::from(short) * long / side) as u32;
                let (w, h) = if w <= h {
                    (short, long(h, w))
                } else {
                    (long(w, h), short)
                };
                let resized = Picture::from_rgb(w, h, self.resample(picture, w, h))
                    .expect("the resampler gives what was asked for");
                let left = round_half_even(w - width);
                let top = round_half_even(h - height);
                cut(&resized, left, top, width, height).rgb().to_vec()
            }
            Resize::Letterbox { pad } => {
                let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
                let scale = (f64::from(width) / w).min(f64::from(height) / h);
                let fit = |side: f64, most: u32| ((side * scale) as u32).clamp(1, most);
                let (w, h) = (fit(w, width), fit(h, height));
                let resized = self.resample(picture, w, h);
                let (left, top) = ((width - w) / 2, (height - h) / 2);
                let mut canvas = vec![pad; width as usize * height as usize * 3];
                for (row, pixels) in resized.chunks_exact(w as usize * 3).enumerate() {
                    let start = ((top as usize + row) * width as usize + left as usize) * 3;
                    canvas[start..start + pixels.len()].copy_from_slice(pixels);
                }
                canvas
            }
        }
    }

    fn resample(&self, picture: &Picture, width: u32, height: u32) -> Vec<u8> {
        let view = RgbView::new(picture.width(), picture.height(), picture.rgb())
            .expect("a picture is never empty");
        let filter = match self.interpolation {
            Interpolation::OpencvLinear => return opencv::resize_linear(view, width, height),
            Interpolation::Nearest => Filter::Nearest,
            Interpolation::Bilinear => Filter::Bilinear,
            Interpolation::Bicubic => Filter::Bicubic,
            Interpolation::Lanczos => Filter::Lanczos,
        };
        pillow::resize(view, None, width, height, filter)
    }

    /// Looks each byte up: there are only 256 values of each channel.
    fn fill<T: Element>(
        &self,
        pixels: &[u8],
        layout: &InputLayout,
        convert: impl Fn(f32) -> T,
    ) -> Tensor {
        let mut tables = [[T::zeroed(); 256]; 3];
        for (table, (mean, scale)) in tables.iter_mut().zip(self.mean.iter().zip(self.scale)) {
            for (value, pixel) in table.iter_mut().zip(0_u8..=255) {
                *value = convert((f32::from(pixel) - mean) / scale);
            }
        }
        // Which byte of a pixel goes into each channel of the tensor.
        let sources = match self.color {
            ColorOrder::Rgb => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        let (pixels, _) = pixels.as_chunks::<3>();
        let mut values = vec![T::zeroed(); pixels.len() * 3];
        match layout.order {
            ChannelOrder::First => {
                for ((plane, table), source) in values
                    .chunks_exact_mut(pixels.len())
                    .zip(&tables)
                    .zip(sources)
                {
                    for (value, pixel) in plane.iter_mut().zip(pixels) {
                        *value = table[usize::from(pixel[source])];
                    }
                }
            }
            ChannelOrder::Last => {
                let (triples, _) = values.as_chunks_mut::<3>();
                for (triple, pixel) in triples.iter_mut().zip(pixels) {
                    for channel in 0..3 {
                        triple[channel] = tables[channel][usize::from(pixel[sources[channel]])];
                    }
                }
            }
        }
        Tensor::new(layout.shape(), values).expect("the shape is that of the pixels")
    }
}

/// The central part of `picture` for a target of `width` × `height`. EfficientNet's recipe where
/// the target is square: c = ⌊fraction × min(w, h)⌋, offsets ⌊(side − c + 1) / 2⌋.
fn central_part(picture: &Picture, width: u32, height: u32, fraction: f64) -> Picture {
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    let aspect = f64::from(width) / f64::from(height);
    let (most_w, most_h) = (w.min(h * aspect), h.min(w / aspect));
    let side = |most: f64, side: u32| ((most * fraction).floor() as u32).clamp(1, side);
    let (w, h) = (
        side(most_w, picture.width()),
        side(most_h, picture.height()),
    );
    let offset = |side: u32, part: u32| (side - part).div_ceil(2);
    cut(
        picture,
        offset(picture.width(), w),
        offset(picture.height(), h),
        w,
        h,
    )
}

fn cut(picture: &Picture, left: u32, top: u32, width: u32, height: u32) -> Picture {
    let stride = picture.width() as usize * 3;
    let (start, length) = (left as usize * 3, width as usize * 3);
    let pixels = picture
        .rgb()
        .chunks_exact(stride)
        .skip(top as usize)
        .take(height as usize)
        .flat_map(|row| &row[start..start + length])
        .copied()
        .collect();
    Picture::from_rgb(width, height, pixels).expect("the part lies inside the picture")
}

/// Python's `round(difference / 2)`, with which torchvision centres.
fn round_half_even(difference: u32) -> u32 {
    let half = difference / 2;
    if difference.is_multiple_of(2) || half.is_multiple_of(2) {
        half
    } else {
        half + 1
    }
}

/// Where the channels are among the dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelOrder {
    /// NCHW.
    First,
    /// NHWC.
    Last,
}

/// The shape of a model's input as a picture: NCHW or NHWC, batch 1, three channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLayout {
    order: ChannelOrder,
    width: u32,
    height: u32,
    element_type: ElementType,
}

/// Why a model's input cannot take a picture, or not with this recipe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The input is not four-dimensional with three channels.
    #[error(
        "the model's input is {0}, but a picture needs [1, 3, height, width] or [1, height, width, 3]"
    )]
    NotAPicture(String),
    /// The height or width is left open by the model.
    #[error("the model's input is {0}: its height and width are not fixed")]
    Dynamic(String),
    /// The model takes several pictures at a time.
    #[error("the model's input is {0}: it takes several pictures at a time")]
    Batch(String),
    /// The elements are of a type that pixels are not.
    #[error("the model's input is {0}, but pixels are given as f32, f16 or u8")]
    ElementType(String),
    /// A mean or scale for an input of bytes.
    #[error("the model takes bytes (u8), to which no mean and scale can be applied")]
    MeanOnU8,
    /// A value that cannot be computed with.
    #[error("mean {mean:?} and scale {scale:?} must be finite, and no scale 0")]
    BadScale {
        /// The mean that was given.
        mean: [f32; 3],
        /// The scale that was given.
        scale: [f32; 3],
    },
    /// The short side is smaller than what is cut out afterwards.
    #[error(
        "a short side of {short} pixels is smaller than the model's input of {width} x {height}"
    )]
    ShortSide {
        /// The short side that was given.
        short: u32,
        /// The input's width.
        width: u32,
        /// The input's height.
        height: u32,
    },
    /// The picture is so long that resizing its short side makes it huge.
    #[error(
        "a picture of {width} x {height} with a short side of {short} would be {long} pixels long"
    )]
    TooLong {
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
        /// The short side that was asked for.
        short: u32,
        /// The long side that would follow.
        long: u64,
    },
    /// A crop fraction outside of its range.
    #[error("the crop fraction is {0}, but it must be more than 0 and at most 1")]
    CropFraction(f64),
}

impl LayoutError {
    /// The next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotAPicture(_) | Self::ElementType(_) => "give an image classification model",
            Self::Dynamic(_) => "export the model with a fixed height and width",
            Self::Batch(_) => "export the model with a batch of 1 or a dynamic batch",
            Self::MeanOnU8 => "leave out --mean and --scale; such a model normalizes by itself",
            Self::BadScale { .. } => "give three finite numbers, such as --scale 58.4,57.1,57.4",
            Self::ShortSide { .. } => "give a short side of at least the input's size",
            Self::TooLong { .. } => "cut the picture, or use another --resize",
            Self::CropFraction(_) => "give a fraction such as --crop-fraction 0.875",
        }
    }
}

impl InputLayout {
    /// Reads the layout from what a model declares: NCHW if the second dimension is 3, else NHWC
    /// if the last one is.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] for an input that does not take one RGB picture of a fixed size.
    pub fn from_spec(spec: &TensorSpec) -> Result<Self, LayoutError> {
        let text = || spec.to_string();
        let [batch, a, b, c] = spec.dims[..] else {
            return Err(LayoutError::NotAPicture(text()));
        };
        let (order, height, width) = match (a, b, c) {
            (Dim::Fixed(3), height, width) => (ChannelOrder::First, height, width),
            (height, width, Dim::Fixed(3)) => (ChannelOrder::Last, height, width),
            _ => return Err(LayoutError::NotAPicture(text())),
        };
        if !matches!(batch, Dim::Fixed(1) | Dim::Dynamic) {
            return Err(LayoutError::Batch(text()));
        }
        let (Dim::Fixed(height), Dim::Fixed(width)) = (height, width) else {
            return Err(LayoutError::Dynamic(text()));
        };
        let size = |size: usize| {
            u32::try_from(size)
                .ok()
                .filter(|&size| (1..=16_384).contains(&size))
        };
        let (Some(height), Some(width)) = (size(height), size(width)) else {
            return Err(LayoutError::NotAPicture(text()));
        };
        if !matches!(
            spec.element_type,
            ElementType::F32 | ElementType::F16 | ElementType::U8
        ) {
            return Err(LayoutError::ElementType(text()));
        }
        Ok(Self {
            order,
            width,
            height,
            element_type: spec.element_type,
        })
    }

    /// The input's width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The input's height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    fn shape(&self) -> [usize; 4] {
        let (height, width) = (self.height as usize, self.width as usize);
        match self.order {
            ChannelOrder::First => [1, 3, height, width],
            ChannelOrder::Last => [1, height, width, 3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(element_type: ElementType, dims: [usize; 4]) -> InputLayout {
        let dims = dims.map(Dim::Fixed).to_vec();
        InputLayout::from_spec(&TensorSpec::new("x", element_type, dims)).unwrap()
    }

    /// 2 x 1 pixels: (1, 2, 3) and (4, 5, 6).
    fn pair() -> Picture {
        Picture::from_rgb(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    #[test]
    fn channels_go_where_the_layout_and_the_colour_order_say() {
        let recipe = Preprocess::OPENVINO_SAMPLE;
        let first = recipe
            .tensor(&pair(), &layout(ElementType::F32, [1, 3, 1, 2]))
            .unwrap();
        assert_eq!(
            first.as_slice::<f32>().unwrap(),
            [3.0, 6.0, 2.0, 5.0, 1.0, 4.0]
        );
        let last = recipe
            .tensor(&pair(), &layout(ElementType::U8, [1, 1, 2, 3]))
            .unwrap();
        assert_eq!(last.as_slice::<u8>().unwrap(), [3, 2, 1, 6, 5, 4]);
        let rgb = Preprocess {
            color: ColorOrder::Rgb,
            ..recipe
        };
        let last = rgb
            .tensor(&pair(), &layout(ElementType::U8, [1, 1, 2, 3]))
            .unwrap();
        assert_eq!(last.as_slice::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn mean_and_scale_are_in_the_order_of_the_colours() {
        let recipe = Preprocess {
            mean: [1.0, 0.0, 3.0],
            scale: [2.0, 1.0, 0.5],
            ..Preprocess::OPENVINO_SAMPLE
        };
        let tensor = recipe
            .tensor(&pair(), &layout(ElementType::F16, [1, 3, 1, 2]))
            .unwrap();
        assert_eq!(*tensor.to_f32(), [1.0, 2.5, 2.0, 5.0, -4.0, 2.0]);
        assert_eq!(
            recipe.tensor(&pair(), &layout(ElementType::U8, [1, 3, 1, 2])),
            Err(LayoutError::MeanOnU8)
        );
        let zero = Preprocess {
            scale: [1.0, 0.0, 1.0],
            ..Preprocess::OPENVINO_SAMPLE
        };
        let error = zero
            .tensor(&pair(), &layout(ElementType::F32, [1, 3, 1, 2]))
            .unwrap_err();
        assert!(error.to_string().contains("[1.0, 0.0, 1.0]"), "{error}");
    }

    #[test]
    fn the_central_square_is_efficientnets() {
        // 7 x 4: c = ⌊0.875 x 4⌋ = 3, left = ⌊(7 - 3 + 1) / 2⌋ = 2, top = ⌊(4 - 3 + 1) / 2⌋ = 1.
        let pixels = (0..7 * 4).flat_map(|n| [n as u8; 3]).collect();
        let picture = Picture::from_rgb(7, 4, pixels).unwrap();
        let part = central_part(&picture, 224, 224, 0.875);
        let values: Vec<u8> = part.rgb().iter().step_by(3).copied().collect();
        assert_eq!(values, [9, 10, 11, 16, 17, 18, 23, 24, 25]);
    }

    #[test]
    fn the_centre_is_rounded_as_python_does() {
        let rounded: Vec<u32> = (0..8).map(round_half_even).collect();
        assert_eq!(rounded, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn a_very_long_picture_is_refused_before_it_is_resized() {
        let recipe = Preprocess {
            resize: Resize::ShortSide { short: 256 },
            ..Preprocess::OPENVINO_SAMPLE
        };
        let layout = layout(ElementType::F32, [1, 3, 224, 224]);
        for height in [4_000_000, 16_777_216, 16_777_217] {
            let long = Picture::from_rgb(1, height, vec![0; height as usize * 3]).unwrap();
            let error = recipe.tensor(&long, &layout).unwrap_err();
            assert!(matches!(error, LayoutError::TooLong { .. }), "{error}");
        }
        let thin = Picture::from_rgb(1, 900, vec![7; 2700]).unwrap();
        assert!(recipe.tensor(&thin, &layout).is_ok());
    }

    #[test]
    fn a_letterbox_keeps_the_shape_of_things() {
        let recipe = Preprocess {
            resize: Resize::Letterbox { pad: 9 },
            ..Preprocess::OPENVINO_SAMPLE
        };
        let wide = Picture::from_rgb(4, 2, vec![200; 24]).unwrap();
        let tensor = recipe
            .tensor(&wide, &layout(ElementType::U8, [1, 3, 4, 4]))
            .unwrap();
        let plane = &tensor.as_slice::<u8>().unwrap()[..16];
        assert_eq!(
            plane,
            [
                9, 9, 9, 9, 200, 200, 200, 200, 200, 200, 200, 200, 9, 9, 9, 9
            ]
        );
    }

    #[test]
    fn inputs_that_take_no_picture_are_named() {
        let spec = |dims: &[Dim], ty| TensorSpec::new("x", ty, dims.to_vec());
        let f = Dim::Fixed;
        for (dims, ty, expected) in [
            (
                &[f(1), f(3)][..],
                ElementType::F32,
                "needs [1, 3, height, width]",
            ),
            (
                &[f(1), f(1), f(8), f(8)],
                ElementType::F32,
                "needs [1, 3, height, width]",
            ),
            (
                &[f(1), f(3), Dim::Dynamic, f(8)],
                ElementType::F32,
                "not fixed",
            ),
            (
                &[f(4), f(3), f(8), f(8)],
                ElementType::F32,
                "several pictures",
            ),
            (
                &[f(1), f(3), f(8), f(8)],
                ElementType::I64,
                "f32, f16 or u8",
            ),
            (
                &[f(1), f(3), f(0), f(8)],
                ElementType::F32,
                "needs [1, 3, height, width]",
            ),
        ] {
            let error = InputLayout::from_spec(&spec(dims, ty)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.hint().is_empty());
        }
    }
}
