#![doc = include_str!("../README.md")]

mod files;
pub mod onnx;

pub use files::{OnnxModel, check, check_onnx, has_ending};
