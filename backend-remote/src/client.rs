//! Calls to a set of servers.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backend_api::{Error, ErrorKind};
use futures_util::future::{Either, select};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tonic::codegen::Bytes;
use tonic::{Request, Status};

use crate::config::RemoteConfig;
use crate::connection::Connection;
use crate::error::{self, Call, is_denied, is_forbidden, is_overload, is_timeout, is_transient};
use crate::io_thread::IoThread;
use crate::outage::Outage;
use crate::protocol::{GrpcInferenceServiceClient, ModelInferRequest, ModelInferResponse};
use crate::token::{CurrentToken, Token};
use crate::url::Url;

/// The longest pause before the first retry of a request.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before any retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The most bytes of a message without the tensors.
const ENVELOPE: usize = 64 << 10;

/// The servers that have the model.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connections: Vec<Connection>,
    /// The server that is asked first when several are equally busy.
    next: AtomicUsize,
    pub(crate) timeout: Duration,
    retries: u32,
    outage: Outage,
    max_message: usize,
    token: Option<CurrentToken>,
    /// True if a server has served a request since one last denied access.
    has_access: AtomicBool,
    /// The name of the model with its version.
    model: String,
    // Dropped last, because the connections run on its thread.
    io: IoThread,
}

impl Client {
    /// Returns a client for the servers of `config`. No connection is made yet.
    pub(crate) fn new(config: &RemoteConfig) -> Result<Self, Error> {
        let urls = config.endpoints.iter().map(|text| Url::parse(text));
        let urls: Vec<Url> = urls.collect::<Result<_, _>>()?;
        check(config, &urls)?;
        let token = config.token.as_ref().map(CurrentToken::read).transpose()?;
        let io = IoThread::start()?;
        let connections = io.block_on(async {
            let connections = urls.into_iter().map(|url| Connection::new(url, config));
            connections.collect::<Result<_, _>>()
        })?;
        Ok(Self {
            connections,
            next: AtomicUsize::new(0),
            timeout: config.timeout,
            retries: config.retries,
            outage: Outage::new(config.outage.unwrap_or(config.timeout / 2)),
            max_message: config.max_message,
            token,
            has_access: AtomicBool::new(false),
            model: config.named_model(),
            io,
        })
    }

