//! The sources of preprocessing and labels: one model, each source in turn.

use std::path::{Path, PathBuf};

use classify_tests::{
    Needs, Run, blocks, ensure, expect_code, photos, python, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{classify, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_photos: [(&str, fn() -> Result<(), Failed>); 10] = [
        ("the_files_of_timm_give_the_answers_of_its_flags", timm),
        (
            "the_files_of_open_model_zoo_give_the_answers_of_its_flags",
            open_model_zoo,
        ),
        ("the_models_own_metadata_need_no_other_file", metadata),
        (
            "inspect_shows_overridden_values_with_their_sources",
            overridden_values,
        ),
        ("contradictions_are_reported", contradictions),
        (
            "what_is_not_supported_is_an_error_unless_flags_say_it_all",
            unsupported,
        ),
        ("external_data_stay_in_the_models_directory", external_data),
        ("a_model_is_all_of_its_files", digest),
        ("what_an_ir_does_itself_is_not_done_again", prepared_irs),
        ("the_weights_tell_the_precision", precisions),
    ];
    let on_engines: [(&str, fn() -> Result<(), Failed>); 7] = [
        ("the_graph_tells_what_the_output_is", output_kinds),
        (
            "quantized_outputs_are_read_as_the_model_says",
            quantized_outputs,
        ),
        ("each_class_gets_its_label", a_label_for_each_class),
        ("too_few_labels_are_an_error", too_few_labels),
        (
            "labels_without_the_background_are_shifted_with_a_note",
            no_label_for_the_background,
        ),
        (
            "a_wrong_number_of_labels_next_to_the_model_is_not_used",
            wrong_count_next_to_the_model,
        ),
        ("several_right_classes_have_no_softmax", multi_label),
    ];
    let sources = with_set_up.scenario(
        "sources",
        card,
        [
            ("unstated_preprocessing_is_noted_and_differs", unstated),
            ("a_named_file_answers_as_the_flags", named_file),
            (
                "the_files_of_hugging_face_answer_as_the_flags",
                hugging_face,
            ),
        ],
    );
    let inspect = with_set_up.scenario(
        "inspect",
        inspected,
        [
            ("json_has_the_preprocessing", inspected_values),
            ("json_names_the_source_of_each_value", inspected_sources),
            ("json_counts_the_labels", inspected_labels),
            ("preprocess_reads_what_inspect_writes", round_trip),
        ],
    );
    sources
        .into_iter()
        .chain(inspect)
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .chain(on_engines.map(|(name, test)| engines.test(name, test)))
        .collect()
}

/// A directory with MobileNetV2 alone, as `model.onnx`.
fn bare() -> Result<(tempfile::TempDir, PathBuf), Failed> {
    let directory = tempfile::tempdir()?;
    let model = directory.path().join("model.onnx");
    std::fs::copy(set_up("models/mobilenet-v2/model.onnx"), &model)?;
    Ok((directory, model))
}

/// The flags that its card states.
const CARD: [&str; 10] = [
    "--color",
    "rgb",
    "--mean",
    "123.675,116.28,103.53",
    "--scale",
    "58.395,57.12,57.375",
    "--resize",
    "short:256:floor",
    "--interpolation",
    "bilinear",
];

fn with_flags(model: &Path, flags: &[&str]) -> Result<Run, Failed> {
    let mut command = classify();
    command.args(["--backend", "onnx", "--digits", "9"]);
    command.args(flags).arg("-m").arg(model).arg("-i");
    let run = run(command.args(&photos()?[..6]));
    expect_code(&run, 0)?;
    Ok(run)
}

/// The blocks without labels, which not every source has.
type Answers = Vec<(String, Vec<classify_tests::Line>)>;

fn answers(run: &Run) -> Answers {
    blocks(&run.stdout)
}

/// The answers with the flags of the card.
fn card() -> Result<Answers, Failed> {
    let (_directory, model) = bare()?;
    Ok(answers(&with_flags(&model, &CARD)?))
}

fn unstated(flags: &Answers) -> Result<(), Failed> {
    let (_directory, model) = bare()?;
    let convention = with_flags(&model, &[])?;
    ensure(
        convention.stderr.contains(
            "the model and its files do not state the color, mean, scale, resize, interpolation",
        ),
        &convention,
    )?;
    ensure(*flags != answers(&convention), convention)
}

/// Fails unless `run` gives the answers `expected`, and nothing had to be said.
fn expect_answers(run: &Run, expected: &Answers) -> Result<(), Failed> {
    ensure(answers(run) == *expected && run.stderr.is_empty(), run)
}

fn named_file(flags: &Answers) -> Result<(), Failed> {
    let (directory, model) = bare()?;
    let named = directory.path().join("named.json");
    let recipe = json!({
        "color": "rgb", "mean": [123.675, 116.28, 103.53], "scale": [58.395, 57.12, 57.375],
        "resize": "short:256:floor", "interpolation": "bilinear",
    });
    std::fs::write(&named, recipe.to_string())?;
    let run = with_flags(&model, &["--preprocess", named.to_str().unwrap()])?;
    expect_answers(&run, flags)
}

fn hugging_face(flags: &Answers) -> Result<(), Failed> {
    let run = with_flags(&set_up("models/mobilenet-v2/model.onnx"), &[])?;
    expect_answers(&run, flags)
}

/// timm cuts the centre with another rounding.
fn timm() -> Result<(), Failed> {
    let (directory, model) = bare()?;
    let timm = json!({
        "architecture": "mobilenetv2_100", "num_classes": 1000,
        "pretrained_cfg": {
            "input_size": [3, 224, 224], "interpolation": "bilinear", "crop_pct": 0.875,
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        },
    });
    std::fs::write(directory.path().join("config.json"), timm.to_string())?;
    let mut torchvision = CARD;
    torchvision[7] = "short:256";
    let run = with_flags(&model, &[])?;
    let expected = answers(&with_flags(&model, &torchvision)?);
    ensure(answers(&run) == expected, run)
}

/// The original model takes the values that Open Model Zoo's converter puts into an IR.
fn open_model_zoo() -> Result<(), Failed> {
    let (directory, model) = bare()?;
    let yml = "\
task_type: classification
input_info:
  - {name: data, shape: [1, 3, 224, 224], layout: NCHW}
model_optimizer_args:
  - --mean_values=data[123.675,116.28,103.53]
  - --scale_values=data[58.395,57.12,57.375]
  - --reverse_input_channels
";
    std::fs::write(directory.path().join("model.yml"), yml)?;
    let mut zoo = CARD;
    (zoo[7], zoo[9]) = ("stretch", "opencv-linear");
    let run = with_flags(&model, &[])?;
    let expected = answers(&with_flags(&model, &zoo)?);
    ensure(answers(&run) == expected, run)
}

/// EfficientNet-Lite0 has its own metadata.
fn metadata() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let lite = set_up("models/efficientnet-lite0.onnx");
    let alone = directory.path().join("lite.onnx");
    std::fs::copy(&lite, &alone)?;
    let expected = answers(&with_flags(&lite, &[])?);
    expect_answers(&with_flags(&alone, &[])?, &expected)
}

