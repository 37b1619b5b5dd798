//! TensorFlow: the nodes and functions of a `GraphDef`, which a frozen graph is and a `SavedModel` contains.
//!
//! Numbers of fields are those of `graph.proto`, `node_def.proto`, `attr_value.proto`, `tensor.proto`, `function.proto`,
//! `op_def.proto`, `meta_graph.proto` and `saved_model.proto` in `tensorflow/core`. Values of tensors are slices of the
//! file. A damaged file, and one with more nodes than the limits, is not read.

mod wire;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use self::wire::{Damaged, Field, Message};

/// More nodes and functions than these, nodes of functions included, are not read.
const MOST_NODES: usize = 1 << 18;
/// More inputs of nodes, those of control included, arguments and results of functions than these are not read.
const MOST_NAMES: usize = 1 << 20;
/// A name of more bytes than these is not read.
const MOST_BYTES: usize = 1 << 10;
/// More attributes of all nodes than these are not read.
const MOST_ATTRIBUTES: usize = 1 << 21;
/// A node with more attributes than these is not read.
const MOST_OF_NODE: usize = 128;
/// More outputs than these are not read.
const MOST_OUTPUTS: usize = 64;
/// Calls of functions that are followed, each of them once.
const MOST_CALLS: usize = 1 << 12;
/// The depth of calls in calls.
const MOST_DEPTH: usize = 64;
/// Names that are looked up behind the outputs. Hostile graphs lead each of them through many calls.
const MOST_LOOKUPS: usize = 1 << 20;
/// A shape or the value of a constant with more numbers than these is not read.
const MOST_NUMBERS: usize = 64;

const DT_INT32: u64 = 3;
const DT_INT64: u64 = 9;

/// A shape; `None` is an open size.
pub type Dims = Vec<Option<usize>>;

/// A graph with the functions that it calls.
#[derive(Debug)]
pub struct Graph<'a> {
    /// The main graph, then the functions.
    bodies: Vec<Body<'a>>,
    functions: HashMap<&'a [u8], usize>,
    /// The outputs of the model.
    outputs: Vec<Output<'a>>,
    calls: RefCell<Calls>,
}

/// The calls of functions that were followed so far. The main graph is the first.
#[derive(Debug)]
struct Calls {
    made: Vec<Call>,
    /// The numbers of calls by the call and the node that makes them.
    numbers: HashMap<(usize, usize), usize>,
    /// The names that were looked up.
    lookups: usize,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    body: usize,
    depth: usize,
    /// The call that makes this one, and its node.
    outer: Option<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Body<'a> {
    nodes: Vec<Node<'a>>,
    numbers: HashMap<&'a [u8], usize>,
    /// The places of the arguments by their names.
    arguments: HashMap<&'a [u8], usize>,
    /// The values that are returned.
    results: Vec<&'a [u8]>,
    /// True if an argument or a result is a list of tensors, so that the numbers of the others are not known.
    has_lists: bool,
}

/// An output of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Output<'a> {
    /// The key of the signature, or the name of the tensor.
    pub name: String,
    /// The shape that the signature states.
    pub dims: Option<Dims>,
    /// The name of the tensor in the main graph: `Identity`, `best:1`.
    tensor: &'a [u8],
    /// True if the name is a key of a signature.
    pub is_in_signature: bool,
}

/// A node.
#[derive(Debug)]
pub struct Node<'a> {
    name: &'a [u8],
    operator: &'a [u8],
    /// The tensors that it takes, without control inputs.
    inputs: Vec<&'a [u8]>,
    /// The nodes that run before it, without their values.
    controls: Vec<&'a [u8]>,
    /// Returns the name of the function that it calls, if there is one with this name.
    callee: &'a [u8],
    attributes: Vec<(&'a [u8], Message<'a>)>,
}

/// An output of a node, seen from a call of the function that contains the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value {
    call: usize,
    node: usize,
    port: usize,
}

impl<'a> Graph<'a> {
    /// Reads a frozen graph: a `GraphDef`. `None` if it is damaged or exceeds the limits.
    pub fn of_frozen(bytes: &'a [u8]) -> Option<Self> {
        Self::parse(Message(bytes), None).ok()
    }

    /// Reads the graph of a `SavedModel` that OpenVINO takes, with the signature `serving_default` if there is one.
    /// `None` if it is damaged, exceeds the limits, or has several graphs that may be the one.
    pub fn of_saved_model(bytes: &'a [u8]) -> Option<Self> {
        Self::parse_saved_model(Message(bytes)).ok()
    }

