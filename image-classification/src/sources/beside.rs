//! The surroundings of a file that is next to a model.

/// The surroundings of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    /// The `model_type` of the `config.json` next to the file.
    pub model_type: Option<&'a str>,
    /// The `transformers_version` of the `config.json` next to the file.
    pub transformers_version: Option<&'a str>,
    /// False if the caller has labels: the file's labels do not count.
    pub reads_labels: bool,
}

#[cfg(test)]
impl Beside<'_> {
    pub const ALONE: Self = Self {
        model_type: None,
        transformers_version: None,
        reads_labels: true,
    };
}
