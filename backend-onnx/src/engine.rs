//! One ONNX Runtime session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_api::half::{bf16, f16};
use backend_api::{
    Dim, Element, ElementType, Engine, Error, ErrorKind, InferOutput, Stopper, Tensor, TensorSpec,
};
use ort::session::{RunOptions, Session};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType,
};

use crate::error::engine_error;

/// The outputs that are copied. ONNX Runtime computes all of them, whichever are fetched: its C interface has no way to run
/// a part of the graph.
pub(crate) struct Outputs {
    /// Their places among those of the session: the scores, then the extra ones.
    pub(crate) places: Vec<usize>,
    /// The names of the extra ones.
    pub(crate) names: Vec<String>,
}

pub(crate) struct OnnxEngine {
    session: Session,
    outputs: Arc<Outputs>,
    /// The options of the next inference, by which it can be stopped.
    next: Option<Arc<Options>>,
    /// The options of the last inference, which serve again unless they were stopped.
    last: Option<Arc<Options>>,
}

/// Options of inferences, one at a time.
struct Options {
    run: RunOptions,
    /// ONNX Runtime never clears a stop, so stopped options cannot be used again.
    is_stopped: AtomicBool,
}

impl OnnxEngine {
    pub(crate) fn new(session: Session, outputs: Arc<Outputs>) -> Self {
        Self {
            session,
            outputs,
            next: None,
            last: None,
        }
    }
}

impl Engine for OnnxEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        match input.element_type() {
            ElementType::F32 => self.run::<f32>(input),
            ElementType::F64 => self.run::<f64>(input),
            ElementType::F16 => self.run::<f16>(input),
            ElementType::Bf16 => self.run::<bf16>(input),
            ElementType::U8 => self.run::<u8>(input),
            ElementType::U16 => self.run::<u16>(input),
            ElementType::U32 => self.run::<u32>(input),
            ElementType::U64 => self.run::<u64>(input),
            ElementType::I8 => self.run::<i8>(input),
            ElementType::I16 => self.run::<i16>(input),
            ElementType::I32 => self.run::<i32>(input),
            ElementType::I64 => self.run::<i64>(input),
            other => Err(unsupported("input", other)),
        }
    }

    /// Returns a stopper for the next inference alone, so that a late stop cannot hit another one. ONNX Runtime checks it
    /// between two nodes.
    fn stopper(&mut self) -> Option<Stopper> {
        let is_free = |last: &mut Arc<Options>| {
            // Nobody else has them: their stopper is gone.
            Arc::get_mut(last).is_some_and(|last| !*last.is_stopped.get_mut())
        };
        let last = self.last.take_if(is_free);
        self.next = last.or_else(|| {
            let options = Options {
                run: RunOptions::new().ok()?,
                is_stopped: AtomicBool::new(false),
            };
            Some(Arc::new(options))
        });
        let options = Arc::clone(self.next.as_ref()?);
        Some(Box::new(move || {
            options.is_stopped.store(true, Ordering::Relaxed);
            // An error means that the run ends by itself.
            let _ = options.run.terminate();
        }))
    }
}

fn failed(source: ort::Error) -> Error {
    engine_error(
        ErrorKind::InferenceFailed,
        "ONNX Runtime failed to run the inference",
        source,
    )
}

fn unsupported(which: &str, element_type: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::ModelUnsupported,
        format!("the model's {which} has element type {element_type}"),
    )
    .with_context(
        "supported",
        "f32, f64, f16, bf16, u8, u16, u32, u64, i8, i16, i32, i64",
    )
}

impl OnnxEngine {
    fn run<T>(&mut self, input: &Tensor) -> Result<InferOutput, Error>
    where
        T: Element + PrimitiveTensorElementType + std::fmt::Debug,
    {
        let values = input
            .as_slice::<T>()
            .ok_or_else(|| unsupported("input", T::TYPE))?;
        let view = TensorRef::from_array_view((input.shape(), values)).map_err(failed)?;
        self.last = self.next.take();
        let outputs = match &self.last {
            Some(options) => self
                .session
                .run_with_options(ort::inputs![view], &options.run),
            None => self.session.run(ort::inputs![view]),
        };
        let outputs = outputs.map_err(failed)?;
        let places = self.outputs.places.iter();
        let tensors = places.map(|place| tensor(&outputs[*place]));
        InferOutput::with_extra(&self.outputs.names, tensors.collect::<Result<_, _>>()?)
    }
}

fn tensor(output: &DynValue) -> Result<Tensor, Error> {
    match *output.dtype() {
        ValueType::Tensor { ty, .. } => match element_type(ty) {
            Some(ElementType::F32) => copy::<f32>(output),
            Some(ElementType::F64) => copy::<f64>(output),
            Some(ElementType::F16) => copy::<f16>(output),
            Some(ElementType::Bf16) => copy::<bf16>(output),
            Some(ElementType::U8) => copy::<u8>(output),
            Some(ElementType::U16) => copy::<u16>(output),
            Some(ElementType::U32) => copy::<u32>(output),
            Some(ElementType::U64) => copy::<u64>(output),
            Some(ElementType::I8) => copy::<i8>(output),
            Some(ElementType::I16) => copy::<i16>(output),
            Some(ElementType::I32) => copy::<i32>(output),
            Some(ElementType::I64) => copy::<i64>(output),
            _ => Err(unsupported("output", ty)),
        },
        _ => Err(unsupported("output", "not a tensor")),
    }
}

fn copy<T: Element + PrimitiveTensorElementType>(value: &DynValue) -> Result<Tensor, Error> {
    let (shape, values) = value.try_extract_tensor::<T>().map_err(failed)?;
    let shape: Vec<usize> = shape.iter().map(|&dim| dim as usize).collect();
    Tensor::new(shape, values.to_vec())
}

/// Reads the declaration of `outlet`, an input or output of the model.
pub(crate) fn spec(outlet: &Outlet, which: &str) -> Result<TensorSpec, Error> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(unsupported(which, "not a tensor"));
    };
    let element_type = element_type(*ty).ok_or_else(|| unsupported(which, *ty))?;
    let dims = shape
        .iter()
        .map(|&dim| usize::try_from(dim).map_or(Dim::Dynamic, Dim::Fixed))
        .collect();
    Ok(TensorSpec::new(outlet.name(), element_type, dims))
}

fn element_type(native: TensorElementType) -> Option<ElementType> {
    Some(match native {
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::Float16 => ElementType::F16,
        TensorElementType::Bfloat16 => ElementType::Bf16,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Int64 => ElementType::I64,
        _ => return None,
    })
}
