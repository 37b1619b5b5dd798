//! Errors: their text, their next step and their code.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use evaluation::accuracy::GroundTruthError;
use evaluation::answers::AnswersError;
use evaluation::bisect::BisectError;
use evaluation::text::{self, printable};
use evaluation::{ComparisonError, EvaluationError, Problem, RecordingError};
use image_classification::sources::SourceError;
use image_classification::{
    DecodeError, ImageError, LabelsError, LayoutError, ReadError, ResolveError, ScoresError,
};

use crate::fields::{with_flags, with_run_parts};
use crate::image_memory;
use crate::interrupt::Interrupted;
use runtime_library::NOTHING_IN;

/// Replaces the fields that a library names.
type Words = fn(&str) -> String;

/// Returns whether the program stopped because the reader of its output has seen enough.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The next step for the user, given with an error that has no type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// Returns an error with `message` that ends in `hint`.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// The error of an input that was found out before, on its way through a feed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnusableInput(pub anyhow::Error);

/// Returns the error of an image that has no answers.
pub fn image_error(error: ImageError) -> anyhow::Error {
    match error {
        ImageError::Source(source) => match source.downcast::<UnusableInput>() {
            Ok(unusable) => unusable.0,
            Err(source) => anyhow::Error::from_boxed(source),
        },
        error => error.into(),
    }
}

/// Returns the error of an image as a comparison or an evaluation keeps it.
pub fn image_problem(error: &ImageError) -> Problem {
    let unusable = match error {
        ImageError::Source(source) => source.downcast_ref::<UnusableInput>(),
        _ => None,
    };
    match unusable {
        Some(unusable) => problem(&unusable.0),
        None => problem_of(error),
    }
}

/// Returns the error and its causes.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| StdError::source(*error))
}

/// Returns the error and its causes, made safe for a terminal.
pub fn chain(error: &anyhow::Error) -> String {
    chain_of(error.as_ref())
}

fn chain_of(error: &(dyn StdError + 'static)) -> String {
    let text = |cause: &(dyn StdError + 'static)| match cause.downcast_ref() {
        // Its text may quote a file.
        Some(ResolveError::Source { .. }) | None => cause.to_string(),
        Some(error) => with_flags(&error.to_string()),
    };
    text::chain_with(error, text)
}

/// The words between the ways out that a hint offers.
pub const OR: &str = "; or ";

/// Writes each way out of a hint on its own line, below the first with the `indent`.
pub fn ways_out(hint: &str, indent: &str) -> String {
    hint.replace(OR, &format!("\n{indent}or "))
}

/// A message that ends in a list, such as that of the places in which an engine was looked for.
pub struct Listed<'a> {
    /// The message without the list: `OpenVINO was not found`.
    pub message: &'a str,
    /// The heading of the list: `looked in:`.
    pub heading: &'a str,
    /// The lines of the list.
    pub lines: Vec<&'a str>,
}

impl<'a> Listed<'a> {
    /// Splits a message; `None` if it ends in no list.
    pub fn split(message: &'a str) -> Option<Self> {
        let (first, lines) = message.split_once('\n')?;
        let (message, heading) = first.rsplit_once("; ")?;
        heading.ends_with(':').then(|| Self {
            message,
            heading,
            lines: lines.lines().collect(),
        })
    }
}

/// Errors that end in lists of the same kind, as one.
pub struct Joined {
    /// The places of these errors.
    pub places: Vec<usize>,
    /// Their messages, and one list with the lines of all.
    pub message: String,
    /// Their next steps.
    pub hint: Option<String>,
}