fn inspect(arguments: &[&str], model: &Path) -> Result<Run, Failed> {
    let run = run(classify().arg("inspect").arg(model).args(arguments));
    expect_code(&run, 0)?;
    Ok(run)
}

/// The JSON of `inspect` for the model with Hugging Face's files, by each of the two engines.
fn inspected() -> Result<[Value; 2], Failed> {
    let of = |backend| -> Result<Value, Failed> {
        let flags = ["--format", "json", "--backend", backend];
        let run = inspect(&flags, &set_up("models/mobilenet-v2/model.onnx"))?;
        Ok(serde_json::from_str(&run.stdout)?)
    };
    Ok([of("openvino")?, of("onnx")?])
}

fn inspected_values(all: &[Value; 2]) -> Result<(), Failed> {
    for inspected in all {
        ensure(
            inspected["preprocess"]["resize"] == "short:256:floor",
            inspected,
        )?;
    }
    Ok(())
}

fn inspected_sources(all: &[Value; 2]) -> Result<(), Failed> {
    for inspected in all {
        let by = inspected["stated_by"]["mean"]["by"].as_str();
        let is_named = by.is_some_and(|by| by.starts_with("preprocessor_config.json: "));
        ensure(is_named, inspected)?;
    }
    Ok(())
}

fn inspected_labels(all: &[Value; 2]) -> Result<(), Failed> {
    for inspected in all {
        ensure(inspected["labels"]["count"] == 1000, inspected)?;
    }
    Ok(())
}

