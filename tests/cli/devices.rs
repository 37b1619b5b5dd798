//! Devices: which there are, what strings name them, and what runs under which name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use classify_tests::{
    Needs, Run, ensure, expect_code, library_dirs, photos, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

pub fn trials(engines: &Needs, set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 11] = [
        ("devices::every_known_device_is_listed_or_explained", listed),
        ("devices::one_engine_can_be_listed_alone", one_engine),
        ("devices::a_broken_engine_hides_no_other", broken),
        ("devices::auto_without_a_device_is_refused", no_device_left),
        ("devices::names_ignore_case", names),
        ("devices::another_precision_is_refused", precision),
        ("devices::properties_of_a_device_are_set", properties),
        (
            "devices::a_precision_set_by_property_executes",
            precision_property,
        ),
        (
            "devices::a_precision_set_by_property_is_checked",
            no_way_round,
        ),
        ("devices::a_provider_runs_the_model_or_fails", providers),
        ("devices::a_cut_plugin_is_refused", cut_plugin),
    ];
    let mut trials: Vec<Trial> = tests
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .collect();
    #[cfg(target_os = "linux")]
    trials.push(engines.test(
        "devices::an_incomplete_installation_is_explained",
        incomplete,
    ));
    trials.extend(set_up.scenario(
        "devices::aliases",
        Aliases::new,
        [
            ("answer_as_the_cpu", Aliases::answer_as_the_cpu),
            ("are_named_in_notes", Aliases::are_named),
            ("are_named_in_json", Aliases::are_named_in_json),
            ("are_marked_in_the_list", Aliases::are_marked_in_the_list),
        ],
    ));
    trials.extend(set_up.scenario(
        "devices::cache",
        cache,
        [
            ("the_first_run_adds_the_model", cache_adds),
            ("the_next_run_loads_it", cache_loads),
            ("a_loaded_model_answers_as_a_compiled_one", cache_answers),
            ("a_damaged_model_is_compiled_again", cache_damaged),
            ("a_damaged_model_is_replaced", cache_repaired),
            ("two_runs_that_start_together_answer_alike", cache_together),
            ("another_device_is_another_entry", cache_of_another_device),
        ],
    ));
    trials
}

/// The program with a small model and image, and `flags`.
fn classify_small(flags: &[&str]) -> Result<Run, Failed> {
    let (_directory, image, _) = small_images()?;
    let mut command = classify();
    command.arg("-m").arg(small_model("plain.onnx"));
    command.arg("-i").arg(image).args(flags);
    Ok(run(&mut command))
}

/// Ends with exit code 2, says each of `texts`, and nothing on stdout after the sample's steps.
fn expect_refusal(flags: &[&str], texts: &[&str]) -> Result<(), Failed> {
    let refused = classify_small(flags)?;
    expect_code(&refused, 2)?;
    ensure(!refused.stdout.contains("Image path"), &refused)?;
    ensure(refused.stderr.contains("hint: "), &refused)?;
    for text in texts {
        ensure(refused.stderr.contains(text), (text, &refused))?;
    }
    Ok(())
}

fn devices(flags: &[&str]) -> Run {
    run(classify().arg("devices").args(flags))
}

fn json(run: &Run) -> Result<Value, Failed> {
    Ok(serde_json::from_str(&run.stdout)?)
}

