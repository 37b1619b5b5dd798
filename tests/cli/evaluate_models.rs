//! `classify evaluate` on kinds of models and sets of labels. Right values are from `tests/reference/evaluation.py`, or
//! follow from the images and the weights in `tests/data/make_models.py`.

use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, Run, ensure, expect_code, python, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::case;
use crate::classify;

type Test = fn() -> Result<(), Failed>;

/// Colors of images, for which `plain.onnx` has the classes [`PLAIN`].
const COLORS: [[u8; 3]; 6] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [0, 255, 255],
    [255, 0, 255],
];
/// The row of weights with the largest product with each color.
const PLAIN: [usize; 6] = [3, 1, 10, 1, 10, 3];
/// Classes that `multilabel_sigmoid.onnx` partly gives.
const SEVERAL: [&[usize]; 6] = [&[0, 1], &[1, 2], &[], &[3, 5], &[1], &[0]];

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, Test); 19] = [
        ("each_run_is_judged_by_its_own_labels", own_labels),
        ("ids_are_places_in_each_runs_own_output", own_ids),
        ("ids_that_are_too_small_by_one_are_a_warning", small_ids),
        ("ids_that_are_too_large_by_one_are_a_warning", large_ids),
        (
            "shifted_ids_are_a_remark_in_every_report",
            remark_in_reports,
        ),
        ("a_run_without_answers_passes_no_gate", no_answers),
        ("right_ids_are_no_warning", right_ids),
        (
            "numbers_that_are_ids_and_labels_are_not_guessed",
            ids_or_labels,
        ),
        ("other_names_and_numbers_are_reported", other_labels),
        ("a_run_without_labels_fails_alone", no_labels),
        ("several_truths_need_a_multi_label_model", several_truths),
        ("every_form_of_several_truths", forms_of_several),
        ("the_threshold_decides_which_classes_are_given", threshold),
        ("a_yes_or_no_model_has_two_classes", yes_or_no),
        ("class_ids_have_one_rank_and_no_calibration", class_ids),
        ("class_ids_have_names", class_id_names),
        ("raw_scores_rank_and_have_no_calibration", raw),
        ("a_single_raw_value_is_refused", single_raw),
        ("independent_scores_in_every_report", every_report),
    ];
    let with_python: [(&str, Test); 1] = [("numbers_are_those_of_the_outputs", numbers)];
    let trial = |needs: &Needs, (name, test): (&str, Test)| {
        needs.test(format!("evaluate_models::{name}"), test)
    };
    let tests = tests.map(|test| trial(engines, test)).into_iter();
    tests
        .chain(with_python.map(|test| trial(with_set_up, test)))
        .collect()
}

/// A directory with the images, truth and models of a test.
struct Place {
    directory: TempDir,
    mean: &'static str,
    scale: &'static str,
}

