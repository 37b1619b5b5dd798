//! `classify`: the best classes of each image.

use std::path::Path;

use crate::destination::Output;
use crate::engines;
use crate::files_read::FilesRead;
use crate::interrupt;
use crate::options::{ClassifyOptions, note_defaults};
use crate::process;
use crate::session::{self, OpenRun};
use crate::terminal::Messages;
use crate::writers::{Classified, ResultContext, Writer};
use evaluation::text::printable;

/// Classifies the inputs and prints the results in their order.
pub fn run(options: ClassifyOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let mut results = open_results(&options)?;
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    let run = OpenRun::open(
        String::new(),
        &options.engine,
        &options.preprocess.overrides(options.scores)?,
        (&options.inputs.list, options.jobs),
        messages,
        |step| results.step(step),
    )?;
    note(&run, &options, messages);
    results.step("Starting inference in asynchronous mode")?;
    let context = ResultContext {
        info: run.info(),
        model: &run.model,
        labels: run.labels.as_ref(),
        reading: &run.reading,
    };
    let (inputs, output) = (options.inputs.list, options.output);
    let count = inputs.len();
    let feed_options = session::feed_options(options.jobs);
    let done = session::feed(
        &[&run],
        inputs,
        feed_options,
        messages,
        |path, outputs, messages| {
            let result = outputs.and_then(|outputs| {
                Classified::new(
                    outputs,
                    run.reading.interpretation,
                    output.top,
                    output.threshold,
                )
            });
            if let Err(error) = &result {
                messages.input_failed(&printable(&path.to_string_lossy()), error);
            }
            messages.advance(|| results.result(&context, &path, result.as_ref()))
        },
    )?;
    messages.summary(done);
    let output = results.into_output()?;
    process::leak(run);
    finish(output, done, count)
}

/// Opens the destination of the results before the work: where results cannot go, none need be computed.
fn open_results(options: &ClassifyOptions) -> anyhow::Result<Writer> {
    let read = FilesRead {
        inputs: &options.inputs,
        engines: vec![&options.engine],
        preprocess: &options.preprocess,
        others: Vec::new(),
    };
    let path = options.output.path.as_deref();
    let path = path.filter(|path| *path != Path::new("-"));
    let outputs: Vec<_> = path.map(|path| ("--output", path)).into_iter().collect();
    read.check(&outputs)?;
    let destination = Output::open("--output", path)?;
    Ok(Writer::new(destination, &options.output, options.quiet))
}

/// Prints the notes of the engine, and with `verbose` every setting and its origin.
fn note(run: &OpenRun, options: &ClassifyOptions, messages: &Messages) {
    if options.verbose {
        for line in &run.settings {
            messages.note(line);
        }
        if let Some(library) = &run.info().library {
            let origin = engines::library_origin(&options.engine, library);
            let found = format!("engine: {} ({origin})", library.path.display());
            messages.note(&printable(&found));
        }
    }
    for note in &run.info().notes {
        messages.note(&printable(note));
    }
}

/// Gives the file of the results its name, before the next signal may stop everything.
fn finish(output: Output, done: usize, count: usize) -> anyhow::Result<()> {
    let hint = if interrupt::signal_before_end(done, count).is_none() {
        output.finish()?;
        String::new()
    } else {
        let others = format!("give the other {} to go on", count - done);
        match output.finish_part()? {
            None => others,
            Some(path) => format!("the results are in {}; {others}", path.display()),
        }
    };
    interrupt::check(done, count, "images")
        .map_err(|interrupted| interrupted.with_hint(hint).into())
}
