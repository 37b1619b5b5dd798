//! Ground truth in the names of directories.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::GroundTruthError;
use super::forms::TruthForm;
use super::imagenet;
use super::lookup::ClassLookup;

/// The classes that directories stand for.
#[derive(Debug)]
pub(super) enum Directories {
    /// The name of a directory is the name, the id or the synset of its class.
    Named {
        /// The form of the names, which is the same for all images.
        form: TruthForm,
    },
    /// The class id of a directory is its place among all directories, sorted by their names.
    Sorted(Vec<String>),
}

impl Directories {
    /// Directories by name.
    pub(super) fn named<'a>(images: impl Iterator<Item = &'a Path>) -> Self {
        let mut names = images.map(name).peekable();
        let is_synset =
            |name: Option<Cow<'_, str>>| name.is_some_and(|it| imagenet::is_synset(&it));
        let are_synsets = names.peek().is_some() && names.all(is_synset);
        Self::Named {
            form: if are_synsets {
                TruthForm::SynsetDirectories
            } else {
                TruthForm::Directories
            },
        }
    }

    /// Directories whose alphabetical order, by code points as in Python, is the order of the class ids.
    pub(super) fn sorted(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self::Sorted(names)
    }

    pub(super) const fn form(&self) -> TruthForm {
        match self {
            Self::Named { form } => *form,
            Self::Sorted(_) => TruthForm::SortedDirectories,
        }
    }

    /// Returns the class of an image as its directory writes it. `None` if no directory names it.
    pub(super) fn written(&self, image: &Path) -> Option<String> {
        let name = name(image)?;
        match self {
            Self::Named { .. } => Some(name.into_owned()),
            Self::Sorted(names) => {
                let place = names.binary_search_by(|other| other.as_str().cmp(&name));
                place.ok().map(|place| place.to_string())
            }
        }
    }

    /// Checks the alphabetical order of directories against the classes of a model.
    ///
    /// # Errors
    ///
    /// If the number of classes differs, or if a label or a synset contradicts the order.
    pub(super) fn check(
        &self,
        lookup: &ClassLookup,
        classes: Option<usize>,
    ) -> Result<(), GroundTruthError> {
        let Self::Sorted(names) = self else {
            return Ok(());
        };
        let id = |place: usize| lookup.shifted(place as i64);
        let directories = id(names.len()).unwrap_or(names.len());
        if let Some(classes) = classes.filter(|classes| *classes != directories) {
            return Err(GroundTruthError::DirectoryCount {
                directories,
                classes,
            });
        }
        // Synsets are classes of a model without labels only if the directories are ImageNet's.
        let synsets = names.iter().filter(|it| imagenet::class(it).is_some());
        let are_imagenet = synsets.count() >= imagenet::LEAST_NAMES;
        let of_synset = |directory: &str| {
            let is_known = imagenet::is_synset(directory) && (lookup.has_labels() || are_imagenet);
            is_known
                .then(|| lookup.synset(directory, classes).ok())
                .flatten()
        };
        for (place, directory) in names.iter().enumerate() {
            let named = lookup.label(directory).or_else(|| of_synset(directory));
            let Some((id, label_id)) = id(place).zip(named) else {
                continue;
            };
            if id != label_id {
                return Err(GroundTruthError::DirectoryOrder {
                    directory: directory.clone(),
                    id,
                    label_id,
                });
            }
        }
        Ok(())
    }
}

/// Checks that directories, which the user has not called class ids, are not numbers in another order.
///
/// # Errors
///
/// [`GroundTruthError::NumberedDirectories`].
pub(super) fn check_numbers(images: &[PathBuf]) -> Result<(), GroundTruthError> {
    let names: BTreeSet<Cow<'_, str>> = images.iter().filter_map(|it| name(it)).collect();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    let (Some(numbers), Some(first), Some(last)) = (numbers, names.first(), names.last()) else {
        return Ok(());
    };
    let differs = numbers.iter().enumerate().zip(&names);
    let mut differs = differs.filter(|((place, number), _)| **number != *place as i64);
    match differs.next() {
        Some(((id, _), name)) => Err(GroundTruthError::NumberedDirectories {
            first: first.to_string(),
            last: last.to_string(),
            differs: name.to_string(),
            id,
        }),
        None => Ok(()),
    }
}

