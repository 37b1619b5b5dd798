//! Charts as inline SVG: every one has a title, axes with units, and the number of its images.

use askama::Template;
use evaluation::accuracy::Calibration;
use evaluation::percent;
use evaluation::text::{counted, grouped, number};

/// The left and right edge of the plot of bars, in the units of the drawing.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 350.0;
const WIDTH: f64 = RIGHT - LEFT;
/// The upper and lower edge of the plot of bars.
const TOP: f64 = 16.0;
const BOTTOM: f64 = 176.0;
const HEIGHT: f64 = BOTTOM - TOP;
/// The side of the square of a scatter plot.
const SQUARE: f64 = 288.0;
/// The most points of a group in a scatter plot: more make no image clearer and every browser slower.
const MOST_POINTS: usize = 1_000;
/// Bins with fewer images are pale.
const FEW: usize = 10;

/// A place on an axis with its text.
pub struct Tick {
    pub place: f64,
    pub text: String,
}

/// Returns a count of at most four characters, as far as there are fewer than a billion.
pub fn short_count(count: usize) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// Rounds a coordinate to a tenth, so that pages stay small.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Returns round numbers from 0 to about `most`: at most five.
fn round_numbers(most: usize) -> Vec<usize> {
    let steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)));
    let step = steps.into_iter().find(|step| most.div_ceil(*step) <= 4);
    let step = step.unwrap_or(most.max(1));
    (0..=most.div_ceil(step)).map(|tick| tick * step).collect()
}

/// A bar with the text above it and its tooltip.
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    count: String,
    pale: bool,
    title: String,
}

/// The number of images for each size of a difference, in powers of ten.
pub struct Decades {
    /// Nothing at all, then each power from the least to 1.
    counts: [usize; 1 + (1 - LEAST_POWER) as usize],
    unknown: usize,
    /// The number of images whose value fell and rose. Both are 0 for differences without a sign.
    signs: [usize; 2],
}

/// The least power. Smaller differences count as this.
const LEAST_POWER: i32 = -9;

impl Decades {
    pub const fn new() -> Self {
        Self {
            counts: [0; 1 + (1 - LEAST_POWER) as usize],
            unknown: 0,
            signs: [0; 2],
        }
    }

    /// Counts an image by the change of a value, whose sign the subtitle tells.
    pub fn add_change(&mut self, change: f64) {
        self.signs[0] += usize::from(change < 0.0);
        self.signs[1] += usize::from(change > 0.0);
        self.add(Some(change.abs()));
    }

    /// Counts an image, whose difference may be unknown.
    pub fn add(&mut self, difference: Option<f64>) {
        let Some(difference) = difference.filter(|it| !it.is_nan()) else {
            self.unknown += 1;
            return;
        };
        let place = if difference == 0.0 {
            0
        } else {
            let power = difference.log10().floor();
            (power as i32).clamp(LEAST_POWER, 0) - LEAST_POWER + 1
        };
        self.counts[place as usize] += 1;
    }

    /// Draws the counts. `what` names the difference; `limit` is the largest one that is allowed.
    pub fn chart(&self, title: String, what: &'static str, limit: Option<f64>) -> String {
        let images: usize = self.counts.iter().sum();
        if images == 0 {
            return String::new();
        }
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let ticks = round_numbers(most);
        let scale = HEIGHT / ticks.last().copied().unwrap_or(1).max(1) as f64;
        let step = WIDTH / self.counts.len() as f64;
        let bars = self.counts.iter().enumerate().map(|(place, &count)| {
            let range = match place as i32 - 1 + LEAST_POWER {
                power if power < LEAST_POWER => "exactly 0".to_owned(),
                LEAST_POWER => format!("below 1e{}", LEAST_POWER + 1),
                0 => "1 and more".to_owned(),
                power => format!("from 1e{power} to below 1e{}", power + 1),
            };
            Bar {
                x: tenth(LEFT + place as f64 * step + 2.0),
                y: tenth(BOTTOM - count as f64 * scale),
                width: tenth(step - 4.0),
                height: tenth(count as f64 * scale),
                count: if count > 0 {
                    short_count(count)
                } else {
                    String::new()
                },
                pale: false,
                title: format!("{what} {range}: {}", counted(count, "image")),
            }
        });
        // The lower end of each power is at the left edge of its bar.
        let edge = |power: f64| LEFT + (power - f64::from(LEAST_POWER) + 1.0) * step;
        let powers = (LEAST_POWER + 1..=0).step_by(2);
        let mut x_ticks: Vec<Tick> = powers
            .map(|power| Tick {
                place: tenth(edge(f64::from(power))),
                text: if power == 0 {
                    "1".to_owned()
                } else {
                    format!("1e{power}")
                },
            })
            .collect();
        x_ticks.insert(
            0,
            Tick {
                place: tenth(LEFT + step / 2.0),
                text: "0".to_owned(),
            },
        );
        let limit = limit.filter(|limit| *limit > 0.0).map(|limit| Tick {
            place: tenth(edge(limit.log10()).clamp(LEFT, RIGHT)),
            text: format!("limit {}", number(limit)),
        });
        let unknown = match self.unknown {
            0 => String::new(),
            count => format!("; {} without a finite value are not drawn", grouped(count)),
        };
        let signs = match self.signs {
            [0, 0] => String::new(),
            [fell, rose] => {
                let [fell, rose] = [fell, rose].map(grouped);
                format!("; it fell on {fell} and rose on {rose}")
            }
        };
        let chart = BarChart {
            subtitle: format!("{}{signs}{unknown}", counted(images, "image")),
            bars: bars.collect(),
            x_ticks,
            y_ticks: y_ticks(&ticks, scale),
            x_title: format!("{what}, powers of ten"),
            y_title: "images",
            limit,
            diagonal: false,
            strip: Vec::new(),
            strip_title: String::new(),
            title,
        };
        chart.render().unwrap_or_default()
    }
}