    fn parse_saved_model(model: Message<'a>) -> Result<Self, Damaged> {
        let mut graphs = Vec::new();
        for graph in model.all(2) {
            graphs.push(Message(graph?));
            if graphs.len() > MOST_OUTPUTS {
                return Err(Damaged);
            }
        }
        let is_for_serving = |graph: &&Message<'a>| -> bool {
            let Ok(Some(info)) = graph.message(1) else {
                return false;
            };
            let mut tags = info.all(4).peekable();
            tags.peek().is_some() && tags.all(|tag| tag == Ok(b"serve"))
        };
        let mut serving = graphs.iter().filter(is_for_serving);
        let graph = match (serving.next(), serving.next(), &graphs[..]) {
            (Some(graph), None, _) | (None, None, [graph]) => *graph,
            _ => return Err(Damaged),
        };
        let mut signature = None;
        for entry in graph.entries(5) {
            let (key, value) = entry?;
            if key == b"serving_default" {
                signature = Some(value);
            }
        }
        let outputs = signature.map(signature_outputs).transpose()?;
        Self::parse(graph.message(2)?.ok_or(Damaged)?, outputs)
    }

    fn parse(graph: Message<'a>, outputs: Option<Vec<Output<'a>>>) -> Result<Self, Damaged> {
        let mut counts = Counts::default();
        let mut main = Body::default();
        for node in graph.all(1) {
            main.add(Message(node?), &mut counts)?;
        }
        let mut bodies = vec![main];
        let mut functions = HashMap::new();
        if let Some(library) = graph.message(2)? {
            for function in library.all(1) {
                let (name, body) = function_of(Message(function?), &mut counts)?;
                if functions.insert(name, bodies.len()).is_some() {
                    return Err(Damaged);
                }
                bodies.push(body);
            }
        }
        let outputs = match outputs {
            Some(outputs) => outputs,
            None => bodies[0].unconsumed()?,
        };
        let main = Call {
            body: 0,
            depth: 0,
            outer: None,
        };
        let calls = Calls {
            made: vec![main],
            numbers: HashMap::new(),
            lookups: 0,
        };
        Ok(Self {
            bodies,
            functions,
            outputs,
            calls: RefCell::new(calls),
        })
    }

    /// Returns the outputs: those of the signature, otherwise the first output of each node whose outputs no other node
    /// takes.
    pub fn outputs(&self) -> &[Output<'a>] {
        &self.outputs
    }

    /// Returns the value of an output.
    pub fn value(&self, output: &Output<'a>) -> Option<Value> {
        self.resolve(0, output.tensor)
    }

    /// Returns the node that makes a value, and which of its outputs the value is.
    pub fn producer(&self, value: Value) -> (&Node<'a>, usize) {
        let body = self.calls.borrow().made[value.call].body;
        (&self.bodies[body].nodes[value.node], value.port)
    }

    /// Returns the names of a value in the main graph, `best:0` and `best`. None for a value in a function.
    pub fn names(&self, value: Value) -> Vec<String> {
        if value.call != 0 {
            return Vec::new();
        }
        let name = String::from_utf8_lossy(self.producer(value).0.name);
        let mut names = vec![format!("{name}:{}", value.port)];
        names.extend((value.port == 0).then(|| name.into_owned()));
        names
    }

    /// Returns the number of inputs of the node that makes a value.
    pub fn inputs(&self, value: Value) -> usize {
        self.producer(value).0.inputs.len()
    }

    /// Returns an input of the node that makes a value: the value itself, behind the calls of functions. `None` if it
    /// is not known.
    pub fn input(&self, value: Value, index: usize) -> Option<Value> {
        let name = self.producer(value).0.inputs.get(index)?;
        self.resolve(value.call, name)
    }

    /// Returns the number of the function that a node calls.
    fn function(&self, node: &Node<'a>) -> Option<usize> {
        self.functions.get(node.callee).copied()
    }

    /// Returns the value that is called `name` in a call, behind calls and arguments of functions.
    fn resolve(&self, mut call: usize, mut name: &'a [u8]) -> Option<Value> {
        // Each step enters a function or leaves one.
        for _ in 0..MOST_DEPTH * 2 {
            let here = self.look_up(call)?;
            let body = &self.bodies[here.body];
            if let Some(&argument) = body.arguments.get(name) {
                let (outer, node) = here.outer?;
                let outer_body = self.calls.borrow().made[outer].body;
                name = self.bodies[outer_body].nodes[node].inputs.get(argument)?;
                call = outer;
                continue;
            }
            let (node, port) = body.place(name, here.outer.is_none(), self)?;
            let Some(function) = self.function(&body.nodes[node]) else {
                return Some(Value { call, node, port });
            };
            let function_body = &self.bodies[function];
            if function_body.has_lists {
                return None;
            }
            name = function_body.results.get(port)?;
            let inner = Call {
                body: function,
                depth: here.depth + 1,
                outer: Some((call, node)),
            };
            call = self.enter(inner)?;
        }
        None
    }

    /// Returns a call in which a name is looked up. `None` after too many of them.
    fn look_up(&self, call: usize) -> Option<Call> {
        let mut calls = self.calls.borrow_mut();
        calls.lookups += 1;
        (calls.lookups <= MOST_LOOKUPS).then(|| calls.made[call])
    }

    /// Returns the number of a call.
    fn enter(&self, call: Call) -> Option<usize> {
        let mut calls = self.calls.borrow_mut();
        if let Some(known) = calls.numbers.get(&call.outer?) {
            return Some(*known);
        }
        let number = calls.made.len();
        if call.depth > MOST_DEPTH || number >= MOST_CALLS {
            return None;
        }
        calls.made.push(call);
        calls.numbers.insert(call.outer?, number);
        Some(number)
    }
}

