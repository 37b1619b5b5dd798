//! `classify bench`: how fast runs are, alone and with all of the work on images.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backend_api::{InferRequest, Tensor};
use futures_executor::block_on;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image_classification::{Feed, ImageBuffers, ImageFile};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::args::{BenchArgs, InputArgs, InspectFormat, RunsArgs};
use crate::cpu_time;
use crate::image_memory;
use crate::inputs::Input;
use crate::interrupt::{self, Temporary};
use crate::messages::{Hinted, Messages, counted, printable};
use crate::options::RunsOptions;
use crate::output;
use crate::results::Classified;
use crate::session::{self, OpenRun, Session};
use evaluation::Machine;
use evaluation::statistics::Distribution;

/// The size of the made-up images, that of a common photo in a data set.
const MADE_UP: (u32, u32) = (500, 375);
const MADE_UP_IMAGES: u64 = 12;
/// The most images that are measured with, and the most bytes of a run's tensors that are kept. More of them
/// would not change the figures, but preparing them would take longer than the measurement.
const MOST_IMAGES: usize = 64;
const MOST_TENSOR_BYTES: usize = 256 << 20;
/// Rounds that differ by more than this say that the machine did other things as well.
const NOISY: f64 = 0.10;

/// Measures and prints the table.
pub fn run(args: BenchArgs, messages: &mut Messages) -> anyhow::Result<()> {
    let made_up = args
        .input
        .is_empty()
        .then(made_up_images)
        .transpose()
        .context("cannot make up images")?;
    let plan = Plan {
        rounds: args
            .count
            .map_or(args.rounds, |count| args.rounds.min(count)),
        seconds: args.duration,
        count: args.count,
        warm_up: args.warm_up,
        inference_only: args.inference_only,
    };
    let format = args.format;
    let input = match &made_up {
        Some((folder, _)) => vec![folder.path().to_owned()],
        None => args.input,
    };
    let options = RunsOptions::try_from(RunsArgs {
        runs: args.runs,
        input: InputArgs {
            model: args.model,
            input,
            input_list: Vec::new(),
            recursive: args.recursive,
        },
        reference: None,
        report: Vec::new(),
        quiet: args.quiet,
        scores: args.scores,
        preprocess: args.preprocess,
        precision: args.precision,
        tuning: args.tuning,
    })?;
    options.say_what_is_not_said(messages);
    if made_up.is_some() {
        messages.note(
            "no images are given; made-up ones decode faster or slower than yours: pass `-i photos/`",
        );
    }
    let opened = Session::open(&options, messages)?;
    opened.report_failures(messages);
    let mut paths = Vec::new();
    for Input { path, problem } in options.inputs.list {
        match problem {
            None => paths.push(path),
            Some(error) => messages.input_failed(&printable(&path.to_string_lossy()), &error),
        }
    }
    let given = paths.len();
    let mut benches: Vec<Bench> = opened
        .ready()
        .map(|(_, run)| Bench::new(run, options.jobs))
        .collect();
    if benches.is_empty() {
        return Err(Hinted::new("no run is left to measure", "fix the errors above").into());
    }
    messages.step("preparing the images");
    prepare(&mut benches, &mut paths, messages)?;
    for bench in &mut benches {
        bench.infer(Goal::Count(plan.warm_up))?;
        if !plan.inference_only {
            bench.classify(&paths, Goal::Count(plan.warm_up.min(paths.len())))?;
        }
    }
    let rounds = interrupt::take_until_interrupted(0..plan.rounds);
    if plan.count.is_none() {
        let measures = if plan.inference_only { 1 } else { 2 } * benches.len();
        let seconds = plan.seconds * measures as f64;
        messages.note(&format!("measuring for about {seconds:.0} s"));
    }
    if let Some(count) = plan.count {
        let needed = |bench: &Bench| 2 * bench.run.info().slots * bench.run.input.batch;
        let needed = benches.iter().map(needed).max().unwrap_or(1) * plan.rounds;
        if count < needed {
            messages.warning(&format!(
                "{} in {} do not keep every infer request busy: measure at least {needed}, or in fewer rounds",
                counted(count, "image"),
                counted(plan.rounds, "round")
            ));
        }
    }
    let mut done = 0;
    'rounds: for round in rounds {
        let mut measured = Vec::new();
        for bench in &mut benches {
            messages.step(&format!(
                "{}: round {} of {}",
                bench.run.name,
                round + 1,
                plan.rounds
            ));
            let (inference, latencies) = bench.infer(plan.goal(round))?;
            let path = if plan.inference_only {
                None
            } else {
                Some(bench.classify(&paths, plan.goal(round))?)
            };
            // A round that was cut short counts for no run.
            if interrupt::signal().is_some() {
                break 'rounds;
            }
            measured.push((inference, latencies, path));
        }
        for (bench, (inference, latencies, path)) in benches.iter_mut().zip(measured) {
            bench.inference.push(inference);
            bench.latencies.extend(latencies);
            bench.path.extend(path);
        }
        done += 1;
    }
    messages.end_progress();
    let interrupted = || {
        let hint = "only rounds that are done are printed; measure again for all of them";
        interrupt::check(done, plan.rounds, "rounds").map_err(|found| found.with_hint(hint))
    };
    if done == 0 {
        interrupted()?;
    }
    let results: Vec<Figures> = benches
        .iter()
        .map(Bench::figures)
        .collect::<Result<_, _>>()?;
    let machine = Machine::current();
    let images = paths.len();
    let text = match format {
        InspectFormat::Text => table(&results, &machine, [images, given], &plan, done),
        InspectFormat::Json => {
            let report = json!({
                "schema_version": 1,
                "kind": "bench",
                "machine": machine,
                "pictures": images,
                "pictures_given": given,
                "made_up": made_up.is_some(),
                "seconds": plan.count.is_none().then_some(plan.seconds),
                "count": plan.count,
                "rounds": done,
                "rounds_planned": plan.rounds,
                "runs": results.iter().map(|result| result.json(&results[0])).collect::<Vec<_>>(),
            });
            format!("{report:#}\n")
        }
    };
    output::print(&text)?;
    interrupted()?;
    let worst = results
        .iter()
        .filter_map(Figures::spread)
        .fold(0.0, f64::max);
    if worst > NOISY {
        messages.warning(&format!(
            "the machine was noisy: between rounds throughput differed by up to {:.0} %; measure again when it \
             is quiet, or for longer (--duration)",
            worst * 100.0
        ));
    }
    Ok(())
}

