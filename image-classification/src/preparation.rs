//! From a path to the tensor of its image.

use std::fs::File;
use std::io::{BufReader, Cursor, Read as _, Seek as _};
use std::path::Path;

use backend_api::{Dim, ElementType, Tensor, TensorSpec};
use bytesize::ByteSize;
use image_classification::{
    ColorOrder, DecodeError, Image, ImageHeader, ImageLayout, InputLayout, Limits, OverBudget,
    Preprocess, Reservation,
};

use crate::args::Decode;
use crate::image_memory::ImageMemory;
use crate::messages::Hinted;

/// Everything that decides which tensor an image becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    pub preprocess: Preprocess,
    pub layout: InputLayout,
    /// How many images a request takes.
    pub batch: usize,
    pub decode: Decode,
}

impl Preparation {
    /// The tensor of an image alone, in the memory of `spare`.
    pub fn one(&self, spare: Option<Tensor>, image: &Image) -> anyhow::Result<Tensor> {
        Ok(self.preprocess.tensor_in(spare, image, &self.layout)?)
    }

    /// The tensor of a request with nothing but this image, as often as the batch is large.
    pub fn tensor(&self, image: &Image) -> anyhow::Result<Tensor> {
        let one = self.one(None, image)?;
        Ok(match self.batch {
            1 => one,
            batch => Tensor::concat(&vec![&one; batch])?,
        })
    }

    /// The resized pixels, RGB, whatever the model takes.
    pub fn pixels(&self, image: &Image) -> anyhow::Result<Tensor> {
        let size = self.layout.size();
        let dims = [1, size.height as usize, size.width as usize, 3].map(Dim::Fixed);
        let spec = TensorSpec::new("pixels", ElementType::U8, dims.into());
        let layout = InputLayout::from_spec(&spec, Some(ImageLayout::Nhwc), None)?;
        let preprocess = Preprocess {
            color: ColorOrder::Rgb,
            mean: [0.0; 3],
            scale: [1.0; 3],
            ..self.preprocess
        };
        Ok(preprocess.tensor(image, &layout)?)
    }

    /// Every value, in the notation of the command line.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let three = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
        let Self {
            preprocess,
            layout,
            batch,
            decode,
        } = self;
        vec![
            ("color", preprocess.color.to_string()),
            ("mean", three(preprocess.mean)),
            ("scale", three(preprocess.scale)),
            ("resize", preprocess.resize.to_string()),
            ("interpolation", preprocess.interpolation.to_string()),
            ("decode", decode.as_str().to_owned()),
            ("size", layout.size().to_string()),
            ("layout", layout.order().to_string()),
            ("type", layout.element_type().to_string()),
            ("batch", batch.to_string()),
        ]
    }
}

/// The memory of an image that is done, for the next one.
#[derive(Debug, Default)]
pub struct Buffers {
    file: Vec<u8>,
    pixels: Vec<u8>,
}

/// An image's file, decoded as often as is needed.
pub struct ImageFile {
    pub bytes: Vec<u8>,
    /// Memory for the first image.
    pixels: Vec<u8>,
    /// The size that decides reductions; other formats than JPEG have none.
    size: Option<(u32, u32)>,
    /// By their reductions.
    decoded: Vec<(u32, Image)>,
    /// Bytes that were found to be needed.
    needed: u64,
    kinds: Vec<Preparation>,
    /// Until the image is done.
    _reservation: Reservation,
}

