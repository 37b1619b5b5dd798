//! The measurement of runs in rounds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backend_api::{InferRequest, Tensor};
use futures_executor::block_on;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image_classification::{Feed, ImageBuffers, ImageFile};

use crate::args::BenchArgs;
use crate::errors::Hinted;
use crate::image_decoder;
use crate::image_memory;
use crate::interrupt;
use crate::process;
use crate::session::{self, OpenRun};
use crate::terminal::Messages;
use crate::writers::Classified;
use evaluation::text::printable;

/// The most images that are measured with, and the most bytes of a run's tensors that are kept. More of them
/// would not change the figures, but preparing them would take longer than the measurement.
const MOST_IMAGES: usize = 64;
const MOST_TENSOR_BYTES: usize = 256 << 20;

/// The length of the measurement.
pub struct Plan {
    pub rounds: usize,
    /// The seconds of each measure, unless a number of images is given.
    pub seconds: f64,
    pub count: Option<usize>,
    pub warm_up: usize,
    pub inference_only: bool,
}

impl Plan {
    pub fn new(args: &BenchArgs) -> Self {
        Self {
            rounds: args
                .count
                .map_or(args.rounds, |count| args.rounds.min(count)),
            seconds: args.duration,
            count: args.count,
            warm_up: args.warm_up,
            inference_only: args.inference_only,
        }
    }

    /// Returns the end of a round, counted from 0.
    pub fn goal(&self, round: usize) -> Goal {
        if let Some(count) = self.count {
            let remainder = usize::from(round < count % self.rounds);
            return Goal::Count(count / self.rounds + remainder);
        }
        let seconds = self.seconds / self.rounds as f64;
        Goal::Until(Instant::now() + Duration::from_secs_f64(seconds))
    }
}

/// The end of a measure.
#[derive(Clone, Copy)]
pub enum Goal {
    Until(Instant),
    Count(usize),
}

impl Goal {
    /// Returns whether to go on when so many were begun; one at least.
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

/// The measure of a round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub images: usize,
    pub seconds: f64,
    /// Seconds of CPU of all threads.
    pub cpu: Option<f64>,
}

/// Measures what `work` does, which says how many images it did.
fn measured(run: &OpenRun, work: impl FnOnce() -> anyhow::Result<usize>) -> anyhow::Result<Round> {
    // The CPU time of an isolated engine is that of another process.
    let cpu_time = || process::cpu_time().filter(|_| run.info().isolation.is_none());
    let (start, cpu) = (Instant::now(), cpu_time());
    let images = work()?;
    Ok(Round {
        images,
        seconds: start.elapsed().as_secs_f64(),
        cpu: difference(cpu, cpu_time()),
    })
}

fn difference(before: Option<Duration>, after: Option<Duration>) -> Option<f64> {
    Some(after?.saturating_sub(before?).as_secs_f64())
}

/// A run under measurement.
pub struct Bench<'a> {
    pub run: &'a OpenRun,
    feed: Feed,
    /// The tensors of requests.
    tensors: Vec<Arc<Tensor>>,
    /// The next image of the whole path: rounds go on where the last one ended.
    next: usize,
    /// Seconds of CPU for an image, on one thread.
    pub decode_cpu: Option<f64>,
    pub tensor_cpu: Option<f64>,
    pub inference: Vec<Round>,
    pub path: Vec<Round>,
    /// The seconds of each request while all of the engine's are busy.
    pub latencies: Vec<f64>,
}

/// Makes the tensors of every image once, alone, and measures that. An image that cannot be prepared is
/// reported and left out, and of many some are left out, evenly.
pub fn prepare(
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
        let start = process::thread_cpu_time();
        let mut file = ImageFile::read(
            path,
            &[run.input],
            image_memory::of_process(),
            &image_decoder::of_process(),
            std::mem::take(&mut memory.buffers),
        )?;
        let image = file.image(&run.input)?;
        let decoded = process::thread_cpu_time();
        let one = run.input.single_image_tensor(memory.tensor.take(), image)?;
        let made = process::thread_cpu_time();
        let (tensor, joining_cpu) = match run.input.batch {
            1 => (one.clone(), Some(0.0)),
            batch => {
                let joined = Tensor::concat_in(memory.batch.take(), &vec![&one; batch])?;
                let cpu = difference(made, process::thread_cpu_time());
                memory.batch = Some(joined.clone());
                // The whole batch took it.
                (joined, cpu.map(|cpu| cpu / batch as f64))
            }
        };
        memory.tensor = Some(one);
        memory.buffers = file.into_buffers();
        Ok(Self {
            tensor,
            // An isolated decoder takes the CPU time of another process.
            decode_cpu: difference(start, decoded).filter(|_| run.info().isolation.is_none()),
            tensor_cpu: sum(difference(decoded, made), joining_cpu),
        })
    }
}

/// Returns the sum, which is unknown if one of the two is.
pub fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}

impl<'a> Bench<'a> {
    pub fn new(run: &'a OpenRun, jobs: usize) -> Self {
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

    /// Measures inference alone, with every infer request of the engine busy.
    pub fn infer(&self, goal: Goal) -> anyhow::Result<(Round, Vec<f64>)> {
        let backend = &*self.run.backend;
        let batch = self.run.input.batch;
        let mut latencies = Vec::new();
        let round = measured(self.run, || {
            let tensors = self.tensors.iter().cycle().enumerate();
            let tensors = tensors.take_while(|(begun, _)| goal.goes_on(begun * batch));
            let requests = stream::iter(tensors).map(|(_, tensor)| async {
                let start = Instant::now();
                let request = InferRequest::new(0, Arc::clone(tensor));
                backend.submit(request).await?.await?;
                Ok::<_, backend_api::Error>(start.elapsed().as_secs_f64())
            });
            // A request that waits would count the time of others.
            let all = requests.buffer_unordered(self.run.running_requests);
            latencies = block_on(all.try_collect())?;
            Ok(latencies.len() * batch)
        })?;
        Ok((round, latencies))
    }

    /// Measures all of the work, as `classify` does it.
    pub fn classify(&mut self, paths: &[PathBuf], goal: Goal) -> anyhow::Result<Round> {
        let round = measured(self.run, || {
            let inputs = paths.iter().cycle().skip(self.next % paths.len());
            let inputs = inputs
                .enumerate()
                .take_while(|(begun, _)| goal.goes_on(*begun))
                .map(|(_, path)| (path, path.as_path().into()));
            let mut images = 0;
            for answer in self.feed.blocking_answers(inputs) {
                let named = || printable(&answer.input.to_string_lossy());
                let outputs = answer.result.with_context(named)?;
                let interpretation = self.run.reading().interpretation;
                Classified::new(outputs, interpretation, 10, None, None).with_context(named)?;
                images += 1;
            }
            Ok(images)
        })?;
        self.next += round.images;
        Ok(round)
    }
}
