//! The program as a reader: a process for each file, or one for a stream of them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use classify_tests::{checkout, small_model};
use data_encoding::BASE64;
use serde_json::Value;

use crate::reader::{Outcome, Reader};
use crate::worker::peak_kib;

/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);

const CLASSIFY: &str = env!("CARGO_BIN_EXE_classify");
/// The program whose faults are planted.
const SHELL: &str = "/bin/sh";

/// A program in a directory of its own, without the variables of the user.
fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CLASSIFY_") && name != "CLASSIFY_HOME" || name.starts_with("RUST_") {
            command.env_remove(&variable);
        }
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// Returns the lines of stderr that are not error messages.
fn complaint(stderr: &str) -> Option<String> {
    let words = [
        "panicked at",
        "RUST_BACKTRACE",
        "stack overflow",
        "memory allocation of",
    ];
    let line = stderr
        .lines()
        .find(|line| words.iter().any(|word| line.contains(word)));
    line.map(|line| format!("on stderr: {line}"))
}

/// Waits for a process. `None` if it hangs: it is killed then. `peak` becomes its memory, which is looked at every 20 ms or
/// more often.
fn wait(
    child: &mut Child,
    patience: Duration,
    peak: &mut i64,
) -> std::io::Result<Option<ExitStatus>> {
    let name = child.id().to_string();
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(500);
    while Instant::now() < end {
        *peak = peak_kib(&name).unwrap_or_default().max(*peak);
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// A process for each file.
struct Process {
    program: &'static str,
    directory: PathBuf,
    /// The name of the file.
    file: PathBuf,
    arguments: Vec<String>,
    /// Its exit code 1 is a verdict, and so an answer.
    has_verdict: bool,
    /// Its engine has a process of its own, which may die.
    is_isolated: bool,
    patience: Duration,
    peak_kib: i64,
}

impl Process {
    fn run(&mut self, bytes: &[u8]) -> std::io::Result<Outcome> {
        fs::write(&self.file, bytes)?;
        let (out, err) = (self.directory.join("stdout"), self.directory.join("stderr"));
        let mut command = command(self.program, &self.directory);
        command.args(&self.arguments);
        let mut child = command
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let status = wait(&mut child, self.patience, &mut self.peak_kib)?;
        let read = |path: &Path| fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned());
        let (stdout, stderr) = (read(&out)?, read(&err)?);
        let Some(status) = status else {
            return Ok(Outcome::Failed("a hang".to_owned()));
        };
        if self.is_isolated && (stdout + &stderr).contains("process of the engine") {
            return Ok(Outcome::EngineDied);
        }
        Ok(match (status.code(), complaint(&stderr)) {
            (Some(0..=2), Some(complaint)) => Outcome::Failed(complaint),
            (Some(0), None) => Outcome::Answered(String::new()),
            (Some(1), None) if self.has_verdict => Outcome::Answered("1".to_owned()),
            (Some(code @ (1 | 2)), None) => Outcome::Refused(code.to_string()),
            _ => Outcome::Failed(format!("{status}: {stderr}")),
        })
    }
}

impl Reader for Process {
    fn read(&mut self, bytes: &[u8]) -> Outcome {
        self.run(bytes)
            .unwrap_or_else(|error| Outcome::Failed(error.to_string()))
    }

    fn peak_kib(&self) -> i64 {
        self.peak_kib
    }
}

fn process(directory: &Path, file: &str, arguments: &[&str]) -> Process {
    Process {
        program: CLASSIFY,
        directory: directory.to_owned(),
        file: directory.join(file),
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        has_verdict: arguments
            .first()
            .is_some_and(|first| ["compare", "check"].contains(first)),
        is_isolated: false,
        patience: PATIENCE,
        peak_kib: 0,
    }
}

/// A shell that runs each file.
pub fn planted_processes(directory: &Path) -> Box<dyn Reader> {
    Box::new(Process {
        program: SHELL,
        patience: Duration::from_secs(10),
        ..process(directory, "fault", &["fault"])
    })
}

/// A small model and an image for it in the directory, as paths.
fn model_and_image(directory: &Path) -> (String, String) {
    fs::write(directory.join("good.ppm"), GOOD_IMAGE).expect("a file");
    let model = small_model("plain.onnx");
    // Outputs of other programs are found by this name.
    (model.display().to_string(), "good.ppm".to_owned())
}

/// An image of two by two pixels.
pub const GOOD_IMAGE: &[u8] = b"P6 2 2 255\n\x10\x20\x30\xf0\xe0\xd0\x11\x22\x33\x99\x88\x77";

/// Archives of images.
pub fn archives(directory: &Path) -> Box<dyn Reader> {
    let (model, _) = model_and_image(directory);
    let arguments = [
        "--backend",
        "rten",
        "--color",
        "rgb",
        "-q",
        "--format",
        "json",
        "-m",
        &model,
        "-i",
        "a.tar",
    ];
    Box::new(process(directory, "a.tar", &arguments))
}

fn against<'a>(model: &'a str, image: &'a str, reference: &'a str) -> [&'a str; 13] {
    [
        "compare",
        "rten",
        "-q",
        "--color",
        "rgb",
        "-m",
        model,
        "-i",
        image,
        "--against",
        reference,
        "--scores",
        "softmax",
    ]
}

