//! `--stream`: an answer for each line of stdin, while the model stays loaded.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use data_encoding::BASE64;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 23] = [
        ("a_line_of_a_stream_may_be_a_path", paths),
        ("a_line_of_a_stream_may_be_an_object", objects),
        ("base64_of_a_file_has_the_files_answer", image),
        ("pixels_have_the_answer_of_their_file", pixels),
        ("an_id_of_null_is_no_id", null_id),
        (
            "a_guessed_preprocessing_is_a_warning_in_a_quiet_stream",
            quiet_guess,
        ),
        ("a_bad_line_is_an_answer_and_no_end", bad_lines),
        ("every_bad_line_says_what_is_wrong", reasons),
        ("an_id_is_known_though_its_line_is_cut", cut_line),
        ("a_line_above_the_limit_is_an_answer", long_line),
        ("stream_reports_no_line_on_stderr", silent),
        ("an_empty_stream_is_no_error", empty),
        ("each_line_is_answered_before_the_next_is_sent", ping_pong),
        (
            "a_bad_first_line_is_answered_before_scores_are_decided",
            bad_first,
        ),
        ("an_error_of_a_list_waits_for_no_other_image", early_error),
        ("a_batch_does_not_wait_for_lines", batch),
        ("the_first_output_decides_scores_of_a_stream", first_decides),
        ("two_thousand_lines_are_answered_in_order", many),
        ("a_stream_ends_with_its_reader", broken_pipe),
        ("a_reader_that_stops_stops_the_stream", stopped_reader),
        ("a_stream_answers_in_json_only", formats),
        ("a_stream_takes_no_other_images", conflicts),
        ("a_stream_answers_with_saved_outputs", saved),
    ];
    let trials = tests.map(|(name, test)| Needs::nothing().test(name, test));
    #[cfg(unix)]
    let trials = {
        let signals: [(&str, fn() -> Result<(), Failed>); 2] = [
            ("ctrl_c_ends_a_stream_that_waits", unix::waiting),
            ("ctrl_c_answers_what_is_under_way", unix::working),
        ];
        let signals = signals.map(|(name, test)| Needs::nothing().test(name, test));
        trials.into_iter().chain(signals)
    };
    trials.into_iter().collect()
}

/// The longest wait for an answer. Only a stream that hangs takes it.
const PATIENCE: Duration = Duration::from_mins(2);

fn command(model: &str) -> Command {
    let mut command = classify();
    command.args(["--backend", "rten", "--color", "rgb", "--stream", "-m"]);
    command.arg(small_model(model));
    command
}

/// Sends `input` as a whole, and returns the answers of a stream that ends well.
fn answers(command: &mut Command, input: impl Into<Vec<u8>>) -> Result<Vec<Value>, Failed> {
    let run = sent(command, input)?;
    expect_code(&run, 0)?;
    lines(&run)
}

fn lines(run: &Run) -> Result<Vec<Value>, Failed> {
    let lines = run.stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

fn sent(command: &mut Command, input: impl Into<Vec<u8>>) -> Result<Run, Failed> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), input.into())?;
    Ok(run(command.stdin(std::fs::File::open(file.path())?)))
}

/// A client that sends lines and reads answers.
struct Client {
    child: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<String>,
}

impl Client {
    fn new(command: &mut Command) -> Result<Self, Failed> {
        let mut child = spawn(command)?;
        let stdin = child.stdin.take().expect("a pipe");
        let lines = lines_of(&mut child);
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            answers,
        })
    }

    fn send(&mut self, line: impl std::fmt::Display) -> Result<(), Failed> {
        Ok(writeln!(self.stdin, "{line}")?)
    }

    fn receive(&self) -> Result<Value, Failed> {
        let line = self.answers.recv_timeout(PATIENCE)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends the input and returns the exit code.
    fn end(mut self) -> Result<Option<i32>, Failed> {
        drop(self.stdin);
        ensure(self.answers.recv_timeout(PATIENCE).is_err(), "one more")?;
        Ok(self.child.wait()?.code())
    }
}

fn spawn(command: &mut Command) -> Result<Child, Failed> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.stderr(Stdio::null()).spawn()?)
}

fn lines_of(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().expect("a pipe")).lines()
}

