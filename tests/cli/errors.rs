//! Messages and exit codes of errors.

use std::io::Read as _;
use std::process::Stdio;

use classify_tests::{Needs, Run, blocks, ensure, expect_code, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let anywhere: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("usage_errors_exit_2", usage),
        ("help_has_examples", help),
        ("a_missing_engine_lists_where_it_looked", missing_engine),
    ];
    let on_engines: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("a_layout_that_the_model_lacks_names_its_own", other_layout),
        ("a_full_stdout_is_named", full_stdout),
        ("a_dangling_link_is_named_once", dangling_link),
        ("the_rows_of_inspect_have_columns", columns),
        ("an_unusable_model_or_device_exits_2", unusable),
        ("an_ir_on_onnx_runtime_names_the_onnx", ir_on_onnx),
        ("what_is_not_a_number_never_ranks", not_a_number),
        ("preprocessing_flags_are_checked", preprocessing),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("an_image_beyond_the_budget_says_what_it_takes", over_budget),
        ("a_bad_image_costs_one_line", bad_images),
        ("decompression_bombs_cost_no_other_image", bombs),
        ("hostile_names_and_labels_are_escaped", hostile_names),
        ("a_closed_pipe_is_no_error", closed_pipe),
    ];
    anywhere
        .map(|(name, test)| Trial::test(name, test))
        .into_iter()
        .chain(on_engines.map(|(name, test)| engines.test(name, test)))
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

fn other_layout() -> Result<(), Failed> {
    let (_folder, image, _) = small_images()?;
    let run = run(&mut classified(&["--layout", "NHWC"], &image));
    expect_code(&run, 2)?;
    ensure(
        run.stderr.contains(
            "the layout is NHWC by --layout, but the model's input f32[1, 3, 8, 8] is NCHW",
        ) && run.stderr.contains("hint: leave --layout out"),
        &run,
    )?;
    // A note on the convention names what is assumed, and nothing else.
    ensure(!run.stderr.contains("BGR"), run)
}

fn full_stdout() -> Result<(), Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let (_folder, image, _) = small_images()?;
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

fn dangling_link() -> Result<(), Failed> {
    #[cfg(unix)]
    {
        let (folder, _, _) = small_images()?;
        let link = folder.path().join("link.png");
        std::os::unix::fs::symlink("/nowhere/cat.png", &link)?;
        for input in [folder.path(), &link] {
            let run = run(&mut classified(&["-q"], input));
            expect_code(&run, 1)?;
            let named = run.stderr.matches("link.png").count();
            ensure(
                named == 1 && run.stderr.contains("link.png: cannot be read: "),
                &run,
            )?;
        }
    }
    Ok(())
}

fn columns() -> Result<(), Failed> {
    let model = small_model("cases/multilabel_sigmoid.onnx");
    let run = run(classify()
        .args(["inspect", "--backend", "onnx", "-m"])
        .arg(model));
    expect_code(&run, 0)?;
    let rows: Vec<&str> = run
        .stdout
        .lines()
        .skip_while(|line| !line.is_empty())
        .skip(1)
        .collect();
    let column = |by: &str| rows.iter().find_map(|row| row.find(by));
    let scores = column("the model's last operator, Sigmoid");
    ensure(
        scores.is_some()
            && scores == column("the model's input")
            && scores == column("convention of"),
        &run,
    )
}

fn usage() -> Result<(), Failed> {
    for (arguments, said) in [
        (&[][..], "--input"),
        (&["-i", "a.jpg", "--top", "0"], "at least 1, or all"),
        (&["-i", "a.jpg", "--mean", "1,2"], "three numbers"),
        (&["-i", "a.jpg", "--resize", "squash"], "short:256"),
        (&["-i", "a.jpg", "--backend", "tensorrt"], "openvino"),
        (&["-i", "a.jpg", "--device"], "value"),
        (
            &["-i", "a.jpg", "-m", "m.onnx", "--crop", "224"],
            "short:256 --crop 224",
        ),
    ] {
        let run = run(classify().args(arguments));
        expect_code(&run, 2)?;
        ensure(run.stdout.is_empty() && run.stderr.contains(said), run)?;
    }
    Ok(())
}

fn help() -> Result<(), Failed> {
    for flag in ["-h", "--help"] {
        let run = run(classify().arg(flag));
        expect_code(&run, 0)?;
        for text in [
            "Examples:",
            "--backend",
            "--openvino-lib",
            "Exit codes:",
            "HETERO:GPU,CPU",
        ] {
            ensure(run.stdout.contains(text), (text, &run))?;
        }
    }
    Ok(())
}

