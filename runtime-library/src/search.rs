//! The search for the shared library of an engine.

use std::env;
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind, FoundLibrary};

use crate::environment::{conda_libraries, package_parents, program_environments};
use crate::inspection::inspect;
use crate::loader_path::{self, LOADER_VARIABLE, without_current_directory};
use crate::name::{library_in, patterns};

/// The [`FoundLibrary::origin`] of a library at [`LibrarySearch::explicit`].
pub const EXPLICIT_PATH: &str = "the explicit path";
/// The [`FoundLibrary::origin`] of a library in one of [`LibrarySearch::directories`].
pub const CONFIGURED_DIRECTORIES: &str = "the configured directories";

/// The beginning of the last line of the error of a search, which lists places without a directory.
pub const NOTHING_IN: &str = "nothing in: ";

/// The description of a library and of the places where it may be.
#[derive(Debug, Clone)]
pub struct LibrarySearch<'a> {
    /// The engine's name for people: `OpenVINO`.
    pub engine: &'static str,
    /// The library's base name without prefix and suffix: `openvino_c`.
    pub name: &'static str,
    /// The beginnings of the file names of the engine's libraries, including those that it loads later:
    /// `libopenvino`, `libtbb`.
    pub families: &'static [&'static str],
    /// A function that the library must export, so that another library is not mistaken for it.
    pub symbol: &'static str,
    /// The path from the configuration: the library, or the directory that holds it.
    pub explicit: Option<&'a Path>,
    /// Absolute paths of directories from the configuration. Each holds the library, or is a Python
    /// environment.
    pub directories: &'a [PathBuf],
    /// The directory inside a Python environment's `site-packages`: `openvino/libs`.
    pub package_directory: &'static str,
    /// The vendor's variable, and the directories below its value that hold the library. Without
    /// directories the value is the library itself.
    pub vendor_variable: (&'static str, &'static [&'static str]),
    /// The hint of the error when no library is found: the ways to install the engine.
    pub install_hint: &'static str,
}

impl LibrarySearch<'_> {
    /// Looks for the library in the order of the [crate documentation](crate).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EngineUnavailable`], with the places that it looked in and what was wrong there.
    pub fn find(&self) -> Result<FoundLibrary, Error> {
        self.reject_current_directory()?;
        if let Some(path) = self.explicit {
            return self.at(path);
        }
        let (mut seen, mut nothing_in) = (Vec::new(), Vec::new());
        for (origin, directories) in self.places() {
            for directory in &directories {
                // A vendor's variable may name the library itself.
                let file = Some(directory.clone()).filter(|path| path.is_file());
                let Some(path) = file.or_else(|| library_in(directory, self.name)) else {
                    continue;
                };
                match self.inspect(&path) {
                    Ok(()) => return Ok(FoundLibrary { path, origin }),
                    Err(reason) => {
                        seen.push(format!("{origin}: {} {reason}", path.display()));
                    }
                }
            }
            let count = directories.len();
            match directories.first() {
                None => nothing_in.push(origin),
                Some(first) if count == 1 => {
                    seen.push(format!("{origin}: not in {}", first.display()));
                }
                Some(first) => {
                    let (first, others) = (first.display(), count - 1);
                    seen.push(format!("{origin}: not in {first} nor in {others} more"));
                }
            }
        }
        if !nothing_in.is_empty() {
            seen.push(format!("{NOTHING_IN}{}", nothing_in.join(", ")));
        }
        let seen: String = seen.iter().map(|line| listed(line)).collect();
        let message = format!("{} was not found; looked in:{seen}", self.engine);
        Err(Error::new(ErrorKind::EngineUnavailable, message).with_hint(self.install_hint))
    }

    /// See [the current directory](crate#the-current-directory).
    fn reject_current_directory(&self) -> Result<(), Error> {
        let Some(value) = loader_path::values()
            .into_iter()
            .find(|value| without_current_directory(value).is_some())
        else {
            return Ok(());
        };
        let message = format!(
            "{LOADER_VARIABLE} is {:?}, which has an empty or relative entry: the system's loader would load \
             libraries from the current directory",
            value.to_string_lossy()
        );
        Err(self.unavailable(message).with_hint(format!(
            "use only absolute entries in {LOADER_VARIABLE}; a leading, trailing or double colon is an empty entry"
        )))
    }

    /// Returns the library at the explicit `path`, a file or the directory that holds it.
    fn at(&self, path: &Path) -> Result<FoundLibrary, Error> {
        let hint = format!(
            "name the file {} or the directory that holds it",
            patterns(self.name).join(" or ")
        );
        // An absolute path, so that no loader searches for a bare name, and reports are clear.
        let path = std::path::absolute(path).map_err(|source| {
            self.unavailable(format!("{EXPLICIT_PATH} is empty"))
                .with_hint(&hint)
                .with_source(source)
        })?;
        let file = if path.is_dir() {
            library_in(&path, self.name)
        } else {
            Some(path.clone())
        };
        let reason = match file {
            None => "contains no such library".to_owned(),
            Some(path) => match self.inspect(&path) {
                Ok(()) => {
                    let origin = EXPLICIT_PATH.to_owned();
                    return Ok(FoundLibrary { path, origin });
                }
                Err(reason) => reason,
            },
        };
        Err(self
            .unavailable(format!("{} {reason}", path.display()))
            .with_hint(hint))
    }

    /// Inspects the library and the libraries of its families next to it: the engine loads them later, and a
    /// damaged one would kill the process then.
    fn inspect(&self, path: &Path) -> Result<(), String> {
        inspect(path, Some(self.symbol))?;
        let siblings = path
            .parent()
            .and_then(|directory| std::fs::read_dir(directory).ok());
        for entry in siblings.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_of_engine = self.families.iter().any(|family| name.starts_with(family));
            if is_of_engine && name.contains(".so") && entry.path() != path {
                inspect(&entry.path(), None).map_err(|reason| {
                    format!("needs {}, which {reason}", entry.path().display())
                })?;
            }
        }
        Ok(())
    }

    fn unavailable(&self, message: String) -> Error {
        Error::new(ErrorKind::EngineUnavailable, message).with_context("engine", self.engine)
    }

    /// Returns steps 2 to 6, each with the directories to look in.
    fn places(&self) -> Vec<(String, Vec<PathBuf>)> {
        let in_environments = |prefixes: Vec<PathBuf>| -> Vec<PathBuf> {
            let prefixes = prefixes.iter();
            prefixes
                .flat_map(|prefix| self.package_directories(prefix))
                .collect()
        };
        let variable_place = |variable: &str| match env::var_os(variable).map(PathBuf::from) {
            Some(path) if !path.is_absolute() && path != Path::new("") => format!(
                "the variable {variable} (it is {}, but must be an absolute path)",
                path.display()
            ),
            _ => format!("the variable {variable}"),
        };
        let mut places = vec![(
            "the program's own Python environment".to_owned(),
            in_environments(program_environments()),
        )];
        for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            let directories = in_environments(absolute_variable(variable).into_iter().collect());
            places.push((variable_place(variable), directories));
        }
        let (variable, below) = self.vendor_variable;
        let vendor = absolute_variable(variable).map_or_else(Vec::new, |value| {
            if below.is_empty() {
                vec![value]
            } else {
                below
                    .iter()
                    .map(|directory| value.join(directory))
                    .collect()
            }
        });
        places.push((variable_place(variable), vendor));
        let configured = self.directories.iter().filter(|path| path.is_absolute());
        let configured = configured.flat_map(|directory| {
            std::iter::once(directory.clone()).chain(self.package_directories(directory))
        });
        places.push((CONFIGURED_DIRECTORIES.to_owned(), configured.collect()));
        places.push((
            "the system's library directories".to_owned(),
            system_directories(),
        ));
        places
    }

    /// Returns the directories where the environment `prefix` keeps this engine's libraries, newest Python first.
    fn package_directories(&self, prefix: &Path) -> Vec<PathBuf> {
        let packages = package_parents(prefix).into_iter();
        packages
            .map(|parent| parent.join(self.package_directory))
            .chain(conda_libraries(prefix))
            .filter(|directory| directory.is_dir())
            .collect()
    }
}

