//! The description of a server and of its model.

use std::time::Duration;

use backend_api::{Dim, Error, ErrorKind, TensorSpec};
use tonic::{Code, Status};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{is_denied, is_timeout, is_transient, is_unreadable, shortened};
use crate::protocol::{
    ModelInferRequest, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ServerMetadataRequest, ServerMetadataResponse, TensorMetadata,
};
use crate::tensors::{MOST_DIMENSIONS, element_type};

/// The most inputs and outputs of a model.
const MOST_TENSORS: usize = 1000;
/// The most bytes of a name.
const MOST_NAME_BYTES: usize = 1000;
/// The most versions of a model that are looked at.
const MOST_VERSIONS: usize = 1000;
/// The longest time for a description.
const LONGEST: Duration = Duration::from_secs(10);

/// The answers of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Description {
    /// Empty if the server does not say.
    pub(crate) server: String,
    /// Empty if the server does not say.
    pub(crate) server_version: String,
    /// The versions of the model.
    pub(crate) versions: Vec<String>,
    pub(crate) inputs: Vec<Described>,
    pub(crate) outputs: Vec<Described>,
}

/// An input or an output, as far as the server describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// The name of the element type in the protocol; may be empty.
    pub(crate) datatype: String,
    /// `None` if the server does not say.
    pub(crate) dims: Option<Vec<Dim>>,
}

/// The answer of a server, or the reason why it cannot be reached.
pub(crate) type Asked = Result<Description, Error>;

/// Asks a server. The outer error is of a server that answers, but cannot be used.
pub(crate) async fn ask(
    client: &Client,
    connection: &Connection,
    model: &str,
    version: &str,
) -> Result<Asked, Error> {
    let left = client.timeout.min(LONGEST);
    let nothing = ModelInferRequest::default();
    let token = client.token();
    let token = token.as_deref();
    let failed = |status: &Status| client.failed(status, connection, token, &nothing);
    let (mut stub, request) = client.stub(connection, ServerMetadataRequest {}, token, left);
    let server = match within(left, stub.server_metadata(request)).await {
        Ok(server) => server,
        Err(status) if is_transient(&status) || is_timeout(&status) => {
            return Ok(Err(failed(&status)));
        }
        Err(status) if is_denied(&status) || is_unreadable(&status) => {
            return Err(failed(&status));
        }
        // Optional.
        Err(_) => ServerMetadataResponse::default(),
    };
    let message = ModelMetadataRequest {
        name: model.to_owned(),
        version: version.to_owned(),
    };
    let (mut stub, request) = client.stub(connection, message, token, left);
    let described = match within(left, stub.model_metadata(request)).await {
        Ok(described) => described,
        // It ended since the first question, or does not have the model ready yet.
        Err(status) if is_transient(&status) || is_timeout(&status) => {
            return Ok(Err(failed(&status)));
        }
        Err(status) if is_final(&status) => return Err(failed(&status)),
        // Optional too: the first inference says what is wrong.
        Err(_) => ModelMetadataResponse::default(),
    };
    let message = ModelReadyRequest {
        name: model.to_owned(),
        version: version.to_owned(),
    };
    let (mut stub, request) = client.stub(connection, message, token, left);
    match within(left, stub.model_ready(request)).await {
        Ok(reply) if !reply.ready => {
            return Ok(Err(Error::new(
                ErrorKind::EngineUnavailable,
                format!("the model {model} on {} is not ready", connection.url),
            )
            .with_hint("wait until the server has loaded the model")));
        }
        Err(status) if is_transient(&status) || is_timeout(&status) => {
            return Ok(Err(failed(&status)));
        }
        Err(status) if is_final(&status) => return Err(failed(&status)),
        // Optional too.
        Ok(_) | Err(_) => (),
    }
    let described = description(&server, described);
    described
        .map(Ok)
        .map_err(|error| error.with_context("endpoint", &connection.url))
}

async fn within<T>(
    left: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(left, call).await {
        Ok(reply) => reply.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} s",
            left.as_secs_f64()
        ))),
    }
}

/// Returns whether the answer to a question about the model is an error. Others are of servers without the question.
fn is_final(status: &Status) -> bool {
    status.code() == Code::NotFound || is_denied(status) || is_unreadable(status)
}

