use super::*;

/// Graphs that `make_models.py` writes.
const FROZEN: &[u8] = include_bytes!("../../../tests/data/tensorflow-softmax.pb");
const SAVED: &[u8] = include_bytes!("../../../tests/data/tensorflow-saved-top-k/saved_model.pb");

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A node in the field `number` of a graph or a function, which calls `function` if there is one.
fn node(number: u8, name: &str, operator: &str, inputs: &[&str], function: &str) -> Vec<u8> {
    let mut content = [field(1, name.as_bytes()), field(2, operator.as_bytes())].concat();
    content.extend(inputs.iter().flat_map(|input| field(3, input.as_bytes())));
    if !function.is_empty() {
        let value = field(10, &field(1, function.as_bytes()));
        content.extend(field(5, &[field(1, b"f"), field(2, &value)].concat()));
    }
    field(number, &content)
}

/// A function of `x` that returns `value`.
fn function(name: &str, nodes: &[Vec<u8>], value: &str) -> Vec<u8> {
    let argument = |number, name: &[u8]| field(number, &field(1, name));
    let signature = [
        field(1, name.as_bytes()),
        argument(2, b"x"),
        argument(3, b"y"),
    ]
    .concat();
    let returned = [field(1, b"y"), field(2, value.as_bytes())].concat();
    let content = [field(1, &signature), nodes.concat(), field(4, &returned)].concat();
    field(1, &content)
}

fn graph(nodes: &[Vec<u8>], functions: &[Vec<u8>]) -> Vec<u8> {
    [nodes.concat(), field(2, &functions.concat())].concat()
}

/// Looks at everything that a graph has behind its outputs.
fn walk(graph: &Graph<'_>) -> usize {
    let outputs = graph.outputs().iter();
    let mut open: Vec<Value> = outputs.filter_map(|output| graph.value(output)).collect();
    let mut seen = HashSet::new();
    while let Some(value) = open.pop() {
        if !seen.insert(value) {
            continue;
        }
        let (node, port) = graph.producer(value);
        let _ = (node.operator(), node.dims(port), node.constant());
        let _ = (node.flag("sorted"), node.integer("k"), node.data_type("T"));
        let _ = (node.integers("squeeze_dims"), graph.names(value));
        let inputs = 0..graph.inputs(value);
        open.extend(inputs.filter_map(|index| graph.input(value, index)));
    }
    seen.len()
}

#[test]
fn the_nodes_of_a_frozen_graph() {
    let graph = Graph::of_frozen(FROZEN).unwrap();
    let [output] = graph.outputs() else {
        panic!("one output");
    };
    assert_eq!((output.name.as_str(), &output.dims), ("squeezed:0", &None));
    let value = graph.value(output).unwrap();
    assert_eq!(graph.names(value), ["squeezed:0", "squeezed"]);
    let squeeze = graph.producer(value).0;
    assert_eq!(squeeze.operator(), "Squeeze");
    assert_eq!(squeeze.integers("squeeze_dims"), Some(vec![1]));
    let slice = graph.input(value, 0).unwrap();
    let node = graph.producer(slice).0;
    assert_eq!(node.integer("new_axis_mask"), Some(2));
    let ones = graph.input(slice, 3).unwrap();
    assert_eq!(graph.producer(ones).0.constant(), Some(vec![1, 1]));
    assert_eq!(graph.producer(ones).0.dims(0), Some(vec![Some(2)]));
    assert_eq!(graph.input(slice, 4), None);
    // The axes, the image, and the values between: all of the file.
    assert_eq!(walk(&graph), 10);
}

