//! The test of whether the reference is right more often than by chance. Otherwise a drop from it proves nothing.

use std::collections::HashMap;

use crate::accuracy::Criterion;
use crate::statistics::Rate;
use crate::text::{counted, grouped, number};

/// The quantile of the standard normal distribution for a one-sided 95 % limit.
const Z: f64 = 1.644_853_626_951_472_7;
/// The correction of the normal limit for whole numbers (1/2) and for the skewness of rare matches, (Z² - 1) / 6.
const CORRECTION: f64 = 0.5 + (Z * Z - 1.0) / 6.0;

/// Counts of the ground truth and of the answers of the reference, for which the number of right answers with shuffled
/// ground truth follows.
#[derive(Debug, Default)]
pub struct Chance {
    criterion: Criterion,
    right: usize,
    /// The number of images with each set of right classes.
    truths: HashMap<Vec<usize>, usize>,
    /// The number of images with each answer.
    answers: HashMap<Vec<usize>, usize>,
    /// The number of classes, if it is known.
    classes: Option<usize>,
}

impl Chance {
    /// Counts of zero images. `classes` is the number of the reference's classes, if that is known.
    pub(super) fn new(criterion: Criterion, classes: Option<usize>) -> Self {
        Self {
            criterion,
            classes,
            ..Self::default()
        }
    }

    /// Adds an answer of the reference: the given classes, or the best one where that decides.
    pub(super) fn add(&mut self, is_right: bool, truth: &[usize], answer: &[usize]) {
        self.right += usize::from(is_right);
        count(&mut self.truths, truth);
        count(&mut self.answers, answer);
    }

    pub(super) const fn criterion(&self) -> Criterion {
        self.criterion
    }

    fn images(&self) -> usize {
        self.truths.values().sum()
    }

    /// Returns the reason why the reference's right answers may be chance. `None` if they are not.
    pub(super) fn doubt(&self) -> Option<String> {
        let images = self.images();
        let shuffled = Shuffled::of(images, &self.truths, &self.answers, self.criterion);
        let right = format!(
            "the reference is right on {} of {}",
            grouped(self.right),
            counted(images, "image")
        );
        let perfect = Shuffled::of(images, &self.truths, &self.truths, Criterion::ExactMatch);
        // A constant answer is never more than chance, unless there are too few images to tell.
        let is_constant = shuffled.is_constant && images as f64 > perfect.limit();
        if is_constant || shuffled.most as f64 > shuffled.limit() {
            let is_chance = self.right as f64 <= shuffled.limit();
            let mean = number(shuffled.mean);
            return is_chance.then(|| {
                format!("{right}, no more than chance: with shuffled ground truth it would be right on about {mean}")
            });
        }
        // In no order are these answers right more often than a shuffle allows: there are too few classes or images, or
        // most answers are classes that no image has.
        let guess = match (self.criterion, self.classes) {
            (Criterion::Top1, Some(classes)) => 1.0 / classes.max(1) as f64,
            _ => 0.0,
        };
        let is_chance = Rate::new(self.right, images).low <= guess;
        is_chance.then(|| match self.classes {
            Some(classes) if guess > 0.0 => format!(
                "{right}, no more than chance for a guess among {} classes",
                grouped(classes)
            ),
            _ => right,
        })
    }
}

fn count(counts: &mut HashMap<Vec<usize>, usize>, key: &[usize]) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.to_vec(), 1);
        }
    }
}

/// The number of right answers, if the ground truth were shuffled among the images.
struct Shuffled {
    mean: f64,
    deviation: f64,
    /// The most right answers of all shuffles, or a little more where images have several right classes.
    most: usize,
    /// True if most answers are one class, too often, and the others are classes that no image has: then no order is better.
    is_constant: bool,
}

impl Shuffled {
    /// Returns the exact mean and standard deviation over all shuffles (Hoeffding 1951).
    fn of(
        images: usize,
        truths: &HashMap<Vec<usize>, usize>,
        answers: &HashMap<Vec<usize>, usize>,
        criterion: Criterion,
    ) -> Self {
        let n = images.max(1) as f64;
        // For each answer the number of images on which it would be right.
        let mut of_answers: HashMap<&[usize], usize> = HashMap::new();
        let (mut pairs, mut squares) = (0.0, 0.0);
        let mut most_of_truths = 0;
        for (truth, images) in truths {
            let single = |class: &usize| std::slice::from_ref::<usize>(class).to_vec();
            let right: Vec<Vec<usize>> = match criterion {
                Criterion::ExactMatch => vec![truth.clone()],
                Criterion::Top1 => truth.iter().map(single).collect(),
            };
            let right = right
                .iter()
                .filter_map(|answer| answers.get_key_value(answer));
            let mut of_truth = 0;
            for (answer, count) in right {
                of_truth += count;
                *of_answers.entry(answer).or_default() += images;
            }
            most_of_truths += of_truth.min(*images);
            let (images, of_truth) = (*images as f64, of_truth as f64);
            pairs += images * of_truth;
            squares += images * of_truth * of_truth;
        }
        let is_only = of_answers.len() == 1;
        let has_several_truths = answers.len() == 1 && truths.len() > 1;
        let (mut most_of_answers, mut is_surplus) = (0, false);
        for (answer, of_answer) in of_answers {
            let count = answers[answer];
            squares += count as f64 * (of_answer * of_answer) as f64;
            most_of_answers += count.min(of_answer);
            is_surplus |= count > of_answer && 2 * count > images;
        }
        let mean = pairs / n;
        let variance = (pairs - squares / n + mean * mean) / (n - 1.0).max(1.0);
        Self {
            mean,
            deviation: variance.max(0.0).sqrt(),
            most: most_of_truths.min(most_of_answers),
            is_constant: is_only && (is_surplus || has_several_truths),
        }
    }

