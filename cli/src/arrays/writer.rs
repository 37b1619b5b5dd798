//! Writes arrays, one after the other.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluation::text::printable;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

use super::header::Header;
use crate::destination::Output;

/// Files of at least this size need the larger form of an archive. The headers of files have room below it.
const LARGE_FILE: u64 = u32::MAX as u64 - 0xffff;

/// Arrays that are being written.
#[derive(Debug)]
pub struct ArrayWriter(Kind);

#[derive(Debug)]
enum Kind {
    Npz(Box<ZipWriter<StreamWriter<Output>>>),
    Directory { path: PathBuf, files: Vec<Output> },
}

impl ArrayWriter {
    /// Returns an `.npz` archive. It is not compressed.
    pub fn npz(out: Output) -> Self {
        Self(Kind::Npz(Box::new(ZipWriter::new_stream(out))))
    }

    /// Returns a directory, which is created if it does not exist. Each array is a file NAME.npy in it.
    pub fn directory(path: &Path) -> anyhow::Result<Self> {
        if !path.is_dir() {
            let what = || format!("cannot create the directory {}", path.display());
            fs::create_dir(path).with_context(what)?;
        }
        Ok(Self(Kind::Directory {
            path: path.to_owned(),
            files: Vec::new(),
        }))
    }

    /// Adds an array of `bytes` bytes, which `write` writes. `kind` is `NumPy`'s name of the type, without the order of
    /// bytes, which is this machine's.
    pub fn array(
        &mut self,
        name: &str,
        kind: &str,
        shape: &[usize],
        bytes: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let what = || format!("cannot write the array {}", printable(name));
        let order = if cfg!(target_endian = "little") {
            '<'
        } else {
            '>'
        };
        let header = Header {
            descr: format!("{order}{kind}"),
            is_fortran: false,
            shape: shape.iter().map(|size| *size as u64).collect(),
        };
        let write = |out: &mut dyn Write| {
            out.write_all(&header.to_bytes())?;
            write(out)
        };
        match &mut self.0 {
            Kind::Npz(archive) => {
                let options = SimpleFileOptions::default()
                    .compression_method(zip::CompressionMethod::Stored)
                    .large_file(bytes >= LARGE_FILE);
                let started = archive.start_file(format!("{name}.npy"), options);
                started.map_err(io::Error::from).with_context(what)?;
                write(&mut **archive).with_context(what)
            }
            Kind::Directory { path, files } => {
                let mut file = Output::open("--output", Some(&path.join(format!("{name}.npy"))))?;
                write(&mut file).with_context(what)?;
                files.push(file);
                Ok(())
            }
        }
    }

    /// Adds an array of texts, which all have the room of the longest.
    pub fn texts(&mut self, name: &str, texts: &[String]) -> anyhow::Result<()> {
        self.padded(name, texts, &[texts.len()])
    }

    /// Adds a single text, an array without dimensions.
    pub fn text(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.padded(name, &[text.to_owned()], &[])
    }

    fn padded(&mut self, name: &str, texts: &[String], shape: &[usize]) -> anyhow::Result<()> {
        let longest = texts.iter().map(|text| text.chars().count()).max();
        // NumPy has no text of length 0.
        let width = longest.unwrap_or(0).max(1);
        let bytes = texts.len() as u64 * width as u64 * 4;
        self.array(name, &format!("U{width}"), shape, bytes, |out| {
            // One text at a time: a single long path would make all of them long.
            let mut out = BufWriter::new(out);
            for text in texts {
                let letters = text.chars().map(u32::from).chain(std::iter::repeat(0));
                for letter in letters.take(width) {
                    out.write_all(&letter.to_ne_bytes())?;
                }
            }
            out.flush()
        })
    }

    /// Returns the destinations, with everything written.
    pub fn into_outputs(self) -> anyhow::Result<Vec<Output>> {
        match self.0 {
            Kind::Npz(archive) => {
                let out = archive.finish().context("cannot write the results")?;
                let mut out = out.into_inner();
                out.flush()?;
                Ok(vec![out])
            }
            Kind::Directory { files, .. } => Ok(files),
        }
    }
}
