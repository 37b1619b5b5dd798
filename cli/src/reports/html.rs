//! The HTML report: a self-contained page without scripts.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use askama::Template;
use backend_api::{Dim, ElementType, TensorSpec};
use data_encoding::BASE64;
use image_classification::{
    ColorOrder, ImageBuffers, ImageFile, InputLayout, Interpolation, Labels, Preprocess, Ranked,
    Resize,
};

use evaluation::{ComparedPair, ComparisonReport, EvaluatedRun, EvaluationReport, RunInfo};

use super::changes::ChangesText;
use super::wording::{ComparisonText as _, EvaluationText as _, FAILURES, FailureRow, class};
use super::{Exporter, bisection};
use crate::image_decoder;
use crate::image_memory;
use evaluation::accuracy::{Calibration, Counts, Decisions};
use evaluation::agreement::{Gate, Pair, Row, Verdict};
use evaluation::percent;
use evaluation::text::{counted, number, printable};

/// The long side of a thumbnail in pixels.
const THUMBNAIL: u32 = 160;
/// The most points of a scatter plot: ten thousand make no image clearer and every browser slower.
const POINTS: usize = 2_000;
/// The most rows of a table of classes.
const CLASSES: usize = 20;

/// One page without scripts or further files.
pub struct Html;

impl Exporter for Html {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(out.write_all(comparison_page(comparison)?.as_bytes())?)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(out.write_all(evaluation_page(evaluation)?.as_bytes())?)
    }
}