/// The entries that were read so far.
#[derive(Default)]
struct Counts {
    nodes: usize,
    names: usize,
    attributes: usize,
}

impl Counts {
    /// Counts a node or a function.
    fn node(&mut self) -> Result<(), Damaged> {
        count(&mut self.nodes, MOST_NODES)
    }

    fn name(&mut self) -> Result<(), Damaged> {
        count(&mut self.names, MOST_NAMES)
    }

    fn attribute(&mut self) -> Result<(), Damaged> {
        count(&mut self.attributes, MOST_ATTRIBUTES)
    }
}

/// Counts an entry of a kind of which a graph has at most `most`.
fn count(counted: &mut usize, most: usize) -> Result<(), Damaged> {
    *counted += 1;
    (*counted <= most).then_some(()).ok_or(Damaged)
}

/// Returns the outputs of a signature that OpenVINO takes.
fn signature_outputs(signature: Message<'_>) -> Result<Vec<Output<'_>>, Damaged> {
    // It does not take a signature that has a tensor without a name or of a type that it lacks.
    let is_known = |info: Message<'_>| -> Result<bool, Damaged> {
        let has_name = info.bytes(1)?.is_some_and(|name| !name.is_empty());
        let kind = info.number(2)?.unwrap_or_default();
        Ok(has_name && matches!(kind, 1..=7 | 9 | 10 | 14 | 19))
    };
    for input in signature.entries(1) {
        if !is_known(input?.1)? {
            return Err(Damaged);
        }
    }
    let mut outputs: Vec<Output<'_>> = Vec::new();
    for output in signature.entries(2) {
        let (key, info) = output?;
        if !is_known(info)? || outputs.len() >= MOST_OUTPUTS {
            return Err(Damaged);
        }
        let name = String::from_utf8_lossy(key).into_owned();
        if outputs.iter().any(|known| known.name == name) {
            return Err(Damaged);
        }
        outputs.push(Output {
            name,
            dims: info.message(3)?.map(dims).transpose()?.flatten(),
            tensor: info.bytes(1)?.unwrap_or_default(),
            is_in_signature: true,
        });
    }
    Ok(outputs)
}

/// Returns the sizes in a shape; `None` if their number is unknown.
fn dims(shape: Message<'_>) -> Result<Option<Dims>, Damaged> {
    let shape = shape.few()?;
    if shape.number(3)?.is_some_and(|unknown| unknown != 0) {
        return Ok(None);
    }
    let mut dims = Vec::new();
    for dim in shape.all(2) {
        let size = Message(dim?)
            .few()?
            .number(1)?
            .unwrap_or_default()
            .cast_signed();
        if dims.len() >= MOST_NUMBERS {
            return Err(Damaged);
        }
        dims.push(usize::try_from(size).ok());
    }
    Ok(Some(dims))
}

