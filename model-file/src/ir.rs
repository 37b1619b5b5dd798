//! OpenVINO IR: XML with the weights in a `.bin` beside it.

use std::io;
use std::path::{Path, PathBuf};

use backend_api::Error;
use roxmltree::{Document, ParsingOptions};

use crate::files::{has_ending, invalid, missing, regular};
use crate::format::read_regular;

/// The largest `.xml` that is read.
const MOST_XML_BYTES: u64 = 256 << 20;

/// Parses XML. Without a DTD there are no entities to expand.
///
/// # Errors
///
/// The parser's.
pub fn parse(xml: &str) -> Result<Document<'_>, roxmltree::Error> {
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(xml, options)
}

/// Reads the XML of an IR.
///
/// # Errors
///
/// The system's; [`io::ErrorKind::FileTooLarge`].
pub fn read(model: &Path) -> io::Result<String> {
    let bytes = read_regular(model, MOST_XML_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Checks that the weights of every constant lie within the `.bin`, which is returned.
pub(crate) fn check(model: &Path) -> Result<PathBuf, Error> {
    // OpenVINO takes the .bin for what is called otherwise by a rule of its own.
    if !has_ending(model, "xml") {
        return Err(invalid(model, "an OpenVINO IR has to be called .xml")
            .with_hint("rename the file to .xml, and its weights to the same name with .bin"));
    }
    let weights = model.with_extension("bin");
    let size = regular(&weights).map_err(|error| {
        error.with_hint("an IR model is two files: put the .bin beside the .xml")
    })?;
    let xml = read(model)
        .map_err(|source| missing(model, "the model cannot be read").with_source(source))?;
    let document = parse(&xml)
        .map_err(|source| invalid(model, "the model is not well-formed XML").with_source(source))?;
    for data in document
        .descendants()
        .filter(|node| node.has_tag_name("data"))
    {
        let (Some(offset), Some(length)) = (data.attribute("offset"), data.attribute("size"))
        else {
            continue;
        };
        let end = number(offset)
            .zip(number(length))
            .and_then(|(offset, length)| offset.checked_add(length));
        if end.is_none_or(|end| end > size) {
            let layer = data
                .parent_element()
                .and_then(|layer| layer.attribute("name"))
                .unwrap_or_default();
            let short = |text: &str| text.chars().take(200).collect::<String>();
            return Err(invalid(
                model,
                format!(
                    "a constant begins at byte {} and has {} bytes, but the weights are a file of {size} bytes",
                    short(offset),
                    short(length)
                ),
            )
            .with_context("layer", short(layer))
            .with_context("weights", weights.display())
            .with_hint("the .xml and the .bin do not belong together, or are damaged: get both again"));
        }
    }
    Ok(weights)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn constants_lie_within_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.xml");
        fs::write(folder.path().join("m.bin"), [0; 16]).unwrap();
        let try_with = |offset: &str, size: &str| {
            let xml = format!(
                r#"<net><layers><layer name="c" type="Const"><data element_type="f32" offset="{offset}" size="{size}"/></layer></layers></net>"#
            );
            fs::write(&model, xml).unwrap();
            check(&model)
        };
        for (offset, size) in [("0", "16"), ("12", "4"), ("16", "0")] {
            try_with(offset, size).unwrap();
        }
        for (offset, size) in [
            ("0", "17"),
            ("16", "1"),
            ("18446744073709551615", "2"),
            ("-4", "4"),
            ("0", "99999999999999999999"),
            ("0x4", "4"),
        ] {
            let error = try_with(offset, size).unwrap_err().to_string();
            assert!(
                error.contains(offset) && error.contains("16 bytes"),
                "{error}"
            );
        }
        let other = folder.path().join("m.dat");
        fs::copy(&model, &other).unwrap();
        let error = crate::check(&other).unwrap_err();
        assert!(error.hint().unwrap().contains(".xml"));
    }
}
