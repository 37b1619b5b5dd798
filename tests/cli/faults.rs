//! Faults that `classify compare` has to catch: each is planted in a good model or in the file next to it.

use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, ensure, expect_code, photos, python, run, set_up};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::compare::{compare, with_json};

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("a_reversed_mean_is_refused", reversed_mean),
        ("swapped_channels_are_refused", swapped_channels),
        ("a_perturbed_weight_is_off_by_majority", majority),
        ("bisect_finds_a_perturbed_weight", bisect),
        ("weights_that_end_early_are_refused", cut_weights),
    ];
    tests
        .map(|(name, test)| with_set_up.test(format!("faults::{name}"), test))
        .into()
}

fn on(engine: &str, model: &Path) -> String {
    format!("{engine}={}", model.display())
}

fn photo() -> Result<PathBuf, Failed> {
    Ok(photos()?.swap_remove(0))
}

fn squeezenet() -> PathBuf {
    set_up("models/squeezenet1.1.onnx")
}

/// The mean in the file next to the model has its channels in reverse order.
fn reversed_mean() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let good = set_up("models/mobilenet-v2");
    for file in ["model.onnx", "config.json"] {
        fs::copy(good.join(file), at(file))?;
    }
    let config = fs::read_to_string(good.join("preprocessor_config.json"))?;
    let mut json: Value = serde_json::from_str(&config)?;
    json["image_mean"] = serde_json::json!([0.406, 0.456, 0.485]);
    fs::write(at("preprocessor_config.json"), json.to_string())?;
    let runs = [good.join("model.onnx"), at("model.onnx")].map(|model| on("onnx", &model));
    let result = run(compare(&[&runs[0], &runs[1]]).arg("-i").arg(photo()?));
    expect_code(&result, 2)?;
    let words = format!(
        "its preprocessing differs from {}: mean 103.53,116.28,123.675 (reference: 123.675,116.28,103.53)",
        runs[0]
    );
    ensure(result.stderr.contains(&words), (words, &result))
}

fn swapped_channels() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let recorded = directory.path().join("recorded.jsonl");
    let on_squeezenet = |arguments: &[&str], code: i32| {
        let mut command = compare(arguments);
        command.arg(&recorded).arg("-m").arg(squeezenet());
        let result = run(command.arg("-i").arg(photo()?));
        expect_code(&result, code).map(|()| result)
    };
    on_squeezenet(&["onnx", "--record"], 0)?;
    let result = on_squeezenet(&["onnx", "--color", "rgb", "--against"], 2)?;
    ensure(result.stderr.contains("color rgb (reference: bgr)"), result)
}

/// SqueezeNet with another value of one weight.
struct Perturbed {
    _directory: TempDir,
    model: PathBuf,
    /// The index and the name of the node that has the weight.
    index: u64,
    name: String,
}

impl Perturbed {
    fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let model = directory.path().join("bad.onnx");
        let planted = python("perturb.py", [squeezenet().as_os_str(), model.as_os_str()])?;
        let (index, name) = planted
            .trim()
            .split_once('\t')
            .ok_or("an index and a name")?;
        Ok(Self {
            _directory: directory,
            model,
            index: index.parse()?,
            name: name.to_owned(),
        })
    }
}

/// Three runs tell which one is off, on either engine.
fn majority() -> Result<(), Failed> {
    let perturbed = Perturbed::new()?;
    let (good, bad) = (squeezenet(), &perturbed.model);
    for (runs, off) in [
        (
            [on("onnx", &good), on("openvino", bad), on("rten", &good)],
            1,
        ),
        (
            [on("onnx", &good), on("openvino", &good), on("onnx", bad)],
            2,
        ),
    ] {
        let mut command = compare(&[&runs[0], &runs[1], &runs[2], "-i"]);
        let (result, json) = with_json(command.arg(photo()?), 1)?;
        ensure(
            json["majority"]["found"] == "most" && json["majority"]["off"][0] == runs[off],
            &json["majority"],
        )?;
        ensure(result.stdout.contains("bad.onnx is off"), result)?;
    }
    Ok(())
}

fn bisect() -> Result<(), Failed> {
    let bad = Perturbed::new()?;
    let runs = [on("onnx", &squeezenet()), on("openvino", &bad.model)];
    let mut command = compare(&[&runs[0], &runs[1], "--bisect", "-i"]);
    let (_, json) = with_json(command.arg(photo()?), 1)?;
    let found = &json["bisect"];
    ensure(
        found["first"] == bad.index && found["certain"] == true,
        found,
    )?;
    // 67 nodes: their sizes, three looks at up to 32 nodes, and one at what was found.
    let looks = found["looks"].as_u64().ok_or("a number")?;
    ensure(looks <= 5, looks)?;
    let looked_at = found["looked_at"].as_array().ok_or("a list")?;
    let node = looked_at.iter().find(|look| look["index"] == bad.index);
    ensure(
        node.is_some_and(|look| look["name"] == *bad.name && look["operator"] == "Conv"),
        found,
    )?;
    println!(
        "perturbed weight at node {} {}: found with {looks} looks",
        bad.index, bad.name
    );
    Ok(())
}

fn cut_weights() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let cut = directory.path().join("cut.xml");
    fs::copy(squeezenet().with_extension("xml"), &cut)?;
    let weights = fs::read(squeezenet().with_extension("bin"))?;
    fs::write(cut.with_extension("bin"), &weights[..weights.len() / 2])?;
    let runs = [on("onnx", &squeezenet()), on("openvino", &cut)];
    let result = run(compare(&[&runs[0], &runs[1]]).arg("-i").arg(photo()?));
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("but the weights have") && result.stderr.contains("cut.xml"),
        &result,
    )
}
