//! Files of OpenVINO's plugins. No library is loaded.
#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../../backend-openvino/src/plugins.rs"]
mod plugins;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("plugins.xml");
        std::fs::write(&path, bytes).expect("a file");
        let libraries = plugins::plugin_libraries(&path).len();
        if let Ok(plugins) = plugins::Plugins::read(Some(&path)) {
            assert!(libraries > 0);
            let _ = plugins.alias("CPU.0");
        }
    });
});
