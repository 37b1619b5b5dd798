//! The place where images are decoded: here, or in a backend, which may be a confined process.

use std::io::Cursor;
use std::sync::Arc;

use backend_api::{
    BackendInfo, BlockingInfer as _, Dim, ElementType, Engine, Error, ErrorKind, InferBackend,
    InferOutput, SlotPool, Tensor, TensorSpec,
};
use serde::{Deserialize, Serialize};

use crate::decode::MOST_SIDE;
use crate::{DecodeError, DecodeLimits, Image, ImageError, ImageHeader, ImageNote};

/// The factors by which images are decoded smaller.
const REDUCTIONS: [u32; 4] = [1, 2, 4, 8];
/// The last byte of a request that asks for the header. Others ask for the image at that reduction.
const HEADER: u8 = 0;
/// Asks for the header, and for the whole image if decoding it takes at most [`MOST_AT_ONCE`].
const AT_ONCE: u8 = u8::MAX;
/// Bytes that decoding may take before memory is reserved for the image. A second request would take longer than
/// decoding a small image.
const MOST_AT_ONCE: u64 = 16 << 20;
/// The name of the output that describes the other one.
const REPLY: &str = "reply";

/// The place where images are decoded.
#[derive(Debug, Clone, Default)]
pub enum Decoder {
    /// The thread that needs the image. The default.
    #[default]
    Here,
    /// A [`DecodingBackend`], usually in a process of its own, so that no image can do harm to this one.
    Backend(Arc<dyn InferBackend>),
}

impl Decoder {
    /// Reads the header of a file. A backend also decodes a small image if it `is_wanted_whole`.
    pub(crate) fn header(
        &self,
        bytes: &[u8],
        is_wanted_whole: bool,
    ) -> Result<(ImageFacts, Option<Image>), ImageError> {
        let limits = DecodeLimits::default();
        let backend = match self {
            Self::Here => {
                let header = ImageHeader::read(Cursor::new(bytes), &limits)?;
                return Ok((header.into(), None));
            }
            Self::Backend(backend) => backend,
        };
        let request = if is_wanted_whole { AT_ONCE } else { HEADER };
        match ask(&**backend, bytes, request)? {
            (Reply::Header(facts), _) => Ok((facts.checked(&limits)?, None)),
            (Reply::Both(facts, image), pixels) if is_wanted_whole => {
                let facts = facts.checked(&limits)?;
                if facts.decode_bytes(1) > MOST_AT_ONCE {
                    return Err(unexpected());
                }
                let image = image.with(pixels, &facts, 1)?;
                Ok((facts, Some(image)))
            }
            _ => Err(unexpected()),
        }
    }

    /// Decodes a file whose header has been read, into `spare` if it is decoded here.
    pub(crate) fn image(
        &self,
        bytes: &[u8],
        facts: &ImageFacts,
        by: u32,
        spare: Vec<u8>,
    ) -> Result<Image, ImageError> {
        match self {
            Self::Here => {
                let limits = DecodeLimits::default();
                Ok(Image::decode_reduced(bytes, &limits, spare, |_, _| by)?)
            }
            Self::Backend(backend) => match ask(&**backend, bytes, by as u8)? {
                (Reply::Image(image), pixels) => image.with(pixels, facts, by),
                _ => Err(unexpected()),
            },
        }
    }
}

/// Sends one request. Returns the reply and the pixels.
fn ask(
    backend: &dyn InferBackend,
    bytes: &[u8],
    request: u8,
) -> Result<(Reply, Vec<u8>), ImageError> {
    let input = [bytes, &[request]].concat();
    let output = Tensor::new([input.len()], input)
        .and_then(|input| backend.infer_blocking(input))
        .map_err(ImageError::Decoder)?;
    let reply = output.extra.first().and_then(|it| it.tensor.as_slice());
    let reply = serde_json::from_slice(reply.unwrap_or_default()).map_err(|_| unexpected())?;
    match reply {
        Reply::Failed(error) => Err(ImageError::DecodedElsewhere(error)),
        reply => Ok((reply, output.tensor.into_vec().ok_or_else(unexpected)?)),
    }
}

/// Returns the error of a backend that does not decode, or of a process that was taken over.
fn unexpected() -> ImageError {
    let message = "the decoder sent a reply that is not one of a decoder";
    ImageError::Decoder(
        Error::new(ErrorKind::EngineCrashed, message)
            .with_hint("do not use the image: it may have taken the decoder over"),
    )
}

