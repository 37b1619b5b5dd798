use backend_onnx::{OnnxBackend, OnnxConfig};
use image_classification::Classifier;

/// Prints the five best classes of an image.
async fn classify(model: &str, image: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = OnnxConfig::new(model);
    config.options.device = "CPU".into();
    config.library_dirs = classify_tests::library_dirs();
    let backend = OnnxBackend::open(&config)?;
    // The preprocessing and the labels come from the model or from the files next to it.
    let classifier = Classifier::discover(backend, model)?;
    let classification = classifier.classify(std::fs::read(image)?).await?;
    for class in classification.top(5) {
        println!("{} {:.4}", class.label, class.score);
    }
    Ok(())
}
