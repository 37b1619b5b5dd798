//! The small models on every engine.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use backend_api::half::{bf16, f16};
use backend_api::{
    BlockingInfer, Dim, ElementType, Error, ErrorKind, InferBackend, InferRequest, ModelSource,
    PendingInfer, Tensor,
};
use libtest_mimic::{Failed, Trial};

use crate::spans::record;
use crate::{Needs, ensure, small_model};

/// Opens a model on an engine with its defaults.
pub type Open = fn(ModelSource) -> Result<Box<dyn InferBackend>, Error>;

/// Tests of ONNX files: damaged ones, ones that do not fit the contract, awkward ones that do.
pub fn trials(needs: &Needs, open: Open) -> Vec<Trial> {
    let tests: [(&str, fn(Open) -> Result<(), Failed>); 6] = [
        ("a_damaged_or_missing_file_is_named", damaged_files),
        ("models_that_do_not_fit_are_refused", models_that_do_not_fit),
        ("awkward_models_run", awkward_models),
        ("zeros_around_a_max_pool_are_values", padded_max_pool),
        ("models_in_memory_give_the_same", models_in_memory),
        ("models_in_memory_read_no_file", no_file_for_memory),
    ];
    tests
        .map(|(name, test)| needs.test(name, move || test(open)))
        .into()
}

/// Tests of an engine that reads ONNX alone.
pub fn onnx_alone(needs: &Needs, open: Open) -> Trial {
    needs.test("an_ir_names_the_onnx_beside_it", move || {
        let beside = error(
            open(small_model("plain.xml").into()),
            ErrorKind::ModelUnsupported,
        )?;
        let hint = beside.hint().unwrap_or_default();
        ensure(hint.contains("plain.onnx"), &beside)?;
        let directory = tempfile::tempdir()?;
        let alone = directory.path().join("alone.xml");
        std::fs::copy(small_model("plain.xml"), &alone)?;
        let alone = error(open(alone.into()), ErrorKind::ModelUnsupported)?;
        let hint = alone.hint().unwrap_or_default();
        ensure(hint.contains("backend-openvino"), &alone)
    })
}

/// Tests that an engine has the element types `supported` for inputs, with the values that `plain.onnx` gives, and names
/// the others.
pub fn input_types(needs: &Needs, open: Open, supported: &'static [&'static str]) -> Trial {
    needs.test("inputs_of_other_types_run_or_are_named", move || {
        const TYPES: [(&str, &str); 11] = [
            ("i8", "int8"),
            ("i16", "int16"),
            ("i32", "int32"),
            ("i64", "int64"),
            ("u8", "uint8"),
            ("u16", "uint16"),
            ("u32", "uint32"),
            ("u64", "uint64"),
            ("f64", "double"),
            ("bf16", "bfloat16"),
            ("bool", "bool"),
        ];
        let pixels: Vec<u8> = (0..192).map(|n| n % 128).collect();
        let plain = open(small_model("plain.onnx").into())?;
        let floats: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
        let expected = infer(&*plain, Tensor::new([1, 3, 8, 8], floats)?)?;
        for (name, in_onnx) in TYPES {
            let opened = open(small_model(&format!("input-{name}.onnx")).into());
            if !supported.contains(&name) {
                let refused = error(opened, ErrorKind::ModelUnsupported)?;
                let text = refused.to_string().to_lowercase();
                // Either name is the type's.
                let is_named = text.contains(in_onnx) || text.contains(&format!("type {name}"));
                ensure(is_named && text.contains("supported:"), &refused)?;
                continue;
            }
            let backend = opened?;
            let element_type = backend.info().input.element_type;
            let input = Tensor::new([1, 3, 8, 8], pixels.clone())?;
            let output = infer(&*backend, converted(&input, element_type)?)?;
            let (output, expected) = (output.to_f32(), expected.to_f32());
            let differences = output.iter().zip(&*expected).map(|(a, b)| (a - b).abs());
            let largest = differences.fold(0.0, f32::max);
            ensure(output.len() == 12 && largest < 1e-4, (name, largest))?;
        }
        Ok(())
    })
}

