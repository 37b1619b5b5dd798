//! The file of `classify check`: the flags of `compare` and `evaluate` as TOML.

mod keys;

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction};
use toml::{Table, Value};

use crate::args::{Args, ReportPath};
use crate::errors::Hinted;
use keys::{Definition, RUNS, SHARDS, check_key, shard_key};

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// The commands that a file may have a table for.
const COMMANDS: [&str; 2] = ["compare", "evaluate"];
/// The keys of outputs.
const OUTPUTS: [&str; 2] = ["report", "record"];
/// The placeholder for the command, so that both tables can share a `report`.
const COMMAND: &str = "{command}";
/// The most characters of a line in an error.
const LONGEST_LINE: usize = 80;
/// The least likeness of a name that was meant.
const LIKENESS: f64 = 0.75;

/// The arguments of the commands that a file asks for, in their order.
#[derive(Debug)]
pub struct Gates {
    path: PathBuf,
    /// For each command its flags by their names; without a value for the positional arguments.
    commands: Vec<(&'static str, BTreeMap<String, Vec<OsString>>)>,
    /// The flags that the command line has replaced.
    replaced: BTreeSet<String>,
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

impl Gates {
    /// Reads a file. Its paths are relative to it.
    ///
    /// # Errors
    ///
    /// For a file that is not TOML, and for unknown keys and values of another type.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("cannot use {}", path.display());
        let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        // A link that leads nowhere is there.
        if path.symlink_metadata().is_err_and(is_missing) {
            let error = Hinted::new(
                "there is no such file",
                "write it: `[evaluate]`, and below it `runs`, `input`, `truth` and a gate such as `max-drop = \"1%\"`, or \
                 name another with `--config FILE`; docs/check.md has an example",
            );
            return Err(anyhow::Error::from(error).context(what()));
        }
        let bytes = image_classification::read_file(path, MOST_BYTES).with_context(what)?;
        let text = String::from_utf8(bytes)
            .context("it is not UTF-8")
            .with_context(what)?;
        Self::parse(path, &text).with_context(what)
    }

    fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let table: Table = text.parse::<Table>().map_err(|error| {
            Hinted::new(
                toml_error(text, &error),
                "write it as TOML, with texts such as \"1%\" in quotes: docs/check.md has an example",
            )
        })?;
        let definitions = COMMANDS.map(|command| (command, Definition::of(command)));
        for key in table.keys().filter(|key| !COMMANDS.contains(&key.as_str())) {
            check_shared(key, &definitions)?;
        }
        let shared = table
            .iter()
            .filter(|(key, _)| !COMMANDS.contains(&key.as_str()));
        let shared: Vec<(&String, &Value)> = shared.collect();
        let base = path.parent().unwrap_or(Path::new(""));
        let mut commands = Vec::new();
        for (command, definition) in &definitions {
            let own = match table.get(*command) {
                None => continue,
                Some(Value::Table(own)) => own,
                Some(other) => {
                    return Err(Hinted::new(
                        format!("`{command}` is {}", kind(other)),
                        format!("write a table: [{command}]"),
                    )
                    .into());
                }
            };
            for key in own.keys() {
                check_key(&format!("[{command}]"), key, definition)?;
                if !definition.has(key) {
                    let place = format!("[{command}]");
                    return Err(unknown_key(&place, key, definition.keys()));
                }
            }
            let mut flags = BTreeMap::new();
            for (key, value) in shared.iter().copied().chain(own) {
                flags.insert(key.clone(), arguments(definition, key, value, base)?);
            }
            commands.push((*command, flags));
        }
        if commands.is_empty() {
            return Err(Hinted::new(
                "it asks for nothing: there is neither [compare] nor [evaluate]",
                "add a table for the command that the gate runs",
            )
            .into());
        }
        Ok(Self {
            path: path.to_owned(),
            commands,
            replaced: BTreeSet::new(),
        })
    }

    /// Returns whether the values of `key` are those of the file, and not those of the command line.
    pub fn is_of_file(&self, key: &str) -> bool {
        !self.replaced.contains(key)
    }

