use backend_remote::{RemoteBackend, RemoteConfig};
use image_classification::Classifier;

/// Prints the five best classes of an image by a model on a server, preprocessed as the local `model` states.
async fn classify(server: &str, model: &str, image: &str) -> Result<(), Box<dyn std::error::Error>> {
    let backend = RemoteBackend::open(&RemoteConfig::new(server, "squeezenet"))?;
    // A server does not know the preprocessing: it comes from a local copy of the model, or from the files next to it.
    let classifier = Classifier::discover(backend, model)?;
    let classification = classifier.classify(std::fs::read(image)?).await?;
    for class in classification.top(5) {
        println!("{} {:.4}", class.label, class.score);
    }
    Ok(())
}
