//! `classify tensors`: the tensors that engines are given, for other programs.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backend_api::{BackendInfo, ElementType, Engine, Error, InferOutput, SlotPool, Tensor};
use evaluation::Digest;
use evaluation::text::{counted, printable};
use futures_util::stream;
use serde_json::{Map, Value, json};
use tempfile::SpooledTempFile;

use crate::arrays::{self, ArrayWriter, of_image};
use crate::commands::compare::external::{HASHES, IMAGES, PREPROCESSING};
use crate::destination::Output;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::input::Input;
use crate::interrupt;
use crate::isolated;
use crate::options::{TensorsOptions, note_defaults};
use crate::process;
use crate::resolve::Resolver;
use crate::session::{self, OpenRun};
use crate::terminal::Messages;

const TENSORS: &str = "tensors";
const ARRAYS: [&str; 4] = [TENSORS, IMAGES, HASHES, PREPROCESSING];
/// Tensors are kept in memory up to this size.
const MOST_IN_MEMORY: usize = 8 << 20;

/// Writes the tensors of the inputs.
pub fn run(mut options: TensorsOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let writer = open_writer(&options)?;
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    let overrides = options
        .preprocess
        .overrides(image_classification::ScoreKind::Auto)?;
    let mut resolver = Resolver::new(&overrides);
    let engine = &options.engine;
    isolated::start_decoder(engine.isolation, options.jobs)?;
    let mut run = OpenRun::open(String::new(), engine, &mut resolver, messages, |_| Ok(()))?;
    let preprocessing = preprocessing(&run)?;
    let own = echo(&run)?;
    let engine = std::mem::replace(&mut run.backend, own);
    let mut rows = Rows::new(&options.output);
    let inputs = std::mem::take(&mut options.inputs.list);
    prepare(&run, inputs, options.jobs, &mut rows, messages)?;
    let written = rows.images.len();
    let outputs = rows.write(writer, &preprocessing)?;
    process::leak(engine);
    for output in outputs {
        output.finish()?;
    }
    messages.note(&format!(
        "{} in {}",
        counted(written, "tensor"),
        printable(&options.output.to_string_lossy())
    ));
    Ok(())
}

/// Adds the tensors of the inputs to `rows`. Prints the errors of those that have none.
fn prepare(
    run: &OpenRun,
    inputs: Vec<Input>,
    jobs: usize,
    rows: &mut Rows,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let count = inputs.len();
    let mut done = 0;
    messages.start_progress(count);
    let images = stream::iter(session::images(inputs));
    for answer in run.answers(images, jobs, 0).undecided() {
        let path = answer.input.to_string_lossy().into_owned();
        let named = printable(&path);
        let tensor = answer.result.map_err(errors::image_error);
        let tensor = tensor.and_then(|mut outputs| {
            session::note_image(&named, outputs.note, messages);
            Ok(outputs.runs.swap_remove(0)?.tensor)
        });
        match tensor {
            Ok(tensor) => rows.add(path, &tensor)?,
            Err(error) => messages.input_failed(&named, &error),
        }
        messages.advance(|| ());
        done += 1;
    }
    messages.end_progress();
    let checked = interrupt::check(done, count, "image");
    checked.map_err(|interrupted| interrupted.with_hint("nothing was written; run it again"))?;
    Ok(())
}

/// Opens the destination before the work: where tensors cannot go, none need be computed.
fn open_writer(options: &TensorsOptions) -> anyhow::Result<ArrayWriter> {
    let path = &options.output;
    let read = FilesRead::of_engine(&options.engine, &options.inputs, &options.preprocess);
    let text = path.to_string_lossy();
    if path.is_dir() || text.ends_with('/') || text.ends_with(MAIN_SEPARATOR_STR) {
        let files = ARRAYS.map(|name| path.join(format!("{name}.npy")));
        let outputs = files.each_ref().map(|file| ("--output", file.as_path()));
        read.check(&outputs)?;
        return ArrayWriter::directory(path);
    }
    let is_stdout = path == Path::new("-");
    if !is_stdout && path.extension().is_none_or(|extension| extension != "npz") {
        let error = format!("cannot tell the format of {} by its name", printable(&text));
        let hint = "name an archive, such as inputs.npz, or a directory with / at its end, such as inputs/";
        return Err(Hinted::new(error, hint).into());
    }
    let outputs = [("--output", path.as_path())];
    read.check(if is_stdout { &[] } else { &outputs })?;
    Ok(ArrayWriter::npz(Output::open("--output", Some(path))?))
}

