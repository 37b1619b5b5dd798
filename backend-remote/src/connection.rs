//! A server, as this process sees it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backend_api::{Error, ErrorKind};
use tonic::transport::{Channel, Endpoint};

use crate::config::RemoteConfig;
use crate::url::Url;

/// The time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Windows of HTTP/2 for replies.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// The most bytes of a file of certificates.
const MOST_CA_BYTES: u64 = 4 << 20;
/// The pauses of an unavailable server: the first, and the longest.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A connection to a server. It is made at the first call, and again after it was lost.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) url: Url,
    pub(crate) channel: Channel,
    in_flight: AtomicUsize,
    rest: Mutex<Rest>,
}

/// The pause of a server that was unavailable.
#[derive(Debug, Default)]
struct Rest {
    until: Option<Instant>,
    /// The number of failures since the last success.
    failures: u32,
}

impl Connection {
    /// Returns a connection to `url`. Must be called in the runtime of the connections.
    pub(crate) fn new(url: Url, config: &RemoteConfig) -> Result<Self, Error> {
        let unusable = |source: tonic::transport::Error| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("the endpoint {url} cannot be used"),
            )
            .with_source(source)
        };
        // A server that vanished is found by a ping that has no answer. There are few of them: some servers take many
        // for an attack.
        let ping = (config.timeout / 2).max(Duration::from_secs(1));
        let endpoint = Endpoint::from_shared(url.to_uri())
            .map_err(unusable)?
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .http2_keep_alive_interval(ping)
            .keep_alive_timeout((ping / 2).min(Duration::from_secs(10)))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .user_agent(concat!("backend-remote/", env!("CARGO_PKG_VERSION")))
            .map_err(unusable)?;
        let endpoint = with_tls(endpoint, &url, config)?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            url,
            in_flight: AtomicUsize::new(0),
            rest: Mutex::default(),
        })
    }

    /// Locks the state. No foreign code runs under this lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the server was unavailable a moment ago.
    pub(crate) fn rests(&self) -> bool {
        self.lock()
            .until
            .is_some_and(|until| Instant::now() < until)
    }

    /// Sends no requests to the server for a moment, unless no other is left.
    pub(crate) fn failed(&self) {
        let mut rest = self.lock();
        let pause = FIRST_REST * 2_u32.pow(rest.failures.min(10));
        rest.until = Some(Instant::now() + pause.min(LONGEST_REST));
        rest.failures += 1;
    }

    /// Notes that the server answered.
    pub(crate) fn answered(&self) {
        *self.lock() = Rest::default();
    }

    /// Returns the order in which servers are chosen: those that answer first, then those with fewer requests.
    pub(crate) fn load(&self) -> (bool, usize) {
        (self.rests(), self.in_flight.load(Ordering::Relaxed))
    }

    /// Counts a request until the result is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }
}

/// A request in flight.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "tls")]
fn with_tls(endpoint: Endpoint, url: &Url, config: &RemoteConfig) -> Result<Endpoint, Error> {
    use tonic::transport::{Certificate, ClientTlsConfig};

    if !url.is_tls {
        return Ok(endpoint);
    }
    let unusable = |what: String| {
        Error::new(ErrorKind::InvalidConfig, what).with_hint(
            "give a file with certificates in PEM as `ca`, or none for the roots of the system",
        )
    };
    let tls = match &config.ca {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(path) => {
            let named = path.display();
            let pem = model_file::read_regular(path, MOST_CA_BYTES).map_err(|error| {
                unusable(format!("the certificates in {named} cannot be read")).with_source(error)
            })?;
            if !pem
                .windows(27)
                .any(|part| part == b"-----BEGIN CERTIFICATE-----")
            {
                return Err(unusable(format!("{named} has no certificate in PEM")));
            }
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
    };
    endpoint
        .tls_config(tls)
        .map_err(|error| unusable(format!("TLS for {url} cannot be set up")).with_source(error))
}

#[cfg(not(feature = "tls"))]
fn with_tls(endpoint: Endpoint, url: &Url, config: &RemoteConfig) -> Result<Endpoint, Error> {
    let _ = (MOST_CA_BYTES, &config.ca);
    if !url.is_tls {
        return Ok(endpoint);
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        format!(
            "the endpoint {url} needs TLS, but `backend-remote` was built without its feature tls"
        ),
    )
    .with_hint("build it with the feature tls"))
}