/// A backend that decodes images, for a process that does nothing else.
///
/// Its input is a file, `u8[bytes + 1]`; a [`Decoder`] knows the meaning of the last byte. Its outputs are the pixels,
/// `u8[width × height × 3]`, and their description.
#[derive(Debug)]
pub struct DecodingBackend {
    pool: SlotPool,
}

backend_api::pooled!(DecodingBackend);

impl DecodingBackend {
    /// Bytes of the largest request or reply.
    pub const MOST_BYTES: u64 = 768 << 20;

    /// Returns a backend that decodes `slots` images at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceExhausted`] if its threads cannot be started.
    pub fn new(slots: usize) -> Result<Self, Error> {
        let spec = |name| TensorSpec::new(name, ElementType::U8, vec![Dim::Dynamic]);
        let mut info = BackendInfo::new("decoder", spec("file"), spec("pixels"));
        info.extra_outputs = vec![spec(REPLY)];
        info.slots = slots.max(1);
        let engines = (0..info.slots).map(|_| DecodingEngine).collect();
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }
}

#[derive(Debug)]
struct DecodingEngine;

impl Engine for DecodingEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let input = input.as_slice::<u8>().unwrap_or_default();
        let (reply, pixels) = match input.split_last() {
            Some((request, bytes)) => answer(bytes, *request),
            None => (Reply::Failed((&DecodeError::Empty).into()), Vec::new()),
        };
        let reply = serde_json::to_vec(&reply).map_err(|source| {
            let message = "the reply of the decoder cannot be written";
            Error::new(ErrorKind::InferenceFailed, message).with_source(source)
        })?;
        let tensors = vec![
            Tensor::new([pixels.len()], pixels)?,
            Tensor::new([reply.len()], reply)?,
        ];
        InferOutput::with_extra(&[REPLY.to_owned()], tensors)
    }
}

fn answer(bytes: &[u8], request: u8) -> (Reply, Vec<u8>) {
    let limits = DecodeLimits::default();
    let failed = |error: DecodeError| (Reply::Failed((&error).into()), Vec::new());
    let facts = if matches!(request, HEADER | AT_ONCE) {
        match ImageHeader::read(Cursor::new(bytes), &limits) {
            Ok(header) => Some(ImageFacts::from(header)),
            Err(error) => return failed(error),
        }
    } else {
        None
    };
    let by = match &facts {
        Some(facts) if request == HEADER || facts.decode_bytes(1) > MOST_AT_ONCE => {
            return (Reply::Header(facts.clone()), Vec::new());
        }
        Some(_) => 1,
        None => u32::from(request),
    };
    match Image::decode_reduced(bytes, &limits, Vec::new(), |_, _| by) {
        Ok(image) => {
            let pixels = Pixels::of(&image);
            let reply = match facts {
                Some(facts) => Reply::Both(facts, pixels),
                None => Reply::Image(pixels),
            };
            (reply, image.into_rgb())
        }
        Err(error) => failed(error),
    }
}

/// The description of the pixels, or the reason why there are none.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Header(ImageFacts),
    Image(Pixels),
    Both(ImageFacts, Pixels),
    Failed(DecodedElsewhereError),
}

/// The description of an image whose pixels are sent next to it.
#[derive(Debug, Serialize, Deserialize)]
struct Pixels {
    width: u32,
    height: u32,
    note: Option<ImageNote>,
}

impl Pixels {
    fn of(image: &Image) -> Self {
        Self {
            width: image.width(),
            height: image.height(),
            note: image.note(),
        }
    }

    /// Returns the image, if it is one that has these facts at this reduction.
    fn with(self, pixels: Vec<u8>, facts: &ImageFacts, by: u32) -> Result<Image, ImageError> {
        // The memory of the other steps depends on the sides.
        let (width, height) = facts.size;
        let is_as_stated = self.width <= width && self.height <= height;
        if !is_as_stated || pixels.len() as u64 > facts.pixel_bytes(by) {
            return Err(unexpected());
        }
        let image = Image::from_rgb(self.width, self.height, pixels);
        Ok(image.ok_or_else(unexpected)?.noted(self.note))
    }
}

