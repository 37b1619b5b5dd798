//! One request in flight.

use std::sync::{Arc, OnceLock};

use backend_api::{Engine, Error, InferOutput, Stopper, Tensor, TensorSpec};
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
    /// Empty for the server's choice.
    pub(crate) version: String,
    /// The name of the input.
    pub(crate) input: String,
    /// The scores, then the extra outputs. Empty for all outputs, as far as they are known.
    pub(crate) outputs: Vec<TensorSpec>,
    /// The version that answered first.
    pub(crate) answered: OnceLock<String>,
}

impl Plan {
    /// Returns the message for a tensor.
    pub(crate) fn request(&self, input: &Tensor) -> ModelInferRequest {
        let names = self.outputs.iter().map(|output| &output.name);
        let names = names.filter(|name| !name.is_empty());
        ModelInferRequest {
            model_name: self.model.clone(),
            model_version: self.version.clone(),
            id: String::new(),
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

    /// Checks the version of a reply: an answer of another one would be compared as if it were of the same model.
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
            "it is of version {}, but the answers before or the request are of version {}",
            shortened(version),
            shortened(expected)
        );
        Err(bad_reply(&self.model, &text)
            .with_hint("set `version`, and check that all servers have it"))
    }

    /// Returns the outputs of a reply with their tensors.
    pub(crate) fn tensors<'a>(
        &self,
        reply: &'a ModelInferResponse,
    ) -> Result<Vec<(&'a str, Result<Tensor, Error>)>, Error> {
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
            let text = format!(
                "it has {} outputs, but {} raw contents",
                outputs.len(),
                raw.len()
            );
            return Err(bad_reply(&self.model, &text));
        }
        let named = |(place, output): (usize, &'a InferOutputTensor)| {
            let tensor = read(output, raw.get(place)).map_err(|reason| {
                let name = shortened(&output.name);
                bad_reply(
                    &self.model,
                    &format!("the output `{}` {reason}", name.escape_debug()),
                )
            });
            (output.name.as_str(), tensor)
        };
        Ok(outputs.iter().enumerate().map(named).collect())
    }

    /// Reads the requested outputs of a reply.
    fn read(&self, reply: &ModelInferResponse) -> Result<InferOutput, Error> {
        let mut given = self.tensors(reply)?;
        let mut tensors = Vec::with_capacity(self.outputs.len());
        for spec in &self.outputs {
            let place = given.iter().position(|(name, _)| *name == spec.name);
            // Some servers do not name the only output.
            let place = place.or_else(|| (given.len() == 1 && given[0].0.is_empty()).then_some(0));
            let Some(place) = place else {
                let names: Vec<&str> = given.iter().map(|(name, _)| *name).take(20).collect();
                let text = format!(
                    "it has no output `{}`, but {}",
                    spec.name.escape_debug(),
                    shortened(&names.join(", "))
                );
                return Err(bad_reply(&self.model, &text));
            };
            let tensor = given.swap_remove(place).1?;
            if tensor.element_type() != spec.element_type || !spec.accepts(tensor.shape()) {
                let text = format!(
                    "the output `{}` is {}{:?}, but the model has {spec}",
                    spec.name.escape_debug(),
                    tensor.element_type(),
                    tensor.shape()
                );
                return Err(bad_reply(&self.model, &text));
            }
            tensors.push(tensor);
        }
        let names: Vec<String> = self
            .outputs
            .iter()
            .skip(1)
            .map(|it| it.name.clone())
            .collect();
        InferOutput::with_extra(&names, tensors)
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
        let call = self.client.infer(request, self.stop.take());
        self.plan.read(&self.client.block_on(call)?)
    }

    fn stopper(&mut self) -> Option<Stopper> {
        let (sender, stop) = oneshot::channel();
        self.stop = Some(stop);
        Some(Box::new(move || {
            // A call that has ended hears nothing.
            let _ = sender.send(());
        }))
    }
}
