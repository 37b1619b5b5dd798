//! `classify evaluate` on real engines, against ground truth.

use std::fs;
use std::path::Path;
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, photos, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, schemas, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 15] = [
        ("evaluate::every_form_of_truth", forms),
        ("evaluate::directories_are_classes", class_directories),
        ("evaluate::gates_need_the_truth_of_all_images", few_truths),
        ("evaluate::min_truth_is_a_gate", min_truth),
        ("evaluate::min_truth_holds_at_its_limit", min_truth_limit),
        ("evaluate::an_image_that_fails_has_its_entry", failed_image),
        (
            "evaluate::a_failed_reference_is_not_replaced",
            failed_reference,
        ),
        ("evaluate::images_that_do_not_exist_are_named", no_images),
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
            copies_in_directories,
        ),
        (
            "evaluate::copies_of_one_class_are_no_error",
            copies_of_one_class,
        ),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("evaluate::gates_that_hold_pass", passed_gates),
        (
            "evaluate::gates_on_part_of_the_truth_decide_nothing",
            gates_without_all_truth,
        ),
        ("evaluate::a_gate_that_does_not_hold_fails", failed_gate),
        ("evaluate::a_wrong_mean_costs_accuracy", wrong_mean),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .chain(engines.scenario(
            "evaluate::changed_answers",
            changed_answers,
            [
                ("are_all_listed", all_are_listed),
                ("have_the_largest_change_first", largest_change_first),
                ("are_counted_by_class", counted_by_class),
                ("are_in_text_markdown_and_html", named_in_texts),
                ("are_cases_of_junit", cases_of_junit),
            ],
        ))
        .chain(with_set_up.scenario(
            "evaluate::without_gates",
            without_gates,
            [
                ("the_verdict_is_evaluated", evaluated),
                ("images_without_truth_are_counted", unmentioned),
                ("top1_has_right_and_counted_images", top1),
                ("wrong_images_are_listed", wrong_images),
                ("the_bins_of_calibration_hold_all_images", calibration),
                ("equal_runs_have_no_significant_difference", equal_runs),
            ],
        ))
        .collect()
}

pub fn evaluate(arguments: &[&str]) -> Command {
    let mut command = classify();
    command.args(["evaluate", "--quiet"]).args(arguments);
    command
}

/// Evaluates two engines on the photos, of which 24 have ground truth; returns the result and the JSON report.
fn evaluate_photos(flags: &[&str], code: i32) -> Result<(Run, Value), Failed> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json");
    let mut command = evaluate(&["onnx", "openvino"]);
    command
        .args(flags)
        .arg("--truth")
        .arg(set_up("photos/ground-truth.tsv"))
        .arg("-i")
        .args(photos()?);
    let result = run(command.arg("--report").arg(&report));
    expect_code(&result, code)?;
    Ok((result, serde_json::from_slice(&fs::read(&report)?)?))
}

fn expect_first_line(result: &Run, words: &str) -> Result<(), Failed> {
    let first = result.stdout.lines().next().unwrap_or_default();
    ensure(first.starts_with(words), result)
}

fn runs(report: &Value) -> Result<&Vec<Value>, Failed> {
    Ok(report["runs"].as_array().ok_or("runs")?)
}

fn without_gates() -> Result<(Run, Value), Failed> {
    evaluate_photos(&[], 0)
}

fn evaluated((result, _): &(Run, Value)) -> Result<(), Failed> {
    expect_first_line(result, "EVALUATED")
}

fn unmentioned((result, _): &(Run, Value)) -> Result<(), Failed> {
    let said = "does not mention 4 of 28 images";
    ensure(result.stderr.contains(said), result)
}

/// The counts that `answers.rs` takes from the text output.
fn top1((_, report): &(Run, Value)) -> Result<(), Failed> {
    for run in runs(report)? {
        let top = &run["top"]["1"];
        ensure(top["count"] == 22 && top["of"] == 24, run)?;
    }
    Ok(())
}

fn wrong_images((_, report): &(Run, Value)) -> Result<(), Failed> {
    for run in runs(report)? {
        let wrong = run["wrong"].as_array().ok_or("wrong images")?;
        ensure(wrong.len() == 2, wrong)?;
    }
    Ok(())
}