/// The facts of a header that decide the memory of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageFacts {
    /// Width and height, upright.
    pub size: (u32, u32),
    pub is_reducible: bool,
    pub is_progressive: bool,
    /// Bytes of the pixels at each of the reductions.
    pixels: [u64; REDUCTIONS.len()],
    /// Upper bounds of the bytes that decoding takes, with the pixels, for each reduction.
    decoding: [u64; REDUCTIONS.len()],
}

impl From<ImageHeader> for ImageFacts {
    fn from(header: ImageHeader) -> Self {
        Self {
            size: (header.width(), header.height()),
            is_reducible: header.is_reducible(),
            is_progressive: header.is_progressive(),
            pixels: REDUCTIONS.map(|by| header.pixel_bytes(by)),
            decoding: REDUCTIONS.map(|by| header.decode_bytes(by)),
        }
    }
}

impl ImageFacts {
    /// Bytes of the decoded pixels.
    pub fn pixel_bytes(&self, by: u32) -> u64 {
        self.pixels[place(by)]
    }

    /// Returns an upper bound of the bytes that decoding takes at any time, without the file and with the pixels.
    pub fn decode_bytes(&self, by: u32) -> u64 {
        self.decoding[place(by)]
    }

    /// Refuses facts that the header of no image has: others compute with them.
    fn checked(self, limits: &DecodeLimits) -> Result<Self, ImageError> {
        let (width, height) = self.size;
        let pixels = u64::from(width) * u64::from(height);
        let is_possible = (1..=limits.pixels).contains(&pixels)
            && u64::from(width.max(height)) <= MOST_SIDE
            && self.pixels[0] == 3 * pixels
            && self.pixels.is_sorted_by(|large, small| large >= small)
            && self
                .decoding
                .iter()
                .all(|bytes| *bytes <= i64::MAX as u64 / 4);
        is_possible.then_some(self).ok_or_else(unexpected)
    }
}

/// Returns the place of a reduction.
fn place(by: u32) -> usize {
    let place = REDUCTIONS.iter().rposition(|other| *other <= by);
    place.unwrap_or(0)
}

/// A [`DecodeError`] of another process.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct DecodedElsewhereError {
    code: String,
    message: String,
    hint: String,
    #[source]
    source: Option<Box<Cause>>,
}

/// The text of an error, and of those that led to it.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
struct Cause {
    message: String,
    #[source]
    source: Option<Box<Self>>,
}

impl Cause {
    fn of(error: Option<&(dyn std::error::Error + 'static)>) -> Option<Box<Self>> {
        error.map(|error| {
            Box::new(Self {
                message: error.to_string(),
                source: Self::of(error.source()),
            })
        })
    }
}

impl From<&DecodeError> for DecodedElsewhereError {
    fn from(error: &DecodeError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            hint: error.hint().to_owned(),
            source: Cause::of(std::error::Error::source(error)),
        }
    }
}

