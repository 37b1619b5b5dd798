//! Reads arrays, which may come from anywhere: sizes are checked before memory or disk space is taken for them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backend_api::half::f16;
use bytesize::ByteSize;
use evaluation::text::printable;
use zip::ZipArchive;

use super::header::Header;
use crate::errors::Hinted;

/// The most bytes that all texts of an array may take, without their padding.
const MOST_TEXT: u64 = 256 << 20;
/// The most bytes that the texts of an array may take with their padding.
const MOST_PADDED: u64 = 4 << 30;
/// The most characters of a text: paths have some thousands, and the JSON of the preprocessing has fewer.
const WIDEST_TEXT: u64 = 1 << 16;
/// Larger arrays that are compressed to less than one part in so many are rejected: a few kilobytes would fill a disk. Real
/// ones can be, such as one-hot scores.
const MOST_RATIO: u64 = 200;
/// The bytes up to which an array may be compressed in any ratio.
const FREE: u64 = 256 << 20;

/// The arrays of an archive or a directory.
#[derive(Debug)]
pub struct ArrayFiles {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Npz {
        archive: ZipArchive<BufReader<File>>,
        /// The bytes of the whole archive.
        length: u64,
    },
    Directory,
}

impl ArrayFiles {
    /// Opens an archive.
    pub fn npz(path: &Path, file: File) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            Hinted::new(
                format!("it is not a complete npz archive: {error}"),
                "write it with `numpy.savez`",
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            kind: Kind::Npz { archive, length },
        })
    }

    /// Opens a directory of `.npy` files.
    pub fn directory(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::Directory,
        }
    }

    /// Returns the names of the files, sorted.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut names: Vec<String> = match &self.kind {
            Kind::Npz { archive, .. } => archive
                .file_names()
                .map(|name| Ok(name.map_err(io::Error::from)?.into_owned()))
                .collect::<io::Result<_>>()?,
            Kind::Directory => std::fs::read_dir(&self.path)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<_>>()?,
        };
        names.sort();
        Ok(names)
    }

    /// Returns the files that hold the arrays: the archive, or the files in the directory called `names`.
    pub fn files(&self, names: &[String]) -> Vec<PathBuf> {
        match &self.kind {
            Kind::Npz { .. } => vec![self.path.clone()],
            Kind::Directory => names.iter().map(|name| self.path.join(name)).collect(),
        }
    }

    /// Opens the array called `name`.
    pub fn array(&mut self, name: &str) -> anyhow::Result<Array<'_>> {
        let what = || format!("cannot read the array {name}");
        let file_name = format!("{name}.npy");
        let (mut elements, sizes): (Box<dyn Read + '_>, _) = match &mut self.kind {
            Kind::Npz { archive, length } => {
                let file = archive.by_name(&file_name).map_err(|error| {
                    let hint = "write it with `numpy.savez` or `numpy.savez_compressed`";
                    Hinted::new(format!("cannot read the array {name}: {error}"), hint)
                })?;
                // The archive states both, and need not be right: no part of it is larger than all of it, and no more is
                // read than it states. The byte behind that is there for the check of the end.
                let (whole, compressed) = (file.size(), file.compressed_size().min(*length));
                let file = file.take(whole.saturating_add(1));
                (Box::new(BufReader::new(file)), Some((whole, compressed)))
            }
            Kind::Directory => {
                let file = model_file::open_regular(&self.path.join(file_name));
                (Box::new(BufReader::new(file.with_context(what)?)), None)
            }
        };
        let header = Header::read(&mut elements).with_context(what)?;
        let header = header.ok_or_else(|| {
            Hinted::new(
                format!("the array {name} has no valid npy header"),
                "write it with `numpy.save` or `numpy.savez`",
            )
        })?;
        if header.descr.ends_with('O') {
            let hint = "convert it first, such as with `numpy.array(names, dtype=str)`";
            return Err(Hinted::new(
                format!("the array {name} holds Python objects, which are not loaded"),
                hint,
            )
            .into());
        }
        Ok(Array {
            name: name.to_owned(),
            header,
            sizes,
            elements,
        })
    }
}

