//! Each example runs from the command in its comment.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, checkout, ensure, expect_code, photos, run, set_up};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 5] = [
        (
            "one_image_prints_the_classes_of_the_command_line",
            one_image,
        ),
        (
            "folder_stream_prints_the_classes_of_the_command_line",
            folder_stream,
        ),
        (
            "folder_stream_reports_a_file_that_is_not_an_image",
            folder_stream_error,
        ),
        ("engines_agree_on_all_photos", engines_agree),
        ("custom_engine_finds_the_main_color", custom_engine),
    ];
    tests.map(|(name, test)| set_up.test(name, test)).into()
}

/// The path of the program of an example.
pub fn program(example: &str) -> &'static str {
    match example {
        "one_image" => env!("CARGO_BIN_EXE_one_image"),
        "folder_stream" => env!("CARGO_BIN_EXE_folder_stream"),
        "engines_agree" => env!("CARGO_BIN_EXE_engines_agree"),
        "custom_engine" => env!("CARGO_BIN_EXE_custom_engine"),
        "service" => env!("CARGO_BIN_EXE_service"),
        other => panic!("there is no example {other}"),
    }
}

/// The command in the comment of an example, with the path of the program in the place of `cargo run`.
fn documented(example: &str) -> Result<String, Failed> {
    let source = fs::read_to_string(checkout().join(format!("examples/{example}.rs")))?;
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let block = lines
        .skip_while(|line| *line != " ```sh")
        .skip(1)
        .take_while(|line| *line != " ```");
    let command = block.collect::<Vec<_>>().join("\n");
    let cargo = format!("cargo run -p classify-examples --bin {example} -- ");
    ensure(command.contains(&cargo), &command)?;
    Ok(command.replace(&cargo, &format!("'{}' ", program(example))))
}

/// Runs the documented command of an example in the root of the checkout.
fn run_documented(example: &str) -> Result<Run, Failed> {
    let command = documented(example)?;
    let result = run(Command::new("sh")
        .args(["-ec", &command])
        .env_remove("VIRTUAL_ENV")
        .current_dir(checkout()));
    expect_code(&result, 0)?;
    Ok(result)
}

/// Returns the results of the command line, an object for each image. The other packages of the workspace are built into
/// the same directory.
fn command_line(backend: &str, model: &str, images: &[PathBuf]) -> Result<Vec<Value>, Failed> {
    let classify = Path::new(program("one_image")).with_file_name(format!("classify{EXE_SUFFIX}"));
    if !classify.is_file() {
        let classify = classify.display();
        return Err(format!("there is no {classify}; run `cargo build --workspace`").into());
    }
    let result = run(Command::new(classify)
        .args(["--quiet", "--format", "json", "--top", "5"])
        .args(["--backend", backend, "-m"])
        .arg(set_up("models").join(model))
        .arg("-i")
        .args(images)
        .env_remove("VIRTUAL_ENV")
        .current_dir(checkout()));
    expect_code(&result, 0)?;
    let lines = result.stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Checks a printed label and score against a class of the command line.
fn ensure_class(label: &str, score: &str, expected: &Value) -> Result<(), Failed> {
    let expected_score = expected["score"].as_f64().ok_or("a score")?;
    // Four digits are printed.
    let is_same =
        expected["label"] == label && (score.parse::<f64>()? - expected_score).abs() < 0.000_06;
    ensure(is_same, (label, score, expected))
}

fn one_image() -> Result<(), Failed> {
    let result = run_documented("one_image")?;
    let lines: Vec<&str> = result.stdout.lines().collect();
    let photo = set_up("photos/n02123597_284_Siamese_cat.jpg");
    let expected = command_line("onnx", "mobilenet-v2/model.onnx", &[photo])?;
    let expected = expected[0]["top"].as_array().ok_or("classes")?;
    ensure((lines.len(), expected.len()) == (5, 5), (&lines, expected))?;
    // Against a wrong answer of both.
    ensure(lines[0].ends_with(" Siamese cat, Siamese"), lines[0])?;
    for (line, expected) in lines.iter().zip(expected) {
        let (score, label) = line.split_once(' ').ok_or("a score and a label")?;
        ensure_class(label, score, expected)?;
    }
    Ok(())
}

fn folder_stream() -> Result<(), Failed> {
    let result = run_documented("folder_stream")?;
    let photos = photos()?;
    let lines: Vec<&str> = result.stdout.lines().collect();
    let expected = command_line("rten", "squeezenet1.1.onnx", &photos)?;
    let counts = (lines.len(), expected.len());
    ensure(counts == (photos.len(), photos.len()), counts)?;
    for ((photo, line), expected) in photos.iter().zip(lines).zip(&expected) {
        let name = photo.file_name().ok_or("a name")?.to_string_lossy();
        let (path, class) = line.split_once(": ").ok_or(line)?;
        ensure(path == format!("assets/photos/{name}"), line)?;
        let (label, score) = class.rsplit_once(' ').ok_or(line)?;
        ensure_class(label, score, &expected["top"][0])?;
        // Against a wrong answer of both.
        let known = match &*name {
            "coffee.png" => "espresso",
            "imagenet_04_949.jpg" => "strawberry",
            _ => label,
        };
        ensure(label.starts_with(known), line)?;
    }
    Ok(())
}

/// It takes no other with it.
fn folder_stream_error() -> Result<(), Failed> {
    let result = run_documented("folder_stream")?;
    let reported = "assets/photos/ground-truth.tsv: not an image";
    ensure(result.stderr.starts_with(reported), &result.stderr)?;
    ensure(
        result.stdout.lines().count() == photos()?.len(),
        result.stdout,
    )
}

fn engines_agree() -> Result<(), Failed> {
    let result = run_documented("engines_agree")?;
    let verdict = "AGREE: openvino:CPU@f32 with onnx:CPU@f32 on 25 images";
    ensure(result.stdout.starts_with(verdict), result.stdout)
}

fn custom_engine() -> Result<(), Failed> {
    let result = run_documented("custom_engine")?;
    let colors: Vec<&str> = result.stdout.lines().collect();
    let colors: Vec<&str> = colors.iter().filter_map(|line| line.get(7..)).collect();
    ensure(colors == ["red", "green", "blue"], result.stdout)
}
