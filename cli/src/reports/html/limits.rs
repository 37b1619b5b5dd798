//! The limits that keep a page small.

use std::collections::BTreeSet;

/// The cards of a page, over all runs.
pub const CARDS: usize = 48;
/// The most rows of all long tables of a page, over all runs.
pub const ROWS: usize = 2_000;
/// The most rows of a table of classes.
pub const CLASSES: usize = 25;
/// The most characters of a path in a table.
const PATH: usize = 300;

/// Returns the end of a path that is longer than a table shows.
pub fn short_path(path: &str) -> String {
    let count = path.chars().count();
    if count <= PATH {
        return path.to_owned();
    }
    let end: String = path.chars().skip(count - PATH + 1).collect();
    format!("…{end}")
}

/// Returns the part of a limit that each of several runs has, at least `least`.
pub fn part(most: usize, runs: usize, least: usize) -> usize {
    (most / runs.max(1)).max(least)
}

/// Chooses at most `most` of `count` entries, which keep their order: the first one of each group, as far as two thirds of
/// the places suffice, then the first of all. `is_of` tells whether the entry at a place is of a group.
pub fn chosen(
    count: usize,
    most: usize,
    groups: &[usize],
    is_of: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let mut places = BTreeSet::new();
    for group in groups {
        if places.len() >= most * 2 / 3 {
            break;
        }
        places.extend((0..count).find(|place| is_of(*place, *group)));
    }
    let mut all = 0..count;
    while places.len() < most.min(count) {
        places.extend(all.next());
    }
    places.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_first_entry() {
        // Group 0 has the first 90 places.
        let is_of = |place: usize, group: usize| place.saturating_sub(89) == group;
        let few = chosen(100, 6, &[9, 0, 3], is_of);
        assert_eq!(few, [0, 1, 2, 3, 92, 98]);
        // Of six places, two are left for the first of all.
        let many = chosen(100, 6, &[9, 8, 7, 6, 5, 4], is_of);
        assert_eq!(many, [0, 1, 95, 96, 97, 98]);
        assert_eq!(chosen(3, 6, &[9, 0], is_of), [0, 1, 2]);
        assert!(chosen(0, 6, &[9, 0], is_of).is_empty());
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let path = format!("{}/cat.jpg", "ü".repeat(PATH));
        let short = short_path(&path);
        assert_eq!(short.chars().count(), PATH);
        assert!(
            short.starts_with('…') && short.ends_with("ü/cat.jpg"),
            "{short}"
        );
        assert_eq!(short_path("a/cat.jpg"), "a/cat.jpg");
    }
}
