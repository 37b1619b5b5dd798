use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_api::{
    BackendInfo, Dim, ElementType, InferOutput, MockBackend, MockBuilder, Tensor, TensorSpec,
};
use futures_executor::block_on;
use futures_util::FutureExt as _;
use model_file::onnx::{Model, StringStringEntry};
use prost::Message as _;

use super::*;
use crate::{ColorOrder, Image, ScoreKind, Scoring, SettingOrigin, WithOrigin};

/// Returns a model whose outputs for an image are the first element of each channel.
fn channels(batch: usize) -> MockBuilder {
    let spec = |dims: &[usize]| {
        let dims = dims.iter().copied().map(Dim::Fixed).collect();
        TensorSpec::new("x", ElementType::F32, dims)
    };
    MockBackend::builder()
        .info(BackendInfo::new(
            "mock",
            spec(&[batch, 3, 2, 2]),
            spec(&[batch, 3]),
        ))
        .respond(move |_, input| {
            let elements = input.as_slice::<f32>().expect("f32").iter();
            Tensor::new([batch, 3], elements.step_by(4).copied().collect())
        })
}

fn colour(rgb: [u8; 3]) -> Image {
    Image::from_rgb(2, 2, rgb.repeat(4)).expect("four pixels")
}

fn rgb(scores: ScoreKind) -> PreprocessOverrides {
    PreprocessOverrides {
        color: Some(ColorOrder::Rgb),
        scores,
        ..PreprocessOverrides::default()
    }
}

fn classifier(scores: ScoreKind) -> Classifier {
    let backend = channels(1).build().unwrap();
    let builder = Classifier::builder(backend).overrides(rgb(scores));
    builder.build().unwrap()
}

#[test]
fn the_best_class_comes_first_with_its_label() {
    let overrides = PreprocessOverrides {
        labels: Some(WithOrigin::new(
            Labels::parse(b"red\ngreen\nblue\n").unwrap(),
            "the test",
        )),
        ..rgb(ScoreKind::Raw)
    };
    let backend = channels(1).build().unwrap();
    let builder = Classifier::builder(backend).overrides(overrides);
    let classifier = builder.build().unwrap();
    let found = classifier.classify_blocking(colour([10, 30, 20])).unwrap();
    let top: Vec<_> = found
        .top(2)
        .into_iter()
        .map(|class| (class.id, class.label, class.score))
        .collect();
    assert_eq!(top, [(1, "green".into(), 30.0), (2, "blue".into(), 20.0)]);
    assert_eq!(found.best().unwrap().label, "green");
    assert_eq!(found.top(9).len(), 3);
    assert_eq!(found.scores().values(), [10.0, 30.0, 20.0]);
    assert_eq!((found.label(0), found.label(3)), (Some("red"), None));
}

#[test]
fn a_class_without_a_name_has_its_id() {
    let found = classifier(ScoreKind::Raw);
    let found = found.classify_blocking(colour([0, 0, 9])).unwrap();
    assert_eq!(found.best().unwrap().label, "2");
    assert_eq!(found.label(2), None);
}

#[test]
fn files_bytes_and_pixels_have_the_same_classes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.ppm");
    let bytes = [&b"P6 2 2 255\n"[..], &[40, 50, 60].repeat(4)].concat();
    fs::write(&path, &bytes).unwrap();
    let classifier = classifier(ScoreKind::Softmax);
    let of_pixels = classifier.classify_blocking(colour([40, 50, 60])).unwrap();
    let of_bytes = classifier.classify_blocking(&bytes[..]).unwrap();
    let of_file = block_on(classifier.classify(path.as_path())).unwrap();
    assert_eq!(of_bytes, of_pixels);
    assert_eq!(of_file, of_pixels);
    assert_eq!(of_pixels.best().unwrap().id, 2);
}

#[test]
fn results_have_the_order_of_the_images_and_errors_their_place() {
    for batch in [1, 3] {
        let backend = channels(batch).slots(2).build().unwrap();
        let builder = Classifier::builder(backend).overrides(rgb(ScoreKind::Raw));
        let classifier = builder.build().unwrap();
        let source = |place: u8| match place {
            5 => ImageSource::Bytes(b"no image".to_vec()),
            place => colour([place, 0, 0]).into(),
        };
        let results: Vec<_> = classifier
            .classify_all_blocking((0..20).map(source))
            .collect();
        assert_eq!(results.len(), 20);
        for (place, result) in results.into_iter().enumerate() {
            match result {
                Ok(found) => assert_eq!(found.scores().values()[0], place as f64),
                Err(error) => {
                    assert_eq!((place, error.code()), (5, "unknown-format"));
                    assert!(error.hint().is_some());
                }
            }
        }
    }
}