/// The answer without what differs between two images with the same pixels.
fn of_pixels(mut answer: Value) -> Value {
    let object = answer.as_object_mut().expect("an object");
    for key in ["line", "id", "path", "timing_ms"] {
        object.remove(key);
    }
    answer
}

fn object_of(path: &Path, id: impl Into<Value>) -> Value {
    json!({"id": id.into(), "path": path.to_string_lossy()})
}

/// The result of `-i` in JSON.
fn by_file(path: &Path) -> Result<Value, Failed> {
    let mut command = classify();
    command.args(["--backend", "rten", "--color", "rgb", "--format", "json"]);
    command.arg("-m").arg(small_model("plain.onnx"));
    let run = run(command.arg("-i").arg(path));
    expect_code(&run, 0)?;
    Ok(serde_json::from_str(&run.stdout)?)
}

fn paths() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    // The last line has no end.
    let input = format!("{}\r\n{}", a.display(), b.display());
    let answers = answers(&mut command("plain.onnx"), input)?;
    for (index, (answer, path)) in answers.iter().zip([&a, &b]).enumerate() {
        ensure(answer["line"] == index + 1, answer)?;
        ensure(answer["path"] == path.to_string_lossy().as_ref(), answer)?;
        ensure(
            of_pixels(answer.clone()) == of_pixels(by_file(path)?),
            answer,
        )?;
    }
    ensure(
        answers.len() == 2 && answers[0].get("id").is_none(),
        answers,
    )
}

fn objects() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let ids = [
        json!("ä\n\"x\""),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(7),
    ];
    let input = [&a, &b, &a, &b]
        .iter()
        .zip(&ids)
        .map(|(path, id)| format!(" {}\n", object_of(path, id.clone())))
        .collect::<Vec<_>>()
        .concat();
    let answers = answers(&mut command("plain.onnx"), input)?;
    ensure(answers.len() == ids.len(), &answers)?;
    for ((answer, id), path) in answers.iter().zip(&ids).zip([&a, &b, &a, &b]) {
        ensure(answer["id"] == *id, (answer, id))?;
        ensure(
            of_pixels(answer.clone()) == of_pixels(by_file(path)?),
            answer,
        )?;
    }
    Ok(())
}

fn image() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let text = BASE64.encode(&std::fs::read(&a)?);
    // PHP and others escape slashes.
    let escaped = format!(
        "{{\"image\": \"{}\"}}",
        text.replace('/', "\\/").replace('C', "\\u0043")
    );
    let input = format!("{}\n{escaped}\n", json!({"image": text}));
    let expected = of_pixels(by_file(&a)?);
    for answer in answers(&mut command("plain.onnx"), input)? {
        ensure(answer.get("path").is_none(), &answer)?;
        ensure(of_pixels(answer.clone()) == expected, (answer, &expected))?;
    }
    Ok(())
}

fn pixels() -> Result<(), Failed> {
    // Not square, and no pixel like another: neither transposed nor in another order of channels.
    let rgb: Vec<u8> = (0..180_u8).map(|value| value.wrapping_mul(37)).collect();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("image.ppm");
    std::fs::write(&path, [&b"P6 12 5 255\n"[..], &rgb].concat())?;
    let line = json!({"pixels": BASE64.encode(&rgb), "width": 12, "height": 5});
    let answer = answers(&mut command("plain.onnx"), line.to_string())?.remove(0);
    ensure(
        of_pixels(answer.clone()) == of_pixels(by_file(&path)?),
        answer,
    )
}

fn null_id() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let line = object_of(&a, Value::Null).to_string();
    let answers = answers(&mut command("plain.onnx"), line)?;
    let [answer] = &answers[..] else {
        return Err(format!("{answers:?}").into());
    };
    ensure(answer.get("id").is_none(), answer)?;
    ensure(answer["top"].is_array(), answer)
}

fn quiet_guess() -> Result<(), Failed> {
    let mut command = classify();
    command.args(["--backend", "rten", "--stream", "--quiet", "-m"]);
    let run = sent(command.arg(small_model("plain.onnx")), "")?;
    expect_code(&run, 0)?;
    ensure(
        run.stderr
            .starts_with("warning: the model and its files do not state the color"),
        &run,
    )
}

