//! The stored answers of all parts, added in the order of the images: the report is that of one process.

use std::fs::File;
use std::io::{self, BufReader, Read};

use anyhow::Context as _;
use evaluation::agreement::Verdict;
use evaluation::answers::{AnswerReader, StoredAnswers, StoredImage};
use evaluation::text::{counted, printable};
use evaluation::{
    AnsweredImage, Chain, ComparedRuns, ComparisonAccumulator, Digest, EvaluationAccumulator,
    EvaluationReport, Failure, ImageDigests,
};

use crate::args::{Args, Command, CompareArgs, EvaluateArgs, ReportPath, distinct_text};
use crate::commands::compare::{self, CompareOptions};
use crate::commands::evaluate::{self, EvaluateOptions};
use crate::errors::Hinted;
use crate::reports::{self, AnswerRows};
use crate::shards::{self, JobDirectory, Manifest, Recorded, damaged};
use crate::terminal::Messages;

/// Bytes that are asked of the system at a time.
const READ_BYTES: usize = 1 << 20;

/// Judges the answers of all parts by the options of the shards. Writes the reports.
pub fn merge(
    directory: &JobDirectory,
    manifests: &[Manifest],
    recorded: &Recorded,
    reports: &[ReportPath],
    messages: &mut Messages,
) -> anyhow::Result<Verdict> {
    let parts = Parts {
        directory,
        manifests,
    };
    // Before anything is decoded: what damage does to it says nothing about its cause.
    parts.check()?;
    let args = Args::parse_recorded(&recorded.arguments)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("the command line of the shards is not accepted")?;
    match args.command {
        Some(Command::Compare(args)) => compare(&parts, *args, reports, messages),
        Some(Command::Evaluate(args)) => evaluate(&parts, *args, recorded, reports, messages),
        _ => anyhow::bail!("the parts are of another command"),
    }
}

fn compare(
    parts: &Parts<'_>,
    args: CompareArgs,
    reports: &[ReportPath],
    messages: &mut Messages,
) -> anyhow::Result<Verdict> {
    let options = CompareOptions::try_from(args)?;
    let files = reports;
    let reports = reports::open(files)?;
    let description = parts.description(messages)?;
    let reference = options.runs.reference.as_deref();
    let runs = ComparedRuns::new(description.runs.clone(), reference)?;
    compare::report_rejected(&runs, messages);
    let warnings = compare::label_warnings(&runs);
    let names: Vec<String> = runs
        .entries()
        .iter()
        .map(|entry| entry.name.clone())
        .collect();
    let (tolerance, by) = options.tolerance.of(&runs);
    let mut accumulator = ComparisonAccumulator::new(runs, tolerance, by, options.top);
    let artificial = parts.each_image(&description, |StoredImage { path, answers, .. }| {
        let named = printable(&path.to_string_lossy());
        let failures = match answers {
            Err(problem) => accumulator.add_failed(path, problem),
            Ok(answers) => {
                let digests = ImageDigests {
                    file: answers.file,
                    tensor: answers.tensor.context("a digest is missing")?,
                    pixels: None,
                };
                let outputs = answers.outputs;
                accumulator.add(path, AnsweredImage { digests, outputs })?
            }
        };
        report_failures(&named, failures, |run| Some(&*names[run]), messages);
        Ok(())
    })?;
    messages.end_repeated();
    if accumulator.has_one_content() {
        for (place, output) in artificial {
            accumulator.add_variation(place, &output);
        }
    }
    let mut report = accumulator.finish()?;
    report.machine = description.machine;
    for warning in warnings {
        messages.warning(&warning);
    }
    reports::write_comparison(reports, &report, options.runs.stdout)?;
    messages.wrote(&reports::outputs(files, None));
    Ok(report.verdict())
}

