//! The conversion of an image to the tensor that a model takes.

mod float;
mod grey;
mod options;
mod placement;
mod timm;
mod values;

use std::borrow::Cow;
use std::collections::TryReserveError;

use backend_api::{Element, Tensor};
use exact_resample::{Filter, RgbView, opencv, pillow, torchvision};

pub use self::options::{Centre, ColorOrder, CropMode, Interpolation, Resize};
pub(crate) use self::values::Clipping;
use crate::{Image, ImageLayout, InputLayout, LayoutError};

/// The largest number of pixels of a resized image before its centre is cut out. They take 192 MiB.
const MOST_RESIZED_PIXELS: u64 = 64 << 20;

/// Bytes of a pixel.
const RGB: u64 = 3;

/// The reference library of the resize, and its filter.
#[derive(Debug, Clone, Copy)]
enum Resampler {
    Opencv,
    Pillow(Filter),
    Torchvision(torchvision::Filter),
    /// The same in f32, without rounding to bytes.
    TorchvisionF32(torchvision::Filter),
}

/// The steps between a decoded image and a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Preprocess {
    /// The order of the channels. For an input of one channel, [`ColorOrder::Grey`] applies, whatever the value.
    pub color: ColorOrder,
    /// The values that are subtracted from each pixel, in units of 0–255, in the order of [`color`](Self::color). All
    /// are equal for an input of one channel.
    pub mean: [f32; 3],
    /// The divisors of the differences, in the order of [`color`](Self::color). No value is 0. All equal for an input
    /// of one channel.
    pub scale: [f32; 3],
    /// The way in which the image gets the size of the input.
    pub resize: Resize,
    /// The filter of the resize.
    pub interpolation: Interpolation,
}

impl Preprocess {
    /// The preprocessing of OpenVINO's Image Classification Async sample: BGR, stretched with OpenCV's bilinear, 0–255,
    /// no mean. It is wrong for most models: see [`ResolvedPreprocessing`](crate::ResolvedPreprocessing).
    pub const OPENVINO_SAMPLE: Self = Self {
        color: ColorOrder::Bgr,
        mean: [0.0; 3],
        scale: [1.0; 3],
        resize: Resize::Stretch,
        interpolation: Interpolation::OpencvLinear,
    };

    /// Returns the tensor for `image`: one image in `layout`'s shape and element type, each element
    /// `(pixel - mean) / scale`, computed in f32. For an input of integers this is rounded, halves to even; if they
    /// have a [quantization](InputLayout::quantized), the element is `round(value / scale) + zero_point`, with
    /// halves as its format defines, within the range of the type.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] if the values of this recipe cannot be brought into `layout`.
    pub fn tensor(&self, image: &Image, layout: &InputLayout) -> Result<Tensor, LayoutError> {
        self.tensor_in(None, image, layout)
    }

    /// Does [`tensor`](Self::tensor) in the memory of `spare`, a tensor that is no longer needed. One that does not
    /// fit is dropped.
    ///
    /// # Errors
    ///
    /// The errors are those of [`tensor`](Self::tensor).
    pub fn tensor_in(
        &self,
        spare: Option<Tensor>,
        image: &Image,
        layout: &InputLayout,
    ) -> Result<Tensor, LayoutError> {
        self.check(layout)?;
        self.check_image(image, layout)?;
        if let Resampler::TorchvisionF32(filter) = self.resampler() {
            return self
                .float_tensor(spare, image, layout, filter)
                .map_err(LayoutError::Memory);
        }
        let pixels = self.resized(image, layout).map_err(LayoutError::Memory)?;
        values::for_element_type!(layout, convert => self.fill(spare, &pixels, layout, convert))
            .map_err(LayoutError::Memory)
    }

