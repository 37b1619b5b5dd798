//! Small copies of images inside the page, up to a limit of bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

use backend_api::{Dim, ElementType, TensorSpec};
use data_encoding::BASE64;
use evaluation::text::counted;
use image_classification::{
    ColorOrder, ImageBuffers, ImageFile, ImageLayout, InputLayout, Interpolation, Preprocess,
    Resize,
};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use crate::image_decoder;
use crate::image_memory;

/// The long side of a thumbnail in pixels.
const SIDE: u32 = 192;
/// The quality of JPEG, from 1 to 100.
const QUALITY: u8 = 78;
/// The most bytes of all thumbnails of a page.
const MOST_BYTES: usize = 2_500_000;

/// The thumbnails of a page.
#[derive(Default)]
pub struct Thumbnails {
    /// By the place of the image; `None` for one that cannot be read.
    known: BTreeMap<usize, Option<Rc<str>>>,
    bytes: usize,
    shown: usize,
    unreadable: usize,
    left_out: usize,
}

/// The thumbnail of a card.
pub enum Thumbnail {
    /// A data URI.
    Image(Rc<str>),
    /// The reason why there is none.
    Missing(&'static str),
}

impl Thumbnails {
    /// Returns the thumbnail of an image.
    pub fn get(&mut self, image: usize, path: &Path) -> Thumbnail {
        let known = self.known.entry(image);
        let uri = known.or_insert_with(|| data_uri(path).map(Rc::from));
        match uri {
            None => {
                self.unreadable += 1;
                Thumbnail::Missing("not readable")
            }
            Some(uri) if self.bytes + uri.len() > MOST_BYTES => {
                self.left_out += 1;
                Thumbnail::Missing("left out")
            }
            Some(uri) => {
                self.shown += 1;
                self.bytes += uri.len();
                Thumbnail::Image(Rc::clone(uri))
            }
        }
    }

    /// Returns the number of thumbnails and the reasons for missing ones as a sentence; empty for a page without cards.
    pub fn sentence(&self, images: usize) -> String {
        if self.known.is_empty() {
            return String::new();
        }
        let mut text = format!(
            "This page has {} for {}: it shows the most important images only, so that it stays small.",
            counted(self.shown, "thumbnail"),
            counted(images, "image"),
        );
        if self.left_out > 0 {
            let _ = write!(
                text,
                " {} more are left out, because all together take at most {} MB.",
                self.left_out,
                MOST_BYTES as f64 / 1e6
            );
        }
        if self.unreadable > 0 {
            let images = counted(self.unreadable, "image");
            let _ = write!(text, " {images} cannot be read any more.");
        }
        text
    }
}

/// Returns the image, small, as a data URI; `None` if it cannot be read any more.
fn data_uri(path: &Path) -> Option<String> {
    let mut file = ImageFile::read(
        path,
        &[],
        image_memory::of_process(),
        &image_decoder::of_process(),
        ImageBuffers::default(),
    )
    .ok()?;
    let image = file.whole().ok()?;
    let long = image.width().max(image.height());
    let side = |side: u32| {
        let small = u64::from(side) * u64::from(SIDE.min(long)) / u64::from(long);
        (small as u32).max(1) as usize
    };
    let (width, height) = (side(image.width()), side(image.height()));
    let dims = [1, height, width, 3].map(Dim::Fixed);
    let spec = TensorSpec::new("thumbnail", ElementType::U8, dims.into());
    let layout = InputLayout::from_spec(&spec, Some(ImageLayout::Nhwc), None).ok()?;
    let recipe = Preprocess {
        color: ColorOrder::Rgb,
        mean: [0.0; 3],
        scale: [1.0; 3],
        resize: Resize::Stretch,
        interpolation: Interpolation::Bilinear,
    };
    let pixels = recipe.tensor(image, &layout).ok()?;
    let jpeg = compress(
        pixels.as_bytes(),
        width,
        height,
        PixelFormat::Rgb,
        QUALITY,
        Subsampling::S420,
    )
    .ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64.encode(&jpeg)))
}
