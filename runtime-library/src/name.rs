//! File names of shared libraries, and the versions in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Returns whether a file has the name of a shared library.
pub fn is_library_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.to_ascii_lowercase();
    let ends = |ending: &str| name.ends_with(ending);
    ends(".so") || ends(".dll") || ends(".dylib") || name.contains(".so.")
}

/// Returns the version in the file name of library `name`, links followed: `1.31.1`.
///
/// `None` if the file name has no version or belongs to another library.
pub fn version_in_name(library: &Path, name: &str) -> Option<String> {
    let file = library
        .canonicalize()
        .unwrap_or_else(|_| library.to_path_buf());
    let numbers = version(file.file_name()?.to_str()?, name)?;
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    (!numbers.is_empty()).then(|| numbers.join("."))
}

/// Returns the file names that library `name` may have, for messages.
pub(crate) fn patterns(name: &str) -> Vec<String> {
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

/// Returns the library `name` in `directory`: the file without a version if there is one, else the
/// highest version.
pub(crate) fn library_in(directory: &Path, name: &str) -> Option<PathBuf> {
    let mut candidates: Vec<(Vec<u64>, PathBuf)> = std::fs::read_dir(directory)
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

/// Returns the version numbers in the file name of library `name`, or `None` for any other file.
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
            // The name must end before the first dot: `libonnxruntime_providers_shared.so`.
            |_| numbers.is_empty() || numbers.starts_with('.'),
        )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;

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

    #[test]
    fn the_version_is_the_one_of_a_links_target() {
        let directory = tempfile::tempdir().unwrap();
        let (link, file) = (
            directory.path().join("libx.so"),
            directory.path().join("libx.so.1.31.1"),
        );
        File::create(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(version_in_name(&link, "x").as_deref(), Some("1.31.1"));
        assert_eq!(version_in_name(&link, "y"), None);
        assert_eq!(version_in_name(Path::new("/no/such/libx.so"), "x"), None);
    }

    #[test]
    fn the_newest_version_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["libx.so.1.9.0", "libx.so.1.10.0", "libx_other.so.2"] {
            File::create(directory.path().join(file)).unwrap();
        }
        assert_eq!(
            library_in(directory.path(), "x"),
            Some(directory.path().join("libx.so.1.10.0"))
        );
        File::create(directory.path().join("libx.so")).unwrap();
        assert_eq!(
            library_in(directory.path(), "x"),
            Some(directory.path().join("libx.so"))
        );
        assert_eq!(library_in(directory.path(), "y"), None);
    }
}
