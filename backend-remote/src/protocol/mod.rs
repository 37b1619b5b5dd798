//! The messages and the client of the protocol, generated from `proto/open_inference.proto`.

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    missing_docs,
    unused_qualifications,
    dead_code,
    reason = "generated code"
)]
#[rustfmt::skip]
mod inference;

pub(crate) use inference::grpc_inference_service_client::GrpcInferenceServiceClient;
pub(crate) use inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
pub(crate) use inference::model_infer_response::InferOutputTensor;
pub(crate) use inference::model_metadata_response::TensorMetadata;
pub(crate) use inference::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ServerMetadataRequest, ServerMetadataResponse,
};
