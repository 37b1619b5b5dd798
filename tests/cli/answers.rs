//! Real models on real photos: engines against each other and against independent references.

use std::path::{Path, PathBuf};

use classify_tests::{
    Line, Needs, Run, blocks, ensure, expect_code, photos, python, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 13] = [
        ("engines_agree::efficientnet_lite0", || {
            engines_agree(&MODELS[0])
        }),
        ("engines_agree::mobilenet_v2", || engines_agree(&MODELS[1])),
        ("engines_agree::squeezenet", || engines_agree(&MODELS[2])),
        ("reference::efficientnet_lite0", || {
            equals_reference(&MODELS[0])
        }),
        ("reference::mobilenet_v2", || equals_reference(&MODELS[1])),
        ("reference::squeezenet", || equals_reference(&MODELS[2])),
        ("the_official_samples_answers", official_sample),
        ("ir_and_onnx_and_f16_agree", model_files_agree),
        ("results_come_in_input_order", input_order),
        ("text_has_labels_digits_and_top", text_form),
        ("logits_are_not_called_probabilities", raw_scores),
        ("top_is_at_most_the_number_of_classes", few_classes),
        ("the_model_carries_its_recipe_and_labels", metadata),
    ];
    tests.map(|(name, test)| set_up.test(name, test)).into()
}

struct Model {
    /// No model needs a flag: the three have three ways to say how they want their images.
    file: &'static str,
    /// The name of the card's preprocessing in `reference.py`.
    recipe: &'static str,
    /// The number of right answers for the 24 labelled photos.
    right: usize,
}

const MODELS: [Model; 3] = [
    Model {
        file: "models/efficientnet-lite0.onnx",
        recipe: "efficientnet-lite",
        right: 22,
    },
    Model {
        file: "models/mobilenet-v2/model.onnx",
        recipe: "hugging-face",
        right: 22,
    },
    Model {
        file: "models/squeezenet1.1.onnx",
        recipe: "opencv-stretch",
        right: 20,
    },
];

fn classify_with(
    backend: &str,
    model: &Path,
    flags: &[&str],
    inputs: &[PathBuf],
) -> Result<Run, Failed> {
    let mut command = classify();
    command.args(["--quiet", "--backend", backend]).args(flags);
    command.arg("-m").arg(model).arg("-i").args(inputs);
    let run = run(&mut command);
    expect_code(&run, 0)?;
    // One of the models states nothing.
    let is_guess = |line: &str| line.starts_with("warning: the model and its files do not state");
    ensure(run.stderr.lines().all(is_guess), &run)?;
    Ok(run)
}

fn largest_difference(a: &[Line], b: &[Line]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a.probability - b.probability).abs())
        .fold(0.0, f64::max)
}

fn ids(lines: &[Line]) -> Vec<usize> {
    lines.iter().map(|line| line.class_id).collect()
}

/// Class ids identical on every photo, probabilities within 1e-4, and the text too but for the last
/// of four digits.
fn engines_agree(model: &Model) -> Result<(), Failed> {
    let photos = photos()?;
    let file = set_up(model.file);
    let text = |backend| classify_with(backend, &file, &[], &photos);
    let (openvino, onnx) = (text("openvino")?.stdout, text("onnx")?.stdout);
    let split = |text: &str| -> Vec<String> {
        text.split("[ INFO ] Image path: ")
            .skip(1)
            .map(str::to_owned)
            .collect()
    };
    let identical = split(&openvino)
        .iter()
        .zip(split(&onnx))
        .filter(|(a, b)| *a == b)
        .count();
    println!(
        "{}: {identical} of {} blocks identical byte for byte",
        model.file,
        photos.len()
    );
    ensure(
        identical * 100 >= photos.len() * 95,
        (identical, photos.len()),
    )?;

    let flags = ["--digits", "9"];
    let exact = |backend| -> Result<_, Failed> {
        Ok(blocks(
            &classify_with(backend, &file, &flags, &photos)?.stdout,
        ))
    };
    // RTen, which is slow where it is not optimized, is compared with both by the gates of `compare.rs`.
    let engines = ["openvino", "onnx"];
    let answers = engines
        .iter()
        .map(|engine| exact(engine))
        .collect::<Result<Vec<_>, _>>()?;
    let openvino = &answers[0];
    ensure(
        answers.iter().all(|each| each.len() == photos.len()),
        engines,
    )?;
    let mut largest = 0.0_f64;
    for ((path, a), (_, b)) in answers[0].iter().zip(&answers[1]) {
        ensure(a.len() == 10 && ids(a) == ids(b), (path, a, b))?;
        largest = largest.max(largest_difference(a, b));
    }
    println!(
        "{}: largest difference of a probability, {} and {}: {largest:e}",
        model.file, engines[0], engines[1]
    );
    ensure(largest <= 1e-4, largest)?;

    let truth = std::fs::read_to_string(set_up("photos/ground-truth.tsv"))?;
    let mut labelled = 0;
    let right = truth
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(file, class_id)| {
            labelled += 1;
            openvino.iter().any(|(path, lines)| {
                Path::new(path).ends_with(file) && lines[0].class_id.to_string() == *class_id
            })
        })
        .count();
    println!("{}: top-1 {right} of {labelled}", model.file);
    ensure(labelled == 24 && right == model.right, (right, labelled))
}

