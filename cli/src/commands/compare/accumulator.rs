//! The accumulation of answers, live and recorded ones.

use std::fs::File;
use std::path::{Path, PathBuf};

use backend_api::Tensor;
use evaluation::text::printable;
use evaluation::{
    AnsweredImage, ComparedRuns, ComparisonAccumulator, ComparisonReport, ImageDigests, Recorder,
    Recording, RecordingError, artificial_image,
};
use image_classification::Digests;

use super::options::CompareOptions;
use crate::destination::Output;
use crate::errors;
use crate::inputs::Input;
use crate::provenance;
use crate::session::{self, OpenRun, Outputs, Session};
use crate::terminal::Messages;

/// A comparison under way.
pub struct Accumulator<'a> {
    comparison: ComparisonAccumulator,
    /// The names of all runs.
    names: Vec<String>,
    /// The runs that are open and compared, with their places.
    open: Vec<(usize, &'a OpenRun)>,
    recording: Option<Recording<File>>,
    recorder: Option<Recorder<Output>>,
    /// The error that ended the recording.
    record_error: Option<RecordingError>,
    /// The reason why nothing can be compared.
    pub nothing: Option<&'static str>,
}

impl<'a> Accumulator<'a> {
    /// Starts the comparison of the runs, and the recording in `record`. Prints the errors of runs that cannot be
    /// compared.
    pub fn start(
        session: &'a Session,
        options: &CompareOptions,
        recording: Option<Recording<File>>,
        record: Option<Output>,
        messages: &mut Messages,
    ) -> anyhow::Result<Self> {
        let mut entries = recording
            .as_ref()
            .map_or_else(Vec::new, |recording| recording.entries(options.runs.scores));
        let recorded = entries.len();
        entries.extend(provenance::entries(session)?);
        let runs = ComparedRuns::new(entries, options.runs.reference.as_deref())?;
        session.report_failures(messages);
        report_rejected(&runs, messages);
        let open = runs.ready().filter_map(|place| {
            let (_, run) = &session.entries[place.checked_sub(recorded)?];
            Some((place, run.as_ref().ok()?))
        });
        let open: Vec<(usize, &OpenRun)> = open.collect();
        let entries = runs.entries();
        let infos = open.iter();
        let infos = infos.filter_map(|(place, _)| entries[*place].info.clone().ok());
        let recorder = record
            .filter(|_| !open.is_empty())
            .map(|out| Recorder::start(out, infos.collect()))
            .transpose()?;
        let nothing = if open.is_empty() {
            Some("no run is left to compare")
        } else if runs.ready().count() < 2 && recorder.is_none() {
            Some("fewer than two runs are left to compare")
        } else {
            None
        };
        let (tolerance, tolerance_by) = options.tolerance.of(&runs);
        Ok(Self {
            names: entries.iter().map(|entry| printable(&entry.name)).collect(),
            comparison: ComparisonAccumulator::new(runs, tolerance, tolerance_by, options.top),
            open,
            recording,
            recorder,
            record_error: None,
            nothing,
        })
    }

    /// Gives the images to the open runs, and accumulates their answers.
    pub fn answer(
        &mut self,
        inputs: Vec<Input>,
        jobs: usize,
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let open: Vec<&OpenRun> = self.open.iter().map(|(_, run)| *run).collect();
        let digests = Digests {
            file: true,
            tensor: true,
            pixels: self.recorder.is_some() || self.recording.is_some(),
        };
        session::answer(
            &open,
            inputs,
            jobs,
            digests,
            messages,
            |path, outputs, messages| self.add(path, outputs, messages),
        )
    }

