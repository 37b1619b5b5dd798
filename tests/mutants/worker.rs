//! The process that feeds a reader. Its parent sees the death and the hang of it, and knows the input.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;

use crate::corpora::{CORPORA, Corpus, Kind};
use crate::mutate::mutant;
use crate::random::Random;
use crate::reader::Outcome;

/// Each input of so many is a good file, which has to be answered as before the damaged ones.
const GOOD_IN: u64 = 16;

/// The text of the last panic.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Returns input `index`, with the number of its seed if it is a good file.
pub fn input(
    corpus: &Corpus,
    seeds: &[Vec<u8>],
    seed: u64,
    index: u64,
) -> (Vec<u8>, Option<usize>) {
    if index % GOOD_IN == GOOD_IN - 1 {
        let which = (index / GOOD_IN) as usize % seeds.len();
        return (seeds[which].clone(), Some(which));
    }
    if corpus.kind == Kind::Planted {
        let fault: &[u8] = match index {
            3 => b"panic",
            5 => b"abort",
            7 => b"hang",
            9 => b"memory",
            _ => b"good",
        };
        return (fault.to_vec(), None);
    }
    let mut random = Random::of(seed, corpus.name, index);
    (mutant(&mut random, seeds, corpus.form), None)
}

pub fn corpus(name: &str) -> anyhow::Result<&'static Corpus> {
    let found = CORPORA.iter().find(|corpus| corpus.name == name);
    found.with_context(|| {
        let names: Vec<&str> = CORPORA.iter().map(|corpus| corpus.name).collect();
        format!(
            "there is no corpus `{name}`; there are {}",
            names.join(", ")
        )
    })
}

/// Reads the seeds of a corpus from the directory that the parent filled.
pub fn read_seeds(directory: &Path, corpus: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    while let Ok(seed) = std::fs::read(directory.join(corpus).join(format!("{:04}", seeds.len()))) {
        seeds.push(seed);
    }
    anyhow::ensure!(!seeds.is_empty(), "the corpus {corpus} has no seeds");
    Ok(seeds)
}

/// Feeds the inputs from `from` to `to`. Stdout gets a line before and a line after each.
pub fn run(name: &str, seed: u64, from: u64, to: u64, seeds: &Path) -> anyhow::Result<()> {
    std::panic::set_hook(Box::new(|info| {
        *PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = info.to_string();
    }));
    let corpus = corpus(name)?;
    let seeds = read_seeds(seeds, name)?;
    let directory = tempfile::tempdir()?;
    let mut reader = (corpus.start)(directory.path());
    let mut out = std::io::stdout().lock();
    let before: Vec<Outcome> = seeds.iter().map(|seed| reader.read(seed)).collect();
    let answered = before
        .iter()
        .filter(|it| matches!(it, Outcome::Answered(_)));
    // Damage to files that are rejected anyway would show nothing.
    anyhow::ensure!(
        answered.count() > 0,
        "no seed of {name} is answered: {:?}",
        before[0]
    );
    for index in from..to {
        writeln!(out, "B {index}")?;
        out.flush()?;
        let (bytes, good) = input(corpus, &seeds, seed, index);
        let outcome = reader.read(&bytes);
        let line = match (outcome, good) {
            (Outcome::Failed(text), _) => {
                let panic = PANIC
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                format!("F {}", format!("{text} {panic}").escape_debug())
            }
            (outcome, Some(which)) if outcome != before[which] => {
                let text = format!("{outcome:?} instead of {:?}", before[which]);
                format!("L {}", text.escape_debug())
            }
            (Outcome::Answered(_), _) => "A".to_owned(),
            (Outcome::Refused(_), _) => "R".to_owned(),
            (Outcome::EngineDied, _) => "D".to_owned(),
        };
        writeln!(out, "{line}")?;
    }
    if let Err(text) = reader.end() {
        writeln!(out, "F {}", text.escape_debug())?;
    }
    let own = peak_kib("self").unwrap_or_default();
    writeln!(out, "M {}", reader.peak_kib().max(own))?;
    Ok(())
}

/// Returns the most memory that a process had until now, in KiB; `None` for one that has ended.
pub fn peak_kib(process: &str) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
