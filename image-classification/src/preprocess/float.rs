//! The tensor of pixels that are resized without rounding them to bytes.

use std::collections::TryReserveError;

use backend_api::{Element, Tensor};
use exact_resample::{RgbView, torchvision};

use super::options::ColorOrder;
use super::values::for_element_type;
use super::{Preprocess, reserved};
use crate::{Image, ImageLayout, InputLayout};

/// The unit of mean and scale. Resizing works on values from 0 to 1.
const MOST: f32 = 255.0;

impl Preprocess {
    /// Does [`tensor_in`](Self::tensor_in) by `filter`, without rounding to bytes.
    pub(super) fn float_tensor(
        &self,
        spare: Option<Tensor>,
        image: &Image,
        layout: &InputLayout,
        filter: torchvision::Filter,
    ) -> Result<Tensor, TryReserveError> {
        let pixels = self.resized_floats(image, layout, filter)?;
        for_element_type!(layout, convert => self.fill_floats(spare, &pixels, layout, convert))
    }

    /// Returns the image in the size of the input: red, green and blue from 0 to 1. Grey has three equal channels.
    fn resized_floats(
        &self,
        image: &Image,
        layout: &InputLayout,
        filter: torchvision::Filter,
    ) -> Result<Vec<f32>, TryReserveError> {
        let (part, to) = self.resizing((image.width(), image.height()), layout);
        let source = self.source(image, part, layout)?;
        let image = &*source;
        let view = RgbView::new(image.width(), image.height(), image.rgb())
            .expect("an image is never empty");
        let levels = std::array::from_fn(|byte| byte as f32 * (1.0 / MOST));
        let resized = torchvision::resize_f32(view, to.0, to.1, filter, &levels)
            .expect("the filter weights pixels")?;
        let size = (layout.width(), layout.height());
        let level = |byte| levels[usize::from(byte)];
        self.resize.place(resized, to, size, level)
    }

    fn fill_floats<T: Element>(
        &self,
        spare: Option<Tensor>,
        pixels: &[f32],
        layout: &InputLayout,
        convert: impl Fn(f32) -> T,
    ) -> Result<Tensor, TryReserveError> {
        // The place in a pixel of each channel of the tensor.
        let sources = match self.color {
            ColorOrder::Rgb | ColorOrder::Grey => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        let (mean, scale) = (
            self.mean.map(|mean| mean / MOST),
            self.scale.map(|scale| scale / MOST),
        );
        let value = |pixel: &[f32; 3], channel: usize| {
            convert((pixel[sources[channel]] - mean[channel]) / scale[channel])
        };
        let mut values = spare.and_then(Tensor::into_vec).unwrap_or_default();
        values.clear();
        let (pixels, _) = pixels.as_chunks::<3>();
        let channels = layout.channels();
        if values.capacity() < pixels.len() * channels {
            values = reserved(pixels.len() * channels)?;
        }
        match layout.order() {
            ImageLayout::Nchw => {
                for channel in 0..channels {
                    values.extend(pixels.iter().map(|pixel| value(pixel, channel)));
                }
            }
            ImageLayout::Nhwc => {
                for pixel in pixels {
                    values.extend((0..channels).map(|channel| value(pixel, channel)));
                }
            }
        }
        Ok(Tensor::new(layout.shape(), values).expect("the shape is that of the pixels"))
    }
}

#[cfg(test)]
mod tests {
    use backend_api::{Dim, ElementType, TensorSpec};

    use super::*;
    use crate::Interpolation;

    /// The floats round to the bytes of the same filter, whatever the resize: they are at the same places.
    #[test]
    fn floats_are_where_bytes_are() {
        for channels in [1, 3] {
            check_places(channels);
        }
    }

    fn check_places(channels: usize) {
        let pixels = (0..57 * 40 * 3).map(|i: u32| (i.wrapping_mul(0x9E37_79B1) >> 24) as u8);
        let image = Image::from_rgb(57, 40, pixels.collect()).unwrap();
        let dims = [1, channels, 24, 21].map(Dim::Fixed).to_vec();
        let spec = TensorSpec::new("x", ElementType::U8, dims);
        let layout = InputLayout::from_spec(&spec, None, None).unwrap();
        for resize in [
            "stretch",
            "crop:0.8",
            "crop:0.5x0.9:floor",
            "short:24",
            "short:20:pad-ceil",
            "stretch:30:floor",
            "stretch:21x40",
            "center:0.9",
            "squash:1.2",
            "border:1.1:9,9,9",
            "letterbox:114",
            "fit:7",
        ] {
            let tensor = |interpolation| {
                let recipe = Preprocess {
                    resize: resize.parse().unwrap(),
                    interpolation,
                    ..Preprocess::OPENVINO_SAMPLE
                };
                recipe.tensor(&image, &layout).unwrap()
            };
            let bytes = tensor(Interpolation::TorchvisionBilinear);
            let floats = tensor(Interpolation::TorchvisionBilinearF32);
            for (byte, float) in bytes.as_bytes().iter().zip(floats.as_bytes()) {
                assert!(byte.abs_diff(*float) <= 1, "{resize}: {float}, not {byte}");
            }
        }
    }
}
