//! The configuration of a backend.

use std::path::PathBuf;
use std::time::Duration;

use backend_api::{ElementType, ExtraOutputs};

use crate::token::TokenSource;

/// The configuration of a [`RemoteBackend`](crate::RemoteBackend).
///
/// The server describes the model's input and outputs, if it can. [`input`](Self::input),
/// [`element_type`](Self::element_type), [`shape`](Self::shape) and [`output`](Self::output) are for servers that do
/// not.
///
/// ```
/// use backend_remote::{RemoteConfig, TokenSource};
///
/// let mut config = RemoteConfig::new("grpcs://fleet.example:8001", "resnet50");
/// config.version = Some("3".to_owned());
/// config.token = Some(TokenSource::Variable("FLEET_TOKEN".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteConfig {
    /// The servers, each as `grpc://host:port`, or `grpcs://host:port` for TLS. All of them must have the model. A
    /// request goes to the one with the fewest requests in flight.
    pub endpoints: Vec<String>,
    /// The name of the model.
    pub model: String,
    /// The version of the model. Default: the server's choice.
    pub version: Option<String>,
    /// The name of the input. Default: the name of the only input that the server describes.
    pub input: Option<String>,
    /// The type of the input's elements: f32, f16, u8 and others. Default: the type that the server describes.
    pub element_type: Option<ElementType>,
    /// The whole shape of the input, batch included. Default: the shape that the server describes, with 1 for an open
    /// batch.
    pub shape: Option<Vec<usize>>,
    /// The number of images in a request, which is the size of the outermost dimension. Default: the model's, and 1
    /// where the model leaves it open.
    pub batch: Option<usize>,
    /// The name of the output that holds the scores. Default: as for other engines, see
    /// [`choose_outputs`](backend_api::choose_outputs).
    pub output: Option<String>,
    /// The outputs that requests give in addition to the scores. Default: none.
    pub extra_outputs: ExtraOutputs,
    /// The number of requests in flight, over all servers (slots). Default: [`REQUESTS`](Self::REQUESTS).
    pub requests: Option<usize>,
    /// The time in which a request must be answered, with all of its retries. Default: [`TIMEOUT`](Self::TIMEOUT).
    pub timeout: Duration,
    /// The number of times that a request is sent again while the servers answer other requests, each after a longer
    /// pause. Default: [`RETRIES`](Self::RETRIES).
    pub retries: u32,
    /// The time after which the backend gives up, if no server has served any request. Until then requests are sent
    /// again; from then on all of them fail at once, and [`failure`](backend_api::InferBackend::failure) gives the
    /// reason. Default: half of [`timeout`](Self::timeout).
    pub outage: Option<Duration>,
    /// The largest size of a request and of a reply, in bytes. Default: [`MAX_MESSAGE`](Self::MAX_MESSAGE).
    pub max_message: usize,
    /// The PEM file of the trusted root certificates. Default: the roots of the system.
    pub ca: Option<PathBuf>,
    /// The place of the bearer token. Default: requests have none.
    pub token: Option<TokenSource>,
}

impl RemoteConfig {
    /// The default of [`requests`](Self::requests).
    pub const REQUESTS: usize = 8;
    /// The default of [`timeout`](Self::timeout): a minute.
    pub const TIMEOUT: Duration = Duration::from_mins(1);
    /// The default of [`retries`](Self::retries). Their pauses take 4 to 8 seconds.
    pub const RETRIES: u32 = 8;
    /// The default of [`max_message`](Self::max_message): 4 MB. Many servers refuse more than 4 MiB.
    pub const MAX_MESSAGE: usize = 4_000_000;

    /// Returns the defaults for `model` on one server.
    pub fn new(endpoint: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            endpoints: vec![endpoint.into()],
            model: model.into(),
            version: None,
            input: None,
            element_type: None,
            shape: None,
            batch: None,
            output: None,
            extra_outputs: ExtraOutputs::None,
            requests: None,
            timeout: Self::TIMEOUT,
            retries: Self::RETRIES,
            outage: None,
            max_message: Self::MAX_MESSAGE,
            ca: None,
            token: None,
        }
    }

    /// Returns the name of the model, with the version if one is given: `resnet50:3`.
    pub(crate) fn named_model(&self) -> String {
        match &self.version {
            Some(version) => format!("{}:{version}", self.model),
            None => self.model.clone(),
        }
    }
}