impl ImageFile {
    /// Reads the file; nothing is decoded yet. Waits until the budget of [`ImageMemory`] has what the file and
    /// everything that `kinds` make of it take at most, or whole images where there are none.
    pub fn read(
        path: &Path,
        memory: Buffers,
        kinds: &[Preparation],
    ) -> Result<Self, anyhow::Error> {
        let limits = Limits::default();
        let (file, length) = open(path, limits.file_bytes)?;
        let mut reader = BufReader::new(file);
        let header = ImageHeader::read(&mut reader, &limits)?;
        let needed = needed(&header, length, kinds);
        let reservation = ImageMemory::of_process()
            .budget
            .reserve(needed)
            .map_err(|over| over_budget(over, &header, length))?;
        let Buffers {
            file: mut bytes,
            pixels,
        } = memory;
        let mut file = reader.into_inner();
        file.rewind()
            .map_err(|error| anyhow::Error::new(error).context("cannot be read"))?;
        if fill(&mut bytes, file, length, length)? {
            return Err(changed());
        }
        Ok(Self {
            bytes,
            pixels,
            size: header
                .is_reducible()
                .then(|| (header.width(), header.height())),
            decoded: Vec::new(),
            needed,
            kinds: kinds.to_vec(),
            _reservation: reservation,
        })
    }

    /// The memory, when it is done.
    pub fn into_buffers(mut self) -> Buffers {
        let pixels = self.decoded.pop().map(|(_, image)| image.into_rgb());
        let most = ImageMemory::of_process().kept;
        let kept = |bytes: &Vec<u8>| bytes.capacity() as u64 <= most;
        Buffers {
            file: Some(self.bytes).filter(kept).unwrap_or_default(),
            pixels: pixels.filter(kept).unwrap_or_default(),
        }
    }

    /// The image as large as `kind` needs it.
    pub fn image(&mut self, kind: &Preparation) -> Result<&Image, anyhow::Error> {
        let by = self.size.map_or(1, |size| reduction(kind, size));
        self.reduced(by)
    }

    /// The whole image.
    pub fn whole(&mut self) -> Result<&Image, anyhow::Error> {
        self.reduced(1)
    }

    fn reduced(&mut self, by: u32) -> anyhow::Result<&Image> {
        let place = self.decoded.iter().position(|(other, _)| *other == by);
        let place = if let Some(place) = place {
            place
        } else {
            let limits = Limits::default();
            // Memory was reserved for the file as it was before it was read.
            let header = ImageHeader::read(Cursor::new(&self.bytes), &limits)?;
            if needed(&header, self.bytes.len() as u64, &self.kinds) > self.needed {
                return Err(changed());
            }
            let memory = std::mem::take(&mut self.pixels);
            let image = Image::decode_reduced(&self.bytes, &limits, memory, |_, _| by)?;
            self.decoded.push((by, image));
            self.decoded.len() - 1
        };
        Ok(&self.decoded[place].1)
    }
}

/// By how much a JPEG of `size` is decoded smaller for `kind`.
fn reduction(kind: &Preparation, (width, height): (u32, u32)) -> u32 {
    match kind.decode {
        Decode::Exact => 1,
        Decode::Fast => kind.preprocess.reduction(width, height, &kind.layout),
    }
}

/// Most bytes that a file of `length` bytes and the tensors of `kinds` take at any time.
fn needed(header: &ImageHeader, length: u64, kinds: &[Preparation]) -> u64 {
    let size = (header.width(), header.height());
    let mut reductions: Vec<u32> = kinds
        .iter()
        .map(|kind| {
            if header.is_reducible() {
                reduction(kind, size)
            } else {
                1
            }
        })
        .collect();
    let tensors = kinds.iter().zip(&reductions).map(|(kind, by)| {
        let size = (size.0.div_ceil(*by), size.1.div_ceil(*by));
        kind.preprocess.memory_bytes(size, &kind.layout)
    });
    // A thumbnail's window of weights is smaller than a row of pixels.
    let making = tensors.max().unwrap_or_else(|| header.pixel_bytes(1));
    let made = kinds.iter().map(|kind| {
        let pixels = u64::from(kind.layout.width()) * u64::from(kind.layout.height());
        let element = kind.layout.element_type().size();
        pixels * (3 * element * kind.batch) as u64
    });
    let made: u64 = made.sum();
    if reductions.is_empty() {
        reductions.push(1);
    }
    reductions.sort_unstable();
    reductions.dedup();
    // Images of other reductions are kept while one is decoded.
    let pixels: u64 = reductions.iter().map(|by| header.pixel_bytes(*by)).sum();
    let decoding = reductions
        .iter()
        .map(|by| {
            header
                .decode_bytes(*by)
                .saturating_sub(header.pixel_bytes(*by))
        })
        .max()
        .unwrap_or(0);
    length + pixels + made + decoding.max(making)
}

