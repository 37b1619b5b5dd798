//! The command line, checked and completed.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use backend_api::{ExtraOutputs, PerformanceHint, Precision};
use clap::ValueEnum as _;
use image_classification::{
    ImageSize, PreprocessOverrides, Resize, ResizeOverride, ScoreKind, sources,
};

use serde::{Deserialize, Serialize};

use crate::args::{
    Backend, ClassifyArgs, EngineArgs, Format, Given, InputArgs, InspectArgs, IsolationArgs,
    OutputArgs, PrecisionArg, PrecisionFlag, PreprocessArgs, ReportPath, RunSpec, RunsArgs,
    RuntimeArgs, Shard, ShardArgs, TensorsArgs, TextOrJson, TuningArgs, any_path,
};
use crate::errors::Hinted;
use crate::identity::is_stdout_a_file;
use crate::image_memory;
use crate::inputs::Inputs;
use crate::install::Wheel;
use crate::list_stream::ListStream;
use crate::remote::{self, PreprocessSource, RemoteOptions};
use crate::reports::Stdout;
use crate::runtimes::set_up_dir;
use crate::terminal::Messages;
use evaluation::text::printable;

/// The options of `classify`.
#[derive(Debug)]
pub struct ClassifyOptions {
    /// The engine and its configuration.
    pub engine: EngineOptions,
    /// The images, in the order in which results are printed. None with `stream`.
    pub inputs: Inputs,
    /// The list of images on stdin, if it is read while they are classified.
    pub list: Option<ListStream>,
    /// True to answer the lines on stdin.
    pub stream: bool,
    /// The shard, if the inputs are divided. They are found later then.
    pub shard: Option<ShardOptions>,
    /// The preprocessing flags, checked against each other.
    pub preprocess: PreprocessArgs,
    /// The requested kind of scores.
    pub scores: ScoreKind,
    /// The format and the destination of results.
    pub output: OutputOptions,
    /// The number of images that are decoded at a time.
    pub jobs: usize,
    /// True to print results only.
    pub quiet: bool,
    /// True to print the origin of each value.
    pub verbose: bool,
}

/// The options of `classify tensors`.
#[derive(Debug)]
pub struct TensorsOptions {
    pub engine: EngineOptions,
    pub inputs: Inputs,
    pub preprocess: PreprocessArgs,
    pub jobs: usize,
    /// The archive or the directory.
    pub output: PathBuf,
}

/// The options of `classify inspect`.
#[derive(Debug)]
pub struct InspectOptions {
    pub engine: EngineOptions,
    pub preprocess: PreprocessArgs,
    pub format: TextOrJson,
}

/// The options that `compare`, `evaluate` and `bench` share: several runs over the same images.
#[derive(Debug)]
pub struct RunsOptions {
    /// The runs as they were written, each with its engine.
    pub runs: Vec<(String, EngineOptions)>,
    /// The run that was named as the reference.
    pub reference: Option<String>,
    pub inputs: Inputs,
    pub preprocess: PreprocessArgs,
    pub scores: ScoreKind,
    pub jobs: usize,
    /// The form of the results on stdout.
    pub stdout: Stdout,
    pub reports: Vec<ReportPath>,
    /// The shard, if the inputs are divided. They are found later then.
    pub shard: Option<ShardOptions>,
}

impl RunsOptions {
    /// See [`note_defaults`].
    pub fn note_defaults(&self, messages: &Messages) {
        let engines = self.runs.iter().map(|(_, engine)| engine);
        note_defaults(engines, &self.inputs, messages);
    }
}

impl TryFrom<RunsArgs> for RunsOptions {
    type Error = anyhow::Error;

