//! Tokens and TLS.

use std::time::{Duration, Instant};

use backend_api::{BlockingInfer as _, Error, ErrorKind, InferBackend as _};
use backend_remote::{RemoteBackend, RemoteConfig, TokenSource};
#[cfg(feature = "tls")]
use classify_test_server::Certificates;
use classify_test_server::TestServer;
use classify_tests::models::error;
use classify_tests::{doubling_input, ensure};
use libtest_mimic::{Failed, Trial};

use super::{config, doubling, ensure_doubles, open};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("token_is_sent_and_never_shown", token),
        Trial::test("a_token_that_was_replaced_costs_no_request", replaced),
        Trial::test("a_token_that_comes_late_costs_no_request", late),
        Trial::test("an_expired_token_ends_the_backend", expired),
        Trial::test("a_file_without_a_token_ends_the_backend", emptied),
        #[cfg(feature = "tls")]
        Trial::test("tls_trusts_the_given_ca_only", tls),
        #[cfg(not(feature = "tls"))]
        Trial::test("tls_needs_its_feature", without_tls),
    ]
}

fn with_token(
    server: &TestServer,
    token: &str,
) -> Result<(RemoteConfig, tempfile::TempDir), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{token}\n"))?;
    let mut config = config(server);
    config.token = Some(TokenSource::File(file));
    Ok((config, directory))
}

fn token() -> Result<(), Failed> {
    let mut options = doubling();
    options.token = Some("s3cret".to_owned());
    let server = TestServer::start(options);
    let (good, _directory) = with_token(&server, "s3cret")?;
    let backend = open(&good)?;
    ensure_doubles(&backend)?;
    let tokens = server.tokens();
    ensure(
        tokens.len() == 4 && tokens.iter().all(|it| it == "Bearer s3cret"),
        tokens,
    )?;
    ensure(
        !format!("{backend:?} {good:?}").contains("s3cret"),
        "debug output",
    )?;
    // The server repeats the token in its message.
    let (bad, _directory) = with_token(&server, "wr0ng")?;
    let denied = error(open(&bad), ErrorKind::EngineUnavailable)?;
    ensure(
        denied
            .to_string()
            .contains("`Bearer [token]` is not welcome"),
        &denied,
    )?;
    ensure(!format!("{denied:?}").contains("wr0ng"), &denied)?;
    let denied = error(open(&config(&server)), ErrorKind::EngineUnavailable)?;
    ensure(
        denied.hint() == Some("give a token by `TokenSource::File` or `TokenSource::Variable`"),
        denied,
    )?;
    let mut unset = config(&server);
    unset.token = Some(TokenSource::Variable("NO_SUCH_TOKEN".to_owned()));
    let unset = error(open(&unset), ErrorKind::InvalidConfig)?;
    ensure(
        unset
            .hint()
            .is_some_and(|hint| hint.contains("`TokenSource::Variable`")),
        unset,
    )
}

/// A backend whose token is about to expire, its server, and the file of the token.
fn with_first_token(
    outage: Duration,
) -> Result<(RemoteBackend, TestServer, tempfile::TempDir), Failed> {
    let mut options = doubling();
    options.token = Some("f1rst".to_owned());
    let server = TestServer::start(options);
    let (mut config, directory) = with_token(&server, "f1rst")?;
    config.outage = Some(outage);
    let backend = open(&config)?;
    ensure_doubles(&backend)?;
    Ok((backend, server, directory))
}

fn replaced() -> Result<(), Failed> {
    let (backend, server, directory) = with_first_token(Duration::from_secs(10))?;
    let file = directory.path().join("token");
    for token in ["s3cond", "th1rd"] {
        server.expect_token(token);
        std::fs::write(&file, token)?;
        let before = server.tokens().len();
        let start = Instant::now();
        ensure_doubles(&backend)?;
        ensure_doubles(&backend)?;
        let new = format!("Bearer {token}");
        let given = server.tokens().split_off(before);
        ensure(given.len() == 3 && given[1..] == [&*new, &*new], given)?;
        // Without the pause of a retry.
        ensure(start.elapsed() < Duration::from_secs(2), start.elapsed())?;
    }
    Ok(())
}

