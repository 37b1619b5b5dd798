//! Copies of a model that show values between its nodes.
//!
//! Engines give one output tensor, and its elements may be computed in half precision. Everything is therefore one row
//! of `f32`: the model's own output, then each value in parts that survive.

use std::collections::BTreeSet;

use prost::bytes::Bytes;

use crate::onnx::{
    Attribute, AttributeType, DataType, Dimension, Model, Node, Tensor, TensorShape, TensorType,
    Type, ValueInfo,
};

/// Names that no model has.
const PREFIX: &str = "classify.exposed.";
/// Integers are shown by their digits to this base. Each is exact even where an engine rounds to `bf16`.
const BASE: i64 = 256;
/// Digits of the size of a dimension.
const SIZE_DIGITS: usize = 4;

/// The form in which a value's elements survive as `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Each element as it is: every type of at most 16 bits, and `f32`.
    Single,
    /// Each element in digits, the lowest one first.
    Integer {
        /// How many digits: one for each byte.
        digits: usize,
        /// Whether the elements are unsigned integers of 64 bits.
        unsigned: bool,
    },
    /// Each element as the sum of three numbers. An element beyond the range of `f32` is not shown.
    Double,
}

impl Encoding {
    /// The encoding of elements of a type; `None` for text and complex numbers. An unknown type is shown as `f64`
    /// would be, if the engine computes in `f64`.
    pub fn of(element: Option<DataType>, has_doubles: bool) -> Option<Self> {
        use DataType as D;
        let integer = |digits| {
            Some(Self::Integer {
                digits,
                unsigned: false,
            })
        };
        match element {
            Some(D::String | D::Complex64 | D::Complex128 | D::Undefined) => None,
            Some(D::Int32 | D::Uint32) => integer(4),
            Some(D::Int64) => integer(8),
            Some(D::Uint64) => Some(Self::Integer {
                digits: 8,
                unsigned: true,
            }),
            None | Some(D::Double) if has_doubles => Some(Self::Double),
            _ => Some(Self::Single),
        }
    }

    /// How many `f32` there are for each element.
    pub fn parts(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Integer { digits, .. } => digits,
            Self::Double => 3,
        }
    }
}

/// Values of a model to show.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Names of values of the main graph, and their encodings.
    pub values: Vec<(Bytes, Encoding)>,
    /// Whether to show the elements; otherwise only the shapes are shown.
    pub elements: bool,
}

/// A value that an edited model showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<'a> {
    /// The sizes of its dimensions.
    pub shape: Vec<usize>,
    encoding: Encoding,
    /// The first part of all elements, then the second of all, and so on.
    parts: &'a [f32],
}

impl Exposure {
    /// The same model with the row as its only output; `None` if the model has no output.
    pub fn apply(&self, model: &Model) -> Option<Model> {
        let mut model = model.clone();
        let graph = model.graph.as_mut()?;
        let output = graph.output.first()?.name.clone()?;
        let mut row = Row::default();
        let flat = row.constant("row", &[2], &[1, -1], DataType::Int64);
        row.flat = flat;
        row.single(&output);
        for (name, encoding) in &self.values {
            if self.elements {
                match encoding {
                    Encoding::Single => row.single(name),
                    Encoding::Integer { digits, unsigned } => row.integer(name, *digits, *unsigned),
                    Encoding::Double => row.double(name),
                }
            }
            let shape = row.node("Shape", &[name], None);
            row.integer(&shape, SIZE_DIGITS, false);
            let rank = row.node("Shape", &[&shape], None);
            row.single(&rank);
        }
        let parts: Vec<&Bytes> = row.parts.iter().collect();
        let all = node(
            "Concat",
            &parts,
            &format!("{PREFIX}all").into(),
            Some(int("axis", 1)),
        );
        let name = all.output[0].clone();
        // Engines may want nodes in topological order; the new ones read what all others make.
        graph.node.extend(row.nodes);
        graph.node.push(all);
        let dim = |value: Option<i64>, name: Option<&'static str>| Dimension {
            dim_value: value,
            dim_param: name.map(Bytes::from),
            denotation: None,
        };
        graph.output = vec![ValueInfo {
            name: Some(name),
            r#type: Some(Type {
                tensor_type: Some(TensorType {
                    elem_type: Some(DataType::Float as i32),
                    shape: Some(TensorShape {
                        dim: vec![dim(Some(1), None), dim(None, Some("classify_numbers"))],
                    }),
                }),
                ..Type::default()
            }),
            ..ValueInfo::default()
        }];
        Some(model)
    }

    /// Takes a row apart: the model's own output, and the values in their order. `None` if it is not such a row.
    pub fn read<'a>(&self, row: &'a [f32]) -> Option<(&'a [f32], Vec<Shown<'a>>)> {
        let mut rest = row;
        let mut shown = Vec::new();
        for (_, encoding) in self.values.iter().rev() {
            let (rank, before) = rest.split_last()?;
            let (before, digits) = split_end(before, (*rank as usize).checked_mul(SIZE_DIGITS)?)?;
            let sizes = Shown {
                shape: vec![*rank as usize],
                encoding: Encoding::Integer {
                    digits: SIZE_DIGITS,
                    unsigned: false,
                },
                parts: digits,
            };
            let shape: Vec<usize> = (0..sizes.len())
                .map(|place| usize::try_from(sizes.integer(place)?).ok())
                .collect::<Option<_>>()?;
            let elements = if self.elements {
                shape
                    .iter()
                    .try_fold(encoding.parts(), |count, size| count.checked_mul(*size))?
            } else {
                0
            };
            let (before, parts) = split_end(before, elements)?;
            rest = before;
            shown.push(Shown {
                shape,
                encoding: *encoding,
                parts,
            });
        }
        shown.reverse();
        Some((rest, shown))
    }
}

