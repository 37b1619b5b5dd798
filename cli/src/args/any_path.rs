//! The serialization of paths for a child process. Serde's own accepts Unicode only.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

/// Serializes a path of any characters, or none.
pub fn serialize<P, S>(path: &P, serializer: S) -> Result<S::Ok, S::Error>
where
    P: Clone + Into<Option<PathBuf>>,
    S: Serializer,
{
    let path: Option<PathBuf> = path.clone().into();
    path.map(PathBuf::into_os_string).serialize(serializer)
}

/// Reads it again.
pub fn deserialize<'de, P, D>(deserializer: D) -> Result<P, D::Error>
where
    P: From<AnyPath>,
    D: Deserializer<'de>,
{
    let path = Option::<OsString>::deserialize(deserializer)?;
    Ok(AnyPath(path.map(PathBuf::from)).into())
}

/// A path that was read.
#[derive(Debug)]
pub struct AnyPath(Option<PathBuf>);

impl From<AnyPath> for Option<PathBuf> {
    fn from(path: AnyPath) -> Self {
        path.0
    }
}

impl From<AnyPath> for PathBuf {
    fn from(path: AnyPath) -> Self {
        path.0.unwrap_or_default()
    }
}
