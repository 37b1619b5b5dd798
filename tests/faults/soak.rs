//! Memory, descriptors and threads over many images. A planted leak of each kind must be found.
//!
//! `cargo soak --minutes N` gives each engine, and `compare`, a quarter of the time, until the counts of images are reached.
//! Before, each engine classifies all images of the count with a model of one layer, which takes seconds.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use classify_fake_openvino::FAULT;
use classify_tests::{Needs, children_of, ensure, library_dirs, photos, set_up, small_model};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake_engine::fake_library;

/// The minutes of a soak; `cargo soak` sets it.
const MINUTES: &str = "CLASSIFY_SOAK_MINUTES";
/// The images of a stream, and of `compare`.
const MOST_IMAGES: [usize; 2] = [100_000, 10_000];
/// The flags for a model that states nothing.
const SMALL_FLAGS: [&str; 2] = ["--color", "rgb"];
/// The lines that are sent before their answers are read: enough to keep an engine busy, and too few to fill a pipe.
const MOST_UNANSWERED: usize = 64;
/// The most that the resident memory may grow, in MB for 10,000 images, after the first half.
const MOST_GROWTH: f64 = 1.0;
/// The growth in MB that is the allocator's: a short soak sees no leak below it.
const NOISE: f64 = 4.0;
/// The least samples that a slope is computed from.
const LEAST_SAMPLES: usize = 20;

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = ["memory", "descriptor", "thread"]
        .map(|kind| {
            let name = format!("soak::a_leak_of_a_{kind}_is_found");
            Trial::test(name, move || planted(kind))
        })
        .into();
    trials.push(Trial::test(
        "soak::no_leak_is_found_where_there_is_none",
        none,
    ));
    let set_up = Needs::set_up();
    for engine in ["openvino", "onnx", "rten"] {
        for size in [Size::Small, Size::Photo] {
            let name = format!("soak::{engine}_is_flat_on_{}", size.name());
            trials.push(only_in_soak(
                set_up.test(name, move || stream(engine, size)),
            ));
        }
    }
    trials.push(only_in_soak(set_up.test("soak::compare_is_flat", compare)));
    trials
}

/// A trial that is ignored unless `cargo soak` runs it.
fn only_in_soak(trial: Trial) -> Trial {
    let is_ignored = trial.has_ignored_flag() || minutes().is_none();
    trial.with_ignored_flag(is_ignored)
}

/// The time for each of the four parts of a soak.
fn minutes() -> Option<Duration> {
    let minutes: f64 = std::env::var(MINUTES).ok()?.parse().ok()?;
    Some(Duration::from_secs_f64(minutes * 60.0 / 4.0))
}

/// The images of a stream, and the model.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// 8 x 8, and a model of one layer.
    Small,
    /// Photos, and SqueezeNet.
    Photo,
}

impl Size {
    const fn name(self) -> &'static str {
        match self {
            Self::Small => "small_images",
            Self::Photo => "photos",
        }
    }
}

/// The state of a process after some images.
#[derive(Debug, Clone, Copy)]
struct Sample {
    images: f64,
    /// The resident memory in KiB.
    memory: f64,
    descriptors: usize,
    threads: usize,
}

impl Sample {
    /// The process and its children: isolated engines.
    fn of_all(process: u32, images: f64) -> Result<Self, Failed> {
        let mut all = Self::of(process, images)?;
        for child in children_of(process)? {
            let child = Self::of(child, images)?;
            all.memory += child.memory;
            all.descriptors += child.descriptors;
            all.threads += child.threads;
        }
        Ok(all)
    }

    fn of(process: u32, images: f64) -> Result<Self, Failed> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let number = |key: &str| -> Result<usize, Failed> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let words = line.ok_or_else(|| format!("no {key}"))?;
            Ok(words.split_whitespace().next().ok_or("a number")?.parse()?)
        };
        Ok(Self {
            images,
            memory: number("VmRSS:")? as f64,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count(),
            threads: number("Threads:")?,
        })
    }
}

/// The growth of a process in the second half of its samples.
#[derive(Debug)]
struct Growth {
    images: f64,
    /// MB for 10,000 images, by least squares.
    memory: f64,
    /// The images of the second half.
    second: f64,
    /// The fewest in the third and in the fourth quarter.
    descriptors: [usize; 2],
    threads: [usize; 2],
    /// MB.
    peak: f64,
}

