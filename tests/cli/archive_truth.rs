//! The ground truth of images in tar archives: `WebDataset`'s members, and archives that are named after a class.

use std::fs;
use std::path::Path;
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tar::{Builder, EntryType};

use crate::archives::{add_raw, archive, ppm};
use crate::classify;

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 7] = [
        ("ground_truth_without_an_image_is_counted", truth_alone),
        ("webdataset_classes_are_ground_truth", webdataset),
        (
            "unusable_webdataset_classes_fail_their_image",
            unusable_classes,
        ),
        ("forms_of_class_ids_are_read", forms_of_classes),
        ("an_empty_class_is_one_error", empty_class),
        ("classes_belong_to_exact_names", exact_names),
        ("an_archive_may_be_named_after_its_class", class_archives),
    ];
    tests
        .map(|(name, test)| engines.test(format!("archives::{name}"), test))
        .into()
}

/// The reports by members of an archive and by a file are the same.
fn webdataset() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let images: Vec<Vec<u8>> = (0..5).map(ppm).collect();
    let members: [(&str, &[u8]); 12] = [
        ("s/0.cls", b"10\n"),
        ("s/0.ppm", &images[0]),
        // A caption is not a class where there is a better source.
        ("s/0.txt", b"a photo of something"),
        ("s/1.ppm", &images[1]),
        ("s/1.json", br#"{"width": 8, "label": 4}"#),
        ("s/2.ppm", &images[2]),
        ("s/2.txt", b"10"),
        // Two images of one sample.
        ("s/3.left.ppm", &images[3]),
        ("s/3.right.ppm", &images[4]),
        ("s/3.cls", b"2"),
        ("t/0.ppm", &images[4]),
        ("t/0.cls", b"2"),
    ];
    fs::write(at("some.tar"), archive(&members)?)?;
    let lines = "s/0.ppm 10\ns/1.ppm 4\ns/2.ppm 10\ns/3.left.ppm 2\ns/3.right.ppm 2\nt/0.ppm 2\n";
    fs::write(at("truth.txt"), lines)?;
    let report = |name: &str, truth: &[&str]| {
        let mut command = classify();
        command.args(["evaluate", "onnx", "--quiet", "--color", "rgb", "-m"]);
        command
            .arg(small_model("plain.onnx"))
            .arg("-i")
            .arg(at("some.tar"));
        let found = run(command.args(truth).arg("--report").arg(at(name)));
        expect_code(&found, 0)?;
        let mut report: Value = serde_json::from_str(&fs::read_to_string(at(name))?)?;
        let form = report["ground_truth"]["form"].take();
        report["ground_truth"]["file"].take();
        Ok::<_, Failed>((found.stdout, report, form))
    };
    let truth = at("truth.txt").to_string_lossy().into_owned();
    let by_file = report("file.json", &["--truth", &truth])?;
    let by_members = report("members.json", &["--truth-webdataset"])?;
    ensure(
        by_members.0.contains("top-1")
            && (&by_file.0, &by_file.1) == (&by_members.0, &by_members.1),
        (&by_file.0, &by_members.0),
    )?;
    ensure(by_members.2 == "archive-members", &by_members.2)?;
    // Every image has some, so no flag is needed.
    let detected = report("detected.json", &[])?;
    ensure(detected == by_members, &detected.1)
}

fn unusable_classes() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("some.tar");
    let images: Vec<Vec<u8>> = (0..4).map(ppm).collect();
    let large = vec![b'1'; (1 << 20) + 1];
    let members: [(&str, &[u8]); 9] = [
        ("0.ppm", &images[0]),
        ("0.cls", b"1"),
        ("0.CLS", b"2"),
        ("1.ppm", &images[1]),
        ("1.json", b"{\"caption\": \"a cat\"}"),
        ("2.ppm", &images[2]),
        ("2.cls", &large),
        ("3.ppm", &images[3]),
        ("3.cls", b"10"),
    ];
    fs::write(&path, archive(&members)?)?;
    let mut command = classify();
    command.args([
        "evaluate",
        "onnx",
        "--quiet",
        "--truth-webdataset",
        "--color",
        "rgb",
        "-m",
    ]);
    command.arg(small_model("plain.onnx")).arg("-i").arg(&path);
    let found = run(&mut command);
    expect_code(&found, 2)?;
    for reason in [
        "0.ppm: its ground truth in the archive cannot be used: the archive has two members .cls that differ",
        "1.ppm: its ground truth in the archive cannot be used: its .json has no class",
        "2.ppm: its ground truth in the archive cannot be used: its .cls has 1048577 bytes",
    ] {
        ensure(found.stderr.contains(reason), (reason, &found))?;
    }
    ensure(!found.stderr.contains("3.ppm"), &found)
}

/// A command that evaluates an archive by its own classes.
fn evaluate(path: &Path) -> Command {
    let mut command = classify();
    command.args(["evaluate", "onnx", "--truth-webdataset", "--color", "rgb"]);
    command.arg("-m").arg(small_model("plain.onnx"));
    command.arg("-i").arg(path);
    command
}

