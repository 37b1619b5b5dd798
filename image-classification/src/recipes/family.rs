//! Recipes that the name of a model suggests. They are shown to the user and never used.

use super::table::{LIBRARIES, Library};
use crate::sources::Identity;

/// The fewest letters and digits of a name that says something: `vgg16`.
const FEWEST_CHARACTERS: usize = 5;

/// Returns advice on recipes for a model of that identity, if its name is or contains that of a known model.
pub(crate) fn advice(identity: &Identity) -> Option<String> {
    let libraries = LIBRARIES
        .iter()
        .filter(|library| match &*identity.producer {
            producer if producer.contains("pytorch") => library.name != "keras",
            producer if producer.contains("tf2onnx") || producer.contains("keras") => {
                library.name == "keras"
            }
            _ => true,
        });
    let advice: Vec<String> = libraries
        .filter_map(|library| {
            let names = identity.names.iter();
            let found = names.filter_map(|name| longest(library, &Words::of(name)));
            let name = found.max_by_key(|name| name.len())?;
            Some(format!(
                "if these are {0}'s weights, give `recipe = {0}:{name}`",
                library.name
            ))
        })
        .collect();
    (!advice.is_empty()).then(|| advice.join("; "))
}

/// Returns the longest name of a model of `library` that `words` contain.
fn longest(library: &'static Library, words: &Words) -> Option<&'static str> {
    let names = library.models().map(|model| model.name);
    names
        .filter(|name| words.contain(&Words::of(name)))
        .max_by_key(|name| name.len())
}

/// The letters and digits of a name in lower case, and the places between its words.
struct Words {
    characters: String,
    /// The places in `characters` where a word begins or ends.
    ends: Vec<usize>,
}

impl Words {
    fn of(name: &str) -> Self {
        let mut words = Self {
            characters: String::new(),
            ends: vec![0],
        };
        for character in name.chars() {
            if character.is_ascii_alphanumeric() {
                words.characters.push(character.to_ascii_lowercase());
            } else {
                words.ends.push(words.characters.len());
            }
        }
        words.ends.push(words.characters.len());
        words
    }

    /// Returns whether these words begin, go on and end with those of `name`, which may be joined otherwise.
    fn contain(&self, name: &Self) -> bool {
        name.characters.len() >= FEWEST_CHARACTERS
            && self
                .characters
                .match_indices(&name.characters)
                .any(|(start, part)| {
                    self.ends.contains(&start) && self.ends.contains(&(start + part.len()))
                })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_of_each_library_is_suggested() {
        let advice = |name: &str, producer: &str| {
            advice(&Identity {
                names: vec!["main_graph".to_owned(), name.to_owned()],
                producer: producer.to_owned(),
            })
        };
        let give = |recipes: &[&str]| {
            let parts = recipes.iter().map(|recipe| {
                let library = recipe.split(':').next().unwrap_or_default();
                format!("if these are {library}'s weights, give `recipe = {recipe}`")
            });
            Some(parts.collect::<Vec<_>>().join("; "))
        };
        for (name, producer, expected) in [
            (
                "resnet50",
                "pytorch",
                give(&["torchvision:resnet50", "timm:resnet50"]),
            ),
            ("ResNet50-finetuned", "tf2onnx", give(&["keras:resnet50"])),
            (
                "mobilenetv2-12",
                "",
                give(&["torchvision:mobilenet_v2", "keras:mobilenet_v2"]),
            ),
            (
                "my_efficientnet-lite0",
                "pytorch",
                give(&["timm:efficientnet_lite0"]),
            ),
            ("resnet500", "", None),
            ("notresnet50", "", None),
            ("model", "pytorch", None),
            ("", "", None),
        ] {
            assert_eq!(advice(name, producer), expected, "{name} by {producer}");
        }
    }
}
