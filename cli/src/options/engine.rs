//! The options of an engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_api::{ExtraOutputs, PerformanceHint, Precision};
use serde::{Deserialize, Serialize};

use crate::args::{
    Backend, EngineArgs, IsolationArgs, PrecisionArg, PreprocessArgs, RuntimeArgs, TuningArgs,
    any_path,
};
use crate::errors::Hinted;
use crate::install::Wheel;
use crate::remote::{self, PreprocessSource, RemoteOptions};
use crate::runtimes::set_up_dir;

/// The configuration of any engine. Flags of an engine that is not built in are accepted, so that the error names the
/// engine and not the flag.
#[cfg_attr(
    not(all(
        feature = "openvino",
        feature = "onnx",
        feature = "rten",
        feature = "remote"
    )),
    allow(dead_code)
)]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EngineOptions {
    pub backend: Backend,
    #[serde(with = "any_path")]
    pub model: PathBuf,
    /// True for the set-up's model, which is the default.
    pub default_model: bool,
    pub device: String,
    pub precision: Precision,
    pub hint: PerformanceHint,
    pub shape: Option<Vec<usize>>,
    pub batch: Option<usize>,
    /// The name of the output that holds the scores.
    pub output: Option<String>,
    /// The outputs that are saved.
    pub extra_outputs: ExtraOutputs,
    pub requests: Option<usize>,
    pub streams: Option<usize>,
    pub threads: Option<usize>,
    /// Properties of OpenVINO, as they were written.
    pub config: Vec<String>,
    #[serde(with = "any_path")]
    pub cache_dir: Option<PathBuf>,
    pub runtime: RuntimeArgs,
    /// The limits of the engine's process, if it has one.
    pub isolation: Option<IsolationOptions>,
    /// The servers of a remote engine, which is never isolated.
    #[serde(skip)]
    pub remote: Option<RemoteOptions>,
}

/// The limits of the process of an isolated engine.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct IsolationOptions {
    /// True if no flag requests the isolation. An engine that cannot be isolated runs in this process then.
    pub is_default: bool,
    /// Bytes of address space.
    pub memory: Option<u64>,
    pub cpu_time: Option<Duration>,
    /// The longest time of an infer request.
    pub timeout: Option<Duration>,
    /// The longest time of opening a model.
    pub open_timeout: Option<Duration>,
}

/// The longest time of an infer request of an isolated engine, in seconds, if nothing else is requested.
const TIMEOUT: f64 = 60.0;
/// The longest time of opening a model in an isolated process, in seconds, if nothing else is requested.
const OPEN_TIMEOUT: f64 = 300.0;

impl IsolationOptions {
    fn new(args: &IsolationArgs, timeout: Option<f64>) -> Option<Self> {
        args.isolate.then(|| Self {
            is_default: false,
            memory: args.isolate_memory.map(|size| size.0),
            cpu_time: args.isolate_cpu.map(Duration::from_secs_f64),
            timeout: Some(Duration::from_secs_f64(timeout.unwrap_or(TIMEOUT))),
            open_timeout: Some(Duration::from_secs_f64(
                args.isolate_open.unwrap_or(OPEN_TIMEOUT),
            )),
        })
    }

    /// The isolation that no flag requests. It has no limits, so that it fails nothing that works without it.
    const DEFAULT: Self = Self {
        is_default: true,
        memory: None,
        cpu_time: None,
        timeout: None,
        open_timeout: None,
    };
}

/// Isolates the engines of `runs` if there are several, so that none of them ends with the process of another one.
///
/// Left out are runs that the isolation would reject, and runs with a plugins file, whose libraries may read anything.
pub(super) fn isolate_several(runs: &mut [(String, EngineOptions)]) {
    let is_native = |engine: &EngineOptions| engine.remote.is_none();
    let mut natives = runs.iter().filter(|(_, engine)| is_native(engine));
    let Some((_, first)) = natives.next() else {
        return;
    };
    if !cfg!(target_os = "linux") || natives.all(|(_, engine)| engine.backend == first.backend) {
        return;
    }
    for (_, engine) in runs {
        // An error of the plugins file is an error of the engine.
        let has_plugins =
            engine.backend == Backend::Openvino && !matches!(engine.runtime.plugins(), Ok(None));
        if engine.isolation.is_none()
            && is_native(engine)
            && engine.is_on_cpu()
            && engine.cache_dir.is_none()
            && !has_plugins
        {
            engine.isolation = Some(IsolationOptions::DEFAULT);
        }
    }
}

impl EngineOptions {
    /// Returns the options of the only engine of a command. `preprocess` may name a local model for a remote engine.
    pub(super) fn of_flags(
        model: Option<PathBuf>,
        args: EngineArgs,
        preprocess: &mut PreprocessArgs,
    ) -> anyhow::Result<Self> {
        if args.backend != Backend::Remote {
            remote::reject_flags(&args.url, &args.tuning.remote)?;
            reject_timeout(&args.tuning)?;
            return Self::new(model, args, None);
        }
        for (flag, is_given) in [
            ("--device", !args.device.eq_ignore_ascii_case("CPU")),
            ("--isolate", args.tuning.isolation.isolate),
            ("--threads", args.tuning.threads.is_some()),
            (
                "--precision",
                matches!(
                    args.precision.precision,
                    PrecisionArg::Bf16 | PrecisionArg::F16
                ),
            ),
        ] {
            if is_given {
                let error = format!("{flag} is given, but the server decides that");
                return Err(Hinted::new(error, format!("leave {flag} out")).into());
            }
        }
        let flags = args.tuning.remote.clone();
        let timeout = args.tuning.timeout;
        let mut remote = RemoteOptions::of_flags(&args.url, model.as_deref(), flags, timeout)?;
        remote.local_model = take_local_model(true, preprocess)?;
        Self::new(None, args, Some(remote))
    }

