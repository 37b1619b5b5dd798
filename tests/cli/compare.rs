//! `classify compare` on real engines: agreement, planted faults, recordings, reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, photos, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, peak_memory, schemas, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 7] = [
        ("outputs_that_are_not_finite_disagree", not_finite),
        ("one_bad_run_or_image_loses_no_other", others_go_on),
        (
            "a_failed_reference_gives_way_to_the_next_run",
            next_reference,
        ),
        ("an_engine_agrees_with_itself_exactly", itself),
        (
            "a_recording_of_two_files_takes_either_of_them",
            recorded_files,
        ),
        ("an_image_is_classified_in_batches_too", batches),
        (
            "images_of_a_batch_have_the_outputs_of_single_images",
            small_batches,
        ),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 10] = [
        (
            "photos_of_a_batch_have_the_outputs_of_single_photos",
            photo_batches,
        ),
        (
            "an_operator_that_one_engine_lacks_stops_no_other_run",
            missing_operator,
        ),
        ("memory_does_not_grow_with_the_images", bounded_memory),
        ("equal_scores_are_no_agreement", uninformative),
        ("gate::efficientnet_lite0", || {
            gate("efficientnet-lite0.onnx")
        }),
        ("gate::mobilenet_v2", || gate("mobilenet-v2/model.onnx")),
        ("gate::squeezenet", || gate("squeezenet1.1.onnx")),
        ("another_engine_agrees_with_a_recording", recorded_elsewhere),
        ("bisect_spares_the_weights", data_named_twice),
        ("fast_decoding_is_another_tensor", fast_decoding),
    ];
    on_engines
        .map(|(name, test)| engines.test(format!("compare::{name}"), test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(format!("compare::{name}"), test)))
        .chain(with_set_up.scenario(
            "compare::half_weights",
            half_weights,
            [
                ("agree_except_for_ties", ties_are_counted),
                ("the_text_counts_ties_both_ways", ties_are_named),
                ("at_f32_a_changed_order_fails", no_ties_at_f32),
            ],
        ))
        .collect()
}

/// `classify compare` without notes.
pub fn compare(runs: &[&str]) -> Command {
    let mut command = classify();
    command.args(["compare", "--quiet"]).args(runs);
    command
}

/// Runs it and gives the JSON report, too.
pub fn with_json(command: &mut Command, code: i32) -> Result<(Run, Value), Failed> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json");
    let run = run(command.arg("--report").arg(&report));
    expect_code(&run, code)?;
    let json = serde_json::from_slice(&fs::read(report)?)?;
    schemas::check(&json)?;
    Ok((run, json))
}

fn first_line(run: &Run) -> &str {
    run.stdout.lines().next().unwrap_or_default()
}

/// The gate that this project's own changes have to pass: both engines at f32, and bf16 where the
/// processor has it.
fn gate(model: &str) -> Result<(), Failed> {
    let model = set_up("models").join(model);
    let photos = photos()?;
    let mut runs = vec![(vec!["onnx", "openvino@f32", "rten"], "f32")];
    if has_bf16()? {
        runs.push((vec!["onnx", "openvino@bf16"], "bf16"));
    }
    for (runs, tolerance) in runs {
        let mut command = compare(&runs);
        let (result, json) = with_json(command.arg("-m").arg(&model).arg("-i").args(&photos), 0)?;
        let is_guess =
            |line: &str| line.starts_with("warning: the model and its files do not state");
        ensure(result.stderr.lines().all(is_guess), &result)?;
        ensure(first_line(&result).starts_with("AGREE: openvino@"), &result)?;
        let pair = &json["pairs"][0];
        ensure(
            json["verdict"] == "agree" && json["compared"] == photos.len(),
            &json["summary"],
        )?;
        ensure(pair["tolerance"]["name"] == tolerance, pair)?;
        if runs.len() > 2 {
            ensure(json["majority"]["found"] == "all", &json["majority"])?;
            let pairs = json["pairs"].as_array().ok_or("no pairs")?;
            let all = |pair: &Value| pair["ordered_match"]["count"] == photos.len();
            ensure(pairs.len() == 3 && pairs.iter().all(all), pairs)?;
        }
        ensure(
            pair["pictures"]
                .as_array()
                .is_some_and(|all| all.len() == photos.len()),
            pair,
        )?;
        println!(
            "{} {tolerance}: top-1 {}/{}, same order {}/{}, max |dp| {:.3e}",
            model.display(),
            pair["top1_match"]["count"],
            pair["top1_match"]["of"],
            pair["ordered_match"]["count"],
            pair["ordered_match"]["of"],
            pair["distributions"]["max_delta"]["max"]
                .as_f64()
                .unwrap_or(f64::NAN)
        );
    }
    Ok(())
}

