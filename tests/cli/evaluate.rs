//! `classify evaluate` on real engines, against ground truth.

use std::fs;
use std::path::Path;
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, photos, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, schemas, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 14] = [
        ("evaluate::every_form_of_truth", forms),
        ("evaluate::directories_are_classes", class_directories),
        ("evaluate::gates_need_the_truth_of_all_images", few_truths),
        ("evaluate::new_errors_are_in_every_report", new_errors),
        ("evaluate::min_truth_is_a_gate", min_truth),
        ("evaluate::min_truth_holds_at_its_limit", min_truth_limit),
        ("evaluate::an_image_that_fails_has_its_entry", failed_image),
        (
            "evaluate::only_answered_images_count",
            only_answered_images_count,
        ),
        (
            "evaluate::a_wrong_class_directory_is_one_error",
            wrong_class_directory,
        ),
        ("evaluate::too_few_images_are_said_in_every_report", remarks),
        ("evaluate::too_few_images_for_a_drop_are_said", drop_remark),
        ("evaluate::duplicates_are_in_every_report", duplicates),
        (
            "evaluate::copies_in_two_class_directories_are_an_error",
            copies_in_folders,
        ),
        (
            "evaluate::copies_of_one_class_are_no_error",
            copies_of_one_class,
        ),
    ];
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
            result.stderr.contains("does not mention 4 of 28 images"),
            &result,
        )?;
        let first = result.stdout.lines().next().unwrap_or_default().to_owned();
        Ok((first, serde_json::from_slice(&fs::read(&report)?)?))
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
    let gates = ["--min-top1", "90%", "--max-drop", "0"];
    let (last, _) = with(&[&gates[..], &["--min-truth", "24"]].concat(), 0)?;
    ensure(last.starts_with("PASSED"), last)?;
    let (last, _) = with(&gates, 2)?;
    let words = "COULD NOT EVALUATE on 24 of 28 images; 4 have no ground truth: ground truth for 24 of 28 images, \
                 85.7 %, at least 100 %";
    ensure(last.starts_with(words), last)?;
    let (last, json) = with(&["--min-top1", "0.95", "--min-truth", "85%"], 1)?;
    ensure(
        last.starts_with("FAILED on 24 of 28 images; 4 have no ground truth: onnx: top-1 22/24")
            && json["verdict"] == "disagree",
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
    is_said("25 images without a miss are needed")?;
    ensure(json["verdict"] == "agree", &json["verdict"])?;
    evaluated(&plain, &classes, &["--min-top1", "0.8640000001"], 1)?;

    // Two models that differ: right alone, and a drop at its limit.
    let classes: Vec<u64> = (0..IMAGES as u64).map(|image| image * image % 3).collect();
    let two = [run_of("three-classes.onnx"), run_of("plain.onnx")];
    let (result, json) = evaluated(&two, &classes, &[], 0)?;
    let counts = |key: &str| json["runs"][1]["against_reference"][key].as_u64();
    let (Some(alone), Some(reference)) = (counts("right_alone"), counts("reference_right_alone"))
    else {
        return Err(format!("{:#?}", json["runs"][1]["against_reference"]).into());
    };
    ensure(
        alone + reference > 10 && reference > alone,
        (alone, reference),
    )?;
    // Ten are listed.
    ensure(reference > 10, reference)?;
    let rest = format!("  {} more images are in the JSON report", reference - 10);
    let title = format!("new errors: {reference} images");
    let listed = [rest, title].map(|words| result.stdout.contains(&words));
    ensure(listed == [true; 2], &result)?;
    let drop = (reference - alone) as usize * 8;
    for (thousandths, code) in [(drop, 0), (drop - 1, 1)] {
        let most = format!("{thousandths}e-3");
        let flags = ["--max-drop", &most, "--drop-rule", "observed"];
        evaluated(&two, &classes, &flags, code)?;
    }
    // The other rules decide by the ends of the interval.
    let ends =
        ["low", "high"].map(|end| json["runs"][1]["against_reference"]["drop"][end].as_f64());
    let [Some(low), Some(high)] = ends else {
        return Err(format!("{ends:?}").into());
    };
    ensure(low > 0.001 && high < 0.999, (low, high))?;
    for (rule, end) in [("shown", low), ("possible", high)] {
        for (most, code) in [(end - 1e-3, 1), (end + 1e-3, 0)] {
            let flags = ["--max-drop", &format!("{most:.9}"), "--drop-rule", rule];
            let (result, _) = evaluated(&two, &classes, &flags, code)?;
            let is_said = result
                .stdout
                .contains(" %, but within the noise of 125 images");
            ensure(is_said == (rule == "shown" && code == 0), &result)?;
        }
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
        "--min-top1",
        "90%",
        "--min-truth",
        "24",
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
    let (folder, a, b) = small_images()?;
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
            .contains("1 image that was not given, the first is c.ppm");
        ensure(has_surplus == text.contains("c.ppm"), &result)?;
    }
    Ok(())
}

