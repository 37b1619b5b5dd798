//! The backend against an inference server in this process.

mod faults;
mod outages;
mod security;

use std::sync::Arc;
use std::time::Duration;

use backend_api::conformance::Subject;
use backend_api::half::f16;
use backend_api::{
    BlockingInfer as _, ElementType, Error, ErrorKind, ExtraOutputs, InferBackend, Tensor,
};
use backend_remote::{RemoteBackend, RemoteConfig};
use classify_test_server::{Options, Outputs, TestServer};
use classify_tests::models::error;
use classify_tests::{Needs, conformance, doubled, doubling_input, doubling_subject, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let nothing = Needs::nothing();
    let mut trials = conformance(&nothing, "raw", raw_subject);
    trials.extend(conformance(&nothing, "typed", typed_subject));
    trials.extend(
        [
            (
                "every_datatype_is_read_raw_and_typed",
                datatypes as fn() -> Result<(), Failed>,
            ),
            ("description_of_the_server_is_enough", described),
            ("fields_replace_a_description_that_is_missing", undescribed),
            ("fields_complete_a_partial_description", partly_described),
            ("missing_fields_are_named", missing_fields),
            (
                "fields_that_contradict_the_server_are_refused",
                contradictions,
            ),
            ("batch_is_one_request", batch),
            (
                "batch_beyond_max_message_is_refused_with_the_largest",
                too_large,
            ),
            ("outputs_are_chosen_as_of_other_engines", outputs),
            ("model_with_two_inputs_is_refused", two_inputs),
            ("version_is_sent_and_found_in_the_info", versions),
            ("it_opens_inside_of_an_executor", inside_of_an_executor),
        ]
        .map(|(name, test)| Trial::test(name, test)),
    );
    trials.extend(faults::trials());
    trials.extend(outages::trials());
    trials.extend(security::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// Doubles an input.
fn double(input: &Tensor) -> Outputs {
    let values = input.to_f32().iter().map(|value| value * 2.0).collect();
    let output = Tensor::new(input.shape(), values).map_err(|error| error.to_string())?;
    Ok(vec![("output".to_owned(), output)])
}

/// A server whose model doubles four values.
pub fn doubling() -> Options {
    Options::new(
        "double",
        &[("input", "FP32", &[-1, 4])],
        &[("output", "FP32", &[-1, 4])],
        double,
    )
}

/// Returns the configuration of a client of `server`.
pub fn config(server: &TestServer) -> RemoteConfig {
    RemoteConfig::new(server.url(), "double")
}

/// Opens the model on its servers.
///
/// # Errors
///
/// The errors of [`RemoteBackend::open`].
pub fn open(config: &RemoteConfig) -> Result<RemoteBackend, Error> {
    RemoteBackend::open(config)
}

/// Checks that a backend doubles.
///
/// # Errors
///
/// If it does not.
pub fn ensure_doubles(backend: &RemoteBackend) -> Result<(), Failed> {
    let output = backend.infer_blocking(doubling_input(3))?;
    ensure(output.tensor == doubled(3), output)
}

/// A server that lives as long as the subject.
fn raw_subject() -> Subject {
    let server = Arc::new(TestServer::start(doubling()));
    let config = move || {
        let mut config = config(&server);
        config.requests = Some(3);
        config
    };
    subject(config)
}

/// Two servers that describe nothing and answer as they like.
fn typed_subject() -> Subject {
    let mut options = doubling();
    options.typed = true;
    options.server = None;
    options.described = None;
    let servers = Arc::new([(); 2].map(|()| TestServer::start(options.clone())));
    let config = move || {
        let mut config = RemoteConfig::new(servers[0].url(), "double");
        config.endpoints.push(servers[1].url());
        config.input = Some("input".to_owned());
        config.element_type = Some(ElementType::F32);
        config.shape = Some(vec![1, 4]);
        config.requests = Some(3);
        config
    };
    subject(config)
}

fn subject(config: impl Fn() -> RemoteConfig + Clone + Send + Sync + 'static) -> Subject {
    let parts = config.clone();
    doubling_subject(
        move || RemoteBackend::open(&config()),
        move || RemoteBackend::parts(&parts()),
    )
}

fn datatypes() -> Result<(), Failed> {
    let numbers = [1_u8, 2, 3, 4];
    let tensors = [
        Tensor::new([1, 4], numbers.map(f32::from).to_vec())?,
        Tensor::new([1, 4], numbers.map(|it| f16::from_f32(it.into())).to_vec())?,
        Tensor::new([1, 4], numbers.to_vec())?,
        Tensor::new([1, 4], numbers.map(|it| -(it as i8)).to_vec())?,
        Tensor::new([1, 4], numbers.map(i64::from).to_vec())?,
    ];
    for (tensor, datatype) in tensors
        .iter()
        .zip(["FP32", "FP16", "UINT8", "INT8", "INT64"])
    {
        for typed in [false, true] {
            if typed && datatype == "FP16" {
                continue;
            }
            let tensors: [(&str, &str, &[i64]); 1] = [("x", datatype, &[-1, 4])];
            let mut options = Options::new("double", &tensors, &tensors, |input| {
                Ok(vec![("x".to_owned(), input.clone())])
            });
            options.typed = typed;
            let server = TestServer::start(options);
            let output = open(&config(&server))?.infer_blocking(tensor.clone())?;
            ensure(output.tensor == *tensor, (datatype, typed, &output))?;
        }
    }
    Ok(())
}

fn described() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let backend = open(&config(&server))?;
    let info = backend.info();
    ensure(
        info.input.to_string() == "f32[1, 4]" && info.input.name == "input",
        info,
    )?;
    ensure(info.output.to_string() == "f32[1, 4]", info)?;
    ensure(
        info.engine == "double" && info.engine_version == "1.2.3",
        info,
    )?;
    ensure(
        info.devices == [server.url()] && info.requested_device == server.url(),
        info,
    )?;
    ensure(
        info.model_name.as_deref() == Some("double:1") && info.model.is_none(),
        info,
    )?;
    ensure(
        info.slots == RemoteConfig::REQUESTS && info.precision == "unknown",
        info,
    )?;
    ensure_doubles(&backend)
}

fn undescribed() -> Result<(), Failed> {
    let mut options = doubling();
    options.server = None;
    options.described = None;
    let server = TestServer::start(options);
    let mut config = config(&server);
    config.input = Some("input".to_owned());
    config.element_type = Some(ElementType::F32);
    config.shape = Some(vec![1, 4]);
    let backend = open(&config)?;
    let info = backend.info();
    ensure(
        info.engine == "inference server" && info.engine_version == "unknown",
        info,
    )?;
    ensure(
        info.output.name == "output" && info.class_count() == Some(4),
        info,
    )?;
    ensure(
        info.notes
            .iter()
            .any(|note| note.contains("first inference")),
        info,
    )?;
    ensure_doubles(&backend)
}

fn partly_described() -> Result<(), Failed> {
    let mut options = doubling();
    let nameless = |datatype: &str| vec![(String::new(), datatype.to_owned(), Vec::new())];
    options.described = Some((nameless("FP32"), nameless("")));
    let server = TestServer::start(options);
    let mut config = config(&server);
    config.input = Some("any".to_owned());
    config.shape = Some(vec![1, 4]);
    ensure_doubles(&open(&config)?)
}

fn missing_fields() -> Result<(), Failed> {
    let mut options = doubling();
    options.described = None;
    let server = TestServer::start(options);
    let mut config = config(&server);
    let mut refused = |field: &str, give: fn(&mut RemoteConfig)| {
        let error = error(open(&config), ErrorKind::InvalidConfig)?;
        ensure(error.hint().unwrap_or_default().contains(field), &error)?;
        give(&mut config);
        Ok::<_, Failed>(())
    };
    refused("`input`", |config| config.input = Some("input".into()))?;
    refused("`element_type`", |config| {
        config.element_type = Some(ElementType::F32);
    })?;
    refused("`shape`", |config| config.shape = Some(vec![1, 4]))?;
    ensure_doubles(&open(&config)?)
}

fn contradictions() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    for (change, kind, word) in [
        (
            (|config| config.element_type = Some(ElementType::U8)) as fn(&mut RemoteConfig),
            ErrorKind::InvalidConfig,
            "f32 (FP32)",
        ),
        (
            |config| config.shape = Some(vec![1, 5]),
            ErrorKind::ModelUnsupported,
            "f32[1, 5]",
        ),
        (
            |config| config.input = Some("other".into()),
            ErrorKind::InvalidConfig,
            "it has input",
        ),
        (
            |config| config.output = Some("other".into()),
            ErrorKind::InvalidConfig,
            "it has output",
        ),
    ] {
        let mut config = config(&server);
        change(&mut config);
        let error = error(open(&config), kind)?;
        ensure(error.to_string().contains(word), &error)?;
    }
    Ok(())
}

