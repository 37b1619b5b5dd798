//! The flags of the command line that set the fields of the libraries' options.
//!
//! Libraries name the fields in backticks: `` `mean` ``, or `` `scores = raw` `` for a field with a value.

use image_classification::SettingOrigin;

/// Each field with its flag.
const FLAGS: [(&str, &str); 14] = [
    ("color", "--color"),
    ("crop_fraction", "--crop-fraction"),
    ("decode", "--decode"),
    ("interpolation", "--interpolation"),
    ("labels", "--labels"),
    ("layout", "--layout"),
    ("mean", "--mean"),
    ("precision", "--precision"),
    ("preprocess", "--preprocess"),
    ("resize", "--resize"),
    ("scale", "--scale"),
    ("scores", "--scores"),
    ("shape", "--shape"),
    // Flags set the size of a crop only.
    ("size", "--crop"),
];

/// Returns the flag that sets `field`.
fn flag(field: &str) -> Option<&'static str> {
    let found = FLAGS.iter().find(|(name, _)| *name == field);
    found.map(|(_, flag)| *flag)
}

/// Replaces the fields that `text` names by their flags.
pub fn with_flags(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut result = String::new();
    for (index, part) in parts.iter().enumerate() {
        // Every second part is between backticks, except after the last one of an odd number.
        let is_quoted = index % 2 == 1 && index + 1 < parts.len();
        let as_flag = match part.split_once(" = ") {
            _ if !is_quoted => None,
            Some((field, value)) => flag(field).map(|flag| format!("`{flag} {value}`")),
            None => flag(part).map(str::to_owned),
        };
        match as_flag {
            Some(flag) => result.push_str(&flag),
            None if is_quoted => result.extend(["`", part, "`"]),
            None if index % 2 == 1 => result.extend(["`", part]),
            None => result.push_str(part),
        }
    }
    result
}

/// Returns the origin of a value, with the flag for a value of the command line.
pub fn origin(origin: &SettingOrigin) -> String {
    match origin {
        SettingOrigin::Override(field) => flag(field).unwrap_or(field).to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_flags_and_other_quotes_stay() {
        for (text, expected) in [
            ("leave `size` out", "leave --crop out"),
            (
                "use `scores = softmax` or `scores = raw`",
                "use `--scores softmax` or `--scores raw`",
            ),
            ("`shape = 1,3,224,224`", "`--shape 1,3,224,224`"),
            ("run `cargo setup`", "run `cargo setup`"),
            ("an `odd number` of ` ticks", "an `odd number` of ` ticks"),
            ("ends in `mean", "ends in `mean"),
            ("", ""),
        ] {
            assert_eq!(with_flags(text), expected);
        }
        assert_eq!(origin(&SettingOrigin::Override("size")), "--crop");
        assert_eq!(origin(&"config.json: mean".into()), "config.json: mean");
    }
}