/// Returns the name and the content of a function.
fn function_of<'a>(
    function: Message<'a>,
    counts: &mut Counts,
) -> Result<(&'a [u8], Body<'a>), Damaged> {
    counts.node()?;
    let signature = function.message(1)?.ok_or(Damaged)?;
    let mut body = Body::default();
    for node in function.all(3) {
        body.add(Message(node?), counts)?;
    }
    // A list has a number or a list of types.
    let is_list = |argument: Message<'_>| -> Result<bool, Damaged> {
        Ok(argument.bytes(5)?.is_some() || argument.bytes(6)?.is_some())
    };
    for argument in signature.all(2) {
        counts.name()?;
        let argument = Message(argument?);
        body.has_lists |= is_list(argument)?;
        let name = short(argument.bytes(1)?.unwrap_or_default())?;
        let place = body.arguments.len();
        if body.arguments.insert(name, place).is_some() {
            return Err(Damaged);
        }
    }
    let mut returned = HashMap::new();
    for entry in function.all(4) {
        counts.name()?;
        let entry = Message(entry?);
        let key = entry.bytes(1)?.unwrap_or_default();
        returned.insert(key, short(entry.bytes(2)?.unwrap_or_default())?);
    }
    for result in signature.all(3) {
        counts.name()?;
        let result = Message(result?);
        body.has_lists |= is_list(result)?;
        let name = result.bytes(1)?.unwrap_or_default();
        body.results.push(returned.get(name).ok_or(Damaged)?);
    }
    Ok((signature.bytes(1)?.unwrap_or_default(), body))
}

/// Returns a name that is not too long to be looked up often.
fn short(name: &[u8]) -> Result<&[u8], Damaged> {
    let is_short = name.len() <= MOST_BYTES;
    is_short.then_some(name).ok_or(Damaged)
}

impl<'a> Body<'a> {
    fn add(&mut self, message: Message<'a>, counts: &mut Counts) -> Result<(), Damaged> {
        counts.node()?;
        let mut node = Node {
            name: &[],
            operator: &[],
            inputs: Vec::new(),
            controls: Vec::new(),
            callee: &[],
            attributes: Vec::new(),
        };
        for field in message.fields() {
            match field? {
                (1, Field::Bytes(name)) => node.name = short(name)?,
                (2, Field::Bytes(operator)) => node.operator = short(operator)?,
                // Control inputs come after the others.
                (3, Field::Bytes(input)) => {
                    counts.name()?;
                    match short(input)?.strip_prefix(b"^") {
                        Some(control) => node.controls.push(control),
                        None => node.inputs.push(input),
                    }
                }
                (5, Field::Bytes(entry)) => {
                    counts.attribute()?;
                    if node.attributes.len() >= MOST_OF_NODE {
                        return Err(Damaged);
                    }
                    node.attributes.push(Message(entry).entry()?);
                }
                (1..=3 | 5, Field::Number(_) | Field::Fixed) => return Err(Damaged),
                _ => {}
            }
        }
        node.callee = node.called().unwrap_or_default();
        let known = self.numbers.insert(node.name, self.nodes.len());
        if known.is_some() || node.name.is_empty() || node.operator.is_empty() {
            return Err(Damaged);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Returns the node and the number of its output that is called `name`.
    fn place(&self, name: &[u8], is_main: bool, graph: &Graph<'a>) -> Option<(usize, usize)> {
        let mut parts = name.split(|byte| *byte == b':');
        let node = *self.numbers.get(parts.next()?)?;
        let number = |text: &[u8]| str::from_utf8(text).ok()?.parse::<usize>().ok();
        let port = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) if is_main => 0,
            (Some(port), None, None) if is_main => number(port)?,
            // The name of an output, and the number in it.
            (Some(output), Some(index), None) if !is_main => {
                let index = number(index)?;
                self.nodes[node].port(output, index, graph)?
            }
            _ => return None,
        };
        Some((node, port))
    }

    /// Returns the first output of each node whose outputs no other node takes.
    fn unconsumed(&self) -> Result<Vec<Output<'a>>, Damaged> {
        let mut consumed = HashSet::new();
        for node in &self.nodes {
            for input in node.inputs.iter().chain(&node.controls) {
                let end = input.iter().position(|byte| *byte == b':');
                consumed.insert(&input[..end.unwrap_or(input.len())]);
            }
        }
        let mut outputs = Vec::new();
        for node in &self.nodes {
            if consumed.contains(node.name) || matches!(node.operator, b"NoOp" | b"Assert") {
                continue;
            }
            if outputs.len() >= MOST_OUTPUTS {
                return Err(Damaged);
            }
            outputs.push(Output {
                name: format!("{}:0", String::from_utf8_lossy(node.name)),
                dims: None,
                tensor: node.name,
                is_in_signature: false,
            });
        }
        Ok(outputs)
    }
}

impl<'a> Node<'a> {
    /// Returns the operator: `MatMul`.
    pub fn operator(&self) -> &str {
        str::from_utf8(self.operator).unwrap_or_default()
    }

