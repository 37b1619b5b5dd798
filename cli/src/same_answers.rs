//! A warning on a model that answers the same for every image.

use std::path::{Path, PathBuf};

use backend_api::Tensor;
use evaluation::agreement::{Answer, Variation};
use evaluation::text::counted;
use image_classification::{Interpretation, Scoring, read_file};

/// The largest file that is compared with another.
const MOST_BYTES: u64 = 1 << 30;

/// A check whether outputs depend on the image.
#[derive(Debug, Default)]
pub struct SameAnswers {
    variation: Variation,
    /// The images, until their answers differ.
    images: Vec<PathBuf>,
    differ: bool,
}

impl SameAnswers {
    /// Adds the output for an image.
    pub fn add(&mut self, path: &Path, output: &Tensor, interpretation: &Interpretation) {
        // Class ids have no scores, and all images may really show the same class.
        if self.differ || interpretation.scoring == Scoring::ClassIds {
            return;
        }
        // Outputs that are not finite are reported as errors elsewhere.
        if let Ok(answer) = Answer::new(output, interpretation, 1)
            && answer.not_finite == 0
        {
            self.variation.add(&answer);
            self.images.push(path.to_owned());
        }
        if self.variation.is_informative() {
            self.differ = true;
            self.images = Vec::new();
        }
    }

    /// Returns the warning, if the answers for several images are the same and their files are not.
    pub fn warning(&self) -> Option<String> {
        let (first, others) = self.images.split_first()?;
        let bytes = read_file(first, MOST_BYTES).ok()?;
        let differs =
            |path: &PathBuf| read_file(path, MOST_BYTES).is_ok_and(|other| other != bytes);
        others.iter().any(differs).then(|| {
            format!(
                "the answers for {} do not depend on the image, or all classes tie; check the model, and its \
                 preprocessing by `classify inspect`",
                counted(others.len() + 1, "image")
            )
        })
    }
}
