//! Errors of ground truth.

use std::io;
use std::path::PathBuf;

use crate::text::{grouped, printable, quoted};

/// The ground truth cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroundTruthError {
    /// The file cannot be read.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// The file is too large.
    #[error("is larger than {limit} bytes, the size limit")]
    TooLarge {
        /// The largest file that is read, in bytes.
        limit: u64,
    },
    /// The file has too many entries.
    #[error("it has more than {limit} entries")]
    TooManyEntries {
        /// The largest number of entries.
        limit: usize,
    },
    /// A line is too long.
    #[error("line {line} has more than {limit} bytes")]
    LongLine {
        /// The line, from 1.
        line: usize,
        /// The largest number of bytes.
        limit: usize,
    },
    /// A line has too many columns.
    #[error("line {line} has {columns} columns, more than {limit}")]
    TooManyColumns {
        /// The line, from 1.
        line: usize,
        /// The number of columns.
        columns: usize,
        /// The largest number of columns.
        limit: usize,
    },
    /// The path of an image has too many parts.
    #[error("line {line} has an image whose path has {parts} parts, more than {limit}")]
    TooManyParts {
        /// The line, from 1.
        line: usize,
        /// The number of names of directories, with the image's own.
        parts: usize,
        /// The largest number of parts.
        limit: usize,
    },
    /// An image has too many classes.
    #[error("line {line} has more than {limit} classes of an image")]
    TooManyClasses {
        /// The line, from 1.
        line: usize,
        /// The largest number of classes.
        limit: usize,
    },
    /// The file is not text.
    #[error("it is {what}")]
    NotText {
        /// The kind of file.
        what: &'static str,
        /// The next step for the user.
        hint: &'static str,
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
    #[error("line {line} is \"{}\", which lacks an image or a class", printable(.text))]
    Line {
        /// The line, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// The first line is a class id alone: the classes are probably those of images in a certain order.
    #[error("line {line} is \"{}\", a class without the name of an image", printable(.text))]
    ClassAlone {
        /// The line, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// A line of JSON does not name an image and its classes.
    #[error("line {line}: {detail}")]
    JsonLine {
        /// The line, from 1.
        line: usize,
        /// The reason.
        detail: String,
    },
    /// A row of `LOC_val_solution.csv` has no boxes.
    #[error("line {line}: \"{}\" is not a synset and four numbers for each box", printable(.text))]
    Boxes {
        /// The line, from 1.
        line: usize,
        /// The text of the boxes.
        text: String,
    },
    /// The file has names of classes, and no images.
    #[error("it is a list of synsets and their names, and names no images")]
    SynsetWords,
    /// Several columns or keys could be the class.
    #[error("line {line}: {} could each be the class", quoted(.columns))]
    ClassColumns {
        /// The line, from 1.
        line: usize,
        /// The names of the columns.
        columns: Vec<String>,
    },
    /// Several columns have the name of the image's or the class's.
    #[error("line {line} has several columns \"{}\"", printable(.column))]
    RepeatedColumn {
        /// The line, from 1.
        line: usize,
        /// The name of the columns.
        column: String,
    },
    /// The header goes on in the next line.
    #[error("the quotes of the header in line {line} do not end on that line")]
    OpenHeader {
        /// The line, from 1.
        line: usize,
    },
    /// The quotes of a cell do not end, so that the rows below belong to it.
    #[error("line {line} has a cell whose quotes do not end")]
    OpenCell {
        /// The line in which the row begins, from 1.
        line: usize,
    },
    /// Text follows the closing quotes of a cell: most often the quotes of an earlier cell are open.
    #[error("line {line} has text behind the closing quotes of a cell")]
    BehindQuotes {
        /// The line in which the row begins, from 1.
        line: usize,
    },
    /// A row has cells that no column of the header names.
    #[error("line {line} has {cells} cells, but the header has {columns} columns")]
    MoreThanHeader {
        /// The line in which the row begins, from 1.
        line: usize,
        /// The number of cells, without empty ones at the end.
        cells: usize,
        /// The number of columns.
        columns: usize,
    },
    /// An entry has an empty name.
    #[error("line {line} has an empty name of an image")]
    NoName {
        /// The line, from 1.
        line: usize,
    },
    /// The cell of the image or of the class has a line break: most often its quotes end in a row below.
    #[error("line {line} has a line break in the cell of the image or of the class")]
    BrokenCell {
        /// The line in which the row begins, from 1.
        line: usize,
    },
    /// The header lacks a column that was requested.
    #[error("there is no column \"{}\", but {}", printable(.column), quoted(.columns))]
    NoColumn {
        /// The requested column.
        column: String,
        /// The names of the columns.
        columns: Vec<String>,
    },
    /// The names of directories are numbers whose alphabetical and numerical orders differ.
    #[error(
        "the directories \"{}\" to \"{}\" are numbers: they could be class ids, or names in alphabetical order, where \"{}\" \
         is class {id}",
        printable(.first), printable(.last), printable(.differs)
    )]
    NumberedDirectories {
        /// The first directory in alphabetical order.
        first: String,
        /// The last directory in alphabetical order.
        last: String,
        /// A directory with another alphabetical place.
        differs: String,
        /// The alphabetical place of it.
        id: usize,
    },
    /// The number of directories in alphabetical order is not that of the model's classes.
    #[error(
        "{directories} class directories in alphabetical order cannot be the {classes} classes of the model"
    )]
    DirectoryCount {
        /// The number of directories, with the offset.
        directories: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The label or the synset of a class contradicts the alphabetical order of directories.
    #[error(
        "the directory \"{}\" is class {id} in alphabetical order, but names class {label_id}",
        printable(.directory)
    )]
    DirectoryOrder {
        /// The directory.
        directory: String,
        /// Its class by the order.
        id: usize,
        /// Its class by its name.
        label_id: usize,
    },
    /// A synset is none of the 1000 of `ImageNet`'s challenge.
    #[error("the ground truth says \"{}\", which is none of the 1000 synsets of ImageNet's challenge", printable(.synset))]
    UnknownSynset {
        /// The synset.
        synset: String,
    },
    /// The model has another number of classes than `ImageNet`'s challenge, and no labels that name them.
    #[error(
        "the ground truth says the synset \"{synset}\", but the model has {classes} classes and no labels of ImageNet"
    )]
    SynsetClasses {
        /// The synset.
        synset: String,
        /// The number of classes.
        classes: usize,
    },
    /// The labels of the model are not `ImageNet`'s, and the synset does not name exactly one of them.
    #[error(
        "the ground truth says the synset \"{synset}\" ({name}), which does not name exactly one label of the model"
    )]
    SynsetLabel {
        /// The synset.
        synset: String,
        /// Its first name.
        name: String,
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
    #[error(
        "the ground truth mentions none of the images ({images}): it has an entry for \"{}\", and an image is \"{}\"",
        printable(&.entry.to_string_lossy()),
        printable(&.image.to_string_lossy())
    )]
    NoImages {
        /// The number of images.
        images: usize,
        /// One of the images.
        image: PathBuf,
        /// The entry that is most like it.
        entry: PathBuf,
    },
    /// Entries match several images.
    #[error(
        "the entry \"{}\" of the ground truth fits several images, such as {} and {}{}",
        printable(&.entry.to_string_lossy()),
        printable(&.images[0].to_string_lossy()),
        printable(&.images[1].to_string_lossy()),
        more_text(*.others)
    )]
    SharedEntries {
        /// The first such entry.
        entry: PathBuf,
        /// The first two images that it fits.
        images: Box<[PathBuf; 2]>,
        /// The number of other entries that fit several images.
        others: usize,
    },
    /// No directory names the class of an image.
    #[error("the path of the image has no directory that could name its class")]
    NoDirectory,
    /// All images are in one directory, whose name is not a class of the model.
    #[error(
        "all {images} images are in the directory \"{}\", which is not a class of the model",
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
    /// A number is the id of one class and the label of another.
    #[error(
        "the ground truth says \"{number}\", which is the id of class {id}, but the label of class {label_id}"
    )]
    NumberOrLabel {
        /// The number as it is written.
        number: String,
        /// The class by its id.
        id: usize,
        /// The first class with this label.
        label_id: usize,
        /// True if it is the name of a directory.
        is_directory: bool,
    },
    /// Several classes have the name.
    #[error(
        "the ground truth says \"{}\", which is the name of the classes {}",
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
    #[error("the ground truth says \"{}\", which is not a label of the model", printable(.class))]
    UnknownClass {
        /// The class as it is written.
        class: String,
        /// True if the model has labels.
        has_labels: bool,
        /// The most similar label.
        nearest: Option<String>,
        /// True if it is the name of a directory.
        is_directory: bool,
    },
}

