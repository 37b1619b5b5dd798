//! One request in flight.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use backend_api::{Engine, Error, InferOutput, Stopper, Tensor};
use tokio::sync::oneshot;
use tonic::codegen::Bytes;

use crate::client::Client;
use crate::error::{bad_reply, shortened};
use crate::protocol::{
    InferInputTensor, InferOutputTensor, InferRequestedOutputTensor, ModelInferRequest,
    ModelInferResponse,
};
use crate::tensors::{datatype, read};

/// The most outputs of a reply.
const MOST_OUTPUTS: usize = 1000;

/// The model, the input and the requested outputs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) model: String,
    /// The version of the model; empty for the server's choice.
    pub(crate) version: String,
    /// The name of the input.
    pub(crate) input: String,
    /// The names of the output with the scores and of the extra outputs. If it is empty, a request asks for all outputs.
    pub(crate) outputs: Vec<String>,
    /// The version that answered first.
    pub(crate) answered: OnceLock<String>,
    pub(crate) ids: Ids,
}

/// The ids of requests, which no other client has.
#[derive(Debug)]
pub(crate) struct Ids {
    prefix: String,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self {
            prefix: format!("{:016x}-", fastrand::u64(..)),
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}", self.prefix)
    }

    /// Returns whether `reply` has the id of another request of this client. Servers may give ids of their own, or none.
    fn is_of_another(&self, reply: &str, request: &str) -> bool {
        reply != request && reply.starts_with(&self.prefix)
    }
}

impl Plan {
    /// Returns the message for a tensor.
    pub(crate) fn request(&self, input: &Tensor) -> ModelInferRequest {
        let names = self.outputs.iter().filter(|name| !name.is_empty());
        ModelInferRequest {
            model_name: self.model.clone(),
            model_version: self.version.clone(),
            id: self.ids.next(),
            inputs: vec![InferInputTensor {
                name: self.input.clone(),
                datatype: datatype(input.element_type()).to_owned(),
                shape: input.shape().iter().map(|&size| size as i64).collect(),
                contents: None,
            }],
            outputs: names
                .map(|name| InferRequestedOutputTensor { name: name.clone() })
                .collect(),
            raw_input_contents: vec![Bytes::copy_from_slice(input.as_bytes())],
        }
    }

    /// Checks the version of a reply, because an answer of another version would be taken for one of the same model.
    fn check_version(&self, reply: &ModelInferResponse) -> Result<(), Error> {
        let version = &reply.model_version;
        if version.is_empty() {
            return Ok(());
        }
        let expected = match self.version.as_str() {
            "" => self.answered.get_or_init(|| version.clone()),
            given => given,
        };
        if expected == version {
            return Ok(());
        }
        let text = format!(
            "it is of version {}, but earlier answers or the request are of version {}",
            shortened(version),
            shortened(expected)
        );
        Err(bad_reply(&self.model, &text)
            .with_hint("set `version`, and check that all servers have it"))
    }

    /// Returns the outputs of the reply to the request with `id`, with their tensors.
    pub(crate) fn tensors<'a>(
        &self,
        reply: &'a ModelInferResponse,
        id: &str,
    ) -> Result<Vec<(&'a str, Result<Tensor, Error>)>, Error> {
        if self.ids.is_of_another(&reply.id, id) {
            let text = format!(
                "it answers the request {} and not {id}",
                shortened(&reply.id)
            );
            return Err(bad_reply(&self.model, &text)
                .with_hint("look for the fault in the server, or in a proxy before it"));
        }
        self.check_version(reply)?;
        let (outputs, raw) = (&reply.outputs, &reply.raw_output_contents);
        if outputs.is_empty() {
            return Err(bad_reply(&self.model, "it has no output"));
        }
        if outputs.len() > MOST_OUTPUTS {
            let text = format!("it has {} outputs, more than {MOST_OUTPUTS}", outputs.len());
            return Err(bad_reply(&self.model, &text));
        }
        if !raw.is_empty() && raw.len() != outputs.len() {
            let ending = if outputs.len() == 1 { "" } else { "s" };
            let text = format!(
                "it has {} output{ending}, but {} raw contents",
                outputs.len(),
                raw.len()
            );
            return Err(bad_reply(&self.model, &text));
        }
        let mut names = HashSet::new();
        let mut named = outputs.iter().map(|output| &output.name);
        if let Some(twice) = named.find(|name| !name.is_empty() && !names.insert(*name)) {
            let text = format!("it has the output {:?} twice", shortened(twice));
            return Err(bad_reply(&self.model, &text));
        }
        let named = |(place, output): (usize, &'a InferOutputTensor)| {
            let tensor = read(output, raw.get(place)).map_err(|reason| {
                let name = shortened(&output.name);
                bad_reply(&self.model, &format!("the output {name:?} {reason}"))
            });
            (output.name.as_str(), tensor)
        };
        Ok(outputs.iter().enumerate().map(named).collect())
    }

    /// Reads the requested outputs of the reply to the request with `id`.
    fn read(&self, reply: &ModelInferResponse, id: &str) -> Result<InferOutput, Error> {
        let mut given = self.tensors(reply, id)?;
        let mut tensors = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let place = given.iter().position(|(name, _)| name == output);
            // Some servers do not name the only output.
            let place = place.or_else(|| (given.len() == 1 && given[0].0.is_empty()).then_some(0));
            let Some(place) = place else {
                let names: Vec<&str> = given.iter().map(|(name, _)| *name).take(20).collect();
                let text = format!(
                    "it has no output {output:?}, but {}",
                    shortened(&names.join(", "))
                );
                return Err(bad_reply(&self.model, &text));
            };
            tensors.push(given.swap_remove(place).1?);
        }
        InferOutput::with_extra(self.outputs.get(1..).unwrap_or_default(), tensors)
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct RemoteEngine {
    pub(crate) client: Arc<Client>,
    pub(crate) plan: Arc<Plan>,
    /// Ends the next call early.
    pub(crate) stop: Option<oneshot::Receiver<()>>,
}

impl Engine for RemoteEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let request = self.plan.request(input);
        let id = request.id.clone();
        let call = self.client.infer(request, self.stop.take());
        self.plan.read(&self.client.block_on(call)?, &id)
    }

    fn stopper(&mut self) -> Option<Stopper> {
        let (sender, stop) = oneshot::channel();
        self.stop = Some(stop);
        Some(Box::new(move || {
            // If the call has ended, nothing receives this.
            let _ = sender.send(());
        }))
    }
}
