//! Opening a model.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use backend_api::{
    BackendInfo, Dim, Error, ErrorKind, ModelSource, Precision, SlotPool, TensorSpec,
    choose_outputs, only_input, panic_message,
};
use model_file::onnx;
use prost::Message as _;
use rten::{Model, ModelOptions, ThreadPool};

use crate::config::RtenConfig;
use crate::engine::{Outputs, RtenEngine, spec};
use crate::error::load_failed;
use crate::faults;
use crate::fill::fill_in;
use crate::graph::{keep_needed, outline};
use crate::probe::VERSION;

const ENGINE: &str = "RTen";
/// The hint for a model in another format.
const OTHER_ENGINE: &str = "use `backend-openvino`";
const CPU: &str = "CPU";
/// Names the external data in memory: one of the names that RTen accepts.
const EXTERNAL_DATA: &str = "external.data";

/// Returns the names of the element types that the model declares for its inputs and outputs, by their names.
fn port_types(model: &onnx::Model) -> HashMap<String, String> {
    let graph = model.graph.iter();
    let ports = graph.flat_map(|graph| graph.input.iter().chain(&graph.output));
    let named = ports.filter_map(|port| {
        let name = onnx::text(port.name.as_ref()?).into_owned();
        let element_type = port.element_type()?;
        Some((name, format!("{element_type:?}").to_lowercase()))
    });
    named.collect()
}

/// Returns the sizes that the file declares for its outputs, by their names.
fn output_sizes(model: &onnx::Model) -> HashMap<String, Vec<Option<usize>>> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    let named = outputs.filter_map(|port| {
        let name = onnx::text(port.name.as_ref()?).into_owned();
        let shape = port.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
        // Some exporters write 0 for an open size.
        let known = |size: &usize| *size > 0;
        let size = |dim: &onnx::Dimension| usize::try_from(dim.dim_value?).ok().filter(known);
        Some((name, shape.dim.iter().map(size).collect()))
    });
    named.collect()
}

/// Joins what RTen and the file say of an output's sizes. RTen forgets those that it cannot derive itself: the file's are
/// taken. Some it derives wrongly (of a reduction with empty axes, for example), and some files state the sizes of an
/// earlier version of the graph: where the two differ, the size is open. Of two ranks, that of the file is taken.
fn declared(mut spec: TensorSpec, sizes: &HashMap<String, Vec<Option<usize>>>) -> TensorSpec {
    let Some(sizes) = sizes.get(&spec.name) else {
        return spec;
    };
    if sizes.len() != spec.dims.len() {
        spec.dims = sizes
            .iter()
            .map(|size| size.map_or(Dim::Dynamic, Dim::Fixed))
            .collect();
        return spec;
    }
    for (dim, size) in spec.dims.iter_mut().zip(sizes) {
        match (*dim, *size) {
            (Dim::Dynamic, Some(size)) => *dim = Dim::Fixed(size),
            (Dim::Fixed(derived), Some(size)) if derived != size => *dim = Dim::Dynamic,
            _ => {}
        }
    }
    spec
}

/// A model loaded by RTen, with a pool of requests that share its weights.
#[derive(Debug)]
pub struct RtenBackend {
    pool: SlotPool,
}

impl RtenBackend {
    /// Loads the model.
    ///
    /// A dynamic batch dimension is 1 for the requests of this backend, unless `config` sets it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`],
    ///   [`ErrorKind::ModelUnsupported`]: the file or its content. An OpenVINO IR is unsupported;
    ///   the hint names the `.onnx` next to it if there is one.
    /// - [`ErrorKind::DeviceUnavailable`]: any device except the CPU.
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used.
    pub fn open(config: &RtenConfig) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// Returns the parts that [`open`](Self::open) passes to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &RtenConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        let _span = backend_api::trace_open("rten", &config.options);
        // A model that anybody may have sent: a panic while it is optimized is an error of the model.
        catch_unwind(AssertUnwindSafe(|| open(config))).unwrap_or_else(|panic| {
            let message = panic_message(panic.as_ref());
            if message.contains("ThreadPoolBuildError") {
                return Err(Error::new(
                    ErrorKind::ResourceExhausted,
                    format!("the operating system could not start the threads of RTen: {message}"),
                )
                .with_hint("allow the process more threads"));
            }
            Err(Error::new(
                ErrorKind::ModelInvalid,
                format!("RTen panicked while it read the model: {message}"),
            )
            .with_context("model", &config.options.model)
            .with_hint("the model may be damaged; try it with `backend-onnx`"))
        })
    }
}

