//! TensorFlow Lite: the tables of its `FlatBuffer` that describe the computation.
//!
//! Every offset is checked, so that a damaged file is always an error. Numbers of fields and operators are
//! those of `tensorflow/lite/schema/schema.fbs`.

mod metadata;

pub use self::metadata::Metadata;

/// More tensors, operators or dimensions than these are damage.
const MOST_ENTRIES: usize = 1 << 20;

/// Bytes that may still be copied out of a file. Offsets of a damaged file lead to the same bytes again and again, so that
/// copies would grow with the square of its size; a sound file has each byte once.
struct Copies(usize);

impl Copies {
    /// Returns the limit for a file of these bytes. The names of inputs and outputs are copied twice.
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.len().saturating_mul(2))
    }

    fn take<T: Copy>(&mut self, items: &[T]) -> Result<(), Damaged> {
        self.0 = self.0.checked_sub(size_of_val(items)).ok_or(Damaged)?;
        Ok(())
    }

    fn numbers(&mut self, items: &[[u8; 4]]) -> Result<Vec<i32>, Damaged> {
        self.take(items)?;
        Ok(items.iter().copied().map(i32::from_le_bytes).collect())
    }

    fn text(&mut self, text: &[u8]) -> Result<String, Damaged> {
        self.take(text)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// A graph; the first one of a model is its main graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Tensors, in the order of their numbers.
    pub tensors: Vec<Tensor>,
    /// The numbers of the tensors that are the graph's inputs.
    pub inputs: Vec<i32>,
    /// The numbers of the tensors that are the graph's outputs.
    pub outputs: Vec<i32>,
    /// Operators, in the order of execution.
    pub operators: Vec<Operator>,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<i32>,
    /// The element type.
    pub element_type: TensorType,
    /// Scale and zero point, if there is one of each for the whole tensor.
    pub quantization: Option<(f32, i64)>,
    /// True if the file holds the values.
    pub is_constant: bool,
    /// The size of the values in the file, in bytes.
    pub bytes: u64,
}

/// The element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum TensorType {
    F32,
    F16,
    U8,
    I8,
    I16,
    Other,
}

/// An operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// `BuiltinOperator`: one of the constants here.
    pub code: i32,
    /// The numbers of the input tensors; -1 for one that is left out.
    pub inputs: Vec<i32>,
    /// The numbers of the output tensors.
    pub outputs: Vec<i32>,
    /// `ActivationFunctionType`, which is fused: 0 is none, 1 is Relu. -1 if it is not known.
    pub activation: i8,
}

macro_rules! operators {
    ($($name:ident = $code:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "the names are those of the schema")]
        impl Operator {
            $(pub const $name: i32 = $code;)*

            /// Returns the operator's name in the schema.
            pub fn name(&self) -> String {
                match self.code {
                    $($code => stringify!($name).to_owned(),)*
                    code => format!("operator {code}"),
                }
            }
        }
    };
}

operators! {
    ADD = 0, AVERAGE_POOL_2D = 1, CONCATENATION = 2, CONV_2D = 3, DEQUANTIZE = 6, FULLY_CONNECTED = 9, LOGISTIC = 14, MUL = 18,
    RELU = 19, RESHAPE = 22, SOFTMAX = 25, TRANSPOSE = 39, MEAN = 40, SUB = 41, DIV = 42, SQUEEZE = 43,
    TOPK_V2 = 48, LOG_SOFTMAX = 50, CAST = 53, ARG_MAX = 56, EXPAND_DIMS = 70, PACK = 83, ONE_HOT = 85, QUANTIZE = 114,
}

impl Operator {
    /// Returns the field of the fused activation in the operator's options.
    fn activation_field(code: i32) -> Option<usize> {
        match code {
            Self::FULLY_CONNECTED | Self::ADD | Self::SUB | Self::MUL | Self::DIV => Some(0),
            Self::CONCATENATION => Some(1),
            Self::CONV_2D => Some(3),
            Self::AVERAGE_POOL_2D => Some(5),
            _ => None,
        }
    }
}

/// Checks that the values of all tensors lie within the file, inside the `FlatBuffer` or behind it. Otherwise returns
/// what is wrong.
pub(crate) fn check_buffers(bytes: &[u8]) -> Result<(), String> {
    let buffers = buffers(bytes).map_err(|Damaged| {
        "the file is damaged: an offset of its buffers leads out of it".to_owned()
    })?;
    for (number, buffer) in buffers.into_iter().enumerate() {
        let (offset, size) = buffer.outside;
        let end = offset.checked_add(size);
        // 0 and 1 stand for a buffer that is inside.
        if offset > 1 && end.is_none_or(|end| end > bytes.len() as u64) {
            return Err(format!(
                "buffer {number} begins at byte {offset} and has {size} bytes, but the file has {} bytes",
                bytes.len()
            ));
        }
    }
    Ok(())
}