fn bad_lines() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let good = object_of(&a, 1);
    let none = directory.path().join("none.ppm");
    let bad = ["", "{", "{}", "\u{fe}", &*none.to_string_lossy()];
    let input = bad
        .iter()
        .map(|bad| format!("{bad}\n{good}\n"))
        .collect::<Vec<_>>()
        .concat();
    let answers = answers(&mut command("plain.onnx"), input)?;
    ensure(answers.len() == 2 * bad.len(), &answers)?;
    for pair in answers.chunks(2) {
        let is_error = pair[0]["error"]["message"].is_string() && pair[0].get("top").is_none();
        ensure(is_error && pair[1]["top"].is_array(), pair)?;
    }
    Ok(())
}

fn reasons() -> Result<(), Failed> {
    let cases = [
        ("", "the line is empty"),
        (
            r#"{"id": 1"#,
            "the line is not a JSON object: EOF while parsing an object, at byte 8",
        ),
        (
            r#"{"path": "a"} {}"#,
            "the line is not a JSON object: trailing characters, at byte 15",
        ),
        (
            r#"{"id": 1}"#,
            "the line has no `path`, `image` or `pixels`",
        ),
        (
            r#"{"path": "a", "image": ""}"#,
            "the line has more than one of `path`, `image` and `pixels`",
        ),
        (
            r#"{"path": "a", "size": 5}"#,
            "unknown key `size`; the keys are `id`, `path`, `image`, `pixels`, `width`, `height`",
        ),
        (
            r#"{"path": "a", "path": "b"}"#,
            "the key `path` occurs twice",
        ),
        (r#"{"path": ["a"]}"#, "`path` is `[\"a\"]`, expected text"),
        (
            r#"{"id": 1.5, "path": "a"}"#,
            "`id` is `1.5`, expected text or an integer",
        ),
        (
            r#"{"id": [null], "path": "a"}"#,
            "`id` is `[null]`, expected text or an integer",
        ),
        (
            r#"{"image": "AAA"}"#,
            "`image` is not base64: invalid length at 0",
        ),
        (
            r#"{"image": "AA*A"}"#,
            "`image` is not base64: invalid symbol at 2",
        ),
        (r#"{"image": ""}"#, "the file is empty"),
        (
            r#"{"path": "a", "width": 5}"#,
            "`width` and `height` are given without `pixels`",
        ),
        (
            r#"{"pixels": "AAAA", "width": 1}"#,
            "`pixels` is given without `height`",
        ),
        (
            r#"{"pixels": "AAAA", "width": 1, "height": 0}"#,
            "`height` is `0`, expected an integer from 1",
        ),
        (
            r#"{"pixels": "AAAA", "width": "1", "height": 1}"#,
            "`width` is `\"1\"`, expected an integer from 1",
        ),
        (
            r#"{"pixels": "AAAA", "width": 4294967295, "height": 4294967295}"#,
            "`pixels` has 3 bytes, but 4294967295 x 4294967295 pixels have 55340232195358851075",
        ),
    ];
    let input = cases
        .iter()
        .map(|(line, _)| format!("{line}\n"))
        .collect::<Vec<_>>()
        .concat();
    let answers = answers(&mut command("plain.onnx"), input)?;
    ensure(answers.len() == cases.len(), &answers)?;
    for (answer, (line, reason)) in answers.iter().zip(cases) {
        ensure(answer["error"]["message"] == reason, (line, answer))?;
        ensure(answer["error"]["hint"].is_string(), (line, answer))?;
    }
    Ok(())
}

fn cut_line() -> Result<(), Failed> {
    let input = r#"{"id": "frame 7", "image": "AAAA"#;
    let answer = answers(&mut command("plain.onnx"), input)?.remove(0);
    ensure(
        answer["id"] == "frame 7" && answer["error"].is_object(),
        answer,
    )
}

fn long_line() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut input = vec![b'x'; (128 << 20) + 1];
    input.extend(format!("\n{}\n", a.display()).bytes());
    let answers = answers(&mut command("plain.onnx"), input)?;
    let message = &answers[0]["error"]["message"];
    ensure(message == "the line has more than 134217728 bytes", message)?;
    ensure(answers.len() == 2 && answers[1]["top"].is_array(), answers)
}

fn silent() -> Result<(), Failed> {
    let run = sent(command("plain.onnx").arg("--quiet"), "none.ppm\n{\n")?;
    expect_code(&run, 0)?;
    // It is about the model.
    let is_guess = |line: &str| line.starts_with("warning: the model and its files do not state");
    ensure(
        lines(&run)?.len() == 2 && run.stderr.lines().all(is_guess),
        run,
    )
}

fn empty() -> Result<(), Failed> {
    ensure(answers(&mut command("plain.onnx"), "")?.is_empty(), ())
}

/// Sends each line when the answer to the one before is there.
fn in_turns(command: &mut Command, lines: &[Value]) -> Result<Vec<Value>, Failed> {
    let mut client = Client::new(command)?;
    let mut answers = Vec::new();
    for line in lines {
        client.send(line)?;
        answers.push(client.receive()?);
    }
    let code = client.end()?;
    ensure(code == Some(0), code)?;
    Ok(answers)
}

fn ping_pong() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let lines: Vec<Value> = (0..5_u64)
        .map(|id| object_of(if id % 2 == 0 { &a } else { &b }, id))
        .collect();
    let answers = in_turns(&mut command("plain.onnx"), &lines)?;
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    ensure(ids == [0, 1, 2, 3, 4], ids)
}

