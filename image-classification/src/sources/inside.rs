//! The content of a model file that states something about its preprocessing or its output.

use std::collections::BTreeMap;

use backend_api::ModelSource;
use model_file::onnx::Model;
use model_file::{Format, MOST_ONNX_BYTES, MOST_TFLITE_BYTES, tensorflow};
use prost::Message as _;

use super::embedded::Embedded;
use super::{
    End, Identity, SourceError, SourceSettings, graph, ir, onnx, read_content, read_limited,
    tflite, ultralytics,
};
use crate::Halves;

/// The statements of a model file about itself.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Model API's entries, in the order of their keys.
    pub model_info: BTreeMap<String, String>,
    /// Other metadata: Ultralytics', TensorFlow Lite's.
    pub metadata: Vec<SourceSettings>,
    /// The preprocessing in the model's own graph.
    pub embedded: Option<Embedded>,
    /// The end of the graph at each output.
    pub graph: Vec<End>,
    /// The convention of the model's format.
    pub convention: Option<SourceSettings>,
    /// The name of the graph, and the producer.
    pub identity: Identity,
}

impl Inside {
    /// Reads the statements of `model`.
    pub fn read(model: &ModelSource) -> Result<Self, SourceError> {
        let malformed =
            |expected, source: Box<dyn std::error::Error + Send + Sync>| SourceError::Malformed {
                file: "the model".to_owned(),
                expected,
                source,
            };
        let unreadable = |source| SourceError::Model { source };
        match Format::of_source(model).map_err(unreadable)? {
            Format::Ir => {
                let xml = model_file::ir::read(model).map_err(unreadable)?;
                let document = model_file::ir::parse(&xml)
                    .map_err(|source| malformed("well-formed XML", source.into()))?;
                if let Some(version) = ir::version(&document).filter(|version| *version < 10) {
                    // The last release that reads older ones is 2022.3.
                    return Err(SourceError::OldIr { version });
                }
                let graph = model_file::ir::Graph::of(&document);
                let is_lite = ir::is_of_tensorflow_lite(&document);
                let halves = if is_lite {
                    Halves::AwayFromZero
                } else {
                    Halves::ToEven
                };
                Ok(Self {
                    model_info: ir::model_info(&document),
                    embedded: match ir::converted(&document)? {
                        Some(converted) => Some(converted),
                        None => Embedded::in_graph(&graph, model),
                    },
                    metadata: ir::input_quantization(&graph, model, halves)?
                        .into_iter()
                        .collect(),
                    graph: graph::ir::find(&graph, model),
                    convention: is_lite.then(tflite::convention),
                    identity: ir::identity(&document),
                })
            }
            Format::Onnx => {
                let bytes = read_content(model, MOST_ONNX_BYTES)?;
                let onnx = Model::decode(bytes).map_err(|source| {
                    let is_called_onnx = |path| model_file::has_ending(path, "onnx");
                    let expected = if model.path().is_some_and(is_called_onnx) {
                        "an ONNX file"
                    } else {
                        "a model in a known format"
                    };
                    malformed(expected, source.into())
                })?;
                Ok(Self {
                    model_info: onnx::model_info(&onnx),
                    metadata: ultralytics::of_onnx(&onnx)?
                        .into_iter()
                        .chain(onnx::input_quantization(&onnx)?)
                        .collect(),
                    embedded: None,
                    graph: graph::onnx::find(&onnx),
                    convention: None,
                    identity: onnx::identity(&onnx),
                })
            }
            Format::TensorflowLite => {
                let bytes = read_content(model, MOST_TFLITE_BYTES)?;
                // The engine reports the fault of a damaged one.
                let graph = model_file::tflite::Graph::read(&bytes).unwrap_or_default();
                Ok(Self {
                    metadata: tflite::settings(&bytes, &graph)?,
                    convention: Some(tflite::convention()),
                    graph: graph::tflite::find(&graph),
                    ..Self::default()
                })
            }
            Format::Tensorflow => {
                let bytes = read_content(model, MOST_ONNX_BYTES)?;
                // The engine reports the fault of a damaged one.
                let graph = tensorflow::Graph::of_frozen(&bytes);
                Ok(Self::of_tensorflow(graph.as_ref()))
            }
            Format::SavedModel => {
                let path = model.path().map(|path| path.join(model_file::SAVED_MODEL));
                let bytes = read_limited(&path.unwrap_or_default(), MOST_ONNX_BYTES)?;
                let graph = tensorflow::Graph::of_saved_model(&bytes);
                Ok(Self::of_tensorflow(graph.as_ref()))
            }
            _ => Ok(Self::default()),
        }
    }

    fn of_tensorflow(graph: Option<&tensorflow::Graph<'_>>) -> Self {
        Self {
            graph: graph.map(graph::tensorflow::find).unwrap_or_default(),
            ..Self::default()
        }
    }
}
