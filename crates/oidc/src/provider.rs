//! A provider: what it says of itself, and a login with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdToken, IdTokenClaims, IdTokenFields, IdTokenVerifier, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::Attempt;
use crate::http::{Http, TlsError};
use crate::url::{Issuer, is_permitted};

/// How long what a provider says of itself is believed. A key that is not known is asked for before, see [`FRESH`].
const KEPT: Duration = Duration::from_secs(60 * 60);
/// What was asked so lately is not asked again, so that no one makes this server ask again and again.
const FRESH: Duration = Duration::from_secs(60);
/// Longest value of a claim that is looked at, in bytes: no name of a user is longer.
const CLAIM_LEN_MAX: usize = 256;

/// Who vouches for people, and as whom this server is known there.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Its name, below which it describes itself.
    pub issuer: Issuer,
    /// As what this server is known to it.
    pub client_id: String,
    /// What it knows this server by; without one, PKCE alone protects the code.
    pub client_secret: Option<SecretString>,
    /// The claim that is the name of a user here.
    pub claim: String,
    /// What is asked for beside `openid`, so that it tells that claim.
    pub scopes: Vec<String>,
    /// Who vouches for its certificate, instead of the system's.
    pub ca: Option<PathBuf>,
}

/// What a provider sends back by way of the browser.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Works once, and with the verifier of the attempt alone.
    pub code: &'a str,
    /// Of the attempt.
    pub state: &'a str,
    /// Who answers, where it says so (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// Why no one is logged in. It holds no token and no code.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OidcError {
    #[error("this answer is to no login that this browser began; begin again")]
    Foreign,
    #[error("the provider {0} cannot be asked: {1}")]
    Unreachable(Issuer, String),
    #[error("the provider {0} does not accept this login: {1}")]
    Refused(Issuer, String),
    #[error("what the provider {0} says does not prove who it is: {1}")]
    Unproven(Issuer, String),
    #[error(
        "the provider {issuer} tells no claim `{claim}` that is a text; choose another one (dashboard.oidc_claim), or ask for more \
         (dashboard.oidc_scopes)"
    )]
    NoClaim { issuer: Issuer, claim: String },
}

/// All that a provider may say of a person beside what the standard knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct MoreClaims(BTreeMap<String, Value>);

impl AdditionalClaims for MoreClaims {}

type Encryption = CoreJweContentEncryptionAlgorithm;
type Fields =
    IdTokenFields<MoreClaims, EmptyExtraTokenFields, CoreGenderClaim, Encryption, CoreJwsSigningAlgorithm>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Token = IdToken<MoreClaims, CoreGenderClaim, Encryption, CoreJwsSigningAlgorithm>;
type Claims = IdTokenClaims<MoreClaims, CoreGenderClaim>;
/// The endpoints that a description must name: where people log in. Where codes are redeemed and people described may be missing.
type Party = Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    Encryption,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a provider said of itself, and when.
#[derive(Clone)]
struct Description {
    metadata: Arc<CoreProviderMetadata>,
    asked: Instant,
}

/// See the module.
pub struct Provider {
    config: ProviderConfig,
    http: Http,
    known: Mutex<Option<Description>>,
    fresh: Duration,
}

impl Provider {
    /// It is asked when someone first logs in: a server starts without its provider, too.
    ///
    /// # Errors
    /// When who vouches for its certificate cannot be read.
    pub fn new(config: ProviderConfig) -> Result<Self, TlsError> {
        Ok(Self { http: Http::new(config.ca.as_deref())?, config, known: Mutex::default(), fresh: FRESH })
    }

    /// The same, which asks for new keys as often as once in this time.
    #[must_use]
    pub fn asking_again_after(self, fresh: Duration) -> Self {
        Self { fresh, ..self }
    }

