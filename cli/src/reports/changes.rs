//! The images and classes on which a run and the reference of an evaluation are not both right.

use std::fmt::Write as _;

use evaluation::accuracy::Criterion;
use evaluation::text::{counted, grouped};
use evaluation::{ChangedAnswer, ChangedClass, Changes, EvaluationReport};

use super::named::Evaluation;
use super::wording::{EvaluationText as _, LISTED, MORE_CLASSES, MORE_IMAGES, more};

/// An image on which only one of two runs is right, in words.
pub struct ChangedRow {
    /// The path of the image.
    pub path: String,
    /// The right class.
    pub truth: String,
    /// The best class, or the classes, of the run that is wrong.
    pub wrong_answer: String,
    /// The probability of the right class, or the margin, in the reference and in the run: `0.8120 → 0.1034`.
    pub scores: String,
    wrong: Wrong,
    criterion: Criterion,
}

impl ChangedRow {
    /// Returns the answer in words: `281 tabby cat (0.8120 → 0.1034), classified as 282 tiger cat`.
    fn sentence(&self) -> String {
        let scores = match (&*self.scores, self.criterion) {
            ("", _) => String::new(),
            (scores, Criterion::Top1) => format!(" ({scores})"),
            (scores, Criterion::ExactMatch) => format!(" (margin {scores})"),
        };
        let words = self.wrong.words(self.criterion);
        format!("{}{scores}, {words} {}", self.truth, self.wrong_answer)
    }
}

/// A list of images on which only one of two runs is right: the largest changes of the right class's probability.
pub struct ChangedList {
    /// The heading: the number of images and their kind.
    pub title: String,
    /// The words before wrong answers.
    pub wrong: &'static str,
    kind: Wrong,
    /// The first images.
    pub rows: Vec<ChangedRow>,
    /// The number of images that are not listed.
    pub rest: usize,
}

/// The changes of a run in words, with at most a given number of rows in each list.
pub struct ChangesText {
    /// The meaning of `scores` of the rows.
    pub measure: &'static str,
    /// New errors, then corrected answers; a list without images is left out.
    pub lists: Vec<ChangedList>,
    /// The classes with changed answers, by what they lost: the class, the lost images, the gained images.
    pub classes: Vec<(String, usize, usize)>,
    /// The number of classes that are not listed.
    pub classes_rest: usize,
}

impl ChangesText {
    /// Describes the changes of a run, `most` images of each kind and `most` classes. `None` for the reference and without
    /// changes.
    pub fn new(evaluation: &EvaluationReport, run: usize, most: usize) -> Option<Self> {
        let changes = changes(evaluation, run)?;
        let classes = changes.classes();
        if classes.is_empty() {
            return None;
        }
        let list = |answers: &[ChangedAnswer], title: &str, wrong: Wrong| ChangedList {
            title: match changes.criterion {
                Criterion::Top1 => format!("{title}: {}", counted(answers.len(), "image")),
                Criterion::ExactMatch => {
                    let name = changes.criterion.name();
                    format!("{title}: {} by {name}", counted(answers.len(), "image"))
                }
            },
            wrong: wrong.words(changes.criterion),
            kind: wrong,
            rows: answers
                .iter()
                .take(most)
                .map(|changed| row(evaluation, run, changed, wrong, changes.criterion))
                .collect(),
            rest: answers.len().saturating_sub(most),
        };
        let lists = [
            list(changes.new_errors(), "new errors", Wrong::Run),
            list(changes.corrected(), "corrected", Wrong::Reference),
        ];
        Some(Self {
            measure: match changes.criterion {
                Criterion::Top1 => "its probability",
                Criterion::ExactMatch => "margin",
            },
            lists: lists
                .into_iter()
                .filter(|list| !list.rows.is_empty())
                .collect(),
            classes_rest: classes.len().saturating_sub(most),
            classes: classes
                .iter()
                .take(most)
                .map(|class: &ChangedClass| {
                    let name = evaluation.class(run, class.class_id);
                    (name, class.lost, class.gained)
                })
                .collect(),
        })
    }
}

/// The run whose answer is wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Run,
    Reference,
}

impl Wrong {
    /// Returns the words before the wrong answer.
    const fn words(self, criterion: Criterion) -> &'static str {
        match (self, criterion) {
            (Self::Run, Criterion::Top1) => "classified as",
            (Self::Run, Criterion::ExactMatch) => "answered",
            (Self::Reference, _) => "the reference said",
        }
    }
}

/// Returns the changes of a run. `None` for the reference, and without one.
fn changes(evaluation: &EvaluationReport, run: usize) -> Option<&Changes> {
    evaluation.reference_results()?;
    let results = evaluation.runs[run].results.as_ref().ok()?;
    (run != evaluation.reference).then_some(&results.changes)
}

