#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod expose;
mod external;
mod files;
mod flow;
mod foreign;
mod format;
mod functions;
mod gather;
pub mod ir;
pub mod onnx;
mod ports;
mod precision;
pub mod tensorflow;
pub mod tflite;
mod types;
mod xml;
pub mod zip;

pub use external::file_beside;
pub use files::{
    MOST_ONNX_BYTES, MOST_TFLITE_BYTES, OnnxModel, SAVED_MODEL, check, check_onnx, format,
    has_ending, named_files,
};
pub use foreign::Foreign;
pub use format::{Format, open_regular, read_regular, read_source};
pub use precision::{QuantizedNodes, StoredPrecision, stored_precision};
pub use types::Kind;
