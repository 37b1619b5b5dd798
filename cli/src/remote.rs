//! The options of a model on servers, and the local files that say how its images are preprocessed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backend_api::ElementType;

use crate::args::{NamedModel, RemoteArgs, RemoteModel, with_schemes};
use crate::errors::Hinted;

/// Endings of the names of models that a directory may contain.
const MODELS: [&str; 4] = ["onnx", "xml", "tflite", "pdmodel"];
/// Endings of the names of preprocessing files.
const PREPROCESSING: [&str; 3] = ["json", "yml", "yaml"];
/// Preprocessing files that a directory may contain, in the order in which they are preferred.
const KNOWN: [&str; 5] = [
    "preprocessor_config.json",
    "preprocess.json",
    "config.json",
    "model.yml",
    "metadata.yaml",
];

/// A model on servers.
#[cfg_attr(not(feature = "remote"), allow(dead_code))]
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    pub urls: Vec<String>,
    pub model: NamedModel,
    pub input: Option<String>,
    pub element_type: Option<ElementType>,
    pub max_message: Option<u64>,
    /// Seconds.
    pub timeout: Option<f64>,
    pub ca: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub token_variable: Option<String>,
    /// The local model with the preprocessing and the labels.
    pub local_model: Option<PathBuf>,
}

impl RemoteOptions {
    fn new(urls: Vec<String>, model: NamedModel, args: RemoteArgs, timeout: Option<f64>) -> Self {
        Self {
            urls,
            model,
            input: args.input_name,
            element_type: args.datatype,
            max_message: args.max_message.map(|size| size.0),
            timeout,
            ca: args.ca,
            token_file: args.token_file,
            token_variable: args.token_env,
            local_model: None,
        }
    }

    /// Returns the options of a run.
    pub fn of_run(run: RemoteModel, args: RemoteArgs, timeout: Option<f64>) -> Self {
        Self::new(run.urls, run.model, args, timeout)
    }

    /// Returns the options of the only engine of a command.
    pub fn of_flags(
        urls: &[String],
        model: Option<&Path>,
        args: RemoteArgs,
        timeout: Option<f64>,
    ) -> anyhow::Result<Self> {
        if urls.is_empty() {
            let hint = "pass `--url grpc://host:port`, or `grpcs://` for TLS";
            return Err(Hinted::new("the backend is remote, but there is no server", hint).into());
        }
        let hint = "pass `-m NAME` or `-m NAME:VERSION`, as the server calls the model";
        let model = model
            .ok_or_else(|| Hinted::new("the backend is remote, but no model is named", hint))?;
        let model = model.to_string_lossy();
        let model = model
            .parse()
            .map_err(|error: String| Hinted::new(error, hint))?;
        Ok(Self::new(with_schemes(urls), model, args, timeout))
    }

    /// Returns the name of the model with its version.
    pub fn named_model(&self) -> String {
        match &self.model.version {
            Some(version) => format!("{}:{version}", self.model.name),
            None => self.model.name.clone(),
        }
    }
}

/// Rejects a flag of remote engines where there is none.
pub fn reject_flags(urls: &[String], args: &RemoteArgs) -> anyhow::Result<()> {
    let url = (!urls.is_empty()).then_some("--url");
    match url.or_else(|| args.given()) {
        None => Ok(()),
        Some(flag) => Err(Hinted::new(
            format!("{flag} is an option of remote engines, but no engine is remote"),
            format!("leave {flag} out, or use `--backend remote` (or a run `remote=grpc://host:port/MODEL`)"),
        )
        .into()),
    }
}

/// The files of `--preprocess`.
#[derive(Debug, PartialEq, Eq)]
pub enum PreprocessSource {
    /// A preprocessing file.
    File(PathBuf),
    /// A model, with the files next to it.
    Model(PathBuf),
}

impl PreprocessSource {
    /// Returns the kind of `path`: a preprocessing file, a model, or a directory with one of them.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() && !path.join("saved_model.pb").is_file() {
            return Self::in_directory(path);
        }
        Ok(if has_ending(path, &PREPROCESSING) {
            Self::File(path.to_owned())
        } else {
            Self::Model(path.to_owned())
        })
    }

    fn in_directory(directory: &Path) -> anyhow::Result<Self> {
        let named = directory.display();
        let entries = fs::read_dir(directory).with_context(|| format!("cannot read {named}"))?;
        let paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        let mut models = paths.iter().filter(|path| has_ending(path, &MODELS));
        match (models.next(), models.next()) {
            (Some(model), None) => return Ok(Self::Model(model.clone())),
            (Some(_), Some(_)) => {
                return Err(Hinted::new(
                    format!("there are several models in {named}"),
                    "name one of them with --preprocess",
                )
                .into());
            }
            (None, _) => (),
        }
        let known = KNOWN.map(|name| directory.join(name));
        let found = known.into_iter().find(|path| path.is_file());
        found.map(Self::File).ok_or_else(|| {
            Hinted::new(
                format!("{named} has no model and no preprocessing file"),
                "name a directory with a model or one of the files that `classify --help` lists under --preprocess",
            )
            .into()
        })
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        endings
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_leads_to_its_model_or_its_preprocessing_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let of = |path: &Path| PreprocessSource::of(path).map_err(|error| error.to_string());
        assert!(of(directory.path()).unwrap_err().contains("no model"));
        fs::write(at("config.json"), "{}").unwrap();
        let config = PreprocessSource::File(at("config.json"));
        assert_eq!(of(directory.path()), Ok(config));
        fs::write(at("model.onnx"), "").unwrap();
        let model = PreprocessSource::Model(at("model.onnx"));
        assert_eq!(of(directory.path()), Ok(model));
        fs::write(at("other.xml"), "").unwrap();
        assert!(of(directory.path()).unwrap_err().contains("several models"));
        assert_eq!(of(&at("p.JSON")), Ok(PreprocessSource::File(at("p.JSON"))));
        assert_eq!(of(&at("m.pb")), Ok(PreprocessSource::Model(at("m.pb"))));
    }
}
