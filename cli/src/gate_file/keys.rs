//! The keys that a file may have.

use clap::{Arg, CommandFactory as _};

use crate::args::Args;
use crate::errors::Hinted;

/// The keys that a file may have: those of the comparison, the evaluation, the models, the images and the reports. A file
/// may come from someone else, so it sets no flag that chooses code, secrets, or whom to trust with them, or that turns
/// protection off.
const KEYS: [&str; 64] = [
    "against",
    "batch",
    "bisect",
    "bisect-image",
    "bisect-looks",
    "bisect-tolerance",
    "color",
    "crop",
    "crop-fraction",
    "datatype",
    "decode",
    "drop-rule",
    "format",
    "hint",
    "image-memory",
    "input",
    "input-list",
    "input-name",
    "interpolation",
    "isolate",
    "isolate-cpu",
    "isolate-memory",
    "isolate-open",
    "jobs",
    "label-offset",
    "labels",
    "layout",
    "max-delta",
    "max-drop",
    "max-message",
    "mean",
    "metric-max",
    "metric-min",
    "min-overlap",
    "min-top1",
    "min-truth",
    "model",
    "other-model",
    "output-name",
    "precision",
    "preprocess",
    "quiet",
    "recipe",
    "record",
    "recursive",
    "reference",
    "report",
    "requests",
    "resize",
    "runs",
    "scale",
    "scores",
    "shape",
    "streams",
    "threads",
    "threshold",
    "timeout",
    "tolerance",
    "top",
    "truth",
    "truth-columns",
    "truth-folders",
    "truth-webdataset",
    "verbose",
];
/// The flags of one part of the work, which has no verdict.
pub const SHARDS: [&str; 2] = ["shard", "out-dir"];
/// The flag that `check` has for its file, and an engine for its properties.
const CONFIG: &str = "config";
/// The key of the positional arguments.
pub const RUNS: &str = "runs";

/// The definition of a command's flags.
pub struct Definition(clap::Command);

impl Definition {
    pub fn of(command: &str) -> Self {
        let mut args = Args::command();
        args.build();
        let found = args.find_subcommand(command);
        Self(found.cloned().unwrap_or_default())
    }

    pub fn flag(&self, name: &str) -> Option<&Arg> {
        let mut flags = self.0.get_arguments();
        flags.find(|flag| flag.get_long() == Some(name))
    }

    pub fn short(&self, letter: char) -> Option<&Arg> {
        let mut flags = self.0.get_arguments();
        flags.find(|flag| flag.get_short() == Some(letter))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        let flags = self.0.get_arguments().filter_map(Arg::get_long);
        // They ask for no gate.
        let flags = flags.filter(|name| !["help", "version"].contains(name));
        flags.chain([RUNS])
    }

    /// Returns the keys that a file may have.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| KEYS.contains(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// Checks that a key is none of the flags that a file may not have.
pub fn check_key(place: &str, key: &str, definition: &Definition) -> anyhow::Result<()> {
    if SHARDS.contains(&key) {
        return Err(shard_key(place, key));
    }
    let is_other = definition.has(key) && !KEYS.contains(&key);
    let Some(flag) = definition.flag(key).filter(|_| is_other) else {
        return Ok(());
    };
    let value = flag.get_value_names().and_then(|names| names.first());
    let hint = match value {
        // `check` has a flag of that name.
        Some(value) if key == CONFIG => {
            format!("pass it to the command itself: `classify compare --{CONFIG} {value}`")
        }
        Some(value) => format!("pass it on the command line: `classify check --{key} {value}`"),
        None => format!("pass it on the command line: `classify check --{key}`"),
    };
    let error = format!(
        "{place} has the key `{key}`, which is allowed only on the command line, because a file may come from someone else"
    );
    Err(Hinted::new(error, hint).into())
}

pub fn shard_key(place: &str, key: &str) -> anyhow::Error {
    let error = format!("{place} has `{key}`, but a shard has no verdict for `check`");
    let hint = format!(
        "pass `--{key}` to `classify compare` or `classify evaluate`, and judge the parts by `classify merge`"
    );
    Hinted::new(error, hint).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::COMMANDS;
    use super::super::tests::gates;
    use super::*;

    #[test]
    fn a_file_may_have_every_key_but_code_secrets_and_shards() {
        let mut others: BTreeSet<String> = BTreeSet::new();
        let mut known: BTreeSet<String> = BTreeSet::new();
        for command in COMMANDS {
            let definition = Definition::of(command);
            known.extend(definition.keys().map(str::to_owned));
            let names = definition.names().filter(|name| !KEYS.contains(name));
            others.extend(names.map(str::to_owned));
        }
        assert!(KEYS.iter().all(|key| known.contains(*key)), "{known:?}");
        let expected = [
            "ca",
            "cache-dir",
            "config",
            "no-isolate",
            "onnxruntime-lib",
            "openvino-lib",
            "out-dir",
            "plugins",
            "shard",
            "token-env",
            "token-file",
        ];
        // A new flag is not in a file until somebody has decided that it may be.
        assert!(others.iter().eq(expected), "{others:?}");
        for key in &others {
            for text in [
                format!("{key} = 'x'\n[compare]"),
                format!("[evaluate]\n{key} = 'x'"),
            ] {
                let error = gates(&text).unwrap_err();
                let hint = crate::errors::hint(&error).unwrap_or_default();
                let error = error.to_string();
                assert!(error.contains(&format!("`{key}`")), "{text}: {error}");
                assert!(hint.contains(&format!("--{key}")), "{text}: {hint}");
            }
        }
        let error = gates("[compare]\nopenvino-lb = 'x'").unwrap_err();
        let hint = crate::errors::hint(&error).unwrap_or_default();
        assert!(!hint.contains("openvino-lib"), "{hint}");
    }
}
