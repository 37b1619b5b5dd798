//! Nothing is loaded or executed from the current directory, whatever the environment says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, library_dirs, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let mut trials = engines.scenario(
        "loader::relative_variables",
        Variables::new,
        [
            (
                "of_environments_are_ignored",
                Variables::of_environments_are_ignored,
            ),
            (
                "of_libraries_are_refused",
                Variables::of_libraries_are_refused,
            ),
            ("of_plugins_is_refused", Variables::of_plugins_is_refused),
        ],
    );
    let others: [(&str, fn() -> Result<(), Failed>); 2] = [
        (
            "loader::absolute_variables_lead_to_engines",
            absolute_variables,
        ),
        (
            "loader::a_relative_environment_has_no_engine",
            no_engine_in_a_relative_environment,
        ),
    ];
    trials.extend(others.map(|(name, test)| engines.test(name, test)));
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        trials.push(engines.test(
            "loader::arguments_survive_a_restart",
            arguments_of_a_restart,
        ));
        trials.extend(engines.scenario(
            "loader::decoys",
            Loader::new,
            [
                (
                    "have_the_names_that_engines_ask_for",
                    Loader::asks_for_libraries,
                ),
                ("are_noticed_when_they_are_loaded", Loader::decoys_work),
                (
                    "are_not_loaded_without_a_variable",
                    Loader::loads_nothing_without_a_variable,
                ),
                (
                    "are_not_loaded_with_a_relative_variable",
                    Loader::loads_nothing_from_the_current_directory,
                ),
                ("change_no_result", Loader::keeps_results),
                (
                    "are_noted_with_a_relative_variable",
                    Loader::notes_relative_entries,
                ),
                (
                    "are_not_noted_with_an_absolute_variable",
                    Loader::notes_no_absolute_entry,
                ),
                ("are_not_noted_if_quiet", Loader::notes_nothing_if_quiet),
                (
                    "are_not_loaded_by_a_program_that_cannot_restart",
                    Loader::opens_no_engine_if_it_cannot_restart,
                ),
                (
                    "are_named_by_a_program_that_cannot_restart",
                    Loader::names_the_variable_if_it_cannot_restart,
                ),
            ],
        ));
    }
    trials
}

/// Command lines that make the engines open all of their libraries.
const RUNS: [&[&str]; 9] = [
    &["devices"],
    &["-d", "AUTO"],
    &["-d", "CPU"],
    &["-d", "HETERO:CPU"],
    &["-d", "GPU"],
    &["-d", "NPU"],
    &["--backend", "onnx"],
    &["--backend", "onnx", "-d", "CUDA"],
    &["--backend", "rten"],
];

/// Values of `LD_LIBRARY_PATH` that mean the current directory.
const VARIANTS: [&str; 11] = [
    ":",
    ".",
    "::/usr/lib",
    "/usr/lib:",
    "/usr/lib::/usr/local/lib",
    "lib",
    "./lib:/usr/lib",
    "/usr/lib;.",
    "lib/..",
    // glibc expands `$ORIGIN` only before the end or a character that no name has.
    "$ORIGINx",
    "${ORIGIN_}:/usr/lib",
];

fn command(run: &[&str], directory: &Path) -> Command {
    let mut command = classify();
    command.current_dir(directory).args(run);
    command.env_remove("LD_LIBRARY_PATH");
    if run != ["devices"] {
        command.arg("-m").arg(small_model("plain.onnx"));
        command.args(["-i", "a.ppm", "--color", "rgb"]);
    }
    command
}

/// The names of the libraries that the loader is asked for.
fn libraries(command: &mut Command) -> Result<BTreeSet<String>, Failed> {
    let directory = tempfile::tempdir()?;
    command
        .env("LD_DEBUG", "libs")
        .env("LD_DEBUG_OUTPUT", directory.path().join("log"))
        .output()?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory.path())? {
        let log = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
        let asked = log.split("find library=").skip(1);
        names.extend(asked.filter_map(|rest| Some(rest.split_whitespace().next()?.to_owned())));
    }
    Ok(names)
}

/// The names of all libraries that an engine may look for.
struct Names {
    /// The libraries that the loader was asked for.
    asked: BTreeSet<String>,
    /// These, the libraries of the engines' directories, and some of other machines. The libraries of the program itself are
    /// left out: they are loaded before its first instruction, as for any program.
    all: BTreeSet<String>,
}