#[test]
fn a_classification_has_the_extra_outputs() {
    let spec = |dims: &[usize]| {
        let dims = dims.iter().copied().map(Dim::Fixed).collect();
        TensorSpec::new("x", ElementType::F32, dims)
    };
    let mut info = BackendInfo::new("mock", spec(&[1, 3, 2, 2]), spec(&[1, 3]));
    info.extra_outputs = vec![TensorSpec {
        name: "pixels".to_owned(),
        ..spec(&[1, 3, 2, 2])
    }];
    let backend = MockBackend::builder()
        .info(info)
        .respond_with(|_, input| {
            let scores = Tensor::new([1, 3], vec![0.25_f32, 0.25, 0.5])?;
            InferOutput::with_extra(&["pixels".to_owned()], vec![scores, input.clone()])
        })
        .build()
        .unwrap();
    let classifier = Classifier::builder(backend).build().unwrap();
    let found = classifier.classify_blocking(colour([7, 7, 7])).unwrap();
    assert_eq!(found.best().unwrap().id, 2);
    let [pixels] = found.extra_outputs() else {
        panic!("one extra output")
    };
    assert_eq!(pixels.name, "pixels");
    assert_eq!(
        pixels.tensor,
        Tensor::new([1, 3, 2, 2], vec![7.0_f32; 12]).unwrap()
    );
}

#[test]
fn images_of_a_stream_are_classified_as_they_come() {
    // Even where the first one has to decide the scores.
    let classifier = classifier(ScoreKind::Auto);
    let (sender, images) = tokio::sync::mpsc::unbounded_channel();
    let images = stream::unfold(images, |mut images| async move {
        Some((images.recv().await?, images))
    });
    let mut results = Box::pin(classifier.classify_stream(images));
    assert!(results.next().now_or_never().is_none());
    for place in 0..3 {
        sender.send(colour([place, 0, 0])).unwrap();
        // The next image is not needed for this result.
        let found = block_on(results.next()).unwrap().unwrap();
        assert_eq!(found.scores().output()[0], f32::from(place));
    }
    drop(sender);
    assert!(block_on(results.next()).is_none());
}

#[test]
fn the_first_outputs_decide_the_scores_once() {
    let classifier = classifier(ScoreKind::Auto);
    assert_eq!(classifier.preprocessing().reading, None);
    // The second output alone is a distribution; together they are not.
    let images = [[200, 10, 10], [1, 0, 0]];
    let results: Vec<_> = classifier
        .classify_all_blocking(images.map(colour))
        .collect();
    for result in results {
        assert_eq!(result.unwrap().scores().scoring(), Scoring::Softmax);
    }
    let reading = classifier.preprocessing().reading.clone().unwrap();
    assert_eq!(reading.interpretation.scoring, Scoring::Softmax);
    let found = classifier.classify_blocking(colour([1, 0, 0])).unwrap();
    assert_eq!(found.scores().scoring(), Scoring::Softmax);
}

#[test]
fn images_that_cannot_be_read_do_not_decide_the_scores() {
    for broken in [7, 8, 20] {
        let classifier = classifier(ScoreKind::Auto);
        let bad = (0..broken).map(|_| ImageSource::Bytes(b"no image".to_vec()));
        // The first output alone is a distribution; together they are not.
        let good = [[1, 0, 0], [200, 10, 10]].map(|rgb| colour(rgb).into());
        let results: Vec<_> = classifier
            .classify_all_blocking(Iterator::chain(bad, good))
            .map(|result| match result {
                Ok(found) => Ok(found.scores().scoring()),
                Err(error) => Err(error.code()),
            })
            .collect();
        let mut expected = vec![Err("unknown-format"); broken];
        expected.extend([Ok(Scoring::Softmax); 2]);
        assert_eq!(results, expected);
    }
}

#[test]
fn errors_hold_back_a_bounded_number_of_results() {
    let images = 10_000;
    for first_is_readable in [false, true] {
        let taken = AtomicUsize::new(0);
        let images_with_errors = (0..images).map(|place| {
            taken.fetch_add(1, Ordering::SeqCst);
            match place {
                0 if first_is_readable => colour([1, 2, 3]).into(),
                _ => ImageSource::Bytes(b"no image".to_vec()),
            }
        });
        let classifier = classifier(ScoreKind::Auto);
        let mut results = classifier.classify_all_blocking(images_with_errors);
        let first = results.next().unwrap();
        assert_eq!(first.is_ok(), first_is_readable);
        assert!(taken.load(Ordering::SeqCst) < images / 2);
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(error.code(), "unknown-format");
    }
}

