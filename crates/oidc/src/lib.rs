//! Logging in by an OpenID Connect provider: where to send a browser, and who comes back. It is the relying party of the
//! authorization code flow (OpenID Connect Core 1.0 §3.1) with PKCE (RFC 7636), `state` and `nonce`.
//!
//! Between the two requests of a login it keeps nothing: what they share lies with the browser ([`Attempt`]), so that logins that no
//! one ends take no room. It knows no user of ours, sets no cookie, and never says what a provider said in confidence: an error has no
//! token and no code.

mod attempt;
mod http;
mod provider;
mod url;

pub use attempt::Attempt;
pub use http::{HttpError, TlsError};
pub use provider::{Answer, OidcError, Provider, ProviderConfig};
pub use url::{Issuer, IssuerError};
