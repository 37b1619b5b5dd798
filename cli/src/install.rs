//! The way in which the running program was installed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use runtime_library::{package_parents, program_environments};

/// The directory of the Python module in the wheel.
const MODULE: &str = "classify_cli";
/// A `pyvenv.cfg` has a few lines.
const MOST_BYTES: u64 = 1 << 16;

/// A Python package that the running program belongs to.
#[derive(Debug)]
pub struct Wheel {
    /// The environment that it is installed in.
    pub environment: PathBuf,
    /// The directory of the Python module.
    pub module: PathBuf,
}

impl Wheel {
    /// Returns the package of the running program, or `None` for a program from elsewhere.
    pub fn of_program() -> Option<Self> {
        program_environments().into_iter().find_map(|environment| {
            let parents = package_parents(&environment).into_iter();
            let mut modules = parents.map(|parent| parent.join(MODULE));
            let module = modules.find(|module| module.join("__init__.py").is_file())?;
            Some(Self {
                environment,
                module,
            })
        })
    }

    /// Returns the step that adds an extra of the package, such as `openvino`: `run …`.
    pub fn remedy(&self, extra: &str) -> String {
        let package = format!("'classify-cli[{extra}]'");
        // uv's own environments are made anew for another list of packages.
        if self.environment.join("uv-receipt.toml").is_file() {
            return format!("run `uv tool install {package}`");
        }
        if self.is_temporary() {
            return format!("run `uvx --from {package} classify`");
        }
        let environment = self.environment.display();
        format!("run `pip install {package}` in the Python environment {environment}")
    }

    /// Returns whether the environment is there for a single command: `uvx` made it in the cache of uv.
    pub fn is_temporary(&self) -> bool {
        is_of_uv_cache(&self.environment)
    }

    /// Returns the words that start the program again from a temporary environment, with all engines.
    pub fn command(&self) -> Option<&'static str> {
        self.is_temporary()
            .then_some("uvx --from 'classify-cli[all]' classify")
    }
}

/// Returns whether uv made the environment in its cache, for a single command.
fn is_of_uv_cache(environment: &Path) -> bool {
    let mut settings = String::new();
    if let Ok(file) = model_file::open_regular(&environment.join("pyvenv.cfg")) {
        let _ = file.take(MOST_BYTES).read_to_string(&mut settings);
    }
    let mut keys = settings.lines().filter_map(|line| line.split_once('='));
    let is_of_uv = keys.any(|(key, _)| key.trim() == "uv");
    let mut directories = environment.components();
    is_of_uv
        && directories.any(|directory| {
            let name = directory.as_os_str().to_string_lossy();
            name.starts_with("archive-v") || name.starts_with("environments-v")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_remedy_is_that_of_the_installer() {
        let root = tempfile::tempdir().unwrap();
        let remedy = |environment: &str, file: &str, text: &str| {
            let environment = root.path().join(environment);
            fs::create_dir_all(&environment).unwrap();
            fs::write(environment.join(file), text).unwrap();
            let module = environment.clone();
            let wheel = Wheel {
                environment,
                module,
            };
            wheel.remedy("onnx")
        };
        let uv = "home = /usr/bin\nuv = 0.13.9\n";
        let pip = |name: &str| {
            let environment = root.path().join(name);
            let environment = environment.display();
            format!(
                "run `pip install 'classify-cli[onnx]'` in the Python environment {environment}"
            )
        };
        assert_eq!(remedy("venv", "pyvenv.cfg", "home = /usr/bin"), pip("venv"));
        assert_eq!(remedy("of-uv", "pyvenv.cfg", uv), pip("of-uv"));
        assert_eq!(
            remedy("archive-v0/x", "pyvenv.cfg", uv),
            "run `uvx --from 'classify-cli[onnx]' classify`"
        );
        assert_eq!(
            remedy("tool", "uv-receipt.toml", ""),
            "run `uv tool install 'classify-cli[onnx]'`"
        );
    }
}