    fn add(
        &mut self,
        path: PathBuf,
        outputs: anyhow::Result<Outputs>,
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let named = printable(&path.to_string_lossy());
        let with_recorded = outputs.and_then(|outputs| {
            let digests = digests(&outputs);
            let recorded = match &mut self.recording {
                Some(recording) => self
                    .comparison
                    .runs()
                    .recorded_outputs(recording, &digests)?,
                None => Vec::new(),
            };
            Ok((digests, outputs, recorded))
        });
        let (digests, outputs, recorded) = match with_recorded {
            Ok(with_recorded) => with_recorded,
            Err(error) => {
                messages.input_failed(&named, &error);
                self.comparison.add_failed(path, errors::problem(&error));
                return Ok(());
            }
        };
        self.record(&path, &digests, &outputs);
        let live = outputs.tensors.into_iter();
        let live = live.map(|output| output.map_err(|error| errors::problem(&error)));
        let image = AnsweredImage {
            digests,
            outputs: recorded.into_iter().chain(live).collect(),
        };
        for failure in self.comparison.add(path, image)? {
            let run = failure.run.map_or("", |run| &self.names[run]);
            messages.problem(&format!("{named}: {run}"), &failure.problem);
        }
        Ok(())
    }

    /// Records an image. A disk that is full loses the recording, and nothing else.
    fn record(&mut self, path: &Path, digests: &ImageDigests, outputs: &Outputs) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let tensors = outputs.tensors.iter();
        let tensors: Vec<Option<&Tensor>> = tensors.map(|output| output.as_ref().ok()).collect();
        if let Err(error) = recorder.add(path, digests, &tensors) {
            self.record_error = Some(error);
            self.recorder = None;
        }
    }

    /// Completes the recording, or returns the error that ended it.
    pub fn finish_recording(&mut self) -> anyhow::Result<()> {
        match (self.record_error.take(), self.recorder.take()) {
            (Some(error), _) => Err(error.into()),
            (None, Some(recorder)) => recorder.finish()?.finish(),
            (None, None) => Ok(()),
        }
    }

    /// Returns the results. Prints warnings that concern all images.
    pub fn finish(mut self, messages: &mut Messages) -> anyhow::Result<ComparisonReport> {
        self.add_variations();
        if self.nothing.is_none() {
            self.check_unused(messages);
        }
        self.warn_of_labels(messages);
        Ok(self.comparison.finish()?)
    }

    /// Adds each engine's answer for a made-up image to what is known of how answers vary, if there is one image alone:
    /// its answers cannot show whether they depend on it.
    fn add_variations(&mut self) {
        if !self.comparison.has_one_content() {
            return;
        }
        let image = artificial_image();
        for (place, run) in &self.open {
            // A model that fails on noise is judged by the images that there are.
            if let Ok(output) = session::infer_image(run, image.clone()) {
                self.comparison.add_variation(*place, &output);
            }
        }
    }

    /// Checks that all recorded images were given.
    fn check_unused(&mut self, messages: &mut Messages) {
        if let Some(problem) = self.recording.as_ref().and_then(Recording::unused_problem) {
            messages.problem("recording", &problem);
            self.comparison.add_failure(problem);
        }
    }

    /// Warns of different labels: the same place in two outputs means different things.
    fn warn_of_labels(&self, messages: &Messages) {
        let runs = self.comparison.runs();
        let name = |run: usize| &runs.entries()[run].name;
        for (run, difference, first) in runs.label_differences() {
            messages.warning(&printable(&format!(
                "{} has {}: classes are compared by their place in the output",
                name(run),
                difference.text(name(first))
            )));
        }
    }
}

fn report_rejected(runs: &ComparedRuns, messages: &mut Messages) {
    for (place, error) in runs.rejected() {
        let name = printable(&runs.entries()[*place].name);
        messages.rejected(&name, error);
    }
}

/// Returns the digests of an image, which `compare` requests from the feed.
fn digests(outputs: &Outputs) -> ImageDigests {
    let requested = "compare requests it";
    ImageDigests {
        file: outputs.digests.file.expect(requested),
        tensor: outputs.digests.tensor.expect(requested),
        pixels: outputs.digests.pixels,
    }
}
