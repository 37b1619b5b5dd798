//! `classify tensors`, and outputs of other programs as the reference of `compare`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{
    Needs, Run, checkout, ensure, expect_code, photos, python, run, set_up, small_model,
};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::{classify, peak_memory, schemas, small_images};

pub fn trials(engines: &Needs, set_up: &Needs) -> Vec<Trial> {
    let with_engines: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("an_output_needs_a_name_that_tells_its_format", formats),
        ("an_output_may_not_replace_an_image", replaced_image),
        ("a_failed_image_has_no_tensor", failed_image),
        ("nothing_is_written_if_all_images_fail", all_failed),
        ("every_engine_and_batch_gives_the_same_file", same_files),
        ("memory_does_not_grow_with_the_images", bounded_memory),
    ];
    let with_set_up: [(&str, fn() -> Result<(), Failed>); 15] = [
        ("an_output_may_not_replace_an_array", replaced_array),
        ("efficientnet_lite_is_prepared_as_by_numpy", efficientnet),
        ("hugging_face_is_prepared_as_by_numpy", hugging_face),
        ("f16_is_prepared_as_by_numpy", half),
        ("i8_is_prepared_as_by_numpy", signed_bytes),
        ("u8_is_prepared_as_by_numpy", bytes),
        ("agreeing_outputs_agree", agree),
        ("probabilities_are_a_reference_too", probabilities),
        ("outputs_of_other_tensors_disagree", planted_mean),
        ("other_preprocessing_is_refused", other_flags),
        ("reports_name_the_source", reports),
        ("several_forms_of_outputs_are_read", forms),
        ("faulty_outputs_are_refused", faults),
        ("images_have_to_be_those_of_the_outputs", other_images),
        ("damaged_archives_never_panic", damaged),
    ];
    let with_engines =
        with_engines.map(|(name, test)| engines.test(format!("tensors::{name}"), test));
    let with_set_up = with_set_up.map(|(name, test)| set_up.test(format!("tensors::{name}"), test));
    with_engines.into_iter().chain(with_set_up).collect()
}

fn tensors(model: &Path, output: &Path, images: &[PathBuf]) -> Command {
    let mut command = classify();
    command.args(["tensors", "-q", "--backend", "onnx", "-m"]);
    command
        .arg(model)
        .arg("-o")
        .arg(output)
        .arg("-i")
        .args(images);
    command
}

fn compare(runs: &[&str], model: &Path, against: &Path, images: &[PathBuf]) -> Command {
    let mut command = classify();
    command.args(["compare", "-q"]).args(runs);
    command.arg("--against").arg(against);
    command.arg("-m").arg(model).arg("-i").args(images);
    command
}

/// Runs ONNX Runtime from Python over the tensors, by the recipe of the documentation.
fn reference(model: &Path, inputs: &Path, outputs: &Path, more: &[&str]) -> Result<(), Failed> {
    let function = checkout().join("python/classify_cli/_reference.py");
    let paths = [&function, model, inputs, outputs].map(|path| path.display().to_string());
    let paths = paths.iter().map(String::as_str);
    python("onnx_reference.py", paths.chain(more.iter().copied())).map(|_| ())
}

/// The flags of a small model's preprocessing.
const PLAIN: [&str; 6] = [
    "--color",
    "rgb",
    "--resize",
    "stretch",
    "--interpolation",
    "bilinear",
];

/// Compares the tensors of six photos, in both forms, with those that `tensors_check.py` computes by `recipe`.
fn equal(model: &Path, recipe: &str, flags: &[&str], expected: &str) -> Result<(), Failed> {
    let photos = &photos()?[..6];
    let directory = tempfile::tempdir()?;
    let outputs = ["inputs.npz", "inputs/"].map(|name| directory.path().join(name));
    for output in &outputs {
        let result = run(tensors(model, output, photos).args(flags));
        expect_code(&result, 0)?;
        ensure(result.stdout.is_empty(), &result)?;
    }
    let outputs = outputs.map(|path| path.display().to_string());
    let images = photos.iter().map(|path| path.display().to_string());
    let words = outputs.into_iter().chain([recipe.to_owned()]).chain(images);
    let found = python("tensors_check.py", words)?;
    ensure(found == format!("6 tensors of {expected}\n"), found)
}

