//! Nothing is loaded or executed from the current directory, whatever the environment says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, library_dirs, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let mut trials = vec![engines.test("a_relative_variable_leads_nowhere", relative_variables)];
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        trials.push(engines.test("nothing_is_loaded_from_the_current_directory", decoys));
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
const VARIANTS: [&str; 9] = [
    ":",
    ".",
    "::/usr/lib",
    "/usr/lib:",
    "/usr/lib::/usr/local/lib",
    "lib",
    "./lib:/usr/lib",
    "/usr/lib;.",
    "lib/..",
];

fn command(run: &[&str], folder: &Path) -> Command {
    let mut command = classify();
    command.current_dir(folder).args(run);
    command.env_remove("LD_LIBRARY_PATH");
    if run != ["devices"] {
        command.arg("-m").arg(small_model("plain.onnx"));
        command.args(["-i", "a.ppm", "--color", "rgb"]);
    }
    command
}

/// The names of the libraries that the loader is asked for.
fn libraries(command: &mut Command) -> Result<BTreeSet<String>, Failed> {
    let folder = tempfile::tempdir()?;
    command
        .env("LD_DEBUG", "libs")
        .env("LD_DEBUG_OUTPUT", folder.path().join("log"))
        .output()?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder.path())? {
        let log = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
        let asked = log.split("find library=").skip(1);
        names.extend(asked.filter_map(|rest| Some(rest.split_whitespace().next()?.to_owned())));
    }
    Ok(names)
}