#[test]
fn a_saved_model_is_read_through_its_functions() {
    let graph = Graph::of_saved_model(SAVED).unwrap();
    let names: Vec<&str> = graph.outputs().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["ids", "values"]);
    for (output, port) in graph.outputs().iter().zip([1, 0]) {
        assert_eq!(output.dims, Some(vec![Some(1), Some(5)]));
        // `Identity` of the outer function, and behind it the inner one.
        let identity = graph.value(output).unwrap();
        assert_eq!(graph.producer(identity).0.operator(), "Identity");
        let best = graph.input(identity, 0).unwrap();
        let (node, found) = graph.producer(best);
        assert_eq!((node.operator(), found), ("TopKV2", port));
        assert_eq!(node.flag("sorted"), Some(true));
        assert_eq!(graph.names(best), [""; 0]);
        // The image comes through the arguments of both.
        let scores = graph.input(best, 0).unwrap();
        let mean = graph.input(scores, 0).unwrap();
        let image = graph.input(mean, 0).unwrap();
        let image = graph.producer(image).0;
        assert_eq!(image.operator(), "Placeholder");
        assert_eq!(image.dims(0).unwrap().last(), Some(&Some(3)));
    }
}

#[test]
fn only_the_graph_that_openvino_takes_is_read() {
    let meta = |tag: &str, name: &str, kind: u8| {
        let info = [field(1, name.as_bytes()), vec![0x10, kind]].concat();
        let output = field(2, &[field(1, b"y"), field(2, &info)].concat());
        let signature = [field(1, b"serving_default"), field(2, &output)].concat();
        let graph = graph(&[node(1, "a", "Placeholder", &[], "")], &[]);
        let parts = [
            field(1, &field(4, tag.as_bytes())),
            field(2, &graph),
            field(5, &signature),
        ];
        field(2, &parts.concat())
    };
    let reads = |graphs: &[Vec<u8>]| Graph::of_saved_model(&graphs.concat()).is_some();
    assert!(reads(&[meta("serve", "a:0", 1)]));
    assert!(reads(&[meta("train", "a:0", 1)]), "the only one");
    assert!(reads(&[meta("train", "a:0", 1), meta("serve", "a:0", 1)]));
    assert!(!reads(&[meta("serve", "a:0", 1), meta("serve", "a:0", 1)]));
    assert!(!reads(&[meta("train", "a:0", 1), meta("tpu", "a:0", 1)]));
    assert!(!reads(&[meta("serve", "", 1)]), "no name");
    assert!(!reads(&[meta("serve", "a:0", 8)]), "complex numbers");
    assert!(!reads(&[]));
}

#[test]
fn a_control_input_consumes_and_is_no_input() {
    let nodes = [
        node(1, "a", "Placeholder", &[], ""),
        node(1, "b", "NoOp", &["^a"], ""),
        node(1, "c", "Identity", &["a", "^b"], ""),
        node(1, "d", "NoOp", &[], ""),
    ];
    let bytes = graph(&nodes, &[]);
    let graph = Graph::of_frozen(&bytes).unwrap();
    let [output] = graph.outputs() else {
        panic!("one output");
    };
    let value = graph.value(output).unwrap();
    assert_eq!((output.name.as_str(), graph.inputs(value)), ("c:0", 1));
}

#[test]
fn names_are_unique() {
    let twice = [
        node(1, "a", "Placeholder", &[], ""),
        node(1, "a", "Const", &[], ""),
    ];
    assert!(Graph::of_frozen(&graph(&twice, &[])).is_none());
    let none = [node(1, "", "Const", &[], "")];
    assert!(Graph::of_frozen(&graph(&none, &[])).is_none());
    let functions = [function("f", &[], "x"), function("f", &[], "x")];
    assert!(Graph::of_frozen(&graph(&twice[..1], &functions)).is_none());
    let argument = field(2, &field(1, b"x"));
    let arguments = |count: usize| {
        let signature = [field(1, b"f"), argument.repeat(count)].concat();
        let function = field(1, &field(1, &signature));
        Graph::of_frozen(&graph(&twice[..1], &[function])).is_some()
    };
    assert!(arguments(1) && !arguments(2));
}

