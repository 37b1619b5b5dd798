//! Names for classes.

use std::collections::BTreeMap;

use serde_json::Value;

/// The longest single label, in characters.
const LONGEST: usize = 4096;
/// The largest class id that a list with ids may have.
const MOST_CLASSES: usize = 1_000_000;

/// The name of each class, by class id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    /// `WordNet`'s identifier of each class; empty if the source has none.
    synsets: Vec<String>,
}

/// The reason why a label file was rejected.
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
    /// The file begins like JSON, but is not valid JSON.
    #[error("the label file begins like JSON, but is not well-formed: {0}")]
    Json(String),
    /// The JSON is neither a list of names nor a map from class ids to names.
    #[error("the JSON is neither a list of names nor a map from class ids to names")]
    JsonShape,
    /// Two names for one class, a class left out, or an id that is too large.
    #[error("class ids must be 0, 1, 2, … without gaps, but {0}")]
    Ids(String),
}

impl LabelsError {
    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        "give a text file with one label a line (`name`, `id name` or `n01440764 name`), or a JSON \
         list or map of names"
    }
}

impl Labels {
    /// The largest label file that is read, in bytes.
    pub const MOST_BYTES: u64 = 16 << 20;

    /// Labels from their names in the order of the class ids.
    pub fn from_names(names: Vec<String>) -> Self {
        Self {
            names,
            synsets: Vec::new(),
        }
    }

    /// Adds `WordNet`'s identifier of each class, such as `n01440764`. They are ignored unless there is one for each.
    #[must_use]
    pub fn with_synsets(mut self, synsets: Vec<String>) -> Self {
        if synsets.len() == self.names.len() {
            self.synsets = synsets;
        }
        self
    }

