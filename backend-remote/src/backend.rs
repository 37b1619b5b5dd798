//! Opening a model on servers.

use std::sync::{Arc, OnceLock};
use std::thread;

use backend_api::{
    BackendInfo, ChosenOutputs, Dim, ElementType, Error, ErrorKind, OpenOptions, Precision,
    SlotPool, Tensor, TensorSpec, choose_outputs, panic_message,
};
use futures_util::future::join_all;

use crate::client::Client;
use crate::config::RemoteConfig;
use crate::engine::{Ids, Plan, RemoteEngine};
use crate::error::shortened;
use crate::probe::{self, Described, Description, unsupported};
use crate::tensors::{datatype, element_type};

/// The name of an engine whose server has none.
const ENGINE: &str = "inference server";
/// The version of a server, and the precision of a model, that are not known.
const UNKNOWN: &str = "unknown";

/// A model on one or more inference servers.
#[derive(Debug)]
pub struct RemoteBackend {
    pool: SlotPool,
    client: Arc<Client>,
}

impl RemoteBackend {
    /// Connects to the servers and asks for the model's input and outputs. Where they do not describe the outputs, an
    /// inference with zeros shows them.
    ///
    /// A server that cannot be reached is in [`BackendInfo::notes`], as long as another one can.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used, is missing, or contradicts the server's
    ///   description.
    /// - [`ErrorKind::EngineUnavailable`]: no server can be reached, or one denies access.
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelUnsupported`]: a server does not have the model, or the model has
    ///   several inputs, or the servers have different models.
    /// - The errors of an inference.
    pub fn open(config: &RemoteConfig) -> Result<Self, Error> {
        let (info, engines) = Self::open_parts(config)?;
        // There is a request at least.
        let client = Arc::clone(&engines[0].client);
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
            client,
        })
    }

    /// Returns the parts that [`open`](Self::open) passes to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &RemoteConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        Self::open_parts(config)
    }

    fn open_parts(config: &RemoteConfig) -> Result<(BackendInfo, Vec<RemoteEngine>), Error> {
        let _span = backend_api::trace_open("remote", &options(config));
        // The caller may be a thread of an executor, which must not wait for another one.
        thread::scope(|scope| {
            let opened = scope.spawn(|| open(config)).join();
            opened.unwrap_or_else(|panic| {
                Err(Error::new(
                    ErrorKind::EngineUnavailable,
                    format!("the client panicked: {}", panic_message(panic.as_ref())),
                ))
            })
        })
    }
}

backend_api::pooled!(RemoteBackend, |backend| backend.client.failure());

/// Returns the choices that every engine offers.
fn options(config: &RemoteConfig) -> OpenOptions {
    let mut options = OpenOptions::new(config.named_model());
    options.device = config.endpoints.join(",");
    options.precision = Precision::Auto;
    options.shape.clone_from(&config.shape);
    options.batch = config.batch;
    options.output.clone_from(&config.output);
    options.extra_outputs = config.extra_outputs.clone();
    options.requests = config.requests;
    options
}

fn open(config: &RemoteConfig) -> Result<(BackendInfo, Vec<RemoteEngine>), Error> {
    let client = Arc::new(Client::new(config)?);
    let (description, mut notes) = describe(&client, config)?;
    let input = input(config, &description)?;
    check_size(&input, config)?;
    let mut plan = Plan {
        model: config.model.clone(),
        version: config.version.clone().unwrap_or_default(),
        input: input.name.clone(),
        outputs: Vec::new(),
        answered: OnceLock::new(),
        ids: Ids::new(),
    };
    let specs = description.outputs.iter().map(|output| {
        let spec = output.spec()?;
        Some((output.name.clone(), spec))
    });
    let specs: Option<Vec<_>> = specs.collect();
    let outputs = if let Some(specs) = specs.filter(|specs| !specs.is_empty()) {
        choose_outputs(specs, &options(config))?
    } else {
        notes.push(
            "the server does not describe the outputs: they are those of a first inference, of zeros".to_owned(),
        );
        first_outputs(&client, &plan, &input, config)?
    };
    let batch = match input.dims.first() {
        Some(Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let outputs = outputs.with_batch(batch);
    plan.outputs = outputs.specs.iter().map(|spec| spec.name.clone()).collect();
    let mut info = outputs.into_info("remote", input);
    info.notes.splice(0..0, notes);
    let or = |text: &str, other: &str| {
        if text.is_empty() {
            other.to_owned()
        } else {
            text.to_owned()
        }
    };
    info.engine = or(&description.server, ENGINE);
    info.engine_version = or(&description.server_version, UNKNOWN);
    info.model_name = Some(match (&config.version, &description.versions[..]) {
        (None, [only]) => format!("{}:{only}", config.model),
        // The server chooses among them.
        (None, [_, ..]) => shortened(&format!(
            "{}, one of the versions {}",
            config.model,
            description.versions.join(", ")
        )),
        _ => config.named_model(),
    });
    let urls = client.connections.iter().map(|it| it.url.to_string());
    info.devices = urls.collect();
    info.requested_device = info.devices.join(",");
    info.requested_precision = Precision::Auto;
    UNKNOWN.clone_into(&mut info.precision);
    let plan = Arc::new(plan);
    let engines = (0..config.requests.unwrap_or(RemoteConfig::REQUESTS)).map(|_| RemoteEngine {
        client: Arc::clone(&client),
        plan: Arc::clone(&plan),
        stop: None,
    });
    Ok((info, engines.collect()))
}

/// Asks all servers. Returns the description that they agree on, and a note on each that cannot be reached.
fn describe(client: &Client, config: &RemoteConfig) -> Result<(Description, Vec<String>), Error> {
    let version = config.version.as_deref().unwrap_or_default();
    let asked = client.connections.iter();
    let asked = asked.map(|connection| probe::ask(client, connection, &config.model, version));
    let asked = client.block_on(join_all(asked));
    let mut known: Option<(Description, String)> = None;
    let (mut notes, mut first) = (Vec::new(), None);
    for (connection, answer) in client.connections.iter().zip(asked) {
        match answer? {
            Err(error) => {
                connection.failed();
                notes.push(format!("{error}; the other servers do its work"));
                first.get_or_insert(error);
            }
            Ok(description) => match &known {
                None => known = Some((description, connection.url.to_string())),
                Some((other, url)) => {
                    let model = |it: &Description| (it.inputs.clone(), it.outputs.clone());
                    if model(other) != model(&description) {
                        return Err(Error::new(
                            ErrorKind::ModelUnsupported,
                            format!(
                                "{url} and {} describe the inputs or outputs of model {} differently",
                                connection.url,
                                config.named_model()
                            ),
                        )
                        .with_hint("give only servers with the same model, or set `version`"));
                    }
                }
            },
        }
    }
    match (known, first) {
        (Some((description, _)), _) => Ok((description, notes)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok((Description::default(), notes)),
    }
}

/// Returns the input, by the server's description and the configuration.
fn input(config: &RemoteConfig, description: &Description) -> Result<TensorSpec, Error> {
    let missing = |what: &str, field: &str| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the server does not describe the {what} of the input of model {}",
                config.named_model()
            ),
        )
        .with_hint(format!("give it as `{field}`"))
    };
    let unnamed = Described {
        name: String::new(),
        datatype: String::new(),
        dims: None,
    };
    let described = match (&config.input, &description.inputs[..]) {
        (_, []) => &unnamed,
        (_, [only]) if only.name.is_empty() => only,
        (Some(name), inputs) => {
            inputs
                .iter()
                .find(|input| input.name == *name)
                .ok_or_else(|| {
                    let names: Vec<&str> = inputs
                        .iter()
                        .map(|input| input.name.as_str())
                        .take(20)
                        .collect();
                    Error::new(
                        ErrorKind::InvalidConfig,
                        format!(
                            "the model has no input {name:?}; it has {}",
                            names.join(", ")
                        ),
                    )
                    .with_hint("give one of these names as `input`, or none")
                })?
        }
        (None, inputs) => &inputs[0],
    };
    if description.inputs.len() > 1 {
        let names: Vec<String> = description
            .inputs
            .iter()
            .map(|it| it.name.clone())
            .collect();
        backend_api::only_input(&names, &options(config))?;
    }
    let name = config
        .input
        .clone()
        .unwrap_or_else(|| described.name.clone());
    if name.is_empty() {
        return Err(missing("name", "input"));
    }
    let element_type = input_type(config, described, || missing("datatype", "element_type"))?;
    let fixed = |shape: &Vec<usize>| shape.iter().copied().map(Dim::Fixed).collect();
    let dims = described
        .dims
        .clone()
        .or_else(|| config.shape.as_ref().map(fixed));
    let dims = dims.ok_or_else(|| missing("shape", "shape"))?;
    let spec = TensorSpec::new(name, element_type, dims);
    spec.filled(config.shape.as_deref(), config.batch, "the server")
}

fn input_type(
    config: &RemoteConfig,
    described: &Described,
    missing: impl Fn() -> Error,
) -> Result<ElementType, Error> {
    let by_server = match described.datatype.as_str() {
        "" => None,
        name => Some(element_type(name).ok_or_else(|| unsupported(name))?),
    };
    match (config.element_type, by_server) {
        (Some(given), Some(other)) if given != other => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the element type is {given}, but the model's input is {other} ({})",
                datatype(other)
            ),
        )
        .with_hint("leave `element_type` out")),
        (given, by_server) => given.or(by_server).ok_or_else(missing),
    }
}

/// Checks that a request is not larger than what is sent.
fn check_size(input: &TensorSpec, config: &RemoteConfig) -> Result<(), Error> {
    let Some(shape) = input.fixed_shape() else {
        return Ok(());
    };
    let bytes = shape
        .iter()
        .try_fold(input.element_type.size(), |bytes, size| {
            bytes.checked_mul(*size)
        });
    let limit = config.max_message;
    match bytes {
        Some(bytes) if bytes <= limit => Ok(()),
        bytes => {
            let batch = shape.first().copied().unwrap_or(1).max(1);
            let image = bytes.map(|bytes| bytes / batch);
            let most = image.map_or(0, |image| limit / image.max(1));
            let hint = match most {
                0 => "raise `max_message`, if the server accepts more".to_owned(),
                most => format!(
                    "send at most {most} image{} by `batch`, or raise `max_message`, if the server accepts more",
                    if most == 1 { "" } else { "s" }
                ),
            };
            Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "a request of {input} takes {} bytes, but max_message is {limit}",
                    bytes.map_or_else(|| "too many".to_owned(), |bytes| bytes.to_string())
                ),
            )
            .with_hint(hint))
        }
    }
}

/// Runs an inference with zeros, and chooses among the outputs of the reply.
fn first_outputs(
    client: &Client,
    plan: &Plan,
    input: &TensorSpec,
    config: &RemoteConfig,
) -> Result<ChosenOutputs, Error> {
    let shape = input.fixed_shape().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("the server leaves sizes of the input open: {input}"),
        )
        .with_hint("give the whole shape as `shape`")
    })?;
    let bytes = vec![0; shape.iter().product::<usize>() * input.element_type.size()];
    let zeros = Tensor::from_bytes(input.element_type, shape, &bytes)?;
    let request = plan.request(&zeros);
    let id = request.id.clone();
    let reply = client.block_on(client.infer(request, None))?;
    let outputs = plan
        .tensors(&reply, &id)?
        .into_iter()
        .map(|(name, tensor)| {
            let spec = tensor.map(|tensor| {
                let dims = tensor.shape().iter().copied().map(Dim::Fixed);
                TensorSpec::new(name, tensor.element_type(), dims.collect())
            });
            (name.to_owned(), spec)
        });
    choose_outputs(outputs.collect(), &options(config))
}
