//! The parts of the page around the results: the verdict, the gates, the numbers, and the policy for its only script.

use std::fmt::Display;
use std::sync::LazyLock;

use data_encoding::BASE64;
use evaluation::Digest;
use evaluation::agreement::{Gate, Verdict};
use evaluation::text::{grouped, printable};

use super::super::gates::GateRow;

/// The script of the page, which filters and sorts. Without it, the page shows the same content.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    // Browsers hash a script with the line ends of HTML.
    include_str!("../../../templates/report.js").replace("\r\n", "\n")
});

/// The class of the style sheet for a verdict that a remark limits.
const UNPROVEN: &str = "unproven";

/// The page never folds this number of passed gates or fewer.
const FEW: usize = 3;

/// The head of a page.
pub struct Frame {
    /// `compare` or `evaluate`.
    pub command: &'static str,
    /// The verdict as a class of the style sheet.
    pub verdict: &'static str,
    /// The verdict and its reason on one line.
    pub line: String,
    /// A command that finds out more.
    pub hint: Option<String>,
    /// The node that adds the most error or differs first.
    pub worst: Option<WorstLine>,
    pub gates: Vec<GateRow>,
    /// The number of images, for example.
    pub facts: Vec<String>,
    /// The table of contents: the anchor, the heading, the number of entries or nothing.
    pub contents: Vec<(String, String, String)>,
}

impl Frame {
    pub fn new(command: &'static str, verdict: Verdict, line: String, gates: Vec<GateRow>) -> Self {
        let is_unproven = gates.iter().any(|row| row.gate.remark.is_some());
        let mut frame = Self {
            command,
            verdict: match verdict {
                _ if line.starts_with("EVALUATED") => "recorded",
                Verdict::Recorded => "recorded",
                Verdict::Agree if is_unproven => UNPROVEN,
                Verdict::Agree => "agree",
                Verdict::Disagree => "disagree",
                Verdict::CouldNotCompare => "unknown",
            },
            line,
            hint: None,
            worst: None,
            gates,
            facts: Vec::new(),
            contents: Vec::new(),
        };
        for row in &mut frame.gates {
            row.gate.found = minus(&row.gate.found);
            row.remark = row.remark.as_deref().map(minus);
        }
        frame
    }

    /// Returns the capitals at the beginning of the line: the verdict.
    pub fn word(&self) -> &str {
        let is_of_word = |letter: char| letter.is_ascii_uppercase() || letter == ' ';
        let word = self.line.split(|letter| !is_of_word(letter)).next();
        word.unwrap_or_default().trim_end()
    }

    /// Returns whether all gates passed, but a remark says that the images do not prove one of them.
    pub fn is_unproven(&self) -> bool {
        self.verdict == UNPROVEN
    }

    /// Returns the line without the verdict.
    pub fn reason(&self) -> &str {
        let rest = &self.line[self.word().len()..];
        rest.strip_prefix(": ").unwrap_or(rest).trim_start()
    }

    /// Returns the number of gates that are not folded: the failed ones or, if there are none, those with a remark. If
    /// only a few others are left, no gate is folded.
    fn notable(&self) -> usize {
        let all = self.gates.len();
        let failed = self.gates.iter().take_while(|row| !row.gate.passed).count();
        let notable = match failed {
            0 => {
                let gates = self.gates.iter();
                gates.take_while(|row| row.gate.remark.is_some()).count()
            }
            _ => failed,
        };
        if all <= notable + FEW {
            all
        } else {
            notable.max(1)
        }
    }

    pub fn notable_gates(&self) -> &[GateRow] {
        &self.gates[..self.notable()]
    }

    /// Returns the number of folded gates with a remark.
    pub fn remarks(&self) -> usize {
        let folded = self.folded_gates().iter();
        folded.filter(|row| row.gate.remark.is_some()).count()
    }

    /// Returns the gates that are folded.
    pub fn folded_gates(&self) -> &[GateRow] {
        &self.gates[self.notable()..]
    }

    /// Returns the content security policy. It allows this script, the page's own styles and images, and nothing else.
    pub fn policy() -> String {
        let digest = BASE64.encode(&Digest::of(SCRIPT.as_bytes()).bytes());
        format!(
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; \
             base-uri 'none'; form-action 'none'"
        )
    }

