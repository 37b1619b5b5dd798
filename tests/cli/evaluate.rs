//! `classify evaluate` on real engines, against ground truth.

use std::fs;
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, photos, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_pictures};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 1] =
        [("evaluate::every_form_of_truth", forms)];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("evaluate::numbers_are_those_of_the_reference", numbers),
        ("evaluate::the_table_of_intervals_is_the_reference", table),
        ("evaluate::accuracy_and_gates", gates),
        ("evaluate::a_wrong_mean_costs_accuracy", wrong_mean),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .collect()
}

fn evaluate(arguments: &[&str]) -> Command {
    let mut command = classify();
    command.args(["evaluate", "--quiet"]).args(arguments);
    command
}

fn gates() -> Result<(), Failed> {
    let truth = set_up("photos/ground-truth.tsv");
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let with = |flags: &[&str], code: i32| -> Result<(String, Value), Failed> {
        let mut command = evaluate(&["onnx", "openvino"]);
        command
            .args(flags)
            .arg("--truth")
            .arg(&truth)
            .arg("-i")
            .args(photos()?);
        let result = run(command.arg("--report").arg(&report));
        expect_code(&result, code)?;
        ensure(
            result.stderr.contains("does not mention 4 of 28 pictures"),
            &result,
        )?;
        let last = result.stdout.lines().last().unwrap_or_default().to_owned();
        Ok((last, serde_json::from_slice(&fs::read(&report)?)?))
    };
    let (last, json) = with(&[], 0)?;
    ensure(last.starts_with("EVALUATED"), last)?;
    for run in json["runs"].as_array().ok_or("runs")? {
        // As `answers.rs` counts it from the text output.
        ensure(
            run["top"]["1"]["count"] == 22 && run["top"]["1"]["of"] == 24,
            run,
        )?;
        ensure(
            run["wrong"]
                .as_array()
                .is_some_and(|wrong| wrong.len() == 2),
            run,
        )?;
        let bins = run["calibration"].as_array().ok_or("bins")?;
        let counted: u64 = bins.iter().filter_map(|bin| bin["pictures"].as_u64()).sum();
        ensure(bins.len() == 15 && counted == 24, bins)?;
    }
    ensure(
        json["runs"][1]["against_reference"]["mcnemar_p"] == 1.0,
        &json["runs"][1],
    )?;
    let (last, _) = with(&["--min-top1", "90%", "--max-drop", "0"], 0)?;
    ensure(last.starts_with("PASSED"), last)?;
    let (last, json) = with(&["--min-top1", "0.95"], 1)?;
    ensure(
        last.starts_with("FAILED: onnx: top-1 22/24") && json["verdict"] == "disagree",
        last,
    )
}

/// `tests/data/intervals.json`, which the unit tests of the command line read, is what the reference computes.
fn table() -> Result<(), Failed> {
    let computed = python("intervals.py", ["cases"])?;
    let kept = fs::read_to_string(small_model("intervals.json"))?;
    ensure(
        computed.lines().eq(kept.lines()),
        "tests/data/intervals.json is not what intervals.py computes",
    )
}

/// Recomputes the numbers of reports on 125 images of one color each.
fn numbers() -> Result<(), Failed> {
    const IMAGES: usize = 125;
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images");
    fs::create_dir(&images)?;
    for image in 0..IMAGES {
        let color = [37, 91, 151].map(|step| (image * step % 256) as u8);
        let bytes = [&b"P6 8 8 255\n"[..], &color.repeat(64)].concat();
        fs::write(images.join(format!("{image:03}.ppm")), bytes)?;
    }
    let model = small_model("plain.onnx");
    let mut command = classify();
    command.args(["--quiet", "--backend", "onnx", "--format", "json", "-m"]);
    let answers = run(command.arg(&model).arg("-i").arg(&images));
    let best: Vec<u64> = answers
        .stdout
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line)?;
            line["top"][0]["class_id"]
                .as_u64()
                .ok_or_else(|| "no class".into())
        })
        .collect::<Result<_, Failed>>()?;
    ensure(best.len() == IMAGES, &answers)?;

    let truth = folder.path().join("truth");
    let report = folder.path().join("report.json");
    let evaluated = |runs: &[String], classes: &[u64], flags: &[&str], code: i32| {
        let lines = classes.iter().enumerate();
        let lines: Vec<_> = lines
            .map(|(image, class)| format!("{image:03}.ppm {class}\n"))
            .collect();
        fs::write(&truth, lines.concat())?;
        let mut command = evaluate(flags);
        command.args(runs).arg("--truth").arg(&truth);
        command.arg("-i").arg(&images).arg("--report").arg(&report);
        let result = run(&mut command);
        expect_code(&result, code)?;
        let recomputed: usize = python("intervals.py", ["report".as_ref(), report.as_path()])?
            .trim()
            .parse()?;
        // top-1, top-5, the mean per class and the calibration error of each run.
        ensure(recomputed >= runs.len() * 10, recomputed)?;
        let json: Value = serde_json::from_slice(&fs::read(&report)?)?;
        Ok::<_, Failed>((result, json))
    };
    let run_of = |model: &str| format!("onnx={}", small_model(model).display());

    // 108 of 125 is 86.4 % exactly, which no binary fraction is.
    let mut classes = best.clone();
    for class in &mut classes[..17] {
        *class = (*class + 1) % 12;
    }
    let plain = [run_of("plain.onnx")];
    let (result, json) = evaluated(&plain, &classes, &["--min-top1", "86.4%"], 0)?;
    let is_said = |words: &str| ensure(result.stdout.contains(words), &result);
    is_said("top-1 108/125, 86.4 % (95 %: 79.3 to 91.3), at least 86.4 %")?;
    is_said("too few images to establish 86.4 %: the 95 % interval begins at 79.3 %")?;
    is_said("25 images without a miss would")?;
    ensure(json["verdict"] == "agree", &json["verdict"])?;
    evaluated(&plain, &classes, &["--min-top1", "0.8640000001"], 1)?;

    // Two models that differ: right alone, and a drop at its limit.
    let classes: Vec<u64> = (0..IMAGES as u64).map(|image| image * image % 3).collect();
    let two = [run_of("three-classes.onnx"), run_of("plain.onnx")];
    let (_, json) = evaluated(&two, &classes, &[], 0)?;
    let counts = |key: &str| json["runs"][1]["against_reference"][key].as_u64();
    let (Some(alone), Some(reference)) = (counts("right_alone"), counts("reference_right_alone"))
    else {
        return Err(format!("{:#?}", json["runs"][1]["against_reference"]).into());
    };
    ensure(
        alone + reference > 10 && reference > alone,
        (alone, reference),
    )?;
    let drop = (reference - alone) as usize * 8;
    for (thousandths, code) in [(drop, 0), (drop - 1, 1)] {
        let most = format!("{thousandths}e-3");
        evaluated(&two, &classes, &["--max-drop", &most], code)?;
    }
    // Confidence says little about these classes; a calibrated model would not be so far off.
    let calibrated = &json["runs"][0]["calibrated_expected_calibration_error"];
    let error = json["runs"][0]["expected_calibration_error"].as_f64();
    ensure(
        calibrated["mean"].as_f64() < calibrated["p95"].as_f64() && error.is_some(),
        &json["runs"][0],
    )
}

