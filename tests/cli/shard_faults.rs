//! Shards under odd names, of several processes at once, and away from the directory where they ran.

use std::fs;
use std::path::Path;
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;
use crate::shards::{IMAGES, Images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 8] = [
        (
            "shards::found_ground_truth_is_merged_from_any_directory",
            found_truth,
        ),
        (
            "shards::line_breaks_in_names_are_merged_next_to_failures",
            line_breaks,
        ),
        (
            "shards::a_damaged_manifest_does_not_block_its_shard",
            damaged_manifest,
        ),
        (
            "shards::a_part_with_other_counts_than_its_manifest_is_not_merged",
            rows_with_other_counts,
        ),
        (
            "shards::answers_with_other_counts_than_their_manifest_are_not_merged",
            answers_with_other_counts,
        ),
        (
            "shards::outputs_replace_no_entry_however_it_is_named",
            entries_in_the_place_of_outputs,
        ),
        (
            "shards::a_file_in_the_place_of_a_directory_is_refused",
            files_for_directories,
        ),
        (
            "shards::a_list_of_one_long_line_is_one_short_error",
            long_line,
        ),
    ];
    let mut trials: Vec<Trial> = tests.map(|(name, test)| engines.test(name, test)).into();
    #[cfg(feature = "parquet")]
    trials.push(engines.test("shards::changed_parquet_is_not_merged", changed_parquet));
    #[cfg(unix)]
    trials.extend([
        engines.test(
            "shards::one_of_two_processes_with_a_shard_completes_it",
            two_processes,
        ),
        engines.test("shards::names_need_not_be_utf8", not_utf8),
    ]);
    trials
}

const CSV: [&str; 4] = ["--backend", "onnx", "--format", "csv"];

fn damaged_manifest() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&CSV, 4)?;
    let whole = images.merge();
    let name = "part-00002-of-00004.manifest.json";
    let manifest = images.at("parts").join(name);
    let text = fs::read_to_string(&manifest)?;
    let negative = text.replace("\"failed\": 0", "\"failed\": -1");
    for damaged in ["", &text[..text.len() / 2], &negative] {
        fs::write(&manifest, damaged)?;
        let merged = images.merge();
        expect_code(&merged, 2)?;
        let error = "1 of 4 parts is missing or incomplete: 2; the first is part-00002-of-00004.csv, whose manifest cannot be read (";
        ensure(
            merged.stderr.contains(error) && merged.stderr.contains("`--shard 2/4`"),
            &merged,
        )?;
        let shard = images.shard(&CSV, "2/4");
        expect_code(&shard, 0)?;
        let note = format!("note: {name} cannot be read (");
        ensure(shard.stderr.contains(&note), &shard)?;
        ensure(images.merge().stdout == whole.stdout, &shard)?;
    }
    Ok(())
}

/// Changes the counts of each of two manifests in turn, and merges. Without a change, `code` is the exit code.
fn merge_with_other_counts(images: &Images, code: i32) -> Result<(), Failed> {
    for index in 0..2 {
        let name = format!("parts/part-0000{index}-of-00002.manifest.json");
        let manifest = images.at(&name);
        let text = fs::read_to_string(&manifest)?;
        let value: Value = serde_json::from_str(&text)?;
        let count = |key: &str| value[key].as_u64().ok_or("no count");
        let (all, failed) = (count("images")?, count("failed")?);
        for (other_all, other_failed) in [(all + 75, failed), (all - 1, failed), (all, 1 - failed)]
        {
            let mut other = value.clone();
            other["images"] = other_all.into();
            other["failed"] = other_failed.into();
            fs::write(&manifest, other.to_string())?;
            let merged = images.merge();
            expect_code(&merged, 2)?;
            let error = format!(
                "it has {all} images, of which {failed} failed, but its manifest states {other_all} and {other_failed}"
            );
            ensure(
                merged.stdout.is_empty() && merged.stderr.contains(&error),
                &merged,
            )?;
        }
        fs::write(&manifest, text)?;
    }
    expect_code(&images.merge(), code)
}

fn rows_with_other_counts() -> Result<(), Failed> {
    let mut formats = vec!["json", "csv"];
    if cfg!(feature = "parquet") {
        formats.push("parquet");
    }
    for format in formats {
        let images = Images::new()?;
        images.shards(&["--backend", "onnx", "--format", format], 2)?;
        merge_with_other_counts(&images, 1)?;
    }
    // No class of an image has this score, and the image no row.
    let images = Images::new()?;
    images.shards(&[&CSV[..], &["--threshold", "1"]].concat(), 2)?;
    let merged = images.merge();
    expect_code(&merged, 1)?;
    ensure(merged.stdout.lines().count() == 2, &merged)
}

