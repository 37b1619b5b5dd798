//! The page of an evaluation.

use std::cmp::Reverse;
use std::fmt::Write as _;

use askama::Template;
use evaluation::accuracy::{Counts, Criterion, Decisions, MultiLabel, SingleLabel};
use evaluation::text::{counted, grouped, number, printable};
use evaluation::{
    ChangedClass, Changes, EvaluatedRun, EvaluationReport, Mistake, RunInfo, RunResults, percent,
};

use super::super::gates::{GateRow, gate_rows};
use super::super::named::Evaluation;
use super::super::table::metric_rows;
use super::super::wording::{EvaluationText as _, FAILURES, FailureRow, shortened};
use super::cards::{Card, List, by_truth};
use super::charts::{AXIS, Decades, Group, Marker, Scatter, reliability, share};
use super::frame::{Frame, Scorecard, WorstLine, chip, minus, unbroken};
use super::heat_map::{Confusions, TRUTH};
use super::limits::{CARDS, CLASSES, ROWS, part, short_path};
use super::new_errors::{ErrorSection, LossSection, changes, error_section, loss_section};
use super::thumbnails::{Thumbnail, Thumbnails};

/// Describes an evaluation.
pub fn page(report: &EvaluationReport) -> EvaluatePage {
    let evaluation = &Evaluation::evaluation(report);
    let mut thumbnails = Thumbnails::default();
    let mut compared: Vec<usize> = (0..evaluation.runs.len())
        .filter(|run| changes(evaluation, *run).is_some())
        .collect();
    compared.sort_by_key(|run| {
        let changes = changes(evaluation, *run);
        Reverse(changes.map_or(0, |changes| changes.new_errors().len()))
    });
    let errors: Vec<ErrorSection> = compared
        .iter()
        .filter_map(|run| error_section(evaluation, *run, compared.len(), &mut thumbnails))
        .collect();
    let runs = evaluation.runs.len();
    let wrong: Vec<WrongSection> = evaluation
        .evaluated()
        .filter(|(.., found)| !found.wrong.is_empty())
        .map(|(run, _, found)| {
            let cards = compared.is_empty().then_some(&mut thumbnails);
            wrong_section(evaluation, run, found, cards)
        })
        .collect();
    let mut charts: Vec<ChartSection> = evaluation
        .evaluated()
        .map(|(run, _, found)| chart_section(evaluation, run, found))
        .filter(|section| !section.charts.is_empty())
        .collect();
    // In the order of the new errors; the reference is last.
    charts.sort_by_key(|section| {
        let place = compared.iter().position(|run| *run == section.run);
        place.unwrap_or(compared.len())
    });
    let mut page = EvaluatePage {
        frame: Frame::new(
            "evaluate",
            evaluation.verdict(),
            // The gates are below it.
            minus(&evaluation.shortened(evaluation.headline())),
            gates(evaluation),
        ),
        scores: scorecards(evaluation),
        remarks: evaluation.remark_rows(),
        duplicates: evaluation.duplicates.line(&evaluation.images),
        failures: evaluation.failure_rows().take(FAILURES).collect(),
        failures_of: evaluation.failures.len(),
        is_compared: !compared.is_empty(),
        losses: compared
            .iter()
            .filter_map(|run| loss_section(evaluation, *run))
            .collect(),
        classes: evaluation
            .evaluated()
            .filter(|(.., found)| found.accuracy.images > 0)
            .map(|(run, _, found)| class_section(evaluation, run, found))
            .collect(),
        charts,
        titles: evaluation
            .evaluated()
            .filter(|_| evaluation.has_counts())
            .map(|(run, ..)| evaluation.title(run))
            .collect(),
        values: values(evaluation),
        runs: evaluation
            .runs
            .iter()
            .enumerate()
            .map(|(index, run)| run_row(evaluation, index, run))
            .collect(),
        thumbnails: thumbnails.sentence(evaluation.images.len()),
        machine: evaluation.machine.description(),
        ground_truth: ground_truth(evaluation),
        errors,
        wrong,
    };
    page.frame.facts = facts(evaluation, runs);
    page.frame.hint = evaluation.hint();
    page.add_contents();
    page
}

