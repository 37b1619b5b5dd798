//! Recorded runs. JSON Lines: a header, a line for each image, and a last line without which the recording is not
//! complete.

mod error;
mod line;
mod recorder;

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::iter;
use std::path::Path;

use backend_api::Tensor;
use image_classification::{FirstOutputs, Interpretation, Labels, ScoreKind, Scoring};

use crate::digest::{Digest, ImageDigests};
use crate::external::ExternalOutputs;
use crate::failure::Problem;
use crate::provenance::{RunEntry, RunInfo};
use crate::run::MOST_RUNS;
use line::{Footer, Header, Image, KIND};

pub use error::RecordingError;
pub use recorder::Recorder;

/// The longest line: a million classes, sixteen runs.
const MOST_LINE_BYTES: u64 = 512 << 20;

/// Returns the output in a recording.
fn tensor(values: Option<Vec<Option<f32>>>) -> Option<Tensor> {
    let values: Vec<f32> = values?
        .into_iter()
        .map(|value| value.unwrap_or(f32::NAN))
        .collect();
    Tensor::new([1, values.len()], values).ok()
}

/// Recorded runs: those of a recording, or outputs that another program computed. Only the places of their images are
/// kept in memory.
#[derive(Debug)]
pub struct Recording<R> {
    source: Source<R>,
    runs: Vec<RunInfo>,
    labels: Vec<Option<Labels>>,
    /// For each run its first outputs.
    first_outputs: Vec<FirstOutputs>,
    scores: ScoreKind,
}

#[derive(Debug)]
enum Source<R> {
    Lines {
        file: BufReader<R>,
        places: HashMap<Digest, Place>,
    },
    External(Box<ExternalOutputs<R>>),
}

#[derive(Debug)]
struct Place {
    start: u64,
    bytes: u64,
    used: bool,
}

/// The lines of a recording.
struct LineReader<R> {
    file: BufReader<R>,
    /// The last line.
    bytes: Vec<u8>,
}

impl<R: Read + Seek> LineReader<R> {
    /// Reads the next line and returns its length.
    fn next(&mut self) -> Result<u64, RecordingError> {
        self.bytes.clear();
        let mut line = self.file.by_ref().take(MOST_LINE_BYTES);
        let count = line
            .read_until(b'\n', &mut self.bytes)
            .map_err(RecordingError::Read)?;
        if count as u64 == MOST_LINE_BYTES {
            return Err(RecordingError::NotARecording);
        }
        Ok(count as u64)
    }

    /// Reads an earlier line again and returns to the line at `next`.
    fn earlier(&mut self, place: &Place, next: u64) -> Result<Image, RecordingError> {
        let image = image_at(&mut self.file, place)?;
        let next = SeekFrom::Start(next);
        self.file.seek(next).map_err(RecordingError::Read)?;
        Ok(image)
    }
}

/// Reads the line of an image.
fn image_at<R: Read + Seek>(
    file: &mut BufReader<R>,
    place: &Place,
) -> Result<Image, RecordingError> {
    let mut line = vec![0; place.bytes as usize];
    file.seek(SeekFrom::Start(place.start))
        .and_then(|_| file.read_exact(&mut line))
        .map_err(RecordingError::Read)?;
    serde_json::from_slice(&line).map_err(|error| RecordingError::Read(io::Error::from(error)))
}

