//! `--shard` and `classify merge`: the parts of several processes are the results of one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

/// The number of images that [`Images`] has.
pub const IMAGES: usize = 10;
/// The one among them that is not an image.
pub const BROKEN: usize = 4;

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let with_engines: [(&str, fn() -> Result<(), Failed>); 13] = [
        (
            "shards::merged_json_is_the_json_of_one_process",
            merged_json,
        ),
        ("shards::merged_csv_is_the_csv_of_one_process", merged_csv),
        ("shards::a_list_on_stdin_is_divided_too", list_on_stdin),
        (
            "shards::more_shards_than_images_leave_empty_parts",
            more_shards_than_images,
        ),
        (
            "shards::a_failed_image_is_a_row_of_a_complete_shard",
            failed_image,
        ),
        ("shards::a_complete_part_is_kept", complete_part_is_kept),
        (
            "shards::a_removed_part_is_missing_until_its_shard_runs_again",
            removed_part,
        ),
        ("shards::a_part_of_another_job_is_refused", other_jobs),
        (
            "shards::parts_of_other_shards_are_not_merged",
            foreign_parts,
        ),
        ("shards::a_changed_part_is_not_merged", changed_part),
        (
            "shards::a_model_without_a_kind_of_scores_needs_it_named",
            undecided_scores,
        ),
        ("shards::merged_rows_replace_no_part", merge_into_a_part),
        ("shards::a_directory_without_parts_is_refused", no_parts),
    ];
    let mut trials: Vec<Trial> = with_engines
        .map(|(name, test)| engines.test(name, test))
        .into();
    #[cfg(feature = "parquet")]
    trials.extend(engines.scenario(
        "shards::merged_parquet",
        merged_parquet,
        [
            ("is_the_parquet_of_one_process", equal_parquet),
            ("has_the_paths_and_errors_of_the_json", parquet_errors),
            ("has_the_classes_of_the_json", parquet_classes),
        ],
    ));
    #[cfg(not(feature = "parquet"))]
    trials.push(engines.test(
        "shards::parquet_is_refused_by_a_program_without_it",
        no_parquet,
    ));
    trials.push(with_set_up.test("shards::a_long_list_takes_no_memory", long_list));
    #[cfg(unix)]
    trials.push(engines.test("shards::a_killed_shard_is_resumed", killed));
    trials
}

/// A directory with a list of images, of which one is broken.
pub struct Images {
    directory: tempfile::TempDir,
    pub list: PathBuf,
}

impl Images {
    pub fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let mut lines = String::new();
        for index in 0..IMAGES {
            let path = directory.path().join(format!("{index}.ppm"));
            let mut bytes = b"P6 8 8 255\n".to_vec();
            if index != BROKEN {
                bytes.extend((0..192).map(|place| (place * (index + 3)) as u8));
            }
            fs::write(&path, bytes)?;
            writeln!(lines, "{}", path.display())?;
        }
        let list = directory.path().join("list.txt");
        fs::write(&list, lines)?;
        Ok(Self { directory, list })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command for all images, with scores that shards accept.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = classify();
        command
            .args(arguments)
            .arg("-m")
            .arg(small_model("plain.onnx"));
        command.args(["--color", "rgb", "--scores", "softmax", "--input-list"]);
        command.arg(&self.list);
        command
    }

    pub fn shard(&self, arguments: &[&str], shard: &str) -> Run {
        let mut command = self.command(arguments);
        command
            .args(["--shard", shard, "--out-dir"])
            .arg(self.at("parts"));
        run(&mut command)
    }

    /// Runs all shards.
    pub fn shards(&self, arguments: &[&str], count: usize) -> Result<(), Failed> {
        for index in 0..count {
            let shard = self.shard(arguments, &format!("{index}/{count}"));
            expect_code(&shard, 0)?;
        }
        Ok(())
    }

    pub fn merge(&self) -> Run {
        run(classify().arg("merge").arg(self.at("parts")))
    }

    pub fn parts(&self) -> Result<Vec<String>, Failed> {
        let entries = fs::read_dir(self.at("parts"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>, std::io::Error>>()?;
        names.sort();
        Ok(names)
    }
}

const JSON: [&str; 4] = ["--backend", "onnx", "--format", "json"];
const CSV: [&str; 4] = ["--backend", "onnx", "--format", "csv"];

/// The rows without their times.
pub fn rows(text: &str) -> Result<Vec<Value>, Failed> {
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line)?;
        if let Some(row) = row.as_object_mut() {
            row.remove("timing_ms");
        }
        Ok(row)
    };
    text.lines().map(row).collect()
}