impl Place {
    fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join("images"))?;
        for (index, color) in COLORS.iter().enumerate() {
            let bytes = [&b"P6 8 8 255\n"[..], &color.repeat(64)].concat();
            fs::write(directory.path().join(format!("images/{index}.ppm")), bytes)?;
        }
        Ok(Self {
            directory,
            mean: "0",
            scale: "1",
        })
    }

    /// Pixels from -1 to 1, as the models in `tests/data/cases` take them.
    fn of_cases() -> Result<Self, Failed> {
        Ok(Self {
            mean: "127.5",
            scale: "127.5",
            ..Self::new()?
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Copies a model, with labels next to it; returns the run.
    fn model(&self, name: &str, from: &Path, labels: &[&str]) -> Result<String, Failed> {
        let model = self.path(&format!("{name}.onnx"));
        fs::copy(from, &model)?;
        if !labels.is_empty() {
            fs::write(model.with_extension("labels"), labels.join("\n"))?;
        }
        Ok(format!("onnx={name}.onnx"))
    }

    /// Evaluates `runs` with the lines of a ground truth; the report is JSON.
    fn evaluate(
        &self,
        runs: &[&str],
        truth: &str,
        flags: &[&str],
        code: i32,
    ) -> Result<(Run, Value), Failed> {
        fs::write(self.path("truth"), truth)?;
        let mut command = classify();
        command.current_dir(self.directory.path()).arg("evaluate");
        command.args(runs).args(flags).args([
            "-i",
            "images",
            "--truth",
            "truth",
            "--report",
            "report.json",
        ]);
        command.args(["--color", "rgb", "--mean", self.mean, "--scale", self.scale]);
        command.args(["--resize", "stretch", "--interpolation", "bilinear"]);
        let result = run(&mut command);
        expect_code(&result, code)?;
        let report = fs::read(self.path("report.json"))?;
        Ok((result, serde_json::from_slice(&report)?))
    }
}

/// `name0` to `name11`, ascending or descending.
fn twelve(reversed: bool) -> Vec<String> {
    let name = |class: usize| format!("name{}", if reversed { 11 - class } else { class });
    (0..12).map(name).collect()
}

fn lines(classes: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let lines = classes.into_iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(image, class)| format!("{image}.ppm\t{class}\n"))
        .collect();
    lines.concat()
}

/// The same model twice, once with its classes in reverse order, each with its labels.
fn two_orders(place: &Place) -> Result<[String; 2], Failed> {
    let [base, reversed] = [twelve(false), twelve(true)];
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    let reversed: Vec<&str> = reversed.iter().map(String::as_str).collect();
    Ok([
        place.model("base", &small_model("plain.onnx"), &base)?,
        place.model("reversed", &small_model("reversed.onnx"), &reversed)?,
    ])
}

fn own_labels() -> Result<(), Failed> {
    let place = Place::new()?;
    let [base, reversed] = two_orders(&place)?;
    // One of them is wrong, and the name that is printed is the run's own.
    let mut names = PLAIN.map(|class| format!("name{class}"));
    for (truth, right) in [("name3", 6), ("name0", 5)] {
        truth.clone_into(&mut names[0]);
        let (result, json) = place.evaluate(&[&base, &reversed], &lines(&names), &[], 0)?;
        for of_run in json["runs"].as_array().ok_or("runs")? {
            ensure(of_run["top"]["1"]["count"] == right, of_run)?;
            for class in of_run["classes"].as_array().ok_or("classes")? {
                let is_truth = names.iter().any(|name| class["label"] == name.as_str());
                ensure(is_truth, class)?;
            }
        }
        ensure(json["runs"][0]["labels"]["difference"].is_null(), &json)?;
        ensure(json["runs"][1]["labels"]["difference"] == "order", &json)?;
        ensure(
            result.stderr.contains(
                "onnx=reversed.onnx: the labels of onnx=base.onnx, in another order; each run",
            ),
            &result,
        )?;
    }
    let (result, json) = place.evaluate(&[&base, &reversed], &lines(&names), &["--verbose"], 0)?;
    ensure(
        result
            .stdout
            .contains("1 x 0 name0 was classified as 3 name3")
            && result
                .stdout
                .contains("1 x 11 name0 was classified as 8 name3"),
        &result,
    )?;
    let wrong = &json["runs"][1]["wrong"][0];
    ensure(wrong["class_id"] == 11 && wrong["answer"] == 8, wrong)
}

/// Evaluates ids that are shifted by `by`; returns what the program says about the offset.
fn shifted_ids(by: i64) -> Result<String, Failed> {
    let place = Place::new()?;
    let run = place.model("base", &small_model("plain.onnx"), &[])?;
    let ids = PLAIN.map(|class| class as i64 + by);
    let (result, _) = place.evaluate(&[&run], &lines(ids), &["--quiet"], 0)?;
    Ok(result.stderr)
}

fn small_ids() -> Result<(), Failed> {
    let warning = shifted_ids(-1)?;
    ensure(
        warning.contains("0 of 6 answers are right, but 6 would be with `--label-offset 1`"),
        warning,
    )
}

fn large_ids() -> Result<(), Failed> {
    let warning = shifted_ids(1)?;
    ensure(
        warning.contains("0 of 6 answers are right, but 6 would be with `--label-offset -1`"),
        warning,
    )
}

/// The labels are numbers in alphabetical order, as directories are: class 2 is `10`.
fn ids_or_labels() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut labels: Vec<String> = (0..12).map(|id: usize| id.to_string()).collect();
    labels.sort();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let run = place.model("base", &small_model("plain.onnx"), &labels)?;
    let written = PLAIN.map(|class| labels[class]);
    let (result, _) = place.evaluate(&[&run], &lines(written), &[], 2)?;
    let words = "which is the id of class";
    let hint = "the name of the column, `class_id` or `class_label`";
    ensure(
        result.stderr.contains(words) && result.stderr.contains(hint),
        &result,
    )?;
    let table = |column: &str| {
        let rows = written.iter().enumerate();
        let rows = rows.map(|(image, class)| format!("{image}.ppm,{class}\n"));
        format!("path,{column}\n{}", rows.collect::<String>())
    };
    let right = written
        .iter()
        .zip(PLAIN)
        .filter(|(written, class)| **written == class.to_string());
    for (column, expected) in [("class_label", 6), ("class_id", right.count())] {
        let (_, json) = place.evaluate(&[&run], &table(column), &[], 0)?;
        let top1 = &json["runs"][0]["top"]["1"]["count"];
        ensure(*top1 == expected, (column, top1))?;
    }
    // All numbers are ids and labels.
    let (result, _) = place.evaluate(&[&run], &table("label"), &[], 2)?;
    ensure(result.stderr.contains(hint), &result)?;
    for (class, code) in [("8", 2), ("id:3", 0), ("label:8", 0), ("1", 0)] {
        let limit = format!("recall:{class}=-1%");
        let flags = ["--metric-min", &limit];
        let (result, _) = place.evaluate(&[&run], &table("class_label"), &flags, code)?;
        let words = "8, which is the id of class 8, but the label of class 10 (hint: write recall:id:8 or recall:label:8)";
        ensure(
            result.stderr.contains(words) == (code == 2 && class == "8"),
            &result,
        )?;
    }
    Ok(())
}

