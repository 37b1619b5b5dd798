//! Models on a server, which runs a real engine in the process of the test.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backend_api::InferBackend;
use backend_rten::{RtenBackend, RtenConfig};
use classify_test_server::{Act, Certificates, Options, TestServer};
use classify_tests::{Needs, Run, ensure, expect_code, photos, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::{classify, small_images};

pub const TOKEN: &str = "s3cret-t0ken";

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let all: [(&str, fn() -> Result<(), Failed>); 25] = [
        ("answers_are_those_of_the_engine_on_the_server", answers),
        ("compare_gives_both_the_identical_tensors", compare),
        (
            "report_names_server_version_model_and_endpoints",
            provenance,
        ),
        ("evaluate_judges_a_remote_run", evaluate),
        ("bench_measures_a_remote_run", bench),
        ("stream_is_answered_by_a_server", stream),
        ("batch_is_one_request", batch),
        ("killed_server_loses_no_image", killed),
        ("unknown_model_is_an_error_with_a_hint", unknown_model),
        ("server_that_is_away_is_an_error_with_a_hint", away),
        ("preprocessing_is_never_guessed", never_guessed),
        ("preprocessing_comes_from_a_directory_or_a_file", sources),
        ("token_is_read_from_a_file_and_not_printed", token_of_a_file),
        (
            "token_is_read_from_a_variable_and_not_printed",
            token_of_a_variable,
        ),
        (
            "refused_token_is_not_printed_though_the_server_repeats_it",
            refused_token,
        ),
        ("missing_token_has_a_hint", no_token),
        ("token_is_not_in_reports", token_in_a_report),
        ("tls_trusts_the_given_certificates", tls),
        ("flags_of_servers_need_a_server", flags),
        (
            "flags_of_servers_need_a_remote_run",
            flags_of_compared_servers,
        ),
        (
            "flags_of_local_engines_are_not_for_servers",
            flags_of_local_engines,
        ),
        ("bisect_needs_local_runs", bisect),
        ("model_on_a_server_needs_a_name", no_name),
        ("devices_of_a_server_are_not_listed", devices),
        ("fields_of_errors_are_flags", fields),
    ];
    let mut trials: Vec<Trial> = all
        .into_iter()
        .map(|(name, test)| Trial::test(format!("remote::{name}"), test))
        .collect();
    trials.push(set_up.test("remote::photos_agree_on_the_top_10", photos_agree));
    trials
}

pub fn model() -> PathBuf {
    small_model("plain.onnx")
}

/// A server that runs `plain.onnx` on RTen.
pub fn options() -> Result<Options, Failed> {
    let backend = RtenBackend::open(&RtenConfig::new(model()))?;
    Ok(Options::of_backend("plain", Arc::new(backend)))
}

pub fn start() -> Result<TestServer, Failed> {
    Ok(TestServer::start(options()?))
}

/// `classify` with the model on `urls`.
pub fn remote(urls: &str) -> Command {
    let mut command = classify();
    command.args(["--backend", "remote", "--url", urls, "-m", "plain"]);
    command
}

/// Returns the classes and scores of JSON lines.
pub fn classes(stdout: &str) -> Result<Vec<Value>, Failed> {
    let lines = stdout.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    Ok(lines
        .into_iter()
        .map(|mut line| line["top"].take())
        .collect())
}

fn answers() -> Result<(), Failed> {
    let server = start()?;
    let (_directory, a, b) = small_images()?;
    let images = |command: &mut Command| {
        let command = command.args(["--format", "json", "-i"]).args([&a, &b]);
        let done = run(command);
        expect_code(&done, 0)?;
        let classes = classes(&done.stdout)?;
        ensure(
            classes.len() == 2 && classes.iter().all(Value::is_array),
            &done,
        )?;
        Ok::<_, Failed>((classes, done))
    };
    let mut local = classify();
    local.args(["--backend", "rten", "-m"]).arg(model());
    let (expected, _) = images(&mut local)?;
    let mut remote = remote(&server.url());
    let (found, done) = images(remote.arg("--preprocess").arg(model()))?;
    ensure(found == expected, (&found, &expected))?;
    ensure(done.stdout.contains("\"model\":\"plain\""), &done)?;
    ensure(server.inferences() == 2, server.inferences())
}