/// Returns the numbers of `pixels` as elements of another type.
fn converted(pixels: &Tensor, element_type: ElementType) -> Result<Tensor, Failed> {
    let bytes = pixels.as_slice::<u8>().ok_or("pixels are bytes")?;
    macro_rules! of {
        ($rust:ty) => {
            Tensor::new(
                pixels.shape(),
                bytes
                    .iter()
                    .map(|&byte| byte as $rust)
                    .collect::<Vec<$rust>>(),
            )?
        };
    }
    Ok(match element_type {
        ElementType::I8 => of!(i8),
        ElementType::I16 => of!(i16),
        ElementType::I32 => of!(i32),
        ElementType::I64 => of!(i64),
        ElementType::U8 => of!(u8),
        ElementType::U16 => of!(u16),
        ElementType::U32 => of!(u32),
        ElementType::U64 => of!(u64),
        ElementType::F32 => of!(f32),
        ElementType::F64 => of!(f64),
        ElementType::Bf16 => {
            let values = bytes.iter().map(|&byte| bf16::from_f32(f32::from(byte)));
            Tensor::new(pixels.shape(), values.collect::<Vec<_>>())?
        }
        other => return Err(format!("{other} is not tried").into()),
    })
}

/// A test of a model that gives another number of classes than it declares, on an engine that reports the declared one.
pub fn other_classes(needs: &Needs, open: Open) -> Trial {
    needs.test("another_number_of_classes_is_an_error", move || {
        let backend = open(small_model("other-classes.onnx").into())?;
        let image = |level: f32| Tensor::new([1, 3, 8, 8], vec![level; 192]);
        let refused = infer(&*backend, image(3.0)?);
        let refused = error(refused, ErrorKind::OutputMismatch)?;
        let words = "gave the output \"output\" as f32[1, 3], but the model declares f32[1, 12]";
        ensure(refused.to_string().contains(words), &refused)?;
        ensure(refused.hint().is_some(), &refused)?;
        // The slot runs the next request, whose output is as declared.
        let whole = infer(&*backend, image(200.0)?)?;
        ensure(whole.shape() == [1, 12], whole)
    })
}

/// A test of what a subscriber of `tracing` sees of the engine of `backend`.
pub fn span(needs: &Needs, backend: &'static str, open: Open) -> Trial {
    needs.test("opening_a_model_is_a_span", move || {
        let model = small_model("double.onnx");
        // tracing asks only the subscribers of the thread that is first at a span, which may be another test's.
        drop(open(model.as_path().into())?);
        let spans = record(|| {
            open(model.as_path().into()).expect("the small model opens");
        });
        let fields = [
            ("backend", backend.to_owned()),
            ("device", "CPU".to_owned()),
            ("model", model.display().to_string()),
        ];
        let opened = spans.iter().filter(|span| span.name == "open");
        let opened: Vec<_> = opened.map(|span| span.fields.clone()).collect();
        ensure(opened == [fields.into()], &spans)
    })
}

/// Tests of an engine that can be stopped while it runs.
pub fn stopping(needs: &Needs, open: Open) -> Vec<Trial> {
    let tests: [(
        &str,
        fn(&dyn InferBackend, InferRequest, Duration) -> Result<(), Failed>,
    ); 2] = [
        ("a_running_inference_stops_at_its_deadline", at_deadline),
        ("a_running_inference_stops_with_its_handle", with_handle),
    ];
    tests
        .map(|(name, end_early)| {
            needs.test(name, move || {
                let backend = open(small_model("slow.onnx").into())?;
                stops(&*backend, end_early)
            })
        })
        .into()
}

/// An input of `slow.onnx`. With a million values it takes a tenth of a second or more.
///
/// # Panics
///
/// Never.
pub fn slow_input(len: usize) -> Arc<Tensor> {
    let values = (0..len).map(|n| (n % 7) as f32).collect();
    Arc::new(Tensor::new([1, len], values).expect("as many values"))
}

