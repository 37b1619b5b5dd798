//! `rt_info` of an OpenVINO IR.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::Inside;

/// Arguments of the model converter that put preprocessing into the graph.
const CONVERTED: [&str; 4] = [
    "mean_values",
    "scale_values",
    "scale",
    "reverse_input_channels",
];

/// The version of the IR, and what it says of itself.
pub(super) fn read(xml: &str) -> Result<(Option<u32>, Inside), roxmltree::Error> {
    // No DTD, hence no entities to expand.
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options)?;
    let root = document.root_element();
    let rt_info = child(root, "rt_info");
    let model_info: BTreeMap<_, _> = entries(rt_info.and_then(|node| child(node, "model_info")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    // Where releases up to 2022.3 wrote the arguments, and where later ones do.
    let arguments = [
        child(root, "meta_data").and_then(|node| child(node, "cli_parameters")),
        rt_info.and_then(|node| child(node, "conversion_parameters")),
    ];
    let prepares_pixels = arguments
        .into_iter()
        .flat_map(entries)
        .any(|(key, value)| CONVERTED.contains(&key) && is_set(value));
    let version = root.attribute("version").and_then(|text| text.parse().ok());
    let inside = Inside {
        model_info,
        prepares_pixels,
    };
    Ok((version, inside))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The elements in `node` with their `value`.
fn entries<'a, 'i: 'a>(node: Option<Node<'a, 'i>>) -> impl Iterator<Item = (&'a str, &'a str)> {
    node.into_iter()
        .flat_map(|node| node.children().filter(Node::is_element))
        .filter_map(|entry| Some((entry.tag_name().name(), entry.attribute("value")?)))
}

/// Python's way to write that an argument was not given.
fn is_set(value: &str) -> bool {
    !matches!(value.trim(), "" | "()" | "[]" | "{}" | "None" | "False")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_attributes_of_model_info() {
        let xml = r#"<net name="n" version="11"><layers/><rt_info>
            <conversion_parameters><mean_values value="()"/></conversion_parameters>
            <model_info><mean_values value="1 2 3"/><labels value="a &lt;b&gt;"/><odd/></model_info>
            </rt_info></net>"#;
        let (
            version,
            Inside {
                model_info,
                prepares_pixels,
            },
        ) = read(xml).unwrap();
        assert_eq!(version, Some(11));
        assert_eq!(model_info.len(), 2);
        assert_eq!(
            (
                model_info["mean_values"].as_str(),
                model_info["labels"].as_str()
            ),
            ("1 2 3", "a <b>")
        );
        assert!(!prepares_pixels);
        assert!(read("<net/>").unwrap().1.model_info.is_empty());
    }

    #[test]
    fn a_converter_says_what_it_put_into_the_graph() {
        for xml in [
            r#"<net><rt_info><conversion_parameters><mean_values value="data[1,2,3]"/></conversion_parameters></rt_info></net>"#,
            r#"<net><meta_data><cli_parameters><reverse_input_channels value="True"/></cli_parameters></meta_data></net>"#,
        ] {
            assert!(read(xml).unwrap().1.prepares_pixels, "{xml}");
        }
    }

    #[test]
    fn entities_are_not_expanded_and_damage_is_an_error() {
        let bomb = r#"<!DOCTYPE net [<!ENTITY a "aaaa">]><net><rt_info/></net>"#;
        assert!(read(bomb).is_err());
        assert!(read("<net><rt_info>").is_err());
    }
}