/// `compare rten remote=…` with a JSON report.
fn compared(server: &TestServer, more: &[&str]) -> Result<Value, Failed> {
    let (directory, a, b) = small_images()?;
    let report = directory.path().join("report.json");
    let mut command = classify();
    command
        .args(["compare", "rten"])
        .arg(format!("remote={}/plain", server.url()));
    command
        .arg("-m")
        .arg(model())
        .args(more)
        .arg("--report")
        .arg(&report);
    let done = run(command.arg("-i").args([&a, &b]));
    expect_code(&done, 0)?;
    Ok(serde_json::from_slice(&fs::read(report)?)?)
}

fn compare() -> Result<(), Failed> {
    let server = start()?;
    let report = compared(&server, &[])?;
    let text = report.to_string();
    ensure(
        report["verdict"] == "agree" || text.contains("\"agree"),
        &report,
    )?;
    // The server runs the same engine: with the identical tensor the outputs are equal to the last bit.
    let mut deltas = Vec::new();
    find(&report, "max_delta", &mut deltas);
    let measured: Vec<f64> = deltas.iter().filter_map(Value::as_f64).collect();
    ensure(measured.contains(&0.0), &report)?;
    ensure(server.inferences() == 2, server.inferences())
}

/// Collects all values of `key`.
fn find(value: &Value, key: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == key {
                    found.push(value.clone());
                }
                find(value, key, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| find(value, key, found)),
        _ => (),
    }
}

fn provenance() -> Result<(), Failed> {
    let server = start()?;
    let report = compared(&server, &[])?;
    let has = |key: &str, expected: &str| {
        let mut found = Vec::new();
        find(&report, key, &mut found);
        ensure(found.iter().any(|it| it == expected), (key, found))
    };
    has("engine", "double")?;
    has("engine_version", "1.2.3")?;
    has("model", "plain:1")?;
    has("device", &server.url())?;
    has("precision", "unknown")
}

fn evaluate() -> Result<(), Failed> {
    let server = start()?;
    let (directory, a, b) = small_images()?;
    let truth = directory.path().join("truth.tsv");
    fs::write(&truth, "a.ppm\t0\nb.ppm\t1\n")?;
    let accuracy = |run_text: &str| {
        let mut command = classify();
        command
            .args(["evaluate", run_text, "-m"])
            .arg(model())
            .arg("--truth")
            .arg(&truth);
        let done = run(command.arg("-i").args([&a, &b]));
        expect_code(&done, 0)?;
        let line = done.stdout.lines().find(|line| line.contains("top-1"));
        line.map(str::to_owned)
            .ok_or_else(|| Failed::from(done.stdout.clone()))
    };
    let local = accuracy("rten")?;
    let remote = accuracy(&format!("remote={}/plain", server.url()))?;
    ensure(local == remote, (local, remote))
}

fn bench() -> Result<(), Failed> {
    let server = start()?;
    let (_directory, a, b) = small_images()?;
    let mut command = classify();
    command
        .args(["bench", "rten"])
        .arg(format!("remote={}/plain", server.url()));
    command
        .args(["--count", "40", "--rounds", "1", "--format", "json", "-m"])
        .arg(model());
    let done = run(command.arg("-i").args([&a, &b]));
    expect_code(&done, 0)?;
    ensure(
        done.stdout.contains("\"plain\"") && server.inferences() > 80,
        &done,
    )
}

fn stream() -> Result<(), Failed> {
    let server = start()?;
    let (_directory, a, b) = small_images()?;
    let mut command = remote(&server.url());
    command.arg("--stream").arg("--preprocess").arg(model());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    writeln!(stdin, "{}\n{}", a.display(), b.display())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let stdout = String::from_utf8(output.stdout)?;
    ensure(
        output.status.success() && classes(&stdout)?.len() == 2,
        stdout,
    )
}

fn batch() -> Result<(), Failed> {
    let mut config = RtenConfig::new(small_model("dynamic-batch.onnx"));
    config.options.batch = Some(2);
    let mut options = Options::of_backend("plain", Arc::new(RtenBackend::open(&config)?));
    if let Some((inputs, outputs)) = &mut options.described {
        inputs[0].2[0] = -1;
        outputs[0].2[0] = -1;
    }
    let server = TestServer::start(options);
    let (_directory, a, b) = small_images()?;
    let mut command = remote(&server.url());
    command.args(["--batch", "2", "--format", "json", "--preprocess"]);
    let command = command.arg(small_model("dynamic-batch.onnx"));
    let done = run(command.arg("-i").args([&a, &b, &a, &b]));
    expect_code(&done, 0)?;
    let classes = classes(&done.stdout)?;
    ensure(
        classes.len() == 4 && classes[0] == classes[2] && classes[1] == classes[3],
        classes,
    )?;
    ensure(server.inferences() == 2, server.inferences())
}

