//! A client of TLS that trusts one certificate, as a browser does in which someone installed it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use tokio::net::TcpStream;
pub use tokio_openssl::SslStream;

/// Which version it speaks, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Connects to an address and asks for a name, which the certificate must be for.
///
/// # Errors
/// When the handshake fails.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    certificate: &Path,
    version: TlsVersion,
) -> io::Result<SslStream<TcpStream>> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_ca_file(certificate)?;
    let version = match version {
        TlsVersion::V12 => SslVersion::TLS1_2,
        TlsVersion::V13 => SslVersion::TLS1_3,
    };
    builder.set_min_proto_version(Some(version))?;
    builder.set_max_proto_version(Some(version))?;
    let ssl = builder.build().configure()?.into_ssl(name)?;
    let mut stream = SslStream::new(ssl, TcpStream::connect(address).await?)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(stream)
}