/// The photos as PNG and as BMP.
fn lossless(directory: &Path, photos: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
    let photos = photos.iter().map(|path| path.as_os_str());
    python(
        "lossless.py",
        std::iter::once(directory.as_os_str()).chain(photos),
    )?;
    let mut images: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    images.sort();
    Ok(images)
}

/// Pillow or OpenCV, numpy, and each engine's own Python package say the same.
fn equals_reference(model: &Model) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let photos = photos()?;
    let mut images = lossless(directory.path(), &photos)?;
    ensure(images.len() >= 56, images.len())?;
    images.extend(photos);

    let file = set_up(model.file);
    for engine in ["openvino", "onnx"] {
        let mut arguments = vec![
            engine.into(),
            file.clone().into_os_string(),
            model.recipe.into(),
        ];
        arguments.extend(images.iter().map(|path| path.clone().into_os_string()));
        let reference = python("reference.py", arguments)?;
        let flags = ["--digits", "9"];
        let ours = blocks(&classify_with(engine, &file, &flags, &images)?.stdout);
        ensure(ours.len() == images.len(), ours.len())?;
        ensure(reference.lines().count() == ours.len(), &reference)?;
        let mut largest = 0.0_f64;
        for ((path, lines), expected) in ours.iter().zip(reference.lines()) {
            let expected: Value = serde_json::from_str(expected)?;
            ensure(expected["path"] == path.as_str(), (path, &expected))?;
            let expected: Vec<Line> =
                serde_json::from_value::<Vec<(usize, f64)>>(expected["top"].clone())?
                    .into_iter()
                    .map(|(class_id, probability)| Line {
                        class_id,
                        probability,
                    })
                    .collect();
            ensure(
                ids(lines) == ids(&expected),
                (engine, path, lines, &expected),
            )?;
            largest = largest.max(largest_difference(lines, &expected));
        }
        println!(
            "{} on {engine}: largest difference to the reference {largest:e}",
            model.file
        );
        ensure(largest <= 1e-4, (engine, largest))?;
    }
    Ok(())
}

/// On the sample's own flags: its class ids, and to 1e-6 its probabilities.
fn official_sample() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let jpegs: Vec<PathBuf> = photos()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "jpg"))
        .take(8)
        .collect();
    let mut inputs = lossless(directory.path(), &jpegs)?;
    inputs.extend(jpegs);
    for model in ["models/squeezenet1.1.xml", "models/squeezenet1.1.onnx"] {
        let model = set_up(model);
        let mut arguments = vec!["-m".into(), model.clone().into_os_string(), "-i".into()];
        arguments.extend(inputs.iter().map(|path| path.clone().into_os_string()));
        arguments.extend(["-d".into(), "CPU".into()]);
        let mut theirs = blocks(&python("official_sample.py", arguments)?);
        // The sample prints in the order in which requests finish.
        theirs.sort_by(|a, b| a.0.cmp(&b.0));
        let flags = ["--digits", "7", "--precision", "auto", "-d", "CPU"];
        let mut ours = blocks(&classify_with("openvino", &model, &flags, &inputs)?.stdout);
        ours.sort_by(|a, b| a.0.cmp(&b.0));
        ensure(
            ours.len() == inputs.len() && theirs.len() == inputs.len(),
            ours.len(),
        )?;
        for ((path, ours), (their_path, theirs)) in ours.iter().zip(&theirs) {
            ensure(path == their_path, (path, their_path))?;
            ensure(ids(ours) == ids(theirs), (path, ours, theirs))?;
            ensure(
                largest_difference(ours, theirs) <= 1e-6,
                (path, ours, theirs),
            )?;
        }
    }
    Ok(())
}

