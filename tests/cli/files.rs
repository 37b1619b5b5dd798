//! Files of the user: nothing that is read is replaced, and nothing is left over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, library_dirs, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let anywhere: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("an_output_never_replaces_what_is_read", replaces_nothing),
        ("an_output_never_replaces_the_list_on_stdin", list_on_stdin),
        ("stdout_is_never_a_file_that_is_read", stdout_to_input),
        ("a_closed_pipe_is_no_error_and_a_full_disk_is", no_reader),
        ("two_outputs_are_two_files", two_outputs),
        ("a_cache_entry_takes_no_output", inside_the_cache),
    ];
    let on_engines: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("a_library_is_not_replaced", libraries),
        ("a_library_of_a_plugin_is_not_replaced", library_of_a_plugin),
        ("a_cache_directory_keeps_what_is_foreign", foreign_in_cache),
    ];
    let kinds: [(&str, fn() -> Result<Reports, Failed>); 2] = [
        ("reports_of_compare", || reports_first("compare")),
        ("reports_of_evaluate", || reports_first("evaluate")),
    ];
    let reports = kinds.map(|(name, build)| {
        Needs::nothing().scenario(
            name,
            build,
            [
                ("are_written", Reports::are_written),
                ("need_no_reader_of_stdout", Reports::need_no_reader),
                (
                    "leave_the_verdict_without_a_reader",
                    Reports::verdict_needs_no_reader,
                ),
                (
                    "need_no_space_for_stdout",
                    Reports::need_no_space_for_stdout,
                ),
                ("leave_the_error_of_stdout", Reports::full_stdout_is_named),
            ],
        )
    });
    anywhere
        .map(|(name, test)| Trial::test(name, test))
        .into_iter()
        .chain(reports.into_iter().flatten())
        .chain(on_engines.map(|(name, test)| engines.test(name, test)))
        .collect()
}

/// Every file below `directory`, with its content.
pub fn tree(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(tree(&path)?);
        }
        let content = fs::read(&path).unwrap_or_default();
        all.insert(path, content);
    }
    Ok(all)
}

/// A field of Protocol Buffers that has bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short field");
    [&[number << 3 | 2, length], bytes].concat()
}

/// An ONNX model that names files: external data, and labels by Model API's metadata.
fn model_with_files(data: &str, labels: &str) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    let initializer = field(13, &entry("location", data));
    let graph = field(5, &initializer);
    // metadata_props is field 14.
    [
        field(7, &graph),
        field(14, &entry("model_info path_to_labels", labels)),
    ]
    .concat()
}

/// A directory with every kind of file that is read. The names of the files.
fn everything(directory: &Path) -> Result<Vec<&'static str>, Failed> {
    let at = |name: &str| directory.join(name);
    for name in ["plain.xml", "plain.bin", "plain.onnx"] {
        fs::copy(small_model(name), at(name))?;
    }
    fs::create_dir(at("onnx"))?;
    fs::write(
        at("onnx/data.onnx"),
        model_with_files("weights.data", "names.txt"),
    )?;
    for name in [
        "onnx/weights.data",
        "onnx/names.txt",
        "onnx/preprocessor_config.json",
        "config.json",
        "model.yml",
        "paddle.pdmodel",
        "paddle.pdiparams",
        "plain.labels",
        "labels.txt",
        "preprocess.json",
        "truth.csv",
        "recording.jsonl",
        "plugins.xml",
        "kernels.xml",
        "bisect.ppm",
    ] {
        fs::write(at(name), format!("the user's {name}"))?;
    }
    fs::create_dir(at("images"))?;
    fs::create_dir(at("saved"))?;
    fs::create_dir(at("saved/variables"))?;
    fs::write(at("saved/saved_model.pb"), "graph")?;
    fs::write(at("saved/variables/variables.index"), "weights")?;
    fs::write(at("images/a.ppm"), b"P6 1 1 255\nabc")?;
    fs::write(at("list.txt"), "images/a.ppm\n")?;
    Ok(vec![
        "plain.xml",
        "plain.bin",
        "plain.onnx",
        "onnx/data.onnx",
        "onnx/weights.data",
        "onnx/names.txt",
        "onnx/preprocessor_config.json",
        "config.json",
        "model.yml",
        "paddle.pdmodel",
        "paddle.pdiparams",
        "plain.labels",
        "labels.txt",
        "preprocess.json",
        "truth.csv",
        "recording.jsonl",
        "plugins.xml",
        "kernels.xml",
        "bisect.ppm",
        "images/a.ppm",
        "list.txt",
        "saved/saved_model.pb",
        "saved/variables/variables.index",
    ])
}