fn comparison_page(comparison: &ComparisonReport) -> anyhow::Result<String> {
    let runs = comparison
        .runs
        .iter()
        .enumerate()
        .map(|(index, run)| {
            let info = run.info.as_ref();
            RunRow {
                name: printable(&run.name),
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
        .collect();
    let page = ComparePage {
        verdict: word(comparison.verdict()),
        line: comparison.summary(),
        majority: comparison.majority_line(),
        runs,
        input: comparison.preprocessing(),
        tensors: comparison.tensors.to_string(),
        compared: comparison.compared,
        images: counted(comparison.images.len(), "image"),
        top: comparison.top,
        pairs: comparison
            .against_reference()
            .map(|pair| section(comparison, pair))
            .collect::<Result<_, _>>()?,
        failures_of: comparison.failures.len(),
        failures: comparison.failure_rows().take(FAILURES).collect(),
        bisect: comparison.bisect.as_ref().map(bisection::text),
        machine: comparison.machine.description(),
    };
    page.render().context("cannot write the page")
}

fn evaluation_page(evaluation: &EvaluationReport) -> anyhow::Result<String> {
    let runs = evaluation.runs.iter().enumerate();
    let page = EvaluatePage {
        verdict: word(evaluation.verdict()),
        line: evaluation.summary(),
        titles: evaluation
            .evaluated()
            .map(|(index, ..)| evaluation.title(index))
            .collect(),
        values: evaluation.side_by_side(),
        truth_gate: evaluation.truth_gate(),
        duplicates: evaluation.duplicates.line(&evaluation.images),
        runs: runs
            .map(|(index, run)| evaluated_run(evaluation, index, run))
            .collect(),
        images: counted(evaluation.images.len(), "image"),
        missing: evaluation.missing.len(),
        surplus: evaluation.surplus.len(),
        failures_of: evaluation.failures.len(),
        failures: evaluation.failure_rows().take(FAILURES).collect(),
        machine: evaluation.machine.description(),
    };
    page.render().context("cannot write the page")
}

fn evaluated_run(evaluation: &EvaluationReport, index: usize, run: &EvaluatedRun) -> RunSection {
    let name = |class_id| evaluation.class(index, class_id);
    let mut page = RunSection {
        title: evaluation.title(index),
        what: String::new(),
        labels: evaluation.labels_line(index),
        gates: evaluation.gates(index),
        bins: Vec::new(),
        confusions: Vec::new(),
        classes: Vec::new(),
        decisions: Vec::new(),
        wrong: Vec::new(),
        changes: ChangesText::new(evaluation, index, FAILURES),
    };
    let found = match &run.results {
        Ok(found) => found,
        Err(error) => {
            page.what = printable(&format!("failed: {error}"));
            return page;
        }
    };
    page.what = printable(&found.info.description());
    match &found.accuracy.counts {
        Counts::SingleLabel(counts) => {
            page.bins = counts.calibration.as_deref().map(bins).unwrap_or_default();
            let confusions = counts.confusions(CLASSES).into_iter();
            page.confusions = confusions
                .map(|(truth, answer, count)| (count, name(truth), name(answer)))
                .collect();
            let classes = counts.least_right(CLASSES).into_iter();
            page.classes = classes
                .map(|(class_id, of)| (name(class_id), of.top1, of.images))
                .collect();
        }
        Counts::MultiLabel(counts) => {
            let classes = counts.least_right(CLASSES).into_iter();
            page.decisions = classes
                .map(|(class_id, of)| (name(class_id), percent(of.quality().f1), of))
                .collect();
        }
    }
    let lists = page
        .changes
        .iter_mut()
        .flat_map(|changes| &mut changes.lists);
    for row in lists.flat_map(|list| list.rows.iter_mut().take(CLASSES)) {
        row.thumbnail = thumbnail(&evaluation.images[row.image]);
    }
    let wrong = found.wrong.iter().take(CLASSES);
    page.wrong = wrong
        .map(|wrong| Wrong {
            path: evaluation.path(wrong.image),
            thumbnail: thumbnail(&evaluation.images[wrong.image]),
            truth: evaluation.classes(index, &wrong.truth),
            answer: evaluation.classes(index, &wrong.answer),
        })
        .collect();
    page
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    verdict: &'static str,
    line: String,
    majority: Option<String>,
    runs: Vec<RunRow>,
    input: String,
    tensors: String,
    compared: usize,
    images: String,
    top: usize,
    pairs: Vec<Section>,
    failures: Vec<FailureRow>,
    /// The number of all failures: not all of them are shown.
    failures_of: usize,
    bisect: Option<String>,
    machine: String,
}

#[derive(Template)]
#[template(path = "evaluate.html")]
struct EvaluatePage {
    verdict: &'static str,
    line: String,
    titles: Vec<String>,
    /// A row for each name, with a value for each run.
    values: Vec<(String, Vec<String>)>,
    truth_gate: Option<Gate>,
    duplicates: Option<String>,
    runs: Vec<RunSection>,
    images: String,
    missing: usize,
    surplus: usize,
    /// The first failures.
    failures: Vec<FailureRow>,
    /// The number of all failures.
    failures_of: usize,
    machine: String,
}

struct RunRow {
    name: String,
    reference: bool,
    what: String,
    model: String,
    machine: String,
}

struct RunSection {
    title: String,
    what: String,
    /// The difference from the labels of the reference.
    labels: Option<String>,
    gates: Vec<Gate>,
    bins: Vec<Bar>,
    confusions: Vec<(usize, String, String)>,
    classes: Vec<(String, usize, usize)>,
    /// The classes of a multi-label model with F1 in percent.
    decisions: Vec<(String, String, Decisions)>,
    wrong: Vec<Wrong>,
    changes: Option<ChangesText>,
}

struct Wrong {
    path: String,
    thumbnail: Option<String>,
    truth: String,
    answer: String,
}

/// Two runs.
struct Section {
    run: String,
    reference: String,
    tolerance: String,
    gates: Vec<Gate>,
    rates: Vec<(&'static str, String)>,
    distributions: Vec<(&'static str, [String; 5])>,
    histogram: Vec<Bar>,
    points: Vec<Point>,
    /// The number of images that the points stand for.
    points_of: usize,
    /// Least agreement first: the class, how often it is the same, of how many, the largest difference.
    classes: Vec<(String, usize, usize, String)>,
    worst: Vec<WorstCard>,
}

/// A bar of a chart, in its coordinates.
struct Bar {
    x: usize,
    height: usize,
    label: String,
    title: String,
}

/// A point of the scatter plot, in its coordinates.
struct Point {
    x: f64,
    y: f64,
    same: bool,
}

struct WorstCard {
    path: String,
    thumbnail: Option<String>,
    what: String,
    lists: [Vec<Entry>; 2],
}

struct Entry {
    class: String,
    score: String,
    /// The width of the bar, in percent of the list.
    percent: f64,
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Recorded => "recorded",
        Verdict::Agree => "agree",
        Verdict::Disagree => "disagree",
        Verdict::CouldNotCompare => "unknown",
    }
}

fn section(comparison: &ComparisonReport, compared: &ComparedPair) -> anyhow::Result<Section> {
    let ComparedPair {
        reference,
        run,
        pair,
        gates,
        distributions,
        ..
    } = compared;
    let entry = |ranked: &Ranked| Entry {
        class: class(comparison.labels.as_ref(), ranked.class_id),
        score: format!("{:.4}", ranked.score),
        percent: f64::from(ranked.score).clamp(0.0, 1.0) * 100.0,
    };
    let mut histogram = Histogram::default();
    let mut scatter = Scatter::new(pair);
    let mut classes = Classes::default();
    for row in pair.rows.iter() {
        let row = row?;
        histogram.add(&row);
        scatter.add(&row);
        classes.add(&row);
    }
    Ok(Section {
        run: comparison.name(*run),
        reference: comparison.name(*reference),
        tolerance: pair.tolerance.to_string(),
        gates: gates.clone(),
        rates: pair.rates().into(),
        distributions: distributions
            .iter()
            .map(|(_, name, d)| (*name, [d.mean, d.p50, d.p90, d.p99, d.max].map(number)))
            .collect(),
        histogram: histogram.bars(),
        points: scatter.points,
        points_of: pair.rows.len(),
        classes: classes.least_agreement(comparison.labels.as_ref()),
        worst: pair
            .worst
            .iter()
            .map(|worst| WorstCard {
                path: comparison.path(worst.row.image),
                thumbnail: thumbnail(&comparison.images[worst.row.image]),
                what: comparison.row(&worst.row),
                lists: [0, 1].map(|side| worst.top[side].iter().map(entry).collect()),
            })
            .collect(),
    })
}

/// The number of images for each max |Δp|, in powers of ten.
#[derive(Default)]
struct Histogram {
    /// Nothing at all, what is below the least power, and each power from it to 1.
    counts: [usize; 1 + (1 - LEAST_POWER) as usize],
}

/// The least power. Smaller differences count as this.
const LEAST_POWER: i32 = -9;

impl Histogram {
    fn add(&mut self, row: &Row) {
        let Some(values) = row.values() else {
            return;
        };
        let Some(delta) = values.max_delta else {
            return;
        };
        let place = if delta == 0.0 {
            0
        } else {
            let power = delta.log10().floor();
            (power as i32).clamp(LEAST_POWER, 0) - LEAST_POWER + 1
        };
        self.counts[place as usize] += 1;
    }

    fn bars(&self) -> Vec<Bar> {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1);
        let bar = |(place, count): (usize, &usize)| {
            let label = if place == 0 {
                "0".to_owned()
            } else {
                format!("1e{}", place as i32 - 1 + LEAST_POWER)
            };
            Bar {
                x: place,
                height: count * 100 / most,
                title: format!("{} from {label}", counted(*count, "image")),
                label,
            }
        };
        self.counts.iter().enumerate().map(bar).collect()
    }
}

/// The best scores of both runs, the worst images among them whatever is left out.
struct Scatter {
    points: Vec<Point>,
    /// One of so many is shown.
    step: usize,
    seen: usize,
}

impl Scatter {
    fn new(pair: &Pair) -> Self {
        let worst = pair.worst.iter().filter_map(|worst| Point::of(&worst.row));
        Self {
            points: worst.collect(),
            step: pair.rows.len().div_ceil(POINTS).max(1),
            seen: 0,
        }
    }

    fn add(&mut self, row: &Row) {
        if self.seen.is_multiple_of(self.step) {
            self.points.extend(Point::of(row));
        }
        self.seen += 1;
    }
}

impl Point {
    fn of(row: &Row) -> Option<Self> {
        let [one, other] = row.best?;
        Some(Self {
            x: (f64::from(one.score).clamp(0.0, 1.0) * 1e4).round() / 100.0,
            y: (1e4 - f64::from(other.score).clamp(0.0, 1.0) * 1e4).round() / 100.0,
            same: one.class_id == other.class_id,
        })
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

    fn least_agreement(self, labels: Option<&Labels>) -> Vec<(String, usize, usize, String)> {
        let mut classes: Vec<_> = self.0.into_iter().collect();
        classes.sort_by(|(_, a), (_, b)| {
            let share = |(same, of, _): &(usize, usize, f64)| *same as f64 / *of as f64;
            share(a).total_cmp(&share(b)).then(b.2.total_cmp(&a.2))
        });
        classes.truncate(CLASSES);
        let row =
            |(class_id, (same, of, delta))| (class(labels, class_id), same, of, number(delta));
        classes.into_iter().map(row).collect()
    }
}

/// The share of right answers of each confidence.
fn bins(calibration: &Calibration) -> Vec<Bar> {
    let count = calibration.bins.len();
    calibration
        .bins
        .iter()
        .enumerate()
        .map(|(place, bin)| Bar {
            x: place,
            height: (bin.right * 100).checked_div(bin.images).unwrap_or(0),
            // There is no room for all of them.
            label: if place % 3 == 2 {
                format!("{:.2}", (place + 1) as f64 / count as f64)
            } else {
                String::new()
            },
            title: format!("{} of {} right", bin.right, bin.images),
        })
        .collect()
}

/// The image, small, as a data URI; `None` where it cannot be read any more.
fn thumbnail(path: &Path) -> Option<String> {
    let mut file = ImageFile::read(
        path,
        &[],
        image_memory::of_process(),
        &image_decoder::of_process(),
        ImageBuffers::default(),
    )
    .ok()?;
    let image = file.whole().ok()?;
    let long = image.width().max(image.height());
    let side = |side: u32| {
        let small = u64::from(side) * u64::from(THUMBNAIL.min(long)) / u64::from(long);
        (small as u32).max(1)
    };
    let (width, height) = (side(image.width()), side(image.height()));
    let dims = [1, height as usize, width as usize, 3].map(Dim::Fixed);
    let spec = TensorSpec::new("thumbnail", ElementType::U8, dims.into());
    let layout =
        InputLayout::from_spec(&spec, Some(image_classification::ImageLayout::Nhwc), None).ok()?;
    let recipe = Preprocess {
        color: ColorOrder::Rgb,
        mean: [0.0; 3],
        scale: [1.0; 3],
        resize: Resize::Stretch,
        interpolation: Interpolation::Bilinear,
    };
    let pixels = recipe.tensor(image, &layout).ok()?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(pixels.as_bytes()).ok()?;
    writer.finish().ok()?;
    Some(format!("data:image/png;base64,{}", BASE64.encode(&file)))
}