fn calibration((_, report): &(Run, Value)) -> Result<(), Failed> {
    for run in runs(report)? {
        let bins = run["calibration"].as_array().ok_or("bins")?;
        let counted: u64 = bins.iter().filter_map(|bin| bin["pictures"].as_u64()).sum();
        ensure(bins.len() == 15 && counted == 24, bins)?;
    }
    Ok(())
}

fn equal_runs((_, report): &(Run, Value)) -> Result<(), Failed> {
    let against = &report["runs"][1]["against_reference"];
    ensure(against["mcnemar_p"] == 1.0, against)
}

/// Gates that 22 of 24 right answers pass.
const PASSED: [&str; 4] = ["--min-top1", "90%", "--max-drop", "0"];

fn passed_gates() -> Result<(), Failed> {
    let (result, _) = evaluate_photos(&[&PASSED[..], &["--min-truth", "24"]].concat(), 0)?;
    expect_first_line(&result, "PASSED")
}

fn gates_without_all_truth() -> Result<(), Failed> {
    let (result, _) = evaluate_photos(&PASSED, 2)?;
    expect_first_line(
        &result,
        "COULD NOT EVALUATE: ground truth for 24 of 28 images, \
         85.7 %, at least 100 %",
    )
}

fn failed_gate() -> Result<(), Failed> {
    let flags = ["--min-top1", "0.95", "--min-truth", "85%"];
    let (result, report) = evaluate_photos(&flags, 1)?;
    expect_first_line(
        &result,
        "FAILED on 24 of 28 images; 4 have no ground truth: onnx: top-1 22/24",
    )?;
    ensure(report["verdict"] == "disagree", &report["verdict"])
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
    ensure(
        result
            .stdout
            .contains(": openvino: top-1 1/24, 4.2 % (95 %: 0.7 to 20.2), at least 90 %\n"),
        &result,
    )
}

fn forms() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
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
    let truth = directory.path().join("truth");
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
    let directory = tempfile::tempdir()?;
    fs::create_dir(directory.path().join("images"))?;
    for (image, class) in [GREY, GREY, 0].iter().enumerate() {
        let class = directory.path().join(format!("images/{class}"));
        fs::create_dir_all(&class)?;
        let bytes = [&b"P6 8 8 255\n"[..], &[40 * image as u8 + 10; 192]].concat();
        fs::write(class.join(format!("{image}.ppm")), bytes)?;
    }
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(directory.path(), &flags, 0)?;
    let top = &json["runs"][0]["top"]["1"];
    ensure(top["count"] == 2 && top["of"] == 3, top)
}

/// Six images of one color each, of which all but the last are different.
fn six_images() -> Result<tempfile::TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    fs::create_dir(directory.path().join("images"))?;
    for (image, level) in [10, 20, 40, 80, 160, 10_u8].iter().enumerate() {
        let bytes = [&b"P6 8 8 255\n"[..], &[*level; 192]].concat();
        fs::write(directory.path().join(format!("images/{image}.ppm")), bytes)?;
    }
    Ok(directory)
}

/// The best class of `plain.onnx` for grey images: the largest sum of a row of weights.
const GREY: usize = 10;

/// Evaluates the images of a directory with reports in every form; returns all of them, the JSON first.
fn every_report(
    directory: &Path,
    flags: &[&str],
    code: i32,
) -> Result<(Value, [String; 4]), Failed> {
    let mut command = evaluate(flags);
    command.current_dir(directory).arg("-m");
    command
        .arg(small_model("plain.onnx"))
        .args(["onnx", "-i", "images"]);
    for ending in ["json", "md", "html", "xml"] {
        command.arg(format!("--report=r.{ending}"));
    }
    let result = run(&mut command);
    expect_code(&result, code)?;
    let read = |ending: &str| fs::read_to_string(directory.join(format!("r.{ending}")));
    let json = serde_json::from_str(&read("json")?)?;
    schemas::check(&json)?;
    Ok((
        json,
        [result.stdout, read("md")?, read("html")?, read("xml")?],
    ))
}

