#![doc = include_str!("../README.md")]

pub mod accuracy;
pub mod agreement;
mod digest;
mod duplicates;
mod share;
pub mod statistics;
pub mod text;

pub use digest::{Chain, Digest, ImageDigests};
pub use duplicates::Duplicates;
pub use share::{Share, percent};
