//! CSV and Parquet with a row for each image and run, with RTen.

use std::fs;
use std::path::Path;

use classify_tests::{ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 6] = [
        ("every_image_has_a_row_for_each_run", of_runs),
        ("changes_have_a_name", changes),
        ("images_without_a_judgement_have_a_row", without_judgement),
        ("several_classes_are_in_one_cell", several_classes),
        ("a_comparison_has_rows", comparison),
        #[cfg(feature = "parquet")]
        ("parquet_has_the_values_of_the_csv", parquet),
        #[cfg(not(feature = "parquet"))]
        ("parquet_is_refused_by_a_program_without_it", no_parquet),
    ];
    let trial = |(name, test): (&str, Test)| Trial::test(format!("rows::{name}"), test);
    tests.into_iter().map(trial).collect()
}

const HEADER: &str = "schema_version,path,run,truth,truth_label,answer,answer_label,right,rank,score,truth_score,change,error";

/// Runs `classify` in `directory` on a model of the tests. Returns stdout.
fn stdout(directory: &Path, arguments: &[&str], code: i32) -> Result<String, Failed> {
    let mut command = classify();
    let result = run(command
        .current_dir(directory)
        .args(arguments)
        .arg("-m")
        .arg(small_model("plain.onnx")));
    expect_code(&result, code)?;
    Ok(result.stdout)
}

fn of_runs() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 3\n")?;
    let names: Vec<String> = (0..12).map(|class| format!("=class {class}\n")).collect();
    fs::write(at.join("labels"), names.concat())?;
    let arguments = [
        "evaluate", "-q", "rten", "rten:CPU", "-i", "a.ppm", "b.ppm", "--truth", "truth",
        "--labels", "labels", "--format", "csv", "--report", "rows.csv",
    ];
    let text = stdout(at, &arguments, 0)?;
    ensure(text == fs::read_to_string(at.join("rows.csv"))?, &text)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure(lines.len() == 5 && lines[0] == HEADER, &text)?;
    let starts = [
        "1,a.ppm,rten,10,'=class 10,10,'=class 10,true,1,0.",
        "1,a.ppm,rten:CPU,10,'=class 10,10,'=class 10,true,1,0.",
        "1,b.ppm,rten,3,'=class 3,10,'=class 10,false,",
        "1,b.ppm,rten:CPU,3,'=class 3,10,'=class 10,false,",
    ];
    for (line, start) in lines[1..].iter().zip(starts) {
        ensure(line.starts_with(start) && line.ends_with(','), line)?;
    }
    // The best class is the right one, so both scores are the same.
    let cells: Vec<&str> = lines[1].split(',').collect();
    ensure(cells[9] == cells[10], lines[1])?;
    let arguments = [&arguments[..11], &["--format", "json"]].concat();
    let json: serde_json::Value = serde_json::from_str(&stdout(at, &arguments, 0)?)?;
    ensure(json["kind"] == "evaluate" && json["counted"] == 2, &json)
}

/// Rows name the answers that changed between right and wrong.
fn changes() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    let reversed = format!("rten={}", small_model("reversed.onnx").display());
    let arguments = [
        "evaluate", "-q", "rten", &reversed, "rten:CPU", "-i", "a.ppm", "b.ppm", "--format", "csv",
    ];
    // The best class of the one model is 10, of the other 1.
    for (truth, first, second) in [
        ("10", "", "new-error"),
        ("1", "", "corrected"),
        ("3", "", ""),
    ] {
        fs::write(at.join("truth"), format!("a.ppm {truth}\nb.ppm 3\n"))?;
        let text = stdout(at, &[&arguments[..], &["--truth", "truth"]].concat(), 0)?;
        let found: Vec<&str> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').nth(11))
            .collect();
        ensure(found == [first, second, first, "", "", ""], &text)?;
    }
    Ok(())
}

fn without_judgement() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("c.ppm"), "P6 8 8 255\n1")?;
    fs::write(at.join("truth"), "a.ppm 10\nc.ppm 10\n")?;
    let arguments = [
        "evaluate", "-q", "rten", "-i", "a.ppm", "b.ppm", "c.ppm", "--truth", "truth", "--format",
        "csv",
    ];
    let text = stdout(at, &arguments, 2)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure(lines.len() == 4, &text)?;
    ensure(
        lines[2] == "1,b.ppm,rten,,,,,,,,,,no ground truth",
        lines[2],
    )?;
    let failed = lines[3].strip_prefix("1,c.ppm,rten,,,,,,,,,,");
    ensure(failed.is_some_and(|problem| problem.len() > 10), lines[3])
}