fn class_directories() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("images"))?;
    for (image, class) in [GREY, GREY, 0].iter().enumerate() {
        let class = folder.path().join(format!("images/{class}"));
        fs::create_dir_all(&class)?;
        let bytes = [&b"P6 8 8 255\n"[..], &[40 * image as u8 + 10; 192]].concat();
        fs::write(class.join(format!("{image}.ppm")), bytes)?;
    }
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(folder.path(), &flags, 0)?;
    let top = &json["runs"][0]["top"]["1"];
    ensure(top["count"] == 2 && top["of"] == 3, top)
}

/// Six images of one color each, of which all but the last are different.
fn six_images() -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("images"))?;
    for (image, level) in [10, 20, 40, 80, 160, 10_u8].iter().enumerate() {
        let bytes = [&b"P6 8 8 255\n"[..], &[*level; 192]].concat();
        fs::write(folder.path().join(format!("images/{image}.ppm")), bytes)?;
    }
    Ok(folder)
}

/// The best class of `plain.onnx` for grey images: the largest sum of a row of weights.
const GREY: usize = 10;

/// Evaluates the images of a directory with reports in every form; returns all of them, the JSON first.
fn every_report(folder: &Path, flags: &[&str], code: i32) -> Result<(Value, [String; 4]), Failed> {
    let mut command = evaluate(flags);
    command.current_dir(folder).arg("-m");
    command
        .arg(small_model("plain.onnx"))
        .args(["onnx", "-i", "images"]);
    for ending in ["json", "md", "html", "xml"] {
        command.arg(format!("--report=r.{ending}"));
    }
    let result = run(&mut command);
    expect_code(&result, code)?;
    let read = |ending: &str| fs::read_to_string(folder.join(format!("r.{ending}")));
    let json = serde_json::from_str(&read("json")?)?;
    schemas::check(&json)?;
    Ok((
        json,
        [result.stdout, read("md")?, read("html")?, read("xml")?],
    ))
}

fn few_truths() -> Result<(), Failed> {
    let folder = six_images()?;
    fs::write(folder.path().join("truth"), format!("0.ppm {GREY}\n"))?;
    let open = "COULD NOT EVALUATE on 1 of 6 images; 5 have no ground truth: ground truth for 1 of 6 images, 16.7 %, \
                at least 100 %";
    let passed = "PASSED on 1 of 6 images; 5 have no ground truth: all gates hold";
    let evaluated = "EVALUATED on 1 of 6 images; 5 have no ground truth: no gate was requested";
    for (limits, words, code) in [
        (&["--min-top1", "50%"][..], open, 2),
        (&["--min-top1", "50%", "--min-truth", "16%"], passed, 0),
        (&[], evaluated, 0),
    ] {
        let flags = [&["--truth", "truth"], limits].concat();
        let (json, [text, markdown, html, _]) = every_report(folder.path(), &flags, code)?;
        let summary = json["summary"].as_str().unwrap_or_default();
        ensure(summary.starts_with(words), summary)?;
        ensure(json["with_truth"] == 1 && json["pictures"] == 6, &json)?;
        for report in [text, markdown, html] {
            ensure(report.contains(words), report)?;
        }
    }
    Ok(())
}

