//! The precision in which a model's weights are stored, and the one in which an engine computes that takes the types
//! of the model.

mod ir;
mod onnx;
mod quantized;
mod tflite;

pub use quantized::QuantizedNodes;

use std::fmt;
use std::io;

use backend_api::ModelSource;
use prost::Message as _;

use crate::files::{MOST_ONNX_BYTES, MOST_TFLITE_BYTES};
use crate::format::{Format, read_source};
use crate::onnx::Model;

/// A type counts if it holds at least this share of the weights, or of the operators with weights: one in so many.
const LEAST_SHARE: u64 = 10;
/// Weights are looked for through so many operators.
const MOST_STEPS: usize = 16;

/// The precision of stored weights, from the finest to the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoredPrecision {
    /// 32 bits, or more.
    F32,
    /// 16 bits, of which 10 are the fraction.
    F16,
    /// 16 bits, of which 7 are the fraction.
    Bf16,
    /// Integers of 8 bits or fewer, or values that are rounded to such integers on the way.
    Int8,
}

impl StoredPrecision {
    /// Returns what [`stored_precision`] returns for an ONNX model that is decoded already.
    pub fn of_onnx(model: &Model) -> Option<Self> {
        let mut weights = Weights::default();
        weights.add_onnx(model);
        weights.precision()
    }
}

impl fmt::Display for StoredPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// Returns the precision in which the weights of `model` are stored: the coarsest type that holds at least a tenth of
/// their elements.
///
/// A model counts as int8 if at least a tenth of the elements of its weights are integers or pass through a quantizer,
/// or if at least a tenth of the operators with weights (`Conv`, `MatMul`, `Gemm`, …) take quantized values. A
/// quantizer elsewhere, such as one after the scores, has no effect.
///
/// `None` for a model without weights, for a format whose weights are not read here (TensorFlow, Paddle), and for a
/// damaged file.
///
/// # Errors
///
/// The system's, if the file cannot be read.
pub fn stored_precision(model: impl Into<ModelSource>) -> io::Result<Option<StoredPrecision>> {
    let source = model.into();
    let mut weights = Weights::default();
    match Format::of_source(&source)? {
        Format::Onnx => {
            let bytes = read_source(&source, MOST_ONNX_BYTES)?;
            let onnx = Model::decode(bytes).ok();
            return Ok(onnx.and_then(|onnx| StoredPrecision::of_onnx(&onnx)));
        }
        Format::Ir => {
            let xml = crate::ir::read(&source)?;
            let Ok(document) = crate::ir::parse(&xml) else {
                return Ok(None);
            };
            weights.add_ir(&document);
        }
        Format::TensorflowLite => {
            let bytes = read_source(&source, MOST_TFLITE_BYTES)?;
            let Some(graph) = crate::tflite::Graph::read(&bytes) else {
                return Ok(None);
            };
            weights.add_tflite(&graph);
        }
        _ => return Ok(None),
    }
    Ok(weights.precision())
}

/// The number of elements in each precision, and of operators with weights.
#[derive(Debug, Default)]
struct Weights {
    elements: [u64; 4],
    operators: u64,
    /// The operators that take quantized values.
    quantized: u64,
}

impl Weights {
    fn add(&mut self, precision: StoredPrecision, elements: u64) {
        let sum = &mut self.elements[precision as usize];
        *sum = sum.saturating_add(elements);
    }

    fn add_operator(&mut self, is_quantized: bool) {
        self.operators += 1;
        self.quantized += u64::from(is_quantized);
    }

    fn precision(&self) -> Option<StoredPrecision> {
        use StoredPrecision::{Bf16, F16, F32, Int8};
        let sum = self
            .elements
            .iter()
            .fold(0_u64, |sum, n| sum.saturating_add(*n));
        if is_share(self.quantized, self.operators) {
            return Some(Int8);
        }
        [Int8, Bf16, F16, F32]
            .into_iter()
            .find(|&precision| is_share(self.elements[precision as usize], sum))
    }
}

const fn is_share(part: u64, all: u64) -> bool {
    part > 0 && part.saturating_mul(LEAST_SHARE) >= all
}
