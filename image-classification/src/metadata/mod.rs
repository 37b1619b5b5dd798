//! What model files say of their preprocessing and labels.
//!
//! Intel's Model API writes it into the model: an OpenVINO IR has it as
//! `rt_info/model_info/<key>` in the `.xml`, an ONNX file as metadata property
//! `model_info <key>`. OpenVINO's C interface reads neither, and ONNX Runtime only its own, so the
//! files are read here, the same for every engine.

mod ir;
mod model_api;
mod onnx;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

pub use model_api::ModelInfo;

/// The largest `.xml` that is read.
const MOST_XML_BYTES: u64 = 256 << 20;
/// Protocol Buffers, which ONNX files are, cannot be larger.
const MOST_ONNX_BYTES: u64 = 2 << 30;

/// Why the metadata of a model could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The file cannot be read.
    #[error("the model cannot be read")]
    Io(#[from] io::Error),
    /// The file is larger than such a file can be.
    #[error("the model file has {size} bytes, more than {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The `.xml` is not well-formed.
    #[error("the model is not well-formed XML")]
    Xml(#[from] roxmltree::Error),
    /// The `.onnx` is not a protocol buffer.
    #[error("the model is not an ONNX file")]
    Onnx(#[from] prost::DecodeError),
    /// A key has a value that is not understood or not supported.
    #[error(
        "the model's metadata says {key} = `{value}`, which is not supported; expected {expected}"
    )]
    Value {
        /// The key, without the prefix `model_info`.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would have been understood.
        expected: &'static str,
    },
}

impl MetadataError {
    /// The next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Io(_) => "check the path of the model",
            Self::TooLarge { .. } | Self::Xml(_) | Self::Onnx(_) => {
                "export or download the model again"
            }
            Self::Value { .. } => "give the preprocessing by flags; flags come before metadata",
        }
    }
}

/// Reads the `model_info` entries of an `.xml` or `.onnx` file; none for other files.
///
/// # Errors
///
/// [`MetadataError`] if the file cannot be read as what its name says.
pub fn read(model: &Path) -> Result<BTreeMap<String, String>, MetadataError> {
    let extension = model
        .extension()
        .and_then(|text| text.to_str())
        .unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "xml" => {
            let bytes = read_limited(model, MOST_XML_BYTES)?;
            ir::model_info(&String::from_utf8_lossy(&bytes))
        }
        "onnx" => onnx::model_info(&read_limited(model, MOST_ONNX_BYTES)?),
        _ => Ok(BTreeMap::new()),
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, MetadataError> {
    // Before opening: opening a named pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file").into());
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(MetadataError::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may grow while it is read.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