fn evaluate(
    parts: &Parts<'_>,
    args: EvaluateArgs,
    recorded: &Recorded,
    reports: &[ReportPath],
    messages: &mut Messages,
) -> anyhow::Result<Verdict> {
    let options = evaluation_options(parts, args, recorded)?;
    let files = reports;
    let (rows, others) = reports::split_rows(files);
    let rows = reports::open_rows(&rows, options.runs.stdout.format)?;
    let reports = reports::open(&others)?;
    let description = parts.description(messages)?;
    let accumulator = open_evaluation(parts, &description, &options, messages)?;
    let mut report = judge(parts, &description, accumulator, rows, messages)?;
    report.machine = description.machine;
    evaluate::warn(&report, messages);
    let verdict = evaluate::finish(reports, &report, options.runs.stdout)?;
    messages.wrote(&reports::outputs(files, None));
    Ok(verdict)
}

/// Returns the options of the shards, with the ground truth that they had.
fn evaluation_options(
    parts: &Parts<'_>,
    mut args: EvaluateArgs,
    recorded: &Recorded,
) -> anyhow::Result<EvaluateOptions> {
    // The shards may have found the file where they ran.
    args.truth = recorded.truth_file();
    let mut options = EvaluateOptions::try_from(args)?;
    if let Some(file) = &recorded.truth {
        let name = distinct_text(file.as_os_str());
        let expected = parts.directory.job.files.get(&name);
        options.truth.expected =
            Some(*expected.context("the job has no digest of the ground truth")?);
    }
    Ok(options)
}

/// Reads the ground truth of all images. The paths of all images come first: the ground truth may be that of their
/// directories, and it is checked against all of them before one counts. So the parts are read twice, and their outputs
/// are never held.
fn open_evaluation(
    parts: &Parts<'_>,
    description: &StoredAnswers,
    options: &EvaluateOptions,
    messages: &mut Messages,
) -> anyhow::Result<EvaluationAccumulator> {
    let (mut images, mut failed, mut written) = (Vec::new(), Vec::new(), Vec::new());
    parts.each_image(description, |image| {
        written.extend(image.truth.map(|classes| (image.path.clone(), classes)));
        failed.push(image.answers.is_err());
        images.push(image.path);
        Ok(())
    })?;
    let truth = options.truth.read(&images, &written)?;
    options.warn_missing(&images, failed.into_iter(), &truth, messages);
    let infos = description
        .runs
        .iter()
        .map(|entry| entry.info.as_ref().ok());
    let classes = infos.map(|info| info.and_then(|info| info.classes));
    let may_lack_background = options.may_lack_background(classes, &truth, &images);
    let entries = description.runs.clone();
    let evaluation = options.evaluation.clone();
    let accumulator = EvaluationAccumulator::new(entries, truth, evaluation, &images)?;
    evaluate::note_runs(&accumulator, options, may_lack_background, messages);
    Ok(accumulator)
}

/// Adds the answers of all parts. Writes the rows of each image.
fn judge(
    parts: &Parts<'_>,
    description: &StoredAnswers,
    mut accumulator: EvaluationAccumulator,
    mut rows: Vec<AnswerRows>,
    messages: &mut Messages,
) -> anyhow::Result<EvaluationReport> {
    let ready: Vec<usize> = accumulator.ready().collect();
    let entries = accumulator.entries().iter();
    let names: Vec<String> = entries.map(|entry| entry.name.clone()).collect();
    let is_ready = |index: usize| ready.contains(&description.stored[index]);
    let name = |run: usize| (ready.len() > 1).then_some(&*names[run]);
    let mut add = |StoredImage { path, answers, .. }: StoredImage| {
        let named = printable(&path.to_string_lossy());
        let failures = match answers {
            Err(problem) => accumulator.add_failed(path, problem),
            Ok(answers) => {
                let outputs = answers.outputs.into_iter().enumerate();
                let outputs = outputs.filter(|(index, _)| is_ready(*index));
                let outputs = outputs.map(|(_, output)| output).collect();
                accumulator.add(path, answers.file, outputs)
            }
        };
        report_failures(&named, failures, name, messages);
        for rows in &mut rows {
            rows.write(accumulator.rows(), accumulator.entries())?;
        }
        Ok(())
    };
    // Without a run that can be judged, one process infers nothing.
    if !ready.is_empty() {
        parts.each_image(description, &mut add)?;
    }
    messages.end_repeated();
    for rows in rows {
        rows.finish()?;
    }
    Ok(accumulator.finish())
}