fn refused(
    result: &Run,
    directory: &Path,
    before: &BTreeMap<PathBuf, Vec<u8>>,
    words: &str,
) -> Result<(), Failed> {
    expect_code(result, 2)?;
    ensure(
        result.stderr.contains(words) && result.stderr.contains("\nhint: "),
        (words, result),
    )?;
    let after = tree(directory)?;
    ensure(after == *before, (after.keys().collect::<Vec<_>>(), result))
}

fn replaces_nothing() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let files = everything(directory.path())?;
    let before = tree(directory.path())?;
    let command = |arguments: &[&str]| {
        let mut command = classify();
        command.current_dir(directory.path()).args(arguments);
        command
    };
    let classifies: &[&[&str]] = &[
        &[
            "-m",
            "plain.xml",
            "--labels",
            "labels.txt",
            "--preprocess",
            "preprocess.json",
        ],
        &[
            "-m",
            "plain.xml",
            "--plugins",
            "plugins.xml",
            "--config",
            "CONFIG_FILE=kernels.xml",
        ],
        &["-m", "onnx/data.onnx", "--backend", "rten"],
        &["-m", "paddle.pdmodel"],
        &["-m", "saved"],
        &[
            "-m",
            "plain.onnx",
            "--backend",
            "onnx",
            "--input-list",
            "list.txt",
        ],
    ];
    let compares: &[&[&str]] = &[
        &[
            "compare",
            "rten=onnx/data.onnx",
            "openvino=plain.xml",
            "onnx=plain.onnx",
        ],
        &[
            "compare",
            "openvino",
            "-m",
            "paddle.pdmodel",
            "--labels",
            "labels.txt",
        ],
        &[
            "compare",
            "openvino=saved",
            "rten=plain.onnx",
            "--preprocess",
            "preprocess.json",
        ],
        &[
            "compare",
            "rten",
            "-m",
            "plain.onnx",
            "--against",
            "recording.jsonl",
        ],
        &[
            "compare",
            "rten",
            "rten",
            "-m",
            "plain.onnx",
            "--bisect",
            "--bisect-image",
            "bisect.ppm",
        ],
        &[
            "compare",
            "openvino",
            "-m",
            "plain.xml",
            "--plugins",
            "plugins.xml",
            "--config",
            "C=kernels.xml",
        ],
        &[
            "compare",
            "rten",
            "-m",
            "plain.onnx",
            "--input-list",
            "list.txt",
        ],
    ];
    // For each command the files that it reads have to be found among those that the other commands read as well.
    let mut read = Vec::new();
    for arguments in classifies {
        for file in &files {
            let result = run(command(arguments).args(["-i", "images/a.ppm", "-o", file]));
            if result.stderr.contains("which is read") {
                refused(&result, directory.path(), &before, file)?;
                read.push(*file);
            } else {
                // It was none of its files: what else is wrong, or nothing, is another test's.
                fs::write(
                    directory.path().join(file),
                    &before[&directory.path().join(file)],
                )?;
            }
        }
    }
    for arguments in compares {
        for file in &files {
            let result = run(command(arguments).args(["-i", "images/a.ppm", "--record", file]));
            if result.stderr.contains("which is read") {
                refused(&result, directory.path(), &before, file)?;
                read.push(*file);
            } else {
                fs::write(
                    directory.path().join(file),
                    &before[&directory.path().join(file)],
                )?;
            }
        }
    }
    let evaluate = [
        "evaluate",
        "rten",
        "-m",
        "onnx/data.onnx",
        "-i",
        "images",
        "--truth",
        "truth.json",
    ];
    fs::rename(
        directory.path().join("truth.csv"),
        directory.path().join("truth.json"),
    )?;
    let before = tree(directory.path())?;
    for report in ["truth.json", "config.json", "onnx/preprocessor_config.json"] {
        let result = run(command(&evaluate).args(["--report", report]));
        refused(&result, directory.path(), &before, report)?;
        read.push(if report == "truth.json" {
            "truth.csv"
        } else {
            report
        });
    }
    let missed: Vec<_> = files.iter().filter(|file| !read.contains(file)).collect();
    ensure(missed.is_empty(), missed)?;
    ensure(tree(directory.path())? == before, "something was written")
}

