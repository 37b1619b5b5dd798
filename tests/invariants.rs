//! The invariants of ARCHITECTURE.md that can be read off the workspace itself.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::checkout;
use serde_json::Value;

/// Each engine crate with the crate of its engine.
const ENGINES: [(&str, &str); 4] = [
    ("backend-openvino", "openvino"),
    ("backend-onnx", "ort"),
    ("backend-rten", "rten"),
    ("backend-remote", "tonic"),
];

const LIBRARIES: [&str; 10] = [
    "backend-api",
    "model-file",
    "runtime-library",
    "backend-openvino",
    "backend-onnx",
    "backend-rten",
    "backend-remote",
    "engine-isolation",
    "image-classification",
    "evaluation",
];

/// The description that cargo gives of the workspace.
fn metadata(options: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(options)
        .current_dir(checkout())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("metadata is JSON")
}

/// Each package of the workspace with everything that it needs to build, dev-dependencies left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--all-features"]);
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let direct: BTreeMap<&str, Vec<&str>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let needed = node["deps"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| {
                    dependency["dep_kinds"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|kind| kind["kind"] != "dev")
                });
            (
                node["id"].as_str().unwrap(),
                needed
                    .map(|dependency| dependency["pkg"].as_str().unwrap())
                    .collect(),
            )
        })
        .collect();
    metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![id.as_str().unwrap()]);
            while let Some(id) = open.pop() {
                for &needed in &direct[id] {
                    if seen.insert(needed) {
                        open.push(needed);
                    }
                }
            }
            let names_of = seen.iter().map(|id| names[id].to_owned()).collect();
            (names[id.as_str().unwrap()].to_owned(), names_of)
        })
        .collect()
}

/// The packages of this workspace that each package may need to build. Arrows point down only.
const CRATES: [(&str, &[&str]); 12] = [
    ("backend-api", &[]),
    ("exact-resample", &[]),
    ("model-file", &["backend-api"]),
    ("runtime-library", &["backend-api", "model-file"]),
    (
        "backend-openvino",
        &["backend-api", "model-file", "runtime-library"],
    ),
    (
        "backend-onnx",
        &["backend-api", "model-file", "runtime-library"],
    ),
    ("backend-rten", &["backend-api", "model-file"]),
    ("backend-remote", &["backend-api", "model-file"]),
    ("engine-isolation", &["backend-api"]),
    (
        "image-classification",
        &["backend-api", "exact-resample", "model-file"],
    ),
    (
        "evaluation",
        &["backend-api", "image-classification", "model-file"],
    ),
    (
        "classify-cli",
        &[
            "backend-api",
            "backend-onnx",
            "backend-openvino",
            "backend-remote",
            "backend-rten",
            "engine-isolation",
            "evaluation",
            "image-classification",
            "model-file",
            "runtime-library",
        ],
    ),
];

/// The most files of a library that may import each other in a circle, if they are one idea.
const MOST_IN_A_CIRCLE: usize = 4;

#[test]
fn crates_depend_on_those_below_them() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if !is_public(package) {
            continue;
        }
        let allowed = CRATES.iter().find(|(known, _)| *known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} has no place in the graph"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let needed = dependency["name"].as_str().unwrap();
            let is_ours = members.contains(needed) && dependency["kind"] != "dev";
            assert!(
                !is_ours || allowed.contains(&needed),
                "{name} depends on {needed}"
            );
        }
    }
}

/// Returns whether a package is for the registry.
fn is_public(package: &Value) -> bool {
    package["publish"].is_null()
}

