//! `classify check`: gates in a file, with RTen.

use std::fs;
use std::path::Path;

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

type Test = fn() -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 11] = [
        ("the_example_of_the_documentation_runs", example),
        ("flags_replace_values_of_the_file", flags),
        ("the_worst_verdict_is_the_exit_code", worst),
        ("nothing_runs_if_a_key_is_unknown", unknown),
        (
            "a_shared_report_needs_the_command_in_its_name",
            shared_report,
        ),
        ("an_evaluation_without_a_gate_is_an_error", without_gate),
        ("the_file_itself_is_never_replaced", own_file),
        ("a_file_never_chooses_the_code_that_is_loaded", code),
        (
            "outputs_of_the_file_replace_only_earlier_ones_of_their_kind",
            other_kinds,
        ),
        (
            "a_file_that_the_other_table_reads_is_never_replaced",
            file_of_other_table,
        ),
        (
            "a_recording_that_is_not_there_yet_is_not_compared_with",
            recording_of_other_table,
        ),
    ];
    let trial = |(name, test): (&str, Test)| Trial::test(format!("check::{name}"), test);
    tests.into_iter().map(trial).collect()
}

/// Returns the first example of TOML in the documentation.
fn documented() -> Result<String, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/check.md");
    let text = fs::read_to_string(path)?;
    let example = text
        .split_once("```toml\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    Ok(example.ok_or("no example")?.0.to_owned())
}

/// Writes the files that the example names, and `gate.toml` in a subdirectory of the directory that is returned.
fn files(gate: &str) -> Result<tempfile::TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    let at = directory.path().join("ci");
    for directory in ["models", "photos/cats"] {
        fs::create_dir_all(at.join(directory))?;
    }
    for model in ["float", "int8"] {
        fs::copy(
            small_model("plain.onnx"),
            at.join(format!("models/{model}.onnx")),
        )?;
    }
    for (name, level) in [("photos/a.ppm", 10), ("photos/cats/b.ppm", 200)] {
        fs::write(
            at.join(name),
            [&b"P6 8 8 255\n"[..], &[level; 192]].concat(),
        )?;
    }
    fs::write(at.join("truth.csv"), "path,class_id\na.ppm,10\nb.ppm,3\n")?;
    fs::write(at.join("gate.toml"), gate)?;
    Ok(directory)
}

fn check(directory: &Path, flags: &[&str], code: i32) -> Result<Run, Failed> {
    let mut command = classify();
    command.current_dir(directory).args(["check", "-q"]);
    let result = run(command.args(flags));
    expect_code(&result, code)?;
    Ok(result)
}

const GATE: [&str; 2] = ["--config", "ci/gate.toml"];

fn example() -> Result<(), Failed> {
    let directory = files(&documented()?)?;
    let result = check(directory.path(), &GATE, 0)?;
    let verdicts = result
        .stdout
        .lines()
        .filter(|line| line.starts_with("AGREE") || line.starts_with("PASSED"));
    ensure(verdicts.count() == 2, &result)?;
    for report in ["compare.html", "compare.xml", "evaluate.json", "rows.csv"] {
        ensure(directory.path().join("ci").join(report).is_file(), report)?;
    }
    let json: Value =
        serde_json::from_slice(&fs::read(directory.path().join("ci/evaluate.json"))?)?;
    ensure(
        json["counted"] == 2 && json["runs"].as_array().map(Vec::len) == Some(2),
        &json,
    )?;
    // The default name, in the current directory.
    let at = directory.path().join("ci");
    fs::rename(at.join("gate.toml"), at.join("classify.toml"))?;
    check(&at, &[], 0).map(|_| ())
}

fn flags() -> Result<(), Failed> {
    let directory = files(&documented()?)?;
    let with = |flags: &[&str], code| check(directory.path(), &[&GATE[..], flags].concat(), code);
    // It belongs to `evaluate` alone.
    let result = with(&["--metric-min", "f1-macro=0.9"], 1)?;
    ensure(
        result.stdout.contains("AGREE")
            && result
                .stdout
                .contains("\nFAILED: rten=float.onnx: f1-macro 0.333, at least 0.9;")
            && !result.stdout.contains("hint: "),
        &result,
    )?;
    ensure(!result.stdout.contains("mcc"), &result)?;
    // Relative to the current directory, and in place of all inputs of the file.
    fs::write(
        directory.path().join("a.ppm"),
        [&b"P6 8 8 255\n"[..], &[10; 192]].concat(),
    )?;
    let result = with(&["-i", "a.ppm", "--min-truth", "0"], 0)?;
    ensure(result.stdout.contains("1 of 1 image counted"), &result)?;
    let result = with(&["--min-topp1", "1"], 2)?;
    ensure(
        result.stderr.contains("unknown key `min-topp1`") && result.stderr.contains("`min-top1`"),
        &result,
    )
}

