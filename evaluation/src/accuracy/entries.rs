//! The images of a file with ground truth, and their classes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use smallvec::SmallVec;

use super::error::GroundTruthError;

/// Most lines with an image and a class, or classes in lists of them. The table of a few more would be twice as large.
pub(super) const MOST_ENTRIES: usize = (1 << 22) / 8 * 7;
/// Most names of directories in the path of an image, with its own. Each end of an image's path is looked up.
const MOST_PARTS: usize = 256;
/// Most classes of an image on different lines. Each is compared with those before it.
const MOST_CLASSES: usize = 4096;

/// A class of an image: its line, and its place among all classes.
type Class = (u32, u32);

/// The classes of images, by the image's name. Classes that are written alike are stored once.
///
/// Names are equal if all bytes are: members of an archive may differ by `./` alone.
#[derive(Debug, Default)]
pub(super) struct Entries {
    images: HashMap<Box<OsStr>, SmallVec<[Class; 2]>>,
    classes: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
    /// Calls of [`add`](Self::add).
    count: usize,
    /// The most parts of a name.
    longest: usize,
}

impl Entries {
    /// Sets the classes of an image that an archive has, all on one line.
    pub(super) fn insert(&mut self, line: usize, image: &Path, classes: &[String]) {
        let classes = classes.iter().map(|class| (line as u32, self.place(class)));
        let classes = classes.collect();
        self.images.insert(image.as_os_str().into(), classes);
    }

    /// Adds an image, and its class unless that is empty. `line` counts from 1.
    pub(super) fn add(
        &mut self,
        line: usize,
        image: &Path,
        class: &str,
    ) -> Result<(), GroundTruthError> {
        self.count += 1;
        if self.count > MOST_ENTRIES {
            return Err(GroundTruthError::TooManyEntries {
                limit: MOST_ENTRIES,
            });
        }
        let parts = image.components();
        let image: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
        let parts = image.components().count();
        if parts == 0 {
            return Err(GroundTruthError::NoName { line });
        }
        if parts > MOST_PARTS {
            return Err(GroundTruthError::TooManyParts {
                line,
                parts,
                limit: MOST_PARTS,
            });
        }
        self.longest = self.longest.max(parts);
        let image = image.as_os_str();
        let place = (!class.is_empty()).then(|| self.place(class));
        let of_image = match self.images.get_mut(image) {
            Some(of_image) => of_image,
            None => self.images.entry(image.into()).or_default(),
        };
        if let Some(place) = place
            && of_image.iter().all(|(_, earlier)| *earlier != place)
        {
            if of_image.len() == MOST_CLASSES {
                return Err(GroundTruthError::TooManyClasses {
                    line,
                    limit: MOST_CLASSES,
                });
            }
            of_image.push((line as u32, place));
        }
        Ok(())
    }

    /// Returns the place of a class.
    fn place(&mut self, class: &str) -> u32 {
        if let Some(place) = self.places.get(class) {
            return *place;
        }
        let class: Arc<str> = class.into();
        let place = self.classes.len() as u32;
        self.classes.push(class.clone());
        self.places.insert(class, place);
        place
    }

    /// Returns whether there are classes of exactly this name.
    pub(super) fn contains(&self, image: &OsStr) -> bool {
        self.images.contains_key(image)
    }

    /// Returns the longest end of a path that has classes.
    pub(super) fn longest_end(&self, image: &Path) -> Option<PathBuf> {
        let image: PathBuf = image.components().collect();
        let mut rest = image.components();
        for _ in self.longest..image.components().count() {
            rest.next();
        }
        loop {
            let end = rest.as_path();
            if self.contains(end.as_os_str()) {
                return Some(end.to_owned());
            }
            rest.next()?;
        }
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &Path> {
        self.images.keys().map(|image| Path::new(&**image))
    }

    /// Returns the different classes of all images.
    pub(super) fn distinct(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|class| &**class)
    }

    /// Returns the classes of an image as they are written.
    pub(super) fn classes(&self, image: &Path) -> Option<impl ExactSizeIterator<Item = &str>> {
        let classes = self.images.get(image.as_os_str())?.iter();
        Some(classes.map(|(_, place)| &*self.classes[*place as usize]))
    }

    /// Returns the line of the last class of an image.
    pub(super) fn last_line(&self, image: &Path) -> Option<usize> {
        let (line, _) = self.images.get(image.as_os_str())?.last()?;
        Some(*line as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_classes_of_an_image_have_limits() {
        let mut entries = Entries::default();
        for number in 0..MOST_CLASSES {
            for _ in 0..2 {
                let class = number.to_string();
                entries.add(number + 1, Path::new("a.jpg"), &class).unwrap();
            }
        }
        let error = entries.add(9000, Path::new("a.jpg"), "other").unwrap_err();
        let text = "line 9000 has more than 4096 classes of an image";
        assert_eq!(error.to_string(), text);
        assert_eq!(entries.last_line(Path::new("a.jpg")), Some(MOST_CLASSES));
        entries.count = MOST_ENTRIES - 1;
        entries.add(1, Path::new("b.jpg"), "").unwrap();
        let error = entries.add(1, Path::new("c.jpg"), "").unwrap_err();
        assert_eq!(error.to_string(), "it has more than 3670016 entries");
        let classes = entries.classes(Path::new("b.jpg")).unwrap();
        assert_eq!(classes.len(), 0);
    }

    #[test]
    fn names_of_members_are_exact_and_other_names_are_paths() {
        let mut members = Entries::default();
        for (line, name) in [
            (1, "x.tar/1.jpg"),
            (2, "x.tar/./1.jpg"),
            (3, "x.tar//1.jpg"),
        ] {
            members.insert(line, Path::new(name), &[line.to_string()]);
        }
        let classes = |name| {
            let classes = members.classes(Path::new(name))?;
            Some(classes.collect::<Vec<_>>())
        };
        assert_eq!(classes("x.tar/1.jpg"), Some(vec!["1"]));
        assert_eq!(classes("x.tar/./1.jpg"), Some(vec!["2"]));
        assert_eq!(classes("x.tar//1.jpg"), Some(vec!["3"]));
        assert_eq!(classes("./x.tar/1.jpg"), None);
        let mut lines = Entries::default();
        lines.add(1, Path::new(".//a/./b//1.jpg"), "7").unwrap();
        for image in ["a/b/1.jpg", "/x/a//b/./1.jpg", "./a/b/1.jpg"] {
            let end = lines.longest_end(Path::new(image));
            assert_eq!(end, Some("a/b/1.jpg".into()), "{image}");
        }
        assert_eq!(lines.longest_end(Path::new("b/1.jpg")), None);
    }

    #[test]
    fn the_parts_of_names_have_a_limit_and_those_of_images_have_none() {
        // Quadratic work on such a path would not end.
        let deep = format!("{}x.jpg", "a/".repeat(1_000_000));
        let mut entries = Entries::default();
        let error = entries.add(3, Path::new(&deep), "1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3 has an image whose path has 1000001 parts, more than 256"
        );
        let longest = &deep[deep.len() - "x.jpg".len() - 2 * (MOST_PARTS - 1)..];
        entries.add(4, Path::new(longest), "1").unwrap();
        assert_eq!(entries.longest_end(Path::new(&deep)), Some(longest.into()));
        assert_eq!(
            entries.longest_end(Path::new(&deep).parent().unwrap()),
            None
        );
    }
}