fn no_answers() -> Result<(), Failed> {
    let place = Place::new()?;
    let good = place.model("good", &small_model("plain.onnx"), &[])?;
    let bad = place.model("bad", &small_model("not-a-number.onnx"), &[])?;
    for copy in 6..14 {
        let image = |number: usize| place.path("images").join(format!("{number}.ppm"));
        fs::copy(image(copy % 6), image(copy))?;
    }
    let flags = ["--max-drop", "1%", "--report", "a.xml"];
    let truth = lines(PLAIN.iter().cycle().take(14));
    let (result, json) = place.evaluate(&[&good, &bad], &truth, &flags, 2)?;
    let errors = result
        .stderr
        .lines()
        .filter(|line| line.contains(".ppm: onnx=bad.onnx: "));
    ensure(errors.count() == 10, &result)?;
    let message = "the model's output for class N is NaN (N of N values are not finite)";
    let words = format!("error: onnx=bad.onnx: 4 more images: {message}; a JSON report lists all");
    ensure(result.stderr.contains(&words), &result)?;
    let no_verdict = "no verdict on the drop: there is no image that both runs answered";
    ensure(result.stdout.contains(no_verdict), &result)?;
    ensure(
        !result.stdout.contains("points") && !result.stdout.contains(" 0.0 %"),
        &result,
    )?;
    let run = &json["runs"][1];
    ensure(run["gates"][0]["passed"] == false, &run["gates"])?;
    ensure(run["against_reference"]["drop"].is_null(), run)?;
    let xml = fs::read_to_string(place.path("a.xml"))?;
    ensure(xml.contains(&format!("<error message=\"{no_verdict}")), xml)
}

