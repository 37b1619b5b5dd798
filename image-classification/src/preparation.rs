//! From an image's file or bytes to the tensor that a model takes.

use std::error::Error as StdError;
use std::fmt;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use backend_api::{Dim, ElementType, Tensor, TensorSpec};
use smallvec::SmallVec;

use crate::decode::bytes_of;
use crate::decoder::{DecodedElsewhereError, Decoder, ImageFacts};
use crate::file::{self, ReadError};
use crate::setting::numbers;
use crate::{
    ColorOrder, DecodeError, DecodeLimits, Image, ImageHeader, ImageLayout, ImageMemory,
    InputLayout, LayoutError, Preprocess, Reservation,
};

/// The size at which JPEGs are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decode {
    /// All pixels, byte-identical to libjpeg-turbo, Pillow and OpenCV. The default.
    #[default]
    Exact,
    /// At 1/2, 1/4 or 1/8 where the image is much larger than needed: faster, but other pixels, which can change the
    /// best class.
    Fast,
}

impl Decode {
    /// Returns the name: `exact` or `fast`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        }
    }
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Decode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Exact, Self::Fast]
            .into_iter()
            .find(|decode| decode.as_str() == text)
            .ok_or("expected exact or fast")
    }
}

/// All settings that decide the tensor of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    /// The values and the resizing.
    pub preprocess: Preprocess,
    /// The shape and element type of the model's input.
    pub layout: InputLayout,
    /// The number of images in a request.
    pub batch: usize,
    /// The size at which JPEGs are decoded.
    pub decode: Decode,
}

impl Preparation {
    /// Returns the tensor of one image, in the memory of `spare`.
    ///
    /// # Errors
    ///
    /// The errors of [`Preprocess::tensor_in`].
    pub fn single_image_tensor(
        &self,
        spare: Option<Tensor>,
        image: &Image,
    ) -> Result<Tensor, LayoutError> {
        self.preprocess.tensor_in(spare, image, &self.layout)
    }

    /// Returns the tensor of a request that holds this image in every place of the batch.
    ///
    /// # Errors
    ///
    /// [`ImageError::Layout`], as [`single_image_tensor`](Self::single_image_tensor).
    pub fn tensor(&self, image: &Image) -> Result<Tensor, ImageError> {
        let one = self.single_image_tensor(None, image)?;
        match self.batch {
            1 => Ok(one),
            batch => Tensor::concat(&vec![&one; batch]).map_err(ImageError::Tensor),
        }
    }

    /// Returns the resized pixels: RGB, or three times grey if the model takes grey.
    ///
    /// # Errors
    ///
    /// The errors of [`single_image_tensor`](Self::single_image_tensor).
    pub fn pixels(&self, image: &Image) -> Result<Tensor, LayoutError> {
        let size = self.layout.size();
        let dims = [1, size.height as usize, size.width as usize, 3].map(Dim::Fixed);
        let spec = TensorSpec::new("pixels", ElementType::U8, dims.into());
        let layout = InputLayout::from_spec(&spec, Some(ImageLayout::Nhwc), None)?;
        let preprocess = Preprocess {
            color: if self.preprocess.is_grey(&self.layout) {
                ColorOrder::Grey
            } else {
                ColorOrder::Rgb
            },
            mean: [0.0; 3],
            scale: [1.0; 3],
            ..self.preprocess
        };
        preprocess.tensor(image, &layout)
    }

