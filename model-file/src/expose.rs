//! Copies of a model that show values between its nodes.
//!
//! Engines return one output tensor, so that all values are in one row. Its elements may be computed in half precision,
//! and some engines add and divide integers in single precision. Every value is split into parts that survive.

use std::collections::BTreeSet;

use prost::bytes::Bytes;

use crate::onnx::{
    Attribute, AttributeType, DataType, Dimension, Model, Node, Tensor, TensorShape, TensorType,
    Type, ValueInfo,
};

/// Names that no model has.
const PREFIX: &str = "classify.exposed.";
/// Among numbers, sizes are shown by their digits to this base. Each is exact even where an engine rounds to `bf16`.
const BASE: i64 = 256;
/// Digits of the size of a dimension.
const SIZE_DIGITS: usize = 4;

/// The form in which the elements of a value survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Each element as `f32`: every type of at most 16 bits, and `f32`.
    Single,
    /// Each element as the sum of three `f32`. An element beyond the range of `f32` is not shown.
    Double,
    /// Each element as `i64`.
    Integer {
        /// True if the element is an unsigned integer of 64 bits.
        unsigned: bool,
    },
}

impl Encoding {
    /// Returns the encoding of elements of a type; `None` for text and complex numbers. An unknown type is shown as
    /// `f64` would be, if the engine computes in `f64`.
    pub fn of(element: Option<DataType>, has_doubles: bool) -> Option<Self> {
        use DataType as D;
        match element {
            Some(D::String | D::Complex64 | D::Complex128 | D::Undefined) => None,
            Some(D::Int32 | D::Uint32 | D::Int64) => Some(Self::Integer { unsigned: false }),
            Some(D::Uint64) => Some(Self::Integer { unsigned: true }),
            None | Some(D::Double) if has_doubles => Some(Self::Double),
            _ => Some(Self::Single),
        }
    }

    /// Returns the count of row numbers for each element.
    pub fn parts(self) -> usize {
        match self {
            Self::Single | Self::Integer { .. } => 1,
            Self::Double => 3,
        }
    }

    /// Returns whether elements are integers of more than 16 bits.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Integer { .. })
    }
}

/// The exposed property of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The sizes of their dimensions; the row is of `i64`.
    Shapes,
    /// Their elements, none of them [`Encoding::Integer`], behind the model's own output; the row is of `f32`.
    Numbers,
    /// Their elements, all of them [`Encoding::Integer`]; the row is of `i64`.
    Integers,
}

/// Values of a model to show.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Names of values of the main graph, and their encodings.
    pub values: Vec<(Bytes, Encoding)>,
    /// The property to expose.
    pub what: What,
}

/// A value that an edited model showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<'a> {
    /// The sizes of its dimensions.
    pub shape: Vec<usize>,
    parts: Parts<'a>,
}

