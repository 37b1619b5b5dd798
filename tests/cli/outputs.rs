//! Text, JSON Lines, CSV, npz, files, terminals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, photos, python, run, small_model};
use libtest_mimic::{Failed, Trial};
use regex::Regex;
use serde_json::Value;

use crate::{classify, peak_memory, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let anywhere: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("every_shell_has_completions", completions),
        (
            "completions_have_every_command_and_flag",
            words_of_completions,
        ),
        ("the_manual_page_has_examples_and_exit_codes", manual),
        (
            "the_manual_page_has_every_command_and_flag",
            words_of_manual,
        ),
    ];
    let on_engines: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("a_file_has_what_stdout_would_have", file_of_results),
        ("a_failed_run_leaves_the_old_file", old_file),
        ("thresholds_and_all_classes", thresholds),
    ];
    let on_set_up: [(&str, fn() -> Result<(), Failed>); 7] = [
        (
            "npz_names_outputs_it_cannot_hold_before_inference",
            cannot_hold,
        ),
        ("npz_has_every_array_without_images", no_images),
        (
            "outputs_called_all_and_with_a_comma_are_saved",
            awkward_names,
        ),
        ("another_program_reads_what_is_written", read_back),
        ("numpy_reads_the_outputs_that_json_has", read_npz),
        ("a_terminal_sees_progress_and_colours", terminal),
        ("memory_does_not_grow_with_the_images", bounded_memory),
    ];
    let json = engines.scenario(
        "json_lines",
        json,
        [
            ("have_the_order_of_the_inputs", json_order),
            ("name_engine_device_and_precision", json_run),
            ("have_the_version_of_the_schema", json_version),
            ("have_either_a_result_or_an_error", json_result_or_error),
            ("have_the_classes_from_best_to_worst", json_classes),
            ("have_no_label_if_there_is_none", json_without_labels),
            ("of_the_same_image_have_the_same_classes", json_repeated),
            ("have_the_time_of_inference", json_times),
            ("have_the_codes_of_errors", json_errors),
            ("have_the_hints_of_errors", json_hints),
            ("leave_errors_on_stderr_as_well", json_errors_on_stderr),
        ],
    );
    anywhere
        .map(|(name, test)| Trial::test(name, test))
        .into_iter()
        .chain(json)
        .chain(on_engines.map(|(name, test)| engines.test(name, test)))
        .chain(on_set_up.map(|(name, test)| with_set_up.test(name, test)))
        .collect()
}

fn command(flags: &[&str]) -> Command {
    let mut command = classify();
    command.args(["--backend", "onnx", "--color", "rgb"]);
    command.args(flags).arg("-m");
    command.arg(small_model("plain.onnx")).arg("-i");
    command
}