/// Describes the ground truth: `truth.csv, a CSV file, 12 classes, 200 images`.
fn ground_truth(evaluation: &Evaluation) -> String {
    let summary = &evaluation.ground_truth;
    match &summary.file {
        Some(file) => format!("{}, {summary}", printable(file)),
        None => summary.to_string(),
    }
}

/// Returns the names of all metrics, each with its value for every run.
fn values(evaluation: &Evaluation) -> Vec<(String, Vec<String>)> {
    let mut values = [evaluation.side_by_side(), metric_rows(evaluation)].concat();
    for value in values.iter_mut().flat_map(|(_, values)| values) {
        *value = minus(value);
    }
    values
}

fn facts(evaluation: &Evaluation, runs: usize) -> Vec<String> {
    let mut facts = vec![
        counted(evaluation.images.len(), "image"),
        counted(runs, "run"),
    ];
    if let Some(file) = &evaluation.ground_truth.file {
        facts.push(format!("ground truth {}", printable(file)));
    }
    if !evaluation.failures.is_empty() {
        facts.push(counted(evaluation.failures.len(), "failed answer"));
    }
    facts
}

fn gates(evaluation: &Evaluation) -> Vec<GateRow> {
    let several = evaluation.runs.len() > 1;
    gate_rows(evaluation.all_gates().map(|(run, gate)| {
        let run = run.filter(|_| several);
        (
            run.map_or_else(String::new, |run| evaluation.name(run)),
            gate,
        )
    }))
}

fn scorecards(evaluation: &Evaluation) -> Vec<Scorecard> {
    // Runs that failed decide the verdict.
    let runs = evaluation.runs.iter().enumerate();
    let failed = runs.filter_map(|(place, run)| {
        let error = run.results.as_ref().err()?;
        Some(Scorecard::failed(evaluation.name(place), error))
    });
    let evaluated = evaluation.evaluated();
    failed
        .chain(evaluated.map(|(run, _, found)| scorecard(evaluation, run, found)))
        .collect()
}

fn scorecard(evaluation: &Evaluation, run: usize, found: &RunResults) -> Scorecard {
    let mut card = Scorecard {
        title: evaluation.title(run),
        chip: chip(&evaluation.gates(run)),
        big: String::new(),
        meaning: String::new(),
        values: Vec::new(),
        worst: None,
    };
    let accuracy = &found.accuracy;
    if accuracy.images == 0 {
        "no result".clone_into(&mut card.big);
        "no image was counted".clone_into(&mut card.meaning);
        return card;
    }
    let (rate, what) = match &accuracy.counts {
        Counts::SingleLabel(_) => (accuracy.top(1), "top-1"),
        Counts::MultiLabel(counts) => (counts.exact_match(), "exact match"),
    };
    card.big = format!("{} %", percent(rate.share));
    card.meaning = format!(
        "{what}, {} of {}",
        grouped(rate.count),
        counted(rate.of, "image")
    );
    if let (Some(drop), Some(changes)) = (evaluation.drop(run), changes(evaluation, run)) {
        let [lost, gained] = changes.right_alone();
        let name = match drop.criterion {
            Criterion::Top1 => "drop of top-1",
            Criterion::ExactMatch => "drop of exact match",
        };
        let drop = minus(&drop.to_string());
        card.values.push((name, unbroken(&drop)));
        card.values.push(("new errors", grouped(lost)));
        card.values.push(("corrected", grouped(gained)));
        let text = worst_class(evaluation, run, changes);
        card.worst = text.map(|text| WorstLine {
            what: "Worst class",
            anchor: format!("loss-{run}"),
            text,
        });
    }
    match &accuracy.counts {
        Counts::SingleLabel(counts) => {
            let top = evaluation.top(accuracy).find(|k| *k > 1);
            if let Some(k) = top {
                let name = if k == 5 { "top-5" } else { "top-K" };
                let rate = accuracy.top(k);
                card.values
                    .push((name, format!("{} %", percent(rate.share))));
            }
            if let Some(calibration) = &counts.calibration {
                let error = number(calibration.error());
                card.values.push(("calibration error", error));
            }
        }
        Counts::MultiLabel(counts) => {
            let micro = counts.total().quality().f1;
            let top1 = accuracy.top(1).share;
            let ap = accuracy.ranking.mean_average_precision();
            let shares = [
                ("top-1: the best class is right", Some(top1)),
                ("F1, micro", Some(micro)),
                ("mean average precision", ap),
            ];
            let shares = shares
                .into_iter()
                .filter_map(|(name, share)| Some((name, format!("{} %", percent(share?)))));
            card.values.extend(shares);
        }
    }
    card
}