fn round_trip(all: &[Value; 2]) -> Result<(), Failed> {
    let beside = with_flags(&set_up("models/mobilenet-v2/model.onnx"), &[])?;
    for inspected in all {
        let (directory, model) = bare()?;
        let file = directory.path().join("p.json");
        std::fs::write(&file, inspected.to_string())?;
        let again = with_flags(&model, &["--preprocess", file.to_str().unwrap()])?;
        ensure(answers(&again) == answers(&beside), again)?;
    }
    Ok(())
}

fn overridden_values() -> Result<(), Failed> {
    let beside = set_up("models/mobilenet-v2/model.onnx");
    let text = inspect(&["--mean", "1,2,3"], &beside)?.stdout;
    for line in [
        "mean           1,2,3                      --mean",
        "               not 123.675,116.28,103.53  preprocessor_config.json: rescale_factor, image_mean, image_std",
        "labels         1000                       config.json: id2label",
    ] {
        ensure(text.lines().any(|said| said == line), (line, &text))?;
    }
    Ok(())
}

fn contradictions() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let model = directory.path().join("lite.onnx");
    std::fs::copy(set_up("models/efficientnet-lite0.onnx"), &model)?;
    std::fs::copy(
        set_up("models/mobilenet-v2/preprocessor_config.json"),
        directory.path().join("preprocessor_config.json"),
    )?;
    let run = with_flags(&model, &[])?;
    ensure(
        run.stderr
            .contains("note: mean is 127,127,127 (model_info: mean_values), but 123.675,"),
        &run,
    )?;
    ensure(!run.stderr.contains("color is"), &run)?;
    // The user has decided.
    let run = with_flags(&model, &["--mean", "127", "--scale", "128"])?;
    ensure(!run.stderr.contains("mean is"), &run)?;
    ensure(run.stderr.contains("resize is crop:0.875"), run)
}

fn unsupported() -> Result<(), Failed> {
    let (directory, model) = bare()?;
    let config = directory.path().join("preprocessor_config.json");
    let text = std::fs::read_to_string(set_up("models/mobilenet-v2/preprocessor_config.json"))?;
    let mut said: Value = serde_json::from_str(&text)?;
    said["do_pad"] = json!(true);
    std::fs::write(&config, said.to_string())?;
    let mut command = classify();
    command
        .arg("-m")
        .arg(&model)
        .arg("-i")
        .args(&photos()?[..1]);
    let refused = run(&mut command);
    expect_code(&refused, 2)?;
    ensure(refused.stderr.contains("do_pad = `true`"), &refused)?;
    ensure(
        refused
            .stderr
            .contains("hint: give --color, --mean, --scale, --resize and --interpolation"),
        refused,
    )?;
    let told = with_flags(&model, &CARD)?;
    ensure(told.stderr.contains("do_pad"), told)
}

