//! Directories, patterns and lists.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use classify_tests::{Needs, Run, blocks, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("hidden_files_and_others_are_skipped", flat),
        ("recursive_reads_subdirectories", recursive),
        ("an_image_that_is_given_twice_is_classified_twice", patterns),
        ("lists_are_read_from_files_and_stdin", lists),
        ("a_list_on_stdin_is_answered_before_its_end", open_list),
        ("a_list_with_lines_and_nul_is_refused", mixed_list),
        ("a_list_on_stdin_without_images_is_an_error", no_images),
        ("paths_that_are_not_utf_8_are_kept", not_utf_8),
    ];
    #[cfg(unix)]
    let on_unix: [(&str, fn() -> Result<(), Failed>); 1] =
        [("a_directory_loop_is_one_error", directory_loop)];
    #[cfg(not(unix))]
    let on_unix: [(&str, fn() -> Result<(), Failed>); 0] = [];
    on_engines
        .into_iter()
        .chain(on_unix)
        .map(|(name, test)| engines.test(name, test))
        .collect()
}

/// `a.ppm`, `b.ppm`, `.hidden.ppm`, `notes.txt`, `deep/c.ppm`.
fn tree() -> Result<tempfile::TempDir, Failed> {
    let (directory, a, _) = small_images()?;
    std::fs::create_dir(directory.path().join("deep"))?;
    for copy in [".hidden.ppm", "deep/c.ppm"] {
        std::fs::copy(&a, directory.path().join(copy))?;
    }
    std::fs::write(directory.path().join("notes.txt"), "no image")?;
    Ok(directory)
}

fn command() -> Command {
    let mut command = classify();
    command.args(["--backend", "onnx", "--color", "rgb", "-m"]);
    command.arg(small_model("plain.onnx"));
    command
}

fn names(stdout: &str, directory: &Path) -> Vec<String> {
    blocks(stdout)
        .into_iter()
        .map(|(path, _)| {
            let path = Path::new(&path);
            let inside = path.strip_prefix(directory).unwrap_or(path);
            inside.to_string_lossy().into_owned()
        })
        .collect()
}

fn flat() -> Result<(), Failed> {
    let directory = tree()?;
    let path = directory.path();
    let flat = run(command().arg("-i").arg(path));
    expect_code(&flat, 0)?;
    ensure(names(&flat.stdout, path) == ["a.ppm", "b.ppm"], &flat)?;
    let note = "note: skipped 1 hidden entry and 1 non-image file (1 .txt)\n";
    ensure(flat.stderr.contains(note), flat)
}

fn recursive() -> Result<(), Failed> {
    let directory = tree()?;
    let path = directory.path();
    let deep = run(command().arg("--recursive").arg("-i").arg(path));
    expect_code(&deep, 0)?;
    ensure(
        names(&deep.stdout, path) == ["a.ppm", "b.ppm", "deep/c.ppm"],
        deep,
    )
}

fn patterns() -> Result<(), Failed> {
    let directory = tree()?;
    let path = directory.path();
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
    let directory = tree()?;
    let path = directory.path();
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
    Ok(())
}

fn open_list() -> Result<(), Failed> {
    let directory = tree()?;
    let mut child = command()
        .args(["--format", "json", "-i", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // A directory may be among them.
    let expected = [vec!["b.ppm"], vec!["deep/c.ppm"], vec!["b.ppm"]];
    for (entry, expected) in ["b.ppm", "deep", "b.ppm"].iter().zip(expected) {
        writeln!(stdin, "{}", directory.path().join(entry).display())?;
        for name in expected {
            let line = lines.next().ok_or("no result")??;
            let result: serde_json::Value = serde_json::from_str(&line)?;
            let path = directory.path().join(name);
            ensure(result["path"] == path.to_string_lossy().as_ref(), result)?;
        }
    }
    drop(stdin);
    ensure(lines.next().is_none() && child.wait()?.success(), directory)
}

/// The results of images before it are there.
fn mixed_list() -> Result<(), Failed> {
    let directory = tree()?;
    let path = directory.path().join("b.ppm");
    let line = format!("{}\n", path.display());
    // The first bytes have no NUL.
    let list = line.repeat(100_000 / line.len() + 1) + "a.ppm\0b.ppm\0";
    let run = with_list(list.as_bytes())?;
    expect_code(&run, 2)?;
    ensure(run.stderr.contains("of the list has a NUL"), &run.stderr)?;
    ensure(run.stdout.contains("b.ppm"), &run.stdout)
}

fn no_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let nothing = with_list(b"\n\r\n")?;
    expect_code(&nothing, 2)?;
    ensure(
        nothing.stderr.contains("the list of images is empty"),
        nothing,
    )?;
    let listed = with_list(directory.path().as_os_str().as_encoded_bytes())?;
    expect_code(&listed, 2)?;
    let reason = "there are no images in this directory";
    ensure(listed.stderr.contains(reason), listed)?;
    let image = with_list(b"P6 2 2 255\n")?;
    expect_code(&image, 2)?;
    ensure(
        image
            .stderr
            .contains("the file is an image, not a list of images"),
        image,
    )
}

/// Classifies the images of `list` on stdin.
fn with_list(list: &[u8]) -> Result<Run, Failed> {
    let mut file = tempfile::tempfile()?;
    file.write_all(list)?;
    file.rewind()?;
    Ok(run(command().args(["-i", "-"]).stdin(file)))
}

fn not_utf_8() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    #[cfg(unix)]
    let name: OsString = {
        use std::os::unix::ffi::OsStringExt as _;
        OsString::from_vec(b"caf\xe9.ppm".to_vec())
    };
    #[cfg(not(unix))]
    let name = OsString::from("café.ppm");
    let path = directory.path().join(name);
    std::fs::copy(a, &path)?;
    for input in [path.clone(), directory.path().to_owned()] {
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

#[cfg(unix)]
fn directory_loop() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    let path = directory.path();
    std::os::unix::fs::symlink(path, path.join("loop"))?;
    let result = run(command().arg("-r").arg("-i").arg(path));
    expect_code(&result, 1)?;
    ensure(names(&result.stdout, path) == ["a.ppm", "b.ppm"], &result)?;
    let named = |line: &&str| line.starts_with("error: ") && line.contains("/loop: ");
    ensure(result.stderr.lines().filter(named).count() == 1, result)
}
