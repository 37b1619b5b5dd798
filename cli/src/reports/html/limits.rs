//! The limits that keep a page small.

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

#[cfg(test)]
mod tests {
    use super::*;

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
