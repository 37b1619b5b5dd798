//! The new errors of a run, and the classes that lost or gained images.

use evaluation::text::counted;
use evaluation::{ChangedAnswer, ChangedClass, Changes, EvaluationReport};

use super::super::wording::EvaluationText as _;
use super::cards::{Card, List, by_truth, reasons};
use super::frame::signed;
use super::limits::{CARDS, CLASSES, ROWS, chosen, part, short_path};
use super::named::Named;
use super::thumbnails::Thumbnails;

/// An evaluation whose runs have short names.
pub type Evaluation<'a> = Named<'a, EvaluationReport>;

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
        .map(|place| change_card(evaluation, run, &new_errors[place], thumbnails))
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
        count: new_errors.len(),
        cards,
        rows: rows(new_errors),
        corrected: rows(changes.corrected()),
        corrected_of: changes.corrected().len(),
    })
}

/// Returns the probability of the right class in the reference and in the run.
fn scores(changed: &ChangedAnswer) -> String {
    let score = |score: Option<f64>| score.map_or_else(|| "?".to_owned(), |it| format!("{it:.4}"));
    match (changed.reference_score, changed.score) {
        (None, None) => String::new(),
        (reference, own) => format!("{} → {}", score(reference), score(own)),
    }
}

fn change_card(
    evaluation: &Evaluation,
    run: usize,
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
    let loss = changed.loss().map(|loss| format!("Δp {}", signed(-loss)));
    Card {
        name: evaluation.path(changed.image).into(),
        thumbnail: thumbnails.get(changed.image, &evaluation.images[changed.image]),
        delta: loss.unwrap_or_default(),
        is_bad: true,
        classes: ("ground truth", evaluation.classes(run, &changed.truth)),
        note: match &*scores(changed) {
            "" => String::new(),
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
        (evaluation.reference, changed.reference_answer),
        (run, changed.answer),
    ];
    let [reference, answer] =
        answers.map(|(run, answer)| evaluation.classes(run, answer.as_slice()));
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
        let mistaken = changes.mistaken_for(class.class_id);
        let shown = mistaken
            .iter()
            .take(2)
            .map(|(answer, count)| format!("{count} × {}", evaluation.class(run, *answer)));
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
        rows: classes.iter().take(CLASSES).map(row).collect(),
        count: classes.len(),
    })
}

fn signed_count(count: i64) -> String {
    if count == 0 {
        return "0".to_owned();
    }
    format!("{count:+}").replace('-', "−")
}

/// The images on which only one of two runs is right.
pub struct ErrorSection {
    pub id: usize,
    pub title: String,
    pub heading: String,
    pub count: usize,
    pub cards: Vec<Card>,
    pub rows: Vec<ChangeRow>,
    pub corrected: Vec<ChangeRow>,
    pub corrected_of: usize,
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
