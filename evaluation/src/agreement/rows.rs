//! The differences of all images: in memory while they are few, in a temporary file from then on.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use tempfile::SpooledTempFile;

use super::row::Row;

/// The bytes that are kept in memory for each pair of runs.
const MOST_IN_MEMORY: usize = 1 << 20;

/// The temporary file of the differences cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The differences cannot be written.
    #[error("cannot keep the differences in a temporary file in {}", .directory.display())]
    Write {
        /// The directory of the temporary file.
        directory: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The differences cannot be read back.
    #[error("cannot read the differences back")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Rows in the order in which they were added.
pub struct Rows {
    file: RefCell<BufWriter<SpooledTempFile>>,
    count: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            file: RefCell::new(BufWriter::new(SpooledTempFile::new(MOST_IN_MEMORY))),
            count: 0,
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.count)
    }
}

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// If the directory for temporary files has no space left.
    pub fn push(&mut self, row: &Row) -> Result<(), RowsError> {
        postcard::to_io(row, self.file.get_mut()).map_err(|error| RowsError::Write {
            directory: std::env::temp_dir(),
            source: error.into(),
        })?;
        self.count += 1;
        Ok(())
    }

    /// Reads all rows, from the first. Any number of readers may be at work.
    pub fn iter(&self) -> impl Iterator<Item = Result<Row, RowsError>> {
        let mut reader = BufReader::new(Reader {
            rows: self,
            offset: 0,
        });
        (0..self.count).map(move |_| {
            // Numbers with a fraction pass through it.
            let mut scratch = [0; size_of::<Row>()];
            let read = postcard::from_io::<Row, _>((&mut reader, &mut scratch));
            let (row, _) = read.map_err(|error| RowsError::Read(error.into()))?;
            Ok(row)
        })
    }
}

/// Reads at a separate position and keeps the position for writing.
struct Reader<'a> {
    rows: &'a Rows,
    offset: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut writer = self.rows.file.borrow_mut();
        writer.flush()?;
        let file = writer.get_mut();
        file.seek(SeekFrom::Start(self.offset))?;
        let count = file.read(buffer)?;
        file.seek(SeekFrom::End(0))?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Difference;

    #[test]
    fn rows_are_read_as_they_were_written_beyond_memory_too() {
        let row = |image: usize| Row {
            image,
            difference: Difference::NotFinite {
                reference: usize::MAX - image,
                run: usize::MAX,
            },
            best: None,
        };
        let mut rows = Rows::default();
        let count = MOST_IN_MEMORY / 16;
        for image in 0..count {
            rows.push(&row(image)).unwrap();
            // Reading between two rows does not disturb the next one.
            if image == 3 || image == count / 2 {
                assert_eq!(rows.iter().count(), image + 1);
            }
        }
        assert!(rows.file.get_mut().get_ref().is_rolled());
        let (mut one, mut other) = (rows.iter(), rows.iter());
        for image in 0..count {
            for read in [&mut one, &mut other] {
                let read = read.next().unwrap().unwrap();
                assert_eq!(read.image, image);
                assert_eq!(read.difference, row(image).difference);
            }
        }
        assert!(one.next().is_none());
    }
}
