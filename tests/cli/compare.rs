//! `classify compare` on real engines: agreement, planted faults, recordings, reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, photos, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::cases::{PREPROCESSING, case};
use crate::{classify, peak_memory, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 7] = [
        ("compare::what_is_not_finite_disagrees", not_finite),
        ("compare::one_bad_run_or_image_loses_no_other", others_go_on),
        ("compare::messages_name_the_run", run_names),
        ("compare::usage_is_explained", usage),
        ("compare::where_no_run_is_left_reports_say_so", none_left),
        ("compare::a_image_is_classified_in_batches_too", batches),
        (
            "compare::images_of_a_batch_have_the_outputs_of_single_images",
            small_batches,
        ),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 13] = [
        (
            "compare::photos_of_a_batch_have_the_outputs_of_single_photos",
            photo_batches,
        ),
        (
            "compare::what_one_engine_lacks_keeps_no_other_from_working",
            what_one_engine_lacks,
        ),
        (
            "compare::memory_does_not_grow_with_the_images",
            bounded_memory,
        ),
        ("compare::what_says_nothing_is_no_agreement", uninformative),
        ("compare::gate::efficientnet_lite0", || {
            gate("efficientnet-lite0.onnx")
        }),
        ("compare::gate::mobilenet_v2", || {
            gate("mobilenet-v2/model.onnx")
        }),
        ("compare::gate::squeezenet", || gate("squeezenet1.1.onnx")),
        ("compare::planted_faults_are_caught", planted_faults),
        ("compare::half_weights_agree_but_for_ties", half_weights),
        ("compare::recorded_runs", recordings),
        ("compare::bisect_spares_the_weights", data_named_twice),
        ("compare::fast_decoding_is_another_tensor", fast_decoding),
        ("compare::others_read_the_reports", reports),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .chain([with_set_up
            .test("compare::a_browser_shows_the_page", browser)
            .with_ignored_flag(chromium().is_none())])
        .collect()
}

fn compare(runs: &[&str]) -> Command {
    let mut command = classify();
    command.args(["compare", "--quiet"]).args(runs);
    command
}

/// Runs it and gives the JSON report, too.
fn with_json(command: &mut Command, code: i32) -> Result<(Run, Value), Failed> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let run = run(command.arg("--report").arg(&report));
    expect_code(&run, code)?;
    let json = serde_json::from_slice(&fs::read(report)?)?;
    Ok((run, json))
}

fn last_line(run: &Run) -> &str {
    run.stdout.lines().last().unwrap_or_default()
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
        ensure(result.stderr.is_empty(), &result)?;
        ensure(last_line(&result).starts_with("AGREE: openvino@"), &result)?;
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

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(())
}

