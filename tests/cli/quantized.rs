//! Quantized models: their tolerance, and the nodes that add the most error. With RTen, on models that Python writes.

use std::fs;
use std::path::Path;

use classify_tests::{Needs, Run, ensure, expect_code, python, run};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{classify, schemas};

type Test = fn() -> Result<(), Failed>;

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let tests: [(&'static str, Test); 14] = [
        (
            "quantized::the_tolerance_is_int8_and_the_report_says_why",
            tolerance,
        ),
        (
            "quantized::a_quantized_reference_of_a_float_run_is_a_remark",
            swapped,
        ),
        (
            "quantized::one_quantizer_changes_no_tolerance",
            one_quantizer,
        ),
        ("quantized::the_clipped_node_adds_the_most_error", clipped),
        ("quantized::a_good_model_has_no_first_node", good),
        (
            "quantized::all_nodes_of_a_good_model_are_ranked",
            all_ranked,
        ),
        (
            "quantized::nodes_for_which_no_look_is_left_are_not_ranked",
            not_ranked,
        ),
        (
            "quantized::operators_on_integers_correspond_to_the_float_ones",
            integers,
        ),
        (
            "quantized::the_clipped_operator_on_integers_adds_the_most_error",
            clipped_integers,
        ),
        (
            "quantized::two_quantized_models_have_no_list_of_errors",
            two_quantized,
        ),
        (
            "quantized::the_tolerance_of_a_dynamically_quantized_model_is_int8",
            dynamic_tolerance,
        ),
        (
            "quantized::dynamically_quantized_nodes_correspond_to_the_float_ones",
            dynamic,
        ),
        (
            "quantized::the_damaged_dynamically_quantized_node_adds_the_most_error",
            damaged_dynamic,
        ),
        (
            "quantized::two_dynamically_quantized_models_part_at_the_damaged_node",
            two_dynamic,
        ),
    ];
    let trials = tests.into_iter().map(|(name, test)| needs.test(name, test));
    trials.collect()
}

/// Writes a float model, dynamically quantized ones, their image, and the errors that their nodes add.
fn dynamic_models() -> Result<(tempfile::TempDir, Value), Failed> {
    let directory = tempfile::tempdir()?;
    python("quantized_dynamic.py", [directory.path()])?;
    let errors = fs::read(directory.path().join("errors.json"))?;
    Ok((directory, serde_json::from_slice(&errors)?))
}

/// Writes the models and an image.
fn models() -> Result<tempfile::TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    python("quantized_pair.py", [directory.path()])?;
    let pixels = (0..48_u32 * 48).flat_map(|at| {
        let (x, y) = (at % 48, at / 48);
        [x * 5, y * 4 + x, x * y % 251].map(|value| value as u8)
    });
    let bytes: Vec<u8> = b"P6 48 48 255\n".iter().copied().chain(pixels).collect();
    fs::write(directory.path().join("a.ppm"), bytes)?;
    Ok(directory)
}

fn compare(at: &Path, runs: [&str; 2], flags: &[&str], code: i32) -> Result<(Run, Value), Failed> {
    let mut command = classify();
    command.current_dir(at).args(["compare", "-q"]).args(runs);
    command.args([
        "-i", "a.ppm", "--color", "rgb", "--mean", "127.5", "--scale", "64", "--scores", "softmax",
    ]);
    let result = run(command.args(flags).args(["--report", "report.json"]));
    expect_code(&result, code)?;
    let report = serde_json::from_slice(&fs::read(at.join("report.json"))?)?;
    schemas::check(&report)?;
    Ok((result, report))
}

fn tolerance() -> Result<(), Failed> {
    let models = models()?;
    let words = "good.onnx is quantized: 2 of 4 nodes with weights (Conv, MatMul, Gemm, …) take quantized values";
    // The same file, too.
    for reference in ["rten=float.onnx", "rten:CPU=good.onnx"] {
        let (result, json) = compare(models.path(), [reference, "rten=good.onnx"], &[], 0)?;
        ensure(result.stdout.contains(words), &result)?;
        ensure(json["tolerance"]["name"] == "int8", &json["tolerance"])?;
    }
    Ok(())
}

