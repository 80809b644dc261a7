//! What stands in the certificates that we make. It opens no file and no socket.

use std::net::IpAddr;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509NameBuilder};

/// Validity of a server's certificate; clients refuse those that are valid longer.
const SERVER_DAYS: u32 = 825;
/// Of an authority's.
const AUTHORITY_DAYS: u32 = 3_650;

/// Whose certificate it is.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// One that vouches for others.
    Authority,
    /// That of a server with these DNS names and IP addresses; without an issuer it vouches for itself.
    Server { names: &'a [String], issuer: Option<(&'a PKey<Private>, &'a X509)> },
}

/// A fresh P-256 key.
pub(crate) fn generate_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)
}

/// A certificate for this key.
pub(crate) fn build(key: &PKey<Private>, common_name: &str, kind: Kind<'_>) -> Result<X509, ErrorStack> {
    let mut subject = X509NameBuilder::new()?;
    // The common name may have 64 characters; the names that count are the alternative ones.
    subject.append_entry_by_nid(Nid::COMMONNAME, common_name.get(..64).unwrap_or(common_name))?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let issuer = match kind {
        Kind::Server { issuer, .. } => issuer,
        Kind::Authority => None,
    };
    let days = if matches!(kind, Kind::Authority) { AUTHORITY_DAYS } else { SERVER_DAYS };
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&*subject, |(_, certificate)| certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(days)?)?;
    match kind {
        Kind::Authority => {
            builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
            builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        }
        Kind::Server { names, .. } => {
            builder.append_extension(BasicConstraints::new().critical().build()?)?;
            builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
            builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
            let alternative = alternative_names(names).build(&builder.x509v3_context(None, None))?;
            builder.append_extension(alternative)?;
        }
    }
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(own)?;
    if let Some((_, certificate)) = issuer {
        let context = builder.x509v3_context(Some(certificate), None);
        let theirs = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(theirs)?;
    }
    builder.sign(issuer.map_or(key, |(theirs, _)| theirs), MessageDigest::sha256())?;
    Ok(builder.build())
}

fn alternative_names(names: &[String]) -> SubjectAlternativeName {
    let mut alternative = SubjectAlternativeName::new();
    for name in names {
        match name.parse::<IpAddr>() {
            Ok(_) => alternative.ip(name),
            Err(_) => alternative.dns(name),
        };
    }
    alternative
}
