//! How long a certificate is still valid. Makes and loads none: that is the broker's.

use std::path::Path;

use anyhow::Context;
use openssl::asn1::Asn1Time;
use openssl::x509::X509;

/// Whole days until the first certificate of a PEM file expires; negative when it has.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub(crate) fn days_left(path: &Path) -> anyhow::Result<i32> {
    let pem = std::fs::read(path).context("cannot read it")?;
    let certificate = X509::from_pem(&pem).context("it holds no certificate in PEM form")?;
    let now = Asn1Time::days_from_now(0)?;
    Ok(now.diff(certificate.not_after())?.days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_certificate_is_valid_for_long_and_junk_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let made = vitalwire_broker::generate_self_signed(folder.path(), &["localhost".to_owned()]).unwrap();
        assert!(days_left(&made.certificate).unwrap() > 300);
        let junk = folder.path().join("junk.pem");
        std::fs::write(&junk, "junk").unwrap();
        assert!(days_left(&junk).is_err());
    }
}
