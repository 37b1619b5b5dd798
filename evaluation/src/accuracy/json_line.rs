//! Ground truth as a JSON object on each line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::columns::{class_column, image_column};
use super::error::GroundTruthError;
use super::forms::{LINE, shortened};
use crate::text::{grouped, printable};

/// The most keys of an object that an error names.
const FEW_KEYS: usize = 5;
/// The most characters of each.
const FEW_CHARACTERS: usize = 60;

/// An image and its classes as a line has them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonLine {
    pub image: String,
    pub classes: Vec<String>,
    /// The key of the classes.
    pub key: String,
}

/// Reads a line. `requested` names the keys of the image and of the class.
pub(super) fn json_line(
    line: usize,
    text: &str,
    requested: Option<&[String; 2]>,
) -> Result<JsonLine, GroundTruthError> {
    let damaged = |detail: String| GroundTruthError::JsonLine { line, detail };
    let object: Value = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let Value::Object(object) = object else {
        return Err(damaged("it is not an object".to_owned()));
    };
    if let Some(key) = repeated_key(text) {
        let key = shortened(&key, FEW_CHARACTERS);
        return Err(damaged(format!(
            "the key \"{}\" occurs twice",
            printable(&key)
        )));
    }
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let (image, key) = match requested {
        Some([image, class]) => (Some(image.as_str()), Some(class.as_str())),
        None => (image_column(&keys), class_column(line, &keys)?),
    };
    let get = |key: Option<&str>| object.get(key?);
    let (Some(image), Some(class), Some(key)) = (get(image), get(key), key) else {
        let few = keys.iter().take(FEW_KEYS);
        let few: Vec<String> = few.map(|key| shortened(key, FEW_CHARACTERS)).collect();
        let more = keys.len() - few.len();
        let more = (more > 0).then(|| format!(" and {} more", grouped(more)));
        let few = few.join(", ");
        let more = more.unwrap_or_default();
        let detail = format!("it has no image and class, but the keys {few}{more}");
        return Err(damaged(detail));
    };
    let Value::String(image) = image else {
        let image = shortened(&image.to_string(), LINE);
        return Err(damaged(format!("the image is {image}, not a text")));
    };
    let one = |value: &Value| match value {
        Value::String(class) => Some(class.clone()),
        Value::Number(id) if id.is_i64() || id.is_u64() => Some(id.to_string()),
        _ => None,
    };
    let classes = match class {
        Value::Null => Some(Vec::new()),
        Value::Array(classes) => classes.iter().map(one).collect(),
        class => one(class).map(|class| vec![class]),
    };
    let classes = classes.ok_or_else(|| {
        let class = shortened(&class.to_string(), LINE);
        damaged(format!(
            "the class is {class}, not a text, an id or a list of them"
        ))
    })?;
    Ok(JsonLine {
        image: image.clone(),
        classes,
        key: key.to_owned(),
    })
}

/// Returns a key that occurs twice in a JSON object. Parsers silently keep the last of its values.
pub fn repeated_key(object: &str) -> Option<String> {
    let mut json = serde_json::Deserializer::from_str(object);
    json.deserialize_map(RepeatedKey).ok().flatten()
}

struct RepeatedKey;

impl<'de> Visitor<'de> for RepeatedKey {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut keys = HashSet::new();
        let mut repeated = None;
        while let Some((key, _)) = map.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            if let Some(key) = keys.replace(key) {
                repeated.get_or_insert_with(|| key.into_owned());
            }
        }
        Ok(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_have_an_image_and_classes() {
        let read = |text: &str| json_line(7, text, None);
        for (text, key, expected) in [
            (r#"{"file_name": "a.png", "label": 3}"#, "label", vec!["3"]),
            (
                r#"{"label": "cat", "file_name": "a.png"}"#,
                "label",
                vec!["cat"],
            ),
            (
                r#"{"file_name": "a.png", "tags": ["x", 4]}"#,
                "tags",
                vec!["x", "4"],
            ),
            (r#"{"file_name": "a.png", "label": null}"#, "label", vec![]),
            (
                r#"{"file_name": "a.png", "label": "cat", "class_id": 4}"#,
                "class_id",
                vec!["4"],
            ),
        ] {
            let expected = JsonLine {
                image: "a.png".to_owned(),
                classes: expected.into_iter().map(str::to_owned).collect(),
                key: key.to_owned(),
            };
            assert_eq!(read(text).unwrap(), expected);
        }
        let many: Vec<String> = (0..200)
            .map(|key| format!("\"{key}.jpg\": {key}"))
            .collect();
        let error = read(&format!("{{{}}}", many.join(",")))
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with(" and 195 more") && error.len() < 200,
            "{error}"
        );
        for (text, words) in [
            ("[]", "line 7: it is not an object"),
            ("{", "line 7: EOF"),
            (
                r#"{"file_name": "a", "text": "b"}"#,
                "the keys file_name, text",
            ),
            (r#"{"file_name": 1, "label": "b"}"#, "the image is 1"),
            (r#"{"file_name": "a", "label": 1.5}"#, "the class is 1.5"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn repeated_and_rival_keys_are_errors() {
        let requested = ["file_name".to_owned(), "label".to_owned()];
        for (text, requested, expected) in [
            (
                r#"{"file_name":"a","label":1,"label":243}"#,
                None,
                "line 7: the key \"label\" occurs twice",
            ),
            (
                r#"{"file_name":"a","label":1,"l\u0061bel":1}"#,
                Some(&requested),
                "line 7: the key \"label\" occurs twice",
            ),
            (
                r#"{"file_name":"a","file_name":"b","label":1}"#,
                None,
                "line 7: the key \"file_name\" occurs twice",
            ),
            (
                r#"{"file_name":"a","category":2,"label":1}"#,
                None,
                "line 7: \"category\" and \"label\" could each be the class",
            ),
        ] {
            let error = json_line(7, text, requested).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let text = r#"{"file_name":"a","category":2,"label":1}"#;
        let found = json_line(7, text, Some(&requested)).unwrap();
        assert_eq!(found.classes, ["1"]);
    }

    #[test]
    fn only_keys_of_the_object_itself_are_compared() {
        assert_eq!(repeated_key(r#"{"a": {"b": 1}, "b": [{"b": 2}]}"#), None);
        assert_eq!(repeated_key(r#"{"a": 1, "b": 2, "a": 1}"#).unwrap(), "a");
        assert_eq!(repeated_key("[1, 1]"), None);
    }
}
