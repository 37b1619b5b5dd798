//! The few answers that reports show with their best classes.

use image_classification::Ranked;

/// A wrong answer with its best classes.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedAnswer {
    /// The place of the image.
    pub image: usize,
    /// The right classes.
    pub truth: Vec<usize>,
    /// The best classes of the run.
    pub top: Vec<Ranked>,
}

/// The items with the largest keys, the largest first; equal ones in the order in which they were added.
#[derive(Debug)]
pub(super) struct Largest<T> {
    most: usize,
    items: Vec<(f64, T)>,
}

impl<T> Largest<T> {
    /// Keeps at most `most` items.
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            items: Vec::new(),
        }
    }

    /// Adds an item unless enough others have keys that are as large.
    pub fn add(&mut self, key: f64, item: impl FnOnce() -> T) {
        let place = self
            .items
            .partition_point(|(other, _)| other.total_cmp(&key).is_ge());
        if place < self.most {
            self.items.insert(place, (key, item()));
            self.items.truncate(self.most);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, item)| item)
    }

    pub fn into_items(self) -> Vec<T> {
        self.items.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_in_order() {
        let mut largest = Largest::new(3);
        let keys = [0.5, f64::NEG_INFINITY, 0.9, 0.5, f64::INFINITY, 0.5, 0.1];
        for (place, key) in keys.into_iter().enumerate() {
            largest.add(key, || place);
        }
        assert_eq!(largest.into_items(), [4, 2, 0]);
    }
}
