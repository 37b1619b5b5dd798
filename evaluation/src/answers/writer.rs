//! The writer of stored answers.

use std::io::{self, Write};

use backend_api::Tensor;

use super::error::AnswersError;
use super::format::{
    AnswersRecord, EndRecord, Header, ImageRecord, MAGIC, ProblemRecord, Record, TensorRecord,
    path_bytes, write_record,
};
use super::image::{ImageAnswers, StoredImage};
use crate::digest::Digest;
use crate::failure::Problem;
use crate::provenance::{Machine, RunEntry};

/// Writes the answers of runs, image by image.
#[derive(Debug)]
pub struct AnswerWriter<W> {
    out: W,
    images: u64,
}

impl<W: Write> AnswerWriter<W> {
    /// Begins with the description of `runs`. `stored` are the places of those whose outputs follow. `out` should be
    /// buffered.
    ///
    /// # Errors
    ///
    /// [`AnswersError::Write`].
    pub fn start(mut out: W, runs: &[RunEntry], stored: &[usize]) -> Result<Self, AnswersError> {
        let header = Header {
            runs: runs.iter().map(Into::into).collect(),
            stored: stored.to_vec(),
            machine: Machine::current(),
        };
        let written = serde_json::to_vec(&header).map_err(io::Error::from);
        let written = written.and_then(|header| {
            out.write_all(MAGIC)?;
            write_record(&mut out, &header)
        });
        written.map_err(AnswersError::Write)?;
        Ok(Self { out, images: 0 })
    }

    /// Adds the next image.
    ///
    /// # Errors
    ///
    /// [`AnswersError::Write`].
    pub fn add(&mut self, image: &StoredImage) -> Result<(), AnswersError> {
        self.images += 1;
        let path = path_bytes(&image.path);
        self.write(&Record::Image(ImageRecord {
            path: &path,
            truth: image.truth.clone(),
            answers: match &image.answers {
                Ok(answers) => Ok(record(answers)),
                Err(problem) => Err(ProblemRecord::new(problem)),
            },
        }))
    }

    /// Ends the answers, with the outputs of runs for the [artificial image](crate::artificial_image) if there are any,
    /// and returns `out`.
    ///
    /// # Errors
    ///
    /// [`AnswersError::Write`].
    pub fn finish(mut self, artificial: &[(usize, Tensor)]) -> Result<W, AnswersError> {
        let artificial = artificial.iter();
        let artificial = artificial.map(|(place, tensor)| (*place, TensorRecord::new(tensor)));
        self.write(&Record::End(EndRecord {
            images: self.images,
            artificial: artificial.collect(),
        }))?;
        Ok(self.out)
    }

    fn write(&mut self, record: &Record<'_>) -> Result<(), AnswersError> {
        let bytes = postcard::to_stdvec(record).map_err(io::Error::other);
        bytes
            .and_then(|bytes| write_record(&mut self.out, &bytes))
            .map_err(AnswersError::Write)
    }
}

fn record(answers: &ImageAnswers) -> AnswersRecord<'_> {
    fn output(output: &Result<Tensor, Problem>) -> Result<TensorRecord<'_>, ProblemRecord<'_>> {
        match output {
            Ok(tensor) => Ok(TensorRecord::new(tensor)),
            Err(problem) => Err(ProblemRecord::new(problem)),
        }
    }
    AnswersRecord {
        file: answers.file.bytes(),
        tensor: answers.tensor.map(Digest::bytes),
        outputs: answers.outputs.iter().map(output).collect(),
    }
}