    /// Returns every setting with its value, in the notation that [`FromStr`] reads.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let Self {
            preprocess,
            layout,
            batch,
            decode,
        } = self;
        let color = match layout.channels() {
            1 => ColorOrder::Grey,
            _ => preprocess.color,
        };
        let mut settings = vec![
            ("color", color.to_string()),
            ("mean", numbers(&preprocess.mean, layout.channels())),
            ("scale", numbers(&preprocess.scale, layout.channels())),
            ("resize", preprocess.resize.to_string()),
            ("interpolation", preprocess.interpolation.to_string()),
            ("decode", decode.to_string()),
            ("size", layout.size().to_string()),
            ("layout", layout.order().to_string()),
            ("type", layout.element_type().to_string()),
            ("batch", batch.to_string()),
        ];
        let quantization = layout.quantization();
        settings.extend(quantization.map(|it| ("input_quantization", it.to_string())));
        settings
    }

    /// Returns the factor by which a JPEG of `size` is reduced during decoding.
    fn reduction(&self, (width, height): (u32, u32)) -> u32 {
        match self.decode {
            Decode::Exact => 1,
            Decode::Fast => self.preprocess.reduction(width, height, &self.layout),
        }
    }
}

/// An image that is to be prepared.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageSource {
    /// The path of a file.
    Path(PathBuf),
    /// A part of a file, such as a member of an archive that is not compressed.
    Section {
        /// The path of the file.
        path: PathBuf,
        /// The place of the first byte.
        offset: u64,
        /// The number of bytes.
        length: u64,
    },
    /// The bytes of a file.
    Bytes(Vec<u8>),
    /// Decoded pixels.
    Image(Image),
    /// The reason for the failure. Such an input keeps its place among the others.
    Failed(Box<dyn StdError + Send + Sync>),
}

impl From<PathBuf> for ImageSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for ImageSource {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<Vec<u8>> for ImageSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for ImageSource {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<&Vec<u8>> for ImageSource {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::Bytes(bytes.clone())
    }
}

impl From<Image> for ImageSource {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<&Image> for ImageSource {
    fn from(image: &Image) -> Self {
        Self::Image(image.clone())
    }
}

/// The reason why an image has no answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The error of [`ImageSource::Failed`].
    #[error(transparent)]
    Source(Box<dyn StdError + Send + Sync>),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file has changed since its header was read.
    #[error("changed while it was read")]
    Changed,
    /// The bytes are not an image, or the image exceeds the limits or the memory.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The error of [`Decode`](Self::Decode), in another process.
    #[error(transparent)]
    DecodedElsewhere(#[from] DecodedElsewhereError),
    /// The backend that decodes images failed, or its process ended.
    #[error(transparent)]
    Decoder(backend_api::Error),
    /// The image needs more than the whole budget.
    #[error("{need}")]
    OverBudget {
        /// The parts of the needed memory.
        need: ImageNeed,
        /// [`DecodeError::OverBudget`], with the sum of the parts.
        source: DecodeError,
    },
    /// The image cannot be converted to the model's input.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The tensors of the images cannot be joined to a batch.
    #[error(transparent)]
    Tensor(backend_api::Error),
    /// The preparation panicked.
    #[error("preparing the image panicked")]
    Panicked,
    /// The operating system could not start the decoding threads.
    #[error("cannot start the decoding threads")]
    Threads(#[source] std::io::Error),
}

impl ImageError {
    /// Returns a stable name for reports, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(_) | Self::Changed | Self::Panicked => "bad-input",
            Self::Read(error) => error.code(),
            Self::Decode(error) | Self::OverBudget { source: error, .. } => error.code(),
            Self::Layout(error) => error.code(),
            Self::DecodedElsewhere(error) => error.code(),
            Self::Tensor(error) | Self::Decoder(error) => error.kind().as_str(),
            Self::Threads(_) => "resource-exhausted",
        }
    }

    /// Returns the next step for the user, if one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Source(_) => None,
            Self::Read(error) => error.hint(),
            Self::Changed => Some("run it again"),
            Self::Decode(error) | Self::OverBudget { source: error, .. } => Some(error.hint()),
            Self::Layout(error) => Some(error.hint()),
            Self::DecodedElsewhere(error) => Some(error.hint()),
            Self::Tensor(error) | Self::Decoder(error) => error.hint(),
            Self::Threads(_) => Some("use fewer `FeedOptions::jobs`"),
            Self::Panicked => Some("report this as a defect"),
        }
    }
}

