//! The answers of the server.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use backend_api::half::{bf16, f16};
use backend_api::{ElementType, Tensor};
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status};

use crate::protocol::grpc_inference_service_server::GrpcInferenceService;
use crate::protocol::model_infer_response::InferOutputTensor;
use crate::protocol::model_metadata_response::TensorMetadata;
use crate::protocol::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ServerLiveRequest,
    ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse,
};
use crate::{Act, Described, Options};

pub(crate) struct Service {
    options: Options,
    inferences: Arc<AtomicU64>,
    tokens: Arc<Mutex<Vec<String>>>,
    expected: Arc<Mutex<Option<String>>>,
}

impl Service {
    pub(crate) fn new(
        options: Options,
        inferences: Arc<AtomicU64>,
        tokens: Arc<Mutex<Vec<String>>>,
        expected: Arc<Mutex<Option<String>>>,
    ) -> Self {
        Self {
            options,
            inferences,
            tokens,
            expected,
        }
    }

    /// Notes the token of a request, and refuses a wrong one. Like a careless server it repeats the token.
    fn check_token<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let given = request.metadata().get("authorization");
        let given = given.and_then(|value| value.to_str().ok());
        let given = given.unwrap_or_default();
        if !given.is_empty() {
            self.tokens
                .lock()
                .expect("no panic under it")
                .push(given.to_owned());
        }
        match &*self.expected.lock().expect("no panic under it") {
            Some(token) if given != format!("Bearer {token}") => {
                Err(Status::unauthenticated(format!("`{given}` is not welcome")))
            }
            _ => Ok(()),
        }
    }

    fn check_model(&self, name: &str, version: &str) -> Result<(), Status> {
        let Options {
            model,
            version: own,
            ..
        } = &self.options;
        if name == model && (version.is_empty() || version == own) {
            return Ok(());
        }
        Err(Status::not_found(format!(
            "unknown model: '{name}' version '{version}'"
        )))
    }

    /// Reads the only input, which must be raw.
    fn input(request: &ModelInferRequest) -> Result<Tensor, Status> {
        let ([input], [raw]) = (&*request.inputs, &*request.raw_input_contents) else {
            return Err(Status::invalid_argument("one raw input is needed"));
        };
        if input.contents.is_some() {
            return Err(Status::invalid_argument("the input is raw and typed"));
        }
        let element_type = ELEMENT_TYPES
            .iter()
            .find(|(_, name)| *name == input.datatype)
            .ok_or_else(|| Status::invalid_argument("unknown datatype"))?
            .0;
        let shape: Vec<usize> = input.shape.iter().map(|&size| size as usize).collect();
        Tensor::from_bytes(element_type, shape, raw)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// Refuses an input that is not the described one.
    fn check_input(&self, request: &ModelInferRequest) -> Result<(), Status> {
        let Some(([(name, datatype, shape)], _)) = self
            .options
            .described
            .as_ref()
            .map(|(inputs, outputs)| (&**inputs, outputs))
        else {
            return Ok(());
        };
        let input = request
            .inputs
            .first()
            .ok_or_else(|| Status::invalid_argument("no input"))?;
        let fits = |(own, given): (&i64, &i64)| *own == -1 || own == given;
        let is_shape = shape.is_empty()
            || shape.len() == input.shape.len() && shape.iter().zip(&input.shape).all(fits);
        let is_named = name.is_empty() || *name == input.name;
        let is_typed = datatype.is_empty() || *datatype == input.datatype;
        if is_shape && is_named && is_typed {
            return Ok(());
        }
        Err(Status::invalid_argument(format!(
            "unexpected input {} {} {:?}, expected {name} {datatype} {shape:?}",
            input.name, input.datatype, input.shape
        )))
    }

    fn reply(
        &self,
        request: &ModelInferRequest,
        outputs: Vec<(String, Tensor)>,
    ) -> ModelInferResponse {
        let mut reply = ModelInferResponse {
            model_name: self.options.model.clone(),
            model_version: self.options.version.clone(),
            id: request.id.clone(),
            ..ModelInferResponse::default()
        };
        for (name, tensor) in outputs {
            let is_requested = request.outputs.iter().any(|output| output.name == name);
            if !request.outputs.is_empty() && !is_requested {
                continue;
            }
            let contents = self.options.typed.then(|| typed(&tensor));
            if contents.is_none() {
                let raw = Bytes::copy_from_slice(tensor.as_bytes());
                reply.raw_output_contents.push(raw);
            }
            reply.outputs.push(InferOutputTensor {
                name,
                datatype: datatype(tensor.element_type()).to_owned(),
                shape: tensor.shape().iter().map(|&size| size as i64).collect(),
                contents,
            });
        }
        reply
    }
}

