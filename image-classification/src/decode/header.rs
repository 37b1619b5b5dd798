//! Facts from an image's header, and the memory that the image takes.

use image::metadata::Orientation;

use super::format::Format;
use super::limits::SMALL;
use super::rgb::{RGB, buffer_of};
use super::{DecodeError, Image, jpeg};

/// The size of an image and the memory that decoding it takes, read before anything is decoded.
#[derive(Debug, Clone)]
pub struct ImageHeader {
    pub(super) format: Format,
    /// The width as stored; the orientation may exchange width and height.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    /// Bytes of the buffer that pixels are decoded into and become RGB in.
    pub(super) buffer: u64,
    /// Bytes that the decoder takes besides the file and the buffer.
    pub(super) working: u64,
    /// The frame of a JPEG, whose needs depend on the reduction.
    pub(super) jpeg: Option<jpeg::Frame>,
}

impl ImageHeader {
    /// Pixels in a row of the upright image. Never 0.
    pub fn width(&self) -> u32 {
        self.upright().0
    }

    /// Rows of the upright image. Never 0.
    pub fn height(&self) -> u32 {
        self.upright().1
    }

    /// Returns whether [`Image::decode_reduced`] asks for a reduction.
    pub fn is_reducible(&self) -> bool {
        self.jpeg.as_ref().is_some_and(jpeg::Frame::is_reducible)
    }

    /// Returns whether this is a progressive JPEG, whose decoder keeps the coefficients of the whole image.
    pub fn is_progressive(&self) -> bool {
        self.jpeg.as_ref().is_some_and(jpeg::Frame::is_progressive)
    }

    /// Bytes of the decoded pixels. Only JPEGs know other reductions than 1.
    pub fn pixel_bytes(&self, reduction: u32) -> u64 {
        let (width, height) = self.reduced(reduction);
        u64::from(width) * u64::from(height) * RGB as u64
    }

    /// Returns an upper bound of the bytes that decoding takes at any time, without the file and with the pixels.
    ///
    /// The tables of a JPEG XL (prefix codes, decision trees, context maps) are an exception: its decoder does not count
    /// them. Those of a crafted file may take gigabytes more.
    pub fn decode_bytes(&self, reduction: u32) -> u64 {
        let pixels = self.pixel_bytes(reduction);
        let decoding = match &self.jpeg {
            Some(frame) => frame.decode_bytes(reduction),
            None => self.buffer + self.working,
        };
        let turning = if self.turns() { 2 * pixels } else { pixels };
        decoding.max(turning + SMALL)
    }

    /// Returns whether the orientation exchanges width and height.
    pub(super) fn turns(&self) -> bool {
        matches!(
            self.orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        )
    }

    pub(super) fn upright(&self) -> (u32, u32) {
        if self.turns() {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        }
    }

    /// Returns the stored size at `reduction`.
    fn reduced(&self, reduction: u32) -> (u32, u32) {
        let by = if self.is_reducible() {
            reduction.max(1)
        } else {
            1
        };
        (self.width.div_ceil(by), self.height.div_ceil(by))
    }

    /// Returns the upright image of `pixels`, decoded at `reduction`.
    pub(super) fn image(&self, mut pixels: Vec<u8>, reduction: u32) -> Result<Image, DecodeError> {
        // A decoder's own format may take more than RGB does.
        if pixels.capacity() / 5 * 4 > pixels.len() {
            pixels.shrink_to_fit();
        }
        let (width, height) = self.reduced(reduction);
        let wrong = || DecodeError::Panicked {
            format: self.format.name(),
        };
        let mut image = image::RgbImage::from_raw(width, height, pixels).ok_or_else(wrong)?;
        let turned =
            |turn: fn(&image::RgbImage, &mut image::RgbImage) -> image::ImageResult<()>| {
                let pixels = buffer_of(Vec::new(), self.pixel_bytes(reduction))?;
                let mut turned =
                    image::RgbImage::from_raw(height, width, pixels).ok_or_else(wrong)?;
                turn(&image, &mut turned).map_err(|_| wrong())?;
                Ok::<_, DecodeError>(turned)
            };
        match self.orientation {
            Orientation::NoTransforms => (),
            Orientation::Rotate180 => image::imageops::rotate180_in_place(&mut image),
            Orientation::FlipHorizontal => image::imageops::flip_horizontal_in_place(&mut image),
            Orientation::FlipVertical => image::imageops::flip_vertical_in_place(&mut image),
            Orientation::Rotate90 | Orientation::Rotate90FlipH => {
                image = turned(image::imageops::rotate90_in)?;
            }
            Orientation::Rotate270 | Orientation::Rotate270FlipH => {
                image = turned(image::imageops::rotate270_in)?;
            }
        }
        if matches!(
            self.orientation,
            Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        ) {
            image::imageops::flip_horizontal_in_place(&mut image);
        }
        let (width, height) = image.dimensions();
        Image::from_rgb(width, height, image.into_raw()).ok_or_else(wrong)
    }
}