    /// Replaces values of the file by flags of the command line, which go to the commands that have them.
    ///
    /// # Errors
    ///
    /// For a flag that no command of the file has.
    pub fn replace(&mut self, flags: &[OsString]) -> anyhow::Result<()> {
        let definitions = self.commands.iter().map(|(name, _)| Definition::of(name));
        let definitions: Vec<Definition> = definitions.collect();
        let mut replaced: BTreeMap<String, Vec<OsString>> = BTreeMap::new();
        let mut rest = flags.iter().peekable();
        while let Some(token) = rest.next() {
            let text = token.to_string_lossy();
            let (written, has_value) = match text.split_once('=') {
                Some((name, _)) => (name, true),
                None => (&*text, false),
            };
            let find = |definition: &Definition| match written.strip_prefix("--") {
                Some(name) => definition.flag(name).cloned(),
                None => definition
                    .short(written.strip_prefix('-')?.chars().next()?)
                    .cloned(),
            };
            if !text.starts_with('-') {
                replaced
                    .entry(RUNS.to_owned())
                    .or_default()
                    .push(token.clone());
                continue;
            }
            let Some(flag) = definitions.iter().find_map(find) else {
                let name = written.trim_start_matches('-');
                let known = definitions.iter().flat_map(Definition::names);
                return Err(unknown_key("the command line", name, known));
            };
            let name = flag.get_long().unwrap_or_default().to_owned();
            if SHARDS.contains(&&*name) {
                return Err(shard_key("the command line", &name));
            }
            let entry = replaced.entry(name).or_default();
            entry.push(token.clone());
            let is_short_with_value = !text.starts_with("--") && text.chars().count() > 2;
            if has_value || is_short_with_value || !takes_value(&flag) {
                continue;
            }
            let most = flag.get_num_args().map_or(1, |range| range.max_values());
            for place in 0..most {
                // The first value may be negative.
                let is_value =
                    |next: &&&OsString| place == 0 || !next.to_string_lossy().starts_with('-');
                let Some(value) = rest.next_if(|next| is_value(&next)) else {
                    break;
                };
                entry.push(value.clone());
            }
        }
        for ((_, flags), definition) in self.commands.iter_mut().zip(&definitions) {
            for (name, values) in replaced.iter().filter(|(name, _)| definition.has(name)) {
                flags.insert(name.clone(), values.clone());
            }
        }
        self.replaced.extend(replaced.into_keys());
        Ok(())
    }

    /// Returns the parsed arguments of each command, in the order in which they run.
    ///
    /// # Errors
    ///
    /// For a value that a flag does not take, and for a flag that is missing.
    pub fn commands(&self) -> anyhow::Result<Vec<Args>> {
        let parse = |(command, flags): &(&'static str, BTreeMap<String, Vec<OsString>>)| {
            let runs = flags.get(RUNS).into_iter().flatten().cloned();
            let others = flags.iter().filter(|(name, _)| *name != RUNS);
            let others = others.flat_map(|(name, values)| {
                let is_output = OUTPUTS.contains(&name.as_str());
                values.iter().map(move |value| match value.to_str() {
                    Some(text) if is_output => text.replace(COMMAND, command).into(),
                    _ => value.clone(),
                })
            });
            let start = ["classify", command].map(OsString::from);
            // Flags with several values would take the runs, and a run that begins with a dash is no flag.
            let all = start.into_iter().chain(others);
            let all = all.chain(["--".into()]).chain(runs);
            <Args as clap::Parser>::try_parse_from(all).map_err(|error| {
                let error = error.to_string();
                let text = error.strip_prefix("error: ").unwrap_or(&error);
                let text = text
                    .split("\n\n")
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned();
                let hint = format!("`classify {command} --help` describes the flags");
                let context = format!("{}, [{command}]", self.path.display());
                anyhow::Error::from(Hinted::new(text, hint)).context(context)
            })
        };
        self.commands.iter().map(parse).collect()
    }
}

/// Describes an error on one line, with its place and the text there.
fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim_end().replace('\n', "; ");
    let Some(span) = error.span() else {
        return message;
    };
    let before = text.get(..span.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let number = before.matches('\n').count() + 1;
    let column = before[start..].chars().count() + 1;
    let line = text[start..].lines().next().unwrap_or_default();
    let line: String = line.trim().chars().take(LONGEST_LINE).collect();
    format!("line {number}, column {column}, `{line}`: {message}")
}

/// Checks a key above the tables, which holds for all commands.
fn check_shared(key: &str, definitions: &[(&str, Definition); 2]) -> anyhow::Result<()> {
    for (_, definition) in definitions {
        check_key("the file", key, definition)?;
    }
    let having = definitions
        .iter()
        .filter(|(_, definition)| definition.has(key));
    let having: Vec<&str> = having.map(|(command, _)| *command).collect();
    match having[..] {
        [_, _] => Ok(()),
        [command] => Err(Hinted::new(
            format!("`{key}` stands above the tables, but only {command} has it"),
            format!("move it to [{command}]"),
        )
        .into()),
        _ => {
            let [(_, one), (_, other)] = definitions;
            let known = one.keys().filter(|name| other.has(name));
            Err(unknown_key("the file", key, known.chain(COMMANDS)))
        }
    }
}

