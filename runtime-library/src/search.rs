//! The search for the shared library of an engine.

use std::cmp::Reverse;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::abi::{EM_AARCH64, EM_X86_64, PT_LOAD};
use elf::endian::NativeEndian;
use elf::file::Class;

use backend_api::{Error, ErrorKind, FoundLibrary};

/// What to look for, and where.
#[derive(Debug, Clone)]
pub struct LibrarySearch<'a> {
    /// The engine's name for people: `OpenVINO`.
    pub engine: &'static str,
    /// The library's base name without prefix and suffix: `openvino_c`.
    pub name: &'static str,
    /// How the names of the engine's libraries begin, those that it loads later included:
    /// `libopenvino`, `libtbb`.
    pub families: &'static [&'static str],
    /// A function that the library must export, so that another library is not taken for it.
    pub symbol: &'static str,
    /// The path from the configuration: the library, or the folder that holds it.
    pub explicit: Option<&'a Path>,
    /// The environment variable with the same meaning as [`explicit`](Self::explicit).
    pub variable: &'static str,
    /// The folder inside a Python environment's `site-packages`: `openvino/libs`.
    pub package_folder: &'static str,
    /// The vendor's variable, and the folders below its value that hold the library. With no
    /// folders the value is the library itself.
    pub vendor_variable: (&'static str, &'static [&'static str]),
    /// Ends the error when nothing is found: how to get the engine.
    pub install_hint: &'static str,
}

impl LibrarySearch<'_> {
    /// Looks for the library in the order of the [crate documentation](crate).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EngineUnavailable`], listing where it looked and what was wrong there.
    pub fn find(&self) -> Result<FoundLibrary, Error> {
        self.refuse_current_directory()?;
        let named = |path: PathBuf, origin: String| self.binding(&path, origin);
        if let Some(path) = self.explicit {
            return named(path.to_path_buf(), "the explicit path".to_owned());
        }
        if let Some(value) = env::var_os(self.variable).filter(|value| !value.is_empty()) {
            let origin = format!("the variable {}", self.variable);
            let path = PathBuf::from(value);
            if !path.is_absolute() {
                let message = format!("{origin} is {}, which is no absolute path", path.display());
                let hint = format!("write the absolute path into {}", self.variable);
                return Err(self.unavailable(message).with_hint(hint));
            }
            return named(path, origin);
        }
        let mut seen = String::new();
        for (origin, folders) in self.places() {
            for folder in &folders {
                // A vendor's variable may name the library itself.
                let file = Some(folder.clone()).filter(|path| path.is_file());
                let Some(path) = file.or_else(|| library_in(folder, self.name)) else {
                    continue;
                };
                match self.inspect(&path) {
                    Ok(()) => return Ok(FoundLibrary { path, origin }),
                    Err(reason) => {
                        let _ = write!(seen, "\n  {origin}: {} {reason}", path.display());
                    }
                }
            }
            let count = folders.len();
            let _ = match folders.first() {
                None => write!(seen, "\n  {origin}: none"),
                Some(first) if count == 1 => {
                    write!(seen, "\n  {origin}: not in {}", first.display())
                }
                Some(first) => write!(
                    seen,
                    "\n  {origin}: not in {} nor in {} more",
                    first.display(),
                    count - 1
                ),
            };
        }
        Err(self
            .unavailable(format!(
                "the {} runtime was not found; looked in:{seen}",
                self.engine
            ))
            .with_hint(self.install_hint))
    }

    /// See [the current directory](crate#the-current-directory).
    fn refuse_current_directory(&self) -> Result<(), Error> {
        let Some(value) = loader_values()
            .into_iter()
            .find(|value| without_current_directory(value).is_some())
        else {
            return Ok(());
        };
        let message = format!(
            "{LOADER_VARIABLE} is `{}`, which has an empty or relative entry: the system's loader would \
             run libraries of the current directory",
            value.display()
        );
        Err(self.unavailable(message).with_hint(format!(
            "start the program with absolute entries in {LOADER_VARIABLE} only; a colon at its begin or \
             end, or two in a row, are an empty entry"
        )))
    }

    /// An explicit choice: a library, or a folder with one, or an error.
    fn binding(&self, path: &Path, origin: String) -> Result<FoundLibrary, Error> {
        let hint = format!(
            "name the file {} or the folder that holds it",
            file_name_patterns(self.name).join(" or ")
        );
        // An absolute path, so that no loader searches for a bare name, and reports are clear.
        let path = std::path::absolute(path).map_err(|source| {
            self.unavailable(format!("{origin} is empty"))
                .with_hint(&hint)
                .with_source(source)
        })?;
        let file = if path.is_dir() {
            library_in(&path, self.name)
        } else {
            Some(path.clone())
        };
        let reason = match file {
            None => "holds no such library".to_owned(),
            Some(path) => match self.inspect(&path) {
                Ok(()) => return Ok(FoundLibrary { path, origin }),
                Err(reason) => reason,
            },
        };
        Err(self
            .unavailable(format!("{} {reason}", path.display()))
            .with_context("from", origin)
            .with_hint(hint))
    }

    /// Inspects the library, and those of its families beside it: the engine loads them later, and a
    /// damaged one would kill the process then.
    fn inspect(&self, path: &Path) -> Result<(), String> {
        inspect(path, Some(self.symbol))?;
        let beside = path
            .parent()
            .and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in beside.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_engine = self.families.iter().any(|family| name.starts_with(family));
            if of_engine && name.contains(".so") && entry.path() != path {
                inspect(&entry.path(), None).map_err(|reason| {
                    format!("needs {}, which {reason}", entry.path().display())
                })?;
            }
        }
        Ok(())
    }

    fn unavailable(&self, message: String) -> Error {
        Error::new(ErrorKind::EngineUnavailable, "find the engine", message)
            .with_context("engine", self.engine)
    }

    /// Steps 3 to 7, each with the folders to look in.
    fn places(&self) -> Vec<(String, Vec<PathBuf>)> {
        let mut places = Vec::new();
        let in_environments = |prefixes: &mut dyn Iterator<Item = PathBuf>| {
            prefixes
                .flat_map(|prefix| self.package_folders(&prefix))
                .collect::<Vec<_>>()
        };

        let own = in_environments(&mut program_prefix().into_iter());
        places.push(("the program's own Python environment".to_owned(), own));
        let place = |variable: &str| match env::var_os(variable).map(PathBuf::from) {
            Some(path) if !path.is_absolute() && path != Path::new("") => format!(
                "the variable {variable} (it is {}, but must be an absolute path)",
                path.display()
            ),
            _ => format!("the variable {variable}"),
        };
        for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            let mut prefix = absolute_variable(variable).into_iter();
            places.push((place(variable), in_environments(&mut prefix)));
        }
        let (variable, folders) = self.vendor_variable;
        let vendor = absolute_variable(variable).map_or_else(Vec::new, |value| {
            if folders.is_empty() {
                vec![value]
            } else {
                folders.iter().map(|folder| value.join(folder)).collect()
            }
        });
        places.push((place(variable), vendor));
        let mut set_up = set_up_folder()
            .map(|folder| folder.join("python"))
            .into_iter();
        let wrong = env::var_os("CLASSIFY_HOME")
            .map(PathBuf::from)
            .filter(|home| !home.is_absolute() || !home.is_dir());
        let place = match wrong {
            None => "the set-up folder".to_owned(),
            Some(home) => format!(
                "the set-up folder (CLASSIFY_HOME is {}, but must be the absolute path of a folder)",
                home.display()
            ),
        };
        places.push((place, in_environments(&mut set_up)));
        places.push(("the system's library folders".to_owned(), system_folders()));
        places
    }

    /// Where an environment with `prefix` keeps this engine's libraries, newest Python first.
    fn package_folders(&self, prefix: &Path) -> Vec<PathBuf> {
        let mut versions: Vec<(Reverse<u32>, PathBuf)> = std::fs::read_dir(prefix.join("lib"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                // As a number: as text, 3.9 would be newer than 3.11.
                let minor = entry
                    .file_name()
                    .to_str()?
                    .strip_prefix("python3.")?
                    .parse()
                    .ok()?;
                Some((Reverse(minor), entry.path()))
            })
            .collect();
        versions.sort();
        let mut folders: Vec<PathBuf> = versions
            .into_iter()
            .map(|(_, path)| path.join("site-packages"))
            .collect();
        if cfg!(windows) {
            folders.push(prefix.join("Lib").join("site-packages"));
        }
        // `pip install --target DIR` puts packages into DIR itself and programs into DIR/bin.
        folders.push(prefix.to_path_buf());
        folders.retain(|folder| folder.join(self.package_folder).is_dir());
        folders
            .into_iter()
            .map(|folder| folder.join(self.package_folder))
            .collect()
    }
}