/// How long to measure.
struct Plan {
    rounds: usize,
    seconds: f64,
    count: Option<usize>,
    warm_up: usize,
    inference_only: bool,
}

impl Plan {
    /// That of a round, counted from 0.
    fn goal(&self, round: usize) -> Goal {
        if let Some(count) = self.count {
            let remainder = usize::from(round < count % self.rounds);
            return Goal::Count(count / self.rounds + remainder);
        }
        let seconds = self.seconds / self.rounds as f64;
        Goal::Until(Instant::now() + Duration::from_secs_f64(seconds))
    }
}

/// When to stop.
#[derive(Clone, Copy)]
enum Goal {
    Until(Instant),
    Count(usize),
}

impl Goal {
    /// Whether to go on when so many were begun; one at least.
    fn goes_on(self, begun: usize) -> bool {
        if begun > 0 && interrupt::signal().is_some() {
            return false;
        }
        match self {
            Self::Until(end) => begun == 0 || Instant::now() < end,
            Self::Count(count) => begun < count,
        }
    }
}

/// What was measured in a round.
#[derive(Debug, Clone, Copy)]
struct Round {
    images: usize,
    seconds: f64,
    /// Of all threads.
    cpu: Option<f64>,
}

/// Measures what `work` does, which says how many images it did.
fn measured(work: impl FnOnce() -> anyhow::Result<usize>) -> anyhow::Result<Round> {
    let (start, cpu) = (Instant::now(), cpu_time::process());
    let images = work()?;
    Ok(Round {
        images,
        seconds: start.elapsed().as_secs_f64(),
        cpu: difference(cpu, cpu_time::process()),
    })
}

fn difference(before: Option<Duration>, after: Option<Duration>) -> Option<f64> {
    Some(after?.saturating_sub(before?).as_secs_f64())
}

