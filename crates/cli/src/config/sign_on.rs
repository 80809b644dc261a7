//! The settings of a provider of OpenID Connect, at which people may log in to the dashboard instead.

use std::path::PathBuf;

use vitalwire_dashboard::{Issuer, ProviderConfig, SignOnConfig};

use super::ConfigError;
use super::value::Text;
use crate::secrets;

/// What most providers tell of people under the scope `profile`.
const CLAIM: &str = "preferred_username";
const SCOPES: &str = "profile";

/// As they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct SignOnValues {
    pub(super) issuer: Option<Issuer>,
    pub(super) client_id: Option<Text>,
    pub(super) client_secret_file: Option<PathBuf>,
    pub(super) claim: Option<Text>,
    pub(super) scopes: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) ca: Option<PathBuf>,
}

/// A provider, with its secret still in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SignOnSettings {
    issuer: Issuer,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    claim: String,
    scopes: Vec<String>,
    name: String,
    ca: Option<PathBuf>,
}

impl SignOnValues {
    pub(super) fn resolve(self) -> Result<Option<SignOnSettings>, ConfigError> {
        let Some(issuer) = self.issuer else { return Ok(None) };
        let client_id = self.client_id.ok_or(ConfigError::NoClientId)?.0;
        let text =
            |text: Option<Text>, otherwise: &str| text.map_or_else(|| otherwise.to_owned(), |text| text.0);
        let scopes = text(self.scopes, SCOPES);
        Ok(Some(SignOnSettings {
            name: text(self.name, issuer.as_str()),
            issuer,
            client_id,
            client_secret_file: self.client_secret_file,
            claim: text(self.claim, CLAIM),
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            ca: self.ca,
        }))
    }
}

impl SignOnSettings {
    /// With its secret, which must be readable for no one else.
    ///
    /// # Errors
    /// When a file is named and there is none in it.
    pub(crate) fn with_secret(self) -> anyhow::Result<SignOnConfig> {
        let client_secret = self.client_secret_file.as_deref().map(secrets::from_file).transpose()?;
        let provider = ProviderConfig {
            issuer: self.issuer,
            client_id: self.client_id,
            client_secret,
            claim: self.claim,
            scopes: self.scopes,
            ca: self.ca,
        };
        Ok(SignOnConfig { provider, name: self.name })
    }
}
