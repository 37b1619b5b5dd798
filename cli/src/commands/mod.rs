//! The commands, a file or a directory each.

pub mod bench;
pub mod check;
pub mod classify;
pub mod compare;
pub mod demo;
pub mod devices;
pub mod evaluate;
mod evaluate_truth;
pub mod inspect;
pub mod manual;
pub mod merge;
pub mod recipes;
pub mod shard;
pub mod stream;
pub mod tensors;
