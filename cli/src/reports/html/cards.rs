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
    /// The width of the bar in percent.
    pub width: f64,
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
        let entry = |(place, ranked): (usize, &Ranked)| {
            let mark = mark(place, ranked.class_id);
            (place < ENTRIES || mark != Mark::Other).then(|| Entry {
                class: class(ranked.class_id),
                score: format!("{:.4}", ranked.score),
                width: (f64::from(ranked.score).clamp(0.0, 1.0) * 1000.0).round() / 10.0,
                mark,
            })
        };
        Self {
            title,
            entries: top.iter().enumerate().filter_map(entry).collect(),
        }
    }
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
