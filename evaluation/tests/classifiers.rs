//! Comparisons and evaluations of classifiers, without an engine.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_api::{
    BackendInfo, Dim, ElementType, Error, ErrorKind, MockBackend, Tensor, TensorSpec,
};
use evaluation::accuracy::GroundTruth;
use evaluation::agreement::{Tolerance, Verdict};
use evaluation::{
    Comparison, ComparisonReport, Evaluation, EvaluationOptions, EvaluationReport, GateLimits,
    Recording, RecordingError,
};
use futures_executor::block_on;
use image_classification::{
    Classifier, ColorOrder, Image, Labels, PreprocessOverrides, ScoreKind, Scoring, WithOrigin,
};

const CLASSES: [&str; 3] = ["night", "dusk", "day"];

fn spec(dims: &[usize]) -> TensorSpec {
    let dims = dims.iter().copied().map(Dim::Fixed).collect();
    TensorSpec::new("x", ElementType::F32, dims)
}

/// The classifier of a model that returns `logits` for the brightness of an image, from 0 to 1.
fn classifier_of(
    logits: impl Fn(f32) -> Result<[f32; 3], Error> + Send + Sync + 'static,
    overrides: PreprocessOverrides,
) -> Classifier {
    let info = BackendInfo::new("mock", spec(&[1, 3, 4, 4]), spec(&[1, 3]));
    let backend = MockBackend::builder().info(info).respond(move |_, input| {
        let light = input.as_slice::<f32>().unwrap()[0] / 255.0;
        Tensor::new([1, 3], logits(light)?.to_vec())
    });
    let builder = Classifier::builder(backend.build().unwrap());
    builder.overrides(overrides).build().unwrap()
}

fn softmax() -> PreprocessOverrides {
    let labels = Labels::from_names(CLASSES.map(str::to_owned).to_vec());
    PreprocessOverrides {
        scores: ScoreKind::Softmax,
        labels: Some(WithOrigin::new(labels, "the test")),
        ..PreprocessOverrides::default()
    }
}

/// A classifier that distinguishes night, dusk and day; `error` is added to one of its logits.
fn classifier(error: f32) -> Classifier {
    let logits = move |light: f32| {
        let distance = |centre: f32| -20.0 * (light - centre).abs();
        Ok([distance(0.0) + error, distance(0.5), distance(1.0)])
    };
    classifier_of(logits, softmax())
}

fn image(grey: u8) -> Vec<u8> {
    [&b"P6 4 4 255\n"[..], &[grey; 48]].concat()
}

/// Images with their names.
fn images() -> [(&'static str, Vec<u8>); 3] {
    [
        ("night.ppm", image(10)),
        ("dusk.ppm", image(120)),
        ("day.ppm", image(250)),
    ]
}

fn compare(reference: Classifier, candidate: Classifier) -> ComparisonReport {
    let comparison = Comparison::new(reference, [candidate]);
    comparison.run_blocking(images()).unwrap()
}

fn evaluate(truth: &str, limits: GateLimits) -> EvaluationReport {
    let truth = GroundTruth::read(truth.as_bytes()).unwrap();
    let options = EvaluationOptions {
        limits,
        ..EvaluationOptions::default()
    };
    let evaluation = Evaluation::new([classifier(0.0)], truth).options(options);
    evaluation.run_blocking(images()).unwrap()
}

#[test]
fn equal_classifiers_agree_and_another_logit_does_not() {
    let same = compare(classifier(0.0), classifier(1e-6));
    assert!(same.agrees(), "{same}");
    assert_eq!(same.to_string(), "AGREE: mock (2) with mock on 3 images");
    let other = compare(classifier(0.0), classifier(0.1));
    assert_eq!(other.verdict(), Verdict::Disagree, "{other}");
    let gates = &other.pairs[0].gates;
    let failed: Vec<&str> = gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(|gate| gate.name)
        .collect();
    assert!(failed.contains(&"logits"), "{failed:?}");
    // Within a coarser tolerance it agrees.
    let coarse = Comparison::new(classifier(0.0), [classifier(0.01)]).tolerance(Tolerance::INT8);
    assert!(coarse.run_blocking(images()).unwrap().agrees());
}

#[test]
fn classifiers_with_other_preprocessing_cannot_be_compared() {
    let rgb = PreprocessOverrides {
        color: Some(ColorOrder::Rgb),
        ..softmax()
    };
    let report = compare(classifier(0.0), classifier_of(|light| Ok([light; 3]), rgb));
    assert_eq!(report.verdict(), Verdict::CouldNotCompare);
    let error = report.runs[1].info.as_ref().unwrap_err();
    assert!(error.contains("color rgb (reference: bgr)"), "{error}");
}

#[test]
fn images_and_runs_that_fail_are_failures_of_the_result() {
    let failing = classifier_of(
        |light| {
            if light > 0.9 {
                return Err(Error::new(ErrorKind::InferenceFailed, "too light"));
            }
            Ok([light, 0.0, 0.0])
        },
        softmax(),
    );
    let reference = classifier_of(|light| Ok([light, 0.0, 0.0]), softmax());
    let mut images = images().to_vec();
    images.push(("bad.ppm", b"no image".to_vec()));
    let comparison = Comparison::new(reference, [failing]);
    let report = comparison.run_blocking(images).unwrap();
    assert_eq!(report.verdict(), Verdict::CouldNotCompare);
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failure| (failure.image, failure.run, failure.problem.code))
        .collect();
    assert_eq!(
        failures,
        [
            (Some(2), Some(1), "inference-failed"),
            (Some(3), None, "unknown-format")
        ]
    );
    assert_eq!(report.compared, 2);
}

