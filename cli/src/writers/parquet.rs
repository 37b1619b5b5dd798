//! Parquet, schema version 1: `docs/output.md`. One row for each image, with its best classes as a list.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

use super::{Classified, ResultContext};
use crate::destination::Output;
use crate::errors;

/// The schema of the rows. Their columns have the names of the JSON.
pub const SCHEMA: &str = "
message classify {
  REQUIRED BYTE_ARRAY path (STRING);
  REQUIRED BYTE_ARRAY backend (STRING);
  REQUIRED BYTE_ARRAY engine_version (STRING);
  REQUIRED BYTE_ARRAY device (STRING);
  REQUIRED BYTE_ARRAY requested_device (STRING);
  REQUIRED BYTE_ARRAY precision (STRING);
  REQUIRED BYTE_ARRAY requested_precision (STRING);
  REQUIRED BYTE_ARRAY model (STRING);
  OPTIONAL BYTE_ARRAY scores (STRING);
  OPTIONAL BYTE_ARRAY scoring (STRING);
  OPTIONAL group top (LIST) {
    REPEATED group list {
      REQUIRED group element {
        REQUIRED INT64 class_id;
        OPTIONAL BYTE_ARRAY label (STRING);
        OPTIONAL FLOAT score;
      }
    }
  }
  OPTIONAL DOUBLE prepare_ms;
  OPTIONAL DOUBLE infer_ms;
  OPTIONAL BYTE_ARRAY error_code (STRING);
  OPTIONAL BYTE_ARRAY error_message (STRING);
  OPTIONAL BYTE_ARRAY error_hint (STRING);
}";

/// The most images and classes that are held before they are written.
const MOST_IMAGES: usize = 1 << 14;
const MOST_CLASSES: usize = 1 << 20;

/// The levels of a class in the list: present, and present with an optional value.
const CLASS: i16 = 2;
const CLASS_VALUE: i16 = 3;
/// The level of an empty list.
const EMPTY: i16 = 1;

/// Writes one row for each image.
pub struct Parquet {
    file: SerializedFileWriter<Output>,
    rows: Rows,
}

impl std::fmt::Debug for Parquet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parquet")
    }
}

/// A column: its values, and for optional ones the levels that say which of them are there.
#[derive(Debug, Default)]
struct Column<T> {
    values: Vec<T>,
    definition: Vec<i16>,
}

impl<T> Column<T> {
    /// Adds an optional value.
    fn push(&mut self, value: Option<T>) {
        self.definition.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.definition.clear();
    }
}

/// The rows that are not written yet, by columns.
#[derive(Debug, Default)]
struct Rows {
    /// The columns that every row has.
    required: [Vec<ByteArray>; 8],
    scores: Column<ByteArray>,
    scoring: Column<ByteArray>,
    class_ids: Column<i64>,
    labels: Column<ByteArray>,
    class_scores: Column<f32>,
    /// For each class, and each row without one: 0 for the first of a row, 1 for the others.
    repetition: Vec<i16>,
    prepare_ms: Column<f64>,
    infer_ms: Column<f64>,
    errors: [Column<ByteArray>; 3],
}

impl Parquet {
    pub(super) fn new(output: Output) -> anyhow::Result<Self> {
        Ok(Self {
            file: start(output)?,
            rows: Rows::default(),
        })
    }

    pub(super) fn result(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        self.rows.add(context, path, result)?;
        if self.rows.required[0].len() >= MOST_IMAGES || self.rows.repetition.len() >= MOST_CLASSES
        {
            self.write()?;
        }
        Ok(())
    }

    /// Writes the rows that are held.
    fn write(&mut self) -> anyhow::Result<()> {
        if !self.rows.required[0].is_empty() {
            let mut group = self.file.next_row_group()?;
            self.rows.write(&mut group)?;
            group.close()?;
            self.rows.clear();
        }
        Ok(())
    }

    pub(super) fn into_output(mut self) -> anyhow::Result<Output> {
        self.write()?;
        self.file.into_inner().context("cannot write the results")
    }
}

/// Starts a file of rows.
pub fn start(output: Output) -> anyhow::Result<SerializedFileWriter<Output>> {
    Ok(SerializedFileWriter::new(output, schema()?, properties())?)
}

/// Returns the columns of every file.
pub fn schema() -> anyhow::Result<Arc<Type>> {
    Ok(Arc::new(parse_message_type(SCHEMA)?))
}

