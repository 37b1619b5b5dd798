//! The backend of the parent.

use backend_api::{BackendInfo, Engine, Error, ErrorKind, InferOutput, SlotPool, Tensor};
use serde::Serialize;

use crate::config::Isolation;

/// An engine in a child process.
///
/// Each infer request has a thread in this process and one in the child. There are
/// [`spare_requests`](Isolation::spare_requests) more than the engine has, so that a tensor is copied while others are
/// inferred. Dropping the backend ends the child.
#[derive(Debug)]
pub struct Isolated {
    pool: SlotPool,
}

backend_api::pooled!(Isolated);

impl Isolated {
    /// Starts a child and has it open the engine.
    ///
    /// `config` is what the closure of [`run_child`](crate::run_child) gets there.
    ///
    /// # Errors
    ///
    /// - The engine's own error, if it cannot open the model.
    /// - [`ErrorKind::EngineCrashed`] if the child dies, takes longer than [`Isolation::open_timeout`], or sends an invalid
    ///   message.
    /// - [`ErrorKind::ResourceExhausted`] if it cannot be started.
    /// - [`ErrorKind::InvalidConfig`] on systems other than Linux, and for a `config` that cannot be serialized.
    pub fn open(config: &impl Serialize, isolation: &Isolation) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config, isolation)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// Returns the parts that [`open`](Self::open) passes to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &impl Serialize,
        isolation: &Isolation,
    ) -> Result<(BackendInfo, Vec<IsolatedEngine>), Error> {
        let config = serde_json::to_value(config).map_err(|source| {
            let message = "the configuration of the isolated engine cannot be sent to its process";
            Error::new(ErrorKind::InvalidConfig, message).with_source(source)
        })?;
        #[cfg(target_os = "linux")]
        return linux::parts(config, isolation);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (config, isolation);
            let message = "engines can be isolated on Linux only";
            let hint = "run the whole program in a container or a virtual machine";
            Err(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint))
        }
    }
}

/// One infer request of an [`Isolated`].
#[derive(Debug)]
#[doc(hidden)]
pub struct IsolatedEngine {
    #[cfg(target_os = "linux")]
    request: linux::Request,
}

impl Engine for IsolatedEngine {
    #[cfg(target_os = "linux")]
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        self.request.infer(input)
    }

    #[cfg(not(target_os = "linux"))]
    fn infer(&mut self, _: &Tensor) -> Result<InferOutput, Error> {
        unreachable!("no engine is isolated on this system")
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::VecDeque;
    use std::sync::atomic::Ordering;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use backend_api::{BackendInfo, Error, ErrorKind, InferOutput, Tensor};

    use super::IsolatedEngine;
    use crate::channel::Channel;
    use crate::config::Isolation;
    use crate::process::{Opened, Process};

    pub fn parts(
        config: serde_json::Value,
        isolation: &Isolation,
    ) -> Result<(BackendInfo, Vec<IsolatedEngine>), Error> {
        let opened = Process::open(isolation, &config)?;
        let info = opened.info.clone();
        let shared = Arc::new(Shared {
            isolation: isolation.clone(),
            config,
            names: extra_names(&info),
            info: info.clone(),
            state: Mutex::new(State::new(opened)),
        });
        let engine = |slot| IsolatedEngine {
            request: Request {
                shared: Arc::clone(&shared),
                slot,
                open: None,
            },
        };
        let engines = (0..info.slots).map(engine).collect();
        Ok((info, engines))
    }

    fn extra_names(info: &BackendInfo) -> Vec<String> {
        let specs = info.extra_outputs.iter();
        specs.map(|spec| spec.name.clone()).collect()
    }

    /// The child that all requests share.
    #[derive(Debug)]
    struct Shared {
        isolation: Isolation,
        config: serde_json::Value,
        /// The description that every child must have.
        info: BackendInfo,
        names: Vec<String>,
        state: Mutex<State>,
    }

    #[derive(Debug)]
    struct State {
        process: Arc<Process>,
        /// The channels that their requests have not taken.
        channels: Vec<Option<Channel>>,
        /// The moments of the last restarts.
        restarts: VecDeque<Instant>,
        /// Set when there are too many.
        is_over: bool,
    }

    impl State {
        fn new(opened: Opened) -> Self {
            Self {
                process: Arc::new(opened.process),
                channels: opened.channels.into_iter().map(Some).collect(),
                restarts: VecDeque::new(),
                is_over: false,
            }
        }
    }

    /// One infer request.
    #[derive(Debug)]
    pub struct Request {
        shared: Arc<Shared>,
        slot: usize,
        /// The child and this request's channel to it.
        open: Option<(Arc<Process>, Channel)>,
    }

    impl Request {
        pub fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
            // A child that died while it had no request costs none.
            let open = self.open.take().filter(|(process, _)| process.is_running());
            let (process, mut channel) = match open {
                Some(open) => open,
                None => self.shared.channel(self.slot)?,
            };
            let Shared {
                isolation, names, ..
            } = &*self.shared;
            // The engine's own requests.
            let running = self.shared.info.slots - isolation.spare_requests;
            let before = process.in_flight.fetch_add(1, Ordering::Relaxed);
            // Each `running` of the earlier ones may take the whole time before this one runs.
            let turns = 1 + before / running.max(1);
            let turns = u32::try_from(turns).unwrap_or(u32::MAX);
            let timeout = isolation.timeout.saturating_mul(turns);
            let answer = channel.infer(input, names, timeout);
            process.in_flight.fetch_sub(1, Ordering::Relaxed);
            match answer {
                Ok(result) => {
                    self.open = Some((process, channel));
                    result
                }
                Err(fault) => Err(process.end(&fault)),
            }
        }
    }

    impl Shared {
        /// Returns the channel of `slot` to the running child, which is started if there is none.
        fn channel(&self, slot: usize) -> Result<(Arc<Process>, Channel), Error> {
            let mut state = self.lock();
            if !state.process.is_running() {
                self.restart(&mut state)?;
            }
            match state.channels[slot].take() {
                Some(channel) => Ok((Arc::clone(&state.process), channel)),
                // A request gives its channel up only when the child is dead.
                None => Err(Error::new(
                    ErrorKind::EngineCrashed,
                    "the connection to the process of the engine is gone",
                )),
            }
        }

        fn restart(&self, state: &mut State) -> Result<(), Error> {
            let Isolation {
                work,
                restarts,
                restart_window,
                ..
            } = self.isolation;
            let now = Instant::now();
            state
                .restarts
                .retain(|moment| now.duration_since(*moment) < restart_window);
            state.is_over |= state.restarts.len() >= restarts;
            if state.is_over {
                let message = format!(
                    "{} is not started again: it was restarted {restarts} times within {restart_window:?}",
                    work.name()
                );
                let hint = format!("{}; do not use it", work.suspects());
                let error = Error::new(ErrorKind::EngineCrashed, message).with_hint(hint);
                return Err(match state.process.last_error() {
                    Some(last) => error.with_source(last),
                    None => error,
                });
            }
            state.restarts.push_back(now);
            let opened = Process::open(&self.isolation, &self.config)?;
            let (new, old) = (&opened.info, &self.info);
            let is_same = new.slots == old.slots
                && new.input == old.input
                && new.output == old.output
                && new.extra_outputs == old.extra_outputs;
            if !is_same {
                return Err(Error::new(
                    ErrorKind::EngineCrashed,
                    "the restarted engine has other inputs or outputs than before",
                )
                .with_hint("do not change the model while it is used"));
            }
            state.process = Arc::new(opened.process);
            state.channels = opened.channels.into_iter().map(Some).collect();
            Ok(())
        }

        fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
