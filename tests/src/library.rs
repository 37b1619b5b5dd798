//! Tests of engines that load a shared library.

use std::path::PathBuf;

use backend_api::{Error, ErrorKind, FoundLibrary, InferBackend};
use libtest_mimic::{Failed, Trial};

use crate::models::error;
use crate::{Needs, ensure};

/// An engine with a shared library.
#[derive(Debug, Clone, Copy)]
pub struct Loader {
    /// Finds the library.
    pub find: fn() -> Result<FoundLibrary, Error>,
    /// Opens a small model with this library, or with the one that is found.
    pub open: fn(Option<PathBuf>) -> Result<Box<dyn InferBackend>, Error>,
}

/// Tests of an engine's library: a second one in the process, and files that are none.
pub fn library_trials(loader: Loader) -> Vec<Trial> {
    let needs = Needs::engine(&(loader.find)());
    vec![
        needs.test("a_second_runtime_is_refused", move || second(loader)),
        Trial::test("a_wrong_library_is_refused", move || wrong(loader)),
    ]
}

fn second(loader: Loader) -> Result<(), Failed> {
    let first = (loader.open)(None)?.info().library.clone();
    let first = first.ok_or("the backend does not name its library")?;
    ensure(first == (loader.find)()?, &first)?;
    let directory = tempfile::tempdir()?;
    let name = first.path.file_name().ok_or("the library has no name")?;
    let copy = directory.path().join(name);
    std::fs::copy(&first.path, &copy)?;
    let refused = error((loader.open)(Some(copy)), ErrorKind::EngineUnavailable)?;
    let text = refused.to_string();
    let names_both = text.contains(&*first.path.to_string_lossy());
    ensure(text.contains("is already loaded") && names_both, refused)
}

fn wrong(loader: Loader) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for (name, bytes) in [("text.so", &b"not a library"[..]), ("empty.so", b"")] {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes)?;
        let refused = error((loader.open)(Some(path)), ErrorKind::EngineUnavailable)?;
        ensure(refused.to_string().contains(name), refused)?;
    }
    Ok(())
}