fn listed() -> Result<(), Failed> {
    let all = json(&devices(&["--format", "json"]))?;
    ensure(all["schema_version"] == 1, &all)?;
    let names = |engine: usize, list: &str| -> Vec<String> {
        let list = all["engines"][engine][list].as_array();
        list.into_iter()
            .flatten()
            .map(|device| device["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    ensure(names(0, "devices").contains(&"CPU".to_owned()), &all)?;
    ensure(names(1, "devices").contains(&"CPU".to_owned()), &all)?;
    // Every well-known device is in one of the two lists.
    for known in ["CPU", "GPU", "NPU", "MYRIAD", "HDDL"] {
        let mut both = names(0, "devices");
        both.extend(names(0, "unusable"));
        ensure(
            both.iter()
                .any(|name| name.split('.').next() == Some(known)),
            (known, &all),
        )?;
    }
    let cpu = &all["engines"][0]["devices"][0];
    ensure(
        cpu["precisions"]
            .as_array()
            .is_some_and(|list| list.contains(&"f32".into())),
        cpu,
    )?;
    ensure(
        cpu["properties"]
            .as_array()
            .is_some_and(|list| list.contains(&"NUM_STREAMS".into())),
        cpu,
    )?;
    Ok(())
}

fn one_engine() -> Result<(), Failed> {
    let one = json(&devices(&["--backend", "onnx", "--format", "json"]))?;
    ensure(
        one["engines"]
            .as_array()
            .is_some_and(|list| list.len() == 1),
        one,
    )
}

fn broken() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let text = directory.path().join("libopenvino_c.so");
    std::fs::write(&text, "not a library")?;
    for library in [text.as_path(), Path::new("/no/such/file.so")] {
        let listed = devices(&["--openvino-lib", library.to_str().unwrap()]);
        expect_code(&listed, 0)?;
        ensure(
            listed.stdout.contains("OpenVINO: cannot be used")
                && listed.stdout.contains("ONNX Runtime 1."),
            &listed,
        )?;
    }
    Ok(())
}

/// A copy of OpenVINO without `without`, or with only the beginning of it.
#[cfg(target_os = "linux")]
fn damaged_openvino(without: &str, keep: Option<usize>) -> Result<tempfile::TempDir, Failed> {
    let library = backend_openvino::find_library(None, &library_dirs())?.path;
    let from = library.parent().ok_or("the library lies in no directory")?;
    let directory = tempfile::tempdir()?;
    let mut found = false;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = directory.path().join(entry.file_name());
        if entry.file_name().to_string_lossy().starts_with(without) {
            found = true;
            if let Some(keep) = keep {
                std::fs::write(&to, &std::fs::read(entry.path())?[..keep])?;
            }
        } else if entry.file_type()?.is_file() && std::fs::hard_link(entry.path(), &to).is_err() {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    ensure(found, format!("no {without} in {}", from.display()))?;
    Ok(directory)
}

/// The list names every missing or damaged engine, and the others still work.
#[cfg(target_os = "linux")]
fn incomplete() -> Result<(), Failed> {
    let plugin = |name: &str| format!("libopenvino_{name}_plugin.so");
    for (file, keep, says) in [
        (
            "libtbb.so".to_owned(),
            Some(16_384),
            "not a valid shared library",
        ),
        (
            "libhwloc.so".to_owned(),
            Some(16_384),
            "not a valid shared library",
        ),
        ("libtbb.so".to_owned(), None, "libtbb.so.12: cannot open"),
        (plugin("intel_cpu"), None, "has no CPU plugin"),
        (plugin("intel_npu"), None, "has no NPU plugin"),
        (plugin("intel_gpu"), None, "has no GPU plugin"),
        (plugin("hetero"), None, "has no HETERO plugin"),
        (plugin("auto"), None, "has no AUTO plugin"),
        (
            plugin("intel_gpu"),
            Some(16_384),
            "not a valid shared library",
        ),
    ] {
        let directory = damaged_openvino(&file, keep)?;
        let library = directory.path().to_str().ok_or("UTF-8")?;
        let listed = devices(&["--openvino-lib", library]);
        expect_code(&listed, 0)?;
        ensure(listed.stdout.contains(says), (&file, &listed))?;
        ensure(listed.stdout.contains("ONNX Runtime 1."), &listed)?;
        if says.contains("CPU plugin") {
            let flags = ["--openvino-lib", library];
            expect_refusal(
                &flags,
                &["device CPU is not available", says, "available: none"],
            )?;
        }
    }
    Ok(())
}

fn no_device_left() -> Result<(), Failed> {
    expect_refusal(
        &["-d", "AUTO:-CPU"],
        &["the device string excludes all available devices"],
    )
}

fn names() -> Result<(), Failed> {
    for device in [
        "cpu",
        "hetero:cpu",
        "auto",
        "AUTO:CPU",
        "batch:cpu(2)",
        "multi:cpu",
    ] {
        let lower = classify_small(&["-d", device, "--format", "json"])?;
        expect_code(&lower, 0)?;
        let line = json(&lower)?;
        ensure(
            line["device"] == "CPU"
                && line["requested_device"] == device
                && line["precision"] == "f32",
            line,
        )?;
    }
    Ok(())
}

/// On every processor the requested precision executes, or none does.
fn precision() -> Result<(), Failed> {
    for precision in ["f32", "bf16", "f16"] {
        let run = classify_small(&["--precision", precision, "--format", "json"])?;
        if run.code == Some(0) {
            ensure(json(&run)?["precision"] == precision, run)?;
        } else {
            expect_code(&run, 2)?;
            let says = format!("precision {precision} was requested");
            ensure(
                run.stderr.contains(&says) || run.stderr.contains("does not take"),
                run,
            )?;
        }
    }
    Ok(())
}

fn properties() -> Result<(), Failed> {
    for flags in [
        ["--config", "NUM_STREAMS=1"],
        ["--config", "CPU:INFERENCE_NUM_THREADS=1"],
        ["--config", "cpu:NUM_STREAMS=2"],
    ] {
        expect_code(&classify_small(&flags)?, 0)?;
    }
    Ok(())
}

fn precision_property() -> Result<(), Failed> {
    let set = classify_small(&[
        "--config",
        "INFERENCE_PRECISION_HINT=f32",
        "--precision",
        "auto",
        "--format",
        "json",
    ])?;
    expect_code(&set, 0)?;
    ensure(json(&set)?["precision"] == "f32", set)
}

fn no_way_round() -> Result<(), Failed> {
    let flags = [
        "--config",
        "INFERENCE_PRECISION_HINT=f16",
        "--format",
        "json",
    ];
    let f16 = classify_small(&flags)?;
    if f16.code == Some(0) {
        ensure(json(&f16)?["precision"] == "f16", f16)?;
    } else {
        expect_refusal(&flags, &["f16"])?;
    }
    Ok(())
}

fn providers() -> Result<(), Failed> {
    let onnx = |device| ["--backend", "onnx", "-d", device];
    expect_code(&classify_small(&onnx("cpu"))?, 0)?;
    // Never the CPU instead.
    for provider in ["CUDA", "tensorrt", "OPENVINO", "DirectML", "CoreML"] {
        let run = classify_small(&onnx(provider))?;
        if run.code != Some(0) {
            expect_code(&run, 2)?;
            ensure(run.stderr.contains("ExecutionProvider"), &run)?;
        }
    }
    Ok(())
}

fn cut_plugin() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("plugins.xml");
    let flag = file.to_str().unwrap();
    // What the loader would die of.
    let cut = directory.path().join("cut.so");
    let library = backend_openvino::find_library(None, &library_dirs())?.path;
    std::fs::write(&cut, &std::fs::read(library)?[..16_384])?;
    std::fs::write(
        &file,
        "<ie><plugins><plugin name='CUT' location='cut.so'/></plugins></ie>",
    )?;
    if cfg!(target_os = "linux") {
        expect_refusal(
            &["--plugins", flag, "-d", "CUT"],
            &["cut.so", "not a valid shared library"],
        )?;
    }
    Ok(())
}

/// A plugins file in which MYRIAD, HDDL and GPU are other names for the CPU's plugin.
fn alias_file(directory: &Path) -> Result<(), Failed> {
    let library = backend_openvino::find_library(None, &library_dirs())?.path;
    let beside = library.parent().ok_or("the library lies in no directory")?;
    let cpu = beside.join("libopenvino_intel_cpu_plugin.so");
    let mut plugins = format!("<plugin name=\"CPU\" location=\"{}\"/>", cpu.display());
    for (plugin, device) in [("CPU_A", "MYRIAD"), ("CPU_B", "HDDL"), ("CPU_C", "GPU")] {
        write!(
            plugins,
            "<plugin name=\"{plugin}\" location=\"{}\"><properties>\
             <property key=\"PROXY_CONFIGURATION_ALIAS\" value=\"{device}\"/>\
             <property key=\"PROXY_CONFIGURATION_PRIORITY\" value=\"0\"/></properties></plugin>",
            cpu.display()
        )?;
    }
    let hetero = beside.join("libopenvino_hetero_plugin.so");
    write!(
        plugins,
        "<plugin name=\"HETERO\" location=\"{}\"/>",
        hetero.display()
    )?;
    let plugins = format!("<ie><plugins>{plugins}</plugins></ie>");
    Ok(std::fs::write(directory.join("plugins.xml"), plugins)?)
}

/// Device strings on aliases, and the alias that each one takes.
const ON_ALIASES: [(&str, &str); 6] = [
    ("MYRIAD", "CPU_A"),
    ("hddl", "CPU_B"),
    ("GPU", "CPU_C"),
    ("GPU.0", "CPU_C"),
    ("HETERO:MYRIAD,CPU", "CPU_A"),
    ("hetero:gpu,cpu", "CPU_C"),
];

/// Answers on the CPU and on its aliases.
struct Aliases {
    directory: tempfile::TempDir,
    cpu: Run,
    /// In the order of `ON_ALIASES`.
    runs: Vec<Run>,
}

impl Aliases {
    fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        alias_file(directory.path())?;
        let on = |device| on_alias(directory.path(), device, &[]);
        let cpu = on("CPU")?;
        let runs = ON_ALIASES.iter().map(|&(device, _)| on(device));
        let runs = runs.collect::<Result<_, _>>()?;
        Ok(Self {
            directory,
            cpu,
            runs,
        })
    }

    fn answer_as_the_cpu(&self) -> Result<(), Failed> {
        let cpu = answers(&self.cpu)?;
        ensure(cpu.lines().count() > 60, &self.cpu)?;
        for run in &self.runs {
            ensure(answers(run)? == cpu, run)?;
        }
        Ok(())
    }

    /// Nothing pretends to be hardware.
    fn are_named(&self) -> Result<(), Failed> {
        for (run, (_, plugin)) in self.runs.iter().zip(ON_ALIASES) {
            let says = format!("an alias of the plugin {plugin}");
            ensure(run.stderr.contains(&says), run)?;
        }
        Ok(())
    }

    fn are_named_in_json(&self) -> Result<(), Failed> {
        for (device, plugin) in ON_ALIASES {
            let run = on_alias(self.directory.path(), device, &["--format", "json"])?;
            let line = run.stdout.lines().next().unwrap_or_default();
            let line: Value = serde_json::from_str(line)?;
            let named = line["device"].as_str().unwrap_or_default();
            ensure(named.contains(plugin), &line)?;
        }
        Ok(())
    }

    fn are_marked_in_the_list(&self) -> Result<(), Failed> {
        let file = self.directory.path().join("plugins.xml");
        let listed = devices(&[
            "--plugins",
            file.to_str().unwrap(),
            "--backend",
            "openvino",
            "--format",
            "json",
        ]);
        let report = json(&listed)?;
        let list = report["engines"][0]["devices"].as_array().ok_or("a list")?;
        ensure(list.len() > 1, &report)?;
        for device in list {
            let is_alias = device["alias_of"]["plugin"].is_string();
            ensure(is_alias == (device["name"] != "CPU"), device)?;
        }
        Ok(())
    }
}

/// Six photos on `device` of the plugins file in `directory`.
fn on_alias(directory: &Path, device: &str, flags: &[&str]) -> Result<Run, Failed> {
    let mut command = classify();
    command.arg("-m").arg(set_up("models/squeezenet1.1.xml"));
    command.args(["--digits", "9", "-d", device]).args(flags);
    command.env("CLASSIFY_OPENVINO_PLUGINS", directory.join("plugins.xml"));
    let run = run(command.arg("-i").args(&photos()?[..6]));
    expect_code(&run, 0)?;
    Ok(run)
}

/// The runs of a model with a cache of compiled models, in their order.
struct Cached {
    added: Run,
    loaded: Run,
    /// After one bit of the weights was changed, which OpenVINO itself would not see.
    damaged: Run,
    repaired: Run,
    /// Two processes that started together, on another device.
    together: [Run; 2],
    /// The number of entries after the first run, and after all of them.
    entries: [usize; 2],
}

fn cache() -> Result<Cached, Failed> {
    let directory = tempfile::tempdir()?;
    let cache = directory.path().join("cache");
    let photo = photos()?.remove(0);
    let on = |device: &str| -> Run {
        let mut command = classify();
        command.arg("-m").arg(set_up("models/squeezenet1.1.onnx"));
        command.arg("-i").arg(&photo);
        command.args(["-d", device, "--digits", "9"]);
        run(command.arg("--cache-dir").arg(&cache))
    };
    let entries = || -> Result<Vec<PathBuf>, Failed> {
        let entries = std::fs::read_dir(&cache)?.map(|entry| Ok(entry?.path()));
        Ok(entries.collect::<std::io::Result<_>>()?)
    };
    let added = on("CPU");
    expect_code(&added, 0)?;
    let after_first = entries()?;
    let loaded = on("CPU");
    for file in std::fs::read_dir(&after_first[0])? {
        let file = file?.path();
        if file.extension().is_some_and(|ending| ending == "blob") {
            let mut bytes = std::fs::read(&file)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes)?;
        }
    }
    let damaged = on("CPU");
    let repaired = on("CPU");
    let together = std::thread::scope(|scope| {
        let other = scope.spawn(|| on("HETERO:CPU"));
        let this = on("HETERO:CPU");
        [this, other.join().expect("no panic")]
    });
    Ok(Cached {
        added,
        loaded,
        damaged,
        repaired,
        together,
        entries: [after_first.len(), entries()?.len()],
    })
}

