//! The words of the command line for the fields of the libraries' options.
//!
//! Libraries name fields, crates and functions in backticks: `` `mean` ``, or `` `scores = raw` `` for a field with a
//! value.

use image_classification::SettingOrigin;

/// Each field with its flag.
const FLAGS: [(&str, &str); 45] = [
    ("DeviceInfo::properties", "classify devices --format json"),
    ("FeedOptions::jobs", "--jobs"),
    ("Isolation::memory", "--isolate-memory"),
    ("OnnxConfig::library", "--onnxruntime-lib FILE"),
    ("OpenvinoConfig::library", "--openvino-lib FILE"),
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
    ("token", "--token-file"),
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
    let parts: Vec<&str> = text.split('`').collect();
    let mut result = String::new();
    for (index, part) in parts.iter().enumerate() {
        // Every second part is between backticks, except after the last one of an odd number.
        let is_quoted = index % 2 == 1 && index + 1 < parts.len();
        let replaced = match part.split_once(" = ") {
            _ if !is_quoted => None,
            Some((field, value)) => words(field, Some(value)),
            None => words(part, None),
        };
        match replaced {
            Some(words) => result.push_str(&words),
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
            ("", ""),
        ] {
            assert_eq!(with_flags(text), expected);
        }
        assert_eq!(origin(&SettingOrigin::Override("size")), "--crop");
        assert_eq!(origin(&"config.json: mean".into()), "config.json: mean");
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
