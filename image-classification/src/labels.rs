//! Names for classes.

/// The longest single label, in characters.
const LONGEST: usize = 4096;

/// The name of each class, by class id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels(Vec<String>);

/// Why a label file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The file is larger than any list of labels.
    #[error("the label file has {0} bytes, more than {limit}", limit = Labels::MOST_BYTES)]
    TooLarge(usize),
    /// A line is longer than any label.
    #[error("line {line} has {length} characters, more than {LONGEST}")]
    LongLine {
        /// Counted from 1.
        line: usize,
        /// Its length.
        length: usize,
    },
    /// A line contains a NUL byte: this is not a text file.
    #[error("line {0} contains a NUL byte; this is not a text file")]
    Nul(usize),
    /// No line has a label.
    #[error("the label file is empty")]
    Empty,
}

impl Labels {
    /// The largest label file that is read, in bytes.
    pub const MOST_BYTES: u64 = 16 << 20;

    /// Labels from their names in the order of the class ids.
    pub fn from_names(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Reads one label a line. A byte-order mark and blank lines at the end are ignored; bytes that
    /// are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`LabelsError`] for what cannot be a list of labels.
    pub fn parse(bytes: &[u8]) -> Result<Self, LabelsError> {
        if bytes.len() as u64 > Self::MOST_BYTES {
            return Err(LabelsError::TooLarge(bytes.len()));
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end();
        if text.is_empty() {
            return Err(LabelsError::Empty);
        }
        let mut names = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.contains('\0') {
                return Err(LabelsError::Nul(index + 1));
            }
            let length = line.chars().count();
            if length > LONGEST {
                return Err(LabelsError::LongLine {
                    line: index + 1,
                    length,
                });
            }
            names.push(line.trim().to_owned());
        }
        Ok(Self(names))
    }

    /// How many classes have a label.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of class `class_id`.
    pub fn get(&self, class_id: usize) -> Option<&str> {
        self.0.get(class_id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_a_line() {
        let labels = Labels::parse("\u{feff}tench\r\n goldfish \n\nshark\n\n".as_bytes()).unwrap();
        assert_eq!(
            labels,
            Labels::from_names(
                ["tench", "goldfish", "", "shark"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
        assert_eq!(
            (labels.get(3), labels.get(4), labels.len()),
            (Some("shark"), None, 4)
        );
    }

    #[test]
    fn what_is_not_a_list_of_labels_is_refused() {
        assert_eq!(Labels::parse(b"\n \n"), Err(LabelsError::Empty));
        assert_eq!(Labels::parse(b"a\nb\0c"), Err(LabelsError::Nul(2)));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(
            Labels::parse(long.as_bytes()),
            Err(LabelsError::LongLine {
                line: 1,
                length: LONGEST + 1
            })
        );
        assert!(Labels::parse(&[b'a', b'\n', 0xff]).is_ok());
    }
}