impl DecodedElsewhereError {
    /// Returns the [`DecodeError::code`].
    pub fn code(&self) -> &'static str {
        // The other process may say anything.
        let known = DecodeError::CODES.iter().find(|code| **code == self.code);
        known.copied().unwrap_or("damaged-picture")
    }

    /// Returns the [`DecodeError::hint`].
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Returns whether this was a [`DecodeError::Allocation`].
    pub fn is_out_of_memory(&self) -> bool {
        self.code() == DecodeError::Allocation { bytes: 0 }.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageBuffers, ImageFile, ImageMemory};

    /// Returns a PPM with `extra` at its end.
    fn ppm() -> Vec<u8> {
        [&b"P6 2 1 255\n"[..], &[1, 2, 3, 4, 5, 6]].concat()
    }

    fn backend() -> Decoder {
        Decoder::Backend(Arc::new(DecodingBackend::new(2).unwrap()))
    }

    fn decoded(bytes: Vec<u8>, decoder: &Decoder) -> Result<Image, ImageError> {
        let memory = ImageMemory::new(1 << 30, 1);
        let mut file = ImageFile::read(bytes, &[], &memory, decoder, ImageBuffers::default())?;
        file.whole().cloned()
    }

    #[test]
    fn a_backend_gives_the_pixels_of_this_thread() {
        let here = decoded(ppm(), &Decoder::Here).unwrap();
        assert_eq!(here.rgb(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(decoded(ppm(), &backend()).unwrap(), here);
    }

    #[test]
    fn a_backend_gives_the_errors_of_this_thread() {
        for bytes in [
            Vec::new(),
            b"no image".to_vec(),
            b"P6 2 1 255\n123".to_vec(),
            b"P6 99999999 99999999 255\n".to_vec(),
            b"\x89PNG\r\n\x1a\n".to_vec(),
        ] {
            let here = decoded(bytes.clone(), &Decoder::Here).unwrap_err();
            let there = decoded(bytes, &backend()).unwrap_err();
            assert_eq!(there.to_string(), here.to_string());
            assert_eq!(there.code(), here.code());
            assert_eq!(there.hint(), here.hint());
            let cause = |error: &ImageError| {
                std::error::Error::source(error).map(|cause| format!("{cause}"))
            };
            assert_eq!(cause(&there), cause(&here));
        }
    }

    #[test]
    fn a_file_within_the_budget_alone_is_decoded() {
        let memory = ImageMemory::new(1 << 10, 1);
        let read = ImageFile::read(ppm(), &[], &memory, &backend(), ImageBuffers::default());
        assert_eq!(read.unwrap_err().code(), "too-large");
        assert_eq!(memory.budget.reserved(), 0);
    }

    /// Returns a backend whose reply is `reply` with `pixels`.
    fn liar(reply: String, pixels: Vec<u8>) -> Decoder {
        let honest = DecodingBackend::new(1).unwrap();
        let mock = backend_api::MockBackend::builder().info(honest.info().clone());
        let mock = mock.respond_with(move |_, _| {
            let reply = reply.clone().into_bytes();
            let tensors = vec![
                Tensor::new([pixels.len()], pixels.clone())?,
                Tensor::new([reply.len()], reply)?,
            ];
            InferOutput::with_extra(&[REPLY.to_owned()], tensors)
        });
        Decoder::Backend(Arc::new(mock.build().unwrap()))
    }

    #[test]
    fn impossible_replies_are_refused() {
        let header = |width: u32, pixels: [u64; 4], decoding: u64| {
            let facts = ImageFacts {
                size: (width, 1),
                is_reducible: false,
                is_progressive: false,
                pixels,
                decoding: [decoding; 4],
            };
            serde_json::to_string(&Reply::Header(facts)).unwrap()
        };
        for reply in [
            String::new(),
            "{}".to_owned(),
            header(0, [0; 4], 1),
            header(2, [5; 4], 1),
            header(2, [6, 7, 6, 6], 1),
            header(2, [6; 4], u64::MAX),
            header(u32::MAX, [3 * u64::from(u32::MAX); 4], 1),
            header(MOST_SIDE as u32 + 1, [3 * (MOST_SIDE + 1); 4], 1),
        ] {
            let error = decoded(ppm(), &liar(reply.clone(), Vec::new())).unwrap_err();
            assert_eq!(error.code(), "engine-crashed", "{reply}");
        }
        // More pixels than the header has, or others than the sizes say.
        let (facts, image) = backend().header(&ppm(), true).unwrap();
        assert_eq!(image.unwrap().rgb(), [1, 2, 3, 4, 5, 6]);
        assert!(backend().header(&ppm(), false).unwrap().1.is_none());
        for (pixels, width, height) in [(9, 3, 1), (6, 1, 1), (6, 1, 2)] {
            let image = || Pixels {
                width,
                height,
                note: None,
            };
            let of = |reply| liar(serde_json::to_string(&reply).unwrap(), vec![0; pixels]);
            let error = of(Reply::Image(image())).image(&ppm(), &facts, 1, Vec::new());
            assert_eq!(error.unwrap_err().code(), "engine-crashed");
            let error = of(Reply::Both(facts.clone(), image())).header(&ppm(), true);
            assert_eq!(error.unwrap_err().code(), "engine-crashed");
        }
        // The memory of a large image has to be reserved first.
        let pixels = || Pixels {
            width: 2,
            height: 1,
            note: None,
        };
        for (decoding, is_taken) in [(MOST_AT_ONCE, true), (MOST_AT_ONCE + 1, false)] {
            let mut facts = facts.clone();
            facts.decoding[0] = decoding;
            let reply = serde_json::to_string(&Reply::Both(facts, pixels())).unwrap();
            let found = liar(reply, vec![0; 6]).header(&ppm(), true);
            assert_eq!(found.is_ok(), is_taken, "{decoding}");
        }
    }
}