/// Returns whether OpenVINO computes in bf16 on this processor.
pub fn has_bf16() -> Result<bool, Failed> {
    let listed = run(classify().args(["devices", "--backend", "openvino", "--format", "json"]));
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    let precisions = &listed["engines"][0]["devices"][0]["precisions"];
    let mut all = precisions.as_array().into_iter().flatten();
    Ok(all.any(|one| one == "bf16"))
}

/// Comparisons of MobileNetV2 with its weights in half precision: on one photo its two best classes are 0.01 apart, and swap
/// places.
struct HalfWeights {
    by_default: (Run, Value),
    at_f32: (Run, Value),
}

fn half_weights() -> Result<HalfWeights, Failed> {
    let directory = tempfile::tempdir()?;
    let onnx = set_up("models/mobilenet-v2/model.onnx");
    let half = directory.path().join("model.xml");
    python("half_weights.py", [&onnx, &half])?;
    let runs = [
        format!("onnx={}", onnx.display()),
        format!("openvino={}", half.display()),
    ];
    let with = |flags: &[&str], code: i32| -> Result<(Run, Value), Failed> {
        let mut command = compare(&[&runs[0], &runs[1]]);
        command.arg("--preprocess");
        command.arg(set_up("models/mobilenet-v2/preprocessor_config.json"));
        with_json(command.args(flags).arg("-i").args(photos()?), code)
    };
    Ok(HalfWeights {
        by_default: with(&[], 0)?,
        at_f32: with(&["--tolerance", "f32", "--min-top1", "99%"], 1)?,
    })
}

fn ties_are_counted(all: &HalfWeights) -> Result<(), Failed> {
    let (run, json) = &all.by_default;
    let pair = &json["pairs"][0];
    ensure(
        pair["top1_match"]["count"] == 27 && pair["top1_match_but_ties"]["count"] == 28,
        run,
    )
}

fn ties_are_named(all: &HalfWeights) -> Result<(), Failed> {
    let (run, _) = &all.by_default;
    ensure(
        run.stdout
            .contains("same best class, except for ties, on 28/28")
            && run.stdout.contains("; 27 if ties count as differences"),
        run,
    )
}

fn no_ties_at_f32(all: &HalfWeights) -> Result<(), Failed> {
    let (run, json) = &all.at_f32;
    let pair = &json["pairs"][0];
    ensure(
        pair["top1_match_but_ties"]["count"] == 27 && run.stdout.contains("FAILED top1"),
        run,
    )
}

/// Two networks with constant weights always give every class the same score.
fn uninformative() -> Result<(), Failed> {
    let light = |file: &str| format!("onnx={}", set_up("models/light").join(file).display());
    let runs = [light("light_squeezenet.onnx"), light("light_resnet50.onnx")];
    let mut command = compare(&[&runs[0], &runs[1], "-i"]);
    let result = run(command.arg(photos()?.swap_remove(0)));
    expect_code(&result, 2)?;
    ensure(first_line(&result).contains("informative"), &result)
}

/// The model gives NaN: both engines do, and still nothing agrees.
fn not_finite() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut command = compare(&["onnx", "openvino", "-m"]);
    command
        .arg(small_model("not-a-number.onnx"))
        .arg("-i")
        .arg(&a);
    let (result, json) = with_json(&mut command, 1)?;
    ensure(
        first_line(&result).contains("DISAGREE") && first_line(&result).contains("finite"),
        &result,
    )?;
    ensure(json["pairs"][0]["not_finite"] == 1, &json["pairs"][0])
}

fn others_go_on() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let cut = directory.path().join("cut.png");
    fs::write(&cut, b"\x89PNG\r\n\x1a\n")?;
    let mut command = compare(&["onnx", "openvino", "openvino:NOSUCH", "-m"]);
    command
        .arg(small_model("plain.onnx"))
        .arg("-i")
        .args([&a, &cut, &b]);
    let (result, json) = with_json(&mut command, 2)?;
    ensure(
        result.stderr.contains("openvino:NOSUCH: ") && result.stderr.contains("cut.png: "),
        &result,
    )?;
    ensure(
        first_line(&result).starts_with("COULD NOT COMPARE: 1 of 3 runs failed"),
        &result,
    )?;
    ensure(
        json["compared"] == 2 && json["pairs"][0]["verdict"] == "agree",
        &json,
    )?;
    ensure(
        json["failures"][0]["path"] == cut.display().to_string(),
        &json["failures"],
    )
}