fn merged_json() -> Result<(), Failed> {
    let images = Images::new()?;
    let whole = run(&mut images.command(&JSON));
    expect_code(&whole, 1)?;
    images.shards(&JSON, 4)?;
    let merged = images.merge();
    expect_code(&merged, 1)?;
    let rows = [rows(&whole.stdout)?, rows(&merged.stdout)?];
    ensure(rows[0].len() == IMAGES && rows[0] == rows[1], &rows)?;
    let names = images.parts()?;
    let expected = |index: usize| format!("part-0000{index}-of-00004.ndjson");
    ensure((0..4).all(|index| names.contains(&expected(index))), &names)?;
    ensure(names.len() == 9 && names[0] == "job.json", &names)
}

fn merged_csv() -> Result<(), Failed> {
    let images = Images::new()?;
    let whole = run(&mut images.command(&CSV));
    images.shards(&CSV, 4)?;
    let merged = images.merge();
    expect_code(&merged, 1)?;
    ensure(
        whole.stdout == merged.stdout && whole.stdout.lines().count() > IMAGES,
        &merged,
    )?;
    let file = images.at("merged.csv");
    let mut command = classify();
    command
        .arg("merge")
        .arg(images.at("parts"))
        .arg("-o")
        .arg(&file);
    expect_code(&run(&mut command), 1)?;
    ensure(fs::read_to_string(&file)? == whole.stdout, file)
}

fn list_on_stdin() -> Result<(), Failed> {
    let images = Images::new()?;
    let whole = run(&mut images.command(&CSV));
    for index in 0..3 {
        let mut command = classify();
        command.args(CSV).arg("-m").arg(small_model("plain.onnx"));
        command.args(["--color", "rgb", "--scores", "softmax", "-i", "-"]);
        command.args(["--shard", &format!("{index}/3"), "--out-dir"]);
        command
            .arg(images.at("parts"))
            .stdin(fs::File::open(&images.list)?);
        expect_code(&run(&mut command), 0)?;
    }
    let merged = images.merge();
    ensure(whole.stdout == merged.stdout, &merged)
}

fn more_shards_than_images() -> Result<(), Failed> {
    let images = Images::new()?;
    let whole = run(&mut images.command(&CSV));
    images.shards(&CSV, IMAGES + 3)?;
    let merged = images.merge();
    ensure(whole.stdout == merged.stdout, &merged)
}

fn failed_image() -> Result<(), Failed> {
    let images = Images::new()?;
    let shard = images.shard(&JSON, "0/2");
    expect_code(&shard, 0)?;
    ensure(shard.stderr.contains("error: 1 of 5 inputs failed"), &shard)?;
    ensure(shard.stdout.is_empty(), &shard)?;
    let part = fs::read_to_string(images.at("parts/part-00000-of-00002.ndjson"))?;
    let row = &rows(&part)?[BROKEN];
    ensure(
        row["error"]["code"].is_string() && row["top"].is_null(),
        row,
    )?;
    let manifest = fs::read(images.at("parts/part-00000-of-00002.manifest.json"))?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    ensure(
        manifest["images"] == 5 && manifest["failed"] == 1,
        &manifest,
    )?;
    expect_code(&images.shard(&JSON, "1/2"), 0)?;
    let merged = images.merge();
    expect_code(&merged, 1)?;
    let named = format!("error: {}: ", images.at(&format!("{BROKEN}.ppm")).display());
    ensure(merged.stderr.contains(&named), &merged)?;
    ensure(merged.stderr.contains("1 of 10 images failed"), &merged)
}

