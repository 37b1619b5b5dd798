//! Errors that need a hostile file, a full disk or a closed pipe. The others are in `snapshots/errors`.

use std::io::Read as _;
use std::process::Stdio;

use classify_tests::{Needs, Run, blocks, ensure, expect_code, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_linux: [(&str, fn() -> Result<(), Failed>); 2] = [
        ("threads_that_are_refused_are_an_error", no_threads),
        (
            "threads_that_are_refused_leave_a_complete_report",
            no_threads_to_evaluate,
        ),
    ];
    let on_linux = on_linux.into_iter().filter(|_| cfg!(target_os = "linux"));
    let on_engines: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("a_full_stdout_is_named", full_stdout),
        ("models_of_other_input_types_are_run", input_kinds),
        ("names_in_a_model_are_escaped", hostile_model),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("an_image_beyond_the_budget_says_what_it_takes", over_budget),
        ("decompression_bombs_cost_no_other_image", bombs),
        ("hostile_names_and_labels_are_escaped", hostile_names),
        ("a_closed_pipe_is_no_error", closed_pipe),
    ];
    on_linux
        .chain(on_engines)
        .map(|(name, test)| engines.test(name, test))
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .collect()
}

fn classified(flags: &[&str], image: &std::path::Path) -> std::process::Command {
    let mut command = classify();
    command
        .args(["--backend", "onnx", "--color", "rgb"])
        .args(flags);
    command
        .arg("-m")
        .arg(small_model("plain.onnx"))
        .arg("-i")
        .arg(image);
    command
}

fn full_stdout() -> Result<(), Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let (_directory, image, _) = small_images()?;
    for format in ["text", "json", "csv"] {
        let mut command = classified(&["--format", format], &image);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
        let output = command.stdout(full).stderr(Stdio::piped()).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure(
            output.status.code() == Some(2) && stderr.contains("error: cannot write to stdout: "),
            (format, &stderr),
        )?;
    }
    Ok(())
}

fn input_kinds() -> Result<(), Failed> {
    let (_directory, image, _) = small_images()?;
    for model in [
        "nhwc-bytes.onnx",
        "half.onnx",
        "probabilities.onnx",
        "dynamic-batch.onnx",
    ] {
        for backend in ["openvino", "onnx"] {
            let mut command = classify();
            command
                .args(["--backend", backend, "-m"])
                .arg(small_model(model))
                .arg("-i");
            let run = run(command.arg(&image));
            expect_code(&run, 0)?;
            ensure(blocks(&run.stdout)[0].1.len() == 10, run)?;
        }
    }
    Ok(())
}

/// Images that claim 300 to 500 MB among good ones, where the whole process may have 1 GB of address space.
fn bombs() -> Result<(), Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let mut gif = b"GIF89a\xc8\x32\xc8\x32\xf0\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\xc8\x32\xc8\x32\0\x02\x02\x4c\x01\0;");
    let mut qoi = b"qoif\0\0\x32\xc8\0\0\x32\xc8\x03\0".to_vec();
    qoi.resize(100, 0);
    let bombs: [(&str, &[u8]); 5] = [
        ("a.ppm", b"P6 10000 10000 255\n"),
        ("b.pgm", b"P5 12000 12000 65535\n"),
        ("c.gif", &gif),
        ("d.qoi", &qoi),
        ("e.pbm", b"P4 13000 13000\n"),
    ];
    for (name, bytes) in bombs {
        std::fs::write(directory.path().join(name), bytes)?;
    }
    let photo = std::fs::read(set_up("photos/chelsea.png"))?;
    for place in 0..40 {
        // Bombs come in between.
        let name = format!("{}{place}.png", ['a', 'b', 'c', 'd', 'e'][place % 5]);
        std::fs::write(directory.path().join(name), &photo)?;
    }
    // KiB of addresses. OpenVINO alone needs more than the least.
    for (kib, backend) in [
        (400_000, "rten"),
        (600_000, "openvino"),
        (1_000_000, "onnx"),
        (2_000_000, "rten"),
    ] {
        let limit = format!("ulimit -v {kib} && exec \"$@\"");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &limit, "sh"]);
        command.arg(classify().get_program());
        // What a user sets has precedence.
        command.env_remove("MALLOC_ARENA_MAX");
        command.args(["--backend", backend, "--jobs", "4", "--format", "json"]);
        command.arg("-q").arg("-m");
        command.arg(set_up("models/squeezenet1.1.onnx"));
        let run = run(command.arg("-i").arg(directory.path()));
        let what = (kib, backend, &run);
        expect_code(&run, 1)?;
        ensure(run.stdout.matches("\"top\":").count() == 40, what)?;
        let refused = run.stdout.matches("too-large").count();
        // The GIF is cut short: that is found row by row, before its screen takes memory. With more memory others are
        // within the budget, and found to be cut short too.
        let damaged = run.stdout.matches("damaged-picture").count();
        let expected = if kib > 1_000_000 { 2 } else { 4 };
        ensure(refused == expected && refused + damaged == 5, what)?;
        ensure(
            run.stderr.matches("--image-memory").count() == refused,
            what,
        )?;
        ensure(run.stderr.contains("5 of 45 inputs failed"), what)?;
    }
    Ok(())
}