fn unknown_key<'a>(place: &str, key: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    let likeness = |name: &'a str| (strsim::jaro_winkler(name, key), name);
    let known = known.map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = known.filter(|(likeness, _)| *likeness > LIKENESS);
    let hint = match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => {
            "keys are the long names of flags, and `runs`: `classify compare --help`".to_owned()
        }
    };
    Hinted::new(format!("{place} has the unknown key `{key}`"), hint).into()
}

fn kind(value: &Value) -> String {
    format!("a value of the type {}", value.type_str())
}

/// Returns the arguments for a key and its value.
fn arguments(
    definition: &Definition,
    key: &str,
    value: &Value,
    base: &Path,
) -> anyhow::Result<Vec<OsString>> {
    let wrong = |expected: &str| {
        anyhow::Error::from(Hinted::new(
            format!("`{key}` is {}", kind(value)),
            format!("write {expected}"),
        ))
    };
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err(wrong("a text, a number, or a list of them")),
    };
    let values: Vec<String> = match value {
        Value::Array(values) => values.iter().map(text).collect::<Result<_, _>>()?,
        Value::Boolean(_) => Vec::new(),
        value => vec![text(value)?],
    };
    if key == RUNS {
        if values.is_empty() {
            return Err(wrong("a list of runs, such as [\"onnx\", \"openvino\"]"));
        }
        return Ok(values.iter().map(|run| run_from(base, run)).collect());
    }
    let Some(flag) = definition.flag(key) else {
        return Err(wrong("a known key"));
    };
    let is_optional = flag
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    if let Value::Boolean(is_set) = value {
        if takes_value(flag) && !is_optional {
            return Err(wrong("a text, a number, or a list of them"));
        }
        return Ok(is_set
            .then(|| format!("--{key}").into())
            .into_iter()
            .collect());
    }
    if !takes_value(flag) {
        return Err(wrong("true or false"));
    }
    let argument = |value: OsString| {
        let mut argument = OsString::from(format!("--{key}="));
        argument.push(value);
        argument
    };
    let parser = flag.get_value_parser().type_id();
    let is_path = parser == TypeId::of::<PathBuf>() || parser == TypeId::of::<ReportPath>();
    let values = values.iter().map(|value| match key {
        "reference" => run_from(base, value),
        _ if is_path => path_from(base, value),
        _ => value.into(),
    });
    // A flag that is given once takes a list as one value.
    if flag.get_value_delimiter().is_some() || matches!(flag.get_action(), ArgAction::Set) {
        let values: Vec<OsString> = values.collect();
        return Ok(vec![argument(values.join(&OsString::from(",")))]);
    }
    Ok(values.map(argument).collect())
}

/// Returns a path relative to the file's directory.
fn path_from(base: &Path, path: &str) -> OsString {
    match path {
        // Stdin.
        "-" => path.into(),
        path => base.join(path).into(),
    }
}