fn late() -> Result<(), Failed> {
    let (backend, server, directory) = with_first_token(Duration::from_secs(20))?;
    server.expect_token("s3cond");
    let file = directory.path().join("token");
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        std::fs::write(file, "s3cond\n")
    });
    ensure_doubles(&backend)?;
    writer.join().map_err(|_| "the writer panicked")??;
    ensure(backend.failure().is_none(), "it works")
}

/// Checks that the next request ends the backend. Returns the error, which never has the token.
fn ends(backend: &RemoteBackend) -> Result<Error, Failed> {
    let denied = backend.infer_blocking(doubling_input(3));
    let denied = error(denied, ErrorKind::EngineUnavailable)?;
    let text = denied.to_string();
    ensure(
        text.starts_with("no server has served a request for 0.3 s"),
        &denied,
    )?;
    ensure(text.contains("`Bearer [token]` is not welcome"), &denied)?;
    ensure(!format!("{denied:?}").contains("f1rst"), &denied)?;
    let failure = backend.failure().ok_or("no failure")?;
    ensure(format!("{failure:?}") == format!("{denied:?}"), failure)?;
    Ok(denied)
}

fn expired() -> Result<(), Failed> {
    let (backend, server, directory) = with_first_token(Duration::from_millis(300))?;
    server.expect_token("s3cond");
    let denied = ends(&backend)?;
    let file = directory.path().join("token");
    let words = format!(
        "denies access with the token in the file {}: ",
        file.display()
    );
    ensure(denied.to_string().contains(&words), &denied)?;
    let hint = denied.hint().unwrap_or_default();
    let words = "check that the token of `TokenSource::File` is valid for this server and has not expired; ";
    ensure(hint.starts_with(words), hint)
}

fn emptied() -> Result<(), Failed> {
    let (backend, server, directory) = with_first_token(Duration::from_millis(300))?;
    server.expect_token("s3cond");
    let file = directory.path().join("token");
    std::fs::remove_file(&file)?;
    let denied = ends(&backend)?;
    let words = format!(
        "read again: the token in the file {} cannot be used: the file cannot be read",
        file.display()
    );
    ensure(denied.to_string().contains(&words), denied)
}

#[cfg(feature = "tls")]
fn tls() -> Result<(), Failed> {
    let certificates = Certificates::generate();
    let other = Certificates::generate();
    let mut options = doubling();
    options.certificates = Some(certificates.clone());
    options.token = Some("s3cret".to_owned());
    let server = TestServer::start(options);
    let directory = tempfile::tempdir()?;
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).map(|()| path)
    };
    let (mut config, _directory) = with_token(&server, "s3cret")?;
    config.ca = Some(write("ca.pem", &certificates.ca)?);
    ensure_doubles(&open(&config)?)?;
    for distrusted in [Some(write("other.pem", &other.ca)?), None] {
        config.ca = distrusted;
        let distrusted = error(open(&config), ErrorKind::EngineUnavailable)?;
        ensure(distrusted.to_string().contains("certificate"), distrusted)?;
    }
    config.ca = Some(write("no.pem", "no certificate")?);
    let unusable = error(open(&config), ErrorKind::InvalidConfig)?;
    ensure(unusable.to_string().contains("no.pem"), unusable)?;
    config.ca = None;
    config.endpoints = vec![server.url().replace("grpcs", "grpc")];
    let plain = error(open(&config), ErrorKind::EngineUnavailable)?;
    ensure(plain.hint().unwrap_or_default().contains("grpcs://"), plain)
}

#[cfg(not(feature = "tls"))]
fn without_tls() -> Result<(), Failed> {
    let config = RemoteConfig::new("grpcs://localhost:1", "double");
    let refused = error(open(&config), ErrorKind::InvalidConfig)?;
    ensure(
        refused.hint().unwrap_or_default().contains("feature tls"),
        refused,
    )
}
