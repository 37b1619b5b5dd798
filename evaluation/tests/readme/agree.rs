use evaluation::Comparison;
use evaluation::agreement::Tolerance;
use image_classification::Classifier;

/// Returns whether two classifiers agree. An image has a name and the bytes of its file; a path alone will do too.
async fn agree(
    reference: Classifier,
    candidate: Classifier,
    images: Vec<(&str, Vec<u8>)>,
) -> Result<bool, Box<dyn std::error::Error>> {
    let comparison = Comparison::new(reference, [candidate]).tolerance(Tolerance::F32);
    let report = comparison.run(images).await?;
    println!("{report}");
    Ok(report.agrees())
}