/// The memory that an image needs, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageNeed {
    /// Bytes of the file.
    pub file: u64,
    /// Width and height of the image.
    pub size: (u32, u32),
    /// Bytes of its pixels.
    pub pixels: u64,
    /// Upper bound of the bytes that decoding takes in addition to the file and the pixels.
    pub decoding: u64,
    /// True for a progressive JPEG, whose decoder keeps the coefficients of the whole image.
    pub is_progressive: bool,
}

impl ImageNeed {
    fn new(facts: &ImageFacts, file: u64) -> Self {
        let pixels = facts.pixel_bytes(1);
        Self {
            file,
            size: facts.size,
            pixels,
            decoding: facts.decode_bytes(1).saturating_sub(pixels),
            is_progressive: facts.is_progressive,
        }
    }
}

impl fmt::Display for ImageNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        write!(
            f,
            "the file has {}, its {width} x {height} pixels {}, and decoding them takes up to {}",
            bytes_of(self.file),
            bytes_of(self.pixels),
            bytes_of(self.decoding)
        )?;
        if self.is_progressive {
            f.write_str(", which keeps the coefficients of a progressive JPEG")?;
        }
        Ok(())
    }
}

/// The buffers of a finished image, which the next image uses again.
#[derive(Debug, Default)]
pub struct ImageBuffers {
    file: Vec<u8>,
    pixels: Vec<u8>,
}

#[cfg(test)]
impl ImageBuffers {
    pub(crate) fn is_filled(&self) -> bool {
        self.file.capacity() > 0 && self.pixels.capacity() > 0
    }
}

/// An image in memory, decoded once for each reduction that is needed.
#[derive(Debug)]
pub struct ImageFile {
    bytes: Vec<u8>,
    /// The buffer of the first decoded image.
    pixels: Vec<u8>,
    /// The values of the file's header. An image that the caller decoded has none.
    facts: Option<ImageFacts>,
    decoder: Decoder,
    /// Each reduction with the image that is decoded by it.
    decoded: SmallVec<[(u32, Image); 1]>,
    preparations: SmallVec<[Preparation; 1]>,
    /// The size of the largest buffer that is kept for the next image, in bytes.
    kept: u64,
    /// Held until the image is done.
    reservation: Reservation,
}

impl ImageFile {
    /// Reads a file, header first, without decoding.
    ///
    /// Blocks until the budget of `memory` has room for the file, the decoded image and the tensors of `preparations`.
    /// Without preparations, the room is that of the whole decoded image. All memory is reserved at once, so that no
    /// thread waits while it holds memory of the same budget. If a backend decodes, it gets the file before the memory
    /// is reserved, and decodes a small image at once.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the file cannot be read, is not an image, or exceeds the limits or the budget.
    pub fn read(
        source: impl Into<ImageSource>,
        preparations: &[Preparation],
        memory: &ImageMemory,
        decoder: &Decoder,
        buffers: ImageBuffers,
    ) -> Result<Self, ImageError> {
        let ImageBuffers {
            file: spare,
            pixels,
        } = buffers;
        let limit = DecodeLimits::default().file_bytes;
        let reader = Reader {
            preparations,
            memory,
            decoder,
        };
        let (bytes, read, image) = match source.into() {
            ImageSource::Path(path) => {
                let (file, length) = file::open(&path, limit).map_err(too_large)?;
                reader.file(file, length, spare)?
            }
            ImageSource::Section {
                path,
                offset,
                length,
            } => {
                if length > limit {
                    let bytes = length;
                    return Err(too_large(ReadError::TooLarge { bytes, limit }));
                }
                let file = file::open_section(&path, offset, length)?;
                reader.file(file, length, spare)?
            }
            ImageSource::Bytes(bytes) => {
                let length = bytes.len() as u64;
                if length > limit {
                    let bytes = length;
                    return Err(too_large(ReadError::TooLarge { bytes, limit }));
                }
                let (read, image) = reader.bytes(&bytes)?;
                (bytes, read, image)
            }
            ImageSource::Image(image) => {
                let size = (image.width(), image.height());
                let needed = made(preparations) + making(size, preparations);
                let reservation = memory.budget.reserve(needed).map_err(DecodeError::from)?;
                (Vec::new(), (None, reservation), Some(image))
            }
            ImageSource::Failed(error) => return Err(ImageError::Source(error)),
        };
        let (facts, reservation) = read;
        Ok(Self {
            bytes,
            pixels,
            facts,
            decoder: decoder.clone(),
            decoded: image.map(|image| (1, image)).into_iter().collect(),
            preparations: preparations.into(),
            kept: memory.kept,
            reservation,
        })
    }