impl Growth {
    fn of(samples: &[Sample]) -> Result<Self, Failed> {
        ensure(samples.len() >= LEAST_SAMPLES, samples.len())?;
        let (_, second) = samples.split_at(samples.len() / 2);
        // Threads start with the first images.
        let (third, fourth) = second.split_at(second.len() / 2);
        let mean =
            |value: fn(&Sample) -> f64| second.iter().map(value).sum::<f64>() / second.len() as f64;
        let (images, memory) = (mean(|sample| sample.images), mean(|sample| sample.memory));
        let (mut products, mut squares) = (0.0, 0.0);
        for sample in second {
            products += (sample.images - images) * (sample.memory - memory);
            squares += (sample.images - images).powi(2);
        }
        // The fewest: an image that is read at the moment of a sample is not a leak.
        let fewest = |samples: &[Sample], value: fn(&Sample) -> usize| {
            samples.iter().map(value).min().unwrap_or_default()
        };
        let both = |value| [fewest(third, value), fewest(fourth, value)];
        let peak = samples
            .iter()
            .map(|sample| sample.memory)
            .fold(0.0, f64::max);
        Ok(Self {
            images: samples.last().map_or(0.0, |sample| sample.images),
            memory: products / squares / 1024.0 * 10_000.0,
            second: second[second.len() - 1].images - second[0].images,
            descriptors: both(|sample| sample.descriptors),
            threads: both(|sample| sample.threads),
            peak: peak / 1024.0,
        })
    }

    /// Returns the resources that grow.
    fn leaks(&self) -> Vec<&'static str> {
        let grows = |counts: [usize; 2]| counts[1] > counts[0];
        let megabytes = self.memory * self.second / 10_000.0;
        let all = [
            ("memory", self.memory > MOST_GROWTH && megabytes > NOISE),
            ("descriptor", grows(self.descriptors)),
            ("thread", grows(self.threads)),
        ];
        all.iter()
            .filter(|(_, leaks)| *leaks)
            .map(|(kind, _)| *kind)
            .collect()
    }

    fn expect_flat(&self, name: &str) -> Result<(), Failed> {
        println!(
            "soak: {name}: {} images, peak {:.0} MB, {:+.3} MB per 10,000 images, descriptors {:?}, threads {:?}",
            self.images, self.peak, self.memory, self.descriptors, self.threads
        );
        ensure(self.leaks().is_empty(), (name, self))
    }
}

