//! Ranking.

use std::cmp::Ordering;

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

/// The `k` best classes: score descending, then class id ascending. Fewer if there are fewer.
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
    let mut ranked: Vec<Ranked> = scores
        .iter()
        .enumerate()
        .map(|(class_id, &score)| Ranked { class_id, score })
        .collect();
    let order = |a: &Ranked, b: &Ranked| {
        b.score
            .partial_cmp(&a.score)
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.class_id.cmp(&b.class_id))
    };
    if k == 0 {
        return Vec::new();
    }
    if k < ranked.len() {
        ranked.select_nth_unstable_by(k - 1, order);
        ranked.truncate(k);
    }
    ranked.sort_unstable_by(order);
    ranked
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
    fn few_classes_give_few_results() {
        assert_eq!(ids(&[0.2, 0.8], 10), [1, 0]);
        assert!(ids(&[0.2, 0.8], 0).is_empty());
        assert!(ids(&[], 3).is_empty());
    }
}
