//! Folders, patterns and lists.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use classify_tests::{Needs, blocks, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("folders_and_patterns", folders),
        ("lists_in_files_and_on_stdin", lists),
        ("paths_that_are_not_utf_8", not_utf_8),
        ("problems_of_inputs_stay_in_their_place", problems),
        ("nothing_to_classify_exits_2", nothing),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into()
}

/// `a.ppm`, `b.ppm`, `.hidden.ppm`, `notes.txt`, `deep/c.ppm`.
fn tree() -> Result<tempfile::TempDir, Failed> {
    let (folder, a, _) = small_images()?;
    std::fs::create_dir(folder.path().join("deep"))?;
    for copy in [".hidden.ppm", "deep/c.ppm"] {
        std::fs::copy(&a, folder.path().join(copy))?;
    }
    std::fs::write(folder.path().join("notes.txt"), "no image")?;
    Ok(folder)
}

fn command() -> Command {
    let mut command = classify();
    command.args(["--backend", "onnx", "--color", "rgb", "-m"]);
    command.arg(small_model("plain.onnx"));
    command
}

fn names(stdout: &str, folder: &Path) -> Vec<String> {
    blocks(stdout)
        .into_iter()
        .map(|(path, _)| {
            let path = Path::new(&path);
            let inside = path.strip_prefix(folder).unwrap_or(path);
            inside.to_string_lossy().into_owned()
        })
        .collect()
}

fn folders() -> Result<(), Failed> {
    let folder = tree()?;
    let path = folder.path();
    let flat = run(command().arg("-i").arg(path));
    expect_code(&flat, 0)?;
    ensure(names(&flat.stdout, path) == ["a.ppm", "b.ppm"], &flat)?;
    let note = "note: skipped 1 hidden entry and 1 file that is no image (1 .txt)\n";
    ensure(flat.stderr.contains(note), flat)?;
    let deep = run(command().arg("--recursive").arg("-i").arg(path));
    expect_code(&deep, 0)?;
    ensure(
        names(&deep.stdout, path) == ["a.ppm", "b.ppm", "deep/c.ppm"],
        deep,
    )?;
    let pattern = run(command()
        .arg("-i")
        .arg(path.join("[ab].ppm"))
        .arg(path.join("a.ppm")));
    expect_code(&pattern, 0)?;
    ensure(
        names(&pattern.stdout, path) == ["a.ppm", "b.ppm", "a.ppm"],
        pattern,
    )
}

fn lists() -> Result<(), Failed> {
    let folder = tree()?;
    let path = folder.path();
    let lines = |separator: &str| -> String {
        ["b.ppm", "deep/c.ppm", "b.ppm"]
            .map(|name| path.join(name).display().to_string() + separator)
            .concat()
    };
    let expected = ["b.ppm", "deep/c.ppm", "b.ppm"];
    let list = path.join("list.txt");
    std::fs::write(&list, lines("\n"))?;
    let by_file = run(command().arg("--input-list").arg(&list));
    expect_code(&by_file, 0)?;
    ensure(names(&by_file.stdout, path) == expected, by_file)?;
    for separator in ["\n", "\r\n", "\0"] {
        let mut child = command()
            .args(["-i", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(lines(separator).as_bytes())?;
        let output = child.wait_with_output()?;
        let stdout = String::from_utf8(output.stdout.clone())?;
        ensure(
            output.status.success() && names(&stdout, path) == expected,
            output,
        )?;
    }
    let missing = run(command().args(["--input-list", "/no/such/list"]));
    expect_code(&missing, 2)?;
    ensure(
        missing
            .stderr
            .contains("cannot read the input list /no/such/list"),
        missing,
    )
}

fn not_utf_8() -> Result<(), Failed> {
    let (folder, a, _) = small_images()?;
    #[cfg(unix)]
    let name: OsString = {
        use std::os::unix::ffi::OsStringExt as _;
        OsString::from_vec(b"caf\xe9.ppm".to_vec())
    };
    #[cfg(not(unix))]
    let name = OsString::from("café.ppm");
    let path = folder.path().join(name);
    std::fs::copy(a, &path)?;
    for input in [path.clone(), folder.path().to_owned()] {
        let run = run(command().args(["--format", "json", "-i"]).arg(input));
        expect_code(&run, 0)?;
        let line = run.stdout.lines().last().unwrap_or_default();
        let line: serde_json::Value = serde_json::from_str(line)?;
        ensure(
            line["top"].as_array().is_some_and(|top| top.len() == 10),
            &line,
        )?;
        if cfg!(unix) {
            let bytes: Vec<u8> = serde_json::from_value(line["path_bytes"].clone())?;
            ensure(bytes == path.as_os_str().as_encoded_bytes(), line)?;
        }
    }
    Ok(())
}

fn problems() -> Result<(), Failed> {
    let (folder, a, b) = small_images()?;
    let path = folder.path();
    let nowhere = path.join("*.gif");
    #[cfg(unix)]
    std::os::unix::fs::symlink(path, path.join("loop"))?;
    let inputs: [PathBuf; 3] = [a, nowhere.clone(), b];
    let result = run(command().arg("-i").args(&inputs));
    expect_code(&result, 1)?;
    ensure(names(&result.stdout, path) == ["a.ppm", "b.ppm"], &result)?;
    ensure(
        result
            .stderr
            .contains(&format!("error: {}: no file matches", nowhere.display())),
        &result,
    )?;
    ensure(result.stderr.contains("1 of 3 inputs failed"), result)?;
    if cfg!(unix) {
        let result = run(command().arg("-r").arg("-i").arg(path));
        expect_code(&result, 1)?;
        ensure(names(&result.stdout, path) == ["a.ppm", "b.ppm"], &result)?;
        ensure(result.stderr.contains("loop"), result)?;
    }
    Ok(())
}

fn nothing() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("deep"))?;
    let run = run(command().arg("-i").arg(folder.path()));
    expect_code(&run, 2)?;
    ensure(
        run.stderr.contains("no images") && run.stderr.contains("hint: add `--recursive`"),
        run,
    )
}
