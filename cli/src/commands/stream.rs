//! `classify --stream`: an answer for each line of stdin.

use std::io;

use futures_util::stream::Stream;

use super::classify::{files_read, note_engine, note_settings, open_run};
use crate::destination::Output;
use crate::errors;
use crate::interrupt;
use crate::lines::{self, Ends};
use crate::options::{ClassifyOptions, OutputOptions, note_defaults};
use crate::process;
use crate::session::{self, Answers, OpenRun};
use crate::stream_line;
use crate::terminal::Messages;
use crate::writers::{Classified, Json, JsonInput, ResultContext};
use image_classification::Answer;
use stream_line::StreamLine;

/// The next step after an early end.
const UNANSWERED: &str = "send the lines that have no answer to another process";

/// Answers the lines of stdin in their order, each as soon as it is known.
pub fn run(options: &ClassifyOptions, messages: &mut Messages) -> anyhow::Result<()> {
    // A redirected stdout may lead to a file that is read.
    files_read(options).check(&[])?;
    let writer = Json::new(Output::open("--output", None)?);
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    let mut run = open_run(options, messages, |_| Ok(()))?;
    note_engine(&run, options, messages);
    note_settings(&run, options, messages);
    // A whole batch is taken at once if its lines are there; nobody waits for more.
    let waiting = lines::WAITING.max(run.input.batch - 1);
    let (lines, reader) = lines::read(
        io::stdin(),
        waiting,
        |_| Ok(Ends::Lines),
        |line| Ok(stream_line::parse(line)),
    )?;
    let images = interrupt::until_interrupted(lines);
    // More outputs are not waited for before a decision: the next line may wait for this answer.
    let answers = run.answers(images, options.jobs, 1);
    let done = answer(&mut run, answers, &options.output, writer, messages)?;
    process::leak(run);
    let is_complete = reader.end()? == Some(done);
    interrupt::check_stream(done as usize, is_complete, "line")
        .map_err(|interrupted| interrupted.with_hint(UNANSWERED))?;
    Ok(())
}

/// Writes an answer for each line. Returns their number.
fn answer(
    run: &mut OpenRun,
    mut answers: Answers<StreamLine, impl Stream<Item = Answer<StreamLine>>>,
    options: &OutputOptions,
    mut writer: Json,
    messages: &Messages,
) -> anyhow::Result<u64> {
    let OutputOptions { top, threshold, .. } = *options;
    let name = run.info().output.name.clone();
    let device = run.info().executed_devices();
    let saved_as = Some(&*name).filter(|name| options.saves(name));
    let mut reading = run.reading();
    let mut is_decided = run.fitted.reading.is_some();
    let mut done = 0;
    while let Some(answer) = answers.next(run, messages, || writer.flush())? {
        if let Some(failure) = session::failure_of(&run.backend, &answer.result) {
            writer.flush()?;
            return Err(session::engine_failed(failure, UNANSWERED).into());
        }
        if !is_decided && run.fitted.reading.is_some() {
            is_decided = true;
            reading = run.reading();
        }
        let Answer {
            input: line,
            result,
        } = answer;
        let mut note = None;
        let result = result.map_err(errors::image_error).and_then(|outputs| {
            note = outputs.note;
            Classified::new(outputs, reading.interpretation, top, threshold, saved_as)
        });
        let context = ResultContext {
            info: run.info(),
            device: &device,
            model: &run.model,
            labels: run.fitted.labels.as_ref().map(|labels| &labels.value),
            reading: &reading,
        };
        let input = JsonInput {
            path: line.path.as_deref(),
            line: Some(&line),
            note,
        };
        writer.result(&context, &input, result.as_ref())?;
        done += 1;
    }
    writer.flush()?;
    Ok(done)
}
