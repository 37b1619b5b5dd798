//! The figures of a measurement, as a table and as JSON.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::measure::{Bench, Plan, Round, sum};
use evaluation::Machine;
use evaluation::statistics::Distribution;
use evaluation::text::{counted, grouped, number, printable};

/// The width of the names of the rows.
const LABEL: usize = 28;
/// The width of a value: `29,687 images/s`.
const WIDEST: usize = 16;

/// Images in a second over the rounds.
#[derive(Debug, Clone, Copy)]
struct Throughput {
    /// The median.
    rate: f64,
    /// (largest − smallest) / median; `None` for a single round.
    spread: Option<f64>,
    /// Seconds of CPU for an image, over all rounds.
    cpu: Option<f64>,
}

impl Throughput {
    /// Returns the throughput over `rounds`, or `None` if there are none.
    fn of(rounds: &[Round]) -> Option<Self> {
        let mut rates: Vec<f64> = rounds
            .iter()
            .map(|round| round.images as f64 / round.seconds)
            .collect();
        rates.sort_by(f64::total_cmp);
        let (least, most) = (rates.first()?, rates.last()?);
        let middle = rates.len() / 2;
        let rate = if rates.len().is_multiple_of(2) {
            f64::midpoint(rates[middle - 1], rates[middle])
        } else {
            rates[middle]
        };
        let images: usize = rounds.iter().map(|round| round.images).sum();
        let cpu: Option<f64> = rounds.iter().map(|round| round.cpu).sum();
        Some(Self {
            rate,
            spread: (rounds.len() > 1).then_some((most - least) / rate),
            cpu: cpu.map(|cpu| cpu / images as f64),
        })
    }
}

/// The figures of a run.
pub struct Figures {
    name: String,
    model: PathBuf,
    engine: String,
    precision: String,
    slots: usize,
    /// The latency of a request, in milliseconds.
    latency: Distribution,
    inference: Throughput,
    /// The whole path, unless it was not measured.
    path: Option<Throughput>,
    /// Seconds of CPU for reading and decoding an image.
    decode_cpu: Option<f64>,
    /// Seconds of CPU for resizing an image and making its tensor.
    tensor_cpu: Option<f64>,
    /// Images in a second if all cores did nothing but decode, resize and infer: cores ÷ CPU time of an image.
    limit: Option<f64>,
}

impl Figures {
    /// Returns the figures of all rounds.
    pub fn of(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let milliseconds = || {
            bench
                .latencies
                .iter()
                .map(|latency| anyhow::Ok(latency * 1e3))
        };
        let latency = Distribution::of(milliseconds)?.context("nothing was measured")?;
        let inference = Throughput::of(&bench.inference).context("nothing was measured")?;
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        let needed = sum(sum(bench.decode_cpu, bench.tensor_cpu), inference.cpu);
        Ok(Self {
            name: bench.run.name.clone(),
            model: bench.run.model.clone(),
            engine: bench.run.info().description(),
            precision: bench.run.info().precision.clone(),
            slots: bench.run.running_requests,
            latency,
            inference,
            path: Throughput::of(&bench.path),
            decode_cpu: bench.decode_cpu,
            tensor_cpu: bench.tensor_cpu,
            limit: needed.map(|needed| cores as f64 / needed),
        })
    }

    /// Returns the larger spread of the two measurements, or `None` if one of them is unknown.
    pub fn spread(&self) -> Option<f64> {
        let path = self.path.map_or(Some(0.0), |path| path.spread)?;
        Some(self.inference.spread?.max(path))
    }

    /// Returns the seconds of CPU for an image without decoding, resizing and inference.
    fn other_cpu(&self) -> Option<f64> {
        Some(self.path?.cpu? - self.decode_cpu? - self.tensor_cpu? - self.inference.cpu?)
    }

    /// Returns the share of the limit that was reached.
    fn efficiency(&self) -> Option<f64> {
        Some(self.path?.rate / self.limit?)
    }

    fn json(&self, first: &Self) -> Value {
        let milliseconds = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
        let throughput = |own: &Throughput, first: &Throughput| {
            json!({
                "pictures_per_second": own.rate,
                "ratio": own.rate / first.rate,
                "spread": own.spread,
                "cpu_ms_per_picture": milliseconds(own.cpu),
            })
        };
        json!({
            "name": self.name,
            "model": self.model.to_string_lossy(),
            "engine": self.engine,
            "precision": self.precision,
            "infer_requests": self.slots,
            "inference": throughput(&self.inference, &first.inference),
            "latency_ms": self.latency,
            "whole_path": self.path.zip(first.path).map(|(own, first)| throughput(&own, &first)),
            "decode_cpu_ms": milliseconds(self.decode_cpu),
            "tensor_cpu_ms": milliseconds(self.tensor_cpu),
            "other_cpu_ms": milliseconds(self.other_cpu()),
            "limit_pictures_per_second": self.limit,
            "efficiency": self.efficiency(),
        })
    }
}

/// The figures of all runs, and the way in which they were measured.
pub struct Report<'a> {
    pub figures: &'a [Figures],
    pub machine: Machine,
    /// The number of measured images.
    pub images: usize,
    /// The number of given images.
    pub given: usize,
    /// True if no images were given, so that the program made them.
    pub made_up: bool,
    pub plan: &'a Plan,
    /// The number of finished rounds.
    pub rounds: usize,
}

