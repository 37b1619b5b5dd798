//! The page of a comparison.

use std::collections::BTreeMap;

use askama::Template;
use evaluation::agreement::{Pair, Row, Verdict, Worst};
use evaluation::text::{counted, grouped, number, printable};
use evaluation::{ComparedPair, ComparisonReport, RunInfo};
use image_classification::Ranked;

use super::super::gates::{GateRow, gate_rows};
use super::super::named::Comparison;
use super::super::wording::{ComparisonText as _, FAILURES, FailureRow, class, shortened};
use super::bisect::{BisectSection, worst_node};
use super::cards::{Card, List, Mark, reasons};
use super::charts::{AXIS, Decades, Group, Marker, NamedPoint, Scatter, share};
use super::frame::{Frame, Scorecard, WorstLine};
use super::heat_map::{AGREEMENT, Confusions};
use super::limits::{CLASSES, ROWS, part, short_path};
use super::thumbnails::{Thumbnail, Thumbnails};

/// The number of classes and images that a page shows of runs that do not differ.
const EXAMPLES: usize = 3;

/// Describes a comparison.
///
/// # Errors
///
/// If the differences cannot be read back.
pub fn page(report: &ComparisonReport) -> anyhow::Result<ComparePage> {
    let comparison = &Comparison::comparison(report);
    let mut thumbnails = Thumbnails::default();
    let pairs = worst_first(comparison);
    let of = pairs.len();
    let pairs = pairs
        .into_iter()
        .map(|pair| section(comparison, pair, of, &mut thumbnails))
        .collect::<anyhow::Result<Vec<Section>>>()?;
    let mut frame = Frame::new(
        "compare",
        comparison.verdict(),
        comparison.shortened(comparison.summary()),
        gates(comparison),
    );
    frame.facts = vec![
        format!(
            "{} of {} compared",
            grouped(comparison.compared),
            counted(comparison.images.len(), "image")
        ),
        counted(comparison.runs.len(), "run"),
        format!("tolerance {}", comparison.tolerance),
    ];
    let mut page = ComparePage {
        frame,
        majority: comparison
            .majority_line()
            .map(|line| comparison.shortened(line)),
        duplicates: comparison.duplicates.line(&comparison.images),
        scores: scorecards(comparison),
        runs: runs(comparison),
        notes: comparison.tensor_notes(),
        input: comparison.preprocessing(),
        tensors: comparison.tensors.to_string(),
        tolerance: comparison.tolerance.to_string(),
        tolerance_by: printable(&comparison.tolerance_by),
        top: comparison.top,
        pairs,
        failures_of: comparison.failures.len(),
        failures: comparison.failure_rows().take(FAILURES).collect(),
        bisect: comparison.bisect.as_ref().map(|bisection| {
            let names = [&bisection.reference, &bisection.run].map(|full| {
                let mut runs = comparison.runs.iter();
                let place = runs.position(|run| run.name == *full);
                place.map_or_else(|| printable(full), |place| comparison.name(place))
            });
            BisectSection::new(bisection, names.each_ref().map(|name| &**name))
        }),
        thumbnails: thumbnails.sentence(comparison.images.len()),
        machine: comparison.machine.description(),
    };
    page.frame.worst = comparison.bisect.as_ref().and_then(worst_node);
    page.add_contents();
    Ok(page)
}

fn gates(comparison: &Comparison) -> Vec<GateRow> {
    let several = comparison.against_reference().count() > 1;
    gate_rows(comparison.against_reference().flat_map(|pair| {
        let name = if several {
            comparison.name(pair.run)
        } else {
            String::new()
        };
        let gates = pair.gates.iter();
        gates.map(move |gate| (name.clone(), gate.clone()))
    }))
}

/// Returns the comparisons with the reference, those that agree last.
fn worst_first<'a>(comparison: &Comparison<'a>) -> Vec<&'a ComparedPair> {
    let mut pairs: Vec<_> = comparison.report.against_reference().collect();
    pairs.sort_by_key(|pair| pair.verdict == Verdict::Agree);
    pairs
}

fn scorecards(comparison: &Comparison) -> Vec<Scorecard> {
    // They decide the verdict.
    let failed = comparison.runs.iter().enumerate();
    let failed = failed.filter_map(|(place, run)| {
        let error = run.info.as_ref().err()?;
        Some(Scorecard::failed(comparison.name(place), error))
    });
    let pairs = worst_first(comparison).into_iter();
    failed
        .chain(pairs.map(|pair| scorecard(comparison, pair)))
        .collect()
}

