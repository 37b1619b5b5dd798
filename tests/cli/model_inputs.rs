//! Models whose inputs are not three channels of floats: grey, integers, quantized TensorFlow Lite, open shapes.

use std::path::{Path, PathBuf};

use classify_tests::{Needs, Run, ensure, expect_code, python, run, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::cases::case;
use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, Test); 5] = [
        ("integers_give_what_floats_give", integers),
        ("values_that_integers_cannot_hold_are_refused", out_of_range),
        ("quantized_models_give_the_interpreters_answers", quantized),
        (
            "pixels_of_a_quantized_input_are_assumed_with_a_note",
            assumed,
        ),
        ("channels_that_no_image_has_are_refused", other_channels),
    ];
    let on_photos: [(&str, Test); 5] = [
        ("irs_of_quantized_models_give_the_interpreters_answers", irs),
        ("grey_models_get_pillows_grey", grey),
        ("grey_models_take_one_mean", mean_of_grey),
        ("grey_channels_may_be_behind", grey_channel_behind),
        ("grey_images_may_be_in_batches", grey_batches),
    ];
    on_engines
        .map(|(name, test)| engines.test(name, test))
        .into_iter()
        .chain(on_photos.map(|(name, test)| with_set_up.test(name, test)))
        .collect()
}

const PLAIN: [&str; 4] = ["--resize", "stretch", "--interpolation", "bilinear"];
const BACKENDS: [&str; 3] = ["openvino", "onnx", "rten"];

fn classified(model: &Path, backend: &str, flags: &[&str], inputs: &[PathBuf]) -> Run {
    let mut command = classify();
    command.args(["--backend", backend, "--format", "json", "--top", "all"]);
    command.args(["--scores", "raw"]).args(PLAIN).args(flags);
    run(command.arg("-m").arg(model).arg("-i").args(inputs))
}

/// The scores of each image in the order of the classes.
fn scores(run: &Run) -> Result<Vec<Vec<f64>>, Failed> {
    expect_code(run, 0)?;
    let of_image = |line: &str| -> Result<Vec<f64>, Failed> {
        let answer: Value = serde_json::from_str(line)?;
        let top = answer["top"].as_array().ok_or("no classes")?;
        let mut scores = vec![f64::NAN; top.len()];
        for entry in top {
            let class_id = entry["class_id"].as_u64().ok_or("no class")?;
            scores[class_id as usize] = entry["score"].as_f64().ok_or("no score")?;
        }
        Ok(scores)
    };
    run.stdout.lines().map(of_image).collect()
}

fn largest_difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let is_alike = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.len() == b.len());
    if is_alike { largest } else { f64::INFINITY }
}

fn integers() -> Result<(), Failed> {
    let (_directory, image, other) = small_images()?;
    let inputs = [image, other];
    let rgb = ["--color", "rgb", "--mean", "0", "--scale", "2.5"];
    for backend in BACKENDS {
        let plain = scores(&classified(
            &small_model("plain.onnx"),
            backend,
            &rgb,
            &inputs,
        ))?;
        for name in [
            "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f64", "bf16",
        ] {
            let file = small_model(&format!("input-{name}.onnx"));
            let found = classified(&file, backend, &rgb, &inputs);
            if backend == "rten" && ["i16", "u16", "u32", "u64", "bf16"].contains(&name) {
                expect_code(&found, 2)?;
                let is_named = found.stderr.contains("int") || found.stderr.contains("bfloat16");
                ensure(is_named && found.stderr.contains("supported: f32"), &found)?;
                continue;
            }
            // Half a level, rounded, and weights of less than 0.1.
            let largest = largest_difference(&scores(&found)?, &plain);
            ensure(largest < 0.1, (backend, name, largest))?;
        }
    }
    let ir = classified(&small_model("input-u16.xml"), "openvino", &rgb, &inputs);
    let onnx = classified(&small_model("input-u16.onnx"), "onnx", &rgb, &inputs);
    ensure(
        largest_difference(&scores(&ir)?, &scores(&onnx)?) < 1e-4,
        ir,
    )
}

fn out_of_range() -> Result<(), Failed> {
    let (_directory, image, _) = small_images()?;
    for (name, flags, expected) in [
        (
            "i8",
            &[][..],
            "goes from 0 to 255, but the model's input takes i8",
        ),
        ("u8", &["--mean", "128"], "goes from -128 to 127"),
        ("i32", &["--scale", "255"], "only 2 of 256 values"),
    ] {
        let model = small_model(&format!("input-{name}.onnx"));
        let refused = classified(&model, "onnx", flags, std::slice::from_ref(&image));
        expect_code(&refused, 2)?;
        ensure(
            refused.stderr.contains(expected) && refused.stderr.contains("hint: "),
            &refused,
        )?;
    }
    let shifted = classified(
        &small_model("input-i8.onnx"),
        "onnx",
        &["--mean", "128"],
        &[image],
    );
    expect_code(&shifted, 0)
}

