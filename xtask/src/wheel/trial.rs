//! The package in empty environments.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::{Build, make};
use crate::failure::Failure;
use crate::files::remove_directory;
use crate::python;
use crate::requirements::Requirement;
use crate::setup::{self, Packages, Scope};

/// The engines, which are in the downloads of the set-up.
const ENGINES: [&str; 2] = ["openvino", "onnxruntime"];

/// Builds the package and tries it: without engines, with them, its module, and next to a stranger of the same name.
pub fn run(build: Build) -> Result<()> {
    let wheel = make(build, &setup::workspace().join("target/wheel"))?;
    // Outside of the checkout, whose set-up a program in `target` uses.
    let directory = tempfile::Builder::new()
        .prefix("classify-wheel-")
        .tempdir()?;
    let interpreter = python::find(std::env::var("CLASSIFY_PYTHON").ok().as_deref())?;
    let trial = Trial {
        directory,
        wheel,
        python: interpreter.program,
        needs_pip: interpreter.needs_pip,
    };
    trial.inspect()?;
    trial.without_engines()?;
    trial.with_engines()?;
    trial.with_stranger()?;
    trial.action()?;
    trial.module()
}

struct Trial {
    directory: TempDir,
    wheel: PathBuf,
    /// An interpreter that makes environments.
    python: PathBuf,
    /// True if environments need a pip of their own.
    needs_pip: bool,
}

impl Trial {
    /// Makes an environment with the package and those of `packages` that the set-up has downloaded.
    fn environment(&self, name: &str, packages: &[Requirement]) -> Result<Environment> {
        println!("  an environment {name}");
        let prefix = self.directory.path().join(name);
        remove_directory(&prefix)?;
        let mut command = python::command(&self.python);
        command.args(["-m", "venv"]);
        if !self.needs_pip {
            command.arg("--without-pip");
        }
        python::run(command.arg(&prefix), "making a virtual environment")?;
        let environment = Environment { prefix };
        let list = self.directory.path().join(format!("{name}.txt"));
        let texts: Vec<&str> = packages.iter().map(|package| &*package.text).collect();
        fs::write(&list, texts.concat())?;
        if !packages.is_empty() {
            self.install(
                &environment,
                &[
                    "--require-hashes".as_ref(),
                    "--requirement".as_ref(),
                    list.as_os_str(),
                ],
            )?;
        }
        self.install(&environment, &[self.wheel.as_os_str()])?;
        Ok(environment)
    }

    /// Returns pip for an environment.
    fn pip(&self, environment: &Environment, task: &str) -> Command {
        let own = environment.program("python");
        let mut command = python::command(if self.needs_pip { &own } else { &self.python });
        // A file pip.py in the current directory must not be taken for pip.
        command.env("PYTHONSAFEPATH", "1").args(["-m", "pip"]);
        if !self.needs_pip {
            command.arg("--python").arg(&own);
        }
        command
            .env("PIP_USER", "0")
            .args([task, "--quiet", "--disable-pip-version-check"]);
        command
    }

    /// Installs files, or packages of the downloads, without the network.
    fn install(&self, environment: &Environment, arguments: &[&OsStr]) -> Result<()> {
        let mut command = self.pip(environment, "install");
        command.args(["--no-deps", "--no-index", "--find-links"]);
        command.arg(setup::home()?.join("downloads"));
        python::run(command.args(arguments), "installing the package").map(drop)
    }

    /// The package has everything that its readers expect in it.
    fn inspect(&self) -> Result<()> {
        let mut command = python::command(&self.python);
        command.args(["-m", "zipfile", "-l"]).arg(&self.wheel);
        let list = text(&python::run(&mut command, "listing the package")?);
        for file in [
            "classify_cli/py.typed",
            "classify_cli/demo/squeezenet1.1.onnx",
            "classify_cli/demo/NOTICE.md",
            ".data/scripts/classify ",
            ".data/scripts/classify-cli ",
            ".dist-info/sboms/classify-cli.cyclonedx.json",
            "LICENSE-APACHE",
            "THIRD-PARTY.md",
        ] {
            ensure!(
                list.contains(file) || cfg!(windows),
                "the package does not contain {file}:\n{list}"
            );
        }
        ensure!(
            !list.contains("test_"),
            "the package contains tests:\n{list}"
        );
        Ok(())
    }

