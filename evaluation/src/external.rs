//! Outputs that another program computed, as the reference of a comparison.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use backend_api::Tensor;
use image_classification::{Interpretation, OutputKind, ScoreKind, Scoring};

use crate::digest::{Digest, ImageDigests};
use crate::provenance::{Machine, RunInfo};
use crate::recording::RecordingError;

/// The description of outputs that another program computed.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalRun {
    /// The name of the run.
    pub name: String,
    /// The place that the outputs come from, for reports: a file and its digest.
    pub source: String,
    /// The program that computed the outputs, as far as it is known.
    pub engine: Option<String>,
    /// The type of the outputs, such as `f32`. The default tolerance is that of this precision.
    pub precision: String,
    /// The kind of the outputs.
    pub kind: OutputKind,
    /// The number of outputs for each image.
    pub classes: usize,
    /// The preprocessing of the tensors, as names and values of settings. Empty if it is not known.
    pub preprocessing: Vec<(String, String)>,
}

impl ExternalRun {
    pub(crate) fn into_info(self) -> RunInfo {
        let unknown = || "unknown".to_owned();
        let classes = Some(self.classes);
        let scoring = Scoring::decide(ScoreKind::Auto, Some(self.kind), false, classes);
        RunInfo {
            name: self.name,
            backend: "external".to_owned(),
            engine: self.engine.unwrap_or_else(unknown),
            engine_version: String::new(),
            requested_device: unknown(),
            device: unknown(),
            requested_precision: self.precision.clone(),
            precision: self.precision,
            model: unknown(),
            model_sha256: None,
            preprocessing: self.preprocessing,
            // One logit stands for two classes.
            classes: classes.map(|classes| classes.max(2)),
            interpretation: scoring.map(Interpretation::plain),
            scores_by: format!("{}, which says that it holds {}", self.source, self.kind),
            output: Some(self.kind),
            multi_label: false,
            values: classes,
            output_name: None,
            stored_precision: None,
            quantized_nodes: None,
            machine: Machine::unknown(),
            recorded: true,
            isolation: None,
            source: Some(self.source),
        }
    }
}

/// Outputs that another program computed, with the names of their images.
#[derive(Debug)]
pub struct ExternalOutputs<R> {
    pub(crate) run: ExternalRun,
    images: Vec<String>,
    /// The digest of each image's tensor.
    tensors: Option<Vec<Digest>>,
    values: R,
    by_name: HashMap<String, usize>,
    by_tensor: HashMap<Digest, Vec<usize>>,
    used: Vec<bool>,
}

impl<R: Read + Seek> ExternalOutputs<R> {
    /// Outputs of `images`. `values` holds a row of [`ExternalRun::classes`] little-endian f32 for each of them.
    /// `tensors` are the digests of the tensors from which they were computed, if they are known.
    ///
    /// With digests, an image is found by its tensor, under any name. Without them it is found by its name, and nothing
    /// tells whether the outputs are those of its tensor.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Lengths`] if the parts have different numbers of images; [`RecordingError::SameName`] for an image
    /// that is named twice with different tensors, or without digests; [`RecordingError::Read`].
    pub fn new(
        run: ExternalRun,
        images: Vec<String>,
        tensors: Option<Vec<Digest>>,
        mut values: R,
    ) -> Result<Self, RecordingError> {
        let lengths = |what, found| RecordingError::Lengths {
            what,
            found,
            images: images.len() as u64,
        };
        let row = run.classes as u64 * 4;
        let bytes = values
            .seek(SeekFrom::End(0))
            .map_err(RecordingError::Read)?;
        if row == 0 || bytes != row.saturating_mul(images.len() as u64) {
            return Err(lengths(
                "rows of outputs",
                bytes.checked_div(row).unwrap_or(0),
            ));
        }
        if let Some(tensors) = &tensors
            && tensors.len() != images.len()
        {
            return Err(lengths("digests of tensors", tensors.len() as u64));
        }
        let mut by_name = HashMap::new();
        let mut by_tensor: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (place, name) in images.iter().enumerate() {
            let tensor = |place: usize| tensors.as_ref().map(|tensors| tensors[place]);
            if let Some(first) = by_name.insert(name.clone(), place)
                && (tensor(first).is_none() || tensor(first) != tensor(place))
            {
                return Err(RecordingError::SameName { name: name.clone() });
            }
            if let Some(tensor) = tensor(place) {
                by_tensor.entry(tensor).or_default().push(place);
            }
        }
        Ok(Self {
            used: vec![false; images.len()],
            run,
            images,
            tensors,
            values,
            by_name,
            by_tensor,
        })
    }

