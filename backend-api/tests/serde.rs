//! The serialized form of the contract's types.

use std::error::Error as _;
use std::fmt::Debug;

use backend_api::{
    BackendInfo, Dim, ElementType, Error, ErrorKind, FoundLibrary, PerformanceHint, Precision,
    TensorSpec,
};
use serde_json::{Value, from_value, json, to_value};

fn assert_form<T>(value: &T, form: &Value)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(to_value(value).unwrap(), *form);
    assert_eq!(from_value::<T>(form.clone()).unwrap(), *value);
}

#[test]
fn names_are_those_that_are_displayed() {
    use ElementType::{Bf16, F16, F32, F64, I8, I32, I64, U8};
    for element_type in [F32, F64, F16, Bf16, U8, I8, I32, I64] {
        assert_form(&element_type, &json!(element_type.as_str()));
    }
    for precision in [
        Precision::Auto,
        Precision::F32,
        Precision::Bf16,
        Precision::F16,
    ] {
        assert_form(&precision, &json!(precision.to_string()));
    }
    for hint in [PerformanceHint::Throughput, PerformanceHint::Latency] {
        assert_form(&hint, &json!(hint.to_string()));
    }
    for kind in [
        ErrorKind::InvalidConfig,
        ErrorKind::ModelNotFound,
        ErrorKind::ModelInvalid,
        ErrorKind::ModelUnsupported,
        ErrorKind::EngineUnavailable,
        ErrorKind::DeviceUnavailable,
        ErrorKind::InputMismatch,
        ErrorKind::InferenceFailed,
        ErrorKind::Panicked,
        ErrorKind::Abandoned,
        ErrorKind::DeadlineExceeded,
        ErrorKind::ResourceExhausted,
        ErrorKind::EngineCrashed,
    ] {
        assert_form(&kind, &json!(kind.as_str()));
    }
}

#[test]
fn a_dynamic_dimension_is_null() {
    let dims = vec![Dim::Dynamic, Dim::Fixed(3), Dim::Fixed(224)];
    assert_form(
        &TensorSpec::new("input", ElementType::F32, dims),
        &json!({"name": "input", "element_type": "f32", "dims": [null, 3, 224]}),
    );
}

#[test]
fn a_backend_is_described_under_the_names_of_the_fields() {
    let spec = |name: &str| TensorSpec::new(name, ElementType::F32, vec![Dim::Fixed(4)]);
    let mut info = BackendInfo::new("openvino", spec("input"), spec("output"));
    info.engine = "OpenVINO".into();
    info.engine_version = "2026.4".into();
    info.library = Some(FoundLibrary {
        path: "libopenvino_c.so".into(),
        origin: "the variable VIRTUAL_ENV".into(),
    });
    info.model = Some("model.xml".into());
    info.requested_device = "AUTO".into();
    info.devices = vec!["CPU".into()];
    info.aliases.insert("MYRIAD".into(), "CPU_A".into());
    info.notes.push("a note".into());
    info.precision = "f32".into();
    info.slots = 2;
    let port = |name: &str| json!({"name": name, "element_type": "f32", "dims": [4]});
    assert_form(
        &info,
        &json!({
            "backend": "openvino",
            "engine": "OpenVINO",
            "engine_version": "2026.4",
            "library": {"path": "libopenvino_c.so", "origin": "the variable VIRTUAL_ENV"},
            "model": "model.xml",
            "model_name": null,
            "requested_device": "AUTO",
            "devices": ["CPU"],
            "aliases": {"MYRIAD": "CPU_A"},
            "notes": ["a note"],
            "requested_precision": "f32",
            "precision": "f32",
            "input": port("input"),
            "output": port("output"),
            "extra_outputs": [],
            "output_is_assumed": false,
            "outputs": [port("output")],
            "slots": 2,
        }),
    );
}

#[test]
fn an_error_displays_as_before_with_its_hint_and_cause() {
    let io = std::io::Error::other(Error::new(ErrorKind::ModelInvalid, "cut off"));
    let error = Error::new(ErrorKind::ModelNotFound, "the model cannot be read")
        .with_context("model", "a.onnx")
        .with_source(io);
    let form = to_value(&error).unwrap();
    let expected = json!({
        "kind": "model-not-found",
        "message": "the model cannot be read (model: a.onnx)",
        "hint": "check the path of the model",
        "cause": "cut off",
    });
    assert_eq!(form, expected);
    let again: Error = from_value(form.clone()).unwrap();
    assert_eq!(again.kind(), error.kind());
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(again.hint(), error.hint());
    assert_eq!(again.source().unwrap().to_string(), "cut off");
    assert_eq!(to_value(&again).unwrap(), form);

    let short = json!({"kind": "input-mismatch", "message": "no"});
    let plain: Error = from_value(short.clone()).unwrap();
    assert_eq!((plain.hint(), plain.source().is_none()), (None, true));
    assert_eq!(to_value(&plain).unwrap(), short);
    from_value::<Error>(json!({"kind": "unheard-of", "message": "no"})).unwrap_err();
}
