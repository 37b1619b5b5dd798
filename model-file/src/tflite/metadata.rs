//! TensorFlow Lite Metadata: the table with the preprocessing of inputs and the names of label files.
//!
//! Numbers of fields are from `metadata_schema.fbs` in TensorFlow Lite Support.

use super::{Copies, Damaged, Table};

/// Real models have a file of labels for each of a few languages. Each is decompressed until one has labels.
const MOST_LABEL_FILES: usize = 64;

/// The metadata of the first input and the first output.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// The mean that is subtracted from pixels of 0–255, one for all channels or one for each.
    pub mean: Vec<f32>,
    /// The divisor of the difference.
    pub std: Vec<f32>,
    /// The names of files of labels in the archive that is appended to the model, without a locale first.
    pub labels: Vec<String>,
}

impl Metadata {
    /// Reads the metadata of the model in `bytes`; `None` if it has none or the file is damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes).ok().flatten()
    }

    fn parse(bytes: &[u8]) -> Result<Option<Self>, Damaged> {
        if bytes.get(4..8) != Some(b"TFL3") {
            return Ok(None);
        }
        let model = Table::at(bytes, 0)?;
        let mut number = None;
        for entry in model.tables(6)? {
            if entry.bytes(0)? == Some(b"TFLITE_METADATA".as_slice()) {
                number = Some(entry.int(1)?.unwrap_or_default());
            }
        }
        let Some(number) = number else {
            return Ok(None);
        };
        let buffers = model.tables(4)?;
        let number = usize::try_from(number).map_err(|_| Damaged)?;
        let Some(metadata) = buffers.get(number).ok_or(Damaged)?.bytes(0)? else {
            return Ok(None);
        };
        let Some(graph) = Table::at(metadata, 0)?.tables(3)?.into_iter().next() else {
            return Ok(None);
        };
        let (mut read, mut copies) = (Self::default(), Copies::of(metadata));
        if let Some(input) = graph.tables(2)?.into_iter().next() {
            for unit in input.tables(4)? {
                const NORMALIZATION: i8 = 1;
                if unit.byte(0)? == Some(NORMALIZATION)
                    && let Some(options) = unit.table(1)?
                {
                    let mut numbers = |field| -> Result<Vec<f32>, Damaged> {
                        let items = options.items(field)?;
                        copies.take(items)?;
                        Ok(items.iter().copied().map(f32::from_le_bytes).collect())
                    };
                    (read.mean, read.std) = (numbers(0)?, numbers(1)?);
                }
            }
        }
        if let Some(output) = graph.tables(3)?.into_iter().next() {
            let mut files = Vec::new();
            for file in output.tables(6)? {
                // Labels of the axis of classes, or of the values.
                if matches!(file.byte(2)?, Some(2 | 3))
                    && let Some(name) = file.bytes(0)?
                {
                    let name = copies.text(name)?;
                    files.push((
                        file.bytes(3)?.is_some_and(|locale| !locale.is_empty()),
                        name,
                    ));
                }
            }
            files.sort_by_key(|(has_locale, _)| *has_locale);
            files.truncate(MOST_LABEL_FILES);
            read.labels = files.into_iter().map(|(_, name)| name).collect();
        }
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zip;

    /// `lite.tflite` with what `tflite_support` 0.4.4's `MetadataWriter.create_for_inference` adds.
    const LITE: &[u8] = include_bytes!("../../../tests/data/lite-metadata.tflite");

    #[test]
    fn normalization_and_labels() {
        let metadata = Metadata::read(LITE).unwrap();
        assert_eq!(metadata.mean, [127.5, 100.0, 90.0]);
        assert_eq!(metadata.std, [128.0, 64.0, 32.0]);
        let [name] = &metadata.labels[..] else {
            panic!("{metadata:?}");
        };
        let labels = zip::entry(LITE, name).unwrap();
        assert!(labels.starts_with(b"class 0\nclass 1\n"));
        assert_eq!(zip::entry(LITE, "other"), None);
        assert_eq!(zip::first(LITE).unwrap(), (name.clone(), labels));
    }

    #[test]
    fn damage_never_panics() {
        for length in 0..LITE.len() {
            let _ = Metadata::read(&LITE[..length]);
            let _ = zip::entry(&LITE[..length], "names.txt");
        }
        let mut bytes = LITE.to_vec();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let old = std::mem::replace(&mut bytes[at], value);
                let _ = Metadata::read(&bytes);
                let _ = zip::entry(&bytes, "names.txt");
                bytes[at] = old;
            }
        }
    }
}