fn swapped() -> Result<(), Failed> {
    let models = models()?;
    fs::write(models.path().join("truth"), "a.ppm 0\n")?;
    let words = "rten=float.onnx: the reference is quantized and this run is not";
    for (runs, is_remark) in [
        (["rten=good.onnx", "rten=float.onnx"], true),
        (["rten=float.onnx", "rten=good.onnx"], false),
    ] {
        let mut command = classify();
        command.current_dir(models.path()).args(["evaluate", "-q"]);
        command.args(runs).args(["-i", "a.ppm", "--truth", "truth"]);
        command.args(["--mean", "127.5", "--scale", "64", "--scores", "softmax"]);
        let result = run(command.args(["--report", "report.json"]));
        expect_code(&result, 0)?;
        let report: Value = serde_json::from_slice(&fs::read(models.path().join("report.json"))?)?;
        schemas::check(&report)?;
        ensure(result.stderr.contains(words) == is_remark, &result)?;
        let remarks = report["remarks"].as_array().ok_or("remarks")?;
        ensure(remarks.len() == usize::from(is_remark), remarks)?;
    }
    Ok(())
}

fn one_quantizer() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=one.onnx"];
    let (result, json) = compare(models.path(), runs, &[], 1)?;
    ensure(!result.stdout.contains("is quantized"), &result)?;
    ensure(json["tolerance"]["name"] == "f32", &json["tolerance"])
}

fn clipped() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=bad.onnx"];
    let (result, json) = compare(models.path(), runs, &["--bisect", "--max-delta", "0.1"], 1)?;
    let noise = json["bisect"]["noise"].as_array().ok_or("noise")?;
    ensure(noise[0]["name"] == "conv2", noise)?;
    let added = |place: usize| noise[place]["added"].as_f64().unwrap_or(1.0);
    // Far beyond every other node.
    ensure(
        added(0) > 0.1 && noise.len() > 1 && added(1) < added(0) / 100.0,
        noise,
    )?;
    let mut list = result
        .stdout
        .lines()
        .skip_while(|line| !line.contains("nodes by the quantization error"));
    let first = list.nth(1).unwrap_or_default().to_owned();
    ensure(
        first.contains("conv2 (Conv)") && first.contains("SQNR"),
        first,
    )
}

fn good() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["rten=float.onnx", "rten=good.onnx"];
    let (result, json) = compare(models.path(), runs, &["--bisect"], 0)?;
    ensure(json["bisect"]["first"].is_null(), &json["bisect"]["first"])?;
    let noise = json["bisect"]["noise"].as_array().ok_or("noise")?;
    ensure(
        !noise.is_empty() && noise.iter().all(|node| node["sqnr"].as_f64() > Some(25.0)),
        noise,
    )?;
    ensure(!result.stdout.contains("first differing node"), &result)
}

/// The report of a model of 43 nodes that agrees with its float model.
fn deep(models: &Path, flags: &[&str]) -> Result<(Run, Value), Failed> {
    let runs = ["rten=deep.onnx", "rten=deep-good.onnx"];
    compare(models, runs, &[&["--bisect"], flags].concat(), 0)
}

/// The list does not depend on whether the outputs are within the tolerance.
fn all_ranked() -> Result<(), Failed> {
    let models = models()?;
    let mut lists = Vec::new();
    for tolerance in ["0.2", "0.02", "0.0001"] {
        let flags = ["--bisect-tolerance", tolerance, "--bisect-looks", "20"];
        let (result, json) = deep(models.path(), &flags)?;
        let found = &json["bisect"];
        let seen = found["looked_at"].as_array().ok_or("looked_at")?;
        ensure(seen.len() == 43 && found["matched"] == 43, seen)?;
        ensure(found["unranked"] == json!([]), &found["unranked"])?;
        ensure(!result.stdout.contains("not in the list"), &result)?;
        lists.push(found["noise"].clone());
    }
    ensure(lists.iter().all(|list| *list == lists[0]), &lists)?;
    let noise = lists[0].as_array().ok_or("noise")?;
    let added = |place: usize| noise[place]["added"].as_f64().unwrap_or(1.0);
    ensure(noise.len() == 10 && noise[0]["name"] == "conv29", noise)?;
    // The noise of its steps, which are 8 times as wide, is 64 times as large.
    ensure(added(0) > 10.0 * added(1), noise)?;
    ensure(noise.iter().all(|node| node["estimated"] == false), noise)
}

