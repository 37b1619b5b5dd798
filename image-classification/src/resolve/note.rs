//! Notes on decisions that a caller did not make.

/// A decision that the caller did not make and should know.
///
/// The text names fields of [`PreprocessOverrides`](crate::PreprocessOverrides) in backticks: `` `mean` ``, or
/// `` `scores = raw` `` for a field with a value. It may contain texts of the model and of files, which are not escaped
/// for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The importance.
    pub severity: Severity,
    /// The text.
    pub text: String,
}

/// The importance of a [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A decision that is probably right.
    Note,
    /// A decision or a contradiction that is probably a mistake.
    Warning,
}

impl Note {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            text: text.into(),
        }
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            text: text.into(),
        }
    }
}