#[test]
fn calls_without_an_end_and_fans_of_calls_end() {
    let call = |number, name: &str, input: &str, function: &str| {
        node(number, name, "PartitionedCall", &[input], function)
    };
    let image = node(1, "image", "Placeholder", &[], "");
    let value_of = |functions: &[Vec<u8>]| {
        let bytes = graph(&[image.clone(), call(1, "out", "image", "f0")], functions);
        let graph = Graph::of_frozen(&bytes).unwrap();
        let value = graph.value(&graph.outputs()[0]);
        value.map(|value| graph.producer(value).0.operator().to_owned())
    };
    // A function that calls itself.
    let itself = function("f0", &[call(3, "c", "x", "f0")], "c:output:0");
    assert_eq!(value_of(&[itself]), None);
    // A chain of calls, and one that is too long.
    let chain = |length: usize| {
        let mut functions: Vec<Vec<u8>> = (1..length)
            .map(|n| {
                let inner = call(3, "c", "x", &format!("f{n}"));
                function(&format!("f{}", n - 1), &[inner], "c:output:0")
            })
            .collect();
        functions.push(function(&format!("f{}", length - 1), &[], "x"));
        value_of(&functions)
    };
    assert_eq!(chain(50).as_deref(), Some("Placeholder"));
    assert_eq!(chain(100), None);
    // Each function calls the next one twice.
    let fan = (1..40).map(|n| {
        let inner = format!("f{n}");
        let calls = [call(3, "c", "x", &inner), call(3, "d", "x", &inner)];
        let sum = node(3, "s", "Add", &["c:output:0", "d:output:0"], "");
        let nodes = [&calls[..], &[sum]].concat();
        function(&format!("f{}", n - 1), &nodes, "s:z:0")
    });
    let functions: Vec<Vec<u8>> = fan.chain([function("f39", &[], "x")]).collect();
    let bytes = graph(&[image.clone(), call(1, "out", "image", "f0")], &functions);
    let walked = walk(&Graph::of_frozen(&bytes).unwrap());
    assert!((100..=MOST_CALLS).contains(&walked), "{walked}");
}

#[test]
fn a_function_of_lists_is_not_followed() {
    let argument = [field(1, b"x"), field(5, b"N")].concat();
    let signature = [
        field(1, b"f"),
        field(2, &argument),
        field(3, &field(1, b"y")),
    ]
    .concat();
    let returned = [field(1, b"y"), field(2, b"x")].concat();
    let of_list = field(1, &[field(1, &signature), field(4, &returned)].concat());
    let nodes = [
        node(1, "image", "Placeholder", &[], ""),
        node(1, "out", "PartitionedCall", &["image"], "f"),
    ];
    let value = |function: Vec<u8>| {
        let bytes = graph(&nodes, &[function]);
        let graph = Graph::of_frozen(&bytes).unwrap();
        graph.value(&graph.outputs()[0]).is_some()
    };
    assert!(!value(of_list));
    assert!(value(function("f", &[], "x")));
}

#[test]
fn more_nodes_and_numbers_than_the_limits_are_not_read() {
    let is_added = |nodes: usize, names: usize, attributes: usize| {
        let node = [field(1, b"a"), field(2, b"Neg"), field(3, b"x")].concat();
        let node = [node, field(5, b"")].concat();
        let mut counts = Counts {
            nodes,
            names,
            attributes,
        };
        Body::default().add(Message(&node), &mut counts).is_ok()
    };
    assert!(is_added(
        MOST_NODES - 1,
        MOST_NAMES - 1,
        MOST_ATTRIBUTES - 1
    ));
    assert!(!is_added(MOST_NODES, 0, 0));
    assert!(!is_added(0, MOST_NAMES, 0));
    assert!(!is_added(0, 0, MOST_ATTRIBUTES));
    let is_function_read = |nodes: usize| {
        let mut counts = Counts {
            nodes,
            ..Counts::default()
        };
        let library = function("f", &[], "x");
        let content = Message(&library).bytes(1).unwrap().unwrap();
        function_of(Message(content), &mut counts).is_ok()
    };
    assert!(is_function_read(MOST_NODES - 1));
    assert!(!is_function_read(MOST_NODES), "a function counts");
    let is_node_read = |name: usize, attributes: usize| {
        let name = field(1, "a".repeat(name).as_bytes());
        let attributes = field(5, b"").repeat(attributes);
        let bytes = field(1, &[name, field(2, b"Const"), attributes].concat());
        Graph::of_frozen(&bytes).is_some()
    };
    assert!(is_node_read(MOST_BYTES, MOST_OF_NODE));
    assert!(!is_node_read(MOST_BYTES + 1, 0));
    assert!(!is_node_read(1, MOST_OF_NODE + 1));
    let sinks = |count: usize| {
        let nodes = (0..count).map(|n| node(1, &format!("{n}"), "Const", &[], ""));
        nodes.collect::<Vec<_>>().concat()
    };
    assert!(Graph::of_frozen(&sinks(MOST_OUTPUTS)).is_some());
    assert!(Graph::of_frozen(&sinks(MOST_OUTPUTS + 1)).is_none());
    // A constant of int32 with one value for all.
    let constant = |count: u8| {
        let shape = field(2, &field(2, &[8, count]));
        let tensor = [vec![8, 3], shape, field(7, &[7])].concat();
        let value = [field(1, b"value"), field(2, &field(8, &tensor))].concat();
        let name_and_operator = [field(1, b"c"), field(2, b"Const")].concat();
        let bytes = field(1, &[name_and_operator, field(5, &value)].concat());
        let graph = Graph::of_frozen(&bytes).unwrap();
        let value = graph.value(&graph.outputs()[0]).unwrap();
        graph.producer(value).0.constant()
    };
    assert_eq!(constant(3), Some(vec![7; 3]));
    assert_eq!(constant(65), None);
}

