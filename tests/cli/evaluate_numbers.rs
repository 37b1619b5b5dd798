//! The numbers of `classify evaluate`, which `tests/reference/intervals.py` computes again for each report.

use std::fs;
use std::path::Path;

use classify_tests::{Needs, Run, ensure, expect_code, python, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;
use crate::evaluate::evaluate;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let mut trials = with_set_up.scenario(
        "evaluate::numbers",
        Numbers::new,
        [
            (
                "a_gate_holds_at_exactly_its_limit",
                Numbers::gate_at_its_limit,
            ),
            (
                "a_gate_fails_just_above_the_accuracy",
                Numbers::gate_above_the_accuracy,
            ),
            (
                "a_gate_names_the_images_that_it_lacks",
                Numbers::too_few_images,
            ),
            (
                "images_that_one_run_has_right_alone_are_counted",
                Numbers::right_alone,
            ),
            ("new_errors_are_listed_up_to_ten", Numbers::new_errors),
            (
                "an_observed_drop_holds_at_exactly_its_limit",
                Numbers::observed_drop,
            ),
            (
                "a_shown_drop_is_the_low_end_of_the_interval",
                Numbers::shown_drop,
            ),
            (
                "a_possible_drop_is_the_high_end_of_the_interval",
                Numbers::possible_drop,
            ),
            (
                "a_drop_from_chance_has_no_verdict",
                Numbers::drop_from_chance,
            ),
            (
                "a_drop_within_the_noise_is_called_so",
                Numbers::drop_within_the_noise,
            ),
            (
                "a_calibrated_model_would_have_a_smaller_error",
                Numbers::calibrated_error,
            ),
        ],
    );
    trials.push(with_set_up.test("evaluate::the_table_of_intervals_is_the_reference", table));
    trials
}

/// `tests/data/intervals.json`, which the unit tests of `evaluation` read, is what the reference computes.
fn table() -> Result<(), Failed> {
    let computed = python("intervals.py", ["cases"])?;
    let kept = fs::read_to_string(small_model("intervals.json"))?;
    ensure(
        computed.lines().eq(kept.lines()),
        "tests/data/intervals.json is not what intervals.py computes",
    )
}

/// The number of images, of one color each.
const IMAGES: usize = 125;

/// The images, and evaluations of them that several tests read.
struct Numbers {
    directory: tempfile::TempDir,
    /// Ground truth that `plain.onnx` has right on 108 of 125 images: 86.4 % exactly, which no binary fraction is.
    mostly_right: Vec<u64>,
    /// The evaluation of two models that differ.
    two: (Run, Value),
}

/// A run of `model` on ONNX Runtime.
fn run_of(model: &str) -> String {
    format!("onnx={}", small_model(model).display())
}

/// The models that differ, the reference first.
fn two_models() -> [String; 2] {
    ["three-classes.onnx", "plain.onnx"].map(run_of)
}

/// Returns the color of an image.
fn color(image: usize) -> [u8; 3] {
    [37, 91, 151].map(|step| (image * step % 256) as u8)
}

/// Ground truth for the models that differ. The reference is right more often than by chance.
fn for_two_models() -> Vec<u64> {
    let class = |image: usize| match color(image) {
        [red, green, _] if red > green => 2,
        _ => (image * image % 3) as u64,
    };
    (0..IMAGES).map(class).collect()
}

