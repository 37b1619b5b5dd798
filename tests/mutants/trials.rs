//! A few inputs of each corpus, and planted faults.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use classify_tests::{Needs, checkout, ensure, library_dirs};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

use crate::corpora::{CORPORA, Corpus, Kind};
use crate::reader::Outcome;
use crate::supervisor::{Figures, Plan, run as supervise};
use crate::{hard, program, seeds, worker};

/// The seed of the trials. Another one is `cargo verify-hard`'s business.
const SEED: u64 = 20_261_128;

/// The directory of all seeds, which the first trial fills.
type Seeds = Arc<OnceLock<Result<TempDir, String>>>;

pub fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let set_up = Needs::set_up();
    let seeds = Seeds::default();
    let own = CORPORA.iter().filter(|corpus| corpus.few > 0);
    let mut trials: Vec<Trial> = own
        .map(|corpus| {
            let needs = match corpus.name {
                "plugins-end-to-end" => {
                    Needs::engine(&backend_openvino::find_library(None, &library_dirs()))
                }
                _ if corpus.kind == Kind::OwnWithSetUp => set_up.clone(),
                _ => Needs::nothing(),
            };
            let seeds = Arc::clone(&seeds);
            let name = format!("damaged_files_are_harmless::{}", corpus.name);
            needs.test(name, move || few(corpus, &seeds))
        })
        .collect();
    let planted = Arc::clone(&seeds);
    trials.push(Trial::test("planted_faults_are_found", move || {
        planted_faults(&planted)
    }));
    trials.push(Trial::test(
        "planted_faults_of_processes_are_found",
        planted_processes,
    ));
    trials.push(Trial::test(
        "planted_faults_of_streams_are_found",
        planted_streams,
    ));
    trials.push(Trial::test("an_input_is_the_same_everywhere", move || {
        same_inputs(&seeds)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn filled(seeds: &Seeds) -> Result<&TempDir, Failed> {
    let filled = seeds.get_or_init(|| {
        let fill = || -> anyhow::Result<TempDir> {
            let directory = tempfile::tempdir()?;
            hard::write_seeds(directory.path(), &seeds::all(Needs::set_up().are_met())?)?;
            Ok(directory)
        };
        fill().map_err(|error| format!("{error:#}"))
    });
    filled.as_ref().map_err(|error| error.clone().into())
}

fn figures(
    corpus: &Corpus,
    seeds: &Seeds,
    count: u64,
    patience: Duration,
) -> Result<Figures, Failed> {
    let findings = checkout().join("target/mutants");
    let plan = Plan {
        seed: SEED,
        count,
        // The trials run at the same time.
        jobs: 1,
        seeds: filled(seeds)?.path(),
        findings: &findings,
        patience,
    };
    supervise(corpus, &plan).map_err(|error| format!("{error:#}").into())
}

fn few(corpus: &Corpus, seeds: &Seeds) -> Result<(), Failed> {
    let figures = figures(corpus, seeds, corpus.few, hard::PATIENCE)?;
    let faults = figures.faults(corpus);
    ensure(faults.is_empty(), (faults, &figures))?;
    ensure(figures.tried == corpus.few, figures)
}

/// A panic, an abort, a hang, too much memory, and a good file that is answered in another way.
fn planted_faults(seeds: &Seeds) -> Result<(), Failed> {
    let planted = worker::corpus("planted").map_err(|error| error.to_string())?;
    let figures = figures(planted, seeds, 64, Duration::from_secs(10))?;
    let found = [figures.crashes, figures.hangs, figures.lost];
    // 4 good files are among 64 inputs, and every second one is the one that changes.
    ensure(found == [2, 1, 2], &figures)?;
    ensure(figures.peak_kib > 600 << 10, &figures)?;
    let faults = planted_count(&figures, planted);
    ensure(faults == 4, (faults, &figures))?;
    ensure(figures.tried == 64, &figures)
}

fn planted_count(figures: &Figures, corpus: &Corpus) -> usize {
    figures.faults(corpus).len()
}

/// A process that dies, panics, has an unknown exit code, or hangs; the others end as they may.
fn planted_processes() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut reader = program::planted_processes(directory.path());
    let mut read = |script: &str| reader.read(script.as_bytes());
    for (script, expected) in [
        ("exit 0", Outcome::Answered(String::new())),
        ("exit 1", Outcome::Refused("1".to_owned())),
        (
            "echo an error >&2; exit 2",
            Outcome::Refused("2".to_owned()),
        ),
    ] {
        let found = read(script);
        ensure(found == expected, (script, found))?;
    }
    for script in [
        "exit 3",
        "kill -ABRT $$",
        "kill -SEGV $$",
        "echo \"thread 'main' panicked at\" >&2; exit 0",
        "echo memory allocation of 1 bytes failed >&2; exit 2",
        "exec sleep 600",
    ] {
        is_failure(read(script), script)?;
    }
    // Of 30 MB, which it has for longer than its memory is not looked at.
    read("x=$(head -c 30000000 /dev/zero | tr '\\0' a); sleep 0.5");
    ensure(reader.peak_kib() > 20_000, reader.peak_kib())
}

/// A stream that gives no answer, a wrong one, or one too many, and a process that panics or fails.
fn planted_streams() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let read = |line: &str| {
        let mut reader = program::planted_stream(directory.path());
        (reader.read(line.as_bytes()), reader.end())
    };
    let answer = r#"echo '{"top":[3]}'"#;
    let found = read(answer);
    let expected = (Outcome::Answered("[3]".to_owned()), Ok(()));
    ensure(found == expected, found)?;
    let found = read(r#"echo '{"error":{"code":"x"}}'"#);
    let expected = (Outcome::Refused("\"x\"".to_owned()), Ok(()));
    ensure(found == expected, found)?;
    for line in ["exit 0", "exit 3", "kill -ABRT $$", "echo '{}'", "echo no"] {
        is_failure(read(line).0, line)?;
    }
    for rest in ["echo two", "echo panicked at >&2", "exit 3"] {
        let line = format!("{answer}; {rest}");
        let (_, end) = read(&line);
        ensure(end.is_err(), (line, end))?;
    }
    Ok(())
}

fn is_failure(found: Outcome, input: &str) -> Result<(), Failed> {
    ensure(matches!(found, Outcome::Failed(_)), (input, found))
}

/// Inputs depend on nothing but their names: the number is that of another machine.
fn same_inputs(seeds: &Seeds) -> Result<(), Failed> {
    let directory = filled(seeds)?;
    let labels = worker::corpus("labels").map_err(|error| error.to_string())?;
    let files =
        worker::read_seeds(directory.path(), "labels").map_err(|error| error.to_string())?;
    let inputs = || (0..100).map(|index| worker::input(labels, &files, SEED, index).0);
    ensure(inputs().eq(inputs()), "they differ")?;
    let damaged = inputs().filter(|input| !files.contains(input)).count();
    ensure(damaged > 60, damaged)
}
