//! `--isolate`: a crash, a hang or a limit of the engine costs images and not the program. Linux only.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use classify_tests::{
    Needs, Run, children_of, ensure, expect_code, photos, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{classify, copy_environment};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let mut trials = Vec::new();
    for backend in BACKENDS {
        let name = format!("isolation::{backend}_answers_as_it_does_without");
        trials.push(with_set_up.test(name, move || same(backend)));
    }
    let tests: [(&str, fn() -> Result<(), Failed>); 22] = [
        ("a_crash_costs_the_images_in_flight", crash),
        ("a_crash_ends_the_program_without_isolation", unprotected),
        ("a_hang_ends_at_the_timeout", hang),
        ("memory_beyond_the_limit_is_an_error", memory),
        ("a_killed_engine_costs_the_image_in_flight", || {
            killed("engine", false)
        }),
        ("a_killed_decoder_costs_the_image_in_flight", || {
            killed("decoder", false)
        }),
        ("an_updated_program_starts_its_engine_again", || {
            killed("engine", true)
        }),
        ("an_updated_program_starts_its_decoder_again", || {
            killed("decoder", true)
        }),
        ("a_model_may_be_above_the_current_directory", model_above),
        ("images_become_what_they_are_without", same_images),
        ("an_image_beyond_the_memory_is_an_error", large_image),
        ("compare_survives_a_crash", compare),
        ("compare_survives_a_crash_by_default", || {
            crash_by_default("compare")
        }),
        ("evaluate_survives_a_crash_by_default", || {
            crash_by_default("evaluate")
        }),
        ("compare_ends_by_a_crash_with_no_isolate", no_isolate),
        ("reports_are_equal_with_and_without_isolation", same_report),
        ("runs_of_one_engine_share_the_process", one_engine),
        ("a_run_that_cannot_be_confined_runs_here", left_out),
        ("an_engine_that_cannot_be_isolated_runs_here", fallback),
        ("what_cannot_be_isolated_is_refused", refused),
        ("flags_of_the_isolation_need_it", flags),
        ("bench_keeps_no_request_waiting", bench),
    ];
    let tests = tests.map(|(name, test)| engines.test(format!("isolation::{name}"), test));
    trials.extend(tests);
    trials
}

const BACKENDS: [&str; 3] = ["openvino", "onnx", "rten"];

/// Images of one level each, in this order.
pub fn levels(directory: &Path, levels: &[u8]) -> Result<Vec<PathBuf>, Failed> {
    let mut paths = Vec::new();
    for (number, level) in levels.iter().enumerate() {
        let path = directory.join(format!("{number:03}-{level}.ppm"));
        let bytes = [b"P6 8 8 255\n".to_vec(), vec![*level; 192]].concat();
        fs::write(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The command for a small model with one infer request, so that one image is in flight.
pub fn one_by_one(backend: &str, model: &str, images: &[PathBuf]) -> Command {
    let mut command = classify();
    command
        .args(["--backend", backend, "--requests", "1", "--color", "rgb"])
        .args([
            "--scores", "raw", "--top", "1", "--format", "csv", "--quiet",
        ])
        .arg("-m")
        .arg(small_model(model))
        .arg("-i")
        .args(images);
    command
}

/// The lines of errors about images.
pub fn errors(result: &Run) -> Vec<&str> {
    let lines = result.stderr.lines();
    lines
        .filter(|line| line.starts_with("error: ") && line.contains(".ppm"))
        .collect()
}

fn same(backend: &str) -> Result<(), Failed> {
    let mut images = photos()?;
    if backend == "rten" {
        // In debug builds it takes a second for each.
        images.truncate(4);
    }
    let results = [&[][..], &["--isolate"]].map(|isolate| {
        let mut command = classify();
        command.args(["--backend", backend, "--format", "csv", "--digits", "17"]);
        command
            .arg("-m")
            .arg(set_up("models/squeezenet1.1.onnx"))
            .arg("-i")
            .args(&images);
        run(command.args(isolate))
    });
    for result in &results {
        expect_code(result, 0)?;
    }
    let [here, isolated] = &results;
    ensure(here.stdout == isolated.stdout, (here, isolated))?;
    // The ten best classes of each, below the header.
    ensure(here.stdout.lines().count() == 1 + 10 * images.len(), here)
}

fn crash() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 0, 200, 0, 30])?;
    let result = run(one_by_one("onnx", "divides.onnx", &images).arg("--isolate"));
    expect_code(&result, 1)?;
    let errors = errors(&result);
    ensure(errors.len() == 2, &result)?;
    for (error, name) in errors.iter().zip(["001-0.ppm", "003-0.ppm"]) {
        let words = "the process of the engine was ended by SIGFPE";
        ensure(error.contains(name) && error.contains(words), &result)?;
    }
    // The others have the answers that they have alone.
    let good: Vec<_> = [0, 2, 4].map(|place| images[place].clone()).into();
    let alone = run(&mut one_by_one("onnx", "divides.onnx", &good));
    expect_code(&alone, 0)?;
    let answers = |result: &Run| -> Vec<String> {
        let lines = result.stdout.lines();
        let answers =
            lines.filter(|line| line.contains(".ppm") && !line.contains("process of the engine"));
        answers.map(str::to_owned).collect()
    };
    ensure(answers(&result) == answers(&alone), (&result, &alone))?;
    ensure(answers(&alone).len() == 3, &alone)
}

