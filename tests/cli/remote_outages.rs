//! Servers that are gone for good, tokens that expire, and the flags of tokens.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use classify_test_server::{Act, TestServer};
use classify_tests::{Run, ensure, expect_code, run};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::{classify, small_images};
use crate::remote::{classes, model, options, remote};

pub fn trials() -> Vec<Trial> {
    let all: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("servers_that_are_gone_end_the_run", rows),
        ("servers_that_are_gone_leave_no_part", part),
        ("servers_that_are_gone_leave_no_verdict", verdict),
        ("a_token_that_is_replaced_costs_no_image", replaced_token),
        ("an_expired_token_leaves_no_part", expired_token),
        ("errors_name_the_flag_of_the_token", tokens),
    ];
    let all = all.into_iter();
    all.map(|(name, test)| Trial::test(format!("remote::{name}"), test))
        .collect()
}

/// 200 images, and a server that is killed after 20 of them.
struct Fleet {
    directory: tempfile::TempDir,
    url: String,
    killer: JoinHandle<bool>,
}

impl Fleet {
    fn start() -> Result<Self, Failed> {
        let (directory, a, b) = small_images()?;
        let mut lines = String::new();
        for _ in 0..100 {
            writeln!(lines, "{}\n{}", a.display(), b.display())?;
        }
        fs::write(directory.path().join("list.txt"), lines)?;
        let slow = options()?.behavior(|_| {
            thread::sleep(Duration::from_millis(5));
            Act::Run
        });
        let mut server = TestServer::start(slow);
        let url = server.url();
        let killer = thread::spawn(move || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_mins(1) {
                if server.inferences() > 20 {
                    server.kill();
                    return true;
                }
                thread::sleep(Duration::from_millis(1));
            }
            false
        });
        Ok(Self {
            directory,
            url,
            killer,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `command`, which gives the server up after a second. It fails, and soon.
    fn fails(self, command: &mut Command) -> Result<(Run, tempfile::TempDir), Failed> {
        let start = Instant::now();
        let command = command.args(["--timeout", "2", "--input-list"]);
        let done = run(command.arg(self.at("list.txt")));
        let was_killed = self.killer.join().is_ok_and(|was_killed| was_killed);
        ensure(was_killed, "the server was not killed in mid-run")?;
        expect_code(&done, 2)?;
        let words = format!(
            "error: the engine failed for good: no server has served a request for 1 s: {}",
            self.url
        );
        ensure(done.stderr.contains(&words), &done)?;
        ensure(
            done.stderr.contains("hint: check that the server runs, "),
            &done,
        )?;
        // No image is counted that only met the dead server.
        ensure(!done.stderr.contains(".ppm"), &done)?;
        // The retries of 180 images would take minutes.
        ensure(start.elapsed() < Duration::from_secs(30), start.elapsed())?;
        Ok((done, self.directory))
    }
}

fn rows() -> Result<(), Failed> {
    let fleet = Fleet::start()?;
    let mut command = remote(&fleet.url);
    command
        .args(["--format", "json", "--preprocess"])
        .arg(model());
    command.arg("-o").arg(fleet.at("rows.json"));
    let (done, directory) = fleet.fails(&mut command)?;
    let rows = fs::read_to_string(directory.path().join("rows.json.partial"))?;
    let classes = classes(&rows)?;
    let is_answered = classes.len() > 8 && classes.iter().all(Value::is_array);
    ensure(is_answered, (&rows, &done))?;
    let rest = format!(
        "pass the remaining {} images to continue",
        200 - classes.len()
    );
    ensure(done.stderr.contains(&rest), done)?;
    ensure(!directory.path().join("rows.json").exists(), "a whole file")
}

/// The next run of the shard finds a server, and completes it.
fn part() -> Result<(), Failed> {
    let fleet = Fleet::start()?;
    let parts = fleet.at("parts");
    let shard = |command: &mut Command| {
        command.args(["--format", "json", "--scores", "softmax", "--preprocess"]);
        command.arg(model()).args(["--shard", "0/1", "--out-dir"]);
        command.arg(&parts);
    };
    let mut command = remote(&fleet.url);
    shard(&mut command);
    let address = fleet.url.trim_start_matches("grpc://").parse()?;
    let (done, directory) = fleet.fails(&mut command)?;
    ensure(done.stderr.contains("run the shard again"), done)?;
    let left: Vec<_> = fs::read_dir(&parts)?.collect::<Result<_, _>>()?;
    let is_job = left.iter().all(|entry| entry.file_name() == "job.json");
    ensure(is_job, &left)?;
    let server = TestServer::start_at(options()?, address);
    let mut command = remote(&server.url());
    shard(&mut command);
    let list = directory.path().join("list.txt");
    expect_code(&run(command.arg("--input-list").arg(list)), 0)?;
    ensure(server.inferences() == 200, server.inferences())?;
    let manifest = fs::read_to_string(parts.join("part-00000-of-00001.manifest.json"))?;
    ensure(manifest.contains("\"failed\": 0"), manifest)
}

fn verdict() -> Result<(), Failed> {
    for shard in [false, true] {
        let fleet = Fleet::start()?;
        let mut command = classify();
        command
            .args(["compare", "rten"])
            .arg(format!("remote={}/plain", fleet.url));
        command.args(["--scores", "softmax", "-m"]).arg(model());
        if shard {
            command
                .args(["--shard", "0/1", "--out-dir"])
                .arg(fleet.at("parts"));
        }
        let (done, directory) = fleet.fails(&mut command)?;
        let words = if shard {
            "run the shard again"
        } else {
            "no verdict is given"
        };
        ensure(done.stderr.contains(words) && done.stdout.is_empty(), done)?;
        let part = directory
            .path()
            .join("parts/part-00000-of-00001.manifest.json");
        ensure(!part.exists(), part)?;
    }
    let fleet = Fleet::start()?;
    fs::write(fleet.at("truth.tsv"), "a.ppm\t0\nb.ppm\t1\n")?;
    let mut command = classify();
    command
        .arg("evaluate")
        .arg(format!("remote={}/plain", fleet.url));
    command
        .arg("-m")
        .arg(model())
        .arg("--truth")
        .arg(fleet.at("truth.tsv"));
    let (done, _directory) = fleet.fails(&mut command)?;
    ensure(
        done.stderr.contains("no verdict is given") && done.stdout.is_empty(),
        done,
    )
}

/// Runs the shard of 200 images on a server that gets another token after 20 of them. `renews`: the file gets it, too.
fn with_expiring_token(renews: bool) -> Result<(Run, tempfile::TempDir), Failed> {
    let (directory, a, b) = small_images()?;
    let list = directory.path().join("list.txt");
    let lines = format!("{}\n{}\n", a.display(), b.display());
    fs::write(&list, lines.repeat(100))?;
    // The file is replaced as a whole, as Kubernetes does.
    let file = directory.path().join("token");
    let write = |token: &str| {
        let next = directory.path().join("next");
        fs::write(&next, token)?;
        fs::rename(next, &file)
    };
    write("f1rst")?;
    let mut options = options()?.behavior(|_| {
        thread::sleep(Duration::from_millis(5));
        Act::Run
    });
    options.token = Some("f1rst".to_owned());
    let server = TestServer::start(options);
    let mut command = remote(&server.url());
    command.args(["--format", "json", "--scores", "softmax", "--timeout", "2"]);
    command.arg("--token-file").arg(&file);
    command.arg("--preprocess").arg(model());
    command.args(["--shard", "0/1", "--out-dir"]);
    command.arg(directory.path().join("parts"));
    command.arg("--input-list").arg(&list);
    let done = thread::scope(|scope| {
        let running = scope.spawn(|| run(&mut command));
        let start = Instant::now();
        while server.inferences() <= 20 && start.elapsed() < Duration::from_mins(1) {
            thread::sleep(Duration::from_millis(1));
        }
        server.expect_token("s3cond");
        if renews {
            write("s3cond")?;
        }
        running.join().map_err(|_| Failed::from("the run panicked"))
    })?;
    let text = format!("{}{}", done.stdout, done.stderr);
    ensure(!text.contains("f1rst") && !text.contains("s3cond"), &done)?;
    Ok((done, directory))
}

fn replaced_token() -> Result<(), Failed> {
    let (done, directory) = with_expiring_token(true)?;
    expect_code(&done, 0)?;
    let manifest = directory
        .path()
        .join("parts/part-00000-of-00001.manifest.json");
    let manifest = fs::read_to_string(manifest)?;
    ensure(manifest.contains("\"failed\": 0"), manifest)
}

fn expired_token() -> Result<(), Failed> {
    let (done, directory) = with_expiring_token(false)?;
    expect_code(&done, 2)?;
    let file = directory.path().join("token");
    let words = format!(
        "denies access with the token in the file {}: ",
        file.display()
    );
    let is_whole =
        done.stderr.contains("the engine failed for good") && done.stderr.contains(&words);
    ensure(is_whole, &done)?;
    let hint =
        "hint: check that the token of --token-file is valid for this server and has not expired; ";
    ensure(done.stderr.contains(hint), &done)?;
    ensure(!done.stderr.contains(".ppm"), &done)?;
    let left: Vec<_> = fs::read_dir(directory.path().join("parts"))?.collect::<Result<_, _>>()?;
    let is_job = left.iter().all(|entry| entry.file_name() == "job.json");
    ensure(is_job, left)
}

fn tokens() -> Result<(), Failed> {
    let mut guarded = options()?;
    guarded.token = Some("right".to_owned());
    let server = TestServer::start(guarded);
    let (directory, a, _) = small_images()?;
    let file = directory.path().join("token");
    let hint = |token: &str, flags: &[&str]| {
        fs::write(&file, token)?;
        let mut command = remote(&server.url());
        command.args(flags).env("FLEET_TOKEN", token);
        command.arg("--preprocess").arg(model());
        let done = run(command.arg("-i").arg(&a));
        expect_code(&done, 2)?;
        let hint = done
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("hint: "));
        hint.map(str::to_owned)
            .ok_or_else(|| Failed::from(done.stderr.clone()))
    };
    let path = file.to_string_lossy();
    let by_file = ["--token-file", &*path];
    let by_variable = ["--token-env", "FLEET_TOKEN"];
    let missing = hint("right", &["--token-env", "NO_SUCH_TOKEN"])?;
    ensure(
        missing.ends_with("into the variable of --token-env"),
        missing,
    )?;
    let empty = hint("", &by_variable)?;
    ensure(empty.ends_with("into the variable of --token-env"), empty)?;
    let empty = hint("", &by_file)?;
    ensure(empty.ends_with("into the file of --token-file"), empty)?;
    let wrong = hint("wrong", &by_variable)?;
    let is_whole = wrong.starts_with("check that the token of --token-env is valid")
        && wrong.ends_with("cannot change: give a token that expires by --token-file");
    ensure(is_whole, wrong)?;
    let wrong = hint("wrong", &by_file)?;
    ensure(
        wrong.starts_with("check that the token of --token-file is valid"),
        wrong,
    )?;
    let none = hint("right", &[])?;
    ensure(none == "give a token by --token-file or --token-env", none)
}