/// The folder that the set-up fills: `CLASSIFY_HOME`, or `assets` in the checkout that the running
/// program was built in. `None` if there is none.
pub fn set_up_folder() -> Option<PathBuf> {
    absolute_variable("CLASSIFY_HOME").or_else(|| {
        // <checkout>/target/<profile>[/deps]/<program>
        let program = env::current_exe().ok()?;
        let target = program
            .ancestors()
            .find(|folder| folder.ends_with("target"))?;
        Some(target.parent()?.join("assets")).filter(|folder| folder.is_dir())
    })
}

/// A relative value would mean "relative to the current directory", from where nothing is loaded.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// The environment that the program is installed in: what is above its `bin`. Nothing, if it is
/// anywhere else: above a download folder, anything may lie.
fn program_prefix() -> Option<PathBuf> {
    let folder = env::current_exe()
        .and_then(|program| program.canonicalize())
        .ok()?;
    let folder = folder.parent()?;
    let installed = folder.ends_with("bin") || folder.ends_with("Scripts");
    folder.parent().filter(|_| installed).map(Path::to_path_buf)
}

/// The variable that says where the system's loader looks for libraries first.
pub const LOADER_VARIABLE: &str = if cfg!(windows) {
    "PATH"
} else if cfg!(target_vendor = "apple") {
    "DYLD_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};

/// The value of [`LOADER_VARIABLE`] without the entries that mean the current directory or a folder below
/// it. `None` if it has none of these.
#[cfg(unix)]
pub fn without_current_directory(value: &OsStr) -> Option<OsString> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let is_separator = |byte: &u8| {
        // glibc takes both.
        *byte == b':' || *byte == b';' && cfg!(target_env = "gnu")
    };
    // glibc's name for the folder of the program.
    let is_absolute = |entry: &&[u8]| {
        [&b"/"[..], b"$ORIGIN", b"${ORIGIN}"]
            .iter()
            .any(|start| entry.starts_with(start))
    };
    let entries = || value.as_bytes().split(is_separator);
    if value.is_empty() || entries().all(|entry| is_absolute(&entry)) {
        return None;
    }
    let absolute: Vec<&[u8]> = entries().filter(is_absolute).collect();
    Some(OsString::from_vec(absolute.join(&b':')))
}