#[test]
fn packages_for_the_registry_describe_themselves() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let public: Vec<&Value> = packages
        .iter()
        .filter(|package| is_public(package))
        .collect();
    assert_eq!(public.len(), CRATES.len());
    for package in public {
        let name = package["name"].as_str().unwrap();
        let texts = |key: &str| -> Vec<&str> {
            let texts = package[key].as_array().unwrap().iter();
            texts.map(|text| text.as_str().unwrap()).collect()
        };
        let keywords = texts("keywords");
        // The registry's limits.
        let are_short = keywords.iter().all(|keyword| keyword.len() <= 20);
        assert!(
            are_short && (1..=5).contains(&keywords.len()),
            "{name}: {keywords:?}"
        );
        assert!(!texts("categories").is_empty(), "{name}");
        for key in ["description", "license", "rust_version", "readme"] {
            assert!(package[key].is_string(), "{name} has no {key}");
        }
        let targets = package["targets"].as_array().unwrap();
        // docs.rs shows libraries only. The README of a program is its documentation.
        let has_library = targets.iter().any(|target| target["kind"][0] == "lib");
        let docs = format!("https://docs.rs/{name}");
        let documentation = package["documentation"].as_str();
        assert_eq!(documentation, has_library.then_some(&*docs), "{name}");
        let all_features = &package["metadata"]["docs"]["rs"]["all-features"];
        assert_eq!(all_features == true, has_library, "{name}");
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let copy = source(&checkout().join(directory(name)).join(licence));
            assert_eq!(copy, source(&checkout().join(licence)), "{name}: {licence}");
        }
    }
}

#[test]
fn each_library_has_an_example_and_its_dependencies_in_its_readme() {
    for library in libraries() {
        let readme = source(&checkout().join(library).join("README.md"));
        for part in [
            "```rust\n",
            "```toml\n[dependencies]\n",
            &format!("\n{library} = \"0.1\"\n"),
        ] {
            assert!(readme.contains(part), "{library}: {part}");
        }
        // Only rustdoc hides lines that begin so; registries and repositories show them.
        let is_hidden = |line: &str| line == "#" || line.starts_with("# ");
        let examples = readme.split("```rust\n").skip(1);
        for example in examples.filter_map(|text| text.split("```").next()) {
            let hidden = example.lines().map(str::trim).find(|line| is_hidden(line));
            assert_eq!(hidden, None, "{library}");
        }
        let code = source(&checkout().join(library).join("src/lib.rs"));
        // Documentation tests compile it.
        assert!(
            code.starts_with("#![doc = include_str!(\"../README.md\")]"),
            "{library}"
        );
    }
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "`cargo test -- --nocapture` lists the circles"
)]
fn import_circles_are_small_and_the_command_line_has_none() {
    let mut too_large = Vec::new();
    for (package, _) in CRATES {
        let sources = checkout().join(directory(package)).join("src");
        let most = if package == "classify-cli" {
            0
        } else {
            MOST_IN_A_CIRCLE
        };
        for circle in imports::circles(&sources) {
            let files: Vec<_> = circle
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            let line = format!("{package}: {} files: {}", circle.len(), files.join(", "));
            println!("{line}");
            if circle.len() > most {
                too_large.push(line);
            }
        }
    }
    assert!(too_large.is_empty(), "{too_large:#?}");
}

/// The most lines of a file of code.
const MOST_LINES: usize = 700;