fn next_reference() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut command = compare(&["openvino:NOSUCH", "onnx", "openvino", "-m"]);
    command.arg(small_model("plain.onnx")).arg("-i").arg(&a);
    let (_, json) = with_json(&mut command, 2)?;
    ensure(
        json["pairs"][0]["reference"] == "onnx" && json["pairs"][0]["verdict"] == "agree",
        &json,
    )
}

/// RTen has no LRN and takes f32 for f16: the two others are compared all the same.
fn missing_operator() -> Result<(), Failed> {
    let photo = photos()?.swap_remove(0);
    for (model, words) in [
        (set_up("models/light/light_bvlc_alexnet.onnx"), "LRN"),
        (small_model("plain.xml"), "plain.onnx"),
    ] {
        let openvino = format!("openvino={}", model.display());
        let mut command = compare(&[&openvino, "openvino", "rten", "--tolerance", "f16", "-m"]);
        command.arg(&model).arg("-i").arg(&photo);
        let (result, json) = with_json(&mut command, 2)?;
        ensure(
            result.stderr.contains("rten: ") && result.stderr.contains(words),
            &result,
        )?;
        ensure(
            json["compared"] == 1
                && json["pairs"]
                    .as_array()
                    .is_some_and(|pairs| pairs.len() == 1),
            &json,
        )?;
    }
    Ok(())
}

/// The same run twice is a test of its own: an engine always gives the same answer.
fn itself() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    for engine in ["onnx", "openvino"] {
        let mut command = compare(&[engine, engine, "--max-delta", "0", "-m"]);
        let result = run(command.arg(small_model("plain.onnx")).arg("-i").arg(&a));
        expect_code(&result, 0)?;
    }
    Ok(())
}

fn recorded_files() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let recording = directory.path().join("lab.jsonl");
    let runs = [("onnx", "plain.onnx"), ("openvino", "plain.xml")]
        .map(|(engine, model)| format!("{engine}={}", small_model(model).display()));
    let with = |runs: &[&str], flag: &str| {
        let mut command = compare(runs);
        command.arg("-i").args([&a, &b]);
        expect_code(&run(command.arg(flag).arg(&recording)), 0)
    };
    with(&[&runs[0], &runs[1]], "--record")?;
    with(&[&runs[0]], "--against")?;
    with(&[&runs[1]], "--against")
}

fn recorded_elsewhere() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("lab.jsonl");
    let with = |run: &str, flag: &str| {
        let mut command = compare(&[run, flag]);
        command.arg(&recording).arg("-m");
        command.arg(set_up("models/efficientnet-lite0.onnx"));
        let result = classify_tests::run(command.arg("-i").args(&photos()?[..4]));
        expect_code(&result, 0).map(|()| result)
    };
    with("openvino", "--record")?;
    let result = with("onnx", "--against")?;
    ensure(
        first_line(&result).contains("onnx with openvino (recorded) on 4 images"),
        &result,
    )
}

fn data_named_twice() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    python("data_twice.py", [directory.path()])?;
    let weights = directory.path().join("weights.bin");
    let before = fs::read(&weights)?;
    let model = |name: &str| format!("onnx={}", directory.path().join(name).display());
    let mut command = compare(&[&model("a.onnx"), &model("b.onnx"), "--bisect"]);
    command.args(["--color", "rgb", "-i"]).args([&a, &b]);
    let (result, json) = with_json(&mut command, 1)?;
    ensure(fs::read(&weights)? == before, "the weights were written to")?;
    ensure(json["bisect"]["first"] == 2, &json["bisect"])?;
    ensure(result.stdout.contains("#2"), result)
}

fn fast_decoding() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let recorded = directory.path().join("exact.jsonl");
    let with = |decode: &str, arguments: &[&str], code: i32| -> Result<Run, Failed> {
        let mut command = compare(arguments);
        command
            .arg(&recorded)
            .args(["--decode", decode, "--color", "rgb", "-m"]);
        // Its input is so small that every JPEG is decoded at 1/8.
        command.arg(small_model("plain.onnx")).arg("-i");
        let result = run(command.arg(set_up("photos/n02123045_281_tabby_cat.jpg")));
        expect_code(&result, code)?;
        Ok(result)
    };
    with("exact", &["onnx", "--record"], 0)?;
    with("exact", &["openvino", "--against"], 0)?;
    let refused = with("fast", &["openvino", "--against"], 2)?;
    let why = "its preprocessing differs from onnx (recorded): decode fast (reference: exact)";
    ensure(refused.stderr.contains(why), &refused)
}

