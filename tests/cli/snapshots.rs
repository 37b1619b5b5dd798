//! The words of the program: each file of `snapshots/` holds command lines and everything that they print.
//!
//! A file begins with lines `# …` about it, one of which is `# Needs: nothing`, `engines` or `set-up`. A line `$ …` is
//! a command line, and the lines below it are the result. `$ cat FILE` shows a file that a command wrote. Where all
//! numbers are measured, `| words` leaves the words of stdout, and `| keys` the keys of its JSON.
//!
//! All commands of a file run one after the other in the same new directory, which has the files of `tests/data`,
//! `snapshots/files` and [`fixtures`](crate::fixtures). With `SNAPSHOTS=overwrite` the results are written instead of
//! compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use classify_tests::{Needs, Run, checkout, ensure, run, set_up_dir};
use libtest_mimic::{Failed, Trial};
use regex::Regex;
use serde_json::Value;
use snapbox::assert::Action;
use snapbox::{Assert, Data, Redactions};

use crate::filters;
use crate::{classify, fixtures};

/// Begins a command line.
const PROMPT: &str = "$ ";

/// The directory of the files that commands read and that are no snapshots.
const FILES: &str = "files";

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let mut trials = filters::trials();
    for file in files() {
        let name = file.strip_prefix(directory()).expect("in it");
        let name = name.with_extension("").to_string_lossy().replace('/', "::");
        let (needs, snapshot) = match Snapshot::read(&file) {
            Ok(snapshot) => (snapshot.needs(engines, with_set_up), Ok(snapshot)),
            Err(error) => (Needs::nothing(), Err(error)),
        };
        let test = move || snapshot?.check(action());
        trials.push(needs.test(format!("snapshots::{name}"), test));
    }
    let facts: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("a_file_without_a_command_fails", no_command),
        ("a_changed_result_fails", changed_result),
        ("only_keys_and_types_are_left_of_json", keys_of_json),
        ("help_of_every_command_is_there", every_help),
        ("at_least_60_errors_are_there", enough_errors),
        ("every_file_of_a_command_is_used", used_files),
    ];
    trials.extend(facts.map(|(name, test)| Trial::test(format!("snapshots::{name}"), test)));
    trials
}

/// Returns what to do with results that differ.
fn action() -> Action {
    Action::with_env_var("SNAPSHOTS").unwrap_or(Action::Verify)
}

fn directory() -> PathBuf {
    checkout().join("tests/cli/snapshots")
}