fn y_ticks(numbers: &[usize], scale: f64) -> Vec<Tick> {
    let tick = |number: &usize| Tick {
        place: tenth(BOTTOM - *number as f64 * scale),
        text: short_count(*number),
    };
    numbers.iter().map(tick).collect()
}

/// Draws the share of right answers by confidence, with the number of images of each bin below.
pub fn reliability(title: String, calibration: &Calibration) -> String {
    let bins = &calibration.bins;
    let images: usize = bins.iter().map(|bin| bin.images).sum();
    if images == 0 {
        return String::new();
    }
    let step = WIDTH / bins.len() as f64;
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(1);
    let text = |place: usize| {
        let bin = &bins[place];
        let [from, to] = [place, place + 1].map(|edge| edge as f64 / bins.len() as f64);
        format!(
            "confidence {from:.2} to {to:.2}: {} of {} right, mean confidence {}",
            grouped(bin.right),
            counted(bin.images, "image"),
            bin.mean_confidence()
                .map_or_else(|| "unknown".to_owned(), |mean| format!("{mean:.3}")),
        )
    };
    let bar = |place: usize, share: f64, bottom: f64, height: f64| Bar {
        x: tenth(LEFT + place as f64 * step + 1.0),
        y: tenth(bottom - share * height),
        width: tenth(step - 2.0),
        height: tenth(share * height),
        count: String::new(),
        pale: bins[place].images < FEW,
        title: text(place),
    };
    let places = 0..bins.len();
    let share = |place: usize| bins[place].right as f64 / bins[place].images.max(1) as f64;
    let fifths = || (0..=5).map(|fifth| f64::from(fifth) / 5.0);
    let error = calibration.error();
    let calibrated = calibration.calibrated().map_or_else(String::new, |it| {
        format!(
            "; a calibrated model has at most {} in 95 % of cases",
            number(it.p95)
        )
    });
    let chart = BarChart {
        title,
        subtitle: format!(
            "{}; calibration error {}{calibrated}",
            counted(images, "image"),
            number(error)
        ),
        bars: places
            .clone()
            .map(|place| bar(place, share(place), BOTTOM, HEIGHT))
            .collect(),
        strip: places
            .map(|place| {
                let count = bins[place].images as f64 / most as f64;
                bar(place, count, STRIP_BOTTOM, STRIP_HEIGHT)
            })
            .collect(),
        strip_title: format!(
            "images of each bin, at most {}; pale: fewer than {FEW}",
            grouped(most)
        ),
        x_ticks: fifths()
            .map(|at| Tick {
                place: tenth(LEFT + at * WIDTH),
                text: format!("{at:.1}"),
            })
            .collect(),
        y_ticks: fifths()
            .map(|at| Tick {
                place: tenth(BOTTOM - at * HEIGHT),
                text: format!("{:.0}", at * 100.0),
            })
            .collect(),
        x_title: "confidence: probability of the best class".to_owned(),
        y_title: "right answers, %",
        limit: None,
        diagonal: true,
    };
    chart.render().unwrap_or_default()
}

/// The strip of counts below a plot.
const STRIP_BOTTOM: f64 = 262.0;
const STRIP_HEIGHT: f64 = 34.0;

#[derive(Template)]
#[template(path = "charts/bars.html")]
struct BarChart {
    title: String,
    subtitle: String,
    bars: Vec<Bar>,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    x_title: String,
    y_title: &'static str,
    limit: Option<Tick>,
    diagonal: bool,
    /// Bars below the plot, with their title.
    strip: Vec<Bar>,
    strip_title: String,
}

/// The form of a group's points.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Dot,
    Cross,
    Plus,
}

/// Points of one kind in a scatter plot.
pub struct Group {
    name: &'static str,
    /// The class of the style sheet.
    style: &'static str,
    marker: Marker,
    seen: usize,
    /// One of so many is drawn.
    step: usize,
    points: Vec<[f64; 2]>,
}

impl Group {
    pub const fn new(name: &'static str, style: &'static str, marker: Marker) -> Self {
        Self {
            name,
            style,
            marker,
            seen: 0,
            step: 1,
            points: Vec::new(),
        }
    }