fn efficientnet() -> Result<(), Failed> {
    let model = set_up("models/efficientnet-lite0.onnx");
    equal(&model, "efficientnet-lite", &[], "[3, 224, 224]")
}

fn hugging_face() -> Result<(), Failed> {
    let model = set_up("models/mobilenet-v2/model.onnx");
    equal(&model, "hugging-face", &[], "[3, 224, 224]")
}

fn half() -> Result<(), Failed> {
    equal(&small_model("half.onnx"), "f16", &PLAIN, "[3, 8, 8]")
}

fn signed_bytes() -> Result<(), Failed> {
    let flags = [&["--mean", "128", "--scale", "1"][..], &PLAIN].concat();
    equal(&small_model("input-i8.onnx"), "i8", &flags, "[3, 8, 8]")
}

fn bytes() -> Result<(), Failed> {
    equal(&small_model("nhwc-bytes.onnx"), "u8", &PLAIN, "[8, 8, 3]")
}

fn formats() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    for name in ["inputs", "inputs.npy", "inputs.zip"] {
        let output = directory.path().join(name);
        let result = run(&mut tensors(
            &small_model("plain.onnx"),
            &output,
            std::slice::from_ref(&a),
        ));
        expect_code(&result, 2)?;
        ensure(
            result.stderr.contains("cannot tell the format") && !output.exists(),
            &result,
        )?;
    }
    Ok(())
}

fn replaced_image() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let arrays = directory.path().join("arrays");
    fs::create_dir(&arrays)?;
    let image = arrays.join("images.npy");
    fs::copy(&a, &image)?;
    let result = run(&mut tensors(
        &small_model("plain.onnx"),
        &arrays,
        std::slice::from_ref(&image),
    ));
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("which is read (an image)"), &result)?;
    ensure(fs::read(&image)? == fs::read(&a)?, "the image was replaced")
}

fn failed_image() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let model = small_model("plain.onnx");
    let [all, some] = ["all", "some"].map(|name| directory.path().join(name).join(""));
    let missing = directory.path().join("none.jpg");
    let result = run(&mut tensors(
        &model,
        &some,
        &[a.clone(), missing, b.clone()],
    ));
    expect_code(&result, 1)?;
    ensure(result.stderr.contains("none.jpg"), &result)?;
    expect_code(&run(&mut tensors(&model, &all, &[a, b])), 0)?;
    same_directories(&all, &some)
}

fn same_directories(one: &Path, other: &Path) -> Result<(), Failed> {
    for array in ["tensors", "images", "hashes", "preprocessing"] {
        let file = format!("{array}.npy");
        ensure(
            fs::read(one.join(&file))? == fs::read(other.join(&file))?,
            array,
        )?;
    }
    Ok(())
}

fn all_failed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("inputs.npz");
    let missing = directory.path().join("none.jpg");
    let result = run(&mut tensors(
        &small_model("plain.onnx"),
        &output,
        &[missing],
    ));
    expect_code(&result, 2)?;
    ensure(
        result.stderr.contains("all images failed") && fs::read_dir(directory.path())?.count() == 0,
        &result,
    )
}

/// Batches are the engines' affair.
fn same_files() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let images = [a.clone(), b.clone(), a];
    let file = |name: &str| directory.path().join(name).join("");
    let model = small_model("plain.onnx");
    expect_code(&run(&mut tensors(&model, &file("first"), &images)), 0)?;
    for (name, model, flags) in [
        ("openvino", "plain.onnx", &["--backend", "openvino"][..]),
        ("rten", "plain.onnx", &["--backend", "rten"]),
        ("ir", "plain.xml", &["--backend", "openvino"]),
        ("batch", "dynamic-batch.onnx", &["--batch", "2"]),
        ("fixed", "batch-of-two.onnx", &[]),
    ] {
        let mut command = classify();
        command
            .args(["tensors", "-q", "-m"])
            .arg(small_model(model));
        if name == "batch" || name == "fixed" {
            command.args(["--backend", "onnx"]);
        }
        command
            .args(flags)
            .arg("-o")
            .arg(file(name))
            .arg("-i")
            .args(&images);
        expect_code(&run(&mut command), 0)?;
        for array in ["tensors", "images", "hashes"] {
            let read = |name: &str| fs::read(file(name).join(format!("{array}.npy")));
            ensure(read("first")? == read(name)?, (name, array))?;
        }
    }
    Ok(())
}