/// Arrays of another program in an archive.
pub fn npz(directory: &Path) -> Box<dyn Reader> {
    let (model, image) = model_and_image(directory);
    Box::new(process(
        directory,
        "a.npz",
        &against(&model, &image, "a.npz"),
    ))
}

/// Arrays of another program as a file in a directory.
pub fn npy(directory: &Path) -> Box<dyn Reader> {
    let (model, image) = model_and_image(directory);
    let arrays = directory.join("arrays");
    fs::create_dir_all(&arrays).expect("a directory");
    // The name of the image of the outputs.
    let names = checkout().join("tests/mutants/images.npy");
    fs::copy(names, arrays.join("images.npy")).expect("a copy");
    let reader = process(
        directory,
        "arrays/logits.npy",
        &against(&model, &image, "arrays"),
    );
    Box::new(reader)
}

/// Plugins files of OpenVINO.
pub fn plugins(directory: &Path) -> Box<dyn Reader> {
    let arguments = [
        "devices",
        "--backend",
        "openvino",
        "--plugins",
        "plugins.xml",
    ];
    Box::new(process(directory, "plugins.xml", &arguments))
}

/// Files of `classify check`.
pub fn gates(directory: &Path) -> Box<dyn Reader> {
    let (model, _) = model_and_image(directory);
    fs::copy(model, directory.join("plain.onnx")).expect("a copy");
    fs::write(directory.join("truth.csv"), "good.ppm 3\n").expect("a file");
    Box::new(process(
        directory,
        "gate.toml",
        &["check", "-q", "--config", "gate.toml"],
    ))
}

/// A model of the file called `name` on an engine in a process of its own.
fn engine(directory: &Path, backend: &str, name: &str) -> Box<dyn Reader> {
    let (_, image) = model_and_image(directory);
    let arguments = [
        "--backend",
        backend,
        "--isolate",
        "--isolate-memory",
        "4G",
        "--timeout",
        "30",
        "-q",
        "--color",
        "rgb",
        "-m",
        name,
        "-i",
        &image,
    ];
    let mut process = process(directory, name, &arguments);
    process.is_isolated = true;
    Box::new(process)
}

pub fn onnx_on_openvino(directory: &Path) -> Box<dyn Reader> {
    engine(directory, "openvino", "model.onnx")
}

pub fn onnx_on_onnx(directory: &Path) -> Box<dyn Reader> {
    engine(directory, "onnx", "model.onnx")
}

pub fn onnx_on_rten(directory: &Path) -> Box<dyn Reader> {
    engine(directory, "rten", "model.onnx")
}

pub fn ir_on_openvino(directory: &Path) -> Box<dyn Reader> {
    fs::copy(small_model("plain.bin"), directory.join("model.bin")).expect("a copy");
    engine(directory, "openvino", "model.xml")
}

pub fn tflite_on_openvino(directory: &Path) -> Box<dyn Reader> {
    engine(directory, "openvino", "model.tflite")
}

