//! Text for people: counts, and names that are safe to print.

/// `1 image`, `28 images`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `text` without what a terminal would act on: control characters and marks that change the
/// direction of writing are escaped, and so are code points that are no characters, which XML cannot hold.
/// File names, labels and engines' messages are hostile.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let acts = character.is_control()
                || is_noncharacter(character)
                || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped = acts.then(|| character.escape_default());
            escaped.into_iter().flatten().chain((!acts).then_some(character))
        })
        .collect()
}

/// Returns whether a code point is a Unicode noncharacter: the last two of each plane, and a block.
fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(
            printable("a\x1b]52;c\x07\u{202e}é"),
            "a\\u{1b}]52;c\\u{7}\\u{202e}é"
        );
        assert_eq!(
            printable("\u{fffe}\u{ffff}\u{fdd0}\u{10ffff}\u{fffd}"),
            "\\u{fffe}\\u{ffff}\\u{fdd0}\\u{10ffff}\u{fffd}"
        );
    }
}