fn split_end(row: &[f32], count: usize) -> Option<(&[f32], &[f32])> {
    Some(row.split_at(row.len().checked_sub(count)?))
}

impl Shown<'_> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.parts.len() / self.encoding.parts()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn part(&self, part: usize, place: usize) -> f64 {
        self.parts[part * self.len() + place].into()
    }

    /// The element at `place`, if elements are integers of more than 16 bits. Exact.
    pub fn integer(&self, place: usize) -> Option<i128> {
        let Encoding::Integer { digits, .. } = self.encoding else {
            return None;
        };
        let base = i128::from(BASE);
        Some((0..digits).rev().fold(0, |above, digit| {
            above * base + self.part(digit, place) as i128
        }))
    }

    /// The element at `place`; `None` for a finite number that `f32` cannot show.
    pub fn number(&self, place: usize) -> Option<f64> {
        match self.encoding {
            Encoding::Single => Some(self.part(0, place)),
            Encoding::Integer { .. } => self.integer(place).map(|exact| exact as f64),
            Encoding::Double => {
                let (high, middle, low) = (
                    self.part(0, place),
                    self.part(1, place),
                    self.part(2, place),
                );
                if high.is_finite() {
                    return Some(high + (middle + low));
                }
                // What is left of an infinite number is NaN; of a finite one that became infinite, infinite.
                (!middle.is_infinite()).then_some(high)
            }
        }
    }
}

/// The nodes that make the row.
#[derive(Default)]
struct Row {
    nodes: Vec<Node>,
    /// The pieces of the row.
    parts: Vec<Bytes>,
    constants: BTreeSet<Bytes>,
    /// The shape `[1, -1]`.
    flat: Bytes,
}

impl Row {
    fn node(
        &mut self,
        operator: &'static str,
        inputs: &[&Bytes],
        attribute: Option<Attribute>,
    ) -> Bytes {
        let output = Bytes::from(format!("{PREFIX}{}", self.nodes.len()));
        self.nodes.push(node(operator, inputs, &output, attribute));
        output
    }

    /// A constant, which is made once. Old versions of the format want initializers among the inputs, so it is a node.
    fn constant(&mut self, name: &str, dims: &[i64], values: &[i64], element: DataType) -> Bytes {
        let output = Bytes::from(format!("{PREFIX}{name}"));
        if self.constants.insert(output.clone()) {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            let value = Attribute {
                name: Some("value".into()),
                t: Some(Tensor {
                    dims: dims.to_vec(),
                    data_type: Some(element as i32),
                    raw_data: Some(bytes.into()),
                    ..Tensor::default()
                }),
                r#type: Some(AttributeType::Tensor as i32),
                ..Attribute::default()
            };
            self.nodes.push(node("Constant", &[], &output, Some(value)));
        }
        output
    }

    fn cast(&mut self, value: &Bytes, to: DataType) -> Bytes {
        self.node("Cast", &[value], Some(int("to", to as i64)))
    }

    fn flat(&mut self, value: &Bytes) -> Bytes {
        let shape = self.flat.clone();
        self.node("Reshape", &[value, &shape], None)
    }

    fn single(&mut self, value: &Bytes) {
        let numbers = self.cast(value, DataType::Float);
        let flat = self.flat(&numbers);
        self.parts.push(flat);
    }

    /// Digit `k` is `x / 256^k - 256 * (x / 256^(k+1))`. The sum of all digits is exact whatever an engine makes of the
    /// divisions, also where it has only 32 bits for integers.
    fn integer(&mut self, value: &Bytes, digits: usize, unsigned: bool) {
        let element = if unsigned {
            DataType::Uint64
        } else {
            DataType::Int64
        };
        let rows = [digits as i64, 1];
        let tail = format!("{digits}.{}", element as i32);
        // The last digit is what is left.
        let powers: Vec<i64> = (0..digits as u32).map(|digit| BASE.pow(digit)).collect();
        let mut next: Vec<i64> = powers[1..].to_vec();
        next.push(1);
        let mut factors = vec![BASE; digits];
        factors[digits - 1] = 0;
        let powers = self.constant(&format!("powers.{tail}"), &rows, &powers, element);
        let next = self.constant(&format!("next.{tail}"), &rows, &next, element);
        let factors = self.constant(&format!("factors.{tail}"), &rows, &factors, element);
        let whole = self.cast(value, element);
        let flat = self.flat(&whole);
        let from = self.node("Div", &[&flat, &powers], None);
        let above = self.node("Div", &[&flat, &next], None);
        let above = self.node("Mul", &[&above, &factors], None);
        let digits = self.node("Sub", &[&from, &above], None);
        self.single(&digits);
    }