    fn without_engines(&self) -> Result<()> {
        let bare = self.environment("bare", &[])?;
        let devices = bare.classify(&["devices"])?;
        expect(&devices, 0, &["RTen"])?;
        let demo = bare.classify(&["demo"])?;
        expect(&demo, 0, &["espresso", "rten", "next:"])?;
        let model = bare.demo("squeezenet1.1.onnx")?;
        let photo = bare.demo("coffee.png")?;
        for (backend, extra) in [("openvino", "openvino"), ("onnx", "onnx")] {
            let arguments = ["--backend", backend, "-m", &*model, "-i", &*photo];
            let failed = bare.classify(&arguments)?;
            if failed.status.success() {
                println!("  skipped: the system has {backend}, so that its hint is not shown");
                continue;
            }
            let hint = format!("run `pip install 'classify-cli[{extra}]'`");
            expect(&failed, 2, &[&hint])?;
        }
        Ok(())
    }

    fn with_engines(&self) -> Result<()> {
        let packages = Packages::read(Scope::Full)?;
        let engines = ENGINES.map(|name| packages.get(name).cloned());
        let engines: Vec<Requirement> = engines.into_iter().collect::<Result<_>>()?;
        let full = self.environment("full", &engines)?;
        let devices = full.classify(&["devices", "--format", "json"])?;
        expect(&devices, 0, &["the program's own Python environment"])?;
        let demo = full.classify(&["demo"])?;
        expect(
            &demo,
            0,
            &["espresso", "AGREE: ", "openvino", "onnx", "rten", "next:"],
        )?;
        let model = full.demo("squeezenet1.1.onnx")?;
        let photo = full.demo("chelsea.png")?;
        let compared = full.classify(&[
            "compare", "openvino", "onnx", "rten", "-m", &model, "-i", &photo,
        ])?;
        expect(
            &compared,
            0,
            &["AGREE: onnx, rten with openvino on 1 image"],
        )?;
        // A confined process may not read the environment in which the libraries are found.
        if cfg!(target_os = "linux") {
            for backend in ["openvino", "onnx"] {
                let isolated = full.classify(&[
                    "--isolate",
                    "--backend",
                    backend,
                    "-m",
                    &model,
                    "-i",
                    &photo,
                    "-v",
                ])?;
                let found = "(the program's own Python environment)";
                expect(&isolated, 0, &["isolated", found, "281"])?;
            }
        }
        let mut by_module = alone(&full.program("python"));
        let by_module = by_module.args(["-m", "classify_cli", "demo"]).output()?;
        expect(&by_module, 0, &["AGREE: "])?;
        let second = alone(&full.program("classify-cli")).arg("demo").output()?;
        expect(&second, 0, &["AGREE: "])
    }

    /// Another package installs a script `classify`, as the unrelated one of that name does.
    fn with_stranger(&self) -> Result<()> {
        let environment = self.environment("stranger", &[])?;
        let stranger = self.directory.path().join("stranger-package");
        remove_directory(&stranger)?;
        let script = python::scripts().join("stranger.py");
        let mut command = python::command(&self.python);
        python::run(
            command.arg("-B").arg(script).arg(&stranger),
            "making another package",
        )?;
        let package = super::wheels(&stranger)?
            .pop()
            .context("no other package")?;
        self.install(&environment, &[package.as_os_str()])?;
        let replaced = environment.classify(&[])?;
        expect(&replaced, 0, &["the stranger"])?;
        let hint = "--force-reinstall --no-deps WHEEL";
        let second = alone(&environment.program("classify-cli"))
            .arg("devices")
            .output()?;
        expect(&second, 2, &["script of another Python package", hint])?;
        let mut by_module = alone(&environment.program("python"));
        let by_module = by_module.args(["-m", "classify_cli", "devices"]).output()?;
        expect(&by_module, 2, &["script of another Python package", hint])?;
        // The remedy of the hint.
        let mut uninstall = self.pip(&environment, "uninstall");
        uninstall.args(["--yes", "classify"]);
        python::run(&mut uninstall, "removing the other package")?;
        self.install(
            &environment,
            &["--force-reinstall".as_ref(), self.wheel.as_os_str()],
        )?;
        expect(&environment.classify(&["devices"])?, 0, &["RTen"])
    }