fn new_errors() -> Result<(), Failed> {
    let folder = six_images()?;
    let three = format!("onnx={}", small_model("three-classes.onnx").display());
    let with = |classes: &[u64], flags: &[&str], code: i32| {
        let lines = classes.iter().enumerate();
        let lines = lines.map(|(image, class)| format!("{image}.ppm {class}\n"));
        fs::write(folder.path().join("truth"), lines.collect::<String>())?;
        let flags = [&["--truth", "truth", &three], flags].concat();
        every_report(folder.path(), &flags, code)
    };
    // Ground truth that the model of three classes has right everywhere, and the other one, which says `GREY`, nowhere.
    let (json, _) = with(&[0; 6], &[], 0)?;
    let mut classes = [0; 6];
    for wrong in json["runs"][0]["wrong"].as_array().ok_or("wrong")? {
        let path = wrong["path"].as_str().unwrap_or_default();
        let place = path.trim_end_matches(".ppm").chars().last();
        let place = place.and_then(|digit| digit.to_digit(10)).ok_or("digit")?;
        classes[place as usize] = wrong["answer"].as_u64().ok_or("answer")?;
    }
    for (flags, code, kind, other) in [
        (&["--max-drop", "0"][..], 1, "new_errors", "corrected"),
        (&["--reference", "onnx"], 0, "corrected", "new_errors"),
    ] {
        let (json, reports) = with(&classes, flags, code)?;
        let run = usize::from(kind == "new_errors");
        let against = &json["runs"][run]["against_reference"];
        let answers = against[kind].as_array().ok_or("answers")?;
        ensure(
            answers.len() == 6 && against[other] == serde_json::json!([]),
            against,
        )?;
        let changes: Vec<f64> = answers
            .iter()
            .filter_map(|it| Some(it["score"].as_f64()? - it["reference_score"].as_f64()?))
            .map(f64::abs)
            .collect();
        ensure(
            changes.len() == 6 && changes.is_sorted_by(|a, b| a >= b),
            &changes,
        )?;
        let lost = against["classes"].as_array().ok_or("classes")?;
        let counted = |key: &str| lost.iter().filter_map(|it| it[key].as_u64()).sum::<u64>();
        let counts = [counted("lost"), counted("gained")];
        ensure(counts == if run == 1 { [6, 0] } else { [0, 6] }, counts)?;
        let words = format!("{}: 6 images", kind.replace('_', " "));
        let [text, markdown, html, junit] = reports;
        for report in [text, markdown, html].map(|report| report.to_lowercase()) {
            ensure(
                report.contains(&words) && report.contains("classes by loss"),
                report,
            )?;
        }
        let document = roxmltree::Document::parse(&junit)?;
        let cases = document.descendants().filter(|node| {
            let name = node.attribute("name").unwrap_or_default();
            node.has_tag_name("testcase")
                && ["new error ", "corrected "]
                    .iter()
                    .any(|kind| name.starts_with(kind))
        });
        let failed = cases
            .clone()
            .filter(|case| case.children().any(|it| it.has_tag_name("failure")));
        let found = [cases.clone().count(), failed.count()];
        ensure(found == if run == 1 { [6, 6] } else { [6, 0] }, junit)?;
    }
    Ok(())
}

fn min_truth() -> Result<(), Failed> {
    let folder = six_images()?;
    fs::write(folder.path().join("truth"), format!("0.ppm {GREY}\n"))?;
    let flags = ["--truth", "truth", "--min-truth", "1"];
    let (json, [text, markdown, html, junit]) = every_report(folder.path(), &flags, 1)?;
    ensure(json["verdict"] == "disagree", &json["verdict"])?;
    ensure(
        json["gates"][0]["name"] == "min-truth" && json["gates"][0]["passed"] == false,
        &json["gates"],
    )?;
    let words = "ground truth for 1 of 6 images, 16.7 %, at least 100 %";
    ensure(text.contains(&format!("FAILED min-truth: {words}")), &text)?;
    ensure(
        text.contains("FAILED on 1 of 6 images; 5 have no ground truth"),
        &text,
    )?;
    for report in [markdown, html] {
        ensure(report.contains(words), report)?;
    }
    ensure(
        junit.contains("name=\"gate min-truth\"") && junit.contains("<failure"),
        junit,
    )
}

fn min_truth_limit() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = ["0", "1", "2"].map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.concat())?;
    for (least, code) in [("50%", 0), ("0.500000000000000001", 1)] {
        let flags = ["--truth", "truth", "--min-truth", least];
        every_report(folder.path(), &flags, code)?;
    }
    Ok(())
}

fn failed_image() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.collect::<String>())?;
    fs::write(folder.path().join("images/3.ppm"), "P6 8 8 255\n")?;
    let (json, _) = every_report(folder.path(), &["--truth", "truth"], 2)?;
    ensure(
        json["without_picture"] == serde_json::json!([]) && json["with_truth"] == 6,
        &json,
    )?;
    ensure(
        json["failures"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
            && json["runs"][0]["pictures"] == 5,
        &json,
    )
}

