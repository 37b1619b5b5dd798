//! One OpenVINO infer request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use backend_api::{
    Dim, ElementType, Engine, Error, ErrorKind, InferOutput, Stopper, Tensor, TensorSpec,
};
use openvino::{
    CompiledModel, Core, InferRequest, InferenceError, InferenceErrorKind, Node, PartialShape,
};

use crate::error::engine_error;

/// The outputs that are copied. A compiled model computes all of them.
pub(crate) struct Outputs {
    /// The places among those of the model: the scores, then the extra ones.
    pub(crate) places: Vec<usize>,
    /// The names of the extra ones.
    pub(crate) names: Vec<String>,
}

/// An infer request with everything that has to outlive it. Fields drop in this order.
pub(crate) struct OpenvinoEngine {
    pub(crate) request: InferRequest,
    pub(crate) outputs: Arc<Outputs>,
    /// Set when the next inference is to stop.
    pub(crate) stopped: Option<Arc<AtomicBool>>,
    pub(crate) _model: Arc<Mutex<(CompiledModel, Core)>>,
}

impl Engine for OpenvinoEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        self.run(input).map_err(|source| {
            engine_error(
                ErrorKind::InferenceFailed,
                "OpenVINO failed to run the inference",
                source,
            )
        })?
    }

    /// Returns a stopper for the next inference alone, so that a late stop cannot hit another one.
    fn stopper(&mut self) -> Option<Stopper> {
        let stopped = Arc::<AtomicBool>::default();
        self.stopped = Some(Arc::clone(&stopped));
        Some(Box::new(move || stopped.store(true, Ordering::Relaxed)))
    }
}

/// The time for which the slot's thread waits before it checks the flag.
const STOP_INTERVAL_MS: i64 = 10;

impl OpenvinoEngine {
    /// Runs the request. Only this thread may call the binding's `cancel`, which takes `&mut self`. Therefore this
    /// thread waits and checks the flag.
    fn infer_until_stopped(&mut self) -> Result<(), InferenceError> {
        let stopped = self.stopped.take();
        let is_stopped = || {
            let stopped = stopped.as_ref();
            stopped.is_some_and(|stopped| stopped.load(Ordering::Relaxed))
        };
        if is_stopped() {
            return Err(InferenceError {
                kind: InferenceErrorKind::InferCancelled,
                message: None,
            });
        }
        self.request.infer_async()?;
        loop {
            match self.request.wait(STOP_INTERVAL_MS) {
                Err(error) if matches!(error.kind, InferenceErrorKind::ResultNotReady) => {}
                result => return result,
            }
            if is_stopped() {
                // OpenVINO ends the request after the current operation. Where it cannot, the request ends by itself.
                let _ = self.request.cancel();
            }
        }
    }

