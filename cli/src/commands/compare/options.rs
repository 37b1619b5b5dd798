//! The options of `compare`, checked.

use std::path::{Path, PathBuf};

use evaluation::agreement::Tolerance;
use evaluation::{Share, ToleranceOptions};

use super::bisect;
use crate::args::CompareArgs;
use crate::errors::Hinted;
use crate::options::RunsOptions;

/// The options of `compare`.
pub struct CompareOptions {
    pub runs: RunsOptions,
    /// The number of best classes that are compared.
    pub top: usize,
    pub tolerance: ToleranceOptions,
    /// The file to record the runs in.
    pub record: Option<PathBuf>,
    /// The recording to compare against.
    pub against: Option<PathBuf>,
    /// The options of the bisection, if it is requested.
    pub bisect: Option<bisect::Options>,
}

impl TryFrom<CompareArgs> for CompareOptions {
    type Error = anyhow::Error;

    fn try_from(args: CompareArgs) -> anyhow::Result<Self> {
        let options = Self {
            runs: args.runs.try_into()?,
            top: args.top,
            tolerance: ToleranceOptions {
                limits: args
                    .tolerance
                    .map(|name| (Tolerance::named(name.into()), "--tolerance".to_owned())),
                max_delta: args.max_delta.map(Share::value),
                min_top1: args.min_top1,
                min_overlap: args.min_overlap,
            },
            record: args.record,
            against: args.against,
            bisect: args.bisect.then_some(bisect::Options {
                image: args.bisect_image,
                tolerance: args.bisect_tolerance.map(Share::value),
                looks: args.bisect_looks,
            }),
        };
        if let Some(bisect) = &options.bisect {
            options.check_bisect(bisect)?;
        }
        if options.runs.runs.len() < 2 && options.record.is_none() && options.against.is_none() {
            return Err(Hinted::new(
                "there is one run, but a comparison needs two",
                "name another run, such as `classify compare openvino onnx`, or --against a recording",
            )
            .into());
        }
        Ok(options)
    }
}

impl CompareOptions {
    /// Checks that the runs can be bisected.
    fn check_bisect(&self, bisect: &bisect::Options) -> anyhow::Result<()> {
        // Opening the model says why it cannot be read.
        let is_onnx = |model: &Path| {
            model_file::format(model).map_or(true, |format| format == model_file::Format::Onnx)
        };
        let mut runs = self.runs.runs.iter();
        if let Some((name, _)) = runs.clone().find(|(_, engine)| engine.remote.is_some()) {
            return Err(Hinted::new(
                format!("--bisect needs models on this machine, but {name} is remote"),
                "compare runs on this machine",
            )
            .into());
        }
        if let Some((name, engine)) = runs.find(|(_, engine)| !is_onnx(&engine.model)) {
            return Err(Hinted::new(
                format!(
                    "--bisect needs ONNX models, but {name} uses {}",
                    engine.model.display()
                ),
                "give all runs the ONNX model; OpenVINO reads it too",
            )
            .into());
        }
        if self.against.is_some() {
            return Err(Hinted::new(
                "--bisect needs both runs, but a recording has no values between nodes",
                "name both runs instead of --against",
            )
            .into());
        }
        match &bisect.image {
            Some(image) if !image.is_file() => {
                let error = format!("there is no image {}", image.display());
                Err(Hinted::new(error, "name an image for --bisect-image").into())
            }
            _ => Ok(()),
        }
    }
}