/// Returns the name of the directory that contains an image, or of the tar archive: `n02123045` for
/// `train/n02123045.tar/1.jpg`.
pub(super) fn name(image: &Path) -> Option<Cow<'_, str>> {
    let directory = image.parent()?;
    let is_archive = directory
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
    let name = if is_archive {
        directory.file_stem()
    } else {
        directory.file_name()
    };
    Some(name?.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use image_classification::Labels;

    use super::*;

    fn lookup(labels: &[&str], offset: i64) -> ClassLookup {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        ClassLookup::new(Some(&Labels::from_names(labels)), offset)
    }

    #[test]
    fn sorted_directories_are_numbered_as_torchvision_numbers_them() {
        let names = ["dog", "Zebra", "10", "9", "äffin"].map(str::to_owned);
        let sorted = Directories::sorted(names.to_vec());
        for (image, expected) in [
            ("val/10/a.jpg", Some("0")),
            ("val/9/a.jpg", Some("1")),
            ("Zebra/a.jpg", Some("2")),
            ("dog/a.jpg", Some("3")),
            ("äffin/a.jpg", Some("4")),
            ("cat/a.jpg", None),
            ("a.jpg", None),
        ] {
            let written = sorted.written(Path::new(image));
            assert_eq!(written.as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_synset_in_another_place_is_an_error() {
        let table = include_str!("imagenet_synsets.txt");
        let mut synsets: Vec<String> = table.lines().map(|line| line[..9].to_owned()).collect();
        let names: Vec<String> = table.lines().map(|line| line[10..].to_owned()).collect();
        let lookups = || {
            let with_names = Labels::from_names(names.clone());
            let stated = table.replace('\n', " x\n");
            let stated = Labels::parse(stated.as_bytes()).unwrap();
            [Some(with_names), Some(stated), None]
                .map(|labels| ClassLookup::new(labels.as_ref(), 0))
        };
        let right = Directories::sorted(synsets.clone());
        for lookup in lookups() {
            right.check(&lookup, Some(1000)).unwrap();
        }
        synsets[0] = "zzz".to_owned();
        let shifted = Directories::sorted(synsets);
        for lookup in lookups() {
            let words = shifted.check(&lookup, Some(1000)).unwrap_err().to_string();
            let expected = "\"n01443537\" is class 0 in alphabetical order, but names class 1";
            assert!(words.contains(expected), "{words}");
        }
        // A model of other classes may have some directories of ImageNet.
        let few = Directories::sorted(["n01443537", "n99999999"].map(str::to_owned).to_vec());
        few.check(&ClassLookup::new(None, 0), Some(2)).unwrap();
    }

    #[test]
    fn sorted_directories_have_to_be_the_classes_of_the_model() {
        let sorted = Directories::sorted(["cat", "dog"].map(str::to_owned).to_vec());
        let check = |lookup: ClassLookup, classes| {
            sorted
                .check(&lookup, classes)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(ClassLookup::new(None, 0), Some(2)), Ok(()));
        assert_eq!(check(ClassLookup::new(None, 1), Some(3)), Ok(()));
        assert_eq!(check(lookup(&["cat", "dog"], 0), Some(2)), Ok(()));
        assert_eq!(check(lookup(&["Katze", "Hund"], 0), Some(2)), Ok(()));
        let words = check(ClassLookup::new(None, 0), Some(3)).unwrap_err();
        assert!(
            words.contains("2 class directories") && words.contains("3 classes"),
            "{words}"
        );
        let words = check(lookup(&["dog", "cat"], 0), Some(2)).unwrap_err();
        assert!(
            words.contains("\"cat\" is class 0") && words.contains("class 1"),
            "{words}"
        );
    }

    #[test]
    fn numbers_in_another_order_are_ambiguous() {
        let check = |names: &[&str]| {
            let images = names
                .iter()
                .map(|name| PathBuf::from(format!("{name}/a.jpg")));
            check_numbers(&images.collect::<Vec<_>>())
        };
        assert!(check(&["0", "1", "2"]).is_ok());
        assert!(check(&["cat", "1"]).is_ok());
        assert!(check(&["1", "2"]).is_err());
        let all: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let error = check(&all).unwrap_err().to_string();
        assert!(error.contains("\"10\" is class 2"), "{error}");
    }
}
