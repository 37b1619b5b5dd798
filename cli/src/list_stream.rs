//! A list of images on stdin, which are classified while it is read.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures_channel::mpsc::Receiver;
use futures_executor::block_on;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::errors::Hinted;
use crate::inputs::{Input, Inputs, check_list, path_from_bytes};
use crate::lines::{self, Ends, Line, MOST_LINE_BYTES, Reader};

/// A list whose first images are known.
#[derive(Debug)]
pub struct ListStream {
    first: Vec<Input>,
    rest: Receiver<Vec<Input>>,
    /// The state of the list, for the time after its images.
    pub state: ListState,
}

/// The state of a list that is being read.
#[derive(Debug, Clone)]
pub struct ListState {
    reader: Reader,
    found: Arc<Mutex<Found>>,
}

/// The images that were found, and what was left out.
#[derive(Debug, Default)]
struct Found {
    inputs: Inputs,
    count: usize,
}

impl ListStream {
    /// Starts to read the list, and waits for its first image.
    ///
    /// # Errors
    ///
    /// If the list cannot be read or is empty, or if its only entry is unusable.
    pub fn open(recursive: bool) -> anyhow::Result<Self> {
        let found = Arc::new(Mutex::new(Found::default()));
        let state = Arc::clone(&found);
        let parse = move |line: Line<'_>| entries(&line, &mut lock(&state), recursive);
        let (mut rest, reader) = lines::read(io::stdin(), lines::WAITING, ends, parse)?;
        let state = ListState { reader, found };
        let mut first: Vec<Input> = Vec::new();
        // Where nothing can be classified, no engine is loaded.
        while let []
        | [
            Input {
                problem: Some(_), ..
            },
        ] = &first[..]
        {
            let Some(inputs) = block_on(rest.next()) else {
                state.count()?;
                Inputs::check(&mut first)?;
                break;
            };
            first.extend(inputs);
        }
        Ok(Self { first, rest, state })
    }

    /// Returns the images in the order of the list.
    pub fn into_inputs(self) -> impl Stream<Item = Input> {
        stream::iter(self.first).chain(self.rest.flat_map(stream::iter))
    }
}

impl ListState {
    /// Returns the number of all images if the list is at its end.
    ///
    /// # Errors
    ///
    /// If the list could not be read to its end.
    pub fn count(&self) -> anyhow::Result<Option<usize>> {
        let end = self.reader.end().context("cannot read the list on stdin")?;
        Ok(end.map(|_| lock(&self.found).count))
    }

    /// Entries of directories that were skipped, as [`Inputs::skipped`].
    pub fn skipped(&self, briefly: bool) -> Option<String> {
        lock(&self.found).inputs.skipped(briefly)
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries of a list end in NUL if its first bytes have one.
pub fn ends(head: &[u8]) -> anyhow::Result<Ends> {
    check_list(head)?;
    Ok(if head.contains(&0) {
        Ends::Nul
    } else {
        Ends::Lines
    })
}

/// Returns the path of a line, counted from 1. It is `None` for an empty line. `bytes` are `None` for a line that is too
/// long.
pub fn path_of(number: u64, bytes: Option<&[u8]>) -> anyhow::Result<Option<&[u8]>> {
    let bytes = bytes.ok_or_else(|| {
        let error = format!("entry {number} of the list has more than {MOST_LINE_BYTES} bytes");
        Hinted::new(error, "give one path a line")
    })?;
    let bytes = match number {
        1 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
        _ => bytes,
    };
    if bytes.contains(&0) {
        let error = format!("entry {number} of the list has a NUL, and others end in line breaks");
        return Err(Hinted::new(error, "end all entries in NUL, or none").into());
    }
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// Returns the images of an entry.
fn entries(line: &Line<'_>, found: &mut Found, recursive: bool) -> anyhow::Result<Vec<Input>> {
    let Some(bytes) = path_of(line.number, line.bytes)? else {
        return Ok(Vec::new());
    };
    let inputs = found.inputs.take(&path_from_bytes(bytes)?, recursive);
    found.count += inputs.len();
    Ok(inputs)
}