impl From<io::Error> for GroundTruthError {
    /// Readers return an error of this type as a cause.
    fn from(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Io)
    }
}

impl GroundTruthError {
    /// Returns the next step for the user. It names fields of options in backticks.
    pub fn hint(&self) -> String {
        match self {
            Self::Io(_) => "check the path".to_owned(),
            Self::TooLarge { .. } | Self::TooManyEntries { .. } => "leave out images that are not evaluated".to_owned(),
            Self::Empty | Self::Csv { .. } | Self::TooFewColumns { .. } | Self::Line { .. }
            | Self::LongClass { .. } | Self::LongLine { .. } => {
                "write `name class` or `path<TAB>label` in each line, or CSV with a header such as path,class_id"
                    .to_owned()
            }
            Self::TooManyColumns { .. } => "keep the columns of the image and of the class".to_owned(),
            Self::TooManyClasses { .. } => {
                "write each image's own name, and classes that its model has".to_owned()
            }
            Self::ClassAlone { .. } => {
                "the order of images is not ground truth: write `name class` in each line, such as by \
                 `paste -d' ' names.txt classes.txt`"
                    .to_owned()
            }
            Self::JsonLine { .. } => {
                "write an object such as {\"file_name\": \"a.jpg\", \"label\": \"cat\"} in each line, with the same keys".to_owned()
            }
            Self::TooManyParts { .. } => "write the end of the path alone".to_owned(),
            Self::NotText { hint, .. } => (*hint).to_owned(),
            Self::RepeatedColumn { .. } => "rename or remove one of them".to_owned(),
            Self::OpenHeader { .. } => "write the header on one line".to_owned(),
            Self::OpenCell { .. } | Self::BehindQuotes { .. } => {
                "end the quotes, and write quotes inside of a quoted cell twice".to_owned()
            }
            Self::MoreThanHeader { .. } => {
                "put cells that contain the separator into quotes, or name each column in the header".to_owned()
            }
            Self::NoName { .. } => "write the name of the image, or remove the line".to_owned(),
            Self::BrokenCell { .. } => {
                "end the quotes; a name that has a line break can be written in JSON Lines".to_owned()
            }
            Self::Boxes { .. } => "give ImageNet's LOC_val_solution.csv as it is".to_owned(),
            Self::SynsetWords => {
                "give it as `labels`, and as `truth` a file that names images".to_owned()
            }
            Self::ClassColumns { columns, .. } => format!(
                "choose one with `truth_columns`, such as `truth_columns = IMAGE,{}`",
                columns.first().map_or("CLASS", String::as_str)
            ),
            Self::NoColumn { .. } => "correct `truth_columns`".to_owned(),
            Self::NumberedDirectories { .. } => {
                "decide with `truth_folders = ids` for class ids, `truth_folders = labels` for labels, or, with a \
                 directory for each class, `truth_folders = sorted` as torchvision's ImageFolder numbers them"
                    .to_owned()
            }
            Self::DirectoryCount { .. } => {
                "keep a directory for each class of the model, or use `truth_folders = names`".to_owned()
            }
            Self::DirectoryOrder { .. } => {
                "use `truth_folders = names`, or check `labels` and the names of the directories".to_owned()
            }
            Self::UnknownSynset { .. } => "write the class as an id or as one of the model's labels".to_owned(),
            Self::SynsetClasses { classes: 1001, .. } => {
                "use `label_offset = 1` if class 0 of the model is the background".to_owned()
            }
            Self::SynsetClasses { .. } | Self::SynsetLabel { .. } => {
                "give the labels of the model with `labels = FILE`, or write classes as ids".to_owned()
            }
            Self::NoImages { .. } => {
                "write file names with their endings, or ends of paths, in the same case and with `/`".to_owned()
            }
            Self::NoDirectory | Self::OneDirectory { .. } => {
                "sort the images into directories named after classes, or give a `truth` file".to_owned()
            }
            Self::SharedEntry { .. } | Self::SharedEntries { .. } => "write longer paths in the ground truth".to_owned(),
            Self::SeveralClasses { .. } => {
                "keep one of them; use `scores = sigmoid` for a model whose classes do not exclude each other"
                    .to_owned()
            }
            Self::OutOfRange { .. } => {
                "check `label_offset` and that the ground truth is for this model"
                    .to_owned()
            }
            Self::NumberOrLabel { is_directory: true, .. } => {
                "say which it is with `truth_folders = ids` or `truth_folders = labels`".to_owned()
            }
            Self::NumberOrLabel { .. } => {
                "say which it is by the name of the column, `class_id` or `class_label`; add a header such as \
                 path,class_id if there is none; `truth_columns` chooses another column"
                    .to_owned()
            }
            Self::Ambiguous { .. } => "write the class as an id".to_owned(),
            Self::UnknownClass {
                has_labels: false, ..
            } => "the model has no labels: write classes as ids, or give `labels = FILE`".to_owned(),
            Self::UnknownClass {
                is_directory: true,
                nearest,
                ..
            } => {
                let meant = nearest.as_ref().map_or_else(String::new, |name| format!(", such as {name:?}"));
                format!("the directory that contains an image has to be the label or the id of a class{meant}; leave out others")
            }
            Self::UnknownClass {
                nearest: Some(name),
                ..
            } => format!("did you mean {name:?}?"),
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

fn more_text(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => "; so does another entry".to_owned(),
        others => format!("; so do {} other entries", grouped(others)),
    }
}

pub(super) fn ids_text(ids: &[usize]) -> String {
    let ids: Vec<String> = ids.iter().map(usize::to_string).collect();
    ids.join(" and ")
}
