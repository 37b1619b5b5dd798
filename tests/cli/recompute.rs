//! Every number of the reports of `compare` and `evaluate`, recomputed from the raw outputs of a recording by
//! `tests/reference/recompute.py`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, ensure, expect_code, photos, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};

use crate::cases::{PREPROCESSING, case};
use crate::classify;
use crate::compare::has_bf16;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("efficientnet_lite0_on_three_engines", || {
            engines("efficientnet-lite0.onnx", 28)
        }),
        ("mobilenet_v2_on_three_engines", || {
            engines("mobilenet-v2/model.onnx", 6)
        }),
        ("squeezenet_on_three_engines", || {
            engines("squeezenet1.1.onnx", 6)
        }),
        ("coarser_precisions", precisions),
        ("a_perturbed_weight_and_the_majority", perturbed),
        ("every_kind_of_output", kinds),
        ("limits_that_the_user_gives", limits),
        ("evaluations", evaluations),
    ];
    tests
        .map(|(name, test)| with_set_up.test(format!("recompute::{name}"), test))
        .into()
}

/// The arguments of the script: the files and the options, which `classify` was given too.
fn script(words: &[&str], files: &[&Path], options: &[&str]) -> Result<usize, Failed> {
    let words = words.iter().map(OsString::from);
    let files = files.iter().map(|file| file.as_os_str().to_owned());
    let options = options.iter().map(OsString::from);
    let count = python("recompute.py", words.chain(files).chain(options))?;
    Ok(count.trim().parse()?)
}

/// Compares `runs`, recomputes the report, and returns the number of its values. With `mutate` each of them is changed,
/// too, and the script has to find the change.
fn recomputed(
    runs: &[String],
    flags: &[&str],
    options: &[&str],
    images: &[PathBuf],
    mutate: bool,
    code: i32,
) -> Result<usize, Failed> {
    let directory = tempfile::tempdir()?;
    let [recording, report] =
        ["recording.jsonl", "report.json"].map(|name| directory.path().join(name));
    let mut command = classify();
    command.args(["compare", "--quiet"]).args(runs);
    command.args(flags).args(options).arg("-i").args(images);
    command.arg("--record").arg(&recording);
    expect_code(&run(command.arg("--report").arg(&report)), code)?;
    let words: &[&str] = if mutate {
        &["mutate", "compare"]
    } else {
        &["compare"]
    };
    let count = script(words, &[&recording, &report], options)?;
    println!("{}: {count} values", runs.join(" "));
    Ok(count)
}

fn named(engine: &str, model: &Path) -> String {
    format!("{engine}={}", model.display())
}

fn some_photos(count: usize) -> Result<Vec<PathBuf>, Failed> {
    Ok(photos()?.into_iter().take(count).collect())
}

fn engines(model: &str, images: usize) -> Result<(), Failed> {
    let model = set_up("models").join(model);
    let runs = ["onnx", "openvino", "rten"].map(|engine| named(engine, &model));
    let count = recomputed(&runs, &[], &[], &some_photos(images)?, false, 0)?;
    // Three pairs, some twenty values for each image.
    ensure(count > 3 * 18 * images, count)
}

/// f16 weights against the ONNX file, and bf16 where the processor has it.
fn precisions() -> Result<(), Failed> {
    let lite0 = set_up("models/efficientnet-lite0.onnx");
    let f16 = set_up("models/efficientnet-lite0-f16.xml");
    let images = some_photos(5)?;
    let runs = [named("onnx", &lite0), named("openvino", &f16)];
    recomputed(&runs, &[], &[], &images, false, 0)?;
    if has_bf16()? {
        let runs = [named("onnx", &lite0), named("openvino:CPU@bf16", &lite0)];
        recomputed(&runs, &[], &[], &images, false, 0)?;
    }
    Ok(())
}

fn perturbed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let good = set_up("models/squeezenet1.1.onnx");
    let bad = directory.path().join("bad.onnx");
    python("perturb.py", [&good, &bad])?;
    let runs = [("onnx", &good), ("onnx", &bad), ("openvino", &good)];
    let runs = runs.map(|(engine, model)| named(engine, model));
    recomputed(&runs, &[], &[], &some_photos(5)?, false, 1)?;
    Ok(())
}