fn several_classes() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("truth"), "a.ppm 3|10\nb.ppm 4\n")?;
    let arguments = [
        "evaluate", "-q", "rten", "-i", "a.ppm", "b.ppm", "--truth", "truth", "--format", "csv",
        "--scores", "sigmoid",
    ];
    let text = stdout(at, &arguments, 0)?;
    let line = text.lines().nth(1).unwrap_or_default();
    ensure(line.starts_with("1,a.ppm,rten,3|10,,"), &text)?;
    let cells: Vec<&str> = line.split(',').collect();
    let given: Vec<usize> = cells[5]
        .split('|')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    ensure(given.len() > 1 && cells[7] == "false", line)
}

fn comparison() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("c.ppm"), "P6 8 8 255\n1")?;
    let reversed = format!("rten={}", small_model("reversed.onnx").display());
    let arguments = [
        "compare", "-q", "rten", "rten:CPU", &reversed, "-i", "a.ppm", "c.ppm", "--format", "csv",
        "--report", "rows.csv",
    ];
    let text = stdout(at, &arguments, 2)?;
    ensure(text == fs::read_to_string(at.join("rows.csv"))?, &text)?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    ensure(rows.len() == 5, &text)?;
    let header = "schema_version,path,reference,run,within,reference_answer,answer,same_top1,overlap,reference_score,\
        score,max_delta,relative_error,error";
    ensure(rows[0].join(",") == header, &text)?;
    let same = [
        "1", "a.ppm", "rten", "rten:CPU", "true", "10", "10", "true", "1",
    ];
    ensure(rows[1][..9] == same && rows[1][11] == "0", &rows[1])?;
    ensure(
        rows[2][3] == reversed && rows[2][4] == "false" && rows[2][7] == "false",
        &rows[2],
    )?;
    ensure(rows[4][1] == "c.ppm" && rows[4][13].len() > 10, &rows[4])
}

#[cfg(feature = "parquet")]
fn parquet() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    fs::write(at.join("c.ppm"), "P6 8 8 255\n1")?;
    fs::write(at.join("truth"), "a.ppm 10\nb.ppm 3\nc.ppm 10\n")?;
    let reports = ["--report", "rows.csv", "--report", "rows.parquet"];
    let inputs = ["rten", "rten:CPU", "-i", "a.ppm", "b.ppm", "c.ppm"];
    for (command, truth, rows) in [
        ("evaluate", &["--truth", "truth"][..], 6),
        ("compare", &[][..], 3),
    ] {
        let arguments = [&[command, "-q"][..], &inputs, &reports, truth].concat();
        stdout(at, &arguments, 2)?;
        ensure(same_values(at)? == rows, command)?;
    }
    Ok(())
}

/// Compares `rows.parquet` with `rows.csv`, and returns the number of rows.
#[cfg(feature = "parquet")]
fn same_values(at: &Path) -> Result<usize, Failed> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    let reader = SerializedFileReader::new(fs::File::open(at.join("rows.parquet"))?)?;
    let text = fs::read_to_string(at.join("rows.csv"))?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().ok_or("a header")?.split(',').collect();
    let mut rows = 0;
    for (row, line) in reader.get_row_iter(None)?.zip(lines.by_ref()) {
        let row = row?;
        // The last column is a message, which may have commas.
        let cells: Vec<&str> = line.splitn(names.len(), ',').collect();
        for ((name, field), (own, cell)) in row.get_column_iter().zip(names.iter().zip(cells)) {
            let is_same = match field {
                Field::Null => cell.is_empty(),
                Field::Bool(flag) => cell == flag.to_string(),
                Field::Long(integer) => cell == integer.to_string(),
                Field::Str(text) => cell.trim_matches('"') == text,
                Field::Double(number) => cell.parse::<f32>()? == *number as f32,
                _ => false,
            };
            ensure(is_same && name == own, (name, field, cell))?;
        }
        rows += 1;
    }
    ensure(lines.next().is_none(), text)?;
    Ok(rows)
}

#[cfg(not(feature = "parquet"))]
fn no_parquet() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let mut command = classify();
    command.current_dir(directory.path());
    let result = run(command.args(["compare", "rten", "rten", "--report", "rows.parquet"]));
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("without the feature `parquet`"),
        result,
    )
}