fn external_data() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("external_data.py", [directory.path()])?;
    let (_images, image, _) = small_images()?;
    let names = |case: &str| {
        ["", ".onnx", ".ONNX", ".pb", ".bin", ".tflite"].map(|ending| format!("{case}{ending}"))
    };
    for backend in ["openvino", "onnx", "rten"] {
        let classify_model = |name: &str| {
            let mut command = classify();
            command.args(["--backend", backend, "--color", "rgb", "-m"]);
            run(command
                .arg(directory.path().join("models").join(name))
                .arg("-i")
                .arg(&image))
        };
        for name in names("beside") {
            // The content decides what the model is.
            expect_code(&classify_model(&name), 0)?;
        }
        let (beside, unaligned) = (classify_model("beside"), classify_model("unaligned"));
        expect_code(&unaligned, 0)?;
        let results = |run: &Run| {
            let lines = run.stdout.lines();
            let lines = lines.skip_while(|line| !line.contains("Image path"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let is_same = results(&unaligned).len() > 10 && results(&unaligned) == results(&beside);
        ensure(is_same, (unaligned, beside))?;
        for (case, said) in [
            ("above", "outside its directory"),
            ("absolute", "outside its directory"),
            ("link", "outside its directory"),
            ("memory", "outside its directory"),
            ("missing", "none.data"),
            ("pipe", "not a regular file"),
            (
                "beyond",
                "a tensor of 144 bytes begins at byte 4 of a file of 144 bytes",
            ),
            ("short", "a tensor has 4 bytes"),
            ("overflow", "begins at byte 18446744073709551615"),
            ("signed", "not a number of bytes"),
        ] {
            let names = names(case);
            // One name each on the engines that read every file as ONNX.
            let count = if backend == "openvino" {
                names.len()
            } else {
                1
            };
            for name in &names[..count] {
                let refused = classify_model(name);
                expect_code(&refused, 2)?;
                ensure(
                    refused.stderr.contains(said) && refused.stderr.contains("hint: "),
                    (name, refused),
                )?;
            }
        }
    }
    Ok(())
}

fn digest() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("external_data.py", [directory.path()])?;
    let (_images, image, _) = small_images()?;
    let models = directory.path().join("models");
    let report = directory.path().join("r.json");
    let digest_of = |name: &str| -> Result<String, Failed> {
        let run_of = |engine: &str| format!("{engine}={}", models.join(name).display());
        let mut command = classify();
        command.args([
            "compare",
            &run_of("onnx"),
            &run_of("rten"),
            "--color",
            "rgb",
        ]);
        command.arg("-i").arg(&image).arg("--report").arg(&report);
        // One image proves nothing; the report says what ran.
        let run = run(&mut command);
        let json: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        std::fs::remove_file(&report)?;
        let digest = json["runs"][0]["facts"]["model_sha256"].as_str();
        Ok(digest.ok_or_else(|| format!("{json} {run:?}"))?.to_owned())
    };
    let before = digest_of("beside.pb")?;
    ensure(before == digest_of("beside.onnx")?, &before)?;
    let weights = models.join("beside.data");
    let mut bytes = std::fs::read(&weights)?;
    bytes[0] ^= 1;
    std::fs::write(&weights, bytes)?;
    ensure(before != digest_of("beside.pb")?, &before)
}

fn prepared_irs() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let original = set_up("models/mobilenet-v2/model.onnx");
    python("prepared_irs.py", [&original, directory.path()])?;
    let photos = photos()?;
    let answers_of = |model: &Path| {
        let mut command = classify();
        command.args(["--backend", "openvino", "--digits", "6", "-m"]);
        run(command.arg(model).arg("-i").args(&photos[..4]))
    };
    let expected = answers_of(&original);
    expect_code(&expected, 0)?;
    let expected = blocks(&expected.stdout);
    for name in [
        "normalized",
        "bgr",
        "bgr-bytes",
        "stated",
        "stated-bgr",
        "stated-order",
    ] {
        let found = answers_of(&directory.path().join(name).join("model.xml"));
        expect_code(&found, 0)?;
        let said = if name == "stated-order" {
            "reverses the channels"
        } else {
            "does that itself"
        };
        ensure(found.stderr.contains(said), (name, &found))?;
        for ((_, expected), (_, found)) in expected.iter().zip(&blocks(&found.stdout)) {
            for (expected, found) in expected.iter().zip(found) {
                let near = (expected.probability - found.probability).abs() < 1e-4;
                ensure(
                    near && expected.class_id == found.class_id,
                    (name, expected, found),
                )?;
            }
        }
    }
    let other = answers_of(&directory.path().join("other-mean/model.xml"));
    expect_code(&other, 2)?;
    let stderr = &other.stderr;
    ensure(
        stderr.contains("127.5") && stderr.contains("hint: "),
        &other,
    )
}

