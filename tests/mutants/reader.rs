//! Readers of the project: each gets one file at a time and tells its answer.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use backend_api::ModelSource;
use evaluation::accuracy::{ClassLookup, GroundTruth};
use evaluation::answers::AnswerReader;
use evaluation::{Digest, Recording};
use image_classification::{Labels, sources};
use model_file::tensorflow::{Graph, Output};

use crate::readers;

/// The answer to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was read. The text is the same for the same file.
    Answered(String),
    /// It was rejected.
    Refused(String),
    /// Its engine died in its own process, and the program went on.
    EngineDied,
    /// It broke what is promised.
    Failed(String),
}

/// A reader of one kind of file.
pub trait Reader {
    /// Reads one file.
    fn read(&mut self, bytes: &[u8]) -> Outcome;

    /// The most memory of the processes that it started, in KiB.
    fn peak_kib(&self) -> i64 {
        0
    }

    /// Ends the reader.
    ///
    /// # Errors
    ///
    /// The rule that the reader breaks by its end.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// A reader in this process: a panic is a failure.
pub struct Here<F>(F);

impl<F: FnMut(&[u8]) -> Result<String, String>> Here<F> {
    pub fn boxed(read: F) -> Box<dyn Reader>
    where
        F: 'static,
    {
        Box::new(Self(read))
    }
}

impl<F: FnMut(&[u8]) -> Result<String, String>> Reader for Here<F> {
    fn read(&mut self, bytes: &[u8]) -> Outcome {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(bytes))) {
            Ok(Ok(text)) => Outcome::Answered(text),
            Ok(Err(text)) => Outcome::Refused(text),
            Err(_) => Outcome::Failed("a panic".to_owned()),
        }
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` takes"
)]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Checks a model in memory and reads its weights' precision and its preprocessing.
fn model(source: ModelSource) -> Result<String, String> {
    model_file::check(source.clone()).map_err(text)?;
    let precision = model_file::stored_precision(source.clone()).map_err(text)?;
    let settings = sources::find(source).map_err(text)?;
    Ok(format!("{precision:?} {settings:?}"))
}

/// ONNX, in memory and in a file next to its external data.
pub fn onnx(directory: &Path) -> Box<dyn Reader> {
    let path = directory.join("model.onnx");
    let directory = directory.to_owned();
    Here::boxed(move |bytes| {
        fs::write(&path, bytes).map_err(text)?;
        fs::write(directory.join("weights.bin"), [0; 4096]).map_err(text)?;
        for file in model_file::check(path.as_path()).map_err(text)? {
            assert!(file.starts_with(&directory), "{}", file.display());
        }
        let in_memory = model(ModelSource::from_bytes(bytes));
        let settings = sources::find(path.as_path()).map_err(text)?;
        Ok(format!("{in_memory:?} {settings:?}"))
    })
}

/// OpenVINO IR with the weights that all small ones have.
pub fn ir(_: &Path) -> Box<dyn Reader> {
    Here::boxed(|bytes| {
        model(ModelSource::Bytes {
            model: bytes.into(),
            weights: Some(vec![1; 176].into()),
        })
    })
}

/// TensorFlow Lite.
pub fn tflite(directory: &Path) -> Box<dyn Reader> {
    let path = directory.join("model.tflite");
    Here::boxed(move |bytes| {
        fs::write(&path, bytes).map_err(text)?;
        model(path.clone().into())
    })
}

/// TensorFlow, as a frozen graph and as the graph of a `SavedModel`.
pub fn tensorflow(directory: &Path) -> Box<dyn Reader> {
    let frozen = directory.join("model.pb");
    let saved = directory.join("saved");
    fs::create_dir(&saved).expect("a directory");
    Here::boxed(move |bytes| {
        fs::write(&frozen, bytes).map_err(text)?;
        fs::write(saved.join(model_file::SAVED_MODEL), bytes).map_err(text)?;
        let outputs = |graph: Option<Graph<'_>>| {
            let graph = graph?;
            let value = |output: &Output<'_>| graph.value(output);
            let outputs = graph.outputs().iter();
            Some(outputs.map(value).collect::<Vec<_>>())
        };
        let outputs = [
            outputs(Graph::of_frozen(bytes)),
            outputs(Graph::of_saved_model(bytes)),
        ];
        let settings = [&frozen, &saved].map(|path| model(path.as_path().into()));
        if outputs == [None, None] {
            return Err(format!("{settings:?}"));
        }
        Ok(format!("{outputs:?} {settings:?}"))
    })
}

/// Models of TensorFlow and Paddle, and files that are none.
pub fn other_models(directory: &Path) -> Box<dyn Reader> {
    let path = directory.join("model");
    Here::boxed(move |bytes| {
        fs::write(&path, bytes).map_err(text)?;
        let format = model_file::format(path.as_path()).map_err(text)?;
        let _ = model_file::named_files(&path);
        model(path.clone().into()).map(|settings| format!("{format:?} {settings}"))
    })
}

/// Lists of labels.
pub fn labels(_: &Path) -> Box<dyn Reader> {
    Here::boxed(|bytes| {
        let labels = Labels::parse(bytes).map_err(text)?;
        Ok(format!("{:?}", labels.fitted(3)))
    })
}

/// Files of preprocessing, as a file that is named and as a file next to a model.
pub fn configuration(directory: &Path) -> Box<dyn Reader> {
    let model = directory.join("model.onnx");
    fs::copy(classify_tests::small_model("plain.onnx"), &model).expect("a copy");
    let directory = directory.to_owned();
    Here::boxed(move |bytes| {
        let mut last = Err("no reader takes it".to_owned());
        for name in [
            "config.json",
            "preprocessor_config.json",
            "metadata.yaml",
            "model.yml",
        ] {
            let path = directory.join(name);
            fs::write(&path, bytes).map_err(text)?;
            let named = sources::read_file(&path);
            let beside = sources::find(model.as_path());
            fs::remove_file(&path).map_err(text)?;
            match named {
                Ok(named) => last = Ok(format!("{named:?} {beside:?}")),
                Err(error) if last.is_err() => last = Err(text(error)),
                Err(_) => {}
            }
        }
        last
    })
}

/// Recordings of comparisons.
pub fn recordings(_: &Path) -> Box<dyn Reader> {
    Here::boxed(|bytes| {
        let mut recording = Recording::read(Cursor::new(bytes)).map_err(text)?;
        let entries = recording.entries().len();
        let words = String::from_utf8_lossy(bytes);
        let digests = words
            .split('"')
            .filter_map(|word| word.parse::<Digest>().ok());
        let mut found = Vec::new();
        for digest in digests {
            if let Ok(outputs) = recording.outputs_of_file(&digest) {
                assert_eq!(outputs.len(), recording.runs().len());
                found.push(format!("{outputs:?}"));
            }
        }
        Ok(format!("{entries} {found:?}"))
    })
}

/// Files of ground truth.
pub fn truth(_: &Path) -> Box<dyn Reader> {
    let images: Vec<PathBuf> = ["a.jpg", "b/c.jpg", "dark.ppm"].map(PathBuf::from).into();
    let columns = ["image".to_owned(), "label".to_owned()];
    Here::boxed(move |bytes| {
        let lookup = ClassLookup::new(None, 0);
        let mut all = Vec::new();
        for columns in [None, Some(&columns)] {
            let mut truth = match GroundTruth::read_columns(bytes, columns) {
                Ok(truth) => truth,
                Err(error) if columns.is_none() => return Err(text(error)),
                Err(_) => continue,
            };
            let is_usable = truth.check_images(&images).is_ok();
            let is_single = truth.check_single(&lookup).is_ok();
            let summary = truth.summary(&images);
            for image in &images {
                if let Ok(Some(written)) = truth.take(image) {
                    all.push(format!(
                        "{written:?} {:?}",
                        lookup.classes(&written, Some(100)).ok()
                    ));
                }
            }
            all.push(format!("{is_usable} {is_single} {summary:?}"));
        }
        Ok(format!("{all:?}"))
    })
}

/// Answers that shards store.
pub fn answers(_: &Path) -> Box<dyn Reader> {
    Here::boxed(|bytes| {
        let mut reader = AnswerReader::start(bytes).map_err(text)?;
        let mut images = 0;
        while reader.next_image().map_err(text)?.is_some() {
            images += 1;
        }
        Ok(format!("{images} {}", reader.artificial().len()))
    })
}

/// A reader of the program, which gets the path of a file.
fn of_program(
    file: PathBuf,
    read: impl Fn(&Path) -> anyhow::Result<String> + 'static,
) -> Box<dyn Reader> {
    Here::boxed(move |bytes| {
        fs::write(&file, bytes).map_err(text)?;
        read(&file).map_err(|error| format!("{error:#}"))
    })
}

/// Archives of images.
pub fn archives(directory: &Path) -> Box<dyn Reader> {
    of_program(directory.join("a.tar"), readers::read_archive)
}

/// Arrays of another program in an archive.
pub fn npz(directory: &Path) -> Box<dyn Reader> {
    of_program(directory.join("a.npz"), readers::read_arrays)
}

/// An array of another program as the only file of a directory.
pub fn npy(directory: &Path) -> Box<dyn Reader> {
    let arrays = directory.to_owned();
    of_program(directory.join("array.npy"), move |_| {
        readers::read_arrays(&arrays)
    })
}

/// Files of `classify check`.
pub fn gates(directory: &Path) -> Box<dyn Reader> {
    of_program(directory.join("gate.toml"), readers::read_gates)
}

/// Plugins files of `OpenVINO`.
pub fn plugins(directory: &Path) -> Box<dyn Reader> {
    of_program(directory.join("plugins.xml"), readers::read_plugins)
}

/// A reader with planted faults, which shows that each of them is found. The first byte says which.
pub fn planted(_: &Path) -> Box<dyn Reader> {
    let mut calls = 0;
    Here::boxed(move |bytes| {
        calls += 1;
        match bytes.first() {
            Some(b'p') => panic!("planted"),
            Some(b'a') => std::process::abort(),
            Some(b'h') => loop {
                std::thread::park();
            },
            // A good file, which is answered in another way every time.
            Some(b'l') => Ok(format!("{calls}")),
            Some(b'm') => {
                std::hint::black_box(vec![1_u8; 600 << 20]);
                Ok("much".to_owned())
            }
            _ => Ok("good".to_owned()),
        }
    })
}