    /// Runs `future` on the calling thread.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.io.block_on(future)
    }

    /// Returns the token that requests have now.
    pub(crate) fn token(&self) -> Option<Arc<Token>> {
        self.token.as_ref().map(CurrentToken::get)
    }

    /// Returns the stub for a server, and a request with `token` and the time that is left.
    pub(crate) fn stub<T>(
        &self,
        connection: &Connection,
        message: T,
        token: Option<&Token>,
        left: Duration,
    ) -> (
        GrpcInferenceServiceClient<tonic::transport::Channel>,
        Request<T>,
    ) {
        let mut request = Request::new(message);
        request.set_timeout(left);
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", token.header());
        }
        let stub = GrpcInferenceServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(self.max_message + ENVELOPE)
            .max_encoding_message_size(self.max_message + ENVELOPE);
        (stub, request)
    }

    /// Returns the error of a call with `token` that failed for good.
    pub(crate) fn failed(
        &self,
        status: &Status,
        connection: &Connection,
        token: Option<&Token>,
        request: &ModelInferRequest,
    ) -> Error {
        let shape = request.inputs.first().map(|input| input.shape.as_slice());
        let batch = shape.and_then(|shape| shape.first().copied());
        error::failed(
            status,
            &Call {
                url: &connection.url,
                model: &self.model,
                token,
                max_message: self.max_message,
                request_bytes: request.raw_input_contents.iter().map(Bytes::len).sum(),
                batch: usize::try_from(batch.unwrap_or(1)).unwrap_or(1),
            },
        )
    }

    /// Returns the reason why all requests fail from now on, if no server has served one for too long.
    pub(crate) fn failure(&self) -> Option<Error> {
        let last = self.outage.last()?;
        let urls = self.connections.iter().map(|it| it.url.to_string());
        let error = Error::new(
            ErrorKind::EngineUnavailable,
            format!(
                "no server has served a request for {} s: {}",
                self.outage.limit.as_secs_f64(),
                urls.collect::<Vec<_>>().join(", ")
            ),
        );
        let error = error
            .with_context("model", &self.model)
            .with_context("last error", &last.text);
        Some(error.with_hint(&last.hint))
    }

    /// Runs one inference on one of the servers, and on another one if that is unavailable. A message in `stop` ends it
    /// early.
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        stop: Option<oneshot::Receiver<()>>,
    ) -> Result<ModelInferResponse, Error> {
        let stopped = async {
            let is_stopped = match stop {
                Some(stop) => stop.await.is_ok(),
                None => false,
            };
            if !is_stopped {
                pending::<()>().await;
            }
        };
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let _waiting = self.outage.begin();
        let mut last = None;
        let in_time = {
            let answered = pin!(timeout(
                self.timeout,
                self.infer_patiently(&request, &mut last)
            ));
            let (stopped, ended) = (pin!(stopped), pin!(self.outage.ended()));
            match select(answered, select(stopped, ended)).await {
                Either::Left((result, _)) => result.ok(),
                Either::Right((Either::Left(_), _)) => Some(Err(Error::new(
                    ErrorKind::Abandoned,
                    "the request was stopped",
                ))),
                Either::Right((Either::Right(_), _)) => self.failure().map(Err),
            }
        };
        if let Some(result) = in_time {
            return result;
        }
        let error = Error::new(
            ErrorKind::DeadlineExceeded,
            format!("no server answered within {} s", self.timeout.as_secs_f64()),
        )
        .with_context("model", &self.model)
        .with_hint("raise `timeout`, or send fewer `requests` at a time");
        let error = match last {
            Some(last) => error.with_context("before", last),
            None => error,
        };
        self.outage.failed(&error);
        Err(error)
    }

    /// Runs one inference with retries and without a limit on time. Writes the reason for the last retry to `last`.
    async fn infer_patiently(
        &self,
        request: &ModelInferRequest,
        last: &mut Option<String>,
    ) -> Result<ModelInferResponse, Error> {
        let end = Instant::now() + self.timeout;
        let (mut retries, mut counted, mut others) = (0, 0, 0);
        let (mut outage, mut is_renewed) = (None, false);
        let (mut has_access, mut denials) = (false, 0);
        loop {
            let connection = self.choose();
            let in_flight = connection.begin();
            let left = end.saturating_duration_since(Instant::now());
            let token = self.token();
            let token = token.as_deref();
            // Other requests in flight may be denied before this one.
            has_access |= self.has_access.load(Ordering::Relaxed);
            let (mut stub, call) = self.stub(connection, request.clone(), token, left);
            let status = match stub.model_infer(call).await {
                Ok(reply) => {
                    connection.answered();
                    self.outage.answered();
                    self.has_access.store(true, Ordering::Relaxed);
                    return Ok(reply.into_inner());
                }
                Err(status) => status,
            };
            drop(in_flight);
            let mut error = self.failed(&status, connection, token, request);
            let (is_lost, is_overload) = (is_transient(&status), is_overload(&status));
            if is_denied(&status) {
                has_access |= self.has_access.swap(false, Ordering::Relaxed);
                match self.renewed(token).await {
                    Ok(true) if !is_renewed => {
                        is_renewed = true;
                        // That was with the token before.
                        has_access = false;
                        continue;
                    }
                    // All other requests are denied too, and the next token may come late.
                    Ok(_) => (),
                    Err(unusable) => error = error.with_context("read again", unusable),
                }
                denials += usize::from(is_forbidden(&status));
                // The servers allow other requests.
                if has_access && denials >= self.connections.len() {
                    return Err(error);
                }
            } else if !is_lost && !is_overload && !is_timeout(&status) {
                self.outage.answered();
                return Err(error);
            }
            let since = self.outage.failed(&error);
            if is_timeout(&status) {
                return Err(error);
            }
            connection.failed();
            *last = Some(error.to_string());
            // Another server may be available now, without a pause.
            if others + 1 < self.connections.len() && self.connections.iter().any(|it| !it.rests())
            {
                others += 1;
                continue;
            }
            // While no server answers anything, the limit of the outage decides and not the number of retries.
            if is_overload || outage != Some(since) {
                if counted == self.retries {
                    return Err(error.with_context("retries", retries));
                }
                counted += 1;
            }
            outage = Some(since);
            sleep(pause(retries, fastrand::f64())).await;
            retries += 1;
            others = 0;
        }
    }

    /// Reads the token again that a server denied. Returns whether there is another one.
    async fn renewed(&self, denied: Option<&Token>) -> Result<bool, Error> {
        match (&self.token, denied) {
            (Some(current), Some(denied)) => current.renew(denied).await,
            _ => Ok(false),
        }
    }

    /// Returns the server for the next request.
    fn choose(&self) -> &Connection {
        let count = self.connections.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let rotated = self.connections.iter().cycle().skip(first).take(count);
        rotated
            .min_by_key(|connection| connection.load())
            .expect("there is a server")
    }
}

