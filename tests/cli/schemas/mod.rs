//! The JSON reports have the keys and types of the schemas in `docs/schemas`, which are made of the types here.
//!
//! `SNAPSHOTS=overwrite` writes the schemas.

mod compare;
mod evaluate;
mod shared;

use std::fs;

use classify_tests::{Needs, checkout, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{classify, small_images};
use compare::CompareReport;
use evaluate::EvaluateReport;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("compare_is_the_one_of_the_types", || {
            same_schema::<CompareReport>("compare")
        }),
        ("evaluate_is_the_one_of_the_types", || {
            same_schema::<EvaluateReport>("evaluate")
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
    let path = checkout().join(format!("docs/schemas/{name}.schema.json"));
    let schema = without_closed_objects(serde_json::to_value(schema_for!(T))?);
    let made = format!("{}\n", serde_json::to_string_pretty(&schema)?);
    if std::env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        fs::write(&path, &made)?;
    }
    ensure(fs::read_to_string(&path)? == made, path.display())
}

/// Allows further keys in objects: a later version may add some, though no test of this version does.
fn without_closed_objects(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(key, value)| key != "additionalProperties" || *value != Value::Bool(false))
            .map(|(key, value)| (key, without_closed_objects(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_closed_objects).collect(),
        other => other,
    }
}

/// Checks a report of either command.
pub fn check(report: &Value) -> Result<(), Failed> {
    match report["kind"].as_str() {
        Some("compare") => fits::<CompareReport>(report),
        Some("evaluate") => fits::<EvaluateReport>(report),
        kind => Err(format!("a report of the kind {kind:?}").into()),
    }
}

/// Checks that `report` has only keys of `T`, of its types, and loses none.
fn fits<T: DeserializeOwned + Serialize>(report: &Value) -> Result<(), Failed> {
    let typed: T = serde_json::from_value(report.clone())?;
    let (again, report) = (
        without_null(serde_json::to_value(typed)?),
        without_null(report.clone()),
    );
    ensure(again == report, (again, report))
}

/// Removes keys without a value: an optional key may be left out or `null`.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_null(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}

/// Runs a command on two small images, and returns its JSON.
fn report(words: &[&str], code: i32) -> Result<Value, Failed> {
    let (folder, a, b) = small_images()?;
    fs::write(folder.path().join("truth"), "a.ppm 10\nb.ppm 1\n")?;
    fs::write(folder.path().join("tags"), "a.ppm 10 3\nb.ppm 1\n")?;
    fs::write(folder.path().join("no.jpg"), "no image")?;
    let mut command = classify();
    command.current_dir(folder.path()).args(words);
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
