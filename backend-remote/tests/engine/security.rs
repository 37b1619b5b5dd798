//! Tokens and TLS.

use backend_api::ErrorKind;
use backend_remote::{RemoteConfig, TokenSource};
#[cfg(feature = "tls")]
use classify_test_server::Certificates;
use classify_test_server::TestServer;
use classify_tests::ensure;
use classify_tests::models::error;
use libtest_mimic::{Failed, Trial};

use super::{config, doubling, ensure_doubles, open};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("token_is_sent_and_never_shown", token),
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