const ELEMENT_TYPES: [(ElementType, &str); 8] = [
    (ElementType::F32, "FP32"),
    (ElementType::F16, "FP16"),
    (ElementType::Bf16, "BF16"),
    (ElementType::U8, "UINT8"),
    (ElementType::I8, "INT8"),
    (ElementType::I32, "INT32"),
    (ElementType::I64, "INT64"),
    (ElementType::F64, "FP64"),
];

/// Returns the name of an element type in the protocol.
pub(crate) fn datatype(element_type: ElementType) -> &'static str {
    let known = ELEMENT_TYPES
        .iter()
        .find(|(known, _)| *known == element_type);
    known.expect("a type that tests use").1
}

fn typed(tensor: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    if let Some(values) = tensor.as_slice::<f32>() {
        contents.fp32_contents = values.to_vec();
    } else if let Some(values) = tensor.as_slice::<f64>() {
        contents.fp64_contents = values.to_vec();
    } else if let Some(values) = tensor.as_slice::<i64>() {
        contents.int64_contents = values.to_vec();
    } else if let Some(values) = tensor.as_slice::<i32>() {
        contents.int_contents = values.to_vec();
    } else if let Some(values) = tensor.as_slice::<i8>() {
        contents.int_contents = values.iter().map(|&value| value.into()).collect();
    } else if let Some(values) = tensor.as_slice::<u8>() {
        contents.uint_contents = values.iter().map(|&value| value.into()).collect();
    } else {
        let is_half = tensor.as_slice::<f16>().is_some() || tensor.as_slice::<bf16>().is_some();
        assert!(!is_half, "the protocol has no typed halves");
    }
    contents
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        self.check_token(&request)?;
        let request = request.into_inner();
        let ready = self.options.says_ready;
        let ready = ready.ok_or_else(|| Status::unimplemented("no readiness"))?;
        self.check_model(&request.name, &request.version)?;
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        self.check_token(&request)?;
        let (name, version) = self
            .options
            .server
            .clone()
            .ok_or_else(|| Status::unimplemented("no server metadata"))?;
        Ok(Response::new(ServerMetadataResponse {
            name,
            version,
            extensions: Vec::new(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        self.check_token(&request)?;
        let request = request.into_inner();
        let (inputs, outputs) = self
            .options
            .described
            .clone()
            .ok_or_else(|| Status::unimplemented("no model metadata"))?;
        self.check_model(&request.name, &request.version)?;
        if !self.options.is_ready {
            return Err(Status::unavailable("the model is not ready"));
        }
        let all = |tensors: Vec<Described>| {
            let tensors = tensors.into_iter();
            let tensors = tensors.map(|(name, datatype, shape)| TensorMetadata {
                name,
                datatype,
                shape,
            });
            tensors.collect()
        };
        Ok(Response::new(ModelMetadataResponse {
            name: self.options.model.clone(),
            versions: [
                std::slice::from_ref(&self.options.version),
                &self.options.others,
            ]
            .concat(),
            platform: String::new(),
            inputs: all(inputs),
            outputs: all(outputs),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        self.check_token(&request)?;
        let request = request.into_inner();
        self.check_model(&request.model_name, &request.model_version)?;
        if !self.options.is_ready {
            return Err(Status::unavailable("the model is not ready"));
        }
        let size: usize = request.raw_input_contents.iter().map(Bytes::len).sum();
        if size > self.options.limit {
            return Err(Status::resource_exhausted(format!(
                "received message larger than max ({size} vs. {})",
                self.options.limit
            )));
        }
        self.check_input(&request)?;
        let input = Self::input(&request)?;
        let number = self.inferences.fetch_add(1, Ordering::SeqCst);
        let act = (self.options.behavior)(number);
        match act {
            Act::Fail(code, message) => return Err(Status::new(code, message)),
            Act::Stall => pending::<()>().await,
            Act::Run | Act::Change(_) => (),
        }
        let run = Arc::clone(&self.options.run);
        // A model may block.
        let outputs = tokio::task::spawn_blocking(move || run(&input)).await;
        let outputs = outputs.map_err(|error| Status::internal(error.to_string()))?;
        let mut reply = self.reply(&request, outputs.map_err(Status::internal)?);
        if let Act::Change(change) = act {
            change(&mut reply);
        }
        Ok(Response::new(reply))
    }
}