/// A wrong mean, swapped channels, a perturbed weight and a truncated `.bin`.
fn planted_faults() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let photo = photos()?.swap_remove(0);
    let named = |engine: &str, model: &Path| format!("{engine}={}", model.display());

    // The wrong mean, and the wrong order of channels, in the file beside the model.
    let good = set_up("models/mobilenet-v2");
    let config = fs::read_to_string(good.join("preprocessor_config.json"))?;
    let mut json: Value = serde_json::from_str(&config)?;
    json["image_mean"] = serde_json::json!([0.406, 0.456, 0.485]);
    for file in ["model.onnx", "config.json"] {
        copy(&good.join(file), &at(file))?;
    }
    fs::write(at("preprocessor_config.json"), json.to_string())?;
    let runs = [
        named("onnx", &good.join("model.onnx")),
        named("onnx", &at("model.onnx")),
    ];
    let result = run(compare(&[&runs[0], &runs[1]]).arg("-i").arg(&photo));
    expect_code(&result, 2)?;
    ensure(
        result
            .stderr
            .contains("its preprocessing differs from that of")
            && result
                .stderr
                .contains("mean 103.53,116.28,123.675 (reference: 123.675,116.28,103.53)")
            && result.stderr.contains("hint:"),
        &result,
    )?;
    let recorded = at("recorded.jsonl");
    let squeezenet = set_up("models/squeezenet1.1.onnx");
    let mut command = compare(&["onnx", "-m"]);
    command
        .arg(&squeezenet)
        .arg("-i")
        .arg(&photo)
        .arg("--record")
        .arg(&recorded);
    expect_code(&run(&mut command), 0)?;
    let mut command = compare(&["onnx", "--color", "rgb", "-m"]);
    command
        .arg(&squeezenet)
        .arg("-i")
        .arg(&photo)
        .arg("--against")
        .arg(&recorded);
    let result = run(&mut command);
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("color rgb (reference: bgr)"),
        &result,
    )?;

    // One weight.
    let own = tempfile::tempdir()?;
    let bad = own.path().join("bad.onnx");
    let arguments = [squeezenet.as_os_str(), bad.as_os_str()];
    let planted = python("perturb.py", arguments)?;
    let (index, name) = planted
        .trim()
        .split_once('\t')
        .ok_or("an index and a name")?;
    let index: u64 = index.parse()?;
    let three = ["onnx", "openvino", "rten"].map(|engine| {
        named(
            engine,
            if engine == "openvino" {
                &bad
            } else {
                &squeezenet
            },
        )
    });
    let mut command = compare(&[&three[0], &three[1], &three[2], "-i"]);
    let (_, json) = with_json(command.arg(&photo), 1)?;
    ensure(
        json["majority"]["found"] == "most" && json["majority"]["off"][0] == three[1],
        &json["majority"],
    )?;
    let runs = [named("onnx", &squeezenet), named("openvino", &bad)];
    let mut command = compare(&[&runs[0], &runs[1], "--bisect", "-i"]);
    let (result, json) = with_json(command.arg(&photo), 1)?;
    ensure(
        last_line(&result).starts_with("DISAGREE: openvino="),
        &result,
    )?;
    let bisect = &json["bisect"];
    ensure(bisect["first"] == index, bisect)?;
    ensure(bisect["certain"] == true, &bisect["unknown"])?;
    // 67 nodes: their sizes, three looks at up to 32 nodes, and one at what was found.
    let looks = bisect["looks"].as_u64().ok_or("a number")?;
    ensure(looks <= 5, looks)?;
    let looked_at = bisect["looked_at"].as_array().ok_or("a list")?;
    let found = looked_at.iter().find(|look| look["index"] == index);
    ensure(
        found.is_some_and(|look| look["name"] == name && look["operator"] == "Conv"),
        bisect,
    )?;
    println!("perturbed weight at node {index} {name}: found with {looks} looks");

    // Three runs say which one is off.
    let runs = [
        named("onnx", &squeezenet),
        named("openvino", &squeezenet),
        named("onnx", &bad),
    ];
    let mut command = compare(&[&runs[0], &runs[1], &runs[2], "-i"]);
    let (result, json) = with_json(command.arg(&photo), 1)?;
    ensure(
        json["majority"]["found"] == "most" && json["majority"]["off"][0] == runs[2],
        &json["majority"],
    )?;
    ensure(result.stdout.contains("bad.onnx is off"), &result)?;

    // Weights that end too early.
    for ending in ["xml", "bin"] {
        copy(
            &squeezenet.with_extension(ending),
            &at("cut").with_extension(ending),
        )?;
    }
    let weights = fs::read(at("cut.bin"))?;
    fs::write(at("cut.bin"), &weights[..weights.len() / 2])?;
    let runs = [
        named("onnx", &squeezenet),
        named("openvino", &at("cut.xml")),
    ];
    let result = run(compare(&[&runs[0], &runs[1]]).arg("-i").arg(&photo));
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("but the weights have") && result.stderr.contains("cut.xml"),
        &result,
    )
}

fn fast_decoding() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let recorded = folder.path().join("exact.jsonl");
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
    let why =
        "its preprocessing differs from that of onnx (recorded): decode fast (reference: exact)";
    ensure(refused.stderr.contains(why), &refused)?;
    let said = run(classify()
        .args(["inspect", "--decode", "fast", "--color", "rgb"])
        .arg(small_model("plain.onnx")));
    expect_code(&said, 0)?;
    ensure(
        said.stdout
            .lines()
            .any(|line| line.split_whitespace().eq(["decode", "fast", "--decode"])),
        said,
    )
}