fn model_files_agree() -> Result<(), Failed> {
    let photos = photos()?;
    let top = |file: &str| -> Result<_, Failed> {
        Ok(blocks(
            &classify_with("openvino", &set_up(file), &["--digits", "9"], &photos)?.stdout,
        ))
    };
    let onnx = top("models/efficientnet-lite0.onnx")?;
    let ir = top("models/efficientnet-lite0.xml")?;
    let half = top("models/efficientnet-lite0-f16.xml")?;
    for results in [&onnx, &ir, &half] {
        ensure(results.len() == photos.len(), results.len())?;
    }
    for ((path, onnx), ((_, ir), (_, half))) in onnx.iter().zip(ir.iter().zip(&half)) {
        ensure(
            ids(onnx) == ids(ir) && largest_difference(onnx, ir) <= 1e-5,
            (path, onnx, ir),
        )?;
        // Compressed weights: the same image of the world, not the same digits.
        ensure(onnx[0].class_id == half[0].class_id, (path, onnx, half))?;
        ensure(
            (onnx[0].probability - half[0].probability).abs() < 0.02,
            (path, onnx, half),
        )?;
    }
    Ok(())
}

fn input_order() -> Result<(), Failed> {
    let photos = photos()?;
    // A large image first, and one of them twice.
    let mut inputs: Vec<PathBuf> = photos.iter().rev().cloned().collect();
    inputs.push(inputs[3].clone());
    let model = set_up("models/squeezenet1.1.xml");
    let expected: Vec<String> = inputs
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    for flags in [
        &["--requests", "1", "--jobs", "1"][..],
        &["--requests", "4", "--jobs", "3"],
    ] {
        let results = blocks(&classify_with("openvino", &model, flags, &inputs)?.stdout);
        let paths: Vec<_> = results.iter().map(|(path, _)| path.clone()).collect();
        ensure(paths == expected, paths)?;
        ensure(
            results.last().unwrap().1 == results[3].1,
            "the same image, the same result",
        )?;
    }
    Ok(())
}

fn text_form() -> Result<(), Failed> {
    let cat = set_up("photos/n02123597_284_Siamese_cat.jpg");
    let model = set_up("models/efficientnet-lite0.onnx");
    let directory = tempfile::tempdir()?;
    let labels = directory.path().join("labels.txt");
    std::fs::write(
        &labels,
        (0..1000)
            .map(|n| format!("name {n}"))
            .collect::<Vec<_>>()
            .join("\n"),
    )?;
    let flags = [
        "--top",
        "3",
        "--digits",
        "2",
        "--labels",
        labels.to_str().unwrap(),
    ];
    let text = classify_with("onnx", &model, &flags, std::slice::from_ref(&cat))?.stdout;
    let lines: Vec<&str> = text.lines().collect();
    ensure(lines.len() == 8, &text)?;
    ensure(
        lines[0] == format!("[ INFO ] Image path: {}", cat.display()),
        &text,
    )?;
    ensure(lines[1] == "[ INFO ] Top 3 results: ", &text)?;
    ensure(lines[2] == "[ INFO ] class_id probability label", &text)?;
    ensure(lines[3] == "[ INFO ] --------------------", &text)?;
    ensure(
        lines[4].starts_with("[ INFO ] 284      0.") && lines[4].ends_with("  name 284"),
        &text,
    )?;
    ensure(lines[7] == "[ INFO ] ", &text)
}

fn raw_scores() -> Result<(), Failed> {
    let cat = set_up("photos/n02123597_284_Siamese_cat.jpg");
    let model = set_up("models/efficientnet-lite0.onnx");
    let raw = classify_with("onnx", &model, &["--scores", "raw"], &[cat])?.stdout;
    ensure(
        raw.contains("class_id score") && blocks(&raw)[0].1[0].probability > 1.0,
        &raw,
    )
}

fn few_classes() -> Result<(), Failed> {
    let cat = set_up("photos/n02123597_284_Siamese_cat.jpg");
    let few = classify_with(
        "onnx",
        &small_model("three-classes.onnx"),
        &["--color", "rgb"],
        &[cat],
    )?;
    ensure(
        few.stdout.contains("Top 3 results: ") && blocks(&few.stdout)[0].1.len() == 3,
        few,
    )
}

fn metadata() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let cat = set_up("photos/n02123597_284_Siamese_cat.jpg");
    for ending in ["onnx", "xml"] {
        // Alone, without the labels next to it.
        let model = directory.path().join("alone").with_extension(ending);
        std::fs::copy(
            set_up("models/efficientnet-lite0").with_extension(ending),
            &model,
        )?;
        if ending == "xml" {
            std::fs::copy(
                set_up("models/efficientnet-lite0.bin"),
                model.with_extension("bin"),
            )?;
        }
        let text = classify_with(
            "openvino",
            &model,
            &["--top", "1"],
            std::slice::from_ref(&cat),
        )?
        .stdout;
        let best = text.lines().nth(4).unwrap_or_default();
        ensure(
            best.starts_with("[ INFO ] 284 ") && best.ends_with("  Siamese cat, Siamese"),
            &text,
        )?;
    }
    Ok(())
}
