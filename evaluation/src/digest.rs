//! Hashes of the models and images of a comparison.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the bytes of the digest.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the digest of the contents of `files`, each with its length, in this order. Their names do not
    /// matter: the same model may be called anything elsewhere.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn of_files(files: &[PathBuf]) -> io::Result<Self> {
        Self::of_parts(&[], files)
    }

    /// Returns the digest of [`of_files`](Self::of_files), for files of which the first are read already.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn of_parts(contents: &[&[u8]], files: &[PathBuf]) -> io::Result<Self> {
        let mut all = Sha256::new();
        for content in contents {
            all.update((content.len() as u64).to_le_bytes());
            all.update(content);
        }
        for file in files {
            let mut file = model_file::open_regular(file)?;
            all.update(file.metadata()?.len().to_le_bytes());
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                all.update(&buffer[..count]);
            }
        }
        Ok(Self(all.finalize().into()))
    }
}

impl std::str::FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| Some(Self(bytes.try_into().ok()?)))
            .ok_or(ParseDigestError)
    }
}

/// A text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits in lower case")]
pub struct ParseDigestError;

impl Digest {
    /// Returns the digest of the files of `model`: itself, its weights, its external data. It is
    /// [`RunInfo::model_sha256`](crate::RunInfo::model_sha256).
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not a model.
    pub fn of_model(model: &Path) -> Result<Self, backend_api::Error> {
        Ok(crate::provenance::ModelFiles::read(model)?.sha256)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

/// The digests of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageDigests {
    /// The image's file.
    pub file: Digest,
    /// The tensor of the first run.
    pub tensor: Digest,
    /// The resized pixels, before values and layout: the same for models that take them in different forms. `None` if
    /// it was not computed.
    pub pixels: Option<Digest>,
}

/// The digest of many parts, in their order.
#[derive(Debug, Clone, Default)]
pub struct Chain(Sha256);

impl Chain {
    /// Adds the next digest.
    pub fn add(&mut self, digest: Digest) {
        self.0.update(digest.0);
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all that were added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_read_already_have_the_digest_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| directory.path().join(name));
        std::fs::write(&files[0], b"first").unwrap();
        std::fs::write(&files[1], b"second").unwrap();
        let of_files = Digest::of_files(&files).unwrap();
        let of_parts = Digest::of_parts(&[b"first"], &files[1..]).unwrap();
        assert_eq!(of_parts, of_files);
        let parts = [
            &5_u64.to_le_bytes()[..],
            b"first",
            &6_u64.to_le_bytes(),
            b"second",
        ];
        assert_eq!(of_files, Digest::of(&parts.concat()));
    }
}