/// The model is one that needs the isolation.
fn unprotected() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 0])?;
    let result = run(&mut one_by_one("onnx", "divides.onnx", &images));
    ensure(result.code.is_none(), result)
}

fn hang() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[0, 10, 0])?;
    for backend in ["onnx", "openvino"] {
        let mut command = one_by_one(backend, "loops.onnx", &images);
        let result = run(command.args(["--isolate", "--timeout", "3"]));
        expect_code(&result, 1)?;
        let [error] = errors(&result)[..] else {
            return Err(format!("{result:#?}").into());
        };
        let words = "001-10.ppm: the process of the engine did not answer within 3s and was killed";
        ensure(error.contains(words), &result)?;
    }
    Ok(())
}

fn memory() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[0, 10, 0])?;
    // OpenVINO's request fails for the next image too when an allocation has failed: that is without isolation the same.
    for backend in ["onnx", "rten"] {
        let mut command = one_by_one(backend, "expands.onnx", &images);
        let result = run(command.args(["--isolate", "--isolate-memory", "1G"]));
        expect_code(&result, 1)?;
        let [error] = errors(&result)[..] else {
            return Err(format!("{result:#?}").into());
        };
        ensure(error.contains("001-10.ppm: "), &result)?;
        if backend == "rten" {
            let words =
                "was ended by SIGABRT (stderr: memory allocation of 2684354560 bytes failed)";
            ensure(
                error.contains(words) && error.contains("--isolate-memory"),
                &result,
            )?;
        }
    }
    Ok(())
}

/// A process is killed, after another program has taken the place of the one that runs if `is_updated`.
fn killed(work: &str, is_updated: bool) -> Result<(), Failed> {
    const IMAGES: usize = 3000;
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 200])?;
    let list = directory.path().join("list.txt");
    let lines = images.iter().map(|path| format!("{}\n", path.display()));
    fs::write(&list, lines.collect::<String>().repeat(IMAGES / 2))?;
    let installed = classify();
    let program = Path::new(installed.get_program());
    let installation = tempfile::tempdir_in(program.parent().ok_or("no directory")?)?;
    let path = installation.path().join("classify");
    fs::hard_link(program, &path)?;
    let mut command = Command::new(&path);
    copy_environment(&installed, &mut command);
    command
        .args(["--backend", "onnx", "--requests", "1", "--jobs", "1"])
        .args(["--color", "rgb", "--top", "1", "--format", "csv"])
        .args(["--isolate", "--quiet", "-m"])
        .arg(small_model("plain.onnx"))
        .arg("--input-list")
        .arg(&list);
    let mut program = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(program.stdout.take().ok_or("no stdout")?).lines();
    // In mid-run: the pipe holds back the rest.
    for _ in 0..100 {
        output.next().ok_or("no answer")??;
    }
    let [decoder, engine] = children_of(program.id())?[..] else {
        return Err("not two children".into());
    };
    if is_updated {
        fs::remove_file(&path)?;
        fs::write(&path, "another version")?;
    }
    let child = if work == "decoder" { decoder } else { engine };
    kill_process(
        Pid::from_raw(child as i32).ok_or("no process")?,
        Signal::KILL,
    )?;
    let rest: Vec<String> = output.collect::<Result<_, _>>()?;
    let result = program.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&result.stderr);
    let lost = stderr
        .lines()
        .filter(|line| line.contains(&format!("the process of the {work} was ended by SIGKILL")))
        .count();
    // None if it was between two images.
    ensure(lost <= 1, &stderr)?;
    ensure(result.status.code() == Some(lost as i32), &stderr)?;
    // One line for each image.
    ensure(100 + rest.len() == 1 + IMAGES, rest.len())
}

