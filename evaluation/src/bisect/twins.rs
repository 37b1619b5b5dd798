//! The error that each node of a quantized model adds. A copy of the model has a twin of the node: the node of the float
//! model, with its weights, which reads the values of the quantized model. The two outputs differ by the error of this node
//! alone: its rounded weights, the steps of its output, and the range that these cut.

use std::collections::{BTreeMap, HashMap};

use model_file::QuantizedNodes;
use model_file::onnx::{Model, Node, Tensor};
use prost::bytes::Bytes;

use super::correspondence::Correspondence;
use super::integers;
use super::quantized::Quantized;
use super::side::{Addition, Side};

/// Names that no model has.
const PREFIX: &str = "classify.twin.";

/// The twins of the nodes.
pub struct Twins {
    /// The place of the quantized model.
    pub side: usize,
    /// By the place of the node in the reference's file: the output of the twin, and the value of the quantized model.
    pub values: BTreeMap<usize, [Bytes; 2]>,
}

impl Twins {
    /// Adds the twins to the side of the quantized model. `None` unless one model is quantized and the other is not.
    pub fn add(
        sides: &mut [Side<'_>; 2],
        correspondence: &Correspondence,
        quantized: &[Quantized; 2],
    ) -> Option<Self> {
        let side = match sides.each_ref().map(is_quantized) {
            [false, true] => 1,
            [true, false] => 0,
            _ => return None,
        };
        // The operators have to mean the same.
        if sides[0].model.opset() != sides[1].model.opset() {
            return None;
        }
        let source = Source::of(&sides[1 - side].model);
        let makers = sides[side].model.makers();
        let last_parts = [0, 1].map(|side| correspondence.last_parts(side));
        let mut additions = Vec::new();
        let mut values = BTreeMap::new();
        for (index, counterpart) in correspondence.counterparts.iter().enumerate() {
            let Some(counterpart) = *counterpart else {
                continue;
            };
            let pair = [
                &sides[0].model.nodes()[index],
                &sides[1].model.nodes()[counterpart],
            ];
            let [Some(one), Some(other)] = pair.map(|node| node.output.first()) else {
                continue;
            };
            let places = [index, counterpart];
            let has_bias = [0, 1].map(|side: usize| {
                let last = last_parts[side].get(&places[side]);
                let last = last.map(|last| &sides[side].model.nodes()[*last]);
                let is_part = last.is_some_and(|last| integers::operator(last) == "Add");
                is_part || integers::has_bias(pair[side]) == Some(true)
            });
            if has_bias[0] != has_bias[1] {
                continue;
            }
            let compared = Quantized::values(quantized, [one, other]);
            let twin = source.twin(
                [pair[1 - side], pair[side]],
                compared[1 - side],
                &sides[side],
                &makers,
            );
            if let Some((name, twin)) = twin {
                values.insert(index, [name.clone(), compared[side].clone()]);
                additions.push((name, twin));
            }
        }
        for (name, twin) in additions {
            sides[side].add(name, twin);
        }
        Some(Self { side, values })
    }
}

/// Returns whether the model of a side is quantized.
pub fn is_quantized(side: &Side<'_>) -> bool {
    QuantizedNodes::of_onnx(&side.model).is_quantized()
}

/// The float model.
struct Source<'a> {
    nodes: &'a [Node],
    weights: HashMap<&'a Bytes, &'a Tensor>,
    makers: HashMap<&'a Bytes, (usize, usize)>,
}

impl<'a> Source<'a> {
    fn of(model: &'a Model) -> Self {
        let weights = model.graph.iter().flat_map(|graph| &graph.initializer);
        Self {
            nodes: model.nodes(),
            weights: weights
                .filter_map(|tensor| Some((tensor.name.as_ref()?, tensor)))
                .collect(),
            makers: model.makers(),
        }
    }

    /// Returns the twin of a float node and its counterpart on the quantized `side`, and the name of its output. `compared`
    /// is the float model's value: the output of the node, or of the activation or the bias behind it that the quantizer
    /// folded. `makers` are the nodes of the quantized model. `None` for nodes that have no twin.
    fn twin(
        &self,
        [float, own]: [&Node; 2],
        compared: &Bytes,
        side: &Side<'_>,
        makers: &HashMap<&Bytes, (usize, usize)>,
    ) -> Option<(Bytes, Addition)> {
        let is_same = integers::product(float) == integers::product(own);
        if !is_same || float.bodies().next().is_some() {
            return None;
        }
        let mut twin = Addition::default();
        let inputs = float.input.iter().enumerate();
        let inputs: Option<Vec<Bytes>> = inputs
            .map(|(place, input)| {
                if input.is_empty() {
                    return Some(Bytes::new());
                }
                self.constant(input, &mut twin).or_else(|| {
                    let value = integers::value(own, place)?;
                    // A node that is quantized dynamically rounds its inputs itself.
                    let maker = makers
                        .get(value)
                        .map(|(node, _)| &side.model.nodes()[*node]);
                    match maker.filter(|maker| maker.operator() == "DynamicQuantizeLinear") {
                        Some(maker) => maker.input.first().cloned(),
                        None => Some(side.real(value, &mut twin)),
                    }
                })
            })
            .collect();
        twin.nodes.push(copy(float, inputs?));
        let output = float.output.first()?;
        if output != compared {
            let activation = &self.nodes[self.makers.get(compared)?.0];
            if !activation.input.contains(output) {
                return None;
            }
            let inputs = activation.input.iter().map(|input| {
                if input.is_empty() || input == output {
                    Some(renamed(input))
                } else {
                    self.constant(input, &mut twin)
                }
            });
            let inputs = inputs.collect::<Option<_>>()?;
            twin.nodes.push(copy(activation, inputs));
        }
        Some((renamed(compared), twin))
    }

    /// Adds a constant of the float model, and returns its new name. Tensors in other files are not near the copy.
    fn constant(&self, value: &Bytes, twin: &mut Addition) -> Option<Bytes> {
        if let Some(tensor) = self.weights.get(value) {
            if !tensor.external_data.is_empty() {
                return None;
            }
            twin.weights.push(Tensor {
                name: Some(renamed(value)),
                ..(*tensor).clone()
            });
        } else {
            let node = &self.nodes[self.makers.get(value)?.0];
            if node.operator() != "Constant" {
                return None;
            }
            twin.nodes.push(copy(node, Vec::new()));
        }
        Some(renamed(value))
    }
}

fn renamed(value: &Bytes) -> Bytes {
    if value.is_empty() {
        return Bytes::new();
    }
    [PREFIX.as_bytes(), value].concat().into()
}

/// Copies a node with other inputs.
fn copy(node: &Node, input: Vec<Bytes>) -> Node {
    Node {
        name: None,
        input,
        output: node.output.iter().map(renamed).collect(),
        ..node.clone()
    }
}
