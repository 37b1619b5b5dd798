//! The child: confines itself, opens the engine, and runs requests.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Sender};
use std::thread;

use backend_api::{
    BlockingInfer as _, ElementType, Error, ErrorKind, InferBackend, InferRequest, Tensor,
    panic_message,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Signal, getpid, kill_process};
use serde::de::DeserializeOwned;

use crate::config::MORE_PROCESSES;
use crate::memory::SharedMemory;
use crate::protocol::{self, Progress, Reply, Shape, Start};
use crate::sandbox;

/// The last of the standard streams.
const STDERR: RawFd = 2;
/// The parent is trusted: no bound.
const ANY: usize = usize::MAX;

/// The socket and the memory of one infer request.
type Descriptors = (UnixStream, SharedMemory);

/// Runs the engine until the parent ends this process. Returns if it cannot be opened.
pub fn run<C: DeserializeOwned>(open: impl FnOnce(C) -> Result<Box<dyn InferBackend>, Error>) {
    // The parent quotes the end of stderr, and knows from the exit code that this is no regular end.
    serve(open).unwrap_or_else(|error| panic!("{error}"));
}

fn serve<C: DeserializeOwned>(
    open: impl FnOnce(C) -> Result<Box<dyn InferBackend>, Error>,
) -> io::Result<()> {
    close_inherited()?;
    // The parent decides when this process ends. A write beyond the limits is an error, and not the end.
    for signal in [
        signal_hook::consts::SIGXFSZ,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let start: Start = protocol::receive(&control, ANY)?;
    let failed = |error: Error| protocol::send(&control, &Progress::Failed(error));
    let confinement = match sandbox::confine(&start) {
        Ok(confinement) => confinement,
        Err(error) => return failed(error),
    };
    protocol::send(&control, &Progress::Confined(confinement))?;
    let (sender, channels) = mpsc::channel();
    let parent = control.try_clone()?;
    let watch = thread::Builder::new()
        .name("isolation".to_owned())
        .spawn(move || watch(&parent, &sender));
    if let Err(source) = watch {
        return failed(no_thread(source));
    }
    let backend = match opened(open, start.config) {
        Ok(backend) => backend,
        Err(error) => return failed(error),
    };
    let backend: Arc<dyn InferBackend> = Arc::from(backend);
    let info = Box::new(backend.info().clone());
    protocol::send(&control, &Progress::Opened(info))?;
    for (socket, mut memory) in channels {
        let backend = Arc::clone(&backend);
        thread::Builder::new()
            .name("isolation-infer".to_owned())
            .spawn(move || answer(&*backend, &socket, &mut memory))
            .map_err(|source| io::Error::other(format!("cannot start a thread: {source}")))?;
    }
    Ok(())
}

/// Closes all descriptors but the standard streams. Whoever started the program may have left files and sockets open,
/// which no restriction covers.
///
/// # Errors
///
/// If the system does not tell which there are: `/proc` is not mounted.
fn close_inherited() -> io::Result<()> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number > STDERR) {
        // The directory's own is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

fn no_thread(source: io::Error) -> Error {
    let message = "the process of the isolated engine cannot start a thread";
    Error::new(ErrorKind::ResourceExhausted, message)
        .with_source(source)
        .with_hint(MORE_PROCESSES)
}

fn opened<C: DeserializeOwned>(
    open: impl FnOnce(C) -> Result<Box<dyn InferBackend>, Error>,
    config: serde_json::Value,
) -> Result<Box<dyn InferBackend>, Error> {
    let config = serde_json::from_value(config).map_err(|source| {
        let message = "the process of the engine cannot read its configuration";
        Error::new(ErrorKind::InvalidConfig, message).with_source(source)
    })?;
    catch_unwind(AssertUnwindSafe(|| open(config))).unwrap_or_else(|panic| {
        let message = format!(
            "the engine panicked while it was opened: {}",
            panic_message(panic.as_ref())
        );
        Err(Error::new(ErrorKind::Panicked, message))
    })
}

/// Takes the channels from the parent, and ends this process with it. An engine that hangs does not keep it alive.
fn watch(control: &UnixStream, channels: &Sender<Descriptors>) {
    while let Ok(descriptors) = receive_channel(control) {
        if channels.send(descriptors).is_err() {
            break;
        }
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

fn receive_channel(control: &UnixStream) -> io::Result<Descriptors> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut data = [0];
    let mut data = [IoSliceMut::new(&mut data)];
    rustix::io::retry_on_intr(|| {
        recvmsg(control, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    let mut descriptors = descriptors.into_iter();
    match (descriptors.next(), descriptors.next()) {
        (Some(socket), Some(memory)) => Ok((socket.into(), File::from(memory).try_into()?)),
        // The parent has ended.
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Answers the requests of one channel.
fn answer(backend: &dyn InferBackend, socket: &UnixStream, memory: &mut SharedMemory) {
    let mut spare = None;
    while let Ok(shape) = protocol::receive::<Shape>(socket, ANY) {
        let result = infer(backend, &shape, memory, &mut spare);
        memory.shrink(false);
        let reply = result.map_or_else(Reply::Failed, Reply::Done);
        if protocol::send(socket, &reply).is_err() {
            return;
        }
    }
}

/// Runs the tensor in `memory` and writes the outputs there. `spare` is the memory of the last input.
fn infer(
    backend: &dyn InferBackend,
    shape: &Shape,
    memory: &mut SharedMemory,
    spare: &mut Option<Arc<Tensor>>,
) -> Result<Vec<Shape>, Error> {
    let input = Arc::new(read(shape, memory, spare.take())?);
    let output = backend
        .submit_blocking(InferRequest::new(0, Arc::clone(&input)))?
        .wait();
    *spare = Some(input);
    let output = output?;
    let mut place = 0;
    let mut shapes = Vec::with_capacity(1 + output.extra.len());
    let extra = output.extra.iter().map(|extra| &extra.tensor);
    for tensor in std::iter::once(&output.tensor).chain(extra) {
        let written = memory.write(place, tensor.as_bytes());
        written.map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::StorageFull => "raise `Isolation::tensor_bytes`",
                _ => "raise `Isolation::memory`",
            };
            let message = "the outputs do not fit into the memory of the isolated engine";
            Error::new(ErrorKind::InferenceFailed, message)
                .with_hint(hint)
                .with_source(source)
        })?;
        place += tensor.as_bytes().len();
        shapes.push(Shape::of(tensor));
    }
    Ok(shapes)
}

/// Reads the input, into `spare` if that has its shape.
fn read(
    shape: &Shape,
    memory: &mut SharedMemory,
    spare: Option<Arc<Tensor>>,
) -> Result<Tensor, Error> {
    let is_alike = |tensor: &Tensor| {
        let element_type: ElementType = tensor.element_type();
        element_type == shape.element_type && tensor.shape() == shape.sizes
    };
    let spare = spare.and_then(Arc::into_inner).filter(is_alike);
    let mut tensor = match spare {
        Some(tensor) => tensor,
        None => Tensor::zeros(shape.element_type, shape.sizes.clone())?,
    };
    let read = memory.read(0, tensor.as_bytes_mut());
    read.map_err(|source| {
        let message = "the process of the engine cannot read its input";
        Error::new(ErrorKind::InferenceFailed, message)
            .with_hint("raise `Isolation::memory`")
            .with_source(source)
    })?;
    Ok(tensor)
}