fn not_ranked() -> Result<(), Failed> {
    let models = models()?;
    // The sizes, 32 nodes, and their twins.
    let (result, json) = deep(models.path(), &["--bisect-looks", "3"])?;
    let found = &json["bisect"];
    let unranked = found["unranked"].as_array().ok_or("unranked")?;
    let reason = "the limit of 3 looks was reached";
    let is_late = |node: &Value| node["reason"] == reason && node["index"].as_u64() > Some(62);
    ensure(unranked.len() == 11 && unranked.iter().all(is_late), found)?;
    let words = format!("11 nodes not in the list ({reason}): #64 conv33 (Conv); ");
    ensure(result.stdout.contains(&words), &result)?;
    // The others have the error that they have in the complete list.
    let (_, complete) = deep(models.path(), &[])?;
    ensure(
        found["noise"][0] == complete["bisect"]["noise"][0],
        &found["noise"],
    )?;
    // No look is left for the twins.
    let (_, json) = deep(models.path(), &["--bisect-looks", "2"])?;
    ensure(json["bisect"]["noise"] == json!([]), &json["bisect"])?;
    let unranked = json["bisect"]["unranked"].as_array().ok_or("unranked")?;
    ensure(unranked.len() > 40, unranked)
}

/// A model of operators on integers, which ONNX Runtime alone has, is bisected.
fn integers() -> Result<(), Failed> {
    let models = models()?;
    for runs in [
        ["onnx=float.onnx", "onnx=integers.onnx"],
        ["onnx=integers.onnx", "onnx=float.onnx"],
    ] {
        let (_, json) = compare(models.path(), runs, &["--bisect"], 0)?;
        let found = &json["bisect"];
        ensure(found["matched"] == 6, &found["matched"])?;
        let seen = found["looked_at"].as_array().ok_or("looked_at")?;
        // As real numbers: the integers would be far away.
        let is_close =
            |node: &Value| node["problem"].is_null() && node["noise"].as_f64() < Some(0.01);
        ensure(seen.len() == 6 && seen.iter().all(is_close), seen)?;
        let alone = [&found["only_in_run"], &found["unknown"]];
        ensure(alone.iter().all(|list| **list == json!([])), alone)?;
        let noise = found["noise"].as_array().ok_or("noise")?;
        // The last node is not quantized.
        ensure(
            noise.len() == 4 && noise.iter().all(|node| node["added"].as_f64() < Some(0.01)),
            noise,
        )?;
    }
    Ok(())
}

fn clipped_integers() -> Result<(), Failed> {
    let models = models()?;
    for runs in [
        ["onnx=float.onnx", "onnx=integers-bad.onnx"],
        ["onnx=integers-bad.onnx", "onnx=float.onnx"],
    ] {
        let flags = ["--bisect", "--max-delta", "0.1"];
        let (_, json) = compare(models.path(), runs, &flags, 1)?;
        let found = &json["bisect"];
        let named = |name: &Value| name.as_str().is_some_and(|name| name.starts_with("conv2"));
        let seen = found["looked_at"].as_array().ok_or("looked_at")?;
        let first = seen.iter().find(|node| node["index"] == found["first"]);
        ensure(first.is_some_and(|first| named(&first["name"])), found)?;
        ensure(found["certain"] == true, &found["unknown"])?;
        let noise = found["noise"].as_array().ok_or("noise")?;
        // The nodes behind it have its error, but add none.
        let added = |place: usize| noise[place]["added"].as_f64().unwrap_or(1.0);
        ensure(named(&noise[0]["name"]), noise)?;
        ensure(added(0) > 0.1 && added(1) < added(0) / 10.0, noise)?;
    }
    Ok(())
}

fn two_quantized() -> Result<(), Failed> {
    let models = models()?;
    let runs = ["onnx=integers.onnx", "onnx=integers-bad.onnx"];
    let flags = ["--bisect", "--max-delta", "0.1"];
    let (result, json) = compare(models.path(), runs, &flags, 1)?;
    ensure(json["bisect"]["noise"].is_null(), &json["bisect"]["noise"])?;
    ensure(
        result
            .stdout
            .contains("first differing node: #2 conv2_quant (QLinearConv)"),
        &result,
    )
}

fn dynamic_tolerance() -> Result<(), Failed> {
    let (models, _) = dynamic_models()?;
    let words = "good.onnx is quantized: 4 of 4 nodes with weights (Conv, MatMul, Gemm, …) take quantized values";
    let runs = ["onnx=float.onnx", "onnx=good.onnx"];
    let (result, json) = compare(models.path(), runs, &[], 0)?;
    ensure(result.stdout.contains(words), &result)?;
    ensure(json["tolerance"]["name"] == "int8", &json["tolerance"])
}

