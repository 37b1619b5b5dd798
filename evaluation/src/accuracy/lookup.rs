//! The classes of one run.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use image_classification::Labels;

use super::error::GroundTruthError;
use super::ground_truth::GroundTruth;
use super::imagenet;

/// Characters between several classes of an image.
pub(super) const SEPARATORS: [char; 2] = ['|', ';'];

/// The longest name that is compared with all labels to find the one that was meant: the time grows with the product
/// of the lengths.
const LONGEST_MEANT: usize = 256;

/// The meaning of numbers in ground truth, where a number is an id, and another class has it as its label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbers {
    /// It is not known: such a number is an error.
    #[default]
    Unknown,
    /// Ids.
    Ids,
    /// Labels, and ids where no label is that number.
    Labels,
}

impl Numbers {
    /// Returns the meaning that the name of a column states.
    pub(super) fn of_column(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "label" | "labels" => Self::Labels,
            name if name.ends_with("_id") || name.ends_with("_ids") => Self::Ids,
            _ => Self::Unknown,
        }
    }
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
    numbers: Numbers,
    /// True if the classes are names of directories.
    are_directories: bool,
}

impl ClassLookup {
    /// `offset` is added to ids.
    pub fn new(labels: Option<&Labels>, offset: i64) -> Self {
        let mut names: [HashMap<String, Vec<usize>>; 3] = Default::default();
        for class_id in 0..labels.map_or(0, Labels::len) {
            let label = labels.and_then(|labels| labels.get(class_id));
            let label = label.unwrap_or_default();
            let mut add = |kind: usize, name: String| {
                let classes = names[kind].entry(name).or_default();
                if classes.last() != Some(&class_id) {
                    classes.push(class_id);
                }
            };
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
            numbers: Numbers::default(),
            are_directories: false,
        }
    }

    /// Finds the classes of `truth`.
    #[must_use]
    pub fn of(mut self, truth: &GroundTruth) -> Self {
        self.are_directories = truth.are_directories();
        self.numbers(truth.numbers())
    }

    /// Sets the meaning of numbers.
    #[must_use]
    pub fn numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
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

    /// Returns the class that has a number as its label, unless the number is an id. `id` is the class by its id.
    fn number(&self, number: &str, id: Option<usize>) -> Option<Result<usize, GroundTruthError>> {
        let labelled = self.names[0].get(number)?.as_slice();
        if self.numbers == Numbers::Ids || labelled.first().copied() == id {
            return None;
        }
        Some(match (labelled, id) {
            (_, Some(id)) if self.numbers == Numbers::Unknown => {
                Err(GroundTruthError::NumberOrLabel {
                    number: number.to_owned(),
                    id,
                    label_id: labelled[0],
                })
            }
            ([only], _) => Ok(*only),
            _ => Err(GroundTruthError::Ambiguous {
                class: number.to_owned(),
                ids: labelled.to_vec(),
            }),
        })
    }

    fn class(&self, class: &str, count: Option<usize>) -> Result<usize, GroundTruthError> {
        if let Ok(id) = class.trim().parse::<i64>() {
            let shifted = self.shifted(id);
            let shifted = shifted.filter(|id| count.is_none_or(|count| *id < count));
            return self.number(class.trim(), shifted).unwrap_or_else(|| {
                shifted.ok_or(GroundTruthError::OutOfRange {
                    id,
                    offset: self.offset,
                    count,
                })
            });
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
        let meant = key(class);
        let is_short = |name: &&String| name.len() <= LONGEST_MEANT;
        let names = self.names[2].keys().filter(is_short);
        let nearest = names
            .filter(|_| is_short(&&meant))
            .map(|name| (strsim::jaro_winkler(name, &meant), name))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .filter(|(likeness, _)| *likeness > 0.85);
        Err(GroundTruthError::UnknownClass {
            class: class.to_owned(),
            has_labels: self.has_labels,
            nearest: nearest.map(|(_, name)| name.clone()),
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

    #[test]
    fn a_number_that_is_another_classs_label_is_never_a_silent_id() {
        let labels = ["0", "1", "10", "2", "1990", "5"].map(str::to_owned);
        let labels = Labels::from_names(labels.to_vec());
        let find = |numbers: Numbers, number: &str| {
            let lookup = ClassLookup::new(Some(&labels), 0).numbers(numbers);
            let found = lookup.classes(&[number], Some(6));
            found.map(|ids| ids[0]).map_err(|error| error.to_string())
        };
        let error =
            "the ground truth says \"2\", which is the id of class 2, but the label of class 3";
        assert_eq!(find(Numbers::Unknown, "2"), Err(error.to_owned()));
        assert_eq!(find(Numbers::Ids, "2"), Ok(2));
        assert_eq!(find(Numbers::Labels, "2"), Ok(3));
        for numbers in [Numbers::Unknown, Numbers::Labels] {
            // The label and the id of one class, an id without a label, a label that is no id.
            for (number, class) in [("1", 1), ("5", 5), ("3", 3), ("10", 2), ("1990", 4)] {
                assert_eq!(find(numbers, number), Ok(class), "{number}");
            }
        }
        assert!(find(Numbers::Ids, "1990").is_err());
        let columns = [
            "label",
            "Labels",
            "class_id",
            "label_ids",
            "class",
            "id_of_class",
        ];
        let meanings = columns.map(Numbers::of_column);
        let [labels, ids, unknown] = [Numbers::Labels, Numbers::Ids, Numbers::Unknown];
        assert_eq!(meanings, [labels, labels, ids, ids, unknown, unknown]);
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