fn names(directory: &Path) -> Result<Names, Failed> {
    let mut asked = BTreeSet::new();
    for arguments in RUNS {
        asked.extend(libraries(&mut command(arguments, directory))?);
    }
    let mut all = asked.clone();
    for name in [
        "libcuda.so.1",
        "libcudart.so.12",
        "libcudnn.so.9",
        "libnvinfer.so.10",
        "libopenvino_c.so",
        "libonnxruntime.so",
    ] {
        all.insert(name.to_owned());
    }
    for library in [
        backend_openvino::find_library(None, &library_dirs())?,
        backend_onnx::find_library(None, &library_dirs())?,
    ] {
        for entry in fs::read_dir(library.path.parent().ok_or("a directory")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.contains(".so") {
                all.insert(name);
            }
        }
    }
    let of_program = libraries(classify().arg("--help"))?;
    all.retain(|name| !of_program.contains(name));
    println!("{} libraries: {all:?}", all.len());
    Ok(Names { asked, all })
}

/// A directory full of libraries and programs that leave a mark when they are loaded or run.
struct Decoys {
    directory: tempfile::TempDir,
    library: PathBuf,
    marker: PathBuf,
}

impl Decoys {
    fn new(directory: tempfile::TempDir, names: &BTreeSet<String>) -> Result<Self, Failed> {
        let at = |name: &str| directory.path().join(name);
        let (source, library, marker) = (at("decoy.c"), at("decoy"), at("caught"));
        fs::write(
            &source,
            format!(
                "#include <stdio.h>\n__attribute__((constructor)) static void caught(void) {{ fclose(fopen({:?}, \"w\")); }}\n",
                marker.to_str().ok_or("a path")?
            ),
        )?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .status()?;
        ensure(built.success(), built)?;
        for directory in ["lib", "$ORIGINx", "${ORIGIN_}"] {
            fs::create_dir(at(directory))?;
        }
        for name in names {
            for directory in [".", "lib", "$ORIGINx", "${ORIGIN_}"] {
                fs::copy(&library, at(directory).join(name))?;
            }
        }
        for directory in [
            "openvino/libs",
            "onnxruntime/capi",
            "assets/python/openvino/libs",
        ] {
            fs::create_dir_all(at(directory))?;
            for name in [
                "libopenvino_c.so",
                "libopenvino_c.so.2641",
                "libonnxruntime.so",
            ] {
                fs::copy(&library, at(directory).join(name))?;
            }
        }
        fs::write(
            at("plugins.xml"),
            format!(
                "<ie><plugins><plugin name=\"CPU\" location=\"{}\"/></plugins></ie>",
                library.display()
            ),
        )?;
        for program in ["python3", "python", "cc", "nvidia-smi", "clinfo", "sh"] {
            fs::write(
                at(program),
                format!("#!/bin/sh\n: > {}\n", marker.display()),
            )?;
            #[cfg(unix)]
            fs::set_permissions(
                at(program),
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )?;
        }
        Ok(Self {
            directory,
            library,
            marker,
        })
    }

    /// Returns whether one was loaded since the last call.
    fn were_loaded(&self) -> bool {
        fs::remove_file(&self.marker).is_ok()
    }
}

/// A run with decoys in the current directory.
#[derive(Debug)]
struct Attempt {
    run: Run,
    loaded_a_decoy: bool,
}

