//! OpenVINO IR: XML with the weights in a `.bin` next to it.

use std::collections::HashMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind, ModelSource};
use roxmltree::{Document, Node};

use crate::files::{has_ending, invalid, missing, regular};
use crate::format::{open_regular, read_source};
pub use crate::xml::{XmlError, parse};

/// The largest `.xml` that is read.
pub(crate) const MOST_XML_BYTES: u64 = 256 << 20;

/// Reads the XML of an IR.
///
/// # Errors
///
/// The system's; [`io::ErrorKind::FileTooLarge`].
pub fn read(model: &ModelSource) -> io::Result<String> {
    let bytes = read_source(model, MOST_XML_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The layers of an IR and the edges between them, without the bodies of `If` and `Loop`.
#[derive(Debug)]
pub struct Graph<'a> {
    layers: HashMap<&'a str, Layer<'a>>,
    /// The output that feeds an input: (layer, port) by (layer, port).
    edges: HashMap<(&'a str, &'a str), (&'a str, &'a str)>,
}

/// A layer: an operator, a constant, an input or an output.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a>(Node<'a, 'a>);

impl<'a> Graph<'a> {
    /// Reads the main graph.
    pub fn of(document: &'a Document<'a>) -> Self {
        let root = document.root_element();
        let within = |name| {
            let list = root.children().find(move |child| child.has_tag_name(name));
            list.into_iter()
                .flat_map(|list| list.children())
                .filter(Node::is_element)
        };
        let layers = within("layers")
            .filter_map(|layer| Some((layer.attribute("id")?, Layer(layer))))
            .collect();
        let edges = within("edges")
            .filter_map(|edge| {
                let end = |layer, port| Some((edge.attribute(layer)?, edge.attribute(port)?));
                Some((end("to-layer", "to-port")?, end("from-layer", "from-port")?))
            })
            .collect();
        Self { layers, edges }
    }

    /// Returns the layers, in no order.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'a>> {
        self.layers.values().copied()
    }

    /// Returns the layer that feeds the input `index` of `layer`, and the output port of it that does.
    pub fn input(&self, layer: Layer<'a>, index: usize) -> Option<(Layer<'a>, &'a str)> {
        let port = layer.ports("input").nth(index)?.attribute("id")?;
        let (from, port) = self.edges.get(&(layer.id(), port))?;
        Some((*self.layers.get(from)?, port))
    }

    /// Returns the layers that take an output of `layer`.
    pub fn users(&self, layer: Layer<'a>) -> Vec<Layer<'a>> {
        self.edges
            .iter()
            .filter(|(_, (from, _))| *from == layer.id())
            .filter_map(|((to, _), _)| self.layers.get(to).copied())
            .collect()
    }
}

/// Returns all layers, those of the bodies of `If` and `Loop` included.
pub fn layers<'a>(document: &'a Document<'a>) -> impl Iterator<Item = Layer<'a>> {
    document
        .descendants()
        .filter(|node| node.has_tag_name("layer"))
        .map(Layer)
}

impl<'a> Layer<'a> {
    /// Returns the layer's number.
    pub fn id(self) -> &'a str {
        self.0.attribute("id").unwrap_or_default()
    }

    /// Returns the name of the layer.
    pub fn name(self) -> &'a str {
        self.0.attribute("name").unwrap_or_default()
    }

    /// Returns the names of the tensor at an output port.
    pub fn output_names(self, port: &str) -> impl Iterator<Item = String> + use<'a> {
        let mut ports = self.ports("output");
        let port = ports.find(|of| of.attribute("id") == Some(port));
        let names = port.and_then(|port| port.attribute("names"));
        // A comma inside a name has a backslash before it.
        let names = names.map(|names| names.replace("\\,", "\0"));
        let names: Vec<String> = names
            .iter()
            .flat_map(|names| names.split(','))
            .map(|name| name.replace('\0', ","))
            .collect();
        names.into_iter()
    }

    /// Returns the operator: `Convolution`.
    pub fn operator(self) -> &'a str {
        self.0.attribute("type").unwrap_or_default()
    }

    /// Returns the attribute called `name`.
    pub fn attribute(self, name: &str) -> Option<&'a str> {
        let data = self.0.children().find(|child| child.has_tag_name("data"))?;
        data.attribute(name)
    }

    /// Returns the number of inputs.
    pub fn inputs(self) -> usize {
        self.ports("input").count()
    }

    /// Returns the ids of the output ports.
    pub fn outputs(self) -> impl Iterator<Item = &'a str> {
        self.ports("output").filter_map(|port| port.attribute("id"))
    }

    /// Returns the dimensions of the input `index`; `None` for one that is open.
    pub fn input_dims(self, index: usize) -> Option<Vec<Option<usize>>> {
        self.ports("input").nth(index).map(dims)
    }

    /// Returns the dimensions of the output `index`; `None` for one that is open.
    pub fn output_dims(self, index: usize) -> Option<Vec<Option<usize>>> {
        self.ports("output").nth(index).map(dims)
    }

    fn ports(self, which: &str) -> impl Iterator<Item = Node<'a, 'a>> + use<'a> {
        let list = self.0.children().find(|child| child.has_tag_name(which));
        list.into_iter()
            .flat_map(|list| list.children())
            .filter(|child| child.has_tag_name("port"))
    }

    /// Returns the bytes of a constant in the `.bin`: offset and length.
    pub fn range(self) -> Option<(u64, u64)> {
        let number = |name| self.attribute(name).and_then(number);
        (self.operator() == "Const")
            .then(|| number("offset").zip(number("size")))
            .flatten()
    }

    /// Returns the values of a small constant, of type f32, f16, u8 or i8, from the weights of `model`.
    pub fn values(self, model: &ModelSource) -> Option<Vec<f32>> {
        let (offset, length) = self.range().filter(|&(_, length)| length <= 64)?;
        let length = length as usize;
        let bytes = match model {
            ModelSource::Path(model) => {
                let mut file = open_regular(&model.with_extension("bin")).ok()?;
                file.seek(SeekFrom::Start(offset)).ok()?;
                let mut bytes = vec![0; length];
                file.read_exact(&mut bytes).ok()?;
                bytes
            }
            ModelSource::Bytes { weights, .. } => {
                let rest = weights.as_ref()?.get(usize::try_from(offset).ok()?..)?;
                rest.get(..length)?.to_vec()
            }
        };
        match self.attribute("element_type")? {
            "f32" => Some(
                bytes
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            ),
            "f16" => Some(
                bytes
                    .chunks_exact(2)
                    .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                    .collect(),
            ),
            "u8" => Some(bytes.into_iter().map(f32::from).collect()),
            "i8" => Some(
                bytes
                    .into_iter()
                    .map(|b| f32::from(b.cast_signed()))
                    .collect(),
            ),
            _ => None,
        }
    }
}