fn scorecard(comparison: &Comparison, compared: &ComparedPair) -> Scorecard {
    let pair = &compared.pair;
    let rate = pair.top1_match();
    let largest = |key: &str| {
        let of = compared.distributions.iter().find(|(own, ..)| *own == key);
        of.map(|(.., values)| number(values.max))
    };
    let mut values = Vec::new();
    if let Some(delta) = largest("max_delta") {
        let limit = pair.tolerance.max_delta;
        values.push(("max |Δp|", format!("{delta} (limit {limit})")));
    }
    if let Some(error) = largest("relative_error") {
        let limit = pair.tolerance.max_relative_error;
        values.push(("relative error", format!("{error} (limit {limit})")));
    }
    values.push(("images beyond a limit", grouped(pair.beyond())));
    let [.., overlap] = pair.rates();
    values.push(("mean overlap", overlap.1));
    let worst = pair.worst.first().filter(|_| pair.beyond() > 0);
    Scorecard {
        title: format!(
            "{} against {}",
            comparison.name(compared.run),
            comparison.name(compared.reference)
        ),
        chip: match compared.verdict {
            Verdict::Agree if compared.gates.iter().any(|gate| gate.remark.is_some()) => {
                ("agrees, unproven", "open")
            }
            Verdict::Agree => ("agrees", "passed"),
            Verdict::Disagree => ("DIFFERS", "failed"),
            Verdict::Recorded | Verdict::CouldNotCompare => ("open", "open"),
        },
        big: format!("{} %", share(rate.count, rate.of)),
        meaning: format!(
            "same best class, {} of {}",
            grouped(rate.count),
            counted(rate.of, "image")
        ),
        values,
        worst: worst.map(|worst| {
            let path = comparison.path(worst.row.image);
            WorstLine {
                what: "Worst image",
                anchor: format!("images-{}", compared.run),
                text: format!("{path}: {}", comparison.row(&worst.row)),
            }
        }),
    }
}

fn runs(comparison: &Comparison) -> Vec<RunRow> {
    let runs = comparison.runs.iter().enumerate();
    runs.map(|(index, run)| {
        let info = run.info.as_ref();
        RunRow {
            name: comparison.report.name(index),
            reference: index == comparison.reference,
            what: printable(
                &info.map_or_else(|error| format!("failed: {error}"), RunInfo::description),
            ),
            model: info.map_or_else(
                |_| String::new(),
                |info| printable(&info.model_description()),
            ),
            machine: info.map_or_else(|_| String::new(), |info| info.machine.description()),
        }
    })
    .collect()
}

fn section(
    comparison: &Comparison,
    compared: &ComparedPair,
    pairs: usize,
    thumbnails: &mut Thumbnails,
) -> anyhow::Result<Section> {
    let ComparedPair { run, pair, .. } = compared;
    let mut decades = Decades::new();
    let mut groups = [
        Group::new("same best class", "one", Marker::Dot),
        Group::new("another best class", "bad", Marker::Cross),
    ];
    let mut classes = Classes::default();
    let mut confusions = Confusions::default();
    let mut differing = Differing::new(part(ROWS, pairs, 50));
    for row in pair.rows.iter() {
        let row = row?;
        decades.add(row.values().and_then(|values| values.max_delta));
        classes.add(&row);
        if let Some([one, other]) = row.best {
            confusions.add(one.class_id, other.class_id, 1);
            let group = usize::from(one.class_id != other.class_id);
            groups[group].add([one.score, other.score].map(f64::from));
        }
        differing.add(row, pair);
    }
    let [reference, name] = [compared.reference, *run].map(|run| comparison.name(run));
    let of_class = |id| class(comparison.labels.as_ref(), id);
    let named = pair.worst.iter().filter_map(|worst| {
        let [one, other] = worst.row.best?;
        Some(NamedPoint {
            scores: [one.score, other.score].map(f64::from),
            title: comparison.path(worst.row.image),
        })
    });
    let scatter = Scatter {
        title: format!("Score of the best class in the reference and in {name}"),
        groups: groups.into(),
        named: named.collect(),
        x_title: "best score in the reference".to_owned(),
        y_title: format!("best score in {}", shortened(&name, AXIS)),
    };
    let has_delta = pair.basis.has_probabilities();
    let limit = has_delta.then_some(pair.tolerance.max_delta);
    let title = format!("Largest difference of each image in {name}, without its sign");
    let heading = format!("Best classes of the reference and of {name}");
    let mut charts = vec![
        scatter.chart(),
        confusions.chart(heading, &AGREEMENT, of_class),
        if has_delta {
            decades.chart(title, "max |Δp|", limit)
        } else {
            String::new()
        },
    ];
    charts.retain(|chart| !chart.is_empty());
    let classes = classes.least_agreement(&confusions, of_class);
    let (rows, rows_of) = differing.rows(comparison, pair, &classes);
    // Runs that agree need no more than an example.
    let most = if rows_of == 0 { EXAMPLES } else { usize::MAX };
    let worst = pair.worst.iter().take(most);
    Ok(Section {
        id: *run,
        run: name,
        reference,
        rates: pair.rates().into(),
        distributions: compared
            .distributions
            .iter()
            .map(|(_, name, d)| (*name, [d.mean, d.p50, d.p90, d.p99, d.max].map(number)))
            .collect(),
        charts,
        classes,
        cards: worst
            .map(|worst| card(comparison, compared, worst, thumbnails))
            .collect(),
        images: pair.rows.len(),
        rows,
        rows_of,
    })
}

