//! Each example runs from the command in its comment.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use classify_tests::{Needs, Run, checkout, ensure, expect_code, photos, run};
use libtest_mimic::{Failed, Trial};

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("one_image_ranks_its_classes", one_image),
        ("folder_stream_keeps_the_order_of_the_paths", folder_stream),
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

fn one_image() -> Result<(), Failed> {
    let result = run_documented("one_image")?;
    let lines: Vec<&str> = result.stdout.lines().collect();
    let siamese = lines.first().and_then(|line| line.split_once(' '));
    let (score, label) = siamese.ok_or("a line")?;
    let is_siamese = label == "Siamese cat, Siamese" && score.parse::<f32>()? > 0.9;
    ensure(is_siamese && lines.len() == 5, &lines)
}

fn folder_stream() -> Result<(), Failed> {
    let result = run_documented("folder_stream")?;
    let photos = photos()?;
    let lines: Vec<&str> = result.stdout.lines().collect();
    ensure(lines.len() == photos.len(), &lines)?;
    let mut labels = BTreeMap::new();
    for (photo, line) in photos.iter().zip(lines) {
        let name = photo.file_name().ok_or("a name")?.to_string_lossy();
        let (path, class) = line.split_once(": ").ok_or(line)?;
        ensure(path == format!("assets/photos/{name}"), line)?;
        labels.insert(name.into_owned(), class.to_owned());
    }
    for (name, label) in [
        ("coffee.png", "espresso"),
        ("imagenet_04_949.jpg", "strawberry"),
    ] {
        ensure(labels[name].starts_with(label), &labels[name])?;
    }
    // The file that is no image is reported and takes no other with it.
    let reported = "assets/photos/ground-truth.tsv: not an image";
    ensure(result.stderr.starts_with(reported), result.stderr)
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
