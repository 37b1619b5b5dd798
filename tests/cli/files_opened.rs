//! Every file of the user that a command opens is refused as its output. The system's calls tell which files these are,
//! so that a file that the program reads and its check does not know is found.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Run, ensure, expect_code, run, small_model, works};
use libtest_mimic::{Failed, Trial};

use crate::files::tree;
use crate::{classify, copy_environment};

/// A command, and its flags for outputs, each with the ending that the output needs.
struct Work {
    name: &'static str,
    arguments: &'static [&'static str],
    outputs: &'static [(&'static str, &'static str)],
    /// A file that it opens: without it, nothing was traced.
    opens: &'static str,
}

const WORKS: [Work; 8] = [
    Work {
        name: "classify",
        arguments: &[
            "-m",
            "plain.onnx",
            "--backend",
            "rten",
            "--preprocess",
            "hf/preprocessor_config.json",
            "--labels",
            "labels.txt",
            "--input-list",
            "list.txt",
        ],
        outputs: &[("--output", "json")],
        opens: "hf/config.json",
    },
    Work {
        name: "compare",
        arguments: &[
            "compare",
            "rten",
            "-m",
            "plain.onnx",
            "--preprocess",
            "hf/preprocessor_config.json",
            "-i",
            "images",
            "--against",
            "recording.jsonl",
        ],
        outputs: &[("--record", "jsonl"), ("--report", "json")],
        opens: "recording.jsonl",
    },
    Work {
        name: "evaluate",
        arguments: &[
            "evaluate",
            "rten",
            "-m",
            "plain.onnx",
            "--preprocess",
            "hf/preprocessor_config.json",
            "-i",
            "images",
            "--truth",
            "truth.csv",
        ],
        outputs: &[("--record", "jsonl"), ("--report", "csv")],
        opens: "truth.csv",
    },
    Work {
        name: "check",
        arguments: &["check", "--config", "gate.toml"],
        outputs: &[("--record", "jsonl"), ("--report", "html")],
        opens: "gate.toml",
    },
    Work {
        name: "tensors",
        arguments: &[
            "tensors",
            "--backend",
            "rten",
            "-m",
            "plain.onnx",
            "--preprocess",
            "hf/preprocessor_config.json",
            "-i",
            "images",
        ],
        outputs: &[("--output", "npz")],
        opens: "images/a.ppm",
    },
    Work {
        name: "merge_of_rows",
        arguments: &["merge", "rows"],
        outputs: &[("--output", "json")],
        opens: "rows/job.json",
    },
    Work {
        name: "merge_of_a_comparison",
        arguments: &["merge", "comparison"],
        outputs: &[("--report", "json")],
        opens: "comparison/job.json",
    },
    Work {
        name: "merge_of_an_evaluation",
        arguments: &["merge", "evaluation"],
        outputs: &[("--report", "csv")],
        opens: "truth.csv",
    },
];

pub fn trials() -> Vec<Trial> {
    let strace = works(
        &["strace", "-o", "/dev/null", "true"],
        "strace that may trace",
    );
    let kind = match &strace {
        Ok(()) => String::new(),
        Err(needed) => format!("needs: {needed}"),
    };
    let works = WORKS.iter().map(|work| {
        let name = format!("{}_never_replaces_a_file_it_opens", work.name);
        let trial = Trial::test(name, || replaces_nothing(work));
        trial.with_kind(&kind).with_ignored_flag(strace.is_err())
    });
    let mut trials: Vec<Trial> = works.collect();
    trials.extend(SHARDS.iter().map(|(name, work)| {
        let name = format!("a_shard_of_{name}_never_replaces_a_file_it_opens");
        let trial = Trial::test(name, || shard_replaces_nothing(&WORKS[*work]));
        trial.with_kind(&kind).with_ignored_flag(strace.is_err())
    }));
    trials
}

/// The works that can be divided.
const SHARDS: [(&str, usize); 3] = [("classify", 0), ("compare", 1), ("evaluate", 2)];

fn at(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = classify();
    command.current_dir(directory).args(arguments);
    command
}

/// A directory with the files of all works.
fn files() -> Result<tempfile::TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    fs::copy(small_model("plain.onnx"), path("plain.onnx"))?;
    fs::create_dir(path("hf"))?;
    fs::write(
        path("hf/preprocessor_config.json"),
        r#"{"image_processor_type": "ViTImageProcessor", "size": 8, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#,
    )?;
    fs::write(path("hf/config.json"), r#"{"model_type": "vit"}"#)?;
    fs::create_dir(path("images"))?;
    for (name, level) in [("images/a.ppm", 10), ("images/b.ppm", 200)] {
        fs::write(path(name), [&b"P6 8 8 255\n"[..], &[level; 192]].concat())?;
    }
    fs::write(path("list.txt"), "images/a.ppm\nimages/b.ppm\n")?;
    let labels: Vec<String> = (0..12).map(|class| format!("class {class}")).collect();
    fs::write(path("labels.txt"), labels.join("\n"))?;
    fs::write(path("truth.csv"), "path,class_id\na.ppm,10\nb.ppm,3\n")?;
    fs::write(
        path("gate.toml"),
        "runs = ['rten']\nmodel = 'plain.onnx'\ninput = ['images']\npreprocess = 'hf/preprocessor_config.json'\n\
         [compare]\nagainst = 'recording.jsonl'\n[evaluate]\ntruth = 'truth.csv'\nmin-truth = 2\n",
    )?;
    let compare = WORKS[1].arguments;
    let without_recording = &compare[..compare.len() - 2];
    let record = [without_recording, &["--record", "recording.jsonl"]].concat();
    expect_code(&run(&mut at(directory.path(), &record)), 0)?;
    let shards: [(&str, &[&str]); 3] = [
        (
            "rows",
            &[WORKS[0].arguments, &["--format", "json"]].concat(),
        ),
        (
            "comparison",
            &[&["compare", "rten"], &without_recording[1..]].concat(),
        ),
        ("evaluation", WORKS[2].arguments),
    ];
    for (name, arguments) in shards {
        for shard in ["0/2", "1/2"] {
            let flags = ["--shard", shard, "--out-dir", name];
            let arguments = [arguments, &flags].concat();
            expect_code(&run(&mut at(directory.path(), &arguments)), 0)?;
        }
    }
    Ok(directory)
}