fn list_on_stdin() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    everything(directory.path())?;
    let before = tree(directory.path())?;
    let list = fs::File::open(directory.path().join("list.txt"))?;
    let mut command = classify();
    command.current_dir(directory.path()).stdin(list);
    command.args(["-m", "plain.onnx", "--backend", "rten", "-i", "-"]);
    let result = run(command.args(["-o", "./list.txt"]));
    refused(&result, directory.path(), &before, "the list on stdin")
}

/// Files that are named, and those that only the model names.
fn stdout_to_input() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    everything(directory.path())?;
    let before = tree(directory.path())?;
    for (model, target) in [
        ("plain.onnx", "labels.txt"),
        ("plain.xml", "plain.bin"),
        ("onnx/data.onnx", "onnx/weights.data"),
    ] {
        let mut command = classify();
        command.current_dir(directory.path());
        command.args(["-m", model, "--backend", "openvino", "-i", "images"]);
        command.args(["--labels", "labels.txt"]);
        let appended = fs::File::options()
            .append(true)
            .open(directory.path().join(target))?;
        let status = command
            .stdout(appended)
            .stderr(std::process::Stdio::null())
            .status()?;
        ensure(status.code() == Some(2), (target, status))?;
        ensure(tree(directory.path())? == before, target)?;
    }
    Ok(())
}

fn two_outputs() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    fs::create_dir(directory.path().join("sub"))?;
    fs::write(directory.path().join("old.json"), "old")?;
    #[cfg(unix)]
    std::os::unix::fs::symlink("new.json", directory.path().join("link.json"))?;
    let before = tree(directory.path())?;
    let pairs = [
        ["new.json", "./new.json"],
        ["new.json", "sub/../new.json"],
        ["old.json", "old.json"],
        #[cfg(unix)]
        ["link.json", "new.json"],
        #[cfg(unix)]
        ["new.json", "link.json"],
    ];
    for flags in [["--record", "--report"], ["--report", "--report"]] {
        for [one, other] in pairs {
            let mut command = classify();
            command.current_dir(directory.path());
            command.args([
                "compare", "rten", "rten", "-i", "a.ppm", "--color", "rgb", "-m",
            ]);
            command.arg(small_model("plain.onnx"));
            command.args([flags[0], one, flags[1], other]);
            let result = run(&mut command);
            refused(&result, directory.path(), &before, "are the same file")?;
            ensure(
                result.stderr.contains(one) && result.stderr.contains(other),
                result,
            )?;
        }
    }
    Ok(())
}

