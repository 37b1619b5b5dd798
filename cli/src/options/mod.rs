//! The command line, checked and completed.

mod engine;
mod output;

use std::path::PathBuf;
use std::thread::available_parallelism;

use evaluation::text::printable;
use image_classification::{
    ImageSize, PreprocessOverrides, Resize, ResizeOverride, ScoreKind, sources,
};

use crate::args::{
    Backend, ClassifyArgs, EngineArgs, Given, InputArgs, InspectArgs, PrecisionFlag,
    PreprocessArgs, ReportPath, RunSpec, RunsArgs, Shard, ShardArgs, TensorsArgs, TextOrJson,
    TuningArgs,
};
use crate::errors::Hinted;
use crate::image_memory;
use crate::inputs::Inputs;
use crate::list_stream::ListStream;
use crate::remote::{self, RemoteOptions};
use crate::reports::Stdout;
use crate::terminal::Messages;

pub use engine::{EngineOptions, IsolationOptions};
use engine::{isolate_several, reject_timeout, take_local_model, with_local_model};
pub use output::OutputOptions;

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
        let mut runs = with_local_model(
            runs.map(engine).collect::<Result<_, _>>()?,
            local_model.or(args.input.model.clone()),
        )?;
        if !args.no_isolate {
            isolate_several(&mut runs);
        }
        Ok(Self {
            runs,
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
        // It limits the input of the model too.
        set_up_decoding(&args.engine.tuning);
        Ok(Self {
            engine: EngineOptions::of_flags(model, args.engine, &mut args.preprocess)?,
            preprocess: args.preprocess.checked()?,
            format: args.format,
        })
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
