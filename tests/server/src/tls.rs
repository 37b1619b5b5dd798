//! Certificates of a CA that nobody trusts.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A CA, and a server's certificate by it, in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The certificate of the CA.
    pub ca: String,
    /// The certificate of the server, for `localhost` and 127.0.0.1.
    pub certificate: String,
    /// The key of the server.
    pub key: String,
}

impl Certificates {
    /// Makes new ones.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    pub fn generate() -> Self {
        let make = || -> Result<Self, rcgen::Error> {
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate()?;
            let ca = params.self_signed(&key)?;
            let issuer = Issuer::new(params, key);
            let names = ["localhost", "127.0.0.1"].map(str::to_owned);
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
            Ok(Self {
                ca: ca.pem(),
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            })
        };
        make().expect("keys")
    }
}
