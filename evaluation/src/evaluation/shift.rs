//! Ground truth whose ids are off by one: data sets that count classes from 1, and models whose class 0 is the background.

use std::collections::BTreeSet;

/// The fewest different classes that show a shift: fewer may be a mistake of the model.
const LEAST_CLASSES: usize = 3;

/// A shift of the class ids of the ground truth that would make most answers right, where hardly any is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdShift {
    /// The [`label_offset`](super::EvaluationOptions::label_offset) that shifts the ids.
    pub label_offset: i64,
    /// The number of answers that would be right.
    pub right: usize,
    /// The number of answers that are right as it is.
    pub right_as_given: usize,
    /// The number of images whose class is written as an id.
    pub images: usize,
}

/// Counts the answers that a shift by one would make right.
#[derive(Debug, Default)]
pub(super) struct ShiftCounts {
    images: usize,
    right: usize,
    /// For the shifts by -1 and by 1: the right answers and their classes.
    shifted: [(usize, BTreeSet<usize>); 2],
}

impl ShiftCounts {
    /// Adds an answer whose right class is written as an id.
    pub fn add(&mut self, truth: usize, best: Option<usize>) {
        let Some(best) = best else { return };
        self.images += 1;
        self.right += usize::from(best == truth);
        let meant = [truth.checked_sub(1), truth.checked_add(1)];
        for ((right, classes), meant) in self.shifted.iter_mut().zip(meant) {
            if meant == Some(best) {
                *right += 1;
                classes.insert(truth);
            }
        }
    }

    /// Returns the shift, if more than half of the answers are off by the same one and at most a tenth is right.
    pub fn shift(&self, label_offset: i64) -> Option<IdShift> {
        let counts = self.shifted.iter().zip([-1, 1]);
        let mut shifts = counts.filter(|((right, classes), _)| {
            right * 2 > self.images && classes.len() >= LEAST_CLASSES
        });
        let ((right, _), by) = shifts.next()?;
        (self.right * 10 <= self.images).then(|| IdShift {
            label_offset: label_offset.saturating_add(by),
            right: *right,
            right_as_given: self.right,
            images: self.images,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(answers: &[(usize, usize)]) -> Option<i64> {
        let mut counts = ShiftCounts::default();
        for (truth, best) in answers {
            counts.add(*truth, Some(*best));
        }
        Some(counts.shift(0)?.label_offset)
    }

    #[test]
    fn ids_that_are_off_by_one_are_found_in_both_directions() {
        assert_eq!(shift(&[(1, 0), (5, 4), (9, 8), (3, 7)]), Some(-1));
        assert_eq!(shift(&[(0, 1), (5, 6), (9, 10)]), Some(1));
    }

    #[test]
    fn right_answers_show_no_shift() {
        assert_eq!(shift(&[(0, 0), (5, 5), (9, 9), (3, 4)]), None);
        // Half of the answers are off by one, and one in six is right.
        let answers = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 9), (11, 3)];
        assert_eq!(shift(&answers), None);
    }

    #[test]
    fn few_classes_show_no_shift() {
        assert_eq!(shift(&[(0, 1), (0, 1), (0, 1), (1, 2)]), None);
    }

    #[test]
    fn the_shift_is_added_to_the_offset() {
        let mut counts = ShiftCounts::default();
        for class in 10..20 {
            counts.add(class, Some(class + 1));
        }
        let shift = counts.shift(2).unwrap();
        assert_eq!((shift.label_offset, shift.right, shift.images), (3, 10, 10));
    }
}
