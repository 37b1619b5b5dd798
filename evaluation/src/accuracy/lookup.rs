//! The classes of one run.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use image_classification::Labels;

use super::error::GroundTruthError;
use super::imagenet;

/// Characters between several classes of an image.
pub(super) const SEPARATORS: [char; 2] = ['|', ';'];

/// The longest name that is compared with all labels to find the one that was meant: the time grows with the product
/// of the lengths.
const LONGEST_MEANT: usize = 256;

/// The meaning of numbers in ground truth, as far as the user states it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbers {
    /// It is not known. A number that is the id of one class and the label of another is an error.
    #[default]
    Unknown,
    /// Ids.
    Ids,
    /// Labels.
    Labels,
    /// The numbers are in a column `label`, which often has ids. They are labels if all of them are, and not all are ids.
    LabelColumn,
}

impl Numbers {
    /// Returns the meaning that the name of a column states.
    pub(super) fn of_column(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "label" | "labels" => Self::LabelColumn,
            name if name.ends_with("_id") || name.ends_with("_ids") => Self::Ids,
            name if name.ends_with("_label") || name.ends_with("_labels") => Self::Labels,
            _ => Self::Unknown,
        }
    }
}

/// The meaning of all numbers of one ground truth for one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Ids,
    Labels,
    /// Ids, but a number that is the label of another class is an error.
    CheckedIds,
    /// Ids or labels: a number that means two classes is an error.
    Either,
}

/// Finds the classes of one run by its own labels, or as places in its own output.
#[derive(Debug)]
pub struct ClassLookup {
    has_labels: bool,
    /// The classes with each name: whole labels as they are written, whole labels in any case, parts of
    /// labels.
    names: [HashMap<String, Vec<usize>>; 3],
    /// The class of each synset that the labels state.
    synsets: HashMap<String, usize>,
    /// The first class of `ImageNet`, if the labels are `ImageNet`'s.
    imagenet: Option<usize>,
    offset: i64,
    /// The classes with each number as their label, such as 7 for `07`.
    numbers: HashMap<i64, Vec<usize>>,
    reading: Reading,
    /// True if the classes are names of directories.
    are_directories: bool,
}

impl ClassLookup {
    /// `offset` is added to ids.
    pub fn new(labels: Option<&Labels>, offset: i64) -> Self {
        let mut names: [HashMap<String, Vec<usize>>; 3] = Default::default();
        let mut numbers: HashMap<i64, Vec<usize>> = HashMap::new();
        for class_id in 0..labels.map_or(0, Labels::len) {
            let label = labels.and_then(|labels| labels.get(class_id));
            let label = label.unwrap_or_default();
            let mut add = |kind: usize, name: String| {
                let classes = names[kind].entry(name).or_default();
                if classes.last() != Some(&class_id) {
                    classes.push(class_id);
                }
            };
            if let Ok(number) = label.trim().parse::<i64>() {
                numbers.entry(number).or_default().push(class_id);
            }
            add(0, label.trim().to_owned());
            add(1, key(label));
            // `tabby, tabby cat` is found by each part, too.
            for part in label.split(',') {
                add(2, key(part));
            }
        }
        let synsets = labels.map_or(&[][..], Labels::synsets).iter().cloned();
        Self {
            has_labels: labels.is_some(),
            names,
            synsets: synsets.zip(0..).collect(),
            imagenet: labels.and_then(imagenet::first_class),
            offset,
            numbers,
            reading: if offset == 0 {
                Reading::Either
            } else {
                Reading::Ids
            },
            are_directories: false,
        }
    }