/// Windows has no such entries: its loader looks in the folder of the library that asks.
#[cfg(not(unix))]
pub fn without_current_directory(_: &OsStr) -> Option<OsString> {
    None
}

/// The values of [`LOADER_VARIABLE`]: now, and when the program started, which is the one that counts.
fn loader_values() -> Vec<OsString> {
    let mut values: Vec<OsString> = env::var_os(LOADER_VARIABLE).into_iter().collect();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let start = std::fs::read("/proc/self/environ").unwrap_or_default();
        let name = format!("{LOADER_VARIABLE}=");
        let at_start = start
            .split(|byte| *byte == 0)
            .filter_map(|entry| entry.strip_prefix(name.as_bytes()))
            .map(|value| OsString::from_vec(value.to_vec()));
        values.extend(at_start);
    }
    values
}

fn system_folders() -> Vec<PathBuf> {
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
        .filter(|folder| folder.is_absolute())
        .chain(usual.iter().map(PathBuf::from))
        .collect()
}

/// Returns whether a file has the name of a shared library.
pub fn is_library_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.to_ascii_lowercase();
    let ends = |ending: &str| name.ends_with(ending);
    ends(".so") || ends(".dll") || ends(".dylib") || name.contains(".so.")
}

fn file_name_patterns(name: &str) -> Vec<String> {
    if cfg!(windows) {
        vec![format!("{name}.dll")]
    } else if cfg!(target_os = "macos") {
        vec![
            format!("lib{name}.dylib"),
            format!("lib{name}.<version>.dylib"),
        ]
    } else {
        vec![format!("lib{name}.so"), format!("lib{name}.so.<version>")]
    }
}

