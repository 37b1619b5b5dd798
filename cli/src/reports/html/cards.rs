//! Cards of images: the thumbnail, the ground truth, and the best classes of each run with bars.

use image_classification::Ranked;

use super::frame::Name;
use super::thumbnails::Thumbnail;

/// The most classes of a list, except for marked ones.
const ENTRIES: usize = 5;

/// An image with the best classes of one or two runs.
pub struct Card {
    pub name: Name,
    pub thumbnail: Thumbnail,
    /// The largest number of the card, such as the lost probability.
    pub delta: String,
    /// False for a difference within the limits.
    pub is_bad: bool,
    /// The meaning of the next text, and the right class or the best classes of both runs.
    pub classes: (&'static str, String),
    /// The wrong answer instead of the right class.
    pub became: String,
    pub note: String,
    pub lists: Vec<List>,
}

/// The best classes of a run.
pub struct List {
    /// The name of the run.
    pub title: String,
    pub entries: Vec<Entry>,
}

/// A class with its score.
pub struct Entry {
    pub class: String,
    pub score: String,
    /// The width of the bar in percent. `None` for scores that are not from 0 to 1, such as raw outputs.
    pub width: Option<f64>,
    pub mark: Mark,
}

/// The meaning of a class in a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The right class.
    Right,
    /// The best class, which is not right.
    Wrong,
    /// The best class of the reference, where there is no ground truth.
    Same,
    /// The best class of the run, which is not that of the reference.
    Changed,
    Other,
}

impl Mark {
    /// Returns the class of the style sheet.
    pub const fn style(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Other => "other",
        }
    }

    /// Returns the sign, which needs no colour, and its meaning.
    pub const fn sign(self) -> (&'static str, &'static str) {
        match self {
            Self::Right => ("✓", "right"),
            Self::Wrong => ("✕", "wrong"),
            Self::Same => ("●", "best class of the reference"),
            Self::Changed => ("≠", "another best class"),
            Self::Other => ("", ""),
        }
    }
}

impl List {
    /// Describes the first of `top`, and the marked ones. `mark` tells the meaning of a class by its place.
    pub fn new(
        title: String,
        top: &[Ranked],
        class: impl Fn(usize) -> String,
        mark: impl Fn(usize, usize) -> Mark,
    ) -> Self {
        let has_bars = top.iter().all(|ranked| (0.0..=1.0).contains(&ranked.score));
        let entry = |(place, ranked): (usize, &Ranked)| {
            let mark = mark(place, ranked.class_id);
            (place < ENTRIES || mark != Mark::Other).then(|| Entry {
                class: class(ranked.class_id),
                score: if ranked.score.is_nan() {
                    String::new()
                } else {
                    format!("{:.4}", ranked.score)
                },
                width: has_bars.then(|| (f64::from(ranked.score) * 1000.0).round() / 10.0),
                mark,
            })
        };
        Self {
            title,
            entries: top.iter().enumerate().filter_map(entry).collect(),
        }
    }
}

/// Joins the most frequent answers and the number of images with further ones.
pub fn reasons(mut shown: Vec<String>, others: usize) -> String {
    match others {
        0 => {}
        1 => shown.push("1 other".to_owned()),
        _ => shown.push(format!("{others} others")),
    }
    shown.join(", ")
}

/// Returns the marks of classes where the ground truth is known.
pub fn by_truth(truth: &[usize]) -> impl Fn(usize, usize) -> Mark {
    move |place, class_id| {
        if truth.contains(&class_id) {
            Mark::Right
        } else if place == 0 {
            Mark::Wrong
        } else {
            Mark::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scores: [f32; 2]) -> List {
        let top = scores.map(|score| Ranked { class_id: 1, score });
        let class = |id: usize| id.to_string();
        List::new("run".to_owned(), &top, class, |_, _| Mark::Other)
    }

    fn widths(scores: [f32; 2]) -> [Option<f64>; 2] {
        let list = list(scores);
        [0, 1].map(|entry| list.entries[entry].width)
    }

    #[test]
    fn only_scores_from_0_to_1_have_bars() {
        assert_eq!(widths([0.75, 0.25]), [Some(75.0), Some(25.0)]);
        assert_eq!(widths([12.5, 0.25]), [None; 2]);
        assert_eq!(widths([0.5, -0.25]), [None; 2]);
    }

    #[test]
    fn class_ids_have_neither_scores_nor_bars() {
        let list = list([f32::NAN; 2]);
        assert_eq!((list.entries[0].width, &*list.entries[0].score), (None, ""));
    }

    #[test]
    fn further_answers_are_counted() {
        let shown = || vec!["7 × 1 cat".to_owned(), "2 × 2 dog".to_owned()];
        assert_eq!(reasons(shown(), 0), "7 × 1 cat, 2 × 2 dog");
        assert_eq!(reasons(shown(), 1), "7 × 1 cat, 2 × 2 dog, 1 other");
        assert_eq!(reasons(shown(), 3), "7 × 1 cat, 2 × 2 dog, 3 others");
    }
}
