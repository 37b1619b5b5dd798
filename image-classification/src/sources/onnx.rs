//! The metadata of an ONNX file.

use std::collections::BTreeMap;

use model_file::onnx::{Model, text};

use super::Identity;

/// The names of the graph and of the producer.
pub(super) fn identity(model: &Model) -> Identity {
    let name = model.graph.as_ref().and_then(|graph| graph.name.as_ref());
    let producer = model.producer_name.as_ref().map(text).unwrap_or_default();
    Identity {
        names: name.iter().map(|name| text(name).into_owned()).collect(),
        producer: producer.to_ascii_lowercase(),
    }
}

/// The entries of Intel Model API, which begin with `model_info `.
pub(super) fn model_info(model: &Model) -> BTreeMap<String, String> {
    model
        .metadata_props
        .iter()
        .filter_map(|entry| {
            let key = text(entry.key.as_ref()?).into_owned();
            let value = entry.value.as_ref().map(text).unwrap_or_default();
            Some((
                key.strip_prefix("model_info ")?.to_owned(),
                value.into_owned(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use model_file::onnx::StringStringEntry;

    use super::*;

    #[test]
    fn keys_have_a_prefix() {
        let entry = |key: &'static [u8], value: &'static [u8]| StringStringEntry {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        let model = Model {
            metadata_props: vec![
                entry(b"model_info labels", b"v"),
                // Engines load models whose other entries are not UTF-8, and so does this crate.
                entry(b"author", &[0xe9]),
                entry(b"model_info", b"v"),
            ],
            ..Model::default()
        };
        let info = model_info(&model).into_iter().collect::<Vec<_>>();
        assert_eq!(info, [("labels".to_owned(), "v".to_owned())]);
    }
}
