//! Rows as Parquet: the columns of the CSV, with their types. A value that is missing is null.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::sync::Arc;

use anyhow::Context as _;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::cell::{Cell, Column, Kind};
use crate::writers::parquet::properties;

/// The most rows that are held before they are written.
const MOST_ROWS: usize = 1 << 14;
/// Bytes that hold the schema of a report.
const SCHEMA_BYTES: u64 = 4096;

/// A file of rows.
pub struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

impl<W: Write + Send> Table<W> {
    /// Starts a file.
    pub fn start(columns: &'static [Column], out: W) -> anyhow::Result<Self> {
        let fields = columns.iter().map(|(name, kind)| match kind {
            Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (STRING);"),
            Kind::Flag => format!("OPTIONAL BOOLEAN {name};"),
            Kind::Integer => format!("OPTIONAL INT64 {name};"),
            Kind::Number => format!("OPTIONAL DOUBLE {name};"),
        });
        let fields: Vec<String> = fields.collect();
        let schema = parse_message_type(&format!("message rows {{ {} }}", fields.join(" ")))?;
        Ok(Self {
            file: SerializedFileWriter::new(out, Arc::new(schema), properties())?,
            columns,
            rows: Vec::new(),
        })
    }

    /// Adds a row.
    pub fn write(&mut self, cells: Vec<Cell>) -> anyhow::Result<()> {
        self.rows.push(cells);
        if self.rows.len() >= MOST_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the rows that are held.
    fn flush(&mut self) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for (place, (_, kind)) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().map(|row| &row[place]);
            match kind {
                Kind::Text => write_column::<ByteArrayType, _>(&mut group, cells, text)?,
                Kind::Flag => write_column::<BoolType, _>(&mut group, cells, flag)?,
                Kind::Integer => write_column::<Int64Type, _>(&mut group, cells, integer)?,
                Kind::Number => write_column::<DoubleType, _>(&mut group, cells, number)?,
            }
        }
        group.close()?;
        self.rows.clear();
        Ok(())
    }

    /// Returns the complete output.
    pub fn into_output(mut self) -> anyhow::Result<W> {
        self.flush()?;
        self.file.into_inner().context("cannot write the rows")
    }
}

/// Returns whether a file is Parquet with the columns of one of these lists.
pub fn is_parquet(file: &File, lists: &[Vec<&str>]) -> io::Result<bool> {
    let schema = schema_of_parquet(file)?;
    Ok(lists.iter().any(|names| has_in_order(&schema, names)))
}

/// Returns the beginning of the metadata of a Parquet file, which is its schema; nothing of another file.
fn schema_of_parquet(mut file: &File) -> io::Result<Vec<u8>> {
    /// The length of the metadata, and a mark.
    const END: usize = 8;
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = [0; END];
    if length < END as u64 {
        return Ok(Vec::new());
    }
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut end)?;
    let (bytes, mark) = end.split_at(END / 2);
    let bytes = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
    let start = length.checked_sub(END as u64 + u64::from(bytes));
    let mut schema = Vec::new();
    if let Some(start) = start.filter(|_| mark == b"PAR1") {
        file.seek(SeekFrom::Start(start))?;
        file.take(SCHEMA_BYTES).read_to_end(&mut schema)?;
    }
    Ok(schema)
}

/// Returns whether `bytes` has these texts, in this order.
fn has_in_order(mut bytes: &[u8], texts: &[&str]) -> bool {
    texts.iter().all(|text| {
        let place = bytes
            .windows(text.len())
            .position(|part| part == text.as_bytes());
        place.is_some_and(|place| {
            bytes = &bytes[place + text.len()..];
            true
        })
    })
}

fn text(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Text(text) => Some(text.as_bytes().to_vec().into()),
        _ => None,
    }
}

fn flag(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Flag(flag) => Some(*flag),
        _ => None,
    }
}

fn integer(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Integer(integer) => i64::try_from(*integer).ok(),
        _ => None,
    }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Single(number) => Some((*number).into()),
        Cell::Number(number) => Some(*number),
        _ => None,
    }
}

fn write_column<'a, T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> anyhow::Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        let value = value(cell);
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    let mut column = group
        .next_column()?
        .context("the schema has fewer columns")?;
    column
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)?;
    Ok(column.close()?)
}
