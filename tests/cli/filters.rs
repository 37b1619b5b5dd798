//! Filters of snapshots: places, versions, times and measurements differ from run to run and become `[WORDS]`.

use std::path::Path;

use classify_tests::ensure;
use libtest_mimic::{Failed, Trial};
use regex::Regex;
use snapbox::assert::Action;
use snapbox::{Assert, Data, Redactions};

/// Each placeholder with a pattern. The group `redacted` is replaced, the rest stays.
const PATTERNS: &[(&str, &str)] = &[
    ("[REASON]", r"(?<redacted>[A-Z][a-zA-Z ]+ \(os error \d+\))"),
    ("[REQUESTS]", r"(?<redacted>\b\d+ infer requests?)"),
    (
        "[VERSION]",
        r#"(?:RTen |OpenVINO |ONNX Runtime |"engine_version": ?")(?<redacted>\d[\w.+/-]*)"#,
    ),
    (
        "[MACHINE]",
        r"(?<redacted>[^\n>]*, \d+ cores?, [^\n<]*, classify [\d.]+)",
    ),
    (
        "[MACHINE]",
        r#""machine": ?\{(?<redacted>[^}]*"(?:cores|os|cpu)"[^}]*)\}"#,
    ),
    ("[TIME]", r#""(?:prepare|infer)": ?(?<redacted>[\d.]+)"#),
    // OpenVINO's own words.
    (
        "[OPENVINO]",
        r"(?m)(?<redacted>general error: .*?)(?: \(hint: |$)",
    ),
    (
        "[DEVICES]",
        r"\bavailable: (?<redacted>[A-Z][A-Z0-9.]*(?:, [A-Z][A-Z0-9.]*)*)",
    ),
    (
        "[DIRECTORIES]",
        r"the system's library directories: not in (?<redacted>\S+ nor in \d+ more)",
    ),
    // The same in every page.
    ("[STYLE]", r"<style>(?<redacted>[^<]*)</style>"),
    ("[SCRIPT]", r"(?s)<script>(?<redacted>.*?)</script>"),
    ("[HASH]", r"script-src 'sha256-(?<redacted>[^']*)'"),
    // Vector instructions may round in another way elsewhere.
    (
        "[THUMBNAIL]",
        r#"data:image/jpeg;base64,(?<redacted>[^"]*)"#,
    ),
    ("[DIGEST]", r"\b(?<redacted>[0-9a-f]{64})\b"),
    ("[DIGEST]", r"\| (?<redacted>[0-9a-f]{12}) \|"),
    // Engines promise four digits.
    ("[DIGITS]", r"\d\.\d{4}(?<redacted>\d+)(?:[^\de]|$)"),
    // The differences of engines, with the spaces that align them.
    ("[NUMBER]", r" ?(?<redacted> *\b\d(?:\.\d+)?e-?\d+)"),
];

/// Returns `text` without the isolation of runs, which is that of the system and its kernel.
pub fn without_isolation(text: &str) -> Result<String, Failed> {
    let isolation =
        Regex::new(r#", isolated \([^)]*\)|\n *"isolation": "[^"]*",|"isolation":"[^"]*","#)?;
    Ok(isolation.replace_all(text, "").into_owned())
}

/// Returns `text` with each number and the spaces before it replaced by ` #`.
pub fn without_numbers(text: &str) -> Result<String, Failed> {
    let numbers = Regex::new(r" *(?:\B-)?\b\d[\d.]*(?:,\d{3})*\b")?;
    Ok(numbers.replace_all(text, " #").into_owned())
}

/// Returns the filters for the directory of a test and for the set-up.
pub fn of_places(root: &Path, set_up: Option<&Path>) -> Result<Redactions, Failed> {
    let mut filters = Redactions::new();
    let wrong = |error: snapbox::assert::Error| Failed::from(error.to_string());
    filters
        .insert("[ROOT]", root.to_path_buf())
        .map_err(wrong)?;
    if let Some(set_up) = set_up {
        filters
            .insert("[SETUP]", set_up.to_path_buf())
            .map_err(wrong)?;
    }
    for (placeholder, pattern) in PATTERNS {
        let pattern = Regex::new(pattern)?;
        filters.insert(placeholder, pattern).map_err(wrong)?;
    }
    Ok(filters)
}

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("what_differs_between_runs_is_replaced", replaced),
        ("words_and_counts_are_left", left),
        ("a_changed_word_fails", changed_word),
    ];
    tests
        .map(|(name, test)| Trial::test(format!("snapshots::filters::{name}"), test))
        .into()
}

