//! Errors of ground truth.

use std::io;
use std::path::PathBuf;

use crate::text::{printable, quoted};

/// The ground truth cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroundTruthError {
    /// The file cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// The file is too large.
    #[error("is larger than {limit} bytes, the size limit")]
    TooLarge {
        /// The largest file that is read, in bytes.
        limit: u64,
    },
    /// The file has no entries.
    #[error("it has no entries")]
    Empty,
    /// The file has a CSV header, but the rest is not CSV.
    #[error("the CSV is damaged: {detail}")]
    Csv {
        /// The CSV reader's message.
        detail: String,
    },
    /// A line lacks the column of the image or of the class.
    #[error("line {line} has too few columns")]
    TooFewColumns {
        /// The line, from 1.
        line: usize,
    },
    /// A line does not name an image and a class.
    #[error("line {line} is `{}`, which lacks an image or a class", printable(.text))]
    Line {
        /// The line, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// The first line is a class id alone: the classes are probably those of images in a certain order.
    #[error("line {line} is `{}`, a class without the name of an image", printable(.text))]
    ClassAlone {
        /// The line, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// A class is longer than any label.
    #[error("line {line} has a class of {bytes} bytes, more than {limit}")]
    LongClass {
        /// The line, from 1.
        line: usize,
        /// The length of the class, in bytes.
        bytes: usize,
        /// The longest class, in bytes.
        limit: usize,
    },
    /// No image has an entry.
    #[error("the ground truth mentions none of the images ({images})")]
    NoImages {
        /// The number of images.
        images: usize,
    },
    /// No directory names the class of an image.
    #[error("the path of the image has no directory that could name its class")]
    NoDirectory,
    /// All images are in one directory, whose name is not a class of the model.
    #[error(
        "all {images} images are in the directory `{}`, which is not a class of the model",
        printable(.directory)
    )]
    OneDirectory {
        /// The name of the directory.
        directory: String,
        /// The number of images.
        images: usize,
    },
    /// One entry matches two images.
    #[error(
        "the ground truth has one entry for this image and for {}",
        printable(&.earlier.to_string_lossy())
    )]
    SharedEntry {
        /// The image that took the entry first.
        earlier: PathBuf,
    },
    /// An image has several classes, but the model's classes exclude each other.
    #[error(
        "cannot use the ground truth: line {line}: {} has the classes {}, but the classes of this model exclude each \
         other",
        printable(&.image.to_string_lossy()),
        quoted(.classes)
    )]
    SeveralClasses {
        /// The last line of the image, from 1.
        line: usize,
        /// The name of the image as it is written.
        image: PathBuf,
        /// The classes as they are written.
        classes: Vec<String>,
    },
    /// A class id is not one of the model's.
    #[error(
        "the ground truth says class {id}{}, but the model's classes {}",
        offset_text(*.offset),
        range_text(*.count)
    )]
    OutOfRange {
        /// The id as it is written.
        id: i64,
        /// The number that is added to ids.
        offset: i64,
        /// The number of classes, if it is known.
        count: Option<usize>,
    },
    /// Several classes have the name.
    #[error(
        "the ground truth says `{}`, which is the name of the classes {}",
        printable(.class),
        ids_text(.ids)
    )]
    Ambiguous {
        /// The class as it is written.
        class: String,
        /// The ids of the classes with this name.
        ids: Vec<usize>,
    },
    /// No class has the name.
    #[error("the ground truth says `{}`, which is not a label of the model", printable(.class))]
    UnknownClass {
        /// The class as it is written.
        class: String,
        /// True if the model has labels.
        has_labels: bool,
        /// The most similar label.
        nearest: Option<String>,
    },
}

impl GroundTruthError {
    /// Returns the next step for the user. It names fields of options in backticks.
    pub fn hint(&self) -> String {
        match self {
            Self::Io(_) => "check the path".to_owned(),
            Self::TooLarge { .. } => "leave out images that are not evaluated".to_owned(),
            Self::Empty | Self::Csv { .. } | Self::TooFewColumns { .. } | Self::Line { .. }
            | Self::LongClass { .. } => {
                "write `name class` or `path<TAB>label` in each line, or CSV with a header such as path,class_id"
                    .to_owned()
            }
            Self::ClassAlone { .. } => {
                "the order of images is not ground truth: write `name class` in each line, such as by \
                 `paste -d' ' names.txt classes.txt`"
                    .to_owned()
            }
            Self::NoImages { .. } => "use image file names or path suffixes as names".to_owned(),
            Self::NoDirectory | Self::OneDirectory { .. } => {
                "sort the images into directories named after classes, or give a `truth` file".to_owned()
            }
            Self::SharedEntry { .. } => "write longer paths in the ground truth".to_owned(),
            Self::SeveralClasses { .. } => {
                "keep one of them; use `scores = sigmoid` for a model whose classes do not exclude each other"
                    .to_owned()
            }
            Self::OutOfRange { .. } => {
                "check `label_offset` and that the ground truth is for this model"
                    .to_owned()
            }
            Self::Ambiguous { .. } => "write the class as an id".to_owned(),
            Self::UnknownClass {
                has_labels: false, ..
            } => "the model has no labels: write classes as ids, or give `labels = FILE`".to_owned(),
            Self::UnknownClass {
                nearest: Some(name),
                ..
            } => format!("did you mean `{}`?", printable(name)),
            Self::UnknownClass { nearest: None, .. } => {
                "write the class as an id or as one of the model's labels".to_owned()
            }
        }
    }
}

fn offset_text(offset: i64) -> String {
    match offset {
        0 => String::new(),
        offset => format!(" with offset {offset}"),
    }
}

fn range_text(count: Option<usize>) -> String {
    match count {
        Some(count) => format!("are 0 to {}", count.saturating_sub(1)),
        None => "begin at 0".to_owned(),
    }
}

fn ids_text(ids: &[usize]) -> String {
    let ids: Vec<String> = ids.iter().map(usize::to_string).collect();
    ids.join(" and ")
}
