//! The parent of the workers: it counts, finds deaths and hangs, and goes on behind them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::corpora::{Corpus, Kind};
use crate::worker::{input, read_seeds};

/// The most memory that a reader of the project may take.
const MOST_MIB: i64 = 512;
/// Inputs of one worker.
const CHUNK: u64 = 2000;
/// Findings that are kept as files; further ones are counted alone.
const MOST_FINDINGS: usize = 20;

/// A run over a corpus.
#[derive(Debug)]
pub struct Plan<'a> {
    pub seed: u64,
    pub count: u64,
    /// Workers at a time.
    pub jobs: usize,
    /// The directory of all seeds.
    pub seeds: &'a Path,
    /// The directory for inputs that broke a rule.
    pub findings: &'a Path,
    /// A worker that is silent for so long hangs.
    pub patience: Duration,
}

/// The figures of a corpus.
#[derive(Debug, Default)]
pub struct Figures {
    pub tried: u64,
    pub answered: u64,
    pub refused: u64,
    /// Engines that died in processes of their own.
    pub engines_died: u64,
    pub crashes: u64,
    pub hangs: u64,
    /// Good files that were not answered as before.
    pub lost: u64,
    pub peak_kib: i64,
    pub seconds: f64,
    pub findings: Vec<String>,
}

impl Figures {
    /// Returns the broken rules.
    pub fn faults(&self, corpus: &Corpus) -> Vec<String> {
        let mut faults = Vec::new();
        let counts = [
            (self.crashes, "crashes"),
            (self.hangs, "hangs"),
            (self.lost, "good files lost"),
        ];
        faults.extend(
            counts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        if self.peak_kib > MOST_MIB << 10 && corpus.kind != Kind::Engine {
            faults.push(format!(
                "{} MiB of memory, more than {MOST_MIB}",
                self.peak_kib >> 10
            ));
        }
        if self.answered == 0 || self.refused == 0 && corpus.kind != Kind::Planted {
            faults.push("all inputs end alike: the damage shows nothing".to_owned());
        }
        faults
    }
}

/// Tries `plan.count` inputs.
///
/// # Errors
///
/// If a worker cannot be started, or does not reach its first input.
pub fn run(corpus: &Corpus, plan: &Plan<'_>) -> anyhow::Result<Figures> {
    let start = Instant::now();
    let figures = Mutex::new(Figures::default());
    let next = AtomicU64::new(0);
    let chunk = CHUNK.min(plan.count.div_ceil(plan.jobs as u64)).max(1);
    let work = || -> anyhow::Result<()> {
        loop {
            let from = next.fetch_add(chunk, Ordering::Relaxed);
            if from >= plan.count {
                return Ok(());
            }
            range(corpus, plan, from, (from + chunk).min(plan.count), &figures)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ends.map(|end| end.expect("no panic"))
            .collect::<anyhow::Result<Vec<()>>>()
    })?;
    let mut figures = figures.into_inner().expect("no panic");
    figures.seconds = start.elapsed().as_secs_f64();
    Ok(figures)
}

/// Starts workers until the range is done: one that dies or hangs takes one input with it.
fn range(
    corpus: &Corpus,
    plan: &Plan<'_>,
    mut from: u64,
    to: u64,
    figures: &Mutex<Figures>,
) -> anyhow::Result<()> {
    while from < to {
        from = match feed(corpus, plan, from, to, figures)? {
            None => to,
            Some(culprit) => culprit + 1,
        };
    }
    Ok(())
}

/// Runs one worker. Returns the input at which it died or hung.
fn feed(
    corpus: &Corpus,
    plan: &Plan<'_>,
    from: u64,
    to: u64,
    figures: &Mutex<Figures>,
) -> anyhow::Result<Option<u64>> {
    let log = tempfile::NamedTempFile::new()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--worker", corpus.name])
        .args([plan.seed, from, to].map(|number| number.to_string()))
        .arg(plan.seeds)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log.path())?)
        // With its children, so that none is left.
        .process_group(0)
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut current = None;
    let add = |change: &dyn Fn(&mut Figures), finding: Option<(Option<u64>, String)>| {
        let mut figures = figures.lock().expect("no panic");
        change(&mut figures);
        if let Some((index, text)) = finding {
            keep(corpus, plan, index, &text, &mut figures);
        }
    };
    loop {
        match receiver.recv_timeout(plan.patience) {
            Ok(line) => {
                let (kind, text) = line.split_once(' ').unwrap_or((&line, ""));
                match kind {
                    "B" => {
                        current = text.parse().ok();
                        add(&|it| it.tried += 1, None);
                    }
                    "A" => add(&|it| it.answered += 1, None),
                    "R" => add(&|it| it.refused += 1, None),
                    "D" => add(&|it| it.engines_died += 1, None),
                    "L" => add(&|it| it.lost += 1, Some((current, text.to_owned()))),
                    "M" => {
                        let peak: i64 = text.parse()?;
                        add(&|it| it.peak_kib = it.peak_kib.max(peak), None);
                    }
                    _ if text.starts_with("a hang") => {
                        add(&|it| it.hangs += 1, Some((current, text.to_owned())));
                    }
                    _ => add(&|it| it.crashes += 1, Some((current, text.to_owned()))),
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                end(&mut child)?;
                let culprit = culprit(current, from, "it hangs", log.path())?;
                add(
                    &|it| it.hangs += 1,
                    Some((Some(culprit), "a hang".to_owned())),
                );
                return Ok(Some(culprit));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait()?;
                end(&mut child)?;
                if status.success() {
                    return Ok(None);
                }
                let culprit = culprit(current, from, &status.to_string(), log.path())?;
                add(
                    &|it| it.crashes += 1,
                    Some((Some(culprit), status.to_string())),
                );
                return Ok(Some(culprit));
            }
        }
    }
}

/// Returns the input that ended a worker. One that has not begun was ended by something else.
fn culprit(current: Option<u64>, from: u64, how: &str, log: &Path) -> anyhow::Result<u64> {
    if let Some(current) = current {
        return Ok(current);
    }
    let log = fs::read(log).unwrap_or_default();
    bail!(
        "the worker did not reach input {from}: {how}\n{}",
        String::from_utf8_lossy(&log)
    )
}

/// Ends a worker and what it started.
fn end(child: &mut Child) -> anyhow::Result<()> {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        // It may be empty by now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().context("cannot end a worker")?;
    Ok(())
}

/// Keeps an input that broke a rule.
fn keep(corpus: &Corpus, plan: &Plan<'_>, index: Option<u64>, text: &str, figures: &mut Figures) {
    if figures.findings.len() >= MOST_FINDINGS {
        return;
    }
    let saved = index.and_then(|index| {
        let path: PathBuf = plan
            .findings
            .join(format!("{}-{}-{index}", corpus.name, plan.seed));
        let seeds = read_seeds(plan.seeds, corpus.name).ok()?;
        fs::create_dir_all(plan.findings).ok()?;
        fs::write(&path, input(corpus, &seeds, plan.seed, index).0).ok()?;
        Some(path.display().to_string())
    });
    let saved = saved.unwrap_or_else(|| "at the end of a worker".to_owned());
    let text: String = text.chars().take(500).collect();
    figures.findings.push(format!("{saved}: {text}"));
}