/// Prints the failures for an image.
fn report_failures<'a>(
    path: &str,
    failures: &[Failure],
    name: impl Fn(usize) -> Option<&'a str>,
    messages: &mut Messages,
) {
    for failure in failures {
        messages.image_problem(path, failure.run.and_then(&name), &failure.problem);
    }
}

/// The parts of a job.
struct Parts<'a> {
    directory: &'a JobDirectory,
    manifests: &'a [Manifest],
}

/// The outputs of runs for the artificial image.
type Artificial = Vec<(usize, backend_api::Tensor)>;

impl Parts<'_> {
    /// Checks that all parts are as their shards left them.
    fn check(&self) -> anyhow::Result<()> {
        for manifest in self.manifests {
            let part = self.directory.part(manifest.shard);
            shards::check_digest(&part, manifest)
                .with_context(|| format!("cannot merge {}", part.display()))?;
        }
        Ok(())
    }

    /// Returns the description of the first part, which the others have, too.
    fn description(&self, messages: &Messages) -> anyhow::Result<StoredAnswers> {
        let mut all: Option<StoredAnswers> = None;
        let mut machines = 1;
        for manifest in self.manifests {
            let reader = self.open(manifest)?;
            let own = reader.description();
            let Some(first) = &all else {
                all = Some(own.clone());
                continue;
            };
            if !own.has_runs_of(first) {
                let error = format!(
                    "the runs of {} are not those of the first part",
                    self.directory.job.part_name(manifest.shard)
                );
                let hint = "remove one of them, and run its shard again";
                return Err(Hinted::new(error, hint).into());
            }
            machines += u32::from(own.machine != first.machine);
        }
        if machines > 1 {
            messages.warning(&format!(
                "{} of {} were written on other machines than the first, which the report names",
                machines - 1,
                counted(self.manifests.len(), "part")
            ));
        }
        all.context("the job has no parts")
    }

    fn open(&self, manifest: &Manifest) -> anyhow::Result<AnswerReader<BufReader<Hashed>>> {
        let part = self.directory.part(manifest.shard);
        let open = || {
            let file = Hashed {
                file: model_file::open_regular(&part)?,
                digest: Chain::default(),
                expected: manifest.sha256,
            };
            let file = BufReader::with_capacity(READ_BYTES, file);
            anyhow::Ok(AnswerReader::start(file)?)
        };
        open().with_context(|| format!("cannot merge {}", part.display()))
    }

    /// Shows every image to `visit`, in order. Returns the outputs for the artificial image.
    fn each_image(
        &self,
        description: &StoredAnswers,
        mut visit: impl FnMut(StoredImage) -> anyhow::Result<()>,
    ) -> anyhow::Result<Artificial> {
        let mut artificial = Artificial::new();
        for manifest in self.manifests {
            let part = || {
                format!(
                    "cannot merge {}",
                    self.directory.part(manifest.shard).display()
                )
            };
            let mut reader = self.open(manifest)?;
            let (mut images, mut failed) = (0, 0);
            while let Some(image) = reader.next_image().with_context(part)? {
                images += 1;
                failed += u64::from(image.has_failed());
                visit(image).with_context(part)?;
            }
            shards::check_counts(manifest, images, failed).with_context(part)?;
            if !reader.description().has_runs_of(description) {
                let error = damaged("its runs are not those of the first part");
                return Err(error.context(part()));
            }
            if artificial.is_empty() {
                artificial = reader.artificial().to_vec();
            }
        }
        Ok(artificial)
    }
}

/// A file that has to have a digest when its end is reached.
#[derive(Debug)]
struct Hashed {
    file: File,
    digest: Chain,
    expected: Digest,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.digest.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.digest.clone().finish() != self.expected {
            let error = "it has changed since its shard wrote it";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(count)
    }
}