/// Returns the value of a variable, unless it is relative: that would mean the current directory.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn system_directories() -> Vec<PathBuf> {
    let from_variable = env::var_os(LOADER_VARIABLE).unwrap_or_default();
    let usual: &[&str] = if cfg!(windows) {
        &[]
    } else if cfg!(target_os = "macos") {
        &[
            "/usr/local/lib",
            "/opt/homebrew/lib",
            "/opt/intel/openvino/runtime/lib",
        ]
    } else if cfg!(target_arch = "aarch64") {
        &[
            "/usr/local/lib",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/opt/intel/openvino/runtime/lib/aarch64",
        ]
    } else {
        &[
            "/usr/local/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/opt/intel/openvino/runtime/lib/intel64",
        ]
    };
    // An empty or relative entry means the current directory.
    env::split_paths(&from_variable)
        .filter(|directory| directory.is_absolute())
        .chain(usual.iter().map(PathBuf::from))
        .collect()
}

/// Returns a line of a list. Names of files may have line breaks, which are escaped.
fn listed(line: &str) -> String {
    let mut listed = "\n  ".to_owned();
    for character in line.chars() {
        if character.is_control() {
            listed.extend(character.escape_default());
        } else {
            listed.push(character);
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(explicit: &Path) -> LibrarySearch<'_> {
        LibrarySearch {
            engine: "Test Engine",
            name: "test_engine",
            families: &["libtest_"],
            symbol: "test_engine_start",
            explicit: Some(explicit),
            directories: &[],
            package_directory: "test_engine/libs",
            vendor_variable: ("NO_SUCH_VARIABLE_TEST_VENDOR", &[]),
            install_hint: "install it",
        }
    }

    /// Returns the C library, with which every program on Linux is linked.
    #[cfg(target_os = "linux")]
    fn libc() -> PathBuf {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut paths = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5));
        let libc = paths.find(|path| path.contains("/libc.so") || path.contains("/libc-"));
        libc.unwrap().into()
    }

    #[test]
    fn an_explicit_path_is_binding_and_says_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("libtest_engine.so");
        let error = search(&missing).find().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable);
        assert!(error.to_string().contains("does not exist"), "{error}");
        let error = search(directory.path()).find().unwrap_err();
        assert!(
            error.to_string().contains("contains no such library"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("test_engine"), "{error:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn libraries_are_inspected_not_loaded() {
        let libc = libc();
        let whole = std::fs::read(&libc).unwrap();
        assert_eq!(inspect(&libc, Some("strlen")), Ok(()));
        assert!(
            inspect(&libc, Some("no_such_function"))
                .unwrap_err()
                .contains("not export")
        );

        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("libtest_engine.so");
        for length in [
            0,
            3,
            63,
            64,
            200,
            4096,
            whole.len() / 2,
            whole.len() - whole.len() / 8,
        ] {
            std::fs::write(&copy, &whole[..length]).unwrap();
            let error = search(&copy).find().unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::EngineUnavailable,
                "{length} bytes: {error}"
            );
        }
        // A sound library next to a damaged one that it would load.
        std::fs::write(
            directory.path().join("libtest_plugin.so.1"),
            &whole[..whole.len() / 2],
        )
        .unwrap();
        std::fs::write(&copy, &whole).unwrap();
        let strlen = LibrarySearch {
            symbol: "strlen",
            ..search(&copy)
        };
        let error = strlen.find().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("libtest_plugin.so.1, which is not a valid shared library"),
            "{error}"
        );
        std::fs::remove_file(directory.path().join("libtest_plugin.so.1")).unwrap();
        assert_eq!(strlen.find().unwrap().path, copy);

        let mut foreign = whole;
        foreign[18] = 40; // e_machine: 32-bit ARM
        std::fs::write(&copy, &foreign).unwrap();
        let error = search(&copy).find().unwrap_err();
        assert!(error.to_string().contains("another machine"), "{error}");
    }

    #[test]
    fn an_environment_is_searched_newest_python_first() {
        let directory = tempfile::tempdir().unwrap();
        let libs = |python: &str| {
            directory
                .path()
                .join(python)
                .join("site-packages/test_engine/libs")
        };
        for python in ["lib/python3.9", "lib/python3.11"] {
            std::fs::create_dir_all(libs(python)).unwrap();
        }
        let found = search(Path::new("/")).package_directories(directory.path());
        assert_eq!(found, [libs("lib/python3.11"), libs("lib/python3.9")]);
        // conda's own packages of an engine have no Python in them.
        std::fs::create_dir(directory.path().join("conda-meta")).unwrap();
        let found = search(Path::new("/")).package_directories(directory.path());
        assert_eq!(found[2..], [directory.path().join("lib")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn configured_directories_hold_the_library_or_are_environments() {
        let root = tempfile::tempdir().unwrap();
        let environment = root.path().join("environment");
        let package = environment.join("lib/python3.11/site-packages/test_engine/libs");
        let plain = root.path().join("plain");
        for directory in [&package, &plain] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::copy(libc(), directory.join("libtest_engine.so")).unwrap();
        }
        for (configured, holder) in [(&environment, &package), (&plain, &plain)] {
            let directories = [PathBuf::from("relative"), configured.clone()];
            let search = LibrarySearch {
                explicit: None,
                directories: &directories,
                symbol: "strlen",
                ..search(Path::new("/"))
            };
            let found = search.find().unwrap();
            assert_eq!(found.path, holder.join("libtest_engine.so"));
            assert_eq!(found.origin, CONFIGURED_DIRECTORIES);
        }
    }

    #[test]
    fn names_add_no_lines_to_the_list() {
        let line = listed("PATH: not in /a\nerror: b\u{1b}/ä");
        assert_eq!(line, "\n  PATH: not in /a\\nerror: b\\u{1b}/ä");
    }
}
