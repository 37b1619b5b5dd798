//! Images whose files have the same content.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::digest::Digest;
use crate::text::{counted, grouped, printable};

/// An image with the content of an earlier one.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub(crate) struct DuplicateJson<'a> {
    /// The image.
    path: Cow<'a, str>,
    /// The earlier image.
    same_as: Cow<'a, str>,
}

/// The images with the content of an earlier one.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// The first image with each content.
    first: HashMap<Digest, usize>,
    /// Each image, and the first one with its content.
    pairs: Vec<(usize, usize)>,
}

impl Duplicates {
    /// Adds an image by its place and its file's digest; returns the earlier image with that content.
    pub fn add(&mut self, image: usize, file: Digest) -> Option<usize> {
        let first = *self.first.entry(file).or_insert(image);
        if first == image {
            return None;
        }
        self.pairs.push((image, first));
        Some(first)
    }

    /// Returns the number of contents.
    pub fn contents(&self) -> usize {
        self.first.len()
    }

    /// Returns one line about the images, which count more than once.
    pub fn line(&self, images: &[PathBuf]) -> Option<String> {
        let (image, first) = self.pairs.first()?;
        let path = |image: usize| printable(&images[image].to_string_lossy());
        Some(format!(
            "{} of {} duplicate an earlier image and are counted again; first: {} (same as {})",
            grouped(self.pairs.len()),
            counted(images.len(), "image"),
            path(*image),
            path(*first)
        ))
    }

    /// Returns `path` and `same_as` of each.
    pub(crate) fn json<'a>(&self, images: &'a [PathBuf]) -> Vec<DuplicateJson<'a>> {
        let path = |image: usize| images[image].to_string_lossy();
        let pairs = self.pairs.iter();
        pairs
            .map(|(image, first)| DuplicateJson {
                path: path(*image),
                same_as: path(*first),
            })
            .collect()
    }
}
