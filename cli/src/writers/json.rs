//! JSON Lines, schema version 1: `docs/output.md`.

use std::io::Write as _;
use std::path::Path;

use backend_api::{ElementType, NamedTensor, Precision, Tensor};
use image_classification::{ImageNote, Ranked, Scoring};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use super::{Classified, ResultContext};
use crate::destination::Output;
use crate::errors;
use crate::stream_line::{LineId, StreamLine};

#[derive(Serialize)]
struct Record<'a> {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a LineId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<std::borrow::Cow<'a, str>>,
    /// Only where the path is not UTF-8: its exact bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<&'a [u8]>,
    backend: &'a str,
    engine_version: &'a str,
    device: &'a str,
    requested_device: &'a str,
    precision: &'a str,
    requested_precision: Precision,
    model: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scoring: Option<Scoring>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Top<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<SavedOutputs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing_ms: Option<Timing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

/// The best classes of an image.
struct Top<'a> {
    classes: &'a [Ranked],
    context: &'a ResultContext<'a>,
}

/// Outputs of the model by their names.
struct SavedOutputs<'a>(&'a [NamedTensor]);

#[derive(Serialize)]
struct SavedOutput<'a> {
    r#type: &'static str,
    shape: &'a [usize],
    values: Values<'a>,
}

/// The elements of a tensor in row-major order. Those that are not finite become `null`.
struct Values<'a>(&'a Tensor);

impl Serialize for Top<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_scores = self.context.scores().is_some();
        serializer.collect_seq(self.classes.iter().map(|ranked| Class {
            id: ranked.class_id,
            label: self.context.label(ranked.class_id),
            score: has_scores.then_some(ranked.score),
        }))
    }
}

impl Serialize for SavedOutputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|NamedTensor { name, tensor }| {
            let output = SavedOutput {
                r#type: tensor.element_type().as_str(),
                shape: tensor.shape(),
                values: Values(tensor),
            };
            (name, output)
        }))
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(tensor) = self;
        macro_rules! elements {
            ($rust:ty) => {
                serializer.collect_seq(tensor.as_slice::<$rust>().unwrap_or_default())
            };
        }
        match tensor.element_type() {
            ElementType::F64 => elements!(f64),
            ElementType::U8 => elements!(u8),
            ElementType::U16 => elements!(u16),
            ElementType::U32 => elements!(u32),
            ElementType::U64 => elements!(u64),
            ElementType::I8 => elements!(i8),
            ElementType::I16 => elements!(i16),
            ElementType::I32 => elements!(i32),
            ElementType::I64 => elements!(i64),
            // All of these are exact in f32.
            ElementType::F32 | ElementType::F16 | ElementType::Bf16 => {
                serializer.collect_seq(tensor.to_f32().iter())
            }
            other => Err(S::Error::custom(format!(
                "JSON cannot hold elements of {other}"
            ))),
        }
    }
}

#[derive(Serialize)]
struct Class<'a> {
    #[serde(rename = "class_id")]
    id: usize,
    label: Option<&'a str>,
    /// `null` for a model that gives class ids alone.
    score: Option<f32>,
}

#[derive(Serialize)]
struct Timing {
    prepare: f64,
    infer: f64,
}

#[derive(Serialize)]
struct Problem {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

/// The input that a result belongs to.
#[derive(Debug)]
pub struct JsonInput<'a> {
    pub path: Option<&'a Path>,
    /// The line of a stream.
    pub line: Option<&'a StreamLine>,
    /// The note on the image, which others than streams have on stderr.
    pub note: Option<ImageNote>,
}

/// Writes one object an image.
#[derive(Debug)]
pub struct Json {
    out: Output,
    /// The record, in memory that is used again.
    record: Vec<u8>,
}

impl Json {
    pub fn new(out: Output) -> Self {
        Self {
            out,
            record: Vec::new(),
        }
    }

    /// Writes the result of an input, or its error.
    pub fn result(
        &mut self,
        context: &ResultContext<'_>,
        input: &JsonInput<'_>,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        let record = Record {
            schema_version: 1,
            line: input.line.map(|line| line.number),
            id: input.line.and_then(|line| line.id.as_ref()),
            path_bytes: input
                .path
                .filter(|path| path.to_str().is_none())
                .map(|path| path.as_os_str().as_encoded_bytes()),
            path: input.path.map(Path::to_string_lossy),
            backend: &context.info.backend,
            engine_version: &context.info.engine_version,
            device: context.device,
            requested_device: &context.info.requested_device,
            precision: &context.info.precision,
            requested_precision: context.info.requested_precision,
            model: context.model.to_string_lossy(),
            scores: context.scores().filter(|_| result.is_ok()),
            scoring: result
                .is_ok()
                .then_some(context.reading.interpretation.scoring),
            top: result.ok().map(|classified| Top {
                classes: &classified.top,
                context,
            }),
            outputs: result
                .ok()
                .filter(|classified| !classified.outputs.is_empty())
                .map(|classified| SavedOutputs(&classified.outputs)),
            timing_ms: result.ok().map(|classified| Timing {
                prepare: classified.prepare_ms,
                infer: classified.infer_ms,
            }),
            note: input.note.map(|note| note.to_string()),
            error: result.err().map(|error| Problem {
                code: errors::code(error),
                message: errors::chain(error),
                hint: errors::hint(error),
            }),
        };
        self.record.clear();
        serde_json::to_writer(&mut self.record, &record)?;
        self.record.push(b'\n');
        self.out.write_all(&self.record)?;
        Ok(())
    }

    /// Gives the results to the reader of stdout.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    pub(super) fn into_output(self) -> Output {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json<T: backend_api::Element>(values: Vec<T>) -> String {
        let tensor = Tensor::new([values.len()], values).unwrap();
        serde_json::to_string(&Values(&tensor)).unwrap()
    }

    #[test]
    fn every_integer_is_exact() {
        assert_eq!(json(vec![u8::MAX]), "[255]");
        assert_eq!(json(vec![u16::MAX]), "[65535]");
        assert_eq!(
            json(vec![16_777_217_u32, u32::MAX]),
            "[16777217,4294967295]"
        );
        assert_eq!(json(vec![u64::MAX]), "[18446744073709551615]");
        assert_eq!(json(vec![i8::MIN]), "[-128]");
        assert_eq!(json(vec![i16::MIN]), "[-32768]");
        assert_eq!(json(vec![i32::MIN + 1]), "[-2147483647]");
        assert_eq!(json(vec![i64::MIN]), "[-9223372036854775808]");
    }

    #[test]
    fn fractions_are_exact_and_nothing_else_is_a_number() {
        assert_eq!(json(vec![0.5_f32, f32::NAN]), "[0.5,null]");
        assert_eq!(json(vec![0.1_f64]), "[0.1]");
    }
}