fn lines(stdout: &str) -> Result<Vec<Value>, Failed> {
    Ok(stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

/// JSON Lines of an image, two that cannot be read, and the first one again.
struct JsonLines {
    run: Run,
    paths: [PathBuf; 4],
    lines: Vec<Value>,
}

fn json() -> Result<JsonLines, Failed> {
    let (directory, a, _) = small_images()?;
    let missing = directory.path().join("none.png");
    let cut = directory.path().join("cut.png");
    std::fs::write(&cut, b"\x89PNG\r\n\x1a\n")?;
    let paths = [a.clone(), missing, cut, a];
    let run = run(command(&["--format", "json", "--top", "2"]).args(&paths));
    expect_code(&run, 1)?;
    let lines = lines(&run.stdout)?;
    ensure(lines.len() == 4, &run)?;
    Ok(JsonLines { run, paths, lines })
}

fn json_order(all: &JsonLines) -> Result<(), Failed> {
    let mut paths = all.lines.iter().zip(&all.paths);
    let is_equal = paths.all(|(line, path)| line["path"] == path.display().to_string());
    ensure(is_equal, &all.lines)
}

fn json_run(all: &JsonLines) -> Result<(), Failed> {
    for line in &all.lines {
        ensure(
            line["backend"] == "onnx" && line["device"] == "CPU" && line["precision"] == "f32",
            line,
        )?;
    }
    Ok(())
}

fn json_version(all: &JsonLines) -> Result<(), Failed> {
    ensure(
        all.lines.iter().all(|line| line["schema_version"] == 1),
        &all.lines,
    )
}

fn json_result_or_error(all: &JsonLines) -> Result<(), Failed> {
    let is_result = |line: &Value| !line["top"].is_null();
    for (line, expected) in all.lines.iter().zip([true, false, false, true]) {
        ensure(is_result(line) == expected, line)?;
        ensure(line["error"].is_null() == expected, line)?;
    }
    Ok(())
}

fn json_classes(all: &JsonLines) -> Result<(), Failed> {
    let top = all.lines[0]["top"].as_array().ok_or("classes")?;
    ensure(
        top.len() == 2 && top[0]["score"].as_f64() >= top[1]["score"].as_f64(),
        top,
    )
}

fn json_without_labels(all: &JsonLines) -> Result<(), Failed> {
    let first = &all.lines[0]["top"][0];
    ensure(
        first["label"].is_null() && first["class_id"].is_u64(),
        first,
    )
}

fn json_repeated(all: &JsonLines) -> Result<(), Failed> {
    ensure(all.lines[0]["top"] == all.lines[3]["top"], &all.lines)
}

fn json_times(all: &JsonLines) -> Result<(), Failed> {
    let time = &all.lines[0]["timing_ms"]["infer"];
    ensure(time.is_f64(), time)
}

fn json_errors(all: &JsonLines) -> Result<(), Failed> {
    ensure(
        all.lines[1]["error"]["code"] == "cannot-read"
            && all.lines[2]["error"]["code"] == "damaged-picture",
        &all.lines,
    )
}

fn json_hints(all: &JsonLines) -> Result<(), Failed> {
    let error = &all.lines[2]["error"];
    ensure(error["hint"].is_string(), error)
}

/// Errors are on stderr as well, for those who look at the terminal.
fn json_errors_on_stderr(all: &JsonLines) -> Result<(), Failed> {
    let said = "2 of 4 inputs failed";
    ensure(all.run.stderr.contains(said), &all.run)
}

fn file_of_results() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let out = tempfile::tempdir()?;
    let target = out.path().join("results.jsonl");
    for format in ["json", "csv", "text"] {
        let flags = ["--format", format, "-o", target.to_str().unwrap()];
        let written = run(command(&flags).args([&a, &b]));
        expect_code(&written, 0)?;
        ensure(written.stdout.is_empty(), &written)?;
        let text = std::fs::read_to_string(&target)?;
        let shown = run(command(&["--format", format]).args([&a, &b]));
        let without_times = |text: &str| -> String {
            let mut lines = text.lines().map(|line| line.split("\"timing_ms\"").next());
            lines.by_ref().flatten().collect::<Vec<_>>().join("\n")
        };
        ensure(
            without_times(&text) == without_times(&shown.stdout),
            (text, shown),
        )?;
    }
    Ok(())
}

fn old_file() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let out = tempfile::tempdir()?;
    let target = out.path().join("results.jsonl");
    std::fs::write(&target, "before")?;
    let mut failing = classify();
    failing
        .args(["--backend", "onnx", "-m"])
        .arg(small_model("none.onnx"));
    failing.arg("-o").arg(&target).arg("-i").arg(&a);
    expect_code(&run(&mut failing), 2)?;
    ensure(
        std::fs::read_to_string(&target)? == "before",
        "the old file is there",
    )?;
    ensure(
        std::fs::read_dir(out.path())?.count() == 1,
        "nothing else is there",
    )
}

fn thresholds() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let scores = |flags: &[&str]| -> Result<Vec<f64>, Failed> {
        let run = run(command(&[&["--format", "json"], flags].concat()).arg(&a));
        expect_code(&run, 0)?;
        let top = lines(&run.stdout)?[0]["top"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(top
            .iter()
            .filter_map(|class| class["score"].as_f64())
            .collect())
    };
    let all = scores(&["--top", "all"])?;
    ensure(all.len() == 12 && all.is_sorted_by(|a, b| a >= b), &all)?;
    ensure((all.iter().sum::<f64>() - 1.0).abs() < 1e-5, &all)?;
    let threshold = all[4].to_string();
    let above = scores(&["--top", "all", "--threshold", &threshold])?;
    ensure(
        above == all[..above.len()] && (4..=6).contains(&above.len()),
        &above,
    )?;
    ensure(
        scores(&["--threshold", "1.5"])?.is_empty(),
        "no class has that",
    )
}

