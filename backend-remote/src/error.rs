//! Statuses of servers, sorted into kinds.

use backend_api::{Error, ErrorKind};
use tonic::{Code, Status};

use crate::token::{Token, TokenSource};
use crate::url::Url;

/// The most characters of a server's message.
const MOST_CHARACTERS: usize = 500;

/// Returns whether the call may be sent again: the server did not answer it, or could not at that time. An inference
/// has no effect, so that a second one does no harm.
pub(crate) fn is_transient(status: &Status) -> bool {
    // A lost connection has an error of the transport as its source; a server's own status has none.
    let is_lost = status.code() == Code::Unavailable || is_of_transport(status);
    is_lost && !is_timeout(status)
}

fn is_of_transport(status: &Status) -> bool {
    use std::error::Error as _;
    status.source().is_some()
}

/// Returns whether the time for a call is over: by the server's clock, or by the transport's.
pub(crate) fn is_timeout(status: &Status) -> bool {
    status.code() == Code::DeadlineExceeded
        || status.code() == Code::Cancelled && status.message() == "Timeout expired"
}

/// Returns whether a server is too busy for a request. The same status refuses messages beyond a limit of bytes, which are
/// never accepted.
pub(crate) fn is_overload(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted && !speaks_of_size(status.message())
}

/// Returns whether a text is about the size of a message: `received message larger than max (5000000 vs. 4194304)`, `gRPC
/// message exceeds maximum size`.
fn speaks_of_size(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    text.contains("larger than max")
        || any(&["message", "request", "payload"])
            && any(&["size", "too large", "too big", "bytes"])
}

/// Returns whether the server denies access: the token is missing, has expired, or has too few rights.
pub(crate) fn is_denied(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied
    )
}

/// Returns whether the server knows the client and denies access: to all that it asks for, or to one request.
pub(crate) fn is_forbidden(status: &Status) -> bool {
    status.code() == Code::PermissionDenied
}

/// Returns whether the reply cannot be decoded or is too large. Such a reply is an answer, so it is not an outage.
pub(crate) fn is_unreadable(status: &Status) -> bool {
    is_undecodable(status) || is_too_large(status)
}

/// Returns whether the client could not decode the reply.
fn is_undecodable(status: &Status) -> bool {
    let text = status.message();
    status.code() == Code::Internal
        && (text.starts_with("failed to decode Protobuf message")
            || text.starts_with("protocol error: "))
}

fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("length too large")
}

/// Returns the server's message, short, on one line, and without the token.
pub(crate) fn message(status: &Status, token: Option<&Token>) -> String {
    use std::error::Error as _;
    let mut text = status.message().to_owned();
    // The reason of a failed connection is the last of the causes.
    let causes = std::iter::successors(status.source(), |cause| (*cause).source());
    if let Some(cause) = causes.last().map(ToString::to_string)
        && !text.contains(&cause)
    {
        text = format!("{text}: {cause}");
    }
    let text = token.map_or_else(|| text.clone(), |token| token.redact(&text));
    shortened(&text)
}

/// Returns text of a server, short and without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let text = text.trim();
    let short: String = text.chars().take(MOST_CHARACTERS).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    let printable = |it: char| if it.is_control() { ' ' } else { it };
    format!("{}{rest}", short.chars().map(printable).collect::<String>())
}

/// The values of a call that errors name.
pub(crate) struct Call<'a> {
    pub(crate) url: &'a Url,
    pub(crate) model: &'a str,
    pub(crate) token: Option<&'a Token>,
    pub(crate) max_message: usize,
    /// The bytes of the request's tensor.
    pub(crate) request_bytes: usize,
    /// The number of images in the request.
    pub(crate) batch: usize,
}