/// Quiet or not, every report has the remark.
fn remark_in_reports() -> Result<(), Failed> {
    let place = Place::new()?;
    let run = place.model("base", &small_model("plain.onnx"), &[])?;
    let ids = PLAIN.map(|class| class as i64 - 1);
    let reports = tempfile::tempdir()?;
    let files = ["a.html", "a.md", "a.xml", "a.annotations", "a.json"];
    let files = files.map(|file| reports.path().join(file).display().to_string());
    let mut flags = vec!["--quiet"];
    flags.extend(files.iter().flat_map(|file| ["--report", file]));
    place.evaluate(&[&run], &lines(ids), &flags, 0)?;
    for (file, flag) in files.iter().zip([
        "`--label-offset 1`",
        "\\`--label-offset 1\\`",
        "`--label-offset 1`",
        "`--label-offset 1`",
        "`label_offset = 1`",
    ]) {
        let text = fs::read_to_string(file)?;
        let words = format!("0 of 6 answers are right, but 6 would be with {flag}");
        ensure(text.contains(&words), (file, text))?;
    }
    Ok(())
}

fn right_ids() -> Result<(), Failed> {
    let stderr = shifted_ids(0)?;
    ensure(stderr.is_empty(), stderr)
}

fn own_ids() -> Result<(), Failed> {
    let place = Place::new()?;
    let [base, reversed] = two_orders(&place)?;
    let (_, json) = place.evaluate(&[&base, &reversed], &lines(PLAIN), &[], 0)?;
    let right = [0, 1].map(|of_run| json["runs"][of_run]["top"]["1"]["count"].clone());
    ensure(right == [6, 0].map(Value::from), &right)?;
    let against = &json["runs"][1]["against_reference"];
    ensure(
        against["right_alone"] == 0 && against["reference_right_alone"] == 6,
        against,
    )
}

fn other_labels() -> Result<(), Failed> {
    let place = Place::new()?;
    let [base, _] = two_orders(&place)?;
    let names = place.model("names", &small_model("plain.onnx"), &["other"; 12])?;
    let number = place.model(
        "number",
        &small_model("three-classes.onnx"),
        &["a", "b", "c"],
    )?;
    let none = place.model("none", &small_model("plain.onnx"), &[])?;
    let runs = [&*base, &*names, &*number, &*none];
    let (_, json) = place.evaluate(&runs, "1.ppm 1\n3.ppm 1\n", &[], 0)?;
    let runs = json["runs"].as_array().ok_or("runs")?;
    let found = runs.iter().map(|of_run| of_run["labels"].clone());
    let right = json!([
        { "count": 12, "difference": null },
        { "count": 12, "difference": "names" },
        { "count": 3, "difference": "number" },
        { "count": null, "difference": "presence" },
    ]);
    ensure(found.collect::<Value>() == right, runs)
}

fn no_labels() -> Result<(), Failed> {
    let place = Place::new()?;
    let [base, _] = two_orders(&place)?;
    let none = place.model("none", &small_model("plain.onnx"), &[])?;
    let names = PLAIN.map(|class| format!("name{class}"));
    let (result, json) = place.evaluate(&[&none, &base], &lines(names), &[], 2)?;
    let error = json["runs"][0]["error"].as_str().unwrap_or_default();
    ensure(
        error.contains("names classes, such as \"name3\", but this model has no labels"),
        error,
    )?;
    ensure(result.stderr.contains("--labels FILE"), &result)?;
    let failures = json["failures"].as_array().ok_or("failures")?;
    ensure(failures.is_empty(), failures)?;
    ensure(json["runs"][1]["top"]["1"]["count"] == 6, &json)
}

fn several() -> Vec<String> {
    let join = |classes: &&[usize]| {
        let classes: Vec<String> = classes.iter().map(usize::to_string).collect();
        classes.join("|")
    };
    SEVERAL.iter().map(join).collect()
}

/// CSV, in which a cell may be empty.
fn several_csv() -> String {
    let rows = several().into_iter().enumerate();
    let rows = rows.map(|(image, classes)| format!("{image}.ppm,{classes}\n"));
    format!("path,label\n{}", rows.collect::<String>())
}

