use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use backend_api::{BackendInfo, Dim, ElementType, MockBackend, MockBuilder, TensorSpec};
use futures_executor::block_on;
use futures_util::FutureExt as _;

use super::*;
use crate::{Decode, Decoder, Image, InputLayout, Preprocess};

fn spec(dims: &[usize]) -> TensorSpec {
    let dims = dims.iter().copied().map(Dim::Fixed).collect();
    TensorSpec::new("x", ElementType::F32, dims)
}

fn preparation(batch: usize) -> Preparation {
    Preparation {
        preprocess: Preprocess::OPENVINO_SAMPLE,
        layout: InputLayout::from_spec(&spec(&[1, 3, 2, 2]), None, None).unwrap(),
        batch,
        decode: Decode::Exact,
    }
}

/// Returns a model whose outputs for an image are the sum of its elements and the number of its request.
fn sums(batch: usize) -> MockBuilder {
    let info = BackendInfo::new("mock", spec(&[batch, 3, 2, 2]), spec(&[batch, 2]));
    MockBackend::builder()
        .info(info)
        .respond(move |call, input| {
            let elements = input.as_slice::<f32>().unwrap().chunks_exact(12);
            let outputs = elements.flat_map(|image| [image.iter().sum(), call as f32]);
            Tensor::new([batch, 2], outputs.collect())
        })
}

fn run(backend: MockBuilder, batch: usize) -> FeedRun {
    FeedRun {
        backend: Arc::new(backend.build().unwrap()),
        preparation: preparation(batch),
    }
}

fn options(jobs: usize) -> FeedOptions {
    FeedOptions::new(jobs, ImageMemory::new(64 << 20, jobs))
}

/// Returns an image of one value, which sums up to 12 times that.
fn grey(value: u8) -> ImageSource {
    ppm(value).into()
}

fn ppm(value: u8) -> Vec<u8> {
    [&b"P6 2 2 255\n"[..], &[value; 12]].concat()
}

fn values(answer: &Answer<impl fmt::Debug>) -> Vec<[f32; 2]> {
    let outputs = answer.result.as_ref().unwrap();
    let outputs = outputs.runs.iter().map(|run| {
        let tensor = &run.as_ref().unwrap().tensor;
        assert_eq!(tensor.shape(), [1, 2]);
        <[f32; 2]>::try_from(tensor.as_slice().unwrap()).unwrap()
    });
    outputs.collect()
}

#[test]
fn answers_have_the_order_of_the_inputs() {
    // Later requests end first.
    let calls = AtomicUsize::new(0);
    let slow = MockBackend::builder()
        .info(sums(1).build().unwrap().info().clone())
        .slots(4)
        .respond(move |_, input| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(8 - 2 * (call as u64 % 4)));
            let sum: f32 = input.as_slice::<f32>().unwrap().iter().sum();
            Tensor::new([1, 2], vec![sum, 0.0])
        });
    let feed = Feed::new(vec![run(slow, 1)], options(3));
    let inputs = (0..40).map(|value| (value, grey(value)));
    let mut expected = 0;
    for answer in feed.blocking_answers(inputs) {
        assert_eq!(answer.input, expected);
        assert_eq!(values(&answer), [[12.0 * f32::from(expected), 0.0]]);
        expected += 1;
    }
    assert_eq!(expected, 40);
}

#[test]
fn a_batch_has_consecutive_images_and_the_last_is_filled_up() {
    let feed = Feed::new(vec![run(sums(3), 3)], options(2));
    let inputs = (0..7).map(|value| (value, grey(value)));
    let answers: Vec<_> = feed.blocking_answers(inputs).collect();
    assert_eq!(answers.len(), 7);
    for answer in &answers {
        let [[sum, _]] = values(answer)[..] else {
            panic!("one run")
        };
        assert_eq!(sum, 12.0 * f32::from(answer.input));
    }
    // Three requests: of three, three and one image.
    let requests: Vec<f32> = answers.iter().map(|answer| values(answer)[0][1]).collect();
    let alike = |images: &[f32]| images.iter().all(|request| *request == images[0]);
    assert!(
        alike(&requests[..3]) && alike(&requests[3..6]),
        "{requests:?}"
    );
    let mut sorted = [requests[0], requests[3], requests[6]];
    sorted.sort_by(f32::total_cmp);
    assert_eq!(sorted, [0.0, 1.0, 2.0]);
}