/// The images of `lite-quantized.json`, and the file itself.
fn quantized_images() -> Result<(tempfile::TempDir, Vec<PathBuf>, Value), Failed> {
    let expected = std::fs::read(small_model("lite-quantized.json"))?;
    let expected: Value = serde_json::from_slice(&expected)?;
    let directory = tempfile::tempdir()?;
    let mut paths = Vec::new();
    let images = expected["images"].as_array().ok_or("no images")?;
    for (number, image) in images.iter().enumerate() {
        let pixels = image.as_array().ok_or("no pixels")?;
        let mut file = b"P6 8 8 255\n".to_vec();
        file.extend(
            pixels
                .iter()
                .filter_map(|pixel| Some(pixel.as_u64()? as u8)),
        );
        let path = directory.path().join(format!("{number}.ppm"));
        std::fs::write(&path, file)?;
        paths.push(path);
    }
    Ok((directory, paths, expected))
}

const QUANTIZED: [&str; 4] = ["lite-i8", "lite-i8-tensor", "lite-u8", "lite-u8-tensor"];

/// The quantized models and their names.
fn quantized_models() -> Vec<(&'static str, PathBuf)> {
    QUANTIZED
        .map(|name| (name, small_model(&format!("{name}.tflite"))))
        .to_vec()
}

/// [`quantized_models`] as IRs, in a directory.
fn quantized_irs() -> Result<(tempfile::TempDir, Vec<(&'static str, PathBuf)>), Failed> {
    let directory = tempfile::tempdir()?;
    let models = quantized_models();
    let paths = models.iter().map(|(_, path)| path.as_path());
    python("irs.py", std::iter::once(directory.path()).chain(paths))?;
    let irs = QUANTIZED.map(|name| (name, directory.path().join(format!("{name}.xml"))));
    Ok((directory, irs.to_vec()))
}

/// Returns how far OpenVINO's answers may be from the interpreter's, in steps of the output. Engines round the sums of a
/// layer in different ways: one step. On x86 without VNNI the 8-bit sums of OpenVINO 2026.4 saturate: six steps, of about
/// 400.
fn most_steps() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx512vnni") && !is_x86_feature_detected!("avxvnni") {
        return 6.01;
    }
    1.01
}

fn expect_interpreters(found: &Run, expected: &Value, way: &str) -> Result<(), Failed> {
    let answers: Vec<Vec<f64>> = serde_json::from_value(expected[way].clone())?;
    let step = expected["step"].as_f64().ok_or("no step")?;
    let largest = largest_difference(&scores(found)?, &answers);
    ensure(largest < most_steps() * step, (way, largest / step, found))
}

fn irs() -> Result<(), Failed> {
    let (_directory, models) = quantized_irs()?;
    expect_normalized(&models)?;
    expect_assumed(&models)
}

fn quantized() -> Result<(), Failed> {
    expect_normalized(&quantized_models())
}

fn expect_normalized(models: &[(&str, PathBuf)]) -> Result<(), Failed> {
    let (_directory, images, expected) = quantized_images()?;
    let numbers = |key: &str| -> Result<String, Failed> {
        let numbers: Vec<f64> = serde_json::from_value(expected[key].clone())?;
        Ok(numbers
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(","))
    };
    let (mean, scale) = (numbers("mean")?, numbers("scale")?);
    for (name, model) in models {
        let flags = ["--mean", &mean, "--scale", &scale];
        let found = classified(model, "openvino", &flags, &images);
        let expected = &expected["models"][*name];
        expect_interpreters(&found, expected, "normalized")?;
    }
    Ok(())
}

fn assumed() -> Result<(), Failed> {
    let models = quantized_models();
    expect_assumed(&models)?;
    let (_directory, images, _) = quantized_images()?;
    // 0-255 as real values saturate.
    let (_, model) = &models[2];
    let refused = classified(model, "openvino", &["--mean", "0", "--scale", "1"], &images);
    expect_code(&refused, 2)?;
    ensure(refused.stderr.contains("of 256 values remain"), refused)
}

