//! The limits that keep a page small.

/// The cards of a page, over all runs.
pub const CARDS: usize = 48;
/// The most rows of all long tables of a page, over all runs.
pub const ROWS: usize = 2_000;
/// The most rows of a table of classes.
pub const CLASSES: usize = 25;

/// Returns the part of a limit that each of several runs has, at least `least`.
pub fn part(most: usize, runs: usize, least: usize) -> usize {
    (most / runs.max(1)).max(least)
}
