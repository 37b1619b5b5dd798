//! The places of the engines' runtimes: flags, variables of the environment, the set-up.

// RTen is compiled in.
#![cfg_attr(not(any(feature = "openvino", feature = "onnx")), allow(dead_code))]

use std::env;
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind, FoundLibrary};
use runtime_library::{CONFIGURED_DIRECTORIES, EXPLICIT_PATH};

use crate::args::RuntimeArgs;
use crate::errors::OR;
use crate::install::Wheel;

/// The variable that names the set-up directory.
const HOME: &str = "CLASSIFY_HOME";

/// Returns the directory that `cargo setup` fills: the one that `CLASSIFY_HOME` names, or `assets` in the checkout
/// that the running program was built in.
pub fn set_up_dir() -> Option<PathBuf> {
    let named = env::var_os(HOME).map(PathBuf::from);
    named.filter(|home| home.is_absolute()).or_else(|| {
        // <checkout>/target/<profile>[/deps]/<program>
        let program = env::current_exe().ok()?;
        let target = program
            .ancestors()
            .find(|directory| directory.ends_with("target"))?;
        Some(target.parent()?.join("assets")).filter(|directory| directory.is_dir())
    })
}

/// Returns the directories in which the engines look for their libraries besides the usual ones.
pub fn library_dirs() -> Vec<PathBuf> {
    let python = set_up_dir().map(|directory| directory.join("python"));
    python.into_iter().collect()
}

/// A path from a flag or a variable.
#[derive(Debug, Default)]
pub struct RuntimePath {
    /// The path, if the flag or the variable names one.
    pub path: Option<PathBuf>,
    /// The variable, if it names the path.
    variable: Option<&'static str>,
}

impl RuntimePath {
    /// Returns the path of the flag, or else of the variable, which has to be absolute.
    fn new(flag: Option<&Path>, variable: &'static str, kind: ErrorKind) -> Result<Self, Error> {
        let value = || env::var_os(variable).filter(|value| !value.is_empty());
        let named = match flag {
            Some(path) => Self {
                path: Some(path.to_path_buf()),
                variable: None,
            },
            None => match value().map(PathBuf::from) {
                Some(path) if !path.is_absolute() => {
                    let message = format!(
                        "the variable {variable} is {}, which is not an absolute path",
                        path.display()
                    );
                    let hint = format!("write the absolute path into {variable}");
                    return Err(Error::new(kind, message).with_hint(hint));
                }
                Some(path) => Self {
                    path: Some(path),
                    variable: Some(variable),
                },
                None => Self::default(),
            },
        };
        Ok(named)
    }

    /// Returns the step of the search that found `library`, in the words of the command line.
    pub fn origin(&self, library: &FoundLibrary) -> String {
        match (&*library.origin, self.variable) {
            (EXPLICIT_PATH, Some(variable)) => format!("the variable {variable}"),
            (CONFIGURED_DIRECTORIES, _) => "the set-up directory".to_owned(),
            (other, _) => other.to_owned(),
        }
    }

    /// Adds the variables and the set-up that matter to an engine's error. `extra` is the part of the Python package
    /// that brings the engine.
    pub fn explain(&self, error: Error, extra: &str) -> Error {
        if error.kind() != ErrorKind::EngineUnavailable {
            return error;
        }
        let hint = error.hint().filter(|hint| hint.starts_with("install"));
        let hint = hint.map(|install| match Wheel::of_program() {
            Some(wheel) => {
                let remedy = wheel.remedy(extra);
                let others = install.split_once(OR).map(|(_, others)| others);
                others.map_or(remedy.clone(), |others| format!("{remedy}{OR}{others}"))
            }
            None => format!("{install}{OR}run `cargo setup` in a checkout"),
        });
        let error = match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        let home = env::var_os(HOME).map(PathBuf::from);
        match (self.variable, home) {
            (Some(variable), _) => error.with_context("from", format!("the variable {variable}")),
            (None, Some(home)) if !home.is_absolute() || !home.is_dir() => {
                let wrong = format!(
                    "{}, which is not an absolute path of a directory",
                    home.display()
                );
                error.with_context(HOME, wrong)
            }
            _ => error,
        }
    }
}

impl RuntimeArgs {
    /// Returns the path of OpenVINO's library.
    pub fn openvino_lib(&self) -> Result<RuntimePath, Error> {
        RuntimePath::new(
            self.openvino_lib.as_deref(),
            "CLASSIFY_OPENVINO_LIB",
            ErrorKind::EngineUnavailable,
        )
    }

    /// Returns the path of ONNX Runtime's library.
    pub fn onnxruntime_lib(&self) -> Result<RuntimePath, Error> {
        RuntimePath::new(
            self.onnxruntime_lib.as_deref(),
            "CLASSIFY_ONNXRUNTIME_LIB",
            ErrorKind::EngineUnavailable,
        )
    }

    /// Returns the path of OpenVINO's plugins file.
    pub fn plugins(&self) -> Result<Option<PathBuf>, Error> {
        let named = RuntimePath::new(
            self.plugins.as_deref(),
            "CLASSIFY_OPENVINO_PLUGINS",
            ErrorKind::InvalidConfig,
        )?;
        Ok(named.path)
    }
}