impl<R: Read + Seek> Recording<R> {
    /// Reads through a recording and finds its images. `file` is read from its start.
    ///
    /// # Errors
    ///
    /// For a file that is not a recording, is incomplete, has a later version or more than [`MOST_RUNS`] runs, or contradicts
    /// itself.
    pub fn read(file: R) -> Result<Self, RecordingError> {
        let mut lines = LineReader {
            file: BufReader::new(file),
            bytes: Vec::new(),
        };
        lines.file.rewind().map_err(RecordingError::Read)?;
        let mut start = lines.next()?;
        let header: Header =
            serde_json::from_slice(&lines.bytes).map_err(|_| RecordingError::NotARecording)?;
        if header.kind != KIND || header.runs.is_empty() {
            return Err(RecordingError::NotARecording);
        }
        if header.schema_version != 1 {
            return Err(RecordingError::Version {
                version: header.schema_version,
            });
        }
        if header.runs.len() > MOST_RUNS {
            return Err(RecordingError::TooManyRuns {
                runs: header.runs.len(),
                limit: MOST_RUNS,
            });
        }
        let mut places: HashMap<Digest, Place> = HashMap::new();
        let first_outputs = header.runs.iter().map(|_| FirstOutputs::default());
        let mut first_outputs: Vec<FirstOutputs> = first_outputs.collect();
        let mut images = 0;
        let complete = loop {
            let bytes = lines.next()?;
            let Ok(image) = serde_json::from_slice::<Image>(&lines.bytes) else {
                let footer = serde_json::from_slice::<Footer>(&lines.bytes);
                let footer = footer.is_ok_and(|footer| footer.images == images);
                break footer && lines.next()? == 0;
            };
            if image.outputs.len() != header.runs.len() {
                break false;
            }
            images += 1;
            let place = Place {
                start,
                bytes,
                used: false,
            };
            start += bytes;
            // Duplicate images have a line each, and their answers must agree. A failure takes precedence.
            let mut counts = true;
            if let Some(earlier) = places.get(&image.sha256) {
                let earlier = lines.earlier(earlier, start)?;
                // One line has all failures, since the other one is forgotten.
                let differ = image.fails_unlike(&earlier) && earlier.fails_unlike(&image);
                if differ || !earlier.has_answers_of(&image) {
                    return Err(RecordingError::Contradiction {
                        path: image.path,
                        earlier: earlier.path,
                    });
                }
                counts = image.fails_unlike(&earlier);
            }
            if counts {
                places.insert(image.sha256, place);
            }
            for (first, output) in first_outputs.iter_mut().zip(image.outputs) {
                if let Some(output) = tensor(output) {
                    first.add_output(output);
                }
            }
        };
        if !complete {
            return Err(RecordingError::Incomplete { images });
        }
        let file = lines.file;
        let synsets = header.synsets.into_iter().chain(iter::repeat(None));
        let labels = header.labels.into_iter().zip(synsets);
        let labels = labels.map(|(names, of)| {
            Some(Labels::from_names(names?).with_synsets(of.unwrap_or_default()))
        });
        let mut runs = header.runs;
        for run in &mut runs {
            run.recorded = true;
        }
        Ok(Self {
            source: Source::Lines { file, places },
            labels: labels.collect(),
            runs,
            first_outputs,
            scores: ScoreKind::Auto,
        })
    }

    /// Outputs that another program computed, as one recorded run.
    pub fn of_external(outputs: ExternalOutputs<R>) -> Self {
        Self {
            runs: vec![outputs.run.clone().into_info()],
            // Its kind is stated.
            first_outputs: vec![FirstOutputs::default()],
            labels: vec![None],
            source: Source::External(Box::new(outputs)),
            scores: ScoreKind::Auto,
        }
    }

    /// Sets the kind of scores of the recorded runs. By default it is the recorded one.
    #[must_use]
    pub fn with_scores(mut self, scores: ScoreKind) -> Self {
        self.scores = scores;
        self
    }

    /// Returns the recorded runs.
    pub fn runs(&self) -> &[RunInfo] {
        &self.runs
    }

    /// Returns the recorded runs for a comparison or an evaluation.
    pub fn entries(&self) -> Vec<RunEntry> {
        let entry = |(place, (run, first)): (usize, (&RunInfo, &FirstOutputs))| RunEntry {
            name: match run.source {
                None => format!("{} (recorded)", run.name),
                Some(_) => run.name.clone(),
            },
            info: Ok(RunInfo {
                interpretation: interpretation(run, first.outputs(), self.scores),
                ..run.clone()
            }),
            labels: self.labels.get(place).cloned().flatten(),
        };
        let runs = self.runs.iter().zip(&self.first_outputs).enumerate();
        runs.map(entry).collect()
    }