#[test]
fn a_single_image_is_judged_with_an_artificial_one() {
    let single = || [("day.ppm", image(250))];
    let comparison = Comparison::new(classifier(0.0), [classifier(0.0)]);
    let report = comparison.run_blocking(single()).unwrap();
    assert!(report.agrees(), "{report}");
    let constant = || classifier_of(|_| Ok([0.0, 5.0, 1.0]), softmax());
    let report = Comparison::new(constant(), [constant()])
        .run_blocking(single())
        .unwrap();
    assert_eq!(report.verdict(), Verdict::CouldNotCompare, "{report}");
}

#[test]
fn the_first_outputs_decide_scores_that_nothing_states() {
    let undecided = || {
        let overrides = PreprocessOverrides::default();
        classifier_of(|light| Ok([light, 1.0 - light, 0.0]), overrides)
    };
    let report = compare(undecided(), undecided());
    assert!(report.agrees(), "{report}");
    let info = report.runs[0].info.as_ref().unwrap();
    assert!(info.interpretation.unwrap().inferred, "{info:?}");
    assert_eq!(report.images.len(), 3);
}

#[test]
fn images_that_cannot_be_read_do_not_decide_scores() {
    // One output alone is a distribution; together they are logits.
    let undecided = || {
        let overrides = PreprocessOverrides::default();
        classifier_of(
            |light| Ok([light, 1.0 - light, 2.0 * light.round()]),
            overrides,
        )
    };
    for broken in [7, 8, 20] {
        let bad = std::iter::repeat_n(("bad.ppm", b"no image".to_vec()), broken);
        let good = [("night.ppm", image(10)), ("day.ppm", image(250))];
        let comparison = Comparison::new(undecided(), [undecided()]);
        let report = comparison.run_blocking(bad.chain(good)).unwrap();
        for run in &report.runs {
            let interpretation = run.info.as_ref().unwrap().interpretation;
            let scoring = interpretation.map(|interpretation| interpretation.scoring);
            assert_eq!(scoring, Some(Scoring::Softmax), "{broken}");
        }
        assert_eq!((report.compared, report.images.len()), (2, broken + 2));
        let failures = report.failures.iter();
        let failed: Vec<_> = failures
            .map(|failure| (failure.image, failure.problem.code))
            .collect();
        let each: Vec<_> = (0..broken)
            .map(|place| (Some(place), "unknown-format"))
            .collect();
        assert_eq!(failed, each);
    }
}

#[test]
fn a_run_that_fails_first_is_read_by_its_later_outputs() {
    let failing = |failures: f32| {
        let logits = move |light: f32| {
            if light < failures / 255.0 {
                return Err(Error::new(ErrorKind::InferenceFailed, "too dark"));
            }
            Ok([-light, light, 3.0])
        };
        classifier_of(logits, PreprocessOverrides::default())
    };
    let images = (0..12).map(|grey| (grey.to_string(), image(grey)));
    let comparison = Comparison::new(failing(0.0), [failing(8.0)]);
    let report = comparison.run_blocking(images).unwrap();
    let info = report.runs[1].info.as_ref().unwrap();
    let scoring = info
        .interpretation
        .map(|interpretation| interpretation.scoring);
    assert_eq!(scoring, Some(Scoring::Softmax));
    assert_eq!((report.failures.len(), report.compared), (8, 4));
}