#[test]
fn no_file_has_more_than_700_lines() {
    let metadata = metadata(&["--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        for file in rust_files(manifest.parent().unwrap()) {
            let lines = source(&file).lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines", file.display());
        }
    }
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

fn source(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a source file")
}

/// Returns each file of `package` with its code, without the code that only tests have.
fn code_of(package: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let files = rust_files(&checkout().join(directory(package)).join("src"));
    files.into_iter().filter_map(|file| {
        let text = source(&file);
        let is_test = file.ends_with("tests.rs") || text.contains("\n#![cfg(test)]\n");
        (!is_test).then(|| (file, imports::without_tests(&text).to_owned()))
    })
}

fn libraries() -> impl Iterator<Item = &'static str> {
    LIBRARIES.into_iter().chain(["exact-resample"])
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn the_contract_and_the_domain_know_no_engine() {
    let all = dependencies();
    for package in [
        "backend-api",
        "model-file",
        "runtime-library",
        "engine-isolation",
        "image-classification",
        "evaluation",
    ] {
        for needed in &all[package] {
            let engine = ENGINES.iter().any(|(backend, engine)| {
                needed == backend || needed == engine || needed.starts_with(&format!("{engine}-"))
            });
            assert!(!engine, "{package} depends on {needed}");
        }
    }
    assert!(
        !all["backend-api"].contains("image"),
        "backend-api depends on an image crate"
    );
}

#[test]
fn each_engine_crate_pulls_its_own_engine_only() {
    let all = dependencies();
    for (backend, engine) in ENGINES {
        assert!(all[backend].contains(engine), "{backend}");
        for (other, its) in ENGINES {
            let pulls = all[backend].contains(its) || all[backend].contains(other);
            assert!(backend == other || !pulls, "{backend} pulls {other}");
        }
    }
    for (package, needed) in &all {
        let direct =
            std::fs::read_to_string(checkout().join(directory(package)).join("Cargo.toml"))
                .unwrap();
        for (backend, engine) in ENGINES {
            let names_it = direct.lines().any(|line| {
                line.split(['.', ' ', '=']).next().is_some_and(|name| {
                    name == engine
                        || name
                            .strip_prefix(engine)
                            .is_some_and(|rest| rest.starts_with('-'))
                })
            });
            let owner = package == backend;
            // The command line has features of these names.
            let feature = package == "classify-cli";
            // The other end of the protocol, and the generator of its code, are for tests.
            let is_fake = package == "classify-fake-onnxruntime" && engine == "ort";
            let is_test = ["classify-test-server", "xtask"].contains(&package.as_str());
            assert!(
                !names_it || owner || feature || is_fake || is_test && engine == "tonic",
                "{package} names {engine} ({needed:?})"
            );
        }
    }
}

/// The tests of one engine's crate compile nothing of another engine.
#[test]
fn engine_crates_are_tested_alone() {
    for (package, own) in ENGINES {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree", "--locked", "--prefix", "none", "--format", "{p}", "-p", package,
            ])
            .args(["--edges", "normal,build,dev"])
            .current_dir(checkout())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.contains(package), "{tree}");
        for (_, other) in ENGINES.iter().filter(|(_, other)| *other != own) {
            let pulled = tree
                .lines()
                .any(|line| line.split(' ').next() == Some(other));
            assert!(!pulled, "testing {package} pulls {other}");
        }
    }
}

fn directory(package: &str) -> &str {
    match package {
        "classify-benches" => "benches",
        "classify-cli" => "cli",
        "classify-examples" => "examples",
        "classify-fake-onnxruntime" => "tests/fake-onnxruntime",
        "classify-fake-openvino" => "tests/fake-openvino",
        "classify-test-server" => "tests/server",
        "classify-tests" => "tests",
        other => other,
    }
}

#[test]
fn only_the_command_line_prints_or_exits() {
    for library in libraries() {
        for (file, code) in code_of(library) {
            for line in code.lines().filter(|line| !is_comment(line)) {
                for word in [
                    "println!",
                    "eprintln!",
                    "process::exit",
                    "process::abort",
                    "print!(",
                    "io::stdout",
                    "io::stderr",
                    "env::args",
                ] {
                    assert!(!line.contains(word), "{}: {line}", file.display());
                }
            }
        }
    }
}

