//! `metadata_props` of an ONNX file.

use std::collections::BTreeMap;

use prost::Message;

use super::MetadataError;

/// The fields of `onnx.ModelProto` that matter here; the decoder skips the others, weights
/// included, without copying them.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

pub(super) fn model_info(bytes: &[u8]) -> Result<BTreeMap<String, String>, MetadataError> {
    let model = ModelProto::decode(bytes)?;
    Ok(model
        .metadata_props
        .into_iter()
        .filter_map(|entry| {
            Some((
                entry.key.strip_prefix("model_info ")?.to_owned(),
                entry.value,
            ))
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
                entry("author"),
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
        assert!(matches!(
            model_info(b"\x72\xff\xff\xff\xff\x0f"),
            Err(MetadataError::Onnx(_))
        ));
        assert!(model_info(b"").unwrap().is_empty());
    }
}