/// The files below `directory` that a command opens to read them.
fn opened(command: &Command, directory: &Path) -> Result<BTreeSet<PathBuf>, Failed> {
    let log = tempfile::NamedTempFile::new()?;
    let mut traced = Command::new("strace");
    traced.args([
        "-f",
        "-qq",
        "-s",
        "4096",
        "-e",
        "trace=open,openat,openat2",
        "-o",
    ]);
    traced.arg(log.path()).arg(command.get_program());
    traced.args(command.get_args()).current_dir(directory);
    copy_environment(command, &mut traced);
    expect_code(&run(&mut traced), 0)?;
    let mut files = BTreeSet::new();
    for line in fs::read_to_string(log.path())?.lines() {
        let path = line.split('"').nth(1);
        let failed = line.contains(") = -1 ");
        let is_read = !["O_WRONLY", "O_RDWR", "O_DIRECTORY", "O_PATH"]
            .iter()
            .any(|flag| line.contains(flag));
        let (Some(path), false, true) = (path, failed, is_read) else {
            continue;
        };
        let Ok(path) = directory.join(path).canonicalize() else {
            continue;
        };
        if path.is_file() && path.starts_with(directory) {
            files.insert(path);
        }
    }
    Ok(files)
}

fn replaces_nothing(work: &Work) -> Result<(), Failed> {
    let directory = files()?;
    let directory = directory.path().canonicalize()?;
    let before = tree(&directory)?;
    let mut command = at(&directory, work.arguments);
    if work.name == "tensors" {
        // It needs an output, which is not part of the trace.
        command.args(["--output", "-"]);
    }
    let read = opened(&command, &directory)?;
    ensure(read.contains(&directory.join(work.opens)), &read)?;
    ensure(tree(&directory)? == before, "something was written")?;
    let links = tempfile::tempdir()?;
    for file in &read {
        for (flag, ending) in work.outputs {
            // Both tables of a file have a flag: the output of the second is a new file.
            let name = if work.name == "check" {
                "{command}"
            } else {
                "compare"
            };
            let link = links.path().join(format!("compare.{ending}"));
            let output = links.path().join(format!("{name}.{ending}"));
            symlink(file, &link)?;
            let result = run(at(&directory, work.arguments).arg(flag).arg(&output));
            refused(&result, file)?;
            ensure(tree(&directory)? == before, (file, &result))?;
            fs::remove_file(link)?;
        }
    }
    Ok(())
}

fn refused(result: &Run, file: &Path) -> Result<(), Failed> {
    expect_code(result, 2)?;
    ensure(
        result.stderr.contains("which is read") && result.stderr.contains("\nhint: "),
        (file, result),
    )
}

/// The arguments of a work as a shard, which reads no recording.
fn of_shard(work: &Work) -> Vec<&'static str> {
    let arguments = work.arguments.iter().copied();
    let without = arguments.filter(|argument| !["--against", "recording.jsonl"].contains(argument));
    let shard = ["--shard", "0/1", "--out-dir", "out"];
    // A comparison without a recording needs two runs.
    let more: &[&str] = match work.name {
        "classify" => &["--format", "json"],
        "compare" => &["--", "rten"],
        _ => &[],
    };
    without.chain(shard).chain(more.iter().copied()).collect()
}

/// A part, a manifest and a job in the place of each file that a shard reads.
fn shard_replaces_nothing(work: &Work) -> Result<(), Failed> {
    let directory = files()?;
    let directory = directory.path().canonicalize()?;
    let out = directory.join("out");
    let arguments = of_shard(work);
    let command = at(&directory, &arguments);
    let read = opened(&command, &directory)?;
    let names: Vec<_> = fs::read_dir(&out)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    ensure(names.len() == 3, &names)?;
    let read: Vec<&PathBuf> = read.iter().filter(|file| !file.starts_with(&out)).collect();
    ensure(read.contains(&&directory.join("images/b.ppm")), &read)?;
    fs::remove_dir_all(&out)?;
    fs::create_dir(&out)?;
    for file in read {
        for name in &names {
            let link = out.join(name);
            symlink(file, &link)?;
            let before = tree(&directory)?;
            let result = run(&mut at(&directory, &arguments));
            if name == "job.json" {
                // It is there, and no job.
                expect_code(&result, 2)?;
            } else {
                refused(&result, file)?;
            }
            ensure(tree(&directory)? == before, (file, &result))?;
            fs::remove_file(link)?;
        }
    }
    Ok(())
}