/// A classifier whose model does not tell what its outputs are, and the number of its requests.
fn counted(
    logits: impl Fn(f32) -> Result<[f32; 3], Error> + Send + Sync + 'static,
    overrides: PreprocessOverrides,
) -> (Classifier, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let counting = move |light| {
        count.fetch_add(1, Ordering::SeqCst);
        logits(light)
    };
    (classifier_of(counting, overrides), requests)
}

/// So many images, each of another grey.
fn greys(count: u8) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..count).map(|grey| (grey.to_string(), image(grey)))
}

#[test]
fn images_that_decide_scores_are_inferred_once() {
    let undecided = || {
        let logits = |light: f32| Ok([light, 1.0 - light, light * 7.0]);
        counted(logits, PreprocessOverrides::default())
    };
    let ((reference, one), (candidate, other)) = (undecided(), undecided());
    let report = Comparison::new(reference, [candidate]);
    let report = report.run_blocking(greys(20)).unwrap();
    assert_eq!(report.compared, 20);
    for requests in [one, other] {
        assert_eq!(requests.load(Ordering::SeqCst), 20);
    }
    let (classifier, requests) = undecided();
    let truth = GroundTruth::read("0 0\n1 1\n".as_bytes()).unwrap();
    let evaluation = Evaluation::new([classifier], truth);
    let report = evaluation.run_blocking(greys(20)).unwrap();
    assert_eq!((report.images.len(), report.counted), (20, 2));
    assert_eq!(requests.load(Ordering::SeqCst), 20);
}

