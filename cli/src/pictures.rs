//! From a path to the tensor of its picture.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use backend_api::{Dim, ElementType, Tensor, TensorSpec};
use image_classification::{
    ColorOrder, DecodeError, ImageLayout, InputLayout, Limits, Picture, Preprocess,
};

use crate::args::Decode;
use crate::messages::Hinted;

/// Everything that decides which tensor a picture becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    pub preprocess: Preprocess,
    pub layout: InputLayout,
    /// How many pictures a request takes.
    pub batch: usize,
    pub decode: Decode,
}

impl Preparation {
    /// The tensor of a picture alone, in the memory of `spare`.
    pub fn one(&self, spare: Option<Tensor>, picture: &Picture) -> anyhow::Result<Tensor> {
        Ok(self.preprocess.tensor_in(spare, picture, &self.layout)?)
    }

    /// The tensor of a request with nothing but this picture, as often as the batch is large.
    pub fn tensor(&self, picture: &Picture) -> anyhow::Result<Tensor> {
        let one = self.one(None, picture)?;
        Ok(match self.batch {
            1 => one,
            batch => Tensor::concat(&vec![&one; batch])?,
        })
    }

    /// The resized pixels, RGB, whatever the model takes.
    pub fn pixels(&self, picture: &Picture) -> anyhow::Result<Tensor> {
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
        Ok(preprocess.tensor(picture, &layout)?)
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

/// The memory of a picture that is done, for the next one.
#[derive(Debug, Default)]
pub struct Buffers {
    file: Vec<u8>,
    pixels: Vec<u8>,
}

impl Buffers {
    /// More than this is not kept: one huge picture must not hold its memory for all that follow.
    const MOST_BYTES: usize = 64 << 20;
}

/// A picture's file, decoded as often as is needed.
pub struct PictureFile {
    pub bytes: Vec<u8>,
    /// Memory for the first picture.
    pixels: Vec<u8>,
    /// What `reduction` was asked for; other formats than JPEG have none.
    size: Option<(u32, u32)>,
    /// By their reductions.
    decoded: Vec<(u32, Picture)>,
}

impl PictureFile {
    /// Reads the file; nothing is decoded yet.
    pub fn read(path: &Path, memory: Buffers) -> Result<Self, anyhow::Error> {
        let Buffers { mut file, pixels } = memory;
        read_into(&mut file, path, Limits::default().file_bytes)?;
        Ok(Self {
            bytes: file,
            pixels,
            size: None,
            decoded: Vec::new(),
        })
    }

    /// The memory, when it is done.
    pub fn into_buffers(mut self) -> Buffers {
        let pixels = self.decoded.pop().map(|(_, picture)| picture.into_rgb());
        let kept = |bytes: &Vec<u8>| bytes.capacity() <= Buffers::MOST_BYTES;
        Buffers {
            file: Some(self.bytes).filter(kept).unwrap_or_default(),
            pixels: pixels.filter(kept).unwrap_or_default(),
        }
    }

    /// The picture as large as `kind` needs it.
    pub fn picture(&mut self, kind: &Preparation) -> Result<&Picture, anyhow::Error> {
        self.reduced(|(width, height)| match kind.decode {
            Decode::Exact => 1,
            Decode::Fast => kind.preprocess.reduction(width, height, &kind.layout),
        })
    }

    /// The whole picture.
    pub fn whole(&mut self) -> Result<&Picture, anyhow::Error> {
        self.reduced(|_| 1)
    }

    fn reduced(&mut self, reduction: impl Fn((u32, u32)) -> u32) -> anyhow::Result<&Picture> {
        // It is known without decoding again once the size is.
        let known = self.size.map_or(1, &reduction);
        let place = self.decoded.iter().position(|(by, _)| *by == known);
        let place = if let Some(place) = place {
            place
        } else {
            let mut by = 1;
            let (size, memory) = (&mut self.size, std::mem::take(&mut self.pixels));
            let limits = Limits::default();
            let picture =
                Picture::decode_reduced(&self.bytes, &limits, memory, |width, height| {
                    *size = Some((width, height));
                    by = reduction((width, height));
                    by
                })?;
            self.decoded.push((by, picture));
            self.decoded.len() - 1
        };
        Ok(&self.decoded[place].1)
    }
}

/// Whether the file at `path` begins as a picture does.
pub fn begins_like_one(path: &Path) -> bool {
    let mut head = Vec::new();
    path.is_file()
        && File::open(path)
            .and_then(|file| file.take(64).read_to_end(&mut head))
            .is_ok_and(|_| Picture::recognises(&head))
}

/// Reads a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, anyhow::Error> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, path, limit)?;
    Ok(bytes)
}

fn read_into(bytes: &mut Vec<u8>, path: &Path, limit: u64) -> Result<(), anyhow::Error> {
    bytes.clear();
    // Before opening: opening a named pipe would wait for its other end.
    let metadata = std::fs::metadata(path)
        .map_err(|error| anyhow::Error::new(error).context("cannot be read"))?;
    if metadata.is_dir() {
        return Err(Hinted::new("is a folder", "name the files in it").into());
    }
    if !metadata.is_file() {
        return Err(Hinted::new("is not a regular file", "copy it to a file first").into());
    }
    let file =
        File::open(path).map_err(|error| anyhow::Error::new(error).context("cannot be read"))?;
    // One byte more than the limit tells a file that grows, or whose size was not true.
    bytes.reserve(metadata.len().min(limit) as usize);
    file.take(limit + 1)
        .read_to_end(bytes)
        .map_err(|error| anyhow::Error::new(error).context("cannot be read"))?;
    if bytes.len() as u64 > limit {
        let value = metadata.len().max(limit + 1);
        return Err(DecodeError::TooLarge {
            what: "a file size in bytes",
            value,
            limit,
        }
        .into());
    }
    Ok(())
}