#[derive(Debug, Clone, PartialEq)]
enum Parts<'a> {
    /// The first part of all elements, then the second of all, and so on; and how many there are for each.
    Numbers(&'a [f32], usize),
    /// Elements, and whether they are unsigned.
    Integers(&'a [i64], bool),
}

impl Exposure {
    /// Returns the same model with the row as its only output; `None` if the model has no output.
    pub fn apply(&self, model: &Model) -> Option<Model> {
        let mut model = model.clone();
        let graph = model.graph.as_mut()?;
        let output = graph.output.first()?.name.clone()?;
        let mut row = Row::default();
        row.flat = row.constant("row", &[2], &[1, -1]);
        if self.what == What::Numbers {
            row.single(&output);
        }
        for (name, encoding) in &self.values {
            match (self.what, encoding) {
                (What::Shapes, _) => {}
                (_, Encoding::Single) => row.single(name),
                (_, Encoding::Double) => row.double(name),
                (_, Encoding::Integer { .. }) => row.integer(name),
            }
            let shape = row.node("Shape", &[name], None);
            let rank = row.node("Shape", &[&shape], None);
            if self.what == What::Numbers {
                row.digits(&shape);
                row.single(&rank);
            } else {
                row.integer(&shape);
                row.integer(&rank);
            }
        }
        let parts: Vec<&Bytes> = row.parts.iter().collect();
        let name = Bytes::from(format!("{PREFIX}all"));
        let all = node("Concat", &parts, &name, Some(int("axis", 1)));
        // Engines may require topological order; the new nodes read the outputs of all others.
        graph.node.extend(row.nodes);
        graph.node.push(all);
        let dim = |value: Option<i64>, name: Option<&'static str>| Dimension {
            dim_value: value,
            dim_param: name.map(Bytes::from),
            denotation: None,
        };
        let element = match self.what {
            What::Numbers => DataType::Float,
            What::Shapes | What::Integers => DataType::Int64,
        };
        graph.output = vec![ValueInfo {
            name: Some(name),
            r#type: Some(Type {
                tensor_type: Some(TensorType {
                    elem_type: Some(element as i32),
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

    /// Splits a row of [`What::Numbers`]: the model's own output, and the values in their order. `None` if it is
    /// not such a row.
    pub fn numbers<'a>(&self, row: &'a [f32]) -> Option<(&'a [f32], Vec<Shown<'a>>)> {
        let mut rest = row;
        let mut shown = Vec::new();
        for (_, encoding) in self.values.iter().rev() {
            let (rank, before) = rest.split_last()?;
            let rank = *rank as usize;
            let (before, digits) = split_end(before, rank.checked_mul(SIZE_DIGITS)?)?;
            let size = |place: usize| {
                let digits = (0..SIZE_DIGITS)
                    .rev()
                    .map(|digit| digits[digit * rank + place]);
                digits.fold(0, |above, digit| above * BASE + digit as i64)
            };
            let shape = sizes((0..rank).map(size))?;
            let count = elements(&shape)?.checked_mul(encoding.parts())?;
            let (before, parts) = split_end(before, count)?;
            rest = before;
            let parts = Parts::Numbers(parts, encoding.parts());
            shown.push(Shown { shape, parts });
        }
        shown.reverse();
        Some((rest, shown))
    }

    /// Splits a row of [`What::Shapes`] or [`What::Integers`].
    pub fn integers<'a>(&self, row: &'a [i64]) -> Option<Vec<Shown<'a>>> {
        let mut rest = row;
        let mut shown = Vec::new();
        for (_, encoding) in self.values.iter().rev() {
            let (rank, before) = rest.split_last()?;
            let (before, shape) = split_end(before, usize::try_from(*rank).ok()?)?;
            let shape = sizes(shape.iter().copied())?;
            let count = match self.what {
                What::Integers => elements(&shape)?,
                What::Shapes | What::Numbers => 0,
            };
            let (before, parts) = split_end(before, count)?;
            rest = before;
            let unsigned = *encoding == Encoding::Integer { unsigned: true };
            let parts = Parts::Integers(parts, unsigned);
            shown.push(Shown { shape, parts });
        }
        shown.reverse();
        rest.is_empty().then_some(shown)
    }
}

fn split_end<T>(row: &[T], count: usize) -> Option<(&[T], &[T])> {
    Some(row.split_at(row.len().checked_sub(count)?))
}

fn sizes(sizes: impl Iterator<Item = i64>) -> Option<Vec<usize>> {
    sizes.map(|size| usize::try_from(size).ok()).collect()
}

fn elements(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter();
    sizes.try_fold(1, |count: usize, size| count.checked_mul(*size))
}

impl Shown<'_> {
    /// Returns the number of exposed elements.
    pub fn len(&self) -> usize {
        match self.parts {
            Parts::Numbers(numbers, parts) => numbers.len() / parts,
            Parts::Integers(integers, _) => integers.len(),
        }
    }

    /// Returns whether no element is exposed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all elements, if each is one `f32`.
    pub fn singles(&self) -> Option<&[f32]> {
        match self.parts {
            Parts::Numbers(numbers, 1) => Some(numbers),
            Parts::Numbers(..) | Parts::Integers(..) => None,
        }
    }

    /// Returns the element at `place`, if elements are integers of more than 16 bits. Exact.
    pub fn integer(&self, place: usize) -> Option<i128> {
        match self.parts {
            Parts::Numbers(..) => None,
            Parts::Integers(integers, false) => Some(integers[place].into()),
            Parts::Integers(integers, true) => Some((integers[place] as u64).into()),
        }
    }

    /// Returns the element at `place`; `None` for a finite number that `f32` cannot show.
    pub fn number(&self, place: usize) -> Option<f64> {
        let Parts::Numbers(numbers, parts) = self.parts else {
            return self.integer(place).map(|exact| exact as f64);
        };
        let part = |part: usize| f64::from(numbers[part * self.len() + place]);
        if parts == 1 || part(0).is_finite() {
            return Some((0..parts).rev().map(part).sum());
        }
        // The rest of an infinite number is NaN; the rest of a finite one that became infinite is infinite.
        (!part(1).is_infinite()).then(|| part(0))
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

    /// Returns a constant, which is made once. Old versions of the format want initializers among the inputs, so it is
    /// a node.
    fn constant(&mut self, name: &str, dims: &[i64], values: &[i64]) -> Bytes {
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
                    data_type: Some(DataType::Int64 as i32),
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

    fn integer(&mut self, value: &Bytes) {
        let whole = self.cast(value, DataType::Int64);
        let flat = self.flat(&whole);
        self.parts.push(flat);
    }

    /// Digit `k` of a size is `x / 256^k - 256 * (x / 256^(k+1))`; the last one is the rest.
    fn digits(&mut self, sizes: &Bytes) {
        let rows = [SIZE_DIGITS as i64, 1];
        let powers: Vec<i64> = (0..SIZE_DIGITS as u32)
            .map(|digit| BASE.pow(digit))
            .collect();
        let mut next: Vec<i64> = powers[1..].to_vec();
        next.push(1);
        let mut factors = vec![BASE; SIZE_DIGITS];
        factors[SIZE_DIGITS - 1] = 0;
        let powers = self.constant("powers", &rows, &powers);
        let next = self.constant("next", &rows, &next);
        let factors = self.constant("factors", &rows, &factors);
        let flat = self.flat(sizes);
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

    #[test]
    fn a_row_of_numbers_is_taken_apart() {
        let exposure = Exposure {
            values: vec![
                ("a".into(), Encoding::Single),
                ("b".into(), Encoding::Single),
                ("c".into(), Encoding::Double),
            ],
            what: What::Numbers,
        };
        let mut row = vec![0.5, 0.25];
        // a: 300 × 1 elements. The sizes' lowest digits come first.
        row.extend(vec![7.0; 300]);
        row.extend([44.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        // b: a scalar.
        row.extend([9.0, 0.0]);
        // c: two elements; a third of one, and infinity.
        let third = 1.0_f64 / 3.0;
        let high = third as f32;
        let middle = (third - f64::from(high)) as f32;
        row.extend([high, f32::INFINITY, middle, f32::NAN, 0.0, f32::NAN]);
        row.extend([2.0, 0.0, 0.0, 0.0, 1.0]);
        let (own, shown) = exposure.numbers(&row).unwrap();
        assert_eq!(own, [0.5, 0.25]);
        assert_eq!(shown[0].shape, [300, 1]);
        assert_eq!((shown[0].len(), shown[0].number(299)), (300, Some(7.0)));
        assert_eq!(shown[1].shape, [0_usize; 0]);
        assert_eq!((shown[1].number(0), shown[1].integer(0)), (Some(9.0), None));
        assert_eq!(shown[2].shape, [2]);
        assert!((shown[2].number(0).unwrap() - third).abs() < 1e-15);
        assert_eq!(shown[2].number(1), Some(f64::INFINITY));
        assert!(exposure.numbers(&row[..9]).is_none());
    }

    #[test]
    fn a_row_of_integers_is_taken_apart() {
        let mut exposure = Exposure {
            values: vec![
                ("a".into(), Encoding::Integer { unsigned: false }),
                ("b".into(), Encoding::Integer { unsigned: true }),
            ],
            what: What::Integers,
        };
        let exact = -(1 << 53) - 1;
        let row = [exact, 7, 1, 2, 2, -1, 0];
        let shown = exposure.integers(&row).unwrap();
        assert_eq!(
            (&shown[0].shape[..], &shown[1].shape[..]),
            (&[1, 2][..], &[][..])
        );
        assert_eq!(shown[0].integer(0), Some(exact.into()));
        assert_eq!(shown[1].integer(0), Some(u64::MAX.into()));
        assert!(exposure.integers(&row[..5]).is_none());
        exposure.what = What::Shapes;
        let shown = exposure.integers(&[1, 2, 2, 0]).unwrap();
        assert_eq!((&shown[0].shape[..], shown[0].len()), (&[1, 2][..], 0));
        assert!(exposure.integers(&[5, 1, 2, 2, 0]).is_none());
    }

    #[test]
    fn what_single_precision_cannot_show_is_no_number() {
        let of = |parts| Shown {
            shape: vec![1],
            parts: Parts::Numbers(parts, 3),
        };
        assert_eq!(
            of(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]).number(0),
            None
        );
        assert!(of(&[f32::NAN; 3]).number(0).unwrap().is_nan());
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
            what: What::Numbers,
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
