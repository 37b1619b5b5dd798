#![doc = include_str!("../README.md")]

pub mod expose;
mod files;
mod flow;
pub mod onnx;
mod types;

pub use files::{OnnxModel, check, check_onnx, has_ending};
pub use types::Kind;