impl Numbers {
    fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let images = directory.path().join("images");
        fs::create_dir(&images)?;
        for image in 0..IMAGES {
            let bytes = [&b"P6 8 8 255\n"[..], &color(image).repeat(64)].concat();
            fs::write(images.join(format!("{image:03}.ppm")), bytes)?;
        }
        let mut command = classify();
        command.args(["--quiet", "--backend", "onnx", "--format", "json", "-m"]);
        command.arg(small_model("plain.onnx"));
        let answers = run(command.arg("-i").arg(&images));
        let best = answers.stdout.lines().map(|line| {
            let line: Value = serde_json::from_str(line)?;
            let best = line["top"][0]["class_id"].as_u64();
            best.ok_or_else(|| "no class".into())
        });
        let mut mostly_right: Vec<u64> = best.collect::<Result<_, Failed>>()?;
        ensure(mostly_right.len() == IMAGES, &answers)?;
        for class in &mut mostly_right[..17] {
            *class = (*class + 1) % 12;
        }
        let two = evaluated(&images, &two_models(), &for_two_models(), &[], 0)?;
        Ok(Self {
            directory,
            mostly_right,
            two,
        })
    }

    fn evaluated(
        &self,
        runs: &[String],
        classes: &[u64],
        flags: &[&str],
        code: i32,
    ) -> Result<(Run, Value), Failed> {
        evaluated(
            &self.directory.path().join("images"),
            runs,
            classes,
            flags,
            code,
        )
    }

    fn gate(&self, min_top1: &str, code: i32) -> Result<(Run, Value), Failed> {
        let flags = ["--min-top1", min_top1];
        self.evaluated(&[run_of("plain.onnx")], &self.mostly_right, &flags, code)
    }

    fn gate_at_its_limit(&self) -> Result<(), Failed> {
        let (result, json) = self.gate("86.4%", 0)?;
        ensure(json["verdict"] == "agree", &json["verdict"])?;
        let said = "top-1 108/125, 86.4 % (95 %: 79.3 to 91.3), at least 86.4 %";
        ensure(result.stdout.contains(said), result)
    }

    fn gate_above_the_accuracy(&self) -> Result<(), Failed> {
        self.gate("0.8640000001", 1).map(drop)
    }

    fn too_few_images(&self) -> Result<(), Failed> {
        let (result, _) = self.gate("86.4%", 0)?;
        for said in [
            "too few images to establish 86.4 %: the 95 % interval begins at 79.3 %",
            "no number of images suffices if the share stays the same",
        ] {
            ensure(result.stdout.contains(said), &result)?;
        }
        Ok(())
    }

    fn against_reference(&self) -> &Value {
        &self.two.1["runs"][1]["against_reference"]
    }

    /// The numbers of images that only the second run and only the reference have right.
    fn counts(&self) -> Result<[u64; 2], Failed> {
        let count = |key| self.against_reference()[key].as_u64().ok_or("a count");
        Ok([count("right_alone")?, count("reference_right_alone")?])
    }

    fn right_alone(&self) -> Result<(), Failed> {
        let [alone, reference] = self.counts()?;
        ensure(
            alone + reference > 10 && reference > alone,
            (alone, reference),
        )
    }

    fn new_errors(&self) -> Result<(), Failed> {
        let [_, reference] = self.counts()?;
        ensure(reference > 10, reference)?;
        for said in [
            format!("  {} more images; a JSON report lists all", reference - 10),
            format!("new errors: {reference} images"),
        ] {
            ensure(self.two.0.stdout.contains(&said), &self.two.0)?;
        }
        Ok(())
    }

    fn drop(&self, most: &str, rule: &str, code: i32) -> Result<Run, Failed> {
        let flags = ["--max-drop", most, "--drop-rule", rule];
        let (result, _) = self.evaluated(&two_models(), &for_two_models(), &flags, code)?;
        Ok(result)
    }

    fn observed_drop(&self) -> Result<(), Failed> {
        let [alone, reference] = self.counts()?;
        // An image is 8 thousandths.
        let drop = (reference - alone) * 8;
        self.drop(&format!("{drop}e-3"), "observed", 0)?;
        self.drop(&format!("{}e-3", drop - 1), "observed", 1)?;
        Ok(())
    }

    /// An end of the interval of the drop.
    fn end(&self, end: &str) -> Result<f64, Failed> {
        let end = self.against_reference()["drop"][end].as_f64();
        let end = end.ok_or("an interval")?;
        ensure(end > 0.001 && end < 0.999, end)?;
        Ok(end)
    }

    /// The gate with `rule` decides by `end`.
    fn drop_at(&self, rule: &str, end: &str) -> Result<(), Failed> {
        let end = self.end(end)?;
        self.drop(&format!("{:.9}", end - 1e-3), rule, 1)?;
        self.drop(&format!("{:.9}", end + 1e-3), rule, 0)?;
        Ok(())
    }

    fn shown_drop(&self) -> Result<(), Failed> {
        self.drop_at("shown", "low")
    }

    fn possible_drop(&self) -> Result<(), Failed> {
        self.drop_at("possible", "high")
    }

    /// Neither shuffled ground truth nor a single class that is never right shows that nothing was lost.
    fn drop_from_chance(&self) -> Result<(), Failed> {
        let runs = two_models();
        let same = [&runs[0], &runs[0]].map(String::clone);
        let shuffled: Vec<u64> = (0..IMAGES as u64).map(|image| image % 3).collect();
        for (classes, words) in [
            (
                &shuffled[..],
                "no more than chance: with shuffled ground truth it would be right on about",
            ),
            (
                &[0; IMAGES],
                "the reference is right on 1 of 125 images, no more than chance for a guess among 3 classes",
            ),
        ] {
            for rule in ["shown", "observed", "possible"] {
                let flags = ["--max-drop", "99%", "--drop-rule", rule];
                let (result, json) = self.evaluated(&same, classes, &flags, 2)?;
                let start = "COULD NOT EVALUATE: ";
                ensure(
                    result.stdout.starts_with(start) && result.stdout.contains(words),
                    &result,
                )?;
                let hint = "hint: check that the ground truth is for these images";
                ensure(result.stdout.contains(hint), &result)?;
                let gate = &json["runs"][1]["gates"][0];
                ensure(
                    gate["passed"] == false && json["verdict"] == "could-not-compare",
                    gate,
                )?;
            }
        }
        // Another gate still fails.
        let flags = ["--max-drop", "99%", "--min-top1", "90%"];
        self.evaluated(&same, &shuffled, &flags, 1)?;
        // So does a drop that the images show.
        self.evaluated(&runs, &for_two_models(), &["--max-drop", "1%"], 1)
            .map(drop)
    }

    fn drop_within_the_noise(&self) -> Result<(), Failed> {
        let said = " %, but within the noise of 125 images";
        for (rule, end, step, code) in [
            ("shown", "low", 1e-3, 0),
            ("shown", "low", -1e-3, 1),
            ("possible", "high", 1e-3, 0),
        ] {
            let most = format!("{:.9}", self.end(end)? + step);
            let result = self.drop(&most, rule, code)?;
            let is_noise = rule == "shown" && code == 0;
            ensure(result.stdout.contains(said) == is_noise, &result)?;
        }
        Ok(())
    }

    /// Confidence says little about these classes.
    fn calibrated_error(&self) -> Result<(), Failed> {
        let run = &self.two.1["runs"][0];
        let calibrated = &run["calibrated_expected_calibration_error"];
        ensure(
            calibrated["mean"].as_f64() < calibrated["p95"].as_f64()
                && run["expected_calibration_error"].is_f64(),
            run,
        )
    }
}

/// Evaluates `runs` on `images`, whose right classes are `classes`, and computes the numbers of the report again.
fn evaluated(
    images: &Path,
    runs: &[String],
    classes: &[u64],
    flags: &[&str],
    code: i32,
) -> Result<(Run, Value), Failed> {
    let directory = tempfile::tempdir()?;
    let truth = directory.path().join("truth");
    let report = directory.path().join("report.json");
    let lines = classes.iter().enumerate();
    let lines = lines.map(|(image, class)| format!("{image:03}.ppm {class}\n"));
    fs::write(&truth, lines.collect::<String>())?;
    let mut command = evaluate(flags);
    command.args(runs).arg("--truth").arg(&truth);
    command.arg("-i").arg(images).arg("--report").arg(&report);
    let result = run(&mut command);
    expect_code(&result, code)?;
    let recomputed = python("intervals.py", ["report".as_ref(), report.as_path()])?;
    let recomputed: usize = recomputed.trim().parse()?;
    // Top-1, top-5, the mean per class and the calibration error of each run.
    ensure(recomputed >= runs.len() * 10, recomputed)?;
    Ok((result, serde_json::from_slice(&fs::read(&report)?)?))
}
