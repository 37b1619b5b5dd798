//! OpenVINO IR: its XML, its weights, its stored precision and its preprocessing. The last byte says how many bytes of weights
//! there are.
#![no_main]

use backend_api::ModelSource;
use image_classification::sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&count, text)) = bytes.split_last() else {
        return;
    };
    let model = ModelSource::Bytes {
        model: text.into(),
        weights: (count > 0).then(|| vec![1; usize::from(count) * 16].into()),
    };
    let _ = model_file::check(model.clone());
    let _ = model_file::stored_precision(model.clone());
    let _ = sources::find(model);
});