    /// Returns an upper bound of the bytes that [`tensor`](Self::tensor) allocates for an image of `size`, with the
    /// tensor and without the image; width first.
    pub fn memory_bytes(&self, size: (u32, u32), layout: &InputLayout) -> u64 {
        const SMALL: u64 = 1 << 16;
        let bytes = |(width, height): (u32, u32)| {
            (u64::from(width) * u64::from(height)).saturating_mul(RGB)
        };
        let input = bytes((layout.width(), layout.height()));
        let tensor = input / RGB * (layout.channels() * layout.element_type().size()) as u64;
        let (part, to) = self.resizing(size, layout);
        if self.too_long(size, layout).is_some() {
            return SMALL;
        }
        let resampled = match self.resampler() {
            Resampler::Opencv => opencv::memory_bytes(to),
            Resampler::Pillow(filter) => pillow::memory_bytes(part, to, filter),
            Resampler::Torchvision(filter) => torchvision::memory_bytes(part, to, filter),
            Resampler::TorchvisionF32(filter) => torchvision::memory_bytes_f32(part, to, filter),
        };
        let value = match self.resampler() {
            Resampler::TorchvisionF32(_) => size_of::<f32>() as u64,
            _ => 1,
        };
        // The part that is cut out before the resize, or the resized image that is cut or padded afterwards.
        let (before, after) = match self.resize {
            Resize::Stretch => (0, 0),
            Resize::Crop { .. } | Resize::CropOfShortSide { .. } => (bytes(part), 0),
            Resize::ShortSide { .. }
            | Resize::StretchThenCrop { .. }
            | Resize::Timm { .. }
            | Resize::Letterbox { .. } => (0, bytes(to)),
        };
        let grey = if self.is_grey(layout) { bytes(size) } else { 0 };
        let resizing = grey + (before + resampled).max((after + input) * value);
        resizing.max(input * value + tensor) + SMALL
    }

    /// Returns the largest reduction at which an image of `width` × `height` may be decoded without a later
    /// enlargement: 8, 4, 2 or 1, the scales of JPEG's transform.
    pub fn reduction(&self, width: u32, height: u32, layout: &InputLayout) -> u32 {
        let suffices = |by: &u32| {
            let size = (width.div_ceil(*by), height.div_ceil(*by));
            let (from, to) = self.resizing(size, layout);
            from.0 >= to.0 && from.1 >= to.1
        };
        [8, 4, 2].into_iter().find(suffices).unwrap_or(1)
    }

    /// Checks that every image can be brought into `layout`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: the values of all pixels must fit into the input's integers, an input of one channel takes one
    /// mean and scale, and a short side must not be smaller than the input.
    pub fn check(&self, layout: &InputLayout) -> Result<(), LayoutError> {
        values::check(self, layout)?;
        let is_fraction = |fraction: f64| fraction > 0.0 && fraction <= 1.0;
        match self.resize {
            Resize::ShortSide { short, centre }
                if !centre.pads() && short < layout.width().max(layout.height()) =>
            {
                Err(LayoutError::ShortSide {
                    side: short,
                    input: layout.size(),
                })
            }
            Resize::StretchThenCrop { size, centre }
                if !centre.pads()
                    && (size.width < layout.width() || size.height < layout.height()) =>
            {
                let is_narrow = size.width < layout.width();
                Err(LayoutError::ShortSide {
                    side: if is_narrow { size.width } else { size.height },
                    input: layout.size(),
                })
            }
            Resize::Crop { fraction, .. } if !is_fraction(fraction) => {
                Err(LayoutError::CropFraction(fraction))
            }
            Resize::CropOfShortSide { width, height, .. }
                if !is_fraction(width) || !is_fraction(height) =>
            {
                let fraction = if is_fraction(width) { height } else { width };
                Err(LayoutError::CropFraction(fraction))
            }
            Resize::Timm { fraction, .. } if !CropMode::FRACTIONS.contains(&fraction) => {
                Err(LayoutError::TimmFraction(fraction))
            }
            _ => Ok(()),
        }
    }

    /// Rejects an image that is so long that its resized form would take gigabytes before the crop.
    fn check_image(&self, image: &Image, layout: &InputLayout) -> Result<(), LayoutError> {
        let size = (image.width(), image.height());
        self.too_long(size, layout).map_or(Ok(()), Err)
    }

    /// Returns the error for an image of this size if its resized form is too long.
    fn too_long(&self, (width, height): (u32, u32), layout: &InputLayout) -> Option<LayoutError> {
        let short = match self.resize {
            Resize::ShortSide { short, .. } => short,
            Resize::Timm {
                mode: CropMode::Center,
                ..
            } => {
                let (_, to) = self.resizing((1, 1), layout);
                to.0.max(to.1)
            }
            _ => return None,
        };
        let (w, h) = (u64::from(width), u64::from(height));
        let long = u64::from(short) * w.max(h) / w.min(h);
        (long * u64::from(short) > MOST_RESIZED_PIXELS).then_some(LayoutError::TooLong {
            width,
            height,
            short,
            long,
        })
    }