fn precisions() -> Result<(), Failed> {
    use model_file::StoredPrecision::{F16, F32};
    let directory = tempfile::tempdir()?;
    python("output_kinds.py", [directory.path()])?;
    for (model, stored) in [
        (set_up("models/efficientnet-lite0.onnx"), F32),
        (set_up("models/efficientnet-lite0.xml"), F32),
        (set_up("models/efficientnet-lite0-f16.xml"), F16),
        (small_model("half.onnx"), F16),
        (small_model("lite.tflite"), F32),
        // Their scores alone are quantized.
        (directory.path().join("quantized.onnx"), F32),
        (directory.path().join("quantized.xml"), F32),
        (directory.path().join("softmax-bytes.tflite"), F32),
    ] {
        let found = model_file::stored_precision(&model)?;
        ensure(found == Some(stored), (model, found))?;
    }
    // Types of the output that say nothing: an f32 model that gives f16, and an f16 model that gives f32.
    python("cast_ends.py", [directory.path()])?;
    let (_images, image, _) = small_images()?;
    for (model, onnx, rten) in [
        ("single-gives-half.onnx", "f32", Some("f32")),
        ("half-gives-single.onnx", "f16", None),
        ("quantized.onnx", "f32", Some("f32")),
    ] {
        let engines = [("onnx", Some(onnx)), ("rten", rten)];
        for (backend, precision) in engines {
            let Some(precision) = precision else { continue };
            let mut command = classify();
            command.args(["--backend", backend, "--color", "rgb", "-m"]);
            let model = directory.path().join(model);
            let run = run(command.arg(&model).arg("-i").arg(&image));
            expect_code(&run, 0)?;
            let said = format!("precision {precision} (");
            ensure(run.stdout.contains(&said), (precision, &run))?;
        }
    }
    Ok(())
}

fn output_kinds() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let expected = python("output_kinds.py", [directory.path()])?;
    let mut count = 0;
    for line in expected.lines() {
        let (file, kind) = line.split_once(' ').ok_or("a file and a kind")?;
        let mut command = classify();
        command.args(["inspect", "--backend", "openvino", "--format", "json", "-m"]);
        let run = run(command.arg(directory.path().join(file)));
        count += 1;
        if kind == "refused" {
            expect_code(&run, 2)?;
            ensure(
                run.stderr
                    .contains("output does not identify classes: its operator"),
                &run,
            )?;
            continue;
        }
        expect_code(&run, 0)?;
        let json: Value = serde_json::from_str(&run.stdout)?;
        let found = json["scores"]["output"].as_str().unwrap_or("-");
        ensure(found == kind, (file, kind, &json["scores"]))?;
    }
    ensure(count == 59, count)
}

fn quantized_outputs() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    python("output_kinds.py", [directory.path()])?;
    let (_images, _, image) = small_images()?;
    let originals = ["softmax-bytes.tflite", "logits-bytes.tflite", "bytes.onnx"];
    let paths = originals.map(|name| directory.path().join(name));
    let paths = paths.iter().map(PathBuf::as_path);
    python("irs.py", std::iter::once(directory.path()).chain(paths))?;
    for (model, backends) in [
        ("softmax-bytes.tflite", &["openvino"][..]),
        ("logits-bytes.tflite", &["openvino"]),
        ("bytes.onnx", &["openvino", "onnx", "rten"]),
        ("softmax-bytes.xml", &["openvino"]),
        ("logits-bytes.xml", &["openvino"]),
        ("bytes.xml", &["openvino"]),
    ] {
        let path = directory.path().join(model);
        let expected = python("quantized_output.py", [&path, &image])?;
        let expected: Vec<f64> = expected
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        for backend in backends {
            let mut command = classify();
            command.args(["--backend", backend, "--color", "rgb", "--mean", "127.5"]);
            command.args(["--scale", "127.5", "--digits", "6", "--top", "all", "-m"]);
            let run = run(command.arg(&path).arg("-i").arg(&image));
            expect_code(&run, 0)?;
            let [(_, lines)] = &blocks(&run.stdout)[..] else {
                return Err(format!("one block: {run:?}").into());
            };
            ensure(lines.len() == expected.len(), &run)?;
            for line in lines {
                // Another engine may round to the next integer.
                let difference = (line.probability - expected[line.class_id]).abs();
                ensure(difference < 0.005, (model, backend, line, &expected))?;
            }
        }
    }
    Ok(())
}

