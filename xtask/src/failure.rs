//! Errors with a next step, and the next step for errors that the system reports.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// An error and its remedy.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Failure {}

const RERUN: &str = "run the same command again; finished steps are kept";
const DISK: &str = "free some space (a complete set-up takes about 1 GB, the temporary directory up to 200 MB more), or let CLASSIFY_HOME name a \
                    directory on another disk, then run the same command again; finished steps are kept";
const PERMISSION: &str = "make the directory writable for you, or let CLASSIFY_HOME name one that is, then run the same command again";
pub const NETWORK: &str = "check the network, and HTTPS_PROXY, PIP_INDEX_URL and PIP_CERT if your network needs them, then run the same command \
                           again; without a network, copy the downloads directory of a finished set-up from a machine with the same system and \
                           Python version, and run `cargo setup --from DIR`";

/// Returns the next step for an error: its own if it has one, else by what the system said.
pub fn hint(error: &anyhow::Error) -> String {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.hint.clone();
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return io_hint(error).to_owned();
        }
    }
    RERUN.to_owned()
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DISK,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => PERMISSION,
        _ => RERUN,
    }
}

/// Gives an operation on a file its name, which the system's own messages leave out.
pub fn on<'a>(operation: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> anyhow::Error + 'a {
    move |error| anyhow::Error::new(error).context(format!("cannot {operation} {}", path.display()))
}

/// Returns the next step for a Python tool that failed, by what it printed. None if that says nothing known.
pub fn hint_from_output(output: &str) -> Option<&'static str> {
    // Ordered: pip reports a full disk or a wrong hash after other warnings, and a missing network as a missing
    // version.
    let known: [(&[&str], &str); 4] = [
        (
            &[
                "No space left on device",
                "Errno 28",
                "Disk quota exceeded",
                "not enough space on the disk",
            ],
            DISK,
        ),
        (
            &["DO NOT MATCH THE HASHES", "do not match the hashes"],
            "the file is not the one that this project pins: a mirror, a proxy or somebody else replaced it, or the transfer was damaged. Nothing \
             was kept. Try again, on another network or with the index set back to the official one; if it stays so, report it",
        ),
        (
            &["Permission denied", "Errno 13", "Read-only file system"],
            PERMISSION,
        ),
        (
            &[
                "NewConnectionError",
                "NameResolutionError",
                "ConnectTimeout",
                "ReadTimeout",
                "ProxyError",
                "CERTIFICATE_VERIFY_FAILED",
                "SSLError",
                "Failed to establish a new connection",
                "Temporary failure in name resolution",
                "Network is unreachable",
                "Connection refused",
                "IncompleteRead",
                "HTTP error",
            ],
            NETWORK,
        ),
    ];
    known
        .iter()
        .find(|(signs, _)| signs.iter().any(|sign| output.contains(sign)))
        .map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_failure_keeps_its_own_hint_under_more_context() {
        let error = anyhow::Error::new(Failure::new("no Python", "install it")).context("step 1");
        assert_eq!(format!("{error:#}"), "step 1: no Python");
        assert_eq!(hint(&error), "install it");
    }

    #[test]
    fn system_errors_get_the_hint_of_their_kind() {
        let full = Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
            .context("writing")
            .unwrap_err();
        assert!(hint(&full).contains("free some space"));
        let denied =
            on("write", Path::new("a/b"))(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(format!("{denied:#}").starts_with("cannot write a/b: "));
        assert!(hint(&denied).contains("writable"));
    }

    #[test]
    fn output_of_pip_is_understood() {
        let cases = [
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
                "pins",
            ),
            (
                "OSError: [Errno 28] No space left on device",
                "free some space",
            ),
            (
                "WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution found",
                "--from DIR",
            ),
        ];
        for (output, part) in cases {
            assert!(
                hint_from_output(output).is_some_and(|hint| hint.contains(part)),
                "{output}"
            );
        }
        assert_eq!(hint_from_output("something else"), None);
    }
}