/// One process for many files: each is a line of a stream, and the next one waits for its answer.
struct Stream {
    program: &'static str,
    arguments: Vec<String>,
    directory: PathBuf,
    /// Makes a line of a file.
    line: fn(&[u8]) -> Vec<u8>,
    running: Option<Running>,
    peak_kib: i64,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Stream {
    fn start(&mut self) -> std::io::Result<&mut Running> {
        if self.running.is_none() {
            let mut command = command(self.program, &self.directory);
            command
                .args(&self.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::create(self.directory.join("stderr"))?);
            let mut child = command.spawn()?;
            self.running = Some(Running {
                stdin: child.stdin.take().expect("a pipe"),
                stdout: BufReader::new(child.stdout.take().expect("a pipe")),
                child,
            });
        }
        Ok(self.running.as_mut().expect("it was started"))
    }

    /// Returns the answer to a line; `None` if the process ends instead.
    fn ask(&mut self, line: &[u8]) -> std::io::Result<Option<String>> {
        let running = self.start()?;
        // Its reason is found when the answer is missing.
        let _ = running.stdin.write_all(line);
        let mut answer = String::new();
        running.stdout.read_line(&mut answer)?;
        Ok(answer.ends_with('\n').then_some(answer))
    }

    /// Ends the process and returns its failure.
    fn stop(&mut self) -> Result<(), String> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let peak = peak_kib(&running.child.id().to_string());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or_default());
        drop(running.stdin);
        let mut rest = String::new();
        let _ = running.stdout.read_to_string(&mut rest);
        let status = wait(&mut running.child, PATIENCE, &mut self.peak_kib)
            .map_err(|error| error.to_string())?;
        let stderr = fs::read(self.directory.join("stderr")).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr);
        match status {
            None => Err("a hang at the end".to_owned()),
            Some(status) if !status.success() => Err(format!("{status}: {stderr}")),
            Some(_) if !rest.is_empty() => Err(format!("an answer to no line: {rest}")),
            Some(_) => complaint(&stderr).map_or(Ok(()), Err),
        }
    }
}

impl Reader for Stream {
    fn read(&mut self, bytes: &[u8]) -> Outcome {
        let line = (self.line)(bytes);
        let answer = match self.ask(&line) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let end = self.stop().err();
                return Outcome::Failed(end.unwrap_or_else(|| "no answer".to_owned()));
            }
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        match serde_json::from_str::<Value>(&answer) {
            Ok(Value::Object(answer)) => match (answer.get("top"), answer.get("error")) {
                (Some(top), None) => Outcome::Answered(top.to_string()),
                (None, Some(error)) => Outcome::Refused(error["code"].to_string()),
                _ => Outcome::Failed("an answer with neither classes nor an error".to_owned()),
            },
            _ => Outcome::Failed(format!("an answer that is not an object: {answer}")),
        }
    }

    fn peak_kib(&self) -> i64 {
        self.peak_kib
    }

    fn end(&mut self) -> Result<(), String> {
        self.stop()
    }
}

fn stream(directory: &Path, line: fn(&[u8]) -> Vec<u8>) -> Stream {
    let model = checkout().join("tests/data/plain.onnx");
    let arguments = [
        "--backend",
        "rten",
        "--color",
        "rgb",
        "--scores",
        "raw",
        "-q",
        "--image-memory",
        "256M",
        "--stream",
        "-m",
        &model.display().to_string(),
    ];
    Stream {
        program: CLASSIFY,
        arguments: arguments.map(str::to_owned).into(),
        directory: directory.to_owned(),
        line,
        running: None,
        peak_kib: 0,
    }
}

/// Images, each in a line of its own.
pub fn images(directory: &Path) -> Box<dyn Reader> {
    Box::new(stream(directory, |bytes| {
        format!("{{\"image\":\"{}\"}}\n", BASE64.encode(bytes)).into_bytes()
    }))
}

/// Lines of a stream.
pub fn lines(directory: &Path) -> Box<dyn Reader> {
    fs::write(directory.join("good.ppm"), GOOD_IMAGE).expect("a file");
    Box::new(stream(directory, |bytes| {
        let line = bytes
            .iter()
            .map(|byte| if *byte == b'\n' { b' ' } else { *byte });
        line.chain([b'\n']).collect()
    }))
}

/// A shell that runs each line.
pub fn planted_stream(directory: &Path) -> Box<dyn Reader> {
    let script = "while read -r line; do eval \"$line\"; done";
    Box::new(Stream {
        program: SHELL,
        arguments: ["-c", script].map(str::to_owned).into(),
        ..stream(directory, |bytes| [bytes, b"\n"].concat())
    })
}