fn batch() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let mut config = config(&server);
    config.batch = Some(3);
    let backend = open(&config)?;
    ensure(
        backend.info().input.to_string() == "f32[3, 4]",
        backend.info(),
    )?;
    let parts: Vec<Tensor> = (0..3).map(doubling_input).collect();
    let input = Tensor::concat(&parts.iter().collect::<Vec<_>>())?;
    let output = backend.infer_blocking(input)?.tensor.split()?;
    ensure(output == (0..3).map(doubled).collect::<Vec<_>>(), output)?;
    ensure(server.inferences() == 1, server.inferences())
}

fn too_large() -> Result<(), Failed> {
    let shape: &[i64] = &[-1, 3, 224, 224];
    let output: &[i64] = &[-1, 4];
    let server = TestServer::start(Options::new(
        "double",
        &[("input", "FP32", shape)],
        &[("output", "FP32", output)],
        |input| {
            let output = Tensor::new([input.shape()[0], 4], vec![0.0_f32; 4 * input.shape()[0]]);
            Ok(vec![(
                "output".to_owned(),
                output.map_err(|error| error.to_string())?,
            )])
        },
    ));
    let mut config = config(&server);
    config.batch = Some(7);
    let error = error(open(&config), ErrorKind::InvalidConfig)?;
    ensure(error.to_string().contains("4214784 bytes"), &error)?;
    ensure(
        error
            .hint()
            .unwrap_or_default()
            .contains("at most 6 images"),
        &error,
    )?;
    config.batch = Some(6);
    let backend = open(&config)?;
    let zeros = Tensor::new([6, 3, 224, 224], vec![0.0_f32; 6 * 150_528])?;
    ensure(
        backend.infer_blocking(zeros)?.tensor.shape() == [6, 4],
        "six images",
    )
}

