//! The messages and the server of the protocol, generated from `backend-remote/proto/open_inference.proto`.

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    missing_docs,
    unused_qualifications,
    reason = "generated code"
)]
#[rustfmt::skip]
mod inference;

pub use inference::*;
