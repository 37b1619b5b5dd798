//! Tensors, and the inference.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::faults;

/// The shape of the input of `tests/data/plain.onnx`.
pub(crate) const INPUT: [i64; 4] = [1, 3, 8, 8];
/// The shape of its output.
pub(crate) const OUTPUT: [i64; 2] = [1, 12];

/// The weights of its only layer, in parts of 256: for each class those of the mean of each channel.
const WEIGHTS: [[i8; 3]; 12] = [
    [-5, -2, 1],
    [2, 5, -3],
    [-2, 1, 4],
    [5, -3, 0],
    [1, 4, -4],
    [-3, 0, 3],
    [4, -4, -1],
    [0, 3, -5],
    [-4, -1, 2],
    [3, -5, -2],
    [-1, 2, 5],
    [-5, -2, 1],
];

/// `ov_element_type_e`.
pub(crate) const F32: u32 = 4;
const I32: u32 = 9;

/// A tensor of 32 bits for each element, in memory that the caller may write to.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) element_type: u32,
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Rc<[Cell<f32>]>,
}

impl Tensor {
    pub(crate) fn zeros(shape: &[i64]) -> Self {
        let count = shape.iter().product::<i64>() as usize;
        Self {
            element_type: F32,
            shape: shape.to_vec(),
            data: vec![Cell::new(0.0); count].into(),
        }
    }
}

/// An infer request. Its tensors share their memory with the handles that callers get.
pub(crate) struct Request {
    pub(crate) input: RefCell<Tensor>,
    pub(crate) output: RefCell<Tensor>,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self {
            input: RefCell::new(Tensor::zeros(&INPUT)),
            output: RefCell::new(Tensor::zeros(&OUTPUT)),
        }
    }

    /// Computes the output, with the fault that is asked for.
    pub(crate) fn infer(&self) {
        let input = self.input.borrow();
        let channel = input.data.len() / 3;
        let means: Vec<f32> = input
            .data
            .chunks(channel)
            .map(|values| values.iter().map(Cell::get).sum::<f32>() / channel as f32)
            .collect();
        let scores = WEIGHTS.map(|weights| {
            let terms = weights.iter().zip(&means);
            terms
                .map(|(weight, mean)| f32::from(*weight) / 256.0 * mean)
                .sum::<f32>()
        });
        let fault = faults::of_output().unwrap_or_default();
        let shape: &[i64] = match fault {
            "more" => &[1, 13],
            "fewer" => &[1, 11],
            "rank" => &[12],
            "empty" => &[1, 0],
            "negative" => &[-1, -12],
            "huge" => &[i64::MAX, i64::MAX],
            _ => &OUTPUT,
        };
        let values = match fault {
            "more" => 13,
            "fewer" | "short" => 11,
            "empty" => 0,
            _ => 12,
        };
        let value = |place: usize| match fault {
            "nan" => f32::NAN,
            "infinity" => f32::INFINITY,
            _ => scores.get(place).copied().unwrap_or_default(),
        };
        *self.output.borrow_mut() = Tensor {
            element_type: if fault == "type" { I32 } else { F32 },
            shape: shape.to_vec(),
            data: (0..values).map(|place| Cell::new(value(place))).collect(),
        };
    }
}
