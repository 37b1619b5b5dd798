//! An infer request, and the description of inputs and outputs.

use std::collections::HashMap;
use std::sync::Arc;

use backend_api::{
    Dim, Element, ElementType, Engine, Error, ErrorKind, InferOutput, Tensor, TensorSpec,
};
use rten::{
    DataType, Dimension, Model, NodeId, NodeInfo, RunError, RunOptions, ThreadPool, Value,
    ValueType, ValueView,
};
use rten_tensor::TensorView;
use rten_tensor::prelude::*;

/// The outputs that are computed.
pub(crate) struct Outputs {
    /// The scores, then the extra ones.
    pub(crate) ids: Vec<NodeId>,
    /// The names of the extra ones.
    pub(crate) names: Vec<String>,
}

/// All requests share the weights. Each has threads of its own, so that none waits for those of another.
pub(crate) struct RtenEngine {
    pub(crate) model: Arc<Model>,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) threads: Arc<ThreadPool>,
}

impl Engine for RtenEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        match input.element_type() {
            ElementType::F32 => self.run::<f32>(input),
            ElementType::I32 => self.run::<i32>(input),
            ElementType::I8 => self.run::<i8>(input),
            ElementType::U8 => self.run::<u8>(input),
            other => Err(unsupported("input", other)),
        }
    }
}

impl RtenEngine {
    fn run<T: Element>(&self, input: &Tensor) -> Result<InferOutput, Error>
    where
        for<'a> ValueView<'a>: From<TensorView<'a, T>>,
    {
        let values = input
            .as_slice::<T>()
            .ok_or_else(|| unsupported("input", T::TYPE))?;
        let view = TensorView::from_data(input.shape(), values);
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        let input = *self.model.input_ids().first().ok_or_else(no_input)?;
        let inputs = vec![(input, ValueView::from(view).into())];
        // Nodes that none of these outputs needs do not run.
        let outputs = self.model.run(inputs, &self.outputs.ids, Some(options));
        let tensors = outputs.map_err(failed)?.into_iter().map(tensor);
        InferOutput::with_extra(&self.outputs.names, tensors.collect::<Result<_, _>>()?)
    }
}

fn no_input() -> Error {
    Error::new(ErrorKind::InferenceFailed, "the model has no input")
}

fn tensor(output: Value) -> Result<Tensor, Error> {
    match output {
        Value::FloatTensor(output) => copy(&output),
        Value::Int32Tensor(output) => copy(&output),
        Value::Int8Tensor(output) => copy(&output),
        Value::UInt8Tensor(output) => copy(&output),
        _ => Err(unsupported("output", "no tensor")),
    }
}

fn failed(source: RunError) -> Error {
    Error::new(
        ErrorKind::InferenceFailed,
        "RTen failed to run the inference",
    )
    .with_hint("RTen may lack a feature that this model needs: try `backend-onnx`")
    .with_source(source)
}

fn copy<T: Element>(output: &rten_tensor::Tensor<T>) -> Result<Tensor, Error> {
    Tensor::new(output.shape(), output.to_vec())
}

pub(crate) fn unsupported(which: &str, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::ModelUnsupported,
        format!("the model's {which} has an element type that is not supported: {what}"),
    )
    .with_context("supported", "f32, i32, i8, u8")
    .with_hint("try it with `backend-onnx`, which has more element types")
}

/// Reads the declaration of an input or output of the model. `declared` has the names of element types in the file.
pub(crate) fn spec(
    node: Option<NodeInfo<'_>>,
    which: &str,
    declared: &HashMap<String, String>,
) -> Result<TensorSpec, Error> {
    let undeclared = |what: &str| {
        Error::new(
            ErrorKind::ModelUnsupported,
            format!("the model does not state the {what} of its {which}"),
        )
        .with_hint("try it with `backend-onnx`")
    };
    let node = node.ok_or_else(|| undeclared("name"))?;
    let declared = declared
        .get(node.name().unwrap_or_default())
        .map(String::as_str);
    // RTen reports truth values as i32.
    if which == "input" && declared == Some("bool") {
        return Err(unsupported(which, "bool"));
    }
    // Of an element type that RTen lacks, it reports none.
    let known = node
        .dtype()
        .ok_or_else(|| unsupported(which, declared.unwrap_or("a type that RTen does not have")))?;
    let element_type = match known {
        // RTen 0.27 reports i8 for every `QuantizeLinear`; in ONNX, the zero point has the type.
        ValueType::Tensor(DataType::Int8) if declared == Some("uint8") => ElementType::U8,
        ValueType::Tensor(DataType::Float) => ElementType::F32,
        ValueType::Tensor(DataType::Int32) => ElementType::I32,
        ValueType::Tensor(DataType::Int8) => ElementType::I8,
        ValueType::Tensor(DataType::UInt8) => ElementType::U8,
        other => return Err(unsupported(which, format!("{other:?}"))),
    };
    let dims = node
        .shape()
        .ok_or_else(|| undeclared("shape"))?
        .into_iter()
        .map(|dim| match dim {
            Dimension::Fixed(size) => Dim::Fixed(size),
            Dimension::Symbolic(_) => Dim::Dynamic,
        })
        .collect();
    Ok(TensorSpec::new(
        node.name().unwrap_or_default(),
        element_type,
        dims,
    ))
}
