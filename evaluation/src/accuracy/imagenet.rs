//! The 1000 classes of `ImageNet`'s challenge (ILSVRC 2012 to 2017), by their `WordNet` ids.

use std::collections::HashMap;
use std::sync::LazyLock;

use image_classification::Labels;

use super::lookup::key;

/// A synset id and its first name on each line, sorted by id, which is the order of the class ids. The ids and their
/// order are those of the challenge; timm 1.0.31 has the same list as `imagenet_synsets.txt`.
const TABLE: &str = include_str!("imagenet_synsets.txt");
/// The number of labels that have to be in the order of the challenge before labels, or directories, count as `ImageNet`'s.
pub(super) const LEAST_NAMES: usize = 500;

/// Each synset with its class id and its first name.
static SYNSETS: LazyLock<HashMap<&str, (usize, &str)>> = LazyLock::new(|| {
    let entry = |(class_id, line): (usize, &'static str)| {
        let (synset, name) = line.split_once(' ')?;
        Some((synset, (class_id, name)))
    };
    TABLE.lines().enumerate().filter_map(entry).collect()
});

/// The number of classes.
pub(super) const CLASSES: usize = 1000;

/// Returns whether `text` has the form of a synset id: `n` and eight digits.
pub(super) fn is_synset(text: &str) -> bool {
    let digits = text.trim().strip_prefix('n');
    digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|it| it.is_ascii_digit()))
}

/// Returns the class id and the first name of a synset of the challenge.
pub(super) fn class(synset: &str) -> Option<(usize, &'static str)> {
    SYNSETS.get(synset.trim()).copied()
}

/// Returns the class id of the first class of `ImageNet` among `labels`: 0, or 1 after a background class. `None` if the
/// labels are not `ImageNet`'s in the order of the challenge.
pub(super) fn first_class(labels: &Labels) -> Option<usize> {
    let matches = |first: &usize| {
        let has_name = |(class_id, line): &(usize, &str)| {
            let name = line.split_once(' ').map(|(_, name)| key(name));
            let label = labels.get(class_id + first).unwrap_or_default();
            name.is_some_and(|name| label.split(',').any(|part| key(part) == name))
        };
        TABLE.lines().enumerate().filter(has_name).count()
    };
    let best = [0, 1]
        .into_iter()
        .max_by_key(|first| (matches(first), 1 - first))?;
    (matches(&best) >= LEAST_NAMES).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_classes_of_the_challenge_in_their_order() {
        let ids: Vec<&str> = TABLE.lines().map(|line| &line[..9]).collect();
        assert_eq!(ids.len(), CLASSES);
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| is_synset(id)));
        for (synset, expected) in [
            ("n01440764", (0, "tench")),
            ("n02123045", (281, "tabby")),
            ("n02012849", (134, "crane")),
            ("n03126707", (517, "crane")),
            ("n15075141", (999, "toilet tissue")),
        ] {
            assert_eq!(class(synset), Some(expected));
        }
        assert_eq!(class("n00004475"), None);
        assert!(!is_synset("n0144076") && !is_synset("m01440764"));
    }

    #[test]
    fn labels_tell_where_the_classes_begin() {
        let names = || TABLE.lines().map(|line| line[10..].replace(' ', "_"));
        let labels = |names: Vec<String>| first_class(&Labels::from_names(names));
        assert_eq!(labels(names().collect()), Some(0));
        let with_background = std::iter::once("background".to_owned()).chain(names());
        assert_eq!(labels(with_background.collect()), Some(1));
        let mut sorted: Vec<String> = names().collect();
        sorted.sort();
        assert_eq!(labels(sorted), None);
        assert_eq!(labels(vec!["tench".to_owned()]), None);
    }
}