    /// Returns the size of the part of the image that is resized, and the size that it gets; width first.
    fn resizing(&self, size: (u32, u32), layout: &InputLayout) -> ((u32, u32), (u32, u32)) {
        let input = (layout.width(), layout.height());
        match self.resize {
            Resize::Stretch => (size, input),
            Resize::Crop { fraction, .. } => (central_size(size, input, fraction), input),
            Resize::CropOfShortSide { width, height, .. } => {
                let short = size.0.min(size.1);
                let side = |fraction| ((fraction * f64::from(short)) as u32).clamp(1, short);
                ((side(width), side(height)), input)
            }
            Resize::ShortSide { short, .. } => (size, timm::short_side(size, short)),
            Resize::Timm { fraction, mode } => {
                (size, timm::resized_size(size, input, fraction, mode))
            }
            Resize::StretchThenCrop { size: to, .. } => (size, (to.width, to.height)),
            Resize::Letterbox { .. } => {
                // The CPU computes Model API's graph in f32, and divides by multiplying with the reciprocal.
                let (w, h) = (size.0 as f32, size.1 as f32);
                let scale = (input.0 as f32 * w.recip()).min(input.1 as f32 * h.recip());
                let fit =
                    |side: f32, most: u32| ((side * scale).round_ties_even() as u32).clamp(1, most);
                (size, (fit(w, input.0), fit(h, input.1)))
            }
        }
    }

    /// Returns whether the tensor holds grey.
    pub(crate) fn is_grey(&self, layout: &InputLayout) -> bool {
        self.color == ColorOrder::Grey || layout.channels() == 1
    }

