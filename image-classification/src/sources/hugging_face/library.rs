//! The library that resizes in `transformers`.
//!
//! Facts from `transformers` 4.57.1 and 5.24.0, `models/auto/image_processing_auto.py`: version 4 takes torchvision if
//! the name of the processor ends in `Fast`, else Pillow; version 5 takes torchvision for every processor that has such
//! a class, and writes names without `Fast`. Only `config.json` states a version.

use crate::sources::Beside;
use crate::sources::json::Keys;

use super::kind::Kind;

/// The library that resizes, and the statement that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    pub is_torchvision: bool,
    /// True if version 5 or later wrote the file.
    pub is_of_version_5: bool,
    /// The statement that decides, as the rest of a sentence. `None` if nothing does.
    pub reason: Option<String>,
}

impl Library {
    pub fn of(keys: Keys<'_>, kind: Kind, beside: Beside<'_>) -> Self {
        let text = |key| keys.get(key).and_then(|value| value.as_str());
        let stated = [
            (keys.file, text("transformers_version")),
            ("config.json", beside.transformers_version),
        ];
        let version = stated
            .into_iter()
            .find_map(|(file, version)| Some((file, version?, major(version?)?)));
        let name = text("image_processor_type")
            .or(beside.image_processor_type)
            .unwrap_or_default();
        let decided = |is_torchvision, reason| Self {
            is_torchvision,
            // Version 4 has no names that end in `Pil`.
            is_of_version_5: name.ends_with("Pil")
                || version.is_some_and(|(_, _, major)| major >= 5),
            reason: Some(reason),
        };
        if let Some(is_torchvision) = kind.only_library() {
            return decided(is_torchvision, format!(", the only one of {}", kind.name));
        }
        if name.ends_with("Fast") || name.ends_with("Pil") {
            return decided(
                name.ends_with("Fast"),
                format!(" by image_processor_type {name}"),
            );
        }
        if let Some((file, version, major)) = version {
            let by = if file == keys.file {
                String::new()
            } else {
                format!("{file}: ")
            };
            return decided(
                major >= 5,
                format!(" by {by}transformers_version {version}"),
            );
        }
        if keys.get("feature_extractor_type").is_some() {
            return decided(false, " by feature_extractor_type".to_owned());
        }
        Self {
            is_torchvision: false,
            is_of_version_5: false,
            reason: None,
        }
    }

    pub fn is_pillow_of_version_4(&self) -> bool {
        !self.is_torchvision && !self.is_of_version_5
    }

    pub fn is_torchvision_of_version_4(&self) -> bool {
        self.is_torchvision && !self.is_of_version_5
    }
}

/// Returns the first number of a version.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}
