//! Engines that a rule holds, lets fail, and counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::DEADLINE;
use crate::{ElementType, Engine, Error, ErrorKind, InferOutput, NamedTensor, Stopper, Tensor};

#[derive(Clone, Copy)]
pub(super) enum Fault {
    Error,
    Panic,
    Output(Change),
}

/// A change of the outputs of an inference, so that they are not the declared ones.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// One more dimension.
    Rank,
    /// Another size of the dimension at this place.
    Size(usize),
    ElementType,
    /// One more output.
    Count,
}

impl Change {
    fn apply(self, mut output: InferOutput) -> Result<InferOutput, Error> {
        let mut shape = output.tensor.shape().to_vec();
        let mut element_type = output.tensor.element_type();
        match self {
            Self::Rank => shape.push(1),
            Self::Size(place) => shape[place] += 1,
            Self::ElementType if element_type == ElementType::U8 => {
                element_type = ElementType::F32;
            }
            Self::ElementType => element_type = ElementType::U8,
            Self::Count => output.extra.push(NamedTensor {
                name: "one more".to_owned(),
                tensor: output.tensor.clone(),
            }),
        }
        output.tensor = Tensor::zeros(element_type, shape)?;
        Ok(output)
    }
}

/// Holds, fails and counts the calls of the engines behind it.
#[derive(Default)]
pub(super) struct Switch {
    state: Mutex<SwitchState>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct SwitchState {
    /// Calls with a smaller number run, the others wait. `None`: all run.
    pub(super) allowed: Option<u64>,
    /// A call that runs although its number is not smaller.
    pub(super) also_allowed: Option<u64>,
    pub(super) faults: HashMap<u64, Fault>,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) engines: usize,
    /// Lets the engines be stopped, at the gate too.
    pub(super) stoppable: bool,
}

impl Switch {
    pub(super) fn lock(&self) -> MutexGuard<'_, SwitchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self) {
        self.lock().allowed = Some(0);
    }

    /// Lets the first `calls` run, and holds the others.
    pub(super) fn release_first(&self, calls: u64) {
        self.lock().allowed = Some(calls);
        self.changed.notify_all();
    }

    /// Lets `call` run, and holds the others.
    pub(super) fn release_only(&self, call: u64) {
        self.lock().also_allowed = Some(call);
        self.changed.notify_all();
    }

    pub(super) fn release(&self) {
        self.lock().allowed = None;
        self.changed.notify_all();
    }

    pub(super) fn wait_until(&self, condition: impl Fn(&SwitchState) -> bool) {
        let state = self.lock();
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |state| !condition(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the engines did not get there");
    }
}

pub(super) struct Switched {
    engine: Box<dyn Engine>,
    switch: Arc<Switch>,
    /// Set when the next inference is stopped.
    stopped: Arc<AtomicBool>,
}

impl Switched {
    pub(super) fn new(engine: Box<dyn Engine>, switch: Arc<Switch>) -> Self {
        Self {
            engine,
            switch,
            stopped: Arc::default(),
        }
    }
}

impl Engine for Switched {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let fault = {
            let mut state = self.switch.lock();
            let call = state.started;
            state.started += 1;
            self.switch.changed.notify_all();
            while state.allowed.is_some_and(|allowed| call >= allowed)
                && state.also_allowed != Some(call)
                && !self.stopped.load(Ordering::Relaxed)
            {
                state = self
                    .switch
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.faults.get(&call).copied()
        };
        let result = match fault {
            None => self.engine.infer(input),
            Some(Fault::Output(change)) => {
                let output = self.engine.infer(input);
                output.and_then(|output| change.apply(output))
            }
            Some(Fault::Error) => Err(Error::new(ErrorKind::InferenceFailed, "planned failure")),
            // A panic without a message and a backtrace among the results of the tests.
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new("planned panic")),
        };
        self.switch.lock().finished += 1;
        self.switch.changed.notify_all();
        result
    }

    fn stopper(&mut self) -> Option<Stopper> {
        let own = self.engine.stopper();
        self.stopped = Arc::default();
        let (switch, stopped) = (Arc::clone(&self.switch), Arc::clone(&self.stopped));
        Some(Box::new(move || {
            let state = switch.lock();
            if !state.stoppable {
                return;
            }
            // Set under the lock, so that no engine at the gate misses it.
            stopped.store(true, Ordering::Relaxed);
            drop(state);
            switch.changed.notify_all();
            if let Some(stop) = own {
                stop();
            }
        }))
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.switch.lock().engines -= 1;
        self.switch.changed.notify_all();
    }
}