#[test]
fn runs_that_are_rejected_infer_nothing() {
    let rgb = PreprocessOverrides {
        color: Some(ColorOrder::Rgb),
        ..softmax()
    };
    let of = |overrides| counted(|light| Ok([light, 0.5, 0.0]), overrides);
    let ((reference, used), (rejected, unused)) = (of(softmax()), of(rgb.clone()));
    let comparison = Comparison::new(reference, [rejected, of(softmax()).0]);
    let report = comparison.run_blocking(greys(9)).unwrap();
    assert_eq!(report.compared, 9);
    assert_eq!(used.load(Ordering::SeqCst), 9);
    assert_eq!(unused.load(Ordering::SeqCst), 0);
    // Nothing is left to compare with.
    let ((reference, used), (rejected, unused)) = (of(softmax()), of(rgb));
    let report = Comparison::new(reference, [rejected]);
    let report = report.run_blocking(greys(9)).unwrap();
    assert_eq!(report.verdict(), Verdict::CouldNotCompare);
    assert_eq!(report.images, Vec::<std::path::PathBuf>::new());
    for requests in [used, unused] {
        assert_eq!(requests.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn an_engine_that_always_fails_holds_back_a_bounded_number_of_answers() {
    let count = 5000;
    let failing = classifier_of(
        |_| Err(Error::new(ErrorKind::InferenceFailed, "planned")),
        PreprocessOverrides::default(),
    );
    let comparison = Comparison::new(classifier(0.0), [failing]);
    let taken = AtomicUsize::new(0);
    let images = (0..count).map(|place: usize| {
        taken.fetch_add(1, Ordering::SeqCst);
        (place.to_string(), image(place as u8))
    });
    block_on(async {
        let running = comparison.of(images).start();
        let mut running = running.await.unwrap();
        assert!(taken.load(Ordering::SeqCst) < 200, "{taken:?}");
        let first = running.next().await.unwrap().unwrap();
        assert_eq!(first.path, Path::new("0"));
        assert_eq!(first.failures[0].run, Some(1));
        while running.next().await.unwrap().is_some() {}
        let (report, recorded) = running.finish().await.unwrap();
        assert!(recorded.is_none());
        assert_eq!((report.images.len(), report.failures.len()), (count, count));
        assert_eq!(report.verdict(), Verdict::CouldNotCompare);
        let info = report.runs[1].info.as_ref().unwrap();
        assert_eq!((info.interpretation, &*info.scores_by), (None, "nothing"));
    });
}

#[test]
fn recorded_answers_are_compared_with_later_ones() {
    block_on(async {
        let comparison = Comparison::new(classifier(0.0), []);
        let (report, recorded) = comparison
            .of(images())
            .record(Vec::new())
            .run()
            .await
            .unwrap();
        assert_eq!(report.verdict(), Verdict::Recorded);
        let recorded = recorded.unwrap().unwrap();
        let mut recording = Recording::read(Cursor::new(&recorded)).unwrap();
        let (report, _) = comparison
            .of(images())
            .against(&mut recording)
            .run()
            .await
            .unwrap();
        // The model has no files, so it cannot be identified as the recorded one.
        assert_eq!(report.verdict(), Verdict::CouldNotCompare, "{report}");
        let error = report.runs[1].info.as_ref().unwrap_err();
        assert!(error.contains("was not recorded"), "{error}");
    });
}

#[test]
fn only_compared_runs_are_recorded() {
    let rgb = PreprocessOverrides {
        color: Some(ColorOrder::Rgb),
        ..softmax()
    };
    let rejected = classifier_of(|light| Ok([light; 3]), rgb);
    let comparison = Comparison::new(classifier(0.0), [rejected, classifier(1e-6)]);
    let (report, recorded) = block_on(comparison.of(images()).record(Vec::new()).run()).unwrap();
    assert!(report.runs[1].info.is_err());
    let recorded = recorded.unwrap().unwrap();
    let recording = Recording::read(Cursor::new(&recorded)).unwrap();
    let names: Vec<&str> = recording.runs().iter().map(|run| &*run.name).collect();
    assert_eq!(names, ["mock", "mock (3)"]);
    let text = String::from_utf8(recorded).unwrap();
    let image: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let second_logits = |run: usize| image["outputs"][run][1].as_f64().unwrap();
    assert_eq!(image["outputs"].as_array().unwrap().len(), 2);
    // The rejected run would have a positive one.
    assert!(second_logits(0) < 0.0 && second_logits(1) < 0.0);
}

#[test]
fn a_recording_that_cannot_be_written_leaves_the_report_complete() {
    let comparison = Comparison::new(classifier(0.0), [classifier(1e-6)]);
    let (_, whole) = block_on(comparison.of(images()).record(Vec::new()).run()).unwrap();
    let whole = whole.unwrap().unwrap();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for room in [0, header, whole.len() - 1] {
        let mut buffer = vec![0; room];
        let recorded = comparison.of(images()).record(&mut buffer[..]).run();
        let (report, recorded) = block_on(recorded).unwrap();
        let error = recorded.unwrap().unwrap_err();
        assert!(matches!(error, RecordingError::Write(_)), "{error}");
        assert!(report.agrees() && report.compared == 3, "{report}");
    }
}

#[test]
fn a_recording_is_compared_with_a_model_of_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.onnx");
    // The smallest file that counts as an ONNX model: a graph with a name.
    std::fs::write(&model, [0x08, 0x08, 0x3a, 0x03, 0x12, 0x01, b'g']).unwrap();
    let of_file = |error: f32| {
        let mut info = BackendInfo::new("mock", spec(&[1, 3, 4, 4]), spec(&[1, 3]));
        info.model = Some(model.clone());
        let backend = MockBackend::builder().info(info).respond(move |_, input| {
            let light = input.as_slice::<f32>().unwrap()[0] / 255.0;
            Tensor::new([1, 3], vec![light + error, 0.5, 0.0])
        });
        let builder = Classifier::builder(backend.build().unwrap());
        builder.overrides(softmax()).build().unwrap()
    };
    block_on(async {
        let comparison = Comparison::new(of_file(0.0), []);
        let (_, recorded) = comparison
            .of(images())
            .record(Vec::new())
            .run()
            .await
            .unwrap();
        let recorded = recorded.unwrap().unwrap();
        let against = async |error: f32, count: usize| {
            let mut recording = Recording::read(Cursor::new(&recorded)).unwrap();
            let comparison = Comparison::new(of_file(error), []);
            let images = images().into_iter().take(count);
            let report = comparison.of(images).against(&mut recording).run();
            report.await.unwrap().0
        };
        let same = against(0.0, 3).await;
        assert!(same.agrees(), "{same}");
        assert_eq!(against(0.5, 3).await.verdict(), Verdict::Disagree);
        let few = against(0.0, 2).await;
        assert_eq!(few.verdict(), Verdict::CouldNotCompare);
        let message = &few.failures[0].problem.message;
        assert_eq!(message, "the inputs lack 1 image of the recording");
    });
}

#[test]
fn the_digest_of_the_tensor_is_that_of_a_compared_run() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.onnx");
    std::fs::write(&model, [0x08, 0x08, 0x3a, 0x03, 0x12, 0x01, b'g']).unwrap();
    let of_file = |shape: &[usize], classes: usize, overrides| {
        let mut info = BackendInfo::new("mock", spec(shape), spec(&[1, classes]));
        info.model = Some(model.clone());
        let backend = MockBackend::builder().info(info).respond(move |_, input| {
            let light = input.as_slice::<f32>().unwrap()[0] / 255.0;
            Tensor::new([1, classes], vec![light; classes])
        });
        let builder = Classifier::builder(backend.build().unwrap());
        builder.overrides(overrides).build().unwrap()
    };
    let compared = || of_file(&[1, 3, 4, 4], 3, softmax());
    // Only its outputs tell that it has other classes, and its tensor has another layout.
    let rejected = || of_file(&[1, 4, 4, 3], 1, PreprocessOverrides::default());
    let images = || {
        let colour = |grey: u8| [grey, grey / 2, 3].repeat(16);
        [20, 150, 250].map(|grey| {
            let image = [&b"P6 4 4 255\n"[..], &colour(grey)].concat();
            (grey.to_string(), image)
        })
    };
    block_on(async {
        let comparison = Comparison::new(compared(), []);
        let (_, recorded) = comparison
            .of(images())
            .record(Vec::new())
            .run()
            .await
            .unwrap();
        let mut recording = Recording::read(Cursor::new(recorded.unwrap().unwrap())).unwrap();
        let comparison = Comparison::new(rejected(), [compared()]);
        let report = comparison.of(images()).against(&mut recording).run();
        let (report, _) = report.await.unwrap();
        let error = report.runs[1].info.as_ref().unwrap_err();
        assert!(error.contains("may not be probabilities"), "{error}");
        assert_eq!((report.failures.len(), report.compared), (0, 3), "{report}");
    });
}

#[test]
fn results_are_serialized_as_the_report() {
    let report = compare(classifier(0.0), classifier(0.0));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["verdict"], "agree");
    assert_eq!(json["runs"][0]["facts"]["input"][0][0], "color");
    assert_eq!(json["pairs"][0]["pictures"][2]["path"], "day.ppm");
    let report = evaluate("night.ppm night\ndusk.ppm dusk\n", GateLimits::default());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["kind"], "evaluate");
    assert_eq!(json["without_truth"][0], "day.ppm");
    assert_eq!(json["runs"][0]["top"]["1"]["count"], 2);
}