/// Checks the answers of a server against the limits.
pub(crate) fn description(
    server: &ServerMetadataResponse,
    model: ModelMetadataResponse,
) -> Result<Description, Error> {
    let too_much = |what: String| {
        Error::new(
            ErrorKind::ModelUnsupported,
            format!("the server's description of the model is not accepted: {what}"),
        )
        .with_hint("check that the endpoint is an inference server")
    };
    let count = model.inputs.len().max(model.outputs.len());
    if count > MOST_TENSORS {
        return Err(too_much(format!(
            "it has {count} inputs or outputs, more than {MOST_TENSORS}"
        )));
    }
    let described = |tensor: TensorMetadata| {
        let name = shortened(&tensor.name);
        if tensor.name.len().max(tensor.datatype.len()) > MOST_NAME_BYTES {
            return Err(too_much(format!("the name {name:?} is too long")));
        }
        if tensor.shape.len() > MOST_DIMENSIONS {
            let rank = tensor.shape.len();
            return Err(too_much(format!(
                "{name:?} has {rank} dimensions, more than {MOST_DIMENSIONS}"
            )));
        }
        let dims = tensor.shape.iter().map(|&size| match size {
            -1 => Ok(Dim::Dynamic),
            size => match u32::try_from(size) {
                Ok(size) if size > 0 => Ok(Dim::Fixed(size as usize)),
                _ => Err(too_much(format!("a size of {name:?} is {size}"))),
            },
        });
        let dims: Vec<Dim> = dims.collect::<Result<_, _>>()?;
        Ok(Described {
            name: tensor.name,
            datatype: tensor.datatype,
            // Servers that do not know the shape leave it empty.
            dims: (!dims.is_empty()).then_some(dims),
        })
    };
    let all =
        |tensors: Vec<TensorMetadata>| tensors.into_iter().map(described).collect::<Result<_, _>>();
    let versions = model.versions.iter().take(MOST_VERSIONS);
    Ok(Description {
        server: shortened(&server.name),
        server_version: shortened(&server.version),
        versions: versions.map(|version| shortened(version)).collect(),
        inputs: all(model.inputs)?,
        outputs: all(model.outputs)?,
    })
}

impl Described {
    /// Returns the declaration of an output, `None` if the server leaves a part of it out.
    pub(crate) fn spec(&self) -> Option<Result<TensorSpec, Error>> {
        if self.name.is_empty() || self.datatype.is_empty() {
            return None;
        }
        let Some(element_type) = element_type(&self.datatype) else {
            return Some(Err(unsupported(&self.datatype)));
        };
        let dims = self.dims.clone()?;
        Some(Ok(TensorSpec::new(self.name.clone(), element_type, dims)))
    }
}

/// Returns the error for a datatype that tensors do not have.
pub(crate) fn unsupported(datatype: &str) -> Error {
    Error::new(
        ErrorKind::ModelUnsupported,
        format!(
            "the datatype {} is not supported",
            shortened(datatype).escape_debug()
        ),
    )
    .with_context(
        "supported",
        "FP16, FP32, FP64, BF16, and integers of 8 to 64 bits",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[i64]) -> TensorMetadata {
        TensorMetadata {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: shape.to_vec(),
        }
    }

    fn of_inputs(inputs: Vec<TensorMetadata>) -> Result<Description, Error> {
        let model = ModelMetadataResponse {
            inputs,
            ..ModelMetadataResponse::default()
        };
        description(&ServerMetadataResponse::default(), model)
    }

    #[test]
    fn open_and_unknown_shapes_are_told_apart() {
        let inputs = of_inputs(vec![tensor("x", &[-1, 3]), tensor("y", &[])])
            .unwrap()
            .inputs;
        assert_eq!(inputs[0].dims, Some(vec![Dim::Dynamic, Dim::Fixed(3)]));
        assert_eq!(inputs[1].dims, None);
        assert!(inputs[1].spec().is_none());
    }

    #[test]
    fn descriptions_have_limits() {
        for (inputs, word) in [
            (vec![tensor("x", &[1; 17])], "17 dimensions"),
            (vec![tensor("x", &[0])], "is 0"),
            (vec![tensor("x", &[-2])], "is -2"),
            (vec![tensor("x", &[i64::MAX])], "is 9223372036854775807"),
            (vec![tensor(&"x".repeat(1001), &[1])], "too long"),
            (vec![tensor("x", &[1]); 1001], "1001 inputs"),
        ] {
            let error = of_inputs(inputs).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
