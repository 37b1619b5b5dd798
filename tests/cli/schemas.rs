//! The JSON reports fit the schemas in `docs/schemas`, which are made of the types that write them.
//!
//! `SNAPSHOTS=overwrite` writes the schemas.

use std::fs;

use classify_tests::{Needs, checkout, ensure, expect_code, run, small_model};
use evaluation::{ComparisonReport, EvaluationReport};
use jsonschema::Validator;
use libtest_mimic::{Failed, Trial};
use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("compare_is_the_one_of_the_types", || {
            same_schema::<ComparisonReport>("compare")
        }),
        ("evaluate_is_the_one_of_the_types", || {
            same_schema::<EvaluationReport>("evaluate")
        }),
        ("comparisons_fit", comparisons),
        ("evaluations_fit", evaluations),
        ("an_unknown_key_does_not_fit", unknown_key),
        ("the_confidence_of_a_bin_is_a_mean", mean_confidence),
    ];
    tests
        .map(|(name, test)| Needs::nothing().test(format!("schemas::{name}"), test))
        .into()
}

fn same_schema<T: JsonSchema>(name: &str) -> Result<(), Failed> {
    let path = path(name);
    let schema = in_words_of_json(schema_of::<T>()?)?;
    // The types have names of their own next to those of the results.
    let made = serde_json::to_string_pretty(&schema)?.replace("Json\"", "\"");
    let made = format!("{made}\n");
    if std::env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        fs::write(&path, &made)?;
    }
    ensure(fs::read_to_string(&path)? == made, path.display())
}

fn path(name: &str) -> std::path::PathBuf {
    checkout().join(format!("docs/schemas/{name}.schema.json"))
}

fn schema_of<T: JsonSchema>() -> Result<Value, Failed> {
    let generator = SchemaSettings::draft2020_12().for_serialize();
    let schema = generator.into_generator().into_root_schema_for::<T>();
    Ok(serde_json::to_value(schema)?)
}

/// Brings the descriptions, which are the comments of Rust types, into words of JSON.
fn in_words_of_json(value: Value) -> Result<Value, Failed> {
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)")?;
    Ok(each_object(value, &|members| {
        if let Some(Value::String(text)) = members.get_mut("description") {
            let plain = link.replace_all(text, "$1");
            *text = plain.replace("`None`", "`null`");
        }
    }))
}

/// Rejects unknown keys. The schemas allow them: a later version may add some, though no test of this version does.
fn closed(value: Value) -> Value {
    each_object(value, &|members| {
        if members.contains_key("properties") {
            members.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    })
}

fn each_object(value: Value, change: &dyn Fn(&mut serde_json::Map<String, Value>)) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter();
            let mut members = members
                .map(|(key, value)| (key, each_object(value, change)))
                .collect();
            change(&mut members);
            Value::Object(members)
        }
        Value::Array(items) => {
            let items = items.into_iter();
            items.map(|item| each_object(item, change)).collect()
        }
        other => other,
    }
}

/// Checks a report of either command.
pub fn check(report: &Value) -> Result<(), Failed> {
    let name = report["kind"].as_str().ok_or("a kind")?;
    let schema: Value = serde_json::from_slice(&fs::read(path(name))?)?;
    let validator: Validator = jsonschema::validator_for(&closed(schema))?;
    let errors = validator.iter_errors(report);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    ensure(errors.is_empty(), errors.join("\n"))
}

/// Runs a command on two small images, and returns its JSON.
fn report(words: &[&str], code: i32) -> Result<Value, Failed> {
    let (directory, a, b) = small_images()?;
    fs::write(directory.path().join("truth"), "a.ppm 10\nb.ppm 1\n")?;
    fs::write(directory.path().join("tags"), "a.ppm 10 3\nb.ppm 1\n")?;
    fs::write(directory.path().join("no.jpg"), "no image")?;
    let mut command = classify();
    command.current_dir(directory.path()).args(words);
    command.args(["--format", "json", "--quiet", "-m"]);
    command.arg(small_model("plain.onnx"));
    let done = run(command.arg("-i").args([a, b]));
    expect_code(&done, code)?;
    Ok(serde_json::from_str(&done.stdout)?)
}

fn reversed() -> String {
    format!("rten={}", small_model("reversed.onnx").display())
}

fn comparisons() -> Result<(), Failed> {
    let reversed = reversed();
    for (words, code) in [
        (&["compare", "rten", "rten"][..], 0),
        (&["compare", "rten", &reversed, "rten"], 1),
        (&["compare", "rten", "rten", "rten:GPU"], 2),
        (&["compare", "rten", "rten", "--input-list", "truth"], 2),
        (&["compare", "rten", &reversed, "--bisect"], 1),
        (&["compare", "rten", "rten", "--min-top1", "90%"], 0),
    ] {
        check(&report(words, code)?)
            .map_err(|error| format!("{words:?}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn evaluations() -> Result<(), Failed> {
    let reversed = reversed();
    for (words, code) in [
        (&["evaluate", "rten", "--truth", "truth"][..], 0),
        (&["evaluate", "rten", &reversed, "--truth", "truth"], 0),
        (
            &["evaluate", "rten", "--truth", "truth", "--min-top1", "100%"],
            1,
        ),
        (&["evaluate", "rten", "rten:GPU", "--truth", "truth"], 2),
        (
            &[
                "evaluate", "rten", &reversed, "--truth", "tags", "--scores", "sigmoid",
            ],
            0,
        ),
        (
            &["evaluate", "rten", "--truth", "truth", "--scores", "raw"],
            0,
        ),
    ] {
        check(&report(words, code)?)
            .map_err(|error| format!("{words:?}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn unknown_key() -> Result<(), Failed> {
    let mut compared = report(&["compare", "rten", "rten"], 0)?;
    compared["pairs"][0]["gates"][0]["limit"] = Value::from(1);
    ensure(check(&compared).is_err(), "another key")?;
    compared["pairs"][0]["gates"][0] = Value::from("finite");
    ensure(check(&compared).is_err(), "another type")
}

fn mean_confidence() -> Result<(), Failed> {
    let words = [
        "evaluate",
        "rten",
        "--truth",
        "truth",
        "--label-offset",
        "0",
    ];
    let json = report(&words, 0)?;
    let bins = json["runs"][0]["calibration"].as_array().ok_or("bins")?;
    let mut answers = 0;
    for (place, bin) in bins.iter().enumerate() {
        let images = bin["pictures"].as_u64().ok_or("pictures")?;
        answers += images;
        let Some(mean) = bin["confidence"].as_f64() else {
            ensure(images == 0, bin)?;
            continue;
        };
        let place = place as f64 / bins.len() as f64;
        ensure(
            (place..=place + 1.0 / bins.len() as f64).contains(&mean),
            bin,
        )?;
    }
    ensure(answers == 2, answers)
}
