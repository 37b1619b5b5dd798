//! The place where this process decodes images: its own threads, or an isolated process.

use std::sync::OnceLock;

use backend_api::Error;
use image_classification::Decoder;

static OF_PROCESS: OnceLock<Decoder> = OnceLock::new();

/// Sets the place, before the first image is read.
pub fn set(decoder: Decoder) {
    // A second command in one process does not exist.
    let _ = OF_PROCESS.set(decoder);
}

/// Returns the place.
pub fn of_process() -> Decoder {
    OF_PROCESS.get().cloned().unwrap_or_default()
}

/// Returns the reason why no image can be decoded any more.
pub fn failure(decoder: &Decoder) -> Option<Error> {
    match decoder {
        Decoder::Here => None,
        Decoder::Backend(backend) => backend.failure(),
    }
}
