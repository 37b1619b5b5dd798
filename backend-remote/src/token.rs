//! The bearer token, which no message and no debug output contains.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backend_api::{Error, ErrorKind};
use tokio::task::spawn_blocking;
use tonic::metadata::{Ascii, MetadataValue};

/// The most bytes of a token.
const MOST_BYTES: u64 = 64 << 10;

/// The place of a bearer token. It is read when the backend opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The environment variable of this name. A token that expires cannot be renewed.
    Variable(String),
    /// A file, without white space around the token. It is read again when a server denies access, so that the token may
    /// be replaced before it expires.
    File(PathBuf),
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable {}", name.escape_debug()),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// A bearer token.
#[derive(Clone)]
pub(crate) struct Token {
    text: String,
    source: TokenSource,
    /// The value of the header.
    header: MetadataValue<Ascii>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token.
    pub(crate) fn read(source: &TokenSource) -> Result<Self, Error> {
        let unusable = |reason: &str| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("the token in {source} cannot be used: {reason}"),
            )
            .with_hint(match source {
                TokenSource::Variable(_) => {
                    "put the token, and nothing else, into the variable of `TokenSource::Variable`"
                }
                TokenSource::File(_) => {
                    "put the token, and nothing else, into the file of `TokenSource::File`"
                }
            })
        };
        let text = match source {
            TokenSource::Variable(name) => std::env::var(name).map_err(|error| {
                unusable(match error {
                    std::env::VarError::NotPresent => "the variable is not set",
                    std::env::VarError::NotUnicode(_) => "it is not text",
                })
            })?,
            TokenSource::File(path) => {
                let bytes = model_file::read_regular(path, MOST_BYTES)
                    .map_err(|error| unusable("the file cannot be read").with_source(error))?;
                String::from_utf8(bytes).map_err(|_| unusable("it is not text"))?
            }
        };
        Self::new(text.trim(), source).ok_or_else(|| {
            unusable("it is empty, or has characters that a header of HTTP cannot have")
        })
    }

    /// Returns the place of the token.
    pub(crate) fn source(&self) -> &TokenSource {
        &self.source
    }

    fn new(text: &str, source: &TokenSource) -> Option<Self> {
        let is_plain =
            |text: &str| !text.is_empty() && text.chars().all(|it| it.is_ascii_graphic());
        let mut header = MetadataValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        is_plain(text).then(|| Self {
            text: text.to_owned(),
            source: source.clone(),
            header,
        })
    }

    /// Returns the value of the header `authorization`.
    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.header.clone()
    }

    /// Removes the token from `text`: a server may repeat what it was sent.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&self.text, "[token]")
    }
}

/// The token that requests have now.
#[derive(Debug)]
pub(crate) struct CurrentToken(Mutex<Arc<Token>>);

impl CurrentToken {
    /// Reads the token for the first time.
    pub(crate) fn read(source: &TokenSource) -> Result<Self, Error> {
        Ok(Self(Mutex::new(Arc::new(Token::read(source)?))))
    }

    /// Locks the token. No foreign code runs under this lock, so the token is whole even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, Arc<Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Arc<Token> {
        Arc::clone(&self.lock())
    }

    /// Reads the file again, after a server denied access with `denied`. Returns whether there is another token. The
    /// variable of a token cannot have changed.
    ///
    /// # Errors
    ///
    /// If the file has no token now. The one before stays.
    pub(crate) async fn renew(&self, denied: &Token) -> Result<bool, Error> {
        if self.lock().text != denied.text {
            // Another request has renewed it.
            return Ok(true);
        }
        let source = denied.source.clone();
        let TokenSource::File(_) = source else {
            return Ok(false);
        };
        // A disk or a network may take long, and other requests go on meanwhile, with their time limits.
        let Ok(read) = spawn_blocking(move || Token::read(&source)).await else {
            // The runtime ends.
            return Ok(false);
        };
        let read = read?;
        let mut current = self.lock();
        if current.text == denied.text {
            *current = Arc::new(read);
        }
        Ok(current.text != denied.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_no_debug_output_and_no_repeated_text() {
        let token = Token::new("s3cret", &TokenSource::File("token".into())).unwrap();
        assert_eq!(format!("{token:?}"), "Token");
        assert_eq!(
            token.redact("got `Bearer s3cret`, s3cret"),
            "got `Bearer [token]`, [token]"
        );
        assert!(!format!("{:?}", token.header()).contains("s3cret"));
    }

    #[test]
    fn a_token_is_read_without_white_space_around_it_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Token::read(&TokenSource::File(path.clone()))
        };
        assert_eq!(read(b" s3cret\n").unwrap().text, "s3cret");
        for wrong in [
            &b""[..],
            b" \n",
            b"hunter two",
            b"hunter\ntwo",
            b"hunter2\xff",
            "hunter²".as_bytes(),
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            // The directory has six random characters in its name: shorter texts could be in it.
            assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
        }
        let missing = TokenSource::File(directory.path().join("none"));
        assert!(
            Token::read(&missing)
                .unwrap_err()
                .to_string()
                .contains("none")
        );
        let unset = TokenSource::Variable("NOT_SET_ANYWHERE".to_owned());
        let error = Token::read(&unset).unwrap_err();
        assert!(
            error.to_string().contains("NOT_SET_ANYWHERE is not")
                || error.to_string().contains("not set"),
            "{error}"
        );
    }
}
