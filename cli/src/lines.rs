//! Lines of stdin, read by a thread of their own, so that results do not wait for the end of the input.

use std::io::{self, BufRead, Read as _};
use std::sync::{Arc, OnceLock};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_executor::block_on;
use futures_util::future::poll_fn;
use image_classification::{MemoryBudget, Reservation};

use crate::errors::Hinted;

/// The most bytes of a line: the base64 of an RGB image of 7680 x 4320 fits.
pub const MOST_LINE_BYTES: usize = 128 << 20;
/// The most bytes of lines that are read and not answered yet.
const MOST_BYTES_IN_FLIGHT: u64 = 2 * MOST_LINE_BYTES as u64;
/// What a short line takes besides its bytes, as an upper bound.
const LINE_OVERHEAD: u64 = 1 << 10;
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

/// The end of the input.
#[derive(Debug)]
struct End {
    lines: u64,
    error: Option<io::Error>,
}

/// The state of the reader, for the time after the stream of lines.
#[derive(Debug, Clone, Default)]
pub struct Reader(Arc<OnceLock<End>>);

impl Reader {
    /// Returns whether the input is at its end and had no more than `done` lines.
    ///
    /// # Errors
    ///
    /// If the input could not be read to its end.
    pub fn is_done(&self, done: u64) -> anyhow::Result<bool> {
        match self.0.get() {
            Some(End {
                error: Some(error), ..
            }) => {
                let error = io::Error::new(error.kind(), format!("cannot read stdin: {error}"));
                Err(error.into())
            }
            Some(End { lines, error: None }) => Ok(done >= *lines),
            None => Ok(false),
        }
    }
}

/// Reads lines on a thread. `parse` makes of each what the stream gives; `waiting` is the number of lines that are read
/// before somebody takes them.
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
    parse: impl FnMut(Line<'_>) -> T + Send + 'static,
) -> anyhow::Result<(Receiver<T>, Reader)>
where
    T: Send + 'static,
    R: io::Read + Send + 'static,
{
    let (mut sender, receiver): (_, Receiver<T>) = mpsc::channel(waiting);
    let reader = Reader::default();
    let end = Arc::clone(&reader.0);
    let work = move || {
        let mut lines = 0;
        let error = send_all(source, &mut sender, parse, &mut lines).err();
        // Before the sender is dropped, which ends the stream.
        let _ = end.set(End { lines, error });
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(work).map_err(|error| {
        let error = format!("cannot start the thread that reads stdin: {error}");
        Hinted::new(error, "raise the limit on threads (`ulimit -u`)")
    })?;
    Ok((receiver, reader))
}

/// Sends all lines, and counts them. Ends early when nobody takes them any more.
fn send_all<T>(
    source: impl io::Read,
    sender: &mut Sender<T>,
    mut parse: impl FnMut(Line<'_>) -> T,
    lines: &mut u64,
) -> io::Result<()> {
    let budget = MemoryBudget::new(MOST_BYTES_IN_FLIGHT);
    let mut source = io::BufReader::new(source);
    let mut buffer = Vec::new();
    while let Some(is_whole) = read_line(&mut source, &mut buffer)? {
        *lines += 1;
        let needed = buffer.len() as u64 + LINE_OVERHEAD;
        let memory = budget.reserve(needed).map_err(io::Error::other)?;
        let line = parse(Line {
            number: *lines,
            bytes: is_whole.then_some(&*buffer),
            memory,
        });
        if block_on(poll_fn(|context| sender.poll_ready(context))).is_err()
            || sender.start_send(line).is_err()
        {
            break;
        }
        if buffer.capacity() > KEPT_BYTES {
            buffer = Vec::new();
        }
    }
    Ok(())
}

/// Reads a line without its end into `line`. Returns whether it is whole: of a line with more than [`MOST_LINE_BYTES`]
/// nothing is kept. `None` is the end of the input.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let most = MOST_LINE_BYTES as u64 + 1;
    if source.by_ref().take(most).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > MOST_LINE_BYTES {
        line.clear();
        source.skip_until(b'\n')?;
        return Ok(Some(false));
    }
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on_stream;

    use super::*;

    fn lines(source: impl io::Read + Send + 'static) -> (Vec<(u64, Option<Vec<u8>>)>, Reader) {
        let parse = |line: Line<'_>| (line.number, line.bytes.map(<[u8]>::to_vec));
        let (lines, reader) = read(source, 0, parse).unwrap();
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
        assert!(reader.is_done(4).unwrap() && !reader.is_done(3).unwrap());
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
        let parse = |line: Line<'_>| line.number;
        let (lines, _) = read(Endless(Arc::clone(&bytes)), 3, parse).unwrap();
        let taken: Vec<u64> = block_on_stream(lines).take(100_000).collect();
        assert!(taken.iter().copied().eq(1..=100_000));
        assert!(bytes.load(Ordering::SeqCst) < 200_000, "{bytes:?}");
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
        let error = reader.is_done(0).unwrap_err().to_string();
        assert_eq!(error, "cannot read stdin: planned");
    }
}