fn bounded_memory() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("inputs.npz");
    let peak = |pairs: usize| {
        let mut command = classify();
        command.args(["tensors", "-q", "--backend", "rten", "-m"]);
        command.arg(small_model("dynamic-size.onnx"));
        command.args(["--shape", "1,3,224,224", "-o"]).arg(&output);
        peak_memory(command, pairs)
    };
    let (few, many) = (peak(20)?, peak(300)?);
    // 600 tensors of 588 KiB.
    let written = fs::metadata(&output)?.len();
    ensure(written > 600 * 3 * 224 * 224 * 4, written)?;
    ensure(many < few + 64.0 * 1024.0, (few, many))
}

fn replaced_array() -> Result<(), Failed> {
    let all = Fixture::faulty()?;
    let arrays = all.directory.path().join("arrays");
    let logits = arrays.join("logits.npy");
    let before = fs::read(&logits)?;
    let mut command = compare(&["onnx"], &all.model, &arrays, &all.images);
    let result = run(command.arg("--record").arg(&logits));
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("which is read (an array)"), &result)?;
    ensure(fs::read(&logits)? == before, "the array was replaced")
}

/// A small model, the tensors of 2 images, and the outputs of ONNX Runtime in Python for them.
struct Fixture {
    directory: TempDir,
    model: PathBuf,
    images: [PathBuf; 2],
    outputs: PathBuf,
}

impl Fixture {
    fn new() -> Result<Self, Failed> {
        let (directory, a, b) = small_images()?;
        let images = [a, b];
        let model = small_model("plain.onnx");
        let [inputs, outputs] =
            ["inputs.npz", "outputs.npz"].map(|name| directory.path().join(name));
        expect_code(&run(&mut tensors(&model, &inputs, &images)), 0)?;
        reference(&model, &inputs, &outputs, &["logits"])?;
        Ok(Self {
            directory,
            model,
            images,
            outputs,
        })
    }

    fn faulty() -> Result<Self, Failed> {
        let all = Self::new()?;
        let directory = all.directory.path().display().to_string();
        python(
            "outputs_faults.py",
            [&*all.outputs.to_string_lossy(), &directory],
        )?;
        Ok(all)
    }

    fn against(&self, file: &Path) -> Run {
        run(&mut compare(&["onnx"], &self.model, file, &self.images))
    }
}

fn agree() -> Result<(), Failed> {
    let photos = &photos()?[..8];
    let directory = tempfile::tempdir()?;
    for (name, model) in [
        ("efficientnet", "models/efficientnet-lite0.onnx"),
        ("mobilenet", "models/mobilenet-v2/model.onnx"),
        ("squeezenet", "models/squeezenet1.1.onnx"),
    ] {
        let model = set_up(model);
        let [inputs, outputs] =
            ["inputs", "outputs"].map(|kind| directory.path().join(format!("{name}-{kind}.npz")));
        expect_code(&run(&mut tensors(&model, &inputs, photos)), 0)?;
        let kind = if name == "squeezenet" {
            "probabilities"
        } else {
            "logits"
        };
        reference(&model, &inputs, &outputs, &[kind])?;
        let result = run(&mut compare(
            &["onnx", "openvino"],
            &model,
            &outputs,
            photos,
        ));
        expect_code(&result, 0)?;
        ensure(
            result
                .stdout
                .contains(&format!("{name}-outputs.npz: ONNX Runtime")),
            &result,
        )?;
    }
    Ok(())
}

fn probabilities() -> Result<(), Failed> {
    let (directory, a, b) = small_images()?;
    let model = small_model("probabilities.onnx");
    let images = [a, b];
    let [inputs, outputs] = ["inputs.npz", "outputs.npz"].map(|name| directory.path().join(name));
    expect_code(&run(&mut tensors(&model, &inputs, &images)), 0)?;
    reference(&model, &inputs, &outputs, &["probabilities"])?;
    expect_code(&run(&mut compare(&["onnx"], &model, &outputs, &images)), 0)
}