/// A run under measurement.
struct Bench<'a> {
    run: &'a OpenRun,
    feed: Feed,
    /// Of requests.
    tensors: Vec<Arc<Tensor>>,
    /// The next image of the whole path: rounds go on where the last one ended.
    next: usize,
    /// Seconds of CPU for an image, on one thread.
    decode_cpu: Option<f64>,
    tensor_cpu: Option<f64>,
    inference: Vec<Round>,
    path: Vec<Round>,
    /// Of each request in seconds, while all slots are busy.
    latencies: Vec<f64>,
}

/// Makes the tensors of every image once, alone, and measures that. An image that cannot be prepared is
/// reported and left out, and of many some are left out, evenly.
fn prepare(
    benches: &mut [Bench],
    paths: &mut Vec<PathBuf>,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let given = paths.len();
    if given > MOST_IMAGES {
        let chosen = (0..MOST_IMAGES).map(|index| index * given / MOST_IMAGES);
        *paths = chosen.map(|index| paths[index].clone()).collect();
    }
    let mut memory: Vec<Memory> = benches.iter().map(|_| Memory::default()).collect();
    // Once for nothing: the memory that is used again is there afterwards, as on a long run.
    if let Some(path) = paths.first() {
        for (bench, memory) in benches.iter().zip(&mut memory) {
            let _ = Prepared::of(path, bench.run, memory);
        }
    }
    paths.retain(|path| {
        let prepared: anyhow::Result<Vec<_>> = benches
            .iter()
            .zip(&mut memory)
            .map(|(bench, memory)| Prepared::of(path, bench.run, memory))
            .collect();
        match prepared {
            Ok(prepared) => {
                for (bench, prepared) in benches.iter_mut().zip(prepared) {
                    bench.add(prepared);
                }
                true
            }
            Err(error) => {
                messages.input_failed(&printable(&path.to_string_lossy()), &error);
                false
            }
        }
    });
    if paths.is_empty() {
        let error = "no image is left to measure with";
        return Err(Hinted::new(error, "fix the errors above").into());
    }
    let images = paths.len() as f64;
    for bench in benches {
        bench.decode_cpu = bench.decode_cpu.map(|cpu| cpu / images);
        bench.tensor_cpu = bench.tensor_cpu.map(|cpu| cpu / images);
    }
    Ok(())
}

/// The memory of the last image: as in the pipeline, the next one is made in it.
#[derive(Default)]
struct Memory {
    buffers: ImageBuffers,
    tensor: Option<Tensor>,
    batch: Option<Tensor>,
}

/// The tensor of a request, and the seconds of CPU that an image took.
struct Prepared {
    tensor: Tensor,
    decode_cpu: Option<f64>,
    tensor_cpu: Option<f64>,
}

impl Prepared {
    fn of(path: &Path, run: &OpenRun, memory: &mut Memory) -> anyhow::Result<Self> {
        let start = cpu_time::thread();
        let mut file = ImageFile::read(
            path,
            &[run.input],
            image_memory::of_process(),
            std::mem::take(&mut memory.buffers),
        )?;
        let image = file.image(&run.input)?;
        let decoded = cpu_time::thread();
        let one = run.input.one(memory.tensor.take(), image)?;
        let made = cpu_time::thread();
        let (tensor, joining_cpu) = match run.input.batch {
            1 => (one.clone(), Some(0.0)),
            batch => {
                let joined = Tensor::concat_in(memory.batch.take(), &vec![&one; batch])?;
                let cpu = difference(made, cpu_time::thread());
                memory.batch = Some(joined.clone());
                // The whole batch took it.
                (joined, cpu.map(|cpu| cpu / batch as f64))
            }
        };
        memory.tensor = Some(one);
        memory.buffers = file.into_buffers();
        Ok(Self {
            tensor,
            decode_cpu: difference(start, decoded),
            tensor_cpu: sum(difference(decoded, made), joining_cpu),
        })
    }
}

/// Unknown if one of them is.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}

impl<'a> Bench<'a> {
    fn new(run: &'a OpenRun, jobs: usize) -> Self {
        Self {
            run,
            feed: Feed::new(vec![run.to_feed()], session::feed_options(jobs)),
            tensors: Vec::new(),
            next: 0,
            decode_cpu: Some(0.0),
            tensor_cpu: Some(0.0),
            inference: Vec::new(),
            path: Vec::new(),
            latencies: Vec::new(),
        }
    }