    /// Returns the part of an image that is resized, which has the size `part`. Grey has three equal channels.
    fn source<'a>(
        &self,
        image: &'a Image,
        part: (u32, u32),
        layout: &InputLayout,
    ) -> Result<Cow<'a, Image>, TryReserveError> {
        let image = if self.is_grey(layout) {
            Cow::Owned(grey::grey(image)?)
        } else {
            Cow::Borrowed(image)
        };
        match self.resize {
            Resize::Crop { centre, .. } | Resize::CropOfShortSide { centre, .. } => {
                central_part(&image, part, centre).map(Cow::Owned)
            }
            _ => Ok(image),
        }
    }

    /// Returns the image in the size of the input, RGB.
    fn resized(&self, image: &Image, layout: &InputLayout) -> Result<Vec<u8>, TryReserveError> {
        let (part, to) = self.resizing((image.width(), image.height()), layout);
        let source = self.source(image, part, layout)?;
        let pixels = self.resample(&source, to)?;
        let size = (layout.width(), layout.height());
        self.resize.place(pixels, to, size, |byte| byte)
    }

    fn resample(
        &self,
        image: &Image,
        (width, height): (u32, u32),
    ) -> Result<Vec<u8>, TryReserveError> {
        let view = RgbView::new(image.width(), image.height(), image.rgb())
            .expect("an image is never empty");
        match self.resampler() {
            Resampler::Opencv => opencv::resize_linear(view, width, height),
            Resampler::Pillow(filter) => pillow::resize(view, None, width, height, filter),
            Resampler::Torchvision(filter) | Resampler::TorchvisionF32(filter) => {
                torchvision::resize(view, width, height, filter)
            }
        }
    }

    fn resampler(&self) -> Resampler {
        use Resampler::{Opencv, Pillow, Torchvision, TorchvisionF32};
        match self.interpolation {
            Interpolation::OpencvLinear => Opencv,
            Interpolation::Nearest => Pillow(Filter::Nearest),
            Interpolation::Box => Pillow(Filter::Box),
            Interpolation::Bilinear => Pillow(Filter::Bilinear),
            Interpolation::Bicubic => Pillow(Filter::Bicubic),
            Interpolation::Lanczos => Pillow(Filter::Lanczos),
            Interpolation::TorchvisionNearest => Torchvision(torchvision::Filter::Nearest),
            Interpolation::TorchvisionNearestExact => {
                Torchvision(torchvision::Filter::NearestExact)
            }
            Interpolation::TorchvisionBilinear => Torchvision(torchvision::Filter::Bilinear),
            Interpolation::TorchvisionBicubic => Torchvision(torchvision::Filter::Bicubic),
            Interpolation::TorchvisionLanczos => Torchvision(torchvision::Filter::Lanczos),
            Interpolation::TorchvisionBilinearF32 => TorchvisionF32(torchvision::Filter::Bilinear),
            Interpolation::TorchvisionBicubicF32 => TorchvisionF32(torchvision::Filter::Bicubic),
        }
    }

    /// Converts resized pixels to a tensor, by tables of the 256 values of each channel.
    fn fill<T: Element>(
        &self,
        spare: Option<Tensor>,
        pixels: &[u8],
        layout: &InputLayout,
        convert: impl Fn(f32) -> T,
    ) -> Result<Tensor, TryReserveError> {
        let mut tables = [[T::zeroed(); 256]; 3];
        for (table, (mean, scale)) in tables.iter_mut().zip(self.mean.iter().zip(self.scale)) {
            for (value, pixel) in table.iter_mut().zip(0_u8..=255) {
                *value = convert(values::real(pixel, *mean, scale));
            }
        }
        // The byte of a pixel for each channel of the tensor.
        let sources = match self.color {
            ColorOrder::Rgb | ColorOrder::Grey => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        let (pixels, _) = pixels.as_chunks::<3>();
        let length = pixels.len() * layout.channels();
        let mut values = spare.and_then(Tensor::into_vec).unwrap_or_default();
        if values.capacity() < length {
            // Growing would copy unneeded bytes, and hold both buffers.
            values = reserved(length)?;
        }
        values.resize(length, T::zeroed());
        // An input of one channel has the same elements in both layouts.
        let order = if layout.channels() == 1 {
            ImageLayout::Nchw
        } else {
            layout.order()
        };
        match order {
            ImageLayout::Nchw => {
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
            ImageLayout::Nhwc => {
                let (triples, _) = values.as_chunks_mut::<3>();
                for (triple, pixel) in triples.iter_mut().zip(pixels) {
                    for channel in 0..3 {
                        triple[channel] = tables[channel][usize::from(pixel[sources[channel]])];
                    }
                }
            }
        }
        Ok(Tensor::new(layout.shape(), values).expect("the shape is that of the pixels"))
    }
}

/// Returns the size of the central part of an image of `size` for a target of `to`. For a square target, its side is
/// that of EfficientNet's recipe: ⌊fraction × min(w, h)⌋.
fn central_size(size: (u32, u32), to: (u32, u32), fraction: f64) -> (u32, u32) {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    let aspect = f64::from(to.0) / f64::from(to.1);
    let (most_w, most_h) = (w.min(h * aspect), h.min(w / aspect));
    let side = |most: f64, side: u32| ((most * fraction).floor() as u32).clamp(1, side);
    (side(most_w, size.0), side(most_h, size.1))
}

/// Returns the central part of `image`, `w` pixels wide and `h` pixels high.
fn central_part(
    image: &Image,
    (w, h): (u32, u32),
    centre: Centre,
) -> Result<Image, TryReserveError> {
    let left = centre.offset(image.width() - w);
    let top = centre.offset(image.height() - h);
    cut(image, left, top, w, h)
}

fn cut(
    image: &Image,
    left: u32,
    top: u32,
    width: u32,
    height: u32,
) -> Result<Image, TryReserveError> {
    let stride = image.width() as usize * 3;
    let (start, length) = (left as usize * 3, width as usize * 3);
    let rows = image.rgb().chunks_exact(stride).skip(top as usize);
    let mut pixels = reserved(length * height as usize)?;
    for row in rows.take(height as usize) {
        pixels.extend_from_slice(&row[start..start + length]);
    }
    Ok(Image::from_rgb(width, height, pixels).expect("the part lies inside the image"))
}

/// Returns a vector with room for `len` values.
fn reserved<T>(len: usize) -> Result<Vec<T>, TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(len)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use backend_api::{Dim, ElementType, TensorSpec};

    use super::*;

    fn layout(element_type: ElementType, dims: [usize; 4]) -> InputLayout {
        let dims = dims.map(Dim::Fixed).to_vec();
        InputLayout::from_spec(&TensorSpec::new("x", element_type, dims), None, None).unwrap()
    }

    /// 2 x 1 pixels: (1, 2, 3) and (4, 5, 6).
    fn pair() -> Image {
        Image::from_rgb(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap()
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
        let image = Image::from_rgb(7, 4, pixels).unwrap();
        let size = central_size((7, 4), (224, 224), 0.875);
        let part = central_part(&image, size, Centre::Ceil).unwrap();
        let values: Vec<u8> = part.rgb().iter().step_by(3).copied().collect();
        assert_eq!(values, [9, 10, 11, 16, 17, 18, 23, 24, 25]);
    }

    #[test]
    fn a_very_long_image_is_refused_before_it_is_resized() {
        let recipe = Preprocess {
            resize: Resize::ShortSide {
                short: 256,
                centre: Centre::HalfEven,
            },
            ..Preprocess::OPENVINO_SAMPLE
        };
        let layout = layout(ElementType::F32, [1, 3, 224, 224]);
        for height in [4_000_000, 16_777_216, 16_777_217] {
            let long = Image::from_rgb(1, height, vec![0; height as usize * 3]).unwrap();
            let error = recipe.tensor(&long, &layout).unwrap_err();
            assert!(matches!(error, LayoutError::TooLong { .. }), "{error}");
        }
        let thin = Image::from_rgb(1, 900, vec![7; 2700]).unwrap();
        assert!(recipe.tensor(&thin, &layout).is_ok());
    }

    #[test]
    fn a_reduction_never_goes_below_what_is_resized_to() {
        let layout = layout(ElementType::F32, [1, 3, 224, 224]);
        let reduction = |resize: &str, width, height| {
            let recipe = Preprocess {
                resize: resize.parse().unwrap(),
                ..Preprocess::OPENVINO_SAMPLE
            };
            recipe.reduction(width, height, &layout)
        };
        for (resize, width, height, expected) in [
            ("stretch", 4000, 3000, 8),
            ("stretch", 1791, 3000, 8),
            ("stretch", 1784, 3000, 4),
            ("stretch", 447, 448, 2),
            ("stretch", 446, 448, 1),
            ("short:256", 2040, 2048, 4),
            ("short:256", 2041, 9000, 8),
            ("stretch:256", 2048, 2040, 4),
            // Of 2040 / 8 = 255 pixels the central ⌊0.875 x 255⌋ = 223 are too few.
            ("crop:0.875", 2040, 4000, 4),
            ("crop:0.875", 2041, 4000, 8),
            // A letterbox is limited by the long side.
            ("letterbox", 1792, 100, 8),
            ("letterbox", 1000, 100, 4),
        ] {
            let found = reduction(resize, width, height);
            assert_eq!(found, expected, "{resize} of {width} x {height}");
        }
    }

    #[test]
    fn a_spare_tensor_gives_its_memory() {
        let layout = layout(ElementType::U8, [1, 3, 1, 2]);
        let recipe = Preprocess::OPENVINO_SAMPLE;
        let expected = recipe.tensor(&pair(), &layout).unwrap();
        let spare = Tensor::new([1, 3, 1, 2], vec![9_u8; 6]).unwrap();
        let memory = spare.as_bytes().as_ptr();
        let tensor = recipe.tensor_in(Some(spare), &pair(), &layout).unwrap();
        assert_eq!(tensor, expected);
        assert_eq!(tensor.as_bytes().as_ptr(), memory);
        let other = Tensor::new([1], vec![0.0_f32]).unwrap();
        let tensor = recipe.tensor_in(Some(other), &pair(), &layout).unwrap();
        assert_eq!(tensor, expected);
    }

    #[test]
    fn a_letterbox_keeps_the_shape_of_things() {
        let recipe = Preprocess {
            resize: Resize::Letterbox {
                pad: 9,
                centred: true,
            },
            ..Preprocess::OPENVINO_SAMPLE
        };
        let wide = Image::from_rgb(4, 2, vec![200; 24]).unwrap();
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
    fn sizes_and_offsets_are_those_of_model_api() {
        let layout = layout(ElementType::U8, [1, 3, 32, 32]);
        let resizing = |resize: &str, size| {
            let recipe = Preprocess {
                resize: resize.parse().unwrap(),
                ..Preprocess::OPENVINO_SAMPLE
            };
            recipe.resizing(size, &layout)
        };
        // `round(iw * scale)` of Model API 0.4.7, half to even: 50 x 37 by 0.64 is 32 x 23.68.
        for (size, expected) in [
            ((50, 37), (32, 24)),
            ((37, 50), (24, 32)),
            ((64, 25), (32, 12)),
            ((64, 27), (32, 14)),
            ((64, 24), (32, 12)),
            // 6.5, 12.5 and 22.5, which f32 and the reciprocal of 448 move up.
            ((91, 448), (7, 32)),
            ((448, 175), (32, 13)),
            ((315, 448), (23, 32)),
        ] {
            for resize in ["letterbox:114", "fit"] {
                assert_eq!(resizing(resize, size).1, expected, "{resize} of {size:?}");
            }
        }
        // `(image.shape[1] - image.shape[0]) // 2` of the same release: 62 for 500 x 375.
        let pixels = (0..500 * 375).flat_map(|n| [(n % 500 % 256) as u8, 0, 0]);
        let image = Image::from_rgb(500, 375, pixels.collect()).unwrap();
        let size = central_size((500, 375), (32, 32), 1.0);
        let part = central_part(&image, size, Centre::Floor).unwrap();
        assert_eq!((part.width(), part.rgb()[0]), (375, 62));
    }
}
