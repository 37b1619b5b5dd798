//! The images on which a run and the reference are not both right or both wrong.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use image_classification::Ranked;

use super::listed::Largest;
use crate::accuracy::Criterion;

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
    /// The classes that both runs give, if [`Criterion::ExactMatch`] decides.
    pub given: Option<GivenClasses>,
}

/// The classes that two multi-label models give for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenClasses {
    /// The classes of the run.
    pub run: Vec<usize>,
    /// The classes of the reference, by its own ids.
    pub reference: Vec<usize>,
    /// The run's smallest distance of a score from the threshold, negative if a class is on the wrong side.
    pub margin: Option<f64>,
    /// The margin of the reference.
    pub reference_margin: Option<f64>,
}

impl ChangedAnswer {
    /// Returns the classes that the run gives: of a model whose classes exclude each other, the best one.
    pub fn answers(&self) -> &[usize] {
        let given = self.given.as_ref().map(|given| &*given.run);
        given.unwrap_or(self.answer.as_slice())
    }

    /// Returns the classes that the reference gives, by its own ids.
    pub fn reference_answers(&self) -> &[usize] {
        let given = self.given.as_ref().map(|given| &*given.reference);
        given.unwrap_or(self.reference_answer.as_slice())
    }

    /// Returns the values of the reference and of the run whose change tells how much an image lost: the margins if
    /// [`Criterion::ExactMatch`] decides, otherwise the probabilities of the right class.
    pub fn values(&self) -> [Option<f64>; 2] {
        match &self.given {
            Some(given) => [given.reference_margin, given.margin],
            None => [self.reference_score, self.score],
        }
    }

    /// Returns the loss of the run in these values; it is negative for a gain.
    pub fn loss(&self) -> Option<f64> {
        let [reference, run] = self.values();
        Some(reference? - run?)
    }

    /// Returns the mistakes of the run, if it is the one that is wrong.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let Some(given) = &self.given else {
            return self.answer.map(Mistake::Answer).into_iter().collect();
        };
        let missed = self.truth.iter().filter(|id| !given.run.contains(id));
        let added = given.run.iter().filter(|id| !self.truth.contains(id));
        let missed = missed.map(|id| Mistake::Missed(*id));
        missed.chain(added.map(|id| Mistake::Added(*id))).collect()
    }
}

/// A mistake in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mistake {
    /// The best class is this one, which is not right.
    Answer(usize),
    /// A multi-label model does not give this class, which is right.
    Missed(usize),
    /// A multi-label model gives this class, which is not right.
    Added(usize),
}

/// A class, with the number of its images whose answer changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangedClass {
    /// The class, by the run's ids.
    pub class_id: usize,
    /// The number of its images that both runs answered.
    pub images: usize,
    /// The number of those that the run classifies correctly.
    pub right: usize,
    /// The number of images that only the reference classifies correctly.
    pub lost: usize,
    /// The number of images that only the run classifies correctly.
    pub gained: usize,
}

impl ChangedClass {
    /// Returns the number of images that the reference classifies correctly.
    pub const fn reference_right(&self) -> usize {
        self.right + self.lost - self.gained
    }
}

/// The answers of the reference and a run for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerPair {
    /// True if the answer of the reference, and of the run, is right.
    pub right: [bool; 2],
    /// The [values](ChangedAnswer::values) of the reference and of the run.
    pub scores: [f32; 2],
}

/// The best classes of the reference and of the run.
type Lists = [Vec<Ranked>; 2];

/// The differences of a run's right and wrong answers from the reference's.
#[derive(Debug)]
pub struct Changes {
    /// The rule by which answers are right.
    pub criterion: Criterion,
    /// The number of images that both runs answered.
    pub images: usize,
    /// The images that only the reference classifies correctly.
    new_errors: Vec<ChangedAnswer>,
    /// The images that only the run classifies correctly.
    corrected: Vec<ChangedAnswer>,
    /// For each right class: the images that both runs answered, and those that the run classifies correctly.
    classes: BTreeMap<usize, [usize; 2]>,
    /// One for each image with values in both runs: 12 bytes.
    pairs: Vec<AnswerPair>,
    /// The places of the new errors with the largest losses, with the best classes of the reference and of the run.
    lists: Largest<(usize, Lists)>,
    /// For each right class, the same of its new error with the largest loss, and that loss.
    worst: BTreeMap<usize, (f64, usize, Lists)>,
}

impl Default for Changes {
    fn default() -> Self {
        Self::new(Criterion::default())
    }
}

