//! The messages between the two processes.
//!
//! The child's stdin is a socket. The parent sends [`Start`], the child answers with two [`Progress`], and the parent
//! sends the descriptors of one channel for each infer request: a socket and a memory file. On a channel the parent
//! writes the tensor into the memory file and sends its [`Shape`]; the child reads the tensor, writes the outputs into
//! the same file, and sends a [`Reply`].
//!
//! A message is a length of four bytes and that many bytes of JSON. The parent does not trust the child: it
//! reads a limited number of bytes, and stops at a deadline.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use backend_api::{BackendInfo, ElementType, Error, Tensor};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most infer requests of a child.
pub const MOST_SLOTS: usize = 1024;
/// The most bytes of a description of a backend, or of an error.
pub const MOST_OF_PROGRESS: usize = 16 << 20;
/// The most bytes of a reply.
pub const MOST_OF_REPLY: usize = 1 << 20;

/// The first message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    pub readable: Vec<OsString>,
    /// True if the work loads libraries from the directories of the loader.
    pub loads_libraries: bool,
    pub memory: Option<u64>,
    /// Seconds.
    pub cpu_time: Option<u64>,
    pub tensor_bytes: u64,
    /// The configuration of the caller.
    pub config: serde_json::Value,
}

/// The enforced restrictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// `None` where the kernel has no Landlock; otherwise true if it has all of the restrictions that are wanted.
    pub landlock: Option<bool>,
    pub seccomp: bool,
}

/// The messages of the child while it opens the engine.
#[derive(Debug, Serialize, Deserialize)]
pub enum Progress {
    Confined(Confinement),
    Opened(Box<BackendInfo>),
    Failed(Error),
}

/// The type and the sizes of a tensor in the memory file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shape {
    pub element_type: ElementType,
    pub sizes: Vec<usize>,
}

impl Shape {
    pub fn of(tensor: &Tensor) -> Self {
        Self {
            element_type: tensor.element_type(),
            sizes: tensor.shape().to_vec(),
        }
    }

    /// Returns the number of bytes, if it can be expressed.
    pub fn bytes(&self) -> Option<u64> {
        let element = self.element_type.size() as u64;
        let mut sizes = self.sizes.iter();
        sizes.try_fold(element, |bytes, size| bytes.checked_mul(*size as u64))
    }
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The outputs, one after the other in the memory file.
    Done(Vec<Shape>),
    Failed(Error),
}

/// Sends one message.
pub fn send(mut stream: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&frame)
}

/// Receives one message of at most `most` bytes.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] for another message than the expected one.
pub fn receive<T: DeserializeOwned>(mut stream: impl Read, most: usize) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        let message = format!("a message of {length} bytes, where {most} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads from a stream until a moment.
pub struct Until<'a> {
    stream: &'a UnixStream,
    /// `None` for a moment that the clock cannot express.
    end: Option<Instant>,
}

impl<'a> Until<'a> {
    pub fn new(stream: &'a UnixStream, timeout: Duration) -> Self {
        let end = Instant::now().checked_add(timeout);
        Self { stream, end }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(end) = self.end {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                // This process may have been stopped: what waits here came in time.
                let waits = recv(self.stream, buffer, RecvFlags::DONTWAIT);
                return waits.map(|(count, _)| count).map_err(|error| match error {
                    Errno::AGAIN => io::ErrorKind::TimedOut.into(),
                    other => other.into(),
                });
            }
            self.stream.set_read_timeout(Some(rest))?;
        }
        let mut stream = self.stream;
        match stream.read(buffer) {
            // A timeout of the socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_received_as_it_was_sent() {
        let mut bytes = Vec::new();
        let shape = Shape {
            element_type: ElementType::F16,
            sizes: vec![2, 3],
        };
        send(&mut bytes, &shape).unwrap();
        let received: Shape = receive(&*bytes, 100).unwrap();
        assert_eq!(received.sizes, [2, 3]);
        assert_eq!(received.bytes(), Some(12));
    }

    #[test]
    fn a_length_beyond_the_bound_is_not_allocated() {
        let error = receive::<Shape>(&[255_u8; 8][..], 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_size_that_overflows_has_no_bytes() {
        let shape = Shape {
            element_type: ElementType::F32,
            sizes: vec![usize::MAX, 2],
        };
        assert_eq!(shape.bytes(), None);
    }

    #[test]
    fn what_came_in_time_is_read_afterwards() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[1, 2]).unwrap();
        let mut until = Until::new(&ours, Duration::ZERO);
        let mut bytes = [0; 2];
        until.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);
        let error = until.read_exact(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        assert_eq!(until.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn a_slow_sender_does_not_move_the_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs_clone = theirs.try_clone().unwrap();
        let mut until = Until::new(&ours, Duration::from_millis(50));
        theirs_clone.write_all(&[0; 2]).unwrap();
        let error = until.read_exact(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Later reads do not wait.
        let error = until.read_exact(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