impl Report<'_> {
    pub fn json(&self) -> String {
        let first = &self.figures[0];
        let runs = self.figures.iter().map(|figures| figures.json(first));
        let report = json!({
            "schema_version": 1,
            "kind": "bench",
            "machine": self.machine,
            "pictures": self.images,
            "pictures_given": self.given,
            "made_up": self.made_up,
            "seconds": self.plan.count.is_none().then_some(self.plan.seconds),
            "count": self.plan.count,
            "rounds": self.rounds,
            "rounds_planned": self.plan.rounds,
            "runs": runs.collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

/// Formats a rate: `2.35 images/s`, `101.7 images/s`, `29,687 images/s`.
fn per_second(rate: f64) -> String {
    let rate = if rate < 10.0 {
        number(rate)
    } else if rate < 999.95 {
        format!("{rate:.1}")
    } else {
        grouped(rate.round() as usize)
    };
    format!("{rate} images/s")
}

/// Formats a time: `12.5 ms`, `0.031 ms`.
fn in_milliseconds(milliseconds: f64) -> String {
    if milliseconds.abs() < 1.0 {
        return format!("{milliseconds:.3} ms");
    }
    format!("{} ms", number(milliseconds))
}

/// Returns the table of all runs, a column each.
pub fn table(report: &Report<'_>) -> String {
    let &Report {
        figures: results,
        ref machine,
        images,
        given,
        plan,
        rounds,
        ..
    } = report;
    let mut text = format!("{}\n", printable(&machine.description()));
    for result in results {
        let _ = writeln!(
            text,
            "{}: {}, model {}",
            printable(&result.name),
            printable(&result.engine),
            printable(&result.model.to_string_lossy())
        );
    }
    let length = match plan.count {
        Some(count) => counted(count, "image"),
        None => format!("{} s", plan.seconds),
    };
    let images = if images == given {
        counted(images, "image")
    } else {
        format!("{} of {}", grouped(images), counted(given, "image"))
    };
    let _ = writeln!(
        text,
        "{images}; medians of {} in which the runs take turns; {length} for each measurement\n",
        counted(plan.rounds, "round")
    );
    if rounds < plan.rounds {
        let _ = writeln!(text, "interrupted: {} done\n", counted(rounds, "round"));
    }
    let widths: Vec<usize> = results
        .iter()
        .map(|result| printable(&result.name).chars().count().max(WIDEST) + 2)
        .collect();
    let mut row = |label: &str, value: &dyn Fn(&Figures) -> String| {
        let _ = write!(text, "{label:<LABEL$}");
        for (result, width) in results.iter().zip(&widths) {
            let _ = write!(text, "{:>width$}", value(result));
        }
        text.push('\n');
    };
    let first = &results[0];
    let ratio = |own: f64, first: f64| format!("{:.2}", own / first);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let known = |value: Option<f64>, format: &dyn Fn(f64) -> String| {
        value.map_or_else(|| "unknown".to_owned(), format)
    };
    let milliseconds =
        |seconds: Option<f64>| known(seconds, &|seconds| in_milliseconds(seconds * 1e3));
    row("", &|r| printable(&r.name));
    row("precision", &|r| r.precision.clone());
    row("infer requests", &|r| r.slots.to_string());
    row("inference alone", &|r| per_second(r.inference.rate));
    row("  ratio", &|r| {
        ratio(r.inference.rate, first.inference.rate)
    });
    row("  spread over the rounds", &|r| {
        known(r.inference.spread, &percent)
    });
    row("  latency p50", &|r| in_milliseconds(r.latency.p50));
    row("  latency p90", &|r| in_milliseconds(r.latency.p90));
    row("  latency p99", &|r| in_milliseconds(r.latency.p99));
    row("  latency max", &|r| in_milliseconds(r.latency.max));
    if plan.inference_only {
        return text;
    }
    let path = |r: &Figures, value: &dyn Fn(&Throughput) -> String| {
        r.path.as_ref().map_or_else(String::new, value)
    };
    row("whole path", &|r| path(r, &|path| per_second(path.rate)));
    row("  ratio", &|r| {
        let first = first.path.map_or(f64::NAN, |path| path.rate);
        path(r, &|path| ratio(path.rate, first))
    });
    row("  spread over the rounds", &|r| {
        path(r, &|path| known(path.spread, &percent))
    });
    row("CPU for an image", &|r| {
        path(r, &|path| milliseconds(path.cpu))
    });
    row("  read and decode", &|r| milliseconds(r.decode_cpu));
    row("  resize and tensor", &|r| milliseconds(r.tensor_cpu));
    row("  inference", &|r| milliseconds(r.inference.cpu));
    row("  the rest", &|r| milliseconds(r.other_cpu()));
    row("limit: cores / CPU", &|r| known(r.limit, &per_second));
    row("  share reached", &|r| known(r.efficiency(), &percent));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_for_people() {
        for (rate, text) in [
            (2.345_6, "2.35 images/s"),
            (101.72, "101.7 images/s"),
            (999.96, "1,000 images/s"),
            (29_686.6, "29,687 images/s"),
        ] {
            assert_eq!(per_second(rate), text);
        }
    }
}
