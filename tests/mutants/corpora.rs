//! The table of all corpora.

use std::path::Path;

use crate::mutate::Form;
use crate::reader::Reader;
use crate::{program, reader};

/// Files of one kind, and their reader.
pub struct Corpus {
    pub name: &'static str,
    pub form: Form,
    /// Starts the reader in an empty directory.
    pub start: fn(&Path) -> Box<dyn Reader>,
    /// Inputs that `cargo verify` tries.
    pub few: u64,
    /// Inputs that `cargo verify-hard` tries.
    pub many: u64,
    pub kind: Kind,
}

/// The rules for a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The project's own readers: nothing may go wrong, in little memory.
    Own,
    /// The same, with seeds of the set-up.
    OwnWithSetUp,
    /// Engines in processes of their own: these may die, and take the memory of `--isolate-memory`.
    Engine,
    /// Faults that have to be found.
    Planted,
}

const fn own(
    name: &'static str,
    form: Form,
    start: fn(&Path) -> Box<dyn Reader>,
    few: u64,
) -> Corpus {
    Corpus {
        name,
        form,
        start,
        few,
        many: 100_000,
        kind: Kind::Own,
    }
}

const fn image(name: &'static str, form: Form) -> Corpus {
    Corpus {
        kind: Kind::OwnWithSetUp,
        ..own(name, form, program::images, 160)
    }
}

/// Files of a corpus above as the whole program reads and uses them. A process for each takes a good part of a second.
const fn end_to_end(mut corpus: Corpus) -> Corpus {
    corpus.many = 300;
    corpus
}

/// A process that loads an engine takes a good part of a second.
const fn engine(name: &'static str, form: Form, start: fn(&Path) -> Box<dyn Reader>) -> Corpus {
    Corpus {
        few: 0,
        many: 3000,
        kind: Kind::Engine,
        ..own(name, form, start, 0)
    }
}

pub const CORPORA: [Corpus; 38] = [
    image("jpeg", Form::Bytes),
    image("png", Form::Png),
    image("gif", Form::Bytes),
    image("bmp", Form::Bytes),
    image("tiff", Form::Bytes),
    image("webp", Form::Bytes),
    image("ico", Form::Bytes),
    image("tga", Form::Bytes),
    image("pnm", Form::Bytes),
    image("qoi", Form::Bytes),
    own("jxl", Form::Bytes, program::images, 80),
    own("onnx", Form::Bytes, reader::onnx, 800),
    own("ir", Form::Text, reader::ir, 500),
    own("tflite", Form::Bytes, reader::tflite, 800),
    own("tensorflow", Form::Bytes, reader::tensorflow, 800),
    own("other-models", Form::Bytes, reader::other_models, 800),
    own("labels", Form::Text, reader::labels, 1500),
    own("configuration", Form::Text, reader::configuration, 500),
    own("recordings", Form::Text, reader::recordings, 800),
    own("truth", Form::Text, reader::truth, 800),
    own("answers", Form::Bytes, reader::answers, 1500),
    own("lines", Form::Text, program::lines, 400),
    own("archives", Form::Tar, reader::archives, 800),
    own("npy", Form::Bytes, reader::npy, 800),
    own("npz", Form::Zip, reader::npz, 800),
    own("plugins", Form::Text, reader::plugins, 800),
    own("gates", Form::Text, reader::gates, 400),
    end_to_end(own("archives-end-to-end", Form::Tar, program::archives, 40)),
    end_to_end(own("npy-end-to-end", Form::Bytes, program::npy, 40)),
    end_to_end(own("npz-end-to-end", Form::Zip, program::npz, 40)),
    end_to_end(own("plugins-end-to-end", Form::Text, program::plugins, 10)),
    end_to_end(own("gates-end-to-end", Form::Text, program::gates, 40)),
    engine("onnx-on-onnxruntime", Form::Bytes, program::onnx_on_onnx),
    engine("onnx-on-openvino", Form::Bytes, program::onnx_on_openvino),
    engine("onnx-on-rten", Form::Bytes, program::onnx_on_rten),
    engine("ir-on-openvino", Form::Text, program::ir_on_openvino),
    engine(
        "tflite-on-openvino",
        Form::Bytes,
        program::tflite_on_openvino,
    ),
    Corpus {
        kind: Kind::Planted,
        ..own("planted", Form::Bytes, reader::planted, 0)
    },
];