/// An array whose elements are read once.
pub struct Array<'a> {
    name: String,
    header: Header,
    /// The bytes of the file in an archive, whole and compressed.
    sizes: Option<(u64, u64)>,
    elements: Box<dyn Read + 'a>,
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    F16,
    F32,
    F64,
}

impl Number {
    const fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Returns the number in `bytes`, which have its size.
    fn value(self, bytes: &[u8], is_big_endian: bool) -> f32 {
        let mut little = [0; 8];
        let little = &mut little[..self.bytes()];
        little.copy_from_slice(bytes);
        if is_big_endian {
            little.reverse();
        }
        let bits = little.iter().rev();
        let bits = bits.fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
        match self {
            Self::F16 => f16::from_bits(bits as u16).to_f32(),
            Self::F32 => f32::from_bits(bits as u32),
            Self::F64 => f64::from_bits(bits) as f32,
        }
    }
}

impl Array<'_> {
    pub fn shape(&self) -> &[u64] {
        &self.header.shape
    }

    /// Returns the texts of the array, which has at most 1 dimension.
    pub fn texts(mut self, most: u64) -> anyhow::Result<Vec<String>> {
        let name = printable(&self.name);
        let (is_big_endian, width) = self.text_type()?;
        let count = match *self.shape() {
            [] => 1,
            [count] => count,
            _ => {
                return Err(Hinted::new(
                    format!(
                        "the array {name} has the shape {:?}, not [images]",
                        self.shape()
                    ),
                    "write one text for each image",
                )
                .into());
            }
        };
        if width > WIDEST_TEXT {
            let error = format!(
                "the array {name} is too large: its type {} has more than {WIDEST_TEXT} characters for each text",
                printable(&self.header.descr)
            );
            let hint = "write the paths of the images, as the tensors have them";
            return Err(Hinted::new(error, hint).into());
        }
        let padded = count.checked_mul(width * 4);
        if count > most || padded.is_none_or(|bytes| bytes > MOST_PADDED) {
            return Err(self.too_large());
        }
        self.check_ratio()?;
        let mut texts = Vec::new();
        let mut kept = 0;
        let mut bytes = Vec::new();
        for place in 0..count {
            self.fill(&mut bytes, width * 4)?;
            let text = decode(&bytes, is_big_endian).ok_or_else(|| {
                let error = format!("text {place} of the array {name} is not Unicode");
                Hinted::new(error, "write the file again")
            })?;
            kept += text.len() as u64;
            if kept > MOST_TEXT {
                return Err(self.too_large());
            }
            texts.push(text);
        }
        self.end()?;
        Ok(texts)
    }

    /// Returns whether texts have the other order of bytes, and their number of letters.
    fn text_type(&self) -> anyhow::Result<(bool, u64)> {
        let descr = &self.header.descr;
        let parts = descr.strip_prefix(['<', '>', '=', '|']).unwrap_or(descr);
        let width = parts.strip_prefix('U').and_then(|width| width.parse().ok());
        let width = width.ok_or_else(|| {
            Hinted::new(
                format!(
                    "the array {} has the type {}, but text is expected",
                    printable(&self.name),
                    printable(descr)
                ),
                "write it as text, such as `numpy.array(names, dtype=str)`",
            )
        })?;
        Ok((descr.starts_with('>'), width))
    }

    /// Shows the rows of an array of floating-point numbers to `each`. `shape` has checked the shape `[rows, columns]`.
    /// Returns the name of the type.
    pub fn rows(
        mut self,
        most_bytes: u64,
        mut each: impl FnMut(u64, &[f32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<&'static str> {
        let (number, name) = self.number()?;
        let [rows, columns] = *self.shape() else {
            return Err(Hinted::new(
                format!(
                    "the array {} has the shape {:?}, not [images, classes]",
                    printable(&self.name),
                    self.shape()
                ),
                "write one row of outputs for each image, such as with `outputs.reshape(len(images), -1)`",
            )
            .into());
        };
        if self.header.is_fortran {
            let error = format!("the array {} is in Fortran's order", printable(&self.name));
            let hint = "write it with `numpy.ascontiguousarray`";
            return Err(Hinted::new(error, hint).into());
        }
        let values = rows.checked_mul(columns);
        if values.is_none_or(|values| values > most_bytes / 4) {
            return Err(self.too_large());
        }
        self.check_ratio()?;
        let is_big_endian = self.header.descr.starts_with('>');
        let (mut bytes, mut row) = (Vec::new(), Vec::new());
        for place in 0..rows {
            self.fill(&mut bytes, columns * number.bytes() as u64)?;
            row.clear();
            let numbers = bytes.chunks_exact(number.bytes());
            row.extend(numbers.map(|bytes| number.value(bytes, is_big_endian)));
            each(place, &row)?;
        }
        self.end()?;
        Ok(name)
    }

    fn number(&self) -> anyhow::Result<(Number, &'static str)> {
        let descr = &self.header.descr;
        let parts = descr.strip_prefix(['<', '>', '=']).unwrap_or(descr);
        match parts {
            "f2" => Ok((Number::F16, "f16")),
            "f4" => Ok((Number::F32, "f32")),
            "f8" => Ok((Number::F64, "f64")),
            _ => Err(Hinted::new(
                format!(
                    "the array {} has the type {}, but floating-point numbers are expected",
                    printable(&self.name),
                    printable(descr)
                ),
                "write the outputs as float32",
            )
            .into()),
        }
    }

    /// Checks that a large array is not compressed more than real ones are.
    fn check_ratio(&self) -> anyhow::Result<()> {
        let Some((whole, compressed)) = self.sizes else {
            return Ok(());
        };
        if whole <= FREE || whole / MOST_RATIO <= compressed {
            return Ok(());
        }
        let error = format!(
            "the array {} expands from {} to {}, more than {MOST_RATIO} times",
            printable(&self.name),
            ByteSize(compressed),
            ByteSize(whole)
        );
        let hint = "write it without compression, with `numpy.savez`";
        Err(Hinted::new(error, hint).into())
    }

    /// Replaces `bytes` by the next `count` bytes. Memory is taken only for bytes that are there.
    fn fill(&mut self, bytes: &mut Vec<u8>, count: u64) -> anyhow::Result<()> {
        bytes.clear();
        let read = (&mut self.elements).take(count).read_to_end(bytes);
        let problem = match read {
            Ok(read) if read as u64 == count => return Ok(()),
            Ok(_) => "it has fewer bytes than its shape states".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.damaged(&problem))
    }

    /// Checks that no bytes are left. An archive checks its checksum there.
    fn end(&mut self) -> anyhow::Result<()> {
        let left = self.elements.read(&mut [0]);
        let problem = match left {
            Ok(0) => return Ok(()),
            Ok(_) => "it has more bytes than its shape states".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.damaged(&problem))
    }

    fn damaged(&self, problem: &str) -> anyhow::Error {
        let error = format!("the array {} is damaged: {problem}", printable(&self.name));
        Hinted::new(error, "write the file again").into()
    }

    fn too_large(&self) -> anyhow::Error {
        let error = format!(
            "the array {} is too large: type {}, shape {:?}",
            printable(&self.name),
            printable(&self.header.descr),
            self.shape()
        );
        Hinted::new(error, "compare fewer images at a time").into()
    }
}

/// Returns a padded text of code points.
fn decode(bytes: &[u8], is_big_endian: bool) -> Option<String> {
    let (letters, _) = bytes.as_chunks::<4>();
    let letter = |four: &[u8; 4]| {
        if is_big_endian {
            u32::from_be_bytes(*four)
        } else {
            u32::from_le_bytes(*four)
        }
    };
    let letters: Vec<u32> = letters.iter().map(letter).collect();
    let end = letters.iter().rposition(|letter| *letter != 0);
    let letters = &letters[..end.map_or(0, |end| end + 1)];
    letters
        .iter()
        .map(|letter| char::from_u32(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens an archive with the array `images`, whose header states `descr` and `shape`.
    fn npz(descr: &str, shape: &[u64], bytes: &[u8], is_compressed: bool) -> ArrayFiles {
        use std::io::{Seek as _, Write as _};
        let method = if is_compressed {
            zip::CompressionMethod::Deflated
        } else {
            zip::CompressionMethod::Stored
        };
        let header = Header {
            descr: descr.to_owned(),
            is_fortran: false,
            shape: shape.to_vec(),
        };
        let mut writer = zip::ZipWriter::new(tempfile::tempfile().unwrap());
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file("images.npy", options).unwrap();
        writer.write_all(&header.to_bytes()).unwrap();
        writer.write_all(bytes).unwrap();
        let mut file = writer.finish().unwrap();
        file.rewind().unwrap();
        ArrayFiles::npz(Path::new("outputs.npz"), file).unwrap()
    }

    #[test]
    fn no_memory_is_taken_for_bytes_that_a_header_claims() {
        let texts = |descr: &str, shape: &[u64]| {
            let mut arrays = npz(descr, shape, b"", false);
            let array = arrays.array("images").unwrap();
            array.texts(10).map_err(|error| format!("{error:#}"))
        };
        for width in ["65537", "99999999999999", "2305843009213693952"] {
            for shape in [&[][..], &[0], &[1]] {
                let error = texts(&format!("<U{width}"), shape).unwrap_err();
                let expected = format!("too large: its type <U{width} has more than 65536 char");
                assert!(error.contains(&expected), "{error}");
            }
        }
        assert_eq!(texts("<U65536", &[0]), Ok(Vec::new()));
        let error = texts("<U65536", &[1]).unwrap_err();
        assert!(error.contains("fewer bytes than its shape"), "{error}");
        // The bytes of no rows are none, whatever the number of columns.
        for columns in [0, 1 << 40, u64::MAX] {
            let mut arrays = npz("<f4", &[0, columns], b"", false);
            let array = arrays.array("images").unwrap();
            assert_eq!(array.rows(1 << 30, |_, _| Ok(())).unwrap(), "f32");
        }
        let mut arrays = npz("<f8", &[1, 1 << 40], &[0; 64], false);
        let array = arrays.array("images").unwrap();
        let error = array.rows(u64::MAX, |_, _| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("fewer bytes"), "{error:#}");
    }

    #[test]
    fn texts_that_are_compressed_more_than_real_ones_are_rejected() {
        const WIDTH: u64 = 4 << 16;
        let texts = |count: u64| {
            let zeros = vec![0; (count * WIDTH) as usize];
            let mut arrays = npz("<U65536", &[count], &zeros, true);
            let texts = arrays.array("images").unwrap().texts(count);
            texts.map_err(|error| format!("{error:#}"))
        };
        // A list of short names with a long one.
        assert_eq!(texts(4), Ok(vec![String::new(); 4]));
        let error = texts(FREE / WIDTH + 1).unwrap_err();
        assert!(
            error.contains("to 256.3 MiB, more than 200 times"),
            "{error}"
        );
    }

    #[test]
    fn numbers_have_one_value_in_both_orders() {
        for (number, little) in [
            (Number::F16, &f16::from_f32(1.5).to_le_bytes()[..]),
            (Number::F32, &1.5_f32.to_le_bytes()),
            (Number::F64, &1.5_f64.to_le_bytes()),
        ] {
            assert_eq!(number.value(little, false), 1.5);
            let big: Vec<u8> = little.iter().rev().copied().collect();
            assert_eq!(number.value(&big, true), 1.5);
        }
    }

    #[test]
    fn padding_is_no_part_of_a_text() {
        let bytes = |text: &[u32]| -> Vec<u8> {
            text.iter()
                .flat_map(|letter| letter.to_le_bytes())
                .collect()
        };
        let (a, b) = (u32::from('a'), u32::from('b'));
        assert_eq!(decode(&bytes(&[a, b, 0, 0]), false).as_deref(), Some("ab"));
        assert_eq!(decode(&bytes(&[a, 0, b]), false).as_deref(), Some("a\0b"));
        assert_eq!(decode(&bytes(&[0, 0]), false).as_deref(), Some(""));
        assert_eq!(decode(&bytes(&[0xd800]), false), None);
        assert_eq!(decode(&a.to_be_bytes(), true).as_deref(), Some("a"));
    }
}