fn complete_part_is_kept() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&JSON, 2)?;
    let part = images.at("parts/part-00001-of-00002.ndjson");
    let before = fs::metadata(&part)?.modified()?;
    // Without the images: only a complete part needs none.
    fs::remove_file(images.at("9.ppm"))?;
    // A number of decoding threads changes no answer.
    let again = images.shard(&[&JSON[..], &["--jobs", "1"]].concat(), "1/2");
    expect_code(&again, 0)?;
    ensure(again.stderr.contains("shard 1/2 is complete"), &again)?;
    ensure(fs::metadata(&part)?.modified()? == before, part)
}

fn removed_part() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&CSV, 4)?;
    let whole = images.merge().stdout;
    for name in [
        "part-00001-of-00004.csv",
        "part-00003-of-00004.manifest.json",
    ] {
        fs::remove_file(images.at("parts").join(name))?;
    }
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(merged.stdout.is_empty(), &merged)?;
    let named =
        "2 of 4 parts are missing or incomplete: 1, 3; the first is part-00001-of-00004.csv";
    ensure(
        merged.stderr.contains(named) && merged.stderr.contains("--shard 1/4"),
        &merged,
    )?;
    for shard in ["1/4", "3/4"] {
        let again = images.shard(&CSV, shard);
        expect_code(&again, 0)?;
        ensure(
            !again.stderr.contains(&format!("shard {shard} is complete")),
            &again,
        )?;
    }
    ensure(images.merge().stdout == whole, whole)
}

fn other_jobs() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&JSON, 2)?;
    let refused = |shard: &Run, difference: &str| {
        expect_code(shard, 2)?;
        let error = format!("has the parts of another job: {difference}");
        ensure(shard.stderr.contains(&error), shard)?;
        ensure(
            shard.stderr.contains("\nhint: name another directory"),
            shard,
        )
    };
    let top = images.shard(&[&JSON[..], &["--top", "3"]].concat(), "0/2");
    refused(&top, "`top` is not given there, but 3 here")?;
    refused(
        &images.shard(&CSV, "0/2"),
        "`format` is json there, but csv here",
    )?;
    refused(
        &images.shard(&JSON, "0/3"),
        "the number of shards is 2 there, but 3 here",
    )?;
    let list = fs::read_to_string(&images.list)?;
    fs::write(&images.list, list.replace("9.ppm", "8.ppm"))?;
    refused(
        &images.shard(&JSON, "0/2"),
        "the list of inputs is another one",
    )?;
    fs::write(&images.list, format!("{list}{list}"))?;
    refused(
        &images.shard(&JSON, "0/2"),
        "the number of inputs is 10 there, but 20 here",
    )?;
    fs::write(&images.list, list)?;
    // The same path with another content.
    let model = images.at("model.onnx");
    let other = |model: &Path| {
        let mut command = classify();
        command.args(JSON).arg("-m").arg(model);
        command.args(["--color", "rgb", "--scores", "softmax", "--input-list"]);
        command
            .arg(&images.list)
            .args(["--shard", "0/2", "--out-dir"]);
        run(command.arg(images.at("others")))
    };
    fs::copy(small_model("plain.onnx"), &model)?;
    expect_code(&other(&model), 0)?;
    let mut bytes = fs::read(&model)?;
    // A field that no reader knows.
    bytes.extend(b"\xf2\x3f\x01x");
    fs::write(&model, bytes)?;
    refused(
        &other(&model),
        &format!("{} is another file or has changed", model.display()),
    )
}

fn foreign_parts() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&JSON, 2)?;
    let foreign = images.at("parts/part-00002-of-00004.ndjson");
    fs::copy(images.at("parts/part-00001-of-00002.ndjson"), &foreign)?;
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(
        merged
            .stderr
            .contains("1 file of another job, the first is part-00002-of-00004.ndjson"),
        &merged,
    )?;
    fs::remove_file(foreign)?;
    // One shard in the place of another would have its images twice.
    let manifest =
        |index: usize| images.at(&format!("parts/part-0000{index}-of-00002.manifest.json"));
    fs::copy(manifest(0), manifest(1))?;
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(
        merged
            .stderr
            .contains("part-00001-of-00002.manifest.json belongs to another job"),
        &merged,
    )
}

