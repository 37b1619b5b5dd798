//! The external data of an ONNX model in one buffer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use backend_api::{Error, ErrorKind};

use crate::external::{Entries, byte_size};
use crate::files::{OnnxModel, missing};
use crate::format::open_regular;
use crate::onnx::{Attribute, Graph, Model, SparseTensor, StringStringEntry, Tensor};

/// Each tensor begins at a multiple of this many bytes: a line of the processor's cache.
const ALIGNMENT: usize = 64;

impl OnnxModel {
    /// Moves the external data of all tensors into one buffer, where the model then names them by `location`.
    ///
    /// Each tensor begins at a multiple of 64 bytes of the buffer, however it lies in its file. Tensors with the same
    /// bytes of a file share them. The buffer is empty if the model has no external data; [`bytes`](Self::bytes)
    /// stays the content of the file.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ModelNotFound`]: a file cannot be read, or has become shorter.
    /// - [`ErrorKind::ModelInvalid`]: together the tensors are larger than their files, because they overlap.
    /// - [`ErrorKind::ResourceExhausted`]: the memory does not suffice.
    pub fn gather_external_data(&mut self, path: &Path, location: &str) -> Result<Vec<u8>, Error> {
        let mut gathered = Gathered::default();
        let mut result = Ok(());
        let files = &self.external_data;
        for_each_tensor(&mut self.model, &mut |tensor| {
            if result.is_err() || tensor.data_location.unwrap_or_default() == 0 {
                return;
            }
            let placed = Entries::of(path, tensor).and_then(|entries| {
                let named = |(known, _): &&(String, _)| *known == entries.location;
                let size = byte_size(tensor).and_then(|size| usize::try_from(size).ok());
                let (Some((_, file)), Some(size)) = (files.iter().find(named), size) else {
                    return Err(not_checked(path));
                };
                let offset = gathered.place(file, entries.offset, size)?;
                Ok([
                    ("location", location.to_owned()),
                    ("offset", offset.to_string()),
                    ("length", size.to_string()),
                ])
            });
            match placed {
                Ok(entries) => {
                    let entries = entries.map(|(key, value)| StringStringEntry {
                        key: Some(key.into()),
                        value: Some(value.into()),
                    });
                    tensor.external_data = entries.into();
                }
                Err(error) => result = Err(error),
            }
        });
        result.map(|()| gathered.buffer)
    }
}

fn not_checked(model: &Path) -> Error {
    Error::new(
        ErrorKind::ModelInvalid,
        "the external data of a tensor are not those that were checked",
    )
    .with_context("model", model.display())
}

/// The buffer, and the places of the tensors in it.
#[derive(Default)]
struct Gathered<'a> {
    buffer: Vec<u8>,
    /// Each file, with the number of its bytes that are not copied yet.
    files: HashMap<&'a Path, (File, u64)>,
    places: HashMap<(&'a Path, u64, usize), usize>,
}

impl<'a> Gathered<'a> {
    /// Copies bytes of a file behind the others, unless they are there, and returns their offset.
    fn place(&mut self, path: &'a Path, offset: u64, size: usize) -> Result<usize, Error> {
        if let Some(place) = self.places.get(&(path, offset, size)) {
            return Ok(*place);
        }
        let unreadable =
            |source| missing(path, "the weights of the model cannot be read").with_source(source);
        let (file, left) = match self.files.entry(path) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let file = open_regular(path).map_err(unreadable)?;
                let size = file.metadata().map_err(unreadable)?.len();
                entry.insert((file, size))
            }
        };
        // Many tensors in the same few bytes would take any amount of memory.
        *left = left.checked_sub(size as u64).ok_or_else(|| {
            Error::new(
                ErrorKind::ModelInvalid,
                "the tensors in a file overlap: together they are larger than the file",
            )
            .with_context("file", path.display())
            .with_hint("save the model again, with its weights inside or one after the other")
        })?;
        let place = self.buffer.len().next_multiple_of(ALIGNMENT);
        let end = place.saturating_add(size);
        let missing_bytes = end - self.buffer.len();
        self.buffer.try_reserve(missing_bytes).map_err(|source| {
            Error::new(
                ErrorKind::ResourceExhausted,
                format!("the memory does not suffice for weights of {end} bytes"),
            )
            .with_context("file", path.display())
            .with_source(source)
        })?;
        self.buffer.resize(end, 0);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut self.buffer[place..]))
            .map_err(unreadable)?;
        self.places.insert((path, offset, size), place);
        Ok(place)
    }
}