#[test]
fn each_run_has_its_own_batch_size() {
    let runs = vec![
        run(sums(4), 4),
        run(sums(1), 1),
        run(sums(3), 3),
        run(sums(4), 4),
    ];
    let feed = Feed::new(runs, options(2));
    let inputs = (0..10).map(|value| (value, grey(value)));
    let answers: Vec<_> = feed.blocking_answers(inputs).collect();
    assert_eq!(answers.len(), 10);
    for answer in &answers {
        let sums: Vec<f32> = values(answer).iter().map(|[sum, _]| *sum).collect();
        assert_eq!(sums, [12.0 * f32::from(answer.input); 4]);
    }
}

#[test]
fn bad_input_fails_alone() {
    for batch in [1, 2, 5] {
        let feed = Feed::new(vec![run(sums(batch), batch), run(sums(1), 1)], options(2));
        let source = |place: u8| match place {
            1 => b"no image".as_slice().into(),
            2 => Path::new("there/is/none.ppm").into(),
            4 => ImageSource::Failed("known before".into()),
            place => grey(place),
        };
        let inputs = (0..8).map(|place| (place, source(place)));
        let answers: Vec<_> = feed.blocking_answers(inputs).collect();
        assert_eq!(answers.len(), 8);
        for answer in answers {
            match (answer.input, &answer.result) {
                (1, Err(error)) => assert_eq!(error.code(), "unknown-format"),
                (2, Err(error)) => assert_eq!(error.code(), "cannot-read"),
                (4, Err(error)) => assert_eq!(error.to_string(), "known before"),
                (input, Ok(_)) => {
                    let sum = 12.0 * f32::from(input);
                    assert!(values(&answer).iter().all(|[found, _]| *found == sum));
                }
                (input, Err(error)) => panic!("{input}: {error}"),
            }
        }
    }
}

#[test]
fn failed_request_fails_its_images_in_that_run() {
    let failing = MockBackend::builder()
        .info(sums(2).build().unwrap().info().clone())
        .respond(|call, _| {
            assert!(call != 1, "planned");
            Tensor::new([2, 2], vec![0.0_f32; 4])
        });
    let feed = Feed::new(vec![run(failing, 2), run(sums(2), 2)], options(1));
    let inputs = (0..6).map(|value| (value, grey(value)));
    let answers: Vec<_> = feed.blocking_answers(inputs).collect();
    let failed = |answer: &Answer<u8>| {
        let runs = &answer.result.as_ref().unwrap().runs;
        let [first, second] = &runs[..] else {
            panic!("two runs")
        };
        assert!(second.is_ok());
        first.as_ref().err().map(|error| error.kind())
    };
    let failed: Vec<_> = answers.iter().filter_map(failed).collect();
    assert_eq!(failed, [ErrorKind::Panicked; 2]);
}