fn answers_with_other_counts() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&["compare", "onnx", "rten"], 2)?;
    // The comparison of the broken image is open.
    merge_with_other_counts(&images, 2)
}

fn entries_in_the_place_of_outputs() -> Result<(), Failed> {
    let images = Images::new()?;
    let (parts, lists) = (images.at("parts"), images.at("lists"));
    fs::create_dir(&lists)?;
    let photo = fs::read(images.at("0.ppm"))?;
    let names = [
        "part-00000-of-00001.ndjson",
        "part-00000-of-00001.manifest.json",
    ];
    for name in names {
        let entry = parts.join(name);
        let (of_file, of_directory) = (lists.join("file"), lists.join("directory"));
        fs::write(&of_file, format!("{}\n", entry.display()))?;
        fs::write(&of_directory, format!("{}\n", parts.display()))?;
        for (flag, value) in [
            ("-i", &entry),
            ("-i", &parts),
            ("--input-list", &of_file),
            ("--input-list", &of_directory),
        ] {
            fs::create_dir(&parts)?;
            fs::write(&entry, &photo)?;
            let mut command = classify();
            command.args(["--backend", "onnx", "--format", "json", "-m"]);
            command.arg(small_model("plain.onnx")).arg(flag).arg(value);
            command.args(["--color", "rgb", "--scores", "softmax"]);
            command.args(["--shard", "0/1", "--out-dir"]).arg(&parts);
            let result = run(&mut command);
            expect_code(&result, 2)?;
            ensure(
                result.stderr.contains("which is read (an image)")
                    && result.stderr.contains("give --out-dir another name"),
                &result,
            )?;
            ensure(images.parts()? == [name], images.parts()?)?;
            ensure(fs::read(&entry)? == photo, "the image was replaced")?;
            fs::remove_dir_all(&parts)?;
        }
    }
    Ok(())
}

fn files_for_directories() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&CSV, 1)?;
    let job = images.at("parts/job.json");
    let merged = run(classify().arg("merge").arg(&job));
    let mut command = images.command(&CSV);
    let shard = run(command.args(["--shard", "0/1", "--out-dir"]).arg(&job));
    let named = format!("{} is a file, not a directory\nhint: name ", job.display());
    for refused in [merged, shard] {
        expect_code(&refused, 2)?;
        ensure(refused.stderr.contains(&named), &refused)?;
    }
    Ok(())
}

fn long_line() -> Result<(), Failed> {
    let images = Images::new()?;
    let line = "a".repeat(2_000_000);
    for (text, code) in [(format!("{line}\n"), 1), (format!("{line}\n{line}\n"), 1)] {
        fs::write(&images.list, text)?;
        let classified = run(&mut images.command(&CSV));
        expect_code(&classified, code)?;
        ensure(classified.stderr.len() < 10_000, classified.stderr.len())?;
        ensure(classified.stdout.contains(&line), "the row has no path")?;
        ensure(classified.stderr.contains("aaa…: "), &classified.stderr)?;
    }
    Ok(())
}

#[cfg(feature = "parquet")]
fn changed_parquet() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&["--backend", "onnx", "--format", "parquet"], 2)?;
    let part = images.at("parts/part-00001-of-00002.parquet");
    let mut bytes = fs::read(&part)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes)?;
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(
        merged.stdout.is_empty() && merged.stderr.contains("it has changed since"),
        merged.stderr,
    )
}

/// Runs both shards of a command in `directory`.
fn both(directory: &Path, parts: &Path, add: impl Fn(&mut Command)) -> Result<(), Failed> {
    for shard in ["0/2", "1/2"] {
        let mut command = classify();
        add(command.current_dir(directory));
        command.args(["--quiet", "--color", "rgb", "--scores", "softmax"]);
        command.args(["--shard", shard, "--out-dir"]).arg(parts);
        expect_code(&run(&mut command), 0)?;
    }
    Ok(())
}

fn merge(directory: &Path, parts: &Path) -> Run {
    run(classify().current_dir(directory).arg("merge").arg(parts))
}