    /// Sets the meaning of the numbers among `classes`, all of one ground truth, for a model with `count` classes.
    pub(super) fn of<'a>(
        mut self,
        numbers: Numbers,
        classes: impl Iterator<Item = &'a str>,
        are_directories: bool,
        count: Option<usize>,
    ) -> Self {
        self.are_directories = are_directories;
        self.reading = self.decide(numbers, classes, count);
        self
    }

    /// Sets the meaning of numbers.
    #[must_use]
    pub fn numbers(mut self, numbers: Numbers) -> Self {
        self.reading = self.decide(numbers, [].into_iter(), None);
        self
    }

    /// Decides once for all numbers: one ground truth has either ids or labels.
    fn decide<'a>(
        &self,
        numbers: Numbers,
        classes: impl Iterator<Item = &'a str>,
        count: Option<usize>,
    ) -> Reading {
        match numbers {
            Numbers::Ids => return Reading::Ids,
            Numbers::Labels => return Reading::Labels,
            // An offset is one of ids.
            Numbers::Unknown | Numbers::LabelColumn if self.offset != 0 => return Reading::Ids,
            // No number is a label.
            _ if self.numbers.is_empty() => return Reading::CheckedIds,
            Numbers::Unknown | Numbers::LabelColumn => {}
        }
        let (mut are_labels, mut are_ids, mut is_doubtful) = (true, true, false);
        let parts = classes
            .flat_map(|class| class.split(SEPARATORS))
            .map(str::trim);
        for (part, value) in parts.filter_map(|part| Some((part, part.parse::<i64>().ok()?))) {
            let labelled = self
                .numbered(part, value)
                .and_then(|it| it.first().copied());
            let id = self.shifted(value);
            let id = id.filter(|id| count.is_none_or(|count| *id < count));
            are_labels &= labelled.is_some();
            are_ids &= id.is_some();
            is_doubtful |= id.is_some() && labelled.is_some_and(|class| Some(class) != id);
        }
        match (are_labels, are_ids) {
            (true, false) if numbers == Numbers::LabelColumn || !is_doubtful => Reading::Labels,
            (true, _) => Reading::Either,
            (false, _) => Reading::CheckedIds,
        }
    }

    pub(super) const fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// Returns the class of an id of the ground truth. `None` if it is below 0.
    pub(super) fn shifted(&self, id: i64) -> Option<usize> {
        let id = id.checked_add(self.offset)?;
        usize::try_from(id).ok()
    }

    /// Returns the only class with a label.
    pub(super) fn label(&self, name: &str) -> Option<usize> {
        match self.named(name) {
            Some([id]) => Some(*id),
            _ => None,
        }
    }

    /// Returns the classes with a label: as it is written, in any case, as a part of a label.
    fn named(&self, name: &str) -> Option<&[usize]> {
        let (exact, any_case) = (name.trim().to_owned(), key(name));
        let mut found = [&exact, &any_case, &any_case].into_iter().zip(&self.names);
        let found = found.find_map(|(name, names)| names.get(name));
        found.map(Vec::as_slice)
    }

    /// Returns the class of a synset: as the labels state it, by its place among `ImageNet`'s where the labels are `ImageNet`'s or the number
    /// of classes is, otherwise by its name.
    pub(super) fn synset(
        &self,
        synset: &str,
        count: Option<usize>,
    ) -> Result<usize, GroundTruthError> {
        if let Some(class) = self.synsets.get(synset) {
            return Ok(*class);
        }
        let (id, name) =
            imagenet::class(synset).ok_or_else(|| GroundTruthError::UnknownSynset {
                synset: synset.to_owned(),
            })?;
        if let Some(first) = self.imagenet {
            return Ok(first + id);
        }
        if self.has_labels {
            return self
                .label(name)
                .ok_or_else(|| GroundTruthError::SynsetLabel {
                    synset: synset.to_owned(),
                    name: name.to_owned(),
                });
        }
        let expected = self.shifted(imagenet::CLASSES as i64);
        match count.filter(|count| Some(*count) != expected) {
            Some(classes) => Err(GroundTruthError::SynsetClasses {
                synset: synset.to_owned(),
                classes,
            }),
            None => self.shifted(id as i64).ok_or(GroundTruthError::OutOfRange {
                id: id as i64,
                offset: self.offset,
                count,
            }),
        }
    }

    /// Returns the first class of `written` that needs labels, if there are none.
    pub fn needs_labels<'a>(&self, written: &'a [Cow<'_, str>]) -> Option<&'a str> {
        let mut parts = written.iter().flat_map(|class| class.split(SEPARATORS));
        parts.find(|part| {
            let part = part.trim();
            let is_number = part.parse::<i64>().is_ok() || imagenet::is_synset(part);
            !self.has_labels && !part.is_empty() && !is_number
        })
    }

    /// Returns the classes that `written` names, ascending, for a model with `count` classes, if that is known.
    ///
    /// # Errors
    ///
    /// For a class that the model does not have.
    pub fn classes(
        &self,
        written: &[impl AsRef<str>],
        count: Option<usize>,
    ) -> Result<Vec<usize>, GroundTruthError> {
        let found = self.find(written, count);
        found.map_err(|error| self.with_nearest(error))
    }

    /// Does [`classes`](Self::classes) for a caller that may discard the error, which has no similar label: the search for
    /// it takes long.
    pub(crate) fn find(
        &self,
        written: &[impl AsRef<str>],
        count: Option<usize>,
    ) -> Result<Vec<usize>, GroundTruthError> {
        let mut classes = BTreeSet::new();
        for class in written.iter().map(AsRef::as_ref) {
            match self.class(class, count) {
                Ok(class) => {
                    classes.insert(class);
                }
                Err(
                    GroundTruthError::OutOfRange { .. } | GroundTruthError::UnknownClass { .. },
                ) if class.contains(SEPARATORS) => {
                    let parts = class.split(SEPARATORS).map(str::trim);
                    for part in parts.filter(|part| !part.is_empty()) {
                        classes.insert(self.class(part, count)?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(classes.into_iter().collect())
    }

    /// Returns the error of [`find`](Self::find) with the label that may have been meant.
    pub(crate) fn with_nearest(&self, mut error: GroundTruthError) -> GroundTruthError {
        if let GroundTruthError::UnknownClass { class, nearest, .. } = &mut error {
            *nearest = self.nearest(class);
        }
        error
    }

    /// Returns the label that is most like a class.
    fn nearest(&self, class: &str) -> Option<String> {
        let meant = key(class);
        if meant.len() > LONGEST_MEANT {
            return None;
        }
        let names = self.names[2].keys();
        let names = names.filter(|name| name.len() <= LONGEST_MEANT);
        let nearest = names
            .map(|name| (strsim::jaro_winkler(name, &meant), name))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .filter(|(likeness, _)| *likeness > 0.85);
        nearest.map(|(_, name)| name.clone())
    }

    /// Returns the classes with a number as their label.
    fn numbered(&self, number: &str, value: i64) -> Option<&[usize]> {
        let classes = self.names[0].get(number);
        classes
            .or_else(|| self.numbers.get(&value))
            .map(Vec::as_slice)
    }

    /// Returns the class of a number. `None` if the number is no id, and has to be found as a label.
    fn number(
        &self,
        number: &str,
        value: i64,
        count: Option<usize>,
    ) -> Option<Result<usize, GroundTruthError>> {
        let labelled = self.numbered(number, value);
        let id = self.shifted(value);
        let id = id.filter(|id| count.is_none_or(|count| *id < count));
        let is_checked = matches!(self.reading, Reading::CheckedIds | Reading::Either);
        match (labelled, id) {
            (Some([first, ..]), Some(id)) if is_checked && *first != id => {
                return Some(Err(GroundTruthError::NumberOrLabel {
                    number: number.to_owned(),
                    id,
                    label_id: *first,
                    is_directory: self.are_directories,
                }));
            }
            (Some(_), None) if self.reading == Reading::Either => {}
            _ if self.reading == Reading::Labels => {}
            _ => {
                return Some(id.ok_or(GroundTruthError::OutOfRange {
                    id: value,
                    offset: self.offset,
                    count,
                }));
            }
        }
        Some(match labelled? {
            [only] => Ok(*only),
            several => Err(GroundTruthError::Ambiguous {
                class: number.to_owned(),
                ids: several.to_vec(),
            }),
        })
    }

    /// Returns whether a class as it is written is an id, for a model with `count` classes.
    pub fn is_id(&self, class: &str, count: Option<usize>) -> bool {
        let class = class.trim();
        let Ok(value) = class.parse::<i64>() else {
            return false;
        };
        let id = self.shifted(value);
        let is_class = id.is_some_and(|id| count.is_none_or(|count| id < count));
        match self.reading {
            Reading::Labels => false,
            Reading::Either => is_class || self.numbered(class, value).is_none(),
            Reading::Ids | Reading::CheckedIds => true,
        }
    }

    fn class(&self, class: &str, count: Option<usize>) -> Result<usize, GroundTruthError> {
        if let Ok(value) = class.trim().parse::<i64>()
            && let Some(found) = self.number(class.trim(), value, count)
        {
            return found;
        }
        match self.named(class) {
            Some([id]) => return Ok(*id),
            Some(several) => {
                return Err(GroundTruthError::Ambiguous {
                    class: class.to_owned(),
                    ids: several.to_vec(),
                });
            }
            None if imagenet::is_synset(class) => return self.synset(class.trim(), count),
            None => {}
        }
        Err(GroundTruthError::UnknownClass {
            class: class.to_owned(),
            has_labels: self.has_labels,
            nearest: None,
            is_directory: self.are_directories,
        })
    }
}

/// Names are the same in any case, and with `_` for blanks.
pub(super) fn key(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the classes of the numbers of a file.
    fn classes(
        labels: &[&str],
        offset: i64,
        meaning: Numbers,
        written: &[&str],
    ) -> Vec<Result<usize, String>> {
        let count = labels.len();
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut lookup = ClassLookup::new(Some(&Labels::from_names(labels)), offset);
        lookup.reading = lookup.decide(meaning, written.iter().copied(), Some(count));
        let find = |class: &&str| {
            let found = lookup.classes(&[class], Some(count));
            found.map(|ids| ids[0]).map_err(|error| error.to_string())
        };
        written.iter().map(find).collect()
    }

    fn doubt(number: &str, label_id: usize) -> Result<usize, String> {
        Err(format!(
            "the ground truth says \"{number}\", which is the id of class {number}, but the label of class {label_id}"
        ))
    }

    const FROM_1: [&str; 4] = ["1", "2", "3", "4"];

    #[test]
    fn numbers_of_a_column_label_are_all_labels_or_all_ids() {
        let of =
            |labels: &[&str], written: &[&str]| classes(labels, 0, Numbers::LabelColumn, written);
        // Only labels, only ids of which some are labels of other classes, both.
        let found = of(&FROM_1, &["1", "2", "3", "4"]);
        assert_eq!(found, [Ok(0), Ok(1), Ok(2), Ok(3)]);
        let found = of(&FROM_1, &["0", "1", "2", "3"]);
        assert_eq!(found, [Ok(0), doubt("1", 0), doubt("2", 1), doubt("3", 2)]);
        let found = of(&FROM_1, &["1", "2", "3", "2"]);
        let expected = [doubt("1", 0), doubt("2", 1), doubt("3", 2), doubt("2", 1)];
        assert_eq!(found, expected);
        // Both readings are the same, and ids without labels.
        let labels = ["0", "1", "2", "cat"];
        assert_eq!(of(&labels, &["2", "0"]), [Ok(2), Ok(0)]);
        assert_eq!(of(&labels, &["3", "1"]), [Ok(3), Ok(1)]);
        // A number that is only a label, next to one that is only an id.
        let labels = ["1990", "1991", "cat", "dog"];
        assert_eq!(of(&labels, &["1991", "1990"]), [Ok(1), Ok(0)]);
        let found = of(&labels, &["1991", "3"]);
        assert_eq!(found[1], Ok(3));
        let beyond = found[0].as_ref().unwrap_err();
        assert!(beyond.contains("says class 1991"), "{beyond}");
    }

    #[test]
    fn a_number_that_is_the_label_of_another_class_is_never_a_silent_id() {
        let labels = ["0", "1", "10", "2", "1990", "5"];
        for meaning in [Numbers::Unknown, Numbers::LabelColumn] {
            let of = |written: &[&str]| classes(&labels, 0, meaning, written);
            assert_eq!(of(&["2", "1"]), [doubt("2", 3), Ok(1)]);
            // The label and the id of one class, and an id without a label.
            assert_eq!(of(&["1", "5", "3"]), [Ok(1), Ok(5), Ok(3)]);
            // Labels that are no ids.
            assert_eq!(of(&["1", "10", "1990"]), [Ok(1), Ok(2), Ok(4)]);
        }
        // With a name of its own, or with an offset.
        let of = |meaning, offset| classes(&labels, offset, meaning, &["2"]);
        assert_eq!(of(Numbers::Ids, 0), [Ok(2)]);
        assert_eq!(of(Numbers::Labels, 0), [Ok(3)]);
        assert_eq!(of(Numbers::Unknown, -1), [Ok(1)]);
        assert_eq!(of(Numbers::LabelColumn, 1), [Ok(3)]);
        assert!(classes(&labels, 0, Numbers::Ids, &["1990"])[0].is_err());
        let other = classes(&labels, 0, Numbers::Labels, &["3"]);
        let other = other[0].as_ref().unwrap_err();
        assert!(other.contains("not a label of the model"), "{other}");
        // Numbers are the same with zeros before them.
        assert!(classes(&FROM_1, 0, Numbers::Unknown, &["02"])[0].is_err());
        assert_eq!(classes(&FROM_1, 0, Numbers::Labels, &["02"]), [Ok(1)]);
        let columns = [
            "label",
            "Labels",
            "class_id",
            "label_ids",
            "class_label",
            "class",
            "id_of_class",
        ];
        let [column, ids, unknown] = [Numbers::LabelColumn, Numbers::Ids, Numbers::Unknown];
        assert_eq!(
            columns.map(Numbers::of_column),
            [column, column, ids, ids, Numbers::Labels, unknown, unknown]
        );
    }

    #[test]
    fn only_numbers_that_are_read_as_ids_are_ids() {
        let labels = Labels::from_names(FROM_1.map(str::to_owned).to_vec());
        let is_id = |numbers: Numbers, class: &str| {
            let lookup = ClassLookup::new(Some(&labels), 0).numbers(numbers);
            lookup.is_id(class, Some(4))
        };
        assert!(is_id(Numbers::Ids, "4") && is_id(Numbers::Unknown, "0"));
        assert!(!is_id(Numbers::Labels, "1") && !is_id(Numbers::Unknown, "4"));
        assert!(!is_id(Numbers::Ids, "cat"));
    }

    #[test]
    fn synsets_of_the_labels_come_before_those_of_imagenet() {
        let labels = Labels::parse(b"n01443537 gold\nn01440764 fish\nn99999999 other\n").unwrap();
        let lookup = ClassLookup::new(Some(&labels), 0);
        for (synset, class) in [("n01443537", 0), ("n01440764", 1), ("n99999999", 2)] {
            assert_eq!(lookup.classes(&[synset], Some(3)).unwrap(), [class]);
        }
        assert!(lookup.classes(&["n02123045"], Some(3)).is_err());
    }
}