/// Calls `visit` for each tensor of `Model::for_each_tensor`, to change it.
fn for_each_tensor(model: &mut Model, visit: &mut impl FnMut(&mut Tensor)) {
    let training = model.training_info.iter_mut();
    let training =
        training.flat_map(|info| info.initialization.iter_mut().chain(&mut info.algorithm));
    for graph in model.graph.iter_mut().chain(training) {
        in_graph(graph, visit);
    }
    for function in &mut model.functions {
        let nodes = function.node.iter_mut();
        let attributes = nodes.flat_map(|node| &mut node.attribute);
        for attribute in attributes.chain(&mut function.attribute_proto) {
            in_attribute(attribute, visit);
        }
    }
}

fn in_graph(graph: &mut Graph, visit: &mut impl FnMut(&mut Tensor)) {
    graph.initializer.iter_mut().for_each(&mut *visit);
    for sparse in &mut graph.sparse_initializer {
        in_sparse(sparse, visit);
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        in_attribute(attribute, visit);
    }
}

fn in_attribute(attribute: &mut Attribute, visit: &mut impl FnMut(&mut Tensor)) {
    let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
    tensors.for_each(&mut *visit);
    for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
        in_graph(graph, visit);
    }
    let sparse = attribute.sparse_tensor.iter_mut();
    for sparse in sparse.chain(&mut attribute.sparse_tensors) {
        in_sparse(sparse, visit);
    }
}

fn in_sparse(sparse: &mut SparseTensor, visit: &mut impl FnMut(&mut Tensor)) {
    sparse
        .values
        .iter_mut()
        .chain(&mut sparse.indices)
        .for_each(visit);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::check_onnx;
    use crate::onnx::DataType;

    /// Returns a model whose tensors of four bytes are at these offsets of `w.data`.
    fn model(offsets: &[usize]) -> Model {
        let entry = |key: &'static str, value: String| StringStringEntry {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        let tensors = offsets.iter().enumerate().map(|(number, offset)| Tensor {
            name: Some(format!("w{number}").into()),
            dims: vec![4],
            data_type: Some(DataType::Uint8 as i32),
            data_location: Some(1),
            // No length: the shape states it.
            external_data: vec![
                entry("location", "w.data".into()),
                entry("offset", offset.to_string()),
            ],
            ..Tensor::default()
        });
        Model {
            ir_version: Some(8),
            graph: Some(Graph {
                initializer: tensors.collect(),
                ..Graph::default()
            }),
            ..Model::default()
        }
    }

    fn gather(size: u8, offsets: &[usize]) -> Result<(OnnxModel, Vec<u8>), Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.onnx");
        std::fs::write(&path, model(offsets).encode_to_vec()).unwrap();
        std::fs::write(
            directory.path().join("w.data"),
            (0..size).collect::<Vec<_>>(),
        )
        .unwrap();
        let mut checked = check_onnx(path.as_path(), "Engine", None).unwrap();
        let buffer = checked.gather_external_data(&path, "all.data")?;
        Ok((checked, buffer))
    }

    #[test]
    fn unaligned_tensors_become_aligned_and_equal_ones_share_their_bytes() {
        let (checked, buffer) = gather(9, &[1, 5, 1]).unwrap();
        assert_eq!(buffer.len(), 68);
        assert_eq!(
            (&buffer[..4], &buffer[64..]),
            (&[1, 2, 3, 4][..], &[5, 6, 7, 8][..])
        );
        let tensors = &checked.model.graph.as_ref().unwrap().initializer;
        let text = |tensor: &Tensor, key| {
            String::from_utf8(tensor.external(key).unwrap().to_vec()).unwrap()
        };
        let offsets: Vec<_> = tensors
            .iter()
            .map(|tensor| text(tensor, "offset"))
            .collect();
        assert_eq!(offsets, ["0", "64", "0"]);
        for tensor in tensors {
            assert_eq!(text(tensor, "location"), "all.data");
            assert_eq!(text(tensor, "length"), "4");
        }
    }

    #[test]
    fn overlapping_tensors_take_no_more_memory_than_their_file() {
        gather(8, &[0, 2]).unwrap();
        let error = gather(8, &[0, 1, 2, 3]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelInvalid, "{error}");
        assert!(error.to_string().contains("overlap"), "{error}");
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.onnx");
        std::fs::write(&path, model(&[4]).encode_to_vec()).unwrap();
        std::fs::write(directory.path().join("w.data"), [0; 8]).unwrap();
        let mut checked = check_onnx(path.as_path(), "Engine", None).unwrap();
        std::fs::write(directory.path().join("w.data"), [0; 7]).unwrap();
        let error = checked.gather_external_data(&path, "all.data").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{error}");
    }
}
