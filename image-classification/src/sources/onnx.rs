//! `metadata_props` of an ONNX file.

use std::collections::BTreeMap;

use prost::Message;

/// The fields of `onnx.ModelProto` that matter here; the decoder skips the others, weights
/// included, without copying them.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    // Strings by the schema. Engines load models whose other entries are not UTF-8, so do we.
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

pub(super) fn model_info(bytes: &[u8]) -> Result<BTreeMap<String, String>, prost::DecodeError> {
    let model = ModelProto::decode(bytes)?;
    Ok(model
        .metadata_props
        .into_iter()
        .filter_map(|entry| {
            let key = entry.key.strip_prefix(b"model_info ")?;
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            Some((text(key), text(&entry.value)))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_prefix() {
        let entry = |key: &str| StringStringEntryProto {
            key: key.into(),
            value: "v".into(),
        };
        let model = ModelProto {
            metadata_props: vec![
                entry("model_info labels"),
                StringStringEntryProto {
                    key: b"author".to_vec(),
                    value: vec![0xe9],
                },
                entry("model_info"),
            ],
        };
        let info = model_info(&model.encode_to_vec()).unwrap();
        assert_eq!(
            info.into_iter().collect::<Vec<_>>(),
            [("labels".to_owned(), "v".to_owned())]
        );
    }

    #[test]
    fn damage_is_an_error() {
        assert!(model_info(b"\x72\xff\xff\xff\xff\x0f").is_err());
        assert!(model_info(b"").unwrap().is_empty());
    }
}