fn worst() -> Result<(), Failed> {
    let directory = files(&documented()?)?;
    let at = directory.path().join("ci");
    // The evaluation passes, and the comparison does not.
    fs::copy(small_model("reversed.onnx"), at.join("models/int8.onnx"))?;
    let flags = [&GATE[..], &["--max-drop", "100%", "--min-top1", "0"]].concat();
    let result = check(
        directory.path(),
        &[&flags[..], &["--metric-min", "mcc=-100%"]].concat(),
        1,
    )?;
    ensure(
        result.stdout.contains("DISAGREE") && result.stdout.contains("PASSED"),
        &result,
    )
}

fn unknown() -> Result<(), Failed> {
    let directory = files(&documented()?.replace("max-drop", "max-dorp"))?;
    let result = check(directory.path(), &GATE, 2)?;
    let words = "[evaluate] has the unknown key `max-dorp`";
    ensure(
        result.stdout.is_empty()
            && result.stderr.contains(words)
            && result.stderr.contains("`max-drop`"),
        &result,
    )?;
    let result = check(directory.path(), &["--config", "nowhere.toml"], 2)?;
    let words = "cannot use nowhere.toml: there is no such file\nhint: write it: `[evaluate]`";
    ensure(result.stderr.contains(words), &result)?;
    // A link that leads nowhere is there.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.toml", directory.path().join("link.toml"))?;
        let result = check(directory.path(), &["--config", "link.toml"], 2)?;
        ensure(
            result.stderr.contains("cannot use link.toml") && !result.stderr.contains("write it"),
            &result,
        )?;
    }
    let directory = files("runs = ['rten']\ninput = ['photos']\n[evaluate]\nmin-top1 = '200%'\n")?;
    let result = check(directory.path(), &GATE, 2)?;
    ensure(
        result.stderr.contains("[evaluate]: invalid value '200%'"),
        &result,
    )
}

fn without_gate() -> Result<(), Failed> {
    let gate =
        "runs = ['rten=models/float.onnx']\ninput = ['photos']\n[evaluate]\ntruth = 'truth.csv'\n";
    let directory = files(&format!("{gate}# min-top1 = '50%'\n"))?;
    let result = check(directory.path(), &GATE, 2)?;
    ensure(
        result.stderr.contains("[evaluate] has no gate") && result.stdout.is_empty(),
        &result,
    )?;
    let flags = [&GATE[..], &["--metric-min", "ece=0.05"]].concat();
    let result = check(directory.path(), &flags, 2)?;
    let words =
        "a smaller ece is better, so it needs a maximum\nhint: pass `--metric-max ece=0.05`";
    ensure(result.stderr.contains(words), &result)
}

/// The report of `compare` would be lost.
fn shared_report() -> Result<(), Failed> {
    let directory = files(&documented()?)?;
    let flags = [&GATE[..], &["--report", "both.json"]].concat();
    let result = check(directory.path(), &flags, 2)?;
    ensure(
        result.stderr.contains("both tables write both.json")
            && result.stderr.contains("`--report {command}.json`")
            && !directory.path().join("both.json").exists(),
        &result,
    )?;
    let flags = [&GATE[..], &["--report", "{command}.json"]].concat();
    check(directory.path(), &flags, 0)?;
    for (report, key) in [("compare.json", "tolerance"), ("evaluate.json", "counted")] {
        let json: Value = serde_json::from_slice(&fs::read(directory.path().join(report))?)?;
        ensure(json.get(key).is_some(), (report, &json))?;
    }
    Ok(())
}

fn refused(directory: &Path, flags: &[&str], file: &str) -> Result<(), Failed> {
    let path = directory.join(file);
    let before = fs::read(&path).ok();
    let result = check(directory, &[&GATE[..], flags].concat(), 2)?;
    let is_named = result.stderr.contains("which is read") && result.stderr.contains(file);
    ensure(is_named && fs::read(&path).ok() == before, &result)
}

fn own_file() -> Result<(), Failed> {
    let gate = documented()?;
    let gate = gate.replace("[evaluate]\n", "record = \"gate.toml\"\n[evaluate]\n");
    let directory = files(&gate)?;
    refused(directory.path(), &[], "ci/gate.toml")
}

fn file_of_other_table() -> Result<(), Failed> {
    let gate = documented()?;
    let gate = gate.replace("\"compare.html\"", "\"truth.csv\"");
    let directory = files(&gate)?;
    refused(directory.path(), &[], "ci/truth.csv")
}

