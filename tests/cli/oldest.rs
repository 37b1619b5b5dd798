//! The oldest supported version of each engine.

use classify_tests::{Needs, blocks, ensure, expect_code, photos, run, set_up};
use libtest_mimic::{Failed, Trial};

use crate::classify;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let needs = with_set_up.and(&Needs::oldest());
    let tests: [(&str, fn() -> Result<(), Failed>); 2] = [
        ("oldest::onnx_runtime", || {
            same_answers("onnx", "--onnxruntime-lib", "onnxruntime/capi", "1.22.0")
        }),
        ("oldest::openvino", || {
            same_answers("openvino", "--openvino-lib", "openvino/libs", "2025.1")
        }),
    ];
    tests.map(|(name, test)| needs.test(name, test)).into()
}

/// The ten best classes of every photo are those of the tested version, with the same probabilities.
fn same_answers(backend: &str, flag: &str, directory: &str, version: &str) -> Result<(), Failed> {
    let photos = photos()?;
    let library = set_up("oldest").join(directory);
    for model in ["mobilenet-v2/model.onnx", "squeezenet1.1.onnx"] {
        let answers = |oldest: bool| {
            let mut command = classify();
            command.args(["--backend", backend]);
            if oldest {
                command.arg(flag).arg(&library);
            }
            let model = set_up("models").join(model);
            run(command.arg("-m").arg(model).arg("-i").args(&photos))
        };
        let (old, new) = (answers(true), answers(false));
        expect_code(&old, 0)?;
        expect_code(&new, 0)?;
        ensure(old.stdout.contains(version), (version, &old))?;
        let (old, new) = (blocks(&old.stdout), blocks(&new.stdout));
        ensure(
            old.len() == photos.len() && old.len() == new.len(),
            old.len(),
        )?;
        for ((name, old), (_, new)) in old.iter().zip(&new) {
            // The fourth decimal may be rounded the other way.
            let same = old.len() == 10
                && old.iter().zip(new).all(|(old, new)| {
                    let near = (old.probability - new.probability).abs() < 1.5e-4;
                    near && (old.class_id == new.class_id || old.probability < 1e-4)
                });
            ensure(same, (name, old, new))?;
        }
    }
    Ok(())
}