/// Classifies an image by the model `name` with a file of `count` labels, `name 0` and so on. The file is passed, or it
/// stands next to the model.
fn with_labels(name: &str, count: usize, is_passed: bool) -> Result<Run, Failed> {
    let (directory, image, _) = small_images()?;
    let model = directory.path().join("m.onnx");
    std::fs::copy(small_model(name), &model)?;
    let labels = directory.path().join("m.labels");
    let names: Vec<String> = (0..count).map(|n| format!("name {n}")).collect();
    std::fs::write(&labels, names.join("\n"))?;
    let mut command = classify();
    command.args(["--backend", "onnx", "--top", "all"]);
    if is_passed {
        command.arg("--labels").arg(&labels);
    }
    Ok(run(command.arg("-m").arg(&model).arg("-i").arg(&image)))
}

/// Returns the line of a class.
fn line_of(run: &Run, class_id: usize) -> &str {
    let start = format!("[ INFO ] {class_id} ");
    let mut lines = run.stdout.lines();
    lines.find(|line| line.starts_with(&start)).unwrap_or("")
}

/// The small model has 12 classes.
fn a_label_for_each_class() -> Result<(), Failed> {
    let all = with_labels("plain.onnx", 12, true)?;
    expect_code(&all, 0)?;
    ensure(line_of(&all, 3).ends_with("  name 3"), all)
}

fn too_few_labels() -> Result<(), Failed> {
    let wrong = with_labels("plain.onnx", 11, true)?;
    expect_code(&wrong, 2)?;
    ensure(wrong.stderr.contains("there are 11 labels"), wrong)
}

fn no_label_for_the_background() -> Result<(), Failed> {
    let found = with_labels("with-background.onnx", 1000, true)?;
    expect_code(&found, 0)?;
    let note = "class 0 is taken as the background";
    ensure(found.stderr.contains(note), &found)?;
    ensure(line_of(&found, 0).ends_with("  background"), &found)?;
    ensure(line_of(&found, 3).ends_with("  name 2"), found)
}

fn wrong_count_next_to_the_model() -> Result<(), Failed> {
    let found = with_labels("plain.onnx", 13, false)?;
    expect_code(&found, 0)?;
    let is_noted = found.stderr.contains("13 labels") && found.stderr.contains("using no labels");
    ensure(is_noted, &found)?;
    ensure(!found.stdout.contains("name "), found)
}

fn multi_label() -> Result<(), Failed> {
    let (directory, image, _) = small_images()?;
    let model = directory.path().join("m.onnx");
    std::fs::copy(small_model("plain.onnx"), &model)?;
    std::fs::write(
        directory.path().join("config.json"),
        r#"{"problem_type": "multi_label_classification"}"#,
    )?;
    for (flags, code) in [(&[][..], 0), (&["--scores", "softmax"], 2)] {
        let mut command = classify();
        command
            .args(["--backend", "onnx", "--color", "rgb"])
            .args(flags);
        let run = run(command.arg("-m").arg(&model).arg("-i").arg(&image));
        expect_code(&run, code)?;
        ensure(run.stderr.contains("config.json: problem_type"), &run)?;
        // Independent probabilities do not add up to 1.
        ensure(code != 0 || run.stdout.contains("0.5"), run)?;
    }
    // A model that gives other numbers than scores of classes.
    std::fs::write(
        directory.path().join("config.json"),
        r#"{"problem_type": "regression"}"#,
    )?;
    let mut command = classify();
    command.args(["--backend", "onnx", "--color", "rgb", "-m"]);
    let run = run(command.arg(&model).arg("-i").arg(&image));
    expect_code(&run, 2)?;
    ensure(run.stderr.contains("regression"), &run)?;
    Ok(())
}
