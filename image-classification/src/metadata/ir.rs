//! `rt_info/model_info` of an OpenVINO IR.

use std::collections::BTreeMap;

use roxmltree::{Document, ParsingOptions};

use super::MetadataError;

pub(super) fn model_info(xml: &str) -> Result<BTreeMap<String, String>, MetadataError> {
    // No DTD, hence no entities to expand.
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options)?;
    let child = |node: roxmltree::Node<'_, '_>, name| {
        node.children()
            .find(|child| child.has_tag_name(name))
            .map(|child| child.id())
    };
    let found = child(document.root_element(), "rt_info")
        .and_then(|id| document.get_node(id))
        .and_then(|rt_info| child(rt_info, "model_info"))
        .and_then(|id| document.get_node(id));
    Ok(found
        .into_iter()
        .flat_map(|model_info| model_info.children().filter(roxmltree::Node::is_element))
        .filter_map(|entry| {
            Some((
                entry.tag_name().name().to_owned(),
                entry.attribute("value")?.to_owned(),
            ))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_attributes_of_model_info() {
        let xml = r#"<net name="n" version="11"><layers/><rt_info>
            <conversion_parameters><a value="x"/></conversion_parameters>
            <model_info><mean_values value="1 2 3"/><labels value="a &lt;b&gt;"/><odd/></model_info>
            </rt_info></net>"#;
        let info = model_info(xml).unwrap();
        assert_eq!(info.len(), 2);
        assert_eq!(
            (info["mean_values"].as_str(), info["labels"].as_str()),
            ("1 2 3", "a <b>")
        );
        assert!(model_info("<net/>").unwrap().is_empty());
    }

    #[test]
    fn entities_are_not_expanded_and_damage_is_an_error() {
        let bomb = r#"<!DOCTYPE net [<!ENTITY a "aaaa">]><net><rt_info/></net>"#;
        assert!(matches!(model_info(bomb), Err(MetadataError::Xml(_))));
        assert!(matches!(
            model_info("<net><rt_info>"),
            Err(MetadataError::Xml(_))
        ));
    }
}