/// Names the class that lost most, by its counts and by what it is taken for.
fn worst_class(evaluation: &Evaluation, run: usize, changes: &Changes) -> Option<String> {
    let classes = changes.classes();
    let class = classes.first().filter(|class| class.lost > class.gained)?;
    let mut text = format!(
        "{}: {} → {} of {} right",
        evaluation.class(run, class.class_id),
        class.reference_right(),
        class.right,
        class.images
    );
    if let Some((mistake, count)) = changes.mistakes(class.class_id).first() {
        let verb = match mistake {
            Mistake::Answer(_) => "classified as ",
            Mistake::Missed(_) | Mistake::Added(_) => "",
        };
        let mistake = evaluation.mistake(run, *mistake);
        let _ = match class.lost {
            1 => write!(text, "; its new error: {verb}{mistake}"),
            lost => write!(
                text,
                "; of its {} new errors, {} {verb}{mistake}",
                grouped(lost),
                grouped(*count)
            ),
        };
    }
    let loss = |class: &ChangedClass| (class.lost, class.gained);
    let others = classes.iter().filter(|other| loss(other) == loss(class));
    match others.count() - 1 {
        0 => {}
        1 => text += "; another class lost as many",
        others => {
            let _ = write!(text, "; {} other classes lost as many", grouped(others));
        }
    }
    Some(text)
}

fn wrong_section(
    evaluation: &Evaluation,
    run: usize,
    found: &RunResults,
    thumbnails: Option<&mut Thumbnails>,
) -> WrongSection {
    let runs = evaluation.evaluated().count();
    let classes = |ids: &[usize]| evaluation.classes(run, ids);
    let cards = thumbnails.map_or_else(Vec::new, |thumbnails| {
        let most = part(CARDS, runs, 4);
        let surest = found.surest_wrong.iter().take(most);
        surest
            .map(|wrong| Card {
                name: evaluation.path(wrong.image).into(),
                thumbnail: thumbnails.get(wrong.image, &evaluation.images[wrong.image]),
                delta: wrong
                    .top
                    .first()
                    .map_or_else(String::new, |best| format!("p {:.4}", best.score)),
                is_bad: true,
                classes: ("ground truth", classes(&wrong.truth)),
                became: found
                    .wrong
                    .iter()
                    .find(|of_image| of_image.image == wrong.image)
                    .map_or_else(String::new, |of_image| classes(&of_image.answer)),
                note: String::new(),
                lists: vec![List::new(
                    evaluation.title(run),
                    &wrong.top,
                    |id| evaluation.class(run, id),
                    by_truth(&wrong.truth),
                )],
            })
            .collect()
    });
    let rows = found.wrong.iter().take(part(ROWS, 2 * runs, 50));
    WrongSection {
        id: run,
        title: evaluation.title(run),
        count: found.wrong.len(),
        cards,
        rows: rows
            .map(|wrong| {
                (
                    short_path(&evaluation.path(wrong.image)),
                    classes(&wrong.truth),
                    classes(&wrong.answer),
                )
            })
            .collect(),
    }
}