/// Returns the error of a call that failed for good.
pub(crate) fn failed(status: &Status, call: &Call<'_>) -> Error {
    let message = message(status, call.token);
    let (url, model, limit) = (call.url, call.model, call.max_message);
    let error = |kind: ErrorKind, text: String| {
        Error::new(kind, text).with_context("status", format!("{:?}", status.code()))
    };
    match status.code() {
        _ if is_timeout(status) => error(
            ErrorKind::DeadlineExceeded,
            format!("{url} took too long: {message}"),
        )
        .with_hint("raise `timeout`, or send fewer `requests` at a time"),
        _ if is_of_transport(status) => error(
            ErrorKind::EngineUnavailable,
            format!("{url} cannot be reached: {message}"),
        )
        .with_hint(
            "check that the server runs, that the port is that of gRPC, and whether it needs TLS (`grpcs://`)",
        ),
        Code::Unavailable => error(
            ErrorKind::EngineUnavailable,
            format!("{url} is unavailable: {message}"),
        )
        .with_hint("check that the server runs and that the model is ready"),
        Code::NotFound => error(
            ErrorKind::ModelNotFound,
            format!("{url} has no model {model}: {message}"),
        )
        .with_hint("check the name of the model and its version on the server"),
        Code::ResourceExhausted if is_overload(status) => error(
            ErrorKind::ResourceExhausted,
            format!("{url} is overloaded: {message}"),
        )
        .with_hint("send fewer `requests` at a time, or add servers"),
        Code::ResourceExhausted => error(
            ErrorKind::ResourceExhausted,
            format!(
                "{url} refuses a request of {} image{} with {} bytes: {message}",
                call.batch,
                if call.batch == 1 { "" } else { "s" },
                call.request_bytes
            ),
        )
        .with_hint(format!(
            "the server accepts less than `max_message`, which is {limit} bytes: send fewer images by `batch`, u8 elements, or raise the server's own limit"
        )),
        _ if is_too_large(status) => error(
            ErrorKind::ResourceExhausted,
            format!("the reply of {url} is larger than accepted: {message}"),
        )
        .with_hint(format!(
            "raise `max_message`, which is {limit} bytes, or request fewer outputs"
        )),
        _ if is_denied(status) => error(
            ErrorKind::EngineUnavailable,
            match call.token {
                Some(token) => {
                    format!("{url} denies access with the token in {}: {message}", token.source())
                }
                None => format!("{url} denies access: {message}"),
            },
        )
        .with_hint(match call.token.map(Token::source) {
            Some(TokenSource::File(_)) => {
                "check that the token of `TokenSource::File` is valid for this server and has not expired; the file is read again when a server denies access"
            }
            Some(TokenSource::Variable(_)) => {
                "check that the token of `TokenSource::Variable` is valid for this server and has not expired; the variable of a running program cannot change: give a token that expires by `TokenSource::File`"
            }
            None => "give a token by `TokenSource::File` or `TokenSource::Variable`",
        }),
        _ if is_undecodable(status) => error(
            match call.request_bytes {
                0 => ErrorKind::EngineUnavailable,
                _ => ErrorKind::InferenceFailed,
            },
            format!("the reply of {url} cannot be decoded: {message}"),
        )
        .with_hint("check that the server speaks the Open Inference Protocol"),
        Code::Unimplemented => error(
            ErrorKind::EngineUnavailable,
            format!("{url} does not speak the Open Inference Protocol: {message}"),
        )
        .with_hint("check that the port is that of gRPC, and not of REST"),
        Code::InvalidArgument => error(
            ErrorKind::InferenceFailed,
            format!("{url} refuses the input of model {model}: {message}"),
        )
        .with_hint("the server has another input: check `input`, `element_type` and `shape`"),
        _ => error(
            ErrorKind::InferenceFailed,
            format!("{url} failed to run model {model}: {message}"),
        )
        .with_hint("the server's log may say more"),
    }
}

/// Returns the error of a reply that cannot be used.
pub(crate) fn bad_reply(model: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::InferenceFailed,
        format!("the reply of model {model} cannot be used: {what}"),
    )
    .with_hint("check that the server's description of the model fits the model")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(url: &Url) -> Call<'_> {
        Call {
            url,
            model: "m:2",
            token: None,
            max_message: 4_000_000,
            request_bytes: 602_112,
            batch: 1,
        }
    }

    #[test]
    fn each_status_has_a_kind_and_a_next_step() {
        let url = Url::parse("grpc://h:1").unwrap();
        for (code, kind, hint) in [
            (
                Code::NotFound,
                ErrorKind::ModelNotFound,
                "name of the model",
            ),
            (
                Code::ResourceExhausted,
                ErrorKind::ResourceExhausted,
                "fewer `requests`",
            ),
            (Code::Unavailable, ErrorKind::EngineUnavailable, "ready"),
            (
                Code::Unauthenticated,
                ErrorKind::EngineUnavailable,
                "`TokenSource::File`",
            ),
            (
                Code::PermissionDenied,
                ErrorKind::EngineUnavailable,
                "`TokenSource::Variable`",
            ),
            (Code::Unimplemented, ErrorKind::EngineUnavailable, "REST"),
            (
                Code::DeadlineExceeded,
                ErrorKind::DeadlineExceeded,
                "`timeout`",
            ),
            (Code::InvalidArgument, ErrorKind::InferenceFailed, "`shape`"),
            (Code::Internal, ErrorKind::InferenceFailed, "log"),
        ] {
            let error = failed(&Status::new(code, "the reason"), &call(&url));
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(
                text.contains("grpc://h:1") && text.contains("the reason"),
                "{text}"
            );
            assert!(error.hint().unwrap().contains(hint), "{error:?}");
        }
        for text in [
            "Received message larger than max (5000000 vs. 4194304)",
            "SERVER: Sent message larger than max (9 vs. 4)",
            "gRPC message exceeds maximum size 4194304: 5000000",
        ] {
            let status = Status::resource_exhausted(text);
            let error = failed(&status, &call(&url));
            assert!(error.hint().unwrap().contains("4000000 bytes"), "{error:?}");
            assert!(!is_overload(&status));
        }
        assert!(is_overload(&Status::resource_exhausted("queue full")));
        assert!(is_overload(&Status::resource_exhausted("")));
        assert!(is_transient(&Status::unavailable("")));
        assert!(!is_transient(&Status::internal("")));
    }

    #[test]
    fn texts_of_servers_are_short_and_on_one_line() {
        let long = "x\x1b[31m\n".repeat(1000);
        let text = message(&Status::internal(long), None);
        assert!(text.chars().count() <= MOST_CHARACTERS + 1 && text.ends_with('…'));
        assert!(!text.contains(char::is_control));
    }
}