    /// Runs one inference. The outer error is OpenVINO's; the inner error is about the memory that OpenVINO returned.
    fn run(&mut self, input: &Tensor) -> Result<Result<InferOutput, Error>, InferenceError> {
        let mut native = self.request.get_input_tensor()?;
        let shape = input.shape().iter().map(|&dim| dim as i64);
        // The binding panics if a shape cannot be freed: no second one may be alive then.
        let is_same = shape
            .clone()
            .eq(native.get_shape()?.get_dimensions().iter().copied());
        if !is_same {
            let shape: Vec<i64> = shape.collect();
            let resized =
                openvino::Tensor::new(native.get_element_type()?, &openvino::Shape::new(&shape)?)?;
            self.request.set_input_tensor(&resized)?;
            native = resized;
        }
        let buffer = native.get_raw_data_mut()?;
        let bytes = input.as_bytes();
        if buffer.len() != bytes.len() {
            return Ok(Err(Error::new(
                ErrorKind::InferenceFailed,
                format!(
                    "OpenVINO's input tensor has {} bytes, but the request's tensor has {}",
                    buffer.len(),
                    bytes.len()
                ),
            )));
        }
        buffer.copy_from_slice(bytes);
        self.infer_until_stopped()?;

        let mut tensors = Vec::with_capacity(self.outputs.places.len());
        for place in &self.outputs.places {
            match self.output(*place)? {
                Ok(tensor) => tensors.push(tensor),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(InferOutput::with_extra(&self.outputs.names, tensors))
    }

    /// Returns the output at a place after an inference.
    fn output(&self, place: usize) -> Result<Result<Tensor, Error>, InferenceError> {
        let output = self.request.get_output_tensor_by_index(place)?;
        let shape: Vec<usize> = match output.get_shape() {
            Ok(shape) => shape
                .get_dimensions()
                .iter()
                .map(|&dim| dim as usize)
                .collect(),
            // The C API has no shape for a number without dimensions.
            Err(_) if output.get_size() == Ok(1) => Vec::new(),
            Err(error) => return Err(error),
        };
        let native = output.get_element_type()?;
        let Some(element_type) = element_type(native) else {
            let message = format!("OpenVINO's output has element type {native}");
            return Ok(Err(Error::new(ErrorKind::OutputMismatch, message)));
        };
        let bytes = output.get_raw_data()?;
        let tensor = Tensor::from_bytes(element_type, shape, bytes);
        Ok(tensor.map_err(|error| {
            let message = "the memory of OpenVINO's output does not have the size of its shape";
            Error::new(ErrorKind::InferenceFailed, message).with_source(error.to_string())
        }))
    }
}

/// Reads the declaration of the model's only input.
pub(crate) fn input_spec(port: &Node) -> Result<TensorSpec, Error> {
    // Models may leave a port unnamed, which OpenVINO reports as an error.
    let name = port.get_name().unwrap_or_else(|_| "input".to_owned());
    spec(port, &name, "input")
}

/// Reads the declaration of `port`, an input or output called `name`.
pub(crate) fn spec(port: &Node, name: &str, which: &str) -> Result<TensorSpec, Error> {
    let read_failed = |source| {
        engine_error(
            ErrorKind::ModelInvalid,
            format!("cannot read the model's {which}"),
            source,
        )
    };
    let native = port.get_element_type().map_err(read_failed)?;
    let element_type = element_type(native).ok_or_else(|| {
        Error::new(
            ErrorKind::ModelUnsupported,
            format!("the model's {which} {name:?} has element type {native}"),
        )
        .with_context(
            "supported",
            "f32, f64, f16, bf16, u8, u16, u32, u64, i8, i16, i32, i64",
        )
    })?;
    let shape = port.get_partial_shape().map_err(read_failed)?;
    if shape.get_rank().get_min() != shape.get_rank().get_max() {
        return Err(Error::new(
            ErrorKind::ModelUnsupported,
            format!("the model's {which} {name:?} has no fixed number of dimensions"),
        )
        .with_hint("export the model with a fixed rank"));
    }
    let dims = shape
        .get_dimensions()
        .iter()
        .map(|dim| match usize::try_from(dim.get_min()) {
            Ok(size) if dim.get_min() == dim.get_max() => Dim::Fixed(size),
            _ => Dim::Dynamic,
        })
        .collect();
    Ok(TensorSpec::new(name, element_type, dims))
}

/// Returns the dimensions of `spec` as OpenVINO takes them for a reshape.
pub(crate) fn partial_shape(spec: &TensorSpec) -> Result<PartialShape, InferenceError> {
    let dims: Vec<_> = spec
        .dims
        .iter()
        .map(|dim| match *dim {
            Dim::Fixed(size) => openvino::Dimension::new(size as i64, size as i64),
            // How the C interface writes it; from 0 up is refused.
            Dim::Dynamic => openvino::Dimension::new(-1, -1),
        })
        .collect();
    PartialShape::new(dims.len() as i64, &dims)
}

fn element_type(native: openvino::ElementType) -> Option<ElementType> {
    Some(match native {
        openvino::ElementType::F32 => ElementType::F32,
        openvino::ElementType::F64 => ElementType::F64,
        openvino::ElementType::F16 => ElementType::F16,
        openvino::ElementType::Bf16 => ElementType::Bf16,
        openvino::ElementType::U8 => ElementType::U8,
        openvino::ElementType::U16 => ElementType::U16,
        openvino::ElementType::U32 => ElementType::U32,
        openvino::ElementType::U64 => ElementType::U64,
        openvino::ElementType::I8 => ElementType::I8,
        openvino::ElementType::I16 => ElementType::I16,
        openvino::ElementType::I32 => ElementType::I32,
        openvino::ElementType::I64 => ElementType::I64,
        _ => return None,
    })
}