impl Joined {
    /// Joins the errors of `texts`, each with its next step. `None` unless at least two end in lists of the same kind.
    pub fn of(texts: &[(String, Option<String>)]) -> Option<Self> {
        let lists: Vec<_> = texts.iter().map(|(text, _)| Listed::split(text)).collect();
        let heading = lists.iter().flatten().next()?.heading;
        let is_one_kind = lists.iter().flatten().all(|list| list.heading == heading);
        if !is_one_kind || lists.iter().flatten().count() < 2 {
            return None;
        }
        let (mut places, mut messages, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let (mut hints, mut nothing_in) = (Vec::new(), Vec::new());
        for (place, (list, (_, hint))) in lists.iter().zip(texts).enumerate() {
            let Some(list) = list else { continue };
            places.push(place);
            add_new(&mut messages, list.message);
            for line in &list.lines {
                match line.trim_start().strip_prefix(NOTHING_IN) {
                    Some(origins) => origins
                        .split(", ")
                        .for_each(|origin| add_new(&mut nothing_in, origin)),
                    None => add_new(&mut lines, line),
                }
            }
            for way in hint.iter().flat_map(|hint| hint.split(OR)) {
                add_new(&mut hints, way);
            }
        }
        // What needs no installation is the quickest way out.
        hints.sort_by_key(|way| !way.starts_with("use "));
        let last = format!("  {NOTHING_IN}{}", nothing_in.join(", "));
        if !nothing_in.is_empty() {
            lines.push(&last);
        }
        Some(Self {
            places,
            message: format!("{}; {heading}\n{}", messages.join("; "), lines.join("\n")),
            hint: (!hints.is_empty()).then(|| hints.join(OR)),
        })
    }
}

fn add_new<'a>(list: &mut Vec<&'a str>, text: &'a str) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// Returns the next step for the user, if one is known.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    hint_in(error.as_ref(), with_flags)
}

/// Returns the next step for an error of a run, which has flags inside: `BACKEND:DEVICE@PRECISION`.
pub fn hint_for_run(error: &anyhow::Error) -> Option<String> {
    hint_in(error.as_ref(), with_run_parts)
}

/// Returns the next step for an error of a library, without its causes.
pub fn hint_of_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    hint_of(error, with_flags).map(|hint| printable(&hint))
}

/// Returns the next step with the fields of libraries replaced by `words`.
fn hint_in(error: &(dyn StdError + 'static), words: Words) -> Option<String> {
    causes(error).find_map(|cause| hint_of(cause, words).map(|hint| printable(&hint)))
}

/// Returns a stable name for the kind of error, in kebab case.
pub fn code(error: &anyhow::Error) -> &'static str {
    code_in(error.as_ref())
}