#[test]
fn outputs_that_are_not_finite_decide_nothing() {
    let calls = AtomicUsize::new(0);
    let backend = channels(1).respond(move |_, _| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let first = if call == 0 { f32::NAN } else { 7.0 };
        Tensor::new([1, 3], vec![first, 0.0, 0.0])
    });
    let builder = Classifier::builder(backend.build().unwrap());
    let classifier = builder.build().unwrap();
    let error = classifier.classify_blocking(colour([0; 3])).unwrap_err();
    assert_eq!(error.code(), "not-finite");
    assert_eq!(classifier.preprocessing().reading, None);
    let found = classifier.classify_blocking(colour([0; 3])).unwrap();
    assert_eq!(found.scores().scoring(), Scoring::Softmax);
}

#[test]
fn an_engine_that_fails_is_the_error_of_the_image() {
    let backend = channels(1).respond(|_, _| panic!("planned"));
    let builder = Classifier::builder(backend.build().unwrap());
    let classifier = builder.build().unwrap();
    let error = classifier.classify_blocking(colour([0; 3])).unwrap_err();
    assert_eq!(error.code(), "panicked");
    assert!(error.to_string().contains("planned"), "{error}");
}

#[test]
fn labels_are_discovered_next_to_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.onnx");
    fs::write(&model, b"\x08\x08").unwrap();
    fs::write(directory.path().join("model.labels"), "a\nb\nc\n").unwrap();
    let backend = || channels(1).build().unwrap();
    let discovered = Classifier::discover(backend(), &model).unwrap();
    let found = discovered.classify_blocking(colour([0, 0, 9])).unwrap();
    // No source states the channels, so OpenVINO's convention holds: blue first.
    assert_eq!(found.best().unwrap().label, "a");
    let assumed = &discovered.preprocessing().resolved.settings[0];
    assert_eq!(assumed.origin, SettingOrigin::Convention);
    // The file that the backend has opened is the default.
    let mut info = backend().info().clone();
    info.model = Some(model);
    let backend = channels(1).info(info).build().unwrap();
    let labels = Classifier::builder(backend).build().unwrap();
    assert_eq!(
        labels.preprocessing().labels,
        discovered.preprocessing().labels
    );
    let other = fs::write(directory.path().join("model.labels"), "one\n");
    other.unwrap();
    let overrides = PreprocessOverrides {
        labels: Some(WithOrigin::new(Labels::parse(b"one\n").unwrap(), "test")),
        ..PreprocessOverrides::default()
    };
    let builder = Classifier::builder(channels(1).build().unwrap());
    let error = builder.overrides(overrides).build().unwrap_err();
    assert!(matches!(error, ResolveError::LabelCount { .. }), "{error}");
}

#[test]
fn a_model_in_memory_is_discovered_too() {
    let entry = StringStringEntry {
        key: Some("model_info mean_values".into()),
        value: Some("1 2 3".into()),
    };
    let proto = Model {
        metadata_props: vec![entry],
        ..Model::default()
    };
    let model = ModelSource::from_bytes(proto.encode_to_vec());
    let backend = channels(1).build().unwrap();
    let classifier = Classifier::discover(backend, model).unwrap();
    let preprocess = classifier.preprocessing().resolved.preprocess;
    assert_eq!(preprocess.mean, [1.0, 2.0, 3.0]);
}

#[test]
fn a_classifier_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn is_sent<T: Send>(value: T) -> T {
        value
    }
    let classifier = classifier(ScoreKind::Raw);
    is_shared(&classifier);
    let one = is_sent(classifier.classify(colour([1, 2, 3])));
    let mut all = Box::pin(is_sent(classifier.classify_all([colour([3, 2, 1])])));
    drop(classifier);
    // They outlive it.
    assert_eq!(block_on(one).unwrap().best().unwrap().id, 2);
    assert_eq!(block_on(all.next()).unwrap().unwrap().best().unwrap().id, 0);
}

#[test]
fn builder_timeout_applies_whichever_option_is_set_first() {
    for timeout_first in [true, false] {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let info = channels(1).build().unwrap().info().clone();
        let backend = MockBackend::builder().info(info).respond(move |_, _| {
            let _ = wait.lock().unwrap().recv();
            Tensor::new([1, 3], vec![0.0_f32; 3])
        });
        let builder = Classifier::builder(backend.build().unwrap()).overrides(rgb(ScoreKind::Raw));
        let timeout = Duration::from_millis(50);
        let builder = if timeout_first {
            builder.timeout(timeout).feed(FeedOptions::default())
        } else {
            builder.feed(FeedOptions::default()).timeout(timeout)
        };
        let classifier = builder.build().unwrap();
        let error = classifier.classify_blocking(colour([1, 2, 3])).unwrap_err();
        assert_eq!(error.code(), "deadline-exceeded");
        // The backend waits for the request that runs.
        drop(go);
    }
}