fn decoys() -> Result<(), Failed> {
    let (folder, _, _) = small_images()?;
    let at = |name: &str| folder.path().join(name);
    // What the program itself needs is loaded before its first instruction, as for any program.
    let of_program = libraries(classify().arg("--help"))?;
    let mut names = BTreeSet::new();
    for arguments in RUNS {
        names.extend(libraries(&mut command(arguments, folder.path()))?);
    }
    for word in [
        "libopenvino.so",
        "libtbb.so",
        "libze_loader.so",
        "libOpenCL.so",
        "libstdc++.so",
    ] {
        ensure(
            names.iter().any(|name| name.starts_with(word)),
            (word, &names),
        )?;
    }
    // Those of other machines, and all that lie beside the engines.
    for name in [
        "libcuda.so.1",
        "libcudart.so.12",
        "libcudnn.so.9",
        "libnvinfer.so.10",
        "libopenvino_c.so",
        "libonnxruntime.so",
    ] {
        names.insert(name.to_owned());
    }
    for library in [
        backend_openvino::find_library(None, &library_dirs())?,
        backend_onnx::find_library(None, &library_dirs())?,
    ] {
        for entry in fs::read_dir(library.path.parent().ok_or("a folder")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.contains(".so") {
                names.insert(name);
            }
        }
    }
    println!("{} libraries: {names:?}", names.len());

    // Whoever loads the decoy, or runs the script, is caught.
    let source = at("decoy.c");
    let marker = folder.path().join("caught");
    fs::write(
        &source,
        format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void caught(void) {{ fclose(fopen({:?}, \"w\")); }}\n",
            marker.to_str().ok_or("a path")?
        ),
    )?;
    let decoy = at("decoy");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&decoy)
        .arg(&source)
        .status()?;
    ensure(built.success(), built)?;
    fs::create_dir(at("lib"))?;
    for name in names.difference(&of_program) {
        fs::copy(&decoy, at(name))?;
        fs::copy(&decoy, at("lib").join(name))?;
    }
    for folder in [
        "openvino/libs",
        "onnxruntime/capi",
        "assets/python/openvino/libs",
    ] {
        fs::create_dir_all(at(folder))?;
        for name in [
            "libopenvino_c.so",
            "libopenvino_c.so.2641",
            "libonnxruntime.so",
        ] {
            fs::copy(&decoy, at(folder).join(name))?;
        }
    }
    fs::write(
        at("plugins.xml"),
        format!(
            "<ie><plugins><plugin name=\"CPU\" location=\"{}\"/></plugins></ie>",
            decoy.display()
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
    let caught = || {
        let caught = marker.exists();
        let _ = fs::remove_file(&marker);
        caught
    };
    // The decoy does what it is for.
    expect_code(&run(classify().arg("--help").env("LD_PRELOAD", &decoy)), 0)?;
    ensure(caught(), "the decoy does not work")?;

    for (index, arguments) in RUNS.iter().enumerate() {
        let clean = run(&mut command(arguments, folder.path()));
        ensure(!caught(), &clean)?;
        // Those that open the most see all of them.
        let variants = if index < 2 {
            &VARIANTS[..]
        } else {
            &VARIANTS[..3]
        };
        for variant in variants {
            let mut relative = command(arguments, folder.path());
            relative.env("LD_LIBRARY_PATH", variant);
            let path = std::env::var("PATH").unwrap_or_default();
            relative.env("PATH", format!(":.:{path}"));
            let found = run(&mut relative);
            ensure(!caught(), (variant, &found))?;
            ensure(
                found.code == clean.code && found.stdout == clean.stdout,
                (variant, &found, &clean),
            )?;
            ensure(found.stderr.contains("LD_LIBRARY_PATH"), (variant, found))?;
        }
    }
    // An absolute path is nobody else's business, and says nothing.
    let absolute = run(command(RUNS[1], folder.path()).env("LD_LIBRARY_PATH", "/usr/lib"));
    expect_code(&absolute, 0)?;
    ensure(!absolute.stderr.contains("LD_LIBRARY_PATH"), absolute)?;
    // With --quiet there is no note, and arguments arrive as they are.
    let quiet = run(command(RUNS[8], folder.path())
        .arg("-q")
        .env("LD_LIBRARY_PATH", "."));
    expect_code(&quiet, 0)?;
    let warnings: Vec<&str> = quiet.stderr.lines().collect();
    let assumed = "warning: the model and its files do not state the ";
    ensure(
        matches!(warnings[..], [line] if line.starts_with(assumed)),
        quiet,
    )?;
    let usage = run(classify()
        .args(["--top", "", "--no such flag"])
        .env("LD_LIBRARY_PATH", "."));
    expect_code(&usage, 2)?;

    // A program that cannot start itself again refuses to load an engine, and so does one that embeds the engines.
    for backend in ["openvino", "onnx"] {
        let mut guarded = command(&["--backend", backend], folder.path());
        guarded.env("LD_LIBRARY_PATH", "/usr/lib:");
        let guarded = run(guarded.env("CLASSIFY_LOADER_PATH_CLEANED", "1"));
        ensure(!caught(), &guarded)?;
        expect_code(&guarded, 2)?;
        ensure(
            guarded.stderr.contains("LD_LIBRARY_PATH is `/usr/lib:`")
                && guarded.stderr.contains("hint: "),
            guarded,
        )?;
    }
    Ok(())
}

/// Variables that lead to engines and plugins have to be absolute.
fn relative_variables() -> Result<(), Failed> {
    let (folder, image, _) = small_images()?;
    for name in [
        "libopenvino_c.so",
        "libonnxruntime.so",
        "lib/python3.11/site-packages/openvino/libs/libopenvino_c.so",
        "lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so",
        "runtime/lib/intel64/libopenvino_c.so",
        "python/openvino/libs/libopenvino_c.so",
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder"))?;
        fs::write(path, b"decoy")?;
    }
    fs::write(folder.path().join("plugins.xml"), "<ie/>")?;
    let command = |backend: &str| {
        let mut command = classify();
        command.current_dir(folder.path());
        command.args(["--backend", backend, "--color", "rgb", "-m"]);
        command.arg(small_model("plain.onnx")).arg("-i").arg(&image);
        command
    };
    let libraries: [(&str, PathBuf); 2] = [
        (
            "openvino",
            backend_openvino::find_library(None, &library_dirs())?.path,
        ),
        (
            "onnx",
            backend_onnx::find_library(None, &library_dirs())?.path,
        ),
    ];
    for (backend, library) in libraries {
        let mut ignored = command(backend);
        for (variable, value) in [
            ("VIRTUAL_ENV", "."),
            ("CONDA_PREFIX", ""),
            ("INTEL_OPENVINO_DIR", "."),
            ("ORT_DYLIB_PATH", "libonnxruntime.so"),
        ] {
            ignored.env(variable, value);
        }
        expect_code(&run(&mut ignored), 0)?;
        let variable = match backend {
            "openvino" => "CLASSIFY_OPENVINO_LIB",
            _ => "CLASSIFY_ONNXRUNTIME_LIB",
        };
        for value in [".", "libopenvino_c.so", "./libonnxruntime.so"] {
            let refused = run(command(backend).env(variable, value));
            expect_code(&refused, 2)?;
            ensure(
                refused.stderr.contains(&format!(
                    "the variable {variable} is {value}, which is not an absolute path"
                )),
                refused,
            )?;
        }
        expect_code(&run(command(backend).env(variable, library)), 0)?;
    }
    let plugins = run(command("openvino").env("CLASSIFY_OPENVINO_PLUGINS", "plugins.xml"));
    expect_code(&plugins, 2)?;
    ensure(
        plugins
            .stderr
            .contains("CLASSIFY_OPENVINO_PLUGINS is plugins.xml, which is not an absolute path"),
        plugins,
    )?;
    let mut nothing = command("openvino");
    for variable in ["VIRTUAL_ENV", "CLASSIFY_HOME"] {
        nothing.env(variable, ".");
    }
    nothing.env_remove("CONDA_PREFIX");
    let nothing = run(&mut nothing);
    ensure(
        nothing.code == Some(0)
            || nothing
                .stderr
                .contains("VIRTUAL_ENV (it is ., but must be an absolute path)"),
        nothing,
    )
}