/// The answers of `run`, which ends well.
fn answers(run: &Run) -> Result<&str, Failed> {
    expect_code(run, 0)?;
    let (_, answers) = run.stdout.split_once("Image path").ok_or("no answers")?;
    Ok(answers)
}

fn cache_adds(all: &Cached) -> Result<(), Failed> {
    let says = all.added.stderr.contains("was added to the cache");
    ensure(says && all.entries[0] == 1, &all.added)
}

fn cache_loads(all: &Cached) -> Result<(), Failed> {
    let says = all.loaded.stderr.contains("was loaded from the cache");
    ensure(says, &all.loaded)
}

fn cache_answers(all: &Cached) -> Result<(), Failed> {
    ensure(answers(&all.loaded)? == answers(&all.added)?, &all.loaded)
}

fn cache_damaged(all: &Cached) -> Result<(), Failed> {
    ensure(all.damaged.stderr.contains("was damaged"), &all.damaged)?;
    ensure(answers(&all.damaged)? == answers(&all.added)?, &all.damaged)
}

fn cache_repaired(all: &Cached) -> Result<(), Failed> {
    let says = all.repaired.stderr.contains("was loaded from the cache");
    ensure(says, &all.repaired)?;
    ensure(
        answers(&all.repaired)? == answers(&all.added)?,
        &all.repaired,
    )
}

fn cache_together(all: &Cached) -> Result<(), Failed> {
    for run in &all.together {
        ensure(answers(run)? == answers(&all.added)?, run)?;
    }
    Ok(())
}

fn cache_of_another_device(all: &Cached) -> Result<(), Failed> {
    ensure(all.entries[1] == 2, all.entries)
}
