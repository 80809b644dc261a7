//! A server's certificate: loading it, making a self-signed one, and the handshake with it. Also the dashboard's: one place names OpenSSL.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslAcceptor, SslFiletype, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVersion,
};
use openssl::x509::X509;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::certificate::{self, Kind};

const CERTIFICATE_FILE: &str = "broker-certificate.pem";
const KEY_FILE: &str = "broker-key.pem";

/// Where certificate and key lie, both PEM. The certificate file holds the chain, the server's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsIdentity {
    /// Whole days until the server's own certificate expires; negative when it has.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn days_left(&self) -> Result<i32, TlsError> {
        let certificate = self.own()?;
        let now = Asn1Time::days_from_now(0)?;
        Ok(now.diff(certificate.not_after())?.days)
    }

    /// The DNS names and IP addresses that the server's own certificate is for, as they stand there.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn names(&self) -> Result<Vec<String>, TlsError> {
        let names = self.own()?.subject_alt_names();
        let name = |name: &openssl::x509::GeneralNameRef| match (name.dnsname(), name.ipaddress()) {
            (Some(dns), _) => Some(dns.to_ascii_lowercase()),
            (None, Some(bytes)) => address(bytes).map(|address| address.to_string()),
            (None, None) => None,
        };
        Ok(names.iter().flatten().filter_map(name).collect())
    }

    fn own(&self) -> Result<X509, TlsError> {
        let (what, path) = ("certificate", || self.certificate.clone());
        let read = std::fs::read(&self.certificate);
        let pem = read.map_err(|source| TlsError::Read { what, path: path(), source })?;
        X509::from_pem(&pem).map_err(|source| TlsError::Content { what, path: path(), source })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Does the server's part of TLS handshakes, with the certificate as it was when this was made.
#[derive(Clone)]
pub struct TlsAcceptor(SslAcceptor);

impl TlsAcceptor {
    /// Loads certificate and key.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or the two do not belong together.
    pub fn new(identity: &TlsIdentity) -> Result<Self, TlsError> {
        acceptor(identity).map(Self)
    }

    /// Does the handshake. The caller sets the deadline.
    ///
    /// # Errors
    /// When the peer speaks no TLS, none of ours, or does not trust the certificate.
    pub async fn accept(&self, socket: TcpStream) -> Result<SslStream<TcpStream>, TlsError> {
        let mut stream = SslStream::new(Ssl::new(self.0.context())?, socket)?;
        Pin::new(&mut stream).accept().await.map_err(TlsError::Handshake)?;
        Ok(stream)
    }
}

/// What is wrong with a certificate or key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TlsError {
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// Certificate or key.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds no {what} in PEM form: {source}", path.display())]
    Content {
        /// Certificate or key.
        what: &'static str,
        path: PathBuf,
        source: ErrorStack,
    },
    #[error("the key {} does not belong to the certificate {}: give the pair that was issued together", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("a certificate needs at least one name or address that clients connect to")]
    NoName,
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the TLS handshake failed: {0}")]
    Handshake(openssl::ssl::Error),
    /// Anything else that OpenSSL refuses.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// Builds the acceptor: TLS 1.2 and 1.3, no session cache, no tickets.
fn acceptor(identity: &TlsIdentity) -> Result<SslAcceptor, TlsError> {
    let (certificate, key) = (&identity.certificate, &identity.key);
    readable("certificate", certificate)?;
    readable("private key", key)?;
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    builder.set_read_ahead(true);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_num_tickets(0)?;
    builder.set_certificate_chain_file(certificate).map_err(|source| TlsError::Content {
        what: "certificate",
        path: certificate.clone(),
        source,
    })?;
    let pem = std::fs::read(key).map_err(|source| TlsError::Read {
        what: "private key",
        path: key.clone(),
        source,
    })?;
    PKey::private_key_from_pem(&pem).map_err(|source| TlsError::Content {
        what: "private key",
        path: key.clone(),
        source,
    })?;
    let mismatch = |_| TlsError::Mismatch { certificate: certificate.clone(), key: key.clone() };
    builder.set_private_key_file(key, SslFiletype::PEM).map_err(mismatch)?;
    builder.check_private_key().map_err(mismatch)?;
    Ok(builder.build())
}

fn readable(what: &'static str, path: &Path) -> Result<(), TlsError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => {
            Err(TlsError::Read { what, path: path.into(), source: io::Error::other("it is not a file") })
        }
        Err(source) => Err(TlsError::Read { what, path: path.into(), source }),
    }
}