#[test]
fn accuracy_is_counted_and_its_limit_decides() {
    let limits = GateLimits {
        min_top1: Some("60%".parse().unwrap()),
        ..GateLimits::default()
    };
    let report = evaluate("night.ppm night\ndusk.ppm day\nday.ppm 2\n", limits.clone());
    assert!(report.passed(), "{report}");
    let results = report.runs[0].results.as_ref().unwrap();
    assert_eq!(results.accuracy.top(1).count, 2);
    let wrong = &results.wrong[0];
    assert_eq!(
        (wrong.image, &*wrong.truth, &*wrong.answer),
        (1, &[2][..], &[1][..])
    );
    let surest = &results.surest_wrong[0];
    assert_eq!((surest.image, &*surest.truth), (1, &[2][..]));
    assert_eq!((surest.top[0].class_id, surest.top.len()), (1, 3));
    let limits = GateLimits {
        min_top1: Some("70%".parse().unwrap()),
        ..limits
    };
    let report = evaluate("night.ppm night\ndusk.ppm day\nday.ppm 2\n", limits);
    assert_eq!(report.verdict(), Verdict::Disagree, "{report}");
}

#[test]
fn classes_that_the_model_lacks_are_failures() {
    let report = evaluate("night.ppm night\ndusk.ppm noon\n", GateLimits::default());
    assert_eq!(report.verdict(), Verdict::CouldNotCompare);
    let [failure] = &report.failures[..] else {
        panic!("{:?}", report.failures)
    };
    assert!(failure.problem.message.contains("\"noon\""), "{failure:?}");
    assert_eq!((failure.image, failure.run), (Some(1), Some(0)));
}

