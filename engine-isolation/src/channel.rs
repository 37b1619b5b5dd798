//! The parent's end of one infer request in the child.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use backend_api::{Error, ErrorKind, InferOutput, Tensor};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::memory::SharedMemory;
use crate::protocol::{self, MOST_OF_REPLY, Reply, Shape, Until};

/// A fault for which the child is killed.
#[derive(Debug)]
pub enum Fault {
    /// It ended, or it closed its end.
    Closed,
    /// It did not answer in time.
    Late(Duration),
    /// It sent an invalid message.
    Invalid(String),
}

impl Fault {
    pub fn new(error: &io::Error, timeout: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Late(timeout),
            io::ErrorKind::InvalidData => Self::Invalid(error.to_string()),
            _ => Self::Closed,
        }
    }
}

/// A socket, and memory that both processes have.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    memory: SharedMemory,
}

impl Channel {
    /// Makes a channel with a memory of `bytes`, and gives its other end to the child behind `control`. A request is an error
    /// if the child takes longer than `timeout` to read it.
    pub fn open(control: &UnixStream, bytes: u64, timeout: Duration) -> io::Result<Self> {
        let memory = SharedMemory::new(bytes)?;
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_write_timeout(Some(timeout))?;
        let theirs = OwnedFd::from(theirs);
        let descriptors = [theirs.as_fd(), memory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let data = [IoSlice::new(&[0])];
        sendmsg(control, &data, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(Self { socket, memory })
    }

    /// Runs one request in the child. `names` are those of the outputs after the first one.
    pub fn infer(
        &mut self,
        input: &Tensor,
        names: &[String],
        timeout: Duration,
    ) -> Result<Result<InferOutput, Error>, Fault> {
        let needed = input.as_bytes().len();
        let most = self.memory.bytes();
        if needed > most {
            let message =
                format!("the input has {needed} bytes, but an isolated engine takes {most}");
            return Ok(Err(Error::new(ErrorKind::InputMismatch, message)
                .with_hint("raise `Isolation::tensor_bytes`")));
        }
        if let Err(error) = self.memory.write(0, input.as_bytes()) {
            let message = "cannot write the input into the memory of the isolated engine";
            return Ok(Err(
                Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
            ));
        }
        let fault = |error: io::Error| Fault::new(&error, timeout);
        let mut until = Until::new(&self.socket, timeout);
        protocol::send(&self.socket, &Shape::of(input)).map_err(fault)?;
        let outputs = match protocol::receive(&mut until, MOST_OF_REPLY).map_err(fault)? {
            Reply::Failed(error) => Err(error),
            Reply::Done(shapes) => {
                self.check(&shapes, names.len() + 1)?;
                self.outputs(&shapes)
            }
        };
        self.memory.shrink(true);
        Ok(outputs.and_then(|tensors| InferOutput::with_extra(names, tensors)))
    }

    /// Checks that these are `count` outputs within the memory, before anything is allocated.
    fn check(&self, shapes: &[Shape], count: usize) -> Result<(), Fault> {
        let invalid = |message: String| Err(Fault::Invalid(message));
        if shapes.len() != count {
            return invalid(format!("{} outputs instead of {count}", shapes.len()));
        }
        let total = shapes
            .iter()
            .try_fold(0_u64, |total, shape| total.checked_add(shape.bytes()?));
        let most = self.memory.bytes();
        if total.is_none_or(|total| total > most as u64) {
            return invalid(format!("outputs of more than {most} bytes"));
        }
        Ok(())
    }

    /// Reads the outputs from the memory.
    fn outputs(&mut self, shapes: &[Shape]) -> Result<Vec<Tensor>, Error> {
        let mut place = 0;
        let mut read = |shape: &Shape| {
            let mut tensor = Tensor::zeros(shape.element_type, shape.sizes.clone())?;
            let bytes = tensor.as_bytes_mut();
            self.memory.read(place, bytes).map_err(|error| {
                let message = "cannot read the outputs from the memory of the isolated engine";
                Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
            })?;
            place += bytes.len();
            Ok(tensor)
        };
        shapes.iter().map(&mut read).collect()
    }
}