    /// Returns the number of an output that a function names: `indices:0` of a `TopKV2` is its second one.
    fn port(&self, output: &[u8], index: usize, graph: &Graph<'a>) -> Option<usize> {
        match (self.operator, output) {
            // Lists of outputs.
            (b"PartitionedCall" | b"StatefulPartitionedCall" | b"IdentityN", _) => Some(index),
            (b"TopKV2" | b"TopK", b"indices") => Some(1),
            (b"TopKV2" | b"TopK", b"values") => Some(0),
            // A call by the name of the function.
            _ if graph.function(self).is_some() => None,
            (operator, b"y") if operator.starts_with(b"FusedBatchNorm") => Some(0),
            (operator, _) if operator.starts_with(b"FusedBatchNorm") => None,
            _ => Some(index),
        }
    }

    fn attribute(&self, name: &str) -> Option<Message<'a>> {
        // The last one counts.
        let mut attributes = self.attributes.iter().rev();
        let (_, value) = attributes.find(|(key, _)| *key == name.as_bytes())?;
        value.few().ok()
    }

    /// The name of the function that it calls, if there is one with this name.
    fn called(&self) -> Option<&'a [u8]> {
        match self.operator {
            b"PartitionedCall" | b"StatefulPartitionedCall" => {
                let function = self.attribute("f")?.message(10).ok()??;
                short(function.bytes(1).ok()??).ok()
            }
            operator => Some(operator),
        }
    }

    /// Returns the boolean in an attribute.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let flag = self.attribute(name)?.number(5).ok()?;
        Some(flag.unwrap_or_default() != 0)
    }

    /// Returns the integer in an attribute.
    pub fn integer(&self, name: &str) -> Option<i64> {
        let integer = self.attribute(name)?.number(3).ok()?;
        Some(integer.unwrap_or_default().cast_signed())
    }

    /// Returns the integers in an attribute.
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let list = self.attribute(name)?.message(1).ok()??.few().ok()?;
        list.numbers(3, MOST_NUMBERS).ok()
    }

    /// Returns the type in an attribute, a `DataType` of `types.proto`.
    pub fn data_type(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.number(6).ok()?
    }

    /// Returns the shape of an output that the file states.
    pub fn dims(&self, port: usize) -> Option<Dims> {
        if let Some(shapes) = self.attribute("_output_shapes") {
            let list = shapes.message(1).ok()??.few().ok()?;
            return dims(Message(list.all(7).nth(port)?.ok()?)).ok()?;
        }
        if let Some(tensor) = self.tensor() {
            return tensor_dims(tensor);
        }
        let has_shape = matches!(
            self.operator,
            b"Placeholder" | b"VarHandleOp" | b"VariableV2" | b"Variable"
        );
        let shape = self.attribute("shape").filter(|_| has_shape)?;
        dims(shape.message(7).ok()??).ok()?
    }

    fn tensor(&self) -> Option<Message<'a>> {
        let value = (self.operator == b"Const").then(|| self.attribute("value"));
        value??.message(8).ok()??.few().ok()
    }

    /// Returns the values of a constant of integers, at most 64 of them.
    pub fn constant(&self) -> Option<Vec<i64>> {
        let tensor = self.tensor()?;
        let sizes = tensor_dims(tensor)?;
        let mut count = sizes.into_iter();
        let count = count.try_fold(1_usize, |count, size| count.checked_mul(size?))?;
        let (wide, field) = match tensor.number(1).ok()?? {
            DT_INT32 => (false, 7),
            DT_INT64 => (true, 10),
            _ => return None,
        };
        if count > MOST_NUMBERS {
            return None;
        }
        let content = tensor.bytes(4).ok()?.unwrap_or_default();
        let mut values: Vec<i64> = match (content, wide) {
            ([], _) => tensor.numbers(field, MOST_NUMBERS).ok()?,
            (content, true) => {
                let (values, []) = content.as_chunks() else {
                    return None;
                };
                values
                    .iter()
                    .map(|value| i64::from_le_bytes(*value))
                    .collect()
            }
            (content, false) => {
                let (values, []) = content.as_chunks() else {
                    return None;
                };
                let value = |value: &[u8; 4]| i64::from(i32::from_le_bytes(*value));
                values.iter().map(value).collect()
            }
        };
        // The last value stands for all that follow.
        if content.is_empty() && values.len() < count {
            values.resize(count, values.last().copied().unwrap_or_default());
        }
        (values.len() == count).then_some(values)
    }
}

fn tensor_dims(tensor: Message<'_>) -> Option<Dims> {
    dims(tensor.message(2).ok()?.unwrap_or(Message(&[]))).ok()?
}

#[cfg(test)]
mod tests;
