//! The dependence of a run's answers on the image. Agreement of models with constant answers is not evidence.

use super::difference::{Answer, INFORMATIVE};
use crate::text::{grouped, number};

/// The variation of one run's answers over the images.
#[derive(Debug, Default, Clone)]
pub struct Variation {
    /// The range of each value of the output.
    ranges: Vec<[f32; 2]>,
    /// Answers that are finite.
    answers: usize,
    /// Answers whose classes differ in score.
    with_order: usize,
}

impl Variation {
    /// Adds the answer for one image.
    pub fn add(&mut self, answer: &Answer) {
        let Some(scores) = answer.scores() else {
            return;
        };
        let output = scores.output();
        if self.ranges.is_empty() {
            self.ranges = output.iter().map(|&value| [value; 2]).collect();
        }
        for ([low, high], &value) in self.ranges.iter_mut().zip(output) {
            *low = low.min(value);
            *high = high.max(value);
        }
        self.answers += 1;
        self.with_order += usize::from(answer.has_order());
    }

    /// Returns the largest change of a value from image to image, as a share of the largest value; `None` for fewer
    /// than two answers.
    fn spread(&self) -> Option<f64> {
        let change = |[low, high]: &[f32; 2]| f64::from(*high) - f64::from(*low);
        let size = |[low, high]: &[f32; 2]| f64::from(low.abs().max(high.abs()));
        let most = |of: &dyn Fn(&[f32; 2]) -> f64| self.ranges.iter().map(of).fold(0.0, f64::max);
        let (change, size) = (most(&change), most(&size));
        (self.answers > 1).then(|| if size == 0.0 { 0.0 } else { change / size })
    }

    /// Returns whether the answers are informative: some image's classes differ, and images differ in their answers.
    /// A single
    /// answer does not show whether it depends on its image.
    pub fn is_informative(&self) -> bool {
        self.with_order > 0 && self.spread().is_some_and(|spread| spread > INFORMATIVE)
    }

    /// Returns the variation that a pair is judged by: the reference's, or another run's if only that has several
    /// answers. A recorded run has none for the made-up image.
    pub fn of_pair(all: &[Self], reference: usize, run: usize) -> &Self {
        let known = |variation: &&Self| variation.answers > 1;
        let both = [&all[reference], &all[run]];
        let mut candidates = both.into_iter().chain(all);
        candidates.find(known).unwrap_or(&all[reference])
    }

    /// Describes the finding for reports.
    pub fn found(&self) -> String {
        let order = format!(
            "classes differ in {} of {} answers",
            grouped(self.with_order),
            grouped(self.answers)
        );
        match self.spread() {
            Some(spread) => format!(
                "{order}; values change by {} of the largest one from image to image, minimum {INFORMATIVE}",
                number(spread)
            ),
            None => format!("{order}; one answer does not show whether it depends on the image"),
        }
    }
}

#[cfg(test)]
mod tests {
    use backend_api::Tensor;
    use image_classification::{Interpretation, Scoring};

    use super::*;

    fn variation(scoring: Scoring, answers: &[&[f32]]) -> Variation {
        let mut variation = Variation::default();
        let interpretation = Interpretation::plain(scoring);
        for values in answers {
            let output = Tensor::new([1, values.len()], values.to_vec()).unwrap();
            variation.add(&Answer::new(&output, &interpretation, 1).unwrap());
        }
        variation
    }

    #[test]
    fn a_model_that_always_says_the_same_says_nothing() {
        let constant: &[f32] = &[1.0, 5.0, 2.0];
        assert!(!variation(Scoring::Softmax, &[constant, constant]).is_informative());
        let other: &[f32] = &[1.0, 5.0, 2.01];
        let varied = variation(Scoring::Softmax, &[constant, constant, other]);
        assert!(varied.is_informative(), "{}", varied.found());
        // The best class is the same, and its probability is 1 on both.
        let saturated = variation(Scoring::Softmax, &[&[900.0, 1.0], &[800.0, 2.0]]);
        assert!(saturated.is_informative());
        // A single answer does not show it; the answer of another run may.
        let single = variation(Scoring::Softmax, &[constant]);
        assert!(!single.is_informative());
        let all = [single, varied];
        assert!(Variation::of_pair(&all, 0, 1).is_informative());
    }

    #[test]
    fn classes_that_always_tie_say_nothing() {
        let tied = variation(Scoring::Softmax, &[&[1.0, 1.0], &[7.0, 7.0]]);
        assert!(!tied.is_informative());
        assert!(!Variation::default().is_informative());
        let one_class = variation(Scoring::Probability, &[&[1.0], &[1.0]]);
        assert!(!one_class.is_informative());
        let ids = variation(Scoring::ClassIds, &[&[3.0], &[4.0]]);
        assert!(ids.is_informative());
    }
}
