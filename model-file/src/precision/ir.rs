//! The precision of OpenVINO's IR.

use std::collections::HashSet;

use super::{MOST_STEPS, StoredPrecision, Weights};
use crate::ir;

impl Weights {
    /// Adds the weights of an IR, and its operators with weights.
    pub(super) fn add_ir(&mut self, document: &roxmltree::Document<'_>) {
        let graph = ir::Graph::of(document);
        let source = |layer, index| {
            let mut value = graph.input(layer, index)?.0;
            for _ in 0..MOST_STEPS {
                match value.operator() {
                    // Of two inputs, the first is the data.
                    "Convert" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "ReLU"
                    | "Clamp" | "MaxPool" | "Subtract" | "Multiply" => {
                        value = graph.input(value, 0)?.0;
                    }
                    _ => return Some(value),
                }
            }
            None
        };
        let mut quantized = HashSet::new();
        for layer in graph.layers() {
            if layer.operator() == "FakeQuantize"
                && let Some(weights) = source(layer, 0)
            {
                quantized.insert(weights.id());
            }
            if matches!(
                layer.operator(),
                "Convolution" | "GroupConvolution" | "ConvolutionBackpropData" | "MatMul"
            ) {
                let is_quantizer =
                    |layer: ir::Layer<'_>| layer.operator() == "FakeQuantize" || is_bytes(layer);
                let mut inputs = (0..2).filter_map(|index| source(layer, index));
                self.add_operator(inputs.any(is_quantizer));
            }
        }
        // Also adds constants of nested bodies. Their ids can repeat ids of the main graph, so the byte range tells whether
        // a constant belongs to the main graph.
        let main: HashSet<_> = graph.layers().map(ir::Layer::range).collect();
        for layer in ir::layers(document) {
            if layer.operator() != "Const" {
                continue;
            }
            let is_main = main.contains(&layer.range());
            self.add_ir_constant(layer, is_main && quantized.contains(layer.id()));
        }
    }

    fn add_ir_constant(&mut self, layer: ir::Layer<'_>, is_quantized: bool) {
        let Some((_, bytes)) = layer.range() else {
            return;
        };
        let (precision, elements) = match layer.attribute("element_type") {
            Some("f32") => (StoredPrecision::F32, bytes / 4),
            Some("f64") => (StoredPrecision::F32, bytes / 8),
            Some("f16") => (StoredPrecision::F16, bytes / 2),
            Some("bf16") => (StoredPrecision::Bf16, bytes / 2),
            Some("i8" | "u8") => (StoredPrecision::Int8, bytes),
            Some("i4" | "u4" | "nf4") => (StoredPrecision::Int8, bytes.saturating_mul(2)),
            _ => return,
        };
        let precision = if is_quantized {
            StoredPrecision::Int8
        } else {
            precision
        };
        self.add(precision, elements);
    }
}

/// Returns whether a constant holds integers of 8 bits or fewer.
fn is_bytes(constant: ir::Layer<'_>) -> bool {
    constant.operator() == "Const"
        && matches!(
            constant.attribute("element_type"),
            Some("i8" | "u8" | "i4" | "u4" | "nf4")
        )
}

#[cfg(test)]
mod tests {
    use backend_api::ModelSource;

    use super::*;
    use crate::stored_precision;

    const QUANTIZER: &str =
        r#"<layer id="1" type="FakeQuantize"><input><port id="0"/></input></layer>"#;
    const EDGE: &str = r#"</layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges><layers>"#;

    /// Returns the precision of an IR with `layers`, which is the same in a file and in memory.
    fn stored(layers: &str) -> Option<StoredPrecision> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.xml");
        std::fs::write(&path, format!("<net><layers>{layers}</layers></net>")).unwrap();
        let stored = stored_precision(&path).unwrap();
        let memory = ModelSource::from_bytes(std::fs::read(&path).unwrap());
        assert_eq!(stored_precision(memory).unwrap(), stored);
        stored
    }

    fn constant(element_type: &str, size: u32) -> String {
        format!(
            r#"<layer id="0" type="Const"><data element_type="{element_type}" offset="0" size="{size}"/></layer>"#
        )
    }

    #[test]
    fn precision_is_the_type_of_the_weights() {
        for (element_type, expected) in [
            ("f32", StoredPrecision::F32),
            ("f64", StoredPrecision::F32),
            ("f16", StoredPrecision::F16),
            ("bf16", StoredPrecision::Bf16),
            ("i8", StoredPrecision::Int8),
            ("u4", StoredPrecision::Int8),
        ] {
            assert_eq!(
                stored(&constant(element_type, 40)),
                Some(expected),
                "{element_type}"
            );
        }
    }

    #[test]
    fn precision_is_the_type_of_most_weights() {
        let layers = constant("f16", 200) + &constant("f32", 40);
        assert_eq!(stored(&layers), Some(StoredPrecision::F16));
    }

    #[test]
    fn constants_of_64_bit_integers_are_not_weights() {
        assert_eq!(stored(&constant("i64", 80)), None);
    }

    #[test]
    fn weights_behind_a_quantizer_are_int8() {
        let layers = constant("f32", 40) + QUANTIZER + EDGE;
        assert_eq!(stored(&layers), Some(StoredPrecision::Int8));
    }

    #[test]
    fn quantizer_without_an_input_edge_quantizes_nothing() {
        let layers = constant("f32", 40) + QUANTIZER;
        assert_eq!(stored(&layers), Some(StoredPrecision::F32));
    }
}
