//! Everything that goes to stderr, and words for people.

use std::cell::RefCell;
use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind as UsageError};
use evaluation::accuracy::GroundTruthError;
use evaluation::bisect::BisectError;
use evaluation::{ComparisonError, EvaluationError, Problem, RecordingError, text};
use image_classification::sources::SourceError;
use image_classification::{
    DecodeError, ImageError, LabelsError, LayoutError, Note, ReadError, ResolveError, ScoresError,
    Severity,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use evaluation::text::{counted, printable};

use crate::args::Args;
use crate::fields::{with_flags, with_run_parts};
use crate::image_memory;
use crate::interrupt::Interrupted;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();
const HINT: Style = AnsiColor::Green.on_default();

/// Replaces the fields that a library names.
type Words = fn(&str) -> String;

/// Whether the program stopped because whoever reads its output has seen enough.
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
    /// An error with `message` that ends in `hint`.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Writes to stderr and remembers whether there was an error.
#[derive(Debug)]
pub struct Messages {
    quiet: bool,
    /// Several runs of a model have the same to say of it.
    noted: RefCell<HashSet<String>>,
    /// The run that notes and warnings are about, where runs have different models.
    subject: RefCell<Option<String>>,
    errors: usize,
    progress: ProgressBar,
}

impl Messages {
    /// Without notes and progress if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            noted: RefCell::default(),
            subject: RefCell::default(),
            errors: 0,
            progress: ProgressBar::hidden(),
        }
    }

    /// How many errors there were.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Shows how far the work has got, if stderr is a terminal and there is more than one image.
    pub fn start_progress(&mut self, inputs: usize) {
        if self.quiet || inputs < 2 || !io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template(
            "{wide_bar} {human_pos}/{human_len} images, {per_sec}, {eta} left",
        );
        self.progress =
            ProgressBar::with_draw_target(Some(inputs as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = style {
            self.progress.set_style(style);
        }
    }

    /// One more image is done. `print` prints its result; the bar is out of its way meanwhile.
    pub fn advance<T>(&self, print: impl FnOnce() -> T) -> T {
        let printed = self.progress.suspend(print);
        self.progress.inc(1);
        printed
    }

    /// The bar is no longer needed.
    pub fn end_progress(&self) {
        self.progress.finish_and_clear();
    }

    /// Something that the user did not say and should know. It is said once.
    pub fn note(&self, text: &str) {
        let text = self.with_subject(text);
        if !self.quiet && self.noted.borrow_mut().insert(text.clone()) {
            self.line(NOTE, "note", &text);
        }
    }

    /// Does `work`, whose notes and warnings begin with the name of a run.
    pub fn about<T>(&self, run: Option<&str>, work: impl FnOnce() -> T) -> T {
        let before = self.subject.replace(run.map(printable));
        let done = work();
        self.subject.replace(before);
        done
    }

    fn with_subject(&self, text: &str) -> String {
        match &*self.subject.borrow() {
            Some(run) => format!("{run}: {text}"),
            None => text.to_owned(),
        }
    }

    /// Something that the user should know, and the part of it that remains with `--quiet`.
    pub fn note_or_briefly(&self, text: Option<String>, brief: Option<String>) {
        let text = if self.quiet { brief } else { text };
        if let Some(text) = text {
            self.line(NOTE, "note", &text);
        }
    }

    /// What the user has to know even with `--quiet`.
    pub fn warning(&self, text: &str) {
        self.line(NOTE, "warning", &self.with_subject(text));
    }

    /// One input failed; the others go on. One line.
    pub fn input_failed(&mut self, path: &str, error: &anyhow::Error) {
        self.problem(path, &problem(error));
    }

    /// The same for a problem that a comparison or an evaluation keeps.
    pub fn problem(&mut self, what: &str, problem: &Problem) {
        let hint = problem.hint.as_deref();
        let hint = hint.map(|hint| printable(&with_flags(hint)));
        self.failed(what, &problem.message, hint);
    }

    /// Prints notes of a library, which name its fields. Quiet keeps the warnings.
    pub fn notes(&self, notes: &[Note]) {
        for note in notes {
            let text = printable(&with_flags(&note.text));
            match note.severity {
                Severity::Note => self.note(&text),
                Severity::Warning => self.warning(&text),
            }
        }
    }

    /// A run of several cannot be compared or judged; the others go on.
    pub fn rejected(&mut self, name: &str, error: &(dyn StdError + 'static)) {
        let hint = hint_of(error, with_flags).map(|hint| printable(&hint));
        self.failed(name, &text::chain(error), hint);
    }

    fn failed(&mut self, what: &str, message: &str, hint: Option<String>) {
        self.errors += 1;
        let mut text = format!("{what}: {message}");
        if let Some(hint) = hint {
            let _ = write!(text, " (hint: {hint})");
        }
        self.line(ERROR, "error", &text);
    }

    /// A run of several cannot be used; the others go on.
    pub fn run_failed(&mut self, name: &str, error: &anyhow::Error) {
        self.failed(name, &chain(error), hint_in(error, with_run_parts));
    }

    /// How far a search has got, if stderr is a terminal.
    pub fn step(&mut self, text: &str) {
        if self.quiet || !io::stderr().is_terminal() {
            return;
        }
        if self.progress.is_hidden() {
            self.progress = ProgressBar::new_spinner();
        }
        self.progress.set_message(text.to_owned());
        self.progress.tick();
    }

    /// The end of a run in which inputs failed.
    pub fn summary(&self, inputs: usize) {
        if self.errors > 0 {
            let text = format!("{} of {inputs} inputs failed", self.errors);
            self.line(ERROR, "error", &text);
        }
    }

    /// The program cannot go on.
    pub fn fatal(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.end_progress();
        self.line(ERROR, "error", &chain(error));
        if let Some(hint) = hint(error) {
            self.line(HINT, "hint", &hint);
        }
    }

    /// Coloured on a terminal, unless `NO_COLOR` is set. A closed stderr is no reason to panic.
    fn line(&self, style: Style, word: &str, text: &str) {
        self.progress.suspend(|| {
            let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {text}");
        });
    }
}

/// What happens after the first Ctrl-C. A progress bar is drawn again below it.
#[cfg(unix)]
pub fn interrupted() {
    let clear = if io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let text = "finishing what is under way; once more to stop at once";
    let _ = writeln!(anstream::stderr(), "{clear}{NOTE}note{NOTE:#}: {text}");
}

/// Prints what is wrong with the command line, or the help that was asked for, and ends the program.
/// Who forgets a flag of the sample is told what to write.
pub fn usage(error: &clap::Error) -> ! {
    let _ = error.print();
    let of_command = std::env::args_os().nth(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        Args::command().find_subcommand(&*first).is_some()
    });
    let about_input = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.iter().any(|name| name.contains("--input")),
        Some(ContextValue::String(name)) => !name.starts_with('-'),
        _ => false,
    };
    let is_word = error.kind() == UsageError::InvalidSubcommand;
    if (is_word || about_input) && !of_command {
        let text = "name images with -i and the model with -m: `classify -m model.onnx -i cat.jpg`";
        let _ = writeln!(anstream::stderr(), "{HINT}hint{HINT:#}: {text}");
    }
    std::process::exit(error.exit_code())
}