fn model_above() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = directory.path().join("images");
    fs::create_dir(&images)?;
    fs::copy(small_model("plain.onnx"), directory.path().join("m.onnx"))?;
    levels(&images, &[10])?;
    for model in ["../m.onnx", "../images/../m.onnx"] {
        let mut one = classify();
        let mut several = classify();
        one.args(["--backend", "rten", "--isolate", "-m", model, "-i", "."]);
        several.args(["compare", "rten", "onnx", "-m", model, "-i", "."]);
        for command in [&mut one, &mut several] {
            let command = command.args(["--color", "rgb"]).current_dir(&images);
            expect_code(&run(command), 0)?;
        }
    }
    Ok(())
}

/// Results, notes and errors, of good and of damaged images.
fn same_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let jpeg = fs::read(&photos()?[0])?;
    let mut images = photos()?;
    images.truncate(3);
    for (name, bytes) in [
        ("cut.jpg", &jpeg[..jpeg.len() / 2]),
        ("empty.png", b""),
        ("text.png", b"a text"),
        ("bomb.ppm", b"P6 99999999 99999999 255\n"),
        ("head.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0"),
        ("deep.pgm", b"P5 2 2 65535\n\0\x01\0\x02\0\x03\0\x04"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, bytes)?;
        images.push(path);
    }
    images.push(directory.path().join("none.png"));
    let results = [&[][..], &["--isolate"]].map(|isolate| {
        let mut command = one_by_one("onnx", "plain.onnx", &images);
        run(command.args(["--resize", "stretch"]).args(isolate))
    });
    for result in &results {
        expect_code(result, 1)?;
    }
    let [here, isolated] = &results;
    ensure(here.stdout == isolated.stdout, (here, isolated))?;
    ensure(here.stderr == isolated.stderr, (here, isolated))?;
    ensure(here.stderr.matches("error: ").count() == 8, here)
}

fn large_image() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut images = levels(directory.path(), &[10, 200])?;
    let large = directory.path().join("large.qoi");
    fs::write(&large, large_qoi(12_000))?;
    images.insert(1, large);
    let mut command = one_by_one("onnx", "plain.onnx", &images);
    command.args(["--resize", "stretch", "--image-memory", "4G"]);
    expect_code(&run(&mut command), 0)?;
    let result = run(command.args(["--isolate", "--isolate-memory", "500M"]));
    expect_code(&result, 1)?;
    let errors: Vec<_> = result
        .stderr
        .lines()
        .filter(|it| it.contains(".qoi"))
        .collect();
    let [error] = errors[..] else {
        return Err(format!("{result:#?}").into());
    };
    ensure(error.contains("of memory for the image"), error)?;
    ensure(error.contains("--image-memory"), error)
}

