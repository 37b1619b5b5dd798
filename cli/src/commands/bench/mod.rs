//! `classify bench`: how fast runs are, alone and with all of the work on images.

mod images;
mod measure;
mod table;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::args::{BenchArgs, InputArgs, ResultFormat, RunsArgs, ShardArgs, TextOrJson};
use crate::destination;
use crate::errors::Hinted;
use crate::inputs::Input;
use crate::interrupt::{self, Interrupted};
use crate::options::RunsOptions;
use crate::session::Session;
use crate::terminal::Messages;
use evaluation::Machine;
use evaluation::text::{counted, printable};
use images::made_up_images;
use measure::{Bench, Goal, Plan, prepare};
use table::{Figures, Report, table};

/// Rounds that differ by more than this say that the machine did other things as well.
const NOISY: f64 = 0.10;

/// Measures and prints the table.
pub fn run(mut args: BenchArgs, messages: &mut Messages) -> anyhow::Result<()> {
    let made_up = args.input.is_empty().then(made_up_images).transpose();
    let made_up = made_up.context("cannot generate images")?;
    if let Some((directory, _)) = &made_up {
        args.input = vec![directory.path().to_owned()];
    }
    let (plan, format) = (Plan::new(&args), args.format);
    let mut options = options(args)?;
    note(&options, made_up.is_some(), messages);
    let mut session = Session::open(&options, 0, messages)?;
    session.decide_readings(&options, messages);
    session.report_failures(messages);
    let inputs = std::mem::take(&mut options.inputs.list);
    let mut paths = usable(inputs, messages);
    let given = paths.len();
    let mut benches = benches(&session, options.jobs)?;
    let done = measure(&mut benches, &mut paths, &plan, messages)?;
    let figures = benches.iter().map(Figures::of);
    let figures: Vec<Figures> = figures.collect::<Result<_, _>>()?;
    let report = Report {
        figures: &figures,
        machine: Machine::current(),
        images: paths.len(),
        given,
        made_up: made_up.is_some(),
        plan: &plan,
        rounds: done,
    };
    destination::print(&match format {
        TextOrJson::Text => table(&report),
        TextOrJson::Json => report.json(),
    })?;
    check_rounds(done, &plan)?;
    warn_of_noise(&figures, messages);
    Ok(())
}

/// Returns the options of the runs, as those of other commands.
fn options(args: BenchArgs) -> anyhow::Result<RunsOptions> {
    RunsOptions::try_from(RunsArgs {
        format: ResultFormat::Text,
        runs: args.runs,
        shard: ShardArgs::default(),
        input: InputArgs {
            model: args.model,
            input: args.input,
            input_list: Vec::new(),
            recursive: args.recursive,
        },
        reference: None,
        report: Vec::new(),
        quiet: args.quiet,
        verbose: false,
        scores: args.scores,
        preprocess: args.preprocess,
        precision: args.precision,
        tuning: args.tuning,
        // Engines are measured where `classify` runs them.
        no_isolate: true,
    })
}

/// Notes defaults, the images among them.
fn note(options: &RunsOptions, made_up: bool, messages: &Messages) {
    options.note_defaults(messages);
    if made_up {
        messages.note(
            "no images given; generated images are measured, so pass `-i photos/` for your own",
        );
    }
}

/// Returns the paths of the images. Prints the errors of the others.
fn usable(inputs: Vec<Input>, messages: &mut Messages) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for input in inputs {
        let problem = input.problem.or_else(|| {
            let hint = "extract images of it, and name them";
            let refused = || Hinted::new("`bench` takes no archive", hint).into();
            input.member.map(|_| refused())
        });
        match problem {
            None => paths.push(input.path),
            Some(error) => messages.input_failed(&printable(&input.path.to_string_lossy()), &error),
        }
    }
    paths
}

/// Returns the measurement of each run that is open.
fn benches(session: &Session, jobs: usize) -> anyhow::Result<Vec<Bench<'_>>> {
    let runs = session.ready();
    let benches: Vec<Bench> = runs.map(|run| Bench::new(run, jobs)).collect();
    if benches.is_empty() {
        return Err(Hinted::new("no run is left to measure", "fix the errors above").into());
    }
    Ok(benches)
}

/// Prepares the images, warms up and measures. Returns the number of rounds that are done.
///
/// # Errors
///
/// The errors of an inference, and [`Interrupted`] before the first round is done.
fn measure(
    benches: &mut [Bench],
    paths: &mut Vec<PathBuf>,
    plan: &Plan,
    messages: &mut Messages,
) -> anyhow::Result<usize> {
    messages.step("preparing the images");
    prepare(benches, paths, messages)?;
    warm_up(benches, paths, plan)?;
    announce(benches, plan, messages);
    let done = measure_rounds(benches, paths, plan, messages)?;
    messages.end_progress();
    if done == 0 {
        check_rounds(done, plan)?;
    }
    Ok(done)
}

/// Checks that all rounds are done.
fn check_rounds(done: usize, plan: &Plan) -> Result<(), Interrupted> {
    let hint = "only rounds that are done are printed; measure again for all of them";
    interrupt::check(done, plan.rounds, "round").map_err(|found| found.with_hint(hint))
}

fn warm_up(benches: &mut [Bench], paths: &[PathBuf], plan: &Plan) -> anyhow::Result<()> {
    for bench in benches {
        bench.infer(Goal::Count(plan.warm_up))?;
        if !plan.inference_only {
            bench.classify(paths, Goal::Count(plan.warm_up.min(paths.len())))?;
        }
    }
    Ok(())
}

/// Prints how long it takes, or that a count is too small for the infer requests.
fn announce(benches: &[Bench], plan: &Plan, messages: &Messages) {
    let Some(count) = plan.count else {
        let measures = if plan.inference_only { 1 } else { 2 } * benches.len();
        let seconds = plan.seconds * measures as f64;
        messages.note(&format!("measuring for about {seconds:.0} s"));
        return;
    };
    let needed = |bench: &Bench| 2 * bench.run.running_requests * bench.run.input.batch;
    let needed = benches.iter().map(needed).max().unwrap_or(1) * plan.rounds;
    if count < needed {
        messages.warning(&format!(
            "{} in {} are too few to keep all infer requests busy: measure at least {needed}, or in fewer rounds",
            counted(count, "image"),
            counted(plan.rounds, "round")
        ));
    }
}

/// Measures the runs in turns. Returns the number of rounds that are done.
fn measure_rounds(
    benches: &mut [Bench],
    paths: &[PathBuf],
    plan: &Plan,
    messages: &mut Messages,
) -> anyhow::Result<usize> {
    let mut done = 0;
    for round in interrupt::take_until_interrupted(0..plan.rounds) {
        let mut measured = Vec::new();
        for bench in &mut *benches {
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
                Some(bench.classify(paths, plan.goal(round))?)
            };
            // A round that was cut short counts for no run.
            if interrupt::signal().is_some() {
                return Ok(done);
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
    Ok(done)
}

fn warn_of_noise(figures: &[Figures], messages: &Messages) {
    let spreads = figures.iter().filter_map(Figures::spread);
    let worst = spreads.fold(0.0, f64::max);
    if worst > NOISY {
        messages.warning(&format!(
            "results vary between rounds: throughput differed by up to {:.0} %; measure again on an idle machine, \
             or for longer (--duration)",
            worst * 100.0
        ));
    }
}