    /// The step of the action for GitHub that installs the package; the tests of the command line have the step that
    /// runs it. Engines are left out: they are tried above, and the step would download them again. Its shell is a Unix
    /// one.
    fn action(&self) -> Result<()> {
        if cfg!(windows) {
            return Ok(());
        }
        println!("  the action installs the package");
        let steps = setup::workspace().join(".github/action");
        let interpreters = self
            .python
            .parent()
            .context("a directory of the interpreter")?;
        let path = std::env::var_os("PATH").context("PATH is not set")?;
        let path = std::iter::once(interpreters.to_path_buf()).chain(std::env::split_paths(&path));
        let mut install = Command::new("bash");
        let installed = install
            .arg(steps.join("install.sh"))
            .env("PATH", std::env::join_paths(path)?)
            .env("RUNNER_TEMP", self.directory.path())
            .env("GITHUB_PATH", self.directory.path().join("path"))
            .env("WHEEL", &self.wheel)
            .env("VERSION", "")
            .env("OPENVINO", "none")
            .env("ONNXRUNTIME", "none")
            .output()?;
        expect(&installed, 0, &["classify "])?;
        let added = fs::read_to_string(self.directory.path().join("path"))?;
        let devices = alone(&Path::new(added.trim()).join("classify"))
            .arg("devices")
            .output()?;
        expect(&devices, 0, &["RTen"])
    }

    /// The types and the tests of the module, on the package as it is installed.
    fn module(&self) -> Result<()> {
        let full = Environment {
            prefix: self.directory.path().join("full"),
        };
        let site = full.site_packages()?;
        let (workspace, checks) = (setup::workspace(), setup::checks()?);
        let tools = setup::home()?.join("python");
        // numpy and Pillow are those of the set-up.
        let libraries = Environment {
            prefix: tools.clone(),
        }
        .site_packages()?;
        let paths = std::env::join_paths([&site, &checks, &libraries])?;
        for arguments in [&["-m", "mypy"][..], &["-B", "-m", "pytest", "-q"][..]] {
            println!("  python {}", arguments.join(" "));
            let mut command = python::command(&python::environment_python(&tools));
            command
                .env("PYTHONPATH", &paths)
                .env("MYPY_CACHE_DIR", self.directory.path().join("mypy"))
                // Both engines are there: nothing may be skipped.
                .env("CI", "true");
            let status = command.args(arguments).current_dir(&workspace).status()?;
            if !status.success() {
                bail!(Failure::new(
                    format!("python {} failed ({status})", arguments.join(" ")),
                    "its messages are above"
                ));
            }
        }
        Ok(())
    }
}

struct Environment {
    prefix: PathBuf,
}

impl Environment {
    fn program(&self, name: &str) -> PathBuf {
        let python = python::environment_python(&self.prefix);
        python
            .with_file_name(name)
            .with_extension(std::env::consts::EXE_EXTENSION)
    }

    fn classify(&self, arguments: &[&str]) -> Result<Output> {
        Ok(alone(&self.program("classify")).args(arguments).output()?)
    }

    fn site_packages(&self) -> Result<PathBuf> {
        let mut command = python::command(&self.program("python"));
        command.args([
            "-c",
            "import sysconfig; print(sysconfig.get_path('purelib'))",
        ]);
        let path = text(&python::run(&mut command, "asking for the packages")?);
        Ok(PathBuf::from(path.trim()))
    }

    /// Returns the path of a file of the demo.
    fn demo(&self, name: &str) -> Result<String> {
        let path = self.site_packages()?.join("classify_cli/demo").join(name);
        let path = path.into_os_string().into_string().ok();
        path.context("the path is not UTF-8")
    }
}

/// Returns a program without any variable of the caller: `env -i`. Windows programs do not start without `SystemRoot`.
fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    if let Some(root) = std::env::var_os("SystemRoot") {
        command.env("SystemRoot", root);
    }
    command
}

/// Expects an exit code, and words in what was printed.
fn expect(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let printed = text(output);
    ensure!(
        output.status.code() == Some(code),
        "{}, expected exit code {code}:\n{printed}",
        output.status
    );
    for word in words {
        ensure!(printed.contains(word), "no {word:?} in:\n{printed}");
    }
    Ok(())
}

/// Returns what a program printed.
fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