/// The other program changes the tensors: their hashes cannot tell, but the outputs do.
fn planted_mean() -> Result<(), Failed> {
    let photos = &photos()?[..8];
    let directory = tempfile::tempdir()?;
    let model = set_up("models/mobilenet-v2/model.onnx");
    let [inputs, outputs] = ["inputs.npz", "outputs.npz"].map(|name| directory.path().join(name));
    expect_code(&run(&mut tensors(&model, &inputs, photos)), 0)?;
    reference(&model, &inputs, &outputs, &["logits", "0.1"])?;
    let result = run(&mut compare(
        &["onnx", "openvino"],
        &model,
        &outputs,
        photos,
    ));
    expect_code(&result, 1)?;
    ensure(result.stdout.contains("DISAGREE"), &result)
}

/// The same images with another mean have other tensors.
fn other_flags() -> Result<(), Failed> {
    let all = Fixture::faulty()?;
    let mut command = compare(&["onnx"], &all.model, &all.outputs, &all.images);
    let result = run(command.args(["--mean", "127.5"]));
    expect_code(&result, 2)?;
    let expected =
        "its preprocessing differs from outputs.npz: mean 127.5,127.5,127.5 (reference: 0,0,0)";
    ensure(result.stderr.contains(expected), &result)?;
    // Without the settings, the hash alone tells.
    let hashes = all.directory.path().join("hashes-alone.npz");
    let mut command = compare(&["onnx"], &all.model, &hashes, &all.images);
    let result = run(command.args(["--mean", "127.5"]));
    expect_code(&result, 2)?;
    let expected = "the outputs in hashes-alone.npz are of another tensor of this image: SHA-256 ";
    ensure(result.stderr.matches(expected).count() == 2, &result)
}

fn reports() -> Result<(), Failed> {
    let all = Fixture::new()?;
    let at = |name: &str| all.directory.path().join(name);
    let mut command = compare(&["onnx"], &all.model, &all.outputs, &all.images);
    for name in ["report.json", "report.html", "report.md"] {
        command.arg("--report").arg(at(name));
    }
    expect_code(&run(&mut command), 0)?;
    let source = format!("{}, SHA-256 ", all.outputs.display());
    let json: Value = serde_json::from_slice(&fs::read(at("report.json"))?)?;
    schemas::check(&json)?;
    let reference = &json["runs"][0]["facts"];
    ensure(reference["name"] == "outputs.npz", reference)?;
    ensure(
        reference["source"]
            .as_str()
            .is_some_and(|found| found.starts_with(&source)),
        reference,
    )?;
    ensure(
        reference["engine"]
            .as_str()
            .is_some_and(|found| found.starts_with("ONNX Runtime 1.")),
        reference,
    )?;
    for name in ["report.html", "report.md"] {
        let text = fs::read_to_string(at(name))?;
        ensure(text.contains("logits computed elsewhere, f32: "), name)?;
        ensure(text.contains("outputs.npz, SHA-256 "), name)?;
    }
    Ok(())
}

fn forms() -> Result<(), Failed> {
    let all = Fixture::faulty()?;
    for name in [
        "arrays",
        "compressed.npz",
        "big-endian.npz",
        "doubles.npz",
        "halves.npz",
        "other-names.npz",
        "hashes-alone.npz",
        "no-hashes.npz",
    ] {
        let result = all.against(&all.directory.path().join(name));
        expect_code(&result, 0)?;
        let is_warned = result.stderr.contains("is not checked");
        ensure(is_warned == (name == "no-hashes.npz"), &result)?;
    }
    Ok(())
}

