use backend_api::Tensor;
use evaluation::agreement::{Answer, Difference, Tolerance};
use image_classification::{Interpretation, Scoring};

/// Returns the largest difference of two outputs in probability, if both are finite.
fn max_delta(reference: &Tensor, run: &Tensor) -> Result<Option<f64>, Box<dyn std::error::Error>> {
    let interpretation = Interpretation::plain(Scoring::Softmax);
    let reference = Answer::new(reference, &interpretation, 5)?;
    let run = Answer::new(run, &interpretation, 5)?;
    Ok(match Difference::new(&reference, &run, Tolerance::F32.ties()) {
        Difference::Finite(values) => values.max_delta,
        Difference::NotFinite { .. } => None,
    })
}
