//! The licence texts of the crates that are linked into the program.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::failure::on;

/// The package of the program.
const PROGRAM: &str = "classify-cli";
/// Beginnings of the names of files with licences, in lower case.
const NAMES: [&str; 5] = ["license", "licence", "copying", "unlicense", "notice"];
/// A licence is shorter.
const MOST_BYTES: u64 = 200_000;

/// A crate from the registry.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

/// Returns the texts, each with the crates that have it.
pub fn text(workspace: &Path) -> Result<String> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed ({})",
        output.status
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let mut crates = BTreeSet::new();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked_packages(&metadata)? {
        // The crates of this workspace have no source.
        if package["source"].is_null() {
            continue;
        }
        let word = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let (name, version) = (word("name"), word("version"));
        let manifest = word("manifest_path");
        let directory = Path::new(&manifest)
            .parent()
            .context("a manifest has a directory")?;
        for text in licence_texts(directory)? {
            texts
                .entry(text)
                .or_default()
                .insert(format!("{name} {version}"));
        }
        let licence = word("license");
        crates.insert(Crate {
            name,
            version,
            licence,
        });
    }
    Ok(page(&crates, &texts))
}

/// Returns the packages that the program links on any platform: its dependencies without those of builds and tests.
fn linked_packages(metadata: &Value) -> Result<Vec<&Value>> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let nodes = list(&metadata["resolve"]["nodes"]);
    let program = packages.iter().find(|package| package["name"] == PROGRAM);
    let program = program.context("cargo metadata does not have the program")?;
    let mut open = vec![program["id"].clone()];
    let mut seen = Vec::new();
    while let Some(id) = open.pop() {
        if seen.contains(&id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id);
        for dependency in list(&node.context("a package has no node")?["deps"]) {
            let kinds = list(&dependency["dep_kinds"]);
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                open.push(dependency["pkg"].clone());
            }
        }
        seen.push(id);
    }
    Ok(packages
        .iter()
        .filter(|package| seen.contains(&package["id"]))
        .collect())
}

/// Returns the licence texts in the directory of a crate.
fn licence_texts(directory: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(on("list", directory))? {
        let entry = entry.map_err(on("list", directory))?;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().to_lowercase(),
        );
        let metadata = fs::metadata(&path).map_err(on("find", &path))?;
        if !NAMES.iter().any(|start| name.starts_with(start))
            || !metadata.is_file()
            || metadata.len() > MOST_BYTES
        {
            continue;
        }
        let text = fs::read(&path).map_err(on("read", &path))?;
        let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
        texts.insert(text.trim().to_owned());
    }
    texts.remove("");
    Ok(texts)
}

fn page(crates: &BTreeSet<Crate>, texts: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut page = String::from(
        "# Third-party crates in the program\n\nThe program also contains Rust's standard library (MIT OR Apache-2.0).\n\n\
         | crate | version | licence |\n|---|---|---|\n",
    );
    for Crate {
        name,
        version,
        licence,
    } in crates
    {
        let _ = writeln!(page, "| {name} | {version} | {licence} |");
    }
    for (text, owners) in texts {
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        let _ = write!(page, "\n## {}\n\n{text}\n", owners.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_crates_have_their_texts() {
        let text = text(&crate::setup::workspace()).unwrap();
        // Linked, linked on another platform, a tool of builds, a tool of tests.
        for (name, is_linked) in [
            ("| clap |", true),
            ("| windows-sys |", true),
            ("| prost-build |", false),
            ("| snapbox |", false),
        ] {
            assert_eq!(text.contains(name), is_linked, "{name}");
        }
        assert!(!text.contains("| backend-api |"));
        assert!(text.contains("Permission is hereby granted") && text.contains("Apache License"));
        assert!(!text.contains("|  |"), "a crate has no licence");
    }
}