/// No image has been seen that could decide, and none comes before this answer.
fn bad_first() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let lines = [json!({"id": 1}), json!({"id": 2}), object_of(&a, 3)];
    let answers = in_turns(&mut command(UNDECIDED), &lines)?;
    ensure(answers[1]["error"].is_object(), &answers)?;
    ensure(answers[2]["top"].is_array(), answers)
}

/// The outputs of the model have to decide how scores are made, and there is none yet.
fn early_error() -> Result<(), Failed> {
    let mut command = classify();
    command
        .args(["--backend", "rten", "-m"])
        .arg(small_model("plain.onnx"));
    command
        .args(["-i", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let (sender, errors) = mpsc::channel();
    std::thread::spawn(move || {
        let errors = lines.map_while(Result::ok);
        for line in errors.filter(|line| line.starts_with("error: ")) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    writeln!(stdin, "none.ppm")?;
    let error = errors.recv_timeout(PATIENCE);
    drop(stdin);
    let code = child.wait()?.code();
    ensure(error?.starts_with("error: none.ppm: "), "another error")?;
    ensure(code == Some(1), code)
}

fn batch() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let lines = [object_of(&a, 1), object_of(&b, 2), object_of(&a, 3)];
    let mut batched = command("dynamic-batch.onnx");
    batched.args(["--batch", "4"]);
    let answers = in_turns(&mut batched, &lines)?;
    ensure(answers[0]["top"] == answers[2]["top"], &answers)?;
    ensure(answers[0]["top"] != answers[1]["top"], answers)
}

/// Its last operator and its metadata do not say what its output holds.
const UNDECIDED: &str = "channel-means.onnx";

fn first_decides() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let lines = [object_of(&a, 1), object_of(&b, 2)];
    let run = sent(
        &mut command(UNDECIDED),
        format!("{}\n{}\n", lines[0], lines[1]),
    )?;
    expect_code(&run, 0)?;
    ensure(run.stderr.contains("the first image"), &run)?;
    let answers = self::lines(&run)?;
    ensure(answers[0]["scoring"] == "softmax", &answers)?;
    ensure(answers[0]["scoring"] == answers[1]["scoring"], answers)
}

fn many() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let input = (0..2000_u64)
        .map(|id| format!("{}\n", object_of(if id % 3 == 0 { &a } else { &b }, id)))
        .collect::<Vec<_>>()
        .concat();
    let answers = answers(&mut command("plain.onnx"), input)?;
    ensure(answers.len() == 2000, answers.len())?;
    let expected = [of_pixels(by_file(&a)?), of_pixels(by_file(&b)?)];
    for (id, answer) in answers.into_iter().enumerate() {
        ensure(answer["id"] == id && answer["line"] == id + 1, &answer)?;
        let expected = &expected[usize::from(id % 3 != 0)];
        ensure(of_pixels(answer.clone()) == *expected, answer)?;
    }
    Ok(())
}

fn broken_pipe() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut child = spawn(&mut command("plain.onnx"))?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut answers = lines_of(&mut child);
    writeln!(stdin, "{}", a.display())?;
    answers.next().ok_or("no answer")??;
    drop(answers);
    // The input stays open: only the answer tells that nobody reads.
    writeln!(stdin, "{}", a.display())?;
    let code = child.wait()?.code();
    ensure(code == Some(0), code)
}