/// The program as a worker: a line in, an answer out.
struct Stream {
    child: Child,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stream {
    fn start(
        model: &Path,
        backend: &str,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        command
            .args([
                "--stream",
                "--quiet",
                "--backend",
                backend,
                "--top",
                "1",
                "-m",
            ])
            .arg(model)
            .args(flags)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let child = command.spawn()?;
        Ok(Self { child })
    }

    /// Sends the images in turns until there are enough answers or the time is over. Takes 400 samples at most.
    fn soak(mut self, images: &[PathBuf], most: usize, time: Duration) -> Result<Growth, Failed> {
        let mut lines = self.child.stdin.take().ok_or("no stdin")?;
        let answers = BufReader::new(self.child.stdout.take().ok_or("no stdout")?);
        let start = Instant::now();
        let mut names = images.iter().cycle().take(most);
        let mut send = || -> Result<bool, Failed> {
            let name = names.next().filter(|_| start.elapsed() <= time);
            if let Some(name) = name {
                writeln!(lines, "{}", name.display())?;
            }
            Ok(name.is_some())
        };
        let mut unanswered = 0;
        while unanswered < MOST_UNANSWERED && send()? {
            unanswered += 1;
        }
        let mut samples = Vec::new();
        // Known at the first sample: what is sampled too often is thinned out.
        let mut step = 10;
        for (number, answer) in answers.lines().enumerate() {
            let answer = answer?;
            ensure(answer.contains("\"top\":[{"), &answer)?;
            if number % step == 0 {
                samples.push(Sample::of(self.child.id(), number as f64)?);
            }
            if samples.len() == 400 {
                let mut place = 0;
                samples.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                step *= 2;
            }
            if !send()? {
                unanswered -= 1;
            }
            if unanswered == 0 {
                break;
            }
        }
        // Only now: a process that ends closes its descriptors one by one, and its samples would say so.
        drop(lines);
        let status = self.child.wait()?;
        ensure(status.success(), status)?;
        ensure(unanswered == 0, unanswered)?;
        Growth::of(&samples)
    }
}

/// Writes an image of 8 x 8 into a directory.
fn small_image(directory: &Path) -> Result<PathBuf, Failed> {
    let image = directory.join("a.ppm");
    fs::write(&image, [b"P6 8 8 255\n".to_vec(), vec![10; 192]].concat())?;
    Ok(image)
}

/// Soaks the fake engine, with a leak if there is one.
fn fake(leak: Option<&str>, most: usize) -> Result<Growth, Failed> {
    let directory = tempfile::tempdir()?;
    fake_library(directory.path())?;
    let image = small_image(directory.path())?;
    let library = directory.path().display().to_string();
    let fault = leak.map(|kind| format!("leak-{kind}@1"));
    let mut variables = vec![("CLASSIFY_OPENVINO_LIB", library.as_str())];
    variables.extend(fault.as_deref().map(|fault| (FAULT, fault)));
    let model = small_model("plain.onnx");
    let stream = Stream::start(&model, "openvino", &SMALL_FLAGS, &variables)?;
    stream.soak(&[image], most, Duration::MAX)
}

fn planted(kind: &str) -> Result<(), Failed> {
    let growth = fake(Some(kind), 600)?;
    println!("soak: a planted leak of a {kind}: {growth:.3?}");
    ensure(growth.leaks().contains(&kind), growth)
}

fn none() -> Result<(), Failed> {
    fake(None, 20_000)?.expect_flat("the fake engine")
}

fn stream(engine: &str, size: Size) -> Result<(), Failed> {
    let library = library_dirs()
        .first()
        .map(|path| path.display().to_string());
    let environment: Vec<_> = library
        .iter()
        .map(|path| ("VIRTUAL_ENV", path.as_str()))
        .collect();
    let directory = tempfile::tempdir()?;
    let (model, flags, images, time) = match size {
        Size::Small => (
            small_model("plain.onnx"),
            &SMALL_FLAGS[..],
            vec![small_image(directory.path())?],
            Duration::MAX,
        ),
        Size::Photo => (
            set_up("models/squeezenet1.1.onnx"),
            &[][..],
            photos()?,
            minutes().ok_or("no time")?,
        ),
    };
    let stream = Stream::start(&model, engine, flags, &environment)?;
    let growth = stream.soak(&images, MOST_IMAGES[0], time)?;
    growth.expect_flat(&format!("{engine}, {}", size.name()))
}

fn compare() -> Result<(), Failed> {
    let time = minutes().ok_or("no time")?;
    let directory = tempfile::tempdir()?;
    let list = directory.path().join("list.txt");
    let names: Vec<_> = photos()?
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let lines = names.iter().cycle().take(MOST_IMAGES[1]).cloned();
    fs::write(&list, lines.collect::<String>())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
    command
        .args(["compare", "openvino", "onnx", "--quiet", "-m"])
        .arg(set_up("models/squeezenet1.1.onnx"))
        .arg("--input-list")
        .arg(list)
        .envs(library_dirs().first().map(|path| ("VIRTUAL_ENV", path)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut is_stopped = false;
    while child.try_wait()?.is_none() {
        // Its end may come between the two calls.
        samples.extend(Sample::of_all(child.id(), start.elapsed().as_secs_f64()));
        if start.elapsed() > time && !is_stopped {
            kill_process(Pid::from_child(&child), Signal::INT)?;
            is_stopped = true;
        }
        sleep(Duration::from_millis(250));
    }
    let output = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let images = if is_stopped {
        let (_, rest) = stderr
            .split_once("interrupted after ")
            .ok_or(stderr.as_ref())?;
        let count = rest.split(' ').next().ok_or("a number")?;
        count.replace(',', "").parse()?
    } else {
        ensure(output.status.success(), &stderr)?;
        MOST_IMAGES[1]
    };
    // The images pass at an even rate. The end frees memory and ends threads.
    samples.truncate(samples.len() - samples.len() / 20);
    let seconds = samples.last().map_or(1.0, |sample| sample.images);
    for sample in &mut samples {
        sample.images *= images as f64 / seconds;
    }
    Growth::of(&samples)?.expect_flat("compare openvino onnx")
}
