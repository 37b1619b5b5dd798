//! The reports of `compare` and `evaluate` over the images of all shards: those of one process, byte for byte.

use std::fs;
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::classify;
use crate::shards::{BROKEN, IMAGES, Images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 7] = [
        (
            "shards::the_merged_report_of_compare_is_that_of_one_process",
            merged_comparison,
        ),
        (
            "shards::one_content_is_compared_as_in_one_process",
            merged_one_content,
        ),
        (
            "shards::the_merged_report_of_evaluate_is_that_of_one_process",
            merged_evaluation,
        ),
        (
            "shards::reports_are_made_again_without_models_and_images",
            made_again,
        ),
        ("shards::another_ground_truth_is_refused", other_truth),
        ("shards::changed_answers_are_not_merged", changed_answers),
        (
            "shards::a_run_that_cannot_be_opened_leaves_no_part",
            unopened_run,
        ),
    ];
    tests.map(|(name, test)| engines.test(name, test)).into()
}

/// The reports of a command and of its shards, in every format, and the text. All of them have the same bytes.
fn same_reports(images: &Images, command: &[&str], count: usize, code: i32) -> Result<(), Failed> {
    let reports = |prefix: &str| {
        ["json", "md", "xml", "html"].map(|ending| images.at(&format!("{prefix}.{ending}")))
    };
    let with_reports = |command: &mut Command, prefix: &str| {
        for report in reports(prefix) {
            command.arg("--report").arg(report);
        }
        run(command)
    };
    let whole = with_reports(&mut images.command(command), "whole");
    expect_code(&whole, code)?;
    images.shards(command, count)?;
    let mut merge = classify();
    merge.arg("merge").arg(images.at("parts"));
    let merged = with_reports(&mut merge, "merged");
    expect_code(&merged, code)?;
    ensure(
        whole.stdout == merged.stdout && !whole.stdout.is_empty(),
        [&whole, &merged],
    )?;
    for (whole, merged) in reports("whole").iter().zip(reports("merged")) {
        let texts = [fs::read(whole)?, fs::read(&merged)?];
        ensure(
            texts[0] == texts[1],
            texts.map(|text| String::from_utf8_lossy(&text).into_owned()),
        )?;
    }
    fs::remove_dir_all(images.at("parts"))?;
    Ok(())
}

impl Images {
    /// Leaves the broken image out.
    fn without_broken(&self) -> Result<(), Failed> {
        let list = fs::read_to_string(&self.list)?;
        let broken = format!("{}\n", self.at(&format!("{BROKEN}.ppm")).display());
        Ok(fs::write(&self.list, list.replace(&broken, ""))?)
    }
}

fn merged_comparison() -> Result<(), Failed> {
    let images = Images::new()?;
    let command = ["compare", "onnx", "rten", "--quiet"];
    same_reports(&images, &command, 4, 2)?;
    images.without_broken()?;
    same_reports(&images, &command, 4, 0)?;
    let other = small_model("three-classes.onnx");
    let rejected = format!("onnx={}", other.display());
    // A run that cannot be compared is in the report, and its outputs are not needed.
    same_reports(
        &images,
        &["compare", "onnx", "rten", &rejected, "--quiet"],
        2,
        2,
    )?;
    let reversed = format!("onnx={}", small_model("reversed.onnx").display());
    same_reports(
        &images,
        &[
            "compare",
            "rten",
            &reversed,
            "--quiet",
            "--reference",
            &reversed,
        ],
        3,
        1,
    )
}

/// Only together do the shards know that all images are one: each gives its runs the artificial image.
fn merged_one_content() -> Result<(), Failed> {
    let images = Images::new()?;
    let line = format!("{}\n", images.at("0.ppm").display());
    fs::write(&images.list, line.repeat(6))?;
    same_reports(&images, &["compare", "onnx", "rten", "--quiet"], 3, 0)?;
    // Every shard has one content, but the whole has not.
    let other = format!("{}\n", images.at("1.ppm").display());
    fs::write(&images.list, line.repeat(3) + &other.repeat(3))?;
    same_reports(&images, &["compare", "onnx", "rten", "--quiet"], 2, 0)
}