fn changed_part() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&JSON, 2)?;
    let part = images.at("parts/part-00001-of-00002.ndjson");
    let text = fs::read_to_string(&part)?;
    // Cut or invalid rows are no other error than changed ones.
    fs::write(&part, text.replacen("{\"", "{!", 1))?;
    let merged = images.merge();
    expect_code(&merged, 2)?;
    ensure(
        merged.stdout.is_empty() && merged.stderr.contains("it has changed since"),
        &merged,
    )?;
    fs::write(&part, text.replacen("\"class_id\":", "\"class_ID\":", 1))?;
    let file = images.at("merged.ndjson");
    let mut command = classify();
    command
        .arg("merge")
        .arg(images.at("parts"))
        .arg("-o")
        .arg(&file);
    let merged = run(&mut command);
    expect_code(&merged, 2)?;
    ensure(
        merged
            .stderr
            .contains("has changed since its shard wrote it"),
        &merged,
    )?;
    ensure(!file.exists(), "a merged file of damaged parts")
}

fn undecided_scores() -> Result<(), Failed> {
    let images = Images::new()?;
    let mut command = classify();
    command
        .args(JSON)
        .arg("-m")
        .arg(small_model("channel-means.onnx"));
    command
        .args(["--color", "rgb", "--input-list"])
        .arg(&images.list);
    command
        .args(["--shard", "0/2", "--out-dir"])
        .arg(images.at("parts"));
    let shard = run(&mut command);
    expect_code(&shard, 2)?;
    ensure(
        shard
            .stderr
            .contains("does not state the kind of its scores"),
        &shard,
    )?;
    ensure(
        shard
            .stderr
            .contains("hint: name the kind, such as `--scores softmax`"),
        &shard,
    )
}

fn merge_into_a_part() -> Result<(), Failed> {
    let images = Images::new()?;
    images.shards(&JSON, 2)?;
    let before = images.parts()?;
    for name in ["part-00000-of-00002.ndjson", "job.json"] {
        let mut command = classify();
        command.arg("merge").arg(images.at("parts"));
        command.arg("-o").arg(images.at("parts").join(name));
        let merged = run(&mut command);
        expect_code(&merged, 2)?;
        ensure(merged.stderr.contains("is a file of the shards"), &merged)?;
    }
    ensure(images.parts()? == before, before)
}

fn no_parts() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let merged = run(classify().arg("merge").arg(directory.path()));
    expect_code(&merged, 2)?;
    ensure(
        merged
            .stderr
            .contains("has no parts of shards: there is no job.json"),
        &merged,
    )
}

/// The rows of a Parquet file without their times, as text.
#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path) -> Result<Vec<Vec<(String, String)>>, Failed> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    let reader = SerializedFileReader::new(fs::File::open(path)?)?;
    let rows = reader.get_row_iter(None)?.map(|row| {
        let row = row?;
        let columns = row
            .get_column_iter()
            .filter(|(name, _)| !name.ends_with("_ms"));
        Ok(columns
            .map(|(name, field)| (name.clone(), field.to_string()))
            .collect())
    });
    rows.collect()
}

/// The rows of a Parquet file: names and values of their cells.
#[cfg(feature = "parquet")]
type ParquetRows = Vec<Vec<(String, String)>>;

/// The rows of one process and of merged shards, and those of the JSON.
#[cfg(feature = "parquet")]
type Parquet = ([ParquetRows; 2], Vec<Value>);

#[cfg(feature = "parquet")]
fn merged_parquet() -> Result<Parquet, Failed> {
    let images = Images::new()?;
    let format = ["--backend", "onnx", "--format", "parquet"];
    let whole = images.at("whole.parquet");
    let mut command = images.command(&format);
    expect_code(&run(command.arg("-o").arg(&whole)), 1)?;
    images.shards(&format, 4)?;
    let merged = images.at("merged.parquet");
    let mut command = classify();
    command.arg("merge").arg(images.at("parts"));
    let merge = run(command.arg("-o").arg(&merged));
    expect_code(&merge, 1)?;
    ensure(merge.stderr.contains("1 of 10 images failed"), &merge)?;
    let json = rows(&run(&mut images.command(&JSON)).stdout)?;
    Ok(([parquet_rows(&whole)?, parquet_rows(&merged)?], json))
}

#[cfg(feature = "parquet")]
fn equal_parquet(([whole, merged], _): &Parquet) -> Result<(), Failed> {
    ensure(whole == merged && whole.len() == IMAGES, (whole, merged))
}