/// A run without `LD_LIBRARY_PATH`, and those with its values that mean the current directory.
struct Attempts {
    clean: Attempt,
    relative: Vec<(&'static str, Attempt)>,
}

/// All that is run among the decoys, one after the other, since their mark is one file.
struct Loader {
    asked: BTreeSet<String>,
    preloaded: Attempt,
    attempts: Vec<Attempts>,
    /// `-d AUTO` with an absolute path.
    absolute: Run,
    /// `--backend rten --quiet` with a relative path.
    quiet: Run,
    /// A program that cannot start itself again, on each engine that is a library.
    guarded: [Attempt; 2],
}

impl Loader {
    fn new() -> Result<Self, Failed> {
        let (directory, _, _) = small_images()?;
        let names = names(directory.path())?;
        let decoys = Decoys::new(directory, &names.all)?;
        let directory = decoys.directory.path();
        let attempt = |command: &mut Command| Attempt {
            run: run(command),
            loaded_a_decoy: decoys.were_loaded(),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let relative = |arguments: &[&str], variant: &'static str| {
            let mut command = command(arguments, directory);
            command.env("LD_LIBRARY_PATH", variant);
            (variant, attempt(command.env("PATH", format!(":.:{path}"))))
        };
        let attempts = RUNS.iter().enumerate().map(|(index, arguments)| {
            // Those that open the most see all of them.
            let variants = if index < 2 { VARIANTS.len() } else { 3 };
            let variants = VARIANTS[..variants].iter();
            Attempts {
                clean: attempt(&mut command(arguments, directory)),
                relative: variants
                    .map(|variant| relative(arguments, variant))
                    .collect(),
            }
        });
        let guarded = |backend| {
            let mut command = command(&["--backend", backend], directory);
            command.env("LD_LIBRARY_PATH", "/usr/lib:");
            attempt(command.env("CLASSIFY_LOADER_PATH_CLEANED", "1"))
        };
        let preload = decoys.library.as_path();
        Ok(Self {
            asked: names.asked,
            preloaded: attempt(classify().arg("--help").env("LD_PRELOAD", preload)),
            attempts: attempts.collect(),
            absolute: run(command(RUNS[1], directory).env("LD_LIBRARY_PATH", "/usr/lib")),
            quiet: run(command(RUNS[8], directory)
                .arg("-q")
                .env("LD_LIBRARY_PATH", ".")),
            guarded: ["openvino", "onnx"].map(guarded),
        })
    }

    fn asks_for_libraries(&self) -> Result<(), Failed> {
        for word in [
            "libopenvino.so",
            "libtbb.so",
            "libze_loader.so",
            "libOpenCL.so",
            "libstdc++.so",
        ] {
            let is_asked = self.asked.iter().any(|name| name.starts_with(word));
            ensure(is_asked, (word, &self.asked))?;
        }
        Ok(())
    }

    fn decoys_work(&self) -> Result<(), Failed> {
        expect_code(&self.preloaded.run, 0)?;
        ensure(self.preloaded.loaded_a_decoy, &self.preloaded)
    }

    fn loads_nothing_without_a_variable(&self) -> Result<(), Failed> {
        for Attempts { clean, .. } in &self.attempts {
            ensure(!clean.loaded_a_decoy, clean)?;
        }
        Ok(())
    }

    /// Calls `check` with each run with a relative path, and the run without one.
    fn for_each_relative(&self, check: impl Fn(&Attempt, &Run) -> bool) -> Result<(), Failed> {
        for Attempts { clean, relative } in &self.attempts {
            for (variant, attempt) in relative {
                ensure(check(attempt, &clean.run), (variant, attempt, clean))?;
            }
        }
        Ok(())
    }

    fn loads_nothing_from_the_current_directory(&self) -> Result<(), Failed> {
        self.for_each_relative(|attempt, _| !attempt.loaded_a_decoy)
    }

    fn keeps_results(&self) -> Result<(), Failed> {
        self.for_each_relative(|Attempt { run, .. }, clean| {
            run.code == clean.code && run.stdout == clean.stdout
        })
    }

    fn notes_relative_entries(&self) -> Result<(), Failed> {
        self.for_each_relative(|attempt, _| attempt.run.stderr.contains("LD_LIBRARY_PATH"))
    }

    fn notes_no_absolute_entry(&self) -> Result<(), Failed> {
        expect_code(&self.absolute, 0)?;
        let is_noted = self.absolute.stderr.contains("LD_LIBRARY_PATH");
        ensure(!is_noted, &self.absolute)
    }

    fn notes_nothing_if_quiet(&self) -> Result<(), Failed> {
        expect_code(&self.quiet, 0)?;
        let warnings: Vec<&str> = self.quiet.stderr.lines().collect();
        let assumed = "warning: the model and its files do not state the ";
        let is_quiet = matches!(warnings[..], [line] if line.starts_with(assumed));
        ensure(is_quiet, &self.quiet)
    }

    fn opens_no_engine_if_it_cannot_restart(&self) -> Result<(), Failed> {
        for attempt in &self.guarded {
            ensure(!attempt.loaded_a_decoy, attempt)?;
            expect_code(&attempt.run, 2)?;
        }
        Ok(())
    }

