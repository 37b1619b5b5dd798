//! Detection of files that are not models, by content.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use backend_api::ModelSource;

use crate::format::open_regular;

/// Bytes at the beginning of a file that identify its format.
const HEAD: u64 = 64 << 10;
/// The beginning of a text that a message quotes, in characters.
const QUOTED: usize = 60;

const DOWNLOAD: &str = "download the model itself: the address may need a login, or be the one of a page about the file";
const GIT_LFS: &str = "run `git lfs pull` in its repository, or download the file itself";
const AGAIN: &str = "export or download it again";
const TEXT: &str =
    "give the file of the model; a message of the server may have been saved in its place";
const UNPACK: &str = "unpack it, and give the model in it";
const PYTORCH: &str = "export the network to ONNX in Python, with `torch.onnx.export`";
const KERAS: &str =
    "load it in Keras and export it: `model.export(\"model.onnx\", format=\"onnx\")`";
const OTHERS: &str = "export the model to ONNX with the library that wrote the file";
const ORIGINAL: &str = "give the ONNX file that it was made of";
const GIVE_TFLITE: &str = "rename it: its name has to end in .tflite";

/// A file that no supported engine can read as a model: a page or a pointer in its place, an archive, or the file of
/// another program. It is displayed as a noun: `an HTML page`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    what: String,
    hint: &'static str,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Foreign {
    /// Recognises the content of `model`. `None` for a possible model, for a directory, and for a file that cannot be
    /// read.
    pub fn of(model: &ModelSource) -> Option<Self> {
        match model {
            ModelSource::Path(path) => {
                let head = head(path)?;
                // OpenVINO knows the ending in lower case only.
                let is_called_tflite = path.extension().is_some_and(|ending| ending == "tflite");
                Self::of_bytes(&head, is_called_tflite)
            }
            ModelSource::Bytes { model, .. } => {
                let end = model.len().min(HEAD as usize);
                // It has no name that could be wrong.
                Self::of_bytes(&model[..end], true)
            }
        }
    }

    /// Recognises a page or a pointer instead of a file of weights, which may hold any other bytes.
    pub(crate) fn of_weights(path: &Path) -> Option<Self> {
        let head = head(path)?;
        pointer(&head).or_else(|| page(text(&head)?))
    }

    /// Returns the way to a model.
    pub const fn hint(&self) -> &'static str {
        self.hint
    }

    fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self {
            what: what.into(),
            hint,
        }
    }

    /// Recognises a file that begins with `head`. `may_be_tflite`: its name ends in `.tflite`, or it has no name.
    pub(crate) fn of_bytes(head: &[u8], may_be_tflite: bool) -> Option<Self> {
        if head.is_empty() {
            return Some(Self::new("an empty file", AGAIN));
        }
        let magic = |(at, magic, what, hint): &(usize, &[u8], &str, &'static str)| {
            let found = head.get(*at..).is_some_and(|from| from.starts_with(magic));
            found.then(|| Self::new(*what, hint))
        };
        MAGICS
            .iter()
            .find_map(magic)
            .or_else(|| pointer(head))
            .or_else(|| zip(head))
            .or_else(|| pickle(head))
            .or_else(|| safetensors(head))
            .or_else(|| renamed_tflite(head).filter(|_| !may_be_tflite))
            .or_else(|| page(text(head)?))
            .or_else(|| xml(text(head)?))
            .or_else(|| json_or_prose(text(head)?))
    }
}

/// Place, bytes, name and hint of formats that begin with certain bytes. None of them begins a Protocol Buffer of ONNX.
const MAGICS: &[(usize, &[u8], &str, &str)] = &[
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as Keras wrote it (.h5)",
        KERAS,
    ),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", OTHERS),
    (0, b"GGUF", "a GGUF file", OTHERS),
    (0, b"RTEN", "an RTen file (.rten)", ORIGINAL),
    (4, b"ORTM", "an ONNX Runtime file (.ort)", ORIGINAL),
    (4, b"PTMF", "a PyTorch Mobile file (.ptl)", PYTORCH),
    (4, b"ET12", "an ExecuTorch file (.pte)", PYTORCH),
    (0, b"ptrt", "a TensorRT engine", OTHERS),
    (0, b"ftrt", "a TensorRT engine", OTHERS),
    (0, b"\x1f\x8b\x08", "a gzip file", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"%PDF-", "a PDF document", DOWNLOAD),
];

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let file = open_regular(path).ok()?;
    file.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