#[cfg(feature = "parquet")]
fn cell(row: &[(String, String)], wanted: &str) -> Result<String, Failed> {
    let found = row.iter().find(|(name, _)| name == wanted);
    let found = found.map(|(_, value)| value.clone());
    found.ok_or_else(|| format!("no column {wanted}").into())
}

#[cfg(feature = "parquet")]
fn parquet_errors(([_, merged], json): &Parquet) -> Result<(), Failed> {
    for (row, json) in merged.iter().zip(json) {
        let message = &json["error"]["message"];
        for (column, value) in [("path", &json["path"]), ("error_message", message)] {
            let value = value.to_string();
            ensure(cell(row, column)? == value, (row, value))?;
        }
    }
    Ok(())
}

#[cfg(feature = "parquet")]
fn parquet_classes(([_, merged], json): &Parquet) -> Result<(), Failed> {
    for (row, json) in merged.iter().zip(json) {
        let top = cell(row, "top")?;
        ensure((top == "null") == json["top"].is_null(), row)?;
        let classes = json["top"].as_array().map_or(&[][..], Vec::as_slice);
        ensure(top.matches("class_id").count() == classes.len(), &top)?;
        for class in classes {
            let class = format!("class_id: {}, label: null, score: ", class["class_id"]);
            ensure(top.contains(&class), (&top, class))?;
        }
    }
    Ok(())
}

#[cfg(not(feature = "parquet"))]
fn no_parquet() -> Result<(), Failed> {
    let images = Images::new()?;
    let shard = images.shard(&["--backend", "onnx", "--format", "parquet"], "0/2");
    expect_code(&shard, 2)?;
    let error =
        "error: this program was built without Parquet\nhint: build it with `--features parquet`";
    ensure(shard.stderr.contains(error), &shard)
}

/// A shard of a million entries holds only its own: the list is read, and one entry of it is looked up.
fn long_list() -> Result<(), Failed> {
    let images = Images::new()?;
    let peak = |entries: usize, count: usize| {
        let line = format!("{}\n", images.at("0.ppm").display());
        fs::write(&images.list, line.repeat(entries))?;
        let mut command = images.command(&["--backend", "rten"]);
        command.args(["--quiet", "--shard", &format!("0/{count}"), "--out-dir"]);
        command.arg(images.at(&format!("parts-{entries}")));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let kibibytes: f64 = classify_tests::python("peak.py", words)?.trim().parse()?;
        Ok::<_, Failed>(kibibytes)
    };
    let [few, many] = [peak(10, 1)?, peak(1_000_000, 100_000)?];
    println!("KiB for 10 entries: {few}, for 1,000,000: {many}");
    // The list alone has 20 MB or more.
    ensure(many < few + 8192.0, (few, many))
}

/// A shard that is killed leaves no part. The next run of it leaves nothing of the first.
#[cfg(unix)]
fn killed() -> Result<(), Failed> {
    let images = Images::new()?;
    let whole = run(&mut images.command(&CSV));
    let list = fs::read_to_string(&images.list)?;
    let many = 500;
    fs::write(&images.list, list.repeat(many))?;
    let mut command = images.command(&CSV);
    command
        .args(["--shard", "1/4", "--jobs", "1", "--out-dir"])
        .arg(images.at("parts"));
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let is_begun = || {
        let parts = images.parts().unwrap_or_default();
        let part = parts.iter().find(|name| name.starts_with(".classify-"))?;
        fs::metadata(images.at("parts").join(part))
            .ok()
            .filter(|file| file.len() > 4096)
    };
    for _ in 0..3000 {
        if is_begun().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    let names = images.parts()?;
    ensure(!names.iter().any(|name| name.starts_with("part-")), &names)?;
    images.shards(&CSV, 4)?;
    let names = images.parts()?;
    ensure(names.len() == 9 && names[0] == "job.json", &names)?;
    let merged = images.merge();
    let (header, rows) = whole.stdout.split_once('\n').ok_or("no header")?;
    ensure(
        merged.stdout == format!("{header}\n{}", rows.repeat(many)),
        merged.stderr,
    )
}
