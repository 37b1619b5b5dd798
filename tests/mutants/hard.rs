//! `cargo verify-hard`: many inputs of each corpus, and a table of figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use classify_tests::{Needs, checkout};

use crate::corpora::{CORPORA, Corpus, Kind};
use crate::seeds::{self, Seeds};
use crate::supervisor::{Figures, Plan, run as supervise};
use crate::worker;

/// A worker that is silent for so long hangs. A process of its own has less time.
pub const PATIENCE: Duration = Duration::from_mins(3);
/// The seed without `--seed`.
const SEED: u64 = 1;

/// Runs the corpora that the arguments ask for.
///
/// # Errors
///
/// For wrong arguments, and if seeds cannot be made or workers not be started.
pub fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let (mut only, mut count, mut seed, mut out) = (Vec::new(), None, SEED, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{word} needs a value"))?;
        match *word {
            "--only" => only.push(worker::corpus(value)?),
            "--count" => count = Some(value.parse().context("--count takes a number")?),
            "--seed" => seed = value.parse().context("--seed takes a number")?,
            "--seeds-to" => out = Some(PathBuf::from(value)),
            other => bail!("unknown argument {other}"),
        }
    }
    let all = CORPORA.iter().filter(|corpus| corpus.kind != Kind::Planted);
    let chosen: Vec<&Corpus> = if only.is_empty() { all.collect() } else { only };
    let is_of_set_up = |corpus: &&Corpus| corpus.kind == Kind::OwnWithSetUp;
    let has_images = out.is_some() || chosen.iter().any(is_of_set_up);
    if has_images && !Needs::set_up().are_met() {
        bail!("there is no set-up, which has the seeds of images; run `cargo setup`");
    }
    let made = seeds::all(has_images)?;
    if let Some(out) = out {
        write_seeds(&out, &made)?;
        println!("seeds: {}", out.display());
        return Ok(ExitCode::SUCCESS);
    }
    let directory = tempfile::tempdir()?;
    write_seeds(directory.path(), &made)?;
    let findings = checkout().join("target/mutants");
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    println!("seed {seed}, {build} build");
    println!("{}", row(&HEAD));
    println!("{}", row(&HEAD.map(|_| "---")));
    let mut faults = Vec::new();
    for corpus in chosen {
        let plan = Plan {
            seed,
            count: count.unwrap_or(corpus.many),
            jobs: std::thread::available_parallelism()?.get(),
            seeds: directory.path(),
            findings: &findings,
            patience: PATIENCE,
        };
        let figures = supervise(corpus, &plan).with_context(|| corpus.name.to_owned())?;
        println!(
            "{}",
            row(&cells(corpus, &figures).each_ref().map(String::as_str))
        );
        for fault in figures.faults(corpus) {
            faults.push(format!("{}: {fault}", corpus.name));
        }
        faults.extend(figures.findings);
    }
    for fault in &faults {
        println!("{fault}");
    }
    println!(
        "verify-hard: {}",
        if faults.is_empty() {
            "passed"
        } else {
            "FAILED"
        }
    );
    Ok(ExitCode::from(u8::from(!faults.is_empty())))
}

const HEAD: [&str; 10] = [
    "corpus",
    "tried",
    "answered",
    "refused",
    "engine died",
    "crashes",
    "hangs",
    "good files lost",
    "peak MiB",
    "seconds",
];

fn row(cells: &[&str; HEAD.len()]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cells(corpus: &Corpus, figures: &Figures) -> [String; HEAD.len()] {
    let died = match corpus.kind {
        Kind::Engine => figures.engines_died.to_string(),
        _ => "-".to_owned(),
    };
    [
        corpus.name.to_owned(),
        figures.tried.to_string(),
        figures.answered.to_string(),
        figures.refused.to_string(),
        died,
        figures.crashes.to_string(),
        figures.hangs.to_string(),
        figures.lost.to_string(),
        (figures.peak_kib >> 10).to_string(),
        format!("{:.0}", figures.seconds),
    ]
}

/// Writes each seed into the directory of its corpus, by its number.
///
/// # Errors
///
/// The system's.
pub fn write_seeds(directory: &Path, seeds: &Seeds) -> anyhow::Result<()> {
    for (corpus, seeds) in seeds {
        let directory = directory.join(corpus);
        fs::create_dir_all(&directory)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("{number:04}")), seed)?;
        }
    }
    Ok(())
}