fn card(
    comparison: &Comparison,
    compared: &ComparedPair,
    worst: &Worst,
    thumbnails: &mut Thumbnails,
) -> Card {
    let best = worst.top[0].first().map(|best| best.class_id);
    let list = |title: String, top: &[Ranked]| {
        let class = |id| class(comparison.labels.as_ref(), id);
        let mark = |place: usize, id: usize| match place {
            _ if Some(id) == best => Mark::Same,
            0 => Mark::Changed,
            _ => Mark::Other,
        };
        List::new(title, top, class, mark)
    };
    let image = worst.row.image;
    let values = worst.row.values();
    let delta = values.and_then(|values| values.max_delta);
    let tolerance = &compared.pair.tolerance;
    let is_within = worst.row.within(tolerance, compared.pair.basis);
    let mut notes = vec![if is_within {
        "within the limits of each image".to_owned()
    } else {
        "beyond the limits".to_owned()
    }];
    let numbers = values.map(|values| {
        [
            ("Δlogit", values.max_logit_delta),
            ("relative error", values.relative_error),
        ]
    });
    for (name, value) in numbers.into_iter().flatten() {
        notes.extend(value.map(|value| format!("{name} {}", number(value))));
    }
    let classes = match worst.row.best {
        Some([one, other]) if one.class_id != other.class_id => {
            let [one, other] =
                [one, other].map(|ranked| class(comparison.labels.as_ref(), ranked.class_id));
            ("best class", format!("{one} → {other}"))
        }
        Some(_) => ("", String::new()),
        None => ("", comparison.row(&worst.row)),
    };
    Card {
        name: comparison.path(image).into(),
        thumbnail: thumbnails.get(image, &comparison.images[image]),
        delta: delta.map_or_else(String::new, |delta| format!("|Δp| {}", number(delta))),
        is_bad: !is_within,
        classes,
        became: String::new(),
        note: notes.join(", "),
        lists: vec![
            list("reference".to_owned(), &worst.top[0]),
            list(comparison.name(compared.run), &worst.top[1]),
        ],
    }
}

/// The images that are beyond the limits or have another best class.
struct Differing {
    most: usize,
    rows: Vec<(f64, Row)>,
    /// For each best class of the reference, its row with the largest difference and another best class.
    worst: BTreeMap<usize, (f64, Row)>,
    count: usize,
}

impl Differing {
    const fn new(most: usize) -> Self {
        Self {
            most,
            rows: Vec::new(),
            worst: BTreeMap::new(),
            count: 0,
        }
    }

    fn add(&mut self, row: Row, pair: &Pair) {
        let is_same = row.values().is_some_and(|values| values.top1_match);
        if is_same && row.within(&pair.tolerance, pair.basis) {
            return;
        }
        self.count += 1;
        let size = row.values().map_or(f64::INFINITY, |values| {
            values.max_delta.or(values.relative_error).unwrap_or(0.0)
        });
        if let (false, Some([one, _])) = (is_same, row.best) {
            let worst = self.worst.entry(one.class_id).or_insert((size, row));
            if size > worst.0 {
                *worst = (size, row);
            }
        }
        self.rows.push((size, row));
        if self.rows.len() > 2 * self.most {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        self.rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        self.rows.truncate(self.most);
    }

    /// Returns the rows with the largest differences, among them one of each class that is listed, and the number of all.
    fn rows(
        mut self,
        comparison: &Comparison,
        pair: &Pair,
        classes: &[ClassRow],
    ) -> (Vec<DifferingRow>, usize) {
        self.shorten();
        let worst = classes
            .iter()
            .filter_map(|row| self.worst.get(&row.class_id));
        let is_known = |worst: &Row| self.rows.iter().any(|(_, row)| row.image == worst.image);
        let lost: Vec<(f64, Row)> = worst.filter(|(_, row)| !is_known(row)).copied().collect();
        self.rows.truncate(self.most.saturating_sub(lost.len()));
        self.rows.extend(lost);
        self.shorten();
        let answer = |ranked: Option<Ranked>| {
            ranked.map_or_else(
                || "not finite".to_owned(),
                |ranked| comparison.class(ranked),
            )
        };
        let row = |(size, row): &(f64, Row)| DifferingRow {
            delta: if size.is_finite() {
                number(*size)
            } else {
                "not finite".to_owned()
            },
            path: short_path(&comparison.path(row.image)),
            reference: answer(row.best.map(|[one, _]| one)),
            answer: answer(row.best.map(|[_, other]| other)),
            within: row.within(&pair.tolerance, pair.basis),
        };
        (self.rows.iter().map(row).collect(), self.count)
    }
}

/// For each best class of the reference: the images whose best class is the same, all images, and the largest
/// difference.
#[derive(Default)]
struct Classes(BTreeMap<usize, (usize, usize, f64)>);

impl Classes {
    fn add(&mut self, row: &Row) {
        if let (Some(values), Some([one, _])) = (row.values(), row.best) {
            let class = self.0.entry(one.class_id).or_default();
            class.0 += usize::from(values.top1_match);
            class.1 += 1;
            class.2 = class.2.max(values.max_delta.unwrap_or(0.0));
        }
    }