fn run_names() -> Result<(), Failed> {
    let (folder, image, _) = small_images()?;
    let recorded = folder.path().join("lab.jsonl");
    let on = |runs: &[&str], flags: &[&str]| {
        let mut command = classify();
        command.arg("compare").args(runs).args(flags);
        command.args(["--color", "rgb", "--scale", "2", "--resize", "stretch"]);
        run(command.arg("-i").arg(&image))
    };
    let at = |name: &str| format!("onnx={}", small_model(name).display());
    // Notes, where the runs have models of their own.
    let (plain, reversed) = (at("plain.onnx"), at("reversed.onnx"));
    let result = on(&[&plain, &reversed], &["--mean", "1"]);
    for name in [&plain, &reversed] {
        let note = format!("note: {name}: nothing says the interpolation of this model");
        ensure(result.stderr.contains(&note), (note, &result))?;
    }
    // A reference that was recorded.
    let path = recorded.to_string_lossy();
    let result = on(&[&plain], &["--mean", "1", "--record", &path]);
    expect_code(&result, 0)?;
    let result = on(&[&plain], &["--mean", "2", "--against", &path]);
    expect_code(&result, 2)?;
    let words = format!(
        "its preprocessing differs from that of {plain} (recorded): mean 2,2,2 (reference: 1,1,1)"
    );
    ensure(result.stderr.contains(&words), (words, &result))?;
    // A hint on another engine.
    let custom = small_model("custom-domain.onnx")
        .to_string_lossy()
        .into_owned();
    let result = on(&["onnx", "rten"], &["--mean", "1", "-m", &custom]);
    ensure(
        result.stderr.contains("try it with the run `onnx`")
            && !result.stderr.contains("--backend"),
        &result,
    )
}

/// On one photo the two best classes of MobileNetV2 are 0.01 apart, and swap places.
fn half_weights() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let onnx = set_up("models/mobilenet-v2/model.onnx");
    let half = folder.path().join("model.xml");
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
    let (run, json) = with(&[], 0)?;
    let pair = &json["pairs"][0];
    ensure(
        pair["top1_match"]["count"] == 27 && pair["top1_match_but_ties"]["count"] == 28,
        &run,
    )?;
    ensure(
        run.stdout.contains("same best class but for ties on 28/28")
            && run.stdout.contains("; 27 without ties"),
        &run,
    )?;
    // At f32 nothing is loosened.
    let (run, json) = with(&["--tolerance", "f32", "--min-top1", "99%"], 1)?;
    let pair = &json["pairs"][0];
    ensure(
        pair["top1_match_but_ties"]["count"] == 27 && run.stdout.contains("FAILED top1"),
        &run,
    )
}

fn recordings() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let recorded = folder.path().join("lab.jsonl");
    let photos: Vec<PathBuf> = photos()?.into_iter().take(4).collect();
    let lite0 = set_up("models/efficientnet-lite0.onnx");
    let record = |runs: &[&str]| {
        let mut command = compare(runs);
        command
            .arg("-m")
            .arg(&lite0)
            .arg("-i")
            .args(&photos)
            .arg("--record")
            .arg(&recorded);
        for ending in ["json", "md", "html", "xml"] {
            let report = folder.path().join("recorded").with_extension(ending);
            command.arg("--report").arg(report);
        }
        run(&mut command)
    };
    let result = record(&["openvino"]);
    expect_code(&result, 0)?;
    ensure(
        last_line(&result).starts_with("RECORDED: 4 images"),
        &result,
    )?;
    let report =
        |ending: &str| fs::read_to_string(folder.path().join("recorded").with_extension(ending));
    let json: Value = serde_json::from_str(&report("json")?)?;
    ensure(json["verdict"] == "recorded", &json["verdict"])?;
    ensure(
        report("md")?.contains("**RECORDED: 4 images"),
        report("md")?,
    )?;
    ensure(
        report("html")?.contains("class=\"verdict recorded\""),
        report("html")?,
    )?;
    ensure(!report("xml")?.contains("<testcase"), report("xml")?)?;
    let against = |model: &Path, photos: &[PathBuf], code: i32| -> Result<Run, Failed> {
        let mut command = compare(&["onnx", "--against"]);
        command
            .arg(&recorded)
            .arg("-m")
            .arg(model)
            .arg("-i")
            .args(photos);
        let result = run(&mut command);
        expect_code(&result, code)?;
        Ok(result)
    };
    let result = against(&lite0, &photos, 0)?;
    ensure(
        last_line(&result).contains("onnx with openvino (recorded) on 4 images"),
        &result,
    )?;
    // The order does not matter, what is missing and what is new does.
    let turned: Vec<PathBuf> = photos.iter().rev().cloned().collect();
    against(&lite0, &turned, 0)?;
    let result = against(&lite0, &photos[1..], 2)?;
    ensure(
        result.stderr.contains("1 image of the recording not given"),
        &result,
    )?;
    let other = folder.path().join("other.png");
    fs::write(&other, [fs::read(&photos[0])?, vec![0]].concat())?;
    let more = [&photos[..], &[other]].concat();
    let result = against(&lite0, &more, 2)?;
    ensure(result.stderr.contains("is not in the recording"), &result)?;
    ensure(
        result.stdout.contains("same best class           4/4"),
        &result,
    )?;
    // No run is left but those of the recording.
    let mut command = compare(&["openvino:NOSUCH", "--against"]);
    command
        .arg(&recorded)
        .arg("-m")
        .arg(&lite0)
        .arg("-i")
        .args(&photos);
    let result = run(&mut command);
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("no run is left"), &result)?;
    // The same network in f16 is another model.
    let result = against(&set_up("models/efficientnet-lite0-f16.xml"), &photos, 2)?;
    ensure(!result.stdout.contains("AGREE"), &result)?;
    let mut command = compare(&["openvino", "--against"]);
    command
        .arg(&recorded)
        .arg("-m")
        .arg(set_up("models/efficientnet-lite0-f16.xml"));
    let result = run(command.arg("-i").args(&photos));
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("was not recorded"), &result)?;
    // One network in two files; a later run of one of them.
    let lite0_ir = set_up("models/efficientnet-lite0.xml");
    let ir = format!("openvino={}", lite0_ir.display());
    expect_code(&record(&["onnx", &ir]), 0)?;
    against(&lite0, &photos, 0)?;
    // Nothing passes that was not compared.
    let text = fs::read_to_string(&recorded)?;
    let hole = text.lines().map(|line| match line.find("\"outputs\":") {
        Some(place) => format!("{}\"outputs\":[null,null]}}\n", &line[..place]),
        None => format!("{line}\n"),
    });
    fs::write(&recorded, hole.collect::<String>())?;
    let result = against(&lite0, &photos, 2)?;
    ensure(
        result.stderr.contains("had failed when it was recorded"),
        &result,
    )?;
    // Several runs, damage, and what is none.
    expect_code(&record(&["onnx", "openvino"]), 0)?;
    let result = against(&lite0, &photos, 0)?;
    ensure(
        result.stdout.contains("all runs agree with each other"),
        &result,
    )?;
    let bytes = fs::read(&recorded)?;
    fs::write(&recorded, &bytes[..bytes.len() / 2])?;
    let result = against(&lite0, &photos, 2)?;
    ensure(result.stderr.contains("damaged or not complete"), &result)?;
    fs::write(&recorded, "{}\n")?;
    let result = against(&lite0, &photos, 2)?;
    ensure(result.stderr.contains("not a classify recording"), &result)
}

