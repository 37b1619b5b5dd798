//! Ranking.

use std::cmp::Ordering;

/// The most classes that are kept in order while all are looked at, which is faster than sorting them all.
const MOST_INSERTED: usize = 32;

/// A class and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Ranked {
    /// The index of the class in the model's output.
    pub class_id: usize,
    /// Its score, as [`Scores`](crate::Scores) gives it.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f32>"))]
    pub score: f32,
}

/// Returns the `k` best classes: score descending, then class id ascending. Fewer if there are fewer.
///
/// `scores` must not contain NaN; [`Scores`](crate::Scores) guarantees it. Zeros of both signs are
/// equal, as `==` has it.
///
/// ```
/// use image_classification::top_k;
///
/// let ids: Vec<_> = top_k(&[0.1, 0.5, 0.1, 0.3], 3).iter().map(|r| r.class_id).collect();
/// assert_eq!(ids, [1, 3, 0]);
/// ```
pub fn top_k(scores: &[f32], k: usize) -> Vec<Ranked> {
    let ranked = |(class_id, &score): (usize, &f32)| Ranked { class_id, score };
    let k = k.min(scores.len());
    if k > MOST_INSERTED {
        let mut all: Vec<Ranked> = scores.iter().enumerate().map(ranked).collect();
        all.select_nth_unstable_by(k - 1, order);
        all.truncate(k);
        all.sort_unstable_by(order);
        return all;
    }
    let mut best: Vec<Ranked> = Vec::with_capacity(k);
    for one in scores.iter().enumerate().map(ranked) {
        if best.len() == k {
            match best.last() {
                // Of equal scores, the earlier class is better.
                Some(worst) if one.score > worst.score => best.pop(),
                _ => continue,
            };
        }
        let place = best.partition_point(|better| order(better, &one).is_lt());
        best.insert(place, one);
    }
    best
}

/// Returns the order of a ranking: the better class is less.
fn order(a: &Ranked, b: &Ranked) -> Ordering {
    let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
    by_score.then_with(|| a.class_id.cmp(&b.class_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(scores: &[f32], k: usize) -> Vec<usize> {
        top_k(scores, k)
            .iter()
            .map(|ranked| ranked.class_id)
            .collect()
    }

    #[test]
    fn ties_rank_by_class_id() {
        assert_eq!(ids(&[0.2; 50], 10), (0..10).collect::<Vec<_>>());
        assert_eq!(ids(&[0.0, -0.0, 0.0], 3), [0, 1, 2]);
        assert_eq!(
            ids(&[1.0, f32::INFINITY, -1.0, f32::NEG_INFINITY], 10),
            [1, 0, 2, 3]
        );
    }

    #[test]
    fn a_few_of_many_are_the_first_of_all() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let count = random.usize(..200);
            // Many are equal, and zeros have both signs.
            let mut score = || {
                let other = random.f32();
                [0.0, -0.0, 1.0, -1.0, other, f32::INFINITY][random.usize(..6)]
            };
            let scores: Vec<f32> = (0..count).map(|_| score()).collect();
            let all = ids(&scores, count);
            for k in [1, 2, 10, 31, 32, 33, 150] {
                assert_eq!(ids(&scores, k), all[..k.min(count)]);
            }
        }
    }

    #[test]
    fn few_classes_give_few_results() {
        assert_eq!(ids(&[0.2, 0.8], 10), [1, 0]);
        assert!(ids(&[0.2, 0.8], 0).is_empty());
        assert!(ids(&[], 3).is_empty());
    }
}