/// Otherwise the candidate would be compared with its own recording.
fn recording_of_other_table() -> Result<(), Failed> {
    let gate = documented()?;
    let gate = gate.replace(
        "[evaluate]\n",
        "record = \"last.jsonl\"\n[evaluate]\nagainst = \"last.jsonl\"\n",
    );
    let directory = files(&gate)?;
    refused(directory.path(), &[], "ci/last.jsonl")
}

/// A library that cannot be loaded would be an error of the engine.
fn code() -> Result<(), Failed> {
    let directory = files(&documented()?)?;
    let at = directory.path().join("ci");
    fs::write(at.join("evil.so"), "no library")?;
    for key in ["onnxruntime-lib", "openvino-lib", "plugins"] {
        let gate = format!("{key} = \"evil.so\"\n{}", documented()?);
        fs::write(at.join("classify.toml"), gate)?;
        let result = check(&at, &[], 2)?;
        let error =
            format!("the file has the key `{key}`, which is allowed only on the command line");
        let hint = format!("hint: pass it on the command line: `classify check --{key} FILE`");
        ensure(
            result.stdout.is_empty()
                && result.stderr.contains(&error)
                && result.stderr.contains(&hint),
            &result,
        )?;
    }
    for flags in [["--shard", "0/1"], ["--out-dir", "parts"]] {
        let result = check(directory.path(), &[&GATE[..], &flags].concat(), 2)?;
        let error = format!("the command line has `{}`, but a shard", &flags[0][2..]);
        ensure(result.stderr.contains(&error), &result)?;
    }
    Ok(())
}

fn other_kinds() -> Result<(), Failed> {
    let endings = ["annotations", "json", "md", "xml", "html", "csv"];
    let reports: Vec<String> = endings
        .iter()
        .map(|ending| format!("\"{{command}}.{ending}\""))
        .collect();
    let gate = format!(
        "runs = ['rten=models/float.onnx', 'rten=models/int8.onnx']\ninput = ['photos']\nrecursive = true\n\
         report = [{}]\nrecord = '{{command}}.jsonl'\n\
         [compare]\n[evaluate]\ntruth = 'truth.csv'\nmin-truth = 2\n",
        reports.join(", ")
    );
    let directory = files(&gate)?;
    // The second run replaces the outputs of the first one, and empty files.
    check(directory.path(), &GATE, 0)?;
    fs::write(directory.path().join("ci/compare.md"), "")?;
    check(directory.path(), &GATE, 0)?;
    for ending in endings.into_iter().chain(["jsonl"]) {
        for command in ["compare", "evaluate"] {
            let name = format!("{command}.{ending}");
            let output = directory.path().join("ci").join(&name);
            let own = fs::read(&output)?;
            fs::write(&output, "alias ls=\"rm -r\"\n")?;
            let result = check(directory.path(), &GATE, 2)?;
            let error = "the file exists and is not an earlier output of this kind";
            ensure(
                result.stdout.is_empty()
                    && result.stderr.contains(error)
                    && result.stderr.contains(&name)
                    && fs::read(&output)?.starts_with(b"alias"),
                &result,
            )?;
            fs::write(&output, own)?;
        }
    }
    for (ending, text) in [
        ("csv", "schema_version,path,class_id\n1,a.jpg,2\n"),
        ("json", "{\"mine\": {\"kind\": \"compare\"}}"),
        ("md", "On ### classify compare"),
        ("xml", "<a><testsuites name=\"classify compare\"></a>"),
        ("html", "<title>classify compare</title>"),
        ("annotations", "see ::error title=classify compare::"),
        ("parquet", "a note on PAR1 files"),
        ("parquet", "PAR1schema_version path\x08\0\0\0PAR1"),
    ] {
        let gate = format!(
            "report = 'rows.{ending}'\nruns = ['rten=models/float.onnx', 'rten=models/int8.onnx']\ninput = ['photos']\nrecursive = true\n[compare]\n"
        );
        let directory = files(&gate)?;
        let output = directory.path().join("ci").join(format!("rows.{ending}"));
        fs::write(&output, text)?;
        let result = check(directory.path(), &GATE, 2)?;
        ensure(result.stderr.contains("is not an earlier output"), &result)?;
        ensure(fs::read(&output)? == text.as_bytes(), &result)?;
        fs::remove_file(&output)?;
        check(directory.path(), &GATE, 0)?;
        check(directory.path(), &GATE, 0)?;
    }
    // What the command line names is what the user means.
    fs::write(directory.path().join("notes.md"), "notes")?;
    fs::rename(
        directory.path().join("notes.md"),
        directory.path().join("compare.md"),
    )?;
    let flags = [&GATE[..], &["--report", "{command}.md"]].concat();
    check(directory.path(), &flags, 0)?;
    let report = fs::read_to_string(directory.path().join("compare.md"))?;
    ensure(report.starts_with("### classify compare"), report)
}