fn missing_engine() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for (backend, pip, flag) in [
        (
            "openvino",
            "pip install openvino==2026.4.1",
            "--openvino-lib",
        ),
        (
            "onnx",
            "pip install onnxruntime==1.31.1",
            "--onnxruntime-lib",
        ),
    ] {
        let mut command = classify();
        // No environment, no set-up: only the system's folders are left, where a developer's
        // machine may have one.
        command
            .env_remove("VIRTUAL_ENV")
            .env_remove("CONDA_PREFIX")
            .env_remove("LD_LIBRARY_PATH");
        command.env("CLASSIFY_HOME", folder.path());
        command
            .args(["--backend", backend, "-i", "a.jpg", "-m"])
            .arg(small_model("plain.onnx"));
        let missing = run(&mut command);
        expect_code(&missing, 2)?;
        for text in [
            "was not found; looked in:",
            "VIRTUAL_ENV",
            "system's library",
            "cargo setup",
            pip,
            flag,
        ] {
            ensure(missing.stderr.contains(text), (text, &missing))?;
        }
        // Named, not taken; and only where it could do the work.
        let named = missing.stderr.contains("`--backend rten`");
        ensure(named == (backend == "openvino"), &missing)?;
        let mut command = classify();
        command.args([
            "-i",
            "a.jpg",
            "--backend",
            backend,
            flag,
            "/no/such/lib.so",
            "-m",
        ]);
        let wrong = run(command.arg(small_model("plain.onnx")));
        expect_code(&wrong, 2)?;
        ensure(
            wrong.stderr.contains("/no/such/lib.so does not exist"),
            wrong,
        )?;
    }
    let mut command = classify();
    command
        .env("CLASSIFY_HOME", folder.path())
        .args(["-i", "a.jpg"]);
    let no_model = run(&mut command);
    expect_code(&no_model, 2)?;
    ensure(no_model.stderr.contains("hint: pass `-m MODEL`"), no_model)
}

fn unusable() -> Result<(), Failed> {
    let (_folder, image, _) = small_images()?;
    for (model, flags, said) in [
        ("none.onnx", &[][..], "cannot be read"),
        ("two-inputs.onnx", &[], "2 inputs"),
        ("two-outputs.onnx", &["--backend", "onnx"], "2 outputs"),
        ("double.onnx", &[], "needs [N, 3, height, width]"),
        ("plain.onnx", &["-d", "MYRIAD"], "2023.0"),
        ("plain.onnx", &["-d", "HETERO"], "HETERO:GPU,CPU"),
        (
            "plain.onnx",
            &["-d", "GPU", "--backend", "onnx"],
            "available: CPU",
        ),
        (
            "plain.onnx",
            &["--precision", "bf16", "--backend", "onnx"],
            "--precision f32",
        ),
        (
            "plain.onnx",
            &["--streams", "2", "--backend", "onnx"],
            "--streams",
        ),
    ] {
        let run = run(classify()
            .args(flags)
            .arg("-m")
            .arg(small_model(model))
            .arg("-i")
            .arg(&image));
        expect_code(&run, 2)?;
        let last = run.stderr.lines().last().unwrap_or_default();
        ensure(run.stderr.contains(said) && last.starts_with("hint: "), run)?;
    }
    Ok(())
}

fn ir_on_onnx() -> Result<(), Failed> {
    let (_folder, image, _) = small_images()?;
    let mut command = classify();
    command
        .args(["--backend", "onnx", "-m"])
        .arg(small_model("plain.xml"))
        .arg("-i")
        .arg(image);
    let run = run(&mut command);
    expect_code(&run, 2)?;
    ensure(run.stderr.contains("plain.onnx"), run)
}

fn not_a_number() -> Result<(), Failed> {
    let (_folder, a, b) = small_images()?;
    for backend in ["openvino", "onnx"] {
        let mut command = classify();
        command
            .args(["-q", "--backend", backend, "-m"])
            .arg(small_model("not-a-number.onnx"));
        let run = run(command.arg("-i").args([&a, &b]));
        expect_code(&run, 1)?;
        ensure(
            run.stdout.is_empty() && run.stderr.contains("not finite"),
            &run,
        )?;
        ensure(
            run.stderr.contains("a.ppm") && run.stderr.contains("2 of 2 inputs failed"),
            run,
        )?;
    }
    Ok(())
}