/// Fails unless a slot is free soon after `end_early` has ended its request early, and runs the next request.
fn stops(
    backend: &dyn InferBackend,
    end_early: impl Fn(&dyn InferBackend, InferRequest, Duration) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let input = slow_input(2_000_000);
    let expected = infer(backend, Arc::clone(&input))?;
    let time = |run: &dyn Fn() -> Result<(), Failed>| -> Result<Duration, Failed> {
        let started = Instant::now();
        run()?;
        Ok(started.elapsed())
    };
    let mut whole = Duration::MAX;
    for _ in 0..3 {
        let run = || ensure(infer(backend, Arc::clone(&input))? == expected, "a result");
        whole = whole.min(time(&run)?);
    }
    // A busy machine may be late now and then. An engine that is not stopped takes `whole` each time.
    let mut times = Vec::new();
    while times.len() < 10 {
        let elapsed = time(&|| {
            let request = InferRequest::new(1, Arc::clone(&input));
            end_early(backend, request, whole / 8)?;
            futures_executor::block_on(backend.wait_all());
            Ok(())
        })?;
        let next = infer(backend, Arc::clone(&input))?;
        ensure(next == expected, "the next inference has another result")?;
        if elapsed < whole / 2 {
            return Ok(());
        }
        times.push(elapsed);
    }
    ensure(false, (whole, times))
}

fn at_deadline(
    backend: &dyn InferBackend,
    request: InferRequest,
    time: Duration,
) -> Result<(), Failed> {
    let request = request.with_timeout(time);
    let result = backend
        .submit_blocking(request)
        .and_then(PendingInfer::wait);
    error(result, ErrorKind::DeadlineExceeded).map(|_| ())
}

fn with_handle(
    backend: &dyn InferBackend,
    request: InferRequest,
    time: Duration,
) -> Result<(), Failed> {
    let pending = backend.submit_blocking(request)?;
    thread::sleep(time);
    drop(pending);
    Ok(())
}

/// The error of `kind` that `result` is.
///
/// # Errors
///
/// If it is none, or of another kind.
pub fn error<T: std::fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
) -> Result<Error, Failed> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(format!("expected {kind}, got {other:#?}").into()),
    }
}

/// One inference.
///
/// # Errors
///
/// The engine's.
pub fn infer(backend: &dyn InferBackend, input: impl Into<Arc<Tensor>>) -> Result<Tensor, Error> {
    Ok(backend.infer_blocking(input)?.tensor)
}

fn damaged_files(open: Open) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let missing = error(open(at("none.onnx").into()), ErrorKind::ModelNotFound)?;
    ensure(missing.to_string().contains("none.onnx"), &missing)?;
    error(open(directory.path().into()), ErrorKind::ModelNotFound)?;
    let model = std::fs::read(small_model("plain.onnx"))?;
    for (name, bytes) in [
        ("cut.onnx", &model[..model.len() / 2]),
        ("empty.onnx", b""),
        ("text.onnx", b"this is not a model"),
    ] {
        std::fs::write(at(name), bytes)?;
        error(open(at(name).into()), ErrorKind::ModelInvalid)?;
    }
    Ok(())
}

fn models_that_do_not_fit(open: Open) -> Result<(), Failed> {
    let model = small_model("two-inputs.onnx");
    let refused = error(open(model.into()), ErrorKind::ModelUnsupported)?;
    ensure(refused.to_string().contains("2 inputs"), &refused)
}

fn awkward_models(open: Open) -> Result<(), Failed> {
    let dynamic = open(small_model("dynamic-batch.onnx").into())?;
    ensure(
        dynamic.info().input.dims[0] == Dim::Fixed(1),
        dynamic.info(),
    )?;
    for file in [
        "dynamic-batch.onnx",
        "initializer-as-input.onnx",
        "output-four-dimensions.onnx",
        "output-one-dimension.onnx",
        "three-classes.onnx",
    ] {
        let backend = open(small_model(file).into())?;
        let input = Tensor::new([1, 3, 8, 8], vec![128.0_f32; 192])?;
        let output = infer(&*backend, input)?;
        let classes = if file == "three-classes.onnx" { 3 } else { 12 };
        ensure(output.len() == classes, (file, &output))?;
    }
    let bytes = open(small_model("nhwc-bytes.onnx").into())?;
    infer(&*bytes, Tensor::new([1, 8, 8, 3], vec![128_u8; 192])?)?;
    let any_size = open(small_model("dynamic-size.onnx").into())?;
    let input = &any_size.info().input;
    ensure(input.fixed_shape().is_none(), input)?;
    for size in [4, 9] {
        let input = Tensor::new([1, 3, size, size], vec![1.0_f32; 3 * size * size])?;
        infer(&*any_size, input)?;
    }
    Ok(())
}

