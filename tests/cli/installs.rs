//! Programs in Python environments: the engines that they find, the hints that they give, and the second program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, library_dirs, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs, set_up: &Needs) -> Vec<Trial> {
    type Test = fn() -> Result<(), Failed>;
    let with_engines: [(&str, Test); 5] = [
        (
            "installs::engines_of_the_programs_environment",
            engines_of_environment,
        ),
        (
            "installs::engines_of_a_linked_environment",
            engines_of_links,
        ),
        ("installs::an_invented_name_leads_nowhere", invented_names),
        ("installs::engines_are_isolated", isolated_engines),
        (
            "installs::the_hint_names_an_engine_that_is_there",
            other_engine,
        ),
    ];
    let alone: [(&str, Test); 3] = [
        ("installs::the_hint_is_that_of_the_package", package_hint),
        ("installs::second_program_starts_the_first", second_program),
        ("installs::second_program_rejects_a_stranger", stranger),
    ];
    let mut trials: Vec<Trial> = alone.map(|(name, test)| Trial::test(name, test)).into();
    trials.extend(with_engines.map(|(name, test)| engines.test(name, test)));
    trials.push(set_up.test("installs::demo_in_a_checkout", demo));
    trials
}

/// An environment with the module of the package, in which the programs are links to a directory without engines, or files.
struct Environment {
    root: tempfile::TempDir,
}