    fn add(&mut self, prepared: Prepared) {
        self.decode_cpu = sum(self.decode_cpu, prepared.decode_cpu);
        self.tensor_cpu = sum(self.tensor_cpu, prepared.tensor_cpu);
        let kept = self.tensors.len() * prepared.tensor.as_bytes().len();
        if kept < MOST_TENSOR_BYTES {
            self.tensors.push(Arc::new(prepared.tensor));
        }
    }

    /// Inference alone, with every slot busy.
    fn infer(&self, goal: Goal) -> anyhow::Result<(Round, Vec<f64>)> {
        let backend = &*self.run.backend;
        let batch = self.run.input.batch;
        let mut latencies = Vec::new();
        let round = measured(|| {
            let tensors = self.tensors.iter().cycle().enumerate();
            let tensors = tensors.take_while(|(begun, _)| goal.goes_on(begun * batch));
            let requests = stream::iter(tensors).map(|(_, tensor)| async {
                let start = Instant::now();
                let request = InferRequest::new(0, Arc::clone(tensor));
                backend.submit(request).await?.await?;
                Ok::<_, backend_api::Error>(start.elapsed().as_secs_f64())
            });
            let all = requests.buffer_unordered(self.run.info().slots);
            latencies = block_on(all.try_collect())?;
            Ok(latencies.len() * batch)
        })?;
        Ok((round, latencies))
    }

    /// All of the work, as `classify` does it.
    fn classify(&mut self, paths: &[PathBuf], goal: Goal) -> anyhow::Result<Round> {
        let round = measured(|| {
            let inputs = paths.iter().cycle().skip(self.next % paths.len());
            let inputs = inputs
                .enumerate()
                .take_while(|(begun, _)| goal.goes_on(*begun))
                .map(|(_, path)| (path, path.as_path().into()));
            let mut images = 0;
            for answer in self.feed.blocking_answers(inputs) {
                let named = || printable(&answer.input.to_string_lossy());
                let outputs = answer.result.with_context(named)?;
                let interpretation = self.run.reading.interpretation;
                Classified::new(outputs, interpretation, 10, None).with_context(named)?;
                images += 1;
            }
            Ok(images)
        })?;
        self.next += round.images;
        Ok(round)
    }

    fn figures(&self) -> anyhow::Result<Figures> {
        let milliseconds = || {
            self.latencies
                .iter()
                .map(|latency| anyhow::Ok(latency * 1e3))
        };
        let latency = Distribution::of(milliseconds)?.context("nothing was measured")?;
        let inference = Throughput::of(&self.inference).context("nothing was measured")?;
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        let needed = sum(sum(self.decode_cpu, self.tensor_cpu), inference.cpu);
        Ok(Figures {
            name: self.run.name.clone(),
            model: self.run.model.clone(),
            engine: self.run.info().description(),
            precision: self.run.info().precision.clone(),
            slots: self.run.info().slots,
            latency,
            inference,
            path: Throughput::of(&self.path),
            decode_cpu: self.decode_cpu,
            tensor_cpu: self.tensor_cpu,
            limit: needed.map(|needed| cores as f64 / needed),
        })
    }
}

/// Images in a second over the rounds.
#[derive(Debug, Clone, Copy)]
struct Throughput {
    /// The median.
    rate: f64,
    /// (largest − smallest) / median; unknown of one round.
    spread: Option<f64>,
    /// Seconds of CPU for an image, over all rounds.
    cpu: Option<f64>,
}

impl Throughput {
    /// `None` without rounds.
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

/// What is reported of a run.
struct Figures {
    name: String,
    model: PathBuf,
    engine: String,
    precision: String,
    slots: usize,
    /// In milliseconds.
    latency: Distribution,
    inference: Throughput,
    /// Unless it was left out.
    path: Option<Throughput>,
    /// Seconds for an image.
    decode_cpu: Option<f64>,
    tensor_cpu: Option<f64>,
    /// Images in a second, if all cores did nothing else: cores ÷ CPU for an image.
    limit: Option<f64>,
}

impl Figures {
    /// The larger one.
    fn spread(&self) -> Option<f64> {
        let path = self.path.map_or(Some(0.0), |path| path.spread)?;
        Some(self.inference.spread?.max(path))
    }