fn faults() -> Result<(), Failed> {
    let all = Fixture::faulty()?;
    for (name, expected) in [
        (
            "other-hash.npz",
            "b.ppm: the outputs in other-hash.npz are of another tensor of this image",
        ),
        (
            "no-hash.npz",
            "the array hashes holds \"abc\", which is no SHA-256",
        ),
        (
            "fewer-hashes.npz",
            "there are 1 digests of tensors, but 2 images are named",
        ),
        (
            "fewer-rows.npz",
            "the array logits has the shape [1, 12], but images has 2 names",
        ),
        (
            "one-dimension.npz",
            "the array logits has the shape [24], not [images, classes]",
        ),
        (
            "three-dimensions.npz",
            "the array logits has the shape [2, 12, 1], not [images, classes]",
        ),
        (
            "fewer-classes.npz",
            "it has 12 classes, but outputs.npz has 11",
        ),
        (
            "no-classes.npz",
            "the array logits has 0 classes, not 1 to 1000000",
        ),
        ("nan.npz", "b.ppm, which is not finite"),
        ("infinite.npz", "the array logits has inf for class 3 of "),
        (
            "integers.npz",
            "the array logits has the type <i8, but floating-point numbers are expected",
        ),
        ("text.npz", "not a classify recording"),
        (
            "objects.npz",
            "the array images holds Python objects, which are not loaded",
        ),
        ("bytes.npz", "but text is expected"),
        ("fortran.npz", "the array logits is in Fortran's order"),
        (
            "other-images.npz",
            "a.ppm: other-images.npz has neither this image nor its tensor",
        ),
        (
            "twice.npz",
            "is named twice, and nothing tells which outputs are its own",
        ),
        ("no-images.npz", "the array images is missing"),
        (
            "no-outputs.npz",
            "it has neither of the arrays logits and probabilities",
        ),
        (
            "both-outputs.npz",
            "it has both of the arrays logits and probabilities",
        ),
        ("not-probabilities.npz", "which is not a probability"),
        ("unknown.npz", "it has an unknown array softmax"),
        ("tensors.npz", "leave the tensors out"),
        ("unnamed.npz", "it has an unknown array arr_0"),
        (
            "more-images.npz",
            "the inputs lack 1 image of the recording",
        ),
        (
            "one-image.npz",
            "b.ppm: one-image.npz has neither this image nor its tensor",
        ),
        ("empty.npz", "it holds no image"),
        (
            "preprocessing.npz",
            "the array preprocessing is not that of tensors",
        ),
        (
            "other-mean.npz",
            "mean 0,0,0 (reference: 127.5,127.5,127.5)",
        ),
        (
            "single.npy",
            "it is a single array, but the images have to be named as well",
        ),
        ("huge-shape.npz", "the array logits is damaged"),
        ("too-large.npz", "is damaged"),
        ("bomb.npz", "has 12500000 classes, not 1 to 1000000"),
        (
            "bomb-of-classes.npz",
            "the array logits expands from 265.9 KiB to 267.0 MiB, more than 200 times",
        ),
        ("long-names.npz", "the array images is too large"),
        ("many-names.npz", "the array images is too large"),
        (
            "long-header.npz",
            "the array images has no valid npy header",
        ),
        (
            "deep-header.npz",
            "the array images has no valid npy header",
        ),
        ("structured.npz", "but floating-point numbers are expected"),
        ("surrogate.npz", "is not Unicode"),
        ("longer.npz", "it has more bytes than its shape states"),
        ("none.npz", "none.npz"),
    ] {
        let result = all.against(&all.directory.path().join(name));
        let found = expect_code(&result, 2);
        let expected = expected.replace("outputs.npz has 11", &format!("{name} has 11"));
        let is_named = result.stderr.contains(&expected) && result.stderr.contains("hint: ");
        if found.is_err() || !is_named {
            return Err(format!("{name}: expected {expected}\n{}", result.stderr).into());
        }
    }
    Ok(())
}

fn other_images() -> Result<(), Failed> {
    let all = Fixture::new()?;
    let [a, b] = &all.images;
    let with = |images: &[PathBuf]| run(&mut compare(&["onnx"], &all.model, &all.outputs, images));
    let result = with(std::slice::from_ref(a));
    expect_code(&result, 2)?;
    ensure(
        result
            .stderr
            .contains("the inputs lack 1 image of the recording"),
        &result,
    )?;
    let third = all.directory.path().join("c.ppm");
    fs::write(&third, [&b"P6 8 8 255\n"[..], &[77; 192]].concat())?;
    let result = with(&[a.clone(), b.clone(), third]);
    expect_code(&result, 2)?;
    ensure(
        result
            .stderr
            .contains("c.ppm: outputs.npz has neither this image nor its tensor"),
        &result,
    )?;
    // The same images under other names have the same tensors.
    let moved = ["d.ppm", "e.ppm"].map(|name| all.directory.path().join(name));
    fs::copy(a, &moved[0])?;
    fs::copy(b, &moved[1])?;
    expect_code(&with(&moved), 0)
}

fn damaged() -> Result<(), Failed> {
    let all = Fixture::faulty()?;
    let mut refused = 0;
    for entry in fs::read_dir(all.directory.path().join("damaged"))? {
        let result = all.against(&entry?.path());
        // Bytes of names and times that nobody reads may differ.
        ensure(matches!(result.code, Some(0 | 2)), &result)?;
        refused += usize::from(result.code == Some(2));
    }
    ensure(refused >= 60, refused)
}