/// Python's `json` and `csv` find in the files what the text says.
fn read_back() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let photos = photos()?;
    let missing = directory.path().join("=none, \"quoted\".jpg");
    let labels = directory.path().join("labels");
    std::fs::write(
        &labels,
        (0..1000)
            .map(|n| format!("=name, \"{n}\""))
            .collect::<Vec<_>>()
            .join("\n"),
    )?;
    let mut files = Vec::new();
    for format in ["text", "json", "csv"] {
        let file = directory.path().join(format);
        let mut command = classify();
        command.args(["--digits", "7", "-q", "--format", format, "--labels"]);
        command.arg(&labels).arg("-o").arg(&file);
        command.arg("-i").args(&photos[..3]).arg(&missing);
        expect_code(&run(&mut command), 1)?;
        files.push(file);
    }
    let said = python("read_back.py", &files)?;
    ensure(said == "3 images, 30 classes, 1 error\n", said)
}

/// `NumPy` finds in an archive what the JSON of the same images says, whatever the batch. One image fails. An output has a
/// slash at the beginning of its name, and one is of integers.
fn read_npz() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let photos = photos()?;
    let missing = directory.path().join("none.jpg");
    for (model, batch, backend, outputs, expected) in [
        (
            "three-outputs-other.onnx",
            "1",
            "openvino",
            "all",
            "5 images, 1 error, /map/Conv_output_0, feature_vector, logits\n",
        ),
        (
            "three-outputs-other.onnx",
            "3",
            "onnx",
            "/map/Conv_output_0,logits",
            "5 images, 1 error, /map/Conv_output_0, logits\n",
        ),
        (
            "three-outputs.onnx",
            "2",
            "rten",
            "feature_vector",
            "5 images, 1 error, feature_vector\n",
        ),
        (
            "label-and-probabilities.onnx",
            "1",
            "onnx",
            "all",
            "5 images, 1 error, label, probabilities\n",
        ),
    ] {
        let mut files = Vec::new();
        for format in ["json", "npz"] {
            let file = directory.path().join(format);
            let mut command = classify();
            command.args([
                "-q",
                "--backend",
                backend,
                "--batch",
                batch,
                "--color",
                "rgb",
            ]);
            command.args(["--save-outputs", outputs, "--format", format, "-o"]);
            command.arg(&file).arg("-m").arg(small_model(model));
            command.arg("-i").args(&photos[..2]).arg(&missing);
            expect_code(&run(command.args(&photos[2..5])), 1)?;
            files.push(file);
        }
        let said = python("read_npz.py", &files)?;
        ensure(said == expected, said)?;
    }
    Ok(())
}

/// Runs a model of `awkward_outputs.py` on images, with the results in a file.
fn saving(directory: &Path, model: &str, outputs: &str, format: &str, images: &[PathBuf]) -> Run {
    let mut command = classify();
    command.args(["--backend", "onnx", "--color", "rgb", "--format", format]);
    command
        .args(["--save-outputs", outputs, "-o"])
        .arg(directory.join(format));
    command.arg("-m").arg(directory.join(model)).arg("-i");
    run(command.args(images))
}

/// The image does not exist: an error that it causes would come first.
fn cannot_hold() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("awkward_outputs.py", [directory.path()])?;
    let images = [directory.path().join("none.jpg")];
    let refused = saving(directory.path(), "own.onnx", "all", "npz", &images);
    expect_code(&refused, 2)?;
    let words = "best_class has the name of an array that npz has anyway";
    ensure(
        refused.stderr.contains(words) && !refused.stderr.contains("none.jpg"),
        refused,
    )
}

fn no_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("awkward_outputs.py", [directory.path()])?;
    let images = [directory.path().join("none.jpg")];
    expect_code(
        &saving(directory.path(), "all.onnx", "all", "npz", &images),
        1,
    )?;
    let archive = std::fs::read(directory.path().join("npz"))?;
    for words in ["logits.npy", "all.npy", "'shape': (0, 12, )"] {
        let is_there = archive
            .windows(words.len())
            .any(|bytes| bytes == words.as_bytes());
        ensure(is_there, words)?;
    }
    Ok(())
}

fn awkward_names() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("awkward_outputs.py", [directory.path()])?;
    let images = &photos()?[..1];
    for (model, outputs, expected) in [
        ("all.onnx", "\\all", &["all"][..]),
        ("all.onnx", "all", &["all", "logits"]),
        ("comma.onnx", "a\\,b", &["a,b"]),
        ("comma.onnx", "logits,a\\,b", &["a,b", "logits"]),
    ] {
        let saved = saving(directory.path(), model, outputs, "json", images);
        expect_code(&saved, 0)?;
        let text = std::fs::read_to_string(directory.path().join("json"))?;
        let answer: Value = serde_json::from_str(&text)?;
        let names = answer["outputs"].as_object().ok_or("no outputs")?;
        let mut names: Vec<&str> = names.keys().map(String::as_str).collect();
        names.sort_unstable();
        ensure(names == expected, (outputs, names))?;
    }
    Ok(())
}