fn row(
    evaluation: &EvaluationReport,
    run: usize,
    changed: &ChangedAnswer,
    wrong: Wrong,
    criterion: Criterion,
) -> ChangedRow {
    let wrong_answer = match wrong {
        Wrong::Run => evaluation.answer(run, changed),
        Wrong::Reference => evaluation.classes(evaluation.reference, changed.reference_answers()),
    };
    let score = |score: Option<f64>| score.map_or_else(|| "?".to_owned(), |it| format!("{it:.4}"));
    let scores = match changed.values() {
        [None, None] => String::new(),
        [reference, own] => format!("{} → {}", score(reference), score(own)),
    };
    ChangedRow {
        path: evaluation.path(changed.image),
        truth: evaluation.classes(run, &changed.truth),
        wrong_answer,
        scores,
        wrong,
        criterion,
    }
}

/// Most classes that a text without details lists.
const CLASSES: usize = 5;

/// Most corrected images that a text without details lists.
const CORRECTED: usize = 3;

/// Returns the new errors and corrected answers of a run as text, with its title. Only a `verbose` one names all
/// corrected images and classes of the lists.
pub fn text(evaluation: &Evaluation, run: usize, verbose: bool) -> String {
    let mut text = String::new();
    let Some(mut changes) = ChangesText::new(evaluation, run, LISTED) else {
        return text;
    };
    if !verbose {
        let surplus = changes.classes.len().saturating_sub(CLASSES);
        changes.classes.truncate(CLASSES);
        changes.classes_rest += surplus;
    }
    let title = evaluation.title(run);
    for list in &changes.lists {
        let _ = writeln!(text, "\n{title}, {}", list.title);
        let shown = match list.kind {
            Wrong::Reference if !verbose => list.rows.len().min(CORRECTED),
            _ => list.rows.len(),
        };
        for row in &list.rows[..shown] {
            let _ = writeln!(text, "  {}: {}", row.path, row.sentence());
        }
        rest(list.rest + list.rows.len() - shown, MORE_IMAGES, &mut text);
    }
    let _ = writeln!(text, "\n{title}, classes by loss");
    for (class, lost, gained) in &changes.classes {
        let [lost, gained] = [*lost, *gained].map(grouped);
        let _ = writeln!(text, "  {lost:>4} lost, {gained:>4} gained: {class}");
    }
    rest(changes.classes_rest, MORE_CLASSES, &mut text);
    text
}

fn rest(count: usize, what: [&str; 2], text: &mut String) {
    if count > 0 {
        let _ = writeln!(text, "  {}", more(count, what));
    }
}

/// Returns the tables of a run's new errors and corrected answers in Markdown. `cell` escapes text.
pub fn markdown(evaluation: &Evaluation, run: usize, cell: fn(&str) -> String) -> String {
    let mut text = String::new();
    let Some(changes) = ChangesText::new(evaluation, run, LISTED) else {
        return text;
    };
    let title = cell(&evaluation.title(run));
    for list in &changes.lists {
        let _ = writeln!(
            text,
            "\n| {title}, {} | right class | {} | {} |\n|---|---|---|---|",
            list.title, changes.measure, list.wrong
        );
        for row in &list.rows {
            let cells = [&row.path, &row.truth, &row.scores, &row.wrong_answer];
            let cells = cells.map(|text| cell(text)).join(" | ");
            let _ = writeln!(text, "| {cells} |");
        }
        rest_row(list.rest, MORE_IMAGES, 4, &mut text);
    }
    let _ = writeln!(
        text,
        "\n| {title}, classes by loss | lost | gained |\n|---|---|---|"
    );
    for (class, lost, gained) in &changes.classes {
        let [lost, gained] = [*lost, *gained].map(grouped);
        let _ = writeln!(text, "| {} | {lost} | {gained} |", cell(class));
    }
    rest_row(changes.classes_rest, MORE_CLASSES, 3, &mut text);
    text
}

fn rest_row(count: usize, what: [&str; 2], columns: usize, text: &mut String) {
    if count > 0 {
        let cells = "| ".repeat(columns);
        let _ = writeln!(text, "| {} {cells}", more(count, what));
    }
}

/// Returns the name and the description of each new error of a run.
pub fn new_errors(
    evaluation: &EvaluationReport,
    run: usize,
) -> impl ExactSizeIterator<Item = (String, String)> {
    cases(evaluation, run, Wrong::Run)
}

/// Returns the name and the description of each corrected answer of a run.
pub fn corrected(
    evaluation: &EvaluationReport,
    run: usize,
) -> impl ExactSizeIterator<Item = (String, String)> {
    cases(evaluation, run, Wrong::Reference)
}

fn cases(
    evaluation: &EvaluationReport,
    run: usize,
    wrong: Wrong,
) -> impl ExactSizeIterator<Item = (String, String)> {
    let changes = changes(evaluation, run);
    let (answers, kind) = match wrong {
        Wrong::Run => (changes.map(Changes::new_errors), "new error"),
        Wrong::Reference => (changes.map(Changes::corrected), "corrected"),
    };
    let criterion = changes.map_or(Criterion::Top1, |changes| changes.criterion);
    answers.unwrap_or_default().iter().map(move |answer| {
        let row = row(evaluation, run, answer, wrong, criterion);
        (format!("{kind} {}", row.path), row.sentence())
    })
}
