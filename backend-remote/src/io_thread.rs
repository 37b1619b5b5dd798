//! The thread that moves bytes.

use std::future::Future;
use std::thread::{self, JoinHandle};

use backend_api::{Error, ErrorKind};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime of tokio on its own thread. So a backend works on any executor and without one.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Handle,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self, Error> {
        let denied = |source: std::io::Error| {
            Error::new(
                ErrorKind::ResourceExhausted,
                "the operating system could not start the thread of the connections",
            )
            .with_hint("raise the limits on threads and open files")
            .with_source(source)
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(denied)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // An error means that the sender is gone, which is how it ends.
            let _ = runtime.block_on(stopped);
            // Does not wait for a name server.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("remote-io".to_owned());
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread.spawn(run).map_err(denied)?),
        })
    }

    /// Runs `future` on the calling thread, which must be no thread of an executor.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, nothing would depend on it any more.
            let _ = thread.join();
        }
    }
}
