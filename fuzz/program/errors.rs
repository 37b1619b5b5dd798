//! The errors of the program without its other modules, which the readers under test do not need.

/// An error with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({hint})")]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// An input that was found to be bad before.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnusableInput(pub anyhow::Error);
