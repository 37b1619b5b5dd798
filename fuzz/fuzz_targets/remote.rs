//! Replies of inference servers: a description of a model, or outputs. The first byte says which.
#![no_main]
#![allow(dead_code, unused_imports)]

// The readers of replies are private: the target has the crate's files as its own.
#[path = "../../backend-remote/src/backend.rs"]
mod backend;
#[path = "../../backend-remote/src/client.rs"]
mod client;
#[path = "../../backend-remote/src/config.rs"]
mod config;
#[path = "../../backend-remote/src/connection.rs"]
mod connection;
#[path = "../../backend-remote/src/engine.rs"]
mod engine;
#[path = "../../backend-remote/src/error.rs"]
mod error;
#[path = "../../backend-remote/src/io_thread.rs"]
mod io_thread;
#[path = "../../backend-remote/src/outage.rs"]
mod outage;
#[path = "../../backend-remote/src/probe.rs"]
mod probe;
#[path = "../../backend-remote/src/protocol/mod.rs"]
mod protocol;
#[path = "../../backend-remote/src/tensors.rs"]
mod tensors;
#[path = "../../backend-remote/src/token.rs"]
mod token;
#[path = "../../backend-remote/src/url.rs"]
mod url;

pub use backend::RemoteBackend;
pub use config::RemoteConfig;
pub use token::TokenSource;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use prost::Message as _;

use crate::engine::{Ids, Plan};
use crate::protocol::{ModelInferResponse, ModelMetadataResponse, ServerMetadataResponse};

fuzz_target!(|bytes: &[u8]| {
    let Some((which, message)) = bytes.split_first() else {
        return;
    };
    if which % 2 == 0 {
        description(message);
    } else {
        outputs(message);
    }
});

fn description(message: &[u8]) {
    let Ok(model) = ModelMetadataResponse::decode(message) else {
        return;
    };
    let server = ServerMetadataResponse::decode(message).unwrap_or_default();
    if let Ok(description) = probe::description(&server, model) {
        for described in description.inputs.iter().chain(&description.outputs) {
            let _ = described.spec();
        }
    }
}

fn outputs(message: &[u8]) {
    let Ok(reply) = ModelInferResponse::decode(message) else {
        return;
    };
    let plan = Plan {
        model: "model".to_owned(),
        version: String::new(),
        input: "input".to_owned(),
        outputs: Vec::new(),
        answered: OnceLock::new(),
        ids: Ids::new(),
    };
    for (_, tensor) in plan.tensors(&reply, "0").unwrap_or_default() {
        if let Ok(tensor) = tensor {
            let elements: usize = tensor.shape().iter().product();
            assert_eq!(
                tensor.as_bytes().len(),
                tensor.element_type().size() * elements
            );
        }
    }
}
