//! Forms of files with ground truth that datasets come with.

use std::fmt;

use serde::Serialize;

use super::imagenet::is_synset;
use crate::text::{counted, grouped};

/// The most characters of a line in an error.
pub(super) const LINE: usize = 200;

/// The form of ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TruthForm {
    /// A name and a class on each line.
    Lines,
    /// CSV with a header, such as `metadata.csv` of Hugging Face.
    Csv,
    /// A JSON object on each line: `metadata.jsonl` of Hugging Face.
    JsonLines,
    /// `LOC_val_solution.csv` of `ImageNet`'s challenge on Kaggle.
    LocSolution,
    /// Directories with the names or the ids of classes.
    Directories,
    /// Directories with the ids of `ImageNet`'s synsets.
    SynsetDirectories,
    /// Directories whose alphabetical order is the order of the class ids, as torchvision's `ImageFolder` reads them.
    SortedDirectories,
    /// The members next to an image in its archive, as in a `WebDataset`.
    ArchiveMembers,
}

impl fmt::Display for TruthForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "a file with a name and a class on each line",
            Self::Csv => "a CSV file",
            Self::JsonLines => "a file of JSON lines",
            Self::LocSolution => "ImageNet's LOC_val_solution.csv",
            Self::Directories => "class directories",
            Self::SynsetDirectories => "ImageNet synset directories",
            Self::SortedDirectories => "class directories in alphabetical order",
            Self::ArchiveMembers => "members of archives",
        })
    }
}

/// The extent of ground truth: the classes and the images that have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TruthSummary {
    /// The form.
    pub form: TruthForm,
    /// The name of the file, without its directory. `null` if the ground truth is no file.
    pub file: Option<String>,
    /// The number of different classes of the images, as they are written.
    pub classes: usize,
    /// The number of images that have ground truth.
    #[serde(rename = "pictures")]
    pub images: usize,
}

impl fmt::Display for TruthSummary {
    /// Describes the form: `ImageNet synset directories, 1000 classes, 200 images`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = match self.classes {
            1 => "class",
            _ => "classes",
        };
        let images = counted(self.images, "image");
        let count = grouped(self.classes);
        write!(f, "{}, {count} {classes}, {images}", self.form)
    }
}

/// Returns whether `line` is the header of `ImageNet`'s `LOC_val_solution.csv`.
pub(super) fn is_loc_header(line: &str) -> bool {
    line.trim() == "ImageId,PredictionString"
}

/// Returns the classes of the boxes of a `PredictionString`: `n02123045 12 40 200 180` for each box, or `None` if it is
/// something else.
pub(super) fn classes_of_boxes(text: &str) -> Option<Vec<&str>> {
    const WORDS_OF_A_BOX: usize = 5;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (boxes, rest) = words.as_chunks::<WORDS_OF_A_BOX>();
    let is_box = |words: &&[&str; WORDS_OF_A_BOX]| {
        is_synset(words[0]) && words[1..].iter().all(|word| word.parse::<f64>().is_ok())
    };
    let are_boxes = rest.is_empty() && !boxes.is_empty() && boxes.iter().all(|it| is_box(&it));
    are_boxes.then(|| boxes.iter().map(|words| words[0]).collect())
}

/// Returns whether a line is one of `synset_words.txt`, which names classes and not images.
pub(super) fn is_synset_words(line: &str) -> bool {
    let words = line.split_once(' ');
    words.is_some_and(|(synset, name)| {
        is_synset(synset) && !name.trim().is_empty() && name.trim().parse::<i64>().is_err()
    })
}

/// Returns the beginning of a text that nobody wrote by hand.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_a_synset_and_four_numbers() {
        for (text, expected) in [
            ("n01751748 111 108 230 366 ", Some(vec!["n01751748"])),
            (
                "n01751748 1 1 2 3 n02123045 1 1 2 3",
                Some(vec!["n01751748", "n02123045"]),
            ),
            ("n01751748", None),
            ("n01751748 1 1 2", None),
            ("cat 1 1 2 3", None),
            ("", None),
        ] {
            assert_eq!(classes_of_boxes(text), expected, "{text}");
        }
    }
}
