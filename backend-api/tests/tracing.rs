//! The spans that a subscriber of `tracing` sees.

use std::time::Duration;

use backend_api::{BlockingInfer, InferBackend, InferRequest, MockBackend, Tensor};
use classify_tests::spans::{Span, record};

fn request(id: u64) -> InferRequest {
    InferRequest::new(id, Tensor::new([1, 4], vec![0.0_f32; 4]).unwrap())
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn each_submit_and_each_inference_is_a_span_below_the_callers() {
    let backend = MockBackend::builder().build().unwrap();
    let spans = record(|| {
        let _caller = tracing::info_span!("caller").entered();
        for id in [7, 8] {
            backend
                .submit_blocking(request(id))
                .unwrap()
                .wait()
                .unwrap();
        }
    });
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["submit", "infer", "submit", "infer"]);
    for (name, slot) in [("submit", None), ("infer", Some("0"))] {
        for (span, id) in named(&spans, name).into_iter().zip(["7", "8"]) {
            assert_eq!(span.parent, Some("caller"));
            let field = |name: &str| span.fields.get(name).map(String::as_str);
            assert_eq!(field("backend"), Some("mock"), "{span:?}");
            assert_eq!(field("id"), Some(id), "{span:?}");
            assert_eq!(field("slot"), slot, "{span:?}");
        }
    }
    // The engine runs in the thread of the slot.
    let threads = named(&spans, "infer")
        .into_iter()
        .map(|span| span.thread.as_deref());
    assert_eq!(threads.collect::<Vec<_>>(), [Some("mock-0"); 2]);
}

#[test]
fn a_request_that_is_not_accepted_has_no_inference() {
    let backend = MockBackend::builder().build().unwrap();
    let spans = record(|| {
        let late = request(0).with_timeout(Duration::ZERO);
        assert!(backend.submit_blocking(late).is_err());
    });
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["submit"]);
    assert_eq!(backend.info().slots, 1);
}
