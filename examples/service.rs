//! Serves `POST /classify` on OpenVINO: the body is the file of an image, the answer its best classes as JSON.
//!
//! ```sh
//! VIRTUAL_ENV=$PWD/assets/python cargo run -p classify-examples --bin service -- \
//!     assets/models/efficientnet-lite0.xml 127.0.0.1:8080
//! curl --data-binary @assets/photos/coffee.png http://127.0.0.1:8080/classify
//! ```
//!
//! - A body may have [`MOST_BYTES`]. The pixels of an image are limited by [`Classifier`].
//! - [`MOST_REQUESTS`] are handled at a time. The others wait, and their bodies are not received yet.
//! - A request is answered within [`TIMEOUT`]. At its end, the inference is cancelled.
//! - SIGTERM and Ctrl-C end the service when the accepted requests are answered, at the latest after [`TIMEOUT`].

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};
use image_classification::{Classifier, ClassifyError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// The size of a body.
const MOST_BYTES: usize = 16 << 20;
/// The number of requests at a time: enough to keep the decoding threads and infer requests of a small machine busy.
const MOST_REQUESTS: usize = 16;
/// The time from the head of a request to its answer: waiting, receiving, decoding and inference.
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (Some(model), Some(address)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err("usage: service MODEL ADDRESS:PORT".into());
    };
    let backend = OpenvinoBackend::open(&OpenvinoConfig::new(&model))?;
    let classifier = Classifier::discover(backend, &model)?;

    let permits = Arc::new(Semaphore::new(MOST_REQUESTS));
    let service = Router::new()
        .route("/classify", post(classify))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn_with_state(permits, within_limits))
        .with_state(classifier);
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let server = axum::serve(listener, service).with_graceful_shutdown(asked_to_stop());
    let too_late = async {
        asked_to_stop().await;
        sleep(TIMEOUT).await;
    };
    tokio::select! {
        result = server => result?,
        // A client that never sends the rest of a head would keep the server.
        () = too_late => eprintln!("connections without a whole request were closed"),
    }
    Ok(())
}

/// Answers a request with the five best classes of its image.
async fn classify(State(classifier): State<Classifier>, image: Bytes) -> Response {
    match classifier.classify(Vec::from(image)).await {
        Ok(classification) => {
            let classes = classification
                .top(5)
                .into_iter()
                .map(|class| json!({ "id": class.id, "label": class.label, "score": class.score }));
            Json(json!({ "classes": classes.collect::<Value>() })).into_response()
        }
        Err(error) => {
            let status = match error {
                ClassifyError::Image(_) => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failure(status, error.code(), &error.to_string())
        }
    }
}

/// Handles a request when there is a permit for it, and answers within [`TIMEOUT`].
async fn within_limits(
    State(permits): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let answer = async {
        let _permit = permits.acquire().await;
        next.run(request).await
    };
    // Dropping the answer drops the future of the classifier, which cancels the inference.
    timeout(TIMEOUT, answer).await.unwrap_or_else(|_| {
        let message = format!("there was no answer within {} s", TIMEOUT.as_secs());
        failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "deadline-exceeded",
            &message,
        )
    })
}

fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    (
        status,
        Json(json!({ "error": { "code": code, "message": message } })),
    )
        .into_response()
}

/// Returns at the first SIGTERM or Ctrl-C.
async fn asked_to_stop() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminated => (),
    }
}