/// An engine whose output is its input: the feed prepares images for it exactly as for the model's engine.
struct Echo;

impl Engine for Echo {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        Ok(InferOutput::new(input.clone()))
    }
}

fn echo(run: &OpenRun) -> Result<Arc<SlotPool>, Error> {
    let input = run.info().input.clone();
    let info = BackendInfo::new(TENSORS, input.clone(), input);
    Ok(Arc::new(SlotPool::new(info, vec![Echo])?))
}

/// Describes the tensors as JSON.
fn preprocessing(run: &OpenRun) -> anyhow::Result<String> {
    let input = &run.info().input;
    let element_type = input.element_type;
    if arrays::kind(element_type).is_none() {
        let error = format!("NumPy has no type for the model's input, {element_type}");
        return Err(Hinted::new(error, "use a model whose input has numbers").into());
    }
    let settings = run.input.settings().into_iter();
    let settings: Map<String, Value> = settings
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let value = json!({
        "schema_version": 1,
        "classify_version": env!("CARGO_PKG_VERSION"),
        "model": run.model.to_string_lossy(),
        "input": { "name": input.name, "type": element_type.to_string() },
        "settings": settings,
    });
    Ok(value.to_string())
}

/// The tensors, image by image.
struct Rows {
    /// The directory of the output, which has room for it.
    directory: Option<PathBuf>,
    elements: Option<SpooledTempFile>,
    /// The type and the shape of a tensor.
    form: Option<(ElementType, Vec<usize>)>,
    images: Vec<String>,
    hashes: Vec<String>,
}

impl Rows {
    fn new(output: &Path) -> Self {
        let directory = if output.is_dir() {
            Some(output)
        } else {
            output.parent().filter(|parent| parent.is_dir())
        };
        Self {
            directory: directory.map(Path::to_owned),
            elements: None,
            form: None,
            images: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Adds the tensor of the image at `path`.
    fn add(&mut self, path: String, tensor: &Tensor) -> anyhow::Result<()> {
        let form = (tensor.element_type(), of_image(tensor.shape()).to_vec());
        let first = self.form.get_or_insert_with(|| form.clone());
        anyhow::ensure!(
            *first == form,
            "the tensor of {} has another shape or type than the first",
            printable(&path)
        );
        let directory = &self.directory;
        let elements = self.elements.get_or_insert_with(|| match directory {
            Some(directory) => tempfile::spooled_tempfile_in(MOST_IN_MEMORY, directory),
            None => SpooledTempFile::new(MOST_IN_MEMORY),
        });
        elements
            .write_all(&arrays::bytes(tensor))
            .context("cannot keep the tensors")?;
        self.images.push(path);
        self.hashes.push(Digest::of(tensor.as_bytes()).to_string());
        Ok(())
    }

    /// Writes all arrays.
    fn write(self, mut writer: ArrayWriter, preprocessing: &str) -> anyhow::Result<Vec<Output>> {
        let (Some((element_type, shape)), Some(mut elements)) = (self.form, self.elements) else {
            let error = "there is no tensor to write: all images failed";
            return Err(Hinted::new(error, "fix the errors above").into());
        };
        let kind = arrays::kind(element_type).context("the type of the tensors")?;
        let shape = [&[self.images.len()][..], &shape].concat();
        let bytes = elements.stream_position()?;
        elements.seek(SeekFrom::Start(0))?;
        writer.array(TENSORS, kind, &shape, bytes, |out| {
            std::io::copy(&mut elements, out).map(drop)
        })?;
        writer.texts(IMAGES, &self.images)?;
        writer.texts(HASHES, &self.hashes)?;
        writer.text(PREPROCESSING, preprocessing)?;
        writer.into_outputs()
    }
}
