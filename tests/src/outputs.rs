//! A model with several outputs on every engine.

use backend_api::{
    BlockingInfer as _, DeclaredOutput, Error, ErrorKind, ExtraOutputs, InferBackend, InferOutput,
    OpenOptions, Tensor,
};
use libtest_mimic::{Failed, Trial};

use crate::models::error;
use crate::{Needs, ensure, small_model};

/// Opens a model on an engine with options.
pub type OpenWith = fn(OpenOptions) -> Result<Box<dyn InferBackend>, Error>;

const CLASSES: usize = 12;
const SIDE: usize = 8;

/// Tests of the outputs of `three-outputs`, as ONNX or as an IR.
pub fn trials(needs: &Needs, file: &'static str, open: OpenWith) -> Vec<Trial> {
    let tests: [(&str, fn(&'static str, OpenWith) -> Result<(), Failed>); 5] = [
        ("the_scores_are_found_among_features", scores),
        ("a_named_output_is_taken", named),
        ("extra_outputs_have_their_names_and_values", extra),
        ("extra_outputs_are_of_the_whole_batch", batch),
        ("a_wrong_name_lists_the_outputs", wrong_names),
    ];
    tests
        .map(|(name, test)| needs.test(format!("{file}::{name}"), move || test(file, open)))
        .into()
}

/// A test that an engine rejects a model none of whose outputs can hold scores.
pub fn without_scores(needs: &Needs, open: OpenWith) -> Trial {
    needs.test("a_model_without_scores_is_refused", move || {
        let options = || OpenOptions::new(small_model("two-outputs.onnx"));
        let refused = error(open(options()), ErrorKind::ModelUnsupported)?;
        let listed = "output f32[1, 3, 8, 8], other f32[1, 3, 8, 8]";
        ensure(refused.to_string().contains(listed), &refused)?;
        let mut given = options();
        given.output = Some("other".to_owned());
        let output = open(given)?.infer_blocking(image(1)?)?;
        ensure(output.tensor == image(1)?, output)
    })
}

fn options(file: &str, output: Option<&str>, extra: ExtraOutputs) -> OpenOptions {
    let mut options = OpenOptions::new(small_model(file));
    options.output = output.map(str::to_owned);
    options.extra_outputs = extra;
    options
}

/// Images whose values are whole numbers, so that every engine adds them up exactly.
fn image(count: usize) -> Result<Tensor, Error> {
    let values = (0..count * 3 * SIDE * SIDE).map(|n| (n * 7 % 256) as f32);
    Tensor::new([count, 3, SIDE, SIDE], values.collect::<Vec<_>>())
}

/// The weight of a class and a channel: see `make_models.py`.
fn weight(class: usize, channel: usize) -> f64 {
    (((7 * class + 3 * channel) % 11) as f64 - 5.0) / 256.0
}

/// The outputs of images, computed in `f64`: the mean of each channel, the scores, the map of each class.
fn expected(images: &Tensor) -> [Vec<f64>; 3] {
    let mut all = [const { Vec::new() }; 3];
    for image in images.to_f32().chunks_exact(3 * SIDE * SIDE) {
        let channels: Vec<&[f32]> = image.chunks_exact(SIDE * SIDE).collect();
        let mean = |channel: &&[f32]| {
            channel.iter().copied().map(f64::from).sum::<f64>() / (SIDE * SIDE) as f64
        };
        let means: Vec<f64> = channels.iter().map(mean).collect();
        for class in 0..CLASSES {
            let sum = |of: &dyn Fn(usize) -> f64| -> f64 {
                (0..3)
                    .map(|channel| weight(class, channel) * of(channel))
                    .sum()
            };
            all[1].push(sum(&|channel| means[channel]));
            let places = 0..SIDE * SIDE;
            all[2].extend(places.map(|place| sum(&|channel| channels[channel][place].into())));
        }
        all[0].extend(means);
    }
    all
}

fn close(tensor: &Tensor, expected: &[f64], shape: &[usize]) -> Result<(), Failed> {
    ensure(tensor.shape() == shape, (tensor, shape))?;
    let values = tensor.to_f32();
    let worst = values.iter().zip(expected);
    let worst = worst.map(|(value, expected)| (f64::from(*value) - expected).abs());
    let worst = worst.fold(0.0, f64::max);
    ensure(
        values.len() == expected.len() && worst < 1e-4,
        (tensor, worst),
    )
}

fn scores(file: &'static str, open: OpenWith) -> Result<(), Failed> {
    let by_default = options(file, None, ExtraOutputs::None);
    let backend = open(by_default)?;
    let info = backend.info();
    ensure(info.output.name == "logits", info)?;
    ensure(info.output.fixed_shape() == Some(vec![1, CLASSES]), info)?;
    ensure(info.extra_outputs.is_empty(), info)?;
    let mut names: Vec<&str> = info.outputs.iter().map(DeclaredOutput::name).collect();
    names.sort_unstable();
    ensure(names == ["feature_vector", "logits", "saliency_map"], info)?;
    let place = info.output_place().ok_or("the output has a place")?;
    ensure(info.outputs[place].name() == "logits", info)?;
    let note = info
        .notes
        .iter()
        .any(|note| note.contains("from \"logits\""));
    ensure(note, &info.notes)?;
    let output = backend.infer_blocking(image(1)?)?;
    ensure(output.extra.is_empty(), &output)?;
    close(&output.tensor, &expected(&image(1)?)[1], &[1, CLASSES])
}

fn named(file: &'static str, open: OpenWith) -> Result<(), Failed> {
    let backend = open(options(file, Some("feature_vector"), ExtraOutputs::None))?;
    ensure(
        backend.info().output.name == "feature_vector",
        backend.info(),
    )?;
    let notes = &backend.info().notes;
    ensure(!notes.iter().any(|note| note.contains("outputs")), notes)?;
    let output = backend.infer_blocking(image(1)?)?;
    close(&output.tensor, &expected(&image(1)?)[0], &[1, 3])
}

fn check(output: &InferOutput, names: &[&str], images: usize) -> Result<(), Failed> {
    let [features, scores, map] = expected(&image(images)?);
    close(&output.tensor, &scores, &[images, CLASSES])?;
    let found: Vec<&str> = output.extra.iter().map(|extra| &*extra.name).collect();
    ensure(found == names, &found)?;
    for extra in &output.extra {
        match &*extra.name {
            "feature_vector" => close(&extra.tensor, &features, &[images, 3])?,
            _ => close(&extra.tensor, &map, &[images, CLASSES, SIDE, SIDE])?,
        }
    }
    Ok(())
}

fn extra(file: &'static str, open: OpenWith) -> Result<(), Failed> {
    let names = ["saliency_map", "logits", "feature_vector"];
    let extra = ExtraOutputs::Named(names.map(str::to_owned).into());
    let backend = open(options(file, Some("logits"), extra))?;
    let info = backend.info();
    let types: Vec<String> = info.extra_outputs.iter().map(ToString::to_string).collect();
    ensure(types == ["f32[1, 12, 8, 8]", "f32[1, 3]"], &types)?;
    // A second inference must not see the first.
    for _ in 0..2 {
        let output = backend.infer_blocking(image(1)?)?;
        check(&output, &["saliency_map", "feature_vector"], 1)?;
    }
    let all = open(options(file, None, ExtraOutputs::All))?;
    let output = all.infer_blocking(image(1)?)?;
    let names = all.info().extra_outputs.iter().map(|spec| &*spec.name);
    let names: Vec<&str> = names.collect();
    ensure(names.len() == 2, &names)?;
    check(&output, &names, 1)
}

fn batch(file: &'static str, open: OpenWith) -> Result<(), Failed> {
    let mut options = options(
        file,
        None,
        ExtraOutputs::Named(vec!["feature_vector".into()]),
    );
    options.batch = Some(3);
    let backend = open(options)?;
    let types = &backend.info().extra_outputs[0];
    ensure(types.to_string() == "f32[3, 3]", types)?;
    check(&backend.infer_blocking(image(3)?)?, &["feature_vector"], 3)
}

fn wrong_names(file: &'static str, open: OpenWith) -> Result<(), Failed> {
    let extra = ExtraOutputs::Named(vec!["logit".into()]);
    for options in [
        options(file, Some("logit"), ExtraOutputs::None),
        options(file, None, extra),
    ] {
        let refused = error(open(options), ErrorKind::InvalidConfig)?;
        let text = refused.to_string();
        ensure(text.starts_with("the model has no output \"logit\""), &text)?;
        for name in ["feature_vector f32[", "logits f32[", "saliency_map f32["] {
            ensure(text.contains(name), &text)?;
        }
    }
    Ok(())
}