impl Environment {
    fn new() -> Result<Self, Failed> {
        let root = tempfile::tempdir()?;
        let environment = Self { root };
        for directory in [
            environment.at("bin"),
            environment.packages().join("classify_cli"),
        ] {
            fs::create_dir_all(directory)?;
        }
        fs::write(environment.packages().join("classify_cli/__init__.py"), "")?;
        Ok(environment)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn packages(&self) -> PathBuf {
        self.at("lib/python3.11/site-packages")
    }

    /// Puts a program into a directory, as a file of its own.
    fn install(&self, program: &str, directory: &str) -> Result<PathBuf, Failed> {
        let path = self
            .at(directory)
            .join(Path::new(program).file_name().ok_or("a name")?);
        fs::create_dir_all(self.at(directory))?;
        if fs::hard_link(program, &path).is_err() {
            fs::copy(program, &path)?;
        }
        Ok(path)
    }

    /// Links the engines that the tests use into the environment.
    fn add_engines(&self) -> Result<(), Failed> {
        let libraries = [
            (
                backend_openvino::find_library(None, &library_dirs())?,
                "openvino/libs",
            ),
            (
                backend_onnx::find_library(None, &library_dirs())?,
                "onnxruntime/capi",
            ),
        ];
        for (library, directory) in libraries {
            let place = self.packages().join(directory);
            fs::create_dir_all(place.parent().ok_or("a parent")?)?;
            symlink(library.path.parent().ok_or("a directory")?, place)?;
        }
        Ok(())
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_classify");
const SECOND: &str = env!("CARGO_BIN_EXE_classify-cli");

/// A program that nothing but its own place leads to engines.
fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

/// Expects that both engines come from the environment of the program.
fn expect_own_engines(command: &mut Command) -> Result<(), Failed> {
    let devices = run(command.args(["devices", "--format", "json"]));
    expect_code(&devices, 0)?;
    ensure(own_engines(&devices.stdout) == 2, devices)
}

/// Returns the number of engines in the environment of the program.
fn own_engines(devices: &str) -> usize {
    let found = "\"found_by\":\"the program's own Python environment\"";
    devices.replace(": ", ":").matches(found).count()
}

fn engines_of_environment() -> Result<(), Failed> {
    let environment = Environment::new()?;
    environment.add_engines()?;
    let program = environment.install(PROGRAM, "bin")?;
    expect_own_engines(&mut alone(&program))?;
    expect_own_engines(alone(Path::new("./classify")).current_dir(environment.at("bin")))?;
    let link = environment.at("link");
    symlink(&program, &link)?;
    expect_own_engines(&mut alone(&link))
}

/// A confined process may not read the environment in which the library was found.
fn isolated_engines() -> Result<(), Failed> {
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    let environment = Environment::new()?;
    environment.add_engines()?;
    let program = environment.install(PROGRAM, "bin")?;
    let (_directory, image, _) = small_images()?;
    for backend in ["openvino", "onnx"] {
        let mut command = alone(&program);
        command.args(["--isolate", "--verbose", "--backend", backend, "-m"]);
        let result = run(command.arg(small_model("plain.onnx")).arg("-i").arg(&image));
        expect_code(&result, 0)?;
        let origin = "(the program's own Python environment)";
        ensure(
            result.stdout.contains("isolated (process") && result.stderr.contains(origin),
            &result,
        )?;
    }
    Ok(())
}

fn other_engine() -> Result<(), Failed> {
    let environment = Environment::new()?;
    environment.add_engines()?;
    fs::remove_file(environment.packages().join("openvino/libs"))?;
    let program = environment.install(PROGRAM, "bin")?;
    let (_directory, image, _) = small_images()?;
    let mut command = alone(&program);
    let result = run(command
        .arg("-m")
        .arg(small_model("plain.onnx"))
        .arg("-i")
        .arg(&image));
    // The system may have the engine.
    ensure(
        result.code == Some(0) || result.stderr.contains("with `--backend onnx`"),
        result,
    )
}

/// Finds engines through links, which `uv` makes with `UV_LINK_MODE=symlink`.
fn engines_of_links() -> Result<(), Failed> {
    let environment = Environment::new()?;
    environment.add_engines()?;
    for (name, program) in [("classify", PROGRAM), ("classify-cli", SECOND)] {
        let file = environment.install(program, "cache/scripts")?;
        let link = environment.at("bin").join(name);
        symlink(file, &link)?;
        expect_own_engines(&mut alone(&link))?;
        // Through another link, by a relative path, and by its name alone.
        let directory = environment.at("home/bin");
        fs::create_dir_all(&directory)?;
        symlink(format!("../../bin/{name}"), directory.join(name))?;
        expect_own_engines(&mut alone(&directory.join(name)))?;
        expect_own_engines(
            alone(&Path::new("bin").join(name)).current_dir(environment.root.path()),
        )?;
        let mut by_name = alone(Path::new("/bin/sh"));
        by_name.env("PATH", environment.at("bin"));
        expect_own_engines(by_name.args(["-c", "exec \"$0\" \"$@\"", name]))?;
    }
    Ok(())
}

/// A name that does not lead to the program is ignored, and so is one that only the current directory gives a meaning.
fn invented_names() -> Result<(), Failed> {
    use std::os::unix::process::CommandExt as _;
    let environment = Environment::new()?;
    environment.add_engines()?;
    let program = environment.install(PROGRAM, "elsewhere")?;
    fs::write(environment.at("bin/classify"), "another program")?;
    let expect_none = |command: &mut Command| {
        let devices = run(command.args(["devices", "--format", "json"]));
        expect_code(&devices, 0)?;
        ensure(own_engines(&devices.stdout) == 0, devices)
    };
    expect_none(alone(&program).arg0(environment.at("bin/classify")))?;
    expect_none(
        alone(&program)
            .arg0("bin/classify")
            .current_dir(environment.root.path()),
    )?;
    symlink(&program, environment.at("bin/linked"))?;
    for path in ["bin", ".", ""] {
        let mut command = alone(&program);
        command.arg0("linked").env("PATH", path);
        expect_none(command.current_dir(environment.at("bin")))?;
    }
    expect_own_engines(
        alone(&program)
            .arg0("linked")
            .env("PATH", environment.at("bin")),
    )
}

fn package_hint() -> Result<(), Failed> {
    let environment = Environment::new()?;
    let program = environment.install(PROGRAM, "bin")?;
    let (_directory, image, _) = small_images()?;
    for (backend, extra) in [("openvino", "openvino"), ("onnx", "onnx")] {
        let mut command = alone(&program);
        command.args(["--backend", backend, "--color", "rgb", "-m"]);
        let failed = run(command.arg(small_model("plain.onnx")).arg("-i").arg(&image));
        if failed.code == Some(0) {
            // The system has the engine.
            continue;
        }
        expect_code(&failed, 2)?;
        let hint = format!(
            "run `pip install 'classify-cli[{extra}]'` in the Python environment {}\n      or name its library",
            environment.root.path().display()
        );
        ensure(
            failed.stderr.contains(&hint) && !failed.stderr.contains("cargo"),
            failed,
        )?;
    }
    let no_model = run(alone(&program).arg("-i").arg(&image));
    ensure(no_model.stderr.contains("`classify demo`"), no_model)?;
    let no_files = run(alone(&program).arg("demo"));
    expect_code(&no_files, 2)?;
    ensure(
        no_files
            .stderr
            .contains("hint: build the package with `cargo wheel`"),
        no_files,
    )
}

fn second_program() -> Result<(), Failed> {
    let environment = Environment::new()?;
    environment.install(PROGRAM, "bin")?;
    let second = environment.install(SECOND, "bin")?;
    let (first, second) = (
        run(classify().args(["inspect", "--no such flag"])),
        run(alone(&second).args(["inspect", "--no such flag"])),
    );
    expect_code(&second, 2)?;
    ensure(
        first.stderr == second.stderr && !first.stderr.is_empty(),
        (first, second),
    )
}

/// The package `classify`, which is not ours, installs a script of the same name.
fn stranger() -> Result<(), Failed> {
    let environment = Environment::new()?;
    let second = environment.install(SECOND, "bin")?;
    let missing = run(&mut alone(&second));
    expect_code(&missing, 2)?;
    ensure(missing.stderr.contains("--force-reinstall"), missing)?;
    fs::write(environment.at("bin/classify"), "#!/bin/sh\necho caught\n")?;
    fs::set_permissions(
        environment.at("bin/classify"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let refused = run(&mut alone(&second));
    expect_code(&refused, 2)?;
    ensure(refused.stdout.is_empty(), &refused)?;
    ensure(
        refused
            .stderr
            .contains("is a script of another Python package"),
        &refused,
    )?;
    ensure(
        refused.stderr.contains("hint: uninstall that package"),
        refused,
    )
}

fn demo() -> Result<(), Failed> {
    let demo = run(classify().arg("demo"));
    expect_code(&demo, 0)?;
    let lines: Vec<&str> = demo.stdout.lines().collect();
    let row = |name: &str| lines.iter().find(|line| line.starts_with(name));
    for (photo, class) in [("coffee.png", "967 espresso"), ("camera.png", "872 tripod")] {
        let row = row(photo).ok_or("no row")?;
        ensure(row.contains(class), &demo)?;
        // A score of each of the three engines.
        ensure(row.matches(" 0.").count() == 3, &demo)?;
    }
    let agree = row("AGREE: ").ok_or("no verdict")?;
    ensure(agree.ends_with("on 3 images"), &demo)?;
    let next = lines
        .iter()
        .position(|line| *line == "next:")
        .ok_or("no next commands")?;
    ensure(lines.len() == next + 4, &demo)?;
    // The second one works as it stands, with other images.
    let compare = lines[next + 2]
        .replace("photos/", "PHOTO")
        .replace(" --report report.html", "");
    let photo = classify_tests::set_up("photos/coffee.png");
    let words: Vec<&str> = compare.split_whitespace().skip(1).collect();
    let words = words.iter().map(|word| match *word {
        "PHOTO" => photo.as_os_str().to_owned(),
        other => other.into(),
    });
    expect_code(&run(classify().args(words)), 0)
}
