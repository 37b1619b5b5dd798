//! Lines of stdin, read by a thread of their own, so that results do not wait for the end of the input.

use std::io::{self, BufRead, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use futures_channel::mpsc::{self, Receiver, Sender};
use futures_executor::block_on;
use futures_util::future::poll_fn;
use image_classification::{MemoryBudget, Reservation};

use crate::errors::Hinted;

/// The most bytes of a line: the base64 of an RGB image of 7680 x 4320 fits.
pub const MOST_LINE_BYTES: usize = 128 << 20;
/// The most bytes of lines that are read and not answered yet.
const MOST_BYTES_IN_FLIGHT: u64 = 2 * MOST_LINE_BYTES as u64;
/// The memory of a line in addition to its bytes, in bytes: an upper bound.
const LINE_OVERHEAD: u64 = 1 << 10;
/// The lines that may be read before somebody takes them. If the reader had to wait for each, two threads would be woken for
/// every line.
pub const WAITING: usize = 16;
/// Bytes that are asked of the system at a time.
const READ_BYTES: usize = 64 << 10;
/// The largest buffer that is kept for the next line.
const KEPT_BYTES: usize = 8 << 20;

/// A line of the input.
#[derive(Debug)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// The bytes without the end of the line; `None` if there are more than [`MOST_LINE_BYTES`].
    pub bytes: Option<&'a [u8]>,
    /// The memory of the line, to be held until it is answered.
    pub memory: Reservation,
}

/// The way in which lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// LF or CRLF.
    Lines,
    /// NUL, as `find -print0` writes it.
    Nul,
}

/// The state of the reader, for the time after the stream of lines.
#[derive(Debug, Clone, Default)]
pub struct Reader(Arc<Mutex<Option<anyhow::Result<u64>>>>);

impl Reader {
    /// Returns the number of lines if the input is at its end.
    ///
    /// # Errors
    ///
    /// If the input could not be read to its end. The error is returned once.
    pub fn end(&self) -> anyhow::Result<Option<u64>> {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *end {
            Some(Ok(lines)) => Ok(Some(lines)),
            _ => end.take().transpose(),
        }
    }
}