/// A pipe would be waited for, and a device never ends: [`model_file::open_regular`] rejects both.
#[test]
fn files_are_opened_by_the_function_that_refuses_pipes() {
    const RAW: [&str; 5] = [
        "File::open(",
        "fs::read(",
        "fs::read_to_string(",
        "fs::copy(",
        "Mmap",
    ];
    // Files of the system, and memory that has no name, which `engine-isolation` shares.
    const ALLOWED: [&str; 2] = ["\"/proc/", "MmapRegion"];
    let mut found = Vec::new();
    for package in libraries().chain(["classify-cli"]) {
        for (file, code) in code_of(package) {
            for line in code.lines().filter(|line| !is_comment(line)) {
                let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
                if has(&RAW) && !has(&ALLOWED) {
                    found.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Libraries name the fields of their options; `cli/src/fields.rs` has the flags, `cli/src/runtimes.rs` the variables.
/// Comments count: the documentation of a library is for programs without a command line.
#[test]
fn libraries_name_no_flag_and_no_variable_of_the_command_line() {
    // Flags of OpenVINO's model optimizer, in the files that the first module reads, and of Python's tools.
    const OTHERS: [(&str, &str); 4] = [
        ("open_model_zoo.rs", "\"--"),
        ("environment.rs", "(`--system-site-packages`)"),
        ("environment.rs", "(`uv run --with`)"),
        ("environment.rs", "packages of `--with`"),
    ];
    let mut found = Vec::new();
    for library in libraries() {
        for (file, code) in code_of(library) {
            let is_other = |line: &str| {
                let mut others = OTHERS.iter();
                others.any(|(name, flag)| file.ends_with(name) && line.contains(flag))
            };
            for line in code.lines().filter(|line| !is_other(line)) {
                let names_flag = line.match_indices("--").any(|(at, _)| {
                    line[at + 2..].starts_with(|next: char| next.is_ascii_lowercase())
                });
                let words = [
                    "`-d ",
                    "`-m ",
                    "`-i ",
                    "`classify ",
                    "`cargo setup",
                    "CLASSIFY_",
                ];
                if names_flag || words.iter().any(|word| line.contains(word)) {
                    found.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_crate_inherits_the_lints() {
    let metadata = metadata(&["--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let manifest = source(Path::new(package["manifest_path"].as_str().unwrap()));
        // Examples are programs of others, who have lints of their own.
        let expected = match name {
            "classify-examples" => "[lints.rust]\nunsafe_code = \"forbid\"",
            _ => "[lints]\nworkspace = true",
        };
        assert!(manifest.contains(expected), "{name} has lints of its own");
    }
}

#[test]
fn unsafe_code_is_one_statement_of_the_command_line() {
    let root = source(&checkout().join("Cargo.toml"));
    assert!(root.contains("\nunsafe_code = \"deny\""));
    for library in libraries() {
        let code = source(&checkout().join(library).join("src/lib.rs"));
        let forbids = code.lines().any(|line| line == "#![forbid(unsafe_code)]");
        assert!(forbids, "{library} allows unsafe code");
    }
    let metadata = metadata(&["--no-deps"]);
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        for file in rust_files(manifest.parent().unwrap()) {
            let tokens = imports::tokens(&source(&file));
            let unsafe_tokens = tokens.iter().filter(|token| *token == "unsafe");
            found.extend(unsafe_tokens.map(|_| file.clone()));
        }
    }
    // The fake engines of the tests have the interface of C, and users never load them.
    let fakes = ["openvino", "onnxruntime"];
    let fakes = fakes.map(|name| checkout().join(format!("tests/fake-{name}/src")));
    found.retain(|file| !fakes.iter().any(|fake| file.starts_with(fake)));
    assert_eq!(found, [checkout().join("cli/src/main.rs")]);
}

#[test]
fn engine_crates_share_their_skeleton() {
    let files = |package: &str| -> BTreeSet<String> {
        std::fs::read_dir(checkout().join(package).join("src"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let expected: BTreeSet<String> = [
        "backend.rs",
        "config.rs",
        "engine.rs",
        "error.rs",
        "lib.rs",
        "probe.rs",
    ]
    .map(str::to_owned)
    .into();
    for (package, _) in ENGINES {
        let missing: Vec<_> = expected.difference(&files(package)).cloned().collect();
        assert!(missing.is_empty(), "{package} has no {missing:?}");
    }
}

#[test]
fn the_readme_has_no_placeholder() {
    let readme = source(&checkout().join("README.md"));
    for word in ["DEMO_OUTPUT", "TODO", "FIXME"] {
        assert!(!readme.contains(word), "{word}");
    }
}

/// `panic = "abort"` would turn one engine's panic into the end of every request.
#[test]
fn panics_unwind() {
    assert!(!source(&checkout().join("Cargo.toml")).contains("panic ="));
}