    fn try_from(mut args: RunsArgs) -> anyhow::Result<Self> {
        let is_remote = args.runs.iter().any(|run| run.remote.is_some());
        if !is_remote {
            remote::reject_flags(&[], &args.tuning.remote)?;
            reject_timeout(&args.tuning)?;
        }
        let local_model = take_local_model(is_remote, &mut args.preprocess)?;
        let engine = |(run, requests): (&RunSpec, Option<usize>)| {
            let mut tuning = args.tuning.clone();
            tuning.requests = requests.into_iter().collect();
            tuning.output_name = run.output.clone().or(tuning.output_name);
            if run.backend != Backend::Openvino {
                // Flags of OpenVINO are for its runs.
                tuning.streams = None;
                tuning.config.clear();
                tuning.cache_dir = None;
                tuning.runtime.plugins = None;
            }
            let remote = run.remote.clone();
            let remote =
                remote.map(|run| RemoteOptions::of_run(run, tuning.remote.clone(), tuning.timeout));
            if remote.is_some() {
                // A flag of the runs on this machine.
                tuning.threads = None;
            }
            let model = run.model.clone().or_else(|| args.input.model.clone());
            let precision = run.precision.unwrap_or(args.precision.precision);
            let engine = EngineOptions::new(
                model,
                EngineArgs {
                    device: run.device.clone().unwrap_or_else(|| "CPU".to_owned()),
                    backend: run.backend,
                    url: Vec::new(),
                    precision: PrecisionFlag { precision },
                    tuning,
                },
                remote,
            )?;
            let name = match requests {
                Some(requests) if args.tuning.requests.len() > 1 => {
                    format!("{} x{requests}", run.text)
                }
                _ => run.text.clone(),
            };
            anyhow::Ok((name, engine))
        };
        let requests: Vec<Option<usize>> = match &*args.tuning.requests {
            [] => vec![None],
            numbers => numbers.iter().copied().map(Some).collect(),
        };
        let shard = ShardOptions::new(args.shard, &args.input);
        let runs = args.runs.iter();
        let runs = runs.flat_map(|run| requests.iter().map(move |number| (run, *number)));
        Ok(Self {
            runs: with_local_model(
                runs.map(engine).collect::<Result<_, _>>()?,
                local_model.or(args.input.model.clone()),
            )?,
            reference: args.reference,
            inputs: match &shard {
                Some(_) => Inputs::default(),
                None => args.input.find()?,
            },
            shard,
            preprocess: args.preprocess.checked()?,
            scores: args.scores.scores.into(),
            jobs: set_up_decoding(&args.tuning),
            stdout: Stdout {
                format: args.format,
                verbose: args.verbose,
            },
            reports: args.report,
        })
    }
}

/// Notes the default model if no model is given, and the skipped entries of directories.
pub fn note_defaults<'a>(
    mut engines: impl Iterator<Item = &'a EngineOptions>,
    inputs: &Inputs,
    messages: &Messages,
) {
    if let Some(engine) = engines.find(|engine| engine.default_model) {
        messages.note(&format!(
            "no model is given; using the set-up's {}",
            printable(&engine.model.to_string_lossy())
        ));
    }
    messages.note_or_briefly(inputs.skipped(false), inputs.skipped(true));
}

/// The options of a shard.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    pub shard: Shard,
    /// The directory of the parts.
    pub directory: PathBuf,
    /// The inputs of all shards.
    pub input: InputArgs,
    /// The command line.
    pub given: Given,
}

impl ShardOptions {
    /// Returns the options if the command line has a shard.
    pub fn new(args: ShardArgs, input: &InputArgs) -> Option<Self> {
        Some(Self {
            shard: args.shard?,
            directory: args.out_dir?,
            input: input.clone(),
            given: args.given,
        })
    }
}

/// The format and the destination of results.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    pub format: Format,
    /// The file, or stdout.
    pub path: Option<PathBuf>,
    /// The number of classes to print.
    pub top: usize,
    /// The least score to print.
    pub threshold: Option<f32>,
    /// Digits after the point.
    pub digits: usize,
    /// The outputs of the model that are saved with the results.
    pub saved: ExtraOutputs,
}

impl OutputOptions {
    /// Returns whether the output that holds the scores, called `name`, is saved.
    pub fn saves(&self, name: &str) -> bool {
        match &self.saved {
            ExtraOutputs::None => self.format == Format::Npz,
            ExtraOutputs::All => true,
            ExtraOutputs::Named(names) => names.iter().any(|saved| saved == name),
        }
    }
}

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
    /// Bytes of address space.
    pub memory: Option<u64>,
    pub cpu_time: Option<Duration>,
    /// The longest time of an infer request.
    pub timeout: Duration,
}

/// The longest time of an infer request of an isolated engine, in seconds, if nothing else is requested.
const TIMEOUT: f64 = 60.0;

impl IsolationOptions {
    fn new(args: &IsolationArgs, timeout: Option<f64>) -> Option<Self> {
        args.isolate.then(|| Self {
            memory: args.isolate_memory.map(|size| size.0),
            cpu_time: args.isolate_cpu.map(Duration::from_secs_f64),
            timeout: Duration::from_secs_f64(timeout.unwrap_or(TIMEOUT)),
        })
    }
}