#[test]
fn messages_that_are_looked_at_often_have_few_fields() {
    // The shapes of many outputs, and fields that no schema knows.
    let dims = |shapes: usize, unknown: usize| {
        let shape = field(7, &field(2, &[8, 5]));
        let value = field(1, &shape.repeat(shapes));
        let value = [value, [0x78, 0].repeat(unknown)].concat();
        let attribute = [field(1, b"_output_shapes"), field(2, &value)].concat();
        let node = [field(1, b"a"), field(2, b"Unheard"), field(5, &attribute)];
        let bytes = field(1, &node.concat());
        let graph = Graph::of_frozen(&bytes).unwrap();
        let value = graph.value(&graph.outputs()[0]).unwrap();
        graph.producer(value).0.dims(shapes - 1)
    };
    let known = Some(vec![Some(5)]);
    assert_eq!(dims(wire::MOST_FIELDS, wire::MOST_FIELDS - 1), known);
    assert_eq!(dims(wire::MOST_FIELDS + 1, 0), None);
    assert_eq!(dims(1, wire::MOST_FIELDS), None);
}

#[test]
fn names_are_looked_up_a_limited_number_of_times() {
    let nodes = [
        node(1, "image", "Placeholder", &[], ""),
        node(1, "out", "PartitionedCall", &["image"], "f"),
    ];
    let bytes = graph(&nodes, &[function("f", &[], "x")]);
    let graph = Graph::of_frozen(&bytes).unwrap();
    let output = &graph.outputs()[0];
    // The call, the argument in it, and the image.
    graph.calls.borrow_mut().lookups = MOST_LOOKUPS - 3;
    assert!(graph.value(output).is_some());
    assert!(graph.value(output).is_none());
    graph.calls.borrow_mut().lookups = MOST_LOOKUPS - 2;
    assert!(graph.value(output).is_none());
}

#[test]
fn damage_never_panics() {
    let of_frozen = |bytes: &[u8]| Graph::of_frozen(bytes).map(|graph| walk(&graph));
    let of_saved = |bytes: &[u8]| Graph::of_saved_model(bytes).map(|graph| walk(&graph));
    let readers: [(&[u8], &dyn Fn(&[u8]) -> Option<usize>); 2] =
        [(FROZEN, &of_frozen), (SAVED, &of_saved)];
    for (whole, read) in readers {
        for length in 0..whole.len() {
            read(&whole[..length]);
        }
        let mut bytes = whole.to_vec();
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let old = std::mem::replace(&mut bytes[at], value);
                read(&bytes);
                bytes[at] = old;
            }
        }
    }
    // Text, and other formats that begin with field 1.
    assert!(Graph::of_frozen(b"node {\n}").is_none());
    let paddle = include_bytes!("../../../tests/data/paddle.pdmodel");
    assert!(Graph::of_frozen(paddle).is_none());
}
