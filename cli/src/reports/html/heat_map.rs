//! The confusion matrix of the classes that are confused most, as a heat map.

use std::collections::BTreeMap;

use askama::Template;
use evaluation::text::{counted, grouped};

use super::super::wording::shortened;
use super::charts::short_count;

/// The most classes of a heat map.
const CLASSES: usize = 10;
/// The most characters of a class next to its row.
const SHORT: usize = 18;
/// The side of a cell in the units of the drawing.
const CELL: f64 = 23.0;
/// The largest opacity of a cell: its number stays readable.
const DARKEST: f64 = 0.5;

/// The words about the classes of images.
pub struct Words {
    /// The titles of the rows and columns.
    axes: [&'static str; 2],
    /// The name of pairs of different classes.
    pairs: &'static str,
    /// The meaning of the diagonal and of other cells.
    colours: [&'static str; 2],
}

/// The rows are the ground truth.
pub const TRUTH: Words = Words {
    axes: ["ground truth", "answer of the run"],
    pairs: "confusions",
    colours: ["right", "confused"],
};
/// The rows are the answers of a reference, which need not be right.
pub const AGREEMENT: Words = Words {
    axes: ["reference", "best class of the run"],
    pairs: "changes",
    colours: ["the same best class", "another best class"],
};

/// The counts of two classes for an image: the expected one, the answer.
#[derive(Default)]
pub struct Confusions(BTreeMap<(usize, usize), usize>);

impl Confusions {
    pub fn add(&mut self, expected: usize, answer: usize, count: usize) {
        *self.0.entry((expected, answer)).or_default() += count;
    }

    /// Returns the pairs of different classes, the most frequent first.
    pub fn most(&self) -> Vec<(usize, usize, usize)> {
        let pairs = self.0.iter().filter(|((one, other), _)| one != other);
        let mut pairs: Vec<_> = pairs.map(|((a, b), count)| (*a, *b, *count)).collect();
        pairs.sort_by_key(|(one, other, count)| (std::cmp::Reverse(*count), *one, *other));
        pairs
    }

    /// Draws the classes that are confused most. `name` names a class.
    pub fn chart(&self, title: String, words: &Words, name: impl Fn(usize) -> String) -> String {
        let pairs = self.most();
        let mut classes: Vec<usize> = Vec::new();
        for (expected, answer, _) in &pairs {
            let new = |class: &usize| !classes.contains(class);
            let new: Vec<usize> = [*expected, *answer].into_iter().filter(new).collect();
            if classes.len() + new.len() <= CLASSES {
                classes.extend(new);
            }
        }
        if classes.is_empty() {
            return String::new();
        }
        classes.sort_unstable();
        let wrong: usize = pairs.iter().map(|(.., count)| count).sum();
        let is_drawn = |class: &usize| classes.contains(class);
        let drawn = pairs.iter().filter(|(a, b, _)| is_drawn(a) && is_drawn(b));
        let drawn: usize = drawn.map(|(.., count)| count).sum();
        let most = pairs.first().map_or(1, |(.., count)| *count);
        let mut cells = Vec::new();
        for (row, expected) in classes.iter().enumerate() {
            for (column, answer) in classes.iter().enumerate() {
                let count = self.0.get(&(*expected, *answer)).copied().unwrap_or(0);
                let share = count as f64 / most as f64;
                cells.push(Cell {
                    x: column as f64 * CELL,
                    y: row as f64 * CELL,
                    text: match count {
                        0 => String::new(),
                        _ => short_count(count),
                    },
                    opacity: (share.min(1.0) * DARKEST * 100.0).round() / 100.0,
                    right: row == column,
                    title: format!(
                        "{}: {} → {}",
                        counted(count, "image"),
                        name(*expected),
                        name(*answer)
                    ),
                });
            }
        }
        let labels = classes.iter().enumerate().map(|(place, class)| Label {
            place: place as f64 * CELL,
            id: class.to_string(),
            short: shortened(&name(*class), SHORT),
            name: name(*class),
        });
        let labels: Vec<Label> = labels.collect();
        let chart = HeatMap {
            title,
            subtitle: format!(
                "the {} classes in the most frequent {}, with {} of {} {}",
                classes.len(),
                words.pairs,
                grouped(drawn),
                grouped(wrong),
                words.pairs
            ),
            has_long_ids: labels.iter().any(|label| label.id.len() > 3),
            side: classes.len() as f64 * CELL,
            axes: words.axes,
            colours: words.colours,
            labels,
            cells,
        };
        chart.render().unwrap_or_default()
    }
}

struct Cell {
    x: f64,
    y: f64,
    text: String,
    opacity: f64,
    right: bool,
    title: String,
}

struct Label {
    place: f64,
    id: String,
    short: String,
    name: String,
}

#[derive(Template)]
#[template(path = "charts/heat_map.html")]
struct HeatMap {
    title: String,
    subtitle: String,
    side: f64,
    axes: [&'static str; 2],
    colours: [&'static str; 2],
    /// Ids of more than three digits are small, so that they fit above each other's columns.
    has_long_ids: bool,
    labels: Vec<Label>,
    cells: Vec<Cell>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_that_are_confused_most_are_drawn() {
        let mut confusions = Confusions::default();
        for class in 0..40 {
            confusions.add(class, class, 100);
            confusions.add(class, class + 100, class + 1);
        }
        let chart = confusions.chart("title".to_owned(), &TRUTH, |class| {
            format!("{class} <name>")
        });
        assert!(chart.contains("with 190 of 820 confusions"), "{chart}");
        assert!(
            chart.contains("40 images: 39 &#60;name&#62; → 139 &#60;name&#62;"),
            "{chart}"
        );
        assert!(!chart.contains("<name>"), "{chart}");
    }

    #[test]
    fn without_confusions_there_is_no_chart() {
        let mut confusions = Confusions::default();
        confusions.add(1, 1, 5);
        let chart = confusions.chart(String::new(), &TRUTH, |class| class.to_string());
        assert_eq!(chart, "");
    }

    #[test]
    fn without_ground_truth_nothing_is_right() {
        let mut confusions = Confusions::default();
        confusions.add(1, 2, 5);
        let chart = confusions.chart("title".to_owned(), &AGREEMENT, |class| class.to_string());
        assert!(chart.contains("Green: the same best class."), "{chart}");
        assert!(chart.contains("with 5 of 5 changes"), "{chart}");
        for word in ["right", "confus", "dark"] {
            assert!(!chart.contains(word), "{chart}");
        }
    }
}
