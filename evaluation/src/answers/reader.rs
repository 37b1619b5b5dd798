//! The reader of stored answers.

use std::io::Read;

use backend_api::Tensor;

use super::error::AnswersError;
use super::format::{AnswersRecord, Header, ImageRecord, MAGIC, Record, path, read_record};
use super::image::{ImageAnswers, StoredImage};
use crate::provenance::{Machine, RunEntry};

/// The description of stored answers.
#[derive(Debug, Clone)]
pub struct StoredAnswers {
    /// All runs.
    pub runs: Vec<RunEntry>,
    /// The places of the runs whose outputs are stored.
    pub stored: Vec<usize>,
    /// The machine that wrote the answers.
    pub machine: Machine,
}

impl StoredAnswers {
    /// Returns whether the runs are those of `other`, on whatever machines. Kernels differ in the isolation that they
    /// have, which changes no answer.
    pub fn has_runs_of(&self, other: &Self) -> bool {
        let same = |(one, other): (&RunEntry, &RunEntry)| {
            let info = match (&one.info, &other.info) {
                (Ok(one), Ok(other)) => {
                    let mut info = one.clone();
                    info.machine = other.machine.clone();
                    info.isolation.clone_from(&other.isolation);
                    info == *other
                }
                (one, other) => one == other,
            };
            info && one.name == other.name && one.labels == other.labels
        };
        self.stored == other.stored
            && self.runs.len() == other.runs.len()
            && self.runs.iter().zip(&other.runs).all(same)
    }
}

/// Reads stored answers, image by image.
#[derive(Debug)]
pub struct AnswerReader<R> {
    from: R,
    buffer: Vec<u8>,
    description: StoredAnswers,
    images: u64,
    /// The outputs for the artificial image, once the end is reached.
    artificial: Option<Vec<(usize, Tensor)>>,
}

impl<R: Read> AnswerReader<R> {
    /// Reads the description. `from` should be buffered.
    ///
    /// # Errors
    ///
    /// [`AnswersError::Read`], [`AnswersError::NotAnswers`].
    pub fn start(mut from: R) -> Result<Self, AnswersError> {
        let mut buffer = Vec::new();
        let mut magic = vec![0; MAGIC.len()];
        let is_whole = match from.read_exact(&mut magic) {
            Ok(()) => read_record(&mut from, &mut buffer).map_err(AnswersError::Read)?,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(AnswersError::Read(error)),
        };
        let header = serde_json::from_slice::<Header>(&buffer);
        let (true, true, Ok(header)) = (magic == MAGIC, is_whole, header) else {
            return Err(AnswersError::NotAnswers);
        };
        if header
            .stored
            .iter()
            .any(|place| *place >= header.runs.len())
        {
            return Err(AnswersError::NotAnswers);
        }
        Ok(Self {
            from,
            buffer,
            description: StoredAnswers {
                runs: header.runs.into_iter().map(Into::into).collect(),
                stored: header.stored,
                machine: header.machine,
            },
            images: 0,
            artificial: None,
        })
    }

    /// Returns the description.
    pub fn description(&self) -> &StoredAnswers {
        &self.description
    }

    /// Returns the outputs of runs for the artificial image, each with the place of its run. They are known after the
    /// last image.
    pub fn artificial(&self) -> &[(usize, Tensor)] {
        self.artificial.as_deref().unwrap_or_default()
    }

    /// Returns the next image. `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`AnswersError::Read`], [`AnswersError::Damaged`].
    pub fn next_image(&mut self) -> Result<Option<StoredImage>, AnswersError> {
        if self.artificial.is_some() {
            return Ok(None);
        }
        let images = self.images;
        let damaged = || AnswersError::Damaged { images };
        let is_whole = read_record(&mut self.from, &mut self.buffer).map_err(AnswersError::Read)?;
        if !is_whole {
            return Err(damaged());
        }
        match postcard::from_bytes(&self.buffer).map_err(|_| damaged())? {
            Record::Image(record) => {
                self.images += 1;
                let image = image(record, self.description.stored.len());
                image.map(Some).ok_or_else(damaged)
            }
            Record::End(end) => {
                let mut more = [0];
                let is_end = self.from.read(&mut more).map_err(AnswersError::Read)? == 0;
                let artificial = end.artificial.into_iter();
                let artificial: Option<Vec<_>> = artificial
                    .map(|(place, tensor)| Some((place, tensor.tensor()?)))
                    .collect();
                let places = self.description.runs.len();
                let artificial =
                    artificial.filter(|all| all.iter().all(|(place, _)| *place < places));
                if !is_end || end.images != images {
                    return Err(damaged());
                }
                self.artificial = Some(artificial.ok_or_else(damaged)?);
                Ok(None)
            }
        }
    }
}

/// Returns the image of a record with the outputs of `runs` runs; `None` if it is damaged.
fn image(record: ImageRecord<'_>, runs: usize) -> Option<StoredImage> {
    Some(StoredImage {
        path: path(record.path)?,
        truth: record.truth,
        answers: match record.answers {
            Ok(record) => Ok(answers(record).filter(|answers| answers.outputs.len() == runs)?),
            Err(problem) => Err(problem.problem()?),
        },
    })
}

fn answers(record: AnswersRecord<'_>) -> Option<ImageAnswers> {
    let outputs = record.outputs.into_iter();
    let outputs = outputs.map(|output| {
        Some(match output {
            Ok(tensor) => Ok(tensor.tensor()?),
            Err(problem) => Err(problem.problem()?),
        })
    });
    Some(ImageAnswers {
        file: record.file.into(),
        tensor: record.tensor.map(Into::into),
        outputs: outputs.collect::<Option<_>>()?,
    })
}
