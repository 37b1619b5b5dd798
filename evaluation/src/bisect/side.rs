//! One of the two runs, and copies of its model that show values.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_api::{BlockingInfer as _, Error, InferBackend, Tensor};
use model_file::expose::{Encoding, Exposure};
use model_file::onnx::{self, DataType, Model, Node, Tensor as Weights};
use model_file::{Kind, OnnxModel};
use prost::Message as _;
use prost::bytes::Bytes;

use super::integers;
use crate::text::chain;

/// Opens the model in a file with one infer request, as the run's own model is opened.
pub type OpenModel<'a> =
    dyn Fn(&Path) -> Result<Arc<dyn InferBackend>, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// A run to bisect.
pub struct BisectedRun<'a> {
    /// The name of the run.
    pub name: &'a str,
    /// The run's own model, open.
    pub backend: &'a dyn InferBackend,
    /// The files of that model.
    pub model: OnnxModel,
    /// The image as this run takes it.
    pub tensor: Tensor,
    /// True if the engine computes `f64` values in `f64`.
    pub has_doubles: bool,
    /// Opens edited copies of the model, which have one output. Compiled models must not be kept.
    pub open: &'a OpenModel<'a>,
}

impl fmt::Debug for BisectedRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BisectedRun")
            .field("name", &self.name)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// Nodes and weights that a copy of a model has more than the model.
#[derive(Debug, Default, Clone)]
pub(super) struct Addition {
    pub nodes: Vec<Node>,
    pub weights: Vec<Weights>,
}

/// One of the two runs.
pub(super) struct Side<'a> {
    pub name: &'a str,
    pub model: Model,
    backend: &'a dyn InferBackend,
    open: &'a OpenModel<'a>,
    has_doubles: bool,
    tensor: Arc<Tensor>,
    /// The files of the model's tensors: the location as the model writes it, and the file.
    data: Vec<(String, PathBuf)>,
    kinds: HashMap<Bytes, Kind>,
    /// For each integer value of a model with operators on integers the node that makes real numbers of it.
    dequantizers: HashMap<Bytes, Node>,
    /// The additions that make values which the model lacks.
    additions: HashMap<Bytes, Addition>,
}

impl<'a> Side<'a> {
    pub fn new(run: BisectedRun<'a>) -> Self {
        let kinds = run.model.model.kinds();
        let mut model = run.model.model;
        let info = run.backend.info();
        model.keep_output(&info.output.name, info.output_place());
        let dequantizers = integers::dequantizers(&model);
        let mut side = Self {
            name: run.name,
            kinds,
            model,
            dequantizers,
            additions: HashMap::new(),
            backend: run.backend,
            open: run.open,
            has_doubles: run.has_doubles,
            tensor: Arc::new(run.tensor),
            data: run.model.external_data,
        };
        for node in side.dequantizers.clone().into_values() {
            let addition = Addition {
                nodes: vec![node.clone()],
                weights: Vec::new(),
            };
            side.add(node.output[0].clone(), addition);
        }
        side
    }

    /// Adds a value of real numbers that the model lacks.
    pub fn add(&mut self, value: Bytes, addition: Addition) {
        self.kinds
            .insert(value.clone(), Kind::Tensor(DataType::Float));
        self.additions.insert(value, addition);
    }

    /// Returns each integer value with the name of the real one.
    pub fn real_values(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let nodes = self.dequantizers.iter();
        nodes.map(|(value, node)| (value.clone(), node.output[0].clone()))
    }

    /// Returns the name of the real value of `value`, and adds the node that makes it, if there is one.
    pub fn real(&self, value: &Bytes, addition: &mut Addition) -> Bytes {
        let Some(node) = self.dequantizers.get(value) else {
            return value.clone();
        };
        addition.nodes.push(node.clone());
        node.output[0].clone()
    }

    /// Returns the model with the additions that make the values of an exposure.
    fn with_additions(&self, exposure: &Exposure) -> Cow<'_, Model> {
        let names = exposure.values.iter();
        let additions = names.filter_map(|(name, _)| self.additions.get(name));
        let mut additions = additions.peekable();
        if additions.peek().is_none() {
            return Cow::Borrowed(&self.model);
        }
        let mut model = self.model.clone();
        let graph = model.graph.get_or_insert_default();
        // Several values may need the same node.
        let (mut nodes, mut weights) = (HashSet::new(), HashSet::new());
        for addition in additions {
            let new = addition.nodes.iter();
            let new = new.filter(|node| nodes.insert(&node.output));
            graph.node.extend(new.cloned());
            let new = addition.weights.iter();
            let new = new.filter(|tensor| weights.insert(&tensor.name));
            graph.initializer.extend(new.cloned());
        }
        Cow::Owned(model)
    }

    /// Returns the output of the model as it is.
    pub fn own_output(&self) -> Result<Tensor, Error> {
        self.infer(self.backend)
    }

    /// Returns the node that makes the model's output.
    pub fn last(&self) -> Option<usize> {
        let makers = self.model.makers();
        makers.get(self.model.output()?).map(|(node, _)| *node)
    }

    /// Returns the form in which a value can be shown, or the reason why it cannot.
    pub fn encoding(&self, value: &Bytes) -> Result<Encoding, String> {
        let named = || onnx::text(value).into_owned();
        let element = match self.kinds.get(value) {
            Some(Kind::Other) => return Err(format!("the value {:?} is not a tensor", named())),
            Some(Kind::Tensor(element)) => Some(*element),
            None => None,
        };
        Encoding::of(element, self.has_doubles)
            .ok_or_else(|| format!("the value {:?} has no numbers", named()))
    }

    /// Returns whether a value is known to have 64-bit elements that are not integers.
    pub fn is_double(&self, value: &Bytes) -> bool {
        self.kinds.get(value) == Some(&Kind::Tensor(DataType::Double))
    }

    /// Runs a copy of the model that outputs values, and returns the row, or the reason for the failure.
    pub fn show(&self, exposure: &Exposure, directory: &Path) -> Result<Tensor, String> {
        let model = exposure
            .apply(&self.with_additions(exposure))
            .ok_or("the model has no output")?;
        // A new directory: engines may still have the last model's file open.
        let directory = tempfile::tempdir_in(directory).map_err(|error| chain(&error))?;
        let path = directory.path().join("exposed.onnx");
        let written = self.write(&model, directory.path(), &path);
        written.map_err(|error| chain(&error))?;
        // The path of the copy is of no use to anybody.
        let anonymous = |error: &(dyn std::error::Error + 'static)| {
            chain(error).replace(&*path.to_string_lossy(), "edited copy")
        };
        let backend = (self.open)(&path).map_err(|error| anonymous(&*error))?;
        self.infer(&*backend).map_err(|error| anonymous(&error))
    }

    fn write(&self, model: &Model, directory: &Path, path: &Path) -> io::Result<()> {
        fs::write(path, model.encode_to_vec())?;
        for (location, file) in &self.data {
            // The location was checked: it stays in the directory.
            let to = directory.join(location);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            bring(file, &to)?;
        }
        Ok(())
    }

    fn infer(&self, backend: &dyn InferBackend) -> Result<Tensor, Error> {
        Ok(backend.infer_blocking(Arc::clone(&self.tensor))?.tensor)
    }
}

/// Makes the user's `file` available as `to`. A model may name it twice: what is there already is the same file by a
/// hard link, and writing to it would destroy the user's.
fn bring(file: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(file, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let mut copy = match File::create_new(to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                created => created?,
            };
            io::copy(&mut model_file::open_regular(file)?, &mut copy)?;
            Ok(())
        }
        _ => Ok(()),
    }
}
