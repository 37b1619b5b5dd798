//! Messages on stderr: notes, warnings, errors and progress.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use evaluation::Problem;
use evaluation::text::{self, counted, grouped, printable};
use image_classification::{Note, Severity};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::errors::{self, Joined, ways_out};
use crate::fields::with_flags;
use crate::reports::shortened;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();
/// The most images with one problem that have a line each.
const REPEATED: usize = 10;
/// The most characters of a name in messages: a line of a list that is not a list may have millions.
pub const NAME: usize = 1000;
const HINT: Style = AnsiColor::Green.on_default();

/// Images with one problem.
#[derive(Debug)]
struct Repeated {
    images: usize,
    /// The message of the first image. If those of others have other numbers, it has `N` in their places.
    message: String,
}

/// Writes to stderr and remembers whether there was an error.
#[derive(Debug)]
pub struct Messages {
    quiet: bool,
    /// The notes and warnings that were printed: several runs of a model have the same.
    noted: RefCell<HashSet<String>>,
    /// The run that notes and warnings are about, where runs have different models.
    subject: RefCell<Option<String>>,
    errors: usize,
    /// The images with each problem, by the run and the message without its numbers.
    repeated: BTreeMap<(String, String), Repeated>,
    progress: ProgressBar,
}

impl Messages {
    /// Returns messages without notes and progress if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            noted: RefCell::default(),
            subject: RefCell::default(),
            errors: 0,
            repeated: BTreeMap::new(),
            progress: ProgressBar::hidden(),
        }
    }

    /// Returns the number of errors.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Shows the progress of the work, if stderr is a terminal and there is more than one image.
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

    /// Returns whether there is a progress bar.
    pub fn shows_progress(&self) -> bool {
        !self.progress.is_hidden()
    }

    /// Counts an image as done. `print` prints its result, while the bar is out of its way.
    pub fn advance<T>(&self, print: impl FnOnce() -> T) -> T {
        let printed = self.progress.suspend(print);
        self.progress.inc(1);
        printed
    }

    /// Removes the bar.
    pub fn end_progress(&self) {
        self.progress.finish_and_clear();
    }

    /// Prints a default or an assumption that the user should know, once.
    pub fn note(&self, text: &str) {
        let text = self.with_subject(text);
        if !self.quiet && self.noted.borrow_mut().insert(text.clone()) {
            self.line(NOTE, "note", &printable(&text));
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

    /// Prints a note. With `--quiet` its brief part remains.
    pub fn note_or_briefly(&self, text: Option<String>, brief: Option<String>) {
        let text = if self.quiet { brief } else { text };
        if let Some(text) = text {
            self.line(NOTE, "note", &printable(&text));
        }
    }

    /// Prints a note that the user has to know even with `--quiet`, once.
    pub fn warning(&self, text: &str) {
        let text = self.with_subject(text);
        if self.noted.borrow_mut().insert(text.clone()) {
            self.line(NOTE, "warning", &printable(&text));
        }
    }

    /// Prints the error of an input on one line. The others go on.
    pub fn input_failed(&mut self, path: &str, error: &anyhow::Error) {
        self.problem(path, &errors::problem(error));
    }

    /// Prints a problem that a comparison or an evaluation keeps.
    pub fn problem(&mut self, what: &str, problem: &Problem) {
        let hint = problem.hint.as_deref();
        let hint = hint.map(|hint| printable(&with_flags(hint)));
        self.failed(what, &problem.message, hint);
    }

    /// Prints a problem of an image and, if it is one, of a run. Of many images with one problem it prints the first ones;
    /// [`end_repeated`](Self::end_repeated) prints the number of the others.
    pub fn image_problem(&mut self, path: &str, run: Option<&str>, problem: &Problem) {
        let run = run.map(printable);
        let kind = without_numbers(&problem.message);
        let key = (run.clone().unwrap_or_default(), kind.clone());
        let repeated = self.repeated.entry(key).or_insert_with(|| Repeated {
            images: 0,
            message: problem.message.clone(),
        });
        repeated.images += 1;
        if repeated.message != problem.message {
            repeated.message = kind;
        }
        if repeated.images > REPEATED {
            self.errors += 1;
            return;
        }
        match run {
            Some(run) => self.problem(&format!("{path}: {run}"), problem),
            None => self.problem(path, problem),
        }
    }

    /// Prints the numbers of images whose problem is that of others.
    pub fn end_repeated(&mut self) {
        for ((run, _), Repeated { images, message }) in std::mem::take(&mut self.repeated) {
            let more = images.saturating_sub(REPEATED);
            if more > 0 {
                let separator = if run.is_empty() { "" } else { ": " };
                let images = counted(more, "more image");
                // The rest of a message is a list.
                let message = shortened(message.lines().next().unwrap_or_default(), NAME);
                let text = format!("{run}{separator}{images}: {message}; a JSON report lists all");
                self.line(ERROR, "error", &text);
            }
        }
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

    /// Prints the reason why a run cannot be compared or judged. The others go on.
    pub fn rejected(&mut self, name: &str, error: &(dyn StdError + 'static)) {
        self.failed(name, &text::chain(error), errors::hint_of_cause(error));
    }

    fn failed(&mut self, what: &str, message: &str, hint: Option<String>) {
        self.errors += 1;
        let mut text = format!("{}: {message}", printable(&shortened(what, NAME)));
        if let Some(hint) = hint {
            // Not at the end of a list.
            let (start, hint) = if message.contains('\n') {
                ("\n ", ways_out(&hint, "   "))
            } else {
                ("", hint)
            };
            let _ = write!(text, "{start} (hint: {hint})");
        }
        self.line(ERROR, "error", &text);
    }

    /// Prints the error of a run that cannot be used. The others go on.
    pub fn run_failed(&mut self, name: &str, error: &anyhow::Error) {
        self.failed(name, &errors::chain(error), errors::hint_for_run(error));
    }

    /// Prints the errors of the runs that cannot be used. Those that end in a list, such as that of the searched places,
    /// become one with all places.
    pub fn runs_failed(&mut self, failed: &[(String, &anyhow::Error)]) {
        let texts = failed
            .iter()
            .map(|(_, error)| (errors::chain(error), errors::hint_for_run(error)));
        let texts: Vec<_> = texts.collect();
        let joined = Joined::of(&texts);
        let places = joined.as_ref().map_or(&[][..], |joined| &joined.places);
        let mut names = Vec::new();
        for (place, (name, error)) in failed.iter().enumerate() {
            if places.contains(&place) {
                names.push(name.as_str());
            } else {
                self.run_failed(name, error);
            }
        }
        if let Some(Joined { message, hint, .. }) = &joined {
            self.failed(&names.join(", "), message, hint.clone());
        }
    }

    /// Shows the progress of a search, if stderr is a terminal.
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

    /// Prints the number of inputs that failed, if there are any.
    pub fn summary(&self, inputs: usize) {
        if self.errors > 0 {
            let failed = grouped(self.errors);
            let text = format!("{failed} of {} failed", counted(inputs, "input"));
            self.line(ERROR, "error", &text);
        }
    }

    /// Prints the line that ends the work, with the place of its result.
    pub fn done(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{}", printable(text));
        }
    }

    /// Prints the files that were written, as [`done`](Self::done); their flags are not shown.
    pub fn wrote(&self, files: &[(&str, &Path)]) {
        let names: Vec<_> = files
            .iter()
            .map(|(_, path)| path.to_string_lossy())
            .collect();
        if !names.is_empty() {
            self.done(&format!("wrote {}", names.join(", ")));
        }
    }

    /// Prints the error that ends the program.
    pub fn fatal(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.end_progress();
        self.line(ERROR, "error", &errors::chain(error));
        if let Some(hint) = errors::hint(error) {
            self.line(HINT, "hint", &ways_out(&hint, "      "));
        }
    }

    /// Prints a line, coloured on a terminal unless `NO_COLOR` is set. A closed stderr is no reason to panic.
    fn line(&self, style: Style, word: &str, text: &str) {
        self.progress.suspend(|| {
            let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {text}");
        });
    }
}

/// Prints the note on the first Ctrl-C. A progress bar is drawn again below it.
pub fn note_interrupted() {
    let clear = if io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let text = "in-flight images finish; press Ctrl-C again to stop immediately";
    let _ = writeln!(anstream::stderr(), "{clear}{NOTE}note{NOTE:#}: {text}");
}

/// Prints a panic that nobody caught.
pub fn defect(text: &str) {
    let _ = writeln!(anstream::stderr(), "{ERROR}error{ERROR:#}: {text}");
    hint("this is a defect of the program: report it with the command line");
}

/// Prints how the program is used.
pub fn usage(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints the next step after an error of the command line.
pub fn hint(text: &str) {
    let _ = writeln!(anstream::stderr(), "{HINT}hint{HINT:#}: {text}");
}

/// Returns a message with `N` for each number: they differ from image to image.
fn without_numbers(message: &str) -> String {
    let mut text = String::new();
    for letter in message.chars() {
        if !letter.is_ascii_digit() {
            text.push(letter);
        } else if !text.ends_with('N') {
            text.push('N');
        }
    }
    text
}