/// The verdict is that two models differ, in the last digits, and some rate is too low: both are exit code 1.
fn reports_first(kind: &str) -> Result<Reports, Failed> {
    let (directory, a, b) = small_images()?;
    let truth = directory.path().join("truth.txt");
    fs::write(&truth, "a.ppm 0\nb.ppm 0\n")?;
    let command = |reports: &Path| -> Command {
        let mut command = classify();
        command
            .args([kind, "rten", "-m"])
            .arg(small_model("plain.onnx"));
        command.arg("-i").args([&a, &b]).args(["--color", "rgb"]);
        if kind == "compare" {
            let other = small_model("probabilities.onnx");
            command.arg(format!("rten={}", other.display()));
            command.args(["--max-delta", "0", "--record"]);
            command.arg(reports.join("record.jsonl"));
        } else {
            command.args(["--min-top1", "100%", "--truth"]).arg(&truth);
        }
        for name in ["r.json", "r.md", "r.xml", "r.html"] {
            command.arg("--report").arg(reports.join(name));
        }
        command
    };
    // With a reader.
    let whole = tempfile::tempdir()?;
    expect_code(&run(&mut command(whole.path())), 1)?;

    let gone = tempfile::tempdir()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let unread = command(gone.path())
        .stdout(writer)
        .stderr(std::process::Stdio::null())
        .status()?;

    let full = tempfile::tempdir()?;
    let on_full_disk = if cfg!(target_os = "linux") {
        let device = fs::File::options().write(true).open("/dev/full")?;
        let mut command = command(full.path());
        command.stdout(device).stderr(std::process::Stdio::piped());
        Some(command.spawn()?.wait_with_output()?)
    } else {
        None
    };
    Ok(Reports {
        expected: sizes(whole.path())?,
        unread: (unread, sizes(gone.path())?),
        on_full_disk: match on_full_disk {
            Some(output) => Some((output, sizes(full.path())?)),
            None => None,
        },
    })
}

/// The name and the size of each file in a directory.
fn sizes(directory: &Path) -> Result<BTreeMap<PathBuf, usize>, Failed> {
    let files = tree(directory)?.into_iter().map(|(path, content)| {
        let name = path.file_name().expect("a name");
        (PathBuf::from(name), content.len())
    });
    Ok(files.collect())
}

/// The reports of a run whose verdict has exit code 1, with a reader of stdout, without one, and on a full disk.
struct Reports {
    expected: BTreeMap<PathBuf, usize>,
    unread: (std::process::ExitStatus, BTreeMap<PathBuf, usize>),
    on_full_disk: Option<(std::process::Output, BTreeMap<PathBuf, usize>)>,
}

impl Reports {
    fn are_written(&self) -> Result<(), Failed> {
        ensure([4, 5].contains(&self.expected.len()), &self.expected)
    }

    fn need_no_reader(&self) -> Result<(), Failed> {
        let (_, files) = &self.unread;
        ensure(*files == self.expected, (files, &self.expected))
    }

    fn verdict_needs_no_reader(&self) -> Result<(), Failed> {
        let (status, _) = &self.unread;
        ensure(status.code() == Some(1), status)
    }

    fn need_no_space_for_stdout(&self) -> Result<(), Failed> {
        let Some((_, files)) = &self.on_full_disk else {
            return Ok(());
        };
        ensure(*files == self.expected, (files, &self.expected))
    }

    fn full_stdout_is_named(&self) -> Result<(), Failed> {
        let Some((output, _)) = &self.on_full_disk else {
            return Ok(());
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure(
            output.status.code() == Some(2) && stderr.contains("cannot write to stdout"),
            output,
        )
    }
}

/// The table of a bench is all that it writes; classes are printed as they come.
fn no_reader() -> Result<(), Failed> {
    let (_directory, a, _) = small_images()?;
    let mut bench = classify();
    bench.args([
        "bench",
        "rten",
        "--count",
        "2",
        "--rounds",
        "1",
        "--inference-only",
        "-m",
    ]);
    bench.arg(small_model("plain.onnx")).arg("-i").arg(&a);
    let mut classes = classify();
    classes.args(["-q", "--backend", "rten", "--color", "rgb", "-m"]);
    classes.arg(small_model("plain.onnx")).arg("-i").arg(&a);
    for command in [&mut bench, &mut classes] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let status = command
            .stdout(writer)
            .stderr(std::process::Stdio::null())
            .status()?;
        ensure(status.code() == Some(0), (&command, status))?;
        if cfg!(target_os = "linux") {
            let device = fs::File::options().write(true).open("/dev/full")?;
            let status = command
                .stdout(device)
                .stderr(std::process::Stdio::null())
                .status()?;
            ensure(status.code() == Some(2), (&command, status))?;
        }
    }
    Ok(())
}