fn pointer(head: &[u8]) -> Option<Foreign> {
    let annex = head.starts_with(b"/annex/objects/") || head.starts_with(b"../.git/annex/");
    if annex {
        let what = "a pointer of git-annex, not the file itself";
        return Some(Foreign::new(what, "run `git annex get` in its repository"));
    }
    head.starts_with(b"version https://git-lfs").then(|| {
        let text = String::from_utf8_lossy(head);
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.and_then(|size| size.trim().parse::<u64>().ok());
        let size = size.map_or_else(String::new, |size| format!(" to a file of {size} bytes"));
        let what = format!("a Git LFS pointer{size}, not the file itself");
        Foreign::new(what, GIT_LFS)
    })
}

/// Names of entries show the program that wrote the archive.
fn zip(head: &[u8]) -> Option<Foreign> {
    if head.starts_with(b"PK\x05\x06") {
        return Some(Foreign::new("an empty ZIP archive", AGAIN));
    }
    if !head.starts_with(b"PK\x03\x04") {
        return None;
    }
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    Some(
        if has(b"/archive_format") || has(b"/model_weights_config.json") {
            Foreign::new("a program of `torch.export` (.pt2)", PYTORCH)
        } else if has(b"/code/__torch__") || has(b"/constants.pkl") {
            Foreign::new("a TorchScript file (.pt)", PYTORCH)
        } else if has(b"/data.pkl") {
            Foreign::new("a PyTorch file (.pt, .pth)", PYTORCH)
        } else if has(b"model.weights.h5") || has(b"metadata.json{\"keras") {
            Foreign::new("a Keras file (.keras)", KERAS)
        } else if has(b".npyPK") || has(b".npy\x01\0") || has(b".npy\x93NUMPY") {
            Foreign::new("NumPy arrays (.npz)", OTHERS)
        } else {
            Foreign::new("a ZIP archive", UNPACK)
        },
    )
}

fn pickle(head: &[u8]) -> Option<Foreign> {
    // The magic number of PyTorch's old format, a pickled integer.
    if head.starts_with(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.") {
        return Some(Foreign::new("a PyTorch file (.pt, .pth)", PYTORCH));
    }
    let is_framed = matches!(head, [0x80, 4 | 5, 0x95, ..]);
    let is_plain = matches!(head, [0x80, 2 | 3, b'}' | b']' | b'(' | b'c' | b'X', ..]);
    (is_framed || is_plain).then(|| Foreign::new("a Python pickle", OTHERS))
}

/// Returns the length of a JSON header, then the header.
fn safetensors(head: &[u8]) -> Option<Foreign> {
    let (length, rest) = head.split_first_chunk::<8>()?;
    let is_length = (2..100 << 20).contains(&u64::from_le_bytes(*length));
    (is_length && rest.starts_with(b"{\"")).then(|| {
        let hint =
            "export the model that they belong to, for instance with `optimum-cli export onnx`";
        Foreign::new("a safetensors file: weights without their network", hint)
    })
}

/// Returns a root table near the beginning: no Protocol Buffer has such bytes.
fn renamed_tflite(head: &[u8]) -> Option<Foreign> {
    let (root, rest) = head.split_first_chunk::<4>()?;
    let root = u32::from_le_bytes(*root);
    let is_root = root.is_multiple_of(4) && (8..256).contains(&root);
    (is_root && rest.starts_with(b"TFL3"))
        .then(|| Foreign::new("a TensorFlow Lite file of another name", GIVE_TFLITE))
}

/// Returns the beginning as text, without blanks before it, if all of it is text.
fn text(head: &[u8]) -> Option<&str> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of the head.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |c: char| !c.is_control() || c.is_ascii_whitespace();
    text.chars().all(is_text).then(|| text.trim_start())
}

fn page(text: &str) -> Option<Foreign> {
    let start: String = text.chars().take(1024).collect();
    let start = start.to_ascii_lowercase();
    let is_page =
        start.starts_with('<') && (start.contains("<!doctype html") || start.contains("<html"));
    is_page.then(|| Foreign::new("an HTML page", DOWNLOAD))
}

/// XML whose root is not the one of an IR.
fn xml(text: &str) -> Option<Foreign> {
    let mut rest = text;
    loop {
        rest = rest.trim_start().strip_prefix('<')?;
        let end = match rest.get(..3) {
            Some("!--") => "-->",
            Some(start) if start.starts_with('?') => "?>",
            Some(start) if start.starts_with('!') => ">",
            _ => break,
        };
        rest = rest.split_once(end)?.1;
    }
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))?;
    let root = rest.get(..end)?;
    let root = root.rsplit(':').next().unwrap_or(root);
    (root != "net").then(|| {
        let root: String = root.chars().take(QUOTED).collect();
        let what = format!("an XML document with the root <{root}>, not an OpenVINO IR");
        Foreign::new(what, TEXT)
    })
}