    pub fn script() -> &'static str {
        &SCRIPT
    }

    /// Formats a count in a template, which has references of several depths.
    pub fn shown(count: impl Display) -> String {
        let text = count.to_string();
        text.parse().map_or(text, grouped)
    }

    /// Adds a section to the table of contents, with the number of its entries.
    pub fn add(&mut self, anchor: &str, heading: &str, count: Option<usize>) {
        let count = count.map_or_else(String::new, grouped);
        let entry = (anchor.to_owned(), heading.to_owned(), count);
        self.contents.push(entry);
    }
}

/// The most important numbers of a run.
pub struct Scorecard {
    pub title: String,
    /// The verdict as a word and as a class of the style sheet.
    pub chip: (&'static str, &'static str),
    /// The largest number, with its unit.
    pub big: String,
    /// The meaning of the number.
    pub meaning: String,
    /// Names and values.
    pub values: Vec<(&'static str, String)>,
    pub worst: Option<WorstLine>,
}

/// The class or the image that got worst: most readers look for it first.
pub struct WorstLine {
    /// `Worst class` or `Worst image`.
    pub what: &'static str,
    /// The anchor of the section with the details.
    pub anchor: String,
    pub text: String,
}

/// A path, divided before its last part.
pub struct Name {
    pub directory: String,
    pub file: String,
}

impl Name {
    /// Returns the parts of the file's name, between which a line may end.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.file.split_inclusive('_')
    }
}

impl From<String> for Name {
    fn from(path: String) -> Self {
        let start = path.rfind(std::path::MAIN_SEPARATOR);
        let start = start.map_or(0, |place| place + 1);
        Self {
            file: path[start..].to_owned(),
            directory: path[..start].to_owned(),
        }
    }
}

impl Scorecard {
    /// Describes a run without results.
    pub fn failed(title: String, error: &str) -> Self {
        Self {
            title,
            chip: ("failed", "failed"),
            big: "no result".to_owned(),
            meaning: printable(error),
            values: Vec::new(),
            worst: None,
        }
    }
}

/// Returns the verdict of gates as a word and as a class of the style sheet.
pub fn chip(gates: &[Gate]) -> (&'static str, &'static str) {
    match gates {
        [] => ("no gate", "neutral"),
        _ if gates.iter().any(|gate| !gate.passed && !gate.is_open) => ("FAILED", "failed"),
        _ if gates.iter().any(|gate| gate.is_open) => ("OPEN", "open"),
        _ if gates.iter().any(|gate| gate.remark.is_some()) => ("passed, unproven", "open"),
        _ => ("passed", "passed"),
    }
}

/// Returns a signed difference with three digits after the point, or how small it is.
pub fn signed(difference: f64) -> String {
    match difference {
        0.0 => "0".to_owned(),
        _ if difference.abs() < 0.0005 => "< 0.001".to_owned(),
        _ => minus(&format!("{difference:+.3}")),
    }
}

/// Writes the hyphens of negative numbers as minus signs.
pub fn minus(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_sign = letter == '-'
            && [' ', '(', '[', '/'].contains(&before)
            && letters.peek().is_some_and(char::is_ascii_digit);
        written.push(if is_sign { '−' } else { letter });
        before = letter;
    }
    written
}

/// Lets a line end before the parenthesis of a value, and not within it.
pub fn unbroken(value: &str) -> String {
    match value.split_once(" (") {
        Some((value, rest)) => format!("{value} ({}", rest.replace(' ', "\u{a0}")),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_one_sign_and_are_never_minus_nothing() {
        for (difference, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-0.000_2, "< 0.001"),
            (0.000_4, "< 0.001"),
            (-0.25, "−0.250"),
            (0.5, "+0.500"),
        ] {
            assert_eq!(signed(difference), text);
        }
    }

    #[test]
    fn a_line_may_end_before_an_interval() {
        let value = unbroken("4.2 points (95 %: 1 to 2)");
        assert_eq!(value, "4.2 points (95\u{a0}%:\u{a0}1\u{a0}to\u{a0}2)");
        assert_eq!(unbroken("a b"), "a b");
    }

    #[test]
    fn only_the_hyphens_of_numbers_are_minus_signs() {
        for (text, written) in [
            (
                "4.2 points (95 %: -9.1 to 18.7)",
                "4.2 points (95 %: −9.1 to 18.7)",
            ),
            ("-0.5", "−0.5"),
            ("top-1 a-3.jpg 1e-6 -x", "top-1 a-3.jpg 1e-6 -x"),
        ] {
            assert_eq!(minus(text), written);
        }
    }
}