/// Returns the properties of every file.
pub fn properties() -> Arc<WriterProperties> {
    // Values that repeat are written once, and other compressors would have to be compiled.
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by(format!("classify {}", env!("CARGO_PKG_VERSION")));
    Arc::new(properties.build())
}

fn text(text: &str) -> ByteArray {
    text.as_bytes().to_vec().into()
}

impl Rows {
    fn add(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        let info = context.info;
        let device = context.device;
        let requested_precision = info.requested_precision.to_string();
        let (path, model) = (path.to_string_lossy(), context.model.to_string_lossy());
        let required = [
            &*path,
            &info.backend,
            &info.engine_version,
            device,
            &info.requested_device,
            &info.precision,
            &requested_precision,
            &model,
        ];
        for (column, value) in self.required.iter_mut().zip(required) {
            column.push(text(value));
        }
        let classified = result.ok();
        let scoring = context.reading.interpretation.scoring;
        let scoring = serde_json::to_value(scoring)?;
        let scoring = scoring.as_str().unwrap_or_default();
        self.scores.push(classified.and(context.scores()).map(text));
        self.scoring.push(classified.map(|_| text(scoring)));
        self.prepare_ms.push(classified.map(|it| it.prepare_ms));
        self.infer_ms.push(classified.map(|it| it.infer_ms));
        self.add_classes(context, classified);
        let error = result.err();
        let [code, message, hint] = &mut self.errors;
        code.push(error.map(|error| text(errors::code(error))));
        message.push(error.map(|error| text(&errors::chain(error))));
        hint.push(error.and_then(|error| Some(text(&errors::hint(error)?))));
        Ok(())
    }

    fn add_classes(&mut self, context: &ResultContext<'_>, classified: Option<&Classified>) {
        let classes = classified.map(|classified| &*classified.top);
        if classes.is_none_or(<[_]>::is_empty) {
            let level = if classes.is_some() { EMPTY } else { 0 };
            self.repetition.push(0);
            self.class_ids.definition.push(level);
            self.labels.definition.push(level);
            self.class_scores.definition.push(level);
        }
        let level = |has_value: bool| if has_value { CLASS_VALUE } else { CLASS };
        for (place, ranked) in classes.into_iter().flatten().enumerate() {
            self.repetition.push(i16::from(place > 0));
            self.class_ids.definition.push(CLASS);
            self.class_ids.values.push(ranked.class_id as i64);
            let label = context.label(ranked.class_id);
            self.labels.definition.push(level(label.is_some()));
            self.labels.values.extend(label.map(text));
            let score = context.scores().map(|_| ranked.score);
            self.class_scores.definition.push(level(score.is_some()));
            self.class_scores.values.extend(score);
        }
    }

    /// Writes the columns in the order of the schema.
    fn write(&self, group: &mut SerializedRowGroupWriter<'_, Output>) -> anyhow::Result<()> {
        for values in &self.required {
            write_column::<ByteArrayType>(group, values, None, None)?;
        }
        let optional = |group: &mut _, column: &Column<ByteArray>| {
            write_column::<ByteArrayType>(group, &column.values, Some(&column.definition), None)
        };
        optional(group, &self.scores)?;
        optional(group, &self.scoring)?;
        let repetition = Some(&*self.repetition);
        let (ids, labels, scores) = (&self.class_ids, &self.labels, &self.class_scores);
        write_column::<Int64Type>(group, &ids.values, Some(&ids.definition), repetition)?;
        write_column::<ByteArrayType>(group, &labels.values, Some(&labels.definition), repetition)?;
        write_column::<FloatType>(group, &scores.values, Some(&scores.definition), repetition)?;
        for times in [&self.prepare_ms, &self.infer_ms] {
            write_column::<DoubleType>(group, &times.values, Some(&times.definition), None)?;
        }
        self.errors
            .iter()
            .try_for_each(|column| optional(group, column))
    }

    fn clear(&mut self) {
        self.required.iter_mut().for_each(Vec::clear);
        for column in [&mut self.scores, &mut self.scoring, &mut self.labels] {
            column.clear();
        }
        self.errors.iter_mut().for_each(Column::clear);
        self.class_ids.clear();
        self.class_scores.clear();
        self.prepare_ms.clear();
        self.infer_ms.clear();
        self.repetition.clear();
    }
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Output>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> anyhow::Result<()> {
    let mut column = group
        .next_column()?
        .context("the schema has fewer columns")?;
    column
        .typed::<T>()
        .write_batch(values, definition, repetition)?;
    Ok(column.close()?)
}