fn class_section(evaluation: &Evaluation, run: usize, found: &RunResults) -> ClassSection {
    let name = |id: usize| evaluation.class(run, id);
    let mut section = ClassSection {
        title: evaluation.title(run),
        classes: Vec::new(),
        classes_of: 0,
        confusions: Vec::new(),
        decisions: Vec::new(),
    };
    match &found.accuracy.counts {
        Counts::SingleLabel(counts) => single_label(counts, name, &mut section),
        Counts::MultiLabel(counts) => multi_label(counts, name, &mut section),
    }
    section
}

fn single_label(counts: &SingleLabel, name: impl Fn(usize) -> String, section: &mut ClassSection) {
    section.classes_of = counts.classes.len();
    section.classes = counts
        .least_right(CLASSES)
        .into_iter()
        .map(|(id, of)| (share(of.top1, of.images), name(id), of.top1, of.images))
        .collect();
    section.confusions = counts
        .confusions(CLASSES)
        .into_iter()
        .map(|(truth, answer, count)| (count, name(truth), name(answer)))
        .collect();
}

fn multi_label(counts: &MultiLabel, name: impl Fn(usize) -> String, section: &mut ClassSection) {
    section.classes_of = counts.classes.len();
    section.decisions = counts
        .least_right(CLASSES)
        .into_iter()
        .map(|(id, of)| (percent(of.quality().f1), name(id), of))
        .collect();
}

fn chart_section(evaluation: &Evaluation, run: usize, found: &RunResults) -> ChartSection {
    let title = evaluation.title(run);
    let compared =
        changes(evaluation, run).map(|changes| change_charts(&evaluation.name(run), changes));
    let [scatter, decades] = compared.unwrap_or_default();
    let mut charts = vec![scatter];
    if let Counts::SingleLabel(counts) = &found.accuracy.counts {
        let mut confusions = Confusions::default();
        for (truth, answer, count) in counts.confusions(usize::MAX) {
            confusions.add(truth, answer, count);
        }
        for (class, of) in &counts.classes {
            confusions.add(*class, *class, of.top1);
        }
        let heading = format!("Confusion matrix of {title}");
        let class = |id| evaluation.class(run, id);
        charts.push(confusions.chart(heading, &TRUTH, class));
        if let Some(calibration) = &counts.calibration {
            charts.push(reliability(format!("Reliability of {title}"), calibration));
        }
    }
    charts.push(decades);
    charts.retain(|chart| !chart.is_empty());
    ChartSection { run, title, charts }
}

/// Draws the probabilities of the right class in the reference and in the run.
fn change_charts(name: &str, changes: &Changes) -> [String; 2] {
    let mut decades = Decades::new();
    let mut groups = [
        Group::new("both wrong", "soft", Marker::Dot),
        Group::new("both right", "one", Marker::Dot),
        Group::new("corrected", "good", Marker::Plus),
        Group::new("new error", "bad", Marker::Cross),
    ];
    for pair in changes.pairs() {
        let scores = pair.scores.map(f64::from);
        decades.add_change(scores[1] - scores[0]);
        let group = match pair.right {
            [false, false] => 0,
            [true, true] => 1,
            [false, true] => 2,
            [true, false] => 3,
        };
        groups[group].add(scores);
    }
    if changes.criterion == Criterion::ExactMatch {
        // The axes of the scatter plot are probabilities.
        let title = format!("Change of the margin from the reference to {name}");
        return [String::new(), decades.chart(title, "|Δ margin|", None)];
    }
    let scatter = Scatter {
        title: format!("Probability of the right class in the reference and in {name}"),
        groups: groups.into(),
        named: Vec::new(),
        x_title: "p of the right class in the reference".to_owned(),
        y_title: format!("p of the right class in {}", shortened(name, AXIS)),
    };
    let title = format!("Change of the right class's probability from the reference to {name}");
    [scatter.chart(), decades.chart(title, "|Δp|", None)]
}

