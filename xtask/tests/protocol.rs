//! The code of the Open Inference Protocol that is checked in is what its definition gives.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the code for `PACKAGE` in the definition: messages, and the client or the server.
fn generate(is_server: bool) -> String {
    let out = tempfile::tempdir().unwrap();
    let definition = checkout().join("backend-remote/proto");
    let files = protox::compile(["open_inference.proto"], [&definition]).unwrap();
    tonic_prost_build::configure()
        .build_client(!is_server)
        .build_server(is_server)
        .build_transport(false)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    fs::read_to_string(out.path().join("inference.rs")).unwrap()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `SNAPSHOTS=overwrite cargo test -p xtask --test protocol` writes the files.
#[test]
fn generated_code_is_what_the_definition_gives() {
    let overwrites = std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite");
    for (file, is_server) in [
        ("backend-remote/src/protocol/inference.rs", false),
        ("tests/server/src/protocol/inference.rs", true),
    ] {
        let path = checkout().join(file);
        let code = generate(is_server);
        if overwrites {
            fs::write(&path, &code).unwrap();
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == code,
            "{file} is not what backend-remote/proto gives; write it by `SNAPSHOTS=overwrite cargo test -p xtask --test protocol`"
        );
    }
}