#[test]
fn copies_of_an_image_with_other_classes_are_a_failure() {
    let truth = GroundTruth::read("a.ppm night\nb.ppm day\n".as_bytes()).unwrap();
    let copies = [("a.ppm", image(10)), ("b.ppm", image(10))];
    let report = Evaluation::new([classifier(0.0)], truth)
        .run_blocking(copies)
        .unwrap();
    let [failure] = &report.failures[..] else {
        panic!("{:?}", report.failures)
    };
    let message = &failure.problem.message;
    assert!(message.contains("has the content of a.ppm"), "{message}");
}

#[test]
fn decoded_images_have_no_file_but_are_compared() {
    let pixels = |grey: u8| Image::from_rgb(4, 4, vec![grey; 48]).unwrap();
    let images = [("a", pixels(10)), ("b", pixels(200)), ("c", pixels(10))];
    let comparison = Comparison::new(classifier(0.0), [classifier(0.0)]);
    let report = comparison.run_blocking(images).unwrap();
    assert!(report.agrees(), "{report}");
    let duplicates = serde_json::to_value(&report).unwrap()["duplicates"].clone();
    assert_eq!(
        duplicates,
        serde_json::json!([{ "path": "c", "same_as": "a" }])
    );
}

#[test]
fn executors_may_move_a_comparison_to_another_thread() {
    let comparison = Comparison::new(classifier(0.0), [classifier(0.0)]);
    let truth = GroundTruth::read("night.ppm night\n".as_bytes()).unwrap();
    let evaluation = Evaluation::new([classifier(0.0)], truth);
    std::thread::scope(|scope| {
        let future = comparison.run(images());
        let agrees = scope.spawn(|| block_on(future).unwrap().agrees());
        let future = evaluation.run(images());
        let passed = scope.spawn(|| block_on(future).unwrap().passed());
        assert!(agrees.join().unwrap() && passed.join().unwrap());
    });
}

/// Makes a module of the code of an example of the README, and a function that calls it.
macro_rules! example {
    ($name:ident, |$($argument:ident: $type:ty),*| -> $output:ty $run:block) => {
        #[allow(clippy::print_stdout, reason = "a program prints")]
        mod $name {
            include!(concat!("readme/", stringify!($name), ".rs"));

            pub fn run($($argument: $type),*) -> Result<$output, Box<dyn std::error::Error>> $run
        }
    };
}

example!(agree, |runs: [Classifier; 2],
                 images: Vec<(&str, Vec<u8>)>|
 -> bool {
    let [reference, candidate] = runs;
    super::block_on(agree(reference, candidate, images))
});
example!(evaluate, |classifier: Classifier,
                    truth: &str,
                    images: Vec<(&str, Vec<u8>)>|
 -> () { evaluate(classifier, truth, images) });
example!(max_delta, |reference: &Tensor,
                     run: &Tensor|
 -> Option<f64> { max_delta(reference, run) });

#[test]
fn the_examples_of_the_readme_run() {
    let codes = [
        include_str!("readme/agree.rs"),
        include_str!("readme/evaluate.rs"),
        include_str!("readme/max_delta.rs"),
    ];
    classify_tests::examples_of_readme_are("evaluation", &codes).unwrap();
    let runs = |error| [classifier(0.0), classifier(error)];
    assert!(agree::run(runs(0.0), images().into()).unwrap());
    assert!(!agree::run(runs(0.1), images().into()).unwrap());
    evaluate::run(
        classifier(0.0),
        "path,class_id\nnight.ppm,0\n",
        images().into(),
    )
    .unwrap();
    let tensor = |value: f32| Tensor::new([1, 2], vec![0.0, value]).unwrap();
    let delta = max_delta::run(&tensor(0.0), &tensor(0.1)).unwrap();
    assert!((delta.unwrap() - 0.024_98).abs() < 1e-5, "{delta:?}");
    assert_eq!(
        max_delta::run(&tensor(0.0), &tensor(f32::NAN)).unwrap(),
        None
    );
}
