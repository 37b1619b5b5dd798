#![doc = include_str!("../README.md")]

mod external;
mod files;
mod format;
pub mod ir;
pub mod onnx;
mod precision;
pub mod tflite;

pub use external::file_beside;
pub use files::{OnnxModel, check, check_onnx, format, has_ending};
pub use format::{Format, open_regular, read_regular};
pub use precision::{StoredPrecision, stored_precision};
