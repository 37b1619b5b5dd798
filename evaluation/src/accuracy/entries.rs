//! The images of a file with ground truth, and their classes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use smallvec::SmallVec;

use super::error::GroundTruthError;

/// Most lines with an image and a class, or classes in lists of them. The table of a few more would be twice as large.
pub(super) const MOST_ENTRIES: usize = (1 << 22) / 8 * 7;
/// Most classes of an image on different lines. Each is compared with those before it.
const MOST_CLASSES: usize = 4096;

/// A class of an image: its line, and its place among all classes.
type Class = (u32, u32);

/// The classes of images, by the image's name. Classes that are written alike are stored once.
#[derive(Debug, Default)]
pub(super) struct Entries {
    images: HashMap<Box<Path>, SmallVec<[Class; 2]>>,
    classes: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
    /// Calls of [`add`](Self::add).
    count: usize,
}

impl Entries {
    /// Sets the classes of an image that an archive has, all on one line.
    pub(super) fn insert(&mut self, line: usize, image: &Path, classes: &[String]) {
        let classes = classes.iter().map(|class| (line as u32, self.place(class)));
        let classes = classes.collect();
        self.images.insert(image.into(), classes);
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

    pub(super) fn contains(&self, image: &Path) -> bool {
        self.images.contains_key(image)
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &Path> {
        self.images.keys().map(|image| &**image)
    }

    /// Returns the different classes of all images.
    pub(super) fn distinct(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|class| &**class)
    }

    /// Returns the classes of an image as they are written.
    pub(super) fn classes(&self, image: &Path) -> Option<impl ExactSizeIterator<Item = &str>> {
        let classes = self.images.get(image)?.iter();
        Some(classes.map(|(_, place)| &*self.classes[*place as usize]))
    }

    /// Returns the line of the last class of an image.
    pub(super) fn last_line(&self, image: &Path) -> Option<usize> {
        let (line, _) = self.images.get(image)?.last()?;
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
}