/// Checks the list of nodes by the error that they add against the errors that Python computed.
fn check_noise(noise: &Value, expected: &Value) -> Result<(), Failed> {
    let noise = noise.as_array().ok_or("noise")?;
    let expected = expected.as_object().ok_or("errors")?;
    ensure(noise.len() == expected.len(), noise)?;
    for (name, error) in expected {
        let is_it = |node: &&Value| {
            node["name"]
                .as_str()
                .is_some_and(|it| it.starts_with(&**name))
        };
        let found = noise.iter().find(is_it).ok_or("a node is missing")?;
        // The engine has f32, Python f64.
        let (added, exact) = (found["added"].as_f64(), error["added"].as_f64());
        let ratio = added.ok_or("added")? / exact.ok_or("added")?;
        ensure((ratio - 1.0).abs() < 1e-3, format!("{found} {error}"))?;
    }
    Ok(())
}

fn dynamic() -> Result<(), Failed> {
    let (models, errors) = dynamic_models()?;
    for runs in [
        ["onnx=float.onnx", "onnx=good.onnx"],
        ["onnx=good.onnx", "onnx=float.onnx"],
    ] {
        let (_, json) = compare(models.path(), runs, &["--bisect"], 0)?;
        let found = &json["bisect"];
        ensure(found["matched"] == 10, &found["matched"])?;
        let seen = found["looked_at"].as_array().ok_or("looked_at")?;
        // As real numbers: the sums of integers would be far away.
        let is_close =
            |node: &Value| node["problem"].is_null() && node["noise"].as_f64() < Some(0.001);
        ensure(seen.len() == 10 && seen.iter().all(is_close), seen)?;
        let alone = [&found["only_in_run"], &found["unknown"], &found["first"]];
        let empty = [json!([]), json!([]), Value::Null];
        ensure(alone.into_iter().eq(&empty), alone)?;
        check_noise(&found["noise"], &errors["good"])?;
    }
    // If the runs disagree, no node is to blame: the steps of all add up.
    let runs = ["onnx=float.onnx", "onnx=good.onnx"];
    let flags = ["--bisect", "--max-delta", "0.000001"];
    let (result, json) = compare(models.path(), runs, &flags, 1)?;
    ensure(json["bisect"]["first"].is_null(), &json["bisect"]["first"])?;
    let words = "the errors of several nodes add up";
    ensure(result.stdout.contains(words), &result)
}

fn damaged_dynamic() -> Result<(), Failed> {
    let (models, errors) = dynamic_models()?;
    // The second pair: no name of a node or value is left.
    for (runs, has_names) in [
        (["onnx=float.onnx", "onnx=bad.onnx"], true),
        (["onnx=float.onnx", "onnx=renamed.onnx"], true),
        (["onnx=bad.onnx", "onnx=float.onnx"], true),
        (["onnx=renamed.onnx", "onnx=float.onnx"], false),
    ] {
        let flags = ["--bisect", "--max-delta", "0.001"];
        let (_, json) = compare(models.path(), runs, &flags, 1)?;
        let found = &json["bisect"];
        ensure(found["matched"] == 10, &found["matched"])?;
        ensure(found["certain"] == true, &found["unknown"])?;
        ensure(found["only_in_run"] == json!([]), &found["only_in_run"])?;
        let noise = &found["noise"];
        ensure(noise[0]["index"] == found["first"], found)?;
        let added = |place: usize| noise[place]["added"].as_f64().unwrap_or(1.0);
        ensure(added(0) > 0.1 && added(1) < added(0) / 100.0, noise)?;
        if has_names {
            let name = noise[0]["name"].as_str();
            ensure(name.is_some_and(|name| name.starts_with("conv2")), noise)?;
            check_noise(noise, &errors["bad"])?;
        } else {
            ensure(noise[0]["operator"] == "ConvInteger", noise)?;
        }
        // Beyond the first node the two models see other values; the ratio is of the float model's.
        if runs[0] == "onnx=float.onnx" {
            let sqnr = noise[0]["sqnr"].as_f64().ok_or("sqnr")?;
            let exact = errors["bad"]["conv2"]["sqnr"].as_f64().ok_or("sqnr")?;
            ensure((sqnr - exact).abs() < 0.01, format!("{sqnr} {exact}"))?;
        }
    }
    Ok(())
}

fn two_dynamic() -> Result<(), Failed> {
    let (models, _) = dynamic_models()?;
    let flags = ["--bisect", "--max-delta", "0.001"];
    for run in ["onnx=bad.onnx", "onnx=renamed.onnx"] {
        let (result, json) = compare(models.path(), ["onnx=good.onnx", run], &flags, 1)?;
        ensure(json["bisect"]["noise"].is_null(), &json["bisect"]["noise"])?;
        let words = "conv2_quant (ConvInteger)";
        let first = result
            .stdout
            .lines()
            .find(|line| line.contains("first differing node"));
        ensure(first.is_some_and(|line| line.contains(words)), &result)?;
    }
    Ok(())
}