fn preprocessing() -> Result<(), Failed> {
    let (_folder, image, _) = small_images()?;
    for (model, flags, said) in [
        ("nhwc-bytes.onnx", &["--mean", "1,2,3"][..], "u8"),
        ("plain.onnx", &["--scale", "1,0,1"], "no scale 0"),
        (
            "plain.onnx",
            &["--resize", "short:4"],
            "smaller than the model's input",
        ),
        (
            "plain.onnx",
            &["--resize", "short:9", "--crop", "7"],
            "8 x 8",
        ),
        (
            "plain.onnx",
            &["--resize", "crop", "--crop-fraction", "1.5"],
            "at most 1",
        ),
        ("plain.onnx", &["--crop-fraction", "0.5"], "--resize crop"),
    ] {
        let run = run(classify()
            .args(flags)
            .arg("-m")
            .arg(small_model(model))
            .arg("-i")
            .arg(&image));
        expect_code(&run, 2)?;
        ensure(run.stderr.contains(said), run)?;
    }
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

/// Missing, empty, truncated, not an image, a folder, a named pipe, a bomb: each costs one line.
/// Images that claim 300 to 500 MB among good ones, where the whole process may have 1 GB of address space.
fn bombs() -> Result<(), Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
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
        std::fs::write(folder.path().join(name), bytes)?;
    }
    let photo = std::fs::read(set_up("photos/chelsea.png"))?;
    for place in 0..40 {
        // Bombs come in between.
        let name = format!("{}{place}.png", ['a', 'b', 'c', 'd', 'e'][place % 5]);
        std::fs::write(folder.path().join(name), &photo)?;
    }
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 1000000 && exec \"$@\"", "sh"]);
    command.arg(classify().get_program());
    command.args(["--backend", "rten", "--jobs", "4", "--format", "json", "-q"]);
    command.arg("-m").arg(set_up("models/squeezenet1.1.onnx"));
    let run = run(command.arg("-i").arg(folder.path()));
    expect_code(&run, 1)?;
    ensure(run.stdout.matches("\"top\":").count() == 40, &run)?;
    ensure(run.stdout.matches("too-large").count() == 5, &run)?;
    ensure(run.stderr.matches("--image-memory").count() == 5, &run)?;
    ensure(run.stderr.contains("5 of 45 inputs failed"), &run)
}

/// A progressive JPEG of 768 KiB of pixels, with a budget that it does not fit.
fn over_budget() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("progressive.jpg");
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
        "an eighth of which is kept",
    ] {
        ensure(run.stderr.contains(words), (words, &run))?;
    }
    Ok(())
}

fn bad_images() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let good = set_up("photos/chelsea.png");
    let photo = std::fs::read(&good)?;
    std::fs::write(at("empty.jpg"), b"")?;
    std::fs::write(at("cut.png"), &photo[..photo.len() / 3])?;
    let jpeg = std::fs::read(set_up("photos/rocket.jpg"))?;
    std::fs::write(at("cut.jpg"), &jpeg[..jpeg.len() / 10])?;
    std::fs::write(at("text.jpg"), b"this is no image")?;
    std::fs::write(at("bomb.pgm"), b"P5 100000 100000 255\n")?;
    std::fs::create_dir(at("folder.jpg"))?;
    let bad = [
        "none.jpg",
        "empty.jpg",
        "cut.png",
        "cut.jpg",
        "text.jpg",
        "bomb.pgm",
        "folder.jpg",
    ];
    let mut inputs = vec![good.clone()];
    inputs.extend(bad.map(&at));
    if cfg!(unix) {
        let pipe = at("pipe.jpg");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
        ensure(made.success(), made)?;
        inputs.push(pipe);
    }
    inputs.push(good);
    for backend in ["openvino", "onnx"] {
        let run = run(classify()
            .args(["--backend", backend, "-q", "-i"])
            .args(&inputs));
        expect_code(&run, 1)?;
        ensure(blocks(&run.stdout).len() == 2, &run)?;
        let lines: Vec<&str> = run.stderr.lines().collect();
        let failed = inputs.len() - 2;
        ensure(lines.len() == failed + 1, &run)?;
        for (line, path) in lines.iter().zip(&inputs[1..=failed]) {
            ensure(
                line.starts_with(&format!("error: {}: ", path.display())),
                &run,
            )?;
        }
        ensure(
            lines[failed] == format!("error: {failed} of {} inputs failed", inputs.len()),
            &run,
        )?;
    }
    Ok(())
}

fn hostile_names() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("a\u{1b}]0;owned\u{7}.png");
    std::fs::copy(set_up("photos/chelsea.png"), &image)?;
    let missing = folder.path().join("b\u{1b}[31m.png");
    let labels = folder.path().join("labels");
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
