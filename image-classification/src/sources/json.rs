//! Helpers of the readers of JSON files.

use serde_json::{Map, Value};

use super::{SourceError, unsupported};
use crate::{Labels, WithOrigin};

/// A JSON object with the name of its file, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    pub file: &'a str,
    pub object: &'a Map<String, Value>,
}

/// Returns the bytes as a JSON object, also behind a byte order mark. `serde_json` limits the depth.
pub(super) fn object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>, SourceError> {
    serde_json::from_slice(text(bytes)).map_err(|source| SourceError::Malformed {
        file: file.to_owned(),
        expected: "a JSON object",
        source: source.into(),
    })
}

/// Returns the bytes behind a byte order mark, which editors of Windows write.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Returns whether bytes that are not JSON begin as an object does, or as text in UTF-16.
pub(super) fn is_meant_to_be(bytes: &[u8]) -> bool {
    let utf_16 = [b"\xff\xfe".as_slice(), b"\xfe\xff"];
    text(bytes).trim_ascii_start().starts_with(b"{")
        || utf_16.iter().any(|mark| bytes.starts_with(mark))
}

impl<'a> Keys<'a> {
    /// Returns the value of `key`; `null` is as good as absent.
    pub fn get(self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub fn error(self, key: &str, expected: &str) -> SourceError {
        match self.object.get(key) {
            Some(value) => unsupported(self.file, key, value, expected),
            None => SourceError::Missing {
                file: self.file.to_owned(),
                key: key.to_owned(),
                expected: expected.to_owned(),
            },
        }
    }

    pub fn bool(self, key: &str) -> Result<Option<bool>, SourceError> {
        self.get(key)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| self.error(key, "true or false"))
            })
            .transpose()
    }

    pub fn number(self, key: &str) -> Result<Option<f64>, SourceError> {
        self.get(key)
            .map(|value| {
                value
                    .as_f64()
                    .filter(|number| number.is_finite())
                    .ok_or_else(|| self.error(key, "a number"))
            })
            .transpose()
    }

    pub fn text(self, key: &str) -> Result<Option<&'a str>, SourceError> {
        self.get(key)
            .map(|value| value.as_str().ok_or_else(|| self.error(key, "a text")))
            .transpose()
    }

    /// Returns a number for each channel, or one for all of them.
    pub fn three(self, key: &str) -> Result<Option<[f64; 3]>, SourceError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = |value: &Value| value.as_f64().filter(|number| number.is_finite());
        let numbers = match value {
            Value::Array(values) => values.iter().map(number).collect::<Option<Vec<f64>>>(),
            value => number(value).map(|number| vec![number]),
        };
        match numbers.as_deref() {
            Some(&[all]) => Ok(Some([all; 3])),
            Some(&[a, b, c]) => Ok(Some([a, b, c])),
            _ => Err(self.error(key, "three numbers")),
        }
    }
}

/// Returns a side in pixels.
pub(super) fn side(value: &Value) -> Option<u32> {
    value
        .as_u64()
        .and_then(|side| u32::try_from(side).ok())
        .filter(|side| (1..=16_384).contains(side))
}

/// Reads `{"0": "cat", "1": "dog"}`: every id from 0 on, each once.
pub(super) fn labels_by_id(
    keys: Keys<'_>,
    key: &str,
) -> Result<Option<WithOrigin<Labels>>, SourceError> {
    let Some(value) = keys.get(key) else {
        return Ok(None);
    };
    let labels = Labels::from_json(value).map_err(|error| {
        unsupported(keys.file, key, "…", format!("names by class id ({error})"))
    })?;
    Ok(Some(WithOrigin::new(
        labels,
        format!("{}: {key}", keys.file),
    )))
}