/// Returns a run whose model is relative to the file's directory.
fn run_from(base: &Path, run: &str) -> OsString {
    match run.split_once('=') {
        Some((engine, model)) => {
            let mut run = OsString::from(format!("{engine}="));
            run.push(path_from(base, model));
            run
        }
        None => run.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn gates(text: &str) -> anyhow::Result<Gates> {
        Gates::parse(Path::new("ci/gate.toml"), text)
    }

    fn flags(gates: &Gates, command: usize) -> Vec<String> {
        let flags = gates.commands[command].1.values().flatten();
        flags
            .map(|flag| flag.to_string_lossy().replace('\\', "/"))
            .collect()
    }

    const BOTH: &str = r#"
        runs = ["onnx", "rten=int8.onnx"]
        model = "float.onnx"
        input = ["photos", "/data/*.jpg"]
        recursive = true
        [compare]
        max-delta = 0.1
        mean = [1, 2.5, 3]
        report = ["a.json", "b.html"]
        [evaluate]
        model = "other.onnx"
        truth-folders = true
        recursive = false
        top = [1, 3]
    "#;

    #[test]
    fn errors_of_toml_name_their_place() {
        let error = gates("[evaluate]\ntruth = \"t\"\nmax-drop = 1%\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("line 3, column 1"), "{text}");
        assert!(
            text.contains("`max-drop = 1%`: ") && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn keys_become_flags_and_paths_are_relative_to_the_file() {
        let gates = gates(BOTH).unwrap();
        let compare = [
            "--input=ci/photos",
            "--input=/data/*.jpg",
            "--max-delta=0.1",
            "--mean=1,2.5,3",
            "--model=ci/float.onnx",
            "--recursive",
            "--report=ci/a.json",
            "--report=ci/b.html",
            "onnx",
            "rten=ci/int8.onnx",
        ];
        // Lists of numbers are one value where the flag separates them.
        let found = flags(&gates, 0);
        let expected = compare.map(str::to_owned).to_vec();
        if cfg!(unix) {
            assert_eq!(found, expected);
            let evaluate = flags(&gates, 1);
            assert!(
                evaluate.contains(&"--model=ci/other.onnx".to_owned()),
                "{evaluate:?}"
            );
            assert!(evaluate.contains(&"--top=1,3".to_owned()));
            assert!(evaluate.contains(&"--truth-folders".to_owned()));
            assert!(!evaluate.contains(&"--recursive".to_owned()));
        }
        assert_eq!(gates.commands().unwrap().len(), 2);
    }

    #[test]
    fn flags_replace_values_of_the_commands_that_have_them() {
        let mut gates = gates(BOTH).unwrap();
        let words = [
            "openvino",
            "rten",
            "-i",
            "x.jpg",
            "y.jpg",
            "--max-drop",
            "1%",
            "--max-delta=0.2",
            "-q",
        ];
        gates.replace(&words.map(OsString::from)).unwrap();
        let compare = flags(&gates, 0);
        for flag in ["-i", "x.jpg", "y.jpg", "--max-delta=0.2", "-q", "openvino"] {
            assert!(compare.contains(&flag.to_owned()), "{flag}: {compare:?}");
        }
        assert!(
            !compare
                .iter()
                .any(|flag| flag.contains("photos") || flag.contains("drop") || flag == "onnx")
        );
        assert!(flags(&gates, 1).contains(&"--max-drop".to_owned()));
        assert_eq!(gates.commands().unwrap().len(), 2);
        let error = gates.replace(&["--max-dorp".into()]).unwrap_err();
        assert!(crate::errors::chain(&error).contains("unknown key `max-dorp`"));
    }

    #[test]
    fn a_run_is_never_a_flag() {
        let text = "runs = ['rten', '--openvino-lib=evil.so']\ninput = 'a'\n[compare]";
        let error = gates(text).unwrap().commands().unwrap_err();
        let error = format!("{error:#}").replace('\\', "/");
        let expected = "invalid value '--openvino-lib=ci/evil.so' for '<RUN>...'";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn shards_and_replaced_outputs_are_known() {
        let mut gates = gates(BOTH).unwrap();
        let words = ["--openvino-lib", "a.so", "--report=x.json"].map(OsString::from);
        gates.replace(&words).unwrap();
        assert!(flags(&gates, 0).contains(&"--openvino-lib".to_owned()));
        assert!(!gates.is_of_file("report") && gates.is_of_file("record"));
        for word in ["--shard=0/2", "--out-dir=x"] {
            let error = gates.replace(&[word.into()]).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("a shard has no verdict"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_key_and_what_was_meant() {
        for (text, words, hint) in [
            (
                "runs = 1",
                "neither [compare] nor [evaluate]",
                "add a table",
            ),
            (
                "[compare]\nmax-dleta = 1",
                "[compare] has the unknown key `max-dleta`",
                "max-delta",
            ),
            (
                "inptu = 'a'\n[compare]",
                "the file has the unknown key `inptu`",
                "`input`",
            ),
            (
                "truth = 'a'\n[evaluate]",
                "only evaluate has it",
                "[evaluate]",
            ),
            (
                "[compare]\nrecursive = 1",
                "`recursive` is a value of the type integer",
                "true or false",
            ),
            (
                "[compare]\nmodel = true",
                "`model` is a value of the type boolean",
                "a text",
            ),
            (
                "[compare]\nmodel = [[1]]",
                "`model` is a value of the type array",
                "a text",
            ),
            (
                "compare = 1",
                "`compare` is a value of the type integer",
                "[compare]",
            ),
            (
                "[compare",
                "line 1, column 9, `[compare`: ",
                "docs/check.md",
            ),
        ] {
            let error = gates(text).unwrap_err();
            let found = format!("{error:#}");
            assert!(found.contains(words), "{text}: {found}");
            let hints = crate::errors::hint(&error).unwrap_or_default();
            assert!(hints.contains(hint), "{text}: {hints}");
        }
        let gates = gates("runs = ['onnx']\ninput = 'a'\n[evaluate]\nmin-top1 = 7").unwrap();
        let error = format!("{:#}", gates.commands().unwrap_err());
        assert!(
            error.contains("[evaluate]") && error.contains("--min-top1"),
            "{error}"
        );
    }
}