fn few_truths() -> Result<(), Failed> {
    let directory = six_images()?;
    fs::write(directory.path().join("truth"), format!("0.ppm {GREY}\n"))?;
    let open = "COULD NOT EVALUATE: ground truth for 1 of 6 images, 16.7 %, \
                at least 100 %";
    let passed = "PASSED on 1 of 6 images; 5 have no ground truth: both gates hold";
    let evaluated = "EVALUATED on 1 of 6 images; 5 have no ground truth: no gate was requested";
    for (limits, words, code) in [
        (&["--min-top1", "50%"][..], open, 2),
        (&["--min-top1", "50%", "--min-truth", "16%"], passed, 0),
        (&[], evaluated, 0),
    ] {
        let flags = [&["--truth", "truth"], limits].concat();
        let (json, [text, markdown, html, _]) = every_report(directory.path(), &flags, code)?;
        let summary = json["summary"].as_str().unwrap_or_default();
        ensure(summary.starts_with(words), summary)?;
        ensure(json["with_truth"] == 1 && json["pictures"] == 6, &json)?;
        ensure(text.contains(words), text)?;
        // They have gates in a table, and the page has the word of the verdict in a heading.
        let is_of_word = |letter: char| letter.is_ascii_uppercase() || letter == ' ';
        let parts = words.trim_start_matches(is_of_word).split(": ");
        for report in [markdown, html] {
            ensure(parts.clone().all(|part| report.contains(part)), report)?;
        }
    }
    Ok(())
}

/// The reports of a run against a reference, where all answers changed.
struct Changed {
    /// The run, by its place.
    run: usize,
    /// `new_errors` or `corrected`.
    kind: &'static str,
    json: Value,
    text: String,
    markdown: String,
    html: String,
    junit: String,
}

impl Changed {
    fn against_reference(&self) -> &Value {
        &self.json["runs"][self.run]["against_reference"]
    }
}

/// Ground truth that the model of three classes has right everywhere, and the other one, which says `GREY`, nowhere.
fn changed_answers() -> Result<[Changed; 2], Failed> {
    let directory = six_images()?;
    let three = format!("onnx={}", small_model("three-classes.onnx").display());
    let with = |classes: &[u64], flags: &[&str], code: i32| {
        let lines = classes.iter().enumerate();
        let lines = lines.map(|(image, class)| format!("{image}.ppm {class}\n"));
        fs::write(directory.path().join("truth"), lines.collect::<String>())?;
        let flags = [&["--truth", "truth", &three], flags].concat();
        every_report(directory.path(), &flags, code)
    };
    let (json, _) = with(&[0; 6], &[], 0)?;
    let mut classes = [0; 6];
    for wrong in json["runs"][0]["wrong"].as_array().ok_or("wrong")? {
        let path = wrong["path"].as_str().unwrap_or_default();
        let place = path.trim_end_matches(".ppm").chars().last();
        let place = place.and_then(|digit| digit.to_digit(10)).ok_or("digit")?;
        classes[place as usize] = wrong["answer"].as_u64().ok_or("answer")?;
    }
    let changed = |run, kind, flags: &[&str], code| {
        let (json, [text, markdown, html, junit]) = with(&classes, flags, code)?;
        Ok::<_, Failed>(Changed {
            run,
            kind,
            json,
            text,
            markdown,
            html,
            junit,
        })
    };
    Ok([
        changed(1, "new_errors", &["--max-drop", "0"], 1)?,
        changed(0, "corrected", &["--reference", "onnx"], 0)?,
    ])
}

fn all_are_listed(reports: &[Changed; 2]) -> Result<(), Failed> {
    for (changed, other) in reports.iter().zip(["corrected", "new_errors"]) {
        let against = changed.against_reference();
        let answers = against[changed.kind].as_array().ok_or("answers")?;
        let is_right = answers.len() == 6 && against[other] == serde_json::json!([]);
        ensure(is_right, against)?;
    }
    Ok(())
}

fn largest_change_first(reports: &[Changed; 2]) -> Result<(), Failed> {
    for changed in reports {
        let answers = &changed.against_reference()[changed.kind];
        let changes: Vec<f64> = answers
            .as_array()
            .ok_or("answers")?
            .iter()
            .filter_map(|it| Some(it["score"].as_f64()? - it["reference_score"].as_f64()?))
            .map(f64::abs)
            .collect();
        let is_sorted = changes.len() == 6 && changes.is_sorted_by(|a, b| a >= b);
        ensure(is_sorted, &changes)?;
    }
    Ok(())
}

