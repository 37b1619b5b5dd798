//! The new errors of a run, and the classes that lost or gained images.

use evaluation::accuracy::Criterion;
use evaluation::text::{counted, grouped};
use evaluation::{ChangedAnswer, ChangedClass, Changes};

use super::super::named::Evaluation;
use super::super::wording::{EvaluationText as _, shortened};
use super::cards::{Card, List, by_truth, reasons};
use super::frame::{minus, signed};
use super::limits::{CARDS, CLASSES, ROWS, chosen, part, short_path};
use super::thumbnails::Thumbnails;

/// The most characters of the answer next to the right class of a card: its lists have longer names.
const BECAME: usize = 80;

/// Returns the changes of a run. `None` for the reference, and without one.
pub fn changes<'a>(evaluation: &Evaluation<'a>, run: usize) -> Option<&'a Changes> {
    let evaluation = evaluation.report;
    evaluation.reference_results()?;
    let results = evaluation.runs[run].results.as_ref().ok()?;
    (run != evaluation.reference).then_some(&results.changes)
}

pub fn error_section(
    evaluation: &Evaluation,
    run: usize,
    runs: usize,
    thumbnails: &mut Thumbnails,
) -> Option<ErrorSection> {
    let changes = changes(evaluation, run)?;
    let new_errors = changes.new_errors();
    let words = Words::of(changes.criterion);
    // A class of the table leads to its images, so it has some.
    let listed = changes.classes();
    let listed: Vec<usize> = listed.iter().take(CLASSES).map(|it| it.class_id).collect();
    let choose = |answers: &[ChangedAnswer], most: usize| {
        chosen(answers.len(), most, &listed, |place, class_id| {
            answers[place].truth.contains(&class_id)
        })
    };
    let cards: Vec<Card> = choose(new_errors, part(CARDS, runs, 4))
        .into_iter()
        .map(|place| change_card(evaluation, run, &words, &new_errors[place], thumbnails))
        .collect();
    let most = part(ROWS, 2 * runs, 50);
    let rows = |answers: &[ChangedAnswer]| -> Vec<ChangeRow> {
        let places = choose(answers, most).into_iter();
        places
            .map(|place| change_row(evaluation, run, &answers[place]))
            .collect()
    };
    Some(ErrorSection {
        id: run,
        title: evaluation.title(run),
        heading: format!("New errors: {}", counted(new_errors.len(), "image")),
        words,
        count: new_errors.len(),
        cards,
        rows: rows(new_errors),
        corrected: rows(changes.corrected()),
        corrected_of: changes.corrected().len(),
    })
}

/// Returns the values of the reference and of the run whose change tells the loss.
fn scores(changed: &ChangedAnswer) -> String {
    let score = |score: Option<f64>| score.map_or_else(|| "?".to_owned(), |it| format!("{it:.4}"));
    match changed.values() {
        [None, None] => String::new(),
        [reference, own] => minus(&format!("{} → {}", score(reference), score(own))),
    }
}

fn change_card(
    evaluation: &Evaluation,
    run: usize,
    words: &Words,
    changed: &ChangedAnswer,
    thumbnails: &mut Thumbnails,
) -> Card {
    let lists = changes(evaluation, run).and_then(|changes| changes.lists(changed.image));
    let reference = evaluation.reference;
    let list = |title: String, top, run: usize, truth: &[usize]| {
        List::new(title, top, |id| evaluation.class(run, id), by_truth(truth))
    };
    // Its best class is right. The others are known if both have the same ids.
    let found = evaluation.runs[run].results.as_ref().ok();
    let has_same_ids =
        found.is_some_and(|found| found.labels.is_some() && found.label_difference.is_none());
    let of_reference = if has_same_ids {
        &changed.truth
    } else {
        changed.reference_answer.as_slice()
    };
    let lists = lists.map(|[one, other]| {
        vec![
            list("reference".to_owned(), one, reference, of_reference),
            list(evaluation.title(run), other, run, &changed.truth),
        ]
    });
    let delta = words.delta;
    let loss = changed.loss();
    let loss = loss.map(|loss| format!("{delta} {}", signed(-loss)));
    Card {
        name: evaluation.path(changed.image).into(),
        thumbnail: thumbnails.get(changed.image, &evaluation.images[changed.image]),
        delta: loss.unwrap_or_default(),
        is_bad: true,
        classes: ("ground truth", evaluation.classes(run, &changed.truth)),
        became: shortened(&evaluation.answer(run, changed), BECAME),
        note: match &*scores(changed) {
            "" => String::new(),
            scores if changed.given.is_some() => format!("margin {scores}"),
            scores if changed.truth.len() > 1 => {
                format!("probability of the best right class {scores}")
            }
            scores => format!("its probability {scores}"),
        },
        lists: lists.unwrap_or_default(),
    }
}

