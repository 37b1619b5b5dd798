use std::path::Path;
use backend_api::{InferBackend, InferRequest};
use image_classification::{DecodeLimits, Image, PreprocessOverrides, ResolvedPreprocessing};

/// Prints the five best classes of an image, and where each value of the preprocessing comes from.
async fn classify_by_steps(
    backend: impl InferBackend,
    model: &str,
    image: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let resolved = ResolvedPreprocessing::find(Path::new(model), &PreprocessOverrides::default())?;
    let mut fitted = resolved.fit(backend.info())?;

    let image = Image::decode(&std::fs::read(image)?, &DecodeLimits::default())?;
    let tensor = fitted.resolved.preprocess.tensor(&image, &fitted.layout)?;
    let output = backend.submit(InferRequest::new(0, tensor)).await?.await?;

    // A model that does not state the kind of its output is judged by its first outputs.
    fitted.read_outputs(std::slice::from_ref(&output.tensor));
    let reading = fitted.reading.as_ref().ok_or("the output is not finite")?;
    for ranked in reading.interpretation.scores(&output.tensor)?.top(5) {
        let label = fitted.labels.as_ref().and_then(|labels| labels.value.get(ranked.class_id));
        println!("{} {:.4}", label.unwrap_or("?"), ranked.score);
    }
    for setting in fitted.settings() {
        println!("{setting}");
    }
    // Decisions that no source states.
    for note in fitted.resolved.notes.iter().chain(&fitted.notes) {
        println!("{}", note.text);
    }
    Ok(())
}
