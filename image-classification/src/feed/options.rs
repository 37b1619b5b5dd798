//! The options of a feed.

use std::time::Duration;

use crate::{Decoder, ImageMemory};

/// The options of a [`Feed`](crate::Feed).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FeedOptions {
    /// The number of images that are decoded at a time. Default: the number of cores.
    pub jobs: usize,
    /// The memory that images may take. By default 1 GiB.
    pub memory: ImageMemory,
    /// The place where images are decoded. By default the threads of the feed.
    pub decoder: Decoder,
    /// The digests that are computed for each image. By default none.
    pub digests: Digests,
    /// The maximum time of an infer request, from submitting it to its result. By default there is no limit.
    ///
    /// Waiting for a slot is part of the time; reading and preparing an image are not. A request that takes longer
    /// fails with [`DeadlineExceeded`](backend_api::ErrorKind::DeadlineExceeded), which affects the images of this
    /// request alone.
    pub timeout: Option<Duration>,
}

impl FeedOptions {
    /// Options for `jobs` decoding threads and `memory`.
    pub fn new(jobs: usize, memory: ImageMemory) -> Self {
        Self {
            jobs,
            memory,
            decoder: Decoder::default(),
            digests: Digests::default(),
            timeout: None,
        }
    }
}

impl Default for FeedOptions {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(jobs, ImageMemory::new(1 << 30, jobs))
    }
}

/// The SHA-256 digests that a [`Feed`](crate::Feed) computes of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digests {
    /// [`InputDigests::file`](crate::InputDigests::file).
    pub file: bool,
    /// [`InputDigests::tensors`](crate::InputDigests::tensors).
    pub tensors: bool,
    /// [`InputDigests::pixels`](crate::InputDigests::pixels).
    pub pixels: bool,
}