/// Returns everything in the directory that has to be a snapshot.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("snapshots can be read") {
            let path = entry.expect("snapshots can be read").path();
            if !path.is_dir() {
                files.push(path);
            } else if path != self::directory().join(FILES) {
                directories.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A file of snapshots.
#[derive(Debug)]
struct Snapshot {
    path: PathBuf,
    /// The lines about the file.
    header: String,
    /// The command lines without the prompt.
    commands: Vec<String>,
    needs: String,
}

impl Snapshot {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is no snapshot: a file without a command is left over or lost.
    fn read(path: &Path) -> Result<Self, Failed> {
        let text = fs::read_to_string(path)?;
        let wrong = |what: &str| Failed::from(format!("{}: {what}", path.display()));
        if path.extension().is_none_or(|ending| ending != "txt") {
            return Err(wrong("a snapshot ends in .txt"));
        }
        let first = text.find(PROMPT).ok_or_else(|| wrong("has no command"))?;
        let header = &text[..first];
        let needs = header
            .lines()
            .find_map(|line| line.strip_prefix("# Needs: "));
        let commands: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix(PROMPT))
            .map(str::to_owned)
            .collect();
        let different: BTreeSet<&String> = commands.iter().collect();
        if different.len() < commands.len() {
            return Err(wrong("has a command twice"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            header: header.to_owned(),
            commands,
            needs: needs
                .filter(|needs| ["nothing", "engines", "set-up"].contains(needs))
                .ok_or_else(|| wrong("has no line `# Needs: nothing`, `engines` or `set-up`"))?
                .to_owned(),
        })
    }

    fn needs(&self, engines: &Needs, with_set_up: &Needs) -> Needs {
        match &*self.needs {
            "engines" => engines.clone(),
            "set-up" => with_set_up.clone(),
            _ => Needs::nothing(),
        }
    }

    /// Runs the commands and compares, or writes what they print.
    fn check(&self, action: Action) -> Result<(), Failed> {
        let place = tempfile::tempdir()?;
        let root = place.path().canonicalize()?;
        fixtures::write(&root)?;
        for directory in ["tests/data", "tests/data/cases"].map(|name| checkout().join(name)) {
            copy_files(&directory, &root)?;
        }
        copy_files(&directory().join(FILES), &root)?;
        let redactions = filters::of_places(&root, set_up_dir().as_deref())?;
        let mut actual = self.header.clone();
        for (place, command) in self.commands.iter().enumerate() {
            if place > 0 {
                actual.push('\n');
            }
            let result = self.result(command, &root, &redactions)?;
            let _ = writeln!(
                actual,
                "{PROMPT}{command}\n{}",
                result.trim_end_matches('\n')
            );
        }
        let expected = Data::read_from(&self.path, None).raw();
        let name = self.path.display();
        Assert::new()
            .action(action)
            .try_eq(Some(&name), Data::text(actual), expected)
            .map_err(|error| Failed::from(error.to_string()))
    }

    /// Returns everything that a command prints.
    fn result(&self, line: &str, root: &Path, redactions: &Redactions) -> Result<String, Failed> {
        let mut line = line.replace("[ROOT]", &root.to_string_lossy());
        if let Some(home) = set_up_dir() {
            line = line.replace("[SETUP]", &home.to_string_lossy());
        }
        let words = words(&line)?;
        if let ["cat", file] = *words.iter().map(String::as_str).collect::<Vec<_>>() {
            let text = filters::without_isolation(&fs::read_to_string(root.join(file))?)?;
            return Ok(redactions.redact(&text));
        }
        let (mut command, filter) = self.command(&words, root)?;
        let mut run = run(&mut command);
        run.stdout = filters::without_isolation(&run.stdout)?;
        run.stdout = redactions.redact(&match filter {
            Some("keys") => keys(&run.stdout)?,
            _ => run.stdout,
        });
        run.stderr = redactions.redact(&run.stderr);
        match filter {
            None | Some("keys") => {}
            Some("words") => run.stdout = filters::without_numbers(&run.stdout)?,
            Some(other) => return Err(format!("there is no filter `{other}`").into()),
        }
        Ok(printed(&run))
    }

    /// Returns the command, and the name of the filter behind `|`.
    fn command<'a>(
        &self,
        words: &'a [String],
        root: &Path,
    ) -> Result<(Command, Option<&'a str>), Failed> {
        let mut command = classify();
        command.current_dir(root).env("COLUMNS", "100");
        if self.needs == "nothing" {
            for variable in [
                "VIRTUAL_ENV",
                "CONDA_PREFIX",
                "INTEL_OPENVINO_DIR",
                "LD_LIBRARY_PATH",
            ] {
                command.env_remove(variable);
            }
            command.env("CLASSIFY_HOME", root);
        }
        command.stdin(Stdio::null());
        let mut words = words.iter().map(String::as_str);
        for word in words.by_ref() {
            match word.split_once('=') {
                Some((name, value)) => command.env(name, value),
                None if word == "classify" => break,
                None => return Err(format!("`{word}` instead of classify or cat").into()),
            };
        }
        while let Some(word) = words.next() {
            match word {
                "<" => {
                    let file = words.next().ok_or("no file after <")?;
                    command.stdin(File::open(root.join(file))?);
                }
                "|" => return Ok((command, words.next())),
                _ => {
                    command.arg(word);
                }
            }
        }
        Ok((command, None))
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Failed> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Splits a command line at spaces outside of single quotes.
fn words(line: &str) -> Result<Vec<String>, Failed> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().expect("one").push(letter),
        }
    }
    ensure(!is_quoted, "a quote is not closed")?;
    Ok(words)
}

/// Returns the exit code and both streams as they stand in a snapshot.
fn printed(run: &Run) -> String {
    let mut text = match run.code {
        Some(code) => format!("exit code {code}\n"),
        None => "ended by a signal\n".to_owned(),
    };
    for (name, stream) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !stream.is_empty() {
            let _ = write!(text, "--- {name}\n{stream}");
            if !stream.ends_with('\n') {
                text.push_str("[no newline at the end]\n");
            }
        }
    }
    text
}

/// Returns the keys of JSON with the types of their values, one a line.
fn keys(json: &str) -> Result<String, Failed> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for value in serde_json::Deserializer::from_str(json).into_iter::<Value>() {
        let mut values = vec![(String::new(), value?)];
        while let Some((path, value)) = values.pop() {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(items) => {
                    let path = format!("{path}[]");
                    values.extend(items.into_iter().map(|item| (path.clone(), item)));
                    continue;
                }
                Value::Object(members) => {
                    let members = members.into_iter();
                    values.extend(members.map(|(key, value)| (format!("{path}.{key}"), value)));
                    continue;
                }
            };
            found.entry(path).or_default().insert(kind);
        }
    }
    let mut text = String::new();
    for (path, kinds) in found {
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let _ = writeln!(text, "{path}: {}", kinds.join(" or "));
    }
    Ok(text)
}

