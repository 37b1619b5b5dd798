//! The parent's end of one infer request in the child.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use backend_api::{Error, ErrorKind, InferOutput, Tensor};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

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
    memory: File,
    /// The size of the memory. Pages take memory when they are first written.
    bytes: u64,
}

impl Channel {
    /// Makes a channel and gives its other end to the child behind `control`.
    ///
    /// The size of the memory is sealed, so that the child cannot let it grow.
    pub fn open(control: &UnixStream, bytes: u64) -> io::Result<Self> {
        let memory = memfd_create(
            "engine-isolation",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        let memory = File::from(memory);
        memory.set_len(bytes)?;
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals)?;
        let (socket, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        let descriptors = [theirs.as_fd(), memory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let data = [IoSlice::new(&[0])];
        sendmsg(control, &data, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(Self {
            socket,
            memory,
            bytes,
        })
    }

    /// Runs one request in the child. `names` are those of the outputs after the first one.
    pub fn infer(
        &mut self,
        input: &Tensor,
        names: &[String],
        timeout: Duration,
    ) -> Result<Result<InferOutput, Error>, Fault> {
        let needed = input.as_bytes().len() as u64;
        if needed > self.bytes {
            let message = format!(
                "the input has {needed} bytes, but an isolated engine takes {}",
                self.bytes
            );
            return Ok(Err(Error::new(ErrorKind::InputMismatch, message)
                .with_hint("raise `Isolation::tensor_bytes`")));
        }
        if let Err(error) = self.memory.write_all_at(input.as_bytes(), 0) {
            let message = "cannot write the input into the memory of the isolated engine";
            return Ok(Err(
                Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
            ));
        }
        let fault = |error: io::Error| Fault::new(&error, timeout);
        let mut until = Until::new(&self.socket, timeout);
        protocol::send(&self.socket, &Shape::of(input)).map_err(fault)?;
        let shapes = match protocol::receive(&mut until, MOST_OF_REPLY).map_err(fault)? {
            Reply::Failed(error) => return Ok(Err(error)),
            Reply::Done(shapes) => shapes,
        };
        let tensors = self.outputs(&shapes, names.len() + 1)?;
        Ok(InferOutput::with_extra(names, tensors))
    }

    /// Reads `count` outputs from the memory.
    fn outputs(&self, shapes: &[Shape], count: usize) -> Result<Vec<Tensor>, Fault> {
        let invalid = |message: String| Err(Fault::Invalid(message));
        if shapes.len() != count {
            return invalid(format!("{} outputs instead of {count}", shapes.len()));
        }
        let total = shapes
            .iter()
            .try_fold(0_u64, |total, shape| total.checked_add(shape.bytes()?));
        // Before anything is allocated.
        if total.is_none_or(|total| total > self.bytes) {
            return invalid(format!("outputs of more than {} bytes", self.bytes));
        }
        let mut place = 0;
        let mut tensors = Vec::with_capacity(count);
        for shape in shapes {
            let tensor = Tensor::zeros(shape.element_type, shape.sizes.clone());
            let mut tensor = tensor.map_err(|error| Fault::Invalid(error.to_string()))?;
            let bytes = tensor.as_bytes_mut();
            let read = self.memory.read_exact_at(bytes, place);
            read.map_err(|error| Fault::Invalid(format!("its outputs cannot be read: {error}")))?;
            place += bytes.len() as u64;
            tensors.push(tensor);
        }
        Ok(tensors)
    }
}