    /// Returns the number of right answers that about 5 % of the shuffles exceed at most. One alone is never more.
    fn limit(&self) -> f64 {
        (self.mean + Z * self.deviation + CORRECTION).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(classes: usize, answers: &[(usize, usize)]) -> Chance {
        let mut chance = Chance::new(Criterion::Top1, Some(classes));
        for (truth, answer) in answers {
            chance.add(truth == answer, &[*truth], &[*answer]);
        }
        chance
    }

    /// Returns images of the classes from 0, of which `images` is the number of each. The last `wrong` of each class
    /// are taken for the class `shift` further.
    fn answers(images: &[usize], wrong: &[usize], shift: usize) -> Vec<(usize, usize)> {
        let of_class = |(class, (images, wrong)): (usize, (&usize, &usize))| {
            let answer = |place: usize| {
                if place < images - wrong {
                    class
                } else {
                    class + shift
                }
            };
            (0..*images)
                .map(|place| (class, answer(place)))
                .collect::<Vec<_>>()
        };
        images
            .iter()
            .zip(wrong)
            .enumerate()
            .flat_map(of_class)
            .collect()
    }

    #[test]
    fn small_sets_with_right_answers_are_evidence() {
        for (what, classes, answers) in [
            (
                "9 of 12 of 1000 classes",
                1000,
                answers(&[1; 12], &[[0; 9], [1; 9]].concat()[..12], 500),
            ),
            ("one image", 1000, vec![(7, 7)]),
            ("one of two", 1000, vec![(7, 7), (8, 7)]),
            ("two images", 1000, vec![(7, 7), (8, 8)]),
            ("three of four", 1000, answers(&[1; 4], &[0, 0, 0, 1], 9)),
            ("nine of twelve of one class", 1000, answers(&[12], &[3], 1)),
            ("35 of 50 of two classes", 2, {
                let mut all = answers(&[25, 0], &[8, 0], 1);
                all.extend((0..25).map(|place| (1, usize::from(place < 18))));
                all
            }),
            ("48 of 50, of which 47 are of one class", 2, {
                let mut all = answers(&[47], &[1], 1);
                all.extend([(1, 1), (1, 1), (1, 0)]);
                all
            }),
            // A miss outside the classes of the images leaves no order of the answers that a shuffle could not give.
            (
                "five of five of two classes",
                12,
                answers(&[3, 2], &[0, 0], 5),
            ),
            (
                "five of six of two classes",
                12,
                answers(&[3, 3], &[0, 1], 5),
            ),
            ("19 of 19 and 0 of 1", 12, answers(&[19, 1], &[0, 1], 5)),
            ("98 of 99 and 0 of 1", 1000, answers(&[99, 1], &[1, 1], 5)),
            ("16 of 18 and 0 of 2", 1000, answers(&[18, 2], &[2, 2], 5)),
            ("15 of 18 and 1 of 2", 1000, answers(&[18, 2], &[3, 1], 5)),
            (
                "nine of ten and none of two",
                1000,
                answers(&[10, 1, 1], &[1, 1, 1], 5),
            ),
            (
                "two of four classes",
                1000,
                answers(&[1; 4], &[0, 0, 1, 1], 9),
            ),
            (
                "two of five classes",
                1000,
                answers(&[1; 5], &[0, 0, 1, 1, 1], 9),
            ),
        ] {
            assert_eq!(chance(classes, &answers).doubt(), None, "{what}");
        }
    }

    #[test]
    fn right_answers_by_chance_are_no_evidence() {
        let ring: Vec<_> = (0..400)
            .map(|place| (place % 100 + 500, place % 100))
            .collect();
        let constant: Vec<_> = (0..100)
            .map(|place| (usize::from(place >= 60), 0))
            .collect();
        let mut one = ring.clone();
        one[0] = (0, 0);
        // Ground truth in another order, and with other ids.
        let shuffled: Vec<_> = (0..100).map(|place| (99 - place, place)).collect();
        let shifted: Vec<_> = (0..100).map(|place| (place / 5 + 1, place / 5)).collect();
        let mut nearly_constant = constant.clone();
        nearly_constant[99].1 = 500;
        for (answers, classes, words) in [
            (
                ring,
                1000,
                "right on 0 of 400 images, no more than chance for a guess among 1,000 classes",
            ),
            (
                one,
                1000,
                "right on 1 of 400 images, no more than chance for a guess among 1,000 classes",
            ),
            (
                constant,
                2,
                "right on 60 of 100 images, no more than chance: with shuffled ground truth it would be right on about 60",
            ),
            (
                shuffled,
                1000,
                "right on 0 of 100 images, no more than chance: with shuffled",
            ),
            (
                shifted,
                1000,
                "right on 0 of 100 images, no more than chance: with shuffled",
            ),
            (
                nearly_constant,
                1000,
                "right on 60 of 100 images, no more than chance: with shuffled ground truth it would be right on about 59.4",
            ),
            (
                vec![(0, 0)],
                2,
                "right on 1 of 1 image, no more than chance for a guess among 2 classes",
            ),
            (
                vec![(0, 3)],
                1000,
                "right on 0 of 1 image, no more than chance",
            ),
        ] {
            let doubt = chance(classes, &answers).doubt().unwrap();
            assert!(doubt.contains(words), "{doubt}");
        }
    }

    #[test]
    fn sets_of_classes_are_shuffled_as_a_whole() {
        let mut exact = Chance::new(Criterion::ExactMatch, Some(3));
        for truth in [&[][..], &[1, 2], &[2], &[0, 1, 2]] {
            exact.add(false, truth, &[0]);
        }
        assert!(exact.doubt().unwrap().contains("right on 0 of 4 images"));
        let mut right = Chance::new(Criterion::ExactMatch, Some(3));
        for truth in [&[][..], &[1, 2], &[2], &[0, 1, 2]] {
            right.add(true, truth, truth);
        }
        assert_eq!(right.doubt(), None);
        // The best class of a multi-label model is right if it is one of the right ones.
        let mut top1 = Chance::new(Criterion::Top1, Some(4));
        for (place, truth) in [[0, 1], [1, 2], [2, 3], [0, 3]]
            .iter()
            .cycle()
            .take(40)
            .enumerate()
        {
            let best = truth[place % 2];
            top1.add(true, truth, &[best]);
        }
        assert_eq!(top1.doubt(), None);
        let of_top1 = Shuffled::of(40, &top1.truths, &top1.answers, Criterion::Top1);
        assert!((of_top1.mean - 20.0).abs() < 1e-9, "{}", of_top1.mean);
        assert_eq!((of_top1.most, of_top1.is_constant), (40, false));
        // One class is right for all images: any order of the answers is right.
        let mut constant = Chance::new(Criterion::Top1, Some(4));
        for truth in [[0, 1], [0, 2], [0, 3]].iter().cycle().take(30) {
            constant.add(true, truth, &[0]);
        }
        let doubt = constant.doubt().unwrap();
        assert!(doubt.contains("would be right on about 30"), "{doubt}");
        // Each of two classes is right for all images, but only four answers are one of them.
        let mut few = Chance::new(Criterion::Top1, Some(4));
        for place in 0..6 {
            few.add(place < 4, &[0, 1], &[[0, 1, 0, 1, 2, 3][place]]);
        }
        let of_few = Shuffled::of(6, &few.truths, &few.answers, Criterion::Top1);
        assert_eq!(of_few.most, 4);
        assert_eq!(few.doubt(), None);
    }

    #[test]
    fn mean_and_deviation_are_those_of_all_shuffles() {
        const ROUNDS: usize = 4000;
        let mut random = fastrand::Rng::with_seed(7);
        for (classes, images) in [(2, 12), (2, 50), (5, 20), (30, 60), (1000, 400)] {
            // Few classes are frequent.
            let mut draw = |_| random.usize(..classes).min(random.usize(..classes));
            let mut truths: Vec<usize> = (0..images).map(&mut draw).collect();
            let given: Vec<usize> = (0..images).map(&mut draw).collect();
            let pairs: Vec<_> = truths.iter().copied().zip(given.iter().copied()).collect();
            let counts = chance(classes, &pairs);
            let exact = Shuffled::of(images, &counts.truths, &counts.answers, Criterion::Top1);
            let (mut sum, mut squares, mut beyond) = (0.0, 0.0, 0);
            for _ in 0..ROUNDS {
                random.shuffle(&mut truths);
                let right = truths.iter().zip(&given).filter(|(a, b)| a == b).count() as f64;
                sum += right;
                squares += right * right;
                beyond += usize::from(right > exact.limit());
            }
            let mean = sum / ROUNDS as f64;
            let deviation = (squares / ROUNDS as f64 - mean * mean).sqrt();
            let words = format!(
                "{classes} classes: {mean} {} {deviation} {}",
                exact.mean, exact.deviation
            );
            assert!(
                (mean - exact.mean).abs() < 0.08 * exact.deviation,
                "{words}"
            );
            assert!((deviation / exact.deviation - 1.0).abs() < 0.05, "{words}");
            // Of two classes, the number changes in steps of 2.
            let beyond = beyond as f64 / ROUNDS as f64;
            assert!(beyond < 0.06, "{words}: {beyond}");
            assert!(images < 50 || beyond > 0.01, "{words}: {beyond}");
        }
    }
}
