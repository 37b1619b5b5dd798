//! The images on which a run and the reference are not both right or both wrong.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// An image on which only one of two runs is right.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedAnswer {
    /// The place of the image.
    pub image: usize,
    /// The right classes, by the run's ids.
    pub truth: Vec<usize>,
    /// The best class of the run. `None` for an answer without classes.
    pub answer: Option<usize>,
    /// The best class of the reference, by its own ids.
    pub reference_answer: Option<usize>,
    /// The run's probability of the right class; of several right classes, the largest. `None` for raw outputs and class
    /// ids.
    pub score: Option<f64>,
    /// The reference's probability of the right class.
    pub reference_score: Option<f64>,
}

impl ChangedAnswer {
    /// Returns the probability of the right class that the run lost; it is negative for a gain.
    pub fn loss(&self) -> Option<f64> {
        Some(self.reference_score? - self.score?)
    }
}

/// A class, with the number of its images whose answer changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangedClass {
    /// The class, by the run's ids.
    pub class_id: usize,
    /// The number of images that only the reference classifies correctly.
    pub lost: usize,
    /// The number of images that only the run classifies correctly.
    pub gained: usize,
}

/// The differences of a run's right and wrong answers from the reference's.
#[derive(Debug, Default)]
pub struct Changes {
    /// The number of images that both runs answered.
    pub images: usize,
    /// The images that only the reference classifies correctly.
    new_errors: Vec<ChangedAnswer>,
    /// The images that only the run classifies correctly.
    corrected: Vec<ChangedAnswer>,
}

impl Changes {
    /// Counts an image that both runs answered. Each answer is right or not; `changed` describes an image on which they
    /// differ.
    pub(super) fn add(
        &mut self,
        [reference, run]: [bool; 2],
        changed: impl FnOnce() -> ChangedAnswer,
    ) {
        self.images += 1;
        match (reference, run) {
            (true, false) => self.new_errors.push(changed()),
            (false, true) => self.corrected.push(changed()),
            _ => {}
        }
    }

    /// Orders the images: the largest change of the right class's probability first. Changes that are not a number come
    /// first, unknown ones last; equal ones keep the order of the images.
    pub(super) fn sort(&mut self) {
        let key = |loss: Option<f64>| match loss {
            Some(loss) if loss.is_nan() => f64::INFINITY,
            Some(loss) => loss,
            None => f64::NEG_INFINITY,
        };
        let new_errors = |changed: &ChangedAnswer| key(changed.loss());
        self.new_errors
            .sort_by(|a, b| new_errors(b).total_cmp(&new_errors(a)));
        let corrected = |changed: &ChangedAnswer| key(changed.loss().map(|loss| -loss));
        self.corrected
            .sort_by(|a, b| corrected(b).total_cmp(&corrected(a)));
    }

    /// Returns the images that only the reference classifies correctly, the largest loss of probability first.
    pub fn new_errors(&self) -> &[ChangedAnswer] {
        &self.new_errors
    }

    /// Returns the images that only the run classifies correctly, the largest gain of probability first.
    pub fn corrected(&self) -> &[ChangedAnswer] {
        &self.corrected
    }

    /// Returns the number of images on which the reference alone is right, and the run alone.
    pub fn right_alone(&self) -> [usize; 2] {
        [self.new_errors.len(), self.corrected.len()]
    }

    /// Returns the classes with changed answers: the largest net loss first, then the most lost images, then by class id.
    /// An image with several right classes counts for each.
    pub fn classes(&self) -> Vec<ChangedClass> {
        let mut classes: BTreeMap<usize, ChangedClass> = BTreeMap::new();
        let mut count = |answers: &[ChangedAnswer], add: fn(&mut ChangedClass)| {
            for class_id in answers.iter().flat_map(|changed| &changed.truth) {
                add(classes.entry(*class_id).or_insert(ChangedClass {
                    class_id: *class_id,
                    ..ChangedClass::default()
                }));
            }
        };
        count(&self.new_errors, |class| class.lost += 1);
        count(&self.corrected, |class| class.gained += 1);
        let mut classes: Vec<ChangedClass> = classes.into_values().collect();
        let net = |class: &ChangedClass| class.lost as i64 - class.gained as i64;
        classes.sort_by_key(|class| (Reverse(net(class)), Reverse(class.lost), class.class_id));
        classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(image: usize, class: usize, scores: Option<[f64; 2]>) -> ChangedAnswer {
        ChangedAnswer {
            image,
            truth: vec![class],
            answer: None,
            reference_answer: Some(class),
            score: scores.map(|[_, run]| run),
            reference_score: scores.map(|[reference, _]| reference),
        }
    }

    #[test]
    fn the_largest_loss_is_first() {
        let mut changes = Changes::default();
        let scores = [
            (Some([0.5, 0.4]), [true, false]),
            (None, [true, false]),
            (Some([0.9, 0.1]), [true, false]),
            (Some([0.5, 0.4]), [true, false]),
            (Some([0.9, f64::NAN]), [true, false]),
            (Some([0.4, 0.5]), [false, true]),
            (Some([0.1, 0.9]), [false, true]),
            (Some([0.9, 0.9]), [true, true]),
            (Some([0.1, 0.1]), [false, false]),
        ];
        for (image, (scores, right)) in scores.into_iter().enumerate() {
            changes.add(right, || changed(image, 0, scores));
        }
        changes.sort();
        let places = |all: &[ChangedAnswer]| all.iter().map(|it| it.image).collect::<Vec<_>>();
        assert_eq!(places(changes.new_errors()), [4, 2, 0, 3, 1]);
        assert_eq!(places(changes.corrected()), [6, 5]);
        assert_eq!((changes.images, changes.right_alone()), (9, [5, 2]));
    }

    #[test]
    fn the_class_that_lost_most_is_first() {
        let mut changes = Changes::default();
        let mut add = |class: usize, lost: usize, gained: usize| {
            for right in [vec![[true, false]; lost], vec![[false, true]; gained]].concat() {
                changes.add(right, || changed(0, class, None));
            }
        };
        add(1, 1, 2);
        add(2, 3, 2);
        add(3, 2, 0);
        add(5, 1, 0);
        add(4, 1, 0);
        let found: Vec<[usize; 3]> = changes
            .classes()
            .iter()
            .map(|class| [class.class_id, class.lost, class.gained])
            .collect();
        assert_eq!(
            found,
            [[3, 2, 0], [2, 3, 2], [4, 1, 0], [5, 1, 0], [1, 1, 2]]
        );
    }
}