/// The error and its causes, made safe for a terminal. Engines' messages have several lines, which
/// are joined.
pub fn chain(error: &anyhow::Error) -> String {
    let text = |cause: &(dyn StdError + 'static)| match cause.downcast_ref() {
        // Its text may quote a file.
        Some(ResolveError::Source { .. }) | None => cause.to_string(),
        Some(error) => with_flags(&error.to_string()),
    };
    text::join(error.chain().map(text))
}

/// The next step for the user, if one is known.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    hint_in(error, with_flags)
}

/// The next step with the fields of libraries replaced by `words`.
fn hint_in(error: &anyhow::Error, words: Words) -> Option<String> {
    error
        .chain()
        .find_map(|cause| hint_of(cause, words).map(|hint| printable(&hint)))
}

/// A stable name for what went wrong, in kebab case.
pub fn code(error: &anyhow::Error) -> &'static str {
    error.chain().find_map(code_of).unwrap_or("failed")
}

/// Returns the error as a comparison or an evaluation keeps it.
pub fn problem(error: &anyhow::Error) -> Problem {
    Problem {
        code: code(error),
        message: chain(error),
        hint: hint(error),
    }
}

/// The engine's error; that of a batch is shared by its images.
fn engine_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a backend_api::Error> {
    error
        .downcast_ref::<backend_api::Error>()
        .or_else(|| Some(error.downcast_ref::<Arc<backend_api::Error>>()?.as_ref()))
}

/// The error behind an image's, which has its text.
fn behind_image_error<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    match error.downcast_ref() {
        Some(ImageError::Decode(error) | ImageError::OverBudget { source: error, .. }) => error,
        Some(ImageError::Layout(error)) => error,
        Some(ImageError::Read(error)) => error,
        Some(ImageError::Tensor(error)) => error,
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
    if let Some(hint) = hint_of_judgement(error, words) {
        return Some(hint);
    }
    match error.downcast_ref::<DecodeError>() {
        Some(DecodeError::OverBudget(over)) => {
            let size = image_memory::size_for(over.needed);
            return Some(format!(
                "make the image smaller, or pass `--image-memory {size}`, an eighth of which is kept for the next images"
            ));
        }
        Some(DecodeError::Allocation { .. }) => return Some(out_of_memory()),
        _ => (),
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

/// The hint of the library that judges answers, with flags for the names of fields.
fn hint_of_judgement(error: &(dyn StdError + 'static), words: Words) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ComparisonError>() {
        return Some(match error {
            ComparisonError::OtherPreprocessing { .. } => {
                "one of the two may be wrong; `classify inspect` shows who says so, flags such as --mean decide for all \
                 runs, and `classify evaluate` takes models with tensors of their own"
                    .to_owned()
            }
            other => words(other.hint()),
        });
    }
    if let Some(error) = error.downcast_ref::<RecordingError>() {
        return match error {
            // The cause has it.
            RecordingError::Read(_) | RecordingError::Write(_) => None,
            RecordingError::NotARecording => {
                Some("make one with `classify compare … --record FILE`".to_owned())
            }
            other => Some(other.hint().to_owned()),
        };
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
        io::ErrorKind::PermissionDenied => Some("check who may read and write there"),
        io::ErrorKind::StorageFull => Some("make room, or write somewhere else"),
        _ => None,
    }
}
