//! One of the two runs, and copies of its model that show values.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backend_api::{BlockingInfer as _, InferBackend, Tensor};
use model_file::Kind;
use model_file::expose::{Encoding, Exposure};
use model_file::onnx::{self, DataType, Model};
use prost::Message as _;
use prost::bytes::Bytes;
use tempfile::TempDir;

use crate::args::Backend;
use crate::engines;
use crate::messages;
use crate::options::EngineOptions;
use crate::session::OpenRun;

/// One of the two runs.
pub struct Side<'a> {
    pub name: &'a str,
    pub run: &'a OpenRun,
    pub engine: &'a EngineOptions,
    pub model: Model,
    /// The image as this run takes it.
    pub tensor: Arc<Tensor>,
    /// The files of the model's tensors: the location as the model writes it, and the file.
    data: Vec<(String, PathBuf)>,
    kinds: std::collections::HashMap<Bytes, Kind>,
}

impl<'a> Side<'a> {
    /// Reads the model of a run.
    pub fn new(
        name: &'a str,
        run: &'a OpenRun,
        engine: &'a EngineOptions,
        tensor: Tensor,
    ) -> anyhow::Result<Self> {
        let read = model_file::check_onnx(&engine.model, "--bisect", None)?;
        Ok(Self {
            name,
            run,
            engine,
            kinds: read.model.kinds(),
            model: read.model,
            tensor: Arc::new(tensor),
            data: read.external_data,
        })
    }

    /// The output of the model as it is.
    pub fn own_output(&self) -> anyhow::Result<Tensor> {
        self.infer(&*self.run.backend)
    }

    /// The node that makes the model's output.
    pub fn last(&self) -> Option<usize> {
        let makers = self.model.makers();
        makers.get(self.model.output()?).map(|(node, _)| *node)
    }

    /// The form in which a value can be shown, or the reason why it cannot.
    pub fn encoding(&self, value: &Bytes) -> Result<Encoding, String> {
        let named = || onnx::text(value).into_owned();
        let element = match self.kinds.get(value) {
            Some(Kind::Other) => return Err(format!("the value `{}` is no tensor", named())),
            Some(Kind::Tensor(element)) => Some(*element),
            None => None,
        };
        // RTen computes in f32 instead.
        let has_doubles = self.engine.backend != Backend::Rten;
        Encoding::of(element, has_doubles)
            .ok_or_else(|| format!("the value `{}` has no numbers", named()))
    }

    /// Returns whether a value is known to have 64-bit elements that are not integers.
    pub fn is_double(&self, value: &Bytes) -> bool {
        self.kinds.get(value) == Some(&Kind::Tensor(DataType::Double))
    }

    /// Runs a copy of the model that shows values, and gives the row.
    pub fn show(&self, exposure: &Exposure, folder: &TempDir) -> anyhow::Result<Tensor> {
        let model = exposure
            .apply(&self.model)
            .context("the model has no output")?;
        // A folder of its own: engines may still have the last model's file open.
        let folder = tempfile::tempdir_in(folder.path())?;
        let path = folder.path().join("exposed.onnx");
        fs::write(&path, model.encode_to_vec())?;
        for (location, file) in &self.data {
            // The location was checked: it stays in the folder.
            let to = folder.path().join(location);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            bring(file, &to)?;
        }
        let mut engine = self.engine.clone();
        engine.model = path;
        engine.requests = Some(1);
        engine.cache_dir = None;
        let path = engine.model.to_string_lossy().into_owned();
        let row = engines::open(&engine).and_then(|backend| self.infer(&*backend));
        // Where the copy lay is of no use to anybody.
        row.map_err(|error| {
            anyhow::Error::msg(messages::chain(&error).replace(&path, "edited copy"))
        })
    }

    fn infer(&self, backend: &dyn InferBackend) -> anyhow::Result<Tensor> {
        Ok(backend.infer_blocking(Arc::clone(&self.tensor))?.tensor)
    }

    /// Returns whether the two runs differ in their model files only.
    pub fn computes_like(&self, other: &Self) -> bool {
        let (one, its) = (self.run.info(), other.run.info());
        let (engine, its_engine) = (self.engine, other.engine);
        one.engine == its.engine
            && one.engine_version == its.engine_version
            && one.devices == its.devices
            && one.precision == its.precision
            && one.requested_precision == its.requested_precision
            && engine.hint == its_engine.hint
            && engine.streams == its_engine.streams
            && engine.threads == its_engine.threads
            && engine.config == its_engine.config
    }
}

/// Makes the user's `file` available as `to`. A model may name it twice: what is there already is the same file by a
/// hard link, and writing to it would destroy the user's.
fn bring(file: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::hard_link(file, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let mut copy = match File::create_new(to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                created => created?,
            };
            io::copy(&mut File::open(file)?, &mut copy)?;
            Ok(())
        }
        _ => Ok(()),
    }
}