    fn from_synsets<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter();
        let (synsets, names) = pairs
            .map(|(synset, name)| (synset.to_owned(), name.to_owned()))
            .unzip();
        Self { names, synsets }
    }

    /// Reads a file of labels in any of the common forms:
    ///
    /// - one label a line, in the order of the class ids;
    /// - `id name` in every line, in any order;
    /// - a synset file, `n01440764 tench, Tinca tinca` in every line;
    /// - a JSON list of names, or a JSON map from class ids to names (or to pairs of a synset and a
    ///   name, as Keras has it), or Hugging Face's `config.json` with such a map as `id2label`.
    ///
    /// A byte-order mark and blank lines at the end are ignored; bytes that are not UTF-8 are
    /// replaced.
    ///
    /// # Errors
    ///
    /// [`LabelsError`] if the bytes cannot be a list of labels.
    pub fn parse(bytes: &[u8]) -> Result<Self, LabelsError> {
        if bytes.len() as u64 > Self::MOST_BYTES {
            return Err(LabelsError::TooLarge(bytes.len()));
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end();
        if text.is_empty() {
            return Err(LabelsError::Empty);
        }
        if text.trim_start().starts_with(['[', '{']) {
            let value: Value =
                serde_json::from_str(text).map_err(|error| LabelsError::Json(error.to_string()))?;
            return Self::from_json(&value);
        }
        let mut lines = Vec::new();
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
            lines.push(line.trim());
        }
        if let Some(pairs) = all(&lines, numbered) {
            let pairs = pairs.into_iter().map(|(id, name)| (id, name.to_owned()));
            return Ok(Self::from_names(in_order(pairs)?));
        }
        Ok(match all(&lines, with_synset) {
            Some(pairs) => Self::from_synsets(pairs),
            None => Self::from_names(lines.into_iter().map(str::to_owned).collect()),
        })
    }

    /// Labels from a JSON list of names, or from a map of class ids to names.
    ///
    /// # Errors
    ///
    /// [`LabelsError::JsonShape`] and [`LabelsError::Ids`].
    pub fn from_json(value: &Value) -> Result<Self, LabelsError> {
        // The synset, if there is one, and the name.
        let name = |value: &Value| match value {
            Value::String(name) => Some((None, name.clone())),
            // Keras: ["n01440764", "tench"].
            Value::Array(pair) => match &pair[..] {
                [Value::String(synset), Value::String(name)] => {
                    let synset = is_synset(synset).then(|| synset.clone());
                    Some((synset, name.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let labels = match value {
            Value::Array(names) => {
                let names: Option<Vec<_>> = names.iter().map(name).collect();
                Self::from_entries(names.ok_or(LabelsError::JsonShape)?)
            }
            // Hugging Face's config.json.
            Value::Object(map) if map.contains_key("id2label") => {
                return Self::from_json(&map["id2label"]);
            }
            Value::Object(map) => {
                let pairs: Option<Vec<(usize, _)>> = map
                    .iter()
                    .map(|(id, value)| Some((id.trim().parse().ok()?, name(value)?)))
                    .collect();
                Self::from_entries(in_order(pairs.ok_or(LabelsError::JsonShape)?)?)
            }
            _ => return Err(LabelsError::JsonShape),
        };
        if labels.is_empty() {
            return Err(LabelsError::Empty);
        }
        Ok(labels)
    }

    /// Labels from names with their synsets, which are kept if each has one.
    fn from_entries(entries: Vec<(Option<String>, String)>) -> Self {
        let (synsets, names): (Vec<_>, _) = entries.into_iter().unzip();
        let synsets: Option<Vec<String>> = synsets.into_iter().collect();
        Self::from_names(names).with_synsets(synsets.unwrap_or_default())
    }

    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the name of class `class_id`.
    pub fn get(&self, class_id: usize) -> Option<&str> {
        self.names.get(class_id).map(String::as_str)
    }

    /// Returns the names in the order of the class ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns `WordNet`'s identifier of each class, in the order of the class ids; empty if the source has none.
    pub fn synsets(&self) -> &[String] {
        &self.synsets
    }

    /// Returns the labels of a model with `classes` classes, or `None` if these cannot be them.
    ///
    /// For 1000 labels of a model with 1001 classes, class 0 is called `background` and the labels
    /// begin at 1: `ImageNet` as TensorFlow's models have it. Elsewhere one label less than classes is
    /// as likely a list that lacks a line, and shifting it would name every class wrongly.
    #[must_use]
    pub fn fitted(mut self, classes: usize) -> Option<Self> {
        if (self.len(), classes) == (1000, 1001) {
            self.names.insert(0, "background".to_owned());
            if !self.synsets.is_empty() {
                self.synsets.insert(0, String::new());
            }
        }
        (self.len() == classes).then_some(self)
    }
}

/// Returns values in the order of their class ids.
fn in_order<T>(pairs: impl IntoIterator<Item = (usize, T)>) -> Result<Vec<T>, LabelsError> {
    let mut values = BTreeMap::new();
    for (id, value) in pairs {
        if id >= MOST_CLASSES {
            return Err(LabelsError::Ids(format!("{id} exists")));
        }
        if values.insert(id, value).is_some() {
            return Err(LabelsError::Ids(format!("{id} appears twice")));
        }
    }
    if let Some((expected, _)) = values.keys().enumerate().find(|(n, id)| n != *id) {
        return Err(LabelsError::Ids(format!("{expected} is missing")));
    }
    Ok(values.into_values().collect())
}

/// Reads every line with `read`; `None` if it cannot read all of them.
fn all<'a, T>(lines: &[&'a str], read: impl Fn(&'a str) -> Option<T>) -> Option<Vec<T>> {
    lines.iter().map(|line| read(line)).collect()
}

/// Splits a line such as `281 tabby cat`, `281: tabby cat` or `281,tabby cat`.
fn numbered(line: &str) -> Option<(usize, &str)> {
    let digits = line.find(|character: char| !character.is_ascii_digit())?;
    let (id, rest) = line.split_at(digits);
    let name = rest.strip_prefix([':', ',']).unwrap_or(rest);
    let separated = name.len() < rest.len() || rest.starts_with([' ', '\t']);
    let name = name.trim();
    (separated && !name.is_empty()).then_some((id.parse().ok()?, name))
}

/// Splits a line such as `n01440764 tench, Tinca tinca`.
fn with_synset(line: &str) -> Option<(&str, &str)> {
    let (synset, name) = line.split_once([' ', '\t'])?;
    is_synset(synset).then(|| (synset, name.trim()))
}

/// Returns whether the text has the form of `WordNet`'s identifiers: `n` and eight digits.
fn is_synset(text: &str) -> bool {
    let digits = text.strip_prefix('n');
    digits
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Labels::parse(text.as_bytes()).unwrap().names
    }

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
    fn the_common_forms() {
        for text in [
            "tench, fish\ngoldfish",
            "0 tench, fish\n1 goldfish",
            "1: goldfish\n0: tench, fish",
            "0,tench, fish\n1,goldfish",
            "n01440764 tench, fish\nn01443537\tgoldfish",
            r#"["tench, fish", "goldfish"]"#,
            r#"{"1": "goldfish", "0": "tench, fish"}"#,
            r#"{"0": ["n01440764", "tench, fish"], "1": ["n01443537", "goldfish"]}"#,
            r#"{"model_type": "vit", "id2label": {"0": "tench, fish", "1": "goldfish"}}"#,
        ] {
            assert_eq!(names(text), ["tench, fish", "goldfish"], "{text}");
        }
        // Only some lines begin with a number, so it belongs to the names.
        assert_eq!(names("7 up\ncola"), ["7 up", "cola"]);
        assert_eq!(names("0\n1\n2"), ["0", "1", "2"]);
    }

    #[test]
    fn what_is_not_a_list_of_labels_is_rejected() {
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
        assert!(matches!(Labels::parse(b"[1"), Err(LabelsError::Json(_))));
        assert_eq!(Labels::parse(b"[1]"), Err(LabelsError::JsonShape));
        assert_eq!(Labels::parse(b"[]"), Err(LabelsError::Empty));
        assert_eq!(Labels::parse(br#"{"a": "b"}"#), Err(LabelsError::JsonShape));
        for (text, said) in [
            ("0 a\n2 b", "1 is missing"),
            ("0 a\n0 b", "0 appears twice"),
            ("0 a\n99999999 b", "99999999"),
        ] {
            let error = Labels::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_background_class_comes_first() {
        let labels = Labels::from_names(vec!["a".into(), "b".into()]);
        assert_eq!(labels.clone().fitted(2), Some(labels.clone()));
        assert_eq!(labels.clone().fitted(3), None);
        assert_eq!(labels.fitted(1), None);
        let imagenet = Labels::from_names((0..1000).map(|n| n.to_string()).collect());
        let fitted = imagenet.clone().fitted(1001).unwrap();
        assert_eq!(
            (fitted.get(0), fitted.get(1)),
            (Some("background"), Some("0"))
        );
        assert_eq!(imagenet.fitted(1002), None);
    }

    #[test]
    fn synsets_are_kept() {
        let lines = Labels::parse(b"n01440764 tench\nn01443537 goldfish\n").unwrap();
        assert_eq!(lines.synsets(), ["n01440764", "n01443537"]);
        let keras = br#"{"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}"#;
        assert_eq!(Labels::parse(keras).unwrap(), lines);
        let mixed = Labels::parse(br#"["tench", ["n01443537", "goldfish"]]"#).unwrap();
        assert_eq!(mixed.names(), lines.names());
        assert!(mixed.synsets().is_empty());
    }
}
