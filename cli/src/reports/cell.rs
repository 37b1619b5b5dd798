//! The values of the rows of CSV and Parquet.

use std::fmt;

/// The name of a column, and the kind of its values.
pub type Column = (&'static str, Kind);

/// The kind of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code))]
pub enum Kind {
    Text,
    Flag,
    Integer,
    Number,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    Flag(bool),
    Integer(usize),
    Single(f32),
    Number(f64),
}

impl Cell {
    /// Returns the cell of a value, or the empty one.
    pub fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Empty, cell)
    }

    /// Returns a cell of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => flag.fmt(f),
            Self::Integer(integer) => integer.fmt(f),
            Self::Single(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}