    /// Seconds of CPU for an image that are none of decoding, resizing and inference.
    fn other_cpu(&self) -> Option<f64> {
        Some(self.path?.cpu? - self.decode_cpu? - self.tensor_cpu? - self.inference.cpu?)
    }

    /// The share of the limit that was reached.
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

fn table(
    results: &[Figures],
    machine: &Machine,
    [images, given]: [usize; 2],
    plan: &Plan,
    rounds: usize,
) -> String {
    const LABEL: usize = 32;
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
        format!("{images} of {}", counted(given, "image"))
    };
    let _ = writeln!(
        text,
        "{images}; each measure {length} in {}, the runs in turns; medians\n",
        counted(plan.rounds, "round")
    );
    if rounds < plan.rounds {
        let _ = writeln!(text, "interrupted: {} done\n", counted(rounds, "round"));
    }
    let widths: Vec<usize> = results
        .iter()
        .map(|result| printable(&result.name).chars().count().max(9) + 2)
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
        |seconds: Option<f64>| known(seconds, &|seconds| format!("{:.2}", seconds * 1e3));
    row("", &|r| printable(&r.name));
    row("precision", &|r| r.precision.clone());
    row("infer requests", &|r| r.slots.to_string());
    row("inference alone, images/s", &|r| {
        format!("{:.1}", r.inference.rate)
    });
    row("  ratio", &|r| {
        ratio(r.inference.rate, first.inference.rate)
    });
    row("  spread over the rounds", &|r| {
        known(r.inference.spread, &percent)
    });
    row("  latency p50, ms", &|r| format!("{:.2}", r.latency.p50));
    row("  latency p90, ms", &|r| format!("{:.2}", r.latency.p90));
    row("  latency p99, ms", &|r| format!("{:.2}", r.latency.p99));
    row("  latency max, ms", &|r| format!("{:.2}", r.latency.max));
    if plan.inference_only {
        return text;
    }
    let path = |r: &Figures, value: &dyn Fn(&Throughput) -> String| {
        r.path.as_ref().map_or_else(String::new, value)
    };
    row("whole path, images/s", &|r| {
        path(r, &|path| format!("{:.1}", path.rate))
    });
    row("  ratio", &|r| {
        let first = first.path.map_or(f64::NAN, |path| path.rate);
        path(r, &|path| ratio(path.rate, first))
    });
    row("  spread over the rounds", &|r| {
        path(r, &|path| known(path.spread, &percent))
    });
    row("CPU for an image, ms", &|r| {
        path(r, &|path| milliseconds(path.cpu))
    });
    row("  read and decode", &|r| milliseconds(r.decode_cpu));
    row("  resize and tensor", &|r| milliseconds(r.tensor_cpu));
    row("  inference", &|r| milliseconds(r.inference.cpu));
    row("  the rest", &|r| milliseconds(r.other_cpu()));
    row("limit: cores / CPU, images/s", &|r| {
        known(r.limit, &|limit| format!("{limit:.1}"))
    });
    row("  of it reached", &|r| known(r.efficiency(), &percent));
    text
}

/// Images that are neither flat nor noise, as PNG: there is no encoder for JPEG here.
fn made_up_images() -> anyhow::Result<(TempDir, Temporary)> {
    let folder = tempfile::tempdir()?;
    let temporary = interrupt::remove_when_stopped(folder.path());
    for seed in 0..MADE_UP_IMAGES {
        write_made_up(&folder.path().join(format!("{seed:02}.png")), seed)?;
    }
    Ok((folder, temporary))
}

fn write_made_up(path: &Path, seed: u64) -> anyhow::Result<()> {
    let (width, height) = MADE_UP;
    let mut random = fastrand::Rng::with_seed(seed);
    let waves: Vec<[f32; 3]> = (0..6)
        .map(|_| [random.f32() * 0.1, random.f32() * 0.1, random.f32() * 6.3])
        .collect();
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let wave = |[a, b, c]: &[f32; 3]| (a * x as f32 + b * y as f32 + c).sin();
                let level: f32 = waves[channel * 2..][..2].iter().map(wave).sum();
                let noise = random.f32() * 16.0;
                pixels.push((level * 56.0 + 120.0 + noise) as u8);
            }
        }
    }
    let mut encoder = png::Encoder::new(io::BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    Ok(writer.finish()?)
}
