//! The surroundings of a file that is next to a model.

use serde_json::Value;

use super::json;

/// The surroundings of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    /// The `model_type` of the `config.json` next to the file.
    pub model_type: Option<&'a str>,
    /// The `image_processor_type` of the `config.json` next to the file.
    pub image_processor_type: Option<&'a str>,
    /// The `transformers_version` of the `config.json` next to the file.
    pub transformers_version: Option<&'a str>,
    /// False if the caller has labels: the file's labels do not count.
    pub reads_labels: bool,
}

impl Beside<'_> {
    /// Returns whether the `config.json` next to the file names an image processor.
    pub fn names_processor(self) -> bool {
        self.model_type.is_some() || self.image_processor_type.is_some()
    }
}

/// The statements of a `config.json` on the model, which files next to it do not repeat.
#[derive(Debug, Default)]
pub(super) struct ModelConfig {
    model_type: Option<String>,
    image_processor_type: Option<String>,
    transformers_version: Option<String>,
}

impl ModelConfig {
    /// Reads a `config.json`; one that is not JSON states nothing.
    pub fn read(bytes: &[u8]) -> Self {
        let config: Value = serde_json::from_slice(json::text(bytes)).unwrap_or_default();
        let text = |key| config.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            model_type: text("model_type"),
            image_processor_type: text("image_processor_type"),
            transformers_version: text("transformers_version"),
        }
    }

    /// Returns the surroundings of the files in the directory of this `config.json`.
    pub fn beside(&self, reads_labels: bool) -> Beside<'_> {
        Beside {
            model_type: self.model_type.as_deref(),
            image_processor_type: self.image_processor_type.as_deref(),
            transformers_version: self.transformers_version.as_deref(),
            reads_labels,
        }
    }
}

#[cfg(test)]
impl Beside<'_> {
    pub const ALONE: Self = Self {
        model_type: None,
        image_processor_type: None,
        transformers_version: None,
        reads_labels: true,
    };
}