/// A terminal gets colours, a pipe gets none, and a reader that closes the pipe ends the program without an error.
fn terminal() -> Result<(), Failed> {
    let photos = photos()?;
    let program = env!("CARGO_BIN_EXE_classify");
    let model = small_model("plain.onnx");
    let seen = |arguments: &[&str], last: &str| -> Result<String, Failed> {
        let fixed = [
            "--backend",
            "onnx",
            "--color",
            "rgb",
            "-m",
            model.to_str().unwrap(),
            "-i",
        ];
        let photos = photos[..4].iter().map(|path| path.to_str().unwrap());
        let arguments = arguments
            .iter()
            .copied()
            .chain([program])
            .chain(fixed)
            .chain(photos);
        python("terminal.py", arguments.chain([last]))
    };
    let coloured = seen(&[], "/no/such.jpg")?;
    ensure(
        coloured.contains("images,") && coloured.contains(" left"),
        &coloured,
    )?;
    ensure(coloured.contains("\u{1b}[1m\u{1b}[31merror"), &coloured)?;
    let plain = seen(&["NO_COLOR=1"], "/no/such.jpg")?;
    ensure(
        plain.contains("error: /no/such.jpg") && !plain.contains("\u{1b}[31m"),
        plain,
    )?;
    let first_image = ["sh", "-c", "\"$@\" | head -9", "sh"];
    let cleared = seen(&first_image, photos[4].to_str().unwrap())?;
    ensure(
        cleared.contains("images,") && cleared.ends_with("\u{1b}[2K"),
        cleared,
    )
}

/// The shells with the beginnings of their scripts.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "_classify() {\n"),
    ("zsh", "#compdef classify\n"),
    ("fish", "#"),
    ("powershell", "\nusing namespace"),
    ("elvish", "\nuse builtin;\n"),
];

fn completions() -> Result<(), Failed> {
    for (shell, begins) in SHELLS {
        let run = run(classify().args(["completions", shell]));
        expect_code(&run, 0)?;
        ensure(run.stdout.starts_with(begins), &run)?;
    }
    Ok(())
}

fn words_of_completions() -> Result<(), Failed> {
    let words = words_of_help()?;
    for (shell, _) in SHELLS {
        let script = run(classify().args(["completions", shell])).stdout;
        let missing: Vec<&String> = words
            .iter()
            .filter(|word| !script.contains(*word))
            .collect();
        ensure(missing.is_empty(), (shell, missing))?;
    }
    Ok(())
}

/// Returns the subcommands and the long flags, without their hyphens, of the help of every command.
fn words_of_help() -> Result<BTreeSet<String>, Failed> {
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?--([a-z][a-z-]+)")?;
    let subcommand = Regex::new(r"(?m)^  ([a-z]+)  ")?;
    let named = |pattern: &Regex, text: &str| -> BTreeSet<String> {
        let found = pattern.captures_iter(text);
        found.map(|found| found[1].to_owned()).collect()
    };
    let help = run(classify().arg("--help")).stdout;
    let mut words = named(&flag, &help);
    let commands = named(&subcommand, &help);
    ensure(commands.len() >= 7, &commands)?;
    for command in commands {
        let help = run(classify().args([&command, "--help"])).stdout;
        words.extend(named(&flag, &help));
        words.insert(command);
    }
    ensure(words.len() > 60, &words)?;
    Ok(words)
}

fn manual() -> Result<(), Failed> {
    let page = run(classify().arg("man"));
    expect_code(&page, 0)?;
    for text in [".TH classify", ".SH EXAMPLES", "EXIT STATUS"] {
        ensure(page.stdout.contains(text), (text, &page.stdout))?;
    }
    Ok(())
}

fn words_of_manual() -> Result<(), Failed> {
    let page = run(classify().arg("man")).stdout.replace('\\', "");
    let words = words_of_help()?;
    let missing: Vec<&String> = words.iter().filter(|word| !page.contains(*word)).collect();
    ensure(missing.is_empty(), missing)
}

fn bounded_memory() -> Result<(), Failed> {
    let peak = |pairs: usize| {
        let mut command = classify();
        command.args(["--backend", "onnx", "--color", "rgb", "--quiet", "-m"]);
        command.arg(small_model("plain.onnx"));
        peak_memory(command, pairs)
    };
    let (few, many) = (peak(50)?, peak(2_500)?);
    println!("100 images {few} KiB, 5,000 images {many} KiB");
    ensure(many < few * 1.05, (few, many))
}
