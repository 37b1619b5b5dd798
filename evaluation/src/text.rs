//! Text for people: counts, names and errors that are safe to print.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::iter;
use std::sync::Arc;

use backend_api::ErrorKind;

/// Formats a count: `1 image`, `28 images`, `50,000 images`.
pub fn counted(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{} {what}{end}", grouped(count))
}

/// Formats a count with a comma between thousands: `50,000`.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the number of images with the verb: `1 image is`, `2 images are`.
pub(crate) fn counted_are(images: u64) -> String {
    let verb = if images == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(images as usize, "image"))
}

/// Tells how many of `of` runs failed, with the name and the reason of the `first`:
/// `1 of 2 runs failed: onnx: ONNX Runtime was not found`.
pub(crate) fn failed_runs(count: usize, of: usize, first: Option<(&str, &str)>) -> String {
    let failed = format!("{count} of {} failed", counted(of, "run"));
    let Some((name, error)) = first else {
        return failed;
    };
    let reason = error.lines().next().unwrap_or_default();
    // A list may follow, such as that of searched places.
    let message = reason.rsplit_once("; ");
    let message = message.filter(|(_, heading)| heading.ends_with(':'));
    let reason = message.map_or(reason, |(message, _)| message);
    let first = if count > 1 { ", the first" } else { "" };
    format!(
        "{failed}{first}: {}: {}",
        printable(name),
        printable(reason)
    )
}

/// Returns a measured value with three significant digits: `0.191`, `12.5`, and `1.91e-6` for values below 0.0001.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    if !(0.0001..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    // 0.0001 has no digit before the fourth place.
    let places = (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.places$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Makes `text` safe for a terminal: control characters, line ends and marks that change the
/// direction of writing are escaped, and so are code points that XML cannot hold.
/// File names, labels and engines' messages may be hostile.
pub fn printable(text: &str) -> String {
    Printable(text).to_string()
}

/// Writes a text as [`printable`] makes it.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = *self;
        // Most texts need no change, and each result has many texts.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return f.write_str(text);
        }
        text.chars().try_for_each(|character| {
            let acts =
                character.is_control() || is_noncharacter(character) || turns_or_breaks(character);
            if acts {
                write!(f, "{}", character.escape_default())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// Returns whether a code point changes the direction of writing (Unicode's `Bidi_Control`), or ends a line or a paragraph.
fn turns_or_breaks(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Returns whether a code point is a Unicode noncharacter: the last two of each plane, and a block.
fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}

/// Lists classes as they are written: `"cat" and "dog"`.
pub(crate) fn quoted(written: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = written
        .iter()
        .map(|class| format!("\"{}\"", printable(class.as_ref())))
        .collect();
    match &*quoted {
        [] => "no class".to_owned(),
        _ => quoted.join(" and "),
    }
}

/// Returns the error and its causes on one line, made safe for a terminal.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    chain_with(error, ToString::to_string)
}

/// Does [`chain`] with the texts that `text` returns.
///
/// Causes, such as engines' messages, have several lines, which are joined. Only the places of a search for an engine stay
/// on lines of their own: other line breaks are those of names and values, which are escaped.
pub fn chain_with(
    error: &(dyn Error + 'static),
    text: impl Fn(&(dyn Error + 'static)) -> String,
) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in iter::successors(Some(error), |error| Error::source(*error)) {
        let is_of_engine =
            cause.is::<backend_api::Error>() || cause.is::<Arc<backend_api::Error>>();
        let text = text(cause);
        let text = if parts.is_empty() && lists_places(cause) {
            text.lines().map(printable).collect::<Vec<_>>().join("\n")
        } else if parts.is_empty() && !is_of_engine {
            printable(&text)
        } else {
            one_line(&text)
        };
        // Some types repeat their cause in their own text.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// Returns whether an error ends in the list of the places where an engine was looked for.
fn lists_places(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<backend_api::Error>()
        .is_some_and(|error| {
            let text = error.to_string();
            let heading = text.lines().next().unwrap_or_default();
            error.kind() == ErrorKind::EngineUnavailable && heading.ends_with(':')
        })
}

/// Joins the lines of an engine's message.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(printable).collect();
    lines.join(" | ")
}

/// Returns whether a text is UTF-16 by its beginning: it has a byte order mark, or every other byte is NUL and lines end.
/// Paths of one letter that are separated by NUL have no ends of lines.
pub fn is_utf_16(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return true;
    }
    let (pairs, _) = bytes.as_chunks::<2>();
    let every = |place: usize| {
        pairs
            .iter()
            .all(|pair| pair[place] == 0 && pair[1 - place] != 0)
    };
    (every(1) && pairs.contains(b"\n\0")) || (every(0) && pairs.contains(b"\0\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (count, text) in [
            (0, "0 images"),
            (1, "1 image"),
            (999, "999 images"),
            (1000, "1,000 images"),
            (50_000, "50,000 images"),
            (1_234_567, "1,234,567 images"),
        ] {
            assert_eq!(counted(count, "image"), text);
        }
    }

    #[test]
    fn failed_runs_are_counted_with_the_first_reason() {
        let error = "ONNX Runtime was not found; looked in:\n  /a\n  /b";
        for (count, first, text) in [
            (1, None, "1 of 2 runs failed"),
            (
                1,
                Some(("onnx", error)),
                "1 of 2 runs failed: onnx: ONNX Runtime was not found",
            ),
            (
                2,
                Some(("a", "b; c")),
                "2 of 2 runs failed, the first: a: b; c",
            ),
        ] {
            assert_eq!(failed_runs(count, 2, first), text);
        }
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.1911, "0.191"),
            (1.0, "1"),
            (12.345, "12.3"),
            (1234.5, "1234"),
            (0.000_123_4, "0.000123"),
            (1.911e-6, "1.91e-6"),
            (-0.25, "-0.25"),
            (2e9, "2.00e9"),
            (-0.0, "0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(
            printable("a\x1b]52;c\x07\u{202e}é"),
            "a\\u{1b}]52;c\\u{7}\\u{202e}é"
        );
        assert_eq!(
            printable("a\u{61c}b\u{2028}c\u{2029}\u{200d}"),
            "a\\u{61c}b\\u{2028}c\\u{2029}\u{200d}"
        );
        assert_eq!(
            printable("\u{fffe}\u{ffff}\u{fdd0}\u{10ffff}\u{fffd}"),
            "\\u{fffe}\\u{ffff}\\u{fdd0}\\u{10ffff}\u{fffd}"
        );
    }
    /// An error with a cause.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn causes_are_joined_once() {
        let layer = |text, cause: Option<Layer>| Layer(text, cause.map(Box::new));
        let cause = layer("cause\n\n  more", None);
        let outer = layer("top", Some(layer("outer: same", Some(cause))));
        assert_eq!(chain(&outer), "top: outer: same: cause | more");
        let names = layer(
            "cannot read d\nerror: fake",
            Some(layer("9\nPASSED: x", None)),
        );
        assert_eq!(chain(&names), "cannot read d\\nerror: fake: 9 | PASSED: x");
        let engine = |kind, text: &str| chain(&backend_api::Error::new(kind, text));
        let of_engine = engine(ErrorKind::ModelInvalid, "wrong:\n node\u{1b}\n");
        assert_eq!(of_engine, "wrong: | node\\u{1b}");
        let places = "not found; looked in:\n  /a\n  /b";
        assert_eq!(engine(ErrorKind::EngineUnavailable, places), places);
        let repeated = layer("outer: same", Some(layer("same", None)));
        assert_eq!(chain(&repeated), "outer: same");
    }
}
