//! Addresses of servers.

use std::fmt;
use std::net::IpAddr;

use backend_api::{Error, ErrorKind};

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    /// `host:port`.
    authority: String,
}

impl Url {
    /// Reads `grpc://host:port` or `grpcs://host:port`; `http` and `https` are the same.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("the endpoint {text:?} {reason}"),
            )
            .with_hint(
                "write `grpc://host:port`, or `grpcs://host:port` for TLS; the port is that of gRPC, not of REST",
            )
        };
        let (scheme, authority) = text
            .split_once("://")
            .ok_or_else(|| invalid("has no scheme"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "grpc" | "http" => false,
            "grpcs" | "https" => true,
            _ => return Err(invalid("has an unknown scheme")),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains('@') {
            // Not repeated: it may be a password.
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "an endpoint contains `@`, but credentials in addresses are not supported",
            )
            .with_hint("give a `token`"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(invalid("has more than a host and a port"));
        }
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| invalid("has no port"))?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(invalid("has no host or no port"));
        }
        let url = Self {
            is_tls,
            authority: authority.to_owned(),
        };
        match url.to_uri().parse::<tonic::transport::Uri>() {
            Ok(uri) if uri.host().is_some() && uri.port().is_some() => Ok(url),
            _ => Err(invalid("is not an address")),
        }
    }

    /// Returns the address as HTTP/2 has it.
    pub(crate) fn to_uri(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// Returns whether the server is on this machine, so that nothing crosses a network.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "grpcs" } else { "grpc" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_a_host_and_a_port() {
        for (text, expected, is_loopback) in [
            ("grpc://localhost:8001", "grpc://localhost:8001", true),
            (
                "GRPCS://fleet.example:443/",
                "grpcs://fleet.example:443",
                false,
            ),
            ("http://10.0.0.7:81", "grpc://10.0.0.7:81", false),
            ("https://[::1]:8001", "grpcs://[::1]:8001", true),
            ("grpc://127.0.0.2:1", "grpc://127.0.0.2:1", true),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.is_loopback()),
                (expected, is_loopback)
            );
        }
        for wrong in [
            "",
            "localhost:8001",
            "ftp://h:1",
            "grpc://h",
            "grpc://:1",
            "grpc://h:99999",
            "grpc://h:1/model",
            "grpc://h h:1",
            "grpc://h:1?x",
        ] {
            let error = Url::parse(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{wrong}");
            assert!(error.hint().unwrap().contains("grpc://host:port"));
        }
        let error = Url::parse("grpc://me:s3cret@h:1").unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