fn outputs() -> Result<(), Failed> {
    let server = TestServer::start(Options::new(
        "double",
        &[("input", "FP32", &[-1, 4])],
        &[
            ("feature_vector", "FP32", &[-1, 2]),
            ("logits", "FP32", &[-1, 4]),
        ],
        |input| {
            let features =
                Tensor::new([1, 2], vec![7.0_f32, 8.0]).map_err(|error| error.to_string())?;
            let mut outputs = double(input)?;
            outputs[0].0 = "logits".into();
            outputs.insert(0, ("feature_vector".to_owned(), features));
            Ok(outputs)
        },
    ));
    let mut config = config(&server);
    let backend = open(&config)?;
    ensure(backend.info().output.name == "logits", backend.info())?;
    ensure_doubles(&backend)?;
    config.extra_outputs = ExtraOutputs::All;
    let output = open(&config)?.infer_blocking(doubling_input(3))?;
    ensure(
        output.tensor == doubled(3) && output.extra[0].name == "feature_vector",
        &output,
    )?;
    ensure(*output.extra[0].tensor.to_f32() == [7.0, 8.0], &output)?;
    config.output = Some("feature_vector".to_owned());
    let output = open(&config)?.infer_blocking(doubling_input(3))?;
    ensure(*output.tensor.to_f32() == [7.0, 8.0], output)
}

fn two_inputs() -> Result<(), Failed> {
    let mut options = doubling();
    if let Some((inputs, _)) = &mut options.described {
        inputs.push(("second".to_owned(), "FP32".to_owned(), vec![1]));
    }
    let server = TestServer::start(options);
    let error = error(open(&config(&server)), ErrorKind::ModelUnsupported)?;
    ensure(
        error.to_string().contains("2 inputs (input, second)"),
        error,
    )
}

fn versions() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let mut config = config(&server);
    config.version = Some("1".to_owned());
    let backend = open(&config)?;
    ensure(
        backend.info().model_name.as_deref() == Some("double:1"),
        backend.info(),
    )?;
    ensure_doubles(&backend)?;
    config.version = Some("2".to_owned());
    let error = error(open(&config), ErrorKind::ModelNotFound)?;
    ensure(error.to_string().contains("double:2"), error)?;
    let mut several = doubling();
    several.others = vec!["7".to_owned()];
    let several = TestServer::start(several);
    let name = open(&self::config(&several))?.info().model_name.clone();
    ensure(
        name.as_deref() == Some("double, one of the versions 1, 7"),
        name,
    )
}

/// Opening, inference and dropping block no executor's machinery that forbids blocking.
fn inside_of_an_executor() -> Result<(), Failed> {
    let server = TestServer::start(doubling());
    let mut config = config(&server);
    config.timeout = Duration::from_secs(30);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let backend = open(&config)?;
        let request = backend_api::InferRequest::new(0, doubling_input(3));
        let output = backend.submit(request).await?.await?;
        ensure(output.tensor == doubled(3), output)?;
        drop(backend);
        drop(RemoteBackend::parts(&config)?);
        Ok(())
    })
}
