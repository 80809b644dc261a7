//! The provider of OpenID Connect at which people may log in, beside name and password; off by default.

use tokio::sync::Semaphore;
use vitalwire_oidc::{Provider, ProviderConfig, TlsError};

use crate::limits::PROVIDER_TURNS_MAX;

/// A second way to log in.
#[derive(Clone, Debug)]
pub struct SignOnConfig {
    /// Who vouches for people. The registry says what they may do: who is no user of it is not let in.
    pub provider: ProviderConfig,
    /// What people call it.
    pub name: String,
}

pub(crate) struct SignOn {
    pub(crate) provider: Provider,
    pub(crate) name: String,
    /// Who asks it now, so that no flood of answers that someone made up becomes one of requests.
    pub(crate) turns: Semaphore,
}

impl SignOn {
    pub(crate) fn new(config: SignOnConfig) -> Result<Self, TlsError> {
        let provider = Provider::new(config.provider)?;
        Ok(Self { provider, name: config.name, turns: Semaphore::new(PROVIDER_TURNS_MAX) })
    }
}