#[test]
fn extra_outputs_are_those_of_the_image() {
    let backend = |extra: fn(&Tensor) -> Tensor| {
        let mut info = sums(2).build().unwrap().info().clone();
        info.extra_outputs = vec![
            TensorSpec {
                name: "pixels".to_owned(),
                ..spec(&[2, 3, 2, 2])
            },
            TensorSpec::new("a", ElementType::I64, vec![Dim::Dynamic]),
        ];
        MockBackend::builder()
            .info(info)
            .respond_with(move |_, input| {
                let scores = Tensor::new([2, 2], vec![0.5_f32; 4])?;
                let names = ["pixels".to_owned(), "a".to_owned()];
                InferOutput::with_extra(&names, vec![scores, input.clone(), extra(input)])
            })
    };
    let fits = backend(|_| Tensor::new([2], vec![3_i64, 4]).unwrap());
    let feed = Feed::new(vec![run(fits, 2)], options(1));
    let inputs = (0..4).map(|value| (value, grey(value)));
    let answers: Vec<_> = feed.blocking_answers(inputs).collect();
    for (place, answer) in answers.iter().enumerate() {
        let outputs = answer.result.as_ref().unwrap();
        let [pixels, a] = &outputs.runs[0].as_ref().unwrap().extra[..] else {
            panic!("two extra outputs")
        };
        assert_eq!((&*pixels.name, &*a.name), ("pixels", "a"));
        let expected = vec![f32::from(answer.input); 12];
        assert_eq!(pixels.tensor, Tensor::new([1, 3, 2, 2], expected).unwrap());
        let expected = 3 + place as i64 % 2;
        assert_eq!(a.tensor, Tensor::new([1], vec![expected]).unwrap());
    }
    let whole = backend(|_| Tensor::new([5], vec![0_i64; 5]).unwrap());
    let feed = Feed::new(vec![run(whole, 2)], options(1));
    let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
    let error = answer.result.unwrap().runs.remove(0).unwrap_err();
    assert!(
        error.to_string().contains(r#"output "a" [5] has no part"#),
        "{error}"
    );
    assert_eq!(error.hint(), Some("use `batch = 1`"));
}

#[test]
fn a_model_that_answers_for_fewer_images_is_an_error() {
    let mut info = sums(2).build().unwrap().info().clone();
    info.output.dims[0] = Dim::Dynamic;
    let short = MockBackend::builder()
        .info(info)
        .respond(|_, _| Tensor::new([1, 2], vec![0.0_f32; 2]));
    let feed = Feed::new(vec![run(short, 2)], options(1));
    let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
    let error = answer.result.unwrap().runs.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
    let text = "the model's output [1, 2] has no part for each image of a batch of 2";
    assert_eq!(error.to_string(), text);
}

#[test]
fn tensors_and_buffers_are_used_again() {
    for batch in [1, 3] {
        // Two runs share them.
        let runs = vec![run(sums(batch).slots(2), batch), run(sums(batch), batch)];
        let feed = Feed::new(runs, options(2));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ppm");
        std::fs::write(&path, ppm(7)).unwrap();
        let inputs = (0..50).map(|place| (place, path.as_path().into()));
        let answers = feed.blocking_answers(inputs);
        assert_eq!(answers.inspect(|answer| drop(values(answer))).count(), 50);
        let [run_group] = &feed.shared.run_groups[..] else {
            panic!("one run group")
        };
        let count = |pool: &Spares<Tensor>| pool.0.lock().unwrap().len();
        // Of 50 images: no more than are in flight at a time.
        let in_flight = 1..=(2 + 4) * batch;
        assert!(in_flight.contains(&count(&run_group.images)));
        assert_eq!(count(&run_group.batches) == 0, batch == 1);
        assert!(count(&run_group.batches) <= 6);
        let buffers = feed.shared.buffers.0.lock().unwrap();
        assert!(in_flight.contains(&buffers.len()));
        assert!(buffers.iter().all(ImageBuffers::is_filled));
    }
}

fn sha(bytes: &[u8]) -> Sha {
    Sha256::digest(bytes).into()
}

/// Returns the digest of the tensor of an image of one value.
fn tensor_sha(value: f32) -> Sha {
    let bytes = [value; 12].into_iter().flat_map(f32::to_ne_bytes);
    sha(&bytes.collect::<Vec<u8>>())
}

const ALL_DIGESTS: Digests = Digests {
    file: true,
    tensors: true,
    pixels: true,
};

#[test]
fn only_requested_digests_are_computed() {
    for (batch, wanted) in [(1, ALL_DIGESTS), (3, ALL_DIGESTS), (1, Digests::default())] {
        let mut options = options(1);
        options.digests = wanted;
        let runs = vec![run(sums(batch), batch), run(sums(batch), batch)];
        let feed = Feed::new(runs, options);
        let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
        let digests = answer.result.unwrap().digests;
        let expected = InputDigests {
            file: Some(sha(&ppm(7))),
            // The digest is that of the image alone, whatever the batch size.
            tensors: vec![tensor_sha(7.0); 2],
            pixels: Some(sha(&[7; 12])),
        };
        if wanted.file {
            assert_eq!(digests, expected);
        } else {
            assert_eq!(digests, InputDigests::default());
        }
    }
}

#[test]
fn each_run_has_the_digest_of_its_own_tensor() {
    let mut options = options(1);
    options.digests = ALL_DIGESTS;
    let mut halved = run(sums(1), 1);
    halved.preparation.preprocess.scale = [2.0; 3];
    let runs = vec![run(sums(1), 1), halved, run(sums(1), 1)];
    let feed = Feed::new(runs, options);
    let image = Image::from_rgb(2, 2, vec![8; 12]).unwrap();
    let answer = feed.blocking_answers([((), image.into())]).next().unwrap();
    let digests = answer.result.unwrap().digests;
    assert_eq!(digests.tensors, [8.0, 4.0, 8.0].map(tensor_sha));
    // A decoded image has no file. Its digest is that of its size and pixels.
    let size = [2_u32, 2].map(u32::to_le_bytes).concat();
    assert_eq!(digests.file, Some(sha(&[&size[..], &[8; 12]].concat())));
}

#[test]
fn a_changed_tensor_is_an_error() {
    let feed = Feed::new(vec![run(sums(1), 1), run(sums(1), 1)], options(1));
    let tensor = Arc::new(Tensor::new([1], vec![7_u8]).unwrap());
    let digest = sha256(&tensor);
    block_on(feed.shared.check_unchanged(&tensor, Some(digest))).unwrap();
    let other = Arc::new(Tensor::new([1], vec![8_u8]).unwrap());
    let error = block_on(feed.shared.check_unchanged(&other, Some(digest))).unwrap_err();
    assert!(error.to_string().contains("was changed"), "{error}");
}

#[test]
fn a_decoded_image_is_an_input() {
    let feed = Feed::new(vec![run(sums(1), 1)], options(1));
    let image = Image::from_rgb(4, 4, vec![9; 48]).unwrap();
    let answer = feed.blocking_answers([((), image.into())]).next().unwrap();
    assert_eq!(values(&answer), [[108.0, 0.0]]);
}

#[test]
fn inputs_are_taken_only_when_needed() {
    for batch in [1, 3] {
        let feed = Feed::new(vec![run(sums(batch).slots(2), batch)], options(2));
        let taken = Rc::new(Cell::new(0));
        let inputs = std::iter::repeat_with(|| {
            taken.set(taken.get() + 1);
            ((), grey(1))
        });
        let stream = feed.blocking_answers(inputs.take(1000));
        for (answered, answer) in stream.enumerate().take(60) {
            drop(answer.result.unwrap());
            let in_flight = taken.get() - answered;
            assert!(
                in_flight <= feed.shared.window * batch + batch,
                "{in_flight}"
            );
        }
    }
}

#[test]
fn all_images_pass_a_small_memory_budget() {
    // One image at a time fits, of eight that are wanted.
    let source = || ImageSource::from(ppm(3));
    let alone = ImageFile::read(
        source(),
        &[preparation(2), preparation(1)],
        &ImageMemory::new(64 << 20, 1),
        &Decoder::Here,
        ImageBuffers::default(),
    );
    let needed = alone.unwrap().reserved();
    let memory = ImageMemory::new(ImageMemory::bytes_for(needed), 8);
    assert!(memory.budget.bytes() < 2 * needed);
    let budget = memory.budget.clone();
    let runs = vec![run(sums(2), 2), run(sums(1), 1)];
    let feed = Feed::new(runs, FeedOptions::new(8, memory));
    let answers = feed.blocking_answers((0..50).map(|place| (place, source())));
    assert_eq!(answers.filter(|answer| answer.result.is_ok()).count(), 50);
    assert_eq!(budget.reserved(), 0);
    let large = [&b"P6 2000 2000 255\n"[..], &vec![7; 12_000_000]].concat();
    let answer = feed.blocking_answers([((), large.into())]).next().unwrap();
    assert_eq!(answer.result.unwrap_err().code(), "too-large");
}

#[test]
fn a_dropped_stream_is_cancelled() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let blocked = MockBackend::builder()
        .info(sums(1).build().unwrap().info().clone())
        .respond(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = wait.lock().unwrap().recv();
            Tensor::new([1, 2], vec![0.0_f32; 2])
        });
    let feed = Feed::new(vec![run(blocked, 1)], options(2));
    let weak = Arc::downgrade(&feed.shared);
    let budget = feed.shared.memory.budget.clone();
    let inputs = (0..1000).map(|place| (place, grey(1)));
    let mut stream = Box::pin(feed.answers(inputs));
    // The engine has the first image and does not answer.
    while calls.load(Ordering::SeqCst) == 0 {
        assert!(stream.next().now_or_never().is_none());
        thread::yield_now();
    }
    drop(stream);
    let start = Instant::now();
    while weak.strong_count() > 1 || budget.reserved() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "still busy");
        thread::yield_now();
    }
    // The backend waits for the request that runs.
    drop(go);
    drop(feed);
    assert!(calls.load(Ordering::SeqCst) <= 2);
}

