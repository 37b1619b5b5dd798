//! The words of the command line for the fields of the libraries' options.
//!
//! In their hints and notes, libraries write fields, crates and functions in backticks: `` `mean` ``, or
//! `` `scores = raw` `` for a field with a value. Names and values that come from a model, a file or the user stand in
//! double quotes, as `{:?}` writes them. They are never replaced: an output may be called `output` or `scores`.

use image_classification::SettingOrigin;

/// Each field with its flag.
const FLAGS: [(&str, &str); 50] = [
    ("DeviceInfo::properties", "classify devices --format json"),
    ("FeedOptions::jobs", "--jobs"),
    ("Isolation::cpu_time", "--isolate-cpu"),
    ("Isolation::memory", "--isolate-memory"),
    ("Isolation::open_timeout", "--isolate-open"),
    ("Isolation::timeout", "--timeout"),
    ("OnnxConfig::library", "--onnxruntime-lib FILE"),
    ("OpenvinoConfig::library", "--openvino-lib FILE"),
    ("TokenSource::File", "--token-file"),
    ("TokenSource::Variable", "--token-env"),
    ("backend-onnx", "--backend onnx"),
    ("backend-openvino", "--backend openvino"),
    ("backend-remote", "--backend remote"),
    ("backend-rten", "--backend rten"),
    ("batch", "--batch"),
    ("ca", "--ca"),
    ("cache", "--cache-dir DIR"),
    ("color", "--color"),
    ("crop_fraction", "--crop-fraction"),
    ("decode", "--decode"),
    ("device", "-d"),
    ("devices()", "classify devices"),
    ("element_type", "--datatype"),
    ("endpoints", "--url"),
    ("extra_outputs", "--save-outputs"),
    ("input", "--input-name"),
    ("interpolation", "--interpolation"),
    ("label_offset", "--label-offset"),
    ("labels", "--labels"),
    ("layout", "--layout"),
    ("max_message", "--max-message"),
    ("mean", "--mean"),
    ("most_input_bytes", "--image-memory"),
    ("other_model", "--other-model"),
    ("output", "--output-name"),
    ("precision", "--precision"),
    ("preprocess", "--preprocess"),
    ("recipe", "--recipe"),
    ("requests", "--requests"),
    ("resize", "--resize"),
    ("scale", "--scale"),
    ("scores", "--scores"),
    ("shape", "--shape"),
    // Flags set the size of a crop only.
    ("size", "--crop"),
    ("threads", "--threads"),
    ("timeout", "--timeout"),
    ("truth", "--truth"),
    ("truth_columns", "--truth-columns"),
    ("truth_folders", "--truth-folders"),
    ("version", "-m NAME:VERSION"),
];

/// The fields that are a part of a run, `BACKEND:DEVICE@PRECISION#OUTPUT`, with the text before their value.
const RUN_PARTS: [(&str, &str); 3] = [
    ("device", "BACKEND:"),
    ("output", "BACKEND#"),
    ("precision", "BACKEND@"),
];

/// Returns the second of the pair that begins with `name`.
fn find(pairs: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let found = pairs.iter().find(|(known, _)| *known == name);
    found.map(|(_, words)| *words)
}

/// Returns the words for a field, or for a field that has a value.
fn flag(field: &str, value: Option<&str>) -> Option<String> {
    let flag = find(&FLAGS, field)?;
    Some(match value {
        // A value after a blank could be a run.
        Some(value) if flag == "--truth-folders" => format!("`{flag}={value}`"),
        Some(value) => format!("`{flag} {value}`"),
        None if flag.contains(' ') => format!("`{flag}`"),
        None => flag.to_owned(),
    })
}

/// Returns the words for a field where the user writes runs.
fn run_part(field: &str, value: Option<&str>) -> Option<String> {
    if let (Some(value), Some(part)) = (value, find(&RUN_PARTS, field)) {
        return Some(format!("`{part}{value}`"));
    }
    match find(&FLAGS, field)?.strip_prefix("--backend ") {
        Some(backend) => Some(format!("the run `{backend}`")),
        None => flag(field, value),
    }
}

/// Replaces the fields that `text` names by their flags.
pub fn with_flags(text: &str) -> String {
    replace(text, flag)
}

/// Replaces the fields that `text` names by the parts of a run, or by their flags.
pub fn with_run_parts(text: &str) -> String {
    replace(text, run_part)
}

fn replace(text: &str, words: fn(&str, Option<&str>) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '"']) {
        result.push_str(&rest[..start]);
        let quoted = &rest[start..];
        // A quotation mark without a second one is a character like any other.
        let length = quotation_length(quoted).unwrap_or(1);
        let (quoted, after) = quoted.split_at(length);
        let field = quoted.strip_prefix('`').and_then(|it| it.strip_suffix('`'));
        let replaced = field.and_then(|field| match field.split_once(" = ") {
            Some((field, value)) => words(field, Some(value)),
            None => words(field, None),
        });
        result.push_str(replaced.as_deref().unwrap_or(quoted));
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Returns the length of the quotation that `text` begins with, up to the second backtick or double quote. A backslash
/// escapes a character between double quotes.
fn quotation_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    let (_, mark) = characters.next()?;
    while let Some((place, character)) = characters.next() {
        if character == mark {
            return Some(place + 1);
        }
        if character == '\\' && mark == '"' {
            characters.next();
        }
    }
    None
}

/// Returns the origin of a value, with the flag for a value of the command line.
pub fn origin(origin: &SettingOrigin) -> String {
    match origin {
        SettingOrigin::Override(field) => find(&FLAGS, field).unwrap_or(field).to_owned(),
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
            ("an `", "an `"),
            ("5\" or `mean`", "5\" or --mean"),
            ("", ""),
        ] {
            assert_eq!(with_flags(text), expected);
        }
        assert_eq!(origin(&SettingOrigin::Override("size")), "--crop");
        assert_eq!(origin(&"config.json: mean".into()), "config.json: mean");
    }

    #[test]
    fn names_of_a_model_are_not_replaced() {
        for name in [
            "output",
            "scores",
            "a`output`b",
            "`mean`",
            "a\"`output`\"",
            "\\",
        ] {
            let note = format!("taking the scores from {name:?}; `output` takes another one");
            let expected =
                format!("taking the scores from {name:?}; --output-name takes another one");
            assert_eq!(with_flags(&note), expected);
        }
    }

    #[test]
    fn runs_have_their_device_precision_and_backend_inside() {
        for (text, expected) in [
            ("use `device = CPU`", "use `BACKEND:CPU`"),
            ("use `precision = auto`", "use `BACKEND@auto`"),
            ("try it with `backend-onnx`", "try it with the run `onnx`"),
            ("set `requests = N`", "set `--requests N`"),
            ("`devices()` lists them", "`classify devices` lists them"),
            ("the `mean`", "the --mean"),
        ] {
            assert_eq!(with_run_parts(text), expected);
        }
        assert_eq!(with_flags("with `backend-onnx`"), "with `--backend onnx`");
    }
}