/// The directories of the images would be ground truth too, but another one.
fn found_truth() -> Result<(), Failed> {
    let images = Images::new()?;
    let data = images.at("data");
    for index in 0..4 {
        let directory = data.join(["one", "two"][index % 2]);
        fs::create_dir_all(&directory)?;
        fs::copy(
            images.at(&format!("{index}.ppm")),
            directory.join(format!("{index}.ppm")),
        )?;
    }
    let truth = "file_name,label\none/0.ppm,10\ntwo/1.ppm,10\none/2.ppm,10\ntwo/3.ppm,10\n";
    fs::write(data.join("metadata.csv"), truth)?;
    let (here, parts) = (images.at("."), images.at("found"));
    both(&here, &parts, |command| {
        command.args(["evaluate", "onnx", "--recursive", "-i", "data", "-m"]);
        command.arg(small_model("plain.onnx"));
    })?;
    let merged = merge(&here, &parts);
    expect_code(&merged, 0)?;
    ensure(merged.stdout.contains("4 of 4 images"), &merged)?;
    let elsewhere = merge(Path::new("/"), &parts);
    ensure(elsewhere.stdout == merged.stdout, &elsewhere)?;
    // It would not be found any more.
    fs::rename(data.join("metadata.csv"), data.join("away.csv"))?;
    let missing = merge(&here, &parts);
    expect_code(&missing, 2)?;
    ensure(missing.stderr.contains("metadata.csv"), &missing)
}

fn line_breaks() -> Result<(), Failed> {
    let images = Images::new()?;
    let mut list = Vec::new();
    for name in ["a\nb,c,d,e,f,\"g\".ppm", "\n,,,,,,,,,,\n.ppm"] {
        let path = images.at(name);
        if fs::copy(images.at("0.ppm"), &path).is_err() {
            // The system has no such names.
            return Ok(());
        }
        list.extend(path.as_os_str().as_encoded_bytes());
        list.push(0);
    }
    for line in fs::read_to_string(&images.list)?.lines() {
        list.extend(line.as_bytes());
        list.push(0);
    }
    fs::write(&images.list, list)?;
    let csv = ["--backend", "onnx", "--format", "csv"];
    let whole = run(&mut images.command(&csv));
    images.shards(&csv, 2)?;
    let merged = images.merge();
    expect_code(&merged, 1)?;
    ensure(whole.stdout == merged.stdout, &merged)?;
    let failed = format!("1 of {} images failed", IMAGES + 2);
    ensure(merged.stderr.contains(&failed), &merged)
}

/// Both are kept from completing the part until both have opened it.
#[cfg(unix)]
fn two_processes() -> Result<(), Failed> {
    let images = Images::new()?;
    let json = ["--backend", "onnx", "--format", "json"];
    expect_code(&images.shard(&json, "1/2"), 0)?;
    let lock = fs::File::open(images.at("parts/job.json"))?;
    lock.lock()?;
    let start = || {
        let mut command = images.command(&json);
        command.args(["--shard", "0/2", "--out-dir"]);
        command.arg(images.at("parts"));
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
    };
    let processes = [start()?, start()?];
    let opened = || -> Result<usize, Failed> {
        let names = images.parts()?;
        Ok(names
            .iter()
            .filter(|name| name.starts_with(".classify-"))
            .count())
    };
    for _ in 0..3000 {
        if opened()? == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    ensure(opened()? == 2, images.parts()?)?;
    lock.unlock()?;
    let mut kept = 0;
    for process in processes {
        let ended = process.wait_with_output()?;
        let stderr = String::from_utf8_lossy(&ended.stderr);
        ensure(ended.status.success(), &stderr)?;
        let note = "another process has completed shard 0/2 in the meantime: its part stays";
        kept += usize::from(stderr.contains(note));
    }
    ensure(kept == 1, kept)?;
    expect_code(&images.merge(), 1)
}

/// Paths that look alike where they are shown are different files.
#[cfg(unix)]
fn not_utf8() -> Result<(), Failed> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let images = Images::new()?;
    let [model, truth, other] = [&b"\xfe.onnx"[..], b"truth\xfe.txt", b"truth\xff.txt"]
        .map(|name| images.at("odd").join(OsStr::from_bytes(name)));
    fs::create_dir(images.at("odd"))?;
    if fs::copy(small_model("plain.onnx"), &model).is_err() {
        // The system has no such names.
        return Ok(());
    }
    let text = "0.ppm 10\n1.ppm 3\n2.ppm 10\n";
    fs::write(&truth, text)?;
    fs::write(&other, text)?;
    let shards = |truth: &Path| {
        both(&images.at("odd"), &images.at("parts"), |command| {
            command.args(["evaluate", "onnx", "-m"]);
            command.arg(&model).arg("--truth");
            command.arg(truth.file_name().unwrap_or_default());
            command.args(["-i", "../0.ppm", "../1.ppm", "../2.ppm"]);
        })
    };
    shards(&truth)?;
    let merged = merge(Path::new("/"), &images.at("parts"));
    expect_code(&merged, 0)?;
    ensure(merged.stdout.contains("3 of 3 images"), &merged)?;
    ensure(shards(&other).is_err(), "another file is another job")
}