/// Reads lines on a thread. `ends` decides from the first bytes how lines end. `parse` makes of each what the stream
/// gives; `waiting` is the number of lines that are read before somebody takes them. An error of either is the end of the
/// input.
///
/// The thread reads on only when lines are taken and their memory is returned. It is never waited for: a read of a pipe
/// cannot be cut short.
///
/// # Errors
///
/// If the system gives no thread.
pub fn read<T, R>(
    source: R,
    waiting: usize,
    ends: impl FnOnce(&[u8]) -> anyhow::Result<Ends> + Send + 'static,
    mut parse: impl FnMut(Line<'_>) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<(Receiver<T>, Reader)>
where
    T: Send + 'static,
    R: io::Read + Send + 'static,
{
    let (mut sender, receiver): (_, Receiver<T>) = mpsc::channel(waiting);
    let reader = Reader::default();
    let end = Arc::clone(&reader.0);
    let work = move || {
        let send = || send_all(source, &mut sender, ends, &mut parse);
        let lines = catch_unwind(AssertUnwindSafe(send))
            .unwrap_or_else(|_| Err(anyhow!("the thread that reads stdin panicked")));
        // Before the sender is dropped, which ends the stream.
        *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(work).map_err(|error| {
        let error = format!("cannot start the thread that reads stdin: {error}");
        Hinted::new(error, "raise the limit on threads (`ulimit -u`)")
    })?;
    Ok((receiver, reader))
}

/// Sends all lines. Returns their number. Ends early when nobody takes them any more.
fn send_all<T>(
    source: impl io::Read,
    sender: &mut Sender<T>,
    ends: impl FnOnce(&[u8]) -> anyhow::Result<Ends>,
    parse: &mut impl FnMut(Line<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<u64> {
    let budget = MemoryBudget::new(MOST_BYTES_IN_FLIGHT);
    let mut source = io::BufReader::with_capacity(READ_BYTES, source);
    let mut buffer = Vec::new();
    let mut lines = 0;
    let ends = ends(source.fill_buf().map_err(of_stdin)?)?;
    while let Some(is_whole) = read_line(&mut source, ends, &mut buffer).map_err(of_stdin)? {
        lines += 1;
        let memory = budget.reserve(buffer.len() as u64 + LINE_OVERHEAD)?;
        let line = parse(Line {
            number: lines,
            bytes: is_whole.then_some(&*buffer),
            memory,
        })?;
        if block_on(poll_fn(|context| sender.poll_ready(context))).is_err()
            || sender.start_send(line).is_err()
        {
            break;
        }
        if buffer.capacity() > KEPT_BYTES {
            buffer = Vec::new();
        }
    }
    Ok(lines)
}

fn of_stdin(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("cannot read stdin")
}

/// Reads a line without its end into `line`. Returns whether it is whole: of a line with more than [`MOST_LINE_BYTES`]
/// nothing is kept. `None` is the end of the input.
pub fn read_line(
    source: &mut impl BufRead,
    ends: Ends,
    line: &mut Vec<u8>,
) -> io::Result<Option<bool>> {
    line.clear();
    let end = match ends {
        Ends::Lines => b'\n',
        Ends::Nul => 0,
    };
    let most = MOST_LINE_BYTES as u64 + 1;
    if source.by_ref().take(most).read_until(end, line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&end) {
        line.pop();
        if ends == Ends::Lines && line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > MOST_LINE_BYTES {
        line.clear();
        source.skip_until(end)?;
        return Ok(Some(false));
    }
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on_stream;

    use super::*;

    fn lines(source: impl io::Read + Send + 'static) -> (Vec<(u64, Option<Vec<u8>>)>, Reader) {
        let parse = |line: Line<'_>| Ok((line.number, line.bytes.map(<[u8]>::to_vec)));
        let (lines, reader) = read(source, 0, |_| Ok(Ends::Lines), parse).unwrap();
        (block_on_stream(lines).collect(), reader)
    }

    #[test]
    fn a_line_that_is_too_long_takes_no_other_with_it() {
        let longest = vec![b'a'; MOST_LINE_BYTES];
        let long = vec![b'b'; MOST_LINE_BYTES + 1];
        let source = [&longest[..], b"\n", &long, b"\r\n\nlast"].concat();
        let (lines, reader) = lines(io::Cursor::new(source));
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].1.as_ref().unwrap().len(), MOST_LINE_BYTES);
        assert_eq!(lines[1], (2, None));
        assert_eq!(lines[2], (3, Some(Vec::new())));
        assert_eq!(lines[3], (4, Some(b"last".to_vec())));
        assert_eq!(reader.end().unwrap(), Some(4));
    }

    #[test]
    fn lines_are_read_only_as_far_as_they_are_taken() {
        use std::sync::atomic::{AtomicU64, Ordering};

        struct Endless(Arc<AtomicU64>);
        impl io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'\n');
                self.0.fetch_add(buffer.len() as u64, Ordering::SeqCst);
                Ok(buffer.len())
            }
        }
        let bytes = Arc::new(AtomicU64::new(0));
        let parse = |line: Line<'_>| Ok(line.number);
        let source = Endless(Arc::clone(&bytes));
        let (lines, _) = read(source, 3, |_| Ok(Ends::Lines), parse).unwrap();
        let taken: Vec<u64> = block_on_stream(lines).take(100_000).collect();
        assert!(taken.iter().copied().eq(1..=100_000));
        assert!(bytes.load(Ordering::SeqCst) < 300_000, "{bytes:?}");
    }

    #[test]
    fn an_error_of_the_input_is_not_its_end() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("planned"))
            }
        }
        let (lines, reader) = lines(Broken);
        assert!(lines.is_empty());
        let error = format!("{:#}", reader.end().unwrap_err());
        assert_eq!(error, "cannot read stdin: planned");
    }
}