fn several_truths() -> Result<(), Failed> {
    let place = Place::new()?;
    let single = place.model("single", &small_model("plain.onnx"), &[])?;
    let multi = place.model("multi", &case("multilabel_sigmoid"), &[])?;
    let (result, json) = place.evaluate(&[&multi, &single], &several_csv(), &[], 2)?;
    ensure(
        result.stderr.contains(
            "line 2: 0.ppm has the classes \"0|1\", but the classes of this model exclude",
        ),
        &result,
    )?;
    ensure(
        json["runs"][0]["multi_label"]["exact_match"]["of"] == 6,
        &json,
    )?;
    let (result, _) = place.evaluate(&[&single], "0.ppm 3\n0.ppm 1\n", &[], 2)?;
    ensure(
        result
            .stderr
            .contains("line 2: 0.ppm has the classes \"3\" and \"1\""),
        &result,
    )?;
    // A single-label model whose classes are said not to exclude each other.
    let flags = ["--scores", "sigmoid"];
    let (_, json) = place.evaluate(&[&single], &several_csv(), &flags, 0)?;
    ensure(json["runs"][0]["multi_label"]["threshold"] == 0.5, &json)
}

fn forms_of_several() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    let labels = ["a", "b", "c", "d", "e", "f"];
    let multi = place.model("multi", &case("multilabel_sigmoid"), &labels)?;
    let mut found = Vec::new();
    for truth in [
        "0.ppm 0\n0.ppm 1\n1.ppm 1\n1.ppm 2\n",
        "0.ppm 0|1\n1.ppm b;c\n",
        "0.ppm\ta; b\n1.ppm\tB | c\n",
        "path,label\n0.ppm,0\n1.ppm,1\n0.ppm,1\n1.ppm,2\n",
        "path,label\n0.ppm,a|b\n1.ppm,\"1;2\"\n",
    ] {
        let (_, json) = place.evaluate(&[&multi], truth, &[], 0)?;
        let of_run = &json["runs"][0];
        found.push([of_run["wrong"].clone(), of_run["classes"].clone()]);
    }
    ensure(found[0][0][0]["class_ids"] == json!([0, 1]), &found[0])?;
    ensure(found.iter().all(|other| *other == found[0]), found)
}

fn threshold() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    let multi = place.model("multi", &case("multilabel_sigmoid"), &[])?;
    for (threshold, given) in [("0", 36), ("1", 0)] {
        let flags = ["--threshold", threshold];
        let (_, json) = place.evaluate(&[&multi], &several_csv(), &flags, 0)?;
        let classes = json["runs"][0]["classes"].as_array().ok_or("classes")?;
        let count = |key: &str| classes.iter().filter_map(|class| class[key].as_u64()).sum();
        let (right, wrong): (u64, u64) = (count("true_positives"), count("false_positives"));
        ensure(right + wrong == given, classes)?;
    }
    let single = place.model("single", &small_model("plain.onnx"), &[])?;
    let flags = ["--threshold", "0.4"];
    let (result, _) = place.evaluate(&[&single], &lines(PLAIN), &flags, 0)?;
    ensure(result.stderr.contains("--threshold has no effect"), &result)
}

fn yes_or_no() -> Result<(), Failed> {
    let place = Place::new()?;
    for (name, model) in [
        ("logit", case("single_logit")),
        ("probability", small_model("one-probability.onnx")),
    ] {
        let one = place.model(name, &model, &["no", "yes"])?;
        let truth = lines(["no", "yes", "yes", "no", "no", "yes"]);
        let (_, json) = place.evaluate(&[&one], &truth, &[], 0)?;
        let of_run = &json["runs"][0];
        ensure(of_run["facts"]["classes"] == 2, of_run)?;
        let labels: Vec<&Value> = of_run["classes"]
            .as_array()
            .ok_or("classes")?
            .iter()
            .map(|class| &class["label"])
            .collect();
        ensure(labels == ["no", "yes"], of_run)?;
        ensure(of_run["calibration"].is_array(), of_run)?;
    }
    // Blue alone has a positive logit: 255 × 1/256.
    let one = place.model("only-blue", &small_model("one-probability.onnx"), &[])?;
    let (_, json) = place.evaluate(&[&one], &lines([0, 0, 1, 0, 0, 0]), &[], 0)?;
    ensure(json["runs"][0]["top"]["1"]["count"] == 6, &json)?;
    let (result, _) = place.evaluate(&[&one], &lines([0, 0, 2, 0, 0, 0]), &[], 2)?;
    ensure(
        result.stderr.contains("the model's classes are 0 to 1"),
        &result,
    )
}