    /// Adds an image by its scores in the reference and in the run. Of many images every second, fourth, … stays.
    pub fn add(&mut self, scores: [f64; 2]) {
        if scores.iter().any(|score| score.is_nan()) {
            return;
        }
        if self.seen.is_multiple_of(self.step) {
            if self.points.len() == MOST_POINTS {
                let mut place = 0;
                self.points.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.step *= 2;
            }
            if self.seen.is_multiple_of(self.step) {
                self.points.push(scores);
            }
        }
        self.seen += 1;
    }

    /// Returns the number of images in words.
    fn seen(&self) -> String {
        grouped(self.seen)
    }

    fn drawn(&self) -> usize {
        self.points.len()
    }

    /// Returns the points as a path.
    fn path(&self) -> String {
        let points = self.points.iter().map(|[reference, run]| {
            let x = tenth(reference.clamp(0.0, 1.0) * SQUARE);
            let y = tenth(SQUARE - run.clamp(0.0, 1.0) * SQUARE);
            match self.marker {
                Marker::Dot => format!("M{x} {y}h0"),
                Marker::Cross => format!("M{} {}l6 6m0-6l-6 6", tenth(x - 3.0), tenth(y - 3.0)),
                Marker::Plus => format!("M{} {y}h8m-4-4v8", tenth(x - 4.0)),
            }
        });
        points.collect()
    }
}

/// A point with a tooltip.
pub struct NamedPoint {
    pub scores: [f64; 2],
    pub title: String,
}

impl NamedPoint {
    fn x(&self) -> f64 {
        tenth(self.scores[0].clamp(0.0, 1.0) * SQUARE)
    }

    fn y(&self) -> f64 {
        tenth(SQUARE - self.scores[1].clamp(0.0, 1.0) * SQUARE)
    }
}

/// A scatter plot of two scores of each image.
#[derive(Template)]
#[template(path = "charts/scatter.html")]
pub struct Scatter {
    pub title: String,
    pub groups: Vec<Group>,
    pub named: Vec<NamedPoint>,
    pub x_title: String,
    pub y_title: String,
}

impl Scatter {
    /// Draws the plot; empty without images.
    pub fn chart(&self) -> String {
        if self.images() == 0 {
            return String::new();
        }
        self.render().unwrap_or_default()
    }

    fn images(&self) -> usize {
        self.groups.iter().map(|group| group.seen).sum()
    }

    fn subtitle(&self) -> String {
        let drawn: usize = self.groups.iter().map(Group::drawn).sum();
        let images = counted(self.images(), "image");
        if drawn < self.images() {
            format!(
                "{images}, of which {} are drawn: at most {} of each kind",
                grouped(drawn),
                grouped(MOST_POINTS)
            )
        } else {
            images
        }
    }

    fn ticks() -> [Tick; 5] {
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| Tick {
            place: at * SQUARE,
            text: at.to_string(),
        })
    }
}

/// The most characters of a run's name at an axis.
pub const AXIS: usize = 30;

/// Returns a share as percent of a count.
pub fn share(count: usize, of: usize) -> String {
    percent(count as f64 / of.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        for (most, numbers) in [
            (0, &[0][..]),
            (1, &[0, 1]),
            (4, &[0, 1, 2, 3, 4]),
            (7, &[0, 2, 4, 6, 8]),
            (50_000, &[0, 20_000, 40_000, 60_000]),
        ] {
            assert_eq!(round_numbers(most), numbers, "{most}");
        }
    }

    #[test]
    fn a_group_of_many_points_draws_some_of_all() {
        let mut group = Group::new("all", "one", Marker::Dot);
        for image in 0..50_000 {
            group.add([f64::from(image) / 50_000.0; 2]);
        }
        assert!((MOST_POINTS / 2..=MOST_POINTS).contains(&group.drawn()));
        let last = group.points.last().unwrap()[0];
        assert!(last > 0.99, "{last}");
    }

    #[test]
    fn differences_are_counted_by_their_power_of_ten() {
        let mut decades = Decades::new();
        for difference in [0.0, 1e-12, 2e-9, 0.05, 0.5, 1.0, 30.0] {
            decades.add(Some(difference));
        }
        decades.add(None);
        assert_eq!(decades.counts, [1, 2, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
        let chart = decades.chart("title".to_owned(), "|Δp|", Some(0.05));
        assert!(!chart.contains("fell"), "{chart}");
        for text in [
            "7 images; 1 without a finite value",
            "limit 0.05",
            ">images<",
        ] {
            assert!(chart.contains(text), "{chart}");
        }
    }

    #[test]
    fn changes_are_drawn_by_their_size_and_counted_by_their_sign() {
        let mut decades = Decades::new();
        for change in [-0.05, 0.05, -0.5, 0.0] {
            decades.add_change(change);
        }
        assert_eq!(decades.counts, [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0]);
        let chart = decades.chart("title".to_owned(), "|Δp|", None);
        let subtitle = "4 images; it fell on 2 and rose on 1";
        assert!(chart.contains(subtitle), "{chart}");
    }
}