fn counted_by_class(reports: &[Changed; 2]) -> Result<(), Failed> {
    for (changed, expected) in reports.iter().zip([[6, 0], [0, 6]]) {
        let classes = changed.against_reference()["classes"].as_array();
        let classes = classes.ok_or("classes")?;
        let counted = |key: &str| {
            classes
                .iter()
                .filter_map(|it| it[key].as_u64())
                .sum::<u64>()
        };
        let counts = [counted("lost"), counted("gained")];
        ensure(counts == expected, counts)?;
    }
    Ok(())
}

fn named_in_texts(reports: &[Changed; 2]) -> Result<(), Failed> {
    for changed in reports {
        let words = format!("{}: 6 images", changed.kind.replace('_', " "));
        for report in [&changed.text, &changed.markdown, &changed.html] {
            let report = report.to_lowercase();
            let is_named = report.contains(&words) && report.contains("classes by loss");
            ensure(is_named, report)?;
        }
    }
    Ok(())
}

fn cases_of_junit(reports: &[Changed; 2]) -> Result<(), Failed> {
    for (changed, expected) in reports.iter().zip([[6, 6], [6, 0]]) {
        let document = roxmltree::Document::parse(&changed.junit)?;
        let is_change = |node: &roxmltree::Node<'_, '_>| {
            let name = node.attribute("name").unwrap_or_default();
            node.has_tag_name("testcase")
                && (name.starts_with("new error ") || name.starts_with("corrected "))
        };
        let cases: Vec<_> = document.descendants().filter(is_change).collect();
        let is_failed =
            |case: &&roxmltree::Node<'_, '_>| case.children().any(|it| it.has_tag_name("failure"));
        let found = [cases.len(), cases.iter().filter(is_failed).count()];
        ensure(found == expected, &changed.junit)?;
    }
    Ok(())
}

fn min_truth() -> Result<(), Failed> {
    let directory = six_images()?;
    fs::write(directory.path().join("truth"), format!("0.ppm {GREY}\n"))?;
    let flags = ["--truth", "truth", "--min-truth", "100%"];
    let (json, [text, markdown, html, junit]) = every_report(directory.path(), &flags, 1)?;
    ensure(json["verdict"] == "disagree", &json["verdict"])?;
    ensure(
        json["gates"][0]["name"] == "min-truth" && json["gates"][0]["passed"] == false,
        &json["gates"],
    )?;
    let words = "ground truth for 1 of 6 images, 16.7 %, at least 100 %";
    let line = format!("FAILED on 1 of 6 images; 5 have no ground truth: {words}\n");
    ensure(
        text.starts_with(&line) && text.matches(words).count() == 1,
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
    let directory = six_images()?;
    let lines = ["0", "1", "2"].map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.concat())?;
    for (least, code) in [("50%", 0), ("0.500000000000000001", 1)] {
        let flags = ["--truth", "truth", "--min-truth", least];
        every_report(directory.path(), &flags, code)?;
    }
    Ok(())
}

fn failed_image() -> Result<(), Failed> {
    let directory = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.collect::<String>())?;
    fs::write(directory.path().join("images/3.ppm"), "P6 8 8 255\n")?;
    let (json, _) = every_report(directory.path(), &["--truth", "truth"], 2)?;
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

fn failed_reference() -> Result<(), Failed> {
    let (directory, image, _) = small_images()?;
    let truth = directory.path().join("truth.txt");
    fs::write(&truth, "a.ppm 10\n")?;
    let report = directory.path().join("report.json");
    let plain = small_model("plain.onnx");
    let [other, good] = ["rten", "openvino"].map(|engine| format!("{engine}={}", plain.display()));
    let mut command = evaluate(&["rten=missing.onnx", &other, &good, "--max-drop", "1%"]);
    command.args(["--color", "rgb", "-i"]).arg(image);
    command
        .arg("--truth")
        .arg(truth)
        .arg("--report")
        .arg(&report);
    let result = run(&mut command);
    expect_code(&result, 2)?;
    ensure(!result.stdout.contains("max-drop"), &result)?;
    ensure(!result.stdout.contains("(reference)\n"), &result)?;
    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    let drops: Vec<&Value> = runs(&report)?.iter().map(|run| &run["drop"]).collect();
    ensure(drops.iter().all(|drop| drop.is_null()), report)
}