fn change_row(evaluation: &Evaluation, run: usize, changed: &ChangedAnswer) -> ChangeRow {
    let answers = [
        (evaluation.reference, changed.reference_answers()),
        (run, changed.answers()),
    ];
    let [reference, answer] = answers.map(|(run, answers)| evaluation.classes(run, answers));
    ChangeRow {
        delta: changed
            .loss()
            .map_or_else(|| "?".to_owned(), |loss| signed(-loss)),
        path: short_path(&evaluation.path(changed.image)),
        truth: evaluation.classes(run, &changed.truth),
        reference,
        answer,
        scores: scores(changed),
    }
}

pub fn loss_section(evaluation: &Evaluation, run: usize) -> Option<LossSection> {
    let changes = changes(evaluation, run)?;
    let classes = changes.classes();
    if classes.is_empty() {
        return None;
    }
    let row = |class: &ChangedClass| {
        let before = class.reference_right();
        let width = |right: usize| (right * 100).checked_div(class.images).unwrap_or(0);
        let mistaken = changes.mistakes(class.class_id);
        let shown = mistaken.iter().take(2).map(|(mistake, count)| {
            let count = grouped(*count);
            format!("{count} × {}", evaluation.mistake(run, *mistake))
        });
        let shown: Vec<String> = shown.collect();
        LossRow {
            net: signed_count(class.gained as i64 - class.lost as i64),
            class: evaluation.class(run, class.class_id),
            before,
            right: class.right,
            images: class.images,
            widths: [width(before), width(class.right)],
            lost: class.lost,
            gained: class.gained,
            mistaken: reasons(shown, mistaken.iter().skip(2).map(|(_, count)| count).sum()),
        }
    };
    Some(LossSection {
        id: run,
        title: evaluation.title(run),
        words: Words::of(changes.criterion),
        rows: classes.iter().take(CLASSES).map(row).collect(),
        count: classes.len(),
    })
}

fn signed_count(count: i64) -> String {
    if count == 0 {
        return "0".to_owned();
    }
    let sign = if count < 0 { '−' } else { '+' };
    format!("{sign}{}", grouped(count.unsigned_abs() as usize))
}

/// The images on which only one of two runs is right.
pub struct ErrorSection {
    pub id: usize,
    pub title: String,
    pub heading: String,
    pub words: Words,
    pub count: usize,
    pub cards: Vec<Card>,
    pub rows: Vec<ChangeRow>,
    pub corrected: Vec<ChangeRow>,
    pub corrected_of: usize,
}

/// The words of a section that depend on the rule by which answers are right.
pub struct Words {
    /// The name of the change of the value.
    pub delta: &'static str,
    /// The name of the value.
    pub value: &'static str,
    /// The definition of a new error, and the order.
    pub errors: &'static str,
    /// The sentence on a run without new errors.
    pub none: &'static str,
    /// The definition of the marks of classes.
    pub marks: &'static str,
    /// The heading of the reasons of a class.
    pub mistakes: &'static str,
}

impl Words {
    const fn of(criterion: Criterion) -> Self {
        match criterion {
            Criterion::Top1 => Self {
                delta: "Δp",
                value: "p of the right class",
                errors: "The best class of the reference is right, that of this run is wrong; the largest loss of the right \
                    class's probability first.",
                none: "The best class of this run is right on every image on which that of the reference is.",
                marks: "green with ✓ the right class, red with ✕ a wrong best class, grey the others.",
                mistakes: "new errors are classified as",
            },
            Criterion::ExactMatch => Self {
                delta: "Δ margin",
                value: "margin",
                errors: "The reference gives exactly the right classes (exact match), this run does not; the largest loss of \
                    margin first. The margin is the smallest distance of a score from the threshold: it is negative if a \
                    class is on the wrong side.",
                none: "This run gives exactly the right classes (exact match) on every image on which the reference does.",
                marks: "green with ✓ the right classes, red with ✕ a best class that is not right, grey the others.",
                mistakes: "mistakes in the new errors",
            },
        }
    }
}

pub struct ChangeRow {
    pub delta: String,
    pub path: String,
    pub truth: String,
    pub reference: String,
    pub answer: String,
    pub scores: String,
}

pub struct LossSection {
    pub id: usize,
    pub title: String,
    pub words: Words,
    pub rows: Vec<LossRow>,
    pub count: usize,
}

pub struct LossRow {
    pub net: String,
    pub class: String,
    pub before: usize,
    pub right: usize,
    pub images: usize,
    /// The shares of right answers before and after, in percent.
    pub widths: [usize; 2],
    pub lost: usize,
    pub gained: usize,
    pub mistaken: String,
}