    fn least_agreement(
        self,
        confusions: &Confusions,
        name: impl Fn(usize) -> String,
    ) -> Vec<ClassRow> {
        let mut classes: Vec<_> = self.0.into_iter().collect();
        classes.sort_by(|(_, a), (_, b)| {
            let lost = |(same, of, _): &(usize, usize, f64)| of - same;
            lost(b).cmp(&lost(a)).then(b.2.total_cmp(&a.2))
        });
        // Classes without changes are examples.
        let changed = classes.iter().filter(|(_, (same, of, _))| same < of);
        let most = changed.count().clamp(EXAMPLES, CLASSES);
        classes.truncate(most);
        let pairs = confusions.most();
        let row = |(class_id, (same, of, delta))| {
            let others: Vec<_> = pairs.iter().filter(|(one, ..)| *one == class_id).collect();
            let shown = others.iter().take(2);
            let shown =
                shown.map(|(_, other, count)| format!("{} × {}", grouped(*count), name(*other)));
            let rest = others.iter().skip(2).map(|(.., count)| count).sum();
            ClassRow {
                class_id,
                changed: of - same,
                class: name(class_id),
                same,
                of,
                delta: number(delta),
                others: reasons(shown.collect(), rest),
            }
        };
        classes.into_iter().map(row).collect()
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
pub struct ComparePage {
    frame: Frame,
    majority: Option<String>,
    duplicates: Option<String>,
    scores: Vec<Scorecard>,
    runs: Vec<RunRow>,
    notes: Vec<String>,
    input: String,
    tensors: String,
    tolerance: String,
    tolerance_by: String,
    top: usize,
    pairs: Vec<Section>,
    failures: Vec<FailureRow>,
    /// The number of all failures: not all of them are shown.
    failures_of: usize,
    bisect: Option<BisectSection>,
    thumbnails: String,
    machine: String,
}

impl ComparePage {
    fn add_contents(&mut self) {
        let frame = &mut self.frame;
        if self.failures_of > 0 {
            frame.add("failures", "Could not be compared", Some(self.failures_of));
        }
        for pair in &self.pairs {
            let heading = match self.pairs.len() {
                1 => "Images that differ most".to_owned(),
                _ => format!("Images: {}", pair.run),
            };
            frame.add(&format!("images-{}", pair.id), &heading, Some(pair.rows_of));
        }
        if !self.pairs.is_empty() {
            frame.add("classes", "Classes that differ most", None);
        }
        if let Some(bisect) = &self.bisect {
            frame.add("bisect", bisect.heading, None);
        }
        if !self.pairs.is_empty() {
            frame.add("distributions", "Distributions", None);
        }
        frame.add("runs", "Runs and environment", None);
    }
}

struct RunRow {
    name: String,
    reference: bool,
    what: String,
    model: String,
    machine: String,
}

/// Two runs.
struct Section {
    id: usize,
    run: String,
    reference: String,
    rates: Vec<(&'static str, String)>,
    distributions: Vec<(&'static str, [String; 5])>,
    charts: Vec<String>,
    /// The most images with another best class first.
    classes: Vec<ClassRow>,
    cards: Vec<Card>,
    images: usize,
    rows: Vec<DifferingRow>,
    rows_of: usize,
}

struct DifferingRow {
    delta: String,
    path: String,
    reference: String,
    answer: String,
    within: bool,
}

struct ClassRow {
    class_id: usize,
    changed: usize,
    class: String,
    same: usize,
    of: usize,
    delta: String,
    others: String,
}