    /// Returns the bytes of the file; empty for an image that was given decoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the budget that are reserved until this is dropped.
    pub fn reserved(&self) -> u64 {
        self.reservation.bytes()
    }

    /// Returns the buffers for the next image.
    pub fn into_buffers(mut self) -> ImageBuffers {
        let pixels = self.decoded.pop().map(|(_, image)| image.into_rgb());
        let kept = |bytes: &Vec<u8>| bytes.capacity() as u64 <= self.kept;
        ImageBuffers {
            file: Some(self.bytes).filter(kept).unwrap_or_default(),
            pixels: pixels.filter(kept).unwrap_or_default(),
        }
    }

    /// Returns the image as large as `preparation` needs it.
    ///
    /// # Errors
    ///
    /// The errors of [`Image::decode`].
    pub fn image(&mut self, preparation: &Preparation) -> Result<&Image, ImageError> {
        let reducible = self.facts.as_ref().filter(|facts| facts.is_reducible);
        let by = reducible.map_or(1, |facts| preparation.reduction(facts.size));
        self.reduced(by)
    }

    /// Returns the whole image.
    ///
    /// # Errors
    ///
    /// The errors of [`Image::decode`].
    pub fn whole(&mut self) -> Result<&Image, ImageError> {
        self.reduced(1)
    }

    fn reduced(&mut self, by: u32) -> Result<&Image, ImageError> {
        let place = self.decoded.iter().position(|(other, _)| *other == by);
        let place = if let Some(place) = place {
            place
        } else {
            let length = self.bytes.len() as u64;
            let facts = match (&self.facts, &self.decoder) {
                // The backend read them from these very bytes.
                (Some(facts), Decoder::Backend(_)) => facts.clone(),
                // The file may have changed between its header, for which memory was reserved, and these bytes.
                _ => self.decoder.header(&self.bytes, false)?.0,
            };
            if needed(&facts, length, &self.preparations) > self.reservation.bytes() {
                return Err(ImageError::Changed);
            }
            let memory = std::mem::take(&mut self.pixels);
            let image = self.decoder.image(&self.bytes, &facts, by, memory)?;
            self.decoded.push((by, image));
            self.decoded.len() - 1
        };
        Ok(&self.decoded[place].1)
    }
}

/// A file's facts, and the memory for it.
type Reserved = (Option<ImageFacts>, Reservation);

/// Reads the files of images whose memory is to be reserved.
struct Reader<'a> {
    preparations: &'a [Preparation],
    memory: &'a ImageMemory,
    decoder: &'a Decoder,
}