/// Reads a snapshot with this text.
fn snapshot_of(name: &str, text: &str) -> Result<(tempfile::TempDir, Snapshot), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(name);
    fs::write(&path, text)?;
    let snapshot = Snapshot::read(&path)?;
    Ok((directory, snapshot))
}

/// A file that is left over or misspelled is an error, and not a test less.
fn no_command() -> Result<(), Failed> {
    let good = "# Needs: nothing\n\n$ classify\n";
    ensure(snapshot_of("a.txt", good).is_ok(), "a good one")?;
    for (name, text) in [
        ("a.txt", "# Needs: nothing\n"),
        ("a.txt", ""),
        ("a.txt", "$ classify\n"),
        ("a.txt", "# Needs: luck\n\n$ classify\n"),
        ("a.txt", "# Needs: nothing\n\n$ classify\n\n$ classify\n"),
        ("a.snap", good),
        ("a.txt.orig", good),
    ] {
        ensure(snapshot_of(name, text).is_err(), (name, text))?;
    }
    Ok(())
}

/// The whole way from a command line to the verdict.
fn changed_result() -> Result<(), Failed> {
    let right = "# Needs: nothing\n\n$ classify man -h\nexit code 0\n--- stdout\nPrint the manual page\n\n\
        Usage: classify man\n\nOptions:\n  -h, --help  Print help\n";
    let passes = |text: &str| {
        let (_directory, snapshot) = snapshot_of("a.txt", text)?;
        Ok::<_, Failed>(snapshot.check(Action::Verify).is_ok())
    };
    ensure(passes(right)?, "the right result")?;
    for (from, to) in [
        ("manual page", "manual"),
        ("exit code 0", "exit code 1"),
        ("--- stdout", "--- stderr"),
        ("  -h", " -h"),
        ("Print help\n", "Print help\nmore\n"),
        ("classify man -h\n", "classify man -h\n\n"),
    ] {
        ensure(!passes(&right.replace(from, to))?, (from, to))?;
    }
    Ok(())
}

fn keys_of_json() -> Result<(), Failed> {
    let json = r#"{"a": 1, "b": [{"c": "x"}, {"c": null, "d": []}]} {"a": true}"#;
    let expected = ".a: boolean or number\n.b[].c: null or string\n";
    let found = keys(json)?;
    ensure(found == expected, found)
}

/// Returns all snapshots as text.
fn texts() -> Result<Vec<String>, Failed> {
    files()
        .iter()
        .map(|file| Ok(fs::read_to_string(file)?))
        .collect()
}

/// Every command that `classify --help` lists has its short and its long help in a snapshot.
fn every_help() -> Result<(), Failed> {
    let help = run(classify().arg("--help")).stdout;
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // The lines of a long description are indented more.
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<String> = listed
        .filter(|name| !["", "help"].contains(name))
        .map(|name| format!("classify {name}"))
        .chain(["classify".to_owned()])
        .collect();
    ensure(commands.len() == 12, &commands)?;
    let texts = texts()?;
    for command in commands {
        for flag in ["-h", "--help"] {
            let line = format!("{PROMPT}{command} {flag}");
            let is_there = texts.iter().any(|text| text.lines().any(|own| own == line));
            ensure(is_there, format!("no snapshot has `{line}`"))?;
        }
    }
    Ok(())
}

/// Counts different errors. Lines that differ only in names of files, numbers or quoted words count as one.
fn enough_errors() -> Result<(), Failed> {
    let texts = texts()?;
    let values = Regex::new(r"\S*[.\d]\S*|`[^`]*`|'[^']*'")?;
    let errors: BTreeSet<_> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("error: "))
        .map(|line| values.replace_all(line, "_"))
        .collect();
    println!("{} different errors", errors.len());
    ensure(errors.len() >= 60, errors.len())
}

/// A file in `files` that no command names is left over.
fn used_files() -> Result<(), Failed> {
    let texts = texts()?;
    for entry in fs::read_dir(directory().join(FILES))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let mut lines = texts.iter().flat_map(|text| text.lines());
        let is_used = lines.any(|line| line.starts_with(PROMPT) && line.contains(&name));
        ensure(is_used, format!("no command reads files/{name}"))?;
    }
    Ok(())
}