/// The values of a tensor.
struct Buffer {
    /// Bytes inside the `FlatBuffer`.
    inside: u64,
    /// The offset and the length of values behind the `FlatBuffer`, which a model of more than 2 GB has.
    outside: (u64, u64),
}

fn buffers(bytes: &[u8]) -> Result<Vec<Buffer>, Damaged> {
    let buffers = Table::at(bytes, 0)?.tables(4)?.into_iter();
    let buffer = |table: Table<'_>| {
        let number = |field| Ok(table.long(field)?.unwrap_or_default() as u64);
        Ok(Buffer {
            inside: table.bytes(0)?.map_or(0, <[u8]>::len) as u64,
            outside: (number(1)?, number(2)?),
        })
    };
    buffers.map(buffer).collect()
}

impl Graph {
    /// Reads the main graph of the model in `bytes`; `None` if the file is damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes).ok()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        if bytes.get(4..8) != Some(b"TFL3") {
            return Err(Damaged);
        }
        let model = Table::at(bytes, 0)?;
        let codes = model
            .tables(1)?
            .into_iter()
            .map(|code| {
                let old = code.byte(0)?.unwrap_or_default();
                Ok(i32::from(old).max(code.int(3)?.unwrap_or_default()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let buffers: Vec<u64> = buffers(bytes)?
            .into_iter()
            .map(|buffer| buffer.inside.max(buffer.outside.1))
            .collect();
        let graph = model.tables(2)?.into_iter().next().ok_or(Damaged)?;
        let tensors = graph.tables(0)?.into_iter();
        let operators = graph.tables(3)?.into_iter();
        let mut copies = Copies::of(bytes);
        let graph = Self {
            tensors: tensors
                .map(|table| tensor(table, &buffers, &mut copies))
                .collect::<Result<_, _>>()?,
            inputs: copies.numbers(graph.items(1)?)?,
            outputs: copies.numbers(graph.items(2)?)?,
            operators: operators
                .map(|table| operator(table, &codes, &mut copies))
                .collect::<Result<_, _>>()?,
        };
        // Many outputs may be one tensor, and each is named later.
        for port in graph.inputs.iter().chain(&graph.outputs) {
            if let Some(tensor) = graph.tensor(*port) {
                copies.take(tensor.name.as_bytes())?;
            }
        }
        Ok(graph)
    }

    /// Returns the tensor with this number.
    pub fn tensor(&self, number: i32) -> Option<&Tensor> {
        self.tensors.get(usize::try_from(number).ok()?)
    }

    /// Returns the operator that makes the tensor with this number.
    pub fn producer(&self, number: i32) -> Option<&Operator> {
        self.operators
            .iter()
            .find(|operator| operator.outputs.contains(&number))
    }
}

fn tensor(table: Table<'_>, buffers: &[u64], copies: &mut Copies) -> Result<Tensor, Damaged> {
    let element_type = match table.byte(1)?.unwrap_or_default() {
        0 => TensorType::F32,
        1 => TensorType::F16,
        3 => TensorType::U8,
        7 => TensorType::I16,
        9 => TensorType::I8,
        _ => TensorType::Other,
    };
    let quantization = match table.table(4)? {
        None => None,
        Some(parameters) => match (parameters.items::<4>(2)?, parameters.items::<8>(3)?) {
            (&[scale], &[zero]) => Some((f32::from_le_bytes(scale), i64::from_le_bytes(zero))),
            (&[scale], &[]) => Some((f32::from_le_bytes(scale), 0)),
            _ => None,
        },
    };
    let name = table.bytes(3)?.unwrap_or_default();
    let buffer = index(table.int(2)?)?;
    let bytes = buffers.get(buffer).copied().unwrap_or_default();
    Ok(Tensor {
        name: copies.text(name)?,
        shape: copies.numbers(table.items(0)?)?,
        element_type,
        quantization,
        is_constant: bytes > 0,
        bytes,
    })
}

fn operator(table: Table<'_>, codes: &[i32], copies: &mut Copies) -> Result<Operator, Damaged> {
    let code = *codes.get(index(table.int(0)?)?).ok_or(Damaged)?;
    let activation = match Operator::activation_field(code) {
        None => 0,
        Some(field) => match table.table(4)? {
            Some(options) => options.byte(field)?.unwrap_or_default(),
            None => 0,
        },
    };
    Ok(Operator {
        code,
        inputs: copies.numbers(table.items(1)?)?,
        outputs: copies.numbers(table.items(2)?)?,
        activation,
    })
}

/// Returns a number that is 0 where the file leaves it out.
fn index(number: Option<i32>) -> Result<usize, Damaged> {
    usize::try_from(number.unwrap_or_default()).map_err(|_| Damaged)
}

/// An offset leads out of the file, or many lead to the same place.
struct Damaged;

/// A table of a `FlatBuffer`. `None` is an absent field.
#[derive(Clone, Copy)]
struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The table of the fields' offsets.
    fields: &'a [u8],
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Damaged> {
    let end = at.checked_add(N).ok_or(Damaged)?;
    let bytes = bytes.get(at..end).ok_or(Damaged)?;
    bytes.try_into().map_err(|_| Damaged)
}

/// Returns the position that the offset at `at` leads to.
fn follow(bytes: &[u8], at: usize) -> Result<usize, Damaged> {
    let offset = u32::from_le_bytes(array(bytes, at)?) as usize;
    at.checked_add(offset).ok_or(Damaged)
}

impl<'a> Table<'a> {
    /// Returns the table that the offset at `at` leads to.
    fn at(bytes: &'a [u8], at: usize) -> Result<Self, Damaged> {
        let at = follow(bytes, at)?;
        let back = i64::from(i32::from_le_bytes(array(bytes, at)?));
        let fields = usize::try_from(at as i64 - back).map_err(|_| Damaged)?;
        let size = usize::from(u16::from_le_bytes(array(bytes, fields)?));
        let fields = bytes.get(fields..).and_then(|from| from.get(4..size));
        Ok(Self {
            bytes,
            at,
            fields: fields.ok_or(Damaged)?,
        })
    }

    /// Returns the position of a field.
    fn field(self, index: usize) -> Option<usize> {
        let offset = array(self.fields, index * 2).ok()?;
        match u16::from_le_bytes(offset) {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    fn scalar<const N: usize>(self, index: usize) -> Result<Option<[u8; N]>, Damaged> {
        let at = self.field(index);
        at.map(|at| array(self.bytes, at)).transpose()
    }

    fn byte(self, index: usize) -> Result<Option<i8>, Damaged> {
        Ok(self.scalar(index)?.map(i8::from_le_bytes))
    }

    fn int(self, index: usize) -> Result<Option<i32>, Damaged> {
        Ok(self.scalar(index)?.map(i32::from_le_bytes))
    }

    fn long(self, index: usize) -> Result<Option<i64>, Damaged> {
        Ok(self.scalar(index)?.map(i64::from_le_bytes))
    }

    fn table(self, index: usize) -> Result<Option<Self>, Damaged> {
        let at = self.field(index);
        at.map(|at| Self::at(self.bytes, at)).transpose()
    }

    /// Returns the position of a vector's first element, and the number of elements.
    fn vector(self, index: usize) -> Result<Option<(usize, usize)>, Damaged> {
        let Some(at) = self.field(index) else {
            return Ok(None);
        };
        let at = follow(self.bytes, at)?;
        let length = u32::from_le_bytes(array(self.bytes, at)?) as usize;
        Ok(Some((at.checked_add(4).ok_or(Damaged)?, length)))
    }

    fn items<const N: usize>(self, index: usize) -> Result<&'a [[u8; N]], Damaged> {
        let Some((at, length)) = self.vector(index)? else {
            return Ok(&[]);
        };
        if length > MOST_ENTRIES {
            return Err(Damaged);
        }
        let end = at.checked_add(length * N).ok_or(Damaged)?;
        let all = self.bytes.get(at..end).ok_or(Damaged)?;
        Ok(all.as_chunks().0)
    }

    /// Returns the bytes of a text or of a vector of bytes.
    fn bytes(self, index: usize) -> Result<Option<&'a [u8]>, Damaged> {
        let Some((at, length)) = self.vector(index)? else {
            return Ok(None);
        };
        let end = at.checked_add(length).ok_or(Damaged)?;
        self.bytes.get(at..end).map(Some).ok_or(Damaged)
    }

    fn tables(self, index: usize) -> Result<Vec<Self>, Damaged> {
        let Some((at, length)) = self.vector(index)? else {
            return Ok(Vec::new());
        };
        if length > MOST_ENTRIES {
            return Err(Damaged);
        }
        (0..length)
            .map(|index| Self::at(self.bytes, at.saturating_add(index * 4)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One fully connected layer, made with Python's flatbuffers by `make_models.py`.
    const LITE: &[u8] = include_bytes!("../../tests/data/lite.tflite");

    #[test]
    fn the_tables_of_a_model() {
        let graph = Graph::read(LITE).unwrap();
        assert_eq!(graph.outputs.len(), 1);
        assert_eq!(graph.tensor(graph.outputs[0]).unwrap().name, "output");
        let last = graph.producer(graph.outputs[0]).unwrap();
        assert_eq!(last.name(), "FULLY_CONNECTED");
        let weights = graph.tensor(last.inputs[1]).unwrap();
        assert!(weights.is_constant);
        let elements: i32 = weights.shape.iter().product();
        assert_eq!(weights.bytes, elements as u64 * 4);
        assert!(!graph.tensor(last.inputs[0]).unwrap().is_constant);
    }

    #[test]
    fn values_lie_within_the_file() {
        check_buffers(LITE).unwrap();
        for length in 0..LITE.len() / 2 {
            check_buffers(&LITE[..length]).unwrap_err();
        }
        // A model of one buffer with values behind the tables: offset and size are its fields 1 and 2.
        let file = |offset: u64, size: u64| {
            let mut bytes = vec![24, 0, 0, 0];
            bytes.extend(b"TFL3");
            // At 8 the fields of the model, of which only the fifth is there; at 24 the model.
            bytes.extend([14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
            bytes.extend([16, 0, 0, 0, 4, 0, 0, 0]);
            // At 32 the list of buffers; at 40 the fields of a buffer; at 52 the buffer.
            bytes.extend([1, 0, 0, 0, 16, 0, 0, 0]);
            bytes.extend([10, 0, 20, 0, 0, 0, 4, 0, 12, 0, 0, 0]);
            bytes.extend([12, 0, 0, 0]);
            bytes.extend(offset.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend([7; 20]);
            bytes
        };
        let whole = file(72, 20);
        assert_eq!(whole.len(), 92);
        let found = &buffers(&whole).ok().unwrap()[0];
        assert_eq!((found.inside, found.outside), (0, (72, 20)));
        check_buffers(&whole).unwrap();
        check_buffers(&file(0, 0)).unwrap();
        for (offset, size) in [
            (72, 21),
            (93, 0),
            (u64::MAX, 1),
            (u64::MAX - 9, 20),
            (2, u64::MAX),
        ] {
            let error = check_buffers(&file(offset, size)).unwrap_err();
            assert!(error.contains("the file has 92 bytes"), "{error}");
        }
    }

    /// Less than 64 KiB would take 200 MB: 10,000 tensors, or outputs, that are one with a name of 20 KB.
    #[test]
    fn tables_that_are_shared_are_not_copied_again_and_again() {
        const MANY: u32 = 10_000;
        const NAME: u32 = 20_000;
        let number = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
        let file = |tensors: u32, outputs: u32| {
            let mut bytes = vec![20, 0, 0, 0];
            bytes.extend(b"TFL3");
            // At 8 the fields of the model, of which only the third is there; at 20 the model.
            bytes.extend([10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
            bytes.extend([12, 0, 0, 0, 4, 0, 0, 0]);
            // At 28 the list of graphs; at 36 the fields of a graph; at 48 the graph.
            bytes.extend([1, 0, 0, 0, 16, 0, 0, 0]);
            bytes.extend([10, 0, 12, 0, 4, 0, 0, 0, 8, 0, 0, 0]);
            bytes.extend([12, 0, 0, 0]);
            // At 52 the offset of the list of tensors, which is at 60, and that of the list of outputs behind it.
            number(&mut bytes, 8);
            number(&mut bytes, 8 + 4 * tensors);
            number(&mut bytes, tensors);
            // Behind all offsets the fields of a tensor, of which the fourth is there, and the tensor.
            let table = 68 + 4 * tensors + 4 * outputs + 12;
            for place in 0..tensors {
                number(&mut bytes, table - (64 + 4 * place));
            }
            number(&mut bytes, outputs);
            bytes.extend(vec![0; 4 * outputs as usize]);
            bytes.extend([12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
            bytes.extend([12, 0, 0, 0]);
            number(&mut bytes, 4);
            number(&mut bytes, NAME);
            bytes.extend(vec![b'x'; NAME as usize]);
            bytes
        };
        let one = Graph::read(&file(1, 1)).unwrap();
        assert_eq!(
            (one.tensors[0].name.len(), &one.outputs[..]),
            (NAME as usize, &[0][..])
        );
        for shared in [file(MANY, 1), file(1, MANY)] {
            assert!(shared.len() < 64 << 10);
            assert_eq!(Graph::read(&shared), None);
        }
    }

    #[test]
    fn damage_never_panics() {
        for length in 0..LITE.len() {
            let _ = Graph::read(&LITE[..length]);
        }
        let mut bytes = LITE.to_vec();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let old = std::mem::replace(&mut bytes[at], value);
                let _ = Graph::read(&bytes);
                bytes[at] = old;
            }
        }
        assert_eq!(Graph::read(b""), None);
    }
}
