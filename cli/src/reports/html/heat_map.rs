//! The confusion matrix of the classes that are confused most, as a heat map.

use std::collections::BTreeMap;

use askama::Template;
use evaluation::text::counted;

use super::super::wording::shortened;

/// The most classes of a heat map.
const CLASSES: usize = 10;
/// The most characters of a class next to its row.
const SHORT: usize = 18;
/// The side of a cell in the units of the drawing.
const CELL: f64 = 23.0;
/// The title of the rows needs so much, however few they are.
const LEAST_HEIGHT: f64 = 160.0;
/// The largest opacity of a cell: its number stays readable.
const DARKEST: f64 = 0.5;

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

    /// Draws the classes that are confused most. `name` names a class; `axes` are the titles of the rows and columns.
    pub fn chart(&self, title: String, axes: [&str; 2], name: impl Fn(usize) -> String) -> String {
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
                    text: short_count(count),
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
        let chart = HeatMap {
            title,
            subtitle: format!(
                "the {} classes in the most frequent confusions, with {drawn} of {wrong} confusions",
                classes.len(),
            ),
            side: classes.len() as f64 * CELL,
            height: (classes.len() as f64 * CELL).max(LEAST_HEIGHT),
            row_title: axes[0].to_owned(),
            column_title: axes[1].to_owned(),
            labels: labels.collect(),
            cells,
        };
        chart.render().unwrap_or_default()
    }
}

/// Returns a count of at most four characters.
fn short_count(count: usize) -> String {
    match count {
        0 => String::new(),
        1..10_000 => count.to_string(),
        _ => format!("{}k", count / 1000),
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
    height: f64,
    row_title: String,
    column_title: String,
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
        let chart = confusions.chart("title".to_owned(), ["right", "answer"], |class| {
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
        let axes = ["right", "answer"];
        assert_eq!(
            confusions.chart(String::new(), axes, |class| class.to_string()),
            ""
        );
    }
}