fn json_or_prose(text: &str) -> Option<Foreign> {
    let mut chars = text.chars().filter(|c| !c.is_whitespace());
    match (chars.next()?, chars.next()) {
        ('{', Some('"' | '}')) | ('[', Some('{' | '[' | '"' | ']')) => {
            Some(Foreign::new("a JSON document", TEXT))
        }
        ('<', _) => None,
        // A graph of TensorFlow may be text.
        _ if text.starts_with("node") => None,
        _ => {
            let line = text.lines().next().unwrap_or_default();
            let quoted: String = line.chars().take(QUOTED).collect();
            Some(Foreign::new(
                format!("a text that begins with \"{quoted}\""),
                TEXT,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_content_is_named_whatever_the_file_is_called() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        let mut tar = vec![b'm'; 257];
        tar.extend_from_slice(b"ustar\x0000");
        for (head, expected) in [
            (&b""[..], "an empty file"),
            (
                lfs,
                "a Git LFS pointer to a file of 12345 bytes, not the file itself",
            ),
            (b"\n<!DOCTYPE html>\n<html lang=en>", "an HTML page"),
            (b"\xef\xbb\xbf<!-- x --><HTML><head>", "an HTML page"),
            (
                b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>",
                "an XML document with the root <Error>, not an OpenVINO IR",
            ),
            (b"{\"error\": \"not found\"}", "a JSON document"),
            (
                b"404: Not Found",
                "a text that begins with \"404: Not Found\"",
            ),
            (
                b"PK\x03\x04....archive/data.pkl",
                "a PyTorch file (.pt, .pth)",
            ),
            (
                b"PK\x03\x04....m/data.pklPK....m/code/__torch__/x.py",
                "a TorchScript file (.pt)",
            ),
            (
                b"PK\x03\x04....m/archive_format",
                "a program of `torch.export` (.pt2)",
            ),
            (
                b"PK\x03\x04....metadata.json{\"keras_version\"",
                "a Keras file (.keras)",
            ),
            (b"PK\x03\x04....model.onnx", "a ZIP archive"),
            (
                b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
                "a PyTorch file (.pt, .pth)",
            ),
            (b"\x80\x04\x95\x10\0\0\0\0", "a Python pickle"),
            (
                b"\x89HDF\r\n\x1a\n\0\0",
                "an HDF5 file, as Keras wrote it (.h5)",
            ),
            (
                b"x\0\0\0\0\0\0\0{\"bias\":{",
                "a safetensors file: weights without their network",
            ),
            (b"\x1c\0\0\0TFL3", "a TensorFlow Lite file of another name"),
            (b"RTEN\x02", "an RTen file (.rten)"),
            (b"\x1f\x8b\x08\0", "a gzip file"),
            (&tar, "a tar archive"),
        ] {
            let found = Foreign::of_bytes(head, false).unwrap();
            assert_eq!(found.to_string(), expected);
            assert!(!found.hint().is_empty());
        }
    }

    #[test]
    fn models_are_not_foreign() {
        for head in [
            &b"\x08\x08\x12\x07pytorch"[..],
            b"\x12\x20\0\0TFL3",
            b"\x0a\x04node",
            b"node {\n  name: \"x\"\n}",
            b"<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">",
            b"<net/>",
            b"<!-- IR --><net name='m'>",
            b"\xff\xff\xff",
        ] {
            assert_eq!(Foreign::of_bytes(head, false), None, "{head:?}");
        }
        assert_eq!(Foreign::of_bytes(b"\x1c\0\0\0TFL3", true), None);
        let in_memory = ModelSource::Bytes {
            model: b"\x1c\0\0\0TFL3".as_slice().into(),
            weights: None,
        };
        assert_eq!(Foreign::of(&in_memory), None);
        // Weights may be anything else.
        let directory = tempfile::tempdir().unwrap();
        let weights = directory.path().join("m.bin");
        std::fs::write(&weights, b"").unwrap();
        assert_eq!(Foreign::of_weights(&weights), None);
        std::fs::write(&weights, b"version https://git-lfs.x/\nsize 5\n").unwrap();
        assert!(Foreign::of_weights(&weights).is_some());
    }
}