    /// Returns whether the requested device is the CPU alone.
    pub fn is_on_cpu(&self) -> bool {
        self.device.trim().eq_ignore_ascii_case("CPU")
    }

    /// Returns the local model: that of the engine, or the one that has the preprocessing of a remote one.
    pub fn local_model(&self) -> Option<&Path> {
        match &self.remote {
            Some(remote) => remote.local_model.as_deref(),
            None => Some(&self.model),
        }
    }

    pub(super) fn new(
        model: Option<PathBuf>,
        args: EngineArgs,
        remote: Option<RemoteOptions>,
    ) -> anyhow::Result<Self> {
        let model = match &remote {
            Some(remote) => Some(remote.named_model().into()),
            None => model,
        };
        let tuning = args.tuning;
        let requests = match *tuning.requests {
            [] => None,
            [number] => Some(number),
            _ => {
                let hint = "name one, or measure all of them with `classify bench`";
                return Err(Hinted::new("--requests has more than one number", hint).into());
            }
        };
        Ok(Self {
            backend: args.backend,
            default_model: model.is_none(),
            model: model.map_or_else(set_up_model, Ok)?,
            device: args.device,
            precision: args.precision.precision.into(),
            hint: tuning.hint.into(),
            shape: tuning.shape,
            batch: tuning.batch,
            output: tuning.output_name,
            extra_outputs: ExtraOutputs::None,
            requests,
            streams: tuning.streams,
            threads: tuning.threads,
            config: tuning.config,
            cache_dir: tuning.cache_dir,
            isolation: if remote.is_none() {
                IsolationOptions::new(&tuning.isolation, tuning.timeout)
            } else {
                None
            },
            runtime: tuning.runtime,
            remote,
        })
    }
}

/// Rejects the time limit of requests where no engine has one.
pub(super) fn reject_timeout(tuning: &TuningArgs) -> anyhow::Result<()> {
    if tuning.timeout.is_some() && !tuning.isolation.isolate {
        return Err(Hinted::new(
            "--timeout is an option of isolated and of remote engines, but there is none",
            "add `--isolate`, or leave --timeout out",
        )
        .into());
    }
    Ok(())
}

/// Takes a local model for remote engines out of `--preprocess`. A preprocessing file in the directory that the flag
/// names stays.
pub(super) fn take_local_model(
    is_remote: bool,
    preprocess: &mut PreprocessArgs,
) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = preprocess.preprocess.take_if(|_| is_remote) else {
        return Ok(None);
    };
    match PreprocessSource::of(&path)? {
        PreprocessSource::Model(model) => Ok(Some(model)),
        PreprocessSource::File(file) => {
            preprocess.preprocess = Some(file);
            Ok(None)
        }
    }
}

/// Gives remote runs the local model with their preprocessing: `given`, or the model of the other runs if they have one
/// alone.
pub(super) fn with_local_model(
    mut runs: Vec<(String, EngineOptions)>,
    given: Option<PathBuf>,
) -> anyhow::Result<Vec<(String, EngineOptions)>> {
    let is_remote = |run: &&(String, EngineOptions)| run.1.remote.is_some();
    if !runs.iter().any(|run| is_remote(&run)) {
        return Ok(runs);
    }
    let locals = runs.iter().filter(|run| !is_remote(run));
    let mut locals: Vec<&PathBuf> = locals.map(|(_, engine)| &engine.model).collect();
    locals.dedup();
    let local_model = match (given, &locals[..]) {
        (Some(given), _) => Some(given),
        (None, []) => None,
        (None, [only]) => Some((*only).clone()),
        (None, [one, other, ..]) => {
            let error = format!(
                "the preprocessing of the remote run may be that of {} or of {}",
                one.display(),
                other.display()
            );
            let hint = "name the model with --preprocess";
            return Err(Hinted::new(error, hint).into());
        }
    };
    let remotes = runs
        .iter_mut()
        .filter_map(|(_, engine)| engine.remote.as_mut());
    for remote in remotes {
        remote.local_model.clone_from(&local_model);
    }
    Ok(runs)
}

fn set_up_model() -> anyhow::Result<PathBuf> {
    let model = set_up_dir().map(|directory| directory.join("models/efficientnet-lite0.onnx"));
    match model {
        Some(model) if model.is_file() => Ok(model),
        _ => {
            let hint = match Wheel::of_program() {
                Some(_) => "pass `-m MODEL`; `classify demo` runs the model that is in the package",
                None => {
                    "pass `-m MODEL`; or run `cargo setup` in a checkout and set CLASSIFY_HOME to its directory \
                     assets"
                }
            };
            Err(Hinted::new("no model given and no set-up model found", hint).into())
        }
    }
}