backend_api::pooled!(RtenBackend);

fn open(config: &RtenConfig) -> Result<(BackendInfo, Vec<RtenEngine>), Error> {
    // Requests share the weights: there may be as many as cores.
    let options = &config.options;
    let (requests, threads) =
        options
            .hint
            .divide(options.threads, options.requests, usize::MAX, ENGINE)?;
    if let Precision::Bf16 | Precision::F16 = options.precision {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "precision {} is not available: {ENGINE} computes in f32, for f16 models too",
                options.precision
            ),
        )
        .with_hint("use `precision = f32`"));
    }
    if !options.device.trim().eq_ignore_ascii_case(CPU) {
        return Err(Error::new(
            ErrorKind::DeviceUnavailable,
            format!("device {} is not available in RTen", options.device),
        )
        .with_context("available", CPU)
        .with_hint("use `device = CPU`; other devices need `backend-openvino` or `backend-onnx`"));
    }
    let mut checked = model_file::check_onnx(&options.model, ENGINE, Some(OTHER_ENGINE))?;
    let types = checked.model.computed_types();
    let with_model = |error: Error| error.with_context("model", &options.model);
    let types_in_file = port_types(&checked.model);
    let sizes_in_file = output_sizes(&checked.model);
    faults::check_loadable(&checked.model).map_err(with_model)?;
    // RTen reads values in place: from aligned memory, and from files with certain names only.
    let external_data = match options.model.path() {
        Some(path) => checked.gather_external_data(path, EXTERNAL_DATA)?,
        None => Vec::new(),
    };
    let is_gathered = !checked.external_data.is_empty();
    let mut file = checked.model;
    let is_filled_in = fill_in(&mut file);
    let changed = (is_filled_in || is_gathered).then(|| file.encode_to_vec());
    // Without other references to the file's memory, RTen gets it without a copy.
    let mut file = outline(file);
    let bytes = changed.unwrap_or_else(|| checked.bytes.into());
    let model = load(&options.model, bytes, external_data)?;
    if model.output_ids().is_empty() {
        return Err(Error::new(
            ErrorKind::ModelInvalid,
            "the file has no model with an output",
        )
        .with_context("model", &options.model)
        .with_hint("it may be damaged, or not ONNX"));
    }
    let name = |node| {
        let node = model.node_info(node);
        let name = node.and_then(|node| node.name().map(str::to_owned));
        name.unwrap_or_default()
    };
    let spec = |node, which| spec(model.node_info(node), which, &types_in_file);
    let choose = || {
        let outputs = model.output_ids().iter().copied();
        let specs = outputs.map(|output| {
            let spec = spec(output, "output");
            (
                name(output),
                spec.map(|spec| declared(spec, &sizes_in_file)),
            )
        });
        choose_outputs(specs.collect(), options)
    };
    let inferred = |name: &[u8]| {
        let node = model.find_node(std::str::from_utf8(name).ok()?)?;
        model.node_info(node)?.shape()
    };
    let check = |file: &onnx::Model| faults::check_supported(file, &inferred).map_err(with_model);
    if let Err(fault) = check(&file) {
        // Nodes that no requested output needs do not run.
        let (Ok(outputs), Some(graph)) = (choose(), &mut file.graph) else {
            return Err(fault);
        };
        let ids = outputs.places.iter();
        let names: Vec<String> = ids.map(|place| name(model.output_ids()[*place])).collect();
        keep_needed(graph, &names);
        check(&file)?;
    }
    drop(file);
    let names: Vec<String> = model.input_ids().iter().copied().map(name).collect();
    let input = model.input_ids()[only_input(&names, options)?];
    let outputs = choose()?;
    let input = spec(input, "input")?.filled(options.shape.as_deref(), options.batch, ENGINE)?;
    let batch = match input.dims.first() {
        Some(Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let outputs = outputs.with_batch(batch);
    let ids = outputs
        .places
        .iter()
        .map(|place| model.output_ids()[*place]);
    let ids = ids.collect();
    let mut info = outputs.into_info("rten", input);
    ENGINE.clone_into(&mut info.engine);
    VERSION.clone_into(&mut info.engine_version);
    info.model = options.model.path().map(Path::to_path_buf);
    info.requested_device.clone_from(&options.device);
    info.devices = vec![CPU.to_owned()];
    info.requested_precision = options.precision;
    // RTen makes f32 of all fractions as it loads them. Quantized operators compute in integers.
    let integers = types.iter().filter(|name| matches!(**name, "i8" | "u8"));
    let types: Vec<&str> = std::iter::once(&"f32").chain(integers).copied().collect();
    info.precision = types.join("+");
    // As RTen does with its own pool: many more threads than cores only steal each other's time.
    let cores = available_parallelism().map_or(1, NonZero::get);
    if threads > cores {
        info.notes.push(format!(
            "RTen runs a request on at most one thread per core: {cores} threads, not {threads}"
        ));
    }
    let names = info.extra_outputs.iter().map(|spec| spec.name.clone());
    let outputs = Arc::new(Outputs {
        ids,
        names: names.collect(),
    });
    let model = Arc::new(model);
    let engines = (0..requests)
        .map(|_| RtenEngine {
            model: Arc::clone(&model),
            outputs: Arc::clone(&outputs),
            threads: Arc::new(ThreadPool::with_num_threads(threads.min(cores))),
        })
        .collect();
    Ok((info, engines))
}

/// Loads the model from memory, with its external data: RTen opens no file itself.
fn load(source: &ModelSource, bytes: Vec<u8>, external_data: Vec<u8>) -> Result<Model, Error> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    options.external_data(EXTERNAL_DATA, external_data);
    options
        .load(bytes)
        .map_err(|error| load_failed(source, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backend_api::ElementType;

    #[test]
    fn an_operator_that_no_requested_output_needs_is_no_fault() {
        let model = include_bytes!("../../tests/data/features-and-class.onnx");
        let open = |output: &str| {
            let model = ModelSource::from_bytes(&model[..]);
            let mut config = RtenConfig::new(model);
            config.options.output = Some(output.to_owned());
            RtenBackend::open(&config)
        };
        let graph = onnx::Model::decode(&model[..]).unwrap().graph.unwrap();
        let arg_max = graph.node.iter().find(|node| node.operator() == "ArgMax");
        let ids = onnx::text(&arg_max.unwrap().output[0]).into_owned();
        for output in &graph.output {
            let name = onnx::text(output.name.as_ref().unwrap());
            match open(&name) {
                Ok(_) => assert_ne!(name, ids),
                Err(error) => assert!(
                    name == ids && error.to_string().contains("ArgMax"),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn sizes_that_rten_and_the_file_state_differently_are_open() {
        let (open, fixed) = (Dim::Dynamic, Dim::Fixed);
        let joined = |derived: &[Dim], sizes: &[Option<usize>]| {
            let spec = TensorSpec::new("y", ElementType::F32, derived.to_vec());
            declared(spec, &HashMap::from([("y".to_owned(), sizes.to_vec())])).dims
        };
        assert_eq!(
            joined(&[fixed(1), open, fixed(3)], &[Some(1), Some(2), None]),
            [fixed(1), fixed(2), fixed(3)]
        );
        // RTen derives that a reduction with empty axes changes nothing.
        assert_eq!(
            joined(&[fixed(1), fixed(3)], &[Some(1), Some(1)]),
            [fixed(1), open]
        );
        assert_eq!(
            joined(&[fixed(1), fixed(3)], &[Some(6)]),
            [fixed(6)],
            "of two ranks, that of the file"
        );
    }
}