/// A QOI of `side` x `side` black pixels.
fn large_qoi(side: u32) -> Vec<u8> {
    // Runs of at most 62 pixels.
    let runs = (side * side).div_euclid(62);
    let rest = (side * side).rem_euclid(62) as u8;
    let side = side.to_be_bytes();
    let mut bytes = [b"qoif", &side[..], &side[..], &[3, 0]].concat();
    bytes.extend(vec![0xc0 | 0x3d; runs as usize]);
    if rest > 0 {
        bytes.push(0xc0 | (rest - 1));
    }
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    bytes
}

fn bench() -> Result<(), Failed> {
    let requests = |flags: &[&str]| -> Result<Value, Failed> {
        let mut command = classify();
        command
            .args(["bench", "onnx", "--inference-only", "--count", "8"])
            .args(["--rounds", "1", "--format", "json", "--quiet", "-m"])
            .arg(small_model("plain.onnx"))
            .args(flags);
        let result = run(&mut command);
        expect_code(&result, 0)?;
        let mut report: Value = serde_json::from_str(&result.stdout)?;
        Ok(report["runs"][0]["infer_requests"].take())
    };
    let (here, isolated) = (requests(&[])?, requests(&["--isolate"])?);
    ensure(here.is_u64() && here == isolated, (here, isolated))
}

fn compare() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 0, 200])?;
    let report = directory.path().join("report.json");
    let mut command = classify();
    command
        .args([
            "compare",
            "openvino",
            "onnx",
            "--isolate",
            "--requests",
            "1",
        ])
        .args(["--color", "rgb", "--scores", "raw", "--report"])
        .arg(&report)
        .arg("-m")
        .arg(small_model("divides.onnx"))
        .arg("-i")
        .args(&images);
    let result = run(&mut command);
    // Not a verdict, since an image has no answer of one run.
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("SIGFPE"), &result)?;
    ensure(result.stdout.contains("isolated (process"), &result)?;
    let report = fs::read_to_string(report)?;
    ensure(report.contains("\"isolation\": \"process"), report)
}

/// The command for several runs of a small model, with a JSON report.
pub fn several(command: &str, runs: &[&str], model: &str, images: &[PathBuf]) -> Command {
    let mut several = classify();
    several
        .arg(command)
        .args(runs)
        .args(["--requests", "1", "--color", "rgb", "--scores", "raw"])
        .arg("-m")
        .arg(small_model(model))
        .arg("-i")
        .args(images);
    if command == "evaluate" {
        let truth = images[0].with_file_name("truth.txt");
        let names = images.iter().filter_map(|path| path.file_name());
        let lines = names.map(|name| format!("{} 0\n", name.to_string_lossy()));
        fs::write(&truth, lines.collect::<String>()).expect("the directory can be written to");
        several.arg("--truth").arg(truth);
    }
    several
}

/// Runs the command. Returns its result and its report.
fn reported(command: &mut Command, directory: &Path) -> Result<(Run, Value), Failed> {
    let path = directory.join("report.json");
    let result = run(command.arg("--report").arg(&path));
    let text = fs::read_to_string(&path).map_err(|error| format!("{error}: {result:#?}"))?;
    fs::remove_file(path)?;
    Ok((result, serde_json::from_str(&text)?))
}

/// Returns the means of isolation of each run.
fn means(report: &Value) -> Vec<Option<&str>> {
    let runs = report["runs"].as_array().into_iter().flatten();
    runs.map(|run| run["facts"]["isolation"].as_str()).collect()
}

fn crash_by_default(command: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 0, 200])?;
    let mut command = several(command, &["openvino", "onnx"], "divides.onnx", &images);
    let (result, report) = reported(&mut command, directory.path())?;
    // No verdict on images without an answer.
    expect_code(&result, 2)?;
    let failed = |line: &&str| line.contains("the process of the engine was ended by SIGFPE");
    let failed: Vec<&str> = result.stderr.lines().filter(failed).collect();
    ensure(
        failed.len() == 1 && failed[0].contains("001-0.ppm"),
        &result,
    )?;
    let means = means(&report);
    let isolated = means.iter().flatten();
    let isolated = isolated.filter(|means| means.starts_with("process"));
    ensure((means.len(), isolated.count()) == (2, 2), &report)
}