    fn double(&mut self, value: &Bytes) {
        let mut rest = self.cast(value, DataType::Double);
        for part in 0..3 {
            let shown = self.cast(&rest, DataType::Float);
            let flat = self.flat(&shown);
            self.parts.push(flat);
            if part < 2 {
                let shown = self.cast(&shown, DataType::Double);
                rest = self.node("Sub", &[&rest, &shown], None);
            }
        }
    }
}

fn node(
    operator: &'static str,
    inputs: &[&Bytes],
    output: &Bytes,
    attribute: Option<Attribute>,
) -> Node {
    Node {
        input: inputs.iter().map(|input| (*input).clone()).collect(),
        output: vec![output.clone()],
        name: Some(output.clone()),
        op_type: Some(operator.into()),
        attribute: attribute.into_iter().collect(),
        ..Node::default()
    }
}

fn int(name: &'static str, value: i64) -> Attribute {
    Attribute {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..Attribute::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::onnx::{Graph, OperatorSetId};

    fn digits(value: i128, count: usize) -> Vec<f32> {
        let base = i128::from(BASE);
        let mut digits: Vec<f32> = (0..count as u32)
            .map(|digit| (value / base.pow(digit) % base) as f32)
            .collect();
        digits[count - 1] = (value / base.pow(count as u32 - 1)) as f32;
        digits
    }

    #[test]
    fn a_row_is_taken_apart() {
        let exposure = Exposure {
            values: vec![
                ("a".into(), Encoding::Single),
                (
                    "b".into(),
                    Encoding::of(Some(DataType::Int64), true).unwrap(),
                ),
                ("c".into(), Encoding::Double),
            ],
            elements: true,
        };
        let exact = -(1_i128 << 53) - 1;
        let mut row = vec![0.5, 0.25];
        // a: 300 × 1 elements.
        row.extend(vec![7.0; 300]);
        row.extend([44.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        // b: a scalar.
        row.extend(digits(exact, 8));
        row.push(0.0);
        // c: two elements; a third of one, and infinity.
        let third = 1.0_f64 / 3.0;
        let high = third as f32;
        let middle = (third - f64::from(high)) as f32;
        row.extend([high, f32::INFINITY, middle, f32::NAN, 0.0, f32::NAN]);
        row.extend([2.0, 0.0, 0.0, 0.0, 1.0]);
        let (own, shown) = exposure.read(&row).unwrap();
        assert_eq!(own, [0.5, 0.25]);
        assert_eq!(shown[0].shape, [300, 1]);
        assert_eq!((shown[0].len(), shown[0].number(299)), (300, Some(7.0)));
        assert_eq!(shown[1].shape, [0_usize; 0]);
        assert_eq!(shown[1].integer(0), Some(exact));
        assert_eq!(shown[2].shape, [2]);
        assert!((shown[2].number(0).unwrap() - third).abs() < 1e-15);
        assert_eq!(shown[2].number(1), Some(f64::INFINITY));
        assert!(exposure.read(&row[..9]).is_none());
    }

    #[test]
    fn what_single_precision_cannot_show_is_no_number() {
        let parts = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let shown = Shown {
            shape: vec![1],
            encoding: Encoding::Double,
            parts: &parts,
        };
        assert_eq!(shown.number(0), None);
        let parts = [f32::NAN; 3];
        let shown = Shown {
            shape: vec![1],
            encoding: Encoding::Double,
            parts: &parts,
        };
        assert!(shown.number(0).unwrap().is_nan());
    }

    #[test]
    fn everything_else_of_the_model_is_kept() {
        let graph = Graph {
            node: vec![node("Relu", &[&"x".into()], &"y".into(), None)],
            output: vec![ValueInfo {
                name: Some("y".into()),
                ..ValueInfo::default()
            }],
            initializer: vec![Tensor {
                name: Some("w".into()),
                ..Tensor::default()
            }],
            ..Graph::default()
        };
        let model = Model {
            ir_version: Some(8),
            opset_import: vec![OperatorSetId {
                version: Some(13),
                domain: None,
            }],
            graph: Some(graph),
            ..Model::default()
        };
        let exposure = Exposure {
            values: vec![("y".into(), Encoding::Single)],
            elements: true,
        };
        let exposed = exposure.apply(&model).unwrap();
        let read = Model::decode(exposed.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read, exposed);
        assert_eq!(read.opset(), 13);
        assert_eq!(read.nodes()[0], model.nodes()[0]);
        let graph = read.graph.unwrap();
        assert_eq!((graph.output.len(), graph.initializer.len()), (1, 1));
    }
}
