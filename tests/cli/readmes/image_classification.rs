use backend_api::InferBackend;
use image_classification::Classifier;

/// Prints the five best classes of an image. `backend` is the engine that has opened `model`.
fn classify(
    backend: impl InferBackend,
    model: &str,
    image: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let classifier = Classifier::discover(backend, model)?;
    let classification = classifier.classify_blocking(&std::fs::read(image)?)?;
    for class in classification.top(5) {
        println!("{} {:.4}", class.label, class.score);
    }
    Ok(())
}
