//! Formats of model files, told apart by content.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use backend_api::ModelSource;
use prost::bytes::Bytes;

/// The number of bytes at the beginning of a file that identify its format.
const HEAD: u64 = 64;

/// The format of a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// ONNX, or a file in no known format: only decoding it as ONNX decides.
    Onnx,
    /// OpenVINO IR: XML with the weights in a `.bin` next to it.
    Ir,
    /// TensorFlow Lite.
    TensorflowLite,
    /// A frozen TensorFlow graph.
    Tensorflow,
    /// A TensorFlow `SavedModel`, which is a directory.
    SavedModel,
    /// `PaddlePaddle`, with the parameters in a `.pdiparams` next to it.
    Paddle,
}

impl Format {
    /// Returns the format of the regular file or the directory at `model`.
    ///
    /// OpenVINO looks at the content too: it reads ONNX under any name, as `model.pb`, `model.bin` or `model`. So
    /// every file that is not certainly in another format must pass the checks of ONNX. The certain ones begin
    /// with bytes that no reader of ONNX accepts, or, for TensorFlow Lite, have a name that is decisive as well.
    ///
    /// # Errors
    ///
    /// The system's, and [`io::ErrorKind::InvalidInput`] if it is neither a regular file nor a `SavedModel`.
    pub fn of(model: &Path) -> io::Result<Self> {
        if model.is_dir() && model.join("saved_model.pb").is_file() {
            return Ok(Self::SavedModel);
        }
        let mut head = Vec::new();
        open_regular(model)?.take(HEAD).read_to_end(&mut head)?;
        Ok(Self::of_bytes(&head, model))
    }

    /// Returns the format of a model in a file or in memory. A model in memory has no name.
    ///
    /// # Errors
    ///
    /// The errors of [`of`](Self::of) for a file.
    pub fn of_source(model: &ModelSource) -> io::Result<Self> {
        match model {
            ModelSource::Path(model) => Self::of(model),
            ModelSource::Bytes { model, .. } => Ok(Self::of_bytes(model, Path::new(""))),
        }
    }

    /// Returns the format of a file that begins with `head`.
    pub(crate) fn of_bytes(head: &[u8], model: &Path) -> Self {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let text = text.trim_ascii_start();
        // OpenVINO's front ends of TensorFlow Lite and Paddle go by the name first, in lower case.
        let is_called = |ending: &str| model.extension().is_some_and(|found| found == ending);
        if text.starts_with(b"<") {
            Self::Ir
        } else if is_called("tflite") && head.get(4..8) == Some(b"TFL3") {
            Self::TensorflowLite
        } else if head.first() == Some(&0x0a) {
            // Field 1 with a length: the nodes of a GraphDef, the blocks of a ProgramDesc. In ONNX it is a number.
            if is_called("pdmodel") {
                Self::Paddle
            } else {
                Self::Tensorflow
            }
        } else if text.starts_with(b"node") {
            // A GraphDef as text.
            Self::Tensorflow
        } else {
            Self::Onnx
        }
    }

    /// Returns the name of the format: `OpenVINO IR`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onnx => "ONNX",
            Self::Ir => "OpenVINO IR",
            Self::TensorflowLite => "TensorFlow Lite",
            Self::Tensorflow => "TensorFlow",
            Self::SavedModel => "TensorFlow SavedModel",
            Self::Paddle => "PaddlePaddle",
        }
    }
}

/// Opens a regular file. A named pipe is rejected without waiting for its other end.
///
/// # Errors
///
/// The system's, and [`io::ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Reads the main file of a model, or returns the content of a model in memory.
///
/// # Errors
///
/// The errors of [`read_regular`] for a file.
pub fn read_source(model: &ModelSource, limit: u64) -> io::Result<Bytes> {
    match model {
        ModelSource::Path(model) => read_regular(model, limit).map(Bytes::from),
        ModelSource::Bytes { model, .. } => Ok(Bytes::from_owner(Arc::clone(model))),
    }
}

/// Reads a regular file.
///
/// # Errors
///
/// - The errors of [`open_regular`].
/// - [`io::ErrorKind::FileTooLarge`] for a file of more than `limit` bytes.
/// - [`io::ErrorKind::InvalidData`] for a file that has more bytes than its size says: it is being written, or the system
///   makes its content, as in `/proc`.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file has {size} bytes, more than {limit}"),
        ));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(size + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > size {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the file has more than the {size} bytes that its size says: it is being written, or the system makes it; copy it first"
            ),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_before_the_name() {
        let of = |head: &[u8], name: &str| Format::of_bytes(head, Path::new(name));
        for name in [
            "m.onnx",
            "m.pb",
            "m.bin",
            "m",
            "m.xml",
            "m.PDMODEL",
            "m.tflite",
        ] {
            assert_eq!(of(b"\x08\x08\x3a", name), Format::Onnx, "{name}");
            assert_eq!(of(b"\xef\xbb\xbf <net>", name), Format::Ir, "{name}");
            assert_eq!(of(b"\x0a\x04node", name), Format::Tensorflow, "{name}");
        }
        assert_eq!(of(b"\x0a\x04", "m.pdmodel"), Format::Paddle);
        assert_eq!(of(b"\x1c\0\0\0TFL3", "m.tflite"), Format::TensorflowLite);
        // Bytes of an unknown field of ONNX can spell the same; OpenVINO goes on to ONNX there.
        assert_eq!(of(b"\x12\x20\0\0TFL3", "m.pb"), Format::Onnx);
        assert_eq!(of(b"\x12\x20\0\0TFL3", "m.TFLITE"), Format::Onnx);
        assert_eq!(of(b"", "m"), Format::Onnx);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        let error = read_regular(&pipe, 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let file = directory.path().join("file");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read_regular(&file, 5).unwrap(), b"12345");
        let error = read_regular(&file, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_a_size_is_not_read_to_its_end() {
        for made in ["/proc/self/status", "/proc/self/maps"] {
            let error = read_regular(Path::new(made), u64::MAX).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
}