fn class_ids() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    let ids = place.model("ids", &case("argmax"), &[])?;
    // Ids beyond the length of the output are classes, too.
    let (result, json) = place.evaluate(&[&ids], &lines([6, 6, 2, 7, 4, 900]), &[], 0)?;
    let of_run = &json["runs"][0];
    ensure(of_run["top"]["1"]["count"] == 5, of_run)?;
    ensure(
        of_run["top"].as_object().is_some_and(|top| top.len() == 1),
        of_run,
    )?;
    ensure(of_run.get("calibration").is_none(), of_run)?;
    ensure(!result.stdout.contains("calibration"), &result)
}

fn class_id_names() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    let labels = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let ids = place.model("ids", &case("argmax"), &labels)?;
    let truth = lines(["g", "g", "c", "h", "e", "a"]);
    let (_, json) = place.evaluate(&[&ids], &truth, &[], 0)?;
    ensure(json["runs"][0]["top"]["1"]["count"] == 6, &json)?;
    let (result, _) = place.evaluate(&[&ids], &lines([6, 6, 2, 7, 4, 8]), &[], 2)?;
    ensure(
        result.stderr.contains("the model's classes are 0 to 7"),
        &result,
    )
}

fn raw() -> Result<(), Failed> {
    let place = Place::new()?;
    let plain = place.model("plain", &small_model("plain.onnx"), &[])?;
    let flags = ["--scores", "raw"];
    let (_, json) = place.evaluate(&[&plain], &lines(PLAIN), &flags, 0)?;
    let of_run = &json["runs"][0];
    ensure(of_run["top"]["1"]["count"] == 6, of_run)?;
    ensure(of_run.get("expected_calibration_error").is_none(), of_run)
}

fn single_raw() -> Result<(), Failed> {
    let place = Place::new()?;
    let one = place.model("one", &case("single_logit"), &[])?;
    let flags = ["--scores", "raw"];
    let (result, json) = place.evaluate(&[&one], &lines([0; 6]), &flags, 2)?;
    ensure(
        result.stderr.contains("a single raw value") && result.stderr.contains("--scores sigmoid"),
        &result,
    )?;
    ensure(json["verdict"] == "could-not-compare", &json["verdict"])
}

fn every_report() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    let labels = ["a", "b", "c", "d", "e", "f"];
    let multi = place.model("multi", &case("multilabel_sigmoid"), &labels)?;
    let flags = ["md", "html", "xml"].map(|ending| format!("--report=report.{ending}"));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (result, json) = place.evaluate(&[&multi], &several_csv(), &flags, 0)?;
    let exact = &json["runs"][0]["multi_label"]["exact_match"];
    let exact = format!("{}/{}", exact["count"], exact["of"]);
    let mut reports = vec![result.stdout];
    for ending in ["md", "html", "xml"] {
        reports.push(fs::read_to_string(place.path(&format!("report.{ending}")))?);
    }
    for report in reports {
        let has = |words: &str| report.contains(words);
        ensure(has("exact match") && has(&exact), &report)?;
        ensure(has("F1, micro") && has("recall, macro"), &report)?;
        ensure(!has("calibration"), &report)?;
    }
    Ok(())
}

