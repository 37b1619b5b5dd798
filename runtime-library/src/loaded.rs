//! One library of an engine for a process.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use backend_api::{Error, ErrorKind, FoundLibrary};

/// The library of an engine that this process has loaded, with the value that loading it gave.
///
/// Bindings hold one library for the life of the process, so this belongs in a `static`.
#[derive(Debug)]
pub struct LoadedLibrary<T> {
    engine: &'static str,
    load_hint: &'static str,
    loaded: Mutex<Option<(PathBuf, T)>>,
}

impl<T> LoadedLibrary<T> {
    /// Returns the state before a library of `engine` is loaded. `engine` is the name for people: `OpenVINO`.
    /// `load_hint` is the next step for a library that cannot be loaded: `install OpenVINO 2025.1.0 or newer`.
    pub const fn new(engine: &'static str, load_hint: &'static str) -> Self {
        Self {
            engine,
            load_hint,
            loaded: Mutex::new(None),
        }
    }

    /// Returns the path of the library that is loaded, if there is one.
    pub fn path(&self) -> Option<PathBuf> {
        self.lock().as_ref().map(|(path, _)| path.clone())
    }

    /// A panic leaves the library unloaded, which is consistent.
    fn lock(&self) -> MutexGuard<'_, Option<(PathBuf, T)>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> LoadedLibrary<T> {
    /// Loads `found` by `load`, once: later calls return a clone of the value. A panic of `load` is an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EngineUnavailable`]: `load` failed, or another library is loaded.
    pub fn load<E>(
        &self,
        found: &FoundLibrary,
        load: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<T, Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut loaded = self.lock();
        if let Some((path, value)) = loaded.as_ref() {
            if *path == found.path {
                return Ok(value.clone());
            }
            let message = format!("another {} library is already loaded", self.engine);
            return Err(self
                .unusable(&found.path, message)
                .with_context("loaded", path.display())
                .with_hint(format!("use one {} library per process", self.engine)));
        }
        // Bindings panic on a library that lacks a function.
        let value = catch_unwind(AssertUnwindSafe(|| load(&found.path).map_err(Into::into)))
            .unwrap_or_else(|_| Err("it lacks a function that the binding needs".into()))
            .map_err(|source| {
                let message = format!("the {} library cannot be loaded", self.engine);
                self.unusable(&found.path, message)
                    .with_hint(self.load_hint)
                    .with_source(source)
            })?;
        *loaded = Some((found.path.clone(), value.clone()));
        Ok(value)
    }

    fn unusable(&self, path: &Path, message: String) -> Error {
        Error::new(ErrorKind::EngineUnavailable, message)
            .with_context("engine", self.engine)
            .with_context("library", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> FoundLibrary {
        FoundLibrary {
            path: path.into(),
            origin: "a test".to_owned(),
        }
    }

    fn never(_: &Path) -> Result<u8, String> {
        panic!("loaded twice");
    }

    #[test]
    fn a_library_is_loaded_once_and_a_second_one_is_rejected() {
        let library = LoadedLibrary::new("Test Engine", "install it");
        assert_eq!(library.path(), None);
        let load = |_: &Path| Ok::<_, String>(7);
        assert_eq!(library.load(&found("/a"), load).unwrap(), 7);
        assert_eq!(library.load(&found("/a"), never).unwrap(), 7);
        let error = library.load(&found("/b"), never).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable);
        assert!(error.to_string().contains("is already loaded"), "{error}");
        assert!(error.to_string().contains("loaded: /a"), "{error}");
        assert_eq!(library.path(), Some("/a".into()));
    }

    #[test]
    fn after_a_failure_or_a_panic_another_library_can_be_loaded() {
        let library = LoadedLibrary::new("Test Engine", "install it");
        let error = library
            .load(&found("/a"), |_| Err("no such function"))
            .unwrap_err();
        assert!(error.to_string().contains("library: /a"), "{error}");
        let source = StdError::source(&error).unwrap().to_string();
        assert_eq!(source, "no such function");
        assert_eq!(error.hint(), Some("install it"));
        let error = library.load(&found("/b"), never).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable);
        let load = |_: &Path| Ok::<_, String>(7);
        assert_eq!(library.load(&found("/c"), load).unwrap(), 7);
    }
}