    /// Where a browser goes to log in. `home` is the page that it comes back to, with [`Answer`] in its query.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub async fn address(&self, home: &str, attempt: &Attempt) -> Result<String, OidcError> {
        let description = self.description(KEPT).await?;
        let party = self.party(&description, home)?;
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(attempt.verifier()));
        let (state, nonce) = (CsrfToken::new(attempt.state()), Nonce::new(attempt.nonce()));
        let request = party.authorize_url(CoreAuthenticationFlow::AuthorizationCode, || state, || nonce);
        let scopes = self.config.scopes.iter().cloned().map(Scope::new);
        let (url, ..) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        // A script is an address, too.
        if is_permitted(&url) {
            Ok(url.into())
        } else {
            Err(self.unreachable("where people log in is no https:// address"))
        }
    }

    /// Who logged in there: the value of the claim.
    ///
    /// # Errors
    /// [`OidcError`]
    pub async fn who(&self, home: &str, attempt: &Attempt, answer: Answer<'_>) -> Result<String, OidcError> {
        let is_ours = answer.issuer.is_none_or(|issuer| issuer == self.config.issuer.as_str());
        if !is_ours || !attempt.is_state(answer.state) {
            return Err(OidcError::Foreign);
        }
        let description = self.description(KEPT).await?;
        let tokens = self.redeem(&self.party(&description, home)?, attempt, answer.code).await?;
        let token = tokens.id_token().ok_or_else(|| self.unproven("it sent no ID token"))?;
        let nonce = Nonce::new(attempt.nonce());
        let (party, claims) = match self.proven(&description, home, token, &nonce) {
            // Providers change their keys, and sign with the new one at once.
            Err(error) if is_unknown_key(&error) => {
                let description = self.description(self.fresh).await?;
                self.proven(&description, home, token, &nonce)
            }
            proven => proven,
        }
        .map_err(|error| self.unproven(&sources(&error)))?;
        if let Some(value) = self.value(&claims) {
            return Ok(value);
        }
        self.described(&party, &tokens, token, &claims).await
    }

    async fn redeem(&self, party: &Party, attempt: &Attempt, code: &str) -> Result<Tokens, OidcError> {
        let request = party.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.map_err(|error| self.unreachable(&error.to_string()))?;
        let verifier = PkceCodeVerifier::new(attempt.verifier());
        request.set_pkce_verifier(verifier).request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(refusal) => {
                OidcError::Refused(self.config.issuer.clone(), refusal.to_string())
            }
            RequestTokenError::Request(error) => self.unreachable(&sources(&error)),
            // What could not be read may be a token: it is not repeated.
            RequestTokenError::Parse(error, _) => {
                self.unproven(&format!("it is no answer with a token, at `{}`", error.path()))
            }
            RequestTokenError::Other(error) => self.unproven(&error),
        })
    }

    /// The claims of a token that the provider signed for this login.
    fn proven(
        &self,
        description: &Description,
        home: &str,
        token: &Token,
        nonce: &Nonce,
    ) -> Result<(Party, Claims), ClaimsVerificationError> {
        let party = self
            .party(description, home)
            .map_err(|error| ClaimsVerificationError::Other(error.to_string()))?;
        let claims = token.claims(&verifier(&party, &description.metadata), nonce)?.clone();
        Ok((party, claims))
    }

    /// The claim as the provider tells it to who has the access token, where the ID token lacks it.
    async fn described(
        &self,
        party: &Party,
        tokens: &Tokens,
        token: &Token,
        claims: &Claims,
    ) -> Result<String, OidcError> {
        let no_claim =
            || OidcError::NoClaim { issuer: self.config.issuer.clone(), claim: self.config.claim.clone() };
        if let Some(hash) = claims.access_token_hash() {
            let verifier = party.id_token_verifier();
            let actual = token.signing_alg().and_then(|algorithm| {
                let key = token.signing_key(&verifier)?;
                AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
                    .map_err(|error| SignatureVerificationError::Other(error.to_string()))
            });
            if actual.map_err(|error| self.unproven(&sources(&error)))? != *hash {
                return Err(self.unproven("the access token is not of this login"));
            }
        }
        let subject = Some(claims.subject().clone());
        // Who describes no one tells no more.
        let request = party.user_info(tokens.access_token().clone(), subject).map_err(|_| no_claim())?;
        let described: UserInfoClaims<MoreClaims, CoreGenderClaim> =
            request.request_async(&self.http).await.map_err(|error| self.unproven(&sources(&error)))?;
        self.value(&described).ok_or_else(no_claim)
    }

    fn value(&self, claims: &impl Serialize) -> Option<String> {
        let all = serde_json::to_value(claims).ok()?;
        let value = all.get(&self.config.claim)?.as_str()?;
        (!value.is_empty() && value.len() <= CLAIM_LEN_MAX).then(|| value.to_owned())
    }

    fn party(&self, description: &Description, home: &str) -> Result<Party, OidcError> {
        let home = RedirectUrl::new(home.to_owned()).map_err(|_| OidcError::Foreign)?;
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let metadata = &description.metadata;
        let party = Client::from_provider_metadata(
            (**metadata).clone(),
            ClientId::new(self.config.client_id.clone()),
            secret,
        );
        // Without a word of it, a provider takes the secret as a password of HTTP (OpenID Connect Discovery 1.0 §3).
        let takes = |method| {
            metadata.token_endpoint_auth_methods_supported().is_none_or(|methods| methods.contains(&method))
        };
        let party = match takes(CoreClientAuthMethod::ClientSecretBasic) {
            true => party,
            false => party.set_auth_type(AuthType::RequestBody),
        };
        Ok(party.set_redirect_uri(home))
    }

    /// What the provider says of itself, not older than this.
    async fn description(&self, age_max: Duration) -> Result<Description, OidcError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.asked.elapsed() < age_max) {
            return Ok(known);
        }
        let asked = Instant::now();
        let issuer = IssuerUrl::new(self.config.issuer.to_string());
        let issuer = issuer.map_err(|error| self.unreachable(&error.to_string()))?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &self.http).await;
        let metadata = Arc::new(metadata.map_err(|error| self.unreachable(&sources(&error)))?);
        let description = Description { metadata, asked };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(description.clone());
        Ok(description)
    }

    fn unreachable(&self, why: &str) -> OidcError {
        OidcError::Unreachable(self.config.issuer.clone(), why.to_owned())
    }

    fn unproven(&self, why: &str) -> OidcError {
        OidcError::Unproven(self.config.issuer.clone(), why.to_owned())
    }
}

/// Takes what the provider says that it signs with, but never what others can make, too: nothing at all, or a hash with our secret.
fn verifier<'p>(party: &'p Party, metadata: &CoreProviderMetadata) -> IdTokenVerifier<'p, CoreJsonWebKey> {
    let is_signed = |algorithm: &&CoreJwsSigningAlgorithm| {
        !matches!(
            algorithm,
            CoreJwsSigningAlgorithm::None
                | CoreJwsSigningAlgorithm::HmacSha256
                | CoreJwsSigningAlgorithm::HmacSha384
                | CoreJwsSigningAlgorithm::HmacSha512
        )
    };
    let signed = metadata.id_token_signing_alg_values_supported().iter().filter(is_signed).cloned();
    party.id_token_verifier().set_allowed_algs(signed.collect::<Vec<_>>())
}

fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_)
        )
    )
}

/// An error with what caused it.
fn sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
