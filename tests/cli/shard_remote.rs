//! Shards of models on a server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use classify_test_server::TestServer;
use classify_tests::{Run, ensure, expect_code, run};
use libtest_mimic::{Failed, Trial};

use super::{classify, small_images};
use crate::remote::{TOKEN, classes, model, options, remote, start};

pub fn trials() -> Vec<Trial> {
    let all: [(&str, fn() -> Result<(), Failed>); 2] = [
        ("shards_on_a_server_are_merged", shards),
        ("shards_of_other_versions_are_not_merged", other_versions),
    ];
    let all = all.into_iter();
    all.map(|(name, test)| Trial::test(format!("remote::{name}"), test))
        .collect()
}

/// Two images and the parts of their shards.
struct Images {
    directory: tempfile::TempDir,
    list: PathBuf,
}

impl Images {
    fn new() -> Result<Self, Failed> {
        let (directory, a, b) = small_images()?;
        let list = directory.path().join("list.txt");
        fs::write(&list, format!("{}\n{}\n", a.display(), b.display()))?;
        Ok(Self { directory, list })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a shard of `command`, whose parts are in the directory `parts`.
    fn shard(&self, number: usize, parts: &str, command: &mut Command) -> Result<(), Failed> {
        command
            .args(["--scores", "softmax", "--preprocess"])
            .arg(model());
        command.arg("--input-list").arg(&self.list);
        command.args(["--shard", &format!("{number}/2"), "--out-dir"]);
        expect_code(&run(command.arg(self.at(parts))), 0)
    }

    fn merge(&self, parts: &str) -> Run {
        run(classify().arg("merge").arg(self.at(parts)))
    }
}

/// The second shard has its token from another place, and waits longer: that changes no answer.
fn shards() -> Result<(), Failed> {
    let mut options = options()?;
    options.token = Some(TOKEN.to_owned());
    let server = TestServer::start(options);
    let images = Images::new()?;
    fs::write(images.at("token"), TOKEN)?;
    let run_of_server = format!("remote={}/plain", server.url());
    for number in 0..2 {
        let mut rows = remote(&server.url());
        let mut verdict = classify();
        rows.args(["--format", "json"]);
        verdict
            .args(["compare", "rten", &run_of_server, "-m"])
            .arg(model());
        for (parts, mut command) in [("rows", rows), ("verdict", verdict)] {
            match number {
                0 => command
                    .args(["--token-env", "FLEET_TOKEN"])
                    .env("FLEET_TOKEN", TOKEN),
                _ => command
                    .args(["--timeout", "90", "--max-message", "2MB", "--token-file"])
                    .arg(images.at("token")),
            };
            images.shard(number, parts, &mut command)?;
            for entry in fs::read_dir(images.at(parts))? {
                let content = fs::read(entry?.path())?;
                let is_there = content
                    .windows(TOKEN.len())
                    .any(|text| text == TOKEN.as_bytes());
                ensure(!is_there, "the token is in a file of the shard")?;
            }
        }
    }
    let merged = images.merge("rows");
    expect_code(&merged, 0)?;
    let mut local = classify();
    local.args(["--backend", "rten", "--scores", "softmax"]);
    local.args(["--format", "json", "-m"]).arg(model());
    let local = run(local.arg("--input-list").arg(&images.list));
    ensure(classes(&merged.stdout)? == classes(&local.stdout)?, &merged)?;
    let manifest = fs::read_to_string(images.at("rows/part-00001-of-00002.manifest.json"))?;
    ensure(manifest.contains("\"model\": \"plain:1\""), manifest)?;
    // The preprocessing is part of the job.
    let job = fs::read_to_string(images.at("rows/job.json"))?;
    ensure(job.contains(&model().display().to_string()), job)?;
    let merged = images.merge("verdict");
    expect_code(&merged, 0)?;
    ensure(merged.stdout.starts_with("AGREE"), &merged)
}

/// The server has another version when the second shard runs.
fn other_versions() -> Result<(), Failed> {
    let mut server = start()?;
    let images = Images::new()?;
    let shard =
        |number, url: &str| images.shard(number, "parts", remote(url).args(["--format", "json"]));
    shard(0, &server.url())?;
    server.kill();
    let mut options = options()?;
    "2".clone_into(&mut options.version);
    let server = TestServer::start_at(options, server.address());
    shard(1, &server.url())?;
    let merged = images.merge("parts");
    expect_code(&merged, 2)?;
    ensure(
        merged.stderr.contains("other engines made")
            && merged.stderr.contains("with the model plain:2"),
        &merged,
    )
}
