//! The search path of the system's loader.

use std::env;
use std::ffi::{OsStr, OsString};

/// The variable that names the directories in which the system's loader looks for libraries first.
pub const LOADER_VARIABLE: &str = if cfg!(windows) {
    "PATH"
} else if cfg!(target_vendor = "apple") {
    "DYLD_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};

/// Returns the value of [`LOADER_VARIABLE`] without the entries that mean the current directory or a
/// directory below it, or that are links of the system to what a process has open; `None` if there is no such entry.
#[cfg(unix)]
pub fn without_current_directory(value: &OsStr) -> Option<OsString> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Component, Path};

    let is_separator = |byte: &u8| {
        // glibc takes both.
        *byte == b':' || *byte == b';' && cfg!(target_env = "gnu")
    };
    // glibc's name for the directory of the program. Other loaders, and glibc if a letter or `_` follows, take it for a
    // directory that is called so.
    let is_in_origin = |entry: &[u8]| {
        let names = [&b"$ORIGIN"[..], b"${ORIGIN}"];
        let mut rests = names.iter().filter_map(|name| entry.strip_prefix(*name));
        cfg!(target_env = "gnu") && rests.any(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    // `/proc/self/cwd` and `/dev/fd/3` may be the current directory. Behind `$ORIGIN` any `..` may lead there.
    let leads_to_link = |entry: &[u8]| {
        let mut names: Vec<&[u8]> = Vec::new();
        for part in Path::new(OsStr::from_bytes(entry)).components() {
            match part {
                Component::Normal(name) => names.push(name.as_bytes()),
                Component::ParentDir if !is_in_origin(entry) => drop(names.pop()),
                _ => {}
            }
        }
        if is_in_origin(entry) {
            let is_link = |pair: &[&[u8]]| pair == [b"dev" as &[u8], b"fd"];
            return names.contains(&(b"proc" as &[u8])) || names.windows(2).any(is_link);
        }
        matches!(names[..], [b"proc", ..] | [b"dev", b"fd", ..])
    };
    let is_safe =
        |entry: &&[u8]| (entry.starts_with(b"/") || is_in_origin(entry)) && !leads_to_link(entry);
    let entries = || value.as_bytes().split(is_separator);
    if value.is_empty() || entries().all(|entry| is_safe(&entry)) {
        return None;
    }
    let safe: Vec<&[u8]> = entries().filter(is_safe).collect();
    Some(OsString::from_vec(safe.join(&b':')))
}

/// Returns `None`: Windows has no such entries, because its loader looks in the directory of the library
/// that asks.
#[cfg(not(unix))]
pub fn without_current_directory(_: &OsStr) -> Option<OsString> {
    None
}

/// Returns the values of [`LOADER_VARIABLE`]: the present one, and the one at the program's start, which
/// is the one that counts.
pub(crate) fn values() -> Vec<OsString> {
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_current_directory_are_left_out() {
        let without = |value: &str| {
            without_current_directory(OsStr::new(value)).map(|value| value.into_string().unwrap())
        };
        for clean in [
            "",
            "/a",
            "/a:/b",
            "/a/proc",
            "/process",
            "/a/../b",
            "/dev/shm/lib",
        ] {
            assert_eq!(without(clean), None, "{clean}");
        }
        #[cfg(target_env = "gnu")]
        for clean in ["$ORIGIN/../lib", "${ORIGIN}:/a", "/a:$ORIGIN"] {
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
            ("$ORIGINx", ""),
            ("$ORIGIN_:/a", "/a"),
            ("${ORIGIN}x/lib:/a", "/a"),
            ("$ORIGINX/sub:/a", "/a"),
            ("/proc/self/cwd:/a", "/a"),
            ("/proc/self/cwd/lib", ""),
            ("/a/../proc/self/cwd:/b", "/b"),
            ("//dev/fd/7:/a", "/a"),
            ("/dev/shm/../fd/7:/a", "/a"),
            ("$ORIGIN/../../proc/self/cwd:/a", "/a"),
            ("${ORIGIN}/../../dev/fd/7", ""),
        ] {
            assert_eq!(without(value).as_deref(), Some(rest), "{value}");
        }
        #[cfg(target_env = "gnu")]
        assert_eq!(without("/a;lib;/b").as_deref(), Some("/a:/b"));
    }
}