/// The small models, on four photos: every changed value is found.
fn kinds() -> Result<(), Failed> {
    let images = some_photos(4)?;
    let with = |runs: &[(&str, &str)], flags: &[&str], images: &[PathBuf], code: i32| {
        let runs: Vec<String> = runs
            .iter()
            .map(|(engine, model)| named(engine, &case(model)))
            .collect();
        let flags = [&PREPROCESSING[..], flags].concat();
        let count = recomputed(&runs, &flags, &[], images, true, code)?;
        ensure(count > 300, count)
    };
    // Logits and their softmax.
    let three = [
        ("onnx", "t_base"),
        ("onnx", "t_softmax"),
        ("rten", "t_base"),
    ];
    with(&three, &[], &images, 0)?;
    // Softmax that saturates, answers that do not depend on the image, class ids, one logit, several classes.
    for (model, other, flags, code) in [
        ("saturated_a", "saturated_b", &[][..], 1),
        ("constant", "constant", &[], 2),
        ("argmax", "argmax", &[], 2),
        ("single_logit", "single_logit", &[], 0),
        ("single_logit", "single_logit", &["--scores", "raw"], 0),
        ("multilabel_sigmoid", "multilabel_sigmoid", &[], 0),
        ("t_base", "t_base", &["--scores", "sigmoid"], 0),
        ("t_base", "t_gelu_tanh", &["--scores", "raw"], 1),
    ] {
        with(
            &[("onnx", model), ("openvino", other)],
            flags,
            &images,
            code,
        )?;
    }
    let two = [("onnx", "t_base"), ("openvino", "t_base")];
    with(&two, &[], &images[..1], 0)?;
    // An image that counts twice.
    let twice = [&images[..], &images[1..2]].concat();
    with(&two, &[], &twice, 0)?;
    // NaN in one run alone.
    let runs = ["plain.onnx", "not-a-number.onnx", "plain.onnx"];
    let runs = runs.map(|model| named("onnx", &small_model(model)));
    recomputed(&runs, &[], &[], &images, true, 1)?;
    Ok(())
}

fn limits() -> Result<(), Failed> {
    let runs = ["t_base", "t_gelu_tanh", "saturated_a", "saturated_b"];
    let runs = runs.map(|model| named("onnx", &case(model)));
    let images = some_photos(4)?;
    for options in [
        &["--tolerance", "bf16", "--max-delta", "0.5", "--top", "5"][..],
        &[
            "--min-overlap",
            "50%",
            "--min-top1",
            "0.3",
            "--tolerance",
            "int8",
        ],
        &["--min-overlap", "100%", "--min-top1", "100%"],
    ] {
        recomputed(&runs, &PREPROCESSING, options, &images, true, 1)?;
    }
    Ok(())
}

fn evaluations() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let good = set_up("models/squeezenet1.1.onnx");
    python("perturb.py", [&good, &at("bad.onnx")])?;
    std::fs::copy(good.with_extension("labels"), at("bad.labels"))?;
    let runs = [named("onnx", &good), named("onnx", &at("bad.onnx"))];
    let images = photos()?;
    let [recording, report] = ["recording.jsonl", "report.json"].map(at);
    let mut command = classify();
    command.args(["compare", "--quiet"]).args(&runs).arg("-i");
    command.args(&images).arg("--record").arg(&recording);
    expect_code(&run(&mut command), 1)?;
    let truth = set_up("photos/ground-truth.tsv");
    for (options, code) in [
        (&[][..], 0),
        (
            &["--min-top1", "50%", "--max-drop", "20%", "--top", "1,3,5"],
            2,
        ),
        (
            &["--min-top1", "99%", "--max-drop", "0", "--min-truth", "24"],
            1,
        ),
        (&["--max-drop", "100%", "--min-truth", "50%"], 0),
        (
            &[
                "--max-drop",
                "100%",
                "--drop-rule",
                "possible",
                "--min-truth",
                "0",
            ],
            0,
        ),
        (
            &[
                "--max-drop",
                "0",
                "--drop-rule",
                "observed",
                "--min-truth",
                "90%",
            ],
            1,
        ),
    ] {
        let mut command = classify();
        command
            .args(["evaluate", "--quiet"])
            .args(&runs)
            .args(options);
        command.arg("--truth").arg(&truth).arg("-i").args(&images);
        expect_code(&run(command.arg("--report").arg(&report)), code)?;
        let files: [&Path; 3] = [&recording, &report, &truth];
        let count = script(&["mutate", "evaluate"], &files, options)?;
        println!("{options:?}: {count} values");
        ensure(count > 500, count)?;
    }
    Ok(())
}