fn no_isolate() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 0])?;
    let mut command = several("compare", &["openvino", "onnx"], "divides.onnx", &images);
    let result = run(command.arg("--no-isolate"));
    ensure(result.code.is_none(), result)
}

fn same_report() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 90, 200])?;
    for command in ["compare", "evaluate"] {
        let mut reports = Vec::new();
        for flags in [&[][..], &["--no-isolate"]] {
            let runs = ["openvino", "onnx", "rten"];
            let mut command = several(command, &runs, "plain.onnx", &images);
            let (result, mut report) = reported(command.args(flags), directory.path())?;
            expect_code(&result, 0)?;
            let isolated = means(&report).iter().flatten().count();
            ensure(isolated == if flags.is_empty() { 3 } else { 0 }, &report)?;
            for run in report["runs"].as_array_mut().into_iter().flatten() {
                run["facts"]
                    .as_object_mut()
                    .map(|info| info.remove("isolation"));
            }
            reports.push((report, result.stderr));
        }
        ensure(reports[0] == reports[1], reports)?;
    }
    Ok(())
}

fn one_engine() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 200])?;
    let mut command = several("compare", &["rten", "rten@f32"], "plain.onnx", &images);
    let (result, report) = reported(&mut command, directory.path())?;
    expect_code(&result, 0)?;
    ensure(means(&report) == [None, None], report)
}

/// Devices other than the CPU, a cache, and a plugins file.
fn left_out() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 200])?;
    let cache = directory.path().join("cache").display().to_string();
    for (run, flags) in [
        ("openvino:AUTO:CPU", &[][..]),
        ("openvino", &["--cache-dir", &cache]),
    ] {
        let mut command = several("compare", &[run, "rten"], "plain.onnx", &images);
        let (result, report) = reported(command.args(flags), directory.path())?;
        expect_code(&result, 0)?;
        let means = means(&report);
        ensure(means[0].is_none() && means[1].is_some(), (run, &report))?;
    }
    Ok(())
}

/// A limit on files leaves no room for the memory that two processes share.
fn fallback() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10, 200])?;
    let command = several("compare", &["onnx", "rten"], "plain.onnx", &images);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 100000 && exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    copy_environment(&command, &mut limited);
    let (result, report) = reported(&mut limited, directory.path())?;
    expect_code(&result, 0)?;
    ensure(means(&report) == [None, None], &report)?;
    for run in ["onnx", "rten"] {
        let words = format!("{run}: the engine is not isolated, so that a crash of it ends");
        ensure(result.stderr.contains(&words), &result)?;
    }
    // A request for isolation is never ignored.
    let result = run(limited.arg("--isolate"));
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("ulimit -f"), result)
}

fn refused() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let images = levels(directory.path(), &[10])?;
    for (backend, flags, words) in [
        (
            "openvino",
            &["--cache-dir", "cache"][..],
            "--isolate and --cache-dir exclude each other",
        ),
        (
            "openvino",
            &["-d", "AUTO"],
            "--isolate is available on the device CPU only, not on AUTO",
        ),
        // The child's own errors arrive.
        (
            "onnx",
            &["--streams", "2"],
            "--streams is an option of OpenVINO",
        ),
        (
            "rten",
            &["--precision", "f16"],
            "precision f16 is not available",
        ),
    ] {
        let mut command = one_by_one(backend, "plain.onnx", &images);
        command.current_dir(directory.path());
        let result = run(command.arg("--isolate").args(flags));
        expect_code(&result, 2)?;
        ensure(
            result.stderr.contains(words) && result.stderr.contains("hint: "),
            &result,
        )?;
    }
    Ok(())
}

fn flags() -> Result<(), Failed> {
    let limits = ["memory=1G", "cpu=5", "open=5"].map(|limit| format!("--isolate-{limit}"));
    for flag in limits.iter().map(String::as_str).chain(["--timeout=5"]) {
        let result = run(classify().args(["-i", "a.png", flag]));
        expect_code(&result, 2)?;
        ensure(result.stderr.contains("--isolate"), &result)?;
    }
    Ok(())
}