fn dims(port: Node<'_, '_>) -> Vec<Option<usize>> {
    let dims = port.children().filter(|child| child.has_tag_name("dim"));
    dims.map(|dim| dim.text().and_then(|text| text.trim().parse().ok()))
        .collect()
}

/// Checks that the weights of every constant lie within the `.bin`, which is returned.
pub(crate) fn check(model: &Path) -> Result<PathBuf, Error> {
    // OpenVINO finds the .bin of other file names by another rule.
    if !has_ending(model, "xml") {
        return Err(
            invalid(model, "the file name of an OpenVINO IR must end with .xml")
                .with_hint("rename the file to .xml, and its weights to the same name with .bin"),
        );
    }
    let weights = model.with_extension("bin");
    let size = regular(&weights).map_err(|error| {
        if error.kind() == ErrorKind::ModelNotFound {
            error.with_hint("an IR model is two files: put the .bin next to the .xml")
        } else {
            error
        }
    })?;
    let xml = read(&model.into())
        .map_err(|source| missing(model, "the model cannot be read").with_source(source))?;
    check_constants(&xml, size).map_err(|error| {
        error
            .with_context("model", model.display())
            .with_context("weights", weights.display())
    })?;
    Ok(weights)
}

/// Does [`check`] for an IR in memory.
pub(crate) fn check_bytes(xml: &[u8], weights: Option<&[u8]>) -> Result<(), Error> {
    let xml = String::from_utf8_lossy(xml);
    let size = weights.map_or(0, <[u8]>::len) as u64;
    check_constants(&xml, size).map_err(|error| match weights {
        Some(_) => error,
        None => error.with_hint("give the weights of the IR too, the content of its .bin"),
    })
}

/// Checks that every constant lies within weights of `size` bytes.
fn check_constants(xml: &str, size: u64) -> Result<(), Error> {
    let invalid = |message: String| Error::new(ErrorKind::ModelInvalid, message);
    let document = parse(xml).map_err(|source| {
        let message = match source {
            XmlError::TooMany { .. } => "the model's XML is no IR of a real model",
            _ => "the model is not well-formed XML",
        };
        invalid(message.to_owned()).with_source(source)
    })?;
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
            return Err(invalid(format!(
                "a constant begins at byte {} and has {} bytes, but the weights have {size} bytes",
                short(offset),
                short(length)
            ))
            .with_context("layer", short(layer))
            .with_hint(
                "the .xml and the .bin do not belong together, or are damaged: get both again",
            ));
        }
    }
    Ok(())
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
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("m.xml");
        fs::write(directory.path().join("m.bin"), [0; 16]).unwrap();
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
        let other = directory.path().join("m.dat");
        fs::copy(&model, &other).unwrap();
        let error = crate::check(&other).unwrap_err();
        assert!(error.hint().unwrap().contains(".xml"));
    }
}