/// The library called `name` in `folder`: without a version if there is such a file, else the
/// highest version.
fn library_in(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut candidates: Vec<(Vec<u64>, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((version(entry.file_name().to_str()?, name)?, entry.path())))
        .filter(|(_, path)| path.is_file())
        .collect();
    candidates.sort();
    candidates
        .iter()
        .find(|(version, _)| version.is_empty())
        .or_else(|| candidates.last())
        .map(|(_, path)| path.clone())
}

/// The version numbers in the file name of library `name`, or `None` for any other file.
fn version(file_name: &str, name: &str) -> Option<Vec<u64>> {
    let numbers = if cfg!(windows) {
        file_name.strip_suffix(".dll")?.strip_prefix(name)?
    } else if cfg!(target_os = "macos") {
        file_name
            .strip_suffix(".dylib")?
            .strip_prefix("lib")?
            .strip_prefix(name)?
    } else {
        file_name
            .strip_prefix("lib")?
            .strip_prefix(name)?
            .strip_prefix(".so")?
    };
    numbers
        .split('.')
        .skip(1)
        .map(|number| number.parse().ok())
        .collect::<Option<Vec<_>>>()
        .filter(
            // What precedes the first point must be nothing: `libonnxruntime_providers_shared.so`.
            |_| numbers.is_empty() || numbers.starts_with('.'),
        )
}

/// Checks without loading that `path` is a library for this machine with all of its bytes, and
/// that it exports `symbol`, if one is named. Only ELF files are looked into.
///
/// # Errors
///
/// What is wrong, as the end of a sentence that begins with the path.
pub fn inspect(path: &Path, symbol: Option<&str>) -> Result<(), String> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be opened: {error}"),
    })?;
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if cfg!(all(unix, not(target_vendor = "apple"))) {
        inspect_elf(file, metadata.len(), symbol)
    } else {
        Ok(())
    }
}