/// Makes a P-256 key and a self-signed certificate for these DNS names and IP addresses, as two files in `dir` that only
/// the owner may read. Existing files are replaced.
///
/// # Errors
/// When there is no name, a file cannot be written, or OpenSSL refuses a name.
pub fn generate_self_signed(dir: &Path, names: &[String]) -> Result<TlsIdentity, TlsError> {
    let first = names.first().ok_or(TlsError::NoName)?;
    let key = certificate::generate_key()?;
    let certificate = certificate::build(&key, first, Kind::Server { names, issuer: None })?;
    let identity = TlsIdentity { certificate: dir.join(CERTIFICATE_FILE), key: dir.join(KEY_FILE) };
    write_private(&identity.key, &key.private_key_to_pem_pkcs8()?)?;
    write_private(&identity.certificate, &certificate.to_pem()?)?;
    Ok(identity)
}

/// Writes beside the file and renames, so that a reader never sees half of it.
fn write_private(path: &Path, content: &[u8]) -> Result<(), TlsError> {
    let failed = |source| TlsError::Write { path: path.into(), source };
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made() -> (tempfile::TempDir, TlsIdentity) {
        let dir = tempfile::tempdir().unwrap();
        let names = ["localhost", "127.0.0.1", "::1", "gateway.example"].map(String::from);
        let identity = generate_self_signed(dir.path(), &names).unwrap();
        (dir, identity)
    }

    #[test]
    fn the_time_left_is_read_from_the_certificate_alone() {
        let (_dir, identity) = made();
        assert!(identity.days_left().unwrap() > 300);
        std::fs::write(&identity.certificate, "junk").unwrap();
        assert!(matches!(identity.days_left(), Err(TlsError::Content { .. })));
    }

    #[test]
    fn the_names_are_those_that_it_was_made_for() {
        let (_dir, identity) = made();
        assert_eq!(identity.names().unwrap(), ["localhost", "127.0.0.1", "::1", "gateway.example"]);
        std::fs::write(&identity.certificate, "junk").unwrap();
        assert!(matches!(identity.names(), Err(TlsError::Content { .. })));
    }

    #[test]
    fn self_signed_files_are_private_and_load() {
        let (_dir, identity) = made();
        for path in [&identity.certificate, &identity.key] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        acceptor(&identity).unwrap();
    }

    #[test]
    fn self_signed_certificate_names_what_it_serves_and_ends_in_time() {
        let (_dir, identity) = made();
        let pem = std::fs::read(&identity.certificate).unwrap();
        let certificate = X509::from_pem(&pem).unwrap();
        let names = certificate.subject_alt_names().unwrap();
        let dns: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
        let ips: Vec<_> = names.iter().filter_map(|name| name.ipaddress()).collect();
        assert_eq!(dns, ["localhost", "gateway.example"]);
        assert_eq!(ips.len(), 2);
        assert_eq!(ips[0], [127, 0, 0, 1]);
        let days = certificate.not_before().diff(certificate.not_after()).unwrap().days;
        assert!((1..=825).contains(&days), "{days}");
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let (dir, identity) = made();
        let message = |identity: &TlsIdentity| acceptor(identity).err().unwrap().to_string();
        let missing = TlsIdentity { key: dir.path().join("none.pem"), ..identity.clone() };
        assert!(
            message(&missing).contains("cannot read the private key")
                && message(&missing).contains("none.pem")
        );
        let swapped = TlsIdentity { certificate: identity.key.clone(), key: identity.certificate.clone() };
        assert!(message(&swapped).contains("holds no certificate"), "{}", message(&swapped));
        let no_key = TlsIdentity { key: identity.certificate.clone(), ..identity.clone() };
        assert!(message(&no_key).contains("holds no private key"), "{}", message(&no_key));
        let (_other_dir, other) = made();
        let mixed = TlsIdentity { key: other.key, ..identity };
        assert!(message(&mixed).contains("does not belong"), "{}", message(&mixed));
    }

    #[test]
    fn a_certificate_without_names_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(generate_self_signed(dir.path(), &[]), Err(TlsError::NoName)));
    }
}
