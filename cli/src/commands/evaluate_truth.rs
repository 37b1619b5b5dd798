//! The ground truth of `evaluate`: a file or the directories of the images, named by flags or found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use evaluation::Digest;
use evaluation::accuracy::{GroundTruth, Numbers};
use image_classification::read_file;

use crate::args::TruthFolders;
use crate::errors::Hinted;

/// Files with ground truth that datasets keep in the directory of their images.
const KNOWN_FILES: [&str; 3] = ["metadata.csv", "metadata.jsonl", "LOC_val_solution.csv"];

/// The requested ground truth.
#[derive(Debug, Default)]
pub struct TruthOptions {
    /// The file, by flag or found.
    pub file: Option<PathBuf>,
    columns: Option<[String; 2]>,
    folders: Option<TruthFolders>,
    /// The digest that the file must have: that of the file which the shards had.
    pub expected: Option<Digest>,
    /// True if members of archives are the ground truth.
    pub is_webdataset: bool,
}

/// The name of an image and its classes as they are written in its archive.
pub type WrittenClasses = (PathBuf, Vec<String>);

impl TruthOptions {
    /// Reads the ground truth that flags name. Without such flags, searches `inputs`, the directories of the images,
    /// for a file.
    ///
    /// # Errors
    ///
    /// If there are several such files, or columns are not two.
    pub fn new(
        file: Option<PathBuf>,
        columns: Vec<String>,
        folders: Option<TruthFolders>,
        is_webdataset: bool,
        inputs: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let columns = match <[String; 2]>::try_from(columns) {
            Ok(columns) => Some(columns),
            Err(none) if none.is_empty() => None,
            Err(columns) => {
                return Err(Hinted::new(
                    format!("--truth-columns has {} names", columns.len()),
                    "name the column of the image and that of the class, such as `--truth-columns file_name,label`",
                )
                .into());
            }
        };
        let file = match file {
            None if folders.is_none() && !is_webdataset => find_file(inputs)?,
            file => file,
        };
        Ok(Self {
            file,
            columns,
            folders,
            expected: None,
            is_webdataset,
        })
    }

    /// Returns whether there is a file with ground truth, or a flag names another form.
    pub fn is_named(&self) -> bool {
        self.file.is_some() || self.is_webdataset || self.folders.is_some()
    }

    /// Returns whether a flag names the ground truth, so that it needs no directory but those in the names of images.
    pub fn is_independent(&self) -> bool {
        self.file.is_some()
            || self.is_webdataset
            || self
                .folders
                .is_some_and(|folders| folders != TruthFolders::Sorted)
    }

    /// Returns the ground truth of `images`. `written` are the classes that archives have for them.
    ///
    /// # Errors
    ///
    /// If there is none, or it is ambiguous.
    pub fn read(
        &self,
        images: &[PathBuf],
        written: &[WrittenClasses],
    ) -> anyhow::Result<GroundTruth> {
        let truth = match (&self.file, self.folders) {
            (Some(path), _) => self.read_file(path)?,
            (None, Some(TruthFolders::Names)) => GroundTruth::folders(images),
            (None, Some(TruthFolders::Ids)) => {
                GroundTruth::folders(images).of_numbers(Numbers::Ids)
            }
            (None, Some(TruthFolders::Labels)) => {
                GroundTruth::folders(images).of_numbers(Numbers::Labels)
            }
            (None, Some(TruthFolders::Sorted)) => {
                GroundTruth::sorted_folders(sorted_directories(images)?)
            }
            (None, None) if self.is_webdataset => GroundTruth::members(written.iter().cloned()),
            (None, None) => detect(images)?,
        };
        truth.check_images(images)?;
        Ok(truth)
    }

    /// Reads a file of ground truth.
    pub fn read_file(&self, path: &Path) -> anyhow::Result<GroundTruth> {
        let read = || {
            let bytes = read_file(path, GroundTruth::MOST_BYTES)?;
            if let Some(expected) = self.expected
                && Digest::of_parts(&[&bytes], &[])? != expected
            {
                let error = "it has changed since the shards ran";
                let hint = "restore it, or run the shards again in another directory";
                return Err(Hinted::new(error, hint).into());
            }
            let truth = GroundTruth::read_columns(&*bytes, self.columns.as_ref())?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            Ok(truth.of_file(name.to_string_lossy().into_owned()))
        };
        read().map_err(|error: anyhow::Error| {
            error.context(format!("cannot use the ground truth {}", path.display()))
        })
    }
}

/// Returns the only file with ground truth in the directories of the images.
fn find_file(inputs: &[PathBuf]) -> anyhow::Result<Option<PathBuf>> {
    let files = inputs.iter().filter(|input| input.is_dir());
    let files = files.flat_map(|input| KNOWN_FILES.map(|name| input.join(name)));
    let files: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
    match &files[..] {
        [] => Ok(None),
        [file] => Ok(Some(file.clone())),
        [one, other, ..] => Err(Hinted::new(
            format!(
                "both {} and {} could be the ground truth",
                one.display(),
                other.display()
            ),
            "choose one with `--truth FILE`, or use `--truth-folders`",
        )
        .into()),
    }
}

/// Returns the ground truth in the directories of the images, if they are several.
fn detect(images: &[PathBuf]) -> anyhow::Result<GroundTruth> {
    let directories: BTreeSet<_> = images.iter().filter_map(|image| image.parent()).collect();
    if directories.len() < 2 {
        let files = KNOWN_FILES.join(", ");
        return Err(Hinted::new(
            format!(
                "there is no ground truth: the images are in one directory, which has none of {files}"
            ),
            "give a file with `--truth FILE`, or use `--truth-folders` if the directory is named after the class",
        )
        .into());
    }
    Ok(GroundTruth::detected_folders(images)?)
}

/// Returns the names of all class directories: the directories next to those of the images.
fn sorted_directories(images: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let roots = images.iter().filter_map(|image| image.parent()?.parent());
    let roots: BTreeSet<&Path> = roots.collect();
    let mut roots = roots.into_iter();
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) => root,
        (Some(one), Some(other)) => {
            return Err(Hinted::new(
                format!(
                    "the class directories are in {} and {}, so their order is not known",
                    shown(one).display(),
                    shown(other).display()
                ),
                "evaluate one dataset at a time, or use `--truth-folders=names`",
            )
            .into());
        }
        _ => {
            return Err(Hinted::new(
                "the images are not in class directories",
                "give the directory that contains the class directories, with `--recursive`",
            )
            .into());
        }
    };
    let root = shown(root);
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !entry.path().is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            return Err(Hinted::new(
                format!(
                    "{} is a directory, which torchvision would number too",
                    entry.path().display()
                ),
                "remove it, or use `--truth-folders=names`",
            )
            .into());
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns a directory, `.` for the current one.
fn shown(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    }
}
