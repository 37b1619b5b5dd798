//! One error type for every engine: the failure, its values, and the next step.

use std::error::Error as StdError;
use std::fmt;

/// The kind of failure of an [`Error`]. The names suggest the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration value is out of range or contradicts another one.
    InvalidConfig,
    /// The model file, or a file that belongs to it, does not exist or cannot be read.
    ModelNotFound,
    /// The model file is damaged or does not have the format of its name.
    ModelInvalid,
    /// The model is sound, but this engine or this program cannot run it.
    ModelUnsupported,
    /// The engine's runtime library is missing, damaged, or of a version that cannot be used. Also: no server serves
    /// requests, or an isolated engine is not started again.
    EngineUnavailable,
    /// The engine works, but not on the requested device.
    DeviceUnavailable,
    /// A tensor does not have the shape or the element type that was declared for it.
    InputMismatch,
    /// The engine gave an output of another shape or element type than was declared for it.
    OutputMismatch,
    /// The engine rejected a request or failed to run it.
    InferenceFailed,
    /// The engine panicked while it ran one request. Other requests are not affected.
    Panicked,
    /// The backend was dropped before this request could run.
    Abandoned,
    /// The deadline of the request passed before it ended.
    DeadlineExceeded,
    /// The operating system denied a resource, for instance a thread.
    ResourceExhausted,
    /// The process of an isolated engine ended: it crashed, took too long, or exceeded a limit. Requests that were not
    /// in flight are not affected.
    EngineCrashed,
}

impl ErrorKind {
    /// Returns a stable name for reports, in kebab case: `model-not-found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid-config",
            Self::ModelNotFound => "model-not-found",
            Self::ModelInvalid => "model-invalid",
            Self::ModelUnsupported => "model-unsupported",
            Self::EngineUnavailable => "engine-unavailable",
            Self::DeviceUnavailable => "device-unavailable",
            Self::InputMismatch => "input-mismatch",
            Self::OutputMismatch => "output-mismatch",
            Self::InferenceFailed => "inference-failed",
            Self::Panicked => "panicked",
            Self::Abandoned => "abandoned",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::ResourceExhausted => "resource-exhausted",
            Self::EngineCrashed => "engine-crashed",
        }
    }

    const fn default_hint(self) -> Option<&'static str> {
        match self {
            Self::ModelNotFound => Some("check the path of the model"),
            Self::ModelInvalid => Some("export or download the model again"),
            Self::ModelUnsupported => {
                Some("use a model of another format or precision, or another engine")
            }
            Self::OutputMismatch => Some(
                "if the declared sizes are right, use another engine; otherwise export the model again, or correct its description on the server",
            ),
            Self::InferenceFailed => {
                Some("try it again; if it fails each time, use another device or another engine")
            }
            Self::Panicked => Some(
                "this is a defect of the engine or of its binding; other requests are not affected",
            ),
            Self::Abandoned => Some("keep the backend alive until `wait_all` has returned"),
            Self::DeadlineExceeded => {
                Some("give the request more time, or submit fewer requests at a time")
            }
            _ => None,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure with its kind, the values that matter, and its cause.
///
/// [`Display`](fmt::Display) writes one line: the message, then the context in parentheses. The
/// cause is not part of that line; walk [`source`](StdError::source) to print it. [`Error::hint`]
/// is the next step for the user.
///
/// With the feature `serde` it is serialized as its kind, that line as `message`, the hint, and the text of the causes
/// as `cause`, outermost first. An error that is read again displays as the original did.
///
/// ```
/// use backend_api::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::DeviceUnavailable, "device GPU is not available")
///     .with_context("available", "CPU")
///     .with_hint("use `device = CPU`");
/// assert_eq!(error.to_string(), "device GPU is not available (available: CPU)");
/// assert_eq!(error.hint(), Some("use `device = CPU`"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Returns an error of `kind` with `message`, which names the failure and the wrong value.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// Adds a value that helps to understand the failure, such as `("device", "GPU.1")`.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Sets the next step for the user. Replaces the hint of the kind.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the cause, with its type.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the values that were recorded, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0
            .context
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
    }

    /// Returns the next step for the user, if one is known.
    pub fn hint(&self) -> Option<&str> {
        self.0
            .hint
            .as_deref()
            .or_else(|| self.0.kind.default_hint())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (position, (key, value)) in self.0.context.iter().enumerate() {
            write!(
                f,
                "{}{key}: {value}",
                if position == 0 { " (" } else { ", " }
            )?;
        }
        if self.0.context.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("hint", &self.hint())
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(feature = "serde")]
mod serialized {
    use std::iter::successors;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Error, ErrorKind, StdError};

    #[derive(Serialize, Deserialize)]
    struct Serialized {
        kind: ErrorKind,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    }

    impl Serialize for Error {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let causes: Vec<_> = successors(self.source(), |cause| (*cause).source())
                .map(ToString::to_string)
                .collect();
            let serialized = Serialized {
                kind: self.kind(),
                message: self.to_string(),
                hint: self.hint().map(str::to_owned),
                cause: (!causes.is_empty()).then(|| causes.join(": ")),
            };
            serialized.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Error {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let serialized = Serialized::deserialize(deserializer)?;
            let mut error = Self::new(serialized.kind, serialized.message);
            if let Some(hint) = serialized.hint {
                error = error.with_hint(hint);
            }
            if let Some(cause) = serialized.cause {
                error = error.with_source(cause);
            }
            Ok(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_and_the_cause_keeps_its_type() {
        let cause = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Error::new(ErrorKind::ModelNotFound, "cannot read the model")
            .with_context("model", "a.onnx")
            .with_context("size", 3)
            .with_source(cause);
        assert_eq!(
            error.to_string(),
            "cannot read the model (model: a.onnx, size: 3)"
        );
        assert!(
            error
                .source()
                .is_some_and(<dyn StdError>::is::<std::io::Error>)
        );
        assert_eq!(error.hint(), Some("check the path of the model"));
        assert_eq!(
            error.context().collect::<Vec<_>>(),
            [("model", "a.onnx"), ("size", "3")]
        );
    }

    #[test]
    fn a_result_stays_small() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
