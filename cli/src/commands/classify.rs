//! `classify`: the best classes of each image.

use std::path::Path;
use std::sync::Arc;

use crate::engines;
use crate::exit;
use crate::files_read::FilesRead;
use crate::interrupt;
use crate::messages::{Messages, printable};
use crate::options::{ClassifyOptions, say_what_is_not_said};
use crate::output::Output;
use crate::pipeline::{Pipeline, Spare};
use crate::resolve;
use crate::results::{Results, Run};

/// Classifies the inputs and prints the results in their order.
pub fn run(options: ClassifyOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let ClassifyOptions {
        engine,
        inputs,
        preprocess,
        scores,
        output,
        jobs,
        quiet,
        verbose,
    } = options;
    // Before the work: where results cannot go, none need be computed.
    let read = FilesRead {
        inputs: &inputs,
        engines: vec![&engine],
        preprocess: &preprocess,
        others: Vec::new(),
    };
    let path = output
        .path
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    read.check(
        &path
            .map(|path| ("--output", path))
            .into_iter()
            .collect::<Vec<_>>(),
    )?;
    let destination = Output::open("--output", path)?;
    let mut results = Results::new(destination, &output, quiet);
    say_what_is_not_said(std::iter::once(&engine), &inputs, messages);
    results.step(engines::first_step(engine.backend))?;
    results.step(&format!("Reading the model: {}", engine.model.display()))?;
    let resolved = resolve::find(&engine.model, &preprocess.overrides(scores)?, messages)?;
    results.step("Loading the model to the plugin")?;
    let backend = engines::open(&engine)?;
    results.step(&backend.info().description())?;
    let fitted = resolve::fit(resolved, &backend, engine.batch, &inputs.list, messages)?;
    if verbose {
        for line in resolve::lines(&fitted) {
            messages.note(&line);
        }
        if let Some(library) = &backend.info().library {
            let origin = engines::library_origin(&engine, library);
            let found = format!("engine: {} ({origin})", library.path.display());
            messages.note(&printable(&found));
        }
    }
    for note in &backend.info().notes {
        messages.note(&printable(note));
    }

    let reading = resolve::reading(&fitted);
    results.step("Starting inference in asynchronous mode")?;
    let run = Run {
        info: backend.info(),
        model: &engine.model,
        labels: fitted.labels.as_ref().map(|labels| &labels.value),
        reading: &reading,
    };
    let pipeline = Pipeline {
        input: resolve::preparation(&fitted, engine.batch),
        backend: Arc::clone(&backend),
        interpretation: reading.interpretation,
        top: output.top,
        threshold: output.threshold,
        jobs,
        spare: Spare::default(),
    };
    let count = inputs.list.len();
    messages.start_progress(count);
    let mut done = 0;
    pipeline.run(interrupt::until(inputs.list.into_iter()), |path, result| {
        done += 1;
        if let Err(error) = &result {
            messages.input_failed(&printable(&path.to_string_lossy()), error);
        }
        messages.advance(|| results.result(&run, &path, result.as_ref()))
    })?;
    messages.end_progress();
    messages.summary(done);
    let output = results.into_output()?;
    exit::leave(backend);
    // The file has its name before the next signal may stop everything.
    let hint = if interrupt::left_out(done, count).is_none() {
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