fn inspect_elf(file: File, length: u64, symbol: Option<&str>) -> Result<(), String> {
    let not_elf = |error| format!("is not a whole shared library: {error}");
    let mut elf = ElfStream::<NativeEndian, _>::open_stream(file).map_err(not_elf)?;
    let machine = if cfg!(target_arch = "aarch64") {
        EM_AARCH64
    } else {
        EM_X86_64
    };
    if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != machine {
        return Err(format!(
            "is a library for another machine (ELF machine {}, this is {machine})",
            elf.ehdr.e_machine
        ));
    }
    for segment in elf
        .segments()
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD)
    {
        let end = segment.p_offset.checked_add(segment.p_filesz);
        if end.is_none_or(|end| end > length) {
            return Err(format!(
                "is damaged: it has {length} bytes, but a segment ends at byte {}",
                end.unwrap_or(u64::MAX)
            ));
        }
    }
    let Some(symbol) = symbol else { return Ok(()) };
    let table = elf
        .dynamic_symbol_table()
        .map_err(|error| format!("is damaged: {error}"))?;
    let exports = table.is_some_and(|(symbols, names)| {
        symbols.iter().any(|entry| {
            !entry.is_undefined()
                && names
                    .get(entry.st_name as usize)
                    .is_ok_and(|name| name == symbol)
        })
    });
    if exports {
        Ok(())
    } else {
        Err(format!("does not export `{symbol}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn file_names_give_versions() {
        assert_eq!(version("libopenvino_c.so", "openvino_c"), Some(vec![]));
        assert_eq!(
            version("libopenvino_c.so.2641", "openvino_c"),
            Some(vec![2641])
        );
        assert_eq!(
            version("libonnxruntime.so.1.31.1", "onnxruntime"),
            Some(vec![1, 31, 1])
        );
        for other in [
            "libonnxruntime_providers_shared.so",
            "libopenvino.so.2641",
            "libonnxruntime.so.old",
            "onnxruntime.so",
            "libonnxruntime.so1",
        ] {
            assert_eq!(version(other, "onnxruntime"), None, "{other}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_version_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["libx.so.1.9.0", "libx.so.1.10.0", "libx_other.so.2"] {
            File::create(folder.path().join(file)).unwrap();
        }
        assert_eq!(
            library_in(folder.path(), "x"),
            Some(folder.path().join("libx.so.1.10.0"))
        );
        File::create(folder.path().join("libx.so")).unwrap();
        assert_eq!(
            library_in(folder.path(), "x"),
            Some(folder.path().join("libx.so"))
        );
        assert_eq!(library_in(folder.path(), "y"), None);
    }

    fn search(explicit: &Path) -> LibrarySearch<'_> {
        LibrarySearch {
            engine: "Test Engine",
            name: "test_engine",
            families: &["libtest_"],
            symbol: "test_engine_start",
            explicit: Some(explicit),
            variable: "NO_SUCH_VARIABLE_TEST_ENGINE",
            package_folder: "test_engine/libs",
            vendor_variable: ("NO_SUCH_VARIABLE_TEST_VENDOR", &[]),
            install_hint: "install it",
        }
    }

    #[cfg(unix)]
    #[test]
    fn entries_of_the_current_directory_are_left_out() {
        let without = |value: &str| {
            without_current_directory(OsStr::new(value)).map(|value| value.into_string().unwrap())
        };
        for clean in ["", "/a", "/a:/b", "$ORIGIN/../lib", "${ORIGIN}:/a"] {
            assert_eq!(without(clean), None, "{clean}");
        }
        for (value, rest) in [
            (":", ""),
            (".", ""),
            ("lib", ""),
            ("$LIB", ""),
            (":/a", "/a"),
            ("/a:", "/a"),
            ("/a::/b", "/a:/b"),
            ("/a:.:/b:lib/x", "/a:/b"),
            ("./a:/b", "/b"),
            ("..:/b", "/b"),
        ] {
            assert_eq!(without(value).as_deref(), Some(rest), "{value}");
        }
        #[cfg(target_env = "gnu")]
        assert_eq!(without("/a;lib;/b").as_deref(), Some("/a:/b"));
    }

    #[test]
    fn an_explicit_path_is_binding_and_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("libtest_engine.so");
        let error = search(&missing).find().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable);
        assert!(error.to_string().contains("does not exist"), "{error}");
        let error = search(folder.path()).find().unwrap_err();
        assert!(
            error.to_string().contains("holds no such library"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("test_engine"), "{error:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn libraries_are_inspected_not_loaded() {
        // Every program on Linux is linked with this one.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .find(|path| path.contains("/libc.so") || path.contains("/libc-"))
            .unwrap();
        let whole = std::fs::read(libc).unwrap();
        assert_eq!(inspect(Path::new(libc), Some("strlen")), Ok(()));
        assert!(
            inspect(Path::new(libc), Some("no_such_function"))
                .unwrap_err()
                .contains("not export")
        );

        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("libtest_engine.so");
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
        // A sound library beside a damaged one that it would load.
        std::fs::write(
            folder.path().join("libtest_plugin.so.1"),
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
                .contains("libtest_plugin.so.1, which is not a whole shared library"),
            "{error}"
        );
        std::fs::remove_file(folder.path().join("libtest_plugin.so.1")).unwrap();
        assert_eq!(strlen.find().unwrap().path, copy);

        let mut foreign = whole;
        foreign[18] = 40; // e_machine: 32-bit ARM
        std::fs::write(&copy, &foreign).unwrap();
        let error = search(&copy).find().unwrap_err();
        assert!(error.to_string().contains("another machine"), "{error}");
    }

    #[test]
    fn an_environment_is_searched_newest_python_first() {
        let folder = tempfile::tempdir().unwrap();
        let libs = |python: &str| {
            folder
                .path()
                .join(python)
                .join("site-packages/test_engine/libs")
        };
        for python in ["lib/python3.9", "lib/python3.11"] {
            std::fs::create_dir_all(libs(python)).unwrap();
        }
        let found = search(Path::new("/")).package_folders(folder.path());
        assert_eq!(found, [libs("lib/python3.11"), libs("lib/python3.9")]);
    }
}