/// Returns a backend whose first inference ends when the sender is dropped.
fn held(batch: usize) -> (mpsc::Sender<()>, MockBuilder) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let calls = AtomicUsize::new(0);
    let backend = MockBackend::builder()
        .info(sums(batch).build().unwrap().info().clone())
        .respond(move |_, _| {
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = wait.lock().unwrap().recv();
            }
            Tensor::new([batch, 2], vec![0.0_f32; 2 * batch])
        });
    (go, backend)
}

#[test]
fn request_that_exceeds_the_timeout_fails() {
    for batch in [1, 3] {
        let (go, backend) = held(batch);
        let mut options = options(1);
        options.timeout = Some(Duration::from_millis(50));
        let feed = Feed::new(vec![run(backend, batch)], options);
        let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
        let error = answer.result.unwrap().runs.remove(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        // The backend waits for the request that runs.
        drop(go);
    }
}

#[test]
fn timeout_of_one_run_leaves_the_answer_of_the_other() {
    let (go, backend) = held(1);
    let mut options = options(1);
    // Long enough for the other run on a busy machine.
    options.timeout = Some(Duration::from_secs(2));
    let feed = Feed::new(vec![run(backend, 1), run(sums(1), 1)], options);
    let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
    let [held, other] = &answer.result.unwrap().runs[..] else {
        panic!("two runs")
    };
    let error = held.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    let expected = Some(&[84.0_f32, 0.0][..]);
    assert_eq!(other.as_ref().unwrap().tensor.as_slice(), expected);
    drop(go);
}

#[test]
fn long_timeout_changes_no_answer() {
    for timeout in [Duration::from_hours(1), Duration::MAX] {
        let mut options = options(1);
        options.timeout = Some(timeout);
        let feed = Feed::new(vec![run(sums(1), 1)], options);
        let answer = feed.blocking_answers([((), grey(7))]).next().unwrap();
        assert_eq!(values(&answer), [[84.0, 0.0]]);
    }
}