/// `classify` with `arguments`. Rust's threads ask for stacks that no system has: none can be started.
fn without_threads(arguments: &[&str], image: &std::path::Path) -> std::process::Command {
    let mut command = classify();
    command.env("RUST_MIN_STACK", (1_u64 << 46).to_string());
    command.env("RUST_BACKTRACE", "1");
    command.args(arguments).args(["-q", "--color", "rgb", "-m"]);
    command.arg(small_model("plain.onnx")).arg("-i").arg(image);
    command
}

/// Fails unless `run` ended with an error that has the words of the cause, and not with a panic.
fn expect_no_threads(run: &Run, cause: &str) -> Result<(), Failed> {
    expect_code(run, 2)?;
    let stderr = &run.stderr;
    ensure(stderr.contains(cause), run)?;
    ensure(
        !stderr.contains("panicked at") && !stderr.contains("backtrace"),
        run,
    )
}

fn no_threads() -> Result<(), Failed> {
    let (directory, image, _) = small_images()?;
    for backend in ["openvino", "onnx", "rten"] {
        let output = directory.path().join("results.json");
        let mut command = without_threads(&["--backend", backend], &image);
        let run = run(command.arg("-o").arg(&output));
        expect_no_threads(&run, "operating system could not start")?;
        ensure(!output.exists(), &run)?;
    }
    Ok(())
}

/// A report of what could not be evaluated is complete.
fn no_threads_to_evaluate() -> Result<(), Failed> {
    let (directory, image, _) = small_images()?;
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("truth"), "a.ppm 1\n")?;
    let mut command = without_threads(&["evaluate", "openvino", "onnx", "rten"], &image);
    command.arg("--truth").arg(at("truth"));
    let run = run(command.arg("--report").arg(at("report.json")));
    // The one that reads what the process writes.
    expect_no_threads(&run, "cannot start the process of the engine")?;
    let report = std::fs::read(at("report.json"))?;
    let report: serde_json::Value = serde_json::from_slice(&report)?;
    let runs = report["runs"].as_array().ok_or("runs")?;
    ensure(runs.len() == 3, &report)?;
    let left = std::fs::read_dir(directory.path())?.flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with(".classify"));
    ensure(left.count() == 0, directory.path())
}

/// A progressive JPEG of 768 KiB of pixels, with a budget that it does not fit.
fn over_budget() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("progressive.jpg");
    python("progressive.py", [&path])?;
    let classified = |memory: &str, code: i32| -> Result<Run, Failed> {
        let mut command = classify();
        command.args(["--backend", "rten", "--jobs", "1", "--color", "rgb", "-q"]);
        command
            .args(["--image-memory", memory, "-m"])
            .arg(small_model("plain.onnx"));
        let run = run(command.arg("-i").arg(&path));
        expect_code(&run, code)?;
        Ok(run)
    };
    classified("10M", 0)?;
    let run = classified("1M", 1)?;
    for words in [
        "its 512 x 512 pixels 768.0 KiB",
        "the coefficients of a progressive JPEG",
        "of memory, but the budget is 896.0 KiB",
        "one eighth of it is reserved",
    ] {
        ensure(run.stderr.contains(words), (words, &run))?;
    }
    Ok(())
}

fn hostile_names() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let image = directory.path().join("a\u{1b}]0;owned\u{7}.png");
    std::fs::copy(set_up("photos/chelsea.png"), &image)?;
    let missing = directory.path().join("b\u{1b}[31m.png");
    let labels = directory.path().join("labels");
    std::fs::write(&labels, "\u{1b}[2J\u{202e}x\n".repeat(1000))?;
    let mut command = classify();
    command
        .arg("--labels")
        .arg(labels)
        .arg("-i")
        .args([image, missing]);
    let run = run(&mut command);
    expect_code(&run, 1)?;
    ensure(run.stdout.contains("a\\u{1b}]0;owned"), &run)?;
    let all = [run.stdout.as_str(), run.stderr.as_str()].concat();
    ensure(!all.contains(['\u{1b}', '\u{7}', '\u{202e}']), run)
}

fn hostile_model() -> Result<(), Failed> {
    let (_directory, image, _) = small_images()?;
    for backend in ["openvino", "onnx", "rten"] {
        let mut command = classify();
        command.args(["--backend", backend, "--color", "rgb", "-m"]);
        command.arg(small_model("hostile-name.onnx")).arg("-i");
        let run = run(command.arg(&image));
        // OpenVINO takes zero for an element that is not there.
        let code = i32::from(backend != "openvino");
        expect_code(&run, code)?;
        let all = [run.stdout.as_str(), run.stderr.as_str()].concat();
        ensure(
            !all.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\r']),
            (backend, run),
        )?;
    }
    Ok(())
}

fn closed_pipe() -> Result<(), Failed> {
    let photo = set_up("photos/chelsea.png");
    let mut child = classify()
        .arg("-i")
        .args(vec![photo; 60])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 16];
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_exact(&mut first)?;
    // Our end of the pipe is closed now.
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut stderr)?;
    let code = child.wait()?.code();
    ensure(
        code == Some(0) && !stderr.contains("panicked"),
        (code, stderr),
    )
}
