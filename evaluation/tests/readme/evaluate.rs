use evaluation::Evaluation;
use evaluation::accuracy::GroundTruth;
use image_classification::Classifier;

/// Prints the accuracy of a classifier. `truth` is CSV with a header: `path,class_id`.
fn evaluate(
    classifier: Classifier,
    truth: &str,
    images: Vec<(&str, Vec<u8>)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let truth = GroundTruth::read(truth.as_bytes())?;
    let report = Evaluation::new([classifier], truth).run_blocking(images)?;
    for run in &report.runs {
        if let Ok(results) = &run.results {
            println!("{}: top-1 {}", run.name, results.accuracy.top(1));
        }
    }
    Ok(())
}