    fn names_the_variable_if_it_cannot_restart(&self) -> Result<(), Failed> {
        for Attempt { run, .. } in &self.guarded {
            ensure(
                run.stderr.contains(r#"LD_LIBRARY_PATH is "/usr/lib:""#)
                    && run.stderr.contains("hint: "),
                run,
            )?;
        }
        Ok(())
    }
}

fn arguments_of_a_restart() -> Result<(), Failed> {
    let usage = run(classify()
        .args(["--top", "", "--no such flag"])
        .env("LD_LIBRARY_PATH", "."));
    expect_code(&usage, 2)
}

/// Images, and decoys of engines where variables that are relative paths would find them.
struct Variables {
    directory: tempfile::TempDir,
    image: PathBuf,
}

/// The engines that are libraries, with the variable of each.
const LIBRARIES: [(&str, &str); 2] = [
    ("openvino", "CLASSIFY_OPENVINO_LIB"),
    ("onnx", "CLASSIFY_ONNXRUNTIME_LIB"),
];

impl Variables {
    fn new() -> Result<Self, Failed> {
        let (directory, image, _) = small_images()?;
        for name in [
            "libopenvino_c.so",
            "libonnxruntime.so",
            "lib/python3.11/site-packages/openvino/libs/libopenvino_c.so",
            "lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so",
            "runtime/lib/intel64/libopenvino_c.so",
            "python/openvino/libs/libopenvino_c.so",
        ] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("inside the directory"))?;
            fs::write(path, b"decoy")?;
        }
        fs::write(directory.path().join("plugins.xml"), "<ie/>")?;
        Ok(Self { directory, image })
    }

    fn run(&self, backend: &str, variables: &[(&str, &str)]) -> Run {
        let mut command = classify();
        command.current_dir(self.directory.path());
        command.args(["--backend", backend, "--color", "rgb", "-m"]);
        command.arg(small_model("plain.onnx"));
        command.arg("-i").arg(&self.image);
        run(command.envs(variables.iter().copied()))
    }

    fn of_environments_are_ignored(&self) -> Result<(), Failed> {
        for (backend, _) in LIBRARIES {
            let variables = [
                ("VIRTUAL_ENV", "."),
                ("CONDA_PREFIX", ""),
                ("INTEL_OPENVINO_DIR", "."),
                ("ORT_DYLIB_PATH", "libonnxruntime.so"),
            ];
            expect_code(&self.run(backend, &variables), 0)?;
        }
        Ok(())
    }

    fn of_libraries_are_refused(&self) -> Result<(), Failed> {
        for (backend, variable) in LIBRARIES {
            for value in [".", "libopenvino_c.so", "./libonnxruntime.so"] {
                let refused = self.run(backend, &[(variable, value)]);
                expect_code(&refused, 2)?;
                let said =
                    format!("the variable {variable} is {value}, which is not an absolute path");
                ensure(refused.stderr.contains(&said), refused)?;
            }
        }
        Ok(())
    }

    fn of_plugins_is_refused(&self) -> Result<(), Failed> {
        let variables = [("CLASSIFY_OPENVINO_PLUGINS", "plugins.xml")];
        let refused = self.run("openvino", &variables);
        expect_code(&refused, 2)?;
        let said = "CLASSIFY_OPENVINO_PLUGINS is plugins.xml, which is not an absolute path";
        ensure(refused.stderr.contains(said), refused)
    }
}

fn absolute_variables() -> Result<(), Failed> {
    let all = Variables::new()?;
    let libraries = [
        backend_openvino::find_library(None, &library_dirs())?,
        backend_onnx::find_library(None, &library_dirs())?,
    ];
    for ((backend, variable), library) in LIBRARIES.iter().zip(libraries) {
        let library = library.path.to_str().ok_or("a path")?;
        expect_code(&all.run(backend, &[(variable, library)]), 0)?;
    }
    Ok(())
}

/// An engine is found elsewhere, or the error says why the environment was passed over.
fn no_engine_in_a_relative_environment() -> Result<(), Failed> {
    let all = Variables::new()?;
    let mut command = classify();
    command.current_dir(all.directory.path());
    command.args(["--backend", "openvino", "--color", "rgb", "-m"]);
    command
        .arg(small_model("plain.onnx"))
        .arg("-i")
        .arg(&all.image);
    command.envs([("VIRTUAL_ENV", "."), ("CLASSIFY_HOME", ".")]);
    let result = run(command.env_remove("CONDA_PREFIX"));
    let said = "VIRTUAL_ENV (it is ., but must be an absolute path)";
    ensure(
        result.code == Some(0) || result.stderr.contains(said),
        result,
    )
}
