//! From a path to the tensor of its picture.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use backend_api::Tensor;
use image_classification::{DecodeError, InputLayout, Limits, Picture, Preprocess};

use crate::messages::Hinted;

/// Reads, decodes and preprocesses one picture.
pub fn tensor(
    path: &Path,
    recipe: &Preprocess,
    layout: &InputLayout,
) -> Result<Tensor, anyhow::Error> {
    let (picture, bytes) = decode(path)?;
    drop(bytes);
    Ok(recipe.tensor(&picture, layout)?)
}

/// Reads and decodes one picture; the file's bytes are given, too.
pub fn decode(path: &Path) -> Result<(Picture, Vec<u8>), anyhow::Error> {
    let limits = Limits::default();
    let bytes = read(path, limits.file_bytes)?;
    Ok((Picture::decode(&bytes, &limits)?, bytes))
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
    let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize);
    file.take(limit + 1)
        .read_to_end(&mut bytes)
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
    Ok(bytes)
}