fn only_answered_images_count() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.collect::<String>())?;
    for image in 0..6 {
        let path = folder.path().join(format!("images/{image}.ppm"));
        fs::write(path, "P6 8 8 255\n")?;
        let (json, [text, ..]) = every_report(folder.path(), &["--truth", "truth"], 2)?;
        let last = text.lines().next().unwrap_or_default();
        let words = format!("; {} of 6 images counted", 5 - image);
        ensure(
            last.starts_with("COULD NOT EVALUATE: ") && last.contains(&words),
            last,
        )?;
        ensure(json["counted"] == 5 - image, &json["counted"])?;
    }
    Ok(())
}

fn wrong_class_directory() -> Result<(), Failed> {
    let folder = six_images()?;
    let labels: Vec<_> = (0..12).map(|class| format!("class {class}\n")).collect();
    fs::write(folder.path().join("labels"), labels.concat())?;
    let mut command = evaluate(&["onnx", "--truth-folders", "--labels", "labels", "-m"]);
    command.current_dir(folder.path());
    let result = run(command
        .arg(small_model("plain.onnx"))
        .args(["-i", "images"]));
    expect_code(&result, 2)?;
    let words = "all 6 images are in the directory `images`, which is not a class of the model";
    let of_class = result
        .stderr
        .lines()
        .filter(|line| line.contains("`images`"));
    ensure(
        result.stderr.contains(words) && of_class.count() == 1,
        &result,
    )
}

fn remarks() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.collect::<String>())?;
    let flags = ["--truth", "truth", "--min-top1", "98%"];
    let (json, reports) = every_report(folder.path(), &flags, 0)?;
    let words = "too few images to establish 98 %";
    let remark = json["runs"][0]["gates"][0]["remark"].as_str();
    ensure(
        remark.is_some_and(|remark| remark.starts_with(words)),
        &json,
    )?;
    for report in reports {
        ensure(report.contains(words), report)?;
    }
    Ok(())
}

fn drop_remark() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.collect::<String>())?;
    // Of 6 images without a difference the interval ends at 39 points.
    for (most, has_remark) in [("38%", true), ("40%", false)] {
        let flags = ["--truth", "truth", "--max-drop", most, "onnx"];
        let (json, [text, ..]) = every_report(folder.path(), &flags, 0)?;
        let remark = &json["runs"][1]["gates"][0]["remark"];
        ensure(remark.is_string() == has_remark, remark)?;
        let words = "too few images to establish a drop of at most 38 %";
        ensure(text.contains(words) == has_remark, text)?;
    }
    Ok(())
}

fn duplicates() -> Result<(), Failed> {
    let folder = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(folder.path().join("truth"), lines.collect::<String>())?;
    let (json, [text, markdown, html, _]) = every_report(folder.path(), &["--truth", "truth"], 0)?;
    let path = |image: usize| Path::new("images").join(format!("{image}.ppm"));
    let pair = serde_json::json!([{ "path": path(5), "same_as": path(0) }]);
    ensure(json["duplicates"] == pair, &json["duplicates"])?;
    ensure(json["runs"][0]["pictures"] == 6, &json["runs"][0])?;
    for report in [text, markdown, html] {
        let words = "1 of 6 images duplicate an earlier image and are counted again";
        ensure(report.contains(words), report)?;
    }
    Ok(())
}

/// Moves the images into one directory for each class.
fn class_folders(folder: &Path, classes: [usize; 6]) -> Result<(), Failed> {
    for (image, class) in classes.iter().enumerate() {
        let class = folder.join(format!("images/{class}"));
        fs::create_dir_all(&class)?;
        let name = format!("{image}.ppm");
        fs::rename(folder.join("images").join(&name), class.join(&name))?;
    }
    Ok(())
}

fn copies_in_folders() -> Result<(), Failed> {
    let folder = six_images()?;
    class_folders(folder.path(), [GREY, GREY, GREY, GREY, GREY, 11])?;
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(folder.path(), &flags, 2)?;
    let failures = json["failures"].as_array().ok_or("failures")?;
    let message = failures[0]["message"].as_str().unwrap_or_default();
    let first = Path::new("images").join(GREY.to_string()).join("0.ppm");
    let words = format!(
        "has the content of {}, but the ground truth says `11` here and `{GREY}` there",
        first.display()
    );
    ensure(failures.len() == 1 && message.contains(&words), failures)?;
    ensure(json["runs"][0]["pictures"] == 5, &json["runs"][0])
}

fn copies_of_one_class() -> Result<(), Failed> {
    let folder = six_images()?;
    class_folders(folder.path(), [GREY; 6])?;
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(folder.path(), &flags, 0)?;
    ensure(json["runs"][0]["top"]["1"]["count"] == 6, &json["runs"][0])
}
