//! A certificate authority of one's own: it vouches for the servers of one deployment, and clients trust it alone. It opens
//! no file and no socket.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use zeroize::Zeroizing;

use crate::certificate::{self, Kind};
use crate::tls::TlsError;

/// Key and certificate of an authority.
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    /// A fresh one of this name.
    ///
    /// # Errors
    /// When OpenSSL refuses the name.
    pub fn generate(name: &str) -> Result<Self, TlsError> {
        let key = certificate::generate_key()?;
        let certificate = certificate::build(&key, name, Kind::Authority)?;
        Ok(Self { key, certificate })
    }

    /// Reads what [`Authority::to_pem`] gave.
    ///
    /// # Errors
    /// When key or certificate is missing, or they do not belong together.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ErrorStack> {
        let (key, certificate) = (PKey::private_key_from_pem(pem)?, X509::from_pem(pem)?);
        if !certificate.public_key()?.public_eq(&key) {
            return Err(ErrorStack::get());
        }
        Ok(Self { key, certificate })
    }

    /// Key and certificate, PEM. Who has it can pretend to be each server.
    ///
    /// # Errors
    /// When OpenSSL has no memory.
    pub fn to_pem(&self) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        joined(&self.key, &self.certificate)
    }

    /// What clients trust, PEM.
    ///
    /// # Errors
    /// When OpenSSL has no memory.
    pub fn certificate_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.certificate.to_pem()
    }

    /// A fresh key and a certificate for these DNS names and IP addresses, both in one PEM text.
    ///
    /// # Errors
    /// When there is no name, or OpenSSL refuses one.
    pub fn issue(&self, names: &[String]) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let first = names.first().ok_or(TlsError::NoName)?;
        let key = certificate::generate_key()?;
        let issuer = (&self.key, &self.certificate);
        let certificate = certificate::build(&key, first, Kind::Server { names, issuer: Some(issuer) })?;
        Ok(joined(&key, &certificate)?)
    }
}

fn joined(key: &PKey<Private>, certificate: &X509) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut pem = Zeroizing::new(key.private_key_to_pem_pkcs8()?);
    pem.extend(certificate.to_pem()?);
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use openssl::stack::Stack;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::verify::X509VerifyFlags;
    use openssl::x509::{X509PurposeId, X509StoreContext};

    use super::*;

    /// Whether a client that trusts the authority takes the certificate for a server's, by the strict rules of RFC 5280.
    fn is_trusted(authority: &Authority, pem: &[u8]) -> bool {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(X509::from_pem(&authority.certificate_pem().unwrap()).unwrap()).unwrap();
        store.set_flags(X509VerifyFlags::X509_STRICT).unwrap();
        store.set_purpose(X509PurposeId::SSL_SERVER).unwrap();
        let (store, chain) = (store.build(), Stack::new().unwrap());
        let certificate = X509::from_pem(pem).unwrap();
        let mut context = X509StoreContext::new().unwrap();
        context.init(&store, &certificate, &chain, |context| context.verify_cert()).unwrap()
    }

    #[test]
    fn what_it_issues_is_trusted_for_its_names_and_by_its_clients_alone() {
        let authority = Authority::generate("Vitalwire").unwrap();
        let names = ["emqx", "localhost", "172.20.0.20"].map(String::from);
        let pem = authority.issue(&names).unwrap();
        assert!(is_trusted(&authority, &pem));
        assert!(!is_trusted(&Authority::generate("Vitalwire").unwrap(), &pem));
        let names = X509::from_pem(&pem).unwrap().subject_alt_names().unwrap();
        let dns: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
        assert_eq!(dns, ["emqx", "localhost"]);
        assert!(names.iter().any(|name| name.ipaddress() == Some(&[172, 20, 0, 20])));
        assert!(matches!(authority.issue(&[]), Err(TlsError::NoName)));
    }

    #[test]
    fn it_is_read_again_and_halves_of_two_are_refused() {
        let authority = Authority::generate("Vitalwire").unwrap();
        let again = Authority::from_pem(&authority.to_pem().unwrap()).unwrap();
        assert!(is_trusted(&authority, &again.issue(&["emqx".to_owned()]).unwrap()));
        let mut mixed = authority.key.private_key_to_pem_pkcs8().unwrap();
        mixed.extend(Authority::generate("Vitalwire").unwrap().certificate_pem().unwrap());
        assert!(Authority::from_pem(&mixed).is_err());
        assert!(Authority::from_pem(&authority.certificate_pem().unwrap()).is_err());
    }
}