/// The error of an image that needs more than the whole budget, with the parts of what it needs.
fn over_budget(over: OverBudget, header: &ImageHeader, length: u64) -> anyhow::Error {
    let size = |bytes: u64| ByteSize(bytes).display().iec();
    let pixels = header.pixel_bytes(1);
    let decoding = header.decode_bytes(1).saturating_sub(pixels);
    let progressive = if header.is_progressive() {
        ", which keeps the coefficients of a progressive JPEG"
    } else {
        ""
    };
    let parts = format!(
        "the file has {}, its {} x {} pixels {}, and decoding them takes up to {}{progressive}",
        size(length),
        header.width(),
        header.height(),
        size(pixels),
        size(decoding)
    );
    anyhow::Error::new(DecodeError::from(over)).context(parts)
}

fn changed() -> anyhow::Error {
    Hinted::new("changed while it was read", "run it again").into()
}

/// Whether the file at `path` begins as an image does.
pub fn begins_like_one(path: &Path) -> bool {
    let mut head = Vec::new();
    model_file::open_regular(path)
        .and_then(|file| file.take(64).read_to_end(&mut head))
        .is_ok_and(|_| Image::recognises(&head))
}

/// Reads a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, anyhow::Error> {
    let mut bytes = Vec::new();
    let (file, length) = open(path, limit)?;
    if fill(&mut bytes, file, length, limit)? {
        return Err(too_large(bytes.len() as u64, limit));
    }
    Ok(bytes)
}

/// Opens a regular file of at most `limit` bytes; gives its length too.
fn open(path: &Path, limit: u64) -> Result<(File, u64), anyhow::Error> {
    let unreadable = |error| anyhow::Error::new(error).context("cannot be read");
    let file = model_file::open_regular(path).map_err(|error| {
        // Of what the path is now; nothing is read.
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                Hinted::new("is a folder", "name the files in it").into()
            }
            Ok(metadata) if !metadata.is_file() => {
                Hinted::new("is not a regular file", "copy it to a file first").into()
            }
            _ => unreadable(error),
        }
    })?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > limit {
        return Err(too_large(length, limit));
    }
    Ok((file, length))
}

/// Reads at most `limit` bytes of `file`, most likely `length`, into `bytes`. Tells whether there are more.
fn fill(bytes: &mut Vec<u8>, file: File, length: u64, limit: u64) -> anyhow::Result<bool> {
    bytes.clear();
    // One byte more than expected tells the end of the file.
    if bytes.capacity() as u64 <= length {
        // Growing would copy what nobody needs, and hold both.
        *bytes = Vec::new();
        bytes
            .try_reserve_exact(length as usize + 1)
            .map_err(|_| DecodeError::Allocation { bytes: length })?;
    }
    file.take(limit + 1)
        .read_to_end(bytes)
        .map_err(|error| anyhow::Error::new(error).context("cannot be read"))?;
    Ok(bytes.len() as u64 > limit)
}

fn too_large(value: u64, limit: u64) -> anyhow::Error {
    let what = "a file size in bytes";
    DecodeError::TooLarge { what, value, limit }.into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        assert!(!begins_like_one(&pipe));
        let error = read(&pipe, 10).unwrap_err().to_string();
        assert_eq!(error, "is not a regular file");
        let error = read(folder.path(), 10).unwrap_err().to_string();
        assert_eq!(error, "is a folder");
        let error = crate::recording::Recording::open(&pipe).err().unwrap();
        assert!(
            format!("{error:#}").contains("not a classify recording"),
            "{error:#}"
        );
    }
}