/// Checks the values of `config` against each other.
fn check(config: &RemoteConfig, urls: &[Url]) -> Result<(), Error> {
    let invalid =
        |text: String, hint: &str| Err(Error::new(ErrorKind::InvalidConfig, text).with_hint(hint));
    if urls.is_empty() {
        return invalid(
            "there is no endpoint".to_owned(),
            "name a server in `endpoints`",
        );
    }
    if let Some(twice) = urls
        .iter()
        .find(|url| urls.iter().filter(|it| it == url).count() > 1)
    {
        return invalid(
            format!("the endpoint {twice} is given twice"),
            "leave one of them out",
        );
    }
    if config.model.is_empty() {
        return invalid(
            "the name of the model is empty".to_owned(),
            "give its name on the server",
        );
    }
    if config.timeout.is_zero() {
        return invalid(
            "timeout is 0, but a request takes time".to_owned(),
            "raise `timeout`",
        );
    }
    // The deadline of each call is computed from it.
    if config.timeout > Duration::from_hours(24 * 365) {
        return invalid(
            "timeout is longer than a year".to_owned(),
            "lower `timeout`",
        );
    }
    if config.requests == Some(0) {
        return invalid(
            "requests is 0, but it must be at least 1".to_owned(),
            "raise `requests`",
        );
    }
    if config.ca.is_some() && !urls.iter().any(|url| url.is_tls) {
        return invalid(
            "there is a `ca`, but no endpoint with TLS".to_owned(),
            "write the endpoint as `grpcs://host:port`",
        );
    }
    let is_open = |url: &&Url| !url.is_tls && !url.is_loopback();
    match urls.iter().find(is_open) {
        Some(url) if config.token.is_some() => invalid(
            format!("the token would cross the network to {url} unencrypted"),
            "write the endpoint as `grpcs://host:port`, for TLS",
        ),
        _ => Ok(()),
    }
}

/// Returns the pause before retry `retry`, counted from 0. The longest pause doubles with each retry. `random`, from 0
/// to 1, selects a value from its half to all of it, so that clients that failed together do not return together.
fn pause(retry: u32, random: f64) -> Duration {
    let longest = FIRST_PAUSE * 2_u32.pow(retry.min(10));
    longest.min(LONGEST_PAUSE).mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenSource;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!(pause(0, 1.0), Duration::from_millis(50));
        assert_eq!(pause(0, 0.0), Duration::from_millis(25));
        assert_eq!(pause(3, 1.0), Duration::from_millis(400));
        assert_eq!(pause(1000, 1.0), LONGEST_PAUSE);
        let all = |random| {
            (0..RemoteConfig::RETRIES)
                .map(|it| pause(it, random))
                .sum::<Duration>()
        };
        assert!(
            (3.5..4.0).contains(&all(0.0).as_secs_f64()),
            "{:?}",
            all(0.0)
        );
        assert!(
            (7.0..8.0).contains(&all(1.0).as_secs_f64()),
            "{:?}",
            all(1.0)
        );
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let with = |change: fn(&mut RemoteConfig)| {
            let mut config = RemoteConfig::new("grpc://localhost:1", "m");
            change(&mut config);
            Client::new(&config).map(drop)
        };
        with(|_| ()).unwrap();
        let refused = |change: fn(&mut RemoteConfig), word: &str| {
            let error = with(change).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(
                format!("{error} {:?}", error.hint()).contains(word),
                "{error}"
            );
        };
        refused(|config| config.endpoints.clear(), "`endpoints`");
        refused(
            |config| config.endpoints.push("grpc://localhost:1".into()),
            "twice",
        );
        refused(|config| config.model.clear(), "empty");
        refused(|config| config.timeout = Duration::ZERO, "`timeout`");
        refused(|config| config.timeout = Duration::MAX, "`timeout`");
        refused(|config| config.requests = Some(0), "requests is 0");
        refused(|config| config.ca = Some("ca.pem".into()), "`ca`");
        refused(
            |config| {
                config.endpoints.push("grpc://fleet.example:1".into());
                config.token = Some(TokenSource::Variable("T".into()));
            },
            "unencrypted",
        );
    }
}
