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
    #[cfg(target_os = "linux")]
    shared: std::sync::Arc<linux::Shared>,
}

#[cfg(target_os = "linux")]
backend_api::pooled!(Isolated, |backend| backend.shared.failure());
#[cfg(not(target_os = "linux"))]
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
    /// - [`ErrorKind::ResourceExhausted`] if the system has no process, thread, memory or descriptor left for it.
    /// - [`ErrorKind::InvalidConfig`] on systems other than Linux, for a `config` that cannot be serialized, and if the child
    ///   cannot be started or confined, or its memory exceeds the limit on files.
    pub fn open(config: &impl Serialize, isolation: &Isolation) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config, isolation)?;
        #[cfg(target_os = "linux")]
        let shared = engines[0].request.shared();
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
            #[cfg(target_os = "linux")]
            shared,
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
    use std::error::Error as _;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
    use std::time::{Duration, Instant};

    use backend_api::{BackendInfo, Error, ErrorKind, InferOutput, Tensor};

    use super::IsolatedEngine;
    use crate::channel::Channel;
    use crate::config::Isolation;
    use crate::files::Files;
    use crate::process::{Death, NotOpened, Opened, Process};

    /// The least time for opening the engine again, if [`Isolation::open_timeout`] is not less.
    const LEAST_TO_OPEN_AGAIN: Duration = Duration::from_mins(1);

    /// The hint where a model has changed.
    const UNCHANGED: &str = "put the model back, or run all inputs again with the new one";

    pub fn parts(
        config: serde_json::Value,
        isolation: &Isolation,
    ) -> Result<(BackendInfo, Vec<IsolatedEngine>), Error> {
        let files = Files::new(&isolation.readable);
        let start = Instant::now();
        let opened = Process::open(isolation, &config, isolation.open_timeout)
            .map_err(|failed| failed.error)?;
        let restart_timeout = restart_timeout(isolation.open_timeout, start.elapsed());
        let info = opened.info.clone();
        let shared = Arc::new(Shared {
            isolation: isolation.clone(),
            config,
            files,
            names: extra_names(&info),
            info: info.clone(),
            restart_timeout,
            state: Mutex::new(State::new(opened)),
            fruitless: AtomicUsize::new(0),
            end: OnceLock::new(),
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

    /// Returns the longest time for opening the engine again, after it took `first` to open. It ends even if
    /// `open_timeout` does not, because all requests wait for it.
    fn restart_timeout(open_timeout: Duration, first: Duration) -> Duration {
        let usual = first.saturating_mul(10);
        open_timeout.min(usual.max(LEAST_TO_OPEN_AGAIN))
    }

    fn extra_names(info: &BackendInfo) -> Vec<String> {
        let specs = info.extra_outputs.iter();
        specs.map(|spec| spec.name.clone()).collect()
    }

    /// The child that all requests share.
    #[derive(Debug)]
    pub struct Shared {
        isolation: Isolation,
        config: serde_json::Value,
        /// If one of them changes, a new child would answer with another model.
        files: Files,
        /// The description that every child must have.
        info: BackendInfo,
        names: Vec<String>,
        restart_timeout: Duration,
        state: Mutex<State>,
        /// The restarts since the last result: a window alone would never end a child whose start and death take long.
        fruitless: AtomicUsize,
        /// Set under the lock of the state when no other child is started. It is read without the lock, which is held
        /// while an engine opens.
        end: OnceLock<End>,
    }

    #[derive(Debug)]
    struct State {
        process: Arc<Process>,
        /// The channels that their requests have not taken.
        channels: Vec<Option<Channel>>,
        /// The moments of the last restarts.
        restarts: VecDeque<Instant>,
    }

    /// The reason why no other child is started.
    #[derive(Debug)]
    struct End {
        text: String,
        /// The last event.
        cause: String,
        hint: String,
    }

    /// The limit on restarts that was reached.
    #[derive(Debug, Clone)]
    enum Limit {
        /// None is allowed, since a file of the engine has changed.
        Changed(PathBuf),
        /// Too many within the window.
        Window,
        /// Too many without a result.
        Fruitless,
        /// One that took too long.
        Late,
    }

    impl End {
        /// `death` is the end of the last child that had the engine open, and `failed` the error of the last start after
        /// it.
        fn new(
            shared: &Shared,
            limit: &Limit,
            death: Option<&Death>,
            failed: Option<&Error>,
        ) -> Self {
            let Isolation {
                work,
                restarts,
                restart_window,
                memory,
                cpu_time,
                ..
            } = shared.isolation;
            let info = &shared.info;
            let times = if restarts == 1 { "time" } else { "times" };
            let reason = match limit {
                Limit::Changed(path) => {
                    format!("{} has changed since it was first opened", path.display())
                }
                Limit::Window => {
                    format!("it was restarted {restarts} {times} within {restart_window:?}")
                }
                Limit::Fruitless => {
                    format!("it was restarted {restarts} {times} without a result in between")
                }
                Limit::Late => format!(
                    "the last restart took longer than {:?}",
                    shared.restart_timeout
                ),
            };
            let message = format!("{} is not started again: {reason}", work.name());
            let mut error = Error::new(ErrorKind::EngineUnavailable, message);
            if !info.engine.is_empty() {
                let engine = format!("{} {}", info.engine, info.engine_version);
                error = error.with_context("engine", engine.trim_end());
            }
            if let Some(model) = &info.model {
                error = error.with_context("model", model.display());
            }
            let died = death.map(Death::to_error);
            let cause = match (&died, failed) {
                (Some(died), Some(failed)) => {
                    error = error.with_context("before", died);
                    with_causes(failed)
                }
                (Some(last), None) | (None, Some(last)) => with_causes(last),
                (None, None) => "its state is unknown".to_owned(),
            };
            let is_late = death.is_some_and(|death| death.is_late);
            let limits = [
                memory.map(|_| "`Isolation::memory`"),
                cpu_time.map(|_| "`Isolation::cpu_time`"),
                is_late.then_some("`Isolation::timeout`"),
            ];
            let limits: Vec<&str> = limits.into_iter().flatten().collect();
            let hint = match failed.and_then(Error::hint) {
                Some(hint) => hint.to_owned(),
                None if matches!(limit, Limit::Changed(_)) => UNCHANGED.to_owned(),
                None if limits.is_empty() => work.remedy().to_owned(),
                None => format!("{}, or raise {}", work.remedy(), limits.join(" or ")),
            };
            Self {
                text: error.to_string(),
                cause,
                hint,
            }
        }

        fn to_error(&self) -> Error {
            Error::new(ErrorKind::EngineUnavailable, &self.text)
                .with_source(self.cause.clone())
                .with_hint(&self.hint)
        }
    }

    /// Returns the text of an error and of its causes.
    fn with_causes(error: &Error) -> String {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let causes = causes.map(ToString::to_string);
        let all: Vec<String> = std::iter::once(error.to_string()).chain(causes).collect();
        all.join(": ")
    }

    impl State {
        fn new(opened: Opened) -> Self {
            Self {
                process: Arc::new(opened.process),
                channels: opened.channels.into_iter().map(Some).collect(),
                restarts: VecDeque::new(),
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
        /// Returns the child that all requests share.
        pub fn shared(&self) -> Arc<Shared> {
            Arc::clone(&self.shared)
        }

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
                    if result.is_ok() {
                        self.shared.fruitless.store(0, Ordering::Relaxed);
                    }
                    let result = result.map_err(|error| process.explain(error));
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

        /// Starts another child in the place of the dead one. A start that fails costs no request, because the next start
        /// follows at once. After one that takes too long none follows, because all requests wait for it.
        fn restart(&self, state: &mut State) -> Result<(), Error> {
            if let Some(end) = self.end.get() {
                return Err(end.to_error());
            }
            let mut failed = None;
            let limit = loop {
                if let Some(path) = self.files.changed() {
                    break Limit::Changed(path.to_owned());
                }
                if let Some(limit) = self.reached(state) {
                    break limit;
                }
                state.restarts.push_back(Instant::now());
                self.fruitless.fetch_add(1, Ordering::Relaxed);
                match self.open_again() {
                    // The next turn ends the backend, since the answers would be those of another model.
                    Ok(_) if self.files.changed().is_some() => {}
                    Ok(opened) => {
                        state.process = Arc::new(opened.process);
                        state.channels = opened.channels.into_iter().map(Some).collect();
                        return Ok(());
                    }
                    Err(NotOpened { error, is_late }) => {
                        failed = Some(error);
                        if is_late {
                            break Limit::Late;
                        }
                    }
                }
            };
            let death = state.process.death();
            let end = || End::new(self, &limit, death.as_ref(), failed.as_ref());
            Err(self.end.get_or_init(end).to_error())
        }

        /// Returns the limit that another restart would exceed.
        fn reached(&self, state: &mut State) -> Option<Limit> {
            let Isolation {
                restarts,
                restart_window,
                ..
            } = self.isolation;
            // Starts that take long leave the window, but they count as fruitless.
            state
                .restarts
                .retain(|moment| moment.elapsed() < restart_window);
            if state.restarts.len() >= restarts {
                Some(Limit::Window)
            } else if self.fruitless.load(Ordering::Relaxed) >= restarts {
                Some(Limit::Fruitless)
            } else {
                None
            }
        }

        fn open_again(&self) -> Result<Opened, NotOpened> {
            let opened = Process::open(&self.isolation, &self.config, self.restart_timeout)?;
            let (new, old) = (&opened.info, &self.info);
            let is_same = new.engine == old.engine
                && new.engine_version == old.engine_version
                && new.slots == old.slots
                && new.input == old.input
                && new.output == old.output
                && new.extra_outputs == old.extra_outputs;
            if is_same {
                return Ok(opened);
            }
            Err(Error::new(
                ErrorKind::EngineCrashed,
                "the restarted engine has another version, or other inputs or outputs than before",
            )
            .with_hint(UNCHANGED)
            .into())
        }

        /// Returns the reason why all requests fail from now on, if no other child is started.
        pub fn failure(&self) -> Option<Error> {
            self.end.get().map(End::to_error)
        }

        fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_restart_ends_even_if_opening_has_no_limit() {
            let seconds = Duration::from_secs;
            let limit = restart_timeout;
            assert_eq!(limit(Duration::MAX, seconds(1)), seconds(60));
            assert_eq!(limit(Duration::MAX, seconds(15)), seconds(150));
            assert_eq!(limit(Duration::MAX, Duration::MAX), Duration::MAX);
            assert_eq!(limit(seconds(300), seconds(50)), seconds(300));
            assert_eq!(limit(seconds(5), seconds(1)), seconds(5));
        }
    }
}