impl Changes {
    /// The number of new errors that are kept with the best classes of both runs.
    pub const LISTS: usize = 48;

    /// Changes of zero images.
    pub(super) const fn new(criterion: Criterion) -> Self {
        Self {
            criterion,
            images: 0,
            new_errors: Vec::new(),
            corrected: Vec::new(),
            classes: BTreeMap::new(),
            pairs: Vec::new(),
            lists: Largest::new(Self::LISTS),
            worst: BTreeMap::new(),
        }
    }

    /// Counts an image that both runs answered. Each answer is right or not; `lists` are the best classes of the reference
    /// and of the run.
    pub(super) fn add(
        &mut self,
        right: [bool; 2],
        changed: ChangedAnswer,
        lists: impl FnOnce() -> Lists,
    ) {
        self.images += 1;
        for class_id in &changed.truth {
            let counts = self.classes.entry(*class_id).or_default();
            counts[0] += 1;
            counts[1] += usize::from(right[1]);
        }
        if let [Some(reference), Some(run)] = changed.values() {
            self.pairs.push(AnswerPair {
                right,
                scores: [reference as f32, run as f32],
            });
        }
        match right {
            [true, false] => {
                let image = changed.image;
                let loss = order(changed.loss());
                let lists = LazyCell::new(lists);
                for class_id in &changed.truth {
                    let worst = self.worst.get(class_id);
                    if worst.is_none_or(|(most, ..)| loss.total_cmp(most).is_gt()) {
                        self.worst.insert(*class_id, (loss, image, lists.clone()));
                    }
                }
                self.lists.add(loss, || (image, lists.clone()));
                self.new_errors.push(changed);
            }
            [false, true] => self.corrected.push(changed),
            _ => {}
        }
    }

    /// Returns the best classes of the reference and of the run for a new error; `None` except for the
    /// [`LISTS`](Self::LISTS) largest losses, and the largest of each right class.
    pub fn lists(&self, image: usize) -> Option<&[Vec<Ranked>; 2]> {
        let lists = self.lists.iter().map(|(place, lists)| (*place, lists));
        let worst = self.worst.values().map(|(_, place, lists)| (*place, lists));
        let mut all = lists.chain(worst);
        all.find_map(|(place, lists)| (place == image).then_some(lists))
    }

    /// Returns the answers for each image with values in both runs, in the order of the images.
    pub fn pairs(&self) -> &[AnswerPair] {
        &self.pairs
    }

    /// Orders the images: the largest change of the [values](ChangedAnswer::values) first. Changes that are not a number come
    /// first, unknown ones last; equal ones keep the order of the images.
    pub(super) fn sort(&mut self) {
        let new_errors = |changed: &ChangedAnswer| order(changed.loss());
        self.new_errors
            .sort_by(|a, b| new_errors(b).total_cmp(&new_errors(a)));
        let corrected = |changed: &ChangedAnswer| order(changed.loss().map(|loss| -loss));
        self.corrected
            .sort_by(|a, b| corrected(b).total_cmp(&corrected(a)));
    }

    /// Returns the images that only the reference classifies correctly, the largest loss first.
    pub fn new_errors(&self) -> &[ChangedAnswer] {
        &self.new_errors
    }

    /// Returns the images that only the run classifies correctly, the largest gain first.
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
        let new = |class_id: usize| {
            let [images, right] = self.classes.get(&class_id).copied().unwrap_or_default();
            ChangedClass {
                class_id,
                images,
                right,
                ..ChangedClass::default()
            }
        };
        let mut count = |answers: &[ChangedAnswer], add: fn(&mut ChangedClass)| {
            for class_id in answers.iter().flat_map(|changed| &changed.truth) {
                add(classes.entry(*class_id).or_insert_with(|| new(*class_id)));
            }
        };
        count(&self.new_errors, |class| class.lost += 1);
        count(&self.corrected, |class| class.gained += 1);
        let mut classes: Vec<ChangedClass> = classes.into_values().collect();
        let net = |class: &ChangedClass| class.lost as i64 - class.gained as i64;
        classes.sort_by_key(|class| (Reverse(net(class)), Reverse(class.lost), class.class_id));
        classes
    }

    /// Returns the mistakes in the new errors of a class, the most frequent first, each with its number of images. An answer
    /// of a multi-label model may have several.
    pub fn mistakes(&self, class_id: usize) -> Vec<(Mistake, usize)> {
        let mut mistakes: BTreeMap<Mistake, usize> = BTreeMap::new();
        let of_class = self.new_errors.iter();
        let of_class = of_class.filter(|changed| changed.truth.contains(&class_id));
        for mistake in of_class.flat_map(ChangedAnswer::mistakes) {
            *mistakes.entry(mistake).or_default() += 1;
        }
        let mut mistakes: Vec<(Mistake, usize)> = mistakes.into_iter().collect();
        mistakes.sort_by_key(|(mistake, count)| (Reverse(*count), *mistake));
        mistakes
    }
}

