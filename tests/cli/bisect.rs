//! `classify compare --bisect`: planted differences in real models on real engines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, ensure, python, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

/// If set, all planted pairs are run, on several engines.
const ALL: &str = "CLASSIFY_ALL_PAIRS";

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("bisect::bodies_read_what_they_capture", captured),
        ("bisect::every_output_of_a_node_counts", second_output),
        ("bisect::the_first_node_is_named", first_node),
        (
            "bisect::an_operator_of_one_model_alone_is_reported",
            softmax_at_the_end,
        ),
        ("bisect::looks_are_bounded", bounded),
    ];
    engines_and(engines, on_engines)
        .chain([
            with_set_up.test("bisect::planted_pairs", planted_pairs),
            with_set_up.test("bisect::what_cannot_be_known_is_not_named", unknown),
        ])
        .collect()
}

fn engines_and(
    engines: &Needs,
    tests: [(&'static str, fn() -> Result<(), Failed>); 5],
) -> impl Iterator<Item = Trial> {
    tests
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
}

/// Stripes, which leave nothing the same by accident.
fn image(directory: &Path) -> Result<PathBuf, Failed> {
    let mut bytes = b"P6\n64 64\n255\n".to_vec();
    for y in 0..64_u32 {
        for x in 0..64_u32 {
            bytes.extend([(x * 4) as u8, (y * 3 + x) as u8, (x * y % 251) as u8]);
        }
    }
    let path = directory.join("stripes.ppm");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// The report of two runs, each `engine=model`.
fn bisect(runs: [&str; 2], more: &[&str]) -> Result<(Value, String), Failed> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json");
    let mut command = classify();
    command.args(["compare", "--quiet", "--bisect"]).args(runs);
    command.args(["--color", "rgb", "--mean", "127.5,127.5,127.5"]);
    command.args(["--scale", "50,50,50", "--resize", "stretch"]);
    command.args(["--interpolation", "bilinear"]).args(more);
    command.arg("-i").arg(image(directory.path())?);
    let result = run(command.arg("--report").arg(&report));
    let json = fs::read(&report).map_err(|error| format!("{error}: {result:?}"))?;
    let json: Value = serde_json::from_slice(&json)?;
    ensure(json["bisect"].is_object(), &result)?;
    Ok((json, result.stdout))
}

fn on(engine: &str, model: &str) -> String {
    format!(
        "{engine}={}",
        small_model(&format!("cases/{model}")).display()
    )
}

/// Both models on each engine, and the first on one and the second on another.
fn on_all(
    models: [&str; 2],
    more: &[&str],
    check: impl Fn(&Value, &str) -> Result<(), Failed>,
) -> Result<(), Failed> {
    for [one, other] in [
        ["onnx", "onnx"],
        ["openvino", "openvino"],
        ["rten", "rten"],
        ["onnx", "openvino"],
        ["openvino", "rten"],
    ] {
        let runs = [on(one, models[0]), on(other, models[1])];
        let (json, text) = bisect([&runs[0], &runs[1]], more)?;
        check(&json["bisect"], &text).map_err(|error| {
            let message = error.message().unwrap_or_default();
            format!("{one} and {other}: {message}\n{text}")
        })?;
    }
    Ok(())
}

fn is_certain(found: &Value, node: u64, name: &str) -> Result<(), Failed> {
    ensure(found["first"] == node, &found["first"])?;
    ensure(found["certain"] == true, &found["unknown"])?;
    let looked_at = found["looked_at"].as_array().ok_or("a list")?;
    let seen = looked_at.iter().find(|seen| seen["index"] == node);
    ensure(
        seen.is_some_and(|seen| seen["name"] == name && seen["differs"] == true),
        looked_at,
    )?;
    // Everything before it was looked at, and is the same.
    let before: Vec<&Value> = looked_at
        .iter()
        .take_while(|seen| seen["index"] != node)
        .collect();
    ensure(
        before.len() as u64 == node && before.iter().all(|seen| seen["differs"] == false),
        before,
    )
}

fn captured() -> Result<(), Failed> {
    on_all(["if_before_a.onnx", "if_before_b.onnx"], &[], |found, _| {
        is_certain(found, 5, "p4")
    })
}

fn second_output() -> Result<(), Failed> {
    on_all(["split2_a.onnx", "split2_b.onnx"], &[], |found, _| {
        is_certain(found, 2, "bad")
    })
}

/// The tanh approximation of GELU has other nodes before the first that differs.
fn first_node() -> Result<(), Failed> {
    for engine in ["onnx", "openvino", "rten"] {
        let runs = [on(engine, "t_base.onnx"), on(engine, "t_gelu_tanh.onnx")];
        let (json, text) = bisect([&runs[0], &runs[1]], &[])?;
        let found = &json["bisect"];
        ensure(found["first"] == 9 && found["certain"] == false, &text)?;
        let names = |list: &Value| -> Vec<String> {
            let nodes = list.as_array().into_iter().flatten();
            nodes
                .filter_map(|node| node["name"].as_str().map(str::to_owned))
                .collect()
        };
        ensure(names(&found["unknown"]) == ["g_s", "g_erf"], &text)?;
        let alone = ["g_pow", "g_k1", "g_a", "g_k2", "g_tanh"];
        ensure(names(&found["only_in_run"]) == alone, &text)?;
        ensure(
            text.contains("first differing node: #9 g_add (Add): the inspected nodes before it")
                && text.contains("2 nodes not inspected"),
            &text,
        )?;
    }
    Ok(())
}

fn softmax_at_the_end() -> Result<(), Failed> {
    let models = ["t_base.onnx", "t_softmax.onnx"];
    on_all(models, &[], |found, text| {
        ensure(
            found["nothing_to_find"] == true && found["looks"] == 0,
            found,
        )?;
        ensure(found["looked_at"] == serde_json::json!([]), found)?;
        ensure(
            text.contains("the runs agree")
                && text.contains("there is nothing to find")
                && !text.contains("unknown"),
            text,
        )
    })?;
    on_all(models, &["--bisect-tolerance", "0.0001"], |found, text| {
        ensure(found["nothing_to_find"] == true, found)?;
        ensure(found["first"].is_null(), &found["first"])?;
        let looked_at = found["looked_at"].as_array().ok_or("a list")?;
        ensure(
            looked_at.len() == 16 && looked_at.iter().all(|seen| seen["differs"] == false),
            looked_at,
        )?;
        ensure(found["only_in_run"][0]["operator"] == "Softmax", found)?;
        ensure(
            text.contains("the runs agree: there is nothing to find"),
            text,
        )
    })
}

fn bounded() -> Result<(), Failed> {
    let runs = [
        on("openvino", "if_before_a.onnx"),
        on("openvino", "if_before_b.onnx"),
    ];
    let (json, text) = bisect([&runs[0], &runs[1]], &["--bisect-looks", "1"])?;
    let found = &json["bisect"];
    // One look learns the sizes of the values, and nothing else.
    ensure(found["looks"] == 1 && found["first"].is_null(), &text)?;
    ensure(
        found["unknown"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 28),
        &text,
    )?;
    ensure(text.contains("the limit of 1 look was reached"), text)
}

/// Two networks that have nothing in common.
fn unknown() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python(
        "planted_pairs.py",
        [
            directory.path().as_os_str(),
            "--only".as_ref(),
            "unlike".as_ref(),
        ],
    )?;
    let at = |letter: char| {
        format!(
            "onnx={}",
            directory
                .path()
                .join(format!("unlike.{letter}.onnx"))
                .display()
        )
    };
    let (json, text) = bisect([&at('a'), &at('b')], &[])?;
    let found = &json["bisect"];
    ensure(json["verdict"] == "disagree", &text)?;
    ensure(
        found["first"].is_null() && found["matched"] == 0 && found["certain"] == false,
        &text,
    )?;
    ensure(text.contains("the first differing node is unknown"), text)
}

/// Small networks of eleven kinds with one difference each.
fn planted_pairs() -> Result<(), Failed> {
    let all = std::env::var_os(ALL).is_some();
    let directory = tempfile::tempdir()?;
    python("planted_pairs.py", [directory.path()])?;
    let pairs: Value = serde_json::from_slice(&fs::read(directory.path().join("pairs.json"))?)?;
    let pairs = pairs.as_array().ok_or("a list")?;
    ensure(pairs.len() >= 60, pairs.len())?;
    let engines: &[[&str; 2]] = if all {
        &[
            ["onnx", "onnx"],
            ["openvino", "openvino"],
            ["onnx", "openvino"],
        ]
    } else {
        &[["onnx", "onnx"]]
    };
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    for [one, other] in engines {
        let (mut compared, mut disagree, mut right, mut looks, mut most) = (0, 0, 0, 0, 0);
        // Every third, and the two with external data, if not all are wanted.
        let chosen = pairs.iter().enumerate().filter(|(place, pair)| {
            if pair["onnx_alone"] == true && [*one, *other] != ["onnx", "onnx"] {
                return false;
            }
            all || place % 3 == 0 || pair["name"].to_string().contains("external")
        });
        for (_, pair) in chosen {
            let name = pair["name"].as_str().ok_or("a name")?;
            let run = |engine: &str, letter: char| {
                let model = directory.path().join(format!("{name}.{letter}.onnx"));
                format!("{engine}={}", model.display())
            };
            let (json, text) = bisect([&run(one, 'a'), &run(other, 'b')], &[])?;
            let found = &json["bisect"];
            compared += 1;
            if json["verdict"] != "disagree" {
                continue;
            }
            disagree += 1;
            let used = found["looks"].as_u64().ok_or("a number")?;
            looks += used;
            most = most.max(used);
            if found["first"] == pair["node"] && found["certain"] == true {
                right += 1;
            } else {
                wrong.insert(format!("{name} on {one} and {other}"), text);
            }
        }
        println!(
            "{one} and {other}: {compared} pairs, {disagree} disagree, {right} right nodes, looks {:.1} on average, {most} at most",
            looks as f64 / f64::from(disagree.max(1))
        );
        ensure(disagree * 10 >= compared * 9, (disagree, compared))?;
        ensure(most <= 10, most)?;
    }
    ensure(wrong.is_empty(), &wrong)
}