/// A client that only writes is stopped by the pipe, because lines wait in the client and not in the memory of the
/// program; then it reads, and everything is there.
fn stopped_reader() -> Result<(), Failed> {
    const LINES: usize = 20_000;
    let (_directory, a, _) = small_images()?;
    let mut child = spawn(&mut command("plain.onnx"))?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        for _ in 0..LINES {
            writeln!(stdin, "{}", a.display())?;
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        Ok(())
    });
    let sent = || sent.load(std::sync::atomic::Ordering::SeqCst);
    let (mut before, mut unchanged) = (0, 0);
    while before == 0 || unchanged < 20 {
        std::thread::sleep(Duration::from_millis(100));
        unchanged = if sent() == before { unchanged + 1 } else { 0 };
        before = sent();
    }
    ensure(before < LINES / 2, before)?;
    let answers = lines_of(&mut child).count();
    writer.join().expect("no panic")?;
    ensure(answers == LINES && child.wait()?.success(), answers)
}

fn formats() -> Result<(), Failed> {
    for format in ["text", "csv", "npz"] {
        let run = sent(command("plain.onnx").args(["--format", format]), "")?;
        expect_code(&run, 2)?;
        ensure(run.stderr.contains("--stream answers in JSON only"), run)?;
    }
    answers(command("plain.onnx").args(["--format", "json"]), "").map(drop)
}

fn conflicts() -> Result<(), Failed> {
    for flags in [
        &["-i", "a.ppm"][..],
        &["--input-list", "a.txt"],
        &["--recursive"],
        &["-o", "a.jsonl"],
    ] {
        let run = sent(command("plain.onnx").args(flags), "")?;
        expect_code(&run, 2)?;
        ensure(run.stderr.contains("cannot be used with"), run)?;
    }
    Ok(())
}

fn saved() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut command = command("plain.onnx");
    command.args(["--save-outputs", "all"]);
    let answer = answers(&mut command, a.to_string_lossy().as_bytes())?.remove(0);
    let outputs = answer["outputs"].as_object();
    ensure(outputs.is_some_and(|outputs| outputs.len() == 1), answer)
}

#[cfg(unix)]
mod unix {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// The input stays open and has no next line.
    pub fn waiting() -> Result<(), Failed> {
        let (_directory, a, _) = small_images()?;
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut client = Client::new(&mut command("plain.onnx"))?;
            client.send(a.display())?;
            client.receive()?;
            kill_process(Pid::from_child(&client.child), signal)?;
            // Without an end of the input.
            let ended = client.answers.recv_timeout(PATIENCE);
            ensure(ended == Err(mpsc::RecvTimeoutError::Disconnected), ended)?;
            let status = client.child.wait()?;
            ensure(status.code() == Some(code), status)?;
        }
        Ok(())
    }

    pub fn working() -> Result<(), Failed> {
        let (_directory, a, _) = small_images()?;
        let mut command = command("plain.onnx");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().expect("a pipe");
        // Ends when nobody reads any more.
        let writer =
            std::thread::spawn(move || while writeln!(stdin, "{}", a.display()).is_ok() {});
        let mut lines = lines_of(&mut child);
        lines.next().ok_or("no answer")??;
        kill_process(Pid::from_child(&child), Signal::INT)?;
        let mut done = 1;
        for line in lines {
            done += 1;
            let answer: Value = serde_json::from_str(&line?)?;
            ensure(answer["line"] == done && answer["top"].is_array(), answer)?;
        }
        let output = child.wait_with_output()?;
        writer.join().expect("no panic");
        let stderr = String::from_utf8(output.stderr)?;
        ensure(output.status.code() == Some(130), &stderr)?;
        let lines = if done == 1 { "line" } else { "lines" };
        ensure(
            stderr
                .replace(',', "")
                .contains(&format!("interrupted after {done} {lines}\n")),
            stderr,
        )
    }
}