    /// Returns the recorded outputs of the image at `path` with these digests, one for each run; `None` where the run
    /// failed.
    ///
    /// The image has to have the tensor that was recorded. With `pixels_alone` the same pixels are enough, if the
    /// recording has their digest: models take them in different forms. The path matters only for outputs that another
    /// program computed: see [`ExternalOutputs::new`].
    ///
    /// # Errors
    ///
    /// For an image that was not recorded or was prepared in another way, and a file that cannot be read any more.
    pub fn outputs(
        &mut self,
        path: &Path,
        digests: &ImageDigests,
        pixels_alone: bool,
    ) -> Result<Vec<Option<Tensor>>, RecordingError> {
        if let Source::External(outputs) = &mut self.source {
            return Ok(vec![Some(outputs.output(path, digests)?)]);
        }
        let image = self.image(&digests.file)?;
        // Old recordings have the tensor's digest alone.
        let (what, found, recorded) = match (digests.pixels, image.pixels_sha256) {
            (Some(found), Some(recorded)) if pixels_alone => ("pixels", found, recorded),
            _ => ("tensor", digests.tensor, image.tensor_sha256),
        };
        if found != recorded {
            return Err(RecordingError::OtherPreparation {
                what,
                found,
                recorded,
            });
        }
        Ok(image.outputs.into_iter().map(tensor).collect())
    }

    /// Returns the recorded outputs of the image whose file has this digest, one for each run. The image may be
    /// prepared in another way than the recorded one.
    ///
    /// # Errors
    ///
    /// For an image that was not recorded, and a file that cannot be read any more. Outputs of another program are not
    /// known by the files of their images.
    pub fn outputs_of_file(
        &mut self,
        file: &Digest,
    ) -> Result<Vec<Option<Tensor>>, RecordingError> {
        let image = self.image(file)?;
        Ok(image.outputs.into_iter().map(tensor).collect())
    }

    fn image(&mut self, file: &Digest) -> Result<Image, RecordingError> {
        let Source::Lines {
            file: lines,
            places,
        } = &mut self.source
        else {
            return Err(RecordingError::UnknownImage);
        };
        let place = places.get_mut(file);
        let place = place.ok_or(RecordingError::UnknownImage)?;
        place.used = true;
        image_at(lines, place)
    }

    /// Returns the number of recorded images whose outputs were not requested.
    pub fn unused(&self) -> usize {
        match &self.source {
            Source::Lines { places, .. } => places.values().filter(|place| !place.used).count(),
            Source::External(outputs) => outputs.unused(),
        }
    }

    /// Returns the problem of a comparison to which not all recorded images were given.
    pub fn unused_problem(&self) -> Option<Problem> {
        let images = self.unused();
        (images > 0).then(|| RecordingError::NotGiven { images }.problem())
    }
}

