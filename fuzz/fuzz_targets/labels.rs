//! Lists of labels in all of their forms.
#![no_main]

use image_classification::Labels;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = Labels::parse(bytes) {
        assert!(!labels.is_empty());
        let last = labels.get(labels.len() - 1);
        assert!(last.is_some() && labels.get(labels.len()).is_none());
        let count = labels.len();
        let _ = labels.clone().fitted(count + 1);
        let _ = labels.fitted(count - 1);
    }
});