/// Returns the sort key of a change of probability. Changes that are not a number are largest, unknown ones smallest.
fn order(change: Option<f64>) -> f64 {
    match change {
        Some(change) if change.is_nan() => f64::INFINITY,
        Some(change) => change,
        None => f64::NEG_INFINITY,
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
            given: None,
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
            let list = vec![Ranked {
                class_id: image,
                score: 0.5,
            }];
            changes.add(right, changed(image, 0, scores), || [list, Vec::new()]);
        }
        changes.sort();
        let places = |all: &[ChangedAnswer]| all.iter().map(|it| it.image).collect::<Vec<_>>();
        assert_eq!(places(changes.new_errors()), [4, 2, 0, 3, 1]);
        assert_eq!(places(changes.corrected()), [6, 5]);
        assert_eq!((changes.images, changes.right_alone()), (9, [5, 2]));
        let listed = |image: usize| Some(changes.lists(image)?[0][0].class_id);
        assert_eq!([2, 5].map(listed), [Some(2), None]);
        assert_eq!(changes.pairs().len(), 8);
    }

    #[test]
    fn the_worst_image_of_each_class_has_its_lists() {
        let mut changes = Changes::default();
        // The class 1 loses little, but all images of class 0 fill the places.
        for image in 0..Changes::LISTS + 9 {
            let scores = Some([0.9, 0.1]);
            changes.add([true, false], changed(image, 0, scores), Default::default);
        }
        for (image, score) in [(100, 0.4), (101, 0.3), (102, 0.4)] {
            let scores = Some([0.5, score]);
            changes.add([true, false], changed(image, 1, scores), Default::default);
        }
        let has_lists = |image: usize| changes.lists(image).is_some();
        let of_images = [0, Changes::LISTS, 100, 101, 102].map(has_lists);
        assert_eq!(of_images, [true, false, false, true, false]);
    }

    #[test]
    fn the_class_that_lost_most_is_first() {
        let mut changes = Changes::default();
        let mut add = |class: usize, lost: usize, gained: usize| {
            for right in [vec![[true, false]; lost], vec![[false, true]; gained]].concat() {
                changes.add(right, changed(0, class, None), Default::default);
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
        let two = changes.classes()[1];
        assert_eq!((two.images, two.right, two.reference_right()), (5, 2, 3));
    }

    #[test]
    fn the_most_frequent_wrong_answer_of_a_class_is_first() {
        let mut changes = Changes::default();
        for (image, (class, answer)) in [(1, 8), (1, 7), (1, 7), (2, 8)].into_iter().enumerate() {
            let changed = ChangedAnswer {
                answer: Some(answer),
                ..changed(image, class, None)
            };
            changes.add([true, false], changed, Default::default);
        }
        assert_eq!(
            changes.mistakes(1),
            [(Mistake::Answer(7), 2), (Mistake::Answer(8), 1)]
        );
        assert_eq!(changes.mistakes(3), []);
    }

    #[test]
    fn several_labels_are_missed_or_added() {
        let mut changes = Changes::new(Criterion::ExactMatch);
        for (image, (run, margin)) in [(&[1][..], -0.1), (&[1, 2, 5], -0.3), (&[5], -0.2)]
            .into_iter()
            .enumerate()
        {
            let changed = ChangedAnswer {
                truth: vec![1, 2],
                given: Some(GivenClasses {
                    run: run.to_vec(),
                    reference: vec![1, 2],
                    margin: Some(margin),
                    reference_margin: Some(0.25),
                }),
                // The probability of the best right class tells nothing about the others.
                ..changed(image, 1, Some([0.9, 0.9]))
            };
            changes.add([true, false], changed, Default::default);
        }
        changes.sort();
        let found = changes
            .new_errors()
            .iter()
            .map(|it| (it.image, it.answers()));
        let found: Vec<(usize, &[usize])> = found.collect();
        assert_eq!(found, [(1, &[1, 2, 5][..]), (2, &[5]), (0, &[1])]);
        assert_eq!(
            changes.mistakes(1),
            [
                (Mistake::Missed(2), 2),
                (Mistake::Added(5), 2),
                (Mistake::Missed(1), 1)
            ]
        );
    }
}