fn merged_evaluation() -> Result<(), Failed> {
    let images = Images::new()?;
    let truth = images.at("truth.txt");
    let entry = |index: usize| format!("{index}.ppm {}\n", index % 3);
    let all: String = (0..IMAGES).map(entry).collect();
    fs::write(&truth, &all)?;
    let truth_text = truth.to_string_lossy().into_owned();
    let command = [
        "evaluate",
        "onnx",
        "rten",
        "--quiet",
        "--truth",
        &truth_text,
    ];
    same_reports(&images, &command, 4, 2)?;
    images.without_broken()?;
    same_reports(&images, &command, 4, 0)?;
    same_reports(
        &images,
        &[&command[..], &["--min-top1", "99%", "--max-drop", "0"]].concat(),
        3,
        1,
    )?;
    // A class that the model lacks, an entry too many, one too few, and the same image twice.
    let odd = all
        .replace("3.ppm 0", "3.ppm 7777")
        .replace("5.ppm 2\n", "")
        + "other.ppm 1\n";
    fs::write(&truth, odd)?;
    let list = fs::read_to_string(&images.list)?;
    fs::write(&images.list, format!("{list}{list}"))?;
    same_reports(&images, &command, 4, 2)
}

fn made_again() -> Result<(), Failed> {
    let images = Images::new()?;
    images.without_broken()?;
    let (truth, model) = (images.at("truth.txt"), images.at("other.onnx"));
    let lines = (0..IMAGES).map(|index| format!("{index}.ppm {}\n", index % 3));
    fs::write(&truth, lines.collect::<String>())?;
    fs::copy(small_model("reversed.onnx"), &model)?;
    let [truth, other] = [&truth, &model].map(|path| path.to_string_lossy().into_owned());
    let other = format!("rten={other}");
    let command = ["evaluate", "rten", &other, "--quiet", "--truth", &truth];
    let reports = |prefix: &str| {
        ["json", "csv", "xml"].map(|ending| images.at(&format!("{prefix}.{ending}")))
    };
    let mut whole = images.command(&command);
    for report in reports("whole") {
        whole.arg("--report").arg(report);
    }
    expect_code(&run(&mut whole), 0)?;
    images.shards(&command, 1)?;
    fs::remove_file(model)?;
    for index in 0..IMAGES {
        fs::remove_file(images.at(&format!("{index}.ppm")))?;
    }
    for (whole, again) in reports("whole").iter().zip(reports("again")) {
        let mut merge = classify();
        merge.arg("merge").arg(images.at("parts"));
        expect_code(&run(merge.arg("--report").arg(&again)), 0)?;
        ensure(fs::read(whole)? == fs::read(&again)?, again)?;
    }
    Ok(())
}

fn other_truth() -> Result<(), Failed> {
    let images = Images::new()?;
    let truth = images.at("truth.txt");
    fs::write(&truth, "0.ppm 1\n1.ppm 0\n")?;
    let truth_text = truth.to_string_lossy().into_owned();
    images.shards(&["evaluate", "onnx", "--truth", &truth_text], 2)?;
    fs::write(&truth, "0.ppm 1\n1.ppm 1\n")?;
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(
        merged
            .stderr
            .contains("truth.txt: it has changed since the shards ran"),
        &merged,
    )
}

/// Wherever the change is, and whatever it does to what is read.
fn changed_answers() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&["compare", "onnx", "rten"], 3)?;
    for index in [0, 1] {
        let part = images.at(&format!("parts/part-0000{index}-of-00003.answers"));
        let bytes = fs::read(&part)?;
        let step = (bytes.len() / 20).max(1);
        for place in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            fs::write(&part, changed)?;
            let merged = images.merge();
            expect_code(&merged, 2)?;
            let error = format!(
                "{}: it has changed since its shard wrote it\nhint: remove it",
                part.display()
            );
            let is_named = merged.stderr.contains(&error);
            ensure(is_named && merged.stdout.is_empty(), (place, &merged))?;
        }
        fs::write(&part, bytes)?;
    }
    expect_code(&images.merge(), 2)
}

fn unopened_run() -> Result<(), Failed> {
    let images = Images::new()?;
    let shard = images.shard(&["compare", "onnx", "rten", "openvino:NO_DEVICE"], "0/2");
    expect_code(&shard, 2)?;
    ensure(
        shard.stderr.contains("error: not all runs can be opened\n"),
        &shard,
    )?;
    ensure(images.parts()? == ["job.json"], images.parts()?)
}