fn batches() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let mut command = compare(&["onnx", "openvino", "-m"]);
    command
        .arg(small_model("batch-of-two.onnx"))
        .arg("-i")
        .args([&a, &b]);
    let (_, json) = with_json(&mut command, 0)?;
    ensure(
        json["pairs"][0]["pictures"]
            .as_array()
            .is_some_and(|all| all.len() == 2),
        &json,
    )
}

/// Records `run` and returns the outputs of each image.
fn recorded(
    run: &str,
    model: &Path,
    batch: &str,
    images: &[PathBuf],
) -> Result<Vec<Value>, Failed> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("recording.jsonl");
    let mut command = compare(&[run, "--batch", batch, "-m"]);
    command.arg(model).arg("-i").args(images);
    command.arg("--record").arg(&recording);
    let result = classify_tests::run(&mut command);
    ensure(
        result.code.is_some_and(|code| code == 0 || code == 2),
        &result,
    )?;
    let text = fs::read_to_string(recording)?;
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    let images = lines.iter().filter(|line| line["outputs"].is_array());
    Ok(images.cloned().collect())
}

/// Returns whether the outputs and digests of `images` are those of `expected`.
fn same_outputs(images: &[Value], expected: &[Value], tolerance: f64) -> bool {
    let numbers = |image: &Value| -> Vec<f64> {
        let outputs = image["outputs"][0].as_array();
        let numbers = outputs.into_iter().flatten().filter_map(Value::as_f64);
        numbers.collect()
    };
    let alike = |(image, other): (&Value, &Value)| {
        let (one, two) = (numbers(image), numbers(other));
        let close = one
            .iter()
            .zip(&two)
            .all(|(a, b)| (a - b).abs() <= tolerance);
        let keys = ["path", "sha256", "tensor_sha256", "pixels_sha256"];
        close
            && !one.is_empty()
            && one.len() == two.len()
            && keys.iter().all(|key| image[key] == other[key])
    };
    images.len() == expected.len() && images.iter().zip(expected).all(alike)
}

fn small_batches() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut images = Vec::new();
    for level in [5_u8, 60, 120, 180, 250] {
        let path = directory.path().join(format!("{level}.ppm"));
        fs::write(&path, [&b"P6 8 8 255\n"[..], &[level; 192]].concat())?;
        images.push(path);
        // An image that is missing takes no place of another one.
        images.push(directory.path().join(format!("no-{level}.ppm")));
    }
    let model = small_model("dynamic-batch.onnx");
    for run in ["onnx", "openvino", "rten"] {
        let single = recorded(run, &model, "1", &images)?;
        ensure(
            single.len() == 5 && !same_outputs(&single[..1], &single[1..2], 1e-6),
            &single,
        )?;
        for batch in ["2", "3", "64"] {
            let joined = recorded(run, &model, batch, &images)?;
            ensure(
                same_outputs(&joined, &single, 1e-6),
                (run, batch, joined, &single),
            )?;
        }
    }
    Ok(())
}

fn photo_batches() -> Result<(), Failed> {
    let photos = &photos()?[..7];
    let model = set_up("models/mobilenet-v2/model.onnx");
    let single = recorded("openvino", &model, "1", photos)?;
    let joined = recorded("openvino", &model, "4", photos)?;
    ensure(
        single.len() == 7 && same_outputs(&joined, &single, 1e-4),
        (joined, single),
    )?;
    // Runs are compared by image, whatever their batches.
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("recording.jsonl");
    let mut command = compare(&["openvino", "--batch", "4", "-m"]);
    command
        .arg(&model)
        .arg("-i")
        .args(photos)
        .arg("--record")
        .arg(&recording);
    expect_code(&run(&mut command), 0)?;
    let mut command = compare(&["openvino", "--against"]);
    command
        .arg(&recording)
        .arg("-m")
        .arg(&model)
        .arg("-i")
        .args(photos);
    expect_code(&run(&mut command), 0)
}

/// With every report.
fn bounded_memory() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let peak = |pairs: usize| {
        let mut command = compare(&["onnx", "openvino", "-m"]);
        command.arg(small_model("plain.onnx"));
        for ending in ["json", "xml", "html", "md"] {
            let report = directory.path().join("report").with_extension(ending);
            command.arg("--report").arg(report);
        }
        peak_memory(command, pairs)
    };
    let (few, many) = (peak(50)?, peak(2_500)?);
    let images = fs::read_to_string(directory.path().join("report.json"))?;
    ensure(
        images.matches("\"within\": true").count() == 5_000,
        "all images",
    )?;
    println!("100 images {few} KiB, 5,000 images {many} KiB");
    // The rows alone would be a megabyte, and the JSON ten.
    ensure(many < few * 1.05, (few, many))
}