    /// Returns the output of the image at `path`.
    pub(crate) fn output(
        &mut self,
        path: &Path,
        digests: &ImageDigests,
    ) -> Result<Tensor, RecordingError> {
        let name = path.to_string_lossy();
        let named = self.by_name.get(&*name).copied();
        let unknown = || RecordingError::UnknownName {
            source_name: self.run.name.clone(),
        };
        let place = match &self.tensors {
            None => {
                let place = named.ok_or_else(unknown)?;
                self.used[place] = true;
                place
            }
            Some(tensors) => {
                let Some(same) = self.by_tensor.get(&digests.tensor) else {
                    let place = named.ok_or_else(unknown)?;
                    // It was given, although its outputs cannot be used.
                    self.used[place] = true;
                    return Err(RecordingError::OtherTensor {
                        source_name: self.run.name.clone(),
                        found: digests.tensor,
                        recorded: tensors[place],
                    });
                };
                // All of them are answered by this tensor.
                for place in same {
                    self.used[*place] = true;
                }
                named
                    .filter(|place| same.contains(place))
                    .unwrap_or(same[0])
            }
        };
        let classes = self.run.classes;
        let mut bytes = vec![0; classes * 4];
        self.values
            .seek(SeekFrom::Start(place as u64 * bytes.len() as u64))
            .and_then(|_| self.values.read_exact(&mut bytes))
            .map_err(RecordingError::Read)?;
        let (values, _) = bytes.as_chunks();
        let values: Vec<f32> = values
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        Tensor::new([1, classes], values)
            .map_err(|error| RecordingError::Read(io::Error::other(error)))
    }

    pub(crate) fn unused(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// Returns the names of the images.
    pub fn images(&self) -> &[String] {
        &self.images
    }

    /// Returns whether the digests of the tensors are known.
    pub const fn has_digests(&self) -> bool {
        self.tensors.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::recording::Recording;

    fn run() -> ExternalRun {
        ExternalRun {
            name: "outputs.npz".to_owned(),
            source: "outputs.npz, SHA-256 0".to_owned(),
            engine: Some("PyTorch 2".to_owned()),
            precision: "f32".to_owned(),
            kind: OutputKind::Logits,
            classes: 2,
            preprocessing: Vec::new(),
        }
    }

    fn digests(tensor: u8) -> ImageDigests {
        ImageDigests {
            file: Digest::of(b"any"),
            tensor: Digest::of(&[tensor]),
            pixels: None,
        }
    }

    fn open(
        names: &[&str],
        tensors: Option<&[u8]>,
        values: &[f32],
    ) -> Result<Recording<Cursor<Vec<u8>>>, RecordingError> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        let tensors = tensors.map(|all| all.iter().map(|one| Digest::of(&[*one])).collect());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let outputs = ExternalOutputs::new(run(), names, tensors, Cursor::new(bytes.collect()))?;
        Ok(Recording::of_external(outputs))
    }

    fn values(
        recording: &mut Recording<Cursor<Vec<u8>>>,
        name: &str,
        tensor: u8,
    ) -> Result<Vec<f32>, RecordingError> {
        let outputs = recording.outputs(Path::new(name), &digests(tensor), false)?;
        Ok(outputs[0].as_ref().unwrap().to_f32().into_owned())
    }

    #[test]
    fn a_tensor_is_found_under_any_name() {
        let mut recording = open(&["a", "b"], Some(&[1, 2]), &[1., 2., 3., 4.]).unwrap();
        assert_eq!(values(&mut recording, "b", 2).unwrap(), [3., 4.]);
        assert_eq!(recording.unused(), 1);
        assert_eq!(values(&mut recording, "elsewhere/a", 1).unwrap(), [1., 2.]);
        assert_eq!(recording.unused(), 0);
        assert_eq!(
            recording.runs()[0].source.as_deref(),
            Some("outputs.npz, SHA-256 0")
        );
    }

    #[test]
    fn another_tensor_of_a_known_image_is_rejected() {
        let mut recording = open(&["a"], Some(&[1]), &[1., 2.]).unwrap();
        let error = values(&mut recording, "a", 9).unwrap_err();
        assert!(
            matches!(error, RecordingError::OtherTensor { .. }),
            "{error}"
        );
        let error = values(&mut recording, "c", 9).unwrap_err();
        assert!(
            matches!(error, RecordingError::UnknownName { .. }),
            "{error}"
        );
        assert_eq!(recording.unused(), 0, "the image was given");
    }

    #[test]
    fn images_without_digests_are_found_by_name() {
        let mut recording = open(&["a", "b"], None, &[1., 2., 3., 4.]).unwrap();
        assert_eq!(values(&mut recording, "b", 7).unwrap(), [3., 4.]);
        let error = values(&mut recording, "c", 7).unwrap_err();
        assert!(
            matches!(error, RecordingError::UnknownName { .. }),
            "{error}"
        );
    }

    #[test]
    fn parts_of_different_lengths_are_rejected() {
        for (names, tensors, values) in [
            (&["a"][..], None, &[1.0_f32, 2., 3.][..]),
            (&["a", "b"], None, &[1., 2.]),
            (&["a"], Some(&[1, 2][..]), &[1., 2.]),
        ] {
            let error = open(names, tensors, values).unwrap_err();
            assert!(matches!(error, RecordingError::Lengths { .. }), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_needs_one_tensor() {
        let all = [1., 2., 3., 4.];
        assert!(open(&["a", "a"], Some(&[1, 1]), &all).is_ok());
        for tensors in [None, Some(&[1, 2][..])] {
            let error = open(&["a", "a"], tensors, &all).unwrap_err();
            assert!(matches!(error, RecordingError::SameName { .. }), "{error}");
        }
    }
}