/// Two networks with constant weights always give every class the same score.
fn uninformative() -> Result<(), Failed> {
    let light = |file: &str| format!("onnx={}", set_up("models/light").join(file).display());
    let runs = [light("light_squeezenet.onnx"), light("light_resnet50.onnx")];
    let mut command = compare(&[&runs[0], &runs[1], "-i"]);
    let result = run(command.arg(photos()?.swap_remove(0)));
    expect_code(&result, 2)?;
    ensure(last_line(&result).contains("informative"), &result)
}

/// The model gives NaN: both engines do, and still nothing agrees.
fn not_finite() -> Result<(), Failed> {
    let (_folder, a, _) = small_images()?;
    let mut command = compare(&["onnx", "openvino", "-m"]);
    command
        .arg(small_model("not-a-number.onnx"))
        .arg("-i")
        .arg(&a);
    let (result, json) = with_json(&mut command, 1)?;
    ensure(
        last_line(&result).contains("DISAGREE") && last_line(&result).contains("finite"),
        &result,
    )?;
    ensure(json["pairs"][0]["not_finite"] == 1, &json["pairs"][0])
}

fn others_go_on() -> Result<(), Failed> {
    let (folder, a, b) = small_images()?;
    let cut = folder.path().join("cut.png");
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
        last_line(&result).starts_with("COULD NOT COMPARE: 1 of 3 runs failed"),
        &result,
    )?;
    ensure(
        json["compared"] == 2 && json["pairs"][0]["verdict"] == "agree",
        &json,
    )?;
    ensure(
        json["failures"][0]["path"] == cut.display().to_string(),
        &json["failures"],
    )?;
    // Where the reference is what fails, the others are compared all the same.
    let mut command = compare(&["openvino:NOSUCH", "onnx", "openvino", "-m"]);
    command.arg(small_model("plain.onnx")).arg("-i").arg(&a);
    let (_, json) = with_json(&mut command, 2)?;
    ensure(
        json["pairs"][0]["reference"] == "onnx" && json["pairs"][0]["verdict"] == "agree",
        &json,
    )
}