impl Reader<'_> {
    /// Reads `length` bytes of a file, into the memory of `spare`. Returns the image too if a backend has decoded it.
    fn file(
        &self,
        file: impl Read + Seek,
        length: u64,
        spare: Vec<u8>,
    ) -> Result<(Vec<u8>, Reserved, Option<Image>), ImageError> {
        let mut bytes = spare;
        let whole = |file, bytes: &mut Vec<u8>| {
            let is_longer = file::fill(bytes, file, length, length).map_err(too_large)?;
            if is_longer || (bytes.len() as u64) < length {
                return Err(ImageError::Changed);
            }
            Ok(())
        };
        match self.decoder {
            Decoder::Here => {
                let mut reader = BufReader::new(file);
                let header = ImageHeader::read(&mut reader, &DecodeLimits::default())?;
                let reserved = self.reserve(header.into(), length)?;
                let mut file = reader.into_inner();
                file.rewind().map_err(ReadError::Io)?;
                whole(file, &mut bytes)?;
                Ok((bytes, reserved, None))
            }
            Decoder::Backend(_) => {
                whole(file, &mut bytes)?;
                let (reserved, image) = self.bytes(&bytes)?;
                Ok((bytes, reserved, image))
            }
        }
    }

    /// Reserves memory for a file that is in memory. Returns the image too if a backend has decoded it.
    fn bytes(&self, bytes: &[u8]) -> Result<(Reserved, Option<Image>), ImageError> {
        let mut preparations = self.preparations.iter();
        let is_wanted_whole = preparations.all(|it| it.decode == Decode::Exact);
        let (facts, image) = self.decoder.header(bytes, is_wanted_whole)?;
        Ok((self.reserve(facts, bytes.len() as u64)?, image))
    }

    fn reserve(&self, facts: ImageFacts, length: u64) -> Result<Reserved, ImageError> {
        let needed = needed(&facts, length, self.preparations);
        match self.memory.budget.reserve(needed) {
            Ok(reservation) => Ok((Some(facts), reservation)),
            Err(over) => Err(ImageError::OverBudget {
                need: ImageNeed::new(&facts, length),
                source: over.into(),
            }),
        }
    }
}

/// Converts file-size and allocation errors to the errors that decoding bytes gives.
fn too_large(error: ReadError) -> ImageError {
    match error {
        ReadError::TooLarge { bytes, limit } => DecodeError::TooLarge {
            what: "a file size in bytes",
            value: bytes,
            limit,
        }
        .into(),
        ReadError::Memory { bytes } => DecodeError::Allocation { bytes }.into(),
        error => error.into(),
    }
}

/// Returns an upper bound of the bytes that a file of `length` bytes and its tensors take at any time.
fn needed(facts: &ImageFacts, length: u64, preparations: &[Preparation]) -> u64 {
    let size = facts.size;
    let mut reductions: SmallVec<[u32; 16]> = preparations
        .iter()
        .map(|preparation| {
            if facts.is_reducible {
                preparation.reduction(size)
            } else {
                1
            }
        })
        .collect();
    let tensors = preparations
        .iter()
        .zip(&reductions)
        .map(|(preparation, by)| {
            let size = (size.0.div_ceil(*by), size.1.div_ceil(*by));
            preparation
                .preprocess
                .memory_bytes(size, &preparation.layout)
        });
    // A thumbnail's window of weights is smaller than a row of pixels.
    let making = tensors.max().unwrap_or_else(|| facts.pixel_bytes(1));
    if reductions.is_empty() {
        reductions.push(1);
    }
    reductions.sort_unstable();
    reductions.dedup();
    // Images of other reductions are kept while one is decoded.
    let pixels: u64 = reductions.iter().map(|by| facts.pixel_bytes(*by)).sum();
    let decoding = reductions
        .iter()
        .map(|by| {
            facts
                .decode_bytes(*by)
                .saturating_sub(facts.pixel_bytes(*by))
        })
        .max()
        .unwrap_or(0);
    length + pixels + made(preparations) + decoding.max(making)
}

/// Bytes of the finished tensors of an image.
fn made(preparations: &[Preparation]) -> u64 {
    let bytes = preparations.iter().map(|preparation| {
        let layout = &preparation.layout;
        let pixels = u64::from(layout.width()) * u64::from(layout.height());
        pixels * (layout.channels() * layout.element_type().size() * preparation.batch) as u64
    });
    bytes.sum()
}

/// Returns an upper bound of the bytes that making one of the tensors of an image of `size` takes.
fn making(size: (u32, u32), preparations: &[Preparation]) -> u64 {
    let bytes = preparations.iter().map(|preparation| {
        let Preparation {
            preprocess, layout, ..
        } = preparation;
        preprocess.memory_bytes(size, layout)
    });
    bytes.max().unwrap_or(0)
}