/// A server dies while it holds requests; every image gets its answer from the other one.
fn killed() -> Result<(), Failed> {
    let holding = options()?.behavior(|number| if number < 20 { Act::Run } else { Act::Stall });
    let (mut first, second) = (TestServer::start(holding), start()?);
    let (directory, a, b) = small_images()?;
    let list = directory.path().join("list.txt");
    let mut lines = String::new();
    for _ in 0..200 {
        writeln!(lines, "{}\n{}", a.display(), b.display())?;
    }
    fs::write(&list, lines)?;
    let urls = format!("{},{}", first.url(), second.url());
    let killer = thread::spawn(move || {
        // The program ends with an error by itself if this never comes.
        for _ in 0..60_000 {
            if first.inferences() > 20 {
                first.kill();
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    });
    let mut command = remote(&urls);
    command
        .args(["--format", "json", "--preprocess"])
        .arg(model());
    let done = run(command.arg("--input-list").arg(&list));
    ensure(
        killer.join().is_ok_and(|was_killed| was_killed),
        "the server was not killed in mid-run",
    )?;
    expect_code(&done, 0)?;
    let classes = classes(&done.stdout)?;
    ensure(
        classes.len() == 400 && classes.iter().all(Value::is_array),
        classes.len(),
    )?;
    ensure(
        classes.chunks(2).all(|pair| *pair == classes[..2]),
        "all answers are right",
    )
}

/// Runs `command` on an image. Returns stderr of its failure.
fn failure(command: &mut Command) -> Result<String, Failed> {
    let (_directory, a, _) = small_images()?;
    let done = run(command.arg("-i").arg(a));
    expect_code(&done, 2)?;
    Ok(done.stderr)
}

fn unknown_model() -> Result<(), Failed> {
    let server = start()?;
    let mut command = classify();
    command.args([
        "--backend",
        "remote",
        "--url",
        &server.url(),
        "-m",
        "plane:7",
    ]);
    let stderr = failure(command.arg("--preprocess").arg(model()))?;
    ensure(stderr.contains("has no model plane:7"), &stderr)?;
    ensure(
        stderr.contains("hint: check the name of the model and its version"),
        stderr,
    )
}

fn away() -> Result<(), Failed> {
    let mut server = start()?;
    let url = server.url();
    server.kill();
    let stderr = failure(remote(&url).arg("--preprocess").arg(model()))?;
    ensure(
        stderr.contains("cannot be reached") && stderr.contains("port is that of gRPC"),
        stderr,
    )
}

fn never_guessed() -> Result<(), Failed> {
    let server = start()?;
    let stderr = failure(&mut remote(&server.url()))?;
    ensure(stderr.contains("pass `--preprocess PATH`"), stderr)?;
    let missing = failure(remote(&server.url()).args(["--preprocess", "nowhere.onnx"]))?;
    ensure(missing.contains("nowhere.onnx"), missing)?;
    let directory = tempfile::tempdir()?;
    let damaged = directory.path().join("damaged.onnx");
    fs::write(&damaged, "no model")?;
    let damaged = failure(remote(&server.url()).arg("--preprocess").arg(damaged))?;
    ensure(damaged.contains("damaged.onnx"), damaged)?;
    ensure(server.inferences() == 0, server.inferences())
}

fn sources() -> Result<(), Failed> {
    let server = start()?;
    let (_images, a, _) = small_images()?;
    let directory = tempfile::tempdir()?;
    let best = |path: &Path| {
        let mut command = remote(&server.url());
        command
            .args(["--format", "json", "--preprocess"])
            .arg(path)
            .arg("-i")
            .arg(&a);
        let done = run(&mut command);
        expect_code(&done, 0)?;
        classes(&done.stdout)
    };
    let expected = best(&model())?;
    let config = r#"{"color": "rgb", "mean": [0, 0, 0], "scale": [1, 1, 1], "resize": "stretch", "interpolation": "bilinear"}"#;
    fs::write(directory.path().join("preprocess.json"), config)?;
    best(directory.path())?;
    best(&directory.path().join("preprocess.json"))?;
    fs::copy(model(), directory.path().join("copy.onnx"))?;
    ensure(best(directory.path())? == expected, expected)
}

/// A server that accepts one token, and repeats every other one in its refusal.
struct Guarded {
    server: TestServer,
    directory: tempfile::TempDir,
}

impl Guarded {
    fn new() -> Result<Self, Failed> {
        let mut options = options()?;
        options.token = Some(TOKEN.to_owned());
        let (directory, _, _) = small_images()?;
        fs::write(directory.path().join("token"), TOKEN)?;
        Ok(Self {
            server: TestServer::start(options),
            directory,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `command` on an image. No token is printed.
    fn run(&self, command: &mut Command) -> Result<Run, Failed> {
        // No variable makes the program or one of its crates tell more.
        command.env("RUST_LOG", "trace").env("GRPC_TRACE", "all");
        let done = run(command.arg("-i").arg(self.at("a.ppm")));
        let is_shown = done.stdout.contains("t0ken") || done.stderr.contains("t0ken");
        ensure(!is_shown, &done)?;
        Ok(done)
    }

    fn classify(&self) -> Command {
        let mut command = remote(&self.server.url());
        command.arg("--preprocess").arg(model());
        command
    }

    fn by_variable(&self, token: &str) -> Result<Run, Failed> {
        let mut command = self.classify();
        command.args(["--token-env", "FLEET_TOKEN", "--format", "json"]);
        self.run(command.env("FLEET_TOKEN", token))
    }
}

fn token_of_a_file() -> Result<(), Failed> {
    let all = Guarded::new()?;
    let mut command = all.classify();
    command.arg("--verbose").arg("--token-file");
    expect_code(&all.run(command.arg(all.at("token")))?, 0)?;
    let tokens = all.server.tokens();
    ensure(tokens.iter().any(|sent| sent.ends_with(TOKEN)), tokens)
}

fn token_of_a_variable() -> Result<(), Failed> {
    expect_code(&Guarded::new()?.by_variable(TOKEN)?, 0)
}

fn refused_token() -> Result<(), Failed> {
    let refused = Guarded::new()?.by_variable("wrong-t0ken")?;
    expect_code(&refused, 2)?;
    let said = "denies access with the token in the variable FLEET_TOKEN: `Bearer [token]`";
    ensure(refused.stderr.contains(said), refused)
}

fn no_token() -> Result<(), Failed> {
    let all = Guarded::new()?;
    let none = all.run(&mut all.classify())?;
    ensure(
        none.stderr.contains("hint: give a token by --token-file"),
        none,
    )
}

fn token_in_a_report() -> Result<(), Failed> {
    let all = Guarded::new()?;
    let report = all.at("report.json");
    let mut command = classify();
    command
        .args(["compare", "rten"])
        .arg(format!("remote={}/plain", all.server.url()));
    command.arg("-m").arg(model()).arg("--token-file");
    command.arg(all.at("token")).arg("--report").arg(&report);
    expect_code(&all.run(&mut command)?, 0)?;
    let report = fs::read_to_string(report)?;
    ensure(!report.contains(TOKEN), report)
}

fn tls() -> Result<(), Failed> {
    let certificates = Certificates::generate();
    let mut options = options()?;
    options.certificates = Some(certificates.clone());
    let server = TestServer::start(options);
    let (directory, a, _) = small_images()?;
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, certificates.ca)?;
    let mut command = remote(&server.url());
    command
        .arg("--preprocess")
        .arg(model())
        .arg("--ca")
        .arg(&ca)
        .arg("-i")
        .arg(&a);
    expect_code(&run(&mut command), 0)?;
    let stderr = failure(remote(&server.url()).arg("--preprocess").arg(model()))?;
    ensure(stderr.contains("certificate"), stderr)?;
    // The file is one that is read.
    let mut command = remote(&server.url());
    command
        .arg("--preprocess")
        .arg(model())
        .arg("--ca")
        .arg(&ca)
        .arg("-o")
        .arg(&ca);
    let stderr = failure(&mut command)?;
    ensure(stderr.contains("which is read (the certificates)"), stderr)
}

fn flags() -> Result<(), Failed> {
    let none = "no engine is remote";
    for (flag, reason) in [
        ("--url=grpc://h:1", none),
        ("--input-name=x", none),
        (
            "--timeout=3",
            "--timeout is an option of isolated and of remote engines, but there is none",
        ),
        ("--token-env=T", none),
    ] {
        let mut command = classify();
        let stderr = failure(command.args(["--backend", "rten", flag, "-m"]).arg(model()))?;
        ensure(stderr.contains(reason), stderr)?;
    }
    Ok(())
}

fn flags_of_compared_servers() -> Result<(), Failed> {
    let mut compare = classify();
    compare.args(["compare", "rten", "rten", "--ca=x.pem", "-m"]);
    let stderr = failure(compare.arg(model()))?;
    ensure(
        stderr.contains("--ca is an option of remote engines"),
        stderr,
    )
}

fn flags_of_local_engines() -> Result<(), Failed> {
    let server = start()?;
    for flag in [
        "--device=GPU",
        "--threads=2",
        "--precision=f16",
        "--streams=2",
    ] {
        let mut command = remote(&server.url());
        command.arg(flag).arg("--preprocess");
        let stderr = failure(command.arg(model()))?;
        let (name, _) = flag.split_once('=').ok_or("a value")?;
        ensure(stderr.contains(name), stderr)?;
    }
    Ok(())
}

fn bisect() -> Result<(), Failed> {
    let server = start()?;
    let mut bisect = classify();
    bisect
        .args(["compare", "rten", "--bisect"])
        .arg(format!("remote={}/plain", server.url()));
    let stderr = failure(bisect.arg("-m").arg(model()))?;
    ensure(stderr.contains("is remote"), stderr)
}

fn no_name() -> Result<(), Failed> {
    let server = start()?;
    let mut nameless = classify();
    let stderr = failure(nameless.args(["--backend", "remote", "--url", &server.url()]))?;
    ensure(stderr.contains("pass `-m NAME`"), stderr)
}

fn devices() -> Result<(), Failed> {
    let mut devices = classify();
    let done = run(devices.args(["devices", "--backend", "remote"]));
    expect_code(&done, 2)?;
    ensure(
        done.stderr.contains("classify inspect --backend remote"),
        done,
    )
}

fn fields() -> Result<(), Failed> {
    let mut options = options()?;
    options.described = None;
    let server = TestServer::start(options);
    let with = |flags: &[&str]| {
        failure(
            remote(&server.url())
                .args(flags)
                .arg("--preprocess")
                .arg(model()),
        )
    };
    let stderr = with(&[])?;
    ensure(stderr.contains("hint: give it as --input-name"), stderr)?;
    let stderr = with(&["--input-name", "input"])?;
    ensure(stderr.contains("hint: give it as --datatype"), stderr)?;
    let stderr = with(&["--input-name", "input", "--datatype", "fp32"])?;
    ensure(stderr.contains("hint: give it as --shape"), stderr)?;
    let (_directory, a, _) = small_images()?;
    let mut command = remote(&server.url());
    command.args([
        "--input-name",
        "input",
        "--datatype",
        "fp32",
        "--shape",
        "1,3,8,8",
    ]);
    let done = run(command.arg("--preprocess").arg(model()).arg("-i").arg(a));
    expect_code(&done, 0)
}

/// The photos of the set-up through ONNX Runtime here, and behind a server.
fn photos_agree() -> Result<(), Failed> {
    let model = set_up("models/efficientnet-lite0.onnx");
    let mut config = backend_onnx::OnnxConfig::new(&model);
    config.library_dirs = classify_tests::library_dirs();
    let backend: Arc<dyn InferBackend> = Arc::new(backend_onnx::OnnxBackend::open(&config)?);
    let server = TestServer::start(Options::of_backend("lite", backend));
    let (directory, ..) = small_images()?;
    let report = directory.path().join("report.json");
    let mut command = classify();
    command
        .args(["compare", "onnx"])
        .arg(format!("remote={}/lite", server.url()));
    command
        .arg("-m")
        .arg(&model)
        .args(["--min-overlap", "100%", "--report"])
        .arg(&report);
    let done = run(command.arg("-i").args(photos()?));
    expect_code(&done, 0)?;
    println!("{}", done.stdout);
    let mut overlaps = Vec::new();
    find(
        &serde_json::from_slice(&fs::read(report)?)?,
        "max_delta",
        &mut overlaps,
    );
    ensure(overlaps.iter().any(|delta| *delta == 0.0), overlaps)
}