fn run_row(evaluation: &Evaluation, index: usize, run: &EvaluatedRun) -> RunRow {
    let info = run.results.as_ref().map(|found| &found.info);
    RunRow {
        title: evaluation.report.title(index),
        what: printable(
            &info.map_or_else(|error| format!("failed: {error}"), RunInfo::description),
        ),
        model: info.map_or_else(
            |_| String::new(),
            |info| printable(&info.model_description()),
        ),
        machine: info.map_or_else(|_| String::new(), |info| info.machine.description()),
        labels: evaluation.labels_line(index),
        preprocessing: info.map_or_else(
            |_| String::new(),
            |info| {
                let settings = info.preprocessing.iter();
                let settings = settings.map(|(key, value)| format!("{key} {value}"));
                printable(&settings.collect::<Vec<_>>().join(", "))
            },
        ),
    }
}

#[derive(Template)]
#[template(path = "evaluate.html")]
pub struct EvaluatePage {
    frame: Frame,
    scores: Vec<Scorecard>,
    /// The remarks on runs, with their names.
    remarks: Vec<(String, String)>,
    duplicates: Option<String>,
    /// The first failures.
    failures: Vec<FailureRow>,
    /// The number of all failures.
    failures_of: usize,
    /// True if there is a reference and another run.
    is_compared: bool,
    errors: Vec<ErrorSection>,
    losses: Vec<LossSection>,
    wrong: Vec<WrongSection>,
    classes: Vec<ClassSection>,
    charts: Vec<ChartSection>,
    titles: Vec<String>,
    /// A row for each name, with a value for each run.
    values: Vec<(String, Vec<String>)>,
    runs: Vec<RunRow>,
    thumbnails: String,
    machine: String,
    ground_truth: String,
}

impl EvaluatePage {
    fn add_contents(&mut self) {
        let frame = &mut self.frame;
        if self.failures_of > 0 {
            frame.add("failures", "Could not be evaluated", Some(self.failures_of));
        }
        for section in &self.errors {
            let heading = match self.errors.len() {
                1 => "New errors".to_owned(),
                _ => format!("New errors of {}", section.title),
            };
            frame.add(
                &format!("errors-{}", section.id),
                &heading,
                Some(section.count),
            );
        }
        if !self.is_compared {
            for section in &self.wrong {
                let anchor = format!("wrong-{}", section.id);
                frame.add(&anchor, "Wrong answers", Some(section.count));
            }
        }
        if !self.losses.is_empty() {
            frame.add("losses", "Classes by loss", None);
        }
        if !self.charts.is_empty() {
            frame.add("distributions", "Distributions", None);
        }
        if !self.titles.is_empty() {
            frame.add("metrics", "All metrics", None);
        }
        if !self.classes.is_empty() {
            frame.add("classes", "Classes of each run", None);
        }
        if self.is_compared && !self.wrong.is_empty() {
            frame.add("wrong", "All wrong answers", None);
        }
        frame.add("runs", "Runs and environment", None);
    }
}

struct WrongSection {
    id: usize,
    title: String,
    count: usize,
    cards: Vec<Card>,
    /// The path, the right class, the answer.
    rows: Vec<(String, String, String)>,
}

struct ClassSection {
    title: String,
    /// The accuracy in percent, the class, the right answers, the images.
    classes: Vec<(String, String, usize, usize)>,
    classes_of: usize,
    confusions: Vec<(usize, String, String)>,
    /// The classes of a multi-label model with F1 in percent.
    decisions: Vec<(String, String, Decisions)>,
}

struct ChartSection {
    run: usize,
    title: String,
    charts: Vec<String>,
}

struct RunRow {
    title: String,
    what: String,
    model: String,
    machine: String,
    preprocessing: String,
    /// The difference from the labels of the reference.
    labels: Option<String>,
}