fn filtered(text: &str) -> Result<String, Failed> {
    let filters = of_places(Path::new("/a/root"), Some(Path::new("/a/set-up")))?;
    Ok(filters.redact(text))
}

fn replaced() -> Result<(), Failed> {
    for (text, expected) in [
        (
            "cannot write /a/root/a.json: Permission denied (os error 13)",
            "cannot write [ROOT]/a.json: [REASON]",
        ),
        ("/a/set-up/models/a.onnx", "[SETUP]/models/a.onnx"),
        (
            "ONNX Runtime 1.31.1 on CPU (requested: CPU), 1 infer request",
            "ONNX Runtime [VERSION] on CPU (requested: CPU), [REQUESTS]",
        ),
        (
            r#"{"engine_version":"2026.4.1-20000-abc","score":0.12345678}"#,
            r#"{"engine_version":"[VERSION]","score":0.1234[DIGITS]}"#,
        ),
        (
            "error: no CPU.1 (available: CPU, GPU.0, requested: X): general error: at a.cpp:3 | b (hint: c)",
            "error: no CPU.1 (available: [DEVICES], requested: X): [OPENVINO] (hint: c)",
        ),
        (
            r#"{"machine":{"cores":2,"cpu_flags":["avx2"]},"timing_ms":{"prepare":1.5,"infer":0.25}}"#,
            r#"{"machine":{[MACHINE]},"timing_ms":{"prepare":[TIME],"infer":[TIME]}}"#,
        ),
        (
            "Some CPU, 1 core, linux x86\\_64 \\(avx2\\), classify 0.1.0",
            "[MACHINE]",
        ),
        (
            "  max |Δp|    2.980e-8    0.000e0",
            "  max |Δp| [NUMBER] [NUMBER]",
        ),
    ] {
        let found = filtered(text)?;
        ensure(found == expected, (text, found))?;
    }
    let found = without_numbers("the rest of f32, ms    -0.01   12.5\n")?;
    ensure(found == "the rest of f32, ms # #\n", found)
}

fn left() -> Result<(), Failed> {
    for text in [
        "error: 8 of 9 inputs failed",
        "1 image; each measure 64 images in 1 round",
        "[ INFO ] 10       0.1063",
        "same best class           4/5, 80.0 % (95 %: 37.6 to 96.4)",
        "unknown precision `f64` (known: auto, f32, bf16, f16)",
        "size = 8 x 8, mean 123.675,116.28,103.53, limit 0.0001",
    ] {
        let found = filtered(text)?;
        ensure(found == text, (text, found))?;
    }
    Ok(())
}

/// One word, a missing line, another exit code and another digit are each found.
fn changed_word() -> Result<(), Failed> {
    let expected = "exit code 2\n--- stderr\nerror: no image is left\nhint: 0.1063\n";
    let is_same = |actual: &str| {
        let actual = Data::text(filtered(actual)?);
        let expected = Data::text(expected).raw();
        let assert = Assert::new().action(Action::Verify);
        Ok::<_, Failed>(assert.try_eq(None, actual, expected).is_ok())
    };
    ensure(is_same(expected)?, "the same text")?;
    for (from, to) in [
        ("image", "picture"),
        ("exit code 2", "exit code 1"),
        ("hint: 0.1063\n", ""),
        ("0.1063", "0.1064"),
        ("error: ", "error:  "),
        ("left\n", "left \n"),
        ("no image is left", "[..]"),
    ] {
        let changed = expected.replace(from, to);
        ensure(!is_same(&changed)?, changed)?;
    }
    Ok(())
}
