//! The address of the repository in the metadata of packages. It is not checked in, because a fork has another one: the
//! release workflow writes the address of the repository that it runs in.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::setup;

/// Writes `address` into the manifests of the crates that are published, and of the Python package.
pub fn write(address: &str) -> Result<()> {
    let is_address = address.starts_with("https://")
        && !address.contains(|char: char| char.is_whitespace() || "\"\\".contains(char));
    ensure!(
        is_address,
        "{address}: not an address that begins with https://"
    );
    let workspace = setup::workspace();
    let mut crates = 0;
    for entry in fs::read_dir(&workspace).context("cannot list the checkout")? {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.is_file() {
            crates += usize::from(change(&manifest, |text| of_crate(text, address))?);
        }
    }
    ensure!(crates > 0, "no crate has a line `documentation = …`");
    let package = workspace.join("pyproject.toml");
    let is_changed = change(&package, |text| of_python(text, address))?;
    ensure!(is_changed, "pyproject.toml has no line {NEXT}");
    println!("repository: {address} in {crates} crates and the Python package");
    Ok(())
}

/// Writes the text that `new` makes of a file. Returns whether it made one.
fn change(file: &Path, new: impl Fn(&str) -> Option<String>) -> Result<bool> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Some(new) = new(&text) else {
        return Ok(false);
    };
    fs::write(file, new).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

/// Returns a manifest with the address. `None` for a crate that is not published, which has no documentation.
fn of_crate(manifest: &str, address: &str) -> Option<String> {
    let line = manifest
        .lines()
        .find(|line| line.starts_with("documentation = "))?;
    Some(manifest.replacen(line, &format!("{line}\nrepository = \"{address}\""), 1))
}

/// The table before which the one of the addresses is put.
const NEXT: &str = "[tool.maturin]";

fn of_python(manifest: &str, address: &str) -> Option<String> {
    let (before, after) = manifest.split_once(&format!("\n{NEXT}"))?;
    Some(format!(
        "{before}\n[project.urls]\nRepository = \"{address}\"\n\n{NEXT}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const ADDRESS: &str = "https://example.org/someone/classify";

    #[test]
    fn cargo_reads_the_address_of_every_published_crate() {
        let workspace = setup::workspace();
        let manifest = fs::read_to_string(workspace.join("exact-resample/Cargo.toml")).unwrap();
        // Alone, so without what it inherits.
        let inherits = |line: &&str| !line.contains("workspace");
        let alone: Vec<&str> = manifest.lines().filter(inherits).collect();
        let alone = alone.join("\n");
        let package = alone.split("\n[").next().unwrap().to_owned();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        fs::write(directory.path().join("src/lib.rs"), "").unwrap();
        let file = directory.path().join("Cargo.toml");
        fs::write(&file, of_crate(&package, ADDRESS).unwrap()).unwrap();
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--no-deps",
                "--format-version",
                "1",
                "--manifest-path",
            ])
            .arg(&file)
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(metadata["packages"][0]["repository"], ADDRESS);
    }

    #[test]
    fn crates_without_documentation_are_not_published() {
        assert_eq!(of_crate("[package]\nname = \"tests\"\n", ADDRESS), None);
    }

    #[test]
    fn the_python_package_has_a_table_of_addresses() {
        let manifest = fs::read_to_string(setup::workspace().join("pyproject.toml")).unwrap();
        let new = of_python(&manifest, ADDRESS).unwrap();
        let tables = format!("\n[project.urls]\nRepository = \"{ADDRESS}\"\n\n{NEXT}\n");
        assert!(new.contains(&tables), "{new}");
    }
}
