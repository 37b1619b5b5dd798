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
                    // The values come first where there are two inputs.
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
        // Those of bodies too, which have ids of their own: what the main graph has is read there.
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

    #[test]
    fn the_types_of_an_ir() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.xml");
        let with = |layers: &str| {
            std::fs::write(&path, format!("<net><layers>{layers}</layers></net>")).unwrap();
            let stored = stored_precision(&path).unwrap();
            let memory = ModelSource::from_bytes(std::fs::read(&path).unwrap());
            assert_eq!(stored_precision(memory).unwrap(), stored);
            stored
        };
        let constant = |element_type: &str, size: u32| {
            format!(
                r#"<layer id="0" type="Const"><data element_type="{element_type}" offset="0" size="{size}"/></layer>"#
            )
        };
        let (half, single) = (constant("f16", 200), constant("f32", 40));
        assert_eq!(with(&single), Some(StoredPrecision::F32));
        assert_eq!(with(&format!("{half}{single}")), Some(StoredPrecision::F16));
        assert_eq!(with(&constant("i64", 80)), None);
        assert_eq!(with(&constant("i8", 40)), Some(StoredPrecision::Int8));
        let quantizer =
            r#"<layer id="1" type="FakeQuantize"><input><port id="0"/></input></layer>"#;
        assert_eq!(
            with(&format!("{single}{quantizer}")),
            Some(StoredPrecision::F32),
            "nothing passes through it"
        );
        let edge = r#"</layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges><layers>"#;
        assert_eq!(
            with(&format!("{single}{quantizer}{edge}")),
            Some(StoredPrecision::Int8)
        );
    }
}