fn code_in(error: &(dyn StdError + 'static)) -> &'static str {
    causes(error).find_map(code_of).unwrap_or("failed")
}

/// Returns the error as a comparison or an evaluation keeps it.
pub fn problem(error: &anyhow::Error) -> Problem {
    problem_of(error.as_ref())
}

fn problem_of(error: &(dyn StdError + 'static)) -> Problem {
    Problem {
        code: code_in(error),
        message: chain_of(error),
        hint: hint_in(error, with_flags),
    }
}

/// Returns the engine's error. The images of a batch share one.
fn engine_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a backend_api::Error> {
    error
        .downcast_ref::<backend_api::Error>()
        .or_else(|| Some(error.downcast_ref::<Arc<backend_api::Error>>()?.as_ref()))
}

/// Returns the error behind an image's, which has its text.
fn behind_image_error<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    match error.downcast_ref() {
        Some(ImageError::Decode(error) | ImageError::OverBudget { source: error, .. }) => error,
        Some(ImageError::Layout(error)) => error,
        Some(ImageError::Read(error)) => error,
        Some(ImageError::Tensor(error) | ImageError::Decoder(error)) => error,
        _ => error,
    }
}

fn code_of(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let error = behind_image_error(error);
    engine_error(error)
        .map(|error| error.kind().as_str())
        .or_else(|| error.downcast_ref::<DecodeError>().map(DecodeError::code))
        .or_else(|| error.downcast_ref::<ScoresError>().map(ScoresError::code))
        .or_else(|| error.downcast_ref::<LayoutError>().map(LayoutError::code))
        .or_else(|| error.downcast_ref::<ReadError>().map(ReadError::code))
        .or_else(|| error.downcast_ref::<ImageError>().map(ImageError::code))
        .or_else(|| match error.downcast_ref::<ResolveError>()? {
            ResolveError::Source { .. } => None,
            ResolveError::Layout(_) => Some("does-not-fit"),
            _ => Some("bad-input"),
        })
        .or_else(|| error.downcast_ref::<Hinted>().map(|_| "bad-input"))
        .or_else(|| error.downcast_ref().map(ComparisonError::code))
        .or_else(|| error.downcast_ref().map(EvaluationError::code))
        .or_else(|| {
            error
                .downcast_ref::<GroundTruthError>()
                .map(|_| "bad-input")
        })
        .or_else(|| match error.downcast_ref::<RecordingError>()? {
            RecordingError::Read(_) | RecordingError::Write(_) => None,
            error => Some(error.code()),
        })
        .or_else(|| error.downcast_ref::<io::Error>().map(|_| "cannot-read"))
}

fn hint_of(error: &(dyn StdError + 'static), words: Words) -> Option<String> {
    let error = behind_image_error(error);
    if let Some(error) = engine_error(error) {
        return error.hint().map(words);
    }
    if let Some(error) = error.downcast_ref::<Hinted>() {
        return Some(error.hint.clone());
    }
    if let Some(error) = error.downcast_ref::<Interrupted>() {
        return Some(error.hint.clone());
    }
    if let Some(hint) = hint_of_evaluation(error, words) {
        return Some(hint);
    }
    match error.downcast_ref::<DecodeError>() {
        Some(DecodeError::OverBudget(over)) => {
            let size = image_memory::size_for(over.needed);
            return Some(format!(
                "make the image smaller, or pass `--image-memory {size}` (one eighth of it is reserved for buffers)"
            ));
        }
        Some(DecodeError::Allocation { .. }) => return Some(out_of_memory()),
        _ => (),
    }
    if let Some(ImageError::DecodedElsewhere(elsewhere)) = error.downcast_ref()
        && elsewhere.is_out_of_memory()
    {
        return Some(out_of_memory());
    }
    if let Some(LayoutError::Memory(_)) = error.downcast_ref() {
        return Some(out_of_memory());
    }
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return match error {
            ResolveError::ImageAsModel { .. } => {
                Some("name the model with -m and images with -i".to_owned())
            }
            // The source has the hint.
            ResolveError::Source { .. } => None,
            _ => Some(words(error.hint())),
        };
    }
    let fixed = error
        .downcast_ref::<DecodeError>()
        .map(DecodeError::hint)
        .or_else(|| error.downcast_ref::<ScoresError>().map(ScoresError::hint))
        .or_else(|| error.downcast_ref::<LayoutError>().map(LayoutError::hint))
        .or_else(|| error.downcast_ref::<ReadError>()?.hint())
        .or_else(|| error.downcast_ref::<ImageError>()?.hint())
        .or_else(|| error.downcast_ref::<SourceError>().map(SourceError::hint))
        .or_else(|| error.downcast_ref::<LabelsError>().map(LabelsError::hint));
    fixed
        .map(words)
        .or_else(|| hint_of_io(error).map(str::to_owned))
}

/// Returns the next step for an error of the crate `evaluation`, with flags for the names of fields.
fn hint_of_evaluation(error: &(dyn StdError + 'static), words: Words) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ComparisonError>() {
        return Some(match error {
            ComparisonError::OtherPreprocessing { .. } => {
                "run `classify inspect` to see each source; set --mean and so on for all runs, or use \
                 `classify evaluate`, where each model keeps its own preprocessing"
                    .to_owned()
            }
            other => words(other.hint()),
        });
    }
    if let Some(error) = error.downcast_ref::<RecordingError>() {
        return match error {
            // The cause has it.
            RecordingError::Read(_) | RecordingError::Write(_) => None,
            RecordingError::NotARecording => Some(
                "make one with `classify compare … --record FILE`, or write outputs with `numpy.savez`"
                    .to_owned(),
            ),
            other => Some(other.hint().to_owned()),
        };
    }
    if error.is::<AnswersError>() {
        return Some("remove the part, and run its shard again".to_owned());
    }
    let hint = error
        .downcast_ref()
        .map(GroundTruthError::hint)
        .or_else(|| error.downcast_ref().map(EvaluationError::hint))
        .or_else(|| Some(error.downcast_ref::<BisectError>()?.hint()?.to_owned()));
    hint.map(|hint| words(&hint))
}

fn out_of_memory() -> String {
    "decode fewer images at a time: pass a smaller `--image-memory`, or fewer `--jobs`".to_owned()
}

fn hint_of_io(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::NotFound => Some("check the path"),
        io::ErrorKind::PermissionDenied => {
            Some("check the permissions of the file and its directory")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free disk space, or write to another place")
        }
        io::ErrorKind::FileTooLarge => Some(
            "raise the limit on the size of files (`ulimit -f`), or write to another file system",
        ),
        io::ErrorKind::ReadOnlyFilesystem => Some("write to another place"),
        _ => None,
    }
}
