//! The readers of the program, which has no library, and a private one of a library: their files. The targets and
//! `tests/mutants/` read with these functions, which return what they read as text.
//!
//! The files know each other by `crate::`, so that the crate that includes this one has to `use` its modules.

#![allow(
    dead_code,
    missing_docs,
    unused_imports,
    reason = "the files have more than the functions need"
)]

#[path = "../../cli/src/archive/mod.rs"]
pub mod archive;
#[path = "../../cli/src/args/mod.rs"]
pub mod args;
pub mod errors;
#[path = "../../cli/src/gate_file/mod.rs"]
mod gate_file;
#[path = "../../cli/src/arrays/header.rs"]
mod header;
#[path = "../../cli/src/input.rs"]
pub mod input;
#[path = "../../backend-openvino/src/plugins.rs"]
mod plugins;
#[path = "../../cli/src/arrays/reader.rs"]
mod reader;

/// The hints of the command line go to nobody.
pub mod terminal {
    pub fn hint(_: &str) {}
    pub fn usage(_: &str) {}
}

use std::fs::{self, File};
use std::path::Path;

use reader::ArrayFiles;

/// The most texts and the most bytes of an array.
const MOST: u64 = 1 << 20;
/// The most arrays of a file.
const MOST_ARRAYS: usize = 4;

/// Reads the names, places and ground truth of the images of a tar archive.
pub fn read_archive(path: &Path) -> anyhow::Result<String> {
    let length = fs::metadata(path)?.len();
    let listed = archive::list(path)?;
    let mut read = vec![format!("{:?}", listed.others)];
    for image in &listed.images {
        assert!(image.path.starts_with(path), "{}", image.path.display());
        if let Some(member) = &image.member {
            assert!(member.offset + member.bytes <= length, "{member:?}");
        }
        // As `Debug` shows it, the problem may have a backtrace, which depends on the caller.
        let problem = image.problem.as_ref().map(|problem| format!("{problem:#}"));
        let path = image.path.display();
        read.push(format!("{path} {:?} {problem:?}", image.member));
    }
    Ok(read.join("\n"))
}

/// Reads the arrays of an npz archive, or of the npy files of a directory.
pub fn read_arrays(path: &Path) -> anyhow::Result<String> {
    let open = || {
        if path.is_dir() {
            Ok(ArrayFiles::directory(path))
        } else {
            ArrayFiles::npz(path, File::open(path)?)
        }
    };
    let names = open()?.names()?;
    let names = names.iter().filter_map(|name| name.strip_suffix(".npy"));
    let mut read = Vec::new();
    let mut refused = None;
    for name in names.take(MOST_ARRAYS) {
        let mut files = open()?;
        let texts = files.array(name).and_then(|array| array.texts(MOST));
        let mut values = Vec::new();
        let rows = files.array(name).and_then(|array| {
            array.rows(MOST, |_, row| {
                values.extend_from_slice(row);
                assert!(values.len() as u64 <= MOST);
                Ok(())
            })
        });
        match (texts, rows) {
            (Ok(texts), _) => read.push(format!("{name} {texts:?}")),
            (_, Ok(kind)) => read.push(format!("{name} {kind} {values:?}")),
            (Err(_), Err(error)) => refused = Some(error),
        }
    }
    refused.map_or(Ok(read.join("\n")), Err)
}

/// Reads a file of `classify check`, with all flags of `compare` and `evaluate`.
pub fn read_gates(path: &Path) -> anyhow::Result<String> {
    let commands = gate_file::Gates::read(path)?.commands()?;
    Ok(format!("{commands:?}"))
}

/// Reads a plugins file of OpenVINO. No library is loaded.
pub fn read_plugins(path: &Path) -> anyhow::Result<String> {
    let libraries = plugins::plugin_libraries(path);
    let plugins = plugins::Plugins::read(Some(path))?;
    assert!(!libraries.is_empty());
    Ok(format!("{plugins:?} {:?}", plugins.alias("CPU.0")))
}