/// Every number of reports on all kinds of models, from their outputs.
fn numbers() -> Result<(), Failed> {
    let place = Place::of_cases()?;
    for image in COLORS.len()..60 {
        let color = [37, 91, 151].map(|step| (image * step % 256) as u8);
        let bytes = [&b"P6 8 8 255\n"[..], &color.repeat(64)].concat();
        fs::write(place.path(&format!("images/{image}.ppm")), bytes)?;
    }
    let models = [
        ("softmax", small_model("plain.onnx")),
        ("softmax", small_model("reversed.onnx")),
        ("independent", case("multilabel_sigmoid")),
        ("logit", case("single_logit")),
        ("probability", small_model("one-probability.onnx")),
        ("ids", case("argmax")),
    ];
    let several = ["plain.onnx", "reversed.onnx"].map(|name| ("sigmoid", small_model(name)));
    // One set of classes fits all models of which one class is right; the others have several classes.
    for (kept, scores) in [
        (&models[..], &[][..]),
        (&models[2..3], &[]),
        (&several, &["--scores", "sigmoid"]),
    ] {
        let mut truths: Vec<Vec<usize>> = (0..60)
            .map(|image| match kept.len() {
                1 => {
                    let bits = image * image % 64;
                    (0..6).filter(|class| bits >> class & 1 == 1).collect()
                }
                2 => Vec::new(),
                _ => vec![image * image % 4 / 2],
            })
            .collect();
        let mut runs = Vec::new();
        for (index, (_, model)) in kept.iter().enumerate() {
            runs.push(place.model(&format!("m{index}"), model, &[])?);
        }
        let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
        let reports = ["--report=report.xml", "--report=report.html"];
        let flags = [
            &["--top", "1,2,5", "--min-truth", "100%"][..],
            &reports,
            scores,
        ]
        .concat();
        if kept.len() == 2 {
            // Each of the two runs is right on every other image.
            let (_, json) = place.evaluate(&runs, &several_rows(&truths), &flags, 0)?;
            for (run, other) in [0, 1].into_iter().zip([1, 0]) {
                for wrong in json["runs"][run]["wrong"].as_array().ok_or("wrong")? {
                    let path = wrong["path"].as_str().unwrap_or_default();
                    let name = Path::new(path).file_stem().and_then(|name| name.to_str());
                    let image: usize = name.unwrap_or_default().parse()?;
                    if image % 2 == other {
                        truths[image] = serde_json::from_value(wrong["answers"].clone())?;
                    }
                }
            }
        }
        let truth: serde_json::Map<String, Value> = truths
            .iter()
            .enumerate()
            .map(|(image, classes)| (format!("{image}.ppm"), json!(classes)))
            .collect();
        let rows = several_rows(&truths);
        let (_, mut json) = place.evaluate(&runs, &rows, &flags, 0)?;
        for (of_run, (_, model)) in json["runs"]
            .as_array_mut()
            .ok_or("runs")?
            .iter_mut()
            .zip(kept)
        {
            of_run["facts"]["model"] = json!(model);
        }
        fs::write(place.path("report.json"), json.to_string())?;
        fs::write(
            place.path("truth.json"),
            Value::from(vec![Value::Object(truth); kept.len()]).to_string(),
        )?;
        // Reads them as other programs do: well-formed, with a case for each gate.
        let reports = ["report.json", "report.xml", "report.html"].map(|name| place.path(name));
        let read: Value = serde_json::from_str(&python("reports.py", &reports)?)?;
        ensure(read["verdict"] == "agree" && read["failures"] == 0, &read)?;
        ensure(read["cases"][0] == "gate min-truth", &read["cases"])?;
        let arguments = ["report.json", "images", "truth.json"].map(|name| place.path(name));
        let kinds = kept.iter().map(|(kind, _)| PathBuf::from(kind));
        let arguments: Vec<PathBuf> = arguments.into_iter().chain(kinds).collect();
        let compared: usize = python("evaluation.py", &arguments)?.trim().parse()?;
        ensure(compared > 30, compared)?;
        if kept.len() == 2 {
            let against = &json["runs"][1]["against_reference"];
            let alone = ["right_alone", "reference_right_alone"].map(|key| against[key].as_u64());
            let both = alone.into_iter().all(|count| count > Some(20));
            ensure(both && against["judged_by"] == "exact-match", against)?;
        }
    }
    Ok(())
}

/// CSV with the classes of each image.
fn several_rows(truths: &[Vec<usize>]) -> String {
    let rows = truths.iter().enumerate().map(|(image, classes)| {
        let classes: Vec<String> = classes.iter().map(usize::to_string).collect();
        format!("{image}.ppm,{}\n", classes.join(";"))
    });
    format!("path,label\n{}", rows.collect::<String>())
}