fn expect_assumed(models: &[(&str, PathBuf)]) -> Result<(), Failed> {
    let (_directory, images, expected) = quantized_images()?;
    for (name, model) in models {
        let found = classified(model, "openvino", &[], &images);
        expect_interpreters(&found, &expected["models"][*name], "as_they_are")?;
        let given = if name.contains("i8") {
            "pixels minus 128"
        } else {
            "unchanged pixels"
        };
        let note = format!("assuming {given}");
        let color = "rgb by convention of TensorFlow Lite";
        ensure(
            found.stderr.contains(&note) && found.stderr.contains(color),
            &found,
        )?;
    }
    Ok(())
}

fn other_channels() -> Result<(), Failed> {
    let (_directory, image, _) = small_images()?;
    for backend in BACKENDS {
        for (name, words) in [
            (
                "four-channels.onnx",
                &["[1, 4, 8, 8]", "1 channel of grey"][..],
            ),
            ("all-open.onnx", &["the channels", "--shape 1,3,224,224"]),
        ] {
            let refused = classified(
                &small_model(name),
                backend,
                &[],
                std::slice::from_ref(&image),
            );
            expect_code(&refused, 2)?;
            let is_said = words.iter().all(|words| refused.stderr.contains(words));
            ensure(is_said, refused)?;
        }
        let model = small_model("all-open.onnx");
        let opened = classified(
            &model,
            backend,
            &["--shape", "1,3,8,8"],
            std::slice::from_ref(&image),
        );
        expect_code(&opened, 0)?;
    }
    Ok(())
}

fn grey() -> Result<(), Failed> {
    let chelsea = set_up("photos/chelsea.png");
    for backend in BACKENDS {
        for flags in [
            &["--mean", "127.5", "--scale", "127.5"][..],
            &[
                "--mean",
                "127.5,127.5,127.5",
                "--scale",
                "127.5",
                "--color",
                "grey",
            ],
            &[
                "--mean", "127.5", "--scale", "127.5", "--color", "gray", "--decode", "fast",
            ],
            &["--mean", "127.5", "--scale", "127.5", "--color", "rgb"],
        ] {
            let mut command = classify();
            command.args(["--backend", backend, "--format", "json", "--top", "3"]);
            command.args(PLAIN).args(flags).arg("-m").arg(case("ch1"));
            let found = run(command.arg("-i").arg(&chelsea));
            expect_code(&found, 0)?;
            let answer: Value = serde_json::from_str(&found.stdout)?;
            // Pillow 13 and ONNX Runtime 1.31.1, softmax in float64.
            for (entry, (class_id, score)) in [(6, 0.170_447), (2, 0.111_966), (7, 0.105_977)]
                .iter()
                .enumerate()
            {
                let top = &answer["top"][entry];
                let is_near = top["score"]
                    .as_f64()
                    .is_some_and(|found| (found - score).abs() < 1e-5);
                ensure(top["class_id"] == *class_id && is_near, &answer)?;
            }
            let note = "--color is rgb, but the model's input has one channel";
            ensure(
                found.stderr.contains(note) == flags.contains(&"rgb"),
                &found,
            )?;
        }
    }
    Ok(())
}

fn mean_of_grey() -> Result<(), Failed> {
    let chelsea = [set_up("photos/chelsea.png")];
    for backend in BACKENDS {
        let several = classified(&case("ch1"), backend, &["--mean", "1,2,3"], &chelsea);
        expect_code(&several, 2)?;
        ensure(several.stderr.contains("one channel"), several)?;
    }
    Ok(())
}

/// The scores of three grey images by the model with the channel in front, and by the one with the channel behind.
fn grey_first_and_last(backend: &str, flags: &[&str]) -> Result<[Vec<Vec<f64>>; 2], Failed> {
    let (_directory, image, other) = small_images()?;
    let inputs = [image.clone(), other, image];
    let of = |model: &str, flags: &[&str]| {
        scores(&classified(&small_model(model), backend, flags, &inputs))
    };
    Ok([of("grey.onnx", &[])?, of("grey-last.onnx", flags)?])
}

fn grey_channel_behind() -> Result<(), Failed> {
    for backend in BACKENDS {
        let [first, last] = grey_first_and_last(backend, &[])?;
        ensure(largest_difference(&last, &first) < 1e-5, backend)?;
    }
    Ok(())
}

fn grey_batches() -> Result<(), Failed> {
    for backend in BACKENDS {
        let [single, batch] = grey_first_and_last(backend, &["--batch", "2"])?;
        ensure(largest_difference(&batch, &single) < 1e-5, backend)?;
    }
    Ok(())
}