fn no_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let truth = directory.path().join("truth.txt");
    fs::write(&truth, "a.ppm 10\n")?;
    let mut command = evaluate(&["rten", "-i", "no-such-directory", "--truth"]);
    command.arg(truth).arg("-m").arg(small_model("plain.onnx"));
    let result = run(&mut command);
    expect_code(&result, 2)?;
    let words = "no-such-directory: there is no such file or directory";
    ensure(result.stderr.contains(words), &result)?;
    ensure(!result.stderr.contains("ground truth"), result)
}

fn only_answered_images_count() -> Result<(), Failed> {
    let directory = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.collect::<String>())?;
    for image in 0..6 {
        let path = directory.path().join(format!("images/{image}.ppm"));
        fs::write(path, "P6 8 8 255\n")?;
        let (json, [text, ..]) = every_report(directory.path(), &["--truth", "truth"], 2)?;
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
    let directory = six_images()?;
    let labels: Vec<_> = (0..12).map(|class| format!("class {class}\n")).collect();
    fs::write(directory.path().join("labels"), labels.concat())?;
    let mut command = evaluate(&["onnx", "--truth-folders", "--labels", "labels", "-m"]);
    command.current_dir(directory.path());
    let result = run(command
        .arg(small_model("plain.onnx"))
        .args(["-i", "images"]));
    expect_code(&result, 2)?;
    let words = "all 6 images are in the directory \"images\", which is not a class of the model";
    let of_class = result
        .stderr
        .lines()
        .filter(|line| line.contains("\"images\""));
    ensure(
        result.stderr.contains(words) && of_class.count() == 1,
        &result,
    )
}

fn remarks() -> Result<(), Failed> {
    let directory = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.collect::<String>())?;
    let flags = ["--truth", "truth", "--min-top1", "98%"];
    let (json, reports) = every_report(directory.path(), &flags, 0)?;
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
    let directory = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.collect::<String>())?;
    // Of 6 images without a difference the interval ends at 39 points.
    for (most, has_remark) in [("38%", true), ("40%", false)] {
        let flags = ["--truth", "truth", "--max-drop", most, "onnx"];
        let (json, [text, ..]) = every_report(directory.path(), &flags, 0)?;
        let remark = &json["runs"][1]["gates"][0]["remark"];
        ensure(remark.is_string() == has_remark, remark)?;
        let words = "too few images to establish a drop of at most 38 %";
        ensure(text.contains(words) == has_remark, text)?;
    }
    Ok(())
}

fn duplicates() -> Result<(), Failed> {
    let directory = six_images()?;
    let lines = (0..6).map(|image| format!("{image}.ppm {GREY}\n"));
    fs::write(directory.path().join("truth"), lines.collect::<String>())?;
    let (json, [text, markdown, html, _]) =
        every_report(directory.path(), &["--truth", "truth"], 0)?;
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
fn write_classes(directory: &Path, classes: [usize; 6]) -> Result<(), Failed> {
    for (image, class) in classes.iter().enumerate() {
        let class = directory.join(format!("images/{class}"));
        fs::create_dir_all(&class)?;
        let name = format!("{image}.ppm");
        fs::rename(directory.join("images").join(&name), class.join(&name))?;
    }
    Ok(())
}

fn copies_in_directories() -> Result<(), Failed> {
    let directory = six_images()?;
    write_classes(directory.path(), [GREY, GREY, GREY, GREY, GREY, 11])?;
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(directory.path(), &flags, 2)?;
    let failures = json["failures"].as_array().ok_or("failures")?;
    let message = failures[0]["message"].as_str().unwrap_or_default();
    let first = Path::new("images").join(GREY.to_string()).join("0.ppm");
    let words = format!(
        "has the content of {}, but the ground truth says \"11\" here and \"{GREY}\" there",
        first.display()
    );
    ensure(failures.len() == 1 && message.contains(&words), failures)?;
    ensure(json["runs"][0]["pictures"] == 5, &json["runs"][0])
}

fn copies_of_one_class() -> Result<(), Failed> {
    let directory = six_images()?;
    write_classes(directory.path(), [GREY; 6])?;
    let flags = ["--truth-folders", "--recursive"];
    let (json, _) = every_report(directory.path(), &flags, 0)?;
    ensure(json["runs"][0]["top"]["1"]["count"] == 6, &json["runs"][0])
}