/// RTen has no LRN and takes f32 for f16: the two others are compared all the same.
fn what_one_engine_lacks() -> Result<(), Failed> {
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

fn none_left() -> Result<(), Failed> {
    let (folder, a, _) = small_images()?;
    let truth = folder.path().join("truth.txt");
    fs::write(&truth, "a.ppm 1\n")?;
    for command in ["compare", "evaluate"] {
        let reports = ["report.json", "report.md", "junit.xml", "report.html"];
        let reports = reports.map(|name| folder.path().join(format!("{command}-{name}")));
        let mut asked = classify();
        asked.args([command, "onnx:NOSUCH", "openvino:NOSUCH", "-m"]);
        asked.arg(small_model("plain.onnx")).arg("-i").arg(&a);
        if command == "evaluate" {
            asked.arg("--truth").arg(&truth);
        }
        for report in &reports {
            asked.arg("--report").arg(report);
        }
        let result = run(&mut asked);
        expect_code(&result, 2)?;
        ensure(last_line(&result).starts_with("COULD NOT "), &result)?;
        ensure(result.stderr.contains("no run is left to"), &result)?;
        let json: Value = serde_json::from_slice(&fs::read(&reports[0])?)?;
        ensure(json["verdict"] == "could-not-compare", &json)?;
        for report in &reports[1..] {
            let text = fs::read_to_string(report)?;
            ensure(text.contains("COULD NOT ") || text.contains("NOSUCH"), text)?;
        }
        let junit = fs::read_to_string(&reports[2])?;
        ensure(
            junit.contains("<failure") || junit.contains("<error"),
            junit,
        )?;
    }
    Ok(())
}

fn data_named_twice() -> Result<(), Failed> {
    let (folder, a, b) = small_images()?;
    python("data_twice.py", [folder.path()])?;
    let weights = folder.path().join("weights.bin");
    let before = fs::read(&weights)?;
    let model = |name: &str| format!("onnx={}", folder.path().join(name).display());
    let mut command = compare(&[&model("a.onnx"), &model("b.onnx"), "--bisect"]);
    command.args(["--color", "rgb", "-i"]).args([&a, &b]);
    let (result, json) = with_json(&mut command, 1)?;
    ensure(fs::read(&weights)? == before, "the weights were written to")?;
    ensure(json["bisect"]["first"] == 2, &json["bisect"])?;
    ensure(result.stdout.contains("#2"), result)
}

fn usage() -> Result<(), Failed> {
    let (_folder, a, _) = small_images()?;
    let model = small_model("plain.onnx");
    for (arguments, words) in [
        (&["onnx"][..], "a comparison needs two"),
        (&["onnx", "tensorrt"], "there are openvino, onnx, rten"),
        (&["onnx", "openvino@f64"], "auto, f32, bf16, f16"),
        (
            &["onnx", "openvino", "--reference", "nvidia"],
            "none of the runs: onnx, openvino",
        ),
        (&["onnx", "openvino", "--min-top1", "98"], "98%"),
        (&["onnx", "openvino", "--report", "report.pdf"], ".html"),
        (
            &["onnx", "openvino", "--report", "none/report.md"],
            "there is no folder none",
        ),
        (&["onnx", "openvino", "--bisect-image", "a.png"], "--bisect"),
        (
            &["onnx", "onnx", "--against", "Cargo.toml"],
            "not a classify recording",
        ),
    ] {
        let mut command = compare(arguments);
        let result = run(command.arg("-m").arg(&model).arg("-i").arg(&a));
        expect_code(&result, 2)?;
        ensure(result.stderr.contains(words), &result)?;
    }
    // The same run twice is a test of its own: does an engine always say the same?
    let result = run(compare(&["onnx", "onnx", "--max-delta", "0", "-m"])
        .arg(&model)
        .arg("-i")
        .arg(&a));
    expect_code(&result, 0)?;
    ensure(last_line(&result).contains("onnx (2) with onnx"), &result)
}

fn batches() -> Result<(), Failed> {
    let (_folder, a, b) = small_images()?;
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
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("recording.jsonl");
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
    let folder = tempfile::tempdir()?;
    let mut images = Vec::new();
    for level in [5_u8, 60, 120, 180, 250] {
        let path = folder.path().join(format!("{level}.ppm"));
        fs::write(&path, [&b"P6 8 8 255\n"[..], &[level; 192]].concat())?;
        images.push(path);
        // An image that is missing takes no place of another one.
        images.push(folder.path().join(format!("no-{level}.ppm")));
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
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("recording.jsonl");
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
    let folder = tempfile::tempdir()?;
    let peak = |pairs: usize| {
        let mut command = compare(&["onnx", "openvino", "-m"]);
        command.arg(small_model("plain.onnx"));
        for ending in ["json", "xml", "html", "md"] {
            let report = folder.path().join("report").with_extension(ending);
            command.arg("--report").arg(report);
        }
        peak_memory(command, pairs)
    };
    let (few, many) = (peak(50)?, peak(2_500)?);
    let images = fs::read_to_string(folder.path().join("report.json"))?;
    ensure(
        images.matches("\"within\": true").count() == 5_000,
        "all images",
    )?;
    println!("100 images {few} KiB, 5,000 images {many} KiB");
    // The rows alone would be a megabyte, and the JSON ten.
    ensure(many < few * 1.05, (few, many))
}

/// A comparison with a file name that is markup, and its reports in all forms.
fn hostile_reports(folder: &Path) -> Result<[PathBuf; 4], Failed> {
    let hostile = folder.join("<img src=x onerror=alert(1)>|`$&\u{202e}.png");
    let photos = photos()?;
    let png = photos
        .iter()
        .find(|photo| photo.extension().is_some_and(|ending| ending == "png"));
    copy(png.ok_or("a PNG")?, &hostile)?;
    let files =
        ["json", "xml", "html", "md"].map(|ending| folder.join("report").with_extension(ending));
    let runs = ["t_base", "t_gelu_tanh"].map(|name| format!("onnx={}", case(name).display()));
    let mut command = compare(&[&runs[0], &runs[1]]);
    command.args(PREPROCESSING).arg("-i");
    command.arg(&hostile).args(&photos[..6]);
    for file in &files {
        command.arg("--report").arg(file);
    }
    let result = run(&mut command);
    expect_code(&result, 1)?;
    Ok(files)
}

fn reports() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let [json, xml, html, markdown] = hostile_reports(folder.path())?;
    let read: Value = serde_json::from_str(&python("reports.py", [&json, &xml, &html])?)?;
    ensure(read["pictures"] == 7, &read)?;
    ensure(read["elements"]["script"].is_null(), &read["elements"])?;
    ensure(
        read["handlers"].as_array().is_some_and(Vec::is_empty),
        &read["handlers"],
    )?;
    let page = fs::read_to_string(&html)?;
    ensure(
        !page.contains("<img src=x") && !page.contains("://"),
        "markup of a file name, or an address",
    )?;
    let markdown = fs::read_to_string(markdown)?;
    ensure(
        !markdown.replace("\\<", "").contains('<') && markdown.starts_with("### classify compare"),
        &markdown,
    )?;
    ensure(read["verdict"] == "disagree", &read["verdict"])?;
    ensure(
        read["failures"]
            .as_u64()
            .is_some_and(|failures| failures >= 2),
        &read,
    )?;
    let cases = read["cases"].as_array().ok_or("cases")?;
    ensure(
        cases
            .iter()
            .filter(|case| case.to_string().contains("gate "))
            .count()
            >= 3,
        cases,
    )?;
    ensure(
        cases
            .iter()
            .any(|case| case.to_string().contains("onerror")),
        cases,
    )?;
    let text = read["text"].as_str().unwrap_or_default();
    ensure(
        text.contains("onerror=alert(1)") && text.contains("\\u{202e}"),
        text,
    )?;
    ensure(
        read["elements"]["img"] == 7 && read["elements"]["circle"].as_u64() > Some(6),
        &read["elements"],
    )?;
    Ok(())
}

/// A browser to look at pages with, where there is one.
fn chromium() -> Option<&'static str> {
    let usual = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    usual.into_iter().find(|path| Path::new(path).exists())
}

/// The browser shows the page without a complaint.
fn browser() -> Result<(), Failed> {
    let chromium = chromium().ok_or("no Chromium")?;
    let folder = tempfile::tempdir()?;
    let [_, _, html, _] = hostile_reports(folder.path())?;
    let profile = folder.path().join("profile");
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    let result = run(command.arg(format!("file://{}", html.display())));
    expect_code(&result, 0)?;
    ensure(
        result.stdout.contains("classify compare") && result.stdout.contains("</html>"),
        &result,
    )?;
    ensure(!result.stdout.contains("onerror=\""), "an event handler")?;
    // What a page's console says is logged with this word.
    let complaints: Vec<&str> = result
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    ensure(complaints.is_empty(), complaints)
}