fn inside_the_cache() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let cache = directory.path().join("cache");
    let entry = cache.join("0123456789abcdef".repeat(4));
    fs::create_dir_all(&entry)?;
    fs::write(entry.join("1.blob"), "compiled")?;
    let before = tree(directory.path())?;
    for output in [
        entry.join("1.blob"),
        entry.join("new.txt"),
        cache.join("f".repeat(64)),
        cache.join(format!("classify-new-{}", "a".repeat(16))),
    ] {
        let mut command = classify();
        command
            .arg("-m")
            .arg(small_model("plain.onnx"))
            .arg("-i")
            .arg(&a);
        command
            .arg("--cache-dir")
            .arg(&cache)
            .arg("-o")
            .arg(&output);
        refused(
            &run(&mut command),
            directory.path(),
            &before,
            "this name is reserved by the cache directory",
        )?;
    }
    Ok(())
}

fn libraries() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let found = backend_onnx::find_library(None, &library_dirs())?.path;
    let own = directory.path().join("libonnxruntime.so");
    if fs::hard_link(&found, &own).is_err() {
        fs::copy(&found, &own)?;
    }
    let helper = directory.path().join("libonnxruntime_helper.so.1");
    fs::copy(&found, &helper)?;
    for output in [&own, &helper] {
        let mut command = classify();
        command
            .args(["--backend", "onnx", "-m"])
            .arg(small_model("plain.onnx"));
        command
            .arg("--onnxruntime-lib")
            .arg(&own)
            .arg("-i")
            .arg(&a)
            .arg("-o")
            .arg(output);
        let result = run(&mut command);
        expect_code(&result, 2)?;
        ensure(result.stderr.contains("a library of the engine"), result)?;
    }
    ensure(
        fs::metadata(&own)?.len() == fs::metadata(&found)?.len(),
        "it was replaced",
    )
}

/// The library lies far from the plugins file that names it.
fn library_of_a_plugin() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let elsewhere = tempfile::tempdir()?;
    let plugin = elsewhere.path().join("libplugin.so");
    fs::write(&plugin, "a plugin")?;
    let plugins = directory.path().join("plugins.xml");
    let text = format!(
        "<ie><plugins><plugin name='A' location='{}'/></plugins></ie>",
        plugin.display()
    );
    fs::write(&plugins, text)?;
    let mut command = classify();
    command
        .args(["--backend", "openvino", "-m"])
        .arg(small_model("plain.onnx"));
    command.arg("--plugins").arg(&plugins).arg("-i").arg(&a);
    let result = run(command.arg("-o").arg(&plugin));
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("a library of the plugins file"),
        result,
    )?;
    ensure(fs::read(&plugin)? == b"a plugin", "it was replaced")
}

fn foreign_in_cache() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let home = directory.path().join("home");
    for name in ["new-thesis", "new-abc123", "classify-new-thesis"] {
        fs::create_dir_all(home.join(name))?;
        fs::write(home.join(name).join("chapter-1.tex"), "years of work")?;
    }
    fs::write(home.join("notes.blob"), "mine")?;
    let before = tree(&home)?;
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(24 * 365);
    for path in before.keys() {
        fs::File::open(path)?.set_modified(old)?;
    }
    for said in ["was added to the cache", "was loaded from the cache"] {
        let mut command = classify();
        command
            .arg("-m")
            .arg(small_model("plain.onnx"))
            .arg("-i")
            .arg(&a);
        let result = run(command.args(["--color", "rgb", "--cache-dir"]).arg(&home));
        expect_code(&result, 0)?;
        ensure(result.stderr.contains(said), result)?;
    }
    let after = tree(&home)?;
    for (path, content) in &before {
        ensure(after.get(path) == Some(content), path)?;
    }
    Ok(())
}
