use backend_rten::{RtenBackend, RtenConfig};
use image_classification::Classifier;

/// Prints the five best classes of an image.
async fn classify(model: &str, image: &str) -> Result<(), Box<dyn std::error::Error>> {
    let backend = RtenBackend::open(&RtenConfig::new(model))?;
    // The preprocessing and the labels come from the model or from the files next to it.
    let classifier = Classifier::discover(backend, model)?;
    let classification = classifier.classify(std::fs::read(image)?).await?;
    for class in classification.top(5) {
        println!("{} {:.4}", class.label, class.score);
    }
    Ok(())
}