impl EngineOptions {
    /// The options of the only engine of a command. `preprocess` may name a local model for a remote engine.
    fn of_flags(
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

    /// Returns the local model: that of the engine, or the one that has the preprocessing of a remote one.
    pub fn local_model(&self) -> Option<&Path> {
        match &self.remote {
            Some(remote) => remote.local_model.as_deref(),
            None => Some(&self.model),
        }
    }

    fn new(
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
fn reject_timeout(tuning: &TuningArgs) -> anyhow::Result<()> {
    if tuning.timeout.is_some() && !tuning.isolation.isolate {
        return Err(Hinted::new(
            "--timeout is an option of isolated and of remote engines, but there is none",
            "add `--isolate`, or leave --timeout out",
        )
        .into());
    }
    Ok(())
}

/// Takes a local model for remote engines out of `--preprocess`. A preprocessing file in the directory that the flag names
/// stays.
fn take_local_model(
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
fn with_local_model(
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

/// Sets the memory that images may take. Returns the number of images that are decoded at a time.
fn set_up_decoding(tuning: &TuningArgs) -> usize {
    let jobs = tuning
        .jobs
        .unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get));
    image_memory::set(tuning.image_memory.map(|size| size.0), jobs);
    jobs
}

impl InputArgs {
    fn find(&self) -> anyhow::Result<Inputs> {
        Inputs::find(&self.input, &self.input_list, self.recursive)
    }

    /// Returns whether the images are those of a list on stdin alone.
    fn is_list_on_stdin(&self) -> bool {
        self.input_list.is_empty() && matches!(&*self.input, [only] if only.as_os_str() == "-")
    }
}

impl OutputArgs {
    /// Returns whether a program or a person reads the results. Before a file is written, all images are known: none of
    /// them may be that file.
    fn is_for_reader(&self) -> bool {
        let is_stdout = self
            .output
            .as_deref()
            .is_none_or(|path| path == Path::new("-"));
        is_stdout && !is_stdout_a_file()
    }

    /// Returns the format of results. The answers of a stream are JSON, and parts of shards have rows.
    fn format(&self, is_stream: bool, is_shard: bool) -> anyhow::Result<Format> {
        match self.format {
            None if is_shard => Ok(Format::Json),
            Some(other @ (Format::Text | Format::Npz)) if is_shard => {
                let name = other.to_possible_value().expect("it has a name");
                let error = format!("shards cannot write `--format {}`", name.get_name());
                Err(Hinted::new(error, "pass `--format json` or `--format csv`").into())
            }
            None if is_stream => Ok(Format::Json),
            Some(other) if is_stream && other != Format::Json => {
                let hint = "leave --format out, or pass `--format json`";
                Err(Hinted::new("--stream answers in JSON only", hint).into())
            }
            given => Ok(given.unwrap_or(Format::Text)),
        }
    }

    /// Checks that results in Parquet can be written, and where.
    fn check_parquet(&self, format: Format, is_shard: bool) -> anyhow::Result<()> {
        if format != Format::Parquet {
            return Ok(());
        }
        if cfg!(not(feature = "parquet")) {
            let error = "this program was built without Parquet";
            let hint =
                "build it with `--features parquet`, or pass `--format csv` or `--format json`";
            return Err(Hinted::new(error, hint).into());
        }
        if self.output.is_none() && !is_shard {
            let hint = "pass `-o FILE`, or `-o -` for a pipe";
            return Err(Hinted::new("`--format parquet` is binary and needs a file", hint).into());
        }
        Ok(())
    }

    /// Returns the outputs of the model that are saved.
    fn saved(&self, format: Format) -> anyhow::Result<ExtraOutputs> {
        let saved = outputs_of(&self.save_outputs);
        if saved != ExtraOutputs::None
            && matches!(format, Format::Text | Format::Csv | Format::Parquet)
        {
            let hint = "pass `--format json`, or `--format npz -o FILE`";
            return Err(Hinted::new(
                "text, CSV and Parquet cannot hold the outputs of --save-outputs",
                hint,
            )
            .into());
        }
        if format == Format::Npz && self.output.is_none() {
            let hint = "pass `-o FILE`, or `-o -` for a pipe";
            return Err(Hinted::new("`--format npz` is binary and needs a file", hint).into());
        }
        Ok(saved)
    }
}

/// Returns the outputs that the values of `--save-outputs` name, with commas between them. After a backslash a comma, and
/// `all`, are part of a name.
fn outputs_of(values: &[String]) -> ExtraOutputs {
    let mut names: Vec<String> = Vec::new();
    for value in values {
        let mut is_continued = false;
        let mut parts = value.split(',').peekable();
        while let Some(part) = parts.next() {
            let escaped = part.strip_suffix('\\').filter(|_| parts.peek().is_some());
            let (text, continues) = match escaped {
                Some(text) => (format!("{text},"), true),
                None => (part.to_owned(), false),
            };
            match names.last_mut() {
                Some(name) if is_continued => name.push_str(&text),
                _ => names.push(text),
            }
            is_continued = continues;
        }
    }
    match &*names {
        [] => ExtraOutputs::None,
        [all] if all == "all" => ExtraOutputs::All,
        _ => {
            for name in names.iter_mut().filter(|name| *name == "\\all") {
                name.remove(0);
            }
            ExtraOutputs::Named(names)
        }
    }
}

impl TryFrom<ClassifyArgs> for ClassifyOptions {
    type Error = anyhow::Error;

    fn try_from(mut args: ClassifyArgs) -> anyhow::Result<Self> {
        let format = args
            .output
            .format(args.stream, args.shard.shard.is_some())?;
        args.output
            .check_parquet(format, args.shard.shard.is_some())?;
        let saved = args.output.saved(format)?;
        let jobs = set_up_decoding(&args.engine.tuning);
        let shard = ShardOptions::new(args.shard, &args.input);
        let reads_list =
            shard.is_none() && args.input.is_list_on_stdin() && args.output.is_for_reader();
        let inputs = if args.stream || reads_list {
            Inputs::of_stream()
        } else if shard.is_some() {
            Inputs::default()
        } else {
            args.input.find()?
        };
        let recursive = args.input.recursive;
        let list = reads_list
            .then(|| ListStream::open(recursive))
            .transpose()?;
        let mut engine =
            EngineOptions::of_flags(args.input.model, args.engine, &mut args.preprocess)?;
        engine.extra_outputs.clone_from(&saved);
        Ok(Self {
            jobs,
            preprocess: args.preprocess.checked()?,
            scores: args.output.scores.scores.into(),
            inputs,
            list,
            stream: args.stream,
            shard,
            engine,
            output: OutputOptions {
                format,
                path: args.output.output,
                top: args.output.top.0,
                threshold: args.output.threshold,
                digits: args.output.digits.into(),
                saved,
            },
            quiet: args.quiet,
            verbose: args.verbose,
        })
    }
}

impl TryFrom<TensorsArgs> for TensorsOptions {
    type Error = anyhow::Error;

    fn try_from(mut args: TensorsArgs) -> anyhow::Result<Self> {
        let jobs = set_up_decoding(&args.engine.tuning);
        Ok(Self {
            jobs,
            inputs: args.input.find()?,
            engine: EngineOptions::of_flags(args.input.model, args.engine, &mut args.preprocess)?,
            preprocess: args.preprocess.checked()?,
            output: args.output,
        })
    }
}

impl TryFrom<InspectArgs> for InspectOptions {
    type Error = anyhow::Error;

    fn try_from(mut args: InspectArgs) -> anyhow::Result<Self> {
        let model = args.model.or(args.model_flag);
        Ok(Self {
            engine: EngineOptions::of_flags(model, args.engine, &mut args.preprocess)?,
            preprocess: args.preprocess.checked()?,
            format: args.format,
        })
    }
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

impl PreprocessArgs {
    /// Checks the flags against each other.
    fn checked(self) -> anyhow::Result<Self> {
        let crops = matches!(
            self.resize,
            Some(ResizeOverride::Exact(
                Resize::ShortSide { .. } | Resize::StretchThenCrop { .. }
            ))
        );
        if self.crop.is_some() && !crops {
            return Err(Hinted::new(
                "--crop is given without --resize short:N",
                "pass, for example, `--resize short:256 --crop 224`",
            )
            .into());
        }
        Ok(self)
    }

    /// Reads the files that the flags name. Returns all values that the flags decide.
    pub fn overrides(&self, scores: ScoreKind) -> anyhow::Result<PreprocessOverrides> {
        let labels = self.labels.as_deref().map(sources::read_labels);
        let read_file = match labels {
            Some(_) => sources::read_file_without_labels,
            None => sources::read_file,
        };
        let preprocess = self.preprocess.as_deref().map(read_file);
        Ok(PreprocessOverrides {
            color: self.color,
            mean: self.mean.map(|mean| mean.0),
            scale: self.scale.map(|scale| scale.0),
            resize: self.resize,
            crop_fraction: self.crop_fraction,
            interpolation: self.interpolation,
            size: self.crop.map(|side| ImageSize {
                width: side,
                height: side,
            }),
            layout: self.layout,
            labels: labels.transpose()?,
            preprocess: preprocess.transpose()?,
            recipe: self.recipe.clone(),
            scores,
            decode: self.decode.into(),
        })
    }
}