fn forms_of_classes() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("some.tar");
    let report = directory.path().join("report.json");
    let image = ppm(0);
    let mut found = Vec::new();
    for (name, class) in [
        ("0.cls", &b"10"[..]),
        ("0.cls", b"\xef\xbb\xbf10\r\n"),
        ("0.json", b"{\"target\":10.0}"),
        ("0.json", b"\xef\xbb\xbf1e1"),
    ] {
        fs::write(&path, archive(&[("0.ppm", &image), (name, class)])?)?;
        let evaluated = run(evaluate(&path).arg("--report").arg(&report));
        expect_code(&evaluated, 0)?;
        let report: Value = serde_json::from_str(&fs::read_to_string(&report)?)?;
        found.push((evaluated.stdout, report));
    }
    ensure(found.iter().all(|other| *other == found[0]), &found)
}

fn empty_class() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("some.tar");
    let images: Vec<Vec<u8>> = (0..3).map(ppm).collect();
    let members: [(&str, &[u8]); 5] = [
        ("0.ppm", &images[0]),
        ("0.cls", b"1"),
        ("1.ppm", &images[1]),
        ("1.cls", b""),
        ("2.ppm", &images[2]),
    ];
    let missing = "the ground truth does not mention";
    for count in [4, 5] {
        fs::write(&path, archive(&members[..count])?)?;
        let whole = run(&mut evaluate(&path));
        expect_code(&whole, 2)?;
        let parts = directory.path().join(count.to_string());
        let mut shard = evaluate(&path);
        shard.args(["--shard", "0/1", "--out-dir"]).arg(&parts);
        expect_code(&run(&mut shard), 0)?;
        let merged = run(classify().arg("merge").arg(&parts));
        for stderr in [&whole.stderr, &merged.stderr] {
            ensure(stderr.contains("its .cls is empty"), stderr)?;
            let named = format!("{missing} 1 of 3 images, the first is {}", path.display());
            let is_named = stderr.contains(&format!("{named}/2.ppm"));
            ensure(is_named == (count == 5), stderr)?;
            ensure(stderr.contains(missing) == is_named, stderr)?;
        }
    }
    Ok(())
}

fn class_archives() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    for (class, image) in [("2", ppm(0)), ("10", ppm(1))] {
        fs::create_dir_all(at("folders").join(class))?;
        fs::write(at("folders").join(class).join("0.ppm"), &image)?;
        fs::create_dir_all(at("archives"))?;
        let path = at("archives").join(format!("{class}.tar"));
        fs::write(path, archive(&[("0.ppm", &image)])?)?;
    }
    let evaluated = |inputs: &str| {
        let mut command = classify();
        command.args(["evaluate", "onnx", "--truth-folders", "--recursive"]);
        command.args(["--color", "rgb", "-m"]);
        command.arg(small_model("plain.onnx"));
        run(command.arg("-i").arg(at(inputs)))
    };
    let [folders, archives] = ["folders", "archives"].map(evaluated);
    expect_code(&archives, 0)?;
    let archives = archives.stdout.replace("archives", "folders");
    ensure(
        folders.stdout == archives.replace(".tar", ""),
        [folders.stdout, archives],
    )
}

fn truth_alone() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("some.tar");
    let image = ppm(0);
    let members: [(&str, &[u8]); 4] = [
        ("0.ppm", &image),
        ("0.cls", b"1"),
        ("1.cls", b"2"),
        ("2.json", b"{\"cls\": 1}"),
    ];
    fs::write(&path, archive(&members)?)?;
    let mut command = classify();
    command.args(["evaluate", "onnx", "--color", "rgb", "-m"]);
    command.arg(small_model("plain.onnx")).arg("-i").arg(&path);
    let evaluated = run(&mut command);
    expect_code(&evaluated, 0)?;
    let note = "skipped 2 non-image files (1 .cls, 1 .json)";
    ensure(evaluated.stderr.contains(note), &evaluated)
}

fn exact_names() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let mut builder = Builder::new(Vec::new());
    for (number, sample) in ["0", "./0", "d/1", "d//1"].into_iter().enumerate() {
        let class = (number + 1).to_string();
        let image = ppm(number);
        for (ending, bytes) in [("ppm", &image[..]), ("cls", class.as_bytes())] {
            let name = format!("{sample}.{ending}");
            add_raw(&mut builder, EntryType::Regular, &name, bytes)?;
        }
    }
    fs::write(at("some.tar"), builder.into_inner()?)?;
    let mut command = classify();
    command.args(["evaluate", "onnx", "--quiet", "--color", "rgb", "-m"]);
    command.arg(small_model("plain.onnx")).arg("-i");
    command
        .arg(at("some.tar"))
        .arg("--report")
        .arg(at("r.json"));
    expect_code(&run(&mut command), 0)?;
    let report: Value = serde_json::from_str(&fs::read_to_string(at("r.json"))?)?;
    let wrong = &report["runs"][0]["wrong"];
    let classes = [0, 1, 2, 3].map(|image| wrong[image]["class_id"].as_u64());
    ensure(classes == [1, 2, 3, 4].map(Some), &report)
}