/// A wrong mean does not show on one photo; here it does.
fn wrong_mean() -> Result<(), Failed> {
    let mut command = evaluate(&[
        "openvino",
        "--mean",
        "0",
        "--scale",
        "1",
        "--max-drop",
        "5%",
    ]);
    command
        .arg("--truth")
        .arg(set_up("photos/ground-truth.tsv"))
        .arg("-i")
        .args(photos()?);
    let result = run(&mut command);
    // A drop from what, with one run?
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("there is one run"), &result)?;
    let mut command = evaluate(&[
        "openvino",
        "--mean",
        "0",
        "--scale",
        "1",
        "--min-top1",
        "90%",
    ]);
    command
        .arg("--truth")
        .arg(set_up("photos/ground-truth.tsv"))
        .arg("-i")
        .args(photos()?);
    let result = run(&mut command);
    expect_code(&result, 1)?;
    ensure(result.stdout.contains("FAILED min-top1"), &result)
}

fn forms() -> Result<(), Failed> {
    let (folder, a, b) = small_pictures()?;
    let model = small_model("plain.onnx");
    let classes = run(classify()
        .args([
            "--quiet",
            "--backend",
            "onnx",
            "--format",
            "json",
            "--top",
            "1",
            "-m",
        ])
        .arg(&model)
        .arg("-i")
        .args([&a, &b]));
    let best: Vec<String> = classes
        .stdout
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["top"][0]["class_id"].to_string()))
        .collect::<Result<_, Failed>>()?;
    let truth = folder.path().join("truth");
    let [one, two] = &best[..] else {
        return Err("two answers".into());
    };
    for text in [
        format!("a.ppm {one}\nb.ppm {two}\n"),
        format!("a.ppm\t{one}\nb.ppm\t{two}\n"),
        format!("path,class_id\na.ppm,{one}\nb.ppm,{two}\nc.ppm,{two}\n"),
    ] {
        fs::write(&truth, &text)?;
        let mut command = evaluate(&["onnx", "--min-top1", "100%", "--truth"]);
        let result = run(command
            .arg(&truth)
            .arg("-m")
            .arg(&model)
            .arg("-i")
            .args([&a, &b]));
        expect_code(&result, 0)?;
        ensure(
            result.stdout.contains("top-1                   2/2"),
            &result,
        )?;
        let has_surplus = result
            .stderr
            .contains("have no picture, the first is c.ppm");
        ensure(has_surplus == text.contains("c.ppm"), &result)?;
    }
    // Ids that the model does not have, names without labels, nothing at all.
    for (text, words) in [
        ("a.ppm 99999\nb.ppm 0\n", "--label-offset"),
        ("a.ppm cat\nb.ppm dog\n", "--labels"),
        ("x.ppm 0\n", "mentions none of the pictures (2)"),
        ("", "no entries"),
    ] {
        fs::write(&truth, text)?;
        let mut command = evaluate(&["onnx", "--truth"]);
        let result = run(command
            .arg(&truth)
            .arg("-m")
            .arg(&model)
            .arg("-i")
            .args([&a, &b]));
        expect_code(&result, 2)?;
        ensure(result.stderr.contains(words), (text, &result))?;
    }
    // A folder for each class.
    let class = folder.path().join("data").join(one);
    fs::create_dir_all(&class)?;
    fs::copy(&a, class.join("1.ppm"))?;
    let mut command = evaluate(&["onnx", "--truth-folders", "--recursive", "-m"]);
    let result = run(command
        .arg(&model)
        .arg("-i")
        .arg(folder.path().join("data")));
    expect_code(&result, 0)?;
    ensure(
        result.stdout.contains("top-1                   1/1"),
        &result,
    )
}