/// Returns the score rule of a recorded run.
fn interpretation(run: &RunInfo, first: &[Tensor], scores: ScoreKind) -> Option<Interpretation> {
    match (scores, run.interpretation) {
        (ScoreKind::Auto, Some(recorded)) => Some(recorded),
        // Recordings of version 0.1.0 do not have it.
        (ScoreKind::Auto, None) => {
            let scoring = Scoring::from_outputs(first, None, false)?;
            Some(Interpretation {
                inferred: true,
                ..Interpretation::plain(scoring)
            })
        }
        (requested, recorded) => {
            let values = run.values.or_else(|| first.first().map(Tensor::len));
            let scoring = Scoring::decide(requested, run.output, run.multi_label, values)?;
            Some(Interpretation {
                quantization: recorded.and_then(|recorded| recorded.quantization),
                ..Interpretation::plain(scoring)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use backend_api::{BackendInfo, Dim, ElementType, TensorSpec};

    use super::*;

    fn run(name: &str) -> RunInfo {
        let spec = |size| TensorSpec::new("x", ElementType::F32, vec![Dim::Fixed(size)]);
        RunInfo::new(name, &BackendInfo::new("mock", spec(3), spec(2)))
    }

    fn digests(image: u8) -> ImageDigests {
        ImageDigests {
            file: Digest::of(&[image]),
            tensor: Digest::of(&[image, 1]),
            pixels: Some(Digest::of(&[image, 2])),
        }
    }

    fn output(values: [f32; 2]) -> Tensor {
        Tensor::new([1, 2], values.to_vec()).unwrap()
    }

    /// Returns a recording of two images and two runs, where the second run failed for the second image.
    fn recording() -> Vec<u8> {
        let mut recorder = Recorder::start(Vec::new(), vec![run("a"), run("b")]).unwrap();
        let first = [output([0.25, 0.75]), output([f32::NAN, 1.0])];
        let outputs = first.each_ref().map(Some);
        recorder
            .add(Path::new("0.jpg"), &digests(0), &outputs)
            .unwrap();
        let outputs = [Some(&first[0]), None];
        recorder
            .add(Path::new("1.jpg"), &digests(1), &outputs)
            .unwrap();
        recorder.finish().unwrap()
    }

    fn values(outputs: &[Option<Tensor>]) -> Vec<Option<Vec<f32>>> {
        let values = |output: &Option<Tensor>| Some(output.as_ref()?.to_f32().into_owned());
        outputs.iter().map(values).collect()
    }

    #[test]
    fn outputs_are_read_as_they_were_recorded() {
        let mut recording = Recording::read(Cursor::new(recording())).unwrap();
        let names: Vec<&str> = recording.runs().iter().map(|run| &*run.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(recording.runs().iter().all(|run| run.recorded));
        assert_eq!(recording.unused(), 2);
        let second = recording
            .outputs(Path::new("x"), &digests(1), false)
            .unwrap();
        assert_eq!(values(&second), [Some(vec![0.25, 0.75]), None]);
        let first = recording
            .outputs(Path::new("x"), &digests(0), false)
            .unwrap();
        let not_finite = first[1].as_ref().unwrap().to_f32().into_owned();
        assert!(not_finite[0].is_nan() && not_finite[1] == 1.0);
        assert_eq!(recording.unused(), 0);
    }

    #[test]
    fn images_that_were_prepared_in_another_way_are_rejected() {
        let mut recording = Recording::read(Cursor::new(recording())).unwrap();
        let other_tensor = ImageDigests {
            tensor: Digest::of(b"other"),
            ..digests(0)
        };
        let error = recording
            .outputs(Path::new("x"), &other_tensor, false)
            .unwrap_err();
        let is_tensor = |error| {
            matches!(
                error,
                RecordingError::OtherPreparation { what: "tensor", .. }
            )
        };
        assert!(is_tensor(error));
        recording
            .outputs(Path::new("x"), &other_tensor, true)
            .unwrap();
        let without_pixels = ImageDigests {
            pixels: None,
            ..other_tensor
        };
        assert!(is_tensor(
            recording
                .outputs(Path::new("x"), &without_pixels, true)
                .unwrap_err()
        ));
        let error = recording
            .outputs(Path::new("x"), &digests(2), false)
            .unwrap_err();
        assert!(matches!(error, RecordingError::UnknownImage));
    }

    #[test]
    fn what_is_not_a_whole_recording_is_rejected() {
        let whole = recording();
        let error = |bytes: &[u8]| Recording::read(Cursor::new(bytes)).err();
        assert!(error(&whole).is_none());
        assert!(matches!(error(b""), Some(RecordingError::NotARecording)));
        assert!(matches!(
            error(b"{}\n"),
            Some(RecordingError::NotARecording)
        ));
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for (kept, images) in [(3, 2), (2, 1), (1, 0)] {
            let found = error(&lines[..kept].concat());
            assert!(
                matches!(found, Some(RecordingError::Incomplete { images: found }) if found == images),
                "{kept}: {found:?}"
            );
        }
        let more = [&whole[..], b"\n"].concat();
        assert!(matches!(
            error(&more),
            Some(RecordingError::Incomplete { .. })
        ));
        let text = String::from_utf8(whole).unwrap();
        let later = text.replace("\"schema_version\":1", "\"schema_version\":2");
        let found = error(later.as_bytes());
        assert!(matches!(
            found,
            Some(RecordingError::Version { version: 2 })
        ));
    }

    #[test]
    fn scores_of_recorded_runs_are_those_requested() {
        let scoring = |scores| {
            let recording = Recording::read(Cursor::new(recording())).unwrap();
            let entries = recording.with_scores(scores).entries();
            assert_eq!(entries[0].name, "a (recorded)");
            let info = entries[0].info.as_ref().unwrap();
            info.interpretation
                .map(|interpretation| interpretation.scoring)
        };
        // The first outputs are distributions.
        assert_eq!(scoring(ScoreKind::Auto), Some(Scoring::Probability));
        assert_eq!(scoring(ScoreKind::Softmax), Some(Scoring::Softmax));
        assert_eq!(scoring(ScoreKind::Raw), Some(Scoring::Raw));
    }

    /// Returns a recording whose lines are those at these places of [`recording`].
    fn lines(places: &[usize], change: impl Fn(usize, &str) -> String) -> Vec<u8> {
        let whole = String::from_utf8(recording()).unwrap();
        let lines = places.iter().enumerate();
        let mut text: Vec<String> = lines
            .map(|(place, line)| change(place, whole.lines().nth(*line).unwrap()))
            .collect();
        text.push(format!("{{\"pictures\":{}}}\n", places.len() - 1));
        text.join("\n").into_bytes()
    }

    #[test]
    fn an_image_has_one_answer() {
        let same = lines(&[0, 1, 2, 1], |_, line| line.to_owned());
        let mut recording = Recording::read(Cursor::new(same)).unwrap();
        assert_eq!(recording.unused(), 2);
        let outputs = recording.outputs_of_file(&digests(1).file).unwrap();
        assert_eq!(values(&outputs), [Some(vec![0.25, 0.75]), None]);
        for (from, to) in [("0.75", "0.5"), (",1.0]", ",2.0]"), ("0.25", "null")] {
            let text = lines(&[0, 1, 2, 1], |place, line| match place {
                3 => line.replace(from, to).replace("0.jpg", "copy.jpg"),
                _ => line.to_owned(),
            });
            let error = Recording::read(Cursor::new(text)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the recording has different answers for copy.jpg and for 0.jpg, which have the same SHA-256"
            );
        }
    }

    #[test]
    fn no_failure_of_duplicates_is_lost() {
        let failed = |from: &str, to: &str| {
            let text = lines(&[0, 1, 2, 2], |place, line| {
                assert!(place < 2 || line.contains(from), "{line}");
                if place == 3 {
                    return line.replace(from, to);
                }
                line.to_owned()
            });
            Recording::read(Cursor::new(text)).map(|_| ())
        };
        failed("[0.25,0.75],null", "null,null").unwrap();
        let error = failed("[0.25,0.75],null", "null,[0.25,0.75]").unwrap_err();
        assert!(matches!(error, RecordingError::Contradiction { .. }));
    }

    #[test]
    fn rounding_is_no_other_answer_and_a_failure_counts() {
        for (to, expected) in [("0.7501", Some(vec![0.25, 0.75])), ("null", None)] {
            let from = if expected.is_some() {
                "0.75"
            } else {
                "[0.25,0.75]"
            };
            for changed in [1, 3] {
                let text = lines(&[0, 1, 2, 1], |place, line| match place {
                    place if place == changed => line.replace(from, to),
                    _ => line.to_owned(),
                });
                let mut recording = Recording::read(Cursor::new(text)).unwrap();
                let outputs = recording.outputs_of_file(&digests(0).file).unwrap();
                let first = values(&outputs).swap_remove(0);
                match (&expected, changed) {
                    (Some(_), 1) => assert_eq!(first, Some(vec![0.25, 0.7501])),
                    _ => assert_eq!(first, expected, "{changed}"),
                }
            }
        }
    }

    #[test]
    fn the_runs_of_a_recording_have_a_limit() {
        let recording = |runs: usize| {
            let runs = (0..runs).map(|number| run(&number.to_string())).collect();
            let written = Recorder::start(Vec::new(), runs).unwrap().finish().unwrap();
            Recording::read(Cursor::new(written))
        };
        assert_eq!(recording(MOST_RUNS).unwrap().runs().len(), MOST_RUNS);
        let error = recording(MOST_RUNS + 1).unwrap_err().to_string();
        assert_eq!(error, "the recording has 17 runs, more than 16");
    }
}