fn padded_max_pool(open: Open) -> Result<(), Failed> {
    let backend = open(small_model("padded-max-pool.onnx").into())?;
    let values: Vec<f32> = [-1.0, -5.0, 3.0]
        .into_iter()
        .flat_map(|value| [value; 64])
        .collect();
    let output = infer(&*backend, Tensor::new([1, 3, 8, 8], values)?)?;
    ensure(*output.to_f32() == [0.0, 0.0, 3.0], output)
}

fn models_in_memory(open: Open) -> Result<(), Failed> {
    for file in ["plain.onnx", "half.onnx", "dynamic-batch.onnx"] {
        let path = small_model(file);
        let memory = ModelSource::from_bytes(std::fs::read(&path)?);
        let (by_path, by_memory) = (open(path.clone().into())?, open(memory)?);
        let mut info = by_path.info().clone();
        ensure(info.model.take() == Some(path), file)?;
        ensure(info == *by_memory.info(), (info, by_memory.info()))?;
        let values = (0..192_u8).map(f32::from);
        let input = || match by_path.info().input.element_type {
            ElementType::F16 => {
                let values: Vec<f16> = values.clone().map(f16::from_f32).collect();
                Tensor::new([1, 3, 8, 8], values)
            }
            _ => Tensor::new([1, 3, 8, 8], values.clone().collect::<Vec<f32>>()),
        };
        let outputs = (infer(&*by_path, input()?)?, infer(&*by_memory, input()?)?);
        ensure(outputs.0 == outputs.1, (file, outputs))?;
    }
    for damaged in [&b""[..], b"this is not a model"] {
        let memory = ModelSource::from_bytes(damaged);
        error(open(memory), ErrorKind::ModelInvalid)?;
    }
    let model = std::fs::read(small_model("plain.onnx"))?;
    let with_weights = ModelSource::Bytes {
        model: model.into(),
        weights: Some([0; 4].into()),
    };
    error(open(with_weights), ErrorKind::InvalidConfig)?;
    Ok(())
}

/// The location is that of a file of the current directory, where an engine would look for it.
fn no_file_for_memory(open: Open) -> Result<(), Failed> {
    let location = "Cargo.toml";
    ensure(std::fs::metadata(location)?.len() >= 16, location)?;
    let memory = ModelSource::from_bytes(scaling_model(location));
    let refused = error(open(memory), ErrorKind::ModelUnsupported)?;
    ensure(refused.to_string().contains("needs another file"), refused)
}

/// `y = x · w`, four numbers each, with w in the file at `location`: ONNX, written by hand.
pub fn scaling_model(location: &str) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| {
        let mut all = vec![tag << 3 | 2, bytes.len() as u8];
        all.extend(bytes);
        all
    };
    let value = |tag: u8, value: u8| vec![tag << 3, value];
    let entry = |key: &str, text: &str| {
        let entry = [field(1, key.as_bytes()), field(2, text.as_bytes())].concat();
        field(13, &entry)
    };
    let info = |tag: u8, name: &str| {
        let dims: Vec<u8> = [1, 4]
            .iter()
            .flat_map(|size| field(1, &value(1, *size)))
            .collect();
        let tensor = [value(1, 1), field(2, &dims)].concat();
        field(
            tag,
            &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat(),
        )
    };
    let node = [
        field(1, b"x"),
        field(1, b"w"),
        field(2, b"y"),
        field(4, b"Mul"),
    ]
    .concat();
    let weights = [
        value(1, 1),
        value(1, 4),
        value(2, 1),
        field(8, b"w"),
        entry("location", location),
        entry("offset", "0"),
        entry("length", "16"),
        value(14, 1),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"g"),
        field(5, &weights),
        info(11, "x"),
        info(12, "y"),
    ]
    .concat();
    [
        value(1, 8),
        // A graph may be longer than 127 bytes.
        {
            let mut all = vec![
                7 << 3 | 2,
                graph.len() as u8 & 0x7f | 0x80,
                (graph.len() >> 7) as u8,
            ];
            all.extend(&graph);
            all
        },
        field(8, &value(2, 13)),
    ]
    .concat()
}
