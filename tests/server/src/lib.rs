//! An inference server for tests, which speaks the Open Inference Protocol in this process, on loopback.
//!
//! Its messages are generated apart from those of `backend-remote`, and it reads and writes tensors by itself, so that a
//! fault of one side is not a fault of both.

pub mod protocol;
mod service;
mod tls;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use backend_api::{InferBackend, Tensor};
use protocol::ModelInferResponse;
use protocol::grpc_inference_service_server::GrpcInferenceServiceServer;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
pub use tonic::Code;
use tonic::transport::{Identity, Server, ServerTlsConfig};

pub use tls::Certificates;

/// The outputs of an inference, each with its name.
pub type Outputs = Result<Vec<(String, Tensor)>, String>;
/// A model.
pub type Model = Arc<dyn Fn(&Tensor) -> Outputs + Send + Sync>;
/// Decides what happens to an inference, by its number from 0.
pub type Behavior = Arc<dyn Fn(u64) -> Act + Send + Sync>;

/// The way in which the server answers an inference.
pub enum Act {
    /// It runs the model.
    Run,
    /// It fails.
    Fail(Code, String),
    /// It never answers.
    Stall,
    /// It runs the model, and changes the reply.
    Change(Box<dyn Fn(&mut ModelInferResponse) + Send>),
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "Run",
            Self::Fail(..) => "Fail",
            Self::Stall => "Stall",
            Self::Change(_) => "Change",
        })
    }
}

/// An input or an output in the description of a model: its name, its datatype and its shape.
pub type Described = (String, String, Vec<i64>);

/// The server to start.
#[derive(Clone)]
pub struct Options {
    /// The name and the version of the server. `None`: it does not implement the question.
    pub server: Option<(String, String)>,
    /// The name of the only model.
    pub model: String,
    /// The version that it has.
    pub version: String,
    /// Other versions, which it lists alone.
    pub others: Vec<String>,
    /// The inputs and the outputs, as they are described. `None`: the server does not implement the question.
    pub described: Option<(Vec<Described>, Vec<Described>)>,
    /// False if the server has the model, but not yet for requests.
    pub is_ready: bool,
    /// The answer to the question whether the model is ready. `None`: the server does not implement it.
    pub says_ready: Option<bool>,
    /// The code of the model.
    pub run: Model,
    /// True to answer with typed contents.
    pub typed: bool,
    /// The most bytes of a request's tensor, as of servers with a limit on messages.
    pub limit: usize,
    /// The token that requests must have.
    pub token: Option<String>,
    /// The certificates, for TLS.
    pub certificates: Option<Certificates>,
    /// The faults.
    pub behavior: Behavior,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// A server of `model` that describes it by `inputs` and `outputs`, and answers with raw contents.
    pub fn new(
        model: impl Into<String>,
        inputs: &[(&str, &str, &[i64])],
        outputs: &[(&str, &str, &[i64])],
        run: impl Fn(&Tensor) -> Outputs + Send + Sync + 'static,
    ) -> Self {
        let all = |tensors: &[(&str, &str, &[i64])]| {
            let tensors = tensors.iter();
            let tensors = tensors.map(|(name, datatype, shape)| {
                ((*name).to_owned(), (*datatype).to_owned(), shape.to_vec())
            });
            tensors.collect()
        };
        Self {
            server: Some(("double".to_owned(), "1.2.3".to_owned())),
            model: model.into(),
            version: "1".to_owned(),
            others: Vec::new(),
            described: Some((all(inputs), all(outputs))),
            is_ready: true,
            says_ready: Some(true),
            run: Arc::new(run),
            typed: false,
            limit: usize::MAX,
            token: None,
            certificates: None,
            behavior: Arc::new(|_| Act::Run),
        }
    }

    /// A server of the model that `backend` has opened.
    pub fn of_backend(model: impl Into<String>, backend: Arc<dyn InferBackend>) -> Self {
        let info = backend.info().clone();
        let described = |spec: &backend_api::TensorSpec| {
            let dims = spec.dims.iter().map(|dim| match dim {
                backend_api::Dim::Fixed(size) => *size as i64,
                backend_api::Dim::Dynamic => -1,
            });
            let datatype = service::datatype(spec.element_type);
            (
                spec.name.clone(),
                datatype.to_owned(),
                dims.collect::<Vec<i64>>(),
            )
        };
        let (input, output) = (described(&info.input), described(&info.output));
        let name = info.output.name.clone();
        let run = move |input: &Tensor| {
            use backend_api::BlockingInfer as _;
            let output = backend.infer_blocking(input.clone());
            let output = output.map_err(|error| error.to_string())?;
            Ok(vec![(name.clone(), output.tensor)])
        };
        let mut options = Self::new(model, &[], &[], run);
        options.described = Some((vec![input], vec![output]));
        options
    }

    /// Sets the faults.
    #[must_use]
    pub fn behavior(mut self, behavior: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        self.behavior = Arc::new(behavior);
        self
    }
}

/// A server that runs. It ends when it is dropped.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    is_tls: bool,
    inferences: Arc<AtomicU64>,
    /// The tokens that requests had.
    tokens: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Starts a server on a free port of loopback.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(options: Options) -> Self {
        Self::start_at(options, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts a server at an address: that of another one that has ended.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start_at(options: Options, address: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .expect("the port is free");
        let address = listener.local_addr().expect("an address");
        let (inferences, tokens) = (Arc::default(), Arc::default());
        let is_tls = options.certificates.is_some();
        let mut builder = Server::builder();
        if let Some(certificates) = &options.certificates {
            let identity = Identity::from_pem(&certificates.certificate, &certificates.key);
            let tls = ServerTlsConfig::new().identity(identity);
            builder = builder.tls_config(tls).expect("certificates");
        }
        let service = service::Service::new(options, Arc::clone(&inferences), Arc::clone(&tokens));
        let service = GrpcInferenceServiceServer::new(service)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let serve = builder
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let thread = thread::spawn(move || {
            runtime.spawn(serve);
            let _ = runtime.block_on(stopped);
            // Ends the connections as the end of a process does.
            runtime.shutdown_background();
        });
        Self {
            address,
            is_tls,
            inferences,
            tokens,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the address for clients: `grpc://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "grpcs" } else { "grpc" };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of inferences that have begun.
    pub fn inferences(&self) -> u64 {
        self.inferences.load(Ordering::SeqCst)
    }

    /// Returns the values of the header `authorization` of all calls.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn tokens(&self) -> Vec<String> {
        self.tokens.lock().expect("no panic under it").clone()
    }

    /// Ends the server as `kill -9` would: without an answer to what is in flight.
    pub fn kill(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}
